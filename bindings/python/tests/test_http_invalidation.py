"""What requests that change something do to stored answers.

Shows RFC 9111 section 4.4, and RFC 9110 section 9.2.1 (safe methods).
"""

from __future__ import annotations

import asyncio
from typing import List

import pytest

from http_application import FRESH, Asked, Reply, clock_of, lets_time_pass, reply, site

__all__ = ["clock_of"]

CHANGED = reply(status=204)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPPATCH", "MOVE", "LOCK", "UNKNOWN"])
@pytest.mark.parametrize("status", [200, 201, 202, 204, 205, 301, 302, 303, 307])
def test_a_change_that_succeeds_ends_what_is_stored(method: str, status: int) -> None:
    with site(FRESH, reply(status=status), FRESH) as found:
        found.get("/a")
        found.get("/other")
        assert found.ask(method, "/a").status == status
        assert found.get("/a").body == b"answer 4"
        assert found.get("/other").body == b"answer 2"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 500, 503])
def test_a_change_that_fails_ends_nothing(method: str, status: int) -> None:
    with site(FRESH, reply("Location: /b", status=status), FRESH) as found:
        for path in ("/a", "/b"):
            found.get(path)
        found.ask(method, "/a")
        assert found.get("/a").is_hit and found.get("/b").is_hit


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"])
def test_a_request_that_changes_nothing_ends_nothing(method: str) -> None:
    with site(FRESH) as found:
        found.get("/a")
        found.ask(method, "/a")
        # A method that nobody here knows may be taken for one that changes something.
        if method in ("GET", "HEAD", "OPTIONS", "TRACE"):
            assert found.get("/a").is_hit


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    "value, ends",
    [
        ("/b?x=1", True),
        ("b?x=1", True),
        ("./b?x=1", True),
        ("c/../b?x=1", True),
        ("http://example.com/b?x=1", True),
        ("HTTP://EXAMPLE.COM/b?x=1", True),
        ("http://example.com:80/b?x=1", True),
        ("//example.com/b?x=1", True),
        ("/b?x=1#part", True),
        ("http://other.com/b?x=1", False),
        ("//other.com/b?x=1", False),
        ("https://example.com/b?x=1", False),
        ("http://example.com:8080/b?x=1", False),
        ("http://user@example.com/b?x=1", None),
        ("http://example.com@other.com/b?x=1", False),
        ("http://example.com.other.com/b?x=1", False),
        ("/b", False),
        ("/B?x=1", False),
        ("", False),
        ("http://[", False),
        ("\xff\xfe", False),
    ],
)
def test_a_change_ends_what_it_says_it_has_changed_of_the_same_origin(name: str, value: str, ends: bool) -> None:
    with site() as found:
        found.application.at("/a", FRESH, reply(f"{name}: {value}", status=201))
        urls = ["/b?x=1", "http://other.com/b?x=1", "https://example.com/b?x=1", "http://example.com:8080/b?x=1"]
        urls += ["http://example.com.other.com/b?x=1"]
        for url in urls:
            found.get(url)
        found.get("/a")
        found.ask("POST", "/a")
        for url in urls[1:]:
            assert found.get(url).is_hit, f"{url} is of another origin"
        if ends is not None:
            assert found.get(urls[0]).is_hit is not ends


@pytest.mark.parametrize("location", [b"Location: /caf\xc3\xa9?d=\xc3\xa9", b"Location: /caf%C3%A9?d=%C3%A9"])
def test_a_place_that_is_not_percent_encoded_is_the_one_that_clients_ask_for(location: bytes) -> None:
    with site() as found:
        found.application.at("/a", reply(location, status=201))
        found.get("/caf%C3%A9?d=%C3%A9")
        found.ask("POST", "/a")
        assert not found.get("/caf%C3%A9?d=%C3%A9").is_hit


def test_both_places_that_a_change_names_are_ended() -> None:
    with site() as found:
        found.application.at("/a", reply("Location: /b", "Content-Location: /c", status=201))
        for path in ("/b", "/c", "/d"):
            found.get(path)
        found.ask("POST", "/a")
        assert [found.get(path).is_hit for path in ("/b", "/c", "/d")] == [False, False, True]


def test_every_variant_and_the_stored_head_are_ended() -> None:
    with site(reply("Cache-Control: max-age=600", "Vary: X-A")) as found:
        varying = reply("Cache-Control: max-age=600", "Vary: X-A")
        found.application.at("/a", *[varying] * 5, CHANGED, varying)
        found.head("/a", "X-A: 0")
        requests = [("GET", "X-A: 1"), ("GET", "X-A: 2"), ("GET", "Accept-Language: de"), ("HEAD", "Accept: image/png")]
        for method, line in requests:
            found.ask(method, "/a", line)
        found.ask("DELETE", "/a", "X-A: 9")
        for method, line in requests:
            assert not found.ask(method, "/a", line).is_hit, line


def test_a_url_is_ended_however_its_query_is_written_and_no_other() -> None:
    with site() as found:
        found.application.at("/a", *[FRESH] * 4, CHANGED, FRESH)
        for url in ("/a?x=1&y=2", "/a?x=1", "/a", "/a?y=2&x=2"):
            found.get(url)
        found.ask("POST", "/a?y=2&x=1&_=99")
        assert not found.get("/a?x=1&y=2").is_hit
        for url in ("/a?x=1", "/a", "/a?y=2&x=2"):
            assert found.get(url).is_hit, url


@lets_time_pass
def test_what_has_been_ended_is_neither_served_stale_nor_validated() -> None:
    with site(
        reply("Cache-Control: max-age=600, stale-while-revalidate=600, stale-if-error=6000", 'ETag: "a"'), CHANGED, FRESH
    ) as found:
        found.get()
        found.ask("PUT")
        found.pass_time(610)
        assert found.get().body == b"answer 3"


def test_a_change_by_somebody_with_authorization_ends_what_others_have_stored() -> None:
    with site(FRESH, CHANGED, FRESH) as found:
        found.get()
        found.ask("POST", "/", "Authorization: Bearer one")
        assert not found.get().is_hit
    with site(FRESH, FRESH, CHANGED, FRESH, cache_authenticated=True) as found:
        users = ["Authorization: Bearer one", "Authorization: Bearer two"]
        for user in users:
            found.get("/", user)
        found.ask("POST", "/", users[0])
        for user in users:
            assert not found.get("/", user).is_hit


@pytest.mark.parametrize("line", ["Cache-Control: no-store", "Cache-Control: only-if-cached", "Cookie: a=b", "Range: bytes=0-1"])
def test_a_change_ends_what_is_stored_whatever_else_its_request_says(line: str) -> None:
    with site(FRESH, CHANGED, FRESH) as found:
        found.get()
        found.ask("POST", "/", line)
        assert not found.get().is_hit


def test_an_answer_that_was_under_way_when_something_changed_is_not_served_afterwards() -> None:
    def script(asked: Asked) -> Reply:
        return CHANGED if asked.method == "POST" else reply("Cache-Control: max-age=600", body=state[0])

    state: List[bytes] = [b"old"]
    with site(script) as found:

        async def race() -> None:
            hold = asyncio.Event()
            old = reply("Cache-Control: max-age=600", "Content-Length: 3", body=[b"o", hold, b"ld"])
            found.application.at("/", old, script)
            asking = asyncio.ensure_future(found.asking("GET"))
            while not found.calls:
                await asyncio.sleep(0)
            # It has read the old state. Now the state changes, and only then is its answer ended.
            assert (await found.asking("POST")).status == 204
            state[0] = b"new"
            hold.set()
            assert (await asking).body == b"old"
            assert (await found.asking("GET")).body == b"new"
            assert (await found.asking("GET")).body == b"new"

        found.run(race())


def test_the_answer_to_a_change_reaches_the_client_untouched() -> None:
    with site(reply("X-A: 1", "Location: /b", status=201)) as found:
        answer = found.ask("POST", "/", body=b"content")
        assert (answer.status, found.last.body) == (201, b"content")
        assert answer.headers == answer.said_by_the_application
