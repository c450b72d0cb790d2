"""The caching proxy of the examples, between real sockets: what may be stored is asked for once, the rest each time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Iterator, List

import pytest

from proxy_example import Proxy, running
from raw_http import Incoming, Upstream, Wire, running_upstream
from redis_server import RedisServer


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def caching(upstream: Upstream) -> Iterator[Proxy]:
    with running(upstream.url, []) as proxy:
        yield proxy


def fresh(*fields: bytes, body: bytes = b"ok") -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Cache-Control: max-age=1000", b"Content-Length: %d" % len(body), *fields, b"", body]
    return b"\r\n".join(lines)


def test_what_is_fresh_is_asked_for_once(upstream: Upstream, caching: Proxy) -> None:
    body = bytes(range(256))
    upstream.answers["/"] = fresh(b"Link: </a>", b"Link: </b>", b"X-Latin: caf\xe9", b"Content-Encoding: odd", body=body)
    answers = [caching.get("/?a=%7e") for _ in range(3)]
    assert [answer.one(b"x-cache") for answer in answers] == [b"MISS", b"HIT", b"HIT"]
    for answer in answers:
        assert (answer.status, answer.body) == (200, body)
        assert (answer.all(b"link"), answer.one(b"x-latin"), answer.one(b"content-encoding")) == ([b"</a>", b"</b>"], b"caf\xe9", b"odd")
    assert len(upstream.seen) == 1


def test_many_who_ask_at_the_same_time_reach_the_upstream_once(upstream: Upstream, caching: Proxy) -> None:
    bodies: List[bytes] = []

    def answer(wire: Wire, request: Incoming) -> None:
        wire.send(fresh(body=b"number %d" % len(upstream.seen)))

    upstream.answers["/"] = answer
    threads = [threading.Thread(target=lambda: bodies.append(caching.get("/").body)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (bodies, len(upstream.seen)) == ([b"number 1"] * 20, 1)


def test_what_does_not_say_how_long_it_is_fresh_is_not_stored_unless_that_is_wanted(upstream: Upstream, caching: Proxy) -> None:
    for _ in range(2):
        assert caching.get("/").body == b"ok"
    assert len(upstream.seen) == 2
    with running(upstream.url, ["--default-ttl", "1000"]) as proxy:
        assert [proxy.get("/").one(b"x-cache") for _ in range(2)] == [b"MISS", b"HIT"]


def test_hosts_queries_and_languages_have_responses_of_their_own(upstream: Upstream, caching: Proxy) -> None:
    upstream.answers["/"] = lambda wire, request: wire.send(fresh(b"Vary: Accept-Language", body=b"number %d" % len(upstream.seen)))

    def asked(host: bytes, query: bytes, language: bytes) -> bytes:
        return caching.ask(b"GET /?%s HTTP/1.1\r\nHost: %s\r\nAccept-Language: %s\r\n\r\n" % (query, host, language)).body

    requests = [(b"a", b"_=1", b"de"), (b"b", b"_=1", b"de"), (b"a", b"_=2", b"de"), (b"a", b"_=1", b"fr")]
    assert [asked(*request) for request in requests * 2] == [b"number 1", b"number 2", b"number 3", b"number 4"] * 2


def test_what_must_be_asked_for_again_is_asked_for_with_its_validator(upstream: Upstream, caching: Proxy) -> None:
    def answer(wire: Wire, request: Incoming) -> None:
        if request.one(b"if-none-match") == b'"1"':
            wire.send(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nCache-Control: no-cache\r\nX-Count: 2\r\n\r\n')
        else:
            wire.send(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nCache-Control: no-cache\r\nX-Count: 1\r\nContent-Length: 2\r\n\r\nok')

    upstream.answers["/"] = answer
    answers = [caching.get("/") for _ in range(2)]
    assert [(one.status, one.body, one.one(b"x-count")) for one in answers] == [(200, b"ok", b"1"), (200, b"ok", b"2")]
    assert caching.get("/", b'If-None-Match: "1"').status == 304
    assert [one.one(b"if-none-match") for one in upstream.seen] == [None, b'"1"', b'"1"']


def test_a_change_is_seen_by_those_who_ask_next(upstream: Upstream, caching: Proxy) -> None:
    upstream.answers["/"] = fresh()
    caching.get("/")
    assert caching.ask(b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\n\r\nx").status == 200
    caching.get("/")
    assert [request.line.split(b" ")[0] for request in upstream.seen] == [b"GET", b"POST", b"GET"]


@pytest.mark.parametrize("line", [b"Set-Cookie: a=1", b"Cache-Control: private", b"Vary: *"])
def test_what_is_for_one_client_is_asked_for_each_time(upstream: Upstream, caching: Proxy, line: bytes) -> None:
    upstream.answers["/"] = fresh(line)
    for _ in range(2):
        assert line.split(b": ")[1] in caching.get("/").all(line.split(b": ")[0].lower())
    assert len(upstream.seen) == 2


def test_an_upstream_that_is_gone_is_covered_up_for_as_long_as_it_has_allowed() -> None:
    with running_upstream() as upstream, running(upstream.url, []) as proxy:
        upstream.answers["/"] = b'HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-if-error=1000\r\nETag: "1"\r\nContent-Length: 2\r\n\r\nok'
        proxy.get("/")
        upstream.stop()
        assert (proxy.get("/").body, proxy.get("/other").status) == (b"ok", 502)


def test_an_upstream_that_is_gone_is_covered_up_for_as_long_as_the_proxy_is_told_unless_that_is_forbidden() -> None:
    with running_upstream() as upstream, running(upstream.url, ["--stale-if-error", "1000"]) as proxy:
        for path, line in ("/", b"Cache-Control: max-age=0"), ("/strict", b"Cache-Control: max-age=0, must-revalidate"):
            upstream.answers[path] = b'HTTP/1.1 200 OK\r\n%s\r\nETag: "1"\r\nContent-Length: 2\r\n\r\nok' % line
            proxy.get(path)
        upstream.stop()
        assert (proxy.get("/").body, proxy.get("/strict").status) == (b"ok", 502)


def test_any_final_answer_that_says_how_long_it_is_fresh_is_asked_for_once(upstream: Upstream, caching: Proxy) -> None:
    for status in (299, 400, 499, 500, 503, 599):
        path = f"/{status}"
        upstream.answers[path] = b"HTTP/1.1 %d So\r\nCache-Control: max-age=1000\r\nContent-Length: 2\r\n\r\nok" % status
        assert [caching.get(path).one(b"x-cache") for _ in range(2)] == [b"MISS", b"HIT"]
    upstream.answers["/unsaid"] = b"HTTP/1.1 500 So\r\nContent-Length: 2\r\n\r\nok"
    with running(upstream.url, ["--default-ttl", "1000"]) as proxy:
        assert [proxy.get("/unsaid").one(b"x-cache") for _ in range(2)] == [b"MISS", b"MISS"]


def test_a_field_for_this_cache_wins_where_that_is_wanted(upstream: Upstream) -> None:
    upstream.answers["/"] = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nCDN-Cache-Control: max-age=1000\r\nContent-Length: 2\r\n\r\nok"
    for options, answers in ([], [b"MISS", b"MISS"]), (["--targeted", "CDN-Cache-Control"], [b"MISS", b"HIT"]):
        with running(upstream.url, options) as proxy:
            assert [proxy.get("/").one(b"x-cache") for _ in range(2)] == answers


def test_a_restart_finds_what_is_on_disk(upstream: Upstream, tmp_path: Path) -> None:
    upstream.answers["/"] = fresh()
    for answer in (b"MISS", b"HIT"):
        with running(upstream.url, ["--disk", str(tmp_path / "cache")]) as proxy:
            assert proxy.get("/").one(b"x-cache") == answer


def test_proxies_share_what_is_in_redis(upstream: Upstream, server: RedisServer) -> None:
    upstream.answers["/"] = fresh()
    options = ["--redis", server.url]
    with running(upstream.url, options) as one:
        assert one.get("/").one(b"x-cache") == b"MISS"
        # What is on its way to Redis has arrived when the first has ended.
    with running(upstream.url, options) as one, running(upstream.url, options) as other:
        assert [one.get("/").one(b"x-cache"), other.get("/").one(b"x-cache")] == [b"HIT", b"HIT"]


def test_nothing_is_stored_when_that_is_not_wanted(upstream: Upstream) -> None:
    upstream.answers["/"] = fresh()
    with running(upstream.url, ["--pass-through"]) as proxy:
        assert [proxy.get("/").one(b"x-cache") for _ in range(2)] == [None, None]
    assert len(upstream.seen) == 2
