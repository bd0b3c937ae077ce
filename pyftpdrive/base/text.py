"""What others wrote (a server, a file name), made fit for a terminal, a log and a report. Pure."""

from __future__ import annotations

import re

SHOWN_CHARACTERS_MAX = 600
SHORT_SECRET = 3  # shorter ones are masked only where they stand alone


def shown(text: str, *, at_most: int = SHOWN_CHARACTERS_MAX) -> str:
    """*text* on one line, without control, direction or lone surrogate characters, cut to a length.

    What can't be printed is written as in Python, so that an escape sequence of a server's does
    nothing to the terminal that shows it.
    """
    if len(text) > at_most:
        text = text[:at_most] + " …"
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c in "\r\n\t" else c.encode("unicode_escape").decode()
        for c in text
    )


def masked(text: str, secret: str) -> str:
    """*text* with `***` for *secret*; a very short one counts only as a word of its own."""
    if not secret or secret not in text:
        return text
    if len(secret) >= SHORT_SECRET:
        return text.replace(secret, "***")
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
