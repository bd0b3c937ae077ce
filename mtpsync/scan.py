"""Looks at both sides. What could not be seen is reported, and never looks like "not there"."""

from __future__ import annotations

import logging
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mtpsync.errors import DeviceError, UsageError
from mtpsync.models import ROOT, Device, FileNode, FolderNode, IDEntry, RemoteObject, StorageInfo
from mtpsync.utils import fat_names

log = logging.getLogger(__name__)

DEPTH_MAX = 64
OBJECTS_MAX = 5_000_000

Seen = Callable[[int], None]
"""Told the number of objects so far."""


# -- the local side -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A local file as it was looked at."""

    path: Path
    size_bytes: int
    modified_ns: int


@dataclass(slots=True)
class SourceTree:
    """What is to be on the device: paths are relative, with '/'."""

    root: Path
    folders: list[str] = field(default_factory=list)  # parents first
    files: dict[str, SourceFile] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)  # what is left out, and why
    skipped: dict[str, str] = field(default_factory=dict)  # the same, because it was asked for
    is_mapped: bool = False  # the paths are those on the device, see `fat_names`

    def local(self, path: str) -> Path:
        """Where *path* is here."""
        if self.is_mapped:
            path = "/".join(map(fat_names.original, path.split("/")))
        return self.root / path


def scan_source(root: Path, *, deep: bool = True) -> SourceTree:
    """Everything below *root*: regular files and folders; not *deep*: whether it can be read.

    Symbolic links are not followed, and named in `troubles` as other special files are.

    Raises:
        UsageError: *root* is no folder that can be read.
    """
    try:
        root = root.resolve(strict=True)
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder", remedy="name the folder to send")
        tree = SourceTree(root)
        if deep:
            _scan_folder(root, "", tree)
        else:
            os.listdir(root)
    except OSError as error:
        raise UsageError(f"{root} can't be read: {error.strerror}") from error
    return tree


def _scan_folder(folder: Path, prefix: str, tree: SourceTree) -> None:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = prefix + entry.name
        try:
            entry.name.encode()
            status = entry.stat(follow_symlinks=False)
        except UnicodeEncodeError:
            tree.troubles.append(f"{path!r}: its name is not UTF-8")
            continue
        except OSError as error:
            tree.troubles.append(f"{path}: {error.strerror}")
            continue
        if stat.S_ISREG(status.st_mode):
            tree.files[path] = SourceFile(
                path=folder / entry.name,
                size_bytes=status.st_size,
                modified_ns=status.st_mtime_ns,
            )
        elif stat.S_ISDIR(status.st_mode):
            tree.folders.append(path)
            try:
                _scan_folder(folder / entry.name, f"{path}/", tree)
            except OSError as error:
                tree.troubles.append(f"{path}: {error.strerror}")
        elif stat.S_ISLNK(status.st_mode):
            tree.troubles.append(f"{path}: a symbolic link is not followed")
        else:
            tree.troubles.append(f"{path}: neither a file nor a folder")


# -- the device -----------------------------------------------------------------------------------


@dataclass(slots=True)
class RemoteTree:
    """What is below one folder of a storage. `path_map` and `id_map` as the specification has them.

    Paths are absolute on the storage; *dest* is the folder that was scanned, '' for its top.
    """

    storage: StorageInfo
    dest: str
    top: FolderNode | None  # None: *dest* does not exist
    path_map: dict[str, FolderNode] = field(default_factory=dict)
    id_map: dict[int, IDEntry] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    @property
    def trusted(self) -> bool:
        """True when what is not in it is not there."""
        return not self.troubles

    def find(self, path: str) -> FolderNode | FileNode | None:
        """What is at *path*, relative to `dest`."""
        node: FolderNode | FileNode | None = self.top
        for name in path.split("/") if path else ():
            if not isinstance(node, FolderNode):
                return None
            node = node.children.get(name)
        return node

    def walk(self) -> Iterator[tuple[str, FolderNode | FileNode]]:
        """Everything below `dest`, folders before what is in them."""
        stack: list[tuple[str, FolderNode]] = [("", self.top)] if self.top is not None else []
        while stack:
            prefix, folder = stack.pop()
            for name, node in folder.children.items():
                yield prefix + name, node
                if isinstance(node, FolderNode):
                    stack.append((f"{prefix}{name}/", node))


def normal_dest(dest: str) -> str:
    """'/DCIM/Camera/' as '/DCIM/Camera'; '/' as ''.

    Raises:
        UsageError: '..' or an empty name in it.
    """
    names = [name for name in dest.split("/") if name]
    if any(name in (".", "..") or "\0" in name for name in names):
        raise UsageError(f"{dest}: '.' and '..' make no sense on a device")
    return "".join(f"/{name}" for name in names)


def scan_device(
    device: Device,
    storage: StorageInfo,
    dest: str,
    seen: Seen | None = None,
    *,
    deep: bool = True,
) -> RemoteTree:
    """Walk by name to *dest*, then everything below it; only what is in it when not *deep*.

    Raises:
        DeviceLost: nothing is known.
    """
    dest = normal_dest(dest)
    tree = RemoteTree(storage, dest, None)
    node, full = FolderNode(ROOT), ""
    for name in dest.split("/")[1:]:
        found = [
            entry
            for entry in _listed(device, tree, node.id, full)
            if entry.is_folder and entry.name == name
        ]
        if not found:
            return tree
        if len(found) > 1:
            tree.troubles.append(f"{full}/{name} is there {len(found)} times")
        node, full = FolderNode(found[0].id), f"{full}/{name}"
    tree.top = tree.path_map[full or "/"] = node
    _scan_below(device, tree, seen, DEPTH_MAX if deep else 0)
    return tree


def _scan_below(device: Device, tree: RemoteTree, seen: Seen | None, depth_max: int) -> None:
    assert tree.top is not None  # noqa: S101  # scan_device has set it
    stack = [(tree.dest, tree.top, 0)]
    folders = {tree.top.id}
    while stack:
        full, folder, depth = stack.pop()
        for entry in _listed(device, tree, folder.id, full):
            if not _usable(entry, full, folder, tree):
                continue
            path = f"{full}/{entry.name}"
            element: FolderNode | FileNode
            if entry.is_folder:
                if entry.id in folders or depth >= DEPTH_MAX:
                    tree.troubles.append(f"{path}: a folder that holds itself, or too deep")
                    continue
                folders.add(entry.id)
                element = tree.path_map[path] = FolderNode(entry.id)
                if depth < depth_max:
                    stack.append((path, element, depth + 1))
            else:
                element = FileNode(entry.id, entry.size_bytes, entry.modified_s)
            folder.children[entry.name] = element
            tree.id_map[entry.id] = IDEntry(element, path, folder)
            if len(tree.id_map) > OBJECTS_MAX:
                tree.troubles.append(f"more than {OBJECTS_MAX} objects")
                return
        if seen is not None:
            seen(len(tree.id_map))


def _listed(
    device: Device, tree: RemoteTree, folder_id: int, path: str
) -> tuple[RemoteObject, ...]:
    try:
        children = device.children(tree.storage.id, folder_id)
    except DeviceError as error:
        tree.troubles.append(f"{path or '/'}: {error}")
        return ()
    if children.undescribed:
        tree.troubles.append(
            f"{path or '/'}: the device does not describe {children.undescribed} object(s)"
        )
    return children.objects


def _usable(entry: RemoteObject, full: str, folder: FolderNode, tree: RemoteTree) -> bool:
    """Whether the name can be a part of a path; a name that is there twice is the first one's."""
    name = entry.name
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        tree.troubles.append(f"{full or '/'}: an object is called {name!r}")
        return False
    if name in folder.children:
        tree.troubles.append(f"{full}/{name} is there twice")
        return False
    return True


# -- names that are one on some devices -----------------------------------------------------------


def folded(path: str) -> str:
    """Equal for paths that a storage without upper and lower case, or with NFD, takes for one."""
    return unicodedata.normalize("NFC", path).casefold()
