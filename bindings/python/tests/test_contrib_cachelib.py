"""The cachelib cache and the Flask-Caching backend over it: cachelib's own tests, and a Flask application that caches."""

from __future__ import annotations

import datetime
import importlib.util
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import published_tests
from conftest import missing


@pytest.fixture(scope="module", autouse=True)
def cachelib_installed() -> None:
    for module in ("cachelib", "flask_caching"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} (PyPI)")


#: What cachelib's tests for its own caches look like, for ours: once over memory, once over a disk folder.
CASES = """
import pytest
from clear import ClearTests
from common import CommonTests
from delete_many_with_prefix import DeleteManyWithPrefixTests
from has import HasTests

from catzilla_cache.contrib.cachelib import CatzillaCache


@pytest.fixture(autouse=True, params=["memory", "disk"])
def cache_factory(request, tmp_path):
    made = []

    def factory(self, **named):
        made.append(CatzillaCache({"disk.path": tmp_path / "cache"} if request.param == "disk" else {}, **named))
        return made[-1]

    request.cls.cache_factory = factory
    yield
    for cache in made:
        cache._cache.close()


class TestCatzillaCache(CommonTests, HasTests, ClearTests, DeleteManyWithPrefixTests):
    pass
"""


def test_the_tests_that_cachelib_publishes_pass(tmp_path: Path) -> None:
    for file in (published_tests.source_of("cachelib") / "tests").glob("*.py"):
        if not file.name.startswith("test_"):
            shutil.copy(file, tmp_path)
    # What starts servers for its other caches, which nothing here does.
    (tmp_path / "xprocess.py").write_text("class ProcessStarter: pass\n")
    (tmp_path / "test_ours.py").write_text(CASES)
    done = published_tests.run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ours.py"], tmp_path, tmp_path)
    assert done.returncode == 0, done.stdout
    # All of them, twice.
    assert published_tests.counts(done) == {"passed": 2 * 15}, done.stdout


def test_a_prefix_keeps_two_caches_apart_in_one_place(tmp_path: Path) -> None:
    from catzilla_cache.contrib.cachelib import CatzillaCache

    first = CatzillaCache({"disk.path": tmp_path / "cache"}, key_prefix="first:")
    first.set("key", 1)
    first.set("other", None)
    assert first.get_many("key", "other", "absent") == [1, None, None] and first.get_dict("key") == {"key": 1}
    first._cache.flush()
    second = CatzillaCache({"disk.path": tmp_path / "cache"}, key_prefix="second:")
    assert second.get("key") is None and not second.has("key")
    second.set("key", 2)
    assert second.clear() is True and second.get("key") is None
    assert first.get("key") == 1
    first._cache.close()
    second._cache.close()


def test_timeouts_are_cachelibs() -> None:
    from catzilla_cache.contrib.cachelib import CatzillaCache

    cache = CatzillaCache(default_timeout=1)
    cache.set("default", 1)
    cache.set("forever", 1, timeout=0)
    cache.set("delta", 1, timeout=datetime.timedelta(hours=1))
    cache.set_many({"many": 1})
    while True:
        begun = time.monotonic()
        counted = (cache.inc("counted"), cache.dec("counted", 3))
        # What it was before is over within a second, on a slow machine between the two.
        if counted == (1, -2):
            break
        assert time.monotonic() - begun >= 1
        cache.delete("counted")
    assert cache.inc("forever") == 2
    time.sleep(1.2)
    assert cache.get_many("default", "forever", "delta", "many", "counted") == [None, 2, 1, None, None]


def application(**config: object) -> Any:
    import flask
    import flask_caching

    app = flask.Flask(__name__)
    app.config.update({"CACHE_TYPE": "catzilla_cache.contrib.flask.CatzillaCache", **config})
    cache = flask_caching.Cache(app)
    counted = {"page": 0, "memoized": 0}

    @app.get("/page")
    @cache.cached(timeout=60)
    def page() -> str:
        counted["page"] += 1
        return f"page {counted['page']}"

    @cache.memoize(60)
    def twice(number: int) -> int:
        counted["memoized"] += 1
        return 2 * number

    return app, cache, twice, counted


def test_a_flask_application_caches_pages_and_functions() -> None:
    app, cache, twice, counted = application(CACHE_KEY_PREFIX="site:", CACHE_CATZILLA={"memory.capacity": 500})
    with app.test_client() as client:
        assert [client.get("/page").text for _ in range(3)] == ["page 1"] * 3
    with app.app_context():
        assert [twice(3), twice(3), twice(4)] == [6, 6, 8] and counted["memoized"] == 2
        cache.delete_memoized(twice)
        assert twice(3) == 6 and counted["memoized"] == 3
        assert cache.set("key", {"a": (1, 2)}) and cache.get("key") == {"a": (1, 2)}
        assert cache.cache.key_prefix == "site:" and cache.cache._cache.statistics().memory_capacity == 500
        cache.clear()
        assert cache.get("key") is None
    with app.test_client() as client:
        assert client.get("/page").text == "page 2"


@pytest.mark.parametrize(
    ("reader", "found"),
    [
        ({"SECRET_KEY": "one"}, True),
        ({"SECRET_KEY": "two", "SECRET_KEY_FALLBACKS": ["one"]}, True),
        ({"SECRET_KEY": "two"}, False),
    ],
)
def test_pickled_values_are_believed_by_who_has_the_key_or_had_it(
    tmp_path: Path, reader: "dict[str, object]", found: bool
) -> None:
    from fractions import Fraction

    options = {"CACHE_CATZILLA": {"disk.path": tmp_path / "cache"}}
    app, cache, _, _ = application(SECRET_KEY="one", **options)
    with app.app_context():
        cache.set("key", Fraction(1, 3))
        cache.cache._cache.close()
    app, cache, _, _ = application(**reader, **options)
    with app.app_context():
        assert cache.get("key") == (Fraction(1, 3) if found else None)
        cache.cache._cache.close()


def test_flask_caching_takes_the_cachelib_cache_as_it_is() -> None:
    kind = "catzilla_cache.contrib.cachelib.CatzillaCache"
    app, cache, _, _ = application(CACHE_TYPE=kind, CACHE_OPTIONS={"key_prefix": "p:"})
    with app.app_context():
        assert cache.set("key", 1) and cache.get("key") == 1 and cache.cache.key_prefix == "p:"
