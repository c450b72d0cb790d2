"""What does a look-up cost, and a write: in memory, on disk and in Redis, beside what people use today?

    make bench-python

Values are 128 bytes, keys of 10,000 in random order. The ctypes backend is measured in a process of its own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

import harness
from harness import Question, contestant, peer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import redis_server  # noqa: E402 - the tests' own

from catzilla_cache import BytesCache, SmartCache, SmartCacheConfig  # noqa: E402
from catzilla_cache._backend import VARIABLE, backend  # noqa: E402

KEYS = [f"user:{number:06d}" for number in range(10_000)]
VALUE = b"x" * 128
CAPACITY = 20_000

COUNT = 50_000
COUNT_OF_STORES = 2_000


def keys() -> Iterator[str]:
    """Keys without end, each a str of its own now and then, as a program's are: from a list that is gone through in turn."""
    shuffled = random.Random(1).sample(KEYS, len(KEYS))
    while True:
        yield from shuffled


def filled(cache: Any, setter: str = "set") -> Any:
    for key in KEYS:
        getattr(cache, setter)(key, VALUE)
    return cache


def in_memory() -> "list[Question]":
    following = keys().__next__
    nothing = contestant("the loop and the next key alone", "following()", COUNT, following=following)
    bytes_cache = filled(BytesCache({"memory.capacity": CAPACITY}))
    smart = filled(SmartCache(SmartCacheConfig(memory_capacity=CAPACITY)))
    gets = [nothing]
    sets = []
    hundreds = [contestant("SmartCache, one by one", "[get(key) for key in batch]", COUNT // 100, get=smart.get, batch=KEYS[:100])]
    cachebox = peer("cachebox")
    if cachebox is not None:
        box = cachebox.LRUCache(CAPACITY)
        for key in KEYS:
            box[key] = VALUE
        gets.append(contestant("cachebox", "cache.get(following())", COUNT, cache=box, following=following))
        sets.append(contestant("cachebox", "cache[following()] = value", COUNT, cache=box, following=following, value=VALUE))
    cachetools = peer("cachetools")
    if cachetools is not None:
        tools = cachetools.LRUCache(CAPACITY)
        for key in KEYS:
            tools[key] = VALUE
        gets.append(contestant("cachetools", "cache.get(following())", COUNT, cache=tools, following=following))
        sets.append(contestant("cachetools", "cache[following()] = value", COUNT, cache=tools, following=following, value=VALUE))
    is_compiled = backend.NAME == "cffi"
    return [
        Question(
            "get of 128 bytes, a hit in memory: BytesCache",
            contestant("BytesCache.get", "cache.get(following())", COUNT, cache=bytes_cache, following=following),
            gets,
            targets={"cachebox": 3} if is_compiled else {},
        ),
        Question(
            "get of 128 bytes, a hit in memory: SmartCache",
            contestant("SmartCache.get", "cache.get(following())", COUNT, cache=smart, following=following),
            gets,
            targets={"cachebox": 3} if is_compiled else {},
        ),
        Question(
            "set of 128 bytes over what is there: BytesCache",
            contestant("BytesCache.set", "cache.set(following(), value)", COUNT, cache=bytes_cache, following=following, value=VALUE),
            sets,
            targets={"cachebox": 4} if is_compiled else {},
        ),
        Question(
            "get_many of 100, for all of them",
            contestant("SmartCache.get_many", "cache.get_many(batch)", COUNT // 100, cache=smart, batch=KEYS[:100]),
            hundreds,
        ),
    ]


def on_disk(folder: str) -> "list[Question]":
    options = {"memory.max_value_size": 0}
    cache = filled(SmartCache(SmartCacheConfig(disk_enabled=True, disk_path=f"{folder}/ours", options=options)))
    cache.flush()
    following = keys().__next__
    count = COUNT_OF_STORES
    gets, sets = [], []
    diskcache = peer("diskcache")
    if diskcache is not None:
        other = filled(diskcache.Cache(f"{folder}/diskcache"))
        gets.append(contestant("diskcache", "cache.get(following())", count, cache=other, following=following))
        sets.append(contestant("diskcache", "cache.set(following(), value)", count, cache=other, following=following, value=VALUE))
    return [
        Question(
            "get of 128 bytes from disk",
            contestant("SmartCache.get, memory keeps nothing", "cache.get(following())", count, cache=cache, following=following),
            gets,
            targets={"diskcache": 0.5},
        ),
        Question(
            "set of 128 bytes to disk (queued; diskcache commits each)",
            contestant("SmartCache.set", "cache.set(following(), value)", count, cache=cache, following=following, value=VALUE),
            sets,
            targets={"diskcache": 0.5},
        ),
    ]


def in_redis(url: str) -> "list[Question]":
    options = {"memory.max_value_size": 0}
    cache = filled(SmartCache(SmartCacheConfig(redis_enabled=True, redis_url=url, options=options)))
    following = keys().__next__
    count = COUNT_OF_STORES
    gets, sets = [], []
    redis = peer("redis")
    if redis is not None:
        other = filled(redis.Redis.from_url(url))
        gets.append(contestant("redis-py", "cache.get(following())", count, cache=other, following=following))
        sets.append(contestant("redis-py", "cache.set(following(), value)", count, cache=other, following=following, value=VALUE))
    return [
        Question(
            "get of 128 bytes from Redis",
            contestant("SmartCache.get, memory keeps nothing", "cache.get(following())", count, cache=cache, following=following),
            gets,
            targets={"redis-py": 0.5},
        ),
        Question(
            "set of 128 bytes to Redis",
            contestant("SmartCache.set", "cache.set(following(), value)", count, cache=cache, following=following, value=VALUE),
            sets,
        ),
    ]


def main(arguments: "list[str]") -> int:
    print(f"\nBackend: {backend.NAME}")
    if backend.NAME == "ctypes":
        return harness.run("Values in memory", in_memory(), arguments)
    with tempfile.TemporaryDirectory() as folder, redis_server.running(Path(folder)) as server:
        outcome = harness.run("Values", [*in_memory(), *on_disk(folder), *in_redis(server.url)], arguments)
    subprocess.run([sys.executable, __file__, *arguments], env={**os.environ, VARIABLE: "ctypes"})
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
