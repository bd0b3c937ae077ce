"""The drive as a FUSE mount, through mfusepy and libfuse 3.

mfusepy wraps each callback; the hot ones (getattr, readdir, read, write) are overridden here so
that they touch libfuse's buffers directly. libfuse's loop runs in a thread of its own: the main
thread stays free for signals.

Callbacks only translate: path or handle in, `Filesystem`, errno out.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyftpdrive.base.errors import FsError, InvalidName, MountError, MountProblem
from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import NAME_BYTES_MAX, RemotePath, remote_path
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.core.nodes import FileContext, FileStat
from pyftpdrive.ftp.trace import SLOW_S
from pyftpdrive.hosts.fuse_errno import to_errno
from pyftpdrive.hosts.host import HostOptions

assert sys.platform != "win32"  # noqa: S101  # for mypy: Windows has hosts/winfsp

os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")  # mfusepy would take libfuse 2 first
try:
    import mfusepy
except OSError as missing:  # no libfuse on this machine
    raise MountError(
        MountProblem.HOST_MISSING,
        "libfuse 3 is not installed. Install it: apt-get install fuse3 (Debian, Ubuntu)",
    ) from missing

log = logging.getLogger(__name__)

START_S = 10.0
FILL_DIR_PLUS = 2  # enum fuse_fill_dir_flags
CAP_READDIRPLUS_AUTO = 1 << 14  # fuse_common.h
READDIR_PLUS = 1  # enum fuse_readdir_flags
RENAME_NOREPLACE = 1
UTIME_NOW = 0x3FFFFFFF
UTIME_OMIT = 0x3FFFFFFE
BLOCK_BYTES = 512
KEPT_MAX = 100_000
READ_AHEAD_KIB = 1024


@lru_cache(maxsize=256)
def _array_type(size: int) -> Any:
    return ctypes.c_ubyte * size


def _view(buffer: Any, size: int) -> memoryview:
    """A buffer of libfuse as a writable view, without a copy."""
    return memoryview(_array_type(size).from_address(ctypes.addressof(buffer.contents))).cast("B")


class _Operations(mfusepy.Operations):  # type: ignore[misc]  # mfusepy has no type information
    """Callbacks by name. Those that `_Fuse` overrides are here only to be registered."""

    use_ns = True

    def __init__(self, filesystem: Filesystem, options: HostOptions) -> None:
        self._filesystem = filesystem
        self._options = options
        self.ready = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self.handles: dict[int, FileContext] = {}
        self.directories: dict[int, RemotePath] = {}  # nullpath_ok: readdir gets no path
        self._kept: dict[str, tuple[int, int]] = {}  # path -> (size, time) of the kernel's pages
        self.uid, self.gid = os.getuid(), os.getgid()

    # -- lifecycle -------------------------------------------------------------------------

    def init_with_config(self, conn: Any, config: Any) -> None:
        config.use_ino = 1
        config.hard_remove = 1
        config.nullpath_ok = 1
        config.entry_timeout = config.attr_timeout = self._options.attribute_ttl_s
        config.negative_timeout = 0.0
        # Attributes with every piece of a listing: by itself the kernel asks for them with the
        # first piece only, and then once more for each name.
        conn.want &= ~CAP_READDIRPLUS_AUTO
        conn.max_background = 64
        conn.congestion_threshold = 48
        self.ready.set()

    # -- helpers ---------------------------------------------------------------------------

    def mode_of(self, found: FileStat) -> int:
        if found.kind is Kind.DIRECTORY:
            return stat.S_IFDIR | self._options.directory_mode
        executable = (found.mode or 0) & 0o111
        return stat.S_IFREG | self._options.file_mode | executable

    def fill(self, st: Any, found: FileStat) -> None:
        """Write *found* into a struct stat that is zeroed."""
        st.st_mode = self.mode_of(found)
        st.st_ino = found.inode
        st.st_nlink = 2 if found.kind is Kind.DIRECTORY else 1
        st.st_uid, st.st_gid = self.uid, self.gid
        size = found.size_bytes
        st.st_size = size
        st.st_blksize = 1 << 20
        st.st_blocks = (size + BLOCK_BYTES - 1) // BLOCK_BYTES
        seconds, nanoseconds = divmod(found.modified_ns, 1_000_000_000)
        for field in (st.st_mtimespec, st.st_ctimespec, st.st_atimespec):
            field.tv_sec, field.tv_nsec = seconds, nanoseconds

    def add(self, context: FileContext) -> int:
        with self._lock:
            self._next += 1
            self.handles[self._next] = context
            return self._next

    def remember(self, path: str, found: FileStat) -> bool:
        """True when the kernel's pages of *path* are of this version."""
        version = (found.size_bytes, found.modified_ns)
        same = self._kept.get(path) == version
        if len(self._kept) > KEPT_MAX:
            self._kept.clear()
        self._kept[path] = version
        return same

    def find(self, path: str | None, fi: Any) -> FileContext:
        context = self.handles.get(fi.fh)
        if context is None:
            raise OSError(errno.EBADF, f"unknown handle of {path}")
        return context

    # -- files -------------------------------------------------------------------------------

    def open(self, path: str, fi: Any) -> int:
        target = remote_path(path)
        write = fi.flags & os.O_ACCMODE != os.O_RDONLY
        context = self._filesystem.open(
            target, write=write, truncate=bool(write and fi.flags & os.O_TRUNC), pid=_caller()
        )
        fi.fh = self.add(context)
        if not write and hasattr(fi, "noflush"):
            fi.noflush = 1  # closing a file that was only read needs no call (libfuse 3.11)
        fi.keep_cache = int(self.remember(path, self._filesystem.stat_handle(context)))
        if not fi.keep_cache:
            _forget_attributes(path)  # else it is read up to the size of the version before
        return 0

    def create(self, path: str, mode: int, fi: Any) -> int:
        del mode
        context = self._filesystem.create(
            remote_path(path), exclusive=bool(fi.flags & os.O_EXCL), pid=_caller()
        )
        if fi.flags & os.O_TRUNC and context.file_size:
            self._filesystem.truncate(context, 0)
        fi.fh = self.add(context)
        return 0

    def flush(self, path: str | None, fi: Any) -> int:
        self._filesystem.flush(self.find(path, fi))
        return 0

    def release(self, path: str | None, fi: Any) -> int:
        with self._lock:
            context = self.handles.pop(fi.fh, None)
        if context is not None:
            if context.writable and not context.node.unlinked:
                self.remember(context.path, self._filesystem.stat_handle(context))
            self._filesystem.close(context)
        return 0

    def fsync(self, path: str | None, datasync: int, fi: Any) -> int:
        del datasync
        self._filesystem.fsync(self.find(path, fi))
        return 0

    # -- names -------------------------------------------------------------------------------

    def opendir(self, path: str) -> int:
        with self._lock:
            self._next += 1
            self.directories[self._next] = remote_path(path)
            return self._next

    def releasedir(self, path: str | None, fh: int) -> int:
        del path
        with self._lock:
            self.directories.pop(fh, None)
        return 0

    def unlink(self, path: str) -> int:
        self._kept.pop(path, None)
        self._filesystem.remove_file(remote_path(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        del mode
        self._filesystem.make_directory(remote_path(path))
        return 0

    def rmdir(self, path: str) -> int:
        self._filesystem.remove_directory(remote_path(path))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        return 0  # FTP has no permissions that would survive; documented

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0  # as chmod

    def statfs(self, path: str) -> dict[str, int]:
        space = self._filesystem.space()
        block = 4096
        return {
            "f_bsize": block,
            "f_frsize": block,
            "f_blocks": space.total_bytes // block,
            "f_bfree": space.free_bytes // block,
            "f_bavail": space.free_bytes // block,
            "f_namemax": 255,
        }

    # -- overridden in _Fuse; present so that libfuse gets the callback ------------------------

    def getattr(self, path: str, fh: Any = None) -> Any: ...
    def readdir(self, path: str, fh: Any) -> Any: ...
    def read(self, path: str, size: int, offset: int, fh: Any) -> Any: ...
    def write(self, path: str, data: bytes, offset: int, fh: Any) -> Any: ...
    def truncate(self, path: str, length: int, fh: Any = None) -> Any: ...
    def rename(self, old: str, new: str) -> Any: ...
    def utimens(self, path: str, times: Any = None) -> Any: ...


def _caller() -> int | None:
    pid: int = mfusepy.fuse_get_context()[2]
    return pid or None


def _forget_attributes(path: str) -> None:
    """Let the kernel ask for size and time of *path* again; called in a callback."""
    fuse = ctypes.c_void_p(mfusepy._libfuse.fuse_get_context().contents.fuse)
    mfusepy._libfuse.fuse_invalidate_path(fuse, path.encode("utf-8", "surrogateescape"))


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]  # mfusepy has no type information
    """mfusepy's wrapper with our errors and with the hot callbacks on libfuse's own buffers."""

    operations: _Operations

    def __init__(
        self, operations: _Operations, mountpoint: str, filesystem: Filesystem, **options: Any
    ) -> None:
        self._filesystem = filesystem
        self._clock = filesystem.recorder.clock
        super().__init__(operations, mountpoint, raw_fi=True, **options)

    def _wrapper(self, func: Callable[..., int | None], *args: Any) -> int:
        """The guard of every callback: no exception may reach C."""
        began = self._clock.monotonic()
        failure: Exception | None = None
        try:
            result = func(*args) or 0
        except FsError as error:
            failure, result = error, -to_errno(error.status)
        except InvalidName:
            result = -errno.EINVAL
        except OSError as error:
            result = -(error.errno or errno.EIO)
        except Exception as error:
            log.exception("a file system call failed unexpectedly")
            failure, result = error, -errno.EIO
        took_s = self._clock.monotonic() - began
        if failure is not None or took_s >= SLOW_S or log.isEnabledFor(logging.DEBUG):
            self._tell(func, args, began, took_s, result, failure)
        return result

    def _tell(
        self,
        func: Callable[..., int | None],
        args: tuple[Any, ...],
        began: float,
        took_s: float,
        result: int,
        failure: Exception | None,
    ) -> None:
        """Log a callback that was slow or failed (or, at DEBUG, any), and keep it for `why`."""
        name = getattr(func, "__name__", str(func)).removesuffix("_fuse_3")
        path = self._path_of(args)
        log.debug("%s %s: %d, %.1f ms, %s", name, path, result, took_s * 1000, failure or "ok")
        if name == "destroy" or (failure is None and took_s < SLOW_S):
            return
        if self._filesystem.recorder.ended(name, path, began, failure) and failure is not None:
            log.info("%s %s failed after %.3f s: %s", name, path, took_s, failure)

    def _path_of(self, args: tuple[Any, ...]) -> str:
        """What a callback was asked about, from its arguments; '' when they don't say."""
        if args and isinstance(args[0], bytes):
            return args[0].decode("utf-8", "surrogateescape")
        for pointer in args:
            if not pointer or not hasattr(pointer, "contents"):  # NULL has none to look at
                continue
            handle = getattr(pointer.contents, "fh", 0)
            context = self.operations.handles.get(handle)
            if context is not None:
                return str(context.path)
            if handle in self.operations.directories:
                return str(self.operations.directories.get(handle, ""))
        return ""

    def _path(self, raw: bytes) -> RemotePath:
        # The kernel sends clean absolute paths; only what FTP can't carry needs a look.
        if b"\n" in raw or b"\r" in raw:
            raise OSError(errno.EINVAL, "a name with a line break can't be sent over FTP")
        if len(raw) - raw.rfind(b"/") - 1 > NAME_BYTES_MAX:
            raise OSError(errno.ENAMETOOLONG, "a name of more than 255 bytes")
        return RemotePath(raw.decode("utf-8", "surrogateescape"))

    def getattr_fuse_3(self, path: bytes | None, buf: Any, fip: Any) -> int:
        if fip and (context := self.operations.handles.get(fip.contents.fh)) is not None:
            found = self._filesystem.stat_handle(context)
        elif path is not None:
            found = self._filesystem.stat(self._path(path))
        else:
            return -errno.EBADF
        ctypes.memset(buf, 0, ctypes.sizeof(mfusepy.c_stat))
        self.operations.fill(buf.contents, found)
        return 0

    def readdir_fuse_3(
        self, path: bytes | None, buf: Any, filler: Any, offset: int, fip: Any, flags: int
    ) -> int:
        del path, offset
        directory = self.operations.directories.get(fip.contents.fh)
        if directory is None:
            return -errno.EBADF
        fill = self.operations.fill
        plus = FILL_DIR_PLUS if flags & READDIR_PLUS else 0
        st = mfusepy.c_stat()
        pointer = ctypes.pointer(st)
        st.st_mode = stat.S_IFDIR
        filler(buf, b".", pointer, 0, 0)
        filler(buf, b"..", pointer, 0, 0)
        for name, found in self._filesystem.list_directory(directory):
            fill(st, found)
            if filler(buf, name.encode("utf-8", "surrogateescape"), pointer, 0, plus):
                break
        return 0

    def read(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        context = self.operations.handles.get(fip.contents.fh)
        if context is None:
            return -errno.EBADF
        return self._filesystem.read_into(context, offset, _view(buf, size))

    def write(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        context = self.operations.handles.get(fip.contents.fh)
        if context is None:
            return -errno.EBADF
        return self._filesystem.write(context, offset, _view(buf, size))

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        context = self.operations.handles.get(fip.contents.fh) if fip else None
        if context is not None and context.writable:
            self._filesystem.truncate(context, length)
        elif path is not None:
            self._filesystem.truncate(self._path(path), length)
        else:
            return -errno.EBADF
        return 0

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        if flags & ~RENAME_NOREPLACE:
            return -errno.EINVAL  # exchange can't be done on FTP without a moment of neither
        self._filesystem.rename(
            self._path(old), self._path(new), replace=not flags & RENAME_NOREPLACE
        )
        return 0

    def utimens_fuse_3(self, path: bytes | None, buf: Any, fip: Any) -> int:
        modified = buf.contents.modtime if buf else None
        if modified is not None and modified.tv_nsec == UTIME_OMIT:
            return 0
        if modified is None or modified.tv_nsec == UTIME_NOW:
            modified_ns = self._filesystem.now_ns()
        else:
            modified_ns = modified.tv_sec * 1_000_000_000 + modified.tv_nsec
        if path is not None:
            self._filesystem.set_times(self._path(path), modified_ns)
        elif fip and (context := self.operations.handles.get(fip.contents.fh)) is not None:
            self._filesystem.set_times(context.path, modified_ns)
        return 0


class FuseHost:
    """One FUSE mount."""

    def __init__(self, filesystem: Filesystem, options: HostOptions) -> None:
        if mfusepy.fuse_version_major < 3:
            raise MountError(
                MountProblem.HOST_MISSING,
                "libfuse 3 is needed, there is only libfuse 2. Install it: apt-get install fuse3",
            )
        self._filesystem = filesystem
        self._options = options
        self._operations = _Operations(filesystem, options)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._mounted = False

    def start(self, on_end: Callable[[], None]) -> None:
        """Mount; return when programs can use the drive. See `Host.start`."""
        self._thread = threading.Thread(target=self._loop, args=(on_end,), name="fuse", daemon=True)
        self._thread.start()
        if not self._operations.ready.wait(START_S) or self._error is not None:
            raise MountError(
                MountProblem.REFUSED,
                f"{self._options.drive} can't be mounted: {self._error or 'no answer from FUSE'}. "
                "Check that /dev/fuse exists and that fusermount3 is installed (package fuse3)",
            )
        self._mounted = True
        self._raise_read_ahead()

    def _loop(self, on_end: Callable[[], None]) -> None:
        """Body of the thread: libfuse's loop."""
        options: dict[str, Any] = {
            "foreground": True,
            "fsname": self._options.source,
            "subtype": "pyftpdrive",
        }
        if mfusepy.fuse_version_minor >= 12:
            # Callbacks wait for the network: libfuse's ten threads would be too few. With the
            # second option libfuse 3.14 doesn't complain about its own default.
            options["max_threads"] = 64
            options["max_idle_threads"] = 10
        if self._options.read_only:
            options["ro"] = True
        if self._options.allow_other:
            options["allow_other"] = True
        try:
            _Fuse(self._operations, self._options.drive, self._filesystem, **options)
        except Exception as error:  # noqa: BLE001  # shown by start
            self._error = error
        finally:
            self._operations.ready.set()
            self._mounted = False
            on_end()

    def _raise_read_ahead(self) -> None:
        """Let the kernel read ahead in larger pieces; only root may, else its default stays."""
        device = Path(self._options.drive).stat().st_dev
        knob = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        try:
            knob.write_text(f"{READ_AHEAD_KIB}\n", encoding="ascii")
        except OSError as error:
            log.debug("read-ahead stays at the kernel's default: %s", error)

    def stop(self) -> bool:
        """Unmount; see `Host.stop`."""
        if not self._mounted:
            return False
        busy = not self._unmount()
        if busy:
            self._unmount("-z")
        if self._thread is not None:
            self._thread.join(timeout=0.2 if busy else 5.0)
        return busy

    def _unmount(self, *flags: str) -> bool:
        result = subprocess.run(  # noqa: S603  # our own mount point
            ["fusermount3", "-u", *flags, "--", self._options.drive],  # noqa: S607  # from PATH
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        if result.returncode:
            log.debug("fusermount3: %s", result.stderr.strip())
        return result.returncode == 0
