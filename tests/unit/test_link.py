"""What is known about reaching a server."""

from __future__ import annotations

import pytest

from pyftpdrive.base.errors import (
    LoginRefused,
    RemoteError,
    RemoteUnavailable,
    TooManySessions,
)
from pyftpdrive.ftp.link import HOLD_S, LIMIT_RETRY_S, Link, Refused
from pyftpdrive.ftp.profile import ServerProfile
from pyftpdrive.ftp.retry import RetryPolicy


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def link(clock: _Clock) -> Link:
    return Link(8, RetryPolicy(attempts=2, delay_s=4.0), ServerProfile(), clock)


def _refused(link: Link, error: RemoteError, *, others: int = 0) -> Refused:
    link.begin()
    return link.refused(error, others)


def test_a_limit_is_learned_and_tried_again_later(link: Link, clock: _Clock) -> None:
    assert _refused(link, TooManySessions("421"), others=3) is Refused.LIMIT
    assert link.limit() == 3
    assert not link.away

    clock.now += LIMIT_RETRY_S + 1
    assert link.limit() == 8


def test_one_session_that_fails_beside_others_says_nothing(link: Link) -> None:
    assert _refused(link, RemoteUnavailable("reset"), others=1) is Refused.SPARE
    assert not link.away
    assert link.limit() == 8


@pytest.mark.parametrize(
    ("error", "outcomes"),
    [
        (RemoteUnavailable("gone"), [Refused.NOT_YET, Refused.NOT_YET, Refused.FOR_NOW]),
        (LoginRefused("530"), [Refused.FOR_NOW]),
    ],
)
def test_programs_are_told_after_the_policys_attempts(
    link: Link, error: RemoteError, outcomes: list[Refused]
) -> None:
    assert [_refused(link, error) for _ in outcomes] == outcomes
    assert link.away
    assert link.connecting == 0


def test_pauses_between_attempts(link: Link, clock: _Clock) -> None:
    _refused(link, RemoteUnavailable("gone"))
    assert link.pause_s(urgent=True) == pytest.approx(HOLD_S)
    _refused(link, RemoteUnavailable("gone"))
    assert link.pause_s(urgent=True) == pytest.approx(4.0)
    _refused(link, RemoteUnavailable("gone"))
    assert link.pause_s(urgent=True) == pytest.approx(HOLD_S)
    assert link.pause_s(urgent=False) > 4.0
    clock.now += 100
    assert link.pause_s(urgent=False) < 0


def test_how_long_nobody_answered(link: Link, clock: _Clock) -> None:
    link.heard()
    clock.now += 5
    link.note_silence(clock.now - 3)
    assert (link.silent, link.unreachable_s()) == (True, 3.0)

    clock.now += 2
    link.note_silence(clock.now - 1)  # somebody else waited in vain: it is the same silence
    assert link.unreachable_s() == 5.0

    clock.now += 1
    link.heard()
    assert (link.away, link.unreachable_s()) == (False, None)


def test_a_session_that_opens_ends_the_outage(link: Link, clock: _Clock) -> None:
    _refused(link, RemoteUnavailable("gone"))
    clock.now += 7
    assert link.unreachable_s() == 7.0
    assert link.last_error == "gone"

    link.begin()
    link.opened(0)
    assert (link.away, link.refusing, link.unreachable_s()) == (False, False, None)
