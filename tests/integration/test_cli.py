"""The command line as a user sees it: one line an error, documented exit codes, no traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from simulators.ftp_server import FtpSimulator


def _run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyftpdrive", *map(str, arguments)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("pyftpdrive: ")
    return line


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """An empty directory to mount on."""
    directory = tmp_path / "drive"
    directory.mkdir()
    return directory


def test_version_shows_the_notice_of_winfsp() -> None:
    done = _run("--version")

    assert done.returncode == 0
    assert "WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos" in done.stdout


def test_nobody_listens(drive: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    done = _run("mount", "--host", "127.0.0.1", "--port", port, "--drive", drive)

    assert done.returncode == 3
    assert "refused" in _one_line(done)
    assert not os.path.ismount(drive)


def test_a_server_that_is_not_ftp(drive: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                client.recv(100)

        thread = threading.Thread(target=answer)
        thread.start()

        done = _run(
            "mount", "--host", "127.0.0.1", "--port", server.getsockname()[1], "--drive", drive
        )

        thread.join(10)
    assert done.returncode == 10
    assert "does not speak FTP" in _one_line(done)


def test_a_refused_login_does_not_show_the_password(drive: Path) -> None:
    with FtpSimulator(users={"anna": "right"}) as server:
        done = _run(
            "mount", f"ftp://anna@{server.host}:{server.port}", drive, PYFTPDRIVE_PASSWORD="wr0ng!"
        )

    assert done.returncode == 4
    assert "wr0ng!" not in _one_line(done)


@pytest.mark.parametrize("kind", ["missing", "file", "filled"])
def test_an_unfit_mount_point(kind: str, drive: Path) -> None:
    target = {"missing": drive / "no", "file": drive / "f", "filled": drive}[kind]
    (drive / "f").write_text("mine")

    done = _run("mount", "ftp://127.0.0.1:1", target)

    assert done.returncode == 5
    assert str(target) in _one_line(done)
    assert (drive / "f").read_text() == "mine"


def test_a_wrong_file_reports_everything(drive: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.ini"
    file.write_text("[ftp]\nport = x\nhots = h\n")

    done = _run("mount", "--config", file, "--drive", drive)

    assert done.returncode == 2
    assert [line.split(":")[2] for line in done.stderr.splitlines()[:2]] == ["2", "3"]


@pytest.mark.parametrize(
    "arguments", [("mount", "--bogus"), ("nonsense",), ("unmount",), ("mount", "http://x", "y")]
)
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    done = _run(*arguments)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_unmount_of_what_is_not_ours(drive: Path) -> None:
    done = _run("unmount", "--drive", drive)

    assert done.returncode == 6
    assert "not a drive of ours" in _one_line(done)


def test_status_without_drives() -> None:
    assert _run("status").stdout == "no drive is mounted\n"
    assert json.loads(_run("status", "--json").stdout) == {"mounts": []}
