"""`pyftpdrive doctor`: what a server is, what it may do, and what to do about it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyftpdrive import config as configuration
from pyftpdrive import logger
from pyftpdrive.base.errors import ConfigError
from pyftpdrive.commands.common import Exit, config_flags, exit_code, load_config
from pyftpdrive.config import Config
from pyftpdrive.control import channel

if TYPE_CHECKING:
    from pyftpdrive.doctor.findings import Report

PIPED_COLUMNS = 200
WORDS = {"good": "good", "unknown": "?", "notice": "notice", "bad": "BAD"}
STYLES = {"good": "green", "unknown": "dim", "notice": "yellow", "bad": "bold red"}


@click.command()
@click.argument("server", required=False)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="INI or TOML file.")
@click.option("--password-prompt", is_flag=True, help="Ask for the password.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_flags
def doctor(
    server: str | None,
    config_file: Path | None,
    password_prompt: bool,  # noqa: FBT001  # click's way
    as_json: bool,  # noqa: FBT001
    **options: object,
) -> None:
    """Check a server: an ftp:// address, or HOST[:PORT], or --host ….

    Takes seconds. Writes only into a directory of its own, which it removes again; with --read-only
    nothing at all. Exit code 0: it works; 11: something won't; 3, 4, 9, 10: no session.
    """
    url = server if server is None or "://" in server else f"ftp://{server}"
    config = load_config(url, config_file, options, ask=password_prompt)
    secrets = [config.ftp.password.reveal()] if config.ftp.password else []
    warning = logger.set_up(
        level=config.logging.level,
        file=configuration.log_file(config),
        console=config.logging.console,
        secrets=secrets,
    )
    if warning:
        click.echo(f"pyftpdrive: {warning}", err=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up, as after Ctrl+C
    report = _examine(config)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    if report.fatal is not None:
        raise SystemExit(int(exit_code(report.fatal)))
    raise SystemExit(int(Exit.FINDINGS if report.verdict.value == "bad" else Exit.OK))


def _examine(config: Config) -> Report:
    from pyftpdrive.app import drive_options  # what --help need not load
    from pyftpdrive.base.clock import SystemClock
    from pyftpdrive.doctor.checks import examine
    from pyftpdrive.doctor.examination import DoctorOptions
    from pyftpdrive.drive import server_url
    from pyftpdrive.ftp.profile import ServerProfile
    from pyftpdrive.ftp.profile_store import PROFILES_NAME, ProfileStore

    drive = drive_options(config)
    profile, clock = ServerProfile(), SystemClock()
    directory = drive.spool_directory / PROFILES_NAME
    ProfileStore(directory, drive.client.identity, profile, clock).keep()
    options = DoctorOptions(
        client=drive.client,
        server=server_url(drive.client),
        sessions_max=drive.engine.sessions_max,
        read_only=drive.read_only,
        drives=tuple(_mounted_from(config.ftp.host, config.ftp.port)),
    )
    return examine(options, profile, clock)


def _mounted_from(host: str, port: int) -> list[str]:
    """Our drives on that server."""
    found = []
    for record in channel.mounts(configuration.runtime_directory()):
        try:
            where = configuration.from_url(record.server)
        except ConfigError:
            continue
        if (where["ftp", "host"], where["ftp", "port"]) == (host, port):
            found.append(record.drive)
    return found


def _print(report: Report) -> None:
    from rich.console import Console  # slow to import
    from rich.markup import escape
    from rich.table import Table

    # Piped, a line is a line: who reads it may search it.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)
    table = Table("check", "verdict", "seen", title=escape(report.server), title_justify="left")
    untried: dict[str, list[str]] = {}
    for found in report.findings:
        name, verdict = found.check.replace("_", " "), found.verdict.value
        if found.seen.startswith("not tried"):
            untried.setdefault(found.seen, []).append(name)
        else:
            table.add_row(name, f"[{STYLES[verdict]}]{WORDS[verdict]}[/]", escape(found.seen))
    console.print(table)
    for why, names in untried.items():
        console.print(f"{escape(why)} ({', '.join(names)})", soft_wrap=True)
    console.print(escape(report.summary), soft_wrap=True)
    for found in report.findings:
        if found.remedy and found.verdict.value in ("notice", "bad"):
            name = found.check.replace("_", " ")
            console.print(f"- {name}: {escape(found.remedy)}", soft_wrap=True)
