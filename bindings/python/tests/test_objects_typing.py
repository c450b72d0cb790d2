"""Who uses the object cache gets types and not Any, and importing it costs no event loop."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from conftest import missing
from test_typing import mypy


def test_a_caller_of_the_object_cache_gets_types(tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        missing("mypy (PyPI)")
    caller = tmp_path / "caller.py"
    caller.write_text(
        "from catzilla_cache.objects import EvictionPolicy, SmartCache, cached\n"
        "cache: SmartCache[str, int] = SmartCache(max_size=5, policy=EvictionPolicy.LFU)\n"
        "@cached\n"
        "def plain(number: int) -> str: return str(number)\n"
        "@cached(max_size=None)\n"
        "async def awaited(number: int) -> str: return str(number)\n"
        "class Thing:\n"
        "    @cached\n"
        "    def method(self, number: int) -> str: return str(number)\n"
        "reveal_type(cache.get('key'))\n"
        "reveal_type(cache.get('key', b''))\n"
        "reveal_type(cache.get_or_set('key', lambda: 5))\n"
        "reveal_type(plain(1))\n"
        "async def main() -> None: reveal_type(await awaited(1))\n"
        "reveal_type(Thing().method(1))\n"
        "reveal_type(plain.cache_info().hits)\n"
        "cache.put('key', 'text')\n"
        "plain('text')\n"
    )
    done = mypy(tmp_path, str(caller))
    lines = done.stdout.splitlines()
    expected = ["int | None", "int | bytes", "int", "str", "str", "str", "int"]
    for number, revealed in enumerate(expected, start=10):
        said = [line for line in lines if f"caller.py:{number}: note: Revealed type" in line]
        assert said and said[0].replace("builtins.", "").endswith(f'"{revealed}"'), done.stdout
    assert 'caller.py:17: error: Argument 2 to "put"' in done.stdout
    assert 'caller.py:18: error: Argument 1 to "__call__"' in done.stdout
    assert done.stdout.count("error:") == 2, done.stdout


def test_the_object_cache_is_imported_without_asyncio_and_without_a_thread() -> None:
    program = (
        "import sys, threading, catzilla_cache.objects\n"
        "assert 'asyncio' not in sys.modules, 'asyncio'\n"
        "assert threading.active_count() == 1\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
