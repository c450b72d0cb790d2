"""catzilla-cache for Python: memory, Redis and disk behind one handle, written in Rust.

What a program imports; it holds no code of its own. Importing it loads the shared library (see ``_backend``) and does
nothing else: no thread is started, no file or socket is opened.

    SmartCache     values of any kind          (``smart_cache``; ``cache`` has the same with levels)
    BytesCache     bytes in, bytes out         (``bytes_cache``)
    objects        references to objects, in this process alone: import ``catzilla_cache.objects``
    cached         the decorator
    caches         caches by name, from a dict, the environment or URLs (``settings``)
"""

from catzilla_cache._open_cache import Tier
from catzilla_cache.bytes_cache import BytesCache, Entry, library_version
from catzilla_cache.decorator import CacheInfo, cached
from catzilla_cache.errors import CacheError, CacheKeyError, CacheNotAvailableError, CacheValueError
from catzilla_cache.options import OptionInfo, available_options
from catzilla_cache.settings import Caches, caches, config_from, configure
from catzilla_cache.smart_cache import (
    DiskCache,
    MemoryCache,
    RedisCache,
    SmartCache,
    SmartCacheConfig,
    get_cache,
    reset_cache,
)
from catzilla_cache.stats import CacheStats, Health, Statistics, TierStatistics

#: The version of the library, which is the package's own.
__version__ = library_version()

__all__ = [
    "BytesCache",
    "CacheError",
    "CacheInfo",
    "CacheKeyError",
    "CacheNotAvailableError",
    "CacheStats",
    "CacheValueError",
    "Caches",
    "DiskCache",
    "Entry",
    "Health",
    "MemoryCache",
    "OptionInfo",
    "RedisCache",
    "SmartCache",
    "SmartCacheConfig",
    "Statistics",
    "Tier",
    "TierStatistics",
    "__version__",
    "available_options",
    "cached",
    "caches",
    "config_from",
    "configure",
    "get_cache",
    "library_version",
    "reset_cache",
]
