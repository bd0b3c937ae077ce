"""Commands and exit codes; no logic of its own."""

from __future__ import annotations

import io
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from enum import IntEnum, unique
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import click

from pyftpdrive import config as configuration
from pyftpdrive import logger, passwords
from pyftpdrive.base.errors import (
    ConfigError,
    LoginRefused,
    MountError,
    MountProblem,
    NotAnFtpServer,
    NotFound,
    PyftpdriveError,
    RemoteError,
    TlsError,
)
from pyftpdrive.base.secret import Secret
from pyftpdrive.config import Config
from pyftpdrive.control import channel
from pyftpdrive.mount_point import check_mount_point
from pyftpdrive.options import OPTIONS, Option, ValueType

NOTICE = (
    "WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos, "
    "https://github.com/winfsp/winfsp"
)
BACKGROUND_S = 60.0
LAST_WORDS_S = 10.0  # between a mount's report and the end of its announcement
BACKGROUND_VARIABLE = "PYFTPDRIVE_BACKGROUND"
PASSWORD_VARIABLE = "PYFTPDRIVE_PASSWORD"  # noqa: S105  # a name


@unique
class Exit(IntEnum):
    """How the program ends."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    UNREACHABLE = 3
    LOGIN = 4
    MOUNT_POINT = 5
    NOT_MOUNTED = 6
    UPLOADS_LEFT = 7
    HOST_MISSING = 8
    TLS = 9
    NOT_FTP = 10


def fail(code: Exit, *lines: str) -> NoReturn:
    """One line an error on standard error, then the end."""
    for line in lines:
        click.echo(f"pyftpdrive: {line}", err=True)
    raise SystemExit(int(code))


def _config_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Put every option of the table on a command."""
    for option in reversed(OPTIONS):
        if option.flag_name:
            command = _flag(option)(command)
    return command


def _flag(option: Option) -> Callable[[Callable[..., None]], Callable[..., None]]:
    name = f"{option.section}__{option.key}"
    if option.type is ValueType.TRUTH:
        return click.option(option.flag_name, name, default=None, help=option.help)
    metavar = "|".join(option.choices) if option.choices else option.type.name
    shown = f"{option.help} [default: {option.default}]" if option.default != "" else option.help
    return click.option(option.flag_name, name, default=None, metavar=metavar, help=shown)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    metadata.version("pyftpdrive"),
    prog_name="pyftpdrive",
    message=f"%(prog)s %(version)s\n{NOTICE}",
)
@click.option("--debug", is_flag=True, help="Show where an internal error happened.")
def cli(debug: bool) -> None:  # noqa: FBT001  # main looks for it
    """Mount an FTP server as a drive, for every program."""


# -- mount -------------------------------------------------------------------------------------


@cli.command()
@click.argument("url", required=False)
@click.argument("directory", required=False)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="INI or TOML file.")
@click.option("--background", is_flag=True, help="Return when the drive is mounted.")
@click.option("--password-prompt", is_flag=True, help="Ask for the password.")
@_config_flags
def mount(
    url: str | None,
    directory: str | None,
    config_file: Path | None,
    background: bool,  # noqa: FBT001  # click's way
    password_prompt: bool,  # noqa: FBT001
    **options: object,
) -> None:
    """Mount a server: `pyftpdrive mount ftp://host:port DIR`, or by --host … --drive DIR.

    Stays in the foreground; Ctrl+C unmounts.
    """
    flags: dict[tuple[str, str], object] = {}
    if url is not None and "://" not in url and directory is None:
        url, directory = None, url
    if url is not None:
        flags.update(configuration.from_url(url))
    if directory is not None:
        flags["mount", "drive"] = directory
    for name, value in options.items():
        if value is not None:
            section, key = name.split("__")
            flags[section, key] = value
    config = configuration.load(config_file, os.environ, flags)
    if sys.platform != "win32":
        drive = check_mount_point(config.mount.drive)
        flags["mount", "drive"] = drive
    if password_prompt:
        flags["ftp", "password"] = _asked_password(config).reveal()
    elif not config.ftp.password and config.ftp.username:
        found = passwords.from_keyring(config.ftp.username, config.ftp.host, config.ftp.port)
        found = found or passwords.ask(config.ftp.username, config.ftp.host)
        if found is not None:
            flags["ftp", "password"] = found.reveal()
    config = configuration.load(config_file, os.environ, flags)
    if background:
        _mount_in_background(config)
    else:
        _mount(config)


def _asked_password(config: Config) -> Secret:
    password = passwords.ask(config.ftp.username, config.ftp.host)
    if password is None:
        fail(Exit.USAGE, f"--password-prompt needs a terminal. Without one: {PASSWORD_VARIABLE}")
    return password


def _mount(config: Config) -> None:
    from pyftpdrive.app import MountSession  # what `status` need not load

    secrets = [config.ftp.password.reveal()] if config.ftp.password else []
    warning = logger.set_up(
        level=config.logging.level,
        file=configuration.log_file(config),
        console=config.logging.console,
        secrets=secrets,
    )
    if warning:
        click.echo(f"pyftpdrive: {warning}", err=True)
    session = MountSession(config)
    end = _End()
    control = channel.ControlServer(
        configuration.runtime_directory(),
        lambda request: _serve(session, end, request),
        drive=config.mount.drive,
        server=session.server,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl+C while connecting
    session.start()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda _number, _frame: session.request_stop())
    try:
        control.start()
    except OSError as error:
        click.echo(f"pyftpdrive: status and unmount won't find this drive: {error}", err=True)
    click.echo(f"mounted {session.server} on {config.mount.drive}")
    sys.stdout.flush()
    if os.environ.get(BACKGROUND_VARIABLE):
        _let_go_of_the_terminal()
    session.wait()
    report = session.stop()
    end.tell(report.pending)
    control.stop()
    for path in report.open_files:
        click.echo(f"pyftpdrive: {path} was still open; what was written to it is kept", err=True)
    _print_pending(report.pending)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: after a lazy unmount libfuse's threads still wait for the last open file.
    os._exit(int(Exit.UPLOADS_LEFT if report.pending else Exit.OK))


def _let_go_of_the_terminal() -> None:
    """Nobody reads what a drive in the background prints: the log has it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _print_pending(paths: list[str]) -> None:
    for path in paths:
        logging.getLogger(__name__).info("not on the server yet: %s", path)
        click.echo(f"pyftpdrive: {path} is not on the server yet; mount again to send it", err=True)


class _End:
    """What a mount left behind, for the commands that wait for its end."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._pending: list[str] = []

    def tell(self, pending: list[str]) -> None:
        """The drive is unmounted; *pending* isn't on the server."""
        self._pending = pending
        self._told.set()

    def wait(self) -> dict[str, Any]:
        """Block until then."""
        self._told.wait()
        return {"pending": self._pending}


def _serve(session: Any, end: _End, request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request of the control channel."""
    if request.get("do") == "status":
        return {**session.status(), "pid": os.getpid()}
    if request.get("do") == "unmount":
        opened = session.status()["open_files"]
        session.request_stop()
        return {
            "stopping": True,
            "open_files": opened,
            **(end.wait() if request.get("wait") else {}),
        }
    return {"error": "unknown request"}


def _mount_in_background(config: Config) -> None:
    """Run this program again, detached, and wait for its first line."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--background"]
    arguments = [argument for argument in arguments if argument != "--password-prompt"]
    environment = {**os.environ, BACKGROUND_VARIABLE: "1"}
    if config.ftp.password:
        environment[PASSWORD_VARIABLE] = config.ftp.password.reveal()
    child = subprocess.Popen(  # noqa: S603  # this very program
        [sys.executable, "-m", "pyftpdrive", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        encoding="utf-8",
        errors="surrogateescape",  # the name of a directory may be anything
    )
    assert child.stdout is not None and child.stderr is not None  # noqa: S101, PT018  # PIPE
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        line = child.stdout.readline()
    except KeyboardInterrupt:  # the child has a session of its own: Ctrl+C did not reach it
        child.terminate()
        child.wait(BACKGROUND_S)
        raise
    if line.startswith("mounted "):
        click.echo(line.rstrip())
        os._exit(int(Exit.OK))  # the pipes must not be waited for: the child lives on
    errors = child.stderr.read().strip()
    code = child.wait(BACKGROUND_S)
    click.echo(errors or "pyftpdrive: the drive was not mounted", err=True)
    raise SystemExit(code or int(Exit.INTERNAL))


# -- status and unmount ------------------------------------------------------------------------


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:  # noqa: FBT001
    """Show every drive of this user."""
    answers: list[dict[str, Any]] = []
    for record in channel.mounts(configuration.runtime_directory()):
        try:
            answers.append(channel.request(record, {"do": "status"}))
        except channel.ChannelError as error:
            answers.append(
                {
                    "server": record.server,
                    "drive": record.drive,
                    "pid": record.pid,
                    "error": str(error),
                }
            )
    if as_json:
        click.echo(json.dumps({"mounts": answers}, indent=2))
    elif not answers:
        click.echo("no drive is mounted")
    else:
        for answer in answers:
            _print_status(answer)


def _print_status(answer: dict[str, Any]) -> None:
    from rich.console import Console  # slow to import
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, title=escape(f"{answer['server']} on {answer['drive']}"))
    if "error" in answer:
        table.add_row("state", escape(answer["error"]))
    else:
        sessions, cache, uploads = answer["sessions"], answer["cache"], answer["uploads"]
        reach = "reachable" if sessions["reachable"] else "NOT reachable"
        table.add_row("since", answer["since"])
        table.add_row("server", f"{reach}, {sessions['open']} of {sessions['limit']} sessions")
        table.add_row(
            "known",
            f"{cache['entries']} names in {cache['directories']} directories, "
            f"{cache['bytes'] / 1e6:.1f} MB of content",
        )
        table.add_row("uploads", f"{len(uploads['pending'])} pending, {len(uploads['held'])} held")
        for kind in ("failing", "held"):
            for row in uploads[kind]:
                table.add_row(kind, escape(f"{row['path']}: {row['reason']}"))
        if answer.get("unparsed"):
            table.add_row("listings", f"{answer['unparsed']} line(s) not understood")
        table.add_row("last error", escape(answer["last_error"] or "none"))
    Console().print(table)


@cli.command()
@click.option("--drive", help="The drive letter or directory.")
@click.option("--all", "everything", is_flag=True, help="Every drive of this user.")
def unmount(drive: str | None, everything: bool) -> None:  # noqa: FBT001
    """Unmount a drive; what is on its way is sent first."""
    running = channel.mounts(configuration.runtime_directory())
    if not everything and not drive:
        fail(Exit.USAGE, "which drive? Give --drive DIR, or --all")
    wanted = running if everything else [r for r in running if _same_drive(r.drive, drive or "")]
    if not wanted and not everything:
        known = ", ".join(record.drive for record in running) or "none"
        fail(Exit.NOT_MOUNTED, f"{drive} is not a drive of ours. Mounted: {known}")
    codes = [_unmount(record) for record in wanted]
    raise SystemExit(int(max(codes, default=Exit.OK)))


def _unmount(record: channel.MountRecord) -> Exit:
    """End one drive; tell what it left behind."""
    try:
        for path in channel.request(record, {"do": "status"}).get("open_files", []):
            click.echo(f"pyftpdrive: {path} is still open", err=True)
        end = channel.request(record, {"do": "unmount", "wait": True}, patience_s=None)
    except channel.ChannelError as error:
        freed = f"fusermount3 -uz {shlex.quote(record.drive)}"
        click.echo(f"pyftpdrive: {error}. It can be freed by: {freed}", err=True)
        return Exit.INTERNAL
    directory = configuration.runtime_directory()
    until = time.monotonic() + LAST_WORDS_S
    while time.monotonic() < until:
        if all(other.id != record.id for other in channel.mounts(directory)):
            break
        time.sleep(0.05)  # another process ends: there is nothing to wait on
    pending = end.get("pending", [])
    _print_pending(pending)
    click.echo(f"unmounted {record.server} from {record.drive}")
    return Exit.UPLOADS_LEFT if pending else Exit.OK


def _same_drive(one: str, other: str) -> bool:
    letters = one.rstrip(":\\").upper(), other.rstrip(":\\").upper()
    if (
        len(letters[0]) == 1 and letters[0].isalpha()
    ):  # 'z' and 'Z:' are one; /mnt/a, /mnt/A are two
        return letters[0] == letters[1]
    return Path(one).resolve() == Path(other).expanduser().resolve()


# -- passwords ---------------------------------------------------------------------------------


@cli.group()
def password() -> None:
    """Keep a password in the keyring."""


@password.command("set")
@click.argument("host")
@click.option("--username", required=True)
@click.option("--port", default=21, type=click.IntRange(1, 65535))
def password_set(host: str, username: str, port: int) -> None:
    """Ask for the password and keep it."""
    secret = passwords.ask(username, host)
    if secret is None:
        fail(Exit.USAGE, "a terminal is needed to type the password")
    try:
        passwords.store(username, host, port, secret)
    except passwords.KeyringUnusable as error:
        fail(Exit.USAGE, f"this machine has no usable keyring: {error}. Use {PASSWORD_VARIABLE}")
    click.echo(f"kept the password of {passwords.account(username, host, port)}")


@password.command("forget")
@click.argument("host")
@click.option("--username", required=True)
@click.option("--port", default=21, type=click.IntRange(1, 65535))
def password_forget(host: str, username: str, port: int) -> None:
    """Remove the password."""
    try:
        passwords.forget(username, host, port)
    except passwords.KeyringUnusable as error:
        fail(Exit.USAGE, f"nothing to forget: {error}")
    click.echo(f"forgot the password of {passwords.account(username, host, port)}")


# -- the end -----------------------------------------------------------------------------------


def _exit_code(error: PyftpdriveError) -> Exit:
    if isinstance(error, LoginRefused):
        return Exit.LOGIN
    if isinstance(error, TlsError):
        return Exit.TLS
    if isinstance(error, NotAnFtpServer):
        return Exit.NOT_FTP
    if isinstance(error, MountError):
        return {
            MountProblem.MOUNT_POINT: Exit.MOUNT_POINT,
            MountProblem.HOST_MISSING: Exit.HOST_MISSING,
            MountProblem.REFUSED: Exit.MOUNT_POINT,
            MountProblem.NOT_MOUNTED: Exit.NOT_MOUNTED,
        }[error.problem]
    return Exit.UNREACHABLE if isinstance(error, RemoteError) else Exit.INTERNAL


def _advice(error: PyftpdriveError) -> str:
    """What to do next."""
    if isinstance(error, LoginRefused):
        return "Check --username and the password"
    if isinstance(error, TlsError):
        return "Give --tls-ca-file for a server's own certificate, or check --tls"
    if isinstance(error, NotAnFtpServer):
        return "Check --port, and --tls implicit if the server speaks TLS from the start"
    if isinstance(error, NotFound):
        return "Check --root, the directory of the server that is to be mounted"
    if isinstance(error, RemoteError):
        return "Is the server app running, and are --host and --port right?"
    return ""


def main() -> None:
    """Entry point: every failure is one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the name of a directory may be anything
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    try:
        cli(standalone_mode=False)
    except ConfigError as error:
        fail(Exit.USAGE, *error.problems)
    except PyftpdriveError as error:
        text = " ".join(str(error).split()).rstrip(".")
        advice = _advice(error)
        fail(_exit_code(error), f"{text}. {advice}" if advice else text)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        raise SystemExit(int(Exit.USAGE)) from None
    except click.ClickException as error:
        fail(Exit.USAGE, f"{error.format_message()} See: pyftpdrive --help")
    except (click.Abort, KeyboardInterrupt, EOFError):  # EOFError: Ctrl+D at a prompt
        fail(Exit.INTERNAL, "interrupted")
    except OSError as error:
        fail(Exit.INTERNAL, f"{error.strerror or error}: {error.filename or ''}")
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        where = "Again with: pyftpdrive --debug …"
        if logging.getLogger("pyftpdrive").handlers:  # set up: else it would go to the terminal
            logging.getLogger(__name__).exception("unexpected")
            where = "It is in the log"
        fail(Exit.INTERNAL, f"internal error: {type(error).__name__}: {error}. {where}")
