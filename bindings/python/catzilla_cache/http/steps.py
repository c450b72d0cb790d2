"""Work that waits now and then, written once for tasks and for threads: a generator yields what it waits for, and is sent the result."""

from __future__ import annotations

from typing import Any, Callable, Generator, NamedTuple, Tuple, TypeVar, Union

from catzilla_cache._flights import Flight, TooLate
from catzilla_cache._loading_async import off_loop

Result = TypeVar("Result")


class Call(NamedTuple):
    """A call that may wait for Redis or the disk."""

    function: Callable[..., Any]
    arguments: Tuple[Any, ...]


class Landing(NamedTuple):
    """What another request is fetching. ``TooLate`` and ``Abandoned`` are raised into the generator."""

    flight: Flight[Any]
    seconds: float


Steps = Generator[Union[Call, Landing], Any, Result]


async def in_task(steps: Steps[Result]) -> Result:
    """Does the work in a task, whose loop is never held up."""
    try:
        step = next(steps)
        while True:
            try:
                if isinstance(step, Call):
                    result = await off_loop(step.function, *step.arguments)
                else:
                    result = await step.flight.wait_async(step.seconds)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()


def in_thread(steps: Steps[Result]) -> Result:
    """Does the work in a thread, which waits."""
    return _in_thread(steps, lambda landing: landing.flight.wait(landing.seconds))


def in_only_thread(steps: Steps[Result]) -> Result:
    """Does the work in a thread that serves one request after the other: it never waits for what another request is fetching."""
    return _in_thread(steps, _too_late)


def _in_thread(steps: Steps[Result], wait: Callable[[Landing], Any]) -> Result:
    try:
        step = next(steps)
        while True:
            try:
                result = wait(step) if isinstance(step, Landing) else step.function(*step.arguments)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()


def _too_late(landing: Landing) -> Any:
    raise TooLate
