"""`mtpsync --names`, with a memory card that is FAT."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.fake_libmtp import FakeDevice
from tests.helpers.mtpsync_program import MUSIC, Desk, desk_at

ODD = {"who?/what: a*b.mp3": b"odd", "who?/plain": b"in an odd folder", "end.": b"dot", "．": b"q"}
WRITTEN = {"who？/what： a＊b.mp3": b"odd", "who？/plain": b"in an odd folder", "end．": b"dot"}
TO = ("--dest", "/Music", "--storage", "SD card")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path) as desk:
        desk.phone.unplug()
        desk.phone = desk.usb.plug("android_card", serial="S2")
        for path, content in ODD.items():
            desk.put(path, content)
        yield desk


def on_the_card(phone: FakeDevice) -> dict[str, bytes]:
    return {
        path.removeprefix("/Music/"): content
        for path, content in phone.storage(1).tree().items()
        if content is not None
    }


def test_all_of_them_are_told_before_anything_is_sent(desk: Desk) -> None:
    told = desk.run("exec", "music", *TO, code=6)

    for path in ("who?:", "who?/what: a*b.mp3:", "end.:"):
        assert f"{path} a memory card can't hold this name" in told
    assert "plain" not in told
    assert on_the_card(desk.phone) == {}
    desk.run("exec", "music", "--dest", "/Music", "--storage", "internal")  # which is not FAT


def test_they_are_left_out_and_told(desk: Desk) -> None:
    told = json.loads(desk.run("exec", "music", *TO, "--names", "skip", "--json"))

    assert set(told["skipped"]) == {"who?", "who?/what: a*b.mp3", "who?/plain", "end."}
    assert on_the_card(desk.phone) == {**MUSIC, "．": b"q"}
    told = desk.run("verify", "music", *TO, "--names", "skip")
    assert "left out: end.: a memory card can't hold this name" in told
    assert "in sync: 4" in told


def test_they_are_written_with_other_characters_by_all_that_follows(desk: Desk) -> None:
    desk.run("verify", "music", *TO, "--names", "map", code=1)
    desk.phone.inject({"on": "SendObjectInfo", "fault": "response", "code": 0x200F, "name": "*＊*"})
    desk.run("exec", "music", *TO, code=7)  # the plan says how
    desk.run("exec", "music", *TO)  # and the retry plan

    assert on_the_card(desk.phone) == {**MUSIC, **WRITTEN, "‛．": b"q"}
    assert "in sync: 7" in desk.run("verify", "music", *TO, "--names", "map")
    (desk.work / "execution_plan.json").unlink()  # that there is nothing to do
    told = json.loads(desk.run("exec", "music", *TO, "--names", "map", "--json"))
    assert (told["sent"], told["already_there"]) == (0, 7)


def test_a_mirror_of_mapped_names(desk: Desk) -> None:
    desk.run("exec", "music", *TO, "--names", "map")
    (desk.work / "music" / "end.").unlink()
    (desk.work / "mtpsync.toml").write_text('[device.S2]\nnames = "map"\n')

    desk.run("verify", "music", *TO, "--delete", code=1)
    desk.run("exec", "music", *TO, "--delete")

    left = {path for path in on_the_card(desk.phone) if "trash" not in path}
    assert left == {*MUSIC, *WRITTEN, "‛．"} - {"end．"}


def test_a_plan_is_not_followed_with_other_names(desk: Desk) -> None:
    desk.run("verify", "music", *TO, "--names", "map", "--plan", "p.json", code=1)
    told = desk.run("exec", "music", *TO, "--names", "skip", "--plan", "p.json", code=2)
    assert "is for the names 'map', this is 'skip'" in told
    (desk.work / "mtpsync.toml").write_text('names = "guess"\n')
    assert "fail, skip, map" in desk.run("verify", "music", *TO, code=2)


def test_twins_are_refused_before_one_destroys_the_other(desk: Desk) -> None:
    for path in ODD:
        (desk.work / "music" / path).unlink()
    (desk.work / "music" / "who?").rmdir()
    desk.put("A.MP3", b"another one")

    told = desk.run("exec", "music", *TO, code=6)
    assert "a.mp3 and A.MP3 are one name on many devices" in told
    assert on_the_card(desk.phone) == {}

    told = desk.run("exec", "music", *TO, "--names", "skip")
    assert "left out: a.mp3 and A.MP3" in told
    assert on_the_card(desk.phone)["A.MP3"] == b"another one"
