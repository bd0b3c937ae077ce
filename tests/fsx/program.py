"""A program that does random things to files of a mount, and compares each answer with the model.

Everything is decided by the seed. While the server has faults a call may fail as on a bad network;
then the program looks what happened, as a user would, and goes on. A wrong byte is never excused.

Excused is `fstat` of a file that was deleted while it is open: the kernel asks for its attributes
without the handle, and libfuse, which knows files by their names, answers ESTALE by itself.
"""

from __future__ import annotations

import errno
import mmap
import os
import random
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from tests.fsx.model import File, Handle, Model, Wrong, compare

NAMES = ("a", "b.bin", "c.txt", "d/e", "d/f g.txt", "d/h")
FILE_MAX = 2 << 20
PIECE_MAX = 256 << 10
HANDLES_MAX = 6
STORY_MAX = 60
NETWORK = {
    errno.EIO,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ENETUNREACH,
    errno.EBUSY,
    errno.ENOSPC,
}
"""What a call may say while the server has faults."""


class Program:
    """Random operations on the files under *at*, which has the directory `d`."""

    def __init__(self, at: Path, seed: int, server_file: Callable[[str], Path]) -> None:
        """*server_file*: where the server keeps the file of a name."""
        self.model = Model()
        self.story: deque[str] = deque(maxlen=STORY_MAX)
        self.figures: Counter[str] = Counter()
        self.faulty = False  # the server has faults at the moment
        self._at = at
        self._server_file = server_file
        self._dice = random.Random(seed)
        self._noise = self._dice.randbytes(1 << 20)
        self._weighted: list[tuple[Callable[[], None], int]] = [
            (self.open, 14),
            (self.close, 8),
            (self.read, 20),
            (self.write, 18),
            (self.append, 4),
            (self.ftruncate, 6),
            (self.truncate, 4),
            (self.map_read, 4),
            (self.map_write, 4),
            (self.fsync, 2),
            (self.allocate, 2),
            (self.rename, 4),
            (self.unlink, 3),
            (self.look, 8),
            (self.list, 2),
            (self.reread, 3),
        ]

    def step(self) -> None:
        """One operation.

        Raises:
            Wrong: the drive is no file system.
        """
        operations, weights = zip(*self._weighted, strict=True)
        self.figures["operations"] += 1
        self._dice.choices(operations, weights)[0]()

    def close_all(self) -> None:
        """Close every handle."""
        while self.model.handles:
            self._close(self.model.handles[-1])

    # -- choosing ------------------------------------------------------------------------------

    def _tell(self, text: str) -> None:
        self.story.append(f"{self.figures['operations']}: {text}")

    def _path(self, name: str) -> str:
        return f"{self._at}/{name}"

    def _size(self, most: int) -> int:
        """A number of bytes: mostly small or page-sized, sometimes large."""
        kind = self._dice.random()
        if kind < 0.35:
            return min(most, self._dice.randint(0, 5000))
        if kind < 0.5:
            return min(most, 4096 * self._dice.randint(0, 16))
        return self._dice.randint(0, most)

    def _place(self, size: int) -> int:
        """An offset in a file of *size*, also at and behind its end."""
        kind = self._dice.random()
        if kind < 0.15:
            return size
        if kind < 0.25:
            return min(FILE_MAX - PIECE_MAX, size + self._size(100_000))
        if kind < 0.45:
            return self._dice.randint(0, size) // 4096 * 4096
        return self._dice.randint(0, size)

    def _data(self, length: int) -> bytes:
        start = self._dice.randint(0, len(self._noise) - length)
        return self._noise[start : start + length]

    def _handle(self, *, reads: bool = False, writes: bool = False) -> Handle | None:
        fitting = [
            one
            for one in self.model.handles
            if (one.reads or not reads) and (one.writes or not writes)
        ]
        return self._dice.choice(fitting) if fitting else None

    def _name(self) -> str | None:
        """One that is there."""
        return self._dice.choice(sorted(self.model.names)) if self.model.names else None

    def _called(self, handle: Handle) -> str:
        return f"fd {handle.fd} ({self.model.name_of(handle.file) or 'deleted'})"

    # -- what may fail -------------------------------------------------------------------------

    def _tolerated(self, error: OSError) -> bool:
        """Whether the call may fail so; the caller finds out what happened."""
        if not self.faulty or error.errno not in NETWORK:
            return False
        self.figures["failed calls"] += 1
        self._tell(f"  failed: {error}")
        return True

    # -- handles -------------------------------------------------------------------------------

    def open(self) -> None:
        """With any flags, on any name."""
        if len(self.model.handles) >= HANDLES_MAX:
            self.close()
            return
        name = self._dice.choice(NAMES)
        access = self._dice.choice((os.O_RDWR, os.O_RDWR, os.O_RDWR, os.O_WRONLY, os.O_RDONLY))
        flags = access
        for flag, chance in (
            (os.O_CREAT, 0.7),
            (os.O_EXCL, 0.1),
            (os.O_TRUNC, 0.12 if access != os.O_RDONLY else 0),
            (os.O_APPEND, 0.15),
        ):
            if self._dice.random() < chance:
                flags |= flag
        if flags & os.O_EXCL and not flags & os.O_CREAT:
            flags &= ~os.O_EXCL  # undefined
        there = name in self.model.names
        expected = None
        if not there and not flags & os.O_CREAT:
            expected = errno.ENOENT
        elif there and flags & os.O_EXCL:
            expected = errno.EEXIST
        self._tell(f"open {name} {_flags(flags)}")
        try:
            fd = os.open(self._path(name), flags, 0o644)
        except OSError as error:
            if error.errno == expected:
                return
            if self._tolerated(error):
                self._after_failed_open(name)
                return
            raise Wrong(f"open {name} {_flags(flags)}: {error}") from error
        if expected is not None:
            os.close(fd)
            raise Wrong(
                f"open {name} {_flags(flags)}: not refused with {errno.errorcode[expected]}"
            )
        file = self.model.names.setdefault(name, File())
        if flags & os.O_TRUNC:
            file.truncate(0)
        self._tell(f"  is fd {fd}")
        self.model.handles.append(
            Handle(
                fd,
                file,
                reads=access != os.O_WRONLY,
                writes=access != os.O_RDONLY,
                appends=bool(flags & os.O_APPEND),
            )
        )

    def _after_failed_open(self, name: str) -> None:
        """It may have been made, or cut, before it failed."""
        there = self._exists(name)
        if there and name not in self.model.names:
            self.model.names[name] = File()
        elif there:
            size = self._sure(lambda: os.stat(self._path(name)).st_size)
            if size == 0:
                self.model.names[name].truncate(0)

    def _exists(self, name: str) -> bool:
        def look() -> bool:
            try:
                os.stat(self._path(name))
            except FileNotFoundError:
                return False
            return True

        return bool(self._sure(look))

    def _sure(self, call: Callable[[], int]) -> int:
        """Call until the network lets it through."""
        for _ in range(20):
            try:
                return call()
            except FileNotFoundError:
                raise
            except OSError as error:
                if not self._tolerated(error):
                    raise
        raise Wrong("twenty failures in a row")

    def close(self) -> None:
        """One of the handles."""
        if self.model.handles:
            self._close(self._dice.choice(self.model.handles))

    def _close(self, handle: Handle) -> None:
        self._tell(f"close {self._called(handle)}")
        self.model.handles.remove(handle)
        os.close(handle.fd)

    # -- content -------------------------------------------------------------------------------

    def read(self) -> None:
        """A piece, compared."""
        handle = self._handle(reads=True)
        if handle is None:
            return
        right = handle.file.content
        offset, length = self._place(len(right)), self._size(PIECE_MAX)
        self._tell(f"read {length} at {offset} of {self._called(handle)}, {len(right)} bytes")
        try:
            found = os.pread(handle.fd, length, offset)
        except OSError as error:
            if self._tolerated(error):
                return
            raise Wrong(f"read: {error}") from error
        self.figures["bytes read"] += len(found)
        compare(f"read at {offset}", found, memoryview(right)[offset : offset + length])

    def write(self) -> None:
        """A piece; an appending handle puts it at the end, whatever the offset says."""
        handle = self._handle(writes=True)
        if handle is None:
            return
        size = len(handle.file.content)
        offset = size if handle.appends else self._place(size)
        data = self._data(min(self._size(PIECE_MAX), max(0, FILE_MAX - offset)))
        self._tell(f"write {len(data)} at {offset} of {self._called(handle)}, {size} bytes")
        done = 0
        while done < len(data):
            done += os.pwrite(handle.fd, data[done:], offset + done)
        handle.file.write(offset, data)
        self.figures["bytes written"] += len(data)

    def append(self) -> None:
        """Open for appending, write, close."""
        name = self._name()
        if name is None:
            return
        file = self.model.names[name]
        data = self._data(min(self._size(20_000), FILE_MAX - len(file.content)))
        self._tell(f"append {len(data)} to {name}, {len(file.content)} bytes")
        try:
            fd = os.open(self._path(name), os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            if self._tolerated(error):
                return
            raise Wrong(f"append to {name}: {error}") from error
        try:
            if data:
                assert os.write(fd, data) == len(data)
        finally:
            os.close(fd)
        file.write(len(file.content), data)

    def ftruncate(self) -> None:
        """Through a handle."""
        handle = self._handle(writes=True)
        if handle is None:
            return
        size = self._new_size(handle.file)
        self._tell(f"ftruncate {self._called(handle)} from {len(handle.file.content)} to {size}")
        os.ftruncate(handle.fd, size)
        handle.file.truncate(size)

    def truncate(self) -> None:
        """By name."""
        name = self._name()
        if name is None:
            return
        file = self.model.names[name]
        size = self._new_size(file)
        self._tell(f"truncate {name} from {len(file.content)} to {size}")
        try:
            os.truncate(self._path(name), size)
        except OSError as error:
            if not self._tolerated(error):
                raise Wrong(f"truncate {name}: {error}") from error
            if self._sure(lambda: os.stat(self._path(name)).st_size) != size:
                return
        file.truncate(size)

    def _new_size(self, file: File) -> int:
        kind = self._dice.random()
        if kind < 0.1:
            return 0
        if kind < 0.6:
            return self._dice.randint(0, len(file.content))
        return min(FILE_MAX, len(file.content) + self._size(300_000))

    def map_read(self) -> None:
        """Compare a part of a shared map."""
        handle = self._handle(reads=True)
        if handle is None or not handle.file.content or self.faulty:
            return  # a page that the network loses is SIGBUS
        right = handle.file.content
        offset, length = self._dice.randint(0, len(right)), self._size(PIECE_MAX)
        self._tell(f"map and read {length} at {offset} of {self._called(handle)}")
        with mmap.mmap(handle.fd, len(right), access=mmap.ACCESS_READ) as view:
            found = view[offset : offset + length]
        self.figures["maps read"] += 1
        compare(f"map at {offset}", found, memoryview(right)[offset : offset + length])

    def map_write(self) -> None:
        """Write through a shared map."""
        handle = self._handle(reads=True, writes=True)
        if handle is None or not handle.file.content or self.faulty:
            return
        file = handle.file
        offset = self._dice.randint(0, len(file.content) - 1)
        data = self._data(min(self._size(PIECE_MAX), len(file.content) - offset))
        self._tell(f"map and write {len(data)} at {offset} of {self._called(handle)}")
        with mmap.mmap(handle.fd, len(file.content)) as view:
            view[offset : offset + len(data)] = data
            view.flush()
        file.write(offset, data)
        self.figures["maps written"] += 1

    def fsync(self) -> None:
        """And look at the server: it must have these bytes under this name now."""
        handle = self._handle(writes=True)
        if handle is None:
            return
        self._tell(f"fsync {self._called(handle)}")
        try:
            os.fsync(handle.fd)
        except OSError as error:
            if self._tolerated(error):
                return
            raise Wrong(f"fsync: {error}") from error
        name = self.model.name_of(handle.file)
        if name is None:
            return
        self.figures["fsyncs"] += 1
        there = self._server_file(name)
        if not there.exists():
            raise Wrong(f"fsync of {name}: the server has no such file")
        compare(f"{name} on the server after fsync", there.read_bytes(), handle.file.content)

    def allocate(self) -> None:
        """Reserve room: zeros behind the end."""
        handle = self._handle(reads=True, writes=True)
        if handle is None or handle.appends or self.model.name_of(handle.file) is None:
            return  # the C library asks for the size of a deleted file: see the docstring
        size = len(handle.file.content)
        offset = self._place(size)
        length = 1 + self._size(min(100_000, FILE_MAX - offset - 1))
        self._tell(f"allocate {length} at {offset} of {self._called(handle)}, {size} bytes")
        try:
            os.posix_fallocate(handle.fd, offset, length)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL) and not self._tolerated(error):
                raise Wrong(f"fallocate: {error}") from error
            handle.file.truncate(self._sure(lambda: os.fstat(handle.fd).st_size))
            if not size <= len(handle.file.content) <= max(size, offset + length):
                raise Wrong(f"fallocate: {len(handle.file.content)} bytes") from error
            return
        handle.file.extend(offset + length)
        self.figures["allocations"] += 1

    # -- names -----------------------------------------------------------------------------------

    def rename(self) -> None:
        """Onto a free name or over a file."""
        old = self._name()
        if old is None:
            return
        new = self._dice.choice(NAMES)
        self._tell(f"rename {old} to {new}{' (there)' if new in self.model.names else ''}")
        try:
            os.rename(self._path(old), self._path(new))
        except OSError as error:
            if not self._tolerated(error):
                raise Wrong(f"rename {old} to {new}: {error}") from error
            if old == new or self._exists(old):
                return
        self.model.rename(old, new)

    def unlink(self) -> None:
        """Handles on it go on."""
        name = self._name()
        if name is None:
            return
        self._tell(f"unlink {name}")
        try:
            os.unlink(self._path(name))
        except OSError as error:
            if not self._tolerated(error):
                raise Wrong(f"unlink {name}: {error}") from error
            if self._exists(name):
                return
        del self.model.names[name]

    def look(self) -> None:
        """Sizes of a name and of a handle."""
        name = self._dice.choice(NAMES)
        right = self.model.names.get(name)
        self._tell(f"stat {name}")
        try:
            size = os.stat(self._path(name)).st_size
        except FileNotFoundError:
            if right is not None:
                raise Wrong(f"{name} is gone") from None
        except OSError as error:
            if not self._tolerated(error):
                raise
        else:
            if right is None:
                raise Wrong(f"{name} is there, {size} bytes")
            if size != len(right.content):
                raise Wrong(f"{name} has {size} bytes, not {len(right.content)}")
        handle = self._handle()
        if handle is not None:
            self._tell(f"fstat {self._called(handle)}")
            try:
                size = os.fstat(handle.fd).st_size
            except OSError as error:
                if error.errno == errno.ESTALE and self.model.name_of(handle.file) is None:
                    self.figures["fstat refused for a deleted file"] += 1  # see the docstring
                elif not self._tolerated(error):
                    raise
                return
            if size != len(handle.file.content):
                what = self._called(handle)
                raise Wrong(f"{what} has {size} bytes, not {len(handle.file.content)}")

    def list(self) -> None:
        """A directory's names."""
        directory = self._dice.choice(("", "d/"))
        self._tell(f"list /{directory}")
        try:
            names = sorted(os.listdir(self._path(directory)))
        except OSError as error:
            if self._tolerated(error):
                return
            raise
        right = {n.removeprefix(directory) for n in self.model.names if n.startswith(directory)}
        right = {n for n in right if "/" not in n} | (set() if directory else {"d"})
        if names != sorted(right):
            raise Wrong(f"/{directory} has {names}, not {sorted(right)}")

    def reread(self) -> None:
        """A whole file, by a new handle."""
        name = self._name()
        if name is not None:
            self._tell(f"read the whole of {name}")
            try:
                found = Path(self._path(name)).read_bytes()
            except OSError as error:
                if self._tolerated(error):
                    return
                raise Wrong(f"read {name}: {error}") from error
            self.figures["bytes read"] += len(found)
            compare(name, found, self.model.names[name].content)

    def check_all(self) -> None:
        """Every file, through the mount."""
        self._tell("read everything")
        for name, file in self.model.names.items():
            compare(name, Path(self._path(name)).read_bytes(), file.content)


def _flags(flags: int) -> str:
    access = {os.O_RDONLY: "RDONLY", os.O_WRONLY: "WRONLY", os.O_RDWR: "RDWR"}
    others = [n for n in ("CREAT", "EXCL", "TRUNC", "APPEND") if flags & getattr(os, f"O_{n}")]
    return "|".join([access[flags & os.O_ACCMODE], *others])
