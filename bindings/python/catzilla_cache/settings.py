"""Caches by name, configured from a dict, from the environment, or by URL: ``caches["sessions"]``.

    configure({
        "default": "memory://?capacity=50000&policy=s3fifo",
        "sessions": {"url": "redis://localhost:6379/1", "memory.capacity": 1000},
        "pages": {"disk.path": "/var/cache/app", "disk.max_bytes": "10GiB", "memory.ttl": "5m"},
    })

Values are options of the library by name, or fields of ``SmartCacheConfig``; ``url`` is where the values are below memory:

    memory://                           nowhere
    redis://, rediss://, redis+unix://  a Redis server (``redis.url``)
    disk:///var/cache/app               a folder (``disk.path``)

with options after ``?``; one without a tier in its name is ``memory``'s: ``?capacity=1000&disk.ttl=2h``.
"""

from __future__ import annotations

import os
import threading
from dataclasses import fields
from typing import Any, Dict, Iterator, Mapping, Optional, Union
from urllib.parse import parse_qsl, unquote, urlsplit

from catzilla_cache import _forks
from catzilla_cache._library import VARIABLE as LIBRARY_VARIABLE
from catzilla_cache._backend import VARIABLE as BACKEND_VARIABLE
from catzilla_cache.codec.secret import VARIABLE as SECRET_VARIABLE
from catzilla_cache.errors import CacheValueError
from catzilla_cache.options import available_options
from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

#: The beginning of variables: ``CATZILLA_CACHE_URL``, ``CATZILLA_CACHE_MEMORY_CAPACITY`` for the option ``memory.capacity``.
PREFIX = "CATZILLA_CACHE_"

#: Of the default cache; that of others has their name in between: ``CATZILLA_CACHE_SESSIONS_URL``.
URL_VARIABLE = PREFIX + "URL"

_OTHER_VARIABLES = {LIBRARY_VARIABLE, BACKEND_VARIABLE, SECRET_VARIABLE}

Settings = Union[str, Mapping[str, Any], SmartCacheConfig]


def config_from(settings: Settings) -> SmartCacheConfig:
    """The configuration that a URL or a dict describes. What it does not know is a ``CacheValueError``, never left out."""
    if isinstance(settings, SmartCacheConfig):
        return settings
    if isinstance(settings, str):
        settings = {"url": settings}
    known = {field.name for field in fields(SmartCacheConfig)}
    chosen: Dict[str, Any] = {}
    # Those that stand by themselves win over those in the URL, wherever it stands.
    options: Dict[str, object] = _options_of(str(settings["url"])) if "url" in settings else {}
    for name, value in settings.items():
        if name == "url":
            continue
        if name == "options":
            options.update(value)
        elif name in known:
            chosen[name] = value
        else:
            options[_checked(name)] = value
    return SmartCacheConfig(**chosen, options=options)


def config_from_environment(environment: Optional[Mapping[str, str]] = None) -> SmartCacheConfig:
    """The configuration in variables: ``CATZILLA_CACHE_URL``, and one for each option."""
    environment = os.environ if environment is None else environment
    settings: Dict[str, Any] = {}
    names = {PREFIX + option.name.replace(".", "_").upper(): option.name for option in available_options()}
    for variable, value in environment.items():
        if variable == URL_VARIABLE:
            settings["url"] = value
        elif variable in names:
            settings[names[variable]] = value
        elif variable.startswith(PREFIX) and variable not in _OTHER_VARIABLES and not variable.endswith("_URL"):
            raise CacheValueError(f"{variable} is no option; variables are {URL_VARIABLE} and {PREFIX}<OPTION>, such as {min(names)}")
    return config_from(settings)


def _options_of(url: str) -> Dict[str, object]:
    options: Dict[str, object] = {}
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise CacheValueError(f"{url!r} is no URL of a cache: {error}") from None
    for name, value in query:
        options[_checked(name if "." in name else f"memory.{name}")] = value
    if parts.scheme == "memory":
        if parts.netloc or parts.path not in ("", "/"):
            raise CacheValueError(f"memory:// has no place behind it: {url!r}")
    elif parts.scheme in ("redis", "rediss", "redis+unix"):
        options["redis.url"] = url.split("?", 1)[0]
    elif parts.scheme == "disk":
        if parts.netloc or not parts.path.strip("/"):
            raise CacheValueError(f"a disk URL is disk:///path/of/a/folder, with three slashes, not {url!r}")
        options["disk.path"] = unquote(parts.path)
    else:
        raise CacheValueError(f"a cache's URL begins with memory, redis, rediss, redis+unix or disk, not {parts.scheme!r}: {url!r}")
    return options


def _checked(name: str) -> str:
    names = {option.name for option in available_options()}
    if name not in names:
        raise CacheValueError(f"{name!r} is neither an option of the library nor a field of SmartCacheConfig; options are {', '.join(sorted(names))}")
    return name


class Caches:
    """Caches by name; each is opened when it is first asked for."""

    def __init__(self, settings: Optional[Mapping[str, Settings]] = None) -> None:
        self._lock = threading.RLock()
        self._open: Dict[str, SmartCache] = {}
        self._configs: Dict[str, SmartCacheConfig] = {}
        _forks.watch(self)
        self.configure(settings or {})

    def renew_in_child(self) -> None:
        """In a forked child: the thread that held the lock is not there any more."""
        self._lock = threading.RLock()

    def configure(self, settings: Mapping[str, Settings]) -> None:
        """Takes other settings over, all or none; caches that are open are closed."""
        configs = {name: config_from(each) for name, each in settings.items()}
        with self._lock:
            self.close()
            self._configs = configs

    def __getitem__(self, name: str) -> SmartCache:
        cache = self._open.get(name)
        if cache is not None and not cache.closed:
            return cache
        with self._lock:
            cache = self._open.get(name)
            if cache is None or cache.closed:
                config = self._configs.get(name)
                if config is None and name == "default":
                    config = config_from_environment()
                if config is None:
                    variable = f"{PREFIX}{name.upper()}_URL"
                    if variable not in os.environ:
                        raise KeyError(f"no cache is named {name!r}: there are {sorted({*self._configs, 'default'})}, and {variable} is not set")
                    config = config_from(os.environ[variable])
                cache = self._open[name] = SmartCache(config)
            return cache

    def __iter__(self) -> Iterator[str]:
        return iter({**self._configs, "default": None})

    def close(self) -> None:
        """Closes those that are open; they are opened again when they are asked for."""
        with self._lock:
            opened, self._open = self._open, {}
        for cache in opened.values():
            cache.close()


#: Those of this process.
caches = Caches()


def configure(settings: Mapping[str, Settings]) -> None:
    """Configures ``caches``."""
    caches.configure(settings)
