"""What ``BytesCache`` and ``SmartCache`` inherit on ctypes: their hottest calls, each in one frame.

The compiled module has the same bases (``native/engine_bytes.c``, ``native/engine_values.c``). What is out of the
ordinary, and every failure, goes to the method of the same name with an underscore in front, which is written once for
both backends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Optional, TypeVar, Union, overload

from catzilla_cache._ctypes_library import SIZES
from catzilla_cache._ctypes_reading import free_buffers

if TYPE_CHECKING:
    from catzilla_cache._ctypes_handles import Handle

_Key = Union[str, bytes]
_BytesLike = Union[bytes, bytearray, memoryview]
_Tags = Iterable[Union[str, bytes]]
_Default = TypeVar("_Default")

_OK, _NOT_FOUND = 0, 1

#: The first bytes of values that are ``bytes`` and ``str``: see ``codec/plain.py``.
_BYTES, _TEXT = b"\x05", b"\x06"

_encode = str.encode
_take, _give = free_buffers.pop, free_buffers.append

#: What comes of a key that is no text, of one that is longer than the prepared sizes, of having no free buffer, and of
#: a text that is none. None of it is an error yet.
_UNUSUAL = (TypeError, UnicodeError, IndexError)


class _Base:
    """What both have."""

    __slots__ = ()

    if TYPE_CHECKING:
        _handle: Optional[Handle]
        _asks_below: bool

        def _live(self) -> Handle: ...
        def _delete(self, key: _Key) -> bool: ...
        def _exists(self, key: object) -> bool: ...

    def _attach(self, handle: Handle, memory_only: bool) -> None:
        """The cache is open."""

    def _detach(self) -> None:
        """The cache is closed."""

    def delete(self, key: _Key) -> bool:
        """Removes a key from every tier. True when it was there."""
        return self._delete(key)

    def __contains__(self, key: object) -> bool:
        """Whether a key is there. Counts neither as a request nor as a use."""
        return self._exists(key)


class BytesBase(_Base):
    """What ``BytesCache`` inherits."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _get(self, key: _Key, default: object = None) -> object: ...
        def _getitem(self, key: _Key) -> bytes: ...
        def _set(self, key: _Key, value: _BytesLike, ttl: Optional[float] = None, *, tags: _Tags = ()) -> None: ...
        def _get_below(self, answers: dict[_Key, bytes], keys: list[_Key]) -> dict[_Key, bytes]: ...

    @overload
    def get(self, key: _Key) -> Optional[bytes]: ...
    @overload
    def get(self, key: _Key, default: _Default) -> Union[bytes, _Default]: ...
    def get(self, key: _Key, default: object = None) -> object:
        """The value of a key, or the default when it is absent or expired."""
        handle: Any = self._handle or self._live()
        read = handle.read
        try:
            name: Any = key if type(key) is bytes else _encode(key)  # type: ignore[arg-type]
            key_len = SIZES[len(name)]
            memory, room, capacity, length, length_out = buffer = _take()
            status = read(handle.argument, name, key_len, room, capacity, length_out)
            if status == _OK:
                value = memory[: length.value]
                _give(buffer)
                return value
            _give(buffer)
            if status == _NOT_FOUND:
                return default
        except _UNUSUAL:
            pass
        # Else the traceback of what is raised now would keep the cache open: see `OpenCache._live`.
        handle = None
        return self._get(key, default)

    def set(self, key: _Key, value: _BytesLike, ttl: Optional[float] = None, *, tags: _Tags = ()) -> None:
        """Stores a value, for ``ttl`` seconds; None or 0 is the default of each tier, ``math.inf`` never expires.

        With ``tags`` it goes with ``delete_tag``.
        """
        self._set(key, value, ttl, tags=tags)

    def get_many(self, keys: Iterable[_Key]) -> dict[_Key, bytes]:
        """The values of those keys that are there; Redis and disk are asked once for all."""
        if self._asks_below:
            return self._get_below({}, list(keys))
        # Memory alone is asked faster one by one than a batch is put together.
        pairs = ((key, self.get(key)) for key in keys)
        return {key: value for key, value in pairs if value is not None}

    def __getitem__(self, key: _Key) -> bytes:
        return self._getitem(key)


class ValuesBase(_Base):
    """What ``SmartCache`` inherits."""

    __slots__ = ()

    if TYPE_CHECKING:

        def _get(self, key: _Key) -> tuple[Any, bool]: ...
        def _getitem(self, key: _Key) -> Any: ...
        def _set(self, key: _Key, value: object, ttl: Optional[float] = None, *, tags: _Tags = ()) -> bool: ...
        def _get_below(self, answers: dict[_Key, Any], keys: list[_Key]) -> dict[_Key, Any]: ...
        def _look_in_memory(self, key: _Key) -> tuple[Any, bool]: ...
        def _revive(self, key: _Key, data: bytes) -> tuple[Any, bool]: ...

    def get(self, key: _Key) -> tuple[Any, bool]:
        """The value of a key and True, or None and False."""
        handle: Any = self._handle or self._live()
        read, data = handle.read, None
        try:
            name: Any = key if type(key) is bytes else _encode(key)  # type: ignore[arg-type]
            key_len = SIZES[len(name)]
            memory, room, capacity, length, length_out = buffer = _take()
            status = read(handle.argument, name, key_len, room, capacity, length_out)
            if status == _OK:
                end = length.value
                # What is beyond its end the last read has left there.
                kind = memory[0] if end else b""
                if kind == _BYTES:
                    value = memory[1:end]
                    _give(buffer)
                    return value, True
                data = memory[:end]
                _give(buffer)
                if kind == _TEXT:
                    return data[1:].decode(), True
            else:
                _give(buffer)
                if status == _NOT_FOUND:
                    return None, False
        except _UNUSUAL:
            pass
        handle = None
        return self._get(key) if data is None else self._revive(key, data)

    def set(self, key: _Key, value: object, ttl: Optional[float] = None, *, tags: _Tags = ()) -> bool:
        """Stores a value, for ``ttl`` seconds; None or 0 is the default of each tier, ``math.inf`` never expires. True.

        With ``tags`` it goes with ``invalidate``. A value that cannot be stored is a ``CacheValueError``. False: there
        is one tier below memory and no memory, and that tier is down.
        """
        return self._set(key, value, ttl, tags=tags)

    def get_many(self, keys: Iterable[_Key]) -> dict[_Key, Any]:
        """The values of those keys that are there."""
        if self._asks_below:
            return self._get_below({}, list(keys))
        # Memory alone is asked faster one by one than a batch is put together.
        pairs = ((key, self.get(key)) for key in keys)
        return {key: value for key, (value, is_there) in pairs if is_there}

    def exists(self, key: _Key) -> bool:
        """Whether something is stored under a key. Counts neither as a request nor as a use, and does not read the value."""
        return self._exists(key)

    def _get_from_memory(self, key: _Key) -> tuple[Any, bool]:
        """As ``get``, but asks memory alone. A miss is counted by whoever goes on."""
        return self._look_in_memory(key)

    def __getitem__(self, key: _Key) -> Any:
        return self._getitem(key)
