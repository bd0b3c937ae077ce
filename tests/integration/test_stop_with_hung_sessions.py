"""The end of the engine when no session answers: seconds for all of them, not for each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pyftpdrive.base.errors import RemoteError
from pyftpdrive.ftp import engine as engines
from pyftpdrive.ftp.engine import Engine, EngineOptions
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl, Priority
from pyftpdrive.ftp.profile import ServerProfile
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import client_options
from tests.helpers.mounts import until

SESSIONS = 6
TOGETHER_S = 15.0  # five for each would be thirty


def test_sessions_that_hang_are_ended_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "STOP_S", 0.5)
    silent = Fault(on="NOOP", nth=0, fault="swallow_reply")

    def ask(client: FtpClient, _control: JobControl) -> None:
        client.noop()

    with FtpSimulator("proftpd", faults=[silent]) as server, ThreadPoolExecutor(1) as program:
        engine = Engine(
            client_options(server, timeout_s=120.0),
            EngineOptions(sessions_max=SESSIONS),
            ServerProfile(),
        )
        engine.start()
        jobs = [
            engine.submit(engine.job(f"hang {number}", ask, priority=Priority.METADATA))
            for number in range(SESSIONS)
        ]
        assert until(lambda: server.ledger.count("NOOP") >= SESSIONS, within_s=20)

        program.submit(engine.stop).result(TOGETHER_S)

        for job in jobs:
            with pytest.raises(RemoteError):
                job.wait(1.0)
