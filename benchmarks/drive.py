"""pyftpdrive beside `rclone mount --vfs-cache-mode full`, on a real vsftpd on loopback.

    python -m benchmarks.drive [--rows read,write,…] [--rtt 0,20] [--repeat 3] [--quick]
                               [--systems pyftpdrive,rclone,curl] [--json FILE] [--plot FILE]

The systems are mounted in turn (A B A B …) with fresh caches; every byte is compared. Figures are
medians; what counts is the ratio, since machines are noisy. Needs rclone, curl, fuse3, and the
unpacked servers of `python -m tests.helpers.real_servers install`.

Further systems: `rclone-tuned`, `pyftpdrive-unsynced` (fsync returns at once: what durability
costs), and `local` (no drive at all: the server's own directory, which shows what the rows
themselves cost). Ctrl+C ends the run, unmounts, and reports what is known.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from benchmarks.report import as_text, flatness, plot, table
from benchmarks.results import CURL, PYFTPDRIVE, RCLONE, Run, machine, save
from benchmarks.rows import ROWS
from benchmarks.runner import Plan, Runner
from benchmarks.systems import SYSTEMS, versions
from tests.helpers import real_servers

DEFAULT_SYSTEMS = (PYFTPDRIVE, RCLONE, CURL)
QUICK = 0.1


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[float]:
    return [float(word) for word in _words(text)]


def _options(arguments: list[str]) -> argparse.Namespace:
    usual = [row.name for row in ROWS.values() if not row.optional]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=_words, default=usual, help=f"of {', '.join(ROWS)}")
    parser.add_argument("--systems", type=_words, default=list(DEFAULT_SYSTEMS))
    parser.add_argument("--rtt", type=_numbers, default=[0.0, 20.0], help="round trips in ms")
    parser.add_argument("--server", choices=real_servers.NAMES, default="vsftpd")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the scale")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one row")
    parser.add_argument(
        "--slow", type=float, default=120.0, help="a row that takes longer is not repeated"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(arguments)
    if options.quick:
        options.scale *= QUICK
    for what, given, known in (
        ("rows", options.rows, list(ROWS)),
        ("systems", options.systems, [*SYSTEMS, CURL]),
    ):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"unknown {what}: {', '.join(unknown)}; known: {', '.join(known)}")
    if reason := _missing(options):
        parser.error(reason)
    return options


def _missing(options: argparse.Namespace) -> str | None:
    """What this machine lacks for the run, and what to do about it."""
    programs = {name.partition("-")[0] for name in options.systems} & {"rclone", "curl"}
    for program in [*sorted(programs), "fusermount3"]:
        if not shutil.which(program):
            package = "fuse3" if program == "fusermount3" else program
            return f"{program} is not installed (apt-get install {package}), or name --systems"
    return real_servers.available(options.server)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Entry of `python -m benchmarks.drive`; 1 when a row of pyftpdrive failed, 130 at Ctrl+C."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    now = datetime.datetime.now(tz=datetime.UTC)
    run = Run(
        about={
            "date": f"{now:%Y-%m-%d}",
            "machine": machine(),
            "server": options.server,
            "scale": options.scale,
            "repeat": options.repeat,
            "versions": versions(options.systems),
        }
    )
    plan = Plan(
        server=options.server,
        systems=options.systems,
        rows=options.rows,
        rtts_ms=options.rtt,
        repeat=options.repeat,
        scale=options.scale,
        timeout_s=options.timeout,
        slow_s=options.slow,
    )
    status = 0
    try:
        Runner(plan, run).measure()
    except KeyboardInterrupt:
        print("interrupted: this is what is known so far", file=sys.stderr)
        status = 130
    print(as_text(table(run)))
    for sentence in flatness(run):
        print(sentence)
    if options.json:
        save(run, options.json)
    if options.plot:
        print(plot(run, options.plot))
    return status or int(any(failure.system == PYFTPDRIVE for failure in run.failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
