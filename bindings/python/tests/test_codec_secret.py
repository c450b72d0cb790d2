"""Where secrets come from: the configuration, or a file beside the disk tier's that nobody else could have read or written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from catzilla_cache.codec import disk_secret, secret_for
from catzilla_cache.errors import CacheNotAvailableError, CacheValueError
from interpreter import PACKAGE_FOLDER

LONG_ENOUGH = "a secret of enough length"


def key_file(folder: Path) -> Path:
    return folder / "values.key"


def test_the_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    first = disk_secret(tmp_path)
    assert len(first) == 32 and disk_secret(str(tmp_path)) == first
    facts = key_file(tmp_path).lstat()
    assert stat.S_ISREG(facts.st_mode) and stat.S_IMODE(facts.st_mode) == 0o600 and facts.st_uid == os.geteuid()
    assert key_file(tmp_path).read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["values.key"]


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert disk_secret(tmp_path / "one") != disk_secret(tmp_path / "two")


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_umask_does_not_matter(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        first = disk_secret(tmp_path)
    finally:
        os.umask(before)
    assert disk_secret(tmp_path) == first
    assert stat.S_IMODE(key_file(tmp_path).lstat().st_mode) == 0o600


def test_processes_that_race_for_it_agree(tmp_path: Path) -> None:
    code = """
import sys
from catzilla_cache.codec import disk_secret
sys.stdin.readline()
for folder in sys.argv[1:]:
    print(disk_secret(folder).hex())
"""
    folders = [tmp_path / str(number) for number in range(40)]
    for folder in folders:
        folder.mkdir()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, folders)],
            env={**os.environ, "PYTHONPATH": PACKAGE_FOLDER},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    printed = [child.communicate(timeout=300)[0] for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    assert len(printed[0].splitlines()) == len(folders) == len(set(printed[0].splitlines()))
    assert printed.count(printed[0]) == len(children)
    assert all([entry.name for entry in folder.iterdir()] == ["values.key"] for folder in folders)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(bytes(32))
    (tmp_path / "elsewhere").chmod(0o600)
    key_file(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheNotAvailableError, match=r"values\.key, cannot be trusted: it is a symbolic link"):
        disk_secret(tmp_path)


def test_a_link_to_nothing_is_refused_and_not_followed(tmp_path: Path) -> None:
    key_file(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheNotAvailableError, match="it is a symbolic link"):
        disk_secret(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    disk_secret(tmp_path)
    key_file(tmp_path).chmod(mode)
    with pytest.raises(CacheNotAvailableError, match=f"others may read or write it: its mode is {mode:04o}, not 0600"):
        disk_secret(tmp_path)


@pytest.mark.parametrize("length", [0, 31, 33, 5000])
def test_a_file_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    key_file(tmp_path).touch(0o600)
    key_file(tmp_path).write_bytes(bytes(length))
    with pytest.raises(CacheNotAvailableError, match="it has not the 32 bytes of a key"):
        disk_secret(tmp_path)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(key_file(tmp_path), 0o600)
    with pytest.raises(CacheNotAvailableError, match="it is not a file"):
        disk_secret(tmp_path)
    key_file(tmp_path).unlink()
    key_file(tmp_path).mkdir(0o700)
    with pytest.raises(CacheNotAvailableError, match="it is not a file"):
        disk_secret(tmp_path)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_secret(tmp_path)
    owner = os.geteuid()
    # Only root could make a file that is not its own; being somebody else is the same.
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(
        CacheNotAvailableError, match=f"it belongs to user {owner}, not to user {owner + 1}, who runs this"
    ):
        disk_secret(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheNotAvailableError, match="the key of the disk tier cannot be used: .*nowhere"):
        disk_secret(tmp_path / "nowhere")


def test_a_configured_secret_is_that_of_all_tiers(tmp_path: Path) -> None:
    for redis in (False, True):
        for folder in (None, tmp_path):
            assert secret_for(LONG_ENOUGH, redis=redis, disk_folder=folder, environment={}) == (LONG_ENOUGH.encode(),)
    assert not key_file(tmp_path).exists()


def test_several_secrets_keep_their_order() -> None:
    assert secret_for([LONG_ENOUGH, b"x" * 16], redis=True, disk_folder=None) == (LONG_ENOUGH.encode(), b"x" * 16)


def test_the_environment_names_secrets_unless_the_configuration_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATZILLA_CACHE_SECRET", "  newest-secret-0123456789 older-secret-0123456789\n")
    assert secret_for(None, redis=True, disk_folder=None) == (b"newest-secret-0123456789", b"older-secret-0123456789")
    assert secret_for(LONG_ENOUGH, redis=True, disk_folder=None) == (LONG_ENOUGH.encode(),)


def test_a_disk_tier_alone_has_its_own_key(tmp_path: Path) -> None:
    assert secret_for(None, redis=False, disk_folder=tmp_path, environment={}) == (disk_secret(tmp_path),)


def test_with_redis_the_disks_key_would_not_do(tmp_path: Path) -> None:
    assert secret_for(None, redis=True, disk_folder=tmp_path, environment={}) == ()
    assert secret_for(None, redis=True, disk_folder=None, environment={}) == ()
    assert secret_for(None, redis=False, disk_folder=None, environment={}) == ()
    assert not key_file(tmp_path).exists()


@pytest.mark.parametrize("secret", ["", "short", b"fifteen bytes..", ["x" * 40, "short"]])
def test_a_secret_that_can_be_guessed_is_refused(secret: object) -> None:
    with pytest.raises(CacheValueError, match="needs at least 16, at random"):
        secret_for(secret, redis=True, disk_folder=None)  # type: ignore[arg-type]


def test_a_secret_that_is_no_text_is_refused() -> None:
    with pytest.raises(CacheValueError, match="a secret is str or bytes, not int"):
        secret_for([5], redis=True, disk_folder=None)  # type: ignore[list-item]
