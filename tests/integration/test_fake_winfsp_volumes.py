"""The fake WinFsp's volumes: parameters, caches, listings, mount points, faults of the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simulators.fake_winfsp import FakeWindows, ManualClock, Settings, Win32Error, wheel
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.win32_paths import FILE_CASE_SENSITIVE_SEARCH
from tests.helpers.fake_windows import machine, memory

pytestmark = pytest.mark.usefixtures("winfspy")
MANY = 1503


# -- listings -------------------------------------------------------------------------------------


def fill(operations: Any, count: int = MANY) -> list[str]:
    names = [f"file-{number:04}.txt" for number in range(count)]
    for name in names:
        operations._create_directory(name)
    return names


def test_long_listing_comes_in_buffers_of_64_kib_with_markers() -> None:
    with machine() as pc:
        names = fill(pc.operations)

        assert pc.kernel32.list_directory("X:") == names

        calls = pc.windows.calls.of("ReadDirectory")
        assert [call.details["marker"] for call in calls] == [
            None,
            *("file-0480.txt", "file-0961.txt", "file-1442.txt"),
        ]


def test_without_a_directory_timeout_every_small_buffer_is_a_new_listing() -> None:
    with machine(file_info_timeout=0) as pc:
        names = fill(pc.operations, 100)

        assert pc.kernel32.list_directory("X:") == names

        assert len(pc.windows.calls.of("ReadDirectory")) > 4


def test_directory_cache_dies_with_its_handle_and_with_each_change() -> None:
    with machine() as pc:
        handle = pc.kernel32.create_file(
            "X:\\", c.FILE_LIST_DIRECTORY, 7, flags=c.FILE_FLAG_BACKUP_SEMANTICS
        )
        pc.kernel32.list_directory("X:")
        pc.kernel32.list_directory("X:")
        assert pc.ops("ReadDirectory") == ["ReadDirectory"]
        changes: list[tuple[Callable[[], None], list[str]]] = [
            (lambda: pc.put("X:\\new"), ["new"]),
            (lambda: pc.kernel32.create_directory("X:\\d"), ["d", "new"]),
            (lambda: pc.kernel32.move_file_ex("X:\\new", "X:\\d\\new"), ["d"]),
            (lambda: pc.kernel32.delete_file("X:\\d\\new"), ["d"]),
            (lambda: pc.kernel32.remove_directory("X:\\d"), []),
        ]
        for change, left in changes:
            change()
            assert pc.kernel32.list_directory("X:") == left
        pc.ops()
        pc.kernel32.close_handle(handle)

        pc.kernel32.list_directory("X:")
        assert pc.ops("ReadDirectory") == ["ReadDirectory"]


def test_probe_for_one_name_is_one_question() -> None:
    with machine() as pc:
        fill(pc.operations)

        (found,) = pc.kernel32.find_files("X:\\file-0700.txt")

        assert found.name == "FILE-0700.TXT"  # winfspy repeats what the driver asked
        assert pc.kernel32.find_files("X:\\missing.txt") == []
        assert set(pc.ops()) == {"GetSecurityByName", "Open", "GetDirInfoByName", "Close"}


def test_probe_reads_the_whole_listing_when_names_are_not_passed() -> None:
    with machine(pass_query_directory_file_name=0) as pc:
        fill(pc.operations)

        (found,) = pc.kernel32.find_files("X:\\FILE-1400.txt")

        assert found.name == "file-1400.txt"
        assert len(pc.ops("ReadDirectory")) == 4  # to the end: there could be another one


def test_file_system_that_ignores_the_marker_is_caught() -> None:
    def make() -> Any:
        operations = memory()
        whole = operations.read_directory
        operations.read_directory = lambda context, marker: whole(context, None)
        return operations

    def run() -> None:
        with machine(make=make) as pc:
            fill(pc.operations)
            with pytest.raises(Win32Error):
                pc.kernel32.list_directory("X:")

    with pytest.raises(AssertionError, match=r"behind 'file-0480.txt' gave 'file-0480.txt'"):
        run()


# -- caches ---------------------------------------------------------------------------------------


def test_information_is_believed_for_its_timeout() -> None:
    clock = ManualClock()
    with machine(clock=clock, file_info_timeout=1000) as pc:
        pc.put("X:\\a", b"abc")
        handle = pc.kernel32.create_file("X:\\a")
        pc.ops()
        assert pc.kernel32.get_file_size(handle) == 3
        clock.advance(0.9)
        assert pc.kernel32.get_file_size(handle) == 3
        assert pc.ops() == []
        clock.advance(0.2)
        assert pc.kernel32.get_file_size(handle) == 3
        assert pc.ops() == ["GetFileInfo"]
        pc.kernel32.close_handle(handle)


def test_size_of_the_volume_is_believed_for_its_own_timeout() -> None:
    clock = ManualClock()
    with machine(clock=clock, volume_info_timeout_valid=1, volume_info_timeout=5000) as pc:
        for seconds in (0, 4, 2):
            clock.advance(seconds)
            pc.kernel32.get_disk_free_space_ex("X:\\")

        assert len(pc.ops("GetVolumeInfo")) == 2


def test_the_nt_cache_is_refused_because_it_is_not_modelled() -> None:
    with FakeWindows():
        import winfspy

        with pytest.raises(winfspy.WinFSPyError, match="STATUS_NOT_SUPPORTED"):
            winfspy.FileSystem("X:", memory(), file_info_timeout=0xFFFFFFFF)


# -- parameters -----------------------------------------------------------------------------------


def test_long_texts_are_cut_in_silence() -> None:
    prefix = "\\server\\" + "s" * 100
    with machine(file_system_name="FTP-DRIVE", prefix=prefix) as pc:
        params = pc.windows.volume.params

        assert params.file_system_name == "FTP-DRI"
        assert params.prefix == prefix[:95]


def test_programs_are_told_what_the_volume_is() -> None:
    with machine(volume_serial_number=0xABCD, max_component_length=200) as pc:
        found = pc.kernel32.get_volume_information("X:\\")
        pc.kernel32.set_volume_label("X:\\", "Holidays 💾")

        assert (found.label, found.file_system_name) == ("memory", "MEMFS")
        assert (found.serial_number, found.component_units_max) == (0xABCD, 200)
        assert not found.flags & FILE_CASE_SENSITIVE_SEARCH
        assert pc.kernel32.get_volume_information("X:\\").label == "Holidays 💾"


def test_mount_point_that_is_no_text_is_a_type_error() -> None:
    from pathlib import Path

    with FakeWindows():
        import winfspy

        drive = winfspy.FileSystem(Path("X:"), memory())
        with pytest.raises(TypeError):
            drive.start()
        drive.stop()


def test_one_context_a_name_is_reported_and_not_closed_under_its_users() -> None:
    def run() -> None:
        with machine(um_file_context_is_user_context2=0) as pc:
            pc.put("X:\\a", b"x")
            handles = [pc.kernel32.create_file("X:\\a", share=7) for _ in range(2)]
            for handle in handles:
                pc.kernel32.close_handle(handle)
            assert pc.windows.volume.abandoned == ["\\a: opened twice, one context a name"]

    with pytest.raises(AssertionError, match="UmFileContextIsUserContext2 = 0"):
        run()


def test_set_delete_is_never_called() -> None:
    def make() -> Any:
        from winfspy.memfs import InMemoryFileSystemOperations

        class Deleting(InMemoryFileSystemOperations):  # type: ignore[misc,unused-ignore]
            def set_delete(self, file_context, file_name, delete_file):
                raise AssertionError

        return memory(Deleting)

    with machine(make=make) as pc:
        pc.put("X:\\a")
        pc.kernel32.delete_file("X:\\a")

        assert "CanDelete" in pc.ops()


# -- places ---------------------------------------------------------------------------------------


def test_letter_that_is_taken_fails_and_the_drive_can_be_stopped() -> None:
    with FakeWindows(Settings(letters_taken=frozenset("X"))):
        import winfspy

        drive = winfspy.FileSystem("X:", memory())
        with pytest.raises(winfspy.WinFSPyError, match="STATUS_OBJECT_NAME_COLLISION"):
            drive.start()
        drive.stop()


def test_any_free_letter_is_the_last_one_and_winfspy_cannot_look_at_it() -> None:
    with FakeWindows(Settings(letters_taken=frozenset("Z"))) as windows:
        import winfspy

        drive = winfspy.FileSystem("*:", memory())
        with pytest.raises(OSError, match="stat"):
            drive.start()

        assert windows.mounts.roots() == ["Y:"]
        assert windows.kernel32.exists("Y:\\")
        drive.stop()


def test_letter_of_the_mount_manager_is_seen_by_every_session() -> None:
    with FakeWindows() as windows:
        import winfspy

        drive = winfspy.FileSystem("\\\\.\\X:", memory())
        with pytest.raises(FileNotFoundError):  # the test's own disk was asked
            drive.start()

        assert windows.session(elevated=True).exists("X:\\")
        assert windows.session(elevated=False).exists("X:\\")
        drive.stop()


@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("C:\\mnt", "STATUS_OBJECT_NAME_COLLISION"),
        ("C:\\none\\drive", "STATUS_OBJECT_PATH_NOT_FOUND"),
    ],
)
def test_directory_must_be_new_and_have_a_parent(place: str, status: str) -> None:
    with FakeWindows():
        import winfspy

        drive = winfspy.FileSystem(place, memory())
        with pytest.raises(winfspy.WinFSPyError, match=status):
            drive.start()
        drive.stop()


def test_network_drive_is_seen_by_letter_and_as_a_share() -> None:
    with machine(prefix="\\phone\\ftp") as pc:
        pc.put("X:\\a", b"x")

        assert pc.get("\\\\phone\\ftp\\a") == b"x"
        with pytest.raises(Win32Error) as raised:
            pc.get("\\\\phone\\other\\a")
        assert raised.value.winerror == 53


@pytest.mark.parametrize("prefix", ["\\\\phone\\ftp", "phone\\ftp", "\\phone"])
def test_prefix_has_one_backslash_first_and_two_parts(prefix: str) -> None:
    with FakeWindows():
        import winfspy

        with pytest.raises(winfspy.WinFSPyError, match="STATUS_INVALID_PARAMETER"):
            winfspy.FileSystem("X:", memory(), prefix=prefix)


def test_letter_of_the_other_session_is_not_seen() -> None:
    with machine(settings=Settings(elevated=True)) as pc:
        pc.put("X:\\a")

        assert not pc.windows.session(elevated=False).exists("X:\\a")
        assert pc.windows.session(elevated=True).exists("X:\\a")


def test_nothing_is_there_after_the_stop() -> None:
    with machine() as pc:
        pc.put("X:\\a")
        pc.drive.stop()

        assert not pc.kernel32.exists("X:\\a")
        assert pc.windows.mounts.roots() == []


def test_restart_is_a_new_volume_with_new_parameters() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        serial = pc.windows.volume.serial

        pc.drive.restart(read_only_volume=1)

        assert pc.windows.volume.serial > serial
        assert pc.get("X:\\a") == b"x"
        with pytest.raises(Win32Error) as raised:
            pc.put("X:\\b")
        assert raised.value.ntstatus == nt.MEDIA_WRITE_PROTECTED


def test_two_drives_know_nothing_of_each_other() -> None:
    with machine() as pc:
        import winfspy

        other = winfspy.FileSystem("Y:", memory(), um_file_context_is_user_context2=1)
        other.start()
        pc.put("X:\\a", b"x")
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.move_file_ex("X:\\a", "Y:\\a")
        assert raised.value.winerror == nt.ERROR_NOT_SAME_DEVICE
        pc.kernel32.move_file_ex("X:\\a", "Y:\\a", c.MOVEFILE_COPY_ALLOWED)

        assert (pc.kernel32.exists("X:\\a"), pc.get("Y:\\a")) == (False, b"x")
        other.stop()


# -- faults of the start --------------------------------------------------------------------------


def test_old_winfsp_has_no_room_for_this_wheels_parameters() -> None:
    with FakeWindows(Settings(winfsp_version=(1, 10))):
        import winfspy
        from winfspy.plumbing import ffi, lib

        version = ffi.new("UINT32 *")
        lib.FspVersion(version)
        assert (version[0] >> 16, version[0] & 0xFFFF) == (1, 10)
        with pytest.raises(winfspy.WinFSPyError, match="STATUS_INSUFFICIENT_RESOURCES"):
            winfspy.FileSystem("X:", memory())


@pytest.mark.parametrize(
    "settings",
    [Settings(mount_status=nt.ACCESS_DENIED), Settings(dispatcher_status=nt.ACCESS_DENIED)],
)
def test_step_of_the_start_fails_as_told(settings: Settings) -> None:
    with FakeWindows(settings):
        import winfspy

        drive = winfspy.FileSystem("X:", memory())
        with pytest.raises(winfspy.WinFSPyError, match="STATUS_ACCESS_DENIED"):
            drive.start()
        drive.stop()


def test_drive_that_is_never_deleted_fails_the_test_and_its_threads_end() -> None:
    found: list[Any] = []

    def run() -> None:
        with FakeWindows() as windows:
            import winfspy

            drive = winfspy.FileSystem("X:", memory())
            drive.start()
            found.append(windows.volume)

    with pytest.raises(AssertionError, match="never deleted: file system at X:"):
        run()
    assert found[0].dispatcher.workers == 0


def test_winfspy_is_imported_once_and_the_environment_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import os
    import sys

    first = wheel.install()

    assert wheel.install() is first
    assert "winreg" not in sys.modules
    assert "WINFSP_LIBRARY_PATH" not in os.environ
    assert not hasattr(os, "add_dll_directory")
    assert "winfsp-" not in os.environ["PATH"]
