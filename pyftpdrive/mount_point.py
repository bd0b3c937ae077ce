"""Is this directory fit to be mounted on? Asked before anything else happens."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from pyftpdrive.base.errors import MountError, MountProblem


def check_mount_point(drive: str) -> str:
    """The absolute path of a directory that a drive can be mounted on.

    Raises:
        MountError: missing, not a directory, not empty, busy or stale; says what to do.
    """
    path = Path(drive).expanduser()
    quoted = shlex.quote(str(path))  # for commands that people copy

    def unfit(what: str) -> MountError:
        return MountError(MountProblem.MOUNT_POINT, what)

    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise unfit(f"{path} does not exist. Make it: mkdir -p {quoted}") from error
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise unfit(
                f"{path} is what a mount that crashed left behind. "
                f"Free it: fusermount3 -uz {quoted}"
            ) from error
        raise unfit(f"{path} can't be used: {error.strerror}") from error
    if not os.path.isdir(path):  # stat was done
        raise unfit(f"{path} is a file. Give an empty directory")
    path = path.resolve()
    if os.path.ismount(path) or found.st_dev != path.parent.stat().st_dev:
        raise unfit(f"{path} is mounted already. Unmount it: pyftpdrive unmount --drive {quoted}")
    try:
        filled = any(path.iterdir())
    except PermissionError as error:
        raise unfit(f"{path} can't be read by this user. Give a directory of your own") from error
    if filled:
        raise unfit(f"{path} is not empty: its files would be hidden. Give an empty directory")
    if not os.access(path, os.W_OK):
        raise unfit(f"{path} belongs to someone else. Give a directory of your own")
    return str(path)
