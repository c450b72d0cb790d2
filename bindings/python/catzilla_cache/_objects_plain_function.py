"""The object cache's decorator in Python, for where nothing is compiled: as ``native/object_function.c``, only slower.

``objects`` makes of it what it makes of the compiled types.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Optional

from catzilla_cache._objects_plain import MISSING

# What is between the positional arguments and the others in a key, and like nothing else.
_MARK = object()


class CachedFunction:
    """A function that remembers its results: what ``objects.cached`` makes."""

    __slots__ = ("_cache", "_function", "_begin", "_is_typed", "__dict__", "__weakref__")

    # Given by functools.update_wrapper.
    if TYPE_CHECKING:
        __qualname__: str

    def __init__(
        self,
        function: Callable[..., Any],
        cache: Any,
        is_typed: bool,
        begin: Optional[Callable[[Any, tuple[Any, ...], Optional[Mapping[str, Any]]], Any]],
    ) -> None:
        self._cache = cache
        self._function = function
        self._begin = begin
        self._is_typed = is_typed

    @property
    def cache(self) -> Any:
        """The SmartCache that holds the results."""
        return self._cache

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        key = self._key(arguments, keywords)
        value = self._cache._find(key)
        if value is not MISSING:
            return value if self._begin is None else Ready(value)
        if self._begin is not None:
            return self._begin(key, arguments, keywords or None)
        return self._cache._load(key, lambda: self._function(*arguments, **keywords), self._cache._lifetime_ns)

    def _key(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        if not keywords and not self._is_typed:
            return arguments[0] if len(arguments) == 1 and type(arguments[0]) in (str, int) else arguments
        key = arguments
        if keywords:
            key += (_MARK, *(part for item in keywords.items() for part in item))
        if self._is_typed:
            key += tuple(type(argument) for argument in (*arguments, *keywords.values()))
        return key

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<cached function {self.__qualname__} at {id(self):#x}>"

    def cache_clear(self) -> None:
        """Forgets all results and begins to count anew."""
        self._cache._start_over()

    def cache_stats(self) -> dict[str, Any]:
        """The cache's stats()."""
        return self._cache.stats()  # type: ignore[no-any-return]

    def cache_size(self) -> int:
        """How many results are held."""
        return self._cache.size()  # type: ignore[no-any-return]

    def cache_info(self) -> Any:
        """Hits, misses, largest and current size, as functools.lru_cache tells them."""
        return self._cache._info()

    def __reduce__(self) -> str:
        # Found by its name when it is unpickled, as the function that it stands for would be.
        return self.__qualname__

    def __copy__(self) -> "CachedFunction":
        return self

    def __deepcopy__(self, _: object) -> "CachedFunction":
        return self


class Ready:
    """A result that is there already, to be awaited: without a turn of the event loop, and otherwise like a coroutine."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def _take(self) -> Any:
        value, self._value = self._value, MISSING
        if value is MISSING:
            raise RuntimeError("cannot reuse already awaited coroutine")
        return value

    def __await__(self) -> Iterator[Any]:
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise StopIteration(self._take())

    def send(self, _: object) -> Any:
        raise StopIteration(self._take())

    def throw(self, kind: Any, error: Any = None, traceback: Any = None) -> Any:
        self._value = MISSING
        if isinstance(kind, type):
            kind = error if isinstance(error, kind) else kind() if error is None else kind(error)
        raise kind

    def close(self) -> None:
        self._value = MISSING
