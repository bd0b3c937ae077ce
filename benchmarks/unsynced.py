"""pyftpdrive on a disk that never makes anybody wait: what durability costs, by comparison.

`python -m benchmarks.unsynced mount …` is pyftpdrive with fsync and fdatasync that return at once.
For benchmarks only: a power cut would lose what was saved.
"""

from __future__ import annotations

import os
import sys

from pyftpdrive.cli import main


def _at_once(_fd: int) -> None:
    """As if the disk had it."""


if __name__ == "__main__":
    os.fsync = _at_once  # type: ignore[assignment]
    if sys.platform != "darwin":
        os.fdatasync = _at_once  # type: ignore[assignment]
    main()
