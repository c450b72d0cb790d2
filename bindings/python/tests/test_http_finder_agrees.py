"""The shortest way answers nothing that the long one would not answer, and answers it as that would: the finders beside `exchange`."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Tuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catzilla_cache.http import stored
from catzilla_cache.http.asgi import request_of
from catzilla_cache.http.exchange import Exchanges, LookUp, Serve
from catzilla_cache.http.finder import REFUSED_FIELDS
from catzilla_cache.http.shelf import Shelf
from catzilla_cache.http.statistics import Counters
from catzilla_cache.smart_cache import SmartCache
from http_scopes import FIELDS, HOUR, KINDS, NAMES, POLICY, Scope, any_byte, make, requests, response_of, scope_from, store, texts

Said = Tuple[int, List[Tuple[bytes, bytes]], bytes]


def exchanged(cache: SmartCache, scope: Scope) -> Optional[Said]:
    """What the long way answers from memory, without asking anybody."""
    counters = Counters(POLICY.rule_names())
    exchange = Exchanges(POLICY, counters).begin(request_of(scope))
    if exchange is None:
        return None
    shelf = Shelf(cache, counters, 64)
    step: Any = exchange.start()
    while isinstance(step, LookUp):
        step = exchange.found(shelf.find_in_memory(step.key))
    return (step.status, step.fields, step.body) if isinstance(step, Serve) and not step.refresh else None


def found(finder: Any, scope: Scope) -> Optional[Said]:
    """What a finder answers."""
    messages = finder.find(scope)
    return None if messages is None else (messages[0]["status"], messages[0]["headers"], messages[1]["body"])


def check(cache: SmartCache, scope: Scope) -> bool:
    """That finders say nothing or what is said otherwise; whether they say something."""
    said = []
    for kind in KINDS:
        finder = make(kind, cache)
        while True:
            before = exchanged(cache, scope)
            answer = found(finder, scope)
            # Whole seconds may pass between the two.
            if before == exchanged(cache, scope):
                break
        assert answer is None or answer == before
        said.append(answer is not None)
    assert len(set(said)) == 1
    return said[0]


fields = st.lists(
    st.tuples(st.one_of(st.sampled_from([*sorted(REFUSED_FIELDS), *NAMES, b"host", b"content-length"])), texts(b"0 a=*", 5)),
    max_size=2,
)
responses = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from([200, 301, 404, 503]),
        "flags": st.one_of(st.sampled_from([1 << bit for bit in range(6)]), st.integers(0, 63)),
        "fresh_until": st.sampled_from([-HOUR, -0.1, 0.0, 30.5, HOUR]),
        "stored_at": st.sampled_from([-2 * HOUR, -0.5, 2.0, HOUR]),
        "born": st.sampled_from([-2 * HOUR, -0.5, 2.0, HOUR]),
        "fields": st.sampled_from([[], FIELDS, FIELDS * 3, [(b"content-length", b"6")]]),
        "body": st.one_of(st.just(b""), st.binary(max_size=20)),
        "vary": st.sampled_from([(), (b"accept",), (b"x-part", b"accept")]),
        "rule": st.integers(0, 2),
    },
)


@given(request=requests, more=fields, parts=responses, method=st.sampled_from(["GET", "GET", "HEAD", "POST"]), data=st.data())
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_found_is_what_would_be_served(
    request: Dict[str, Any], more: Any, parts: Dict[str, Any], method: str, data: Any
) -> None:
    now = time.time()
    times = {name: now + value for name, value in parts.items() if name in ("fresh_until", "stored_at", "born")}
    response = response_of(**{**parts, **times})
    scope = scope_from(request, method=method)
    with SmartCache() as cache:
        store(cache, scope_from(request), response)
        scope["headers"] = [*more, *scope["headers"]] if data.draw(st.booleans()) else scope["headers"]
        if data.draw(st.integers(0, 4)) == 0:
            scope["headers"].append((data.draw(texts(b"abcX-", 9, any_byte)), b"x"))
        check(cache, scope)


def test_ordinary_requests_are_found() -> None:
    """So that the test above is one of something."""
    with SmartCache() as cache:
        for rule, status in ((0, 200), (1, 301), (2, 404)):
            scope = scope_from(
                {
                    "host": b"example.org",
                    "scheme": "http",
                    "raw_path": b"/%d" % status,
                    "query": b"b=1&a=2",
                    "headers": [(b"accept", b"*/*")],
                    "place": 0,
                }
            )
            store(cache, scope, response_of(status=status, rule=rule, flags=stored.NEVER_STALE))
            assert check(cache, scope) and check(cache, {**scope, "method": "HEAD"})
