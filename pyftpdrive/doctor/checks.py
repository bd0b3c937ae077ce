"""The table of checks, in their order."""

from __future__ import annotations

from pyftpdrive.base.clock import Clock
from pyftpdrive.doctor import looking, writing
from pyftpdrive.doctor.examination import Check, DoctorOptions, Examination
from pyftpdrive.doctor.findings import Report
from pyftpdrive.ftp.profile import ServerProfile

CHECKS = (
    Check(name="reachable", look=looking.reachable, connected=False),
    Check(name="login", look=looking.login),
    Check(name="server", look=looking.server),
    Check(name="tls", look=looking.tls),
    Check(name="round_trip", look=looking.round_trip),
    Check(name="sessions", look=looking.sessions),
    Check(name="listing", look=looking.listing),
    Check(name="data", look=looking.data_connections),
    Check(name="free_space", look=looking.free_space),
    Check(name="writing", look=writing.writing),
    Check(name="storing", look=writing.storing, writes=True),
    Check(name="reading", look=writing.reading),
    Check(name="times", look=looking.times),
    Check(name="clock", look=writing.clock, writes=True),
    Check(name="names", look=writing.names, writes=True),
    Check(name="checksum", look=writing.checksum, writes=True),
    Check(name="setting_times", look=writing.setting_times, writes=True),
    Check(name="resuming", look=writing.resuming, writes=True),
    Check(name="renaming", look=writing.renaming, writes=True),
    Check(name="renaming_over", look=writing.renaming_over, writes=True),
    Check(name="case", look=writing.case, writes=True),
    Check(name="deleting", look=writing.deleting, writes=True),
    Check(name="removing_directories", look=writing.removing_directories, writes=True),
)


def examine(options: DoctorOptions, profile: ServerProfile, clock: Clock) -> Report:
    """Check a server. Never raises for what the server does; ends within a minute."""
    return Examination(options, profile, clock).run(CHECKS)
