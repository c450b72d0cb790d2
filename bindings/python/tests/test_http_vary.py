"""Which of several stored answers of one URL a request gets.

Shows RFC 9111 section 4.1 (Vary) and the field No-Vary-Search.
"""

from __future__ import annotations

import asyncio
import random
from typing import Callable, Dict, List, Sequence

import pytest

from http_application import FRESH, Asked, Reply, clock_of, held, lets_time_pass, reply, site, started, turns

__all__ = ["clock_of"]


def varying(*names: str) -> List[str]:
    return ["Cache-Control: max-age=600", *("Vary: " + name for name in names)]


def echo(*names: str) -> Callable[[Asked], Reply]:
    """An application whose answers are the values of these fields of the request, and say that they vary by them."""

    def answer(asked: Asked) -> Reply:
        said = "|".join(repr(asked.every(name)) for name in names)
        return reply("Cache-Control: max-age=600", "Vary: " + ", ".join(names), body=said.encode())

    return answer


@pytest.mark.parametrize(
    "name", ["X-Device", "Accept-Language", "Accept-Encoding", "Accept", "Cookie", "User-Agent", "Origin", "X-Forwarded-For"]
)
def test_each_value_of_a_field_that_an_answer_varies_by_has_its_own(name: str) -> None:
    with site(echo(name)) as found:
        values: Sequence[Sequence[str]] = [[f"{name}: one"], [f"{name}: two"], [], [f"{name}:"]]
        first = [found.get("/", *lines).body for lines in values]
        # To have none and to have an empty one need not be told apart; what is answered is.
        assert len(set(first)) == 4
        for _ in range(2):
            for lines, body in zip(values, first):
                answer = found.get("/", *lines)
                assert (answer.body, answer.is_hit) == (body, True)
        assert found.calls == 4


@pytest.mark.parametrize("lines", [["*"], ["X-A, *"], ["*, X-A"], ["X-A", "*"], [" * "], ["X-A,,*"]], ids=" / ".join)
def test_an_answer_that_varies_by_everything_is_never_stored(lines: List[str]) -> None:
    with site(reply(*varying(*lines))) as found:
        found.get("/", "X-A: 1")
        assert found.get("/", "X-A: 1").body == b"answer 2"


@pytest.mark.parametrize(
    "lines", [["X-A, X-B"], ["X-A", "X-B"], ["x-a,X-b"], [",X-A,,X-B,"], ["X-B, X-A, X-A"], ["X-A\t, X-B "]], ids=" / ".join
)
def test_an_answer_varies_by_all_fields_of_all_lines_in_any_case(lines: List[str]) -> None:
    with site(reply(*varying(*lines))) as found:
        asked = [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
        first = {pair: found.get("/", f"X-A: {pair[0]}", f"X-B: {pair[1]}").body for pair in asked}
        assert len(set(first.values())) == 4
        for pair in asked:
            answer = found.get("/", f"x-b: {pair[1]}", f"x-a: {pair[0]}")
            assert (answer.body, answer.is_hit) == (first[pair], True)


@pytest.mark.parametrize("lines", [[""], [","], ["X-Other"]], ids=" / ".join)
def test_an_answer_that_varies_by_nothing_the_request_has_is_one_for_all(lines: List[str]) -> None:
    with site(reply(*varying(*lines))) as found:
        found.get("/", "X-A: 1")
        assert found.get("/", "X-A: 2").body == b"answer 1"


@pytest.mark.parametrize(
    "one, other",
    [
        (["X-A: 1,2", "X-B:"], ["X-A: 1", "X-B: ,2"]),
        (["X-A: 1", "X-B: 2"], ["X-A: 2", "X-B: 1"]),
        (["X-A: 1\tX-B: 2"], ["X-A: 1", "X-B: 2"]),
        (["X-A: 1", "X-A: 2"], ["X-A: 2", "X-A: 1"]),
        (["X-A: 12", "X-B: 3"], ["X-A: 1", "X-B: 23"]),
        (["X-A: a"], ["X-A: A"]),
        (["X-A: \xe9"], ["X-A: \xc3\xa9"]),
        (["X-A: 1"], ["X-B: 1"]),
        (["X-A: x-b=1"], ["X-A: x-b", "X-B: 1"]),
        (["X-A: None"], []),
        (["X-A: " + "x" * 10000 + "1"], ["X-A: " + "x" * 10000 + "2"]),
        (["X-A: a  b"], ["X-A: a b"]),
        (['X-A: "a, b"'], ['X-A: "a,b"']),
    ],
)
def test_no_value_is_taken_for_another(one: List[str], other: List[str]) -> None:
    with site(echo("X-A", "X-B")) as found:
        first, second = found.get("/", *one).body, found.get("/", *other).body
        assert first != second
        assert (found.get("/", *one).body, found.get("/", *other).body) == (first, second)


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    with site(reply(*varying("X-A"))) as found:
        found.get("/", b"X-A: 1")
        assert found.get("/", b"X-A:   1  ").is_hit


def test_the_fields_that_always_select_need_no_vary() -> None:
    with site(FRESH) as found:
        for name in ("Accept", "Accept-Encoding", "Accept-Language"):
            assert not found.get("/" + name, name + ": a").is_hit
            assert not found.get("/" + name, name + ": b").is_hit
            assert found.get("/" + name, name + ": a").is_hit
        assert not found.get("/x", "X-A: a").is_hit
        assert found.get("/x", "X-A: b").is_hit
    with site(FRESH, cache_headers=(), cache_vary_headers={"X-A"}) as found:
        assert not found.get("/", "X-A: a", "Accept: a").is_hit
        assert found.get("/", "X-A: a", "Accept: b").is_hit
        assert not found.get("/", "X-A: b").is_hit


def test_a_rule_adds_fields_that_select() -> None:
    with site(FRESH, cache_rules={"/a": {"vary_headers": ["X-A"]}}) as found:
        for path, is_hit in {"/a": False, "/b": True}.items():
            found.get(path, "X-A: 1")
            assert found.get(path, "X-A: 2").is_hit is is_hit


@pytest.mark.parametrize("seed", range(5))
def test_whatever_answers_vary_by_nobody_gets_what_was_made_for_others(seed: int) -> None:
    """Answers that vary by this and that in turn: each says which values it was made for, and of which fields."""
    source = random.Random(seed)
    names = ["x-a", "x-b", "x-c", "accept"]

    def answer(asked: Asked) -> Reply:
        varies = sorted(source.sample(names, source.randint(0, 3)))
        said = ";".join(f"{name}={asked[name]}" for name in varies)
        return reply(*varying(*varies), body=said.encode())

    with site(answer) as found:
        hits = 0
        for _ in range(400):
            headers: Dict[str, str] = {name: source.choice("12") for name in names if source.random() < 0.7}
            got = found.get(source.choice(["/a", "/b"]), *(f"{name}: {value}" for name, value in headers.items()))
            hits += got.is_hit
            for said in filter(None, got.body.decode().split(";")):
                name, _, value = said.partition("=")
                assert value == str(headers.get(name)), f"made for {got.body!r}, given to {headers}"
        assert hits > 50


def test_an_answer_that_varies_by_other_fields_than_the_one_before_is_found_by_its_own() -> None:
    with site(reply(*varying("X-A")), reply(*varying("X-B")), FRESH) as found:
        assert found.get("/", "X-A: 1", "X-B: 1").body == b"answer 1"
        assert found.get("/", "X-A: 2", "X-B: 1").body == b"answer 2"
        # The second was made for whoever has this X-B; the first only for its X-A.
        assert found.get("/", "X-A: 2", "X-B: 1").body == b"answer 2"
        assert found.get("/", "X-A: 3", "X-B: 2").body == b"answer 3"


@pytest.mark.parametrize("limit", [1, 8])
def test_a_flood_of_variants_keeps_no_more_than_allowed_and_the_newest_of_them(limit: int) -> None:
    with site(reply(*varying("X-A")), FRESH, max_variants=limit) as found:
        found.application.at("/", reply(*varying("X-A")))
        found.get("/other")
        for number in range(300):
            found.get("/", f"X-A: {number}")
        held = found.middleware.get_stats()["cache_stats"]["size"]
        # A URL may need an entry beside its variants that says what they vary by.
        assert held <= limit + 3
        assert found.get("/", "X-A: 299").is_hit
        calls = found.calls
        for number in range(300 - limit):
            found.get("/", f"X-A: {number}")
        assert found.calls == calls + 300 - limit
        assert found.get("/other").is_hit, "other URLs have their own room"


def test_a_flood_of_values_of_the_fields_that_always_select_is_bounded_too() -> None:
    with site(FRESH, max_variants=8) as found:
        for number in range(300):
            found.get("/", f"Accept-Language: {number}")
        assert found.middleware.get_stats()["cache_stats"]["size"] <= 16


@lets_time_pass
def test_variants_age_each_for_itself() -> None:
    with site(reply(*varying("X-A"))) as found:
        found.get("/", "X-A: 1")
        found.pass_time(300)
        found.get("/", "X-A: 2")
        found.pass_time(300)
        assert found.get("/", "X-A: 2").body == b"answer 2"
        assert found.get("/", "X-A: 1").body == b"answer 3"
        assert found.get("/", "X-A: 1").body == b"answer 3"


@lets_time_pass
def test_an_answer_that_stops_varying_is_for_all_again() -> None:
    with site(reply(*varying("X-A")), reply(*varying("X-A")), FRESH) as found:
        found.get("/", "X-A: 1")
        found.get("/", "X-A: 2")
        found.pass_time(600)
        assert found.get("/", "X-A: 1").body == b"answer 3"
        assert found.get("/", "X-A: 1").is_hit
        assert found.get("/", "X-A: 3").is_hit


def test_head_and_ranges_and_conditions_are_answered_from_the_variant_of_the_request() -> None:
    with site(echo("X-A")) as found:
        whole = {value: found.get("/", f"X-A: {value}") for value in ("1", "22", "333")}
        for value, answer in whole.items():
            line = f"X-A: {value}"
            again = found.get("/", line)
            assert found.head("/", line)["content-length"] == str(len(answer.body))
            assert found.get("/", line, "Range: bytes=0-3").body == answer.body[:4]
            assert found.get("/", line, f"If-None-Match: {again['etag']}").status == 304
        assert found.calls == 3


@pytest.mark.parametrize("names, lines", [(["Range"], ["Range: bytes=0-1"]), (["If-None-Match"], ['If-None-Match: "x"'])])
def test_an_answer_that_varies_by_a_field_that_the_cache_takes_away_is_right_all_the_same(
    names: List[str], lines: List[str]
) -> None:
    with site(echo(*names)) as found:
        plain = found.get()
        found.get("/", *lines)
        assert found.get().body == plain.body


@pytest.mark.parametrize(
    "value, same, other",
    [
        ('params=("utm")', ["/?a=1&utm=2", "/?utm=3&a=1", "/?a=1"], ["/?a=2", "/?a=1&b=1", "/"]),
        ('params=("utm" "ref")', ["/?a=1&utm=2&ref=1", "/?a=1"], ["/?a=1&utm2=1"]),
        ("params", ["/", "/?b=2"], []),
        ('params, except=("a")', ["/?a=1&b=2", "/?c=1&a=1"], ["/?a=2", "/"]),
        ("key-order", ["/?a=1"], ["/?a=2"]),
        ('params=("utm"), key-order', ["/?utm=1&a=1"], ["/?a=2"]),
        # Not a dictionary with lists of strings: as if it were not there.
        ("params=(utm)", ["/?a=1"], ["/?a=1&utm=1"]),
        ('params="utm"', ["/?a=1"], ["/?a=1&utm=1"]),
        ('params=("utm"', ["/?a=1"], ["/?a=1&utm=1"]),
        ("params=?0", ["/?a=1"], ["/?a=1&utm=1"]),
        ('except=("a")', ["/?a=1"], ["/?a=1&utm=1"]),
    ],
)
def test_an_answer_may_say_which_parts_of_a_query_it_does_not_vary_by(value: str, same: List[str], other: List[str]) -> None:
    with site(reply("Cache-Control: max-age=600", f"No-Vary-Search: {value}"), no_vary_search=True) as found:
        assert found.get("/?a=1").body == b"answer 1"
        for url in same:
            assert found.get(url).body == b"answer 1", url
        for url in other:
            assert not found.get(url).is_hit, url


IGNORES = 'No-Vary-Search: params=("utm")'


def test_an_answer_that_says_nothing_of_the_query_ends_what_was_said() -> None:
    plain = reply("Cache-Control: max-age=600")
    with site(reply("Cache-Control: max-age=600", IGNORES), plain, no_vary_search=True) as found:
        found.get("/?utm=1")
        assert found.get("/?utm=2").is_hit
        assert found.get("/?utm=2", "Cache-Control: no-cache").body == b"answer 2"
        assert found.get("/?utm=2").body == b"answer 2"
        assert found.get("/?utm=3").body == b"answer 3"


@lets_time_pass
def test_a_later_answer_to_the_query_that_was_meant_is_not_served_for_others_unless_it_says_so() -> None:
    said = reply("Cache-Control: max-age=600", IGNORES)
    with site(said, reply("Cache-Control: max-age=6000"), said, no_vary_search=True) as found:
        found.get("/?utm=1")
        found.pass_time(700)
        # It is stored where the first one was; nothing says any more that this stands for the others, too.
        assert found.get("/").body == b"answer 2"
        assert found.get("/?utm=2").body == b"answer 3"
        assert found.get("/").body in (b"answer 2", b"answer 3")


@lets_time_pass
@pytest.mark.parametrize("says_so", [True, False])
def test_who_waits_for_an_answer_to_another_query_gets_it_only_if_that_says_so(says_so: bool) -> None:
    with site(reply("Cache-Control: max-age=600", IGNORES), no_vary_search=True) as found:
        found.get("/?utm=1")
        found.pass_time(700)

        async def both() -> List[bytes]:
            hold = asyncio.Event()
            found.application.at("/", held(hold, "Cache-Control: max-age=600", *([IGNORES] if says_so else [])))
            asking = [started(found, "GET", f"/?utm={number}") for number in (2, 3)]
            await turns()
            assert found.calls == 2
            hold.set()
            return [answer.body for answer in await asyncio.gather(*asking)]

        assert found.run(both()) == [b"answer 2", b"answer 2" if says_so else b"answer 3"]


@pytest.mark.parametrize("url", ["/a?utm=1", "/a?utm=2", "/a", "/a?b=1"])
def test_a_change_ends_what_an_answer_has_said_to_stand_for_the_url(url: str) -> None:
    with site(reply("Cache-Control: max-age=600", IGNORES), no_vary_search=True) as found:
        found.get("/a?utm=1")
        assert found.get("/a?utm=2").is_hit
        found.ask("POST", url)
        assert not found.get("/a?utm=2").is_hit


@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_of_a_url_ends_what_stands_for_it(soft: bool) -> None:
    with site(reply("Cache-Control: max-age=600", IGNORES), no_vary_search=True) as found:
        found.get("/a?utm=1")
        assert found.middleware.purge_url("http://example.com/a?utm=2", soft=soft) == 1
        assert not found.get("/a?utm=2").is_hit


def test_what_an_answer_says_of_the_query_counts_only_by_option() -> None:
    with site(reply("Cache-Control: max-age=600", 'No-Vary-Search: params=("utm")')) as found:
        found.get("/?a=1")
        answer = found.get("/?a=1&utm=1")
        assert (answer.body, answer["no-vary-search"]) == (b"answer 2", 'params=("utm")')
