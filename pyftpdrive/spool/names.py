"""Names that a server may store as others: found out on a file of our own before they are used.

Pure-FTPd makes `_` of blanks at a name's end and of control characters, servers on Windows drop
dots and blanks at the end, swiftp drops double quotes. The file would be called otherwise, and
could replace one that nobody saw. So our temporary name ends in the same characters; when the
server calls that one otherwise, it would do so with the name itself.
"""

from __future__ import annotations

import logging

from pyftpdrive.base.errors import InvalidName, RemoteError
from pyftpdrive.base.paths import RemotePath, join, name_of, parent
from pyftpdrive.ftp.ftp_client import FtpClient

log = logging.getLogger(__name__)

TEMPORARY_PREFIX = ".pyftpdrive-"
"""How names that this program makes on the server begin."""
ODDITIES_MAX = 16
ANOTHER_NAME = "save it under another name"
"""How the reason of a held file ends that a rename sets free."""


class NameChanged(InvalidName):
    """The server stores this name as another one."""


def oddities(path: RemotePath) -> str:
    """What of the name servers are known to change, as an ending for another name; mostly ''."""
    name = name_of(path)
    kept = name.rstrip(" .")
    ending = name[len(kept) :]
    inside = "".join(sorted({c for c in kept if c < " " or c in '"\x7f'}))
    return inside[: ODDITIES_MAX - 1] + ending[-(ODDITIES_MAX - len(inside[: ODDITIES_MAX - 1])) :]


def require_kept(client: FtpClient, ours: RemotePath, wanted: RemotePath) -> None:
    """Find out whether *ours*, a file that was just stored, has the name that it was given.

    What has another name is removed. A server that does not list it proves nothing.

    Raises:
        NameChanged: it has not, so *wanted* would not have its name either.
        RemoteError: the directory can't be listed.
    """
    prefix = name_of(ours)[: name_of(ours).index(".", 1)]
    names = [entry.name for entry in client.list_dir(parent(ours)).entries]
    found = [name for name in names if name.startswith(prefix)]
    if not found or name_of(ours) in found:
        return
    for name in found:
        try:
            client.delete_file(join(parent(ours), name))
        except RemoteError as error:
            log.debug("%s was not removed: %s", name, error)
    odd = oddities(wanted)
    became = found[0].removeprefix(name_of(ours).removesuffix(odd))
    does = f"makes {became!r} of" if became else "drops"
    raise NameChanged(f"{wanted}: the server changes this name (it {does} {odd!r}); {ANOTHER_NAME}")
