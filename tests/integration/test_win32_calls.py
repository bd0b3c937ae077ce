"""The ctypes layer of the real drive letter, on a kernel32 that stands in for Windows'."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.errors import FsStatus
from pyftpdrive.hosts.winfsp_status import NtStatus
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp import wheel
from tests.helpers import winfstest
from tests.helpers.fake_windows import machine
from tests.helpers.kernel32_stand_in import StandIn
from tests.scenario_runner import win32_errors
from tests.scenario_runner.execution import run
from tests.scenario_runner.grammar import load
from tests.scenario_runner.hosts import HostFailure
from tests.scenario_runner.plugin import known_items
from tests.scenario_runner.servers import SimulatedServer
from tests.scenario_runner.win32_calls import LONG, Kernel32, Win32CallError, real_kernel32
from tests.scenario_runner.winfsp_host import FakeLetterHost, free_letter

pytestmark = [
    pytest.mark.usefixtures("winfspy"),
    pytest.mark.skipif(sys.platform == "win32", reason="the fake is for other systems"),
]

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios" / "pyftpdrive"
NAME = "ünï💾.txt"  # with a surrogate pair
# Together: most verbs of steps, and the errors that Windows' programs are told.
RUN = (
    "a-file-is-not-a-directory",
    "append-to-a-file",
    "bytes-of-an-open-file-are-gone",
    "create-what-exists",
    "free-space",
    "fsync-tells-that-the-server-is-full",
    "look-into-what-does-not-exist",
    "make-a-directory-that-exists",
    "no-answer-within-the-deadline",
    "remove-a-directory-with-contents",
    "rename-a-directory",
    "rename-over-a-version-that-nobody-saw",
    "the-phone-lets-guests-read-only",
)


@pytest.fixture
def kernel32() -> Iterator[tuple[Kernel32, StandIn]]:
    with machine("X:") as found:
        library = StandIn(found.kernel32)
        yield Kernel32(library, library.last_error), library
        found.windows.settle()


def put(k: Kernel32, path: str, data: bytes) -> None:
    handle = k.create_file(path, c.GENERIC_WRITE, c.FILE_SHARE_ALL, c.CREATE_ALWAYS)
    assert k.write_file(handle, data) == len(data)
    k.close_handle(handle)


def get(k: Kernel32, path: str) -> bytes:
    handle = k.create_file(path, c.GENERIC_READ, c.FILE_SHARE_ALL)
    try:
        return k.read_file(handle, 1 << 20)
    finally:
        k.close_handle(handle)


def fails(action: Any, *arguments: Any, **named: Any) -> int:
    with pytest.raises(Win32CallError) as caught:
        action(*arguments, **named)
    return caught.value.winerror


def test_a_file_is_written_read_and_looked_at(kernel32: tuple[Kernel32, StandIn]) -> None:
    k, library = kernel32
    path = f"X:\\{NAME}"
    handle = k.create_file(path, c.GENERIC_READ | c.GENERIC_WRITE, c.FILE_SHARE_ALL, c.CREATE_NEW)

    assert k.write_file(handle, b"0123456789") == 10
    assert k.write_file(handle, b"AB", 4) == 2
    assert k.read_file(handle, 4, 3) == b"3AB6"
    assert k.read_file(handle, 4) == b"789"  # the pointer is behind the last read
    assert k.read_file(handle, 4) == b""
    assert k.read_file(handle, 4, 100) == b""
    assert k.set_file_pointer(handle, -2, c.FILE_END) == 8
    k.set_end_of_file(handle)
    k.flush_file_buffers(handle)
    assert k.get_file_size(handle) == 8
    k.set_end_of_file(handle, (5 << 20) + 3)
    k.set_file_time(handle, last_write=0x01D9_0000_8000_0001)
    k.close_handle(handle)

    assert k.list_directory("X:\\") == [NAME]
    found = k.get_file_attributes_ex(path)
    assert found.file_size == (5 << 20) + 3
    assert found.last_write_time == 0x01D9_0000_8000_0001
    assert not found.attributes & c.FILE_ATTRIBUTE_DIRECTORY
    assert {"SetFilePointerEx", "SetEndOfFile", "FlushFileBuffers", "SetFileTime"} <= set(
        library.calls
    )


def test_directories_and_names(kernel32: tuple[Kernel32, StandIn]) -> None:
    k, _ = kernel32
    k.create_directory("X:\\d")
    for number in range(300):
        put(k, f"X:\\d\\{number:03}.txt", b"")
    assert k.list_directory("X:\\d") == [f"{number:03}.txt" for number in range(300)]
    assert [found.name for found in k.find_files("X:\\d\\29?.txt")] == [
        f"29{number}.txt" for number in range(10)
    ]
    assert k.find_files("X:\\d\\*.none") == []
    assert fails(k.list_directory, "X:\\none") in (2, 3)  # the fake says 2, Windows 3
    assert fails(k.remove_directory, "X:\\d") == 145
    for number in range(300):
        k.delete_file(f"X:\\d\\{number:03}.txt")
    k.remove_directory("X:\\d")
    assert not k.exists("X:\\d")


def test_names_are_moved_replaced_and_copied(kernel32: tuple[Kernel32, StandIn]) -> None:
    k, _ = kernel32
    put(k, "X:\\old", b"old")
    put(k, "X:\\new", b"new")
    assert fails(k.move_file_ex, "X:\\new", "X:\\old") == 183
    k.replace_file("X:\\old", "X:\\new", "X:\\kept")
    assert (get(k, "X:\\old"), get(k, "X:\\kept"), k.exists("X:\\new")) == (b"new", b"old", False)
    k.move_file_ex("X:\\kept", "X:\\old", c.MOVEFILE_REPLACE_EXISTING)
    k.copy_file("X:\\old", "X:\\copy")
    assert get(k, "X:\\copy") == b"old"
    assert fails(k.copy_file, "X:\\old", "X:\\copy", fail_if_exists=True) == 80
    k.set_file_attributes("X:\\copy", c.FILE_ATTRIBUTE_READONLY)
    assert fails(k.delete_file, "X:\\copy") == 5


def test_handles_say_more_than_paths(kernel32: tuple[Kernel32, StandIn]) -> None:
    k, _ = kernel32
    put(k, "X:\\a", b"1234")
    handle = k.create_file("X:\\a", c.GENERIC_READ | c.GENERIC_WRITE | c.DELETE, c.FILE_SHARE_ALL)
    other = k.create_file("X:\\a", c.GENERIC_READ, c.FILE_SHARE_ALL)
    beyond = (1 << 33) + 5
    k.lock_file(handle, beyond, 1 << 32)
    assert fails(k.lock_file, other, beyond + 1, 1, 0) == 33
    k.unlock_file(handle, beyond, 1 << 32)
    k.lock_file(other, beyond + 1, 1, 0)
    k.unlock_file(other, beyond + 1, 1)

    k.set_basic_info(handle, c.FILE_ATTRIBUTE_HIDDEN, (1 << 57, 0, 1 << 58, 0))
    found = k.get_file_information(handle)
    assert (found.creation_time, found.last_write_time) == (1 << 57, 1 << 58)
    assert found.attributes & c.FILE_ATTRIBUTE_HIDDEN
    k.set_allocation(handle, 1 << 20)
    assert k.get_file_size(handle) == 4
    k.set_delete(handle)
    k.set_delete(handle, delete=False)
    k.set_delete(handle)
    k.close_handle(handle)
    k.close_handle(other)
    assert k.list_directory("X:\\") == []
    assert fails(k.close_handle, 0xFFFF_FFFF_FFFF_FFF0) == 6


def test_volumes(kernel32: tuple[Kernel32, StandIn]) -> None:
    k, _ = kernel32
    free, total = k.get_disk_free_space_ex("X:\\")
    assert 0 < free <= total
    found = k.get_volume_information("X:\\")
    assert (found.label, found.file_system_name) == ("memory", "MEMFS")
    assert found.component_units_max == 255
    assert k.letters() == {"X:"}


@pytest.mark.parametrize(
    ("path", "access", "how", "code"),
    [
        ("X:\\none", c.GENERIC_READ, c.OPEN_EXISTING, 2),
        ("X:\\d", c.GENERIC_READ, c.OPEN_EXISTING, 5),
        ("X:\\a", c.GENERIC_WRITE, c.CREATE_NEW, 80),
        ("Q:\\a", c.GENERIC_READ, c.OPEN_EXISTING, 3),
        ("X:\\a*b", c.GENERIC_READ, c.OPEN_EXISTING, 123),
    ],
)
def test_what_open_is_told(
    kernel32: tuple[Kernel32, StandIn], path: str, access: int, how: int, code: int
) -> None:
    k, _ = kernel32
    put(k, "X:\\a", b"")
    k.create_directory("X:\\d")
    assert fails(k.create_file, path, access, c.FILE_SHARE_ALL, how) == code


def test_a_long_path_goes_round_the_limit(kernel32: tuple[Kernel32, StandIn]) -> None:
    k, _ = kernel32
    folder = "X:\\" + "d" * 200
    k.create_directory(folder)
    path = f"{folder}\\{'f' * 200}.txt"
    assert len(path) > 260 > LONG
    put(k, path, b"deep")
    assert get(k, path) == b"deep"
    k.move_file_ex(path, f"{folder}\\{'g' * 200}.txt")
    assert k.list_directory(folder) == ["g" * 200 + ".txt"]


def test_a_nul_does_not_cut_a_path(kernel32: tuple[Kernel32, StandIn]) -> None:
    k, library = kernel32
    with pytest.raises(ValueError, match="NUL"):
        k.delete_file("X:\\a\0b")
    assert library.calls == []


def test_ctypes_refuses_what_a_prototype_does_not_take(kernel32: tuple[Kernel32, StandIn]) -> None:
    _, library = kernel32
    with pytest.raises(ctypes.ArgumentError):
        library.DeleteFileW("X:\\a")  # type: ignore[attr-defined]


# -- as the host of scenarios ---------------------------------------------------------------------


class StandInLetterHost(FakeLetterHost):
    """The fake's drive, asked by ctypes and answering Win32 codes, as on a real letter."""

    FAILURES = (Win32CallError,)

    @property
    def _k(self) -> Any:
        library = StandIn(super()._k)
        return Kernel32(library, library.last_error)

    def _number(self, error: Any) -> int:
        return int(error.winerror)

    def codes(self, status: FsStatus) -> set[int]:
        return win32_errors.codes(status)


@pytest.mark.parametrize("name", RUN)
def test_scenarios_run_through_the_layer_of_the_real_letter(name: str, tmp_path: Path) -> None:
    scenario = load(SCENARIOS / f"{name}.toml", known_items())
    assert "winfsp" in scenario.hosts
    run(scenario, "winfsp", "simulator", tmp_path, make=StandInLetterHost)


@pytest.mark.parametrize("case", winfstest.ON_OUR_DRIVE)
def test_cases_of_winfspy_hold_on_our_drive(case: str, tmp_path: Path) -> None:
    scenario = load(SCENARIOS / "free-space.toml", known_items())
    server = SimulatedServer(scenario)
    host = StandInLetterHost(scenario, server, tmp_path)
    cases = wheel.unpacked() / "winfspy" / "tests" / "winfstest" / "cases"
    try:
        host.mount()
        winfstest.run(host._k, host.letter, cases, case)
    finally:
        host.abandon()
        server.stop()


# -- codes and letters ----------------------------------------------------------------------------


def test_every_status_has_a_code() -> None:
    assert all(win32_errors.codes(status) for status in FsStatus)


@pytest.mark.parametrize("status", list(win32_errors.CODES), ids=lambda status: status.name)
def test_codes_are_those_of_the_fake(status: NtStatus) -> None:
    if int(status) not in nt.WIN32:
        pytest.skip("the fake does not answer it")
    told = {win32_errors.code(status)}
    if status is NtStatus.UNEXPECTED_IO_ERROR:
        told.add(1117)  # the fake's; Wine's table, which is tested on Windows, has no row for it
    assert nt.win32_of(status) in told


def test_workers_share_the_letters() -> None:
    assert free_letter(set(), "gw0", 1) == "Z:"
    assert free_letter({"C:", "Z:"}, "gw0", 1) == "Y:"
    assert free_letter(set(), "gw1", 2) == "Y:"
    assert free_letter({"Z:"}, "gw0", 2) == "X:"
    with pytest.raises(HostFailure, match="no drive letter"):
        free_letter({f"{letter}:" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}, "gw0", 1)


def test_there_is_no_kernel32_here() -> None:
    with pytest.raises(RuntimeError, match="Windows"):
        real_kernel32()
