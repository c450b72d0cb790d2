"""The plain encoding: every value comes back as it was, in both implementations, and nothing else is taken for one."""

from __future__ import annotations

import collections
import enum
import gc
import random
import sys
import threading
from typing import Iterator, NamedTuple

import pytest

from catzilla_cache.codec import MAX_DEPTH, Refused, decode, encode
from catzilla_cache.errors import CacheValueError
from plain_values import COMPILED, EXAMPLES, IMPLEMENTATIONS, IN_PYTHON, Implementation, same


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: str(implementation.name))
def codec(request: pytest.FixtureRequest) -> Implementation:
    implementation: Implementation = request.param
    return implementation


def nested(depth: int, kind: type = list) -> object:
    value: object = kind()
    for _ in range(depth - 1):
        value = kind([value]) if kind is not dict else {"": value}
    return value


@pytest.mark.parametrize(
    "value", EXAMPLES, ids=lambda value: f"{type(value).__name__} {ascii(value)[:30] if value != 10**5000 else ''}"
)
def test_a_value_comes_back_as_it_was(codec: Implementation, value: object) -> None:
    encoded = codec.encode(value)
    assert isinstance(encoded, bytes)
    assert same(value, codec.decode(encoded))


def test_what_comes_back_is_the_callers_own(codec: Implementation) -> None:
    value = {"list": [1], "set": {1}, "bytes": bytearray(b"a")}
    encoded = codec.encode(value)
    assert encoded is not None
    first = codec.decode(encoded)
    assert isinstance(first, dict)
    first["list"].append(2)
    first["new"] = 1
    assert same(codec.decode(encoded), value)


@pytest.mark.skipif(COMPILED is None, reason="the ctypes backend has one implementation only")
def test_both_implementations_make_the_same_bytes() -> None:
    assert COMPILED is not None
    for value in EXAMPLES:
        encoded = IN_PYTHON.encode(value)
        assert encoded is not None
        assert encoded == COMPILED.encode(value)
        assert same(IN_PYTHON.decode(encoded), COMPILED.decode(encoded))


def test_the_fastest_implementation_there_is_is_used() -> None:
    assert (encode, decode) == (IMPLEMENTATIONS[-1].encode, IMPLEMENTATIONS[-1].decode)


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, "01"),
        (False, "02"),
        (True, "03"),
        (-0.0, "04 8000000000000000"),
        (b"ab", "05 6162"),
        ("aé", "06 61c3a9"),
        ("\ud800", "07 eda080"),
        (bytearray(b"ab"), "08 6162"),
        (2**63, "09 8000000000000000"),
        (-(2**63) - 1, "0a 8000000000000001"),
        (7, "37"),
        (-120, "2d313230"),
        ([1, -1, 300, -300], "0b 04 91 8f 11012c 19012c"),
        ((2**64,), "0c 01 09 09 010000000000000000"),
        ({"a"}, "0d 01 41 61"),
        (frozenset([b"a"]), "0e 01 05 01 61"),
        ({"k": None, "x" * 64: 1.5}, "0f 02 41 6b 01 06 40" + "78" * 64 + "04 3ff8000000000000"),
        (["\ud800", bytearray(b"a"), []], "0b 03 07 03 eda080 08 01 61 0b 00"),
    ],
    ids=lambda given: str(given)[:20].encode("ascii", "replace").decode(),
)
def test_the_bytes_are_those_that_are_written_down(codec: Implementation, value: object, expected: str) -> None:
    # What is stored outlives the process that stored it.
    assert codec.encode(value) == bytes.fromhex(expected)


def test_a_number_is_stored_as_the_engine_counts() -> None:
    for number in (0, 7, -7, 2**63 - 1, -(2**63)):
        assert encode(number) == str(number).encode()


class Color(enum.IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int


class Text(str):
    pass


NOT_PLAIN = [
    object(),
    Color.RED,
    Point(1),
    Text("a"),
    collections.OrderedDict(a=1),
    collections.defaultdict(int),
    1j,
    range(3),
    memoryview(b"a"),
    int,
    len,
    ...,
]


@pytest.mark.parametrize("value", NOT_PLAIN, ids=lambda value: type(value).__name__)
def test_what_would_lose_its_type_is_not_plain(codec: Implementation, value: object) -> None:
    assert codec.encode(value) is None
    assert codec.encode([1, {"a": (value,)}]) is None


def test_a_container_within_itself_is_not_plain(codec: Implementation) -> None:
    looped: "list[object]" = [1]
    looped.append({"a": (looped,)})
    assert codec.encode(looped) is None


def test_a_container_that_comes_twice_is_two(codec: Implementation) -> None:
    shared = [1]
    encoded = codec.encode([shared, shared])
    assert encoded is not None
    back = codec.decode(encoded)
    assert back == [[1], [1]] and isinstance(back, list) and back[0] is not back[1]


@pytest.mark.parametrize("kind", [list, tuple, frozenset, dict])
def test_depth_works_up_to_the_bound_and_is_refused_beyond(codec: Implementation, kind: type) -> None:
    encoded = codec.encode(nested(MAX_DEPTH, kind))
    assert encoded is not None
    back = codec.decode(encoded)
    assert codec.encode(back) == encoded
    with pytest.raises(CacheValueError, match=f"nested deeper than {MAX_DEPTH} containers"):
        codec.encode(nested(MAX_DEPTH + 1, kind))
    head = {list: b"\x0b\x01", tuple: b"\x0c\x01", frozenset: b"\x0e\x01", dict: b"\x0f\x01\x40"}[kind]
    with pytest.raises(Refused, match="nested deeper"):
        codec.decode(head + encoded)


def test_depth_does_not_depend_on_how_deep_the_caller_is(codec: Implementation) -> None:
    encoded = codec.encode(nested(MAX_DEPTH))
    assert encoded is not None

    def deeper(levels: int) -> object:
        # Some room for what either calls, none for a call for each level of the value.
        return deeper(levels - 1) if levels else codec.encode(codec.decode(encoded or b""))

    here, frame = 0, sys._getframe()
    while frame.f_back is not None:
        here, frame = here + 1, frame.f_back
    assert deeper(sys.getrecursionlimit() - here - 30) == encoded


DAMAGED = {
    "empty": "",
    "tag 0": "00",
    "unknown tag": "2a",
    "a codec's tag": "20",
    "inner tag outside: positive": "1105",
    "inner tag outside: short text": "4161",
    "inner tag outside: small": "90",
    "something behind None": "0101",
    "something behind a float": "04 3ff8000000000000 00",
    "something behind a list": "0b 00 00",
    "float cut off": "04 3ff80000000000",
    "text is not UTF-8": "06 ff",
    "text cut in a character": "06 c3",
    "text with a surrogate": "06 eda080",
    "text overlong": "06 c080",
    "text above Unicode": "06 f4908080",
    "text marked for surrogates without": "07 61",
    "text with surrogates not UTF-8": "07 eda0",
    "large number that is none": "09",
    "large number with a zero before": "09 00ffffffffffffffff",
    "large number that fits": "09 7fffffffffffffff",
    "large negative that fits": "0a 8000000000000000",
    "large number short": "09 01",
    "digits: minus": "2d",
    "digits: minus zero": "2d30",
    "digits: zero before": "3037",
    "digits: plus": "2b37",
    "digits: space": "3720",
    "digits: underscore": "375f37",
    "digits: too large": "39323233333732303336383534373735383038",
    "digits: too small": "2d39323233333732303336383534373735383039",
    "digits: far too large": "31" * 21,
    "list without count": "0b",
    "list ends early": "0b 02 01",
    "list expects more than there is": "0b ffffffff0f",
    "length longer than needed": "0b 8100 01",
    "length of ten bytes": "0b ffffffffffffffffff01",
    "length of nine bytes and more": "0b 808080808080808080",
    "inner bytes cut off": "0b 01 05 02 61",
    "inner number without a byte": "0b 01 10",
    "inner number with a zero before": "0b 01 11 0091",
    "inner number that has a small form": "0b 01 10 6f",
    "inner negative that has a small form": "0b 01 18 10",
    "inner large of eight bytes": "0b 01 09 08 ffffffffffffffff",
    "inner digits": "0b 01 37",
    "inner short text in the long form": "0b 01 06 01 61",
    "inner short text cut off": "0b 01 45 61",
    "member twice": "0d 02 91 91",
    "member twice as another type": "0e 02 91 03",
    "key twice": "0f 02 41 61 91 41 61 92",
    "list in a set": "0d 01 0b 00",
    "set in a set": "0d 01 0d 00",
    "list as a key": "0f 01 0b 00 01",
    "list in a tuple as a key": "0f 01 0c 01 0b 00 01",
    "bytearray as a key": "0f 01 08 00 01",
    "key without value": "0f 01 41 61",
    "odd counts in nested dicts": "0f 01 41 61 0f 01 41 62",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_encode_does_not_make_is_refused(codec: Implementation, data: str) -> None:
    with pytest.raises(Refused, match="damaged at byte"):
        codec.decode(bytes.fromhex(data))


def test_a_value_that_is_cut_off_anywhere_is_refused_or_another_whole_value(codec: Implementation) -> None:
    for value in EXAMPLES[:-2]:
        encoded = codec.encode(value)
        assert encoded is not None
        for length in range(min(len(encoded), 400)):
            try:
                back = codec.decode(encoded[:length])
            except Refused:
                continue
            assert codec.encode(back) == encoded[:length]


def test_little_data_cannot_ask_for_much_memory(codec: Implementation) -> None:
    # Each of the 900 lists announces 30 thousand members, of which there is room for one list's.
    import tracemalloc

    data = b"\x0b" + b"\xb0\xea\x01\x0b" * 900 + b"\x00" * 32000
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="expects more values than bytes are left"):
            codec.decode(data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2_000_000


def test_random_damage_is_refused_or_a_value_alike_in_both(codec: Implementation) -> None:
    generator = random.Random(20240229)
    originals = [encoded for encoded in map(codec.encode, EXAMPLES) if encoded and len(encoded) < 600]
    refused = 0
    for _ in range(20000):
        data = bytearray(generator.choice(originals))
        for _ in range(generator.randint(1, 3)):
            where = generator.randrange(len(data) + 1)
            how = generator.randrange(4)
            if how == 0:
                data[where:where] = bytes([generator.randrange(256)])
            elif how == 1:
                del data[where : where + generator.randint(1, 4)]
            elif where < len(data):
                data[where] = generator.randrange(256) if how == 2 else data[where] ^ 1 << generator.randrange(8)
        outcomes = []
        for implementation in IMPLEMENTATIONS:
            try:
                outcomes.append(implementation.decode(bytes(data)))
            except Refused:
                refused += 1
                outcomes.append(Refused)
        assert all(
            outcome is Refused if outcomes[0] is Refused else same(outcomes[0], outcome) for outcome in outcomes
        ), data.hex()
    assert 0.1 < refused / (20000 * len(IMPLEMENTATIONS)) < 0.99


def test_nothing_is_left_behind_by_values_and_damage(codec: Implementation) -> None:
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("counts of references say nothing here")
    member = "a member that is nobody else's"
    value = {"key": [member, (member, {member: [member] * 20}), {member}], "numbers": [2**70, -5000, 1.5]}
    encoded = codec.encode(value)
    assert encoded is not None
    for _ in range(3):
        codec.decode(encoded)
    gc.collect()
    before = sys.getrefcount(member), len(gc.get_objects())
    for length in range(len(encoded) + 1):
        codec.encode(value)
        codec.encode([value, object()])
        try:
            codec.decode(encoded[:length])
        except Refused:
            pass
    gc.collect()
    assert sys.getrefcount(member) == before[0]
    assert len(gc.get_objects()) - before[1] < 20


def test_decode_takes_bytes_alone() -> None:
    if COMPILED is None:
        pytest.skip("the Python implementation is not called by others")
    with pytest.raises(TypeError, match="an encoded value is bytes, not <class 'str'>"):
        COMPILED.decode("text")  # type: ignore[arg-type]


@pytest.fixture
def quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_a_value_that_changes_meanwhile_is_whole_or_refused(codec: Implementation, quick_switches: None) -> None:
    listed: "list[object]" = [[number] for number in range(200)]
    mapped: "dict[object, object]" = {number: [number] for number in range(200)}
    members: "set[object]" = {(number,) for number in range(200)}
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            listed.append([number])
            listed.pop(0)
            mapped[number + 200] = [number]
            mapped.pop(number, None)
            members.add((number + 200,))
            members.discard((number,))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(200):
            for value in (listed, mapped, members):
                try:
                    encoded = codec.encode(value)
                except CacheValueError as error:
                    assert "changed while it was being stored" in str(error)
                    continue
                assert encoded is not None
                back = codec.decode(encoded)
                assert isinstance(back, (list, dict, set)) and 150 < len(back) < 250
    finally:
        stop.set()
        thread.join()
