"""How Windows programs save, call by call: each ends with the right bytes on the server.

The calls are those that Process Monitor shows of the programs, as far as they reach a file system.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.fake_winfsp import Win32Error
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.constants import Disposition
from tests.helpers.winfsp_drive import EPOCH_1601_100NS, Windows, mounted

pytestmark = pytest.mark.usefixtures("winfspy")

READ_WRITE = c.GENERIC_READ | c.GENERIC_WRITE
SERVERS = pytest.mark.parametrize("profile", ["proftpd", "mina"])
T2024 = 1_714_521_600  # seconds
FILETIME_2024 = T2024 * 10_000_000 + EPOCH_1601_100NS
FILETIME_2020 = FILETIME_2024 - 4 * 365 * 86_400 * 10_000_000


def nothing_is_open(pc: Windows) -> None:
    """No context outlives its handle, here or in winfspy."""
    pc.fake.settle()
    assert pc.operations.files_open() == []
    assert not pc.operations._opened_objs
    assert pc.drive.filesystem.open_files() == []
    assert pc.fake.volume.abandoned == []


# -- editors --------------------------------------------------------------------------------------


@SERVERS
def test_vs_code(profile: str, tmp_path: Path) -> None:
    """It truncates the open file, writes, flushes; the file keeps its identity."""
    with mounted(tmp_path, files={"/app.ts": b"const a = 1;\n" * 50}, profile=profile) as pc:
        for text in (b"const a = 2;\n", b"", b"const a = 3; // longer\n" * 9):
            handle = pc.k.create_file("Z:\\app.ts", READ_WRITE, c.FILE_SHARE_ALL)
            pc.k.set_end_of_file(handle, 0)
            if text:
                pc.k.write_file(handle, text, 0)
            pc.k.flush_file_buffers(handle)
            assert pc.server.get("/app.ts") == text
            pc.k.close_handle(handle)
        pc.sent()

        assert pc.on_server() == {"/app.ts": text}
        nothing_is_open(pc)


@SERVERS
def test_notepad(profile: str, tmp_path: Path) -> None:
    """It writes over the old text and cuts the rest off."""
    with mounted(tmp_path, files={"/a.txt": b"a longer text than before"}, profile=profile) as pc:
        for text in (b"shorter", b"longer than it was at any time"):
            handle = pc.k.create_file(
                "Z:\\a.txt", c.GENERIC_WRITE, c.FILE_SHARE_READ, c.OPEN_ALWAYS
            )
            pc.k.write_file(handle, text)
            pc.k.set_end_of_file(handle)
            pc.k.close_handle(handle)
            pc.sent()
            assert pc.on_server() == {"/a.txt": text}
        nothing_is_open(pc)


@SERVERS
@pytest.mark.parametrize("backup", ["Z:\\5E6F7A8B.tmp", None])
def test_office(backup: str | None, profile: str, tmp_path: Path) -> None:
    """An owner file for as long as it is open; a temporary file takes the document's place."""
    with mounted(tmp_path, files={"/plan.docx": b"version 1"}, profile=profile) as pc:
        owner = pc.k.create_file(
            "Z:\\~$plan.docx",
            READ_WRITE | c.DELETE,
            c.FILE_SHARE_READ,
            c.CREATE_NEW,
            c.FILE_ATTRIBUTE_HIDDEN | c.FILE_FLAG_DELETE_ON_CLOSE,
        )
        pc.k.write_file(owner, b"\x04user" + bytes(160))
        for version in (b"version 2, longer", b"v3"):
            pc.put("Z:\\1A2B3C4D.tmp", version, c.CREATE_NEW)
            pc.k.replace_file("Z:\\plan.docx", "Z:\\1A2B3C4D.tmp", backup)
            pc.fake.settle()
            if backup is not None:
                pc.k.delete_file(backup)
            pc.fake.settle()
            assert pc.get("Z:\\plan.docx") == version
        assert pc.k.get_file_attributes("Z:\\~$plan.docx") & c.FILE_ATTRIBUTE_HIDDEN
        pc.k.close_handle(owner)
        pc.sent()

        assert pc.on_server() == {"/plan.docx": version}
        assert pc.k.list_directory("Z:\\") == ["plan.docx"]
        nothing_is_open(pc)


def test_a_document_open_in_word_can_not_be_replaced(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/plan.docx": b"version 1"}) as pc:
        word = pc.k.create_file("Z:\\plan.docx", READ_WRITE, c.FILE_SHARE_READ)
        pc.put("Z:\\other.tmp", b"of another program", c.CREATE_NEW)
        for attempt in (
            lambda: pc.k.replace_file("Z:\\plan.docx", "Z:\\other.tmp"),
            lambda: pc.k.move_file_ex(
                "Z:\\other.tmp", "Z:\\plan.docx", c.MOVEFILE_REPLACE_EXISTING
            ),
            lambda: pc.k.delete_file("Z:\\plan.docx"),
            lambda: pc.k.create_file("Z:\\plan.docx", c.GENERIC_WRITE, c.FILE_SHARE_ALL),
        ):
            with pytest.raises(Win32Error) as raised:
                attempt()
            assert raised.value.ntstatus in (nt.SHARING_VIOLATION, nt.ACCESS_DENIED)
        pc.k.write_file(word, b"version 2")
        pc.k.close_handle(word)
        pc.sent()

        assert pc.on_server() == {"/plan.docx": b"version 2", "/other.tmp": b"of another program"}
        nothing_is_open(pc)


# -- copies ---------------------------------------------------------------------------------------


@SERVERS
def test_explorer_copies_a_file_into_the_drive(profile: str, tmp_path: Path) -> None:
    """The end is set first, then it is filled; the time comes last, and is the source's."""
    data = bytes(range(256)) * 5000
    with mounted(tmp_path, profile=profile) as pc:
        pc.k.explorer_copy(data, "Z:\\copy.bin", last_write=FILETIME_2024)
        pc.sent()

        assert pc.on_server() == {"/copy.bin": data}
        assert pc.k.get_file_attributes_ex("Z:\\copy.bin").last_write_time == FILETIME_2024
        if profile == "proftpd":  # it can set times
            assert pc.server.stat("/copy.bin").modified_ns == T2024 * 10**9

        pc.k.explorer_copy(b"small", "Z:\\copy.bin", last_write=FILETIME_2020, overwrite=True)
        pc.sent()
        assert pc.on_server() == {"/copy.bin": b"small"}
        nothing_is_open(pc)


def test_a_copy_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path) as pc:
        made = pc.k.create_file(
            "Z:\\film.mkv", READ_WRITE | c.DELETE, 0, c.CREATE_ALWAYS, c.FILE_ATTRIBUTE_ARCHIVE
        )
        pc.k.set_end_of_file(made, 10 << 20)
        pc.k.write_file(made, bytes(1 << 20), 0)
        pc.k.set_delete(made)
        pc.k.close_handle(made)
        pc.sent()

        assert pc.on_server() == {}
        assert pc.k.list_directory("Z:\\") == []
        nothing_is_open(pc)


def test_explorer_copies_a_file_within_the_drive(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8000
    with mounted(tmp_path, files={"/a.bin": data, "/d/x": b""}) as pc:
        pc.k.copy_file("Z:\\a.bin", "Z:\\d\\b.bin")
        pc.sent()

        assert pc.server.get("/d/b.bin") == data
        nothing_is_open(pc)


@SERVERS
def test_robocopy(profile: str, tmp_path: Path) -> None:
    """Size, bytes, then times and attributes together, of files and of the directory."""
    data = bytes(range(256)) * 2000
    with mounted(tmp_path, profile=profile) as pc:
        pc.k.create_directory("Z:\\to")
        for _run in range(2):  # the second one overwrites what is hidden, as /IS does
            if pc.k.exists("Z:\\to\\a.bin"):
                pc.k.set_file_attributes("Z:\\to\\a.bin", c.FILE_ATTRIBUTE_NORMAL)
            made = pc.k.create_file(
                "Z:\\to\\a.bin", READ_WRITE | c.DELETE, c.FILE_SHARE_READ, c.CREATE_ALWAYS
            )
            pc.k.set_end_of_file(made, len(data))
            for begin in range(0, len(data), 1 << 16):
                pc.k.write_file(made, data[begin : begin + (1 << 16)], begin)
            times = (FILETIME_2020, FILETIME_2024, FILETIME_2024, 0)
            pc.k.set_basic_info(made, c.FILE_ATTRIBUTE_HIDDEN | c.FILE_ATTRIBUTE_ARCHIVE, times)
            pc.k.close_handle(made)
            pc.fake.settle()
        folder = pc.k.create_file(
            "Z:\\to", c.FILE_WRITE_ATTRIBUTES, 7, flags=c.FILE_FLAG_BACKUP_SEMANTICS
        )
        pc.k.set_file_time(folder, last_write=FILETIME_2024)
        pc.k.close_handle(folder)
        pc.sent()

        assert pc.on_server() == {"/to/a.bin": data}
        found = pc.k.get_file_attributes_ex("Z:\\to\\a.bin")
        assert (found.creation_time, found.last_write_time) == (FILETIME_2020, FILETIME_2024)
        assert found.attributes == c.FILE_ATTRIBUTE_HIDDEN | c.FILE_ATTRIBUTE_ARCHIVE
        assert pc.k.get_file_attributes_ex("Z:\\to").last_write_time == FILETIME_2024
        nothing_is_open(pc)


def test_robocopy_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """/Z: the file has its full size from the start; a second run writes the rest of it."""
    data = bytes(range(256)) * 4000
    half = len(data) // 2
    with mounted(tmp_path) as pc:
        made = pc.k.create_file("Z:\\a.bin", READ_WRITE, c.FILE_SHARE_READ, c.CREATE_ALWAYS)
        pc.k.set_end_of_file(made, len(data))
        pc.k.write_file(made, data[:half], 0)
        pc.k.close_handle(made)
        pc.sent()
        assert pc.server.get("/a.bin") == data[:half] + bytes(len(data) - half)

        again = pc.k.create_file("Z:\\a.bin", READ_WRITE, c.FILE_SHARE_READ, c.OPEN_EXISTING)
        assert pc.k.get_file_size(again) == len(data)
        pc.k.write_file(again, data[half:], half)
        pc.k.set_file_time(again, last_write=FILETIME_2024)
        pc.k.close_handle(again)
        pc.sent()

        assert pc.on_server() == {"/a.bin": data}
        nothing_is_open(pc)


# -- git ------------------------------------------------------------------------------------------


@SERVERS
def test_git(profile: str, tmp_path: Path) -> None:
    """config.lock over config; objects that are read-only from their birth, and deleted by gc."""
    files = {"/.git/config": b"[core]\n", "/.git/objects/ab/old": b"blob"}
    with mounted(tmp_path, files=files, profile=profile, hide_dot_files=True) as pc:
        for number in range(3):
            pc.put("Z:\\.git\\config.lock", b"[core]\n\ta = %d\n" % number, c.CREATE_NEW)
            with pytest.raises(Win32Error):  # another git
                pc.k.create_file("Z:\\.git\\config.lock", c.GENERIC_WRITE, 7, c.CREATE_NEW)
            pc.k.move_file_ex(
                "Z:\\.git\\config.lock", "Z:\\.git\\config", c.MOVEFILE_REPLACE_EXISTING
            )
        temporary = "Z:\\.git\\objects\\ab\\tmp_obj_X1"
        made = pc.k.create_file(
            temporary, READ_WRITE, c.FILE_SHARE_ALL, c.CREATE_NEW, c.FILE_ATTRIBUTE_READONLY
        )
        pc.k.write_file(made, b"zlib of a blob")
        pc.k.close_handle(made)
        pc.k.move_file_ex(temporary, "Z:\\.git\\objects\\ab\\cdef")
        pc.sent()

        tree = {
            "/.git/config": b"[core]\n\ta = 2\n",
            "/.git/objects/ab/old": b"blob",
            "/.git/objects/ab/cdef": b"zlib of a blob",
        }
        assert pc.on_server() == tree
        assert pc.k.get_file_attributes("Z:\\.git") & c.FILE_ATTRIBUTE_HIDDEN
        for attempt in (
            lambda: pc.k.delete_file("Z:\\.git\\objects\\ab\\cdef"),
            lambda: pc.k.create_file("Z:\\.git\\objects\\ab\\cdef", c.GENERIC_WRITE, 7),
        ):
            with pytest.raises(Win32Error) as raised:
                attempt()
            assert raised.value.winerror == nt.ERROR_ACCESS_DENIED
        for name in ("cdef", "old"):
            pc.k.set_file_attributes(f"Z:\\.git\\objects\\ab\\{name}", c.FILE_ATTRIBUTE_NORMAL)
            pc.k.delete_file(f"Z:\\.git\\objects\\ab\\{name}")
        pc.k.remove_directory("Z:\\.git\\objects\\ab")
        pc.sent()
        assert pc.on_server() == {"/.git/config": b"[core]\n\ta = 2\n"}
        nothing_is_open(pc)


# -- what only the kernel's interface says --------------------------------------------------------


@pytest.mark.parametrize(
    "how", [Disposition.SUPERSEDE, Disposition.OVERWRITE_IF, Disposition.OVERWRITE]
)
def test_a_file_is_begun_anew(how: Disposition, tmp_path: Path) -> None:
    """The old bytes are not fetched; attributes are replaced by superseding alone."""
    with mounted(tmp_path, files={"/a": b"the version before"}) as pc:
        pc.k.set_file_attributes("Z:\\a", c.FILE_ATTRIBUTE_HIDDEN)
        handle = pc.k.nt_create("Z:\\a", READ_WRITE | c.DELETE, how)
        assert pc.k.get_file_size(handle) == 0
        pc.k.write_file(handle, b"new", 2)
        pc.k.close_handle(handle)
        pc.sent()

        assert pc.on_server() == {"/a": b"\0\0new"}
        assert pc.server.ledger.count("RETR") == 0
        hidden = bool(pc.k.get_file_attributes("Z:\\a") & c.FILE_ATTRIBUTE_HIDDEN)
        assert hidden == (how is not Disposition.SUPERSEDE)
        nothing_is_open(pc)


@pytest.mark.parametrize("how", [Disposition.SUPERSEDE, Disposition.OVERWRITE_IF])
def test_a_file_that_is_not_there_is_made(how: Disposition, tmp_path: Path) -> None:
    with mounted(tmp_path) as pc:
        handle = pc.k.nt_create("Z:\\a", READ_WRITE | c.DELETE, how)
        pc.k.write_file(handle, b"new")
        pc.k.close_handle(handle)
        pc.sent()

        assert pc.on_server() == {"/a": b"new"}


def test_share_modes_are_kept_and_a_refused_open_leaves_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a": b"x"}) as pc:
        held = pc.k.create_file("Z:\\a", c.GENERIC_READ, c.FILE_SHARE_READ)
        second = pc.k.create_file("Z:\\a", c.GENERIC_READ, c.FILE_SHARE_ALL)
        pc.k.close_handle(second)
        for access, share in ((c.GENERIC_WRITE, c.FILE_SHARE_ALL), (c.GENERIC_READ, 0)):
            with pytest.raises(Win32Error) as raised:
                pc.k.create_file("Z:\\a", access, share)
            assert raised.value.ntstatus == nt.SHARING_VIOLATION
        pc.fake.settle()
        assert len(pc.operations.files_open()) == 1
        pc.k.close_handle(held)
        nothing_is_open(pc)


def test_a_file_deleted_while_another_reads_it_goes_at_the_last_close(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/a": b"still read"}) as pc:
        reader = pc.k.create_file("Z:\\a", c.GENERIC_READ, c.FILE_SHARE_ALL)
        pc.k.delete_file("Z:\\a")
        assert pc.k.read_file(reader, 100) == b"still read"
        assert pc.on_server() == {"/a": b"still read"}
        with pytest.raises(Win32Error) as raised:
            pc.get("Z:\\a")
        assert raised.value.ntstatus == nt.DELETE_PENDING
        pc.k.close_handle(reader)
        pc.fake.settle()

        assert pc.on_server() == {}
        pc.put("Z:\\a", b"a new one", c.CREATE_NEW)
        pc.sent()
        assert pc.on_server() == {"/a": b"a new one"}
        nothing_is_open(pc)


def test_an_open_file_is_renamed_and_written_on(tmp_path: Path) -> None:
    """A log that is rotated: who writes it goes on under the new name."""
    with mounted(tmp_path, files={"/d/a.log": b"one\n"}) as pc:
        log = pc.k.create_file("Z:\\d\\a.log", READ_WRITE, c.FILE_SHARE_ALL)
        pc.k.write_file(log, b"two\n", 4)
        pc.k.move_file_ex("Z:\\d\\a.log", "Z:\\a.1.log")
        pc.k.write_file(log, b"three\n", 8)
        pc.put("Z:\\d\\a.log", b"anew\n", c.CREATE_NEW)
        pc.k.close_handle(log)
        pc.sent()

        assert pc.on_server() == {"/a.1.log": b"one\ntwo\nthree\n", "/d/a.log": b"anew\n"}
        nothing_is_open(pc)


def test_a_directory_is_moved_with_what_was_not_sent_yet(tmp_path: Path) -> None:
    with mounted(tmp_path, files={"/old/sub/a": b"1"}) as pc:
        pc.put("Z:\\old\\sub\\b", b"2", c.CREATE_NEW)
        handle = pc.k.create_file("Z:\\old\\sub\\a", c.GENERIC_READ, c.FILE_SHARE_ALL)
        with pytest.raises(Win32Error):  # there is a file open below it
            pc.k.move_file_ex("Z:\\OLD", "Z:\\New")
        pc.k.close_handle(handle)
        pc.fake.settle()
        pc.k.move_file_ex("Z:\\OLD", "Z:\\New")
        pc.put("Z:\\new\\sub\\c", b"3", c.CREATE_NEW)
        pc.sent()

        assert pc.on_server() == {"/New/sub/a": b"1", "/New/sub/b": b"2", "/New/sub/c": b"3"}
        nothing_is_open(pc)
