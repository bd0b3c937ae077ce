"""The engine: prioritised jobs on session workers.

Nobody above `ftp/` holds a connection. They submit a job and wait for its result. Workers
(threads, one FTP session each) take the best job. How many workers there are follows from demand
and from what the server allowed (421/530); everything works on one.

Rules
- A worker connects *before* it takes a job, so a job never waits for a login while another
  session is free.
- A job that is not urgent never takes the last session when there could be several; where there is
  only one, long transfers ask `should_yield` after each piece and give way.
- A waiting job grows more urgent with time, so that an upload gets its turn beside a long read.
- A session that died costs one silent reconnect and one replay. `JobControl.attempt` tells the
  work that an earlier run may have taken effect: look, then decide.
- While the server refuses connections, each attempt that fails ends the waiting jobs once the
  policy's attempts are used up: a program hears of it at the next attempt, a moment later.
- A server that says nothing at all for a program's whole deadline is *away*, long before the
  network's timeout: who has an older answer gives it at once (`Engine.away`), and a probe asks for
  a sign of life until there is one, on one session more than allowed if all of them hang.
- When the machine slept, every session is suspect: those with work are closed, idle ones asked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pyftpdrive.base import patience
from pyftpdrive.base.clock import Clock, SystemClock
from pyftpdrive.base.errors import RemoteError, RemoteTimeout, RemoteUnavailable
from pyftpdrive.ftp.ftp_client import ClientOptions, FtpClient
from pyftpdrive.ftp.jobs import Job, JobCancelled, JobState, JobYielded, Priority, Work
from pyftpdrive.ftp.link import Link, Refused
from pyftpdrive.ftp.profile import ServerProfile
from pyftpdrive.ftp.retry import RetryPolicy
from pyftpdrive.ftp.trace import Recorder

log = logging.getLogger(__name__)
T = TypeVar("T")

AGING_S = 2.0  # a job that waited this long counts as one priority more urgent
PATIENCE_FACTOR_MAX = 10  # an answer that keeps arriving may take this many deadlines
SESSION_IDLE_MAX_S = 50.0  # surplus sessions are given back to the server after this
SUSPECT_IDLE_S = 5.0  # a session that was not used for so long is asked for a sign of life first
CLOCK_JUMP_S = 5.0  # the wall clock ran ahead of the monotonic one: the machine slept
ALMOST = 0.9  # of a deadline: a job begins a moment after somebody began to wait for it
STOP_S = 5.0  # for all sessions to end by themselves; then their sockets are closed
PROBE_PAUSE_S = 1.0  # between two requests for a sign of life


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How the engine treats the server."""

    sessions_max: int = 8
    deadline_s: float = 3.0  # patience of a program that waits for a first answer
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    keepalive_s: float = 60.0  # 0: never send NOOP


class _Worker:
    """One thread with one session."""

    def __init__(self, client: FtpClient) -> None:
        self.client = client
        self.job: Job[object] | None = None
        self.thread: threading.Thread | None = None
        self.idle_since = 0.0
        self.wall_ahead_s = 0.0  # wall clock minus monotonic clock when it was last used


class _Control:
    """JobControl for one run of one job."""

    def __init__(self, engine: Engine, job: Job[object]) -> None:
        self._engine = engine
        self._job = job

    @property
    def attempt(self) -> int:
        return self._job.attempt

    @property
    def cancelled(self) -> bool:
        return self._job.cancelled

    def should_yield(self) -> bool:
        self._job.last_activity = self._engine.clock.monotonic()
        return self._engine.is_urgent_for(self._job)


class Engine:
    """Runs jobs on sessions.

    Locking: `_changed` (rank 50) guards everything below it; no I/O under it. Job callbacks and
    work run outside it.
    """

    def __init__(
        self,
        client_options: ClientOptions,
        options: EngineOptions,
        profile: ServerProfile,
        *,
        clock: Clock | None = None,
        client_factory: Callable[[], FtpClient] | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.options = options
        self.profile = profile
        self._client_factory = client_factory or (
            lambda: FtpClient(client_options, profile, clock=self.clock)
        )
        self.recorder = Recorder(self.clock, client_options.password)
        self._changed = threading.Condition(threading.Lock())
        self._queue: list[Job[object]] = []
        self._workers: list[_Worker] = []
        self._link = Link(options.sessions_max, options.retry, profile, self.clock)
        self._stopping = False
        self.impatient = False  # programs are leaving: one deadline without an answer is the last
        self._probing = False
        self._wall_ahead_s = self._wall_ahead()

    # -- for the layers above ---------------------------------------------------------------

    def start(self) -> None:
        """Connect the first session.

        Raises:
            RemoteError: the server can't be used as configured; nothing keeps running.
        """
        client = self._client_factory()
        client.connect()
        worker = _Worker(client)
        with self._changed:
            self._launch_locked(worker)

    def submit(self, job: Job[T]) -> Job[T]:
        """Queue *job*; its result comes through `Job.wait` or its callback."""
        self.notice_sleep()
        with self._changed:
            stopping = self._stopping
            if not stopping:
                self._queue.append(job)  # type: ignore[arg-type]  # a Job of anything
                self._grow_locked()
                self._changed.notify_all()
        if stopping:
            job.fail(RemoteUnavailable("the drive is being unmounted"))
        return job

    def run(
        self, label: str, work: Work[T], *, priority: Priority, patience_s: float | None = -1.0
    ) -> T:
        """Submit *work* and wait for its result.

        *patience_s*: see `Job.wait`; by default the application's deadline.

        Raises:
            RemoteError: what the work raised, or RemoteTimeout.
        """
        return self.wait(self.submit(self.job(label, work, priority=priority)), patience_s)

    def wait(self, job: Job[T], patience_s: float | None = -1.0, *, keep: bool = False) -> T:
        """The result of a submitted job, as `run` waits for it.

        A job that was not begun in time is dropped, unless the result is of use later (*keep*).
        """
        bearable_s = self.options.deadline_s if patience_s == -1.0 else patience_s
        at_most_s = None if bearable_s is None else bearable_s * PATIENCE_FACTOR_MAX
        since = patience.silent_since(self.clock.monotonic())
        try:
            return job.wait(bearable_s, at_most_s=at_most_s, given_up=lambda: self.impatient)
        except RemoteTimeout:
            self.note_silence(since)
            if not keep:
                self.withdraw(job)
            raise

    def job(
        self,
        label: str,
        work: Work[T],
        *,
        priority: Priority,
        on_done: Callable[[Job[T]], None] | None = None,
        attempts_max: int | None = None,
    ) -> Job[T]:
        """Make a job (not yet submitted)."""
        return Job(
            label,
            work,
            priority=priority,
            clock=self.clock,
            on_done=on_done,
            attempts_max=attempts_max,
        )

    def withdraw(self, job: Job[T]) -> None:
        """Drop *job* if it has not been started; a running one goes on."""
        with self._changed:
            queued = job in self._queue
            if queued:
                self._queue.remove(job)  # type: ignore[arg-type]
        if queued:
            job.fail(JobCancelled(job.label))

    def cancel(self, job: Job[T]) -> None:
        """Stop *job*: now when it is queued, at its next `control.cancelled` when it runs."""
        job.cancel()
        self.withdraw(job)

    def hurry(self, job: Job[T]) -> None:
        """A job that waits for its time may run now."""
        with self._changed:
            job.not_before = 0.0
            self._changed.notify_all()

    def is_urgent_for(self, running: Job[object]) -> bool:
        """True when a job more urgent than *running* waits and no other session can take it."""
        queue = self._queue
        if not queue:
            return False
        with self._changed:
            now = self.clock.monotonic()
            best = min((self._rank(job, now) for job in self._queue), default=None)
            if best is None or best >= running.priority:
                return False
            idle = any(w.job is None and w.client.connected for w in self._workers)
            return not idle and self._link.connecting == 0

    # -- is anybody there? ------------------------------------------------------------------

    @property
    def away(self) -> bool:
        """True while the server does not answer, as far as is known. Takes no lock."""
        return self._link.away

    def is_hung(self, job: Job[T]) -> bool:
        """True when *job* runs without a sound for as long as a program waits.

        Its session may have died without a word: who needs the result asks again beside it.
        """
        if job.state is not JobState.RUNNING:
            return False
        last = max(job.begun_at, job.last_activity)
        return self.clock.monotonic() - last >= self.options.deadline_s * ALMOST

    def note_silence(self, since: float) -> None:
        """Somebody waited in vain from *since* (monotonic) until now: was it all the server?"""
        now = self.clock.monotonic()
        if now - self._link.heard_at < self.options.deadline_s * ALMOST:
            return  # it talks to others
        with self._changed:
            self._link.note_silence(since)
            probe = not self._probing and not self._stopping
            self._probing = True
        if probe:
            self._probe(0.0)

    def look_for_silence(self) -> None:
        """An upload that nobody waits for may be the only one who could have noticed it."""
        with self._changed:
            jobs = [worker.job for worker in self._workers]
        moved = [max(job.begun_at, job.last_activity) for job in jobs if job is not None]
        if moved and self.clock.monotonic() - max(moved) >= self.options.deadline_s:
            self.note_silence(max(moved))

    def _probe(self, delay_s: float) -> None:
        """Ask for a sign of life, in the background, until there is one."""

        def ended(_job: Job[None]) -> None:
            with self._changed:
                again = self._link.silent and not self._stopping
                self._probing = again
            if again:
                self._probe(PROBE_PAUSE_S)

        job = self.job(
            "sign of life",
            lambda client, _control: client.noop(self.options.deadline_s),
            priority=Priority.PROBE,
            on_done=ended,
            attempts_max=0,
        )
        job.not_before = self.clock.monotonic() + delay_s
        self.submit(job)

    def _wall_ahead(self) -> float:
        """By how much the wall clock is ahead of the monotonic one; sleep changes it."""
        return self.clock.now_ns() / 1e9 - self.clock.monotonic()

    def notice_sleep(self) -> None:
        """When the machine slept: end the sessions that are at work, they may never answer again.

        Their jobs run again on new sessions. Idle ones are asked before they are used.
        """
        wall_ahead_s = self._wall_ahead()
        if abs(wall_ahead_s - self._wall_ahead_s) <= CLOCK_JUMP_S:
            self._wall_ahead_s = wall_ahead_s  # follows a clock that is being adjusted
            return
        with self._changed:
            self._wall_ahead_s = wall_ahead_s
            busy = [worker for worker in self._workers if worker.job is not None]
        log.info("the clock jumped: the machine slept; %d session(s) begin anew", len(busy))
        for worker in busy:
            worker.client.close_abruptly()

    def status(self) -> dict[str, object]:
        """For people: sessions, queue, reachability."""
        self.look_for_silence()
        with self._changed:
            return {
                "open": sum(worker.client.connected for worker in self._workers),
                "limit": self._link.limit(),
                "queued": len(self._queue),
                "reachable": not self.away,
                "unreachable_s": self._link.unreachable_s(),
                "last_error": self._link.last_error,
            }

    def stop(self) -> None:
        """End all sessions; queued jobs fail. Returns when every thread has ended."""
        with self._changed:
            self._stopping = True
            queued, self._queue = self._queue, []
            workers = list(self._workers)
            self._changed.notify_all()
        for job in queued:
            job.fail(JobCancelled("the drive is being unmounted"))
        for worker in workers:
            running = worker.job
            if running is not None:
                running.cancel()
        self._join(workers, STOP_S)
        for worker in workers:
            if worker.thread is not None and worker.thread.is_alive():
                worker.client.close_abruptly()
        self._join(workers, STOP_S)

    def _join(self, workers: list[_Worker], patience_s: float) -> None:
        """Wait for the ends of all threads together, not of each."""
        until = self.clock.monotonic() + patience_s
        for worker in workers:
            if worker.thread is not None:
                worker.thread.join(timeout=max(0.0, until - self.clock.monotonic()))

    # -- workers ----------------------------------------------------------------------------

    def _rank(self, job: Job[object], now: float) -> float:
        return max(0.0, job.priority - (now - job.submitted_at) // AGING_S)

    def _grow_locked(self) -> None:
        """Start one more worker when a job waits that no present one will take."""
        if self._stopping:
            return
        idle = sum(worker.job is None for worker in self._workers)
        # When all sessions hang, one more than allowed: they may be dead without a word.
        limit = self._link.limit() + (1 if self._link.silent else 0)
        wanted = min(len(self._queue), limit - len(self._workers))
        if wanted > 0 and idle == 0:
            worker = _Worker(self._client_factory())
            self._launch_locked(worker)

    def _launch_locked(self, worker: _Worker) -> None:
        worker.idle_since = self.clock.monotonic()
        worker.wall_ahead_s = self._wall_ahead()
        name = f"ftp-session-{len(self._workers) + 1}"
        worker.thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
        self._workers.append(worker)
        worker.thread.start()

    def _work(self, worker: _Worker) -> None:
        """Body of a worker thread."""
        try:
            while self._ready(worker):
                job = self._take(worker)
                if job is not None:
                    self._run(worker, job)
        finally:
            worker.client.disconnect()
            with self._changed:
                if worker in self._workers:
                    self._workers.remove(worker)
                self._changed.notify_all()

    def _ready(self, worker: _Worker) -> bool:
        """Have a session; False: this worker is not needed any more."""
        while not worker.client.connected:
            with self._changed:
                while not self._stopping and not self._may_connect_locked(worker):
                    self.clock.wait(self._changed, self._connect_pause_locked())
                if self._stopping:
                    return False
                if not self._queue and len(self._workers) > 1:
                    return False
                self._link.begin()
            if not self._connect(worker):
                return False
        return not self._stopping

    def _may_connect_locked(self, worker: _Worker) -> bool:
        """Now is the time to dial: a job waits, or the prober's pause is over."""
        if not self._link.refusing:
            return bool(self._queue) or worker is not self._workers[0]
        if worker is not self._workers[0]:
            return True  # leaves in _ready, or helps out
        return self._link.pause_s(urgent=self._urgent_locked()) <= 0

    def _urgent_locked(self) -> bool:
        """Whether programs wait."""
        return any(job.priority < Priority.UPLOAD for job in self._queue)

    def _connect_pause_locked(self) -> float | None:
        if not self._link.refusing:
            return None
        return max(0.01, self._link.pause_s(urgent=self._urgent_locked()))

    def _connect(self, worker: _Worker) -> bool:
        """Dial once. False: this worker ends."""
        error: RemoteError | None = None
        try:
            worker.client.connect()
        except RemoteError as caught:
            error = caught
        refused: Refused | None = None
        lost: list[Job[object]] = []
        keep = True
        with self._changed:
            for job in self._queue:
                job.trace.note(f"no session: {error}" if error else "a session was opened")
            others = sum(w is not worker and w.client.connected for w in self._workers)
            if error is None:
                self._link.opened(others)
            else:
                refused = self._link.refused(error, others)
                keep = not others and worker is self._workers[0]
                if refused is Refused.FOR_NOW:
                    lost = [job for job in self._queue if job.priority < Priority.UPLOAD]
                    self._queue = [job for job in self._queue if job not in lost]
            if not keep and worker in self._workers:
                self._workers.remove(worker)
            self._changed.notify_all()
        if error is not None:
            if refused is Refused.LIMIT:
                log.info("the server allows %d session(s): %s", others, error)
            level = logging.DEBUG if others else logging.INFO
            log.log(level, "could not open a session: %s", error)
            for job in lost:
                job.fail(error)
        return keep

    def _take(self, worker: _Worker) -> Job[object] | None:
        """Wait for the best job; None: look after the session (keep-alive, idle, stop)."""
        with self._changed:
            worker.idle_since = self.clock.monotonic()
            while not self._stopping:
                now = self.clock.monotonic()
                job = self._best_locked(now)
                if job is not None:
                    self._queue.remove(job)
                    worker.job = job
                    job.begun_at = now
                    job.state = JobState.RUNNING
                    self._grow_locked()
                    return job
                pause = self._idle_pause_locked(worker, now)
                if pause <= 0:
                    break
                self.clock.wait(self._changed, pause)
            if self._stopping:
                return None
            surplus = len(self._workers) > 1
        self._look_after(worker, surplus=surplus)
        return None

    def _best_locked(self, now: float) -> Job[object] | None:
        limit = self._link.limit()
        patient = sum(
            w.job is not None and w.job.priority >= Priority.UPLOAD for w in self._workers
        )
        # The last session is for those who wait in front of a screen.
        urgent_only = limit > 1 and patient >= limit - 1
        ready = [
            job
            for job in self._queue
            if job.not_before <= now and not (urgent_only and job.priority >= Priority.UPLOAD)
        ]
        if not ready:
            return None
        return min(ready, key=lambda job: (self._rank(job, now), job.submitted_at))

    def _idle_pause_locked(self, worker: _Worker, now: float) -> float:
        pauses = [SESSION_IDLE_MAX_S]
        if self.options.keepalive_s > 0:
            pauses.append(worker.client.last_used + self.options.keepalive_s - now)
        if len(self._workers) > 1:
            pauses.append(worker.idle_since + SESSION_IDLE_MAX_S - now)
        pauses += [job.not_before - now for job in self._queue if job.not_before > now]
        return min(pauses)

    def _look_after(self, worker: _Worker, *, surplus: bool) -> None:
        """Give back a session that is idle for long, or keep it alive."""
        now = self.clock.monotonic()
        if surplus and now - worker.idle_since >= SESSION_IDLE_MAX_S:
            worker.client.disconnect()
            return
        if (
            self.options.keepalive_s > 0
            and now - worker.client.last_used >= self.options.keepalive_s
        ):
            try:
                worker.client.noop()
                self._link.heard()
            except RemoteTimeout as error:
                log.info("an idle session ended: %s", error)
                self.note_silence(now)
            except RemoteError as error:
                log.info("an idle session ended: %s", error)

    def _run(self, worker: _Worker, job: Job[object]) -> None:
        """Run one job once and decide what its end means."""
        client = worker.client
        error: BaseException | None = None
        result: object = None
        try:
            if job.cancelled:
                raise JobCancelled(job.label)
            if not self._is_alive(worker):
                raise JobYielded(job.label)  # goes on when there is a new session

            def moved() -> None:
                job.last_activity = self._link.heard_at = self.clock.monotonic()

            client.watch(moved, job.trace.note)
            job.trace.note(f"runs on {threading.current_thread().name}, attempt {job.attempt + 1}")
            result = job.work(client, _Control(self, job))
        except (RemoteError, JobCancelled, JobYielded) as caught:
            error = caught
        except Exception as caught:  # the worker loop: one of three places
            log.exception("%s failed unexpectedly", job.label)
            client.disconnect()
            error = caught
        finally:
            client.watch(None, None)
        job.trace.note("done" if error is None else f"ended: {error or type(error).__name__}")
        again = self._requeue(worker, job, error)
        if log.isEnabledFor(logging.DEBUG):
            took_s = self.clock.monotonic() - job.trace.submitted_at
            log.debug(
                "job %s: attempt %d, %.3f s since it was submitted: %s",
                job.label,
                job.attempt + 1,
                took_s,
                "again" if again else error or "done",
            )
        if again:
            return
        if error is not None:
            if isinstance(error, RemoteError):
                if job.priority is Priority.UPLOAD:
                    self.recorder.failed_alone(job.trace, error)
                if isinstance(error, RemoteUnavailable):
                    self._link.last_error = f"{job.label}: {error}"
            job.fail(error)
        else:
            job.finish(result)

    def _is_alive(self, worker: _Worker) -> bool:
        """Whether a session that may have died unnoticed still answers; if not, it is closed.

        Sleep and a change of networks leave sockets that look fine and never answer. Asking first
        costs a round trip after a pause; not asking would cost a program its whole deadline.
        """
        now = self.clock.monotonic()
        wall_ahead_s = self._wall_ahead()
        slept = abs(wall_ahead_s - worker.wall_ahead_s) > CLOCK_JUMP_S
        worker.wall_ahead_s = wall_ahead_s
        if not slept and now - worker.client.last_used < SUSPECT_IDLE_S:
            return True
        try:
            worker.client.noop(self.options.deadline_s / 3)
        except RemoteError as error:
            log.info("a session died while nobody used it: %s", error)
            worker.client.close_abruptly()
            return False
        self._link.heard()
        return True

    def _requeue(self, worker: _Worker, job: Job[object], error: BaseException | None) -> bool:
        """Put *job* back when it yielded or when its session died; True when it is queued."""
        with self._changed:
            worker.job = None
            again = False
            now = self.clock.monotonic()
            if isinstance(error, JobYielded):
                job.submitted_at = now  # its age was used up: the urgent one goes first
                again = True
            elif isinstance(error, RemoteUnavailable) and not job.cancelled:
                allowed = (
                    self.options.retry.attempts if job.attempts_max is None else job.attempts_max
                )
                if job.attempt < allowed:
                    job.attempt += 1
                    job.not_before = now + self.options.retry.delay_before(job.attempt)
                    again = True
            again = again and not self._stopping
            if again:
                job.state = JobState.QUEUED
                self._queue.append(job)
            self._changed.notify_all()
        return again
