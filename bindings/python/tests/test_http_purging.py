"""Removing responses by hand: by URL, surrogate key, pattern, or all, at once or softly, in memory and in the tiers below."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import CacheMiddleware
from catzilla_cache.errors import CacheValueError
from http_application import Application, Clock, Site, ask, clock_of, fields, lets_time_pass, reply, settled, site
from redis_server import RedisServer

__all__ = ["clock_of"]

TAGGED = reply("Cache-Control: max-age=600", "Surrogate-Key: articles author-7", "Cache-Tag: home,news")


def is_hit(where: Site, url: str, *lines: str) -> bool:
    return where.get(url, *lines).is_hit


def test_a_url_is_purged_with_all_of_its_variants_and_no_other() -> None:
    with site(reply("Cache-Control: max-age=600", "Vary: x-kind")) as where:
        for kind in ("a", "b"):
            where.get("/page?b=2&a=1", f"x-kind: {kind}")
        where.head("/page?b=2&a=1", "x-kind: c")
        where.get("/page")
        assert where.middleware.purge_url("http://example.com/page?a=1&b=2") >= 2
        assert not is_hit(where, "/page?a=1&b=2", "x-kind: a") and not is_hit(where, "/page?a=1&b=2", "x-kind: b")
        assert is_hit(where, "/page")


@pytest.mark.parametrize("url", ["HTTP://EXAMPLE.COM/page", "http://example.com:80/page", "http://example.com/page?_=7"])
def test_a_url_to_purge_may_be_written_in_another_way(url: str) -> None:
    with site() as where:
        where.get("/page")
        assert where.middleware.purge_url(url) == 1
        assert not is_hit(where, "/page")


@pytest.mark.parametrize("url", ["/page", "ftp://example.com/page", "http://exa mple.com/", "", "http://[::1/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with site() as where, pytest.raises(CacheValueError, match="a URL to purge is such as"):
        where.middleware.purge_url(url)


@pytest.mark.parametrize("tag", ["articles", "author-7", "home", "news", b"news"])
def test_a_surrogate_key_purges_what_came_with_it(tag: Any) -> None:
    with site() as where:
        where.application.at("/tagged", TAGGED)
        where.get("/tagged")
        where.get("/other")
        assert where.middleware.purge_tag(tag) == 1
        assert not is_hit(where, "/tagged") and is_hit(where, "/other")


def test_a_rule_gives_its_answers_tags() -> None:
    with site(cache_rules={"/users/*": {"ttl": 60, "tags": ["users"]}}) as where:
        where.get("/users/1")
        where.get("/other")
        assert where.middleware.purge_tag("users") == 1
        assert not is_hit(where, "/users/1") and is_hit(where, "/other")


def test_a_surrogate_key_may_be_long_and_of_any_bytes() -> None:
    long = "k" * 1000
    with site(reply("Cache-Control: max-age=600", f"Surrogate-Key: {long}1 {long}2")) as where:
        where.get("/")
        assert where.middleware.purge_tag(long) == 0
        assert where.middleware.purge_tag(long + "2") == 1


def test_what_has_more_keys_than_can_be_purged_is_not_stored() -> None:
    with site(reply("Cache-Control: max-age=600", "Surrogate-Key: " + " ".join(f"k{number}" for number in range(64)))) as where:
        where.get("/")
        assert not is_hit(where, "/")


PATTERNS = [
    ("/api/*", ["/api/1", "/api/1/comments", "/api/1?page=2", "/api/"], ["/apis", "/v1/api/1", "/"]),
    ("/api/*/comments", ["/api/1/comments"], ["/api/1", "/api/1/comments/2", "/api/comments"]),
    ("/items?page=*", ["/items?page=1"], ["/items", "/itemsXpage=1"]),
    ("/a?b", ["/a?b"], ["/axb", "/a"]),
    ("*.css", ["/site.css", "/deep/er.css"], ["/site.css?v=2", "/site.js"]),
    ("/exact", ["/exact"], ["/exact/more", "/exactly", "/exact?query"]),
    ("http://example.com/api/*", ["/api/1"], ["http://example.org/api/1"]),
    ("*://example.com/*", ["/api/1", "/"], ["http://example.org/", "http://notexample.com/"]),
    ("/caf%C3%A9/*", ["/caf%C3%A9/1"], ["/cafe/1"]),
    ("/back\\*", ["/back\\slash"], ["/back*"]),
]


@pytest.mark.parametrize("pattern, meant, others", PATTERNS, ids=[pattern for pattern, _, _ in PATTERNS])
@pytest.mark.parametrize("soft", [False, True], ids=["at once", "softly"])
def test_a_pattern_purges_what_fits_and_nothing_else(pattern: str, meant: Any, others: Any, soft: bool) -> None:
    with site() as where:
        for url in (*meant, *others):
            where.get(url)
        assert where.middleware.purge_pattern(pattern, soft) == len(meant)
        for url in others:
            assert is_hit(where, url), url
        for url in meant:
            assert not is_hit(where, url), url


@pytest.mark.parametrize("pattern", ["api", "", "ftp://example.com/*", "/with space", 7, "https://example.org"])
def test_what_is_no_pattern_is_refused(pattern: Any) -> None:
    with site() as where, pytest.raises(CacheValueError, match="a pattern to purge is such as"):
        where.middleware.purge_pattern(pattern)


def test_a_pattern_finds_what_is_stored_under_keys_of_the_programs_own() -> None:
    with site(custom_key_generator=lambda request: f"my {request.url.path}") as where:
        where.get("/api/1")
        where.get("/other")
        assert where.middleware.purge_pattern("/api/*") == 1
        assert not is_hit(where, "/api/1") and is_hit(where, "/other")


def test_all_responses_are_purged_and_nothing_else_of_the_cache() -> None:
    with site() as where:
        where.cache.set("mine", 1)
        where.get("/a")
        where.get("/b")
        assert where.middleware.purge_all() == 2
        assert not is_hit(where, "/a") and where.cache.get("mine") == (1, True)


def test_clear_cache_empties_it_and_begins_to_count_again() -> None:
    with site() as where:
        where.cache.set("mine", 1)
        where.get("/a")
        where.get("/a")
        where.middleware.clear_cache()
        assert where.cache.get("mine") == (None, False)
        assert set(where.middleware.stats.values()) == {0}
        assert not is_hit(where, "/a")


@pytest.mark.parametrize("how", ["url", "tag", "pattern", "all"])
def test_what_is_purged_softly_is_validated_and_not_sent_again(how: str) -> None:
    with site(
        reply("Cache-Control: max-age=600", 'ETag: "1"', "Surrogate-Key: articles"),
        reply("Cache-Control: max-age=600", 'ETag: "1"', status=304, body=b""),
    ) as where:
        first = where.get("/a")
        purge = where.middleware
        count = {
            "url": lambda: purge.purge_url("http://example.com/a", soft=True),
            "tag": lambda: purge.purge_tag("articles", soft=True),
            "pattern": lambda: purge.purge_pattern("/a*", soft=True),
            "all": lambda: purge.purge_all(soft=True),
        }[how]()
        assert count == 1
        again = where.get("/a")
        assert where.last["if-none-match"] == '"1"'
        assert (again.status, again.body) == (200, first.body)
        assert again["cache-status"] == "catzilla; fwd=stale; fwd-status=304"
        assert is_hit(where, "/a") and where.calls == 2


def test_what_is_purged_softly_is_served_while_it_is_fetched_anew() -> None:
    with site(reply("Cache-Control: max-age=600, stale-while-revalidate=60")) as where:
        where.get("/a")
        where.middleware.purge_url("http://example.com/a", soft=True)
        assert where.get("/a").body == b"answer 1"
        where.settle()
        assert where.get("/a").body == b"answer 2"


@lets_time_pass
def test_what_is_purged_softly_is_not_served_for_longer_than_its_window() -> None:
    with site(reply("Cache-Control: max-age=600, stale-while-revalidate=60")) as where:
        where.get("/a")
        where.middleware.purge_url("http://example.com/a", soft=True)
        where.pass_time(61)
        assert where.get("/a").body == b"answer 2"


def test_tasks_await_the_same_purges() -> None:
    with site(TAGGED) as where:

        async def purge() -> "list[int]":
            counts = []
            for call in (
                lambda: where.middleware.apurge_url("http://example.com/a"),
                lambda: where.middleware.apurge_tag("articles"),
                lambda: where.middleware.apurge_pattern("/*"),
                lambda: where.middleware.apurge_all(),
            ):
                await where.asking("GET", "/a")
                counts.append(await call())
            return counts

        assert where.run(purge()) == [1, 1, 1, 1]


@pytest.mark.parametrize("how", ["url", "tag", "pattern", "all"])
def test_what_was_asked_for_before_a_purge_is_not_stored_after_it(how: str) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    slow = reply("Cache-Control: max-age=600", "Surrogate-Key: articles", before=[begun.set, go_on])
    with site(slow) as where:

        async def race() -> None:
            asking = asyncio.ensure_future(where.asking("GET", "/a"))
            await begun.wait()
            purge = where.middleware
            await {
                "url": lambda: purge.apurge_url("http://example.com/a"),
                "tag": lambda: purge.apurge_tag("articles"),
                "pattern": lambda: purge.apurge_pattern("/a"),
                "all": lambda: purge.apurge_all(),
            }[how]()
            go_on.set()
            await asking

        where.run(race())
        assert not is_hit(where, "/a"), "what was made before the purge is served after it"
        assert is_hit(where, "/a")


def test_purges_reach_redis_and_the_disk(server: RedisServer, tmp_path: Path) -> None:
    config = SmartCacheConfig(
        redis_enabled=True, redis_url=server.url, disk_enabled=True, disk_path=str(tmp_path / "disk"), redis_max_connections=2
    )
    application = Application(reply("Cache-Control: max-age=600", "Surrogate-Key: articles"))
    with SmartCache(config) as here, SmartCache(config) as there:
        clock = Clock()
        ours = CacheMiddleware(application, cache_instance=here, clock=clock)
        theirs = CacheMiddleware(application, cache_instance=there, clock=clock)
        purges = {
            "/url": lambda: ours.apurge_url("http://example.com/url"),
            "/tag": lambda: ours.apurge_tag("articles"),
            "/pattern/1": lambda: ours.apurge_pattern("/pattern/*"),
            "/all": lambda: ours.apurge_all(),
            "/soft": lambda: ours.apurge_pattern("/soft", soft=True),
        }

        async def purged_everywhere() -> None:
            for url, purge in purges.items():
                await ask(theirs, "GET", url, fields())
                await settled()
                await asyncio.get_running_loop().run_in_executor(None, there.flush)
                found = await ask(ours, "GET", url, fields())
                assert found.is_hit, f"{url} was not shared"
                await purge()
                await asyncio.get_running_loop().run_in_executor(None, here.flush)
                # Their own memory has not heard of it, so it is taken away: what is below has.
                for key in list(there.keys()):
                    there._memory_cache.delete(key)
                assert not (await ask(theirs, "GET", url, fields())).is_hit, url

        asyncio.run(purged_everywhere())
