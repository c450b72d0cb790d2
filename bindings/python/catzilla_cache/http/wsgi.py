"""The response cache as WSGI middleware (PEP 3333): reads requests from environments, runs the application, sends what ``exchange`` says.

An answer is passed on as it comes, and collected meanwhile if it may be stored: never more than ``max_body_size`` of it.
"""

from __future__ import annotations

import io
import sys
import threading
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Union

from catzilla_cache import _workers
from catzilla_cache.http.admission import SAFE_METHODS
from catzilla_cache.http.driving import ask_wsgi
from catzilla_cache.http.decisions import Fetch, LookUp, Serve
from catzilla_cache.http.exchange import Exchange
from catzilla_cache.http.fields import Fields
from catzilla_cache.http.leading import Alone, Led, board
from catzilla_cache.http.message import Request
from catzilla_cache.http.middleware import ResponseCache
from catzilla_cache.http.response import Response
from catzilla_cache.http.shelf import logger
from catzilla_cache.http.steps import in_thread
from catzilla_cache.http.stored import HEAD_ONLY, StoredResponse
from catzilla_cache.http.wsgi_answer import Answer, Application, Body, StartResponse
from catzilla_cache.http.wsgi_messages import Environ, fields_of, lines_of, request_of, status_line
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

# The fields of a request that the application is given others of.
_CONDITIONS = (b"if-none-match", b"if-modified-since", b"if-range", b"range")

# Of the connection, of the client's body, or made of its request by somebody outside: not for a request that nobody has sent.
_OF_THE_CONNECTION = (
    "CONTENT_TYPE", "gunicorn.socket", "werkzeug.request", "werkzeug.socket", "wsgi.file_wrapper", "wsgi.input_terminated",
)  # fmt: skip


class WSGICacheMiddleware(ResponseCache):
    """Caches the answers of a WSGI application.

        app.wsgi_app = WSGICacheMiddleware(app.wsgi_app, default_ttl=60)              Flask
        application = WSGICacheMiddleware(get_wsgi_application(), default_ttl=60)     Django
        application = WSGICacheMiddleware(application, default_ttl=60)                any other

    Parameters are in docs/http-cache.md. Threads that ask for the same at the same time wait for one of them.
    """

    def __init__(
        self,
        app: Application,
        config: Optional[SmartCacheConfig] = None,
        cache_instance: Optional[SmartCache] = None,
        **parameters: Any,
    ) -> None:
        super().__init__(config, cache_instance, **parameters)
        self.app = app
        #: Keys that are fetched anew in the background.
        self._refreshing: Set[bytes] = set()
        self._refreshing_lock = threading.Lock()

    def renew_in_child(self) -> None:
        """In a forked child: the threads that fetched something are not there."""
        super().renew_in_child()
        self._refreshing, self._refreshing_lock = set(), threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        found = self._find_environ(environ)
        if found is not None:
            start_response(found[0], found[1])
            return [found[2]] if found[2] else []
        self._counters.count("total_requests")
        request = request_of(environ)
        try:
            exchange = self._exchanges.begin(request)
        except Exception as error:
            # A program's own generator of keys, for one.
            self._shelf.fault(error)
            exchange = None
        if exchange is None:
            self._counters.count("cache_skips")
            return self._pass(request, environ, start_response)
        return self._run(exchange, environ, start_response)

    def _pass(self, request: Request, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """A request that is not for the cache, but may say that something in it is out of date."""
        if request.method in SAFE_METHODS:
            return self.app(environ, start_response)

        def heard(status: str, headers: Any, *exc_info: Any) -> Any:
            code = status.split(" ", 1)[0]
            urls = self._exchanges.invalidated(request, int(code), fields_of(headers)) if code.isdigit() else []
            # Before the client knows: what it asks for next is the new state.
            self._shelf.invalidate(urls)
            return start_response(status, headers, *exc_info)

        return self.app(environ, heard)

    def _run(self, exchange: Exchange, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        step: Union[LookUp, Serve, Fetch, Body] = exchange.start()
        while True:
            if isinstance(step, LookUp):
                entry = self._shelf.find(step.key)
                step = exchange.found(entry)
                if isinstance(step, Serve) and step.refresh and isinstance(entry, StoredResponse):
                    self._refresh(exchange, entry, environ)
            elif isinstance(step, Serve):
                start_response(status_line(step.status), lines_of(step.fields))
                return [step.body] if step.body else []
            elif isinstance(step, Fetch):
                step = self._fetch(exchange, step, environ, start_response)
            else:
                return step.chunks

    # ---- One request for all who want the same ----

    def _fetch(
        self, exchange: Exchange, fetch: Fetch, environ: Environ, start_response: StartResponse
    ) -> Union[LookUp, Serve, Fetch, Body]:
        """Asks the application, or waits for another request that does."""
        turn = in_thread(board(self, exchange, fetch))
        if not isinstance(turn, (Alone, Led)):
            return turn
        return self._ask(exchange, fetch, turn, environ, start_response)

    def _ask(
        self, exchange: Exchange, fetch: Fetch, led: Union[Alone, Led], environ: Environ, start_response: StartResponse
    ) -> Union[Serve, Fetch, Body]:
        """Has the application answer."""
        answer = Answer(self, exchange, led, start_response)
        try:
            exchange.asking()
            return answer.of(self.app, asked(environ, fetch.fields))
        except Exception as error:
            stale = None if answer.has_begun else exchange.failed()
            if stale is not None:
                # Who waits for an application that fails gets the same.
                led.land(exchange.stored)
                led.leave()
            answer.close()
            if stale is None:
                raise
            logger.warning("the application has failed, and what is stored is served in its place: %r", error)
            return stale
        except BaseException:
            answer.close()
            raise

    # ---- In the background ----

    def _refresh(self, exchange: Exchange, stored: StoredResponse, environ: Environ) -> None:
        """Has a stale response fetched anew, unless that is under way."""
        key = exchange.key
        with self._refreshing_lock:
            if key in self._refreshing:
                return
            self._refreshing.add(key)
        try:
            # Copied here: whoever serves the client goes on writing into its own.
            _workers.refreshers().submit(self._fetch_anew, exchange.request, stored, key, dict(environ))
        except BaseException as error:
            self._refreshing.discard(key)
            if not isinstance(error, RuntimeError):
                raise
            # The interpreter ends: what is stale stays stale.

    def _fetch_anew(self, request: Request, stored: StoredResponse, key: bytes, environ: Environ) -> None:
        anew = request.anew(request.method if stored.flags & HEAD_ONLY else "GET")
        led: Union[Alone, Led] = Alone()
        try:
            exchange = self._exchanges.begin(anew)
            if exchange is None:
                return
            fetch = exchange.refresh(stored, key)
            shared = self._flight_key(exchange, key)
            flight, leads = self._flights.board(shared)
            if not leads:
                return
            led = Led(self, flight, shared)
            del flight
            answer = Answer(self, exchange, led, _nowhere)
            try:
                exchange.asking()
                step = answer.of(self.app, unattended(environ, anew.method, fetch.fields))
                if isinstance(step, Body):
                    for _ in step.chunks:
                        pass
            finally:
                answer.close()
        except Exception as error:
            self._counters.count("failed_refreshes")
            logger.warning("a stale response could not be fetched anew: %r", error)
        finally:
            led.give_up()
            self._refreshing.discard(key)

    def _asking_itself(self, headers: Mapping[str, str]) -> Callable[[str], Response]:
        telling = self._telling()
        return lambda url: ask_wsgi(telling, url, headers)


def asked(environ: Environ, fields: Fields) -> Environ:
    """A request's environment as the application is given it: the client's own if nothing has to change, since frameworks write into it."""
    wanted = {name: b", ".join(value for each, value in fields if each == name) for name in _CONDITIONS}
    changes: Dict[str, Optional[str]] = {}
    for name, value in wanted.items():
        variable = "HTTP_" + name.decode().upper().replace("-", "_")
        text = value.decode("latin-1") or None
        if environ.get(variable) != text:
            changes[variable] = text
    if not changes:
        return environ
    changed = {**environ, **changes}
    return {name: value for name, value in changed.items() if value is not None or name not in changes}


def unattended(environ: Environ, method: str, fields: Fields) -> Environ:
    """The environment of a request that nobody has sent and nobody waits for."""
    kept = {name: value for name, value in environ.items() if not name.startswith("HTTP_") and name not in _OF_THE_CONNECTION}
    for field, value in fields:
        variable = "HTTP_" + field.decode("latin-1").upper().replace("-", "_")
        if field not in (b"content-type", b"content-length"):
            kept[variable] = f"{kept[variable]},{value.decode('latin-1')}" if variable in kept else value.decode("latin-1")
    kept.update({"REQUEST_METHOD": method, "CONTENT_LENGTH": "0", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr})
    return kept


def _nowhere(status: str, headers: List[Any], exc_info: Any = None) -> Any:
    """The `start_response` of an answer that nobody waits for."""
    return lambda data: None
