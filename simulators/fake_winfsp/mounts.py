"""Where volumes are seen: drive letters by session, directories, network shares; Win32 paths."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.ntstatus import Win32Error
from simulators.fake_winfsp.volume import Volume

LETTERS = "ZYXWVUTSRQPONMLKJIHGFED"
MAX_PATH = 260
_DEVICES = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[1-9¹²³])$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A place and its volume. `root` is upper-case and ends without a backslash."""

    root: str
    volume: Volume
    elevated: bool | None  # None: every session sees it


class MountTable:
    """All mounts of one Windows; thread-safe."""

    def __init__(self, letters_taken: frozenset[str], directories: frozenset[str]) -> None:
        self._lock = threading.Lock()
        self._taken = {f"{letter.upper()}:" for letter in letters_taken}
        self._directories = {_tidy(path).upper() for path in directories}
        self._mounts: list[Mount] = []

    def add(self, volume: Volume, place: str | None, *, elevated: bool) -> tuple[int, str]:
        """Status, and the place as it is called from now on (None or "*": a free letter)."""
        with self._lock:
            if place in (None, "*", "*:"):
                free = [one for one in LETTERS if self._free(f"{one}:", elevated)]
                if not free:
                    return nt.NO_SUCH_DEVICE, ""
                place = f"{free[0]}:"
            assert place is not None
            globally = place.startswith("\\\\.\\")
            name = place.removeprefix("\\\\.\\")
            root = _tidy(name).upper()
            if re.fullmatch(r"[A-Z]:", root):
                session = None if globally else elevated
                if not self._free(root, session):
                    return nt.OBJECT_NAME_COLLISION, ""
                self._mounts.append(Mount(root=root, volume=volume, elevated=session))
                return nt.SUCCESS, name
            if volume.params.prefix:  # no junction leads to a network file system
                return nt.NETWORK_ACCESS_DENIED, ""
            status = self._directory_status(name, root)
            if status == nt.SUCCESS:
                self._mounts.append(Mount(root=root, volume=volume, elevated=None))
            return status, name

    def add_share(self, volume: Volume) -> int:
        """\\\\server\\share of a volume with a prefix."""
        root = "\\" + volume.params.prefix.upper().rstrip("\\")
        with self._lock:
            if any(mount.root == root for mount in self._mounts):
                return nt.OBJECT_NAME_COLLISION
            self._mounts.append(Mount(root=root, volume=volume, elevated=None))
            return nt.SUCCESS

    def remove(self, volume: Volume, *, share: bool) -> None:
        """The volume's letter or directory goes; with *share* its share, too."""
        with self._lock:
            self._mounts = [
                mount
                for mount in self._mounts
                if mount.volume is not volume or (mount.root.startswith("\\\\") and not share)
            ]

    def find(self, root: str, *, elevated: bool) -> Mount | None:
        """The mount that a tidy absolute path is in: the longest root that fits."""
        upper = root.upper()
        with self._lock:
            fits = [
                mount
                for mount in self._mounts
                if (upper == mount.root or upper.startswith(mount.root + "\\"))
                and mount.elevated in (None, elevated)
            ]
        return max(fits, key=lambda mount: len(mount.root), default=None)

    def roots(self) -> list[str]:
        """For messages and tests."""
        with self._lock:
            return sorted(mount.root for mount in self._mounts)

    def _free(self, root: str, elevated: bool | None) -> bool:
        return root not in self._taken and not any(
            mount.root == root
            and (None in (mount.elevated, elevated) or mount.elevated == elevated)
            for mount in self._mounts
        )

    def _directory_status(self, name: str, root: str) -> int:
        if name.startswith("/"):  # a test's own directory
            if Path(name).exists() or any(mount.root == root for mount in self._mounts):
                return nt.OBJECT_NAME_COLLISION
            return nt.SUCCESS if Path(name).parent.is_dir() else nt.OBJECT_PATH_NOT_FOUND
        if not re.match(r"[A-Z]:\\.", root):
            return nt.OBJECT_NAME_INVALID
        if root in self._directories or any(mount.root == root for mount in self._mounts):
            return nt.OBJECT_NAME_COLLISION
        parent = root.rpartition("\\")[0]
        return nt.SUCCESS if parent in self._directories else nt.OBJECT_PATH_NOT_FOUND


def _tidy(path: str) -> str:
    return path.replace("/", "\\").rstrip("\\")


def full_path(path: str, call: str, *, long_paths: bool = True) -> str:
    """The path as Win32 hands it to the kernel: absolute, backslashes, dots and spaces trimmed.

    `\\\\?\\` paths come through as they are.

    Raises:
        Win32Error: relative, too long, or a device's name.
    """
    if path.startswith("\\\\?\\UNC\\"):
        return "\\\\" + path[8:]
    if path.startswith("\\\\?\\"):
        return path[4:]
    plain = path.replace("/", "\\")
    if not long_paths and len(plain) >= MAX_PATH:
        raise Win32Error(nt.ERROR_PATH_NOT_FOUND, None, call, path)
    if "\0" in plain or not plain:
        raise Win32Error(nt.ERROR_INVALID_NAME, None, call, path)
    unc = plain.startswith("\\\\")
    head = "\\\\" if unc else plain[:2] if plain[1:2] == ":" else ""
    if not head and not plain.startswith("\\"):
        raise Win32Error(nt.ERROR_INVALID_NAME, None, call, path)  # no current directory here
    parts: list[str] = []
    pieces = [piece for piece in plain[len(head) :].split("\\") if piece]
    for at, piece in enumerate(pieces):
        if piece == "..":
            parts[:] = parts[: max(2 if unc else 0, len(parts) - 1)]
        elif piece != ".":
            last = at == len(pieces) - 1
            trimmed = piece.rstrip(". ") if last else piece.removesuffix(".")
            parts += [trimmed] if trimmed else []
    if parts and _DEVICES.match(parts[-1].partition(".")[0].rstrip(" ")):
        raise Win32Error(nt.ERROR_INVALID_NAME, None, call, path)  # it would be the device
    tail = "\\" if plain.endswith("\\") and parts else ""
    return head + ("" if unc else "\\") + "\\".join(parts) + tail
