"""FakeWindows: a Windows with WinFsp, its mounts, its programs' calls; see the package."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any

from simulators.fake_winfsp import bindings
from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.calls import CallLog
from simulators.fake_winfsp.clock import Clock, RealClock
from simulators.fake_winfsp.declarations import CData, ffi
from simulators.fake_winfsp.kernel32 import Kernel32
from simulators.fake_winfsp.memory import LEDGER, MemoryLedger
from simulators.fake_winfsp.mounts import Mount, MountTable
from simulators.fake_winfsp.ntstatus import Win32Error
from simulators.fake_winfsp.volume import Volume

OLDEST_VERSION = (1, 12)
"""WinFsp 2022.2: with an older one this wheel's volume parameters are too long."""
PATIENCE_S = 30.0
_FILETIME_OF_1970 = 116_444_736_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The machine. Statuses other than 0 are faults: that step fails with them."""

    winfsp_version: tuple[int, int] = (2, 1)
    cpus: int = 4
    letters_taken: frozenset[str] = frozenset("ABC")
    local_directories: frozenset[str] = frozenset({"C:", "C:\\mnt"})
    elevated: bool = False  # the session of the mounting program
    start_rejections: int = 0  # requests refused with 995 after the dispatcher's start
    create_status: int = 0
    mount_status: int = 0
    dispatcher_status: int = 0
    find_buffer_bytes: int = 4096
    long_paths: bool = True


class FakeWindows:
    """A context manager: inside of it the real winfspy's file systems live on this machine."""

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or Settings()
        self.clock: Clock = clock or RealClock()
        self.mounts = MountTable(self.settings.letters_taken, self.settings.local_directories)
        self.kernel32 = Kernel32(self, elevated=self.settings.elevated)
        self.memory: MemoryLedger = LEDGER
        self.winfspy: ModuleType | None = None
        self._volumes: dict[int, _Living] = {}
        self._gone: list[Volume] = []
        self._lock = threading.Lock()
        self._before: bindings.Backend | None = None
        self._faults_before = 0
        self._crashes_before = 0

    # -- a with statement -------------------------------------------------------------------------

    def __enter__(self) -> FakeWindows:
        from simulators.fake_winfsp import wheel  # a program of its own, too: not yet

        self.winfspy = wheel.install()
        self._before = bindings.activate(self)
        self._faults_before = len(self.memory.faults)
        self._crashes_before = len(bindings.crashes)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        bindings.activate(self._before)
        left = [living.volume for living in self._volumes.values()]
        for volume in left:
            # A program that was killed; a callback that hangs must not hang the test.
            ending = threading.Thread(target=volume.stop, daemon=True)
            ending.start()
            ending.join(PATIENCE_S)
        problems = self.problems()
        problems += [f"never deleted: file system at {volume.mount_point}" for volume in left]
        problems += [f"never ended: {volume.facts}" for volume in left if volume.dispatcher.workers]
        if problems and kind is None:
            raise AssertionError("\n".join(problems))

    def problems(self) -> list[str]:
        """What would have hurt a real machine: heap faults, overruns, endless listings, crashes."""
        found = self.memory.faults[self._faults_before :]
        found += bindings.crashes[self._crashes_before :]
        for volume in [*self._gone, *(living.volume for living in self._volumes.values())]:
            found += volume.callbacks.violations
            found += [f"simulator: {crash!r}" for crash in volume.dispatcher.crashes]
        return found

    # -- looking at it ----------------------------------------------------------------------------

    @property
    def volume(self) -> Volume:
        """The only living file system."""
        with self._lock:
            (living,) = self._volumes.values()
        return living.volume

    @property
    def volumes(self) -> list[Volume]:
        """Every living file system."""
        with self._lock:
            return [living.volume for living in self._volumes.values()]

    @property
    def calls(self) -> CallLog:
        """The trace of callbacks of the only living file system."""
        return self.volume.calls

    def settle(self) -> None:
        """Return when no callback is queued or running: Close comes after CloseHandle.

        Raises:
            AssertionError: they never end.
        """
        for volume in self.volumes:
            if not volume.dispatcher.settle(PATIENCE_S):
                raise AssertionError(f"callbacks that do not end: {volume.calls.running()}")

    def session(self, *, elevated: bool) -> Kernel32:
        """Programs of the other kind of session, which see other drive letters."""
        return Kernel32(self, elevated=elevated)

    def find(self, path: str, *, elevated: bool) -> Mount | None:
        """The mount that an absolute path is in."""
        return self.mounts.find(path, elevated=elevated)

    def stat(self, path: str) -> os.stat_result:
        """os.stat of a program in the mounting session; the real one where no mount is."""
        if self.mounts.find(path.replace("/", "\\").rstrip("\\"), elevated=self._elevated) is None:
            if path[1:2] == ":":
                raise Win32Error(nt.ERROR_PATH_NOT_FOUND, None, "stat", path)
            return os.stat(path)
        inside = path + "\\" if path[1:] == ":" else path
        info = self.kernel32.session(elevated=self._elevated).get_file_attributes_ex(inside)
        directory = bool(info.attributes & c.FILE_ATTRIBUTE_DIRECTORY)
        times = [
            (moment - _FILETIME_OF_1970) / 10_000_000
            for moment in (info.last_access_time, info.last_write_time, info.creation_time)
        ]
        mode = 0o40777 if directory else 0o100666
        return os.stat_result((mode, info.index_number, 0, 1, 0, 0, info.file_size, *times))

    @property
    def _elevated(self) -> bool:
        return self.settings.elevated

    # -- bindings.Backend: what the DLL is asked --------------------------------------------------

    def version(self) -> int:
        """See Backend."""
        major, minor = self.settings.winfsp_version
        return major << 16 | minor

    def create(self, device: str, params: CData, interface: CData) -> tuple[int, CData]:
        """See Backend."""
        prefix = ffi.string(params.Prefix)
        if self.settings.create_status:
            return self.settings.create_status, ffi.NULL
        if self.settings.winfsp_version < OLDEST_VERSION:
            return nt.INSUFFICIENT_RESOURCES, ffi.NULL
        if params.FileInfoTimeout == c.NEVER_EXPIRES:
            return nt.NOT_SUPPORTED, ffi.NULL  # the NT cache isn't modelled: better none than wrong
        network = device.endswith(".Net")
        if network and (prefix.startswith("\\\\") or not prefix.startswith("\\")):
            return nt.INVALID_PARAMETER, ffi.NULL
        if network and len([part for part in prefix.split("\\") if part]) < 2:
            return nt.INVALID_PARAMETER, ffi.NULL
        living = _Living.make(self, params, interface)
        if network:
            status = self.mounts.add_share(living.volume)
            if status:
                return status, ffi.NULL
        with self._lock:
            self._volumes[living.volume.serial] = living
        return nt.SUCCESS, living.file_system

    def mount(self, file_system: CData, mount_point: str | None) -> int:
        """See Backend."""
        living = self._living(file_system)
        if self.settings.mount_status:
            return self.settings.mount_status
        if living.volume.mount_point is not None:
            return nt.INVALID_PARAMETER
        status, place = self.mounts.add(living.volume, mount_point, elevated=self._elevated)
        if status == nt.SUCCESS:
            living.volume.mount_point = place
            living.mount_text = ffi.new("WCHAR[]", place)
            file_system.MountPoint = living.mount_text
        return status

    def unmount(self, file_system: CData) -> None:
        """See Backend."""
        volume = self._living(file_system).volume
        self.mounts.remove(volume, share=False)
        volume.mount_point = None
        file_system.MountPoint = ffi.NULL

    def start(self, file_system: CData, threads: int) -> int:
        """See Backend. 0 threads: as many as processors, at least 4, at most 16."""
        volume = self._living(file_system).volume
        if self.settings.dispatcher_status:
            return self.settings.dispatcher_status
        if volume.dispatcher.started:
            return nt.INVALID_PARAMETER
        count = threads or min(16, max(4, self.settings.cpus))
        volume.dispatcher.rejections_left = self.settings.start_rejections
        volume.dispatcher.start(count)
        file_system.DispatcherThreadCount = count
        return nt.SUCCESS

    def stop(self, file_system: CData) -> None:
        """See Backend."""
        self._living(file_system).volume.stop()

    def delete(self, file_system: CData) -> None:
        """See Backend."""
        volume = self._living(file_system).volume
        volume.stop()
        self.mounts.remove(volume, share=True)
        for handle in volume.open_handles():
            volume.drop_context(f"{handle.path}: open when the file system was deleted")
        with self._lock:
            self._gone.append(self._volumes.pop(volume.serial).volume)

    def _living(self, file_system: CData) -> _Living:
        with self._lock:
            for living in self._volumes.values():
                if living.file_system == file_system:
                    return living
        raise AssertionError("a file system that was deleted is used")


@dataclass(slots=True, kw_only=True, eq=False)
class _Living:
    """A file system and what keeps its C values alive."""

    volume: Volume
    file_system: CData
    handle: CData
    mount_text: CData = None

    @classmethod
    def make(cls, windows: FakeWindows, params: CData, interface: CData) -> _Living:
        made = ffi.new("FSP_FILE_SYSTEM *")
        handle = ffi.new_handle(windows)
        lib: Any = bindings.lib
        made.VolumeHandle, made.Interface = handle, interface
        made.EnterOperation, made.LeaveOperation = (
            lib.FspFileSystemOpEnter,
            lib.FspFileSystemOpLeave,
        )
        volume = Volume(made, interface, params, windows.clock, lib.FspFileSystemOpEnter)
        return cls(volume=volume, file_system=made, handle=handle)
