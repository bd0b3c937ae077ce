"""mtpsync's device above the fake libmtp: opening, looking, changing."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mtpsync import errors
from mtpsync.libmtp.loader import VARIABLE
from mtpsync.models import ROOT
from mtpsync.mtp_client import list_devices, open_device
from mtpsync.utils import holders
from simulators.fake_libmtp import FakeUsb, Storage
from tests.helpers.mtp import PROJECT, fake_library
from tests.helpers.mtp_client import HASTY, ID, QUICK, desk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no libmtp for Windows")
Patch = pytest.MonkeyPatch


# -- finding and opening ---------------------------------------------------------------------------


def test_device_says_what_it_is(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "old_player", serial=" 77 ") as d:
        info = d.open().info

        assert (info.serial, info.model, info.friendly_name) == ("77", "Sansa Clip+", "Fake player")
        assert (info.object_bits, info.can_move, info.can_read_parts) == (32, False, False)


def test_devices_are_listed_with_their_serial_numbers(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, serial="A") as d:
        held = d.usb.plug("player", serial="B")
        held.hold()

        first, second = list_devices(QUICK)

        assert (first.serial, first.name, first.why) == ("A", "Fake phone", None)
        assert (second.serial, second.name) == (None, "SanDisk Sansa Clip+")
        assert second.why == "another program has it open"
        assert "gio mount" in second.remedy
        assert not d.phone.session_open


def test_no_device_is_an_empty_list_and_no_device(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.unplug()

        assert list_devices(QUICK) == ()
        with pytest.raises(errors.NoDevice, match="no MTP device") as none:
            d.open()
        with pytest.raises(errors.NoDevice, match="FAKE9999"):
            d.open("FAKE9999")
        assert "plug it in" in none.value.remedy


def test_several_devices_are_told_apart_by_serial_number(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, serial="A") as d:
        d.usb.plug("player", serial="B")

        with pytest.raises(errors.UsageError, match=r"number A\).*number B\)"):
            d.open()
        assert d.open("B").info.model == "Sansa Clip+"
        assert not d.phone.session_open


def test_two_devices_with_one_serial_number_are_not_guessed_at(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, serial="0000") as d:
        d.usb.plug("player", serial="0000")

        with pytest.raises(errors.UsageError, match="several devices have"):
            d.open("0000")


def test_other_serial_number_is_not_taken_instead(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, serial="A") as d, pytest.raises(errors.NoDevice, match="B"):
        d.open("B")


def test_device_that_another_program_holds(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.hold()

        with pytest.raises(errors.DeviceUnavailable, match="another program has it open") as busy:
            d.open()

        assert "gio mount --unmount-scheme=mtp" in busy.value.remedy
        assert len(d.usb.ledger.calls("Open_Raw_Device_Uncached")) == 1 + len(QUICK.busy_pauses_s)


def test_holder_of_a_device_is_named(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.hold()
        asked: list[Path] = []

        def having(node: Path) -> tuple[holders.Holder, ...]:
            asked.append(node)
            return (holders.Holder(77, "gvfsd-mtp"),)

        monkeypatch.setattr(holders, "holders", having)

        with pytest.raises(
            errors.DeviceUnavailable, match=r"gvfsd-mtp \(process 77\) has it open"
        ) as busy:
            d.open()

        assert busy.value.remedy == "gio mount --unmount-scheme=mtp"
        assert set(asked) == {tmp_path / "none" / "001" / "002"}


def test_device_that_is_busy_for_a_moment_is_opened(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, faults=[{"on": "Claim", "fault": "busy"}]) as d:
        d.open()

        assert d.struck() == ["busy"]


def test_device_without_permission_gets_a_rule_for_udev(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.forbid()

        with pytest.raises(errors.DeviceUnavailable, match="may not open it") as forbidden:
            d.open()

        assert 'ATTR{idVendor}=="18d1", ATTR{idProduct}=="4ee2"' in forbidden.value.remedy
        assert len(d.usb.ledger.calls("Open_Raw_Device_Uncached")) == 1


@pytest.mark.parametrize("on", ["OpenSession", "GetDeviceInfo"])
def test_leaked_claim_is_cured_by_a_new_process(
    tmp_path: Path, monkeypatch: Patch, on: str
) -> None:
    times = 2 if on == "OpenSession" else 1
    kind = {"fault": "timeout"} if on == "OpenSession" else {"fault": "response", "code": 0x2002}
    with desk(tmp_path, monkeypatch, faults=[{"on": on, "times": times, **kind}]) as d:
        device = d.open()

        assert device.children(ID, ROOT).objects == ()
        assert len(d.pids()) == 2


def test_hang_while_opening_ends_and_is_tried_again(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, faults=[{"on": "OpenSession", "fault": "hang"}]) as d:
        device = d.open(patience=_opens_in(1.5))

        assert device.children(ID, ROOT).objects == ()


def _opens_in(seconds: float):
    from dataclasses import replace

    return replace(HASTY, open_s=seconds)


def test_real_libmtp_finds_no_device(monkeypatch: Patch) -> None:
    if ctypes.util.find_library("mtp") is None:
        pytest.skip("libmtp is not installed")
    monkeypatch.delenv(VARIABLE, raising=False)
    if list_devices(QUICK):
        pytest.skip("there is a device")

    with pytest.raises(errors.NoDevice):
        open_device()


def test_library_that_is_not_there_is_told(monkeypatch: Patch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/libmtp.so.9")

    with pytest.raises(errors.DeviceUnavailable, match=r"/nowhere/libmtp\.so\.9") as missing:
        list_devices(QUICK)
    assert VARIABLE in missing.value.remedy


def test_library_that_is_something_else_is_told(monkeypatch: Patch) -> None:
    monkeypatch.setenv(VARIABLE, ctypes.util.find_library("c") or "libc.so.6")

    with pytest.raises(errors.DeviceUnavailable, match="not a libmtp"):
        open_device(patience=QUICK)


# -- what libmtp prints ----------------------------------------------------------------------------

_PROGRAM = """
import json, sys
from mtpsync.models import ROOT
from mtpsync.mtp_client import list_devices, open_device
from mtpsync.utils import holders
list_devices()
device = open_device()
print(json.dumps([one.name for one in device.children(0x10001, ROOT).objects]), flush=True)
device.close()
"""


def test_what_libmtp_prints_never_reaches_our_output(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "android_unlisted") as d:
        d.phone.storage().put("/a")

        # In a directory whose modules must not be taken for Python's.
        for name in ("json.py", "mtpsync.py"):
            (tmp_path / name).write_text("raise SystemExit('hijacked')")
        ran = subprocess.run(
            [sys.executable, "-P", "-c", _PROGRAM],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

        assert (ran.returncode, ran.stdout, ran.stderr) == (0, '["a"]\n', "")


def test_worker_ends_with_its_parent_also_while_libmtp_hangs(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    hang = {"on": "GetObjectHandles", "fault": "hang"}
    with desk(tmp_path, monkeypatch, faults=[hang]) as d:
        program = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], cwd=PROJECT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait = threading.Event()
        while not d.struck():
            assert program.poll() is None
            wait.wait(0.02)
        worker = d.usb.ledger.faults()[0].pid

        program.kill()
        program.wait()

        for _ in range(500):
            if not _lives(worker):
                break
            wait.wait(0.02)
        assert not _lives(worker)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


# -- storages --------------------------------------------------------------------------------------


def test_storages(tmp_path: Path, monkeypatch: Patch) -> None:
    storages = [
        Storage(description="Internal", capacity=100, free=50),
        Storage(description="Karte ü", volume="CARD", type=4, access=1, free=2**64 - 1),
    ]
    with desk(tmp_path, monkeypatch, storages=storages) as d:
        first, second = d.open().storages()

        assert (first.id, first.label, first.capacity_bytes, first.free_bytes) == (
            ID, "Internal", 100, 50,
        )  # fmt: skip
        assert (first.read_only, first.removable) == (False, False)
        assert (second.label, second.volume, second.free_bytes) == ("Karte ü", "CARD", None)
        assert (second.read_only, second.removable) == (True, True)


def test_locked_phone_is_polled_on_the_same_session_until_it_is_unlocked(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.lock()
        device = d.open()

        for _ in range(2):
            with pytest.raises(errors.DeviceLocked) as locked:
                device.storages()
        d.phone.unlock()

        assert "unlock" in locked.value.remedy
        assert [storage.id for storage in device.storages()] == [ID]
        assert len(d.pids()) == 1


def test_storages_that_can_not_be_told_are_no_lock(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        device = d.open()
        d.phone.inject({"on": "GetStorageIDs", "fault": "response", "code": 0x2019, "times": 2})

        with pytest.raises(errors.DeviceError, match="does not tell its storages"):
            device.storages()
        assert len(device.storages()) == 1


def test_old_complaints_are_not_taken_for_new_ones(tmp_path: Path, monkeypatch: Patch) -> None:
    """Opening a locked phone leaves one on the error stack."""
    with desk(tmp_path, monkeypatch) as d:
        d.phone.lock()
        device = d.open()
        d.phone.unlock()

        assert device.children(ID, ROOT).objects == ()


# -- lists -----------------------------------------------------------------------------------------

NEWER = pytest.mark.parametrize("newer", [False, True])


@NEWER
def test_children_are_where_they_were_asked_for(
    tmp_path: Path, monkeypatch: Patch, newer: bool
) -> None:
    with desk(tmp_path, monkeypatch, "kindle", newer=newer) as d:
        d.phone.storage().put("/documents/a.txt", b"abc")
        device = d.open()

        top = device.children(ID, ROOT)
        below = device.children(ID, top.objects[0].id)

        assert [(one.name, one.is_folder, one.parent_id) for one in top.objects] == [
            ("documents", True, ROOT)
        ]
        assert [(one.name, one.size_bytes, one.is_folder) for one in below.objects] == [
            ("a.txt", 3, False)
        ]
        assert below.objects[0].parent_id == top.objects[0].id
        assert top.undescribed == (0 if newer else None)


@NEWER
def test_parent_0_is_the_root_and_not_everything(
    tmp_path: Path, monkeypatch: Patch, newer: bool
) -> None:
    with desk(tmp_path, monkeypatch, newer=newer) as d:
        d.phone.storage().put("/a/b/c")

        assert [one.name for one in d.open().children(ID, 0).objects] == ["a"]


@NEWER
def test_large_folder_comes_in_parts(tmp_path: Path, monkeypatch: Patch, newer: bool) -> None:
    with desk(tmp_path, monkeypatch, newer=newer) as d:
        for number in range(1001):
            d.phone.storage().put(f"/{number}")

        found = d.open().children(ID, ROOT)

        assert {one.name for one in found.objects} == {str(number) for number in range(1001)}
        assert len(found.objects) == 1001


@NEWER
def test_empty_folder_is_empty(tmp_path: Path, monkeypatch: Patch, newer: bool) -> None:
    with desk(tmp_path, monkeypatch, newer=newer) as d:
        found = d.open().children(ID, ROOT)

        assert (found.objects, found.undescribed) == ((), 0 if newer else None)


@NEWER
def test_device_that_does_not_count_objects(
    tmp_path: Path, monkeypatch: Patch, newer: bool
) -> None:
    with desk(tmp_path, monkeypatch, newer=newer) as d:
        d.phone.inject({"on": "GetNumObjects", "fault": "response", "code": 0x2005, "nth": 0})
        device = d.open()

        assert device.children(ID, ROOT).objects == ()
        d.phone.inject({"on": "GetObjectHandles", "fault": "response", "code": 0x2019, "nth": 0})
        with pytest.raises(errors.ListingFailed):
            device.children(ID, ROOT)
        with pytest.raises(errors.Missing):
            device.metadata(4711)
        assert len(d.pids()) == 1


@NEWER
@pytest.mark.parametrize("code", [0x2002, 0x200F, 0x2019])
def test_folder_that_can_not_be_listed_is_not_empty(
    tmp_path: Path, monkeypatch: Patch, newer: bool, code: int
) -> None:
    refusal = {"fault": "response", "code": code, "nth": 0}
    with desk(tmp_path, monkeypatch, newer=newer) as d:
        d.phone.storage().put("/a")
        device = d.open()
        d.phone.inject({"on": "GetObjectHandles|GetNumObjects", **refusal})

        with pytest.raises(errors.ListingFailed, match=f"{code:04x}"):
            device.children(ID, ROOT)
        d.phone.clear_faults()
        assert len(device.children(ID, ROOT).objects) == 1
        assert len(d.pids()) == 1


@NEWER
def test_folder_that_is_refused_once_is_listed(
    tmp_path: Path, monkeypatch: Patch, newer: bool
) -> None:
    with desk(tmp_path, monkeypatch, newer=newer) as d:
        d.phone.storage().put("/a")
        device = d.open()
        d.phone.inject({"on": "GetObjectHandles", "fault": "response", "code": 0x2019})

        assert [one.name for one in device.children(ID, ROOT).objects] == ["a"]


@NEWER
def test_folder_that_is_not_there_is_not_empty(
    tmp_path: Path, monkeypatch: Patch, newer: bool
) -> None:
    with desk(tmp_path, monkeypatch, newer=newer) as d, pytest.raises(errors.ListingFailed):
        d.open().children(ID, 4711)


def test_objects_that_were_not_described_are_counted(tmp_path: Path, monkeypatch: Patch) -> None:
    missing = {"on": "GetObjectInfo", "fault": "missing", "name": "b", "nth": 0}
    with desk(tmp_path, monkeypatch, newer=True, faults=[missing]) as d:
        for name in "abc":
            d.phone.storage().put(f"/{name}")

        found = d.open().children(ID, ROOT)

        assert [one.name for one in found.objects] == ["a", "c"]
        assert found.undescribed == 1


def test_object_that_is_not_described_once_is_asked_again(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    missing = {"on": "GetObjectInfo", "fault": "missing", "name": "b"}
    with desk(tmp_path, monkeypatch, newer=True, faults=[missing]) as d:
        for name in "abc":
            d.phone.storage().put(f"/{name}")

        found = d.open().children(ID, ROOT)

        assert (len(found.objects), found.undescribed) == (3, 0)


def test_folder_in_which_nothing_is_described_is_not_empty(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    missing = {"on": "GetObjectInfo", "fault": "missing", "nth": 0}
    with desk(tmp_path, monkeypatch, newer=True, faults=[missing]) as d:
        d.phone.storage().put("/a")

        with pytest.raises(errors.ListingFailed, match="describes none"):
            d.open().children(ID, ROOT)


def test_old_libmtp_can_not_count_and_an_empty_list_is_asked_for_twice(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    missing = {"on": "GetObjectInfo", "fault": "missing"}
    with desk(tmp_path, monkeypatch, faults=[missing]) as d:
        d.phone.storage().put("/a")

        found = d.open().children(ID, ROOT)

        assert ([one.name for one in found.objects], found.undescribed) == (["a"], None)


@NEWER
def test_devices_lists_may_be_wrong(tmp_path: Path, monkeypatch: Patch, newer: bool) -> None:
    faults = [
        {"on": "GetObjectHandles", "fault": "duplicate"},
        {"on": "GetObjectHandles", "fault": "ghost"},
    ]
    with desk(tmp_path, monkeypatch, newer=newer, faults=faults) as d:
        d.phone.storage().put("/a")
        d.phone.storage().put("/b")

        found = d.open().children(ID, ROOT)

        assert [one.name for one in found.objects] == ["a", "b"]
        assert found.undescribed == (1 if newer else None)


@NEWER
@pytest.mark.parametrize(
    ("told", "seen"),
    [("../x", "../x"), ("a/b", "a/b"), ("%FF", "\udcff"), (None, ""), ("x" * 5000, "")],
)
def test_names_from_the_device_arrive_as_they_are(
    tmp_path: Path, monkeypatch: Patch, newer: bool, told: str | None, seen: str
) -> None:
    name = {} if told is None else {"as_name": "\udcff" if told == "%FF" else told}
    fault = {"on": "GetObjectInfo", "fault": "show_name", "nth": 0, **name}
    with desk(tmp_path, monkeypatch, newer=newer, faults=[fault]) as d:
        d.phone.storage().put("/a")

        assert [one.name for one in d.open().children(ID, ROOT).objects] == [seen]


@NEWER
def test_longest_names_fit_into_messages(tmp_path: Path, monkeypatch: Patch, newer: bool) -> None:
    name = "🎵" * 500
    fault = {"on": "GetObjectInfo", "fault": "show_name", "nth": 0, "as_name": name}
    with desk(tmp_path, monkeypatch, newer=newer, faults=[fault]) as d:
        for number in range(250):
            d.phone.storage().put(f"/{number}")

        assert [one.name for one in d.open().children(ID, ROOT).objects] == [name] * 250


def test_metadata(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", b"abc")
        device = d.open()
        row = device.children(ID, ROOT).objects[0]

        assert device.metadata(row.id) == row
        with pytest.raises(errors.Missing):
            device.metadata(4711)
        assert len(d.pids()) == 1


def test_fresh_session_sees_what_the_old_one_remembered(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "android_proplist") as d:
        d.phone.storage().put("/a", b"1")
        device = d.open()
        assert device.children(ID, ROOT).objects[0].size_bytes == 1
        d.phone.storage().put("/a", b"12345")
        assert device.children(ID, ROOT).objects[0].size_bytes == 1

        device.refresh()

        assert device.children(ID, ROOT).objects[0].size_bytes == 5


def test_device_that_moves_when_it_is_closed_is_found_again(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, moves_on_close=True) as d:
        device = d.open()

        device.refresh()

        assert device.children(ID, ROOT).objects == ()


# -- changes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["android", "player"])
def test_folders_and_files_are_made_renamed_moved_and_deleted(
    tmp_path: Path, monkeypatch: Patch, profile: str
) -> None:
    with desk(tmp_path, monkeypatch, profile) as d:
        storage = d.phone.storage()
        storage.put("/a", b"abc")
        device = d.open()
        file = device.children(ID, ROOT).objects[0].id

        top = device.make_folder(ID, ROOT, "Müsik 🎵")
        below = device.make_folder(ID, top, "b")
        device.move(file, ID, below)
        device.rename(file, "c")
        assert storage.tree() == {"/Müsik 🎵": None, "/Müsik 🎵/b": None, "/Müsik 🎵/b/c": b"abc"}

        device.move(file, ID, ROOT)
        device.delete(below)
        device.delete(top)
        assert storage.tree() == {"/c": b"abc"}


def test_names_that_are_there_are_taken(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", b"a")
        d.phone.storage().put("/b", b"b")
        device = d.open()
        number = {one.name: one.id for one in device.children(ID, ROOT).objects}["a"]

        with pytest.raises(errors.NameTaken):
            device.make_folder(ID, ROOT, "b")
        with pytest.raises(errors.NameTaken):
            device.rename(number, "b")
        with pytest.raises(errors.NameTaken):
            device.send(ID, ROOT, "b", d.source(b"new"), 3)
        assert d.phone.storage().tree() == {"/a": b"a", "/b": b"b"}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/", "a\0b", "x" * 255, "🎵" * 128, "\udcff"]
)
def test_impossible_names_are_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: Patch, name: str
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        device = d.open()
        before = d.phone.transactions

        for attempt in (
            lambda: device.make_folder(ID, ROOT, name),
            lambda: device.rename(1, name),
            lambda: device.send(ID, ROOT, name, d.source(b""), 0),
        ):
            with pytest.raises(errors.NameRefused):
                attempt()
        assert d.phone.transactions == before


def test_name_that_the_storage_does_not_take(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, storages=[Storage(fat=True)]) as d:
        device = d.open()

        with pytest.raises(errors.NameRefused):
            device.make_folder(ID, ROOT, "a:b")
        with pytest.raises(errors.NameRefused):
            device.send(ID, ROOT, "a?", d.source(b"a"), 1)


def test_folder_that_gets_another_name_is_refused_and_removed(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, storages=[Storage(trims=True)]) as d:
        with pytest.raises(errors.NameRefused, match="'a'"):
            d.open().make_folder(ID, ROOT, "a.")
        assert d.phone.storage().tree() == {}


def test_lies_are_noticed(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", b"a")
        device = d.open()
        number = device.children(ID, ROOT).objects[0].id
        d.phone.inject({"on": "*", "fault": "lie", "nth": 0})

        with pytest.raises(errors.NameRefused):
            device.rename(number, "b")
        with pytest.raises(errors.DeviceError):
            device.make_folder(ID, ROOT, "d")
        with pytest.raises(errors.DeviceError):
            device.send(ID, ROOT, "b", d.source(b"b"), 1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0x200C, errors.StorageFull),
        (0x200D, errors.ReadOnly),
        (0x200E, errors.ReadOnly),
        (0x200F, errors.ReadOnly),
        (0x2019, errors.DeviceBusy),
        (0x2005, errors.NotSupported),
        (0x2009, errors.Missing),
        (0x2002, errors.DeviceError),
        (0x2999, errors.DeviceError),
    ],
)
def test_refusals_have_classes_and_the_session_goes_on(
    tmp_path: Path, monkeypatch: Patch, code: int, kind: type[errors.MtpSyncError]
) -> None:
    on = "SendObjectInfo|DeleteObject|MoveObject|SetObjectPropValue"
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", b"a")
        device = d.open()
        number = device.children(ID, ROOT).objects[0].id
        d.phone.inject({"on": on, "fault": "response", "code": code, "nth": 0})

        for attempt in (
            lambda: device.make_folder(ID, ROOT, "d"),
            lambda: device.send(ID, ROOT, "s", d.source(b"s"), 1),
            lambda: device.delete(number),
            lambda: device.rename(number, "r"),
            lambda: device.move(number, ID, ROOT),
        ):
            with pytest.raises(kind, match=f"0x{code:04x}") as refused:
                attempt()
            assert type(refused.value) is kind
        assert d.phone.storage().tree() == {"/a": b"a"}
        assert len(d.pids()) == 1


def test_what_a_device_can_not_do_is_not_supported(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "garmin") as d:
        d.phone.storage().put("/a", b"a")
        device = d.open()
        number = device.children(ID, ROOT).objects[0].id

        with pytest.raises(errors.NotSupported):
            device.rename(number, "b")
        with pytest.raises(errors.NotSupported):
            device.move(number, ID, ROOT)


def test_closed_device_says_so(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        device = d.open()
        device.close()
        device.close()
        device.cancel()

        with pytest.raises(errors.DeviceLost, match="closed"):
            device.storages()
        assert not d.phone.session_open


def test_two_buses_do_not_disturb_each_other(tmp_path: Path, monkeypatch: Patch) -> None:
    """Threads of one program take turns at a device."""
    with desk(tmp_path, monkeypatch) as d:
        for number in range(20):
            d.phone.storage().put(f"/{number}", str(number).encode() * 1000)
        device = d.open()
        rows = device.children(ID, ROOT).objects
        wrong: list[str] = []

        def read() -> None:
            for row in rows:
                path = tmp_path / f"{threading.get_ident()}-{row.name}"
                device.receive(row.id, row.size_bytes, to=path)
                if path.read_bytes() != row.name.encode() * 1000:
                    wrong.append(row.name)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []


def test_events_are_drained_where_that_is_needed(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "umtp", undrained_ms=60_000) as d:
        device = d.open(patience=HASTY)
        for _ in range(5):
            d.phone.event(3, 1)

        device.send(ID, ROOT, "a", d.source(b"a"), 1)
        device.close()

        assert d.phone.storage().tree() == {"/a": b"a"}
        assert d.usb.ledger.calls("Release_Device") == []  # it races with the reading thread
        fresh = d.open()
        assert len(fresh.children(ID, ROOT).objects) == 1


def test_fake_usb_is_the_only_bus(tmp_path: Path, monkeypatch: Patch) -> None:
    """The environment is asked when a worker is started, not when the module was imported."""
    with desk(tmp_path, monkeypatch, serial="one") as d:
        d.open("one")
        other = FakeUsb(tmp_path / "other")
        other.plug(serial="two")
        for name, value in other.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(VARIABLE, str(fake_library()))

        assert [one.serial for one in list_devices(QUICK)] == ["two"]
