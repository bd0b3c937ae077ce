"""Changes of names on the server, whose outcome may be in doubt.

While it is not known, the names stay reserved; then the listings around them are looked at anew. A
rename over a file by way of a backup name (`put_in_place`) is in the journal until it ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyftpdrive.base.errors import (
    AlreadyExists,
    ContentChanged,
    FsError,
    FsStatus,
    IsADirectory,
    ServerError,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, parent
from pyftpdrive.core import remote
from pyftpdrive.core.files import Files, local_error
from pyftpdrive.core.path_locks import PathLocks
from pyftpdrive.core.view import View
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl
from pyftpdrive.spool.journal import Journal, Swap
from pyftpdrive.spool.replace import drop_backup, put_in_place, restore
from pyftpdrive.spool.states import Step
from pyftpdrive.spool.times import OwnTimes, same_time

log = logging.getLogger(__name__)

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

    def rename(self, old: RemotePath, new: RemotePath, known: RemoteEntry | None) -> None:
        """Rename on the server; *known*: the file that programs saw at *new*, None: nothing."""
        swap = Swap(
            backup=self._files.writable.own_name(parent(new), "old"), source=old, target=new
        )
        begun = False

        def rename(client: FtpClient, _control: JobControl) -> None:
            nonlocal begun
            # Only who sent RNTO may take "old is gone, new is there" for its work.
            if begun and self._settle_swap(client, swap):
                return
            there, source = client.look([new, old])
            if source is None:
                source = client.stat(old)
            self._files.writable.require_name_kept(client, new)
            begun = True
            if source.kind is Kind.DIRECTORY:
                if there is not None:
                    raise AlreadyExists(f"{new}: made by another program meanwhile")
                client.rename(old, new)
                if not client.exists(new):
                    raise ServerError(f"{old}: the server said that it was renamed; it was not")
                return
            _require_known(new, there, known, self._files.own_times)
            put_in_place(
                client,
                old,
                new,
                size_bytes=source.size_bytes,
                over=there,
                backup=swap.backup,
                note=lambda step: self._note_swap(swap, step),
                leave=self._files.uploader.remove_later,
            )

        self.sync_journal()
        try:
            self.run(f"rename {old} to {new}", rename, old, new, swap=swap)
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
        swap: Swap | None = None,
    ) -> None:
        """Change *paths* on the server; while the outcome isn't known they stay reserved.

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
            if swap is not None:
                self._finish_if_begun(swap)
            self._locks.release(*paths)

        try:
            remote.run(self._engine, label, work, in_doubt=in_doubt)
        except FsError as error:
            if swap is not None and not kept:
                self._finish_if_begun(swap)
            if error.status in (FsStatus.TIMEOUT, FsStatus.CONNECTION_LOST):
                expire()  # an attempt without a reply may have taken effect
            raise

    def _finish_if_begun(self, swap: Swap) -> None:
        if swap in self._journal.swaps():
            self.finish_swap(swap)

    def _note_swap(self, swap: Swap, step: Step) -> None:
        if step is Step.SWAP:
            self._journal.put_swap(swap)
        else:
            self._journal.delete_swap(swap.backup)
        self._journal.sync()

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

    def _settle_swap(self, client: FtpClient, swap: Swap) -> bool:
        """End a swap that was cut; True: the new file has the name, False: the one before has."""
        target, backup, source = client.look([swap.target, swap.backup, swap.source])
        if backup is not None and target is None:
            restore(client, swap.backup, swap.target)
        elif backup is not None and source is None:
            drop_backup(client, swap.backup, self._files.uploader.remove_later)
        elif backup is not None:
            log.warning("%s was made meanwhile; its last version: %s", swap.target, swap.backup)
        self._note_swap(swap, Step.NONE)
        return target is not None and source is None

    def finish_swap(self, swap: Swap) -> None:
        """End, in the background, a rename over a file that an earlier run began.

        The file that was to be replaced gets its name back, unless the new one has it.
        """

        def finish(client: FtpClient, _control: JobControl) -> None:
            self._settle_swap(client, swap)
            self._view.metadata.expire(parent(swap.target))

        self._files.uploader.see_to(f"finish the rename to {swap.target}", finish)


def _require_known(
    path: RemotePath, there: RemoteEntry | None, known: RemoteEntry | None, own_times: OwnTimes
) -> None:
    """Refuse to replace a version that programs have not seen.

    Raises:
        AlreadyExists: there was nothing as far as they knew.
        ContentChanged: there was another version.
    """
    if there is None:
        return
    if there.kind is Kind.DIRECTORY:
        raise IsADirectory(f"{path} is a directory")
    if known is None:
        raise AlreadyExists(f"{path}: made by another program meanwhile")
    sizes = (there.size_bytes, known.size_bytes)
    same_times = same_time(there.modified_ns, known.modified_ns)
    if (None not in sizes and sizes[0] != sizes[1]) or not (
        same_times or own_times.explain(path, there.modified_ns)
    ):
        was, now = (f"{e.size_bytes} bytes of {e.modified_ns}" for e in (known, there))
        raise ContentChanged(f"{path}: changed by another program meanwhile ({was}, now {now})")
