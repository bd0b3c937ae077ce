"""`pyftpdrive mount`."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from pyftpdrive import config as configuration
from pyftpdrive import logger, mount_point, passwords
from pyftpdrive.commands.common import Exit, config_flags, load_config, print_left, printable
from pyftpdrive.config import Config
from pyftpdrive.control import channel

BACKGROUND_S = 60.0
BACKGROUND_VARIABLE = "PYFTPDRIVE_BACKGROUND"


@click.command()
@click.argument("url", required=False)
@click.argument("directory", required=False)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="INI or TOML file.")
@click.option("--background", is_flag=True, help="Return when the drive is mounted.")
@click.option("--password-prompt", is_flag=True, help="Ask for the password.")
@config_flags
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
    if url is not None and "://" not in url and directory is None:
        url, directory = None, url
    if directory is not None:
        options["mount__drive"] = directory
    config = load_config(url, config_file, options, ask=password_prompt, prepare=_prepare)
    if background:
        _mount_in_background(config)
    else:
        _mount(config)


def _prepare(config: Config) -> Config:
    """Refuse a place that can't be mounted on, before anything is asked or dialled."""
    if sys.platform == "win32":
        drive = mount_point.check_letter(config.mount.drive, mount_point.letters_taken())
    else:
        drive = mount_point.check_mount_point(config.mount.drive)
    return replace(config, mount=replace(config.mount, drive=drive))


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
    ends = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        ends.append(signal.SIGBREAK)  # what one process can send another there
    for name in ends:
        signal.signal(name, lambda _number, _frame: session.request_stop())
    try:
        control.start()
    except OSError as error:
        click.echo(f"pyftpdrive: status and unmount won't find this drive: {error}", err=True)
    click.echo(f"mounted {session.server} on {config.mount.drive}")
    sys.stdout.flush()
    if mount_point.is_elevated():
        click.echo(f"pyftpdrive: {mount_point.ELEVATED.format(drive=config.mount.drive)}", err=True)
    if os.environ.get(BACKGROUND_VARIABLE):
        _let_go_of_the_terminal()
    session.wait()
    report = session.stop()
    end.tell(report.pending, report.held)
    control.stop()
    for path in report.open_files:
        click.echo(
            f"pyftpdrive: {printable(path)} was still open; what was written to it is kept",
            err=True,
        )
    print_left(report.pending, report.held)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: after a lazy unmount libfuse's threads still wait for the last open file.
    os._exit(int(Exit.UPLOADS_LEFT if report.pending or report.held else Exit.OK))


def _let_go_of_the_terminal() -> None:
    """Nobody reads what a drive in the background prints: the log has it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


class _End:
    """What a mount left behind, for the commands that wait for its end."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._left: dict[str, Any] = {}

    def tell(self, pending: list[str], held: list[str]) -> None:
        """The drive is unmounted; *pending* and *held* aren't on the server."""
        self._left = {"pending": pending, "held": held}
        self._told.set()

    def wait(self) -> dict[str, Any]:
        """Block until then."""
        self._told.wait()
        return self._left


def _serve(session: Any, end: _End, request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request of the control channel."""
    if request.get("do") == "status":
        return {**session.status(), "pid": os.getpid()}
    if request.get("do") == "why":
        return cast("dict[str, Any]", session.why())
    if request.get("do") == "held":
        return cast("dict[str, Any]", session.held(request))
    if request.get("do") == "unmount":
        opened = session.status()["open_files"]
        session.request_stop()
        return {
            "stopping": True,
            "open_files": opened,
            **(end.wait() if request.get("wait") else {}),
        }
    return {"error": "unknown request"}


def _detached() -> dict[str, Any]:
    """Options of Popen: what happens to this terminal is nothing to the program."""
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        # Not DETACHED_PROCESS: a virtual environment's python.exe would open a window.
        group = subprocess.CREATE_NEW_PROCESS_GROUP
        options = {"creationflags": subprocess.CREATE_NO_WINDOW | group}
    return options


def _mount_in_background(config: Config) -> None:
    """Run this program again, detached, and wait for its first line."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--background"]
    arguments = [argument for argument in arguments if argument != "--password-prompt"]
    environment = {**os.environ, BACKGROUND_VARIABLE: "1"}
    if config.ftp.password:
        environment[passwords.VARIABLE] = config.ftp.password.reveal()
    child = subprocess.Popen(  # noqa: S603  # this very program
        [sys.executable, "-m", "pyftpdrive", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        **_detached(),
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
