"""The one place that makes stored bytes of values, and values of stored bytes.

Plain values have the plain encoding (``plain``). Others are made by a codec, whose name is stored with them:

    20  length of the name, name, the codec's bytes
    21  version, end, MAC (``signing``), then the same

What an untrusted codec makes is signed when it leaves the process; unsigned it is read back only in a cache that never does.
"""

from __future__ import annotations

import math
import time
from typing import Iterable, Optional, Sequence, Union

from catzilla_cache.codec import codecs
from catzilla_cache.codec.codecs import Codec
from catzilla_cache.codec.encoding import decode, encode
from catzilla_cache.codec.plain import Refused
from catzilla_cache.codec.secret import NO_SECRET, checked
from catzilla_cache.codec.signing import Signer
from catzilla_cache.errors import CacheValueError

MADE_BY_CODEC = 0x20
SIGNED = 0x21


class ValueCodec:
    """Values to stored bytes and back, by the rules of one cache.

    ``codec`` makes what is not plain: a name ("pickle", "json", "msgspec", "msgpack") or a ``Codec``. ``readable`` are further
    codecs of the caller's own, for values that are there already; those built in are always readable. ``leaves_process``
    says that the bytes go where others may write: to disk or Redis. Then ``secrets`` sign what an untrusted codec makes (the
    first one signs, all are believed), and without any such a value is refused with ``no_secret``, which says what to do.
    """

    def __init__(
        self,
        codec: Union[str, Codec] = "pickle",
        *,
        readable: Iterable[Codec] = (),
        namespace: bytes = b"",
        secrets: Sequence[bytes] = (),
        leaves_process: bool = False,
        no_secret: str = NO_SECRET,
    ) -> None:
        self._codec = codecs.chosen(codec)
        self._known = codecs.by_name([self._codec, *readable])
        self._signer = Signer([checked(secret) for secret in secrets], namespace)
        self._leaves_process = leaves_process
        self._no_secret = no_secret
        name = self._codec.name.encode("utf-8")
        self._head = bytes([len(name)]) + name

    @property
    def codec(self) -> Codec:
        """What makes values that are not plain."""
        return self._codec

    def dumps(self, key: bytes, value: object, expires_at: Optional[float] = None) -> bytes:
        """The bytes to store. ``expires_at`` is in wall-clock seconds, None for never. ``CacheValueError`` says why not."""
        encoded = encode(value)
        return self.dumps_by_codec(key, value, expires_at) if encoded is None else encoded

    def dumps_by_codec(self, key: bytes, value: object, expires_at: Optional[float] = None) -> bytes:
        """As ``dumps``, for a value that is known not to be plain."""
        codec = self._codec
        signed = self._leaves_process and not codec.trusted
        if signed and not self._signer:
            raise CacheValueError(
                f"a value of type {_named(value)} cannot be stored: reading what codec {codec.name!r} makes can run any "
                f"code; {self._no_secret}"
            )
        try:
            made = codec.dumps(value)
        except MemoryError:
            raise
        except Exception as error:
            # Whatever it is: a codec, or the value's own code, did not make bytes of it.
            raise CacheValueError(
                f"a value of type {_named(value)} cannot be stored: codec {codec.name!r}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, (bytes, bytearray, memoryview)):
            raise CacheValueError(f"codec {codec.name!r} made {type(made).__name__} of a value, not bytes")
        body = b"".join((self._head, made))
        if not signed:
            return b"\x20" + body
        return b"\x21" + self._signer.sign(key, math.inf if expires_at is None else expires_at, body)

    def loads(self, key: bytes, data: bytes, now: Optional[float] = None) -> object:
        """The value. ``Refused`` for what is damaged, unknown, not signed as it must be, or at ``now`` past its signed end."""
        tag = data[0] if data else None
        if tag == MADE_BY_CODEC:
            return self._read(memoryview(data)[1:], signed=False)
        if tag == SIGNED:
            body = self._signer.verify(key, memoryview(data)[1:], time.time() if now is None else now)
            return self._read(body, signed=True)
        return decode(data)

    def rebind(
        self, key: bytes, data: bytes, expires_at: Optional[float], now: Optional[float] = None
    ) -> Optional[bytes]:
        """The same value with another end, or None when its bytes carry no end. ``Refused`` as for ``loads``."""
        if not data or data[0] != SIGNED:
            return None
        body = self._signer.verify(key, memoryview(data)[1:], time.time() if now is None else now)
        return b"\x21" + self._signer.sign(key, math.inf if expires_at is None else expires_at, bytes(body))

    def _read(self, body: Union[bytes, memoryview], signed: bool) -> object:
        start = 1 + body[0] if len(body) else 0
        if start <= 1 or len(body) < start:
            raise Refused("a value is cut off in the name of its codec")
        try:
            codec = self._find(bytes(body[1:start]).decode("utf-8"))
        except UnicodeDecodeError:
            raise Refused("the name of a value's codec is not text") from None
        if not (signed or codec.trusted or not self._leaves_process):
            raise Refused(f"a value made by codec {codec.name!r} is not signed")
        try:
            return codec.loads(bytes(body[start:]))
        except MemoryError:
            raise
        except Exception as error:
            # A class that is no more, a damaged document: nothing that the caller of a cache can act on but by loading anew.
            raise Refused(f"codec {codec.name!r} does not read a value: {type(error).__name__}: {error}") from error

    def _find(self, name: str) -> Codec:
        codec = self._known.get(name)
        if codec is not None:
            return codec
        try:
            codec = codecs.built_in(name)
        except CacheValueError as error:
            raise Refused(f"a value was made by codec {name!r}, which is not known here: {error}") from error
        return self._known.setdefault(name, codec)


def _named(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
