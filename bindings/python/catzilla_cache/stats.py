"""What a cache and its tiers tell of themselves, as immutable snapshots. Filled by ``BytesCache``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Dict, Mapping, Optional, TypeVar

Self = TypeVar("Self", bound="Statistics")


@dataclass(frozen=True)
class Statistics:
    """Counters since the cache was opened, and sizes at the moment of the call. Bytes are bytes.

    Names and meaning are those of ``catzilla_statistics_t``, where the C header explains each.
    """

    hits: int = 0
    misses: int = 0
    requests: int = 0
    hit_ratio: float = 0.0
    puts: int = 0
    removals: int = 0
    memory_hits: int = 0
    memory_misses: int = 0
    memory_entries: int = 0
    #: None when the number of entries is not bounded.
    memory_capacity: Optional[int] = None
    memory_bytes: int = 0
    #: None when the bytes are not bounded.
    memory_max_bytes: Optional[int] = None
    memory_index_bytes: int = 0
    memory_lent_bytes: int = 0
    memory_active_bytes: int = 0
    memory_evictions: int = 0
    memory_expirations: int = 0
    memory_compressed_puts: int = 0
    memory_compression_input_bytes: int = 0
    memory_compression_output_bytes: int = 0
    memory_compression_ratio: float = 0.0
    memory_pressure_shrinks: int = 0
    loads: int = 0
    load_failures: int = 0
    load_waits: int = 0
    memory_untold_departures: int = 0
    memory_read_samples: int = 0
    memory_read_p50_ns: int = 0
    memory_read_p99_ns: int = 0
    memory_read_p999_ns: int = 0
    memory_read_max_ns: int = 0
    memory_write_samples: int = 0
    memory_write_p50_ns: int = 0
    memory_write_p99_ns: int = 0
    memory_write_p999_ns: int = 0
    memory_write_max_ns: int = 0
    redis_hits: int = 0
    redis_misses: int = 0
    redis_errors: int = 0
    disk_hits: int = 0
    disk_misses: int = 0
    disk_errors: int = 0

    def less_hits(self: Self, count: int) -> Self:
        """The same with so many hits fewer, which were misses to the caller."""
        if count == 0:
            return self
        hits = max(0, self.hits - count)
        misses = self.requests - hits
        return replace(self, hits=hits, misses=misses, hit_ratio=hits / self.requests if self.requests else 0.0)


@dataclass(frozen=True)
class Health:
    """How a tier is doing."""

    #: False while it is left alone because it has failed; it is tried again by itself.
    is_up: bool
    #: What it failed with last, in words, and when; None: with nothing yet.
    last_error: Optional[str]
    last_error_at: Optional[datetime]


@dataclass(frozen=True)
class TierStatistics:
    """The figures of a tier below memory: counters since the cache was opened, sizes at the moment of the call.

    Names and meaning are those of ``catzilla_tier_statistics_t``, where the C header explains each.
    """

    hits: int
    misses: int
    puts: int
    removals: int
    errors: int
    timeouts: int
    connection_errors: int
    refusals: int
    full_errors: int
    damage_errors: int
    too_large: int
    unreadable: int
    outdated: int
    is_open: bool
    openings: int
    entries: int
    bytes: int
    #: None without a bound.
    max_bytes: Optional[int]
    evictions: int
    expirations: int
    queued: int
    queued_bytes: int
    dropped_writes: int
    owed: int
    owed_ever: int
    owed_overflows: int
    demotions: int
    set_aside: int
    connections: int
    connects: int
    read_samples: int
    read_p50_ns: int
    read_p99_ns: int
    read_p999_ns: int
    read_max_ns: int
    write_samples: int
    write_p50_ns: int
    write_p99_ns: int
    write_p999_ns: int
    write_max_ns: int


#: What counts up and never down: 0 when nobody wants statistics.
_COUNTERS = (
    "hits", "misses", "requests", "hit_ratio", "puts", "removals", "memory_hits", "memory_misses", "memory_evictions",
    "memory_expirations", "memory_compressed_puts", "memory_compression_input_bytes", "memory_compression_output_bytes",
    "memory_compression_ratio", "memory_pressure_shrinks", "loads", "load_failures", "load_waits", "memory_untold_departures",
    "memory_read_samples", "memory_read_p50_ns", "memory_read_p99_ns", "memory_read_p999_ns", "memory_read_max_ns",
    "memory_write_samples", "memory_write_p50_ns", "memory_write_p99_ns", "memory_write_p999_ns", "memory_write_max_ns",
    "redis_hits", "redis_misses", "redis_errors", "disk_hits", "disk_misses", "disk_errors",
)  # fmt: skip


@dataclass(frozen=True)
class CacheStats(Statistics):
    """The figures of a ``SmartCache``: those that programs of the framework know, and all of ``Statistics``."""

    #: Entries that left memory because it was full.
    evictions: int = 0
    #: Bytes of what memory holds.
    memory_usage: int = 0
    #: Hits and misses.
    total_requests: int = 0
    #: Entries in memory.
    size: int = 0
    #: How many entries memory may hold; 0 when that is not bounded.
    capacity: int = 0
    #: ``{"memory": {"hits": ..., "misses": ...}, "redis": ..., "disk": ...}``
    tier_stats: Dict[str, Dict[str, int]] = field(default_factory=dict)
    #: What was stored and not believed: not ours, damaged, past its end. Each was a miss.
    refused: int = 0
    #: Values that could not be loaded anew in the background.
    failed_refreshes: int = 0
    #: ``requests_per_second`` and so on, on average of the last ``stats_collection_interval``.
    rates: Dict[str, float] = field(default_factory=dict)

    @property
    def ops_per_second(self) -> float:
        """Look-ups and writes, on average of the last ``stats_collection_interval``."""
        return self.rates.get("requests_per_second", 0.0) + self.rates.get("puts_per_second", 0.0)

    @property
    def compression_ratio(self) -> float:
        """Bytes before by bytes after, of what was compressed; 1 when nothing was."""
        return self.memory_compression_ratio or 1.0

    @classmethod
    def of(
        cls,
        statistics: Statistics,
        below: Mapping[str, Optional[TierStatistics]],
        refused: int,
        failed_refreshes: int,
        rates: Dict[str, float],
    ) -> CacheStats:
        """From what the library tells of the cache and of the tiers below memory."""
        tiers = {"memory": {"hits": statistics.memory_hits, "misses": statistics.memory_misses}}
        for tier, told in below.items():
            tiers[tier] = {"hits": told.hits if told else 0, "misses": told.misses if told else 0}
        return cls(
            **vars(statistics),
            evictions=statistics.memory_evictions,
            memory_usage=statistics.memory_bytes,
            total_requests=statistics.requests,
            size=statistics.memory_entries,
            capacity=statistics.memory_capacity or 0,
            tier_stats=tiers,
            refused=refused,
            failed_refreshes=failed_refreshes,
            rates=rates,
        )

    def without_counters(self) -> CacheStats:
        """What is held, and 0 for everything that is counted."""
        return replace(
            self,
            **{name: 0 for name in _COUNTERS},
            evictions=0,
            total_requests=0,
            refused=0,
            failed_refreshes=0,
            tier_stats={tier: dict.fromkeys(counted, 0) for tier, counted in self.tier_stats.items()},
            rates=dict.fromkeys(self.rates, 0.0),
        )
