"""Where the simulator's files are: a tree in memory, or a directory.

Paths are absolute, normal ("/a/b"), and hold octets that aren't UTF-8 as lone surrogates.
Failures are OSError with the errno that a Unix server would see.

Memory keeps a file as pages of 1 MiB. A page that is all zeros isn't kept, so a sparse file of
5 GiB costs nothing, also when a client uploads it.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat as stat_bits
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 1 << 20
_ZERO_PAGE = bytes(PAGE)
_LINKS_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the server knows of one name."""

    kind: str  # "file", "dir" or "link"
    size: int
    modified_ns: int
    mode: int  # permission bits
    target: str | None = None  # of a link


class Reader(Protocol):
    """An open file to read from; any thread, one at a time."""

    def read(self, offset: int, length: int) -> memoryview | bytes:
        """Up to *length* octets at *offset*; nothing at the end."""

    def close(self) -> None:
        """Let go of it."""


class Writer(Protocol):
    """An open file to write to."""

    def write(self, offset: int, data: memoryview) -> None:
        """Put *data* at *offset*."""

    def close(self, modified_ns: int) -> None:
        """Let go of it; the file was modified at that time."""


class Storage(Protocol):
    """What the commands need of a file system."""

    def stat(self, path: str, *, follow: bool = True) -> Entry:
        """The entry at *path*."""

    def list(self, path: str) -> list[tuple[str, Entry]]:
        """Names and entries of a directory, sorted by name; links aren't followed."""

    def read(self, path: str) -> Reader:
        """Open a file to read."""

    def write(self, path: str, *, truncate: bool) -> Writer:
        """Open a file to write, making it when it isn't there."""

    def make_directory(self, path: str) -> None:
        """Make one directory."""

    def remove_file(self, path: str) -> None:
        """Remove a file or link."""

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""

    def rename(self, old: str, new: str) -> None:
        """As rename(2): replaces a file, refuses a full directory."""

    def set_times(self, path: str, modified_ns: int) -> None:
        """Set the time of last modification."""

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""

    def used_bytes(self) -> int:
        """The sum of all file sizes."""


def failure(number: int, path: str) -> OSError:
    """The OSError (of the right subclass) for an errno."""
    return OSError(number, os.strerror(number), path)


def join(directory: str, name: str) -> str:
    """*name* below *directory*."""
    return f"{directory.rstrip('/')}/{name}"


def parent_of(path: str) -> str:
    """The directory that holds *path*."""
    return path.rpartition("/")[0] or "/"


class _Pages:
    """Octets in pages; a missing page is zeros."""

    def __init__(self) -> None:
        self.size = 0
        self._pages: dict[int, bytearray] = {}

    def read(self, offset: int, length: int) -> memoryview:
        page, start = divmod(offset, PAGE)
        end = min(start + length, PAGE, start + self.size - offset)
        return memoryview(self._pages.get(page, _ZERO_PAGE))[start : max(start, end)]

    def write(self, offset: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            page, start = divmod(offset + done, PAGE)
            part = data[done : done + PAGE - start]
            kept = self._pages.get(page)
            if kept is None:
                if not part[0] and not part[-1] and not any(bytes(part).strip(b"\0")):
                    done += len(part)
                    continue
                kept = self._pages[page] = bytearray(PAGE)
            kept[start : start + len(part)] = part
            if start + len(part) == PAGE and kept == _ZERO_PAGE:
                del self._pages[page]
            done += len(part)
        self.size = max(self.size, offset + len(data))

    def truncate(self, size: int) -> None:
        last, start = divmod(size, PAGE)
        for page in [page for page in self._pages if page > last or (page == last and not start)]:
            del self._pages[page]
        if size < self.size and last in self._pages:
            self._pages[last][start:] = _ZERO_PAGE[start:]
        self.size = size

    def all(self) -> bytes:
        parts: list[memoryview] = []
        offset = 0
        while offset < self.size:
            parts.append(self.read(offset, PAGE))
            offset += len(parts[-1])
        return b"".join(parts)


@dataclass(slots=True)
class _Node:
    kind: str
    modified_ns: int
    mode: int
    children: dict[str, _Node] = field(default_factory=dict)
    pages: _Pages = field(default_factory=_Pages)
    target: str | None = None

    def entry(self) -> Entry:
        size = self.pages.size if self.kind == "file" else len(self.target or "")
        if self.kind == "dir":
            size = 4096
        return Entry(
            kind=self.kind,
            size=size,
            modified_ns=self.modified_ns,
            mode=self.mode,
            target=self.target,
        )


class _MemoryFile:
    """Reader and writer of one file in memory."""

    def __init__(self, node: _Node, lock: threading.RLock) -> None:
        self._node = node
        self._pages = node.pages  # kept when another session truncates the file
        self._lock = lock

    def read(self, offset: int, length: int) -> memoryview:
        with self._lock:
            return self._pages.read(offset, length)

    def write(self, offset: int, data: memoryview) -> None:
        with self._lock:
            self._pages.write(offset, data)

    def close(self, modified_ns: int | None = None) -> None:
        if modified_ns is not None:
            self._node.modified_ns = modified_ns


class MemoryStorage:
    """A tree in memory.

    Locking: `_lock` guards the tree and the pages; nothing is called under it that waits.
    """

    def __init__(self, *, ignore_case: bool = False) -> None:
        self._lock = threading.RLock()
        self._ignore_case = ignore_case
        self._root = _Node("dir", time.time_ns(), 0o755)

    def _child(self, node: _Node, name: str) -> tuple[str, _Node] | None:
        """The child called *name* with the name that it is stored under."""
        found = node.children.get(name)
        if found is not None:
            return name, found
        if self._ignore_case:
            folded = name.casefold()
            for stored, child in node.children.items():
                if stored.casefold() == folded:
                    return stored, child
        return None

    def _find(self, path: str, *, follow: bool = True, links: int = 0) -> _Node:
        if links > _LINKS_MAX:
            raise failure(errno.ELOOP, path)
        node = self._root
        parts = [part for part in path.split("/") if part]
        for index, part in enumerate(parts):
            if node.kind != "dir":
                raise failure(errno.ENOTDIR, path)
            found = self._child(node, part)
            if found is None:
                raise failure(errno.ENOENT, path)
            node = found[1]
            if node.kind == "link" and (follow or index < len(parts) - 1):
                base = "/" + "/".join(parts[:index])
                target = posixpath.normpath(posixpath.join(base, node.target or ""))
                rest = "/".join(parts[index + 1 :])
                whole = join(target, rest) if rest else target
                return self._find(whole, follow=follow, links=links + 1)
        return node

    def _slot(self, path: str) -> tuple[_Node, str, _Node | None]:
        """The directory that holds *path*, the name there, and what has it now."""
        if path == "/":
            raise failure(errno.EBUSY, path)
        parent = self._find(parent_of(path))
        if parent.kind != "dir":
            raise failure(errno.ENOTDIR, path)
        name = path.rpartition("/")[2]
        found = self._child(parent, name)
        return (parent, name, None) if found is None else (parent, *found)

    def stat(self, path: str, *, follow: bool = True) -> Entry:
        """The entry at *path*."""
        with self._lock:
            return self._find(path, follow=follow).entry()

    def list(self, path: str) -> list[tuple[str, Entry]]:
        """Names and entries of a directory, sorted by name."""
        with self._lock:
            node = self._find(path)
            if node.kind != "dir":
                raise failure(errno.ENOTDIR, path)
            return [(name, node.children[name].entry()) for name in sorted(node.children)]

    def read(self, path: str) -> Reader:
        """Open a file to read."""
        with self._lock:
            node = self._find(path)
            if node.kind != "file":
                raise failure(errno.EISDIR, path)
            return _MemoryFile(node, self._lock)

    def write(self, path: str, *, truncate: bool) -> Writer:
        """Open a file to write, making it when it isn't there."""
        with self._lock:
            parent, name, node = self._slot(path)
            if node is not None and node.kind == "link":
                node = self._find(path)
            if node is None:
                node = parent.children[name] = _Node("file", time.time_ns(), 0o644)
                parent.modified_ns = time.time_ns()
            if node.kind != "file":
                raise failure(errno.EISDIR, path)
            if truncate:
                # A reader that is under way keeps the old bytes, as after unlink: a page that
                # it holds is never changed under it.
                node.pages = _Pages()
            return _MemoryFile(node, self._lock)

    def make_directory(self, path: str) -> None:
        """Make one directory."""
        with self._lock:
            if path == "/":
                raise failure(errno.EEXIST, path)
            parent, name, node = self._slot(path)
            if node is not None:
                raise failure(errno.EEXIST, path)
            parent.children[name] = _Node("dir", time.time_ns(), 0o755)
            parent.modified_ns = time.time_ns()

    def remove_file(self, path: str) -> None:
        """Remove a file or link."""
        with self._lock:
            parent, name, node = self._slot(path)
            if node is None:
                raise failure(errno.ENOENT, path)
            if node.kind == "dir":
                raise failure(errno.EISDIR, path)
            del parent.children[name]
            parent.modified_ns = time.time_ns()

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        with self._lock:
            parent, name, node = self._slot(path)
            if node is None:
                raise failure(errno.ENOENT, path)
            if node.kind != "dir":
                raise failure(errno.ENOTDIR, path)
            if node.children:
                raise failure(errno.ENOTEMPTY, path)
            del parent.children[name]
            parent.modified_ns = time.time_ns()

    def rename(self, old: str, new: str) -> None:
        """As rename(2): replaces a file, refuses a full directory."""
        with self._lock:
            source, old_name, node = self._slot(old)
            if node is None:
                raise failure(errno.ENOENT, old)
            target, new_name, there = self._slot(new)
            if there is node:
                if old_name != new.rpartition("/")[2] and source is target:
                    source.children[new.rpartition("/")[2]] = source.children.pop(old_name)
                return
            if new.startswith(join(old, "")):
                raise failure(errno.EINVAL, new)
            if there is not None:
                if there.kind == "dir" and node.kind != "dir":
                    raise failure(errno.EISDIR, new)
                if there.kind != "dir" and node.kind == "dir":
                    raise failure(errno.ENOTDIR, new)
                if there.children:
                    raise failure(errno.ENOTEMPTY, new)
            target.children.pop(new_name, None)
            target.children[new.rpartition("/")[2]] = source.children.pop(old_name)
            source.modified_ns = target.modified_ns = time.time_ns()

    def set_times(self, path: str, modified_ns: int) -> None:
        """Set the time of last modification."""
        with self._lock:
            self._find(path).modified_ns = modified_ns

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        with self._lock:
            self._find(path).mode = mode

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        with self._lock:
            parent, name, node = self._slot(path)
            if node is not None:
                raise failure(errno.EEXIST, path)
            parent.children[name] = _Node("link", time.time_ns(), 0o777, target=target)

    def used_bytes(self) -> int:
        """The sum of all file sizes."""
        with self._lock:
            todo, total = [self._root], 0
            while todo:
                node = todo.pop()
                total += node.pages.size
                todo.extend(node.children.values())
            return total

    def content(self, path: str) -> bytes:
        """The whole of one file."""
        with self._lock:
            node = self._find(path)
            if node.kind != "file":
                raise failure(errno.EISDIR, path)
            return node.pages.all()

    def set_size(self, path: str, size: int) -> None:
        """Cut or stretch a file (with zeros, at no cost)."""
        with self._lock:
            self.write(path, truncate=False)
            self._find(path).pages.truncate(size)


class _DirectoryFile:
    """Reader and writer of one file below a real directory."""

    def __init__(self, path: str, flags: int) -> None:
        self._path = path
        self._fd = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o644)

    def read(self, offset: int, length: int) -> bytes:
        os.lseek(self._fd, offset, os.SEEK_SET)  # one transfer, one thread
        return os.read(self._fd, length)

    def write(self, offset: int, data: memoryview) -> None:
        os.lseek(self._fd, offset, os.SEEK_SET)
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self, modified_ns: int | None = None) -> None:
        if self._fd >= 0:
            if modified_ns is not None and os.utime in os.supports_fd:
                os.utime(self._fd, ns=(modified_ns, modified_ns))
            os.close(self._fd)
            if modified_ns is not None and os.utime not in os.supports_fd:  # Windows
                os.utime(self._path, ns=(modified_ns, modified_ns))
        self._fd = -1


class DirectoryStorage:
    """The tree below a directory; nothing outside it can be reached, also not over a link."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        if not os.path.isdir(self._root):
            raise failure(errno.ENOTDIR, str(root))

    def _real(self, path: str, *, follow: bool = True) -> str:
        real = self._root + path.rstrip("/")
        parent = os.path.realpath(
            real if follow else os.path.dirname(real) if path != "/" else real
        )
        if parent != self._root and not parent.startswith(os.path.join(self._root, "")):
            raise failure(errno.EACCES, path)
        return real or "/"

    def _entry(self, real: str, found: os.stat_result) -> Entry:
        kind = "file"
        if stat_bits.S_ISDIR(found.st_mode):
            kind = "dir"
        elif stat_bits.S_ISLNK(found.st_mode):
            kind = "link"
        return Entry(
            kind=kind,
            size=found.st_size,
            modified_ns=found.st_mtime_ns,
            mode=stat_bits.S_IMODE(found.st_mode),
            target=os.readlink(real) if kind == "link" else None,
        )

    def stat(self, path: str, *, follow: bool = True) -> Entry:
        """The entry at *path*."""
        real = self._real(path, follow=follow)
        return self._entry(real, os.stat(real, follow_symlinks=follow))

    def list(self, path: str) -> list[tuple[str, Entry]]:
        """Names and entries of a directory, sorted by name."""
        with os.scandir(self._real(path)) as names:
            found = [
                (name.name, self._entry(name.path, name.stat(follow_symlinks=False)))
                for name in names
            ]
        return sorted(found, key=lambda item: item[0])

    def read(self, path: str) -> Reader:
        """Open a file to read."""
        real = self._real(path)
        if not stat_bits.S_ISREG(os.stat(real).st_mode):
            raise failure(errno.EISDIR, path)
        return _DirectoryFile(real, os.O_RDONLY)

    def write(self, path: str, *, truncate: bool) -> Writer:
        """Open a file to write, making it when it isn't there."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if truncate else 0)
        return _DirectoryFile(self._real(path), flags)

    def make_directory(self, path: str) -> None:
        """Make one directory."""
        os.mkdir(self._real(path))

    def remove_file(self, path: str) -> None:
        """Remove a file or link."""
        os.unlink(self._real(path, follow=False))

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(self._real(path, follow=False))

    def rename(self, old: str, new: str) -> None:
        """As rename(2)."""
        os.replace(self._real(old, follow=False), self._real(new, follow=False))

    def set_times(self, path: str, modified_ns: int) -> None:
        """Set the time of last modification."""
        os.utime(self._real(path), ns=(modified_ns, modified_ns))

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        os.chmod(self._real(path), mode)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        os.symlink(target, self._real(path, follow=False))

    def used_bytes(self) -> int:
        """The sum of all file sizes."""
        total = 0
        for folder, _folders, files in os.walk(self._root):
            total += sum(os.lstat(os.path.join(folder, name)).st_size for name in files)
        return total

    def content(self, path: str) -> bytes:
        """The whole of one file."""
        with open(self._real(path), "rb") as file:
            return file.read()

    def set_size(self, path: str, size: int) -> None:
        """Cut or stretch a file (with zeros, at no cost)."""
        self.write(path, truncate=False).close(time.time_ns())
        os.truncate(self._real(path), size)
