"""Filling the cache before anybody asks: URLs are fetched through the middleware, as a client would.

    middleware.warm_cache(["/", "/news?page=2"])                      the application behind the middleware, in this process
    middleware.warm_cache(urls, httpx.Client(base_url=...))           over HTTP, or by the test client of a framework
    await middleware.warm_cache(urls, httpx.AsyncClient(...))         the same for tasks, several at a time
    warm_cache(urls, client)                                          wherever the middleware is

What came of it is told, one URL at a time: nothing is passed over in silence. It is read in the fields by which clients are told of the
cache; where those are not sent (``state_fields``) only the middleware itself can know, which has its own requests told.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from typing import AbstractSet, Any, Awaitable, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union
from urllib.parse import urlsplit

from catzilla_cache.errors import CacheValueError
from catzilla_cache.http.policy import CACHE_STATUS, STATE_FIELDS, X_CACHE, Policy
from catzilla_cache.http.shapes import fields_of

#: How many URLs are fetched at the same time by clients that are awaited. Arbitrary: some, so that it is done soon, and few, so that
#: clients are served meanwhile.
CONCURRENCY = 8


@dataclass
class Warmed:
    """What came of it. True if everything is in the cache now."""

    #: URLs whose answers have been stored.
    stored: List[str] = field(default_factory=list)
    #: URLs whose answers were there already.
    present: List[str] = field(default_factory=list)
    #: URLs whose answers are not in the cache, or do not say so, and why.
    failed: Dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return not self.failed


Answers = Callable[[str], Any]


def warm_cache(urls: Iterable[str], client: Any = None, *, concurrency: int = CONCURRENCY) -> Union[Warmed, Awaitable[Warmed]]:
    """Fetches each URL once by ``client``, so that a cache on the way stores it; tells from X-Cache and Cache-Status what came of it. Where
    answers have neither, nobody knows from outside: the report says so.

    ``client`` is what has a ``get(url)`` that returns a response (``httpx.Client``, the test clients of Starlette, Flask and Django),
    or a function of a URL. Where that is a coroutine, as with ``httpx.AsyncClient``, the result is to be awaited.
    """
    return _by_client(urls, client, concurrency, STATE_FIELDS)


def _by_client(
    urls: Iterable[str], client: Any, concurrency: int, state_fields: AbstractSet[str]
) -> Union[Warmed, Awaitable[Warmed]]:
    """The same for a cache that is known to tell of itself by these fields."""
    if client is None:
        raise CacheValueError(
            "warm_cache has nobody to ask: pass a client, such as httpx.Client(base_url='http://localhost:8000'), or call the method "
            "of a CacheMiddleware or WSGICacheMiddleware, which asks its application itself"
        )
    get = getattr(client, "get", None) or client
    if not callable(get):
        raise CacheValueError(f"a client has a get(url), or is a function of a URL, not {client!r}")
    return warmed_by(_checked(urls), get, concurrency, state_fields)


def warmed_by(
    urls: Sequence[str], get: Answers, concurrency: int, state_fields: AbstractSet[str]
) -> Union[Warmed, Awaitable[Warmed]]:
    """The same with a function that answers; whether it has to be awaited shows with the first answer."""
    if concurrency < 1:
        raise CacheValueError(f"concurrency is 1 or more, not {concurrency}")
    if inspect.iscoroutinefunction(get) or inspect.iscoroutinefunction(getattr(get, "__call__", None)):
        return _in_tasks(urls, get, concurrency, state_fields)
    # Clients keep cookies and more, and few are made for several threads: one URL after the other.
    warmed = Warmed()
    for url in urls:
        try:
            answer = get(url)
            if inspect.isawaitable(answer):
                getattr(answer, "close", lambda: None)()
                raise CacheValueError("what the client returns has to be awaited: pass a coroutine function")
            _settle(warmed, url, answer, state_fields)
        except Exception as error:
            warmed.failed[url] = _told(error)
    return warmed


def _checked(urls: Iterable[str]) -> List[str]:
    if isinstance(urls, (str, bytes)):
        raise CacheValueError(f"warm_cache takes a list of URLs, not {urls!r}")
    listed = list(dict.fromkeys(urls))
    for url in listed:
        if not isinstance(url, str) or not url:
            raise CacheValueError(f"a URL is text such as '/items?page=2', not {url!r}")
    return listed


async def _in_tasks(urls: Sequence[str], get: Answers, concurrency: int, state_fields: AbstractSet[str]) -> Warmed:
    warmed, waiting = Warmed(), asyncio.Semaphore(concurrency)

    async def fetch(url: str) -> None:
        async with waiting:
            try:
                _settle(warmed, url, await get(url), state_fields)
            except Exception as error:
                warmed.failed[url] = _told(error)

    await asyncio.gather(*(fetch(url) for url in urls))
    return warmed


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _settle(warmed: Warmed, url: str, answer: Any, state_fields: AbstractSet[str]) -> None:
    """Tells from an answer, by these fields of it, whether it is in the cache now."""
    followed = getattr(answer, "history", None)
    if isinstance(followed, (list, tuple)) and followed:
        # The client has gone on to where the URL redirects to; what was asked for is the redirect.
        answer = followed[0]
    status = getattr(answer, "status_code", None)
    fields = dict(fields_of(getattr(answer, "headers", None)))
    state = fields.get(b"x-cache") if X_CACHE in state_fields else None
    # Only what is stored has a lifetime to tell.
    is_stored = state == b"MISS" and b"x-cache-ttl" in fields
    told = fields.get(b"cache-status", b"").decode("latin-1") if CACHE_STATUS in state_fields else ""
    if state is None and told:
        # The cache that is next to the client speaks last.
        told = told.rpartition(",")[2].strip()
        state = b"HIT" if _is_hit(told, status) else b"MISS"
    if state == b"HIT":
        warmed.present.append(url)
    elif state == b"MISS" and (is_stored or "; stored" in told):
        warmed.stored.append(url)
    elif state == b"MISS":
        warmed.failed[url] = f"the answer, of status {status}, was not stored: {told or 'no Cache-Status'}"
    elif not state_fields:
        told = "cannot say whether it is stored, since state_fields is empty: without a client the middleware asks itself, and knows"
        warmed.failed[url] = f"the answer, of status {status}, {told}"
    else:
        told = "says nothing of a cache (no X-Cache, no Cache-Status): none is on the way, this is not for it, or it tells nobody"
        warmed.failed[url] = f"the answer, of status {status}, {told}"


def _is_hit(told: str, status: Any) -> bool:
    """Whether X-Cache says HIT where Cache-Status says this: something stored was served, perhaps after it was confirmed."""
    said = {part.strip() for part in told.split(";")}
    return not said.isdisjoint(("hit", "collapsed", "detail=stale-if-error")) or ("fwd-status=304" in said and status != 304)


class Warming:
    """Inherited by the middlewares."""

    _policy: Policy

    def warm_cache(
        self,
        urls: Iterable[str],
        client: Any = None,
        *,
        base_url: str = "http://localhost",
        headers: Optional[Mapping[str, str]] = None,
        concurrency: int = CONCURRENCY,
    ) -> Union[Warmed, Awaitable[Warmed]]:
        """Has the cache filled with the answers for these URLs; see ``warming``.

        Without a client the application behind this middleware is asked itself, as clients would that send ``headers`` to
        ``base_url``: both are part of what answers are known by. For ASGI the result is to be awaited.
        """
        if client is not None:
            return _by_client(urls, client, concurrency, self._policy.state_fields)
        get = self._asking_itself(dict(headers or {}))
        if get is None:
            return warm_cache(urls)
        return warmed_by([complete(url, base_url) for url in _checked(urls)], get, concurrency, STATE_FIELDS)

    def _asking_itself(self, headers: Mapping[str, str]) -> Optional[Answers]:
        """What answers a URL in this process; None where there is no application behind."""
        return None


def complete(url: str, base_url: str) -> str:
    """A URL with scheme and host, which a path alone takes from another."""
    base = urlsplit(base_url)
    if base.scheme not in ("http", "https") or not base.netloc:
        raise CacheValueError(f"base_url is such as 'http://localhost', not {base_url!r}")
    if url.startswith("/") and not url.startswith("//"):
        return f"{base.scheme}://{base.netloc}{url}"
    if urlsplit(url).scheme not in ("http", "https"):
        raise CacheValueError(f"a URL to fetch is such as '/items' or 'https://example.org/items', not {url!r}")
    return url
