"""The one directory on the server in which `doctor` writes, and how it goes away again.

Its name holds when it was made, by this machine's clock: `.pyftpdrive-<seconds><random>.doctor`.
Removing is timid, since the server is somebody's: one level, known names only, each directory
listed afresh. A run that crashed leaves its directory; the next one removes it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from pyftpdrive.base.errors import NotFound, RemoteError, RemoteUnavailable
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import ROOT, RemotePath, join
from pyftpdrive.ftp.ftp_client import FtpClient

OLD_S = 60  # a run ends well before that
FULL = "full"  # the only directory inside
_NAME = re.compile(r"\.pyftpdrive-([0-9a-f]{8})[0-9a-f]{8}\.doctor")
_KNOWN_FILE = re.compile(
    r"(?:probe|source|target|renamed|append|resume|case|inside)(?: ?\(\d+\))?\.bin|name-.{0,40}",
    re.IGNORECASE | re.DOTALL,
)


def fresh_name(now_ns: int) -> str:
    """A name for a directory that nobody has."""
    return f".pyftpdrive-{now_ns // 10**9 & 0xFFFFFFFF:08x}{secrets.token_hex(4)}.doctor"


def is_left_behind(entry: RemoteEntry, now_ns: int) -> bool:
    """Whether *entry* is the scratch directory of a run that did not end."""
    found = _NAME.fullmatch(entry.name)
    if found is None or entry.kind is not Kind.DIRECTORY:
        return False
    return abs((now_ns // 10**9 & 0xFFFFFFFF) - int(found[1], 16)) > OLD_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """A scratch directory that is there."""

    path: RemotePath

    def file(self, name: str) -> RemotePath:
        """The path of a file inside.

        Raises:
            ValueError: a name that `remove` would not know.
        """
        if name != FULL and not _KNOWN_FILE.fullmatch(name):
            raise ValueError(name)
        return join(self.path, name)


def remove(client: FtpClient, directory: RemotePath) -> str:
    """Remove a scratch directory; '' when it is gone, else why it stays.

    Raises:
        RemoteUnavailable: the session ended.
    """
    try:
        return _remove(client, directory, inner=True)
    except NotFound:
        return ""
    except RemoteUnavailable:
        raise
    except RemoteError as error:
        return str(error)


def _remove(client: FtpClient, directory: RemotePath, *, inner: bool) -> str:
    listing = client.list_dir(directory)
    for entry in listing.entries:
        path = join(directory, entry.name)
        if entry.kind is Kind.FILE and _KNOWN_FILE.fullmatch(entry.name):
            client.delete_file(path)
        elif entry.kind is Kind.DIRECTORY and entry.name == FULL and inner:
            if problem := _remove(client, path, inner=False):
                return problem
        else:
            return f"{path} is not of our making"
    client.delete_dir(directory)
    return ""


def left_behind(client: FtpClient, now_ns: int) -> list[RemotePath]:
    """The scratch directories that earlier runs left."""
    listing = client.list_dir(ROOT)
    return [join(ROOT, e.name) for e in listing.entries if is_left_behind(e, now_ns)]
