"""winfspy's own file-system cases (written against NTFS) on its memory file system, on the fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.fake_winfsp import FakeWindows, wheel
from tests.helpers import winfstest
from tests.helpers.winfstest import CASES

pytestmark = pytest.mark.usefixtures("winfspy")


def folder() -> Path:
    return wheel.unpacked() / "winfspy" / "tests" / "winfstest" / "cases"


@pytest.mark.parametrize("place", ["X:", "C:\\mnt\\drive"])
@pytest.mark.parametrize("case", CASES)
def test_case_of_winfspy_holds_on_its_memory_file_system(case: str, place: str) -> None:
    with FakeWindows() as windows:
        from winfspy.memfs import create_memory_file_system

        drive = create_memory_file_system(place, verbose=False, testing=True)
        drive.start()
        try:
            winfstest.run(windows.kernel32, place, folder(), case)
        finally:
            drive.stop()


def test_every_case_of_the_wheel_is_run() -> None:
    assert {path.stem for path in folder().glob("*.t")} == set(CASES)
