"""The command line as a whole: who may be called how, and that nothing a user does ends in a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import catzilla_cache
from command_line import call, good, refused
from interpreter import PYTHON_PATH

COMMANDS = ("replay", "bench", "inspect", "purge", "check", "stats")


def start(*arguments: str, **how: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "catzilla_cache", *arguments],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def test_the_help_names_every_command_and_each_has_a_help_of_its_own() -> None:
    out = good("--help").out
    for command in COMMANDS:
        assert f"\n    {command} " in out
        own = good(command, "--help").out
        assert "Exit status" in own and "--json" in own and "usage: catzilla-cache" in own


def test_the_version_is_the_librarys() -> None:
    assert good("--version").out == f"catzilla-cache {catzilla_cache.library_version()}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("evict",), "invalid choice"),
        (("replay",), "TRACE"),
        (("inspect",), "one of the arguments --disk --redis is required"),
        (("inspect", "--disk", "a", "--redis", "b"), "not allowed with"),
        (("purge", "--disk", "a"), "one of the arguments --all --prefix --pattern --tag is required"),
        (("purge", "--disk", "a", "--all", "--tag", "b"), "not allowed with"),
        (("bench", "--rounds", "many"), "invalid int value"),
    ],
)
def test_a_request_that_cannot_be_parsed_has_status_2_and_says_why(arguments: tuple[str, ...], words: str) -> None:
    done = call(*arguments)
    assert (done.status, done.out) == (2, "")
    assert words in done.err and "Traceback" not in done.err


def test_the_module_runs_as_a_program() -> None:
    process = start("stats", "--json")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert f'"version": "{catzilla_cache.library_version()}"' in out


def test_stats_tells_of_the_library_and_all_its_options() -> None:
    library = good("stats", "--json").document["library"]
    assert library["version"] == catzilla_cache.library_version()
    assert library["backend"] in ("cffi", "ctypes") and Path(library["file"]).name.startswith("libcatzilla_cache.so")
    told = good("stats", "--options", "--json").document["options"]
    assert [option["name"] for option in told] == [option.name for option in catzilla_cache.available_options()]
    shown = good("stats", "--options").out
    for option in catzilla_cache.available_options():
        assert option.name in shown


def test_who_reads_only_the_beginning_is_no_error() -> None:
    process = start("stats", "--options")
    assert process.stdout is not None and process.stderr is not None
    # Gone before the first word is written.
    process.stdout.close()
    with process.stderr as errors:
        assert errors.read() == ""
    assert process.wait(timeout=300) == 0


def test_an_interrupt_ends_a_replay_with_a_word_and_not_with_a_traceback(tmp_path: Path) -> None:
    trace = tmp_path / "long.txt"
    trace.write_text("".join(f"key {number % 5000}\n" for number in range(3_000_000)))
    # A child inherits that a signal is ignored, as it is for what a shell runs in the background, but not how it is handled.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = start("replay", str(trace), "--capacity", ",".join(["100"] * 50))
    finally:
        signal.signal(signal.SIGINT, before)
    # Its import installs nothing that waits; a second signal covers a machine where the first met the import.
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if _has_the_library(process.pid):
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.05)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert err == "catzilla-cache: interrupted\n" and out == ""


def _has_the_library(pid: int) -> bool:
    # Threads: the cache's own one is there, so a replay runs.
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except FileNotFoundError:
        return False


def test_an_option_that_the_library_refuses_is_a_request_that_makes_no_sense(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    trace.write_text("a\nb\na\n")
    assert "memory.shards" in refused("replay", trace, "--option", "memory.shards=many")
    assert "no option `memory.colour`" in refused("replay", trace, "--option", "memory.colour=red")
