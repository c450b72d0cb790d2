"""When an answer is served after its end, and how it is refreshed behind the requests.

Shows RFC 9111 sections 4.2.4 (serving stale), 5.2.2.2 must-revalidate, 5.2.2.4 no-cache, 5.2.2.8 proxy-revalidate, 5.2.2.10 s-maxage, and
RFC 5861 (stale-while-revalidate, stale-if-error).
"""

from __future__ import annotations

import asyncio
from typing import Any, Dict, List

import pytest

from http_application import Asked, Broken, Reply, reply, settled, site

WINDOW = reply("Cache-Control: max-age=600, stale-while-revalidate=60", 'ETag: "a"')
ON_ERROR = reply("Cache-Control: max-age=600, stale-if-error=60", 'ETag: "a"')


def test_within_the_window_the_stale_answer_is_served_and_one_refresh_goes_on_behind() -> None:
    with site(WINDOW) as found:
        found.get()
        found.pass_time(630)
        stale = found.get()
        assert (stale.body, stale.is_hit, stale["age"]) == (b"answer 1", True, "630")
        found.settle()
        assert found.calls == 2
        fresh = found.get()
        assert (fresh.body, fresh.is_hit, fresh["age"]) == (b"answer 2", True, "0")
        found.settle()
        assert found.calls == 2


def test_a_refresh_is_a_validation_of_its_own_without_what_the_client_asked_for() -> None:
    with site(WINDOW, reply("Cache-Control: max-age=600", 'ETag: "a"', "X-New: 1", status=304)) as found:
        found.get("/", "Accept: a")
        found.pass_time(630)
        part = found.get("/", "Accept: a", "Range: bytes=0-1", 'If-Range: "a"', 'X-Own: "1"')
        assert (part.status, part.body) == (206, b"an")
        found.settle()
        asked = found.last
        assert (asked.method, asked.body) == ("GET", b"")
        assert (asked["accept"], asked["if-none-match"], asked["range"], asked["if-range"]) == ("a", '"a"', None, None)
        again = found.get("/", "Accept: a")
        assert (again.body, again["x-new"], again.is_hit, found.calls) == (b"answer 1", "1", True, 2)


def test_a_head_or_a_condition_within_the_window_is_answered_and_the_refresh_is_of_the_whole() -> None:
    for method, lines, status in (("HEAD", [], 200), ("GET", ['If-None-Match: "a"'], 304), ("GET", ['If-None-Match: "x"'], 200)):
        with site(WINDOW, reply("Cache-Control: max-age=600", 'ETag: "b"')) as found:
            found.get()
            found.pass_time(630)
            assert found.ask(method, "/", *lines).status == status
            found.settle()
            # A HEAD may refresh with a HEAD, which then must not take the place of the whole.
            assert found.get().body in (b"answer 1", b"answer %d" % found.calls)
            found.settle()
            assert found.get().body != b""


def test_after_the_window_the_request_waits_for_the_application() -> None:
    with site(WINDOW) as found:
        found.get()
        found.pass_time(661)
        assert found.get().body == b"answer 2"


def test_one_refresh_at_a_time_however_many_ask() -> None:
    with site(WINDOW) as found:
        found.get()
        found.pass_time(630)

        async def herd() -> None:
            hold = asyncio.Event()
            found.application.at("/", reply("Cache-Control: max-age=600", body=b"fresh", before=[hold]))
            for _ in range(3):
                answers = await asyncio.gather(*(found.asking("GET") for _ in range(50)))
                assert {answer.body for answer in answers} == {b"answer 1"}
                assert all(answer.is_hit for answer in answers)
            # Nobody has waited: the refresh has not ended, and it is the only one.
            assert found.calls == 2
            hold.set()
            await settled()
            assert (await found.asking("GET")).body == b"fresh"
            assert found.calls == 2

        found.run(herd())


@pytest.mark.parametrize(
    "failure",
    [
        reply(status=500),
        reply(status=503),
        reply(before=[Broken("down")]),
        reply("Cache-Control: max-age=600", body=[b"half", Broken("down")]),
    ],
)
def test_a_refresh_that_fails_leaves_the_stale_answer_and_is_tried_again(
    failure: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    with site(WINDOW, failure, reply("Cache-Control: max-age=600")) as found:
        found.get()
        found.pass_time(610)
        assert found.get().body == b"answer 1"
        found.settle()
        found.pass_time(10)
        assert found.get().body == b"answer 1"
        found.settle()
        assert found.calls == 3
        assert found.get().body == b"answer 3"


def test_a_refresh_is_of_the_variant_that_was_asked_for() -> None:
    def answer(asked: Asked) -> Reply:
        return reply("Cache-Control: max-age=600, stale-while-revalidate=60", "Vary: X-A", body=(asked["x-a"] or "").encode())

    with site(answer) as found:
        found.get("/", "X-A: 1")
        found.get("/", "X-A: 2")
        found.pass_time(630)
        assert found.get("/", "X-A: 1").body == b"1"
        found.settle()
        assert (found.calls, found.last["x-a"]) == (3, "1")
        assert found.get("/", "X-A: 1")["age"] == "0"
        assert found.get("/", "X-A: 2")["age"] == "630"


def test_a_refresh_whose_answer_may_not_be_stored_ends_what_was_stored_at_the_latest_with_its_window() -> None:
    with site(WINDOW, reply("Cache-Control: no-store")) as found:
        found.get()
        found.pass_time(630)
        assert found.get().body == b"answer 1"
        found.settle()
        found.pass_time(31)
        assert found.get().body == b"answer %d" % found.calls


@pytest.mark.parametrize(
    "directives, parameters, served",
    [
        pytest.param("max-age=600", {}, False, id="no window at all"),
        pytest.param("max-age=600", {"stale_while_revalidate": 60}, True, id="the window of the operator"),
        pytest.param(
            "max-age=600, stale-while-revalidate=0", {"stale_while_revalidate": 60}, False, id="the response has a shorter one"
        ),
        pytest.param(
            "max-age=600, stale-while-revalidate=60", {"stale_while_revalidate": 1}, True, id="the response has a longer one"
        ),
        pytest.param("max-age=600", {"cache_rules": {"/*": {"stale_while_revalidate": 60}}}, True, id="the window of a rule"),
        pytest.param("max-age=600, must-revalidate", {"stale_while_revalidate": 60}, False, id="must-revalidate"),
        pytest.param("max-age=600, proxy-revalidate", {"stale_while_revalidate": 60}, False, id="proxy-revalidate"),
        pytest.param("max-age=600, must-revalidate, stale-while-revalidate=60", {}, False, id="must-revalidate beside a window"),
        pytest.param("max-age=600, no-cache, stale-while-revalidate=6000", {}, False, id="no-cache beside a window"),
        pytest.param("s-maxage=600", {"stale_while_revalidate": 60}, False, id="s-maxage forbids the window of the operator"),
        pytest.param("s-maxage=600, stale-while-revalidate=60", {}, True, id="s-maxage and a window of the response"),
        pytest.param("max-age=600, stale-while-revalidate=abc", {}, False, id="a window that cannot be read"),
        pytest.param("max-age=600, Stale-While-Revalidate=60", {}, True, id="a window in capitals"),
        pytest.param("max-age=600, stale-while-revalidate=99999999999999999999", {}, True, id="a very long window"),
    ],
)
def test_the_window_for_a_refresh_is_what_the_response_says_or_the_operator(
    directives: str, parameters: Dict[str, Any], served: bool
) -> None:
    with site(reply(f"Cache-Control: {directives}", 'ETag: "a"'), **parameters) as found:
        found.get()
        found.pass_time(630)
        answer = found.get()
        assert (answer.body, answer.is_hit) == ((b"answer 1", True) if served else (b"answer 2", False))
        found.settle()
        assert found.calls == 2


FAILURES = [reply(status=status) for status in (500, 502, 503, 504)] + [reply(before=[Broken("down")])]


@pytest.mark.parametrize("failure", FAILURES, ids=["500", "502", "503", "504", "exception"])
def test_within_the_window_a_failing_application_is_hidden_by_the_stale_answer(failure: Reply) -> None:
    with site(ON_ERROR, failure) as found:
        found.get()
        found.pass_time(630)
        for calls in (2, 3):
            stale = found.get()
            assert (stale.status, stale.body, stale["age"]) == (200, b"answer 1", "630")
            assert found.calls <= calls
        assert found.get("/", 'If-None-Match: "a"').status == 304
        assert found.head().status == 200


@pytest.mark.parametrize("failure", FAILURES, ids=["500", "502", "503", "504", "exception"])
def test_after_the_window_a_failing_application_is_seen(failure: Reply) -> None:
    with site(ON_ERROR, failure) as found:
        found.get()
        found.pass_time(661)
        if failure.before:
            with pytest.raises(Broken):
                found.get()
        else:
            assert found.get().status == failure.status


@pytest.mark.parametrize("status", [404, 400, 403, 429])
def test_an_answer_that_is_no_failure_of_the_server_is_given(status: int) -> None:
    with site(ON_ERROR, reply(status=status)) as found:
        found.get()
        found.pass_time(630)
        assert found.get().status == status


def test_a_failure_in_the_middle_of_a_body_cannot_be_hidden_and_destroys_nothing() -> None:
    with site(ON_ERROR, reply("Content-Length: 10", body=[b"half", Broken("down")]), reply(status=503)) as found:
        found.get()
        found.pass_time(630)
        with pytest.raises(Broken):
            found.get()
        assert found.get().body == b"answer 1"


@pytest.mark.parametrize(
    "directives, parameters, request_lines, served",
    [
        pytest.param("max-age=600", {}, [], False, id="no window at all"),
        pytest.param("max-age=600", {"stale_if_error": 60}, [], True, id="the window of the operator"),
        pytest.param("max-age=600, stale-if-error=0", {"stale_if_error": 60}, [], False, id="the response has a shorter one"),
        pytest.param("max-age=600", {"cache_rules": {"/*": {"stale_if_error": 60}}}, [], True, id="the window of a rule"),
        pytest.param("max-age=600, must-revalidate", {"stale_if_error": 60}, [], False, id="must-revalidate"),
        pytest.param("max-age=600, must-revalidate, stale-if-error=60", {}, [], False, id="must-revalidate beside a window"),
        pytest.param("max-age=600, proxy-revalidate, stale-if-error=60", {}, [], False, id="proxy-revalidate beside a window"),
        pytest.param("max-age=600, no-cache, stale-if-error=6000", {}, [], False, id="no-cache beside a window"),
        pytest.param("max-age=600, no-cache", {"stale_if_error": 6000}, [], False, id="no-cache and the window of the operator"),
        pytest.param("s-maxage=600", {"stale_if_error": 60}, [], False, id="s-maxage forbids the window of the operator"),
        pytest.param("s-maxage=600, stale-if-error=60", {}, [], True, id="s-maxage and a window of the response"),
        pytest.param(
            "max-age=600, stale-if-error=60", {}, ["Cache-Control: no-cache"], False, id="the request takes nothing stale"
        ),
    ],
)
def test_the_window_for_failures_is_what_the_response_says_or_the_operator(
    directives: str, parameters: Dict[str, Any], request_lines: List[str], served: bool
) -> None:
    with site(reply(f"Cache-Control: {directives}", 'ETag: "a"'), reply(status=503), **parameters) as found:
        found.get()
        found.pass_time(630)
        assert found.get("/", *request_lines).status == (200 if served else 503)


@pytest.mark.parametrize("lines", [["Cache-Control: max-age=1, stale-if-error=1000"], ["Cache-Control: max-age=1"]])
def test_a_failure_that_was_stored_does_not_stand_in_for_another(lines: List[str]) -> None:
    failing = reply(*lines, 'ETag: "a"', status=503)
    with site(failing, reply(status=502), cache_status_codes={200, 503}, stale_if_error=1000) as found:
        found.get()
        found.pass_time(10)
        assert (found.get().status, found.calls) == (502, 2)


def test_a_failure_does_not_take_the_place_of_what_is_stored_even_if_its_status_is_cached() -> None:
    with site(
        ON_ERROR, reply("Cache-Control: max-age=600", status=503), reply(status=304), cache_status_codes={200, 503}
    ) as found:
        found.get()
        found.pass_time(630)
        assert found.get().status == 200
        found.pass_time(31)
        assert found.get().body in (b"answer 1", b"answer 3")


def test_both_windows_one_after_the_other() -> None:
    with site(reply("Cache-Control: max-age=600, stale-while-revalidate=60, stale-if-error=300"), reply(status=503)) as found:
        found.get()
        found.pass_time(630)
        assert found.get().body == b"answer 1"
        found.settle()
        found.pass_time(100)
        answer = found.get()
        assert (answer.status, answer.body) == (200, b"answer 1")
        assert found.calls >= 3, "beyond the first window the application is asked while the client waits"
        found.pass_time(300)
        assert found.get().status == 503


def test_a_stale_answer_tells_its_age_and_no_warning() -> None:
    with site(WINDOW) as found:
        found.get()
        found.pass_time(655)
        answer = found.get()
        assert answer["age"] == "655" and answer.every("warning") == []


@pytest.mark.parametrize(
    "directives", ["max-age=600, must-revalidate", "max-age=600, proxy-revalidate", "no-cache", "s-maxage=600"]
)
def test_what_must_be_validated_is_not_served_when_that_fails(directives: str) -> None:
    with site(reply(f"Cache-Control: {directives}", 'ETag: "a"'), reply(status=503), reply(before=[Broken("down")])) as found:
        found.get()
        found.pass_time(610)
        assert found.get().status == 503
        try:
            assert found.get().status == 504
        except Broken:
            pass
