"""The durable list of staged files, in SQLite.

One row a staged file. A row exists from the first write of a file until its bytes are proven to be
on the server. WAL with synchronous=NORMAL: commits survive a crash of the program.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from pyftpdrive.base.paths import RemotePath
from pyftpdrive.spool.states import StagedState

SCHEMA = """
CREATE TABLE IF NOT EXISTS staged (
    id          TEXT PRIMARY KEY,   -- name of the local file
    path        BLOB NOT NULL,      -- target on the server, UTF-8 with surrogates passed through
    state       TEXT NOT NULL,      -- StagedState
    size_bytes  INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,   -- Unix time that programs see
    base_size   INTEGER,            -- NULL: the file did not exist on the server
    base_ns     INTEGER,            -- modification time of that version; NULL: unknown
    gaps        TEXT NOT NULL,      -- JSON [[start, end], …]: bytes still only on the server
    reason      TEXT                -- why it is HELD
);
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


class Journal:
    """The rows, through one connection.

    Locking: `_lock` (rank 40) guards the connection; SQLite's own disk I/O happens under it.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            file, check_same_thread=False, isolation_level=None, timeout=5.0
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(SCHEMA)

    def put(self, record: StagedRecord) -> None:
        """Write or replace the row of *record*.

        Raises:
            OSError: the row could not be written; nothing changed.
        """
        row = (
            record.id,
            record.path.encode("utf-8", "surrogatepass"),
            record.state.value,
            record.size_bytes,
            record.modified_ns,
            record.base_size,
            record.base_ns,
            json.dumps(record.gaps),
            record.reason,
        )
        try:
            with self._lock:
                self._connection.execute(
                    "INSERT OR REPLACE INTO staged VALUES (?,?,?,?,?,?,?,?,?)", row
                )
        except sqlite3.Error as error:
            raise OSError(f"the upload journal can't be written: {error}") from error

    def delete(self, record_id: str) -> None:
        """Remove a row; no row is fine."""
        with self._lock:
            self._connection.execute("DELETE FROM staged WHERE id = ?", (record_id,))

    def records(self) -> list[StagedRecord]:
        """All rows, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, path, state, size_bytes, modified_ns, base_size, base_ns, gaps, reason"
                " FROM staged ORDER BY rowid"
            ).fetchall()
        return [
            StagedRecord(
                id=row[0],
                path=RemotePath(row[1].decode("utf-8", "surrogatepass")),
                state=StagedState(row[2]),
                size_bytes=row[3],
                modified_ns=row[4],
                base_size=row[5],
                base_ns=row[6],
                gaps=tuple((start, end) for start, end in json.loads(row[7])),
                reason=row[8],
            )
            for row in rows
        ]

    def close(self) -> None:
        """Close the database file."""
        with self._lock:
            self._connection.close()
