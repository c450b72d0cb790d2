"""fork() while other threads are in the middle of calls: parent and child both go on with the same cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interpreter import output_of

FORKING = """
import os, signal, sys, threading, warnings
from catzilla_cache import BytesCache

# Newer interpreters warn of fork in a process with threads, which is the very thing this is about.
warnings.simplefilter("ignore", DeprecationWarning)

THREADS, FORKS = 4, int(sys.argv[1])
cache = BytesCache({"memory.capacity": 200, **eval(sys.argv[2])})
stop = threading.Event()
failures = []
rounds = [0] * THREADS

def check(key, value):
    number, _, rest = value.partition(b"|")
    return number == key.encode() and rest == bytes([len(rest) % 251]) * len(rest)

def write(number):
    step = 0
    while not stop.is_set():
        step += 1
        key = f"{number}/{step % 100}"
        size = step * 31 % 5000
        cache[key] = key.encode() + b"|" + bytes([size % 251]) * size
        found = cache.get(key)
        if found is not None and not check(key, found):
            failures.append(key)
        if step % 7 == 0:
            cache.delete(key)
        if step % 500 == 0:
            cache.clear()
        rounds[number] = step

threads = [threading.Thread(target=write, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
while min(rounds) < 100:
    stop.wait(0.01)

def child():
    signal.alarm(120)  # a deadlock ends as SIGALRM, which the parent reports
    for number in range(THREADS):
        for step in range(100):
            found = cache.get(f"{number}/{step}")
            assert found is None or check(f"{number}/{step}", found)
    for step in range(500):
        cache[f"child {step}"] = b"value" * 50
        assert cache[f"child {step}"] == b"value" * 50
    assert len(cache) <= 200
    cache.statistics()
    cache.clear()
    assert len(cache) == 0
    with BytesCache({"memory.capacity": 10}) as another:
        another["key"] = b"value"
        assert another["key"] == b"value"
    mine = []
    thread = threading.Thread(target=lambda: mine.append(cache.get("absent")))
    thread.start()
    thread.join()
    assert mine == [None]
    cache.close()

statuses = []
for _ in range(FORKS):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    statuses.append(os.waitpid(pid, 0)[1])
    if statuses[-1] != 0:  # 14 is the alarm: a deadlock
        print(f"child {len(statuses)} ended with wait status {statuses[-1]}", file=sys.stderr, flush=True)
        os._exit(1)

before = list(rounds)
while any(now < then + 100 for now, then in zip(rounds, before)):
    assert all(thread.is_alive() for thread in threads)
    stop.wait(0.01)
stop.set()
for thread in threads:
    thread.join()
cache["parent"] = b"goes on"
assert cache["parent"] == b"goes on"
assert not failures, failures[:5]
assert len(statuses) == FORKS
print("both went on")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "options",
    ["{}", "{'memory.jemalloc': False, 'memory.compression': False, 'memory.shards': 1}"],
    ids=["defaults", "plain"],
)
def test_parent_and_child_go_on_after_a_fork_while_four_threads_write(options: str) -> None:
    assert output_of(FORKING, "40", options) == "both went on\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parent_and_child_share_the_disk_after_a_fork_while_a_thread_writes(tmp_path: Path) -> None:
    printed = output_of(
        """
        import os, signal, sys, threading, warnings
        from catzilla_cache import BytesCache

        warnings.simplefilter("ignore", DeprecationWarning)
        # So little memory that nearly everything is read from the disk.
        cache = BytesCache({"disk.path": sys.argv[1], "memory.capacity": 5, "disk.commit_interval": "2ms"})
        stop = threading.Event()
        wrong = []

        def write():
            step = 0
            while not stop.is_set():
                step += 1
                cache[f"thread {step % 50}"] = b"%d" % (step % 50) * 100
                found = cache.get(f"thread {step * 7 % 50}")
                if found not in (None, b"%d" % (step * 7 % 50) * 100):
                    wrong.append(found)

        thread = threading.Thread(target=write)
        thread.start()
        for number in range(5):
            cache[f"parent {number}"] = b"parent"
            pid = os.fork()
            if pid == 0:
                signal.alarm(120)  # a deadlock ends as SIGALRM
                for child in range(20):
                    cache[f"child {number}/{child}"] = b"child"
                cache.flush(60)
                good = all(cache.get(f"child {number}/{child}") == b"child" for child in range(20))
                os._exit(0 if good and cache.health("disk").is_up else 1)
            status = os.waitpid(pid, 0)[1]
            if status != 0:
                print(f"child {number} ended with wait status {status}", file=sys.stderr, flush=True)
                os._exit(1)
        stop.set()
        thread.join()
        cache.flush(60)
        assert not wrong, wrong[:3]
        cache.close()
        cache = BytesCache({"disk.path": sys.argv[1]})
        for number in range(5):
            assert cache[f"parent {number}"] == b"parent"
            for child in range(20):
                assert cache[f"child {number}/{child}"] == b"child"
        print("both are there")
        """,
        str(tmp_path / "cache"),
    )
    assert printed == "both are there\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_what_the_child_does_is_not_seen_by_the_parent() -> None:
    printed = output_of(
        """
        import os
        from catzilla_cache import BytesCache

        cache = BytesCache()
        cache["shared"] = b"before"
        pid = os.fork()
        if pid == 0:
            ok = cache.get("shared") == b"before"
            cache["shared"] = b"child"
            cache["child"] = b"child"
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
        print(cache["shared"].decode(), "child" in cache, len(cache))
        """
    )
    assert printed == "before False 1\n"
