"""How a mount ends, told by the commands; the drive itself is a stand-in."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyftpdrive import cli

STAND_IN = """
import sys, threading
import pyftpdrive.app as app
from pyftpdrive.cli import main

class Session:
    server = "ftp://h:21"
    def __init__(self, config):
        self.stopping = threading.Event()
    def start(self):
        pass
    def wait(self):
        self.stopping.wait()
    def request_stop(self):
        self.stopping.set()
    def status(self):
        return {"server": self.server, "drive": "x", "open_files": OPEN}
    def stop(self):
        return app.StopReport(open_files=OPEN, pending=PENDING, held=[])

OPEN, PENDING = eval(sys.argv.pop(1))
app.MountSession = Session
main()
"""


@contextmanager
def _mounted(
    directory: Path, *, opened: tuple[str, ...] = (), pending: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    directory.mkdir()
    command = [sys.executable, "-c", STAND_IN, repr((list(opened), list(pending)))]
    with subprocess.Popen(
        [*command, "mount", "--host", "h", "--drive", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline().startswith("mounted ")
            yield child
        finally:
            child.terminate()
            child.wait(10)


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyftpdrive", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        check=False,
    )


def test_unmount_says_what_is_not_on_the_server(tmp_path: Path) -> None:
    with _mounted(tmp_path / "d", opened=("/open.txt",), pending=("/left.txt",)) as child:
        done = _run("unmount", "--drive", tmp_path / "d")

        assert child.wait(10) == cli.Exit.UPLOADS_LEFT
    assert done.returncode == cli.Exit.UPLOADS_LEFT
    assert "/left.txt is not on the server yet" in done.stderr
    assert "/open.txt is still open" in done.stderr


def test_unmount_of_a_drive_that_left_nothing_is_silent_about_files(tmp_path: Path) -> None:
    with _mounted(tmp_path / "d") as child:
        done = _run("unmount", "--drive", tmp_path / "d")

        assert child.wait(10) == cli.Exit.OK
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"unmounted ftp://h:21 from {tmp_path / 'd'}\n"


def test_drives_whose_names_differ_in_case_are_two(tmp_path: Path) -> None:
    with _mounted(tmp_path / "Phone") as upper, _mounted(tmp_path / "phone") as lower:
        _run("unmount", "--drive", tmp_path / "phone")

        lower.wait(10)
        assert upper.poll() is None


def test_unmount_all_goes_on_after_a_drive_that_left_something(tmp_path: Path) -> None:
    with _mounted(tmp_path / "a", pending=("/x",)) as one, _mounted(tmp_path / "b") as other:
        done = _run("unmount", "--all")

        assert (one.wait(10), other.wait(10)) == (cli.Exit.UPLOADS_LEFT, cli.Exit.OK)
    assert done.returncode == cli.Exit.UPLOADS_LEFT
    assert len(done.stdout.splitlines()) == 2


def test_a_relative_drive_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _mounted(tmp_path / "d") as child:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).resolve().parents[1]))

        assert _run("unmount", "--drive", "d").returncode == 0

        child.wait(10)


@pytest.mark.parametrize("debug", [True, False])
def test_an_internal_error_shows_its_place_only_when_asked(tmp_path: Path, *, debug: bool) -> None:
    script = (
        "import sys\nfrom pyftpdrive import cli\n"
        "def broken(directory): raise RuntimeError('boom')\n"
        "from pyftpdrive.control import channel\nchannel.mounts = broken\ncli.main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *(["--debug"] if debug else []), "status"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == cli.Exit.INTERNAL
    assert ("Traceback" in done.stderr) is debug
    assert done.stderr.splitlines()[-1].startswith("pyftpdrive: internal error: RuntimeError: boom")


def test_ctrl_c_ends_the_mount_that_was_on_its_way_to_the_background(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = server.getsockname()[1]
        (tmp_path / "d").mkdir()
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "pyftpdrive", "mount", "--background"),
                *(f"ftp://127.0.0.1:{port}", str(tmp_path / "d")),
            ],
            stderr=subprocess.PIPE,
            text=True,
        ) as parent:
            client, _ = server.accept()  # the child waits for a greeting now
            with client:
                client.settimeout(30)
                parent.send_signal(signal.SIGINT)

                assert client.recv(1) == b""  # and is gone
            _, errors = parent.communicate(timeout=30)

    assert errors.strip() == "pyftpdrive: interrupted"
    assert parent.returncode == cli.Exit.INTERNAL


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_a_directory_whose_name_is_no_text_can_be_mounted_on(tmp_path: Path) -> None:
    with _mounted(tmp_path / os.fsdecode(b"d\xff")) as child:
        done = _run("unmount", "--all")

        assert (child.wait(10), done.returncode) == (0, 0)
