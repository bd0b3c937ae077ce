"""The time that timeouts are measured with; a test may own it."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the simulator asks of a clock."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def wait(self, condition: threading.Condition, until_s: float) -> None:
        """Wait, its lock held, for a notification or the moment *until_s*; may return early."""


class RealClock:
    """The machine's."""

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, until_s: float) -> None:
        """See Clock."""
        condition.wait(max(0.0, until_s - time.monotonic()))


class ManualClock:
    """Time passes when the test says so."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._waiting: list[threading.Condition] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """See Clock."""
        return self._now_s

    def wait(self, condition: threading.Condition, until_s: float) -> None:
        """See Clock."""
        with self._lock:
            if self._now_s >= until_s:
                return
            self._waiting.append(condition)
        condition.wait()
        with self._lock:
            self._waiting.remove(condition)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass; who waited longer than allowed wakes up."""
        with self._lock:
            self._now_s += seconds
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()
