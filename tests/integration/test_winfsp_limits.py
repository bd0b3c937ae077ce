"""The adapter at its limits: late answers, errors in it, names, sizes, mount points, full disks."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.errors import FsError, FsStatus, MountError, MountProblem
from simulators.fake_winfsp import ManualClock, Settings, Win32Error
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.ftp_server import Fault
from tests.helpers.mounts import until
from tests.helpers.winfsp_drive import Windows, in_thread, mounted

pytestmark = pytest.mark.usefixtures("winfspy")

IRP_S = 600


class Held:
    """A core's method that waits before it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, filesystem: Any, name: str) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()
        real = getattr(filesystem, name)

        def wait(*arguments: Any, **named: Any) -> Any:
            self.asked.set()
            assert self.answer.wait(20)
            return real(*arguments, **named)

        monkeypatch.setattr(filesystem, name, wait)


def refused(action: Callable[[], Any]) -> int | None:
    """The status with which it was refused."""
    with pytest.raises(Win32Error) as raised:
        action()
    return raised.value.ntstatus


# -- answers that come too late --------------------------------------------------------------------


def expired(pc: Windows, clock: ManualClock, held: Held, action: Callable[[], Any]) -> None:
    """*action* outlives its request; then the answer comes."""
    told = in_thread(action)
    assert held.asked.wait(20)
    clock.advance(IRP_S + 1)
    with pytest.raises(Win32Error) as raised:
        told.result(20)
    assert raised.value.ntstatus == nt.CANCELLED
    held.answer.set()
    assert until(lambda: pc.fake.volume.dispatcher.late == 1, within_s=20)


def test_a_late_read_and_a_late_write_change_nothing_but_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    with mounted(tmp_path, files={"/a": b"x" * 100}, clock=clock) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ | c.GENERIC_WRITE, 0)
        with monkeypatch.context() as patch:
            held = Held(patch, pc.drive.filesystem, "write")
            expired(pc, clock, held, lambda: pc.k.write_file(handle, b"late"))
        assert pc.k.read_file(handle, 5, 0) == b"latex"  # it was taken all the same
        pc.k.close_handle(handle)
        pc.sent()

        assert pc.server.get("/a") == b"late" + b"x" * 96
        assert pc.operations.files_open() == []


@pytest.mark.parametrize(("method", "disposition"), [("stat", 3), ("create", 1)])
def test_a_late_open_is_closed_at_the_end(
    method: str, disposition: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WinFsp forgets the context; we own it."""
    clock = ManualClock()
    with mounted(tmp_path, files={"/a": b"x"}, clock=clock) as pc:
        name = {"stat": "Z:\\a", "create": "Z:\\new"}[method]
        pc.get("Z:\\a")
        pc.fake.settle()
        clock.advance(10)  # the driver's caches
        with monkeypatch.context() as patch:
            held = Held(patch, pc.drive.filesystem, method)
            expired(
                pc, clock, held, lambda: pc.k.create_file(name, c.GENERIC_WRITE, 0, disposition)
            )
        assert len(pc.fake.volume.abandoned) == len(pc.operations.files_open()) == 1
        pc.host.stop()

        assert pc.operations.files_open() == []
        assert pc.drive.filesystem.open_files() == []
        assert pc.drive.drain(20) == []
        assert sorted(pc.server.tree()) == sorted({"/a", name.replace("Z:\\", "/")})


# -- errors of our own ----------------------------------------------------------------------------


OPERATIONS: dict[str, Callable[[Windows, int], Any]] = {
    "stat": lambda pc, _: pc.k.create_file("Z:\\d\\other", c.GENERIC_READ, 7),
    "create": lambda pc, _: pc.k.create_file("Z:\\new", c.GENERIC_WRITE, 7, c.CREATE_NEW),
    "make_directory": lambda pc, _: pc.k.create_directory("Z:\\new"),
    "read": lambda pc, handle: pc.k.read_file(handle, 10),
    "write": lambda pc, handle: pc.k.write_file(handle, b"x"),
    "fsync": lambda pc, handle: pc.k.flush_file_buffers(handle),
    "truncate": lambda pc, handle: pc.k.set_end_of_file(handle, 0),
    "set_times": lambda pc, handle: pc.k.set_file_time(handle, last_write=10**17),
    "require_removable": lambda pc, _: pc.k.delete_file("Z:\\d\\other"),
    "rename": lambda pc, _: pc.k.move_file_ex("Z:\\d\\other", "Z:\\d\\b"),
    "list_directory": lambda pc, _: pc.k.list_directory("Z:\\d"),
    "space": lambda pc, _: pc.k.get_disk_free_space_ex("Z:\\"),
}


@pytest.mark.logs("a file system call failed unexpectedly")
@pytest.mark.parametrize("method", OPERATIONS)
def test_an_error_in_a_callback_is_one_status_and_one_line(
    method: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    with mounted(tmp_path, files={"/a": b"x" * 100, "/d/other": b""}, clock=clock) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ | c.GENERIC_WRITE, 7)
        clock.advance(10)
        with monkeypatch.context() as patch:
            patch.setattr(pc.drive.filesystem, method, lambda *_, **__: 1 // 0)
            status = refused(lambda: OPERATIONS[method](pc, handle))

        assert status == nt.UNEXPECTED_IO_ERROR
        lines = [r for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(lines) == 1
        pc.k.close_handle(handle)
        pc.fake.settle()
        assert pc.operations.files_open() == []
        assert not pc.operations._opened_objs
        assert pc.get("Z:\\a") == b"x" * 100


@pytest.mark.logs("as last known")
def test_an_open_that_succeeded_is_not_undone_by_looking_at_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """winfspy asks for the information of what was opened; a failure would lose the context."""
    clock = ManualClock()
    with mounted(tmp_path, files={"/a": b"x" * 100}, clock=clock) as pc:
        filesystem = pc.drive.filesystem
        opened = threading.Event()
        real_open = filesystem.open

        def note(*arguments: Any, **named: Any) -> Any:
            opened.set()
            return real_open(*arguments, **named)

        def fail(context: Any) -> Any:
            raise FsError(FsStatus.TIMEOUT, "silent")

        monkeypatch.setattr(filesystem, "open", note)
        for failing in (fail, lambda _: 1 // 0):
            monkeypatch.setattr(filesystem, "stat_handle", failing)
            clock.advance(10)
            handle = pc.k.create_file("Z:\\a", c.GENERIC_WRITE, 7)
            assert opened.is_set()
            assert pc.k.get_file_size(handle) == 100
            pc.k.close_handle(handle)
            pc.fake.settle()
        assert pc.operations.files_open() == []
        assert not pc.operations._opened_objs


# -- sizes ----------------------------------------------------------------------------------------


def test_never_more_is_given_than_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """winfspy copies what it gets over the end of the buffer; the fake would notice."""
    with mounted(tmp_path, files={"/a": b"x" * 100}) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ, 7)
        monkeypatch.setattr(pc.drive.filesystem, "read", lambda *_: b"y" * 100)
        assert pc.k.read_file(handle, 10, 0) == b"y" * 10
        pc.k.close_handle(handle)
    assert pc.fake.problems() == []


@pytest.mark.parametrize(
    ("offset", "length", "found"),
    [
        (0, 0, b""),
        (90, 100, b"x" * 10),
        (100, 1, b""),
        (1 << 40, 10, b""),
        (0, 1 << 24, b"x" * 100),
    ],
)
def test_reading_at_and_beyond_the_end(
    offset: int, length: int, found: bytes, tmp_path: Path
) -> None:
    with mounted(tmp_path, files={"/a": b"x" * 100}) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ, 7)
        assert pc.k.read_file(handle, length, offset) == found
        pc.k.close_handle(handle)
        read = pc.fake.calls.of("Read")
        if length and not found:
            assert [call.status for call in read] == [nt.END_OF_FILE]


def test_one_request_of_many_megabytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * (40 << 10)
    with mounted(tmp_path) as pc:
        pc.put("Z:\\big", data)
        pc.sent()
        assert pc.get("Z:\\big") == data == pc.server.get("/big")


def test_writing_at_the_end_wherever_that_is(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/log": b"one\n"}) as pc:
        handles = [pc.k.create_file("Z:\\log", c.FILE_APPEND_DATA, 7) for _ in range(2)]
        for number, handle in enumerate(handles * 2):
            pc.k.write_file(handle, b"%d\n" % number, 0)
        for handle in handles:
            pc.k.close_handle(handle)
        pc.sent()
        assert pc.server.get("/log") == b"one\n0\n1\n2\n3\n"


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 255, "ünï💾.txt", "💾" * 63, "a" + "\u0301" * 100])
def test_names_that_are_long_or_of_many_scripts(name: str, tmp_path: Path) -> None:
    with mounted(tmp_path) as pc:
        pc.put(f"Z:\\{name}", b"text", c.CREATE_NEW)
        pc.sent()

        assert pc.on_server() == {f"/{name}": b"text"}
        assert pc.k.list_directory("Z:\\") == [name]
        (found,) = pc.k.find_files(f"Z:\\{name.lower()}")
        assert found.name == name


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("x" * 256, nt.OBJECT_NAME_INVALID),  # the driver's
        ("💾" * 128, nt.OBJECT_NAME_INVALID),
        ("💾" * 64, nt.NAME_TOO_LONG),  # 256 octets: no server can hold that
    ],
)
def test_names_over_the_limits(name: str, status: int, tmp_path: Path) -> None:
    with mounted(tmp_path) as pc:
        assert refused(lambda: pc.put(f"Z:\\{name}", b"")) == status
        assert refused(lambda: pc.k.create_directory(f"Z:\\{name}")) == status
        pc.put("Z:\\a", b"")
        assert refused(lambda: pc.k.move_file_ex("Z:\\a", f"Z:\\{name}")) == status
        pc.sent()
        assert pc.on_server() == {"/a": b""}


def test_a_long_path(tmp_path: Path) -> None:
    with mounted(tmp_path) as pc:
        path = "Z:"
        for number in range(12):
            path += f"\\{number:02}-{'d' * 47}"
            pc.k.create_directory(path)
        pc.put(f"{path}\\file.txt", b"deep")
        pc.sent()

        assert len(path) > 600
        assert pc.get(f"{path}\\FILE.TXT") == b"deep"
        assert pc.k.list_directory(path) == ["file.txt"]


def test_twins_while_the_directory_changes(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/d/a.txt": b"small"}) as pc:
        assert pc.k.list_directory("Z:\\d") == ["a.txt"]
        editor = pc.k.create_file("Z:\\d\\a.txt", c.GENERIC_READ | c.GENERIC_WRITE, 7)

        pc.server.put("/d/A.TXT", b"LARGE")  # another client of the server
        pc.drive.metadata.expire("/d")
        shown = pc.k.list_directory("Z:\\d")
        assert shown[0] == "A.TXT"
        assert shown[1].startswith("a~")
        pc.k.write_file(editor, b"SMALL", 0)
        pc.k.close_handle(editor)
        pc.sent()
        assert pc.on_server() == {"/d/a.txt": b"SMALL", "/d/A.TXT": b"LARGE"}
        # Who knew it by its name, or by its tag, still finds it, and not its twin.
        pc.put("Z:\\d\\a.txt", b"saved again", c.TRUNCATE_EXISTING)
        pc.sent()
        assert pc.on_server() == {"/d/a.txt": b"saved again", "/d/A.TXT": b"LARGE"}
        pc.server.remove("/d/A.TXT")
        pc.drive.metadata.expire("/d")
        assert pc.get(f"Z:\\d\\{shown[1]}") == b"saved again"
        assert pc.get("Z:\\d\\A.TXT") == b"saved again"  # any case: there is one again
        pc.k.delete_file(f"Z:\\d\\{shown[1]}")
        pc.sent()
        assert pc.on_server() == {}


def test_a_listing_goes_on_behind_a_name_that_has_gone(tmp_path: Path) -> None:
    files = {f"/d/{number:04} {'x' * 200}": b"" for number in range(400)}
    with mounted(tmp_path, files=files) as pc:
        search, first = pc.k.find_first_file("Z:\\d\\*")
        seen = [first.name]
        gone = {f"{number:04} {'x' * 200}" for number in range(100, 300)}
        for name in gone:
            pc.drive.filesystem.remove_file(f"/d/{name}")
        following: Any = iter(lambda: pc.k.find_next_file(search).name, None)
        with pytest.raises(Win32Error) as ended:
            seen.extend(following)
        pc.k.find_close(search)

        assert ended.value.winerror == nt.ERROR_NO_MORE_FILES
        assert len(seen) == len(set(seen))
        kept = {name.removeprefix("/d/") for name in files} - gone
        assert kept <= set(seen)


# -- mount points and the volume -------------------------------------------------------------------


def test_a_drive_in_a_directory(tmp_path: Path) -> None:
    place = "C:\\mnt\\phone"
    with mounted(tmp_path, drive=f"{place}\\", files={"/d/a": b"x"}, source="ftp://phone") as pc:
        assert pc.get(f"{place}\\D\\A") == b"x"
        pc.put(f"{place}\\new", b"y")
        pc.sent()
        assert pc.server.get("/new") == b"y"
        assert pc.fake.volume.params.prefix == ""  # Windows lets none lead to a network file system


@pytest.mark.parametrize(
    ("drive", "says"),
    [
        ("C:\\mnt", "Remove it"),
        ("C:\\nowhere\\drive", "does not exist"),
        ("*", "name a drive letter"),
        ("", "name a drive letter"),
        ("C:", "in use"),
    ],
)
def test_places_that_can_not_be_mounted_on(drive: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(MountError, match=says) as raised, mounted(tmp_path, drive=drive):
        pass
    assert raised.value.problem is MountProblem.MOUNT_POINT


@pytest.mark.parametrize("step", ["create_status", "mount_status", "dispatcher_status"])
def test_a_volume_that_is_refused(step: str, tmp_path: Path) -> None:
    settings = Settings(**{step: nt.INSUFFICIENT_RESOURCES})
    with (
        pytest.raises(MountError) as raised,
        mounted(tmp_path, settings=settings),
    ):
        pass
    assert raised.value.problem is MountProblem.REFUSED


def test_two_drives_of_one_server(tmp_path: Path) -> None:
    """Windows knows a share's name once."""
    from pyftpdrive.hosts.host import HostOptions

    with mounted(tmp_path, files={"/a": b"x"}, source="ftp://ann@phone") as pc:
        from pyftpdrive.hosts import winfsp

        second = winfsp.WinFspHost(
            pc.drive.filesystem, HostOptions(drive="y:\\", source="ftp://bob@phone")
        )
        second.start(lambda: None)
        try:
            assert pc.get("Y:\\a") == pc.get("Z:\\a") == b"x"
            assert pc.get("\\\\pyftpdrive\\phone\\a") == b"x"
            assert pc.get("\\\\pyftpdrive\\Y_phone\\a") == b"x"
        finally:
            second.stop()
        assert pc.get("Z:\\a") == b"x"


@pytest.mark.parametrize(
    ("label", "shown"),
    [("x" * 40, "x" * 32), ("💾" * 20, "💾" * 16), ("a" + "💾" * 16, "a" + "💾" * 15), ("", "")],
)
def test_label_as_far_as_windows_holds_it(label: str, shown: str, tmp_path: Path) -> None:
    with mounted(tmp_path, label=label) as pc:
        assert pc.k.get_volume_information("Z:\\").label == shown
        pc.k.set_volume_label("Z:\\", "My phone")
        assert pc.k.get_volume_information("Z:\\").label == "My phone"


def test_what_the_login_may_not_change_is_read_only(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/d/a": b"x"}, read_only_server=True) as pc:
        (found,) = [e for e in pc.k.find_files("Z:\\d\\*") if e.name == "a"]
        assert found.info.attributes & c.FILE_ATTRIBUTE_READONLY
        assert pc.k.get_file_attributes("Z:\\d\\a") & c.FILE_ATTRIBUTE_READONLY
        assert not pc.k.get_file_attributes("Z:\\d") & c.FILE_ATTRIBUTE_READONLY
        assert refused(lambda: pc.k.create_file("Z:\\d\\a", c.GENERIC_WRITE, 7)) == nt.ACCESS_DENIED
        pc.k.set_file_attributes("Z:\\d\\a", c.FILE_ATTRIBUTE_NORMAL)  # it stays what it is
        assert refused(lambda: pc.k.create_file("Z:\\d\\a", c.GENERIC_WRITE, 7)) == nt.ACCESS_DENIED


def test_dot_files_are_hidden_when_that_is_wanted(tmp_path: Path) -> None:
    files = {"/.profile": b"", "/.git/a": b"", "/plain": b""}
    for wanted in (True, False):
        with mounted(tmp_path / str(wanted), files=files, hide_dot_files=wanted) as pc:
            hidden = {
                entry.name
                for entry in pc.k.find_files("Z:\\*")
                if entry.info.attributes & c.FILE_ATTRIBUTE_HIDDEN
            }
            assert hidden == ({".profile", ".git"} if wanted else set())


def test_a_directory_that_is_read_only_can_be_filled(tmp_path: Path) -> None:
    """Windows sets that attribute on folders with an icon, and means nothing by it."""
    with mounted(tmp_path) as pc:
        pc.k.create_directory("Z:\\d")
        pc.k.set_file_attributes("Z:\\d", c.FILE_ATTRIBUTE_READONLY | c.FILE_ATTRIBUTE_SYSTEM)
        pc.put("Z:\\d\\desktop.ini", b"[.ShellClassInfo]")
        pc.sent()
        assert pc.server.get("/d/desktop.ini")
        found = pc.k.get_file_attributes("Z:\\d")
        assert found == c.FILE_ATTRIBUTE_DIRECTORY | c.FILE_ATTRIBUTE_SYSTEM


# -- full disks -----------------------------------------------------------------------------------


def test_a_full_local_disk_is_told_by_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyftpdrive.spool.staging import StagedFile

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with mounted(tmp_path) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_WRITE, 0, c.CREATE_NEW)
        pc.k.write_file(handle, b"fits")
        with monkeypatch.context() as patch:
            patch.setattr(StagedFile, "write", full)
            assert refused(lambda: pc.k.write_file(handle, b"does not")) == nt.DISK_FULL
        pc.k.close_handle(handle)
        pc.sent()
        assert pc.server.get("/a") == b"fits"


def test_a_full_server_is_shown_by_status(tmp_path: Path) -> None:
    """CloseHandle can't tell it, and loses nothing."""
    full = Fault(on="STOR", path="*.part", nth=0, fault="reply", code=552, text="Disk full")
    with mounted(tmp_path, faults=[full]) as pc:
        pc.put("Z:\\a", b"bytes")
        uploads = pc.drive.filesystem.uploads
        assert until(lambda: bool(uploads()["failing"]), within_s=20)
        assert "Disk full" in uploads()["failing"][0]["reason"]
        assert pc.get("Z:\\a") == b"bytes"
        pc.server.clear_faults()
        handle = pc.k.create_file("Z:\\a", c.GENERIC_WRITE, 7)
        pc.k.flush_file_buffers(handle)
        pc.k.close_handle(handle)
        pc.sent()
        assert pc.server.get("/a") == b"bytes"


@pytest.mark.logs("was not deleted")
def test_a_deletion_that_the_server_refuses_after_all_is_logged(tmp_path: Path) -> None:
    refusing = Fault(on="DELE", path="/a", nth=0, fault="reply", code=550, text="No")
    with mounted(tmp_path, files={"/a": b"x"}, faults=[refusing]) as pc:
        pc.k.delete_file("Z:\\a")
        pc.fake.settle()
        assert pc.server.tree() == {"/a": b"x"}
        assert pc.get("Z:\\a") == b"x"


# -- what the driver of the fake never asks --------------------------------------------------------


def test_paging_writes_nothing_beyond_the_end(tmp_path: Path) -> None:
    """The memory manager writes whole pages; the file ends where it ended."""
    with mounted(tmp_path, files={"/a": b"x" * 100}) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ | c.GENERIC_WRITE, 7)
        (opened,) = pc.operations.files_open()
        assert pc.operations.write(opened, b"y" * 50, 80, False, True) == 20
        assert pc.operations.write(opened, b"y" * 50, 100, False, True) == 0
        pc.k.close_handle(handle)
        pc.sent()
        assert pc.server.get("/a") == b"x" * 80 + b"y" * 20


def test_flushing_the_whole_volume_is_no_error(tmp_path: Path) -> None:
    with mounted(tmp_path) as pc:
        from pyftpdrive.hosts.winfsp_library import ffi

        info = ffi.new("FSP_FSCTL_FILE_INFO *")
        assert pc.operations.ll_flush(ffi.NULL, info) == nt.SUCCESS


def test_a_name_that_goes_while_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path, files={"/d/a": b"x", "/d/b": b""}) as pc:
        pc.k.list_directory("Z:\\d")
        child = pc.operations._names.child

        def then_gone(directory: Any, name: str) -> Any:
            found = child(directory, name)
            pc.drive.filesystem.remove_file("/d/a")
            return found

        monkeypatch.setattr(pc.operations._names, "child", then_gone)
        folder = pc.operations.open("\\d", 0, 1)
        with pytest.raises(Exception, match=r"NOT_FOUND|c0000034|3221225524"):
            pc.operations.get_dir_info_by_name(folder, "A")
        pc.operations.close(folder)


def test_a_larger_allocation_is_no_larger_file(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a": b"x" * 100}) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ | c.GENERIC_WRITE, 7)
        pc.k.set_allocation(handle, 1 << 20)
        assert pc.k.get_file_size(handle) == 100
        pc.k.set_allocation(handle, 0)
        assert pc.k.get_file_size(handle) == 0
        pc.k.close_handle(handle)
        pc.sent()
        assert pc.server.get("/a") == b""


def test_a_listing_that_is_begun_again_is_a_new_one(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/d/a": b""}) as pc:
        folder = pc.operations.open("\\d", 0, 1)
        for names in (["a"], ["a", "b"]):
            found = [line["file_name"] for line in pc.operations.read_directory(folder, None)]
            assert found == [".", "..", *names]
            pc.put("Z:\\d\\b", b"")
        pc.operations.close(folder)
        assert "." not in [entry.name for entry in pc.k.find_files("Z:\\*")]


def test_attributes_go_with_their_file(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a": b""}) as pc:
        pc.k.set_file_attributes("Z:\\a", c.FILE_ATTRIBUTE_HIDDEN)
        pc.k.delete_file("Z:\\a")
        pc.fake.settle()
        pc.server.put("/a", b"another client's")
        pc.drive.metadata.expire("/")
        assert pc.k.get_file_attributes("Z:\\a") == c.FILE_ATTRIBUTE_ARCHIVE


def test_what_was_written_is_on_its_way_when_close_handle_returns(tmp_path: Path) -> None:
    """Close comes later, and may come much later: a mapped file, a virus scanner."""
    close = threading.Event()
    with mounted(tmp_path) as pc:
        pc.fake.calls.before("Close", lambda _: close.wait(20))
        pc.write("Z:\\a", b"bytes", c.CREATE_NEW)
        try:
            assert until(lambda: pc.server.exists("/a"), within_s=20)
            assert pc.drive.filesystem.open_files() == []
        finally:
            close.set()
        pc.sent()
        assert pc.on_server() == {"/a": b"bytes"}


def test_what_is_open_below_follows_its_directory(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/old/sub/a": b"x", "/older": b""}) as pc:
        operations = pc.operations
        opened = [operations.open(name, 0, 1) for name in ("\\old\\sub\\a", "\\older", "\\old")]
        operations.rename(opened[2], "\\OLD", "\\New", False)

        assert [one.path for one in opened] == ["/New/sub/a", "/older", "/New"]
        assert operations.read(opened[0], 0, 10) == b"x"
        for one in opened:
            operations.close(one)
