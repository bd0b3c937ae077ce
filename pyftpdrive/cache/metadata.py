"""What the server's directories held when they were last listed.

A listing answers every stat below it, also "there is no such name". Ages: a directory listing is
good for `directory_ttl_s` when a program lists it, and for `metadata_ttl_s` when a program only
asks for one name. What this drive itself changed is put into the listing at once; a listing that
was on its way meanwhile does not take it back.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, is_below, name_of, parent


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """How long listings are believed, and how many entries are kept."""

    enabled: bool = True  # False: every question asks the server
    directory_ttl_s: float = 30.0
    metadata_ttl_s: float = 60.0
    entries_max: int = 400_000


@dataclass(slots=True)
class CacheEntry:
    """One listing with its age. `data` maps a name to its entry."""

    data: dict[str, RemoteEntry]
    listed_at: float  # monotonic seconds; -inf: known to be out of date
    expires_at: float  # monotonic seconds: after this a program that lists asks the server


class MetadataCache:
    """Listings by directory.

    Locking: `_lock` (rank 20) guards everything; no I/O happens under it. Single dictionary
    look-ups in `lookup` go without it: they are atomic, and a stale answer is inside the TTL.
    Invariant: `_entries` is the number of entries in all listings.
    """

    def __init__(self, options: MetadataOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._listings: OrderedDict[RemotePath, CacheEntry] = OrderedDict()
        self._entries = 0
        # Changes made by this drive while a listing of the directory was on its way.
        self._in_flight: dict[RemotePath, list[dict[str, RemoteEntry | None]]] = {}

    # -- reading ----------------------------------------------------------------------------

    def listing(
        self, directory: RemotePath, *, stale: bool = False
    ) -> dict[str, RemoteEntry] | None:
        """The entries of *directory* when they are young enough (any age with *stale*)."""
        entry = self._listings.get(directory)
        if entry is None:
            return None
        if stale or (self._options.enabled and self._clock.monotonic() < entry.expires_at):
            return entry.data
        return None

    def lookup(self, path: RemotePath, *, stale: bool = False) -> tuple[bool, RemoteEntry | None]:
        """(known, entry): (True, None) means that the server has no such name."""
        entry = self._listings.get(parent(path))
        if entry is None:
            return False, None
        if not stale:
            age = self._clock.monotonic() - entry.listed_at
            if age >= self._options.metadata_ttl_s or not self._options.enabled:
                return False, None
        return True, entry.data.get(name_of(path))

    def counts(self) -> tuple[int, int]:
        """(directories, entries) known now."""
        return len(self._listings), self._entries

    # -- filling ----------------------------------------------------------------------------

    def begin_listing(self, directory: RemotePath) -> dict[str, RemoteEntry | None]:
        """Say that a listing of *directory* is being asked for; give the result to `store`."""
        changes: dict[str, RemoteEntry | None] = {}
        with self._lock:
            self._in_flight.setdefault(directory, []).append(changes)
        return changes

    def abandon_listing(
        self, directory: RemotePath, changes: dict[str, RemoteEntry | None]
    ) -> None:
        """The listing failed."""
        with self._lock:
            self._forget_flight_locked(directory, changes)

    def store(
        self,
        directory: RemotePath,
        entries: Iterable[RemoteEntry],
        changes: dict[str, RemoteEntry | None],
    ) -> dict[str, RemoteEntry]:
        """Keep a listing that arrived; what this drive changed meanwhile is laid over it."""
        now = self._clock.monotonic()
        data = {entry.name: entry for entry in entries}
        with self._lock:
            self._forget_flight_locked(directory, changes)
            for name, entry in changes.items():
                if entry is None:
                    data.pop(name, None)
                else:
                    data[name] = entry
            self._put_locked(
                directory,
                CacheEntry(
                    data=data, listed_at=now, expires_at=now + self._options.directory_ttl_s
                ),
            )
            self._trim_locked()
        return data

    def _forget_flight_locked(
        self, directory: RemotePath, changes: dict[str, RemoteEntry | None]
    ) -> None:
        flights = self._in_flight.get(directory, [])
        self._in_flight[directory] = [flight for flight in flights if flight is not changes]
        if not self._in_flight[directory]:
            del self._in_flight[directory]

    def _put_locked(self, directory: RemotePath, entry: CacheEntry) -> None:
        old = self._listings.pop(directory, None)
        self._entries += len(entry.data) - (len(old.data) if old else 0)
        self._listings[directory] = entry

    def _trim_locked(self) -> None:
        while self._entries > self._options.entries_max and len(self._listings) > 1:
            _, dropped = self._listings.popitem(last=False)
            self._entries -= len(dropped.data)

    # -- what this drive did ------------------------------------------------------------------

    def put(self, path: RemotePath, entry: RemoteEntry) -> None:
        """*path* exists now, as *entry* says."""
        self._change(path, entry)

    def remove(self, path: RemotePath) -> None:
        """The file *path* does not exist any more."""
        self._change(path, None)

    def remove_tree(self, path: RemotePath) -> None:
        """The directory *path* does not exist any more, nor does anything below it."""
        self._change(path, None)
        self.forget_tree(path)

    def created_directory(self, path: RemotePath, entry: RemoteEntry) -> None:
        """This drive made an empty directory: its listing needs no question."""
        self._change(path, entry)
        now = self._clock.monotonic()
        with self._lock:
            self._put_locked(
                path,
                CacheEntry(data={}, listed_at=now, expires_at=now + self._options.directory_ttl_s),
            )

    def _change(self, path: RemotePath, entry: RemoteEntry | None) -> None:
        directory, name = parent(path), name_of(path)
        with self._lock:
            for changes in self._in_flight.get(directory, ()):
                changes[name] = entry
            listing = self._listings.get(directory)
            if listing is None:
                return
            self._entries -= len(listing.data)
            if entry is None:
                listing.data.pop(name, None)
            else:
                listing.data[name] = entry
            self._entries += len(listing.data)

    def renamed(self, old: RemotePath, new: RemotePath, entry: RemoteEntry) -> None:
        """*old* is called *new* now; the listings below it move along."""
        with self._lock:
            moved = [path for path in self._listings if path == old or is_below(path, old)]
            below = [(path, self._listings.pop(path)) for path in moved]
            for path, listing in below:
                target = RemotePath(new + path[len(old) :])
                replaced = self._listings.pop(target, None)
                if replaced is not None:
                    self._entries -= len(replaced.data)
                self._listings[target] = listing
        self._change(old, None)
        self._change(new, entry)

    def expire(self, directory: RemotePath) -> None:
        """The next question about *directory* asks the server; old answers stay for emergencies."""
        with self._lock:
            entry = self._listings.get(directory)
            if entry is not None:
                entry.listed_at = entry.expires_at = float("-inf")

    def forget_tree(self, path: RemotePath) -> None:
        """Drop what is known of *path* as a directory and of everything below it."""
        with self._lock:
            for gone in [p for p in self._listings if p == path or is_below(p, path)]:
                self._entries -= len(self._listings.pop(gone).data)


def directory_entry(name: str, modified_ns: int | None) -> RemoteEntry:
    """The entry of a directory that this drive just made."""
    return RemoteEntry(name=name, kind=Kind.DIRECTORY, modified_ns=modified_ns)
