"""Real FTP servers on loopback: vsftpd, ProFTPD and Pure-FTPd, for tests only.

The three Debian packages conflict, so they are never installed but unpacked, with the libraries
that are missing, into one directory:

    python -m tests.helpers.real_servers install [DIR]     # needs apt-get and dpkg-deb, not root
    python -m tests.helpers.real_servers check [DIR]       # which of them can run here

The directory is PYFTPDRIVE_TEST_SERVERS, else `.servers/` in the project root. Each server runs as
the user who runs the test, on a free port of 127.0.0.1, below a temporary directory, and is
stopped by its process id. vsftpd serves anonymous, the other two the user `tester`. Debian's
Pure-FTPd must be started by root (it changes root and user for each session).
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAMES = ("vsftpd", "proftpd", "pureftpd")
PACKAGES = ("vsftpd", "proftpd-core", "pure-ftpd", "pure-ftpd-common")
USER = "tester"
PASSWORD = "pyftpdrive-test"
# openssl passwd -6 -salt pyftpdrive pyftpdrive-test
PASSWORD_HASH = (
    "$6$pyftpdrive$/aYOWdpt.g.RsLxMu6/L8bwjixv6BBz3LOny1C6CK6HA57pITQTcGy40E48VKu5G5swxfWiAl3Gw"
    "W/b.YCbTE."
)
START_TIMEOUT_S = 10.0
ATTEMPTS = 5  # another process may take the free port before the server does
_BINARIES = {"vsftpd": "vsftpd", "proftpd": "proftpd", "pureftpd": "pure-ftpd"}


def directory() -> Path:
    """Where the servers are unpacked."""
    named = os.environ.get("PYFTPDRIVE_TEST_SERVERS")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".servers"


def binary(name: str) -> Path:
    """The server's program."""
    return directory() / "usr" / "sbin" / _BINARIES[name]


def _environment() -> dict[str, str]:
    folders = {str(lib.parent) for lib in directory().glob("**/lib*.so*")}
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}


def available(name: str) -> str | None:
    """Why *name* can't run here; None: it can."""
    if name not in NAMES:
        return f"no such server: {name}"
    if platform.system() != "Linux":
        return "the packages are for Linux"
    if not binary(name).exists():
        return f"{name} is not unpacked: python -m tests.helpers.real_servers install"
    if name == "pureftpd" and _me().uid != 0:
        return "Debian's pure-ftpd must be started by root"
    missing = _missing_libraries(name)
    return f"{name} lacks {', '.join(missing)}" if missing else None


def _missing_libraries(name: str) -> list[str]:
    shown = subprocess.run(
        ["ldd", str(binary(name))], env=_environment(), capture_output=True, text=True, check=False
    )
    return [line.split()[0] for line in shown.stdout.splitlines() if "not found" in line]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Me:
    """Who runs the tests."""

    name: str
    group: str
    uid: int
    gid: int


def _me() -> _Me:
    if sys.platform != "win32":
        import grp
        import pwd

        uid, gid = os.geteuid(), os.getegid()
        return _Me(
            name=pwd.getpwuid(uid).pw_name, group=grp.getgrgid(gid).gr_name, uid=uid, gid=gid
        )
    raise RuntimeError("the packages are for Linux")


def _end(process: subprocess.Popen[bytes], *, hard: bool) -> None:
    """Signal the process group that we started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL if hard else signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    """How to start one server."""

    command: list[str]
    username: str  # '' = anonymous
    password: str


class RealServer:
    """A running server. `root` holds the files that it serves."""

    host = "127.0.0.1"

    def __init__(self, name: str, *, certificate: Path | None = None) -> None:
        self.name = name
        self.port = 0
        self.username = ""
        self.password = ""
        self._certificate = certificate  # PEM with key: TLS is offered (not by proftpd)
        self._home = Path(tempfile.mkdtemp(prefix=f"pyftpdrive-{name}-"))
        self._home.chmod(0o755)
        self.root = self._home / "files"
        self.root.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, name: str, *, certificate: Path | None = None) -> RealServer:
        """Start *name* and return when it greets; use it as a context manager.

        Raises:
            RuntimeError: it can't run here, or did not come up; its output is in the text.
        """
        reason = available(name)
        if reason is not None:
            raise RuntimeError(reason)
        server = cls(name, certificate=certificate)
        try:
            server._launch()
        except BaseException:
            server.stop()
            raise
        return server

    def __enter__(self) -> RealServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and its sessions, and remove its files."""
        if self._process is not None:
            _end(self._process, hard=False)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                _end(self._process, hard=True)
                self._process.wait(5)
            self._process = None
        shutil.rmtree(self._home, ignore_errors=True)

    def log(self) -> str:
        """What the server printed."""
        path = self._home / "output.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # -- starting ---------------------------------------------------------------------------

    def _launch(self) -> None:
        for _ in range(ATTEMPTS):
            self.port = _free_port()
            launch = _RECIPES[self.name](self)
            self.username, self.password = launch.username, launch.password
            with (self._home / "output.log").open("wb") as output:
                self._process = subprocess.Popen(
                    launch.command,
                    env=_environment(),
                    cwd=self._home,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # its own process group: all of it can be ended
                )
            if self._greets():
                return
        raise RuntimeError(f"{self.name} does not start: {self.log()}")

    def _greets(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        pause = threading.Event()
        while time.monotonic() < deadline and self._process.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection((self.host, self.port), timeout=2) as sock,
            ):
                if sock.recv(3) == b"220":
                    return True
            pause.wait(0.02)
        if self._process.poll() is None:
            _end(self._process, hard=True)
            self._process.wait(5)
        return False

    def write(self, name: str, text: str) -> Path:
        """A private file of the server's (configuration, passwords)."""
        path = self._home / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    @property
    def home(self) -> Path:
        """The server's own directory, beside `root`."""
        return self._home

    @property
    def certificate(self) -> Path | None:
        """PEM with certificate and key, when TLS is offered."""
        return self._certificate


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _vsftpd(server: RealServer) -> _Launch:
    empty = server.home / "empty"
    empty.mkdir(exist_ok=True)
    options = {
        "listen": "YES",
        "listen_address": server.host,
        "listen_port": str(server.port),
        "background": "NO",
        "run_as_launching_user": "YES",
        "seccomp_sandbox": "NO",
        "anonymous_enable": "YES",
        "local_enable": "NO",
        "ftp_username": _me().name,
        "anon_root": str(server.root),
        "secure_chroot_dir": str(empty),
        "write_enable": "YES",
        "anon_upload_enable": "YES",
        "anon_mkdir_write_enable": "YES",
        "anon_other_write_enable": "YES",
        "anon_world_readable_only": "NO",
        "anon_umask": "022",
        "file_open_mode": "0666",
        "mdtm_write": "YES",
        "connect_from_port_20": "NO",
        "xferlog_enable": "NO",
        "use_localtime": "NO",
        "idle_session_timeout": "300",
    }
    if server.certificate is not None:
        options |= {
            "ssl_enable": "YES",
            "allow_anon_ssl": "YES",
            "rsa_cert_file": str(server.certificate),
            "require_ssl_reuse": "YES",
            "ssl_ciphers": "HIGH",
        }
    text = "".join(f"{key}={value}\n" for key, value in options.items())
    return _Launch(
        command=[str(binary("vsftpd")), str(server.write("vsftpd.conf", text))],
        username="",
        password="",
    )


def _proftpd(server: RealServer) -> _Launch:
    me = _me()
    passwords = server.write(
        "passwords",
        f"{USER}:{PASSWORD_HASH}:{me.uid}:{me.gid}:test:{server.root}:/bin/sh\n",
    )
    groups = server.write("groups", f"{USER}:x:{me.gid}:{USER}\n")
    root_only = "DefaultRoot ~\n" if me.uid == 0 else ""
    modules = directory() / "usr" / "lib" / "proftpd"
    text = f"""
ModulePath {modules}
LoadModule mod_digest.c
ServerType standalone
DefaultAddress {server.host}
SocketBindTight on
Port {server.port}
UseIPv6 off
UseReverseDNS off
User {me.name}
Group {me.group}
RootLogin on
RequireValidShell off
AuthOrder mod_auth_file.c
AuthUserFile {passwords}
AuthGroupFile {groups}
{root_only}PidFile {server.home}/proftpd.pid
ScoreboardFile {server.home}/scoreboard
DelayEngine off
WtmpLog off
TransferLog none
SystemLog {server.home}/system.log
AllowOverwrite on
AllowStoreRestart on
AllowRetrieveRestart on
TimesGMT on
Umask 022
<IfModule mod_ctrls.c>
ControlsEngine off
</IfModule>
"""
    return _Launch(
        command=[str(binary("proftpd")), "-n", "-c", str(server.write("proftpd.conf", text))],
        username=USER,
        password=PASSWORD,
    )


def _pureftpd(server: RealServer) -> _Launch:
    uid, gid = 65534, 65534
    shutil.chown(server.root, uid, gid)
    passwords = server.write(
        "pureftpd.passwd",
        f"{USER}:{PASSWORD_HASH}:{uid}:{gid}::{server.root}/./::::::::::::\n",
    )
    database = server.home / "pureftpd.pdb"
    subprocess.run(
        [
            str(directory() / "usr" / "bin" / "pure-pw"),
            "mkdb",
            str(database),
            "-f",
            str(passwords),
        ],
        env=_environment(),
        check=True,
        capture_output=True,
    )
    tls = []
    if server.certificate is not None:
        tls = ["--tls", "1", "--certfile", str(server.certificate)]
    return _Launch(
        command=[
            str(binary("pureftpd")),
            "--bind",
            f"{server.host},{server.port}",
            "--login",
            f"puredb:{database}",
            "--noanonymous",
            "--dontresolve",
            "--pidfile",
            str(server.home / "pureftpd.pid"),
            "--umask",
            "000:000",
            "--maxclientsnumber",
            "50",
            "--maxclientsperip",
            "50",
            "--limitrecursion",
            "100000:20",
            "--minuid",
            "1",
            *tls,
        ],
        username=USER,
        password=PASSWORD,
    )


_RECIPES: dict[str, Callable[[RealServer], _Launch]] = {
    "vsftpd": _vsftpd,
    "proftpd": _proftpd,
    "pureftpd": _pureftpd,
}


# -- unpacking --------------------------------------------------------------------------------


def install(target: Path) -> None:
    """Download and unpack the servers and their missing libraries into *target*."""
    target.mkdir(parents=True, exist_ok=True)
    packages = [*PACKAGES, *_missing_packages()]
    with tempfile.TemporaryDirectory(prefix="pyftpdrive-debs-") as folder:
        Path(folder).chmod(0o755)
        subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True)
        for deb in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(deb), str(target)], check=True)


def _missing_packages() -> list[str]:
    """Library packages that the servers need and this machine lacks."""
    shown = subprocess.run(
        [
            "apt-cache",
            "depends",
            "--recurse",
            "--no-recommends",
            "--no-suggests",
            "--no-conflicts",
            "--no-breaks",
            "--no-replaces",
            "--no-enhances",
            *PACKAGES,
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {line for line in shown.splitlines() if line.startswith("lib")}
    installed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    have = {line.split()[1] for line in installed.splitlines() if line.startswith("installed ")}
    # What only scripts need (Perl modules, PAM configuration) is no shared library of a server.
    return sorted(
        name for name in names - have if not name.endswith("-perl") and "pam-" not in name
    )


def main(arguments: list[str]) -> int:
    """Entry of `python -m tests.helpers.real_servers`."""
    if len(arguments) > 1:
        os.environ["PYFTPDRIVE_TEST_SERVERS"] = str(Path(arguments[1]).resolve())
    if arguments[:1] == ["install"]:
        try:
            install(directory())
        except (OSError, subprocess.CalledProcessError) as exc:
            print(f"can't unpack the servers: {exc}\n(apt-get update first?)", file=sys.stderr)
            return 1
    elif arguments[:1] != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    failed = 0
    for name in NAMES:
        reason = available(name)
        failed += reason is not None
        print(f"{name}: {reason or 'ready'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
