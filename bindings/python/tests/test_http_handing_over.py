"""What becomes of the requests that wait for another, when that fails, is cancelled, loses its client, or gets what others may not have.

Shows RFC 9111 section 4 (collapsed requests).
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Tuple
from wsgiref.util import setup_testing_defaults

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import WSGICacheMiddleware
from http_application import (
    FRESH,
    PATIENCE_SECONDS,
    Answer,
    Asked,
    Broken,
    Clock,
    Reply,
    clock_of,
    held,
    lets_time_pass,
    reply,
    settled,
    site,
    started,
    turns,
)

__all__ = ["clock_of"]


@pytest.mark.parametrize(
    "failure",
    [reply(before=[Broken("down")]), reply("Cache-Control: max-age=600", "Content-Length: 10", body=[b"half", Broken("down")])],
    ids=["before its answer", "within its body"],
)
def test_a_request_that_fails_hands_over_to_one_that_waited(failure: Reply) -> None:
    with site() as found:

        async def herd() -> None:
            hold = asyncio.Event()
            failing = Reply(failure.status, failure.headers, failure.body, [hold, *failure.before])
            found.application.at("/", failing, FRESH)
            asking = [started(found) for _ in range(20)]
            await turns()
            assert found.calls == 1
            hold.set()
            results = await asyncio.gather(*asking, return_exceptions=True)
            assert sum(isinstance(result, Broken) for result in results) == 1, "nobody else sees the failure of one"
            assert {result.body for result in results if isinstance(result, Answer)} == {b"answer 2"}
            assert found.calls == 2

        found.run(herd())


def test_however_many_fail_one_after_the_other_all_come_to_an_end() -> None:
    with site(reply(before=[Broken("down")])) as found:

        async def herd() -> None:
            results = await asyncio.gather(*(started(found) for _ in range(20)), return_exceptions=True)
            assert [type(result) for result in results] == [Broken] * 20

        found.run(herd())
        found.application.at("/", FRESH)
        found.get()
        assert found.get().is_hit, "nothing of the failures is left"


def test_a_request_that_is_cancelled_hands_over_to_one_that_waited() -> None:
    with site() as found:

        async def herd() -> None:
            never = asyncio.Event()
            found.application.at("/", held(never), FRESH)
            first = started(found)
            await turns(20)
            waiting = [started(found) for _ in range(20)]
            await turns()
            assert found.calls == 1
            first.cancel()
            assert {answer.body for answer in await asyncio.gather(*waiting)} == {b"answer 2"}
            assert (found.calls, first.cancelled()) == (2, True)

        found.run(herd())


def test_one_of_those_that_wait_can_be_cancelled_without_the_others() -> None:
    with site() as found:

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold))
            asking = [started(found) for _ in range(20)]
            await turns()
            for task in asking[5:15]:
                task.cancel()
            await turns()
            hold.set()
            results = await asyncio.gather(*asking, return_exceptions=True)
            assert [isinstance(result, asyncio.CancelledError) for result in results] == [5 <= at < 15 for at in range(20)]
            assert found.calls == 1

        found.run(herd())
        assert found.get().is_hit


def test_a_client_that_goes_away_does_not_take_the_answer_from_those_that_wait() -> None:
    """An application that stops when its client has gone, as frameworks do, must not leave the others with half an answer."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope)
        await receive()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"cache-control", b"max-age=600"), (b"content-length", b"8")],
            }
        )
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if len(calls) == 1:
            went = asyncio.ensure_future(receive())
            released = asyncio.ensure_future(hold[0].wait())
            await asyncio.wait([went, released], return_when=asyncio.FIRST_COMPLETED)
            released.cancel()
            if went.done():
                assert went.result()["type"] == "http.disconnect"
                return
            went.cancel()
        await send({"type": "http.response.body", "body": b"more"})

    calls: List[Any] = []
    hold: List[asyncio.Event] = []
    with site(application=application) as found:

        async def leave() -> None:
            hold.append(asyncio.Event())
            gone = asyncio.Event()
            first = started(found, disconnect=gone)
            await turns(20)
            waiting = [started(found) for _ in range(10)]
            await turns()
            gone.set()
            await turns()
            hold[0].set()
            for answer in await asyncio.gather(*waiting):
                assert answer.body == b"halfmore"
            await first
            assert (await found.asking("GET")).body == b"halfmore"
            assert len(calls) <= 2

        found.run(leave())


@pytest.mark.parametrize("line", ["Cache-Control: no-store", "Cache-Control: private", "Set-Cookie: id=1", "Vary: *"])
def test_requests_that_waited_for_what_may_not_be_shared_go_to_the_application_each(line: str) -> None:
    with site() as found:

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold, line), reply(line))
            asking = [started(found) for _ in range(50)]
            await turns()
            assert found.calls == 1
            hold.set()
            answers = await asyncio.gather(*asking)
            # Nobody has what was made for another.
            assert sorted(answer.body for answer in answers) == sorted(b"answer %d" % number for number in range(1, 51))

        found.run(herd())


@pytest.mark.parametrize("directives", ["no-cache", "no-cache, max-age=600", "max-age=0", "max-age=0, must-revalidate"])
def test_an_answer_that_has_to_be_validated_for_each_request_is_not_given_to_those_that_waited(directives: str) -> None:
    answer = reply(f"Cache-Control: {directives}", 'ETag: "a"')
    with site() as found:

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold, *[f"Cache-Control: {directives}", 'ETag: "a"']), answer)
            asking = [started(found) for _ in range(20)]
            await turns()
            hold.set()
            await asyncio.gather(*asking)
            assert found.calls == 20
            # Nor do they wait for each other, when it is known.
            again = asyncio.Event()
            found.application.at("/", held(again, f"Cache-Control: {directives}", 'ETag: "a"', status=304))
            asking = [started(found) for _ in range(20)]
            await turns()
            assert found.calls == 40
            again.set()
            assert {(answer.status, answer.is_hit) for answer in await asyncio.gather(*asking)} == {(200, True)}

        found.run(herd())


def test_requests_that_waited_go_as_soon_as_the_head_says_that_they_wait_in_vain() -> None:
    with site() as found:

        async def herd() -> None:
            never, ready = asyncio.Event(), asyncio.Event()
            found.application.at(
                "/",
                reply("Cache-Control: no-store", body=[b"a", never], before=[ready]),
                reply("Cache-Control: no-store"),
            )
            first = started(found)
            await turns(20)
            waiting = [started(found) for _ in range(10)]
            await turns()
            assert found.calls == 1
            ready.set()
            # The body of the first goes on and on.
            answers = await asyncio.gather(*waiting)
            assert (len({answer.body for answer in answers}), first.done()) == (10, False)
            never.set()
            await first

        found.run(herd())


def test_what_could_not_be_shared_once_is_not_queued_for_the_next_time() -> None:
    with site(reply("Cache-Control: no-store")) as found:
        found.get()

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold, "Cache-Control: no-store"))
            asking = [started(found) for _ in range(20)]
            await turns()
            assert found.calls == 21, "all at the same time"
            hold.set()
            await asyncio.gather(*asking)

        found.run(herd())


def test_what_could_not_be_shared_once_is_stored_when_it_can_be() -> None:
    with site(reply("Cache-Control: no-store"), FRESH) as found:
        found.get()
        assert found.get().body == b"answer 2"
        assert found.get().is_hit


def test_an_answer_that_becomes_too_long_is_each_ones_own_matter() -> None:
    with site(max_body_size=100) as found:

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", reply("Cache-Control: max-age=600", body=[b"x" * 90, hold, b"x" * 90]))
            asking = [started(found) for _ in range(10)]
            await turns()
            hold.set()
            for answer in await asyncio.gather(*asking):
                assert answer.body == b"x" * 180

        found.run(herd())


@lets_time_pass
def test_a_head_that_is_answered_first_leaves_no_herd_behind_it() -> None:
    with site(reply("Cache-Control: max-age=600", 'ETag: "a"')) as found:
        found.get()
        found.pass_time(700)

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", held(hold, "Cache-Control: max-age=600", 'ETag: "b"', body=b"newer"))
            asking = [started(found, "HEAD")] + [started(found) for _ in range(50)]
            await turns()
            hold.set()
            answers = await asyncio.gather(*asking)
            assert {answer.body for answer in answers[1:]} == {b"newer"}
            assert found.calls <= 3, "the HEAD, and one for all others"

        found.run(herd())


@lets_time_pass
@pytest.mark.parametrize("failure", [reply(status=503), reply(before=[Broken("down")])], ids=["503", "exception"])
def test_requests_that_waited_for_a_failure_get_the_stale_answer_too(failure: Reply) -> None:
    with site(reply("Cache-Control: max-age=600, stale-if-error=600", 'ETag: "a"')) as found:
        found.get()
        found.pass_time(700)

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", Reply(failure.status, failure.headers, failure.body, [hold, *failure.before]))
            asking = [started(found) for _ in range(50)]
            await turns()
            hold.set()
            answers = await asyncio.gather(*asking)
            assert {(answer.status, answer.body) for answer in answers} == {(200, b"answer 1")}
            assert found.calls == 2, "an application that is down is not asked fifty times at once"

        found.run(herd())


def threads_that_wait() -> int:
    """How many threads wait for what another one gets."""
    waiting = 0
    for frame in sys._current_frames().values():
        at: Any = frame
        while at is not None and (at.f_code.co_name != "wait" or not at.f_code.co_filename.endswith("_flights.py")):
            at = at.f_back
        waiting += at is not None
    return waiting


@pytest.mark.parametrize("fails", ["503", "raises"])
def test_threads_that_waited_for_a_failure_get_the_stale_answer_too(fails: str) -> None:
    many, calls, clock = 20, [], Clock()

    def application(environ: Any, start_response: Any) -> List[bytes]:
        calls.append(1)
        if len(calls) > 1:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while threads_that_wait() < many - 1:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            if fails == "raises":
                raise Broken("down")
            start_response("503 Service Unavailable", [])
            return [b"down"]
        start_response("200 OK", [("Cache-Control", "max-age=600, stale-if-error=600"), ("ETag", '"a"')])
        return [b"body"]

    def ask() -> Tuple[str, bytes]:
        heads: List[str] = []
        environ: Dict[str, Any] = {}
        setup_testing_defaults(environ)
        chunks = middleware(environ, lambda status, fields, exc_info=None: heads.append(status))
        try:
            return heads[0] if heads else "", b"".join(chunks)
        finally:
            getattr(chunks, "close", lambda: None)()

    with SmartCache(SmartCacheConfig(memory_capacity=100)) as cache:
        middleware = WSGICacheMiddleware(application, cache_instance=cache, clock=clock)
        assert ask()[1] == b"body"
        clock.now += 700
        with ThreadPoolExecutor(many) as pool:
            answers = [asked.result() for asked in [pool.submit(ask) for _ in range(many)]]
        assert answers == [("200 OK", b"body")] * many
        assert len(calls) == 2


def test_nothing_is_left_behind_by_a_storm() -> None:
    """Requests that come, go, fail and are cancelled in any order leave no task, and every URL can be had afterwards."""
    source = random.Random(7)

    def script(asked: Asked) -> Reply:
        kind = source.random()
        if kind < 0.2:
            return reply(before=[Broken("down")])
        if kind < 0.3:
            return reply("Cache-Control: max-age=600", body=[b"half", Broken("down")])
        if kind < 0.4:
            return reply("Cache-Control: no-store")
        return reply("Cache-Control: max-age=600", body=asked.url.encode())

    with site(script) as found:

        async def storm() -> None:
            tasks: List["asyncio.Task[Answer]"] = []
            for _ in range(1500):
                url = f"/{source.randrange(10)}"
                tasks.append(started(found, source.choice(["GET", "GET", "GET", "HEAD", "POST"]), url))
                if source.random() < 0.2:
                    source.choice(tasks).cancel()
                if source.random() < 0.5:
                    await asyncio.sleep(0)
            for task, result in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True)):
                assert isinstance(result, (Answer, Broken, asyncio.CancelledError)), result
            await settled()

        found.run(storm())
        for number in range(10):
            found.application.at(f"/{number}", FRESH)
            found.get(f"/{number}")
            assert found.get(f"/{number}").is_hit
        assert found.middleware.get_stats()["http_stats"]["cache_errors"] == 0
