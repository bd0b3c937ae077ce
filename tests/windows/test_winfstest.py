"""winfspy's own file-system cases, on a real drive letter."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.helpers import winfstest
from tests.scenario_runner.win32_calls import real_kernel32
from tests.windows.drives import mounted

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows with WinFsp")


@pytest.mark.parametrize("case", winfstest.ON_OUR_DRIVE)
def test_case_of_winfspy_holds_on_a_drive_letter(case: str, tmp_path: Path) -> None:
    found = importlib.util.find_spec("winfspy")
    assert found is not None
    assert found.origin is not None
    cases = Path(found.origin).parent / "tests" / "winfstest" / "cases"
    with mounted(tmp_path, "vsftpd") as (letter, _server):
        winfstest.run(real_kernel32(), letter, cases, case)
