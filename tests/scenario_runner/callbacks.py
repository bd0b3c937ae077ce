"""How long each callback of a drive took, and which of them took longer than promised.

A host measures every callback: `direct` around its call of the core, `fuse` by what the drive logs
of each at DEBUG, inside the guard that all callbacks pass. No callback may be later than the
application's deadline, whatever the server does; `SLACK_S` is for this machine, not for the drive.

Not bound by it: what waits for data by contract (`fsync` for the server, a `read` that goes on
getting octets), and what is no callback (`held`). A read that *fails* is bound as everything else.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

SLACK_S = 2.0
SHOWN = 8
UNBOUND = frozenset({"fsync", "init", "destroy", "find", "export", "retry", "discard"})
TRANSFERS = frozenset({"read"})  # bound when they fail
_LINE = re.compile(
    r" pyftpdrive\.hosts\.(?:fuse|winfsp): (?P<name>\w+) (?P<path>.*): "
    r"(?P<result>-?\d+), (?P<ms>\d+\.\d) ms, "
)


@dataclass(frozen=True, slots=True)
class Callback:
    """One call of the drive by a program or by the kernel."""

    name: str
    path: str
    seconds: float
    failed: bool

    @property
    def bound(self) -> bool:
        """True when the application's deadline holds for it."""
        return self.name not in UNBOUND and (self.failed or self.name not in TRANSFERS)


@dataclass(frozen=True, slots=True)
class Slow:
    """One of the slowest callbacks of one scenario; travels with the test's report."""

    seconds: float
    name: str
    path: str
    deadline_s: float

    @property
    def over_s(self) -> float:
        """By how much it was later than its deadline; negative: it kept it."""
        return self.seconds - self.deadline_s


@dataclass(frozen=True, slots=True)
class Measured:
    """What one scenario on one host measured."""

    count: int
    slowest: tuple[Slow, ...]

    def dumps(self) -> str:
        """As text."""
        return json.dumps([self.count, [astuple(slow) for slow in self.slowest]])

    @classmethod
    def loads(cls, text: str) -> Measured:
        """From text."""
        count, slowest = json.loads(text)
        return cls(count, tuple(Slow(*fields) for fields in slowest))


def measure(callbacks: list[Callback], deadline_s: float) -> Measured:
    """How many callbacks the deadline binds, and the slowest of them, the slowest first."""
    bound = [callback for callback in callbacks if callback.bound]
    slowest = heapq.nlargest(SHOWN, bound, key=lambda callback: callback.seconds)
    return Measured(len(bound), tuple(Slow(c.seconds, c.name, c.path, deadline_s) for c in slowest))


def too_late(measured: Measured) -> str | None:
    """What was later than promised, in words; None: nothing."""
    late = [slow for slow in measured.slowest if slow.over_s > SLACK_S]
    if not late:
        return None
    return "; ".join(
        f"{slow.name} {slow.path} took {slow.seconds:.2f} s, its deadline is {slow.deadline_s:g} s"
        for slow in late
    )


def from_log(directory: Path, name: str) -> list[Callback]:
    """The callbacks that a drive logged into the file *name* and those that it was rotated to."""
    return [
        callback
        for file in sorted(directory.glob(f"{name}*"))
        for callback in _parse(file.read_text(errors="replace").splitlines())
    ]


def _parse(lines: Iterable[str]) -> Iterable[Callback]:
    for line in lines:
        found = _LINE.search(line)
        if found:
            yield Callback(
                found["name"], found["path"], float(found["ms"]) / 1000, int(found["result"]) < 0
            )


class Slowest:
    """The slowest callbacks of a whole run."""

    def __init__(self) -> None:
        self.count = 0
        self._found: list[tuple[Slow, str]] = []

    def note(self, measured: Measured, where: str) -> None:
        """Take what the scenario *where* measured."""
        self.count += measured.count
        self._found += [(slow, where) for slow in measured.slowest]

    def lines(self) -> list[str]:
        """For people: how many, and those that came nearest to (or behind) their deadlines."""
        if not self.count:
            return []
        nearest = heapq.nlargest(SHOWN, self._found, key=lambda found: found[0].over_s)
        late = sum(slow.over_s > SLACK_S for slow, _ in self._found)
        verdict = f"{late} LATER than its deadline + {SLACK_S:g} s" if late else (
            f"none later than its deadline + {SLACK_S:g} s"
        )  # fmt: skip
        return [
            f"{self.count} callbacks measured, {verdict}; the nearest to their deadlines:",
            *(
                f"  {slow.seconds:7.3f} s of {slow.deadline_s:g} s  {slow.name} {slow.path}  ({at})"
                for slow, at in nearest
            ),
        ]
