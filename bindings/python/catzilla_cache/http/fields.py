"""The grammar of header fields that a cache reads (RFC 9110 section 5.6, RFC 9111 section 5.2): from bytes to what they say.

Everything here takes what came over the wire and never raises: what cannot be read is told as such, since what an unreadable field
means is decided where it is used.
"""

from __future__ import annotations

import re
from time import gmtime
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

#: Field lines in the order in which they came: names in lower case, and values.
Fields = List[Tuple[bytes, bytes]]

#: What a number of seconds that is too large to count with is taken for (RFC 9111 section 1.2.2).
ENDLESS = 2**31

# A token, and what may follow it in a list of directives: `name`, `name=token`, `name="quoted"`. Whatever else there is up to the
# next comma outside of quotes, spaces beside the sign among it, is an argument that is no number: so a directive that forbids
# still does, and a lifetime that nobody can be sure of has ended (RFC 9111 section 4.2.1).
_DIRECTIVE = re.compile(
    rb'[ \t,]*(?P<name>[^=,"\s]+)(?:=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^,"]*)))?(?P<rest>(?:"(?:[^"\\]|\\.)*"|[^,])*)(?:,|$)',
    re.DOTALL,
)
_SECONDS = re.compile(rb"[0-9]+")
_ENTITY_TAG = re.compile(rb'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')

_MONTHS = {name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
# The form that is sent today, and the two obsolete ones that are still to be read (RFC 9110 section 5.6.7).
_IMF_FIXDATE = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_RFC_850 = re.compile(rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d\d)-(\w{3})-(\d\d) (\d\d):(\d\d):(\d\d) GMT")
_ASCTIME = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\w{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})")

# What a field's value may have (RFC 9110 section 5.5): no CR, LF or NUL, which end it or worse.
_FORBIDDEN = re.compile(rb"[\r\n\0]")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

Directives = Dict[bytes, Optional[bytes]]


def directives(values: Iterable[bytes]) -> Directives:
    """The directives of Cache-Control and its like, names in lower case; of one that is there twice, the first (RFC 9111 section 4.2.1)."""
    found: Directives = {}
    for value in values:
        for match in _DIRECTIVE.finditer(value):
            quoted, token, rest = match["quoted"], match["token"], match["rest"].strip(b" \t")
            argument: Optional[bytes]
            if quoted is not None:
                argument = re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)
            else:
                argument = rest or None if token is None else token.rstrip(b" \t") + rest
            found.setdefault(match["name"].lower(), argument)
    return found


def seconds(argument: Optional[bytes]) -> Optional[int]:
    """A delta-seconds; None for what is none."""
    if argument is None or _SECONDS.fullmatch(argument) is None:
        return None
    return ENDLESS if len(argument) > 10 else min(int(argument), ENDLESS)


def elements(values: Iterable[bytes]) -> Iterator[bytes]:
    """The elements of a comma-separated list of tokens."""
    for value in values:
        for element in value.split(b","):
            element = element.strip(b" \t")
            if element:
                yield element


def date(value: bytes) -> Optional[float]:
    """An HTTP date as seconds since 1970; None for what is none."""
    text = value.strip()
    match = _IMF_FIXDATE.fullmatch(text)
    if match is not None:
        day, month, year, *time = match.groups()
        return _timestamp(int(year), month, day, time)
    match = _RFC_850.fullmatch(text)
    if match is not None:
        day, month, short_year, *time = match.groups()
        return _timestamp(_full_year(int(short_year)), month, day, time)
    match = _ASCTIME.fullmatch(text)
    if match is not None:
        month, day, hour, minute, second, year = match.groups()
        return _timestamp(int(year), month, day, [hour, minute, second])
    return None


def _full_year(short: int) -> int:
    """The year that two digits mean: more than fifty years ahead is meant to be in the past (RFC 9110 section 5.6.7)."""
    this_year = gmtime().tm_year
    year = this_year - this_year % 100 + short
    return year - 100 if year > this_year + 50 else year


def _timestamp(year: int, month: bytes, day: bytes, time: Sequence[bytes]) -> Optional[float]:
    number = _MONTHS.get(month)
    hour, minute, second = (int(part) for part in time)
    if number is None or not 1 <= int(day) <= _days_of(year, number) or hour > 23 or minute > 59 or second > 60:
        return None
    # Days since 1970 in the proleptic Gregorian calendar, years counted from March.
    years = year - (number <= 2)
    days = 365 * years + years // 4 - years // 100 + years // 400 + (153 * ((number + 9) % 12) + 2) // 5 + int(day) - 719469
    return days * 86400.0 + hour * 3600 + minute * 60 + second


def _days_of(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def entity_tags(values: Iterable[bytes]) -> List[bytes]:
    """The entity tags of If-None-Match and its like; ``[b"*"]`` for any. What is no entity tag is left out."""
    joined = b",".join(values).strip()
    if joined == b"*":
        return [b"*"]
    tags, position = [], 0
    while position < len(joined):
        match = _ENTITY_TAG.match(joined, position)
        if match is None:
            # Up to the next comma: a tag that is not quoted is somebody's mistake, and matches nothing.
            comma = joined.find(b",", position + 1)
            position = len(joined) if comma < 0 else comma
            continue
        tags.append(match[1])
        position = match.end()
    return tags


def matches_weakly(one: bytes, other: bytes) -> bool:
    """Whether two entity tags are of equivalent representations (RFC 9110 section 8.8.3.2)."""
    return opaque(one) == opaque(other)


def matches_strongly(one: bytes, other: bytes) -> bool:
    """Whether two entity tags are of the same bytes."""
    return one == other and not one.startswith(b"W/")


def opaque(tag: bytes) -> bytes:
    """An entity tag without what says that it is weak."""
    return tag[2:] if tag.startswith(b"W/") else tag


def are_fields(fields: Fields) -> bool:
    """Whether each of these field lines can be sent as one, and as one only."""
    names = [name for name, _ in fields]
    # All at once: what joins them is none of what is looked for.
    return all(names) and _NAME.fullmatch(b"-".join(names) or b"-") is not None and _FORBIDDEN.search(b" ".join([value for _, value in fields])) is None


def lowered(fields: Iterable[Tuple[bytes, bytes]]) -> Fields:
    """Field lines as the cache has them, from those of a framework."""
    return [(bytes(name).lower(), bytes(value)) for name, value in fields]
