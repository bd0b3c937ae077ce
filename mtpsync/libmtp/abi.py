"""libmtp's binary interface, versions 1.1.19 and later: structures, constants, prototypes.

Nothing clever. Strings that the caller owns are `c_void_p` (a `c_char_p` result would lose the
pointer, and leak): `string_at`, then `free`. Lists are walked by address, because the `next` of a
node that was freed is a view into freed memory:

    address = library.LIBMTP_Get_Files_And_Folders(device, storage, parent)
    while address:
        file = File.from_address(address)
        following = file.next
        …
        library.LIBMTP_destroy_file_t(address)
        address = following

Who frees what: `Detect_Raw_Devices` gives one array, `free` it. `Get_Modelname` and its likes,
`Get_String_From_Object`, the data of `GetPartialObject`: `free`. `destroy_file_t` frees one node
with its name, `destroy_folder_t` a whole tree. The name in a `new_file_t` must come from `strdup`.
Storages and errors belong to the device; `Get_Storage` builds the list anew.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_size_t,
    c_ssize_t,
    c_uint,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

time_t = c_ssize_t  # as wide as a pointer on every system that libmtp is built for

# -- constants ------------------------------------------------------------------------------------

FILETYPE_FOLDER = 0
FILETYPE_UNKNOWN = 44

PROPERTY_OBJECT_SIZE = 3
PROPERTY_OBJECT_FILE_NAME = 6
PROPERTY_DATE_MODIFIED = 8

CAPABILITY_GET_PARTIAL = 0
CAPABILITY_SEND_PARTIAL = 1
CAPABILITY_EDIT = 2
CAPABILITY_MOVE = 3
CAPABILITY_COPY = 4

ERROR_NONE = 0
ERROR_GENERAL = 1
ERROR_PTP_LAYER = 2
ERROR_USB_LAYER = 3
ERROR_MEMORY_ALLOCATION = 4
ERROR_NO_DEVICE_ATTACHED = 5
ERROR_STORAGE_FULL = 6
ERROR_CONNECTING = 7
ERROR_CANCELLED = 8

EVENT_NONE = 0
EVENT_STORE_ADDED = 1
EVENT_STORE_REMOVED = 2
EVENT_OBJECT_ADDED = 3
EVENT_OBJECT_REMOVED = 4
EVENT_DEVICE_PROPERTY_CHANGED = 5

HANDLER_OK = 0
HANDLER_ERROR = 1  # never return it from an upload: the session is out of step afterwards
HANDLER_CANCEL = 2

ROOT = 0xFFFFFFFF  # list, send, create: the root of a storage (0 is everything, on Android)
MOVE_ROOT = 0  # move and copy: the root
STORAGE_ALL = 0

CONSTANTS: dict[str, int] = {
    "LIBMTP_FILETYPE_FOLDER": FILETYPE_FOLDER,
    "LIBMTP_FILETYPE_UNKNOWN": FILETYPE_UNKNOWN,
    "LIBMTP_PROPERTY_ObjectSize": PROPERTY_OBJECT_SIZE,
    "LIBMTP_PROPERTY_ObjectFileName": PROPERTY_OBJECT_FILE_NAME,
    "LIBMTP_PROPERTY_DateModified": PROPERTY_DATE_MODIFIED,
    "LIBMTP_DEVICECAP_GetPartialObject": CAPABILITY_GET_PARTIAL,
    "LIBMTP_DEVICECAP_SendPartialObject": CAPABILITY_SEND_PARTIAL,
    "LIBMTP_DEVICECAP_EditObjects": CAPABILITY_EDIT,
    "LIBMTP_DEVICECAP_MoveObject": CAPABILITY_MOVE,
    "LIBMTP_DEVICECAP_CopyObject": CAPABILITY_COPY,
    "LIBMTP_ERROR_NONE": ERROR_NONE,
    "LIBMTP_ERROR_GENERAL": ERROR_GENERAL,
    "LIBMTP_ERROR_PTP_LAYER": ERROR_PTP_LAYER,
    "LIBMTP_ERROR_USB_LAYER": ERROR_USB_LAYER,
    "LIBMTP_ERROR_MEMORY_ALLOCATION": ERROR_MEMORY_ALLOCATION,
    "LIBMTP_ERROR_NO_DEVICE_ATTACHED": ERROR_NO_DEVICE_ATTACHED,
    "LIBMTP_ERROR_STORAGE_FULL": ERROR_STORAGE_FULL,
    "LIBMTP_ERROR_CONNECTING": ERROR_CONNECTING,
    "LIBMTP_ERROR_CANCELLED": ERROR_CANCELLED,
    "LIBMTP_EVENT_NONE": EVENT_NONE,
    "LIBMTP_EVENT_STORE_ADDED": EVENT_STORE_ADDED,
    "LIBMTP_EVENT_STORE_REMOVED": EVENT_STORE_REMOVED,
    "LIBMTP_EVENT_OBJECT_ADDED": EVENT_OBJECT_ADDED,
    "LIBMTP_EVENT_OBJECT_REMOVED": EVENT_OBJECT_REMOVED,
    "LIBMTP_EVENT_DEVICE_PROPERTY_CHANGED": EVENT_DEVICE_PROPERTY_CHANGED,
    "LIBMTP_HANDLER_RETURN_OK": HANDLER_OK,
    "LIBMTP_HANDLER_RETURN_ERROR": HANDLER_ERROR,
    "LIBMTP_HANDLER_RETURN_CANCEL": HANDLER_CANCEL,
    "LIBMTP_FILES_AND_FOLDERS_ROOT": ROOT,
}
"""The header's names -> ours; a test compares the values with the header."""

# -- structures -----------------------------------------------------------------------------------


class DeviceEntry(Structure):
    """LIBMTP_device_entry_t. The strings belong to libmtp and are NULL for an unknown device."""

    _fields_ = (
        ("vendor", c_char_p),
        ("vendor_id", c_uint16),
        ("product", c_char_p),
        ("product_id", c_uint16),
        ("device_flags", c_uint32),
    )


class RawDevice(Structure):
    """LIBMTP_raw_device_t."""

    _fields_ = (
        ("device_entry", DeviceEntry),
        ("bus_location", c_uint32),
        ("devnum", c_uint8),
    )


class Error(Structure):
    """LIBMTP_error_t; *next* is an address."""

    _fields_ = (("errornumber", c_int), ("error_text", c_char_p), ("next", c_void_p))


class DeviceExtension(Structure):
    """LIBMTP_device_extension_t; *next* is an address."""

    _fields_ = (("name", c_char_p), ("major", c_int), ("minor", c_int), ("next", c_void_p))


class DeviceStorage(Structure):
    """LIBMTP_devicestorage_t; *next* and *prev* are addresses."""

    _fields_ = (
        ("id", c_uint32),
        ("StorageType", c_uint16),
        ("FilesystemType", c_uint16),
        ("AccessCapability", c_uint16),
        ("MaxCapacity", c_uint64),
        ("FreeSpaceInBytes", c_uint64),
        ("FreeSpaceInObjects", c_uint64),
        ("StorageDescription", c_char_p),
        ("VolumeIdentifier", c_char_p),
        ("next", c_void_p),
        ("prev", c_void_p),
    )


class MtpDevice(Structure):
    """LIBMTP_mtpdevice_t; lists are addresses."""

    _fields_ = (
        ("object_bitsize", c_uint8),
        ("params", c_void_p),
        ("usbinfo", c_void_p),
        ("storage", c_void_p),
        ("errorstack", c_void_p),
        ("maximum_battery_level", c_uint8),
        ("default_music_folder", c_uint32),
        ("default_playlist_folder", c_uint32),
        ("default_picture_folder", c_uint32),
        ("default_video_folder", c_uint32),
        ("default_organizer_folder", c_uint32),
        ("default_zencast_folder", c_uint32),
        ("default_album_folder", c_uint32),
        ("default_text_folder", c_uint32),
        ("cd", c_void_p),
        ("extensions", c_void_p),
        ("cached", c_int),
        ("next", c_void_p),
    )


class File(Structure):
    """LIBMTP_file_t; *filename* is an address that `destroy_file_t` frees, *next* an address."""

    _fields_ = (
        ("item_id", c_uint32),
        ("parent_id", c_uint32),
        ("storage_id", c_uint32),
        ("filename", c_void_p),
        ("filesize", c_uint64),
        ("modificationdate", time_t),
        ("filetype", c_int),
        ("next", c_void_p),
    )


class Folder(Structure):
    """LIBMTP_folder_t; *name*, *sibling* and *child* are addresses."""

    _fields_ = (
        ("folder_id", c_uint32),
        ("parent_id", c_uint32),
        ("storage_id", c_uint32),
        ("name", c_void_p),
        ("sibling", c_void_p),
        ("child", c_void_p),
    )


STRUCTURES: dict[str, type[Structure]] = {
    "LIBMTP_device_entry_t": DeviceEntry,
    "LIBMTP_raw_device_t": RawDevice,
    "LIBMTP_error_t": Error,
    "LIBMTP_device_extension_t": DeviceExtension,
    "LIBMTP_devicestorage_t": DeviceStorage,
    "LIBMTP_mtpdevice_t": MtpDevice,
    "LIBMTP_file_t": File,
    "LIBMTP_folder_t": Folder,
}

# -- callbacks ------------------------------------------------------------------------------------

# int (uint64_t const sent, uint64_t const total, void const *const data)
ProgressFunction = CFUNCTYPE(c_int, c_uint64, c_uint64, c_void_p)
# uint16_t (void *params, void *priv, uint32_t length, unsigned char *data, uint32_t *done);
# the data is an address: `(c_char * length).from_address(data)` is a buffer without a copy.
DataFunction = CFUNCTYPE(c_uint16, c_void_p, c_void_p, c_uint32, c_void_p, POINTER(c_uint32))

# -- functions ------------------------------------------------------------------------------------

_DEVICE = c_void_p
_TRANSFER = (ProgressFunction, c_void_p)

PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "LIBMTP_Init": (None, (), "void (void)"),
    "LIBMTP_Set_Debug": (None, (c_int,), "void (int)"),
    "LIBMTP_Detect_Raw_Devices": (
        c_int,
        (POINTER(c_void_p), POINTER(c_int)),
        "LIBMTP_error_number_t (LIBMTP_raw_device_t **, int *)",
    ),
    "LIBMTP_Open_Raw_Device_Uncached": (
        _DEVICE,
        (c_void_p,),
        "LIBMTP_mtpdevice_t *(LIBMTP_raw_device_t *)",
    ),
    "LIBMTP_Release_Device": (None, (_DEVICE,), "void (LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Get_Manufacturername": (c_void_p, (_DEVICE,), "char *(LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Get_Modelname": (c_void_p, (_DEVICE,), "char *(LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Get_Serialnumber": (c_void_p, (_DEVICE,), "char *(LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Get_Deviceversion": (c_void_p, (_DEVICE,), "char *(LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Get_Friendlyname": (c_void_p, (_DEVICE,), "char *(LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Get_Batterylevel": (
        c_int,
        (_DEVICE, POINTER(c_uint8), POINTER(c_uint8)),
        "int (LIBMTP_mtpdevice_t *, uint8_t *const, uint8_t *const)",
    ),
    "LIBMTP_Get_Errorstack": (c_void_p, (_DEVICE,), "LIBMTP_error_t *(LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Clear_Errorstack": (None, (_DEVICE,), "void (LIBMTP_mtpdevice_t *)"),
    "LIBMTP_Check_Capability": (
        c_int,
        (_DEVICE, c_int),
        "int (LIBMTP_mtpdevice_t *, LIBMTP_devicecap_t)",
    ),
    "LIBMTP_Get_Storage": (c_int, (_DEVICE, c_int), "int (LIBMTP_mtpdevice_t *, int const)"),
    "LIBMTP_Get_Files_And_Folders": (
        c_void_p,
        (_DEVICE, c_uint32, c_uint32),
        "LIBMTP_file_t *(LIBMTP_mtpdevice_t *, uint32_t const, uint32_t const)",
    ),
    "LIBMTP_Get_Filemetadata": (
        c_void_p,
        (_DEVICE, c_uint32),
        "LIBMTP_file_t *(LIBMTP_mtpdevice_t *, uint32_t const)",
    ),
    "LIBMTP_new_file_t": (c_void_p, (), "LIBMTP_file_t *(void)"),
    "LIBMTP_destroy_file_t": (None, (c_void_p,), "void (LIBMTP_file_t *)"),
    "LIBMTP_Get_File_To_Handler": (
        c_int,
        (_DEVICE, c_uint32, DataFunction, c_void_p, *_TRANSFER),
        "int (LIBMTP_mtpdevice_t *, uint32_t const, MTPDataPutFunc, void *, "
        "LIBMTP_progressfunc_t const, void const *const)",
    ),
    "LIBMTP_Send_File_From_Handler": (
        c_int,
        (_DEVICE, DataFunction, c_void_p, c_void_p, *_TRANSFER),
        "int (LIBMTP_mtpdevice_t *, MTPDataGetFunc, void *, LIBMTP_file_t *const, "
        "LIBMTP_progressfunc_t const, void const *const)",
    ),
    "LIBMTP_Create_Folder": (
        c_uint32,
        (_DEVICE, c_char_p, c_uint32, c_uint32),
        "uint32_t (LIBMTP_mtpdevice_t *, char *, uint32_t, uint32_t)",
    ),
    "LIBMTP_Delete_Object": (c_int, (_DEVICE, c_uint32), "int (LIBMTP_mtpdevice_t *, uint32_t)"),
    "LIBMTP_Set_Object_Filename": (
        c_int,
        (_DEVICE, c_uint32, c_char_p),
        "int (LIBMTP_mtpdevice_t *, uint32_t, char *)",
    ),
    "LIBMTP_Move_Object": (
        c_int,
        (_DEVICE, c_uint32, c_uint32, c_uint32),
        "int (LIBMTP_mtpdevice_t *, uint32_t, uint32_t, uint32_t)",
    ),
    "LIBMTP_Copy_Object": (
        c_int,
        (_DEVICE, c_uint32, c_uint32, c_uint32),
        "int (LIBMTP_mtpdevice_t *, uint32_t, uint32_t, uint32_t)",
    ),
    "LIBMTP_GetPartialObject": (
        c_int,
        (_DEVICE, c_uint32, c_uint64, c_uint32, POINTER(c_void_p), POINTER(c_uint)),
        "int (LIBMTP_mtpdevice_t *, uint32_t const, uint64_t, uint32_t, unsigned char **, "
        "unsigned int *)",
    ),
    "LIBMTP_Get_String_From_Object": (
        c_void_p,
        (_DEVICE, c_uint32, c_int),
        "char *(LIBMTP_mtpdevice_t *, uint32_t const, LIBMTP_property_t const)",
    ),
    "LIBMTP_Get_u64_From_Object": (
        c_uint64,
        (_DEVICE, c_uint32, c_int, c_uint64),
        "uint64_t (LIBMTP_mtpdevice_t *, uint32_t const, LIBMTP_property_t const, uint64_t const)",
    ),
    "LIBMTP_Set_Object_String": (
        c_int,
        (_DEVICE, c_uint32, c_int, c_char_p),
        "int (LIBMTP_mtpdevice_t *, uint32_t const, LIBMTP_property_t const, char const *const)",
    ),
    "LIBMTP_Read_Event": (
        c_int,
        (_DEVICE, POINTER(c_int), POINTER(c_uint32)),
        "int (LIBMTP_mtpdevice_t *, LIBMTP_event_t *, uint32_t *)",
    ),
    # Variadic: give each further argument as c_uint32.
    "LIBMTP_Custom_Operation": (
        c_int,
        (_DEVICE, c_uint16, c_int),
        "int (LIBMTP_mtpdevice_t *, uint16_t, int, ...)",
    ),
}
"""Name -> result, arguments, and the prototype in C, which a test compares with the header.

`Create_Folder` and `Set_Object_Filename` may edit their name: give them a `create_string_buffer`.
"""

OPTIONAL: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "LIBMTP_Get_Children": (
        c_int,
        (_DEVICE, c_uint32, c_uint32, POINTER(c_void_p)),
        "int (LIBMTP_mtpdevice_t *, uint32_t const, uint32_t const, uint32_t **)",
    ),
    "LIBMTP_FreeMemory": (None, (c_void_p,), "void (void *)"),
}
"""Since 1.1.21; absent from Debian 12's."""


def declare(library: ctypes.CDLL) -> frozenset[str]:
    """Give the library's functions their types; return which of the `OPTIONAL` it has.

    Raises:
        AttributeError: a function is missing: this isn't libmtp, or an older one than 1.1.19.
    """
    for name, (result, arguments, _c) in PROTOTYPES.items():
        _declare_one(getattr(library, name), result, arguments)
    found = {name for name in OPTIONAL if hasattr(library, name)}
    for name in found:
        result, arguments, _c = OPTIONAL[name]
        _declare_one(getattr(library, name), result, arguments)
    return frozenset(found)


def declare_libc(library: ctypes.CDLL) -> None:
    """`free`, `strdup` and `fflush` of the C library that libmtp allocates with."""
    _declare_one(library.free, None, (c_void_p,))
    _declare_one(library.strdup, c_void_p, (c_char_p,))
    _declare_one(library.fflush, c_int, (c_void_p,))
    _declare_one(library.malloc, c_void_p, (c_size_t,))


def _declare_one(function: Any, result: Any, arguments: tuple[Any, ...]) -> None:
    function.restype = result
    function.argtypes = list(arguments)
