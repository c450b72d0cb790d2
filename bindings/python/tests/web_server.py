"""A web server of several processes for a test: started on a free port, asked over HTTP, stopped by its process id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator, Sequence

from interpreter import PYTHON_PATH
from redis_server import free_port

#: Far beyond what anything takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 240.0
#: Requests at the same time, so that no worker takes them all.
_ASKING = 6


class WebServer:
    def __init__(self, port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.port = port
        self.process = process
        self.log = log

    def get(self, path: str) -> Any:
        """The JSON that a path answers with."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def answers_of(self, workers: int, path: str) -> "dict[int, Any]":
        """What each of so many workers has answered last, by its process id (a field "pid" of the answer)."""
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + PATIENCE_SECONDS

        def ask() -> None:
            while len(answers) < workers and time.monotonic() < deadline:
                answer = self.get(path)
                answers[answer["pid"]] = answer

        threads = [threading.Thread(target=ask) for _ in range(_ASKING)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def stop(self) -> tuple[int, str]:
        """Ends it as an operator would. Its exit status, and all it had to say."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_SECONDS)
        return status, self.log.read_text()


@contextlib.contextmanager
def running(folder: Path, arguments: Sequence[str], path: str) -> Iterator[WebServer]:
    """Runs ``python -m`` with these arguments, ``PORT`` being replaced, in the program's folder, until ``path`` answers."""
    # Somebody else may take the port that was free.
    for attempt in range(5):
        port, log = free_port(), folder / f"log-{attempt}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *(argument.replace("PORT", str(port)) for argument in arguments)],
                env={**os.environ, "PYTHONPATH": PYTHON_PATH},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # So that what is left of it can be ended, whatever the test finds.
                start_new_session=True,
            )
        server = WebServer(port, process, log)
        try:
            if _answers(server, path):
                yield server
                return
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    raise AssertionError(f"the server could not be started:\n{log.read_text()}")


def _answers(server: WebServer, path: str) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            server.get(path)
            return True
        time.sleep(0.02)
    return False
