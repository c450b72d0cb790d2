"""For how long a response is fresh, and how old it is (RFC 9111 section 4.2)."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence

from catzilla_cache.http.fields import Directives, date, directives, seconds
from catzilla_cache.http.message import FieldMap

# A dictionary of structured fields (RFC 8941 section 3.2), as far as directives need it: keys with integers, decimals, booleans, tokens or
# strings, and parameters, which mean nothing here.
_ITEM = rb'(?:-?[0-9]{1,15}(?:\.[0-9]{1,3})?|\?[01]|[A-Za-z*][!#$%&\'*+\-.^_`|~:/0-9A-Za-z]*|"(?:[ !\x23-\x5b\x5d-\x7e]|\\["\\])*")'
_KEY = rb"[a-z*][a-z0-9_.*-]*"
_MEMBER = _KEY + rb"(?:=" + _ITEM + rb")?(?:; *" + _KEY + rb"(?:=" + _ITEM + rb")?)*"
_DICTIONARY = re.compile(rb" *" + _MEMBER + rb"(?:[ \t]*,[ \t]*" + _MEMBER + rb")* *")
_PARAMETERS = re.compile(rb';[^",]*(?:"(?:[^"\\]|\\.)*"[^",]*)*')


class Control(NamedTuple):
    """What a response says of its caching."""

    directives: Directives
    #: Whether a field for caches such as this one has said it, in place of Cache-Control and Expires (RFC 9213).
    targeted: bool


def control_of(response: FieldMap, targets: Sequence[bytes]) -> Control:
    """The directives that hold for a response: of the first targeted field that is there and can be read, else of Cache-Control."""
    for target in targets:
        joined = response.combined(target)
        if joined is not None and _DICTIONARY.fullmatch(joined) is not None:
            found = directives([_PARAMETERS.sub(b"", joined)])
            # A key with ?0 says that the directive is not meant.
            return Control({name: value for name, value in found.items() if value != b"?0"}, True)
    if b"cache-control" not in response and b"no-cache" in directives(response.lines(b"pragma")):
        return Control({b"no-cache": None}, False)
    return Control(directives(response.lines(b"cache-control")), False)


class Lifetime(NamedTuple):
    """How long a response says that it is fresh."""

    seconds: float
    #: Whether s-maxage says it, which is for shared caches alone.
    is_shared: bool


def lifetime(response: FieldMap, control: Control, received_at: float) -> Optional[Lifetime]:
    """What a response says itself (RFC 9111 section 4.2.1); None when it says nothing. What cannot be read counts as 0."""
    for name in (b"s-maxage", b"max-age"):
        if name in control.directives:
            return Lifetime(seconds(control.directives[name]) or 0, name == b"s-maxage")
    expires = response.lines(b"expires")
    if expires and not control.targeted:
        until, since = date(expires[0]), _date_of(response)
        if until is None:
            return Lifetime(0, False)
        return Lifetime(max(0.0, until - (received_at if since is None else since)), False)
    return None


def initial_age(response: FieldMap, requested_at: float, received_at: float) -> float:
    """How old a response was when it came (RFC 9111 section 4.2.3)."""
    since = _date_of(response)
    apparent = 0.0 if since is None else max(0.0, received_at - since)
    told = response.lines(b"age")
    # Of several, the first; what is no number says nothing.
    value = seconds(told[0].split(b",")[0].strip()) if told else None
    return max(apparent, (value or 0) + max(0.0, received_at - requested_at))


def _date_of(response: FieldMap) -> Optional[float]:
    lines = response.lines(b"date")
    return date(lines[0]) if lines else None
