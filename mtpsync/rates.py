"""How long sending and reading take on one device: measured, remembered, and used for estimates.

Large files cost their bytes, small ones a time each, so both are measured by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

LARGE_BYTES = 1 << 20
SEND, READ = "send", "read"
GUESSES = {SEND: 20e6, READ: 20e6, f"{SEND} small": 10.0, f"{READ} small": 20.0}
"""Bytes, and small files, a second: what USB 2 phones take."""
TRUSTED_S = 0.05  # what is shorter says nothing


class Meter:
    """What was spent on what, as (amount, seconds): bytes of large files, numbers of small ones."""

    def __init__(self) -> None:
        self.spent: dict[str, tuple[float, float]] = {}

    @contextmanager
    def timing(self, what: str, size_bytes: int) -> Iterator[None]:
        """Count the transfer inside, if it succeeds."""
        begin_s = time.monotonic()
        yield
        large = size_bytes >= LARGE_BYTES
        kind = what if large else f"{what} small"
        amount, seconds = self.spent.get(kind, (0.0, 0.0))
        seconds += time.monotonic() - begin_s
        self.spent[kind] = (amount + (size_bytes if large else 1), seconds)


def estimate(sizes: Iterable[int], rates: Mapping[str, float], *, read_back: bool) -> float:
    """Seconds to send files of *sizes*, and to read them back."""
    large = small = 0
    for size in sizes:
        if size >= LARGE_BYTES:
            large += size
        else:
            small += 1
    known = {**GUESSES, **rates}
    return sum(
        large / known[what] + small / known[f"{what} small"]
        for what in (SEND, READ)[: 1 + read_back]
    )
