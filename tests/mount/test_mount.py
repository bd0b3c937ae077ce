"""Real mounts through the command line: what scenarios don't do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulators.ftp_server import Fault, FtpSimulator


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pyftpdrive", *map(str, arguments)]


def _status() -> list[dict]:
    done = subprocess.run(
        _command("status", "--json"), capture_output=True, text=True, timeout=30, check=True
    )
    return json.loads(done.stdout)["mounts"]


@contextmanager
def _mounted(server: FtpSimulator, drive: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        _command("mount", "--host", server.host, "--port", server.port, "--drive", drive, *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"mounted ftp://127.0.0.1:{server.port} on {drive}\n"
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)
    assert not os.path.ismount(drive)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """An empty directory to mount on."""
    directory = tmp_path / "drive"
    directory.mkdir()
    return directory


def test_the_line_comes_when_programs_can_use_the_drive(drive: Path) -> None:
    with FtpSimulator() as server:
        server.put("/a", b"x")
        with _mounted(server, drive):
            assert os.listdir(drive) == ["a"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sends_what_is_pending_and_unmounts(number: int, drive: Path) -> None:
    with FtpSimulator() as server, _mounted(server, drive) as process:
        (drive / "a").write_bytes(b"saved a moment ago")
        process.send_signal(number)

        assert process.wait(30) == 0
        assert server.get("/a") == b"saved a moment ago"
        assert not os.path.ismount(drive)


def test_background_returns_when_it_is_mounted(drive: Path) -> None:
    with FtpSimulator() as server:
        server.put("/a", b"x")
        done = subprocess.run(
            _command(
                "mount", "--background", "--host", server.host, "--port", server.port,
                "--drive", drive,
            ),
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip

        assert done.stdout.startswith("mounted ftp://")
        assert (drive / "a").read_bytes() == b"x"

        subprocess.run(
            _command("unmount", "--drive", drive), capture_output=True, timeout=60, check=True
        )
        assert not os.path.ismount(drive)


def test_background_tells_why_it_could_not(drive: Path) -> None:
    done = subprocess.run(
        _command("mount", "--background", "ftp://127.0.0.1:1", drive),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 3
    assert "refused" in done.stderr


def test_status_shows_the_drive(drive: Path) -> None:
    with FtpSimulator() as server, _mounted(server, drive) as process:
        (drive / "a").write_bytes(b"x")
        (found,) = _status()

        assert found["server"] == f"ftp://127.0.0.1:{server.port}"
        assert found["drive"] == str(drive)
        assert found["pid"] == process.pid
        assert found["sessions"]["open"] >= 1
        assert set(found["uploads"]) == {"pending", "failing", "held"}
        assert {"since", "cache", "last_error"} <= set(found)


def test_no_password_is_seen_in_arguments_status_or_log(drive: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with FtpSimulator(users={"anna": "hunter2"}) as server:
        process = subprocess.Popen(
            _command(
                "mount", f"ftp://anna@127.0.0.1:{server.port}", drive, "--level", "DEBUG",
                "--log-file", log,
            ),
            env={**os.environ, "PYFTPDRIVE_PASSWORD": "hunter2"},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("mounted ")
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert b"hunter2" not in arguments
            assert "hunter2" not in json.dumps(_status())
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert "PASS" in log.read_text()
    assert "hunter2" not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_the_log_tells_every_call_job_command_and_reply(drive: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    fault = Fault(
        on="CWD", path="/d", nth=0, fault="reply", code=550, text="Permission denied, sir"
    )
    with FtpSimulator("proftpd", faults=[fault]) as server:
        server.put("/d/a", b"x")
        with _mounted(server, drive, "--level", "DEBUG", "--log-file", str(log)):
            with pytest.raises(PermissionError):
                os.listdir(drive / "d")

            told = subprocess.run(
                _command("why", "--json"), capture_output=True, text=True, timeout=30, check=True
            )
    text = log.read_text()
    for wanted in (
        r"DEBUG .* getattr /d: 0, \d+\.\d ms, ok",
        r"DEBUG .* job list /d: attempt 1, \d+\.\d+ s since it was submitted: .*sir",
        r"DEBUG .*> CWD /d",
        r"DEBUG .*< 550 Permission denied, sir",
        r"INFO .* readdir /d failed after .*Permission denied, sir",
    ):
        assert re.search(wanted, text), wanted
    (mount,) = json.loads(told.stdout)["mounts"]
    (operation,) = [o for o in mount["operations"] if o["operation"] == "readdir"]
    assert operation["path"] == "/d"
    assert "Permission denied, sir" in operation["result"]


def test_why_without_drives_says_so() -> None:
    done = subprocess.run(_command("why"), capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stderr) == (6, "pyftpdrive: no drive is mounted\n")


def test_mounting_twice_on_one_directory_is_refused(drive: Path) -> None:
    with FtpSimulator() as server, _mounted(server, drive):
        done = subprocess.run(
            _command("mount", "--host", server.host, "--port", server.port, "--drive", drive),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

        assert done.returncode == 5
        assert "mounted already" in done.stderr


def test_two_drives_of_one_server_work_side_by_side(drive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with FtpSimulator() as server, _mounted(server, drive), _mounted(server, other):
        (drive / "a").write_bytes(b"one")
        (other / "b").write_bytes(b"two")
        until = time.monotonic() + 20
        while set(server.tree()) != {"/a", "/b"} and time.monotonic() < until:
            threading.Event().wait(0.02)

        assert set(server.tree()) == {"/a", "/b"}
        assert len(_status()) == 2


def test_killed_hard_the_next_mount_sends_what_was_saved(drive: Path) -> None:
    with FtpSimulator() as server:
        process = subprocess.Popen(
            _command("mount", "--host", server.host, "--port", server.port, "--drive", drive),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("mounted ")
        (drive / "proof").write_bytes(b"x")  # the directory is proven writable
        server.freeze()
        (drive / "precious").write_bytes(b"saved")
        threading.Event().wait(0.2)  # the kernel reports the close after close returned
        process.kill()
        process.communicate(timeout=30)
        server.thaw()
        subprocess.run(["fusermount3", "-uz", str(drive)], check=True)

        with _mounted(server, drive):
            assert (drive / "precious").read_bytes() == b"saved"
            until = time.monotonic() + 20
            while not server.exists("/precious") and time.monotonic() < until:
                threading.Event().wait(0.02)

        assert server.get("/precious") == b"saved"


def test_a_directory_of_ten_thousand_files(drive: Path) -> None:
    with FtpSimulator(profile="proftpd") as server:
        for number in range(10_000):
            server.put(f"/many/file {number:05d}", b"")
        with _mounted(server, drive):
            found = {entry.name: entry.stat().st_size for entry in os.scandir(drive / "many")}

    assert found == {f"file {number:05d}": 0 for number in range(10_000)}


def test_shared_memory_maps_work(drive: Path) -> None:
    # In a process of its own: a page fault holds the GIL that the simulator here needs to answer.
    program = (
        "import mmap, sys\n"
        "with open(sys.argv[1], 'r+b') as file, mmap.mmap(file.fileno(), 0) as view:\n"
        "    assert view[5000:5003] == b'aaa'\n"
        "    view[5000:5003] = b'xyz'\n"
        "    view.flush()\n"
    )
    with FtpSimulator() as server:
        server.put("/m", b"a" * 10_000)
        with _mounted(server, drive):
            subprocess.run([sys.executable, "-c", program, str(drive / "m")], check=True)
        assert server.get("/m") == b"a" * 5000 + b"xyz" + b"a" * 4997


def test_exec_bit_and_symlinks_are_refused_or_harmless(drive: Path) -> None:
    with FtpSimulator() as server, _mounted(server, drive):
        (drive / "a").write_bytes(b"x")
        os.chmod(drive / "a", 0o755)
        with pytest.raises(OSError, match=r"not supported|not permitted|not implemented"):
            os.symlink("a", drive / "link")
        with pytest.raises(OSError, match=r"not supported|not permitted|not implemented"):
            os.link(drive / "a", drive / "hard")
        assert sorted(os.listdir(drive)) == ["a"]
