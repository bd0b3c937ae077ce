"""What is to be done on the server and nobody waits for: removing leftovers, ending cut renames."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import NotFound, RemoteError
from pyftpdrive.base.paths import RemotePath
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import Job, JobCancelled, JobControl, Priority
from pyftpdrive.spool.journal import Journal

log = logging.getLogger(__name__)

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
REFUSALS_MAX = 3  # then it is left to the next mount, which finds it in the journal


def pause_s(failures: int) -> float:
    """Seconds before the next attempt after so many."""
    return float(min(RETRY_FIRST_S * 2 ** min(failures - 1, 10), RETRY_MAX_S))


class Errands:
    """Runs them on sessions, in their turn.

    Locking: `_changed` (rank 40) guards the count; no I/O under it.
    """

    def __init__(self, engine: Engine, journal: Journal, clock: Clock) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._changed = threading.Condition(threading.Lock())
        self._untried = 0
        self._stopped = False

    def remove(self, stray: RemotePath) -> None:
        """Remove a file of ours from the server; tried again until it is gone."""
        with contextlib.suppress(OSError):  # the journal: then this run only looks after it
            self._journal.put_stray(stray)

        def remove(client: FtpClient, _control: JobControl) -> None:
            with contextlib.suppress(NotFound):
                client.delete_file(stray)
            with contextlib.suppress(OSError):
                self._journal.delete_stray(stray)

        self.run(f"remove {stray}", remove)

    def run(self, label: str, work: Callable[[FtpClient, JobControl], None]) -> None:
        """Run *work* until it succeeds or is refused again and again."""
        with self._changed:
            self._untried += 1
        self._submit(label, work, failures=0)

    def _submit(
        self, label: str, work: Callable[[FtpClient, JobControl], None], *, failures: int
    ) -> None:
        def ended(job: Job[None]) -> None:
            if not failures:
                with self._changed:
                    self._untried -= 1
                    self._changed.notify_all()
            error = job.error
            may_pass = isinstance(error, RemoteError) and (
                error.retryable or failures < REFUSALS_MAX
            )
            if may_pass and not self._stopped:
                self._submit(label, work, failures=failures + 1)
            elif error is not None and not isinstance(error, JobCancelled):
                log.info("%s: given up: %s", label, error)

        job = self._engine.job(label, work, priority=Priority.UPLOAD, on_done=ended)
        if failures:
            job.not_before = self._clock.monotonic() + pause_s(failures)
        self._engine.submit(job)

    def wait_tried(self, timeout_s: float) -> None:
        """Return when each was tried once, or when *timeout_s* passed."""
        until = self._clock.monotonic() + timeout_s
        with self._changed:
            while self._untried and (left := until - self._clock.monotonic()) > 0:
                self._clock.wait(self._changed, left)

    def stop(self) -> None:
        """Nothing is tried again."""
        self._stopped = True
