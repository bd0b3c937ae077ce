"""The directory in which `doctor` writes: gone after a crash, and nothing else is touched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pyftpdrive.base.clock import SystemClock
from pyftpdrive.doctor.checks import CHECKS
from pyftpdrive.doctor.examination import Examination
from pyftpdrive.doctor.findings import Verdict
from pyftpdrive.doctor.scratch import fresh_name
from pyftpdrive.ftp.profile import ServerProfile
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.doctor import TLS, look, options, seen, verdicts

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[FtpSimulator]:
    with FtpSimulator("nas", users={"user": "password"}) as simulator:
        yield simulator


class Crash(BaseException):
    """The end of the program, in the middle of a check."""


def crash_at(name: str) -> tuple[Any, ...]:
    """The checks, with a crash behind *name*."""

    def crash(_exam: Examination) -> Any:
        raise Crash

    at = next(number for number, check in enumerate(CHECKS) if check.name == name)
    return (*CHECKS[: at + 1], replace(CHECKS[at], look=crash), *CHECKS[at + 1 :])


@pytest.mark.parametrize("name", ["writing", "names", "renaming_over", "removing_directories"])
def test_an_interrupted_run_removes_what_it_made(server: FtpSimulator, name: str) -> None:
    exam = Examination(options(server), ServerProfile(), SystemClock())

    with pytest.raises(Crash):
        exam.run(crash_at(name))

    assert server.ledger.count("MKD") >= 1
    assert server.tree() == {}


@pytest.mark.parametrize("profile", ["nas", "vsftpd", "iis"])
def test_what_a_crash_left_is_removed_by_the_next_run(profile: str) -> None:
    with FtpSimulator(profile, users={"user": "password"}) as server:
        left = "/" + fresh_name(SystemClock().now_ns())
        for name in ("probe.bin", "target (1).bin", "name-ä漢😀", "full/inside.bin"):
            server.put(f"{left}/{name}", b"x")
        before = server.tree()

        look(server)
        assert server.tree() == before  # it may be running at this moment

        report = look(server, shift_s=61)
        assert server.tree() == {}
        assert seen(report, "writing")[0] is Verdict.GOOD


@pytest.mark.parametrize(
    ("directory", "file"),
    [
        (".pyftpdrive-0000000100000001.doctor", "letter.txt"),
        (".pyftpdrive-0000000100000001.doctor", "full/letter.txt"),
        (".pyftpdrive-0000000100000001.doctor", "full/full/inside.bin"),
        (".pyftpdrive-0000000100000001.doctor", "other/probe.bin"),
        (".pyftpdrive-0000000100000001.doctor.bak", "probe.bin"),
        (".pyftpdrive-000000010000000.doctor", "probe.bin"),
        ("pyftpdrive-0000000100000001.doctor", "probe.bin"),
    ],
)
def test_what_is_not_ours_is_not_removed(server: FtpSimulator, directory: str, file: str) -> None:
    server.put(f"/{directory}/{file}", b"dear")

    report = look(server)

    assert server.get(f"/{directory}/{file}") == b"dear"
    ours = re.fullmatch(r"\.pyftpdrive-[0-9a-f]{16}\.doctor", directory) is not None
    assert seen(report, "writing")[0] is (Verdict.NOTICE if ours else Verdict.GOOD)


def test_a_file_that_is_called_like_a_scratch_directory_stays(server: FtpSimulator) -> None:
    server.put("/.pyftpdrive-0000000100000001.doctor", b"dear")

    report = look(server)

    assert verdicts(report) == TLS
    assert server.get("/.pyftpdrive-0000000100000001.doctor") == b"dear"


def test_a_scratch_directory_that_stays_is_named(server: FtpSimulator) -> None:
    server.inject(Fault(fault="reply", on="RMD", nth=0, code=550, text="Permission denied."))

    report = look(server)

    left = next(path for path in server.tree() if path.endswith(".doctor"))
    assert left in seen(report, "cleaning")[1]


def test_everything_happens_in_the_scratch_directory(server: FtpSimulator) -> None:
    look(server)

    touched = server.ledger.commands("STOR", "APPE", "DELE", "RNFR", "RNTO", "MFMT", "MKD", "RMD")
    assert len(touched) > 20
    for entry in touched:
        path = entry.argument.partition(" ")[2] if entry.command == "MFMT" else entry.argument
        assert re.match(r"/\.pyftpdrive-[0-9a-f]{16}\.doctor(/|$)", path), entry
