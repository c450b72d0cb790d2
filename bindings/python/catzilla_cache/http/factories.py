"""Middlewares for what is cached most often, as programs of the Catzilla framework make them. Any parameter can be overridden by name."""

from __future__ import annotations

from typing import Any, Dict

from catzilla_cache.http.hooks import SmartCacheMiddleware


def create_api_cache_middleware(ttl: float = 300, **parameters: Any) -> SmartCacheMiddleware:
    """For answers of an API: for five minutes, by what the client accepts, whatever language it prefers."""
    return _made(
        parameters,
        default_ttl=ttl,
        cache_methods={"GET", "HEAD"},
        cache_status_codes={200, 404},
        cache_headers={"accept", "accept-encoding"},
    )


def create_static_cache_middleware(ttl: float = 86400, **parameters: Any) -> SmartCacheMiddleware:
    """For files: for a day, below the paths where files usually are.

    Answers to requests with Authorization are cached only as HTTP allows: the framework itself has cached them for everybody.
    """
    return _made(
        parameters,
        default_ttl=ttl,
        cache_methods={"GET", "HEAD"},
        cache_status_codes={200, 301, 302, 404},
        include_paths=["/static", "/assets", "/images", "/css", "/js"],
    )


def create_page_cache_middleware(ttl: float = 3600, **parameters: Any) -> SmartCacheMiddleware:
    """For pages: for an hour, for each language that clients prefer."""
    return _made(
        parameters,
        default_ttl=ttl,
        cache_methods={"GET"},
        cache_status_codes={200},
        cache_headers={"accept", "accept-encoding", "accept-language"},
        cache_vary_headers={"accept-language"},
    )


def _made(given: Dict[str, Any], **usual: Any) -> SmartCacheMiddleware:
    return SmartCacheMiddleware(**{**usual, **given})
