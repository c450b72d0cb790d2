"""What callers pass, turned into what a backend takes, and statuses turned into answers or exceptions.

Shared by the caches of bytes and of values, so that both say no to the same things in the same words.
"""

from __future__ import annotations

from typing import Iterable, NoReturn, Optional, Union

from catzilla_cache import _status
from catzilla_cache._backend import backend as _backend
from catzilla_cache.errors import CacheKeyError, CacheValueError, from_status
from catzilla_cache.options import whole_milliseconds

Key = Union[str, bytes]
Tags = Iterable[Union[str, bytes]]

# The library takes milliseconds in 64 bits, the largest number meaning forever.
_LONGEST_TTL_SECONDS = float(_status.TTL_FOREVER // 1000)


def key_bytes(key: object) -> bytes:
    """A key as the library takes it."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        try:
            return key.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CacheKeyError(f"a key that is not valid text: {error}") from None
    raise CacheKeyError(f"a key is str or bytes, not {type(key).__name__}")


def pattern_bytes(pattern: object) -> bytes:
    """A pattern for keys."""
    if isinstance(pattern, str):
        try:
            pattern = pattern.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CacheValueError(f"a pattern that is not valid text: {error}") from None
    if not isinstance(pattern, bytes):
        raise CacheValueError(f"a pattern is str or bytes, not {type(pattern).__name__}")
    if len(pattern) > _status.MAX_PATTERN_LEN:
        raise CacheValueError(f"a pattern has at most {_status.MAX_PATTERN_LEN} bytes, not {len(pattern)}")
    return pattern


def value_bytes(value: object) -> bytes:
    """A value of a cache of bytes."""
    if isinstance(value, bytes):
        return value
    try:
        return memoryview(value).tobytes()  # type: ignore[arg-type]
    except TypeError:
        raise CacheValueError(f"a value is bytes, bytearray or the like, not {type(value).__name__}") from None


def tag_bytes(tags: Tags) -> list[bytes]:
    """Tags as the library takes them: each once."""
    if isinstance(tags, (str, bytes)):
        raise CacheValueError(f"tags are a list or a set of str, not one {type(tags).__name__}: write [{tags!r}]")
    encoded = list(dict.fromkeys(_tag_bytes(tag) for tag in tags))
    if len(encoded) > _status.MAX_TAGS:
        raise CacheValueError(f"an entry has at most {_status.MAX_TAGS} tags, not {len(encoded)}")
    return encoded


def _tag_bytes(tag: object) -> bytes:
    if isinstance(tag, str):
        tag = tag.encode("utf-8", "surrogateescape")
    if not isinstance(tag, bytes):
        raise CacheValueError(f"a tag is str or bytes, not {type(tag).__name__}")
    if len(tag) > _status.MAX_TAG_LEN:
        raise CacheValueError(f"a tag has at most {_status.MAX_TAG_LEN} bytes, not {len(tag)}")
    return tag


def ttl_ms(ttl: Optional[float]) -> int:
    """A lifetime in seconds as the library takes it; None and 0 are the default, ``math.inf`` never ends."""
    if ttl is None:
        return 0
    if not isinstance(ttl, (int, float)):
        raise CacheValueError(f"a TTL is a number of seconds, not {type(ttl).__name__}")
    if ttl == 0:
        return 0
    if not ttl > 0:
        raise CacheValueError(f"a TTL is a number of seconds above 0, not {ttl!r}")
    if ttl >= _LONGEST_TTL_SECONDS:
        return _status.TTL_FOREVER
    # At least 1, since the library takes 0 for the default.
    return max(1, whole_milliseconds(ttl))


def timeout_ms(timeout: Optional[float]) -> int:
    """How long to wait, in seconds, as the library takes it; None is as long as it takes."""
    if timeout is None:
        return _status.WAIT_FOREVER
    if not timeout >= 0:
        raise CacheValueError(f"a timeout is a number of seconds, 0 or above, not {timeout!r}")
    if timeout >= _LONGEST_TTL_SECONDS:
        return _status.WAIT_FOREVER
    return whole_milliseconds(timeout)


def found(status: int) -> bool:
    """Whether a key was there; what is neither yes nor no is raised."""
    if status == _status.OK:
        return True
    if status == _status.NOT_FOUND:
        return False
    fail(status)


def check(status: int) -> None:
    """Raises what is not OK."""
    if status != _status.OK:
        fail(status)


def fail(status: int) -> NoReturn:
    """Raises what the status of this thread's last call says."""
    raise from_status(status, _backend.status_name(status), _backend.last_error()[1])
