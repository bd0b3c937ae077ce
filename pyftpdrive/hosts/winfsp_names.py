r"""From `\Dir\File.txt` to a path on the server and back, as Windows compares names.

The driver may hand over names in upper case, and knows no two names that differ in case only; so
each component is looked up among the names of its directory. They come from the core's listing and
cost the server nothing while that is fresh.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from pyftpdrive.base.errors import FsError, FsStatus, InvalidName
from pyftpdrive.base.paths import ROOT, RemotePath, join, name_of, parent
from pyftpdrive.base.winnames import NAME_UNITS_MAX, Names, from_windows, units
from pyftpdrive.core.filesystem import Filesystem

DIRECTORIES_KEPT = 200


class WindowsNames:
    """The names of a drive. Thread-safe: its lock guards a dictionary; no I/O under it."""

    def __init__(self, filesystem: Filesystem) -> None:
        self._filesystem = filesystem
        self._lock = threading.Lock()
        self._directories: OrderedDict[RemotePath, Names] = OrderedDict()

    def path(self, file_name: str, *, new: bool = False) -> RemotePath:
        """The server's path for what Windows calls *file_name*.

        *new*: the last component, when there is none, is what the program wrote.

        Raises:
            FsError: PATH_NOT_FOUND, NOT_FOUND, INVALID_NAME, NAME_TOO_LONG, or no answer.
        """
        path = ROOT
        components = [part for part in file_name.split("\\") if part]
        for number, component in enumerate(components):
            last = number == len(components) - 1
            found = self.child(path, component)
            if found is not None:
                path = found
            elif not last:
                raise FsError(FsStatus.PATH_NOT_FOUND, f"{file_name}: no such directory")
            elif new:
                return self.made(path, component)
            else:
                raise FsError(FsStatus.NOT_FOUND, f"{file_name}: no such file or directory")
        return path

    def child(self, directory: RemotePath, name: str) -> RemotePath | None:
        """What is called *name* in *directory*; None: nothing is."""
        with self._lock:
            known = self._directories.get(directory)
            if known is not None:
                self._directories.move_to_end(directory)
                found = known.server(name)
                if found is not None and self._filesystem.is_known(join(directory, found)):
                    return join(directory, found)
        found = self._refreshed(directory).server(name)
        return None if found is None else join(directory, found)

    def made(self, directory: RemotePath, name: str) -> RemotePath:
        """The path of a new *name* in *directory*.

        Raises:
            FsError: INVALID_NAME, NAME_TOO_LONG.
        """
        if units(name) > NAME_UNITS_MAX:
            raise FsError(FsStatus.NAME_TOO_LONG, f"{name[:40]}…: more than 255 characters")
        try:
            return join(directory, from_windows(name))
        except InvalidName as error:
            raise FsError(FsStatus.INVALID_NAME, str(error)) from error

    def of(self, path: RemotePath) -> str:
        """What Windows calls the last component of *path*.

        Raises:
            FsError: NOT_FOUND, it is gone by now.
        """
        try:
            return self._refreshed(parent(path)).windows(name_of(path))
        except KeyError as error:
            raise FsError(FsStatus.NOT_FOUND, f"{path}: no such file or directory") from error

    def listed(self, directory: RemotePath, names: list[str]) -> Names:
        """The names of a listing that was just made of *directory*."""
        with self._lock:
            known = self._directories.get(directory)
        if known is None:
            made = Names(names)
        else:
            made = known if known.same(names) else known.changed(names)
        with self._lock:
            self._directories[directory] = made
            self._directories.move_to_end(directory)
            while len(self._directories) > DIRECTORIES_KEPT:
                self._directories.popitem(last=False)
        return made

    def _refreshed(self, directory: RemotePath) -> Names:
        return self.listed(directory, self._filesystem.names(directory))
