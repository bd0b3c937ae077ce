"""The control channel on a Windows pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyftpdrive.control import channel
from tests.helpers import programs

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")

MOUNT = """
import sys
from pathlib import Path
from pyftpdrive.control import channel
server = channel.ControlServer(Path(sys.argv[1]), lambda request: {}, drive="Y:", server="ftp://h")
server.start()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_mount_is_found_asked_and_gone(tmp_path: Path) -> None:
    server = channel.ControlServer(
        tmp_path, lambda request: {"asked": request}, drive="Z:", server="ftp://h"
    )
    server.start()
    try:
        (record,) = channel.mounts(tmp_path)
        assert record.drive == "Z:"
        assert channel.request(record, {"do": "status"}) == {"asked": {"do": "status"}}
        assert channel.mounts(tmp_path) == [record]  # looking disturbs nothing
        assert channel.request(record, {"do": "why"}) == {"asked": {"do": "why"}}
    finally:
        server.stop()
    assert channel.mounts(tmp_path) == []


def test_a_mount_whose_program_was_killed_is_not_shown(tmp_path: Path) -> None:
    command, environment = programs.python(os.environ)
    with subprocess.Popen(
        [*command, "-c", MOUNT, str(tmp_path)],
        env={**environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "ready"
        assert [record.drive for record in channel.mounts(tmp_path)] == ["Y:"]
        child.kill()
        child.wait()

    assert channel.mounts(tmp_path) == []
    assert list(tmp_path.glob("*.json")) == []
