"""What the tests of the documented hooks share: requests and responses of the documented shape, and a framework of two lines."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig

# Far beyond what anything takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 120.0
FRESH = {"Cache-Control": "max-age=600"}
REPORTED = {"x-cache", "x-cache-ttl", "cache-status", "etag"}


@pytest.fixture(name="cache")
def small_cache() -> Iterator[SmartCache]:
    with SmartCache(SmartCacheConfig(memory_capacity=1000)) as cache:
        yield cache


def run(work: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work, PATIENCE_SECONDS)

    return asyncio.run(bounded())


def request_for(
    path: str = "/api/test",
    query: Optional[str] = None,
    method: str = "GET",
    headers: Optional[Dict[str, str]] = None,
    **url: Any,
) -> Any:
    return SimpleNamespace(
        method=method, url=SimpleNamespace(path=path, query=query, **url), headers=headers or {}, state=SimpleNamespace()
    )


def response_of(body: Any = b"content", status: int = 200, headers: Optional[Dict[str, Any]] = None, **more: Any) -> Any:
    return SimpleNamespace(status_code=status, headers=dict(FRESH) if headers is None else headers, body=body, **more)


Handler = Callable[[Any], Any]


async def ask(middleware: Any, request: Any, handler: Handler) -> Any:
    """What a framework does with one request."""
    answer = await middleware.process_request(request)
    return answer if answer is not None else await middleware.process_response(request, handler(request))


def both(middleware: Any, make: Callable[[], Any], handler: Optional[Handler] = None) -> List[Any]:
    """The answers to two requests that are alike."""
    answer = handler or (lambda request: response_of())
    return [run(ask(middleware, make(), answer)) for _ in range(2)]


def state_of(answer: Any) -> Optional[str]:
    return next((value for name, value in answer.headers.items() if name.lower() == "x-cache"), None)
