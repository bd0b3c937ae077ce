"""Times of files on the server: set, compared, and remembered while we set them ourselves."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque

from pyftpdrive.base.errors import (
    NotFound,
    NotImplementedByServer,
    PermissionRefused,
    ServerError,
)
from pyftpdrive.base.paths import RemotePath
from pyftpdrive.ftp.ftp_client import FtpClient

PATHS_KEPT = 1000
TIMES_KEPT = 4


def stamp(client: FtpClient, path: RemotePath, modified_ns: int) -> int | None:
    """Set the time that programs saw; return the time that the server will list, None: unknown."""
    try:
        if client.set_mtime(path, modified_ns):
            return modified_ns // 1_000_000_000 * 1_000_000_000
        return client.get_file_mtime(path)
    except (NotImplementedByServer, NotFound, PermissionRefused, ServerError):
        return None


def same_time(one_ns: int | None, other_ns: int | None) -> bool:
    """True when both may be the same moment: listings can be as coarse as minutes, or silent."""
    if one_ns is None or other_ns is None:
        return True
    one, other = one_ns // 1_000_000_000, other_ns // 1_000_000_000
    if one % 60 == 0 or other % 60 == 0:
        return one // 60 == other // 60
    return one == other


class OwnTimes:
    """Times that the drive itself gave to files on the server, of late.

    Who knew a version before and looks at it now may see such a time: that is no other program's
    version. Thread-safe: its lock guards a dictionary, and nothing is called under it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: OrderedDict[RemotePath, deque[int]] = OrderedDict()

    def give(self, path: RemotePath, modified_ns: int) -> None:
        """*path* gets this time now or soon."""
        with self._lock:
            self._given.setdefault(path, deque(maxlen=TIMES_KEPT)).append(modified_ns)
            self._given.move_to_end(path)
            if len(self._given) > PATHS_KEPT:
                self._given.popitem(last=False)

    def explain(self, path: RemotePath, modified_ns: int | None) -> bool:
        """Whether *path* may have this time because we gave it."""
        with self._lock:
            return any(same_time(modified_ns, ours_ns) for ours_ns in self._given.get(path, ()))
