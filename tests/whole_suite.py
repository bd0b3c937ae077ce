"""Run every test in parallel under coverage; print coverage by layer, then pytest's last line.

    python -m tests.whole_suite [pytest arguments]

The exit code is pytest's. Its closing line is repeated at the very end, where people look.
What libfuse calls from its own threads is not traced: `hosts/fuse.py` is measured too low.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
CLOSING = re.compile(r"^(=+ )?(\d+ \w+, )*(\d+ \w+|no tests ran) in [\d.]+s( \([\d:]+\))?( =+)?$")
# Coverage in every process that the tests start, also where it ends by os._exit.
CONFIG = """
[run]
branch = true
parallel = true
source = pyftpdrive
data_file = {data}
disable_warnings = no-data-collected
patch =
    subprocess
    _exit
sigterm = true
[report]
exclude_also =
    if TYPE_CHECKING:
    if sys.platform == .win32.:
    raise AssertionError
"""


def main(arguments: list[str]) -> int:
    """Entry point."""
    with tempfile.TemporaryDirectory(prefix="pyftpdrive-coverage-") as folder:
        config = Path(folder) / "coveragerc"
        config.write_text(CONFIG.format(data=Path(folder) / "data"), encoding="utf-8")
        code, closing = _run_pytest(config, arguments)
        _print_coverage(config)
    print(closing or f"pytest ended without a summary, code {code}", flush=True)
    return code


def _run_pytest(config: Path, arguments: list[str]) -> tuple[int, str]:
    jobs = os.environ.get("PYFTPDRIVE_TEST_JOBS") or str(max(2, os.cpu_count() or 2))
    command = [
        *(sys.executable, "-m", "coverage", "run", "--rcfile", str(config), "-m", "pytest"),
        *("-n", jobs, "--dist", "worksteal", "--scenario-servers", "all"),
        *("--scenario-report", "report", *arguments),
    ]
    closing = ""
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if CLOSING.match(line.strip()):
                closing = line.strip()
        return process.wait(), closing


def _print_coverage(config: Path) -> None:
    tool = [sys.executable, "-m", "coverage"]
    output = config.parent / "coverage.json"
    quiet = {"cwd": PROJECT, "stdout": subprocess.DEVNULL, "check": False}
    subprocess.run([*tool, "combine", "--rcfile", str(config)], **quiet)  # type: ignore[call-overload]
    subprocess.run([*tool, "json", "--rcfile", str(config), "-o", str(output)], **quiet)  # type: ignore[call-overload]
    if not output.exists():
        print("coverage: no data")
        return
    print("\ncoverage by layer (lines and branches)")
    for layer, done, total in by_layer(json.loads(output.read_text(encoding="utf-8"))["files"]):
        print(f"  {layer:<24} {done / total:>6.1%}  {done:>5} of {total}")


def by_layer(files: dict[str, dict[str, dict[str, int]]]) -> list[tuple[str, int, int]]:
    """Rows (layer, covered, all) of coverage's JSON, and one for the whole.

    A layer is a directory of the package; its top-level modules are one layer.
    """
    done: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for name, content in files.items():
        parts = Path(name.replace("\\", "/")).parts
        layer = "/".join(parts[:2]) if len(parts) > 2 else f"{parts[0]} (top)"
        summary = content["summary"]
        for row in (layer, "total"):
            done[row] += summary["covered_lines"] + summary.get("covered_branches", 0)
            total[row] += summary["num_statements"] + summary.get("num_branches", 0)
    order = sorted(total, key=lambda row: (row == "total", row))
    return [(row, done[row], total[row]) for row in order if total[row]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
