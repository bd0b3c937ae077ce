"""`mtpsync` that waits for a person, and is stopped by one."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mtpsync.errors import DeviceLost, DeviceUnavailable, MtpSyncError, NoDevice
from mtpsync.models import Device
from mtpsync.waiting import ready_device
from tests.helpers.mtp_device import MemoryDevice
from tests.helpers.mtpsync_program import MUSIC, Desk, desk_at


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path) as desk:
        yield desk


def line_of(process: subprocess.Popen[str], words: str) -> str:
    """The next line on standard error, which must hold *words*."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert words in line, line + process.stderr.read()
    return line


# -- waiting --------------------------------------------------------------------------------------


def test_a_locked_phone_is_waited_for(desk: Desk) -> None:
    desk.phone.lock()
    process = desk.start("exec", "--wait", "music", "--dest", "/Music")
    line_of(process, "unlock the device's screen")

    desk.phone.unlock()
    out, err = process.communicate(timeout=100)

    assert (process.returncode, err) == (0, "")
    assert "3 file(s) sent" in out
    assert desk.on_the_phone() == MUSIC


def test_a_phone_is_waited_for_until_it_is_there_and_unlocked(desk: Desk) -> None:
    desk.phone.unplug()
    process = desk.start("music", "--mode", "verify", "--dest", "/Music", "--wait=60", "--json")
    line_of(process, "plug the device in")

    desk.phone.lock()
    desk.phone.replug()
    line_of(process, "unlock the device's screen")
    desk.phone.unlock()
    out, err = process.communicate(timeout=100)

    assert (process.returncode, err) == (1, "")
    assert len(json.loads(out)["actions"]) == 4


def test_waiting_has_an_end(desk: Desk) -> None:
    desk.phone.lock()
    told = desk.run("verify", "music", "--wait", "1", code=5)
    assert told.count("waiting:") == 1
    desk.phone.unplug()
    assert "waiting:" in desk.run("exec", "music", "--wait", "1", code=3)
    assert "waiting:" not in desk.run("exec", "music", "--wait", "0", code=3)


def test_a_wait_is_stopped_with_ctrl_c(desk: Desk) -> None:
    desk.phone.lock()
    process = desk.start("exec", "music", "--wait")
    line_of(process, "unlock")

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)

    assert process.returncode == 130


def test_a_wait_is_for_what_a_person_can_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtpsync.waiting.LOOK_S", 0.001)
    device = MemoryDevice()
    answers: list[MtpSyncError | Device] = []
    told: list[str] = []

    def opened(_serial: str | None) -> Device:
        answer = answers.pop(0)
        if isinstance(answer, MtpSyncError):
            raise answer
        return answer

    held = DeviceUnavailable("gvfs has it")
    answers[:] = [held]
    with pytest.raises(DeviceUnavailable):  # it was there before us: nothing to wait for
        ready_device(None, 60, told.append, opened)

    answers[:] = [NoDevice("no"), NoDevice("no"), held, DeviceLost("gone"), device]
    assert ready_device(None, 60, told.append, opened) is device
    assert [line.split(",")[0] for line in told] == [
        "waiting: plug the device in",
        "waiting: plug the device in again",
    ]

    monkeypatch.setattr("mtpsync.waiting.SETTLE_S", 0.0)
    answers[:] = [NoDevice("no"), held]
    with pytest.raises(DeviceUnavailable):
        ready_device(None, 60, told.append, opened)


# -- Ctrl+C ---------------------------------------------------------------------------------------

MIDDLE = 100_000


def in_the_middle(desk: Desk, seconds: int) -> subprocess.Popen[str]:
    """An exec that is half-way in a.mp3."""
    fault = {"on": "SendObject", "fault": "slow", "seconds": seconds, "after_bytes": MIDDLE}
    desk.phone.inject(fault)
    process = desk.start("exec", "music", "--dest", "/Music", "--json")
    desk.until(lambda: "/Music/a.mp3" in desk.phone.storage().tree())
    return process


def left_for_later(desk: Desk) -> list[str]:
    (plan,) = (desk.work / "data" / ".execution_retry").glob("*.json")
    content = json.loads(plan.read_text("utf-8"))
    return sorted(path for path in content if not path.startswith("//"))


def test_ctrl_c_finishes_the_file_and_keeps_the_rest_for_later(desk: Desk) -> None:
    process = in_the_middle(desk, 4)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)

    assert process.returncode == 130
    assert err == "stopping after this file; Ctrl+C again stops now\n"
    assert desk.on_the_phone() == {"a.mp3": MUSIC["a.mp3"]}
    assert json.loads(out)["sent"] == 1
    assert left_for_later(desk) == ["sub/empty", "sub/ü 💾.txt"]

    assert "2 file(s) sent" in desk.run("exec", "music", "--dest", "/Music")
    assert desk.on_the_phone() == MUSIC
    assert not list((desk.work / "data" / ".execution_retry").iterdir())


def test_ctrl_c_twice_stops_in_the_file_and_leaves_no_part_of_it(desk: Desk) -> None:
    process = in_the_middle(desk, 8)

    process.send_signal(signal.SIGINT)
    line_of(process, "stopping after this file")
    process.send_signal(signal.SIGINT)
    out, _err = process.communicate(timeout=100)

    assert process.returncode == 130
    assert json.loads(out)["sent"] == 0
    assert desk.on_the_phone() == {}
    assert left_for_later(desk) == ["a.mp3", "sub/empty", "sub/ü 💾.txt"]

    desk.run("exec", "music", "--dest", "/Music")
    assert desk.on_the_phone() == MUSIC


def test_ctrl_c_three_times_does_not_wait_for_a_device_that_hangs(desk: Desk) -> None:
    process = in_the_middle(desk, 60)

    process.send_signal(signal.SIGINT)
    line_of(process, "stopping after this file")
    for _time in range(8):  # two at once may arrive as one
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            break
    process.kill()
    process.communicate()

    assert process.returncode == 130
    desk.phone.clear_faults()
    desk.run("exec", "music", "--dest", "/Music")
    assert desk.on_the_phone() == MUSIC
