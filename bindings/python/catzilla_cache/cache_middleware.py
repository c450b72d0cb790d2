"""The HTTP response cache under the names that programs of the Catzilla framework know, and as ASGI and WSGI middleware for all others."""

from __future__ import annotations

from catzilla_cache.http.asgi import CacheMiddleware
from catzilla_cache.http.factories import create_api_cache_middleware, create_page_cache_middleware, create_static_cache_middleware
from catzilla_cache.http.hooks import ConditionalCacheMiddleware, SmartCacheMiddleware
from catzilla_cache.http.response import Response
from catzilla_cache.http.warming import warm_cache
from catzilla_cache.http.wsgi import WSGICacheMiddleware

__all__ = [
    "CacheMiddleware",
    "ConditionalCacheMiddleware",
    "Response",
    "SmartCacheMiddleware",
    "WSGICacheMiddleware",
    "create_api_cache_middleware",
    "create_page_cache_middleware",
    "create_static_cache_middleware",
    "warm_cache",
]
