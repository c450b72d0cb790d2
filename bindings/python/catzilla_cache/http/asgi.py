"""The response cache as ASGI middleware: reads requests from scopes, runs the application, and sends what ``exchange`` says.

An answer is passed on as it comes, and collected meanwhile if it may be stored: never more than ``max_body_size`` of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, Dict, Mapping, MutableMapping, Optional, Sequence, Set, Tuple, Union
from urllib.parse import quote_from_bytes, unquote

from catzilla_cache.http.admin import AdminApp
from catzilla_cache.http.admission import SAFE_METHODS
from catzilla_cache.http.asgi_answer import Answer, NoBody, OnceMore, Receive, nowhere, send_response
from catzilla_cache.http.asgi_hits import from_memory_first
from catzilla_cache.http.asgi_outbox import Message, Send
from catzilla_cache.http.driving import ask_asgi
from catzilla_cache.http.decisions import Fetch, LookUp, Serve
from catzilla_cache.http.exchange import Exchange
from catzilla_cache.http.fields import Fields, lowered
from catzilla_cache.http.leading import Alone, Led, board
from catzilla_cache.http.message import Request
from catzilla_cache.http.middleware import ResponseCache
from catzilla_cache.http.response import Response
from catzilla_cache.http.shelf import logger
from catzilla_cache.http.steps import in_task
from catzilla_cache.http.stored import HEAD_ONLY, StoredResponse
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Ways to send a body past this middleware, which has to see it.
_PAST_US = ("http.response.pathsend", "http.response.zerocopysend")


class CacheMiddleware(ResponseCache):
    """Caches the answers of an ASGI application.

        app.add_middleware(CacheMiddleware, default_ttl=60)          Starlette, FastAPI
        app = CacheMiddleware(app, default_ttl=60)                   any other

    Parameters are in docs/http-cache.md. One instance may serve any number of event loops, one after the other or at the same time.
    """

    def __init__(
        self,
        app: Application,
        config: Optional[SmartCacheConfig] = None,
        cache_instance: Optional[SmartCache] = None,
        *,
        admin_path: str = "/-/cache",
        admin_token: Union[None, str, Sequence[str]] = None,
        **parameters: Any,
    ) -> None:
        super().__init__(config, cache_instance, **parameters)
        self.app = app
        #: Its administration, for those who know the token; None without one.
        self._admin = None if admin_token is None else AdminApp(self, admin_token)
        self._admin_path = admin_path.rstrip("/")
        #: Keys that are fetched anew in the background.
        self._refreshing: Set[bytes] = set()
        #: What goes on after a request is over; held here, since a loop holds its tasks weakly.
        self._tasks: Set["asyncio.Future[Any]"] = set()

    def renew_in_child(self) -> None:
        """In a forked child: there is no loop there."""
        super().renew_in_child()
        self._refreshing, self._tasks = set(), set()

    @from_memory_first
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has the application do it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._admin is not None and (scope["path"] + "/").startswith(self._admin_path + "/"):
            await self._admin({**scope, "root_path": self._admin_path}, receive, send)
            return
        self._counters.count("total_requests")
        request = request_of(scope)
        try:
            exchange = self._exchanges.begin(request)
        except Exception as error:
            # A program's own generator of keys, for one.
            self._shelf.fault(error)
            exchange = None
        if exchange is None:
            self._counters.count("cache_skips")
            await self._pass(request, scope, receive, send)
        else:
            await self._run(exchange, scope, receive, send)

    async def _pass(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that is not for the cache, but may say that something in it is out of date."""
        if request.method in SAFE_METHODS:
            await self.app(scope, receive, send)
            return

        async def heard(message: Message) -> None:
            if message["type"] == "http.response.start":
                urls = self._exchanges.invalidated(request, message["status"], lowered(message.get("headers", ())))
                if urls:
                    # Before the client knows: what it asks for next is the new state.
                    await self._shelf.invalidate_async(urls)
            await send(message)

        await self.app(scope, receive, heard)

    async def _run(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        step: Union[LookUp, Serve, Fetch, None] = exchange.start()
        while step is not None:
            if isinstance(step, LookUp):
                entry = await self._shelf.find_async(step.key)
                step = exchange.found(entry)
                if isinstance(step, Serve) and step.refresh and isinstance(entry, StoredResponse):
                    self._refresh(exchange, entry, scope)
            elif isinstance(step, Serve):
                await send_response(send, step)
                return
            else:
                step = await self._fetch(exchange, step, scope, receive, send)

    # ---- One request for all who want the same ----

    async def _fetch(
        self, exchange: Exchange, fetch: Fetch, scope: Scope, receive: Receive, send: Send
    ) -> Union[LookUp, Serve, Fetch, None]:
        """Asks the application, or waits for another request that does. None: the client has its answer."""
        turn = await in_task(board(self, exchange, fetch))
        if not isinstance(turn, (Alone, Led)):
            return turn
        await self._ask(exchange, fetch, turn, scope, receive, send)
        return None

    async def _ask(
        self, exchange: Exchange, fetch: Fetch, led: Union[Alone, Led], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Has the application answer, to the client; once more, if it has confirmed what is not stored."""
        answer = Answer(self, exchange, led, send)
        try:
            exchange.asking()
            await self.app(_asked(scope, fetch.fields, exchange.request.headers.fields, None), receive, answer)
        except Exception as error:
            stale = None if answer.has_begun else exchange.failed()
            if stale is None:
                await answer.fail()
                raise
            led.land(exchange.stored)
            led.leave()
            logger.warning("the application has failed, and what is stored is served in its place: %r", error)
            await send_response(send, stale)
            return
        except BaseException:
            answer.abandon()
            raise
        await answer.end()
        if answer.again is not None:
            await self._ask(exchange, answer.again, Alone(), scope, OnceMore(receive), send)

    # ---- In the background ----

    def _refresh(self, exchange: Exchange, stored: StoredResponse, scope: Scope) -> None:
        """Has a stale response fetched anew, unless that is under way."""
        key = exchange.key
        if key in self._refreshing:
            return
        self._refreshing.add(key)
        task = asyncio.ensure_future(self._fetch_anew(exchange.request, stored, key, scope))
        # Not at the end of the coroutine, which never begins if the task is cancelled before.
        task.add_done_callback(lambda _: self._refreshing.discard(key))
        self.keep_task(task)

    async def _fetch_anew(self, request: Request, stored: StoredResponse, key: bytes, scope: Scope) -> None:
        anew = request.anew(request.method if stored.flags & HEAD_ONLY else "GET")
        try:
            exchange = self._exchanges.begin(anew)
            if exchange is None:
                return
            fetch = exchange.refresh(stored, key)
            shared = self._flight_key(exchange, key)
            flight, leads = self._flights.board(shared)
            if not leads:
                return
            answer = Answer(self, exchange, Led(self, flight, shared), nowhere)
            try:
                exchange.asking()
                await self.app(_asked(scope, fetch.fields, anew.headers.fields, anew.method), NoBody(answer), answer)
            except BaseException:
                answer.abandon()
                raise
            await answer.end()
        except Exception as error:
            self._counters.count("failed_refreshes")
            logger.warning("a stale response could not be fetched anew: %r", error)

    def _asking_itself(self, headers: Mapping[str, str]) -> Callable[[str], Awaitable[Response]]:
        telling = self._telling()

        async def get(url: str) -> Response:
            return await ask_asgi(telling, url, headers)

        return get

    def keep_task(self, task: "asyncio.Future[Any]") -> None:
        """Holds a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def request_of(scope: Scope) -> Request:
    """The request that a scope describes."""
    fields = lowered(scope.get("headers", ()))
    path = scope.get("path", "/")
    authority = next((value for name, value in fields if name == b"host"), None)
    if authority is None:
        server = scope.get("server")
        authority = b"" if not server else _server(server)
    return Request(
        scope["method"], scope.get("scheme", "http"), authority, path, _raw_path(scope, path), scope.get("query_string", b"") or b"", fields
    )


def _raw_path(scope: Scope, path: str) -> bytes:
    """The path as it came over the wire, if it is that of the very path that the application sees; else as that would be written."""
    raw: Optional[bytes] = scope.get("raw_path")
    if raw and (raw.decode("latin-1") if b"%" not in raw else unquote(raw.decode("latin-1"))) == path:
        return raw
    root = scope.get("root_path", "")
    # In applications that are mounted the path may be what is left of it.
    whole = path if path.startswith(root) else root + path
    if raw and unquote(raw.decode("latin-1")) == whole:
        return raw
    # Somebody between may have rewritten it: another path is another answer.
    return quote_from_bytes(whole.encode("utf-8", "surrogateescape"), safe="/:@!$&'()*+,;=~").encode()


def _server(server: Tuple[str, Optional[int]]) -> bytes:
    host, port = server[0], server[1]
    name = f"[{host}]" if ":" in host else host
    return (f"{name}:{port}" if port else name).encode("latin-1", "replace")


def _asked(scope: Scope, fields: Fields, came: Fields, method: Optional[str]) -> Scope:
    """A request's scope as the application is given it, with these fields in place of those that came. The client's own where nothing
    in it has to change, since frameworks write into it."""
    extensions = scope.get("extensions") or {}
    is_bare = not any(name in extensions for name in _PAST_US)
    if method is None and is_bare and fields == came:
        return scope
    asked: Dict[str, Any] = dict(scope)
    asked["headers"] = fields
    if method is not None:
        # In the background: there is nobody to push anything to.
        asked["method"] = method
        asked["extensions"] = {}
    elif not is_bare:
        asked["extensions"] = {name: value for name, value in extensions.items() if name not in _PAST_US}
    return asked
