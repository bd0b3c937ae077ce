"""The commands that move octets over a data connection."""

from __future__ import annotations

import fnmatch
import os
import socket
from typing import TYPE_CHECKING, Any
from zlib import crc32

from simulators.ftp_server import connections
from simulators.ftp_server.commands import AnsweredError, CommandError, Commands
from simulators.ftp_server.data import BytesSource, Transfer
from simulators.ftp_server.listings import DIALECTS, facts_line
from simulators.ftp_server.storage import join, parent_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.ftp_server.data import Sink, Source
    from simulators.ftp_server.storage import Entry

Names = list[tuple[str, "Entry"]]


class Transfers(Commands):
    """The commands of one session that need a data connection."""

    dead_port: socket.socket | None = None  # bound and not listening: connecting is refused

    def begin_transfer(self, transfer: Transfer, mark: str, **values: Any) -> None:
        """Start a transfer, or wait for its data connection (`session` has it)."""
        raise NotImplementedError

    # --- where the data connection comes from

    def do_pasv(self, _arg: str) -> None:
        """PASV: a port, with an address that may be wrong."""
        if self._extended and not self.profile.pasv_after_epsv:
            self.reply(500, "PASV not allowed after EPSV.")
            return
        fault = self.fault_of("pasv_host")
        self.masquerade_address = fault.host if fault is not None else None
        self._extended = False
        self._listen(lambda: self.ftp_PASV(""))

    def do_epsv(self, arg: str) -> None:
        """EPSV: a port."""
        if arg not in ("", "1") and arg.upper() != "ALL":
            self.reply(522, "Bad network protocol.")
        elif arg.upper() != "ALL":
            self._extended = True
            self._listen(lambda: self.ftp_EPSV(arg))
        else:
            self._epsvall = True
            self.reply(200, "EPSV ALL ok.")

    def _listen(self, make: Callable[[], None]) -> None:
        self._active = None
        self._forget_dead_port()
        if self.fault_of("dead_port") is None:
            make()
            return
        self._shutdown_connecting_dtp()
        host = self.socket.getsockname()[0]
        self.dead_port = socket.socket()
        self.dead_port.bind((host, 0))
        port = self.dead_port.getsockname()[1]
        if self._extended:
            self.reply(229, f"Entering Extended Passive Mode (|||{port}|)")
        else:
            numbers = ",".join([*host.split("."), str(port // 256), str(port % 256)])
            self.reply(227, f"Entering Passive Mode ({numbers}).")

    def _forget_dead_port(self) -> None:
        if self.dead_port is not None:
            self.dead_port.close()
            self.dead_port = None

    def do_port(self, arg: str) -> None:
        """PORT: the client's port."""
        numbers = arg.split(",")
        if len(numbers) != 6 or not all(n.isdigit() and int(n) < 256 for n in numbers):
            self.reply(501, "Illegal PORT command.")
            return
        port = int(numbers[4]) * 256 + int(numbers[5])
        self._connect_to(".".join(numbers[:4]), port)

    def do_eprt(self, arg: str) -> None:
        """EPRT: the client's port, in the newer spelling."""
        parts = arg.split(arg[0])
        if len(parts) != 5 or parts[1] not in ("1", "2") or not parts[3].isdigit():
            self.reply(501, "Illegal EPRT command.")
            return
        if parts[1] == "2" and ":" not in self.remote_ip:
            self.reply(522, "Bad network protocol.")
            return
        self._connect_to(parts[2], int(parts[3]))

    def _connect_to(self, host: str, port: int) -> None:
        if host != self.remote_ip or not 1024 <= port < 65536:
            self.reply(500, "Illegal PORT command.")
            return
        self._shutdown_connecting_dtp()
        self._forget_dead_port()
        self._active = (host, port)
        self.answer("port")

    def do_abor(self, _arg: str) -> None:
        """ABOR: when we come to read it there is nothing left to abort."""
        if self._aborted:
            self._aborted = False
            self.answer("abor_done")
            return
        self._shutdown_connecting_dtp()
        self.answer("abor_nothing")

    def need_data_port(self) -> None:
        """Refuse a transfer that has no way to its data.

        Raises:
            CommandError: neither PASV nor PORT came before.
        """
        if (
            self.data_channel is None
            and self._dtp_acceptor is None
            and self._active is None
            and self.dead_port is None
        ):
            raise CommandError("no_data_connection")

    # --- files

    def _noise(self) -> bytes | None:
        fault = self.fault_of("surplus")
        return None if fault is None else self.sim.noise(fault.extra_bytes or 0)

    def _prolonged(self, source: Source) -> Source:
        """*source* with what faults put behind its end."""
        noise, endless = self._noise(), self.fault_of("endless_data")
        if noise is not None:
            source = connections.LongerSource(source, noise)
        if endless is not None:
            text = (endless.text or "").encode("utf-8", "surrogateescape")
            source = connections.EndlessSource(source, text)
        return source

    def do_retr(self, arg: str) -> None:
        """RETR: send a file."""
        offset, length = self.restart, self.range_length
        self.restart, self.range_length = 0, None
        self.need_data_port()
        path = self.absolute(arg)
        size = self.file_entry(arg, "retr_failed").size
        try:
            reader = self.storage.read(path)
        except OSError as error:
            self.fail("retr_failed", arg, error)
            return
        source: Source = connections.FileSource(reader, offset)
        if length is not None:
            overruns = self.profile.range_overruns
            kind = connections.OverrunningRange if overruns else connections.RangeSource
            source = kind(source, length)
        if self._current_type == "a" and self.profile.ascii_converts:
            source = connections.AsciiSource(source)
        corrupt = self.fault_of("corrupt")
        if corrupt is not None:
            source = connections.FlippedSource(source, corrupt.after_bytes or 0)
        source = self._prolonged(source)
        transfer = Transfer(source=source, done=("retr_done", {}), broken="retr_broken")
        self.begin_transfer(transfer, "retr", arg=arg, path=path, size=size)

    def do_stor(self, arg: str) -> None:
        """STOR: take a file."""
        self._store(arg, append=False)

    def do_appe(self, arg: str) -> None:
        """APPE: take the rest of a file."""
        self._store(arg, append=True)

    def _store(self, arg: str, *, append: bool) -> None:
        if self.fault_of("offset_ignored") is not None:
            offset, append = 0, False
        else:
            offset, self.restart = self.restart, 0
        self.need_data_port()
        path = self.absolute(arg)
        try:
            old_size: int | None = self.storage.stat(path).size
        except OSError:
            old_size = None
        if append and offset and not self.profile.appe_after_rest:
            self.reply(555, "Append can not be used after a REST command")
            return
        if (offset or (append and old_size)) and not self.profile.store_restart:
            raise CommandError("rest_refused", arg=arg)
        if append:
            offset = old_size or 0
        sink = self._open_sink(arg, path, offset, truncate=not append and not offset)
        if sink is None:
            return
        transfer = Transfer(sink=sink, done=("stor_done", {}), broken="stor_broken")
        self.begin_transfer(transfer, "stor", arg=arg, path=path)

    def _open_sink(self, arg: str, path: str, offset: int, *, truncate: bool) -> Sink | None:
        if self.lies():
            return connections.NowhereSink()
        try:
            if self.profile.stor_deletes_first and truncate:
                self._delete_target(path)
            writer = self.storage.write(path, truncate=truncate)
        except OSError as error:
            self.fail("stor_failed", arg, error)
            return None
        sink: Sink = connections.FileSink(writer, offset, self._room_left)
        if self._current_type == "a" and self.profile.ascii_converts:
            sink = connections.AsciiSink(sink)
        corrupt, noise = self.fault_of("corrupt"), self._noise()
        if corrupt is not None:
            sink = connections.FlippedSink(sink, corrupt.after_bytes or 0)
        if noise is not None:
            sink = connections.LongerSink(sink, noise)
        return sink

    def _delete_target(self, path: str) -> None:
        try:
            self.storage.remove_file(path)
        except FileNotFoundError:
            return

    def _room_left(self) -> int | None:
        fault = self.fault_of("quota")
        if fault is None or fault.limit_bytes is None:
            return None
        return fault.limit_bytes - self.storage.used_bytes()

    # --- listings

    def do_list(self, arg: str) -> None:
        """LIST: a listing for people."""
        self.need_data_port()
        dialect = DIALECTS[self.profile.listing]
        offset = self.sim.utc_offset_s
        names = self._names(arg, "LIST")
        now_ns = self.sim.now_ns()
        self._send_listing([dialect(name, entry, now_ns, offset) for name, entry in names])

    def do_nlst(self, arg: str) -> None:
        """NLST: only names."""
        self.need_data_port()
        names = [name for name, _entry in self._names(arg, "NLST")]
        self._send_listing(names, done="nlst_done")

    def _names(self, arg: str, verb: str) -> Names:
        """What the argument of LIST or NLST selects."""
        profile, flags = self.profile, ""
        while profile.list_flags and arg.startswith("-"):
            flag, _, arg = arg.partition(" ")
            flags += flag
        if profile.absolute_list_joins_cwd and arg.startswith("/"):
            path = self.absolute("./" + arg.lstrip("/"))
        else:
            path = self.absolute(arg)
        everything = profile.nlst_shows_all and verb == "NLST"
        shows_all = "a" in flags or everything or not profile.hides_dot_files
        try:
            names = self._select(path, flags)
            if everything and self.storage.stat(path).kind != "dir":
                raise NotADirectoryError(20, "Can't check for file existence")
        except OSError as error:
            if profile.missing_list_is_empty and not everything:
                return []
            if profile.list_failure_after_mark and verb == "LIST":
                self._fail_after_mark(arg, error)
                raise AnsweredError from error
            raise CommandError("list_failed", arg=arg, path=path, reason=error.strerror) from error
        chosen = [item for item in names if shows_all or not item[0].startswith(".")]
        if (profile.hides_dot_files and "a" in flags and verb == "LIST") or everything:
            directory = self.storage.stat(path)
            chosen = [(".", directory), ("..", directory), *chosen]
        return chosen[: profile.listing_max]

    def _fail_after_mark(self, arg: str, error: OSError) -> None:
        values = {"arg": arg, "path": self.absolute(arg), "reason": error.strerror}
        transfer = Transfer(source=BytesSource(b""), done=("list_failed", values))
        self.begin_transfer(transfer, "list")

    def _select(self, path: str, flags: str) -> Names:
        last = path.rpartition("/")[2]
        if self.profile.glob_first and any(char in last for char in "*?["):
            found = self.storage.list(parent_of(path))
            return [item for item in found if fnmatch.fnmatchcase(item[0], last)]
        try:
            entry = self.storage.stat(path)
        except OSError:
            pattern = path.rpartition("/")[2]
            if not self.profile.globs or not any(char in pattern for char in "*?["):
                raise
            names = self.storage.list(parent_of(path))
            return [item for item in names if fnmatch.fnmatchcase(item[0], pattern)]
        if entry.kind != "dir" or "d" in flags:
            return [(path.rpartition("/")[2], entry)]
        return self.storage.list(path)

    def do_mlsd(self, arg: str) -> None:
        """MLSD: a listing for programs."""
        self.need_data_port()
        path = self.absolute(arg)
        if self.profile.mlsd_hides_stars and "*" in arg:
            self.reply(550, "MLSD does not support wildcards")
            return
        try:
            names = self.storage.list(path)
        except NotADirectoryError:
            self.reply(501, f"{arg}: Not a directory")
            return
        except OSError as error:
            self.fail("mlsd_failed", arg, error)
            return
        if self.profile.lists_itself:
            itself = self.storage.stat(path)
            names = [(".", itself), *names, ("..", itself)]
        if self.profile.mlsd_hides_stars:
            names = [item for item in names if "*" not in item[0]]
        names = names[: self.profile.listing_max]
        self._send_listing([self._facts(path, name, entry) for name, entry in names])

    def do_mlst(self, arg: str) -> None:
        """MLST: the facts of one name, on the control connection."""
        path = self.absolute(arg)
        try:
            entry = self.storage.stat(path)
        except OSError as error:
            self.fail("mlst_failed", arg, error)
            return
        shown = path if self.profile.mlst_full_path else arg
        line = self._facts(parent_of(path), shown, entry, unique=path)
        _code, head = self.profile.reply("mlst_head")
        self.push(f"250-{head.replace('{arg}', arg)}\r\n")
        self.push("".join(f" {line}\r\n" for line in self._with_extra([line])))
        self.answer("mlst_end")

    def _facts(self, directory: str, name: str, entry: Entry, unique: str | None = None) -> str:
        return facts_line(
            name,
            entry,
            self.facts,
            fraction=self.profile.fraction,
            writable=not self._read_only(),
            unique=f"{crc32(os.fsencode(unique or join(directory, name))):x}U1",
        )

    def _with_extra(self, lines: list[str]) -> list[str]:
        fault = self.fault_of("listing")
        if fault is None:
            return lines
        return [*([] if fault.replace else lines), *fault.lines]

    def _send_listing(self, lines: list[str], done: str = "list_done") -> None:
        lines = self._with_extra(lines)
        data = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
        source = self._prolonged(BytesSource(data))
        transfer = Transfer(source=source, done=(done, {"count": len(lines)}), broken="retr_broken")
        self.begin_transfer(transfer, "list")
