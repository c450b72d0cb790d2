"""The shortest way answers nothing that the long one would not answer, and answers it as that would: the finders beside `exchange`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import AbstractSet, Any, Callable, Dict, List, Optional, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catzilla_cache.http import stored, validation, wsgi_messages
from catzilla_cache.http.asgi import request_of
from catzilla_cache.http.admission import Exchanges
from catzilla_cache.http.decisions import LookUp, Serve
from catzilla_cache.http.keys import KeyMaker
from catzilla_cache.http.message import Request
from catzilla_cache.http.ordinary import REFUSED_FIELDS
from catzilla_cache.http.shelf import Shelf
from catzilla_cache.http.statistics import Counters
from catzilla_cache.http.wsgi_messages import lines_of, status_line
from catzilla_cache.smart_cache import SmartCache
from http_scopes import (
    CHOICES,
    DATES,
    FIELDS,
    HOUR,
    KINDS,
    NAMES,
    POLICY,
    Scope,
    any_byte,
    environ_of,
    make,
    put_at,
    requests,
    response_of,
    scope_from,
    scope_of,
    store,
    tag_lines,
    texts,
)

Said = Tuple[int, List[Tuple[bytes, bytes]], bytes]


def exchanged(cache: SmartCache, request: Request, state_fields: AbstractSet[str]) -> Optional[Said]:
    """What the long way answers from memory, without asking anybody."""
    counters = Counters(POLICY.rule_names())
    exchange = Exchanges(replace(POLICY, state_fields=frozenset(state_fields)), counters).begin(request)
    if exchange is None:
        return None
    shelf = Shelf(cache, counters, 64)
    step: Any = exchange.start()
    while isinstance(step, LookUp):
        step = exchange.found(shelf.find_in_memory(step.key))
    assert counters.further()["not_modified"] == (isinstance(step, Serve) and step.status == 304)
    return (step.status, step.fields, step.body) if isinstance(step, Serve) and not step.refresh else None


def in_wsgi(said: Optional[Said]) -> Any:
    """The same as WSGI has it."""
    return None if said is None else (status_line(said[0]), lines_of(said[1]), said[2])


def found(finder: Any, scope: Scope) -> Optional[Said]:
    """What a finder answers."""
    messages = finder.find(scope)
    return None if messages is None else (messages[0]["status"], messages[0]["headers"], messages[1]["body"])


def compared(
    said_otherwise: Callable[[], Any], find: Callable[[Any], Any], cache: SmartCache, state_fields: AbstractSet[str]
) -> bool:
    """That finders say nothing or what is said otherwise; whether they say something."""
    said = []
    for kind in KINDS:
        finder = make(kind, cache, state_fields)
        while True:
            before = said_otherwise()
            finder.forget()
            answer = find(finder)
            # Whole seconds may pass between the two.
            if before == said_otherwise():
                break
        assert answer is None or answer == before
        assert sum(finder.counts()) == (answer is not None)
        assert finder.not_modified() == (answer is not None and answer[0] in (304, "304 Not Modified"))
        said.append(answer is not None)
    assert len(set(said)) == 1
    return said[0]


def check(cache: SmartCache, scope: Scope, state_fields: AbstractSet[str]) -> bool:
    """The same of an ASGI scope."""
    return compared(
        lambda: exchanged(cache, request_of(scope), state_fields), lambda finder: found(finder, scope), cache, state_fields
    )


def check_environ(cache: SmartCache, environ: Dict[str, Any], state_fields: AbstractSet[str]) -> bool:
    """The same of a WSGI environment."""
    return compared(
        lambda: in_wsgi(exchanged(cache, wsgi_messages.request_of(environ), state_fields)),
        lambda finder: finder.find_environ(environ),
        cache,
        state_fields,
    )


choices = st.sampled_from(CHOICES)
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
        check(cache, scope, data.draw(choices))


# ---- Conditions ----

conditions = st.lists(
    st.one_of(
        st.tuples(st.just(b"if-none-match"), tag_lines),
        st.tuples(st.just(b"if-none-match"), tag_lines),
        st.tuples(st.just(b"if-modified-since"), st.sampled_from(DATES)),
        st.tuples(st.just(b"if-modified-since"), st.just(DATES[0])),
    ),
    max_size=3,
)
of_the_body = [(name, b"x") for name in sorted(validation._OF_THE_BODY)]
modified = st.lists(st.tuples(st.just(b"last-modified"), st.sampled_from([DATES[0], DATES[0], *DATES])), max_size=2)


@given(
    lines=conditions,
    dates=modified,
    tag=st.sampled_from([b'"a-tag"', b'W/"a-tag"', b"", b"W/", b"a-tag", b'"a\xfftag"', b'"' + b"t" * 300 + b'"']),
    status=st.sampled_from([200, 200, 200, 204, 299, 301, 404]),
    method=st.sampled_from(["GET", "GET", "HEAD"]),
    state_fields=choices,
)
@settings(max_examples=600, deadline=None)
def test_conditions_are_answered_as_they_would_be(
    lines: Any, dates: Any, tag: bytes, status: int, method: str, state_fields: AbstractSet[str]
) -> None:
    with SmartCache() as cache:
        store(cache, scope_of(), fields=[*of_the_body, *dates, *FIELDS], entity_tag=tag, status=status)
        scope = scope_of(headers=[(b"host", b"example.org"), *lines], method=method)
        check(cache, scope, state_fields)
        check_environ(cache, environ_of(scope), state_fields)


# ---- Environments ----

odd_names = st.one_of(
    st.sampled_from(["HTTP_", "HTTP_X-PART", "HTTP_x_part", "HTTP_X_PART", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "CONTENT_TYPE", "HTTP_COO\u212aIE", "HTTP_X_\xe9", "http_range", "HTTP", "x.y"]),
    st.sampled_from([*sorted(REFUSED_FIELDS), *NAMES]).map(lambda name: "HTTP_" + name.decode().upper().replace("-", "_")),
)  # fmt: skip
odd_values = st.one_of(st.sampled_from(["", "0", "a", "\xe9", "\u20ac", " 0"]), st.text(alphabet="a0 ,\xff", max_size=5))
odd_paths = st.one_of(
    st.text(alphabet="/ab.%2e ?#;\xe9\u20ac", max_size=9), st.sampled_from(["", "/", "*", "http://example.org/items", "http://example.org", "/items?a#b"])
)  # fmt: skip


@given(
    request=requests,
    tells=st.sampled_from(["", "REQUEST_URI", "RAW_URI"]),
    root=st.sampled_from(["", "", "/app", "/\xfc"]),
    more=st.dictionaries(odd_names, odd_values, max_size=2),
    paths=st.dictionaries(st.sampled_from(["PATH_INFO", "SCRIPT_NAME", "REQUEST_URI", "RAW_URI", "QUERY_STRING"]), odd_paths, max_size=1),
    without=st.sampled_from(["", "", "wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "CONTENT_LENGTH"]),
    method=st.sampled_from(["GET", "GET", "HEAD", "POST", "get"]),
    is_odd=st.integers(0, 2),
    state_fields=choices,
)
@settings(max_examples=800, deadline=None)
def test_environments_are_answered_as_they_would_be(
    request: Dict[str, Any], tells: str, root: str, more: Any, paths: Any, without: str, method: str, is_odd: int, state_fields: AbstractSet[str]
) -> None:
    environ = environ_of(scope_from(request, method=method), tells, root)
    if is_odd:
        environ.update(more)
        environ.update(paths)
        environ.pop(without, None)
    of_get = wsgi_messages.request_of({**environ, "REQUEST_METHOD": "GET"})
    with SmartCache() as cache:
        maker = KeyMaker(POLICY)
        target = maker.target(of_get)
        if target is not None:
            put_at(cache, maker.primary(of_get, "GET", target), response_of())
        check_environ(cache, environ, state_fields)


@pytest.mark.parametrize("state_fields", CHOICES)
def test_ordinary_requests_are_found(state_fields: AbstractSet[str]) -> None:
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
            assert check(cache, scope, state_fields) and check(cache, {**scope, "method": "HEAD"}, state_fields)
            for tells in ("", "REQUEST_URI", "RAW_URI"):
                assert check_environ(cache, environ_of(scope, tells), state_fields)
                assert check_environ(cache, environ_of({**scope, "method": "HEAD"}, tells), state_fields)
            for line in (b'"a-tag"', b'W/"a-tag", "x"', b'"x"', b"*"):
                conditional = {**scope, "headers": [*scope["headers"], (b"if-none-match", line)]}
                assert check(cache, conditional, state_fields) and check_environ(cache, environ_of(conditional), state_fields)
