"""The functions and constants of `lib` that are about file systems."""

from __future__ import annotations

from typing import Any

from simulators.fake_winfsp import bindings, ntstatus
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp.bindings import Backend, c_function, lib
from simulators.fake_winfsp.callbacks import add_dir_info
from simulators.fake_winfsp.declarations import CData, ffi

PREFIX_CHARACTERS_MAX = 95
FILE_SYSTEM_NAME_CHARACTERS_MAX = 7
_STATUS = ntstatus.UNSUCCESSFUL


@c_function(
    "NTSTATUS(PWSTR, FSP_FSCTL_VOLUME_PARAMS *, FSP_FILE_SYSTEM_INTERFACE *, FSP_FILE_SYSTEM **)",
    _STATUS,
)
def FspFileSystemCreate(device: CData, params: CData, interface: CData, result: CData) -> int:
    backend = bindings.active()
    result[0] = ffi.NULL
    if backend is None:
        return ntstatus.NO_SUCH_DEVICE
    status, result[0] = backend.create(ffi.string(device), params, interface)
    return status


@c_function("void(FSP_FILE_SYSTEM *)")
def FspFileSystemDelete(file_system: CData) -> None:
    _owner(file_system).delete(file_system)


@c_function("NTSTATUS(FSP_FILE_SYSTEM *, PWSTR)", _STATUS)
def FspFileSystemSetMountPoint(file_system: CData, mount_point: CData) -> int:
    return _owner(file_system).mount(file_system, _text(mount_point))


@c_function("NTSTATUS(FSP_FILE_SYSTEM *, PWSTR, PSECURITY_DESCRIPTOR)", _STATUS)
def FspFileSystemSetMountPointEx(file_system: CData, mount_point: CData, _: CData) -> int:
    return _owner(file_system).mount(file_system, _text(mount_point))


@c_function("void(FSP_FILE_SYSTEM *)")
def FspFileSystemRemoveMountPoint(file_system: CData) -> None:
    _owner(file_system).unmount(file_system)


@c_function("PWSTR(FSP_FILE_SYSTEM *)")
def FspFileSystemMountPointF(file_system: CData) -> CData:
    return file_system.MountPoint


@c_function("NTSTATUS(FSP_FILE_SYSTEM *, ULONG)", _STATUS)
def FspFileSystemStartDispatcher(file_system: CData, threads: int) -> int:
    return _owner(file_system).start(file_system, threads)


@c_function("void(FSP_FILE_SYSTEM *)")
def FspFileSystemStopDispatcher(file_system: CData) -> None:
    _owner(file_system).stop(file_system)


@c_function("NTSTATUS(FSP_FILE_SYSTEM *)")
def FspFileSystemGetDispatcherResultF(file_system: CData) -> int:
    return int(file_system.DispatcherResult)


@c_function("void(FSP_FILE_SYSTEM *, NTSTATUS)")
def FspFileSystemSetDispatcherResultF(file_system: CData, status: int) -> None:
    file_system.DispatcherResult = status


@c_function("NTSTATUS(FSP_FILE_SYSTEM *, void *, void *)", _STATUS)
def FspFileSystemOpEnter(_fs: CData, _request: CData, _response: CData) -> int:
    return ntstatus.SUCCESS  # only its address counts: it stands for the strategy's lock


@c_function("NTSTATUS(FSP_FILE_SYSTEM *, void *, void *)", _STATUS)
def FspFileSystemOpLeave(_fs: CData, _request: CData, _response: CData) -> int:
    return ntstatus.SUCCESS


_GUARD = "FSP_FILE_SYSTEM_OPERATION_GUARD"


@c_function(f"void(FSP_FILE_SYSTEM *, {_GUARD}, {_GUARD})")
def FspFileSystemSetOperationGuardF(file_system: CData, enter: CData, leave: CData) -> None:
    file_system.EnterOperation, file_system.LeaveOperation = enter, leave


@c_function("void(FSP_FILE_SYSTEM *, FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY)")
def FspFileSystemSetOperationGuardStrategyF(file_system: CData, strategy: int) -> None:
    file_system.OpGuardStrategy = strategy


@c_function("void(FSP_FILE_SYSTEM *, UINT32)")
def FspFileSystemSetDebugLogF(file_system: CData, flags: int) -> None:
    file_system.DebugLog = flags


@c_function("BOOLEAN(FSP_FSCTL_DIR_INFO *, PVOID, ULONG, ULONG *)", 0)
def FspFileSystemAddDirInfo(entry: CData, buffer: CData, length: int, done: CData) -> bool:
    return add_dir_info(entry, buffer, length, done)


@c_function("FSP_FSCTL_OPEN_FILE_INFO *(FSP_FSCTL_FILE_INFO *)")
def FspFileSystemGetOpenFileInfo(info: CData) -> CData:
    return ffi.cast("FSP_FSCTL_OPEN_FILE_INFO *", info)


@c_function("UINT32(void)")
def FspFileSystemOperationProcessIdF() -> int:
    return 4242


@c_function("NTSTATUS(UINT32 *)", _STATUS)
def FspVersion(result: CData) -> int:
    backend = bindings.active()
    result[0] = backend.version() if backend is not None else 0
    return ntstatus.SUCCESS if backend is not None else ntstatus.NO_SUCH_DEVICE


@c_function("DWORD(NTSTATUS)")
def FspWin32FromNtStatus(status: int) -> int:
    return ntstatus.win32_of(status)


@c_function("NTSTATUS(DWORD)")
def FspNtStatusFromWin32(error: int) -> int:
    found = [status for status, code in ntstatus.WIN32.items() if code == error]
    return found[0] if found else ntstatus.ACCESS_DENIED


@c_function("void(HANDLE)")
def FspDebugLogSetHandle(_handle: CData) -> None:
    return None


def _owner(file_system: CData) -> Backend:
    backend = ffi.from_handle(file_system.VolumeHandle)
    assert backend is not None
    return backend  # type: ignore[no-any-return]


def _text(value: CData) -> str | None:
    return None if value == ffi.NULL else ffi.string(value)


_PARAMETERS = [
    "SectorSize",
    "SectorsPerAllocationUnit",
    "MaxComponentLength",
    "VolumeCreationTime",
    "VolumeSerialNumber",
    "TransactTimeout",
    "IrpTimeout",
    "IrpCapacity",
    "FileInfoTimeout",
    "CaseSensitiveSearch",
    "CasePreservedNames",
    "UnicodeOnDisk",
    "PersistentAcls",
    "ReparsePoints",
    "ReparsePointsAccessCheck",
    "NamedStreams",
    "HardLinks",
    "ExtendedAttributes",
    "ReadOnlyVolume",
    "PostCleanupWhenModifiedOnly",
    "PassQueryDirectoryPattern",
    "AlwaysUseDoubleBuffering",
    "PassQueryDirectoryFileName",
    "FlushAndPurgeOnCleanup",
    "DeviceControl",
    "UmFileContextIsUserContext2",
    "UmFileContextIsFullContext",
    "UmReservedFlags",
    "AllowOpenInKernelMode",
    "CasePreservedExtendedAttributes",
    "WslFeatures",
    "DirectoryMarkerAsNextOffset",
    "RejectIrpPriorToTransact0",
    "KmReservedFlags",
    "Prefix",
    "FileSystemName",
    "VolumeInfoTimeoutValid",
    "DirInfoTimeoutValid",
    "SecurityTimeoutValid",
    "StreamInfoTimeoutValid",
    "KmAdditionalReservedFlags",
    "VolumeInfoTimeout",
    "DirInfoTimeout",
    "SecurityTimeout",
    "StreamInfoTimeout",
]
_WIDE = {"VolumeCreationTime": "UINT64", "Prefix": "PWSTR", "FileSystemName": "PWSTR"}
_SIGNATURE = ", ".join(_WIDE.get(name, "UINT32") for name in _PARAMETERS)


@c_function(f"void(FSP_FSCTL_VOLUME_PARAMS *, {_SIGNATURE})")
def configure_FSP_FSCTL_VOLUME_PARAMS(params: CData, *values: Any) -> None:
    params.Version = ffi.sizeof("FSP_FSCTL_VOLUME_PARAMS")
    for name, value in zip(_PARAMETERS, values, strict=True):
        if name == "Prefix":
            params.Prefix = ffi.string(value)[:PREFIX_CHARACTERS_MAX]
        elif name == "FileSystemName":
            params.FileSystemName = ffi.string(value)[:FILE_SYSTEM_NAME_CHARACTERS_MAX]
        else:
            bits = ffi.typeof("FSP_FSCTL_VOLUME_PARAMS").fields
            width = next(field.bitsize for known, field in bits if known == name)
            size = {"VolumeCreationTime": 64}.get(name, 16 if name.startswith("Sector") else 32)
            size = 16 if name == "MaxComponentLength" else size
            setattr(params, name, value & ((1 << (width if width > 0 else size)) - 1))


# -- constants ------------------------------------------------------------------------------------

_CONSTANTS = {
    "WFSPY_FILE_ATTRIBUTE_INVALID_FILE_ATTRIBUTES": c.INVALID_FILE_ATTRIBUTES,
    "WFSPY_STRING_SECURITY_DESCRIPTOR_REVISION": 1,
    "WFSPY_OWNER_SECURITY_INFORMATION": c.OWNER_SECURITY_INFORMATION,
    "WFSPY_GROUP_SECURITY_INFORMATION": c.GROUP_SECURITY_INFORMATION,
    "WFSPY_DACL_SECURITY_INFORMATION": c.DACL_SECURITY_INFORMATION,
    "WFSPY_SACL_SECURITY_INFORMATION": c.SACL_SECURITY_INFORMATION,
    "STD_INPUT_HANDLE": 0xFFFF_FFF6,
    "STD_OUTPUT_HANDLE": 0xFFFF_FFF5,
    "STD_ERROR_HANDLE": 0xFFFF_FFF4,
    "FspCleanupDelete": 0x01,
    "FspCleanupSetAllocationSize": 0x02,
    "FspCleanupSetArchiveBit": 0x10,
    "FspCleanupSetLastAccessTime": 0x20,
    "FspCleanupSetLastWriteTime": 0x40,
    "FspCleanupSetChangeTime": 0x80,
    "FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY_FINE": 0,
    "FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY_COARSE": 1,
    "WFSPY_FSP_FSCTL_DISK_DEVICE_NAME": ffi.new("WCHAR[]", "WinFsp.Disk"),
    "WFSPY_FSP_FSCTL_NET_DEVICE_NAME": ffi.new("WCHAR[]", "WinFsp.Net"),
}
_OPTIONS = [
    "DIRECTORY_FILE",
    "NON_DIRECTORY_FILE",
    "WRITE_THROUGH",
    "SEQUENTIAL_ONLY",
    "RANDOM_ACCESS",
    "NO_INTERMEDIATE_BUFFERING",
    "SYNCHRONOUS_IO_ALERT",
    "SYNCHRONOUS_IO_NONALERT",
    "CREATE_TREE_CONNECTION",
    "NO_EA_KNOWLEDGE",
    "OPEN_REPARSE_POINT",
    "DELETE_ON_CLOSE",
    "OPEN_BY_FILE_ID",
    "OPEN_FOR_BACKUP_INTENT",
    "RESERVE_OPFILTER",
    "OPEN_REQUIRING_OPLOCK",
    "COMPLETE_IF_OPLOCKED",
]
for _name, _value in _CONSTANTS.items():
    setattr(lib, _name, _value)
for _name in _OPTIONS:
    setattr(lib, f"WFSPY_FILE_{_name}", getattr(c, f"FILE_{_name}"))
