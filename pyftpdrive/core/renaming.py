"""One rename on the server: several attempts, none of which believes what it did not see.

A rename over a file by way of a backup name (`put_in_place`) is in the journal until it ended.
"""

from __future__ import annotations

import logging

from pyftpdrive.base.errors import (
    AlreadyExists,
    ContentChanged,
    IsADirectory,
    RemoteError,
    ServerError,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, join, name_of, parent
from pyftpdrive.core.files import Files
from pyftpdrive.core.view import View
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl
from pyftpdrive.spool import free_name
from pyftpdrive.spool.journal import Journal, Swap
from pyftpdrive.spool.replace import drop_backup, put_in_place, restore
from pyftpdrive.spool.states import Step
from pyftpdrive.spool.times import OwnTimes, same_time

log = logging.getLogger(__name__)


class Swaps:
    """Renames over a file that are, or were when a run ended, under way."""

    def __init__(self, files: Files, view: View, journal: Journal) -> None:
        self._files = files
        self._view = view
        self._journal = journal

    def note(self, swap: Swap, step: Step) -> None:
        """Make it durable that *swap* has begun or ended."""
        if step is Step.SWAP:
            self._journal.put_swap(swap)
        else:
            self._journal.delete_swap(swap.backup)
        self._journal.sync()

    def begun(self, swap: Swap) -> bool:
        """Whether it was cut."""
        return swap in self._journal.swaps()

    def settle(self, client: FtpClient, swap: Swap) -> bool:
        """End a swap that was cut; True: the new file has the name, False: the one before has."""
        target, backup, source = client.look([swap.target, swap.backup, swap.source])
        if backup is not None and target is None:
            restore(client, swap.backup, swap.target)
        elif backup is not None and source is None:
            drop_backup(client, swap.backup, self._files.errands.remove)
        elif backup is not None:
            log.warning("%s was made meanwhile; its last version: %s", swap.target, swap.backup)
        self.note(swap, Step.NONE)
        return target is not None and source is None

    def finish(self, swap: Swap) -> None:
        """End, in the background, a rename over a file that an earlier run began.

        The file that was to be replaced gets its name back, unless the new one has it.
        """

        def finish(client: FtpClient, _control: JobControl) -> None:
            self.settle(client, swap)
            self._view.metadata.expire(parent(swap.target))

        self._files.errands.run(f"finish the rename to {swap.target}", finish)


class Renaming:
    """*old* becomes *new*; *known* is the file that programs saw at *new*, None: nothing."""

    def __init__(
        self,
        old: RemotePath,
        new: RemotePath,
        known: RemoteEntry | None,
        kind: Kind,
        files: Files,
        view: View,
        swaps: Swaps,
    ) -> None:
        self._old = old
        self._new = new
        self._known = known
        self._kind = kind
        self._files = files
        self._view = view
        self._swaps = swaps
        backup = files.writable.own_name(parent(new), "old")
        self._swap = Swap(backup=backup, source=old, target=new)
        self._aside = free_name.aside_of(new, backup)
        self._taking = False  # somebody's file may be called *aside*
        self._begun = False  # RNTO may have been sent

    def attempt(self, client: FtpClient, _control: JobControl) -> None:
        """Body of the job; again after a connection was lost.

        Raises:
            RemoteError: not done; or not known whether, when it can be tried again.
        """
        first = self._known is None and not self._begun
        if first and free_name.suits(client, self._old, self._new, self._kind):
            self._taking = self._begun = True
            if free_name.take(client, self._old, self._new, self._aside):
                self._taking = False
                return
        if self._taking:
            self._give_back(client)
        # Only who sent RNTO may take "old is gone, new is there" for its work.
        if self._begun and self._swaps.settle(client, self._swap):
            return
        there, source = client.look([self._new, self._old])
        if source is None:
            source = client.stat(self._old)
        self._files.writable.require_name_kept(client, self._new)
        if source.kind is Kind.DIRECTORY:
            self._directory(client, there)
        else:
            self._file(client, source, there)

    def _directory(self, client: FtpClient, there: RemoteEntry | None) -> None:
        if there is not None:
            raise AlreadyExists(f"{self._new}: made by another program meanwhile")
        self._begun = True
        try:
            client.rename(self._old, self._new)
        except RemoteError as error:
            done = client.connected and not client.exists(self._old) and client.exists(self._new)
            if not done:  # else it was refused, and done all the same
                raise
            log.debug("%s: renamed, whatever the server said: %s", self._new, error)
        if not client.exists(self._new):
            raise ServerError(f"{self._old}: the server said that it was renamed; it was not")

    def _file(self, client: FtpClient, source: RemoteEntry, there: RemoteEntry | None) -> None:
        _require_known(self._new, there, self._known, self._files.own_times)
        self._begun = True
        put_in_place(
            client,
            self._old,
            self._new,
            size_bytes=source.size_bytes,
            over=there,
            backup=self._swap.backup,
            note=lambda step: self._swaps.note(self._swap, step),
            leave=self._files.errands.remove,
        )

    def put_right(self) -> None:
        """The outcome is known. What a failure left under other names gets its name back."""
        if self._swaps.begun(self._swap):
            self._swaps.finish(self._swap)
        if self._taking:
            self._files.errands.run(
                f"give {self._new} its name back", lambda client, _: self._give_back(client)
            )

    def _give_back(self, client: FtpClient) -> None:
        free_name.give_back(client, self._old, self._as_listed(), self._aside)
        self._taking = False

    def _as_listed(self) -> RemotePath:
        """*new* as a server spells it that takes upper and lower case for the same."""
        listing = self._view.metadata.listing(parent(self._new), stale=True) or {}
        name = name_of(self._new)
        twins = [other for other in list(listing) if other.casefold() == name.casefold()]
        return self._new if name in twins or not twins else join(parent(self._new), twins[0])


def _require_known(
    path: RemotePath, there: RemoteEntry | None, known: RemoteEntry | None, own_times: OwnTimes
) -> None:
    """Refuse to replace a version that programs have not seen.

    Raises:
        AlreadyExists: there was nothing as far as they knew.
        ContentChanged: there was another version.
    """
    if there is None:
        return
    if there.kind is Kind.DIRECTORY:
        raise IsADirectory(f"{path} is a directory")
    if known is None:
        raise AlreadyExists(f"{path}: made by another program meanwhile")
    sizes = (there.size_bytes, known.size_bytes)
    same_times = same_time(there.modified_ns, known.modified_ns)
    if (None not in sizes and sizes[0] != sizes[1]) or not (
        same_times or own_times.explain(path, there.modified_ns)
    ):
        was, now = (f"{e.size_bytes} bytes of {e.modified_ns}" for e in (known, there))
        raise ContentChanged(f"{path}: changed by another program meanwhile ({was}, now {now})")
