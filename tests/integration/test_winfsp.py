"""The WinFsp adapter above the fake WinFsp: what scenarios don't say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.errors import MountError, MountProblem
from pyftpdrive.base.paths import RemotePath
from pyftpdrive.ftp.ftp_client import FtpClient
from simulators.fake_winfsp import Settings, Win32Error
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.ftp_server import Fault
from tests.helpers.winfsp_drive import in_thread, mounted

pytestmark = pytest.mark.usefixtures("winfspy")


def status_of(error: pytest.ExceptionInfo[Win32Error]) -> int | None:
    return error.value.ntstatus


# -- names ----------------------------------------------------------------------------------------


def test_names_that_windows_can_not_hold_are_shown_otherwise_and_reached(tmp_path: Path) -> None:
    files = {"/a:b?.txt": b"1", "/con": b"2", "/dot.": b"3", "/x\\y": b"4"}
    with mounted(tmp_path, files=files) as pc:
        names = pc.k.list_directory("Z:\\")

        assert sorted(names) == sorted(["a\uf03ab\uf03f.txt", "\uf000con", "dot\uf02e", "x\uf05cy"])
        assert {pc.get(f"Z:\\{name}") for name in names} == set(files.values())
        pc.put("Z:\\new\uf03a", b"5")
        pc.sent()
        assert pc.server.get("/new:") == b"5"


def test_case_does_not_matter_and_is_kept(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/Dir/ReadMe.txt": b"text"}) as pc:
        assert pc.get("Z:\\DIR\\readme.TXT") == b"text"
        assert pc.k.list_directory("Z:\\dir")[-1] == "ReadMe.txt"

        pc.k.move_file_ex("Z:\\dir\\README.TXT", "Z:\\DIR\\readme.txt", c.MOVEFILE_REPLACE_EXISTING)
        assert "readme.txt" in pc.k.list_directory("Z:\\Dir")
        assert pc.server.get("/Dir/readme.txt") == b"text"


def test_case_twins_are_both_reachable(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a.txt": b"small", "/A.TXT": b"LARGE"}) as pc:
        names = pc.k.list_directory("Z:\\")

        assert len({name.upper() for name in names}) == 2
        assert {pc.get(f"Z:\\{name}") for name in names} == {b"small", b"LARGE"}


@pytest.mark.parametrize("name", ["a\ud800", "x" * 256])
def test_names_that_can_not_be_are_refused(name: str, tmp_path: Path) -> None:
    with mounted(tmp_path) as pc, pytest.raises(Win32Error):
        pc.put(f"Z:\\{name}", b"")


def test_a_large_directory_is_listed_whole_with_markers(tmp_path: Path) -> None:
    files = {f"/d/{number:05} a name that fills the buffer.txt": b"" for number in range(1503)}
    with mounted(tmp_path, files=files) as pc:
        names = [name for name in pc.k.list_directory("Z:\\d") if name not in (".", "..")]

        assert len(names) == len(set(names)) == 1503
        assert len(pc.fake.calls.of("ReadDirectory")) > 1


def test_opening_what_was_listed_asks_the_server_nothing(tmp_path: Path) -> None:
    files = {f"/d/{number}.txt": b"x" for number in range(1000)}
    with mounted(tmp_path, files=files) as pc:
        pc.k.list_directory("Z:\\d")
        before = len(pc.server.ledger.entries())
        for number in range(1000):
            handle = pc.k.create_file(f"Z:\\d\\{number}.txt", c.GENERIC_READ, c.FILE_SHARE_ALL)
            pc.k.close_handle(handle)

        assert len(pc.server.ledger.entries()) == before


# -- saving ---------------------------------------------------------------------------------------


def test_office_saves_by_replace_file(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/plan.docx": b"version 1"}) as pc:
        pc.put("Z:\\~$plan.docx", b"owner", c.CREATE_NEW)
        pc.put("Z:\\abc123.tmp", b"version 2, longer", c.CREATE_NEW)
        pc.k.replace_file("Z:\\plan.docx", "Z:\\abc123.tmp", "Z:\\plan~RF1.TMP")
        pc.k.delete_file("Z:\\plan~RF1.TMP")
        pc.k.delete_file("Z:\\~$plan.docx")
        pc.sent()

        assert pc.server.tree() == {"/plan.docx": b"version 2, longer"}


def test_notepad_saves_in_place_and_vs_code_truncates(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a.txt": b"a longer text than before"}) as pc:
        handle = pc.k.create_file("Z:\\a.txt", c.GENERIC_WRITE, c.FILE_SHARE_READ)
        pc.k.write_file(handle, b"shorter")
        pc.k.set_end_of_file(handle)
        pc.k.close_handle(handle)
        pc.sent()
        assert pc.server.get("/a.txt") == b"shorter"

        pc.put("Z:\\a.txt", b"vs code", c.TRUNCATE_EXISTING)
        pc.sent()
        assert pc.server.get("/a.txt") == b"vs code"


def test_explorer_copies_by_setting_the_end_first(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    with mounted(tmp_path) as pc:
        pc.k.explorer_copy(data, "Z:\\copy.bin")
        pc.sent()

        assert pc.server.get("/copy.bin") == data


def test_delete_on_close(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a": b"x"}) as pc:
        flags = c.FILE_FLAG_DELETE_ON_CLOSE
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ, c.FILE_SHARE_ALL, flags=flags)
        assert pc.server.tree() == {"/a": b"x"}
        pc.k.close_handle(handle)
        pc.fake.settle()

        assert pc.server.tree() == {}


def test_flush_tells_that_the_server_is_full(tmp_path: Path) -> None:
    full = Fault(on="STOR", path="*.part", nth=0, fault="reply", code=552, text="Disk full")
    with mounted(tmp_path, faults=[full]) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_WRITE, 0, c.CREATE_NEW)
        pc.k.write_file(handle, b"bytes")
        with pytest.raises(Win32Error) as raised:
            pc.k.flush_file_buffers(handle)
        pc.k.close_handle(handle)

        assert status_of(raised) == nt.DISK_FULL
        pc.server.clear_faults()
        pc.sent()
        assert pc.server.get("/a") == b"bytes"


# -- the volume -----------------------------------------------------------------------------------


def test_volume_says_what_it_is(tmp_path: Path) -> None:
    with mounted(tmp_path, label="My phone", source="ftp://ann@phone:2121") as pc:
        volume = pc.k.get_volume_information("Z:\\")

        assert volume.label == "My phone"
        assert pc.fake.volume.params.prefix == "\\pyftpdrive\\phone_2121"


def test_read_only_drive_refuses_writing(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a": b"x"}, read_only=True) as pc:
        for attempt in (
            lambda: pc.put("Z:\\new", b""),
            lambda: pc.k.delete_file("Z:\\a"),
            lambda: pc.k.create_directory("Z:\\d"),
        ):
            with pytest.raises(Win32Error) as raised:
                attempt()
            assert status_of(raised) in (nt.MEDIA_WRITE_PROTECTED, nt.ACCESS_DENIED)
        assert pc.get("Z:\\a") == b"x"


def test_letter_that_is_taken(tmp_path: Path) -> None:
    taken = Settings(letters_taken=frozenset("CZ"))
    with pytest.raises(MountError) as raised, mounted(tmp_path, settings=taken):
        pass

    assert raised.value.problem is MountProblem.MOUNT_POINT
    assert "--drive" in str(raised.value)


def test_a_drive_that_was_mounted_answers(tmp_path: Path) -> None:
    rejecting = Settings(start_rejections=5)
    with mounted(tmp_path, settings=rejecting, files={"/a": b"x"}) as pc:
        assert pc.k.list_directory("Z:\\") == ["a"]


def test_winfsp_that_is_too_old(tmp_path: Path) -> None:
    old = Settings(winfsp_version=(1, 10))
    with (
        pytest.raises(MountError, match=r"https://winfsp\.dev") as raised,
        mounted(tmp_path, settings=old),
    ):
        pass

    assert raised.value.problem is MountProblem.HOST_MISSING


def test_stop_with_open_handles_keeps_what_was_written(tmp_path: Path) -> None:
    with mounted(tmp_path) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_WRITE, 0, c.CREATE_NEW)
        pc.k.write_file(handle, b"not closed")

        assert pc.host.stop()
        assert pc.drive.drain(20) == []
        assert pc.server.get("/a") == b"not closed"


STOP_S = 15.0  # an fsync by itself waits for 30 s


def test_stop_does_not_wait_for_a_server_that_is_silent(tmp_path: Path) -> None:
    """Callbacks of every kind wait for it: they end, nobody's bytes are lost."""
    with mounted(tmp_path, files={"/old": b"x" * 1000, "/d/a": b""}) as pc:
        saved = pc.k.create_file("Z:\\saved", c.GENERIC_WRITE, 0, c.CREATE_NEW)
        pc.k.write_file(saved, b"bytes of a program")
        old = pc.k.create_file("Z:\\old", c.GENERIC_READ, c.FILE_SHARE_ALL)
        pc.server.freeze()
        told = [
            in_thread(lambda: pc.k.flush_file_buffers(saved)),
            in_thread(lambda: pc.k.read_file(old, 100)),
            in_thread(lambda: pc.k.list_directory("Z:\\d")),
            in_thread(lambda: pc.k.create_directory("Z:\\new")),
        ]
        for op in ("Flush", "Read"):
            pc.fake.calls.wait_until_running(op)

        calls = pc.fake.calls
        stopped = in_thread(pc.host.stop)

        assert stopped.result(STOP_S) is True
        for one in told:
            with pytest.raises(Win32Error):
                one.result(STOP_S)
        assert calls.running() == []
        pc.server.thaw()
        assert pc.drive.drain(20) == []
        assert pc.server.get("/saved") == b"bytes of a program"
        filesystem = pc.drive.filesystem  # who asks after that waits for an answer again
        filesystem.make_directory("/later")
        assert filesystem.read(filesystem.open("/old"), 0, 10) == b"x" * 10


def test_stop_lets_a_flush_under_way_succeed(tmp_path: Path) -> None:
    """A server that answers is waited for: the program's save is on it."""
    slow = Fault(on="STOR", nth=1, fault="delay", seconds=0.3)
    with mounted(tmp_path, faults=[slow]) as pc:
        saved = pc.k.create_file("Z:\\saved", c.GENERIC_WRITE, 0, c.CREATE_NEW)
        pc.k.write_file(saved, b"bytes")
        flushed = in_thread(lambda: pc.k.flush_file_buffers(saved))
        calls = pc.fake.calls
        calls.wait_until_running("Flush")

        in_thread(pc.host.stop).result(STOP_S)

        with pytest.raises(Win32Error):  # the driver cancels what is under way ...
            flushed.result(STOP_S)
        (call,) = calls.of("Flush")
        assert call.status == nt.SUCCESS  # ... though it was done
        assert pc.server.get("/saved") == b"bytes"


@pytest.mark.parametrize("slow_call", ["list", "look", "create"])
def test_a_slow_answer_on_one_path_delays_no_other(
    slow_call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that waits for its answer holds up nobody: neither WinFsp nor the adapter locks."""
    asked, answer = threading.Event(), threading.Event()
    list_dir = FtpClient.list_dir

    def slowly(client: FtpClient, path: RemotePath) -> Any:
        if path == "/slow":
            asked.set()
            answer.wait(20)
        return list_dir(client, path)

    with mounted(tmp_path, files={"/slow/a": b"", "/quick/b": b"b"}) as pc:
        pc.k.list_directory("Z:\\quick")
        monkeypatch.setattr(FtpClient, "list_dir", slowly)
        calls: dict[str, Callable[[], Any]] = {
            "list": lambda: pc.k.list_directory("Z:\\slow"),
            "look": lambda: pc.get("Z:\\slow\\a"),
            "create": lambda: pc.put("Z:\\slow\\new", b""),
        }
        waiting = in_thread(calls[slow_call])
        try:
            assert asked.wait(20)
            assert pc.get("Z:\\quick\\b") == b"b"
            pc.write("Z:\\quick\\c", b"c")
            if slow_call == "list":  # in the driver a rename and an open wait for each other
                pc.k.move_file_ex("Z:\\quick\\c", "Z:\\quick\\d")
                pc.k.move_file_ex("Z:\\quick\\d", "Z:\\quick\\c")
            assert sorted(pc.k.list_directory("Z:\\quick"))[-2:] == ["b", "c"]
            pc.k.delete_file("Z:\\quick\\c")
            assert not waiting.done()
        finally:
            answer.set()
        with suppress(Win32Error):  # IO_TIMEOUT where this machine was slow
            waiting.result(20)


@pytest.mark.logs("a file system call failed unexpectedly")
def test_an_exception_is_one_status_and_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with mounted(tmp_path, files={"/a": b"x"}) as pc:
        handle = pc.k.create_file("Z:\\a", c.GENERIC_READ, c.FILE_SHARE_ALL)
        with monkeypatch.context() as patch:
            patch.setattr(pc.drive.filesystem, "read", lambda *_: 1 // 0)
            with pytest.raises(Win32Error) as raised:
                pc.k.read_file(handle, 10)
        pc.k.close_handle(handle)

        assert status_of(raised) == nt.UNEXPECTED_IO_ERROR
        assert len([r for r in caplog.records if "unexpectedly" in r.message]) == 1
        assert pc.get("Z:\\a") == b"x"
