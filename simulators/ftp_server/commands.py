"""What the commands do, for the server that the profile describes.

The handlers of files and directories are here; `transfers` has those with a data connection.
`session` decides when a command runs and what happens to its reply.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
from typing import TYPE_CHECKING, Any, ClassVar

from simulators.ftp_server.faults import WRITE_COMMANDS, Fault
from simulators.ftp_server.library import TLS_FTPHandler
from simulators.ftp_server.listings import parse_timestamp, timestamp
from simulators.ftp_server.storage import Entry, Storage, join, parent_of

if TYPE_CHECKING:
    from simulators.ftp_server.profiles import Profile
    from simulators.ftp_server.simulator import Core

ANONYMOUS = frozenset({"anonymous", "ftp"})
_NEEDS_ARGUMENT = frozenset(
    {
        "USER", "CWD", "XCWD", "MKD", "XMKD", "RMD", "XRMD", "DELE", "RNFR", "RNTO", "RETR",
        "STOR", "APPE", "REST", "SIZE", "MDTM", "MFMT", "TYPE", "STRU", "MODE", "PORT", "EPRT",
        "AUTH", "PROT", "HASH", "RANG",
    }
)  # fmt: skip
_WITH_PATH = frozenset(
    {
        "CWD", "XCWD", "MKD", "XMKD", "RMD", "XRMD", "DELE", "RNFR", "RNTO", "RETR", "STOR",
        "APPE", "SIZE", "MDTM", "MFMT", "LIST", "NLST", "MLSD", "MLST", "HASH", "MD5",
    }
)  # fmt: skip
_SYNONYMS = {"XPWD": "PWD", "XCWD": "CWD", "XCUP": "CDUP", "XMKD": "MKD", "XRMD": "RMD"}
_WINDOWS_REASONS = {
    errno.ENOENT: "The system cannot find the file specified. ",
    errno.ENOTEMPTY: "The directory is not empty. ",
    errno.EEXIST: "Cannot create a file when that file already exists. ",
}


class CommandError(Exception):
    """The command ends here, with this outcome of the profile."""

    def __init__(self, outcome: str, **values: Any) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.values = values


class AnsweredError(Exception):
    """The command ends here and has its answer."""


class Commands(TLS_FTPHandler):
    """The commands of one session that need no data connection."""

    sim: ClassVar[Core]  # set by the subclass that each simulator makes
    data_channel: Any = None
    faults: list[Fault]
    guest: bool

    def __init__(self, conn: Any, server: Any, ioloop: Any = None) -> None:
        self.cwd = "/"
        self.rename_from: str | None = None
        self.restart = 0
        self.range_length: int | None = None  # None: to the end
        self.facts = self.profile.facts
        self.hash_name = (self.profile.hashes or ("",))[0]
        self.cwd_refused = 0  # in a row
        self._extended = False
        self._aborted = False
        self._active: tuple[str, int] | None = None
        super().__init__(conn, server, ioloop)

    @classmethod
    def get_ssl_context(cls) -> Any:
        """The simulator's context; None where there is no TLS."""
        return cls.ssl_context

    @property
    def profile(self) -> Profile:
        """The server that we are."""
        return self.sim.profile

    @property
    def storage(self) -> Storage:
        """The server's files."""
        return self.sim.storage

    # What `session` has.
    def answer(self, outcome: str, **values: Any) -> None:
        """Send the reply that the profile has for *outcome*."""
        raise NotImplementedError

    def reply(self, code: int, text: str) -> None:
        """Send a reply."""
        raise NotImplementedError

    def respond(self, resp: str, logfun: Any = None) -> None:
        """Send the last line of a reply."""
        raise NotImplementedError

    def push(self, data: str) -> None:
        """Keep the first lines of a reply."""
        raise NotImplementedError

    def fault_of(self, kind: str, when: str | None = None) -> Fault | None:
        """The fault of this kind that strikes now."""
        raise NotImplementedError

    # --- before a command

    def perform(self, verb: str, arg: str) -> None:
        """Do the command, or say why not."""
        profile = self.profile
        if verb == "CONNECT":
            self._handler(verb)(arg)
            return
        known = verb in profile.commands or (
            verb in ("AUTH", "PBSZ", "PROT") and self.sim.tls is not None and profile.tls
        )
        if not known:
            raise CommandError("unknown", command=verb)
        if not self.authenticated and verb not in profile.before_login:
            raise CommandError("not_logged_in")
        if self.guest and verb in profile.guest_refused:
            raise CommandError("guest_refused")
        writes = verb in WRITE_COMMANDS or (verb == "MDTM" and self._sets_time(arg))
        if writes and self._read_only():
            if self.guest and profile.guest_read_only and profile.guest_refused:
                raise CommandError("guest_refused")
            fault = self.fault_of("read_only")
            if fault is not None and fault.text is not None:
                self.reply(fault.code or 550, fault.text)
                return
            raise CommandError("denied", arg=arg, path=self.absolute(arg))
        if verb in _NEEDS_ARGUMENT and not arg:
            self.reply(501, "Syntax error in parameters or arguments.")
            return
        self._handler(_SYNONYMS.get(verb, verb))(arg)

    def _handler(self, verb: str) -> Any:
        handler = getattr(self, f"do_{verb.lower()}", None)
        if handler is None:
            raise CommandError("refused", command=verb)
        return handler

    def _read_only(self) -> bool:
        guest = self.guest and self.profile.guest_read_only
        return self.sim.read_only or guest or self.fault_of("read_only") is not None

    def _would_log_in(self, verb: str, arg: str) -> bool:
        at_user = self.profile.user_logs_in_guest and arg.lower() in ANONYMOUS
        return verb == "PASS" or (verb == "USER" and at_user)

    def _fault_path(self, verb: str, arg: str) -> str | None:
        if verb not in _WITH_PATH:
            return None
        if verb == "MFMT" or (verb == "MDTM" and self._sets_time(arg)):
            arg = arg.partition(" ")[2]
        if verb in ("LIST", "NLST") and arg.startswith("-"):
            arg = arg.partition(" ")[2]
        return self.absolute(arg)

    def absolute(self, arg: str) -> str:
        """The absolute, normal path that *arg* stands for."""
        path = posixpath.normpath(posixpath.join(self.cwd, arg))
        return "/" + path.lstrip("/") if path != "." else "/"

    def lies(self) -> bool:
        """This command is to be answered and not done."""
        return self.fault_of("lie") is not None

    def fail(self, outcome: str, arg: str, error: OSError) -> None:
        """Say that it didn't work, in the profile's words."""
        number = error.errno or errno.EIO
        self.answer(
            outcome,
            arg=arg,
            path=self.absolute(arg),
            reason=os.strerror(number),
            reason_windows=_WINDOWS_REASONS.get(number, "Access is denied. "),
        )

    # --- login

    def do_user(self, arg: str) -> None:
        """USER: the name."""
        self.authenticated = False
        self.guest = False
        self.username = arg
        anonymous = arg.lower() in ANONYMOUS and self.sim.anonymous
        if anonymous and self.profile.user_logs_in_guest:
            self._log_in(guest=True)
        else:
            self.answer("need_email" if anonymous else "need_password", user=arg)

    def do_pass(self, arg: str) -> None:
        """PASS: the password."""
        if self.authenticated:
            self.reply(503, "Already logged in.")
        elif not self.username:
            self.reply(503, "Login with USER first.")
        elif self.username.lower() in ANONYMOUS and self.sim.anonymous:
            self._log_in(guest=True)
        elif self.username in self.sim.users and self.sim.users[self.username] == arg:
            self._log_in(guest=False)
        elif self.profile.login_failure_s:
            self.call_later(self.profile.login_failure_s, self.answer, "login_failed")
        else:
            self.answer("login_failed")

    def _log_in(self, *, guest: bool) -> None:
        limit = self.sim.sessions_max if self.profile.limit_at_login else None
        fault = self.fault_of("limit")
        code = self.profile.reply("too_many")[0]
        if fault is not None:
            limit, code = fault.limit, fault.code or 530
        guests_max = self.sim.guests_max
        full = limit is not None and self.sim.logins_now(guests_only=False) >= limit
        if guest and guests_max is not None:
            full = full or self.sim.logins_now(guests_only=True) >= guests_max
        if full:
            text = self.profile.reply("too_many")[1]
            self.reply(code, fault.text if fault is not None and fault.text else text)
            return
        self.authenticated = True
        self.guest = guest
        self.cwd = "/"
        self.answer("guest_in" if guest else "logged_in")

    def do_quit(self, _arg: str) -> None:
        """QUIT: goodbye."""
        self.answer("quit")

    def do_rein(self, _arg: str) -> None:
        """REIN: as in a new connection."""
        self.authenticated = self.guest = False
        self.username = ""
        self.reply(220, "Service ready for new user.")

    # --- TLS

    def do_auth(self, arg: str) -> None:
        """AUTH: TLS begins after the reply."""
        if self._ssl_established:
            self.reply(503, "Already using TLS.")
        elif arg.upper() in ("TLS", "TLS-C", "SSL", "TLS-P"):
            self.reply(234, "Proceed with negotiation.")
        else:
            self.reply(504, "Unknown AUTH type.")

    def do_pbsz(self, _arg: str) -> None:
        """PBSZ: only 0 makes sense with TLS."""
        if not self._ssl_established:
            self.reply(503, "PBSZ needs a secure connection.")
            return
        self._pbsz = True
        self.reply(200, "PBSZ set to 0.")

    def do_prot(self, arg: str) -> None:
        """PROT: whether data connections have TLS."""
        if not self._ssl_established or not self._pbsz:
            self.reply(503, "PROT needs a secure connection and PBSZ.")
        elif arg.upper() in ("C", "P"):
            self._prot = arg.upper() == "P"
            self.reply(200, f"PROT now {'Private' if self._prot else 'Clear'}.")
        else:
            self.reply(536, "PROT not supported.")

    # --- the session's settings

    def do_syst(self, _arg: str) -> None:
        """SYST: what the server calls itself."""
        self.answer("system")

    def do_noop(self, _arg: str) -> None:
        """NOOP: nothing."""
        self.answer("noop")

    def do_type(self, arg: str) -> None:
        """TYPE: A or I."""
        kind = arg.upper().replace(" ", "")
        if kind in ("I", "L8"):
            self._current_type = "i"
            self.answer("binary")
        elif kind in ("A", "AN"):
            self._current_type = "a"
            self.answer("ascii")
        else:
            self.answer("type_bad")

    def do_stru(self, arg: str) -> None:
        """STRU: only F."""
        self.reply(200, "Structure set to F.") if arg.upper() == "F" else self.reply(
            504, "Bad STRU command."
        )

    def do_mode(self, arg: str) -> None:
        """MODE: only S."""
        self.reply(200, "Mode set to S.") if arg.upper() == "S" else self.reply(
            504, "Bad MODE command."
        )

    def do_allo(self, _arg: str) -> None:
        """ALLO: never needed."""
        self.answer("allo")

    def do_clnt(self, _arg: str) -> None:
        """CLNT: thanks."""
        self.reply(200, "OK")

    def do_help(self, _arg: str) -> None:
        """HELP: the commands."""
        self.push("214-The following commands are recognized.\r\n")
        self.push(f" {' '.join(sorted(self.profile.commands))}\r\n")
        self.respond("214 Help OK.")

    def do_stat(self, _arg: str) -> None:
        """STAT: that we are alive."""
        self.push("211-FTP server status:\r\n")
        self.push(f"     Logged in as {self.username}\r\n")
        self.respond("211 End of status")

    def do_feat(self, _arg: str) -> None:
        """FEAT: what the profile claims."""
        features = self.profile.features
        if features is None:
            raise CommandError("refused")
        head, end = self.profile.feat_frame
        self.push(f"211-{head}\r\n")
        if self.sim.tls is not None and self.profile.tls:
            features = (*features, "AUTH TLS", "AUTH SSL", "PBSZ", "PROT")
        for feature in features:
            self.push(f" {feature}\r\n")
        self.respond(f"211 {end}")

    def do_opts(self, arg: str) -> None:
        """OPTS: UTF8, MLST facts, the HASH algorithm."""
        name, _, value = arg.partition(" ")
        name = name.upper()
        if name in ("UTF8", "UTF-8"):
            self.answer("opts_utf8")
        elif name == "MLST" and self.profile.facts:
            wanted = value.lower().split(";")
            self.facts = tuple(fact for fact in self.profile.facts if fact.lower() in wanted)
            self.reply(200, f"MLST OPTS {''.join(f'{fact};' for fact in self.facts)}")
        elif name == "HASH" and value.upper() in self.profile.hashes:
            self.hash_name = value.upper()
            self.reply(200, self.hash_name)
        else:
            self.reply(501, "Option not understood.")

    def do_rest(self, arg: str) -> None:
        """REST: where the next transfer begins."""
        if not arg.isdigit():
            self.restart = 0
            self.answer("rest_bad")
            return
        self.restart = int(arg)
        self.range_length = None
        self.answer("rest", offset=arg)

    def do_rang(self, arg: str) -> None:
        """RANG: which octets the next RETR sends, both ends included."""
        first, _, last = arg.partition(" ")
        if not (first.isdigit() and last.isdigit()):
            self.reply(501, "Invalid range.")
        elif int(last) < int(first):
            self.restart, self.range_length = 0, None
            self.reply(350, "Restarting at 0. Range reset.")
        else:
            self.restart, self.range_length = int(first), int(last) - int(first) + 1
            self.reply(350, f"Restarting at {first}. End byte range at {last}.")

    # --- directories and names

    def do_pwd(self, _arg: str) -> None:
        """PWD: where we are."""
        self.answer("pwd", path=self.cwd, quoted=self.cwd.replace('"', '""'))

    def do_cwd(self, arg: str) -> None:
        """CWD: go there."""
        path = self.absolute(arg)
        try:
            if self.storage.stat(path).kind != "dir":
                raise OSError(errno.ENOTDIR, "Not a directory")
        except OSError as error:
            penalty_s = self.profile.cwd_penalty_s * self.cwd_refused
            self.cwd_refused += 1
            if penalty_s:
                self.call_later(penalty_s, self.fail, "cwd_failed", arg, error)
            else:
                self.fail("cwd_failed", arg, error)
            return
        self.cwd_refused = 0
        self.cwd = path
        self.answer("cwd", path=path, arg=arg)

    def do_cdup(self, _arg: str) -> None:
        """CDUP: up."""
        self.do_cwd("..")

    def do_mkd(self, arg: str) -> None:
        """MKD: a new directory."""
        path = self.absolute(arg)
        try:
            if not self.lies():
                self.storage.make_directory(path)
        except OSError as error:
            self.fail("mkd_failed", arg, error)
            return
        self.answer("mkd", path=path, quoted=path.replace('"', '""'), arg=arg)

    def do_rmd(self, arg: str) -> None:
        """RMD: an empty directory goes; with some servers a full one too."""
        path = self.absolute(arg)
        recursive = self.profile.rmd_recursive or self.fault_of("recursive_rmd") is not None
        try:
            if path == "/":
                raise OSError(errno.EBUSY, "Device or resource busy")
            if not self.lies():
                if recursive:
                    self._empty(path)
                self.storage.remove_directory(path)
        except OSError as error:
            self.fail("rmd_failed", arg, error)
            return
        self.answer("rmd", path=path, arg=arg)

    def _empty(self, path: str) -> None:
        for name, entry in self.storage.list(path):
            below = join(path, name)
            if entry.kind == "dir":
                self._empty(below)
                self.storage.remove_directory(below)
            else:
                self.storage.remove_file(below)

    def do_dele(self, arg: str) -> None:
        """DELE: a file goes."""
        path = self.absolute(arg)
        try:
            if not self.lies():
                self.storage.remove_file(path)
        except OSError as error:
            self.fail("dele_failed", arg, error)
            return
        self.answer("dele", path=path, arg=arg)

    def do_rnfr(self, arg: str) -> None:
        """RNFR: what RNTO is to rename."""
        path = self.absolute(arg)
        try:
            self.storage.stat(path, follow=False)
        except OSError as error:
            self.fail("rnfr_failed", arg, error)
            return
        self.rename_from = path
        self.answer("rnfr", path=path, arg=arg)

    def do_rnto(self, arg: str) -> None:
        """RNTO: rename it; whether over an existing file depends on the server."""
        old, self.rename_from = self.rename_from, None
        if old is None:
            raise CommandError("rnto_first")
        new = self.absolute(arg)
        try:
            if not self.lies():
                if self.fault_of("rename_aside") is not None:
                    self.storage.rename(old, self._free_name(old, new))
                elif not self.profile.rename_over and self._is_taken(old, new):
                    self.answer("rnto_exists", path=new, arg=arg)
                    return
                else:
                    self.storage.rename(old, new)
        except OSError as error:
            self.fail("rnto_failed", arg, error)
            return
        self.answer("rnto", path=new, arg=arg)

    def _free_name(self, old: str, new: str) -> str:
        """*new*, or "name (1).ext" and so on when it is taken."""
        stem, suffix = posixpath.splitext(new)
        name, number = new, 0
        while self._is_taken(old, name):
            number += 1
            name = f"{stem} ({number}){suffix}"
        return name

    def _is_taken(self, old: str, new: str) -> bool:
        if self.profile.ignores_case and old.casefold() == new.casefold():
            return False
        try:
            self.storage.stat(new, follow=False)
        except FileNotFoundError:
            return False
        return True

    # --- facts of one file

    def file_entry(self, arg: str, outcome: str) -> Entry:
        """The entry of a file that must be there.

        Raises:
            CommandError: it isn't there, or isn't a file.
        """
        path = self.absolute(arg)
        try:
            entry = self.storage.stat(path)
        except OSError as error:
            raise CommandError(outcome, arg=arg, path=path, reason=error.strerror) from error
        if entry.kind != "file":
            raise CommandError(outcome, arg=arg, path=path, reason="not a regular file")
        return entry

    def do_size(self, arg: str) -> None:
        """SIZE: octets of a file."""
        if self._current_type == "a" and not self.profile.size_in_ascii:
            self.reply(550, "SIZE not allowed in ASCII mode")
            return
        self.reply(213, str(self.file_entry(arg, "size_failed").size))

    def _sets_time(self, arg: str) -> bool:
        stamp, space, _ = arg.partition(" ")
        return self.profile.mdtm_sets and bool(space) and len(stamp) == 14 and stamp.isdigit()

    def do_mdtm(self, arg: str) -> None:
        """MDTM: when a file was modified; some servers also set it so."""
        if self._sets_time(arg):
            stamp, _, name = arg.partition(" ")
            self._set_time(stamp, name, "mdtm_set", "mdtm_failed")
            return
        path = self.absolute(arg)
        try:
            entry = self.storage.stat(path)
        except OSError as error:
            self.fail("mdtm_failed", arg, error)
            return
        if entry.kind != "file" and not self.profile.directory_times:
            raise CommandError("mdtm_failed", arg=arg, path=path, reason="not a plain file.")
        self.reply(213, timestamp(entry.modified_ns, fraction=self.profile.fraction))

    def do_mfmt(self, arg: str) -> None:
        """MFMT: set when a file was modified."""
        stamp, _, name = arg.partition(" ")
        self._set_time(stamp, name, "mfmt", "mfmt_failed")

    def _set_time(self, stamp: str, name: str, outcome: str, failed: str) -> None:
        path = self.absolute(name)
        try:
            modified_ns = parse_timestamp(stamp)
        except ValueError:
            self.reply(501, f"{stamp}: not a time")
            return
        try:
            if not self.lies():
                self.storage.set_times(path, modified_ns)
        except OSError as error:
            self.fail(failed, name, error)
            return
        self.answer(outcome, time=stamp, path=path, arg=name)

    def do_hash(self, arg: str) -> None:
        """HASH: the digest of a file."""
        entry = self.file_entry(arg, "size_failed")
        size, name = entry.size, self.hash_name.replace("-", "").lower()
        if self.fault_of("digest_cached") is not None:
            key = (self.absolute(arg), name, entry.modified_ns // 10**9)
            digest = self.sim.digests.setdefault(key, self._digest(arg, name))
        else:
            digest = self._digest(arg, name)
        self.reply(213, f"{self.hash_name} 0-{size} {digest} {arg}")

    def do_md5(self, arg: str) -> None:
        """MD5: the digest of a file."""
        self.file_entry(arg, "size_failed")
        self.reply(251, f"{arg} {self._digest(arg, 'md5').upper()}")

    def do_mmd5(self, arg: str) -> None:
        """MMD5: the digests of several files."""
        names = [name.strip().strip('"') for name in arg.split(",")]
        for name in names:
            self.file_entry(name, "size_failed")
        parts = [f"{name} {self._digest(name, 'md5').upper()}" for name in names]
        self.reply(252, ", ".join(parts))

    def _digest(self, arg: str, name: str) -> str:
        digest = hashlib.new(name)
        reader = self.storage.read(self.absolute(arg))
        offset = 0
        while data := reader.read(offset, 1 << 20):
            digest.update(data)
            offset += len(data)
        reader.close()
        return digest.hexdigest()

    def do_avbl(self, _arg: str) -> None:
        """AVBL: octets that still fit."""
        fault = self.fault_of("quota")
        total = fault.limit_bytes if fault is not None else self.profile.available_bytes
        self.reply(213, str(max(0, (total or 0) - self.storage.used_bytes())))

    def do_site(self, arg: str) -> None:
        """SITE: CHMOD and UTIME; with some servers a no-op that says yes."""
        if self.profile.site_is_noop:
            self.reply(250, "SITE is a NOP")
            return
        name, _, rest = arg.partition(" ")
        mode, _, path = rest.partition(" ")
        if name.upper() != "CHMOD" or not path:
            raise CommandError("site_unknown")
        if self._read_only():
            raise CommandError("denied", arg=path, path=self.absolute(path))
        try:
            self.storage.set_mode(self.absolute(path), int(mode, 8) & 0o777)
        except (OSError, ValueError):
            self.reply(550, "SITE CHMOD command failed.")
            return
        self.answer("site_chmod")

    def parent_exists(self, path: str) -> bool:
        """Whether a file could be made at *path*."""
        try:
            return self.storage.stat(parent_of(path)).kind == "dir"
        except OSError:
            return False
