"""What does a hit cost behind a real server, and how slow are the slowest answers while entries expire? Under wrk.

uvicorn serves each candidate in a process of its own on one core, wrk asks from another one where there are two. All servers run
from the beginning and take turns, so that what drifts on a machine drifts for all; a figure is compared with that of its neighbours
in the same round, and medians are printed. Processor time is that of the server's process, user's and system's, by the requests
that wrk counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Iterator, List, Optional, Tuple

import http_contestants
from http_contestants import BODY, BROWSER, ORIGIN, OURS, PATH, RAW, TELLING_NOTHING, UNCOMPRESSED, Contestant

#: Short turns, so that what is compared is close in time.
ROUNDS, SECONDS = 21, 1
QUICK_ROUNDS, QUICK_SECONDS = 3, 1
#: Enough that the server never waits for a request.
CONNECTIONS = 64
#: Far beyond what a server takes to start.
PATIENCE_SECONDS = 60.0

#: From here on a row says that the machine was busy, and its requests a second mean little.
BUSY = 0.05

#: What expires: this many URLs, each for this long. An application takes 20 ms to answer and to say that nothing has changed.
URLS = 50
FRESH_SECONDS = 1
ORIGIN_SECONDS = 0.02
#: Few, so that a quantile is of answers and not of the queue in front of a busy server.
FEW_CONNECTIONS = 8
EXPIRY_ROUNDS, EXPIRY_SECONDS = 7, 4
QUICK_EXPIRY_ROUNDS, QUICK_EXPIRY_SECONDS = 3, 2


# Within a server's process.


def slow_origin(cache_control: bytes) -> Any:
    """Takes its time, also to find that the client's copy is still good."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        ORIGIN.calls += 1
        await asyncio.sleep(ORIGIN_SECONDS)
        headers = [(b"content-type", b"application/json"), (b"cache-control", cache_control), (b"etag", b'"1"')]
        if (b"if-none-match", b'"1"') in scope["headers"]:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, (b"content-length", b"1024")]})
        await send({"type": "http.response.body", "body": BODY})

    return app


def cached(app: Any) -> Callable[[], Awaitable[Any]]:
    async def make() -> Any:
        from catzilla_cache.cache_middleware import CacheMiddleware

        return CacheMiddleware(app)

    return make


async def raw_app_with_fields(scope: Any, receive: Any, send: Any) -> None:
    """The raw application, if it sent the fields that a hit has more: what the server itself takes for them."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"1024"),
        (b"cache-control", b"public, max-age=3600"),
        (b"etag", b'"kFTlspY4TUFuiqZ7P7BhEg"'),
        (b"age", b"1"),
        (b"x-cache", b"HIT"),
        (b"x-cache-time", b"1"),
        (b"cache-status", b"catzilla; hit; ttl=3599"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


RAW_WITH_FIELDS = "raw ASGI app with a hit's fields"
SHORT = b"s-maxage=%d" % FRESH_SECONDS
EXPIRING: List[Contestant] = [
    Contestant("not cached", "frameworks", http_contestants.uncached(lambda: slow_origin(SHORT)), is_cached=False),
    Contestant("cached, no stale answers", "frameworks", cached(slow_origin(SHORT)), is_ours=True),
    Contestant(
        "with stale-while-revalidate", "frameworks", cached(slow_origin(SHORT + b", stale-while-revalidate=60")), is_ours=True
    ),
]
SERVED = [
    http_contestants.named(RAW),
    Contestant(RAW_WITH_FIELDS, "frameworks", http_contestants.uncached(lambda: raw_app_with_fields), is_cached=False),
    *map(
        http_contestants.named,
        (OURS, TELLING_NOTHING, UNCOMPRESSED, "ours around the raw app, ctypes", http_contestants.STARLETTE, http_contestants.FASTAPI),
    ),
]


def with_calls(app: Any) -> Any:
    """In front of everything: how often the application was reached."""

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/calls":
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": str(ORIGIN.calls).encode()})

    return counting


def serve(name: str, port: int) -> None:
    import uvicorn

    one = next(one for one in SERVED + EXPIRING if one.name == name)
    app = with_calls(asyncio.run(one.make()))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off", loop="auto", http="auto")


# In the process that compares.


class Cores:
    """The server on one, who asks on another; anywhere when there is only one."""

    def __init__(self) -> None:
        available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
        self.are_apart = len(available) > 1 and shutil.which("taskset") is not None
        self.server, self.client = available[0], available[-1]

    def command(self, core: int, arguments: List[str]) -> List[str]:
        return ["taskset", "-c", str(core), *arguments] if self.are_apart else arguments


class Server:
    def __init__(self, one: Contestant, cores: Cores) -> None:
        self.one = one
        self.port = free_port()
        self.process = subprocess.Popen(
            cores.command(cores.server, [sys.executable, __file__, one.name, str(self.port)]),
            env=http_contestants.environment_of(one),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(BROWSER[2:]))
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            body: bytes = answer.read()
        return body

    def calls(self) -> int:
        return int(self.get("/calls"))

    def wait(self) -> str:
        """Until it answers; else what went wrong."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.calls()
                return ""
            time.sleep(0.05)
        self.process.kill()
        errors = self.process.communicate()[1].decode().strip().splitlines()
        return errors[-1] if errors else "did not answer"

    def processor_seconds(self) -> float:
        """User's and system's, of its process."""
        # After the name, which is in brackets and may hold anything: the 12th and 13th field are times in ticks.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_seconds(self) -> float:
        """For how long it could have run, and somebody else had its core."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Asked:
    """What wrk found."""

    requests: int
    rate: float
    #: Milliseconds, by percent.
    quantiles: Dict[int, float]
    errors: int


_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def wrk(server: Server, cores: Cores, seconds: int, connections: int, script: str = "", path: str = PATH) -> Asked:
    with tempfile.TemporaryDirectory() as folder:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"]
        if script:
            file = Path(folder, "requests.lua")
            file.write_text(script)
            command += ["-s", str(file)]
        for name, value in BROWSER:
            # wrk would add a second Host to one that is not written in this way.
            command += ["-H", f"{name.title()}: {value}"]
        command.append(f"http://127.0.0.1:{server.port}{path}")
        printed = subprocess.run(cores.command(cores.client, command), stdout=subprocess.PIPE, text=True, check=True).stdout
    count = re.search(r"(\d+) requests in", printed)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert count and rate, printed
    quantiles = {
        int(percent): float(value) * _UNITS[unit]
        for percent, value, unit in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)$", printed, re.MULTILINE)
    }
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    errors = int(refused.group(1)) if refused else 0
    errors += sum(map(int, broken.groups())) if broken else 0
    return Asked(int(count.group(1)), float(rate.group(1)), quantiles, errors)


#: Asks for one URL after the other.
IN_TURN = """
local number = 0
request = function()
    number = number + 1
    return wrk.format("GET", "/api/items/" .. (number %% %d))
end
"""

#: Nine in ten for one of a hundred URLs, one in ten for a URL that nobody has asked for.
NINE_IN_TEN = """
local number = 0
request = function()
    number = number + 1
    if number % 10 == 0 then
        return wrk.format("GET", "/api/items/" .. (1000000 + number))
    end
    return wrk.format("GET", "/api/items/" .. math.floor(100 * math.random() * math.random()))
end
"""


@dataclass
class LoadRow:
    one: Contestant
    trouble: str = ""
    rates: List[float] = field(default_factory=list)
    #: Microseconds of processor time a request.
    cpu: List[float] = field(default_factory=list)
    p99: List[float] = field(default_factory=list)
    #: The share of the time in which somebody else had the server's core.
    waited: List[float] = field(default_factory=list)
    errors: int = 0

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        return statistics.median(self.cpu)


@contextlib.contextmanager
def servers(contestants: List[Contestant], cores: Cores) -> Iterator[List[Tuple[LoadRow, Optional[Server]]]]:
    started: List[Tuple[LoadRow, Optional[Server]]] = []
    try:
        for one in contestants:
            row = LoadRow(one)
            server = None
            if not http_contestants.is_installed(one):
                row.trouble = f"not installed: {one.packages}"
            else:
                server = Server(one, cores)
                row.trouble = server.wait()
            started.append((row, None if row.trouble else server))
        yield started
    finally:
        for _, server in started:
            if server is not None:
                server.stop()


def measure(is_quick: bool, wanted: Callable[[Contestant], bool] = lambda one: True) -> Tuple[List[LoadRow], Dict[str, float]]:
    """Requests a second and processor time for hits and for what is not cached; and the rate at nine hits in ten."""
    cores = Cores()
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if is_quick else (ROUNDS, SECONDS)
    mixture: Dict[str, float] = {}
    with servers([one for one in SERVED if wanted(one)], cores) as contestants:
        running = [(row, server) for row, server in contestants if server is not None]
        for row, server in running:
            server.get(PATH)
            wrk(server, cores, 1, CONNECTIONS)
        for round_ in range(rounds):
            turn = round_ % max(1, len(running))
            for row, server in running[turn:] + running[:turn]:
                calls, busy, waited = server.calls(), server.processor_seconds(), server.waited_seconds()
                asked = wrk(server, cores, seconds, CONNECTIONS)
                busy, waited = server.processor_seconds() - busy, server.waited_seconds() - waited
                if row.one.is_cached and server.calls() != calls:
                    row.trouble = f"not cached: {server.calls() - calls} of {asked.requests} requests reached the application"
                row.rates.append(asked.rate)
                row.cpu.append(busy / asked.requests * 1e6)
                row.p99.append(asked.quantiles[99])
                row.waited.append(waited / seconds)
                row.errors += asked.errors
        for row, server in running:
            if row.one.name == OURS:
                wrk(server, cores, 1, CONNECTIONS, NINE_IN_TEN)
                calls = server.calls()
                asked = wrk(server, cores, seconds, CONNECTIONS, NINE_IN_TEN.replace("1000000", "9000000"))
                mixture = {"rate": asked.rate, "hits": 1 - (server.calls() - calls) / asked.requests}
        return [row for row, _ in contestants], mixture


def table(rows: List[LoadRow]) -> Iterator[str]:
    yield f"{'':<40}{'requests/s':>12}{'of raw':>9}{'CPU us/request':>16}{'of raw':>9}{'p99 ms':>9}"
    raw = next((row for row in rows if row.one.name == RAW and row.rates), None)
    for row in rows:
        if row.trouble or not row.rates:
            yield f"    {row.one.name:<36}    {row.trouble}"
            continue
        shares = ("", "") if raw is None else (f"{share(row.rates, raw.rates):.0%}", f"{share(row.cpu, raw.cpu):.0%}")
        wrong = f"   {row.errors} wrong answers" if row.errors else ""
        waited = statistics.median(row.waited)
        if waited > BUSY:
            wrong += f"   (machine busy: waited {waited:.0%})"
        yield (
            f"    {row.one.name:<36}{row.rate:>12.0f}{shares[0]:>9}{row.cost:>16.2f}{shares[1]:>9}"
            f"{statistics.median(row.p99):>9.2f}{wrong}"
        )


def share(ours: List[float], theirs: List[float]) -> float:
    """The median of the quotients of the same rounds."""
    return statistics.median(one / other for one, other in zip(ours, theirs))


@dataclass
class ExpiryRow:
    one: Contestant
    trouble: str
    asked: List[Asked] = field(default_factory=list)
    #: How often the application was reached, a second.
    calls: List[float] = field(default_factory=list)
    waited: List[float] = field(default_factory=list)


def measure_expiry(is_quick: bool, wanted: Callable[[Contestant], bool] = lambda one: True) -> List[ExpiryRow]:
    """Quantiles while entries expire."""
    cores = Cores()
    rounds, seconds = (QUICK_EXPIRY_ROUNDS, QUICK_EXPIRY_SECONDS) if is_quick else (EXPIRY_ROUNDS, EXPIRY_SECONDS)
    with servers([one for one in EXPIRING if wanted(one)], cores) as contestants:
        rows = [(ExpiryRow(row.one, row.trouble), server) for row, server in contestants]
        for _ in range(rounds):
            for row, server in rows:
                if server is None:
                    continue
                # What has been stale since this one's last turn is fresh, or at least known to be stale, when the figures begin.
                wrk(server, cores, 1, FEW_CONNECTIONS, IN_TURN % URLS)
                calls, waited = server.calls(), server.waited_seconds()
                row.asked.append(wrk(server, cores, seconds, FEW_CONNECTIONS, IN_TURN % URLS))
                row.calls.append((server.calls() - calls) / seconds)
                row.waited.append((server.waited_seconds() - waited) / seconds)
        return [row for row, _ in rows]


def expiry_table(rows: List[ExpiryRow]) -> Iterator[str]:
    yield f"{'':<40}{'requests/s':>12}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'calls of the application/s':>30}"
    for row in rows:
        if not row.asked:
            yield f"    {row.one.name:<36}    {row.trouble}"
            continue
        rate = statistics.median(asked.rate for asked in row.asked)
        quantiles = "".join(f"{statistics.median(asked.quantiles[percent] for asked in row.asked):>9.2f}" for percent in (50, 90, 99))
        errors, waited = sum(asked.errors for asked in row.asked), statistics.median(row.waited)
        notes = (f"   {errors} wrong answers" if errors else "") + (f"   (machine busy: waited {waited:.0%})" if waited > BUSY else "")
        yield f"    {row.one.name:<36}{rate:>12.0f}{quantiles}{statistics.median(row.calls):>30.0f}{notes}"


def means() -> Tuple[str, str]:
    """What is measured with, in words; and what is missing, if anything is."""
    if shutil.which("wrk") is None:
        return "", "wrk is not installed (Debian package wrk)"
    command = [
        sys.executable,
        "-c",
        "import uvicorn\nfor name in ('httptools', 'uvloop'):\n  try: __import__(name); print(name)\n  except ImportError: pass",
    ]
    raw = http_contestants.named(RAW)
    found = subprocess.run(command, env=http_contestants.environment_of(raw), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if found.returncode != 0:
        return "", "uvicorn is not installed"
    parser = "httptools" if "httptools" in found.stdout else "h11"
    loop = "uvloop" if "uvloop" in found.stdout else "asyncio"
    apart = "server and wrk on a core each" if Cores().are_apart else "server and wrk share a core"
    return f"uvicorn with {parser} and {loop}; {apart}", ""


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
