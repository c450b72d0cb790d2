"""Keys: of HTTP requests, and of calls of functions that are cached.

Both are readable, the same in every process and on every machine, and no two different requests or calls have the same one.
"""

from __future__ import annotations

import inspect
import types
from hashlib import blake2b
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence, Union

from catzilla_cache._backend import backend
from catzilla_cache.codec.encoding import encode
from catzilla_cache.errors import CacheKeyError
from catzilla_cache.identity import SCALARS, canonical, canonical_bytes, encoded, own_token

# The builtin for calls with scalar arguments, where the backend has it.
_call_keys: "Optional[Callable[[tuple[object, ...]], Optional[Quick]]]" = getattr(
    getattr(backend, "native", None), "call_keys", None
)

# 128 bits: two inputs of the same hash will not be met by chance, and to look for them takes 2**64 attempts.
_HASH_LEN = 16

Bound = Optional["tuple[object, ...]"]
Bind = Callable[["tuple[object, ...]", Mapping[str, object]], Bound]
Quick = Callable[["tuple[object, ...]", "dict[str, object]"], Optional[str]]

Headers = Union[Mapping[str, object], Iterable["tuple[object, object]"]]


def generate_key(
    method: str,
    path: str,
    query_string: Union[None, str, bytes] = None,
    headers: Optional[Headers] = None,
) -> str:
    """The key of a request: ``GET:/items?page=2#`` and a hash of the headers, where there are any.

    A query that is None or empty is none, and so are headers. Names of headers are the same in upper and lower case, and their
    order does not count. What would be ambiguous is written with a backslash before it.
    """
    key = f"{_escaped(_text(method, 'method'), ':')}:{_escaped(_text(path, 'path'), '?#')}"
    if query_string:
        key += "?" + _escaped(_text(query_string, "query string"), "#")
    if headers:
        key += "#" + _headers_hash(headers)
    return key


def _text(value: object, what: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        # Every byte is a character, as WSGI has it.
        return value.decode("latin-1")
    raise CacheKeyError(f"the {what} of a request is text, not {type(value).__name__}")


def _escaped(text: str, special: str) -> str:
    for character in "\\" + special:
        if character in text:
            text = text.replace(character, "\\" + character)
    if text.isascii():
        return text
    # Lone surrogates are not UTF-8; a backslash of the text's own is doubled already.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _headers_hash(headers: Headers) -> str:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    listed = sorted((_text(name, "header's name").lower(), _text(value, "header")) for name, value in pairs)
    return blake2b(encoded(listed), digest_size=_HASH_LEN).hexdigest()


class KeyMaker:
    """Makes the keys of one function's calls: ``maker(args, kwargs)``.

    A key is ``prefix``, the function's module and name, a colon, and 128 bits in hexadecimal digits of what the call binds to the
    parameters: ``f(1)``, ``f(x=1)`` and a default of 1 are the same call. Arguments are identified as ``identity`` says.

    Functions of one name in one module are told apart by their code. One that was made inside another and uses its variables
    has keys of its own each time it is made, and in every process.
    """

    __slots__ = ("prefix", "quick", "_begun", "_bind", "_sentinels")

    def __init__(self, function: Callable[..., object], prefix: str = "") -> None:
        if not isinstance(prefix, str):
            raise CacheKeyError(f"a key's prefix is str, not {type(prefix).__name__}")
        module, name, rest = _function_identity(function)
        #: What all keys of the function begin with.
        self.prefix = f"{prefix}{module}.{name}:"
        try:
            self.prefix.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CacheKeyError(f"a key's prefix that is not valid text: {error}") from None
        identity = blake2b(canonical_bytes((prefix, module, name, rest)), digest_size=_HASH_LEN).digest()
        self._begun = blake2b(identity, digest_size=_HASH_LEN)
        parameters = _parameters(function)
        self._bind: Bind = _bind_nothing if parameters is None else _Parameters(parameters).bind
        # By their addresses, which they keep: the function's defaults are held here.
        self._sentinels = {
            id(each.default): (each.default, each.name) for each in parameters or () if _is_sentinel(each.default)
        }
        #: A builtin that makes the key of a call whose arguments are all scalars, and None of any other; None where the
        #: backend has none, or the function takes any number of arguments.
        self.quick = None if parameters is None else _quick(self.prefix, identity, parameters)

    def __call__(self, args: "tuple[object, ...]", kwargs: "dict[str, object]") -> str:
        """The key of a call. ``CacheKeyError`` for an argument that cannot be identified."""
        if self.quick is not None:
            made = self.quick(args, kwargs)
            if made is not None:
                return made
        bound = self._bind(args, kwargs)
        if bound is None:
            # The function will say what is wrong with the call, unless it is a wrapper that takes others than it says.
            data = b"\x01" + canonical_bytes((args, kwargs))
        else:
            for value in bound:
                if type(value) not in SCALARS:
                    data = b"\x00" + (self._with_sentinels(bound) if self._sentinels else canonical_bytes(bound))
                    break
            else:
                # A tuple of scalars is its own canonical form; its first byte is neither of those above.
                data = encode(bound) or b""
        hash = self._begun.copy()
        hash.update(data)
        return self.prefix + hash.hexdigest()

    def _with_sentinels(self, bound: "tuple[object, ...]") -> bytes:
        parts = []
        for value in bound:
            _, name = self._sentinels.get(id(value), (None, None))
            parts.append(canonical(value) if name is None else ("default", name))
        return encoded(("tuple", tuple(parts)))


def _parameters(function: Callable[..., object]) -> "Optional[list[inspect.Parameter]]":
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        # Some builtins do not say what they take.
        return None


def _quick(prefix: str, identity: bytes, parameters: "list[inspect.Parameter]") -> Optional[Quick]:
    if _call_keys is None or any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in parameters):
        return None
    # No keyword is None.
    names = tuple(None if each.kind is each.POSITIONAL_ONLY else each.name for each in parameters)
    positional = sum(each.kind is not each.KEYWORD_ONLY for each in parameters)
    defaults = tuple(each.default for each in parameters)
    return _call_keys((prefix.encode("utf-8"), identity, names, defaults, inspect.Parameter.empty, positional))


def _bind_nothing(args: "tuple[object, ...]", kwargs: Mapping[str, object]) -> Bound:
    return None


def _is_sentinel(default: object) -> bool:
    """Whether a default can only be told by being it, such as ``object()``."""
    if default is inspect.Parameter.empty:
        return False
    try:
        canonical(default)
    except CacheKeyError:
        return True
    return False


class _Parameters:
    """Gives the arguments of a call the order of the parameters, defaults filled in; None when they do not fit."""

    def __init__(self, parameters: Sequence[inspect.Parameter]) -> None:
        self.positional = [
            each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        self.keyword_only = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
        self.takes_more_positional = any(each.kind is each.VAR_POSITIONAL for each in parameters)
        self.takes_more_keywords = any(each.kind is each.VAR_KEYWORD for each in parameters)
        # By how many arguments a call has: the defaults behind them. None where one is missing. Calls without keywords, of
        # functions that have only ordinary parameters, need no more than this.
        self.tails: "list[Bound]" = []
        if len(self.positional) == len(parameters):
            for given in range(len(self.positional) + 1):
                rest = [each.default for each in self.positional[given:]]
                missing = any(default is inspect.Parameter.empty for default in rest)
                self.tails.append(None if missing else tuple(rest))

    def bind(self, args: "tuple[object, ...]", kwargs: Mapping[str, object]) -> Bound:
        if not kwargs and len(args) < len(self.tails):
            tail = self.tails[len(args)]
            if tail is not None:
                return args + tail if tail else args
        return self._bind_one_by_one(args, kwargs)

    def _bind_one_by_one(self, args: "tuple[object, ...]", kwargs: Mapping[str, object]) -> Bound:
        count = len(self.positional)
        if len(args) > count and not self.takes_more_positional:
            return None
        left = dict(kwargs)
        bound = list(args[:count])
        for parameter in self.positional[: len(bound)]:
            if parameter.kind is not parameter.POSITIONAL_ONLY and parameter.name in left:
                return None
        for parameter in self.positional[len(bound) :] + self.keyword_only:
            if parameter.kind is not parameter.POSITIONAL_ONLY and parameter.name in left:
                bound.append(left.pop(parameter.name))
            elif parameter.default is not parameter.empty:
                bound.append(parameter.default)
            else:
                return None
        if self.takes_more_positional:
            bound.append(args[count:])
        if self.takes_more_keywords:
            bound.append(left)
        elif left:
            return None
        return tuple(bound)


def _function_identity(function: Callable[..., object]) -> "tuple[str, str, object]":
    """Module, name, and what tells apart functions that have both in common."""
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        # A partial, or an object that can be called: nobody can tell what it does.
        kind = type(function)
        return kind.__module__, kind.__qualname__, canonical(function)
    # The main module of a process that multiprocessing has started.
    if module == "__mp_main__":
        module = "__main__"
    # Of a method: whose. Functions of C modules have the module there.
    if isinstance(owner, type) and "<" not in owner.__qualname__:
        bound_to: object = (owner.__module__, owner.__qualname__)
    else:
        bound_to = None if owner is None or isinstance(owner, types.ModuleType) else canonical(owner)
    code: "list[object]" = []
    seen: Any = function
    while seen is not None and len(code) < _MOST_WRAPPERS:
        code.append(_code_hash(getattr(seen, "__code__", None)))
        seen = getattr(seen, "__wrapped__", None)
    closure = getattr(function, "__closure__", None) if "<" in name else None
    return module, name, canonical((code, bound_to, own_token() if closure else None))


# Nobody wraps a function more often; it ends a circle.
_MOST_WRAPPERS = 100


def _code_hash(code: object) -> Optional[bytes]:
    if not isinstance(code, types.CodeType):
        return None
    return blake2b(canonical_bytes(_code_facts(code)), digest_size=_HASH_LEN).digest()


def _code_facts(code: types.CodeType) -> "tuple[object, ...]":
    """What a function's code does, without where it stands."""
    return (
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        tuple(_code_facts(each) if isinstance(each, types.CodeType) else each for each in code.co_consts),
    )
