"""A rename that was refused once, or for one name, says nothing about the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyftpdrive.base.errors import FsError
from pyftpdrive.base.paths import remote_path
from pyftpdrive.drive import Drive
from pyftpdrive.ftp.profile import Proof
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_drive


def _save(drive: Drive, path: str, content: bytes) -> None:
    context = drive.filesystem.create(remote_path(path))
    if context.file_size:
        drive.filesystem.truncate(context, 0)
    drive.filesystem.write(context, 0, content)
    drive.filesystem.close(context)
    assert drive.drain(20) == []


def _renames(server: FtpSimulator, path: str) -> int:
    return [entry.argument for entry in server.ledger.commands("RNTO")].count(path)


def test_a_name_that_cannot_be_renamed_leaves_the_others_their_temporary_names(
    tmp_path: Path,
) -> None:
    # The file is in use on the server: it can be neither replaced nor moved, but written to.
    in_use = [
        Fault(on="RNTO|RNFR", path="/used", nth=0, fault="reply", code=550, text="in use"),
    ]
    with FtpSimulator("proftpd", faults=in_use) as server, started_drive(server, tmp_path) as drive:
        server.put("/used", b"old")
        _save(drive, "/first", b"1")
        _save(drive, "/used", b"the new version")
        _save(drive, "/second", b"2")

        assert server.get("/used") == b"the new version"
        assert _renames(server, "/second") == 1
        assert drive.profile.rename is Proof.YES
        assert drive.profile.lasting().get("rename_over") is not Proof.NO


def test_a_name_that_cannot_be_renamed_first_is_no_proof_for_the_next_run(tmp_path: Path) -> None:
    refused = Fault(on="RNTO", nth=0, fault="reply", code=550, text="Permission denied")
    with FtpSimulator("proftpd", faults=[refused]) as server:
        with started_drive(server, tmp_path) as drive:
            _save(drive, "/a", b"stored directly")

            assert server.get("/a") == b"stored directly"
            assert drive.profile.rename is Proof.NO
            assert "rename" not in drive.profile.lasting()

        server.clear_faults()
        with started_drive(server, tmp_path) as drive:
            _save(drive, "/b", b"by way of a temporary name")

            assert _renames(server, "/b") == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="RNTO", path="/a", nth=2, fault="reply", code=550, text="sharing violation"),
        Fault(on="RNTO", path="/a", nth=2, fault="lie"),
    ],
    ids=["refused", "untrue"],
)
def test_one_replacement_that_failed_is_no_lasting_proof(fault: Fault, tmp_path: Path) -> None:
    with (
        FtpSimulator("proftpd", faults=[fault]) as server,
        started_drive(server, tmp_path) as drive,
    ):
        _save(drive, "/a", b"one")
        _save(drive, "/a", b"two, longer")

        assert server.get("/a") == b"two, longer"
        assert drive.profile.rename_over is Proof.NO  # for this run: it is replaced in steps
        assert drive.profile.lasting().get("rename_over") is not Proof.NO


DONE_ALL_THE_SAME = [
    Fault(on=command, nth=nth, fault="reply", code=code, text="no", when="after")
    for command in ("RNFR", "RNTO")
    for nth in (1, 2)
    for code in (452, 550)
]


@pytest.mark.parametrize("fault", DONE_ALL_THE_SAME, ids=lambda f: f"{f.on}-{f.nth}-{f.code}")
@pytest.mark.parametrize("profile", ["iis", "proftpd"])
def test_a_save_that_was_refused_and_done_all_the_same(
    profile: str, fault: Fault, tmp_path: Path
) -> None:
    with FtpSimulator(profile) as server, started_drive(server, tmp_path) as drive:
        server.put("/a", b"one")
        server.inject(fault)
        _save(drive, "/a", b"two, longer")

        assert server.tree() == {"/a": b"two, longer"}


@pytest.mark.parametrize("fault", DONE_ALL_THE_SAME, ids=lambda f: f"{f.on}-{f.nth}-{f.code}")
@pytest.mark.parametrize("profile", ["iis", "proftpd"])
@pytest.mark.parametrize("kind", ["first", "over", "directory"])
def test_a_rename_that_was_refused_and_done_all_the_same(
    kind: str, profile: str, fault: Fault, tmp_path: Path
) -> None:
    inside = "/inside" if kind == "directory" else ""
    with FtpSimulator(profile) as server, started_drive(server, tmp_path) as drive:
        server.put(f"/a{inside}", b"one")
        older = {"/b": b"older"} if kind == "over" else {}
        for path, content in older.items():
            server.put(path, content)
        if kind == "directory":
            server.put("/first", b"1")
            drive.filesystem.rename(remote_path("/first"), remote_path("/second"), replace=True)
        server.inject(fault)

        try:
            drive.filesystem.rename(remote_path("/a"), remote_path("/b"), replace=True)
            now = "/b"
        except FsError:
            now = "/a"

        drive.drain(20)  # what stands in the way is put back in the background
        left = {path: content for path, content in server.tree().items() if content is not None}
        left.pop("/second", None)
        kept = older if now == "/a" else {}
        assert left == {f"{now}{inside}": b"one", **kept}
        listed = drive.filesystem.list_directory(remote_path("/"))
        assert {f"/{entry.name}" for entry in listed} - {"/second"} == {now, *kept}
