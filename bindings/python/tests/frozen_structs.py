"""The structs of the classic interface as ctypes sees them, and the layout that is promised for them.

``LAYOUTS`` is written by hand from the promise, not derived from the classes, so that a slip in either shows.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_double, c_size_t, c_uint32, c_uint64, c_void_p


class CacheConfig(ctypes.Structure):
    _fields_ = [
        ("capacity", c_size_t),
        ("bucket_count", c_size_t),
        ("default_ttl", c_uint32),
        ("max_value_size", c_size_t),
        ("compression_enabled", c_bool),
        ("jemalloc_enabled", c_bool),
    ]


class CacheStatistics(ctypes.Structure):
    _fields_ = [
        ("hits", c_uint64),
        ("misses", c_uint64),
        ("evictions", c_uint64),
        ("memory_usage", c_uint64),
        ("total_requests", c_uint64),
        ("hit_ratio", c_double),
        ("size", c_uint64),
        ("capacity", c_uint64),
    ]


class CacheResult(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t), ("found", c_bool)]

    @property
    def value(self) -> bytes:
        return ctypes.string_at(self.data, self.size)


#: C name -> (class, size, offsets in order); x86-64.
LAYOUTS = {
    "struct cache_config": (
        CacheConfig,
        40,
        {
            "capacity": 0,
            "bucket_count": 8,
            "default_ttl": 16,
            "max_value_size": 24,
            "compression_enabled": 32,
            "jemalloc_enabled": 33,
        },
    ),
    "struct cache_statistics": (
        CacheStatistics,
        64,
        {
            "hits": 0,
            "misses": 8,
            "evictions": 16,
            "memory_usage": 24,
            "total_requests": 32,
            "hit_ratio": 40,
            "size": 48,
            "capacity": 56,
        },
    ),
    "struct cache_result": (CacheResult, 24, {"data": 0, "size": 8, "found": 16}),
}
