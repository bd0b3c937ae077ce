"""A program that uses libmtp through `mtpsync.libmtp.abi`: JSON requests in, JSON answers out.

    python -m tests.helpers.mtp_program LIBRARY DESCRIPTOR

It is a process of its own because libmtp prints, hangs, crashes and leaks. Descriptors 1 and 2 are
the library's (files or pipes of the parent's choosing); the answers go to DESCRIPTOR.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
import threading
from ctypes import POINTER, byref, c_char, c_int, c_uint, c_uint8, c_uint32, c_void_p, cast
from typing import Any

from mtpsync.libmtp import abi

libc = ctypes.CDLL(None)
abi.declare_libc(libc)


def text(address: int | None) -> str | None:
    return None if not address else os.fsdecode(ctypes.string_at(address))


class Program:
    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        self.optional = abi.declare(self.library)
        self.library.LIBMTP_Init()
        self.raw: Any = None
        self.count = 0
        self.devices: list[Any] = []
        self.ops = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("do_")}

    def device(self, number: int = 0) -> Any:
        return self.devices[number]

    # -- finding ------------------------------------------------------------------------------

    def do_detect(self) -> dict[str, Any]:
        if self.raw:
            libc.free(self.raw)
        address, count = c_void_p(), c_int()
        code = self.library.LIBMTP_Detect_Raw_Devices(byref(address), byref(count))
        self.raw, self.count = address.value, count.value
        found = []
        if self.raw:
            array = cast(address, POINTER(abi.RawDevice * max(1, self.count))).contents
            for raw in array[: self.count]:
                entry = raw.device_entry
                product = entry.product and entry.product.decode()
                found.append(
                    {
                        "vendor_id": entry.vendor_id,
                        "product_id": entry.product_id,
                        "product": product,
                        "bus": raw.bus_location,
                        "devnum": raw.devnum,
                    }
                )
        return {"code": code, "devices": found}

    def do_open(self, number: int = 0, detect: bool = True) -> int | None:
        """The new device's number here; None: it couldn't be opened."""
        if detect:
            self.do_detect()
        if not self.raw or number >= self.count:
            return None
        at = self.raw + number * ctypes.sizeof(abi.RawDevice)
        device = self.library.LIBMTP_Open_Raw_Device_Uncached(at)
        if not device:
            return None
        self.devices.append(device)
        return len(self.devices) - 1

    def do_release(self, d: int = 0) -> None:
        self.library.LIBMTP_Release_Device(self.devices.pop(d))

    def do_exit(self) -> None:
        for device in self.devices:
            self.library.LIBMTP_Release_Device(device)
        self.devices.clear()
        if self.raw:
            libc.free(self.raw)
            self.raw = None

    def do_names(self, d: int = 0) -> dict[str, str | None]:
        answer = {}
        for what in ("Manufacturername", "Modelname", "Serialnumber", "Friendlyname"):
            address = getattr(self.library, f"LIBMTP_Get_{what}")(self.device(d))
            answer[what] = text(address)
            libc.free(address)
        return answer

    def do_facts(self, d: int = 0) -> dict[str, Any]:
        struct = abi.MtpDevice.from_address(self.device(d))
        extensions, at = [], struct.extensions
        while at:
            one = abi.DeviceExtension.from_address(at)
            extensions.append(one.name.decode())
            at = one.next
        most, now = c_uint8(), c_uint8()
        code = self.library.LIBMTP_Get_Batterylevel(self.device(d), byref(most), byref(now))
        can = [self.library.LIBMTP_Check_Capability(self.device(d), x) for x in range(5)]
        return {
            "bitsize": struct.object_bitsize,
            "extensions": extensions,
            "battery": [code, most.value, now.value],
            "capabilities": can,
            "optional": sorted(self.optional),
        }

    def do_errors(self, d: int = 0, clear: bool = True) -> list[list[Any]]:
        at, found = self.library.LIBMTP_Get_Errorstack(self.device(d)), []
        while at:
            error = abi.Error.from_address(at)
            found.append([error.errornumber, os.fsdecode(error.error_text)])
            at = error.next
        if clear:
            self.library.LIBMTP_Clear_Errorstack(self.device(d))
        return found

    # -- storages and lists -------------------------------------------------------------------

    def do_storages(self, d: int = 0, ask: bool = True) -> dict[str, Any]:
        code = self.library.LIBMTP_Get_Storage(self.device(d), 0) if ask else None
        at, found = abi.MtpDevice.from_address(self.device(d)).storage, []
        before = None
        while at:
            one = abi.DeviceStorage.from_address(at)
            assert one.prev == before
            found.append(
                {
                    "id": one.id,
                    "description": os.fsdecode(one.StorageDescription),
                    "capacity": one.MaxCapacity,
                    "free": one.FreeSpaceInBytes,
                    "access": one.AccessCapability,
                }
            )
            before, at = at, one.next
        return {"code": code, "storages": found}

    def row(self, address: int) -> dict[str, Any]:
        file = abi.File.from_address(address)
        return {
            "id": file.item_id,
            "parent": file.parent_id,
            "storage": file.storage_id,
            "name": text(file.filename),
            "size": file.filesize,
            "mtime": file.modificationdate,
            "folder": file.filetype == abi.FILETYPE_FOLDER,
        }

    def do_list(self, d: int = 0, storage: int = 0, parent: int = abi.ROOT) -> list[Any] | None:
        at = self.library.LIBMTP_Get_Files_And_Folders(self.device(d), storage, parent)
        if not at:
            return None
        rows = []
        while at:
            rows.append(self.row(at))
            following = abi.File.from_address(at).next
            self.library.LIBMTP_destroy_file_t(at)
            at = following
        return rows

    def do_scan(self, d: int = 0) -> int:
        """Every object below the root, counted."""
        total, waiting = 0, [abi.ROOT]
        while waiting:
            for row in self.do_list(d, parent=waiting.pop()) or ():
                total += 1
                if row["folder"]:
                    waiting.append(row["id"])
        return total

    def do_children(self, d: int = 0, storage: int = 0, parent: int = abi.ROOT) -> Any:
        out = c_void_p()
        count = self.library.LIBMTP_Get_Children(self.device(d), storage, parent, byref(out))
        if count <= 0:
            return count
        numbers = list(cast(out, POINTER(c_uint32 * count)).contents)
        self.library.LIBMTP_FreeMemory(out)
        return numbers

    def do_metadata(self, id: int, d: int = 0) -> dict[str, Any] | None:
        at = self.library.LIBMTP_Get_Filemetadata(self.device(d), id)
        if not at:
            return None
        row = self.row(at)
        self.library.LIBMTP_destroy_file_t(at)
        return row

    def do_string(self, id: int, property: int, d: int = 0) -> str | None:
        address = self.library.LIBMTP_Get_String_From_Object(self.device(d), id, property)
        value = text(address)
        libc.free(address)
        return value

    # -- transfers ----------------------------------------------------------------------------

    def do_upload(
        self,
        name: str,
        data: str = "",
        size: int | None = None,
        parent: int = abi.ROOT,
        storage: int = 0x10001,
        d: int = 0,
        filetype: int = abi.FILETYPE_UNKNOWN,
        answer_at: list[int] | None = None,  # [call of the handler, what it answers]
        stop_progress_at: int | None = None,
        give_at_most: list[int] | None = None,  # [call of the handler, bytes]
        mtime: int = 0,
        unplug_file: str = "",
    ) -> dict[str, Any]:
        source = os.fsencode(data)
        announced = len(source) if size is None else size
        asked: list[int] = []
        progress: list[list[int]] = []
        sent = 0

        def get(_p: Any, _v: Any, want: int, to: int, got: Any) -> int:
            nonlocal sent
            asked.append(want)
            if answer_at and len(asked) == answer_at[0]:
                got[0] = 0
                return answer_at[1]
            give = want
            if give_at_most and len(asked) >= give_at_most[0]:
                give = min(want, give_at_most[1])
            piece = source[sent : sent + give] if size is None else b"\0" * give
            ctypes.memmove(to, piece, len(piece))
            sent += len(piece)
            got[0] = len(piece)
            return abi.HANDLER_OK

        def seen(done: int, total: int, _data: Any) -> int:
            progress.append([done, total])
            return int(stop_progress_at == len(progress))

        handler, watcher = abi.DataFunction(get), abi.ProgressFunction(seen)
        at = self.library.LIBMTP_new_file_t()
        file = abi.File.from_address(at)
        file.filename = libc.strdup(os.fsencode(name))
        file.filesize, file.filetype = announced, filetype
        file.parent_id, file.storage_id, file.modificationdate = parent, storage, mtime
        code = self.library.LIBMTP_Send_File_From_Handler(
            self.device(d), handler, None, at, watcher, None
        )
        row = self.row(at)
        self.library.LIBMTP_destroy_file_t(at)
        edges = progress[:2] + progress[-1:]
        return {"code": code, "file": row, "asked": asked[:5] + asked[-2:], "progress": edges}

    def do_download(
        self,
        id: int,
        d: int = 0,
        answer_at: list[int] | None = None,
        stop_progress_at: int | None = None,
    ) -> dict[str, Any]:
        chunks: list[int] = []
        progress: list[list[int]] = []
        digest, kept = hashlib.sha256(), bytearray()

        def put(_p: Any, _v: Any, length: int, data: int, done: Any) -> int:
            chunks.append(length)
            if answer_at and len(chunks) == answer_at[0]:
                return answer_at[1]
            view = (c_char * length).from_address(data)
            digest.update(view)
            if len(kept) < 4096:
                kept.extend(view.raw[: 4096 - len(kept)])
            done[0] = length
            return abi.HANDLER_OK

        def seen(done: int, total: int, _data: Any) -> int:
            progress.append([done, total])
            return int(stop_progress_at == len(progress))

        handler, watcher = abi.DataFunction(put), abi.ProgressFunction(seen)
        code = self.library.LIBMTP_Get_File_To_Handler(
            self.device(d), id, handler, None, watcher, None
        )
        return {
            "code": code,
            "bytes": sum(chunks),
            "sha256": digest.hexdigest(),
            "head": os.fsdecode(bytes(kept)),
            "chunks": chunks[:3],
            "progress": progress[:2] + progress[-1:],
        }

    def do_partial(self, id: int, offset: int, most: int, d: int = 0) -> dict[str, Any]:
        data, size = c_void_p(), c_uint()
        code = self.library.LIBMTP_GetPartialObject(
            self.device(d), id, offset, most, byref(data), byref(size)
        )
        got = ctypes.string_at(data, size.value) if data.value else None
        libc.free(data)
        return {"code": code, "data": None if got is None else os.fsdecode(got)}

    # -- changes ------------------------------------------------------------------------------

    def do_mkdir(
        self, name: str, parent: int = abi.ROOT, storage: int = 0x10001, d: int = 0
    ) -> Any:
        buffer = ctypes.create_string_buffer(os.fsencode(name))
        return self.library.LIBMTP_Create_Folder(self.device(d), buffer, parent, storage)

    def do_delete(self, id: int, d: int = 0) -> int:
        return int(self.library.LIBMTP_Delete_Object(self.device(d), id))

    def do_rename(self, id: int, name: str, d: int = 0) -> int:
        buffer = ctypes.create_string_buffer(os.fsencode(name))
        return int(self.library.LIBMTP_Set_Object_Filename(self.device(d), id, buffer))

    def do_move(self, id: int, parent: int, storage: int = 0x10001, d: int = 0) -> int:
        return int(self.library.LIBMTP_Move_Object(self.device(d), id, storage, parent))

    def do_copy(self, id: int, parent: int, storage: int = 0x10001, d: int = 0) -> int:
        return int(self.library.LIBMTP_Copy_Object(self.device(d), id, storage, parent))

    def do_set_string(self, id: int, property: int, value: str, d: int = 0) -> int:
        return int(
            self.library.LIBMTP_Set_Object_String(self.device(d), id, property, os.fsencode(value))
        )

    def do_custom(self, operation: int, parameters: list[int], d: int = 0) -> int:
        words = [c_uint32(x) for x in parameters]
        return int(
            self.library.LIBMTP_Custom_Operation(self.device(d), operation, len(words), *words)
        )

    def do_event(self, d: int = 0) -> list[int]:
        kind, parameter = c_int(), c_uint32()
        code = self.library.LIBMTP_Read_Event(self.device(d), byref(kind), byref(parameter))
        return [code, kind.value, parameter.value]

    def do_read_events(self, d: int = 0) -> None:
        """Reads events in a thread, as long as the device is there."""
        thread = threading.Thread(target=self._drain, args=(self.device(d),), daemon=True)
        thread.start()

    def _drain(self, device: int) -> None:
        kind, parameter = c_int(), c_uint32()
        while not self.library.LIBMTP_Read_Event(device, byref(kind), byref(parameter)):
            pass


def main() -> int:
    program = Program(sys.argv[1])
    answers = os.fdopen(int(sys.argv[2]), "w", encoding="utf-8", errors="surrogateescape")
    for line in sys.stdin:
        name, arguments = json.loads(line)
        value = program.ops[name](**arguments)
        libc.fflush(None)
        answers.write(json.dumps(value) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
