"""One logged-in session: dialling, TLS, login, what is where on the server.

After `connect` the session is always in the same state: logged in, TYPE I, names in the agreed
encoding, `base` known. Source: RFC 959 5.4, RFC 4217 (TLS), RFC 2389 (FEAT, OPTS), RFC 2640 (UTF8).
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import TYPE_CHECKING

from pyftpdrive.base.errors import (
    LoginRefused,
    NotAnFtpServer,
    NotFound,
    RemoteError,
    RemoteTimeout,
    RemoteUnavailable,
    TlsError,
    TooManySessions,
)
from pyftpdrive.base.paths import ROOT, RemotePath, remote_path
from pyftpdrive.base.secret import Secret
from pyftpdrive.ftp.channel import ControlChannel, command_line
from pyftpdrive.ftp.listing import NameCodec
from pyftpdrive.ftp.profile import Proof, ServerProfile
from pyftpdrive.ftp.replies import Reply, parse_feat, parse_pwd, remote_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyftpdrive.base.clock import Clock

ANONYMOUS_USER = "anonymous"
ANONYMOUS_PASSWORD = "pyftpdrive@"  # noqa: S105  # the customary mail address, not a secret
PROOF_TIMEOUT_S = 5.0  # for the one flight that proves pipelining
QUIT_TIMEOUT_S = 0.5
UNKNOWN_COMMAND = (500, 502, 504)
_LIMIT_HINT = re.compile(
    r"too many|maxim|\bmax\b|limit|already (?:connected|logged)|try (?:again )?later|\bbusy\b",
    re.IGNORECASE,
)


@unique
class TlsMode(Enum):
    """How the session is protected."""

    NONE = "none"
    EXPLICIT = "explicit"  # AUTH TLS on the ordinary port
    IMPLICIT = "implicit"  # TLS from the first octet (port 990)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Which server, as whom, and how."""

    host: str
    port: int = 21
    username: str = ""  # '' = anonymous
    password: Secret = field(default_factory=lambda: Secret(""))
    passive: bool = True
    tls: TlsMode = TlsMode.NONE
    tls_verify: bool = True
    tls_ca_file: str | None = None  # PEM; None: the system's authorities
    encoding: str = "utf-8"
    timeout_s: float = 30.0  # for each wait on the network
    root: str = ""  # mounted directory; '' = where the login lands, relative = below that

    @property
    def identity(self) -> str:
        """What makes it another drive: who, where, which directory. No secret in it."""
        return f"{self.username}@{self.host}:{self.port}/{self.root}"


class Session:
    """A control connection and what we know about its state. Not thread-safe.

    `base` is the mounted directory's absolute path on the server without trailing slash, as
    octets; `cwd` is where the server is now, as a path below `base` (None: not known).
    """

    def __init__(self, options: ClientOptions, profile: ServerProfile, clock: Clock) -> None:
        self.options = options
        self.profile = profile
        self.clock = clock
        self.codec = NameCodec(options.encoding)
        self.server = f"{options.host}:{options.port}"
        self.base = b""
        self.cwd: RemotePath | None = None
        self.digest_chosen = ""  # by OPTS HASH in this session; '': the server's default
        self.tls_context: ssl.SSLContext | None = None
        self.on_activity: Callable[[], None] | None = None
        self.on_exchange: Callable[[bytes | Reply], None] | None = None
        self.interrupt: Callable[[], None] | None = None  # wakes who waits for the transfer's data
        self._channel: ControlChannel | None = None

    # -- state ------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """True while commands can be sent, as far as we know."""
        return self._channel is not None and not self._channel.closed

    @property
    def channel(self) -> ControlChannel:
        """The control connection.

        Raises:
            RemoteUnavailable: there is none.
        """
        if self._channel is None or self._channel.closed:
            raise RemoteUnavailable(f"there is no session with {self.server}")
        return self._channel

    @property
    def last_used(self) -> float:
        """When the server last took or gave an octet (monotonic seconds)."""
        return self._channel.last_used if self._channel is not None else 0.0

    def wire(self, path: RemotePath) -> bytes:
        """The absolute path to send for *path*.

        Raises:
            InvalidName: the server's encoding can't hold it.
        """
        return (self.base + (b"" if path == ROOT else self.codec.encode(path))) or b"/"

    def _note_exchange(self, what: bytes | Reply) -> None:
        if self.on_exchange is not None:
            self.on_exchange(what)

    def note_activity(self) -> None:
        """Tell the owner's watcher that octets moved."""
        if self.on_activity is not None:
            self.on_activity()

    # -- commands ---------------------------------------------------------------------------

    def command(
        self,
        verb: str,
        argument: RemotePath | bytes | None = None,
        *,
        prefix: bytes = b"",
        timeout_s: float | None = None,
    ) -> Reply:
        """Send *verb* with *prefix* and *argument*; the reply, whatever it says."""
        octets = self.wire(argument) if isinstance(argument, str) else argument
        line = prefix + octets if octets is not None else None
        return self.channel.command(verb, line, timeout_s=timeout_s)

    def flight(self, lines: Sequence[bytes]) -> list[Reply]:
        """Send metadata commands together where the server was proven to bear it."""
        if self.profile.pipelining is not Proof.YES:
            return [self._single(line) for line in lines]
        try:
            return self.channel.flight(lines)
        except RemoteUnavailable:
            if len(lines) > 1:
                self.profile.pipelining_broke()
            raise

    def _single(self, line: bytes) -> Reply:
        channel = self.channel
        channel.discard_surplus()
        channel.send(line)
        return channel.read_reply()

    # -- connecting -------------------------------------------------------------------------

    def connect(self, timeout_s: float | None = None) -> None:
        """Dial and log in.

        Raises:
            RemoteUnavailable: nobody answers there, or not now (TooManySessions, RemoteTimeout).
            LoginRefused: these words don't open the door.
            NotAnFtpServer: something else answers there.
            TlsError: TLS was asked for and can't be had, or the certificate isn't trusted.
            NotFound: `options.root` does not exist.
        """
        self.close()
        timeout = self.options.timeout_s if timeout_s is None else timeout_s
        unproven = self.profile.pipelining is Proof.UNKNOWN
        try:
            self._connect(timeout)
        except RemoteUnavailable:
            if not (unproven and self.profile.pipelining is Proof.NO):
                self.close()
                raise
            self._connect(timeout)  # the flight was too much for this server: one by one
        except RemoteError:
            self.close()
            raise
        self.channel.timeout_s = self.options.timeout_s

    def close(self) -> None:
        """End the session at once, without a word."""
        if self._channel is not None:
            self._channel.close()
        if self.interrupt is not None:
            self.interrupt()
        self.cwd = None
        self.digest_chosen = ""

    def quit(self) -> None:
        """End the session politely; never waits long and never fails."""
        if self.connected:
            try:
                self.channel.send(command_line("QUIT"))
                self.channel.read_reply(QUIT_TIMEOUT_S)
            except RemoteError:
                pass
        self.close()

    def _connect(self, timeout_s: float) -> None:
        self.tls_context = self._make_context()
        channel = self._dial(timeout_s)
        self._channel = channel
        channel.on_activity = self.note_activity
        channel.on_exchange = self._note_exchange
        if self.tls_context is not None and self.options.tls is TlsMode.IMPLICIT:
            channel.start_tls(self.tls_context, self.options.host)
        self._greet(channel)
        if self.tls_context is not None and self.options.tls is TlsMode.EXPLICIT:
            reply = channel.command("AUTH", b"TLS")
            if reply.code != 234:
                raise TlsError(f"{self.server} refuses TLS: {reply.text}", reply=reply.text)
            channel.start_tls(self.tls_context, self.options.host)
        self._log_in(channel)
        self._agree(channel)

    def _make_context(self) -> ssl.SSLContext | None:
        if self.options.tls is TlsMode.NONE:
            return None
        try:
            context = ssl.create_default_context(cafile=self.options.tls_ca_file)
        except (OSError, ValueError) as exc:
            raise TlsError(f"the CA file {self.options.tls_ca_file} can't be used: {exc}") from exc
        if not self.options.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.profile.tls13_data is Proof.NO:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _dial(self, timeout_s: float) -> ControlChannel:
        address = (self.options.host, self.options.port)
        try:
            sock = socket.create_connection(address, timeout=timeout_s)
        except socket.gaierror as exc:
            raise RemoteUnavailable(
                f"the host name {self.options.host!r} can't be resolved: {exc.strerror}"
            ) from exc
        except TimeoutError as exc:
            raise RemoteTimeout(f"{self.server} did not answer within {timeout_s:g} s") from exc
        except ConnectionRefusedError as exc:
            raise RemoteUnavailable(f"nothing listens at {self.server}: refused") from exc
        except (OSError, ValueError, OverflowError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            raise RemoteUnavailable(f"{self.server} can't be reached: {reason}") from exc
        try:
            return ControlChannel(
                sock,
                timeout_s=timeout_s,
                clock=self.clock,
                server=self.server,
                secret=self.options.password,
            )
        except OSError as exc:
            sock.close()
            raise RemoteUnavailable(f"{self.server} hung up at once") from exc

    # -- logging in -------------------------------------------------------------------------

    def _greet(self, channel: ControlChannel) -> None:
        try:
            reply = channel.read_banner()
            while reply.code < 200:
                reply = channel.read_reply()  # 120: ready in a while
        except RemoteUnavailable as exc:
            raise self._door_shut(exc) from exc
        if reply.code >= 300:
            raise self._refused(reply)
        self.profile.greeted(reply.text)

    def _log_in(self, channel: ControlChannel) -> None:
        """USER and PASS. Source: RFC 959 5.4; 202 and 232 as servers really say them."""
        user = self.options.username or ANONYMOUS_USER
        password = self.options.password.reveal() or (
            "" if self.options.username else ANONYMOUS_PASSWORD
        )
        try:
            reply = channel.command("USER", self.codec.encode(user))
            if reply.code in UNKNOWN_COMMAND:
                raise NotAnFtpServer(
                    f"{self.server} does not know USER; it greeted with: {self.profile.banner}",
                    reply=reply.text,
                )
            if reply.code == 331:
                reply = channel.command("PASS", self.codec.encode(password))
        except RemoteUnavailable as exc:
            raise self._door_shut(exc) from exc
        if reply.code == 332:
            raise LoginRefused(f"{self.server} asks for an account (ACCT)", reply=reply.text)
        if not 200 <= reply.code < 300:
            raise self._refused(reply)

    def _door_shut(self, exc: RemoteUnavailable) -> RemoteUnavailable:
        """421 before the login is done means: enough sessions."""
        if exc.reply is None:
            return exc
        return TooManySessions(
            f"{self.server} takes no more sessions now: {exc.reply}", reply=exc.reply
        )

    def _refused(self, reply: Reply) -> RemoteError:
        self.close()
        if _LIMIT_HINT.search(reply.text):
            return TooManySessions(
                f"{self.server} takes no more sessions now: {reply.text}", reply=reply.text
            )
        if 400 <= reply.code < 500:
            return RemoteUnavailable(f"{self.server} does not let us in now: {reply.text}")
        return LoginRefused(f"{self.server} refused the login: {reply.text}", reply=reply.text)

    # -- agreeing on the rest -----------------------------------------------------------------

    def _agree(self, channel: ControlChannel) -> None:
        """Protection, features, encoding, type, place: as few round trips as are proven."""
        if self.profile.feat is Proof.UNKNOWN:
            reply = channel.command("FEAT")
            if reply.code == 211:
                self.profile.features = parse_feat(reply)
                self.profile.confirm("feat")
            else:
                self.profile.deny("feat")  # swiftp refuses it to guests; nothing follows from it
        if self.options.tls is not TlsMode.NONE:
            self._protect()
        utf8 = self.options.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
        if self.profile.pipelining is Proof.UNKNOWN:
            if utf8:
                self._note_utf8(channel.command("OPTS", b"UTF8 ON"))
            place = self._prove_pipelining(channel)
        else:
            lines = [command_line("OPTS", b"UTF8 ON")] if utf8 else []
            replies = self.flight([*lines, command_line("TYPE", b"I"), command_line("PWD")])
            if utf8:
                self._note_utf8(replies[0])
            self._check_type(replies[-2])
            place = replies[-1]
        self.base = self._directory(place)
        self.cwd = ROOT
        if self.options.root.strip("/"):
            self._enter_root()

    def _protect(self) -> None:
        """PBSZ, PROT P. Source: RFC 4217 9."""
        replies = self.flight([command_line("PBSZ", b"0"), command_line("PROT", b"P")])
        if not replies[1].is_positive:
            self.close()
            raise TlsError(
                f"{self.server} refuses to protect data connections: {replies[1].text}",
                reply=replies[1].text,
            )

    def _note_utf8(self, reply: Reply) -> None:
        """Any reply will do: many servers are in UTF-8 already and refuse to say so."""
        if reply.is_positive:
            self.profile.confirm("utf8")

    def _check_type(self, reply: Reply) -> None:
        if not reply.is_positive:
            self.close()
            raise remote_error(reply, action="TYPE I")

    def _prove_pipelining(self, channel: ControlChannel) -> Reply:
        """Three harmless commands in one write; three fitting replies are the proof."""
        lines = [command_line("SYST"), command_line("TYPE", b"I"), command_line("PWD")]
        try:
            system, kind, place = channel.flight(
                lines, timeout_s=min(PROOF_TIMEOUT_S, channel.timeout_s)
            )
        except RemoteUnavailable:
            self.profile.pipelining_broke()
            raise
        if system.code == 215:
            self.profile.identified(system.text)
        if kind.code == 200 and place.code == 257:
            self.profile.confirm("pipelining")
            return place
        self.profile.deny("pipelining")
        self._check_type(channel.command("TYPE", b"I"))
        return channel.command("PWD")

    def _directory(self, reply: Reply) -> bytes:
        """The octets of the directory that a 257 names, without trailing slash."""
        if reply.code != 257:
            return b""  # a server without PWD: its root is where we are, as far as one can tell
        return raw_octets(parse_pwd(reply)).rstrip(b"/")

    def _enter_root(self) -> None:
        """CWD to `options.root` and make it the base."""
        wanted = self.codec.encode(remote_path(self.options.root))
        if not self.options.root.startswith("/"):
            wanted = self.base + wanted
        reply = self.command("CWD", wanted)
        if not reply.is_positive:
            self.close()
            raise NotFound(
                f"the directory {self.options.root!r} can't be entered on {self.server}: "
                f"{reply.text}",
                reply=reply.text,
            )
        place = self.command("PWD")
        self.base = self._directory(place) if place.code == 257 else wanted


def raw_octets(text: str) -> bytes:
    """The octets that a reply's text was made of."""
    return text.encode("utf-8", "surrogateescape")
