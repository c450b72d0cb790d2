"""That no request can be made to read, or to write, what another one is answered.

Shows RFC 9111 sections 2 (the key), 4 (the URI must match) and 7.1 to 7.3 (poisoning, timing, sensitive content).
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import pytest

from catzilla_cache.cache_middleware import CacheMiddleware
from http_application import FRESH, Answer, App, Asked, Message, Receive, Reply, Scope, Send, ask, clock_of, fields, reply, scope_of, site

__all__ = ["clock_of"]


def echo(asked: Asked) -> Reply:
    """Answers with what an application may make its answer of."""
    said = [asked.method, asked.scope["scheme"], asked["host"], asked.url]
    return reply("Cache-Control: max-age=600", body="\n".join(map(str, said)).encode("latin-1"))


@pytest.mark.parametrize(
    "one, other",
    [
        ("/a", "/b"),
        ("/a", "/a/"),
        ("/a", "/A"),
        ("/a?b", "/a?b="),
        ("/a?b=1", "/a?c=1"),
        ("/a?b=1", "/a%3Fb=1"),
        ("/a?b=1", "/a%3fb%3d1"),
        ("/a?b=1&c=2", "/a?b=1%26c=2"),
        ("/a?b=1&c=2", "/a?b=1&c=2&c=2"),
        ("/a?b=1&b=2", "/a?b=2&b=1"),
        ("/a?b=1;c=2", "/a?b=1&c=2"),
        ("/a?b=1", "/a?B=1"),
        ("/a?b=+", "/a?b=%20"),
        ("/a?b=%2F", "/a?b=%2f"),
        ("/a?b=\xe9", "/a?b=%E9"),
        ("/a?b=1&_=2&c=3", "/a?b=1%26_=2&c=3"),
        ("/a?b=1?c=2", "/a?b=1&c=2"),
        ("/a?=1", "/a?1="),
        ("/a%2Fb", "/a/b"),
        ("/a%2fb", "/a/b"),
        ("/%61", "/a%61"),
        ("/a;b=1", "/a"),
        ("/a%00", "/a"),
        ("/a%00b", "/a"),
        ("/a%0A", "/a"),
        ("/a%20", "/a"),
        ("/a\\b", "/a/b"),
        ("//a", "/a"),
        ("/a//b", "/a/b"),
        ("/a#b", "/a"),
        ("/a%25", "/a%"),
        ("http://example.com/a", "http://other.com/a"),
        ("http://example.com/a", "https://example.com/a"),
        ("http://example.com/a", "http://example.com:8080/a"),
        ("http://example.com:443/a", "https://example.com/a"),
        ("http://example.com/a", "http://example.com.other.com/a"),
        ("http://example.co/m/a", "http://example.com/a"),
        ("http://example.com/a", "http://www.example.com/a"),
        ("/" + "a" * 5000 + "1", "/" + "a" * 5000 + "2"),
        ("/a?b=" + "c" * 5000 + "1", "/a?b=" + "c" * 5000 + "2"),
    ],
)
def test_different_urls_have_different_answers(one: str, other: str) -> None:
    with site(echo) as found:
        first, second = found.get(one).body, found.get(other).body
        assert first != second
        assert (found.get(one).body, found.get(other).body) == (first, second)
        assert (found.get(other).body, found.get(one).body) == (second, first)


@pytest.mark.parametrize(
    "one, other",
    [
        ("/a?b=1&c=2", "/a?c=2&b=1"),
        ("/a?b=1", "/a?b=1&_=123"),
        ("/a?b=1", "/a?timestamp=9&b=1&cache_buster=x"),
        ("/a?c=3&b=1&b=2", "/a?b=1&c=3&b=2"),
        ("/a", "/a?_=1"),
        ("http://example.com/a", "http://EXAMPLE.com/a"),
        ("http://example.com/a", "http://example.com:80/a"),
        ("https://example.com/a", "https://example.com:443/a"),
    ],
)
def test_urls_that_mean_the_same_have_one_answer(one: str, other: str) -> None:
    with site(FRESH) as found:
        found.get(one)
        assert found.get(other).is_hit


def test_ignored_names_are_the_operators_and_reach_the_application() -> None:
    with site(FRESH, ignore_query_params={"utm"}) as found:
        found.get("/a?_=1")
        assert not found.get("/a?_=2").is_hit
        found.get("/b?utm=1")
        assert found.last.url == "/b?utm=1"
        assert found.get("/b?utm=2").is_hit
        # Only the name itself, as it is written.
        for url in ("/b?UTM=1", "/b?utm2=1", "/b?x=utm=1"):
            assert not found.get(url).is_hit, url


@pytest.mark.parametrize(
    "host",
    [
        "example.com:port",
        "example.com/..",
        "example.com#",
        "example.com?x",
        "user@example.com",
        "a b",
        "exa\tmple.com",
        "example.com,other.com",
    ]
    + ["[::1", "::1", "example.com:80:80", "\xe9.com", "example.com\\other", "%65xample.com", "example.com:8\xb2"],
)
def test_a_host_that_is_none_is_left_to_the_application(host: str) -> None:
    with site(echo) as found:
        found.get("/a")
        for _ in range(2):
            answer = found.get("/a", f"Host: {host}")
            assert not answer.is_hit
        assert found.get("/a").body.split(b"\n")[2] == b"example.com"


@pytest.mark.parametrize("lines", [["Host: example.com", "Host: other.com"], ["Host: other.com", "Host: example.com"]])
def test_two_hosts_are_none(lines: List[str]) -> None:
    with site(echo) as found:
        found.get("/a")
        assert not found.get("/a", *lines).is_hit
        assert found.get("/a").body.split(b"\n")[2] == b"example.com"


@pytest.mark.parametrize(
    "host", ["[::1]:8000", "127.0.0.1", "localhost:5000", "EXAMPLE.com.", "xn--caf-dma.com", "example.com:99999999", "", ".."]
)
def test_hosts_of_all_kinds_are_cached_each_for_itself(host: str) -> None:
    with site(FRESH) as found:
        found.get("/a")
        assert not found.get("/a", f"Host: {host}").is_hit
        assert found.get("/a", f"Host: {host}").is_hit


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a/..",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/.%2e",
        "/a/%2e/b",
        "/static/..%2fprivate",
        "/a%2f..%2fb",
    ],
)
def test_a_path_that_leads_elsewhere_is_left_to_the_application(path: str) -> None:
    with site(echo) as found:
        for _ in range(2):
            answer = found.get(path)
            assert answer.headers == answer.said_by_the_application


def test_dots_that_lead_nowhere_are_part_of_a_name() -> None:
    with site(FRESH) as found:
        for path in ("/a..b", "/.well-known/a", "/...", "/a/...b", "/a.", "/..a"):
            found.get(path)
            assert found.get(path).is_hit, path


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Scheme",
        "X-Forwarded-Server",
        "X-Host",
    ]
    + ["X-Original-Host", "X-Original-URL", "X-Rewrite-URL", "Forwarded"],
)
def test_a_field_that_an_application_may_take_for_its_address_poisons_nobody(name: str) -> None:
    def script(asked: Asked) -> Reply:
        return reply("Cache-Control: max-age=600", body=b"see " + (asked[name] or "us").encode())

    with site(script) as found:
        value = "host=evil.com" if name == "Forwarded" else "evil.com"
        assert found.get("/", f"{name}: {value}").body == b"see " + value.encode()
        assert found.get("/").body == b"see us"
        assert found.get("/", f"{name}: {value}").body == b"see " + value.encode()
        assert found.get("/").body == b"see us"
        assert found.get("/", f"{name}:").body in (b"see us", b"see ")


def test_who_a_request_was_forwarded_for_does_not_select() -> None:
    with site(FRESH) as found:
        found.get("/", "X-Forwarded-For: 1.1.1.1", "Forwarded: for=1.1.1.1;by=2.2.2.2")
        assert found.get("/", "X-Forwarded-For: 3.3.3.3", "Forwarded: for=3.3.3.3").is_hit
        assert not found.get("/", "Forwarded: for=3.3.3.3;host=evil.com").is_hit


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
@pytest.mark.parametrize("value", ["DELETE", "POST", "GET", "HEAD"])
def test_a_request_that_says_it_is_another_method_is_left_to_the_application(name: str, value: str) -> None:
    def script(asked: Asked) -> Reply:
        return reply("Cache-Control: max-age=600", body=(asked[name] or asked.method).encode())

    with site(script) as found:
        assert found.get("/", f"{name}: {value}").body == value.encode()
        assert found.get("/").body == b"GET"
        assert found.get("/", f"{name}: {value}").body == value.encode()
        assert found.get("/").body == b"GET"


@pytest.mark.parametrize(
    "line", ["X-Unknown: 1", "X-Forwarded-For: 1.2.3.4", "Cookie: theme=<script>", "User-Agent: <script>", "Referer: x"]
)
def test_a_field_that_does_not_select_reaches_the_application_only_with_its_own_request(line: str) -> None:
    # An application whose answer depends on such a field has to say so with Vary; here is what it gets when it does.
    name = line.partition(":")[0]

    def script(asked: Asked) -> Reply:
        return reply("Cache-Control: max-age=600", f"Vary: {name}", body=str(asked[name]).encode())

    with site(script) as found:
        assert found.get("/", line).body != found.get("/").body == b"None"


@pytest.mark.parametrize(
    "path",
    [
        "/account",
        "/account/x.css",
        "/account;.css",
        "/account%3B.css",
        "/account/%2e%2e/static/x.css",
        "/account%0A.css",
        "/account?x.css",
    ],
)
def test_a_path_that_looks_like_a_file_makes_nothing_private_public(path: str) -> None:
    # What is static is told by what the application says of it, never by how its name ends.
    with site(reply("Cache-Control: private"), default_ttl=86400) as found:
        assert found.get(path, "Cookie: session=1").body == b"answer 1"
        assert found.get(path).body == b"answer 2"
    with site(reply(), default_ttl=86400) as found:
        assert found.get(path, "Cookie: session=1").body == b"answer 1"
        assert found.get(path).body == b"answer 2"


@pytest.mark.parametrize("where", ["value", "name", "set-cookie", "location", "etag", "content-type"])
@pytest.mark.parametrize(
    "broken", [b"a\r\nset-cookie: x=y", b"a\nx-evil: 1", b"a\rx-evil: 1", b"a\r\n\r\n<script>", b"a\0b", b"a\r\n"]
)
def test_one_field_of_an_application_never_becomes_two(where: str, broken: bytes) -> None:
    name, value = (broken, b"1") if where == "name" else (b"x-a" if where == "value" else where.encode(), broken)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(1)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"cache-control", b"max-age=600"), (name, value), (b"x-b", b"2")],
            }
        )
        await send({"type": "http.response.body", "body": b"body"})

    calls: List[int] = []
    with site(application=application) as found:
        for _ in range(2):
            heads: List[Any] = []

            async def send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    heads.append(message["headers"])

            async def receive() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            try:
                found.run(found.middleware(scope_of("GET", "/", []), receive, send))
            except Exception:
                # Refusing the answer is as good as not storing it.
                continue
            for head in heads:
                got = [bytes(key).lower() for key, _ in head]
                assert b"x-evil" not in got
                assert (b"set-cookie" in got) is (where == "set-cookie")
        assert len(calls) == 2, "such an answer is not stored"


@pytest.mark.parametrize(
    "one, other",
    [
        (["Accept: a", "Accept-Language: b"], ["Accept: a|b", "Accept-Language:"]),
        (["Accept: a"], ["Accept-Encoding: a"]),
        (["Accept: a\x1fb"], ["Accept: a", "Accept-Encoding: b"]),
        (["Accept: \xff"], ["Accept: \xfe"]),
        (["Accept: " + "x" * 9000 + "1"], ["Accept: " + "x" * 9000 + "2"]),
        (["Accept: a", "Accept: b"], ["Accept: b", "Accept: a"]),
        (["Accept: "], ["Accept: None"]),
    ],
)
def test_the_fields_that_select_are_not_taken_for_each_other(one: List[str], other: List[str]) -> None:
    with site(FRESH) as found:
        first = found.get("/", *one).body
        assert found.get("/", *other).body != first
        assert found.get("/", *one).body == first


@pytest.mark.parametrize("url", ["/a\xff", "/a?b=\xff", "/a\x01", "/a?b=\x7f", "/a b", "/a?b c", "/a#b"])
def test_what_no_url_has_is_left_to_the_application(url: str) -> None:
    with site(FRESH) as found:
        for _ in range(2):
            answer = found.get(url)
            assert answer.headers == answer.said_by_the_application


def test_a_path_cannot_imitate_the_fields_that_select() -> None:
    with site(FRESH) as found:
        paths = ["/a", "/a\naccept:b", "/a|accept=b", "/a\x00b", "/a\x1fb", "/GET/a", "/http://example.com/a", "/a\x01", "/a\xff"]
        for path in paths:
            assert not found.get(path).is_hit, path
        assert not found.get("/a", "Accept: b").is_hit


def test_two_caches_with_different_prefixes_share_an_engine_and_no_answer() -> None:
    with site(FRESH, key_prefix="one") as found:
        found.get()

        other = CacheMiddleware(found.application, cache_instance=found.cache, key_prefix="two")
        same = CacheMiddleware(found.application, cache_instance=found.cache, key_prefix="one")
        assert not found.run(ask(other, "GET", "/", fields())).is_hit
        assert found.run(ask(same, "GET", "/", fields())).is_hit


def test_a_key_of_the_operators_own_replaces_the_whole_key() -> None:
    seen: List[Tuple[str, str, str, Any]] = []

    def key(request: Any) -> str:
        seen.append((request.method, request.url.path, request.url.query, request.headers.get("X-Tenant")))
        return f"{request.headers.get('x-tenant')}:{request.url.path}"

    with site(FRESH, custom_key_generator=key) as found:
        assert found.get("/a?x=1", "X-Tenant: one").body == b"answer 1"
        assert seen[-1] == ("GET", "/a", "x=1", "one")
        assert found.get("/a?x=2", "X-Tenant: one", "Accept: b").is_hit
        assert not found.get("/a?x=1", "X-Tenant: two").is_hit
        assert not found.get("/b?x=1", "X-Tenant: one").is_hit


def test_a_key_generator_that_fails_is_a_fault_of_the_cache_and_not_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    def key(request: Any) -> str:
        raise KeyError("no such thing")

    with site(FRESH, custom_key_generator=key) as found:
        assert found.get().body == b"answer 1"
        assert found.get().body == b"answer 2"
        assert found.middleware.get_stats()["http_stats"]["cache_errors"] >= 1
    assert "catzilla.cache" in {record.name for record in caplog.records}


def test_two_keys_that_differ_never_meet_however_they_are_written() -> None:
    keys = ["a", "A", "a\0", "", "http", "a" * 5000, "a" * 5000 + "b", "\U0001f40a", "a\nb", "a:b"]
    turn: List[str] = []
    with site(FRESH, custom_key_generator=lambda request: turn[-1]) as found:
        bodies = []
        for one in keys:
            turn.append(one)
            bodies.append(found.get().body)
        assert len(set(bodies)) == len(keys)


def test_a_url_of_the_largest_length_is_cached_as_any_other() -> None:
    urls: Sequence[str] = ["/" + "a" * length for length in (100, 1000, 10000, 60000)]
    with site(FRESH) as found:
        for url in urls:
            found.get(url)
            assert found.get(url).is_hit


def test_an_answer_to_a_path_that_somebody_has_rewritten_is_not_that_of_the_path_that_came() -> None:
    def by_language(application: App) -> App:
        async def rewriting(scope: Scope, receive: Receive, send: Send) -> None:
            language = dict(scope["headers"]).get(b"x-language", b"en").decode()
            await application({**scope, "path": f"/{language}{scope['path']}"}, receive, send)

        return rewriting

    with site(lambda asked: reply("Cache-Control: max-age=600", body=asked.scope["path"].encode())) as where:
        rewriting = by_language(where.middleware)

        def get(language: str) -> Answer:
            return where.run(ask(rewriting, "GET", "/news", fields(f"X-Language: {language}")))

        assert [get(language).body for language in ("en", "de", "en", "de")] == [b"/en/news", b"/de/news"] * 2
        assert where.calls == 2


@pytest.mark.parametrize("path", ["/sub/news", "/news"], ids=["the whole path", "what is left of it"])
def test_applications_that_are_mounted_at_two_places_have_answers_of_their_own(path: str) -> None:
    with site(lambda asked: reply("Cache-Control: max-age=600", body=asked.scope["root_path"].encode())) as where:

        def get(root: str, raw: str) -> Answer:
            shown = path.replace("/sub", root)
            return where.run(ask(where.middleware, "GET", raw, fields(), path=shown, root_path=root))

        answers = [get("/sub", "/sub/news"), get("/other", "/other/news"), get("/sub", "/sub/news")]
        assert [answer.body for answer in answers] == [b"/sub", b"/other", b"/sub"]
        assert answers[2].is_hit
