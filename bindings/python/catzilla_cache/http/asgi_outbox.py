"""What a client is sent at its own pace, while the application goes on at that of the cache: others wait for its answer, too."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Awaitable, Callable, Deque, MutableMapping, Optional

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Outbox:
    """The `send` of a client, behind which messages may wait. Who posts bounds what waits: an answer that is collected is."""

    __slots__ = ("_error", "_send", "_task", "_waiting")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: Deque[Message] = deque()
        self._task: "Optional[asyncio.Task[None]]" = None
        #: What the client's connection has failed with; nothing is sent to it any more.
        self._error: Optional[BaseException] = None

    def post(self, message: Message) -> None:
        """Has a message sent, after those that wait already."""
        if self._error is None:
            self._waiting.append(message)
            if self._task is None:
                self._task = asyncio.ensure_future(self._work())

    async def send(self, message: Message) -> None:
        """Sends a message, when all that wait have been sent."""
        await self.drain()
        await self._send(message)

    async def drain(self) -> None:
        """Waits until nothing waits. Raises what the client's connection has failed with, once."""
        task = self._task
        if task is not None:
            await asyncio.shield(task)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def abandon(self) -> None:
        """Nobody waits for the rest any more."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._send(self._waiting.popleft())
        except Exception as error:
            self._error = error
            self._waiting.clear()
        finally:
            self._task = None
