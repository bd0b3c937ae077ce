"""What the last run left behind: find it, send it or hold it."""

from __future__ import annotations

import logging
from dataclasses import replace

from pyftpdrive.spool.journal import Journal
from pyftpdrive.spool.staging import StagedFile, Staging
from pyftpdrive.spool.states import StagedState

log = logging.getLogger(__name__)

INTERRUPTED = "the program ended before this file was closed; it may be incomplete"


def recover(journal: Journal, staging: Staging) -> list[StagedFile]:
    """Reopen the staged files of the last run, oldest first.

    A file that was closed comes back QUEUED and is to be sent; one that a program was still
    writing, or whose missing parts are on the server only, comes back HELD. A row whose local
    file is gone is reported and removed; local files without a row are removed (a row is written
    before the first byte is acknowledged).
    """
    found: list[StagedFile] = []
    for record in journal.records():
        on_the_way = (StagedState.QUEUED, StagedState.SENDING, StagedState.COMMITTING)
        size_bytes = staging.size_on_disk(record.id)
        if size_bytes is None:
            log.warning("the staged bytes of %s are gone", record.path)
            journal.delete(record.id)
            continue
        wanted = record
        if record.state is StagedState.OPEN or size_bytes != record.size_bytes:
            # Written to after the last close: the row is older than the bytes.
            wanted = replace(
                record, state=StagedState.HELD, size_bytes=size_bytes, reason=INTERRUPTED
            )
        elif record.state in on_the_way:
            wanted = replace(record, state=StagedState.QUEUED)
        staged = staging.reopen(wanted)
        journal.put(wanted)
        found.append(staged)
    known = {staged.id for staged in found}
    for stray in staging.directory.iterdir():
        if stray.stem not in known:
            stray.unlink(missing_ok=True)
    return found
