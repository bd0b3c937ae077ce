"""What waits in the spool while nothing is mounted: list, export, discard, send again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pyftpdrive.spool import slots
from pyftpdrive.spool.journal import Journal, StagedRecord
from pyftpdrive.spool.recovery import JOURNAL_NAME, STAGED_NAME, open_journal
from pyftpdrive.spool.staging import Staging
from pyftpdrive.spool.states import StagedState, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One staged file of a run that ended."""

    server: str
    slot: Path
    record: StagedRecord


class NotLeft(Exception):
    """There is no such file, several, or it can't be treated so; the text says which."""


def files(spool: Path) -> list[Left]:
    """Everything that waits, oldest first; what mounts are at work on is theirs.

    Raises:
        OSError: the local disk refused.
    """
    found: list[Left] = []
    for server, slot in slots.every(spool):
        if slot is None or not (slot.directory / JOURNAL_NAME).exists():
            continue
        with _journal(slot.directory) as journal:
            records = journal.records()
        found += [Left(server=server, slot=slot.directory, record=record) for record in records]
    return found


def find(spool: Path, wanted: str) -> Left:
    """The one with the id (or its beginning) or path *wanted*.

    Raises:
        NotLeft: none or several.
    """
    everything = files(spool)
    found = [left for left in everything if left.record.path == wanted]
    found = found or [left for left in everything if left.record.id.startswith(wanted)]
    if len(found) != 1 or not wanted:
        raise NotLeft(f"{wanted}: {len(found)} files that wait are called so")
    return found[0]


def content(left: Left) -> Path:
    """The local file with the bytes of *left*.

    Raises:
        OSError: it is gone.
    """
    staging = Staging(left.slot / STAGED_NAME)
    staging.inspect(left.record)
    return staging.directory / left.record.id


def discard(spool: Path, left: Left) -> None:
    """Forget the bytes.

    Raises:
        NotLeft: a mount has it by now, or the server is between two versions.
    """

    def forget(journal: Journal) -> None:
        journal.delete(left.record.id)
        journal.sync()
        for file in (left.slot / STAGED_NAME).glob(f"{left.record.id}*"):
            file.unlink()

    if left.record.step is not Step.NONE:
        raise NotLeft(
            f"{left.record.path}: the server does not have the version before in place; mount, "
            "so that it is put back"
        )
    _change(spool, left, forget)


def send_again(spool: Path, left: Left) -> None:
    """Let the next mount, or `pyftpdrive recover`, send it.

    Raises:
        NotLeft: a mount has it by now.
    """
    record = replace(left.record, state=StagedState.QUEUED, reason=None)
    _change(spool, left, lambda journal: journal.put(record))


def _change(spool: Path, left: Left, change: Callable[[Journal], None]) -> None:
    for _server, slot in slots.every(spool):
        if slot is not None and slot.directory == left.slot:
            with _journal(slot.directory) as journal:
                change(journal)
            return
    raise NotLeft(f"{left.record.path}: a mount looks after it now")


@contextmanager
def _journal(slot: Path) -> Iterator[Journal]:
    journal, _rows_lost = open_journal(slot)
    try:
        yield journal
    finally:
        journal.close()
