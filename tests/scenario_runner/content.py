"""Content as scenarios write it: text:hello, pattern:200KiB, zeros:1MiB, hex:00ff, empty."""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random

_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class BadContent(ValueError):
    """Not a way to write content."""


def size_of(text: str) -> int:
    """Bytes of '200KiB'."""
    found = re.fullmatch(r"(\d+)(B|KiB|MiB|GiB)?", text)
    if not found:
        raise BadContent(f"{text!r} is not a size like 200KiB")
    return int(found[1]) * _UNITS[found[2] or ""]


@lru_cache(maxsize=32)
def content(text: str, seed: int = 0) -> bytes:
    """The bytes that *text* stands for; patterns depend on the size and the seed only."""
    kind, _, rest = text.partition(":")
    if kind == "empty" and not rest:
        return b""
    if kind == "text":
        return rest.encode()
    if kind == "hex":
        try:
            return bytes.fromhex(rest)
        except ValueError as error:
            raise BadContent(f"{text!r}: {error}") from error
    if kind == "zeros":
        return bytes(size_of(rest))
    if kind == "pattern":
        return Random(seed * 1_000_003 + size_of(rest)).randbytes(size_of(rest))
    raise BadContent(f"{text!r}: content is text:, pattern:SIZE, zeros:SIZE, hex: or empty")


def describe(data: bytes) -> str:
    """Short enough for a message."""
    return repr(data) if len(data) <= 60 else f"{len(data)} bytes beginning {data[:24]!r}"
