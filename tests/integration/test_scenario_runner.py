"""The scenario runner can fail: each expectation and each invariant goes red when it should.

The drive here is a double without any drive in it: it works on the simulator's files directly, so
that every wrong behaviour can be had on purpose.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.errors import FsStatus
from pyftpdrive.hosts.fuse_errno import to_errno
from tests.helpers import guards
from tests.scenario_runner.callbacks import Callback, from_log, measure, too_late
from tests.scenario_runner.execution import run
from tests.scenario_runner.grammar import Scenario, load
from tests.scenario_runner.hosts import MountRefused, Unmounted
from tests.scenario_runner.plugin import known_items
from tests.scenario_runner.servers import Server, SimulatedServer
from tests.scenario_runner.steps import ScenarioFailed


class MemoryHost:
    """A drive that has everything on the server at once."""

    def __init__(self, _scenario: Scenario, server: Server, _work: Path) -> None:
        assert isinstance(server, SimulatedServer)
        self.sim = server.sim
        self.handles: dict[str, str] = {}
        self.pending: list[str] = []
        self.held: list[str] = []
        self.logged: list[str] = []
        self.measured: list[Callback] = []

    def codes(self, status: FsStatus) -> set[int]:
        return {to_errno(status)}

    def mount(self) -> None: ...
    def kill(self) -> None: ...
    def abandon(self) -> None: ...

    def unmount(self, by: str) -> Unmounted:
        opened = sorted(self.handles.values())
        self.handles.clear()
        return Unmounted(open_files=opened, left=list(self.pending))

    def _require(self, path: str) -> None:
        if not self.sim.exists(path):
            raise FileNotFoundError(errno.ENOENT, "no such file", path)

    def list(self, path: str) -> list[str]:
        self._require(path)
        prefix = path.rstrip("/") + "/"
        below = [p[len(prefix) :] for p in self.sim.tree() if p.startswith(prefix)]
        return [name for name in below if "/" not in name]

    def read(self, path: str, offset: int, length: int | None) -> bytes:
        self._require(path)
        end = None if length is None else offset + length
        return self.sim.get(path)[offset:end]

    def write(self, path: str, data: bytes, mode: str, offset: int) -> None:
        old = self.sim.get(path) if self.sim.exists(path) else b""
        if mode == "create" and self.sim.exists(path):
            raise FileExistsError(errno.EEXIST, "exists", path)
        if mode in ("append", "in_place"):
            at = len(old) if mode == "append" else offset
            data = old.ljust(at, b"\0")[:at] + data + old[at + len(data) :]
        self.sim.put(path, data)

    def truncate(self, path: str, size: int) -> None:
        self.sim.put(path, self.sim.get(path)[:size].ljust(size, b"\0"))

    def delete(self, path: str) -> None:
        self._require(path)
        self.sim.remove(path)

    def mkdir(self, path: str) -> None:
        self.sim.mkdir(path)

    def rmdir(self, path: str) -> None:
        self.sim.remove(path)

    def rename(self, old: str, new: str) -> None:
        self.sim.rename(old, new)

    def stat(self, path: str) -> tuple[str, int, int]:
        self._require(path)
        found = self.sim.stat(path)
        return ("directory" if found.kind == "dir" else "file"), found.size, found.modified_ns

    def set_times(self, path: str, modified_ns: int) -> None:
        self.sim.set_modified(path, modified_ns)

    def open(self, path: str, name: str, mode: str) -> None:
        if mode == "create" and not self.sim.exists(path):
            self.sim.put(path, b"")
        self.handles[name] = path

    def write_handle(self, name: str, data: bytes, offset: int) -> None:
        self.write(self.handles[name], data, "in_place", offset)

    def read_handle(self, name: str, offset: int, length: int) -> bytes:
        return self.read(self.handles[name], offset, length)

    def fsync(self, name: str) -> None: ...

    def close(self, name: str) -> None:
        del self.handles[name]

    def space(self) -> tuple[int, int]:
        return 2 << 30, 1 << 30

    def uploads(self) -> dict[str, Any]:
        return {
            "pending": list(self.pending),
            "failing": [],
            "held": [{"path": path, "reason": "conflict"} for path in self.held],
        }

    def at(self, path: str) -> str:
        return "."

    def log(self) -> str:
        return "\n".join(self.logged)

    def callbacks(self) -> list[Callback]:
        return self.measured


class Runner:
    """Runs the text of a scenario on a double."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path

    def __call__(
        self, text: str, host: Callable[..., MemoryHost] = MemoryHost, config: str = ""
    ) -> None:
        file = self._tmp_path / "one.toml"
        head = (
            'id = "one"\nwhy = "because"\ncovers = ["Rename file"]\nhosts = ["fuse"]\n'
            'server = { files = { "/a" = "text:hello", "/d/b" = "empty" } }\n'
        )
        file.write_text(head + config + text, encoding="utf-8")
        run(load(file, known_items()), "fuse", "simulator", self._tmp_path, make=host)

    def fails(self, text: str, host: Callable[..., MemoryHost] = MemoryHost) -> str:
        """The message, without the place of the file."""
        with pytest.raises(ScenarioFailed) as caught:
            self(text, host)
        return str(caught.value).replace(f"{self._tmp_path}/", "")


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def steps(*lines: str) -> str:
    """Lines 6 and on of a scenario."""
    return "steps = [\n" + "".join(f"  {{ {line} }},\n" for line in lines) + "]\n"


READ = steps('read = { path = "/a", content = "text:hello" }')
WRITE = steps('write = { path = "/new", content = "text:saved" }')


def test_a_right_drive_passes(runner: Runner) -> None:
    runner(
        steps(
            'list = { path = "/", names = ["a", "d"] }',
            'stat = { path = "/a", kind = "file", size = 5 }',
            'write = { path = "/a", content = "text:J", mode = "in_place" }',
            'open = { path = "/a", as = "h", mode = "write" }',
            'write_handle = { as = "h", content = "text:y", offset = 4 }',
            'read_handle = { as = "h", length = 5, content = "text:Jelly" }',
            'close = { as = "h" }',
            'rename = { from = "/a", to = "/e" }',
            'server_has = { path = "/e", content = "text:Jelly" }',
            'server_lacks = { path = "/a" }',
            'copy = { from = "/e", to = "/f" }',
            'delete = { path = "/e" }',
            'read = { path = "/e", error = "not_found" }',
            "unmount = {}",
        )
        + '[expect]\nremote = { "/f" = "text:Jelly" }\nabsent = ["/e"]\ncommands = { STOR = 0 }\n'
    )


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ('list = { path = "/", names = ["a"] }',
         "list: the directory is ['a', 'd'], expected ['a']"),
        ('list = { path = "/", count = 3 }', "list: the number of names is 2, expected 3"),
        ('list = { path = "/", contains = ["x"] }', "list: 'x' is missing from ['a', 'd']"),
        ('list = { path = "/", lacks = ["a"] }', "list: 'a' should not be there"),
        ('read = { path = "/a", content = "text:help!" }',
         "read: /a is b'hello', expected b'help!'; the first difference is at byte 3"),
        ('read = { path = "/a", length = 9 }', "read: the number of bytes is 5, expected 9"),
        ('stat = { path = "/a", kind = "directory" }', "stat: the kind is file, expected dir"),
        ('stat = { path = "/a", size = 6 }', "stat: the size is 5, expected 6"),
        ('stat = { path = "/a", modified = 1970-01-01T00:01:00Z }', "stat: the time is "),
        ('read = { path = "/a", error = "not_found" }', "read /a succeeded, expected 'not found'"),
        ('read = { path = "/no" }', "read /no failed: [Errno 2] no such file: '/no' (ENOENT)"),
        ('delete = { path = "/no", error = "exists" }', "delete /no failed with ENOENT"),
        ('server_has = { path = "/no" }', "the server lacks /no; it has ['/a', '/d', '/d/b']"),
        ('server_has = { path = "/a", content = "empty" }', "server_has: /a on the server is "),
        ('server_lacks = { path = "/a" }', "the server has /a"),
        ('mount_fails = { says = "refused" }', "mount_fails: it is mounted: unmount first"),
        ('unmount = { open_files = ["/a"] }', "unmount: what was open is [], expected ['/a']"),
        ('unmount = { left = ["/a"] }', "unmount: what is left to send is [], expected ['/a']"),
        ('wait = { until = "held", within_s = 0.05 }', "wait: not held within 0.05 s"),
        ('run = { command = ["sh", "-c", "echo no; exit 3"] }',
         "['sh', '-c', 'echo no; exit 3'] ended with 3: no"),
        ('run = { command = ["echo", "one"], output = "two" }', "'two' is not in 'one\\n'"),
        ('parallel = { branches = [[{ space = {} }], [{ read = { path = "/no" } }]] }',
         "read /no failed"),
        ('repeat = { times = 2, steps = [{ mkdir = { path = "/x" } }, '
         '{ list = { path = "/x", names = ["y"] } }] }', "list: the directory is []"),
    ],
)  # fmt: skip
def test_a_step_that_does_not_hold_fails_with_its_line(
    runner: Runner, step: str, message: str
) -> None:
    assert runner.fails(steps("space = {}", step)).startswith(f"one.toml:8: {message}")


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ('remote = { "/a" = "text:bye" }', "on the server /a is b'hello', expected b'bye'"),
        ('remote = { "/no" = "text:bye" }', "on the server /no is missing (there: ['/a', "),
        ('absent = ["/a"]', "on the server /a should not exist"),
        ('directories = ["/a"]', "on the server /a should be a directory"),
        ("commands = { NOOP = 2 }", "0 NOOP commands, expected 2"),
        ("commands = { NOOP = { min = 1 } }", "0 NOOP commands, expected {'min': 1}"),
        ('pending = ["/a"]', "pending: [], expected ['/a']"),
        ('held = ["/a"]', "held: [], expected ['/a']"),
    ],
)
def test_an_expectation_that_does_not_hold_fails_with_its_line(
    runner: Runner, expectation: str, message: str
) -> None:
    said = runner.fails(READ + "[expect]\n" + expectation)

    assert said.startswith(f"one.toml:10: {message}")


# -- invariants ---------------------------------------------------------------------------------


def test_bytes_that_were_saved_and_are_not_on_the_server_are_lost(runner: Runner) -> None:
    class Forgetful(MemoryHost):
        def write(self, path: str, data: bytes, mode: str, offset: int) -> None: ...

    assert runner.fails(WRITE, Forgetful) == (
        "one.toml:1: LOST: /new was saved as b'saved'; it is not on the server"
    )


def test_bytes_that_are_wrong_on_the_server_are_lost(runner: Runner) -> None:
    class Shortening(MemoryHost):
        def write(self, path: str, data: bytes, mode: str, offset: int) -> None:
            super().write(path, data[:-1], mode, offset)

    assert "LOST: /new was saved as b'saved'; on the server it is b'save'" in runner.fails(
        WRITE, Shortening
    )


def test_bytes_written_through_an_open_file_count(runner: Runner) -> None:
    class Forgetful(MemoryHost):
        def write_handle(self, name: str, data: bytes, offset: int) -> None: ...

    opened = steps(
        'open = { path = "/n", as = "h", mode = "create" }',
        'write_handle = { as = "h", content = "text:saved" }',
        'close = { as = "h" }',
    )

    assert "LOST: /n was saved as b'saved'; on the server it is b''" in runner.fails(
        opened, Forgetful
    )


def test_bytes_that_are_held_are_not_lost(runner: Runner) -> None:
    class Holding(MemoryHost):
        def write(self, path: str, data: bytes, mode: str, offset: int) -> None:
            self.held.append(path)

    runner(WRITE + '[expect]\nheld = ["/new"]\n', Holding)


def test_what_is_held_without_being_expected_fails(runner: Runner) -> None:
    class Holding(MemoryHost):
        def uploads(self) -> dict[str, Any]:
            return {**super().uploads(), "held": [{"path": "/x", "reason": "conflict"}]}

    text = READ + '[expect]\npending = ["/y"]\n'

    assert "pending: [], expected ['/y']" in runner.fails(text, Holding)
    assert "held: ['/x'], expected ['/y']" in runner.fails(text.replace("pending", "held"), Holding)


def test_what_was_deleted_and_came_back_fails(runner: Runner) -> None:
    class Reviving(MemoryHost):
        def unmount(self, by: str) -> Unmounted:
            self.sim.put("/a", b"again")
            return super().unmount(by)

    assert "CAME BACK: /a was deleted" in runner.fails(steps('delete = { path = "/a" }'), Reviving)


def test_a_temporary_file_that_is_left_on_the_server_fails(runner: Runner) -> None:
    class Littering(MemoryHost):
        def unmount(self, by: str) -> Unmounted:
            self.sim.put("/d/.pyftpdrive-1234.part", b"half")
            return super().unmount(by)

    assert "left on the server: ['/d/.pyftpdrive-1234.part']" in runner.fails(READ, Littering)


def test_a_warning_that_nobody_declared_fails(runner: Runner) -> None:
    class Worried(MemoryHost):
        def log(self) -> str:
            return "WARNING the disk is warm\nWARNING the server is slow"

    assert "unexpected in the log: WARNING the disk is warm" in runner.fails(READ, Worried)
    runner(READ + '[expect]\nabsent = ["/no"]\n', Worried, 'logs = ["warm", "slow"]\n')


def test_more_sessions_than_allowed_fail(runner: Runner) -> None:
    class Greedy(MemoryHost):
        def list(self, path: str) -> list[str]:
            self.sim.core.sessions_peak = 3
            return super().list(path)

    text = steps('list = { path = "/" }') + "[expect]\nsessions_max = 2\n"

    assert "3 sessions at a time, allowed 2" in runner.fails(text, Greedy)


def test_an_upload_that_never_ends_fails(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(MemoryHost):
        def write(self, path: str, data: bytes, mode: str, offset: int) -> None:
            self.pending.append(path)

    monkeypatch.setattr("tests.scenario_runner.execution.DRAIN_S", 0.05)

    assert "wait: not spool_empty within 0.05 s" in runner.fails(WRITE, Stuck)


def test_a_call_slower_than_its_deadline_fails(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(MemoryHost):
        def list(self, path: str) -> list[str]:
            threading.Event().wait(0.3)
            return super().list(path)

    monkeypatch.setattr("tests.scenario_runner.steps.SLACK_S", 0.0)
    config = 'config = { "connection.deadline_seconds" = 0.1 }\n'

    with pytest.raises(ScenarioFailed, match=r"list / took 0\.\d s, allowed 0\.2 s"):
        runner(steps('list = { path = "/" }'), Slow, config)


def test_a_step_slower_than_it_says_fails(runner: Runner) -> None:
    class Slow(MemoryHost):
        def read(self, path: str, offset: int, length: int | None) -> bytes:
            threading.Event().wait(0.1)
            return super().read(path, offset, length)

    said = runner.fails(steps('read = { path = "/a", within_s = 0.05 }'), Slow)

    assert "read /a took 0.1" in said
    assert "wanted within 0.05 s" in said


def test_a_drive_that_mounts_although_it_should_not_fails(runner: Runner) -> None:
    text = steps("unmount = {}", 'mount_fails = { says = "refused" }')

    assert runner.fails(text) == "one.toml:8: mount_fails: it was mounted"


def test_a_refusal_in_other_words_fails(runner: Runner) -> None:
    class Refusing(MemoryHost):
        mounts = 0

        def mount(self) -> None:
            self.mounts += 1
            if self.mounts > 1:
                raise MountRefused("no route to host")

    text = steps("unmount = {}", 'mount_fails = { says = "no ROUTE" }')

    runner(text, Refusing)
    assert "it said 'no route to host', not 'refused'" in runner.fails(
        text.replace("no ROUTE", "refused"), Refusing
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What leaks is not waited for."""
    monkeypatch.setattr(guards, "PATIENCE_S", 0.1)
    return iter(())


@pytest.mark.usefixtures("impatient")
def test_a_thread_that_is_left_fails(runner: Runner) -> None:
    over = threading.Event()
    threads: list[threading.Thread] = []

    class Leaking(MemoryHost):
        def mount(self) -> None:
            threads.append(threading.Thread(target=over.wait, name="forgotten", daemon=True))
            threads[0].start()

    try:
        said = runner.fails(READ, Leaking)
    finally:
        over.set()
        threads[0].join()

    assert said == "one.toml:1: left behind: thread 'forgotten'"


@pytest.mark.usefixtures("impatient")
def test_a_descriptor_that_is_left_fails(runner: Runner, tmp_path: Path) -> None:
    opened: list[int] = []

    class Leaking(MemoryHost):
        def mount(self) -> None:
            opened.append(os.open(tmp_path, os.O_RDONLY))

    try:
        said = runner.fails(READ, Leaking)
    finally:
        os.close(opened[0])

    assert said.startswith("one.toml:1: left behind: descriptor")


def test_a_failure_in_the_drive_itself_is_not_hidden(runner: Runner) -> None:
    class Broken(MemoryHost):
        def read(self, path: str, offset: int, length: int | None) -> bytes:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        runner(READ, Broken)


def test_a_callback_later_than_its_deadline_and_the_slack_fails(runner: Runner) -> None:
    class Late(MemoryHost):
        def mount(self) -> None:
            self.measured += [
                Callback("stat", "/a", 3.0, failed=False),
                Callback("rename", "/b", 5.1, failed=True),
            ]

    said = runner.fails(READ, Late)

    assert said == "one.toml:1: rename /b took 5.10 s, its deadline is 3 s"


@pytest.mark.parametrize(
    ("callback", "bound"),
    [
        (Callback("fsync", "/a", 60.0, failed=False), False),
        (Callback("read", "/a", 60.0, failed=False), False),
        (Callback("read", "/a", 60.0, failed=True), True),
        (Callback("list_directory", "/a", 60.0, failed=False), True),
    ],
)
def test_what_waits_for_data_by_contract_has_no_deadline(callback: Callback, bound: bool) -> None:
    assert bool(too_late(measure([callback], 3.0))) is bound


def test_callbacks_are_read_from_the_log_of_a_mount(tmp_path: Path) -> None:
    start = "2026-11-21 14:55:10,123 DEBUG   Thread-3 (run) pyftpdrive.hosts.fuse: "
    lines = [
        "getattr /a: b/c d: 0, 0.3 ms, ok",
        "read /x.txt: -110, 503.2 ms, /x.txt: no data within 0.5 s",
        "destroyed",
    ]
    (tmp_path / "x.log.1").write_text(start + lines[0] + "\nsomething else\n")
    (tmp_path / "x.log").write_text("".join(f"{start}{line}\n" for line in lines[1:]))

    assert sorted(from_log(tmp_path, "x.log"), key=lambda found: found.seconds) == [
        Callback("getattr", "/a: b/c d", 0.0003, failed=False),
        Callback("read", "/x.txt", 0.5032, failed=True),
    ]


@pytest.mark.logs("declared")
def test_the_direct_host_hears_warnings_of_the_drive(tmp_path: Path) -> None:
    from tests.scenario_runner.hosts import DirectHost

    class Warner(DirectHost):
        def list(self, path: str) -> list[str]:
            logging.getLogger("pyftpdrive.test").warning("declared to this test only")
            return super().list(path)

    file = tmp_path / "one.toml"
    file.write_text(
        'id = "one"\nwhy = "because"\ncovers = ["Rename file"]\nhosts = ["direct"]\n'
        'steps = [{ list = { path = "/" } }]\n',
        encoding="utf-8",
    )

    with pytest.raises(ScenarioFailed, match="unexpected in the log: WARNING declared to this"):
        run(load(file, known_items()), "direct", "simulator", tmp_path, make=Warner)
