"""One run of the checks: in order, in bounded time, and clean behind itself.

Each check is a function that looks at one thing and returns a `Finding`. A check that the server or
the network breaks is "unknown", and the next one gets a new session. A server that is gone ends the
run. What is learned goes into the server profile like what a drive learns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import (
    LoginRefused,
    NotAnFtpServer,
    NotFound,
    PyftpdriveError,
    RemoteError,
    RemoteUnavailable,
    TlsError,
    TooManySessions,
)
from pyftpdrive.base.paths import ROOT, join
from pyftpdrive.doctor.findings import Finding, Report, Verdict, plain
from pyftpdrive.doctor.scratch import Scratch, fresh_name, left_behind, remove
from pyftpdrive.ftp.ftp_client import ClientOptions, FtpClient
from pyftpdrive.ftp.listing import Listing
from pyftpdrive.ftp.profile import ServerProfile

TIMEOUT_MAX_S = 8.0  # for one wait; whoever looks at a screen waits no longer
DEADLINE_S = 40.0  # for all checks
CLEANING_S = 10.0  # afterwards, for the scratch directory
LATE_S = 0.3  # servers that allow one session need a moment to notice that ours has ended
LATE_TRIES = 10
SECRET_MIN = 3  # shorter than that, every text would be full of it


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """What is looked at, and how far."""

    client: ClientOptions
    server: str  # as people write it
    sessions_max: int = 8
    read_only: bool = False  # nothing is written, not even to try
    drives: tuple[str, ...] = ()  # our drives on this server, mounted now


class Examination:
    """What the checks work with."""

    def __init__(
        self,
        options: DoctorOptions,
        profile: ServerProfile,
        clock: Clock,
        client_factory: Callable[[], FtpClient] | None = None,
    ) -> None:
        timeout_s = min(options.client.timeout_s, TIMEOUT_MAX_S)
        self.options = options
        self.client_options = replace(options.client, timeout_s=timeout_s)
        self.profile = profile
        self.clock = clock
        self._factory = client_factory or (
            lambda: FtpClient(self.client_options, profile, clock=clock)
        )
        self._clients: list[FtpClient] = []
        self.watch = Watch()
        self.client = self.new_client()
        self.scratch: Scratch | None = None
        self.root: Listing | None = None  # None: not listed yet
        self.offers_tls: bool | None = None  # None: not known
        self.report = Report(server=options.server)

    def new_client(self) -> FtpClient:
        """Another session, not connected yet; it ends with the run."""
        client = self._factory()
        self.watch.also(client.close_abruptly)
        self._clients.append(client)
        return client

    def connect(self) -> None:
        """Have a session; patient with a server that has not noticed the end of the last one.

        Raises:
            RemoteError: there is none to be had.
        """
        for left in reversed(range(LATE_TRIES)):
            try:
                self.client.connect()
            except TooManySessions:
                if not left or self.options.drives or self.watch.over:
                    raise
                threading.Event().wait(LATE_S)
            else:
                return

    def anew(self) -> None:
        """A fresh session in place of the present one; raises what `connect` raises."""
        self.client.disconnect()
        self.connect()

    def said(self, words: object) -> str:
        """The server's words, or an error that has them: one line, harmless, without the password.

        Only what the server said: masked in our own words, the password would show.
        """
        if isinstance(words, RemoteError):
            words = words.reply or words
        text, password = str(words), self.client_options.password.reveal()
        return plain(text.replace(password, "***") if len(password) >= SECRET_MIN else text)

    # -- the run ------------------------------------------------------------------------------

    def run(self, checks: Sequence[Check]) -> Report:
        """Do *checks*; the scratch directory is gone afterwards, also after Ctrl+C."""
        self.watch.begin(DEADLINE_S)
        in_step = False
        try:
            for check in checks:
                if self.report.fatal is not None:
                    break
                self.report.findings.append(self._done(check))
            in_step = True
        finally:
            self.watch.end()
            if not in_step:
                self.client.close_abruptly()  # it may be in the middle of anything
            if self.scratch is not None:
                self._clean(self.scratch)
            for client in self._clients:
                client.disconnect()
        told = self.profile.snapshot()
        told["banner"], told["system"] = self.said(told["banner"]), self.said(told["system"])
        told["features"] = {self.said(k): self.said(v) for k, v in self.profile.features.items()}
        self.report.profile = told
        return self.report

    def _done(self, check: Check) -> Finding:
        if self.watch.over:
            return _unknown(check, f"not tried: {DEADLINE_S:g} s are over")
        if check.writes and self.options.read_only:
            return _unknown(check, "not tried: nothing is written with --read-only")
        if check.writes and self.scratch is None:
            return _unknown(check, "not tried: there is nowhere to write")
        try:
            if check.connected:
                self.connect()
        except RemoteError as error:
            return self._away(check, error)
        try:
            return check.look(self)
        except RemoteError as error:
            if not check.connected:
                return self._away(check, error)
            return self._broken(check, error)
        except PyftpdriveError as error:  # a refusal where none was expected
            return _unknown(check, f"could not be found out: {self.said(str(error))}")

    def _broken(self, check: Check, error: RemoteError) -> Finding:
        """The check's own trouble, or the end of the server?"""
        if isinstance(error, RemoteUnavailable) and not self.watch.over:
            try:
                self.connect()
            except RemoteError as gone:
                return self._away(check, gone)
        return _unknown(check, f"could not be found out: {self.said(str(error))}")

    def _away(self, check: Check, error: RemoteError) -> Finding:
        """There is no session to be had: the run ends."""
        seen, remedy = self.said(str(error)), advice(error)
        if isinstance(error, TooManySessions) and self.options.drives:
            drives = ", ".join(self.options.drives)
            seen = (
                f"the server takes no more sessions now, and your drive on {drives} holds "
                f"what it allows ({self.said(error)})"
            )
            remedy = f"Unmount {drives} for the check, or allow more sessions in the server app."
        self.report.fatal, self.report.why = error, seen
        return Finding(check=check.name, verdict=Verdict.BAD, seen=seen, remedy=remedy)

    # -- the scratch directory ------------------------------------------------------------------

    def make_scratch(self) -> None:
        """Make it; the checks that write begin to run.

        Raises:
            RemoteError: refused, or the session ended: then it may be there.
        """
        scratch = Scratch(path=join(ROOT, fresh_name(self.clock.now_ns())))
        try:
            self.client.create_dir(scratch.path)
        except RemoteUnavailable:
            self.scratch = scratch
            raise
        self.scratch = scratch

    def remove_left_behind(self) -> list[str]:
        """Remove what crashed runs have left; why some of it stays."""
        found = left_behind(self.client, self.clock.now_ns())
        return [problem for path in found if (problem := remove(self.client, path))]

    def _clean(self, scratch: Scratch) -> None:
        self.watch.begin(CLEANING_S)
        problem = ""
        try:
            if not self.client.connected:
                self.connect()
            problem = remove(self.client, scratch.path)
        except RemoteError as error:
            problem = str(error)
        finally:
            self.watch.end()
        if problem:
            finding = Finding(
                check="cleaning",
                verdict=Verdict.NOTICE,
                seen=f"{scratch.path} could not be removed: {self.said(problem)}",
                remedy="The next run removes it; or delete it by hand.",
            )
            self.report.findings.append(finding)


class Watch:
    """Cuts every connection when the time is over: whatever waits on the network then ends."""

    def __init__(self) -> None:
        self.over = False
        self._cuts: list[Callable[[], None]] = []
        self._timer: threading.Timer | None = None

    def also(self, cut: Callable[[], None]) -> None:
        """Call *cut*, too; it ends a connection from another thread."""
        self._cuts.append(cut)

    def begin(self, seconds: float) -> None:
        """From now on there are *seconds*."""
        self.over = False
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Done in time, or not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _cut(self) -> None:
        self.over = True
        for cut in list(self._cuts):
            cut()


def _unknown(check: Check, seen: str) -> Finding:
    return Finding(check=check.name, verdict=Verdict.UNKNOWN, seen=seen)


def advice(error: RemoteError) -> str:
    """What to do when there is no session to be had."""
    if isinstance(error, TooManySessions):
        return "Close other FTP programs, or allow more sessions in the server app."
    if isinstance(error, LoginRefused):
        return "Check --username and the password. Servers block who fails too often: wait a bit."
    if isinstance(error, TlsError):
        return "Give --tls-ca-file for a server's own certificate, or check --tls."
    if isinstance(error, NotAnFtpServer):
        return "Check --port, and --tls implicit if the server speaks TLS from the start."
    if isinstance(error, NotFound):
        return "Check --root, the directory of the server that is to be used."
    if "resolved" in str(error):
        return "Check the name, or use the address that the server app shows."
    if "refused" in str(error):
        return "Start the server app, and check --port: the app shows it."
    return "Is the server app in the foreground, the phone awake, and is it the same Wi-Fi?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table of checks."""

    name: str
    look: Callable[[Examination], Finding]
    connected: bool = True  # needs a session
    writes: bool = False  # needs the scratch directory
