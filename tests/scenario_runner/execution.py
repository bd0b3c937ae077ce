"""Runs one scenario on one host and one server, then asks what no scenario can switch off.

Invariants: every byte that the drive acknowledged is on the server, pending or HELD, and what was
deleted stays deleted; nothing of ours is left on the server; sessions stay within the limit; no
thread, descriptor, process or mount is left; nothing unexpected is logged; no call that must be
prompt is slower than its deadline (see `steps`), and no callback of the drive is (`callbacks`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pyftpdrive.spool.names import TEMPORARY_PREFIX
from simulators.lossy_disk import LossyDisk
from tests.helpers import guards
from tests.scenario_runner.callbacks import Measured, measure, too_late
from tests.scenario_runner.content import describe
from tests.scenario_runner.grammar import Scenario, Step, all_steps
from tests.scenario_runner.hosts import UPLOAD_NAME, DirectHost, FuseHost, Host, HostFailure
from tests.scenario_runner.servers import DiskServer, Server, SimulatedServer
from tests.scenario_runner.steps import POLL_S, ScenarioFailed, Steps
from tests.scenario_runner.winfsp_host import WinFspHost

HostMaker = Callable[[Scenario, Server, Path], Host]
HOSTS: dict[str, HostMaker] = {"direct": DirectHost, "fuse": FuseHost, "winfsp": WinFspHost}
DRAIN_S = 30
SIMULATOR = "simulator"

__all__ = ["HOSTS", "ScenarioFailed", "run"]


def run(
    scenario: Scenario,
    host_name: str,
    server_name: str,
    work: Path,
    *,
    make: HostMaker | None = None,
    note: Callable[[Measured], None] = lambda _measured: None,
) -> None:
    """Run *scenario*; *make* stands in for the host of that name (tests of the runner).

    *note* is told what the drive's callbacks took, also when the scenario fails.

    Raises:
        ScenarioFailed: with file, line and what was seen.
    """
    before = guards.take(work)
    try:
        _run(scenario, make or HOSTS[host_name], server_name, work, note)
    except BaseException:
        _free(guards.leaks(before, work))
        raise
    left = guards.leaks(before, work)
    _free(left)
    if left:
        raise ScenarioFailed(f"{scenario.file}:1: left behind: {'; '.join(left)}")


def _free(left: list[str]) -> None:
    """Whatever a failed drive left must not disturb the next scenario."""
    for line in left:
        if line.startswith("mount "):
            guards.free_mount(line.removeprefix("mount "))


def _run(
    scenario: Scenario,
    make: HostMaker,
    server_name: str,
    work: Path,
    note: Callable[[Measured], None],
) -> None:
    server: Server
    server = (
        SimulatedServer(scenario) if server_name == SIMULATOR else DiskServer(server_name, scenario)
    )
    try:
        host = make(scenario, server, work)
        cut = any(step.action == "power_cut" for step in all_steps(scenario.steps))
        spool = work / UPLOAD_NAME
        disk = LossyDisk(spool) if cut else None
        steps = Steps(scenario, host, server, spool, disk)
        try:
            host.mount()
            steps.mounted = True
            steps.run(scenario.steps)
            End(steps).check()
            for text in scenario.expect.get("told", ()):
                if text not in host.told():
                    raise steps.failed(
                        scenario.places.line("expect", "told"), f"not in the log: {text!r}"
                    )
        except HostFailure as error:
            raise steps.failed(1, str(error)) from error
        finally:
            host.abandon()
            if disk is not None:
                disk.close()
            measured = measure(host.callbacks(), steps.deadline_s)
            note(measured)
        late = too_late(measured)
        if late:
            raise steps.failed(1, late)
        for line in host.log().splitlines():
            if not any(text in line for text in scenario.logs):
                raise steps.failed(scenario.places.line("logs"), f"unexpected in the log: {line}")
    finally:
        server.stop()


class End:
    """What must be true after the last step."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.scenario = steps.scenario
        self.expect: dict[str, Any] = steps.scenario.expect
        self.line = steps.scenario.places.line("expect")

    def failed(self, message: str, *place: str) -> ScenarioFailed:
        line = self.scenario.places.line("expect", *place) if place else self.line
        return self.steps.failed(line, message)

    def check(self) -> None:
        """Drain, unmount, then look at the server."""
        kept = self._drain() if self.steps.mounted else {
            path for key in ("pending", "held") for path in self.expect.get(key, ())
        }  # fmt: skip
        tree = self.steps.server.tree()
        self._check_remote(tree)
        broken = self.steps.promises.broken(tree, kept)
        if broken:
            raise self.failed("; ".join(broken))
        left = sorted(path for path in tree if TEMPORARY_PREFIX in path)
        if left and not kept:
            raise self.failed(f"left on the server: {left}")
        self._check_commands()

    def _drain(self) -> set[str]:
        """Wait for the uploads and unmount; return what is pending or HELD, as expected."""
        host = self.steps.host
        waits = {key: sorted(self.expect.get(key, ())) for key in ("pending", "held")}
        if not any(waits.values()):
            last = Step("wait", {"until": "spool_empty", "within_s": DRAIN_S}, self.line)
            self.steps.do_wait(last, last.arguments)
        until = time.monotonic() + DRAIN_S
        while (found := self._uploads()) != waits and time.monotonic() < until:
            time.sleep(POLL_S)  # what a kill left twice is still being looked for on the server
        for key, paths in waits.items():
            if found[key] != paths:
                raise self.failed(f"{key}: {found[key]}, expected {paths}", key)
        host.unmount("command")
        self.steps.mounted = False
        return {path for paths in found.values() for path in paths}

    def _uploads(self) -> dict[str, list[str]]:
        uploads = self.steps.host.uploads()
        return {
            "pending": sorted(uploads["pending"]),
            "held": sorted(row["path"] for row in uploads["held"]),
        }

    def _check_remote(self, tree: dict[str, bytes | None]) -> None:
        for path, text in self.expect.get("remote", {}).items():
            wanted, found = self.steps.data(text), tree.get(path)
            if found != wanted:
                shown = describe(found) if found is not None else f"missing (there: {sorted(tree)})"
                raise self.failed(
                    f"on the server {path} is {shown}, expected {describe(wanted)}", "remote", path
                )
        for pattern, text in self.expect.get("remote_like", {}).items():
            wanted = self.steps.data(text)
            alike = [path for path in tree if fnmatchcase(path, pattern)]
            if [tree[path] for path in alike] != [wanted]:
                raise self.failed(
                    f"on the server {pattern} is {alike}, expected one: {describe(wanted)}",
                    "remote_like",
                    pattern,
                )
        for path in self.expect.get("absent", ()):
            if path in tree:
                raise self.failed(f"on the server {path} should not exist", "absent")
        for path in self.expect.get("directories", ()):
            if path not in tree or tree[path] is not None:
                raise self.failed(f"on the server {path} should be a directory", "directories")

    def _check_commands(self) -> None:
        server = self.steps.server
        if not isinstance(server, SimulatedServer):
            return
        for command, wanted in self.expect.get("commands", {}).items():
            count = server.sim.ledger.count(command)
            limits = wanted if isinstance(wanted, dict) else {"min": wanted, "max": wanted}
            if not limits.get("min", 0) <= count <= limits.get("max", count):
                raise self.failed(
                    f"{count} {command} commands, expected {wanted}", "commands", command
                )
        limit = self.expect.get("sessions_max", self.scenario.server.get("sessions_max"))
        limit = limit or server.sim.profile.sessions_max
        peak = server.sim.sessions_peak
        if limit is not None and peak > limit:
            raise self.failed(f"{peak} sessions at a time, allowed {limit}")
