"""A rename to a name that nothing has, as far as is known: one flight, and nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.paths import remote_path
from pyftpdrive.drive import Drive
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_drive

OLD, NEW = remote_path("/old.txt"), remote_path("/new.txt")
CUTS = [
    (command, nth, when)
    for command, nth in [("RNFR", 1), ("RNTO", 1), ("RNFR", 2), ("RNTO", 2)]
    for when in ("before", "after")
]


def _prepare(server: FtpSimulator, drive: Drive) -> None:
    """Renaming has been seen to work, and the listing is known."""
    server.put("/old.txt", b"old")
    server.put("/first", b"1")
    drive.filesystem.list_directory(remote_path("/"))
    drive.filesystem.rename(remote_path("/first"), remote_path("/second"), replace=True)


def _files(server: FtpSimulator) -> dict[str, bytes | None]:
    return {path: content for path, content in server.tree().items() if path != "/second"}


def _until_at_rest(server: FtpSimulator, wanted: dict[str, bytes]) -> None:
    until = time.monotonic() + 10
    while _files(server) != wanted and time.monotonic() < until:
        time.sleep(0.02)
    assert _files(server) == wanted


@pytest.mark.parametrize("profile", ["proftpd", "vsftpd", "pureftpd"])
def test_it_takes_one_flight(profile: str, tmp_path: Path) -> None:
    with FtpSimulator(profile) as server, started_drive(server, tmp_path) as drive:
        _prepare(server, drive)
        before = len(server.ledger.commands())

        drive.filesystem.rename(OLD, NEW, replace=True)

        sent = [entry.command for entry in server.ledger.commands()[before:]]
        assert sent[:4] == ["RNFR", "RNTO", "RNFR", "RNTO"]
        assert len(sent) == 5
        assert _files(server) == {"/new.txt": b"old"}


@pytest.mark.parametrize("profile", ["proftpd", "vsftpd", "pureftpd"])
def test_what_another_program_put_there_stays(profile: str, tmp_path: Path) -> None:
    with FtpSimulator(profile) as server, started_drive(server, tmp_path) as drive:
        _prepare(server, drive)
        server.put("/new.txt", b"another program's")

        with pytest.raises(FsError) as error:
            drive.filesystem.rename(OLD, NEW, replace=True)

        assert error.value.status is FsStatus.EXISTS
        assert _files(server) == {"/new.txt": b"another program's", "/old.txt": b"old"}
        assert drive.filesystem.stat(NEW).size_bytes == len(b"another program's")


def test_a_directory_of_another_program_stays(tmp_path: Path) -> None:
    with FtpSimulator("proftpd") as server, started_drive(server, tmp_path) as drive:
        _prepare(server, drive)
        server.put("/new.txt/inside", b"another program's")

        with pytest.raises(FsError):
            drive.filesystem.rename(OLD, NEW, replace=True)

        tree = server.tree()
        assert tree["/new.txt/inside"] == b"another program's"
        assert tree["/old.txt"] == b"old"


@pytest.mark.parametrize(("command", "nth", "when"), CUTS)
@pytest.mark.parametrize("taken", [True, False], ids=["taken", "free"])
def test_a_lost_connection(
    command: str, nth: int, when: str, *, taken: bool, tmp_path: Path
) -> None:
    with FtpSimulator("proftpd") as server, started_drive(server, tmp_path) as drive:
        _prepare(server, drive)
        if taken:
            server.put("/new.txt", b"another program's")
        server.inject(Fault(on=command, nth=nth, fault="reset", when=when, channel="control"))

        if taken:
            with pytest.raises(FsError) as error:
                drive.filesystem.rename(OLD, NEW, replace=True)
            assert error.value.status is FsStatus.EXISTS
            _until_at_rest(server, {"/new.txt": b"another program's", "/old.txt": b"old"})
        else:
            drive.filesystem.rename(OLD, NEW, replace=True)
            _until_at_rest(server, {"/new.txt": b"old"})


@pytest.mark.logs("other version")
@pytest.mark.parametrize(("command", "nth", "when"), CUTS)
def test_a_server_that_stays_away_for_a_while(
    command: str, nth: int, when: str, tmp_path: Path
) -> None:
    with (
        FtpSimulator("proftpd") as server,
        started_drive(server, tmp_path, deadline_s=0.5) as drive,
    ):
        _prepare(server, drive)
        server.put("/new.txt", b"another program's")
        server.inject(Fault(on=command, nth=nth, fault="freeze", when=when))

        with pytest.raises(FsError):
            drive.filesystem.rename(OLD, NEW, replace=True)
        server.thaw()

        _until_at_rest(server, {"/new.txt": b"another program's", "/old.txt": b"old"})


@pytest.mark.parametrize("fault", ["lie", "swallow_command"])
def test_a_server_that_does_not_rename(fault: str, tmp_path: Path) -> None:
    with (
        FtpSimulator("proftpd") as server,
        started_drive(server, tmp_path, deadline_s=1.0) as drive,
    ):
        _prepare(server, drive)
        server.inject(Fault(on="RNTO", path="/new.txt", nth=0, fault=fault))

        with pytest.raises(FsError):
            drive.filesystem.rename(OLD, NEW, replace=True)

        assert _files(server) == {"/old.txt": b"old"}


def test_a_server_without_upper_and_lower_case(tmp_path: Path) -> None:
    """What is called otherwise for a moment keeps its spelling."""
    with FtpSimulator("iis") as server, started_drive(server, tmp_path) as drive:
        server.put("/New.TXT", b"another program's")
        _prepare(server, drive)

        with pytest.raises(FsError):
            drive.filesystem.rename(OLD, NEW, replace=True)

        assert _files(server) == {"/New.TXT": b"another program's", "/old.txt": b"old"}
