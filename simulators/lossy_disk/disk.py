"""The fault model: what is on a disk after the power went away.

Two states are kept: what programs see now, and what would be there after a cut.

- A file's content survives as it was at the last fsync or fdatasync *of that file*.
- A name survives as it was at the last fsync *of its directory*: making, renaming and removing are
  all undone, also for a file whose content was synced. (ext4 often does more; XFS and NTFS as well.
  A correct program does not rely on it.)
- What a surviving name shows of content that was never synced is up to the disk; `Unsynced` says
  which kind this one is. Real ones do each: XFS and ext4 show zeros or nothing (they allocate
  late), others a mixture of pages.

Not modelled: a torn write inside a page that was synced, a disk that lies about fsync, bad blocks.
"""

from __future__ import annotations

import errno
import random
import stat
from dataclasses import dataclass, field
from enum import Enum, unique

PAGE_BYTES = 4096
ROOT = 1


@unique
class Unsynced(Enum):
    """What a cut leaves of content that was written after the last sync of its file."""

    OLD = "old"  # the content of the last sync; empty when there was none
    ZEROS = "zeros"  # the new size, zeros in place of the new bytes
    MIXED = "mixed"  # page by page, new or old


@dataclass(slots=True)
class Inode:
    """A file or a directory."""

    number: int
    mode: int
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    names: dict[str, int] = field(default_factory=dict)
    synced_names: dict[str, int] = field(default_factory=dict)
    modified_ns: int = 0

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


Image = dict[int, Inode]


class Disk:
    """Inodes by number, now and after a cut. Not thread-safe: one lock around every call."""

    def __init__(self) -> None:
        self.inodes: Image = {ROOT: Inode(ROOT, stat.S_IFDIR | 0o700)}
        self._next = ROOT + 1

    # -- names -----------------------------------------------------------------------------

    def at(self, path: str) -> Inode:
        """The inode of *path*. Raises OSError: ENOENT, ENOTDIR."""
        inode = self.inodes[ROOT]
        for name in filter(None, path.split("/")):
            if not inode.is_directory:
                raise OSError(errno.ENOTDIR, path)
            if name not in inode.names:
                raise OSError(errno.ENOENT, path)
            inode = self.inodes[inode.names[name]]
        return inode

    def _parent(self, path: str) -> tuple[Inode, str]:
        above, _, name = path.rpartition("/")
        return self.at(above), name

    def make(self, path: str, mode: int, now_ns: int) -> Inode:
        """A new file or directory (as *mode* says)."""
        directory, name = self._parent(path)
        if name in directory.names:
            raise OSError(errno.EEXIST, path)
        inode = Inode(self._next, mode, modified_ns=now_ns)
        self._next += 1
        self.inodes[inode.number] = inode
        directory.names[name] = inode.number
        return inode

    def remove(self, path: str) -> None:
        """Take a name away; the inode stays for who has it open, and for a cut."""
        directory, name = self._parent(path)
        if name not in directory.names:
            raise OSError(errno.ENOENT, path)
        if self.at(path).names:
            raise OSError(errno.ENOTEMPTY, path)
        del directory.names[name]

    def rename(self, old: str, new: str) -> None:
        """Give *old* the name *new*; a file there is replaced."""
        source, name = self._parent(old)
        if name not in source.names:
            raise OSError(errno.ENOENT, old)
        target, new_name = self._parent(new)
        number = source.names.pop(name)
        target.names[new_name] = number

    # -- content -----------------------------------------------------------------------------

    @staticmethod
    def write(inode: Inode, data: bytes, offset: int, now_ns: int) -> int:
        """Put *data* at *offset*."""
        if len(inode.data) < offset:
            inode.data.extend(bytes(offset - len(inode.data)))
        inode.data[offset : offset + len(data)] = data
        inode.modified_ns = now_ns
        return len(data)

    @staticmethod
    def truncate(inode: Inode, size: int, now_ns: int) -> None:
        """Cut to, or extend with zeros to, *size*."""
        del inode.data[size:]
        inode.data.extend(bytes(size - len(inode.data)))
        inode.modified_ns = now_ns

    @staticmethod
    def sync(inode: Inode) -> None:
        """What fsync makes survive."""
        if inode.is_directory:
            inode.synced_names = dict(inode.names)
        else:
            inode.synced = bytes(inode.data)

    # -- the cut -----------------------------------------------------------------------------

    def survivors(self, unsynced: Unsynced, seed: int) -> Image:
        """What a cut at this moment leaves; nothing is changed."""
        dice = random.Random(seed)  # a simulation
        image: Image = {}
        wanted = [ROOT]
        while wanted:
            inode = self.inodes[wanted.pop()]
            if inode.number in image:
                continue
            if inode.is_directory:
                names = dict(inode.synced_names)
                image[inode.number] = Inode(
                    inode.number, inode.mode, names=names, synced_names=dict(names)
                )
                wanted += sorted(names.values())
            else:
                content = self._after_cut(inode, unsynced, dice)
                image[inode.number] = Inode(inode.number, inode.mode, bytearray(content), content)
        return image

    def become(self, image: Image) -> None:
        """Power is back: nothing is there but *image*."""
        self.inodes = image

    @staticmethod
    def _after_cut(inode: Inode, unsynced: Unsynced, dice: random.Random) -> bytes:
        if unsynced is Unsynced.OLD or inode.synced == inode.data:
            return inode.synced
        new, old = bytes(inode.data), inode.synced
        if unsynced is Unsynced.ZEROS:
            return old[: len(new)].ljust(len(new), b"\0")
        pages = []
        for start in range(0, max(len(new), len(old)), PAGE_BYTES):
            chosen = new if dice.random() < 0.5 else old
            pages.append(chosen[start : start + PAGE_BYTES].ljust(PAGE_BYTES, b"\0"))
        return b"".join(pages)[: dice.choice((len(new), len(old)))]
