"""Wildcards: what Win32 makes of a pattern, and what the kernel matches with it."""

from __future__ import annotations

from functools import cache

DOS_STAR, DOS_QM, DOS_DOT = "<", ">", '"'
WILDCARDS = frozenset('*?<>"')


def upcase(name: str) -> str:
    """As the kernel's table does: character by character, nothing outside of the BMP."""
    return "".join(
        big if len(big := char.upper()) == 1 and ord(char) < 0x10000 else char for char in name
    )


def has_wildcards(pattern: str) -> bool:
    """Whether the kernel looks for more than one name."""
    return not WILDCARDS.isdisjoint(pattern)


def from_win32(pattern: str) -> str:
    """FindFirstFile's pattern in the kernel's terms: *.* is everything, ? and . may be nothing."""
    if pattern in ("*.*", "*", ""):
        return "*"
    result = []
    for at, char in enumerate(pattern):
        after = pattern[at + 1 : at + 2]
        before = pattern[at - 1] if at else ""
        if char == "?":
            result.append(DOS_QM)
        elif char == "." and after in ("*", "?") and after:
            result.append(DOS_DOT)
        elif char == "." and before == "*" and not after:
            result[-1] = DOS_STAR  # "*.": names without an extension
        elif char == "*" and after == "." and pattern[at + 2 : at + 3] in ("*", "?"):
            result.append(DOS_STAR)
        else:
            result.append(char)
    return "".join(result)


def matches(pattern: str, name: str, *, case_sensitive: bool) -> bool:
    """Whether *name* is in what the kernel's *pattern* says."""
    if not case_sensitive:
        pattern, name = upcase(pattern), upcase(name)
    last_dot = name.rfind(".")

    @cache
    def at(p: int, n: int) -> bool:
        if p == len(pattern):
            return n == len(name)
        char = pattern[p]
        if char == "*":
            return any(at(p + 1, rest) for rest in range(n, len(name) + 1))
        if char == DOS_STAR:  # as * up to the last dot
            limit = last_dot if n <= last_dot else len(name)
            return any(at(p + 1, rest) for rest in range(n, limit + 1))
        if char == DOS_QM:  # one character, or none at a dot or the end
            if n == len(name) or name[n] == ".":
                return at(p + 1, n)
            return at(p + 1, n + 1)
        if char == DOS_DOT:  # a dot, or the end
            return at(p + 1, n) if n == len(name) else name[n] == "." and at(p + 1, n + 1)
        return n < len(name) and char in ("?", name[n]) and at(p + 1, n + 1)

    return at(0, 0)
