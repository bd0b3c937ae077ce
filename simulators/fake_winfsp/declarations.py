"""Our own declaration of the interface that winfspy's native module has, for cffi's ABI mode.

Written from the public API reference. WCHAR is char16_t everywhere, so that strings are UTF-16
with surrogate pairs on Linux, too; NTSTATUS and ULONG have 32 bits. What the 0.8.4 wheel was
compiled without is missing here as well: the interface table ends with GetDirInfoByName.
"""

from __future__ import annotations

from typing import Any

import cffi

CData = Any
"""A C value: cffi has no types for those."""

TYPES = """
typedef uint8_t BOOLEAN; typedef int32_t BOOL; typedef uint16_t UINT16; typedef uint32_t UINT32;
typedef uint64_t UINT64; typedef uint32_t ULONG; typedef uint32_t DWORD; typedef uint32_t NTSTATUS;
typedef uint32_t SECURITY_INFORMATION; typedef char16_t WCHAR; typedef char16_t *PWSTR;
typedef void *PVOID; typedef void *HANDLE; typedef size_t SIZE_T;

typedef struct { uint8_t Revision; uint8_t Sbz1; uint16_t Control;
    uint32_t Owner; uint32_t Group; uint32_t Sacl; uint32_t Dacl; } SECURITY_DESCRIPTOR;
typedef SECURITY_DESCRIPTOR *PSECURITY_DESCRIPTOR;
typedef struct { PVOID Pointer; UINT64 Information; } IO_STATUS_BLOCK;
typedef IO_STATUS_BLOCK *PIO_STATUS_BLOCK;

typedef struct {
    UINT32 FileAttributes; UINT32 ReparseTag; UINT64 AllocationSize; UINT64 FileSize;
    UINT64 CreationTime; UINT64 LastAccessTime; UINT64 LastWriteTime; UINT64 ChangeTime;
    UINT64 IndexNumber; UINT32 HardLinks; UINT32 EaSize;
} FSP_FSCTL_FILE_INFO;
typedef struct { FSP_FSCTL_FILE_INFO FileInfo; PWSTR NormalizedName; UINT16 NormalizedNameSize; }
    FSP_FSCTL_OPEN_FILE_INFO;
typedef struct { UINT64 TotalSize; UINT64 FreeSize; UINT16 VolumeLabelLength;
    WCHAR VolumeLabel[32]; } FSP_FSCTL_VOLUME_INFO;
typedef struct { UINT16 Size; FSP_FSCTL_FILE_INFO FileInfo;
    union { UINT64 NextOffset; uint8_t Padding[24]; }; WCHAR FileNameBuf[]; } FSP_FSCTL_DIR_INFO;
typedef struct { UINT16 Size; UINT64 StreamSize; UINT64 StreamAllocationSize;
    WCHAR StreamNameBuf[]; } FSP_FSCTL_STREAM_INFO;
typedef struct {
    UINT16 Version; UINT16 SectorSize; UINT16 SectorsPerAllocationUnit; UINT16 MaxComponentLength;
    UINT64 VolumeCreationTime; UINT32 VolumeSerialNumber; UINT32 TransactTimeout;
    UINT32 IrpTimeout; UINT32 IrpCapacity; UINT32 FileInfoTimeout;
    UINT32 CaseSensitiveSearch:1; UINT32 CasePreservedNames:1; UINT32 UnicodeOnDisk:1;
    UINT32 PersistentAcls:1; UINT32 ReparsePoints:1; UINT32 ReparsePointsAccessCheck:1;
    UINT32 NamedStreams:1; UINT32 HardLinks:1; UINT32 ExtendedAttributes:1;
    UINT32 ReadOnlyVolume:1; UINT32 PostCleanupWhenModifiedOnly:1;
    UINT32 PassQueryDirectoryPattern:1; UINT32 AlwaysUseDoubleBuffering:1;
    UINT32 PassQueryDirectoryFileName:1; UINT32 FlushAndPurgeOnCleanup:1; UINT32 DeviceControl:1;
    UINT32 UmFileContextIsUserContext2:1; UINT32 UmFileContextIsFullContext:1;
    UINT32 UmReservedFlags:6; UINT32 AllowOpenInKernelMode:1;
    UINT32 CasePreservedExtendedAttributes:1; UINT32 WslFeatures:1;
    UINT32 DirectoryMarkerAsNextOffset:1; UINT32 RejectIrpPriorToTransact0:1;
    UINT32 KmReservedFlags:3;
    WCHAR Prefix[192]; WCHAR FileSystemName[16];
    UINT32 VolumeInfoTimeoutValid:1; UINT32 DirInfoTimeoutValid:1; UINT32 SecurityTimeoutValid:1;
    UINT32 StreamInfoTimeoutValid:1; UINT32 KmAdditionalReservedFlags:28;
    UINT32 VolumeInfoTimeout; UINT32 DirInfoTimeout; UINT32 SecurityTimeout;
    UINT32 StreamInfoTimeout; UINT32 EaTimeout; UINT32 FsextControlCode; UINT32 Reserved32[1];
    UINT64 Reserved64[2];
} FSP_FSCTL_VOLUME_PARAMS;

typedef enum { FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY_FINE = 0,
    FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY_COARSE } FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY;
typedef struct FSP_FILE_SYSTEM FSP_FILE_SYSTEM;
typedef NTSTATUS (*FSP_FILE_SYSTEM_OPERATION_GUARD)(FSP_FILE_SYSTEM *, void *, void *);
typedef struct FSP_FILE_SYSTEM_INTERFACE FSP_FILE_SYSTEM_INTERFACE;
struct FSP_FILE_SYSTEM {
    UINT16 Version; PVOID UserContext; WCHAR VolumeName[128]; HANDLE VolumeHandle;
    FSP_FILE_SYSTEM_OPERATION_GUARD EnterOperation, LeaveOperation; void *Operations[22];
    const FSP_FILE_SYSTEM_INTERFACE *Interface; HANDLE DispatcherThread;
    ULONG DispatcherThreadCount; NTSTATUS DispatcherResult; PWSTR MountPoint; HANDLE MountHandle;
    UINT32 DebugLog; FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY OpGuardStrategy; PVOID OpGuardLock;
    BOOLEAN UmFileContextIsUserContext2, UmFileContextIsFullContext;
};
"""

_FS = "FSP_FILE_SYSTEM *"
_INFO = "FSP_FSCTL_FILE_INFO *"
CALLBACKS: dict[str, tuple[str, str]] = {
    "GetVolumeInfo": ("NTSTATUS", "FSP_FSCTL_VOLUME_INFO *"),
    "SetVolumeLabel": ("NTSTATUS", "PWSTR, FSP_FSCTL_VOLUME_INFO *"),
    "GetSecurityByName": ("NTSTATUS", "PWSTR, UINT32 *, PSECURITY_DESCRIPTOR, SIZE_T *"),
    "Create": (
        "NTSTATUS",
        f"PWSTR, UINT32, UINT32, UINT32, PSECURITY_DESCRIPTOR, UINT64, PVOID *, {_INFO}",
    ),
    "Open": ("NTSTATUS", f"PWSTR, UINT32, UINT32, PVOID *, {_INFO}"),
    "Overwrite": ("NTSTATUS", f"PVOID, UINT32, BOOLEAN, UINT64, {_INFO}"),
    "Cleanup": ("void", "PVOID, PWSTR, ULONG"),
    "Close": ("void", "PVOID"),
    "Read": ("NTSTATUS", "PVOID, PVOID, UINT64, ULONG, ULONG *"),
    "Write": ("NTSTATUS", f"PVOID, PVOID, UINT64, ULONG, BOOLEAN, BOOLEAN, ULONG *, {_INFO}"),
    "Flush": ("NTSTATUS", f"PVOID, {_INFO}"),
    "GetFileInfo": ("NTSTATUS", f"PVOID, {_INFO}"),
    "SetBasicInfo": ("NTSTATUS", f"PVOID, UINT32, UINT64, UINT64, UINT64, UINT64, {_INFO}"),
    "SetFileSize": ("NTSTATUS", f"PVOID, UINT64, BOOLEAN, {_INFO}"),
    "CanDelete": ("NTSTATUS", "PVOID, PWSTR"),
    "Rename": ("NTSTATUS", "PVOID, PWSTR, PWSTR, BOOLEAN"),
    "GetSecurity": ("NTSTATUS", "PVOID, PSECURITY_DESCRIPTOR, SIZE_T *"),
    "SetSecurity": ("NTSTATUS", "PVOID, SECURITY_INFORMATION, PSECURITY_DESCRIPTOR"),
    "ReadDirectory": ("NTSTATUS", "PVOID, PWSTR, PWSTR, PVOID, ULONG, ULONG *"),
    "ResolveReparsePoints": (
        "NTSTATUS",
        "PWSTR, UINT32, BOOLEAN, PIO_STATUS_BLOCK, PVOID, SIZE_T *",
    ),
    "GetReparsePoint": ("NTSTATUS", "PVOID, PWSTR, PVOID, SIZE_T *"),
    "SetReparsePoint": ("NTSTATUS", "PVOID, PWSTR, PVOID, SIZE_T"),
    "DeleteReparsePoint": ("NTSTATUS", "PVOID, PWSTR, PVOID, SIZE_T"),
    "GetStreamInfo": ("NTSTATUS", "PVOID, PVOID, ULONG, ULONG *"),
    "GetDirInfoByName": ("NTSTATUS", "PVOID, PWSTR, FSP_FSCTL_DIR_INFO *"),
}
"""Name -> result, arguments after the file system; in the table's order."""

TRAMPOLINES: dict[str, str] = {
    f"_trampolin_fs_{name}": f"{result}({_FS}, {arguments})"
    for name, (result, arguments) in {
        **CALLBACKS,
        # The wheel declares these two and has no place for them in its table.
        "Control": ("NTSTATUS", "PVOID, UINT32, PVOID, ULONG, PVOID, ULONG, ULONG *"),
        "SetDelete": ("NTSTATUS", "PVOID, PWSTR, BOOLEAN"),
    }.items()
}

SIZES = {
    "FSP_FSCTL_DIR_INFO": 104,
    "FSP_FSCTL_VOLUME_PARAMS": 504,
    "FSP_FILE_SYSTEM_INTERFACE": 512,
    "FSP_FSCTL_FILE_INFO": 72,
    "FSP_FSCTL_VOLUME_INFO": 88,
    "WCHAR": 2,
    "SECURITY_DESCRIPTOR": 20,
}
"""As measured on the native module."""


def _interface() -> str:
    members = "".join(
        f"{result} (*{name})({_FS}, {arguments});\n"
        for name, (result, arguments) in CALLBACKS.items()
    )
    reserved = 64 - len(CALLBACKS)
    return f"struct FSP_FILE_SYSTEM_INTERFACE {{ {members} void *Reserved[{reserved}]; }};"


def make_ffi() -> Any:
    """A cffi.FFI that knows the types; checks their layout."""
    made = cffi.FFI()
    made.cdef(TYPES + _interface())
    for name, size in SIZES.items():
        if made.sizeof(name) != size:
            raise AssertionError(f"{name} has {made.sizeof(name)} bytes, not {size}")
    return made


ffi: Any = make_ffi()
