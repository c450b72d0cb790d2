"""The caching proxy of the examples, between real sockets: what it passes on is what came, with the cache and without it.

The upstream and the clients here speak in bytes of their own, so that nothing between them puts anything right.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from typing import Iterator, List

import pytest

from interpreter import PYTHON_PATH
from proxy_example import EXAMPLE, Proxy, running
from raw_http import OK, PATIENCE_SECONDS, Incoming, Upstream, Wire, running_upstream
from redis_server import free_port
from test_examples import promised

BOTH_WAYS = pytest.mark.parametrize("options", [["--pass-through"], []], ids=["passing", "caching"])


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def passing(upstream: Upstream) -> Iterator[Proxy]:
    with running(upstream.url, ["--pass-through"]) as proxy:
        yield proxy


def test_it_prints_what_its_head_says(upstream: Upstream) -> None:
    with running(upstream.url, []) as proxy:
        expected = promised("caching_proxy").replace("127.0.0.1:8080", f"127.0.0.1:{proxy.port}")
        assert proxy.printed == expected.replace("http://127.0.0.1:8000", upstream.url)


@BOTH_WAYS
def test_every_method_goes_through_with_its_body(upstream: Upstream, options: List[str]) -> None:
    methods = b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH PURGE M-SEARCH"
    with running(upstream.url, options) as proxy:
        for method in methods.split():
            body = b"" if method in (b"GET", b"HEAD", b"TRACE") else b"a body of " + method
            length = b"Content-Length: %d\r\n" % len(body) if body else b""
            wire = proxy.connect()
            wire.send(method + b" /thing HTTP/1.1\r\nHost: shop.example\r\n" + length + b"\r\n" + body)
            answer = wire.response(method)
            wire.close()
            assert (answer.status, answer.one(b"content-length")) == (200, b"2"), method
            assert answer.body == (b"" if method == b"HEAD" else b"ok")
            assert upstream.last.line == method + b" /thing HTTP/1.1"
            assert upstream.last.body == body


@BOTH_WAYS
def test_the_name_of_a_method_goes_through_as_it_was_written(upstream: Upstream, options: List[str]) -> None:
    with running(upstream.url, options) as proxy:
        answer = proxy.ask(b"Frobnicate /thing HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    # One of the two parsers that the server may have knows no other methods than it has in a list.
    assert answer.status == 400 and not upstream.seen or upstream.last.line == b"Frobnicate /thing HTTP/1.1"


@BOTH_WAYS
def test_every_status_goes_through(upstream: Upstream, options: List[str]) -> None:
    with running(upstream.url, options) as proxy:
        wire = proxy.connect()
        for status in range(200, 600):
            has_body = status not in (204, 304)
            # Of what would have been sent; the length of a body that is not there is none.
            upstream.answers[f"/{status}"] = b"HTTP/1.1 %d Odd\r\nContent-Length: 2\r\n\r\n%s" % (status, b"ok" if has_body else b"")
            # On one connection: a body that is not meant to be there would be taken for the next response.
            wire.send(b"GET /%d HTTP/1.1\r\nHost: shop.example\r\n\r\n" % status)
            answer = wire.response()
            assert (answer.status, answer.body) == (status, b"ok" if has_body else b"")
            assert answer.one(b"content-length") == (b"2" if has_body else None)
        wire.close()


def test_a_status_that_the_server_cannot_write_is_a_bad_gateway(upstream: Upstream, passing: Proxy) -> None:
    upstream.answers["/odd"] = b"HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nok"
    assert passing.get("/odd").status == 502


@BOTH_WAYS
def test_the_fields_of_a_response_are_passed_on_byte_for_byte(upstream: Upstream, options: List[str]) -> None:
    fields = [
        (b"date", b"Sat, 21 Nov 2026 10:00:00 GMT"),
        (b"set-cookie", b"a=1; Path=/"),
        (b"x-twice", b"one"),
        (b"set-cookie", b"b=2; Path=/; Expires=Wed, 21 Oct 2099 07:28:00 GMT"),
        (b"x-twice", b"two, three"),
        (b"x-latin", b"caf\xe9 \xff\x80"),
        (b"x-empty", b""),
        (b"x_under.dot!#$%&'*+^`|~1", b"odd name"),
        (b"x-long", b"x" * 20_000),
        (b"server", b"of the test"),
        (b"content-length", b"2"),
    ]
    written = b"".join(name.upper() + b": " + value + b"\r\n" for name, value in fields)
    upstream.answers["/fields"] = b"HTTP/1.1 200 OK\r\n" + written + b"\r\nok"
    with running(upstream.url, options) as proxy:
        answer = proxy.get("/fields")
    assert [(name, value) for name, value in answer.fields if name not in (b"x-cache", b"cache-status")] == [
        *fields,
        (b"via", b"1.1 catzilla-cache"),
    ]


@BOTH_WAYS
def test_the_fields_of_a_request_are_passed_on_byte_for_byte(upstream: Upstream, options: List[str]) -> None:
    fields = [
        (b"host", b"shop.example:8080"),
        (b"x-twice", b"one"),
        (b"cookie", b'a="1"; b=2'),
        (b"x-twice", b"two, three"),
        (b"x-latin", b"caf\xe9 \xff\x80"),
        (b"x-empty", b""),
        (b"x_under.dot!#$%&'*+^`|~1", b"odd name"),
        (b"accept-encoding", b"br;q=0.5,  gzip"),
        (b"via", b"1.0 somebody (a comment)"),
    ]
    written = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    with running(upstream.url, options) as proxy:
        assert proxy.ask(b"GET /fields HTTP/1.1\r\n" + written + b"\r\n").status == 200
    # Nothing of the client library's own: no User-Agent, no Accept.
    assert upstream.last.fields == [*fields, (b"via", b"1.1 catzilla-cache")]


@BOTH_WAYS
def test_the_target_is_passed_on_byte_for_byte(upstream: Upstream, options: List[str]) -> None:
    targets = ["/a%2Fb;p=1//x%7e?b=2&a=%7E&a=1&&=", "/caf%C3%A9%", "/?", "//double", "/a/%2e%2e/b?q=%00", "/p?x=[1]|{2}'\"^`"]
    with running(upstream.url, options) as proxy:
        for target in targets:
            # Some are refused by the one or the other parser of the server, which the proxy has no hand in.
            if proxy.get(target).status == 200:
                assert upstream.last.line == b"GET %s HTTP/1.1" % target.rstrip("?").encode()
    assert len(upstream.seen) >= 4


def test_what_is_about_one_connection_is_not_passed_on(upstream: Upstream, passing: Proxy) -> None:
    upstream.answers["/hops"] = (
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nConnection: x-other\r\nX-Other: 2\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Connection: keep-alive\r\nTrailer: X-Sum\r\nUpgrade: h2c\r\nX-Stays: 3\r\nContent-Length: 2\r\n\r\nok"
    )
    answer = passing.get(
        "/hops",
        b"Connection: X-Mine, TE, host, content-length",
        b"X-Mine: 1",
        b"TE: trailers",
        b"Keep-Alive: timeout=9",
        b"Proxy-Connection: keep-alive",
        b"X-Stays: 3",
    )
    names = {name for name, _ in answer.fields}
    assert names == {b"x-stays", b"content-length", b"date", b"via"}
    # The last two cannot be taken away: they say what is asked, and how long it is.
    assert upstream.last.fields == [(b"host", b"shop.example"), (b"x-stays", b"3"), (b"via", b"1.1 catzilla-cache")]


def test_a_request_to_change_the_protocol_is_answered_in_this_one(upstream: Upstream, passing: Proxy) -> None:
    answer = passing.get("/socket", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    assert answer.status == 200
    assert upstream.last.one(b"upgrade") is None and upstream.last.one(b"connection") is None


def test_the_upstream_is_told_its_own_name_when_that_is_wanted(upstream: Upstream) -> None:
    with running(upstream.url, ["--pass-through", "--upstream-host"]) as proxy:
        proxy.get("/")
    assert upstream.last.all(b"host") == [b"127.0.0.1:%d" % upstream.port]


def test_the_upstream_may_begin_at_a_path(upstream: Upstream) -> None:
    with running(upstream.url + "/base/", ["--pass-through"]) as proxy:
        proxy.get("/thing?q=1")
    assert upstream.last.line == b"GET /base/thing?q=1 HTTP/1.1"


def test_a_target_in_absolute_form_is_asked_for_as_a_path(upstream: Upstream, passing: Proxy) -> None:
    answer = passing.ask(b"GET http://shop.example/a%2Fb?q=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
    assert answer.status == 200
    assert upstream.last.line == b"GET /a%2Fb?q=1 HTTP/1.1"
    assert upstream.last.all(b"host") == [b"shop.example"]


def test_no_tunnels_are_opened(upstream: Upstream, passing: Proxy) -> None:
    assert passing.ask(b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example:443\r\n\r\n").status in (400, 501)
    assert upstream.seen == []


def test_the_last_on_the_way_answers_itself(upstream: Upstream, passing: Proxy) -> None:
    head = b"OPTIONS /thing HTTP/1.1\r\nHost: shop.example\r\nMax-Forwards: "
    assert passing.ask(head + b"0\r\n\r\n").status == 204
    assert passing.ask(head.replace(b"OPTIONS", b"TRACE") + b"0\r\n\r\n").status == 501
    assert upstream.seen == []
    assert passing.ask(head + b"2\r\n\r\n").status == 200
    assert upstream.last.one(b"max-forwards") == b"1"


def test_a_body_reaches_the_upstream_before_it_is_complete(upstream: Upstream, passing: Proxy) -> None:
    first_part = threading.Event()

    def answer(wire: Wire, request: Incoming) -> None:
        assert wire.chunk() == b"one"
        first_part.set()
        request.body = b"one" + b"".join(iter(wire.chunk, b""))
        wire.send(OK)

    upstream.answers["/upload"] = answer
    wire = passing.connect()
    wire.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    assert first_part.wait(PATIENCE_SECONDS)
    wire.send(b"3\r\ntwo\r\n0\r\nX-Trailer: not passed on\r\n\r\n")
    assert wire.response().body == b"ok"
    wire.close()
    assert upstream.last.body == b"onetwo"


@BOTH_WAYS
def test_a_body_reaches_the_client_before_it_is_complete(upstream: Upstream, options: List[str]) -> None:
    is_read = threading.Event()

    def answer(wire: Wire, request: Incoming) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        assert is_read.wait(PATIENCE_SECONDS)
        wire.send(b"3\r\ntwo\r\n0\r\nX-Trailer: not passed on\r\n\r\n")

    upstream.answers["/download"] = answer
    with running(upstream.url, options) as proxy:
        wire = proxy.connect()
        wire.send(b"GET /download HTTP/1.1\r\nHost: a\r\n\r\n")
        head = wire.head()
        assert head is not None and head.one(b"transfer-encoding") == b"chunked"
        assert wire.chunk() == b"one"
        is_read.set()
        assert wire.chunk() == b"two" and wire.chunk() == b""
        wire.close()


def test_a_long_body_arrives_whole_in_both_directions(upstream: Upstream, passing: Proxy) -> None:
    body = bytes(range(256)) * 40_000

    def echo(wire: Wire, request: Incoming) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + wire.body_of(request))

    upstream.answers["/echo"] = echo
    wire = passing.connect()
    wire.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
    wire.send(body)
    assert wire.response().body == body
    wire.close()


@BOTH_WAYS
def test_a_body_is_not_decoded(upstream: Upstream, options: List[str]) -> None:
    upstream.answers["/gzip"] = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/plain; charset=utf-16\r\nContent-Length: 8\r\n\r\nnot gzip"
    )
    with running(upstream.url, options) as proxy:
        answer = proxy.get("/gzip")
    assert (answer.one(b"content-encoding"), answer.body) == (b"gzip", b"not gzip")


def test_a_body_that_ends_with_the_connection_arrives_whole(upstream: Upstream, passing: Proxy) -> None:
    def answer(wire: Wire, request: Incoming) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        wire.close()

    upstream.answers["/"] = answer
    assert passing.get("/").body == b"until the end"


@BOTH_WAYS
def test_the_answer_to_head_says_the_length_and_has_no_body(upstream: Upstream, options: List[str]) -> None:
    upstream.answers["/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    with running(upstream.url, options) as proxy:
        wire = proxy.connect()
        for _ in range(2):
            wire.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert wire.response(b"HEAD").one(b"content-length") == b"1234"
        wire.close()


def test_an_expectation_is_fulfilled_here(upstream: Upstream, passing: Proxy) -> None:
    wire = passing.connect()
    wire.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    go_on = wire.head()
    assert go_on is not None and go_on.status == 100
    wire.send(b"body")
    assert wire.response().status == 200
    wire.close()
    assert upstream.last.body == b"body" and upstream.last.one(b"expect") is None


def test_whoever_expects_and_cannot_be_served_is_not_asked_for_the_body() -> None:
    with running(f"http://127.0.0.1:{free_port()}", ["--pass-through"]) as proxy:
        answer = proxy.ask(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert answer.status == 502


@BOTH_WAYS
def test_an_upstream_that_cannot_be_reached_is_a_bad_gateway(options: List[str]) -> None:
    with running(f"http://127.0.0.1:{free_port()}", options) as proxy:
        answer = proxy.get("/")
    assert (answer.status, answer.one(b"cache-control")) == (502, b"no-store")


@BOTH_WAYS
@pytest.mark.parametrize("answer", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n"], ids=["none", "other", "control"])
def test_an_upstream_that_does_not_speak_is_a_bad_gateway(upstream: Upstream, options: List[str], answer: bytes) -> None:
    def nonsense(wire: Wire, request: Incoming) -> None:
        wire.send(answer)
        wire.close()

    upstream.answers["/"] = nonsense
    with running(upstream.url, options) as proxy:
        assert proxy.get("/").status == 502


@BOTH_WAYS
def test_an_upstream_that_takes_too_long_is_a_gateway_timeout(upstream: Upstream, options: List[str]) -> None:
    is_over = threading.Event()
    upstream.answers["/"] = lambda wire, request: (is_over.wait(PATIENCE_SECONDS), None)[1]
    with running(upstream.url, [*options, "--timeout", "0.2"]) as proxy:
        assert proxy.get("/").status == 504
    is_over.set()


HALVES = {
    "by length": (b"Content-Length: 100\r\n\r\nhalf of it", b"half of it"),
    "in chunks": (b"Transfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n", b"a\r\nhalf of it\r\n"),
}


@BOTH_WAYS
@pytest.mark.parametrize("framing", HALVES)
def test_a_response_that_breaks_off_is_broken_off_for_the_client(upstream: Upstream, options: List[str], framing: str) -> None:
    half, received = HALVES[framing]

    def answer(wire: Wire, request: Incoming) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" + half)
        wire.close()

    upstream.answers["/"] = answer
    with running(upstream.url, options) as proxy:
        for asked in (1, 2):
            wire = proxy.connect()
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert wire.head() is not None
            # Until the connection ends: the last chunk does not come.
            assert wire.file.read() == received
            wire.close()
            assert len(upstream.seen) == asked, "half a response was stored"


def test_the_upstream_is_let_go_when_the_client_leaves(upstream: Upstream, passing: Proxy) -> None:
    is_asked, is_let_go = threading.Event(), threading.Event()

    def answer(wire: Wire, request: Incoming) -> None:
        is_asked.set()
        if wire.is_closed_by_the_other():
            is_let_go.set()

    upstream.answers["/"] = answer
    wire = passing.connect()
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert is_asked.wait(PATIENCE_SECONDS)
    wire.close()
    assert is_let_go.wait(PATIENCE_SECONDS)
    # And nothing is broken by it.
    assert passing.get("/other").status == 200


def test_the_upstream_is_let_go_when_the_client_leaves_within_its_body(upstream: Upstream, passing: Proxy) -> None:
    is_asked, is_let_go = threading.Event(), threading.Event()

    def answer(wire: Wire, request: Incoming) -> None:
        is_asked.set()
        assert wire.chunk() == b"one"
        if wire.is_closed_by_the_other():
            is_let_go.set()

    upstream.answers["/"] = answer
    wire = passing.connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    assert is_asked.wait(PATIENCE_SECONDS)
    wire.close()
    assert is_let_go.wait(PATIENCE_SECONDS)


def test_a_date_is_added_where_the_upstream_has_none(upstream: Upstream, passing: Proxy) -> None:
    date = passing.get("/").one(b"date")
    assert date is not None and re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)


def test_connections_to_the_upstream_are_used_again(upstream: Upstream, passing: Proxy) -> None:
    for _ in range(5):
        assert passing.get("/").status == 200
    assert (len(upstream.wires), len(upstream.seen)) == (1, 5)


def test_one_upstream_is_what_it_wants() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "ftp://example", "--pass-through"],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode != 0 and "the upstream is an http:// or https:// URL, not 'ftp://example'" in done.stderr
