"""Looks at the folder of a disk tier without the library: read-only, through Python's own sqlite3, never making anything.

The layout is that of ``src/tiers/disk/schema.rs``. Never used in a process that has the same folder open through the library: two
copies of SQLite in one process undo each other's locks. So a command that needs both closes this first.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Iterator, Optional
from urllib.parse import quote

from catzilla_cache.command import envelope
from catzilla_cache.command.envelope import Entry
from catzilla_cache.command.failure import Failure, Refusal

FILE = "cache.db"
ASIDE = "cache.db.set-aside-"
APPLICATION_ID = 0x4374_5A01
VERSION = 1
TABLES = frozenset({"entries", "recent", "settled", "tags", "books"})

#: A writer holds its lock for milliseconds; this is for a machine that is very slow.
_BUSY_SECONDS = 5.0

#: Bounds what a prefix's rows take in memory. Arbitrary.
_ROWS_AT_ONCE = 1000


class DiskFile:
    """The file of a disk tier, open for reading until the block ends."""

    kind = "disk"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / FILE
        self.name = str(folder)
        _see_that_it_is_there(folder, self.file)
        # Until the library's own writers have made them, SQLite would make -wal and -shm; both are ours and stay.
        uri = f"file:{quote(str(self.file.absolute()))}?mode=ro"
        try:
            self._connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
            self._connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise Failure(f"{self.file} cannot be read: {error}") from None

    def __enter__(self) -> DiskFile:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._connection.close()
        # An error of SQLite's is about the file, wherever it shows.
        if isinstance(error, sqlite3.Error):
            raise Failure(f"{self.file} cannot be read: {error}") from None

    def options(self) -> dict[str, object]:
        """What opens a cache on this folder."""
        return {"disk.path": self.folder}

    def number(self, statement: str, *values: object) -> int:
        """The one number that a statement has as its result; 0 for NULL."""
        row = self._connection.execute(statement, values).fetchone()
        return int(row[0] or 0)

    def text(self, statement: str) -> list[str]:
        """The first column of a statement's rows."""
        return [str(row[0]) for row in self._connection.execute(statement)]

    def recognise(self) -> None:
        """Refuses a file that is not the library's, or of a version that this does not know."""
        application, version = self.number("PRAGMA application_id"), self.number("PRAGMA user_version")
        if application != APPLICATION_ID:
            raise Failure(f"{self.file} is no file of this library's (application id {application:#x})")
        if version != VERSION:
            raise Failure(f"{self.file} has version {version}, and this program knows version {VERSION}")
        missing = TABLES - set(self.text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        if missing:
            raise Failure(f"{self.file} lacks the tables {', '.join(sorted(missing))}")

    def entries(self, prefix: bytes = b"") -> Iterator[Entry]:
        """Everything that is there, the oldest first, whether a look-up would find it or not."""
        self.recognise()
        now = time.time()
        purged = {bytes(tag): at / 1e6 for tag, at in self._connection.execute("SELECT tag, purged_at FROM tags")}
        floor = self.number("SELECT purge_floor FROM books") / 1e6
        last = -1
        while True:
            # Page by page, so that no snapshot is held for long: the log of a file that is written to could not be emptied.
            rows = self._connection.execute(
                "SELECT id, CAST(key AS BLOB), length(envelope), CAST(substr(envelope, 1, ?) AS BLOB), expires FROM entries"
                " WHERE id > ? AND substr(key, 1, ?) = ? ORDER BY id LIMIT ?",
                (envelope.HEAD_BYTES, last, len(prefix), prefix, _ROWS_AT_ONCE),
            ).fetchall()
            for last, key, length, beginning, expires in rows:
                head = envelope.read(beginning)
                dead = None
                if expires is not None and expires / 1e3 <= now:
                    dead = "expired"
                elif head and any(max(purged.get(tag, -1), floor) >= head.created for tag in head.tags):
                    dead = "purged"
                yield Entry(key, int(length), head, dead)
            if len(rows) < _ROWS_AT_ONCE:
                return

    def count(self) -> int:
        self.recognise()
        return self.number("SELECT count(*) FROM entries")

    def facts(self) -> dict[str, object]:
        """What is known of the file as a whole."""
        self.recognise()
        page = self.number("PRAGMA page_size")
        return {
            "file": str(self.file),
            "file_bytes": _bytes_of(self.file),
            "log_bytes": _bytes_of(self.folder / f"{FILE}-wal"),
            "free_bytes": page * self.number("PRAGMA freelist_count"),
            "page_bytes": page,
            "version": VERSION,
            "purged_tags": self.number("SELECT count(*) FROM tags"),
            "set_aside": self.set_aside(),
        }

    def set_aside(self) -> list[str]:
        """The damaged files that the library has put away."""
        return sorted(
            name for name in os.listdir(self.folder) if name.startswith(ASIDE) and not name.endswith(("-wal", "-shm"))
        )


def _see_that_it_is_there(folder: Path, file: Path) -> None:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        raise Refusal(f"there is no folder {folder}; give one that a cache has as its disk.path") from None
    except OSError as error:
        raise Refusal(f"{folder} cannot be looked at: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        what = "a symlink" if stat.S_ISLNK(found.st_mode) else "no folder"
        raise Refusal(f"{folder} is {what}; give the folder that a cache has as its disk.path")
    try:
        is_file = stat.S_ISREG(file.lstat().st_mode)
    except FileNotFoundError:
        raise Refusal(
            f"there is no {FILE} in {folder}; no cache has it as its disk.path, or nothing was stored yet"
        ) from None
    except OSError as error:
        raise Failure(f"{file} cannot be looked at: {error.strerror}") from None
    if not is_file:
        raise Failure(f"{file} is no ordinary file; the library would refuse it, too")


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
