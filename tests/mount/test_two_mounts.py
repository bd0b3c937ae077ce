"""Two users with a mount of their own each, on one server: nobody's version is lost unseen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.ftp_server import FtpSimulator
from tests.helpers.mounts import PASSWORD, Mount, until

TTL_S = 3
PATIENCE_S = 20


@pytest.fixture
def server() -> Iterator[FtpSimulator]:
    with FtpSimulator(users={"anna": PASSWORD}) as simulator:
        simulator.put("/plan.txt", b"version 1", modified_ns=1_700_000_000 * 10**9)
        yield simulator


@pytest.fixture
def anna(server: FtpSimulator, tmp_path: Path) -> Iterator[Mount]:
    with _user(server, tmp_path, "anna") as mounted:
        yield mounted


@pytest.fixture
def otto(server: FtpSimulator, tmp_path: Path) -> Iterator[Mount]:
    with _user(server, tmp_path, "otto") as mounted:
        yield mounted


def _user(server: FtpSimulator, tmp_path: Path, name: str) -> Mount:
    return Mount(
        server.port,
        tmp_path / name,
        tmp_path / f"state of {name}",
        cache_directory_ttl_seconds=TTL_S,
        cache_metadata_ttl_seconds=TTL_S,
    )


def _held(mount: Mount) -> bool:
    return until(lambda: bool(mount.held()), within_s=PATIENCE_S)


def test_the_other_user_sees_a_save_after_the_time_to_live(anna: Mount, otto: Mount) -> None:
    assert (otto.at / "plan.txt").read_bytes() == b"version 1"
    (anna.at / "plan.txt").write_bytes(b"version 2, by anna")
    (anna.at / "new.txt").write_bytes(b"also new")
    assert anna.settled()

    def seen() -> bool:
        found = (otto.at / "plan.txt").read_bytes()
        assert found in (b"version 1", b"version 2, by anna")  # never a mixture
        return found == b"version 2, by anna" and "new.txt" in os.listdir(otto.at)

    assert until(seen, within_s=PATIENCE_S)
    assert (otto.at / "new.txt").read_bytes() == b"also new"
    os.unlink(anna.at / "new.txt")
    assert until(lambda: "new.txt" not in os.listdir(otto.at), within_s=PATIENCE_S)


def test_of_two_edits_of_one_version_the_second_is_held(
    server: FtpSimulator, anna: Mount, otto: Mount, tmp_path: Path
) -> None:
    handle = os.open(otto.at / "plan.txt", os.O_RDWR)  # builds on version 1
    assert os.pread(handle, 100, 0) == b"version 1"
    (anna.at / "plan.txt").write_bytes(b"by anna")
    assert anna.settled()
    assert server.get("/plan.txt") == b"by anna"

    os.pwrite(handle, b"by otto, later", 0)
    os.close(handle)

    assert _held(otto)
    assert otto.held() == ["/plan.txt"]
    assert anna.held() == []
    assert server.get("/plan.txt") == b"by anna"
    assert (anna.at / "plan.txt").read_bytes() == b"by anna"
    assert (otto.at / "plan.txt").read_bytes() == b"by otto, later"
    assert "changed on the server" in otto.command("held", "list").stdout
    done = otto.command("held", "export", "/plan.txt", str(tmp_path / "exported"))
    assert done.returncode == 0
    assert (tmp_path / "exported").read_bytes() == b"by otto, later"
    assert any("is held" in line for line in otto.log())
    assert otto.unmount() == 7  # says that something was not sent
    assert server.tree() == {"/plan.txt": b"by anna"}


def test_of_two_new_files_of_one_name_the_second_is_held(
    server: FtpSimulator, anna: Mount, otto: Mount
) -> None:
    handles = [
        os.open(mount.at / "same.txt", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        for mount in (anna, otto)  # O_EXCL holds on one mount: FTP can't promise it for two
    ]
    os.write(handles[0], b"by anna")
    os.close(handles[0])
    assert anna.settled()
    os.write(handles[1], b"by otto, longer")
    os.close(handles[1])

    assert _held(otto)
    assert server.tree() == {"/plan.txt": b"version 1", "/same.txt": b"by anna"}
    assert (otto.at / "same.txt").read_bytes() == b"by otto, longer"
    assert "made on the server by another program" in otto.command("held", "list").stdout


def test_a_file_that_the_other_user_replaced_is_not_replaced_unseen(
    server: FtpSimulator, anna: Mount, otto: Mount
) -> None:
    assert (otto.at / "plan.txt").read_bytes() == b"version 1"
    (otto.at / "draft").write_bytes(b"by otto")
    assert otto.settled()
    (anna.at / "plan.txt").write_bytes(b"by anna, unseen by otto")
    assert anna.settled()

    with pytest.raises(OSError, match="busy"):  # EBUSY: look again
        os.rename(otto.at / "draft", otto.at / "plan.txt")

    assert server.tree() == {"/plan.txt": b"by anna, unseen by otto", "/draft": b"by otto"}
    assert (otto.at / "plan.txt").read_bytes() == b"by anna, unseen by otto"


def test_with_copies_both_versions_of_a_conflict_are_on_the_server(
    server: FtpSimulator, anna: Mount, tmp_path: Path
) -> None:
    with Mount(
        server.port, tmp_path / "otto", tmp_path / "state of otto", upload_conflicts="copy"
    ) as otto:
        handle = os.open(otto.at / "plan.txt", os.O_RDWR)
        assert os.pread(handle, 100, 0) == b"version 1"
        (anna.at / "plan.txt").write_bytes(b"by anna")
        assert anna.settled()
        os.pwrite(handle, b"by otto, later", 0)
        os.close(handle)
        assert until(lambda: len(server.tree()) == 2 and otto.settled(), within_s=PATIENCE_S)

    contents = server.tree()
    assert contents.pop("/plan.txt") == b"by anna"
    ((name, content),) = contents.items()
    assert name.startswith("/plan (conflict ")
    assert content == b"by otto, later"
