"""A fault of the cache is never a fault of the request: it is counted, logged, and the request goes on."""

from __future__ import annotations

import logging
from typing import Any, Iterator

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig
from http_application import FRESH, Application, Site, clock_of, fields, lets_time_pass, reply, scope_of, site

__all__ = ["clock_of"]


def errors(found: Site) -> int:
    return int(found.middleware.get_stats()["http_stats"]["cache_errors"])


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING, logger="catzilla.cache"):
        yield caplog


def test_requests_go_on_when_the_cache_was_closed(logged: pytest.LogCaptureFixture) -> None:
    with site(FRESH) as found:
        found.get()
        found.cache.close()
        for calls in (2, 3):
            answer = found.get()
            assert (answer.status, answer.body, found.calls) == (200, b"answer %d" % calls, calls)
        assert found.ask("POST").status == 200
        assert found.get("/", 'If-None-Match: "a"', "Range: bytes=0-1").status in (200, 206)
        assert found.middleware.stats["total_requests"] == 5
        assert {record.name for record in logged.records} == {"catzilla.cache"}


def test_what_the_engine_does_not_take_passes() -> None:
    cache = SmartCache(SmartCacheConfig(memory_capacity=10, max_value_size=2000))
    found = Site(Application(reply("Cache-Control: max-age=600", body=b"x" * 5000)), cache, None)
    try:
        for calls in (1, 2):
            answer = found.get()
            assert (answer.body, found.calls) == (b"x" * 5000, calls)
        assert found.middleware.get_stats()["http_stats"]["too_large"] == 2
        assert errors(found) == 0
    finally:
        found.close()


@pytest.mark.parametrize("cut", [0, 1, 3, 20, 71, 72, 80, 100])
def test_an_entry_that_is_cut_short_is_a_miss(cut: int) -> None:
    with site(reply("Cache-Control: max-age=600", "X-A: " + "a" * 100, 'ETag: "a"')) as found:
        found.get()
        for key in list(found.cache.keys()):
            data, _ = found.cache.get(key)
            found.cache.set(key, data[:cut])
        answer = found.get()
        assert (answer.status, answer.body) == (200, b"answer 2")
        assert found.get().body == b"answer 2", "a whole one took its place"


@pytest.mark.parametrize("value", [None, {"status": 200}, "text", b"", b"\xc7" * 200, 7, [b"HTTP/1.1 200 OK"]])
def test_what_somebody_else_has_put_there_is_a_miss(value: Any) -> None:
    with site(FRESH) as found:
        found.get()
        stored = list(found.cache.keys())
        assert stored
        for key in stored:
            found.cache.set(key, value)
        assert found.get().body == b"answer 2"
        assert found.get().body == b"answer 2"


def test_every_single_byte_of_an_entry_may_be_wrong_and_no_request_fails() -> None:
    with site(reply("Cache-Control: max-age=600", "Vary: X-B", 'ETag: "a"', body=b"body")) as found:
        found.get("/", "X-B: 1")
        kept = {key: found.cache.get(key)[0] for key in found.cache.keys()}
        for key, data in kept.items():
            for at in range(min(len(data), 400)):
                for flip in (0x01, 0x80, 0xFF):
                    for other, whole in kept.items():
                        found.cache.set(other, whole)
                    found.cache.set(key, data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
                    # What is in the fields and the body is the engine's to keep; nothing of it may end the request.
                    answer = found.run(_statuses(found))
                    assert answer


async def _statuses(found: Site) -> bool:
    messages = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await found.middleware(scope_of("GET", "/", fields("X-B: 1")), receive, send)
    return messages[0]["type"] == "http.response.start" and not messages[-1].get("more_body", False)


@pytest.mark.parametrize("made", [None, 7, b"bytes"])
def test_a_key_that_is_no_text_is_a_fault_of_the_cache(made: Any, logged: pytest.LogCaptureFixture) -> None:
    with site(FRESH, custom_key_generator=lambda request: made) as found:
        assert [found.get().body, found.get().body] == [b"answer 1", b"answer 2"]
        assert errors(found) >= 1
        assert "custom_key_generator" in logged.text


@lets_time_pass
def test_a_refresh_that_fails_is_told_in_the_log_and_nowhere_else(logged: pytest.LogCaptureFixture) -> None:
    failing = reply(before=[RuntimeError("the application is down")])
    with site(reply("Cache-Control: max-age=600, stale-while-revalidate=60"), failing) as found:
        found.get()
        found.pass_time(630)
        assert found.get().status == 200
        found.settle()
        assert "the application is down" in logged.text
        assert found.middleware.get_stats()["http_stats"]["failed_refreshes"] == 1


def test_statistics_can_be_read_when_the_cache_was_closed() -> None:
    with site(FRESH) as found:
        found.get()
        found.cache.close()
        try:
            assert found.middleware.get_stats()["middleware_stats"]["total_requests"] == 1
        except Exception as error:
            # What is asked of the engine may say that it is gone; what was counted here is there all the same.
            assert "closed" in str(error)
        assert found.middleware.stats["total_requests"] == 1
