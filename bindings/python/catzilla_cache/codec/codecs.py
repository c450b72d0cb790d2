"""What makes bytes of values that are not plain: pickle, json, msgspec, msgpack, or a caller's own.

A codec is an object with a name, which is stored with what it made, so that a reader with another default still reads
it. ``trusted`` says whether reading is safe whoever wrote the bytes; what an untrusted codec makes is signed when it
leaves the process.
"""

from __future__ import annotations

import importlib
import json
import pickle
from typing import Any, Iterable, Protocol, Union

from catzilla_cache.errors import CacheValueError

# A byte counts them.
_LONGEST_NAME = 255

# The newest that CPython 3.9 reads: all supported versions read one another's values.
_PICKLE_PROTOCOL = 5


class Codec(Protocol):
    """Values to bytes and back."""

    @property
    def name(self) -> str:
        """Stored with every value; another codec must never get the same."""
        ...

    @property
    def trusted(self) -> bool:
        """True: reading is safe whoever wrote the bytes, so they need no signature."""
        ...

    def dumps(self, value: object) -> bytes: ...

    def loads(self, data: bytes) -> object: ...


class PickleCodec:
    """Nearly everything, with its type. Reading a pickle can run any code, so those of others must never be read."""

    name = "pickle"
    trusted = False

    def dumps(self, value: object) -> bytes:
        return pickle.dumps(value, protocol=_PICKLE_PROTOCOL)

    def loads(self, data: bytes) -> object:
        return pickle.loads(data)


class JsonCodec:
    """What other languages read too. Types that JSON has not come back as those it has, or are refused."""

    name = "json"
    trusted = True

    def dumps(self, value: object) -> bytes:
        # Surrogates, which UTF-8 has not, are escaped with everything else that is not ASCII.
        return json.dumps(value, separators=(",", ":")).encode("ascii")

    def loads(self, data: bytes) -> object:
        return json.loads(data)


class MsgspecCodec:
    """MessagePack by msgspec: also dataclasses, Structs, dates, UUIDs; they come back as what MessagePack has (dicts, text)."""

    name = "msgspec"
    trusted = True

    def __init__(self) -> None:
        self._msgpack: Any = _imported("msgspec.msgpack", "msgspec")

    def dumps(self, value: object) -> bytes:
        encoded: bytes = self._msgpack.encode(value)
        return encoded

    def loads(self, data: bytes) -> object:
        return self._msgpack.decode(data)


class MsgpackCodec:
    """MessagePack by msgpack: also points in time with a time zone, which come back in UTC."""

    name = "msgpack"
    trusted = True

    def __init__(self) -> None:
        self._msgpack: Any = _imported("msgpack", "msgpack")

    def dumps(self, value: object) -> bytes:
        packed: bytes = self._msgpack.packb(value, datetime=True)
        return packed

    def loads(self, data: bytes) -> object:
        # 3: as datetime objects. Keys may be of any type, as they were when they were packed.
        return self._msgpack.unpackb(data, timestamp=3, strict_map_key=False)


BUILT_IN: "dict[str, type[Codec]]" = {
    "pickle": PickleCodec,
    "json": JsonCodec,
    "msgspec": MsgspecCodec,
    "msgpack": MsgpackCodec,
}


def built_in(name: str) -> Codec:
    """The built-in codec of that name; ``CacheValueError`` when there is none, or when what it needs is not installed."""
    kind = BUILT_IN.get(name)
    if kind is None:
        raise CacheValueError(
            f"a codec is one of {', '.join(BUILT_IN)}, or an object with dumps and loads, not {name!r}"
        )
    return kind()


def chosen(codec: Union[str, Codec]) -> Codec:
    """The codec that a caller asks for by its name, or brings along."""
    if isinstance(codec, str):
        return built_in(codec)
    for attribute in ("name", "trusted", "dumps", "loads"):
        if not hasattr(codec, attribute):
            raise CacheValueError(
                f"a codec has name, trusted, dumps and loads; {type(codec).__name__} has no {attribute}"
            )
    name = codec.name
    if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "replace")) <= _LONGEST_NAME:
        raise CacheValueError(f"a codec's name is text of 1 to {_LONGEST_NAME} bytes, not {name!r}")
    if name in BUILT_IN and type(codec) is not BUILT_IN[name]:
        raise CacheValueError(f"a codec of your own needs a name of its own: {name!r} is built in")
    return codec


def by_name(codecs: Iterable[Union[str, Codec]]) -> "dict[str, Codec]":
    """Codecs under their names; two of one name are refused."""
    named: "dict[str, Codec]" = {}
    for given in codecs:
        codec = chosen(given)
        if named.setdefault(codec.name, codec) is not codec and type(codec) is not BUILT_IN.get(codec.name):
            raise CacheValueError(f"two codecs have the name {codec.name!r}")
    return named


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CacheValueError(
            f"the codec {extra!r} needs a package that is not installed ({error}): pip install 'catzilla-cache[{extra}]'"
        ) from error
