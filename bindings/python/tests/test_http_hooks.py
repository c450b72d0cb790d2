"""The documented hooks: what HTTP says, many requests at once, handlers that never answer, and faults."""

from __future__ import annotations

import asyncio
import gc
import json
from types import MappingProxyType
from typing import Any, Dict, List

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import SmartCacheMiddleware
from hooked import FRESH, Handler, ask, both, request_for, response_of, run, small_cache, state_of
from http_application import Broken, Clock, turns

__all__ = ["small_cache"]


# ---- What HTTP says ----


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "no-store"},
        {"cache-control": "private"},
        {"Vary": "*"},
        {"Set-Cookie": "a=1"},
        {"Content-Length": "3"},
    ],
)
def test_what_may_not_be_stored_is_not(cache: SmartCache, headers: Dict[str, str]) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    assert [state_of(each) for each in both(middleware, request_for, lambda request: response_of(headers=dict(headers)))] == [
        "MISS"
    ] * 2


def test_a_body_that_is_too_long_is_not_stored(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache, max_body_size=6)
    assert [state_of(each) for each in both(middleware, request_for)] == ["MISS", "MISS"]
    assert middleware.get_stats()["http_stats"]["too_large"] == 2


def test_conditions_and_parts_are_answered_from_what_is_stored(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    handler: Handler = lambda request: response_of(b"answer", headers={"ETag": '"a"', **FRESH})  # noqa: E731
    first = run(ask(middleware, request_for(headers={"If-None-Match": '"a"'}), handler))
    assert first.status_code == 200, "the handler answers, and what it says is passed on"
    known = run(middleware.process_request(request_for(headers={"If-None-Match": '"a"'})))
    assert (known.status_code, known.body, known.headers["x-cache"]) == (304, b"", "HIT")
    part = run(middleware.process_request(request_for(headers={"Range": "bytes=1-2"})))
    assert (part.status_code, part.body, part.headers["content-range"]) == (206, b"ns", "bytes 1-2/6")
    head = run(middleware.process_request(request_for(method="HEAD")))
    assert (head.status_code, head.body, head.headers["content-length"]) == (200, b"", "6")


def test_an_answer_to_head_is_stored_without_the_body_that_some_frameworks_give_it(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    miss, hit = both(middleware, lambda: request_for(method="HEAD"), lambda request: response_of(b"answer"))
    assert (state_of(miss), state_of(hit), hit.body, hit.headers["content-length"]) == ("MISS", "HIT", b"", "6")
    assert run(middleware.process_request(request_for())) is None


def test_a_304_to_the_clients_own_condition_renews_what_it_is_about(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock)
    fetched: Handler = lambda request: response_of(b"answer", headers={"ETag": '"a"', **FRESH})  # noqa: E731
    unchanged: Handler = lambda request: response_of(b"", 304, {"ETag": '"a"', **FRESH})  # noqa: E731
    run(ask(middleware, request_for(), fetched))
    clock.now += 700
    assert run(ask(middleware, request_for(headers={"If-None-Match": '"a"'}), unchanged)).status_code == 304
    hit = run(middleware.process_request(request_for()))
    assert (hit.status_code, hit.body, hit.headers["age"]) == (200, b"answer", "0")


def test_a_304_to_another_condition_is_the_clients_and_leaves_what_is_stored(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock)
    old: Handler = lambda request: response_of(
        b"old", headers={"ETag": '"a"', "Cache-Control": "max-age=600, stale-if-error=9999"}
    )  # noqa: E731
    run(ask(middleware, request_for(), old))
    clock.now += 700
    unchanged: Handler = lambda request: response_of(b"", 304, {"ETag": '"b"'})  # noqa: E731
    assert run(ask(middleware, request_for(headers={"If-None-Match": '"b"'}), unchanged)).status_code == 304
    covered = run(ask(middleware, request_for(), lambda request: response_of(b"sorry", 503, {})))
    assert (covered.status_code, covered.body) == (200, b"old")


def test_a_change_ends_what_is_stored_before_its_answer_is_returned(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    both(middleware, lambda: request_for(headers={"Host": "example.org"}))
    both(middleware, lambda: request_for("/other", headers={"Host": "example.org"}))
    change = request_for(method="POST", headers={"Host": "example.org"})
    run(ask(middleware, change, lambda request: response_of(status=303, headers={"Location": "/other"})))
    assert run(middleware.process_request(request_for(headers={"Host": "example.org"}))) is None
    assert run(middleware.process_request(request_for("/other", headers={"Host": "example.org"}))) is None
    assert middleware.get_stats()["http_stats"]["invalidations"] == 2


def test_a_failure_is_covered_by_what_is_stored(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock, stale_if_error=600)
    run(ask(middleware, request_for(), lambda request: response_of()))
    clock.now += 700
    covered = run(ask(middleware, request_for(), lambda request: response_of(b"sorry", 503, {})))
    assert (covered.status_code, covered.body) == (200, b"content") and "stale-if-error" in covered.headers["cache-status"]

    async def raises() -> Any:
        request = request_for()
        assert await middleware.process_request(request) is None
        return middleware.handler_failed(request), middleware.handler_failed(request)

    first, second = run(raises())
    assert first.body == b"content" and second is None


def test_one_request_fetches_anew_what_others_are_served_stale(cache: SmartCache) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock, stale_while_revalidate=600)
    run(ask(middleware, request_for(), lambda request: response_of(b"old")))
    clock.now += 700

    async def course() -> None:
        first = request_for()
        assert await middleware.process_request(first) is None, "nobody else can fetch it"
        stale = await middleware.process_request(request_for())
        assert stale.body == b"old" and stale.headers["cache-status"] == "catzilla; hit; ttl=-100"
        await middleware.process_response(first, response_of(b"new"))
        assert (await middleware.process_request(request_for())).body == b"new"

    run(course())
    assert middleware.stats == {"total_requests": 4, "cache_hits": 2, "cache_misses": 2, "cache_sets": 2, "cache_skips": 0}


# ---- Many at once ----


def test_requests_for_the_same_wait_for_one_handler(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    calls: List[Any] = []

    async def one(gate: asyncio.Event) -> Any:
        request = request_for()
        answer = await middleware.process_request(request)
        if answer is None:
            calls.append(request)
            await gate.wait()
            answer = await middleware.process_response(request, response_of())
        return answer

    async def course() -> List[Any]:
        gate = asyncio.Event()
        asking = [asyncio.ensure_future(one(gate)) for _ in range(200)]
        await turns()
        gate.set()
        return await asyncio.gather(*asking)

    answers = run(course())
    assert len(calls) == 1 and {each.body for each in answers} == {b"content"}
    assert middleware.get_stats()["http_stats"]["collapsed"] == 199


def test_a_handler_that_never_answers_hands_over_when_its_request_is_forgotten(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)

    async def course() -> None:
        lost = request_for()
        assert await middleware.process_request(lost) is None
        requests = [request_for() for _ in range(3)]
        waiting = [asyncio.ensure_future(middleware.process_request(request)) for request in requests]
        await turns()
        assert not any(each.done() for each in waiting)
        # Its handler has raised; the framework has answered 500 and forgotten it.
        del lost
        gc.collect()
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in done] == [None] and len(pending) == 2
        for each in pending:
            each.cancel()

    run(course())


@pytest.mark.parametrize("is_told", [True, False], ids=["raised", "503"])
def test_who_waits_for_a_handler_that_fails_gets_the_stale_answer_too(cache: SmartCache, is_told: bool) -> None:
    clock = Clock()
    middleware = SmartCacheMiddleware(cache_instance=cache, clock=clock, stale_if_error=600)
    run(ask(middleware, request_for(), lambda request: response_of(b"old")))
    clock.now += 700

    async def course() -> None:
        first = request_for()
        assert await middleware.process_request(first) is None
        requests = [request_for() for _ in range(5)]
        waiting = [asyncio.ensure_future(middleware.process_request(request)) for request in requests]
        await turns()
        if is_told:
            covered = middleware.handler_failed(first)
        else:
            covered = await middleware.process_response(first, response_of(b"sorry", 503, {}))
        assert {answer.body for answer in [covered, *await asyncio.gather(*waiting)]} == {b"old"}

    run(course())


def test_nobody_waits_longer_than_the_deadline(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache, wait_timeout=0.01)

    async def course() -> None:
        lost = request_for()
        assert await middleware.process_request(lost) is None
        late = request_for()
        assert await asyncio.ensure_future(middleware.process_request(late)) is None
        assert (await middleware.process_response(late, response_of(b"own"))).headers["x-cache"] == "MISS"
        assert (await middleware.process_response(lost, response_of(b"lost"))).headers["x-cache"] == "MISS"

    run(course())


def test_who_waits_for_an_answer_that_nobody_else_may_have_calls_the_handler(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)

    async def course() -> None:
        first = request_for()
        await middleware.process_request(first)
        waiting = asyncio.ensure_future(middleware.process_request(request_for()))
        await turns()
        await middleware.process_response(first, response_of(headers={"Cache-Control": "no-store"}))
        assert await waiting is None
        # It is known now, so that nobody queues for it.
        assert await asyncio.ensure_future(middleware.process_request(request_for())) is None

    run(course())


def test_a_task_that_asks_twice_does_not_wait_for_itself(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)

    async def course() -> None:
        assert await middleware.process_request(request_for()) is None
        first = request_for()
        assert await middleware.process_request(first) is None
        second = request_for()
        assert await middleware.process_request(second) is None
        await middleware.process_response(second, response_of(b"second"))
        assert (await middleware.process_request(request_for())).body == b"second"

    run(course())


# ---- Faults ----


@pytest.mark.parametrize("name", ["_should_cache_request", "_should_cache_response", "_generate_cache_key", "_get_cache_ttl"])
def test_a_fault_in_a_subclass_is_no_failure_of_the_request(cache: SmartCache, name: str) -> None:
    def fails(self: Any, *arguments: Any) -> Any:
        raise Broken

    middleware = type("Failing", (SmartCacheMiddleware,), {name: fails})(cache_instance=cache)
    assert [each.body for each in both(middleware, request_for)] == [b"content", b"content"]
    assert middleware.get_stats()["http_stats"]["cache_errors"] == 2


def test_a_response_that_takes_no_fields_is_returned_and_stored(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    miss, hit = both(middleware, request_for, lambda request: response_of(headers=MappingProxyType(FRESH)))  # type: ignore[arg-type]
    assert (miss.body, hit.body, hit.headers["x-cache"]) == (b"content", b"content", "HIT")


def test_a_cache_that_is_closed_is_no_failure_of_the_request() -> None:
    cache = SmartCache(SmartCacheConfig(memory_capacity=10))
    middleware = SmartCacheMiddleware(cache_instance=cache)
    cache.close()
    assert [each.body for each in both(middleware, request_for)] == [b"content", b"content"]


def test_tiers_below_memory_are_asked_off_the_loop(tmp_path: Any) -> None:
    config = SmartCacheConfig(memory_capacity=100, disk_enabled=True, disk_path=str(tmp_path / "cache"))
    with SmartCache(config) as cache:
        middleware = SmartCacheMiddleware(cache_instance=cache)
        both(middleware, request_for)
        assert cache._memory_cache is not None
        cache._memory_cache.clear()
        hit = run(middleware.process_request(request_for()))
        assert (hit.headers["x-cache"], hit.body) == ("HIT", b"content")


def test_clearing_begins_anew(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache)
    both(middleware, request_for)
    middleware.clear_cache()
    assert set(middleware.stats.values()) == {0}
    assert run(middleware.process_request(request_for())) is None


def test_any_encoding_comes_back_exactly(cache: SmartCache) -> None:
    body = json.dumps({"text": "grüße 你好"}, ensure_ascii=False).encode("utf-16")
    _, hit = both(SmartCacheMiddleware(cache_instance=cache), request_for, lambda request: response_of(body))
    assert hit.body == body
