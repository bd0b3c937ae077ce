"""Names: make, remove, rename. They know what is still in the spool.

Each operation reserves its paths, so that two never cross. A reply that was lost is looked after:
an operation that is run again after a reconnect first finds out whether it already took effect.
"""

from __future__ import annotations

import logging

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import (
    AlreadyExists,
    FsError,
    FsStatus,
    NotFound,
    RemoteError,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import ROOT, RemotePath, is_below, name_of, parent
from pyftpdrive.cache.blocks import BlockStore
from pyftpdrive.cache.metadata import directory_entry
from pyftpdrive.core.changes import Changes
from pyftpdrive.core.files import Files
from pyftpdrive.core.nodes import FileContext, FileNode
from pyftpdrive.core.path_locks import PathLocks
from pyftpdrive.core.view import View
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl
from pyftpdrive.spool.journal import Journal
from pyftpdrive.spool.names import ANOTHER_NAME
from pyftpdrive.spool.staging import Base, StagedFile
from pyftpdrive.spool.states import StagedState, Step

log = logging.getLogger(__name__)

CANCEL_S = 5.0  # to stop an upload of a file that is deleted or replaced


class Namespace:
    """mkdir, rmdir, unlink, rename on files and directories."""

    def __init__(
        self,
        engine: Engine,
        files: Files,
        view: View,
        blocks: BlockStore,
        journal: Journal,
        clock: Clock,
        *,
        read_only: bool,
        patience_s: float,
    ) -> None:
        self._files = files
        self._view = view
        self._blocks = blocks
        self._journal = journal
        self._clock = clock
        self._read_only = read_only
        self._patience_s = patience_s
        self._locks = PathLocks(clock)
        self._changes = Changes(engine, files, view, journal, self._locks)
        self.finish_swap = self._changes.finish_swap

    def open_or_create(
        self, path: RemotePath, *, exclusive: bool, pid: int | None = None
    ) -> FileContext:
        """A writable handle on *path*, made when there is no such file.

        Raises:
            FsError: EXISTS (when *exclusive*), IS_A_DIRECTORY, PATH_NOT_FOUND, ACCESS_DENIED….
        """
        with self._locks.hold(path, patience_s=self._patience_s):
            kind = self.exists(path)
            if kind is not None and exclusive:
                raise FsError(FsStatus.EXISTS, f"{path} exists")
            if kind is not None:
                return self._files.open(path, write=True, truncate=False, pid=pid)
            return self._files.create(path, pid=pid)

    def exists(self, path: RemotePath) -> Kind | None:
        """What *path* is for programs; None: nothing."""
        if self._files.nodes.get(path) is not None:
            return Kind.FILE
        entry = self._view.find(path)
        return entry.kind if entry else None

    def _require_changeable(self) -> None:
        if self._read_only:
            raise FsError(FsStatus.READ_ONLY, "the drive is mounted read-only")

    # -- directories ---------------------------------------------------------------------------

    def make_directory(self, path: RemotePath) -> None:
        """Make a directory.

        Raises:
            FsError: EXISTS, PATH_NOT_FOUND, ACCESS_DENIED….
        """
        self._require_changeable()

        def make(client: FtpClient, control: JobControl) -> None:
            self._files.writable.require_name_kept(client, path)
            try:
                client.create_dir(path)
            except AlreadyExists:
                if control.attempt == 0:
                    raise

        with self._locks.hold(path, patience_s=self._patience_s):
            if self.exists(path) is not None:
                raise FsError(FsStatus.EXISTS, f"{path} exists")
            try:
                self._changes.run(f"make directory {path}", make, path)
            except FsError as error:
                if error.status is FsStatus.EXISTS:
                    self._view.metadata.expire(parent(path))
                raise
            entry = directory_entry(name_of(path), self._clock.now_ns())
            self._view.metadata.created_directory(path, entry)
            self._view.pin(path, 0, None, self._clock.now_ns())
            self._files.writable.proven(path)

    def remove_directory(self, path: RemotePath) -> None:
        """Remove an empty directory; one that has anything in it, also unsent, stays.

        Raises:
            FsError: NOT_EMPTY, NOT_FOUND, NOT_A_DIRECTORY, BUSY for the root.
        """
        self._require_changeable()
        if path == ROOT:
            raise FsError(FsStatus.BUSY, "the root of the drive can't be removed")
        with self._locks.hold(path, patience_s=self._patience_s):
            self._remove_directory(path)

    def _remove_directory(self, path: RemotePath) -> None:
        kind = self.exists(path)
        if kind is None:
            raise FsError(FsStatus.NOT_FOUND, f"{path}: no such directory")
        if kind is not Kind.DIRECTORY:
            raise FsError(FsStatus.NOT_A_DIRECTORY, f"{path} is not a directory")
        if self._files.nodes.below(path):
            raise FsError(FsStatus.NOT_EMPTY, f"{path} is not empty")

        def remove(client: FtpClient, control: JobControl) -> None:
            try:
                client.delete_dir(path)
            except NotFound:
                if control.attempt == 0:
                    raise

        self._changes.sync_journal()
        try:
            self._changes.run(f"remove directory {path}", remove, path)
        except FsError as error:
            if error.status in (FsStatus.NOT_EMPTY, FsStatus.NOT_FOUND):
                self._view.metadata.expire(path)
                self._view.metadata.expire(parent(path))
            raise
        self._view.metadata.remove_tree(path)
        self._view.unpin(path)

    def require_removable(self, path: RemotePath) -> None:
        """Raise what removing *path* would raise, as far as it can be known without doing it.

        Raises:
            FsError: NOT_EMPTY by a listing of this moment, READ_ONLY, ACCESS_DENIED, NOT_FOUND.
        """
        self._require_changeable()
        kind = self.exists(path)
        if kind is None:
            raise FsError(FsStatus.NOT_FOUND, f"{path}: no such file or directory")
        if path == ROOT:
            raise FsError(FsStatus.BUSY, "the root of the drive can't be removed")
        if kind is Kind.DIRECTORY:
            self._view.refresh(path)
            if self._view.listing(path) or self._files.nodes.below(path):
                raise FsError(FsStatus.NOT_EMPTY, f"{path} is not empty")
        node = self._files.nodes.get(path)
        if node is None or not node.is_new:
            self._files.writable.require(parent(path), None)

    # -- files ---------------------------------------------------------------------------------

    def remove_file(self, path: RemotePath) -> None:
        """Delete a file, also one that is still in the spool. Open handles go on working.

        Raises:
            FsError: NOT_FOUND, IS_A_DIRECTORY, ACCESS_DENIED….
        """
        self._require_changeable()
        with self._locks.hold(path, patience_s=self._patience_s):
            kind = self.exists(path)
            if kind is None:
                raise FsError(FsStatus.NOT_FOUND, f"{path}: no such file")
            if kind is Kind.DIRECTORY:
                raise FsError(FsStatus.IS_A_DIRECTORY, f"{path} is a directory")
            node = self._files.nodes.get(path)
            self._keep_for_readers(node)
            self._set_aside(node)
            time_ns = self._files.times.take(path)
            if node is None or self._on_server(path, node):
                try:
                    self._delete_remote(path, node)
                except FsError:
                    self._put_back(node)
                    self._send_times({path: time_ns})
                    raise
            self._forget_file(path, node)

    def _on_server(self, path: RemotePath, node: FileNode) -> bool:
        """Whether the server may have a file of this name, whatever this drive has sent."""
        if not node.is_new or (node.staged is not None and _server_may_have(node.staged)):
            return True
        try:
            return self._view.find(path) is not None
        except FsError:  # it does not answer: an unsent file can be deleted all the same
            return False

    def _delete_remote(self, path: RemotePath, node: FileNode | None) -> None:
        def delete(client: FtpClient, control: JobControl) -> None:
            try:
                client.delete_file(path)
            except NotFound:
                if control.attempt == 0 and (node is None or not node.is_new):
                    raise

        self._changes.sync_journal()
        try:
            self._changes.run(f"delete {path}", delete, path)
        except FsError as error:
            if error.status is FsStatus.NOT_FOUND:
                self._view.metadata.remove(path)
            raise

    def _forget_file(self, path: RemotePath, node: FileNode | None) -> None:
        """*path* is gone for programs; who has it open keeps its bytes."""
        self._view.metadata.remove(path)
        self._view.unpin(path)
        self._blocks.forget(path)
        self._replaced(node)

    def _keep_for_readers(self, node: FileNode | None) -> None:
        """What is about to be deleted or replaced stays readable for those who have it open."""
        if node is None:
            return
        try:
            self._files.keep_for_readers(node)
        except (RemoteError, FsError) as error:
            log.debug("%s: readers lose it: %s", node.path, error)

    def _set_aside(self, node: FileNode | None) -> None:
        """Nothing of *node* is on its way after this, and no `close` sends it.

        The kernel reports the close of a file after `close` returned, so also after the rename
        that replaces it: what is set aside must not be sent then, over its successor.

        Raises:
            FsError: BUSY, the upload could not be stopped in time; nothing changed.
        """
        if node is None:
            return
        with node.lock:
            node.unlinked = True
            staged = node.staged
        patience_s = min(CANCEL_S, self._patience_s)
        if staged is not None and not self._files.uploader.cancel(staged, patience_s):
            self._put_back(node)
            raise FsError(FsStatus.BUSY, f"{node.path}: its upload can't be stopped now")

    def _put_back(self, node: FileNode | None) -> None:
        """What was set aside is wanted again: the operation failed."""
        if node is None:
            return
        with node.lock:
            node.unlinked = False
            staged = node.staged
            if staged is not None and staged.state is not StagedState.DONE:
                self._journal.put(staged.record())  # what was written meanwhile
            unsent = staged is not None and staged.dirty
            closed = staged is not None and (
                staged.state is not StagedState.OPEN or node.writers == 0
            )
        if staged is not None and unsent and closed:
            self._files.uploader.enqueue(staged)
        self._files.drop_if_unused(node)

    # -- rename --------------------------------------------------------------------------------

    def rename(self, old: RemotePath, new: RemotePath, *, replace: bool) -> None:
        """Give *old* the name *new*; a file there is replaced when *replace* says so.

        Raises:
            FsError: NOT_FOUND, EXISTS, NOT_EMPTY, IS_A_DIRECTORY, NOT_A_DIRECTORY,
                INVALID_ARGUMENT (into itself), or the server's refusal. Both names keep what
                they had.
        """
        self._require_changeable()
        if is_below(new, old) or old == ROOT:
            raise FsError(FsStatus.INVALID_ARGUMENT, f"{old} can't be moved into itself")
        if new == ROOT:
            raise FsError(FsStatus.BUSY, "the root of the drive can't be replaced")
        if is_below(old, new):
            raise FsError(FsStatus.NOT_EMPTY, f"{new} is not empty")
        with self._locks.hold(*dict.fromkeys((old, new)), patience_s=self._patience_s):
            kind, there = self.exists(old), self.exists(new)
            if kind is None:
                raise FsError(FsStatus.NOT_FOUND, f"{old}: no such file or directory")
            if there is not None and not replace:
                raise FsError(FsStatus.EXISTS, f"{new} exists")
            if old == new:
                return
            if kind is Kind.DIRECTORY:
                self._rename_directory(old, new, there)
            else:
                self._rename_file(old, new, there)

    def _rename_directory(self, old: RemotePath, new: RemotePath, there: Kind | None) -> None:
        if there is Kind.DIRECTORY:
            self._remove_directory(new)
        elif there is not None:
            raise FsError(FsStatus.NOT_A_DIRECTORY, f"{new} is a file")
        for node in self._files.nodes.below(old):
            if node.staged is not None and node.staged.state is not StagedState.OPEN:
                self._files.settle(node, self._patience_s)
        entry = self._view.entry(old)
        self._changes.rename(old, new, None, kind=Kind.DIRECTORY)
        for node in self._files.nodes.rebase(old, new):
            self._retarget(node)
        self._moved(old, new, entry)
        self._files.writable.proven(parent(new))

    def _rename_file(self, old: RemotePath, new: RemotePath, there: Kind | None) -> None:
        if there is Kind.DIRECTORY:
            raise FsError(FsStatus.IS_A_DIRECTORY, f"{new} is a directory")
        node, target = self._files.nodes.get(old), self._files.nodes.get(new)
        self._keep_for_readers(target)
        self._set_aside(target)
        try:
            if target is not None and target.staged and _server_may_have(target.staged):
                self._view.metadata.expire(parent(new))  # it has it or not: look
            over = self._view.find(new) if there is not None else None
            if node is not None and node.is_new and self._rename_unsent(node, new, over):
                self._view.metadata.remove(old)
                self._replaced(target)
                with self._files.nodes.lock:
                    self._files.nodes.move_locked(node, new)
                self._send_under_another_name(node)
                return
            if node is not None:
                self._files.settle(node, self._patience_s)
            entry = self._view.entry(old)
            time_ns, replaced_ns = self._files.times.take(old), self._files.times.take(new)
            try:
                self._changes.rename(old, new, over, kind=Kind.FILE)
            except FsError:
                self._send_times({old: time_ns, new: replaced_ns})
                raise
        except FsError:
            self._put_back(target)
            raise
        self._replaced(target)
        node = self._files.nodes.get(old)
        if node is not None:
            with self._files.nodes.lock:
                self._files.nodes.move_locked(node, new)
            self._retarget(node)
        self._moved(old, new, entry)
        self._send_times({new: time_ns})

    def _send_times(self, times: dict[RemotePath, int | None]) -> None:
        for path, modified_ns in times.items():
            if modified_ns is not None:
                self._files.times.send(path, modified_ns)

    def _rename_unsent(self, node: FileNode, new: RemotePath, over: RemoteEntry | None) -> bool:
        """Rename a file that the server has never had: only its target changes.

        False: it got there in this moment; rename it on the server.
        """
        with node.lock:
            staged = node.staged
            if staged is None or not node.is_new:
                return False
            with staged.lock:
                if _server_may_have(staged) or staged.state in (
                    StagedState.COMMITTING,
                    StagedState.DONE,
                ):
                    return False
                staged.path = new
                if over is not None:
                    staged.base = Base(
                        size_bytes=over.size_bytes or 0, modified_ns=over.modified_ns
                    )
                self._journal.put(staged.record())
            node.entry = over
        self._changes.sync_journal()
        return True

    def _send_under_another_name(self, node: FileNode) -> None:
        """A file that was held for its name has another one now: that was what it waited for."""
        staged = node.staged
        held = staged is not None and staged.state is StagedState.HELD
        if staged is None or not held or not (staged.reason or "").endswith(ANOTHER_NAME):
            return
        try:
            self._files.uploader.enqueue(staged)
        except OSError as error:  # it stays held, and can be tried again
            log.warning("%s: %s", node.path, error)

    def _replaced(self, target: FileNode | None) -> None:
        """*target* is gone from its name, for good; who has it open keeps its bytes."""
        if target is None:
            return
        if target.staged is not None:
            self._files.uploader.forget(target.staged)
        with self._files.nodes.lock:
            self._files.nodes.remove_locked(target)
        self._files.drop_if_unused(target)

    def _retarget(self, node: FileNode) -> None:
        """The staged file follows its node's new path."""
        with node.lock:
            staged = node.staged
            if staged is None:
                return
            with staged.lock:
                staged.path = node.path
                if staged.state is not StagedState.DONE:
                    self._journal.put(staged.record())

    def _moved(self, old: RemotePath, new: RemotePath, entry: RemoteEntry) -> None:
        """The server has renamed: so do the caches."""
        renamed = RemoteEntry(
            name=name_of(new),
            kind=entry.kind,
            size_bytes=entry.size_bytes,
            modified_ns=entry.modified_ns,
            mode=entry.mode,
            perm=entry.perm,
        )
        self._blocks.forget(new)
        self._view.metadata.renamed(old, new, renamed)
        self._blocks.renamed(old, new)
        self._view.move_pins(old, new)


def _server_may_have(staged: StagedFile) -> bool:
    """Whether a file without a version on the server may be there all the same, whole or in part.

    An earlier run may have ended between its upload and the journal's word of it, and the reply
    to a rename may have been lost.
    """
    return staged.recovered or staged.step is not Step.NONE or staged.candidate is not None
