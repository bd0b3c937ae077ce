"""Runs rows on systems in turn, and leaves nothing behind: no process, mount or temporary file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.latency_proxy import LatencyProxy
from benchmarks.results import CURL, Cost, Failure, Figure, Run
from benchmarks.rows import ROWS, Row, Where, prepare
from benchmarks.systems import SYSTEMS, Address, CannotMount, System
from benchmarks.worker import encode
from tests.helpers.real_servers import RealServer

ROOT = Path(__file__).resolve().parents[1]
GRACE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run."""

    server: str
    systems: list[str]
    rows: list[str]
    rtts_ms: list[float]
    repeat: int
    scale: float
    timeout_s: float
    slow_s: float  # a row that took a system longer is not repeated with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the worker said."""

    measures: list[dict[str, object]]
    error: str | None
    seconds: float


class Runner:
    """Measures a plan, row by row; `run` holds what is known so far, also after Ctrl+C."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self._plan = plan
        self.run = run
        self._prepared: set[str] = set()
        self._slow: set[tuple[float, str, str]] = set()

    def measure(self) -> None:
        """Run everything; figures and failures are appended to `run`."""
        with RealServer.start(self._plan.server) as server:
            for rtt_ms in self._plan.rtts_ms:
                with _far_away(server.port, rtt_ms) as port:
                    address = Address(port=port, username=server.username, password=server.password)
                    for row in self._plan.rows:
                        self._row(ROWS[row], address, Path(server.root), rtt_ms)

    def _row(self, row: Row, address: Address, root: Path, rtt_ms: float) -> None:
        if row.near_only and rtt_ms != self._plan.rtts_ms[0]:
            return
        for repetition in range(self._plan.repeat):
            for system in self._plan.systems:
                if system == CURL and row.curl is None:
                    continue
                if (rtt_ms, row.name, system) in self._slow:
                    continue
                began = time.monotonic()
                self._one(row, system, address, root, rtt_ms, repetition)
                if time.monotonic() - began > self._plan.slow_s:
                    self._slow.add((rtt_ms, row.name, system))

    def _one(
        self, row: Row, system: str, address: Address, root: Path, rtt_ms: float, repetition: int
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="bench-scratch-") as scratch:
            where = Where(
                drive=root / row.name,
                server=root / row.name,
                url=f"{address.url}/{row.name}",
                scratch=Path(scratch),
                scale=self._plan.scale,
            )
            if row.writes or row.name not in self._prepared:
                prepare(row, where)
                self._prepared.add(row.name)
            try:
                if system == CURL:
                    outcome, usage = _work(row, where, None, self._plan.timeout_s), None
                else:
                    with SYSTEMS[system](address, root) as mounted:
                        there = dataclasses.replace(where, drive=mounted.drive / row.name)
                        outcome = _work(row, there, mounted, self._plan.timeout_s)
                        usage = mounted.usage()
            except CannotMount as refused:
                outcome, usage = Outcome(measures=[], error=str(refused), seconds=0.0), None
        measures = list(outcome.measures)
        common = {
            "row": row.name, "system": system, "server": self._plan.server,
            "rtt_ms": rtt_ms, "repetition": repetition,
        }  # fmt: skip
        if usage is not None:
            self.run.costs.append(
                Cost(**common, peak_mib=usage.peak_mib, cpu_s=usage.cpu_s)  # type: ignore[arg-type]
            )
            if row.peak is not None and outcome.error is None:
                measures.append({"name": row.peak(where), "value": usage.peak_mib, "unit": "MiB"})
        for measure in measures:
            figure = Figure(**common, measure=measure.pop("name"), **measure)  # type: ignore[arg-type]
            self.run.figures.append(figure)
            _say(rtt_ms, system, f"{figure.measure:46} {figure.value:10.3f} {figure.unit}")
        if outcome.error is not None:
            self.run.failures.append(Failure(**common, reason=outcome.error))  # type: ignore[arg-type]
            _say(rtt_ms, system, f"{row.name}: FAILED: {outcome.error}")


def _say(rtt_ms: float, system: str, text: str) -> None:
    print(f"{rtt_ms:3g} ms  {system:12} {text}", flush=True)


@contextlib.contextmanager
def _far_away(port: int, rtt_ms: float) -> Iterator[int]:
    """The server's port at a distance of *rtt_ms*."""
    if rtt_ms:
        with LatencyProxy(port, rtt_ms / 1000) as proxy:
            yield proxy.port
    else:
        yield port


def _work(row: Row, where: Where, mounted: System | None, timeout_s: float) -> Outcome:
    """Run *row* in a process of its own, for at most *timeout_s*."""
    command = [sys.executable, "-m", "benchmarks.worker", row.name, encode(where)]
    began = time.monotonic()
    process = subprocess.Popen(
        command if mounted is not None else [*command, "--curl"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
    reader.start()
    late = False
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        if process.poll() is None:
            # Whoever waits inside the mount can be killed only when the mount is gone.
            if mounted is not None:
                mounted.abandon()
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
        reader.join(GRACE_S)
        process.stdout.close()
    messages = [json.loads(line) for line in lines]
    measures = [message for message in messages if "error" not in message]
    if late:
        error: str | None = f"not done after {timeout_s:g} s"
    elif len(measures) == len(messages):
        error = f"the worker ended with {process.returncode}"
    else:
        error = messages[-1]["error"]
    return Outcome(measures=measures, error=error, seconds=time.monotonic() - began)
