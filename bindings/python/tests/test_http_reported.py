"""What the cache tells of itself: fields of its answers, and statistics.

Shows RFC 9111 section 5.1 (Age), RFC 9211 (Cache-Status), and the documented X-Cache, X-Cache-Time and X-Cache-TTL.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Dict, List, Tuple

import pytest

from http_application import FRESH, Answer, clock_of, lets_time_pass, reply, site

__all__ = ["clock_of"]

_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_TOKEN = r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"
_ITEM = re.compile(rf"-?\d{{1,15}}|{_STRING}|{_TOKEN}|\?[01]")
_PARAMETER = re.compile(rf"; *([a-z*][a-z0-9_.*-]*)(?:=(-?\d{{1,15}}|{_STRING}|{_TOKEN}|\?[01]))?")


def cache_status(answer: Answer) -> List[Tuple[str, Dict[str, Any]]]:
    """The field as RFC 9211 reads it: a list of caches, each with what it says. Fails where it is not by the grammar of RFC 8941."""
    text = ", ".join(answer.every("cache-status"))
    found = []
    while text:
        item = _ITEM.match(text)
        assert item, f"no item begins {text!r}"
        text, told = text[item.end() :], {}
        while True:
            parameter = _PARAMETER.match(text)
            if not parameter:
                break
            name, value = parameter.groups()
            assert name not in told, f"{name} is said twice"
            told[name] = True if value is None else int(value) if re.fullmatch(r"-?\d+", value) else value
            text = text[parameter.end() :]
        found.append((item.group().strip('"'), told))
        if text:
            comma = re.match(r"[ \t]*,[ \t]*(?=.)", text)
            assert comma, f"a list goes on after a comma, not with {text!r}"
            text = text[comma.end() :]
    for _, told in found:
        assert set(told) <= {"hit", "fwd", "fwd-status", "ttl", "stored", "collapsed", "key", "detail"}, told
        assert "hit" not in told or "fwd" not in told, "an answer is a hit or forwarded"
        if "fwd" in told:
            assert told["fwd"] in ("bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial")
        for name in ("fwd-status", "ttl"):
            assert isinstance(told.get(name, 0), int)
        for name in ("hit", "stored", "collapsed"):
            assert told.get(name, True) is True
    return found


def ours(answer: Answer, name: str = "catzilla") -> Dict[str, Any]:
    told = cache_status(answer)
    assert [one for one, _ in told].count(name) == 1 and told[-1][0] == name, told
    return told[-1][1]


def test_a_miss_says_for_how_long_it_was_stored() -> None:
    with site(FRESH) as found:
        miss = found.get()
        assert (miss["x-cache"], miss["x-cache-ttl"], miss["x-cache-time"]) == ("MISS", "600", None)
        told = ours(miss)
        assert (told["fwd"], told.get("stored")) == ("uri-miss", True)
        assert told.get("fwd-status", 200) == 200


@lets_time_pass
def test_a_hit_says_how_long_ago_it_was_stored_and_what_is_left() -> None:
    with site(reply("Cache-Control: max-age=600", "Age: 100")) as found:
        assert found.get()["x-cache-ttl"] == "500"
        for passed in (0, 7):
            found.pass_time(passed)
            hit = found.get()
            assert (hit["x-cache"], hit["x-cache-time"], hit["age"], hit["x-cache-ttl"]) == (
                "HIT",
                str(passed),
                str(100 + passed),
                None,
            )
            assert ours(hit) == {"hit": True, "ttl": 500 - passed}


def test_what_is_not_stored_says_so_by_saying_nothing_of_it() -> None:
    with site(reply("Cache-Control: no-store")) as found:
        miss = found.get()
        assert (miss["x-cache"], miss["x-cache-ttl"], miss["age"]) == ("MISS", None, None)
        told = ours(miss)
        assert "stored" not in told and told["fwd"] in ("uri-miss", "miss")


@lets_time_pass
def test_why_a_request_was_forwarded() -> None:
    with site(reply("Cache-Control: max-age=600", "Vary: X-A", 'ETag: "a"')) as found:
        assert ours(found.get("/", "X-A: 1"))["fwd"] == "uri-miss"
        assert ours(found.get("/", "X-A: 2"))["fwd"] == "vary-miss"
        assert ours(found.get("/", "X-A: 1", "Cache-Control: no-cache"))["fwd"] == "request"
        assert ours(found.get("/", "X-A: 1", "Cache-Control: min-fresh=9999"))["fwd"] == "request"
        found.pass_time(600)
        assert ours(found.get("/", "X-A: 1"))["fwd"] == "stale"


@lets_time_pass
def test_a_validated_answer_is_a_hit_that_was_forwarded() -> None:
    with site(reply("Cache-Control: max-age=600", 'ETag: "a"'), reply("Cache-Control: max-age=600", status=304)) as found:
        found.get()
        found.pass_time(600)
        answer = found.get()
        assert (answer["x-cache"], answer["age"]) == ("HIT", "0")
        told = ours(answer)
        assert (told["fwd"], told["fwd-status"]) == ("stale", 304)


@lets_time_pass
def test_a_stale_answer_has_less_than_nothing_left() -> None:
    with site(reply("Cache-Control: max-age=600, stale-while-revalidate=60"), reply(status=500)) as found:
        found.get()
        found.pass_time(630)
        assert ours(found.get()) == {"hit": True, "ttl": -30}
        assert ours(found.get("/", "Cache-Control: max-stale"))["ttl"] == -30


@lets_time_pass
def test_a_stale_answer_in_place_of_a_failure_says_so() -> None:
    with site(reply("Cache-Control: max-age=600, stale-if-error=60"), reply(status=503)) as found:
        found.get()
        found.pass_time(630)
        told = ours(found.get())
        assert (told["fwd"], told["fwd-status"], told["detail"]) == ("stale", 503, "stale-if-error")


def test_a_504_of_the_cache_says_whose_it_is() -> None:
    with site(FRESH) as found:
        answer = found.get("/", "Cache-Control: only-if-cached")
        assert (answer.status, answer["x-cache"]) == (504, "MISS")
        assert "hit" not in ours(answer)


def test_collapsed_requests_say_so() -> None:
    with site(FRESH) as found:

        async def herd() -> List[Answer]:
            hold = asyncio.Event()
            found.application.at("/", reply("Cache-Control: max-age=600", before=[hold]))
            asking = [asyncio.ensure_future(found.asking("GET")) for _ in range(5)]
            while not found.calls:
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            hold.set()
            return await asyncio.gather(*asking)

        answers = found.run(herd())
        assert found.calls == 1
        told = [ours(answer) for answer in answers]
        assert sorted(bool(one.get("collapsed")) or bool(one.get("hit")) for one in told) == [False, True, True, True, True]
        assert found.middleware.get_stats()["http_stats"]["collapsed"] == 4


@pytest.mark.parametrize("status", ["Upstream; fwd=uri-miss", 'Upstream; hit, "A B"; fwd=stale'])
def test_what_caches_behind_this_one_have_said_stands_before_it(status: str) -> None:
    with site(reply("Cache-Control: max-age=600", f"Cache-Status: {status}")) as found:
        for _ in range(3):
            answer = found.get()
            told = cache_status(answer)
            assert told[0][0] == "Upstream" and told[-1][0] == "catzilla"
            assert len(told) == status.count(",") + 2, "each once, however often it is served"


@pytest.mark.parametrize("name", ["edge", "my-cache", "Cache_2"])
def test_the_name_of_the_cache_is_the_operators(name: str) -> None:
    with site(FRESH, cache_name=name) as found:
        assert [one for one, _ in cache_status(found.get())] == [name]
        assert [one for one, _ in cache_status(found.get())] == [name]


@pytest.mark.parametrize("name", ["a\r\nX-B: 1", "caf\xe9", "a\0", "a, b", "a;b", ""])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cache_name"):
        with site(FRESH, cache_name=name):
            pass


def test_the_documented_statistics_count_what_was_done() -> None:
    with site(FRESH) as found:
        found.application.at("/never", reply("Cache-Control: no-store"))
        for method, url in [("GET", "/a"), ("GET", "/a"), ("HEAD", "/a"), ("GET", "/b"), ("GET", "/never"), ("POST", "/a")]:
            found.ask(method, url)
        stats = found.middleware.get_stats()
        assert stats["middleware_stats"] == {
            "total_requests": 6,
            "cache_hits": 2,
            "cache_misses": 3,
            "cache_sets": 2,
            "cache_skips": 1,
        }
        assert stats["overall_hit_ratio"] == pytest.approx(2 / 6)
        assert {"hits", "misses", "evictions", "memory_usage", "size", "capacity", "hit_ratio", "tier_stats"} <= set(
            stats["cache_stats"]
        )
        assert stats["cache_stats"]["capacity"] == 1000
        assert stats["cache_health"]
        assert stats["http_stats"]["cache_errors"] == 0
        found.middleware.clear_cache()
        cleared = found.middleware.get_stats()
        assert set(cleared["middleware_stats"].values()) == {0}
        assert cleared["overall_hit_ratio"] == 0
        assert not found.get("/a").is_hit


@lets_time_pass
def test_what_http_knows_of_is_counted_by_its_name() -> None:
    with site(
        reply("Cache-Control: max-age=600, stale-while-revalidate=60", 'ETag: "a"'),
        reply("Cache-Control: max-age=600", 'ETag: "a"', status=304),
    ) as found:
        found.application.at("/never", reply("Cache-Control: no-store"))
        found.application.at("/change", reply(status=204))

        def counted(name: str) -> int:
            return int(found.middleware.get_stats()["http_stats"][name])

        found.get()
        found.get("/", 'If-None-Match: "a"')
        assert counted("not_modified") == 1
        found.pass_time(630)
        found.get()
        assert counted("stale_hits") == 1
        found.settle()
        assert counted("revalidations") == 1
        found.get("/never")
        assert counted("uncacheable") == 1
        found.get("/change/b")
        found.ask("POST", "/change")
        assert counted("invalidations") >= 1


def test_rules_are_counted_each_for_itself() -> None:
    with site(FRESH, cache_rules={"/a/*": {"ttl": 300}, "/b": {"methods": ["GET"]}}) as found:
        for path in ("/a/1", "/a/1", "/a/2", "/b", "/c"):
            found.get(path)
        rules = found.middleware.get_stats()["rule_stats"]
        assert rules["/a/*"] == {"hits": 1, "misses": 2, "sets": 2}
        assert rules["/b"] == {"hits": 0, "misses": 1, "sets": 1}


def test_a_request_that_the_cache_has_nothing_to_do_with_is_told_nothing() -> None:
    with site(reply("X-A: 1", "Cache-Control: max-age=600"), exclude_paths=["/x"]) as found:
        for answer in (found.get("/x"), found.ask("POST", "/"), found.get("/", "Cache-Control: no-store")):
            assert [name for name, _ in answer.headers] == [b"x-a", b"cache-control", b"content-length"]
        assert found.middleware.get_stats()["middleware_stats"]["cache_skips"] == 3


def test_the_parameters_can_be_read_back_under_their_names() -> None:
    with site(FRESH, default_ttl=7, cache_status_codes={200}, exclude_paths=["/x"]) as found:
        middleware = found.middleware
        assert middleware.default_ttl == 7
        assert set(middleware.cache_status_codes) == {200} and set(middleware.cache_methods) == {"GET", "HEAD"}
        assert set(middleware.ignore_query_params) == {"_", "timestamp", "cache_buster"}
        assert set(middleware.cache_headers) == {"accept", "accept-encoding", "accept-language"}
        assert middleware.cache is found.cache
        assert (middleware.cache_private, middleware.cache_authenticated) == (False, False)
        assert list(middleware.exclude_paths) == ["/x"]
        assert middleware.custom_key_generator is None
