"""What the benches of the HTTP cache compare: one answer of 1 KiB, applications that give it, and caches in front of them.

Used by the other files here that begin with `http_`. Each contestant lives in a process of its own with packages of its own, since
the peers want versions of the frameworks that exclude each other; nothing but the standard library is imported before one is made.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Iterable, List, Tuple

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = REPOSITORY / "build" / "python-bench-packages" / "http"

#: What `pip install --target` puts into which folder. The versions are the newest at the time of writing; asgi-caches and
#: starlette-caches refuse Starlette 1, so that pip gives them an older one.
PINNED: Dict[str, Tuple[str, ...]] = {
    "frameworks": ("fastapi==0.165.0", "starlette==1.10.0", "httpx==0.28.1", "uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0"),
    "asgi-caches": ("asgi-caches==0.3.1", "starlette==0.52.1"),
    "starlette-caches": ("starlette-caches==0.4.1", "starlette==0.52.1"),
    "fastapi-cache2": ("fastapi-cache2==0.2.2", "fastapi==0.165.0", "starlette==1.10.0"),
    "cashews": ("cashews==7.6.0", "fastapi==0.165.0", "starlette==1.10.0"),
    "hishel": ("hishel[async]==2.0.0",),
}

PATH = "/api/items/42"


_WORDS = (
    "tree tower cat scratching post sisal rope natural oak plush cover removable washable three levels hammock cave with cushion wall "
    "mounting included assembly takes about twenty minutes suitable for heavy cats and kittens stable base plate quiet toy on spring"
).split()


def _document() -> Dict[str, Any]:
    """Flat and mostly one text: what FastAPI has the least to do with, so that the distance to it is not of the document's making."""
    document = {"id": 42, "name": "Katzenbaum Deluxe", "price": 129.99, "available": True, "description": ""}
    length = 1024 - len(json.dumps(document, separators=(",", ":")))
    # Words in no order, which compress as text does and not as one letter would.
    document["description"] = " ".join(random.Random(1).choices(_WORDS, k=length))[:length]
    return document


DOCUMENT = _document()
BODY = json.dumps(DOCUMENT, separators=(",", ":")).encode()
LIFETIME = "public, max-age=3600"

#: What a browser sends with a request from a page's script.
BROWSER: List[Tuple[str, str]] = [
    ("host", "shop.example.org"),
    ("connection", "keep-alive"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"),
    ("accept", "application/json, text/plain, */*"),
    ("referer", "https://shop.example.org/catalogue?page=2"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("cookie", "session=9f8a7c6e5d4b3a29; theme=dark; consent=1"),
]
BARE: List[Tuple[str, str]] = [("host", "shop.example.org"), ("accept", "*/*")]


class Origin:
    """How often an application was reached: a hit does not reach it."""

    def __init__(self) -> None:
        # Of the object: to change what a class has makes the interpreter forget what it knows of it, at every call.
        self.calls = 0


ORIGIN = Origin()


# The applications, not cached.


async def raw_app(scope: Any, receive: Any, send: Any) -> None:
    """The least that an ASGI application can do."""
    ORIGIN.calls += 1
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"1024"),
                (b"cache-control", b"public, max-age=3600"),
            ],
        }
    )
    await send({"type": "http.response.body", "body": BODY})


def raw_wsgi_app(environ: Any, start_response: Any) -> Iterable[bytes]:
    ORIGIN.calls += 1
    start_response(
        "200 OK", [("Content-Type", "application/json"), ("Content-Length", "1024"), ("Cache-Control", LIFETIME)]
    )
    return [BODY]


def starlette_app() -> Any:
    """Routing, and a handler whose JSON is made already."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def item(request: Request) -> Response:
        ORIGIN.calls += 1
        return Response(BODY, media_type="application/json", headers={"cache-control": LIFETIME})

    return Starlette(routes=[Route("/api/items/{number:int}", item)])


def fastapi_app(decorate: Callable[[Any], Any] = lambda endpoint: endpoint) -> Any:
    """An endpoint as people write them: a parameter that is checked, and a dictionary that FastAPI turns into JSON."""
    import fastapi

    app = fastapi.FastAPI()

    async def item(number: int) -> Any:
        ORIGIN.calls += 1
        return DOCUMENT

    # What FastAPI would make of the annotation it would find in this module; here the name is not there at import time.
    item.__annotations__ = {"number": int}
    app.get("/api/items/{number}")(decorate(item))
    return app


# Ours.


def _cache_middleware() -> Any:
    from catzilla_cache import cache_middleware

    return cache_middleware


async def ours_around_raw() -> Any:
    return _cache_middleware().CacheMiddleware(raw_app)


async def ours_uncompressed() -> Any:
    from catzilla_cache.smart_cache import SmartCacheConfig

    return _cache_middleware().CacheMiddleware(raw_app, SmartCacheConfig(compression_enabled=False))


async def ours_telling_nothing() -> Any:
    return _cache_middleware().CacheMiddleware(raw_app, state_fields=())


async def ours_around_starlette() -> Any:
    return _cache_middleware().CacheMiddleware(starlette_app())


async def ours_within_starlette() -> Any:
    app = starlette_app()
    app.add_middleware(_cache_middleware().CacheMiddleware)
    return app


async def ours_around_wsgi() -> Any:
    return _cache_middleware().WSGICacheMiddleware(raw_wsgi_app)


# The peers, each in memory.


async def asgi_caches() -> Any:
    from asgi_caches.middleware import CacheMiddleware  # type: ignore[import-not-found]
    from caches import Cache  # type: ignore[import-not-found]

    cache = Cache("locmem://default", ttl=3600)
    await cache.connect()
    return CacheMiddleware(raw_app, cache=cache)


async def starlette_caches() -> Any:
    from aiocache import Cache  # type: ignore[import-untyped]
    from starlette_caches.middleware import CacheMiddleware  # type: ignore[import-not-found]

    return CacheMiddleware(raw_app, cache=Cache(Cache.MEMORY, ttl=3600))


async def fastapi_cache2() -> Any:
    from fastapi_cache import FastAPICache  # type: ignore[import-not-found]
    from fastapi_cache.backends.inmemory import InMemoryBackend  # type: ignore[import-not-found]
    from fastapi_cache.decorator import cache  # type: ignore[import-not-found]

    FastAPICache.init(InMemoryBackend(), prefix="bench")
    return fastapi_app(cache(expire=3600))


async def cashews_decorator() -> Any:
    from cashews import cache

    cache.setup("mem://")
    return fastapi_app(cache(ttl="1h", key="item:{number}"))


async def cashews_middleware() -> Any:
    from cashews.contrib.fastapi import CacheEtagMiddleware, CacheRequestControlMiddleware

    app = await cashews_decorator()
    app.add_middleware(CacheEtagMiddleware)
    app.add_middleware(CacheRequestControlMiddleware)
    return app


async def hishel() -> Any:
    import anysqlite  # type: ignore[import-not-found]
    from hishel import AsyncSqliteStorage  # type: ignore[import-not-found]
    from hishel.asgi import ASGICacheMiddleware  # type: ignore[import-not-found]

    storage = AsyncSqliteStorage(connection=await anysqlite.connect(":memory:", isolation_level=None))
    return ASGICacheMiddleware(raw_app, storage=storage)


def uncached(app: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def make() -> Any:
        return app()

    return make


@dataclass(frozen=True)
class Contestant:
    #: What its row says, and what its process is told.
    name: str
    #: A key of `PINNED`.
    packages: str
    make: Callable[[], Awaitable[Any]]
    is_cached: bool = True
    is_ours: bool = False
    #: Ours has two, and promises are about the compiled one.
    backend: str = "cffi"
    is_wsgi: bool = False
    #: Not what was promised: a framework's time is in it, or it is set up in a way of its own.
    is_aside: bool = False

    @property
    def is_promised(self) -> bool:
        return self.is_ours and self.backend == "cffi" and not self.is_aside


RAW = "raw ASGI app, not cached"
STARLETTE = "Starlette, not cached"
FASTAPI = "FastAPI, not cached"
OURS = "ours around the raw app"
UNCOMPRESSED = "ours, uncompressed"
TELLING_NOTHING = "ours, no state fields"

CONTESTANTS: List[Contestant] = [
    Contestant(RAW, "frameworks", uncached(lambda: raw_app), is_cached=False),
    Contestant(STARLETTE, "frameworks", uncached(starlette_app), is_cached=False),
    Contestant(FASTAPI, "frameworks", uncached(fastapi_app), is_cached=False),
    Contestant("raw WSGI app, not cached", "frameworks", uncached(lambda: raw_wsgi_app), is_cached=False, is_wsgi=True),
    Contestant(OURS, "frameworks", ours_around_raw, is_ours=True),
    Contestant(UNCOMPRESSED, "frameworks", ours_uncompressed, is_ours=True, is_aside=True),
    Contestant(TELLING_NOTHING, "frameworks", ours_telling_nothing, is_ours=True, is_aside=True),
    Contestant("ours around Starlette", "frameworks", ours_around_starlette, is_ours=True),
    Contestant("ours by Starlette's add_middleware", "frameworks", ours_within_starlette, is_ours=True, is_aside=True),
    Contestant("ours around the raw WSGI app", "frameworks", ours_around_wsgi, is_ours=True, is_wsgi=True),
    Contestant("ours around the raw app, ctypes", "frameworks", ours_around_raw, is_ours=True, backend="ctypes"),
    Contestant("ours around the WSGI app, ctypes", "frameworks", ours_around_wsgi, is_ours=True, backend="ctypes", is_wsgi=True),
    Contestant("asgi-caches around the raw app", "asgi-caches", asgi_caches),
    Contestant("starlette-caches around the raw app", "starlette-caches", starlette_caches),
    Contestant("fastapi-cache2 on the endpoint", "fastapi-cache2", fastapi_cache2),
    Contestant("cashews on the endpoint", "cashews", cashews_decorator),
    Contestant("cashews, with its middlewares", "cashews", cashews_middleware),
    Contestant("hishel around the raw app", "hishel", hishel),
]


def named(name: str) -> Contestant:
    return next(one for one in CONTESTANTS if one.name == name)


def environment_of(one: Contestant) -> Dict[str, str]:
    """Its packages, and none of anybody else's."""
    folders = [PACKAGES / one.packages]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CATZILLA_CACHE_BACKEND")}
    if one.is_ours:
        # The last for what the compiled backend needs: `_cffi_backend`.
        folders = [REPOSITORY / "bindings" / "python", *folders, REPOSITORY / "build" / "python-packages"]
        environment["CATZILLA_CACHE_BACKEND"] = one.backend
        environment.setdefault("CATZILLA_CACHE_LIBRARY", str(REPOSITORY / "target" / "release" / "libcatzilla_cache.so"))
    environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    return environment


def install() -> None:
    """Every folder that is not there yet. What cannot be installed is told here, and again in the row that it leaves empty."""
    for name, requirements in PINNED.items():
        folder, stamp = PACKAGES / name, "\n".join(requirements)
        done = folder / "installed.txt"
        if done.is_file() and done.read_text() == stamp:
            continue
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        outcome = subprocess.run(
            [*command, "--upgrade", "--target", str(folder), *requirements], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if outcome.returncode == 0:
            done.write_text(stamp)
        else:
            print(f"cannot be installed: {' '.join(requirements)}\n{outcome.stderr.strip()}", file=sys.stderr)


def is_installed(one: Contestant) -> bool:
    return (PACKAGES / one.packages / "installed.txt").is_file()


if __name__ == "__main__":
    install()
