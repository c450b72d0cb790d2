"""Filling the cache before anybody asks: by clients of all kinds, and by the middleware itself; and that nothing that fails is passed over."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Dict, Iterable, List

import pytest

from catzilla_cache import SmartCache
from catzilla_cache.cache_middleware import CacheMiddleware, SmartCacheMiddleware, WSGICacheMiddleware, warm_cache
from catzilla_cache.errors import CacheValueError
from hooked import small_cache

__all__ = ["small_cache"]


class Site:
    """What both applications answer: everything may be stored but /secret, /fails fails, /moved leads elsewhere."""

    def __init__(self) -> None:
        self.asked: List[str] = []
        self.at_once = self.most_at_once = 0

    def answer(self, url: str, path: str) -> "tuple[int, Dict[str, str], bytes]":
        self.asked.append(url)
        if path == "/fails":
            raise ValueError("the page cannot be made")
        headers = {"cache-control": "no-store" if path == "/secret" else "max-age=600"}
        if path == "/moved":
            return 301, {**headers, "location": "/secret"}, b""
        return 200, headers, b"answer"

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await receive()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        self.at_once -= 1
        host = dict(scope["headers"])[b"host"].decode()
        query = "?" + scope["query_string"].decode() if scope["query_string"] else ""
        status, headers, body = self.answer(f"{scope['scheme']}://{host}{scope['raw_path'].decode()}{query}", scope["path"])
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    def wsgi(self, environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert environ["wsgi.input"].read() == b""
        query = "?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else ""
        url = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{environ['PATH_INFO']}{query}"
        status, headers, body = self.answer(url, environ["PATH_INFO"])
        start_response(f"{status} Told", list(headers.items()))
        return [body]


URLS = ["/", "/a?b=1", "/moved", "/secret", "/fails"]


def check(warmed: Any, prefix: str = "http://localhost") -> None:
    assert warmed.stored == [prefix + url for url in URLS[:3]] and warmed.present == []
    assert set(warmed.failed) == {prefix + "/secret", prefix + "/fails"}
    assert "was not stored" in warmed.failed[prefix + "/secret"] and "status 200" in warmed.failed[prefix + "/secret"]
    assert "ValueError: the page cannot be made" in warmed.failed[prefix + "/fails"]
    assert not warmed


def test_an_asgi_middleware_asks_its_application_itself(cache: SmartCache) -> None:
    site = Site()
    middleware = CacheMiddleware(site.asgi, cache_instance=cache)
    check(asyncio.run(middleware.warm_cache(URLS)))  # type: ignore[arg-type]
    again = asyncio.run(middleware.warm_cache(["/", "/new", "/"]))  # type: ignore[arg-type]
    assert (again.stored, again.present, bool(again)) == (["http://localhost/new"], ["http://localhost/"], True)
    assert site.asked[:2] == ["http://localhost/", "http://localhost/a?b=1"]


def test_a_wsgi_middleware_asks_its_application_itself(cache: SmartCache) -> None:
    site = Site()
    middleware = WSGICacheMiddleware(site.wsgi, cache_instance=cache)
    check(middleware.warm_cache(URLS))
    again = middleware.warm_cache(["/", "/new"])
    assert (again.stored, again.present) == (["http://localhost/new"], ["http://localhost/"])  # type: ignore[union-attr]


def test_host_scheme_and_fields_are_those_that_clients_will_send(cache: SmartCache) -> None:
    httpx = pytest.importorskip("httpx")
    site = Site()
    middleware = CacheMiddleware(site.asgi, cache_instance=cache)

    async def course() -> Any:
        await middleware.warm_cache(["/a"], base_url="https://example.org:8443/x", headers={"Accept-Encoding": "gzip"})  # type: ignore[misc]
        await middleware.warm_cache(["https://example.org:8443/é b"])  # type: ignore[misc]
        transport = httpx.ASGITransport(middleware)
        async with httpx.AsyncClient(transport=transport, base_url="https://example.org:8443") as client:
            client.headers.clear()
            return [
                (await client.get("/a", headers=headers)).headers["x-cache"] for headers in ({"Accept-Encoding": "gzip"}, {})
            ]

    assert asyncio.run(course()) == ["HIT", "MISS"]
    assert site.asked == ["https://example.org:8443/a", "https://example.org:8443/%C3%A9%20b", "https://example.org:8443/a"]


def test_a_client_that_is_awaited_fetches_several_at_a_time_and_no_more(cache: SmartCache) -> None:
    httpx = pytest.importorskip("httpx")
    site = Site()
    middleware = CacheMiddleware(site.asgi, cache_instance=cache)

    async def course() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url="http://localhost") as client:
            return await middleware.warm_cache([f"/{number}" for number in range(20)], client, concurrency=3)  # type: ignore[misc]

    warmed = asyncio.run(course())
    assert len(warmed.stored) == 20 and site.most_at_once == 3


def test_flasks_client(cache: SmartCache) -> None:
    flask = pytest.importorskip("flask")
    app, site = flask.Flask(__name__), Site()

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def page(path: str) -> Any:
        status, headers, body = site.answer(flask.request.url, "/" + path)
        return body, status, headers

    app.config["PROPAGATE_EXCEPTIONS"] = True
    middleware = app.wsgi_app = WSGICacheMiddleware(app.wsgi_app, cache_instance=cache)
    check(middleware.warm_cache(URLS, app.test_client()), "")
    assert middleware.stats["cache_sets"] == 3


def test_djangos_client_and_others_like_it_are_asked_by_their_get(cache: SmartCache) -> None:
    class Response:
        def __init__(self, state: str) -> None:
            self.status_code, self.headers = 200, {"X-Cache": state, "Cache-Status": "catzilla; fwd=uri-miss; stored"}

    class Client:
        def get(self, url: str) -> Response:
            return Response("HIT" if url == "/hit" else "MISS")

    warmed = warm_cache(["/hit", "/miss"], Client())
    assert (warmed.present, warmed.stored) == (["/hit"], ["/miss"])  # type: ignore[union-attr]


def test_starlettes_client_that_follows_redirects_is_told_of_the_redirect(cache: SmartCache) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    site = Site()
    middleware = CacheMiddleware(site.asgi, cache_instance=cache)
    warmed = middleware.warm_cache(["/moved"], testclient.TestClient(middleware))
    assert warmed.stored == ["/moved"] and len(site.asked) == 2  # type: ignore[union-attr]


def test_a_function_of_a_url_is_a_client() -> None:
    async def get(url: str) -> Any:
        return SimpleNamespace(status_code=200, headers={"x-cache": "HIT"})

    assert asyncio.run(warm_cache(["/a"], get)).present == ["/a"]  # type: ignore[arg-type]
    warmed = warm_cache(["/a"], lambda url: SimpleNamespace(status_code=200, headers={}))
    assert "no X-Cache" in warmed.failed["/a"]  # type: ignore[union-attr]


CHOICES = [(), ["x-cache"], ["cache-status"], ["x-cache", "cache-status"]]


@pytest.mark.parametrize("state_fields", CHOICES)
def test_a_middleware_that_asks_itself_knows_what_clients_are_not_told(cache: SmartCache, state_fields: Any) -> None:
    asgi = CacheMiddleware(Site().asgi, cache_instance=cache, key_prefix="asgi", state_fields=state_fields)
    wsgi = WSGICacheMiddleware(Site().wsgi, cache_instance=cache, key_prefix="wsgi", state_fields=state_fields)
    asks: List[Any] = [lambda urls: asyncio.run(asgi.warm_cache(urls)), wsgi.warm_cache]  # type: ignore[arg-type]
    for middleware, warm in zip((asgi, wsgi), asks):
        check(warm(URLS))
        again = warm(["/", "/new"])
        assert (again.stored, again.present) == (["http://localhost/new"], ["http://localhost/"])
        # The requests are counted as those of others are.
        assert middleware.stats["total_requests"] == 7 and middleware.stats["cache_hits"] == 1 and middleware.state_fields == set(state_fields)


@pytest.mark.parametrize("state_fields", CHOICES[1:])
def test_one_of_the_fields_is_enough_for_who_asks_by_a_client(cache: SmartCache, state_fields: Any) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    middleware = CacheMiddleware(Site().asgi, cache_instance=cache, state_fields=state_fields)
    client = testclient.TestClient(middleware, follow_redirects=False)
    for warm in (middleware.warm_cache, warm_cache):
        middleware.clear_cache()
        check(warm(URLS, client), "")
        again: Any = warm(["/", "/new"], client)
        assert (again.stored, again.present) == (["/new"], ["/"])


def test_who_asks_by_a_client_is_told_that_answers_tell_nothing(cache: SmartCache) -> None:
    testclient = pytest.importorskip("starlette.testclient")
    site = Site()

    async def behind_another(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"cache-status", b"Upstream; hit"))
            await send(message)

        await site.asgi(scope, receive, told)

    middleware = CacheMiddleware(behind_another, cache_instance=cache, state_fields=())
    warmed: Any = middleware.warm_cache(["/"], testclient.TestClient(middleware))
    # What another cache says is not what was asked.
    assert (warmed.stored, warmed.present) == ([], []) and "state_fields is empty" in warmed.failed["/"]
    assert middleware.stats["cache_sets"] == 1


@pytest.mark.parametrize(
    "told, what",
    [
        ("Upstream; hit, catzilla; fwd=uri-miss; fwd-status=200; stored", "stored"),
        ("Upstream; fwd=uri-miss; stored, catzilla; hit; ttl=5", "present"),
        ("catzilla; fwd=uri-miss; collapsed", "present"),
        ("catzilla; fwd=stale; fwd-status=304", "present"),
        ("catzilla; fwd=stale; fwd-status=503; detail=stale-if-error", "present"),
        ("Upstream; fwd=uri-miss; stored, catzilla; fwd=request; fwd-status=200", "failed"),
        ("Upstream; hit, catzilla; fwd=uri-miss; fwd-status=500", "failed"),
    ],
)
def test_where_there_is_no_x_cache_the_cache_next_to_the_client_has_the_word(told: str, what: str) -> None:
    warmed = warm_cache(["/a"], lambda url: SimpleNamespace(status_code=200, headers={"Cache-Status": told}))
    assert "/a" in getattr(warmed, what)
    if what == "failed":
        assert "was not stored: catzilla" in warmed.failed["/a"]  # type: ignore[union-attr]


def test_a_304_that_the_application_sends_by_itself_is_nothing_that_was_stored() -> None:
    told = {"Cache-Status": "catzilla; fwd=uri-miss; fwd-status=304"}
    warmed = warm_cache(["/a"], lambda url: SimpleNamespace(status_code=304, headers=told))
    assert list(warmed.failed) == ["/a"]  # type: ignore[union-attr]


def test_what_has_to_be_awaited_and_does_not_say_so_is_told() -> None:
    async def get(url: str) -> Any:
        raise AssertionError("never awaited")

    warmed = warm_cache(["/a"], lambda url: get(url))
    assert "pass a coroutine function" in warmed.failed["/a"]  # type: ignore[union-attr]


def test_hooks_have_nobody_to_ask(cache: SmartCache) -> None:
    with pytest.raises(CacheValueError, match="nobody to ask"):
        SmartCacheMiddleware(cache_instance=cache).warm_cache(["/a"])
    with pytest.raises(CacheValueError, match="nobody to ask"):
        warm_cache(["/a"])


def test_what_makes_no_sense_is_refused(cache: SmartCache) -> None:
    middleware = WSGICacheMiddleware(Site().wsgi, cache_instance=cache)
    for urls in ("/a", ["ftp://example.org/a"], [""], [3], ["//example.org/a"]):
        with pytest.raises(CacheValueError, match="URL"):
            middleware.warm_cache(urls)  # type: ignore[arg-type]
    with pytest.raises(CacheValueError, match="base_url"):
        middleware.warm_cache(["/a"], base_url="localhost")
    with pytest.raises(CacheValueError, match="concurrency"):
        warm_cache(["/a"], lambda url: None, concurrency=0)
    with pytest.raises(CacheValueError, match="get"):
        warm_cache(["/a"], 3)
