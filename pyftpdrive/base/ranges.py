"""Sets of byte positions, as sorted half-open ranges. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class ByteRanges:
    """A set of byte positions.

    Invariant: the ranges are sorted, disjoint, not empty and never touch.
    """

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0  # how many positions are in the set

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __repr__(self) -> str:
        return f"ByteRanges({list(self)})"

    def add(self, start: int, end: int) -> None:
        """Put [start, end) into the set."""
        if start >= end:
            return
        if self._ends and self._starts[-1] <= start <= self._ends[-1]:  # growing at the end
            if end > self._ends[-1]:
                self.total += end - self._ends[-1]
                self._ends[-1] = end
            return
        first = bisect_left(self._ends, start)  # first range that reaches start
        last = bisect_right(self._starts, end)  # behind the last one that begins by end
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
            self.total -= sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.total += end - start

    def remove(self, start: int, end: int) -> None:
        """Take [start, end) out of the set."""
        if start >= end:
            return
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        starts: list[int] = []
        ends: list[int] = []
        if self._starts[first] < start:
            starts.append(self._starts[first])
            ends.append(start)
        if self._ends[last - 1] > end:
            starts.append(end)
            ends.append(self._ends[last - 1])
        self.total -= sum(self._ends[first:last]) - sum(self._starts[first:last])
        self.total += sum(ends) - sum(starts)
        self._starts[first:last] = starts
        self._ends[first:last] = ends

    def truncate(self, end: int) -> None:
        """Take everything from *end* on out of the set."""
        if self._ends:
            self.remove(max(0, end), self._ends[-1])

    def contains(self, start: int, end: int) -> bool:
        """True when all of [start, end) is in the set; an empty range always is."""
        if start >= end:
            return True
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self._ends[index]

    def first_missing(self, start: int, end: int) -> int | None:
        """The first position of [start, end) that is not in the set; None: all are."""
        if start >= end:
            return None
        index = bisect_right(self._starts, start) - 1
        if index >= 0 and start < self._ends[index]:
            start = self._ends[index]
        return start if start < end else None

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that are not in the set, in order."""
        gaps: list[tuple[int, int]] = []
        index = bisect_right(self._ends, start)
        while start < end:
            if index >= len(self._starts) or self._starts[index] >= end:
                gaps.append((start, end))
                break
            if start < self._starts[index]:
                gaps.append((start, self._starts[index]))
            start = self._ends[index]
            index += 1
        return gaps
