"""`pyftpdrive why`: what made the last slow or failed operations so."""

from __future__ import annotations

import json
from typing import Any

import click

from pyftpdrive import config as configuration
from pyftpdrive.base.text import shown
from pyftpdrive.commands.common import Exit, fail
from pyftpdrive.control import channel
from pyftpdrive.mount_point import same_drive

SHOWN_OPERATIONS = 5  # the last ones; --json has all


@click.command()
@click.option("--drive", help="The drive letter or directory; by default every drive.")
@click.option("--json", "as_json", is_flag=True, help="For programs: every operation kept.")
def why(drive: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Tell why the last operations were slow or failed."""
    records = channel.mounts(configuration.runtime_directory())
    if drive is not None:
        records = [record for record in records if same_drive(record.drive, drive)]
    if not records:
        fail(
            Exit.NOT_MOUNTED, f"{drive} is not a drive of ours" if drive else "no drive is mounted"
        )
    answers: list[dict[str, Any]] = []
    silent = False
    for record in records:
        try:
            answers.append(channel.request(record, {"do": "why"}))
        except channel.ChannelError as error:
            silent = True
            answers.append({"server": record.server, "drive": record.drive, "error": str(error)})
    if as_json:
        click.echo(json.dumps({"mounts": answers}, indent=2))
    else:
        for answer in answers:
            _print(answer)
    raise SystemExit(int(Exit.INTERNAL if silent else Exit.OK))


def _print(answer: dict[str, Any]) -> None:
    click.echo(shown(f"{answer['server']} on {answer['drive']}"))
    if "error" in answer:
        click.echo(shown(f"  {answer['error']}"))
        return
    sessions = answer["sessions"]
    reach = "reachable" if sessions["reachable"] else "NOT reachable"
    click.echo(f"  now: {reach}, {sessions['open']} of {sessions['limit']} sessions")
    if not answer["operations"]:
        click.echo("  nothing was slow or failed since it was mounted")
    for operation in answer["operations"][-SHOWN_OPERATIONS:]:
        _print_operation(operation)


def _print_operation(operation: dict[str, Any]) -> None:
    click.echo("")
    head = f"{operation['operation']} {operation['path']}: {operation['seconds']:.3f} s"
    click.echo(shown(f"  {operation['ended']}  {head}, {operation['result']}"))
    for job in operation["jobs"]:
        click.echo(shown(f"    {job['submitted_s']:8.3f} s  job: {job['label']}"))
        if job["not_shown"]:
            click.echo(f"                ({job['not_shown']} earlier steps)")
        for note in job["notes"]:
            click.echo(shown(f"    {note['at_s']:8.3f} s    {note['what']}"))
    click.echo(shown(f"    cause: {operation['cause']}"))
