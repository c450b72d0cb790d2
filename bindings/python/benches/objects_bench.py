"""The object cache beside what people use today: how long does a get take, a put that evicts, a decorated call that hits?

    PYTHONPATH=bindings/python python3 bindings/python/benches/objects_bench.py [--quick] [part of a question's name ...]
"""

from __future__ import annotations

import asyncio
import functools
import random
import sys
from typing import Any, Callable, Iterator

from harness import Contestant, Question, contestant, peer, run

from catzilla_cache.objects import EvictionPolicy, SmartCache, cached

cachebox = peer("cachebox")
pyferris = peer("pyferris")
cachetools = peer("cachetools")

OPERATIONS = 100_000
ENTRIES = 10_000
VALUE = b"v" * 128


def caches(entries: int) -> Iterator[tuple[str, Callable[[Any], Any], Callable[[Any, Any], Any]]]:
    """Each cache with its get and its put, ours first."""
    ours = SmartCache[Any, Any](max_size=entries)
    yield "catzilla_cache LRU", ours.get, ours.put
    if cachebox:
        theirs = cachebox.LRUCache(entries)
        yield "cachebox.LRUCache", theirs.get, theirs.insert
    if cachetools:
        other = cachetools.LRUCache(entries)
        yield "cachetools.LRUCache", other.get, other.__setitem__
    if pyferris:
        third = pyferris.SmartCache(max_size=entries)
        yield "pyferris.SmartCache", third.get, third.put


def question_of(name: str, contestants: list[Contestant], **promised: Any) -> Question:
    return Question(name, contestants[0], contestants[1:], **promised)


def gets(name: str, entries: int, keys: list[Any], prepare: list[Any]) -> Question:
    """Gets of keys that are there, in an order that no prefetcher guesses."""

    def all_of(get: Callable[[Any], Any]) -> Callable[[], None]:
        def loop() -> None:
            for key in keys:
                get(key)

        return loop

    contestants = []
    for label, get, put in caches(entries):
        for key in prepare:
            put(key, VALUE)
        contestants.append(Contestant(label, all_of(get), len(keys)))
    return question_of(name, contestants, targets={"cachebox.LRUCache": 1.0})


def evicting(name: str, entries: int, puts: int, **targets: float) -> Question:
    """Puts of keys that are not there, each of which evicts one."""

    def all_of(put: Callable[[Any, Any], Any], keys: Iterator[list[str]]) -> Callable[[], None]:
        def loop() -> None:
            for key in next(keys):
                put(key, VALUE)

        return loop

    def fresh() -> Iterator[list[str]]:
        # Two lists by turns, so that what one round puts has been evicted when its turn comes again.
        lists = [[f"{turn}/{number}" for number in range(max(puts, entries))] for turn in range(2)]
        start = turn = 0
        while True:
            yield lists[turn][start : start + puts]
            start += puts
            if start + puts > len(lists[turn]):
                start, turn = 0, 1 - turn

    contestants = []
    for label, _, put in caches(entries):
        for number in range(entries):
            put(f"at first {number}", VALUE)
        contestants.append(Contestant(label, all_of(put, fresh()), puts))
    return question_of(name, contestants, targets=targets)


def policies() -> Question:
    def churn(cache: SmartCache[Any, Any]) -> Callable[[], None]:
        choose = random.Random(1)
        # About three of four hit.
        keys = [int(100_000 * choose.random() ** 3) for _ in range(OPERATIONS)]

        def loop() -> None:
            get, put = cache.get, cache.put
            for key in keys:
                if get(key) is None:
                    put(key, VALUE)

        return loop

    made = [
        Contestant(f"policy {policy.value}", churn(SmartCache(max_size=ENTRIES, policy=policy)), OPERATIONS)
        for policy in EvictionPolicy
    ]
    return Question("churn: get, and put of what was missed, by policy", made[0], made[1:], is_contest=False)


def lifetimes() -> list[Question]:
    ours = SmartCache[Any, Any](max_size=ENTRIES, ttl_seconds=3600)
    getters: list[tuple[str, Any, Any]] = [("catzilla_cache LRU with a lifetime", ours.get, ours.put)]
    if cachebox:
        theirs = cachebox.TTLCache(ENTRIES, 3600)
        getters.append(("cachebox.TTLCache", theirs.get, theirs.insert))
    if cachetools:
        other = cachetools.TTLCache(ENTRIES, 3600)
        getters.append(("cachetools.TTLCache", other.get, other.__setitem__))
    got, put = [], []
    for label, get, store in getters:
        for number in range(ENTRIES):
            store(number, VALUE)
        got.append(contestant(label, "get(77)", OPERATIONS, get=get))
        put.append(contestant(label, "put(next(keys), None)", OPERATIONS, put=store, keys=iter(range(10**6, 10**9))))
    return [question_of("get with a lifetime", got), question_of("put that evicts, with a lifetime", put)]


def decorated() -> list[Question]:
    def function(*arguments: Any, **keywords: Any) -> Any:
        return arguments

    forms: list[tuple[str, Any]] = [
        ("catzilla_cache objects.cached", cached(max_size=128)(function)),
        ("functools.lru_cache", functools.lru_cache(maxsize=128)(function)),
    ]
    if cachebox:
        forms.append(("cachebox.cached", cachebox.cached(cachebox.LRUCache(128))(function)))
    if cachetools:
        forms.append(("cachetools.cached", cachetools.cached(cachetools.LRUCache(128))(function)))
    questions = []
    for name, call in (
        ("no argument", "f()"),
        ("an int", "f(5)"),
        ("a str", "f('text')"),
        ("a tuple", "f(pair)"),
        ("two arguments", "f(5, 'text')"),
        ("a named argument", "f(5, name='text')"),
    ):
        contestants = [contestant(label, call, OPERATIONS, f=form, pair=(1, 2)) for label, form in forms]
        questions.append(question_of(f"decorated function, hit: {name}", contestants, targets={"functools.lru_cache": 1.2}))
    missed = [contestant(label, "f(next(numbers))", OPERATIONS, f=form, numbers=iter(range(10**9))) for label, form in forms]
    questions.append(question_of("decorated function, miss that evicts", missed))
    return questions


def awaited() -> Question:
    async def function(number: int) -> int:
        return number

    ours = cached(function)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(ours(5))
    names: dict[str, Any] = {}
    # The same loop in all of them, with another awaitable.
    source = "async def spin(f):\n    for _ in range(2000):\n" + "        await f(5)\n" * 50
    exec(source, names)
    forms: list[tuple[str, Any]] = [("catzilla_cache objects.cached", ours), ("undecorated", function)]
    if cachebox:
        theirs = cachebox.cached(cachebox.LRUCache(128))(function)
        loop.run_until_complete(theirs(5))
        forms.append(("cachebox.cached", theirs))
    contestants = [
        Contestant(label, functools.partial(_complete, loop, names["spin"], form), OPERATIONS) for label, form in forms
    ]
    return question_of("awaited hit of a decorated coroutine function", contestants, above={"undecorated": 400.0})


def _complete(loop: asyncio.AbstractEventLoop, spin: Any, form: Any) -> None:
    loop.run_until_complete(spin(form))


def questions() -> list[Question]:
    order = list(range(ENTRIES))
    random.Random(1).shuffle(order)
    texts = [f"key {number}" for number in order]
    fresh = [f"key {number}" for number in order]
    made = [
        gets("get, one key over and over", ENTRIES, [77] * OPERATIONS, order),
        gets("get, 10,000 int keys", ENTRIES, order * 10, order),
        gets("get, 10,000 str keys, the very objects", ENTRIES, texts * 10, texts),
        gets("get, 10,000 str keys, equal objects", ENTRIES, fresh * 10, texts),
        evicting("put that evicts, 10,000 entries", ENTRIES, 50_000, **{"cachebox.LRUCache": 1.0}),
        *lifetimes(),
        policies(),
        *decorated(),
        awaited(),
    ]
    # PyFerris looks at all its entries for each eviction, so few of them do.
    large = evicting("put that evicts, 100,000 entries, 50 at a time", 100_000, 50, **{"pyferris.SmartCache": 0.01})
    return [*made, large]


if __name__ == "__main__":
    sys.exit(run("object cache", questions(), sys.argv[1:]))
