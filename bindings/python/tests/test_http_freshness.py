"""How long a response is fresh, and how old it is.

Shows RFC 9111 sections 4.2 (4.2.1 lifetimes, 4.2.2 where nothing is said, 4.2.3 age), 5.1 Age, 5.2 Cache-Control, 5.3 Expires, and RFC 9213.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

import pytest

from catzilla_cache import CacheValueError
from http_application import FRESH, Clock, http_date, reply, site

START = Clock()()


def dated(*lines: str) -> Sequence[str]:
    """The lines with dates in place of "@-100", which stands for a hundred seconds ago."""
    return [
        name + http_date(START + int(at)) if is_date else line for line in lines for name, is_date, at in [line.partition("@")]
    ]


def is_fresh_after(seconds: float, lines: Sequence[str], parameters: Dict[str, Any]) -> bool:
    """Whether a response with these fields is served without asking the application so long after it came."""
    with site(reply(*lines), **parameters) as found:
        assert found.get().body == b"answer 1"
        found.pass_time(seconds)
        return found.get().body == b"answer 1"


@pytest.mark.parametrize(
    "lines, seconds",
    [
        pytest.param(["Cache-Control: max-age=600"], 600, id="max-age"),
        pytest.param(["Cache-Control: s-maxage=600"], 600, id="s-maxage"),
        pytest.param(["Cache-Control: max-age=60, s-maxage=600"], 600, id="s-maxage is longer than max-age"),
        pytest.param(["Cache-Control: s-maxage=60, max-age=600"], 60, id="s-maxage is shorter than max-age"),
        pytest.param(["Cache-Control: s-maxage=0, max-age=600"], 0, id="s-maxage is nothing"),
        pytest.param(["Cache-Control: max-age=0"], 0, id="max-age is nothing"),
        pytest.param(["Date: @0", "Expires: @600"], 600, id="Expires"),
        pytest.param(["Expires: @600"], 600, id="Expires without Date counts from when it came"),
        pytest.param(["Date: @0", "Expires: @600", "Cache-Control: max-age=60"], 60, id="max-age is shorter than Expires"),
        pytest.param(["Date: @0", "Expires: @60", "Cache-Control: max-age=600"], 600, id="max-age is longer than Expires"),
        pytest.param(["Date: @0", "Expires: @-60", "Cache-Control: max-age=600"], 600, id="max-age though Expires is past"),
        pytest.param(["Date: @0", "Expires: @600", "Cache-Control: max-age=0"], 0, id="no max-age though Expires is to come"),
        pytest.param(["Date: @0", "Expires: @60", "Cache-Control: s-maxage=600"], 600, id="s-maxage over Expires"),
        pytest.param(["Date: @0", "Expires: @600", "Cache-Control: public"], 600, id="Expires beside other directives"),
        pytest.param(["Date: @0", "Expires: @0"], 0, id="Expires is the Date"),
        pytest.param(["Date: @0", "Expires: @-1"], 0, id="Expires is past"),
        pytest.param(["Expires: Friday, 15-Jan-27 08:10:00 GMT", "Date: @0"], 600, id="Expires by RFC 850"),
        pytest.param(["Expires: Fri Jan 15 08:10:00 2027", "Date: @0"], 600, id="Expires by asctime"),
        pytest.param(["Expires: Sunday, 06-Nov-94 08:49:37 GMT", "Date: @0"], 0, id="Expires of the last century by RFC 850"),
        pytest.param(["Cache-Control: public", "Cache-Control: max-age=600"], 600, id="two lines of Cache-Control"),
        pytest.param(["Cache-Control: ,, public,,max-age=600 ,"], 600, id="a list with empty members"),
        pytest.param(["Cache-Control: public\t,\tmax-age=600"], 600, id="tabs around the comma"),
        pytest.param(["Cache-Control: MaX-aGe=600"], 600, id="names in any case"),
        pytest.param(['Cache-Control: max-age="600"'], 600, id="a quoted number"),
        pytest.param(["Cache-Control: max-age=0000600"], 600, id="zeros before the number"),
        pytest.param(['Cache-Control: extension="max-age=60", max-age=600'], 600, id="a directive quoted in another"),
        pytest.param(['Cache-Control: extension="a, max-age=60, b", max-age=600'], 600, id="a list quoted in a directive"),
        pytest.param(['Cache-Control: extension="a\\", max-age=60", max-age=600'], 600, id="an escaped quote in a directive"),
        pytest.param(["Cache-Control: x-max-age=60, max-age=600"], 600, id="a name that only ends like one"),
        pytest.param(["Cache-Control: max-age=600, x=y=z, 1234, extension"], 600, id="unknown directives"),
    ],
)
def test_a_response_is_fresh_for_as_long_as_it_says(lines: Sequence[str], seconds: int) -> None:
    lines = dated(*lines)
    if seconds:
        assert is_fresh_after(seconds - 1, lines, {})
    assert not is_fresh_after(seconds, lines, {})


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Cache-Control: max-age" + value
            for value in ("", "=", "=abc", "=-1", "=+600", "=1.5", "=6_00", "=0x258", "='600'", "=600s", " =600", "= 600", ' = "600"')
        ),
        *("Cache-Control: max-age=" + value for value in ('"600', '"-1"', '"6 00"', "6 00", '""', "\xb2\xb2\xb2", "600;a")),
        "Cache-Control: s-maxage=abc",
        *("Expires: " + value for value in ("0", "-1", "", "never", "600", "Fri, 15 Jan 2027", "Fri, 35 Jan 2027 08:10:00 GMT")),
        *(
            "Expires: Fri, 15 Jan " + value
            for value in ("2027 25:10:00 GMT", "99999999 08:10:00 GMT", "2027 08:10:00 PST", "\xb2\xb2\xb2\xb2 08:10:00 GMT")
        ),
    ],
)
def test_a_lifetime_that_cannot_be_read_has_ended(line: str) -> None:
    # 4.2.1: caches are encouraged to consider responses with invalid freshness information to be stale.
    with site(reply(line, 'ETag: "a"')) as found:
        assert found.get().body == b"answer 1"
        assert found.get().body == b"answer 2"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["Cache-Control: max-age=60, max-age=600"], id="max-age twice in a line"),
        pytest.param(["Cache-Control: max-age=60", "Cache-Control: max-age=600"], id="max-age in two lines"),
        pytest.param(["Cache-Control: s-maxage=60, s-maxage=600"], id="s-maxage twice"),
        pytest.param(["Date: @0", "Expires: @60", "Expires: @600"], id="Expires twice"),
    ],
)
def test_of_two_lifetimes_the_first_counts_or_none(lines: Sequence[str]) -> None:
    assert not is_fresh_after(60, dated(*lines), {})


@pytest.mark.parametrize("value", ["2147483647", "2147483648", "4294967296", "9223372036854775808", "9" * 30, "9" * 5000])
@pytest.mark.parametrize("directive", ["max-age", "s-maxage"])
def test_a_lifetime_beyond_what_can_be_counted_is_a_very_long_one(directive: str, value: str) -> None:
    # 1.2.2: the value is taken as 2^31 or the greatest that can be represented.
    assert is_fresh_after(2**31 - 2, [f"Cache-Control: {directive}={value}"], {})


@pytest.mark.parametrize(
    "lines, seconds",
    [
        pytest.param(["Age: 100"], 500, id="an Age"),
        pytest.param(["Age: 0"], 600, id="an Age of nothing"),
        pytest.param(["Age: 600"], 0, id="an Age that is the lifetime"),
        pytest.param(["Age: 9999999999999999999999"], 0, id="an Age beyond what can be counted"),
        pytest.param(["Age: 100, 599"], 500, id="a list of ages: the first"),
        pytest.param(["Age: 100", "Age: 599"], 500, id="two ages: the first"),
        pytest.param(["Age: abc"], 600, id="an Age that is none"),
        pytest.param(["Age: -100"], 600, id="an Age below nothing"),
        pytest.param(["Age: 1_0"], 600, id="an Age with a sign in it"),
        pytest.param(["Age: \xb2\xb2"], 600, id="an Age of digits that are none"),
        pytest.param(["Age: 10.5"], 600, id="an Age with a fraction"),
        pytest.param(["Date: @-100"], 500, id="a Date that is past"),
        pytest.param(["Date: @-100", "Age: 50"], 500, id="a Date older than the Age"),
        pytest.param(["Date: @-50", "Age: 100"], 500, id="an Age older than the Date"),
        pytest.param(["Date: @100"], 600, id="a Date to come: the clocks differ"),
        pytest.param(["Date: @100", "Age: 100"], 500, id="a Date to come beside an Age"),
        pytest.param(["Date: yesterday"], 600, id="a Date that is none"),
    ],
)
def test_a_response_is_as_old_as_its_age_and_its_date_say(lines: Sequence[str], seconds: int) -> None:
    lines = ["Cache-Control: max-age=600", *dated(*lines)]
    if seconds:
        assert is_fresh_after(seconds - 1, lines, {})
    assert not is_fresh_after(seconds, lines, {})


def test_expires_counts_from_the_date_and_the_time_since_then_is_its_age() -> None:
    lines = dated("Date: @-100", "Expires: @500")
    assert is_fresh_after(499, lines, {})
    assert not is_fresh_after(500, lines, {})


def test_the_clock_of_an_application_that_is_ahead_does_not_lengthen_a_lifetime() -> None:
    lines = dated("Date: @1000", "Expires: @1600")
    assert is_fresh_after(599, lines, {})
    assert not is_fresh_after(600, lines, {})


@pytest.mark.parametrize("age", [None, 50])
def test_the_time_that_an_answer_took_counts_as_its_age(age: Optional[int]) -> None:
    with site() as found:
        lines = ["Cache-Control: max-age=600"] + ([f"Age: {age}"] if age else [])
        found.application.at("/", reply(*lines, before=[lambda: found.pass_time(100)]))
        assert found.get().body == b"answer 1"
        found.pass_time(499 - (age or 0))
        hit = found.get()
        assert (hit.body, hit["age"]) == (b"answer 1", "599")
        found.pass_time(1)
        assert found.get().body == b"answer 2"


@pytest.mark.parametrize(
    "lines, first", [([], 0), (["Age: 100"], 100), (["Date: @-30"], 30), (["Age: 7, 9"], 7), (["Age: x"], 0)]
)
def test_a_hit_says_how_old_it_is(lines: Sequence[str], first: int) -> None:
    with site(reply("Cache-Control: max-age=600", *dated(*lines))) as found:
        found.get()
        for seconds in (0, 1, 250):
            found.pass_time(seconds)
            first += seconds
            # One value, whatever came from the application.
            assert found.get()["age"] == str(first)


def test_a_clock_that_goes_back_makes_no_age_below_nothing() -> None:
    with site(reply("Cache-Control: max-age=600")) as found:
        found.get()
        found.pass_time(-5000)
        hit = found.get()
        assert (hit.body, hit["age"], hit["x-cache-time"]) == (b"answer 1", "0", "0")


def test_dates_are_not_changed_by_being_stored() -> None:
    with site(reply(*dated("Date: @-10", "Expires: @600", "Last-Modified: @-5000"))) as found:
        first = found.get()
        found.pass_time(100)
        second = found.get()
        for name in ("date", "expires", "last-modified"):
            assert second.every(name) == first.every(name) and len(first.every(name)) == 1


@pytest.mark.parametrize(
    "lines", [[], ["Cache-Control: public"], ["Last-Modified: @-1000000"], ["Cache-Control: must-revalidate"]]
)
def test_a_response_that_says_nothing_is_fresh_for_the_default(lines: Sequence[str]) -> None:
    lines = dated(*lines)
    assert is_fresh_after(299, lines, {"default_ttl": 300})
    assert not is_fresh_after(300, lines, {"default_ttl": 300})
    # As documented.
    assert is_fresh_after(3599, lines, {})
    assert not is_fresh_after(3600, lines, {})


def test_a_default_of_nothing_stores_only_what_says_how_long() -> None:
    assert not is_fresh_after(0, [], {"default_ttl": 0})
    assert is_fresh_after(599, ["Cache-Control: max-age=600"], {"default_ttl": 0})


@pytest.mark.parametrize(
    "lines",
    [["Cache-Control: max-age=60"], ["Cache-Control: s-maxage=6000"], ["Expires: @-10"], ["Cache-Control: max-age=x"], []],
)
def test_the_lifetime_of_a_rule_replaces_what_the_response_says(lines: Sequence[str]) -> None:
    rules = {"cache_rules": {"/*": {"ttl": 300}}}
    assert is_fresh_after(299, dated(*lines), rules)
    assert not is_fresh_after(300, dated(*lines), rules)


def test_the_lifetime_of_a_rule_is_what_is_told() -> None:
    with site(reply("Cache-Control: max-age=60"), cache_rules={"/*": {"ttl": 300}}) as found:
        assert found.get()["x-cache-ttl"] == "300"


@pytest.mark.parametrize(
    "lines, seconds",
    [
        pytest.param(["CDN-Cache-Control: max-age=600", "Cache-Control: max-age=60"], 600, id="longer than Cache-Control"),
        pytest.param(["CDN-Cache-Control: max-age=60", "Cache-Control: max-age=600"], 60, id="shorter than Cache-Control"),
        pytest.param(["CDN-Cache-Control: max-age=60", "Cache-Control: s-maxage=600"], 60, id="over s-maxage"),
        pytest.param(
            ["CDN-Cache-Control: max-age=600", "Cache-Control: no-store"], 600, id="no-store of Cache-Control does not count"
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=600", "Cache-Control: private"], 600, id="private of Cache-Control does not count"
        ),
        pytest.param(["CDN-Cache-Control: max-age=600", "Expires: @60"], 600, id="Expires does not count"),
        pytest.param(
            ["CDN-Cache-Control: public", "Expires: @60"], 3600, id="Expires does not count where no lifetime is told either"
        ),
        pytest.param(["CDN-Cache-Control: no-store", "Cache-Control: max-age=600"], 0, id="no-store"),
        pytest.param(["CDN-Cache-Control: private", "Cache-Control: max-age=600"], 0, id="private"),
        pytest.param(["CDN-Cache-Control: no-cache", "Cache-Control: max-age=600"], 0, id="no-cache"),
        pytest.param(["CDN-Cache-Control: max-age=600;a=1", "Cache-Control: max-age=60"], 600, id="parameters are ignored"),
        pytest.param(["CDN-Cache-Control: public", "CDN-Cache-Control: max-age=600"], 600, id="two lines"),
        pytest.param(["CDN-Cache-Control: ", "Cache-Control: max-age=60"], 60, id="an empty one is not there"),
        pytest.param(
            ["CDN-Cache-Control: max-age=600, =", "Cache-Control: max-age=60"], 60, id="one that is no dictionary is not there"
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=600 public", "Cache-Control: max-age=60"], 60, id="one without commas is not there"
        ),
        pytest.param(
            ["CDN-Cache-Control: Max-Age=600", "Cache-Control: max-age=60"], 60, id="names of dictionaries are lower-case"
        ),
        pytest.param(["Other-Cache-Control: max-age=600", "Cache-Control: max-age=60"], 60, id="one for somebody else"),
        pytest.param(
            ["Second-Cache-Control: max-age=600", "Cache-Control: max-age=60"], 600, id="the second that is listened to"
        ),
        pytest.param(
            ["Second-Cache-Control: max-age=600", "CDN-Cache-Control: max-age=300", "Cache-Control: max-age=60"],
            300,
            id="the first of two",
        ),
    ],
)
def test_a_field_for_this_cache_replaces_cache_control(lines: Sequence[str], seconds: int) -> None:
    targeted = {"targeted_cache_control": ("CDN-Cache-Control", "Second-Cache-Control")}
    lines = dated(*lines)
    if seconds:
        assert is_fresh_after(seconds - 1, lines, targeted)
    assert not is_fresh_after(seconds, lines, targeted)


def test_a_field_for_other_caches_is_passed_on_and_has_no_effect() -> None:
    with site(reply("CDN-Cache-Control: max-age=6000", "Cache-Control: max-age=60")) as found:
        assert found.get()["cdn-cache-control"] == "max-age=6000"
        found.pass_time(60)
        assert found.get().body == b"answer 2"


@pytest.mark.parametrize(
    "parameters", [{"default_ttl": -1}, {"default_ttl": "soon"}, {"stale_if_error": -1}, {"wait_timeout": -1}]
)
def test_a_lifetime_that_is_none_is_refused_where_it_is_given(parameters: Dict[str, Any]) -> None:
    with pytest.raises((CacheValueError, TypeError), match=next(iter(parameters))):
        with site(FRESH, **parameters):
            pass
