"""How long to wait before the next attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Bounded exponential backoff.

    The first repetition comes at once (a session that died while idle costs nothing but a
    reconnect); the following ones after `delay_s`, 2 x `delay_s`, 4 x `delay_s` … up to
    `delay_max_s`.
    """

    attempts: int = 3  # repetitions after the first try
    delay_s: float = 1.0
    delay_max_s: float = 15.0

    def delay_before(self, repetition: int) -> float:
        """Seconds to wait before *repetition* (1 = the first one)."""
        if repetition <= 1:
            return 0.0
        return float(min(self.delay_s * 2 ** min(repetition - 2, 20), self.delay_max_s))
