"""What ``exchange`` says is to be done next, and adapters do."""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

from catzilla_cache.http.fields import Fields
from catzilla_cache.http.storing import Keep
from catzilla_cache.http.stored import SearchRule, StoredResponse, Varies

Entry = Union[StoredResponse, Varies, SearchRule]


class LookUp(NamedTuple):
    """What is stored under this key is wanted."""

    key: bytes


class Serve(NamedTuple):
    """A response to send."""

    status: int
    fields: Fields
    body: bytes
    #: Whether it is to be fetched anew in the background.
    refresh: bool = False
    #: Whether it takes the place of a failure of the application.
    is_instead: bool = False


class Fetch(NamedTuple):
    """The application is to be asked."""

    #: The fields of the request that it is given.
    fields: Fields
    #: Requests with the same one wait for each other's answers; None: this one goes alone.
    shared: Optional[bytes]


class Relay(NamedTuple):
    """The application's answer is to be passed on, with these fields."""

    status: int
    fields: Fields
    #: The last of these, which the cache has added: what the client is told of it.
    told: Fields
    #: What may be stored of it once its body is there; None: nothing.
    keep: Optional[Keep]
    #: Whether the client has it already: a 304 is sent in place of the body.
    not_modified: Optional[Serve] = None
    #: The key of what is stored and was not confirmed: of no use any more.
    outdated: Optional[bytes] = None


class Write(NamedTuple):
    """Something to store; or to remove, which no entry says."""

    key: bytes
    entry: Optional[Entry]
    kept_for: float
