"""RemotePath: an absolute path on the server in which CR, LF and NUL cannot exist.

A path is text. Octets that the server's encoding cannot decode are carried as lone surrogates
(PEP 383), so that every name that a server lists can be sent back to it byte for byte.
"""

from __future__ import annotations

import re
from typing import NewType

from pyftpdrive.base.errors import InvalidName

RemotePath = NewType("RemotePath", str)
"""'/' or '/a/b': absolute, no trailing slash, no empty, '.' or '..' component."""

ROOT = RemotePath("/")
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4096
_FORBIDDEN = re.compile(r"[/\0\r\n]")


def check_name(name: str) -> str:
    """Return *name* when it may be one component of a path.

    Raises:
        InvalidName: empty, '.', '..', or holding '/', CR, LF or NUL.
    """
    if name in ("", ".", "..") or _FORBIDDEN.search(name):
        raise InvalidName(f"{name!r} is not a usable file name")
    return name


def remote_path(text: str) -> RemotePath:
    """Make a path from text that a program or a config file gave; '//' and '/./' are folded.

    Raises:
        InvalidName: a '..' component, or CR, LF or NUL anywhere.
    """
    parts = [part for part in text.split("/") if part not in ("", ".")]
    for part in parts:
        check_name(part)
    return RemotePath("/" + "/".join(parts))


def join(directory: RemotePath, name: str) -> RemotePath:
    """The path of *name* in *directory*.

    Raises:
        InvalidName: *name* is not one component.
    """
    check_name(name)
    return RemotePath(f"/{name}" if directory == "/" else f"{directory}/{name}")


def parent(path: RemotePath) -> RemotePath:
    """The directory that holds *path*; the root is its own parent."""
    return RemotePath(path.rpartition("/")[0] or "/")


def name_of(path: RemotePath) -> str:
    """The last component; '' for the root."""
    return path.rpartition("/")[2]


def is_below(path: RemotePath, ancestor: RemotePath) -> bool:
    """True when *path* lies strictly inside *ancestor*."""
    if ancestor == "/":
        return path != "/"
    return path.startswith(ancestor + "/")


def rebase(path: RemotePath, old: RemotePath, new: RemotePath) -> RemotePath:
    """*path* (equal to or below *old*) as it is called after *old* was renamed to *new*."""
    return RemotePath(new + path[len(old) :])
