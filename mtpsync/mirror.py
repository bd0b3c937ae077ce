"""Takes away what only the device has: asked for, bounded, and into a trash that gives it back.

Never on the strength of one listing: two fresh sessions must say the same, nothing may be
undescribed, and an empty source or an empty device deletes nothing.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from mtpsync.deliver import TEMPORARY_PREFIX
from mtpsync.errors import DeviceError, NameTaken, NotSupported, Refused
from mtpsync.manifest import Manifest, Removed
from mtpsync.models import ROOT, Device, FileNode, FolderNode, StorageInfo
from mtpsync.plan import Extra, Remote
from mtpsync.scan import RemoteTree, SourceTree, folded, scan_device

log = logging.getLogger(__name__)

TRASH = ".mtpsync-trash"
"""The folder at the top of a storage that removed files are moved to."""
MAX_DELETE = 100


def extras(source: SourceTree, remote: RemoteTree) -> list[Extra]:
    """What the device has and the source has not; what is in a folder before it.

    A name that differs in case or composition only is the source's on some devices: it stays.
    """
    ours = {folded(path) for path in [*source.folders, *source.files]}
    skipped = {folded(path) for path in source.skipped}
    found = [
        Extra(
            path=path,
            remote=Remote(size_bytes=node.size, modified_s=node.modified_s)
            if isinstance(node, FileNode)
            else None,
        )
        for path, node in remote.walk()
        if folded(path) not in ours and not _is_ours(path, remote) and not _left_out(path, skipped)
    ]
    return sorted(found, key=lambda extra: (-extra.path.count("/"), extra.path))


def _left_out(path: str, skipped: set[str]) -> bool:
    """Whether the source has it, or a folder above it, and leaves it out."""
    names = folded(path).split("/")
    return any("/".join(names[: depth + 1]) in skipped for depth in range(len(names)))


def _is_ours(path: str, remote: RemoteTree) -> bool:
    top, _, _rest = path.partition("/")
    return (top == TRASH and not remote.dest) or path.rpartition("/")[2].startswith(
        TEMPORARY_PREFIX
    )


def require_trust(
    wanted: list[Extra], source: SourceTree, remote: RemoteTree, again: RemoteTree, max_delete: int
) -> None:
    """Refuse to take anything away when that could be a mistake; all reasons at once.

    *again*: a second look, in a fresh session.

    Raises:
        Refused: with the reasons.
    """
    reasons = [*source.troubles, *remote.troubles, *again.troubles]
    if not source.files:
        reasons.append(f"{source.root} has no file")
    if {path: _look(node) for path, node in remote.walk()} != {
        path: _look(node) for path, node in again.walk()
    }:
        reasons.append("two looks at the device saw different things")
    files = sum(extra.remote is not None for extra in wanted)
    if files > max_delete:
        reasons.append(f"{files} files are only on the device, --max-delete allows {max_delete}")
    if reasons:
        raise Refused(
            "nothing is taken away:\n" + "\n".join(reasons),
            remedy="look at the device, or leave --delete out",
        )


def _look(node: FileNode | FolderNode) -> tuple[str, int]:
    return node.type, node.size if isinstance(node, FileNode) else 0


class Mirror:
    """Moves files into the trash, and back."""

    def __init__(
        self, device: Device, storage: StorageInfo, manifest: Manifest, vault: Path
    ) -> None:
        self._device = device
        self._storage = storage
        self._manifest = manifest
        self._vault = vault  # on this computer, for devices that can't move
        self._run = time.strftime("%Y-%m-%d %H.%M.%S")

    def take_away(self, extra: Extra, remote: RemoteTree) -> None:
        """Into the trash; a folder is removed when it is empty by now.

        Raises:
            DeviceError: it stays; or it is not what it was when the plan was made.
        """
        node = remote.find(extra.path)
        full = f"{remote.dest}/{extra.path}"
        if isinstance(node, FolderNode):
            if self._device.children(self._storage.id, node.id).objects:
                raise DeviceError(f"{extra.path}: is not empty")
            self._device.delete(node.id)
            return
        if node is None or extra.remote != Remote(size_bytes=node.size, modified_s=node.modified_s):
            raise DeviceError(f"{extra.path}: was changed on the device since the plan was made")
        self._manifest.forget(full)
        try:
            self._move(full, node)
        except NotSupported:
            self._fetch(full, node)

    def _move(self, full: str, node: FileNode) -> None:
        folder, _, _name = f"/{TRASH}/{self._run}{full}".rpartition("/")
        parent = self._folder(folder)
        removed = Removed(
            run=self._run,
            path=full,
            kept=f"device:/{TRASH}/{self._run}{full}",
            size=node.size,
            sha256="",
        )
        self._manifest.remove(removed)
        try:
            self._device.move(node.id, self._storage.id, parent)
        except DeviceError:
            self._manifest.restored(removed)
            raise

    def _fetch(self, full: str, node: FileNode) -> None:
        """This device does not move: the file is kept here."""
        local = self._vault / self._run / full.lstrip("/")
        local.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        got = self._device.receive(node.id, node.size, to=local)
        self._manifest.remove(
            Removed(
                run=self._run, path=full, kept=f"host:{local}", size=node.size, sha256=got.sha256
            )
        )
        self._device.delete(node.id)

    def _folder(self, path: str) -> int:
        """The id of the folder *path*, made when missing."""
        found = scan_device(self._device, self._storage, path, deep=False)
        if found.top is not None:
            return found.top.id
        above, _, name = path.rpartition("/")
        parent = self._folder(above) if above else ROOT
        return self._device.make_folder(self._storage.id, parent, name)

    # -- back again -------------------------------------------------------------------------------

    def undo(self, run: str | None) -> tuple[list[str], list[str]]:
        """Bring back what *run*, or the last one, took away: what is back, and what is not.

        Raises:
            DeviceLost: the rest can still be brought back.
        """
        back: list[str] = []
        failed: list[str] = []
        wanted = self._manifest.removed(run)
        for removed in wanted:
            try:
                self._bring_back(removed)
            except (DeviceError, OSError) as error:
                failed.append(f"{removed.path}: {error}")
            else:
                back.append(removed.path)
        if wanted and not failed:
            self._tidy(wanted[0].run)
        return back, failed

    def _tidy(self, run: str) -> None:
        """The empty folders of *run* in the trash, and the trash when nothing else is in it."""
        try:
            tree = scan_device(self._device, self._storage, f"/{TRASH}/{run}")
            nodes = list(tree.walk())
            if tree.top is None or not tree.trusted or any(n.type == "file" for _p, n in nodes):
                return
            for _path, node in reversed(nodes):
                self._device.delete(node.id)
            self._device.delete(tree.top.id)
            trash = scan_device(self._device, self._storage, f"/{TRASH}", deep=False)
            if trash.top is not None and trash.trusted and not trash.top.children:
                self._device.delete(trash.top.id)
        except DeviceError as error:
            log.info("empty folders stay in the trash: %s", error)

    def _bring_back(self, removed: Removed) -> None:
        folder, _, name = removed.path.rpartition("/")
        parent = self._folder(folder) if folder else ROOT
        there = self._device.children(self._storage.id, parent).objects
        if any(entry.name == name for entry in there):
            raise NameTaken(f"there is another one; the removed one is {removed.kept}")
        where, _, kept = removed.kept.partition(":")
        if where == "host":
            sent = self._device.send(self._storage.id, parent, name, Path(kept), removed.size)
            if sent.sha256 != removed.sha256:
                self._device.delete(sent.object_id)
                raise DeviceError(f"{kept} is not what it was")
        else:
            above, _, kept_name = kept.rpartition("/")
            trash = scan_device(self._device, self._storage, above, deep=False)
            node = trash.find(kept_name)
            if not isinstance(node, FileNode):
                raise DeviceError(f"{kept} is gone")
            self._device.move(node.id, self._storage.id, parent)
        self._manifest.restored(removed)
