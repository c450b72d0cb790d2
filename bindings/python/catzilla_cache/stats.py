"""What a cache and its tiers tell of themselves, as immutable snapshots. Filled by ``BytesCache``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Optional


@dataclass(frozen=True)
class Statistics:
    """Counters since the cache was opened, and sizes at the moment of the call. Bytes are bytes.

    Names and meaning are those of ``catzilla_statistics_t``, where the C header explains each.
    """

    hits: int
    misses: int
    requests: int
    hit_ratio: float
    puts: int
    removals: int
    memory_hits: int
    memory_misses: int
    memory_entries: int
    #: None when the number of entries is not bounded.
    memory_capacity: Optional[int]
    memory_bytes: int
    #: None when the bytes are not bounded.
    memory_max_bytes: Optional[int]
    memory_index_bytes: int
    memory_lent_bytes: int
    memory_active_bytes: int
    memory_evictions: int
    memory_expirations: int
    memory_compressed_puts: int
    memory_compression_input_bytes: int
    memory_compression_output_bytes: int
    memory_compression_ratio: float
    memory_pressure_shrinks: int
    loads: int
    load_failures: int
    load_waits: int
    memory_untold_departures: int
    memory_read_samples: int
    memory_read_p50_ns: int
    memory_read_p99_ns: int
    memory_read_p999_ns: int
    memory_read_max_ns: int
    memory_write_samples: int
    memory_write_p50_ns: int
    memory_write_p99_ns: int
    memory_write_p999_ns: int
    memory_write_max_ns: int
    redis_hits: int
    redis_misses: int
    redis_errors: int
    disk_hits: int
    disk_misses: int
    disk_errors: int


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
