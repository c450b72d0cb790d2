"""What requests ask of the cache.

Shows RFC 9111 sections 5.2.1 (5.2.1.1 max-age, 5.2.1.2 max-stale, 5.2.1.3 min-fresh, 5.2.1.4 no-cache, 5.2.1.5 no-store, 5.2.1.7
only-if-cached), 5.2.3 (unknown directives) and 5.4 Pragma.
"""

from __future__ import annotations

from typing import Sequence

import pytest

from http_application import clock_of, lets_time_pass, reply, site

__all__ = ["clock_of"]

FRESH = reply("Cache-Control: max-age=600", 'ETag: "a"')
CONFIRMED = reply("Cache-Control: max-age=600", 'ETag: "a"', status=304)


@pytest.mark.parametrize(
    "lines",
    [
        ["Cache-Control: no-cache"],
        ["Cache-Control: No-Cache"],
        ["Cache-Control: max-age=600, no-cache"],
        ["Cache-Control: max-age=600", "Cache-Control: no-cache"],
        ["Cache-Control: no-cache, max-stale"],
        ["Cache-Control: max-age=0"],
        ["Cache-Control: max-age=0, max-stale=100000"],
        ["Pragma: no-cache"],
        ["Pragma: other, No-Cache"],
        ["Cache-Control: no-cache", "Pragma: other"],
    ],
    ids=" / ".join,
)
def test_a_request_for_the_newest_reaches_the_application_and_its_answer_is_stored(lines: Sequence[str]) -> None:
    with site(FRESH, reply("Cache-Control: max-age=600", 'ETag: "b"')) as found:
        found.get()
        second = found.get("/", *lines)
        if lines == ["Cache-Control: max-age=0, max-stale=100000"] and second.is_hit:
            # The client takes what is stale.
            return
        assert (second.body, second.is_hit) == (b"answer 2", False)
        third = found.get()
        assert (third.body, third.is_hit) == (b"answer 2", True)


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"])
def test_a_request_for_the_newest_is_a_validation_where_that_can_be(line: str) -> None:
    with site(FRESH, CONFIRMED) as found:
        found.get()
        second = found.get("/", line)
        assert (second.status, second.body, found.last["if-none-match"]) == (200, b"answer 1", '"a"')
        assert found.get().body == b"answer 1" and found.calls == 2


def test_a_request_for_the_newest_with_a_condition_is_judged_by_the_newest() -> None:
    with site(FRESH, CONFIRMED, reply("Cache-Control: max-age=600", 'ETag: "c"')) as found:
        found.get()
        assert found.get("/", "Cache-Control: no-cache", 'If-None-Match: "a"').status == 304
        assert found.get("/", "Cache-Control: no-cache", 'If-None-Match: "a"').body == b"answer 3"


@pytest.mark.parametrize(
    "lines",
    [
        ["Pragma: no-cache", "Cache-Control: max-age=600"],
        ["Pragma: no-cache", "Cache-Control: extension"],
        ["Pragma: other"],
        ["Cache-Control: extension"],
        ["Cache-Control: extension=1, x"],
        ['Cache-Control: extension="no-cache"'],
        ["Cache-Control: max-age=600"],
        ["Cache-Control: max-age=99999999999999999999999"],
        ["Cache-Control: min-fresh=0"],
        ["Cache-Control: no-transform"],
        ["Cache-Control: must-revalidate, private, s-maxage=0, proxy-revalidate"],
        ["Cache-Control: "],
        ["Cache-Control: ,,"],
        ["Cache-Control: max-stale"],
        ["X-Cache-Control: no-cache"],
    ],
    ids=" / ".join,
)
def test_a_request_that_asks_for_nothing_special_is_answered_from_the_cache(lines: Sequence[str]) -> None:
    with site(FRESH) as found:
        found.get()
        assert found.get("/", *lines).is_hit


@pytest.mark.parametrize(
    "line",
    [
        "max-age=",
        "max-age=abc",
        "max-age=-1",
        "min-fresh=abc",
        "max-stale=abc",
        'max-age="',
        "=",
        "max-age=\xb2",
        "max-age=" + "9" * 5000,
    ],
)
def test_a_directive_that_cannot_be_read_breaks_nothing(line: str) -> None:
    with site(FRESH) as found:
        found.get()
        answer = found.get("/", f"Cache-Control: {line}")
        assert (answer.status, answer.body) in [(200, b"answer 1"), (200, b"answer 2")]
        assert found.middleware.get_stats()["http_stats"]["cache_errors"] == 0


@lets_time_pass
@pytest.mark.parametrize(
    "directive, passed, is_hit",
    [
        ("max-age=100", 99, True),
        ("max-age=100", 100, True),
        ("max-age=100", 101, False),
        ('max-age="100"', 101, False),
        ("Max-Age=100", 101, False),
        ("max-age=100000", 599, True),
        ("max-age=100000", 600, False),
        ("min-fresh=100", 499, True),
        ("min-fresh=100", 501, False),
        ("min-fresh=601", 0, False),
        ("min-fresh=99999999999999999999999", 0, False),
        ("max-age=300, min-fresh=500", 99, True),
        ("max-age=300, min-fresh=500", 101, False),
        ("max-stale=100", 699, True),
        ("max-stale=100", 701, False),
        ("max-stale", 100000, True),
        ("max-stale =100", 601, False),
        ("max-stale= 100", 601, False),
        ("max-age =100000", 0, False),
        ("max-stale=0", 599, True),
        ("max-stale=0", 601, False),
        ("max-age=100, max-stale=100", 50, True),
        ("max-age=100, max-stale=100", 701, False),
        ("max-stale=99999999999999999999999", 100000, True),
        ("max-stale=100, no-cache", 610, False),
    ],
)
def test_a_request_says_how_fresh_an_answer_has_to_be(directive: str, passed: int, is_hit: bool) -> None:
    with site(FRESH, keep_stale=200000) as found:
        found.get()
        found.pass_time(passed)
        answer = found.get("/", f"Cache-Control: {directive}")
        assert answer.body == (b"answer 1" if is_hit else b"answer 2")
        assert answer.is_hit is is_hit
        if is_hit:
            assert answer["age"] == str(passed)


@lets_time_pass
@pytest.mark.parametrize(
    "directives", ["max-age=600, must-revalidate", "max-age=600, proxy-revalidate", "s-maxage=600", "max-age=600, no-cache"]
)
def test_what_forbids_to_be_served_stale_is_not_whatever_the_request_takes(directives: str) -> None:
    with site(reply(f"Cache-Control: {directives}", 'ETag: "a"')) as found:
        found.get()
        found.pass_time(610)
        assert found.get("/", "Cache-Control: max-stale=1000").body == b"answer 2"


def test_a_request_that_takes_only_what_is_stored_never_reaches_the_application() -> None:
    with site(FRESH) as found:
        missing = found.get("/", "Cache-Control: only-if-cached")
        assert (missing.status, found.calls, missing.is_hit) == (504, 0, False)
        assert found.head("/", "Cache-Control: Only-If-Cached, max-stale").status == 504
        assert found.get("/").status == 200, "the 504 was not stored"
        stored = found.get("/", "Cache-Control: only-if-cached")
        assert (stored.status, stored.body, stored.is_hit, found.calls) == (200, b"answer 1", True, 1)
        assert found.get("/", "Cache-Control: only-if-cached", 'If-None-Match: "a"').status == 304
        for impossible in ("only-if-cached, no-cache", "only-if-cached, max-age=0", "only-if-cached, min-fresh=601"):
            status = found.get("/", f"Cache-Control: {impossible}").status
            assert status == 504 or (impossible.endswith("max-age=0") and status == 200), impossible
        assert found.calls == 1


@lets_time_pass
def test_a_request_that_takes_only_what_is_stored_takes_what_is_stale_only_if_it_says_so() -> None:
    with site(FRESH) as found:
        found.get()
        found.pass_time(610)
        assert found.get("/", "Cache-Control: only-if-cached").status == 504
        assert found.get("/", "Cache-Control: only-if-cached, max-stale=5").status == 504
        stale = found.get("/", "Cache-Control: only-if-cached, max-stale=100")
        assert (stale.status, stale.body, found.calls) == (200, b"answer 1", 1)


def test_what_varies_otherwise_is_not_stored_for_a_request_that_takes_only_that() -> None:
    with site(reply("Cache-Control: max-age=600", "Vary: X-A")) as found:
        found.get("/", "X-A: 1")
        assert found.get("/", "X-A: 2", "Cache-Control: only-if-cached").status == 504
        assert found.get("/", "X-A: 1", "Cache-Control: only-if-cached").status == 200


def test_directives_reach_the_application_as_they_came() -> None:
    with site(FRESH) as found:
        found.get("/", "Cache-Control: max-age=5, extension=1", "Pragma: x")
        assert (found.last["cache-control"], found.last["pragma"]) == ("max-age=5, extension=1", "x")
