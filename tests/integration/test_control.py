"""The channel between commands and a running mount."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
