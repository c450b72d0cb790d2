"""Enough of Redis' protocol to look at a server: one connection, commands in batches. The standard library is all it needs.

The library's own client is in the engine, and shows values only; this one asks for what commands want to print.
"""

from __future__ import annotations

import socket
import ssl
from typing import Sequence, Union
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from catzilla_cache.command.failure import Failure, Refusal

#: What Redis answers with. An error within a batch is an answer, too.
Reply = Union[bytes, int, None, "list[Reply]", "RedisError"]

_TLS = ("rediss", "valkeys")
_TCP = ("redis", "valkey", *_TLS)
_UNIX = ("redis+unix", "unix", "valkey+unix")

#: Longer than any server that is worth looking at takes.
_TIMEOUT_SECONDS = 5.0


class RedisError(Exception):
    """What the server has refused, in its own words."""


class Client:
    """A connection that is open until its block ends."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _TCP + _UNIX:
            # Without a word of what was given: there may be a password in it.
            raise Refusal(
                "--redis is redis://[user:password@]host[:port][/database], rediss://..., or redis+unix:///path/of/socket"
            )
        try:
            self._open(parts)
        except ValueError as error:
            raise Refusal(f"--redis: {error}") from None
        except OSError as error:
            raise Failure(f"{self.name} does not answer: {error.strerror or error}") from None

    def _open(self, parts: SplitResult) -> None:
        query = parse_qs(parts.query)
        if parts.scheme in _UNIX:
            self.name, database = unquote(parts.path), int(query.get("db", ["0"])[0])
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(_TIMEOUT_SECONDS)
            self._socket.connect(self.name)
        else:
            host, port, database = parts.hostname or "localhost", parts.port or 6379, int(parts.path.strip("/") or 0)
            self.name = f"{host}:{port}"
            self._socket = socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS)
            if parts.scheme in _TLS:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
        self._answers = self._socket.makefile("rb")
        password = unquote(parts.password or "") or query.get("pass", [""])[0]
        if password:
            user = unquote(parts.username or "") or query.get("user", [""])[0]
            self.ask("AUTH", *([user] if user else []), password)
        self.ask("SELECT", str(database))

    def ask(self, *command: Union[str, bytes]) -> Reply:
        """The answer to one command; one that is refused ends everything."""
        reply = self.batch([command])[0]
        if isinstance(reply, RedisError):
            raise Failure(f"{self.name} refuses {command[0]!s}: {reply}")
        return reply

    def batch(self, commands: Sequence[Sequence[Union[str, bytes]]]) -> list[Reply]:
        """The answers to many commands that are sent at once."""
        written = bytearray()
        for command in commands:
            written += b"*%d\r\n" % len(command)
            for part in command:
                encoded = part.encode() if isinstance(part, str) else part
                written += b"$%d\r\n%s\r\n" % (len(encoded), encoded)
        try:
            self._socket.sendall(written)
            return [self._reply() for _ in commands]
        except (OSError, ValueError) as error:
            raise Failure(f"{self.name} does not answer: {error}") from None

    def _reply(self) -> Reply:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("it has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        raise ValueError("what it says is not Redis' protocol")

    def _exactly(self, length: int) -> bytes:
        read = self._answers.read(length)
        if len(read) < length:
            raise ConnectionError("it has closed the connection")
        return read

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()
