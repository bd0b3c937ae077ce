"""The nouns that every layer shares."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique


@unique
class Kind(Enum):
    """What a name stands for on the server."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"  # a symbolic link whose target was not resolved (yet)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEntry:
    """One line of a listing, in our terms."""

    name: str  # one component; undecodable octets as lone surrogates
    kind: Kind
    size_bytes: int | None = None  # None: the server did not say
    modified_ns: int | None = None  # nanoseconds since 1970 UTC; None: unknown; never local time
    mode: int | None = None  # Unix permission bits 0o000-0o777; None: the server did not say
    perm: str | None = None  # RFC 3659 7.5.5 perm fact, lower case; None: no such fact
    link_target: str | None = None  # what LIST showed behind ' -> '; None: not a link


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Room on a volume, in bytes."""

    total_bytes: int
    free_bytes: int
