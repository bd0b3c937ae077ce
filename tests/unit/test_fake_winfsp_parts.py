"""The pure parts of the fake WinFsp: descriptors, patterns, paths, locks, clock, memory."""

from __future__ import annotations

import pytest

from simulators.fake_winfsp import ManualClock, Win32Error, ntstatus, security
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp.declarations import CALLBACKS, SIZES, ffi, make_ffi
from simulators.fake_winfsp.locks import RangeLock, RangeLocks
from simulators.fake_winfsp.memory import MemoryLedger
from simulators.fake_winfsp.mounts import full_path
from simulators.fake_winfsp.patterns import from_win32, matches, upcase

# -- layout ---------------------------------------------------------------------------------------


def test_structures_have_the_native_modules_sizes() -> None:
    assert {name: make_ffi().sizeof(name) for name in SIZES} == SIZES
    assert ffi.offsetof("FSP_FSCTL_DIR_INFO", "FileNameBuf") == 104


def test_interface_ends_with_get_dir_info_by_name() -> None:
    assert len(CALLBACKS) == 25
    assert list(CALLBACKS)[-1] == "GetDirInfoByName"
    assert "Control" not in dict(ffi.typeof("FSP_FILE_SYSTEM_INTERFACE").fields)


# -- security -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sddl",
    [
        "O:BAG:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;WD)",
        "D:(D;;FW;;;WD)(A;OICI;0x1200a9;;;BU)",
        "O:S-1-5-21-1-2-3-1001G:BUD:PAI(A;;SDRC;;;CO)S:AI(AU;SAFA;FA;;;WD)",
        "D:",
        "O:BA",
    ],
)
def test_descriptor_survives_bytes_and_text(sddl: str) -> None:
    data = security.pack(security.parse_sddl(sddl))

    assert security.format_sddl(security.unpack(data)) == sddl
    assert security.length(data + b"\xff" * 10) == len(data)


@pytest.mark.parametrize(
    "sddl", ["nonsense", "D:(A;;FA)", "D:(A;;QQ;;;WD)", "O:XX", "D:P(A;;FA;;;WD"]
)
def test_what_is_no_descriptor_is_refused(sddl: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        security.parse_sddl(sddl)


@pytest.mark.parametrize(
    ("sddl", "asked", "granted"),
    [
        ("O:BAD:(A;;FA;;;WD)", c.FILE_ALL_ACCESS, c.FILE_ALL_ACCESS),
        ("O:BAD:(A;;FA;;;BA)", c.FILE_READ_DATA, 0),  # no administrator
        ("O:BAD:(D;;FW;;;WD)(A;;FA;;;WD)", c.FILE_READ_DATA | c.FILE_WRITE_DATA, c.FILE_READ_DATA),
        ("O:BAD:(A;;FA;;;WD)(D;;FW;;;WD)", c.FILE_WRITE_DATA, c.FILE_WRITE_DATA),  # in order
        ("O:BA", c.DELETE, c.DELETE),  # no list
        ("O:BAD:", c.DELETE, 0),  # an empty one
        (f"O:{security.USER}D:", c.WRITE_DAC | c.DELETE, c.WRITE_DAC),  # the owner
        ("O:BAD:(A;IO;FA;;;WD)", c.DELETE, 0),  # for what is below only
    ],
)
def test_access_is_what_the_list_gives_in_its_order(sddl: str, asked: int, granted: int) -> None:
    assert security.allowed(security.parse_sddl(sddl), asked) == granted


def test_new_file_has_the_directorys_list_and_the_users_name() -> None:
    parent = security.parse_sddl("O:BAG:BAD:(A;;GA;;;WD)")

    made = security.for_new_file(None, parent)

    assert security.format_sddl(made) == f"O:{security.USER}G:BUD:(A;;FA;;;WD)"


# -- names ----------------------------------------------------------------------------------------


def test_upper_case_is_by_character_and_leaves_what_would_grow() -> None:
    assert upcase("straße ünï💾 ﬁ") == "STRAßE ÜNÏ💾 ﬁ"


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*", "a b.c.d", None),
        ("*.*", "noextension", None),
        ("*.txt", "A.TXT", "a.txt1"),
        ("?.txt", "a.txt", "ab.txt"),
        ("a?", "a", "abc"),
        ("a??.t?t", "ab.txt", "abcd.txt"),
        ("*.", "noextension", "a.b"),
        ("name", "NAME", "names"),
        ("*a*b", "xaxbxb", "xaxbx"),
        ("a.*", "a", "ab.c"),
    ],
)
def test_pattern_finds_what_it_finds_on_windows(pattern: str, yes: str, no: str | None) -> None:
    kernel = from_win32(pattern)

    assert matches(kernel, yes, case_sensitive=False)
    assert no is None or not matches(kernel, no, case_sensitive=False)


@pytest.mark.parametrize(
    ("path", "full"),
    [
        ("X:\\a\\b", "X:\\a\\b"),
        ("X:/a/b/", "X:\\a\\b\\"),
        ("X:\\a\\..\\b\\.\\c", "X:\\b\\c"),
        ("X:\\..\\..\\a", "X:\\a"),
        ("X:\\a. . ", "X:\\a"),
        ("X:\\dir.\\a", "X:\\dir\\a"),
        ("X:", "X:\\"),
        ("\\\\server\\share\\a\\..\\..\\..\\b", "\\\\server\\share\\b"),
        ("\\\\?\\X:\\a. ", "X:\\a. "),
        ("\\\\?\\UNC\\server\\share\\a", "\\\\server\\share\\a"),
        ("\\\\?\\X:\\NUL", "X:\\NUL"),
        ("X:\\console", "X:\\console"),
    ],
)
def test_path_is_tidied_as_win32_does(path: str, full: str) -> None:
    assert full_path(path, "test") == full


@pytest.mark.parametrize("path", ["a", "X:\\NUL", "X:\\con.txt", "X:\\com1", "", "X:\\a\0"])
def test_path_that_is_none_of_ours_is_refused(path: str) -> None:
    with pytest.raises(Win32Error):
        full_path(path, "test")


def test_long_path_needs_a_machine_that_allows_it() -> None:
    path = "X:\\" + "d\\" * 150

    assert full_path(path, "test") == path
    with pytest.raises(Win32Error) as raised:
        full_path(path, "test", long_paths=False)
    assert raised.value.winerror == ntstatus.ERROR_PATH_NOT_FOUND


# -- statuses -------------------------------------------------------------------------------------


def test_every_error_status_has_a_win32_code() -> None:
    ours = {
        value
        for name, value in vars(ntstatus).items()
        if name.isupper() and isinstance(value, int) and value >= 0x8000_0000
    }
    assert ours <= set(ntstatus.WIN32)


def test_win32_error_is_an_os_error_with_an_errno() -> None:
    assert isinstance(Win32Error(2, ntstatus.OBJECT_NAME_NOT_FOUND, "CreateFile"), OSError)
    assert Win32Error(995, None, "ReadFile").errno == 22
    assert str(Win32Error(5, ntstatus.DELETE_PENDING, "CreateFile", "X:\\a")) == (
        "CreateFile: error 5, STATUS_DELETE_PENDING (X:\\a)"
    )


# -- locks, clock, memory -------------------------------------------------------------------------


def test_shared_ranges_overlap_and_exclusive_ones_do_not() -> None:
    locks = RangeLocks()
    locks.add(RangeLock(owner=1, offset=0, length=10, exclusive=False))
    locks.add(RangeLock(owner=2, offset=5, length=10, exclusive=False))

    with pytest.raises(ntstatus.NtError):
        locks.add(RangeLock(owner=3, offset=9, length=1, exclusive=True))
    with pytest.raises(ntstatus.NtError):
        locks.check(1, 0, 1, write=True)  # even its own shared one
    locks.remove(1, 0, 10)
    with pytest.raises(ntstatus.NtError):
        locks.remove(1, 0, 10)
    locks.remove_all(2)
    locks.check(1, 0, 100, write=True)


def test_clock_stands_still_until_it_is_told() -> None:
    clock = ManualClock()
    before = clock.monotonic()
    clock.advance(2.5)

    assert clock.monotonic() - before == 2.5


def test_ledger_knows_what_is_left_and_what_was_freed_twice() -> None:
    ledger = MemoryLedger()
    one, two = ledger.store(b"abc", "one"), ledger.allocate(5, "two")
    assert bytes(ffi.buffer(one, 3)) == b"abc"

    ledger.free(one)
    ledger.free(one)
    ledger.free(ffi.NULL)
    ledger.free(ffi.cast("void *", 12345))

    assert list(ledger.blocks().values()) == ["two"]
    assert ledger.faults == ["freed twice: one", "freed, but never allocated"]
    ledger.free(two)
