"""What was asked of the library, by every process, in the order of the ends."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that returned. One that hung or crashed has only its fault in the ledger."""

    pid: int
    device: str | None  # None: before one was open
    call: str  # without LIBMTP_
    args: dict[str, Any]
    result: int | str | None  # as returned; the number of rows of a list; None: NULL
    bytes: int | None  # None: no transfer
    ops: dict[str, int]  # transactions with the device
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault that struck."""

    pid: int
    device: str
    fault: str
    number: int  # in the order of injecting
    op: str
    call: str | None


class Ledger:
    """Reads the file anew each time: other processes write it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def calls(self, *names: str) -> list[Call]:
        """The calls; only those called *names* when any are given."""
        found = [Call(**{"bytes": None, **row}) for row in self._rows() if "fault" not in row]
        return [call for call in found if not names or call.call in names]

    def faults(self) -> list[Struck]:
        """The faults that struck."""
        return [Struck(**row) for row in self._rows() if "fault" in row]

    def operations(self) -> Counter[str]:
        """How many transactions of each kind there were."""
        total: Counter[str] = Counter()
        for call in self.calls():
            total.update(call.ops)
        return total

    def clear(self) -> None:
        """Forget what was."""
        self._file.unlink(missing_ok=True)

    def _rows(self) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        lines = self._file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
