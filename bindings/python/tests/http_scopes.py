"""Requests as ASGI servers tell of them, the responses that are stored for them, and the finders that answer them."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

from hypothesis import strategies as st

from catzilla_cache._backend import backend
from catzilla_cache.http.finder import REFUSED_FIELDS, ResponseFinder
from catzilla_cache.http.keys import KeyMaker, Target, normalised_query
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


def request_of(scope: Scope) -> Request:
    """The request that a scope describes."""
    fields = [(name, value) for name, value in scope["headers"]]
    host = next((value for name, value in fields if name == b"host"), b"")
    return Request(scope["method"], scope["scheme"], host, scope["path"], scope["raw_path"], scope["query_string"], fields)


def key_of(scope: Scope) -> bytes:
    """The key of the answer to a request, by `keys.py` alone; of a request that has none, what somebody might take for it."""
    request = request_of(scope)
    maker = KeyMaker(POLICY)
    query = normalised_query(request.query, POLICY.ignored)
    careless = Target(
        request.scheme.encode() + b"://" + request.authority.lower(), request.raw_path + (b"?" + query if query else b"")
    )
    return maker.primary(request, "GET", maker.target(request) or careless)


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
    put(cache, scope, encode_response(response))
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


# ---- Requests of all kinds ----

any_byte = st.binary(min_size=1, max_size=1)


def texts(alphabet: bytes, longest: int = 12, others: "st.SearchStrategy[bytes]" = any_byte) -> st.SearchStrategy[bytes]:
    """Bytes of an alphabet, and others among them."""
    one = st.one_of(st.sampled_from([bytes([byte]) for byte in alphabet]), others)
    return st.lists(one, max_size=longest).map(b"".join)


NAMES = [*POLICY.key_fields, b"cookie", b"user-agent", b"x", b"content-length"]
requests = st.fixed_dictionaries(
    {
        "host": st.sampled_from([b"example.org", b"EXAMPLE.org:80", b"a.example:443", b"[::1]:8000", b"x:", b"localhost"]),
        "scheme": st.sampled_from(["http", "https"]),
        "raw_path": st.one_of(
            texts(b"/ab%2e.~", 30, st.nothing()).map(lambda rest: b"/" + rest), texts(b"/ab!", 12, st.nothing()), texts(b"/ab?# ", 12).map(lambda rest: b"/" + rest)
        ),
        "query": st.one_of(
            texts(b"&=ab_%+?#", 30, st.nothing()), texts(b"&=ab_"), st.lists(st.sampled_from([b"_=1", b"a=2", b"a=1", b"b", b"", b"timestamp=5", b"aa=0", b"a", b"=", b"c=%26"]), max_size=9).map(b"&".join)
        ),
        "headers": st.lists(
            st.tuples(st.sampled_from([name for name in NAMES if name not in REFUSED_FIELDS and name not in (b"host", b"content-length")]), texts(b"aA ,;=\t\x0b0", 20)), max_size=12
        ),
        "place": st.integers(0, 20),
    }
)  # fmt: skip


def scope_from(request: Dict[str, Any], **more: Any) -> Scope:
    """The scope of one of these."""
    headers = [*request["headers"]]
    headers.insert(request["place"], (b"host", request["host"]))
    path = request["raw_path"].decode("utf-8", "replace")
    return scope_of(path, request["query"], headers, scheme=request["scheme"], raw_path=request["raw_path"], **more)
