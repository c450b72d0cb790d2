"""The shortest way to an answer: which requests it takes, that it makes the keys of `keys.py`, and what it answers. The finder in Python and the
builtin are held side by side."""

from __future__ import annotations

import gc
import itertools
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheError
from catzilla_cache.http import stored
from catzilla_cache.http.finder import REFUSED_FIELDS, NoFinder, ResponseFinder, finder_for
from catzilla_cache.http.keys import KeyMaker, authority, is_plain_path
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import policy_of
from catzilla_cache.http.stored import SearchRule, StoredResponse, Varies, encode_response, encode_search, encode_varies
from catzilla_cache.smart_cache import RedisCache, SmartCache, SmartCacheConfig
from in_threads import in_threads, until

native = getattr(backend, "native", None)
KINDS: List[Any] = [ResponseFinder] + ([native.ResponseFinder] if native is not None else [])
only_compiled = pytest.mark.skipif(native is None, reason="this backend has no builtin")

POLICY = policy_of(
    cache_rules={"/a": {"ttl": 1}, "/b": {"ttl": 2}}, cache_headers={"accept", "accept-encoding", "accept-language", "accept-charset", "x-part"}
)
HOUR = 3600.0
FIELDS = [(b"content-type", b"application/json"), (b"etag", b'"a tag"'), (b"link", b"<a>"), (b"link", b"<b>"), (b"x-empty", b"")]
Scope = Dict[str, Any]
Make = Callable[[Any], Any]


def make(kind: Any, cache: SmartCache, **more: Any) -> Any:
    """A finder under the policy of these tests."""
    return kind(cache, POLICY.prefix, POLICY.key_fields, POLICY.ignored, b"catzilla", len(POLICY.rules), **more)


@pytest.fixture
def cache() -> Iterator[SmartCache]:
    with SmartCache() as cache:
        yield cache


@pytest.fixture(params=KINDS, ids=lambda kind: str(kind.__module__).rsplit(".", 1)[-1])
def finder(request: Any, cache: SmartCache) -> Any:
    return make(request.param, cache)


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
    request = Request(scope["method"], scope["scheme"], hosts[0] if hosts else b"", scope["path"], scope["raw_path"], scope["query_string"], fields)
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
    assert list(start) == ["type", "status", "headers"] and start["type"] == "http.response.start" and 100 <= start["status"] <= 999
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


# ---- Answers ----


def test_a_fresh_response_is_answered_with_its_fields_and_what_the_hit_was(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    for status, body in ((200, b"a body"), (404, b""), (301, bytes(range(256)) * 400), (599, b"x" * 100_000)):
        response = store(cache, scope, status=status, body=body)
        before = time.time()
        answer = finder.find(scope)
        after = time.time()
        check_answer(answer)
        start, message = answer
        assert start["status"] == status and message["body"] == body and start["headers"][:-4] == FIELDS
        said = fields_of(answer)
        assert int(before - response.born) <= int(said[b"age"]) <= int(after - response.born)
        assert int(before - response.stored_at) <= int(said[b"x-cache-time"]) <= int(after - response.stored_at)
        left = int(said[b"cache-status"][len(b"catzilla; hit; ttl=") :])
        assert int(response.fresh_until - after) <= left <= int(response.fresh_until - before)


def test_head_is_answered_from_what_is_stored_for_get(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    get, head = finder.find(scope), finder.find({**scope, "method": "HEAD"})
    assert head[0]["headers"][:-4] == get[0]["headers"][:-4] and head[1] == {"type": "http.response.body", "body": b""}
    deaf = make(type(finder), cache, takes_head=False)
    assert deaf.find({**scope, "method": "HEAD"}) is None and deaf.find(scope) is not None


def test_nothing_is_answered_that_has_to_be_thought_about(cache: SmartCache, finder: Any) -> None:
    scope, now = scope_of(), time.time()
    assert finder.find(scope) is None
    odd: List[Tuple[Dict[str, Any], bool]] = [
        ({"fresh_until": now - 0.5}, False), ({"fresh_until": now - HOUR, "stored_at": now - 2 * HOUR}, False),
        ({"flags": stored.NO_CACHE}, False), ({"flags": stored.HEAD_ONLY}, False), ({"flags": 255}, False),
        ({"stored_at": now + HOUR, "fresh_until": now + 2 * HOUR}, False), ({"rule": 3}, False), ({"rule": 65535}, False), ({"status": 99}, False),
        ({"status": 1000}, False), ({"rule": 2}, True), ({"stored_at": now + 1, "born": now + 1}, True),
        ({"flags": stored.NEVER_STALE | stored.SHARED_AGE | stored.OWN_TAG | stored.FOR_AUTHORIZED}, True), ({"fields": []}, True),
    ]  # fmt: skip
    for parts, is_answered in odd:
        store(cache, scope, **parts)
        assert (finder.find(scope) is not None) is is_answered, parts
    store(cache, scope, flags=stored.HEAD_ONLY)
    assert finder.find({**scope, "method": "HEAD"})[1]["body"] == b""
    # From a clock that is ahead: as old as nothing can be.
    store(cache, scope, stored_at=now + 3, born=now + 3)
    assert int(fields_of(finder.find(scope))[b"age"]) < HOUR
    for data in (encode_varies(Varies((b"accept",))), encode_search(SearchRule(True, None))):
        cache.set(key_of(scope), data[1:])
        assert finder.find(scope) is None
    values: List[object] = ["text", 5, 1.5, None, True, b"", b"\xc7", b"x" * 100, [1], {"a": 1}, ("a",)]
    for value in values:
        cache.set(key_of(scope), value)
        assert finder.find(scope) is None
    cache.delete(key_of(scope))
    assert finder.find(scope) is None


def test_what_was_made_stale_is_not_answered_a_moment_later(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    response = store(cache, scope)
    for _ in range(200):
        assert finder.find(scope) is not None
        store(cache, scope, response.made_stale(time.time()))
        assert finder.find(scope) is None
        store(cache, scope, response)


def test_a_response_with_tags_is_answered(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    cache.set(key_of(scope), encode_response(response_of())[1:], tags=["one", b"x" * 200])
    assert finder.find(scope)[1]["body"] == b"a body"
    cache.invalidate("one")
    assert finder.find(scope) is None


def test_responses_of_caches_with_a_disk_are_answered_from_memory_alone(tmp_path: Path) -> None:
    config = SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "cache"))
    scope = scope_of()
    with SmartCache(config) as cache:
        finders = [make(kind, cache) for kind in KINDS]
        store(cache, scope, body=b"x" * 10_000)
        assert answers(cache, scope, finders)[1]["body"] == b"x" * 10_000
    with SmartCache(config) as cache:
        assert answers(cache, scope) is None
        assert cache.get(key_of(scope))[1] is True


def test_a_request_that_is_not_answered_is_no_miss_of_the_finders(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    finder.find(scope)
    assert cache.get_stats().misses == 0
    store(cache, scope)
    finder.find(scope)
    stats = cache.get_stats()
    assert (stats.hits, stats.misses) == (1, 0)


# ---- Heads that are kept ready ----


def test_messages_are_the_callers_own(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    for _ in range(5):
        start, body = finder.find(scope)
        assert start["headers"][:-4] == FIELDS and len(start) == 3 and len(body) == 2
        start["headers"].append((b"x-more", b"of a middleware"))
        start["headers"][0] = (b"content-type", b"text/html")
        start.update(status=500, more=1)
        body.update(body=b"compressed", more_body=True)


def test_a_response_that_takes_anothers_place_is_not_mistaken_for_it(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    first = response_of()
    others = [
        first, replace(first, status=404), replace(first, fields=[*FIELDS[:-1], (b"x-empty", b"x")]), replace(first, fields=FIELDS[:-1]),
        replace(first, fields=[(b"content-typf", b"application/json"), *FIELDS[1:]]), replace(first, body=b"other"), replace(first, rule=1),
        replace(first, fields=FIELDS * 30), replace(first, fresh_until=first.fresh_until + 1000), replace(first, born=first.born - 1000),
        replace(first, fields=[]),
    ]  # fmt: skip
    for _ in range(3):
        for one, times in itertools.product(others, (1, 3)):
            store(cache, scope, one)
            for _ in range(times):
                answer = finder.find(scope)
                assert answer[0]["status"] == one.status and answer[0]["headers"][:-4] == one.fields and answer[1]["body"] == one.body
                assert int(fields_of(answer)[b"age"]) == int(time.time() - one.born) or int(fields_of(answer)[b"age"]) + 1 == int(time.time() - one.born)


def test_more_responses_than_are_kept_ready_are_answered_as_they_are(cache: SmartCache, finder: Any) -> None:
    scopes = [scope_of(f"/items/{number}") for number in range(1500)]
    for number, scope in enumerate(scopes):
        store(cache, scope, fields=[*FIELDS, (b"x-number-%d" % (number % 200), b"%d" % number)], body=b"body %d" % number)
    for times in (1, 3, 2):
        for number, scope in enumerate(scopes):
            for _ in range(times):
                start, body = finder.find(scope)
                assert body["body"] == b"body %d" % number and start["headers"][len(FIELDS)] == (b"x-number-%d" % (number % 200), b"%d" % number)


def test_fields_of_any_length_come_back(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    for fields in (
        [(b"n" * length, b"v" * length) for length in (0, 1, 31, 32, 33, 64, 65535)],
        [(b"x", b"v" * 1_000_000)],
        [(b"x-%d" % number, b"%d" % number) for number in range(5000)],
        [(b"", b"")] * 40,
        [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")] * 16,
        # To the byte around what is kept ready.
        *([(b"x", b"v" * (2048 - 72 - 7 + more))] for more in (-1, 0, 1)),
    ):
        store(cache, scope, fields=fields)
        for _ in range(3):
            assert finder.find(scope)[0]["headers"][:-4] == fields


def test_seconds_go_on_in_what_is_kept_ready(cache: SmartCache, finder: Any) -> None:
    scope, now = scope_of(), time.time()
    response = store(cache, scope, stored_at=now - 10.9, born=now - 20.6, fresh_until=now + 100.3)
    seen = set()

    def have_all_moved() -> bool:
        before = time.time()
        said = fields_of(finder.find(scope))
        after = time.time()
        age, since, left = int(said[b"age"]), int(said[b"x-cache-time"]), int(said[b"cache-status"].rsplit(b"=", 1)[1])
        assert int(before - response.born) <= age <= int(after - response.born)
        assert int(before - response.stored_at) <= since <= int(after - response.stored_at)
        assert int(response.fresh_until - after) <= left <= int(response.fresh_until - before)
        seen.add((age, since, left))
        return all(len(set(column)) > 1 for column in zip(*seen))

    until(have_all_moved)


# ---- Which requests ----


def test_requests_that_ask_for_more_than_an_answer_are_left_alone(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    for name in sorted(REFUSED_FIELDS):
        for value in (b"", b"x", b"no-cache"):
            assert finder.find(scope_of(headers=[(name, value), (b"host", b"example.org")])) is None, name
            assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, value)])) is None, name
    assert len(REFUSED_FIELDS) == 16
    for length, is_ordinary in ((b"0", True), (b"1", False), (b"", False), (b"00", False), (b" 0", False), (b"-0", False)):
        assert (finder.find(scope_of(headers=[(b"host", b"example.org"), (b"content-length", length)])) is not None) is is_ordinary
    # Next to those, and others that say nothing.
    for name in (b"cookie", b"connection", b"if-matc", b"rangee", b"x-range", b"authorizatio", b"x-http-metho", b"", b"user-agent", b"x-method-overridf"):
        assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, b"x")])) is not None, name


def test_a_name_that_is_not_in_lower_case_is_left_alone(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    for name in (b"Authorization", b"authorizatioN", b"Range", b"cookie-of-some-lengtH", b"A", b"x-Z", b"X-and-very-long-names-of-fields", b"1234567A"):
        assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, b"x")])) is None, name
    for name in (b"\xc0\xc1", b"@[`{", b"123", b"x-\xff"):
        assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, b"x")])) is not None, name


def test_only_get_and_head_of_http_are_answered(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    for method in ("POST", "get", "head", "GET ", "", "GETX", "GE", "OPTIONS", "HEAD\0", "G\u0415T"):
        assert finder.find(scope_of(method=method)) is None
    for kind in ("websocket", "lifespan", "HTTP", "", "http2"):
        assert finder.find(scope_of(type=kind)) is None
    for scheme in ("HTTP", "ws", "", "httpx"):
        assert finder.find(scope_of(scheme=scheme)) is None
    assert finder.find(scope_of(scheme="https")) is None
    without = scope_of()
    del without["scheme"], without["query_string"]
    assert finder.find(without) is not None


def test_paths_that_may_lead_elsewhere_are_left_alone(cache: SmartCache, finder: Any) -> None:
    plain = scope_of()
    store(cache, plain)
    segments = [".", "..", "...", "%2e", "%2E", "%2e.", ".%2E", "%2e%2e", "%2e%2e%2e", "%2", "%2f", ".a", "a.", "..a", "", "%", "%2d", "\x00", "ü", "\n"]
    paths = ["/{}", "/{}/", "/a/{}/b", "/a/{}", "{}", "{}/", "\\{}", "/a\\{}", "/a\\{}\\b", "/{}\n", "/a/{}\n\n", "/{}\nb", "/{}x", "a{}/", "/{}//"]
    for segment, path in itertools.product(segments, paths):
        text = path.format(segment)
        # The key is made of the path as it came, so the same is stored for all of these.
        answer = finder.find({**plain, "path": text})
        assert (answer is not None) is is_plain_path(text), text


def test_hosts_are_those_of_the_keys(cache: SmartCache, finder: Any) -> None:
    hosts = [
        b"", b":", b":80", b"a", b"A.B", b"a:", b"a:80", b"a:443", b"a:8080", b"a:080", b"a:0", b"a:x", b"a:80:80", b"a b", b" a", b"a ", b"a\n", b"a/b", b"a?b",
        b"a#b", b"a@b", b"a,b", b"a%2e", b"[::1]", b"[::1]:80", b"[::1]:443", b"[::1]x", b"[::FFFF:1.2.3.4]", b"[", b"[]", b"[]:80", b"[::1", b"::1", b"[g]",
        b"a[::1]", b"\xff", b"a\0", b"_~.-", b"x" * 250, b"x" * 260, b"x" * 261, b"a:" + b"1" * 258, b"a:" + b"1" * 259,
    ]  # fmt: skip
    for host, scheme in itertools.product(hosts, ("http", "https")):
        cache.clear()
        scope = scope_of(headers=[(b"host", host)], scheme=scheme)
        request = Request("GET", scheme, host, "/items", b"/items", b"", [])
        store(cache, scope)
        is_ordinary = bool(authority(request)) and len(host) <= 260
        assert (finder.find(scope) is not None) is is_ordinary, (host, scheme)
    cache.clear()
    store(cache, scope_of())
    for headers in ([], [(b"host", b"example.org")] * 2, [(b"host", b"example.org"), (b"host", b"")], [(b"x-host", b"example.org")]):
        assert finder.find(scope_of(headers=headers)) is None


def test_long_parts_are_left_alone(cache: SmartCache, finder: Any) -> None:
    host = (b"host", b"example.org")
    # The number of the field and the length of its value are part of what is bounded.
    other = len(b"%d=500:" % POLICY.key_fields.index(b"x-part"))
    long: List[Tuple[Scope, bool]] = [
        (scope_of("/" + "a" * 1023), True), (scope_of("/" + "a" * 1024), False), (scope_of("/" + " " * 341), True), (scope_of("/" + " " * 342), False),
        (scope_of("/", b"a" * 1024), True), (scope_of("/", b"a" * 1025), False), (scope_of("/", b"\xff" * 341), True), (scope_of("/", b"\xff" * 342), False),
        (scope_of("/", b"a" * 1024 + b"&_=1"), True), (scope_of("/", b"&" * 63), True), (scope_of("/", b"&" * 64), False),
        (scope_of("/", b"_&" * 64), False), (scope_of("/", b"_=" + b"x" * 5000), True), (scope_of("/", b"a" * 600 + b"&" + b"b" * 423), True),
        (scope_of("/", b"a" * 600 + b"&" + b"b" * 424), False), (scope_of("/", b"a" * 1022 + b"&&"), True), (scope_of("/", b"a" * 1023 + b"&&"), False),
        (scope_of(headers=[host, (b"x-part", b"v" * (512 - other))]), True), (scope_of(headers=[host, (b"x-part", b"v" * (513 - other))]), False),
        (scope_of(headers=[host, (b"x-part", b" " * 600 + b"v" * (512 - other) + b" " * 600)]), True),
        (scope_of(headers=[host, (b"accept", b"v" * 600)]), False), (scope_of(headers=[host, *[(b"accept", b" ")] * 64]), True),
        (scope_of(headers=[host, *[(b"accept", b" ")] * 65]), False), (scope_of(headers=[host, *[(b"x-part", b"")] * 63]), True),
        (scope_of(headers=[host, *[(b"x-other", b"v" * 1000)] * 500]), True),
    ]  # fmt: skip
    for scope, is_ordinary in long:
        cache.clear()
        store(cache, scope)
        assert (finder.find(scope) is not None) is is_ordinary, (scope["path"][:20], scope["query_string"][:20], scope["headers"][-1])


def test_host_and_length_may_be_key_fields(cache: SmartCache) -> None:
    policy = policy_of(cache_headers=["host", "content-length", "range"])
    maker = KeyMaker(policy)
    for host, lengths in itertools.product((b"example.org", b"EXAMPLE.org:80"), ([], [b"0"], [b"0", b"0"])):
        fields = [(b"host", host), *((b"content-length", length) for length in lengths)]
        request = Request("GET", "http", host, "/items", b"/items", b"", fields)
        key = maker.primary(request, "GET", maker.url(request))
        cache.set(key, encode_response(response_of(body=key))[1:])
        finders = [kind(cache, policy.prefix, policy.key_fields, policy.ignored, b"catzilla", 1) for kind in KINDS]
        assert answers(cache, scope_of(headers=fields), finders)[1]["body"] == key
        assert answers(cache, scope_of(headers=[*fields, (b"range", b"bytes=0-")]), finders) is None


def test_a_long_prefix_leaves_all_requests_alone(cache: SmartCache) -> None:
    for kind, length in itertools.product(KINDS, (512, 513)):
        prefix = b"p" * length
        scope = scope_of()
        cache.set(key_of(scope).replace(POLICY.prefix, prefix), encode_response(response_of())[1:])
        finder = kind(cache, prefix, POLICY.key_fields, POLICY.ignored, b"catzilla", 3)
        assert (finder.find(scope) is not None) is (length == 512)


ODD: List[Any] = [
    None, 5, 1.5, True, "", "x", b"", b"x", bytearray(b"/items"), memoryview(b"/items"), [], (), {}, object(), "GET\ud800", "\ud800", type("T", (str,), {})("GET"),
    type("B", (bytes,), {})(b"/items"), [None], [()], [(b"host",)], [(b"host", b"a", b"b")], [b"ab"], ["ab"], [("host", "a")], [(b"host", "example.org")],
    [("host", b"example.org")], [(b"host", b"example.org"), None], [(b"host", b"example.org"), (b"a", None)], [(b"host", b"example.org"), (None, b"a")],
    {b"host": b"example.org"}, {(b"host", b"example.org")}, iter([(b"host", b"example.org")]), type("L", (list,), {})([(b"host", b"example.org")]),
    [type("P", (tuple,), {})((b"host", b"example.org"))], [(type("B", (bytes,), {})(b"host"), b"example.org")],
]  # fmt: skip


def test_scopes_that_no_server_makes_are_left_alone(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    for part, value in itertools.product(("type", "method", "scheme", "path", "raw_path", "query_string", "headers"), ODD):
        # Text that is a path, and bytes that are a query, are what they are.
        is_fine = (part == "path" and type(value) is str and value != "GET\ud800" and value != "\ud800") or (part == "query_string" and value == b"" and type(value) is bytes)
        assert (finder.find({**scope, part: value}) is not None) is is_fine, (part, value)
    for part in ("type", "method", "path", "raw_path", "headers"):
        assert finder.find({key: value for key, value in scope.items() if key != part}) is None
    strange: List[Any] = [*ODD, {}, type("D", (dict,), {})(scope), list(scope.items())]
    for value in strange:
        assert finder.find(value) is None
    for part in ("http_version", "asgi", "root_path", "client", "state", "extensions"):
        assert finder.find({**scope, part: object()}) is not None
    assert finder.find({**scope, 5: 1, None: 2, b"type": 3}) is not None


def test_fields_may_be_in_tuples_and_lists(cache: SmartCache) -> None:
    fields = [(b"host", b"example.org"), (b"accept", b"a"), (b"accept", b"b")]
    store(cache, scope_of(headers=fields))
    for headers in (fields, tuple(fields)):
        assert answers(cache, {**scope_of(), "headers": headers}) is not None
    for headers in ([list(field) for field in fields], tuple(list(field) for field in fields)):
        # Without the interpreter's lock the builtin reads only what nobody can change.
        found = [make(kind, cache).find({**scope_of(), "headers": headers}) is not None for kind in KINDS]
        assert found[0] is True and (found[-1] is True or "free-threading" in sys.version)


# ---- The same keys ----


def texts(alphabet: bytes, longest: int = 12) -> st.SearchStrategy[bytes]:
    """Bytes of which most are of an alphabet, and some any."""
    one = st.one_of(st.sampled_from([bytes([byte]) for byte in alphabet]), st.binary(min_size=1, max_size=1))
    return st.lists(one, max_size=longest).map(b"".join)


NAMES = [*POLICY.key_fields, b"cookie", b"user-agent", b"x", b"content-length"]
requests = st.fixed_dictionaries(
    {
        "host": st.sampled_from([b"example.org", b"EXAMPLE.org:80", b"a.example:443", b"[::1]:8000", b"x:", b"localhost"]),
        "scheme": st.sampled_from(["http", "https"]),
        "raw_path": st.one_of(texts(b"/ab%2e.?# ", 30).map(lambda rest: b"/" + rest), st.just(b""), texts(b"ab/")),
        "query": st.one_of(
            texts(b"&=ab_%+ "), st.lists(st.sampled_from([b"_=1", b"a=2", b"a=1", b"b", b"", b"timestamp=5", b"aa=0", b"a", b"=", b"c=%26"]), max_size=9).map(b"&".join)
        ),
        "headers": st.lists(
            st.tuples(st.sampled_from([name for name in NAMES if name not in REFUSED_FIELDS and name not in (b"host", b"content-length")]), texts(b"aA ,;=\t\x0b0", 20)), max_size=12
        ),
        "place": st.integers(0, 20),
    }
)  # fmt: skip


@given(request=requests, long=st.sampled_from([(), ("raw_path", 1000), ("query", 1000), ("headers", 500)]))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keys_are_those_of_all_requests(cache: SmartCache, request: Dict[str, Any], long: Any) -> None:
    if long and long[0] != "headers":
        request[long[0]] += b"x" * long[1]
    headers = [*request["headers"]]
    if long and long[0] == "headers":
        headers.append((b"x-part", b"x" * (long[1] - 60)))
    headers.insert(request["place"], (b"host", request["host"]))
    path = request["raw_path"].decode("utf-8", "replace")
    scope = scope_of(path, request["query"], headers, scheme=request["scheme"], raw_path=request["raw_path"])
    cache.clear()
    key = key_of(scope)
    store(cache, scope, body=key)
    answer = answers(cache, scope)
    # A hash stands behind such a byte: in the URL, which has none otherwise, or where the values of fields begin.
    url, _, fields = key[len(POLICY.prefix) + len(b"GET ") :].partition(b" ")
    is_short = b"\x01" not in url and not fields.startswith(b"\x01")
    if is_plain_path(path) and is_short and request["query"].count(b"&") < 64:
        assert answer is not None and answer[1]["body"] == key
    elif not is_plain_path(path) or request["query"].count(b"&") >= 64:
        assert answer is None


@given(data=st.data(), request=requests)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_requests_are_odd_to_both(cache: SmartCache, data: Any, request: Dict[str, Any]) -> None:
    headers = [(b"host", request["host"]), *request["headers"]]
    scope = scope_of("/items", request["query"], headers, scheme=request["scheme"])
    cache.clear()
    store(cache, scope)
    flaw = data.draw(st.sampled_from(["field", "part", "path", "host", "line", "name"]))
    if flaw == "field":
        field = data.draw(st.tuples(st.one_of(st.sampled_from(sorted(REFUSED_FIELDS)), st.sampled_from(NAMES), texts(b"abcX-")), texts(b"0x")))
        scope["headers"].insert(data.draw(st.integers(0, 9)), field)
    elif flaw == "part":
        part = data.draw(st.sampled_from(["type", "method", "scheme", "path", "raw_path", "query_string", "headers"]))
        if data.draw(st.booleans()):
            del scope[part]
        else:
            scope[part] = data.draw(st.one_of(st.none(), st.booleans(), st.integers(), st.binary(max_size=5), st.text(max_size=5), st.lists(st.binary(max_size=3), max_size=3)))
    elif flaw == "path":
        scope["path"] = data.draw(st.one_of(st.text(max_size=9), st.text(alphabet="/\\.%2eE\n", max_size=9)))
    elif flaw == "host":
        scope["headers"][0] = (b"host", data.draw(texts(b"a.:[]0 ", 9)))
    elif flaw == "line":
        scope["headers"].append(data.draw(st.one_of(st.none(), st.tuples(st.binary(max_size=3)), st.tuples(st.text(max_size=3), st.binary(max_size=3)))))
    else:
        name, value = data.draw(st.sampled_from(headers))
        scope["headers"][0] = (name.title(), value)
    answers(cache, scope)


def test_a_request_finds_no_answer_but_its_own(cache: SmartCache, finder: Any) -> None:
    host, accept = (b"host", b"example.org"), (b"accept", b"a")
    different = [
        scope_of(), scope_of(scheme="https"), scope_of("/items/"), scope_of("/Items"), scope_of("/items", b"a=1"), scope_of("/items", b"a=1&a=2"),
        scope_of("/items", b"a=2&a=1"), scope_of("/items?a=1"), scope_of("/items%3Fa=1"), scope_of(headers=[(b"host", b"example.org:8080")]),
        scope_of(headers=[(b"host", b"example.com")]), scope_of(headers=[host, accept]), scope_of(headers=[host, (b"accept", b"A")]),
        scope_of(headers=[host, (b"accept", b"")]), scope_of(headers=[host, accept, accept]), scope_of(headers=[host, (b"x-part", b"a, b")]),
        scope_of(headers=[host, (b"x-part", b"a,b")]), scope_of(headers=[host, (b"x-forwarded-host", b"evil.example")]),
        scope_of(headers=[host, (b"accept", b"a"), (b"x-part", b"b")]), scope_of(headers=[host, (b"accept", b"a,18=1:b")]),
    ]  # fmt: skip
    for number, scope in enumerate(different):
        store(cache, scope, body=b"%d" % number)
    for number, scope in enumerate(different):
        # A question mark within the path as it came is one of a server's that splits it otherwise: its key is that of the encoded one.
        expected = number if number != 7 else 8
        assert finder.find(scope)[1]["body"] == b"%d" % expected
    same = [scope_of(headers=[(b"host", b"EXAMPLE.ORG:80")]), scope_of("/items", b"_=5&timestamp=1"), scope_of(headers=[(b"cookie", b"a=1"), host])]
    for scope in same:
        assert finder.find(scope)[1]["body"] == b"0"


# ---- Damage ----


def test_damaged_bytes_are_no_answer_or_one_that_can_be_sent(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    whole = encode_response(response_of(tags=(b"one", b"two"), vary=(b"accept",)))
    for length in range(len(whole)):
        put(cache, scope, whole[:length])
        for _ in range(2):
            answer = finder.find(scope)
            if answer is not None:
                check_answer(answer)
    for at in range(len(whole)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            put(cache, scope, whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            for _ in range(3):
                answer = finder.find(scope)
                if answer is not None:
                    check_answer(answer)


def test_lengths_that_do_not_add_up_are_no_answer(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    whole = encode_response(response_of())
    fields_len, lines = int.from_bytes(whole[60:64], "little"), int.from_bytes(whole[56:60], "little")
    numbers = [0, 1, lines - 1, lines + 1, fields_len - 1, fields_len + 1, len(whole), 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 72]
    for at, number in itertools.product((56, 60, 74, 72 + 6 + 12 + 16 + 2), numbers):
        put(cache, scope, whole[:at] + number.to_bytes(4, "little") + whole[at + 4 :])
        assert finder.find(scope) is None or number == int.from_bytes(whole[at : at + 4], "little"), (at, number)
    # The length of the texts alone moves the body.
    for number in (2**31, 2**32 - 1, 2**32 - 72 - fields_len, len(whole)):
        put(cache, scope, whole[:64] + number.to_bytes(4, "little") + whole[68:])
        assert finder.find(scope) is None
    for end in range(72, 72 + fields_len):
        put(cache, scope, whole[:end])
        assert finder.find(scope) is None


def test_times_beyond_all_bounds_are_no_fault(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    whole = encode_response(response_of())
    for at, number in itertools.product((16, 24, 32), (0, 1, -1, 2**62, -(2**62), 2**63 - 1, -(2**63), -(2**63) + 1)):
        put(cache, scope, whole[:at] + number.to_bytes(8, "little", signed=True) + whole[at + 8 :])
        for _ in range(2):
            answer = finder.find(scope)
            if answer is not None:
                check_answer(answer)


# ---- Counting ----


def test_hits_are_counted_by_rule(cache: SmartCache, finder: Any) -> None:
    assert finder.counts() == [0, 0, 0]
    for rule, times in ((0, 3), (1, 1), (2, 5)):
        scope = scope_of(f"/{rule}")
        store(cache, scope, rule=rule)
        for _ in range(times):
            finder.find(scope)
    finder.find(scope_of("/absent"))
    finder.find(scope_of("/0", method="POST"))
    assert finder.counts() == [3, 1, 5]
    finder.forget()
    assert finder.counts() == [0, 0, 0]
    finder.find({**scope_of("/1"), "method": "HEAD"})
    assert finder.counts() == [0, 1, 0]


def test_threads_count_and_answer_as_one_would(cache: SmartCache, finder: Any) -> None:
    scopes = [scope_of(f"/items/{number}") for number in range(20)]
    for number, scope in enumerate(scopes):
        store(cache, scope, rule=number % 3, body=b"%d" % number)

    def work(thread: int) -> None:
        for turn in range(50):
            for number, scope in enumerate(scopes):
                start, body = finder.find(scope)
                assert body["body"] == b"%d" % number and start["headers"][: len(FIELDS)] == FIELDS
                start["headers"].clear()

    in_threads(4, work)
    assert finder.counts() == [4 * 50 * 7, 4 * 50 * 7, 4 * 50 * 6]


def test_threads_that_replace_and_close_meet_no_torn_answers(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    first, second = response_of(), response_of(status=404, fields=[(b"x", b"y")], body=b"other")
    store(cache, scope, first)

    def work(thread: int) -> None:
        for turn in range(300):
            if thread == 0:
                store(cache, scope, second if turn % 2 else first)
                if turn == 299:
                    cache.close()
                continue
            answer = finder.find(scope)
            if answer is not None:
                expected = first if answer[0]["status"] == 200 else second
                assert answer[0]["headers"][:-4] == expected.fields and answer[1]["body"] == expected.body

    in_threads(3, work)
    assert finder.find(scope) is None


# ---- The cache, and which finder ----


def test_a_closed_cache_has_no_answers(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    assert finder.find(scope) is not None
    cache.close()
    assert finder.find(scope) is None and finder.counts() == [1, 0, 0]
    with pytest.raises(CacheError, match="closed"):
        cache.get("key")


@pytest.mark.parametrize("kind", KINDS)
def test_a_finder_keeps_its_cache_and_both_go_together(kind: Any) -> None:
    scope = scope_of()
    cache = SmartCache()
    store(cache, scope)
    finder = make(kind, cache)
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is not None and finder.find(scope) is not None
    # A cache that refers to its finder.
    cell = [finder]
    gone().set_listener(lambda key, value, cause: cell)  # type: ignore[union-attr]
    del finder, cell
    gc.collect()
    assert gone() is None


@only_compiled
def test_the_builtin_checks_what_it_is_made_of(cache: SmartCache) -> None:
    fine = [cache, b"p", (b"accept",), frozenset([b"_"]), b"name", 1]
    kind = KINDS[1]
    kind(*fine)
    kind(*fine, takes_head=False)
    for place, wrong in ((0, None), (0, {}), (0, object()), (1, "p"), (1, None), (2, [b"accept"]), (2, ("accept",)), (2, (b"a", None)), (3, {b"_"}), (3, frozenset("_")), (4, "name"), (5, "1"), (5, None)):
        with pytest.raises(TypeError):
            kind(*[wrong if at == place else value for at, value in enumerate(fine)])
    for rules in (0, -1, 65537, 2**40):
        with pytest.raises(ValueError, match="rules"):
            kind(*fine[:5], rules)
    for arguments in ([], fine[:5], [*fine, True, 5]):
        with pytest.raises(TypeError):
            kind(*arguments)
    for _ in range(50):
        with pytest.raises(TypeError):
            kind(cache, b"p", (b"accept", "x"), frozenset([b"_"]), b"name", 1)
    assert kind(cache, b"", (), frozenset(), b"", 65536).counts() == [0] * 65536


@only_compiled
def test_finding_neither_loses_nor_keeps_references(cache: SmartCache) -> None:
    finder = make(KINDS[1], cache)
    scope, absent, odd = scope_of("/items", b"b=1&a=2"), scope_of("/absent"), scope_of(method="POST")
    big = scope_of("/big")
    store(cache, scope)
    store(cache, big, fields=FIELDS * 100)
    put(cache, absent, encode_response(response_of())[:-20])
    parts = [each for each in (*scope.values(), *scope["headers"], *scope["headers"][0], cache, finder, None, True, POLICY.prefix, POLICY.key_fields) if not isinstance(each, dict)]
    calls: List[Callable[[], object]] = [
        lambda: finder.find(scope), lambda: finder.find({**scope, "method": "HEAD"}), lambda: finder.find(absent), lambda: finder.find(odd),
        lambda: finder.find(big), lambda: finder.find(None), lambda: finder.counts(), lambda: finder.forget(), lambda: make(KINDS[1], cache),
    ]  # fmt: skip
    for call in calls:
        for _ in range(10):
            call()
        gc.collect()
        before, blocks = [sys.getrefcount(part) for part in parts], sys.getallocatedblocks()
        for _ in range(2000):
            call()
        grown = [now - then for now, then in zip([sys.getrefcount(part) for part in parts], before)]
        assert all(abs(each) < 50 for each in grown), (calls.index(call), grown)
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 500, calls.index(call)


def test_the_finder_is_the_builtin_where_there_is_one(cache: SmartCache) -> None:
    policy = policy_of(cache_rules={"/a": {"ttl": 5}}, cache_name="mine")
    finder = finder_for(cache, policy)
    assert type(finder) is KINDS[-1] and finder.counts() == [0, 0]
    scope = scope_of()
    cache.set(policy.prefix + b"GET http://example.org/items ", encode_response(response_of())[1:])
    answer = finder.find(scope)
    assert answer is not None and fields_of(answer)[b"cache-status"].startswith(b"mine; hit; ttl=")


def test_there_is_no_finder_for_what_it_does_not_know(cache: SmartCache) -> None:
    others: List[Dict[str, Any]] = [
        {"custom_key_generator": lambda request: "key"}, {"clock": lambda: 5.0}, {"cache_methods": ["HEAD"]}, {"cache_rules": {"/a": {"methods": ["HEAD"]}}},
    ]  # fmt: skip
    for parameters in others:
        policy = policy_of(**parameters)
        finder = finder_for(cache, policy)
        assert type(finder) is NoFinder and finder.find(scope_of()) is None and finder.counts() == [0] * len(policy.rules)
        finder.forget()
    for parameters in ({"cache_methods": ["GET"]}, {"cache_rules": {"/a": {"methods": ["GET"]}}}):
        policy = policy_of(**parameters)
        finder, scope = finder_for(cache, policy), scope_of()
        cache.set(policy.prefix + b"GET http://example.org/items ", encode_response(response_of())[1:])
        assert finder.find(scope) is not None and finder.find({**scope, "method": "HEAD"}) is None
    assert RedisCache._has_memory is False
