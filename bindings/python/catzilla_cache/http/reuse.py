"""Whether a stored response may answer a request (RFC 9111 sections 4.2 to 4.2.4 and 5.2.1)."""

from __future__ import annotations

from enum import Enum

from catzilla_cache.http.fields import seconds
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import Policy
from catzilla_cache.http.stored import FOR_AUTHORIZED, NEVER_STALE, NO_CACHE, SHARED_AGE, StoredResponse


class Use(Enum):
    """What may be done with a stored response."""

    #: Serve it.
    FRESH = "fresh"
    #: Serve it, and have it fetched anew meanwhile.
    REFRESH = "refresh"
    #: Serve it although it is stale: the client has said that this is fine.
    STALE = "stale"
    #: Ask the application whether it still holds.
    VALIDATE = "validate"
    #: The same, since the client wants that.
    VALIDATE_FOR_CLIENT = "validate for the client"
    #: It is not for who asks.
    NOTHING = "nothing"


def weigh(policy: Policy, request: Request, stored: StoredResponse, now: float) -> Use:
    """What may be done with a stored response that the request selects."""
    if b"authorization" in request.headers and not policy.cache_authenticated and not stored.flags & FOR_AUTHORIZED:
        return Use.NOTHING
    asked = request.directives
    if b"no-cache" in asked:
        return Use.VALIDATE_FOR_CLIENT
    if stored.flags & NO_CACHE:
        return Use.VALIDATE
    if b"max-age" in asked:
        wanted = seconds(asked[b"max-age"])
        # What cannot be read is taken for the strictest that it could mean.
        if not wanted or stored.age(now) > wanted:
            return Use.VALIDATE_FOR_CLIENT
    left = stored.fresh_until - now
    if b"min-fresh" in asked and left < (seconds(asked[b"min-fresh"]) or 0):
        return Use.VALIDATE_FOR_CLIENT
    if left > 0:
        return Use.FRESH
    if stored.flags & NEVER_STALE:
        return Use.VALIDATE
    if b"max-stale" in asked and not stored.flags & SHARED_AGE:
        limit = asked[b"max-stale"]
        allowed = seconds(limit)
        if limit is None or (allowed is not None and -left <= allowed):
            return Use.STALE
    return Use.REFRESH if now < stored.refresh_until else Use.VALIDATE


def is_for_one(stored: StoredResponse) -> bool:
    """Whether a response answers the request that it was made for and, without being validated, no other: not even one that has waited
    for it (RFC 9111 section 4)."""
    return bool(stored.flags & NO_CACHE) or stored.fresh_until <= stored.stored_at


def may_serve_on_error(request: Request, stored: StoredResponse, now: float) -> bool:
    """Whether a stored response may be served since the application cannot give another (RFC 5861 section 4)."""
    if stored.flags & (NEVER_STALE | NO_CACHE) or b"no-cache" in request.directives:
        return False
    return now < max(stored.error_until, stored.fresh_until)
