"""A program may end whenever it likes, with caches open and threads in them: exit status 0, and not a word on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest

from catzilla_cache import BytesCache
from interpreter import run

#: Each opens a cache that has threads of its own: one that sweeps, one that writes to the disk, one that tells a listener.
OPENED = """
import sys, threading
from catzilla_cache import BytesCache, CacheError

told = []
options = {"memory.capacity": 50, "memory.sweep_interval": "1ms", "disk.commit_interval": "1ms"}
cache = BytesCache({"disk.path": sys.argv[1], **options})
cache.set_listener(lambda key, value, cause: told.append(key))
for number in range(200):
    cache.set(f"key {number}", b"value" * 50, ttl=0.002 if number % 2 else None)
"""

#: Threads that never stop calling, some of them in the middle of a call when the program ends.
CALLING = """
def call(cache, number):
    inside.wait()
    try:
        while True:
            cache.set(f"thread {number}", b"value" * 100, ttl=0.001)
            cache.get("key 1")
            cache.get_many(["key 2", "key 3"])
            cache.get_or_set(f"loaded {number}", lambda: b"loaded", ttl=0.001)
    except CacheError as error:
        # Where the program closes it.
        assert str(error) == "the cache is closed", error

inside = threading.Barrier(5)
for number in range(4):
    threading.Thread(target=call, args=(cache, number), daemon=True).start()
inside.wait()
"""

ENDINGS = {
    "at the last line": "",
    "by sys.exit": "sys.exit(0)",
    "with the cache in a cycle": "class Node: pass\nnode = Node()\nnode.me, node.cache = node, cache\ndel node, cache",
    "with the cache in the registry of modules": "sys.modules['kept'] = cache",
    "with the cache in a thread's own storage": "local = threading.local()\nlocal.cache = cache",
    "closed by atexit": "import atexit\natexit.register(cache.close)",
    "used by atexit": "import atexit\natexit.register(lambda: cache.set('at exit', b'x', ttl=0.001))",
    "from a thread that is not a daemon": "def last():\n    for _ in range(1000): cache.set('last', b'x')\nthreading.Thread(target=last).start()",
    "after a fork": "import os, warnings\nwarnings.simplefilter('ignore')\n"
    "pid = os.fork()\nif pid: assert os.waitpid(pid, 0)[1] == 0",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("calling", ["", CALLING], ids=["quiet", "threads calling"])
def test_a_program_ends_in_silence(tmp_path: Path, ending: str, calling: str) -> None:
    done = run(OPENED + calling + ending, str(tmp_path / "cache"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_was_stored_before_the_end_is_on_disk_after_it(tmp_path: Path) -> None:
    # A cache that nobody closes is closed when its last reference goes, at the end of its module at the latest.
    done = run(OPENED, str(tmp_path / "cache"))
    assert (done.returncode, done.stderr) == (0, "")
    with BytesCache({"disk.path": tmp_path / "cache"}) as cache:
        assert all(cache.get(f"key {number}") == b"value" * 50 for number in range(0, 200, 2))


@pytest.mark.parametrize("name", ["catzilla_cache", "catzilla_cache.command.main"])
def test_importing_starts_no_thread_and_opens_nothing(name: str) -> None:
    done = run(f"""
        import os

        def open_files():
            links = (f"/proc/self/fd/{{number}}" for number in os.listdir("/proc/self/fd"))
            return {{os.readlink(link) for link in links if os.path.exists(link)}}

        before = open_files()
        import {name}
        print(len(os.listdir("/proc/self/task")), open_files() - before)
        """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 set()\n", "")
