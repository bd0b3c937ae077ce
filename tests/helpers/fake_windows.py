"""A memory file system of winfspy on the fake Windows, for tests of the fake itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from simulators.fake_winfsp import FakeWindows, Kernel32, Settings
from simulators.fake_winfsp.clock import Clock

T = TypeVar("T")
JOIN_S = 30.0
PARAMS = {
    "sector_size": 512,
    "sectors_per_allocation_unit": 1,
    "file_info_timeout": 1000,
    "case_sensitive_search": 0,
    "case_preserved_names": 1,
    "unicode_on_disk": 1,
    "persistent_acls": 1,
    "post_cleanup_when_modified_only": 1,
    "um_file_context_is_user_context2": 1,
    "file_system_name": "MEMFS",
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A Windows with one drive."""

    windows: FakeWindows
    drive: Any  # winfspy.FileSystem
    operations: Any
    kernel32: Kernel32

    def put(self, path: str, data: bytes = b"") -> None:
        """A file, closed."""
        handle = self.kernel32.create_file(path, 0x4000_0000, 0, 2)
        self.kernel32.write_file(handle, data)
        self.kernel32.close_handle(handle)

    def get(self, path: str) -> bytes:
        """A file's content."""
        handle = self.kernel32.create_file(path, share=7)
        try:
            return self.kernel32.read_file(handle, 1 << 24)
        finally:
            self.kernel32.close_handle(handle)

    def ops(self, *kinds: str) -> list[str]:
        """The callbacks since the last look, `kinds` only, when all is quiet."""
        self.windows.settle()
        found = [call.op for call in self.windows.calls if not kinds or call.op in kinds]
        self.windows.calls.clear()
        return found


def memory(base: type[Any] | None = None) -> Any:
    """Operations of winfspy's memory file system; call it when winfspy is importable."""
    from winfspy.memfs import InMemoryFileSystemOperations

    return (base or InMemoryFileSystemOperations)("memory")


@contextmanager
def machine(
    place: str = "X:",
    *,
    make: Callable[[], Any] = memory,
    settings: Settings | None = None,
    clock: Clock | None = None,
    start: bool = True,
    **params: Any,
) -> Iterator[Machine]:
    """A drive on *place*, stopped and deleted at the end."""
    with FakeWindows(settings, clock=clock) as windows:
        import winfspy

        operations = make()
        drive = winfspy.FileSystem(place, operations, **{**PARAMS, **params})
        try:
            if start:
                drive.start()
                windows.settle()
                windows.calls.clear()
            yield Machine(
                windows=windows, drive=drive, operations=operations, kernel32=windows.kernel32
            )
        finally:
            if drive.started or not start:
                drive.started = True
                drive.stop()


class Program(Generic[T]):
    """A call that another program makes meanwhile."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001  # result() raises it
            self._error = error

    @property
    def done(self) -> bool:
        """Whether the call has returned."""
        return not self._thread.is_alive()

    def result(self) -> T:
        """Wait for it; return or raise as the call did."""
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            raise AssertionError("the call does not return")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


@contextmanager
def held(windows: FakeWindows, op: str, path: str | None = None) -> Iterator[threading.Event]:
    """Callbacks *op* (of *path*) wait in their worker until the event is set, or the end."""
    gate = threading.Event()

    def wait(called: str | None) -> None:
        if path is None or called == path:
            gate.wait(JOIN_S)

    calls = windows.calls
    calls.before(op, wait)
    try:
        yield gate
    finally:
        gate.set()
        calls.before(op, None)
