"""Each step of a scenario, done on a host and checked. One method a step, called `do_<step>`."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from pyftpdrive import config as configuration
from simulators.lossy_disk import LossyDisk
from simulators.lossy_disk.disk import Unsynced
from tests.scenario_runner.content import content, describe, size_of
from tests.scenario_runner.grammar import Scenario, Step
from tests.scenario_runner.hosts import Host, HostFailure, MountRefused
from tests.scenario_runner.model import Promises
from tests.scenario_runner.servers import Server

POLL_S = 0.02
BRANCH_S = 120.0
PROGRAM_S = 90.0
# A program waits for a deadline for each name of a path, and this machine may be busy.
SLACK_S = 2.0
PROMPT = frozenset(
    {"list", "stat", "open", "close", "mkdir", "rmdir", "delete", "space", "set_times"}
)
"""Steps that must be over within the application's deadline, whatever the server does."""


class ScenarioFailed(AssertionError):
    """An expectation or an invariant does not hold; begins with file and line."""


class Steps:
    """One run of the steps of *scenario*."""

    def __init__(
        self,
        scenario: Scenario,
        host: Host,
        server: Server,
        spool: Path,
        disk: LossyDisk | None = None,
    ) -> None:
        self.scenario = scenario
        self.host = host
        self.server = server
        self.spool = spool
        self.disk = disk  # where the spool is, in scenarios with a power cut
        self.promises = Promises(
            {path: self.data(text) for path, text in scenario.server.get("files", {}).items()},
            scenario.server.get("sparse", {}),
        )
        self.mounted = False
        self.deadline_s = _deadline(scenario)

    def failed(self, line: int, message: str) -> ScenarioFailed:
        return ScenarioFailed(f"{self.scenario.file}:{line}: {message}")

    def data(self, text: str) -> bytes:
        return content(text, self.scenario.seed)

    # -- running ---------------------------------------------------------------------------

    def run(self, steps: list[Step]) -> None:
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        """Do one step; what a program is told must be what the scenario says."""
        wanted = step.error
        began = time.monotonic()
        try:
            getattr(self, f"do_{step.action}")(step, step.arguments)
        except OSError as error:
            self._check_prompt(step, time.monotonic() - began)
            if wanted is None:
                raise self.failed(
                    step.line, f"{_shown(step)} failed: {error} ({_name(error)})"
                ) from error
            if error.errno not in self.host.codes(wanted):
                raise self.failed(
                    step.line,
                    f"{_shown(step)} failed with {_name(error)} ({error}), "
                    f"expected {wanted.value} ({sorted(map(hex, self.host.codes(wanted)))})",
                ) from error
            return
        except HostFailure as error:
            raise self.failed(step.line, f"{_shown(step)}: {error}") from error
        self._check_prompt(step, time.monotonic() - began)
        if wanted is not None:
            raise self.failed(step.line, f"{_shown(step)} succeeded, expected '{wanted.value}'")

    def _check_prompt(self, step: Step, took_s: float) -> None:
        """No callback is slower than its deadline; there is one callback for each name."""
        promised_s = step.arguments.get("within_s")
        if promised_s is not None and step.action != "wait" and took_s > promised_s:
            raise self.failed(
                step.line, f"{_shown(step)} took {took_s:.2f} s, wanted within {promised_s} s"
            )
        if step.action not in PROMPT and step.error is None:
            return
        names = str(step.arguments.get("path", "/")).count("/") + 1
        limit_s = self.deadline_s * names + SLACK_S
        if took_s > limit_s:
            raise self.failed(
                step.line, f"{_shown(step)} took {took_s:.1f} s, allowed {limit_s:.1f} s"
            )

    def expect(self, step: Step, what: str, found: Any, wanted: Any) -> None:
        if found == wanted:
            return
        if isinstance(found, bytes) and isinstance(wanted, bytes):
            found, wanted = describe(found), _difference(found, wanted)
        raise self.failed(step.line, f"{step.action}: {what} is {found}, expected {wanted}")

    # -- looking ---------------------------------------------------------------------------

    def do_list(self, step: Step, a: dict[str, Any]) -> None:
        names = self.host.list(a["path"])
        if len(names) != len(set(names)):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise self.failed(step.line, f"list: there twice: {twice[:20]}")
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

    def do_stat(self, step: Step, a: dict[str, Any]) -> None:
        kind, size, modified_ns = self.host.stat(a["path"])
        if "kind" in a:
            self.expect(step, "the kind", kind, a["kind"])
        if "size" in a:
            self.expect(step, "the size", size, size_of(str(a["size"])))
        if "modified" in a:
            self.expect(step, "the time", modified_ns // 10**9, _seconds(a["modified"]))

    def do_space(self, step: Step, a: dict[str, Any]) -> None:
        total, free = self.host.space()
        if not 0 < free <= total < 1 << 53:
            raise self.failed(step.line, f"space: {free} bytes free of {total} is absurd")

    # -- changing --------------------------------------------------------------------------

    def do_write(self, step: Step, a: dict[str, Any]) -> None:
        data, mode, offset = self.data(a["content"]), a.get("mode", "overwrite"), _offset(a)
        self.host.write(a["path"], data, mode, offset)
        self.promises.write(a["path"], data, mode=mode, offset=offset)

    def do_truncate(self, step: Step, a: dict[str, Any]) -> None:
        size = size_of(str(a["size"]))
        self.host.truncate(a["path"], size)
        self.promises.truncate(a["path"], size)

    def do_delete(self, step: Step, a: dict[str, Any]) -> None:
        self.host.delete(a["path"])
        self.promises.delete(a["path"])

    def do_mkdir(self, step: Step, a: dict[str, Any]) -> None:
        self.host.mkdir(a["path"])

    def do_rmdir(self, step: Step, a: dict[str, Any]) -> None:
        self.host.rmdir(a["path"])

    def do_rename(self, step: Step, a: dict[str, Any]) -> None:
        self.host.rename(a["from"], a["to"])
        self.promises.rename(a["from"], a["to"])

    def do_copy(self, step: Step, a: dict[str, Any]) -> None:
        data = self.host.read(a["from"], 0, None)
        self.host.write(a["to"], data, "overwrite", 0)
        self.promises.write(a["to"], data, mode="overwrite")

    def do_set_times(self, step: Step, a: dict[str, Any]) -> None:
        self.host.set_times(a["path"], _seconds(a["modified"]) * 10**9)

    # -- open files ------------------------------------------------------------------------

    def do_open(self, step: Step, a: dict[str, Any]) -> None:
        mode = a.get("mode", "read")
        self.host.open(a["path"], a["as"], mode)
        self.promises.opened(a["as"], a["path"])
        if mode == "create":
            self.promises.created(a["path"])

    def do_write_handle(self, step: Step, a: dict[str, Any]) -> None:
        data, offset = self.data(a["content"]), _offset(a)
        self.host.write_handle(a["as"], data, offset)
        self.promises.write_handle(a["as"], data, offset)

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

    # -- the server and the mount ----------------------------------------------------------

    def do_wait(self, step: Step, a: dict[str, Any]) -> None:
        until = time.monotonic() + a["within_s"]
        while True:
            uploads: dict[str, Any] = {}
            if a["until"] == "frozen":  # the drive itself may hang now: it isn't asked
                done = self.server.frozen
            elif a["until"] in ("reachable", "unreachable"):
                uploads = self.host.status()["sessions"]
                done = uploads["reachable"] is (a["until"] == "reachable")
            else:
                uploads = self.host.uploads()
                unsent = uploads["pending"] or uploads["held"]
                done = not unsent if a["until"] == "spool_empty" else bool(uploads[a["until"]])
            if done:
                return
            if time.monotonic() > until:
                raise self.failed(
                    step.line, f"wait: not {a['until']} within {a['within_s']} s: {uploads}"
                )
            threading.Event().wait(POLL_S)

    def do_status(self, step: Step, a: dict[str, Any]) -> None:
        sessions = self.host.status()["sessions"]
        away_s = sessions["unreachable_s"]
        if "reachable" in a:
            self.expect(step, "reachable", sessions["reachable"], a["reachable"])
            self.expect(step, "whether it says for how long not", away_s is None, a["reachable"])
        if "unreachable_min_s" in a and (away_s is None or away_s < a["unreachable_min_s"]):
            raise self.failed(
                step.line, f"status: unreachable_s is {away_s}, at least {a['unreachable_min_s']}"
            )
        if "limit" in a:
            self.expect(step, "the limit of sessions", sessions["limit"], a["limit"])
        if "says" in a:
            told = " ".join(self.host.told_status().split())
            if a["says"] not in told:
                raise self.failed(step.line, f"status does not say {a['says']!r}; it says: {told}")

    def do_sleep(self, step: Step, a: dict[str, Any]) -> None:
        self.server.act("deafen", {})
        self.host.sleep(a["seconds"])

    def do_server(self, step: Step, a: dict[str, Any]) -> None:
        if a["do"] == "put":
            data = self.data(a["content"])
            self.server.put(a["path"], data)
            self.promises.others_put(a["path"], data)
        elif a["do"] == "remove":
            self.server.remove(a["path"])
            self.promises.others_removed(a["path"])
        elif a["do"] == "mkdir":
            self.server.mkdir(a["path"])
        else:
            self.server.act(a["do"], a)

    def do_server_has(self, step: Step, a: dict[str, Any]) -> None:
        tree = self.server.tree()
        if a["path"] not in tree:
            raise self.failed(step.line, f"the server lacks {a['path']}; it has {sorted(tree)}")
        if "content" in a:
            self.expect(
                step, f"{a['path']} on the server", tree[a["path"]], self.data(a["content"])
            )

    def do_held(self, step: Step, a: dict[str, Any]) -> None:
        exported = self.host.held(a["do"], a["path"], overwrite=a.get("overwrite", False))
        if "content" in a:
            self.expect(step, "what was exported", exported, self.data(a["content"]))
        if a["do"] == "discard":
            self.promises.discarded(a["path"])

    def do_recover(self, step: Step, a: dict[str, Any]) -> None:
        if self.mounted:
            raise self.failed(step.line, "recover: unmount first")
        self.expect(step, "what is left", sorted(self.host.recover()), sorted(a.get("left", [])))

    def do_why(self, step: Step, a: dict[str, Any]) -> None:
        told = self.host.why()
        for wanted in a["contains"]:
            if wanted not in told:
                raise self.failed(step.line, f"why does not say {wanted!r}; it says:\n{told}")
        for unwanted in a.get("lacks", []):
            if unwanted in told:
                raise self.failed(step.line, f"why says {unwanted!r}:\n{told}")

    def do_server_lacks(self, step: Step, a: dict[str, Any]) -> None:
        if a["path"] in self.server.tree():
            raise self.failed(step.line, f"the server has {a['path']}")

    def do_unmount(self, step: Step, a: dict[str, Any]) -> None:
        said = self.host.unmount(a.get("by", "command"))
        self.mounted = False
        if "open_files" in a:
            self.expect(step, "what was open", sorted(said.open_files), sorted(a["open_files"]))
        self.expect(step, "what is left to send", sorted(said.left), sorted(a.get("left", [])))

    def do_remount(self, step: Step, a: dict[str, Any]) -> None:
        if self.mounted:
            self.do_unmount(step, {})
        self.host.mount()
        self.mounted = True

    def do_kill(self, step: Step, a: dict[str, Any]) -> None:
        self.host.kill()
        self.mounted = False

    def do_power_cut(self, step: Step, a: dict[str, Any]) -> None:
        if self.disk is None:
            raise self.failed(step.line, "power_cut: there is no disk that can lose power")
        self.disk.remember(Unsynced(a.get("unsynced", Unsynced.OLD)), self.scenario.seed)
        self.host.kill()  # what it still does on its way out is not on the disk
        self.disk.restore()
        self.mounted = False

    def do_staged(self, step: Step, a: dict[str, Any]) -> None:
        """What a disk that fails, or a person who cleans up, does to bytes that wait."""
        if self.mounted:
            raise self.failed(step.line, "staged: it is mounted: kill it first")
        file = staged_file(self.spool, a["path"])
        if a["do"] == "remove":
            file.unlink()
            self.promises.discarded(a["path"])
        else:
            os.truncate(file, file.stat().st_size // 2)

    def do_mount_fails(self, step: Step, a: dict[str, Any]) -> None:
        if self.mounted:
            raise self.failed(step.line, "mount_fails: it is mounted: unmount first")
        try:
            self.host.mount()
        except MountRefused as refused:
            if a["says"].lower() not in str(refused).lower():
                raise self.failed(
                    step.line, f"mount_fails: it said {str(refused)!r}, not {a['says']!r}"
                ) from refused
            return
        self.mounted = True
        raise self.failed(step.line, "mount_fails: it was mounted")

    # -- programs and order ----------------------------------------------------------------

    def do_run(self, step: Step, a: dict[str, Any]) -> None:
        root = self.host.at("/")
        self.promises.anything_happened()
        try:
            done = subprocess.run(
                [part.replace("{drive}", root) for part in a["command"]],
                cwd=self.host.at(a.get("directory", "/")),
                env={**os.environ, **_PROGRAM_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PROGRAM_S,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise self.failed(step.line, f"run: not over after {PROGRAM_S} s: {late.cmd}") from late
        said = done.stdout + done.stderr
        if done.returncode != a.get("exit", 0):
            raise self.failed(step.line, f"{a['command']} ended with {done.returncode}: {said}")
        if "output" in a and a["output"] not in said:
            raise self.failed(step.line, f"{a['output']!r} is not in {said!r}")

    def do_repeat(self, step: Step, a: dict[str, Any]) -> None:
        for _ in range(a["times"]):
            self.run(a["steps"])

    def do_parallel(self, step: Step, a: dict[str, Any]) -> None:
        failures: list[BaseException] = []

        def branch(steps: list[Step]) -> None:
            try:
                self.run(steps)
            except BaseException as error:  # noqa: BLE001  # raised again by the main branch
                failures.append(error)

        threads = [
            threading.Thread(target=branch, args=(steps,), daemon=True) for steps in a["branches"]
        ]
        until = time.monotonic() + BRANCH_S
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if failures:
            raise failures[0]
        if any(thread.is_alive() for thread in threads):
            raise self.failed(step.line, f"parallel: a branch is not over after {BRANCH_S} s")


_PROGRAM_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{role}_NAME": "Test" for role in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{role}_EMAIL": "test@example.invalid" for role in ("AUTHOR", "COMMITTER")},
}


def _deadline(scenario: Scenario) -> float:
    """The application's deadline as the drive understands this scenario's configuration."""
    flags: dict[tuple[str, str], object] = {("ftp", "host"): "x", ("mount", "drive"): "x"}
    for name, value in scenario.config.items():
        section, _, key = name.partition(".")
        flags[section, key] = value
    return configuration.load(None, {}, flags).connection.deadline_seconds


def staged_file(spool: Path, path: str) -> Path:
    """Where the bytes of *path* wait; the drive is not mounted.

    Raises:
        FileNotFoundError: they don't wait.
    """
    for journal in spool.glob("*/journal.sqlite"):
        with closing(sqlite3.connect(journal)) as rows:
            for (name,) in rows.execute(
                "SELECT id FROM staged WHERE path = ?", (os.fsencode(path),)
            ):
                return journal.parent / "staged" / str(name)
    raise FileNotFoundError(errno.ENOENT, "nothing waits for this path", path)


def _offset(arguments: dict[str, Any]) -> int:
    return size_of(str(arguments.get("offset", 0)))


def _seconds(moment: datetime | int) -> int:
    return int(moment.timestamp()) if isinstance(moment, datetime) else moment


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def _shown(step: Step) -> str:
    """'rename /a -> /b'."""
    a = step.arguments
    words = [step.action, *(str(a[key]) for key in ("path", "as", "from") if key in a)]
    return " ".join([*words, f"-> {a['to']}"] if "to" in a else words)


def _difference(found: bytes, wanted: bytes) -> str:
    """What was wanted, and where the first octet differs."""
    pairs = zip(found, wanted, strict=False)
    first = next((at for at, (x, y) in enumerate(pairs) if x != y), min(len(found), len(wanted)))
    return f"{describe(wanted)}; the first difference is at byte {first}"
