"""The parameters of the middleware, checked once and put into the form that is used on each request."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Callable, Collection, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.patterns import PathPattern, Ranked, any_of

DEFAULT_METHODS = frozenset({"GET", "HEAD"})
DEFAULT_STATUS_CODES = frozenset({200, 301, 302, 404})
DEFAULT_IGNORED_PARAMETERS = frozenset({"_", "timestamp", "cache_buster"})
DEFAULT_HEADERS = frozenset({"accept", "accept-encoding", "accept-language"})

#: By what clients are told of the cache: X-Cache, with X-Cache-Time and X-Cache-TTL; and Cache-Status (RFC 9211).
X_CACHE, CACHE_STATUS = "x-cache", "cache-status"
STATE_FIELDS = frozenset({X_CACHE, CACHE_STATUS})

# Request fields by which proxies tell what the client asked of them, and of which frameworks make links and redirects. What is made of
# them must not be served to those who sent others. X-Forwarded-For is not among them: it differs from client to client.
FORWARDING_FIELDS = (
    b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix", b"x-forwarded-proto", b"x-forwarded-scheme",
    b"x-forwarded-server", b"x-host", b"x-original-host", b"x-original-url", b"x-rewrite-url",
)  # fmt: skip

#: What frameworks take for another method than the one that was sent.
METHOD_OVERRIDES = (b"x-http-method", b"x-http-method-override", b"x-method-override")

# Longest lifetimes that are counted with, in seconds: a century. Lifetimes beyond are cut.
CENTURY = 36525 * 86400

_RULE_KEYS = ("ttl", "methods", "status_codes", "vary_headers", "stale_while_revalidate", "stale_if_error", "tags")


@dataclass(frozen=True)
class Settings:
    """What holds for one request: the parameters, and the rule for its path."""

    #: Number of the rule in the order in which they were given, from 1; 0: none.
    rule: int
    methods: FrozenSet[str]
    status_codes: FrozenSet[int]
    #: Replaces what the response says; None: it says itself.
    ttl: Optional[float]
    vary: Tuple[bytes, ...]
    stale_while_revalidate: float
    stale_if_error: float
    tags: Tuple[bytes, ...]


@dataclass(frozen=True)
class Policy:
    """All parameters of one middleware. ``policy_of`` makes it of what a caller has passed."""

    default_ttl: float = 3600
    cache_methods: FrozenSet[str] = DEFAULT_METHODS
    cache_status_codes: FrozenSet[int] = DEFAULT_STATUS_CODES
    ignore_query_params: FrozenSet[str] = DEFAULT_IGNORED_PARAMETERS
    cache_headers: FrozenSet[str] = DEFAULT_HEADERS
    cache_vary_headers: FrozenSet[str] = frozenset()
    cache_private: bool = False
    cache_authenticated: bool = False
    exclude_paths: Tuple[str, ...] = ()
    include_paths: Optional[Tuple[str, ...]] = None
    custom_key_generator: Optional[Callable[[Any], str]] = None
    cache_rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stale_while_revalidate: float = 0
    stale_if_error: float = 0
    keep_stale: float = 3600
    max_body_size: int = 8 * 1024 * 1024
    max_variants: int = 64
    wait_timeout: float = 30.0
    cacheable_cookies: FrozenSet[str] = frozenset()
    cache_cookies: bool = False
    targeted_cache_control: Tuple[bytes, ...] = ()
    no_vary_search: bool = False
    surrogate_keys: Tuple[bytes, ...] = (b"surrogate-key", b"cache-tag")
    cache_name: str = "catzilla"
    state_fields: FrozenSet[str] = STATE_FIELDS
    key_prefix: str = "http"
    clock: Callable[[], float] = time.time

    # Made of the above.
    rules: Tuple[Settings, ...] = ()
    #: Names of request fields that are part of every key, sorted.
    key_fields: Tuple[bytes, ...] = ()
    ignored: FrozenSet[bytes] = frozenset()
    #: What keys begin with: caches of another policy see none of this one's responses.
    prefix: bytes = b""
    _find_rule: Callable[[str], int] = lambda path: 0
    _is_excluded: Callable[[str], bool] = lambda path: False

    def settings(self, path: str) -> Optional[Settings]:
        """What holds for a path; None: it is not for the cache."""
        return None if self._is_excluded(path) else self.rules[self._find_rule(path)]

    def rule_names(self) -> List[str]:
        """The patterns of the rules, by their numbers less one."""
        return list(self.cache_rules)


def policy_of(**parameters: Any) -> Policy:
    """A policy of what a caller has passed; None stands for the default. ``CacheValueError`` for what makes no sense."""
    known = Policy.__dataclass_fields__
    for name in parameters:
        if name not in known or name in ("rules", "key_fields", "ignored", "prefix") or name.startswith("_"):
            raise TypeError(f"the cache has no parameter {name!r}")
    given = {name: value for name, value in parameters.items() if value is not None}
    checked: Dict[str, Any] = {name: _CHECKS[name](name, value) for name, value in given.items()}
    plain = Policy(**checked)
    if plain.max_variants < 1:
        raise CacheValueError(f"max_variants is 1 or more, not {plain.max_variants}")
    rules = [
        Settings(
            0, plain.cache_methods, plain.cache_status_codes, None, (), plain.stale_while_revalidate, plain.stale_if_error, ()
        )
    ]
    for number, (pattern, rule) in enumerate(plain.cache_rules.items(), 1):
        rules.append(_settings_of(plain, number, pattern, rule))
    fields = {name.encode() for name in plain.cache_headers | plain.cache_vary_headers}
    fields.update(FORWARDING_FIELDS)
    fields.add(b"forwarded")
    if plain.cache_authenticated:
        fields.add(b"authorization")
    checked.update(
        rules=tuple(rules),
        key_fields=tuple(sorted(fields)),
        ignored=frozenset(name.encode("utf-8", "surrogateescape") for name in plain.ignore_query_params),
        prefix=plain.key_prefix.encode() + b":" + _digest(plain, rules) + b":",
        _find_rule=Ranked([(pattern, number) for number, pattern in enumerate(plain.cache_rules, 1)]).find,
        _is_excluded=_exclusion(plain),
    )
    return Policy(**checked)


def _settings_of(policy: Policy, number: int, pattern: str, rule: Mapping[str, Any]) -> Settings:
    for name in rule:
        if name not in _RULE_KEYS:
            raise CacheValueError(f"the rule for {pattern!r} has {name!r}; a rule has {', '.join(_RULE_KEYS)}")

    def of(name: str, check: Callable[[str, Any], Any], default: Any) -> Any:
        value = rule.get(name)
        return default if value is None else check(f"{name} of the rule for {pattern!r}", value)

    return Settings(
        rule=number,
        methods=of("methods", _methods, policy.cache_methods),
        status_codes=of("status_codes", _status_codes, policy.cache_status_codes),
        ttl=of("ttl", _seconds_above_0, None),
        vary=tuple(sorted(name.encode() for name in of("vary_headers", _field_names, ()))),
        stale_while_revalidate=of("stale_while_revalidate", _seconds, policy.stale_while_revalidate),
        stale_if_error=of("stale_if_error", _seconds, policy.stale_if_error),
        tags=tuple(tag.encode() for tag in of("tags", _texts, ())),
    )


def _exclusion(policy: Policy) -> Callable[[str], bool]:
    """Whether a path is not for the cache."""
    excluded = [PathPattern(text) for text in policy.exclude_paths]
    is_excluded = any_of(excluded) if excluded else None
    # A list without paths names none, as it always did.
    if not policy.include_paths:
        return is_excluded or (lambda path: False)
    is_included = any_of([PathPattern(text) for text in policy.include_paths])
    if is_excluded is None:
        return lambda path: not is_included(path)
    return lambda path: not is_included(path) or is_excluded(path)


def _digest(policy: Policy, rules: Sequence[Settings]) -> bytes:
    """Eight digits that say under which policy something was stored: what another one would take for the answer to something else,
    or would not have stored, it must not serve. What lifetimes are, and which paths are not for the cache, is no part of it: that
    can be changed while what is stored goes on being served."""
    # A rule with a lifetime has answers stored that may be personal; number and tags of a rule stand in what is stored.
    of_rules = [(rule.rule, rule.ttl is not None, sorted(rule.status_codes), rule.vary, rule.tags) for rule in rules]
    said = (
        sorted(policy.ignore_query_params), sorted(policy.cache_headers), sorted(policy.cache_vary_headers), policy.cache_private,
        policy.cache_authenticated, policy.custom_key_generator is not None, list(policy.cache_rules), of_rules,
        sorted(policy.cacheable_cookies), policy.cache_cookies, policy.targeted_cache_control, policy.no_vary_search,
    )  # fmt: skip
    return blake2b(repr(said).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest().encode()


# ---- What each parameter may be ----


def _methods(name: str, value: Any) -> FrozenSet[str]:
    methods = frozenset(method.upper() for method in _texts(name, value))
    other = methods - DEFAULT_METHODS
    if other:
        raise CacheValueError(f"{name}: answers to GET and HEAD can be cached, not to {', '.join(sorted(other))}")
    return methods


def _status_codes(name: str, value: Any) -> FrozenSet[int]:
    codes = frozenset(_collection(name, value, "status codes"))
    for code in codes:
        if not isinstance(code, int) or not 200 <= code <= 599:
            raise CacheValueError(f"{name}: a final status code is a number from 200 to 599, not {code!r}")
        if code in (206, 304):
            raise CacheValueError(f"{name}: {code} is no complete answer, and never stored")
    return codes


def _texts(name: str, value: Any) -> Tuple[str, ...]:
    texts = tuple(_collection(name, value, "texts"))
    for text in texts:
        if not isinstance(text, str):
            raise CacheValueError(f"{name}: text is wanted, not {text!r}")
    return texts


def _field_names(name: str, value: Any) -> FrozenSet[str]:
    names = frozenset(text.lower() for text in _texts(name, value))
    for text in names:
        if not text or not text.isascii() or any(character in text for character in ' \t\r\n:,"'):
            raise CacheValueError(f"{name}: {text!r} is not the name of a header field")
    return names


def _state_fields(name: str, value: Any) -> FrozenSet[str]:
    names = frozenset(text.lower() for text in _texts(name, _collection(name, value, "'x-cache' and 'cache-status'")))
    other = names - STATE_FIELDS
    if other:
        raise CacheValueError(
            f"{name}: clients are told of the cache by 'x-cache' and 'cache-status', not by {', '.join(map(repr, sorted(other)))}"
        )
    return names


def _fields_in_order(name: str, value: Any) -> Tuple[bytes, ...]:
    _field_names(name, value)
    return tuple(text.lower().encode() for text in value)


def _frozen_texts(name: str, value: Any) -> FrozenSet[str]:
    return frozenset(_texts(name, value))


def _collection(name: str, value: Any, what: str) -> Iterable[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Collection, Sequence)):
        raise CacheValueError(f"{name} is a list or a set of {what}, not {value!r}")
    return value


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value:
        raise CacheValueError(f"{name} is a number of seconds, 0 or above, not {value!r}")
    return float(min(value, CENTURY))


def _seconds_above_0(name: str, value: Any) -> float:
    seconds = _seconds(name, value)
    if seconds == 0:
        raise CacheValueError(f"{name} is a number of seconds above 0, not {value!r}")
    return seconds


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CacheValueError(f"{name} is a whole number, 0 or above, not {value!r}")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise CacheValueError(f"{name} is True or False, not {value!r}")
    return value


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise CacheValueError(f"{name} is a function, not {value!r}")
    return value


def _token(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
        raise CacheValueError(f"{name} is letters, digits, - and _, not {value!r}")
    return value


def _rules(name: str, value: Any) -> Dict[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping):
        raise CacheValueError(f"{name} maps patterns of paths to rules, not {value!r}")
    for pattern, rule in value.items():
        PathPattern(pattern)
        if not isinstance(rule, Mapping):
            raise CacheValueError(f"the rule for {pattern!r} is a mapping such as {{'ttl': 300}}, not {rule!r}")
    return dict(value)


_CHECKS: Dict[str, Callable[[str, Any], Any]] = {
    "default_ttl": _seconds,
    "cache_methods": _methods,
    "cache_status_codes": _status_codes,
    "ignore_query_params": _frozen_texts,
    "cache_headers": _field_names,
    "cache_vary_headers": _field_names,
    "cache_private": _flag,
    "cache_authenticated": _flag,
    "exclude_paths": _texts,
    "include_paths": _texts,
    "custom_key_generator": _callable,
    "cache_rules": _rules,
    "stale_while_revalidate": _seconds,
    "stale_if_error": _seconds,
    "keep_stale": _seconds,
    "max_body_size": _whole,
    "max_variants": _whole,
    "wait_timeout": _seconds,
    "cacheable_cookies": _frozen_texts,
    "cache_cookies": _flag,
    "targeted_cache_control": _fields_in_order,
    "no_vary_search": _flag,
    "surrogate_keys": _fields_in_order,
    "cache_name": _token,
    "state_fields": _state_fields,
    "key_prefix": _token,
    "clock": _callable,
}
