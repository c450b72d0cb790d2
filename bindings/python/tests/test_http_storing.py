"""Which responses are stored, and that what is stored is what came.

Shows RFC 9111 sections 3 (what may be stored), 3.1 (header fields), 3.3 (incomplete responses), 3.5 (Authorization), 5.2.2.3 must-understand,
5.2.2.5 no-store, 5.2.2.7 private, 7.3 (cookies), and RFC 9110 sections 7.6.1 (fields of a connection) and 9.2.3 (methods).
"""

from __future__ import annotations

import asyncio
import gzip
from typing import Any, Dict, List, Optional, Sequence, Set, Union

import pytest

from catzilla_cache import CacheValueError
from http_application import (
    FRESH,
    Asked,
    Message,
    Receive,
    Reply,
    Scope,
    Send,
    ask,
    clock_of,
    fields,
    lets_time_pass,
    reply,
    scope_of,
    site,
)

__all__ = ["clock_of"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: no-store"],
        ["Cache-Control: no-store, max-age=600"],
        ["Cache-Control: max-age=600, no-store"],
        ["Cache-Control: public, s-maxage=600, No-Store"],
        ["Cache-Control: max-age=600", "Cache-Control: no-store"],
        ["Cache-Control: max-age=600,no-store,"],
        ["Cache-Control: no-store=yes, max-age=600"],
        ['Cache-Control: no-store="", max-age=600'],
        ['Cache-Control: extension="a, b", no-store, max-age=600'],
        ['Cache-Control: max-age=600, extension="never closed, no-store'],
        ["Cache-Control: private"],
        ["Cache-Control: private, max-age=600"],
        ["Cache-Control: PRIVATE, s-maxage=600"],
        ["Cache-Control: public, private, max-age=600"],
        ['Cache-Control: private="set-cookie", max-age=600'],
        ['Cache-Control: private="a, b", max-age=600'],
        ["Set-Cookie: id=1", "Cache-Control: max-age=600"],
        ["Set-Cookie: id=1", "Cache-Control: public, s-maxage=600"],
        ["Set-Cookie: id=1"],
        ["Vary: *", "Cache-Control: max-age=600"],
        ["Cache-Control: no-cache"],
        ["Cache-Control: no-cache, max-age=600"],
        ['Cache-Control: no-cache="set-cookie", max-age=600'],
        ["Cache-Control: max-age=600", "Cache-Control: NO-CACHE"],
        ["Pragma: no-cache", "Cache-Control: no-store"],
    ],
    ids=" / ".join,
)
def test_a_response_that_forbids_it_is_not_served_again(lines: Sequence[str]) -> None:
    with site(reply(*lines)) as found:
        assert found.get().body == b"answer 1"
        again = found.get()
        assert (again.body, again.is_hit) == (b"answer 2", False)
        assert found.head().body == b"" and found.calls == 3


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: max-age=600"],
        ["Cache-Control: public, max-age=600"],
        ['Cache-Control: max-age=600, extension="no-store"'],
        ['Cache-Control: extension="private, no-store", max-age=600'],
        ["Cache-Control: max-age=600, x-no-store, no-storeage"],
        ["Cache-Control: max-age=600, immutable"],
        ["Cache-Control: max-age=600, no-transform"],
        ["Cache-Control: max-age=600", "Pragma: no-cache"],
        ["X-Cache-Control: no-store", "Cache-Control: max-age=600"],
        ["Cache-Control: must-understand, max-age=600"],
        ["Cache-Control: must-understand, no-store, max-age=600"],
        ["Cache-Control: no-store, must-understand, max-age=600"],
    ],
    ids=" / ".join,
)
def test_a_response_that_allows_it_is_served_again(lines: Sequence[str]) -> None:
    with site(reply(*lines)) as found:
        first, second = found.get(), found.get()
        assert (first.is_hit, second.is_hit) == (False, True)
        assert second.body == first.body == b"answer 1"


def test_no_store_and_private_win_over_the_lifetime_of_a_rule() -> None:
    with site(cache_rules={"/*": {"ttl": 300}}) as found:
        for path, lines in {"/a": "Cache-Control: no-store", "/b": "Cache-Control: private", "/c": "Set-Cookie: a=b"}.items():
            found.application.at(path, reply(lines))
            found.get(path)
            found.get(path)
            assert found.application.calls(path) == 2, path


def test_private_responses_are_stored_where_the_operator_says_so() -> None:
    with site(reply("Cache-Control: private, max-age=600"), cache_private=True) as found:
        assert found.get().body == found.get().body


@pytest.mark.parametrize("status", [200, 301, 302, 404])
def test_the_documented_statuses_are_stored(status: int) -> None:
    with site(reply("Cache-Control: max-age=600", "Location: /other", status=status)) as found:
        first, second = found.get(), found.get()
        assert (first.status, second.status, second.is_hit, found.calls) == (status, status, True, 1)
        assert second["location"] == "/other"


@pytest.mark.parametrize(
    "status",
    [201, 202, 203, 204, 205, 206, 207, 226, 299, 300, 303, 304, 305, 307, 308, 400, 401, 403, 405, 410, 414, 416, 429, 451]
    + [500, 501, 502, 503, 504, 599],
)
def test_no_other_status_is_stored_unless_it_is_named(status: int) -> None:
    with site(reply("Cache-Control: max-age=600", status=status)) as found:
        first, second = found.get(), found.get()
        assert (first.status, second.status, second.is_hit, found.calls) == (status, status, False, 2)
    if status in (206, 304):
        return
    with site(reply("Cache-Control: max-age=600", status=status), cache_status_codes={status}) as found:
        first, second = found.get(), found.get()
        assert (first.status, second.status, second.is_hit, found.calls) == (status, status, True, 1)


@pytest.mark.parametrize("status", [206, 304])
def test_a_part_and_a_confirmation_are_not_stored_even_when_named(status: int) -> None:
    try:
        with site(reply("Cache-Control: max-age=600", status=status), cache_status_codes={200, status}) as found:
            found.get()
            found.get()
            assert found.calls == 2
    except CacheValueError as error:
        # Refusing to be told so is as good.
        assert str(status) in str(error)


def test_must_understand_forbids_what_is_not_understood() -> None:
    with site(reply("Cache-Control: must-understand, max-age=600", status=299), cache_status_codes={200, 299}) as found:
        found.get()
        assert not found.get().is_hit


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "get", "HEAD2"])
def test_only_get_and_head_are_answered_from_the_cache(method: str) -> None:
    with site(FRESH) as found:
        first, second = found.ask(method, "/a", body=b"1"), found.ask(method, "/a", body=b"1")
        assert (first.body, second.body) == (b"answer 1", b"answer 2")
        for answer in (first, second):
            assert answer.said_by_the_application == answer.headers, "not touched at all"
        # Nor is what they were answered served to those that may be.
        assert found.get("/a").body == b"answer 3"
        assert found.last.body == b""


@pytest.mark.parametrize("methods", [{"POST"}, {"GET", "PUT"}, set(), {"get "}])
def test_other_methods_cannot_be_asked_for(methods: Set[str]) -> None:
    if not methods:
        with site(FRESH, cache_methods=methods) as found:
            found.get()
            assert not found.get().is_hit
        return
    with pytest.raises(CacheValueError, match="cache_methods"):
        with site(FRESH, cache_methods=methods):
            pass


def test_methods_that_are_not_named_pass_untouched() -> None:
    with site(FRESH, cache_methods={"GET"}) as found:
        found.get()
        answer = found.head()
        assert answer.headers == answer.said_by_the_application
        assert found.calls == 2


def test_a_request_with_no_store_is_neither_stored_nor_answered_from_the_cache() -> None:
    with site(FRESH) as found:
        for line in ("Cache-Control: no-store", "Cache-Control: max-age=600, No-Store", 'cache-control: x="y", no-store'):
            calls = found.calls
            answer = found.get("/", line)
            assert answer.headers == answer.said_by_the_application
            assert found.calls == calls + 1
        assert not found.get().is_hit
        assert found.get("/", "Cache-Control: no-store").body != found.get().body


USER = "Authorization: Bearer one"


@pytest.mark.parametrize(
    "directives, is_shared",
    [
        ("max-age=600", False),
        ("max-age=600, proxy-revalidate", False),
        ("max-age=600, immutable, must-revalidate-not", False),
        ("private, s-maxage=600", False),
        ("no-store, public, max-age=600", False),
        ('max-age=600, x="public"', False),
        ("max-age=600, public", True),
        ("s-maxage=600", True),
        ("max-age=600, must-revalidate", True),
        ("PUBLIC, max-age=600", True),
    ],
)
def test_an_answer_to_a_request_with_authorization_is_shared_only_by_permission(directives: str, is_shared: bool) -> None:
    with site(reply(f"Cache-Control: {directives}")) as found:
        found.get("/", USER)
        assert (found.get("/", USER).body == b"answer 1") is is_shared
        assert (found.get("/", "Authorization: Bearer two").body == b"answer 1") is is_shared
        assert (found.get("/").body == b"answer 1") is is_shared


def test_without_permission_an_answer_made_for_nobody_is_not_given_to_somebody() -> None:
    with site(FRESH) as found:
        assert found.get().body == b"answer 1"
        assert found.get("/", USER).body == b"answer 2"
        # What somebody was answered has not replaced what nobody was.
        assert found.get().body == b"answer 1"


def test_a_default_lifetime_is_no_permission() -> None:
    with site(reply()) as found:
        found.get("/", USER)
        assert found.get("/", USER).body == b"answer 2"
        assert found.get("/").body == b"answer 3"


def test_where_authenticated_requests_are_cached_each_has_its_own_answer() -> None:
    with site(FRESH, cache_authenticated=True) as found:
        users = [(), (USER,), ("Authorization: Bearer two",), ("Authorization: bearer one",), ("Authorization:",)]
        first = [found.get("/", *user).body for user in users]
        assert len(set(first)) == len(users)
        assert [found.get("/", *user).body for user in users] == first
        assert found.calls == len(users)


@pytest.mark.parametrize(
    "cookies, is_stored",
    [
        (["theme=dark"], True),
        (["theme=dark; Path=/; HttpOnly"], True),
        (["theme=dark", "lang=en; Max-Age=60"], True),
        (["theme="], True),
        (["session=1"], False),
        (["theme=dark", "session=1"], False),
        (["session=1", "theme=dark"], False),
        (["theme=dark, session=1"], None),
        (["Theme=dark"], False),
        (["theme"], False),
        ([""], False),
        (["=theme"], False),
        (["themes=dark"], False),
        (["session=theme=dark"], False),
    ],
)
def test_cookies_are_stored_only_when_all_are_named(cookies: List[str], is_stored: Optional[bool]) -> None:
    lines = ["Set-Cookie: " + cookie for cookie in cookies]
    with site(reply("Cache-Control: max-age=600", *lines), cacheable_cookies=("theme", "lang")) as found:
        found.get()
        again = found.get()
        if is_stored is not None:
            assert again.is_hit is is_stored
        assert again.every("set-cookie") == cookies, "each in its place"


def test_a_default_lifetime_does_not_apply_to_requests_with_cookies() -> None:
    with site(reply()) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/", "Cookie: session=1").body == b"answer 2"
        assert found.get("/").body == b"answer 3"
    with site(FRESH) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/", "Cookie: session=2").body == b"answer 1", "the application said that it may be shared"
    with site(reply(), cache_cookies=True) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/").body == b"answer 1"
    with site(reply(), cache_rules={"/*": {"ttl": 300}}) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/").body == b"answer 1"


@pytest.mark.parametrize(
    "lines, kept",
    [
        (["Connection: close"], []),
        (["Connection: X-Hop", "X-Hop: 1", "X-Kept: 2"], [(b"x-kept", b"2")]),
        (["Connection: close, x-hop , X-SECOND", "X-Hop: 1", "x-second: 2", "X-Hop: 3"], []),
        (["Connection: a", "Connection: b", "A: 1", "B: 2", "C: 3"], [(b"c", b"3")]),
        (["Connection: ,, ;, x-hop", "X-Hop: 1"], []),
        (["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "Upgrade: h2c"], []),
        (["Proxy-Authenticate: Basic", "Proxy-Authentication-Info: a=b", "Proxy-Authorization: x"], []),
    ],
)
def test_fields_of_the_connection_are_not_stored(lines: Sequence[str], kept: object) -> None:
    with site(reply("Cache-Control: max-age=600", *lines, body=b"body")) as found:
        found.get()
        hit = found.get()
        assert hit.is_hit
        left = {b"cache-control", b"content-length", b"etag"}
        assert [pair for pair in hit.said_by_the_application if pair[0] not in left] == kept
        assert hit["content-length"] == "4"


def test_transfer_encoding_is_not_stored() -> None:
    with site(reply("Cache-Control: max-age=600", "Transfer-Encoding: chunked", body=[b"bo", b"dy"])) as found:
        found.get()
        hit = found.get()
        assert (hit.is_hit, hit.body, hit.every("transfer-encoding")) == (True, b"body", [])


def test_the_cache_is_steered_by_fields_that_are_nominated_too() -> None:
    # "Connection: cache-control" must not turn no-store off.
    with site(reply("Connection: cache-control", "Cache-Control: no-store")) as found:
        found.get()
        assert found.get().body == b"answer 2"


def test_every_field_comes_back_as_often_and_in_the_order_it_came() -> None:
    lines: "List[Union[str, bytes]]" = [
        "Cache-Control: max-age=600",
        "Link: </a>; rel=preload",
        "X-Between: 1",
        "Link: </b>; rel=preload",
        "WWW-Authenticate: Basic",
        "WWW-Authenticate: Bearer",
        "X-Empty:",
        b"X-Bytes: \x80\xff\xe9 caf\xc3\xa9",
        "X-Tab: a\tb",
        "X-Long: " + "x" * 20000,
        'ETag: "a"',
        "X-Between: 2",
        *(f"X-Many-{number}: {number}" for number in range(200)),
        "Content-Type: text/plain; charset=utf-16",
        "Content-Length: 4",
    ]
    with site(reply(*lines, body=b"body")) as found:
        first, second = found.get(), found.get()
        assert second.is_hit
        assert first.said_by_the_application == second.said_by_the_application == fields(*lines)


@pytest.mark.parametrize("name", ["x-cache", "age", "cache-status", "x-cache-time", "x-cache-ttl"])
def test_what_the_cache_reports_is_not_said_twice(name: str) -> None:
    with site(
        reply("Cache-Control: max-age=600", f"{name}: 0" if name != "cache-status" else "Cache-Status: other; hit")
    ) as found:
        for _ in range(3):
            answer = found.get()
            for field in ("x-cache", "age", "x-cache-time", "x-cache-ttl"):
                assert len(answer.every(field)) <= 1


BODIES = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "zeros": b"\0" * 1000,
    "gzip": gzip.compress(b"text" * 1000),
    "utf-16": "text \U0001f40a".encode("utf-16"),
    "broken utf-8": b"\xff\xfe\xc3\x28",
    "line breaks": b"HTTP/1.1 200 OK\r\n\r\n" * 3,
    "large": bytes(range(251)) * 8000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
@pytest.mark.parametrize("pieces", ["one", "many", "with empty ones"])
def test_a_body_comes_back_byte_for_byte(body: bytes, pieces: str) -> None:
    size = max(1, len(body) // 7)
    steps = [body] if pieces == "one" else [body[at : at + size] for at in range(0, len(body), size)]
    if pieces == "with empty ones":
        steps = [piece for step in steps for piece in (b"", step, b"")]
    with site(reply("Cache-Control: max-age=600", "Content-Encoding: identity", body=steps)) as found:
        first, second = found.get(), found.get()
        assert (second.is_hit, found.calls) == (True, 1)
        assert first.body == second.body == body
        assert second["content-length"] in (None, str(len(body)))
        assert found.get("/", "Accept-Encoding: gzip").body == body


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_an_application_does_with_its_buffer_afterwards_does_not_change_what_is_stored(kind: Any) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        buffer, headers = kind(bytearray(b"one")), [[b"Cache-Control", b"max-age=600"], (b"X-A", b"1")]
        start: Dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": buffer, "more_body": True})
        if kind is not bytes:
            buffer[0:3] = b"two"
        headers.append((b"x-b", b"2"))
        await send({"type": "http.response.body"})

    with site(application=application) as found:
        hit = found.get() and found.get()
        assert hit.body == b"one"
        assert hit["x-b"] is None and hit["x-a"] == "1"


def test_names_of_fields_in_capitals_are_understood() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"Cache-CONTROL", b"no-store"), (b"SET-Cookie", b"a=b")]}
        )
        await send({"type": "http.response.body", "body": b"body"})
        calls.append(1)

    calls: List[int] = []
    with site(application=application) as found:

        async def twice() -> None:
            for _ in range(2):
                messages: List[Message] = []

                async def send(message: Message) -> None:
                    messages.append(message)

                async def receive() -> Message:
                    return {"type": "http.request", "body": b"", "more_body": False}

                await found.middleware(scope_of("GET", "/", []), receive, send)

        found.run(twice())
        assert len(calls) == 2


@pytest.mark.parametrize("has_length", [True, False])
def test_a_body_up_to_the_limit_is_stored_and_a_longer_one_passes(has_length: bool) -> None:
    with site(max_body_size=1000) as found:
        for size in (999, 1000, 1001, 5000):
            body = b"x" * size
            lines = ["Cache-Control: max-age=600"] + ([f"Content-Length: {size}"] if has_length else [])
            found.application.at(f"/{size}", reply(*lines, body=[body[:600], body[600:]]))
            first, second = found.get(f"/{size}"), found.get(f"/{size}")
            assert first.body == second.body == body
            assert second.is_hit is (size <= 1000), size


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([b"half"], id="shorter than it was said to be"),
        pytest.param([b"half of it and more"], id="longer than it was said to be"),
        pytest.param([], id="nothing of it"),
    ],
)
def test_a_body_that_is_not_as_long_as_it_was_said_to_be_is_not_stored(body: Sequence[bytes]) -> None:
    whole = reply("Cache-Control: max-age=600", body=b"whole")
    with site(reply("Cache-Control: max-age=600", "Content-Length: 8", body=body), whole) as found:
        # What a server does with it is the server's matter.
        with pytest.raises(AssertionError, match="Content-Length"):
            found.get()
        assert found.get().body == b"whole"


class Broken(Exception):
    pass


@pytest.mark.parametrize("pieces", [[], [b"half"], [b"half", b" of it"]])
def test_a_body_that_breaks_off_is_not_stored(pieces: List[bytes]) -> None:
    with site(reply("Cache-Control: max-age=600", body=[*pieces, Broken("in the middle")]), FRESH) as found:
        with pytest.raises(Broken):
            found.get()
        assert found.get().body == b"answer 2"


def test_an_application_that_ends_without_ending_its_answer_has_nothing_stored() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(1)
        await send({"type": "http.response.start", "status": 200, "headers": fields("Cache-Control: max-age=600")})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    calls: List[int] = []
    with site(application=application) as found:
        for _ in range(2):
            with pytest.raises(AssertionError, match="was not ended"):
                found.get()
        assert len(calls) == 2


def test_an_application_that_answers_nothing_has_nothing_stored() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(1)

    calls: List[int] = []
    with site(application=application) as found:
        for _ in range(2):
            with pytest.raises(AssertionError):
                found.get()
        assert len(calls) == 2


@pytest.mark.parametrize(
    "lines",
    [["Content-Length: 4", "Content-Length: 4"], ["Content-Length: 4, 4"], ["Content-Length: four"], ["Content-Length: -4"]],
)
def test_a_length_that_is_none_does_not_break_anything(lines: Sequence[str]) -> None:
    with site(reply("Cache-Control: max-age=600", *lines, body=[b"body"])) as found:
        for _ in range(2):
            # The client finds fault with it, as it would without the cache.
            with pytest.raises(AssertionError, match="Content-Length"):
                assert found.get()["content-length"] == "4", "Content-Length was mended"
                raise AssertionError("Content-Length was mended")


def test_head_is_answered_from_a_stored_get() -> None:
    with site(reply("Cache-Control: max-age=600", "X-A: 1", body=b"body")) as found:
        first, head = found.get(), found.head()
        assert (head.is_hit, head.status, head.body, found.calls) == (True, 200, b"", 1)
        assert head["content-length"] == "4"
        assert {b"x-a", b"cache-control"} <= {name for name, _ in head.headers}
        assert head.said_by_the_application[:2] == first.said_by_the_application[:2]


def test_a_head_that_was_stored_never_answers_a_get() -> None:
    with site(reply("Cache-Control: max-age=600", "Content-Length: 4", body=[b"body"])) as found:
        assert found.head().body == b""
        again = found.head()
        assert (again.is_hit, again["content-length"]) == (True, "4")
        first, second = found.get(), found.get()
        assert (first.body, first.is_hit, second.body, second.is_hit) == (b"body", False, b"body", True)


def test_the_answer_begins_before_the_application_has_ended_it() -> None:
    with site(FRESH) as found:

        async def stream() -> None:
            hold, came = asyncio.Event(), asyncio.Event()
            found.application.at("/", reply("Cache-Control: max-age=600", body=[b"first", hold, b" second"]))
            asking = asyncio.ensure_future(found.asking("GET", on_piece=lambda piece: came.set()))
            # The first piece reaches the client while the application still has to make the second.
            await came.wait()
            assert not asking.done()
            hold.set()
            assert (await asking).body == b"first second"

        found.run(stream())
        assert found.get().body == b"first second"
        assert found.get().is_hit


def test_what_an_application_does_after_its_answer_is_done_once_and_delays_nobody() -> None:
    done: List[int] = []
    with site(FRESH) as found:

        async def work() -> None:
            hold = asyncio.Event()
            found.application.at("/", reply("Cache-Control: max-age=600", body=b"body", after=[hold, lambda: done.append(1)]))
            first = asyncio.ensure_future(found.asking("GET"))
            while not found.calls:
                await asyncio.sleep(0)
            # Another request is answered from the cache, or waits for the answer alone, while the work goes on.
            assert (await found.asking("GET")).body == b"body"
            assert (done, first.done()) == ([], False)
            hold.set()
            assert (await first).body == b"body"

        found.run(work())
        assert done == [1]
        assert found.get().is_hit and done == [1]


def test_a_failure_after_the_answer_reaches_the_server_and_the_answer_is_stored() -> None:
    with site(reply("Cache-Control: max-age=600", body=b"body", after=[Broken("in the background")])) as found:
        with pytest.raises(Broken):
            found.get()
        again = found.get()
        assert (again.body, again.is_hit) == (b"body", True)


@pytest.mark.parametrize("kind", ["pathsend", "zerocopysend"])
def test_a_file_that_the_server_sends_itself_is_not_stored_as_an_empty_body(kind: str) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        offered.append(sorted(scope.get("extensions", {})))
        await send(
            {"type": "http.response.start", "status": 200, "headers": fields("Cache-Control: max-age=600", "Content-Length: 4")}
        )
        await send({"type": "http.response.body", "body": b"file"})

    offered: List[List[str]] = []
    with site(application=application) as found:
        extensions: Dict[str, Any] = {f"http.response.{kind}": {}, "http.response.early_hint": {}}
        for _ in range(2):
            assert found.get("/", extensions=extensions).body == b"file"
        # The application is not told that the server could, so the cache sees the body. The rest is offered as it was.
        assert offered == [["http.response.early_hint"]]
        # Where nothing is cached, it is.
        found.ask("POST", "/", extensions=extensions)
        assert offered[1] == sorted(extensions)


def test_early_hints_reach_the_client_and_are_not_part_of_what_is_stored() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        await send({"type": "http.response.start", "status": 200, "headers": fields("Cache-Control: max-age=600")})
        await send({"type": "http.response.body", "body": b"body"})

    with site(application=application) as found:
        first, second = found.get(), found.get()
        assert [message["type"] for message in first.others] == ["http.response.early_hint"]
        assert (second.is_hit, second.body, second.others) == (True, b"body", [])


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_http_request_passes_untouched(kind: str) -> None:
    seen: List[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([scope, receive, send])

    async def receive() -> Message:
        return {"type": "none"}

    async def send(message: Message) -> None:
        pass

    with site(application=application) as found:
        scope = {"type": kind, "path": "/", "headers": []}
        found.run(found.middleware(scope, receive, send))
        assert seen == [scope, receive, send] and seen[0] is scope and seen[1] is receive and seen[2] is send


@pytest.mark.parametrize("lines", [["Connection: Upgrade", "Upgrade: h2c"], ["Upgrade: websocket"]])
def test_a_request_to_change_the_protocol_passes_untouched(lines: Sequence[str]) -> None:
    with site(FRESH) as found:
        found.get()
        answer = found.get("/", *lines)
        assert answer.body == b"answer 2" and answer.headers == answer.said_by_the_application


@pytest.mark.parametrize("lines", [["If-Match: *"], ['If-Match: "a"'], ["If-Unmodified-Since: Fri, 15 Jan 2027 08:00:00 GMT"]])
def test_a_request_that_only_the_application_can_judge_reaches_it_as_it_is(lines: Sequence[str]) -> None:
    with site(reply("Cache-Control: max-age=600", 'ETag: "a"'), reply(status=412)) as found:
        found.get()
        answer = found.get("/", *lines)
        assert answer.status == 412
        assert fields(*lines)[0] in found.last.headers
        assert found.get().body == b"answer 1"


@lets_time_pass
def test_a_response_that_may_not_be_stored_leaves_an_older_one_as_old_as_it_is() -> None:
    with site(reply("Cache-Control: max-age=600"), reply("Cache-Control: no-store")) as found:
        found.get()
        found.pass_time(600)
        assert found.get().body == b"answer 2"
        assert found.get().body == b"answer 3"


def test_paths_are_included_and_excluded_by_prefixes_and_globs() -> None:
    with site(FRESH, include_paths=["/api", "/files/*.css"], exclude_paths=["/api/admin", "/api/*/secret"]) as found:
        for path, is_cached in {
            "/api": True,
            "/api/a": True,
            "/files/a.css": True,
            "/files/a.js": False,
            "/other": False,
            "/api/admin": False,
            "/api/admin/a": False,
            "/api/a/secret": False,
        }.items():
            first = found.get(path)
            assert found.get(path).is_hit is is_cached, path
            if not is_cached:
                assert first.headers == first.said_by_the_application


def echoing(asked: Asked) -> Reply:
    return reply("Cache-Control: max-age=600", body=asked.method.encode() + b" " + asked.body)


def test_a_get_with_a_body_is_not_answered_with_what_another_body_was() -> None:
    with site(echoing) as found:
        assert found.get("/", "Content-Length: 1", body=b"a").body == b"GET a"
        assert found.get("/", "Content-Length: 1", body=b"b").body == b"GET b"
        assert found.get("/").body == b"GET "
        assert found.get("/", "Transfer-Encoding: chunked", body=b"c").body == b"GET c"


def test_the_client_of_these_tests_finds_fault_with_a_bad_answer() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]})
        await send({"type": "http.response.body", "body": b""})

    with pytest.raises(AssertionError, match="line break"):
        asyncio.run(ask(application, "GET", "/", []))
