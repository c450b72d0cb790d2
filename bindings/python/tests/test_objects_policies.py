"""Who leaves an object cache that is full: against models of a few lines, and the compiled cache against the plain one."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from typing import Any, Callable, Iterator, Optional

import pytest

from catzilla_cache import _objects_plain
from catzilla_cache._objects_order import NEVER
from catzilla_cache.objects import _NUMBERS, EvictionPolicy, SmartCache
from catzilla_cache.objects import _ObjectCache as core_of_backend

Model = Callable[[int], "_Model"]


class _Model:
    """A cache as plain as it can be: a dict in some order, and a rule for who leaves."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: OrderedDict[Any, Any] = OrderedDict()
        self.uses: dict[Any, float] = {}

    def get(self, key: Any) -> Any:
        if key not in self.kept:
            return None
        self.used(key)
        return self.kept[key]

    def put(self, key: Any, value: Any) -> None:
        if key in self.kept:
            self.kept[key] = value
            self.used(key)
            return
        if len(self.kept) == self.size:
            victim = self.victim()
            del self.kept[victim]
            self.uses.pop(victim, None)
        self.kept[key] = value
        self.stored(key)

    def used(self, key: Any) -> None: ...
    def stored(self, key: Any) -> None: ...
    def victim(self) -> Any:
        return next(iter(self.kept))


class Fifo(_Model):
    pass


class Lru(_Model):
    def used(self, key: Any) -> None:
        self.kept.move_to_end(key)


class Sieve(_Model):
    """By the text of the paper: a list of keys, the newest first, and a hand that is a place in it."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.visited: set[Any] = set()
        self.hand: Optional[Any] = None

    def used(self, key: Any) -> None:
        self.visited.add(key)

    def victim(self) -> Any:
        order = list(self.kept)
        at = order.index(self.hand) if self.hand in self.kept else 0
        while order[at] in self.visited:
            self.visited.discard(order[at])
            at = (at + 1) % len(order)
        self.hand = order[at + 1] if at + 1 < len(order) else None
        return order[at]


class LfuWithAge(_Model):
    """Worth is the uses and, from the filing on, what the last victim was worth; uses are looked at when the turn comes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.age = self.filings = 0
        self.filed: dict[Any, tuple[int, int, int]] = {}
        self.count: dict[Any, int] = {}

    def file(self, key: Any) -> None:
        self.filings += 1
        self.filed[key] = (self.age + self.count[key], self.filings, self.count[key])

    def stored(self, key: Any) -> None:
        self.count[key] = 1
        self.file(key)

    def used(self, key: Any) -> None:
        self.count[key] = min(255, self.count[key] + 1)

    def victim(self) -> Any:
        while True:
            key = min(self.kept, key=lambda key: self.filed[key][:2])
            if self.count[key] == self.filed[key][2]:
                self.age = self.filed[key][0]
                return key
            self.file(key)


class S3Fifo(_Model):
    """By the text of the paper, with one hit to reach the main queue."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.small: list[Any] = []
        self.main: list[Any] = []
        self.ghost: list[Any] = []
        self.count: dict[Any, int] = {}

    def stored(self, key: Any) -> None:
        self.count[key] = 0
        if key in self.ghost:
            self.ghost.remove(key)
            self.main.append(key)
        else:
            self.small.append(key)

    def used(self, key: Any) -> None:
        self.count[key] = min(3, self.count[key] + 1)

    def victim(self) -> Any:
        while True:
            if len(self.small) >= max(1, self.size // 10) or not self.main:
                key = self.small.pop(0)
                if not self.count[key]:
                    self.ghost = [*self.ghost, key][-max(1, self.size * 9 // 10) :]
                    return key
                self.count[key] = 0
            else:
                key = self.main.pop(0)
                if not self.count[key]:
                    return key
                self.count[key] -= 1
            self.main.append(key)


MODELS: dict[EvictionPolicy, Model] = {
    EvictionPolicy.FIFO: Fifo,
    EvictionPolicy.TTL: Fifo,  # without lifetimes
    EvictionPolicy.LRU: Lru,
    EvictionPolicy.LFU: LfuWithAge,
    EvictionPolicy.SIEVE: Sieve,
    EvictionPolicy.S3FIFO: S3Fifo,
}


@pytest.mark.parametrize("size", [1, 2, 3, 10, 60])
@pytest.mark.parametrize("policy", MODELS, ids=lambda policy: policy.value)
def test_it_keeps_what_the_plainest_form_of_its_policy_keeps(policy: EvictionPolicy, size: int) -> None:
    choose = random.Random(size)
    cache = SmartCache[int, int](max_size=size, policy=policy)
    model = MODELS[policy](size)
    for step in range(6000):
        # Few keys are asked for often.
        key = int(min(choose.expovariate(1.5 / size), 5 * size + 5))
        if choose.random() < 0.6:
            assert cache.get(key) == model.get(key), f"step {step}"
        else:
            cache.put(key, step)
            model.put(key, step)
        assert len(cache) == len(model.kept)
    assert sorted(cache.keys()) == sorted(model.kept)
    assert cache.stats()["hits"] > 500


def test_who_expires_soonest_leaves_first_and_who_never_does_last() -> None:
    cache = SmartCache[str, int](max_size=4, policy=EvictionPolicy.TTL, timer=lambda: 0.0)
    for key, seconds in (("never", None), ("30", 30), ("10", 10), ("20", 20)):
        cache.put(key, 1, ttl_seconds=seconds)
    gone = []
    for number in range(6):
        before = set(cache.keys())
        cache.put(f"new {number}", 1, ttl_seconds=100 + number)
        gone += sorted(before - set(cache.keys()))
    assert gone == ["10", "20", "30", "new 0", "new 1", "new 2"]
    cache.put("new 5", 1, ttl_seconds=1)
    cache.put("new 6", 1)
    assert "new 5" not in cache, "it was brought nearer"
    assert "never" in cache


def test_of_one_moment_the_one_stored_first_leaves_first_whichever_way_it_came() -> None:
    now = [0.0]
    cache = SmartCache[str, int](max_size=5, policy=EvictionPolicy.TTL, timer=lambda: now[0])
    cache.put("later", 1, ttl_seconds=50)
    cache.put("first", 1, ttl_seconds=20)
    cache.put("second", 1, ttl_seconds=20)
    cache.remove("later")
    cache.put("third", 1, ttl_seconds=20)
    cache.put("fourth", 1, ttl_seconds=20)
    cache.put("fifth", 1, ttl_seconds=20)
    order = []
    for number in range(5):
        before = set(cache.keys())
        cache.put(f"x{number}", 1, ttl_seconds=1000)
        order += sorted(before - set(cache.keys()))
    assert order == ["first", "second", "third", "fourth", "fifth"]


def test_lfu_keeps_what_is_asked_for_often_and_lets_it_age() -> None:
    cache = SmartCache[Any, int](max_size=10, policy=EvictionPolicy.LFU)
    cache["popular"] = 1
    for _ in range(20):
        cache.get("popular")
    for number in range(30):
        cache[number] = number
    assert "popular" in cache
    for number in range(30, 2000):
        cache[number] = number
    assert "popular" not in cache, "nobody has asked for it for long"


def adaptive(threshold: float) -> SmartCache[str, int]:
    cache = SmartCache[str, int](max_size=3, policy=EvictionPolicy.ADAPTIVE, adaptive_threshold=threshold)
    for key in "abc":
        cache[key] = 1
    return cache


def test_adaptive_goes_by_frequency_while_many_requests_hit_and_by_recency_while_few_do() -> None:
    # a was used longest ago and most often, c last and least often.
    for misses, leaves in ((0, "c"), (10, "a")):
        cache = adaptive(0.7)
        for key in "aaaaabbbc":
            cache.get(key)
        for _ in range(misses):
            cache.get("nobody")
        cache["d"] = 1
        assert sorted(cache.keys()) == sorted({*"abcd"} - {leaves})


def test_adaptive_knows_no_frequency_at_one_and_nothing_else_at_zero() -> None:
    for threshold, leaves in ((1.0, "a"), (0.0, "b")):
        cache = adaptive(threshold)
        for key in "aaabcc":
            cache.get(key)
        cache["d"] = 1
        assert leaves not in cache


def test_adaptive_looks_at_the_requests_of_late() -> None:
    cache = adaptive(0.5)
    for _ in range(5000):
        cache.get("a")
    cache["d"] = 1  # by frequency; b left
    assert "b" not in cache and "a" in cache
    for _ in range(5000):
        cache.get("nobody")
    cache.get("c"), cache.get("d")
    cache["e"] = 1
    assert "a" not in cache, "on the whole half of them hit, of late nearly none"


@pytest.mark.parametrize("after", EvictionPolicy, ids=lambda policy: policy.value)
@pytest.mark.parametrize("before", EvictionPolicy, ids=lambda policy: policy.value)
def test_another_policy_loses_no_entry_and_keeps_the_order(before: EvictionPolicy, after: EvictionPolicy) -> None:
    cache = SmartCache[int, int](max_size=50, policy=before)
    for number in range(50):
        cache[number] = number
    cache.set_policy(after)
    assert cache.get_policy() is after and len(cache) == 50
    for number in range(50, 75):
        cache[number] = number
    left = set(range(75)) - set(cache.keys())
    assert left == set(range(25)), f"{sorted(left)}"
    for number in cache.keys():
        assert cache.get(number) == number


@pytest.mark.parametrize("policy", EvictionPolicy, ids=lambda policy: policy.value)
def test_a_victim_is_found_when_everything_was_hit(policy: EvictionPolicy) -> None:
    cache = SmartCache[int, int](max_size=3000, policy=policy)
    for number in range(3000):
        cache[number] = number
    for _ in range(5):
        for number in range(3000):
            cache.get(number)
    for number in range(3000, 3010):
        cache[number] = number
    assert len(cache) == 3000


# ---- The compiled cache and the plain one, step by step ----


class Pair:
    """The same calls on both. On the plain backend both are plain, and the calls are exercised all the same."""

    def __init__(self, size: int, policy: EvictionPolicy, max_bytes: int, now: list[float]) -> None:
        arguments = (size, _NUMBERS[policy], NEVER, 0.6, max_bytes, len, lambda: now[0])
        cores: tuple[Any, Any] = (core_of_backend, _objects_plain.ObjectCache)
        self.both = []
        for core in cores:
            kind = type("Core", (core,), {"_lifetime": staticmethod(lambda seconds: math.ceil(seconds * 1e9))})
            self.both.append(kind(*arguments))

    def __call__(self, method: str, *arguments: Any) -> Any:
        one, other = (getattr(cache, method)(*arguments) for cache in self.both)
        assert one == other, f"{method}{arguments}: {one} compiled, {other} plain"
        return one

    def contents(self) -> list[Any]:
        one, other = (sorted(cache.keys()) for cache in self.both)
        assert one == other
        return one


def sequence(seed: int, size: int) -> Iterator[tuple[Any, ...]]:
    choose = random.Random(seed)
    policies = list(_NUMBERS.values())
    for step in range(4000):
        key = int(min(choose.expovariate(1.2 / size), 6 * size + 5))
        what = choose.random()
        if what < 0.45:
            yield ("get", key)
        elif what < 0.75:
            yield ("put", key, bytes(choose.randrange(40)), choose.choice((None, None, 0.5, 3, 3, 3, 20)))
        elif what < 0.80:
            yield ("remove", key)
        elif what < 0.84:
            yield ("contains", key)
        elif what < 0.90:
            yield ("get_or_set", key, lambda: bytes(9))
        elif what < 0.985:
            yield ("wait", choose.choice((0.01, 0.1, 0.7)))
        elif what < 0.99:
            yield ("cleanup",)
        elif what < 0.995:
            yield ("_bound", choose.choice((size, size, max(1, size // 2), 2 * size, 0)))
        elif what < 0.999:
            yield ("_order", choose.choice(policies))
        else:
            yield ("clear",)


@pytest.mark.parametrize("max_bytes", [0, 300], ids=["by number", "by weight"])
@pytest.mark.parametrize("size", [1, 4, 30])
@pytest.mark.parametrize("policy", EvictionPolicy, ids=lambda policy: policy.value)
def test_compiled_and_plain_give_the_same_results_and_keep_the_same(policy: EvictionPolicy, size: int, max_bytes: int) -> None:
    now = [100.0]
    pair = Pair(size, policy, max_bytes, now)
    for step, (what, *arguments) in enumerate(sequence(size, size)):
        if what == "wait":
            now[0] += arguments[0]
        else:
            pair(what, *arguments)
        if step % 16 == 0:
            pair.contents()
            pair("_figures")
    pair.contents()
    hits, misses, evictions, *_ = pair("_figures")
    assert hits > 100 and misses > 100 and evictions > 100


def test_compiled_and_plain_agree_on_long_runs_of_large_caches() -> None:
    for policy in EvictionPolicy:
        choose = random.Random(policy.value)
        pair = Pair(700, policy, 0, [0.0])
        for step in range(25_000):
            key = int(choose.paretovariate(0.6)) % 5000
            if pair("get", key) is None:
                pair("put", key, b"")
        assert len(pair.contents()) == 700
        pair("_figures")
