"""Values to stored bytes and back, and which of them may be trusted.

``plain`` is the encoding of Python's basic types, ``codecs`` what makes bytes of the others, ``signing`` and ``secret`` keep
foreign pickles from being read, and ``values`` puts them together. Knows nothing of caches and tiers.
"""

from catzilla_cache.codec.codecs import Codec, JsonCodec, MsgpackCodec, MsgspecCodec, PickleCodec
from catzilla_cache.codec.encoding import decode, encode
from catzilla_cache.codec.plain import MAX_DEPTH, Refused
from catzilla_cache.codec.secret import disk_secret, secret_for
from catzilla_cache.codec.values import ValueCodec

__all__ = [
    "MAX_DEPTH",
    "Codec",
    "JsonCodec",
    "MsgpackCodec",
    "MsgspecCodec",
    "PickleCodec",
    "Refused",
    "ValueCodec",
    "decode",
    "disk_secret",
    "encode",
    "secret_for",
]
