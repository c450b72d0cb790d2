"""A backend for Flask-Caching.

    app.config["CACHE_TYPE"] = "catzilla_cache.contrib.flask.CatzillaCache"
    app.config["CACHE_CATZILLA"] = {"memory.capacity": 50_000, "redis.url": "redis://localhost:6379/0"}
    cache = flask_caching.Cache(app)

``CACHE_CATZILLA`` are options of the library by name. ``CACHE_DEFAULT_TIMEOUT`` and ``CACHE_KEY_PREFIX`` mean what they
always do. Values that have to be pickled are signed with a key made of the application's ``SECRET_KEY`` (older ones:
``SECRET_KEY_FALLBACKS``) before they leave the process, unless ``secret`` is among the options.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Mapping

from flask_caching.backends.base import BaseCache  # type: ignore[import-untyped,import-not-found,unused-ignore]

from catzilla_cache.contrib.cachelib import CatzillaCache as _CachelibCache


class CatzillaCache(_CachelibCache, BaseCache):  # type: ignore[misc,unused-ignore]
    """See the module."""

    @classmethod
    def factory(cls, app: Any, config: Mapping[str, Any], args: list[Any], kwargs: dict[str, Any]) -> CatzillaCache:
        """Called by Flask-Caching with the application's configuration."""
        options = dict(config.get("CACHE_CATZILLA") or {})
        keys = [app.config.get("SECRET_KEY"), *(app.config.get("SECRET_KEY_FALLBACKS") or ())]
        secrets = [_derived(key) for key in keys if key]
        if secrets:
            options.setdefault("secret", secrets)
        kwargs.setdefault("key_prefix", config.get("CACHE_KEY_PREFIX"))
        return cls(options, *args, **kwargs)


def _derived(key: Any) -> bytes:
    encoded = key.encode() if isinstance(key, str) else bytes(key)
    # Not the key itself: it signs sessions, too.
    return hmac.new(encoded, b"catzilla_cache.contrib.flask", hashlib.sha256).digest()
