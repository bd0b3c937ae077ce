"""Changes of names on the server, whose outcome may be in doubt.

While it is not known, the names stay reserved; then the listings around them are looked at anew.
"""

from __future__ import annotations

from collections.abc import Callable

from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, parent
from pyftpdrive.core import remote
from pyftpdrive.core.files import Files, local_error
from pyftpdrive.core.path_locks import PathLocks
from pyftpdrive.core.renaming import Renaming, Swaps
from pyftpdrive.core.view import View
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl
from pyftpdrive.spool.journal import Journal

STALE_VIEW = (FsStatus.NOT_FOUND, FsStatus.EXISTS, FsStatus.NOT_EMPTY, FsStatus.CONFLICT)


class Changes:
    """Runs changes, on names that the caller holds in *locks*."""

    def __init__(
        self, engine: Engine, files: Files, view: View, journal: Journal, locks: PathLocks
    ) -> None:
        self._engine = engine
        self._files = files
        self._view = view
        self._journal = journal
        self._locks = locks
        self._swaps = Swaps(files, view, journal)
        self.finish_swap = self._swaps.finish

    def rename(
        self, old: RemotePath, new: RemotePath, known: RemoteEntry | None, *, kind: Kind
    ) -> None:
        """Rename on the server; *known*: the file that programs saw at *new*, None: nothing."""
        self.sync_journal()
        renaming = Renaming(old, new, known, kind, self._files, self._view, self._swaps)
        try:
            self.run(
                f"rename {old} to {new}", renaming.attempt, old, new, put_right=renaming.put_right
            )
        except FsError as error:
            if error.status in STALE_VIEW:
                self._view.metadata.expire(parent(old))
                self._view.metadata.expire(parent(new))
            raise

    def run(
        self,
        label: str,
        work: Callable[[FtpClient, JobControl], None],
        *paths: RemotePath,
        put_right: Callable[[], None] = lambda: None,
    ) -> None:
        """Change *paths* on the server; while the outcome isn't known they stay reserved.

        *put_right* is called when it failed, as soon as that is known.

        Raises:
            FsError: TIMEOUT, it may still happen; else what went wrong.
        """
        kept = False

        def in_doubt() -> Callable[[], None]:
            nonlocal kept
            kept = True
            self._locks.keep(*paths)
            return known

        def expire() -> None:
            for path in paths:
                self._view.metadata.expire(parent(path))

        def known() -> None:
            expire()
            put_right()
            self._locks.release(*paths)

        try:
            remote.run(self._engine, label, work, in_doubt=in_doubt)
        except FsError as error:
            if not kept:
                put_right()
            if error.status in (FsStatus.TIMEOUT, FsStatus.CONNECTION_LOST):
                expire()  # an attempt without a reply may have taken effect
            raise

    def sync_journal(self) -> None:
        """Before names change: else a power cut brings rows back that these changes outdate.

        Raises:
            FsError: the local disk refused.
        """
        try:
            if self._journal.unsynced:
                self._journal.sync()
        except OSError as error:
            raise local_error(error) from error
