"""`FtpSimulator`: one server, its thread, and what a test can do to it."""

from __future__ import annotations

import contextlib
import errno
import posixpath
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from simulators.ftp_server.faults import Fault, FaultBook
from simulators.ftp_server.ledger import Ledger
from simulators.ftp_server.library import AsyncChat, FTPServer, IOLoop
from simulators.ftp_server.profiles import PROFILES, Profile
from simulators.ftp_server.session import Session
from simulators.ftp_server.storage import (
    DirectoryStorage,
    Entry,
    MemoryStorage,
    join,
    parent_of,
)
from simulators.ftp_server.tls import Certificate

_CALL_TIMEOUT_S = 30.0
_BIND_TRIES = 200


class _Doorbell(AsyncChat):
    """Wakes the loop when another thread has a task for it."""

    def __init__(self, ioloop: IOLoop, ring: Callable[[], None]) -> None:
        self._sender, receiver = socket.socketpair()
        receiver.setblocking(False)
        super().__init__(receiver, ioloop)
        self._ring = ring

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.socket.recv(4096)
        self._ring()

    def press(self) -> None:
        with contextlib.suppress(OSError):
            self._sender.send(b"!")

    def close(self) -> None:
        super().close()
        self._sender.close()


class Core:
    """What the sessions know of their server. Belongs to the loop's thread, unless said."""

    def __init__(
        self,
        *,
        profile: Profile,
        storage: MemoryStorage | DirectoryStorage,
        users: dict[str, str],
        anonymous: bool,
        read_only: bool,
        tls: str | None,
        require_session_reuse: bool,
        sessions_max: int | None,
        book: FaultBook,
    ) -> None:
        self.profile = profile
        self.storage = storage
        self.users = users
        self.anonymous = anonymous
        self.read_only = read_only
        self.tls = tls
        self.require_session_reuse = require_session_reuse
        self.sessions_max = profile.sessions_max if sessions_max is None else sessions_max
        self.guests_max = profile.guests_max if sessions_max is None else sessions_max
        self.book = book
        self.ledger = Ledger()
        self.idle_s: float | None = None
        self.accept_timeout_s = 30.0
        self.utc_offset_s = profile.utc_offset_s
        self.now_ns: Callable[[], int] = time.time_ns
        self.errors: list[str] = []
        self.digests: dict[tuple[str, str, int], str] = {}  # of digest_cached
        self.sessions: dict[int, Session] = {}
        self.sessions_peak = 0
        self._count = 0
        self.freeze_here: Callable[[float | None], None] = lambda _seconds: None
        self.restart_soon: Callable[[float], None] = lambda _seconds: None

    @property
    def sessions_now(self) -> int:
        """Control connections that are open."""
        return len(self.sessions)

    def session_opened(self, session: Session) -> int:
        """A control connection is there; its number."""
        self._count += 1
        self.sessions[self._count] = session
        return self._count

    def session_admitted(self) -> None:
        """It wasn't refused."""
        self.sessions_peak = max(self.sessions_peak, self.sessions_now)

    def session_closed(self, session: Session) -> None:
        """It is gone (or refused)."""
        self.sessions.pop(session.number, None)

    def logins_now(self, *, guests_only: bool) -> int:
        """How many sessions are logged in."""
        sessions = list(self.sessions.values())
        return sum(s.authenticated and (s.guest or not guests_only) for s in sessions)

    def noise(self, length: int) -> bytes:
        """Octets that mean nothing, the same for the same seed."""
        return self.book.random.randbytes(length)

    def note_error(self) -> None:
        """Remember the exception that is being handled; `FtpSimulator.stop` raises for it."""
        if sys.exc_info()[0] is not None:
            self.errors.append(traceback.format_exc())


class FtpSimulator:
    """An FTP server for tests, in this process, on a thread of its own.

    The port is open as soon as the object exists: `with FtpSimulator(...) as sim` or `stop()`.

    Args:
        profile: The server to be: a name of `PROFILES`, or a `Profile` of your own.
        root: The directory to serve; None: an empty tree in memory.
        users: Names and passwords; None: only anonymous.
        anonymous: Whether anonymous may log in; None: when there are no users, or the profile
            has a guest beside its users.
        read_only: Whether writing is refused.
        tls: None, "explicit" (AUTH TLS) or "implicit".
        require_session_reuse: Whether a data connection must resume the TLS session.
        sessions_max: Sessions at a time; None: what the profile has.
        seed: For the faults that throw dice.
        faults: What goes wrong (`inject` adds more).
        port: 0: any free one.
        host: The address to listen on.

    Raises:
        ValueError: an unknown profile or kind of TLS.
        OSError: the port can't be had, or *root* isn't a directory.
    """

    def __init__(
        self,
        profile: str | Profile = "vsftpd",
        root: Path | None = None,
        *,
        users: dict[str, str] | None = None,
        anonymous: bool | None = None,
        read_only: bool = False,
        tls: str | None = None,
        require_session_reuse: bool = False,
        sessions_max: int | None = None,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        port: int = 0,
        host: str = "127.0.0.1",
        utc_offset_s: int | None = None,
        idle_s: float | None = None,
    ) -> None:
        if isinstance(profile, str):
            if profile not in PROFILES:
                known = ", ".join(PROFILES)
                raise ValueError(f"there is no profile {profile!r}; there are: {known}")
            profile = PROFILES[profile]
        if tls not in (None, "explicit", "implicit"):
            raise ValueError(f"tls={tls!r}: it is explicit or implicit")
        if anonymous is None:
            anonymous = users is None or profile.guest_with_users
        memory = MemoryStorage(ignore_case=profile.ignores_case)
        self._storage = memory if root is None else DirectoryStorage(root)
        self.core = Core(
            profile=profile,
            storage=self._storage,
            users=dict(users or {}),
            anonymous=anonymous,
            read_only=read_only,
            tls=tls,
            require_session_reuse=require_session_reuse,
            sessions_max=sessions_max,
            book=FaultBook(list(faults), seed),
        )
        if utc_offset_s is not None:
            self.core.utc_offset_s = utc_offset_s
        self.core.idle_s = idle_s
        self.core.freeze_here = self._freeze_here
        self.core.restart_soon = self._restart_soon
        self._certificate = Certificate() if tls is not None else None
        self.host = host
        self.port = port
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._frozen = False
        self._deaf: list[socket.socket] = []
        self._stopping = False
        self._server: FTPServer | None = None
        self._loop = IOLoop()
        self._doorbell = _Doorbell(self._loop, self._run_tasks)
        context = self._certificate.context() if self._certificate is not None else None
        self._handler = type("BoundSession", (Session,), {"sim": self.core, "ssl_context": context})
        try:
            self._open_port()
        except OSError:
            self._doorbell.close()
            self._loop.close()
            raise
        self._thread = threading.Thread(target=self._run, name=f"ftp-{self.port}", daemon=True)
        self._thread.start()

    # --- its life

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop; a bug inside the simulator fails the test, unless something else already did."""
        try:
            self.stop()
        except RuntimeError:
            if kind is None:
                raise

    def stop(self) -> None:
        """Close everything and end the thread. Twice is fine.

        Raises:
            RuntimeError: a session met a bug of the simulator; the text has its traceback.
        """
        if self._thread.is_alive():
            self._post(self._stop_here)
            self._thread.join(_CALL_TIMEOUT_S)
        if self._certificate is not None:
            self._certificate.remove()
        if self.core.errors:
            errors, self.core.errors = self.core.errors, []
            raise RuntimeError("the simulator failed:\n" + "\n".join(errors))

    def restart(self, seconds: float = 0.0) -> None:
        """Drop every connection, close the port for *seconds*, open it again; returns then."""
        opened = threading.Event()
        self._post(lambda: self._restart_here(seconds, opened.set))
        if not opened.wait(_CALL_TIMEOUT_S + seconds):
            raise TimeoutError("the simulator didn't come back")

    @property
    def frozen(self) -> bool:
        """True between `freeze` (or a fault of that kind) and the thaw."""
        return self._frozen

    def freeze(self) -> None:
        """Answer nobody until `thaw`; connections stay, and the kernel accepts new ones."""
        self._call(self._begin_freeze)

    def thaw(self) -> None:
        """Go on where `freeze` (or a fault) stopped."""
        self._call(self._end_freeze)

    def disconnect_all(self) -> None:
        """Reset every connection; the port stays open."""
        self._call(self._reset_sessions)

    def deafen(self) -> None:
        """Forget every connection without a word: it swallows what comes and never answers.

        What sleep and a change of networks leave behind: no FIN, no RST. New ones work.
        """
        self._call(self._deafen_sessions)

    # --- what goes wrong and what happened

    def inject(self, *faults: Fault) -> None:
        """Arm faults; they count from now."""
        for fault in faults:
            self.core.book.add(fault)

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self.core.book.clear()

    @property
    def ledger(self) -> Ledger:
        """Every command and its reply."""
        return self.core.ledger

    @property
    def profile(self) -> Profile:
        """The server that it is."""
        return self.core.profile

    @property
    def sessions_now(self) -> int:
        """Control connections that are open."""
        return self.core.sessions_now

    @property
    def sessions_peak(self) -> int:
        """The most there ever were at a time, refused ones not counted."""
        return self.core.sessions_peak

    @property
    def read_only(self) -> bool:
        """Whether writing is refused; can be set at any time."""
        return self.core.read_only

    @read_only.setter
    def read_only(self, value: bool) -> None:
        self.core.read_only = value

    @property
    def url(self) -> str:
        """ftp://host:port (ftps:// with implicit TLS)."""
        scheme = "ftps" if self.core.tls == "implicit" else "ftp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The authority to trust, as PEM.

        Raises:
            ValueError: there is no TLS.
        """
        if self._certificate is None:
            raise ValueError("the simulator has no TLS")
        return self._certificate.ca_file

    # --- its files, without FTP

    def put(self, path: str, data: bytes, modified_ns: int | None = None) -> None:
        """Have *data* at *path*; directories are made as needed."""
        path = _normal(path)
        self._make_parents(path)
        writer = self._storage.write(path, truncate=True)
        writer.write(0, memoryview(data))
        writer.close(time.time_ns() if modified_ns is None else modified_ns)

    def put_sparse(self, path: str, size: int, modified_ns: int | None = None) -> None:
        """Have *size* zeros at *path*, at no cost."""
        self.put(path, b"")
        self._storage.set_size(_normal(path), size)
        if modified_ns is not None:
            self.set_modified(path, modified_ns)

    def get(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        return self._storage.content(_normal(path))

    def stat(self, path: str) -> Entry:
        """Kind, size and time of *path*."""
        return self._storage.stat(_normal(path))

    def mkdir(self, path: str) -> None:
        """Make a directory, with those above it; fine when it is there."""
        path = _normal(path)
        if path != "/" and not self.exists(path):
            self._make_parents(path)
            self._storage.make_directory(path)

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with everything in it."""
        path = _normal(path)
        if self._storage.stat(path, follow=False).kind != "dir":
            self._storage.remove_file(path)
            return
        for name, _entry in self._storage.list(path):
            self.remove(join(path, name))
        self._storage.remove_directory(path)

    def rename(self, old: str, new: str) -> None:
        """Rename behind the clients' backs."""
        self._storage.rename(_normal(old), _normal(new))

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        path = _normal(path)
        self._make_parents(path)
        self._storage.link(path, target)

    def exists(self, path: str) -> bool:
        """Whether something has this name."""
        try:
            self._storage.stat(_normal(path), follow=False)
        except OSError:
            return False
        return True

    def set_modified(self, path: str, modified_ns: int) -> None:
        """Set the time of last modification, exactly."""
        self._storage.set_times(_normal(path), modified_ns)

    def tree(self) -> dict[str, bytes | None]:
        """Everything: path -> content, None for a directory. Don't, with sparse giants in it."""
        found: dict[str, bytes | None] = {}
        todo = ["/"]
        while todo:
            directory = todo.pop()
            for name, entry in self._storage.list(directory):
                path = join(directory, name)
                if entry.kind == "dir":
                    found[path] = None
                    todo.append(path)
                elif entry.kind == "file":
                    found[path] = self._storage.content(path)
        return dict(sorted(found.items()))

    def _make_parents(self, path: str) -> None:
        self.mkdir(parent_of(path))

    # --- the loop's thread

    def _run(self) -> None:
        wait: float | None = None
        while not self._stopping:
            self._loop.poll(wait)
            wait = self._loop.sched.poll()
        for session in list(self.core.sessions.values()):
            session.reset()
        for end in self._deaf:
            end.close()
        self._doorbell.close()
        self._loop.close()

    def _post(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)
        self._doorbell.press()

    def _call(self, task: Callable[[], None]) -> None:
        """Run *task* on the loop's thread and wait for it."""
        done = threading.Event()

        def run() -> None:
            try:
                task()
            finally:
                done.set()

        self._post(run)
        if not done.wait(_CALL_TIMEOUT_S):
            raise TimeoutError("the simulator's thread doesn't answer")

    def _run_tasks(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            task()

    def _begin_freeze(self) -> None:
        # Called by a task: the loop must not go on when the task has returned.
        self._frozen = True
        self._tasks.put(lambda: self._stay_frozen(None))

    def _freeze_here(self, seconds: float | None) -> None:
        self._frozen = True
        self._stay_frozen(seconds)

    def _stay_frozen(self, seconds: float | None) -> None:
        """Hold the loop's thread; only tasks of other threads are done."""
        until = None if seconds is None else time.monotonic() + seconds
        while self._frozen and not self._stopping:
            wait = None if until is None else until - time.monotonic()
            if wait is not None and wait <= 0:
                break
            with contextlib.suppress(queue.Empty):
                self._tasks.get(timeout=wait)()
        self._frozen = False

    def _end_freeze(self) -> None:
        self._frozen = False

    def _stop_here(self) -> None:
        self._stopping = True
        self._frozen = False

    def _reset_sessions(self) -> None:
        for session in list(self.core.sessions.values()):
            session.reset()

    def _deafen_sessions(self) -> None:
        for session in list(self.core.sessions.values()):
            for end in (session, session.data_channel):
                if end is not None and end.socket is not None:
                    self._deaf.append(end.socket.dup())  # keeps it open when ours is closed
            session.close()

    def _restart_soon(self, seconds: float) -> None:
        self._post(lambda: self._restart_here(seconds, lambda: None))

    def _restart_here(self, seconds: float, opened: Callable[[], None]) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self.core.sessions.values()):
            session.close()
        if seconds:
            self._loop.call_later(seconds, self._reopen, opened, 0)
        else:
            self._reopen(opened, 0)

    def _reopen(self, opened: Callable[[], None], tries: int) -> None:
        try:
            self._open_port()
        except OSError as error:
            inner = error.args[0] if error.args else None  # as pyftpdlib raises it again
            number = inner.errno if isinstance(inner, OSError) else error.errno
            if number != errno.EADDRINUSE or tries > _BIND_TRIES:
                raise
            self._loop.call_later(0.05, self._reopen, opened, tries + 1)
        else:
            opened()

    def _open_port(self) -> None:
        server = FTPServer((self.host, self.port), self._handler, ioloop=self._loop, backlog=128)
        server.max_cons = 0
        self.port = server.address[1]
        self._server = server


def _normal(path: str) -> str:
    """The absolute form of a path that a test gives."""
    return "/" + posixpath.normpath("/" + path).lstrip("/")
