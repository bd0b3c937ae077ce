"""What commands share: exit codes, the flags of the option table, how they fail."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum, unique
from pathlib import Path
from typing import NoReturn

import click

from pyftpdrive import config as configuration
from pyftpdrive import passwords
from pyftpdrive.base.errors import (
    LoginRefused,
    MountError,
    MountProblem,
    NotAnFtpServer,
    PyftpdriveError,
    RemoteError,
    TlsError,
)
from pyftpdrive.base.text import shown
from pyftpdrive.config import Config
from pyftpdrive.options import OPTIONS, Option, ValueType

LINE_MAX = 8192  # of one message; a path may be 4096 octets long


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
    FINDINGS = 11  # of `doctor`: the server can be used, but something won't work


def exit_code(error: PyftpdriveError) -> Exit:
    """How the program ends for *error*."""
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


def fail(code: Exit, *lines: str) -> NoReturn:
    """One line an error on standard error, then the end."""
    for line in lines:
        click.echo(shown(f"pyftpdrive: {line}", at_most=LINE_MAX), err=True)
    raise SystemExit(int(code))


def config_flags(command: Callable[..., None]) -> Callable[..., None]:
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


def load_config(
    url: str | None,
    config_file: Path | None,
    options: dict[str, object],
    *,
    ask: bool,
    prepare: Callable[[Config], Config] | None = None,
) -> Config:
    """The configuration of a command that takes `config_flags`, with the password.

    *options* are the flags as `config_flags` named them; *ask*: for the password, in any case.
    *prepare* refuses or completes what was configured, before anybody is asked for a password; a
    command without it needs no drive.

    Raises:
        ConfigError: every reason why it can't be used.
    """
    flags: dict[tuple[str, str], object] = {}
    if url is not None:
        flags.update(configuration.from_url(url))
    for name, value in options.items():
        if value is not None:
            section, key = name.split("__")
            flags[section, key] = value
    config = configuration.load(config_file, os.environ, flags, drive_needed=prepare is not None)
    if prepare is not None:
        config = prepare(config)
    ftp, password = config.ftp, None
    if ask:
        password = passwords.ask(ftp.username, ftp.host)
        if password is None:
            fail(
                Exit.USAGE, f"--password-prompt needs a terminal. Without one: {passwords.VARIABLE}"
            )
    elif not ftp.password and ftp.username:
        try:
            password = passwords.from_keyring(ftp.username, ftp.host, ftp.port)
        except passwords.KeyringUnusable as error:
            click.echo(shown(f"pyftpdrive: the keyring can't be used: {error}"), err=True)
        password = password or passwords.ask(ftp.username, ftp.host)
    if password is not None:
        config = replace(config, ftp=replace(ftp, password=password))
    return config


def print_left(pending: list[str], held: list[str]) -> None:
    """Say what is not on the server: *pending* goes by itself, *held* (with reasons) does not."""
    log = logging.getLogger(__name__)
    for path in pending:
        log.info("not on the server yet: %s", path)
        click.echo(
            f"pyftpdrive: {printable(path)} is not on the server yet; mount again to send it",
            err=True,
        )
    for line in held:
        log.info("held: %s", line)
        click.echo(f"pyftpdrive: held: {printable(line)}. See: pyftpdrive held list", err=True)


def printable(text: str) -> str:
    """A path of the server's for a terminal: whole, but without escape sequences."""
    return shown(text, at_most=LINE_MAX)
