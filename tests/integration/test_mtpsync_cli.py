"""`mtpsync` as people run it, with the fake libmtp as the device."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.mtpsync_program import MUSIC, Desk, desk_at


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path) as desk:
        yield desk


def test_a_first_run(desk: Desk) -> None:
    assert "S1" in desk.run("devices")
    told = desk.run("verify", "music", "--dest", "/Music", code=1)
    assert "a.mp3  [missing]" in told

    plan = json.loads((desk.work / "execution_plan.json").read_text("utf-8"))
    assert {key: kind for key, kind in plan.items() if not key.startswith("//")} == {
        "sub/": "dir",
        "a.mp3": "file",
        "sub/ü 💾.txt": "file",
        "sub/empty": "file",
    }
    assert "3 file(s) sent and proven" in desk.run("exec", "music", "--dest", "/Music")
    assert desk.on_the_phone() == MUSIC
    assert "in sync: 3" in desk.run("verify", "music", "--dest", "/Music")
    assert not (desk.work / "data").exists()


def test_the_specifications_form(desk: Desk) -> None:
    desk.run("music", "--dest", "/Music", code=1)
    desk.run("music", "--dest=/Music", "--mode=exec")
    desk.run("--mode", "verify", "--no-checksum", "music", "--dest", "/Music")
    assert desk.on_the_phone() == MUSIC
    assert "verify or exec" in desk.run("music", "--mode", "both", code=2)


def test_json_is_all_that_is_on_standard_output(desk: Desk) -> None:
    process = desk.start("exec", "music", "--dest", "/Music", "--json")
    out, _err = process.communicate(timeout=100)

    assert json.loads(out)["sent"] == 3


def test_a_second_exec_reads_nothing(desk: Desk) -> None:
    desk.run("exec", "music", "--dest", "/Music")
    before = len(desk.usb.ledger.calls("Get_File_To_Handler"))

    told = json.loads(desk.run("exec", "music", "--dest", "/Music", "--json"))

    assert (told["sent"], told["already_there"]) == (0, 3)
    assert len(desk.usb.ledger.calls("Get_File_To_Handler")) == before


def test_what_fails_is_in_a_retry_plan_that_goes_when_it_succeeded(desk: Desk) -> None:
    desk.phone.inject({"on": "SendObjectInfo", "fault": "response", "code": 0x200F, "nth": 2})

    told = desk.run("exec", "music", "--dest", "/Music", code=7)
    assert "failed" in told
    (retry,) = (desk.work / "data" / ".execution_retry").glob("*.json")
    assert str(retry.relative_to(desk.work)) in told

    desk.run("exec", "music", "--dest", "/Music")
    assert not retry.exists()
    assert desk.on_the_phone() == MUSIC


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "SendObject", "fault": "io_error", "after_bytes": 1000},
        {"on": "GetObject", "fault": "short_download", "after_bytes": 1000},
        {"on": "SendObject", "fault": "crash", "after_bytes": 20_000},
    ],
    ids=lambda fault: fault["fault"],
)
def test_a_fault_in_the_middle_ends_well(desk: Desk, fault: dict[str, object]) -> None:
    desk.phone.inject(fault)

    first = desk.start("exec", "music", "--dest", "/Music")
    first.communicate(timeout=100)
    desk.run("exec", "music", "--dest", "/Music")

    assert first.returncode in (0, 7)
    assert desk.on_the_phone() == MUSIC


def test_a_killed_run_is_finished_by_the_next_one(desk: Desk) -> None:
    desk.run("exec", "music", "--dest", "/Music")
    desk.put("a.mp3", os.urandom(400_000))
    slow = {"on": "SendObject", "fault": "slow", "seconds": 3, "after_bytes": 100_000}
    desk.phone.inject(slow)
    process = desk.start("exec", "music", "--dest", "/Music")
    until = time.monotonic() + 30
    while not any("~mtpsync" in path for path in desk.phone.storage().tree()):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert desk.on_the_phone()["a.mp3"] == MUSIC["a.mp3"]

    desk.run("exec", "music", "--dest", "/Music")

    expected = {**MUSIC, "a.mp3": (desk.work / "music" / "a.mp3").read_bytes()}
    assert desk.on_the_phone() == expected


def test_a_mirror_and_its_undo(desk: Desk) -> None:
    desk.run("exec", "music", "--dest", "/Music")
    (desk.work / "music" / "a.mp3").unlink()

    assert "only on the device" in desk.run(
        "verify", "music", "--dest", "/Music", "--delete", code=1
    )
    desk.run("exec", "music", "--dest", "/Music", "--delete")
    assert "a.mp3" not in desk.on_the_phone()

    assert "/Music/a.mp3 is back" in desk.run("undo")
    assert desk.on_the_phone() == MUSIC


def test_bad_input_gets_one_line_and_the_next_step(desk: Desk) -> None:
    assert "no such" in desk.run("verify", "nowhere", code=2).lower()
    assert "SOURCE_DIR" in desk.run("verify", code=2)
    (desk.work / "plan.json").write_text('{"../x": "file"}')
    assert "'../x'" in desk.run("exec", "music", "--plan", "plan.json", code=2)
    assert "does not exist" in desk.run("exec", "music", "--plan", "none.json", code=2)
    (desk.work / "mtpsync.toml").write_text("dest = 3\n")
    told = desk.run("verify", "music", code=2)
    assert "dest = 3" in told
    assert "Traceback" not in told


def test_a_profile_makes_a_bare_exec_work(desk: Desk) -> None:
    (desk.work / "mtpsync.toml").write_text(
        'source = "music"\n[device.S1]\ndest = "/Music"\nstorage = "internal"\n'
    )

    desk.run("exec")

    assert desk.on_the_phone() == MUSIC


def test_an_empty_plan_is_no_reason_to_do_nothing(desk: Desk) -> None:
    desk.run("exec", "music", "--dest", "/Music")
    desk.run("verify", "music", "--dest", "/Music")  # in sync: its plan is empty
    desk.put("new.mp3", b"new")

    desk.run("exec", "music", "--dest", "/Music")

    assert desk.on_the_phone() == {**MUSIC, "new.mp3": b"new"}


def test_a_storage_is_never_guessed(desk: Desk) -> None:
    desk.phone.unplug()
    desk.usb.plug("android_card", serial="S2")

    told = desk.run("verify", "music", code=2)

    assert "--storage" in told


def test_no_phone_and_a_locked_one(desk: Desk) -> None:
    desk.phone.lock()
    desk.run("verify", "music", code=5)
    desk.phone.unplug()
    assert "no MTP device" in desk.run("verify", "music", code=3)


def test_an_estimate_is_of_what_was_measured_on_this_device(desk: Desk) -> None:
    desk.put("large", bytes(2 << 20))
    told = json.loads(desk.run("verify", "music", "--dest", "/Music", "--json", code=1))
    assert told["estimate_is_measured"] is False
    desk.phone.set(bytes_per_s=4 << 20)  # half a second for it, so that it counts
    desk.run("exec", "music", "--dest", "/Music")
    desk.put("more", bytes(8 << 20))

    told = json.loads(desk.run("verify", "music", "--dest", "/Music", "--quick", "--json", code=1))

    assert told["estimate_is_measured"] is True
    assert told["estimated_seconds"] >= 4  # it takes two seconds each way, at least
    desk.put("more", bytes(1 << 20))
    assert "as measured on this device" in desk.run("verify", "music", "--dest", "/Music", code=1)


def test_a_report_of_verify_and_of_exec(desk: Desk) -> None:
    desk.put("<b>.mp3", b"bold")
    desk.run("verify", "music", "--dest", "/Music", "--report", "r.html", code=1)
    page = (desk.work / "r.html").read_text("utf-8")
    assert "Not in sync: 4 file(s) to send" in page
    assert "&lt;b&gt;.mp3" in page
    assert "<b>" not in page
    assert "Proven" not in page

    desk.run("exec", "music", "--dest", "/Music", "--report", "r.html")
    page = (desk.work / "r.html").read_text("utf-8")
    assert "4 file(s) sent" in page
    assert "/Music/&lt;b&gt;.mp3" in page  # proven

    told = desk.run("verify", "music", "--dest", "/Music", "--report", "no/r.html", code=2)
    assert "no such folder" in told
    assert "can't be written" in desk.run("verify", "music", "--dest", "/Music", "--report", ".")
