"""The functions of `lib` that are about memory and security descriptors."""

from __future__ import annotations

import threading

from simulators.fake_winfsp import ntstatus, security
from simulators.fake_winfsp.bindings import c_function
from simulators.fake_winfsp.declarations import CData, ffi
from simulators.fake_winfsp.memory import LEDGER

ERROR_INVALID_SECURITY_DESCR = 1338
_STATUS = ntstatus.UNSUCCESSFUL
_last_error = threading.local()


@c_function("void *(SIZE_T)")
def malloc(size: int) -> CData:
    return LEDGER.allocate(size, "malloc")


@c_function("HANDLE(HANDLE)")
def LocalFree(pointer: CData) -> CData:
    LEDGER.free(pointer)
    return ffi.NULL


@c_function("void(PSECURITY_DESCRIPTOR, void *)")
def FspDeleteSecurityDescriptor(pointer: CData, _creator: CData) -> None:
    LEDGER.free(pointer)


@c_function("SIZE_T(PWSTR)")
def wcslen(text: CData) -> int:
    length = 0
    while text[length] != "\0":
        length += 1
    return length


@c_function("DWORD(void)")
def GetLastError() -> int:
    return int(getattr(_last_error, "value", 0))


@c_function("HANDLE(DWORD)")
def GetStdHandle(_which: int) -> CData:
    return ffi.cast("HANDLE", 2)


def _descriptor(pointer: CData) -> security.Descriptor:
    head = bytes(ffi.buffer(pointer, 20))
    size = _length(pointer, head)
    return security.unpack(bytes(ffi.buffer(pointer, size)))


def _length(pointer: CData, head: bytes) -> int:
    """Without a bound to rely on: read as far as each part says that it goes."""
    end = 20
    for at in (4, 8, 12, 16):
        offset = int.from_bytes(head[at : at + 4], "little")
        if not offset:
            continue
        base = ffi.cast("uint8_t *", pointer) + offset
        if at < 12:
            end = max(end, offset + 8 + 4 * base[1])
        else:
            end = max(end, offset + base[2] + 256 * base[3])
    return end


@c_function("DWORD(PSECURITY_DESCRIPTOR)")
def GetSecurityDescriptorLength(pointer: CData) -> int:
    return _length(pointer, bytes(ffi.buffer(pointer, 20)))


@c_function("BOOL(PSECURITY_DESCRIPTOR)", 0)
def IsValidSecurityDescriptor(pointer: CData) -> bool:
    try:
        return pointer != ffi.NULL and bool(_descriptor(pointer))
    except ValueError:
        return False


@c_function("BOOL(PWSTR, DWORD, PSECURITY_DESCRIPTOR *, ULONG *)", 0)
def ConvertStringSecurityDescriptorToSecurityDescriptorW(
    text: CData, _revision: int, result: CData, size: CData
) -> bool:
    try:
        data = security.pack(security.parse_sddl(ffi.string(text)))
    except ValueError:
        _last_error.value = ERROR_INVALID_SECURITY_DESCR
        return False
    result[0] = ffi.cast("PSECURITY_DESCRIPTOR", LEDGER.store(data, "LocalAlloc: descriptor"))
    if size != ffi.NULL:
        size[0] = len(data)
    return True


@c_function("BOOL(PSECURITY_DESCRIPTOR, DWORD, SECURITY_INFORMATION, PWSTR *, ULONG *)", 0)
def ConvertSecurityDescriptorToStringSecurityDescriptorW(
    pointer: CData, _revision: int, information: int, result: CData, size: CData
) -> bool:
    try:
        found = security.selected(_descriptor(pointer), information)
    except ValueError:
        _last_error.value = ERROR_INVALID_SECURITY_DESCR
        return False
    data = (security.format_sddl(found) + "\0").encode("utf-16-le")
    result[0] = ffi.cast("PWSTR", LEDGER.store(data, "LocalAlloc: text"))
    if size != ffi.NULL:
        size[0] = len(data) // 2
    return True


@c_function(
    "NTSTATUS(PSECURITY_DESCRIPTOR, SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, "
    "PSECURITY_DESCRIPTOR *)",
    _STATUS,
)
def FspSetSecurityDescriptor(pointer: CData, information: int, change: CData, result: CData) -> int:
    result[0] = ffi.NULL
    try:
        made = security.modified(_descriptor(pointer), information, _descriptor(change))
    except ValueError:
        return ntstatus.INVALID_SECURITY_DESCR
    data = security.pack(made)
    stored = LEDGER.store(data, "FspSetSecurityDescriptor")
    result[0] = ffi.cast("PSECURITY_DESCRIPTOR", stored)
    return ntstatus.SUCCESS
