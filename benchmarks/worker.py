"""One row on one mounted drive, in a process that its parent can kill: JSON lines on stdout.

python -m benchmarks.worker ROW WHERE [--curl]    # WHERE: `encode` of a `rows.Where`
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.content import WrongContent
from benchmarks.rows import ROWS, Where


def encode(where: Where) -> str:
    """*where* as the worker's argument."""
    return json.dumps(dataclasses.asdict(where), default=str)


def decode(text: str) -> Where:
    """What `encode` made."""
    fields: dict[str, Any] = json.loads(text)
    for name in ("drive", "server", "scratch"):
        fields[name] = Path(fields[name])
    return Where(**fields)


def main(arguments: list[str]) -> int:
    """Run the row; each measure is a line as soon as it is known, the last line is the verdict."""
    row, where = ROWS[arguments[0]], decode(arguments[1])
    work = row.curl if "--curl" in arguments[2:] else row.run
    assert work is not None
    error = None
    try:
        for measure in work(where):
            print(json.dumps(dataclasses.asdict(measure)), flush=True)
    except (WrongContent, OSError, KeyError, subprocess.CalledProcessError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    print(json.dumps({"error": error}), flush=True)
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
