"""What subclasses of the documented middleware may say, and what they may not."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from catzilla_cache import SmartCache
from catzilla_cache.cache_middleware import SmartCacheMiddleware
from hooked import ask, both, request_for, response_of, run, small_cache, state_of

__all__ = ["small_cache"]


def test_a_subclass_may_say_what_is_not_for_the_cache(cache: SmartCache) -> None:
    class Picky(SmartCacheMiddleware):
        def _should_cache_request(self, request: Any) -> bool:
            return super()._should_cache_request(request) and "preview" not in (request.url.query or "")

        def _should_cache_response(self, response: Any) -> bool:
            return super()._should_cache_response(response) and b"draft" not in response.body

    middleware = Picky(cache_instance=cache)
    assert [state_of(each) for each in both(middleware, request_for)] == ["MISS", "HIT"]
    assert [state_of(each) for each in both(middleware, lambda: request_for(query="preview"))] == [None, None]
    drafts = both(middleware, lambda: request_for("/draft"), lambda request: response_of(b"a draft"))
    assert [state_of(each) for each in drafts] == ["MISS", "MISS"]


def test_a_subclass_may_allow_a_status_and_not_what_http_forbids(cache: SmartCache) -> None:
    class Lax(SmartCacheMiddleware):
        def _should_cache_request(self, request: Any) -> bool:
            return True

        def _should_cache_response(self, response: Any) -> bool:
            return True

    middleware = Lax(cache_instance=cache)
    gone = both(middleware, lambda: request_for("/gone"), lambda request: response_of(status=410))
    assert [state_of(each) for each in gone] == ["MISS", "HIT"]
    for number, response in enumerate(
        (
            response_of(headers={"Cache-Control": "no-store"}),
            response_of(status=206),
            response_of(headers={"Set-Cookie": "a=1"}),
        )
    ):
        answers = both(middleware, lambda: request_for(f"/{number}"), lambda request: response)
        assert [state_of(each) for each in answers] == ["MISS", "MISS"]
    assert [state_of(each) for each in both(middleware, lambda: request_for(method="POST"))] == [None, None]


def test_a_subclass_may_say_for_how_long(cache: SmartCache) -> None:
    class Long(SmartCacheMiddleware):
        def _get_cache_ttl(self, response: Any) -> Any:
            return {"/long": 5000, "/never": 0}.get(response.path, super()._get_cache_ttl(response))

    middleware = Long(cache_instance=cache)
    ttls = {}
    for path in ("/long", "/never", "/usual"):
        answer = run(ask(middleware, request_for(path), lambda request: response_of(path=request.url.path)))
        ttls[path] = answer.headers.get("x-cache-ttl")
    assert ttls == {"/long": "5000", "/never": None, "/usual": "600"}


def test_a_subclass_may_make_the_keys(cache: SmartCache) -> None:
    class ByUser(SmartCacheMiddleware):
        def _generate_cache_key(self, request: Any) -> str:
            return super()._generate_cache_key(request) + ":" + request.headers.get("X-User", "")

    middleware = ByUser(cache_instance=cache)
    states = [
        state_of(run(ask(middleware, request_for(headers={"X-User": user}), lambda request: response_of())))
        for user in ("a", "b", "a")
    ]
    assert states == ["MISS", "MISS", "HIT"]


def test_something_put_in_place_of_a_method_is_listened_to(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    middleware._should_cache_request = Mock(return_value=False)  # type: ignore[method-assign]
    assert [state_of(each) for each in both(middleware, request_for)] == [None, None]
    assert middleware._should_cache_request.call_count == 2


def test_what_the_base_says_of_responses(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    assert middleware._should_cache_response(response_of()) is True
    for response in (
        response_of(status=500),
        response_of(headers={"Cache-Control": "private"}),
        response_of(headers={"Vary": "*"}),
    ):
        assert middleware._should_cache_response(response) is False
    assert middleware._get_cache_ttl(response_of(headers={"Cache-Control": "max-age=60, s-maxage=30"})) == 30
    assert middleware._get_cache_ttl(response_of(headers={})) == 3600
