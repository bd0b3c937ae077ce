"""The WinFsp adapter above the fake WinFsp: what scenarios don't say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.errors import MountError, MountProblem
from pyftpdrive.drive import Drive
from pyftpdrive.hosts.host import HostOptions
from simulators.fake_winfsp import FakeWindows, Settings, Win32Error
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_drive
from tests.helpers.mounts import until

pytestmark = pytest.mark.usefixtures("winfspy")


@dataclass
class Windows:
    """A drive Z: and what is around it."""

    server: FtpSimulator
    drive: Drive
    fake: FakeWindows
    host: Any

    @property
    def k(self) -> Any:
        return self.fake.kernel32

    def put(self, path: str, data: bytes, disposition: int = c.CREATE_ALWAYS) -> None:
        handle = self.k.create_file(path, c.GENERIC_WRITE, c.FILE_SHARE_ALL, disposition)
        self.k.write_file(handle, data)
        self.k.close_handle(handle)
        self.fake.settle()

    def get(self, path: str) -> bytes:
        handle = self.k.create_file(path, c.GENERIC_READ, c.FILE_SHARE_ALL)
        try:
            return self.k.read_file(handle, 1 << 24)
        finally:
            self.k.close_handle(handle)

    def sent(self) -> None:
        self.fake.settle()
        assert self.drive.drain(20) == []


@contextmanager
def mounted(
    tmp_path: Path,
    *,
    settings: Settings | None = None,
    files: dict[str, bytes] | None = None,
    faults: list[Fault] | None = None,
    profile: str = "proftpd",
    drive: str = "Z:",
    **options: Any,
) -> Iterator[Windows]:
    with FtpSimulator(profile, faults=faults or []) as server:
        for path, data in (files or {}).items():
            server.put(path, data)
        with started_drive(server, tmp_path) as core, FakeWindows(settings) as fake:
            from pyftpdrive.hosts import winfsp

            host = winfsp.WinFspHost(core.filesystem, HostOptions(drive=drive, **options))
            host.start(lambda: None)
            try:
                yield Windows(server, core, fake, host)
            finally:
                host.stop()


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
    files = {f"/d/{number}.txt": b"x" for number in range(300)}
    with mounted(tmp_path, files=files) as pc:
        pc.k.list_directory("Z:\\d")
        before = len(pc.server.ledger.entries())
        for number in range(300):
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


def test_a_slow_answer_on_one_path_delays_no_other(tmp_path: Path) -> None:
    slow = Fault(on="CWD", path="/slow", nth=1, fault="delay", seconds=2.0)
    with mounted(tmp_path, files={"/slow/a": b"", "/quick/b": b"b"}, faults=[slow]) as pc:
        pc.k.list_directory("Z:\\quick")
        over = threading.Event()

        def look() -> None:
            pc.k.list_directory("Z:\\slow")
            over.set()

        thread = threading.Thread(target=look)
        thread.start()
        assert until(lambda: pc.server.ledger.count("CWD") >= 3, within_s=10)
        assert pc.get("Z:\\quick\\b") == b"b"
        pc.put("Z:\\quick\\c", b"c")
        assert not over.is_set()
        thread.join(20)


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
