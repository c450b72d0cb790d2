"""What the tests of the HTTP cache share: an application that answers as it is told, a client without a network, and a clock moved by hand.

A ``Site`` is all of them around one ``CacheMiddleware``. The client checks what every server relies on: that the messages come in
the order of the ASGI specification, names are lower-case, no value holds a line break, and the body is as long as it was said to be.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import (
    Any,
    Awaitable,
    Callable,
    Coroutine,
    Dict,
    Iterator,
    List,
    MutableMapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)
from urllib.parse import unquote

import pytest

from catzilla_cache import SmartCache, SmartCacheConfig
from catzilla_cache.cache_middleware import CacheMiddleware

T = TypeVar("T")
Fields = List[Tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
#: One step of what an application does: bytes are sent, an event is waited for, an exception is raised, anything else is called,
#: and waited for if that gives a future.
Step = Union[bytes, asyncio.Event, BaseException, Callable[[], object]]

#: Far beyond what anything takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 120.0
HOST = "example.com"
#: Added by the cache; what is left when they are taken away is what the application said.
REPORTED = (b"x-cache", b"x-cache-time", b"x-cache-ttl", b"age", b"cache-status")


def fields(*lines: Union[str, bytes]) -> Fields:
    """Header fields from lines as they are on the wire: "Name: value"."""
    found = []
    for line in lines:
        name, colon, value = (line if isinstance(line, bytes) else line.encode("latin-1")).partition(b":")
        assert colon, f"a field is 'Name: value', not {line!r}"
        found.append((name.lower(), value.strip(b" ")))
    return found


def http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


@dataclass
class Answer:
    status: int
    headers: Fields
    body: bytes
    #: The body as it came.
    pieces: List[bytes] = field(default_factory=list)
    #: Messages of extensions, such as early hints.
    others: List[Message] = field(default_factory=list)

    def every(self, name: str) -> List[str]:
        return [value.decode("latin-1") for key, value in self.headers if key == name.lower().encode()]

    def __getitem__(self, name: str) -> Optional[str]:
        found = self.every(name)
        assert len(found) < 2, f"{name} is there {len(found)} times: {found}"
        return found[0] if found else None

    @property
    def is_hit(self) -> bool:
        state = self["x-cache"]
        assert state in (None, "HIT", "MISS"), state
        return state == "HIT"

    @property
    def said_by_the_application(self) -> Fields:
        return [pair for pair in self.headers if pair[0] not in REPORTED]


@dataclass
class Asked:
    """A request as the application saw it."""

    method: str
    url: str
    headers: Fields
    body: bytes
    scope: Scope

    def every(self, name: str) -> List[str]:
        return [value.decode("latin-1") for key, value in self.headers if key == name.lower().encode()]

    def __getitem__(self, name: str) -> Optional[str]:
        return ", ".join(self.every(name)) or None


@dataclass
class Reply:
    status: int
    headers: Fields
    #: ``None``: "answer N", N being how many requests have reached the application.
    body: Optional[Sequence[Step]]
    #: What is done before the answer begins, and after its body (the work that frameworks call background tasks).
    before: Sequence[Step] = ()
    after: Sequence[Step] = ()


Script = Union[Reply, Callable[[Asked], Reply]]


def reply(
    *lines: Union[str, bytes],
    status: int = 200,
    body: Union[None, bytes, Sequence[Step]] = None,
    before: Sequence[Step] = (),
    after: Sequence[Step] = (),
) -> Reply:
    """An answer by its field lines. A body that is one ``bytes`` gets a Content-Length, one in steps has what the lines say."""
    headers = fields(*lines)
    if isinstance(body, bytes):
        if status not in (204, 304) and not any(name == b"content-length" for name, _ in headers):
            headers.append((b"content-length", b"%d" % len(body)))
        body = [body]
    return Reply(status, headers, body, before, after)


#: Fresh for ten minutes.
FRESH = reply("Cache-Control: max-age=600")


class Broken(Exception):
    """What an application raises."""


class Application:
    """An ASGI application that answers as it was told and remembers what it was asked."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts: Dict[Optional[str], Sequence[Script]] = {None: scripts or (FRESH,)}
        self._turns: Dict[str, int] = {}
        self.asked: List[Asked] = []

    def at(self, path: str, *scripts: Script) -> None:
        """What a path answers, one after the other; the last is repeated. Paths without are answered as the constructor was told."""
        self._scripts[path] = scripts
        self._turns.pop(path, None)

    def calls(self, path: Optional[str] = None) -> int:
        return len([asked for asked in self.asked if path in (None, asked.scope["path"])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", scope["type"]
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope["query_string"].decode("latin-1")
        url = scope["raw_path"].decode("latin-1") + ("?" + query if query else "")
        asked = Asked(scope["method"], url, list(scope["headers"]), body, scope)
        self.asked.append(asked)
        scripts = self._scripts.get(scope["path"], self._scripts[None])
        turn = self._turns.get(scope["path"], 0)
        self._turns[scope["path"]] = turn + 1
        script = scripts[min(turn, len(scripts) - 1)]
        await self._answer(script if isinstance(script, Reply) else script(asked), len(self.asked), asked, send)

    async def _answer(self, answer: Reply, number: int, asked: Asked, send: Send) -> None:
        for step in answer.before:
            await self._do(step)
        headers, body = list(answer.headers), answer.body
        has_body = answer.status not in (204, 304)
        if body is None:
            text = b"answer %d" % number if has_body else b""
            body = [text]
            if has_body and not any(name == b"content-length" for name, _ in headers):
                headers.append((b"content-length", b"%d" % len(text)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        for step in body:
            if not isinstance(step, bytes):
                await self._do(step)
            elif has_body and asked.method != "HEAD":
                await send({"type": "http.response.body", "body": step, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        for step in answer.after:
            await self._do(step)

    async def _do(self, step: Step) -> None:
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, BaseException):
            raise step
        else:
            assert not isinstance(step, bytes), "bytes are sent by the body alone"
            done = step()
            if isinstance(done, asyncio.Future):
                await done


def scope_of(method: str, url: str, headers: Fields, **more: object) -> Dict[str, Any]:
    """The scope that uvicorn makes of a request. The URL is taken apart by hand: nothing in it is corrected on the way."""
    scheme, authority, target = "http", HOST, url
    if "://" in url:
        scheme, _, rest = url.partition("://")
        authority, slash, target = rest.partition("/")
        target = slash + target
    path, _, query = target.partition("?")
    if not any(name == b"host" for name, _ in headers):
        headers = [(b"host", authority.encode("latin-1")), *headers]
    scope: Dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": scheme,
        "root_path": "",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": headers,
        "state": {},
    }
    scope.update(more)
    return scope


async def ask(
    app: App,
    method: str,
    url: str,
    headers: Fields,
    *,
    body: bytes = b"",
    disconnect: Optional[asyncio.Event] = None,
    on_piece: Optional[Callable[[bytes], object]] = None,
    **scope: object,
) -> Answer:
    """One request to an ASGI application, as a server makes it. ``disconnect`` is set when the client goes away."""
    received = 0
    finished = asyncio.Event()
    messages: List[Message] = []

    def is_gone() -> bool:
        return disconnect is not None and disconnect.is_set()

    async def receive() -> Message:
        nonlocal received
        received += 1
        if received == 1 and not is_gone():
            return {"type": "http.request", "body": body, "more_body": False}
        waited = [asyncio.ensure_future(event.wait()) for event in (finished, disconnect) if event is not None]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waited:
                waiting.cancel()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        # A server gives the event loop a turn when its buffer is full.
        await asyncio.sleep(0)
        if is_gone():
            return
        messages.append(message)
        if message["type"] == "http.response.body":
            if on_piece is not None and message.get("body"):
                on_piece(message["body"])
            if not message.get("more_body", False):
                finished.set()

    await app(scope_of(method, url, headers, **scope), receive, send)
    return _answer(method, messages, is_gone())


def _answer(method: str, messages: List[Message], is_gone: bool) -> Answer:
    own = [message for message in messages if message["type"] in ("http.response.start", "http.response.body")]
    others = [message for message in messages if message not in own]
    if is_gone and not own:
        return Answer(0, [], b"", [], others)
    assert [message["type"] for message in own[:1]] == ["http.response.start"], f"an answer begins with its head: {messages}"
    assert {message["type"] for message in own[1:]} <= {"http.response.body"}, f"an answer has one head: {messages}"
    bodies = own[1:]
    if not is_gone and not any(message["type"] == "http.response.pathsend" for message in others):
        assert bodies and not bodies[-1].get("more_body", False), "the answer was not ended"
    assert all(message.get("more_body", False) for message in bodies[:-1]), "something was sent after the end of the answer"
    status, headers = own[0]["status"], [(bytes(name), bytes(value)) for name, value in own[0].get("headers", [])]
    for name, value in headers:
        assert name == name.lower() and name, f"names of fields are lower-case: {name!r}"
        assert not {b"\r", b"\n", b"\0"} & {
            value[at : at + 1] for at in range(len(value))
        }, f"a line break in {name!r}: {value!r}"
    pieces = [message["body"] for message in bodies if message.get("body")]
    body = b"".join(pieces)
    lengths = [value for name, value in headers if name == b"content-length"]
    if method == "HEAD" or status in (204, 304):
        assert body == b"", f"an answer without a body has one: {body!r}"
    elif lengths and not is_gone:
        assert lengths == [b"%d" % len(body)], f"Content-Length says {lengths}, the body has {len(body)} bytes"
    return Answer(status, headers, body, pieces, others)


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        # A whole second, as dates in HTTP are: 2027-01-15 08:00:00 UTC.
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True, params=["hand", "system"])
def clock_of(request: pytest.FixtureRequest) -> Iterator[None]:
    """Imported by a module, runs each of its tests twice: with a clock moved by hand, and with the system's, which alone uses the
    compiled look-up. Tests that let time pass are marked ``lets_time_pass`` and run once."""
    global _uses_system_clock
    _uses_system_clock = request.param == "system"
    yield
    _uses_system_clock = False


_uses_system_clock = False
lets_time_pass = pytest.mark.parametrize("clock_of", ["hand"], indirect=True)


class Site:
    """An application, the cache in front of it, and a client, all in an event loop that runs while something is asked."""

    def __init__(self, application: Application, cache: SmartCache, behind: Optional[App], **parameters: Any) -> None:
        self.application = application
        self.cache = cache
        self._clock: Optional[Clock] = None if _uses_system_clock else Clock()
        self.middleware = CacheMiddleware(
            behind or application, cache_instance=cache, clock=self._clock if self._clock is not None else time.time, **parameters
        )
        self._loop = asyncio.new_event_loop()

    @property
    def now(self) -> float:
        return self._clock.now if self._clock is not None else time.time()

    def date(self, seconds_from_now: float = 0) -> str:
        return http_date(self.now + seconds_from_now)

    def pass_time(self, seconds: float) -> None:
        assert self._clock is not None, "tests that let time pass are marked lets_time_pass"
        self._clock.now += seconds

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the loop of the site. What it leaves behind stands still until the next one, or ``settle``."""
        asyncio.set_event_loop(self._loop)
        task = self._loop.create_task(work)
        # Not ``wait_for``, whose task would be one more than what the site does.
        deadline = self._loop.call_later(PATIENCE_SECONDS, task.cancel)
        try:
            return self._loop.run_until_complete(task)
        finally:
            deadline.cancel()
            asyncio.set_event_loop(None)

    async def asking(self, method: str, url: str = "/", *lines: Union[str, bytes], **more: Any) -> Answer:
        return await ask(self.middleware, method, url, fields(*lines), **more)

    def ask(self, method: str, url: str = "/", *lines: Union[str, bytes], **more: Any) -> Answer:
        return self.run(self.asking(method, url, *lines, **more))

    def get(self, url: str = "/", *lines: Union[str, bytes], **more: Any) -> Answer:
        return self.ask("GET", url, *lines, **more)

    def head(self, url: str = "/", *lines: Union[str, bytes], **more: Any) -> Answer:
        return self.ask("HEAD", url, *lines, **more)

    @property
    def calls(self) -> int:
        """How many requests have reached the application."""
        return len(self.application.asked)

    @property
    def last(self) -> Asked:
        """The last request that reached the application."""
        return self.application.asked[-1]

    def settle(self) -> None:
        """Waits for all that goes on behind the answers."""
        self.run(settled())

    def close(self) -> None:
        async def cancel() -> None:
            left = others()
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_asyncgens()
            await asyncio.get_running_loop().shutdown_default_executor()

        try:
            self.run(cancel())
        finally:
            self._loop.close()
            self.cache.close()


def others() -> "List[asyncio.Task[Any]]":
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]


async def settled() -> None:
    """When no other task is left in this loop."""
    while others():
        await asyncio.wait(others())


@contextlib.contextmanager
def site(*scripts: Script, application: Optional[App] = None, capacity: int = 1000, **parameters: Any) -> Iterator[Site]:
    """A site whose application answers every path with these, one after the other, or is one that a test has made itself. The
    other parameters are the middleware's."""
    built = Site(Application(*scripts), SmartCache(SmartCacheConfig(memory_capacity=capacity)), application, **parameters)
    try:
        yield built
    finally:
        built.close()


# ---- Many requests at a time, in the loop of a site ----


async def turns(count: int = 200) -> None:
    """Lets all tasks that can go on do so, many times over."""
    for _ in range(count):
        await asyncio.sleep(0)


def held(hold: asyncio.Event, *lines: str, **more: Any) -> Reply:
    return reply(*(lines or ("Cache-Control: max-age=600",)), before=[hold], **more)


def started(found: Site, method: str = "GET", url: str = "/", *lines: str, **more: Any) -> "asyncio.Task[Answer]":
    return asyncio.get_running_loop().create_task(found.asking(method, url, *lines, **more))
