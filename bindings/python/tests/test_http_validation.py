"""Conditional requests: those of clients, answered by the cache, and those of the cache, answered by the application.

Shows RFC 9111 sections 4.3 (4.3.1 sending, 4.3.2 receiving, 4.3.3 what the answer means, 4.3.4 freshening, 4.3.5 HEAD) and 3.2 (updating
stored fields), and RFC 9110 sections 8.8 (validators), 13.1 (conditions), 13.2 (their order) and 15.4.5 (304).
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import pytest

from http_application import FRESH, Asked, Clock, Reply, clock_of, http_date, lets_time_pass, reply, site

__all__ = ["clock_of"]

MODIFIED = "Mon, 01 Jun 2020 12:00:00 GMT"
TAGGED = reply(
    "Cache-Control: max-age=600", 'ETag: "a"', f"Last-Modified: {MODIFIED}", "Vary: X-A", "Content-Type: text/plain", "X-B: 1"
)


@pytest.mark.parametrize(
    "etag, condition, matches",
    [
        ('"a"', '"a"', True),
        ('"a"', 'W/"a"', True),
        ('W/"a"', '"a"', True),
        ('W/"a"', 'W/"a"', True),
        ('"a"', "*", True),
        ('"a"', '"b", "a"', True),
        ('"a"', '"b" , W/"a","c"', True),
        ('"a"', ',, "a",,', True),
        ('"a,b"', '"a,b"', True),
        ('""', '""', True),
        ('"\xe9"', '"\xe9"', True),
        ('"a\\"', '"a\\"', True),
        ('"a"', '"b"', False),
        ('"a"', '"A"', False),
        ('"a"', '""', False),
        ('"a"', '"a,b"', False),
        ('"a"', '"x, "a", y"', None),
        ('"a"', '"ab", "ba"', False),
        ('"a"', "a", False),
        ('"a"', "'a'", False),
        ('"a"', "", False),
        ('"a"', 'w/"a"', None),
        ('"a"', '"*"', False),
    ],
)
def test_a_client_that_has_the_stored_answer_is_told_so(etag: str, condition: str, matches: Optional[bool]) -> None:
    with site(reply("Cache-Control: max-age=600", f"ETag: {etag}")) as found:
        found.get()
        for method in ("GET", "HEAD"):
            answer = found.ask(method, "/", f"If-None-Match: {condition}")
            if matches is not None:
                assert answer.status == (304 if matches else 200)
            if answer.status == 200 and method == "GET":
                assert answer.body == b"answer 1"
        assert found.calls == 1


def test_the_conditions_of_several_lines_are_one_list() -> None:
    with site(TAGGED) as found:
        found.get()
        assert found.get("/", 'If-None-Match: "x"', 'If-None-Match: "a"').status == 304
        assert found.get("/", 'If-None-Match: "x"', 'If-None-Match: "y"').status == 200


def test_a_304_has_the_fields_that_update_what_the_client_has_and_no_body() -> None:
    lines = [
        "Cache-Control: max-age=600",
        'ETag: "a"',
        "Vary: X-A",
        "Content-Location: /b",
        "Content-Type: text/plain",
        "Link: </a>",
        "Link: </b>",
    ]
    with site() as found:
        found.application.at("/", reply(*lines, f"Date: {found.date()}", f"Expires: {found.date(600)}"))
        found.get()
        answer = found.get("/", 'If-None-Match: "a"')
        assert (answer.status, answer.body, answer.is_hit) == (304, b"", True)
        for name in ("cache-control", "etag", "vary", "content-location", "date", "expires"):
            assert answer.every(name) == found.get().every(name) != [], name
        assert answer["content-length"] in (None, str(len(b"answer 1")))
        assert answer["age"] is not None
        assert answer.every("link") in ([], ["</a>", "</b>"])


@pytest.mark.parametrize(
    "condition, matches",
    [
        (MODIFIED, True),
        ("Mon, 01 Jun 2020 12:00:01 GMT", True),
        ("Tue, 02 Jun 2020 00:00:00 GMT", True),
        ("Monday, 01-Jun-20 12:00:00 GMT", True),
        ("Mon Jun  1 12:00:00 2020", True),
        ("Mon, 01 Jun 2020 11:59:59 GMT", False),
        ("Sunday, 31-May-20 12:00:00 GMT", False),
        ("Sun May 31 12:00:00 2020", False),
        ("yesterday", False),
        ("", False),
        ("0", False),
        ("Mon, 99 Jun 2020 12:00:00 GMT", False),
        (MODIFIED + ", " + MODIFIED, False),
    ],
)
def test_a_client_that_is_not_older_than_the_stored_answer_is_told_so(condition: str, matches: bool) -> None:
    with site(reply("Cache-Control: max-age=600", f"Last-Modified: {MODIFIED}")) as found:
        found.get()
        for method in ("GET", "HEAD"):
            assert found.ask(method, "/", f"If-Modified-Since: {condition}").status == (304 if matches else 200)
        assert found.calls == 1


@pytest.mark.parametrize(
    "lines, status",
    [
        (['If-None-Match: "a"', "If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT"], 304),
        (['If-None-Match: "b"', f"If-Modified-Since: {MODIFIED}"], 200),
        ([f"If-Modified-Since: {MODIFIED}", 'If-None-Match: "b"'], 200),
        (['If-None-Match: "a"', "Range: bytes=0-1"], 304),
        (['If-None-Match: "b"', "Range: bytes=0-1"], 206),
        ([f"If-Modified-Since: {MODIFIED}", "Range: bytes=0-1"], 304),
        (['If-None-Match: "a"', 'If-Range: "b"', "Range: bytes=0-1"], 304),
        (['If-None-Match: "a"', "Range: bytes=100-"], 304),
    ],
)
def test_conditions_are_judged_in_their_order(lines: Sequence[str], status: int) -> None:
    with site(TAGGED) as found:
        found.get()
        assert found.get("/", *lines).status == status
        assert found.calls == 1


def test_without_last_modified_the_date_of_the_answer_is_compared() -> None:
    with site(reply("Cache-Control: max-age=600")) as found:
        found.application.at("/", reply("Cache-Control: max-age=600", f"Date: {found.date(-10)}"))
        found.get()
        assert found.get("/", f"If-Modified-Since: {found.date(-5)}").status == 304
        assert found.get("/", f"If-Modified-Since: {found.date(-500)}").status == 200
        assert found.calls == 1


@pytest.mark.parametrize("status", [301, 302, 404])
@pytest.mark.parametrize("line", ['If-None-Match: "a"', "If-None-Match: *", f"If-Modified-Since: {MODIFIED}"])
def test_only_a_success_is_confirmed(status: int, line: str) -> None:
    with site(reply("Cache-Control: max-age=600", 'ETag: "a"', f"Last-Modified: {MODIFIED}", status=status)) as found:
        found.get()
        assert found.get("/", line).status == status


def test_an_etag_is_made_for_an_answer_that_has_none() -> None:
    with site(reply("Cache-Control: max-age=600", body=b"one"), reply("Cache-Control: max-age=600", body=b"two")) as found:
        found.get("/")
        found.application.at("/b", reply("Cache-Control: max-age=600", body=b"two"))
        found.get("/b")
        one, two = found.get("/")["etag"], found.get("/b")["etag"]
        assert one is not None and two is not None and one != two
        assert one.endswith('"') and (one.startswith('"') or one.startswith('W/"'))
        assert found.get("/")["etag"] == one, "the same each time"
        assert found.head("/")["etag"] == one
        assert found.get("/", f"If-None-Match: {one}").status == 304
        assert found.get("/", f"If-None-Match: {one}")["etag"] == one
        assert found.get("/b", f"If-None-Match: {one}").status == 200
        assert found.calls == 2


def test_equal_bodies_have_equal_made_etags_wherever_they_are_stored() -> None:
    tags = []
    for _ in range(2):
        with site(reply("Cache-Control: max-age=600", body=b"one")) as found:
            found.get()
            tags.append(found.get()["etag"])
    assert tags[0] == tags[1]


@pytest.mark.parametrize("status", [301, 404])
def test_an_error_or_a_redirection_needs_no_etag_to_be_served(status: int) -> None:
    with site(reply("Cache-Control: max-age=600", status=status)) as found:
        found.get()
        assert (found.get().status, found.get().is_hit) == (status, True)


@pytest.mark.parametrize("lines", [['If-None-Match: "a"'], [f"If-Modified-Since: {MODIFIED}"], ['If-None-Match: W/"a", "b"']])
def test_a_condition_that_meets_nothing_stored_is_judged_by_the_cache_once_the_answer_came(lines: List[str]) -> None:
    with site(TAGGED) as found:
        first = found.get("/", *lines)
        assert (first.status, first.body) == (304, b"")
        assert found.last["if-none-match"] is None and found.last["if-modified-since"] is None
        assert found.get().body == b"answer 1", "the whole was stored"
        assert found.calls == 1


def test_a_condition_that_meets_nothing_stored_and_does_not_match_gets_the_answer() -> None:
    with site(TAGGED) as found:
        assert found.get("/", 'If-None-Match: "b"').body == b"answer 1"
        assert found.get("/", 'If-None-Match: "a"').status == 304
        assert found.calls == 1


@pytest.mark.parametrize("line", ['If-None-Match: "a"', f"If-Modified-Since: {MODIFIED}", 'If-Match: "a"', 'If-Range: "a"'])
def test_a_condition_reaches_the_application_where_nothing_is_cached(line: str) -> None:
    with site(reply(status=304), include_paths=["/other"]) as found:
        assert found.get("/", line).status == 304
        assert found.last[line.partition(":")[0]] == line.partition(": ")[2]


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
