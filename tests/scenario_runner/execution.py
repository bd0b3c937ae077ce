"""Runs one scenario on one host and one server, then asks what no scenario can switch off.

Invariants: every byte that the drive acknowledged is on the server, pending or HELD; nothing of ours
is left on the server; sessions stay within the limit; no thread, descriptor or mount is left; nothing
unexpected is logged.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from pyftpdrive.hosts.fuse_errno import to_errno
from pyftpdrive.spool.staging import TEMPORARY_PREFIX
from tests.scenario_runner.content import content, describe, size_of
from tests.scenario_runner.grammar import Scenario, Step
from tests.scenario_runner.hosts import DirectHost, FuseHost, Host
from tests.scenario_runner.servers import DiskServer, Server, SimulatedServer

HOSTS: dict[str, type[DirectHost] | type[FuseHost]] = {"direct": DirectHost, "fuse": FuseHost}
END_S = 5.0


class ScenarioFailed(AssertionError):
    """An expectation or an invariant does not hold; begins with file and line."""


class _Run:
    """One run. `acknowledged` is what programs were told to be saved: path -> bytes, None: gone."""

    def __init__(self, scenario: Scenario, host: Host, server: Server) -> None:
        self.scenario = scenario
        self.host = host
        self.server = server
        self.acknowledged: dict[str, bytes | None] = {}
        self.mounted = False

    def failed(self, line: int, message: str) -> ScenarioFailed:
        return ScenarioFailed(f"{self.scenario.file}:{line}: {message}")

    def data(self, text: str) -> bytes:
        return content(text, self.scenario.seed)

    # -- steps ---------------------------------------------------------------------------

    def steps(self, steps: list[Step]) -> None:
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        wanted = step.error
        try:
            getattr(self, f"do_{step.action}")(step, step.arguments)
        except OSError as error:
            if wanted is None:
                raise self.failed(
                    step.line, f"{step.action} failed: {error} ({_name(error)})"
                ) from error
            if error.errno != to_errno(wanted):
                raise self.failed(
                    step.line,
                    f"{step.action} failed with {_name(error)} ({error}), "
                    f"expected {errno.errorcode[to_errno(wanted)]} ({wanted.value})",
                ) from error
            return
        if wanted is not None:
            raise self.failed(step.line, f"{step.action} succeeded, expected '{wanted.value}'")

    def expect(self, step: Step, what: str, found: Any, wanted: Any) -> None:
        if found == wanted:
            return
        if isinstance(found, bytes) and isinstance(wanted, bytes):
            found, wanted = describe(found), describe(wanted)
        raise self.failed(step.line, f"{step.action}: {what} is {found}, expected {wanted}")

    def do_list(self, step: Step, a: dict[str, Any]) -> None:
        names = self.host.list(a["path"])
        if len(names) != len(set(names)):
            raise self.failed(step.line, f"list: a name is there twice: {sorted(names)}")
        if "names" in a:
            self.expect(step, "the directory", sorted(names), sorted(a["names"]))
        if "count" in a:
            self.expect(step, "the number of names", len(names), a["count"])
        for name in a.get("contains", ()):
            if name not in names:
                raise self.failed(step.line, f"list: {name!r} is missing from {sorted(names)[:20]}")
        for name in a.get("lacks", ()):
            if name in names:
                raise self.failed(step.line, f"list: {name!r} should not be there")

    def do_read(self, step: Step, a: dict[str, Any]) -> None:
        length = size_of(str(a["length"])) if "length" in a else None
        found = self.host.read(a["path"], _offset(a), length)
        if "content" in a:
            self.expect(step, a["path"], found, self.data(a["content"]))
        elif length is not None:
            self.expect(step, "the number of bytes", len(found), length)

    def do_write(self, step: Step, a: dict[str, Any]) -> None:
        data, mode, offset = self.data(a["content"]), a.get("mode", "overwrite"), _offset(a)
        self.host.write(a["path"], data, mode, offset)
        before = self.acknowledged.get(a["path"])
        if mode == "append":
            self.acknowledged[a["path"]] = (before or self._original(a["path"])) + data
        elif mode == "in_place":
            old = before if before is not None else self._original(a["path"])
            old = old.ljust(offset, b"\0")
            self.acknowledged[a["path"]] = old[:offset] + data + old[offset + len(data) :]
        else:
            self.acknowledged[a["path"]] = data

    def _original(self, path: str) -> bytes:
        text = self.scenario.server.get("files", {}).get(path)
        return self.data(text) if text else b""

    def do_truncate(self, step: Step, a: dict[str, Any]) -> None:
        size = size_of(str(a["size"]))
        self.host.truncate(a["path"], size)
        before = self.acknowledged.get(a["path"])
        old = before if before is not None else self._original(a["path"])
        self.acknowledged[a["path"]] = old[:size].ljust(size, b"\0")

    def do_delete(self, step: Step, a: dict[str, Any]) -> None:
        self.host.delete(a["path"])
        self.acknowledged[a["path"]] = None

    def do_mkdir(self, step: Step, a: dict[str, Any]) -> None:
        self.host.mkdir(a["path"])

    def do_rmdir(self, step: Step, a: dict[str, Any]) -> None:
        self.host.rmdir(a["path"])

    def do_rename(self, step: Step, a: dict[str, Any]) -> None:
        old, new = a["from"], a["to"]
        self.host.rename(old, new)
        moved = [path for path in self.acknowledged if path == old or path.startswith(old + "/")]
        for path in moved:
            self.acknowledged[new + path[len(old) :]] = self.acknowledged[path]
            self.acknowledged[path] = None

    def do_copy(self, step: Step, a: dict[str, Any]) -> None:
        data = self.host.read(a["from"], 0, None)
        self.host.write(a["to"], data, "overwrite", 0)
        self.acknowledged[a["to"]] = data

    def do_stat(self, step: Step, a: dict[str, Any]) -> None:
        kind, size, modified_ns = self.host.stat(a["path"])
        if "kind" in a:
            self.expect(step, "the kind", kind, a["kind"])
        if "size" in a:
            self.expect(step, "the size", size, size_of(str(a["size"])))
        if "modified" in a:
            self.expect(step, "the time", modified_ns // 10**9, a["modified"])

    def do_set_times(self, step: Step, a: dict[str, Any]) -> None:
        self.host.set_times(a["path"], a["modified"] * 10**9)

    def do_open(self, step: Step, a: dict[str, Any]) -> None:
        self.host.open(a["path"], a["as"], a.get("mode", "read"))

    def do_write_handle(self, step: Step, a: dict[str, Any]) -> None:
        self.host.write_handle(a["as"], self.data(a["content"]), _offset(a))

    def do_read_handle(self, step: Step, a: dict[str, Any]) -> None:
        wanted = self.data(a["content"]) if "content" in a else None
        length = size_of(str(a["length"])) if "length" in a else len(wanted or b"")
        found = self.host.read_handle(a["as"], _offset(a), length)
        if wanted is not None:
            self.expect(step, "the content", found, wanted)

    def do_fsync(self, step: Step, a: dict[str, Any]) -> None:
        self.host.fsync(a["as"])

    def do_close(self, step: Step, a: dict[str, Any]) -> None:
        self.host.close(a["as"])

    def do_space(self, step: Step, a: dict[str, Any]) -> None:
        total, free = self.host.space()
        if not 0 < free <= total < 1 << 53:
            raise self.failed(step.line, f"space: {free} bytes free of {total} is absurd")

    def do_wait(self, step: Step, a: dict[str, Any]) -> None:
        until = time.monotonic() + a["within_s"]
        while True:
            uploads = self.host.uploads()
            if a["until"] == "spool_empty":
                done = not uploads["pending"] and not uploads["held"]
            else:
                done = bool(uploads[a["until"]])
            if done:
                return
            if time.monotonic() > until:
                raise self.failed(
                    step.line, f"not {a['until']} within {a['within_s']} s: {uploads}"
                )
            threading.Event().wait(0.02)

    def do_server(self, step: Step, a: dict[str, Any]) -> None:
        if a["do"] == "put":
            self.server.put(a["path"], self.data(a["content"]))
        elif a["do"] in ("remove", "mkdir"):
            getattr(self.server, a["do"])(a["path"])
        else:
            assert isinstance(self.server, SimulatedServer)
            self.server.act(a["do"], a)

    def do_unmount(self, step: Step, a: dict[str, Any]) -> None:
        opened = self.host.unmount()
        self.mounted = False
        if "open_files" in a:
            self.expect(step, "what was still open", sorted(opened), sorted(a["open_files"]))

    def do_remount(self, step: Step, a: dict[str, Any]) -> None:
        if self.mounted:
            self.host.unmount()
        self.host.mount()
        self.mounted = True

    def do_run(self, step: Step, a: dict[str, Any]) -> None:
        assert isinstance(self.host, FuseHost)
        done = subprocess.run(
            [part.replace("{drive}", self.host.at("/")) for part in a["command"]],
            cwd=self.host.at(a.get("directory", "/")),
            env={**os.environ, "HOME": self.host.at("/"), "LC_ALL": "C.UTF-8",
                 "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )  # fmt: skip
        if done.returncode != a.get("exit", 0):
            raise self.failed(
                step.line, f"{a['command']} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        if "output" in a and a["output"] not in done.stdout + done.stderr:
            raise self.failed(step.line, f"{a['output']!r} is not in {done.stdout + done.stderr!r}")

    def do_repeat(self, step: Step, a: dict[str, Any]) -> None:
        for _ in range(a["times"]):
            self.steps(a["steps"])

    def do_parallel(self, step: Step, a: dict[str, Any]) -> None:
        failures: list[BaseException] = []

        def branch(steps: list[Step]) -> None:
            try:
                self.steps(steps)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=branch, args=(steps,)) for steps in a["branches"]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        if failures:
            raise failures[0]

    # -- the end -------------------------------------------------------------------------

    def finish(self) -> None:
        """Drain, then look at the server."""
        expect = self.scenario.expect
        kept: set[str] = set()
        if self.mounted:
            if not expect.get("pending") and not expect.get("held"):
                self.do_wait(Step("wait", {}, 1), {"until": "spool_empty", "within_s": 30})
            uploads = self.host.uploads()
            held = [row["path"] for row in uploads["held"]]
            kept = {*uploads["pending"], *held}
            for key, found in (("pending", uploads["pending"]), ("held", held)):
                if key in expect and sorted(found) != sorted(expect[key]):
                    raise self.failed(1, f"{key}: {sorted(found)}, expected {sorted(expect[key])}")
            self.host.unmount()
            self.mounted = False
        tree = self.server.tree()
        self._check_remote(tree)
        self._check_acknowledged(tree, kept)
        left = [path for path in tree if TEMPORARY_PREFIX in path]
        if left and not kept:
            raise self.failed(1, f"left on the server: {left}")
        self._check_commands()

    def _check_remote(self, tree: dict[str, bytes | None]) -> None:
        expect = self.scenario.expect
        for path, text in expect.get("remote", {}).items():
            if tree.get(path) != self.data(text):
                found = tree.get(path)
                shown = describe(found) if found is not None else f"missing (there: {sorted(tree)})"
                raise self.failed(
                    1, f"on the server {path} is {shown}, expected {describe(self.data(text))}"
                )
        for path in expect.get("absent", ()):
            if path in tree:
                raise self.failed(1, f"on the server {path} should not exist")
        for path in expect.get("directories", ()):
            if path not in tree or tree[path] is not None:
                raise self.failed(1, f"on the server {path} should be a directory")

    def _check_acknowledged(self, tree: dict[str, bytes | None], kept: set[str]) -> None:
        for path, data in self.acknowledged.items():
            if data is not None and tree.get(path) != data and path not in kept:
                found = tree.get(path)
                shown = "missing" if found is None else describe(found)
                raise self.failed(
                    1, f"LOST: {path} was saved as {describe(data)}; on the server it is {shown}"
                )

    def _check_commands(self) -> None:
        if not isinstance(self.server, SimulatedServer):
            return
        ledger = self.server.sim.ledger
        for command, wanted in self.scenario.expect.get("commands", {}).items():
            count = ledger.count(command)
            limits = wanted if isinstance(wanted, dict) else {"min": wanted, "max": wanted}
            if not limits.get("min", 0) <= count <= limits.get("max", count):
                raise self.failed(1, f"{count} {command} commands, expected {wanted}")
        limit = self.scenario.server.get("sessions_max")
        if limit is not None and self.server.sim.sessions_peak > limit:
            raise self.failed(1, f"{self.server.sim.sessions_peak} sessions, allowed {limit}")


def _offset(arguments: dict[str, Any]) -> int:
    return size_of(str(arguments.get("offset", 0)))


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def run(scenario: Scenario, host_name: str, server_name: str, work: Path) -> None:
    """Run *scenario*; raises ScenarioFailed with file, line and what was seen."""
    threads_before = set(threading.enumerate())
    descriptors_before = _descriptors()
    server: Server
    if server_name == "simulator":
        server = SimulatedServer(scenario)
    else:
        server = DiskServer(server_name, scenario)
    try:
        host = HOSTS[host_name](scenario, server, work)
        this = _Run(scenario, host, server)
        try:
            host.mount()
            this.mounted = True
            this.steps(scenario.steps)
            this.finish()
        finally:
            host.abandon()
        for line in host.log().splitlines():
            if not any(text in line for text in scenario.logs):
                raise this.failed(1, f"unexpected in the log: {line}")
    finally:
        server.stop()
    _check_leaks(scenario, threads_before, descriptors_before)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _check_leaks(scenario: Scenario, threads: set[threading.Thread], descriptors: int) -> None:
    until = time.monotonic() + END_S
    while True:
        left = [thread.name for thread in threading.enumerate() if thread not in threads]
        more = _descriptors() - descriptors
        if not left and more <= 0:
            return
        if time.monotonic() > until:
            raise ScenarioFailed(
                f"{scenario.file}:1: left behind: threads {left}, {more} file descriptors"
            )
        threading.Event().wait(0.02)
