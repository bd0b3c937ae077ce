"""Commands and exit codes; no logic of its own."""

from __future__ import annotations

import io
import logging
import sys
import traceback
from importlib import metadata

import click

from pyftpdrive.base.errors import (
    ConfigError,
    LoginRefused,
    NotAnFtpServer,
    NotFound,
    PyftpdriveError,
    RemoteError,
    TlsError,
)
from pyftpdrive.commands.common import Exit, exit_code, fail
from pyftpdrive.commands.doctor import doctor
from pyftpdrive.commands.drives import status, unmount
from pyftpdrive.commands.held import held, recover
from pyftpdrive.commands.mount import mount
from pyftpdrive.commands.password import password
from pyftpdrive.commands.why import why

NOTICE = (
    "WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos, "
    "https://github.com/winfsp/winfsp"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    metadata.version("pyftpdrive"),
    prog_name="pyftpdrive",
    message=f"%(prog)s %(version)s\n{NOTICE}",
)
@click.option("--debug", is_flag=True, help="Show where an internal error happened.")
def cli(debug: bool) -> None:  # noqa: FBT001  # main looks for it
    """Mount an FTP server as a drive, for every program."""


for command in (mount, status, unmount, held, recover, doctor, password, why):
    cli.add_command(command)


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
        fail(exit_code(error), f"{text}. {advice}" if advice else text)
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
