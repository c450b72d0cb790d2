"""Requests as ASGI servers tell of them, the responses that are stored for them, and the finders that answer them."""

from __future__ import annotations

import io
import time
from typing import AbstractSet, Any, Dict, List, Optional
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import strategies as st

from catzilla_cache._backend import backend
from catzilla_cache.http.finder import ResponseFinder
from catzilla_cache.http.ordinary import REFUSED_FIELDS
from catzilla_cache.http.keys import KeyMaker, Target, normalised_query
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import CACHE_STATUS, STATE_FIELDS, X_CACHE, policy_of
from catzilla_cache.http.stored import StoredResponse, encode_response
from catzilla_cache.smart_cache import SmartCache

native = getattr(backend, "native", None)
#: The finder in Python, and the builtin where there is one.
KINDS: List[Any] = [ResponseFinder] + ([native.ResponseFinder] if native is not None else [])
only_compiled = pytest.mark.skipif(len(KINDS) == 1, reason="this backend has no builtin")

POLICY = policy_of(
    cache_rules={"/a": {"ttl": 1}, "/b": {"ttl": 2}},
    cache_headers={"accept", "accept-encoding", "accept-language", "accept-charset", "x-part"},
)
HOUR = 3600.0
FIELDS = [(b"content-type", b"application/json"), (b"etag", b'"a-tag"'), (b"link", b"<a>"), (b"link", b"<b>"), (b"x-empty", b"")]
Scope = Dict[str, Any]


def make(kind: Any, cache: SmartCache, state_fields: AbstractSet[str] = STATE_FIELDS, **more: Any) -> Any:
    """A finder under the policy of these tests."""
    tells = {"tells_x_cache": X_CACHE in state_fields, "tells_status": CACHE_STATUS in state_fields}
    return kind(cache, POLICY.prefix, POLICY.key_fields, POLICY.ignored, b"catzilla", len(POLICY.rules), **tells, **more)


@pytest.fixture(name="finder", params=KINDS, ids=lambda kind: str(kind.__module__).rsplit(".", 1)[-1])
def each_finder(request: pytest.FixtureRequest, cache: SmartCache) -> Any:
    """Imported by a module, runs each of its tests that takes one with the finder in Python, and with the builtin."""
    return make(request.param, cache)


def scope_of(path: str = "/items", query: bytes = b"", headers: Any = ((b"host", b"example.org"),), **more: Any) -> Scope:
    """A scope as servers make them, of a path as it came."""
    raw_path = more.get("raw_path", path.encode())
    path = unquote_to_bytes(raw_path).decode("utf-8", "replace") if type(raw_path) is bytes else path
    plain: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": raw_path, "query_string": query, "root_path": "", "headers": list(headers), "client": ("127.0.0.1", 5), "state": {},
    }  # fmt: skip
    return {**plain, **more}


def tells_of_one_path(scope: Scope) -> bool:
    """Whether the path that came is the very one that the application sees: one whose bytes are no text is another."""
    return unquote_to_bytes(scope["raw_path"]) == scope["path"].encode()


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
        "refresh_until": now + HOUR, "error_until": now + HOUR, "url": b"http://example.org/items", "entity_tag": b'"a-tag"',
    }  # fmt: skip
    return StoredResponse(**{**plain, **parts})


def store(cache: SmartCache, scope: Scope, response: Optional[StoredResponse] = None, **parts: Any) -> StoredResponse:
    """Stores the answer to a request."""
    response = response or response_of(**parts)
    put(cache, scope, encode_response(response))
    return response


def put_at(cache: SmartCache, key: bytes, response: StoredResponse) -> None:
    """Stores a response under a key."""
    assert backend.put(cache._live(), key, encode_response(response), 0) == 0


def put(cache: SmartCache, scope: Scope, data: bytes) -> None:
    """Stores these bytes where the answer to a request would be, as a foreign process might."""
    assert backend.put(cache._live(), key_of(scope), data, 0) == 0


def environ_of(scope: Scope, tells: str = "", root: str = "", **more: Any) -> Dict[str, Any]:
    """A scope's request as WSGI servers tell of it; ``tells`` names the variable by which they tell of the path as it came."""
    path = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    environ: Dict[str, Any] = {
        "wsgi.errors": None, "wsgi.version": (1, 0), "wsgi.url_scheme": scope["scheme"], "wsgi.input": io.BytesIO(), "wsgi.multithread": True,
        "REQUEST_METHOD": scope["method"], "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "a", "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1", "SCRIPT_NAME": root, "PATH_INFO": path, "CONTENT_LENGTH": "", "CONTENT_TYPE": "",
    }  # fmt: skip
    if tells:
        environ[tells] = (quote(root) + scope["raw_path"].decode("latin-1")) + ("?" + query if query else "")
    for name, value in scope["headers"]:
        bare = name.decode("latin-1").upper().replace("-", "_")
        variable = bare if bare in ("CONTENT_LENGTH", "CONTENT_TYPE") else "HTTP_" + bare
        text = value.decode("latin-1")
        environ[variable] = f"{environ[variable]},{text}" if environ.get(variable) else text
    environ.update(more)
    return environ


def answers_to_environ(cache: SmartCache, environ: Any, finders: Any = None) -> Any:
    """The same for a WSGI environment."""
    return answers(cache, environ, finders, "find_environ")


def fields_of(answer: Any) -> Dict[bytes, bytes]:
    return dict(answer[0]["headers"])


#: What clients may be told of the cache: all that there is to choose from.
CHOICES: List[AbstractSet[str]] = [STATE_FIELDS, frozenset({X_CACHE}), frozenset({CACHE_STATUS}), frozenset()]


def own_names(state_fields: AbstractSet[str]) -> List[bytes]:
    """The names of the fields that a hit has beyond those that are stored."""
    of_x_cache = [b"x-cache", b"x-cache-time"] if X_CACHE in state_fields else []
    return [b"age", *of_x_cache, *([b"cache-status"] if CACHE_STATUS in state_fields else [])]


def check_answer(answer: Any, state_fields: AbstractSet[str] = STATE_FIELDS) -> None:
    """That an answer can be sent, whatever it says."""
    assert type(answer) is tuple and [type(message) for message in answer] == [dict, dict]
    start, body = answer
    assert (
        list(start) == ["type", "status", "headers"] and start["type"] == "http.response.start" and 100 <= start["status"] <= 999
    )
    assert type(start["headers"]) is list
    for field in start["headers"]:
        assert type(field) is tuple and [type(part) for part in field] == [bytes, bytes]
    names = own_names(state_fields)
    assert [name for name, _ in start["headers"][-len(names) :]] == names
    own = dict(start["headers"][-len(names) :])
    assert own[b"age"].isdigit() and own.get(b"x-cache", b"HIT") == b"HIT" and own.get(b"x-cache-time", b"0").isdigit()
    assert own.get(b"cache-status", b"catzilla; hit; ttl=").startswith(b"catzilla; hit; ttl=")
    assert list(body) == ["type", "body"] and body["type"] == "http.response.body" and type(body["body"]) is bytes


def answers(cache: SmartCache, request: Any, finders: Any = None, how: str = "find") -> Any:
    """What all finders answer, who have to agree; whole seconds may pass between one and the next."""
    one, *others = [getattr(finder, how) for finder in finders or [make(kind, cache) for kind in KINDS]]
    while True:
        first = one(request)
        told = [other(request) for other in others]
        if first == one(request):
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


#: Lines of If-None-Match: most of entity tags, some of anything.
TAGS = [b'"a-tag"', b'W/"a-tag"', b'"other"', b'""', b"*", b"", b'"a tag', b"a-tag", b'w/"a-tag"', b'"a tag"', b'"a\xfftag"', b'"a, tag"', b'"a" "b"', b'"' + b"t" * 300 + b'"']
tag_lines = st.one_of(
    st.lists(st.sampled_from(TAGS), max_size=4).map(b", ".join), texts(b'"aW/*, \t', 12), st.sampled_from([b'"a-tag"', b'W/"a-tag"', b'"x", "a-tag"'])
)  # fmt: skip
DATES = [
    b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:38 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994", b"Tue, 29 Feb 2000 00:00:00 GMT",
    b"Sun, 31 Nov 1994 08:49:37 GMT", b"Sun, 00 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 24:49:37 GMT", b"Sun, 06 Nov 1994 08:60:37 GMT", b"Sun, 06 Nov 1994 08:49:61 GMT",
    b"Xxx, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:37 CET", b"Sun, 06 Nov 1994 08:49:37 GMT ", b"0", b"", b"Fri, 30 Dec 9999 23:59:60 GMT",
]  # fmt: skip


def scope_from(request: Dict[str, Any], **more: Any) -> Scope:
    """The scope of one of these."""
    headers = [*request["headers"]]
    headers.insert(request["place"], (b"host", request["host"]))
    return scope_of("", request["query"], headers, scheme=request["scheme"], raw_path=request["raw_path"], **more)
