"""The published Catzilla framework with this package in place of its `catzilla.smart_cache`: what its caching guide shows, served over HTTP.

Without the package the framework never reaches its engine from Python, and its memory tier is not there: that is the control.
Where the framework is expected is told in test_original_framework.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest

from conftest import missing
from interpreter import PACKAGE_FOLDER

# Far beyond what starting takes on a slow machine.
PATIENCE_SECONDS = 60

IN_PLACE = """
import sys
import catzilla_cache.smart_cache
sys.modules["catzilla.smart_cache"] = catzilla_cache.smart_cache
"""

APP = """
import sys
from catzilla import Catzilla, JSONResponse, Path, Request, Response, SmartCache, SmartCacheConfig, cached, get_cache, reset_cache

port, folder = int(sys.argv[1]), sys.argv[2]
app = Catzilla()
cache = SmartCache(SmartCacheConfig(
    memory_capacity=1000, memory_ttl=300, compression_enabled=True, jemalloc_enabled=True,
    disk_enabled=True, disk_path=folder + "/cache", enable_stats=True, auto_expire_interval=60,
))
runs = {"user": 0, "fibonacci": 0}

@app.get("/cached-data/{key}")
def get_cached_data(request: Request, key: str = Path(..., description="Cache key to retrieve")) -> Response:
    value, found = cache.get(f"data:{key}")
    if not found:
        value = {"key": key, "list": [1, 2.5, None], "text": "grüße"}
        cache.set(f"data:{key}", value, ttl=300)
    return JSONResponse({"data": value, "cache_hit": found})

@cached(ttl=600, key_prefix="user_data")
def get_user_data(user_id: int):
    runs["user"] += 1
    return {"user_id": user_id, "name": f"User {user_id}"}

@app.get("/users/{user_id}")
def get_user(request: Request, user_id: int = Path(..., ge=1)) -> Response:
    return JSONResponse({"user": get_user_data(user_id), "runs": runs["user"]})

@cached(ttl=600, key_prefix="fibonacci")
def fibonacci(n: int) -> int:
    runs["fibonacci"] += 1
    return n if n <= 1 else fibonacci(n - 1) + fibonacci(n - 2)

@app.get("/patterns/fibonacci/{n}")
def fibonacci_of(request: Request, n: int = Path(..., ge=1, le=50)) -> Response:
    return JSONResponse({"n": n, "fibonacci": fibonacci(n), "runs": runs["fibonacci"]})

@app.get("/cache/evict/{key}")
def evict(request: Request, key: str = Path(...)) -> Response:
    cache._memory_cache.delete(f"data:{key}")
    return JSONResponse({"memory": cache._memory_cache.exists(f"data:{key}"), "disk": cache._disk_cache.exists(f"data:{key}")})

@app.get("/cache/analytics")
def analytics(request: Request) -> Response:
    stats, health = cache.get_stats(), cache.health_check()
    return JSONResponse({
        "hits": stats.hits, "misses": stats.misses, "hit_ratio": f"{stats.hit_ratio:.2%}", "size": stats.size,
        "ops_per_second": getattr(stats, "ops_per_second", None), "tiers": stats.tier_stats, "health": health,
        "engine": type(cache).__module__, "jemalloc": cache.config.jemalloc_enabled,
        "key": cache.generate_key("GET", "/api/users", "page=1&limit=10", {"accept": "application/json"}),
    })

app.listen(port=port, host="127.0.0.1")
"""


class Server(NamedTuple):
    port: int

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from None


def serve(program: str, folder: Path) -> Iterator[Server]:
    original = Path(os.environ.get("CATZILLA_ORIGINAL_DIR", Path(PACKAGE_FOLDER).parents[1] / "build" / "original"))
    if not (original / "catzilla" / "__init__.py").is_file():
        missing(f"the published framework in {original} (PyPI: catzilla==0.2.3)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = folder / "output.txt"
    with output.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(port), str(folder)],
            env={**os.environ, "PYTHONPATH": f"{PACKAGE_FOLDER}{os.pathsep}{original}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
            cwd=folder,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Server(port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve(IN_PLACE + APP, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve(APP, tmp_path_factory.mktemp("original"))


def test_a_handler_gets_back_what_it_has_stored(ours: Server) -> None:
    first, second = ours.get("/cached-data/example"), ours.get("/cached-data/example")
    assert (first["cache_hit"], second["cache_hit"]) == (False, True)
    assert first["data"] == second["data"] == {"key": "example", "list": [1, 2.5, None], "text": "grüße"}


def test_a_decorated_function_runs_once_for_each_call(ours: Server) -> None:
    answers = [ours.get(f"/users/{user}") for user in (7, 7, 8, 7)]
    assert [answer["runs"] for answer in answers] == [1, 1, 2, 2]
    assert answers[3]["user"] == {"user_id": 7, "name": "User 7"}


def test_a_decorated_function_may_call_itself(ours: Server) -> None:
    answer = ours.get("/patterns/fibonacci/30")
    assert (answer["fibonacci"], answer["runs"]) == (832040, 31)


def test_what_memory_has_lost_comes_back_from_disk(ours: Server) -> None:
    ours.get("/cached-data/moved")
    assert ours.get("/cache/evict/moved") == {"memory": False, "disk": True}
    assert ours.get("/cached-data/moved")["cache_hit"] is True


def test_the_memory_tier_is_healthy_and_counts(ours: Server) -> None:
    ours.get("/cached-data/counted")
    ours.get("/cached-data/counted")
    told = ours.get("/cache/analytics")
    assert told["engine"] == "catzilla_cache.smart_cache"
    assert told["health"] == {"memory": True, "redis": False, "disk": True}
    assert told["hits"] >= 1 and told["misses"] >= 1 and told["size"] >= 1
    assert told["tiers"]["memory"]["hits"] >= 1 and told["ops_per_second"] > 0
    for part in ("GET", "/api/users", "page=1", "limit=10"):
        assert part in told["key"]


def test_control_the_framework_by_itself_has_no_memory_tier(original: Server) -> None:
    told = original.get("/cache/analytics")
    assert told["engine"] == "catzilla.smart_cache"
    assert told["health"]["memory"] is False
