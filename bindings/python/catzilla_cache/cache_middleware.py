"""The HTTP response cache under the names that programs of the Catzilla framework know, and as ASGI and WSGI middleware for all others."""

from __future__ import annotations

from catzilla_cache.http.asgi import CacheMiddleware

__all__ = ["CacheMiddleware"]
