"""Requests as ASGI servers tell of them, the responses that are stored for them, and the finders that answer them."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

from catzilla_cache._backend import backend
from catzilla_cache.http.finder import ResponseFinder
from catzilla_cache.http.keys import KeyMaker
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import policy_of
from catzilla_cache.http.stored import StoredResponse, encode_response
from catzilla_cache.smart_cache import SmartCache

native = getattr(backend, "native", None)
#: The finder in Python, and the builtin where there is one.
KINDS: List[Any] = [ResponseFinder] + ([native.ResponseFinder] if native is not None else [])

POLICY = policy_of(
    cache_rules={"/a": {"ttl": 1}, "/b": {"ttl": 2}},
    cache_headers={"accept", "accept-encoding", "accept-language", "accept-charset", "x-part"},
)
HOUR = 3600.0
FIELDS = [(b"content-type", b"application/json"), (b"etag", b'"a tag"'), (b"link", b"<a>"), (b"link", b"<b>"), (b"x-empty", b"")]
Scope = Dict[str, Any]


def make(kind: Any, cache: SmartCache, **more: Any) -> Any:
    """A finder under the policy of these tests."""
    return kind(cache, POLICY.prefix, POLICY.key_fields, POLICY.ignored, b"catzilla", len(POLICY.rules), **more)


def scope_of(path: str = "/items", query: bytes = b"", headers: Any = ((b"host", b"example.org"),), **more: Any) -> Scope:
    """A scope as servers make them."""
    plain: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": query, "root_path": "", "headers": list(headers), "client": ("127.0.0.1", 5), "state": {},
    }  # fmt: skip
    return {**plain, **more}


def key_of(scope: Scope) -> bytes:
    """The key of the answer to a request, by `keys.py` alone."""
    fields = [(name, value) for name, value in scope["headers"]]
    hosts = [value for name, value in fields if name == b"host"]
    request = Request(
        scope["method"],
        scope["scheme"],
        hosts[0] if hosts else b"",
        scope["path"],
        scope["raw_path"],
        scope["query_string"],
        fields,
    )
    maker = KeyMaker(POLICY)
    return maker.primary(request, "GET", maker.url(request))


def response_of(**parts: Any) -> StoredResponse:
    """A response that was stored a while ago and is fresh for an hour."""
    now = time.time()
    plain: Dict[str, Any] = {
        "status": 200, "fields": FIELDS, "body": b"a body", "stored_at": now - 100.5, "born": now - 200.5, "fresh_until": now + HOUR,
        "refresh_until": now + HOUR, "error_until": now + HOUR, "url": b"http://example.org/items", "entity_tag": b'"a tag"',
    }  # fmt: skip
    return StoredResponse(**{**plain, **parts})


def store(cache: SmartCache, scope: Scope, response: Optional[StoredResponse] = None, **parts: Any) -> StoredResponse:
    """Stores the answer to a request."""
    response = response or response_of(**parts)
    # The stored form begins with the tag that the cache puts in front of bytes by itself.
    cache.set(key_of(scope), encode_response(response)[1:])
    return response


def put(cache: SmartCache, scope: Scope, data: bytes) -> None:
    """Stores these bytes where the answer to a request would be, as a foreign process might."""
    assert backend.put(cache._live(), key_of(scope), data, 0) == 0


def fields_of(answer: Any) -> Dict[bytes, bytes]:
    return dict(answer[0]["headers"])


def check_answer(answer: Any) -> None:
    """That an answer can be sent, whatever it says."""
    assert type(answer) is tuple and [type(message) for message in answer] == [dict, dict]
    start, body = answer
    assert (
        list(start) == ["type", "status", "headers"] and start["type"] == "http.response.start" and 100 <= start["status"] <= 999
    )
    assert type(start["headers"]) is list
    for field in start["headers"]:
        assert type(field) is tuple and [type(part) for part in field] == [bytes, bytes]
    own = start["headers"][-4:]
    assert [name for name, _ in own] == [b"age", b"x-cache", b"x-cache-time", b"cache-status"]
    assert own[0][1].isdigit() and own[1][1] == b"HIT" and own[2][1].isdigit() and own[3][1].startswith(b"catzilla; hit; ttl=")
    assert list(body) == ["type", "body"] and body["type"] == "http.response.body" and type(body["body"]) is bytes


def answers(cache: SmartCache, scope: Any, finders: Any = None) -> Any:
    """What all finders answer, who have to agree; whole seconds may pass between one and the next."""
    one, *others = finders or [make(kind, cache) for kind in KINDS]
    while True:
        first = one.find(scope)
        told = [other.find(scope) for other in others]
        if first == one.find(scope):
            assert all(each == first for each in told)
            return first
