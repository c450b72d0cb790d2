"""A caching reverse proxy: the HTTP cache in front of any server. Needs httpx and uvicorn.

    PYTHONPATH=bindings/python python3 examples/python/caching_proxy.py http://127.0.0.1:8000 --port 8080
    curl -i http://127.0.0.1:8080/

    --host, --port          where it listens; port 0 takes a free one
    --upstream-host         send the upstream's own name as Host; otherwise Host stays as the client sent it
    --timeout SECONDS       how long the upstream may take to be reached, and to go on answering
    --disk FOLDER           keep responses on disk, too; a restart finds them
    --redis URL             share responses with other proxies
    --capacity COUNT        how many responses are kept in memory
    --default-ttl SECONDS   for responses that do not say how long they are fresh; 0: these are not stored
    --stale-if-error SECONDS  how long beyond its freshness a response may stand in for an upstream that fails, if it does not say
    --targeted FIELD        a field that wins over Cache-Control, such as CDN-Cache-Control; may be repeated
    --no-vary-search        honour the response field No-Vary-Search
    --pass-through          cache nothing

All methods but CONNECT go through, all status codes up to 599, and all fields as they are, byte for byte, except for those that
are about one connection. A request's body is not waited for, nor is a response's. Responses say in `X-Cache` and `Cache-Status`
what became of them in the cache. Prints, when it listens:

    http://127.0.0.1:8080 in front of http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import socket
import sys
from email.utils import formatdate
from typing import Any, AsyncIterator, Awaitable, Callable, List, MutableMapping, Optional, Sequence, Set, Tuple
from urllib.parse import unquote, urlsplit

import httpx
import uvicorn

from catzilla_cache.smart_cache import SmartCacheConfig

Fields = List[Tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: How the proxy calls itself in Via.
PSEUDONYM = b"catzilla-cache"

#: RFC 9110, 7.6.1: fields that are about one connection. `trailer` since no trailers are passed on.
HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
#: Fields for everybody on the way, which no Connection field can take away.
NOT_NOMINATED = {b"host", b"content-length"}

#: An idle connection is closed before the usual servers close it (Node: 5 s), so that no request meets one that is being closed.
IDLE_SECONDS = 2.0

#: What may be stored when it says itself how long it is fresh: whatever is whole and final (RFC 9111, 3).
STORABLE = set(range(200, 600)) - {206, 304}
#: And for a lifetime that this proxy gives: the codes that RFC 9110 calls cacheable, and the redirections beside them.
CACHEABLE = {200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501}


class ClientGone(Exception):
    """Nobody is there any more who would read the response."""


class UpstreamBroke(Exception):
    """The response ended before its end, when its beginning had been sent."""


def end_to_end(fields: Sequence[Tuple[bytes, bytes]]) -> Fields:
    """Without the fields of the connection that they came by: the known ones, and those that Connection names."""
    nominated: Set[bytes] = set()
    for name, value in fields:
        if name.lower() == b"connection":
            nominated.update(option.strip().lower() for option in value.split(b","))
    left_out = HOP_BY_HOP | (nominated - NOT_NOMINATED)
    return [(name.lower(), value) for name, value in fields if name.lower() not in left_out]


def first(fields: Sequence[Tuple[bytes, bytes]], wanted: bytes) -> Optional[bytes]:
    return next((value for name, value in fields if name.lower() == wanted), None)


class RequestBody(httpx.AsyncByteStream):
    """The client's body, passed on as it arrives; and who notices that the client leaves."""

    def __init__(self, receive: Receive, is_expected: bool) -> None:
        self.receive = receive
        self.is_read = asyncio.Event()
        if not is_expected:
            self.is_read.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self.is_read.is_set():
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                self.is_read.set()

    async def client_leaves(self) -> None:
        """Returns when it has left. Asks only after the body's end: until then the reader of the body finds out."""
        await self.is_read.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass


class Upstream:
    """An ASGI application that asks another server."""

    def __init__(self, url: str, *, sends_own_host: bool = False, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the upstream is an http:// or https:// URL, not {url!r}")
        self.url = httpx.URL(f"{parts.scheme}://{parts.netloc}")
        self.authority = self.url.netloc
        self.prefix = parts.path.rstrip("/").encode("ascii")
        self.sends_own_host = sends_own_host
        self.timeout = httpx.Timeout(timeout).as_dict()
        self.transport: Optional[httpx.AsyncHTTPTransport] = None

    async def start(self) -> None:
        # Not a client: that would follow redirections, keep cookies, add fields.
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=IDLE_SECONDS)
        self.transport = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    async def stop(self) -> None:
        if self.transport is not None:
            await self.transport.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Fields = list(scope["headers"])
        method: str = scope["method"]
        if method == "CONNECT":
            await answer(send, 501, "This proxy opens no tunnels.")
            return
        if method in ("TRACE", "OPTIONS"):
            hops = first(headers, b"max-forwards")
            if hops is not None and hops.isdigit():
                # RFC 9110, 7.6.2: the last one on the way answers itself.
                if int(hops) == 0:
                    await answer(send, 204 if method == "OPTIONS" else 501, "")
                    return
                headers = [
                    (name, b"%d" % (int(hops) - 1) if name == b"max-forwards" else value) for name, value in headers
                ]
        is_chunked = first(headers, b"transfer-encoding") is not None
        has_body = is_chunked or first(headers, b"content-length") not in (None, b"0")
        body = RequestBody(receive, has_body)
        request = httpx.Request(
            method,
            self.url,
            headers=self.request_fields(headers, scope["http_version"], is_chunked),
            stream=body,
            # The target as it was sent, which a URL would put into a form of its own.
            extensions={"timeout": self.timeout, "target": self.target(scope)},
        )
        # Names of methods are case-sensitive; httpx writes them large.
        request.method = method

        response = Passage(send, is_head=method == "HEAD")
        passing = asyncio.ensure_future(self.forward(request, response))
        leaving = asyncio.ensure_future(body.client_leaves())
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            # The server says that the client is gone also when all has been sent.
            if passing.done() or response.is_complete:
                with contextlib.suppress(ClientGone):
                    await passing
        finally:
            for task in (passing, leaving):
                task.cancel()
            await asyncio.gather(passing, leaving, return_exceptions=True)

    def target(self, scope: Scope) -> bytes:
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        if path != b"*":
            path = self.prefix + path
        query: bytes = scope["query_string"]
        return path + b"?" + query if query else path

    def request_fields(self, headers: Fields, version: str, is_chunked: bool) -> Fields:
        fields = end_to_end(headers)
        # The server here has said "100 Continue" when the body is read, which is what was expected.
        fields = [(name, value) for name, value in fields if (name, value.lower()) != (b"expect", b"100-continue")]
        if self.sends_own_host or first(fields, b"host") is None:
            fields = [(b"host", self.authority), *((name, value) for name, value in fields if name != b"host")]
        if is_chunked:
            # RFC 9112, 6.3: it wins over a length that somebody has also sent.
            fields = [(name, value) for name, value in fields if name != b"content-length"]
            fields.append((b"transfer-encoding", b"chunked"))
        return [*fields, (b"via", version.encode() + b" " + PSEUDONYM)]

    async def forward(self, request: httpx.Request, response: Passage) -> None:
        assert self.transport is not None, "the server has not said that it starts"
        try:
            answered = await self.transport.handle_async_request(request)
        except httpx.TimeoutException:
            await answer(response.send, 504, "The upstream did not answer in time.", is_head=response.is_head)
            return
        except httpx.LocalProtocolError as error:
            # Nothing that could be sent: the client's doing.
            await answer(response.send, 400, str(error), is_head=response.is_head)
            return
        except httpx.TransportError as error:
            await answer(response.send, 502, str(error) or "The upstream did not answer.", is_head=response.is_head)
            return
        try:
            await response.begin(answered)
            assert isinstance(answered.stream, httpx.AsyncByteStream)
            async for part in answered.stream:
                await response.go_on(part)
            await response.end()
        except httpx.TransportError as error:
            # It has begun, and can only be broken off: the server closes the connection, and the cache stores nothing.
            raise UpstreamBroke(f"the upstream broke off: {error!r}") from error
        finally:
            await answered.aclose()


class Passage:
    """A response on its way to the client."""

    def __init__(self, send: Send, is_head: bool) -> None:
        self.send = send
        self.is_head = is_head
        self.is_complete = False

    async def begin(self, answered: httpx.Response) -> None:
        status = answered.status_code
        fields = end_to_end(answered.headers.raw)
        if status in (204, 304):
            # A length of what is not sent: with 204 it is forbidden, and uvicorn takes it for a promise.
            fields = [(name, value) for name, value in fields if name != b"content-length"]
        if first(fields, b"date") is None:
            # RFC 9110, 6.6.1: who passes a response on says when it came, if nobody has.
            fields.append((b"date", formatdate(usegmt=True).encode()))
        version = answered.extensions.get("http_version", b"HTTP/1.1").partition(b"/")[2]
        fields.append((b"via", version + b" " + PSEUDONYM))
        if status > 599:
            # uvicorn has no line for it.
            await answer(self.send, 502, f"The upstream answered with status {status}.", is_head=self.is_head)
            self.is_complete = True
            return
        await self.send({"type": "http.response.start", "status": status, "headers": fields})

    async def go_on(self, part: bytes) -> None:
        if part and not self.is_complete:
            await self.send({"type": "http.response.body", "body": part, "more_body": True})

    async def end(self) -> None:
        if not self.is_complete:
            self.is_complete = True
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})


async def answer(send: Send, status: int, text: str, *, is_head: bool = False) -> None:
    """What the proxy says itself; nobody is to store it."""
    body = f"{text}\n".encode() if text else b""
    fields = [(b"cache-control", b"no-store"), (b"date", formatdate(usegmt=True).encode())]
    if status != 204:
        fields += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


def with_origin_form(app: App) -> App:
    """In front of the cache: a target in absolute form becomes a path, and its authority the Host (RFC 9112, 3.2.2)."""

    async def normalising(scope: Scope, receive: Receive, send: Send) -> None:
        raw_path: bytes = scope.get("raw_path") or b""
        if scope["type"] == "http" and raw_path[:1] not in (b"/", b"*", b""):
            absolute = re.fullmatch(rb"https?://([^/?#@]+)([^?#]*)", raw_path, re.IGNORECASE)
            if absolute is None:
                await answer(send, 400 if scope["method"] != "CONNECT" else 501, "The target is neither a path nor a URL.")
                return
            authority, path = absolute.group(1), absolute.group(2) or b"/"
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope = {**scope, "headers": [(b"host", authority), *others], "raw_path": path, "path": unquote(path.decode("latin-1"))}
        await app(scope, receive, send)

    return normalising


def with_lifespan(app: App, upstream: Upstream, close: Callable[[], Awaitable[None]]) -> App:
    """Opens the connections in the server's loop; closes them, and the cache, when the server has ended."""

    async def living(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await upstream.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await upstream.stop()
        await close()
        await send({"type": "lifespan.shutdown.complete"})

    return living


def cached(app: App, options: argparse.Namespace) -> Tuple[App, Callable[[], Awaitable[None]]]:
    """The cache in front of the upstream, and what closes it."""
    from catzilla_cache.cache_middleware import CacheMiddleware

    config = SmartCacheConfig(
        memory_capacity=options.capacity,
        disk_enabled=options.disk is not None,
        disk_path=options.disk or "",
        redis_enabled=options.redis is not None,
        redis_url=options.redis or "",
    )
    middleware = CacheMiddleware(
        app,
        config=config,
        default_ttl=options.default_ttl,
        stale_if_error=options.stale_if_error,
        cache_status_codes=CACHEABLE if options.default_ttl else STORABLE,
        # What an upstream means by its queries and what it looks at in a request, it says itself, in Vary.
        ignore_query_params=set(),
        cache_headers=set(),
        targeted_cache_control=tuple(options.targeted),
        no_vary_search=options.no_vary_search,
    )

    async def close() -> None:
        # Writes what waits for Redis or disk.
        await middleware.cache.aio.close()

    return middleware, close


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A caching reverse proxy.")
    parser.add_argument("upstream", help="the server behind it, such as http://127.0.0.1:8000")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--upstream-host", action="store_true", help="send the upstream's own name as Host")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--disk", metavar="FOLDER")
    parser.add_argument("--redis", metavar="URL")
    parser.add_argument("--capacity", type=int, default=10_000, metavar="COUNT")
    parser.add_argument("--default-ttl", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--stale-if-error", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--targeted", action="append", default=[], metavar="FIELD")
    parser.add_argument("--no-vary-search", action="store_true")
    parser.add_argument("--pass-through", action="store_true", help="cache nothing")
    return parser.parse_args(arguments)


def listening(host: str, port: int) -> socket.socket:
    """A socket for the server; made here, so that the port is known when it is 0."""
    # Named as TCP: asyncio only then sends each piece at once, instead of waiting for the one before to be acknowledged.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2048)
    return listener


def main(arguments: Sequence[str]) -> None:
    options = parsed(arguments)
    upstream = Upstream(options.upstream, sends_own_host=options.upstream_host, timeout=options.timeout)

    async def nothing_to_close() -> None:
        pass

    app, close = (upstream, nothing_to_close) if options.pass_through else cached(upstream, options)
    config = uvicorn.Config(
        with_lifespan(with_origin_form(app), upstream, close),
        # Both are the upstream's to say.
        date_header=False,
        server_header=False,
        # A request to change the protocol is answered in this one.
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="on",
    )
    listener = listening(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"http://{host}:{listener.getsockname()[1]} in front of {options.upstream}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1:])
