"""``catzilla-cache replay``: real traces, their hit ratios, and traces that are none."""

from __future__ import annotations

import importlib.util
import io
import struct
import sys
from array import array
from pathlib import Path

import pytest

from catzilla_cache.command import report, trace
from command_line import good, refused
from conftest import missing

#: 1, 2, 3, 1, 2, 3, ...: with room for two, LRU and FIFO never hit; with room for three, all but the first three do.
LOOP = [1, 2, 3] * 100


def numbers(*, path: Path, keys: list[int]) -> Path:
    path.write_bytes(struct.pack(f"<{len(keys)}I", *keys))
    return path


def test_a_loop_hits_as_often_as_theory_says(tmp_path: Path) -> None:
    path = numbers(path=tmp_path / "loop.key.u32", keys=LOOP)
    told = good(
        "replay", path, "--capacity", "2,100%", "--policy", "lru,fifo", "--option", "memory.shards=1", "--json"
    ).document
    assert (told["trace"], told["requests"], told["unique"]) == ("loop", 300, 3)
    found = {(each["capacity"], each["policy"]): each["hits"] for each in told["results"]}
    assert found == {(2, "lru"): 0, (2, "fifo"): 0, (3, "lru"): 297, (3, "fifo"): 297}
    assert all(each["wrong_values"] == 0 and each["requests_per_second"] > 0 for each in told["results"])


def test_text_and_numbers_of_the_same_keys_are_the_same_trace(tmp_path: Path) -> None:
    text = tmp_path / "loop.txt"
    text.write_text("".join(f"{key}\n" for key in LOOP))
    binary = trace.load(numbers(path=tmp_path / "loop.u32", keys=LOOP))
    assert trace.load(text) == binary and binary.name == "loop" and binary.requests[:4] == array("L", [0, 1, 2, 0])
    assert len(trace.load(text, most=5)) == 5


def test_the_recorded_trace_hits_as_it_does_through_the_c_interface(repository: Path) -> None:
    if importlib.util.find_spec("zstandard") is None:
        missing("zstandard (PyPI)")
    path = repository / "data" / "traces" / "cache2k_web12.key.u32.zst"
    told = good("replay", path, "--capacity", "10%", "--policy", "lru", "--json").document
    assert (told["trace"], told["requests"], told["unique"]) == ("cache2k_web12", 95_607, 13_756)
    (result,) = told["results"]
    # True LRU has 68.5 %; shards take a few tenths off.
    assert result["capacity"] == 1376 and 0.67 < result["hit_ratio"] < 0.70
    assert result["hits"] == round(result["hit_ratio"] * 95_607) and result["evictions"] > 20_000


def test_the_table_marks_the_best_policy_of_each_size(tmp_path: Path) -> None:
    # Sieve keeps what was asked for again; a FIFO lets it go.
    keys = [key for number in range(400) for key in (7, 8, 1000 + number)]
    shown = good("replay", numbers(path=tmp_path / "hot.u32", keys=keys), "--capacity", "5", "--policy", "fifo,sieve").out
    lines = [line for line in shown.splitlines() if "fifo" in line or "sieve" in line]
    assert len(lines) == 2 and "*" not in lines[0] and " *" in lines[1], shown
    assert "hot: 1,200 requests, 402 unique keys, values of 128 bytes" in shown


def test_all_policies_are_those_of_the_library(tmp_path: Path) -> None:
    path = numbers(path=tmp_path / "loop.u32", keys=LOOP)
    told = good("replay", path, "--capacity", "3", "--policy", "all", "--value-size", "0", "--json").document
    assert [each["policy"] for each in told["results"]][:3] == ["lru", "lfu", "fifo"] and len(told["results"]) > 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--capacity", "none"), "'none' is neither a number of entries (5000) nor a part of the unique keys (10%)"),
        (("--capacity", "0"), "'0' is neither"),
        (("--capacity=-3%",), "'-3%' is neither"),
        (("--policy", "lru,best"), "no policy 'best'; there are lru"),
        (("--value-size", "-1"), "--value-size is 0 to"),
        (("--option", "memory.ttl"), "'memory.ttl' is not NAME=VALUE"),
        (("--option", "memory.capacity=5"), "say --capacity"),
    ],
)
def test_a_request_that_makes_no_sense_says_what_would(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    path = numbers(path=tmp_path / "loop.u32", keys=LOOP)
    assert words in refused("replay", path, *arguments)


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused("replay", tmp_path / "absent.u32")
    for name, content, words in (
        ("odd.u32", b"12345", "5 bytes, which is no whole number"),
        ("empty.txt", b"", "holds no request"),
        ("plain.u32.zst", b"1234", "is no zstd file"),
    ):
        (tmp_path / name).write_bytes(content)
        assert words in refused("replay", tmp_path / name)


def test_a_compressed_trace_that_is_damaged_is_refused(tmp_path: Path) -> None:
    if importlib.util.find_spec("zstandard") is None:
        missing("zstandard (PyPI)")
    (tmp_path / "cut.u32.zst").write_bytes(b"\x28\xb5\x2f\xfd" + b"\xff" * 20)
    assert "is damaged" in refused("replay", tmp_path / "cut.u32.zst")


def test_without_zstandard_a_compressed_trace_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "some.u32.zst").write_bytes(b"\x28\xb5\x2f\xfd" + b"0" * 20)
    assert "pip install 'catzilla-cache[replay]'" in refused("replay", tmp_path / "some.u32.zst")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_progress_bar_is_for_terminals_only_and_takes_itself_away() -> None:
    with report.Progress("a replay", 100, stream=io.StringIO()) as progress:
        progress.at(50)
        assert progress._stream.getvalue() == ""  # type: ignore[attr-defined]
    terminal = Terminal()
    with report.Progress("a replay", 100, stream=terminal) as progress:
        progress.at(50)
        assert "a replay [" in terminal.getvalue() and "50%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
    silent = Terminal()
    with report.Progress("a replay", 100, stream=silent, wanted=False) as progress:
        progress.at(50)
    assert silent.getvalue() == ""
