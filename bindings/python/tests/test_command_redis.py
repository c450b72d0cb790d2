"""``inspect``, ``check``, ``purge`` and ``stats`` of a real Redis, with neighbours that have to stay as they are."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Iterator

import pytest

import redis_server
from catzilla_cache import BytesCache
from catzilla_cache.command.failure import Failure
from catzilla_cache.command.redis_client import Client, RedisError
from command_line import call, good, refused
from redis_server import RedisServer

#: In a pattern of SCAN each of these means something.
AWKWARD = "we[ir]d*?\\"


@pytest.fixture(scope="module")
def server(redis_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all of these tests."""
    with redis_server.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    server.ask("FLUSHALL")
    server.ask("SET neighbour stays")
    url = f"{server.url}/0"
    with BytesCache({"redis.url": url}) as cache:
        for number in range(500):
            cache.set(f"page/{number}", b"x" * number)
        cache.set(AWKWARD, b"1")
        cache.set(b"\0zero", b"2")
    with BytesCache({"redis.url": url, "redis.key_prefix": "other:"}) as cache:
        cache.set("theirs", b"3")
    return url


def test_inspect_shows_the_keys_of_one_prefix(url: str) -> None:
    told = good("inspect", "--redis", url, "--json").document
    assert (told["entries"], told["unreadable"], told["purged"], told["kind"]) == (502, 0, 0, "redis")
    assert told["value_bytes"] == sum(range(500)) + 2 and told["stored_bytes"] > 0
    assert good("inspect", "--redis", url, "--key-prefix", "other:", "--json").document["entries"] == 1
    told = good("inspect", "--redis", url, "--prefix", AWKWARD, "--keys", "--json").document
    assert [each["key"] for each in told["keys"]] == [AWKWARD]
    assert 86_000 < told["keys"][0]["expires"] - told["keys"][0]["created"] < 86_401
    told = good("inspect", "--redis", url, "--prefix", "\0", "--keys", "--json").document
    assert [bytes.fromhex(each["key_hex"]) for each in told["keys"]] == [b"\0zero"]
    assert "entries with keys that begin with 'page/49': 11" in good("inspect", "--redis", url, "--prefix", "page/49").out


def test_purge_removes_what_was_asked_for_and_no_neighbour(url: str, server: RedisServer) -> None:
    assert good("purge", "--redis", url, "--prefix", "page/4", "--yes", "--json").document["entries"] == 111
    assert good("inspect", "--redis", url, "--json").document["entries"] == 502 - 111
    assert good("purge", "--redis", url, "--prefix", AWKWARD, "--yes", "--json").document["entries"] == 1
    assert good("purge", "--redis", url, "--all", "--yes", "--json").document["entries"] == 390
    assert good("inspect", "--redis", url, "--json").document["entries"] == 0
    assert good("inspect", "--redis", url, "--key-prefix", "other:", "--json").document["entries"] == 1
    assert server.ask("EXISTS neighbour") == ":1"


def test_purge_by_pattern_removes_what_fits_and_no_neighbour(url: str, server: RedisServer) -> None:
    assert good("purge", "--redis", url, "--pattern", "page/4?", "--yes", "--json").document["entries"] == 10
    assert good("purge", "--redis", url, "--pattern", r"we\[ir]d\*\?\\", "--yes", "--json").document["entries"] == 1
    assert good("inspect", "--redis", url, "--json").document["entries"] == 502 - 11
    assert good("purge", "--redis", url, "--pattern", "*zero", "--yes", "--json").document["entries"] == 1
    assert good("purge", "--redis", url, "--pattern", "*", "--yes", "--json").document["entries"] == 490
    assert good("inspect", "--redis", url, "--key-prefix", "other:", "--json").document["entries"] == 1
    assert server.ask("EXISTS neighbour") == ":1"


def test_purge_by_tag_takes_what_has_the_tag(url: str) -> None:
    with BytesCache({"redis.url": url}) as cache:
        cache.set("red", b"1", tags=["colour", "warm"])
        cache.set("blue", b"2", tags=["colour"])
    assert good("purge", "--redis", url, "--tag", "warm", "--yes", "--json").document["entries"] == 1
    told = good("inspect", "--redis", url, "--json").document
    assert told["purged"] == 1 and told["by_tag"]["colour"] == 2
    with BytesCache({"redis.url": url}) as cache:
        assert cache.get("red") is None and cache.get("blue") == b"2"


def test_check_tells_sound_from_foreign_values(url: str, server: RedisServer) -> None:
    told = good("check", "--redis", url, "--json").document
    assert told["ok"] and {"latency", "version", "role", "namespace", "values"} <= {
        each["what"] for each in told["findings"]
    }
    assert "502" in next(
        each["detail"]
        for each in good("check", "--redis", url, "--quick", "--json").document["findings"]
        if each["what"] == "keys"
    )
    server.ask("SET catzilla:foreign hello")
    server.ask("RPUSH catzilla:list hello")
    done = call("check", "--redis", url)
    assert done.status == 1 and "2 are not of this library or version" in done.out


def test_check_warns_when_no_cache_was_there_and_when_a_full_server_takes_nothing(url: str, server: RedisServer) -> None:
    told = good("check", "--redis", url, "--key-prefix", "nobody:", "--json").document
    assert next(each["state"] for each in told["findings"] if each["what"] == "namespace") == "warning"
    server.ask("CONFIG SET maxmemory 100mb")
    try:
        told = good("check", "--redis", url, "--json").document
        assert next(each["state"] for each in told["findings"] if each["what"] == "memory") == "warning"
    finally:
        server.ask("CONFIG SET maxmemory 0")


def test_what_was_cleared_by_another_cache_counts_as_purged(url: str, server: RedisServer) -> None:
    server.ask("SET saved x")
    # As after a purge that could not remove the keys themselves: another number, and every value of an older one is none.
    with Client(url) as client:
        client.ask("SET", b"catzilla:\0namespace", "99999999999999999")
    told = good("inspect", "--redis", url, "--json").document
    assert (told["entries"], told["purged"]) == (502, 502)


def test_stats_reads_a_sample_through_the_library(url: str) -> None:
    told = good("stats", "--redis", url, "--sample", "100", "--json").document
    assert told["health"]["is_up"] and (told["tier"]["hits"], told["tier"]["misses"]) == (100, 0) and told["entries"] == 502


@pytest.mark.parametrize("command", [("inspect",), ("check",), ("stats",), ("purge", "--all", "--yes")])
def test_a_server_that_is_down_is_one_line(command: tuple[str, ...]) -> None:
    port = redis_server.free_port()
    assert f"127.0.0.1:{port} does not answer" in refused(*command, "--redis", f"redis://127.0.0.1:{port}", status=1)


def test_no_complaint_repeats_a_password(server: RedisServer) -> None:
    for url, status in (
        (f"redis://:secret@127.0.0.1:{server.port}", 1),
        ("http://me:secret@127.0.0.1", 2),
        ("redis://:secret@127.0.0.1:many", 2),
        ("redis://:secret@127.0.0.1/many", 2),
    ):
        assert "secret" not in refused("check", "--redis", url, status=status)


def test_a_password_opens_the_server(tmp_path: Path, server: RedisServer) -> None:
    with redis_server.running(tmp_path) as guarded:
        guarded.ask("CONFIG SET requirepass p@ss/word")
        url = f"redis://:p%40ss%2Fword@127.0.0.1:{guarded.port}"
        assert good("inspect", "--redis", url, "--json").document["entries"] == 0
        assert "NOAUTH" in refused("inspect", "--redis", guarded.url, status=1)
        assert "WRONGPASS" in refused("inspect", "--redis", f"redis://:wrong@127.0.0.1:{guarded.port}", status=1)


def test_a_unix_socket_is_a_server_too(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve() -> None:
        connection = listener.accept()[0]
        with connection, connection.makefile("rb") as asked:
            asked.read(len(b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"))
            connection.sendall(b"+OK\r\n")
            asked.read(len(b"*1\r\n$4\r\nPING\r\n"))
            connection.sendall(b"*4\r\n:-7\r\n$-1\r\n-ERR no\r\n$4\r\na\r\nb\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    with Client(f"redis+unix://{path}?db=3") as client:
        answer = client.ask("PING")
    thread.join()
    listener.close()
    assert isinstance(answer, list)
    number, nothing, error, text = answer
    assert (number, nothing, text) == (-7, None, b"a\r\nb") and isinstance(error, RedisError) and str(error) == "ERR no"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$100\r\nshort", b"+PART", b"*zz\r\n"])
def test_a_server_that_is_no_redis_is_told_from_one(said: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection = listener.accept()[0]
        with connection:
            connection.recv(1024)
            connection.sendall(said)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(Failure, match="does not answer"):
        Client(f"redis://127.0.0.1:{listener.getsockname()[1]}")
    thread.join()
    listener.close()
