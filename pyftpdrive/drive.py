"""One drive without a host: the graph from the neutral file system down to the sockets."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pyftpdrive.base.clock import Clock, SystemClock
from pyftpdrive.cache.blocks import BlockOptions, BlockStore
from pyftpdrive.cache.fetcher import Fetcher, FetchOptions
from pyftpdrive.cache.metadata import MetadataCache, MetadataOptions
from pyftpdrive.core.files import Files
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.core.namespace import Namespace
from pyftpdrive.core.view import View
from pyftpdrive.ftp.engine import Engine, EngineOptions
from pyftpdrive.ftp.ftp_client import ClientOptions
from pyftpdrive.ftp.profile import ServerProfile
from pyftpdrive.spool.recovery import STAGED_NAME, open_journal, recover
from pyftpdrive.spool.staging import TEMPORARY_PREFIX, StagedFile, Staging

log = logging.getLogger(__name__)

SLOTS_MAX = 32  # mounts of the same server and user at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOptions:
    """The options of every layer of one drive."""

    client: ClientOptions
    engine: EngineOptions
    metadata: MetadataOptions
    fetch: FetchOptions
    cache_directory: Path
    cache_max_bytes: int
    spool_directory: Path
    drain_timeout_s: float = 60.0
    read_only: bool = False


class Drive:
    """Everything below the host: from the neutral file system to the sockets."""

    def __init__(self, options: DriveOptions, *, clock: Clock | None = None) -> None:
        self.options = options
        self.clock: Clock = clock or SystemClock()
        self.profile = ServerProfile()
        self.engine = Engine(options.client, options.engine, self.profile, clock=self.clock)
        self._lock: FileLock | None = None
        self._started = False

    def start(self) -> None:
        """Connect, and take up what an earlier run left in the spool.

        Raises:
            RemoteError: the server can't be used as configured; nothing keeps running.
            OSError: the local directories can't be used.
        """
        self.engine.start()
        try:
            self._build()
        except BaseException:
            self.engine.stop()
            raise
        self._started = True

    def _build(self) -> None:
        options = self.options
        slot = self._take_slot()
        spool = options.spool_directory / slot
        self.blocks = BlockStore(
            BlockOptions(
                directory=options.cache_directory / slot / "blocks",
                size_max_bytes=options.cache_max_bytes,
            )
        )
        self.staging = Staging(spool / STAGED_NAME)
        self.journal, rows_lost = open_journal(spool)
        self.metadata = MetadataCache(options.metadata, self.clock)
        self.fetcher = Fetcher(self.engine, self.blocks, options.fetch, self.clock)
        self.view = View(
            self.engine, self.metadata, self.clock, is_own_temporary=self._is_own_temporary
        )
        self.files = Files(
            self.engine,
            self.view,
            self.blocks,
            self.fetcher,
            self.staging,
            self.journal,
            self.clock,
            read_only=options.read_only,
        )
        namespace = Namespace(
            self.files,
            self.view,
            self.blocks,
            self.journal,
            self.clock,
            read_only=options.read_only,
            patience_s=options.engine.deadline_s,
        )
        self.filesystem = Filesystem(
            self.engine, self.view, self.blocks, self.files, namespace, self.staging, self.clock
        )
        for staged in recover(self.journal, self.staging, rows_lost=rows_lost):
            self.filesystem.adopt(staged)
        for swap in self.journal.swaps():
            namespace.finish_swap(swap)

    def _take_slot(self) -> str:
        """The name of this mount's directories: one mount a slot, the next mount finds it again."""
        client = self.options.client
        identity = f"{client.username}@{client.host}:{client.port}/{client.root}"
        name = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.options.spool_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(1, SLOTS_MAX + 1):
            slot = name if number == 1 else f"{name}-{number}"
            directory = self.options.spool_directory / slot
            directory.mkdir(exist_ok=True, mode=0o700)
            lock = FileLock(directory / "lock")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            self._lock = lock
            return slot
        raise OSError(f"{SLOTS_MAX} mounts of this server are running already")

    def _is_own_temporary(self, name: str) -> bool:
        if not name.startswith(TEMPORARY_PREFIX):
            return False
        return self.staging.made(name[len(TEMPORARY_PREFIX) :].partition(".")[0])

    def status(self) -> dict[str, object]:
        """For people: sessions, cache, uploads, the last error."""
        directories, entries = self.metadata.counts()
        sessions = self.engine.status()
        return {
            "sessions": sessions,
            "cache": {**self.blocks.status(), "directories": directories, "entries": entries},
            "uploads": self.filesystem.uploads(),
            "unparsed": sum(self.view.unparsed.values()),
            "profile": self.profile.snapshot(),
            "last_error": sessions["last_error"],
        }

    def drain(self, timeout_s: float) -> list[StagedFile]:
        """Queue what open files hold, wait for the uploads, return what is left."""
        self.filesystem.send_all()
        return self.filesystem.drain(timeout_s)

    def stop(self) -> None:
        """End every thread and session; what is pending stays in the journal."""
        if not self._started:
            return
        self._started = False
        self.files.uploader.stop()
        self.engine.stop()
        self.files.close_all()
        self.journal.close()
        self.blocks.close()
        if self._lock is not None:
            self._lock.release()
