"""What was asked of the simulator and what it answered.

Passwords never enter the ledger: the argument of PASS and ACCT is replaced before it is stored.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

_SECRET = frozenset({"PASS", "ACCT"})


@dataclass(slots=True, kw_only=True)
class LedgerEntry:
    """One command and its final reply."""

    session: int  # 1 is the first control connection since the simulator was made
    command: str  # upper case; CONNECT stands for the greeting
    argument: str  # as the client sent it; *** for a password
    code: int | None  # the final reply; None: not answered (yet, or ever)
    at: float  # time.monotonic() when the command arrived
    answered_at: float | None = None  # None: see code


class Ledger:
    """Every command and reply of one simulator, in the order of arrival. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[LedgerEntry] = []

    def add(self, session: int, command: str, argument: str) -> LedgerEntry:
        """Write down a command that has arrived; the entry is completed by `answer`."""
        entry = LedgerEntry(
            session=session,
            command=command,
            argument="***" if command in _SECRET and argument else argument,
            code=None,
            at=time.monotonic(),
        )
        with self._lock:
            self._entries.append(entry)
        return entry

    def answer(self, entry: LedgerEntry, code: int) -> None:
        """Write down the final reply of *entry*."""
        with self._lock:
            entry.code = code
            entry.answered_at = time.monotonic()

    def entries(self) -> list[LedgerEntry]:
        """Everything, with CONNECT for each greeting."""
        with self._lock:
            return list(self._entries)

    def commands(self, *names: str) -> list[LedgerEntry]:
        """The commands that clients sent; only those called *names* when any are given."""
        return [
            entry
            for entry in self.entries()
            if entry.command in names or (not names and entry.command != "CONNECT")
        ]

    def count(self, name: str) -> int:
        """How often *name* arrived ("CONNECT" counts control connections)."""
        return sum(entry.command == name for entry in self.entries())

    def sequence(self, *names: str) -> list[str]:
        """The commands called *names* (all when none given) as lines: "REST 100".

        Arguments are left out for commands that carry a path, so that a test can say
        ``["RETR", "REST 1048576", "RETR"]``; `lines` has them all.
        """
        return [
            f"{entry.command} {entry.argument}"
            if entry.argument and entry.command in _SHOWN_WITH_ARGUMENT
            else entry.command
            for entry in self.commands(*names)
        ]

    def lines(self, *names: str) -> list[str]:
        """Like `sequence`, with every argument."""
        return [f"{entry.command} {entry.argument}".rstrip() for entry in self.commands(*names)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()


_SHOWN_WITH_ARGUMENT = frozenset({"REST", "TYPE", "MODE", "PROT", "RANG", "ALLO", "AUTH", "PBSZ"})
