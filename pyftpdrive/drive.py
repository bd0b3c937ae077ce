"""One drive without a host: the graph from the neutral file system down to the sockets."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pyftpdrive.base.clock import Clock, SystemClock
from pyftpdrive.base.paths import name_of
from pyftpdrive.cache.blocks import BlockOptions, BlockStore
from pyftpdrive.cache.fetcher import Fetcher, FetchOptions
from pyftpdrive.cache.metadata import MetadataCache, MetadataOptions
from pyftpdrive.core.files import Files
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.core.held import HeldFiles
from pyftpdrive.core.namespace import Namespace
from pyftpdrive.core.view import View
from pyftpdrive.ftp.engine import Engine, EngineOptions
from pyftpdrive.ftp.ftp_client import ClientOptions
from pyftpdrive.ftp.profile import ServerProfile
from pyftpdrive.ftp.profile_store import PROFILES_NAME, ProfileStore
from pyftpdrive.spool import slots
from pyftpdrive.spool.names import TEMPORARY_PREFIX
from pyftpdrive.spool.recovery import STAGED_NAME, open_journal, recover, take_over
from pyftpdrive.spool.staging import StagedFile, Staging
from pyftpdrive.spool.states import StagedState

log = logging.getLogger(__name__)


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
    conflict_copies: bool = False  # False: HELD until the user says what to do


class Drive:
    """Everything below the host: from the neutral file system to the sockets."""

    def __init__(self, options: DriveOptions, *, clock: Clock | None = None) -> None:
        self.options = options
        self.clock: Clock = clock or SystemClock()
        self.profile = ServerProfile()
        self.engine = Engine(options.client, options.engine, self.profile, clock=self.clock)
        self._slot: slots.Slot | None = None
        self._started = False

    def start(self) -> None:
        """Connect, and take up what an earlier run left in the spool.

        Raises:
            RemoteError: the server can't be used as configured; nothing keeps running.
            OSError: the local directories can't be used.
        """
        ProfileStore(
            self.options.spool_directory / PROFILES_NAME,
            self.options.client.identity,
            self.profile,
            self.clock,
        ).open()
        self.engine.start()
        try:
            self._build()
        except BaseException:
            self.engine.stop()
            if self._slot is not None:
                self._slot.release()
            raise
        self._started = True

    def _build(self) -> None:
        options = self.options
        client = options.client
        self._slot = slots.take(
            options.spool_directory,
            client.identity,
            server_url(client),
        )
        spool = self._slot.directory
        self.blocks = BlockStore(
            BlockOptions(
                directory=options.cache_directory / self._slot.name / "blocks",
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
            on_conflict=self._conflict,
        )
        self.held = HeldFiles(self.files, self.view, self.journal, self.clock)
        namespace = Namespace(
            self.engine,
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
        for other in slots.left_by_others(options.spool_directory, self._slot):
            if moved := take_over(other.directory, self.journal, self.staging):
                log.info("took over %d unsent file(s) of another mount", moved)
        strays = set(self.journal.strays())
        for staged in recover(self.journal, self.staging, rows_lost=rows_lost):
            # Its next attempt sees to them: the backup may be the only copy of the version before.
            own = {staged.backup_path()}
            if staged.state is not StagedState.HELD:
                own.add(staged.temporary_path())
            staged.strays |= strays & own
            strays -= own
            self.filesystem.adopt(staged)
        for stray in strays:
            self.staging.own(_own_id(name_of(stray)))
            self.files.errands.remove(stray)
        for swap in self.journal.swaps():
            namespace.finish_swap(swap)

    def _conflict(self, staged: StagedFile) -> bool:
        return self.options.conflict_copies and self.held.step_aside(staged)

    def _is_own_temporary(self, name: str) -> bool:
        return name.startswith(TEMPORARY_PREFIX) and self.staging.made(_own_id(name))

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
        if self._slot is not None:
            self._slot.release()


def server_url(client: ClientOptions) -> str:
    """The server as people write it, without a password."""
    user = f"{client.username}@" if client.username else ""
    host = f"[{client.host}]" if ":" in client.host else client.host
    scheme = {"none": "ftp", "explicit": "ftpes", "implicit": "ftps"}[client.tls.value]
    return f"{scheme}://{user}{host}:{client.port}"


def _own_id(name: str) -> str:
    """The id in a name that the drive made."""
    return name[len(TEMPORARY_PREFIX) :].partition(".")[0]
