"""What does the key of a call cost, and how is it beside other ways to make one? Nanoseconds; the best of many rounds.

make python && PYTHONPATH=bindings/python:build/python-packages python3 bindings/python/benches/key_bench.py
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import sys
import timeit
from typing import Any, Callable

from catzilla_cache.keys import KeyMaker, generate_key

ROUNDS = 25
CALLS = 4000


def f(x: int) -> None: ...
def g(x: int, name: str, flag: bool = False) -> None: ...


class Service:
    def find(self, number: int) -> None: ...


SERVICE = Service()

CALLS_TO_KEY: "list[tuple[str, Callable[..., object], tuple[Any, ...], dict[str, Any]]]" = [
    ("f(1)", f, (1,), {}),
    ("g(1, 'name', flag=True)", g, (1, "name"), {"flag": True}),
    ("f([1, 2, 3])", f, ([1, 2, 3],), {}),
    ("service.find(1)", Service.find, (SERVICE, 1), {}),
]


def best(calls: "list[Callable[[], object]]") -> "list[float]":
    times = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            times[index] = min(times[index], timeit.timeit(call, number=CALLS) / CALLS * 1e9)
    return times


def by_pickle(
    function: Callable[..., object], args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> Callable[[], object]:
    """What many caches do: bind, pickle, hash."""
    signature = inspect.signature(function)

    def make() -> str:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return hashlib.md5(pickle.dumps(list(bound.arguments.items()))).hexdigest()

    return make


def main() -> None:
    print(f"CPython {sys.version.split()[0]}; ns, without what a call that does nothing takes")
    print(f"{'':<28}{'key':>10}{'builtin':>10}{'bind, pickle, md5':>20}")
    for name, function, args, kwargs in CALLS_TO_KEY:
        maker = KeyMaker(function)
        ways: "list[Callable[[], object]]" = [functools.partial(maker, args, kwargs), by_pickle(function, args, kwargs)]
        if maker.quick is not None and maker.quick(args, kwargs) is not None:
            ways.append(functools.partial(maker.quick, args, kwargs))
        ways.append(functools.partial(len, ()))
        times = best(ways)
        made, pickled, builtin = times[0] - times[-1], times[1] - times[-1], times[2] - times[-1]
        print(f"{name:<28}{made:>10.0f}{format(builtin, '.0f') if len(ways) == 4 else '-':>10}{pickled:>20.0f}")
    for name, request in [
        ("GET /items?page=2", functools.partial(generate_key, "GET", "/items", "page=2")),
        (
            "the same with two headers",
            functools.partial(generate_key, "GET", "/items", "page=2", {"Accept": "a", "X": "b"}),
        ),
    ]:
        times = best([request, functools.partial(len, ())])
        print(f"{name:<28}{times[0] - times[1]:>10.0f}")


if __name__ == "__main__":
    main()
