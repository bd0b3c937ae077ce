"""Files that are open or on their way to the server, and the handles that programs hold."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from io import BytesIO
from typing import NamedTuple

from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, is_below, name_of, parent, rebase
from pyftpdrive.cache.blocks import BlockFile
from pyftpdrive.spool.staging import StagedFile
from pyftpdrive.spool.states import StagedState

ATTRIBUTE_DIRECTORY = 0x10
ATTRIBUTE_NORMAL = 0x80


class FileStat(NamedTuple):
    """What a program learns about a name."""

    kind: Kind
    size_bytes: int
    modified_ns: int  # Unix time in nanoseconds, UTC
    accessed_ns: int
    mode: int | None  # Unix permission bits when the server told them
    inode: int  # stable for a path across mounts
    read_only: bool = False  # the server says that this login may not change it


class DirectoryEntry(NamedTuple):
    """One line of a directory as programs see it."""

    name: str
    stat: FileStat

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return self.stat.kind is Kind.DIRECTORY

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stat.size_bytes

    @property
    def creation_time(self) -> datetime:
        """FTP has none: the time of the last change."""
        return self.last_write_time

    @property
    def last_write_time(self) -> datetime:
        """When the content changed."""
        return datetime.fromtimestamp(self.stat.modified_ns / 1e9, UTC)

    @property
    def attributes(self) -> int:
        """Windows file attributes."""
        return ATTRIBUTE_DIRECTORY if self.is_directory else ATTRIBUTE_NORMAL


def inode_of(path: RemotePath) -> int:
    """A number for *path* that is the same in every mount (63 bits, never 0)."""
    digest = blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 1) | 1


class FileNode:
    """One file while it is open or not wholly on the server.

    Locking: `lock` (rank 10) guards every field. It is held during local disk I/O of this file,
    never during network I/O.
    """

    __slots__ = ("content", "entry", "handles", "lock", "path", "staged", "unlinked", "writers")

    def __init__(self, path: RemotePath, entry: RemoteEntry | None) -> None:
        self.path = path
        self.entry = entry  # the version on the server; None: there is none
        self.staged: StagedFile | None = None
        self.content: BlockFile | None = None
        self.handles = 0
        self.writers = 0
        self.unlinked = False
        self.lock = threading.RLock()

    @property
    def is_new(self) -> bool:
        """True when the server has no version of it."""
        return self.entry is None

    @property
    def is_dirty(self) -> bool:
        """True when the server lacks what programs see."""
        staged = self.staged
        return staged is not None and staged.state is not StagedState.DONE

    def size_bytes(self) -> int:
        """As programs see it."""
        staged = self.staged
        if staged is not None:
            return staged.size_bytes
        return (self.entry.size_bytes or 0) if self.entry else 0


@dataclass(slots=True, eq=False)
class FileContext:
    """One open handle. `path` follows renames."""

    node: FileNode
    writable: bool
    pid: int | None = None  # the program that opened it, where the host knows
    closed: bool = False
    buffer: BytesIO | None = None  # written bytes go to the staged file, never here

    @property
    def path(self) -> RemotePath:
        """Full path on the server."""
        return self.node.path

    @property
    def is_directory(self) -> bool:
        """Handles are of files only; hosts keep directories by path."""
        return False

    @property
    def file_size(self) -> int:
        """Bytes."""
        return self.node.size_bytes()

    @property
    def last_write_time(self) -> datetime:
        """When the content changed."""
        staged, entry = self.node.staged, self.node.entry
        modified = staged.modified_ns if staged else (entry.modified_ns if entry else None)
        return datetime.fromtimestamp((modified or 0) / 1e9, UTC)

    @property
    def creation_time(self) -> datetime:
        """FTP has none: the time of the last change."""
        return self.last_write_time

    @property
    def last_access_time(self) -> datetime:
        """FTP has none: the time of the last change."""
        return self.last_write_time

    @property
    def attributes(self) -> int:
        """Windows file attributes."""
        return ATTRIBUTE_NORMAL

    @property
    def dirty(self) -> bool:
        """True when the server lacks what was written."""
        return self.node.is_dirty


class NodeTable:
    """All nodes by path.

    Locking: `lock` (rank 5) guards the maps and every node's place in them; taken before a
    node's lock, and never held during I/O.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._nodes: dict[RemotePath, FileNode] = {}
        self._by_directory: dict[RemotePath, dict[str, FileNode]] = {}

    def get(self, path: RemotePath) -> FileNode | None:
        """The node of *path*, if it has one."""
        return self._nodes.get(path)

    def put_locked(self, node: FileNode) -> None:
        """Enter *node* under its path."""
        self._nodes[node.path] = node
        self._by_directory.setdefault(parent(node.path), {})[name_of(node.path)] = node

    def remove_locked(self, node: FileNode) -> None:
        """Take *node* out, if it still is what its path stands for."""
        if self._nodes.get(node.path) is not node:
            return
        del self._nodes[node.path]
        siblings = self._by_directory[parent(node.path)]
        del siblings[name_of(node.path)]
        if not siblings:
            del self._by_directory[parent(node.path)]

    def move_locked(self, node: FileNode, path: RemotePath) -> None:
        """*node* is called *path* now; whoever was called so before is replaced."""
        self.remove_locked(node)
        replaced = self._nodes.get(path)
        if replaced is not None:
            self.remove_locked(replaced)
        node.path = path
        self.put_locked(node)

    def in_directory(self, directory: RemotePath) -> list[tuple[str, FileNode]]:
        """Names and nodes directly in *directory*."""
        children = self._by_directory.get(directory)
        if not children:
            return []
        with self.lock:
            return list(children.items())

    def below(self, directory: RemotePath) -> list[FileNode]:
        """Nodes anywhere below *directory*."""
        with self.lock:
            return [node for path, node in self._nodes.items() if is_below(path, directory)]

    def rebase(self, old: RemotePath, new: RemotePath) -> list[FileNode]:
        """The directory *old* is called *new*: move the nodes below it; return them."""
        with self.lock:
            moved = [node for path, node in self._nodes.items() if is_below(path, old)]
            for node in moved:
                self.move_locked(node, rebase(node.path, old, new))
        return moved

    def all(self) -> list[FileNode]:
        """Every node."""
        with self.lock:
            return list(self._nodes.values())


def require_open(context: FileContext) -> FileNode:
    """The node of a handle that is still open.

    Raises:
        FsError: BAD_HANDLE.
    """
    if context.closed:
        raise FsError(FsStatus.BAD_HANDLE, "the handle was closed")
    return context.node
