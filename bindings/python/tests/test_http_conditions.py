"""Conditional requests of clients, answered by the cache.

Shows RFC 9111 section 4.3.2, and RFC 9110 sections 8.8 (validators), 13.1 (conditions), 13.2 (their order) and 15.4.5 (304).
"""

from __future__ import annotations

from typing import List, Optional, Sequence

import pytest

from http_application import clock_of, reply, site

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
