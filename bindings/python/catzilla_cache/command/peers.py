"""The contenders of ``bench``: this package, and what people use today in its place, each asked the same questions.

A contender prepares itself and returns what runs one round. It is imported when it is prepared, so that a peer that is missing
costs a line in the table and nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Awaitable, Callable

#: Few enough to fill quickly, too many for the processor's nearest cache. Every contender has room for all.
KEYS = 10_000
#: A small document: what most values of a web program are.
VALUE = b"v" * 128
#: Longer than any run.
LIFETIME = 3600

GET = "get of 128 bytes, a hit"
SET = "set with an eviction"
EXPIRING = "get where entries have lifetimes"
CALL = "call of a cached function, a hit"
AWAIT = "await of a get, a hit"
DISK_GET = "get from disk"
DISK_SET = "set to disk"

#: What a contender prepares: one round.
Round = Callable[[], None]


@dataclass(frozen=True)
class Contender:
    question: str
    name: str
    #: What has to be importable.
    module: str
    #: Given what is closed at the end, an empty folder, and how many operations a round has.
    prepare: Callable[[ExitStack, str, int], Round]

    @property
    def is_ours(self) -> bool:
        return self.module.startswith("catzilla_cache")


CONTENDERS: list[Contender] = []


def _asks(question: str, name: str, module: str) -> "Callable[[Callable[[ExitStack, str, int], Round]], None]":
    def add(prepare: Callable[[ExitStack, str, int], Round]) -> None:
        CONTENDERS.append(Contender(question, name, module, prepare))

    return add


def _keys() -> list[str]:
    return [f"user:{number}:profile" for number in range(KEYS)]


def _mixed(operations: int) -> list[int]:
    # Not in the order in which they were stored. 7919 is prime and does not divide KEYS, so each comes equally often.
    return [at * 7919 % KEYS for at in range(operations)]


def _reads(put: Callable[[str, bytes], Any], get: Callable[[str], Any], operations: int, shown: Any = VALUE) -> Round:
    """Stores all keys, and reads them. ``shown`` is what a hit has to give."""
    keys = _keys()
    for key in keys:
        put(key, VALUE)
    asked = [keys[at] for at in _mixed(operations)]

    def read() -> None:
        for key in asked:
            get(key)

    if any(get(key) != shown for key in keys):
        raise AssertionError("what was stored is not there")
    return read


def _writes(put: Callable[[str, bytes], Any], operations: int) -> Round:
    """Stores keys that were never there, into a cache that is full after the first round."""
    rounds = itertools.count()

    def write() -> None:
        begin = next(rounds) * operations
        for number in range(begin, begin + operations):
            put(f"user:{number}:profile", VALUE)

    return write


def _calls(decorate: Callable[[Callable[[int], int]], Callable[[int], int]], operations: int) -> Round:
    def double(number: int) -> int:
        return 2 * number

    function, asked = decorate(double), _mixed(operations)
    if any(function(number) != 2 * number for number in range(KEYS)):
        raise AssertionError("a cached function gives something else")

    def call() -> None:
        for number in asked:
            function(number)

    return call


def _awaits(
    stack: ExitStack,
    put: Callable[[str, bytes], Awaitable[Any]],
    get: Callable[[str], Awaitable[Any]],
    operations: int,
    shown: Any = VALUE,
) -> Round:
    loop, keys = stack.enter_context(closing(asyncio.new_event_loop())), _keys()
    stack.callback(_end_tasks, loop)
    asked = [keys[at] for at in _mixed(operations)]

    async def store() -> None:
        for key in keys:
            await put(key, VALUE)
        if await get(keys[0]) != shown:
            raise AssertionError("what was stored is not there")

    async def read() -> None:
        for key in asked:
            await get(key)

    loop.run_until_complete(store())
    return lambda: loop.run_until_complete(read())


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    # Some caches have tasks of their own, which would complain that nobody has waited for them.
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))


# --- ours


def _bytes_cache(stack: ExitStack, **options: object) -> Any:
    from catzilla_cache import BytesCache

    return stack.enter_context(BytesCache({name.replace("__", "."): value for name, value in options.items()}))


def _smart_cache(stack: ExitStack, size: int) -> Any:
    from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

    return stack.enter_context(SmartCache(SmartCacheConfig(memory_capacity=size)))


def _object_cache(size: int, lifetime: "float | None" = None) -> Any:
    return import_module("catzilla_cache.objects").SmartCache(max_size=size, ttl_seconds=lifetime)


@_asks(GET, "catzilla_cache.BytesCache", "catzilla_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cache = _bytes_cache(stack, memory__capacity=2 * KEYS)
    return _reads(cache.set, cache.get, operations)


@_asks(GET, "catzilla_cache.smart_cache", "catzilla_cache.smart_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cache = _smart_cache(stack, 2 * KEYS)
    return _reads(cache.set, cache.get, operations, (VALUE, True))


@_asks(GET, "catzilla_cache.objects", "catzilla_cache.objects")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cache = _object_cache(2 * KEYS)
    return _reads(cache.put, cache.get, operations)


@_asks(SET, "catzilla_cache.BytesCache", "catzilla_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    return _writes(_bytes_cache(stack, memory__capacity=KEYS).set, operations)


@_asks(SET, "catzilla_cache.smart_cache", "catzilla_cache.smart_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    return _writes(_smart_cache(stack, KEYS).set, operations)


@_asks(SET, "catzilla_cache.objects", "catzilla_cache.objects")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    return _writes(_object_cache(KEYS).put, operations)


@_asks(EXPIRING, "catzilla_cache.BytesCache", "catzilla_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    # Every entry of the engine has a lifetime, so this is the same as the first question.
    cache = _bytes_cache(stack, memory__capacity=2 * KEYS, memory__ttl=LIFETIME)
    return _reads(cache.set, cache.get, operations)


@_asks(EXPIRING, "catzilla_cache.objects", "catzilla_cache.objects")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cache = _object_cache(2 * KEYS, LIFETIME)
    return _reads(cache.put, cache.get, operations)


@_asks(CALL, "catzilla_cache.objects.cached", "catzilla_cache.objects")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    return _calls(import_module("catzilla_cache.objects").cached(max_size=2 * KEYS), operations)


@_asks(AWAIT, "catzilla_cache.smart_cache aio", "catzilla_cache.smart_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    aio = _smart_cache(stack, 2 * KEYS).aio
    return _awaits(stack, aio.set, aio.get, operations, (VALUE, True))


@_asks(DISK_GET, "catzilla_cache.BytesCache", "catzilla_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    # With room for one entry in memory, nearly all is read from the disk.
    cache = _bytes_cache(stack, memory__capacity=1, disk__path=folder)
    flushed = _reads(cache.set, cache.get, operations)
    cache.flush()
    return flushed


@_asks(DISK_SET, "catzilla_cache.BytesCache", "catzilla_cache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cache = _bytes_cache(stack, memory__capacity=1, disk__path=folder)
    write = _writes(cache.set, operations)

    def written() -> None:
        write()
        # What waits in a queue is not on disk.
        cache.flush()

    return written


# --- peers


@_asks(GET, "cachebox.LRUCache", "cachebox")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachebox = import_module("cachebox")

    cache = cachebox.LRUCache(2 * KEYS)
    return _reads(cache.__setitem__, cache.get, operations)


@_asks(GET, "cachetools.LRUCache", "cachetools")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachetools = import_module("cachetools")

    cache = cachetools.LRUCache(2 * KEYS)
    return _reads(cache.__setitem__, cache.get, operations)


@_asks(SET, "cachebox.LRUCache", "cachebox")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachebox = import_module("cachebox")

    cache = cachebox.LRUCache(KEYS)
    return _writes(cache.__setitem__, operations)


@_asks(SET, "cachetools.LRUCache", "cachetools")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachetools = import_module("cachetools")

    cache = cachetools.LRUCache(KEYS)
    return _writes(cache.__setitem__, operations)


@_asks(EXPIRING, "cachebox.TTLCache", "cachebox")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachebox = import_module("cachebox")

    cache = cachebox.TTLCache(2 * KEYS, LIFETIME)
    return _reads(cache.__setitem__, cache.get, operations)


@_asks(EXPIRING, "cachetools.TTLCache", "cachetools")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachetools = import_module("cachetools")

    cache = cachetools.TTLCache(2 * KEYS, LIFETIME)
    return _reads(cache.__setitem__, cache.get, operations)


@_asks(CALL, "functools.lru_cache", "functools")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    return _calls(functools.lru_cache(2 * KEYS), operations)


@_asks(CALL, "cachebox.cached", "cachebox")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachebox = import_module("cachebox")

    return _calls(cachebox.cached(cachebox.LRUCache(2 * KEYS)), operations)


@_asks(CALL, "cachetools.cached", "cachetools")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cachetools = import_module("cachetools")

    return _calls(cachetools.cached(cachetools.LRUCache(2 * KEYS)), operations)


@_asks(AWAIT, "aiocache.SimpleMemoryCache", "aiocache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    aiocache = import_module("aiocache")

    cache = aiocache.SimpleMemoryCache()
    return _awaits(stack, cache.set, cache.get, operations)


@_asks(AWAIT, "cashews (mem://)", "cashews")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    cashews = import_module("cashews")

    cache = cashews.Cache()
    cache.setup(f"mem://?size={2 * KEYS}")
    return _awaits(stack, lambda key, value: cache.set(key, value), lambda key: cache.get(key), operations)


@_asks(DISK_GET, "diskcache.Cache", "diskcache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    diskcache = import_module("diskcache")

    cache = stack.enter_context(diskcache.Cache(folder))
    return _reads(cache.set, cache.get, operations)


@_asks(DISK_SET, "diskcache.Cache", "diskcache")
def _(stack: ExitStack, folder: str, operations: int) -> Round:
    diskcache = import_module("diskcache")

    return _writes(stack.enter_context(diskcache.Cache(folder)).set, operations)
