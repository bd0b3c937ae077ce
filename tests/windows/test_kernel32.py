"""The ctypes layer on the real kernel32: on this machine's own disk, and its table of errors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pyftpdrive.hosts.winfsp_status import NtStatus
from pyftpdrive.mount_point import is_elevated, letters_taken
from simulators.fake_winfsp import constants as c
from tests.scenario_runner import win32_errors
from tests.scenario_runner.win32_calls import Kernel32, Win32CallError, real_kernel32

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")

NAME = "ünï💾 \ud800.txt"  # a surrogate pair, and half of one, which NTFS takes


# Rows for which we found no source that was held against Windows.
UNSURE = {NtStatus.UNEXPECTED_IO_ERROR: (31, 1117), NtStatus.FILE_TOO_LARGE: (317,)}


@pytest.fixture
def k() -> Kernel32:
    return real_kernel32()


def test_a_file_is_written_read_and_looked_at(k: Kernel32, tmp_path: Path) -> None:
    path = f"{tmp_path}\\{NAME}"
    handle = k.create_file(path, c.GENERIC_READ | c.GENERIC_WRITE, c.FILE_SHARE_ALL, c.CREATE_NEW)
    assert k.write_file(handle, b"0123456789") == 10
    assert k.write_file(handle, b"AB", 4) == 2
    assert k.read_file(handle, 4, 3) == b"3AB6"
    assert k.read_file(handle, 4, 100) == b""
    k.set_file_pointer(handle, 0)
    assert k.read_file(handle, 100) == b"0123AB6789"
    assert k.read_file(handle, 100) == b""
    k.set_end_of_file(handle, 8)
    k.flush_file_buffers(handle)
    assert k.get_file_size(handle) == k.get_file_information(handle).file_size == 8
    k.set_file_time(handle, last_write=0x01D9_0000_8000_0000)
    k.lock_file(handle, 1 << 33, 10)
    k.unlock_file(handle, 1 << 33, 10)
    k.close_handle(handle)

    assert k.list_directory(str(tmp_path)) == [NAME]
    found = k.get_file_attributes_ex(path)
    assert (found.file_size, found.last_write_time) == (8, 0x01D9_0000_8000_0000)
    k.move_file_ex(path, f"{tmp_path}\\b")
    k.copy_file(f"{tmp_path}\\b", f"{tmp_path}\\c")
    k.replace_file(f"{tmp_path}\\b", f"{tmp_path}\\c", f"{tmp_path}\\old")
    assert sorted(k.list_directory(str(tmp_path))) == ["b", "old"]
    k.delete_file(f"{tmp_path}\\old")
    k.create_directory(f"{tmp_path}\\d")
    k.remove_directory(f"{tmp_path}\\d")


@pytest.mark.parametrize(
    ("name", "how", "code"),
    [
        ("none", c.OPEN_EXISTING, 2),
        ("none\\a", c.OPEN_EXISTING, 3),
        ("a", c.CREATE_NEW, 80),
        ("d", c.OPEN_EXISTING, 5),
        ("a*b", c.OPEN_EXISTING, 123),
    ],
)
def test_errors(k: Kernel32, tmp_path: Path, name: str, how: int, code: int) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "d").mkdir()
    with pytest.raises(Win32CallError) as caught:
        k.create_file(f"{tmp_path}\\{name}", c.GENERIC_READ, c.FILE_SHARE_ALL, how)
    assert caught.value.winerror == code


def test_lists_of_what_is_not_there(k: Kernel32, tmp_path: Path) -> None:
    assert k.list_directory(str(tmp_path)) == []
    with pytest.raises(Win32CallError) as caught:
        k.list_directory(f"{tmp_path}\\none")
    assert caught.value.winerror == 3


def test_volumes_and_letters(k: Kernel32, tmp_path: Path) -> None:
    root = f"{tmp_path.drive}\\"
    free, total = k.get_disk_free_space_ex(root)
    assert 0 < free < total
    assert k.get_volume_information(root).component_units_max == 255
    assert tmp_path.drive.upper() in k.letters() == letters_taken()
    assert is_elevated() in (True, False)


@pytest.mark.parametrize("status", list(NtStatus), ids=lambda status: status.name)
def test_the_table_of_errors_is_that_of_windows(status: NtStatus) -> None:
    told = win32_errors.code(int(status))
    assert told == win32_errors.CODES[status] or told in UNSURE.get(status, ())
