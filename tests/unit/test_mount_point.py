"""Drive letters: one spelling for all commands, and what is told of one that is taken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pyftpdrive.base.errors import MountError, MountProblem
from pyftpdrive.commands.drives import _freeing
from pyftpdrive.control.channel import MountRecord
from pyftpdrive.mount_point import check_letter, free_letters, letter_of, same_drive

SPELLINGS = ("Z", "z", "Z:", "z:", "Z:\\", "z:/", 'Z:"')
NONE = ("", ":", "ZZ", "Z:\\a", "1:", "é:", "/z", "Z;", "\ufb06")  # the last is ST in capitals


@pytest.mark.parametrize("drive", SPELLINGS)
def test_every_spelling_is_one_letter(drive: str) -> None:
    assert letter_of(drive) == "Z:"
    assert check_letter(drive, {"C:", "D:"}) == "Z:"
    assert all(same_drive(drive, other, letters=True) for other in SPELLINGS)
    assert not same_drive(drive, "Y:", letters=True)


@pytest.mark.parametrize("drive", NONE)
def test_what_is_no_letter(drive: str) -> None:
    assert letter_of(drive) is None
    assert not same_drive(drive, "Z:", letters=True)


@pytest.mark.skipif(sys.platform == "win32", reason="z and Z are one directory there")
def test_elsewhere_a_letter_is_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert not same_drive("z", "Z", letters=False)
    assert same_drive("z", str(tmp_path / "z"), letters=False)


def test_a_letter_that_is_taken_is_told_with_those_that_are_free() -> None:
    with pytest.raises(MountError) as caught:
        check_letter("z:\\", {"C:", "Z:", "Y:"})

    assert caught.value.problem is MountProblem.MOUNT_POINT
    told = str(caught.value)
    assert told.startswith("Z: is taken by another drive. Free letters: X, W, V.")
    assert told.endswith("pyftpdrive unmount --drive Z:")


def test_where_no_letter_is_free_a_directory_is() -> None:
    every = {f"{letter}:" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}

    with pytest.raises(
        MountError, match="No letter is free: give a directory that does not exist yet"
    ):
        check_letter("Z", every)
    assert free_letters({"C:"})[:2] == ["Z:", "Y:"]
    assert "A:" not in free_letters(set())


@pytest.mark.parametrize("drive", ["*", "*:"])
def test_a_letter_must_be_named(drive: str) -> None:
    with pytest.raises(MountError, match="name a drive letter: --drive Y:"):
        check_letter(drive, {"Z:"})


def test_a_directory_stays_one(tmp_path: Path) -> None:
    assert check_letter(str(tmp_path / "drive"), set()) == str(tmp_path / "drive")


@pytest.mark.parametrize(
    ("platform", "wanted"),
    [("linux", ["fusermount3 -uz Z:"]), ("win32", ["elevated", "taskkill /F /PID 77"])],
)
def test_a_drive_that_does_not_answer_can_be_freed(platform: str, wanted: list[str]) -> None:
    record = MountRecord(id="1", pid=77, drive="Z:", server="ftp://h", address="", key="00")

    told = _freeing(record, platform)

    assert all(text in told for text in wanted)
