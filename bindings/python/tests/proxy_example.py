"""The caching proxy of the examples as a process, for its tests: started in front of a server, asked in bytes, ended by its process id."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Iterator, List

from conftest import REPOSITORY, missing
from interpreter import PYTHON_PATH
from raw_http import PATIENCE_SECONDS, Incoming, Wire

EXAMPLE = REPOSITORY / "examples" / "python" / "caching_proxy.py"


@dataclass
class Proxy:
    process: "subprocess.Popen[str]"
    printed: str

    @property
    def port(self) -> int:
        found = re.match(r"http://127\.0\.0\.1:(\d+) ", self.printed)
        assert found, self.printed
        return int(found.group(1))

    def connect(self) -> Wire:
        return Wire(socket.create_connection(("127.0.0.1", self.port)))

    def ask(self, data: bytes) -> Incoming:
        wire = self.connect()
        wire.send(data)
        try:
            return wire.response(data.split(b" ")[0])
        finally:
            wire.close()

    def get(self, path: str, *fields: bytes) -> Incoming:
        lines = [b"GET %s HTTP/1.1" % path.encode("latin-1"), b"Host: shop.example", *fields, b"", b""]
        return self.ask(b"\r\n".join(lines))


@contextlib.contextmanager
def running(url: str, options: List[str]) -> Iterator[Proxy]:
    for module in ("httpx", "uvicorn"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} (PyPI)")
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(EXAMPLE), url, "--port", "0", *options],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    hanging = threading.Timer(PATIENCE_SECONDS, process.kill)
    hanging.start()
    try:
        assert process.stdout is not None
        printed = process.stdout.readline()
        assert printed, process.communicate()[1]
        yield Proxy(process, printed)
    finally:
        process.terminate()
        process.communicate()
        hanging.cancel()
