"""What `pyftpdrive why` tells: the last slow or failed operations, with everything that they met.

Recording costs the fast path two looks at the clock: an operation is written down only when it ends
slow or badly. What its jobs did is noted as it is (a command's octets, a reply) and put into words
when somebody asks.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyftpdrive.base.errors import FsError, FsStatus, RemoteError
from pyftpdrive.base.text import shown
from pyftpdrive.ftp.channel import printable
from pyftpdrive.ftp.replies import Reply

if TYPE_CHECKING:
    from pyftpdrive.base.clock import Clock
    from pyftpdrive.base.secret import Secret

SLOW_S = 0.5
OPERATIONS_MAX = 100
JOBS_MAX = 16  # of one operation, the last ones
NOTES_MAX = 64  # of one job, the last ones
TEXT_MAX = 300
EXPECTED = frozenset(
    {
        FsStatus.NOT_FOUND,
        FsStatus.PATH_NOT_FOUND,
        FsStatus.EXISTS,
        FsStatus.NOT_A_DIRECTORY,
        FsStatus.IS_A_DIRECTORY,
        FsStatus.INVALID_NAME,
        FsStatus.NAME_TOO_LONG,
    }
)  # answers, not failures

Note = bytes | Reply | str


class JobTrace:
    """What happened to one job: octets of commands, replies, and words of the engine."""

    __slots__ = ("_clock", "label", "noted", "notes", "submitted_at", "waited_at")

    def __init__(self, label: str, clock: Clock) -> None:
        self.label = label
        self.submitted_at = clock.monotonic()
        self.waited_at = self.submitted_at  # when somebody last began to wait for it
        self.notes: deque[tuple[float, Note]] = deque(maxlen=NOTES_MAX)
        self.noted = 0  # more than there are notes: the older ones were let go
        self._clock = clock

    def note(self, what: Note) -> None:
        """Write down *what* with the time."""
        self.noted += 1
        self.notes.append((self._clock.monotonic(), what))

    def wait_begins(self) -> None:
        """Somebody waits for the job from now on."""
        self.waited_at = self._clock.monotonic()


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    path: str
    ended_ns: int
    began: float
    took_s: float
    error: Exception | None
    jobs: tuple[JobTrace, ...]


_local = threading.local()


def waiting_for(job: JobTrace) -> None:
    """Remember that the operation of this thread waits for *job*."""
    jobs: deque[JobTrace] | None = getattr(_local, "jobs", None)
    if jobs is None:
        jobs = _local.jobs = deque(maxlen=JOBS_MAX)
    job.wait_begins()
    if job not in jobs:
        jobs.append(job)


class Recorder:
    """The last slow or failed operations of one drive.

    Locking: `_lock` is a leaf; it guards `_operations`.
    """

    def __init__(self, clock: Clock, secret: Secret) -> None:
        self.clock = clock
        self._secret = secret
        self._lock = threading.Lock()
        self._operations: deque[_Operation] = deque(maxlen=OPERATIONS_MAX)

    def ended(self, name: str, path: str, began: float, error: Exception | None) -> bool:
        """An operation of this thread, begun at *began* (monotonic), is over.

        Returns whether it is kept: it was slow, or failed in a way that is no answer.
        """
        jobs: deque[JobTrace] | None = getattr(_local, "jobs", None)
        waited = tuple(job for job in jobs or () if job.waited_at >= began)
        took_s = self.clock.monotonic() - began
        expected = isinstance(error, FsError) and error.status in EXPECTED
        kept = took_s >= SLOW_S or (error is not None and not expected)
        if kept:
            self._keep(_Operation(name, path, self.clock.now_ns(), began, took_s, error, waited))
        return kept

    def failed_alone(self, job: JobTrace, error: RemoteError) -> None:
        """A job that no program waits for (an upload) ended badly."""
        took_s = self.clock.monotonic() - job.submitted_at
        now_ns = self.clock.now_ns()
        self._keep(
            _Operation("in the background", job.label, now_ns, job.submitted_at, took_s, error,
                       (job,))
        )  # fmt: skip

    def _keep(self, operation: _Operation) -> None:
        with self._lock:
            self._operations.append(operation)

    def report(self) -> list[dict[str, object]]:
        """Every kept operation in words and numbers, the newest last; no secrets."""
        with self._lock:
            operations = list(self._operations)
        return [self._told(operation) for operation in operations]

    def _told(self, operation: _Operation) -> dict[str, object]:
        ended = datetime.fromtimestamp(operation.ended_ns / 1e9, UTC)
        return {
            "operation": operation.name,
            "path": self._clean(operation.path),
            "ended": ended.isoformat(timespec="milliseconds"),
            "seconds": round(operation.took_s, 3),
            "result": self._clean(str(operation.error)) if operation.error else "ok",
            "cause": self._clean(_cause(operation)),
            "jobs": [
                {
                    "label": self._clean(job.label),
                    "submitted_s": round(job.submitted_at - operation.began, 3),
                    "not_shown": job.noted - len(job.notes),
                    "notes": [
                        {"at_s": round(at - operation.began, 3), "what": self._clean(_words(what))}
                        for at, what in list(job.notes)
                    ],
                }
                for job in operation.jobs
            ],
        }

    def _clean(self, text: str) -> str:
        return shown(self._secret.mask(text), at_most=TEXT_MAX)


def _words(note: Note) -> str:
    if isinstance(note, bytes):
        return f"> {printable(note)}"
    if isinstance(note, Reply):
        return f"< {note.code} {note.text}"
    return note


_NEXT_STEP = {
    FsStatus.TIMEOUT: "the server did not answer in time; the drive tries again by itself. If it "
    "stays so: is the server app still running, its screen on, the Wi-Fi good?",
    FsStatus.CONNECTION_LOST: "there is no connection to the server; the drive connects again by "
    "itself. If it stays so: is the server running and in the same network?",
    FsStatus.ACCESS_DENIED: "the server does not let this login do that; give it the right to, or "
    "use another login",
    FsStatus.READ_ONLY: "the drive or the server is read-only",
    FsStatus.NO_SPACE: "the server's disk or quota is full; what was written is kept and sent when "
    "there is room",
    FsStatus.CONFLICT: "the file changed on the server meanwhile; see: pyftpdrive held list",
    FsStatus.NOT_SUPPORTED: "this server can't do that",
    FsStatus.NOT_EMPTY: "the directory still holds something",
    FsStatus.BUSY: "something else is under way there; try again",
}


def _cause(operation: _Operation) -> str:
    """One plain sentence: why, and what to do."""
    error = operation.error
    waited = _longest_wait(operation)
    if error is None:
        return f"it was only slow: {waited or 'the time passed inside this program'}"
    if isinstance(error, FsError):
        step = _NEXT_STEP.get(error.status, "the server answered with something unexpected")
    elif isinstance(error, RemoteError) and error.retryable:
        step = "the transfer broke; it is tried again by itself"
    else:
        step = "it will not work again as it is; see the server's own words above"
    return f"{step} ({waited})" if waited and operation.took_s >= SLOW_S else step


def _longest_wait(operation: _Operation) -> str:
    """Where most of the time went, as far as the notes tell."""
    best_s, best = SLOW_S / 2, ""
    ended = operation.began + operation.took_s
    for job in operation.jobs:
        points: list[tuple[float, Note]] = [(job.submitted_at, ""), *job.notes]
        for at, (begun, what) in enumerate(points):
            until = points[at + 1][0] if at + 1 < len(points) else ended
            lasted_s = min(until, ended) - max(begun, operation.began)
            if lasted_s > best_s:
                best_s, best = lasted_s, _waited_for(what, lasted_s)
    return best


def _waited_for(last: Note, seconds: float) -> str:
    if isinstance(last, bytes):
        return f"the server took {seconds:.1f} s over {printable(last)}"
    if isinstance(last, Reply):
        return f"{seconds:.1f} s went by after the server's {last.code}"
    if not last:
        return f"{seconds:.1f} s went by before a session was free"
    return f"{seconds:.1f} s went by after: {last}"
