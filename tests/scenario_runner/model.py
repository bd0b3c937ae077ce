"""What the drive has promised: the runner's own idea of every file that programs saved.

It knows the content that the scenario put on the server, follows every step that succeeded, and
says at the end what must be there. A file whose content it can't know is left out, never guessed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from tests.scenario_runner.content import describe


class Promises:
    """Acknowledged bytes and deletions, by path. Thread-safe: steps may run in parallel."""

    def __init__(self, files: Mapping[str, bytes], unknown: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._unknown = set(unknown)  # there, but too large to hold
        self._blind = False  # a program did what the runner didn't see
        self._content: dict[str, bytes] = dict(files)  # what is known, promised or not
        self._saved: set[str] = set()
        self._deleted: set[str] = set()
        self._handles: dict[str, str] = {}

    # -- what programs did -----------------------------------------------------------------

    def write(self, path: str, data: bytes, *, mode: str, offset: int = 0) -> None:
        """A write was acknowledged."""
        with self._lock:
            if mode in ("overwrite", "create"):
                self._save(path, data)
                return
            known = self._known(path)
            if known is None:
                return
            at = len(known) if mode == "append" else offset
            old = known.ljust(at, b"\0")
            self._save(path, old[:at] + data + old[at + len(data) :])

    def truncate(self, path: str, size: int) -> None:
        """A new size was acknowledged."""
        with self._lock:
            known = self._known(path)
            if known is not None:
                self._save(path, known[:size].ljust(size, b"\0"))

    def delete(self, path: str) -> None:
        """A deletion was acknowledged."""
        with self._lock:
            self._forget(path)
            self._deleted.add(path)
            for name in [name for name, opened in self._handles.items() if opened == path]:
                self._handles[name] = ""  # what is written to it now goes nowhere

    def rename(self, old: str, new: str) -> None:
        """A rename was acknowledged."""
        with self._lock:
            if old == new:
                return
            self._forget(new)
            self._deleted.discard(new)
            moved = [p for p in self._content if p == old or p.startswith(old + "/")]
            for path in moved:
                target = new + path[len(old) :]
                content, saved = self._content[path], path in self._saved
                self._forget(path)
                self._deleted.add(path)
                self._deleted.discard(target)
                self._content[target] = content
                if saved:
                    self._saved.add(target)
            for name, path in self._handles.items():
                if path == old or path.startswith(old + "/"):
                    self._handles[name] = new + path[len(old) :]

    def opened(self, name: str, path: str) -> None:
        """Handle *name* is on *path* from now on."""
        with self._lock:
            self._handles[name] = path

    def created(self, path: str) -> None:
        """*path* exists, made empty when it did not."""
        with self._lock:
            if path not in self._content:
                self._save(path, b"")

    def write_handle(self, name: str, data: bytes, offset: int) -> None:
        """A write through an open handle was acknowledged."""
        path = self._handles[name]
        if path:
            self.write(path, data, mode="in_place", offset=offset)

    def discarded(self, path: str) -> None:
        """The user gave up what was saved."""
        with self._lock:
            self._forget(path)

    # -- what others did -------------------------------------------------------------------

    def others_put(self, path: str, data: bytes) -> None:
        """Somebody else wrote it: what this drive promised for it isn't checked any more."""
        with self._lock:
            self._forget(path)
            self._deleted.discard(path)
            self._content[path] = data

    def others_removed(self, path: str) -> None:
        """Somebody else removed it."""
        with self._lock:
            self._forget(path)

    def anything_happened(self) -> None:
        """A program ran that may have changed every file."""
        with self._lock:
            self._blind = True
            self._content.clear()
            self._saved.clear()
            self._deleted.clear()

    # -- the end ---------------------------------------------------------------------------

    def broken(self, tree: Mapping[str, bytes | None], kept: set[str]) -> list[str]:
        """One line for each promise that *tree*, the server's content, does not show.

        *kept* are the paths that wait in the spool or are HELD.
        """
        lines = []
        for path in sorted(self._saved - kept):
            data = self._content[path]
            if path not in tree:
                lines.append(f"LOST: {path} was saved as {describe(data)}; it is not on the server")
            elif tree[path] != data:
                found = tree[path]
                shown = "a directory" if found is None else describe(found)
                lines.append(
                    f"LOST: {path} was saved as {describe(data)}; on the server it is {shown}"
                )
        lines += [
            f"CAME BACK: {path} was deleted and is on the server again"
            for path in sorted(self._deleted)
            if path in tree
        ]
        return lines

    def _known(self, path: str) -> bytes | None:
        """What it is now, empty when it was just made; None: unknown."""
        if path in self._content:
            return self._content[path]
        return None if self._blind or path in self._unknown else b""

    def _save(self, path: str, data: bytes) -> None:
        self._content[path] = data
        self._saved.add(path)
        self._deleted.discard(path)

    def _forget(self, path: str) -> None:
        self._content.pop(path, None)
        self._saved.discard(path)
