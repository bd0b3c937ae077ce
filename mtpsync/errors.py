"""What can go wrong, and the exit code that says so."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class ExitCode(IntEnum):
    """Documented in docs/mtpsync.md; never renumbered."""

    DONE = 0  # in sync, or everything was done
    DIFFERENT = 1  # verify found differences
    USAGE = 2  # options, plan, profile: nothing was touched
    NO_DEVICE = 3  # none, or not the one that was asked for
    UNAVAILABLE = 4  # busy, no permission
    LOCKED = 5  # no storage: the phone is locked or charges only
    REFUSED = 6  # preflight, a scan that can't be trusted, too many deletions: nothing was touched
    INCOMPLETE = 7  # some actions failed; the retry plan has them
    LOST = 8  # the device went away, or stopped to answer
    INTERNAL = 9
    INTERRUPTED = 130


class MtpSyncError(Exception):
    """Something that users are told in one line; *remedy* is the next step."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class UsageError(MtpSyncError):
    """An option, a plan or a profile makes no sense."""

    exit_code = ExitCode.USAGE


class NoDevice(MtpSyncError):
    """No MTP device, or not the one with that serial number."""

    exit_code = ExitCode.NO_DEVICE


class DeviceUnavailable(MtpSyncError):
    """It is there and can't be opened: another program holds it, or there is no permission."""

    exit_code = ExitCode.UNAVAILABLE


class DeviceLocked(MtpSyncError):
    """It shows no storage."""

    exit_code = ExitCode.LOCKED


class Refused(MtpSyncError):
    """Nothing was begun, because it could not end well."""

    exit_code = ExitCode.REFUSED


class DeviceError(MtpSyncError):
    """One operation failed; the session goes on. What it changed, if anything, is not known."""

    exit_code = ExitCode.INCOMPLETE


class Missing(DeviceError):
    """No object with that number or name."""


class NameTaken(DeviceError):
    """An object of that name is there already."""


class NameRefused(DeviceError):
    """The device does not take that name, or gave the object another one."""


class StorageFull(DeviceError):
    """No room for it."""


class TooLarge(DeviceError):
    """The storage can't hold files of that size."""


class ReadOnly(DeviceError):
    """The device or the storage refuses to be changed."""


class NotSupported(DeviceError):
    """The device has no such operation."""


class DeviceBusy(DeviceError):
    """The device asks for patience; the same may work in a moment."""


class ContentChanged(DeviceError):
    """The bytes are not those that were expected: cut, corrupt, or changed meanwhile."""


class ListingFailed(DeviceError):
    """A folder can't be listed; that is not the same as empty."""


class SourceChanged(DeviceError):
    """The local file is not what it was when it was looked at."""


class Cancelled(MtpSyncError):
    """The user stopped it."""

    exit_code = ExitCode.INTERRUPTED


class DeviceLost(MtpSyncError):
    """The session is gone: unplugged, hung, crashed. Whether the operation took effect is open."""

    exit_code = ExitCode.LOST
