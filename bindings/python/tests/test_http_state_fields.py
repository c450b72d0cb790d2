"""Which fields tell clients of the cache (``state_fields``): an answer without them is, in all else, the answer that it would be with them."""

from __future__ import annotations

import re
from functools import partial
from types import MappingProxyType
from typing import Any, Callable, Collection, Dict, List, Tuple
from wsgiref.headers import Headers as ListOfHeaders

import pytest

import wsgi_site
from catzilla_cache import SmartCache
from catzilla_cache.cache_middleware import (
    CacheMiddleware,
    ConditionalCacheMiddleware,
    SmartCacheMiddleware,
    WSGICacheMiddleware,
    create_api_cache_middleware,
    create_page_cache_middleware,
    create_static_cache_middleware,
)
from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.response import Headers
from hooked import ask, request_for, response_of, run, small_cache
from http_application import FRESH, Answer, Asked, Fields, Reply, clock_of, lets_time_pass, reply, site

__all__ = ["clock_of", "small_cache"]

CHOICES: List[Collection[str]] = [(), ["x-cache"], {"cache-status"}, ("Cache-Status", "X-CACHE")]
chosen = pytest.mark.parametrize("state_fields", CHOICES, ids=lambda names: "+".join(sorted(names)) or "neither")

#: What caches behind this one have said, which is passed on or not whatever this one says.
UPSTREAM = ("X-Cache: HIT", "X-Cache-Time: 5", "X-Cache-TTL: 9", "Cache-Status: Upstream; hit; ttl=5")
KEPT = (b"cache-status", b"Upstream; hit; ttl=5")


def tagged(asked: Asked) -> Reply:
    """An answer with a validator, which is confirmed to who has it."""
    lines = ("Cache-Control: max-age=600, stale-if-error=100", 'ETag: "a"', "Content-Type: text/plain", *UPSTREAM)
    if asked["if-none-match"] == '"a"':
        return reply(*lines, status=304)
    return reply(*lines, body=b"ten bytes!")


def without(fields: Fields, state_fields: Collection[str]) -> Fields:
    """The fields of an answer that has all of them, without what clients are not told."""
    told = {name.lower() for name in state_fields}
    return [
        (name, value)
        for name, value in fields
        if not (name.startswith(b"x-cache") and "x-cache" not in told)
        and not (name == b"cache-status" and value.startswith(b"catzilla") and "cache-status" not in told)
    ]


def at_any_second(fields: Fields) -> Fields:
    """The same whenever it was sent."""
    changing = (b"age", b"x-cache-time", b"x-cache-ttl", b"cache-status")
    return [(name, re.sub(rb"(ttl=|^)\d+", rb"\1N", value) if name in changing else value) for name, value in fields]


def course(found: Any) -> List[Answer]:
    """Answers of every kind that take no time."""
    found.application.at("/never", reply("Cache-Control: no-store", *UPSTREAM))
    asked: List[Tuple[str, ...]] = [
        ("GET", "/a"), ("GET", "/a"), ("GET", "/a"), ("GET", "/a"), ("HEAD", "/a"), ("GET", "/a", 'If-None-Match: "a"'), ("GET", "/a", 'If-None-Match: "a"'),
        ("GET", "/a", "Range: bytes=0-3"), ("GET", "/a", "Range: bytes=0-1, 4-5"), ("GET", "/a", "Range: bytes=99-"), ("GET", "/a", "Cache-Control: no-cache"),
        ("GET", "/new", 'If-None-Match: "a"'), ("GET", "/none", "Cache-Control: only-if-cached"), ("GET", "/never"), ("GET", "/never"), ("HEAD", "/head"),
    ]  # fmt: skip
    return [found.ask(*each) for each in asked]


def stale_course(found: Any) -> List[Answer]:
    """Answers to what is stale: confirmed, fetched behind it, in place of a failure, and the failure itself."""
    answers = [found.get("/a")]
    found.pass_time(601)
    answers += [found.get("/a"), found.get("/a")]
    found.application.at("/a", reply(status=503))
    for seconds in (601, 100):
        found.pass_time(seconds)
        answers.append(found.get("/a"))
    found.application.at("/b", reply("Cache-Control: max-age=600, stale-while-revalidate=60"))
    for seconds in (0, 630, 0):
        found.pass_time(seconds)
        answers.append(found.get("/b"))
        found.settle()
    return answers


def check(made: Callable[[Any], List[Answer]], state_fields: Collection[str]) -> List[Answer]:
    """That answers are as ever but for what clients are not told; the usual ones."""
    with site(tagged) as found:
        usual = made(found)
    with site(tagged, state_fields=state_fields) as found:
        answers = made(found)
    assert [(each.status, each.body) for each in answers] == [(each.status, each.body) for each in usual]
    for answer, other in zip(answers, usual):
        assert at_any_second(answer.headers) == at_any_second(without(other.headers, state_fields))
    return usual


@chosen
def test_clients_are_told_by_those_fields_alone_that_were_chosen(state_fields: Collection[str]) -> None:
    usual = check(course, state_fields)
    assert {each.status for each in usual} == {200, 206, 304, 416, 504}
    # So there is something to be left out.
    assert all(each["x-cache"] and each.every("cache-status")[-1].startswith("catzilla") for each in usual)
    # What the application has said stands before it, also in what was stored; its X-Cache is nobody's word here.
    assert all(KEPT in each.headers for each in usual if each.status != 504)


@lets_time_pass
@chosen
def test_what_is_stale_tells_no_more_than_what_is_fresh(state_fields: Collection[str]) -> None:
    usual = check(stale_course, state_fields)
    told = [each.every("cache-status")[-1] for each in usual]
    assert "fwd-status=304" in told[1] and "stale-if-error" in told[3] and "fwd-status=503" in told[4] and "ttl=-30" in told[6]


@chosen
def test_what_is_not_for_the_cache_keeps_all_that_others_have_said(state_fields: Collection[str]) -> None:
    with site(tagged, state_fields=state_fields, exclude_paths=["/x"]) as found:
        for answer in (found.get("/x"), found.ask("POST", "/")):
            assert [answer[name] for name in ("x-cache", "x-cache-time", "x-cache-ttl", "cache-status")] == ["HIT", "5", "9", KEPT[1].decode()]


def test_nothing_in_an_answer_names_the_cache_when_clients_are_told_nothing() -> None:
    with site(FRESH, state_fields=()) as found:
        for answer in (found.get(), found.get(), found.head(), found.get("/b", "Cache-Control: only-if-cached")):
            assert not [pair for pair in answer.headers if b"cache" in pair[0] + pair[1] and pair[0] != b"cache-control"]
        # Not a matter of taste: RFC 9111 section 4 demands it of whoever answers with what is stored.
        assert found.get()["age"] == "0"
        assert found.middleware.stats["cache_hits"] == 3 and found.middleware.stats["cache_misses"] == 2


@pytest.mark.parametrize("header", ["", "If-None-Match", "Range"])
@chosen
def test_wsgi_tells_by_the_same_fields(state_fields: Collection[str], header: str) -> None:
    lines = [(name, value.strip()) for name, _, value in (line.partition(":") for line in UPSTREAM)]
    says = wsgi_site.says(b"ten bytes!", headers=[*wsgi_site.FRESH, ("ETag", '"a"'), *lines])
    more = {"HTTP_" + header.upper().replace("-", "_"): {"If-None-Match": '"a"', "Range": "bytes=0-1"}[header]} if header else {}

    def answers(**parameters: Any) -> List[Any]:
        # With the system's clock, by the short way and by the long one.
        with SmartCache() as cache:
            middleware = WSGICacheMiddleware(wsgi_site.App(says), cache_instance=cache, **parameters)
            return [wsgi_site.drive(middleware, wsgi_site.environ_of(**asked)) for asked in ({}, {}, {}, more, more)]

    def fields_of(answer: Any) -> Fields:
        return [(name.lower().encode(), value.encode()) for name, value in answer.headers]

    for answer, usual in zip(answers(state_fields=state_fields), answers()):
        assert (answer.line, answer.body) == (usual.line, usual.body) and usual["x-cache"] is not None
        assert at_any_second(fields_of(answer)) == at_any_second(without(fields_of(usual), state_fields))
        assert KEPT in fields_of(answer)


OF_HANDLERS: Dict[str, Callable[[], Any]] = {
    "a dictionary": lambda: {"X-Cache": "HIT", "X-Cache-Time": "5", "X-Cache-TTL": "9", "Cache-Status": "Upstream; hit"},
    "one with a name in two cases": lambda: {"x-cache": "HIT", "X-CACHE": "HIT", "Cache-Status": "Upstream; hit"},
    "those of the cache": lambda: Headers([("X-Cache", "a"), ("X-Cache", "b"), ("Cache-Status", "Upstream; hit")]),
    "no mapping": lambda: ListOfHeaders([("X-Cache", "a"), ("Cache-Status", "Upstream; hit")]),
    "none of these": lambda: {"Content-Type": "text/plain"},
}


@pytest.mark.parametrize("headers", OF_HANDLERS.values(), ids=OF_HANDLERS)
@chosen
def test_the_documented_hooks_tell_by_the_same_fields(
    cache: SmartCache, state_fields: Collection[str], headers: Callable[[], Any]
) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache, state_fields=state_fields)
    has_upstream = "Cache-Status" in headers()
    answers = [run(ask(middleware, request_for(), lambda request: response_of(headers=headers()))) for _ in range(3)]
    told = {name.lower() for name in state_fields}
    for answer, state in zip(answers, ("MISS", "HIT", "HIT")):
        found = {name.lower(): value for name, value in answer.headers.items()}
        assert found.get("x-cache") == (state if "x-cache" in told else None)
        assert (f"x-cache-{'ttl' if state == 'MISS' else 'time'}" in found) == ("x-cache" in told)
        status = ", ".join(value for name, value in answer.headers.items() if name.lower() == "cache-status")
        assert status.startswith("Upstream; hit" if has_upstream else "catzilla" if "cache-status" in told else "")
        assert status.count("Upstream") == has_upstream and status.count("catzilla") == ("cache-status" in told)
    assert middleware.get_stats()["http_stats"]["cache_errors"] == 0


def test_a_response_that_takes_no_fields_is_none_the_worse_for_being_told_nothing(cache: SmartCache) -> None:
    middleware = SmartCacheMiddleware(cache_instance=cache, state_fields=())
    headers: Any = MappingProxyType({"ETag": '"a"'})
    answers = [run(ask(middleware, request_for(), lambda request: response_of(headers=headers))) for _ in range(2)]
    assert [each.body for each in answers] == [b"content", b"content"]
    assert middleware.get_stats()["http_stats"]["cache_errors"] == 0 and middleware.stats["cache_hits"] == 1


def test_what_is_stored_is_the_same_whatever_clients_are_told(cache: SmartCache) -> None:
    with site(FRESH) as found:
        found.get()
        quiet = CacheMiddleware(found.application, cache_instance=found.cache, clock=found.middleware._policy.clock, state_fields=())
        found.middleware = quiet
        answer = found.get()
        assert (answer.body, found.calls, answer["age"], answer["x-cache"]) == (b"answer 1", 1, "0", None)


@pytest.mark.parametrize(
    "value, wrong, right",
    [
        ("x-cache", "'x-cache'", "a list or a set of 'x-cache' and 'cache-status'"),
        (False, "False", "a list or a set of 'x-cache' and 'cache-status'"),
        (["X-Cache", "Age"], "'age'", "by 'x-cache' and 'cache-status'"),
        (["x-cache-ttl", "via"], "'via', 'x-cache-ttl'", "by 'x-cache' and 'cache-status'"),
        ([b"x-cache"], "b'x-cache'", "text is wanted"),
    ],
)
def test_what_makes_no_sense_is_refused(cache: SmartCache, value: Any, wrong: str, right: str) -> None:
    app: Any = None
    makers: List[Callable[..., Any]] = [
        SmartCacheMiddleware,
        partial(ConditionalCacheMiddleware, {}),
        partial(CacheMiddleware, app),
        partial(WSGICacheMiddleware, app),
        create_api_cache_middleware,
        create_static_cache_middleware,
        create_page_cache_middleware,
    ]
    for make in makers:
        with pytest.raises(CacheValueError) as refused:
            make(cache_instance=cache, state_fields=value)
        told = str(refused.value)
        assert told.startswith("state_fields") and told.endswith(f"not {wrong}") or told.endswith(f"not by {wrong}"), told
        assert right in told


def test_the_choice_can_be_read_back(cache: SmartCache) -> None:
    assert SmartCacheMiddleware(cache_instance=cache).state_fields == {"x-cache", "cache-status"}
    assert SmartCacheMiddleware(cache_instance=cache, state_fields=None).state_fields == {"x-cache", "cache-status"}
    assert SmartCacheMiddleware(cache_instance=cache, state_fields=["X-Cache"]).state_fields == {"x-cache"}
    assert SmartCacheMiddleware(cache_instance=cache, state_fields=[]).state_fields == frozenset()
