"""The drive in neutral words: what hosts call.

Every method blocks with a deadline and raises `FsError` only. Which thread calls does not matter.
The deadline is the application's, once for everything that a method waits for: it ends when the
server has said nothing for so long. `fsync` waits for the upload instead, as long as it moves.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import FsError, FsStatus, RemoteError
from pyftpdrive.base.model import Kind, Space
from pyftpdrive.base.paths import NAME_BYTES_MAX, PATH_BYTES_MAX, ROOT, RemotePath, parent
from pyftpdrive.base.patience import as_one_operation
from pyftpdrive.cache.blocks import BlockStore
from pyftpdrive.core.files import Files
from pyftpdrive.core.namespace import Namespace
from pyftpdrive.core.nodes import DirectoryEntry, FileContext, FileNode, FileStat, inode_of
from pyftpdrive.core.view import View
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.jobs import Priority
from pyftpdrive.spool.staging import StagedFile, Staging
from pyftpdrive.spool.states import StagedState

log = logging.getLogger(__name__)

SPACE_AGE_MAX_S = 30.0


class Filesystem:
    """What a mounted drive can do. Paths are RemotePath; handles are FileContext."""

    def __init__(
        self,
        engine: Engine,
        view: View,
        blocks: BlockStore,
        files: Files,
        namespace: Namespace,
        staging: Staging,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self.recorder = engine.recorder  # of what hosts were asked
        self._view = view
        self._blocks = blocks
        self._files = files
        self._namespace = namespace
        self._staging = staging
        self._clock = clock
        self._space: Space | None = None
        self._space_at = float("-inf")
        self._space_lock = threading.Lock()

    # -- looking -------------------------------------------------------------------------------

    @as_one_operation
    def stat(self, path: RemotePath) -> FileStat:
        """What *path* is.

        Raises:
            FsError: NOT_FOUND, or why it can't be known.
        """
        node = self._files.nodes.get(path)
        if node is not None and node.staged is not None:
            return self._stat_node(path, node)
        return self._view.stat(path, self._view.entry(path))

    @as_one_operation
    def stat_handle(self, context: FileContext) -> FileStat:
        """What the open file is, also when it has been deleted meanwhile."""
        node = context.node
        if node.staged is not None or node.unlinked:
            return self._stat_node(node.path, node)
        return self.stat(node.path)

    def _stat_node(self, path: RemotePath, node: FileNode) -> FileStat:
        staged, entry = node.staged, node.entry
        if staged is not None:
            size, modified = staged.size_bytes, staged.modified_ns
        else:
            size = (entry.size_bytes or 0) if entry else 0
            modified = (entry.modified_ns or 0) if entry else 0
        mode = entry.mode if entry else None
        return FileStat(Kind.FILE, size, modified, modified, mode, inode_of(path))

    @as_one_operation
    def list_directory(self, path: RemotePath) -> list[DirectoryEntry]:
        """Everything in *path*, with what `stat` would say of each.

        Raises:
            FsError: NOT_FOUND, NOT_A_DIRECTORY, ACCESS_DENIED, or no answer.
        """
        if self._files.nodes.get(path) is not None:
            raise FsError(FsStatus.NOT_A_DIRECTORY, f"{path} is a file")
        listing = self._view.listing(path)
        prefix = "/" if path == ROOT else f"{path}/"
        stat = self._view.stat
        entries = {
            entry.name: DirectoryEntry(entry.name, stat(RemotePath(prefix + entry.name), entry))
            for entry in list(listing.values())
        }
        for name, node in self._files.nodes.in_directory(path):
            if node.staged is not None:
                child = RemotePath(prefix + name)
                entries[name] = DirectoryEntry(name, self._stat_node(child, node))
        return list(entries.values())

    @as_one_operation
    def names(self, path: RemotePath) -> list[str]:
        """The names in *path*, without what they stand for.

        Raises:
            FsError: NOT_FOUND, NOT_A_DIRECTORY, ACCESS_DENIED, or no answer.
        """
        if self._files.nodes.get(path) is not None:
            raise FsError(FsStatus.NOT_A_DIRECTORY, f"{path} is a file")
        listed = list(self._view.listing(path))
        unsent = {name for name, node in self._files.nodes.in_directory(path) if node.staged}
        return listed + sorted(unsent - set(listed)) if unsent else listed

    def is_known(self, path: RemotePath) -> bool:
        """Whether *path* is there as far as is known without asking; takes no time."""
        if self._files.nodes.get(path) is not None:
            return True
        known, entry = self._view.metadata.lookup(path)
        return known and entry is not None

    @as_one_operation
    def space(self) -> Space:
        """Room on the server where it tells, else what the spool's disk can take.

        Answers from memory; asks the server at most every 30 seconds, beside the caller's way.
        """
        now = self._clock.monotonic()
        with self._space_lock:
            if self._space is not None and now - self._space_at < SPACE_AGE_MAX_S:
                return self._space
            self._space_at = now
        disk = shutil.disk_usage(self._staging.directory)
        answer = Space(total_bytes=disk.total, free_bytes=max(disk.free, 1 << 20))
        if self._engine.away:
            return self._space or answer
        try:
            free = self._engine.run(
                "free space",
                lambda client, _control: client.available_bytes(ROOT),
                priority=Priority.METADATA,
            )
        except RemoteError as error:
            log.debug("free space is not known: %s", error)
            free = None
        if free is not None:
            answer = Space(total_bytes=max(disk.total, free), free_bytes=free)
        with self._space_lock:
            self._space = answer
        return answer

    # -- files -----------------------------------------------------------------------------------

    @as_one_operation
    def open(
        self,
        path: RemotePath,
        *,
        write: bool = False,
        truncate: bool = False,
        pid: int | None = None,
    ) -> FileContext:
        """A handle on an existing file. Content is fetched when it is read.

        Raises:
            FsError: NOT_FOUND, IS_A_DIRECTORY, ACCESS_DENIED, READ_ONLY, or no answer.
        """
        return self._files.open(path, write=write, truncate=truncate, pid=pid)

    @as_one_operation
    def create(
        self, path: RemotePath, *, exclusive: bool = False, pid: int | None = None
    ) -> FileContext:
        """A writable handle on *path*, made when there is no such file.

        Raises:
            FsError: EXISTS (when *exclusive*), IS_A_DIRECTORY, PATH_NOT_FOUND, ACCESS_DENIED….
        """
        require_name_length(path)
        directory = parent(path)
        if directory != ROOT and self.stat(directory).kind is not Kind.DIRECTORY:
            raise FsError(FsStatus.NOT_A_DIRECTORY, f"{directory} is not a directory")
        return self._namespace.open_or_create(path, exclusive=exclusive, pid=pid)

    def read(self, context: FileContext, offset: int, length: int) -> bytes:
        """Up to *length* bytes from *offset*; fewer only at the end of the file."""
        buffer = bytearray(max(0, min(length, context.file_size - offset)))
        count = self.read_into(context, offset, memoryview(buffer))
        return bytes(buffer[:count])

    @as_one_operation
    def read_into(self, context: FileContext, offset: int, view: memoryview) -> int:
        """Copy from *offset* into *view*; return the octets copied, short only at the end.

        Raises:
            FsError: why the bytes can't be had.
        """
        return self._files.read_into(context, offset, view)

    def write(self, context: FileContext, offset: int, data: bytes | memoryview) -> int:
        """Put *data* at *offset*; return the octets taken (all of them).

        Raises:
            FsError: NO_SPACE (local disk), ACCESS_DENIED, BAD_HANDLE.
        """
        return self._files.write(context, offset, data)

    @as_one_operation
    def truncate(self, target: RemotePath | FileContext, size_bytes: int) -> None:
        """Cut to, or extend with zeros to, *size_bytes*.

        Raises:
            FsError: as `open` and `write`.
        """
        if isinstance(target, FileContext):
            self._files.truncate(target, size_bytes)
            return
        context = self._files.open(target, write=True, truncate=False)
        try:
            self._files.truncate(context, size_bytes)
        finally:
            self._files.close(context)

    @as_one_operation
    def flush(self, context: FileContext) -> None:
        """What was written survives a crash of this program when this returns.

        Raises:
            FsError: the journal can't be written.
        """
        self._files.flush(context)

    def fsync(self, context: FileContext) -> None:
        """Return when everything written so far is on the server, verified.

        Raises:
            FsError: why it is not; the bytes stay in the spool and are tried again.
        """
        self._files.fsync(context)

    @as_one_operation
    def close(self, context: FileContext) -> None:
        """Give the handle back; what was written goes on its way to the server."""
        self._files.close(context)

    # -- names -----------------------------------------------------------------------------------

    @as_one_operation
    def make_directory(self, path: RemotePath) -> None:
        """Make a directory. Raises FsError: EXISTS, PATH_NOT_FOUND, ACCESS_DENIED…."""
        require_name_length(path)
        self._namespace.make_directory(path)

    @as_one_operation
    def require_removable(self, path: RemotePath) -> None:
        """Find out whether *path* can be removed, for hosts that can't tell a refusal later.

        Raises:
            FsError: NOT_EMPTY by a listing of this moment, READ_ONLY, ACCESS_DENIED, NOT_FOUND.
        """
        self._namespace.require_removable(path)

    @as_one_operation
    def remove_directory(self, path: RemotePath) -> None:
        """Remove an empty directory. Raises FsError: NOT_EMPTY, NOT_FOUND…."""
        self._namespace.remove_directory(path)

    @as_one_operation
    def remove_file(self, path: RemotePath) -> None:
        """Delete a file; open handles go on working. Raises FsError: NOT_FOUND…."""
        self._namespace.remove_file(path)

    @as_one_operation
    def rename(self, old: RemotePath, new: RemotePath, *, replace: bool = True) -> None:
        """Give *old* the name *new*. Raises FsError: see `Namespace.rename`."""
        require_name_length(new)
        self._namespace.rename(old, new, replace=replace)

    @as_one_operation
    def set_times(self, path: RemotePath, modified_ns: int, accessed_ns: int | None = None) -> None:
        """Set the time of the last change; FTP has no time of access.

        On a server that can't set times the drive shows it until it is unmounted.

        Raises:
            FsError: NOT_FOUND.
        """
        del accessed_ns
        node = self._files.nodes.get(path)
        if node is not None and node.is_dirty and node.staged is not None:
            node.staged.set_modified(modified_ns)
            return
        entry = self._view.entry(path)
        if entry.kind is Kind.DIRECTORY:
            self._view.pin(path, entry.size_bytes or 0, entry.modified_ns, modified_ns)
            return
        if node is not None and node.staged is not None:
            node.staged.set_modified(modified_ns)
        self._files.times.send(path, modified_ns)

    def now_ns(self) -> int:
        """The drive's clock: nanoseconds since 1970 UTC."""
        return self._clock.now_ns()

    # -- the end ---------------------------------------------------------------------------------

    @contextmanager
    def nobody_waits(self) -> Iterator[None]:
        """While the host takes leave of programs: what they wait for has no more than a deadline.

        Without it an `fsync` waits for as long as its upload moves, and 30 seconds more. Uploads
        and what else is under way go on; a program that gave up is told TIMEOUT.
        """
        self._engine.impatient = True
        self._files.uploader.look_again()
        try:
            yield
        finally:
            self._engine.impatient = False

    def open_files(self) -> list[tuple[RemotePath, int]]:
        """Path and number of handles of every open file."""
        return [(node.path, node.handles) for node in self._files.nodes.all() if node.handles]

    def send_all(self) -> None:
        """Queue what open handles have written so far; used before the drive goes away."""
        for node in self._files.nodes.all():
            staged = node.staged
            if staged is not None and staged.state is StagedState.OPEN and not node.unlinked:
                try:
                    self._files.uploader.enqueue(staged)
                except OSError as error:
                    log.warning("%s: %s", node.path, error)

    def drain(self, timeout_s: float) -> list[StagedFile]:
        """Wait until every queued upload is on the server; return what is left."""
        return self._files.uploader.drain(timeout_s)

    def adopt(self, staged: StagedFile) -> None:
        """Take over a staged file that an earlier run left; see spool/recovery."""
        self._files.adopt_recovered(staged)

    def uploads(self) -> dict[str, object]:
        """For people: what is on its way, what fails, what is held."""
        uploader = self._files.uploader
        return {
            "pending": [staged.path for staged in uploader.pending()],
            "failing": [{"path": s.path, "reason": why} for s, why in uploader.failing()],
            "held": [{"path": s.path, "reason": s.reason} for s in uploader.held()],
        }


def require_name_length(path: RemotePath) -> None:
    """Refuse names that file systems and servers can't hold.

    Raises:
        FsError: NAME_TOO_LONG.
    """
    raw = path.encode("utf-8", "surrogateescape")
    if len(raw) > PATH_BYTES_MAX or len(raw.rpartition(b"/")[2]) > NAME_BYTES_MAX:
        raise FsError(FsStatus.NAME_TOO_LONG, f"a name of more than {NAME_BYTES_MAX} bytes")
