"""Runs of `doctor` in this process, and what they found."""

from __future__ import annotations

from typing import Any

from pyftpdrive.base.clock import SystemClock
from pyftpdrive.base.secret import Secret
from pyftpdrive.doctor.checks import examine
from pyftpdrive.doctor.examination import DoctorOptions
from pyftpdrive.doctor.findings import Report, Verdict
from pyftpdrive.ftp.profile import ServerProfile
from simulators.ftp_server import FtpSimulator
from tests.helpers.ftp import options_for
from tests.helpers.real_servers import RealServer

USER: dict[str, Any] = {"username": "user", "password": Secret("password")}
HOUR_S = 3600
TLS = {"tls": "notice"}  # what every server without TLS gets


class ShiftedClock(SystemClock):
    """This machine's clock, some seconds off."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def now_ns(self) -> int:
        return super().now_ns() + self._seconds * 10**9


def options(server: FtpSimulator | RealServer, **changes: Any) -> DoctorOptions:
    """How to look at *server*; `client` are fields of ClientOptions."""
    client = {**(USER if isinstance(server, FtpSimulator) else {}), **changes.pop("client", {})}
    return DoctorOptions(client=options_for(server, **client), server="ftp://server", **changes)


def look(server: FtpSimulator | RealServer, *, shift_s: int = 0, **changes: Any) -> Report:
    profile = ServerProfile()
    return examine(options(server, **changes), profile, ShiftedClock(shift_s))


def seen(report: Report, check: str) -> tuple[Verdict, str]:
    found = report.finding(check)
    assert found is not None, [row.check for row in report.findings]
    return found.verdict, found.seen


def verdicts(report: Report) -> dict[str, str]:
    """The checks whose verdict is not good."""
    return {
        found.check: found.verdict.value
        for found in report.findings
        if found.verdict is not Verdict.GOOD
    }
