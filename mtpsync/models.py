"""What is talked about: devices, storages, objects, trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

ROOT = 0xFFFFFFFF
"""The parent of what lies at the top of a storage, for listing, sending and making folders."""

# -- on the device --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """One device."""

    serial: str
    manufacturer: str
    model: str
    friendly_name: str
    object_bits: int  # 64; 32: sizes of 4 GiB and more are wrong
    can_move: bool
    can_read_parts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageInfo:
    """One storage. Its id is good for this session only; the label stays."""

    id: int
    label: str
    volume: str
    capacity_bytes: int
    free_bytes: int | None  # None: the device does not tell
    free_objects: int | None
    read_only: bool
    removable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteObject:
    """A file or folder as the device describes it. Its id is good for this session only."""

    id: int
    parent_id: int
    storage_id: int
    name: str
    size_bytes: int
    modified_s: int  # as the device says it: often its local time, often the time of arrival
    is_folder: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """What a folder holds. `undescribed`: objects that the device has and did not describe."""

    objects: tuple[RemoteObject, ...]
    undescribed: int | None  # None: this libmtp can't tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What went over the line."""

    object_id: int
    size_bytes: int
    sha256: str  # of the bytes that were sent or received, hex


Progress = Callable[[int], None]
"""Told the bytes of one transfer so far, some times a second."""


class Device(Protocol):
    """An open device. Every method may raise DeviceLost; none leaves its caller waiting for ever.

    A DeviceError says that one operation failed. Whether it changed the device is only known by
    looking (`refresh`, then `children`).
    """

    info: DeviceInfo
    session: int
    """Counts the sessions. Ids of one mean nothing in the next: whoever holds ids looks here."""

    def storages(self) -> tuple[StorageInfo, ...]:
        """All storages, fresh.

        Raises:
            DeviceLocked: there is none.
        Source: LIBMTP_Get_Storage.
        """

    def children(self, storage_id: int, parent_id: int) -> Children:
        """What is in a folder, or at the top of a storage (ROOT).

        Raises:
            ListingFailed: that is not "empty".
        Source: LIBMTP_Get_Children, LIBMTP_Get_Files_And_Folders.
        """

    def metadata(self, object_id: int) -> RemoteObject:
        """One object.

        Raises:
            Missing: there is none.
        Source: LIBMTP_Get_Filemetadata.
        """

    def make_folder(self, storage_id: int, parent_id: int, name: str) -> int:
        """Make a folder; its id.

        Raises:
            NameTaken, NameRefused, ReadOnly, StorageFull: not made.
        Source: LIBMTP_Create_Folder.
        """

    def send(
        self,
        storage_id: int,
        parent_id: int,
        name: str,
        source: Path,
        size_bytes: int,
        progress: Progress | None = None,
    ) -> Transfer:
        """Send exactly *size_bytes* of *source* as a new object; its id and what was sent.

        Raises:
            NameTaken, StorageFull, TooLarge, ReadOnly: refused; a part may be there all the same.
            SourceChanged: it is shorter by now; nothing of it should be left.
            Cancelled: see `cancel`.
        Source: LIBMTP_Send_File_From_Handler.
        """

    def receive(
        self,
        object_id: int,
        size_bytes: int,
        *,
        to: Path | None = None,
        progress: Progress | None = None,
    ) -> Transfer:
        """Read an object to its end: digest it, and store it as *to* when given.

        Raises:
            Missing: there is none.
            ContentChanged: it is not as long as *size_bytes*.
        Source: LIBMTP_Get_File_To_Handler.
        """

    def delete(self, object_id: int) -> None:
        """Remove one object. Folders must be empty: some devices remove what is in them, too.

        Source: LIBMTP_Delete_Object.
        """

    def rename(self, object_id: int, name: str) -> None:
        """Give an object another name in its folder.

        Raises:
            NameTaken, NotSupported, NameRefused: it has its old one.
        Source: LIBMTP_Set_File_Name.
        """

    def move(self, object_id: int, storage_id: int, parent_id: int) -> None:
        """Put an object into another folder.

        Raises:
            NotSupported: this device does not move.
        Source: LIBMTP_Move_Object.
        """

    def refresh(self) -> None:
        """A fresh session: what is remembered of objects in this one may be old.

        Raises:
            DeviceLost: it did not come back.
        """

    def cancel(self) -> None:
        """Stop the transfer under way; thread-safe, also from a signal handler."""

    def close(self) -> None:
        """End the session. Never raises, never waits long."""


# -- the specification's trees --------------------------------------------------------------------


@dataclass(slots=True)
class FileNode:
    """A file in `path_map`."""

    id: int
    size: int
    modified_s: int = 0
    type: Literal["file"] = "file"


@dataclass(slots=True)
class FolderNode:
    """A folder in `path_map`."""

    id: int
    children: dict[str, FolderNode | FileNode] = field(default_factory=dict)
    type: Literal["folder"] = "folder"


@dataclass(slots=True)
class IDEntry:
    """What an object's id stands for."""

    element: FolderNode | FileNode
    full_path: str  # "/path/to/element"
    parent: FolderNode | None
