"""``encode`` and ``decode`` of the plain encoding: the compiled ones where the backend has them, else those of ``plain``."""

from __future__ import annotations

from typing import Callable, Optional

from catzilla_cache._backend import backend
from catzilla_cache.codec import plain

_native = getattr(backend, "native", None)

#: The value's bytes, or None when it is not plain.
encode: Callable[[object], Optional[bytes]] = plain.encode if _native is None else _native.encode

#: The value; ``Refused`` for bytes that ``encode`` does not make.
decode: Callable[[bytes], object] = plain.decode if _native is None else _native.decode
