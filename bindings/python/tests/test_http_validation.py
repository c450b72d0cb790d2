"""What the cache asks the application about what it has stored, and what it makes of the answer.

Shows RFC 9111 sections 4.3.1 (sending), 4.3.3 (what the answer means), 4.3.4 (freshening), 4.3.5 (HEAD) and 3.2 (updating stored fields).
"""

from __future__ import annotations

from typing import Dict, List, Optional

import pytest

from http_application import FRESH, Asked, Clock, Reply, clock_of, http_date, lets_time_pass, reply, site

__all__ = ["clock_of"]

MODIFIED = "Mon, 01 Jun 2020 12:00:00 GMT"
TAGGED = reply(
    "Cache-Control: max-age=600", 'ETag: "a"', f"Last-Modified: {MODIFIED}", "Vary: X-A", "Content-Type: text/plain", "X-B: 1"
)


def confirms(asked: Asked) -> Reply:
    """Does as an application should: confirms what the request says it has, if it is the latest."""
    latest = '"a"'
    if latest in (asked["if-none-match"] or ""):
        return reply("Cache-Control: max-age=600", f"ETag: {latest}", status=304)
    return reply("Cache-Control: max-age=600", f"ETag: {latest}")


@lets_time_pass
@pytest.mark.parametrize(
    "lines, conditions",
    [
        (['ETag: "a"'], {"if-none-match": '"a"'}),
        (['ETag: W/"a"'], {"if-none-match": 'W/"a"'}),
        ([f"Last-Modified: {MODIFIED}"], {"if-modified-since": MODIFIED}),
        (['ETag: "a"', f"Last-Modified: {MODIFIED}"], {"if-none-match": '"a"', "if-modified-since": MODIFIED}),
        (['ETag: "a, b"'], {"if-none-match": '"a, b"'}),
        (['ETag: "\xe9"'], {"if-none-match": '"\xe9"'}),
    ],
)
def test_what_is_stale_is_validated_with_what_the_application_said_of_it(lines: List[str], conditions: Dict[str, str]) -> None:
    with site(reply("Cache-Control: max-age=600", *lines), reply("Cache-Control: max-age=600", status=304)) as found:
        found.get()
        found.pass_time(700)
        second = found.get()
        assert (second.status, second.body, second.is_hit, second["age"]) == (200, b"answer 1", True, "0")
        for name in ("if-none-match", "if-modified-since"):
            assert found.last[name] == conditions.get(name)
        found.pass_time(599)
        assert (found.get().body, found.calls) == (b"answer 1", 2)
        found.pass_time(1)
        found.get()
        assert found.calls == 3


@lets_time_pass
def test_an_etag_that_the_cache_made_is_not_what_the_application_is_asked_about() -> None:
    with site(FRESH) as found:
        found.get()
        made = found.get()["etag"]
        found.pass_time(700)
        assert found.get("/", f"If-None-Match: {made}").status in (200, 304)
        assert found.last["if-none-match"] is None
        assert found.get().body == b"answer 2"


@lets_time_pass
def test_a_confirmation_updates_the_stored_fields() -> None:
    with site(
        reply(
            *(
                "Cache-Control: max-age=600",
                'ETag: "a"',
                "X-Kept: 1",
                "X-Changed: 1",
                "Link: </a>",
                "Link: </b>",
                "Content-Type: text/plain",
            ),
            *("Content-Encoding: identity", "Expires: Fri, 15 Jan 2027 08:10:00 GMT"),
            body=b"body",
        ),
        reply(
            *(
                "Cache-Control: max-age=60",
                'ETag: "a"',
                "X-Changed: 2",
                "Link: </c>",
                "X-New: 3",
                "Content-Length: 0",
                "Connection: X-Hop",
            ),
            *("X-Hop: 1", "Keep-Alive: a", f"Date: {http_date(Clock()() + 700)}", "Expires: Fri, 15 Jan 2027 09:00:00 GMT"),
            status=304,
        ),
    ) as found:
        found.get()
        found.pass_time(700)
        for answer in (found.get(), found.get()):
            assert (answer.status, answer.body, answer["content-length"]) == (200, b"body", "4")
            assert (answer["x-kept"], answer["x-changed"], answer["x-new"]) == ("1", "2", "3")
            assert (answer.every("link"), answer["content-type"]) == (["</c>"], "text/plain")
            assert (answer["x-hop"], answer["keep-alive"], answer["connection"]) == (None, None, None)
            assert answer["cache-control"] == "max-age=60" and answer["date"] == http_date(Clock()() + 700)
            assert answer["expires"] == "Fri, 15 Jan 2027 09:00:00 GMT"
        found.pass_time(59)
        assert found.calls == 2 and found.get().is_hit
        found.pass_time(1)
        found.get()
        assert found.calls == 3


@lets_time_pass
@pytest.mark.parametrize("has_date", [True, False])
def test_a_confirmation_is_as_young_as_it_is_whatever_the_date_of_what_it_confirms(has_date: bool) -> None:
    with site() as found:
        dated = [f"Date: {found.date(700)}"] if has_date else []
        found.application.at(
            "/",
            reply("Cache-Control: max-age=600", 'ETag: "a"', f"Date: {found.date()}"),
            reply("Cache-Control: max-age=600", 'ETag: "a"', *dated, status=304),
        )
        found.get()
        found.pass_time(700)
        assert found.get()["age"] == "0"
        found.pass_time(599)
        assert (found.get()["age"], found.calls) == ("599", 2)


@lets_time_pass
@pytest.mark.parametrize("line", ["Cache-Control: no-store", "Cache-Control: private", "Set-Cookie: a=b", "Vary: *"])
def test_a_confirmation_that_may_not_be_stored_serves_this_request_and_no_other(line: str) -> None:
    with site(reply("Cache-Control: max-age=600", 'ETag: "a"'), reply(line, 'ETag: "a"', status=304), FRESH) as found:
        found.get()
        found.pass_time(700)
        second = found.get()
        assert (second.status, second.body) == (200, b"answer 1")
        third = found.get()
        assert third.every("set-cookie") == []
        assert found.calls == 3


@lets_time_pass
@pytest.mark.parametrize("status", [200, 404])
def test_another_answer_to_a_validation_takes_the_place_of_the_stored_one(status: int) -> None:
    second = reply("Cache-Control: max-age=600", 'ETag: "b"', "X-New: 1", status=status)
    with site(TAGGED, second) as found:
        found.get()
        found.pass_time(700)
        for _ in range(2):
            answer = found.get()
            assert (answer.status, answer.body, answer["etag"], answer["x-new"], answer["x-b"]) == (
                status,
                b"answer 2",
                '"b"',
                "1",
                None,
            )
        assert found.calls == 2


@lets_time_pass
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failed_validation_is_told_and_what_is_stored_can_be_validated_later(status: int) -> None:
    with site(TAGGED, reply(status=status), reply("Cache-Control: max-age=600", 'ETag: "a"', status=304)) as found:
        found.get()
        found.pass_time(700)
        assert (found.get().status, found.get().body) == (status, b"answer 1")
        assert found.last["if-none-match"] == '"a"'


@lets_time_pass
def test_a_confirmation_of_something_else_is_not_believed() -> None:
    # 4.3.4: a 304 with a strong validator updates only what has the same one.
    with site(
        TAGGED, reply('ETag: "b"', "Cache-Control: max-age=600", status=304), reply('ETag: "b"', "Cache-Control: max-age=600")
    ) as found:
        found.get()
        found.pass_time(700)
        answer = found.get()
        assert answer.status == 200
        assert (answer.body, answer["etag"]) in [(b"answer 3", '"b"'), (b"answer 1", '"a"')]
        answer = found.get()
        assert (answer.body, answer["etag"]) == (b"answer 3", '"b"')


@lets_time_pass
@pytest.mark.parametrize(
    "condition, status", [('"a"', 304), ('W/"a"', 304), ('"b"', 200), ('"b", "a"', 304), ("*", 304), (None, 200)]
)
def test_after_a_confirmation_the_client_is_judged_by_its_own_condition(condition: Optional[str], status: int) -> None:
    with site(confirms) as found:
        found.get()
        found.pass_time(700)
        answer = found.get("/", *([f"If-None-Match: {condition}"] if condition else []))
        assert (answer.status, found.calls) == (status, 2)
        assert answer.body == (b"" if status == 304 else b"answer 1")
        assert found.get().body == b"answer 1" and found.calls == 2


@lets_time_pass
def test_a_client_that_has_the_newest_is_never_given_the_older_one_that_is_stored() -> None:
    latest = ['"a"']

    def answer(asked: Asked) -> Reply:
        if latest[0] in (asked["if-none-match"] or ""):
            return reply("Cache-Control: max-age=600", f"ETag: {latest[0]}", status=304)
        return reply("Cache-Control: max-age=600", f"ETag: {latest[0]}", body=latest[0].encode())

    with site(answer) as found:
        assert found.get().body == b'"a"'
        found.pass_time(700)
        latest[0] = '"b"'
        second = found.get("/", 'If-None-Match: "b"')
        assert second.status == 304 and second["etag"] == '"b"' or (second.status, second.body) == (200, b'"b"')
        third = found.get()
        assert (third.status, third.body, third["etag"]) == (200, b'"b"', '"b"')


@lets_time_pass
def test_a_confirmation_of_a_date_is_for_clients_with_that_date() -> None:
    with site(
        reply("Cache-Control: max-age=600", f"Last-Modified: {MODIFIED}"),
        reply("Cache-Control: max-age=600", f"Last-Modified: {MODIFIED}", status=304),
    ) as found:
        found.get()
        found.pass_time(700)
        assert found.get("/", "If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT").body == b"answer 1"
        assert found.last["if-modified-since"] == MODIFIED
        assert found.get("/", f"If-Modified-Since: {MODIFIED}").status == 304
        assert found.calls == 2


@lets_time_pass
def test_head_on_what_is_stale_is_validated_and_confirms_what_get_has_stored() -> None:
    with site(confirms) as found:
        found.get()
        found.pass_time(700)
        head = found.head()
        assert (head.status, head.body, head["content-length"]) == (200, b"", "8")
        assert found.last["if-none-match"] == '"a"'
        assert found.get().body == b"answer 1"
        assert found.get().is_hit and found.calls <= 3


@pytest.mark.parametrize("lines", [['ETag: "b"'], ["Last-Modified: Mon, 01 Jun 2020 13:00:00 GMT"], ["Content-Length: 9999"]])
def test_a_head_that_shows_a_newer_answer_ends_the_older_one(lines: List[str]) -> None:
    # 4.3.5: a cache SHOULD update or invalidate the stored answers to GET that a HEAD shows to be others.
    newer = reply("Cache-Control: max-age=600", *lines)
    with site(TAGGED, newer, FRESH) as found:
        found.get("/", "X-A: 1")
        found.head("/", "X-A: 1", "Cache-Control: no-cache")
        assert found.last.method == "HEAD" or found.last["if-none-match"]
        assert found.get("/", "X-A: 1").body == b"answer 3"


@lets_time_pass
@pytest.mark.parametrize(
    "lines", [['ETag: "a"'], [f"Last-Modified: {MODIFIED}"], ['ETag: "a"', f"Last-Modified: {MODIFIED}", "Content-Length: 8"]]
)
def test_a_head_that_shows_the_stored_answer_updates_it(lines: List[str]) -> None:
    # 4.3.5: what has the same validators, as far as they are told, is the same; an application need not know conditions for that.
    stored = reply("Cache-Control: max-age=600", 'ETag: "a"', f"Last-Modified: {MODIFIED}", "X-Kept: 1", "X-B: 1")
    with site(stored, reply("Cache-Control: max-age=600", *lines, "X-B: 2"), FRESH) as found:
        found.get()
        found.pass_time(700)
        head = found.head()
        assert (head.status, head.body, head["x-kept"], head["x-b"], head["content-length"]) == (200, b"", "1", "2", "8")
        assert head["cache-status"] == "catzilla; fwd=stale; fwd-status=200"
        found.pass_time(599)
        hit = found.get()
        assert (hit.body, hit["x-kept"], hit["x-b"], found.calls) == (b"answer 1", "1", "2", 2)


@lets_time_pass
@pytest.mark.parametrize("lines", [[], ["Content-Length: 8"], ['ETag: "made"'], [f"Last-Modified: {MODIFIED}"]])
def test_a_head_without_a_validator_that_is_stored_shows_nothing_of_the_answer(lines: List[str]) -> None:
    with site(FRESH, reply("Cache-Control: max-age=600", *lines), FRESH) as found:
        found.get()
        found.head("/", "Cache-Control: no-cache")
        assert found.get().body == b"answer 3"


@lets_time_pass
@pytest.mark.parametrize(
    "told, kept",
    [
        ("text/plain;charset=utf-8", "text/plain;charset=utf-8"),
        ("Text/Plain", "Text/Plain"),
        # What a framework gives to an answer without a body: served with these bytes it would be somebody's script.
        ("text/html; charset=utf-8", "text/plain"),
    ],
)
def test_a_confirmation_updates_the_parameters_of_a_type_and_not_the_type(told: str, kept: str) -> None:
    with site(
        reply("Cache-Control: max-age=600", 'ETag: "a"', "Content-Type: text/plain"),
        reply("Cache-Control: max-age=600", 'ETag: "a"', f"Content-Type: {told}", status=304),
    ) as found:
        found.get()
        found.pass_time(700)
        for _ in range(2):
            assert found.get()["content-type"] == kept


@lets_time_pass
@pytest.mark.parametrize("name", ["Content-MD5", "Digest", "Content-Digest", "Repr-Digest", "Content-Encoding", "Content-Range"])
def test_a_confirmation_does_not_change_what_depends_on_the_bytes(name: str) -> None:
    with site(
        reply("Cache-Control: max-age=600", 'ETag: "a"', f"{name}: of the body"),
        reply("Cache-Control: max-age=600", 'ETag: "a"', f"{name}: of no body", status=304),
    ) as found:
        found.get()
        found.pass_time(700)
        for _ in range(2):
            assert found.get()[name] == "of the body"


@lets_time_pass
def test_a_stored_answer_without_validators_is_fetched_anew() -> None:
    with site(FRESH) as found:
        found.get()
        found.pass_time(700)
        assert found.get().body == b"answer 2"
        assert found.last["if-none-match"] is None and found.last["if-modified-since"] is None
        assert found.get().body == b"answer 2"


@lets_time_pass
def test_a_confirmation_that_was_not_asked_for_reaches_the_client_and_nothing_is_made_of_it() -> None:
    with site(reply('ETag: "a"', status=304), FRESH) as found:
        assert found.get().status == 304
        assert found.get().body == b"answer 2"


@lets_time_pass
@pytest.mark.parametrize("directive", ["no-cache", "max-age=0", "no-cache, max-age=600"])
def test_what_must_be_validated_is_validated_each_time(directive: str) -> None:
    with site(
        reply(f"Cache-Control: {directive}", 'ETag: "a"'), reply(f"Cache-Control: {directive}", 'ETag: "a"', status=304)
    ) as found:
        found.get()
        for calls in (2, 3, 4):
            answer = found.get()
            assert (answer.body, answer.is_hit, found.calls) == (b"answer 1", True, calls)
            assert found.last["if-none-match"] == '"a"'


@lets_time_pass
def test_each_variant_is_validated_with_its_own_etag() -> None:
    def answer(asked: Asked) -> Reply:
        etag = f'"{asked["x-a"]}"'
        if asked["if-none-match"] and etag in asked["if-none-match"]:
            return reply("Cache-Control: max-age=600", "Vary: X-A", f"ETag: {etag}", status=304)
        return reply("Cache-Control: max-age=600", "Vary: X-A", f"ETag: {etag}", body=etag.encode())

    with site(answer) as found:
        found.get("/", "X-A: 1")
        found.get("/", "X-A: 2")
        found.pass_time(700)
        for value in ("1", "2"):
            got = found.get("/", f"X-A: {value}")
            assert (got.body, got["etag"], got.is_hit) == (f'"{value}"'.encode(), f'"{value}"', True)


@lets_time_pass
def test_what_is_stale_is_kept_for_validation_as_long_as_the_operator_says() -> None:
    with site(TAGGED, keep_stale=10**7) as found:
        found.get()
        found.pass_time(10**7)
        found.get()
        assert found.last["if-none-match"] == '"a"'
