"""``@cached``: the results of a function, kept in a cache of values."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar, Union, cast, overload

from catzilla_cache import _forks
from catzilla_cache._arguments import Tags, tag_bytes, ttl_ms
from catzilla_cache._loading import Load, check_wishes, get_or_set
from catzilla_cache._open_cache import Tier
from catzilla_cache.errors import CacheError, CacheValueError
from catzilla_cache.keys import KeyMaker

if TYPE_CHECKING:
    from catzilla_cache.smart_cache import SmartCache

Function = TypeVar("Function", bound=Callable[..., Any])

#: Makes the key of a call, instead of the arguments: ``builder(function, args, kwargs)``.
KeyBuilder = Callable[[Callable[..., Any], "tuple[Any, ...]", "dict[str, Any]"], str]


class CacheInfo(NamedTuple):
    """As ``functools.lru_cache`` tells it."""

    hits: int
    misses: int
    maxsize: Optional[int]
    currsize: int


@overload
def cached(ttl: Function) -> Function: ...
@overload
def cached(
    ttl: Optional[float] = 3600,
    key_prefix: str = "",
    *,
    cache: Union[None, SmartCache, Callable[[], SmartCache]] = None,
    tags: Tags = (),
    timeout: Optional[float] = None,
    grace: float = 0,
    beta: float = 0,
    key_builder: Optional[KeyBuilder] = None,
    lowest: Optional[Tier] = None,
) -> Callable[[Function], Function]: ...
def cached(
    ttl: Any = 3600,
    key_prefix: str = "",
    *,
    cache: Union[None, SmartCache, Callable[[], SmartCache]] = None,
    tags: Tags = (),
    timeout: Optional[float] = None,
    grace: float = 0,
    beta: float = 0,
    key_builder: Optional[KeyBuilder] = None,
    lowest: Optional[Tier] = None,
) -> Any:
    """Keeps what a function, a coroutine function or a method returns, for ``ttl`` seconds, in ``get_cache()`` or the given cache.

    Calls that bind to the same arguments share a key, and no others do (see ``keys``). Of concurrent calls one runs the function, the others
    wait for it. Exceptions are raised to all of them and not kept. ``tags``, ``timeout``, ``grace`` and ``beta`` are those of
    ``SmartCache.get_or_set``; ``lowest`` is the lowest tier that results go to.

    The function gets ``cache_info()``, ``cache_stats()``, ``cache_clear()``, ``invalidate(*args, **kwargs)`` and ``__wrapped__``; a coroutine
    function also ``cache_clear_async()`` and ``invalidate_async()``, which leave its loop free while Redis or disk are asked.
    """
    if callable(ttl):
        return cached(
            3600, key_prefix, cache=cache, tags=tags, timeout=timeout, grace=grace, beta=beta, key_builder=key_builder, lowest=lowest
        )(ttl)
    # Refused where it is written, not at the first call.
    ttl_ms(ttl)
    check_wishes(timeout, grace, beta, lowest)
    wanted = tag_bytes(tags)
    if not isinstance(key_prefix, str):
        raise CacheValueError(f"a key's prefix is str, not {type(key_prefix).__name__}")

    def decorate(function: Function) -> Function:
        return cast(Function, _decorated(function, ttl, key_prefix, cache, wanted, timeout, grace, beta, key_builder, lowest))

    return decorate


class _Results:
    """What a decorated function has beside itself: its cache, its keys, its counters."""

    __slots__ = ("_cache", "_hits", "_lock", "_misses", "_signature", "key", "prefix", "__weakref__")

    def __init__(
        self,
        function: Callable[..., Any],
        key_prefix: str,
        cache: Union[None, SmartCache, Callable[[], SmartCache]],
        key_builder: Optional[KeyBuilder],
    ) -> None:
        maker = KeyMaker(function, key_prefix)
        self.prefix = maker.prefix
        self.key: Callable[[tuple[Any, ...], dict[str, Any]], str] = maker
        if key_builder is not None:
            build, prefix = key_builder, maker.prefix
            self.key = lambda args, kwargs: prefix + build(function, args, kwargs)
        try:
            self._signature: Optional[inspect.Signature] = inspect.signature(function)
        except (TypeError, ValueError):
            # Some builtins do not say what they take.
            self._signature = None
        self._cache = cache
        self._lock = threading.Lock()
        self._hits = self._misses = 0
        _forks.watch(self)

    def renew_in_child(self) -> None:
        """In a forked child: the thread that held the lock is not there any more."""
        self._lock = threading.Lock()

    def key_of_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The key of a call that is spoken about, not made. ``TypeError`` when the function could not be called so.

        That is what happens to ``thing.method.invalidate(1)``: it has to be ``Thing.method.invalidate(thing, 1)``.
        """
        if self._signature is not None:
            self._signature.bind(*args, **kwargs)
        return self.key(args, kwargs)

    def was_replaced(self, cache: SmartCache) -> bool:
        """Whether the cache was closed, and another one has its place: ``reset_cache`` in the middle of a call."""
        return cache.closed and self.cache() is not cache

    def cache(self) -> SmartCache:
        """Asked at each call, since the cache of the process may be another one by now."""
        if self._cache is None:
            from catzilla_cache.smart_cache import get_cache

            return get_cache()
        return self._cache() if callable(self._cache) else self._cache

    def hit(self) -> None:
        """Counts a result that was there."""
        with self._lock:
            self._hits += 1

    def missed(self) -> None:
        """Counts a call of the function."""
        with self._lock:
            self._misses += 1

    def info(self) -> CacheInfo:
        """The counters of this process; the size is that of memory, and looked for among its keys."""
        cache = self.cache()
        with self._lock:
            hits, misses = self._hits, self._misses
        return CacheInfo(hits, misses, cache.statistics().memory_capacity, sum(1 for _ in cache.keys(self.prefix)))

    def stats(self) -> dict[str, Any]:
        """The same by name, with the ratio."""
        info = self.info()
        calls = info.hits + info.misses
        return {
            "hits": info.hits,
            "misses": info.misses,
            "hit_ratio": info.hits / calls if calls else 0.0,
            "size": info.currsize,
            "capacity": info.maxsize,
        }

    def clear(self) -> None:
        """Forgets every result, and the counters."""
        self.cache().delete_prefix(self.prefix)
        with self._lock:
            self._hits = self._misses = 0


def _decorated(
    function: Callable[..., Any],
    ttl: Optional[float],
    key_prefix: str,
    cache: Union[None, SmartCache, Callable[[], SmartCache]],
    tags: list[bytes],
    timeout: Optional[float],
    grace: float,
    beta: float,
    key_builder: Optional[KeyBuilder],
    lowest: Optional[Tier],
) -> Callable[..., Any]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator: its results can be taken once only. Cache a list of them")
    results = _Results(function, key_prefix, cache, key_builder)
    key_of, is_plain = results.key, not (grace or beta)

    def load(cache: SmartCache, key: str) -> Load:
        return Load(cache, key, ttl, tags, timeout, grace, beta, lowest)

    wrapper: Any
    if inspect.iscoroutinefunction(function):
        from catzilla_cache._loading_async import get_or_set_async, in_turn

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            key = key_of(args, kwargs)
            if is_plain:
                value, is_there = results.cache()._get_from_memory(key)
                if is_there:
                    results.hit()
                    return value
            ran = False

            async def run() -> Any:
                nonlocal ran
                ran = True
                results.missed()
                return await function(*args, **kwargs)

            while True:
                using = results.cache()
                try:
                    value = await get_or_set_async(load(using, key), run)
                except CacheError:
                    if ran or not results.was_replaced(using):
                        raise
                    continue
                if not ran:
                    results.hit()
                return value

        async def invalidate_async(*args: Any, **kwargs: Any) -> bool:
            cache = results.cache()
            return bool(await in_turn(cache, cache.delete, results.key_of_call(args, kwargs)))

        async def cache_clear_async() -> None:
            await in_turn(results.cache(), results.clear)

        wrapper.invalidate_async = invalidate_async
        wrapper.cache_clear_async = cache_clear_async
    else:

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            key = key_of(args, kwargs)
            if is_plain:
                value, is_there = results.cache()._get_from_memory(key)
                if is_there:
                    results.hit()
                    return value
            ran = False

            def run() -> Any:
                nonlocal ran
                ran = True
                results.missed()
                return function(*args, **kwargs)

            while True:
                using = results.cache()
                try:
                    value = get_or_set(load(using, key), run)
                except CacheError:
                    if ran or not results.was_replaced(using):
                        raise
                    continue
                if not ran:
                    results.hit()
                return value

    def invalidate(*args: Any, **kwargs: Any) -> bool:
        """Forgets the result of one call. True when it was there."""
        return results.cache().delete(results.key_of_call(args, kwargs))

    wrapper.invalidate = invalidate
    wrapper.cache_clear = results.clear
    wrapper.cache_info = results.info
    wrapper.cache_stats = results.stats
    wrapper.cache_key = lambda *args, **kwargs: results.key_of_call(args, kwargs)
    return cast(Callable[..., Any], wrapper)
