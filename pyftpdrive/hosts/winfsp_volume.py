"""The volume itself: its parameters, its mount point, its threads."""

from __future__ import annotations

import logging
import time

from pyftpdrive.base.errors import MountError, MountProblem
from pyftpdrive.hosts.host import HostOptions
from pyftpdrive.hosts.winfsp_library import ffi, lib, winfspy
from pyftpdrive.hosts.winfsp_status import NtStatus

log = logging.getLogger(__name__)

VERSION_MIN = (1, 12)  # WinFsp 2022.2: an older one refuses this library's parameters
SECTOR_BYTES = 4096
INFO_TIMEOUT_MS = 1000
REJECTED = (995, 1005)  # ERROR_OPERATION_ABORTED, ERROR_UNRECOGNIZED_VOLUME
REJECTIONS_MAX = 100
REJECTED_PAUSE_S = 0.01
IRP_TIMEOUT_MS = 600_000  # the most: a flush waits for as long as its upload moves
FILE_SYSTEM_NAME = "FTP"  # at most 7 characters arrive
PREFIX_MAX = 95

# What SetMountPoint says, and what a person does about it: of a letter, of a directory.
LETTER_TAKEN = "is in use; choose another letter with --drive"
DIRECTORY_THERE = (
    "exists: WinFsp makes the directory itself. Remove it, or name another with --drive"
)
NO_PARENT = "can't be made: the directory that it would be in does not exist"
NO_RIGHT = "can't be made: this user may not. Name a directory in a place of your own"


class Volume(winfspy.FileSystem):  # type: ignore[misc]  # winfspy has no type information
    """winfspy's file system with our number of threads and without its lock over everything."""

    def start_with(self, threads: int) -> None:
        """Mount and serve.

        Raises:
            MountError: why not; `stop` is still needed.
        """
        self.started = True
        pointer = self._file_system_ptr[0]
        # The core has a lock a path: with WinFsp's guard one slow create would hold up every open.
        lib.FspFileSystemSetOperationGuardF(pointer, ffi.NULL, ffi.NULL)
        status = lib.FspFileSystemSetMountPoint(pointer, self.mountpoint)
        if status:
            raise _not_mounted(self.mountpoint, status)
        status = lib.FspFileSystemStartDispatcher(pointer, threads)
        if status:
            raise MountError(
                MountProblem.REFUSED, f"WinFsp does not serve the drive (NTSTATUS {_hex(status)})"
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        """WinFsp rejects the first requests after the dispatcher's start (winfsp #485)."""
        for _ in range(REJECTIONS_MAX):
            try:
                winfspy.file_system.os.stat(self.mountpoint)
            except OSError as error:
                if getattr(error, "winerror", None) in REJECTED:
                    time.sleep(REJECTED_PAUSE_S)
                    continue
                log.debug("%s: %s", self.mountpoint, error)  # mounted; the server may be slow
            return


def _hex(status: int) -> str:
    return f"{status & 0xFFFF_FFFF:#010x}"


def _not_mounted(place: str, status: int) -> MountError:
    known = {
        NtStatus.OBJECT_NAME_COLLISION: LETTER_TAKEN if is_letter(place) else DIRECTORY_THERE,
        NtStatus.OBJECT_PATH_NOT_FOUND: NO_PARENT,
        NtStatus.OBJECT_NAME_NOT_FOUND: NO_PARENT,
        NtStatus.ACCESS_DENIED: NO_RIGHT,
    }
    # Signed in the native module, unsigned in a fake one.
    why = {int(code): text for code, text in known.items()}.get(status & 0xFFFF_FFFF)
    if why is None:
        return MountError(
            MountProblem.REFUSED, f"{place} can't be mounted (NTSTATUS {_hex(status)})"
        )
    return MountError(MountProblem.MOUNT_POINT, f"{place} {why}")


def require_version() -> None:
    """Refuse a WinFsp that refuses us.

    Raises:
        MountError: it is too old.
    """
    version = ffi.new("UINT32 *")
    if lib.FspVersion(version) or (version[0] >> 16, version[0] & 0xFFFF) < VERSION_MIN:
        found = f"{version[0] >> 16}.{version[0] & 0xFFFF}"
        raise MountError(
            MountProblem.HOST_MISSING,
            f"WinFsp {found} is too old: install 2022.2 or later from https://winfsp.dev/rel/",
        )


def mount_point(drive: str) -> str:
    r"""`Z`, `z:` and `Z:\` as `Z:`; a directory without a backslash at its end.

    Raises:
        MountError: it names no one place.
    """
    letter = drive.rstrip("\\/:")
    if len(letter) == 1 and letter.isascii() and letter.isalpha():
        return f"{letter.upper()}:"
    if drive in ("*", "*:", ""):
        raise MountError(MountProblem.MOUNT_POINT, "name a drive letter: --drive Z")
    return drive.rstrip("\\/")


def is_letter(place: str) -> bool:
    """Whether a mount point is a drive letter; else it is a directory."""
    return len(place) == len("Z:") and place.endswith(":")


def parameters(options: HostOptions, *, distinct: bool = False) -> dict[str, object]:
    """Volume parameters; those that WinFsp would cut in silence are cut here.

    *distinct*: a share with the drive's letter in its name. Windows knows each share once, and two
    drives may show the same server.
    """
    chosen: dict[str, object] = {
        "sector_size": SECTOR_BYTES,
        "sectors_per_allocation_unit": 1,
        "max_component_length": 255,
        "volume_serial_number": 0,
        "file_info_timeout": INFO_TIMEOUT_MS,
        "irp_timeout": IRP_TIMEOUT_MS,
        "case_sensitive_search": 0,
        "case_preserved_names": 1,
        "unicode_on_disk": 1,
        "persistent_acls": 0,
        "read_only_volume": int(options.read_only),
        "post_cleanup_when_modified_only": 1,
        "flush_and_purge_on_cleanup": 1,
        "um_file_context_is_user_context2": 1,  # else one context for all who open a name
        "file_system_name": FILE_SYSTEM_NAME,
    }
    # Windows lets no directory lead to a network file system (NETWORK_ACCESS_DENIED).
    if options.network_drive and is_letter(mount_point(options.drive)):
        server = options.source.rpartition("//")[2].rpartition("@")[2]
        share = "".join(c if (c.isascii() and c.isalnum()) or c in ".-" else "_" for c in server)
        letter = f"{mount_point(options.drive)[0]}_" if distinct else ""
        chosen["prefix"] = f"\\pyftpdrive\\{letter}{share or 'ftp'}"[:PREFIX_MAX]
    return chosen
