"""Messages that are given once more: whoever gets one cannot tell it from a new one, whatever others have done to it or do with it still."""

from __future__ import annotations

import gc
import sys
import sysconfig
import time
import weakref
from typing import AbstractSet, Any, Callable, Dict, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catzilla_cache.smart_cache import SmartCache
from http_scopes import (
    CHOICES,
    FIELDS,
    KINDS,
    answers,
    check_answer,
    each_finder,
    fields_of,
    make,
    own_names,
    response_of,
    scope_of,
    store,
)
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory", "each_finder"]

#: Those who have the interpreter to themselves give messages once more; the others always make new ones.
lends = len(KINDS) > 1 and not sysconfig.get_config_var("Py_GIL_DISABLED")
only_where_lent = pytest.mark.skipif(not lends, reason="nothing is lent here")


def warm(finder: Any, scope: Any) -> None:
    """Until its messages are lent: what is seen twice is kept."""
    for _ in range(3):
        finder.find(scope)


def places(answer: Any) -> Tuple[int, int, int]:
    """Where the parts of an answer are that can be changed."""
    start, body = answer
    return id(start), id(start["headers"]), id(body)


def same_places(finder: Any, scope: Any) -> bool:
    """Whether an answer is the one before, with the memory of that taken by others if it was let go of."""
    for _ in range(100):
        before = places(finder.find(scope))
        others: List[Any] = [({"a": 1}, [1] * len(finder.find(scope)[0]["headers"])) for _ in range(200)]
        after = places(finder.find(scope))
        del others
        if before == after:
            return True
        # A second may have passed.
    return False


@only_where_lent
@pytest.mark.parametrize("parts", [{}, {"status": 404}, {"status": 301, "body": b""}, {"body": b"x" * 16384}, {"fields": []}])
@pytest.mark.parametrize("more", [{}, {"method": "HEAD"}, {"headers": [(b"host", b"example.org"), (b"if-none-match", b'"a-tag"')]}])
@pytest.mark.parametrize("state_fields", CHOICES)
def test_messages_that_nobody_has_any_more_are_given_again(
    cache: SmartCache, parts: Dict[str, Any], more: Dict[str, Any], state_fields: AbstractSet[str]
) -> None:
    scope = scope_of()
    store(cache, scope, **parts)
    finder = make(KINDS[1], cache, state_fields)
    warm(finder, {**scope, **more})
    assert same_places(finder, {**scope, **more})


@pytest.mark.parametrize("held", [lambda start, body: start, lambda start, body: start["headers"], lambda start, body: body])
def test_what_somebody_still_has_is_nobody_elses(cache: SmartCache, finder: Any, held: Callable[[Any, Any], Any]) -> None:
    scope = scope_of()
    store(cache, scope)
    warm(finder, scope)
    kept = [held(*finder.find(scope)) for _ in range(20)]
    assert len({id(each) for each in kept}) == len(kept)
    for each in kept:
        each.clear()
    start, body = finder.find(scope)
    check_answer((start, body))
    assert start["headers"][:-4] == FIELDS and body["body"] == b"a body"


class Bytes(bytes):
    """Equal to others, and to nobody the same."""


def reordered(message: Dict[str, Any]) -> None:
    message["type"] = message.pop("type")


CHANGES: Dict[str, Callable[[Dict[str, Any], Dict[str, Any]], object]] = {
    "a field more": lambda start, body: start["headers"].append((b"x-more", b"of a middleware")),
    "a field less": lambda start, body: start["headers"].pop(0),
    "another value": lambda start, body: start["headers"].__setitem__(0, (b"content-type", b"text/html")),
    "a value that can be changed": lambda start, body: start["headers"].__setitem__(0, (FIELDS[0][0], bytearray(FIELDS[0][1]))),
    "an equal value of another type": lambda start, body: start["headers"].__setitem__(0, (FIELDS[0][0], Bytes(FIELDS[0][1]))),
    "a field that is a list": lambda start, body: start["headers"].__setitem__(0, [*FIELDS[0]]),
    "another order": lambda start, body: start["headers"].reverse(),
    "no fields": lambda start, body: start["headers"].clear(),
    "other fields": lambda start, body: start.update(headers=[(b"a", b"b")]),
    "fields that are no list": lambda start, body: start.update(headers=tuple(start["headers"])),
    "fields that are nothing": lambda start, body: start.update(headers=None),
    "another status": lambda start, body: start.update(status=500),
    "an equal status": lambda start, body: start.update(status=200.0),
    "another type": lambda start, body: start.update(type="http.response.debug"),
    "more in the start": lambda start, body: start.update(trailers=True),
    "less in the start": lambda start, body: start.pop("status"),
    "the start in another order": lambda start, body: reordered(start),
    "nothing in the start": lambda start, body: start.clear(),
    "another body": lambda start, body: body.update(body=b"compressed"),
    "a body that can be changed": lambda start, body: body.update(body=bytearray(body["body"])),
    "more in the body": lambda start, body: body.update(more_body=True),
    "less in the body": lambda start, body: body.pop("body"),
    "the body in another order": lambda start, body: reordered(body),
    "nothing in the body": lambda start, body: body.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_done_to_a_message_is_not_seen_in_the_next(cache: SmartCache, finder: Any, change: Callable[[Any, Any], object]) -> None:
    scope = scope_of()
    store(cache, scope)
    warm(finder, scope)
    for _ in range(5):
        # Nobody has it any more then.
        change(*finder.find(scope))
        start, body = finder.find(scope)
        check_answer((start, body))
        assert start["status"] == 200 and start["headers"][:-4] == FIELDS and body["body"] == b"a body"
        assert all(type(value) is bytes for _, value in start["headers"])


@only_where_lent
def test_fields_that_were_put_in_the_place_of_others_are_not_kept_alive(cache: SmartCache) -> None:
    finder, scope = make(KINDS[1], cache), scope_of()
    store(cache, scope)
    warm(finder, scope)

    class Text(str):
        """Can be referred to weakly."""

    for _ in range(5):
        start, body = finder.find(scope)
        said = Text("of a middleware")
        start["more"] = body["more"] = said
        gone = weakref.ref(said)
        del start, body, said
        finder.find(scope)
        assert gone() is None


@only_where_lent
def test_a_long_body_is_not_kept_alive(cache: SmartCache) -> None:
    finder, scope = make(KINDS[1], cache), scope_of()
    store(cache, scope, body=b"x" * 16385)
    for _ in range(5):
        body = finder.find(scope)[1]["body"]
        # This name, and the argument.
        assert sys.getrefcount(body) <= 2


def test_a_program_that_a_message_refers_to_goes_when_nobody_else_does(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    warm(finder, scope)

    class Program:
        """Has the finder, in whose messages it is."""

    program: Any = Program()
    program.finder = finder
    start, body = finder.find(scope)
    start["program"] = body["program"] = program
    start["headers"].append(program)
    gone = weakref.ref(program)
    del start, body, program
    # The fixture's reference is not ours to drop: another finder is in the cycle.
    other: Any = make(type(finder), cache)
    warm(other, scope)
    second: Any = Program()
    second.finder = other
    start, body = other.find(scope)
    start["program"] = body["program"] = second
    gone_with_finder = weakref.ref(second)
    del start, body, second, other
    gc.collect()
    assert gone_with_finder() is None
    for _ in range(2):
        finder.find(scope)
    assert gone() is None


class Held:
    """An answer that somebody has, as it was when he got it."""

    def __init__(self, answer: Any) -> None:
        self.parts = list(answer)
        self.said = self.now()

    def now(self) -> Any:
        return [{**part, **({"headers": list(part["headers"])} if "headers" in part else {})} for part in self.parts]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("find"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["drop", "drop start", "drop body"]), st.integers(0, 3)),
        st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 3)),
        st.tuples(st.just("store"), st.integers(0, 5)),
    ),
    max_size=40,
)


@given(plan=steps, state_fields=st.sampled_from(CHOICES))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_has_which_messages_all_answers_are_right(
    cache: SmartCache, plan: List[Tuple[str, int]], state_fields: AbstractSet[str]
) -> None:
    own = len(own_names(state_fields))
    scopes = [{**scope_of(path), "method": method} for path in ("/a", "/b", "/c") for method in ("GET", "HEAD")]
    # All of them lead to one slot, since they were stored at the same time.
    usual = response_of()
    said = {place: usual._replace(body=b"body %d" % place) for place in range(3)}
    for place, response in said.items():
        store(cache, scopes[2 * place], response)
    finders = [make(kind, cache, state_fields) for kind in KINDS]
    for scope in scopes:
        for finder in finders:
            warm(finder, scope)
    held: List[Held] = []
    for what, number in plan:
        if what == "find":
            answer = answers(cache, scopes[number], finders)
            check_answer(answer, state_fields)
            expected = said[number // 2]
            assert answer[0]["status"] == expected.status and answer[0]["headers"][:-own] == expected.fields
            assert answer[1]["body"] == (b"" if number % 2 else expected.body)
            for finder in finders:
                held.append(Held(finder.find(scopes[number])))
        elif what == "store":
            said[number // 2] = said[number // 2]._replace(status=(200, 404)[number % 2])
            store(cache, scopes[number // 2 * 2], said[number // 2])
        elif held and what.startswith("drop"):
            one = held[number % len(held)]
            assert one.now() == one.said
            if what == "drop":
                held.remove(one)
            elif len(one.parts) == 2:
                one.parts.pop(what == "drop body")
                one.said = one.now()
        elif held:
            one = held.pop(number % len(held))
            assert one.now() == one.said
            if len(one.parts) == 2:
                CHANGES[what](*one.parts)
    for one in held:
        assert one.now() == one.said


def times(answer: Any) -> Tuple[int, int]:
    """Age and time since it was stored, in whole seconds; the answer is let go of."""
    fields = fields_of(answer)
    return int(fields[b"age"]), int(fields[b"x-cache-time"])


def test_messages_say_another_age_when_a_second_is_over(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    warm(finder, scope)
    ages, stored = ({number} for number in times(finder.find(scope)))
    deadline = time.monotonic() + 60
    while min(len(ages), len(stored)) < 3 and time.monotonic() < deadline:
        age, since = times(finder.find(scope))
        ages.add(age)
        stored.add(since)
    for seen in (ages, stored):
        assert len(seen) >= 3 and sorted(seen) == list(range(min(seen), max(seen) + 1))


@only_where_lent
def test_those_who_want_the_head_alone_do_not_end_the_lending(cache: SmartCache) -> None:
    finder, scope = make(KINDS[1], cache), scope_of()
    store(cache, scope)
    for _ in range(5):
        assert finder.find(scope)[1]["body"] == b"a body" and finder.find({**scope, "method": "HEAD"})[1]["body"] == b""
    warm(finder, scope)
    assert same_places(finder, scope)


@only_where_lent
def test_whoever_changes_messages_has_new_ones_from_then_on(cache: SmartCache) -> None:
    finder, scope = make(KINDS[1], cache), scope_of()
    store(cache, scope)
    warm(finder, scope)
    assert same_places(finder, scope)
    finder.find(scope)[0]["headers"].append((b"x-more", b"of a middleware"))
    warm(finder, scope)
    assert not same_places(finder, scope)
    # Another response is another matter.
    store(cache, scope, body=b"another")
    warm(finder, scope)
    assert same_places(finder, scope)
