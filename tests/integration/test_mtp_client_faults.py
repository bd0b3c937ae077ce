"""mtpsync's device when the session is lost: hangs, crashes, broken lines, cables that are out."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtpsync import errors
from mtpsync.models import ROOT
from mtpsync.mtp_client import MtpDevice, list_devices
from tests.helpers.mtp_client import HASTY, ID, Desk, desk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no libmtp for Windows")
Patch = pytest.MonkeyPatch
DATA = bytes(range(256)) * 1000

OPERATIONS: dict[str, tuple[str, Callable[[Desk, MtpDevice, int], Any]]] = {
    "storages": ("GetStorageIDs", lambda d, device, n: device.storages()),
    "children": ("GetObjectHandles", lambda d, device, n: device.children(ID, ROOT)),
    "metadata": ("GetObjectInfo|GetObjectPropValue", lambda d, device, n: device.metadata(n + 99)),
    "make_folder": ("SendObjectInfo", lambda d, device, n: device.make_folder(ID, ROOT, "d")),
    "send": ("SendObject", lambda d, device, n: device.send(ID, ROOT, "s", d.source(DATA), 256000)),
    "receive": ("GetObject", lambda d, device, n: device.receive(n, 256000)),
    "delete": ("DeleteObject", lambda d, device, n: device.delete(n)),
    "rename": ("SetObjectPropValue", lambda d, device, n: device.rename(n, "r")),
    "move": ("MoveObject", lambda d, device, n: device.move(n, ID, ROOT)),
}
EACH = pytest.mark.parametrize("operation", OPERATIONS)
NEWER = pytest.mark.parametrize("newer", [False, True])


def run(d: Desk, device: MtpDevice, operation: str, **fault: Any) -> pytest.ExceptionInfo[Any]:
    """Do it while *fault* strikes; the loss that it is."""
    number = device.children(ID, ROOT).objects[0].id
    on, act = OPERATIONS[operation]
    d.phone.inject({"on": on, **fault})
    with pytest.raises(errors.DeviceLost) as lost:
        act(d, device, number)
    assert fault["fault"] in d.struck()
    return lost


def goes_on(d: Desk, device: MtpDevice) -> None:
    """The device can be used again."""
    assert "a" in [one.name for one in device.children(ID, ROOT).objects]
    data = b"after"
    device.send(ID, ROOT, "after", d.source(data, "after"), len(data))
    assert d.phone.storage().get("/after") == data


@NEWER
@EACH
def test_hang_ends_and_the_device_is_opened_again(
    tmp_path: Path, monkeypatch: Patch, operation: str, newer: bool
) -> None:
    with desk(tmp_path, monkeypatch, newer=newer) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open(patience=HASTY)

        lost = run(d, device, operation, fault="hang")

        assert "no answer for 1 s; it was opened again" in str(lost.value)
        assert len(d.pids()) == 2
        goes_on(d, device)


@EACH
@pytest.mark.parametrize(("fault", "name"), [("crash", "SIGSEGV"), ("abort", "SIGABRT")])
def test_crash_is_a_loss_like_any_other(
    tmp_path: Path, monkeypatch: Patch, operation: str, fault: str, name: str
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()

        lost = run(d, device, operation, fault=fault)

        assert f"libmtp crashed ({name}); it was opened again" in str(lost.value)
        goes_on(d, device)


@EACH
@pytest.mark.parametrize("fault", ["io_error", "stall", "timeout", "session_lost"])
def test_broken_session_is_replaced(
    tmp_path: Path, monkeypatch: Patch, operation: str, fault: str
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()

        lost = run(d, device, operation, fault=fault)

        assert "it was opened again" in str(lost.value)
        assert len(d.pids()) == 2
        goes_on(d, device)


@EACH
def test_unplugged_device_is_told_from_a_broken_session(
    tmp_path: Path, monkeypatch: Patch, operation: str
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()

        lost = run(d, device, operation, fault="no_device")

        assert "it is not attached any more" in str(lost.value)
        assert "plug it in again" in lost.value.remedy
        with pytest.raises(errors.DeviceLost, match="not attached any more"):
            device.storages()
        with pytest.raises(errors.DeviceLost, match="not attached any more"):
            device.refresh()
        d.phone.replug()
        device.refresh()
        goes_on(d, device)


@pytest.mark.parametrize("operation", ["send", "receive"])
@pytest.mark.parametrize("fault", ["hang", "io_error", "stall", "timeout", "crash", "no_device"])
def test_transfer_breaks_off_in_the_middle(
    tmp_path: Path, monkeypatch: Patch, operation: str, fault: str
) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open(patience=HASTY)

        run(d, device, operation, fault=fault, after_bytes=100_000)
        if fault == "no_device":
            d.phone.replug()
            device.refresh()

        assert "/s" not in d.phone.storage().tree()
        goes_on(d, device)
        row = {one.name: one for one in device.children(ID, ROOT).objects}["a"]
        assert device.receive(row.id, len(DATA)).sha256 == hashlib.sha256(DATA).hexdigest()


def test_device_of_another_serial_number_is_not_taken_instead(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    with desk(tmp_path, monkeypatch, serial="A") as d:
        d.phone.storage().put("/a")
        device = d.open()
        d.usb.plug("android", serial="B")

        lost = run(d, device, "delete", fault="no_device")

        assert "not attached any more" in str(lost.value)


def test_device_that_somebody_else_takes_meanwhile(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open(patience=HASTY)
        source = d.source(DATA)
        d.phone.inject({"on": "SendObject", "fault": "hang", "after_bytes": 1})
        taking = threading.Timer(0.3, d.phone.hold)
        taking.start()

        with pytest.raises(errors.DeviceLost, match="another program has it open"):
            device.send(ID, ROOT, "b", source, len(DATA))
        taking.join()
        d.phone.let_go()
        device.refresh()

        goes_on(d, device)


def test_phone_that_locks_itself_meanwhile(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()
        d.phone.lock()

        with pytest.raises(errors.DeviceLocked):
            device.storages()
        with pytest.raises(errors.ListingFailed):
            device.children(ID, ROOT)
        d.phone.unlock()

        goes_on(d, device)


def test_worker_that_somebody_kills(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        d.phone.storage().put("/a", DATA)
        device = d.open()
        (pid,) = d.pids()
        os.kill(pid, signal.SIGKILL)

        with pytest.raises(errors.DeviceLost, match="SIGKILL"):
            device.children(ID, ROOT)
        goes_on(d, device)


def test_worker_that_stops_at_closing_is_not_waited_for(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch) as d:
        device = d.open(patience=HASTY)
        (pid,) = d.pids()
        os.kill(pid, signal.SIGSTOP)

        device.close()

        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_last_words_of_libmtp_are_logged(
    tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    with desk(tmp_path, monkeypatch) as d, caplog.at_level(logging.WARNING, "mtpsync"):
        d.phone.storage().put("/a", DATA)
        run(d, d.open(), "delete", fault="crash")

        assert "Android device detected" in caplog.text


def test_storage_that_is_taken_out_is_missing(tmp_path: Path, monkeypatch: Patch) -> None:
    with desk(tmp_path, monkeypatch, "android_card") as d:
        device = d.open()
        card = device.storages()[1].id
        d.phone.storage(1).take_out()

        with pytest.raises(errors.ListingFailed):
            device.children(card, ROOT)
        with pytest.raises(errors.DeviceError):
            device.make_folder(card, ROOT, "a")
        assert len(device.storages()) == 1
        assert len(d.pids()) == 1


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("os.write(line, b'Device 0 (VID=18d1 and PID=4ee2)'); time.sleep(60)", "makes no sense"),
        ("os.write(line, b'\\0\\0\\0\\2{}'); time.sleep(60)", "another question"),
        ("sys.exit(3)", "ended with 3"),
        ("os.close(line); os.close(control); time.sleep(60)", "stopped talking"),
    ],
)
def test_worker_that_talks_nonsense_is_ended(
    tmp_path: Path, monkeypatch: Patch, does: str, told: str
) -> None:
    program = tmp_path / "python"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        f"line, control = map(int, sys.argv[-2:])\n{does}\n"
    )
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr("mtpsync.process._END_S", 1.0)

    with pytest.raises(errors.DeviceUnavailable, match=told):
        list_devices(HASTY)


def test_defect_of_the_worker_is_logged_and_no_loss(
    tmp_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    with desk(tmp_path, monkeypatch) as d, caplog.at_level(logging.ERROR, "mtpsync"):
        device = d.open()

        with pytest.raises(errors.MtpSyncError, match="TypeError"):
            device.delete("x")  # type: ignore[arg-type]

        assert "Traceback" in caplog.text
        assert device.children(ID, ROOT).objects == ()
