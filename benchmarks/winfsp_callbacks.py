"""What the WinFsp adapter adds to the core's own time, callback by callback, on the fake WinFsp.

    python -m benchmarks.winfsp_callbacks

The server is the simulator, everything asked for is known here already: no network, no disk but
the block cache. `core` is the call of the file system that the callback stands on, `callback` the
whole of it as WinFsp's thread sees it: the fake's trampoline, winfspy, the adapter and the core.
Medians in microseconds, of one thread. Exits with 1 when a budget is exceeded.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyftpdrive.hosts.host import HostOptions
from simulators.fake_winfsp import FakeWindows, wheel
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp.ntstatus import NtError
from simulators.ftp_server import FtpSimulator
from tests.helpers.drives import started_drive

FILE_BYTES = 8 << 20
READ_BYTES = 64 << 10
MANY = 10_000
TIMES = 3000
TIMES_OF_LISTINGS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One callback: *core_us* below it, *budget_us* above that."""

    name: str
    core_us: float | None
    callback_us: float
    budget_us: float | None = None

    @property
    def above_us(self) -> float:
        return self.callback_us - (self.core_us or 0.0)

    @property
    def kept(self) -> bool:
        return self.budget_us is None or self.above_us <= self.budget_us

    def __str__(self) -> str:
        core = "–" if self.core_us is None else f"{self.core_us:.1f}"
        budget = "–" if self.budget_us is None else f"{self.budget_us:g}"
        figures = f"{core} | {self.callback_us:.1f} | {self.above_us:.1f} | {budget}"
        return f"| {self.name} | {figures} |{'' if self.kept else ' exceeded'}"


def median_us(action: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


class Bench:
    """One drive on the fake; measures in a thread of its dispatcher, as WinFsp calls."""

    def __init__(self, fake: FakeWindows, filesystem: Any, operations: Any) -> None:
        self.fake = fake
        self.fs = filesystem
        self.operations = operations
        self.callbacks = fake.volume.callbacks

    def median(self, action: Callable[[], object], times: int = TIMES) -> float:
        found: list[float] = []
        self.fake.volume.dispatcher.call(lambda: found.append(median_us(action, times)))
        return found[0]

    def rows(self) -> list[Row]:
        k, fs = self.fake.kernel32, self.fs
        handle = k.create_file("Z:\\d\\file.bin", c.GENERIC_READ, c.FILE_SHARE_ALL)
        while k.read_file(handle, 1 << 20):
            pass  # everything is in the block cache from here on
        context = k._file(handle, "benchmark").handle.context
        (opened,) = self.operations.files_open()
        into = memoryview(bytearray(READ_BYTES))
        k.list_directory("Z:\\many")
        path = opened.path
        rows = [
            Row(
                "get_file_info",
                self.median(lambda: fs.stat_handle(opened.file)),
                self.median(lambda: self.callbacks.get_file_info(context, "")),
                100,
            ),
            Row(
                "read, 64 KiB in the cache",
                self.median(lambda: fs.read_into(opened.file, READ_BYTES, into)),
                self.median(lambda: self.callbacks.read(context, "", READ_BYTES, READ_BYTES)),
                200,
            ),
            Row(
                "get_security_by_name",
                self.median(lambda: fs.stat(path)),
                self.median(lambda: self.callbacks.get_security_by_name("\\d\\file.bin")),
                100,
            ),
            Row(
                f"the same, in {MANY} entries",
                self.median(lambda: fs.stat("/many/5000")),
                self.median(lambda: self.callbacks.get_security_by_name("\\MANY\\5000")),
                100,
            ),
            Row(
                f"a name that is not there, in {MANY} entries",
                self.median(lambda: fs.names("/many"), 300),
                self.median(self.missing, 300),
            ),
            Row("open and close", None, self.median(self.open_and_close)),
            Row(
                f"listing of {MANY} entries, all buffers",
                self.median(lambda: fs.list_directory("/many"), TIMES_OF_LISTINGS),
                statistics.median(self.listing_us() for _ in range(TIMES_OF_LISTINGS)),
            ),
        ]
        k.close_handle(handle)
        return rows

    def missing(self) -> None:
        with suppress(NtError):  # NOT_FOUND
            self.callbacks.get_security_by_name("\\many\\missing")

    def listing_us(self) -> float:
        """Of one whole listing: the buffers' callbacks, without the fake's own work."""
        self.fake.calls.clear()
        self.fake.kernel32.list_directory("Z:\\many")
        return sum(call.seconds for call in self.fake.calls.of("ReadDirectory")) * 1e6

    def open_and_close(self) -> None:
        operations = self.operations
        operations.close(operations.open("\\d\\file.bin", 0, c.FILE_READ_DATA))


def measure() -> list[Row]:
    wheel.fetch()
    with tempfile.TemporaryDirectory() as work, FtpSimulator("proftpd") as server:
        server.put("/d/file.bin", bytes(FILE_BYTES))
        for number in range(MANY):
            server.put(f"/many/{number}", b"")
        with started_drive(server, Path(work)) as drive, FakeWindows() as fake:
            from pyftpdrive.hosts import winfsp  # needs winfspy, which the fake brings

            host = winfsp.WinFspHost(drive.filesystem, HostOptions(drive="Z:"))
            host.start(lambda: None)
            try:
                return Bench(fake, drive.filesystem, host._operations).rows()
            finally:
                host.stop()


def main() -> int:
    rows = measure()
    print("| callback | core, µs | callback, µs | above | budget |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(row)
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
