"""`pyftpdrive held` and `pyftpdrive recover`: files that are not on the server yet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pyftpdrive import config as configuration
from pyftpdrive import logger
from pyftpdrive.commands.common import Exit, config_flags, fail, load_config, print_left, printable
from pyftpdrive.control import channel

SPOOL_FLAG = click.option(
    "--upload-directory",
    "spool",
    type=click.Path(path_type=Path),
    default=None,
    help="Where files wait for their upload, when it is not the usual place.",
)


@click.group()
def held() -> None:
    """Files that could not be sent: list, send again, save elsewhere, or give up."""


def _spool(named: Path | None) -> Path:
    configured = os.environ.get("PYFTPDRIVE_UPLOAD_DIRECTORY")
    return named or (Path(configured) if configured else configuration.usual_upload_directory())


def _mounted(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What each running mount answers."""
    answers = []
    for record in channel.mounts(configuration.runtime_directory()):
        try:
            answers.append(channel.request(record, {"do": "held", **request}, patience_s=60.0))
        except channel.ChannelError as error:
            click.echo(printable(f"pyftpdrive: {error}"), err=True)
    return answers


@held.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@SPOOL_FLAG
def held_list(as_json: bool, spool: Path | None) -> None:  # noqa: FBT001  # click's way
    """Show every file that waits for your word, and what no mount is looking after."""
    from pyftpdrive.spool import left

    rows = [row for answer in _mounted({"action": "list"}) for row in answer.get("held", [])]
    for one in left.files(_spool(spool)):
        saved = datetime.fromtimestamp(one.record.modified_ns / 1e9, UTC)
        waits = "not mounted: waits for the next mount, or `pyftpdrive recover`"
        rows.append(
            {
                "id": one.record.id,
                "server": one.server,
                "path": one.record.path,
                "size_bytes": one.record.size_bytes,
                "saved": saved.isoformat(timespec="seconds"),
                "reason": one.record.reason or waits,
            }
        )
    if as_json:
        click.echo(json.dumps({"held": rows}, indent=2))
    elif not rows:
        click.echo("nothing is held")
    for row in () if as_json else rows:
        name = printable(f"{row['server']}{row['path']}")
        click.echo(f"{row['id']}  {name}  {row['size_bytes']} bytes, saved {row['saved']}")
        click.echo(f"    {printable(str(row['reason']))}")


def _do(file: str, request: dict[str, Any], otherwise: Callable[[], str]) -> dict[str, Any]:
    """Ask the mounts; if none has the file, do it to what no mount looks after."""
    from pyftpdrive.spool.left import NotLeft

    answers = _mounted({"file": file, **request})
    for answer in answers:
        if "error" not in answer:
            return answer
    try:
        return {"path": otherwise()}
    except NotLeft as error:
        refusals = [a["error"] for a in answers if ": 0 held files" not in a["error"]]
        fail(Exit.USAGE, *(refusals or [f"{error}. See: pyftpdrive held list"]))


@held.command("retry")
@click.argument("file")
@click.option("--overwrite", is_flag=True, help="Over the version that the server has now.")
@SPOOL_FLAG
def held_retry(file: str, overwrite: bool, spool: Path | None) -> None:  # noqa: FBT001
    """Send FILE (its id or path) again."""
    from pyftpdrive.spool import left

    def offline() -> str:
        if overwrite:
            raise left.NotLeft(f"{file}: to overwrite, mount the server first")
        found = left.find(_spool(spool), file)
        left.send_again(_spool(spool), found)
        click.echo("the next mount, or `pyftpdrive recover`, sends it")
        return found.record.path

    answer = _do(file, {"action": "retry", "overwrite": overwrite}, offline)
    click.echo(f"{printable(answer['path'])} is on its way again")


@held.command("export")
@click.argument("file")
@click.argument("to", type=click.Path(path_type=Path))
@SPOOL_FLAG
def held_export(file: str, to: Path, spool: Path | None) -> None:
    """Save the bytes of FILE (its id or path) as the new local file TO; it stays held."""
    from pyftpdrive.core.held import export
    from pyftpdrive.spool import left

    to = to.absolute()
    missing = 0

    def offline() -> str:
        nonlocal missing
        found = left.find(_spool(spool), file)
        missing = export(left.content(found), to, list(found.record.gaps))
        return found.record.path

    answer = _do(file, {"action": "export", "to": str(to)}, offline)
    click.echo(f"saved {printable(answer['path'])} as {to}")
    missing = answer.get("missing_bytes", missing)
    if missing:
        click.echo(
            f"pyftpdrive: {missing} bytes of it were only on the server: zeros stand there",
            err=True,
        )


@held.command("discard")
@click.argument("file")
@click.option("--yes", is_flag=True, help="Don't ask.")
@SPOOL_FLAG
def held_discard(file: str, yes: bool, spool: Path | None) -> None:  # noqa: FBT001
    """Give up the bytes of FILE (its id or path); the server's version stays."""
    from pyftpdrive.spool import left

    if not yes:
        click.confirm(f"Forget what was saved as {file}?", abort=True)

    def offline() -> str:
        found = left.find(_spool(spool), file)
        left.discard(_spool(spool), found)
        return found.record.path

    answer = _do(file, {"action": "discard"}, offline)
    click.echo(f"discarded {printable(answer['path'])}")


@click.command()
@click.argument("url", required=False)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="INI or TOML file.")
@click.option("--password-prompt", is_flag=True, help="Ask for the password.")
@config_flags
def recover(
    url: str | None,
    config_file: Path | None,
    password_prompt: bool,  # noqa: FBT001  # click's way
    **options: object,
) -> None:
    """Send what earlier mounts of a server left, without mounting: `pyftpdrive recover ftp://host`.

    Takes the flags and files of `mount`. Ends with 0 when nothing is left.
    """
    from pyftpdrive.app import drive_options
    from pyftpdrive.drive import Drive

    config = load_config(url, config_file, options, ask=password_prompt)
    secrets = [config.ftp.password.reveal()] if config.ftp.password else []
    logger.set_up(
        level=config.logging.level,
        file=configuration.log_file(config),
        console=config.logging.console,
        secrets=secrets,
    )
    drive = Drive(drive_options(config))
    drive.start()
    try:
        uploader = drive.files.uploader
        before = {staged.path for staged in uploader.pending()}
        left = drive.drain(config.upload.drain_timeout_seconds)
        held_files = uploader.held()
    finally:
        drive.stop()
    sent = before - {staged.path for staged in left} - {staged.path for staged in held_files}
    for path in sorted(sent):
        click.echo(f"sent {printable(path)}")
    print_left([str(s.path) for s in left], [f"{s.path}: {s.reason}" for s in held_files])
    if left or held_files:
        raise SystemExit(int(Exit.UPLOADS_LEFT))
    click.echo(f"{len(sent)} file(s) sent, nothing is left")
