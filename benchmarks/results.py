"""What a run of the benchmarks found, as values and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rows import ROWS

PYFTPDRIVE, RCLONE, CURL, LOCAL = "pyftpdrive", "rclone", "curl", "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value."""

    row: str
    measure: str  # what people read: "list 10,000 files, cold"
    system: str
    server: str
    rtt_ms: float
    repetition: int
    value: float
    unit: str
    higher_is_better: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A row that a system did not do."""

    row: str
    system: str
    server: str
    rtt_ms: float
    repetition: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one row cost the mount's processes."""

    row: str
    system: str
    server: str
    rtt_ms: float
    repetition: int
    peak_mib: float
    cpu_s: float


@dataclass(slots=True, kw_only=True)
class Run:
    """Everything of one run."""

    about: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: medians by system."""

    row: str
    measure: str
    server: str
    rtt_ms: float
    unit: str
    higher_is_better: bool
    medians: dict[str, float]
    counts: dict[str, int]
    failed: dict[str, str]  # system -> reason; never dropped silently

    @property
    def ratio(self) -> float | None:
        """How many times better than rclone; None: one of them has no figure."""
        ours, theirs = self.medians.get(PYFTPDRIVE), self.medians.get(RCLONE)
        if not ours or not theirs:
            return None
        return ours / theirs if self.higher_is_better else theirs / ours


def lines(run: Run) -> list[Line]:
    """One line for each round trip, row and measure, in the order of `ROWS`."""
    keys = dict.fromkeys(
        (f.server, f.rtt_ms, f.row, f.measure, f.unit, f.higher_is_better) for f in run.figures
    )
    known = {(server, rtt_ms, row) for server, rtt_ms, row, *_ in keys}
    keys.update(
        dict.fromkeys(
            (f.server, f.rtt_ms, f.row, f.row, "", False)
            for f in run.failures
            if (f.server, f.rtt_ms, f.row) not in known
        )
    )
    found = [_line(run, *key) for key in keys]
    servers = list(dict.fromkeys(line.server for line in found))
    order = list(ROWS)
    return sorted(
        found,
        key=lambda line: (servers.index(line.server), line.rtt_ms, order.index(line.row)),
    )


def _line(
    run: Run, server: str, rtt_ms: float, row: str, measure: str, unit: str, higher: bool
) -> Line:
    values: dict[str, list[float]] = {}
    for figure in run.figures:
        if (figure.server, figure.rtt_ms, figure.row, figure.measure) == (
            server, rtt_ms, row, measure,
        ):  # fmt: skip
            values.setdefault(figure.system, []).append(figure.value)
    failed = {
        failure.system: failure.reason
        for failure in run.failures
        if (failure.server, failure.rtt_ms, failure.row) == (server, rtt_ms, row)
    }
    return Line(
        row=row,
        measure=measure,
        server=server,
        rtt_ms=rtt_ms,
        unit=unit,
        higher_is_better=higher,
        medians={system: statistics.median(found) for system, found in values.items()},
        counts={system: len(found) for system, found in values.items()},
        failed=failed,
    )


def save(run: Run, path: Path) -> None:
    """Write *run* as JSON, with the medians for readers that don't want to compute them."""
    document = {
        **dataclasses.asdict(run),
        "lines": [{**dataclasses.asdict(line), "ratio": line.ratio} for line in lines(run)],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Run:
    """Read what `save` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return Run(
        about=document["about"],
        figures=[Figure(**item) for item in document["figures"]],
        failures=[Failure(**item) for item in document["failures"]],
        costs=[Cost(**item) for item in document["costs"]],
    )


def merge(runs: list[Run]) -> Run:
    """One run from several; of a row on a round trip, the last run that measured it counts."""
    whole = Run(about=dict(runs[0].about))
    for run in runs:
        measured: list[Figure | Failure] = [*run.figures, *run.failures]
        fresh = {(f.server, f.rtt_ms, f.row, f.system) for f in measured}

        def is_old(
            item: Figure | Failure | Cost, fresh: set[tuple[str, float, str, str]] = fresh
        ) -> bool:
            return (item.server, item.rtt_ms, item.row, item.system) not in fresh

        whole.figures = [*filter(is_old, whole.figures), *run.figures]
        whole.failures = [*filter(is_old, whole.failures), *run.failures]
        whole.costs = [*filter(is_old, whole.costs), *run.costs]
        scales = {*whole.about.get("scales", [whole.about.get("scale", 1.0)])}
        scales |= {*run.about.get("scales", [run.about.get("scale", 1.0)])}
        versions = {**whole.about.get("versions", {}), **run.about.get("versions", {})}
        whole.about |= {**run.about, "scales": sorted(scales), "versions": versions}
    return whole


def machine() -> dict[str, Any]:
    """Where the run took place."""
    return {
        "system": _os_name(),
        "kernel": platform.release(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
    }


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def first_line(command: list[str]) -> str:
    """The first line that *command* prints; '' when it fails."""
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = shown.stdout.strip()
    return text.splitlines()[0] if text and shown.returncode == 0 else ""
