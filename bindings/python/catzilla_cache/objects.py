"""The object cache: Python objects by any hashable key, in this process, and a decorator like ``functools.lru_cache``.

Nothing is serialised: what comes out is what was put in. Keys are compared by hash and equality, as in a dict. Safe to use
from any number of threads; finalisers, ``__eq__`` and ``__hash__`` may use the cache that they are called by.

The compiled module does the work where it is there, ``_objects_plain`` where it is not; results and order of eviction are
the same. What is common to both is here: names, arguments and their checks.
"""

from __future__ import annotations

import enum
import functools
import inspect
import math
import operator
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Generic, NamedTuple, Optional, TypeVar, Union, overload

from catzilla_cache._coroutines import mark_as_coroutine_function
from catzilla_cache._objects_order import NEVER

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Self

    from catzilla_cache._objects_plain import ObjectCache as _ObjectCache

    Parameters = ParamSpec("Parameters")
else:
    from catzilla_cache._backend import backend

    if hasattr(backend, "native"):
        from catzilla_cache._native import CachedFunction
        from catzilla_cache._native import ObjectCache as _ObjectCache
    else:
        from catzilla_cache._objects_plain import ObjectCache as _ObjectCache
        from catzilla_cache._objects_plain_function import CachedFunction

__all__ = ["CacheInfo", "CachedFunction", "EvictionPolicy", "SmartCache", "cached"]

Key = TypeVar("Key")
Value = TypeVar("Value")
Result = TypeVar("Result")


class EvictionPolicy(enum.Enum):
    """Which entry leaves a cache that is full. Where one is asked for, its value as text does as well."""

    #: The one used longest ago.
    LRU = "lru"
    #: The one used least often; what was popular once ages.
    LFU = "lfu"
    #: The one that expires soonest.
    TTL = "ttl"
    #: As LFU while more of the recent requests hit than ``adaptive_threshold``, else as LRU.
    ADAPTIVE = "adaptive"
    #: The one stored first.
    FIFO = "fifo"
    #: The one stored first of those not asked for since it was last looked at.
    SIEVE = "sieve"
    #: First those that were not asked for again soon after they came; for much that is used once.
    S3FIFO = "s3fifo"

    def __str__(self) -> str:
        return f"EvictionPolicy.{self.name}"


# The numbers of native/object_order.h and _objects_order.
_NUMBERS = {
    EvictionPolicy.LRU: 0,
    EvictionPolicy.LFU: 1,
    EvictionPolicy.TTL: 2,
    EvictionPolicy.ADAPTIVE: 3,
    EvictionPolicy.FIFO: 4,
    EvictionPolicy.SIEVE: 5,
    EvictionPolicy.S3FIFO: 6,
}

# More than a machine is up for; sums of it and the clock stay below what means never.
_LONGEST_NANOSECONDS = 2**62


class CacheInfo(NamedTuple):
    """What ``cache_info()`` tells, under the names of ``functools.lru_cache``."""

    hits: int
    misses: int
    maxsize: Optional[int]
    currsize: int


def _checked_policy(policy: Union[EvictionPolicy, str]) -> EvictionPolicy:
    try:
        return EvictionPolicy(policy)
    except ValueError:
        known = ", ".join(str(one) for one in EvictionPolicy)
        raise ValueError(f"policy is one of {known}, not {policy!r}") from None


def _checked_bound(name: str, unit: str, bound: Optional[int]) -> int:
    """A bound, with 0 for none."""
    if bound is None:
        return 0
    try:
        number = -1 if isinstance(bound, bool) else operator.index(bound)
    except TypeError:
        number = -1
    if isinstance(bound, bool) or not hasattr(bound, "__index__"):
        raise TypeError(f"{name} is a whole number of {unit}, or None for no bound, not {bound!r}")
    if number < 1:
        raise ValueError(f"{name} is 1 or more {unit}, or None for no bound, not {bound!r}")
    # Beyond, a bound is none: so much there cannot be.
    return number if number < 2**63 else 0


def _checked_threshold(threshold: float) -> float:
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise TypeError(f"adaptive_threshold is a number from 0 to 1, not {threshold!r}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"adaptive_threshold is a part of the requests, from 0 to 1, not {threshold!r}")
    return float(threshold)


class SmartCache(_ObjectCache[Key, Value]):
    """A cache of Python objects with a bound on their number, and the methods of a mapping beside its own.

    >>> cache = SmartCache(max_size=2)
    >>> cache.put("a", 1); cache.put("b", None); cache["c"] = 3
    >>> cache.get("a"), cache.get("b", "nothing"), "c" in cache
    (None, None, True)

    ``max_size`` None is no bound. ``ttl_seconds`` is how long entries live, None forever; ``put`` can say otherwise for one.
    ``adaptive_threshold`` is for the policy ADAPTIVE. ``max_bytes`` bounds the sum of what ``weigher(value)`` says as well
    (``sys.getsizeof`` does not look into containers); what alone is heavier is not kept. ``timer`` is a clock in seconds to be used
    instead of the system's, as tests do.

    ``None`` is a value like any other: ``get(key, default)``, ``in`` and ``cache[key]`` tell it from a miss. Leaving a ``with``
    block clears the cache.
    """

    __slots__ = ("_threshold", "_policy", "_max_size", "_ttl_seconds")

    # Without this, __getitem__ alone would make Python try cache[0], cache[1], ...
    __iter__ = None

    def __init__(
        self,
        max_size: Optional[int] = 1000,
        policy: Union[EvictionPolicy, str] = EvictionPolicy.LRU,
        ttl_seconds: Optional[float] = None,
        adaptive_threshold: float = 0.7,
        *,
        max_bytes: Optional[int] = None,
        weigher: Callable[[Value], int] = sys.getsizeof,
        timer: Optional[Callable[[], float]] = None,
    ) -> None:
        bound = _checked_bound("max_size", "entries", max_size)
        self._policy = _checked_policy(policy)
        lifetime = self._lifetime(ttl_seconds)
        self._threshold = _checked_threshold(adaptive_threshold)
        bytes_bound = _checked_bound("max_bytes", "bytes", max_bytes)
        for name, function in (("weigher", weigher), ("timer", timer)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} is a function, not {function!r}")
        self._max_size = max_size
        self._ttl_seconds = ttl_seconds
        super().__init__(bound, _NUMBERS[self._policy], lifetime, self._threshold, bytes_bound, weigher, timer)

    def stats(self) -> dict[str, Any]:
        """Hits, misses and evictions up to now, sizes, and the part of the look-ups that hit (``hit_rate``)."""
        hits, misses, evictions, size, _, _ = self._figures()
        return {
            "hits": hits,
            "misses": misses,
            "evictions": evictions,
            "current_size": size,
            "max_size": self._max_size,
            "hit_rate": hits / (hits + misses) if hits + misses else 0.0,
        }

    def weight(self) -> int:
        """What all values weigh by the weigher. 0 without ``max_bytes``: then nothing is weighed."""
        return self._figures()[4]

    def get_policy(self) -> EvictionPolicy:
        return self._policy

    def set_policy(self, policy: Union[EvictionPolicy, str]) -> None:
        """Evicts by another policy from now on. Nothing leaves for that; among equals, who would have left first still does."""
        checked = _checked_policy(policy)
        self._order(_NUMBERS[checked])
        self._policy = checked

    def get_max_size(self) -> Optional[int]:
        return self._max_size

    def set_max_size(self, max_size: Optional[int]) -> None:
        """Changes the bound. What is above it leaves at once, as if evicted."""
        bound = _checked_bound("max_size", "entries", max_size)
        self._max_size = max_size
        self._bound(bound)

    def get_ttl(self) -> Optional[float]:
        return self._ttl_seconds

    def set_ttl(self, ttl_seconds: Optional[float]) -> None:
        """Changes how long entries live that are put from now on. Those that are there keep what they were put with."""
        self._live(self._lifetime(ttl_seconds))
        self._ttl_seconds = ttl_seconds

    @staticmethod
    def _lifetime(seconds: Optional[float]) -> int:
        """Nanoseconds, rounded up: nothing may expire earlier than it was told to."""
        if seconds is None:
            return NEVER
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"ttl_seconds is a number of seconds, or None, not {seconds!r}")
        if not seconds > 0:
            raise ValueError(f"ttl_seconds is more than 0, or None for no end, not {seconds!r}")
        return NEVER if seconds >= _LONGEST_NANOSECONDS // 10**9 else math.ceil(seconds * 1e9)

    def _info(self) -> CacheInfo:
        hits, misses, _, size, _, _ = self._figures()
        return CacheInfo(hits, misses, self._max_size, size)

    def _start_over(self) -> None:
        self.clear()
        self._reset_figures()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        self.clear()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size()}, max_size={self._max_size}, policy={self._policy})"

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot pickle {type(self).__name__!r}: it is of this process, and its values may be of any kind")


if TYPE_CHECKING:

    class CachedFunction(Generic[Parameters, Result]):
        """A function that remembers its results: what ``cached`` makes."""

        cache: SmartCache[Any, Any]
        __wrapped__: Callable[Parameters, Result]
        __name__: str
        __qualname__: str

        def __init__(self, function: Any, cache: SmartCache[Any, Any], typed: bool, begin: Any) -> None: ...
        def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result: ...
        @overload
        def __get__(self, instance: None, owner: Any = None) -> CachedFunction[Parameters, Result]: ...
        @overload
        def __get__(self, instance: object, owner: Any = None) -> CachedFunction[..., Result]: ...
        def __get__(self, instance: object, owner: Any = None) -> CachedFunction[..., Result]: ...
        def cache_clear(self) -> None: ...
        def cache_stats(self) -> dict[str, Any]: ...
        def cache_size(self) -> int: ...
        def cache_info(self) -> CacheInfo: ...


@overload
def cached(max_size: Callable[Parameters, Result]) -> CachedFunction[Parameters, Result]: ...
@overload
def cached(
    max_size: Optional[int] = 128,
    policy: Union[EvictionPolicy, str] = EvictionPolicy.LRU,
    ttl_seconds: Optional[float] = None,
    typed: bool = False,
) -> Callable[[Callable[Parameters, Result]], CachedFunction[Parameters, Result]]: ...
def cached(
    max_size: Any = 128,
    policy: Union[EvictionPolicy, str] = EvictionPolicy.LRU,
    ttl_seconds: Optional[float] = None,
    typed: bool = False,
) -> Any:
    """Makes a function remember its results: ``functools.lru_cache`` with a policy, a lifetime, and one run a call at a time.

    For functions, methods (the instance is part of the key) and coroutine functions, whose results are kept, not the coroutines.
    Calls are told apart by their arguments as ``lru_cache`` does it, with ``typed`` by their types as well; ``max_size`` None is no
    bound. Of threads, or of tasks of one loop, that miss one call at the same time one runs the function and the others get
    its result. What it raises goes to that one, and is not kept.

    The result has ``.cache`` (a SmartCache), ``.cache_info()``, ``.cache_stats()``, ``.cache_size()``, ``.cache_clear()`` and
    ``.__wrapped__``.
    """
    if callable(max_size):
        return cached()(max_size)
    # Checked where the decorator is written, not where it is applied.
    arguments = {"max_size": max_size, "policy": policy, "ttl_seconds": ttl_seconds}
    SmartCache[Any, Any](**arguments)

    def decorate(function: Callable[..., Any]) -> Any:
        if not callable(function):
            raise TypeError(f"cached is for functions, not {function!r}: write @classmethod and the like above it")
        cache = SmartCache[Any, Any](**arguments)
        is_async = inspect.iscoroutinefunction(function)
        begin = _begin(function, cache) if is_async else None
        wrapper: Any = CachedFunction(function, cache, bool(typed), begin)
        functools.update_wrapper(wrapper, function)
        if is_async:
            mark_as_coroutine_function(wrapper, function)
        return wrapper

    return decorate


def _begin(function: Callable[..., Awaitable[Any]], cache: SmartCache[Any, Any]) -> Callable[..., Awaitable[Any]]:
    # Here, because it imports asyncio, which is more than all the rest.
    from catzilla_cache._objects_await import Runs

    return Runs(function, cache).bring
