"""That what is served is what came, byte for byte and field for field, and that what did not come whole is not served.

Shows RFC 9111 sections 3.1 (storing fields) and 3.3 (incomplete responses).
"""

from __future__ import annotations

import asyncio
import gzip
from typing import Any, Dict, List, Sequence, Union

import pytest

from http_application import FRESH, Broken, Receive, Scope, Send, ask, clock_of, fields, reply, site

__all__ = ["clock_of"]


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


def test_the_client_of_these_tests_finds_fault_with_a_bad_answer() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]})
        await send({"type": "http.response.body", "body": b""})

    with pytest.raises(AssertionError, match="line break"):
        asyncio.run(ask(application, "GET", "/", []))
