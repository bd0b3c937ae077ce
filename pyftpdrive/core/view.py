"""What the server's directories hold, as far as a program may know: listings on demand.

One listing of a directory is asked for at a time; whoever needs it meanwhile waits for the same
one. When the server does not answer, the last known listing is better than an error.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import FsError, FsStatus, RemoteError, RemoteUnavailable
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import ROOT, RemotePath, join, name_of, parent, rebase
from pyftpdrive.cache.metadata import MetadataCache
from pyftpdrive.core.error_map import fs_error
from pyftpdrive.core.nodes import FileStat, inode_of
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import Job, JobCancelled, JobControl, JobState, Priority
from pyftpdrive.ftp.listing import Listing

log = logging.getLogger(__name__)

PINS_MAX = 100_000
WALKS_MAX = 8  # directories whose children are being walked through
AHEAD = 16  # listings that are fetched before a walking program asks for them


@dataclass(slots=True)
class _Walk:
    """A program lists one child of a directory after the other."""

    children: list[RemotePath]
    place: dict[RemotePath, int]
    last: int = 0  # the one that a program listed last
    listed: int = 0  # how many in this order
    fetched: int = 0  # how many are known or on their way


class View:
    """Entries and listings, with the times that programs were told.

    A *pin* keeps the time that a program saw after saving, although the server lists another
    (its own clock, whole seconds): path → (size, time on the server or None, time shown).

    Locking: `_lock` (rank 15) guards `_flights` and `_pins`; no I/O under it.
    """

    def __init__(
        self,
        engine: Engine,
        metadata: MetadataCache,
        clock: Clock,
        *,
        is_own_temporary: Callable[[str], bool],
    ) -> None:
        self._engine = engine
        self.metadata = metadata
        self._clock = clock
        self._is_own_temporary = is_own_temporary
        self._lock = threading.Lock()
        self._flights: dict[RemotePath, Job[Listing]] = {}
        self._wanted: set[RemotePath] = set()  # flights that somebody waits for
        self._ahead: dict[RemotePath, Job[None]] = {}  # flights of a look ahead, and its job
        self._walks: OrderedDict[RemotePath, _Walk] = OrderedDict()
        self._pins: OrderedDict[RemotePath, tuple[int, int | None, int]] = OrderedDict()
        self._mounted_ns = clock.now_ns()
        self.unparsed: dict[RemotePath, int] = {}  # lines of a listing that nobody understood

    # -- entries -----------------------------------------------------------------------------

    def entry(self, path: RemotePath) -> RemoteEntry:
        """The server's entry of *path*.

        Raises:
            FsError: NOT_FOUND, or why it can't be known.
        """
        if path == ROOT:
            return RemoteEntry(name="", kind=Kind.DIRECTORY)
        known, entry = self.metadata.lookup(path)
        if not known:
            entry = self.listing(parent(path), names_only=True).get(name_of(path))
        if entry is None:
            raise FsError(FsStatus.NOT_FOUND, f"{path}: no such file or directory")
        return entry

    def find(self, path: RemotePath) -> RemoteEntry | None:
        """As `entry`, but None when there is no such name."""
        try:
            return self.entry(path)
        except FsError as error:
            if error.status in (FsStatus.NOT_FOUND, FsStatus.PATH_NOT_FOUND):
                return None
            raise

    def listing(self, directory: RemotePath, *, names_only: bool = False) -> dict[str, RemoteEntry]:
        """The entries of *directory* by name; *names_only*: a single name is looked for in it.

        Raises:
            FsError: why it can't be listed.
        """
        if not names_only:
            self._look_ahead(directory)
            data = self.metadata.listing(directory)
            if data is not None:
                return data
        if self._engine.away:
            data = self.metadata.listing(directory, stale=True)
            if data is not None:
                return data  # old, but at once; the engine looks for the server by itself
        try:
            self._fetch(directory)
        except RemoteError as error:
            data = self.metadata.listing(directory, stale=True)
            if isinstance(error, RemoteUnavailable) and data is not None:
                log.debug("%s: showing the last known listing: %s", directory, error)
                return data
            raise fs_error(error) from error
        return self.metadata.listing(directory, stale=True) or {}

    def refresh(self, directory: RemotePath) -> None:
        """List *directory* again, whatever its age.

        Raises:
            FsError: why it can't be listed.
        """
        try:
            self._fetch(directory)
        except RemoteError as error:
            raise fs_error(error) from error

    def _fetch(self, directory: RemotePath) -> None:
        with self._lock:
            job = self._flights.get(directory)
            mine = job is None or self._engine.is_hung(job)
            if job is None or mine:
                job = self._board_locked(directory)
            batch = self._ahead.get(directory)
            if batch is not None and batch.state is JobState.QUEUED:
                # It waits with a low priority: whoever is in front of a screen goes by himself.
                del self._ahead[directory]
                mine = True
            self._wanted.add(directory)
        if mine:
            self._engine.submit(job)
        self._engine.wait(job, keep=True)  # its result fills the cache also later

    def _board_locked(self, directory: RemotePath) -> Job[Listing]:
        """A flight for the listing of *directory*, not yet submitted."""
        changes = self.metadata.begin_listing(directory)
        job = self._engine.job(
            f"list {directory}",
            lambda client, _control: client.list_dir(directory),
            priority=Priority.METADATA,
            on_done=lambda ended: self._arrived(directory, changes, ended),
        )
        self._flights[directory] = job
        return job

    # -- ahead of a walk -----------------------------------------------------------------------

    def _look_ahead(self, directory: RemotePath) -> None:
        """From the second child of a directory on, fetch the listings of the next ones.

        One job brings up to `AHEAD` of them on one session and gives way to everything else, so a
        program that stops walking costs little.
        """
        top = parent(directory)
        known = self.metadata.listing(top, stale=True)
        if directory == ROOT or known is None:
            return
        flights: list[tuple[RemotePath, Job[Listing]]] = []
        with self._lock:
            walk = self._walks.get(top)
            if walk is None or directory not in walk.place:
                entries = list(known.values())
                children = [join(top, e.name) for e in entries if e.kind is Kind.DIRECTORY]
                walk = _Walk(children, {path: at for at, path in enumerate(children)})
                self._walks[top] = walk
                while len(self._walks) > WALKS_MAX:
                    self._walks.popitem(last=False)
            at = walk.place.get(directory, 0)
            if at < walk.last:  # from the beginning again
                walk.listed, walk.fetched = 0, 0
            walk.last = at
            walk.listed += 1
            walk.fetched = max(walk.fetched, at + 1)
            if walk.listed < 2 or walk.fetched - at > AHEAD // 2:
                return
            batch = walk.children[walk.fetched : walk.fetched + AHEAD]
            walk.fetched += len(batch)
            flights += [
                (path, self._board_locked(path))
                for path in batch
                if path not in self._flights and self.metadata.listing(path) is None
            ]
            job = self._engine.job(
                f"look ahead in {top}",
                lambda client, control: self._fly(flights, client, control),
                priority=Priority.PREFETCH,
                on_done=lambda _ended: self._land(flights),
                attempts_max=0,
            )
            self._ahead.update((path, job) for path, _ in flights)
        if flights:
            self._engine.submit(job)

    def _fly(
        self,
        flights: list[tuple[RemotePath, Job[Listing]]],
        client: FtpClient,
        control: JobControl,
    ) -> None:
        """Body of the job: list one after the other, first those that somebody waits for."""
        with self._lock:
            left = [flight for flight in flights if flight[0] in self._ahead]
        while left and not control.cancelled and not control.should_yield():
            at = next((n for n, (path, _) in enumerate(left) if path in self._wanted), 0)
            path, job = left.pop(at)
            try:
                job.finish(client.list_dir(path))
            except RemoteError as error:
                if error.retryable:
                    return
                job.fail(error)

    def _land(self, flights: list[tuple[RemotePath, Job[Listing]]]) -> None:
        """What was not brought is asked for anew if somebody waits for it, else forgotten."""
        for path, job in flights:
            with self._lock:
                if self._ahead.pop(path, None) is None or job.ended:
                    continue  # somebody took it, or it was brought
                wanted = path in self._wanted
                if not wanted:
                    self._flights.pop(path, None)
            if wanted:
                self._engine.submit(job)
            else:
                job.fail(JobCancelled(job.label))

    def _arrived(
        self,
        directory: RemotePath,
        changes: dict[str, RemoteEntry | None],
        job: Job[Listing],
    ) -> None:
        """Callback of the engine, before the waiters go on."""
        if job.error is None:
            listing = job.result()
            entries = (e for e in listing.entries if not self._is_own_temporary(e.name))
            self.metadata.store(directory, entries, changes)
            lost = len(listing.unparsed) + len(listing.refused)
            if lost and self.unparsed.get(directory) != lost:
                log.info("%s: %d line(s) of the listing can't be shown", directory, lost)
            if lost:
                self.unparsed[directory] = lost
            else:
                self.unparsed.pop(directory, None)
        else:
            self.metadata.abandon_listing(directory, changes)
        with self._lock:
            if self._flights.get(directory) is job:  # else a newer one took over
                del self._flights[directory]
                self._wanted.discard(directory)

    # -- what programs see -----------------------------------------------------------------------

    def stat(self, path: RemotePath, entry: RemoteEntry) -> FileStat:
        """*entry* as programs see it."""
        modified = entry.modified_ns
        if path in self._pins:
            modified = self._pinned(path, entry)
        if modified is None:
            modified = self._mounted_ns
        size = entry.size_bytes or 0
        fixed = (
            bool(entry.perm) and entry.kind is Kind.FILE and not set(entry.perm or "") & set("wa")
        )
        return FileStat(entry.kind, size, modified, modified, entry.mode, inode_of(path), fixed)

    def pin(self, path: RemotePath, size_bytes: int, remote_ns: int | None, shown_ns: int) -> None:
        """Go on showing *shown_ns* while the server lists that size and *remote_ns*."""
        with self._lock:
            self._pins[path] = (size_bytes, remote_ns, shown_ns)
            self._pins.move_to_end(path)
            while len(self._pins) > PINS_MAX:
                self._pins.popitem(last=False)

    def retime(
        self, path: RemotePath, size_bytes: int, remote_ns: int | None, shown_ns: int
    ) -> None:
        """The server lists *remote_ns* for *path* from now on; go on showing *shown_ns*."""
        known, entry = self.metadata.lookup(path, stale=True)
        if known and entry is not None:
            self.metadata.put(path, replace(entry, modified_ns=remote_ns))
        self.pin(path, size_bytes, remote_ns, shown_ns)

    def _pinned(self, path: RemotePath, entry: RemoteEntry) -> int | None:
        with self._lock:
            pin = self._pins.get(path)
            if pin is None:
                return entry.modified_ns
            size_bytes, remote_ns, shown_ns = pin
            if entry.size_bytes not in (size_bytes, None):
                del self._pins[path]
                return entry.modified_ns
            if remote_ns is None and entry.modified_ns is not None:
                self._pins[path] = (size_bytes, entry.modified_ns, shown_ns)
                return shown_ns
            if entry.modified_ns not in (remote_ns, None):
                del self._pins[path]
                return entry.modified_ns
            return shown_ns

    def unpin(self, path: RemotePath) -> None:
        """*path* is gone."""
        with self._lock:
            self._pins.pop(path, None)

    def move_pins(self, old: RemotePath, new: RemotePath) -> None:
        """*old*, or everything below it, is called *new* now."""
        prefix = old + "/"
        with self._lock:
            self._pins.pop(new, None)
            for path in [p for p in self._pins if p == old or p.startswith(prefix)]:
                self._pins[rebase(path, old, new)] = self._pins.pop(path)
