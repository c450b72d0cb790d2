"""An answer of an ASGI application, on its way to the client and into the cache at the same time. Made by ``asgi``."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Awaitable, Callable, List, Optional, Tuple, Union

from catzilla_cache.http.asgi_outbox import Message, Outbox, Send
from catzilla_cache.http.decisions import Fetch, Relay, Serve, Write
from catzilla_cache.http.exchange import TOO_LARGE, Exchange
from catzilla_cache.http.fields import lowered
from catzilla_cache.http.leading import Alone, Led
from catzilla_cache.http.storing import fits, is_whole
from catzilla_cache.http.stored import OWN_TAG, StoredResponse

if TYPE_CHECKING:
    from catzilla_cache.http.asgi import CacheMiddleware

Receive = Callable[[], Awaitable[Message]]


class Answer:
    """What the application sends, on its way to the client and into the cache: the `send` that it is given."""

    __slots__ = (
        "_body", "_content_length", "_exchange", "_held", "_is_collected", "_is_replaced", "_middleware", "_outbox", "_since", "_size",
        "again", "has_begun", "is_over", "led",
    )  # fmt: skip

    def __init__(self, middleware: CacheMiddleware, exchange: Exchange, led: Union[Alone, Led], send: Send) -> None:
        self._middleware = middleware
        self._exchange = exchange
        self._outbox = Outbox(send)
        self.led = led
        #: When it was asked for, among the invalidations.
        self._since = middleware._shelf.moment()
        #: The head, if it waits for the body, of which its entity tag is made.
        self._held: Optional[Message] = None
        #: Whether the client has been sent something else, or will be.
        self._is_replaced = False
        self._is_collected = False
        self._body: List[bytes] = []
        self._size = 0
        self._content_length: Optional[bytes] = None
        #: Whether anything went to the client.
        self.has_begun = False
        #: Whether all of the answer has come.
        self.is_over = asyncio.Event()
        #: A request to put to the application once more.
        self.again: Optional[Fetch] = None

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            await self._begin(message)
        elif kind == "http.response.body":
            await self._continue(message)
        elif not self._is_replaced:
            await self._release()
            await self._outbox.send(message)

    async def _begin(self, message: Message) -> None:
        fields = lowered(message.get("headers", ()))
        lengths = [value for name, value in fields if name == b"content-length"]
        self._content_length = lengths[0] if len(lengths) == 1 else None
        obstacle = "trailers, or two lengths" if message.get("trailers", False) or len(lengths) > 1 else ""
        if not self._may_fit():
            obstacle = TOO_LARGE
        step = self._exchange.answered(message["status"], fields, obstacle)
        if isinstance(step, Fetch):
            self._is_replaced = True
            self.again = step
        elif isinstance(step, Serve):
            await self._replace(step)
        else:
            await self._relay(message, step)

    async def _replace(self, serve: Serve) -> None:
        """What is stored is sent: it holds still, or the application has failed."""
        self._is_replaced = True
        stored, writes = self._exchange.complete(None)
        if stored is not None:
            await self._store(stored, writes)
        elif serve.is_instead:
            # Who waits for an application that fails gets the same.
            self.led.land(self._exchange.stored)
            self.led.leave()
        else:
            self.led.refuse(is_known=False)
        await self._out(serve)

    async def _relay(self, message: Message, relay: Relay) -> None:
        self._is_collected = relay.keep is not None
        if not self._is_collected:
            self.led.refuse(is_known=relay.keep is None and message["status"] < 500)
        if relay.outdated is not None:
            await self._middleware._shelf.remove_async(relay.outdated)
        if relay.not_modified is not None:
            self._is_replaced = True
            await self._out(relay.not_modified)
            return
        head = {**message, "headers": relay.fields}
        if self._is_collected and self._content_length is not None and relay.keep is not None and not relay.keep.response.entity_tag:
            self._held = head
        else:
            self.has_begun = True
            await self._outbox.send(head)

    def _may_fit(self) -> bool:
        return self._exchange.request.method != "GET" or fits(self._content_length, self._middleware._policy.max_body_size)

    async def _continue(self, message: Message) -> None:
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        stored: Optional[StoredResponse] = None
        writes: List[Write] = []
        if self._is_collected:
            self._body.append(bytes(body))
            self._size += len(body)
            if self._size > self._middleware._policy.max_body_size:
                self._middleware._counters.count("too_large")
                self._drop()
            elif is_last:
                stored, writes = self._completed()
        if is_last:
            self.is_over.set()
        if stored is not None:
            # Before the client has it, which may take its time.
            await self._store(stored, writes)
        if self._is_replaced:
            return
        await self._release(stored)
        if self._is_collected:
            # Those who wait for the answer do not wait for this client. Not more waits than is collected.
            self._outbox.post(message)
        else:
            await self._outbox.send(message)

    def _completed(self) -> Tuple[Optional[StoredResponse], List[Write]]:
        """The whole answer, unless it is not what its head has said."""
        self._is_collected = False
        told = self._content_length
        if not is_whole(self._exchange.request.method, told, self._size):
            self.led.refuse(is_known=False)
            return None, []
        stored, writes = self._exchange.complete(b"".join(self._body), told)
        self._body = []
        return stored, writes

    async def _store(self, stored: StoredResponse, writes: List[Write]) -> None:
        shelf, led = self._middleware._shelf, self.led
        if not shelf.may_wait:
            shelf.put(writes, self._since)
            led.land(stored)
            led.leave()
            return
        # Who waits for it need not wait for Redis, too.
        led.land(stored)
        storing = asyncio.ensure_future(shelf.put_async(writes, self._since))
        storing.add_done_callback(lambda _: led.leave())
        self._middleware.keep_task(storing)

    def _drop(self) -> None:
        self._is_collected = False
        self._body = []
        self.led.refuse(is_known=False)

    async def _release(self, stored: Optional[StoredResponse] = None) -> None:
        """Sends the head that was held, with the entity tag that was made of the body."""
        head, self._held = self._held, None
        if head is not None:
            if stored is not None and stored.flags & OWN_TAG:
                head["headers"] = [*head["headers"], (b"etag", stored.entity_tag)]
            self.has_begun = True
            await self._outbox.send(head)

    async def _out(self, serve: Serve) -> None:
        self.has_begun = True
        await send_response(self._outbox.send, serve)

    async def end(self) -> None:
        """The application has returned."""
        await self._release()
        self.is_over.set()
        if self._is_collected or not self.has_begun:
            # Not all of it has come.
            self.led.give_up()
        await self._outbox.drain()

    async def fail(self) -> None:
        """The application has raised: what it has sent before still goes out."""
        self.led.give_up()
        with contextlib.suppress(Exception):
            await self._outbox.drain()

    def abandon(self) -> None:
        """The request has been cancelled."""
        self.led.give_up()
        self._outbox.abandon()


class NoBody:
    """The `receive` of a request that nobody has sent."""

    __slots__ = ("_answer", "_is_told")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._is_told = False

    async def __call__(self) -> Message:
        if not self._is_told:
            self._is_told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._answer.is_over.wait()
        return {"type": "http.disconnect"}


class OnceMore:
    """The `receive` of a request that is put to the application once more: it may have read all of it, and had no body to read."""

    __slots__ = ("_is_told", "_receive")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_told = False

    async def __call__(self) -> Message:
        if not self._is_told:
            self._is_told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return message


async def nowhere(message: Message) -> None:
    """The `send` of an answer that nobody waits for."""


async def send_response(send: Send, serve: Serve) -> None:
    await send({"type": "http.response.start", "status": serve.status, "headers": serve.fields})
    await send({"type": "http.response.body", "body": serve.body})
