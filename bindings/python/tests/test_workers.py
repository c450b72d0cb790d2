"""Caches in programs of several processes: multiprocessing in its three ways, gunicorn that forks, uvicorn that spawns."""

from __future__ import annotations

import copy
import importlib.util
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import web_server
from catzilla_cache import BytesCache
from conftest import missing
from interpreter import PYTHON_PATH, TIMEOUT_SECONDS, run

PROCESSES = 3


def run_program(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A program from a file, which children that are not forked import anew."""
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


POOL = """
import multiprocessing, os, sys, warnings

from catzilla_cache import BytesCache

# Newer interpreters warn of fork in a process with threads, which is what this is about.
warnings.simplefilter("ignore", DeprecationWarning)
METHOD, FOLDER = sys.argv[1:]
cache = None


def opened():
    global cache
    if cache is None:
        cache = BytesCache({"disk.path": FOLDER, "memory.capacity": 100})
    return cache


def work(number):
    own = opened()
    # Of the parent: through its memory when it was forked, else from its disk.
    assert own["parent"] == b"parent", own.get("parent")
    own[f"child {number}"] = b"%d" % number
    own.flush(120)
    return number, os.getpid()


if __name__ == "__main__":
    opened()["parent"] = b"parent"
    opened().flush(120)
    with multiprocessing.get_context(METHOD).Pool(3) as pool:
        answers = pool.map(work, range(12), chunksize=1)
        pool.close()
        pool.join()
    assert [number for number, _ in answers] == list(range(12))
    assert os.getpid() not in {pid for _, pid in answers}
    # What they wrote is on the disk that all share.
    for number in range(12):
        assert cache[f"child {number}"] == b"%d" % number
    print("all of them")
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_of_processes_shares_the_disk(tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(POOL)
    done = run_program(program, method, str(tmp_path / "cache"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "all of them\n", "")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_cache_is_not_handed_over_by_copying_it(cache: BytesCache, duplicate: "object") -> None:
    with pytest.raises(TypeError, match="BytesCache is not copied or pickled: open one with the same options"):
        duplicate(cache)  # type: ignore[operator]
    cache["key"] = b"value"
    assert cache["key"] == b"value"


APPLICATION = """
import json, os, time
from pathlib import Path

from catzilla_cache import BytesCache

FOLDER = Path(__file__).parent / "cache"
cache = BytesCache({"disk.path": FOLDER, "memory.capacity": 100, "memory.sweep_interval": "50ms"})
# A lifetime, a listener and a disk: everything that has a thread of its own.
cache.set("opened by", b"%d" % os.getpid(), ttl=3600)
cache.set("short", b"", ttl=0.01)
cache.set_listener(lambda key, value, cause: None)
cache.flush(120)


def answer(path):
    # Long enough that the other requests go to other workers.
    time.sleep(0.05)
    mine = f"served by {os.getpid()}"
    cache[mine] = b"%d" % (int(cache.get(mine, b"0")) + 1)
    told = {"pid": os.getpid(), "opened_by": int(cache["opened by"]), "served": int(cache[mine]), "path": path}
    return json.dumps(told).encode()


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer(environ["PATH_INFO"])]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer(scope["path"])})
"""


def test_gunicorn_serves_from_a_cache_that_was_opened_before_it_forked(tmp_path: Path) -> None:
    if importlib.util.find_spec("gunicorn") is None:
        missing("gunicorn (PyPI)")
    (tmp_path / "application.py").write_text(APPLICATION)
    arguments = ["gunicorn", "--preload", "--workers", str(PROCESSES), "--bind", "127.0.0.1:PORT", "--log-level", "warning"]
    # Its workers are ended when they are silent for so long; a slow machine is no reason. It keeps a socket for control in
    # the home otherwise.
    arguments += ["--timeout", "300", "--no-control-socket", "application:wsgi"]
    with web_server.running(tmp_path, arguments, "/up") as server:
        answers = server.answers_of(PROCESSES, "/page")
        assert len(answers) == PROCESSES and server.process.pid not in answers
        # Opened once, by the master, and found in every worker.
        assert {answer["opened_by"] for answer in answers.values()} == {server.process.pid}
        assert all(answer["served"] >= 1 for answer in answers.values())
        status, said = server.stop()
    assert (status, said) == (0, "")
    with BytesCache({"disk.path": tmp_path / "cache"}) as cache:
        # What the workers had queued was written as they ended, or before.
        assert all(int(cache[f"served by {pid}"]) >= 1 for pid in answers)


def test_uvicorn_workers_share_the_disk(tmp_path: Path) -> None:
    if importlib.util.find_spec("uvicorn") is None:
        missing("uvicorn (PyPI)")
    (tmp_path / "application.py").write_text(APPLICATION)
    arguments = [
        "uvicorn",
        "--workers",
        "2",
        "--port",
        "PORT",
        "--log-level",
        "warning",
        "--lifespan",
        "off",
        "application:asgi",
    ]
    with web_server.running(tmp_path, arguments, "/up") as server:
        answers = server.answers_of(2, "/page")
        assert len(answers) == 2
        # Each has opened it for itself, and finds what the last of them has stored.
        assert {answer["opened_by"] for answer in answers.values()} <= {server.process.pid, *answers}
        status, said = server.stop()
    assert (status, said) == (0, "")


SUBINTERPRETER = """
import sys
code = '''
try:
    import catzilla_cache
except ImportError as error:
    print(error, flush=True)
'''
import catzilla_cache
try:
    import _interpreters
    # With the lock of the process, and with one of its own.
    for kind in ("legacy", "isolated"):
        failed = _interpreters.exec(_interpreters.create(kind), code)
        assert failed is None, failed
except ImportError:
    import _xxsubinterpreters
    for isolated in (False, True):
        _xxsubinterpreters.run_string(_xxsubinterpreters.create(isolated=isolated), code)
with catzilla_cache.BytesCache() as cache:
    cache["key"] = b"value"
    print(cache["key"].decode(), flush=True)
"""


def test_a_subinterpreter_is_told_to_use_the_main_one() -> None:
    done = run(SUBINTERPRETER)
    refusal = (
        "catzilla_cache cannot be used in a subinterpreter: use it in the main interpreter, or in a process of its own\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, 2 * refusal + "value\n", "")
