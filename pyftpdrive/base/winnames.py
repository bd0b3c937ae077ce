r"""Names that Windows can hold, for names that it can't. Reversible; pure.

A server's name may hold `: * ? " < > | \`, control characters or octets that are no text, end in a
dot or a blank, be a device (`CON`, `com1.txt`), be too long, or differ from its neighbour in case
only. Each such character is shown as the one 0xF000 above it, in Unicode's private use area, as
WSL, Cygwin and Services for Macintosh do; an octet 0x80-0xFF that is no text (a lone surrogate,
PEP 383) as U+F080-U+F0FF. U+F000 in front says "as it is": of a device's name, or of a character
that was in that area before.

Too long names and twins need their neighbours: `Names` holds the names of one directory.
Source: Microsoft, "Naming Files, Paths, and Namespaces".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from pyftpdrive.base.errors import InvalidName

NAME_UNITS_MAX = 255  # UTF-16 units of one component
LITERAL = "\uf000"
_AREA = 0xF000
_FORBIDDEN = frozenset('"*:<>?|\\') | {chr(code) for code in range(1, 0x20)}
_OCTETS = {chr(0xDC00 + octet): chr(_AREA + octet) for octet in range(0x80, 0x100)}
_SHOWN = {**{c: chr(_AREA + ord(c)) for c in _FORBIDDEN}, **_OCTETS}
_MEANT = {there: here for here, there in _SHOWN.items()}
_LAST = {" ": "\uf020", ".": "\uf02e"}
_LAST_MEANT = {there: here for here, there in _LAST.items()}
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.|$)",
    re.IGNORECASE,
)
# Most names need nothing: one search, and `isascii` below, instead of a look at each character.
_SPECIAL = re.compile("[" + re.escape("".join(_SHOWN) + "".join(_MEANT)) + LITERAL + "]")
_TAG = re.compile(r"~[0-9a-f]{8}(?=\.|$)", re.IGNORECASE)
_WIN32_FORBIDDEN = re.compile(r'[\x00-\x1f"*:<>?|\\/]')


def to_windows(name: str) -> str:
    """What *name*, one component of a server's path, is called on Windows, whatever its length."""
    shown = name
    if _SPECIAL.search(name):
        shown = "".join(
            LITERAL + c if c in _MEANT or c == LITERAL else _SHOWN.get(c, c) for c in name
        )
    last = shown[-1:]
    if last in _LAST:
        shown = shown[:-1] + _LAST[last]
    elif last in _LAST_MEANT:
        shown = shown[:-1] + LITERAL + last
    return LITERAL + shown if _DEVICE.match(shown) else shown


def from_windows(name: str) -> str:
    """The server's name for one component that a Windows program gave.

    Raises:
        InvalidName: Windows itself does not allow it (a stream, a pattern, half a surrogate pair).
    """
    if _WIN32_FORBIDDEN.search(name) or name.endswith((".", " ")):
        raise InvalidName(f"{name!r} is no file name on Windows")
    if any("\ud800" <= c <= "\udfff" for c in name):
        raise InvalidName(f"{name!r} holds half a character")
    meant: list[str] = []
    literal = False
    for position, c in enumerate(name):
        if literal:
            meant.append(c)
            literal = False
        elif c == LITERAL:
            literal = True
        elif position == len(name) - 1 and c in _LAST_MEANT:
            meant.append(_LAST_MEANT[c])
        else:
            meant.append(_MEANT.get(c, c))
    return "".join(meant)


def fold(name: str) -> str:
    """Equal for two names that Windows takes for one: upper case, character by character."""
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := c.upper()) == 1 else c for c in name)


def units(name: str) -> int:
    """UTF-16 units, which are what Windows counts."""
    if name.isascii():
        return len(name)
    return len(name) + sum(c > "\uffff" for c in name)


def _tagged(shown: str, name: str) -> str:
    """*shown*, cut where it is too long, with a tag that belongs to *name* alone."""
    tag = "~" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, suffix = shown.rpartition(".")
    if not stem or units(suffix) > NAME_UNITS_MAX // 4:
        stem, dot, suffix = shown, "", ""
    room = NAME_UNITS_MAX - units(tag + dot + suffix)
    while units(stem) > room:
        stem = stem[:-1]
    return stem.rstrip(LITERAL) + tag + dot + suffix


class Names:
    """The names of one directory, both ways. Case twins and too long names get a tag.

    Of twins the one that comes first in code point order keeps its name. What is made of the same
    names is the same, whatever their order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._server: dict[str, str] = {}  # folded Windows name -> server's name
        self._windows: dict[str, str] = {}  # server's name -> Windows name
        self._tagged = 0  # how many have a tag
        for name in sorted(set(names)):
            self._add(name)

    def _add(self, name: str) -> None:
        plain = shown = to_windows(name)
        tries = 0
        while units(shown) > NAME_UNITS_MAX or fold(shown) in self._server:
            shown = _tagged(plain, f"{tries}{name}" if tries else name)
            tries += 1
        self._tagged += tries > 0
        self._server[fold(shown)] = name
        self._windows[name] = shown

    def changed(self, names: Iterable[str]) -> Names:
        """What `Names(names)` is; where little has changed, for little.

        A name that meets no other doesn't change what the others are called, when it comes or
        goes. Where a tag is involved everything is made anew.
        """
        wanted = set(names)
        gone, new = self._windows.keys() - wanted, wanted - self._windows.keys()
        if self._tagged or len(gone) + len(new) > len(wanted) // 2:
            return Names(wanted)
        made = Names(())
        made._server, made._windows = dict(self._server), dict(self._windows)
        for name in gone:
            del made._server[fold(made._windows.pop(name))]
        for name in new:
            made._add(name)
        return Names(wanted) if made._tagged else made

    def same(self, names: Iterable[str]) -> bool:
        """Whether these are the names that this was made of."""
        return self._windows.keys() == set(names)

    def server(self, windows_name: str) -> str | None:
        """The server's name for what a program calls *windows_name*; None: it is not here.

        Of twins the one that is meant to the letter comes first, and who knows a name with its tag
        still finds the file when it has none any more: a program keeps the names that it saw.
        """
        if self._tagged and windows_name in self._windows:
            return windows_name
        found = self._server.get(fold(windows_name))
        if found is None and _TAG.search(windows_name):
            wanted = fold(windows_name)
            for name, shown in self._windows.items():
                if fold(_tagged(shown, name)) == wanted:
                    return name
        return found

    def windows(self, server_name: str) -> str:
        """What programs call *server_name*.

        Raises:
            KeyError: it is not in this directory.
        """
        return self._windows[server_name]
