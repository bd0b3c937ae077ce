"""The channel between commands and a running mount."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pyftpdrive.control import channel


@pytest.fixture
def server(tmp_path: Path):
    """A mount that answers with what it was asked."""
    found = channel.ControlServer(
        tmp_path / "run", lambda request: {"asked": request}, drive="/d", server="ftp://h"
    )
    found.start()
    yield found
    found.stop()


def test_a_request_is_answered(server, tmp_path: Path) -> None:
    (record,) = channel.mounts(tmp_path / "run")

    assert (record.drive, record.server, record.pid) == ("/d", "ftp://h", os.getpid())
    assert channel.request(record, {"do": "status"}) == {"asked": {"do": "status"}}


def test_what_is_announced_can_be_read_by_the_user_only(server, tmp_path: Path) -> None:
    assert (tmp_path / "run").stat().st_mode & 0o077 == 0
    for file in (tmp_path / "run").glob("*.json"):
        assert file.stat().st_mode & 0o077 == 0


def test_who_does_not_know_the_key_is_refused(server, tmp_path: Path) -> None:
    (record,) = channel.mounts(tmp_path / "run")

    with pytest.raises(channel.ChannelError):
        channel.request(replace(record, key="00" * 32), {"do": "unmount"})

    assert channel.request(record, {"do": "x"}) == {"asked": {"do": "x"}}


def test_what_is_no_json_does_not_end_the_server(server, tmp_path: Path) -> None:
    from multiprocessing.connection import Client

    (record,) = channel.mounts(tmp_path / "run")
    with Client(record.address, authkey=bytes.fromhex(record.key)) as connection:
        connection.send_bytes(b"\x80\x04 not json")
        with pytest.raises(EOFError):
            connection.recv_bytes()

    assert channel.request(record, {"do": "x"}) == {"asked": {"do": "x"}}


def test_a_stopped_mount_is_not_listed(server, tmp_path: Path) -> None:
    server.stop()

    assert channel.mounts(tmp_path / "run") == []


def test_the_announcement_of_a_dead_process_is_cleaned_away(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    record = channel.MountRecord(
        id="x", pid=child.pid, drive="/d", server="s", address=str(tmp_path / "x.sock"), key="00"
    )
    file = tmp_path / "x.json"
    file.write_text(json.dumps({name: getattr(record, name) for name in record.__slots__}))

    assert channel.mounts(tmp_path) == []
    assert not file.exists()


def test_a_long_runtime_directory_works(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    found = channel.ControlServer(deep, lambda _request: {"ok": 1}, drive="/d", server="s")
    found.start()
    try:
        (record,) = channel.mounts(deep)
        assert channel.request(record, {}) == {"ok": 1}
    finally:
        found.stop()
    assert not Path(record.address).parent.exists() or Path(record.address).parent == deep


def test_it_stops_at_once_whatever_it_was_doing(tmp_path: Path) -> None:
    for number in range(30):
        found = channel.ControlServer(
            tmp_path / f"run{number}", lambda _request: {"ok": 1}, drive="/d", server="s"
        )
        found.start()
        (record,) = channel.mounts(tmp_path / f"run{number}")
        channel.request(record, {})
        began = time.monotonic()
        found.stop()
        assert time.monotonic() - began < 3


SERVE = """
import pathlib, sys
from pyftpdrive.control import channel
server = channel.ControlServer(pathlib.Path(sys.argv[1]), lambda _: {}, drive="/d", server="s")
server.start()
print("up", flush=True)
sys.stdin.read()
server.stop()
"""


def _write(directory: Path, **changed: object) -> Path:
    values: dict[str, object] = {
        "id": "x",
        "pid": os.getpid(),
        "drive": "/d",
        "server": "s",
        "address": str(directory / "x.sock"),
        "key": "00",
    }
    file = directory / "x.json"
    file.write_text(json.dumps(values | changed))
    return file


def test_a_suspended_mount_keeps_nobody_waiting(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGSTOP)
        try:
            (record,) = channel.mounts(directory)
            with pytest.raises(channel.ChannelError, match=f"pid {child.pid}"):
                channel.request(record, {"do": "status"}, patience_s=0.3)
        finally:
            os.kill(child.pid, signal.SIGCONT)
            child.communicate()


def test_a_silent_client_keeps_nobody_waiting(server, tmp_path: Path) -> None:
    from multiprocessing.connection import Client

    (record,) = channel.mounts(tmp_path / "run")
    with Client(record.address):  # connects and never proves that it knows the key
        assert channel.request(record, {"do": "x"}, patience_s=2.0) == {"asked": {"do": "x"}}


def test_a_request_can_wait_for_the_end(tmp_path: Path) -> None:
    ended = threading.Event()
    asked = threading.Event()

    def handler(request: dict) -> dict:
        if request.get("do") == "await_end":
            asked.set()
            ended.wait()
        return {"done": request.get("do")}

    server = channel.ControlServer(tmp_path / "run", handler, drive="/d", server="s")
    server.start()
    (record,) = channel.mounts(tmp_path / "run")
    answers: list[dict] = []
    waiter = threading.Thread(
        target=lambda: answers.append(channel.request(record, {"do": "await_end"}, patience_s=None))
    )
    waiter.start()
    assert asked.wait(10)

    assert channel.request(record, {"do": "status"}) == {"done": "status"}  # still answers others

    ended.set()
    server.stop()
    waiter.join(10)
    assert answers == [{"done": "await_end"}]


def test_a_process_number_that_came_back_is_no_mount(tmp_path: Path) -> None:
    file = _write(tmp_path)  # our own pid is alive, but nobody listens

    assert channel.mounts(tmp_path) == []
    assert not file.exists()


def test_cleaning_up_removes_nothing_but_a_socket(tmp_path: Path) -> None:
    mine = tmp_path / "thesis.odt"
    mine.write_text("mine")
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    _write(tmp_path, pid=child.pid, address=str(mine))

    assert channel.mounts(tmp_path) == []
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    "changed",
    [
        {"pid": "1"},
        {"pid": 0},
        {"pid": -1},
        {"pid": 1 << 40},
        {"key": "no"},
        {"address": 7},
        {"y": 1},
    ],
)
def test_what_is_no_announcement_is_passed_over(tmp_path: Path, changed: dict) -> None:
    _write(tmp_path, **changed)

    assert channel.mounts(tmp_path) == []


def test_a_directory_that_others_can_write_to_is_not_believed(tmp_path: Path) -> None:
    open_to_all = tmp_path / "run"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)

    with pytest.raises(PermissionError, match="chmod 700"):
        channel.mounts(open_to_all)


@pytest.mark.parametrize(
    ("told", "alive"),
    [
        (None, True),
        (FileNotFoundError(2, "no such pipe"), False),
        (PermissionError(5, "of an elevated program"), True),
        (OSError(121, "busy"), True),
    ],
)
def test_on_windows_a_mount_lives_as_long_as_its_pipe(
    told: OSError | None, alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class WinApi:
        @staticmethod
        def WaitNamedPipe(address: str, patience_ms: int) -> None:  # noqa: N802
            assert 0 < patience_ms <= 5000
            asked.append(address)
            if told is not None:
                raise told

    record = channel.MountRecord(id="1", pid=1, drive="Z:", server="s", address="pipe", key="00")
    monkeypatch.setattr(channel, "_winapi", WinApi, raising=False)
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        found = channel._alive(record)

    assert found is alive
    assert asked == ["pipe"]
