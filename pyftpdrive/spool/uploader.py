"""The queue of staged files on their way: when each is tried, and what an attempt's end means.

The journal's row is removed last. A file that changed while it was sent is sent again, and is
renamed only when the octets that were sent are of one version (`attempt` sees to it). A refusal
that waiting can't mend makes the file HELD: shown to the user, kept, never dropped.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from pyftpdrive.base import patience
from pyftpdrive.base.clock import Clock
from pyftpdrive.base.errors import (
    NoSpace,
    RemoteError,
    RemoteTimeout,
    RemoteUnavailable,
    ServerError,
)
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import Job, JobCancelled, JobControl, Priority
from pyftpdrive.spool.attempt import Attempt, Conflict, Uploaded, VersionChanged
from pyftpdrive.spool.errands import Errands, pause_s
from pyftpdrive.spool.journal import Journal
from pyftpdrive.spool.names import ANOTHER_NAME
from pyftpdrive.spool.replace import NotThere
from pyftpdrive.spool.staging import StagedFile
from pyftpdrive.spool.states import StagedState, Step
from pyftpdrive.spool.times import OwnTimes

log = logging.getLogger(__name__)

SETTLE_S = 0.05  # a burst of saves is sent when it pauses for this long …
SETTLE_MAX_S = 0.5  # … or has lasted for this long: sending competes with the program that writes
AWAY_S = 10.0
ERRANDS_S = 2.0
NOT_THERE_MAX = 5  # stored, and not there, so often in a row: the user has to know
TORN_MAX = 3  # sent while being written this often: copy it aside first


class Upload:
    """One staged file's way to the server. Guarded by `Uploader._changed`."""

    __slots__ = (
        "cancelled",
        "error",
        "failures",
        "held",
        "job",
        "not_there",
        "progress_at",
        "staged",
        "torn",
    )

    def __init__(self, staged: StagedFile) -> None:
        self.staged = staged
        self.job: Job[Uploaded] | None = None
        self.error: RemoteError | None = None  # of the last attempt
        self.failures = 0
        self.torn = 0
        self.not_there = 0  # attempts in a row after which nothing was under the name
        self.cancelled = False
        self.held = False  # refused for good
        self.progress_at = float("-inf")


class Uploader:
    """The queue of uploads.

    Locking: `_changed` (rank 40) guards `_uploads` and every Upload; no I/O under it.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        *,
        own_times: OwnTimes,
        errands: Errands,
        fill_gaps: Callable[[StagedFile], None],
        on_uploaded: Callable[[StagedFile, Uploaded], None],
        on_finished: Callable[[StagedFile], None],
        on_conflict: Callable[[StagedFile], bool],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._clock = clock
        self._own_times = own_times
        self._errands = errands
        self._fill_gaps = fill_gaps
        self._on_uploaded = on_uploaded  # a version is there; the staged file may be newer
        self._on_finished = on_finished  # nothing newer; the journal's row is gone
        self._on_conflict = on_conflict  # True: it has another name now, send it again
        self._changed = threading.Condition(threading.Lock())
        self._uploads: dict[str, Upload] = {}
        self._stopped = False
        self._settling: list[Upload] = []  # closed a moment ago
        self._settling_since = 0.0
        self._settling_until = 0.0
        self._to_fill: queue.SimpleQueue[Upload | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._settle_loop, name="spool-settle", daemon=True),
            threading.Thread(target=self._fill_loop, name="spool-filler", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # -- for core ------------------------------------------------------------------------------

    def enqueue(self, staged: StagedFile) -> None:
        """Send *staged* in a moment; in the journal when this returns.

        The moment (`SETTLE_S`) lets a burst of saves end, an editor rename its temporary file, and
        `cp -p` set the time: each of them saves commands. `wait` and `drain` don't wait for it.

        Raises:
            OSError: the journal can't be written; the file stays OPEN.
        """
        with staged.lock:
            if staged.state is StagedState.HELD:
                staged.move_to(StagedState.QUEUED)
        self.seal(staged)
        with staged.lock:
            with self._changed:
                upload = self._uploads.get(staged.id)
            under_way = upload is not None and not upload.held and not upload.cancelled
            if under_way and staged.state is not StagedState.OPEN:
                return  # that very version is being sent
            staged.move_to(StagedState.QUEUED)
            with self._changed:
                upload = self._uploads.get(staged.id)
                if upload is not None and not upload.held and not upload.cancelled:
                    upload.error = None
                    return  # an older version is being sent: _leave finds the newer one
                upload = Upload(staged)
                now = self._clock.monotonic()
                self._uploads[staged.id] = upload
                if not self._settling:
                    self._settling_since = now
                    self._changed.notify_all()
                self._settling.append(upload)
                self._settling_until = min(now + SETTLE_S, self._settling_since + SETTLE_MAX_S)

    def seal(self, staged: StagedFile) -> None:
        """Make what *staged* holds survive a crash and a power cut, as a file that was closed.

        Raises:
            OSError: it does not, and is not on its way.
        """
        for last in (False, False, True):
            version = staged.version
            if not last:
                staged.sync()  # outside its lock: it may take long
            with staged.lock:
                if staged.closed_in_journal:
                    return
                if last:
                    staged.sync()  # somebody goes on writing: now they wait
                elif staged.version != version:
                    continue
                staged.closed_in_journal = True
                try:
                    self._journal.put(staged.record())
                except OSError:
                    staged.closed_in_journal = False
                    raise
                break
        self._journal.sync()

    def adopt_held(self, staged: StagedFile) -> None:
        """Show a staged file of an earlier run that can't be sent without the user."""
        upload = Upload(staged)
        upload.held = True
        with self._changed:
            self._uploads[staged.id] = upload
        for stray in set(staged.strays):
            if staged.step is not Step.SWAP or stray != staged.backup_path():
                self._errands.remove(stray)  # no attempt will see to it

    def cancel(self, staged: StagedFile, patience_s: float) -> bool:
        """Stop sending *staged* and remove its temporary file; False when it can't be stopped.

        After True nothing of it is on its way any more, and its journal row still exists.
        """
        with self._changed:
            upload = self._uploads.get(staged.id)
            if upload is None:
                return True
            upload.cancelled = True
            job = upload.job
        if job is not None:
            self._engine.cancel(job)
        until = patience.silent_since(self._clock.monotonic()) + patience_s
        with self._changed:
            while staged.id in self._uploads:
                if upload.job is None or upload.job.ended:
                    self._uploads.pop(staged.id, None)
                    break
                left = until - self._clock.monotonic()
                if left <= 0:
                    return False
                self._clock.wait(self._changed, min(left, 0.05))
        return True

    def forget(self, staged: StagedFile) -> None:
        """The user deleted or replaced *staged*: no later run finds it. Its bytes stay for now."""
        with self._changed:
            self._uploads.pop(staged.id, None)
            self._changed.notify_all()
        try:
            self._journal.delete(staged.id)
            self._journal.sync()
        except OSError as error:
            log.warning("%s: the journal is not told that it was deleted: %s", staged.path, error)
        strays = set(staged.strays)
        if staged.step is Step.SWAP:
            strays.add(staged.backup_path())
        for stray in strays:
            self._errands.remove(stray)

    def discard(self, staged: StagedFile) -> None:
        """Forget a staged file whose bytes are not wanted any more."""
        self.forget(staged)
        staged.close()

    def hurry(self, staged: StagedFile) -> None:
        """Somebody waits for *staged*: an attempt that waits for its turn begins now."""
        with self._changed:
            upload = self._uploads.get(staged.id)
            if upload is None or upload.error is None:
                return
            upload.error = None
            job = upload.job
        if job is not None:
            self._engine.hurry(job)

    def wait(self, staged: StagedFile, version: int, patience_s: float) -> None:
        """Block until *version* is on the server, verified.

        Raises:
            RemoteError: why it is not there; the bytes stay in the spool.
        """
        self._send_now()
        with self._changed:
            upload = self._uploads.get(staged.id)
            since = patience.silent_since(self._clock.monotonic())
            while staged.sent_version < version and staged.state is not StagedState.DONE:
                if upload is None:
                    raise RemoteUnavailable(f"{staged.path}: the upload was cancelled")
                if upload.error is not None:
                    raise upload.error
                last = max(since, upload.progress_at)
                left = last + patience_s - self._clock.monotonic()
                if left <= 0 or self._engine.impatient:
                    raise RemoteTimeout(f"{staged.path}: still not on the server; kept and retried")
                self._clock.wait(self._changed, left)
                upload = self._uploads.get(staged.id, upload)

    def look_again(self) -> None:
        """Have everybody who waits see that `Engine.impatient` has changed."""
        with self._changed:
            self._changed.notify_all()

    def pending(self) -> list[StagedFile]:
        """Staged files that are on their way or wait for their turn."""
        with self._changed:
            return [u.staged for u in self._uploads.values() if not u.held]

    def held(self) -> list[StagedFile]:
        """Staged files that the server refused."""
        with self._changed:
            return [u.staged for u in self._uploads.values() if u.held]

    def failing(self) -> list[tuple[StagedFile, str]]:
        """Pending files whose last attempt failed, with the reason."""
        with self._changed:
            return [
                (u.staged, str(u.error))
                for u in self._uploads.values()
                if u.error is not None and not u.held
            ]

    def drain(self, timeout_s: float) -> list[StagedFile]:
        """Wait until nothing is pending; return what is left.

        That is so after *timeout_s*, or when the server has been away for `AWAY_S` of it: the
        next mount, or `recover`, sends it. Errands get a first try, and `ERRANDS_S` at most: they
        are in the journal, too.
        """
        self._send_now()
        began = self._clock.monotonic()
        until, away_until = began + timeout_s, began + AWAY_S
        while True:
            self._engine.look_for_silence()
            with self._changed:
                left = [u.staged for u in self._uploads.values() if not u.held]
                now = self._clock.monotonic()
                if not self._engine.away:
                    away_until = now + AWAY_S
                remaining = min(until, away_until) - now
                if remaining <= 0:
                    return left
                if not left:
                    break
                self._clock.wait(self._changed, min(remaining, AWAY_S / 10))
        self._errands.wait_tried(min(ERRANDS_S, remaining))
        return []

    def stop(self) -> None:
        """End the spool's threads; what is pending stays in the journal."""
        self._errands.stop()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._to_fill.put(None)
        for thread in self._threads:
            thread.join(timeout=5.0)

    # -- on the way ------------------------------------------------------------------------------

    def _launch(self, upload: Upload, *, delay_s: float) -> None:
        if upload.cancelled or self._stopped:
            return
        if upload.staged.gaps():
            self._to_fill.put(upload)
            return
        self._submit(upload, delay_s=delay_s)

    def _submit(self, upload: Upload, *, delay_s: float) -> None:
        job = self._engine.job(
            f"upload {upload.staged.path}",
            lambda client, control: self._send(upload, client, control),
            priority=Priority.UPLOAD,
            on_done=lambda ended: self._ended(upload, ended),
            attempts_max=1,  # one silent reconnect; after that the spool's own, slower pace
        )
        job.not_before = self._clock.monotonic() + delay_s
        with self._changed:
            if upload.cancelled:
                return  # `cancel` did not wait for a job, as there was none
            upload.job = job
        self._engine.submit(job)
        if self._was_cancelled(upload):  # by somebody who found it before it was in the queue
            self._engine.cancel(job)

    def _was_cancelled(self, upload: Upload) -> bool:
        with self._changed:
            return upload.cancelled

    def _send_now(self) -> None:
        """Somebody waits: what was closed a moment ago need not settle."""
        with self._changed:
            batch, self._settling = self._settling, []
        for upload in batch:
            self._launch(upload, delay_s=0.0)

    def _settle_loop(self) -> None:
        """Body of the settling thread: launches a burst when it has paused."""
        while not self._stopped:
            with self._changed:
                now = self._clock.monotonic()
                if not self._settling:
                    self._clock.wait(self._changed, None)
                elif now < self._settling_until:
                    self._clock.wait(self._changed, self._settling_until - now)
                due = self._settling and self._clock.monotonic() >= self._settling_until
            if due:
                self._send_now()

    def _fill_loop(self) -> None:
        """Body of the filler: brings the missing parts of the base, one file at a time."""
        while (upload := self._to_fill.get()) is not None:
            if upload.cancelled:
                continue
            try:
                self._fill_gaps(upload.staged)
            except RemoteError as error:
                self._failed(upload, error)
            except OSError as error:
                self._failed(upload, NoSpace(f"{upload.staged.path}: local disk: {error}"))
            else:
                self._submit(upload, delay_s=0.0)

    def _send(self, upload: Upload, client: FtpClient, control: JobControl) -> Uploaded:
        """Body of the job. Runs on a session."""

        def wanted() -> bool:
            upload.progress_at = self._clock.monotonic()
            control.should_yield()  # shows the waiting callers that something moves
            return not (upload.cancelled or control.cancelled)

        attempt = Attempt(
            upload.staged,
            client,
            self._journal,
            own_times=self._own_times,
            wanted=wanted,
            gives_way=control.should_yield,
            torn=upload.torn >= TORN_MAX,
        )
        try:
            return attempt.run()
        except OSError as error:
            raise NoSpace(f"{upload.staged.path}: local disk: {error}") from error

    # -- the end of an attempt --------------------------------------------------------------------

    def _ended(self, upload: Upload, job: Job[Uploaded]) -> None:
        """Callback of the engine: decide what the attempt's end means."""
        staged = upload.staged
        if job.error is None:
            self._succeeded(upload, job.result())
        elif isinstance(job.error, VersionChanged):
            upload.torn += 1
            self._continue(upload, delay_s=0.05 * upload.torn)
        elif isinstance(job.error, JobCancelled):
            with staged.lock:
                if staged.state in (StagedState.SENDING, StagedState.COMMITTING):
                    staged.move_to(StagedState.QUEUED)
            self._leave(upload)
        elif isinstance(job.error, Conflict) and self._steps_aside(staged):
            self._continue(upload, delay_s=0.0)
        elif isinstance(job.error, RemoteError):
            self._failed(upload, job.error)
        else:
            self._failed(upload, ServerError(f"{staged.path}: internal error: {job.error}"))

    def _succeeded(self, upload: Upload, done: Uploaded) -> None:
        staged = upload.staged
        upload.error, upload.failures, upload.torn, upload.not_there = None, 0, 0, 0
        self._on_uploaded(staged, done)
        with staged.lock:  # also for the row: a writer who comes now puts a new one
            staged.sent_version = max(staged.sent_version, done.version)
            finished = not staged.dirty
            if finished:
                staged.move_to(StagedState.DONE)
            try:
                if finished:
                    self._journal.delete(staged.id)
                else:  # a newer version builds on this one now
                    self._journal.put(staged.record())
            except OSError as error:
                _not_told(staged, error)
        try:
            self._journal.sync()
        except OSError as error:
            _not_told(staged, error)
        if finished:
            for stray in set(staged.strays):
                self._errands.remove(stray)
            self._on_finished(staged)
            self._leave(upload)
        else:
            self._continue(upload, delay_s=0.0)

    def _continue(self, upload: Upload, *, delay_s: float) -> None:
        """There is a newer version: send it now, or when its writer closes the file."""
        staged = upload.staged
        with staged.lock:
            writing = staged.state is StagedState.OPEN
            if not writing:
                staged.move_to(StagedState.QUEUED)
        if writing or upload.cancelled:
            self._leave(upload)
        else:
            self._launch(upload, delay_s=delay_s)

    def _leave(self, upload: Upload) -> None:
        """Take *upload* off the list, unless `enqueue` asked for a newer version meanwhile."""
        staged = upload.staged
        with staged.lock, self._changed:
            again = (
                staged.state is StagedState.QUEUED
                and staged.dirty
                and not upload.cancelled
                and not self._stopped
            )
            if not again and self._uploads.get(staged.id) is upload:
                del self._uploads[staged.id]
            self._changed.notify_all()
        if again:
            self._launch(upload, delay_s=0.0)

    def _steps_aside(self, staged: StagedFile) -> bool:
        with staged.lock:
            writing = staged.state is StagedState.OPEN  # its close finds the conflict again
        return not writing and self._on_conflict(staged)

    def _failed(self, upload: Upload, error: RemoteError) -> None:
        """Try again later, or hold."""
        staged = upload.staged
        upload.failures += 1
        upload.not_there = upload.not_there + 1 if isinstance(error, NotThere) else 0
        delay = pause_s(upload.failures)
        if upload.not_there >= NOT_THERE_MAX:
            error = ServerError(
                f"{staged.path}: sent {upload.not_there} times; each time the server said that it "
                f"has it, and it is not there under this name; {ANOTHER_NAME}"
            )
        retry = error.retryable or isinstance(error, NoSpace)
        with staged.lock:
            writing = staged.state is StagedState.OPEN  # its close sends it again
            if not writing:
                staged.move_to(StagedState.QUEUED if retry else StagedState.HELD, str(error))
        if not writing and not retry:
            self._note_held(staged)
            for stray in set(staged.strays):
                self._errands.remove(stray)
        with self._changed:
            upload.error = error
            upload.held = not retry and not writing
            self._changed.notify_all()
        if upload.cancelled or self._stopped or writing:
            self._leave(upload)
        elif retry:
            log.info("upload of %s will be tried again: %s", staged.path, error)
            self._launch(upload, delay_s=delay)
        else:
            log.warning("upload of %s is held: %s", staged.path, error)

    def _note_held(self, staged: StagedFile) -> None:
        try:
            with staged.lock:
                staged.closed_in_journal = False
                self._journal.put(staged.record())
            self._journal.sync()
        except OSError as error:  # the row still says QUEUED: the next run finds out again
            log.warning("%s: the journal is not told that it is held: %s", staged.path, error)


def _not_told(staged: StagedFile, error: OSError) -> None:
    log.warning("%s is on the server, but the journal is not told: %s", staged.path, error)
