"""Many requests for one answer at the same time: one reaches the application, and the rest get what it gets.

Shows RFC 9111 section 4 (collapsed requests).
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, List

import pytest

from http_application import (
    FRESH,
    PATIENCE_SECONDS,
    Answer,
    Asked,
    Message,
    Reply,
    clock_of,
    fields,
    held,
    lets_time_pass,
    reply,
    scope_of,
    site,
    started,
    turns,
)

__all__ = ["clock_of"]


def test_a_thousand_requests_at_once_reach_the_application_once() -> None:
    with site() as found:

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold))
            asking = [started(found) for _ in range(1000)]
            await turns()
            assert found.calls == 1
            hold.set()
            answers = await asyncio.gather(*asking)
            assert {(answer.status, answer.body) for answer in answers} == {(200, b"answer 1")}
            assert found.calls == 1
            stats = found.middleware.get_stats()
            assert stats["middleware_stats"]["cache_sets"] == 1
            assert stats["http_stats"]["collapsed"] == 999

        found.run(herd())


def test_requests_for_different_answers_do_not_wait_for_each_other() -> None:
    with site() as found:

        async def both() -> None:
            hold = asyncio.Event()
            found.application.at("/a", held(hold))
            first = started(found, "GET", "/a")
            await turns(5)
            assert (await found.asking("GET", "/b")).body == b"answer 2"
            assert not first.done()
            hold.set()
            await first

        found.run(both())


def test_variants_are_found_out_of_one_answer_and_each_is_fetched_once() -> None:
    def script(asked: Asked) -> Reply:
        return reply("Cache-Control: max-age=600", "Vary: X-A", body=(asked["x-a"] or "").encode())

    with site() as found:

        async def herd() -> None:
            hold = asyncio.Event()

            def first(asked: Asked) -> Reply:
                answer = script(asked)
                answer.before = [hold]
                return answer

            found.application.at("/", first, script)
            asking = [(str(number % 4), started(found, "GET", "/", f"X-A: {number % 4}")) for number in range(100)]
            await turns()
            hold.set()
            for value, task in asking:
                assert (await task).body == value.encode()
            # One that finds out that the answer varies, one for each of the others; those that waited may have gone once more each.
            assert {asked["x-a"] for asked in found.application.asked} == {"0", "1", "2", "3"}
            assert found.calls == 4

        found.run(herd())


def test_a_request_waits_no_longer_than_the_operator_says() -> None:
    with site(wait_timeout=0.01) as found:

        async def herd() -> None:
            never = asyncio.Event()
            found.application.at("/", held(never), FRESH)
            first = started(found)
            await turns(20)
            # It comes to an end though the first never does.
            assert (await found.asking("GET")).body == b"answer 2"
            assert not first.done()
            never.set()
            assert (await first).body == b"answer 1"

        found.run(herd())


def test_a_request_need_not_wait_at_all() -> None:
    with site(wait_timeout=0) as found:

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold))
            asking = [started(found) for _ in range(5)]
            await turns()
            assert found.calls == 5
            hold.set()
            await asyncio.gather(*asking)

        found.run(herd())


@pytest.mark.parametrize("lines", [["Authorization: Bearer one"], ["Cookie: session=1"]])
def test_who_says_who_he_is_and_who_does_not_do_not_wait_for_each_other(lines: List[str]) -> None:
    # What the one gets may not be for the other.
    # Long enough that who waits in vain never comes to an end.
    with site(wait_timeout=10 * PATIENCE_SECONDS) as found:

        async def both() -> None:
            hold = asyncio.Event()
            for first, second in ((lines, []), ([], lines)):
                hold.clear()
                found.application.at("/", reply(before=[hold]), FRESH)
                waiting = started(found, "GET", "/", *first)
                await turns(20)
                assert (await found.asking("GET", "/", *second)).status == 200
                assert not waiting.done()
                hold.set()
                await waiting
                found.middleware.clear_cache()

        found.run(both())


@lets_time_pass
def test_requests_that_waited_for_an_answer_that_now_varies_by_another_field_get_each_their_own() -> None:
    def script(asked: Asked) -> Reply:
        return reply("Cache-Control: max-age=600", "Vary: X-B", body=(asked["x-b"] or "").encode())

    with site(reply("Cache-Control: max-age=600", "Vary: X-A")) as found:
        found.get("/", "X-A: 1")
        found.pass_time(700)

        async def herd() -> None:
            hold = asyncio.Event()

            def first(asked: Asked) -> Reply:
                answer = script(asked)
                answer.before = [hold]
                return answer

            found.application.at("/", first, script)
            # All select the same stale variant, and wait for the same answer, until that says that it was made for one X-B alone.
            asking = [(str(number % 4), started(found, "GET", "/", "X-A: 1", f"X-B: {number % 4}")) for number in range(40)]
            await turns()
            assert found.calls == 2
            hold.set()
            for value, task in asking:
                assert (await task).body == value.encode()
            assert found.calls == 5

        found.run(herd())


@lets_time_pass
def test_requests_for_what_is_stale_wait_for_one_validation() -> None:
    stale = reply("Cache-Control: max-age=600", 'ETag: "a"')
    with site(stale) as found:
        found.get()
        found.pass_time(700)

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold, "Cache-Control: max-age=600", status=304))
            asking = [started(found) for _ in range(20)] + [started(found, "GET", "/", 'If-None-Match: "a"')]
            await turns()
            assert found.calls == 2
            hold.set()
            answers = await asyncio.gather(*asking)
            assert [answer.status for answer in answers] == [200] * 20 + [304]
            assert {answer.body for answer in answers[:-1]} == {b"answer 1"}
            assert found.calls == 2

        found.run(herd())


def test_a_range_and_a_condition_that_wait_are_answered_each_in_its_way() -> None:
    with site() as found:

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold, "Cache-Control: max-age=600", 'ETag: "a"'))
            whole = started(found)
            await turns(20)
            confirmed = started(found, "GET", "/", 'If-None-Match: "a"')
            await turns()
            assert found.calls == 1
            hold.set()
            assert ((await whole).body, (await confirmed).status) == (b"answer 1", 304)

        found.run(herd())


def test_a_range_on_a_miss_does_not_wait_for_anybody() -> None:
    with site() as found:

        async def both() -> None:
            hold = asyncio.Event()
            part = reply("Content-Range: bytes 0-0/8", body=b"a", status=206)
            found.application.at("/", held(hold), part)
            first = started(found)
            await turns(20)
            answer = await found.asking("GET", "/", "Range: bytes=0-0")
            assert (answer.status, answer.body) == (206, b"a")
            hold.set()
            assert (await first).body == b"answer 1"

        found.run(both())


def test_a_stream_is_received_while_others_wait_for_its_end() -> None:
    with site() as found:

        async def herd() -> None:
            hold, came = asyncio.Event(), asyncio.Event()
            found.application.at("/", reply("Cache-Control: max-age=600", body=[b"first", hold, b" second"]))
            first = started(found, on_piece=lambda piece: came.set())
            await came.wait()
            waiting = [started(found) for _ in range(10)]
            await turns()
            assert found.calls == 1 and not first.done()
            hold.set()
            assert {answer.body for answer in await asyncio.gather(first, *waiting)} == {b"first second"}
            assert found.calls == 1

        found.run(herd())


def test_a_change_while_requests_wait_blocks_nobody() -> None:
    with site() as found:

        async def both() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold), reply(status=204), FRESH)
            asking = [started(found) for _ in range(5)]
            await turns()
            assert (await found.asking("POST")).status == 204
            hold.set()
            assert {answer.status for answer in await asyncio.gather(*asking)} == {200}

        found.run(both())


def test_work_after_the_answer_keeps_nobody_waiting() -> None:
    with site() as found:

        async def herd() -> None:
            hold, work = asyncio.Event(), asyncio.Event()
            found.application.at("/", reply("Cache-Control: max-age=600", body=b"body", before=[hold], after=[work]))
            first = started(found)
            await turns(20)
            waiting = [started(found) for _ in range(10)]
            await turns()
            hold.set()
            assert {answer.body for answer in await asyncio.gather(*waiting)} == {b"body"}
            assert (found.calls, first.done()) == (1, False)
            work.set()
            await first

        found.run(herd())


def test_event_loops_of_several_threads_share_one_request() -> None:
    many, threads = 50, 4
    with site() as found:

        def wait_for_all() -> None:
            # Of the thread that has reached the application first, while the others' requests come in.
            deadline = time.monotonic() + PATIENCE_SECONDS
            while found.middleware.stats["total_requests"] < many * threads:
                assert time.monotonic() < deadline
                time.sleep(0.001)

        async def herd() -> List[Answer]:
            asking = [started(found) for _ in range(many)]
            return list(await asyncio.gather(*asking))

        found.application.at("/", reply("Cache-Control: max-age=600", before=[_off_loop(wait_for_all)]))
        with ThreadPoolExecutor(threads) as pool:
            herds = [pool.submit(asyncio.run, herd()) for _ in range(threads)]
            bodies = [answer.body for herd_of_thread in herds for answer in herd_of_thread.result()]
        assert bodies == [b"answer 1"] * many * threads
        assert found.calls == 1


def _off_loop(wait: Callable[[], None]) -> Callable[[], "asyncio.Future[None]"]:
    return lambda: asyncio.get_running_loop().run_in_executor(None, wait)


def test_who_waits_for_an_answer_does_not_wait_for_the_client_that_it_goes_to() -> None:
    with site(reply("Cache-Control: max-age=600", body=[b"first ", b"second ", b"third"])) as where:

        async def slow_and_fast() -> None:
            stuck, go_on = asyncio.Event(), asyncio.Event()
            sent: List[bytes] = []

            async def slow_send(message: Message) -> None:
                if message["type"] == "http.response.body":
                    stuck.set()
                    await go_on.wait()
                    sent.append(message.get("body", b""))

            async def receive() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            slow = asyncio.ensure_future(where.middleware(scope_of("GET", "/", fields()), receive, slow_send))
            await stuck.wait()
            answers = await asyncio.gather(*(where.asking("GET", "/") for _ in range(3)))
            assert [answer.body for answer in answers] == [b"first second third"] * 3
            assert not slow.done() and sent == []
            go_on.set()
            await slow
            assert b"".join(sent) == b"first second third"

        where.run(slow_and_fast())
        assert where.calls == 1


def test_a_client_that_fails_does_not_take_the_answer_from_the_others() -> None:
    with site(reply("Cache-Control: max-age=600", body=[b"first ", b"second"])) as where:

        async def broken() -> None:
            async def send(message: Message) -> None:
                if message["type"] == "http.response.body":
                    raise OSError("the client is gone")

            async def receive() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            with pytest.raises(OSError, match="the client is gone"):
                await where.middleware(scope_of("GET", "/", fields()), receive, send)

        where.run(broken())
        assert where.get("/").body == b"first second" and where.calls == 1
