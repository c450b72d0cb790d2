"""Which responses are stored, and for whom.

Shows RFC 9111 sections 3 (what may be stored), 3.1 (fields of a connection), 3.5 (Authorization), 5.2.2.3 must-understand, 5.2.2.5
no-store, 5.2.2.7 private, 7.3 (cookies), and RFC 9110 sections 7.6.1 (Connection) and 9.2.3 (methods).
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Set

import pytest

from catzilla_cache import CacheValueError
from http_application import (
    FRESH,
    Asked,
    Message,
    Receive,
    Reply,
    Scope,
    Send,
    clock_of,
    fields,
    lets_time_pass,
    reply,
    scope_of,
    site,
)

__all__ = ["clock_of"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: no-store"],
        ["Cache-Control: no-store, max-age=600"],
        ["Cache-Control: max-age=600, no-store"],
        ["Cache-Control: public, s-maxage=600, No-Store"],
        ["Cache-Control: max-age=600", "Cache-Control: no-store"],
        ["Cache-Control: max-age=600,no-store,"],
        ["Cache-Control: no-store=yes, max-age=600"],
        ['Cache-Control: no-store="", max-age=600'],
        ['Cache-Control: extension="a, b", no-store, max-age=600'],
        ['Cache-Control: max-age=600, extension="never closed, no-store'],
        ["Cache-Control: private"],
        ["Cache-Control: private, max-age=600"],
        ["Cache-Control: PRIVATE, s-maxage=600"],
        ["Cache-Control: public, private, max-age=600"],
        ['Cache-Control: private="set-cookie", max-age=600'],
        ['Cache-Control: private="a, b", max-age=600'],
        ["Set-Cookie: id=1", "Cache-Control: max-age=600"],
        ["Set-Cookie: id=1", "Cache-Control: public, s-maxage=600"],
        ["Set-Cookie: id=1"],
        ["Vary: *", "Cache-Control: max-age=600"],
        ["Cache-Control: no-cache"],
        ["Cache-Control: no-cache, max-age=600"],
        ['Cache-Control: no-cache="set-cookie", max-age=600'],
        ["Cache-Control: max-age=600", "Cache-Control: NO-CACHE"],
        ["Pragma: no-cache", "Cache-Control: no-store"],
    ],
    ids=" / ".join,
)
def test_a_response_that_forbids_it_is_not_served_again(lines: Sequence[str]) -> None:
    with site(reply(*lines)) as found:
        assert found.get().body == b"answer 1"
        again = found.get()
        assert (again.body, again.is_hit) == (b"answer 2", False)
        assert found.head().body == b"" and found.calls == 3


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: max-age=600"],
        ["Cache-Control: public, max-age=600"],
        ['Cache-Control: max-age=600, extension="no-store"'],
        ['Cache-Control: extension="private, no-store", max-age=600'],
        ["Cache-Control: max-age=600, x-no-store, no-storeage"],
        ["Cache-Control: max-age=600, immutable"],
        ["Cache-Control: max-age=600, no-transform"],
        ["Cache-Control: max-age=600", "Pragma: no-cache"],
        ["X-Cache-Control: no-store", "Cache-Control: max-age=600"],
        ["Cache-Control: must-understand, max-age=600"],
        ["Cache-Control: must-understand, no-store, max-age=600"],
        ["Cache-Control: no-store, must-understand, max-age=600"],
    ],
    ids=" / ".join,
)
def test_a_response_that_allows_it_is_served_again(lines: Sequence[str]) -> None:
    with site(reply(*lines)) as found:
        first, second = found.get(), found.get()
        assert (first.is_hit, second.is_hit) == (False, True)
        assert second.body == first.body == b"answer 1"


def test_no_store_and_private_win_over_the_lifetime_of_a_rule() -> None:
    with site(cache_rules={"/*": {"ttl": 300}}) as found:
        for path, lines in {"/a": "Cache-Control: no-store", "/b": "Cache-Control: private", "/c": "Set-Cookie: a=b"}.items():
            found.application.at(path, reply(lines))
            found.get(path)
            found.get(path)
            assert found.application.calls(path) == 2, path


def test_private_responses_are_stored_where_the_operator_says_so() -> None:
    with site(reply("Cache-Control: private, max-age=600"), cache_private=True) as found:
        assert found.get().body == found.get().body


@pytest.mark.parametrize("status", [200, 301, 302, 404])
def test_the_documented_statuses_are_stored(status: int) -> None:
    with site(reply("Cache-Control: max-age=600", "Location: /other", status=status)) as found:
        first, second = found.get(), found.get()
        assert (first.status, second.status, second.is_hit, found.calls) == (status, status, True, 1)
        assert second["location"] == "/other"


@pytest.mark.parametrize(
    "status",
    [201, 202, 203, 204, 205, 206, 207, 226, 299, 300, 303, 304, 305, 307, 308, 400, 401, 403, 405, 410, 414, 416, 429, 451]
    + [500, 501, 502, 503, 504, 599],
)
def test_no_other_status_is_stored_unless_it_is_named(status: int) -> None:
    with site(reply("Cache-Control: max-age=600", status=status)) as found:
        first, second = found.get(), found.get()
        assert (first.status, second.status, second.is_hit, found.calls) == (status, status, False, 2)
    if status in (206, 304):
        return
    with site(reply("Cache-Control: max-age=600", status=status), cache_status_codes={status}) as found:
        first, second = found.get(), found.get()
        assert (first.status, second.status, second.is_hit, found.calls) == (status, status, True, 1)


@pytest.mark.parametrize("status", [206, 304])
def test_a_part_and_a_confirmation_are_not_stored_even_when_named(status: int) -> None:
    try:
        with site(reply("Cache-Control: max-age=600", status=status), cache_status_codes={200, status}) as found:
            found.get()
            found.get()
            assert found.calls == 2
    except CacheValueError as error:
        # Refusing to be told so is as good.
        assert str(status) in str(error)


def test_must_understand_forbids_what_is_not_understood() -> None:
    with site(reply("Cache-Control: must-understand, max-age=600", status=299), cache_status_codes={200, 299}) as found:
        found.get()
        assert not found.get().is_hit


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "get", "HEAD2"])
def test_only_get_and_head_are_answered_from_the_cache(method: str) -> None:
    with site(FRESH) as found:
        first, second = found.ask(method, "/a", body=b"1"), found.ask(method, "/a", body=b"1")
        assert (first.body, second.body) == (b"answer 1", b"answer 2")
        for answer in (first, second):
            assert answer.said_by_the_application == answer.headers, "not touched at all"
        # Nor is what they were answered served to those that may be.
        assert found.get("/a").body == b"answer 3"
        assert found.last.body == b""


@pytest.mark.parametrize("methods", [{"POST"}, {"GET", "PUT"}, set(), {"get "}])
def test_other_methods_cannot_be_asked_for(methods: Set[str]) -> None:
    if not methods:
        with site(FRESH, cache_methods=methods) as found:
            found.get()
            assert not found.get().is_hit
        return
    with pytest.raises(CacheValueError, match="cache_methods"):
        with site(FRESH, cache_methods=methods):
            pass


def test_methods_that_are_not_named_pass_untouched() -> None:
    with site(FRESH, cache_methods={"GET"}) as found:
        found.get()
        answer = found.head()
        assert answer.headers == answer.said_by_the_application
        assert found.calls == 2


def test_a_request_with_no_store_is_neither_stored_nor_answered_from_the_cache() -> None:
    with site(FRESH) as found:
        for line in ("Cache-Control: no-store", "Cache-Control: max-age=600, No-Store", 'cache-control: x="y", no-store'):
            calls = found.calls
            answer = found.get("/", line)
            assert answer.headers == answer.said_by_the_application
            assert found.calls == calls + 1
        assert not found.get().is_hit
        assert found.get("/", "Cache-Control: no-store").body != found.get().body


USER = "Authorization: Bearer one"


@pytest.mark.parametrize(
    "directives, is_shared",
    [
        ("max-age=600", False),
        ("max-age=600, proxy-revalidate", False),
        ("max-age=600, immutable, must-revalidate-not", False),
        ("private, s-maxage=600", False),
        ("no-store, public, max-age=600", False),
        ('max-age=600, x="public"', False),
        ("max-age=600, public", True),
        ("s-maxage=600", True),
        ("max-age=600, must-revalidate", True),
        ("PUBLIC, max-age=600", True),
    ],
)
def test_an_answer_to_a_request_with_authorization_is_shared_only_by_permission(directives: str, is_shared: bool) -> None:
    with site(reply(f"Cache-Control: {directives}")) as found:
        found.get("/", USER)
        assert (found.get("/", USER).body == b"answer 1") is is_shared
        assert (found.get("/", "Authorization: Bearer two").body == b"answer 1") is is_shared
        assert (found.get("/").body == b"answer 1") is is_shared


def test_without_permission_an_answer_made_for_nobody_is_not_given_to_somebody() -> None:
    with site(FRESH) as found:
        assert found.get().body == b"answer 1"
        assert found.get("/", USER).body == b"answer 2"
        # What somebody was answered has not replaced what nobody was.
        assert found.get().body == b"answer 1"


def test_a_default_lifetime_is_no_permission() -> None:
    with site(reply()) as found:
        found.get("/", USER)
        assert found.get("/", USER).body == b"answer 2"
        assert found.get("/").body == b"answer 3"


def test_where_authenticated_requests_are_cached_each_has_its_own_answer() -> None:
    with site(FRESH, cache_authenticated=True) as found:
        users = [(), (USER,), ("Authorization: Bearer two",), ("Authorization: bearer one",), ("Authorization:",)]
        first = [found.get("/", *user).body for user in users]
        assert len(set(first)) == len(users)
        assert [found.get("/", *user).body for user in users] == first
        assert found.calls == len(users)


@pytest.mark.parametrize(
    "cookies, is_stored",
    [
        (["theme=dark"], True),
        (["theme=dark; Path=/; HttpOnly"], True),
        (["theme=dark", "lang=en; Max-Age=60"], True),
        (["theme="], True),
        (["session=1"], False),
        (["theme=dark", "session=1"], False),
        (["session=1", "theme=dark"], False),
        (["theme=dark, session=1"], None),
        (["Theme=dark"], False),
        (["theme"], False),
        ([""], False),
        (["=theme"], False),
        (["themes=dark"], False),
        (["session=theme=dark"], False),
    ],
)
def test_cookies_are_stored_only_when_all_are_named(cookies: List[str], is_stored: Optional[bool]) -> None:
    lines = ["Set-Cookie: " + cookie for cookie in cookies]
    with site(reply("Cache-Control: max-age=600", *lines), cacheable_cookies=("theme", "lang")) as found:
        found.get()
        again = found.get()
        if is_stored is not None:
            assert again.is_hit is is_stored
        assert again.every("set-cookie") == cookies, "each in its place"


def test_a_default_lifetime_does_not_apply_to_requests_with_cookies() -> None:
    with site(reply()) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/", "Cookie: session=1").body == b"answer 2"
        assert found.get("/").body == b"answer 3"
    with site(FRESH) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/", "Cookie: session=2").body == b"answer 1", "the application said that it may be shared"
    with site(reply(), cache_cookies=True) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/").body == b"answer 1"
    with site(reply(), cache_rules={"/*": {"ttl": 300}}) as found:
        found.get("/", "Cookie: session=1")
        assert found.get("/").body == b"answer 1"


@pytest.mark.parametrize(
    "lines, kept",
    [
        (["Connection: close"], []),
        (["Connection: X-Hop", "X-Hop: 1", "X-Kept: 2"], [(b"x-kept", b"2")]),
        (["Connection: close, x-hop , X-SECOND", "X-Hop: 1", "x-second: 2", "X-Hop: 3"], []),
        (["Connection: a", "Connection: b", "A: 1", "B: 2", "C: 3"], [(b"c", b"3")]),
        (["Connection: ,, ;, x-hop", "X-Hop: 1"], []),
        (["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "Upgrade: h2c"], []),
        (["Proxy-Authenticate: Basic", "Proxy-Authentication-Info: a=b", "Proxy-Authorization: x"], []),
    ],
)
def test_fields_of_the_connection_are_not_stored(lines: Sequence[str], kept: object) -> None:
    with site(reply("Cache-Control: max-age=600", *lines, body=b"body")) as found:
        found.get()
        hit = found.get()
        assert hit.is_hit
        left = {b"cache-control", b"content-length", b"etag"}
        assert [pair for pair in hit.said_by_the_application if pair[0] not in left] == kept
        assert hit["content-length"] == "4"


def test_transfer_encoding_is_not_stored() -> None:
    with site(reply("Cache-Control: max-age=600", "Transfer-Encoding: chunked", body=[b"bo", b"dy"])) as found:
        found.get()
        hit = found.get()
        assert (hit.is_hit, hit.body, hit.every("transfer-encoding")) == (True, b"body", [])


def test_the_cache_is_steered_by_fields_that_are_nominated_too() -> None:
    # "Connection: cache-control" must not turn no-store off.
    with site(reply("Connection: cache-control", "Cache-Control: no-store")) as found:
        found.get()
        assert found.get().body == b"answer 2"


def test_names_of_fields_in_capitals_are_understood() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"Cache-CONTROL", b"no-store"), (b"SET-Cookie", b"a=b")]}
        )
        await send({"type": "http.response.body", "body": b"body"})
        calls.append(1)

    calls: List[int] = []
    with site(application=application) as found:

        async def twice() -> None:
            for _ in range(2):
                messages: List[Message] = []

                async def send(message: Message) -> None:
                    messages.append(message)

                async def receive() -> Message:
                    return {"type": "http.request", "body": b"", "more_body": False}

                await found.middleware(scope_of("GET", "/", []), receive, send)

        found.run(twice())
        assert len(calls) == 2


def test_head_is_answered_from_a_stored_get() -> None:
    with site(reply("Cache-Control: max-age=600", "X-A: 1", body=b"body")) as found:
        first, head = found.get(), found.head()
        assert (head.is_hit, head.status, head.body, found.calls) == (True, 200, b"", 1)
        assert head["content-length"] == "4"
        assert {b"x-a", b"cache-control"} <= {name for name, _ in head.headers}
        assert head.said_by_the_application[:2] == first.said_by_the_application[:2]


def test_a_head_that_was_stored_never_answers_a_get() -> None:
    with site(reply("Cache-Control: max-age=600", "Content-Length: 4", body=[b"body"])) as found:
        assert found.head().body == b""
        again = found.head()
        assert (again.is_hit, again["content-length"]) == (True, "4")
        first, second = found.get(), found.get()
        assert (first.body, first.is_hit, second.body, second.is_hit) == (b"body", False, b"body", True)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_http_request_passes_untouched(kind: str) -> None:
    seen: List[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([scope, receive, send])

    async def receive() -> Message:
        return {"type": "none"}

    async def send(message: Message) -> None:
        pass

    with site(application=application) as found:
        scope = {"type": kind, "path": "/", "headers": []}
        found.run(found.middleware(scope, receive, send))
        assert seen == [scope, receive, send] and seen[0] is scope and seen[1] is receive and seen[2] is send


@pytest.mark.parametrize("lines", [["Connection: Upgrade", "Upgrade: h2c"], ["Upgrade: websocket"]])
def test_a_request_to_change_the_protocol_passes_untouched(lines: Sequence[str]) -> None:
    with site(FRESH) as found:
        found.get()
        answer = found.get("/", *lines)
        assert answer.body == b"answer 2" and answer.headers == answer.said_by_the_application


@pytest.mark.parametrize("lines", [["If-Match: *"], ['If-Match: "a"'], ["If-Unmodified-Since: Fri, 15 Jan 2027 08:00:00 GMT"]])
def test_a_request_that_only_the_application_can_judge_reaches_it_as_it_is(lines: Sequence[str]) -> None:
    with site(reply("Cache-Control: max-age=600", 'ETag: "a"'), reply(status=412)) as found:
        found.get()
        answer = found.get("/", *lines)
        assert answer.status == 412
        assert fields(*lines)[0] in found.last.headers
        assert found.get().body == b"answer 1"


@lets_time_pass
def test_a_response_that_may_not_be_stored_leaves_an_older_one_as_old_as_it_is() -> None:
    with site(reply("Cache-Control: max-age=600"), reply("Cache-Control: no-store")) as found:
        found.get()
        found.pass_time(600)
        assert found.get().body == b"answer 2"
        assert found.get().body == b"answer 3"


def test_paths_are_included_and_excluded_by_prefixes_and_globs() -> None:
    with site(FRESH, include_paths=["/api", "/files/*.css"], exclude_paths=["/api/admin", "/api/*/secret"]) as found:
        for path, is_cached in {
            "/api": True,
            "/api/a": True,
            "/files/a.css": True,
            "/files/a.js": False,
            "/other": False,
            "/api/admin": False,
            "/api/admin/a": False,
            "/api/a/secret": False,
        }.items():
            first = found.get(path)
            assert found.get(path).is_hit is is_cached, path
            if not is_cached:
                assert first.headers == first.said_by_the_application


def echoing(asked: Asked) -> Reply:
    return reply("Cache-Control: max-age=600", body=asked.method.encode() + b" " + asked.body)


def test_a_get_with_a_body_is_not_answered_with_what_another_body_was() -> None:
    with site(echoing) as found:
        assert found.get("/", "Content-Length: 1", body=b"a").body == b"GET a"
        assert found.get("/", "Content-Length: 1", body=b"b").body == b"GET b"
        assert found.get("/").body == b"GET "
        assert found.get("/", "Transfer-Encoding: chunked", body=b"c").body == b"GET c"


@pytest.mark.parametrize(
    "size, lines, is_compressed",
    [(1024, (), False), (64 * 1024, (), True), (64 * 1024, ("Content-Encoding: gzip",), False)],
    ids=["short", "long", "compressed already"],
)
def test_what_is_short_or_compressed_is_kept_as_it_is(size: int, lines: "tuple[str, ...]", is_compressed: bool) -> None:
    with site(reply("Cache-Control: max-age=600", *lines, body=b"a" * size)) as where:
        where.get("/")
        assert (where.cache.statistics().memory_compressed_puts == 1) is is_compressed
        assert where.get("/").body == b"a" * size
