"""The HTTP cache in a uvicorn of its own process, asked over real sockets by a real client.

Shows on the wire what the other modules show in process: streaming, HEAD, 304, parts, connections that are kept, clients that go
away, and one request to the application for many clients.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import signal
import socket
import time
from typing import Any, Dict, Iterator, List

import pytest

import web_server
from conftest import missing

# Far beyond what anything takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 120.0

APPLICATION = """
import asyncio, collections, json
from urllib.parse import unquote

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import CacheMiddleware

BODY = bytes(range(256)) * 256
calls = collections.Counter()
released = collections.defaultdict(asyncio.Event)


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    path, query = scope["path"], unquote(scope["query_string"].decode())
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)

    async def answer(status, fields, pieces):
        head = [(name.encode(), value.encode()) for name, value in fields]
        await send({"type": "http.response.start", "status": status, "headers": head})
        for piece in pieces:
            if isinstance(piece, bytes):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            else:
                await piece.wait()
        await send({"type": "http.response.body", "body": b""})

    async def tell(value):
        await answer(200, [("cache-control", "no-store"), ("content-type", "application/json")], [json.dumps(value).encode()])

    if path == "/up":
        await tell(True)
    elif path == "/calls":
        await tell(calls[query])
    elif path == "/requests":
        await tell(cached.get_stats()["middleware_stats"]["total_requests"])
    elif path == "/release":
        released[query].set()
        await tell(True)
    else:
        calls[path] += 1
        fields = [("cache-control", "max-age=600"), ("content-type", "application/octet-stream"), ("link", "</a>"), ("link", "</b>")]
        if path.startswith("/held"):
            await released[path].wait()
            await answer(200, fields, [b"held %d" % calls[path]])
        elif path.startswith("/stream"):
            await answer(200, fields, [BODY, released[path], BODY[::-1]])
        elif scope["method"] == "POST":
            await answer(200, [("content-length", str(len(body)))], [body])
        elif path.startswith("/validated"):
            known = dict(scope["headers"]).get(b"if-none-match")
            fields = [("cache-control", "no-cache"), ("etag", '"v1"')]
            await (answer(304, fields, []) if known == b'"v1"' else answer(200, fields, [b"validated"]))
        else:
            await answer(200, [*fields, ("content-length", str(len(BODY)))], [BODY] if scope["method"] != "HEAD" else [])


cached = CacheMiddleware(application, cache_instance=SmartCache(SmartCacheConfig(memory_capacity=1000)))
"""
BODY = bytes(range(256)) * 256


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[web_server.WebServer]:
    for module in ("uvicorn", "httpx"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} (PyPI)")
    folder = tmp_path_factory.mktemp("sockets")
    (folder / "application.py").write_text(APPLICATION)
    arguments = ["uvicorn", "--port", "PORT", "--log-level", "warning", "--lifespan", "off", "application:cached"]
    with web_server.running(folder, arguments, "/up") as running:
        yield running
        status, said = running.stop()
        # It ends by the very signal that it was sent.
        assert (status, said) in [(-signal.SIGTERM, ""), (0, "")], said


@pytest.fixture
def client(server: web_server.WebServer) -> Iterator[Any]:
    import httpx

    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE_SECONDS, trust_env=False) as client:
        yield client


def calls(client: Any, path: str) -> int:
    return int(client.get(f"/calls?{path}").json())


def test_an_answer_is_cached_byte_for_byte_and_field_for_field(client: Any) -> None:
    first, second = client.get("/plain"), client.get("/plain")
    assert (first.headers["x-cache"], second.headers["x-cache"], calls(client, "/plain")) == ("MISS", "HIT", 1)
    assert first.content == second.content == BODY
    assert second.headers.get_list("link") == ["</a>", "</b>"]
    assert int(second.headers["age"]) >= 0 and second.headers["cache-status"].startswith("catzilla; hit; ttl=")
    said = ("cache-control", "content-type", "content-length", "link")
    assert [pair for pair in first.headers.multi_items() if pair[0] in said] == [
        pair for pair in second.headers.multi_items() if pair[0] in said
    ]


def test_a_stream_arrives_as_it_is_made_and_is_stored(client: Any) -> None:
    with client.stream("GET", "/stream") as answer:
        pieces = answer.iter_raw()
        got = b""
        while len(got) < len(BODY):
            got += next(pieces)
        # The second half is not made before it is asked for, on another connection.
        assert got == BODY
        assert client.get("/release?/stream").json() is True
        assert got + b"".join(pieces) == BODY + BODY[::-1]
    again = client.get("/stream")
    assert (again.headers["x-cache"], again.content, calls(client, "/stream")) == ("HIT", BODY + BODY[::-1], 1)


def test_head_conditions_and_parts_are_answered_on_one_connection(server: web_server.WebServer, client: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)

    def ask(method: str, fields: Dict[str, str]) -> "tuple[int, Any, bytes]":
        connection.request(method, "/kept", headers=fields)
        answer = connection.getresponse()
        body = answer.read()
        # A body where none belongs, or none where one was told, would be read as the next answer.
        return answer.status, answer, body

    assert ask("GET", {})[2] == BODY
    used = connection.sock
    status, head, body = ask("HEAD", {})
    assert (status, body, head.getheader("content-length")) == (200, b"", str(len(BODY)))
    etag = head.getheader("etag")
    assert etag
    assert ask("GET", {"If-None-Match": etag})[::2] == (304, b"")
    assert ask("HEAD", {"If-None-Match": etag})[::2] == (304, b"")
    status, part, body = ask("GET", {"Range": "bytes=10-19"})
    assert (status, body, part.getheader("content-range")) == (206, BODY[10:20], f"bytes 10-19/{len(BODY)}")
    assert ask("GET", {"Range": "bytes=10-19", "If-Range": etag})[0] == 206
    assert ask("GET", {"Range": "bytes=10-19", "If-Range": '"other"'})[2] == BODY
    status, part, body = ask("GET", {"Range": "bytes=0-0,-1"})
    assert status in (200, 206)
    assert ask("GET", {"Range": f"bytes={len(BODY)}-"})[0] == 416
    assert ask("GET", {})[2] == BODY
    assert connection.sock is used, "the connection was kept"
    connection.close()
    assert calls(client, "/kept") == 1


def test_requests_that_come_in_one_piece_are_answered_in_their_order(server: web_server.WebServer, client: Any) -> None:
    lines = [
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "If-None-Match: *\r\n"),
        ("GET", "Range: bytes=0-3\r\n"),
        ("GET", "Connection: close\r\n"),
    ]
    sent = "".join(f"{method} /piped HTTP/1.1\r\nHost: a\r\n{more}\r\n" for method, more in lines).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(sent)
        statuses = []
        with connection.makefile("rb") as stream:
            for method, _ in lines:
                answer = http.client.HTTPResponse(_Unclosed(stream), method=method)  # type: ignore[arg-type]
                answer.begin()
                statuses.append((answer.status, len(answer.read())))
            assert stream.read() == b"", "nothing is left on the wire"
    assert statuses == [(200, len(BODY)), (200, 0), (304, 0), (206, 4), (200, len(BODY))]
    assert calls(client, "/piped") == 1


class _Unclosed:
    """What an ``HTTPResponse`` reads from, which it would close."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> Any:
        return self

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def test_a_client_that_goes_away_in_the_middle_spoils_nothing(server: web_server.WebServer, client: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"GET /stream-left HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    client.get("/release?/stream-left")
    for _ in range(2):
        assert client.get("/stream-left").content == BODY + BODY[::-1]
    assert calls(client, "/stream-left") <= 2


def test_a_request_body_that_waits_for_leave_to_come_reaches_the_application(server: web_server.WebServer, client: Any) -> None:
    client.get("/changed")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as connection:
        head = b"POST /changed HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
        connection.sendall(head % server.port)
        with connection.makefile("rb") as stream:
            assert stream.readline().startswith(b"HTTP/1.1 100")
            connection.sendall(b"body")
            assert stream.read().endswith(b"\r\n\r\nbody")
    # What it has changed is asked for anew.
    assert client.get("/changed").headers["x-cache"] == "MISS"


def test_what_must_be_validated_is_on_each_request(client: Any) -> None:
    for calls_until_now in (1, 2, 3):
        answer = client.get("/validated")
        assert (answer.status_code, answer.content, calls(client, "/validated")) == (200, b"validated", calls_until_now)
    assert client.get("/validated", headers={"If-None-Match": '"v1"'}).status_code == 304
    assert client.get("/nothing", headers={"Cache-Control": "only-if-cached"}).status_code == 504


def test_two_hundred_clients_at_once_reach_the_application_once(server: web_server.WebServer, client: Any) -> None:
    import httpx

    many = 200

    async def herd() -> List[Any]:
        limits = httpx.Limits(max_connections=many)
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=limits, trust_env=False) as clients:
            before = (await clients.get("/requests")).json()
            asking = [asyncio.ensure_future(clients.get("/held")) for _ in range(many)]
            deadline, looks = time.monotonic() + PATIENCE_SECONDS, 0
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False) as other:
                while (await other.get("/requests")).json() < before + many + looks + 1:
                    looks += 1
                    assert time.monotonic() < deadline
                # All are there, and one of them has reached the application.
                assert (await other.get("/calls?/held")).json() == 1
                await other.get("/release?/held")
            return list(await asyncio.gather(*asking))

    answers = asyncio.run(herd())
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"held 1")}
    assert calls(client, "/held") == 1
