"""The C interface's structs that callers see, for ctypes. Layouts are frozen; a test compares them with the header's."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_bool, c_char, c_char_p, c_double, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

from catzilla_cache import _status


class CStatistics(ctypes.Structure):
    """``catzilla_statistics_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("hits", c_uint64),
        ("misses", c_uint64),
        ("requests", c_uint64),
        ("hit_ratio", c_double),
        ("puts", c_uint64),
        ("removals", c_uint64),
        ("memory_hits", c_uint64),
        ("memory_misses", c_uint64),
        ("memory_entries", c_uint64),
        ("memory_capacity", c_uint64),
        ("memory_bytes", c_uint64),
        ("memory_max_bytes", c_uint64),
        ("memory_index_bytes", c_uint64),
        ("memory_lent_bytes", c_uint64),
        ("memory_active_bytes", c_uint64),
        ("memory_evictions", c_uint64),
        ("memory_expirations", c_uint64),
        ("memory_compressed_puts", c_uint64),
        ("memory_compression_input_bytes", c_uint64),
        ("memory_compression_output_bytes", c_uint64),
        ("memory_compression_ratio", c_double),
        ("memory_pressure_shrinks", c_uint64),
        ("loads", c_uint64),
        ("load_failures", c_uint64),
        ("load_waits", c_uint64),
        ("memory_untold_departures", c_uint64),
        ("memory_read_samples", c_uint64),
        ("memory_read_p50_ns", c_uint64),
        ("memory_read_p99_ns", c_uint64),
        ("memory_read_p999_ns", c_uint64),
        ("memory_read_max_ns", c_uint64),
        ("memory_write_samples", c_uint64),
        ("memory_write_p50_ns", c_uint64),
        ("memory_write_p99_ns", c_uint64),
        ("memory_write_p999_ns", c_uint64),
        ("memory_write_max_ns", c_uint64),
        ("redis_hits", c_uint64),
        ("redis_misses", c_uint64),
        ("redis_errors", c_uint64),
        ("disk_hits", c_uint64),
        ("disk_misses", c_uint64),
        ("disk_errors", c_uint64),
    ]


class CHealth(ctypes.Structure):
    """``catzilla_health_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("is_up", c_int32),
        ("reserved", c_int32),
        ("last_error_at", c_uint64),
        ("last_error", c_char * _status.HEALTH_TEXT),
    ]


class CTierStatistics(ctypes.Structure):
    """``catzilla_tier_statistics_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("hits", c_uint64),
        ("misses", c_uint64),
        ("puts", c_uint64),
        ("removals", c_uint64),
        ("errors", c_uint64),
        ("timeouts", c_uint64),
        ("connection_errors", c_uint64),
        ("refusals", c_uint64),
        ("full_errors", c_uint64),
        ("damage_errors", c_uint64),
        ("too_large", c_uint64),
        ("unreadable", c_uint64),
        ("outdated", c_uint64),
        ("is_open", c_uint64),
        ("openings", c_uint64),
        ("entries", c_uint64),
        ("bytes", c_uint64),
        ("max_bytes", c_uint64),
        ("evictions", c_uint64),
        ("expirations", c_uint64),
        ("queued", c_uint64),
        ("queued_bytes", c_uint64),
        ("dropped_writes", c_uint64),
        ("owed", c_uint64),
        ("owed_ever", c_uint64),
        ("owed_overflows", c_uint64),
        ("demotions", c_uint64),
        ("set_aside", c_uint64),
        ("connections", c_uint64),
        ("connects", c_uint64),
        ("read_samples", c_uint64),
        ("read_p50_ns", c_uint64),
        ("read_p99_ns", c_uint64),
        ("read_p999_ns", c_uint64),
        ("read_max_ns", c_uint64),
        ("write_samples", c_uint64),
        ("write_p50_ns", c_uint64),
        ("write_p99_ns", c_uint64),
        ("write_p999_ns", c_uint64),
        ("write_max_ns", c_uint64),
    ]


class CGet(ctypes.Structure):
    """``catzilla_get_t``."""

    _fields_ = [
        ("key", c_char_p),
        ("key_len", c_size_t),
        ("buffer", c_void_p),
        ("capacity", c_size_t),
        ("value_len", c_size_t),
        ("status", c_int32),
    ]


class CPut(ctypes.Structure):
    """``catzilla_put_t``."""

    _fields_ = [
        ("key", c_char_p),
        ("key_len", c_size_t),
        ("value", c_char_p),
        ("value_len", c_size_t),
        ("ttl_ms", c_uint64),
        ("status", c_int32),
    ]


class CRemove(ctypes.Structure):
    """``catzilla_remove_t``."""

    _fields_ = [("key", c_char_p), ("key_len", c_size_t), ("status", c_int32)]


class CBytes(ctypes.Structure):
    """``catzilla_bytes_t``."""

    _fields_ = [("data", c_char_p), ("len", c_size_t)]


class CPutOptions(ctypes.Structure):
    """``catzilla_put_options_t``."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("ttl_ms", c_uint64),
        ("expected_version", c_uint64),
        ("flags", c_uint32),
        ("tags", POINTER(CBytes)),
        ("tag_count", c_size_t),
    ]


class COptionInfo(ctypes.Structure):
    """``catzilla_option_info_t``."""

    _fields_ = [
        ("name", c_char_p),
        ("type", c_char_p),
        ("default_value", c_char_p),
        ("range", c_char_p),
        ("help", c_char_p),
        ("live", c_bool),
    ]
