"""The WSGI middleware when applications fail, in the background, and with many threads that ask for the same."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, List

import pytest

from wsgi_site import PATIENCE_SECONDS, Broken, drive, environ_of, says, settle, site

# ---- Failures ----


@pytest.mark.parametrize(
    "failure",
    [says(Broken()), says(b"sorry", status="503 Busy", headers=[]), None],
    ids=["in its body", "by its status", "at once"],
)
def test_a_failure_is_covered_by_what_is_stored(failure: Any) -> None:
    def fails(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise Broken

    with site(says(b"answer", headers=[("Cache-Control", "max-age=10, stale-if-error=600")]), failure or fails) as found:
        found.ask()
        found.now += 60
        covered = found.ask()
        assert (covered.status, covered.body) == (200, b"answer")
        assert "stale-if-error" in (covered["cache-status"] or "")
        assert all(body.closed == 1 for body in found.app.bodies)


def test_a_failure_without_anything_stored_is_the_applications() -> None:
    with site(says(Broken()), says(b"answer")) as found:
        with pytest.raises(Broken):
            found.ask()
        assert found.app.bodies[0].closed == 1
        assert found.ask().body == b"answer"


def test_a_generator_of_keys_that_fails_is_no_failure_of_the_request() -> None:
    def generator(request: Any) -> str:
        raise Broken

    with site(custom_key_generator=generator) as found:
        assert [found.ask().body for _ in range(2)] == [b"answer", b"answer"]
        assert found.stats()["http_stats"]["cache_errors"] == 2


# ---- In the background ----


def test_what_is_stale_is_served_while_it_is_fetched_anew() -> None:
    seen: List[bytes] = []

    def anew(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(environ["wsgi.input"].read())
        return says(b"new")(environ, start_response)  # type: ignore[no-any-return]

    old = says(b"old", headers=[("Cache-Control", "max-age=10, stale-while-revalidate=600"), ("ETag", '"a"')])
    with site(old, anew) as found:
        found.ask(HTTP_X_OWN="1")
        found.now += 60
        stale = found.ask(HTTP_X_OWN="1", HTTP_RANGE="bytes=0-1", CONTENT_TYPE="text/plain")
        assert (stale.status, stale.body) == (206, b"ol")
        settle()
        asked = found.app.asked[1]
        assert (asked["REQUEST_METHOD"], asked["HTTP_X_OWN"], asked["HTTP_IF_NONE_MATCH"], seen) == ("GET", "1", '"a"', [b""])
        assert not {"HTTP_RANGE", "CONTENT_TYPE"} & set(asked)
        assert found.ask(HTTP_X_OWN="1").body == b"new"
        assert found.app.calls == 2 and found.app.bodies[1].closed == 1


def test_a_refresh_that_fails_is_counted_and_tried_again() -> None:
    old = says(b"old", headers=[("Cache-Control", "max-age=10, stale-while-revalidate=600")])
    with site(old, says(Broken()), says(b"new")) as found:
        found.ask()
        found.now += 60
        assert found.ask().body == b"old"
        settle()
        assert found.stats()["http_stats"]["failed_refreshes"] == 1
        assert found.ask().body == b"old"
        settle()
        assert found.ask().body == b"new"


# ---- Many at once ----


def test_threads_that_ask_for_the_same_wait_for_one_of_them() -> None:
    gate, begun = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun.set()
        assert gate.wait(PATIENCE_SECONDS)
        return says(b"one, ", b"two")(environ, start_response)  # type: ignore[no-any-return]

    with site(held) as found, ThreadPoolExecutor(16) as threads:
        asking = [threads.submit(found.ask) for _ in range(16)]
        assert begun.wait(PATIENCE_SECONDS)
        gate.set()
        answers = [done.result(PATIENCE_SECONDS) for done in asking]
        assert {answer.body for answer in answers} == {b"one, two"} and found.app.calls == 1
        assert sum(answer["x-cache"] == "MISS" for answer in answers) == 1


@pytest.mark.parametrize("first", [says(Broken()), says(b"half", Broken())], ids=["before its answer", "within its body"])
def test_a_request_that_fails_hands_over_to_one_that_waits(first: Any) -> None:
    gate, waiting = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        waiting.set()
        assert gate.wait(PATIENCE_SECONDS)
        return first(environ, start_response)  # type: ignore[no-any-return]

    with site(held, says(b"answer")) as found, ThreadPoolExecutor(8) as threads:
        failing = threads.submit(found.ask)
        assert waiting.wait(PATIENCE_SECONDS)
        asking = [threads.submit(found.ask) for _ in range(7)]
        gate.set()
        with pytest.raises(Broken):
            failing.result(PATIENCE_SECONDS)
        assert {done.result(PATIENCE_SECONDS).body for done in asking} == {b"answer"}
        assert found.app.calls == 2


def test_who_waits_for_an_application_that_fails_gets_the_stale_answer_too() -> None:
    gate, waiting = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        waiting.set()
        assert gate.wait(PATIENCE_SECONDS)
        raise Broken

    with site(says(b"old", headers=[("Cache-Control", "max-age=10, stale-if-error=600")]), held) as found:
        found.ask()
        found.now += 60
        with ThreadPoolExecutor(8) as threads:
            asking = [threads.submit(found.ask)]
            assert waiting.wait(PATIENCE_SECONDS)
            key = next(iter(found.middleware._flights._flights))
            flight = found.middleware._flights._flights[key]
            asking += [threads.submit(found.ask) for _ in range(7)]
            while len(flight._future._condition._waiters) < 7:  # type: ignore[attr-defined]
                threading.Event().wait(0.001)
            gate.set()
            assert {done.result(PATIENCE_SECONDS).body for done in asking} == {b"old"}
        assert found.app.calls == 2


def test_who_waits_for_an_answer_that_nobody_else_may_have_asks_for_its_own() -> None:
    with site(says(b"answer", headers=[("Cache-Control", "no-store")])) as found, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: found.ask(), range(8)))
        assert {answer["x-cache"] for answer in answers} == {"MISS"} and found.app.calls == 8


def test_nobody_waits_longer_than_the_deadline() -> None:
    gate, begun = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun.set()
        assert gate.wait(PATIENCE_SECONDS)
        return says(b"late")(environ, start_response)  # type: ignore[no-any-return]

    with site(held, says(b"own"), wait_timeout=0.01) as found, ThreadPoolExecutor(2) as threads:
        late = threads.submit(found.ask)
        assert begun.wait(PATIENCE_SECONDS)
        assert found.ask().body == b"own"
        gate.set()
        assert late.result(PATIENCE_SECONDS).body == b"late"


def test_an_application_may_ask_itself() -> None:
    with site() as found:

        def asks(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if "HTTP_X_INNER" in environ:
                return says(b"inner")(environ, start_response)  # type: ignore[no-any-return]
            inner = drive(found.middleware, environ_of(HTTP_X_INNER="1"))
            return says(b"outer of ", inner.body)(environ, start_response)  # type: ignore[no-any-return]

        found.app.answers = (asks,)
        assert found.ask().body == b"outer of inner"


def test_an_answer_that_is_forgotten_holds_nobody_up() -> None:
    with site() as found:
        # A server that neither takes it nor closes it.
        found.middleware(environ_of(), lambda *_: None)
        assert found.ask().body == b"answer"
