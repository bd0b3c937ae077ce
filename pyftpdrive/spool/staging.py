"""The local copy of a file that programs are writing.

A staged file starts empty or on top of a version of the server's file (its *base*). Bytes that
were written are here; bytes below `base_limit` that were not are still only in the base and are
called gaps. Everything else is zeros, as POSIX wants it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyftpdrive.base.files import (
    OPEN_FLAGS,
    make_directory,
    read_at,
    sync_directory,
    sync_file,
    write_at,
)
from pyftpdrive.base.paths import RemotePath, join, parent
from pyftpdrive.base.ranges import ByteRanges
from pyftpdrive.spool.journal import CONTENT_BYTES_MAX, StagedRecord
from pyftpdrive.spool.names import TEMPORARY_PREFIX, oddities
from pyftpdrive.spool.states import OnDisk, StagedState, Step, may_follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The version of the server's file that a staged file builds on."""

    size_bytes: int
    modified_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What an attempt brought to the temporary name before it was cut, or gave way."""

    version: int
    size_bytes: int | None  # None: not known


class StagedFile:
    """Bytes on their way to the server.

    `version` counts the changes; an upload of version n is complete when `sent_version` >= n.

    Locking: `lock` (rank 35) guards every field and the local file's size; local disk I/O happens
    under it, network I/O never.
    """

    def __init__(
        self,
        staged_id: str,
        local_path: Path,
        path: RemotePath,
        *,
        base: Base | None,
        now_ns: int,
        restored: StagedRecord | None = None,
    ) -> None:
        self.id = staged_id
        self.local_path = local_path
        self.path = path  # the target; follows renames
        self.base = base
        self.lock = threading.RLock()
        self.size_bytes = base.size_bytes if base else 0
        self.base_limit = self.size_bytes
        self.own = ByteRanges()
        self.modified_ns = now_ns
        self.version = 1
        self.sent_version = 0
        self.state = StagedState.OPEN
        self.closed_in_journal = False  # the row says QUEUED: a crash now loses nothing
        self.reason: str | None = None
        self.step = Step.NONE  # what an attempt has begun on the server; in the journal before
        self.recovered = restored is not None  # the server may have had it without our knowing
        self.candidate: Base | None = None  # what an attempt was about to give the name
        self.part: Part | None = None  # of the version that was sent last
        self.direct = False  # the server does not rename to this name: it is written over
        self.strays: set[RemotePath] = set()  # temporary names that the server may have
        self._named = False  # its name in the directory survives a power cut
        self._fd = os.open(local_path, OPEN_FLAGS, 0o600)
        if restored is None:
            os.ftruncate(self._fd, self.size_bytes)
        else:
            self._restore(restored)

    # -- content -----------------------------------------------------------------------------

    def write(self, offset: int, data: bytes | memoryview, now_ns: int) -> int:
        """Put *data* at *offset*; a hole before it reads as zeros."""
        end = offset + len(data)
        with self.lock:
            write_at(self._fd, data, offset)
            self.own.add(offset, end)
            self.size_bytes = max(self.size_bytes, end)
            self._touched_locked(now_ns)
        return len(data)

    def truncate(self, size_bytes: int, now_ns: int) -> None:
        """Cut to, or extend with zeros to, *size_bytes*."""
        with self.lock:
            os.ftruncate(self._fd, size_bytes)
            if size_bytes < self.size_bytes:
                self.own.truncate(size_bytes)
            self.base_limit = min(self.base_limit, size_bytes)
            self.size_bytes = size_bytes
            self._touched_locked(now_ns)

    def _touched_locked(self, now_ns: int) -> None:
        self.version += 1
        self.modified_ns = now_ns

    def set_modified(self, modified_ns: int) -> None:
        """A program set the time; it is sent after the bytes, which don't change by it."""
        with self.lock:
            self.modified_ns = modified_ns

    def gaps(self, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
        """The parts of [start, end) that are still only in the base."""
        with self.lock:
            limit = self.base_limit if end is None else min(end, self.base_limit)
            return self.own.missing(start, limit) if start < limit else []

    def fill(self, offset: int, data: bytes | memoryview) -> None:
        """Put bytes of the base where nothing was written meanwhile; not a change."""
        with self.lock:
            end = min(offset + len(data), self.base_limit)
            for start, stop in self.own.missing(offset, end) if offset < end else []:
                write_at(self._fd, data[start - offset : stop - offset], start)
                self.own.add(start, stop)

    def read_into(self, offset: int, view: memoryview) -> int:
        """Copy local bytes; the caller has looked after the gaps."""
        with self.lock:
            length = min(len(view), self.size_bytes - offset)
            if length <= 0:
                return 0
            return read_at(self._fd, view[:length], offset)

    # -- bookkeeping ---------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """True when the server lacks the newest version."""
        return self.sent_version < self.version

    def move_to(self, state: StagedState, reason: str | None = None) -> None:
        """Change the state; an impossible step is a bug."""
        with self.lock:
            if not may_follow(self.state, state):
                raise AssertionError(f"{self.path}: {self.state} can't become {state}")
            self.state, self.reason = state, reason

    def record(self) -> StagedRecord:
        """What the journal must know: no attempt's state, it is read off the server instead."""
        with self.lock:
            state = self.state
            if state is not StagedState.HELD and (
                self.closed_in_journal or state is not StagedState.OPEN
            ):
                state = StagedState.QUEUED
            return StagedRecord(
                id=self.id,
                path=self.path,
                state=state,
                size_bytes=self.size_bytes,
                modified_ns=self.modified_ns,
                base_size=self.base.size_bytes if self.base else None,
                base_ns=self.base.modified_ns if self.base else None,
                gaps=tuple(self.gaps()),
                reason=self.reason,
                step=self.step,
                content=None if state is StagedState.OPEN else self._small_content(),
            )

    def _small_content(self) -> bytes | None:
        """The whole content when it fits into the journal's row."""
        if self.size_bytes > CONTENT_BYTES_MAX or self._fd < 0:
            return None
        content = bytearray(self.size_bytes)
        read_at(self._fd, memoryview(content), 0)
        return bytes(content)

    def sync(self) -> None:
        """Return when the content survives a power cut; nothing to do for one that fits a row.

        Raises:
            OSError: it may not.
        """
        if self.size_bytes <= CONTENT_BYTES_MAX:
            return
        sync_file(self._fd)
        if not self._named:
            sync_directory(self.local_path.parent)
            self._named = True

    def temporary_path(self) -> RemotePath:
        """Where the upload goes before it gets its name; odd where that is odd: see names.py."""
        return join(parent(self.path), f"{TEMPORARY_PREFIX}{self.id}.part{oddities(self.path)}")

    def backup_path(self) -> RemotePath:
        """What the version before is called while the new one takes its name."""
        return join(parent(self.path), f"{TEMPORARY_PREFIX}{self.id}.old")

    @property
    def base_copy(self) -> Path:
        """Where the version before is kept while it is overwritten in place."""
        return self.local_path.with_suffix(".base")

    def _restore(self, record: StagedRecord) -> None:
        """Take over what the journal knew; the local file stays as it is."""
        self.size_bytes = record.size_bytes
        self.base_limit = self.size_bytes
        if self.size_bytes:
            self.own.add(0, self.size_bytes)
        for start, end in record.gaps:
            self.own.remove(start, end)
        self.modified_ns = record.modified_ns
        self.state = record.state
        self.reason = record.reason
        self.step = record.step
        self.closed_in_journal = record.state is StagedState.QUEUED

    def snapshot(self, target: Path) -> int:
        """Copy the present content to *target*; return the version it is of."""
        with self.lock:
            shutil.copyfile(self.local_path, target)
            return self.version

    def close(self, *, keep: bool = False) -> None:
        """Close the local file and remove it unless *keep*."""
        with self.lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            if not keep:
                self.local_path.unlink(missing_ok=True)
                self.base_copy.unlink(missing_ok=True)


if sys.platform != "win32":

    def _holes(fd: int, within: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
        """The parts of *within* that were never written, page by page."""
        for start, end in within:
            position = start
            while position < end:
                try:
                    data = min(os.lseek(fd, position, os.SEEK_DATA), end)
                except OSError:  # ENXIO: a hole up to the end
                    data = end
                if data > position:
                    yield position, data
                if data < end:
                    data = os.lseek(fd, data, os.SEEK_HOLE)
                position = data


class Staging:
    """The directory of staged files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._made: set[str] = set()
        make_directory(directory)

    def new_id(self) -> str:
        """An id that nobody has; names on the server that carry it are known as ours."""
        new_id = secrets.token_hex(8)
        self._made.add(new_id)
        return new_id

    def create(self, path: RemotePath, *, base: Base | None, now_ns: int) -> StagedFile:
        """A new staged file for *path*.

        Raises:
            OSError: the local disk refused.
        """
        staged_id = self.new_id()
        return StagedFile(staged_id, self.directory / staged_id, path, base=base, now_ns=now_ns)

    def inspect(self, record: StagedRecord) -> tuple[OnDisk, int]:
        """What is left of a row's bytes, and how many; a small file comes back from the row.

        Raises:
            OSError: the local disk refused.
        """
        file = self.directory / record.id
        if record.content is not None:
            file.write_bytes(record.content)  # the file's own blocks may not have reached the disk
            os.chmod(file, 0o600)
        try:
            size_bytes = file.stat().st_size
        except FileNotFoundError:
            return OnDisk.GONE, 0
        whole = size_bytes == record.size_bytes
        return (OnDisk.WHOLE if whole else OnDisk.OTHER_SIZE), size_bytes

    def holes(self, record: StagedRecord) -> tuple[tuple[int, int], ...]:
        """The gaps of a file that was being written, as far as its holes show them.

        Where the file system has no holes, what was never written counts as zeros: bytes that a
        program wrote are never replaced by the server's.
        """
        if sys.platform == "win32":
            return ()
        else:  # noqa: RET505  # mypy follows platforms in branches only
            with (self.directory / record.id).open("rb") as file:
                return tuple(_holes(file.fileno(), record.gaps))

    def reopen(self, record: StagedRecord) -> StagedFile:
        """The staged file of a journal row whose local file is there."""
        self._made.add(record.id)
        base = (
            None
            if record.base_size is None
            else Base(size_bytes=record.base_size, modified_ns=record.base_ns)
        )
        return StagedFile(
            record.id,
            self.directory / record.id,
            record.path,
            base=base,
            now_ns=record.modified_ns,
            restored=record,
        )

    def own(self, staged_id: str) -> None:
        """Names on the server that carry this id are ours, too."""
        self._made.add(staged_id)

    def made(self, staged_id: str) -> bool:
        """True when *staged_id* is of this run or was taken over from an earlier one."""
        return staged_id in self._made
