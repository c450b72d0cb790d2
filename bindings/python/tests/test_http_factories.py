"""The functions that make middlewares for what is cached most often: what they set, and that everything can be overridden, which raised TypeError before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional

import pytest

from catzilla_cache import SmartCache
from catzilla_cache import cache_middleware
from catzilla_cache.cache_middleware import (
    SmartCacheMiddleware,
    create_api_cache_middleware,
    create_page_cache_middleware,
    create_static_cache_middleware,
)
from hooked import small_cache

__all__ = ["small_cache"]

Make = Callable[..., SmartCacheMiddleware]
ALL: List[Make] = [create_api_cache_middleware, create_page_cache_middleware, create_static_cache_middleware]


def states(
    middleware: SmartCacheMiddleware,
    path: str,
    status: int = 200,
    method: str = "GET",
    headers: Optional[Dict[str, str]] = None,
) -> List[Any]:
    """What X-Cache says of two requests that are alike."""

    async def course() -> List[Any]:
        found = []
        for _ in range(2):
            request = SimpleNamespace(
                method=method, url=SimpleNamespace(path=path, query=""), headers=headers or {}, state=SimpleNamespace()
            )
            answer = await middleware.process_request(request)
            if answer is None:
                answer = await middleware.process_response(request, SimpleNamespace(status_code=status, headers={}, body=b"x"))
            found.append(answer.headers.get("x-cache"))
        return found

    return asyncio.run(course())


def test_for_an_api(cache: SmartCache) -> None:
    middleware = create_api_cache_middleware(cache_instance=cache)
    assert (middleware.default_ttl, middleware.cache_methods, middleware.cache_status_codes) == (
        300,
        {"GET", "HEAD"},
        {200, 404},
    )
    assert middleware.cache_headers == {"accept", "accept-encoding"} and middleware.cache_authenticated is False
    assert states(middleware, "/a") == states(middleware, "/b", 404) == ["MISS", "HIT"]
    assert states(middleware, "/c", 301) == ["MISS", "MISS"]
    assert states(middleware, "/a", headers={"Accept-Language": "de"}) == ["HIT", "HIT"], "whatever language is preferred"


def test_for_files(cache: SmartCache) -> None:
    middleware = create_static_cache_middleware(cache_instance=cache)
    assert (middleware.default_ttl, middleware.cache_status_codes) == (86400, {200, 301, 302, 404})
    assert middleware.include_paths == ["/static", "/assets", "/images", "/css", "/js"]
    assert states(middleware, "/static/a.css") == states(middleware, "/js/a.js") == ["MISS", "HIT"]
    assert states(middleware, "/page") == [None, None]
    # The original cached what one user had been shown, and showed it to all.
    assert states(middleware, "/static/own", headers={"Authorization": "Bearer t"}) == ["MISS", "MISS"]


def test_for_pages(cache: SmartCache) -> None:
    middleware = create_page_cache_middleware(cache_instance=cache)
    assert (middleware.default_ttl, middleware.cache_methods, middleware.cache_status_codes) == (3600, {"GET"}, {200})
    assert middleware.cache_vary_headers == {"accept-language"}
    assert states(middleware, "/a", headers={"Accept-Language": "de"}) == ["MISS", "HIT"]
    assert states(middleware, "/a", headers={"Accept-Language": "en"}) == ["MISS", "HIT"]
    assert states(middleware, "/a", method="HEAD") == [None, None]
    assert states(middleware, "/b", 404) == ["MISS", "MISS"]


@pytest.mark.parametrize("make", ALL)
def test_the_lifetime_is_the_first_argument(cache: SmartCache, make: Make) -> None:
    assert make(60, cache_instance=cache).default_ttl == make(ttl=60, cache_instance=cache).default_ttl == 60


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    "name, value",
    [
        ("default_ttl", 7),
        ("cache_methods", {"HEAD"}),
        ("cache_status_codes", {203}),
        ("cache_headers", {"x-own"}),
        ("cache_vary_headers", {"x-other"}),
        ("cache_authenticated", True),
        ("cache_private", True),
        ("include_paths", ["/own"]),
        ("exclude_paths", ["/not"]),
        ("ignore_query_params", {"q"}),
        ("state_fields", {"cache-status"}),
    ],
)
def test_every_parameter_can_be_overridden(cache: SmartCache, make: Make, name: str, value: Any) -> None:
    assert getattr(make(cache_instance=cache, **{name: value}), name) == value


def test_the_guides_api_middleware(cache: SmartCache) -> None:
    # As it is written in the guide, where it raised TypeError: cache_authenticated was given twice.
    api_cache = create_api_cache_middleware(ttl=300, cache_authenticated=False, cache_instance=cache)  # 5 minutes
    assert states(api_cache, "/api/data") == ["MISS", "HIT"]


def test_the_guides_static_middleware(cache: SmartCache) -> None:
    static_cache = create_static_cache_middleware(
        ttl=86400, include_paths=["/static", "/assets", "/images"], cache_instance=cache  # 24 hours
    )
    assert states(static_cache, "/images/a.png") == ["MISS", "HIT"] and states(static_cache, "/css/a.css") == [None, None]


def test_the_public_names_are_the_documented_ones() -> None:
    assert set(cache_middleware.__all__) == {
        "CacheMiddleware", "ConditionalCacheMiddleware", "Response", "SmartCacheMiddleware", "WSGICacheMiddleware",
        "create_api_cache_middleware", "create_page_cache_middleware", "create_static_cache_middleware", "warm_cache",
    }  # fmt: skip
    assert all(hasattr(cache_middleware, name) for name in cache_middleware.__all__)
