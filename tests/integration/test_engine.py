"""The engine on a simulated server: order, sessions, replay, deadlines."""

from __future__ import annotations

import threading
import time

import pytest

from pyftpdrive.base.errors import (
    LoginRefused,
    NotFound,
    RemoteTimeout,
    RemoteUnavailable,
)
from pyftpdrive.base.paths import ROOT, remote_path
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl, JobYielded, Priority
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.drives import started_engine


def _noop(client: FtpClient, _control: JobControl) -> str:
    client.noop()
    return "done"


def test_run_returns_what_the_work_returned() -> None:
    with FtpSimulator() as server, started_engine(server) as engine:
        assert engine.run("noop", _noop, priority=Priority.METADATA) == "done"


def test_run_raises_what_the_work_raised() -> None:
    with FtpSimulator() as server, started_engine(server) as engine, pytest.raises(NotFound):
        engine.run(
            "size",
            lambda client, _: client.get_file_size(remote_path("/no")),
            priority=Priority.METADATA,
        )


def test_start_with_a_refused_login_leaves_nothing_running() -> None:
    before = threading.active_count()
    with FtpSimulator(users={"anna": "secret"}) as server:
        with pytest.raises(LoginRefused), started_engine(server):
            pass

        assert threading.active_count() == before + 1  # the simulator's own


def test_urgent_jobs_overtake_waiting_ones_on_one_session() -> None:
    order: list[str] = []
    gate = threading.Event()
    with FtpSimulator() as server, started_engine(server, sessions_max=1) as engine:
        engine.submit(engine.job("hold", lambda _c, _j: gate.wait(10), priority=Priority.METADATA))
        jobs = [
            engine.submit(
                engine.job(name, lambda _c, _j, n=name: order.append(n), priority=priority)
            )
            for name, priority in (
                ("prefetch", Priority.PREFETCH),
                ("upload", Priority.UPLOAD),
                ("read", Priority.READ),
                ("list", Priority.METADATA),
            )
        ]
        gate.set()
        for job in jobs:
            job.wait(10)

    assert order == ["list", "read", "upload", "prefetch"]


def test_a_running_job_is_told_to_yield_only_for_a_more_urgent_one() -> None:
    seen: list[bool] = []
    started, submitted = threading.Event(), threading.Event()

    def long(_client: FtpClient, control: JobControl) -> None:
        started.set()
        submitted.wait(10)
        seen.append(control.should_yield())
        if len(seen) == 1:
            raise JobYielded("long")

    with FtpSimulator() as server, started_engine(server, sessions_max=1) as engine:
        job = engine.submit(engine.job("long", long, priority=Priority.READ))
        started.wait(10)
        urgent = engine.submit(engine.job("urgent", _noop, priority=Priority.METADATA))
        submitted.set()
        urgent.wait(10)
        job.wait(10)

    assert seen == [True, False]


def test_a_dead_session_costs_one_reconnect_and_one_replay() -> None:
    attempts: list[int] = []

    def work(client: FtpClient, control: JobControl) -> None:
        attempts.append(control.attempt)
        client.noop()

    with FtpSimulator() as server, started_engine(server, sessions_max=1) as engine:
        server.disconnect_all()

        engine.run("noop", work, priority=Priority.METADATA)

        assert attempts in ([0, 1], [1], [0])  # [0]: the end was noticed before the job
        assert server.ledger.count("CONNECT") == 2


def test_a_job_that_always_loses_its_session_ends_with_the_error() -> None:
    with FtpSimulator() as server, started_engine(server, sessions_max=1) as engine:
        server.inject(Fault(on="NOOP", nth=0, fault="close", channel="control"))

        with pytest.raises(RemoteUnavailable):
            engine.run("noop", _noop, priority=Priority.METADATA, patience_s=10)

        assert server.ledger.count("NOOP") == 4  # one try, three repetitions


def test_no_answer_within_the_deadline_is_a_timeout() -> None:
    with FtpSimulator() as server, started_engine(server, deadline_s=0.3) as engine:
        server.freeze()
        began = time.monotonic()

        with pytest.raises(RemoteTimeout):
            engine.run("noop", _noop, priority=Priority.METADATA)

        server.thaw()
        assert time.monotonic() - began < 3


def test_sessions_grow_with_demand_and_stay_within_the_servers_limit() -> None:
    barrier = threading.Semaphore(0)
    with (
        FtpSimulator(sessions_max=2) as server,
        started_engine(server, sessions_max=6) as engine,
    ):
        jobs = [
            engine.submit(
                engine.job(
                    f"job {number}",
                    lambda client, _c: (barrier.acquire(timeout=10), client.noop()),
                    priority=Priority.READ,
                )
            )
            for number in range(6)
        ]
        for _ in jobs:
            barrier.release()
        for job in jobs:
            job.wait(15)

        assert server.sessions_peak <= 2
        assert engine.run("noop", _noop, priority=Priority.METADATA) == "done"


def test_a_limit_that_the_server_shows_is_learned() -> None:
    began, gate = threading.Event(), threading.Event()
    with (
        FtpSimulator(sessions_max=1) as server,
        started_engine(server, sessions_max=4) as engine,
    ):
        holding = engine.submit(
            engine.job("hold", lambda _c, _j: (began.set(), gate.wait(10)), priority=Priority.READ)
        )
        assert began.wait(10)  # else the more urgent job would get the only session first
        waiting = engine.submit(engine.job("noop", _noop, priority=Priority.METADATA))
        until = time.monotonic() + 10
        while engine.profile.sessions_limit is None and time.monotonic() < until:
            threading.Event().wait(0.01)
        gate.set()
        holding.wait(10)
        waiting.wait(10)

        assert engine.status()["limit"] == 1


def test_uploads_leave_one_session_to_those_who_wait() -> None:
    gate = threading.Event()
    with FtpSimulator() as server, started_engine(server, sessions_max=2) as engine:
        uploads = [
            engine.submit(
                engine.job(f"up {n}", lambda _c, _j: gate.wait(10), priority=Priority.UPLOAD)
            )
            for n in range(4)
        ]

        assert engine.run("noop", _noop, priority=Priority.METADATA) == "done"

        gate.set()
        for job in uploads:
            job.wait(10)


def test_a_cancelled_job_that_waits_never_runs() -> None:
    ran: list[int] = []
    gate = threading.Event()
    with FtpSimulator() as server, started_engine(server, sessions_max=1) as engine:
        engine.submit(engine.job("hold", lambda _c, _j: gate.wait(10), priority=Priority.READ))
        job = engine.submit(
            engine.job("never", lambda _c, _j: ran.append(1), priority=Priority.READ)
        )
        engine.cancel(job)
        gate.set()

        with pytest.raises(RemoteUnavailable, match="cancelled"):
            job.wait(10)

    assert ran == []


def test_the_first_operation_after_a_restart_succeeds() -> None:
    with FtpSimulator() as server, started_engine(server) as engine:
        engine.run("list", lambda c, _: c.list_dir(ROOT), priority=Priority.METADATA)
        server.restart()

        listing = engine.run("list", lambda c, _: c.list_dir(ROOT), priority=Priority.METADATA)

        assert listing.entries == ()


def test_while_the_server_is_gone_jobs_fail_fast_and_work_again_afterwards() -> None:
    with FtpSimulator() as server, started_engine(server, deadline_s=2.0) as engine:
        server.restart(1.5)
        outcomes: list[float] = []
        until = time.monotonic() + 20
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                engine.run("noop", _noop, priority=Priority.METADATA)
                break
            except RemoteUnavailable:
                outcomes.append(time.monotonic() - began)
                threading.Event().wait(0.05)
        else:
            pytest.fail("the engine did not come back")

        assert all(seconds < 3 for seconds in outcomes)


@pytest.mark.logs("job: its end was not seen to")
def test_a_session_survives_who_is_told_of_an_end() -> None:
    def fail(_job: object) -> None:
        raise ValueError("a fault of ours")

    with FtpSimulator() as server, started_engine(server, sessions_max=1) as engine:
        job = engine.submit(engine.job("job", _noop, priority=Priority.UPLOAD, on_done=fail))

        assert job.wait(10) == "done"
        assert engine.run("noop", _noop, priority=Priority.METADATA) == "done"
        assert server.sessions_peak == 1
