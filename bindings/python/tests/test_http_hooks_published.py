"""The documented hooks as the framework's own tests and its guide use them: each of the tests and of the examples, by its name."""

from __future__ import annotations

import logging
import time
from typing import Any, Dict, Iterator, List, Optional
from unittest.mock import Mock

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig, reset_cache
from catzilla_cache.cache_middleware import ConditionalCacheMiddleware, SmartCacheMiddleware
from hooked import Handler, ask, both, request_for, response_of, run, small_cache, state_of

__all__ = ["small_cache"]


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
    key = original._generate_cache_key(
        mock_request(path="/api/users", query="page=1&limit=10", headers={"accept": "application/json"})
    )
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
    states = {
        path: [state_of(each) for each in both(middleware, lambda: request_for(path))] for path in ("/api/a", "/admin/a", "/b")
    }
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
        path: run(ask(middleware, request_for(path), plain)).headers["x-cache-ttl"]
        for path in ("/api/users/1", "/api/posts/1", "/static/a", "/x")
    }
    assert ttls == {"/api/users/1": "300", "/api/posts/1": "600", "/static/a": "86400", "/x": "3600"}
    german = run(ask(middleware, request_for("/api/posts/1", headers={"Accept-Language": "de"}), plain))
    assert state_of(german) == "MISS"
    moved = both(middleware, lambda: request_for("/api/users/2"), lambda request: response_of(status=301, headers={}))
    assert [state_of(answer) for answer in moved] == ["MISS", "MISS"], "the rule's statuses hold"
