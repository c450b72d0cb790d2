"""Which requests the shortest way takes, and that their keys are those of `keys.py`: the finder in Python and the builtin, side by side."""

from __future__ import annotations

import itertools
import random
import sys
from typing import Any, Dict, List, Tuple
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catzilla_cache._backend import backend
from catzilla_cache.http.ordinary import REFUSED_FIELDS
from catzilla_cache.http.keys import KeyMaker, authority, is_plain_path
from catzilla_cache.http.message import Request
from catzilla_cache.http.policy import policy_of
from catzilla_cache.http.stored import encode_response
from catzilla_cache.smart_cache import SmartCache
from http_scopes import (
    KINDS,
    NAMES,
    POLICY,
    Scope,
    answers,
    each_finder,
    key_of,
    make,
    request_of,
    requests,
    response_of,
    scope_from,
    scope_of,
    store,
    tells_of_one_path,
    texts,
)
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory", "each_finder"]


# ---- Which requests ----


def test_requests_that_ask_for_more_than_an_answer_are_left_alone(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    for name in sorted(REFUSED_FIELDS):
        for value in (b"", b"x", b"no-cache"):
            assert finder.find(scope_of(headers=[(name, value), (b"host", b"example.org")])) is None, name
            assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, value)])) is None, name
    assert len(REFUSED_FIELDS) == 14
    for length, is_ordinary in ((b"0", True), (b"1", False), (b"", False), (b"00", False), (b" 0", False), (b"-0", False)):
        assert (
            finder.find(scope_of(headers=[(b"host", b"example.org"), (b"content-length", length)])) is not None
        ) is is_ordinary
    # Next to those, and others that say nothing.
    for name in (
        b"cookie",
        b"connection",
        b"if-matc",
        b"rangee",
        b"x-range",
        b"authorizatio",
        b"x-http-metho",
        b"",
        b"user-agent",
        b"x-method-overridf",
    ):
        assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, b"x")])) is not None, name


def test_a_name_that_is_not_in_lower_case_is_left_alone(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    for name in (
        b"Authorization",
        b"authorizatioN",
        b"Range",
        b"cookie-of-some-lengtH",
        b"A",
        b"x-Z",
        b"X-and-very-long-names-of-fields",
        b"1234567A",
    ):
        assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, b"x")])) is None, name
    for name in (b"\xc0\xc1", b"@[`{", b"123", b"x-\xff"):
        assert finder.find(scope_of(headers=[(b"host", b"example.org"), (name, b"x")])) is not None, name


def test_a_name_is_refused_for_every_letter_of_it(cache: SmartCache, finder: Any) -> None:
    for name in sorted(REFUSED_FIELDS):
        for place in range(len(name)):
            other = name[:place] + bytes([name[place] ^ 1]) + name[place + 1 :]
            scope = scope_of(headers=[(b"host", b"example.org"), (other, b"5")])
            store(cache, scope)
            is_taken = other not in REFUSED_FIELDS and other == other.lower()
            assert (finder.find(scope) is not None) is is_taken, other


def test_only_get_and_head_of_http_are_answered(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    for method in ("POST", "get", "head", "GET ", "", "GETX", "GE", "OPTIONS", "HEAD\0", "G\u0415T"):
        assert finder.find(scope_of(method=method)) is None
    for kind in ("websocket", "lifespan", "HTTP", "", "http2"):
        assert finder.find(scope_of(type=kind)) is None
    for scheme in ("HTTP", "ws", "", "httpx"):
        assert finder.find(scope_of(scheme=scheme)) is None
    assert finder.find(scope_of(scheme="https")) is None
    without = scope_of()
    del without["scheme"], without["query_string"]
    assert finder.find(without) is not None


def test_paths_that_may_lead_elsewhere_are_left_alone(cache: SmartCache, finder: Any) -> None:
    segments = [
        ".",
        "..",
        "...",
        "%2e",
        "%2E",
        "%2e.",
        ".%2E",
        "%2e%2e",
        "%2e%2e%2e",
        "%2",
        "%2f",
        ".a",
        "a.",
        "..a",
        "",
        "%",
        "%2d",
        "\x00",
        "ü",
        "\n",
    ]
    paths = [
        "/{}",
        "/{}/",
        "/a/{}/b",
        "/a/{}",
        "{}",
        "{}/",
        "\\{}",
        "/a\\{}",
        "/a\\{}\\b",
        "/{}\n",
        "/a/{}\n\n",
        "/{}\nb",
        "/{}x",
        "a{}/",
        "/{}//",
    ]
    for segment, path in itertools.product(segments, paths):
        text = path.format(segment)
        cache.clear()
        scope = {**scope_of(), "path": text, "raw_path": quote(text).encode()}
        store(cache, scope)
        assert (finder.find(scope) is not None) is (is_plain_path(text) and text != ""), text
        # Nor are those that are told of under another path.
        assert finder.find({**scope, "raw_path": b"/other"}) is None


def test_a_path_that_somebody_has_rewritten_is_left_alone(cache: SmartCache, finder: Any) -> None:
    for raw, path in (("/a", "/en/a"), ("/a", "/A"), ("/a", "/a/"), ("/a/", "/a"), ("/a%2Fb", "/a%2Fb"), ("/%C3", "/\ufffd"), ("/a", "")):
        cache.clear()
        store(cache, scope_of(raw))
        assert finder.find({**scope_of(raw), "path": path}) is None, (raw, path)
    for raw, path in (("/a%2Fb", "/a/b"), ("/%C3%A9", "/\xe9"), ("/%c3%a9", "/\xe9"), ("/100%", "/100%"), ("/%zz", "/%zz"), ("/a%2", "/a%2")):
        cache.clear()
        store(cache, scope_of(raw))
        assert finder.find({**scope_of(raw), "path": path}) is not None, (raw, path)


def test_hosts_are_those_of_the_keys(cache: SmartCache, finder: Any) -> None:
    hosts = [
        b"", b":", b":80", b"a", b"A.B", b"a:", b"a:80", b"a:443", b"a:8080", b"a:080", b"a:0", b"a:x", b"a:80:80", b"a b", b" a", b"a ", b"a\n", b"a/b", b"a?b",
        b"a#b", b"a@b", b"a,b", b"a%2e", b"[::1]", b"[::1]:80", b"[::1]:443", b"[::1]x", b"[::FFFF:1.2.3.4]", b"[", b"[]", b"[]:80", b"[::1", b"::1", b"[g]",
        b"a[::1]", b"\xff", b"a\0", b"_~.-", b"x" * 250, b"x" * 260, b"x" * 261, b"a:" + b"1" * 258, b"a:" + b"1" * 259,
    ]  # fmt: skip
    for host, scheme in itertools.product(hosts, ("http", "https")):
        cache.clear()
        scope = scope_of(headers=[(b"host", host)], scheme=scheme)
        request = Request("GET", scheme, host, "/items", b"/items", b"", [])
        store(cache, scope)
        is_ordinary = bool(authority(request)) and len(host) <= 260
        assert (finder.find(scope) is not None) is is_ordinary, (host, scheme)
    cache.clear()
    store(cache, scope_of())
    for headers in (
        [],
        [(b"host", b"example.org")] * 2,
        [(b"host", b"example.org"), (b"host", b"")],
        [(b"x-host", b"example.org")],
    ):
        assert finder.find(scope_of(headers=headers)) is None


def test_long_parts_are_left_alone(cache: SmartCache, finder: Any) -> None:
    host = (b"host", b"example.org")
    # The number of the field and the length of its value are part of what is bounded.
    other = len(b"%d=500:" % POLICY.key_fields.index(b"x-part"))
    long: List[Tuple[Scope, bool]] = [
        (scope_of("/" + "a" * 1023), True), (scope_of("/" + "a" * 1024), False), (scope_of("/" + "a" * 5000), False), (scope_of("/", b"_=" + b"x" * 9000), True),
        (scope_of("/", b"a" * 1024), True), (scope_of("/", b"a" * 1025), False), (scope_of("/", b"%20" * 341), True), (scope_of("/", b"%20" * 342), False),
        (scope_of("/", b"a" * 1024 + b"&_=1"), True), (scope_of("/", b"&" * 63), True), (scope_of("/", b"&" * 64), False),
        (scope_of("/", b"_&" * 64), False), (scope_of("/", b"_=" + b"x" * 5000), True), (scope_of("/", b"a" * 600 + b"&" + b"b" * 423), True),
        (scope_of("/", b"a" * 600 + b"&" + b"b" * 424), False), (scope_of("/", b"a" * 1022 + b"&&"), True), (scope_of("/", b"a" * 1023 + b"&&"), False),
        (scope_of(headers=[host, (b"x-part", b"v" * (512 - other))]), True), (scope_of(headers=[host, (b"x-part", b"v" * (513 - other))]), False),
        (scope_of(headers=[host, (b"x-part", b" " * 600 + b"v" * (512 - other) + b" " * 600)]), True),
        (scope_of(headers=[host, (b"accept", b"v" * 600)]), False), (scope_of(headers=[host, *[(b"accept", b" ")] * 64]), True),
        (scope_of(headers=[host, *[(b"accept", b" ")] * 65]), False), (scope_of(headers=[host, *[(b"x-part", b"")] * 63]), True),
        (scope_of(headers=[host, *[(b"x-other", b"v" * 1000)] * 500]), True),
    ]  # fmt: skip
    for scope, is_ordinary in long:
        cache.clear()
        store(cache, scope)
        assert (finder.find(scope) is not None) is is_ordinary, (
            scope["path"][:20],
            scope["query_string"][:20],
            scope["headers"][-1],
        )


def test_host_and_length_may_be_key_fields(cache: SmartCache) -> None:
    policy = policy_of(cache_headers=["host", "content-length", "range"])
    maker = KeyMaker(policy)
    for host, lengths in itertools.product((b"example.org", b"EXAMPLE.org:80"), ([], [b"0"], [b"0", b"0"])):
        fields = [(b"host", host), *((b"content-length", length) for length in lengths)]
        request = request_of(scope_of(headers=fields))
        target = maker.target(request)
        assert target is not None
        key = maker.primary(request, "GET", target)
        backend.put(cache._live(), key, encode_response(response_of(body=key)), 0)
        finders = [kind(cache, policy.prefix, policy.key_fields, policy.ignored, b"catzilla", 1) for kind in KINDS]
        assert answers(cache, scope_of(headers=fields), finders)[1]["body"] == key
        assert answers(cache, scope_of(headers=[*fields, (b"range", b"bytes=0-")]), finders) is None


def test_a_long_prefix_leaves_all_requests_alone(cache: SmartCache) -> None:
    for kind, length in itertools.product(KINDS, (512, 513)):
        prefix = b"p" * length
        scope = scope_of()
        backend.put(cache._live(), key_of(scope).replace(POLICY.prefix, prefix), encode_response(response_of()), 0)
        finder = kind(cache, prefix, POLICY.key_fields, POLICY.ignored, b"catzilla", 3)
        assert (finder.find(scope) is not None) is (length == 512)


ODD: List[Any] = [
    None, 5, 1.5, True, "", "x", b"", b"x", bytearray(b"/items"), memoryview(b"/items"), [], (), {}, object(), "GET\ud800", "\ud800", type("T", (str,), {})("GET"),
    type("B", (bytes,), {})(b"/items"), [None], [()], [(b"host",)], [(b"host", b"a", b"b")], [b"ab"], ["ab"], [("host", "a")], [(b"host", "example.org")],
    [("host", b"example.org")], [(b"host", b"example.org"), None], [(b"host", b"example.org"), (b"a", None)], [(b"host", b"example.org"), (None, b"a")],
    {b"host": b"example.org"}, {(b"host", b"example.org")}, iter([(b"host", b"example.org")]), type("L", (list,), {})([(b"host", b"example.org")]),
    [type("P", (tuple,), {})((b"host", b"example.org"))], [(type("B", (bytes,), {})(b"host"), b"example.org")],
]  # fmt: skip


def test_scopes_that_no_server_makes_are_left_alone(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    store(cache, scope)
    for part, value in itertools.product(("type", "method", "scheme", "path", "raw_path", "query_string", "headers"), ODD):
        # Bytes that are a query are what they are.
        is_fine = part == "query_string" and value == b"" and type(value) is bytes
        assert (finder.find({**scope, part: value}) is not None) is is_fine, (part, value)
    for part in ("type", "method", "path", "raw_path", "headers"):
        assert finder.find({key: value for key, value in scope.items() if key != part}) is None
    strange: List[Any] = [*ODD, {}, type("D", (dict,), {})(scope), list(scope.items())]
    for value in strange:
        assert finder.find(value) is None
    for part in ("http_version", "asgi", "root_path", "client", "state", "extensions"):
        assert finder.find({**scope, part: object()}) is not None
    more: Dict[Any, Any] = {5: 1, None: 2, b"type": 3}
    assert finder.find({**scope, **more}) is not None


def test_fields_may_be_in_tuples_and_lists(cache: SmartCache) -> None:
    fields = [(b"host", b"example.org"), (b"accept", b"a"), (b"accept", b"b")]
    store(cache, scope_of(headers=fields))
    in_tuples: List[Any] = [fields, tuple(fields)]
    for headers in in_tuples:
        assert answers(cache, {**scope_of(), "headers": headers}) is not None
    in_lists: List[Any] = [[list(field) for field in fields], tuple(list(field) for field in fields)]
    for headers in in_lists:
        # Without the interpreter's lock the builtin reads only what nobody can change.
        found = [make(kind, cache).find({**scope_of(), "headers": headers}) is not None for kind in KINDS]
        assert found[0] is True and (found[-1] is True or "free-threading" in sys.version)


# ---- The same keys ----


@given(request=requests, long=st.sampled_from([(), ("raw_path", 1000), ("query", 1000), ("headers", 500)]))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keys_are_those_of_all_requests(cache: SmartCache, request: Dict[str, Any], long: Any) -> None:
    if long and long[0] != "headers":
        request[long[0]] += b"x" * long[1]
    if long and long[0] == "headers":
        request["headers"].append((b"x-part", b"x" * (long[1] - 60)))
    scope = scope_from(request)
    cache.clear()
    key = key_of(scope)
    store(cache, scope, body=key)
    answer = answers(cache, scope)
    # A hash stands behind such a byte: in the path, which has none otherwise, or where the values of fields begin.
    target, _, values = key[len(POLICY.prefix) + len(b"GET ") :].split(b" ", 2)
    is_short = b"\x01" not in target and not values.startswith(b"\x01")
    is_url = KeyMaker(POLICY).target(request_of(scope)) is not None and request["raw_path"] != b""
    if is_plain_path(scope["path"]) and tells_of_one_path(scope) and is_url and is_short and request["query"].count(b"&") < 64:
        assert answer is not None and answer[1]["body"] == key
    else:
        assert answer is None


def test_values_of_every_length_are_normalised_as_in_all_keys(cache: SmartCache) -> None:
    finders = [make(kind, cache) for kind in KINDS]
    text = b"Gzip, deflate;q=0.5,\tBR , x-Z@[`{ \xc0\xff" * 6
    for name, length, lines in itertools.product(
        (b"accept", b"accept-language", b"x-part"), (*range(0, 40), *range(90, 115)), (1, 2, 3)
    ):
        for around in (b"", b"  ", b"\n\x0b"):
            value = around + text[length % 7 :][:length] + around
            scope = scope_of(headers=[(b"host", b"example.org"), *[(name, value)] * lines])
            cache.clear()
            store(cache, scope, body=value)
            assert answers(cache, scope, finders)[1]["body"] == value


def test_what_no_url_has_is_left_alone_wherever_it_stands(cache: SmartCache) -> None:
    finders = [make(kind, cache) for kind in KINDS]
    odd_bytes = [bytes([byte]) for byte in (*range(0, 0x30), 0x3F, *range(0x7B, 0x84), 0xC3, 0xFE, 0xFF)]
    for length, odd in itertools.product((0, 1, 6, 7, 8, 9, 15, 16, 17, 30), odd_bytes):
        is_visible = 0x21 <= odd[0] <= 0x7E
        for at in sorted({0, length // 2, length}):
            text = b"a" * at + odd + b"b" * (length - at)
            in_path = scope_of("", raw_path=b"/" + text)
            for scope, is_fine in (
                (in_path, is_visible and odd not in b"#?" and tells_of_one_path(in_path) and is_plain_path(in_path["path"])),
                (scope_of("/plain", b"c=" + text), is_visible),
                # Also in what is ignored: an application may take it for something else.
                (scope_of("/plain", b"_=" + text + b"&d=e"), is_visible),
            ):
                cache.clear()
                store(cache, scope)
                assert (answers(cache, scope, finders) is not None) is is_fine, (scope["raw_path"], scope["query_string"])


@given(data=st.data(), request=requests)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_requests_are_odd_to_both(cache: SmartCache, data: Any, request: Dict[str, Any]) -> None:
    headers = [(b"host", request["host"]), *request["headers"]]
    scope = scope_of("/items", request["query"], headers, scheme=request["scheme"])
    cache.clear()
    store(cache, scope)
    flaw = data.draw(st.sampled_from(["field", "part", "path", "host", "line", "name"]))
    if flaw == "field":
        field = data.draw(
            st.tuples(st.one_of(st.sampled_from(sorted(REFUSED_FIELDS)), st.sampled_from(NAMES), texts(b"abcX-")), texts(b"0x"))
        )
        scope["headers"].insert(data.draw(st.integers(0, 9)), field)
    elif flaw == "part":
        part = data.draw(st.sampled_from(["type", "method", "scheme", "path", "raw_path", "query_string", "headers"]))
        if data.draw(st.booleans()):
            del scope[part]
        else:
            scope[part] = data.draw(
                st.one_of(
                    st.none(),
                    st.booleans(),
                    st.integers(),
                    st.binary(max_size=5),
                    st.text(max_size=5),
                    st.lists(st.binary(max_size=3), max_size=3),
                )
            )
    elif flaw == "path":
        scope["path"] = data.draw(st.one_of(st.text(max_size=9), st.text(alphabet="/\\.%2eE\n", max_size=9)))
    elif flaw == "host":
        scope["headers"][0] = (b"host", data.draw(texts(b"a.:[]0 ", 9)))
    elif flaw == "line":
        scope["headers"].append(
            data.draw(
                st.one_of(st.none(), st.tuples(st.binary(max_size=3)), st.tuples(st.text(max_size=3), st.binary(max_size=3)))
            )
        )
    else:
        name, value = data.draw(st.sampled_from(headers))
        scope["headers"][0] = (name.title(), value)
    answers(cache, scope)


def test_a_request_finds_no_answer_but_its_own(cache: SmartCache, finder: Any) -> None:
    host, accept = (b"host", b"example.org"), (b"accept", b"a")
    different = [
        scope_of(), scope_of(scheme="https"), scope_of("/items/"), scope_of("/Items"), scope_of("/items", b"a=1"), scope_of("/items", b"a=1&a=2"),
        scope_of("/items", b"a=2&a=1"), scope_of("/items%20a=1"), scope_of("/items%3Fa=1"), scope_of(headers=[(b"host", b"example.org:8080")]),
        scope_of(headers=[(b"host", b"example.com")]), scope_of(headers=[host, accept]), scope_of(headers=[host, (b"accept", b"A")]),
        scope_of(headers=[host, (b"accept", b"")]), scope_of(headers=[host, accept, accept]), scope_of(headers=[host, (b"x-part", b"a, b")]),
        scope_of(headers=[host, (b"x-part", b"a,b")]), scope_of(headers=[host, (b"x-forwarded-host", b"evil.example")]),
        scope_of(headers=[host, (b"accept", b"a"), (b"x-part", b"b")]), scope_of(headers=[host, (b"accept", b"a,18=1:b")]),
    ]  # fmt: skip
    for number, scope in enumerate(different):
        store(cache, scope, body=b"%d" % number)
    for number, scope in enumerate(different):
        assert finder.find(scope)[1]["body"] == b"%d" % number
    for path in ("/items?a=1", "/items a=1", "", "/items#"):
        assert finder.find(scope_of(path)) is None
    same = [
        scope_of(headers=[(b"host", b"EXAMPLE.ORG:80")]),
        scope_of("/items", b"_=5&timestamp=1"),
        scope_of(headers=[(b"cookie", b"a=1"), host]),
    ]
    for scope in same:
        assert finder.find(scope)[1]["body"] == b"0"


def test_requests_whose_keys_end_alike_find_their_own_answers_in_any_order(cache: SmartCache, finder: Any) -> None:
    # Hosts and values that are the same one behind the other, or when they are normalised; far more than the builtin keeps.
    values = (b"", b"a", b"aa", b"a, a", b"A", b"b", b"a" * 20 + b"c" + b"a" * 20, b"a" * 20 + b"d" + b"a" * 20, b"e" * 300)
    scopes = [
        scope_of(scheme=scheme, headers=[(b"host", host), *((name, value) for name, value in lines if value)])
        for scheme, host in (("http", b"a.example"), ("https", b"a.example"), ("http", b"a.exampl"), ("http", b"a.example:80"))
        for first, second in itertools.product(values, repeat=2)
        for names in ((b"accept", b"x-part"), (b"x-part", b"accept"), (b"accept-language", b"accept-language"))
        for lines in [list(zip(names, (first, second)))]
    ]
    bodies = {key_of(scope): b"%d" % number for number, scope in enumerate(scopes)}
    for scope in scopes:
        store(cache, scope, body=bodies[key_of(scope)])
    answered = 0
    for order in (scopes, scopes[::-1], [scope for scope in scopes for _ in range(2)], random.Random(5).sample(scopes, len(scopes))):
        for scope in order:
            answer = finder.find(scope)
            assert answer is None or answer[1]["body"] == bodies[key_of(scope)], scope
            answered += answer is not None
    assert len(bodies) > 300 and answered > 4 * len(scopes)
