"""Runs the tests that Django publishes for its own cache backends on ours.

A program of its own, since Django's settings are made once for a process: ``django_suite.py TESTS [LOCATION]``, where TESTS
is the folder "tests" of Django's source distribution, and LOCATION what stands in the settings. Not collected by pytest;
``test_contrib_django`` runs it.
"""

from __future__ import annotations

import sys
import unittest
from typing import Any

BACKEND = "catzilla_cache.contrib.django.CatzillaCache"

#: What is left out, and why.
SKIPPED = {
    "test_cull": "counts what Django's own culling leaves; the engine evicts one entry at a time, and 30 of 30 stay",
    "test_zero_cull": "the same",
}


def main(tests: str, location: str = "") -> int:
    import django
    from django.conf import settings

    sys.path.insert(0, tests)
    settings.configure(
        SECRET_KEY="a key for the tests alone",
        INSTALLED_APPS=["cache"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        CACHES={"default": {"BACKEND": BACKEND}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=False,
    )
    django.setup()

    from cache.tests import BaseCacheTests, caches_setting_for_tests
    from django.test import TestCase, override_settings
    from django.test.runner import DiscoverRunner

    skipped = {test: unittest.skip(why)(getattr(BaseCacheTests, test)) for test, why in SKIPPED.items()}
    made: Any = type("OnOurs", (BaseCacheTests, TestCase), {"__module__": __name__, **skipped})
    cases = override_settings(CACHES=caches_setting_for_tests(BACKEND=BACKEND, LOCATION=location))(made)

    class Runner(DiscoverRunner):  # type: ignore[misc,unused-ignore]
        def build_suite(self, *_: Any, **__: Any) -> unittest.TestSuite:
            return unittest.defaultTestLoader.loadTestsFromTestCase(cases)

    return int(bool(Runner(verbosity=2, interactive=False).run_tests([])))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
