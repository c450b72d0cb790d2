"""The exceptions of the package, and which of them a failed C call becomes.

A miss is never an exception; a failure always is one, with the library's own message and status number.
"""

from __future__ import annotations

from catzilla_cache import _status


class CacheError(Exception):
    """Anything the cache refuses or cannot do. The base of the exceptions below.

    ``status`` is the library's status number, 0 when the refusal came from Python (a closed cache, a key of the wrong type).
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class CacheKeyError(CacheError):
    """A key that cannot be one: not ``str`` or ``bytes``, or too long.

    Not a ``KeyError``: that one means the key is absent, and code that treats absence as normal must not swallow this.
    """


class CacheValueError(CacheError, ValueError):
    """A value that the cache does not take: bytes that are too long, a negative TTL, an option's name or value."""


class CacheNotAvailableError(CacheError):
    """Something that this build of the library, or this machine, has not got, or a tier that cannot be used now."""


_BY_STATUS: dict[int, type[CacheError]] = {
    _status.UNKNOWN_OPTION: CacheValueError,
    _status.INVALID_OPTION: CacheValueError,
    _status.OPTION_OUT_OF_RANGE: CacheValueError,
    _status.OPTION_NOT_LIVE: CacheValueError,
    _status.KEY_TOO_LARGE: CacheKeyError,
    _status.VALUE_TOO_LARGE: CacheValueError,
    _status.UNSUPPORTED: CacheNotAvailableError,
    _status.TIER_UNAVAILABLE: CacheNotAvailableError,
}


def from_status(status: int, name: str, message: str) -> CacheError:
    """The exception for a failed call: its status, the status's name, and the library's message about it."""
    kind = _BY_STATUS.get(status, CacheError)
    return kind(f"{message} ({name})" if message else name, status)
