"""What can go wrong, in two vocabularies.

`RemoteError` is what the server or the network did; it is raised by `ftp/` only.
`FsStatus` / `FsError` is what a program that uses the drive is told; it is raised by `core/`
only and translated to errno or NTSTATUS by the hosts. `core/error_map.py` joins the two.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import ClassVar

from pyftpdrive.base.text import shown


class PyftpdriveError(Exception):
    """Root of everything that this program raises on purpose."""


class ConfigError(PyftpdriveError):
    """The configuration can't be used; `problems` holds every reason, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RemoteError(PyftpdriveError):
    """The server refused, or nobody answered. Carries the server's own words.

    `reply` is the server's whole reply text as it came, or None when there was none. The message
    is fit to be shown: one line, no control characters, of bounded length.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, reply: str | None = None) -> None:
        super().__init__(shown(message))
        self.reply = reply


class RemoteUnavailable(RemoteError):
    """Nobody answered, or the answer was 4yz: the same request may succeed later."""

    retryable = True


class RemoteTimeout(RemoteUnavailable):
    """No octet within the network timeout, or no result within the caller's deadline."""


class TooManySessions(RemoteUnavailable):
    """421/530 at login while other sessions of ours are alive: the server's limit is reached."""


class TransferTruncated(RemoteUnavailable):
    """The data connection ended before the octets that were promised."""


class LoginRefused(RemoteError):
    """530, 332, 532 at login: retrying with the same words can't help."""


class TlsError(RemoteError):
    """The certificate could not be verified, or the server refused TLS that we require."""


class NotAnFtpServer(RemoteError):
    """What answered did not speak FTP."""


class NotFound(RemoteError):
    """The file or directory does not exist (550 with evidence)."""


class PermissionRefused(RemoteError):
    """The login may not do that (550, 553, 530, 532 with evidence)."""


class AlreadyExists(RemoteError):
    """The target name is taken (521, 550, 553 with evidence)."""


class DirectoryNotEmpty(RemoteError):
    """RMD of a directory that has entries."""


class NotADirectory(RemoteError):
    """A directory was wanted, a file is there."""


class IsADirectory(RemoteError):
    """A file was wanted, a directory is there."""


class ContentChanged(RemoteError):
    """The file on the server is not the one that was listed: ask again, then read again."""


class NoSpace(RemoteError):
    """452 or 552: the server's disk or quota is full."""


class NotImplementedByServer(RemoteError):
    """500, 501, 502, 504: this server does not know the command or its parameter."""


class InvalidName(RemoteError):
    """A name that cannot be sent or that a server must not send: CR, LF, NUL, '/', '..'."""


class ProtocolViolation(RemoteError):
    """The server said something that FTP does not allow; the session is not usable."""


class ServerError(RemoteError):
    """Any other refusal (5yz) for which there is no better word."""


@unique
class FsStatus(Enum):
    """What a program is told. Each member has one errno and one NTSTATUS (hosts/)."""

    NOT_FOUND = "not found"
    PATH_NOT_FOUND = "path not found"
    ACCESS_DENIED = "access denied"
    READ_ONLY = "read-only drive"
    CONNECTION_LOST = "connection lost"
    TIMEOUT = "timeout"
    NOT_EMPTY = "directory not empty"
    EXISTS = "already exists"
    NOT_A_DIRECTORY = "not a directory"
    IS_A_DIRECTORY = "is a directory"
    INVALID_NAME = "invalid name"
    NAME_TOO_LONG = "name too long"
    INVALID_ARGUMENT = "invalid argument"
    BAD_HANDLE = "bad handle"
    NO_SPACE = "no space"
    FILE_TOO_LARGE = "file too large"
    NOT_SUPPORTED = "not supported"
    BUSY = "busy"
    CROSS_DEVICE = "cross-device"
    CONFLICT = "changed on the server"
    SERVER_ERROR = "server error"


class FsError(PyftpdriveError):
    """An operation on the drive failed; `status` is for programs, the text for people."""

    def __init__(self, status: FsStatus, message: str = "") -> None:
        super().__init__(message or status.value)
        self.status = status


@unique
class MountProblem(Enum):
    """Why a drive can't be mounted; each has its exit code."""

    MOUNT_POINT = "mount point"  # missing, not a directory, not empty, busy
    HOST_MISSING = "host missing"  # FUSE or WinFsp is not installed
    REFUSED = "refused"  # the operating system said no
    NOT_MOUNTED = "not mounted"  # there is no such drive of ours


class MountError(PyftpdriveError):
    """The drive can't be mounted or unmounted; the text says what to do."""

    def __init__(self, problem: MountProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
