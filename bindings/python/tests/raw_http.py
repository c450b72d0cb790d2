"""HTTP in bytes, for tests that want to see what is really sent: both ends of a connection, and a server that says what it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterator, List, Optional, Tuple

#: Far beyond what anything takes on a slow machine; reaching it means "never".
PATIENCE_SECONDS = 120.0

Fields = List[Tuple[bytes, bytes]]


@dataclass
class Incoming:
    """A message as it came: its first line, its fields with their names as written, its body with no chunks left."""

    line: bytes
    fields: Fields
    body: bytes = b""

    def all(self, name: bytes) -> List[bytes]:
        return [value for other, value in self.fields if other.lower() == name]

    def one(self, name: bytes) -> Optional[bytes]:
        found = self.all(name)
        assert len(found) < 2, found
        return found[0] if found else None

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])


class Wire:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        self.connection = connection
        self.file = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def head(self) -> Optional[Incoming]:
        """The next message up to its body; None when the other end has closed."""
        line = self.file.readline()
        if not line:
            return None
        assert line.endswith(b"\r\n"), line
        fields: Fields = []
        while True:
            field_line = self.file.readline()
            if field_line == b"\r\n":
                return Incoming(line[:-2], fields)
            name, _, value = field_line[:-2].partition(b":")
            fields.append((name, value.strip(b" \t")))

    def chunk(self) -> bytes:
        """Of a body in chunks; empty at the end, after which trailers are read and forgotten."""
        size = int(self.file.readline().split(b";")[0], 16)
        data = self.file.read(size)
        while True:
            line = self.file.readline()
            assert line.endswith(b"\r\n"), line
            if size or line == b"\r\n":
                return data

    def body_of(self, message: Incoming, *, until_closed: bool = False) -> bytes:
        if message.one(b"transfer-encoding") is not None:
            return b"".join(iter(self.chunk, b""))
        length = message.one(b"content-length")
        if length is not None:
            body = self.file.read(int(length))
            assert len(body) == int(length), "broken off"
            return body
        return self.file.read() if until_closed else b""

    def message(self) -> Optional[Incoming]:
        message = self.head()
        if message is not None:
            message.body = self.body_of(message)
        return message

    def response(self, method: bytes = b"GET") -> Incoming:
        message = self.head()
        assert message is not None, "closed without a response"
        if method != b"HEAD" and message.status not in (204, 304):
            message.body = self.body_of(message, until_closed=True)
        return message

    def is_closed_by_the_other(self) -> bool:
        """Waits for the other end to say nothing more."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.file.close()
        self.connection.close()


Handler = Callable[[Wire, Incoming], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Upstream:
    """A server of the test: what a path answers is bytes, or a function that has the connection to itself."""

    listener: socket.socket
    answers: Dict[str, "bytes | Handler"] = field(default_factory=dict)
    seen: List[Incoming] = field(default_factory=list)
    wires: List[Wire] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire = Wire(self.listener.accept()[0])
                self.wires.append(wire)
                threading.Thread(target=self.talk, args=(wire,), daemon=True).start()

    def talk(self, wire: Wire) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                request = wire.head()
                if request is None:
                    return
                self.seen.append(request)
                path = request.line.split(b" ")[1].split(b"?")[0].decode("latin-1")
                answer = self.answers.get(path, OK)
                if callable(answer):
                    answer(wire, request)
                else:
                    request.body = wire.body_of(request)
                    wire.send(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.line.startswith(b"HEAD ") else answer)

    @property
    def last(self) -> Incoming:
        return self.seen[-1]

    def stop(self) -> None:
        # Wakes who waits for a connection, which closing alone does not.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for wire in self.wires:
            with contextlib.suppress(OSError):
                wire.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def running_upstream() -> Iterator[Upstream]:
    upstream = Upstream(socket.create_server(("127.0.0.1", 0), backlog=64))
    thread = threading.Thread(target=upstream.accept)
    thread.start()
    try:
        yield upstream
    finally:
        upstream.stop()
        thread.join()
