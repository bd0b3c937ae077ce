"""`python -m tests.fsx --operations N --seed S`: random operations on a real mount.

Prints figures as JSON. A failing run prints the last operations and the command that repeats it,
and ends with 1. Everything but the meeting of threads is decided by the seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tests.fsx.model import Wrong
from tests.fsx.run import SEGMENT, Run


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fsx", description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--segment", type=int, default=SEGMENT, help="operations on one server")
    parser.add_argument("--work", type=Path, help="directory that is kept, with the drive's log")
    parser.add_argument("--debug", action="store_true", help="the drive's log tells everything")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pyftpdrive-fsx-") as temporary:
        work = wanted.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        run = Run(
            work,
            operations=wanted.operations,
            seed=wanted.seed,
            segment=wanted.segment,
            level="DEBUG" if wanted.debug else "INFO",
        )
        problem = None
        try:
            run.run()
        except Wrong as wrong:
            problem = wrong
    print(json.dumps({"seed": wanted.seed, **run.figures, "wrong": int(problem is not None)}))
    if problem is not None:
        print(
            f"{problem}\nagain: python -m tests.fsx --operations {wanted.operations} "
            f"--segment {wanted.segment} --seed {wanted.seed}"
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
