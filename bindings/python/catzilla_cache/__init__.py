"""catzilla-cache for Python: an embeddable in-process cache, written in Rust, behind a mapping-like class.

What a program imports; it holds no code of its own. Importing it loads the shared library (see ``_library``) and does
nothing else: no thread is started, no file or socket is opened.
"""

from catzilla_cache._open_cache import Tier
from catzilla_cache.bytes_cache import BytesCache, Entry, library_version
from catzilla_cache.errors import CacheError, CacheKeyError, CacheNotAvailableError, CacheValueError
from catzilla_cache.options import OptionInfo, available_options
from catzilla_cache.stats import Health, Statistics, TierStatistics

__all__ = [
    "BytesCache",
    "CacheError",
    "CacheKeyError",
    "CacheNotAvailableError",
    "CacheValueError",
    "Entry",
    "Health",
    "OptionInfo",
    "Statistics",
    "Tier",
    "TierStatistics",
    "available_options",
    "library_version",
]
