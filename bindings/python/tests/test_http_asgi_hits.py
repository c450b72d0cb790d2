"""How a hit is sent to an ASGI server: by a coroutine function, and by what the compiled module has in its place and nobody can tell from it."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import weakref
from types import FunctionType
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catzilla_cache._backend import backend
from catzilla_cache.http.asgi import CacheMiddleware
from catzilla_cache.http.asgi_hits import by_module, from_memory_first, in_python
from catzilla_cache.http.finder import ResponseFinder
from catzilla_cache.smart_cache import SmartCache
from http_scopes import make, scope_of, store
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory"]

native = getattr(backend, "native", None)
compiled: Any = getattr(native, "AsgiCall", None)


class Kind(NamedTuple):
    """A way to make `__call__`, with the finder that it asks."""

    name: str
    decorate: Callable[[Any], Any]
    finder: Any


KINDS = [Kind("in Python", in_python, ResponseFinder)]
if native is not None and compiled is not None:
    KINDS.append(Kind("compiled", lambda rest: by_module(compiled, rest), native.ResponseFinder))
only_compiled = pytest.mark.skipif(len(KINDS) == 1, reason="this backend has nothing compiled")


def middleware_of(kind: Kind, cache: SmartCache) -> Any:
    """What is a middleware to these: it has a finder, and thinks about what that does not answer."""

    class Middleware:
        def __init__(self) -> None:
            self._finder = make(kind.finder, cache)
            self.thought_about: List[Any] = []

        @kind.decorate
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            """Thinks."""
            self.thought_about.append((scope, receive, send))
            await asyncio.sleep(0)

    return Middleware()


@pytest.fixture(params=KINDS, ids=lambda kind: str(kind.name))
def kind(request: Any) -> Kind:
    found: Kind = request.param
    return found


async def receive() -> Dict[str, Any]:
    raise AssertionError("nobody asks for the body of a request that memory answers")


class Server:
    """What has been sent, by a `send` that takes a turn of the loop for each message."""

    def __init__(self) -> None:
        self.begun: List[Any] = []
        self.done: List[Any] = []

    async def send(self, message: Any) -> None:
        self.begun.append(message)
        await asyncio.sleep(0)
        self.done.append(message)


# ---- What is sent, and when ----


def test_the_body_is_not_sent_before_the_start_is_through(cache: SmartCache, kind: Kind) -> None:
    scope = scope_of()
    store(cache, scope, body=b"a body")

    async def run() -> None:
        app, begun, may_go_on = middleware_of(kind, cache), [], asyncio.Event()

        async def send(message: Any) -> None:
            begun.append(message["type"])
            await may_go_on.wait()

        task = asyncio.ensure_future(app(scope, receive, send))
        for _ in range(5):
            await asyncio.sleep(0)
        assert begun == ["http.response.start"] and not task.done()
        may_go_on.set()
        await task
        assert begun == ["http.response.start", "http.response.body"] and app.thought_about == []

    asyncio.run(run())


def test_what_is_no_hit_is_thought_about(cache: SmartCache, kind: Kind) -> None:
    scope, server = scope_of(), Server()

    async def run() -> None:
        app = middleware_of(kind, cache)
        assert await app(scope, receive, server.send) is None
        store(cache, scope)
        assert await app({"type": "lifespan"}, receive, server.send) is None
        assert [asked[0]["type"] for asked in app.thought_about] == ["http", "lifespan"] and server.begun == []
        assert await app(scope, receive, server.send) is None
        assert len(server.done) == 2 and len(app.thought_about) == 2

    asyncio.run(run())


def test_whoever_names_the_arguments_gets_an_answer_too(cache: SmartCache) -> None:
    scope = scope_of()
    store(cache, scope, body=b"a body")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the answer is stored")

    async def run() -> None:
        app = CacheMiddleware(application, cache_instance=cache, cache_rules={"/a": {"ttl": 1}, "/b": {"ttl": 2}})
        ways = (((scope, receive), ("send",)), ((scope,), ("receive", "send")), ((), ("scope", "receive", "send")))
        for arguments, named in ways:
            server = Server()
            everything: Dict[str, Any] = {"scope": scope, "receive": receive, "send": server.send}
            await app(*arguments, **{name: everything[name] for name in named})
            assert [message["type"] for message in server.done] == ["http.response.start", "http.response.body"]
        for wrong in ((), (scope,), (scope, receive, None, None)):
            with pytest.raises(TypeError, match="argument"):
                await app(*wrong)

    asyncio.run(fill_then(cache, scope, run))


async def fill_then(cache: SmartCache, scope: Any, run: Callable[[], Any]) -> None:
    """Has a middleware with the same rules store an answer under its own key."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"a body"})

    async def nothing() -> Dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    app = CacheMiddleware(application, cache_instance=cache, cache_rules={"/a": {"ttl": 1}, "/b": {"ttl": 2}})
    await app(scope, nothing, Server().send)
    await run()


def test_a_message_is_the_servers_own_to_change(cache: SmartCache, kind: Kind) -> None:
    scope = scope_of()
    store(cache, scope, body=b"a body")

    async def run() -> None:
        app, first, second = middleware_of(kind, cache), Server(), Server()
        for _ in range(3):
            await app(scope, receive, first.send)
        for message in first.done:
            if "headers" in message:
                message["headers"].clear()
            message.clear()
        await app(scope, receive, second.send)
        start, body = second.done
        assert len(start["headers"]) == 9 and body == {"type": "http.response.body", "body": b"a body"}

    asyncio.run(run())


# ---- What goes wrong ----


def test_a_server_that_fails_is_not_given_the_body(cache: SmartCache, kind: Kind) -> None:
    scope = scope_of()
    store(cache, scope)

    async def run() -> None:
        app, begun = middleware_of(kind, cache), []

        async def send(message: Any) -> None:
            begun.append(message["type"])
            await asyncio.sleep(0)
            raise OSError("the client is gone")

        with pytest.raises(OSError, match="the client is gone") as raised:
            await app(scope, receive, send)
        assert begun == ["http.response.start"] and raised.traceback[-1].name == "send"

    asyncio.run(run())


@pytest.mark.parametrize("after", [0, 1], ids=["the start", "the body"])
def test_a_request_that_is_cancelled_is_cancelled_within_send(cache: SmartCache, kind: Kind, after: int) -> None:
    scope = scope_of()
    store(cache, scope)

    async def run() -> None:
        app, begun, cancelled = middleware_of(kind, cache), [], []

        async def send(message: Any) -> None:
            begun.append(message["type"])
            if len(begun) > after:
                try:
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    cancelled.append(message["type"])
                    raise

        task = asyncio.ensure_future(app(scope, receive, send))
        while len(begun) <= after:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(begun) == after + 1 and cancelled == begun[-1:]

    asyncio.run(run())


def test_a_send_that_is_no_coroutine_function_is_awaited(cache: SmartCache, kind: Kind) -> None:
    scope = scope_of()
    store(cache, scope)

    async def run() -> None:
        app, loop, sent = middleware_of(kind, cache), asyncio.get_running_loop(), []

        def by_future(message: Any) -> Any:
            sent.append(message["type"])
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            return future

        class Awaitable:
            def __init__(self, message: Any) -> None:
                self.message = message

            def __await__(self) -> Any:
                yield from asyncio.sleep(0).__await__()
                sent.append(self.message["type"])

        for send in (by_future, Awaitable):
            await app(scope, receive, send)
        assert sent == 2 * ["http.response.start", "http.response.body"]

        with pytest.raises(TypeError, match="can't be (used|awaited)"):
            await app(scope, receive, lambda message: None)

        def stops(message: Any) -> Any:
            raise StopIteration(5)

        with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
            await app(scope, receive, stops)

    asyncio.run(run())


# ---- Step by step: a server's `send` that does anything, driven in any way ----


class Plan(NamedTuple):
    """What a `send` does: so many times it waits, each time doing this about what is thrown into it; and in the end it may fail."""

    caught: Tuple[str, ...]
    fails: bool


class Thrown(Exception):
    pass


async def carried_out(plan: Plan, told: List[Any], message: Any) -> None:
    told.append(message["type"])
    for turn, caught in enumerate(plan.caught):
        try:
            told.append(await Waiting(turn))
        except BaseException as error:
            told.append(type(error))
            if caught == "raise":
                raise
            if caught == "return":
                return
            if caught == "other":
                raise KeyError(turn) from None
            # Whatever it was.
            told.append(await Waiting(turn))
    if plan.fails:
        raise LookupError("in the end")


class Waiting:
    def __init__(self, turn: int) -> None:
        self.turn = turn

    def __await__(self) -> Any:
        return (yield self.turn)


def outcome_of(step: Callable[[], Any]) -> Any:
    try:
        return "went on", step()
    except StopIteration as error:
        return "is over", error.value
    except BaseException as error:
        return type(error), str(error)


def driven(kind: Kind, cache: SmartCache, scope: Any, plans: Tuple[Plan, Plan], steps: List[str]) -> List[Any]:
    """Everything that can be seen of an answer to a request that is driven by these steps."""
    told: List[Any] = []
    left = list(plans)
    answer = middleware_of(kind, cache)(scope, receive, lambda message: carried_out(left.pop(0), told, message))
    do: Dict[str, Callable[[], Any]] = {
        "send": lambda: answer.send(None),
        "send something": lambda: answer.send("something"),
        "throw": lambda: answer.throw(Thrown("thrown")),
        "throw a class": lambda: answer.throw(Thrown),
        "exit": lambda: answer.throw(GeneratorExit()),
        "close": lambda: answer.close(),
    }
    for step in [*steps, "close"]:
        told.append((step, outcome_of(do[step]), answer.cr_running))
    del answer, do
    return told


plans = st.builds(Plan, st.lists(st.sampled_from(["raise", "return", "other", "again"]), max_size=3).map(tuple), st.booleans())
steps = st.lists(
    st.sampled_from(["send", "send", "send", "send something", "throw", "throw a class", "exit", "close"]), min_size=1, max_size=10
)


@only_compiled
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(plans, plans), steps)
@example((Plan((), False), Plan((), False)), ["send", "send"])
@example((Plan(("return",), False), Plan(("raise",), False)), ["send", "throw", "send", "send"])
@example((Plan(("return",), False), Plan((), False)), ["send", "exit", "send"])
@example((Plan(("raise",), False), Plan((), False)), ["send something", "send", "close", "send"])
@example((Plan((), False), Plan(("other",), True)), ["send", "throw a class", "throw"])
def test_however_it_is_driven_it_does_what_a_coroutine_does(cache: SmartCache, plan: Tuple[Plan, Plan], steps: List[str]) -> None:
    scope = scope_of()
    store(cache, scope)
    in_python, by_module = (driven(kind, cache, scope, plan, steps) for kind in KINDS)
    assert by_module == in_python


@only_compiled
def test_an_answer_that_is_under_way_cannot_be_driven_by_another(cache: SmartCache) -> None:
    scope = scope_of()
    store(cache, scope)
    for kind in KINDS:
        answer: Any = None
        said: List[Any] = []

        async def send(message: Any) -> None:
            assert answer.cr_running
            for step in (lambda: answer.send(None), lambda: answer.throw(Thrown()), lambda: answer.close()):
                said.append(outcome_of(step))

        answer = middleware_of(kind, cache)(scope, receive, send)
        assert outcome_of(lambda: answer.send(None)) == ("is over", None)
        assert said == 6 * [(ValueError, "coroutine already executing")]


# ---- What it passes for ----


def test_frameworks_take_it_for_a_coroutine_function(cache: SmartCache, kind: Kind) -> None:
    app = middleware_of(kind, cache)
    assert inspect.iscoroutinefunction(app.__call__) and inspect.iscoroutinefunction(type(app).__call__)
    assert list(inspect.signature(app.__call__).parameters) == ["scope", "receive", "send"]
    assert app.__call__.__doc__ == "Thinks." and app.__call__.__name__ == "__call__"
    # What the module decorates with is one of the two.
    assert type(CacheMiddleware.__dict__["__call__"]) is (FunctionType if compiled is None else compiled)
    assert inspect.iscoroutinefunction(from_memory_first(CacheMiddleware.__call__))


def test_a_hit_is_a_coroutine_to_who_insists_on_one(cache: SmartCache, kind: Kind) -> None:
    scope, server = scope_of(), Server()
    store(cache, scope)

    async def run() -> None:
        app = middleware_of(kind, cache)
        answer = app(scope, receive, server.send)
        assert inspect.iscoroutine(answer) and inspect.isawaitable(answer) and asyncio.iscoroutine(answer)
        assert answer.__qualname__.endswith("__call__") and answer.__name__ == "__call__"
        task = asyncio.get_running_loop().create_task(answer)
        await asyncio.sleep(0)
        assert inspect.getcoroutinestate(answer) in ("CORO_SUSPENDED", "CORO_CLOSED") and repr(task)
        assert len(task.get_stack()) <= 3
        await task
        assert inspect.getcoroutinestate(answer) == "CORO_CLOSED"
        async with anyio.create_task_group() as group:
            group.start_soon(app, scope, receive, server.send)
            group.start_soon(app, {"type": "lifespan"}, receive, server.send)
        assert len(server.done) == 4 and len(app.thought_about) == 1

    asyncio.run(run())


def test_a_subclass_may_have_a_call_of_its_own(cache: SmartCache) -> None:
    class Counting(CacheMiddleware):
        calls = 0

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.calls += 1
            await super().__call__(scope, receive, send)

    reached = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"a body"})

    async def nothing() -> Dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def run() -> None:
        app, server = Counting(application, cache_instance=cache), Server()
        for _ in range(3):
            await app(scope_of(), nothing, server.send)
        assert app.calls == 3 and len(reached) == 1 and [message.get("body") for message in server.done[1::2]] == 3 * [b"a body"]

    asyncio.run(run())


# ---- What is left of it ----


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_an_answer_that_nobody_finishes_goes_with_what_it_holds(cache: SmartCache, kind: Kind, steps: int) -> None:
    scope = scope_of()
    store(cache, scope)

    class Send:
        """In a cycle with the answer."""

        answer: Optional[Any] = None

        async def __call__(self, message: Any) -> None:
            await Waiting(0)

    send = Send()
    send.answer = middleware_of(kind, cache)(scope, receive, send)
    for _ in range(steps):
        send.answer.send(None)
    gone = weakref.ref(send)
    del send
    gc.collect()
    assert gone() is None


def test_hits_leave_nothing_behind(cache: SmartCache, kind: Kind) -> None:
    scope = scope_of()
    store(cache, scope)

    async def run() -> None:
        app, server = middleware_of(kind, cache), Server()

        async def hits(count: int) -> None:
            for _ in range(count):
                await app(scope, receive, server.send)
                server.__init__()  # type: ignore[misc]

        await hits(50)
        gc.collect()
        blocks = sys.getallocatedblocks()
        await hits(2000)
        gc.collect()
        # One that stays would be two thousand.
        assert sys.getallocatedblocks() - blocks < 500

    asyncio.run(run())
