"""Layouts and prototypes of the Win32 calls, against Microsoft's documentation."""

from __future__ import annotations

import ctypes

import pytest

from tests.scenario_runner import win32_abi as abi

POINTER_BYTES = 8

# Sizes and offsets as a 64-bit compiler lays out the structures of minwinbase.h and winbase.h.
SIZES = {
    abi.FILETIME: 8,
    abi.WIN32_FIND_DATAW: 592,
    abi.WIN32_FILE_ATTRIBUTE_DATA: 36,
    abi.BY_HANDLE_FILE_INFORMATION: 52,
    abi.OVERLAPPED: 32,
    abi.FILE_BASIC_INFO: 40,
    abi.FILE_DISPOSITION_INFO: 1,
}
OFFSETS = {
    (abi.WIN32_FIND_DATAW, "ftCreationTime"): 4,
    (abi.WIN32_FIND_DATAW, "ftLastWriteTime"): 20,
    (abi.WIN32_FIND_DATAW, "nFileSizeHigh"): 28,
    (abi.WIN32_FIND_DATAW, "nFileSizeLow"): 32,
    (abi.WIN32_FIND_DATAW, "cFileName"): 44,
    (abi.WIN32_FIND_DATAW, "cAlternateFileName"): 564,
    (abi.WIN32_FILE_ATTRIBUTE_DATA, "ftLastWriteTime"): 20,
    (abi.WIN32_FILE_ATTRIBUTE_DATA, "nFileSizeHigh"): 28,
    (abi.BY_HANDLE_FILE_INFORMATION, "dwVolumeSerialNumber"): 28,
    (abi.BY_HANDLE_FILE_INFORMATION, "nFileSizeHigh"): 32,
    (abi.BY_HANDLE_FILE_INFORMATION, "nNumberOfLinks"): 40,
    (abi.BY_HANDLE_FILE_INFORMATION, "nFileIndexLow"): 48,
    (abi.OVERLAPPED, "Offset"): 16,
    (abi.OVERLAPPED, "OffsetHigh"): 20,
    (abi.OVERLAPPED, "hEvent"): 24,
    (abi.FILE_BASIC_INFO, "LastWriteTime"): 16,
    (abi.FILE_BASIC_INFO, "FileAttributes"): 32,
}


@pytest.mark.parametrize(
    ("structure", "size"), SIZES.items(), ids=lambda x: getattr(x, "__name__", "")
)
def test_sizes(structure: type[ctypes.Structure], size: int) -> None:
    assert ctypes.sizeof(structure) == size


@pytest.mark.parametrize(("field", "offset"), OFFSETS.items(), ids=str)
def test_offsets(field: tuple[type[ctypes.Structure], str], offset: int) -> None:
    structure, name = field
    assert getattr(structure, name).offset == offset


def test_types_are_those_of_windows_whatever_this_machine_has() -> None:
    assert ctypes.sizeof(abi.WCHAR) == 2
    assert ctypes.sizeof(abi.DWORD) == ctypes.sizeof(abi.BOOL) == 4
    assert ctypes.sizeof(abi.HANDLE) == ctypes.sizeof(abi.ULONG_PTR) == POINTER_BYTES
    assert abi.INVALID_HANDLE_VALUE == (1 << 64) - 1


def test_every_function_that_returns_a_handle_returns_all_of_it() -> None:
    wide = {name for name, (result, _) in abi.PROTOTYPES.items() if result is abi.HANDLE}
    assert wide == {"CreateFileW", "FindFirstFileW"}
    assert {result for result, _ in abi.PROTOTYPES.values()} == {abi.BOOL, abi.DWORD, abi.HANDLE}


def test_declare_tells_every_prototype() -> None:
    class Function:
        restype: object = None
        argtypes: object = None

    class Library:
        def __init__(self) -> None:
            for name in abi.PROTOTYPES:
                setattr(self, name, Function())

    library = Library()
    assert abi.declare(library) is library
    for name, (result, arguments) in abi.PROTOTYPES.items():
        function = getattr(library, name)
        assert (function.restype, function.argtypes) == (result, arguments)


@pytest.mark.parametrize("text", ["", "a", "ünï", "💾", "\ud83d", "a\udcff.txt"])
def test_text_goes_to_utf_16_and_back(text: str) -> None:
    units = abi.wide(text)
    assert len(units) == len(text.encode("utf-16-le", "surrogatepass")) // 2 + 1
    assert units[len(units) - 1] == 0
    assert abi.narrow(units) == text


def test_text_ends_at_its_nul() -> None:
    buffer = (abi.WCHAR * 8)(*(ord(letter) for letter in "ab\0cd"))
    assert abi.narrow(buffer) == "ab"


def test_moments_and_offsets_are_split_in_halves() -> None:
    moment = abi.FILETIME.of(0x0123_4567_89AB_CDEF)
    assert (moment.dwHighDateTime, moment.dwLowDateTime) == (0x0123_4567, 0x89AB_CDEF)
    assert moment.value == 0x0123_4567_89AB_CDEF
    place = abi.OVERLAPPED.at((1 << 32) + 7)
    assert (place.OffsetHigh, place.Offset, place.hEvent) == (1, 7, None)
    assert place.offset == (1 << 32) + 7
