"""RemoteError -> FsStatus: the one place where the server's words become a program's."""

from __future__ import annotations

from pyftpdrive.base import errors
from pyftpdrive.base.errors import FsError, FsStatus, RemoteError

STATUS: dict[type[RemoteError], FsStatus] = {
    errors.RemoteTimeout: FsStatus.TIMEOUT,
    errors.TooManySessions: FsStatus.CONNECTION_LOST,
    errors.TransferTruncated: FsStatus.CONNECTION_LOST,
    errors.RemoteUnavailable: FsStatus.CONNECTION_LOST,
    errors.LoginRefused: FsStatus.ACCESS_DENIED,
    errors.TlsError: FsStatus.CONNECTION_LOST,  # no trusted connection is no connection
    errors.NotAnFtpServer: FsStatus.CONNECTION_LOST,
    errors.NotFound: FsStatus.NOT_FOUND,
    errors.PermissionRefused: FsStatus.ACCESS_DENIED,
    errors.AlreadyExists: FsStatus.EXISTS,
    errors.DirectoryNotEmpty: FsStatus.NOT_EMPTY,
    errors.NotADirectory: FsStatus.NOT_A_DIRECTORY,
    errors.IsADirectory: FsStatus.IS_A_DIRECTORY,
    errors.ContentChanged: FsStatus.CONFLICT,
    errors.NoSpace: FsStatus.NO_SPACE,
    errors.NotImplementedByServer: FsStatus.NOT_SUPPORTED,
    errors.InvalidName: FsStatus.INVALID_NAME,
    errors.ProtocolViolation: FsStatus.SERVER_ERROR,
    errors.ServerError: FsStatus.SERVER_ERROR,
    RemoteError: FsStatus.SERVER_ERROR,
}


def fs_error(error: RemoteError) -> FsError:
    """What a program is told about *error*; the text keeps the server's own words."""
    for cls in type(error).__mro__:
        status = STATUS.get(cls)
        if status is not None:
            break
    else:
        status = FsStatus.SERVER_ERROR
    return FsError(status, str(error))
