"""What the tests of the WSGI middleware share: an application that answers as it was told, a server without a network, and a clock moved by hand."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from catzilla_cache import SmartCache, SmartCacheConfig, _workers
from catzilla_cache.cache_middleware import WSGICacheMiddleware

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
