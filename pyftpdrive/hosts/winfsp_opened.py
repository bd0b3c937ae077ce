"""What one CreateFile opened, as the adapter knows it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import RemotePath
from pyftpdrive.core.nodes import FileContext, FileStat
from pyftpdrive.hosts.winfsp_library import winfspy


class Opened(winfspy.BaseFileContext):  # type: ignore[misc]  # winfspy has no type information
    """What one CreateFile opened: a directory, a file, or a file whose attributes alone matter."""

    def __init__(self, path: RemotePath, found: FileStat) -> None:
        self._path = path
        self.found = found  # the last that was known: get_file_info may never fail
        self.file: FileContext | None = None  # opened in the core; None: not needed yet
        # Of a directory being read: name, path, what it is.
        self.listing: list[tuple[str, RemotePath, FileStat]] | None = None
        self.shown: list[str] = []  # its names, sorted
        self.deleted = False

    @property
    def path(self) -> RemotePath:
        """Full path on the server; follows renames."""
        file = self.file
        return self._path if file is None else file.path

    def move(self, path: RemotePath) -> None:
        """It is called *path* now."""
        self._path = path

    @property
    def is_directory(self) -> bool:
        """A directory is never opened in the core."""
        return self.found.kind is Kind.DIRECTORY

    def lines_behind(self, marker: str | None) -> Iterator[tuple[str, RemotePath, FileStat]]:
        """The listing from *marker* on, also when that name has gone meanwhile."""
        listing = self.listing or []
        dots = len(listing) - len(self.shown)
        if marker is None:
            begin = 0
        elif marker in (".", "..") and dots:
            begin = (".", "..").index(marker) + 1
        else:
            begin = dots + bisect_right(self.shown, marker)
        return islice(listing, begin, None)
