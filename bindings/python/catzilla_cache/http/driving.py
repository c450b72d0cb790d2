"""Requests that are made in this process, without a server and a network: by which a middleware fills its cache itself."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any, Awaitable, Callable, Dict, List, Mapping, MutableMapping, Tuple
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from catzilla_cache.http.response import Headers, Response

Message = MutableMapping[str, Any]

# What is not visible ASCII has to be encoded; what is encoded already stays so.
_SAFE = "/:?#[]@!$&'()*+,;=~%"


async def ask_asgi(app: Callable[..., Awaitable[None]], url: str, headers: Mapping[str, str]) -> Response:
    """What an ASGI application answers to GET."""
    parts = urlsplit(url)
    raw_path, query = _target(parts)
    fields = [(b"host", parts.netloc.encode()), *((name.lower().encode(), value.encode()) for name, value in headers.items())]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": parts.scheme, "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"), "raw_path": raw_path.encode(),
        "query_string": query.encode(), "root_path": "", "headers": fields, "client": ("127.0.0.1", 0), "server": _server(parts), "state": {},
    }  # fmt: skip
    head: Dict[str, Any] = {}
    pieces: List[bytes] = []
    is_asked, is_over = False, asyncio.Event()

    async def receive() -> Message:
        nonlocal is_asked
        if not is_asked:
            is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await is_over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            head.update(message)
        elif message["type"] == "http.response.body":
            pieces.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                is_over.set()

    await app(scope, receive, send)
    lines = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in head.get("headers", ())]
    return Response(head["status"], Headers(lines), b"".join(pieces))


def ask_wsgi(app: Callable[..., Any], url: str, headers: Mapping[str, str]) -> Response:
    """What a WSGI application answers to GET."""
    parts = urlsplit(url)
    raw_path, query = _target(parts)
    host, port = _server(parts)
    environ: Dict[str, Any] = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"), "QUERY_STRING": query,
        "SERVER_NAME": host, "SERVER_PORT": str(port), "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": parts.netloc, "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": parts.scheme, "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    head: List[Any] = []
    pieces: List[bytes] = []

    def start_response(status: str, lines: List[Tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        head[:] = [int(status.split(" ", 1)[0]), lines]
        return pieces.append

    chunks = app(environ, start_response)
    try:
        pieces.extend(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    return Response(head[0], Headers(head[1]), b"".join(pieces))


def _target(parts: SplitResult) -> Tuple[str, str]:
    return quote(parts.path or "/", safe=_SAFE), quote(parts.query, safe=_SAFE)


def _server(parts: SplitResult) -> Tuple[str, int]:
    return parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80)
