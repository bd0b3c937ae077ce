"""The trace of callbacks: what the driver asked of the file system, and what it was told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.fake_winfsp import ntstatus

PATIENCE_S = 30.0
"""How long wait_until_running() waits before it calls the test broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One callback that ended."""

    number: int
    op: str
    path: str | None  # None: it is about the volume
    status: int
    thread: int  # the worker's identifier
    context: int  # the file context's address, 0 where there is none
    seconds: float  # in winfspy and the program, for benchmarks; before() is not counted
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op} {self.path or ''} {ntstatus.name_of(self.status)}".replace("  ", " ")


class CallLog:
    """Every callback, in the order in which they ended; thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._ended: list[Call] = []
        self._running: dict[int, tuple[str, str | None]] = {}
        self._count = 0
        self._before: dict[str, Callable[[str | None], None]] = {}

    # -- of the driver ----------------------------------------------------------------------------

    def begin(self, op: str, path: str | None) -> int:
        """A callback is about to be made."""
        with self._condition:
            self._count += 1
            number = self._count
            self._running[number] = (op, path)
            self._condition.notify_all()
            before = self._before.get(op)
        if before is not None:
            before(path)
        return number

    def end(
        self,
        number: int,
        status: int,
        context: int,
        seconds: float,
        details: Mapping[str, Any],
    ) -> None:
        """It returned."""
        with self._condition:
            op, path = self._running.pop(number)
            self._ended.append(
                Call(
                    number=number,
                    op=op,
                    path=path,
                    status=status,
                    thread=threading.get_ident(),
                    context=context,
                    seconds=seconds,
                    details=details,
                )
            )
            self._condition.notify_all()

    # -- of tests ---------------------------------------------------------------------------------

    def before(self, op: str, action: Callable[[str | None], None] | None) -> None:
        """Run *action(path)* in the worker before each callback *op*; None: no more."""
        with self._condition:
            if action is None:
                self._before.pop(op, None)
            else:
                self._before[op] = action

    def clear(self) -> None:
        """Forget what ended."""
        with self._condition:
            self._ended.clear()

    def of(self, *ops: str) -> list[Call]:
        """The calls of these kinds."""
        return [call for call in self if call.op in ops]

    def ops(self) -> list[str]:
        """The names alone."""
        return [call.op for call in self]

    def lines(self) -> list[str]:
        """For messages: one line a call."""
        return [str(call) for call in self]

    def running(self) -> list[tuple[str, str | None]]:
        """Callbacks that have begun and not ended."""
        with self._condition:
            return list(self._running.values())

    def wait_until_running(self, op: str, path: str | None = None, *, count: int = 1) -> None:
        """Return once *count* callbacks *op* (of *path*) are being executed.

        Raises:
            AssertionError: that never happened.
        """

        def there() -> bool:
            found = [p for o, p in self._running.values() if o == op and path in (None, p)]
            return len(found) >= count

        with self._condition:
            if not self._condition.wait_for(there, PATIENCE_S):
                raise AssertionError(f"{op} {path or ''} never began: {self._running}")

    def __iter__(self) -> Iterator[Call]:
        with self._condition:
            return iter(list(self._ended))

    def __len__(self) -> int:
        with self._condition:
            return len(self._ended)
