"""Time, injectable. Everything that waits or stamps asks a Clock, so tests can own it."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines and ages."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC; for time stamps that people see."""

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> bool:
        """Wait on *condition* (held by the caller); False when *timeout_s* passed."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds of `time.monotonic`."""
        return time.monotonic()

    def now_ns(self) -> int:
        """Nanoseconds of `time.time_ns`."""
        return time.time_ns()

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> bool:
        """`Condition.wait`."""
        return condition.wait(timeout_s)
