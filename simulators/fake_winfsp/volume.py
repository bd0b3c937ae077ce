"""A volume as the driver sees it: parameters, file nodes, handles, caches, the operation guard."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from simulators.fake_winfsp import ntstatus
from simulators.fake_winfsp.callbacks import Callbacks, DirEntry, FileInfo, VolumeInfo
from simulators.fake_winfsp.calls import CallLog
from simulators.fake_winfsp.clock import Clock
from simulators.fake_winfsp.declarations import CData, ffi
from simulators.fake_winfsp.dispatcher import Dispatcher
from simulators.fake_winfsp.locks import RangeLocks, ReadersWriterLock
from simulators.fake_winfsp.patterns import upcase

BAD_CHARACTERS = frozenset('"*/<>?|:') | {chr(code) for code in range(32)}
LISTINGS_CACHED_MAX = 100
_serials = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeParams:
    """FSP_FSCTL_VOLUME_PARAMS after the driver put it in order. Times in seconds."""

    allocation_unit: int
    component_units_max: int
    serial_number: int
    irp_timeout_s: float
    irp_capacity: int
    file_info_timeout_s: float
    dir_info_timeout_s: float
    volume_info_timeout_s: float
    security_timeout_s: float
    case_sensitive: bool
    case_preserved: bool
    persistent_acls: bool
    read_only: bool
    cleanup_when_modified_only: bool
    pass_file_name: bool
    context_per_open: bool
    prefix: str
    file_system_name: str
    creation_time: int

    @classmethod
    def from_struct(cls, found: CData) -> VolumeParams:
        """Ranges and defaults as the driver's."""
        sector = found.SectorSize if 512 <= found.SectorSize <= 4096 else 4096
        info_ms = found.FileInfoTimeout

        def timeout_s(valid: int, value_ms: int) -> float:
            return (value_ms if valid else info_ms) / 1000

        irp_ms = found.IrpTimeout or 300_000
        component = found.MaxComponentLength
        return cls(
            allocation_unit=sector * max(1, found.SectorsPerAllocationUnit),
            component_units_max=component if 0 < component <= 255 else 255,
            serial_number=found.VolumeSerialNumber,
            irp_timeout_s=min(max(irp_ms, 60_000), 600_000) / 1000,
            irp_capacity=min(max(found.IrpCapacity or 1000, 100), 1000),
            file_info_timeout_s=info_ms / 1000,
            dir_info_timeout_s=timeout_s(found.DirInfoTimeoutValid, found.DirInfoTimeout),
            volume_info_timeout_s=timeout_s(found.VolumeInfoTimeoutValid, found.VolumeInfoTimeout),
            security_timeout_s=timeout_s(found.SecurityTimeoutValid, found.SecurityTimeout),
            case_sensitive=bool(found.CaseSensitiveSearch),
            case_preserved=bool(found.CasePreservedNames),
            persistent_acls=bool(found.PersistentAcls),
            read_only=bool(found.ReadOnlyVolume),
            cleanup_when_modified_only=bool(found.PostCleanupWhenModifiedOnly),
            pass_file_name=bool(found.PassQueryDirectoryFileName),
            context_per_open=bool(found.UmFileContextIsUserContext2),
            prefix=ffi.string(found.Prefix),
            file_system_name=ffi.string(found.FileSystemName),
            creation_time=found.VolumeCreationTime,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class FileNode:
    """One name that is open at least once. `name` is upper-cased on a case-insensitive volume."""

    name: str
    directory: bool
    context: CData  # of the first open: the only one when contexts aren't per open
    handles: list[FileHandle] = field(default_factory=list)
    delete_pending: bool = False
    trim_on_close: bool = False
    lock: ReadersWriterLock = field(default_factory=ReadersWriterLock)
    ranges: RangeLocks = field(default_factory=RangeLocks)
    info: tuple[FileInfo, float] | None = None  # and until when it is believed
    security: tuple[bytes, float] | None = None
    listings: dict[str | None, tuple[list[DirEntry], bool, float]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Enumeration:
    """How far a directory handle has read."""

    pattern: str | None = None
    marker: str | None = None
    any_given: bool = False
    name_given: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class FileHandle:
    """One open. `path` is the name it was opened by."""

    number: int
    node: FileNode
    context: CData
    path: str
    access: int
    share: int
    options: int
    modified: bool = False
    set_security: bool = False
    set_attributes: bool = False
    set_times: tuple[bool, bool, bool, bool] = (False, False, False, False)
    enumeration: Enumeration = field(default_factory=Enumeration)
    closed: bool = False

    def demand(self, access: int) -> None:
        """ACCESS_DENIED unless it was opened with one of these rights."""
        if self.closed:
            raise ntstatus.NtError(ntstatus.FILE_CLOSED)
        if not self.access & access:
            raise ntstatus.NtError(ntstatus.ACCESS_DENIED)


class OperationGuard:
    """The DLL's lock around operations: FINE (default), COARSE, none, or the program's own.

    It looks at the file system's EnterOperation at each operation, as the DLL does.
    """

    def __init__(self, file_system: CData, default: CData) -> None:
        self._fs = file_system
        self._default = default
        self.lock = ReadersWriterLock()

    @contextmanager
    def held(self, level: str) -> Iterator[None]:
        """Around one operation of *level* exclusive, shared or free."""
        enter, leave = self._fs.EnterOperation, self._fs.LeaveOperation
        if enter == ffi.NULL:
            yield
        elif enter != self._default:
            enter(self._fs, ffi.NULL, ffi.NULL)
            try:
                yield
            finally:
                leave(self._fs, ffi.NULL, ffi.NULL)
        else:
            coarse = bool(ffi.cast("int", self._fs.OpGuardStrategy))
            if level == "free" and not coarse:
                yield
                return
            with self.lock.held(exclusive=coarse or level == "exclusive"):
                yield


class Volume:
    """The state of one file system between FspFileSystemCreate and FspFileSystemDelete.

    Locking, in the order of taking: `rename_lock` (a rename excludes creates), a node's `lock`
    (one writer or many readers of a file), then the guard in the worker; `_table` is innermost.
    """

    def __init__(
        self, file_system: CData, interface: CData, params: CData, clock: Clock, guard: CData
    ) -> None:
        self.serial = next(_serials)
        self.file_system = file_system
        self.params = VolumeParams.from_struct(params)
        self.clock = clock
        self.calls = CallLog()
        self.callbacks = Callbacks(file_system, interface, self.calls)
        self.guard = OperationGuard(file_system, guard)
        self.dispatcher = Dispatcher(clock, self.params.irp_timeout_s, self.params.irp_capacity)
        self.rename_lock = ReadersWriterLock()
        self.mount_point: str | None = None
        self.abandoned: list[str] = []  # contexts that nobody will ever close
        self.volume_info: tuple[VolumeInfo, float] | None = None
        self._table = threading.RLock()
        self._nodes: dict[str, FileNode] = {}
        self._numbers = itertools.count(1)

    # -- names ------------------------------------------------------------------------------------

    def key_of(self, name: str) -> str:
        """What two names of one file have in common."""
        return name if self.params.case_sensitive else upcase(name)

    def check_name(self, name: str) -> None:
        """OBJECT_NAME_INVALID for what can't be a file's path on this volume."""
        if not name.startswith("\\") or "\\\\" in name:
            raise ntstatus.NtError(ntstatus.OBJECT_NAME_INVALID)
        for component in name[1:].split("\\"):
            units = len(component.encode("utf-16-le", "surrogatepass")) // 2
            if units > self.params.component_units_max or BAD_CHARACTERS & set(component):
                raise ntstatus.NtError(ntstatus.OBJECT_NAME_INVALID)

    # -- nodes and handles ------------------------------------------------------------------------

    @property
    def table(self) -> threading.RLock:
        """Guards nodes and their lists of handles."""
        return self._table

    def node(self, name: str) -> FileNode | None:
        """The node of *name*, if it is open."""
        with self._table:
            return self._nodes.get(self.key_of(name))

    def open_below(self, name: str) -> bool:
        """Whether something in the directory *name* is open."""
        prefix = self.key_of(name).rstrip("\\") + "\\"
        with self._table:
            return any(key.startswith(prefix) for key in self._nodes)

    def add_node(self, node: FileNode) -> None:
        """It is open now."""
        with self._table:
            self._nodes[self.key_of(node.name)] = node

    def drop_node(self, node: FileNode) -> None:
        """Its last handle was closed."""
        with self._table:
            key = self.key_of(node.name)
            if self._nodes.get(key) is node:
                del self._nodes[key]

    def rename_node(self, node: FileNode, name: str) -> None:
        """It has a new name."""
        with self._table:
            self.drop_node(node)
            node.name = self.key_of(name)
            self.add_node(node)

    def next_number(self) -> int:
        """A handle's number."""
        return next(self._numbers)

    def open_handles(self) -> list[FileHandle]:
        """What programs have open."""
        with self._table:
            return [handle for node in self._nodes.values() for handle in node.handles]

    # -- caches -----------------------------------------------------------------------------------

    def remember(self, node: FileNode, info: FileInfo) -> FileInfo:
        """*info* is believed for FileInfoTimeout."""
        node.info = (info, self.clock.monotonic() + self.params.file_info_timeout_s)
        return info

    def remembered(self, node: FileNode) -> FileInfo | None:
        """What is still believed."""
        if node.info is not None and self.clock.monotonic() < node.info[1]:
            return node.info[0]
        return None

    def forget_listing_of_parent(self, name: str) -> None:
        """Something in that directory came, went or changed."""
        parent = self.node(parent_of(name))
        if parent is not None:
            parent.listings.clear()

    def drop_context(self, what: str) -> None:
        """A file context that the driver will not mention again was never closed."""
        self.abandoned.append(what)

    def stop(self) -> None:
        """End the dispatcher; open handles get neither Cleanup nor Close."""
        self.dispatcher.stop()

    @property
    def facts(self) -> dict[str, Any]:
        """For messages."""
        return {
            "serial": self.serial,
            "mount": self.mount_point,
            "workers": self.dispatcher.workers,
        }


def parent_of(name: str) -> str:
    """The directory that a path is in."""
    return name.rpartition("\\")[0] or "\\"
