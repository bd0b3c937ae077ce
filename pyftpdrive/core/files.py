"""Open files: reading, writing, and the hand-over to the spool.

Reading: staged bytes first, then the block cache, then the server. Writing: always into a staged
file; the server sees whole files only. `core` is where cache and spool meet.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import (
    ContentChanged,
    FsError,
    FsStatus,
    NotFound,
    RemoteError,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, name_of, parent
from pyftpdrive.cache.blocks import BlockFile, BlockStore
from pyftpdrive.cache.fetcher import Fetcher
from pyftpdrive.core import remote
from pyftpdrive.core.error_map import fs_error
from pyftpdrive.core.nodes import FileContext, FileNode, NodeTable, require_open
from pyftpdrive.core.sent_times import SentTimes
from pyftpdrive.core.view import View
from pyftpdrive.core.writable import Writable
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.spool.attempt import Uploaded
from pyftpdrive.spool.errands import Errands
from pyftpdrive.spool.journal import CONTENT_BYTES_MAX, Journal
from pyftpdrive.spool.staging import Base, StagedFile, Staging
from pyftpdrive.spool.states import StagedState
from pyftpdrive.spool.times import OwnTimes, same_time
from pyftpdrive.spool.uploader import Uploader

log = logging.getLogger(__name__)
T = TypeVar("T")

FILL_PIECE_BYTES = 1 << 20
UPLOAD_STALL_S = 30.0  # fsync waits this long without any progress
KEEP_FOR_READERS_BYTES = 64 << 20  # a file deleted while open is fetched first, up to this


def local_error(error: OSError) -> FsError:
    """What a program is told when the local disk refuses."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return FsError(FsStatus.NO_SPACE if full else FsStatus.SERVER_ERROR, f"local disk: {error}")


class Files:
    """Open, read, write, truncate, close, fsync.

    Locking: node locks (rank 10) and the table's (rank 5) as nodes.py says.
    """

    def __init__(
        self,
        engine: Engine,
        view: View,
        blocks: BlockStore,
        fetcher: Fetcher,
        staging: Staging,
        journal: Journal,
        clock: Clock,
        *,
        read_only: bool = False,
        on_conflict: Callable[[StagedFile], bool],
    ) -> None:
        self._engine = engine
        self._view = view
        self._blocks = blocks
        self._fetcher = fetcher
        self._staging = staging
        self._journal = journal
        self._clock = clock
        self.nodes = NodeTable()
        self.own_times = OwnTimes()
        self.times = SentTimes(engine, view, self.nodes, self.own_times)
        self.errands = Errands(engine, journal, clock)
        self.uploader = Uploader(
            engine,
            journal,
            clock,
            own_times=self.own_times,
            errands=self.errands,
            fill_gaps=self.fill_gaps,
            on_uploaded=self._uploaded,
            on_finished=self._finished,
            on_conflict=on_conflict,
        )
        self.writable = Writable(
            engine,
            journal,
            read_only=read_only,
            new_id=staging.new_id,
            remove_later=self.errands.remove,
        )

    # -- open and close ------------------------------------------------------------------------

    def open(
        self, path: RemotePath, *, write: bool, truncate: bool, pid: int | None = None
    ) -> FileContext:
        """A handle on an existing file.

        Raises:
            FsError: NOT_FOUND, IS_A_DIRECTORY, ACCESS_DENIED, READ_ONLY, or no answer.
        """
        while True:
            entry = self._entry_to_open(path)
            if write:
                self.writable.require(parent(path), entry)
            node = self._take_handle(path, entry, write=write)
            if node is not None:
                break
        context = FileContext(node=node, writable=write, pid=pid)
        with node.lock:
            if entry is not None and not node.is_dirty and node.entry != entry:
                self._take_version_locked(node, entry)
        if truncate:
            try:
                self.truncate(context, 0)
            except FsError:
                self.close(context)
                raise
        return context

    def _entry_to_open(self, path: RemotePath) -> RemoteEntry | None:
        """What the server has at *path*; None: the file is not wholly there, its node counts."""
        node = self.nodes.get(path)
        if node is not None and node.is_dirty:
            return None
        entry = self._view.entry(path)
        if entry.kind is Kind.DIRECTORY:
            raise FsError(FsStatus.IS_A_DIRECTORY, f"{path} is a directory")
        return self._ask_size(path, entry) if entry.size_bytes is None else entry

    def _take_handle(
        self, path: RemotePath, entry: RemoteEntry | None, *, write: bool
    ) -> FileNode | None:
        """The node of *path* with one handle more; None: there is none, and *entry* tells nothing.

        That is a file which was on its way a moment ago, and is on the server by now.
        """
        with self.nodes.lock:
            node = self.nodes.get(path)
            if node is None:
                if entry is None:
                    return None
                node = FileNode(path, entry)
                self.nodes.put_locked(node)
            node.handles += 1
            node.writers += write
        return node

    def create(self, path: RemotePath, *, pid: int | None = None) -> FileContext:
        """A handle on a new, empty file; the caller knows that there is none.

        Raises:
            FsError: ACCESS_DENIED, READ_ONLY, NO_SPACE (local disk).
        """
        self.writable.require(parent(path), None)
        node = FileNode(path, None)
        node.handles = node.writers = 1
        with node.lock:
            self._stage_locked(node)
        with self.nodes.lock:
            self.nodes.put_locked(node)
        return FileContext(node=node, writable=True, pid=pid)

    def close(self, context: FileContext) -> None:
        """Give the handle back; what was written goes on its way to the server."""
        if context.closed:
            return
        context.closed = True
        node = context.node
        with node.lock:
            staged = node.staged
            if (
                staged is not None
                and context.writable
                and not node.unlinked
                and staged.state is StagedState.OPEN
                and staged.dirty
            ):
                try:
                    self.uploader.enqueue(staged)
                except OSError as error:
                    log.warning("%s: %s", node.path, error)
        with self.nodes.lock:
            node.handles -= 1
            node.writers -= context.writable
        self.drop_if_unused(node)

    def drop_if_unused(self, node: FileNode) -> None:
        """Forget a node that nobody holds and that is wholly on the server (or deleted)."""
        with self.nodes.lock:
            staged = node.staged
            if node.handles or (staged is not None and not node.unlinked and node.is_dirty):
                return
            if node.unlinked and self.nodes.get(node.path) is node:
                return  # set aside by a rename or delete that has not succeeded yet
            self.nodes.remove_locked(node)
        with node.lock:
            staged, node.staged = node.staged, None
            content, node.content = node.content, None
        if content is not None:
            content.release()
        if staged is None:
            return
        if node.unlinked:
            self.uploader.discard(staged)
            return
        staged.close(keep=True)
        entry = node.entry
        if entry is not None and entry.size_bytes == staged.size_bytes and not staged.gaps():
            self._blocks.adopt(node.path, staged.size_bytes, entry.modified_ns, staged.local_path)
        staged.local_path.unlink(missing_ok=True)

    def _take_version_locked(self, node: FileNode, entry: RemoteEntry) -> None:
        """The server has another version than this clean node knew."""
        node.entry = entry
        if node.content is not None:
            node.content.release()
            node.content = None
        if node.staged is not None:
            node.staged.close()
            node.staged = None

    def _ask_size(self, path: RemotePath, entry: RemoteEntry) -> RemoteEntry:
        """The listing did not tell the size: ask for it."""
        size = remote.run(
            self._engine, f"size of {path}", lambda client, _c: client.get_file_size(path)
        )
        entry = RemoteEntry(
            name=entry.name,
            kind=Kind.FILE,
            size_bytes=size,
            modified_ns=entry.modified_ns,
            mode=entry.mode,
            perm=entry.perm,
        )
        self._view.metadata.put(path, entry)
        return entry

    # -- reading -------------------------------------------------------------------------------

    def read_into(self, context: FileContext, offset: int, view: memoryview) -> int:
        """Copy from *offset* into *view*; return the octets copied, short only at the end.

        Raises:
            FsError: why the bytes can't be had.
        """
        node = require_open(context)
        try:
            try:
                return self._read_staged(node, offset, view)
            except ContentChanged:
                self._reload(node)
                return self._read_staged(node, offset, view)
        except RemoteError as error:
            raise fs_error(error) from error
        except OSError as error:
            raise local_error(error) from error

    def _read_clean(self, node: FileNode, offset: int, view: memoryview) -> int:
        if node.unlinked:
            _require_kept(node, offset, offset + len(view))
            if node.content is None:
                return 0  # an empty file
        content = node.content or self._content(node)
        return self._fetcher.read_into(content, offset, view)

    def _content(self, node: FileNode) -> BlockFile:
        """The block file of the version that this node stands for, opened once a node."""
        with node.lock:
            if node.content is None:
                if node.entry is None:
                    raise NotFound(f"{node.path}: not on the server")
                node.content = self._blocks.acquire(
                    node.path, node.entry.size_bytes or 0, node.entry.modified_ns
                )
            return node.content

    def _read_staged(self, node: FileNode, offset: int, view: memoryview) -> int:
        """What was written here, on top of the version that it was written over."""
        staged = node.staged
        if staged is None:
            return self._read_clean(node, offset, view)
        while True:
            for start, end in staged.gaps(offset, offset + len(view)):
                self._fill_range(node, staged, start, end)
            with staged.lock:
                if not staged.gaps(offset, offset + len(view)):
                    return staged.read_into(offset, view)

    def _reload(self, node: FileNode) -> None:
        """The server's file is not the one that was listed: take the one that is there.

        Raises:
            FsError: CONFLICT, something was written here over the version that is gone.
        """
        if node.unlinked:
            raise FsError(FsStatus.NOT_FOUND, f"{node.path}: deleted while it was open")
        self._view.refresh(parent(node.path))
        entry = self._view.entry(node.path)
        with node.lock:
            if node.staged is None:
                self._take_version_locked(node, entry)
                return
            base = node.staged.base
            if (
                base is None
                or entry.size_bytes != base.size_bytes
                or not same_time(entry.modified_ns, base.modified_ns)
            ):
                raise FsError(
                    FsStatus.CONFLICT, f"{node.path}: changed on the server by another program"
                )
            if node.content is not None:  # it came short, and is what it was: fetched anew
                node.content.release()
                node.content = None

    # -- writing -------------------------------------------------------------------------------

    def write(self, context: FileContext, offset: int, data: bytes | memoryview) -> int:
        """Put *data* at *offset*; return the octets taken (all of them).

        Raises:
            FsError: NO_SPACE (local disk), ACCESS_DENIED, BAD_HANDLE.
        """
        node = require_open(context)
        if not context.writable:
            raise FsError(FsStatus.BAD_HANDLE, "the handle was opened for reading")
        if not data:
            return 0  # POSIX: nothing changes, also behind the end
        try:
            with node.lock, self._changing_locked(node) as staged:
                return staged.write(offset, data, self._clock.now_ns())
        except OSError as error:
            raise local_error(error) from error

    def truncate(self, context: FileContext, size_bytes: int) -> None:
        """Cut to, or extend with zeros to, *size_bytes*.

        Raises:
            FsError: as `write`.
        """
        node = require_open(context)
        try:
            with node.lock:
                if node.size_bytes() == size_bytes:
                    return
                with self._changing_locked(node) as staged:
                    staged.truncate(size_bytes, self._clock.now_ns())
        except OSError as error:
            raise local_error(error) from error

    @contextmanager
    def _changing_locked(self, node: FileNode) -> Iterator[StagedFile]:
        """The staged file of *node*, OPEN and in the journal until the end of the block.

        Its lock is held: an upload of the version before that succeeds in this moment would call
        the file done, and what is about to be written would never be sent.
        """
        while True:
            staged = self._stage_locked(node)
            with staged.lock:
                if staged.state is StagedState.OPEN and not staged.closed_in_journal:
                    yield staged
                    return

    def _stage_locked(self, node: FileNode) -> StagedFile:
        """The staged file of *node*, in state OPEN and in the journal."""
        staged = node.staged
        if staged is None:
            base = None
            if node.entry is not None:
                base = Base(
                    size_bytes=node.entry.size_bytes or 0, modified_ns=node.entry.modified_ns
                )
            staged = self._staging.create(node.path, base=base, now_ns=self._clock.now_ns())
            try:
                self._note_locked(node, staged)
            except OSError:
                staged.close()
                raise
            node.staged = staged
        elif staged.state is not StagedState.OPEN or staged.closed_in_journal:
            with staged.lock:
                staged.move_to(StagedState.OPEN)
                staged.closed_in_journal = False
                self._note_locked(node, staged)
            if staged.size_bytes > CONTENT_BYTES_MAX:
                self._journal.sync()  # else a power cut makes a mixture pass for what was closed
        return staged

    def _note_locked(self, node: FileNode, staged: StagedFile) -> None:
        """Tell the journal, unless the file was deleted: nobody wants its bytes back."""
        if not node.unlinked:
            self._journal.put(staged.record())

    def flush(self, context: FileContext) -> None:
        """What was written survives a crash and a power cut when this returns.

        Called while a program's `close` waits; the handle itself is given back later.

        Raises:
            FsError: the local disk refused; the bytes are still here, and the file stays open.
        """
        node = require_open(context)
        staged = node.staged
        if not context.writable or staged is None or node.unlinked:
            return
        if staged.state is not StagedState.OPEN:
            return
        try:
            self.uploader.seal(staged)
        except OSError as error:
            raise local_error(error) from error

    # -- to the server ---------------------------------------------------------------------------

    def fsync(self, context: FileContext) -> None:
        """Return when everything written so far is on the server, verified.

        Raises:
            FsError: why it is not; the bytes stay in the spool and are tried again.
        """
        node = require_open(context)
        self.settle(node)

    def settle(self, node: FileNode, patience_s: float = UPLOAD_STALL_S) -> None:
        """Send what *node* has and wait for it, at most *patience_s* without any progress.

        Raises:
            FsError: why it could not be sent.
        """
        with node.lock:
            staged = node.staged
            if staged is None or staged.state is StagedState.DONE or node.unlinked:
                return
            version = staged.version
            send = staged.state in (StagedState.OPEN, StagedState.HELD)
        try:
            if send:
                self.uploader.enqueue(staged)
            else:
                self.uploader.hurry(staged)
            self.uploader.wait(staged, version, patience_s)
        except RemoteError as error:
            raise fs_error(error) from error
        except OSError as error:
            raise local_error(error) from error

    def fill_gaps(self, staged: StagedFile) -> None:
        """Bring what is still only on the server.

        Raises:
            RemoteError, OSError: not all of it came.
        """
        node = self.nodes.get(staged.path)
        if node is None or node.staged is not staged:
            return
        for start, end in staged.gaps():
            self._fill_range(node, staged, start, end)

    def _fill_range(self, node: FileNode, staged: StagedFile, start: int, end: int) -> None:
        """Copy the base's bytes from *start* to *end* into the staged file."""
        if node.unlinked:
            _require_kept(node, start, end)
        content = self._content(node)
        buffer = memoryview(bytearray(min(FILL_PIECE_BYTES, end - start)))
        position = start
        while position < end:
            count = self._fetcher.read_into(content, position, buffer[: end - position])
            if count == 0:
                raise ContentChanged(f"{node.path}: shorter on the server than it was listed")
            staged.fill(position, buffer[:count])
            position += count

    def _uploaded(self, staged: StagedFile, done: Uploaded) -> None:
        """Callback: a version of *staged* is on the server."""
        entry = RemoteEntry(
            name=name_of(done.path),
            kind=Kind.FILE,
            size_bytes=done.size_bytes,
            modified_ns=done.modified_ns,
        )
        self._view.metadata.put(done.path, entry)
        shown_ns = staged.modified_ns
        self._view.pin(done.path, done.size_bytes, done.modified_ns, shown_ns)
        self.writable.proven(parent(done.path))
        with staged.lock:
            staged.base = Base(size_bytes=done.size_bytes, modified_ns=done.modified_ns)
        node = self.nodes.get(done.path)
        if node is not None and node.staged is staged:
            with node.lock:
                node.entry = entry
                content, node.content = node.content, None
            if content is not None:
                content.release()
        self._blocks.forget(done.path)
        if shown_ns != done.stamped_ns:
            self.times.send(done.path, shown_ns)

    def _finished(self, staged: StagedFile) -> None:
        """Callback: nothing newer than what is on the server."""
        node = self.nodes.get(staged.path)
        if node is not None and node.staged is staged:
            self.drop_if_unused(node)

    def adopt_recovered(self, staged: StagedFile) -> None:
        """Take over a staged file that an earlier run left: send it, or show it as HELD."""
        entry = None
        if staged.base is not None:
            entry = RemoteEntry(
                name=name_of(staged.path),
                kind=Kind.FILE,
                size_bytes=staged.base.size_bytes,
                modified_ns=staged.base.modified_ns,
            )
        if staged.gaps() and staged.state is not StagedState.HELD:
            there = self._view.find(staged.path)
            if (
                there is None
                or entry is None
                or (there.size_bytes, there.modified_ns) != (entry.size_bytes, entry.modified_ns)
            ):
                staged.move_to(StagedState.HELD, "the file it changes is another one by now")
                self._journal.put(staged.record())
        node = FileNode(staged.path, entry)
        node.staged = staged
        with self.nodes.lock:
            self.nodes.put_locked(node)
        if staged.state is StagedState.HELD:
            self.uploader.adopt_held(staged)
        else:
            self.uploader.enqueue(staged)

    def close_all(self) -> None:
        """Close every local file; staged bytes that the server lacks stay on the disk."""
        for node in self.nodes.all():
            with node.lock:
                if node.staged is not None:
                    node.staged.close(keep=True)
                if node.content is not None:
                    node.content.release()
                    node.content = None

    def keep_for_readers(self, node: FileNode) -> None:
        """Before a file that is open is deleted or replaced: fetch what readers may want.

        Raises:
            RemoteError, FsError: it can't be had: they are told so when they read it.
        """
        if node.handles == 0 or node.entry is None or node.unlinked:
            return
        size = node.entry.size_bytes or 0
        if size > KEEP_FOR_READERS_BYTES:
            return
        if node.staged is not None:
            for start, end in node.staged.gaps():
                self._fill_range(node, node.staged, start, end)
        else:
            self._fetcher.ensure(self._content(node), 0, size)


def _require_kept(node: FileNode, start: int, end: int) -> None:
    """Refuse to fetch for a file that was deleted or replaced: the name is another file's.

    Raises:
        NotFound: not all of [start, end) was kept for those who have it open.
    """
    size = (node.entry.size_bytes or 0) if node.entry is not None else 0
    end = min(end, size)
    if start < end and (node.content is None or not node.content.present.contains(start, end)):
        raise NotFound(f"{node.path}: deleted while it was open; this part of it was not kept")
