"""The durable list of staged files, in SQLite.

One row a staged file. A row exists from the first write of a file until its bytes are proven to be
on the server. A commit survives a crash of the program at once, and a power cut after `sync`.

Why not synchronous=FULL: it syncs each commit on its own and under SQLite's lock. `sync` brings
every commit before it to the disk at once, whoever made it, and only those who need it wait. A file
that is small is in its row (`content`), so that `close` costs one sync and not three.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyftpdrive.base.errors import InvalidName
from pyftpdrive.base.files import sync_directory, sync_file
from pyftpdrive.base.paths import RemotePath, remote_path
from pyftpdrive.spool.states import StagedState, Step

log = logging.getLogger(__name__)

VERSION = 2
CONTENT_BYTES_MAX = 64 * 1024  # a closed file up to this is in its row

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS staged (
    id          TEXT PRIMARY KEY,   -- name of the local file
    path        BLOB NOT NULL,      -- target on the server, UTF-8 with surrogates passed through
    state       TEXT NOT NULL,      -- StagedState, one of PERSISTENT
    size_bytes  INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,   -- Unix time that programs see
    base_size   INTEGER,            -- NULL: the file did not exist on the server
    base_ns     INTEGER,            -- modification time of that version; NULL: unknown
    gaps        TEXT NOT NULL,      -- JSON [[start, end], …]: bytes still only on the server
    reason      TEXT,               -- why it is HELD
    step        TEXT NOT NULL DEFAULT 'none',  -- Step
    content     BLOB                -- of a small file that was closed; NULL: in the local file
);
CREATE TABLE IF NOT EXISTS swaps (  -- renames over a file, on servers that refuse them
    backup      BLOB PRIMARY KEY,   -- the replaced file's name meanwhile
    source      BLOB NOT NULL,
    target      BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS strays (  -- names of ours that the server may have
    path        BLOB PRIMARY KEY
);
PRAGMA user_version = {VERSION};
"""
UPGRADE_1 = """
ALTER TABLE staged ADD COLUMN step TEXT NOT NULL DEFAULT 'none';
ALTER TABLE staged ADD COLUMN content BLOB;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedRecord:
    """One row."""

    id: str
    path: RemotePath
    state: StagedState
    size_bytes: int
    modified_ns: int
    base_size: int | None = None
    base_ns: int | None = None
    gaps: tuple[tuple[int, int], ...] = ()
    reason: str | None = None
    step: Step = Step.NONE
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A rename over a file by way of a backup name, begun and perhaps not ended."""

    backup: RemotePath
    source: RemotePath
    target: RemotePath


class JournalDamaged(OSError):
    """The file is no journal that can be read."""


class Journal:
    """The rows, through one connection.

    Locking: `_lock` (rank 40) guards the connection; SQLite's own disk I/O happens under it.
    `_sync_lock` (rank 39) lets one thread at a time sync; no other lock but `_lock` under it.
    """

    def __init__(self, file: Path) -> None:
        """Open or make the journal.

        Raises:
            JournalDamaged: it is there and can't be read; nothing was changed.
            OSError: the disk refused.
        """
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._commits = 0
        self._synced = 0
        try:
            self._connection = sqlite3.connect(
                file, check_same_thread=False, isolation_level=None, timeout=5.0
            )
        except sqlite3.Error as error:
            raise OSError(f"the upload journal can't be opened: {error}") from error
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise OSError(f"the upload journal can't be opened: {error}") from error
            raise JournalDamaged(f"{file}: {error}") from error
        # Own descriptor on the log that SQLite appends commits to; it lives as long as the
        # connection. SQLite's locks are on the other files, so closing this one drops none.
        self._log_fd = os.open(f"{file}-wal", os.O_RDWR | getattr(os, "O_BINARY", 0))
        self.sync()
        sync_directory(file.parent)

    def _prepare(self) -> None:
        run = self._connection.execute
        # Alone with it (Drive holds the slot's lock): no shared memory file is needed.
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        tables = run("SELECT name FROM sqlite_master WHERE name = 'staged'").fetchall()
        (version,) = run("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise sqlite3.DatabaseError("it was written by a newer pyftpdrive")
        if tables and version < VERSION:
            self._connection.executescript(UPGRADE_1)
        self._connection.executescript(SCHEMA)
        self._commits = 1

    # -- writing -------------------------------------------------------------------------------

    def _write(self, statement: str, row: tuple[object, ...]) -> None:
        try:
            with self._lock:
                self._connection.execute(statement, row)
                self._commits += 1
        except sqlite3.Error as error:
            raise OSError(f"the upload journal can't be written: {error}") from error

    def put(self, record: StagedRecord) -> None:
        """Write or replace the row of *record*; a crash of the program does not undo it.

        Raises:
            OSError: the row could not be written; nothing changed.
        """
        row = (
            record.id,
            _stored(record.path),
            record.state.value,
            record.size_bytes,
            record.modified_ns,
            record.base_size,
            record.base_ns,
            json.dumps(record.gaps),
            record.reason,
            record.step.value,
            record.content,
        )
        self._write("INSERT OR REPLACE INTO staged VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)

    def delete(self, record_id: str) -> None:
        """Remove a row; no row is fine.

        Raises:
            OSError: it may come back.
        """
        self._write("DELETE FROM staged WHERE id = ?", (record_id,))

    def put_swap(self, swap: Swap) -> None:
        """Note a rename over a file before it begins.

        Raises:
            OSError: it is not noted: don't begin.
        """
        self._write(
            "INSERT OR REPLACE INTO swaps VALUES (?,?,?)",
            (_stored(swap.backup), _stored(swap.source), _stored(swap.target)),
        )

    def delete_swap(self, backup: RemotePath) -> None:
        """The rename by way of *backup* has ended, either way.

        Raises:
            OSError: it is looked after again by the next run.
        """
        self._write("DELETE FROM swaps WHERE backup = ?", (_stored(backup),))

    def put_stray(self, path: RemotePath) -> None:
        """Note a temporary name before the server gets it; the next run removes what is left.

        Raises:
            OSError: it is not noted.
        """
        self._write("INSERT OR REPLACE INTO strays VALUES (?)", (_stored(path),))

    def delete_stray(self, path: RemotePath) -> None:
        """The server does not have *path* any more.

        Raises:
            OSError: it is looked for again by the next run.
        """
        self._write("DELETE FROM strays WHERE path = ?", (_stored(path),))

    def sync(self) -> None:
        """Return when everything written before this call survives a power cut.

        One sync serves all threads that wait for one.

        Raises:
            OSError: it may not.
        """
        wanted = self._commits
        with self._sync_lock:
            if self._synced >= wanted:
                return
            with self._lock:
                reached = self._commits
            sync_file(self._log_fd)
            self._synced = reached

    @property
    def unsynced(self) -> bool:
        """True when a power cut would undo something."""
        return self._synced < self._commits

    # -- reading -------------------------------------------------------------------------------

    def records(self) -> list[StagedRecord]:
        """All rows, oldest first.

        Raises:
            JournalDamaged: they can't be read.
        """
        rows = self._read(
            "SELECT id, path, state, size_bytes, modified_ns, base_size, base_ns, gaps, reason,"
            " step, content FROM staged ORDER BY rowid"
        )
        try:
            return [
                StagedRecord(
                    id=row[0],
                    path=_loaded(row[1]),
                    state=StagedState(row[2]),
                    size_bytes=row[3],
                    modified_ns=row[4],
                    base_size=row[5],
                    base_ns=row[6],
                    gaps=tuple((start, end) for start, end in json.loads(row[7])),
                    reason=row[8],
                    step=Step(row[9]),
                    content=row[10],
                )
                for row in rows
            ]
        except (ValueError, TypeError, InvalidName) as error:
            raise JournalDamaged(f"a row makes no sense: {error}") from error

    def swaps(self) -> list[Swap]:
        """Renames that have not ended.

        Raises:
            JournalDamaged: they can't be read.
        """
        rows = self._read("SELECT backup, source, target FROM swaps ORDER BY rowid")
        return [
            Swap(backup=_loaded(backup), source=_loaded(source), target=_loaded(target))
            for backup, source, target in rows
        ]

    def strays(self) -> list[RemotePath]:
        """Temporary names that the server may have.

        Raises:
            JournalDamaged: they can't be read.
        """
        return [_loaded(path) for (path,) in self._read("SELECT path FROM strays")]

    def _read(self, statement: str) -> list[Any]:
        try:
            with self._lock:
                return self._connection.execute(statement).fetchall()
        except sqlite3.Error as error:
            raise JournalDamaged(str(error)) from error

    def close(self) -> None:
        """Close the database; what was committed survives a power cut."""
        try:
            self.sync()
        except OSError as error:
            log.warning("the upload journal could not be synced: %s", error)
        os.close(self._log_fd)  # first: Windows removes no file that is open, and SQLite would wait
        with self._lock:
            self._connection.close()


def _stored(path: RemotePath) -> bytes:
    return path.encode("utf-8", "surrogatepass")


def _loaded(stored: object) -> RemotePath:
    if not isinstance(stored, bytes):
        raise JournalDamaged("a row without a path")
    try:
        return remote_path(stored.decode("utf-8", "surrogatepass"))
    except (ValueError, InvalidName) as error:
        raise JournalDamaged(f"a path makes no sense: {error}") from error
