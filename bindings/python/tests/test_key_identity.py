"""What arguments are, for a key: equal values are one, and nothing else is ever taken for another, here or in another process."""

from __future__ import annotations

import datetime
import decimal
import enum
import gc
import os
import struct
import threading
import uuid
import weakref
import zoneinfo
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from catzilla_cache.errors import CacheKeyError
from catzilla_cache.keys import KeyMaker
from interpreter import output_of


def simple(x: object) -> None: ...


def only(value: object) -> str:
    return KeyMaker(simple)((value,), {})


class Own:
    def __init__(self, name: object) -> None:
        self.name = name

    def __cache_key__(self) -> object:
        return self.name


class Thing:
    pass


class Another(Own):
    pass


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


BERLIN = datetime.timezone(datetime.timedelta(hours=1), "CET")

DIFFERENT: "list[object]" = [
    None, 0, False, 0.0, -0.0, "0", b"0", bytearray(b"0"), 1, True, 1.0, "1", b"1", 1j, decimal.Decimal(1), Fraction(1),
    Level.LOW, Color.RED,
    "", b"", (), [], {}, set(), frozenset(), bytearray(), "None", float("nan"), float("inf"),
    (1,), [1], {1}, frozenset([1]), {1: 1}, (True,), [True], {True}, (1.0,), ("1",), (b"1",), ((1,),), ([1],),
    [(1,)], [[1]], (1, 1),
    {1: "1"}, {"1": 1}, {1: 1, 2: 2}, {1: 2, 2: 1}, {(1, 1)}, {1, 2}, [1, 2], (1, 2), [2, 1], (1, (2,)), ((1,), 2),
    {"a": {"b": 1}}, {"a": 1, "b": 1},
    ("tuple", (1,)), ("list", (1,)), ["list", 1], ("dict", ()), ("set", (b"1",)), ("object", 1), ("key", "a"),
    Own(1), Own("1"), Own(Own(1)), Another(1), Color.BLUE, Level.HIGH, Access.READ, Access.READ | Access.WRITE, Access(0),
    object, Thing(), Thing(), Own, len, lambda: 0, lambda: 0,
    datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29), datetime.datetime(2024, 2, 29, fold=1),
    datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc), datetime.datetime(2024, 2, 29, tzinfo=BERLIN),
    datetime.time(1), datetime.time(1, tzinfo=BERLIN), datetime.timedelta(1), BERLIN, "2024-02-29",
    decimal.Decimal("1.0"), uuid.UUID(int=1), Path("a"), PurePosixPath("a"), PureWindowsPath("a"), "a",
    range(3), range(4), slice(3), ...,
]  # fmt: skip


def test_arguments_are_kept_apart_by_type_and_value() -> None:
    keys = [only(value) for value in DIFFERENT]
    double = [(DIFFERENT[keys.index(each)], DIFFERENT[at]) for at, each in enumerate(keys) if keys.index(each) != at]
    assert double == []


def test_each_argument_has_the_same_key_again() -> None:
    assert [only(value) for value in DIFFERENT] == [only(value) for value in DIFFERENT]


def test_equal_values_made_apart_have_one_key() -> None:
    for one, two in (
        ([1, {"a": (2, None)}], [1, {"a": (2, None)}]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (set(range(100)), set(reversed(range(100)))),
        ({frozenset(["a", "b"]): [1]}, {frozenset(["b", "a"]): [1]}),
        (Own((1, {2})), Own((1, {2}))),
        (float("nan"), float("nan")),
        (datetime.datetime(2024, 1, 1, tzinfo=BERLIN), datetime.datetime(2024, 1, 1, tzinfo=BERLIN)),
        (decimal.Decimal("1.50"), decimal.Decimal("1.50")),
        (Path("a/b"), Path("a") / "b"),
        (uuid.UUID(int=5), uuid.UUID(int=5)),
    ):
        assert only(one) == only(two)


def test_time_zones_are_known_by_their_names(tmp_path: Path) -> None:
    # As TZif version 1 has it: UTC, no transitions.
    (tmp_path / "Own").mkdir()
    (tmp_path / "Own" / "Zone").write_bytes(
        b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + bytes(6) + b"UTC\0"
    )
    with (tmp_path / "Own" / "Zone").open("rb") as one, (tmp_path / "Own" / "Zone").open("rb") as two:
        nameless, another = zoneinfo.ZoneInfo.from_file(one), zoneinfo.ZoneInfo.from_file(two)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(tmp_path)])
    try:
        named, again = zoneinfo.ZoneInfo.no_cache("Own/Zone"), zoneinfo.ZoneInfo.no_cache("Own/Zone")
    finally:
        zoneinfo.reset_tzpath(before)
    assert only(named) == only(again)
    moments = [datetime.datetime(2024, 1, 1, tzinfo=zone) for zone in (None, named, nameless, another)]
    assert len({only(moment) for moment in moments}) == 4
    assert only(moments[1]) == only(datetime.datetime(2024, 1, 1, tzinfo=again))


def test_an_object_is_itself_and_no_other() -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    one, two = Equal(), Equal()
    assert only(one) == only(one) != only(two)
    assert only([one]) == only([one]) not in (only(one), only([two]))


def test_what_was_one_objects_key_is_never_anothers() -> None:
    keys, addresses = set(), set()
    for _ in range(2000):
        thing = Thing()
        addresses.add(id(thing))
        keys.add(only(thing))
        del thing
    # Addresses come again; or this shows nothing.
    assert len(keys) == 2000 > len(addresses)


def test_nothing_is_kept_for_objects_that_are_gone() -> None:
    from catzilla_cache import identity

    things = [Thing() for _ in range(100)]
    for thing in things:
        thing.itself = thing  # type: ignore[attr-defined]
        only(thing)
    before = len(identity._tokens)
    del thing
    things.clear()
    gc.collect()
    assert len(identity._tokens) == before - 100


def test_what_is_known_of_an_object_that_is_gone_is_not_believed_of_another() -> None:
    from catzilla_cache import identity

    # As if it had died without a word and another had come to its address: the callback says so in time, but who knows.
    gone, here = Thing(), Thing()
    key_of_gone = only(gone)
    identity._tokens[id(here)] = (weakref.ref(gone), identity._tokens[id(gone)][1])
    del gone
    assert only(here) == only(here) != key_of_gone


def test_threads_agree_about_an_object() -> None:
    for _ in range(50):
        thing, keys, start = Thing(), [], threading.Barrier(4)

        def make(thing: Thing = thing, keys: "list[str]" = keys, start: threading.Barrier = start) -> None:
            start.wait()
            keys.append(only(thing))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(keys) == 4 and len(set(keys)) == 1


class Slotted:
    __slots__ = ("x",)


class Number(int):
    pass


@pytest.mark.parametrize(
    "value", [Slotted(), Number(1), [Slotted()], {"a": (Slotted(),)}], ids=["slots", "int", "list", "dict"]
)
def test_an_object_that_cannot_be_identified_is_refused_with_the_way_out(value: object) -> None:
    with pytest.raises(
        CacheKeyError, match=r"an argument of type test_key_identity\.\w+ cannot be part of a key.*__cache_key__"
    ) as caught:
        only(value)
    assert "referenced weakly" in str(caught.value)


MISSING = object()


def test_a_default_that_can_only_be_told_by_being_it_is_no_obstacle() -> None:
    def f(x: object, y: object = MISSING, *, z: object = MISSING) -> None: ...

    maker = KeyMaker(f)
    assert maker((1,), {}) == maker((1, MISSING), {}) == maker((), {"x": 1, "z": MISSING})
    assert len({maker(args, {}) for args in [(1,), (2,), (1, None), (1, "y"), (1, ("default", "y"))]}) == 5  # type: ignore[arg-type]
    with pytest.raises(CacheKeyError, match="an argument of type builtins.object cannot be part of a key"):
        maker((object(),), {})
    with pytest.raises(CacheKeyError):
        maker(([MISSING],), {})


def test_an_argument_without_end_is_refused() -> None:
    looped: "list[object]" = []
    looped.append(looped)
    deep: object = ()
    for _ in range(600):
        deep = (deep,)
    endless = Own(None)
    endless.name = endless
    for value in (looped, deep, endless):
        with pytest.raises(CacheKeyError, match="cannot be part of a key"):
            only(value)


IN_ANOTHER_PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
from decimal import Decimal
from catzilla_cache.keys import KeyMaker, generate_key
from colors import paint, Pot
print(KeyMaker(paint)((1, {"b": {"x", "y", (1, 2.5)}, "a": None}), {"flag": [True, b"x"]}))
print(KeyMaker(paint, "prefix")(("text",), {}))
print(KeyMaker(paint)((Decimal("1.5"), Pot("red")), {}))
print(KeyMaker(Pot.fill)((Pot("blue"),), {}))
print(generate_key("GET", "/a", "b", {"c": "d", "e": "f"}))
"""


def test_keys_are_the_same_in_every_process_and_on_both_backends(tmp_path: Path) -> None:
    (tmp_path / "colors.py").write_text(
        "class Pot:\n"
        "    def __init__(self, color): self.color = color\n"
        "    def __cache_key__(self): return {self.color, 'pot'}\n"
        "    def fill(self, much=0.5): return super().__repr__() in {'a', 'b', 'c'}\n"
        "def paint(x, y=None, *, flag=False): return x in {'p', 'q', 'r'}\n"
    )
    printed = {
        output_of(
            IN_ANOTHER_PROCESS, str(tmp_path), environment={"PYTHONHASHSEED": seed, "CATZILLA_CACHE_BACKEND": backend}
        )
        for seed in ("0", "1", "12345")
        for backend in ("ctypes", os.environ.get("CATZILLA_CACHE_BACKEND"))
    }
    assert len(printed) == 1 and len(printed.pop().split()) == 5


def test_objects_without_a_key_are_others_in_another_process() -> None:
    code = """
from catzilla_cache.keys import KeyMaker
class Thing: pass
thing = Thing()
def f(x): ...
print(KeyMaker(f)((thing,), {}))
"""
    assert output_of(code) != output_of(code)


def test_objects_are_others_after_a_fork() -> None:
    printed = output_of(
        """
        import os, sys
        from catzilla_cache.keys import KeyMaker
        class Thing: pass
        old = Thing()
        def f(x): ...
        maker = KeyMaker(f)
        print("old", maker((old,), {}), maker((1,), {}), flush=True)
        child = os.fork()
        # One after the other: lines of both at once could be mixed.
        if child:
            assert os.waitpid(child, 0)[1] == 0
        new = Thing()
        print("new", maker((new,), {}), maker((1,), {}), flush=True)
        print("old", maker((old,), {}), maker((1,), {}), flush=True)
        """
    )
    lines = [line.split() for line in printed.splitlines()]
    assert len(lines) == 5
    assert len({of_value for _, _, of_value in lines}) == 1
    # The parent's old object keeps its key; the child's is another, and so are the new ones of both.
    assert len({of_object for _, of_object, _ in lines}) == 4
    assert len({of_object for name, of_object, _ in lines if name == "old"}) == 2


def test_the_functions_of_a_program_are_the_same_for_its_workers(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, sys\n"
        "from catzilla_cache.keys import KeyMaker\n"
        "def f(x): return x\n"
        "def made(_): return KeyMaker(f)((1,), {})\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        assert pool.map(made, [0]) == [made(0)], (pool.map(made, [0]), made(0))\n"
    )
    output_of(
        "import runpy, subprocess, sys; sys.exit(subprocess.run([sys.executable, sys.argv[1]], timeout=200).returncode)",
        str(program),
    )
