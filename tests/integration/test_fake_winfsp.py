"""The fake WinFsp: what programs see, and which callbacks it costs."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from simulators.fake_winfsp import Win32Error
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from tests.helpers.fake_windows import machine, memory

pytestmark = pytest.mark.usefixtures("winfspy")


# -- create and open ------------------------------------------------------------------------------


def test_new_file_is_looked_for_its_directory_checked_and_created() -> None:
    with machine() as pc:
        pc.put("X:\\new.txt", b"data")

        assert pc.ops() == [
            "GetSecurityByName",  # not there
            "GetSecurityByName",  # its directory
            *("Create", "Write", "Cleanup", "Close"),
        ]


def test_existing_file_is_opened_then_overwritten() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"old content")
        pc.ops()

        pc.put("X:\\a", b"new")

        assert pc.ops() == [
            *("GetSecurityByName", "Open", "Overwrite", "Write"),
            "Cleanup",
            "Close",
        ]
        assert pc.get("X:\\a") == b"new"


def test_supersede_replaces_attributes_and_overwrite_adds_to_them() -> None:
    with machine() as pc:
        handle = pc.kernel32.nt_create("X:\\a", c.GENERIC_WRITE, c.Disposition.SUPERSEDE)
        pc.kernel32.close_handle(handle)
        assert pc.ops("Create", "Overwrite") == ["Create"]

        access = c.GENERIC_WRITE | c.DELETE
        handle = pc.kernel32.nt_create("X:\\a", access, c.Disposition.SUPERSEDE)
        pc.kernel32.close_handle(handle)

        pc.windows.settle()
        (overwrite,) = pc.windows.calls.of("Overwrite")
        assert overwrite.details["replace"]


def test_second_open_that_may_not_share_gets_close_without_cleanup() -> None:
    with machine() as pc:
        pc.put("X:\\a")
        first = pc.kernel32.create_file("X:\\a", c.GENERIC_WRITE, 0)
        pc.ops()

        with pytest.raises(Win32Error) as raised:
            pc.kernel32.create_file("X:\\a", c.GENERIC_READ, c.FILE_SHARE_ALL)

        assert raised.value.winerror == nt.ERROR_SHARING_VIOLATION
        assert pc.ops() == ["GetSecurityByName", "Open", "Close"]
        pc.kernel32.close_handle(first)


def test_opening_for_attributes_alone_disturbs_nobody() -> None:
    with machine() as pc:
        pc.put("X:\\a")
        handle = pc.kernel32.create_file("X:\\a", c.GENERIC_WRITE, 0)

        assert pc.kernel32.get_file_attributes("X:\\a") == c.FILE_ATTRIBUTE_ARCHIVE

        pc.kernel32.close_handle(handle)


@pytest.mark.parametrize("name", ["a:b", "a*b", 'a"b', "a<b", "a|b", "a\tb", "n" * 256])
def test_name_that_windows_cannot_hold_never_reaches_the_file_system(name: str) -> None:
    with machine() as pc:
        with pytest.raises(Win32Error) as raised:
            pc.put(f"X:\\{name}")

        assert raised.value.winerror == nt.ERROR_INVALID_NAME
        assert pc.ops() == []


def test_name_of_255_units_of_utf16_is_the_longest() -> None:
    with machine() as pc:
        pc.put("X:\\" + "💾" * 127 + "x", b"long")
        with pytest.raises(Win32Error):
            pc.put("X:\\" + "💾" * 128)

        assert pc.get("X:\\" + "💾" * 127 + "x") == b"long"


def test_read_only_file_can_be_read_and_not_written_or_deleted() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"kept")
        pc.kernel32.set_file_attributes("X:\\a", c.FILE_ATTRIBUTE_READONLY)

        for attempt in (
            lambda: pc.kernel32.create_file("X:\\a", c.GENERIC_WRITE),
            lambda: pc.kernel32.delete_file("X:\\a"),
            lambda: pc.kernel32.create_file("X:\\a", flags=c.FILE_FLAG_DELETE_ON_CLOSE),
        ):
            with pytest.raises(Win32Error) as raised:
                attempt()
            assert raised.value.winerror == nt.ERROR_ACCESS_DENIED
        assert pc.get("X:\\a") == b"kept"


def test_read_only_volume_refuses_before_the_file_system_is_asked() -> None:
    with machine(read_only_volume=1) as pc:
        with pytest.raises(Win32Error) as raised:
            pc.put("X:\\a")

        assert raised.value.ntstatus == nt.MEDIA_WRITE_PROTECTED
        assert pc.ops() == []


@pytest.mark.parametrize(
    ("path", "disposition", "options", "winerror"),
    [
        ("X:\\a\\", c.Disposition.CREATE, c.FILE_NON_DIRECTORY_FILE, nt.ERROR_INVALID_NAME),
        ("X:\\a", c.Disposition.OPEN, 0x41, nt.ERROR_INVALID_PARAMETER),  # file and directory
        ("X:\\a", c.Disposition.OPEN, c.FILE_DELETE_ON_CLOSE, nt.ERROR_INVALID_PARAMETER),
        ("X:\\a", c.Disposition.OVERWRITE, c.FILE_DIRECTORY_FILE, nt.ERROR_INVALID_PARAMETER),
        ("X:\\", c.Disposition.CREATE, c.FILE_DIRECTORY_FILE, nt.ERROR_ACCESS_DENIED),
    ],
)
def test_what_makes_no_sense_never_reaches_the_file_system(
    path: str, disposition: c.Disposition, options: int, winerror: int
) -> None:
    with machine() as pc:
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.nt_create(path, c.GENERIC_READ, disposition, options)

        assert raised.value.winerror == winerror
        assert pc.ops() == []


def test_root_is_neither_deleted_nor_renamed() -> None:
    with machine() as pc:
        for attempt in (
            lambda: pc.kernel32.remove_directory("X:\\"),
            lambda: pc.kernel32.move_file_ex("X:\\", "X:\\a"),
        ):
            with pytest.raises(Win32Error) as raised:
                attempt()
            assert raised.value.winerror == nt.ERROR_ACCESS_DENIED
        assert {"CanDelete", "Rename"}.isdisjoint(pc.ops())


# -- names ----------------------------------------------------------------------------------------


def test_surrogate_pairs_come_through_every_call_with_a_name() -> None:
    with machine() as pc:
        pc.kernel32.create_directory("X:\\Grüße 💾")
        pc.put("X:\\Grüße 💾\\ünï💾.txt", b"x")

        assert pc.kernel32.list_directory("X:\\Grüße 💾") == ["ünï💾.txt"]
        assert [e.name for e in pc.kernel32.find_files("X:\\Grüße 💾\\ünï*")] == ["ünï💾.txt"]
        pc.kernel32.move_file_ex("X:\\Grüße 💾\\ünï💾.txt", "X:\\𝄞.txt")
        assert pc.get("X:\\𝄞.txt") == b"x"


def test_verbatim_path_brings_a_trailing_dot_to_the_file_system() -> None:
    with machine() as pc:
        pc.put("\\\\?\\X:\\dot.", b"verbatim")
        pc.put("X:\\dot.", b"trimmed")

        assert pc.kernel32.list_directory("X:") == ["dot", "dot."]
        assert pc.get("\\\\?\\X:\\dot.") == b"verbatim"


def test_case_insensitive_volume_upper_cases_what_it_says_of_open_files() -> None:
    with machine() as pc:
        pc.kernel32.create_directory("X:\\Dir")
        pc.put("X:\\Dir\\File.txt")
        pc.windows.calls.clear()

        pc.kernel32.move_file_ex("X:\\Dir\\File.txt", "X:\\Dir\\New.txt")
        pc.kernel32.delete_file("X:\\Dir\\New.txt")
        pc.windows.settle()

        (rename,) = pc.windows.calls.of("Rename")
        assert (rename.path, rename.details["new_name"]) == ("\\DIR\\FILE.TXT", "\\DIR\\New.txt")
        assert [call.path for call in pc.windows.calls.of("CanDelete")] == ["\\DIR\\NEW.TXT"]
        assert [call.details["name"] for call in pc.windows.calls.of("Cleanup")] == [
            "\\DIR\\NEW.TXT"
        ]
        assert "\\Dir\\File.txt" in [call.path for call in pc.windows.calls.of("Open")]


def test_open_below_a_handle_continues_its_upper_cased_name() -> None:
    with machine() as pc:
        pc.kernel32.create_directory("X:\\Dir")
        pc.put("X:\\Dir\\File.txt")
        folder = pc.kernel32.create_file(
            "X:\\Dir", c.GENERIC_READ, 7, flags=c.FILE_FLAG_BACKUP_SEMANTICS
        )
        handle = pc.kernel32.nt_create("File.txt", c.GENERIC_READ, c.Disposition.OPEN, below=folder)
        pc.kernel32.close_handle(handle)
        pc.kernel32.close_handle(folder)

        assert pc.windows.calls.of("Open")[-1].path == "\\DIR\\File.txt"


def test_case_sensitive_volume_keeps_the_case() -> None:
    with machine(case_sensitive_search=1) as pc:
        pc.put("X:\\File.txt")
        pc.kernel32.delete_file("X:\\File.txt")
        pc.windows.settle()

        assert [call.path for call in pc.windows.calls.of("CanDelete")] == ["\\File.txt"]


def test_normalized_name_of_the_file_system_is_the_name_from_then_on() -> None:
    def make() -> Any:
        from pathlib import PureWindowsPath

        from winfspy.memfs import InMemoryFileSystemOperations
        from winfspy.plumbing import ffi, lib

        class Normalizing(InMemoryFileSystemOperations):  # type: ignore[misc,unused-ignore]
            def ll_open(self, file_name, *arguments):
                status = super().ll_open(file_name, *arguments)
                told = lib.FspFileSystemGetOpenFileInfo(arguments[-1])
                path = PureWindowsPath(ffi.string(file_name))
                true = self._entries[path].file_name.encode("utf-16-le")
                ffi.memmove(told.NormalizedName, true, len(true))
                told.NormalizedNameSize = len(true)
                return status

        return memory(Normalizing)

    with machine(make=make) as pc:
        pc.put("X:\\File.txt")
        pc.kernel32.delete_file("x:\\fILE.tXT")
        pc.windows.settle()

        assert [call.path for call in pc.windows.calls.of("CanDelete")] == ["\\File.txt"]


# -- reading and writing --------------------------------------------------------------------------


def test_read_at_the_end_is_empty_and_not_an_error() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"abc")
        handle = pc.kernel32.create_file("X:\\a")

        assert [pc.kernel32.read_file(handle, 2) for _ in range(3)] == [b"ab", b"c", b""]
        assert pc.kernel32.read_file(handle, 10, 100) == b""
        pc.kernel32.close_handle(handle)


def test_any_size_is_one_callback() -> None:
    with machine() as pc:
        pc.put("X:\\big", bytes(3_000_000))
        pc.get("X:\\big")

        sizes = [call.details["length"] for call in pc.windows.calls.of("Write", "Read")]
        assert sizes == [3_000_000, 1 << 24]


def test_append_only_handle_writes_at_the_end_whatever_the_offset() -> None:
    with machine() as pc:
        pc.put("X:\\log", b"one ")
        handle = pc.kernel32.create_file("X:\\log", c.FILE_APPEND_DATA, 7)
        pc.kernel32.write_file(handle, b"two", 0)
        pc.kernel32.close_handle(handle)

        assert pc.get("X:\\log") == b"one two"
        assert pc.windows.calls.of("Write")[-1].details["to_end"]


def test_flush_is_one_callback_of_who_may_write() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        reader = pc.kernel32.create_file("X:\\a", share=7)
        writer = pc.kernel32.create_file("X:\\a", c.GENERIC_WRITE, 7)

        pc.kernel32.flush_file_buffers(writer)
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.flush_file_buffers(reader)

        assert raised.value.winerror == nt.ERROR_ACCESS_DENIED
        assert pc.ops("Flush") == ["Flush"]
        pc.kernel32.close_handle(reader)
        pc.kernel32.close_handle(writer)


def test_file_pointer_moves_with_reads_and_as_it_is_told() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"0123456789")
        handle = pc.kernel32.create_file("X:\\a", c.GENERIC_READ | c.GENERIC_WRITE, 0)
        assert pc.kernel32.read_file(handle, 3) == b"012"
        assert pc.kernel32.set_file_pointer(handle, 2, c.FILE_CURRENT) == 5
        assert pc.kernel32.read_file(handle, 1) == b"5"
        assert pc.kernel32.set_file_pointer(handle, -2, c.FILE_END) == 8
        pc.kernel32.set_end_of_file(handle)
        with pytest.raises(Win32Error):
            pc.kernel32.set_file_pointer(handle, -1)
        pc.kernel32.close_handle(handle)

        assert pc.get("X:\\a") == b"01234567"


def test_allocation_is_rounded_to_the_volumes_unit() -> None:
    with machine(sector_size=4096) as pc:
        pc.put("X:\\a")
        handle = pc.kernel32.create_file("X:\\a", c.GENERIC_WRITE)
        pc.kernel32.set_allocation(handle, 5000)
        pc.kernel32.close_handle(handle)

        (call,) = pc.windows.calls.of("SetFileSize")
        assert (call.details["size"], call.details["allocation"]) == (8192, True)


def test_copy_that_fails_is_deleted() -> None:
    def make() -> Any:
        from winfspy import NTStatusError

        operations = memory()

        def write(*_: Any) -> int:
            raise NTStatusError(nt.DISK_FULL)

        operations.write = write
        return operations

    with machine(make=make) as pc:
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.explorer_copy(b"x", "X:\\a")

        assert raised.value.ntstatus == nt.DISK_FULL
        assert pc.kernel32.list_directory("X:") == []


def test_explorer_copy_sets_the_size_first_then_writes_then_sets_the_time() -> None:
    with machine() as pc:
        pc.kernel32.explorer_copy(b"x" * 600_000, "X:\\film", last_write=133_000_000_000_000_000)

        assert pc.ops()[1:] == [
            *("Create", "SetFileSize", "Write", "Write", "Write", "SetBasicInfo"),
            *("Cleanup", "Close"),
        ]
        info = pc.kernel32.get_file_attributes_ex("X:\\film")
        assert (info.file_size, info.last_write_time) == (600_000, 133_000_000_000_000_000)


def test_file_system_that_returns_too_much_is_caught() -> None:
    def make() -> Any:
        operations = memory()
        operations.read = lambda context, offset, length: bytes(length + 10)
        return operations

    def run() -> None:
        with machine(make=make) as pc:
            pc.put("X:\\a", b"x")
            handle = pc.kernel32.create_file("X:\\a")
            pc.kernel32.read_file(handle, 100)
            pc.kernel32.close_handle(handle)

    with pytest.raises(AssertionError, match="gave 110 bytes, 100 were asked for"):
        run()


def test_exception_in_a_callback_is_one_status_and_one_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def make() -> Any:
        operations = memory()
        operations.read = lambda context, offset, length: 1 / 0
        return operations

    with machine(make=make) as pc:
        pc.put("X:\\a", b"x")
        handle = pc.kernel32.create_file("X:\\a")
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.read_file(handle, 1)
        pc.kernel32.close_handle(handle)

        assert raised.value.ntstatus == nt.UNEXPECTED_IO_ERROR
        assert [r.name for r in caplog.records if r.levelname == "ERROR"] == ["winfspy"]


def test_byte_range_lock_keeps_others_out_without_a_callback() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"0123456789")
        mine = pc.kernel32.create_file("X:\\a", c.GENERIC_READ | c.GENERIC_WRITE, 7)
        other = pc.kernel32.create_file("X:\\a", c.GENERIC_READ | c.GENERIC_WRITE, 7)
        pc.ops()

        pc.kernel32.lock_file(mine, 2, 4)
        assert pc.kernel32.read_file(mine, 4, 2) == b"2345"
        assert pc.kernel32.read_file(other, 2, 0) == b"01"
        for attempt in (
            lambda: pc.kernel32.read_file(other, 2, 1),
            lambda: pc.kernel32.write_file(other, b"x", 5),
            lambda: pc.kernel32.lock_file(other, 5, 1, 0),
        ):
            with pytest.raises(Win32Error) as raised:
                attempt()
            assert raised.value.winerror == nt.ERROR_LOCK_VIOLATION
        pc.kernel32.close_handle(mine)
        pc.kernel32.write_file(other, b"x", 5)

        assert set(pc.ops()) == {"Read", "Cleanup", "Close", "Write"} - {"Cleanup"}
        pc.kernel32.close_handle(other)


# -- closing and deleting -------------------------------------------------------------------------


def test_handle_that_changed_nothing_gets_close_alone() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        pc.ops()
        pc.get("X:\\a")

        assert pc.ops() == ["GetSecurityByName", "Open", "Read", "Close"]


def test_every_handle_gets_cleanup_when_that_is_wanted() -> None:
    with machine(post_cleanup_when_modified_only=0) as pc:
        pc.put("X:\\a", b"x")
        pc.ops()
        pc.get("X:\\a")

        assert pc.ops()[-2:] == ["Cleanup", "Close"]


def test_cleanup_names_the_file_only_to_delete_it() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        pc.kernel32.delete_file("X:\\a")
        pc.windows.settle()

        written, deleted = pc.windows.calls.of("Cleanup")
        flag = c.CleanupFlag
        assert (written.details["name"], deleted.details["name"]) == (None, "\\A")
        assert deleted.details["flags"] == flag.DELETE
        assert written.details["flags"] == (
            flag.SET_ALLOCATION_SIZE
            | flag.SET_ARCHIVE_BIT
            | flag.SET_LAST_ACCESS_TIME
            | flag.SET_LAST_WRITE_TIME
            | flag.SET_CHANGE_TIME
        )


def test_file_deleted_while_open_goes_with_its_last_handle() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        handle = pc.kernel32.create_file("X:\\a", share=7)
        pc.kernel32.delete_file("X:\\a")

        with pytest.raises(Win32Error) as raised:
            pc.get("X:\\a")
        assert raised.value.ntstatus == nt.DELETE_PENDING
        assert pc.kernel32.read_file(handle, 1) == b"x"
        assert "Cleanup" not in pc.ops()[-3:]
        pc.kernel32.close_handle(handle)

        assert not pc.kernel32.exists("X:\\a")


def test_delete_on_close_asks_nobody_whether_it_can() -> None:
    with machine() as pc:
        flags = c.FILE_FLAG_DELETE_ON_CLOSE
        handle = pc.kernel32.create_file("X:\\a", c.GENERIC_WRITE, 0, c.CREATE_NEW, flags)
        pc.kernel32.write_file(handle, b"temporary")
        pc.kernel32.close_handle(handle)

        assert "CanDelete" not in pc.ops()
        assert not pc.kernel32.exists("X:\\a")


def test_full_directory_stays() -> None:
    with machine() as pc:
        pc.kernel32.create_directory("X:\\d")
        pc.put("X:\\d\\a")

        with pytest.raises(Win32Error) as raised:
            pc.kernel32.remove_directory("X:\\d")

        assert raised.value.winerror == nt.ERROR_DIR_NOT_EMPTY
        assert pc.kernel32.list_directory("X:\\d") == ["a"]


# -- renaming -------------------------------------------------------------------------------------


def test_rename_opens_the_target_directory_and_looks_what_is_in_the_way() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"new")
        pc.put("X:\\b", b"old")
        pc.ops()

        pc.kernel32.move_file_ex("X:\\a", "X:\\b", c.MOVEFILE_REPLACE_EXISTING)

        assert pc.ops() == [
            *("GetSecurityByName", "Open"),  # the file
            *("GetSecurityByName", "Open"),  # the directory
            *("GetSecurityByName", "Rename"),  # what is in the way
            *("Close", "Close"),
        ]
        assert pc.get("X:\\b") == b"new"


def test_rename_onto_an_open_file_is_refused() -> None:
    with machine() as pc:
        pc.put("X:\\a")
        pc.put("X:\\b")
        handle = pc.kernel32.create_file("X:\\b", share=7)

        with pytest.raises(Win32Error) as raised:
            pc.kernel32.move_file_ex("X:\\a", "X:\\b", c.MOVEFILE_REPLACE_EXISTING)

        assert raised.value.winerror == nt.ERROR_ACCESS_DENIED
        assert "Rename" not in pc.ops()
        pc.kernel32.close_handle(handle)


def test_directory_with_an_open_file_below_keeps_its_name() -> None:
    with machine() as pc:
        pc.kernel32.create_directory("X:\\d")
        pc.put("X:\\d\\a")
        handle = pc.kernel32.create_file("X:\\d\\a", share=7)
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.move_file_ex("X:\\d", "X:\\e")
        pc.kernel32.close_handle(handle)

        assert raised.value.winerror == nt.ERROR_ACCESS_DENIED
        pc.kernel32.move_file_ex("X:\\d", "X:\\e")
        assert pc.kernel32.list_directory("X:\\e") == ["a"]


def test_open_file_can_be_renamed_and_is_known_by_its_new_name() -> None:
    with machine() as pc:
        pc.put("X:\\a", b"x")
        handle = pc.kernel32.create_file("X:\\a", share=7)
        pc.kernel32.move_file_ex("X:\\a", "X:\\b")

        assert pc.kernel32.read_file(handle, 1) == b"x"
        with pytest.raises(Win32Error) as raised:
            pc.kernel32.create_file("X:\\b", c.GENERIC_WRITE, c.FILE_SHARE_WRITE)
        assert raised.value.winerror == nt.ERROR_SHARING_VIOLATION
        pc.kernel32.close_handle(handle)


@pytest.mark.parametrize("backup", [None, "X:\\doc.bak"])
def test_replace_file_leaves_the_new_content_and_the_backup(backup: str | None) -> None:
    with machine() as pc:
        pc.put("X:\\doc", b"old")
        pc.put("X:\\doc.tmp", b"new")
        pc.kernel32.set_file_attributes("X:\\doc", c.FILE_ATTRIBUTE_HIDDEN)

        pc.kernel32.replace_file("X:\\doc", "X:\\doc.tmp", backup)

        left = {name: pc.get(f"X:\\{name}") for name in pc.kernel32.list_directory("X:")}
        assert left == {"doc": b"new", **({"doc.bak": b"old"} if backup else {})}
        assert pc.kernel32.get_file_attributes("X:\\doc") == c.FILE_ATTRIBUTE_HIDDEN


def test_replace_file_that_fails_half_way_gives_the_old_file_its_name_back() -> None:
    def make() -> Any:
        from winfspy import NTStatusAccessDenied

        operations = memory()
        rename = operations.rename

        def refuse(context: Any, name: str, new_name: str, replace: bool) -> None:
            if name == "\\DOC.TMP":
                raise NTStatusAccessDenied
            rename(context, name, new_name, replace)

        operations.rename = refuse
        return operations

    with machine(make=make) as pc:
        pc.put("X:\\doc", b"old")
        pc.put("X:\\doc.tmp", b"new")
        with pytest.raises(Win32Error):
            pc.kernel32.replace_file("X:\\doc", "X:\\doc.tmp")
        assert pc.get("X:\\doc") == b"old"

        with pytest.raises(Win32Error) as raised:
            pc.kernel32.replace_file("X:\\doc", "X:\\doc.tmp", "X:\\doc.bak")

        assert raised.value.winerror == nt.ERROR_UNABLE_TO_MOVE_REPLACEMENT_2
        assert pc.get("X:\\doc.bak") == b"old"
        assert pc.get("X:\\doc.tmp") == b"new"


# -- leaks ----------------------------------------------------------------------------------------


def test_nothing_is_left_when_a_drive_is_gone() -> None:
    gc.collect()
    with machine() as pc:
        before = set(pc.windows.memory.blocks()) - _of(pc.operations)
        volume = pc.windows.volume
        for number in range(20):
            pc.put(f"X:\\{number}", b"x")
            pc.kernel32.set_file_security(
                f"X:\\{number}", c.DACL_SECURITY_INFORMATION, "D:(A;;FA;;;WD)"
            )
            pc.kernel32.delete_file(f"X:\\{number}")
        pc.windows.settle()
        assert pc.operations._opened_objs == {}
        memory_of_windows = pc.windows.memory
    assert volume.dispatcher.workers == 0
    assert volume.abandoned == []
    del pc
    gc.collect()
    assert set(memory_of_windows.blocks()) <= before


def _of(operations: Any) -> set[int]:
    """Blocks of a memory file system's root."""
    from simulators.fake_winfsp.declarations import ffi

    return {int(ffi.cast("uintptr_t", operations._root_obj.security_descriptor.handle))}


def test_copy_of_a_security_descriptor_is_freed_twice_and_caught() -> None:
    def run() -> None:
        with machine():
            from winfspy.plumbing import SecurityDescriptor

            descriptor = SecurityDescriptor.from_string("O:BAG:BAD:P(A;;FA;;;WD)")
            copy = descriptor._replace(size=descriptor.size)
            del descriptor, copy
            gc.collect()

    with pytest.raises(AssertionError, match="freed twice"):
        run()


def test_open_whose_information_fails_leaves_its_context_for_ever() -> None:
    """As on Windows: the program must serve GetFileInfo from memory."""

    def make() -> Any:
        from winfspy import NTStatusAccessDenied

        operations = memory()
        operations.get_info = operations.get_file_info

        def get_file_info(context: Any) -> Any:
            if context.file_obj.name == "bad":
                raise NTStatusAccessDenied
            return operations.get_info(context)

        operations.get_file_info = get_file_info
        return operations

    with machine(make=make) as pc:
        with pytest.raises(Win32Error):
            pc.put("X:\\bad")

        assert "Close" not in pc.ops()
        assert len(pc.operations._opened_objs) == 1
