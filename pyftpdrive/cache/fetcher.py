"""Brings the bytes that a reader lacks: joins a running download, or starts one.

A download is one RETR that fills a block file from a position on. It runs ahead of its reader by
a window that grows while the reader goes on sequentially, and ends when nobody asked for more for
a moment: bytes read, not files opened, decide how much is transferred. A small file is fetched
whole. On a server that allows one session a download gives way after each piece.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from pyftpdrive.base import patience
from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import (
    ContentChanged,
    RemoteTimeout,
    RemoteUnavailable,
    TransferTruncated,
)
from pyftpdrive.base.files import read_at, write_at
from pyftpdrive.cache.blocks import (
    KIB,
    MIB,
    PIECE_BYTES,
    RANDOM_BLOCK_BYTES,
    BlockFile,
    BlockStore,
    Download,
)
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient, RetrieveStream
from pyftpdrive.ftp.jobs import Job, JobCancelled, JobControl, JobYielded, Priority
from pyftpdrive.ftp.profile import Proof

log = logging.getLogger(__name__)

FIRST_WINDOW_BYTES = 1 * MIB
RANDOM_BLOCK_BYTES_MAX = 8 * MIB
LINGER_S = 1.0  # a sequential reader may pause this long before its download ends
LINGER_POLL_S = 0.01  # how often a pausing download looks for more urgent jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How far to read ahead."""

    read_ahead_bytes: int = 16 * MIB
    small_file_bytes: int = 256 * KIB
    deadline_s: float = 3.0  # without any byte: before the first one, and between two


class _Pace:
    """How long this server takes to begin, and how fast it then is.

    A random read fetches what would come while the next one waits for its beginning: that much
    costs no more than what the latency costs anyway.
    """

    def __init__(self) -> None:
        self._latency_s: float | None = None
        self._bytes_per_s: float | None = None

    def began(self, seconds: float) -> None:
        """A transfer's first octets took *seconds*."""
        self._latency_s = _blend(self._latency_s, seconds)

    def moved(self, count: int, seconds: float) -> None:
        """A large piece of *count* octets took *seconds*."""
        if seconds > 0:
            self._bytes_per_s = _blend(self._bytes_per_s, count / seconds)

    def random_block(self) -> int:
        """Bytes that a random read fetches from its place on."""
        if self._latency_s is None or self._bytes_per_s is None:
            return RANDOM_BLOCK_BYTES
        wanted = int(self._latency_s * self._bytes_per_s)
        return min(max(wanted, RANDOM_BLOCK_BYTES), RANDOM_BLOCK_BYTES_MAX)


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old * 0.75 + new * 0.25


class Fetcher:
    """Reads through block files.

    Locking: uses `BlockFile.changed` (rank 30); submits jobs outside it.
    """

    def __init__(
        self, engine: Engine, store: BlockStore, options: FetchOptions, clock: Clock
    ) -> None:
        self._engine = engine
        self._store = store
        self._options = options
        self._clock = clock
        self._buffers = threading.local()
        self._pace = _Pace()

    def read_into(self, file: BlockFile, offset: int, view: memoryview) -> int:
        """Copy from *offset* into *view*; return the octets copied (short only at the end).

        Raises:
            RemoteTimeout: no byte came within the deadline.
            ContentChanged: the file there is another one now.
            RemoteError: the server refused.
        """
        end = min(offset + len(view), file.size_bytes)
        if end <= offset:
            return 0
        if not file.present.contains(offset, end):
            self.ensure(file, offset, end)
        file.last_end = end
        return read_at(file.fd, view[: end - offset], offset)

    def ensure(self, file: BlockFile, start: int, end: int) -> None:
        """Block until the bytes from *start* to *end* are on the disk.

        Raises: as `read_into`.
        """
        bearable_s = self._options.deadline_s
        self._engine.notice_sleep()
        waited_since = patience.silent_since(self._clock.monotonic())
        seen = -1
        while True:
            created: Download | None = None
            with file.changed:
                gap = file.present.first_missing(start, end)
                if gap is None:
                    return
                download = next(
                    (d for d in file.downloads if d.reaches(gap) and not self._is_hung(d)), None
                )
                if download is None:
                    created = download = self._plan_locked(file, gap, end)
                else:
                    download.want(end, self._options.read_ahead_bytes)
                    file.changed.notify_all()
            if created is not None:
                self._start(created)
            with file.changed:
                now = self._clock.monotonic()
                if download.position != seen:
                    if seen != -1:
                        waited_since = now
                        patience.answered(now)
                    seen = download.position
                if download.error is not None:
                    raise download.error
                if file.present.first_missing(start, end) is None:
                    return
                left = 0.0 if self._engine.impatient else waited_since + bearable_s - now
                if left > 0 and not download.ended:
                    self._clock.wait(file.changed, left)
                if download.error is not None:
                    raise download.error
            if left <= 0:
                self._engine.note_silence(waited_since)
                raise RemoteTimeout(f"{file.path}: no data within {bearable_s:g} s")

    def _is_hung(self, download: Download) -> bool:
        return download.job is not None and self._engine.is_hung(download.job)

    def _plan_locked(self, file: BlockFile, gap: int, end: int) -> Download:
        """The download that brings *gap*, as large as the pattern of reads deserves."""
        sequential = gap == 0 or gap == file.last_end
        if file.size_bytes <= self._options.small_file_bytes:
            start, target, window = gap, file.size_bytes, FIRST_WINDOW_BYTES
            if not file.present.total:
                start = 0
        elif sequential:
            window = min(FIRST_WINDOW_BYTES, self._options.read_ahead_bytes)
            start, target = gap, min(end + window, file.size_bytes)
        else:
            window = 0
            start = gap // RANDOM_BLOCK_BYTES * RANDOM_BLOCK_BYTES
            if file.present.first_missing(start, gap + 1) != start:
                start = gap
            blocks = -(-max(end, start + self._pace.random_block()) // RANDOM_BLOCK_BYTES)
            target = min(blocks * RANDOM_BLOCK_BYTES, file.size_bytes)
        download = Download(file, start, target, window)
        file.downloads.append(download)
        return download

    def _start(self, download: Download) -> None:
        file = download.file
        file.acquire()
        download.job = self._engine.job(
            f"read {file.path}",
            lambda client, control: self._fill(download, client, control),
            priority=Priority.READ,
            on_done=lambda job: self._ended(download, job),
        )
        self._engine.submit(download.job)

    def _ended(self, download: Download, job: Job[None]) -> None:
        file = download.file
        with file.changed:
            download.ended = True
            download.error = job.error
            if isinstance(job.error, JobCancelled):
                download.error = RemoteUnavailable(f"{job.label}: cancelled")
            if download in file.downloads:
                file.downloads.remove(download)
            file.changed.notify_all()
        file.release()

    # -- the job -----------------------------------------------------------------------------

    def _fill(self, download: Download, client: FtpClient, control: JobControl) -> None:
        """Body of the job: one RETR from the download's position."""
        file = download.file
        began = self._clock.monotonic()
        stream = client.open_retrieve(file.path, offset_bytes=download.position)
        first = True
        try:
            while self._receive(download, stream):
                if first:
                    self._pace.began(self._clock.monotonic() - began)
                    first = False
                if control.cancelled:
                    raise JobCancelled(f"read {file.path}")
                may_yield = client.profile.rest is not Proof.NO
                if may_yield and control.should_yield():
                    raise JobYielded(f"read {file.path}")
                if download.position >= download.target and not self._linger(download, control):
                    stream.abort()
                    return
        except BaseException:
            stream.abort()  # nothing where the transfer broke by itself
            raise
        stream.finish()
        if download.position < file.size_bytes:
            short = f"{file.path}: {download.position} of {file.size_bytes} bytes came"
            if control.attempt == 0:
                raise TransferTruncated(short)
            file.stale = True  # twice the same end, and the server calls it whole
            raise ContentChanged(short)

    def _receive(self, download: Download, stream: RetrieveStream) -> bool:
        """Move one piece from the network to the disk; False at the end of the file."""
        file = download.file
        room = file.size_bytes - download.position
        view = self._buffer(min(room + 1, PIECE_BYTES))
        began = self._clock.monotonic()
        count = stream.read_into(view)
        if count == 0:
            return False
        kept = min(count, room)
        if kept < count:
            file.stale = True  # longer than the listing said: a newer version
        if kept:
            write_at(file.fd, view[:kept], download.position)
            with file.changed:
                before = file.present.total
                file.present.add(download.position, download.position + kept)
                added = file.present.total - before
                download.position += kept
                file.changed.notify_all()
            self._store.grown(added)
            if count >= RANDOM_BLOCK_BYTES:
                self._pace.moved(count, self._clock.monotonic() - began)
        if kept < count:
            raise ContentChanged(f"{file.path}: changed on the server (longer than listed)")
        return True

    def _linger(self, download: Download, control: JobControl) -> bool:
        """Wait for the reader to want more; False: it does not, end the transfer early."""
        file = download.file
        until = self._clock.monotonic() + (LINGER_S if download.window else 0.0)
        while True:
            with file.changed:
                if download.target > download.position:
                    return True
                if download.position >= file.size_bytes:
                    return True  # only the end-of-file mark is missing
                done = self._clock.monotonic() >= until
                if not done:
                    self._clock.wait(file.changed, LINGER_POLL_S)
                if download.target > download.position:
                    return True
                if done or control.cancelled or control.should_yield():
                    download.ended = True  # from here on nobody joins it
                    return False

    def _buffer(self, size: int) -> memoryview:
        """A receive buffer of this thread's own, reused: fresh pages cost more than the copy."""
        whole: memoryview | None = getattr(self._buffers, "view", None)
        if whole is None or len(whole) < size:
            whole = memoryview(bytearray(size if size < PIECE_BYTES else PIECE_BYTES))
            self._buffers.view = whole
        return whole[:size]
