"""The WSGI middleware, driven as a server drives it: what becomes of one answer, and what a request is."""

from __future__ import annotations

import io
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import WSGICacheMiddleware
from catzilla_cache.http.wsgi import request_of
from wsgi_site import FRESH, App, Body, Broken, drive, environ_of, says, site

# ---- One answer ----


def test_a_second_request_is_answered_without_the_application() -> None:
    with site(says(b"one, ", b"two")) as found:
        first, second = found.ask(), found.ask()
        assert (first.status, first.body, first["x-cache"], first["x-cache-ttl"]) == (200, b"one, two", "MISS", "600")
        assert (second.line, second.body, second["x-cache"], second["content-length"]) == ("200 OK", b"one, two", "HIT", "8")
        assert second["cache-status"] == "catzilla; hit; ttl=600" and second["etag"] is not None
        assert found.app.calls == 1 and found.app.bodies[0].closed == 1


# What may be a second older when the second request comes.
PASSING = ("age", "x-cache-time", "cache-status")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_short_way_to_a_hit_ends_where_the_long_one_does(method: str) -> None:
    # Any other clock than the system's takes the long way.
    clocks: List[Callable[[], float]] = [time.time, lambda: time.time()]
    app = App(says(b"answer", headers=[*FRESH, ("Link", "</a>"), ("Link", "</b>")]))
    with SmartCache(SmartCacheConfig(memory_capacity=100)) as cache:
        short, long = (WSGICacheMiddleware(app, cache_instance=cache, clock=clock) for clock in clocks)
        drive(long, environ_of())
        found = [drive(each, environ_of(method)) for each in (short, long)]
        assert [answer["x-cache"] for answer in found] == ["HIT", "HIT"] and app.calls == 1
        one, other = ((each.line, each.body, [field for field in each.headers if field[0] not in PASSING]) for each in found)
        assert one == other and ("link", "</b>") in one[2]
        assert short.stats == {"total_requests": 1, "cache_hits": 1, "cache_misses": 0, "cache_sets": 0, "cache_skips": 0}
        assert short._counters.documented()["total_requests"] == 0, "it was not the short way"


def test_what_it_does_is_what_wsgi_wants() -> None:
    def plain(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(FRESH))
        return [b"answer"]

    app = App(plain)
    with SmartCache(SmartCacheConfig(memory_capacity=100)) as cache:
        checked = validator(WSGICacheMiddleware(validator(app), cache_instance=cache))
        answers = [drive(checked, environ_of(method)) for method in ("GET", "GET", "HEAD")]
    assert [answer["x-cache"] for answer in answers] == ["MISS", "HIT", "HIT"]


def test_repeated_fields_and_bytes_come_back_as_they_were() -> None:
    headers = [*FRESH, ("Link", "</a>"), ("X-Latin", "gr\xfc\xdfe"), ("Link", "</b>")]
    body = bytes(range(256))
    with site(says(body, headers=headers)) as found:
        for _ in range(2):
            answer = found.ask()
            assert answer.body == body
            assert [value for name, value in answer.headers if name.lower() == "link"] == ["</a>", "</b>"]
            assert answer["x-latin"] == "gr\xfc\xdfe"


def test_a_body_is_passed_on_as_it_comes() -> None:
    order: List[str] = []
    with site(says(b"one", lambda: order.append("two is made"), b"two")) as found:
        body = found.middleware(environ_of(), lambda *_: None)
        chunks = iter(body)
        assert next(chunks) == b"one" and order == []
        assert next(chunks) == b"two" and order == ["two is made"]
        assert list(chunks) == []
        body.close()  # type: ignore[attr-defined]
        assert found.ask()["x-cache"] == "HIT"


def test_an_answer_that_is_told_whole_has_its_entity_tag_from_the_first() -> None:
    headers = [*FRESH, ("Content-Length", "6")]
    with site(says(b"answer", headers=headers)) as found:
        first, second = found.ask(), found.ask()
        assert first["etag"] == second["etag"] is not None
        assert first["content-length"] == second["content-length"] == "6"


@pytest.mark.parametrize("chunks", [[], [b"answer"], [b"one", b"", b"two"]])
def test_a_list_stays_one_and_is_stored_before_its_client_takes_it(chunks: List[bytes]) -> None:
    def listed(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(FRESH))
        return chunks

    with site(listed) as found:
        waiting = found.middleware(environ_of(), lambda *_: None)
        assert isinstance(waiting, list) and b"".join(waiting) == b"".join(chunks)
        hit = found.ask()
        assert (hit.body, hit["x-cache"]) == (b"".join(chunks), "HIT")
        waiting.close()  # type: ignore[attr-defined]


def test_a_client_that_goes_away_leaves_nothing_half_stored() -> None:
    with site(says(b"one", b"two")) as found:
        assert found.ask(take=1).body == b"one"
        assert found.app.bodies[0].closed == 1
        assert found.ask().body == b"onetwo" and found.app.calls == 2


@pytest.mark.parametrize("told", ["3", "30", "x", "-1"])
def test_a_body_that_is_not_as_long_as_it_says_is_not_stored(told: str) -> None:
    with site(says(b"answer", headers=[*FRESH, ("Content-Length", told)])) as found:
        assert [found.ask()["x-cache"] for _ in range(2)] == ["MISS", "MISS"]


def test_what_goes_on_after_the_length_that_was_told_is_not_stored() -> None:
    with site(says(b"answer", b" and more", headers=[*FRESH, ("Content-Length", "6")])) as found:
        found.ask()
        assert found.ask()["x-cache"] == "MISS"


@pytest.mark.parametrize("headers", [FRESH, [*FRESH, ("Content-Length", "20")]], ids=["unknown length", "known length"])
def test_a_body_that_is_too_long_passes_through(headers: Any) -> None:
    with site(says(b"0123456789", b"0123456789", headers=headers), max_body_size=15) as found:
        for _ in range(2):
            answer = found.ask()
            assert (len(answer.body), answer["x-cache"]) == (20, "MISS")
        assert ("stored" in (answer["cache-status"] or "")) == (headers is FRESH)
        assert found.stats()["http_stats"]["too_large"] == 2


def test_write_is_passed_on_and_stored() -> None:
    def writes(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", list(FRESH))
        write(b"one, ")
        write(b"two, ")
        return Body(b"three")

    with site(writes) as found:
        assert found.ask().chunks == [b"one, ", b"two, ", b"three"]
        hit = found.ask()
        assert (hit.body, hit["x-cache"], found.app.calls) == (b"one, two, three", "HIT", 1)


def test_a_generator_starts_its_response_late() -> None:
    def generates(environ: Dict[str, Any], start_response: Any) -> Iterator[bytes]:
        yield b""
        start_response("200 OK", list(FRESH))
        yield b"answer"

    with site(generates) as found:
        assert [found.ask().body for _ in range(2)] == [b"answer", b"answer"]
        assert found.app.calls == 1


def test_an_answer_that_is_replaced_before_its_body_is_the_other_answer() -> None:
    def changes_its_mind(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(FRESH))
        try:
            raise Broken
        except Broken:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"sorry"]

    with site(changes_its_mind, says(b"answer")) as found:
        failed = found.ask()
        assert (failed.line, failed.body) == ("500 Oops", b"sorry")
        assert found.ask().body == b"answer"


def test_an_answer_that_fails_within_its_body_is_not_stored() -> None:
    def fails_late(environ: Dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", list(FRESH))
        yield b"one"
        try:
            raise Broken
        except Broken:
            start_response("500 Oops", [], sys.exc_info())
        yield b"never"

    with site(fails_late, says(b"answer")) as found:
        with pytest.raises(Broken):
            found.ask()
        assert found.ask().body == b"answer" and found.app.calls == 2


def test_two_heads_without_an_error_are_refused() -> None:
    def twice(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", list(FRESH))
        start_response("200 OK", list(FRESH))
        return []

    with site(twice) as found, pytest.raises(AssertionError, match="twice"):
        found.ask()


def test_an_application_without_a_head_is_told_so() -> None:
    with site(lambda environ, start_response: Body(b"x")) as found:
        with pytest.raises(RuntimeError, match="start_response"):
            found.ask()
        assert found.app.bodies[0].closed == 1


def test_no_field_of_one_connection_is_passed_on() -> None:
    headers = [*FRESH, ("Connection", "close"), ("Keep-Alive", "timeout=1"), ("X-Own", "1")]
    with site(says(b"answer", headers=headers)) as found:
        for answer in (found.ask(), found.ask()):
            assert answer["connection"] is None and answer["keep-alive"] is None and answer["x-own"] == "1"


def test_an_answer_without_a_body_is_stored() -> None:
    with site(says(status="204 No Content"), cache_status_codes={204}) as found:
        assert [(answer.line, answer["x-cache"]) for answer in (found.ask(), found.ask())] == [
            ("204 No Content", "MISS"), ("204 No Content", "HIT"),
        ]  # fmt: skip


# ---- Files ----


@pytest.mark.parametrize("size, calls", [(10, 1), (5000, 2)])
def test_a_file_is_stored_if_it_may_be_and_else_handed_to_the_server_as_it_is(size: int, calls: int) -> None:
    class Wrapper(FileWrapper):
        pass

    def file(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [*FRESH, ("Content-Length", str(size))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"x" * size), 100)
        return wrapped

    with site(file, max_body_size=1000) as found:
        result = found.middleware(environ_of(**{"wsgi.file_wrapper": Wrapper}), lambda *_: None)
        assert isinstance(result, Wrapper) == (size > 1000)
        assert b"".join(result) == b"x" * size
        result.close()  # type: ignore[attr-defined]
        assert found.app.bodies[0].filelike.closed
        assert found.ask(**{"wsgi.file_wrapper": Wrapper}).body == b"x" * size
        assert found.app.calls == calls


# ---- Methods, conditions, parts ----


def test_head_is_answered_from_the_answer_to_get() -> None:
    with site(says(b"answer")) as found:
        found.ask()
        head = found.ask("HEAD")
        assert (head.status, head.body, head["content-length"], head["x-cache"]) == (200, b"", "6", "HIT")
        assert found.app.calls == 1


def test_clients_conditions_are_kept_from_the_application_and_answered() -> None:
    with site(says(b"answer", headers=[*FRESH, ("ETag", '"a"')])) as found:
        miss = found.ask(HTTP_IF_NONE_MATCH='"a"')
        assert (miss.line, miss.body) == ("304 Not Modified", b"")
        assert "HTTP_IF_NONE_MATCH" not in found.app.asked[0] and found.app.bodies[0].closed == 1
        hit = found.ask(HTTP_IF_NONE_MATCH='"b", "a"')
        assert (hit.status, hit["x-cache"], hit["etag"]) == (304, "HIT", '"a"')
        assert found.ask().body == b"answer" and found.app.calls == 1


def test_a_part_of_what_is_stored_is_served_and_of_what_is_not_asked_for() -> None:
    with site(says(b"an", headers=[("Content-Range", "bytes 0-1/6")], status="206 Partial Content"), says(b"answer")) as found:
        part = found.ask(HTTP_RANGE="bytes=0-1")
        assert (part.status, found.app.asked[0]["HTTP_RANGE"]) == (206, "bytes=0-1")
        found.ask()
        hit = found.ask(HTTP_RANGE="bytes=2-3")
        assert (hit.status, hit.body, hit["content-range"], hit["x-cache"]) == (206, b"sw", "bytes 2-3/6", "HIT")


def test_what_is_stale_is_validated_and_renewed() -> None:
    renewed = [("Cache-Control", "max-age=600"), ("ETag", '"a"'), ("X-New", "1")]
    with site(says(b"answer", headers=[*FRESH, ("ETag", '"a"')]), says(status="304 Not Modified", headers=renewed)) as found:
        found.ask()
        found.now += 700
        again = found.ask()
        assert found.app.asked[1]["HTTP_IF_NONE_MATCH"] == '"a"'
        assert (again.line, again.body, again["x-new"], again["x-cache"]) == ("200 OK", b"answer", "1", "HIT")
        assert "fwd=stale; fwd-status=304" in (again["cache-status"] or "")
        assert found.ask()["x-cache"] == "HIT" and found.app.calls == 2


def test_a_304_about_another_answer_has_it_fetched() -> None:
    other = says(status="304 Not Modified", headers=[("ETag", '"b"')])
    with site(says(b"old", headers=[*FRESH, ("ETag", '"a"')]), other, says(b"new", headers=[*FRESH, ("ETag", '"b"')])) as found:
        found.ask()
        found.now += 700
        assert found.ask().body == b"new"
        assert "HTTP_IF_NONE_MATCH" not in found.app.asked[2]
        assert [body.closed for body in found.app.bodies] == [1, 1, 1]


def test_only_if_cached_is_answered_by_the_cache() -> None:
    with site() as found:
        assert found.ask(HTTP_CACHE_CONTROL="only-if-cached").line == "504 Gateway Timeout"
        assert found.app.calls == 0


# ---- Requests that change something ----


@pytest.mark.parametrize("status, gone", [("200 OK", True), ("303 See Other", True), ("400 Bad Request", False)])
def test_a_change_ends_what_is_stored_before_its_answer_begins(status: str, gone: bool) -> None:
    with site() as found:
        found.ask()
        sizes: List[int] = []

        def change(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response(status, [])
            sizes.append(len(list(found.cache.keys("http:"))))
            return [b"done"]

        found.app.answers = (says(b"answer"), change, says(b"anew"))
        assert found.ask("POST").body == b"done"
        assert (sizes == [0]) is gone
        assert found.ask().body == (b"anew" if gone else b"answer")


# ---- What a request is ----


@pytest.mark.parametrize(
    "told, raw, path",
    [
        ({"PATH_INFO": "/a b"}, b"/a%20b", "/a b"),
        ({"PATH_INFO": "/\xc3\xa9"}, b"/%C3%A9", "/é"),
        ({"PATH_INFO": "/a/b", "REQUEST_URI": "/a%2Fb?x=1"}, b"/a%2Fb", "/a/b"),
        ({"PATH_INFO": "/a/b", "RAW_URI": "http://example.org/a%2fb"}, b"/a%2fb", "/a/b"),
        ({"PATH_INFO": "/a", "RAW_URI": "/other"}, b"/a", "/a"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/a"}, b"/app/a", "/app/a"),
        ({"PATH_INFO": "", "SCRIPT_NAME": ""}, b"/", "/"),
    ],
)
def test_the_path_is_the_one_that_the_application_sees(told: Dict[str, Any], raw: bytes, path: str) -> None:
    request = request_of(environ_of(**{"path": "/", **{name: value for name, value in told.items()}}))
    assert (request.raw_path, request.path) == (raw, path)


def test_fields_come_from_variables() -> None:
    request = request_of(environ_of(HTTP_X_OWN="a,b", CONTENT_TYPE="text/plain", CONTENT_LENGTH="", HTTP_CONTENT_LENGTH="9"))
    assert request.headers.combined(b"x-own") == b"a,b"
    assert request.headers.combined(b"content-type") == b"text/plain"
    assert b"content-length" not in request.headers


def test_a_request_without_host_is_for_the_servers_name() -> None:
    environ = environ_of(SERVER_NAME="::1", SERVER_PORT="8080")
    del environ["HTTP_HOST"]
    assert request_of(environ).authority == b"[::1]:8080"


def test_requests_with_a_body_or_for_another_protocol_pass() -> None:
    with site() as found:
        for variables in (
            {"CONTENT_LENGTH": "1"},
            {"HTTP_TRANSFER_ENCODING": "chunked"},
            {"HTTP_UPGRADE": "h2c"},
            {"HTTP_CACHE_CONTROL": "no-store"},
        ):
            assert found.ask(**variables)["x-cache"] is None
        assert found.app.calls == 4 and found.stats()["middleware_stats"]["cache_skips"] == 4
