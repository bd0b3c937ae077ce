"""What was proven to be on a device: when, and how. SQLite, on the host, one row a file.

A row is good while both sides look as they did then: the local file's size and time, the
device's size and time of it. Ids mean nothing here, they change with each connection.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from mtpsync.errors import UsageError
from mtpsync.rates import TRUSTED_S, Meter

SCHEMA = """
CREATE TABLE IF NOT EXISTS proven (
    serial TEXT NOT NULL, storage TEXT NOT NULL, path TEXT NOT NULL,
    source_size INTEGER NOT NULL, source_ns INTEGER NOT NULL,
    remote_s INTEGER NOT NULL, sha256 TEXT NOT NULL, proven_s REAL NOT NULL,
    PRIMARY KEY (serial, storage, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replacing (
    serial TEXT NOT NULL, storage TEXT NOT NULL, path TEXT NOT NULL, temporary TEXT NOT NULL,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (serial, storage, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removed (
    serial TEXT NOT NULL, storage TEXT NOT NULL, run TEXT NOT NULL, path TEXT NOT NULL,
    kept TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (serial, storage, run, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rate (
    serial TEXT NOT NULL, storage TEXT NOT NULL, kind TEXT NOT NULL,
    amount REAL NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (serial, storage, kind)
) WITHOUT ROWID;
"""
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One file, read back from the device and found equal."""

    path: str  # absolute on the storage
    source_size: int
    source_ns: int
    remote_s: int  # the device's time of it, after the proof
    sha256: str
    proven_s: float = 0.0  # seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacing:
    """A file on its way: what an interrupted run may have left on the device."""

    path: str  # absolute on the storage
    temporary: str  # in the same folder: what it is sent as; a new file's own name
    size: int
    sha256: str  # of the local file; '' until it was proven
    state: str  # "sending" or "proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A file that a mirror took away, and where it is kept."""

    run: str
    path: str  # absolute on the storage
    kept: str  # "device:PATH" in the trash folder, or "host:PATH"
    size: int
    sha256: str  # '' when it was moved on the device, and not read


class Manifest:
    """The rows of one device's storage.

    Raises (all methods): UsageError when the disk or the file refuses.
    """

    def __init__(self, file: Path, serial: str, storage: str) -> None:
        self._key = (serial, storage)
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(file, isolation_level=None, timeout=10.0)
            run = self._connection.execute
            run("PRAGMA journal_mode=WAL")
            run("PRAGMA synchronous=FULL")
            (version,) = run("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise UsageError(f"{file} was written by a newer mtpsync")
            self._connection.executescript(SCHEMA)
            run(f"PRAGMA user_version={VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"{file}: what was proven can't be kept: {error}",
                remedy="move the file away, or name another folder with --state",
            ) from error

    def _run(self, statement: str, *row: object) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(statement, (*self._key, *row)).fetchall()
        except sqlite3.Error as error:
            raise UsageError(f"what was proven can't be kept: {error}") from error

    def proofs(self) -> dict[str, Proof]:
        """All proofs, by path."""
        rows = self._run(
            "SELECT path, source_size, source_ns, remote_s, sha256, proven_s FROM proven"
            " WHERE serial = ? AND storage = ?"
        )
        return {
            str(path): Proof(
                path=str(path),
                source_size=int(str(size)),
                source_ns=int(str(source_ns)),
                remote_s=int(str(remote_s)),
                sha256=str(sha256),
                proven_s=float(str(proven_s)),
            )
            for path, size, source_ns, remote_s, sha256, proven_s in rows
        }

    def prove(self, proof: Proof) -> None:
        """It was read back just now, and was equal."""
        self._run(
            "INSERT OR REPLACE INTO proven VALUES (?,?,?,?,?,?,?,?)",
            proof.path,
            proof.source_size,
            proof.source_ns,
            proof.remote_s,
            proof.sha256,
            proof.proven_s or time.time(),
        )

    def rates(self) -> dict[str, float]:
        """What this device does in a second, by kind; see `rates`."""
        rows = self._run("SELECT kind, amount, seconds FROM rate WHERE serial = ? AND storage = ?")
        return {str(kind): float(str(amount)) / float(str(s)) for kind, amount, s in rows}

    def measured(self, meter: Meter) -> None:
        """Remember what was measured; what was before counts half."""
        for kind, (amount, seconds) in meter.spent.items():
            if seconds >= TRUSTED_S:
                self._run(
                    "INSERT INTO rate VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET"
                    " amount = amount / 2 + excluded.amount,"
                    " seconds = seconds / 2 + excluded.seconds",
                    kind,
                    amount,
                    seconds,
                )

    def forget(self, path: str) -> None:
        """What is there is not known any more."""
        self._run("DELETE FROM proven WHERE serial = ? AND storage = ? AND path = ?", path)

    def begin(self, step: Replacing) -> None:
        """Before the device is changed."""
        self._run(
            "INSERT OR REPLACE INTO replacing VALUES (?,?,?,?,?,?,?)",
            step.path,
            step.temporary,
            step.size,
            step.sha256,
            step.state,
        )

    def end(self, path: str) -> None:
        """The device holds one whole version under the name, and nothing of ours besides."""
        self._run("DELETE FROM replacing WHERE serial = ? AND storage = ? AND path = ?", path)

    def interrupted(self) -> list[Replacing]:
        """What earlier runs began and did not end."""
        rows = self._run(
            "SELECT path, temporary, size, sha256, state FROM replacing"
            " WHERE serial = ? AND storage = ?"
        )
        return [
            Replacing(
                path=str(path),
                temporary=str(temporary),
                size=int(str(size)),
                sha256=str(sha256),
                state=str(state),
            )
            for path, temporary, size, sha256, state in rows
        ]

    def remove(self, removed: Removed) -> None:
        """It is about to leave its place."""
        self._run(
            "INSERT OR REPLACE INTO removed VALUES (?,?,?,?,?,?,?)",
            removed.run,
            removed.path,
            removed.kept,
            removed.size,
            removed.sha256,
        )

    def restored(self, removed: Removed) -> None:
        """It is back, or never left."""
        self._run(
            "DELETE FROM removed WHERE serial = ? AND storage = ? AND run = ? AND path = ?",
            removed.run,
            removed.path,
        )

    def removed(self, run: str | None = None) -> list[Removed]:
        """What *run*, or else the last one, took away."""
        rows = self._run(
            "SELECT run, path, kept, size, sha256 FROM removed WHERE serial = ? AND storage = ?"
            " ORDER BY run, path"
        )
        found = [
            Removed(
                run=str(of), path=str(path), kept=str(kept), size=int(str(size)), sha256=str(sha256)
            )
            for of, path, kept, size, sha256 in rows
        ]
        wanted = run or (found[-1].run if found else "")
        return [each for each in found if each.run == wanted]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
