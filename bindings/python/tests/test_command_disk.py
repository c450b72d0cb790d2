"""``inspect``, ``check``, ``purge`` and ``stats`` of a disk folder: they show what is there, and looking changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catzilla_cache import BytesCache
from command_line import call, good, refused
from interpreter import PYTHON_PATH, TIMEOUT_SECONDS

LOOKS = ("inspect", "check", "stats")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A disk tier of a hundred entries: half of them under "page/", one that does not end, ten that have ended."""
    path = tmp_path / "cache"
    with BytesCache({"disk.path": path}) as cache:
        for number in range(100):
            cache.set(
                f"{'page' if number % 2 else 'user'}/{number}", b"x" * (10 * number), ttl=0.001 if number < 10 else None
            )
        cache.set("eternal", b"y" * 5000, ttl=float("inf"))
        cache.set(b"not text: \xff\x1b[31m", b"z")
        cache.flush()
    time.sleep(0.01)
    return path


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        # What readers share, and no part of what is stored.
        if not path.name.endswith("-shm")
    }


def test_inspect_counts_what_is_there(folder: Path) -> None:
    told = good("inspect", "--disk", folder, "--json").document
    assert (told["kind"], told["place"], told["version"], told["set_aside"]) == ("disk", str(folder), 1, [])
    # What has ended may have been removed by the library when it was closed.
    assert 92 <= told["entries"] <= 102 and told["entries"] - told["expired"] == 92
    assert (told["forever"], told["unreadable"], told["purged"]) == (1, 0, 0)
    assert told["value_bytes"] >= sum(10 * number for number in range(10, 100)) + 5001
    assert told["compressed"] >= 1 and told["stored_bytes"] > 0
    assert told["oldest"] <= told["newest"] <= time.time()
    assert "entries: " in good("inspect", "--disk", folder).out


def test_inspect_lists_keys_by_prefix_and_no_further_than_asked(folder: Path) -> None:
    told = good("inspect", "--disk", folder, "--prefix", "page/9", "--keys", "--json").document
    assert sorted(each["key"] for each in told["keys"] if each["dead"] is None) == [
        "page/91",
        "page/93",
        "page/95",
        "page/97",
        "page/99",
    ]
    assert {each["value_bytes"] for each in told["keys"] if each["key"] == "page/95"} == {950}
    shown = good("inspect", "--disk", folder, "--prefix", "user/", "--keys", "--limit", "3").out
    assert shown.count("user/") == 4 and "more (--limit)" in shown
    assert good("inspect", "--disk", folder, "--prefix", "nobody", "--json").document["entries"] == 0


def test_a_key_that_is_no_text_is_shown_without_hurting_the_terminal(folder: Path) -> None:
    shown = good("inspect", "--disk", folder, "--keys", "--limit", "0", "--prefix", "not").out
    assert "not text: \\xff\\x1b[31m" in shown and "\x1b" not in shown


@pytest.mark.parametrize("command", [("inspect", "--keys"), ("check",)])
def test_looking_changes_no_file(folder: Path, command: tuple[str, ...]) -> None:
    before = contents(folder)
    good(*command, "--disk", folder)
    assert contents(folder) == before


@pytest.mark.parametrize("command", LOOKS)
def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, command: str) -> None:
    assert f"there is no folder {tmp_path / 'absent'}" in refused(command, "--disk", tmp_path / "absent")
    assert refused("purge", "--all", "--yes", "--disk", tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", LOOKS)
def test_a_folder_without_a_cache_gets_none(tmp_path: Path, command: str) -> None:
    assert "there is no cache.db" in refused(command, "--disk", tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    assert "no folder" in refused(command, "--disk", tmp_path / "file")
    assert "a symlink" in refused(command, "--disk", tmp_path / "link")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_check_finds_nothing_wrong_with_a_sound_file(folder: Path) -> None:
    for quick in ((), ("--quick",)):
        told = good("check", "--disk", folder, "--json", *quick).document
        assert told["ok"] is True and {each["state"] for each in told["findings"]} == {"ok"}
        assert {"layout", "integrity", "index", "books"} <= {each["what"] for each in told["findings"]}


def changed(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "cache.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statement", "what", "words"),
    [
        ("PRAGMA user_version = 9", "layout", "version 9"),
        ("PRAGMA application_id = 7", "layout", "no file of this library's"),
        ("DROP TABLE tags", "layout", "lacks the tables tags"),
        ("UPDATE books SET entries = entries + 3", "books", "off by -3"),
        (
            "UPDATE entries SET hash = hash + 1 WHERE id = (SELECT max(id) FROM entries)",
            "index",
            "1 entries cannot be found",
        ),
        ("UPDATE entries SET envelope = x'00'", "values", "not of this library"),
    ],
)
def test_check_finds_what_is_wrong(folder: Path, statement: str, what: str, words: str) -> None:
    changed(folder, statement)
    done = call("check", "--disk", folder, "--json")
    assert done.status == 1 and done.document["ok"] is False
    (wrong,) = (each for each in done.document["findings"] if each["state"] == "wrong")
    assert wrong["what"] == what and words in wrong["detail"]


def test_check_finds_a_damaged_page(folder: Path) -> None:
    file = folder / "cache.db"
    changed(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
    size = file.stat().st_size
    with file.open("r+b") as raw:
        raw.seek(size // 2)
        raw.write(b"\xa5" * (size // 4))
    for command in ("check", "inspect"):
        done = call(command, "--disk", folder)
        assert done.status == 1 and "Traceback" not in done.err, done
    file.write_bytes(b"no database" * 1000)
    for command in ("check", "inspect", "stats"):
        done = call(command, "--disk", folder)
        assert done.status == 1 and "cannot be read" in done.out + done.err, done


def test_check_warns_of_what_was_set_aside_and_of_an_open_folder(folder: Path) -> None:
    (folder / "cache.db.set-aside-1700000000").touch()
    os.chmod(folder, 0o755)
    told = good("check", "--disk", folder, "--json").document
    assert {each["what"]: each["state"] for each in told["findings"] if each["state"] != "ok"} == {
        "mode": "warning",
        "set aside": "warning",
    }


WRITING = """
import sys, threading
from catzilla_cache import BytesCache

done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
with BytesCache({"disk.path": sys.argv[1], "memory.capacity": 10, "disk.commit_interval": "1ms"}) as cache:
    step = 0
    while not done.is_set():
        step += 1
        cache.set(f"key {step % 3000}", b"value" * (step % 50), ttl=None if step % 3 else 0.5)
        if step % 5 == 0:
            cache.delete(f"key {step * 7 % 3000}")
        if step == 3000:
            cache.flush()
            print("begun", flush=True)
"""


def test_a_folder_in_use_can_be_looked_at_and_its_writer_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(folder)],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout is not None and writer.stdout.readline() == "begun\n"
        for _ in range(5):
            told = good("check", "--disk", folder, "--json").document
            assert told["ok"] is True and {each["state"] for each in told["findings"]} == {"ok"}
            assert good("inspect", "--disk", folder, "--json").document["entries"] > 100
        # A purge by another process, beside a writer that goes on.
        assert call("purge", "--disk", folder, "--prefix", "key 1", "--yes").status == 0
        assert writer.poll() is None
        _, complaints = writer.communicate("", timeout=TIMEOUT_SECONDS)
    finally:
        writer.kill()
        writer.wait()
    assert (writer.returncode, complaints) == (0, "")
    good("check", "--disk", folder)


def living(folder: Path) -> set[str]:
    told = good("inspect", "--disk", folder, "--keys", "--limit", "0", "--json").document
    return {each["key"] for each in told["keys"] if each["dead"] is None}


def test_purge_removes_a_prefix_and_nothing_else(folder: Path) -> None:
    before = living(folder)
    shown = good("purge", "--disk", folder, "--prefix", "page/", "--yes").out
    gone = {key for key in before if key.startswith("page/")}
    assert living(folder) == before - gone and len(gone) == 45 and "45 entries" in shown
    told = good("purge", "--disk", folder, "--all", "--yes", "--json").document
    assert told["entries"] == len(before - gone) and living(folder) == set()
    with BytesCache({"disk.path": folder}) as cache:
        assert cache.get("eternal") is None


def test_purge_by_pattern_removes_what_fits_and_nothing_else(folder: Path) -> None:
    before = living(folder)
    told = good("purge", "--disk", folder, "--pattern", "?age/*1", "--yes", "--json").document
    gone = {key for key in before if key.startswith("page/") and key.endswith("1")}
    assert living(folder) == before - gone and len(gone) > 1
    assert (told["entries"], told["what"]) == (len(gone), "what fits '?age/*1'")
    assert good("purge", "--disk", folder, "--pattern", "no such*", "--yes", "--json").document["entries"] == 0
    assert "--pattern is empty" in refused("purge", "--disk", folder, "--pattern", "", "--yes")
    assert "at most 4096 bytes, not 4097" in refused("purge", "--disk", folder, "--pattern", "*" * 4097, "--yes")
    assert living(folder) == before - gone
    good("purge", "--disk", folder, "--pattern", "*", "--yes")
    assert living(folder) == set()


def test_purge_takes_arguments_that_are_no_text_as_the_bytes_that_they_are(folder: Path) -> None:
    with BytesCache({"disk.path": folder}) as cache:
        cache.set(b"\xff1", b"1", tags=[b"\xfe"])
        cache.set(b"\xff2", b"1")
        cache.set(b"\xfd", b"1")
    before = living(folder)
    for arguments in (("--tag", "\udcfe"), ("--prefix", "\udcff"), ("--pattern", "\udcfd*")):
        assert good("purge", "--disk", folder, *arguments, "--yes", "--json").document["entries"] == 1
    assert len(living(folder)) == len(before) - 3


def test_purge_by_tag_takes_what_has_the_tag(folder: Path) -> None:
    with BytesCache({"disk.path": folder}) as cache:
        cache.set("red", b"1", tags=["colour", "warm"])
        cache.set("blue", b"2", tags=["colour"])
    before = living(folder)
    told = good("inspect", "--disk", folder, "--json").document
    assert told["by_tag"] == {"colour": 2, "warm": 1} and told["tagged"] == 2
    assert "with tags" in good("inspect", "--disk", folder).out
    assert good("purge", "--disk", folder, "--tag", "warm", "--yes", "--json").document["entries"] == 1
    assert living(folder) == before - {"red"}
    told = good("inspect", "--disk", folder, "--json").document
    assert (told["purged"], told["purged_tags"]) == (1, 1)
    with BytesCache({"disk.path": folder}) as cache:
        assert cache.get("red") is None and cache.get("blue") == b"2"


def test_purge_removes_nothing_when_nobody_says_yes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "Nobody is there to answer; say --yes" in refused("purge", "--disk", folder, "--all")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for answer in ("\n", "n\n", "", "maybe\n"):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert "nothing was removed" in refused("purge", "--disk", folder, "--all", status=1)
    assert contents(folder) == before
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert call("purge", "--disk", folder, "--all").status == 0
    assert living(folder) == set()


def test_an_empty_prefix_is_not_taken_for_everything(folder: Path) -> None:
    assert "say --all" in refused("purge", "--disk", folder, "--prefix", "", "--yes")
    assert "--key-prefix goes with --redis" in refused("inspect", "--disk", folder, "--key-prefix", "a")


def test_stats_reads_a_sample_through_the_library(folder: Path) -> None:
    told = good("stats", "--disk", folder, "--sample", "50", "--json").document
    assert told["health"]["is_up"] is True
    assert (told["tier"]["hits"], told["tier"]["misses"], told["tier"]["unreadable"]) == (50, 0, 0)
    assert told["tier"]["read_samples"] > 0 and told["entries"] >= 92
    assert "health" in good("stats", "--disk", folder).out


def test_stats_says_with_its_status_that_values_are_damaged(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
        for row, envelope in connection.execute("SELECT id, envelope FROM entries").fetchall():
            # One bit of the last byte: only the checksum tells.
            connection.execute(
                "UPDATE entries SET envelope = ? WHERE id = ?", (envelope[:-1] + bytes([envelope[-1] ^ 1]), row)
            )
    done = call("stats", "--disk", folder, "--json")
    assert done.status == 1 and done.document["tier"]["unreadable"] > 0
