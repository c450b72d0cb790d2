"""The shortest way to an answer: what is answered, from what, and how it is counted; by the finder in Python and by the builtin."""

from __future__ import annotations

import gc
import itertools
import sys
import time
import weakref
from pathlib import Path
from typing import AbstractSet, Any, Callable, Dict, List, Tuple

import pytest

from catzilla_cache._backend import backend
from catzilla_cache.errors import CacheError
from catzilla_cache.http import stored
from catzilla_cache.http.finder import NoFinder, finder_for
from catzilla_cache.http.policy import policy_of
from catzilla_cache.http.stored import SearchRule, Varies, encode_response, encode_search, encode_varies
from catzilla_cache.smart_cache import RedisCache, SmartCache, SmartCacheConfig
from http_scopes import (
    CHOICES,
    FIELDS,
    HOUR,
    KINDS,
    POLICY,
    answers,
    check_answer,
    each_finder,
    environ_of,
    fields_of,
    key_of,
    make,
    only_compiled,
    put,
    response_of,
    scope_of,
    store,
)
from in_threads import in_threads, until
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory", "each_finder"]


# ---- Answers ----


def test_a_fresh_response_is_answered_with_its_fields_and_what_the_hit_was(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    for status, body in ((200, b"a body"), (404, b""), (301, bytes(range(256)) * 400), (599, b"x" * 100_000)):
        response = store(cache, scope, status=status, body=body)
        before = time.time()
        answer = finder.find(scope)
        after = time.time()
        check_answer(answer)
        start, message = answer
        assert start["status"] == status and message["body"] == body and start["headers"][:-4] == FIELDS
        said = fields_of(answer)
        assert int(before - response.born) <= int(said[b"age"]) <= int(after - response.born)
        assert int(before - response.stored_at) <= int(said[b"x-cache-time"]) <= int(after - response.stored_at)
        left = int(said[b"cache-status"][len(b"catzilla; hit; ttl=") :])
        assert int(response.fresh_until - after) <= left <= int(response.fresh_until - before)


def test_head_is_answered_from_what_is_stored_for_get(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    get, head = finder.find(scope), finder.find({**scope, "method": "HEAD"})
    assert head[0]["headers"][:-4] == get[0]["headers"][:-4] and head[1] == {"type": "http.response.body", "body": b""}
    deaf = make(type(finder), cache, takes_head=False)
    assert deaf.find({**scope, "method": "HEAD"}) is None and deaf.find(scope) is not None


def test_nothing_is_answered_that_has_to_be_thought_about(cache: SmartCache, finder: Any) -> None:
    scope, now = scope_of(), time.time()
    assert finder.find(scope) is None
    odd: List[Tuple[Dict[str, Any], bool]] = [
        ({"fresh_until": now - 0.5}, False), ({"fresh_until": now - HOUR, "stored_at": now - 2 * HOUR}, False),
        ({"flags": stored.NO_CACHE}, False), ({"flags": stored.HEAD_ONLY}, False), ({"flags": 255}, False),
        ({"stored_at": now + HOUR, "fresh_until": now + 2 * HOUR}, False), ({"rule": 3}, False), ({"rule": 65535}, False), ({"status": 99}, False),
        ({"status": 1000}, False), ({"rule": 2}, True), ({"stored_at": now + 1, "born": now + 1}, True),
        ({"flags": stored.NEVER_STALE | stored.SHARED_AGE | stored.OWN_TAG | stored.FOR_AUTHORIZED}, True), ({"fields": []}, True),
    ]  # fmt: skip
    for parts, is_answered in odd:
        store(cache, scope, **parts)
        assert (finder.find(scope) is not None) is is_answered, parts
    store(cache, scope, flags=stored.HEAD_ONLY)
    assert finder.find({**scope, "method": "HEAD"})[1]["body"] == b""
    # From a clock that is ahead: as old as nothing can be.
    store(cache, scope, stored_at=now + 3, born=now + 3)
    assert int(fields_of(finder.find(scope))[b"age"]) < HOUR
    for data in (encode_varies(Varies((b"accept",))), encode_search(SearchRule(True, None))):
        put(cache, scope, data)
        assert finder.find(scope) is None
    values: List[object] = ["text", 5, 1.5, None, True, b"", b"\xc7", b"x" * 100, [1], {"a": 1}, ("a",)]
    for value in values:
        cache.set(key_of(scope), value)
        assert finder.find(scope) is None
    cache.delete(key_of(scope))
    assert finder.find(scope) is None


def test_what_was_made_stale_is_not_answered_a_moment_later(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    response = store(cache, scope)
    for _ in range(200):
        assert finder.find(scope) is not None
        store(cache, scope, response.made_stale(time.time()))
        assert finder.find(scope) is None
        store(cache, scope, response)


def test_a_response_with_tags_is_answered(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    data = encode_response(response_of())
    assert backend.put_with(cache._live(), key_of(scope), data, 0, 0, 0, [b"one", b"x" * 200])[0] == 0
    assert finder.find(scope)[1]["body"] == b"a body"
    cache.invalidate("one")
    assert finder.find(scope) is None


def test_responses_of_caches_with_a_disk_are_answered_from_memory_alone(tmp_path: Path) -> None:
    config = SmartCacheConfig(disk_enabled=True, disk_path=str(tmp_path / "cache"))
    scope = scope_of()
    with SmartCache(config) as cache:
        finders = [make(kind, cache) for kind in KINDS]
        store(cache, scope, body=b"x" * 10_000)
        assert answers(cache, scope, finders)[1]["body"] == b"x" * 10_000
    with SmartCache(config) as cache:
        assert answers(cache, scope) is None
        assert cache.get(key_of(scope))[1] is True


def test_a_request_that_is_not_answered_is_no_miss_of_the_finders(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    finder.find(scope)
    assert cache.get_stats().misses == 0
    store(cache, scope)
    finder.find(scope)
    stats = cache.get_stats()
    assert (stats.hits, stats.misses) == (1, 0)


# ---- Heads that are kept ready ----


def test_messages_are_the_callers_own(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    for _ in range(5):
        start, body = finder.find(scope)
        assert start["headers"][:-4] == FIELDS and len(start) == 3 and len(body) == 2
        start["headers"].append((b"x-more", b"of a middleware"))
        start["headers"][0] = (b"content-type", b"text/html")
        start.update(status=500, more=1)
        body.update(body=b"compressed", more_body=True)


def test_a_response_that_takes_anothers_place_is_not_mistaken_for_it(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    first = response_of()
    others = [
        first, first._replace(status=404), first._replace(fields=[*FIELDS[:-1], (b"x-empty", b"x")]), first._replace(fields=FIELDS[:-1]),
        first._replace(fields=[(b"content-typf", b"application/json"), *FIELDS[1:]]), first._replace(body=b"other"), first._replace(rule=1),
        first._replace(fields=FIELDS * 30), first._replace(fresh_until=first.fresh_until + 1000), first._replace(born=first.born - 1000),
        first._replace(fields=[]),
    ]  # fmt: skip
    for _ in range(3):
        for one, times in itertools.product(others, (1, 3)):
            store(cache, scope, one)
            for _ in range(times):
                before = time.time()
                answer = finder.find(scope)
                assert (
                    answer[0]["status"] == one.status
                    and answer[0]["headers"][:-4] == one.fields
                    and answer[1]["body"] == one.body
                )
                assert int(before - one.born) <= int(fields_of(answer)[b"age"]) <= int(time.time() - one.born)


def test_more_responses_than_are_kept_ready_are_answered_as_they_are(cache: SmartCache, finder: Any) -> None:
    scopes = [scope_of(f"/items/{number}") for number in range(1500)]
    for number, scope in enumerate(scopes):
        store(cache, scope, fields=[*FIELDS, (b"x-number-%d" % (number % 200), b"%d" % number)], body=b"body %d" % number)
    for times in (1, 3, 2):
        for number, scope in enumerate(scopes):
            for _ in range(times):
                start, body = finder.find(scope)
                assert body["body"] == b"body %d" % number and start["headers"][len(FIELDS)] == (
                    b"x-number-%d" % (number % 200),
                    b"%d" % number,
                )


def test_fields_of_any_length_come_back(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    for fields in (
        [(b"n" * length, b"v" * length) for length in (0, 1, 31, 32, 33, 64, 65535)],
        [(b"x", b"v" * 1_000_000)],
        [(b"x-%d" % number, b"%d" % number) for number in range(5000)],
        [(b"", b"")] * 40,
        [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")] * 16,
        # To the byte around what is kept ready.
        *([(b"x", b"v" * (2048 - 72 - 7 + more))] for more in (-1, 0, 1)),
    ):
        store(cache, scope, fields=fields)
        for _ in range(3):
            assert finder.find(scope)[0]["headers"][:-4] == fields


def test_bodies_of_any_length_come_back_whatever_stood_under_the_same_head(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    head = {**scope, "method": "HEAD"}
    first = response_of()
    # To the byte around what is kept ready; the same length, too, with a difference at either end.
    lengths = [0, 1, 1024, 16383, 16384, 16385, 300_000]
    bodies = [body for length in lengths for body in (b"a" * length, (b"a" * length)[1:] + b"b", b"b" + (b"a" * length)[1:])]
    for body, times in itertools.product(bodies, (1, 3)):
        store(cache, scope, first._replace(body=body))
        for _ in range(times):
            assert finder.find(scope)[1] == {"type": "http.response.body", "body": body}
            assert finder.find(head)[1]["body"] == b""
            assert finder.find_environ(environ_of(scope))[2] == body


@only_compiled
def test_a_short_body_is_one_object_for_all_who_get_it(cache: SmartCache) -> None:
    finder, scope = make(KINDS[1], cache), scope_of()
    for length, is_one in ((16384, True), (16385, False)):
        store(cache, scope, body=b"a" * length)
        for asked in (lambda: finder.find(scope)[1]["body"], lambda: finder.find_environ(environ_of(scope))[2]):
            for _ in range(2):
                asked()
            assert (asked() is asked()) == is_one


def test_seconds_go_on_in_what_is_kept_ready(cache: SmartCache, finder: Any) -> None:
    scope, now = scope_of(), time.time()
    response = store(cache, scope, stored_at=now - 10.9, born=now - 20.6, fresh_until=now + 100.3)
    seen = set()

    def have_all_moved() -> bool:
        before = time.time()
        said = fields_of(finder.find(scope))
        after = time.time()
        age, since, left = int(said[b"age"]), int(said[b"x-cache-time"]), int(said[b"cache-status"].rsplit(b"=", 1)[1])
        assert int(before - response.born) <= age <= int(after - response.born)
        assert int(before - response.stored_at) <= since <= int(after - response.stored_at)
        assert int(response.fresh_until - after) <= left <= int(response.fresh_until - before)
        seen.add((age, since, left))
        return all(len(set(column)) > 1 for column in zip(*seen))

    until(have_all_moved)


# ---- Counting ----


def test_hits_are_counted_by_rule(cache: SmartCache, finder: Any) -> None:
    assert finder.counts() == [0, 0, 0]
    for rule, times in ((0, 3), (1, 1), (2, 5)):
        scope = scope_of(f"/{rule}")
        store(cache, scope, rule=rule)
        for _ in range(times):
            finder.find(scope)
    finder.find(scope_of("/absent"))
    finder.find(scope_of("/0", method="POST"))
    assert finder.counts() == [3, 1, 5]
    finder.forget()
    assert finder.counts() == [0, 0, 0]
    finder.find({**scope_of("/1"), "method": "HEAD"})
    assert finder.counts() == [0, 1, 0]


def test_threads_count_and_answer_as_one_would(cache: SmartCache, finder: Any) -> None:
    scopes = [scope_of(f"/items/{number}") for number in range(20)]
    for number, scope in enumerate(scopes):
        store(cache, scope, rule=number % 3, body=b"%d" % number)

    def work(thread: int) -> None:
        for turn in range(50):
            for number, scope in enumerate(scopes):
                start, body = finder.find(scope)
                assert body["body"] == b"%d" % number and start["headers"][: len(FIELDS)] == FIELDS
                start["headers"].clear()

    in_threads(4, work)
    assert finder.counts() == [4 * 50 * 7, 4 * 50 * 7, 4 * 50 * 6]


def test_threads_that_replace_and_close_meet_no_torn_answers(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    first, second = response_of(), response_of(status=404, fields=[(b"x", b"y")], body=b"other")
    store(cache, scope, first)

    def work(thread: int) -> None:
        for turn in range(300):
            if thread == 0:
                store(cache, scope, second if turn % 2 else first)
                if turn == 299:
                    cache.close()
                continue
            answer = finder.find(scope)
            if answer is not None:
                expected = first if answer[0]["status"] == 200 else second
                assert answer[0]["headers"][:-4] == expected.fields and answer[1]["body"] == expected.body

    in_threads(3, work)
    assert finder.find(scope) is None


# ---- The cache, and which finder ----


def test_a_closed_cache_has_no_answers(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    assert finder.find(scope) is not None
    cache.close()
    assert finder.find(scope) is None and finder.counts() == [1, 0, 0]
    with pytest.raises(CacheError, match="closed"):
        cache.get("key")


@pytest.mark.parametrize("kind", KINDS)
def test_a_finder_keeps_its_cache_and_both_go_together(kind: Any) -> None:
    scope = scope_of()
    cache = SmartCache()
    store(cache, scope)
    finder = make(kind, cache)
    gone = weakref.ref(cache)
    del cache
    gc.collect()
    assert gone() is not None and finder.find(scope) is not None
    # A cache that refers to its finder.
    cell = [finder]
    gone().set_listener(lambda key, value, cause: cell)  # type: ignore[union-attr]
    del finder, cell
    gc.collect()
    assert gone() is None


@only_compiled
def test_the_builtin_checks_what_it_is_made_of(cache: SmartCache) -> None:
    fine = [cache, b"p", (b"accept",), frozenset([b"_"]), b"name", 1]
    kind = KINDS[1]
    kind(*fine)
    kind(*fine, takes_head=False, tells_x_cache=False, tells_status=False)
    for place, wrong in (
        (0, None),
        (0, {}),
        (0, object()),
        (1, "p"),
        (1, None),
        (2, [b"accept"]),
        (2, ("accept",)),
        (2, (b"a", None)),
        (3, {b"_"}),
        (3, frozenset("_")),
        (4, "name"),
        (5, "1"),
        (5, None),
    ):
        with pytest.raises(TypeError):
            kind(*[wrong if at == place else value for at, value in enumerate(fine)])
    for rules in (0, -1, 65537, 2**40):
        with pytest.raises(ValueError, match="rules"):
            kind(*fine[:5], rules)
    for arguments in ([], fine[:5], [*fine, True, 5]):
        with pytest.raises(TypeError):
            kind(*arguments)
    for _ in range(50):
        with pytest.raises(TypeError):
            kind(cache, b"p", (b"accept", "x"), frozenset([b"_"]), b"name", 1)
    assert kind(cache, b"", (), frozenset(), b"", 65536).counts() == [0] * 65536


@only_compiled
@pytest.mark.parametrize("state_fields", CHOICES)
def test_finding_neither_loses_nor_keeps_references(cache: SmartCache, state_fields: AbstractSet[str]) -> None:
    finder = make(KINDS[1], cache, state_fields)
    scope, absent, odd = scope_of("/items", b"b=1&a=2"), scope_of("/absent"), scope_of(method="POST")
    big = scope_of("/big")
    store(cache, scope)
    store(cache, big, fields=FIELDS * 100)
    put(cache, absent, encode_response(response_of())[:-20])
    parts = [
        each
        for each in (
            *scope.values(),
            *scope["headers"],
            *scope["headers"][0],
            cache,
            finder,
            None,
            True,
            POLICY.prefix,
            POLICY.key_fields,
        )
        if not isinstance(each, dict)
    ]
    calls: List[Callable[[], object]] = [
        lambda: finder.find(scope), lambda: finder.find({**scope, "method": "HEAD"}), lambda: finder.find(absent), lambda: finder.find(odd),
        lambda: finder.find(big), lambda: finder.find(None), lambda: finder.counts(), lambda: finder.forget(), lambda: make(KINDS[1], cache),
    ]  # fmt: skip
    for call in calls:
        for _ in range(10):
            call()
        gc.collect()
        before, blocks = [sys.getrefcount(part) for part in parts], sys.getallocatedblocks()
        for _ in range(2000):
            call()
        grown = [now - then for now, then in zip([sys.getrefcount(part) for part in parts], before)]
        assert all(abs(each) < 50 for each in grown), (calls.index(call), grown)
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 500, calls.index(call)


def test_the_finder_is_the_builtin_where_there_is_one(cache: SmartCache) -> None:
    policy = policy_of(cache_rules={"/a": {"ttl": 5}}, cache_name="mine")
    finder = finder_for(cache, policy)
    assert type(finder) is KINDS[-1] and finder.counts() == [0, 0]
    scope = scope_of()
    backend.put(cache._live(), policy.prefix + b"GET /items http://example.org ", encode_response(response_of()), 0)
    answer = finder.find(scope)
    assert answer is not None and fields_of(answer)[b"cache-status"].startswith(b"mine; hit; ttl=")


def test_there_is_no_finder_for_what_it_does_not_know(cache: SmartCache) -> None:
    others: List[Dict[str, Any]] = [
        {"custom_key_generator": lambda request: "key"}, {"clock": lambda: 5.0}, {"cache_methods": ["HEAD"]}, {"cache_rules": {"/a": {"methods": ["HEAD"]}}},
    ]  # fmt: skip
    for parameters in others:
        policy = policy_of(**parameters)
        finder = finder_for(cache, policy)
        assert type(finder) is NoFinder and finder.find(scope_of()) is None and finder.counts() == [0] * len(policy.rules)
        finder.forget()
    for parameters in ({"cache_methods": ["GET"]}, {"cache_rules": {"/a": {"methods": ["GET"]}}}):
        policy = policy_of(**parameters)
        finder, scope = finder_for(cache, policy), scope_of()
        backend.put(cache._live(), policy.prefix + b"GET /items http://example.org ", encode_response(response_of()), 0)
        assert finder.find(scope) is not None and finder.find({**scope, "method": "HEAD"}) is None
    assert RedisCache._has_memory is False
