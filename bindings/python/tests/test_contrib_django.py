"""The Django backend: Django's own tests of a backend, and what they do not ask."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import published_tests
import redis_server
from conftest import missing
from interpreter import PYTHON_PATH, output_of, run

#: With what is installed for the tests, Django among it.


@pytest.fixture(scope="module", autouse=True)
def django_installed() -> None:
    if importlib.util.find_spec("django") is None:
        missing("Django (PyPI)")


@pytest.fixture(scope="module")
def published(redis_installed: None, tmp_path_factory: pytest.TempPathFactory) -> "dict[str, subprocess.CompletedProcess[str]]":
    """What Django's own tests say of each tier. All at once: most of their time they wait for something to expire."""
    tests, folder = published_tests.source_of("django") / "tests", tmp_path_factory.mktemp("django")
    with redis_server.running(folder) as server, ThreadPoolExecutor() as together:
        places = {"memory": "", "disk": str(folder / "cache"), "redis": server.url}
        suite = Path(__file__).parent / "django_suite.py"
        running = {
            tier: together.submit(published_tests.run, [str(suite), str(tests), location], folder)
            for tier, location in places.items()
        }
        return {tier: done.result() for tier, done in running.items()}


@pytest.mark.parametrize("tier", ["memory", "disk", "redis"])
def test_the_tests_that_django_publishes_pass(published: "dict[str, subprocess.CompletedProcess[str]]", tier: str) -> None:
    done = published[tier]
    assert done.returncode == 0, done.stdout[-20_000:]
    # Those that are left out are named in django_suite, with their reasons.
    assert re.search(r"^Ran 54 tests", done.stdout, re.MULTILINE) and "OK (skipped=2)" in done.stdout, done.stdout[-2000:]


CONFIGURED = """
import django
from django.conf import settings

def configure(location="", key="a key for the tests", fallbacks=(), **options):
    backend = {"BACKEND": "catzilla_cache.contrib.django.CatzillaCache", "LOCATION": location, "OPTIONS": options}
    caches = {"default": backend, "other": {**backend, "KEY_PREFIX": "other"}}
    settings.configure(SECRET_KEY=key, SECRET_KEY_FALLBACKS=list(fallbacks), CACHES=caches)
    django.setup()

"""


def django(code: str) -> str:
    """What a program prints that begins with ``configure``."""
    return output_of(CONFIGURED + textwrap.dedent(code), python_path=PYTHON_PATH)


def test_all_threads_and_aliases_of_one_place_share_one_cache() -> None:
    printed = django("""
        configure(**{"memory.capacity": 77})
        import threading
        from django.core.cache import cache, caches
        cache.set("key", "value")
        found = []
        thread = threading.Thread(target=lambda: found.extend((caches["default"].get("key"), caches["other"].get("key"))))
        thread.start()
        thread.join()
        print(found, caches["other"]._cache is caches["default"]._cache, caches["default"]._cache.statistics().memory_capacity)
        caches["other"].set("key", 2)
        print(cache.get("key"), caches["other"].get("key"))
        """)
    assert printed == "['value', None] True 77\nvalue 2\n"


def test_the_awaitable_methods_answer_as_the_others_do_without_a_thread() -> None:
    printed = django("""
        configure()
        import asyncio, threading
        from django.core.cache import cache, caches

        async def main():
            await cache.aset("a", [1, None], 60)
            assert await cache.aget("a") == [1, None] and await cache.aget("absent", 5) == 5
            assert await cache.aadd("a", 2) is False and await cache.aadd("b", None) is True
            assert await cache.aget("b", "default") is None and await cache.ahas_key("b")
            assert await cache.aset_many({"c": 1, "d": 2}) == [] and await cache.aget_many(["c", "d", "e"]) == {"c": 1, "d": 2}
            assert await cache.aincr("c", 5) == 6 and await cache.adecr("c") == 5
            assert await cache.atouch("c", 100) and not await cache.atouch("absent")
            assert await cache.atouch("d", 0) and not await cache.ahas_key("d")
            assert await cache.aadd("d", 1, 0) is True and not await cache.ahas_key("d")
            await cache.aset("c", 1, 0)
            assert not await cache.ahas_key("c")
            assert await cache.aset_many({"a": 1, "f": 2}, 0) == [] and not await cache.ahas_key("a")
            for call in (cache.aincr("absent"), cache.aincr("b")):
                try:
                    await call
                except (ValueError, TypeError) as error:
                    print(type(error).__name__)
            assert await cache.adelete("b") and not await cache.adelete("b")
            assert await cache.aget_or_set("g", lambda: "made") == "made" and await cache.aincr_version("g") == 2
            await cache.adelete_many(["g"])
            await cache.aclear()
            print(threading.active_count(), len(caches["default"]._cache))

        asyncio.run(main())
        """)
    assert printed == "ValueError\nTypeError\n1 0\n"


def test_of_many_threads_that_miss_one_makes_the_value() -> None:
    printed = django("""
        configure()
        import threading, time
        from django.core.cache import cache
        made, found, start = [], [], threading.Barrier(8)

        def make():
            made.append(1)
            # Until the others have come: they do not make it, whenever they come.
            time.sleep(0.3)
            return "value"

        def ask():
            start.wait()
            found.append(cache.get_or_set("key", make, 60))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(made), set(found), cache.get_or_set("gone at once", "x", 0), cache.get("gone at once"))
        """)
    assert printed == "1 {'value'} x None\n"


def test_pickled_values_are_believed_by_who_has_the_key_or_had_it(tmp_path: Path) -> None:
    def found_by(key: str, *fallbacks: str) -> bool:
        printed = django(f"""
            configure({str(tmp_path / "cache")!r}, {key!r}, {fallbacks!r})
            from fractions import Fraction
            from django.core.cache import cache
            print(cache.get("key"))
            cache.set("key", Fraction(1, 3))
            assert cache.get("key") == Fraction(1, 3)
            """)
        assert printed in ("1/3\n", "None\n")
        return printed == "1/3\n"

    assert not found_by("first")
    assert found_by("first")
    assert found_by("second", "first")
    assert not found_by("third")
    # What the third has signed is nothing to them.
    assert not found_by("second", "first")


def test_an_option_or_a_place_that_is_none_is_named() -> None:
    for arguments, words in (("'somewhere'", "'somewhere' is no place"), ("**{'memory.colour': 1}", "memory.colour")):
        code = CONFIGURED + f"configure({arguments})\nfrom django.core.cache import cache\ncache.get('key')"
        done = run(code, python_path=PYTHON_PATH)
        assert done.returncode == 1 and words in done.stderr.splitlines()[-1], done.stderr
