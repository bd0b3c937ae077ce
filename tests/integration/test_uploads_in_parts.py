"""An upload that gives way, or is cut, goes on where it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pyftpdrive.base.paths import remote_path
from pyftpdrive.core.nodes import FileContext
from pyftpdrive.drive import Drive
from pyftpdrive.ftp.profile import Proof
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_drive
from tests.helpers.mounts import until

MIB = 1 << 20
FILM = remote_path("/film")


def _save(drive: Drive, content: bytes) -> FileContext:
    context = drive.filesystem.create(FILM)
    drive.filesystem.write(context, 0, content)
    drive.filesystem.close(context)
    return context


def _sent(server: FtpSimulator) -> list[str]:
    commands = server.ledger.commands("STOR", "APPE")
    return [entry.command for entry in commands if entry.argument.endswith(".part")]


def _until_under_way(server: FtpSimulator) -> None:
    until = time.monotonic() + 10
    while not _sent(server) and time.monotonic() < until:
        time.sleep(0.005)


def test_programs_come_between_the_parts_on_one_connection(tmp_path: Path) -> None:
    content = os.urandom(12 * MIB)
    slow = Fault(on="STOR|APPE", fault="bandwidth", bytes_per_s=4 * MIB)
    with (
        FtpSimulator("vsftpd", sessions_max=1, faults=[slow]) as server,
        started_drive(server, tmp_path) as drive,
    ):
        for number in range(5):
            server.put(f"/seen{number}/a", b"a")
        _save(drive, content)
        _until_under_way(server)

        listed = [
            [entry.name for entry in drive.filesystem.list_directory(remote_path(f"/seen{n}"))]
            for n in range(5)
        ]

        assert listed == [["a"]] * 5  # each within its deadline: it would have raised
        assert drive.drain(60) == []
        assert server.get("/film") == content
        sent = _sent(server)
        assert sent[0] == "STOR"
        assert set(sent[1:]) == {"APPE"}
        assert set(server.tree()) == {"/film", *(f"/seen{n}/a" for n in range(5))} | {
            f"/seen{n}" for n in range(5)
        }


@pytest.mark.parametrize("after_bytes", [MIB, 3 * MIB + 17])
@pytest.mark.parametrize("fault", ["reset", "close"])
def test_an_upload_that_was_cut_goes_on(fault: str, after_bytes: int, tmp_path: Path) -> None:
    content = os.urandom(5 * MIB)
    cut = Fault(on="STOR", nth=2, fault=fault, after_bytes=after_bytes)
    with (
        FtpSimulator("vsftpd", faults=[cut]) as server,
        started_drive(server, tmp_path) as drive,
    ):
        drive.filesystem.list_directory(remote_path("/"))
        _save(drive, content)

        assert drive.drain(60) == []
        assert server.get("/film") == content
        assert _sent(server) == ["STOR", "APPE"]
        assert drive.profile.appe is Proof.YES


def test_all_of_it_arrived_and_the_answer_was_lost(tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    lost = Fault(on="STOR", nth=2, fault="reset", when="after", channel="control")
    with (
        FtpSimulator("vsftpd", faults=[lost]) as server,
        started_drive(server, tmp_path) as drive,
    ):
        drive.filesystem.list_directory(remote_path("/"))
        _save(drive, content)

        assert drive.drain(60) == []
        assert server.get("/film") == content
        assert _sent(server) == ["STOR"]


def test_what_is_there_is_not_what_was_sent(tmp_path: Path) -> None:
    """The server kept a part with other bytes at its end: it is sent anew."""
    content = os.urandom(4 * MIB)
    faults = [
        Fault(on="STOR", nth=2, fault="corrupt", after_bytes=2 * MIB - 100),
        Fault(on="STOR", nth=2, fault="reset", after_bytes=2 * MIB),
    ]
    with (
        FtpSimulator("vsftpd", faults=faults) as server,
        started_drive(server, tmp_path) as drive,
    ):
        drive.filesystem.list_directory(remote_path("/"))
        _save(drive, content)

        assert drive.drain(60) == []
        assert server.get("/film") == content
        assert _sent(server) == ["STOR", "STOR"]


@pytest.mark.parametrize("code", [502, 550])
def test_a_server_that_does_not_append(code: int, tmp_path: Path) -> None:
    content = os.urandom(4 * MIB)
    faults = [
        Fault(on="STOR", nth=2, fault="reset", after_bytes=2 * MIB),
        Fault(on="APPE", nth=0, fault="reply", code=code, text="not here"),
    ]
    with (
        FtpSimulator("vsftpd", faults=faults) as server,
        started_drive(server, tmp_path) as drive,
    ):
        drive.filesystem.list_directory(remote_path("/"))
        _save(drive, content)

        assert drive.drain(60) == []
        assert server.get("/film") == content
        assert _sent(server) == ["STOR", "APPE", "STOR"]
        assert drive.profile.appe is Proof.NO


def test_a_server_whose_appe_replaces(tmp_path: Path) -> None:
    content = os.urandom(4 * MIB)
    faults = [
        Fault(on="STOR", nth=2, fault="reset", after_bytes=2 * MIB),
        Fault(on="APPE", fault="offset_ignored"),
    ]
    with (
        FtpSimulator("vsftpd", faults=faults) as server,
        started_drive(server, tmp_path) as drive,
    ):
        drive.filesystem.list_directory(remote_path("/"))
        _save(drive, content)

        assert drive.drain(60) == []
        assert server.get("/film") == content
        assert drive.profile.appe is Proof.NO


def test_a_file_that_was_written_between_two_attempts_is_sent_anew(tmp_path: Path) -> None:
    """What is on the server ends as the new version does, and begins otherwise."""
    content = os.urandom(4 * MIB)
    faults = [
        Fault(on="STOR", nth=2, fault="reset", after_bytes=2 * MIB),
        Fault(on="APPE", nth=1, fault="reset", after_bytes=MIB),
    ]
    with (
        FtpSimulator("vsftpd", faults=faults) as server,
        started_drive(server, tmp_path) as drive,
    ):
        drive.filesystem.list_directory(remote_path("/"))
        _save(drive, content)
        assert until(lambda: bool(drive.files.uploader.failing()), within_s=10)
        context = drive.filesystem.open(FILM, write=True)
        drive.filesystem.write(context, 0, b"changed")
        drive.filesystem.close(context)

        assert drive.drain(60) == []
        assert server.get("/film") == b"changed" + content[7:]
        assert _sent(server) == ["STOR", "APPE", "STOR"]


def test_a_file_that_was_written_meanwhile_is_sent_anew(tmp_path: Path) -> None:
    content = os.urandom(4 * MIB)
    faults = [
        Fault(on="STOR", nth=2, fault="bandwidth", bytes_per_s=2 * MIB),
    ]
    with (
        FtpSimulator("vsftpd", faults=faults) as server,
        started_drive(server, tmp_path) as drive,
    ):
        drive.filesystem.list_directory(remote_path("/"))
        _save(drive, content)
        _until_under_way(server)
        context = drive.filesystem.open(FILM, write=True)
        drive.filesystem.write(context, 0, b"changed")
        drive.filesystem.close(context)

        assert drive.drain(60) == []
        assert server.get("/film") == b"changed" + content[7:]
        assert "APPE" not in _sent(server)
