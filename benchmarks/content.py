"""Bytes that can be named: what a file must hold follows from its name and its size.

So that no copy has to be kept, and every byte that comes through a drive can be compared.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20
EPOCH_S = 1_600_000_000  # the oldest time of our files; odd seconds show who rounds to minutes


class WrongContent(Exception):
    """A drive or a server gave other bytes, names or times than it was given."""


@functools.cache
def _noise() -> bytes:
    return random.Random(20240501).randbytes(2 * MIB)


def block(seed: int, number: int) -> bytes:
    """The 1 MiB block *number* of the file *seed*."""
    start = (seed * 104_729 + number * 7_919) % MIB
    return _noise()[start : start + MIB]


def blocks(seed: int, size: int) -> Iterator[bytes]:
    """The file *seed* of *size* bytes, in pieces of 1 MiB."""
    for number in range(0, size, MIB):
        yield block(seed, number // MIB)[: size - number]


def small(seed: int, size: int) -> bytes:
    """The whole file *seed* of at most 1 MiB."""
    return block(seed, 0)[:size]


def modified_s(seed: int) -> int:
    """When the file *seed* was modified."""
    return EPOCH_S + seed * 61


def make(path: Path, seed: int, size: int) -> None:
    """Write the file *seed*, with its time."""
    with path.open("wb") as file:
        for piece in blocks(seed, size):
            file.write(piece)
    stamp(path, seed)


def stamp(path: Path, seed: int) -> None:
    """Give *path* the time of the file *seed*."""
    os.utime(path, (modified_s(seed), modified_s(seed)))


def check(path: Path, seed: int, size: int, *, tail: bytes = b"") -> None:
    """Compare *path* with the file *seed*, and with *tail* behind it.

    Raises:
        WrongContent: at the first piece that differs.
        OSError: it can't be read.
    """
    pieces = itertools.chain(blocks(seed, size), [tail] if tail else [])
    with path.open("rb", buffering=0) as file:
        for number, expected in enumerate(pieces):
            if _read(file.fileno(), len(expected)) != expected:
                raise WrongContent(f"{path.name}: wrong bytes in piece {number}")
        if os.read(file.fileno(), 1):
            raise WrongContent(f"{path.name}: longer than {size + len(tail)} bytes")


def _read(descriptor: int, size: int) -> bytes:
    """*size* bytes; fewer only at the end of the file."""
    data = os.read(descriptor, size)
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data
