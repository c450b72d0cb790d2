"""What a ``SmartCache`` is to be, under the names that programs of the Catzilla framework know, and the same as options of the library."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Dict, Sequence, Union

from catzilla_cache import codec
from catzilla_cache.errors import CacheValueError

_MIB = 1024 * 1024


@dataclass
class SmartCacheConfig:
    """What a ``SmartCache`` is to be. Lifetimes and intervals are seconds, sizes bytes, the capacity entries."""

    memory_capacity: int = 10000
    #: A hint that the library does not need.
    memory_bucket_count: int = 0
    memory_ttl: float = 3600
    #: A longer value is not kept in memory; without a tier below it is refused.
    max_value_size: int = 100 * _MIB
    compression_enabled: bool = True
    jemalloc_enabled: bool = True
    redis_enabled: bool = False
    redis_url: str = "redis://localhost:6379/0"
    redis_ttl: float = 86400
    redis_max_connections: int = 10
    disk_enabled: bool = False
    disk_path: str = "/tmp/catzilla_cache"
    disk_ttl: float = 604800
    disk_max_size: int = 1024 * _MIB
    #: Off: every counter of ``get_stats`` stays 0.
    enable_stats: bool = True
    #: How long the stretch is that the rates in ``get_stats`` are taken over.
    stats_collection_interval: float = 60
    #: How often what has expired and is never asked for again is freed; 0 is never.
    auto_expire_interval: float = 300
    #: Any option of the library by its name, such as ``{"memory.policy": "s3fifo"}``; wins over the fields above.
    options: Dict[str, object] = field(default_factory=dict)
    #: How values are stored that the built-in encoding does not have: "pickle", "json", "msgspec", "msgpack", or a ``codec.Codec``.
    codec: Union[str, codec.Codec] = "pickle"
    #: Signs pickled values that leave the process; several: the first signs, all are believed. Needed with Redis, else made on disk.
    secret: Union[None, str, bytes, Sequence[bytes]] = None

    def library_options(self) -> Dict[str, object]:
        """The same as options of the library."""
        options: Dict[str, object] = {
            "memory.capacity": self.memory_capacity,
            "memory.ttl": self.memory_ttl,
            # One byte says what kind of value it is.
            "memory.max_value_size": self.max_value_size + 1,
            "memory.compression": self.compression_enabled,
            "memory.jemalloc": self.jemalloc_enabled,
            "memory.sweep_interval": self.auto_expire_interval or "off",
        }
        # Where a tier is may be said by an option; the nodes of a cluster take the place of the one server.
        placed = {name.split(".")[0] for name in ("redis.url", "redis.nodes", "disk.path") if self.options.get(name)}
        if self.redis_enabled or "redis" in placed:
            if "redis" not in placed:
                options["redis.url"] = _place("redis_url", self.redis_url)
            options["redis.ttl"] = self.redis_ttl
            options["redis.max_connections"] = self.redis_max_connections
        if self.disk_enabled or "disk" in placed:
            if "disk" not in placed:
                options["disk.path"] = os.path.expanduser(_place("disk_path", self.disk_path))
            options["disk.ttl"] = self.disk_ttl
            options["disk.max_bytes"] = self.disk_max_size
        options.update(self.options)
        return options


def _place(name: str, value: object) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text:
        raise CacheValueError(f"{name} says where the tier is that is enabled, and cannot be {value!r}")
    return text
