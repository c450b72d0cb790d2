"""Requests of all kinds in any order, one after the other and many at a time: whatever is served, a shared cache may serve it.

The application says in each answer whom it made it for and under which conditions; each answer that reaches a client is judged by that.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import Any, Dict, List, Optional, Tuple

import pytest

from http_application import Answer, Asked, Reply, Site, reply, settled, site

PATHS = ["/a", "/a?b=1", "/b", "/c/d"]
POLICIES = [
    "max-age=100",
    "max-age=100, must-revalidate",
    "s-maxage=50, max-age=1000",
    "public, max-age=100",
    "no-store",
    "private, max-age=100",
    "no-cache",
    "max-age=0",
    "max-age=100, stale-while-revalidate=50",
    "max-age=100, stale-if-error=50",
    "",
]
DEFAULT_TTL = 70


class World:
    """An application whose pages change, and what it has said of each of its answers."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.versions: Dict[str, int] = dict.fromkeys(PATHS, 0)
        self.made: List[Dict[str, Any]] = []
        #: Since when each version is out of date by a change that went through the cache.
        self.changed: Dict[str, int] = dict.fromkeys(PATHS, 0)
        self.asked = 0
        self.site: Optional[Site] = None

    def answer(self, asked: Asked) -> Reply:
        source, where = self.source, asked.url
        assert self.site is not None
        if asked.method == "POST":
            self.versions[where] += 1
            return reply(status=204)
        if source.random() < 0.05:
            self.versions[where] += 1
        if source.random() < 0.05:
            return reply(status=503)
        if asked["if-none-match"]:
            for number in re.findall(r'"(\d+)"', asked["if-none-match"]):
                known = self.made[int(number)]
                if known["url"] == where and known["version"] == self.versions[where]:
                    again = [f"Cache-Control: {known['policy']}"] if known["policy"] else []
                    return reply(f'ETag: "{number}"', *again, status=304)
        policy = source.choice(POLICIES)
        lines = [f"Cache-Control: {policy}"] if policy else []
        if source.random() < 0.7:
            lines.append(f'ETag: "{len(self.made)}"')
        varies = [name for name in ("x-a", "x-b") if source.random() < 0.3]
        if varies:
            lines.append("Vary: " + ", ".join(varies))
        if source.random() < 0.1:
            lines.append("Set-Cookie: session=1")
        made = {
            "number": len(self.made),
            "by": asked["x-request"],
            "url": where,
            "version": self.versions[where],
            "policy": policy,
            "varies": {name: asked[name] for name in varies},
            "user": asked["authorization"],
            "has_cookie": asked["cookie"] is not None,
            "at": self.site.now,
        }
        self.made.append(made)
        return reply(*lines, body=json.dumps(made).encode())

    def request(self) -> Tuple[str, str, Dict[str, str]]:
        source = self.source
        method = source.choices(["GET", "HEAD", "POST"], [20, 3, 1])[0]
        headers = {name: source.choice("12") for name in ("x-a", "x-b") if source.random() < 0.6}
        if source.random() < 0.2:
            headers["authorization"] = source.choice(["one", "two"])
        if source.random() < 0.2:
            headers["cookie"] = "session=1"
        if source.random() < 0.2:
            headers["cache-control"] = source.choice(
                ["no-cache", "max-age=10", "max-stale=20", "only-if-cached", "no-store", "min-fresh=30"]
            )
        if source.random() < 0.1:
            headers["range"] = "bytes=0-5"
        if source.random() < 0.1 and self.made:
            headers["if-none-match"] = '"%d"' % source.randrange(len(self.made))
        self.asked += 1
        headers["x-request"] = str(self.asked)
        return method, source.choice(PATHS), headers

    def judge(self, method: str, url: str, headers: Dict[str, str], answer: Answer, now: float, alone: bool) -> None:
        """Whether this may be the answer to that. Of a request that was alone more is known."""
        if answer.status in (503, 504):
            return
        if answer.status == 304:
            assert "if-none-match" in headers and answer.body == b""
            return
        if method == "HEAD":
            assert answer.status == 200 and answer.body == b""
            return
        if answer.status == 206:
            assert headers["range"] == "bytes=0-5" and answer.body == b'{"numb'
            return
        assert answer.status == 200
        made = json.loads(answer.body)
        told = f"{made} for {method} {url} {headers}: {answer.headers}"
        assert made["url"] == url, told
        if made["by"] == headers["x-request"]:
            return
        # It was made for another request.
        for name, value in made["varies"].items():
            assert headers.get(name) == value, told
        assert not answer.every("set-cookie"), told
        directives = {one.partition("=")[0].strip(): one.partition("=")[2] for one in made["policy"].split(",")}
        assert not {"no-store", "private"} & set(directives), told
        if made["user"] is not None or "authorization" in headers:
            assert {"public", "s-maxage", "must-revalidate"} & set(directives), told
        assert not made["has_cookie"] or made["policy"], told
        assert "no-store" not in headers.get("cache-control", ""), told
        if not alone:
            return
        assert made["version"] >= self.changed[url], f"changed since: {told}"
        if "fwd=" in (answer["cache-status"] or ""):
            return
        # It was not even asked about: so it is fresh, or may be stale.
        assert "no-cache" not in directives and headers.get("cache-control") != "no-cache", told
        age = float(answer["age"] or 0)
        window = float(directives.get("stale-while-revalidate") or 0)
        if headers.get("cache-control") == "max-stale=20" and not {"must-revalidate", "s-maxage"} & set(directives):
            window = max(window, 20)
        assert age <= now - made["at"], told
        assert age <= float(directives.get("s-maxage") or directives.get("max-age") or DEFAULT_TTL) + window, told
        if headers.get("cache-control") == "max-age=10":
            assert age <= 10, told


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_asked_one_after_the_other_nobody_gets_what_is_not_for_him(seed: int) -> None:
    world = World(seed)
    with site(world.answer, default_ttl=DEFAULT_TTL) as found:
        world.site = found
        hits = 0
        for _ in range(600):
            found.pass_time(world.source.choice([0, 0, 1, 5, 20, 60]))
            method, url, headers = world.request()
            now = found.now
            answer = found.ask(method, url, *(f"{name}: {value}" for name, value in headers.items()))
            if method == "POST":
                assert answer.status == 204
                world.changed[url] = world.versions[url]
            else:
                world.judge(method, url, headers, answer, now, True)
                hits += answer["x-cache"] == "HIT"
            found.settle()
        assert hits > 50
        stats = found.middleware.get_stats()
        assert stats["http_stats"]["cache_errors"] == 0
        counted = stats["middleware_stats"]
        assert counted["total_requests"] == 600 == counted["cache_hits"] + counted["cache_misses"] + counted["cache_skips"]
        assert counted["cache_hits"] == hits


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_asked_at_the_same_time_nobody_gets_what_is_not_for_him(seed: int) -> None:
    world = World(1000 + seed)
    with site(world.answer, default_ttl=DEFAULT_TTL) as found:
        world.site = found

        async def one() -> None:
            method, url, headers = world.request()
            now = found.now
            answer = await found.asking(method, url, *(f"{name}: {value}" for name, value in headers.items()))
            if method != "POST":
                world.judge(method, url, headers, answer, now, False)

        async def crowd() -> None:
            for _ in range(30):
                found.pass_time(world.source.choice([0, 1, 20, 60]))
                await asyncio.gather(*(one() for _ in range(30)))
            await settled()

        found.run(crowd())
        assert found.middleware.get_stats()["http_stats"]["cache_errors"] == 0
