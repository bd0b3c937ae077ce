"""What `pyftpdrive why` keeps: slow and failed operations, bounded, without secrets."""

from __future__ import annotations

import itertools

import pytest

from pyftpdrive.base.errors import FsError, FsStatus, RemoteUnavailable
from pyftpdrive.base.secret import Secret
from pyftpdrive.ftp import trace
from pyftpdrive.ftp.replies import Reply
from pyftpdrive.ftp.trace import (
    EXPECTED,
    NOTES_MAX,
    OPERATIONS_MAX,
    SLOW_S,
    JobTrace,
    Recorder,
    waiting_for,
)

_starts = itertools.count(1)


class _Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = 1000.0 * next(_starts)  # later than what other tests' operations waited for

    def monotonic(self) -> float:
        return self.at

    def now_ns(self) -> int:
        return int(self.at * 1e9)

    def wait(self, condition: object, timeout_s: float | None) -> bool:
        raise NotImplementedError


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def recorder(clock: _Clock) -> Recorder:
    trace._local.__dict__.clear()  # other tests' jobs on this thread, by another clock
    return Recorder(clock, Secret("sesame"))  # type: ignore[arg-type]


def test_what_was_quick_and_good_is_not_kept(recorder: Recorder, clock: _Clock) -> None:
    assert not recorder.ended("stat", "/a", clock.at, None)
    assert recorder.report() == []


@pytest.mark.parametrize("status", FsStatus)
def test_failures_are_kept_and_answers_are_not(
    recorder: Recorder, clock: _Clock, status: FsStatus
) -> None:
    kept = recorder.ended("open", "/a", clock.at, FsError(status))

    assert kept == (status not in EXPECTED)
    if kept:
        assert len(str(recorder.report()[0]["cause"])) > 10


def test_a_slow_operation_names_the_command_that_took_long(
    recorder: Recorder, clock: _Clock
) -> None:
    began = clock.at
    job = JobTrace("list /d", clock)  # type: ignore[arg-type]
    waiting_for(job)
    job.note(b"MLSD\r\n")
    clock.at += 2 * SLOW_S
    job.note(Reply(226, ("done",)))

    recorder.ended("readdir", "/d", began, None)

    (told,) = recorder.report()
    assert told["cause"] == "it was only slow: the server took 1.0 s over MLSD"
    assert told["jobs"][0]["notes"] == [  # type: ignore[index]
        {"at_s": 0.0, "what": "> MLSD"},
        {"at_s": 1.0, "what": "< 226 done"},
    ]


def test_a_job_of_an_earlier_operation_is_not_shown(recorder: Recorder, clock: _Clock) -> None:
    waiting_for(JobTrace("list /old", clock))  # type: ignore[arg-type]
    clock.at += 1

    recorder.ended("stat", "/new", clock.at, FsError(FsStatus.TIMEOUT))

    assert recorder.report()[0]["jobs"] == []


def test_memory_is_bounded_and_says_so(recorder: Recorder, clock: _Clock) -> None:
    job = JobTrace("times", clock)  # type: ignore[arg-type]
    for _ in range(10 * NOTES_MAX):
        job.note(b"MDTM /a\r\n")
    for _ in range(3 * OPERATIONS_MAX):
        recorder.failed_alone(job, RemoteUnavailable("it broke"))

    report = recorder.report()
    assert len(report) == OPERATIONS_MAX
    assert report[0]["jobs"][0]["not_shown"] == 9 * NOTES_MAX  # type: ignore[index]


def test_no_secret_and_no_control_character_is_told(recorder: Recorder, clock: _Clock) -> None:
    job = JobTrace("connect", clock)  # type: ignore[arg-type]
    for note in (b"PASS sesame\r\n", Reply(530, ("no sesame \x1b[31m",)), "said sesame"):
        job.note(note)

    recorder.failed_alone(job, RemoteUnavailable("sesame is wrong"))

    told = repr(recorder.report())
    assert "sesame" not in told
    assert "\x1b" not in told
