"""Two processes on one mount: what one does the other sees, as on a local file system."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.ftp_server import FtpSimulator
from tests.helpers.mounts import PASSWORD, Mount, Other

BASE = bytes(range(256)) * 400


@pytest.fixture
def server() -> Iterator[FtpSimulator]:
    with FtpSimulator(users={"anna": PASSWORD}) as simulator:
        simulator.put("/shared", BASE)
        yield simulator


@pytest.fixture
def mount(server: FtpSimulator, tmp_path: Path) -> Iterator[Mount]:
    with Mount(server.port, tmp_path / "drive", tmp_path / "state") as mounted:
        yield mounted
        assert mounted.log() == []


def test_a_reader_sees_the_bytes_of_a_writer_at_once(server: FtpSimulator, mount: Mount) -> None:
    program = (
        "fd = os.open(arguments[0], os.O_RDWR)\n"
        "os.pwrite(fd, b'WRITTEN', 5000); say('overwritten'); hear()\n"
        "os.pwrite(fd, b'MORE', 102400); say('extended'); hear()\n"
        "os.close(fd)\n"
    )
    reader = os.open(mount.at / "shared", os.O_RDONLY)
    try:
        assert os.pread(reader, 7, 5000) == BASE[5000:5007]
        with Other(program, mount.at / "shared") as writer:
            assert writer.hear() == "overwritten"
            assert os.pread(reader, 9, 4999) == BASE[4999:5000] + b"WRITTEN" + BASE[5007:5008]
            writer.say()
            assert writer.hear() == "extended"
            assert os.fstat(reader).st_size == os.stat(mount.at / "shared").st_size == 102_404
            assert os.pread(reader, 100, 102_390) == BASE[-10:] + b"MORE"
            writer.say()
            writer.end()
    finally:
        os.close(reader)
    assert mount.settled()
    assert server.get("/shared") == BASE[:5000] + b"WRITTEN" + BASE[5007:] + b"MORE"


def test_two_writers_at_different_offsets_lose_nothing(server: FtpSimulator, mount: Mount) -> None:
    program = (
        "fd = os.open(arguments[0], os.O_WRONLY)\n"
        "say('ready'); hear()\n"
        "for number in range(int(arguments[1]), 200, 2):\n"
        "    os.pwrite(fd, bytes([number]) * 300, number * 500)\n"
        "    if number % 40 < 2: os.close(fd); fd = os.open(arguments[0], os.O_WRONLY)\n"
        "os.close(fd)\n"
    )
    path = mount.at / "shared"
    with Other(program, path, 0) as even, Other(program, path, 1) as odd:
        for writer in (even, odd):
            writer.hear()
        for writer in (even, odd):
            writer.say()
        for writer in (even, odd):
            writer.end()
    right = bytearray(BASE)
    for number in range(200):
        right[number * 500 : number * 500 + 300] = bytes([number]) * 300
    assert path.read_bytes() == right

    assert mount.settled()
    assert server.get("/shared") == right


def test_two_processes_that_append_lose_no_line(server: FtpSimulator, mount: Mount) -> None:
    program = (
        "say('ready'); hear()\n"
        "for number in range(150):\n"
        "    fd = os.open(arguments[0], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "    for part in range(2):\n"
        "        os.write(fd, f'{arguments[1]} {number}.{part} {\"x\" * number}\\n'.encode())\n"
        "    os.close(fd)\n"
    )
    path = mount.at / "log.txt"
    with Other(program, path, "anna") as one, Other(program, path, "otto") as two:
        for writer in (one, two):
            writer.hear()
        for writer in (one, two):
            writer.say()
        for writer in (one, two):
            writer.end()
    right = sorted(
        f"{who} {number}.{part} {'x' * number}"
        for who in ("anna", "otto")
        for number in range(150)
        for part in range(2)
    )
    assert sorted(path.read_text().splitlines()) == right

    assert mount.settled()
    assert sorted(server.get("/log.txt").decode().splitlines()) == right


def test_a_file_that_another_process_deletes_goes_on_for_who_has_it_open(
    server: FtpSimulator, mount: Mount
) -> None:
    path = mount.at / "shared"
    handle = os.open(path, os.O_RDWR)  # not read yet: its bytes are on the server only
    try:
        with Other("os.unlink(arguments[0])\n", path) as other:
            other.end()
        assert os.listdir(mount.at) == []
        assert not server.exists("/shared")
        assert os.pread(handle, len(BASE), 0) == BASE
        os.pwrite(handle, b"ghost", 100)
        assert os.pread(handle, 10, 98) == BASE[98:100] + b"ghost" + BASE[105:108]
        path.write_bytes(b"a new one")
        assert os.pread(handle, 10, 98) == BASE[98:100] + b"ghost" + BASE[105:108]
    finally:
        os.close(handle)
    assert mount.settled()
    assert server.tree() == {"/shared": b"a new one"}


def test_a_file_that_another_process_renames_takes_its_handles_along(
    server: FtpSimulator, mount: Mount
) -> None:
    handle = os.open(mount.at / "shared", os.O_RDWR)
    try:
        os.pwrite(handle, b"before", 0)
        with Other("os.rename(*arguments)\n", mount.at / "shared", mount.at / "moved") as other:
            other.end()
        os.pwrite(handle, b"after", 1000)
        assert os.pread(handle, 7, 999) == BASE[999:1000] + b"after" + BASE[1005:1006]
    finally:
        os.close(handle)
    assert mount.settled()
    right = b"before" + BASE[6:1000] + b"after" + BASE[1005:]
    assert server.tree() == {"/moved": right}


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "unsent"])
def test_a_file_that_another_process_replaces_stays_for_who_has_it_open(
    sent: bool, server: FtpSimulator, mount: Mount
) -> None:
    path, new = mount.at / "shared", mount.at / "new"
    handle = os.open(path, os.O_RDWR)  # not read yet
    try:
        new.write_bytes(b"N" * len(BASE))  # of the same size: a mixture would not be noticed
        if sent:
            fd = os.open(new, os.O_RDWR)
            os.fsync(fd)
            os.close(fd)
        with Other("os.rename(*arguments)\n", new, path) as other:
            other.end()
        assert path.read_bytes() == b"N" * len(BASE)
        assert os.pread(handle, len(BASE), 0) == BASE
        os.pwrite(handle, b"ghost", 100)
    finally:
        os.close(handle)
    assert mount.settled()
    assert server.tree() == {"/shared": b"N" * len(BASE)}


def test_a_reader_sees_what_another_process_cuts(server: FtpSimulator, mount: Mount) -> None:
    program = (
        "fd = os.open(arguments[0], os.O_RDWR)\n"
        "os.ftruncate(fd, 1000); say('cut'); hear()\n"
        "os.ftruncate(fd, 3000); say('grown'); hear()\n"
        "os.close(fd)\n"
    )
    reader = os.open(mount.at / "shared", os.O_RDONLY)
    try:
        assert os.pread(reader, 5000, 0) == BASE[:5000]
        with Other(program, mount.at / "shared") as other:
            assert other.hear() == "cut"
            assert os.pread(reader, 5000, 0) == BASE[:1000]
            assert os.pread(reader, 10, 2000) == b""
            other.say()
            assert other.hear() == "grown"
            assert os.pread(reader, 5000, 0) == BASE[:1000] + bytes(2000)
            other.say()
            other.end()
    finally:
        os.close(reader)
    assert mount.settled()
    assert server.get("/shared") == BASE[:1000] + bytes(2000)


def test_of_two_processes_exactly_one_makes_a_lock_file(mount: Mount) -> None:
    program = (
        "say('ready'); hear()\n"
        "for number in range(60):\n"
        "    try:\n"
        "        fd = os.open(f'{arguments[0]}/{number}.lock', os.O_CREAT | os.O_EXCL)\n"
        "    except FileExistsError:\n"
        "        continue\n"
        "    os.close(fd); say(number)\n"
    )
    with Other(program, mount.at) as one, Other(program, mount.at) as two:
        for each in (one, two):
            each.hear()
        for each in (one, two):
            each.say()
        won = [*one.end().split(), *two.end().split()]
    assert sorted(map(int, won)) == list(range(60))
    assert mount.settled()


@pytest.mark.parametrize("call", ["flock", "lockf"])
def test_locks_hold_between_the_processes_of_one_mount(call: str, mount: Mount) -> None:
    path = mount.at / "shared"
    take = (
        "fd = os.open(arguments[0], os.O_RDWR)\n"
        f"try: fcntl.{call}(fd, fcntl.LOCK_EX | fcntl.LOCK_NB); say('got it')\n"
        "except BlockingIOError: say('refused')\n"
    )
    handle = os.open(path, os.O_RDWR)
    try:
        getattr(fcntl, call)(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with Other(take, path) as other:
            assert other.end().strip() == "refused"
    finally:
        os.close(handle)
    with Other(take, path) as other:
        assert other.end().strip() == "got it"


def test_a_counter_under_a_lock_is_counted_by_two_processes(
    server: FtpSimulator, mount: Mount
) -> None:
    program = (
        "for _ in range(60):\n"
        "    fd = os.open(arguments[0], os.O_RDWR)\n"
        "    fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "    number = int(os.pread(fd, 20, 0))\n"
        "    os.pwrite(fd, str(number + 1).encode(), 0)\n"
        "    os.close(fd)\n"
    )
    path = mount.at / "counter"
    path.write_bytes(b"0")
    with Other(program, path) as one, Other(program, path) as two:
        one.end()
        two.end()
    assert path.read_bytes() == b"120"
    assert mount.settled()
    assert server.get("/counter") == b"120"


def test_two_processes_share_a_database(mount: Mount) -> None:
    program = (
        "base = sqlite3.connect(arguments[0], timeout=60)\n"
        "for number in range(12):\n"
        "    with base: base.execute('insert into t values (?, ?)', (arguments[1], number))\n"
        "base.close()\n"
    )
    path = mount.at / "t.db"
    base = sqlite3.connect(path)
    with base:
        base.execute("create table t (who, number)")
    with Other(program, path, "anna") as one, Other(program, path, "otto") as two:
        one.end()
        two.end()
    assert base.execute("select count(distinct who || number) from t").fetchone() == (24,)
    assert base.execute("pragma integrity_check").fetchone() == ("ok",)
    base.close()
    assert mount.settled()
