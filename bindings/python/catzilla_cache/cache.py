"""The cache as the framework's plan drew it: levels, a configuration in megabytes and gigabytes, decorators that name a level.

It is a ``SmartCache`` under another configuration. What the plan names and nobody has built is refused, never accepted in silence.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar, Union, overload

from catzilla_cache._arguments import Key, Tags
from catzilla_cache._loading import Loaders
from catzilla_cache._open_cache import Tier
from catzilla_cache.decorator import KeyBuilder
from catzilla_cache.decorator import cached as _cached
from catzilla_cache.errors import CacheNotAvailableError, CacheValueError
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

Function = TypeVar("Function", bound=Callable[..., Any])

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


class CacheLevel(enum.Enum):
    """Where a value can be."""

    C_MEMORY = "c_memory"
    REDIS = "redis"
    DISK = "disk"
    DISTRIBUTED = "distributed"


_TIERS: Dict[CacheLevel, Tier] = {CacheLevel.C_MEMORY: "memory", CacheLevel.REDIS: "redis", CacheLevel.DISK: "disk"}


@dataclass
class CacheConfig:
    """What a ``Cache`` is to be."""

    levels: Sequence[CacheLevel] = (CacheLevel.C_MEMORY,)
    #: The bound on memory; there is none on the number of entries.
    c_memory_size_mb: int = 1024
    #: With ``REDIS``: one URL, or some nodes of a cluster as "host:port" or URLs.
    redis_cluster_nodes: Optional[Sequence[str]] = None
    disk_cache_path: str = "/tmp/catzilla_cache"
    disk_cache_size_gb: float = 10
    compression: bool = True
    encryption: bool = False
    replication_factor: int = 1
    #: A hint that the library does not need.
    hash_table_size: int = 65536
    max_value_size_mb: int = 100
    #: Seconds.
    background_cleanup_interval: float = 300
    #: Whether several nodes are a cluster; off: the first is asked alone.
    cluster_aware: bool = True
    #: Off: every counter of ``get_statistics`` stays 0.
    monitoring_enabled: bool = True
    audit_logging: bool = False
    #: Any option of the library by its name; wins over the fields above.
    options: Dict[str, object] = field(default_factory=dict)
    #: Signs pickled values that leave the process: see ``SmartCacheConfig.secret``.
    secret: Union[None, str, bytes, Sequence[bytes]] = None

    def smart(self) -> SmartCacheConfig:
        """The same for a ``SmartCache``. What is not built is a ``CacheNotAvailableError``."""
        levels = [CacheLevel(level) for level in self.levels]
        missing = [
            name
            for name, wanted in (
                ("encryption=True", self.encryption),
                ("audit_logging=True", self.audit_logging),
                (f"replication_factor={self.replication_factor}", self.replication_factor > 1),
                ("CacheLevel.DISTRIBUTED", CacheLevel.DISTRIBUTED in levels),
            )
            if wanted
        ]
        if missing:
            raise CacheNotAvailableError(f"not built yet: {', '.join(missing)}; leave it out of the CacheConfig")
        if CacheLevel.C_MEMORY not in levels:
            raise CacheValueError("levels begin with CacheLevel.C_MEMORY; for one tier without memory there are RedisCache and DiskCache")
        options: Dict[str, object] = {"memory.max_bytes": self.c_memory_size_mb * _MIB, "memory.capacity": "unlimited"}
        has_redis = CacheLevel.REDIS in levels
        nodes = list(self.redis_cluster_nodes or ())
        url = SmartCacheConfig.redis_url
        if has_redis and len(nodes) > 1 and self.cluster_aware:
            options["redis.nodes"] = ",".join(nodes)
        elif has_redis and nodes:
            url = nodes[0] if "://" in nodes[0] else f"redis://{nodes[0]}"
        options.update(self.options)
        return SmartCacheConfig(
            max_value_size=self.max_value_size_mb * _MIB,
            compression_enabled=self.compression,
            redis_enabled=has_redis,
            redis_url=url,
            disk_enabled=CacheLevel.DISK in levels,
            disk_path=self.disk_cache_path,
            disk_max_size=int(self.disk_cache_size_gb * _GIB),
            enable_stats=self.monitoring_enabled,
            auto_expire_interval=self.background_cleanup_interval,
            options=options,
            secret=self.secret,
        )


class Cache(SmartCache):
    """A ``SmartCache`` with levels."""

    def __init__(self, config: Optional[CacheConfig] = None) -> None:
        self.plan = config if config is not None else CacheConfig()
        super().__init__(self.plan.smart())

    @overload
    def cached(self, ttl: Function) -> Function: ...
    @overload
    def cached(
        self,
        ttl: Optional[float] = 3600,
        level: CacheLevel = CacheLevel.C_MEMORY,
        key_builder: Optional[KeyBuilder] = None,
        compression: Optional[bool] = None,
        invalidate_on: Optional[Tags] = None,
    ) -> Callable[[Function], Function]: ...
    def cached(
        self,
        ttl: Any = 3600,
        level: CacheLevel = CacheLevel.C_MEMORY,
        key_builder: Optional[KeyBuilder] = None,
        compression: Optional[bool] = None,
        invalidate_on: Optional[Tags] = None,
    ) -> Any:
        """Keeps what a function or a coroutine function returns, for ``ttl`` seconds.

        ``level`` is the lowest tier that the result goes to; ``key_builder(function, args, kwargs)`` makes the key instead of the
        arguments; ``invalidate_on`` lists tags: ``invalidate(tag)`` drops the results in every tier. Compression is the cache's; another
        wish here is refused.
        """
        if callable(ttl):
            # Without parentheses.
            return self.cached()(ttl)
        tier = _TIERS.get(CacheLevel(level))
        if tier is None:
            raise CacheNotAvailableError("not built yet: CacheLevel.DISTRIBUTED")
        if tier != "memory" and CacheLevel(level) not in [CacheLevel(each) for each in self.plan.levels]:
            raise CacheNotAvailableError(f"{level} is not among the levels of this cache: {[str(each) for each in self.plan.levels]}")
        if compression is not None and compression != self.plan.compression:
            raise CacheValueError("compression is the same for all that a cache stores: say it in the CacheConfig")
        return _cached(ttl, cache=self, key_builder=key_builder, tags=invalidate_on or (), lowest=tier)

    async def warm(  # type: ignore[override]
        self, loaders: Loaders, ttl: Optional[float] = None, *, tags: Tags = ()
    ) -> int:
        """Loads what is absent of these keys, several at a time. Loaders are coroutine functions, or plain ones. How many were loaded."""
        return await self.aio.warm(loaders, ttl, tags=tags)

    def get_statistics(self) -> Dict[str, Any]:
        """The figures by name: ``hit_ratio``, ``memory_usage_mb``, ``ops_per_second``, and all of ``get_stats``."""
        stats = self.get_stats()
        figures: Dict[str, Any] = dict(vars(stats))
        figures["memory_usage_mb"] = stats.memory_usage / _MIB
        figures["ops_per_second"] = stats.ops_per_second
        levels: List[str] = [CacheLevel(level).value for level in self.plan.levels]
        figures["levels"] = levels
        return figures
