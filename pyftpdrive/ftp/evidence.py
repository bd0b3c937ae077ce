"""Why a server refused: found out by looking, because 550 means five different things.

Only run after a failure. The reply's text is a hint that counts where looking shows nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pyftpdrive.base.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    IsADirectory,
    NotADirectory,
    NotFound,
    PermissionRefused,
    RemoteError,
    RemoteUnavailable,
    ServerError,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import ROOT, RemotePath, name_of, parent
from pyftpdrive.ftp.channel import command_line
from pyftpdrive.ftp.directory import (
    NotEntered,
    entry_of,
    list_directory,
    probe_names,
)
from pyftpdrive.ftp.listing import parse_mlst
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.replies import Reply, remote_error
from pyftpdrive.ftp.session import raw_octets
from pyftpdrive.ftp.transfers import TransferRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyftpdrive.ftp.session import Session

_DENIED_HINT = re.compile(r"permission|denied|not permitted|read.?only", re.IGNORECASE)
AMBIGUOUS = (450, 451, 501, 521, 550, 551, 553, 554)


def look(session: Session, path: RemotePath, *, thorough: bool = True) -> RemoteEntry | None:
    """What *path* is now, from the server; None: nothing is there.

    *thorough*: when no probe finds it, the parent's listing has the last word (a file that may
    not be read shows neither size nor time).
    """
    if path == ROOT:
        return RemoteEntry(name="", kind=Kind.DIRECTORY)
    name = name_of(path)
    found = probe_names(session, parent(path), [name]).get(name)
    if found is not None or not thorough:
        return found
    try:
        listing = list_directory(session, parent(path))
    except RemoteUnavailable:
        raise
    except (RemoteError, NotEntered, TransferRefused):
        return None
    return next((entry for entry in listing.entries if entry.name == name), None)


def fact_line(session: Session, path: RemotePath, reply: Reply) -> RemoteEntry | None:
    """The entry in MLST's positive *reply*; None: it can't be understood."""
    entry = parse_mlst([raw_octets(line) for line in reply.lines], session.codec)
    return None if entry is None else replace(entry, name=name_of(path))


Found = list[RemoteEntry | None] | None
"""What each of some paths is, None: nothing is there; None at all: the replies don't tell."""


def looking(session: Session, paths: Sequence[RemotePath]) -> list[bytes]:
    """Commands that tell what each of *paths* is; none: this server has no such commands."""
    if session.profile.mlst is Proof.YES:
        verbs: tuple[str, ...] = ("MLST",)
    elif session.profile.mlst is Proof.NO and session.profile.size is Proof.YES:
        verbs = ("SIZE", "MDTM")
    else:
        verbs = ()
    return [command_line(verb, session.wire(path)) for path in paths for verb in verbs]


def seen(session: Session, paths: Sequence[RemotePath], replies: Sequence[Reply]) -> Found:
    """What *replies* to the commands of `looking` say."""
    if len(replies) == len(paths):
        return _by_facts(session, paths, replies)
    return _by_size(paths, replies)


def _by_facts(session: Session, paths: Sequence[RemotePath], replies: Sequence[Reply]) -> Found:
    found: list[RemoteEntry | None] = []
    for path, reply in zip(paths, replies, strict=True):
        entry = fact_line(session, path, reply) if reply.is_positive else None
        missing = isinstance(remote_error(reply, action="MLST"), NotFound)
        if (entry is None and not missing) or (entry is not None and entry.kind is Kind.LINK):
            return None
        found.append(entry)
    return found


def _by_size(paths: Sequence[RemotePath], replies: Sequence[Reply]) -> Found:
    found: list[RemoteEntry | None] = []
    for path, size, mdtm in zip(paths, replies[::2], replies[1::2], strict=True):
        if size.code not in (213, 550):
            return None
        found.append(entry_of(name_of(path), size, mdtm) if size.code == 213 else None)
    return found


def _settled(reply: Reply, action: str) -> RemoteError | None:
    """The error when the reply leaves no doubt; None: look."""
    if reply.code in AMBIGUOUS:
        return None
    return remote_error(reply, action=action)


def _said(kind: type[RemoteError], path: RemotePath, words: str, reply: Reply) -> RemoteError:
    return kind(f"{path}: {words} ({reply.code} {reply.text})", reply=reply.text)


def _refused(path: RemotePath, reply: Reply, action: str) -> RemoteError:
    """It is as it should be, and yet the server does not do it."""
    guess = remote_error(reply, action=action)
    if isinstance(guess, PermissionRefused):
        return guess
    if reply.code in (450, 451) and not _DENIED_HINT.search(reply.text):
        return guess  # busy, perhaps: later it may work
    return _said(PermissionRefused, path, f"{action} refused", reply)


def why_not_entered(session: Session, path: RemotePath, reply: Reply) -> RemoteError:
    """CWD was refused."""
    settled = _settled(reply, "CWD")
    if settled is not None:
        return settled
    if path == ROOT:
        return _refused(path, reply, "CWD")
    entry = look(session, path)
    if entry is None:
        return _missing(path, reply, "CWD")
    if entry.kind is Kind.FILE:
        return _said(NotADirectory, path, "not a directory", reply)
    if entry.kind is Kind.LINK:
        return _said(NotFound, path, "a link that leads nowhere", reply)
    return _refused(path, reply, "CWD")


def _missing(path: RemotePath, reply: Reply, action: str) -> RemoteError:
    """Nothing was found; the text may know that it is hidden from us."""
    guess = remote_error(reply, action=action)
    if isinstance(guess, PermissionRefused) and reply.code != 553:
        return guess
    return _said(NotFound, path, "does not exist", reply)


def why_not_read(session: Session, path: RemotePath, reply: Reply) -> RemoteError:
    """RETR, SIZE or MDTM of a file was refused."""
    settled = _settled(reply, "RETR")
    if settled is not None:
        return settled
    entry = look(session, path)
    if entry is None:
        return _missing(path, reply, "RETR")
    if entry.kind is Kind.DIRECTORY:
        return _said(IsADirectory, path, "is a directory", reply)
    return _refused(path, reply, "RETR")


def why_not_written(session: Session, path: RemotePath, reply: Reply) -> RemoteError:
    """STOR or APPE was refused."""
    settled = _settled(reply, "STOR")
    if settled is not None:
        return settled
    entry = look(session, path)
    if entry is not None and entry.kind is Kind.DIRECTORY:
        return _said(IsADirectory, path, "is a directory", reply)
    if entry is None:
        return _no_room(session, path, reply, "STOR")
    return _refused(path, reply, "STOR")


def _no_room(session: Session, path: RemotePath, reply: Reply, action: str) -> RemoteError:
    """Nothing is at *path* and nothing could be put there: is its parent missing?"""
    above = look(session, parent(path))
    if above is None:
        return _said(NotFound, parent(path), "does not exist", reply)
    if above.kind is Kind.FILE:
        return _said(NotADirectory, parent(path), "not a directory", reply)
    return _refused(path, reply, action)


def why_not_deleted(session: Session, path: RemotePath, reply: Reply) -> RemoteError:
    """DELE was refused."""
    settled = _settled(reply, "DELE")
    if settled is not None:
        return settled
    entry = look(session, path)
    if entry is None:
        return _missing(path, reply, "DELE")
    if entry.kind is Kind.DIRECTORY:
        return _said(IsADirectory, path, "is a directory", reply)
    return _refused(path, reply, "DELE")


def why_not_created(session: Session, path: RemotePath, reply: Reply) -> RemoteError:
    """MKD was refused."""
    settled = _settled(reply, "MKD")
    if settled is not None:
        return settled
    if look(session, path) is not None:
        return _said(AlreadyExists, path, "exists already", reply)
    return _no_room(session, path, reply, "MKD")


def why_not_removed(session: Session, path: RemotePath, reply: Reply) -> RemoteError:
    """RMD of a directory that looked empty was refused."""
    settled = _settled(reply, "RMD")
    if settled is not None:
        return settled
    try:
        listing = list_directory(session, path)
    except NotEntered:
        entry = look(session, path)
        if entry is None:
            return _missing(path, reply, "RMD")
        return _refused(path, reply, "RMD")
    except (PermissionRefused, TransferRefused):
        return _refused(path, reply, "RMD")
    guess = remote_error(reply, action="RMD")
    if listing.entries or listing.unparsed or listing.refused:
        return _said(DirectoryNotEmpty, path, "is not empty", reply)
    return guess if isinstance(guess, DirectoryNotEmpty) else _refused(path, reply, "RMD")


def why_not_renamed(
    session: Session, old: RemotePath, new: RemotePath, reply: Reply
) -> RemoteError:
    """RNTO (or RNFR) was refused."""
    settled = _settled(reply, "RNTO")
    if settled is not None:
        return settled
    if look(session, old) is None:
        return _missing(old, reply, "RNFR")
    if look(session, new) is not None:
        return _said(AlreadyExists, new, "exists already", reply)
    error = _no_room(session, new, reply, "RNTO")
    return error if not isinstance(error, ServerError) else _refused(new, reply, "RNTO")
