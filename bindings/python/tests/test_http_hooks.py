"""The documented hooks: with any request and response objects, with the examples of the framework's guide, and when handlers never answer."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from types import SimpleNamespace
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional
from unittest.mock import Mock

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig, reset_cache
from catzilla_cache.cache_middleware import ConditionalCacheMiddleware, Response, SmartCacheMiddleware
from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.response import Headers

# Far beyond what anything takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 120.0
FRESH = {"Cache-Control": "max-age=600"}
REPORTED = {"x-cache", "x-cache-ttl", "cache-status", "etag"}


class Broken(Exception):
    pass


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cache() -> Iterator[SmartCache]:
    with SmartCache(SmartCacheConfig(memory_capacity=1000)) as cache:
        yield cache


def run(work: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work, PATIENCE_SECONDS)

    return asyncio.run(bounded())


def request_for(
    path: str = "/api/test", query: Optional[str] = None, method: str = "GET", headers: Optional[Dict[str, str]] = None, **url: Any
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


# ---- What the original project's own tests ask for ----


def mock_request(method: str = "GET", path: str = "/api/test", query: Optional[str] = None, headers: Any = None) -> Any:
    request = Mock()
    request.method = method
    request.url = Mock()
    request.url.path = path
    request.url.query = query
    request.headers = headers or {}
    request.state = Mock()
    return request


def mock_response(content: str = "test content", status_code: int = 200, headers: Any = None) -> Any:
    response = Mock()
    response.body = content.encode()
    response.status_code = status_code
    response.headers = headers or {}
    return response


@pytest.fixture
def original(tmp_path: Any) -> Iterator[SmartCacheMiddleware]:
    config = SmartCacheConfig(memory_capacity=100, disk_enabled=True, disk_path=str(tmp_path / "cache"))
    middleware = SmartCacheMiddleware(config=config, default_ttl=300)
    yield middleware
    middleware.cache.close()
    reset_cache()


def test_middleware_availability() -> None:
    assert SmartCacheMiddleware() is not None
    reset_cache()


def test_cache_hit(original: SmartCacheMiddleware) -> None:
    async def course() -> None:
        request, response = mock_request(), mock_response()
        assert await original.process_request(request) is None
        assert await original.process_response(request, response) is response
        assert response.headers["x-cache"] == "MISS" and response.headers["x-cache-ttl"] == "300"
        cached = await original.process_request(mock_request())
        assert cached is not None and cached.headers.get("x-cache") == "HIT"
        assert (cached.status_code, cached.body) == (200, b"test content")

    run(course())


def test_cache_skip_conditions(original: SmartCacheMiddleware) -> None:
    async def course() -> None:
        for request in (
            mock_request(method="POST"),
            mock_request(headers={"cache-control": "no-cache"}),
            mock_request(headers={"authorization": "Bearer token"}),
        ):
            assert await original.process_request(request) is None

    run(course())


def test_key_generation(original: SmartCacheMiddleware) -> None:
    key = original._generate_cache_key(mock_request(path="/api/users", query="page=1&limit=10", headers={"accept": "application/json"}))
    assert isinstance(key, str) and "/api/users?limit=10&page=1" in key


def test_middleware_statistics(original: SmartCacheMiddleware) -> None:
    stats = original.get_stats()
    assert {"middleware_stats", "cache_stats", "overall_hit_ratio", "cache_health"} <= set(stats)


RULES: Dict[str, Dict[str, Any]] = {
    "/api/users/*": {"ttl": 300, "methods": ["GET"]},
    "/api/posts/*": {"ttl": 600, "status_codes": [200, 404]},
    "/static/*": {"ttl": 86400, "methods": ["GET", "HEAD"]},
}


def test_rule_matching(cache: SmartCache) -> None:
    middleware = ConditionalCacheMiddleware(cache_rules=RULES, default_ttl=300, cache_instance=cache)
    rule = middleware._get_rule_for_path("/api/users/123")
    assert rule is not None and rule["ttl"] == 300 and rule is RULES["/api/users/*"]
    assert middleware._get_rule_for_path("/other/path") is None
    assert middleware.cache_rules == RULES


def test_rule_based_caching(cache: SmartCache) -> None:
    middleware = ConditionalCacheMiddleware(cache_rules=RULES, default_ttl=300, cache_instance=cache)
    assert middleware._should_cache_request(mock_request(path="/api/users/123")) is True
    assert middleware._should_cache_request(mock_request("POST", path="/api/users/123")) is False
    assert middleware._should_cache_request(mock_request("HEAD", path="/api/users/123")) is False
    assert middleware._should_cache_request(mock_request("HEAD", path="/static/a.css")) is True


def test_end_to_end_caching() -> None:
    with SmartCache(SmartCacheConfig(memory_capacity=100)) as cache:
        assert isinstance(SmartCacheMiddleware(cache_instance=cache).get_stats(), dict)


# ---- The examples of the framework's guide ----


def test_the_guides_custom_key_generation(cache: SmartCache) -> None:
    def custom_key_generator(request: Any) -> str:
        user_id = request.headers.get("user-id", "anonymous")
        return f"{request.method}:{request.url.path}:user:{user_id}"

    middleware = SmartCacheMiddleware(custom_key_generator=custom_key_generator, cache_instance=cache)

    async def course() -> List[Any]:
        answers = []
        for user in ("1", "2", "1"):
            request = request_for(headers={"user-id": user})
            answers.append(await ask(middleware, request, lambda request: response_of(user)))
        return answers

    answers = run(course())
    assert [state_of(answer) for answer in answers] == ["MISS", "MISS", "HIT"] and answers[2].body == b"1"
    request = request_for(headers={"user-id": "3"})
    assert middleware._generate_cache_key(request) == "GET:/api/test:user:3"
    run(middleware.process_request(request))
    assert request.state.cache_key == "GET:/api/test:user:3"


def test_the_guides_custom_cache_logic(cache: SmartCache) -> None:
    class CustomCacheMiddleware(SmartCacheMiddleware):
        async def process_request(self, request: Any) -> Any:
            # Custom logic before checking cache
            if request.headers.get("bypass-cache"):
                return None  # Skip cache

            return await super().process_request(request)

        async def process_response(self, request: Any, response: Any) -> Any:
            # Custom logic before caching response
            if response.status_code >= 500:
                return response  # Don't cache server errors

            return await super().process_response(request, response)

    middleware = CustomCacheMiddleware(cache_instance=cache, cache_status_codes={200, 500})
    assert [state_of(answer) for answer in both(middleware, request_for)] == ["MISS", "HIT"]
    past = both(middleware, lambda: request_for(headers={"bypass-cache": "1"}))
    assert [state_of(answer) for answer in past] == [None, None]
    failed = both(middleware, lambda: request_for("/fails"), lambda request: response_of(status=500))
    assert [state_of(answer) for answer in failed] == [None, None]


def test_the_guides_debug_middleware(cache: SmartCache, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("catzilla.cache")

    class DebugCacheMiddleware(SmartCacheMiddleware):
        async def process_request(self, request: Any) -> Any:
            logger.debug(f"Cache check for {request.method} {request.url.path}")
            result = await super().process_request(request)
            if result:
                logger.debug(f"Cache HIT for {request.url.path}")
            else:
                logger.debug(f"Cache MISS for {request.url.path}")
            return result

    with caplog.at_level(logging.DEBUG, "catzilla.cache"):
        both(DebugCacheMiddleware(cache_instance=cache), request_for)
    assert [record.message for record in caplog.records] == [
        "Cache check for GET /api/test", "Cache MISS for /api/test", "Cache check for GET /api/test", "Cache HIT for /api/test",
    ]  # fmt: skip


def test_the_guides_cache_monitor(cache: SmartCache) -> None:
    class CacheMonitor:
        def __init__(self, cache_middleware: Any) -> None:
            self.middleware = cache_middleware
            self.start_time = time.time() - 1

        def get_performance_report(self) -> Dict[str, Any]:
            stats = self.middleware.get_stats()
            uptime = time.time() - self.start_time

            return {
                "uptime_seconds": uptime,
                "hit_ratio": stats["overall_hit_ratio"],
                "total_requests": stats["middleware_stats"]["total_requests"],
                "cache_hits": stats["middleware_stats"]["cache_hits"],
                "cache_misses": stats["middleware_stats"]["cache_misses"],
                "requests_per_second": stats["middleware_stats"]["total_requests"] / uptime,
                "memory_usage_mb": stats["cache_stats"]["memory_usage"] / 1024 / 1024,
                "cache_health": stats["cache_health"],
            }

    middleware = SmartCacheMiddleware(cache_instance=cache)
    both(middleware, request_for)
    report = CacheMonitor(middleware).get_performance_report()
    assert (report["total_requests"], report["cache_hits"], report["cache_misses"], report["hit_ratio"]) == (2, 1, 1, 0.5)
    assert report["memory_usage_mb"] > 0 and report["cache_health"]["memory"] is True


def test_the_guides_middleware_configuration(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(
        cache_instance=cache,
        default_ttl=3600,
        cache_methods={"GET", "HEAD"},
        cache_status_codes={200, 301, 302, 404},
        ignore_query_params={"_", "timestamp"},
        cache_headers={"accept", "accept-encoding"},
        cache_private=False,
        cache_authenticated=False,
        exclude_paths=["/admin/*"],
        include_paths=["/api/*"],
        cache_vary_headers={"accept-language"},
    )
    states = {path: [state_of(each) for each in both(middleware, lambda: request_for(path))] for path in ("/api/a", "/admin/a", "/b")}
    assert states == {"/api/a": ["MISS", "HIT"], "/admin/a": [None, None], "/b": [None, None]}


def test_the_guides_conditional_rules(cache: SmartCache) -> None:
    rules = {
        "/api/users/*": {"ttl": 300, "methods": ["GET"], "status_codes": [200, 404]},
        "/api/posts/*": {"ttl": 600, "methods": ["GET", "HEAD"], "vary_headers": ["accept-language"]},
        "/static/*": {"ttl": 86400, "methods": ["GET", "HEAD"], "status_codes": [200, 301, 302, 404]},
    }
    middleware = ConditionalCacheMiddleware(cache_rules=rules, cache_instance=cache, cache_headers=set())
    plain: Handler = lambda request: response_of(headers={})  # noqa: E731
    ttls = {
        path: run(ask(middleware, request_for(path), plain)).headers["x-cache-ttl"] for path in ("/api/users/1", "/api/posts/1", "/static/a", "/x")
    }
    assert ttls == {"/api/users/1": "300", "/api/posts/1": "600", "/static/a": "86400", "/x": "3600"}
    german = run(ask(middleware, request_for("/api/posts/1", headers={"Accept-Language": "de"}), plain))
    assert state_of(german) == "MISS"
    moved = both(middleware, lambda: request_for("/api/users/2"), lambda request: response_of(status=301, headers={}))
    assert [state_of(answer) for answer in moved] == ["MISS", "MISS"], "the rule's statuses hold"


# ---- Parameters ----


def test_the_documented_parameters_have_their_order_and_their_defaults(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(
        None, cache, 60, {"GET"}, {200}, {"x"}, {"accept"}, True, True, ["/no"], ["/yes"], {"accept-language"}, str
    )
    assert (middleware.default_ttl, middleware.cache_methods, middleware.cache_status_codes) == (60, {"GET"}, {200})
    assert (middleware.ignore_query_params, middleware.cache_headers, middleware.cache_vary_headers) == ({"x"}, {"accept"}, {"accept-language"})
    assert (middleware.cache_private, middleware.cache_authenticated, middleware.custom_key_generator) == (True, True, str)
    assert (middleware.exclude_paths, middleware.include_paths) == (["/no"], ["/yes"])
    usual = SmartCacheMiddleware(cache_instance=cache)
    assert (usual.default_ttl, usual.cache_methods, usual.cache_status_codes) == (3600, {"GET", "HEAD"}, {200, 301, 302, 404})
    assert usual.ignore_query_params == {"_", "timestamp", "cache_buster"}
    assert usual.cache_headers == {"accept", "accept-encoding", "accept-language"} and usual.cache_vary_headers == set()
    assert (usual.cache_private, usual.cache_authenticated, usual.exclude_paths, usual.include_paths) == (False, False, [], None)
    assert usual.stats == {"total_requests": 0, "cache_hits": 0, "cache_misses": 0, "cache_sets": 0, "cache_skips": 0}


def test_an_empty_list_of_paths_means_all_of_them(cache: SmartCache) -> None:
    assert [state_of(each) for each in both(SmartCacheMiddleware(cache_instance=cache, include_paths=[]), request_for)] == ["MISS", "HIT"]


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
    _, hit = both(middleware, request_for, lambda request: response_of("grüße", headers={"Content-Type": "text/plain", **FRESH}))
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
    one, other = ((each.status_code, each.body, [line for line in each.headers.items() if line[0] not in passing]) for each in found)
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


def test_an_encoded_path_and_the_same_decoded_one_are_not_taken_for_another(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    assert middleware._generate_cache_key(request_for("/caf%C3%A9")) == middleware._generate_cache_key(request_for("/café"))
    assert middleware._generate_cache_key(request_for("/a%2Fb")) != middleware._generate_cache_key(request_for("/a/b"))
    assert run(middleware.process_request(request_for("/a/%2e%2e/b"))) is None
    assert middleware.stats["cache_skips"] == 1


@pytest.mark.parametrize("body, expected", [("grüße", "grüße".encode()), (bytes(range(256)), bytes(range(256))), (bytearray(b"x"), b"x"), (None, b"")])
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


# ---- What HTTP says ----


@pytest.mark.parametrize(
    "headers",
    [{"Cache-Control": "no-store"}, {"cache-control": "private"}, {"Vary": "*"}, {"Set-Cookie": "a=1"}, {"Content-Length": "3"}],
)
def test_what_may_not_be_stored_is_not(cache: SmartCache, headers: Dict[str, str]) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    assert [state_of(each) for each in both(middleware, request_for, lambda request: response_of(headers=dict(headers)))] == ["MISS"] * 2


def test_a_body_that_is_too_long_is_not_stored(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache, max_body_size=6)
    assert [state_of(each) for each in both(middleware, request_for)] == ["MISS", "MISS"]
    assert middleware.get_stats()["http_stats"]["too_large"] == 2


def test_conditions_and_parts_are_answered_from_what_is_stored(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    handler: Handler = lambda request: response_of(b"answer", headers={"ETag": '"a"', **FRESH})  # noqa: E731
    first = run(ask(middleware, request_for(headers={"If-None-Match": '"a"'}), handler))
    assert first.status_code == 200, "the handler answers, and what it says is passed on"
    known = run(middleware.process_request(request_for(headers={"If-None-Match": '"a"'})))
    assert (known.status_code, known.body, known.headers["x-cache"]) == (304, b"", "HIT")
    part = run(middleware.process_request(request_for(headers={"Range": "bytes=1-2"})))
    assert (part.status_code, part.body, part.headers["content-range"]) == (206, b"ns", "bytes 1-2/6")
    head = run(middleware.process_request(request_for(method="HEAD")))
    assert (head.status_code, head.body, head.headers["content-length"]) == (200, b"", "6")


def test_an_answer_to_head_is_stored_without_the_body_that_some_frameworks_give_it(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    miss, hit = both(middleware, lambda: request_for(method="HEAD"), lambda request: response_of(b"answer"))
    assert (state_of(miss), state_of(hit), hit.body, hit.headers["content-length"]) == ("MISS", "HIT", b"", "6")
    assert run(middleware.process_request(request_for())) is None


def test_a_304_to_the_clients_own_condition_renews_what_it_is_about(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock)
    fetched: Handler = lambda request: response_of(b"answer", headers={"ETag": '"a"', **FRESH})  # noqa: E731
    unchanged: Handler = lambda request: response_of(b"", 304, {"ETag": '"a"', **FRESH})  # noqa: E731
    run(ask(middleware, request_for(), fetched))
    clock.now += 700
    assert run(ask(middleware, request_for(headers={"If-None-Match": '"a"'}), unchanged)).status_code == 304
    hit = run(middleware.process_request(request_for()))
    assert (hit.status_code, hit.body, hit.headers["age"]) == (200, b"answer", "0")


def test_a_304_to_another_condition_is_the_clients_and_leaves_what_is_stored(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock)
    old: Handler = lambda request: response_of(b"old", headers={"ETag": '"a"', "Cache-Control": "max-age=600, stale-if-error=9999"})  # noqa: E731
    run(ask(middleware, request_for(), old))
    clock.now += 700
    unchanged: Handler = lambda request: response_of(b"", 304, {"ETag": '"b"'})  # noqa: E731
    assert run(ask(middleware, request_for(headers={"If-None-Match": '"b"'}), unchanged)).status_code == 304
    covered = run(ask(middleware, request_for(), lambda request: response_of(b"sorry", 503, {})))
    assert (covered.status_code, covered.body) == (200, b"old")


def test_a_change_ends_what_is_stored_before_its_answer_is_returned(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    both(middleware, lambda: request_for(headers={"Host": "example.org"}))
    both(middleware, lambda: request_for("/other", headers={"Host": "example.org"}))
    change = request_for(method="POST", headers={"Host": "example.org"})
    run(ask(middleware, change, lambda request: response_of(status=303, headers={"Location": "/other"})))
    assert run(middleware.process_request(request_for(headers={"Host": "example.org"}))) is None
    assert run(middleware.process_request(request_for("/other", headers={"Host": "example.org"}))) is None
    assert middleware.get_stats()["http_stats"]["invalidations"] == 2


def test_a_failure_is_covered_by_what_is_stored(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock, stale_if_error=600)
    run(ask(middleware, request_for(), lambda request: response_of()))
    clock.now += 700
    covered = run(ask(middleware, request_for(), lambda request: response_of(b"sorry", 503, {})))
    assert (covered.status_code, covered.body) == (200, b"content") and "stale-if-error" in covered.headers["cache-status"]

    async def raises() -> Any:
        request = request_for()
        assert await middleware.process_request(request) is None
        return middleware.handler_failed(request), middleware.handler_failed(request)

    first, second = run(raises())
    assert first.body == b"content" and second is None


def test_one_request_fetches_anew_what_others_are_served_stale(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock, stale_while_revalidate=600)
    run(ask(middleware, request_for(), lambda request: response_of(b"old")))
    clock.now += 700

    async def course() -> None:
        first = request_for()
        assert await middleware.process_request(first) is None, "nobody else can fetch it"
        stale = await middleware.process_request(request_for())
        assert stale.body == b"old" and stale.headers["cache-status"] == "catzilla; hit; ttl=-100"
        await middleware.process_response(first, response_of(b"new"))
        assert (await middleware.process_request(request_for())).body == b"new"

    run(course())
    assert middleware.stats == {"total_requests": 4, "cache_hits": 2, "cache_misses": 2, "cache_sets": 2, "cache_skips": 0}


# ---- Many at once ----


async def turns(count: int = 100) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_for_the_same_wait_for_one_handler(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    calls: List[Any] = []

    async def one(gate: asyncio.Event) -> Any:
        request = request_for()
        answer = await middleware.process_request(request)
        if answer is None:
            calls.append(request)
            await gate.wait()
            answer = await middleware.process_response(request, response_of())
        return answer

    async def course() -> List[Any]:
        gate = asyncio.Event()
        asking = [asyncio.ensure_future(one(gate)) for _ in range(200)]
        await turns()
        gate.set()
        return await asyncio.gather(*asking)

    answers = run(course())
    assert len(calls) == 1 and {each.body for each in answers} == {b"content"}
    assert middleware.get_stats()["http_stats"]["collapsed"] == 199


def test_a_handler_that_never_answers_hands_over_when_its_request_is_forgotten(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)

    async def course() -> None:
        lost = request_for()
        assert await middleware.process_request(lost) is None
        requests = [request_for() for _ in range(3)]
        waiting = [asyncio.ensure_future(middleware.process_request(request)) for request in requests]
        await turns()
        assert not any(each.done() for each in waiting)
        # Its handler has raised; the framework has answered 500 and forgotten it.
        del lost
        gc.collect()
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in done] == [None] and len(pending) == 2
        for each in pending:
            each.cancel()

    run(course())


@pytest.mark.parametrize("is_told", [True, False], ids=["raised", "503"])
def test_who_waits_for_a_handler_that_fails_gets_the_stale_answer_too(cache: SmartCache, is_told: bool) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock, stale_if_error=600)
    run(ask(middleware, request_for(), lambda request: response_of(b"old")))
    clock.now += 700

    async def course() -> None:
        first = request_for()
        assert await middleware.process_request(first) is None
        requests = [request_for() for _ in range(5)]
        waiting = [asyncio.ensure_future(middleware.process_request(request)) for request in requests]
        await turns()
        if is_told:
            covered = middleware.handler_failed(first)
        else:
            covered = await middleware.process_response(first, response_of(b"sorry", 503, {}))
        assert {answer.body for answer in [covered, *await asyncio.gather(*waiting)]} == {b"old"}

    run(course())


def test_nobody_waits_longer_than_the_deadline(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache, wait_timeout=0.01)

    async def course() -> None:
        lost = request_for()
        assert await middleware.process_request(lost) is None
        late = request_for()
        assert await asyncio.ensure_future(middleware.process_request(late)) is None
        assert (await middleware.process_response(late, response_of(b"own"))).headers["x-cache"] == "MISS"
        assert (await middleware.process_response(lost, response_of(b"lost"))).headers["x-cache"] == "MISS"

    run(course())


def test_who_waits_for_an_answer_that_nobody_else_may_have_calls_the_handler(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)

    async def course() -> None:
        first = request_for()
        await middleware.process_request(first)
        waiting = asyncio.ensure_future(middleware.process_request(request_for()))
        await turns()
        await middleware.process_response(first, response_of(headers={"Cache-Control": "no-store"}))
        assert await waiting is None
        # It is known now, so that nobody queues for it.
        assert await asyncio.ensure_future(middleware.process_request(request_for())) is None

    run(course())


def test_a_task_that_asks_twice_does_not_wait_for_itself(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)

    async def course() -> None:
        assert await middleware.process_request(request_for()) is None
        first = request_for()
        assert await middleware.process_request(first) is None
        second = request_for()
        assert await middleware.process_request(second) is None
        await middleware.process_response(second, response_of(b"second"))
        assert (await middleware.process_request(request_for())).body == b"second"

    run(course())


# ---- Subclasses ----


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
    for number, response in enumerate((response_of(headers={"Cache-Control": "no-store"}), response_of(status=206), response_of(headers={"Set-Cookie": "a=1"}))):
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
        state_of(run(ask(middleware, request_for(headers={"X-User": user}), lambda request: response_of()))) for user in ("a", "b", "a")
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
    for response in (response_of(status=500), response_of(headers={"Cache-Control": "private"}), response_of(headers={"Vary": "*"})):
        assert middleware._should_cache_response(response) is False
    assert middleware._get_cache_ttl(response_of(headers={"Cache-Control": "max-age=60, s-maxage=30"})) == 30
    assert middleware._get_cache_ttl(response_of(headers={})) == 3600


# ---- Faults ----


@pytest.mark.parametrize("name", ["_should_cache_request", "_should_cache_response", "_generate_cache_key", "_get_cache_ttl"])
def test_a_fault_in_a_subclass_is_no_failure_of_the_request(cache: SmartCache, name: str) -> None:
    def fails(self: Any, *arguments: Any) -> Any:
        raise Broken

    middleware = type("Failing", (SmartCacheMiddleware,), {name: fails})(cache_instance=cache)
    assert [each.body for each in both(middleware, request_for)] == [b"content", b"content"]
    assert middleware.get_stats()["http_stats"]["cache_errors"] == 2


def test_a_response_that_takes_no_fields_is_returned_and_stored(cache: SmartCache) -> None:
    from types import MappingProxyType

    middleware = SmartCacheMiddleware(cache_instance=cache)
    miss, hit = both(middleware, request_for, lambda request: response_of(headers=MappingProxyType(FRESH)))  # type: ignore[arg-type]
    assert (miss.body, hit.body, hit.headers["x-cache"]) == (b"content", b"content", "HIT")


def test_a_cache_that_is_closed_is_no_failure_of_the_request() -> None:
    cache = SmartCache(SmartCacheConfig(memory_capacity=10))
    middleware = SmartCacheMiddleware(cache_instance=cache)
    cache.close()
    assert [each.body for each in both(middleware, request_for)] == [b"content", b"content"]


def test_tiers_below_memory_are_asked_off_the_loop(tmp_path: Any) -> None:
    config = SmartCacheConfig(memory_capacity=100, disk_enabled=True, disk_path=str(tmp_path / "cache"))
    with SmartCache(config) as cache:
        middleware = SmartCacheMiddleware(cache_instance=cache)
        both(middleware, request_for)
        assert cache._memory_cache is not None
        cache._memory_cache.clear()
        hit = run(middleware.process_request(request_for()))
        assert (hit.headers["x-cache"], hit.body) == ("HIT", b"content")


def test_clearing_begins_anew(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    both(middleware, request_for)
    middleware.clear_cache()
    assert set(middleware.stats.values()) == {0}
    assert run(middleware.process_request(request_for())) is None


def test_any_encoding_comes_back_exactly(cache: SmartCache) -> None:
    body = json.dumps({"text": "grüße 你好"}, ensure_ascii=False).encode("utf-16")
    _, hit = both(SmartCacheMiddleware(cache_instance=cache), request_for, lambda request: response_of(body))
    assert hit.body == body
