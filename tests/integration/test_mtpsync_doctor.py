"""`mtpsync doctor` on devices with different manners, and where nothing works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtpsync.errors import ExitCode
from mtpsync.findings import Examination, Verdict
from simulators.fake_libmtp import Storage
from tests.helpers.mtp import fake_library
from tests.helpers.mtpsync_program import Desk, desk_at


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path) as desk:
        yield desk


def findings(desk: Desk, *words: str, code: int = 0) -> dict[str, list[tuple[str, str]]]:
    """By check: verdict and text."""
    told = json.loads(desk.run("doctor", "--json", *words, code=code))
    assert (told["exit_code"], told["works"]) == (code, code == 0)
    found: dict[str, list[tuple[str, str]]] = {}
    for each in told["findings"]:
        found.setdefault(each["check"], []).append((each["verdict"], each["text"]))
    return found


def test_a_phone_that_works_is_not_changed(desk: Desk) -> None:
    desk.phone.storage().put("/DCIM/a.jpg", b"x")
    before = desk.phone.storage().tree()

    told = desk.run("doctor")

    assert "18d1:4ee2, serial number S1" in told
    assert "'Internal shared storage': 34,359,73" in told
    assert "1 objects at the top, in 0." in told
    assert "sizes in 64 bits" in told
    assert told.endswith("mtpsync works with this device\n")
    assert desk.phone.storage().tree() == before
    calls = {call.call for call in desk.usb.ledger.calls()}
    assert not calls & {"Create_Folder", "Send_File_From_Handler", "Delete_Object"}


def test_the_libmtp_in_use(desk: Desk) -> None:
    assert findings(desk)["libmtp"][1][0] == "notice"
    desk.environment["MTPSYNC_LIBMTP"] = str(fake_library(newer=True).resolve())
    ((verdict, text),) = findings(desk)["libmtp"]
    assert verdict == "good"
    assert text.endswith("of release 1.1.21 or later")


def test_probes_on_a_phone(desk: Desk) -> None:
    desk.phone.storage().put("/DCIM/a.jpg", b"x")
    before = desk.phone.storage().tree()

    found = findings(desk, "--write")

    assert found["send and read back"][0][0] == "good"
    assert found["rename"] == [("good", "a file has its new name")]
    assert found["names that are taken"] == [("good", "a second file of the same name is refused")]
    assert "two names" in found["upper and lower case"][0][1]
    assert found["characters"][0][0] == "good"
    assert "arrival" in found["time of a file"][0][1]
    assert found["delete"][0][0] == "good"
    assert desk.phone.storage().tree() == before


@pytest.mark.parametrize(
    ("profile", "check", "says"),
    [
        ("android_card", "characters", "these characters"),
        ("android_card", "upper and lower case", "one"),
        ("garmin", "rename", "does not rename"),
        ("garmin", "names that are taken", "destroys"),
        ("umtp", "names that are taken", "replaces"),
        ("samsung", "names that are taken", "refused"),
        ("old_player", "sizes", "4 GiB"),
        ("kindle", "clean up", "does not delete folders"),
    ],
)
def test_devices_with_other_manners(desk: Desk, profile: str, check: str, says: str) -> None:
    desk.phone.unplug()
    phone = desk.usb.plug(profile, serial="S2")
    storage = "SD card" if profile == "android_card" else phone.profile.storages[0].description

    found = findings(desk, "--write", "--device", "S2", "--storage", storage)

    assert says in found[check][0][1]
    left = [path for each in phone.storages for path in each.tree()]
    assert len(left) == (check == "clean up")


def test_a_device_that_gives_back_other_bytes(desk: Desk) -> None:
    desk.phone.inject({"on": "GetObject", "fault": "corrupt_byte", "after_bytes": 100_000})

    assert findings(desk, "--write", code=7)["send and read back"][0][0] == "bad"
    assert desk.phone.storage().tree() == {}


def test_a_device_that_is_lost_half_way_is_cleaned_when_it_is_back(desk: Desk) -> None:
    desk.phone.inject({"on": "SendObject", "fault": "io_error", "nth": 3})

    found = findings(desk, "--write", code=8)

    assert "clean up" not in found
    assert desk.phone.storage().tree() == {}


def test_what_can_not_be_removed_is_named(desk: Desk) -> None:
    desk.phone.inject(
        {"on": "DeleteObject", "fault": "response", "code": 0x200F, "nth": 0, "name": "taken*"}
    )

    ((verdict, text),) = findings(desk, "--write", code=7)["clean up"]

    folder, *_files = desk.phone.storage().tree()
    assert (verdict, folder.strip("/") in text) == ("bad", True)


def test_where_nothing_works(desk: Desk) -> None:
    desk.phone.hold()
    assert "has it open" in desk.run("doctor", code=4)
    desk.phone.let_go()
    desk.phone.forbid()
    assert "69-mtpsync.rules" in desk.run("doctor", code=4)
    desk.phone.allow()
    desk.phone.lock()
    told = desk.run("doctor", code=5)
    assert "unlock its screen" in told
    assert told.splitlines()[-1].startswith("mtpsync won't work like this; first: unlock")
    desk.phone.unlock()
    assert "S9" in desk.run("doctor", "--device", "S9", code=3)
    desk.usb.plug("player", serial="S2")
    assert "several devices" in desk.run("doctor", code=2)
    desk.run("doctor", "--device", "S2")
    desk.environment["MTPSYNC_LIBMTP"] = str(desk.work / "none.so")
    assert "can't be loaded" in desk.run("doctor", code=4)


def test_a_storage_that_is_read_only(desk: Desk) -> None:
    desk.phone.unplug()
    desk.usb.plug("android", serial="S2", storages=[Storage(access=1)])

    assert findings(desk)["storages"][0][0] == "notice"
    assert "--storage" in findings(desk, "--write", code=2)["storages"][1][1]


def test_the_first_bad_finding_decides() -> None:
    seen = Examination()
    seen.notice("a", "b")
    assert (seen.exit_code, seen.findings[0].verdict) == (ExitCode.DONE, Verdict.NOTICE)
    seen.bad("c", "d", "do this", ExitCode.LOCKED)
    seen.bad("e", "f", "do that", ExitCode.LOST)
    assert seen.exit_code is ExitCode.LOCKED
    assert seen.conclusion.endswith("first: do this")
