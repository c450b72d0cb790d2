"""The HTTP response cache in an application of the published Catzilla framework (0.2.3), whose documentation shows more than it has.

    from catzilla import Catzilla
    from catzilla_cache.cache_middleware import SmartCacheMiddleware
    from catzilla_cache.integrations.catzilla import install

    app = Catzilla()
    install(app, SmartCacheMiddleware(default_ttl=300))

``install(Catzilla)`` gives every application the documented ``add_middleware``; ``install(app)`` one.

The cache stands directly around each handler, behind all middlewares of the application and of the route: one of them may refuse a
request, and what is cached must not be had past it. What runs after handlers runs after hits, too.

The framework calls handlers that are no coroutines in the thread that serves all requests; there the cache never waits for another
request. It waits in the framework's event loop for those that are. Bodies are text there: what is none is not served from the cache.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import MutableMapping
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Callable, Coroutine, Iterator, List, Optional, Tuple

from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.hooks import SmartCacheMiddleware
from catzilla_cache.http.message import ViewedHeaders
from catzilla_cache.http.policy import DEFAULT_HEADERS, FORWARDING_FIELDS
from catzilla_cache.http.shapes import AskedFields
from catzilla_cache.http.shelf import logger

# What the framework's applications run handlers with; the cache is put around them.
_RUNS = ("_execute_handler_hybrid", "_execute_async_route_request", "_normalize_response_value")

# Request fields that are looked for when a middleware of a program's own kind does not say which are part of its keys.
_USUAL_FIELDS = tuple(sorted({*(name.encode() for name in DEFAULT_HEADERS), *FORWARDING_FIELDS, b"forwarded"}))


def install(app: Any, middleware: Any = None) -> None:
    """Puts a ``SmartCacheMiddleware`` (or what has its two hooks) around the handlers of an application, and gives it an
    ``add_middleware`` for more of them. Those that are put later stand outside."""
    if isinstance(app, type):
        if middleware is not None:
            raise CacheValueError("a middleware is installed in an application, not in its class")
        app.add_middleware = install  # type: ignore[attr-defined]
        _give_responses_headers()
        return
    for name in _RUNS:
        if not callable(getattr(app, name, None)):
            raise CacheValueError(f"install knows applications of Catzilla 0.2.3; this {type(app).__name__} has no {name}")
    if not hasattr(app, "add_middleware"):
        app.add_middleware = lambda middleware: install(app, middleware)
    _give_responses_headers()
    if middleware is None:
        return
    for name in ("process_request", "process_response"):
        if not callable(getattr(middleware, name, None)):
            raise CacheValueError(f"a middleware for install has process_request and process_response, not so {middleware!r}")
    installed: List[Any] = app.__dict__.setdefault("_catzilla_cache_installed", [])
    if any(each is middleware for each in installed):
        raise CacheValueError("this middleware is installed in this application already")
    installed.append(middleware)
    around = _Around(app, middleware)
    app._execute_handler_hybrid = around.run
    app._execute_async_route_request = around.run_async


class _Around:
    """One middleware around the handlers of one application."""

    def __init__(self, app: Any, middleware: Any) -> None:
        self._app = app
        self._middleware = middleware
        self._run = app._execute_handler_hybrid
        self._run_async = app._execute_async_route_request
        self._is_plain = isinstance(middleware, SmartCacheMiddleware) and all(
            getattr(type(middleware), name) is getattr(SmartCacheMiddleware, name)
            for name in ("process_request", "process_response")
        )
        self._fields = middleware._policy.key_fields if isinstance(middleware, SmartCacheMiddleware) else _USUAL_FIELDS

    def run(self, handler: Callable[[Any], Any], request: Any) -> Any:
        """In place of the framework's call of a handler that is no coroutine."""
        shown = _Shown(request, self._fields)
        if self._is_plain:
            answer = self._middleware.process_request_in_thread(shown)
        else:
            answer = _in_loop(self._middleware.process_request(shown))
        answer = _sendable(answer, request.method)
        if answer is not None:
            return answer
        try:
            response = self._app._normalize_response_value(self._run(handler, request))
        except Exception as error:
            stale = self._instead_of(error, shown)
            if stale is None:
                raise
            return stale
        seen = _SeenResponse(response)
        if self._is_plain:
            answer = self._middleware.process_response_in_thread(shown, seen)
        else:
            answer = _in_loop(self._middleware.process_response(shown, seen))
        return _chosen(answer, seen, request.method)

    async def run_async(self, route: Any, request: Any, response_size_for: Any) -> Any:
        """In place of the framework's call of a coroutine."""

        async def handler(request: Any) -> Any:
            shown = _Shown(request, self._fields)
            answer = _sendable(await self._middleware.process_request(shown), request.method)
            if answer is not None:
                return answer
            try:
                response = self._app._normalize_response_value(await route.handler(request))
            except Exception as error:
                stale = self._instead_of(error, shown)
                if stale is None:
                    raise
                return stale
            seen = _SeenResponse(response)
            return _chosen(await self._middleware.process_response(shown, seen), seen, request.method)

        return await self._run_async(SimpleNamespace(handler=handler), request, response_size_for)

    def _instead_of(self, error: Exception, shown: _Shown) -> Any:
        """What is stored, in place of what a handler could not give."""
        failed = getattr(self._middleware, "handler_failed", None)
        stale = None if failed is None else _sendable(failed(shown), shown.method)
        if stale is not None:
            logger.warning("the handler has failed, and what is stored is served in its place: %r", error)
        return stale


class _Shown:
    """A request of the framework as the documented hooks want it: it has neither ``url`` nor ``state``, and no headers in ``headers``."""

    def __init__(self, request: Any, names: Tuple[bytes, ...]) -> None:
        self._request = request
        self.method = request.method
        path, _, query = request.path.partition("?")
        self.url = SimpleNamespace(path=path, query=query)
        #: Asked for one by one, since that is what the framework can do.
        self.headers = ViewedHeaders(AskedFields(request.get_header, names))
        self.state = SimpleNamespace()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


class _SeenResponse:
    """A response of the framework as the documented hooks want it."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.headers = _HeadersOf(response)

    @property
    def body(self) -> Any:
        """None when it is still to come: the framework then has a mark in its place."""
        is_streaming = getattr(self.response, "is_streaming", None)
        if is_streaming is not None and (not callable(is_streaming) or is_streaming()):
            return _COMING
        return self.response.body

    def __getattr__(self, name: str) -> Any:
        return getattr(self.response, name)


#: No text and no bytes.
_COMING = object()


class _HeadersOf(MutableMapping[str, Any]):
    """The headers of a response of the framework, by names in any case. Several values, which only Set-Cookie can have, are a list."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __getitem__(self, name: str) -> Any:
        return self._response._headers[name.lower()]

    def __setitem__(self, name: str, value: Any) -> None:
        name = name.lower()
        if name == "content-type":
            self._response.content_type = str(value)
        elif name == "set-cookie":
            self._response._headers.pop(name, None)
        self._response.set_header(name, value)

    def __delitem__(self, name: str) -> None:
        del self._response._headers[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._response._headers

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._response._headers))

    def __len__(self) -> int:
        return len(self._response._headers)


def _framework_response() -> Any:
    return import_module("catzilla.types").Response


def _give_responses_headers() -> None:
    """Gives the framework's responses the documented ``headers``, if they have none."""
    Response = _framework_response()
    if not hasattr(Response, "headers"):
        Response.headers = property(_HeadersOf)


def _chosen(answer: Any, seen: _SeenResponse, method: str) -> Any:
    """What is sent after a handler: its response, or what the middleware has put in place of it."""
    if answer is seen:
        return seen.response
    made = _sendable(answer, method)
    return seen.response if made is None else made


def _sendable(answer: Any, method: str) -> Any:
    """A response as the framework sends it; None for none, and for one whose body is no text."""
    Response = _framework_response()
    if answer is None or isinstance(answer, Response):
        return answer
    if isinstance(answer, _SeenResponse):
        return answer.response
    headers = answer.headers
    try:
        text = answer.body.decode("utf-8") if isinstance(answer.body, bytes) else str(answer.body)
    except UnicodeDecodeError:
        return None
    made = Response(status_code=answer.status_code, content_type=headers.get("content-type") or "text/plain", body=text)
    for name, value in headers.items():
        if name == "set-cookie":
            made.set_header(name, value)
        elif name not in ("content-type", "content-length"):
            before = made.get_header(name)
            made.set_header(name, value if before is None else f"{before}, {value}")
    told = headers.get("content-length")
    if method == "HEAD" and not text and told is not None:
        made.send = lambda client: _send_head(made, told, client)
    return made


def _send_head(response: Any, content_length: str, client: Any) -> None:
    """Sends a response without its body. The framework's own way tells the length of what is sent: none."""
    lines = [f"Content-Type: {response.content_type}", f"Content-Length: {content_length}", *response.get_all_headers()]
    import_module("catzilla._catzilla").send_response(client, response.status_code, "\r\n".join(lines) + "\r\n", "")


# ---- Hooks that are a program's own coroutines, called in the thread that serves all requests ----

_loop: Optional[asyncio.AbstractEventLoop] = None
_lock = threading.Lock()


def _in_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that may await anything: in an event loop in a thread of its own, while this one waits."""
    if not inspect.isawaitable(work):
        # A hook that is no coroutine has done its work.
        return work
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="catzilla-cache-hooks", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(work, _loop).result()


def _in_child() -> None:
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
