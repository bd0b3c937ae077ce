"""What is known about reaching the server: refused, silent, or answering; how many sessions.

Pure bookkeeping of the engine's: guarded by the engine's lock, but for `heard`, which sets one
number, and `away`, `silent`, which read two. Times are monotonic seconds.
"""

from __future__ import annotations

from enum import Enum, auto

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import (
    LoginRefused,
    NotAnFtpServer,
    RemoteError,
    TlsError,
    TooManySessions,
)
from pyftpdrive.ftp.profile import ServerProfile
from pyftpdrive.ftp.retry import RetryPolicy

LIMIT_RETRY_S = 300.0  # a learned limit is tried again after this
HOLD_S = 0.2  # between two connection attempts that jobs ask for
FATAL_AT_LOGIN = (LoginRefused, TlsError, NotAnFtpServer)


class Refused(Enum):
    """What a connection that was not to be had means."""

    LIMIT = auto()  # the server allows no more sessions than there are
    SPARE = auto()  # other sessions work
    NOT_YET = auto()  # nobody answers: jobs still wait
    FOR_NOW = auto()  # nobody answers, for too long: programs that wait are told


class Link:
    """How the server is reached."""

    def __init__(
        self, sessions_max: int, retry: RetryPolicy, profile: ServerProfile, clock: Clock
    ) -> None:
        self._sessions_max = sessions_max
        self._retry = retry
        self._profile = profile
        self._clock = clock
        self.connecting = 0  # attempts under way
        self.last_error: str | None = None
        self.heard_at = float("-inf")  # when any session last moved an octet; set without lock
        self._failures = 0  # connection attempts in a row that failed
        self._lost_at = 0.0  # when the first of them failed
        self._attempted_at = float("-inf")
        self._sessions_limit: int | None = None  # learned; None: no limit met yet
        self._limit_learned_at = 0.0
        self._silent_since = 0.0
        self._silence_noted_at = float("-inf")

    # -- does it answer? --------------------------------------------------------------------------

    @property
    def away(self) -> bool:
        """True while the server does not answer, as far as is known."""
        return self._failures > 0 or self.silent

    @property
    def silent(self) -> bool:
        """True since somebody waited in vain, until an octet comes."""
        return self._silence_noted_at > self.heard_at

    @property
    def refusing(self) -> bool:
        """True while connections can't be had."""
        return self._failures > 0

    def heard(self) -> None:
        """There was a sign of life."""
        self.heard_at = self._clock.monotonic()

    def note_silence(self, since: float) -> None:
        """Somebody waited in vain from *since* until now."""
        now = self._clock.monotonic()
        if not self.silent:
            self._silent_since = max(since, self.heard_at)
            self.last_error = f"no answer within {now - since:.1f} s"
        self._silence_noted_at = now

    def unreachable_s(self) -> float | None:
        """For how long nobody has answered; None: the server answers."""
        since = []
        if self._failures:
            since.append(self._lost_at)
        if self.silent:
            since.append(self._silent_since)
        return round(self._clock.monotonic() - min(since), 1) if since else None

    # -- how many sessions ------------------------------------------------------------------------

    def limit(self) -> int:
        """Most sessions at a time."""
        if self._sessions_limit is None:
            return self._sessions_max
        if self._clock.monotonic() - self._limit_learned_at > LIMIT_RETRY_S:
            self._sessions_limit = None
            return self._sessions_max
        return min(self._sessions_limit, self._sessions_max)

    # -- when to dial -----------------------------------------------------------------------------

    def begin(self) -> None:
        """A connection is being made."""
        self.connecting += 1
        self._attempted_at = self._clock.monotonic()

    def opened(self, others: int) -> None:
        """It was made; *others* sessions are open besides."""
        self.connecting -= 1
        self._failures = 0
        self.heard()
        known = self._profile.sessions_limit
        if self._sessions_limit is None and known is not None and others >= known:
            self._profile.sessions_limit = None  # it allows more than it did

    def refused(self, error: RemoteError, others: int) -> Refused:
        """It was not to be had; *others* sessions are open."""
        self.connecting -= 1
        if others and isinstance(error, (TooManySessions, LoginRefused)):
            # The login worked before: the server only refuses one more session.
            self.heard()
            self._sessions_limit = self._profile.sessions_limit = others
            self._limit_learned_at = self._clock.monotonic()
            return Refused.LIMIT
        if others:
            return Refused.SPARE
        if not self._failures:
            self._lost_at = self._clock.monotonic()
        self._failures += 1
        self.last_error = str(error)
        if self._failures > self._retry.attempts or isinstance(error, FATAL_AT_LOGIN):
            return Refused.FOR_NOW
        return Refused.NOT_YET

    def pause_s(self, *, urgent: bool) -> float:
        """Seconds until the next attempt, after one that failed; *urgent*: programs wait."""
        due = max(1.0, self._retry.delay_before(self._failures + 1))
        if urgent:
            due = min(due, self._urgent_pause_s())
        return self._attempted_at + due - self._clock.monotonic()

    def _urgent_pause_s(self) -> float:
        """Between attempts while programs wait: as configured, then short."""
        if self._failures > self._retry.attempts:
            return HOLD_S
        return max(HOLD_S, self._retry.delay_before(self._failures))
