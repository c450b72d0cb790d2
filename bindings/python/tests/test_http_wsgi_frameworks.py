"""The WSGI middleware in front of Flask and Django, and behind a server with threads."""

from __future__ import annotations

import contextlib
import http.client
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from socketserver import ThreadingMixIn
from typing import Any, Dict, Iterable, Iterator, List, Tuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import WSGICacheMiddleware
from wsgi_site import FRESH, PATIENCE_SECONDS, drive, environ_of, site


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
