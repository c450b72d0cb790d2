"""``catzilla-cache bench``: who is installed answers, who is not is named, and losses are not hidden."""

from __future__ import annotations

import importlib.util
import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from catzilla_cache.command import bench, peers
from catzilla_cache.command.peers import Contender
from command_line import good, refused


def test_every_contender_that_is_installed_is_measured_and_the_others_are_named() -> None:
    told = good("bench", "--quick", "--rounds", "1", "--json").document
    there = [each for each in peers.CONTENDERS if importlib.util.find_spec(each.module)]
    questions = list(dict.fromkeys(each.question for each in peers.CONTENDERS))
    there.sort(key=lambda each: questions.index(each.question))
    assert [(each["question"], each["cache"]) for each in told["results"]] == [(each.question, each.name) for each in there]
    assert all(each["seconds"] > 0 for each in told["results"])
    assert told["not_installed"] == sorted({each.module for each in peers.CONTENDERS} - {each.module for each in there})
    assert told["backend"] in ("cffi", "ctypes")


def test_a_contender_that_loses_what_it_was_given_is_no_contender(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not there"):
        peers._reads(lambda key, value: None, lambda key: None, 10)


def test_each_of_ours_that_a_peer_beats_is_said_to_lose(capsys: pytest.CaptureFixture[str]) -> None:
    def never(stack: ExitStack, folder: str, operations: int) -> peers.Round:
        raise AssertionError

    beaten = bench.Measured(Contender("get", "beaten", "catzilla_cache", never), [2e-7, 2e-7, 9e-7])
    best = bench.Measured(Contender("get", "best", "catzilla_cache.objects", never), [5e-8])
    peer = bench.Measured(Contender("get", "peer", "functools", never), [1e-7])
    slow = bench.Measured(Contender("get", "slow", "functools", never), [4e-7])
    alone = bench.Measured(Contender("set", "alone", "catzilla_cache", never), [1e-7])
    results = [beaten, best, peer, slow, alone]
    bench._print(results, ["absent"], 3)
    shown = capsys.readouterr().out
    assert "we lose: get: beaten takes 2.00 times as long as peer\n" in shown and shown.count("<- we lose") == 1
    assert "not installed, so not measured: absent" in shown
    told = json.loads(json.dumps(bench._document(results, [], 3)))["results"]
    assert [each["loses"] for each in told] == [True, False, False, False, False]
    assert [each["times_fastest_peer"] for each in told] == pytest.approx([2, 0.5, 1, 4, None])
    bench._print([best, peer, slow], [], 3)
    assert "we lose nowhere" in capsys.readouterr().out


def test_a_request_that_makes_no_sense_says_what_would() -> None:
    assert "there are 'get of 128 bytes" in refused("bench", "--only", "nothing like it")
    assert "--rounds is 1 or more" in refused("bench", "--rounds", "0")
    questions = {
        each["question"]
        for each in good("bench", "--quick", "--rounds", "1", "--only", "cached function", "--json").document["results"]
    }
    assert questions == {peers.CALL}
