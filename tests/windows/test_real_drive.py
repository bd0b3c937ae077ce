"""A real drive letter on Windows: WinFsp, winfspy and `pyftpdrive mount` as users have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.ftp_server import FtpSimulator
from tests.windows.drives import mounted

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows with WinFsp")

SENT_S = 60.0


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[tuple[Path, FtpSimulator]]:
    with mounted(tmp_path) as (letter, server):
        yield Path(f"{letter}\\"), server


def _arrived(server: FtpSimulator, path: str, data: bytes) -> bool:
    until = time.monotonic() + SENT_S
    while server.tree().get(path) != data:
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def test_programs_work_on_a_drive_letter(drive: tuple[Path, FtpSimulator]) -> None:
    root, server = drive
    assert os.listdir(root) == ["Documents"]
    assert (root / "DOCUMENTS" / "ReadMe.TXT").read_bytes() == b"hello"

    (root / "ünï💾.txt").write_bytes(b"named")
    assert _arrived(server, "/ünï💾.txt", b"named")

    (root / "Documents" / "new.tmp").write_bytes(b"second version")
    os.replace(root / "Documents" / "new.tmp", root / "Documents" / "readme.txt")
    assert _arrived(server, "/Documents/readme.txt", b"second version")

    with (root / "log.txt").open("ab") as log:
        log.write(b"one\n")
        log.flush()
        os.fsync(log.fileno())
        assert server.get("/log.txt") == b"one\n"

    shutil.copytree(root / "Documents", root / "Copy")
    assert _arrived(server, "/Copy/readme.txt", b"second version")
    shutil.rmtree(root / "Copy")
    assert not any(path.startswith("/Copy") for path in server.tree())

    with pytest.raises(FileNotFoundError):
        (root / "missing" / "file").read_bytes()
    with pytest.raises(FileExistsError):
        (root / "Documents").mkdir()


def test_a_large_file_and_a_large_directory(drive: tuple[Path, FtpSimulator]) -> None:
    root, server = drive
    data = os.urandom(20 << 20)
    (root / "big.bin").write_bytes(data)
    assert (root / "big.bin").read_bytes() == data
    assert _arrived(server, "/big.bin", data)

    for number in range(600):
        server.put(f"/many/{number:04} a name of some length.txt", b"")
    assert len(os.listdir(root / "many")) == 600


def test_explorer_like_tools(drive: tuple[Path, FtpSimulator], tmp_path: Path) -> None:
    root, server = drive
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for number in range(20):
        (source / "sub" / f"{number}.txt").write_bytes(bytes([number]) * 1000)
    done = subprocess.run(
        ["robocopy", str(source), str(root / "target"), "/E", "/R:1", "/W:1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode < 8, done.stdout
    for number in range(20):
        assert _arrived(server, f"/target/sub/{number}.txt", bytes([number]) * 1000)
