"""The queue between driver and file system: worker threads, cancelling, IRP timeouts."""

from __future__ import annotations

import _thread
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from simulators.fake_winfsp import ntstatus
from simulators.fake_winfsp.clock import Clock

T = TypeVar("T")


class _Request(Generic[T]):
    """One IRP. `state`: queued, running, done, or given up by its caller."""

    def __init__(self, work: Callable[[], T], dropped: Callable[[T], None] | None) -> None:
        self.work = work
        self.dropped = dropped
        self.state = "queued"
        self.result: T | None = None
        self.error: Exception | None = None


class Dispatcher:
    """Runs requests on workers that Python's threading knows nothing of, as WinFsp's are.

    A caller waits until its request is done, expires (IrpTimeout on the clock) or is cancelled by
    stop(). What a callback answers afterwards is dropped; `late` counts those.
    """

    def __init__(self, clock: Clock, irp_timeout_s: float, capacity: int) -> None:
        self._clock = clock
        self._timeout_s = irp_timeout_s
        self._capacity = capacity
        self._condition = threading.Condition()
        self._queue: deque[_Request[Any]] = deque()
        self._busy = 0
        self._workers = 0
        self._running = False
        self.rejections_left = 0
        self.late = 0
        self.crashes: list[BaseException] = []

    @property
    def workers(self) -> int:
        """Threads that are alive."""
        with self._condition:
            return self._workers

    @property
    def started(self) -> bool:
        """Between start() and stop()."""
        with self._condition:
            return self._running

    def start(self, threads: int) -> None:
        """Start *threads* workers."""
        with self._condition:
            self._running = True
            self._workers += threads
        for _ in range(threads):
            _thread.start_new_thread(self._serve, ())

    def stop(self) -> None:
        """Cancel what waits, then wait for the callbacks in flight and the workers' ends."""
        with self._condition:
            self._running = False
            self._queue.clear()
            self._condition.notify_all()
            while self._workers:
                self._condition.wait()

    def call(self, work: Callable[[], T], dropped: Callable[[T], None] | None = None) -> T:
        """Have a worker do *work*; return its result or raise its error.

        *dropped* is called in the worker with a result that nobody waits for any more.

        Raises:
            NtError: the file system's status; CANCELLED: expired, stopped, or not started.
        """
        request = _Request(work, dropped)
        until_s = self._clock.monotonic() + self._timeout_s
        with self._condition:
            self._admit(request)
            while request.state != "done":
                if not self._running or self._clock.monotonic() >= until_s:
                    if request.state == "queued" and request in self._queue:
                        self._queue.remove(request)
                    request.state = "given up"
                    raise ntstatus.NtError(ntstatus.CANCELLED)
                self._clock.wait(self._condition, until_s)
        if request.error is not None:
            raise request.error
        return request.result  # type: ignore[return-value]

    def post(self, work: Callable[[], None]) -> None:
        """Have a worker do *work*, some time; lost when the dispatcher stops first."""
        with self._condition:
            if self._running:
                self._queue.append(_Request(work, None))
                self._condition.notify_all()

    def settle(self, patience_s: float) -> bool:
        """Wait until nothing is queued or running; False: it still is."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._busy and not self._queue, patience_s)

    def wait_until_queued(self, count: int = 1, patience_s: float = 30.0) -> None:
        """For tests: return once *count* requests wait for a worker.

        Raises:
            AssertionError: that never happened.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: len(self._queue) >= count, patience_s):
                raise AssertionError("nothing is queued")

    def _admit(self, request: _Request[Any]) -> None:
        if not self._running:
            raise ntstatus.NtError(ntstatus.CANCELLED)
        if self.rejections_left:
            self.rejections_left -= 1
            raise ntstatus.NtError(ntstatus.CANCELLED)
        if len(self._queue) + self._busy >= self._capacity:
            raise ntstatus.NtError(ntstatus.INSUFFICIENT_RESOURCES)
        self._queue.append(request)
        self._condition.notify_all()

    def _serve(self) -> None:
        try:
            while True:
                with self._condition:
                    while self._running and not self._queue:
                        self._condition.wait()
                    if not self._running:
                        return
                    request = self._queue.popleft()
                    request.state = "running"
                    self._busy += 1
                self._execute(request)
                del request  # or its result lives on in a waiting worker
        finally:
            with self._condition:
                self._workers -= 1
                self._condition.notify_all()

    def _execute(self, request: _Request[Any]) -> None:
        result = error = None
        try:
            result = request.work()
        except ntstatus.NtError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001  # of the simulator: FakeWindows reports it
            self.crashes.append(exc)
            error = ntstatus.NtError(ntstatus.UNSUCCESSFUL)
        with self._condition:
            given_up = request.state == "given up"
            if given_up:
                self.late += 1
            else:
                request.result, request.error, request.state = result, error, "done"
            self._busy -= 1
            self._condition.notify_all()
        if given_up and error is None and request.dropped is not None:
            request.dropped(result)
