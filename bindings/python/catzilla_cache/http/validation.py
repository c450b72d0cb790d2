"""Conditional requests: those of clients, which the cache answers, and its own, by which it asks whether a response still holds (RFC 9111 section 4.3)."""

from __future__ import annotations

from typing import Optional

from catzilla_cache.http.fields import Fields, date, entity_tags, matches_weakly
from catzilla_cache.http.message import FieldMap, Request
from catzilla_cache.http.storing import kept_fields
from catzilla_cache.http.stored import HEAD_ONLY, OWN_TAG, StoredResponse

#: Fields by which a request is made conditional, and which a cache can answer.
CLIENT_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
#: Those that only who has the resource can answer.
ORIGIN_CONDITIONS = (b"if-match", b"if-unmodified-since")

# Of the representation, so not in a 304 (RFC 9110 section 15.4.5), which has none.
_OF_THE_BODY = frozenset(
    b"content-length content-type content-encoding content-language content-range content-md5 digest content-digest "
    b"repr-digest accept-ranges".split()
)
# A 304 updates all fields (RFC 9111 section 3.2) but those that depend on the stored bytes: how they are coded, and what they add
# up to. It says that these have not changed, so whatever else it says is of something else, often of its own lack of a body.
_NOT_UPDATED = frozenset(
    b"content-encoding content-range content-length content-md5 digest content-digest repr-digest etag".split()
)


def own_conditions(stored: StoredResponse) -> Fields:
    """The fields that ask whether a stored response still holds; none when it has no validator that its maker knows."""
    conditions: Fields = []
    for name, value in stored.fields:
        if name == b"etag" and not stored.flags & OWN_TAG:
            conditions.append((b"if-none-match", value))
        elif name == b"last-modified" and date(value) is not None:
            conditions.append((b"if-modified-since", value))
    return conditions


def asks_about(request: Request, stored: StoredResponse) -> bool:
    """Whether the client's own condition is about what is stored, and nothing else: a 304 to it says that this still holds."""
    headers = request.headers
    if b"if-none-match" in headers:
        wanted = entity_tags(headers.lines(b"if-none-match"))
        is_known = bool(stored.entity_tag) and not stored.flags & OWN_TAG
        return is_known and len(wanted) == 1 and wanted != [b"*"] and matches_weakly(wanted[0], stored.entity_tag)
    since = headers.only(b"if-modified-since")
    return since is not None and any(name == b"last-modified" and value.strip() == since for name, value in stored.fields)


def request_fields(fields: Fields, conditions: Fields) -> Fields:
    """A request's fields with other conditions in place of the client's."""
    kept = [(name, value) for name, value in fields if name not in CLIENT_CONDITIONS and name != b"if-range"]
    return kept + conditions


def is_not_modified(request: Request, status: int, fields: FieldMap, entity_tag: bytes, received_at: Optional[float]) -> bool:
    """Whether the client has what a response would send it (RFC 9110 section 13.2.2)."""
    if not 200 <= status < 300:
        return False
    headers = request.headers
    if b"if-none-match" in headers:
        wanted = entity_tags(headers.lines(b"if-none-match"))
        return wanted == [b"*"] or (bool(entity_tag) and any(matches_weakly(tag, entity_tag) for tag in wanted))
    since = headers.only(b"if-modified-since")
    if since is None:
        return False
    asked, modified = date(since), fields.only(b"last-modified")
    if asked is None:
        return False
    changed = date(modified) if modified is not None else None
    if changed is None and modified is None:
        # Not older than when it was made (RFC 9111 section 4.3.2).
        made = fields.only(b"date")
        changed = date(made) if made is not None else received_at
    return changed is not None and changed <= asked


def not_modified_fields(fields: Fields) -> Fields:
    """The fields of a 304 in place of a response."""
    return [(name, value) for name, value in fields if name not in _OF_THE_BODY]


def is_about(stored: StoredResponse, response: FieldMap) -> bool:
    """Whether a 304 is about a stored response (RFC 9111 section 4.3.4), and not about another one of the same URL."""
    told = response.only(b"etag")
    if told is None or stored.flags & OWN_TAG or not stored.entity_tag:
        return True
    return matches_weakly(told, stored.entity_tag)


def shows_the_same(stored: StoredResponse, response: FieldMap) -> bool:
    """Whether an answer to HEAD shows that what is stored of GET still holds (RFC 9111 section 4.3.5): by all validators that it
    has, one at least, since a length alone is no sign of the same bytes."""
    known = FieldMap(stored.fields)
    etag, modified, length = (response.only(name) for name in (b"etag", b"last-modified", b"content-length"))
    if etag is None and modified is None:
        return False
    if etag is not None and (stored.flags & OWN_TAG or etag != stored.entity_tag):
        return False
    return modified in (None, known.only(b"last-modified")) and length in (None, known.only(b"content-length"))


def updated_fields(stored: StoredResponse, response: FieldMap) -> FieldMap:
    """The fields of a stored response after a 304 about it (RFC 9111 section 3.2)."""
    news = [(name, value) for name, value in kept_fields(response) if name not in _NOT_UPDATED]
    if not _is_same_type(stored, response):
        news = [(name, value) for name, value in news if name != b"content-type"]
    renewed = {name for name, _ in news}
    kept = [(name, value) for name, value in stored.fields if name not in renewed]
    # A Date of before would make it as old as it was.
    if b"date" not in renewed:
        kept = [(name, value) for name, value in kept if name != b"date"]
    age = [(b"age", value) for value in response.lines(b"age")]
    return FieldMap([*kept, *news, *age])


def _is_same_type(stored: StoredResponse, response: FieldMap) -> bool:
    """Whether the answer to a validation has the media type that is stored, perhaps with other parameters. Another one is what a
    framework puts into answers that have no body, not what these bytes are: data of users must not become HTML by it."""
    told = response.only(b"content-type")
    known = next((value for name, value in stored.fields if name == b"content-type"), None)
    return told is not None and known is not None and _media_type(told) == _media_type(known)


def _media_type(value: bytes) -> bytes:
    return value.split(b";", 1)[0].strip().lower()


def with_fields_of(stored: StoredResponse, renewed: StoredResponse) -> StoredResponse:
    """What was judged of the updated fields, with the body and the entity tag that are stored."""
    return renewed._replace(
        body=stored.body,
        entity_tag=stored.entity_tag,
        flags=renewed.flags & ~HEAD_ONLY | stored.flags & (OWN_TAG | HEAD_ONLY),
    )
