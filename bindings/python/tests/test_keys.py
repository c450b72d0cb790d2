"""Keys of requests and calls: what is the same has one key, what is not has another, in this process and in every other."""

from __future__ import annotations

import enum
import functools
import itertools
from typing import Any, Callable

import pytest

from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheKeyError
from catzilla_cache.keys import KeyMaker, generate_key


def plain(x: object, y: object = 2, *, flag: object = False) -> None: ...
def other(x: object, y: object = 2, *, flag: object = False) -> None: ...
def simple(x: object, y: object = 2, z: object = 3) -> None: ...
def many(x: object, *more: object, flag: object = False, **rest: object) -> None: ...
def positional(x: object, /, y: object = 2, **rest: object) -> None: ...


def key(function: Callable[..., object], *args: object, **kwargs: object) -> str:
    return KeyMaker(function)(args, kwargs)


class Level(enum.IntEnum):
    LOW = 1


class Thing:
    pass


# Requests.


def test_a_request_key_can_be_read() -> None:
    assert generate_key("GET", "/items/5") == "GET:/items/5"
    assert generate_key("GET", "/items", "page=2&sort=name") == "GET:/items?page=2&sort=name"
    assert generate_key("GET", "/naïve/日本") == "GET:/naïve/日本"


def test_a_request_key_is_the_same_in_every_release() -> None:
    # Keys in Redis and on disk outlive a process. The hash was made by hand from the written format.
    assert (
        generate_key("GET", "/a", "b=1", {"Accept": "text/html", "X-User": "7"})
        == "GET:/a?b=1#07b8f488427e3de043b748efa882e638"
    )


def test_no_query_and_no_headers_are_one_thing_however_they_are_said() -> None:
    assert (
        len({generate_key("GET", "/a", query, headers) for query in (None, "", b"") for headers in (None, {}, [])}) == 1
    )


def test_headers_count_whatever_their_order_and_case() -> None:
    one = generate_key("GET", "/a", None, {"Accept": "text/html", "X-User": "7"})
    assert one == generate_key("GET", "/a", None, {"x-user": "7", "ACCEPT": "text/html"})
    assert one == generate_key("GET", "/a", None, [(b"accept", b"text/html"), ("X-User", "7")])
    others = [{"Accept": "text/html"}, {"Accept": "7", "X-User": "text/html"}, {"Accept": "TEXT/HTML", "X-User": "7"}]
    assert len({one, *(generate_key("GET", "/a", None, headers) for headers in others)}) == 4
    assert len(one.rpartition("#")[2]) == 32


def test_no_two_requests_have_one_key() -> None:
    pieces = ["", "/", "a", ":", "?", "#", "\\", "\\:", "\\?", "\\#", "%3F", "\udc80", "\\udc80", "?a#", "é"]
    asked = set()
    for method, path, query in itertools.product(pieces, pieces, pieces):
        for headers in (None, {"a": "b"}):
            asked.add((method, path, query or None, headers is None))
    keys = {generate_key(method, path, query, None if bare else {"a": "b"}) for method, path, query, bare in asked}
    assert len(keys) == len(asked)
    for made in keys:
        made.encode("utf-8")


def test_what_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(CacheKeyError, match="the path of a request is text, not NoneType"):
        generate_key("GET", None)  # type: ignore[arg-type]
    with pytest.raises(CacheKeyError, match="the query string of a request is text, not dict"):
        generate_key("GET", "/a", {"page": 2})  # type: ignore[arg-type]
    with pytest.raises(CacheKeyError, match="the header of a request is text, not int"):
        generate_key("GET", "/a", None, {"Age": 5})


# Calls.


def test_calls_that_bind_to_the_same_arguments_have_one_key() -> None:
    for same in (
        [
            key(plain, 1),
            key(plain, 1, 2),
            key(plain, x=1),
            key(plain, 1, y=2),
            key(plain, y=2, x=1),
            key(plain, 1, flag=False),
        ],
        [key(simple, 1), key(simple, 1, 2), key(simple, 1, 2, 3), key(simple, z=3, x=1), key(simple, 1, z=3)],
        [key(many, 1, a=1, b=2), key(many, 1, b=2, a=1), key(many, b=2, x=1, a=1), key(many, 1, flag=False, a=1, b=2)],
        [key(positional, 1, x=5), key(positional, 1, 2, x=5), key(positional, 1, y=2, x=5)],
    ):
        assert len(set(same)) == 1


def test_calls_that_bind_to_others_have_other_keys() -> None:
    for different in (
        [key(plain, 1), key(plain, 2), key(plain, 1, 3), key(plain, 1, flag=True), key(plain, 2, 1)],
        [key(simple, 1, 2, 4), key(simple, 1, 4, 2), key(simple, 4, 1, 2), key(simple, 1, z=2), key(simple, 1, y=3)],
        [
            key(many, 1), key(many, 1, 2), key(many, 1, (2,)), key(many, 1, 2, 3), key(many, 1, (2, 3)), key(many, 1, flag=True),
            key(many, 1, a=True), key(many, 1, {"a": True}), key(many, 1, ("a", True)), key(many, 1, a=1), key(many, 1, b=True),
        ],
        [key(positional, 1), key(positional, 1, x=1), key(positional, 1, y=1), key(positional, 1, z=1)],
    ):  # fmt: skip
        assert len(set(different)) == len(different)


def test_the_key_says_whose_it_is() -> None:
    maker = KeyMaker(plain, "shop:")
    assert maker.prefix == "shop:test_keys.plain:"
    made = maker((1,), {})
    assert made.startswith(maker.prefix) and len(made) == len(maker.prefix) + 32
    assert int(made[len(maker.prefix) :], 16) >= 0


def test_functions_prefixes_and_names_do_not_run_together() -> None:
    class A:
        def b(self) -> None: ...

    renamed = [functools.partial(plain), plain, other, A.b]
    makers = [KeyMaker(function, prefix) for function in renamed for prefix in ("", "a", "a.", "test_keys.")]
    assert len({maker((1,), {}).rpartition(":")[2] for maker in makers}) == len(makers)


def test_functions_of_one_name_are_told_apart_by_their_code() -> None:
    def define(source: str) -> Callable[..., object]:
        names: "dict[str, Any]" = {"__name__": "some.module"}
        exec(source, names)
        function: Callable[..., object] = names["_"]
        return function

    one = define("def _(x): return x + 1")
    assert key(one, 1) != key(define("def _(x): return x + 2"), 1)
    assert key(one, 1) != key(define("def _(x): return x - 1"), 1)
    assert key(one, 1) != key(define("def _(x): return (lambda: x + 1)()"), 1)
    assert key(one, 1) == key(define("\n\ndef _(x): return x + 1"), 1)


def test_lambdas_on_one_line_are_two() -> None:
    one, two = lambda x: x, lambda x: x + 1  # noqa: E731
    assert key(one, 1) != key(two, 1)


def test_functions_made_inside_others_are_as_different_as_what_they_close_over() -> None:
    def factory(number: int) -> Callable[[int], int]:
        return lambda x: x + number

    assert key(factory(1), 1) != key(factory(2), 1)
    maker = KeyMaker(factory(1))
    assert maker((1,), {}) == maker((1,), {})


def test_wrapped_functions_are_told_apart_by_what_they_wrap() -> None:
    def wrapping(function: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(function)
        def wrapper(*args: object, **kwargs: object) -> object:
            return function(*args, **kwargs)

        return wrapper

    assert key(wrapping(plain), 1) == key(wrapping(plain), x=1) != key(wrapping(other), 1)


class Counter:
    def __init__(self, start: int = 0) -> None:
        self.start = start

    def next(self, by: int = 1) -> int:
        return self.start + by

    @classmethod
    def make(cls, start: int) -> "Counter":
        return cls(start)


class Child(Counter):
    pass


def test_methods_count_their_self() -> None:
    one, two = Counter(), Counter()
    maker = KeyMaker(Counter.next)
    assert maker((one,), {}) == maker((one, 1), {}) == maker((one,), {"by": 1}) != maker((two,), {})
    assert key(one.next) != key(two.next) and key(one.next) == key(one.next, 1)
    assert key(Counter.make, 1) == key(Counter.make, start=1) != key(Child.make, 1)


def test_a_call_that_does_not_fit_has_a_key_all_the_same() -> None:
    # What is wrong with it the function says better; and a wrapper may take what its wrapped function does not.
    calls = [((), {}), ((1, 2, 3, 4), {}), ((1,), {"x": 1}), ((1,), {"nothing": 1}), ((1,), {"nothing": 2})]  # type: ignore[var-annotated]
    keys = {key(simple, *args, **kwargs) for args, kwargs in calls}
    assert len(keys) == len(calls) and key(simple, 1) not in keys


def test_the_builtin_makes_the_keys_that_python_makes() -> None:
    if getattr(backend, "native", None) is None:
        assert KeyMaker(plain).quick is None
        return
    # Around the blocks of the hash, and every form of a scalar.
    texts = ["x" * length for length in [*range(60, 140), 250, 256, 257, 1000, 100_000]]
    scalars = [None, True, 0, -17, 2**64, -(2**70), 1.5, b"", b"x" * 600, "", "é\udc80", *texts]
    for function in (plain, simple):
        maker, in_python = KeyMaker(function), KeyMaker(function)
        in_python.quick = None
        assert maker.quick is not None
        for value in scalars:
            calls: "list[tuple[tuple[object, ...], dict[str, object]]]" = [
                ((value,), {}),
                ((1, value), {}),
                ((value,), {"y": value}),
            ]
            for args, kwargs in calls:
                made = maker.quick(args, kwargs)
                assert made is not None and made == in_python(args, kwargs) == maker(args, kwargs)


def test_the_builtin_leaves_to_python_what_is_not_for_it() -> None:
    calls: "list[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]]" = [
        (plain, (), {}), (plain, (1, 2, 3), {}), (plain, (1,), {"x": 1}), (plain, (1,), {"nothing": 1}), (plain, ([1],), {}),
        (plain, ((),), {}), (plain, (bytearray(),), {}), (plain, (Thing(),), {}), (plain, (1,), {"flag": Level.LOW}),
    ]  # fmt: skip
    for function, args, kwargs in calls:
        quick = KeyMaker(function).quick
        assert quick is None or quick(args, kwargs) is None
    assert KeyMaker(many).quick is None and KeyMaker(positional).quick is None and KeyMaker(max).quick is None


def test_a_function_with_many_parameters_has_keys() -> None:
    names: "dict[str, Any]" = {}
    exec(f"def wide({', '.join(f'p{number}=0' for number in range(200))}): ...", names)
    assert (
        key(names["wide"]) == key(names["wide"], p199=0) == key(names["wide"], *[0] * 200) != key(names["wide"], p199=1)
    )


def test_builtins_have_keys() -> None:
    assert key(len, "abc") != key(len, "abd")
    assert key(max, 1, 2, default=1) != key(max, 1, 2)
    assert KeyMaker(len).prefix == "builtins.len:"


def test_a_prefix_is_text() -> None:
    with pytest.raises(CacheKeyError, match="a key's prefix is str, not bytes"):
        KeyMaker(plain, b"a")  # type: ignore[arg-type]
