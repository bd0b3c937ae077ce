"""What a test must leave as it found it: threads, descriptors, child processes, mounts, the log.

`take()` before, `leaks(before)` after; `LogWatch` sees every record of the product, whatever the
product does to its loggers. `tests/conftest.py` applies them to every test.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE_S = 5.0  # how long what is ending may take to end
PAUSE_S = 0.02
PRODUCT = "pyftpdrive"

_PROC = Path("/proc/self")
# Opened once by a library and kept for the process: not of a test's making.
_KEPT_OPEN = re.compile(
    r"/dev/(null|u?random|tty)$|/\.hypothesis/|/\.coverage|\.pyc$|\.so(\.[0-9.]+)?$|^/proc/"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What this process holds at one moment. Empty sets where the platform can't say."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    children: frozenset[int]
    mounts: frozenset[str]


def take(below: Path) -> Resources:
    """The state now; of mounts those of FUSE at or under *below*."""
    return Resources(
        threads=_threads(),
        descriptors=frozenset(_descriptors()),
        children=frozenset(_children()),
        mounts=frozenset(fuse_mounts(below)),
    )


def leaks(before: Resources, below: Path) -> list[str]:
    """One line for each thing that was not there *before* and does not go away in time."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    collected = False
    while True:
        found = _new(before, take(below))
        if not found:
            return []
        if not collected:
            gc.collect()  # a file in a reference cycle is the cycle's end away from closed
            collected = True
        elif time.monotonic() >= deadline:
            return found
        else:
            pause.wait(PAUSE_S)


def _new(before: Resources, after: Resources) -> list[str]:
    return [
        *(f"thread {thread.name!r}" for thread in after.threads - before.threads),
        *(f"descriptor {fd} -> {to}" for fd, to in sorted(after.descriptors - before.descriptors)),
        *(f"child process {_process(pid)}" for pid in sorted(after.children - before.children)),
        *(f"mount {directory}" for directory in sorted(after.mounts - before.mounts)),
    ]


def _threads() -> frozenset[threading.Thread]:
    # A thread that C code made (libfuse, WinFsp) is a dummy here, for ever until Python 3.13.
    dummy = threading._DummyThread
    return frozenset(thread for thread in threading.enumerate() if not isinstance(thread, dummy))


def _descriptors() -> Iterator[tuple[int, str]]:
    folder = _PROC / "fd"
    if not folder.is_dir():
        return
    for name in os.listdir(folder):
        try:
            target = os.readlink(folder / name)
        except OSError:  # the listing's own descriptor
            continue
        if not _KEPT_OPEN.search(target):
            yield int(name), target


def _children() -> Iterator[int]:
    for file in _PROC.glob("task/*/children"):
        try:
            text = file.read_text(encoding="ascii")
        except OSError:  # the thread ended
            continue
        yield from map(int, text.split())


def _process(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    return f"{pid} ({b' '.join(words).decode(errors='replace').strip() or 'ended, not waited for'})"


# -- mounts ---------------------------------------------------------------------------------------


def fuse_mounts(below: Path) -> list[str]:
    """Mount points of FUSE at or under *below*."""
    table = _PROC / "mounts"
    if not table.exists():
        return []
    found = []
    for line in table.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _source, target, kind, *_ = line.split(" ")
        directory = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), target)
        if kind.startswith("fuse") and Path(directory).is_relative_to(below):
            found.append(directory)
    return found


def free_mount(directory: str) -> None:
    """Detach a mount that a test left, so that the next ones find a clean machine."""
    if sys.platform != "win32":
        subprocess.run(
            ["fusermount3", "-uz", directory], check=False, capture_output=True, timeout=10
        )


# -- the log --------------------------------------------------------------------------------------


@dataclass(slots=True)
class LogWatch:
    """Every record of the product at WARNING or above, and the patterns that were declared.

    It hooks the making of records, not a handler: `pyftpdrive.logger` replaces the handlers.
    """

    records: list[logging.LogRecord] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Messages in which *pattern* (a regular expression) is found may come."""
        self.expected.append(pattern)

    def undeclared(self) -> list[str]:
        """The messages that nobody declared, as `LEVEL logger: message`."""
        found = []
        for record in self.records:
            message = record.getMessage()
            if not any(re.search(pattern, message) for pattern in self.expected):
                found.append(f"{record.levelname} {record.name}: {message}")
        return found

    @contextmanager
    def watching(self) -> Iterator[LogWatch]:
        """See what is logged inside; loggers of the product are put back as they were."""
        make: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()

        def factory(*args: object, **kwargs: object) -> logging.LogRecord:
            record = make(*args, **kwargs)
            if record.levelno >= logging.WARNING and record.name.split(".")[0] == PRODUCT:
                self.records.append(record)
            return record

        logging.setLogRecordFactory(factory)
        try:
            with _logger_restored(logging.getLogger(PRODUCT)):
                yield self
        finally:
            logging.setLogRecordFactory(make)


@contextmanager
def _logger_restored(logger: logging.Logger) -> Iterator[None]:
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    try:
        yield
    finally:
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
