"""`FtpClient`: one FTP session with the verbs of a file system and truthful errors.

Why not on the standard library's ftplib, as the design had it: nothing of it would be left.
It reads replies through a decoded, buffered file (a name that isn't UTF-8 raises; after a
timeout the file is unusable; how many lines a reply may have is unbounded; nothing shows whether a
second reply waits), so there is no pipelining, no look for surplus replies and no exact name. It
offers no TLS session for data connections (cpython#63699), reads 150 before it dials nothing else,
and `unwrap()` at the end of an upload waits for servers that never answer it. What remains, the
parsing of 227/229/257, is in `replies`. So the plumbing is ours: `channel` (control connection),
`session` (login and state), `data` and `transfers` (data connections), `streams` (RETR and STOR),
`directory` (listings), `evidence` (what a 550 meant). This module only puts them together.

Source: RFC 959, 2389, 2428, 2640, 3659, 4217; draft-somers-ftp-mfxx (MFMT); draft-peterson-
streamlined-ftp-command-extensions (AVBL).
"""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from pyftpdrive.base.clock import Clock, SystemClock
from pyftpdrive.base.errors import (
    DirectoryNotEmpty,
    NotADirectory,
    NotFound,
    NotImplementedByServer,
    ProtocolViolation,
    RemoteTimeout,
    RemoteUnavailable,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import ROOT, RemotePath, is_below
from pyftpdrive.base.secret import Secret
from pyftpdrive.ftp import checksums, evidence, streams
from pyftpdrive.ftp.channel import command_line
from pyftpdrive.ftp.checksums import Checksum
from pyftpdrive.ftp.directory import NotEntered, guarded_flight, list_directory
from pyftpdrive.ftp.listing import Listing
from pyftpdrive.ftp.profile import Proof, ServerProfile
from pyftpdrive.ftp.replies import Reply, parse_mdtm, parse_size, remote_error
from pyftpdrive.ftp.session import UNKNOWN_COMMAND, ClientOptions, Session, TlsMode
from pyftpdrive.ftp.streams import RetrieveStream
from pyftpdrive.ftp.transfers import TransferRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ClientOptions", "FtpClient", "RetrieveStream", "Secret", "TlsMode"]

T = TypeVar("T")
READ_BYTES = 256 * 1024


class FtpClient:
    """One session. Not thread-safe: one owner thread (`close_abruptly` is the exception).

    Paths are relative to `options.root`. Any method may raise RemoteUnavailable (RemoteTimeout)
    when the server, the network or the session is gone; `connected` is then False.
    """

    def __init__(
        self, options: ClientOptions, profile: ServerProfile, clock: Clock | None = None
    ) -> None:
        self.options = options
        self.profile = profile
        self._session = Session(options, profile, clock or SystemClock())

    # -- the session ------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """What the client stands on; for `probes`."""
        return self._session

    @property
    def connected(self) -> bool:
        """True while the session is usable, as far as we know."""
        return self._session.connected

    @property
    def last_used(self) -> float:
        """When the server was last heard or spoken to (monotonic seconds)."""
        return self._session.last_used

    def watch(
        self,
        on_activity: Callable[[], None] | None,
        on_exchange: Callable[[bytes | Reply], None] | None,
    ) -> None:
        """Call these when octets move, and for each command and reply; None: nobody watches."""
        self._session.on_activity, self._session.on_exchange = on_activity, on_exchange

    def connect(self, timeout_s: float | None = None) -> None:
        """Dial and log in; nothing when already connected.

        *timeout_s* bounds each wait of the login only.

        Raises:
            TooManySessions: the server takes no more sessions now.
            RemoteUnavailable: nobody answers there (RemoteTimeout: not in time).
            LoginRefused: user name or password.
            NotAnFtpServer: something else answers there.
            TlsError: TLS can't be had, or the certificate isn't trusted.
            NotFound: `options.root` does not exist.
        """
        if not self.connected:
            self._session.connect(timeout_s)

    def disconnect(self) -> None:
        """End the session; never fails and never waits long."""
        self._session.quit()

    def reconnect(self) -> None:
        """A fresh session in place of this one; raises what `connect` raises."""
        self._session.close()
        self._session.connect()

    def close_abruptly(self) -> None:
        """Cut the connections from another thread: the owner's wait fails at once."""
        self._session.close()

    def noop(self, timeout_s: float | None = None) -> None:
        """Ask for a sign of life; *timeout_s* bounds the wait for it."""
        self._session.command("NOOP", timeout_s=timeout_s)

    # -- looking ----------------------------------------------------------------------------

    def list_dir(self, path: RemotePath) -> Listing:
        """What is in *path*, fresh from the server, with exact times where it tells them.

        Raises:
            NotFound: no such directory.
            NotADirectory: it is a file.
            PermissionRefused: this login may not see it.
        Source: RFC 3659 7, RFC 959 4.1.3.
        """
        return self._with_tls_fallback(lambda: self._list_dir(path))

    def _list_dir(self, path: RemotePath) -> Listing:
        try:
            return list_directory(self._session, path)
        except NotEntered as exc:
            raise evidence.why_not_entered(self._session, path, exc.answer) from exc
        except TransferRefused as exc:
            raise remote_error(exc.reply, action=f"list {path}") from exc

    def stat(self, path: RemotePath) -> RemoteEntry:
        """One file or directory, fresh from the server.

        Raises:
            NotFound: nothing is there.
        Source: RFC 3659 7 (MLST); without it SIZE, MDTM and CWD tell.
        """
        if path == ROOT:
            return RemoteEntry(name="", kind=Kind.DIRECTORY)
        entry = self._mlst(path) if self.profile.mlst is not Proof.NO else None
        if entry is None or entry.kind is Kind.LINK:
            thorough = self.profile.size is Proof.NO  # a missing SIZE proves nothing then
            entry = evidence.look(self._session, path, thorough=thorough) or entry
        if entry is None:
            raise NotFound(f"{path}: does not exist")
        return entry

    def look(self, paths: Sequence[RemotePath]) -> list[RemoteEntry | None]:
        """What each of *paths* is now, None: nothing is there; in one flight where that is proven.

        Sizes and times of files; a directory may count as nothing on servers without MLST.
        """
        found = None
        lines = evidence.looking(self._session, paths)
        if lines:
            found = evidence.seen(self._session, paths, guarded_flight(self._session, lines))
        return found if found is not None else [self._stat_or_none(path) for path in paths]

    def _stat_or_none(self, path: RemotePath) -> RemoteEntry | None:
        with contextlib.suppress(NotFound):
            return self.stat(path)
        return None

    def _mlst(self, path: RemotePath) -> RemoteEntry | None:
        """What MLST says; None: ask otherwise."""
        try:
            reply = self._session.command("MLST", path)
        except RemoteTimeout:
            self.profile.deny("mlst", lasting=False)  # some servers hang on it: once is enough
            raise
        if reply.code in UNKNOWN_COMMAND:
            self.profile.deny("mlst")
        if reply.is_positive:
            entry = evidence.fact_line(self._session, path, reply)
            if entry is not None:
                self.profile.confirm("mlst")
                return entry
        if isinstance(remote_error(reply, action="MLST"), NotFound):
            raise NotFound(f"{path}: {reply.text}", reply=reply.text)
        return None

    def get_file_size(self, path: RemotePath) -> int:
        """Octets of the file.

        Raises:
            NotFound, IsADirectory, PermissionRefused: no size, for that reason.
        Source: RFC 3659 4.
        """
        reply = self._session.command("SIZE", path)
        if reply.code == 213:
            self.profile.confirm("size")
            return parse_size(reply.text)
        if reply.code in UNKNOWN_COMMAND:
            self.profile.deny("size")
            entry = evidence.look(self._session, path)
            if entry is not None and entry.size_bytes is not None:
                return entry.size_bytes
        raise evidence.why_not_read(self._session, path, reply)

    def get_file_mtime(self, path: RemotePath) -> int:
        """When the file changed, nanoseconds since 1970 UTC.

        Raises:
            NotFound, PermissionRefused, NotImplementedByServer: no time, for that reason.
        Source: RFC 3659 3.
        """
        reply = self._session.command("MDTM", path)
        if reply.code == 213:
            self.profile.confirm("mdtm")
            return parse_mdtm(reply.text)
        if reply.code in UNKNOWN_COMMAND:
            self.profile.deny("mdtm")
        raise evidence.why_not_read(self._session, path, reply)

    def exists(self, path: RemotePath) -> bool:
        """True when there is something at *path*."""
        return self._stat_or_none(path) is not None

    def is_dir(self, path: RemotePath) -> bool:
        """True when *path* is a directory."""
        entry = self._stat_or_none(path)
        return entry is not None and entry.kind is Kind.DIRECTORY

    def available_bytes(self, path: RemotePath) -> int | None:
        """Free space at *path* (AVBL), or None when the server does not tell."""
        if self.profile.avbl is Proof.NO:
            return None
        reply = self._session.command("AVBL", path)
        if reply.code == 213:
            with contextlib.suppress(ProtocolViolation, ValueError):
                available = parse_size(reply.text)
                self.profile.confirm("avbl")
                return available
        if 500 <= reply.code < 600 and self.profile.avbl is Proof.UNKNOWN:
            self.profile.deny("avbl")
        return None

    def checksum(self, path: RemotePath, *, size_bytes: int = 0) -> Checksum | None:
        """The server's digest of the file, by the best command it knows; None: it can't tell.

        Blocks for the time that digesting *size_bytes* may take. It proves nothing before
        `profile.checksum` is YES: who knows the octets says `confirm` when it is right and
        `deny` when it is wrong, which ends the asking.

        Raises:
            NotFound, IsADirectory: there is no such file.
        """
        return checksums.ask(self._session, path, size_bytes)

    # -- reading ----------------------------------------------------------------------------

    def open_retrieve(self, path: RemotePath, offset_bytes: int = 0) -> RetrieveStream:
        """The file's octets from *offset_bytes* on, as a stream.

        An offset at or behind the end gives an empty stream. Where the server has no REST, what
        lies before the offset is read and thrown away.

        Raises:
            NotFound, IsADirectory, PermissionRefused: the server does not send it.
        Source: RFC 959 4.1.3 (RETR), RFC 3659 5 (REST in stream mode).
        """
        return self._with_tls_fallback(lambda: self._open_retrieve(path, offset_bytes))

    def _open_retrieve(self, path: RemotePath, offset_bytes: int) -> RetrieveStream:
        try:
            return streams.open_retrieve(self._session, self._session.wire(path), offset_bytes)
        except TransferRefused as exc:
            if offset_bytes:  # proftpd refuses an offset behind the end
                size = self._session.command("SIZE", path)
                if size.code == 213 and parse_size(size.text) <= offset_bytes:
                    return RetrieveStream(None)
            raise evidence.why_not_read(self._session, path, exc.reply) from exc

    def read_file(self, path: RemotePath, offset: int, length: int) -> bytes:
        """Up to *length* octets from *offset*; fewer only at the end of the file."""
        return self._with_tls_fallback(lambda: self._read_file(path, offset, length))

    def _read_file(self, path: RemotePath, offset: int, length: int) -> bytes:
        stream = self._open_retrieve(path, offset)
        content = bytearray()
        buffer = memoryview(bytearray(min(READ_BYTES, max(1, length))))
        while len(content) < length:
            count = stream.read_into(buffer[: length - len(content)])
            if count == 0:
                break
            content += buffer[:count]
        stream.finish()
        return bytes(content)

    # -- writing ----------------------------------------------------------------------------

    def store(
        self,
        path: RemotePath,
        source: BinaryIO,
        *,
        offset_bytes: int = 0,
        progress: Callable[[int], None] | None = None,
        pause: Callable[[], bool] | None = None,
    ) -> int:
        """Make *path* hold *source* from its position to its end; the octets sent.

        The kernel copies where it can. With *offset_bytes* the file's first octets are kept: only
        where APPE or REST+STOR was proven on this server. *progress* gets the octets sent so far
        after each piece; what it raises aborts the transfer and goes on to the caller. When
        *pause* says so after a piece, the file ends there, and fewer octets are sent.

        Raises:
            NoSpace: disk or quota are full; the file on the server is incomplete.
            NotFound: the directory does not exist.
            IsADirectory, PermissionRefused: refused before any octet moved.
            NotImplementedByServer: no proven way to begin at an offset.
        Source: RFC 959 4.1.3 (STOR, APPE).
        """
        verb, rest_bytes = self._way_to_write(path, offset_bytes)
        position = source.tell() if source.seekable() else None

        def run() -> int:
            if position is not None:
                source.seek(position)
            return streams.store(
                self._session,
                self._session.wire(path),
                source,
                verb=verb,
                offset_bytes=rest_bytes,
                progress=progress,
                pause=pause,
            )

        try:
            return self._with_tls_fallback(run) if position is not None else run()
        except TransferRefused as exc:
            raise evidence.why_not_written(self._session, path, exc.reply) from exc

    def append(
        self,
        path: RemotePath,
        source: BinaryIO,
        *,
        progress: Callable[[int], None] | None = None,
        pause: Callable[[], bool] | None = None,
    ) -> int:
        """`store` behind what *path* holds, proven or not: look at its size before and after.

        Raises:
            NotImplementedByServer: this server does not append.
        Source: RFC 959 4.1.3 (APPE).
        """
        try:
            return streams.store(
                self._session,
                self._session.wire(path),
                source,
                verb="APPE",
                progress=progress,
                pause=pause,
            )
        except TransferRefused as exc:
            if self.profile.appe is Proof.YES:
                raise evidence.why_not_written(self._session, path, exc.reply) from exc
            self.profile.deny("appe", lasting=False)  # ProFTPD's AllowStoreRestart: 451
            raise NotImplementedByServer(f"APPE: {exc.reply.text}") from exc

    def _way_to_write(self, path: RemotePath, offset_bytes: int) -> tuple[str, int]:
        """The command, and the argument of REST before it (0: none)."""
        if offset_bytes == 0:
            return "STOR", 0
        if self.profile.appe is Proof.YES and self.get_file_size(path) == offset_bytes:
            return "APPE", 0
        if self.profile.rest_stor is Proof.YES:
            return "STOR", offset_bytes
        raise NotImplementedByServer(
            f"{self._session.server} was not proven to write from an offset"
        )

    def write_file(self, path: RemotePath, data: bytes, offset: int = 0) -> int:
        """`store` for octets in memory."""
        return self.store(path, io.BytesIO(data), offset_bytes=offset)

    def create_file(self, path: RemotePath) -> None:
        """Make *path* an empty file; one that exists is emptied."""
        self.write_file(path, b"")

    def set_mtime(self, path: RemotePath, modified_ns: int) -> bool:
        """Set the file's time (whole seconds); False when this server does not let us.

        Source: draft-somers-ftp-mfxx 3.1 (MFMT); vsftpd's MDTM with a time.
        """
        try:
            stamp = datetime.fromtimestamp(modified_ns // 10**9, UTC).strftime("%Y%m%d%H%M%S")
        except (ValueError, OverflowError, OSError):
            return False
        prefix = stamp.zfill(14).encode("ascii") + b" "
        if self.profile.mfmt is not Proof.NO:
            reply = self._session.command("MFMT", path, prefix=prefix)
            if reply.is_positive:
                self.profile.confirm("mfmt")
                return True
            if reply.code not in UNKNOWN_COMMAND:
                return False  # for this file; proves nothing
            self.profile.deny("mfmt")
        if self.profile.mdtm_set is Proof.NO:
            return False
        return self._set_mtime_by_mdtm(path, prefix, modified_ns)

    def _set_mtime_by_mdtm(self, path: RemotePath, prefix: bytes, modified_ns: int) -> bool:
        """`MDTM time path`. Servers that don't know it look for a file of that name: harmless."""
        reply = self._session.command("MDTM", path, prefix=prefix)
        unproven = self.profile.mdtm_set is Proof.UNKNOWN
        if reply.code == 213 and not unproven:
            return True
        now = self._session.command("MDTM", path)
        if now.code != 213:
            return False
        done = reply.code == 213 and parse_mdtm(now.text) // 10**9 == modified_ns // 10**9
        if done:
            self.profile.confirm("mdtm_set")
        else:
            self.profile.deny("mdtm_set")
        return done

    # -- changing names ---------------------------------------------------------------------

    def delete_file(self, path: RemotePath) -> None:
        """Remove a file.

        Raises:
            NotFound, IsADirectory, PermissionRefused: it is still as it was.
        """
        reply = self._session.command("DELE", path)
        if not reply.is_positive:
            raise evidence.why_not_deleted(self._session, path, reply)

    def create_dir(self, path: RemotePath) -> None:
        """Make a directory.

        Raises:
            AlreadyExists: something of that name is there.
            NotFound: the parent does not exist.
            PermissionRefused: this login may not.
        """
        reply = self._session.command("MKD", path)
        if not reply.is_positive:
            raise evidence.why_not_created(self._session, path, reply)

    def delete_dir(self, path: RemotePath) -> None:
        """Remove an empty directory. RMD is never sent for one that is not: some servers recurse.

        Raises:
            DirectoryNotEmpty: it has entries now, whatever any cache says.
            NotFound, NotADirectory, PermissionRefused: it is still as it was.
        """
        listing = self.list_dir(path)
        if listing.entries or listing.unparsed or listing.refused:
            raise DirectoryNotEmpty(f"{path}: is not empty")
        if path == ROOT:
            raise NotADirectory("the mounted directory itself can't be removed")
        reply = self._session.flight(
            [*self._leave(path), command_line("RMD", self._session.wire(path))]
        )[-1]
        if not reply.is_positive:
            raise evidence.why_not_removed(self._session, path, reply)

    def rename(self, old: RemotePath, new: RemotePath) -> None:
        """Give *old* the name *new*, by one RNFR and one RNTO. What is at *new* may be replaced.

        Raises:
            NotFound: *old*, or the directory of *new*, does not exist.
            AlreadyExists: the server does not replace what is at *new*.
            PermissionRefused: this login may not.
        """
        self.rename_and_look(old, new, ())

    def rename_and_look(
        self, old: RemotePath, new: RemotePath, paths: Sequence[RemotePath]
    ) -> list[RemoteEntry | None]:
        """`rename`, then `look` at *paths*; in one flight where that is proven.

        Raises:
            NotFound: *old*, or the directory of *new*, does not exist.
            AlreadyExists: the server does not replace what is at *new*.
            PermissionRefused: this login may not.
        """
        session = self._session
        lines = [
            *self._leave(old),
            command_line("RNFR", session.wire(old)),
            command_line("RNTO", session.wire(new)),
        ]
        looks: list[bytes] = []
        told: list[Reply] = []
        if self.profile.pipelining is Proof.YES:
            looks = evidence.looking(session, paths)
            # Of one path each code has its place, so a reply too many needs no other guard.
            send = guarded_flight if len(paths) > 1 else Session.flight
            replies = send(session, [*lines, *looks])
            source, target = replies[len(lines) - 2 : len(lines)]
            told = replies[len(lines) :]
        else:
            *_, source = session.flight(lines[:-1])
            target = source
            if source.code == 350:
                (target,) = session.flight(lines[-1:])
        if source.code != 350 or not target.is_positive:
            refused: Reply = target if source.code == 350 else source
            raise evidence.why_not_renamed(session, old, new, refused)
        found = evidence.seen(session, paths, told) if looks else None
        return found if found is not None else self.look(paths)

    def rename_past(self, old: RemotePath, new: RemotePath, aside: RemotePath) -> bool:
        """In one flight: call what is at *new* *aside*, then *old* *new*, and look at *new*.

        Only where pipelining was proven, and MLST, or for files SIZE. True: nothing was at *new*,
        and *old* has that name now. False: it is otherwise, or was not told.
        """
        session = self._session
        look, seen = ("MLST", 250) if self.profile.mlst is Proof.YES else ("SIZE", 213)
        lines = [
            command_line(verb, session.wire(path))
            for verb, path in (
                ("RNFR", new), ("RNTO", aside), ("RNFR", old), ("RNTO", new), (look, new),
            )
        ]  # fmt: skip
        replies = session.flight([*self._leave(old), *lines])
        nothing, alone, begun, renamed, there = replies[-len(lines) :]
        # Each code has its place, so a reply too many or too few needs no other guard.
        refused = all(500 <= reply.code < 600 for reply in (nothing, alone))
        return refused and (begun.code, renamed.code // 100, there.code) == (350, 2, seen)

    def _leave(self, path: RemotePath) -> list[bytes]:
        """CWD out of a directory that is to go: Windows servers keep hold of where we are."""
        cwd = self._session.cwd
        if cwd is None or (cwd != path and not is_below(cwd, path)):
            return []
        self._session.cwd = ROOT
        return [command_line("CWD", self._session.wire(ROOT))]

    # -- TLS 1.3 ----------------------------------------------------------------------------

    def _with_tls_fallback(self, run: Callable[[], T]) -> T:
        """Run *run*; again in a TLS 1.2 session when 1.3 turned out not to work for data."""
        before = self.profile.tls13_data
        try:
            return run()
        except RemoteUnavailable:
            if before is Proof.NO or self.profile.tls13_data is not Proof.NO:
                raise
        self.reconnect()
        return run()
