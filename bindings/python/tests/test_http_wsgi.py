"""The WSGI middleware: driven as a server drives it, behind Flask and Django, and over sockets with threads."""

from __future__ import annotations

import contextlib
import http.client
import io
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from socketserver import ThreadingMixIn
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig, _workers
from catzilla_cache.cache_middleware import WSGICacheMiddleware
from catzilla_cache.http.wsgi import request_of

# Far beyond what anything takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 120.0
FRESH = [("Content-Type", "text/plain"), ("Cache-Control", "max-age=600")]


class Broken(Exception):
    pass


class Body:
    """An iterable of chunks that counts how often it is closed. An exception among them is raised, anything callable is called."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for step in self.steps:
            if isinstance(step, BaseException):
                raise step
            if callable(step):
                step()
            else:
                yield step

    def close(self) -> None:
        self.closed += 1


class App:
    """A WSGI application that answers as it was told, the last answer again and again, and keeps what it was asked."""

    def __init__(self, *answers: Callable[[Dict[str, Any], Any], Iterable[bytes]]) -> None:
        self.answers = answers
        self.asked: List[Dict[str, Any]] = []
        self.bodies: List[Any] = []

    def __call__(self, environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.asked.append(environ)
        body = self.answers[min(len(self.asked), len(self.answers)) - 1](environ, start_response)
        self.bodies.append(body)
        return body

    @property
    def calls(self) -> int:
        return len(self.asked)


def says(*steps: Any, status: str = "200 OK", headers: Optional[Sequence[Tuple[str, str]]] = None) -> Any:
    """An answer with these chunks."""

    def answer(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, list(FRESH if headers is None else headers))
        return Body(*steps)

    return answer


class Answer:
    def __init__(self, status: str, headers: List[Tuple[str, str]], chunks: List[bytes]) -> None:
        self.line, self.status = status, int(status[:3])
        self.headers, self.chunks, self.body = headers, chunks, b"".join(chunks)

    def __getitem__(self, name: str) -> Optional[str]:
        found = [value for each, value in self.headers if each.lower() == name]
        assert len(found) < 2, found
        return found[0] if found else None


def environ_of(method: str = "GET", path: str = "/", query: str = "", **more: Any) -> Dict[str, Any]:
    return {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "example.org", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
        **more,
    }  # fmt: skip


def drive(app: Any, environ: Dict[str, Any], take: Optional[int] = None) -> Answer:
    """Does what a server does. ``take``: how many chunks the client takes before it goes away."""
    head: List[Any] = []
    sent: List[bytes] = []

    def start_response(status: str, headers: List[Tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        if exc_info is not None:
            try:
                if sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        else:
            assert not head, "start_response was called twice"
        assert all(type(name) is str and type(value) is str for name, value in headers)
        head[:] = [status, headers]
        return sent.append

    result = app(environ, start_response)
    try:
        for chunk in result:
            assert head, "a chunk came before the head"
            if chunk:
                sent.append(chunk)
            if take is not None and len(sent) >= take:
                break
    finally:
        if hasattr(result, "close"):
            result.close()
    return Answer(head[0], head[1], sent)


class Site:
    def __init__(self, app: App, cache: SmartCache, **parameters: Any) -> None:
        self.app, self.cache, self.now = app, cache, 1_800_000_000.0
        self.middleware = WSGICacheMiddleware(app, cache_instance=cache, clock=lambda: self.now, **parameters)

    def ask(self, method: str = "GET", path: str = "/", query: str = "", take: Optional[int] = None, **more: Any) -> Answer:
        return drive(self.middleware, environ_of(method, path, query, **more), take)

    def stats(self) -> Dict[str, Any]:
        return self.middleware.get_stats()


@contextlib.contextmanager
def site(*answers: Any, **parameters: Any) -> Iterator[Site]:
    app = App(*(answers or (says(b"answer"),)))
    with SmartCache(SmartCacheConfig(memory_capacity=1000)) as cache:
        yield Site(app, cache, **parameters)


def settle() -> None:
    """Waits for all that goes on behind the answers: tasks that take every thread there is meet when they have run."""
    for pool, threads in ((_workers.refreshers(), 4), (_workers.callers(), 10)):
        meeting = threading.Barrier(threads)
        for done in [pool.submit(meeting.wait, PATIENCE_SECONDS) for _ in range(threads)]:
            done.result()


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


# ---- Failures ----


@pytest.mark.parametrize(
    "failure", [says(Broken()), says(b"sorry", status="503 Busy", headers=[]), None], ids=["in its body", "by its status", "at once"]
)
def test_a_failure_is_covered_by_what_is_stored(failure: Any) -> None:
    def fails(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise Broken

    with site(says(b"answer", headers=[("Cache-Control", "max-age=10, stale-if-error=600")]), failure or fails) as found:
        found.ask()
        found.now += 60
        covered = found.ask()
        assert (covered.status, covered.body) == (200, b"answer")
        assert "stale-if-error" in (covered["cache-status"] or "")
        assert all(body.closed == 1 for body in found.app.bodies)


def test_a_failure_without_anything_stored_is_the_applications() -> None:
    with site(says(Broken()), says(b"answer")) as found:
        with pytest.raises(Broken):
            found.ask()
        assert found.app.bodies[0].closed == 1
        assert found.ask().body == b"answer"


def test_a_generator_of_keys_that_fails_is_no_failure_of_the_request() -> None:
    def generator(request: Any) -> str:
        raise Broken

    with site(custom_key_generator=generator) as found:
        assert [found.ask().body for _ in range(2)] == [b"answer", b"answer"]
        assert found.stats()["http_stats"]["cache_errors"] == 2


# ---- In the background ----


def test_what_is_stale_is_served_while_it_is_fetched_anew() -> None:
    seen: List[bytes] = []

    def anew(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(environ["wsgi.input"].read())
        return says(b"new")(environ, start_response)  # type: ignore[no-any-return]

    old = says(b"old", headers=[("Cache-Control", "max-age=10, stale-while-revalidate=600"), ("ETag", '"a"')])
    with site(old, anew) as found:
        found.ask(HTTP_X_OWN="1")
        found.now += 60
        stale = found.ask(HTTP_X_OWN="1", HTTP_RANGE="bytes=0-1", CONTENT_TYPE="text/plain")
        assert (stale.status, stale.body) == (206, b"ol")
        settle()
        asked = found.app.asked[1]
        assert (asked["REQUEST_METHOD"], asked["HTTP_X_OWN"], asked["HTTP_IF_NONE_MATCH"], seen) == ("GET", "1", '"a"', [b""])
        assert not {"HTTP_RANGE", "CONTENT_TYPE"} & set(asked)
        assert found.ask(HTTP_X_OWN="1").body == b"new"
        assert found.app.calls == 2 and found.app.bodies[1].closed == 1


def test_a_refresh_that_fails_is_counted_and_tried_again() -> None:
    old = says(b"old", headers=[("Cache-Control", "max-age=10, stale-while-revalidate=600")])
    with site(old, says(Broken()), says(b"new")) as found:
        found.ask()
        found.now += 60
        assert found.ask().body == b"old"
        settle()
        assert found.stats()["http_stats"]["failed_refreshes"] == 1
        assert found.ask().body == b"old"
        settle()
        assert found.ask().body == b"new"


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
        for variables in ({"CONTENT_LENGTH": "1"}, {"HTTP_TRANSFER_ENCODING": "chunked"}, {"HTTP_UPGRADE": "h2c"}, {"HTTP_CACHE_CONTROL": "no-store"}):
            assert found.ask(**variables)["x-cache"] is None
        assert found.app.calls == 4 and found.stats()["middleware_stats"]["cache_skips"] == 4


# ---- Many at once ----


def test_threads_that_ask_for_the_same_wait_for_one_of_them() -> None:
    gate, begun = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun.set()
        assert gate.wait(PATIENCE_SECONDS)
        return says(b"one, ", b"two")(environ, start_response)  # type: ignore[no-any-return]

    with site(held) as found, ThreadPoolExecutor(16) as threads:
        asking = [threads.submit(found.ask) for _ in range(16)]
        assert begun.wait(PATIENCE_SECONDS)
        gate.set()
        answers = [done.result(PATIENCE_SECONDS) for done in asking]
        assert {answer.body for answer in answers} == {b"one, two"} and found.app.calls == 1
        assert sum(answer["x-cache"] == "MISS" for answer in answers) == 1


@pytest.mark.parametrize("first", [says(Broken()), says(b"half", Broken())], ids=["before its answer", "within its body"])
def test_a_request_that_fails_hands_over_to_one_that_waits(first: Any) -> None:
    gate, waiting = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        waiting.set()
        assert gate.wait(PATIENCE_SECONDS)
        return first(environ, start_response)  # type: ignore[no-any-return]

    with site(held, says(b"answer")) as found, ThreadPoolExecutor(8) as threads:
        failing = threads.submit(found.ask)
        assert waiting.wait(PATIENCE_SECONDS)
        asking = [threads.submit(found.ask) for _ in range(7)]
        gate.set()
        with pytest.raises(Broken):
            failing.result(PATIENCE_SECONDS)
        assert {done.result(PATIENCE_SECONDS).body for done in asking} == {b"answer"}
        assert found.app.calls == 2


def test_who_waits_for_an_application_that_fails_gets_the_stale_answer_too() -> None:
    gate, waiting = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        waiting.set()
        assert gate.wait(PATIENCE_SECONDS)
        raise Broken

    with site(says(b"old", headers=[("Cache-Control", "max-age=10, stale-if-error=600")]), held) as found:
        found.ask()
        found.now += 60
        with ThreadPoolExecutor(8) as threads:
            asking = [threads.submit(found.ask)]
            assert waiting.wait(PATIENCE_SECONDS)
            key = next(iter(found.middleware._flights._flights))
            flight = found.middleware._flights._flights[key]
            asking += [threads.submit(found.ask) for _ in range(7)]
            while len(flight._future._condition._waiters) < 7:  # type: ignore[attr-defined]
                threading.Event().wait(0.001)
            gate.set()
            assert {done.result(PATIENCE_SECONDS).body for done in asking} == {b"old"}
        assert found.app.calls == 2


def test_who_waits_for_an_answer_that_nobody_else_may_have_asks_for_its_own() -> None:
    with site(says(b"answer", headers=[("Cache-Control", "no-store")])) as found, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: found.ask(), range(8)))
        assert {answer["x-cache"] for answer in answers} == {"MISS"} and found.app.calls == 8


def test_nobody_waits_longer_than_the_deadline() -> None:
    gate, begun = threading.Event(), threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        begun.set()
        assert gate.wait(PATIENCE_SECONDS)
        return says(b"late")(environ, start_response)  # type: ignore[no-any-return]

    with site(held, says(b"own"), wait_timeout=0.01) as found, ThreadPoolExecutor(2) as threads:
        late = threads.submit(found.ask)
        assert begun.wait(PATIENCE_SECONDS)
        assert found.ask().body == b"own"
        gate.set()
        assert late.result(PATIENCE_SECONDS).body == b"late"


def test_an_application_may_ask_itself() -> None:
    with site() as found:

        def asks(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if "HTTP_X_INNER" in environ:
                return says(b"inner")(environ, start_response)  # type: ignore[no-any-return]
            inner = drive(found.middleware, environ_of(HTTP_X_INNER="1"))
            return says(b"outer of ", inner.body)(environ, start_response)  # type: ignore[no-any-return]

        found.app.answers = (asks,)
        assert found.ask().body == b"outer of inner"


def test_an_answer_that_is_forgotten_holds_nobody_up() -> None:
    with site() as found:
        # A server that neither takes it nor closes it.
        found.middleware(environ_of(), lambda *_: None)
        assert found.ask().body == b"answer"


# ---- In front of frameworks, behind servers ----


def test_flask() -> None:
    flask = pytest.importorskip("flask")
    app = flask.Flask(__name__)
    runs: List[str] = []

    @app.get("/page/<name>")
    def page(name: str) -> Any:
        runs.append(name)
        response = flask.make_response({"name": name, "runs": len(runs)})
        response.headers["Cache-Control"] = "public, max-age=60"
        return response

    @app.get("/stream")
    def stream() -> Any:
        runs.append("stream")
        return flask.Response((piece for piece in ("one, ", "two")), headers={"Cache-Control": "max-age=60"})

    @app.post("/page/<name>")
    def change(name: str) -> Any:
        return "", 204

    @app.get("/login")
    def login() -> Any:
        response = flask.make_response("hello")
        response.set_cookie("session", "secret")
        return response

    with SmartCache(SmartCacheConfig(memory_capacity=100)) as cache:
        app.wsgi_app = WSGICacheMiddleware(app.wsgi_app, cache_instance=cache)
        client = app.test_client()
        first, second = client.get("/page/a"), client.get("/page/a")
        assert first.json == second.json == {"name": "a", "runs": 1}
        assert (first.headers["X-Cache"], second.headers["X-Cache"], second.content_type) == ("MISS", "HIT", "application/json")
        assert client.get("/page/a", headers={"If-None-Match": second.headers["ETag"]}).status_code == 304
        assert client.head("/page/a").headers["Content-Length"] == str(len(first.data))
        assert [client.get("/stream").data for _ in range(2)] == [b"one, two"] * 2 and runs.count("stream") == 1
        assert client.post("/page/a").status_code == 204
        assert client.get("/page/a").json["runs"] == 3
        for _ in range(2):
            answer = app.test_client().get("/login")
            assert answer.headers["X-Cache"] == "MISS" and "session=secret" in answer.headers["Set-Cookie"]


def test_django() -> None:
    django = pytest.importorskip("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x" * 50, USE_TZ=True)
        django.setup()
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.signals import request_finished
    from django.http import HttpResponse, StreamingHttpResponse
    from django.test import override_settings
    from django.urls import path
    import types

    runs: List[str] = []

    def page(request: Any, name: str) -> Any:
        runs.append(name)
        if request.method == "POST":
            return HttpResponse(status=204)
        if name == "stream":
            return StreamingHttpResponse(iter([b"one, ", b"two"]), headers={"Cache-Control": "max-age=60"})
        return HttpResponse(f"grüße {len(runs)}", headers={"Cache-Control": "max-age=60"})

    urls = types.ModuleType("catzilla_cache_test_urls")
    urls.urlpatterns = [path("page/<str:name>", page)]  # type: ignore[attr-defined]
    finished: List[object] = []

    def note(sender: object, **_: Any) -> None:
        finished.append(sender)

    request_finished.connect(note)
    try:
        with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=[]), SmartCache(SmartCacheConfig(memory_capacity=100)) as cache:
            app = WSGICacheMiddleware(WSGIHandler(), cache_instance=cache)
            answers = [drive(app, environ_of(path="/page/\xc3\xa9")) for _ in range(2)]
            assert [answer.body for answer in answers] == ["grüße 1".encode()] * 2
            assert [answer["x-cache"] for answer in answers] == ["MISS", "HIT"] and runs == ["é"]
            assert len(finished) == 1, "Django ends a request when its body is closed"
            assert [drive(app, environ_of(path="/page/stream")).body for _ in range(2)] == [b"one, two"] * 2
            assert runs == ["é", "stream"] and len(finished) == 2
            drive(app, environ_of("POST", "/page/\xc3\xa9"))
            assert drive(app, environ_of(path="/page/\xc3\xa9")).body == "grüße 4".encode()
    finally:
        request_finished.disconnect(note)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # So many connections may wait to be taken up.
    request_queue_size = 128


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, server_class=_Server, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fetch(port: int, path: str = "/", method: str = "GET", **headers: str) -> Tuple[int, Dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_over_sockets_fifty_clients_at_once_reach_the_application_once() -> None:
    gate = threading.Event()

    def held(environ: Dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert gate.wait(PATIENCE_SECONDS)
        start_response("200 OK", list(FRESH))
        return [b"answer"]

    with site(held) as found, served(found.middleware) as port, ThreadPoolExecutor(50) as threads:
        asking = [threads.submit(fetch, port) for _ in range(50)]
        gate.set()
        answers = [done.result(PATIENCE_SECONDS) for done in asking]
        assert {(status, body) for status, _, body in answers} == {(200, b"answer")} and found.app.calls == 1
        status, headers, body = fetch(port, method="HEAD")
        assert (status, headers["content-length"], headers["x-cache"], body) == (200, "6", "HIT", b"")
        assert fetch(port, If_None_Match=headers["etag"])[0] == 304
