"""The HTTP cache in a fleet: gunicorn with several workers that share one Redis."""

from __future__ import annotations

import asyncio
import importlib.util
import time
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

import redis_server
import web_server
from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import CacheMiddleware
from conftest import missing
from http_application import Answer, Application, ask, fields, reply

WORKERS = 3
#: What the client of the standard library sends with each request, and every answer is selected by.
AS_CLIENTS_DO = "Accept-Encoding: identity"
PATIENCE_SECONDS = 120.0

APPLICATION = '''
import json, os

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import CacheMiddleware

calls = 0


async def application(scope, receive, send):
    global calls
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    calls += scope["path"] not in ("/up",)
    control = b"no-store" if scope["path"] == "/up" else b"max-age=600"
    fields = [(b"content-type", b"application/json"), (b"cache-control", control), (b"surrogate-key", b"pages")]
    if scope["path"] == "/varied":
        fields.append((b"vary", b"x-kind"))
    made = {"pid": os.getpid(), "call": calls, "kind": dict(scope["headers"]).get(b"x-kind", b"").decode()}
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(made).encode()})


cached = CacheMiddleware(
    application, cache_instance=SmartCache(SmartCacheConfig(memory_capacity=1000, redis_enabled=True, redis_url="REDIS", secret="of the whole fleet"))
)


async def fleet(scope, receive, send):
    """Says which worker has answered, whoever made the answer."""
    async def signed(message):
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-worker", b"%d" % os.getpid())]}
        await send(message)

    await cached(scope, receive, signed if scope["type"] == "http" else send)
'''


@pytest.fixture
def redis(redis_installed: None, tmp_path: Path) -> Iterator[redis_server.RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server.running(folder) as server:
        yield server


@pytest.fixture(params=["asgi", "uvicorn.workers.UvicornWorker"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path, redis: redis_server.RedisServer) -> Iterator[web_server.WebServer]:
    for module in ("gunicorn", "uvicorn"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} (PyPI)")
    (tmp_path / "application.py").write_text(APPLICATION.replace("REDIS", redis.url))
    arguments = ["gunicorn", "--workers", str(WORKERS), "--worker-class", request.param, "--bind", "127.0.0.1:PORT"]
    # Workers are ended when they are silent for so long; a slow machine is no reason.
    arguments += ["--timeout", "300", "--no-control-socket", "--log-level", "warning", "application:fleet"]
    with web_server.running(tmp_path, arguments, "/up") as server:
        yield server
        status, said = server.stop()
        assert (status, said) == (0, ""), said


Got = Tuple[int, Any, Dict[str, str]]


def get(server: web_server.WebServer, path: str, **headers: str) -> Got:
    """Over a connection of its own, so that any worker may take it: which one it was, what it answered, and the fields."""
    import json

    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers={"Host": "example.com", **headers})
    method = headers.pop("method", None)
    if method:
        request.method = method
        request.remove_header("Method")
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        told = {name.lower(): value for name, value in answer.headers.items()}
        return int(told["x-worker"]), json.loads(answer.read()), told


def by_every_worker(server: web_server.WebServer, path: str, **headers: str) -> List[Got]:
    """What each of the workers answers, the first answer of each."""
    found: Dict[int, Got] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < WORKERS:
        assert time.monotonic() < deadline, f"only {len(found)} workers have answered"
        got = get(server, path, **headers)
        found.setdefault(got[0], got)
    return list(found.values())


def from_redis(redis: redis_server.RedisServer, url: str, *lines: str) -> Tuple[Answer, int]:
    """What a process that has nothing in memory finds for a URL; and whether it had to ask its own application."""
    application = Application(reply("Cache-Control: max-age=600", body=b"its own"))
    config = SmartCacheConfig(memory_capacity=10, redis_enabled=True, redis_url=redis.url, secret="of the whole fleet")
    with SmartCache(config) as cache:
        middleware = CacheMiddleware(application, cache_instance=cache)
        return asyncio.run(ask(middleware, "GET", url, fields(AS_CLIENTS_DO, *lines))), len(application.asked)


def wait_for_redis(redis: redis_server.RedisServer, url: str, *lines: str) -> None:
    """Until Redis has a URL's answer, which is written there while the client has it already. Asks nobody for another."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while from_redis(redis, url, "Cache-Control: only-if-cached", *lines)[0].status == 504:
        assert time.monotonic() < deadline, f"{url} has not come to Redis"


def test_an_answer_that_one_worker_made_is_served_by_all(fleet: web_server.WebServer, redis: redis_server.RedisServer) -> None:
    made_by, made, told = get(fleet, "/page")
    assert told["x-cache"] == "MISS" and made["pid"] == made_by
    wait_for_redis(redis, "/page")
    got = by_every_worker(fleet, "/page")
    assert {worker for worker, _, _ in got} >= {made_by} and len(got) == WORKERS
    for _, body, told in got:
        assert (body, told["x-cache"]) == (made, "HIT")
    # Also a process that is not of the fleet.
    answer, asked = from_redis(redis, "/page")
    assert (answer.is_hit, asked, answer["surrogate-key"]) == (True, 0, "pages")


def test_variants_are_shared_and_stay_apart(fleet: web_server.WebServer, redis: redis_server.RedisServer) -> None:
    made = {kind: get(fleet, "/varied", **{"X-Kind": kind})[1] for kind in ("a", "b")}
    for kind, body in made.items():
        assert body["kind"] == kind
        wait_for_redis(redis, "/varied", f"X-Kind: {kind}")
        for _, got, told in by_every_worker(fleet, "/varied", **{"X-Kind": kind}):
            assert (got, told["x-cache"]) == (body, "HIT")
    answer, asked = from_redis(redis, "/varied", "X-Kind: b")
    assert answer.is_hit and b'"b"' in answer.body and asked == 0
    answer, asked = from_redis(redis, "/varied", "X-Kind: c")
    assert not answer.is_hit and asked == 1


def test_a_change_at_one_worker_reaches_redis(fleet: web_server.WebServer, redis: redis_server.RedisServer) -> None:
    for path in ("/page", "/other"):
        get(fleet, path)
        wait_for_redis(redis, path)
    worker, _, _ = get(fleet, "/page", method="POST")
    # Gone from Redis before the answer to the change; the worker that made it does not have it either.
    answer, asked = from_redis(redis, "/page")
    assert (answer.is_hit, asked) == (False, 1)
    assert from_redis(redis, "/other")[1] == 0, "another URL stays"


def test_a_fleet_goes_on_without_its_redis(fleet: web_server.WebServer, redis: redis_server.RedisServer) -> None:
    get(fleet, "/page")
    redis.kill()
    for path in ("/page", "/new"):
        for _, body, told in by_every_worker(fleet, path):
            assert told["x-cache"] in ("HIT", "MISS") and body["pid"]
