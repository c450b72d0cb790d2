"""The shortest way for WSGI: which environments it takes, what it answers, and what the middleware makes of that."""

from __future__ import annotations

import gc
import sys
from typing import Any, Dict, List
from wsgiref.validate import validator

from catzilla_cache._backend import backend
from catzilla_cache.cache_middleware import WSGICacheMiddleware
from catzilla_cache.http.finder import NoFinder
from catzilla_cache.http.ordinary import REFUSED_FIELDS
from catzilla_cache.http.stored import encode_response
from catzilla_cache.http.wsgi_messages import status_line
from catzilla_cache.smart_cache import SmartCache
from http_scopes import (
    FIELDS,
    KINDS,
    answers_to_environ,
    each_finder,
    environ_of,
    make,
    only_compiled,
    put,
    response_of,
    scope_of,
    store,
)
from in_threads import in_threads
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory", "each_finder"]

TEXT = [(name.decode(), value.decode()) for name, value in FIELDS]


# ---- Answers ----


def test_an_answer_is_a_status_line_fields_as_text_and_a_body(cache: SmartCache, finder: Any) -> None:
    environ = environ_of(scope_of())
    for status, body in ((200, b"a body"), (404, b""), (599, b"x" * 100_000)):
        store(cache, scope_of(), status=status, body=body)
        for _ in range(3):
            line, fields, found = finder.find_environ(environ)
            assert line == status_line(status) and found == body and fields[:-4] == TEXT
            assert [name for name, _ in fields[-4:]] == ["age", "x-cache", "x-cache-time", "cache-status"]
            assert fields[-4][1].isdigit() and fields[-3][1] == "HIT" and fields[-1][1].startswith("catzilla; hit; ttl=")
            assert all(type(part) is str for field in fields for part in field) and type(fields) is list and type(line) is str
            fields.clear()
            answer = finder.find(scope_of())
            assert answer[0]["headers"][:-4] == FIELDS
    assert finder.counts() == [18, 0, 0]
    assert finder.find_environ({**environ, "REQUEST_METHOD": "HEAD"})[2] == b""
    assert make(type(finder), cache, takes_head=False).find_environ({**environ, "REQUEST_METHOD": "HEAD"}) is None


def test_the_client_is_told_what_it_has_already(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    for _ in range(3):
        line, fields, body = finder.find_environ(environ_of(scope_of(), HTTP_IF_NONE_MATCH='"x", W/"a-tag"'))
        assert line == "304 Not Modified" and body == b"" and fields[:-4] == TEXT[1:]
        assert finder.find_environ(environ_of(scope_of(), HTTP_IF_NONE_MATCH='"x"'))[2] == b"a body"
        assert finder.find_environ(environ_of(scope_of()))[0] == "200 OK"
    assert finder.not_modified() == 3 and finder.counts()[0] == 9
    assert finder.find_environ(environ_of(scope_of(), HTTP_IF_NONE_MATCH="x")) is None


def test_fields_that_are_no_ascii_or_for_servers_alone_are_as_the_long_way_sends_them(cache: SmartCache, finder: Any) -> None:
    fields = [(b"x-\xff", b"\xe4\x80"), (b"connection", b"close"), (b"x", b"\x01"), (b"te", b"a"), (b"upgrade", b"b")]
    store(cache, scope_of(), fields=fields)
    for _ in range(3):
        assert finder.find_environ(environ_of(scope_of()))[1][:-4] == [("x-\xff", "\xe4\x80"), ("x", "\x01")]


def test_damaged_bytes_are_no_answer(cache: SmartCache, finder: Any) -> None:
    environ = environ_of(scope_of(), HTTP_IF_NONE_MATCH='"a-tag"')
    whole = encode_response(response_of())
    for at in range(len(whole)):
        for changed in (whole[:at], whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]):
            put(cache, scope_of(), changed)
            for asked in (environ, {**environ, "HTTP_IF_NONE_MATCH": '"x"'}):
                answer = finder.find_environ(asked)
                assert answer is None or (len(answer) == 3 and answer[0][:3].isdigit())


# ---- Which environments ----


def test_environments_that_ask_for_more_are_left_alone(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    plain = environ_of(scope_of())
    assert finder.find_environ(plain) is not None
    for name in sorted(REFUSED_FIELDS):
        variable = "HTTP_" + name.decode().upper().replace("-", "_")
        for value in ("", "x", "no-cache"):
            assert finder.find_environ({**plain, variable: value}) is None and finder.find_environ({variable: value, **plain}) is None
    odd: List[Dict[Any, Any]] = [
        {"CONTENT_LENGTH": "1"}, {"CONTENT_LENGTH": "00"}, {"CONTENT_LENGTH": "-1"}, {"HTTP_X-PART": "a"}, {"HTTP_x": "a"}, {"HTTP_\xe9": "a"}, {5: "a"}, {"\ud800": "a"},
        {"HTTP_ACCEPT": "\xe9"}, {"HTTP_ACCEPT": b"a"}, {"HTTP_HOST": None}, {"HTTP_HOST": b"example.org"}, {"HTTP_HOST": "\u20ac"}, {"REQUEST_METHOD": "POST"},
        {"REQUEST_METHOD": b"GET"}, {"REQUEST_METHOD": "get"}, {"wsgi.url_scheme": "HTTP"}, {"wsgi.url_scheme": None}, {"QUERY_STRING": None}, {"QUERY_STRING": "\xe9"},
        {"PATH_INFO": None}, {"SCRIPT_NAME": b""}, {"PATH_INFO": "/items\u20ac"}, {"PATH_INFO": "/items\ud800"}, {"PATH_INFO": "/.."}, {"PATH_INFO": "/%2e"}, {"PATH_INFO": ""},
        {"REQUEST_URI": ""}, {"REQUEST_URI": None}, {"REQUEST_URI": b"/items"}, {"REQUEST_URI": "http://example.org/items"}, {"RAW_URI": "/items\xe9"}, {"RAW_URI": "*"},
    ]  # fmt: skip
    for change in odd:
        assert finder.find_environ({**plain, **change}) is None, change
    for missing in ("REQUEST_METHOD", "HTTP_HOST", "PATH_INFO"):
        assert finder.find_environ({key: value for key, value in plain.items() if key != missing}) is None
    fine: List[Dict[str, Any]] = [
        {"CONTENT_LENGTH": "0"}, {"CONTENT_TYPE": "text/plain"}, {"HTTP_CONTENT_LENGTH": "5"}, {"HTTP_COOKIE": "\xe9"}, {"x": None}, {"http_range": "a"}, {"\xe9": 5},
        {"HTTP_ACCEPT_CHARSE": "\u20ac"}, {"RAW_URI": "/items?x", "REQUEST_URI": "/other"}, {"REQUEST_URI": "/items#x?y"}, {"HTTP_": "x"},
    ]  # fmt: skip
    for change in fine:
        assert finder.find_environ({**plain, **change}) is not None, change
    for missing in ("SCRIPT_NAME", "QUERY_STRING", "wsgi.url_scheme", "CONTENT_LENGTH", "CONTENT_TYPE"):
        assert finder.find_environ({key: value for key, value in plain.items() if key != missing}) is not None
    others: List[Any] = [None, 5, [], "x", type("D", (dict,), {})(plain)]
    for other in others:
        assert finder.find_environ(other) is None


def test_the_path_is_the_one_that_came_where_the_server_tells_that_of_the_applications(cache: SmartCache) -> None:
    finders = [make(kind, cache) for kind in KINDS]
    raw_paths = [b"/a%20b", b"/%C3%BC", b"/\xc3\xbc", b"/a%2Fb", b"/%61", b"/a%zz", b"/a%", b"/a%2", b"/a:@!$&'()*+,;=~_.-", b"/a|b", b'/a"b', b"/" + b"a" * 1023, b"/" + b"a" * 1024]
    for raw_path in raw_paths:
        for tells in ("", "REQUEST_URI", "RAW_URI"):
            cache.clear()
            scope = scope_of(raw_path=raw_path)
            store(cache, scope)
            answer = answers_to_environ(cache, environ_of(scope, tells), finders)
            is_plain = raw_path in (b"/a:@!$&'()*+,;=~_.-", b"/" + b"a" * 1023)
            is_ascii = raw_path.isascii() and len(raw_path) <= 1024
            assert (answer is not None) is (is_plain or (bool(tells) and is_ascii)), (raw_path, tells)
    cache.clear()
    store(cache, scope_of(raw_path=b"/app/%C3%BC"))
    mounted = environ_of(scope_of(raw_path=b"/%C3%BC"), "REQUEST_URI", "/app")
    assert mounted["SCRIPT_NAME"] == "/app" and answers_to_environ(cache, mounted, finders) is not None
    # Somebody between has rewritten the path: what the server tells of is another page's.
    assert answers_to_environ(cache, {**mounted, "PATH_INFO": "/other"}, finders) is None
    store(cache, scope_of(raw_path=b"/app/other"))
    assert answers_to_environ(cache, {**mounted, "PATH_INFO": "/other"}, finders) is not None


def test_fields_of_the_body_may_be_key_fields(cache: SmartCache) -> None:
    fields = (b"content-length", b"content-type", b"x-part", b"x_part")
    finders = [kind(cache, b"p:", fields, frozenset(), b"catzilla", 1) for kind in KINDS]
    for change, key in (
        ({}, b""),
        ({"CONTENT_LENGTH": "0"}, b"0=1:0"),
        ({"CONTENT_TYPE": "a"}, b"1=1:a"),
        ({"CONTENT_TYPE": "a", "HTTP_X_PART": "b"}, b"1=1:a,2=1:b"),
        ({"HTTP_CONTENT_TYPE": "a"}, b""),
    ):
        cache.clear()
        assert backend.put(cache._live(), b"p:GET /items http://example.org " + key, encode_response(response_of()), 0) == 0
        assert answers_to_environ(cache, environ_of(scope_of(), **change), finders) is not None, change


@only_compiled
def test_finding_neither_loses_nor_keeps_references(cache: SmartCache) -> None:
    finder = make(KINDS[1], cache)
    environ = environ_of(scope_of("/items", b"b=1"), "RAW_URI")
    conditional, absent = {**environ, "HTTP_IF_NONE_MATCH": '"a-tag"'}, environ_of(scope_of("/absent"))
    odd = {**environ, "HTTP_HOST": "\xe9"}
    store(cache, scope_of("/items", b"b=1"))
    parts = [each for environment in (environ, conditional) for pair in environment.items() for each in pair] + [cache, finder]
    for asked in (environ, conditional, absent, odd, None, {"a\udc80": 1}):
        for _ in range(10):
            finder.find_environ(asked)
        gc.collect()
        before, blocks = [sys.getrefcount(part) for part in parts], sys.getallocatedblocks()
        for _ in range(2000):
            finder.find_environ(asked)
        grown = [now - then for now, then in zip([sys.getrefcount(part) for part in parts], before)]
        assert all(abs(each) < 50 for each in grown), grown
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 500


def test_threads_are_answered_as_one_would_be(cache: SmartCache, finder: Any) -> None:
    scopes = [scope_of(f"/items/{number}") for number in range(20)]
    for number, scope in enumerate(scopes):
        store(cache, scope, body=b"%d" % number)

    def work(thread: int) -> None:
        environs = [environ_of(scope) for scope in scopes]
        for _ in range(50):
            for number, environ in enumerate(environs):
                line, fields, body = finder.find_environ(environ)
                assert body == b"%d" % number and fields[: len(TEXT)] == TEXT and line == "200 OK"
                assert finder.find_environ({**environ, "HTTP_IF_NONE_MATCH": "*"})[0] == "304 Not Modified"
                fields.clear()

    in_threads(4, work)
    assert finder.counts() == [2 * 4 * 50 * 20, 0, 0] and finder.not_modified() == 4 * 50 * 20


def test_what_has_no_finder_finds_nothing() -> None:
    none = NoFinder(3)
    assert none.find_environ(environ_of(scope_of())) is None and none.not_modified() == 0


# ---- The middleware ----


def test_the_middleware_answers_servers_as_they_expect() -> None:
    calls: List[str] = []

    def application(environ: Dict[str, Any], start_response: Any) -> Any:
        calls.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain"), ("ETag", '"a-tag"'), ("Content-Length", "6"), ("Cache-Control", "max-age=60")])
        return [b"a body"]

    def ask(**more: Any) -> Any:
        said: List[Any] = []
        answer: Any = checked(environ_of(scope_of(), **more), lambda *arguments: said.append(arguments))
        body = b"".join(answer)
        answer.close()
        assert len(said) == 1
        return said[0][0], dict(said[0][1]), body

    def environment(environ: Dict[str, Any]) -> Dict[str, Any]:
        class Errors:
            def flush(self) -> None: ...
            def write(self, text: str) -> None: ...
            def writelines(self, lines: Any) -> None: ...

        return {**environ, "wsgi.errors": Errors(), "wsgi.multiprocess": False, "wsgi.run_once": False, "CONTENT_LENGTH": "0"}

    with SmartCache() as cache:
        middleware = WSGICacheMiddleware(application, cache_instance=cache)
        checker: Any = validator(middleware)
        checked = lambda environ, start_response: checker(environment(environ), lambda line, fields, *more: start_response(line, fields))  # noqa: E731
        assert ask()[2] == b"a body"
        line, fields, body = ask()
        assert (line, body, fields["x-cache"]) == ("200 OK", b"a body", "HIT")
        line, fields, body = ask(REQUEST_METHOD="HEAD")
        assert (line, body, fields["content-length"]) == ("200 OK", b"", "6")
        line, fields, body = ask(HTTP_IF_NONE_MATCH='"a-tag"')
        assert (line, body, fields["etag"]) == ("304 Not Modified", b"", '"a-tag"') and "content-type" not in fields
        assert calls == ["/items"]
        assert middleware._finder.counts() == [3] and middleware._finder.not_modified() == 1
        stats = middleware.get_stats()
        assert stats["middleware_stats"]["total_requests"] == 4 and stats["middleware_stats"]["cache_hits"] == 3
        assert stats["http_stats"]["not_modified"] == 1
