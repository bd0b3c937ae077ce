"""What POSIX says that names, files and handles are. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


class Wrong(AssertionError):
    """The drive did something else than a file system does."""


@dataclass(slots=True, eq=False)
class File:
    """Bytes, whatever their names are."""

    content: bytearray = field(default_factory=bytearray)

    def write(self, offset: int, data: bytes) -> None:
        """Put *data* at *offset*; what is between the end and it reads as zeros."""
        if not data:
            return
        self.extend(offset)
        self.content[offset : offset + len(data)] = data

    def extend(self, size: int) -> None:
        """With zeros, when it is shorter."""
        if size > len(self.content):
            self.content.extend(bytes(size - len(self.content)))

    def truncate(self, size: int) -> None:
        """Cut to or extend with zeros to *size*."""
        del self.content[size:]
        self.extend(size)


@dataclass(slots=True, eq=False)
class Handle:
    """An open file."""

    fd: int
    file: File
    reads: bool
    writes: bool
    appends: bool


@dataclass(slots=True)
class Model:
    """Names and open handles."""

    names: dict[str, File] = field(default_factory=dict)
    handles: list[Handle] = field(default_factory=list)

    def rename(self, old: str, new: str) -> None:
        """Replaces; open handles keep what they had."""
        if old != new:
            self.names[new] = self.names.pop(old)

    def name_of(self, file: File) -> str | None:
        """What *file* is called; None: it was deleted or replaced."""
        return next((name for name, one in self.names.items() if one is file), None)


def compare(what: str, found: bytes | memoryview, right: bytes | bytearray | memoryview) -> None:
    """Say where two contents part.

    Raises:
        Wrong: they do.
    """
    if found == right:
        return
    if len(found) != len(right):
        raise Wrong(f"{what}: {len(found)} bytes, not {len(right)}; {_part(found, right)}")
    raise Wrong(f"{what}: {_part(found, right)}")


def _part(found: bytes | memoryview, right: bytes | bytearray | memoryview) -> str:
    short = min(len(found), len(right))
    first = next((at for at in range(short) if found[at] != right[at]), None)
    if first is None:
        return "the same as far as both go"
    last = next(at for at in range(short - 1, -1, -1) if found[at] != right[at])
    return (
        f"bytes {first} to {last} differ: {bytes(found[first : first + 16]).hex()}, "
        f"not {bytes(right[first : first + 16]).hex()}"
    )
