"""A rename to a name that is free as far as anybody here knows: one flight, and nothing is lost.

FTP has no rename that fails when the name is taken, and a look before it costs a round trip and
leaves a gap. So whatever has the name is called otherwise first, by a rename that is refused where
nothing is there:

    RNFR new, RNTO aside (refused: nothing there) → RNFR old, RNTO new → look at both

What another program had put there comes back under its name. Should this program die in between,
it is found beside it under *aside*, a name that users see and understand.
"""

from __future__ import annotations

import logging
import unicodedata

from pyftpdrive.base.errors import NotFound
from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import RemotePath, join, name_of, parent
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.spool.names import TEMPORARY_PREFIX, oddities
from pyftpdrive.spool.replace import restore

log = logging.getLogger(__name__)

NAME_BYTES_MAX = 200  # *aside* is longer, and no server may refuse it for that


def suits(client: FtpClient, old: RemotePath, new: RemotePath, kind: Kind) -> bool:
    """Whether `take` may be used: what it relies on was proven on this server."""
    profile = client.profile
    told_by_size = profile.mlst is Proof.NO and profile.size is Proof.YES and kind is Kind.FILE
    return (
        profile.rename is Proof.YES
        and profile.pipelining is Proof.YES
        and (profile.mlst is Proof.YES or told_by_size)
        and not oddities(new)
        and len(name_of(new).encode("utf-8", "surrogateescape")) <= NAME_BYTES_MAX
        and not (parent(old) == parent(new) and _folded(old) == _folded(new))
    )


def _folded(path: RemotePath) -> str:
    """Equal for names that some servers take for one."""
    return unicodedata.normalize("NFC", name_of(path)).casefold()


def aside_of(new: RemotePath, backup: RemotePath) -> RemotePath:
    """A name beside *new* that users understand, as unique as *backup*, a name of our own."""
    stem, dot, suffix = name_of(new).rpartition(".")
    if not stem:
        stem, dot, suffix = name_of(new), "", ""
    unique = name_of(backup).removeprefix(TEMPORARY_PREFIX)[:8]
    return join(parent(new), f"{stem} (other version {unique}){dot}{suffix}")


def take(client: FtpClient, old: RemotePath, new: RemotePath, aside: RemotePath) -> bool:
    """Call *old* *new*; False: it was not done, or not seen to be done, or something was there.

    Then `give_back` puts right what *new* and *aside* are, and the way with looks says why.

    Raises:
        RemoteUnavailable: not known; `give_back` before anything else.
    """
    return client.rename_past(old, new, aside)


def give_back(client: FtpClient, old: RemotePath, new: RemotePath, aside: RemotePath) -> None:
    """After `take` was not seen to succeed: what is called *aside* gets its name back.

    Raises:
        RemoteError: not done; ask again. It is still called *aside*.
    """
    there, left, other = client.look([new, old, aside])
    if other is None:
        return
    if there is not None and left is None:
        client.rename(new, old)
    elif there is not None:
        log.warning("%s was made again meanwhile; what was there before: %s", new, aside)
        return
    try:
        restore(client, aside, new)
    except NotFound:
        log.debug("%s: gone meanwhile", aside)
