"""Values that are not plain: which codec makes them, and that nobody else's are ever read."""

from __future__ import annotations

import decimal
import fractions
import json
import math
import pickle
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from catzilla_cache.codec import JsonCodec, Refused, ValueCodec
from catzilla_cache.errors import CacheValueError
from interpreter import output_of

KEY = b"user:17"
SECRET, OTHER_SECRET = b"first secret: sixteen or more", b"second secret: sixteen or more"
VALUE = fractions.Fraction(1, 3)
NOW = 1_700_000_000.0


class Trap:
    """Whoever unpickles it has run foreign code."""

    sprung = False

    def __reduce__(self) -> "tuple[Callable[[], object], tuple[()]]":
        return spring, ()


def spring() -> str:
    Trap.sprung = True
    return "sprung"


@pytest.fixture(autouse=True)
def no_trap_is_sprung() -> Any:
    Trap.sprung = False
    yield
    assert not Trap.sprung


def signing(*secrets: bytes, namespace: bytes = b"") -> ValueCodec:
    return ValueCodec(secrets=secrets or [SECRET], leaves_process=True, namespace=namespace)


def test_a_plain_value_needs_no_codec_and_no_secret() -> None:
    values = ValueCodec(leaves_process=True)
    for value in ({"a": [1, 2.5, None]}, b"bytes", "text", 5):
        stored = values.dumps(KEY, value, NOW + 1)
        assert values.loads(b"another key", stored, NOW + 1e9) == value
        assert values.rebind(KEY, stored, None) is None


def test_other_values_are_pickled_and_come_back() -> None:
    for values in (ValueCodec(), signing()):
        stored = values.dumps(KEY, VALUE)
        assert values.loads(KEY, stored) == VALUE


def test_a_value_that_cannot_be_made_bytes_of_is_refused_with_the_reason() -> None:
    class Broken:
        def __reduce__(self) -> str:
            raise KeyError("no such thing")

    with pytest.raises(CacheValueError, match="a value of type function cannot be stored: codec 'pickle'") as caught:
        ValueCodec().dumps(KEY, lambda: 0)
    assert caught.value.__cause__ is not None
    with pytest.raises(CacheValueError, match="Broken cannot be stored: codec 'pickle': KeyError: 'no such thing'"):
        ValueCodec().dumps(KEY, Broken())
    with pytest.raises(
        CacheValueError, match="a value of type decimal.Decimal cannot be stored: codec 'json': TypeError"
    ):
        ValueCodec("json").dumps(KEY, decimal.Decimal(1))


def test_a_value_that_contains_itself_is_pickled() -> None:
    looped: "list[object]" = [1]
    looped.append(looped)
    back = ValueCodec().loads(KEY, ValueCodec().dumps(KEY, looped))
    assert isinstance(back, list) and back[1] is back


def test_without_a_secret_what_leaves_the_process_is_refused_by_name_of_the_option() -> None:
    values = ValueCodec(leaves_process=True)
    with pytest.raises(CacheValueError, match=r"SmartCacheConfig\(secret=\.\.\.\) or CATZILLA_CACHE_SECRET") as caught:
        values.dumps(KEY, VALUE)
    assert "a value of type fractions.Fraction" in str(caught.value)
    with pytest.raises(Refused, match="no secret"):
        values.loads(KEY, signing().dumps(KEY, VALUE))


def test_an_unsigned_pickle_from_outside_is_never_read() -> None:
    unsigned = ValueCodec().dumps(KEY, Trap())
    with pytest.raises(Refused, match="codec 'pickle' is not signed"):
        signing().loads(KEY, unsigned)
    with pytest.raises(Refused, match="codec 'pickle' is not signed"):
        ValueCodec("json", leaves_process=True).loads(KEY, unsigned)
    with pytest.raises(Refused):
        signing().loads(KEY, pickle.dumps(Trap()))


def test_a_value_signed_with_another_secret_is_never_read() -> None:
    with pytest.raises(Refused, match="not of a known secret"):
        signing().loads(KEY, signing(OTHER_SECRET).dumps(KEY, Trap()))


def test_an_entry_moved_to_another_key_is_refused() -> None:
    stored = signing().dumps(KEY, Trap())
    for key in (b"user:18", b"", b"user:17\0", b"user:1"):
        with pytest.raises(Refused):
            signing().loads(key, stored)


def test_an_entry_moved_to_another_namespace_is_refused() -> None:
    stored = signing(namespace=b"one").dumps(KEY, Trap())
    for namespace in (b"two", b"", b"on", b"one\0"):
        with pytest.raises(Refused):
            signing(namespace=namespace).loads(KEY, stored)


def test_bytes_cannot_wander_between_namespace_and_key() -> None:
    stored = signing(namespace=b"a").dumps(b"bc", Trap())
    with pytest.raises(Refused):
        signing(namespace=b"ab").loads(b"c", stored)


def test_an_entry_is_refused_from_its_end_on() -> None:
    values = signing()
    stored = values.dumps(KEY, VALUE, NOW + 10)
    assert values.loads(KEY, stored, NOW + 9.999) == VALUE
    for now in (NOW + 10, NOW + 11, math.inf):
        with pytest.raises(Refused, match="past its end"):
            values.loads(KEY, stored, now)


def test_an_entry_without_end_has_none() -> None:
    assert signing().loads(KEY, signing().dumps(KEY, VALUE, None), 1e12) == VALUE


def test_the_end_is_that_of_the_wall_clock_when_nobody_says() -> None:
    values = signing()
    assert values.loads(KEY, values.dumps(KEY, VALUE, 4e9)) == VALUE
    with pytest.raises(Refused, match="past its end"):
        values.loads(KEY, values.dumps(KEY, Trap(), NOW))


def test_an_end_that_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        signing().dumps(KEY, VALUE, math.nan)


def test_any_bit_that_is_flipped_is_seen() -> None:
    values = signing()
    stored = values.dumps(KEY, Trap(), NOW)
    for bit in range(len(stored) * 8):
        changed = bytearray(stored)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            values.loads(KEY, bytes(changed), NOW - 1)


def test_a_value_that_is_cut_off_or_longer_is_refused() -> None:
    values = signing()
    stored = values.dumps(KEY, Trap())
    for length in range(len(stored)):
        with pytest.raises(Refused):
            values.loads(KEY, stored[:length])
    with pytest.raises(Refused):
        values.loads(KEY, stored + b"\0")


def test_a_signed_value_is_not_believed_as_an_unsigned_one() -> None:
    stored = signing().dumps(KEY, Trap())
    changed = [tag + stored[start:] for start in (1, 2, 10, 42) for tag in (b"\x20", b"\x21", b"\x21\x01", b"")]
    for data in changed:
        if data != stored:
            with pytest.raises(Refused):
                signing().loads(KEY, data)


def test_a_later_version_is_refused_by_its_number() -> None:
    stored = signing().dumps(KEY, VALUE)
    with pytest.raises(Refused, match="signed in version 2; this library knows version 1"):
        signing().loads(KEY, stored[:1] + b"\x02" + stored[2:])


def test_a_secret_can_be_replaced_while_values_live() -> None:
    old = signing(SECRET).dumps(KEY, VALUE)
    both = signing(OTHER_SECRET, SECRET)
    assert both.loads(KEY, old) == VALUE
    new = both.dumps(KEY, VALUE)
    assert signing(OTHER_SECRET).loads(KEY, new) == VALUE
    with pytest.raises(Refused):
        signing(SECRET).loads(KEY, new)


def test_touching_signs_again_with_another_end() -> None:
    values = signing()
    stored = values.dumps(KEY, VALUE, NOW + 10)
    longer = values.rebind(KEY, stored, NOW + 100, NOW)
    assert longer is not None
    assert values.loads(KEY, longer, NOW + 50) == VALUE
    forever = values.rebind(KEY, longer, None, NOW)
    assert forever is not None
    assert values.loads(KEY, forever, NOW + 1e9) == VALUE


def test_touching_does_not_sign_what_was_not_believed() -> None:
    values = signing()
    forged = signing(OTHER_SECRET).dumps(KEY, Trap())
    with pytest.raises(Refused):
        values.rebind(KEY, forged, None)
    with pytest.raises(Refused):
        values.rebind(b"another", values.dumps(KEY, Trap()), None)
    with pytest.raises(Refused, match="past its end"):
        values.rebind(KEY, values.dumps(KEY, Trap(), NOW), NOW + 100, NOW + 1)


def test_touching_makes_a_signature_of_the_newest_secret() -> None:
    rebound = signing(OTHER_SECRET, SECRET).rebind(KEY, signing(SECRET).dumps(KEY, VALUE), None)
    assert rebound is not None
    assert signing(OTHER_SECRET).loads(KEY, rebound) == VALUE


def test_inside_the_process_nothing_is_signed() -> None:
    values = ValueCodec(secrets=[SECRET])
    stored = values.dumps(KEY, VALUE, NOW)
    assert values.loads(b"another", stored, NOW + 1) == VALUE
    assert values.rebind(KEY, stored, None) is None


@pytest.mark.parametrize("name", ["json", "msgspec", "msgpack"])
def test_a_codec_that_is_safe_to_read_needs_no_secret(name: str) -> None:
    if name != "json":
        pytest.importorskip(name)
    values = ValueCodec(name, leaves_process=True)

    class Mapping(dict):  # type: ignore[type-arg]
        pass

    stored = values.dumps(KEY, Mapping(a=[1, "two", None]))
    assert stored.startswith(b"\x20" + bytes([len(name)]) + name.encode())
    assert values.loads(KEY, stored) == {"a": [1, "two", None]}
    # Whatever the reader would use itself.
    assert signing().loads(KEY, stored) == {"a": [1, "two", None]}


def test_json_writes_lone_surrogates_too() -> None:
    class Text(str):
        pass

    values = ValueCodec("json")
    assert values.loads(KEY, values.dumps(KEY, Text("\ud800é"))) == "\ud800é"


@pytest.mark.parametrize("name", ["msgspec", "msgpack"])
def test_a_codec_that_is_not_installed_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (name, name + ".msgpack"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CacheValueError, match=rf"pip install 'catzilla-cache\[{name}\]'"):
        ValueCodec(name)
    with pytest.raises(Refused, match=f"made by codec '{name}', which is not known here"):
        ValueCodec().loads(KEY, b"\x20\x07" + name.encode() + b"\x01")


class Upper:
    name = "upper"
    trusted = False

    def dumps(self, value: object) -> bytes:
        return str(value).upper().encode()

    def loads(self, data: bytes) -> object:
        return data.decode()


def test_a_codec_of_the_callers_own_is_used_and_signed_unless_trusted() -> None:
    values = ValueCodec(Upper(), secrets=[SECRET], leaves_process=True)
    stored = values.dumps(KEY, VALUE)
    assert stored[0] == 0x21 and values.loads(KEY, stored) == "1/3"
    with pytest.raises(Refused, match="made by codec 'upper', which is not known here"):
        signing().loads(KEY, stored)
    assert ValueCodec(readable=[Upper()], secrets=[SECRET], leaves_process=True).loads(KEY, stored) == "1/3"
    with pytest.raises(CacheValueError, match="no secret"):
        ValueCodec(Upper(), leaves_process=True).dumps(KEY, VALUE)


def test_what_a_codec_cannot_read_is_a_refusal() -> None:
    values = ValueCodec("json", leaves_process=True)
    damaged = values.dumps(KEY, fractions_as_dict := type("Own", (dict,), {})(a=1))[:-1]
    assert fractions_as_dict == {"a": 1}
    with pytest.raises(Refused, match="codec 'json' does not read a value: JSONDecodeError"):
        values.loads(KEY, damaged)
    deep = b"\x20\x04json" + b"[" * 200_000
    with pytest.raises(Refused, match="RecursionError"):
        values.loads(KEY, deep)


def test_a_class_that_is_no_more_makes_its_values_misses(tmp_path: Path) -> None:
    output_of(
        """
        import sys
        from catzilla_cache.codec import Refused, ValueCodec
        class Gone: pass
        values = ValueCodec()
        stored = values.dumps(b"k", Gone())
        del Gone
        try:
            values.loads(b"k", stored)
        except Refused as error:
            assert "AttributeError" in str(error), error
        else:
            raise SystemExit("read")
        """
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\x20",
        b"\x20\x00",
        b"\x20\x00abc",
        b"\x20\x05json",
        b"\x20\x01\xff[]",
        b"\x20\x04jsom[]",
        b"\x22",
        b"\x21",
        b"",
    ],
)
def test_a_codecs_name_that_is_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        ValueCodec("json", leaves_process=True).loads(KEY, data)


def test_a_codec_that_is_none_is_refused_with_what_it_lacks() -> None:
    class Nameless(Upper):
        name = ""

    class Pretender(Upper):
        name = "json"

    class Incomplete:
        name = "incomplete"
        trusted = True

    with pytest.raises(CacheValueError, match="a codec is one of pickle, json, msgspec, msgpack, or an object"):
        ValueCodec("yaml")
    with pytest.raises(CacheValueError, match="text of 1 to 255 bytes, not ''"):
        ValueCodec(Nameless())
    with pytest.raises(CacheValueError, match="'json' is built in"):
        ValueCodec(Pretender())
    with pytest.raises(CacheValueError, match="Incomplete has no dumps"):
        ValueCodec(Incomplete())  # type: ignore[arg-type]
    with pytest.raises(CacheValueError, match="two codecs have the name 'upper'"):
        ValueCodec(Upper(), readable=[Upper()])


def test_a_codec_that_makes_no_bytes_is_refused() -> None:
    class TextMaker(Upper):
        def dumps(self, value: object) -> bytes:
            return "text"  # type: ignore[return-value]

    with pytest.raises(CacheValueError, match="codec 'upper' made str of a value, not bytes"):
        ValueCodec(TextMaker()).dumps(KEY, VALUE)


def test_a_codec_built_in_can_be_given_as_an_object() -> None:
    values = ValueCodec(JsonCodec(), readable=[JsonCodec()])
    assert json.loads(values.dumps(KEY, type("Own", (dict,), {})(a=1))[6:]) == {"a": 1}


def test_a_value_signed_in_one_process_is_read_in_another() -> None:
    stored = signing(namespace=b"shop").dumps(KEY, VALUE, NOW)
    printed = output_of(
        """
        import sys
        from catzilla_cache.codec import ValueCodec
        values = ValueCodec(secrets=[b"first secret: sixteen or more"], leaves_process=True, namespace=b"shop")
        print(values.loads(b"user:17", bytes.fromhex(sys.argv[1]), 0.0))
        """,
        stored.hex(),
    )
    assert printed.strip() == "1/3"


def test_a_signature_is_what_it_was_in_the_first_release() -> None:
    # Values stored by an older process have to stay readable. The MAC was computed apart from the package: HMAC-SHA256 of domain,
    # namespace, key, version with end, and body, each behind its length in 8 bytes.
    values = ValueCodec(Upper(), secrets=[SECRET], leaves_process=True, namespace=b"shop")
    stored = values.dumps(KEY, VALUE, NOW)
    assert stored.hex() == (
        "210141d954fc4000000037a7a6696d58e313eb59fc8b021ef87bb7500c1acc91569d008e3a313d94b288057570706572312f33"
    )
