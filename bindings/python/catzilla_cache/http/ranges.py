"""Parts of a stored response (RFC 9110 section 14)."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import List, NamedTuple, Optional, Tuple

from catzilla_cache.http.fields import Fields, date, matches_strongly
from catzilla_cache.http.message import Request
from catzilla_cache.http.stored import StoredResponse

_RANGE = re.compile(rb"([0-9]*)-([0-9]*)")

# More parts than anybody needs are an attack (RFC 9110 section 17.15): the whole is sent then. Arbitrary.
_MOST_PARTS = 16


class Part(NamedTuple):
    """What is sent of a response."""

    status: int
    fields: Fields
    body: bytes


def part_of(request: Request, stored: StoredResponse, fields: Fields) -> Optional[Part]:
    """What a request with Range gets of a stored response; None: all of it."""
    told = request.headers.only(b"range")
    if told is None or request.method != "GET" or stored.status != 200 or not _still_holds(request, stored):
        return None
    ranges = _ranges(told, len(stored.body))
    if ranges is None:
        return None
    total = len(stored.body)
    rest = [(name, value) for name, value in fields if name not in (b"content-length", b"content-range")]
    if not ranges:
        without_type = [(name, value) for name, value in rest if name not in (b"content-type", b"content-encoding", b"etag")]
        return Part(416, [*without_type, (b"content-range", b"bytes */%d" % total), (b"content-length", b"0")], b"")
    if len(ranges) == 1:
        first, last = ranges[0]
        body = stored.body[first : last + 1]
        told_range = (b"content-range", b"bytes %d-%d/%d" % (first, last, total))
        return Part(206, [*rest, told_range, (b"content-length", b"%d" % len(body))], body)
    return _several(stored, rest, ranges)


def _several(stored: StoredResponse, fields: Fields, ranges: "List[Tuple[int, int]]") -> Part:
    content_type = next((value for name, value in fields if name == b"content-type"), None)
    # No boundary that a body may have in it, and the same for the same answer.
    boundary = blake2b(stored.body, digest_size=16, key=b"multipart/byteranges").hexdigest().encode()
    pieces = []
    for first, last in ranges:
        head = b"\r\n--%s\r\n" % boundary
        if content_type is not None:
            head += b"content-type: %s\r\n" % content_type
        head += b"content-range: bytes %d-%d/%d\r\n\r\n" % (first, last, len(stored.body))
        pieces.append(head + stored.body[first : last + 1])
    body = b"".join(pieces) + b"\r\n--%s--\r\n" % boundary
    kept = [(name, value) for name, value in fields if name != b"content-type"]
    kept.append((b"content-type", b"multipart/byteranges; boundary=" + boundary))
    return Part(206, [*kept, (b"content-length", b"%d" % len(body))], body)


def _still_holds(request: Request, stored: StoredResponse) -> bool:
    """Whether the client's other parts are of this very response (If-Range)."""
    told = request.headers.only(b"if-range")
    if told is None:
        return b"if-range" not in request.headers
    if told.startswith((b'"', b"W/")):
        return matches_strongly(told, stored.entity_tag)
    modified = next((value for name, value in stored.fields if name == b"last-modified"), None)
    # A date is as good as an entity tag only if nothing else can have been made in the same second (RFC 9110 section 8.8.2.2).
    made = next((date(value) for name, value in stored.fields if name == b"date"), None) or stored.born
    changed = None if modified is None else date(modified)
    return modified is not None and modified.strip() == told and changed is not None and made - changed >= 1


def _ranges(told: bytes, total: int) -> "Optional[List[Tuple[int, int]]]":
    """First and last positions; none of them can be satisfied: an empty list; None: nothing that can be read, or is worth it."""
    unit, separator, rest = told.partition(b"=")
    if not separator or unit.strip().lower() != b"bytes":
        return None
    ranges: List[Tuple[int, int]] = []
    specified = [each.strip() for each in rest.split(b",")]
    specified = [each for each in specified if each]
    if not specified or len(specified) > _MOST_PARTS:
        return None
    for each in specified:
        match = _RANGE.fullmatch(each)
        if match is None or each == b"-" or len(each) > 40:
            return None
        first, last = match.groups()
        if not first:
            length = int(last)
            if length and total:
                ranges.append((max(0, total - length), total - 1))
        elif last and int(last) < int(first):
            return None
        elif int(first) < total:
            ranges.append((int(first), min(int(last), total - 1) if last else total - 1))
    ordered = sorted(ranges)
    if any(second[0] <= first[1] for first, second in zip(ordered, ordered[1:])):
        # Overlapping ones are nobody's honest wish.
        return None
    return ranges
