"""The administration over HTTP: who does not know the token gets nothing, who does purges and reads figures."""

from __future__ import annotations

import json
from typing import Any, Dict, Tuple

import pytest

from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.admin import AdminApp
from http_application import FRESH, Site, site

TOKEN = "0123456789abcdef0123"
KNOWN = f"Authorization: Bearer {TOKEN}"


def command(where: Site, path: str, body: Any = None, method: str = "POST", *lines: str) -> Tuple[int, Dict[str, Any]]:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    answer = where.ask(method, path, *(lines or (KNOWN,)), body=data)
    assert answer["content-type"] == "application/json" and answer["cache-control"] == "no-store"
    return answer.status, json.loads(answer.body)


def administered(**parameters: Any) -> Any:
    return site(FRESH, admin_token=TOKEN, **parameters)


@pytest.mark.parametrize(
    "body, purged",
    [
        ({"url": "http://example.com/a"}, ["/a"]),
        ({"tag": "first"}, ["/a"]),
        ({"pattern": "/a*"}, ["/a"]),
        ({"all": True}, ["/a", "/b"]),
        ({"all": True, "soft": False}, ["/a", "/b"]),
        ({"pattern": "/b", "soft": True}, ["/b"]),
    ],
    ids=str,
)
def test_a_command_purges_what_it_names(body: Dict[str, Any], purged: "list[str]") -> None:
    with administered(cache_rules={"/a": {"tags": ["first"]}}) as where:
        where.get("/a")
        where.get("/b")
        assert command(where, "/-/cache/purge", body) == (200, {"purged": len(purged)})
        assert [url for url in ("/a", "/b") if not where.get(url).is_hit] == purged


@pytest.mark.parametrize(
    "lines",
    [
        ("x: y",),
        ("Authorization: Bearer wrong-but-long-enough",),
        (f"Authorization: Bearer {TOKEN[:-1]}",),
        (f"Authorization: Basic {TOKEN}",),
        ("Authorization: Bearer",),
        (KNOWN, KNOWN),
        (f"Authorization: Bearer {TOKEN}\xe9",),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/-/cache/purge", "/-/cache/stats", "/-/cache/nothing", "/-/cache"])
def test_who_does_not_know_the_token_gets_nothing(path: str, lines: Tuple[str, ...]) -> None:
    with administered() as where:
        where.get("/a")
        answer = where.ask("POST", path, *lines, body=b'{"all": true}')
        assert answer.status == 401 and answer["www-authenticate"] == "Bearer"
        assert where.get("/a").is_hit


def test_any_of_several_tokens_is_good() -> None:
    with site(FRESH, admin_token=[TOKEN, "another-token-of-some-length"]) as where:
        for token in (TOKEN, "another-token-of-some-length"):
            assert command(where, "/-/cache/health", None, "GET", f"Authorization: bearer {token}")[0] == 200


@pytest.mark.parametrize("token", ["", "short", [], ["short"], "gr\xfc\xdfe, lang genug f\xfcr alle"])
def test_a_token_that_can_be_guessed_is_refused(token: Any) -> None:
    with pytest.raises(CacheValueError, match="administration"):
        with site(FRESH, admin_token=token):
            pass


def test_without_a_token_there_is_no_administration() -> None:
    with site(FRESH) as where:
        where.ask("POST", "/-/cache/purge", KNOWN, body=b'{"all": true}')
        assert where.last.url == "/-/cache/purge", "the application has its path for itself"


@pytest.mark.parametrize(
    "body, words",
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        ([], "a command is an object"),
        ({}, "one of url, tag, pattern, all"),
        ({"url": "http://example.com/", "tag": "a"}, "one of url, tag, pattern, all"),
        ({"urls": "http://example.com/"}, "one of url, tag, pattern, all"),
        ({"all": True, "soft": 1}, "soft: true or false"),
        ({"all": "yes"}, '"all" is true'),
        ({"tag": 7}, "'tag' is text"),
        ({"url": "/a"}, "a URL to purge is such as"),
        ({"pattern": "a"}, "a pattern to purge is such as"),
    ],
    ids=str,
)
def test_a_wrong_command_is_told_what_is_wrong_with_it(body: Any, words: str) -> None:
    with administered() as where:
        status, told = command(where, "/-/cache/purge", body)
        assert status == 400 and words in told["error"]


def test_a_command_that_does_not_end_is_cut_off() -> None:
    with administered() as where:
        assert command(where, "/-/cache/purge", b"x" * 100_000)[0] == 413


@pytest.mark.parametrize("path, method, status", [("/nothing", "GET", 404), ("/purge", "GET", 405), ("/stats", "POST", 405)])
def test_other_paths_and_methods_are_refused(path: str, method: str, status: int) -> None:
    with administered() as where:
        assert command(where, "/-/cache" + path, None, method)[0] == status


def test_figures_and_health_are_told() -> None:
    with administered(admin_path="/ops/cache/") as where:
        where.get("/a")
        where.get("/a")
        status, told = command(where, "/ops/cache/stats", None, "GET")
        assert status == 200 and told["middleware_stats"]["cache_hits"] == 1 and told["overall_hit_ratio"] == 0.5
        assert command(where, "/ops/cache/health", None, "GET") == (200, {"memory": True, "redis": False, "disk": False})


def test_its_own_requests_are_neither_cached_nor_counted() -> None:
    with administered() as where:
        for _ in range(2):
            assert command(where, "/-/cache/stats", None, "GET")[1]["middleware_stats"]["total_requests"] == 0


def test_a_path_that_only_begins_alike_is_the_applications() -> None:
    with administered() as where:
        where.get("/-/cachet", KNOWN)
        assert where.last.url == "/-/cachet"


def test_it_can_stand_anywhere_as_an_application_of_its_own() -> None:
    with site(FRESH) as where:
        where.get("/a")
        front = Site(where.application, where.cache, AdminApp(where.middleware, TOKEN), exclude_paths=["/"])
        try:
            answer = front.ask("POST", "/purge", KNOWN, body=b'{"all": true}', root_path="")
            assert answer.status == 200 and json.loads(answer.body) == {"purged": 1}
            mounted = front.ask("GET", "/mounted/stats", KNOWN, root_path="/mounted")
            assert mounted.status == 200
        finally:
            front._loop.close()
