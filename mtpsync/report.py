"""What people see: progress on standard error, the outcome on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mtpsync.difference_tree import grown, lines
from mtpsync.errors import MtpSyncError
from mtpsync.findings import Examination
from mtpsync.html_report import Page, write_page
from mtpsync.plan import Action, Plan
from mtpsync.sync import Done, Found
from mtpsync.utils.printable import printable

SHOWN_MAX = 200


class Terminal:
    """A bar for what is sent, and one for what is checked; both in bytes, with rate and end."""

    def __init__(self, total_bytes: int, *, quiet: bool) -> None:
        self.stopping = False
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._total = total_bytes
        self._bars: dict[str, TaskID] = {}
        self._before: Counter[str] = Counter()  # bytes of files that are over
        self._current: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.__exit__(None, None, None)

    def step(self, path: str, what: str, done_bytes: int) -> None:
        """See `Reporter`."""
        kind = "checking" if what in ("check", "compare") else "sending"
        bar = self._bars.get(kind)
        if bar is None:
            bar = self._bars[kind] = self._progress.add_task(kind, total=self._total)
        before, sofar = self._current.get(kind, ("", 0))
        if before != path:
            self._before[kind] += sofar
        self._current[kind] = (path, done_bytes)
        name = escape(path.rpartition("/")[2][:40])
        done = self._before[kind] + done_bytes
        self._progress.update(bar, completed=done, description=f"{kind:8} {name}")

    def ended(self, action: Action, outcome: str) -> None:
        """See `Reporter`."""
        if outcome not in ("done", "already there"):
            self._progress.console.print(
                f"[red]failed[/red] {escape(action.path)}: {escape(outcome)}"
            )

    def seen(self, objects: int) -> None:
        """See `Reporter`."""
        bar = self._bars.get("listing")
        if bar is None:
            bar = self._bars["listing"] = self._progress.add_task("listing", total=None)
        self._progress.update(bar, description=f"listing  {objects} objects")


def tell_found(found: Found, plan_file: Path, *, as_json: bool) -> None:
    """The outcome of verify."""
    plan = found.plan
    if as_json:
        click.echo(
            json.dumps(
                {
                    "in_sync": found.in_sync,
                    "plan": str(plan_file),
                    "actions": [_row(action) for action in plan.actions],
                    "only_on_the_device": [extra.path for extra in plan.extras],
                    "bytes_to_send": plan.bytes_to_send,
                    "estimated_seconds": round(found.estimate_s, 1),
                    "estimate_is_measured": found.is_measured,
                    "problems": found.problems,
                    "compared_files": found.compared_files,
                    "compared_bytes": found.compared_bytes,
                    "remembered": found.remembered,
                    "skipped": found.skipped,
                    "oldest_proof": found.oldest_proof_s,
                },
                ensure_ascii=False,
            )
        )
        return
    _tell_actions(plan)
    for extra in plan.extras[:SHOWN_MAX]:
        click.echo(f"- {printable(extra.path)}  [only on the device]")
    _tell_skipped(found.skipped)
    for problem in found.problems:
        click.echo(f"! {printable(problem)}")
    if found.remembered:
        age = time.time() - (found.oldest_proof_s or time.time())
        click.echo(f"{found.remembered} file(s) were not read: proven up to {_span(age)} ago")
    if found.in_sync:
        click.echo(f"in sync: {found.compared_files} file(s) were read and are equal")
        return
    files = sum(not action.is_folder for action in plan.actions)
    how = "as measured on this device" if found.is_measured else "if it is like others"
    click.echo(
        f"{files} file(s), {plan.bytes_to_send:,} bytes to send, about {_span(found.estimate_s)}"
        f" ({how}); the plan is {plan_file}"
    )


def _tell_skipped(skipped: dict[str, str]) -> None:
    for why in list(skipped.values())[:SHOWN_MAX]:
        click.echo(f"left out: {printable(why)}")
    if len(skipped) > SHOWN_MAX:
        click.echo(f"left out: … and {len(skipped) - SHOWN_MAX} more")


def _tell_actions(plan: Plan) -> None:
    for depth, text in lines(grown(plan.actions), SHOWN_MAX):
        click.echo(f"{'  ' * depth}{printable(text)}")


def _row(action: Action) -> dict[str, Any]:
    return {
        "path": action.path,
        "type": "dir" if action.is_folder else "file",
        "reason": action.reason.value,
        "size": action.size_bytes,
    }


def tell_done(done: Done, recovered: list[str], retry: Path | None, *, as_json: bool) -> None:
    """The outcome of exec."""
    if as_json:
        click.echo(
            json.dumps(
                {
                    "sent": done.sent,
                    "sent_bytes": done.sent_bytes,
                    "already_there": done.already,
                    "failed": done.failed,
                    "left": [action.path for action in done.left],
                    "recovered": recovered,
                    "skipped": done.skipped,
                    "taken_away": done.taken_away,
                    "kept": done.kept,
                    "retry_plan": None if retry is None else str(retry),
                },
                ensure_ascii=False,
            )
        )
        return
    for told in recovered:
        click.echo(printable(told))
    sent = f"{done.sent} file(s) sent and proven ({done.sent_bytes:,} bytes)"
    click.echo(f"{sent}, {done.already} already there")
    _tell_skipped(done.skipped)
    if done.taken_away:
        click.echo(f"{len(done.taken_away)} taken away; `mtpsync undo` brings the files back")
    for path, why in [*done.failed.items(), *done.kept.items()]:
        click.echo(f"failed: {printable(path)}: {printable(why)}")
    if retry is not None:
        click.echo(f"{len(done.left)} action(s) are left for later: {retry}")


def tell_page(page: Page, file: Path) -> None:
    """The outcome as HTML; that it can't be written changes nothing of the outcome."""
    try:
        write_page(page, file)
    except MtpSyncError as error:
        tell_error(str(error), error.remedy)


def tell_findings(seen: Examination, *, as_json: bool) -> None:
    """What doctor found."""
    if as_json:
        click.echo(json.dumps(seen.as_json(), ensure_ascii=False))
        return
    for each in seen.findings:
        click.echo(f"{each.verdict.value:7} {each.check}: {printable(each.text)}")
        for line in each.remedy.splitlines():
            click.echo(f"{'':10}{printable(line)}")
    click.echo(seen.conclusion)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def tell_error(message: str, remedy: str) -> None:
    """One error, and the next step."""
    click.echo(f"mtpsync: {printable(message)}", err=True)
    if remedy:
        click.echo(f"  {remedy}", err=True)
    sys.stderr.flush()
