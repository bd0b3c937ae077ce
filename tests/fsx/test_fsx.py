"""A few thousand random operations on a real mount. `tox -e fsx` does a hundred thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fsx.run import Run

OPERATIONS = 1250
SEGMENT = 420  # three kinds of server in each, the last one with faults


@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_random_operations_on_a_mount_agree_with_the_model(seed: int, tmp_path: Path) -> None:
    figures = Run(tmp_path, operations=OPERATIONS, seed=seed, segment=SEGMENT).run()

    assert figures["operations"] == OPERATIONS
    assert figures["server compared"] >= 3
    assert figures["maps written"]
