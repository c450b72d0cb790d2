"""What a cache has in Redis: its keys under their prefix, found with SCAN, and the heads of their values. Changes nothing.

How keys are called is said in ``src/tiers/redis/keys.rs``: the prefix, then the key; what the tier keeps for itself has a
zero byte between them, and a key that begins with one gets a second.
"""

from __future__ import annotations

from types import TracebackType
from typing import Iterator, Optional, Union

from catzilla_cache.command import envelope
from catzilla_cache.command.envelope import Entry
from catzilla_cache.command.failure import Failure
from catzilla_cache.command.redis_client import Client, Reply

DEFAULT_PREFIX = "catzilla:"

#: Keys that the server looks at in one step, in which it serves nobody else: half a millisecond.
_STEP = "100"


class RedisKeys:
    """The entries of caches with one prefix on one server, until the block ends."""

    kind = "redis"

    def __init__(self, url: str, key_prefix: str) -> None:
        self._url, self._key_prefix = url, key_prefix
        self._prefix = key_prefix.encode()
        self.client = Client(url)
        self.name = f"{self.client.name}, keys {key_prefix}*"
        self.namespace = _number(self.client.ask("GET", self._prefix + b"\0namespace"))

    def __enter__(self) -> RedisKeys:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.client.__exit__()

    def options(self) -> dict[str, object]:
        """What opens a cache on these keys."""
        return {"redis.url": self._url, "redis.key_prefix": self._key_prefix, "redis.required": True}

    def entries(self, prefix: bytes = b"") -> Iterator[Entry]:
        """Everything that is there, each key once, whether a look-up would find it or not."""
        # SCAN may show a key twice while the server's table grows.
        seen: set[bytes] = set()
        for names in self._scan(prefix):
            fresh = [name for name in names if name not in seen and _is_of_user(name[len(self._prefix) :])]
            seen.update(fresh)
            yield from self._described(fresh)

    def count(self) -> int:
        return sum(1 for names in self._scan(b"") for name in set(names) if _is_of_user(name[len(self._prefix) :]))

    def facts(self) -> dict[str, object]:
        """What is known of the server as a whole."""
        told = self.info()
        return {
            "server": self.client.name,
            "version": told.get("valkey_version") or told.get("redis_version"),
            "memory_bytes": int(told.get("used_memory", 0)),
            "max_memory_bytes": int(told.get("maxmemory", 0)) or None,
            "eviction": told.get("maxmemory_policy"),
            "server_hits": int(told.get("keyspace_hits", 0)),
            "server_misses": int(told.get("keyspace_misses", 0)),
            "server_evictions": int(told.get("evicted_keys", 0)),
            "namespace": self.namespace,
        }

    def info(self) -> dict[str, str]:
        """INFO, as names and values."""
        text = self.client.ask("INFO")
        lines = text.decode("utf-8", "replace").splitlines() if isinstance(text, bytes) else []
        pairs = (line.partition(":") for line in lines if ":" in line)
        return {name: value for name, _, value in pairs}

    def _scan(self, prefix: bytes) -> Iterator[list[bytes]]:
        escaped = b"\0" if prefix[:1] == b"\0" else b""
        pattern = b"".join(
            b"\\" + bytes([byte]) if byte in b"*?[]\\" else bytes([byte]) for byte in self._prefix + escaped + prefix
        )
        cursor: Union[bytes, str] = "0"
        while True:
            reply = self.client.ask("SCAN", cursor, "MATCH", pattern + b"*", "COUNT", _STEP)
            if not isinstance(reply, list) or len(reply) != 2 or not isinstance(reply[0], bytes):
                raise Failure(f"{self.client.name} answers SCAN with something else than keys")
            cursor, names = reply[0], reply[1]
            if isinstance(names, list):
                yield [name for name in names if isinstance(name, bytes)]
            if cursor == b"0":
                return

    def _described(self, names: list[bytes]) -> Iterator[Entry]:
        asked = self.client.batch(
            [part for name in names for part in (("STRLEN", name), ("GETRANGE", name, "0", str(envelope.HEAD_BYTES - 1)))]
        )
        lengths, heads = asked[::2], [envelope.read(head) if isinstance(head, bytes) else None for head in asked[1::2]]
        tags = sorted({tag for head in heads if head for tag in head.tags})
        times = self.client.batch([("GET", self._prefix + b"\0tag:" + tag) for tag in tags])
        # A tag that Redis has lost counts as purged: who looks up will not believe the entry.
        purged = {tag: _number(time) for tag, time in zip(tags, times)}
        for name, length, head in zip(names, lengths, heads):
            if length == 0:
                # Gone since SCAN has named it.
                continue
            yield Entry(
                _key(name[len(self._prefix) :]), length if isinstance(length, int) else 0, head, self._death(head, purged)
            )

    def _death(self, head: Optional[envelope.Head], purged: dict[bytes, Optional[int]]) -> Optional[str]:
        if head is None:
            return None
        if head.namespace != self.namespace:
            return "purged"
        times = [purged[tag] for tag in head.tags]
        return "purged" if any(at is None or at / 1e6 >= head.created for at in times) else None


def _is_of_user(key: bytes) -> bool:
    return key[:1] != b"\0" or key[:2] == b"\0\0"


def _key(name: bytes) -> bytes:
    return name[1:] if name[:1] == b"\0" else name


def _number(reply: Reply) -> Optional[int]:
    return int(reply) if isinstance(reply, bytes) and reply.isdigit() else None
