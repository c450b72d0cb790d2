"""How long does a request take that the cache answers, without a server around it? Microseconds, beside the peers.

Every contestant has a process of its own, filled and warmed up; then they take turns. A round drives batches of requests through
the application by awaiting it: nothing is scheduled unless the application makes itself wait. What a server makes anew for each
request (scope, field names and values: objects nobody has hashed before) is made before a batch and not timed; a batch is small
enough to stay in the processor's cache. What counts is the median over the batches and rounds; processor time is of all threads.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import random
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import http_contestants
from http_contestants import BARE, BROWSER, CONTESTANTS, DOCUMENT, ORIGIN, PATH, Contestant

#: What is asked: the request's fields, and its query.
FORMS: Dict[str, Tuple[List[Tuple[str, str]], bytes]] = {
    "2 fields": (BARE, b""),
    "8 fields": (BROWSER, b""),
    "8 and a query": (BROWSER, b"sort=price&page=2&_=1700000000000"),
}
USUAL = "8 fields"

#: Requests in a batch, at most; of slow contestants fewer, since what takes no longer than this is rarely interrupted.
BATCH = 50
BATCH_NANOSECONDS = 300_000
ROUNDS = 9
QUICK_ROUNDS = 3
#: How long a contestant's turn is in a round, about.
TURN_SECONDS = 0.15

# The mixture of the claim about requests a second: nine in ten from this many URLs, some of them far more often than others; one in
# ten for a URL that nobody has asked for.
MIXTURE_URLS = 10_000
MIXTURE_REQUESTS = 40_000


# Within a contestant's process.


class Exchange:
    """What a server has for each request: it takes the messages and sees to it that they are an answer."""

    __slots__ = ("status", "headers", "parts", "is_complete", "has_received")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Any = ()
        self.parts: List[bytes] = []
        self.is_complete = False
        self.has_received = False

    async def receive(self) -> Dict[str, Any]:
        if self.has_received:
            # The client stays; whoever waits for it to leave waits until it is cancelled.
            await asyncio.get_running_loop().create_future()
        self.has_received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = message["headers"]
        else:
            self.parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                self.is_complete = True


class WsgiExchange:
    __slots__ = ("status", "headers", "parts", "is_complete")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Any = ()
        self.parts: List[bytes] = []
        self.is_complete = False

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        self.status = int(status[:3])
        self.headers = headers
        return self.parts.append


def fresh(text: str) -> bytes:
    return text.encode("latin-1")


def scope_of(fields: List[Tuple[str, str]], path: str, query: bytes) -> Dict[str, Any]:
    """What uvicorn makes of a request."""
    raw_path = fresh(path)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "root_path": "",
        "headers": [(fresh(name), fresh(value)) for name, value in fields],
        "state": {},
        "method": "GET",
        "path": raw_path.decode("ascii"),
        "raw_path": raw_path,
        "query_string": bytes(bytearray(query)),
    }


def environ_of(fields: List[Tuple[str, str]], path: str, query: bytes) -> Dict[str, Any]:
    """What PEP 3333 wants, and what gunicorn adds."""
    environ: Dict[str, Any] = {
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
        "SERVER_SOFTWARE": "gunicorn/27.0.1",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": fresh(path).decode("latin-1"),
        "RAW_URI": path,
        "QUERY_STRING": bytes(bytearray(query)).decode("ascii"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
    }
    for name, value in fields:
        environ["HTTP_" + name.upper().replace("-", "_")] = fresh(value).decode("latin-1")
    return environ


async def drive(app: Any, scopes: List[Any], exchanges: List[Exchange]) -> int:
    begin = time.perf_counter_ns()
    for scope, exchange in zip(scopes, exchanges):
        await app(scope, exchange.receive, exchange.send)
    return time.perf_counter_ns() - begin


async def drive_wsgi(app: Any, environs: List[Any], exchanges: List[WsgiExchange]) -> int:
    begin = time.perf_counter_ns()
    for environ, exchange in zip(environs, exchanges):
        body = app(environ, exchange.start_response)
        exchange.parts.extend(body)
        close = getattr(body, "close", None)
        if close is not None:
            close()
        exchange.is_complete = True
    return time.perf_counter_ns() - begin


def check(exchanges: List[Any]) -> None:
    for exchange in exchanges:
        body = b"".join(exchange.parts)
        if not exchange.is_complete or exchange.status != 200 or json.loads(body) != DOCUMENT:
            raise AssertionError(f"not the answer: {exchange.status} {body[:80]!r}, complete: {exchange.is_complete}")


class Driver:
    """A contestant's application, and requests for it."""

    def __init__(self, one: Contestant, app: Any) -> None:
        self.one = one
        self.app = app
        self.drive: Any = drive_wsgi if one.is_wsgi else drive
        self.request_of = environ_of if one.is_wsgi else scope_of
        self.exchange: Any = WsgiExchange if one.is_wsgi else Exchange

    async def batch(self, requests: List[Any]) -> Tuple[int, int]:
        """Nanoseconds and nanoseconds of processor time that these took."""
        exchanges = [self.exchange() for _ in requests]
        busy = time.process_time_ns()
        taken = await self.drive(self.app, requests, exchanges)
        busy = time.process_time_ns() - busy
        check(exchanges)
        return taken, busy

    async def round(self, form: str, seconds: float) -> Dict[str, Any]:
        fields, query = FORMS[form]
        size = BATCH
        while (await self.batch([self.request_of(fields, PATH, query) for _ in range(size)]))[0] > BATCH_NANOSECONDS and size > 2:
            size //= 2
        gc.collect()
        gc.disable()
        calls, taken, busy = ORIGIN.calls, [], []
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline or len(taken) < 3:
            one, other = await self.batch([self.request_of(fields, PATH, query) for _ in range(size)])
            taken.append(one)
            busy.append(other)
        gc.enable()
        if self.one.is_cached and ORIGIN.calls != calls:
            raise AssertionError(f"not cached: {ORIGIN.calls - calls} of {size * len(taken)} requests reached the application")
        return {"wall": statistics.median(taken) / size, "cpu": statistics.median(busy) / size}

    async def mixture(self, requests: int) -> Dict[str, Any]:
        """Requests a second of processor time where nine in ten are for URLs that are asked for again and again; and how many did hit."""
        choose = random.Random(7)
        weights = [1 / rank for rank in range(1, MIXTURE_URLS + 1)]
        warm = choose.choices(range(MIXTURE_URLS), weights, k=requests)
        new = iter(range(MIXTURE_URLS, MIXTURE_URLS + requests))
        paths = [f"/api/items/{next(new) if choose.random() < 0.1 else number}" for number in warm]
        for number in range(MIXTURE_URLS):
            await self.batch([self.request_of(BROWSER, f"/api/items/{number}", b"")])
        calls, busy = ORIGIN.calls, 0
        for start in range(0, requests, BATCH):
            busy += (await self.batch([self.request_of(BROWSER, path, b"") for path in paths[start : start + BATCH]]))[1]
        return {"rate": requests / busy * 1e9, "hits": 1 - (ORIGIN.calls - calls) / requests}


async def serve_rounds(one: Contestant) -> None:
    """Answers each line of the standard input (a method and its arguments) with a line."""
    driver = Driver(one, await one.make())
    for line in sys.stdin:
        wish, *arguments = json.loads(line)
        print(json.dumps(await getattr(driver, wish)(*arguments)), flush=True)


# In the process that compares.


@dataclass
class Row:
    one: Contestant
    process: Optional["subprocess.Popen[str]"] = None
    #: Why it has no figures.
    trouble: str = ""
    wall: Dict[str, List[float]] = field(default_factory=dict)
    cpu: Dict[str, List[float]] = field(default_factory=dict)

    def start(self) -> None:
        if not http_contestants.is_installed(self.one):
            self.trouble = f"not installed: {self.one.packages}"
            return
        self.process = subprocess.Popen(
            [sys.executable, __file__, self.one.name],
            env=http_contestants.environment_of(self.one),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *wish: Any) -> Any:
        """What its process answers; None when it has come to an end, which is then told in `trouble`."""
        process = self.process
        if process is None or self.trouble:
            return None
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(wish) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (OSError, ValueError):
            process.kill()
            errors = process.communicate()[1].strip().splitlines()
            self.trouble = errors[-1] if errors else f"ended with status {process.returncode}"
            return None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.communicate()

    def median(self, form: str, what: str = "wall") -> float:
        """Microseconds."""
        return statistics.median(getattr(self, what)[form]) / 1e3


def measure(is_quick: bool, wanted: Callable[[Contestant], bool] = lambda one: True) -> Tuple[List[Row], Dict[str, Dict[str, float]]]:
    """Every contestant's row, and the mixture for those of ours that the promises are about, by name."""
    rows = [Row(one) for one in CONTESTANTS if wanted(one)]
    try:
        for row in rows:
            row.start()
        rounds, seconds = (QUICK_ROUNDS, TURN_SECONDS / 3) if is_quick else (ROUNDS, TURN_SECONDS)
        for round_ in range(rounds + 1):
            turn = round_ % len(rows)
            for row in rows[turn:] + rows[:turn]:
                for form in FORMS:
                    answer = row.ask("round", form, seconds)
                    if answer is not None and round_ > 0:  # the first is for warming up
                        row.wall.setdefault(form, []).append(answer["wall"])
                        row.cpu.setdefault(form, []).append(answer["cpu"])
        requests = MIXTURE_REQUESTS // (4 if is_quick else 1)
        mixtures = {}
        for row in rows:
            if row.one.is_promised and not row.one.is_wsgi:
                answer = row.ask("mixture", requests)
                if answer is not None:
                    mixtures[row.one.name] = answer
        return rows, mixtures
    finally:
        for row in rows:
            row.stop()


def table(rows: List[Row]) -> Iterator[str]:
    yield f"{'microseconds a request':<40}" + "".join(f"{form:>15}" for form in FORMS) + f"{'CPU, ' + USUAL:>16}"
    for row in rows:
        if row.trouble or not row.wall:
            yield f"    {row.one.name:<36}    {row.trouble or 'no figures'}"
            continue
        cells = [f"{row.median(form):>15.2f}" for form in FORMS]
        yield f"    {row.one.name:<36}" + "".join(cells) + f"{row.median(USUAL, 'cpu'):>16.2f}"


if __name__ == "__main__":
    asyncio.run(serve_rounds(http_contestants.named(sys.argv[1])))
