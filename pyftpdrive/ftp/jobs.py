"""What the layers above submit to the engine: a job, its priority and its result."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import Enum, IntEnum, unique
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pyftpdrive.base import patience
from pyftpdrive.base.errors import PyftpdriveError, RemoteTimeout, RemoteUnavailable
from pyftpdrive.ftp.trace import JobTrace, waiting_for

if TYPE_CHECKING:
    from pyftpdrive.base.clock import Clock
    from pyftpdrive.ftp.ftp_client import FtpClient

log = logging.getLogger(__name__)
T = TypeVar("T")


@unique
class Priority(IntEnum):
    """Who goes first; smaller is sooner."""

    METADATA = 0
    READ = 1
    UPLOAD = 2
    READ_AHEAD = 3
    PREFETCH = 4
    PROBE = 5


@unique
class JobState(Enum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobCancelled(PyftpdriveError):
    """Whoever submitted the job does not want it any more."""


class JobYielded(PyftpdriveError):
    """Raised by a job's work when it stopped early for a more urgent one.

    What it did so far is kept by the job; the engine runs its work again later.
    """


class JobControl(Protocol):
    """What a running job may ask the engine."""

    @property
    def attempt(self) -> int:
        """0 on the first run; more means that an earlier run may have taken effect."""

    @property
    def cancelled(self) -> bool:
        """True when nobody wants the result any more."""

    def should_yield(self) -> bool:
        """True when a more urgent job waits and no other session can take it."""


Work = Callable[["FtpClient", JobControl], T]


class Job(Generic[T]):
    """One request to the server, queued, running or finished.

    Locking: `_finished` is the job's own condition (a leaf: nothing is taken under it).
    """

    def __init__(
        self,
        label: str,
        work: Work[T],
        *,
        priority: Priority,
        clock: Clock,
        on_done: Callable[[Job[T]], None] | None = None,
        attempts_max: int | None = None,
    ) -> None:
        self.label = label
        self.trace = JobTrace(label, clock)
        self.work = work
        self.priority = priority
        self.on_done = on_done
        self.attempts_max = attempts_max  # None: the engine's policy
        self.submitted_at = clock.monotonic()
        self.not_before = 0.0
        self.begun_at = self.submitted_at  # when its last run began
        self.attempt = 0
        self.state = JobState.QUEUED
        self.error: BaseException | None = None
        self.last_activity = float("-inf")  # when its session last moved an octet
        self._result: T | None = None
        self._cancelled = False
        self._clock = clock
        self._finished = threading.Condition(threading.Lock())

    @property
    def cancelled(self) -> bool:
        """True after `cancel`."""
        return self._cancelled

    def cancel(self) -> None:
        """Ask a queued or running job to stop; its waiters get JobCancelled."""
        self._cancelled = True

    def finish(self, result: T) -> None:
        """Hand the result to the waiters (engine only)."""
        self._end(JobState.DONE, result, None)

    def fail(self, error: BaseException) -> None:
        """Hand *error* to the waiters (engine only)."""
        state = JobState.CANCELLED if isinstance(error, JobCancelled) else JobState.FAILED
        self._end(state, None, error)

    def _end(self, state: JobState, result: T | None, error: BaseException | None) -> None:
        # The callback first: what it stores is there when the waiters go on.
        self._result, self.error = result, error
        if self.on_done is not None:
            try:
                self.on_done(self)
            except Exception:  # the session and the waiters must live on
                log.exception("%s: its end was not seen to", self.label)
        with self._finished:
            self.state = state
            self._finished.notify_all()

    def result(self) -> T:
        """What the work returned; for callbacks, which run before the waiters go on."""
        return self._result  # type: ignore[return-value]  # T may itself be None

    @property
    def ended(self) -> bool:
        """True when there is a result or an error."""
        return self.state not in (JobState.QUEUED, JobState.RUNNING)

    def wait(
        self,
        patience_s: float | None,
        *,
        at_most_s: float | None = None,
        given_up: Callable[[], bool] = lambda: False,
    ) -> T:
        """Block until the job ended and return its result.

        Gives up after *patience_s* without any octet from the server (a slow listing that is
        arriving is not a dead one), and after *at_most_s* in any case; None waits for ever. Both
        count what the operation of this thread has waited before (`base.patience`). *given_up* is
        asked each time one of them may have ended. The job itself goes on: its result may fill a
        cache.

        Raises:
            RemoteTimeout: the patience ended.
            RemoteUnavailable: the job was cancelled (the drive is being unmounted).
            RemoteError: whatever the work raised.
        """
        waiting_for(self.trace)
        started = self._clock.monotonic()
        silent_since, began = patience.silent_since(started), patience.began_at(started)
        with self._finished:
            while not self.ended:
                now = self._clock.monotonic()
                left: float | None = None
                if patience_s is not None:
                    left = max(silent_since, self.last_activity) + patience_s - now
                if at_most_s is not None:
                    left = min(left if left is not None else at_most_s, began + at_most_s - now)
                if left is not None and (left <= 0 or given_up()):
                    raise RemoteTimeout(f"{self.label}: no answer within {now - began:.1f} s")
                self._clock.wait(self._finished, left)
        if not isinstance(self.error, RemoteUnavailable | JobCancelled):
            patience.answered(self._clock.monotonic())
        if isinstance(self.error, JobCancelled):
            raise RemoteUnavailable(f"{self.label}: cancelled") from self.error
        if self.error is not None:
            raise self.error
        return self.result()
