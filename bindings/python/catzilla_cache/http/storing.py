"""Whether a response may be stored, for how long, and what of it (RFC 9111 section 3)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import NamedTuple, Optional, Tuple, Union

from catzilla_cache import _status
from catzilla_cache.http.fields import Fields, elements, are_fields, seconds
from catzilla_cache.http.freshness import Control, control_of, initial_age, lifetime
from catzilla_cache.http.keys import surrogate_tag
from catzilla_cache.http.message import FieldMap, Request
from catzilla_cache.http.policy import CENTURY, Policy, Settings
from catzilla_cache.http.stored import FOR_AUTHORIZED, HEAD_ONLY, NEVER_STALE, NO_CACHE, OWN_TAG, SHARED_AGE, StoredResponse

#: Failures of the application in place of which a stale response may be served (RFC 5861 section 4).
FAILURES = frozenset({500, 502, 503, 504})

# Statuses whose meaning for caches this cache knows (RFC 9110 section 15): what must-understand asks for.
_UNDERSTOOD = frozenset({200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501})

# Fields that are never stored (RFC 9111 section 3.1): of one connection, of one proxy, and those that are made anew for each answer.
_NOT_STORED = frozenset(
    b"connection keep-alive proxy-connection te transfer-encoding upgrade trailer proxy-authenticate proxy-authentication-info "
    b"proxy-authorization age content-length x-cache x-cache-time x-cache-ttl".split()
)

# Bytes of an entity tag that is made here: 128 bits, that no two bodies share.
_TAG_BYTES = 16

# The tag of the URL is one of them, and that of any query.
_MOST_TAGS = _status.MAX_TAGS - 2


class Refusal(NamedTuple):
    """Why a response is not stored."""

    reason: str


class Keep(NamedTuple):
    """A response that may be stored, but for its body."""

    response: StoredResponse
    #: For how many seconds it is worth keeping.
    kept_for: float
    #: For how many it is fresh from now on: what is told as X-Cache-TTL.
    fresh_for: float


def judge(
    policy: Policy,
    settings: Settings,
    request: Request,
    status: int,
    response: FieldMap,
    requested_at: float,
    received_at: float,
    url: bytes,
) -> Union[Keep, Refusal]:
    """Whether the answer to a GET or HEAD that came now may be stored, and for how long."""
    control = control_of(response, policy.targeted_cache_control)
    refusal = _forbidden(policy, settings, request, status, response, control)
    if refusal is not None:
        return Refusal(refusal)
    if not are_fields(response.fields):
        return Refusal("a field that is none")
    tags = _tags(policy, settings, response)
    if tags is None:
        return Refusal("too many surrogate keys")

    said = lifetime(response, control, received_at)
    if settings.ttl is not None:
        fresh_for = settings.ttl
    elif said is not None:
        fresh_for = min(said.seconds, CENTURY)
    elif _may_be_personal(policy, settings, request, response, control):
        # Nobody has said that it is for everybody, and what was asked for may depend on who has asked.
        return Refusal("a request with cookies, and no word on caching")
    else:
        fresh_for = policy.default_ttl

    flags = _flags(control, request, said is not None and said.is_shared and settings.ttl is None)
    age = initial_age(response, requested_at, received_at)
    # An operator's lifetime begins when the answer comes; the origin's began when it was made.
    fresh_until = received_at + fresh_for - (0 if settings.ttl is not None or said is None else age)
    while_refreshed, on_error = _stale_windows(control, settings, flags)
    if status in FAILURES:
        # One failure in place of another helps nobody.
        on_error = 0
    if flags & NO_CACHE:
        fresh_until = min(fresh_until, received_at)
    has_validator = b"etag" in response or b"last-modified" in response
    kept_until = max(
        fresh_until,
        fresh_until + while_refreshed,
        fresh_until + on_error,
        max(fresh_until, received_at) + policy.keep_stale if has_validator else 0,
    )
    if kept_until <= received_at:
        return Refusal("stale already")
    fields = kept_fields(response)
    etag = response.only(b"etag")
    return Keep(
        StoredResponse(
            status=status,
            fields=fields,
            body=b"",
            stored_at=received_at,
            born=received_at - age,
            fresh_until=fresh_until,
            refresh_until=fresh_until + while_refreshed,
            error_until=fresh_until + on_error,
            flags=flags,
            rule=settings.rule,
            url=url,
            entity_tag=etag or b"",
            vary=varied_by(settings, response),
            tags=tags,
        ),
        kept_until - received_at,
        max(0.0, fresh_until - received_at),
    )


def _forbidden(
    policy: Policy, settings: Settings, request: Request, status: int, response: FieldMap, control: Control
) -> Optional[str]:
    """Why a response must not be stored; None: it may be."""
    said = control.directives
    if status not in settings.status_codes or status < 200 or status in (206, 304):
        return f"status {status}"
    # Of what was asked for a part of, which the key does not say. To others Content-Range says nothing (RFC 9110 section 14.4).
    if b"range" in request.headers and (status == 416 or b"content-range" in response):
        return "a part"
    if b"must-understand" in said:
        if status not in _UNDERSTOOD:
            return "must-understand"
    elif b"no-store" in said:
        return "no-store"
    if b"private" in said and not policy.cache_private:
        return "private"
    if b"vary" in response and b"*" in elements(response.lines(b"vary")):
        return "Vary: *"
    for line in response.lines(b"set-cookie"):
        name, is_named, _ = line.partition(b"=")
        # Without the sign it is the value of a cookie that has no name.
        if not is_named or name.strip().decode("latin-1") not in policy.cacheable_cookies:
            return "Set-Cookie"
    if b"authorization" in request.headers and not policy.cache_authenticated and not _is_for_authorized(control):
        return "Authorization"
    return None


def _may_be_personal(policy: Policy, settings: Settings, request: Request, response: FieldMap, control: Control) -> bool:
    """Whether an answer may be for those alone who send the same cookies, and nothing keeps it from others."""
    if b"cookie" not in request.headers or policy.cache_cookies or b"public" in control.directives:
        return False
    return b"cookie" not in policy.key_fields and b"cookie" not in varied_by(settings, response)


def _is_for_authorized(control: Control) -> bool:
    """Whether a response may answer others than who has authenticated for it (RFC 9111 section 3.5)."""
    said = control.directives
    return b"public" in said or b"must-revalidate" in said or b"s-maxage" in said


def _flags(control: Control, request: Request, is_shared: bool) -> int:
    said = control.directives
    flags = HEAD_ONLY if request.method == "HEAD" else 0
    if _is_for_authorized(control):
        flags |= FOR_AUTHORIZED
    if b"no-cache" in said:
        flags |= NO_CACHE
    if b"must-revalidate" in said or b"proxy-revalidate" in said:
        flags |= NEVER_STALE
    if is_shared:
        flags |= SHARED_AGE
    return flags


def _stale_windows(control: Control, settings: Settings, flags: int) -> Tuple[float, float]:
    """For how many seconds beyond its freshness a response may be served while it is fetched anew, and if that fails (RFC 5861)."""
    if flags & NEVER_STALE:
        return 0, 0
    said, windows = control.directives, []
    for name, default in (
        (b"stale-while-revalidate", settings.stale_while_revalidate),
        (b"stale-if-error", settings.stale_if_error),
    ):
        told = seconds(said[name]) if name in said else None
        windows.append(min(told, CENTURY) if told is not None else 0 if flags & SHARED_AGE else default)
    return (0 if flags & NO_CACHE else windows[0]), windows[1]


def _tags(policy: Policy, settings: Settings, response: FieldMap) -> Optional[Tuple[bytes, ...]]:
    """The tags by which a response can be purged; None when there are more than an entry can have."""
    if not settings.tags and not any(field in response for field in policy.surrogate_keys):
        return ()
    names = dict.fromkeys(settings.tags)
    for field in policy.surrogate_keys:
        for line in response.lines(field):
            names.update(dict.fromkeys(line.replace(b",", b" ").split()))
    tags = tuple(surrogate_tag(name) for name in names)
    return tags if len(tags) <= _MOST_TAGS else None


def varied_by(settings: Settings, response: FieldMap) -> Tuple[bytes, ...]:
    """The names of the request fields by which a response is selected, sorted; those of the rule among them."""
    if b"vary" not in response:
        return settings.vary
    named = {name.lower() for name in elements(response.lines(b"vary"))}
    return tuple(sorted(named.union(settings.vary)))


def kept_fields(response: FieldMap) -> Fields:
    """The fields that are stored, in their order."""
    if b"connection" not in response:
        return [(name, value) for name, value in response.fields if name not in _NOT_STORED]
    nominated = {name.lower() for name in elements(response.lines(b"connection"))}
    return [(name, value) for name, value in response.fields if name not in _NOT_STORED and name not in nominated]


def fits(content_length: Optional[bytes], limit: int) -> bool:
    """Whether a body may be of a length that is allowed, as far as its Content-Length tells."""
    return content_length is None or (content_length.isdigit() and len(content_length) < 20 and int(content_length) <= limit)


def is_whole(method: str, content_length: Optional[bytes], size: int) -> bool:
    """Whether so many bytes are all of an answer's body, as far as its Content-Length tells."""
    return method == "HEAD" or content_length is None or content_length == b"%d" % size


def with_body(response: StoredResponse, body: bytes, content_length: Optional[bytes]) -> StoredResponse:
    """A response with its body: its length is told, and an entity tag is made if it has none. For HEAD the length is what was told."""
    fields, etag, flags = list(response.fields), response.entity_tag, response.flags
    if flags & HEAD_ONLY:
        if content_length is not None:
            fields.append((b"content-length", content_length))
    elif response.status not in (204, 304):
        fields.append((b"content-length", b"%d" % len(body)))
        if not etag and 200 <= response.status < 300 and not any(name == b"etag" for name, _ in fields):
            etag = made_entity_tag(fields, body)
            fields.append((b"etag", etag))
            flags |= OWN_TAG
    return response._replace(fields=fields, body=body, entity_tag=etag, flags=flags)


def made_entity_tag(fields: Fields, body: bytes) -> bytes:
    """A strong entity tag: of these bytes in this coding."""
    made = blake2b(body, digest_size=_TAG_BYTES)
    for name, value in fields:
        if name in (b"content-encoding", b"content-type"):
            made.update(b"\0" + name + b":" + value)
    # Short, since servers look at every byte of what they send: uvicorn takes 4 ns for each.
    return b'"' + urlsafe_b64encode(made.digest()).rstrip(b"=") + b'"'
