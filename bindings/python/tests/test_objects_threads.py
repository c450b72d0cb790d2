"""The object cache in many threads: no value is mixed up, one thread loads what many miss, and nobody waits for ever."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable

import pytest

from catzilla_cache.objects import EvictionPolicy, SmartCache, cached
from in_threads import in_threads
from test_threads import THREADS

#: Longer than anything here takes, on any machine: a wait that lasts that long is one that never ends.
LONG = 60.0


class Slow:
    """A key whose comparison lets other threads in."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number % 5

    def __eq__(self, other: object) -> bool:
        if self.number % 3 == 0:
            time.sleep(0)
        return isinstance(other, Slow) and self.number == other.number


@pytest.mark.parametrize("policy", EvictionPolicy, ids=lambda policy: policy.value)
@pytest.mark.parametrize("make_key", [str, Slow], ids=["plain keys", "keys with an __eq__"])
def test_eight_threads_mixing_every_call_find_only_what_was_stored(
    make_key: Callable[[int], Any], policy: EvictionPolicy
) -> None:
    cache = SmartCache[Any, Any](max_size=20, policy=policy)
    asked = [0] * THREADS

    def check(number: int, value: Any) -> None:
        assert value is None or value[0] == number, f"{value} for {number}"

    def work(thread: int) -> None:
        choose = random.Random(thread)
        for step in range(1500):
            number = choose.randrange(40)
            key, what = make_key(number), choose.random()
            if what < 0.4:
                asked[thread] += 1
                check(number, cache.get(key))
            elif what < 0.7:
                cache.put(key, (number, thread), ttl_seconds=choose.choice((None, 0.001, 60)))
            elif what < 0.8:
                check(number, cache.remove(key))
            elif what < 0.9:
                asked[thread] += 1
                check(number, cache.get_or_set(key, lambda: (number, thread)))
            elif what < 0.98:
                assert cache.contains(key) in (True, False)
                assert len(cache) <= 40
            elif what < 0.985:
                cache.set_max_size(choose.choice((20, 40)))
            elif what < 0.99:
                cache.set_policy(choose.choice(list(EvictionPolicy)))
            elif what < 0.998:
                cache.cleanup()
            else:
                cache.clear()

    in_threads(THREADS, work)
    stats = cache.stats()
    assert stats["hits"] + stats["misses"] == sum(asked)
    keys = cache.keys()
    assert len(set(keys)) == len(keys) and len(cache) <= 40
    cache.set_max_size(3)
    assert len(cache) <= 3


def waiting(event: threading.Event) -> None:
    assert event.wait(LONG)


def test_of_many_threads_that_miss_a_key_one_loads_and_all_get_what_it_loaded() -> None:
    cache = SmartCache[Any, Any]()
    go_on, loads, results = threading.Event(), [], []

    def load() -> object:
        loads.append(1)
        waiting(go_on)
        return loads

    def work(thread: int) -> None:
        if thread == THREADS - 1:
            while cache.stats()["misses"] < THREADS - 1:
                time.sleep(0.001)
            go_on.set()
        else:
            results.append(cache.get_or_set("key", load))

    in_threads(THREADS, work)
    assert len(loads) == 1
    assert len(results) == THREADS - 1 and all(result is loads for result in results)
    assert cache.get("key") is loads


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_a_loader_raises_goes_to_who_ran_it_and_the_next_one_loads(error: type[BaseException]) -> None:
    cache = SmartCache[Any, Any]()
    loads, raised, results = [], [], []
    all_there = threading.Event()

    def load() -> str:
        loads.append(threading.get_ident())
        waiting(all_there)
        if len(loads) < 4:
            raise error(str(len(loads)))
        return "loaded"

    def work(thread: int) -> None:
        if thread == THREADS - 1:
            while cache.stats()["misses"] < THREADS - 1:
                time.sleep(0.001)
            all_there.set()
            return
        try:
            results.append(cache.get_or_set("key", load))
        except error as caught:
            raised.append(str(caught))

    in_threads(THREADS, work)
    assert sorted(raised) == ["1", "2", "3"] and len(set(loads)) == 4
    assert results == ["loaded"] * (THREADS - 1 - 3)


def test_loads_of_other_keys_do_not_wait() -> None:
    cache = SmartCache[Any, Any]()
    go_on = threading.Event()
    slow = threading.Thread(target=lambda: cache.get_or_set("slow", lambda: waiting(go_on)))
    slow.start()
    while not cache.stats()["misses"]:
        time.sleep(0.001)
    assert cache.get_or_set("quick", lambda: 5) == 5
    cache.put("other", 1)
    assert cache.get("other") == 1
    go_on.set()
    slow.join(LONG)
    assert "slow" in cache


@pytest.mark.parametrize("how", ["put", "remove", "clear", "del"])
def test_a_key_that_is_changed_while_it_is_loaded_stays_as_that_has_left_it(how: str) -> None:
    cache = SmartCache[Any, Any]()
    begun, go_on = threading.Event(), threading.Event()
    results = []

    def load() -> str:
        begun.set()
        waiting(go_on)
        return "outdated"

    loader = threading.Thread(target=lambda: results.append(cache.get_or_set("key", load)))
    loader.start()
    waiting(begun)
    if how == "put":
        cache.put("key", "put")
    elif how == "clear":
        cache.clear()
    elif how == "remove":
        assert cache.remove("key") is None
    else:
        with pytest.raises(KeyError):
            del cache["key"]
    # Who comes now does not get what was begun before.
    after = cache.get_or_set("key", lambda: "new")
    assert after == ("put" if how == "put" else "new")
    go_on.set()
    loader.join(LONG)
    assert results == ["outdated"], "who asked before gets what it asked for"
    assert cache.get("key") == after


def test_a_loader_that_asks_for_its_own_key_is_told_instead_of_waiting() -> None:
    cache = SmartCache[Any, Any]()

    def load() -> Any:
        with pytest.raises(RuntimeError, match="loader of the key 'key' asks for that very key"):
            cache.get_or_set("key", load)
        return cache.get_or_set("another", lambda: cache.get_or_set("a third", lambda: 5))

    assert cache.get_or_set("key", load) == 5
    assert sorted(cache.keys()) == ["a third", "another", "key"]

    @cached
    def endless(number: int) -> int:
        return endless(number)

    with pytest.raises(RuntimeError, match="asks for that very key"):
        endless(1)
    assert endless.cache_size() == 0


def test_threads_that_would_wait_for_each_other_do_not() -> None:
    cache, other = SmartCache[Any, Any](), SmartCache[Any, Any]()
    both = threading.Barrier(2)
    results = {}

    def work(thread: int) -> None:
        mine, theirs = ((cache, "a"), (other, "b"))[:: 1 if thread else -1]

        def load() -> str:
            both.wait(LONG)
            return f"{mine[1]} with {theirs[0].get_or_set(theirs[1], lambda: theirs[1])}"

        results[thread] = mine[0].get_or_set(mine[1], load)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    # One of them loads for itself, and the other one gets its own with that.
    assert sorted(results) == [0, 1] and {"b with a", "a with b"} & set(results.values())


def test_a_recursive_function_may_have_many_loads_under_way() -> None:
    cache = SmartCache[int, int](max_size=None)

    def below(number: int) -> int:
        return 0 if number == 0 else 1 + cache.get_or_set(number - 1, lambda: below(number - 1))

    assert below(150) == 150 and len(cache) == 150


def test_a_decorated_function_is_run_once_by_many_threads() -> None:
    runs = []

    @cached(max_size=None)
    def slow(number: int) -> int:
        runs.append(number)
        time.sleep(0.01)
        return number

    results: list[int] = []
    in_threads(THREADS, lambda thread: results.extend(slow(number) for number in range(10)))
    assert sorted(runs) == list(range(10)) and sorted(results) == sorted(list(range(10)) * THREADS)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
def test_an_interrupt_ends_a_wait_and_the_loader_goes_on() -> None:
    cache = SmartCache[Any, Any]()
    begun, go_on = threading.Event(), threading.Event()

    def load() -> str:
        begun.set()
        waiting(go_on)
        return "loaded"

    loader = threading.Thread(target=lambda: cache.get_or_set("key", load))
    loader.start()
    waiting(begun)
    main = threading.main_thread().ident
    assert main is not None and main == threading.get_ident()
    stop = threading.Event()

    def interrupt() -> None:
        # Until it has come through: the first may come before the wait has begun, and is then raised there all the same.
        while not stop.wait(0.02):
            signal.pthread_kill(main, signal.SIGUSR1)

    class Interrupted(Exception):
        pass

    def handler(*_: object) -> None:
        if not stop.is_set():
            stop.set()
            raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    sender = threading.Thread(target=interrupt)
    sender.start()
    try:
        with pytest.raises(Interrupted):
            cache.get_or_set("key", lambda: "nobody calls this")
    finally:
        stop.set()
        sender.join(LONG)
        signal.signal(signal.SIGUSR1, before)
    go_on.set()
    loader.join(LONG)
    assert cache.get("key") == "loaded"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_load_that_was_under_way_at_a_fork_is_begun_anew_in_the_child() -> None:
    program = """
import os, sys, threading
from catzilla_cache.objects import SmartCache
cache = SmartCache()
begun, go_on = threading.Event(), threading.Event()
def load():
    begun.set()
    go_on.wait()
    return "parent"
loader = threading.Thread(target=lambda: cache.get_or_set("key", load))
loader.start()
begun.wait()
child = os.fork()
if child == 0:
    cache["other"] = 1
    os._exit(0 if cache.get_or_set("key", lambda: "child") == "child" and cache["other"] == 1 else 1)
status = os.waitpid(child, 0)[1]
go_on.set()
loader.join()
assert cache["key"] == "parent" and "other" not in cache
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 2)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=LONG)
    assert done.returncode == 0


def test_a_cache_that_lives_until_the_interpreter_ends_is_no_trouble() -> None:
    program = """
import threading, time
from catzilla_cache.objects import SmartCache, cached
cache = SmartCache()
class Value:
    def __del__(self, cache=cache):
        cache.get("key")
        cache.put("late", 1)
cache["key"] = Value()
cache["cache"] = cache
@cached
def function(x):
    return Value()
function(1)
threading.Thread(target=lambda: cache.get_or_set("slow", lambda: time.sleep(100)), daemon=True).start()
threading.Thread(target=lambda: cache.get_or_set("slow", lambda: time.sleep(100)), daemon=True).start()
time.sleep(0.05)
"""
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
