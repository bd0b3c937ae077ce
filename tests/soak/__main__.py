"""`python -m tests.soak --minutes N --seed S`: random schedules until the time is over.

Prints a figure every minute and at the end; ends with 1 when a promise was broken. `--replay SEED`
runs one schedule with the drive's log on standard error.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.soak.schedule import Figures, Loss, Schedule, short_clocks

REPORT_S = 60.0
POWER_EVERY = 4


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--replay", type=int, help="run the schedule of this seed only")
    wanted = parser.parse_args()
    if wanted.replay is not None:
        return replay(wanted.replay)
    if wanted.jobs > 1:
        return several(wanted.minutes, wanted.seed, wanted.jobs)
    return soak(wanted.minutes, wanted.seed)


def replay(seed: int) -> int:
    """One schedule, told in full."""
    logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(threadName)s %(message)s")
    with tempfile.TemporaryDirectory() as work, short_clocks():
        try:
            Schedule(seed, Path(work), power=seed % POWER_EVERY == 0).run()
        except Loss as loss:
            print(loss)
            return 1
    print("nothing was lost")
    return 0


def several(minutes: float, seed: int, jobs: int) -> int:
    """The same in some processes, on seeds far apart."""
    command = [sys.executable, "-m", "tests.soak", "--minutes", str(minutes), "--seed"]
    children = [subprocess.Popen([*command, str(seed + job * 1_000_000)]) for job in range(jobs)]
    return max(child.wait() for child in children)


def soak(minutes: float, seed: int) -> int:
    """Schedules one after the other; the number of broken promises decides."""
    logging.getLogger("pyftpdrive").addHandler(logging.NullHandler())
    logging.getLogger("pyftpdrive").propagate = False
    total, losses = Figures(), 0
    until = time.monotonic() + minutes * 60
    reported = time.monotonic()
    start_bytes = 0
    with short_clocks():
        while time.monotonic() < until:
            with tempfile.TemporaryDirectory(prefix="pyftpdrive-soak-") as work:
                try:
                    total.add(Schedule(seed, Path(work), power=seed % POWER_EVERY == 0).run())
                except Loss as loss:
                    losses += 1
                    total.schedules += 1
                    print(f"LOSS (again: python -m tests.soak --replay {seed})\n{loss}", flush=True)
            seed += 1
            if total.schedules == 20:
                start_bytes = memory_bytes()  # caches of the interpreter are warm by now
            if time.monotonic() - reported > REPORT_S:
                reported = time.monotonic()
                report(total, losses, start_bytes)
    report(total, losses, start_bytes)
    return 1 if losses else 0


def report(total: Figures, losses: int, start_bytes: int) -> None:
    """One line that says everything."""
    figures = {each: getattr(total, each) for each in total.__dataclass_fields__}
    figures["slowest_s"] = round(total.slowest_s, 2)
    figures["losses"] = losses
    figures["memory_mib_after_20"] = start_bytes >> 20
    figures["memory_mib_now"] = memory_bytes() >> 20
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    figures["threads"] = threading.active_count()
    figures["descriptors"] = len(os.listdir("/proc/self/fd"))
    print(json.dumps(figures), flush=True)


def memory_bytes() -> int:
    """Resident now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    raise SystemExit(main())
