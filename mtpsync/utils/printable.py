"""Text of strangers, for people's eyes."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without characters that a terminal or a browser would obey: controls, marks of direction."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
