"""Signs what must not be read when somebody else wrote it, and tells whose it is.

A signature covers the namespace, the key, the end and the bytes: who can write to Redis or to the disk file can neither make an
entry that is believed, nor move one to another key, nor bring one back after its end. An older value of the same key that has
not reached its end can be put back; against that only an end helps.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from typing import Sequence, Union

from catzilla_cache.codec.plain import Refused

# Says what is signed, so that a secret used elsewhere too signs nothing that could be taken for this.
_DOMAIN = b"catzilla-cache: a stored value"

VERSION = 1

_MAC = hashlib.sha256().digest_size
_end = struct.Struct(">d")
_length = struct.Struct(">Q")

#: Version, end and MAC, before the bytes that are signed.
HEAD = 1 + _end.size + _MAC

Bytes = Union[bytes, memoryview]


class Signer:
    """Signs with the first of its secrets and believes all of them, so that one can be replaced while values live."""

    def __init__(self, secrets: Sequence[bytes], namespace: bytes) -> None:
        # Copied for each value: the secret's part of the work is done once.
        self._begun = [hmac.new(secret, _framed(_DOMAIN, namespace), hashlib.sha256) for secret in secrets]

    def sign(self, key: bytes, end: float, body: bytes) -> bytes:
        """The body behind a signed head. ``end`` is in wall-clock seconds, ``math.inf`` for none."""
        if math.isnan(end):
            raise ValueError("the end of a value is a point in time, not NaN")
        fixed = bytes([VERSION]) + _end.pack(end)
        return b"".join((fixed, self._mac(self._begun[0], key, fixed, body), body))

    def verify(self, key: bytes, signed: Bytes, now: float) -> Bytes:
        """The body, if one of the secrets has signed it for this key and its end is not reached; else ``Refused``."""
        if len(signed) < HEAD:
            raise Refused("a signed value is cut off")
        if signed[0] != VERSION:
            raise Refused(f"a value is signed in version {signed[0]}; this library knows version {VERSION}")
        if not self._begun:
            raise Refused("a signed value, and no secret to check it with")
        fixed, mac, body = bytes(signed[: HEAD - _MAC]), bytes(signed[HEAD - _MAC : HEAD]), signed[HEAD:]
        # All are tried, so that the time does not tell which one it was.
        genuine = False
        for begun in self._begun:
            genuine |= hmac.compare_digest(mac, self._mac(begun, key, fixed, body))
        if not genuine:
            raise Refused("a value's signature is not of a known secret, for this key and namespace")
        end: float = _end.unpack_from(fixed, 1)[0]
        if not now < end:
            raise Refused("a signed value is past its end")
        return body

    def __bool__(self) -> bool:
        return bool(self._begun)

    @staticmethod
    def _mac(begun: "hmac.HMAC", key: bytes, fixed: bytes, body: Bytes) -> bytes:
        mac = begun.copy()
        mac.update(_framed(key, fixed) + _length.pack(len(body)))
        mac.update(body)
        return mac.digest()


def _framed(*parts: bytes) -> bytes:
    """Each part behind its length: no two lists of parts give the same bytes."""
    return b"".join(_length.pack(len(part)) + part for part in parts)
