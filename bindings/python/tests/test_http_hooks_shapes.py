"""The documented hooks' parameters, and requests and responses of any shape."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, Callable, List

import pytest

from catzilla_cache import SmartCache
from catzilla_cache.cache_middleware import ConditionalCacheMiddleware, Response, SmartCacheMiddleware
from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.response import Headers
from hooked import FRESH, ask, both, request_for, response_of, run, small_cache, state_of

__all__ = ["small_cache"]


# ---- Parameters ----


def test_the_documented_parameters_have_their_order_and_their_defaults(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(
        None, cache, 60, {"GET"}, {200}, {"x"}, {"accept"}, True, True, ["/no"], ["/yes"], {"accept-language"}, str
    )
    assert (middleware.default_ttl, middleware.cache_methods, middleware.cache_status_codes) == (60, {"GET"}, {200})
    assert (middleware.ignore_query_params, middleware.cache_headers, middleware.cache_vary_headers) == (
        {"x"},
        {"accept"},
        {"accept-language"},
    )
    assert (middleware.cache_private, middleware.cache_authenticated, middleware.custom_key_generator) == (True, True, str)
    assert (middleware.exclude_paths, middleware.include_paths) == (["/no"], ["/yes"])
    usual = SmartCacheMiddleware(cache_instance=cache)
    assert (usual.default_ttl, usual.cache_methods, usual.cache_status_codes) == (3600, {"GET", "HEAD"}, {200, 301, 302, 404})
    assert usual.ignore_query_params == {"_", "timestamp", "cache_buster"}
    assert usual.cache_headers == {"accept", "accept-encoding", "accept-language"} and usual.cache_vary_headers == set()
    assert (usual.cache_private, usual.cache_authenticated, usual.exclude_paths, usual.include_paths) == (
        False,
        False,
        [],
        None,
    )
    assert usual.stats == {"total_requests": 0, "cache_hits": 0, "cache_misses": 0, "cache_sets": 0, "cache_skips": 0}


def test_an_empty_list_of_paths_means_all_of_them(cache: SmartCache) -> None:
    assert [state_of(each) for each in both(SmartCacheMiddleware(cache_instance=cache, include_paths=[]), request_for)] == [
        "MISS",
        "HIT",
    ]


def test_what_makes_no_sense_is_refused(cache: SmartCache) -> None:
    with pytest.raises(CacheValueError, match="response_class"):
        SmartCacheMiddleware(cache_instance=cache, response_class=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="nonsense"):
        SmartCacheMiddleware(cache_instance=cache, nonsense=1)
    with pytest.raises(CacheValueError, match="'tll'"):
        ConditionalCacheMiddleware({"/a": {"tll": 1}}, cache_instance=cache)


def test_hits_are_made_of_the_class_that_was_given(cache: SmartCache) -> None:
    from starlette.responses import Response as Other

    middleware = SmartCacheMiddleware(
        cache_instance=cache, response_class=lambda status, headers, body: Other(body, status_code=status, headers=headers)
    )
    _, hit = both(
        middleware, request_for, lambda request: response_of("grüße", headers={"Content-Type": "text/plain", **FRESH})
    )
    assert isinstance(hit, Other) and hit.body == "grüße".encode() and hit.headers["x-cache"] == "HIT"
    assert hit.headers.getlist("content-length") == ["7"] and hit.headers["content-type"] == "text/plain"


def test_the_usual_response_has_headers_in_any_case_and_several_of_a_name() -> None:
    response = Response(200, [("Link", "</a>"), ("link", "</b>"), ("Content-Type", "text/html; charset=utf-8")], "grüße")
    assert response.body == "grüße".encode() and response.media_type == "text/html"
    assert response.headers["LINK"] == "</a>" and response.headers.getlist("Link") == ["</a>", "</b>"]
    assert "content-TYPE" in response.headers and response.headers.get("x-none") is None and "x-none" not in response.headers
    assert response.headers.items() == [("link", "</a>"), ("link", "</b>"), ("content-type", "text/html; charset=utf-8")]
    assert list(response.headers) == ["link", "content-type"] and len(response.headers) == 2
    response.headers["Link"] = "</c>"
    assert response.headers.getlist("link") == ["</c>"]
    with pytest.raises(KeyError):
        response.headers["x-none"]
    assert Headers({"A": "1"}) == Headers([("a", "1")]) != Headers()
    assert Response().media_type is None


def test_the_short_way_to_a_hit_ends_where_the_long_one_does(cache: SmartCache) -> None:
    # Any other clock than the system's takes the long way.
    short, long = (SmartCacheMiddleware(cache_instance=cache, clock=clock) for clock in (time.time, lambda: time.time()))
    make = lambda: request_for(headers={"Host": "example.org", "Accept": "text/html"})  # noqa: E731
    run(ask(long, make(), lambda request: response_of(b"answer", headers={"Link": ["</a>", "</b>"], **FRESH})))
    found = [run(each.process_request(make())) for each in (short, long)]
    passing = ("age", "x-cache-time", "cache-status")
    one, other = (
        (each.status_code, each.body, [line for line in each.headers.items() if line[0] not in passing]) for each in found
    )
    assert one == other and found[0].headers["x-cache"] == "HIT" and found[0].headers.getlist("link") == ["</a>", "</b>"]
    assert short.stats["cache_hits"] == 1 and short._counters.documented()["cache_hits"] == 0, "it was not the short way"


# ---- Requests and responses of any shape ----


def test_names_of_fields_are_found_in_any_case(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    requests = [request_for(headers={name: "text/html"}) for name in ("Accept", "ACCEPT", "accept")]
    assert len({middleware._generate_cache_key(request) for request in requests}) == 1
    assert middleware._get_cache_headers(requests[0]) == {"accept": "text/html"}
    secret = both(middleware, lambda: request_for("/secret", headers={"AUTHORIZATION": "Bearer t"}))
    assert [state_of(each) for each in secret] == ["MISS", "MISS"]


def test_a_query_is_sorted_and_what_is_ignored_left_out(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    assert middleware._normalize_query_string("b=2&_=9&a=3&a=1&timestamp=5") == "a=3&a=1&b=2"
    assert middleware._normalize_query_string("") == ""
    one, other = request_for(query="b=1&a=2"), request_for(query="a=2&b=1&cache_buster=7")
    assert middleware._generate_cache_key(one) == middleware._generate_cache_key(other)
    assert middleware._generate_cache_key(one) != middleware._generate_cache_key(request_for(query="a=1&b=2"))


def test_hosts_and_schemes_are_told_apart_where_they_are_known(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    keys = {
        middleware._generate_cache_key(request)
        for request in (
            request_for(),
            request_for(headers={"Host": "a.example"}),
            request_for(headers={"Host": "b.example"}),
            request_for(headers={"Host": "a.example"}, scheme="https"),
            request_for(netloc="c.example", scheme="http"),
        )
    }
    assert len(keys) == 5


def test_no_path_is_taken_for_another_whether_the_framework_decodes_them_or_not(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    paths = ["/a/b", "/a%2Fb", "/a%252Fb", "/100%", "/100%25", "/caf%C3%A9", "/caf%25C3%25A9"]
    assert len({middleware._generate_cache_key(request_for(path)) for path in paths}) == len(paths)
    # Decoded, and only that: encoded again they could be another's.
    for path in ("/café", "/a b", "/a?b", "/a#b", "/a/%2e%2e/b"):
        assert run(middleware.process_request(request_for(path))) is None
    assert middleware.stats["cache_skips"] == 5


def test_a_decoded_path_is_known_by_what_came_over_the_wire(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)

    def decoded(path: str, raw_path: bytes) -> Any:
        request = request_for(path)
        request.scope = {"path": path, "raw_path": raw_path}
        return request

    assert "/caf%C3%A9" in middleware._generate_cache_key(decoded("/café", b"/caf%C3%A9"))
    assert "/caf%25C3%25A9" in middleware._generate_cache_key(decoded("/caf%C3%A9", b"/caf%25C3%25A9"))
    assert [state_of(each) for each in both(middleware, lambda: decoded("/café", b"/caf%C3%A9"))] == ["MISS", "HIT"]
    assert run(middleware.process_request(decoded("/café", b"/other"))) is None


@pytest.mark.parametrize(
    "body, expected",
    [("grüße", "grüße".encode()), (bytes(range(256)), bytes(range(256))), (bytearray(b"x"), b"x"), (None, b"")],
)
def test_bodies_are_bytes_or_text(cache: SmartCache, body: Any, expected: bytes) -> None:
    _, hit = both(SmartCacheMiddleware(cache_instance=cache), request_for, lambda request: response_of(body))
    assert (state_of(hit), hit.body) == ("HIT", expected)


def test_a_body_that_is_still_to_come_is_passed_on(cache: SmartCache) -> None:
    from starlette.responses import StreamingResponse

    middleware = SmartCacheMiddleware(cache_instance=cache)
    made: List[Any] = []

    def stream(request: Any) -> Any:
        made.append(StreamingResponse(iter([b"a", b"b"]), headers=FRESH))
        return made[-1]

    answers = both(middleware, request_for, stream)
    assert answers == made and [state_of(each) for each in answers] == ["MISS", "MISS"]
    assert "stored" not in answers[0].headers["cache-status"]
    assert middleware.stats["cache_sets"] == 0


def test_starlettes_responses_keep_their_repeated_fields(cache: SmartCache) -> None:
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse

    def make() -> Any:
        return Request({
            "type": "http", "method": "GET", "scheme": "https", "path": "/a", "raw_path": b"/a", "query_string": b"q=1", "headers": [
                (b"host", b"example.org"),
            ], "server": ("127.0.0.1", 80),
        })  # fmt: skip

    def handler(request: Any) -> Any:
        response = PlainTextResponse("answer", headers=FRESH)
        response.headers.append("link", "</a>")
        response.headers.append("link", "</b>")
        return response

    middleware = SmartCacheMiddleware(cache_instance=cache)
    miss, hit = both(middleware, make, handler)
    assert miss.headers["x-cache"] == "MISS" and miss.headers["etag"] == hit.headers["etag"]
    assert hit.headers.getlist("link") == ["</a>", "</b>"] and hit.headers["content-type"] == "text/plain; charset=utf-8"
    assert "https://example.org" in middleware._generate_cache_key(make())


def test_headers_that_are_a_plain_dict_keep_their_names(cache: SmartCache) -> None:
    miss, hit = both(
        SmartCacheMiddleware(cache_instance=cache),
        request_for,
        lambda request: response_of(headers={"X-Cache": "of another", "Cache-Status": "proxy; hit", "Set-Cookie": [], **FRESH}),
    )
    assert {name.lower(): value for name, value in miss.headers.items()}["x-cache"] == "MISS"
    assert len([name for name in miss.headers if name.lower() == "x-cache"]) == 1
    assert miss.headers["cache-status"].startswith("proxy; hit, catzilla; fwd=uri-miss")
    assert hit.headers["x-cache"] == "HIT"


@pytest.mark.parametrize("state", [SimpleNamespace, dict])
def test_the_state_of_a_request_may_be_an_object_or_a_dict(cache: SmartCache, state: Callable[[], Any]) -> None:
    def make() -> Any:
        request = request_for()
        request.state = state()
        return request

    assert [state_of(each) for each in both(SmartCacheMiddleware(cache_instance=cache), make)] == ["MISS", "HIT"]


def test_a_request_without_a_state_is_given_one(cache: SmartCache) -> None:
    def make() -> Any:
        return SimpleNamespace(method="GET", url=SimpleNamespace(path="/a"), headers={})

    assert [state_of(each) for each in both(SmartCacheMiddleware(cache_instance=cache), make)] == ["MISS", "HIT"]


def test_a_request_that_can_keep_nothing_is_no_failure(cache: SmartCache) -> None:
    class Fixed:
        __slots__ = ()
        method, headers, url = "GET", {"host": "example.org"}, SimpleNamespace(path="/a", query="")

    middleware = SmartCacheMiddleware(cache_instance=cache)
    answers = both(middleware, Fixed)
    assert [state_of(each) for each in answers] == [None, None]
    assert middleware.get_stats()["http_stats"]["cache_errors"] == 2


def test_two_middlewares_on_one_request_do_not_meet(cache: SmartCache) -> None:
    one = SmartCacheMiddleware(cache_instance=cache, include_paths=["/a"], key_prefix="one")
    other = SmartCacheMiddleware(cache_instance=cache, include_paths=["/b"], key_prefix="other")

    async def course(path: str) -> Any:
        request = request_for(path)
        for middleware in (one, other):
            answer = await middleware.process_request(request)
            if answer is not None:
                return answer
        response = response_of()
        for middleware in (other, one):
            response = await middleware.process_response(request, response)
        return response

    assert [state_of(run(course(path))) for path in ("/a", "/a", "/b", "/b")] == ["MISS", "HIT", "MISS", "HIT"]
    assert (one.stats["cache_sets"], other.stats["cache_sets"]) == (1, 1)
