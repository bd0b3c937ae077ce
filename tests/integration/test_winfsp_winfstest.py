"""winfspy's own file-system cases (written against NTFS) on our drive: adapter, core, server."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.fake_winfsp import wheel
from tests.helpers import winfstest
from tests.helpers.winfsp_drive import mounted

pytestmark = pytest.mark.usefixtures("winfspy")


@pytest.mark.parametrize("place", ["Z:", "C:\\mnt\\drive"])
@pytest.mark.parametrize("case", winfstest.ON_OUR_DRIVE)
def test_case_of_winfspy_holds_on_the_drive(case: str, place: str, tmp_path: Path) -> None:
    cases = wheel.unpacked() / "winfspy" / "tests" / "winfstest" / "cases"
    with mounted(tmp_path, drive=place) as pc:
        winfstest.run(pc.k, place, cases, case)
