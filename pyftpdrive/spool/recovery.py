"""What earlier runs left behind: find it, send it or hold it. `states.AFTER_CRASH` decides."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pyftpdrive.base.files import sync_directory
from pyftpdrive.base.paths import RemotePath
from pyftpdrive.spool.journal import CONTENT_BYTES_MAX, Journal, JournalDamaged, StagedRecord
from pyftpdrive.spool.staging import StagedFile, Staging
from pyftpdrive.spool.states import AFTER_CRASH, Found, OnDisk, StagedState

log = logging.getLogger(__name__)

INTERRUPTED = "the program ended before this file was closed; it may be incomplete"
INCOMPLETE = "only {there} of {wanted} bytes are on this disk"
LOST_ROW = "the upload journal was damaged: the name of this file is lost, its bytes are here"

JOURNAL_NAME = "journal.sqlite"
STAGED_NAME = "staged"


def open_journal(slot: Path) -> tuple[Journal, bool]:
    """The journal of *slot*; True: it was damaged, set aside, and this one is new.

    Raises:
        OSError: the local disk refused.
    """
    file = slot / JOURNAL_NAME
    try:
        journal = Journal(file)
        try:
            journal.records()
            journal.swaps()
        except JournalDamaged:
            journal.close()
            raise
    except JournalDamaged as error:
        aside = f"{file}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        log.warning("%s; set aside as %s", error, aside)
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(f"{file}{suffix}"):
                os.replace(f"{file}{suffix}", f"{aside}{suffix}")
        return Journal(file), True
    return journal, False


def recover(journal: Journal, staging: Staging, *, rows_lost: bool = False) -> list[StagedFile]:
    """Reopen the staged files of earlier runs, oldest first.

    Local files without a row are removed: a row is written before the first byte is acknowledged.
    With *rows_lost* they are HELD instead, under a name that says so.

    Raises:
        OSError: the local disk refused; nothing is lost.
    """
    found: list[StagedFile] = []
    interrupted = False
    for record in journal.records():
        there, size_bytes = staging.inspect(record)
        verdict = AFTER_CRASH[record.state, there]
        log.info(
            "%s: left as %s, its bytes are %s: %s",
            record.path,
            record.state.value,
            there.value,
            verdict.value,
        )
        if verdict is Found.FORGET:
            if record.state is not StagedState.OPEN:
                log.warning("the staged bytes of %s are gone", record.path)
            journal.delete(record.id)
            continue
        wanted = record
        if verdict is Found.HOLD:
            reason = record.reason or INTERRUPTED
            if record.state is StagedState.QUEUED and there is OnDisk.OTHER_SIZE:
                reason = INCOMPLETE.format(there=size_bytes, wanted=record.size_bytes)
            wanted = replace(record, state=StagedState.HELD, size_bytes=size_bytes, reason=reason)
        staged = staging.reopen(wanted)
        found.append(staged)
        if record.state is StagedState.OPEN:
            # Nobody had waited for these bytes; from now on they are shown as kept.
            interrupted = True
            if size_bytes <= CONTENT_BYTES_MAX:
                wanted = replace(wanted, content=staged.local_path.read_bytes())
            staged.sync()
        journal.put(wanted)
    if interrupted:
        sync_directory(staging.directory)
        journal.sync()
    known = {staged.id for staged in found}
    for stray in sorted(staging.directory.iterdir()):
        if stray.stem in known:
            continue
        if not rows_lost or stray.suffix:
            stray.unlink(missing_ok=True)
            continue
        found.append(_adopt_stray(journal, staging, stray))
    return found


def _adopt_stray(journal: Journal, staging: Staging, stray: Path) -> StagedFile:
    status = stray.stat()
    record = StagedRecord(
        id=stray.name,
        path=RemotePath(f"/recovered-{stray.name}"),
        state=StagedState.HELD,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        reason=LOST_ROW,
    )
    journal.put(record)
    return staging.reopen(record)


def take_over(slot: Path, journal: Journal, staging: Staging) -> int:
    """Move what another slot of the same server holds here; `recover` finds it then.

    The caller holds that slot's lock. Rows come first, then files, and the old rows go last: a
    crash in the middle leaves a row in both, and the next call goes on.

    Returns how many files came.

    Raises:
        OSError: what was not moved stays where it was.
    """
    if not (slot / JOURNAL_NAME).exists():
        return 0
    other, rows_lost = open_journal(slot)
    try:
        theirs = Staging(slot / STAGED_NAME)
        if rows_lost:
            for staged in recover(other, theirs, rows_lost=True):
                staged.close(keep=True)
        records, swaps, strays = other.records(), other.swaps(), other.strays()
        for record in records:
            journal.put(record)
        for swap in swaps:
            journal.put_swap(swap)
        for stray in strays:
            journal.put_stray(stray)
        journal.sync()
        for record in records:
            for file in theirs.directory.glob(f"{record.id}*"):
                os.replace(file, staging.directory / file.name)
        sync_directory(staging.directory)
        for record in records:
            other.delete(record.id)
        for swap in swaps:
            other.delete_swap(swap.backup)
        for stray in strays:
            other.delete_stray(stray)
    finally:
        other.close()
    return len(records)
