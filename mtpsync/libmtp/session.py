"""One session with one device, for the one thread that may use libmtp. Blocks; may hang or crash.

libmtp's return codes say little, so every operation empties the error stack first and is judged by
both. The answer to a refused reading operation is "02fe" whatever the device said, or NULL, which
is an empty folder's, too; GetNumObjects has no data to lose its answer with, so asking for it
afterwards tells whether the session is in step, and gives the true code of a standing refusal.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from typing import Any

from mtpsync import errors
from mtpsync.libmtp import abi, answers
from mtpsync.libmtp.answers import Complaint
from mtpsync.libmtp.loader import Library
from mtpsync.messages import NAME_MAX, ROWS_MAX
from mtpsync.models import ROOT

_GET_NUM_OBJECTS = 0x1006
_CLOSE_SESSION = 0x1003
_ALL = 0xFFFFFFFF
_UNKNOWN_64 = 2**64 - 1
_STORAGES_MAX = 64
_PAUSES_S = (0.2, 0.8)  # between attempts at something that changes nothing
_READ_ONLY_TYPES, _REMOVABLE_TYPES = (1, 2), (2, 4)

Row = dict[str, Any]  # the fields of models.RemoteObject
Emit = Callable[[list[Row]], None]


def as_text(address: int | None) -> str:
    """A C string; octets that aren't UTF-8 as surrogates; "" for NULL."""
    if not address:
        return ""
    return ctypes.string_at(address).decode("utf-8", "surrogateescape")


class Session:
    """Wraps an open LIBMTP_mtpdevice_t."""

    def __init__(self, library: Library, device: int) -> None:
        self.library = library
        self.mtp = library.mtp
        self.device = device

    # -- judging -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Empty the error stack."""
        self.mtp.LIBMTP_Clear_Errorstack(self.device)

    def complaint(self) -> Complaint:
        """What the error stack says; it is empty afterwards."""
        entries: list[tuple[int, str]] = []
        at = self.mtp.LIBMTP_Get_Errorstack(self.device)
        while at and len(entries) < 1000:
            error = abi.Error.from_address(at)
            text = error.error_text or b""
            entries.append((error.errornumber, text.decode("utf-8", "replace")))
            at = error.next
        self.begin()
        return Complaint.of(entries)

    def probe(self, storage: int = _ALL, parent: int = ROOT) -> Complaint | None:
        """What the device truly says to a question about a folder; None: it answers."""
        self.begin()
        words = (ctypes.c_uint32(storage), ctypes.c_uint32(0), ctypes.c_uint32(parent))
        if self.mtp.LIBMTP_Custom_Operation(self.device, _GET_NUM_OBJECTS, 3, *words) == 0:
            return None
        return self.complaint()

    def in_step(self) -> bool:
        """Whether the device still answers what it is asked, after something went wrong."""
        for _attempt in range(2):  # a transfer that was stopped late costs the next operation
            said = self.probe()
            if said is None or said.kind() is not errors.DeviceLost:
                return True
        return False

    def failed(self, doing: str, *, naming: bool = False) -> errors.MtpSyncError:
        """The error of a writing operation that said no."""
        return self.complaint().error(doing, naming=naming)

    def unread(
        self, doing: str, storage: int = _ALL, parent: int = ROOT, said: Complaint | None = None
    ) -> Complaint:
        """What the failure of a reading operation truly was; *said*: what the stack held.

        Raises:
            DeviceLost: the session is out of step.
        """
        said = said or self.complaint()
        if said.kind() is errors.DeviceLost and said.code not in answers.UNCERTAIN:
            raise said.error(doing)
        truth = self.probe(storage, parent)
        if truth is None or truth.kind() is errors.NotSupported:  # the session is in step
            return said
        if truth.kind() is errors.DeviceLost:
            raise truth.error(doing)
        return truth

    # -- what it is ----------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """The fields of models.DeviceInfo."""
        struct = abi.MtpDevice.from_address(self.device)
        return {
            "serial": self.serial(),
            "manufacturer": self._told(self.mtp.LIBMTP_Get_Manufacturername),
            "model": self._told(self.mtp.LIBMTP_Get_Modelname),
            "friendly_name": self._told(self.mtp.LIBMTP_Get_Friendlyname),
            "object_bits": struct.object_bitsize,
            "can_move": self._can(abi.CAPABILITY_MOVE),
            "can_read_parts": self._can(abi.CAPABILITY_GET_PARTIAL),
        }

    def serial(self) -> str:
        """The number by which it is known again; "" for devices that have none."""
        return self._told(self.mtp.LIBMTP_Get_Serialnumber)

    def _told(self, function: Any) -> str:
        address = function(self.device)
        try:
            text = as_text(address)[:NAME_MAX].strip()
            return text.encode("utf-8", "replace").decode()  # it is for people
        finally:
            self.library.free(address)

    def _can(self, capability: int) -> bool:
        return bool(self.mtp.LIBMTP_Check_Capability(self.device, capability))

    def storages(self) -> list[dict[str, Any]]:
        """The fields of models.StorageInfo, of each.

        Raises:
            DeviceLocked: there is none.
        """
        said = Complaint(None, None, "")
        for pause_s in (*_PAUSES_S[:1], None):
            self.begin()
            code = self.mtp.LIBMTP_Get_Storage(self.device, 0)
            if code == 0:
                found = list(self._storage_list())
                if found:
                    return found
                break
            said = self.complaint()
            truth = self.unread("asking for the storages", said=said)
            if said.number is None:  # whatever it says of folders that it does not show
                break
            said = truth
            if pause_s is not None:
                time.sleep(pause_s)
        if said.number is not None:
            # The session is in step, or `unread` would have said so: not what "lost" means.
            raise errors.DeviceError(f"the device does not tell its storages ({said.text})")
        raise errors.DeviceLocked(
            "the device shows no storage: it is locked, or set to charge only",
            remedy="unlock its screen and choose file transfer (MTP) in its USB settings",
        )

    def _storage_list(self) -> Iterator[dict[str, Any]]:
        at = abi.MtpDevice.from_address(self.device).storage
        for _number in range(_STORAGES_MAX):
            if not at:
                return
            one = abi.DeviceStorage.from_address(at)
            free, objects = one.FreeSpaceInBytes, one.FreeSpaceInObjects
            readable_only = one.StorageType in _READ_ONLY_TYPES or one.AccessCapability != 0
            yield {
                "id": one.id,
                "label": (one.StorageDescription or b"").decode("utf-8", "replace"),
                "volume": (one.VolumeIdentifier or b"").decode("utf-8", "replace"),
                "capacity_bytes": one.MaxCapacity,
                "free_bytes": None if free == _UNKNOWN_64 else free,
                "free_objects": None if objects in (_UNKNOWN_64, _ALL) else objects,
                "read_only": readable_only or one.id & 0xFFFF == 0,
                "removable": one.StorageType in _REMOVABLE_TYPES,
            }
            at = one.next

    # -- lists ---------------------------------------------------------------------------------

    def children(self, storage: int, parent: int, emit: Emit) -> int | None:
        """Give what is in a folder to *emit*, in parts; how many objects were not described.

        None: this libmtp can't tell. A folder that seems empty is asked for once more: that costs
        one question, and an object that failed to describe itself by accident shows.

        Raises:
            ListingFailed: that is not "empty".
        """
        parent = parent or ROOT  # 0 is "everything, at any depth" to Android
        doing = f"listing folder {parent:#x} of storage {storage:#x}"
        said = Complaint(None, None, "")
        listed = self._counted if self.library.counts_children else self._uncounted
        empty = 0
        for pause_s in (*_PAUSES_S, None):
            self.begin()
            answer = listed(storage, parent, emit)
            if isinstance(answer, tuple):
                return answer[0]
            said = self.unread(doing, storage, parent)
            if said.number is None:
                empty += 1
                if empty == 2 or self.library.counts_children:
                    return 0 if self.library.counts_children else None
                continue
            if said.code is not None and issubclass(said.kind(), errors.Missing):
                break
            if pause_s is not None:
                time.sleep(pause_s)
        raise errors.ListingFailed(str(said.error(doing)))

    def _uncounted(self, storage: int, parent: int, emit: Emit) -> tuple[int | None] | None:
        """By one call that leaves out, without a word, what was not described. None: NULL."""
        first = at = self.mtp.LIBMTP_Get_Files_And_Folders(self.device, storage, parent)
        if not first:
            return None
        rows: list[Row] = []
        seen: set[int] = set()
        while at:
            file = abi.File.from_address(at)
            following = file.next
            row = self._row(file, storage=storage, parent=parent)
            self.mtp.LIBMTP_destroy_file_t(at)
            at = following
            if row["id"] not in seen:
                seen.add(row["id"])
                rows.append(row)
            if len(rows) >= ROWS_MAX:
                emit(rows)
                rows = []
        emit(rows)
        return (None,)

    def _counted(self, storage: int, parent: int, emit: Emit) -> tuple[int | None] | None:
        """By their numbers first, and then each. None: there are no numbers."""
        address = ctypes.c_void_p()
        count = self.mtp.LIBMTP_Get_Children(self.device, storage, parent, ctypes.byref(address))
        if count <= 0 or not address.value:
            self.library.free(address.value)
            return None
        numbers = dict.fromkeys((ctypes.c_uint32 * count).from_address(address.value))
        self.library.free(address.value)
        rows: list[Row] = []
        described = 0
        for number in numbers:
            row = self._described(number, storage=storage, parent=parent) or self._described(
                number, storage=storage, parent=parent
            )
            if row is not None:
                described += 1
                rows.append(row)
            if len(rows) >= ROWS_MAX or row is None:
                emit(rows)  # also when empty: a sign of life
                rows = []
        emit(rows)
        if not described:
            raise errors.ListingFailed(
                f"the device has {len(numbers)} objects in folder {parent:#x} of storage "
                f"{storage:#x} and describes none of them"
            )
        if described < len(numbers):
            self.unread("listing a folder")  # raises when the session is out of step
        return (len(numbers) - described,)

    def _described(self, number: int, *, storage: int, parent: int) -> Row | None:
        address = self.mtp.LIBMTP_Get_Filemetadata(self.device, number)
        if not address:
            said = self.complaint()
            if said.kind() is errors.DeviceLost and said.code not in answers.UNCERTAIN:
                raise said.error("listing a folder")
            return None
        try:
            row = self._row(abi.File.from_address(address), storage=storage, parent=parent)
        finally:
            self.mtp.LIBMTP_destroy_file_t(address)
        row["id"] = number
        return row

    def _row(self, file: abi.File, *, storage: int | None, parent: int | None) -> Row:
        """An object. Of a list, it is where it was asked for, whatever it says itself."""
        told = file.parent_id or ROOT
        name = as_text(file.filename)
        return {
            "id": file.item_id,
            "parent_id": told if parent is None else parent,
            "storage_id": file.storage_id if storage is None else storage,
            "name": name if len(name) <= NAME_MAX else "",
            "size_bytes": 0 if file.filetype == abi.FILETYPE_FOLDER else file.filesize,
            "modified_s": file.modificationdate,
            "is_folder": file.filetype == abi.FILETYPE_FOLDER,
        }

    def metadata(self, number: int) -> Row:
        """One object.

        Raises:
            Missing: the device does not describe it, twice.
        """
        for pause_s in (*_PAUSES_S[:1], None):
            row = self.peek(number)
            if row is not None:
                return row
            said = self.unread(f"asking for object {number}")
            if said.code is not None and said.code not in answers.UNCERTAIN:
                raise said.error(f"asking for object {number}")
            if pause_s is not None:
                time.sleep(pause_s)
        raise errors.Missing(f"the device does not describe object {number}")

    def peek(self, number: int) -> Row | None:
        """One object; None: it is not described."""
        self.begin()
        address = self.mtp.LIBMTP_Get_Filemetadata(self.device, number)
        if not address:
            return None
        try:
            return self._row(abi.File.from_address(address), storage=None, parent=None)
        finally:
            self.mtp.LIBMTP_destroy_file_t(address)

    # -- changes -------------------------------------------------------------------------------

    def make_folder(self, storage: int, parent: int, name: str) -> dict[str, Any]:
        """Its id, and the name that the device gave it ("": it does not say)."""
        self.begin()
        text = ctypes.create_string_buffer(name.encode())  # libmtp may edit it
        number = self.mtp.LIBMTP_Create_Folder(self.device, text, parent or ROOT, storage)
        if not number:
            error = self.failed(f"making folder {name!r}", naming=True)
            raise self.taken(error, storage, parent, name)
        made = self.peek(number)
        if made is None:
            self.unread(f"making folder {name!r}")
            raise errors.DeviceError(f"making folder {name!r}: the device says done, and has none")
        if made["name"] != name:
            self.mtp.LIBMTP_Delete_Object(self.device, number)  # it is new, so it is empty
            raise errors.NameRefused(f"the device called folder {name!r} {made['name']!r}")
        return {"id": number}

    def delete(self, number: int) -> None:
        """Remove it."""
        self.begin()
        if self.mtp.LIBMTP_Delete_Object(self.device, number):
            raise self.failed(f"deleting object {number}")

    def rename(self, number: int, name: str) -> None:
        """Give it another name."""
        self.begin()
        text = ctypes.create_string_buffer(name.encode())
        if self.mtp.LIBMTP_Set_Object_Filename(self.device, number, text):
            error = self.failed(f"renaming object {number} to {name!r}", naming=True)
            row = None if isinstance(error, errors.DeviceLost) else self.peek(number)
            if row is None:
                raise error
            raise self.taken(error, row["storage_id"], row["parent_id"], name)
        row = self.peek(number)
        if row is None:
            self.unread(f"renaming object {number}")
            raise errors.DeviceError(f"object {number} is not described after renaming it")
        if row["name"] != name:
            raise errors.NameRefused(f"the device called {name!r} {row['name']!r}")

    def move(self, number: int, storage: int, parent: int) -> None:
        """Put it elsewhere. The root is 0 here, and only here."""
        self.begin()
        to = abi.MOVE_ROOT if parent in (0, ROOT) else parent
        if self.mtp.LIBMTP_Move_Object(self.device, number, storage, to):
            raise self.failed(f"moving object {number}")

    def taken(
        self, error: errors.MtpSyncError, storage: int, parent: int, name: str
    ) -> errors.MtpSyncError:
        """*error*, or NameTaken when there is such a name: AOSP has no code for that."""
        if type(error) is not errors.DeviceError:
            return error
        rows: list[Row] = []
        try:
            self.children(storage, parent, rows.extend)
        except errors.MtpSyncError:
            return error
        if any(row["name"].casefold() == name.casefold() for row in rows):
            return errors.NameTaken(f"there is {name!r} already ({error})")
        return error

    # -- the end -------------------------------------------------------------------------------

    def release(self) -> None:
        """Close the session."""
        self.mtp.LIBMTP_Release_Device(self.device)

    def leave(self) -> None:
        """Close the session without releasing the device; the end of the process does the rest.

        For a device whose events another thread reads: the release frees what that one uses.
        """
        self.mtp.LIBMTP_Custom_Operation(self.device, _CLOSE_SESSION, 0)

    def read_events(self) -> None:
        """Read and drop events until the device is gone: for a thread that ends with the process.

        It touches the interrupt endpoint only, and no error stack.
        """
        event, parameter = ctypes.c_int(), ctypes.c_uint32()
        while not self.mtp.LIBMTP_Read_Event(
            self.device, ctypes.byref(event), ctypes.byref(parameter)
        ):
            pass
