"""Random schedules of operations, faults, crashes and power cuts: nothing may be lost.

`tox -e soak -- --minutes N --seed S` runs them for as long as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.schedule import Schedule, short_clocks

BLOCKS = 20
IN_BLOCK = 10
POWER_EVERY = 4  # of these one has its spool on a disk that can lose power


@pytest.mark.logs("is held")
@pytest.mark.logs("was changed by another program")
@pytest.mark.logs("was made meanwhile")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_schedules_lose_nothing(block: int, tmp_path: Path) -> None:
    with short_clocks():
        for number in range(IN_BLOCK):
            seed = 10_000 + block * IN_BLOCK + number
            work = tmp_path / str(number)
            work.mkdir()

            figures = Schedule(seed, work, power=seed % POWER_EVERY == 0).run()

            assert figures.operations > 0
