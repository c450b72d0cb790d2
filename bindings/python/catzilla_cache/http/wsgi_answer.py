"""An answer of a WSGI application, on its way to the client and into the cache at the same time. Made by ``wsgi``.

What it is comes to be known with the first of its body, not before: until then an application may change its mind (``exc_info``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from catzilla_cache import _workers
from catzilla_cache.http.decisions import Fetch, Relay, Serve, Write
from catzilla_cache.http.exchange import TOO_LARGE, Exchange
from catzilla_cache.http.leading import Alone, Led
from catzilla_cache.http.storing import fits, is_whole
from catzilla_cache.http.stored import OWN_TAG, StoredResponse
from catzilla_cache.http.wsgi_messages import Environ, fields_of, lines_of, sendable

if TYPE_CHECKING:
    from catzilla_cache.http.wsgi import WSGICacheMiddleware

StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

# In place of a status line that says none: nothing is stored that has it.
_NO_STATUS = 599


class Body(NamedTuple):
    """What is returned to the server."""

    chunks: Iterable[bytes]


class Head(NamedTuple):
    """What an application has said by `start_response`."""

    line: str
    headers: List[Tuple[str, str]]
    exc_info: Any

    @property
    def status(self) -> int:
        """The number."""
        code = self.line.split(" ", 1)[0]
        return int(code) if len(code) == 3 and code.isdigit() else _NO_STATUS


class Answer:
    """One call of the application. It is the iterable that the server gets, if that has to be seen while it is sent."""

    def __init__(
        self, middleware: WSGICacheMiddleware, exchange: Exchange, led: Union[Alone, Led], start_response: StartResponse
    ) -> None:
        self._middleware = middleware
        self._exchange = exchange
        self._led = led
        self._start_response = start_response
        #: When it was asked for, among the invalidations.
        self._since = middleware._shelf.moment()
        self._head: Optional[Head] = None
        #: What is to become of it; None before that is known.
        self._step: Union[Relay, Serve, Fetch, None] = None
        #: Whether the server has been given a head, and its own `write`.
        self.has_begun = False
        self._write: Optional[Callable[[bytes], Any]] = None
        self._is_collected = False
        self._collected: List[bytes] = []
        self._size = 0
        self._content_length: Optional[bytes] = None
        #: Keys of what is stored of it.
        self._written: List[bytes] = []
        self._source: Optional[Iterable[bytes]] = None
        self._rest: Iterator[bytes] = iter(())
        #: Chunks that were taken to see what it is, and have not been sent.
        self._ahead: List[bytes] = []
        self._is_closed = False

    # ---- What the application calls ----

    def start_response(self, line: str, headers: List[Tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        """The `start_response` that the application is given."""
        if exc_info is None and (self._head is not None or self._step is not None):
            raise AssertionError("start_response was called twice, and not because of an error")
        if self._step is None:
            self._head = Head(line, list(headers), exc_info)
            return self.write
        # What has come is no answer after all. The server knows whether it can still send another.
        self._abandon()
        if self.has_begun:
            try:
                self._write = self._start_response(line, sendable(headers), exc_info)
            finally:
                exc_info = None
        return self.write

    def write(self, data: bytes) -> None:
        """The `write` that the application is given: for those that push their body."""
        self._decide()
        self._collect(data)
        if isinstance(self._step, Relay) and self._step.not_modified is None:
            self._send_head(None)
            assert self._write is not None, "the server has given nothing to write with"
            self._write(data)

    # ---- Its course ----

    def of(self, app: Application, environ: Environ) -> Union[Body, Serve, Fetch]:
        """Has the application answer, as far as it takes to know what its answer is. Who gets an exception has to `close`."""
        source = self._source = app(environ, self.start_response)
        if self._head is not None and self._step is None and _is_file(source, environ):
            # The server may have ways to send it that are faster than to be asked for each piece.
            self._decide()
            if isinstance(self._step, Relay) and not self._is_collected and self._step.not_modified is None:
                self._send_head(None)
                self._source = None
                return Body(source)
        is_there = isinstance(source, (list, tuple))
        self._rest = iter(source)
        if self._step is None or self._is_collected:
            self._look_ahead(is_there)
        self._decide()
        step = self._step
        assert step is not None
        if not isinstance(step, Relay):
            self._replace()
            return step
        if step.not_modified is not None:
            # The client has it. Others may want all of it.
            for _ in self if self._is_collected else ():
                pass
            self.close()
            return step.not_modified
        if is_there:
            return Body(self._as_a_whole())
        self._send_head(self._complete() if self._is_collected and self._content_length == b"%d" % self._size else None)
        return Body(self)

    def _look_ahead(self, takes_all: bool) -> None:
        """Takes the first chunk that has something in it, or all of them."""
        for chunk in self._rest:
            if chunk:
                self._ahead.append(chunk)
                if self._step is not None:
                    self._collect(chunk)
                if not takes_all:
                    break

    def _decide(self) -> None:
        if self._step is not None:
            return
        if self._head is None:
            raise RuntimeError("the application has not called start_response")
        fields, exchange = fields_of(self._head.headers), self._exchange
        lengths = [value for name, value in fields if name == b"content-length"]
        self._content_length = lengths[0] if len(lengths) == 1 else None
        is_body = exchange.request.method == "GET"
        limit = self._middleware._policy.max_body_size
        obstacle = "two lengths" if len(lengths) > 1 else ""
        if is_body and not fits(self._content_length, limit):
            obstacle = TOO_LARGE
        step = self._step = exchange.answered(self._head.status, fields, obstacle)
        if not isinstance(step, Relay):
            return
        self._is_collected = step.keep is not None
        if not self._is_collected:
            self._led.refuse(is_known=self._head.status < 500)
        if step.outdated is not None:
            self._middleware._shelf.remove(step.outdated)
        for chunk in self._ahead:
            self._collect(chunk)

    def _replace(self) -> None:
        """What is stored is sent: it holds still, or the application has failed. Or it is asked once more."""
        if isinstance(self._step, Serve):
            stored, writes = self._exchange.complete(None)
            if stored is not None:
                self._store(stored, writes)
            elif self._step.is_instead:
                # Who waits for an application that fails gets the same.
                self._led.land(self._exchange.stored)
                self._led.leave()
            else:
                self._led.refuse(is_known=False)
        self.close()

    def _as_a_whole(self) -> Iterable[bytes]:
        """An answer that is there already: nobody waits for its client, and the server may want to tell its length."""
        stored = self._complete() if self._is_collected else None
        self._send_head(stored)
        chunks = _Whole(self._ahead)
        chunks.close = self.close
        return chunks

    def _send_head(self, stored: Optional[StoredResponse]) -> None:
        """Gives the server the head; with the entity tag that was made, if the body has come already."""
        if not self.has_begun and isinstance(self._step, Relay) and self._head is not None:
            fields = self._step.fields
            if stored is not None and stored.flags & OWN_TAG:
                fields = [*fields, (b"etag", stored.entity_tag)]
            head, self._head = self._head, None
            arguments = () if head.exc_info is None else (head.exc_info,)
            self.has_begun = True
            self._write = self._start_response(head.line, lines_of(fields), *arguments)

    # ---- Its body ----

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._ahead:
            return self._ahead.pop(0)
        try:
            chunk = next(self._rest)
        except StopIteration:
            self._complete()
            raise
        except BaseException:
            self._abandon()
            raise
        self._collect(chunk)
        return chunk

    def _collect(self, chunk: bytes) -> None:
        if self._is_collected:
            self._collected.append(bytes(chunk))
            self._size += len(chunk)
            if self._size > self._middleware._policy.max_body_size:
                self._middleware._counters.count("too_large")
                self._give_up_collecting()
        elif self._written and chunk:
            # More than the head has said: it was no whole answer.
            for key in self._written:
                self._middleware._shelf.remove(key)
            self._written = []

    def _complete(self) -> Optional[StoredResponse]:
        """All of it has come: stores it, if it is what its head has said."""
        if not self._is_collected:
            return None
        self._is_collected = False
        told = self._content_length
        if not is_whole(self._exchange.request.method, told, self._size):
            self._give_up_collecting()
            return None
        is_head = self._exchange.request.method == "HEAD"
        stored, writes = self._exchange.complete(b"" if is_head else b"".join(self._collected), told)
        self._collected = []
        if stored is not None:
            self._store(stored, writes)
        return stored

    def _store(self, stored: StoredResponse, writes: List[Write]) -> None:
        shelf, led, since = self._middleware._shelf, self._led, self._since
        self._written = [write.key for write in writes]
        if shelf.may_wait:
            # Who waits for it need not wait for Redis, too; nor need the client.
            led.land(stored)
            try:
                _workers.callers().submit(shelf.put, writes, since).add_done_callback(lambda _: led.leave())
                return
            except RuntimeError:
                # The interpreter ends.
                pass
            shelf.put(writes, since)
        else:
            shelf.put(writes, since)
            led.land(stored)
        led.leave()

    def _give_up_collecting(self) -> None:
        """It cannot be stored: those who wait ask for their own."""
        self._is_collected = False
        self._collected = []
        self._led.refuse(is_known=False)

    def _abandon(self) -> None:
        """The client is gone, or the application has failed: one of those who wait takes over."""
        self._is_collected = False
        self._collected = []
        self._led.give_up()

    def close(self) -> None:
        """It is over, whether all of it has come or not. The server calls this, once or more often."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._is_collected or self._step is None:
            self._abandon()
        source, self._source = self._source, None
        close = getattr(source, "close", None)
        if close is not None:
            close()


class _Whole(List[bytes]):
    """All chunks, with what is to be called when they were sent."""

    close: Callable[[], None]


def _is_file(source: Any, environ: Environ) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(source, wrapper)
