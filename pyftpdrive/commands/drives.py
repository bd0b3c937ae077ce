"""`pyftpdrive status` and `pyftpdrive unmount`: drives that are mounted."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from pyftpdrive import config as configuration
from pyftpdrive.base.text import shown
from pyftpdrive.commands.common import Exit, fail, print_left, printable
from pyftpdrive.control import channel
from pyftpdrive.mount_point import same_drive

if TYPE_CHECKING:
    from rich.table import Table

LAST_WORDS_S = 10.0  # between a mount's report and the end of its announcement


@click.command()
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
            from rich.console import Console  # slow to import

            Console().print(status_table(answer))


def status_table(answer: dict[str, Any]) -> Table:
    """What `status` shows of one drive."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, title=escape(f"{answer['server']} on {answer['drive']}"))
    if "error" in answer:
        table.add_row("state", escape(answer["error"]))
    else:
        sessions, cache, uploads = answer["sessions"], answer["cache"], answer["uploads"]
        reach = "reachable"
        if not sessions["reachable"]:
            reach = f"NOT reachable for {sessions['unreachable_s']:.0f} s: what is shown may be old"
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
                table.add_row(kind, escape(shown(f"{row['path']}: {row['reason']}")))
        if answer.get("unparsed"):
            table.add_row("listings", f"{answer['unparsed']} line(s) not understood")
        table.add_row("last error", escape(shown(answer["last_error"] or "none")))
    return table


@click.command()
@click.option("--drive", help="The drive letter or directory.")
@click.option("--all", "everything", is_flag=True, help="Every drive of this user.")
def unmount(drive: str | None, everything: bool) -> None:  # noqa: FBT001
    """Unmount a drive; what is on its way is sent first."""
    running = channel.mounts(configuration.runtime_directory())
    if not everything and not drive:
        fail(Exit.USAGE, "which drive? Give --drive with its letter or directory, or --all")
    wanted = running if everything else [r for r in running if same_drive(r.drive, drive or "")]
    if not wanted and not everything:
        known = ", ".join(record.drive for record in running) or "none"
        fail(Exit.NOT_MOUNTED, f"{drive} is not a drive of ours. Mounted: {known}")
    codes = [_unmount(record) for record in wanted]
    raise SystemExit(int(max(codes, default=Exit.OK)))


def _freeing(record: channel.MountRecord, platform: str = sys.platform) -> str:
    """What to do about a drive whose program does not answer."""
    if platform != "win32":
        return f"It can be freed by: fusermount3 -uz {shlex.quote(record.drive)}"
    return (
        "If it was mounted by an elevated program, unmount it from an elevated terminal. "
        f"It can be freed by: taskkill /F /PID {record.pid} (what is not sent yet is kept)"
    )


def _unmount(record: channel.MountRecord) -> Exit:
    """End one drive; tell what it left behind."""
    try:
        for path in channel.request(record, {"do": "status"}).get("open_files", []):
            click.echo(f"pyftpdrive: {printable(path)} is still open", err=True)
        end = channel.request(record, {"do": "unmount", "wait": True}, patience_s=None)
    except channel.ChannelError as error:
        click.echo(f"pyftpdrive: {error}. {_freeing(record)}", err=True)
        return Exit.INTERNAL
    directory = configuration.runtime_directory()
    until = time.monotonic() + LAST_WORDS_S
    while time.monotonic() < until:
        if all(other.id != record.id for other in channel.mounts(directory)):
            break
        time.sleep(0.05)  # another process ends: there is nothing to wait on
    pending, held = end.get("pending", []), end.get("held", [])
    print_left(pending, held)
    click.echo(f"unmounted {record.server} from {record.drive}")
    return Exit.UPLOADS_LEFT if pending or held else Exit.OK
