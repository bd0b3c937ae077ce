"""Files that could not be sent: what the user may do with them, and conflict copies.

A HELD file is shown in the drive as the program left it. It waits for the user's word: `retry`,
`export` and `discard`. With `conflicts="copy"` a conflict needs none: the new version gets a name
of its own beside the other program's.
"""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import FsError, FsStatus, RemoteError
from pyftpdrive.base.files import sync_directory, sync_file
from pyftpdrive.base.paths import RemotePath, join, name_of, parent
from pyftpdrive.core.files import Files, local_error
from pyftpdrive.core.nodes import FileNode
from pyftpdrive.core.view import View
from pyftpdrive.spool.journal import Journal
from pyftpdrive.spool.staging import Base, StagedFile
from pyftpdrive.spool.states import StagedState, Step

log = logging.getLogger(__name__)


class HeldFiles:
    """What `pyftpdrive held` does on a mounted drive."""

    def __init__(self, files: Files, view: View, journal: Journal, clock: Clock) -> None:
        self._files = files
        self._view = view
        self._journal = journal
        self._clock = clock

    def find(self, wanted: str) -> StagedFile:
        """The held file with the id (or its beginning) or path *wanted*.

        Raises:
            FsError: NOT_FOUND, none or several.
        """
        held = self._files.uploader.held()
        found = [s for s in held if s.path == wanted] or [
            s for s in held if s.id.startswith(wanted)
        ]
        if len(found) != 1 or not wanted:
            raise FsError(FsStatus.NOT_FOUND, f"{wanted}: {len(found)} held files are called so")
        return found[0]

    def retry(self, staged: StagedFile, *, overwrite: bool) -> None:
        """Send it again; *overwrite*: over whatever version the server has now.

        Raises:
            FsError: it can't be sent so; it stays held.
        """
        if overwrite:
            if staged.gaps():
                raise FsError(
                    FsStatus.CONFLICT,
                    f"{staged.path}: only a part of it was written here, and the rest was in a "
                    "version that is gone: export it, or discard it",
                )
            self._view.refresh(parent(staged.path))
            entry = self._view.find(staged.path)
            with staged.lock:
                staged.base = None
                if entry is not None:
                    staged.base = Base(
                        size_bytes=entry.size_bytes or 0, modified_ns=entry.modified_ns
                    )
        try:
            self._files.uploader.enqueue(staged)
        except OSError as error:
            raise local_error(error) from error

    def discard(self, staged: StagedFile) -> None:
        """Forget the bytes: the drive shows the server's version again.

        Raises:
            FsError: the server is between two versions of the file: send it instead.
        """
        if staged.step is not Step.NONE:
            raise FsError(
                FsStatus.BUSY,
                f"{staged.path}: the server does not have the version before in place: retry first",
            )
        node = self._files.nodes.get(staged.path)
        if node is None or node.staged is not staged:
            self._files.uploader.discard(staged)
            return
        with node.lock:
            node.unlinked = True
        self._files.uploader.cancel(staged, 0.0)
        with self._files.nodes.lock:
            self._files.nodes.remove_locked(node)
        self._files.drop_if_unused(node)
        self._view.unpin(staged.path)
        self._view.metadata.expire(parent(staged.path))

    def export(self, staged: StagedFile, to: Path) -> int:
        """Copy the bytes to the new local file *to*; it stays held.

        Returns how many bytes of it are zeros in place of what only the server had.

        Raises:
            FsError: EXISTS, or the local disk's reason.
        """
        try:
            self._files.fill_gaps(staged)
        except (RemoteError, FsError) as error:
            log.info("%s: exported without the parts that were not written: %s", to, error)
        try:
            return export(staged.local_path, to, staged.gaps())
        except FileExistsError as error:
            raise FsError(FsStatus.EXISTS, f"{to} exists") from error
        except OSError as error:
            raise local_error(error) from error

    def step_aside(self, staged: StagedFile) -> bool:
        """Give a version that lost to another program's a name of its own; False: it can't be.

        The node moves with it, so programs that have it open go on in the copy.
        """
        if staged.gaps():
            return False
        old = staged.path
        new = conflict_name(old, self._clock.now_ns())
        node = self._files.nodes.get(old)
        with staged.lock:
            staged.path, staged.base = new, None
            staged.move_to(StagedState.QUEUED)
            try:
                self._journal.put(staged.record())
                self._journal.sync()
            except OSError as error:
                log.warning("%s: %s", old, error)
        if node is not None and node.staged is staged:
            self._rename(node, new)
        self._view.unpin(old)
        self._view.metadata.expire(parent(old))
        log.warning("%s was changed by another program: your version is %s", old, new)
        return True

    def _rename(self, node: FileNode, new: RemotePath) -> None:
        with self._files.nodes.lock:
            self._files.nodes.move_locked(node, new)
        with node.lock:
            node.entry = None


def export(source: Path, to: Path, gaps: list[tuple[int, int]]) -> int:
    """Copy *source* to the new file *to*, durably; return the bytes in *gaps*.

    Raises:
        OSError: it exists, or the local disk refused; nothing is left of it.
    """
    with source.open("rb") as original, to.open("xb") as copy:
        try:
            shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            sync_file(copy.fileno())
        except OSError:
            to.unlink(missing_ok=True)
            raise
    sync_directory(to.parent)
    return sum(end - start for start, end in gaps)


def conflict_name(path: RemotePath, now_ns: int) -> RemotePath:
    """Where the version that came too late goes: `name (conflict 2026-11-21 02.54.10).ext`."""
    stem, dot, suffix = name_of(path).rpartition(".")
    if not stem:
        stem, dot, suffix = name_of(path), "", ""
    moment = datetime.fromtimestamp(now_ns // 10**9, UTC)
    name = f"{stem} (conflict {moment:%Y-%m-%d %H.%M.%S}){dot}{suffix}"
    return join(parent(path), name)
