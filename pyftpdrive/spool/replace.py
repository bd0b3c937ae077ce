"""Gives uploaded bytes their name on the server, and believes nothing that it did not see.

Servers refuse to rename over a file (553), say 250 and do nothing, call the file "name (1)", or
answer late. So what is under the names afterwards is looked at, and only that counts. The last good
version is never removed before the new one was seen under its name.

    rename over → look                        where the server was seen to replace
    target → backup, temporary → target, look, delete backup      elsewhere; every step journaled
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Generator
from typing import BinaryIO

from pyftpdrive.base.errors import (
    AlreadyExists,
    IsADirectory,
    NoSpace,
    NotFound,
    PermissionRefused,
    RemoteError,
    RemoteUnavailable,
    ServerError,
    TransferTruncated,
)
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath, join, name_of, parent
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.spool.states import Step

log = logging.getLogger(__name__)

PIECE_BYTES = 256 * 1024
LATE_RENAME_S = 1.0  # prim-ftpd may answer 553 and rename a moment later (prim-ftpd#207)
REFUSALS = (AlreadyExists, PermissionRefused, ServerError)
IN_DOUBT = (NotFound, NoSpace, *REFUSALS)  # what is said of a rename that was done all the same


class RenameLied(RemoteUnavailable):
    """The server said that it renamed, and it did not: the bytes are sent again otherwise."""


class RenameRefused(RenameLied):
    """Renaming does not work for this name: its bytes are sent directly to it instead."""


class NotThere(TransferTruncated):
    """The server said that it has it, but nothing is there under the name."""


def same_content(client: FtpClient, path: RemotePath, local: BinaryIO) -> bool:
    """Whether the server's file holds what *local* holds from its position on; both are read.

    Raises:
        RemoteError: it can't be read.
    """
    pieces = octets_of(client, path)
    with contextlib.closing(pieces):
        same = all(local.read(len(piece)) == piece for piece in pieces)
    return same and not local.read(1)


def octets_of(client: FtpClient, path: RemotePath) -> Generator[memoryview]:
    """The server's file, piece by piece; close it to stop early.

    Raises:
        RemoteError: it can't be read to its end.
    """
    stream = client.open_retrieve(path)
    buffer = memoryview(bytearray(PIECE_BYTES))
    try:
        while count := stream.read_into(buffer):
            yield buffer[:count]
    except BaseException:
        stream.abort()
        raise
    stream.finish()


def require_size(path: RemotePath, entry: RemoteEntry | None, size_bytes: int) -> None:
    """What the server says it has must be what was sent.

    Raises:
        TransferTruncated: it has less, more or nothing.
    """
    there = None if entry is None else entry.size_bytes
    if entry is None or not _fits(entry, size_bytes):
        raise TransferTruncated(f"{path}: the server has {there} of {size_bytes} bytes")


def _fits(entry: RemoteEntry, size_bytes: int | None) -> bool:
    """Whether it can be the file of *size_bytes*, as far as both are known."""
    return None in (entry.size_bytes, size_bytes) or entry.size_bytes == size_bytes


def put_in_place(
    client: FtpClient,
    temporary: RemotePath,
    target: RemotePath,
    *,
    size_bytes: int | None,
    over: RemoteEntry | None,
    backup: RemotePath,
    note: Callable[[Step], None],
    leave: Callable[[RemotePath], None],
    landed: Callable[[RemoteEntry], None] = lambda _entry: None,
) -> RemoteEntry:
    """Call *temporary* *target*; return what is there now.

    *size_bytes* of it were verified; None: the server does not tell sizes.

    *over* is the version that it replaces, None: there is none. *note* makes it durable that
    *backup* may hold that version (SWAP), or that it does not any more (NONE). *landed* is told as
    soon as the new version was seen under its name, *leave* when the server keeps *backup* then.

    Raises:
        RenameLied, RemoteUnavailable: not done, or not known whether; look again and repeat.
        RemoteError: refused. The version before is under its name, or under *backup* and noted.
    """
    profile = client.profile
    if over is not None and profile.rename_over is Proof.NO:
        return _swap(client, temporary, target, size_bytes, backup, note, leave, landed)
    unproven = over is not None and profile.rename_over is Proof.UNKNOWN
    names_before = _names(client, parent(target)) if unproven else frozenset()
    try:
        entry = _renamed(client, temporary, target, size_bytes, over)
    except IN_DOUBT as refusal:
        seen, left = client.look([target, temporary])
        if unproven and left is not None:
            threading.Event().wait(LATE_RENAME_S)
            seen, left = client.look([target, temporary])
        if left is None and seen is not None and _fits(seen, size_bytes):
            landed(seen)  # refused, and done all the same
            return seen
        proven = profile.rename_over is Proof.YES or isinstance(refusal, NoSpace)
        if over is None or left is None or proven:
            raise _why_refused(client, target, seen, left, refusal) from refusal
        profile.deny("rename_over", lasting=False)  # maybe for this file only, or at the moment
        return _swap(client, temporary, target, size_bytes, backup, note, leave, landed)
    if entry is not None:
        profile.confirm("rename")
        if over is not None:
            profile.confirm("rename_over")
        landed(entry)
        return entry
    if over is not None:
        profile.deny("rename_over", lasting=False)
        _remove_astray(client, target, size_bytes, names_before)
    if not client.exists(temporary):  # it went somewhere: another program, or another name
        raise NotThere(f"{target}: the server said that it was renamed, but it is not there")
    if over is not None:
        return _swap(client, temporary, target, size_bytes, backup, note, leave, landed)
    raise _not_renamed(client, f"{target}: the server said that it was renamed, but it was not")


def _not_renamed(client: FtpClient, what: str) -> RenameRefused:
    """The error of a rename that does not work: for this name, or for all of them.

    Where renaming was seen to work it is this name's matter: a file that is in use, a directory
    with rights of its own. Elsewhere the names after this one need not try; the next run does.
    """
    if client.profile.rename is not Proof.YES:
        client.profile.deny("rename", lasting=False)
    return RenameRefused(f"{what}; it is stored directly instead")


def _renamed(
    client: FtpClient,
    temporary: RemotePath,
    target: RemotePath,
    size_bytes: int | None,
    over: RemoteEntry | None,
) -> RemoteEntry | None:
    """Rename; the entry of *target* when it is the file that was renamed, None: it is not.

    One look at *target* tells where the sizes differ; else *temporary* must be gone.
    """
    telling = over is None or not _fits(over, size_bytes)
    paths = [target] if telling else [target, temporary]
    entry, *left = client.rename_and_look(temporary, target, paths)
    if any(left) or entry is None or not _fits(entry, size_bytes):
        return None
    return entry


def _why_refused(
    client: FtpClient,
    target: RemotePath,
    seen: RemoteEntry | None,
    left: RemoteEntry | None,
    refusal: RemoteError,
) -> RemoteError:
    """The error of a rename that was refused for good."""
    if seen is not None and seen.kind is Kind.DIRECTORY:
        return IsADirectory(f"{target} is a directory on the server")
    if isinstance(refusal, PermissionRefused) and seen is None and left is not None:
        return _not_renamed(client, f"{target}: renaming is refused")
    return refusal


def _swap(
    client: FtpClient,
    temporary: RemotePath,
    target: RemotePath,
    size_bytes: int | None,
    backup: RemotePath,
    note: Callable[[Step], None],
    leave: Callable[[RemotePath], None],
    landed: Callable[[RemoteEntry], None],
) -> RemoteEntry:
    """Replace *target* by way of *backup*, the version before going last."""
    note(Step.SWAP)
    try:
        still, moved = client.rename_and_look(target, backup, [target, backup])
    except IN_DOUBT as refusal:
        still, moved = client.look([target, backup])
        if moved is None:
            note(Step.NONE)
            if not isinstance(refusal, REFUSALS):
                raise
            raise _not_renamed(client, f"{target}: renaming is refused") from refusal
    if moved is None or still is not None:
        if moved is None and still is not None:
            note(Step.NONE)
            raise _not_renamed(client, f"{target}: the server said that it was renamed")
        raise RenameLied(f"{target}: the server said that it was renamed, but it was not")
    try:
        entry = _renamed(client, temporary, target, size_bytes, None)
    except IN_DOUBT:
        there, left = client.look([target, temporary])
        entry = there if left is None else None  # refused, and done all the same
    if entry is None:
        restore(client, backup, target)
        note(Step.NONE)
        raise RenameLied(f"{target}: the new version did not get its name; the old one is back")
    landed(entry)
    drop_backup(client, backup, leave)
    note(Step.NONE)
    client.profile.confirm("rename")
    return entry


def drop_backup(client: FtpClient, backup: RemotePath, leave: Callable[[RemotePath], None]) -> None:
    """Remove a version whose successor was seen under its name.

    *leave* is told when the server refuses: the successor is there all the same.

    Raises:
        RemoteUnavailable: not known whether it is gone.
    """
    try:
        client.delete_file(backup)
    except NotFound:
        log.debug("%s: refused, and gone all the same", backup)
    except REFUSALS as refusal:
        log.warning("an older version stays as %s: %s", backup, refusal)
        leave(backup)


def restore(client: FtpClient, backup: RemotePath, target: RemotePath) -> None:
    """Give the version before its name back.

    Raises:
        RemoteError: it is still called *backup*.
    """
    (entry,) = client.rename_and_look(backup, target, [target])
    if entry is None:
        raise RenameLied(f"{backup}: the server said that it was renamed, but it was not")
    log.info("%s: the version before has its name again", target)


def _names(client: FtpClient, directory: RemotePath) -> frozenset[str]:
    return frozenset(entry.name for entry in client.list_dir(directory).entries)


def _remove_astray(
    client: FtpClient, target: RemotePath, size_bytes: int | None, names_before: frozenset[str]
) -> None:
    """Remove our bytes where a server called them "name (1).txt" instead of replacing."""
    stem, dot, suffix = name_of(target).rpartition(".")
    if not stem:
        stem, dot, suffix = name_of(target), "", ""
    pattern = re.compile(rf"{re.escape(stem)} ?\(\d+\){re.escape(dot + suffix)}")
    try:
        for entry in client.list_dir(parent(target)).entries:
            new = entry.name not in names_before and entry.size_bytes == size_bytes
            if new and pattern.fullmatch(entry.name):
                client.delete_file(join(parent(target), entry.name))
                log.info("%s: the server had called it %s; removed", target, entry.name)
    except (NotFound, *REFUSALS) as error:
        log.info("%s: looking for it under other names: %s", target, error)
