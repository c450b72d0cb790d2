"""A real redis-server for a test: on a free port of 127.0.0.1, with its data in the test's folder, stopped by its process id."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator

# Far beyond what it takes; reaching it means "never".
PATIENCE_SECONDS = 20.0


class RedisServer:
    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        #: While it runs.
        self.process: "subprocess.Popen[bytes] | None" = None

    def ask(self, command: str) -> str:
        """The first line of the answer to a command that is sent as a line."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(command.encode() + b"\r\n")
            with connection.makefile("rb") as answer:
                return answer.readline().decode().strip()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """While it takes connections and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it now; who is connected notices."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


@contextlib.contextmanager
def running(folder: Path, port: int = 0) -> Iterator[RedisServer]:
    # Somebody else may take the port that was free.
    for _ in range(5):
        server = RedisServer(port or free_port())
        process = subprocess.Popen(
            ["redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", str(server.port)]
            + ["--dir", str(folder)],
            stdout=subprocess.DEVNULL,
        )
        try:
            server.process = process
            if _answers(server, process):
                yield server
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError("redis-server could not be started")


def _answers(server: RedisServer, process: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if server.ask("PING") == "+PONG":
                return True
        time.sleep(0.01)
    return False
