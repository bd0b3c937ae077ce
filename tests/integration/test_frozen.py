"""A frozen server: what needs several answers still has one deadline, and writes are accepted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.paths import ROOT, remote_path
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.spool import uploader
from simulators.ftp_server import FtpSimulator
from tests.helpers.drives import started_drive

DEADLINE_S = 1.0
SLACK_S = 0.8  # for this machine; a second wait would cost a whole deadline more


def save(fs: Filesystem, path: str, data: bytes) -> None:
    handle = fs.create(remote_path(path))
    fs.write(handle, 0, data)
    fs.close(handle)


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda fs: save(fs, "/a/b/c/new", b"x"), id="create"),
        pytest.param(lambda fs: fs.rename(remote_path("/a/b/x"), remote_path("/c/d/y")), id="move"),
        pytest.param(lambda fs: fs.make_directory(remote_path("/a/b/c/d")), id="mkdir"),
        pytest.param(lambda fs: fs.remove_file(remote_path("/a/b/x")), id="delete"),
        pytest.param(lambda fs: fs.truncate(remote_path("/a/b/x"), 0), id="truncate"),
    ],
)
def test_an_operation_that_asks_several_questions_has_one_deadline(
    tmp_path: Path, operation: Callable[[Filesystem], object]
) -> None:
    with FtpSimulator() as server:
        server.put("/a/b/x", b"x")
        server.mkdir("/a/b/c")
        server.mkdir("/c/d")
        with started_drive(server, tmp_path, deadline_s=DEADLINE_S) as drive:
            server.freeze()
            began = time.monotonic()

            with pytest.raises(FsError) as caught:
                operation(drive.filesystem)

            took_s = time.monotonic() - began
            server.thaw()

    assert caught.value.status is FsStatus.TIMEOUT
    assert DEADLINE_S * 0.9 < took_s < DEADLINE_S + SLACK_S


def test_files_can_be_made_in_known_directories_while_the_server_is_away(tmp_path: Path) -> None:
    with FtpSimulator() as server:
        server.put("/d/e/x", b"x")
        with started_drive(server, tmp_path, deadline_s=DEADLINE_S) as drive:
            fs = drive.filesystem
            for known in ("/", "/d", "/d/e"):
                fs.list_directory(remote_path(known))
            server.freeze()
            save(fs, "/d/e/first", b"1")  # finds out that the server is away
            began = time.monotonic()

            for number in range(5):
                save(fs, f"/d/e/{number}", b"n")

            took_s = time.monotonic() - began
            server.thaw()
            left = drive.drain(20.0)
        arrived = {path for path, data in server.tree().items() if data is not None}

    assert took_s < DEADLINE_S
    assert left == []
    assert arrived == {"/d/e/x", "/d/e/first", *(f"/d/e/{number}" for number in range(5))}


def test_the_end_does_not_wait_for_a_server_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploader, "AWAY_S", 0.5)
    with FtpSimulator() as server, started_drive(server, tmp_path, deadline_s=0.3) as drive:
        drive.filesystem.list_directory(ROOT)
        server.freeze()
        save(drive.filesystem, "/a", b"a")
        left: list[str] = []
        ending = threading.Thread(
            target=lambda: left.extend(staged.path for staged in drive.drain(300)), daemon=True
        )

        ending.start()
        ending.join(60)

        assert left == ["/a"]
        server.thaw()
        assert drive.drain(60) == []
        assert server.get("/a") == b"a"
