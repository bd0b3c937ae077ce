"""Where keys and values stand in a TOML file: tomllib tells what, not where."""

from __future__ import annotations

import re
import tomllib

Place = tuple[str | int, ...]
"""The way to a value: ("steps", 2, "write", "path")."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACES = re.compile(r"[ \t]*")
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"""+|\'\'\'.*?\'\'\'+|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}\n#]+")


class Places:
    """The line of every key and every element of *text*, which tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Place, int] = {(): 1}
        self._counts: dict[Place, int] = {}
        self._document()

    def line(self, *place: str | int) -> int:
        """The line of *place*, or of the nearest thing around it that is written."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def _note(self, place: Place) -> None:
        self._lines.setdefault(place, self._text.count("\n", 0, self._at) + 1)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _document(self) -> None:
        table: Place = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                self._at += 2
                name = self._key(())
                self._at += 2
                number = self._counts[name] = self._counts.get(name, -1) + 1
                table = (*name, number)
                self._note(table)
            elif self._peek() == "[":
                self._at += 1
                table = self._key(())
                self._at += 1
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _key(self, table: Place) -> Place:
        """A key, dotted or not, below *table*."""
        place = self._resolved(table)
        while True:
            self._skip(_SPACES)
            raw = self._skip(_QUOTED)
            word = tomllib.loads(f"k = {raw}")["k"] if raw else self._skip(_BARE)
            place = self._resolved((*place, word))
            self._note(place)
            self._skip(_SPACES)
            if self._peek() != ".":
                return place
            self._at += 1

    def _resolved(self, place: Place) -> Place:
        """[a.b] below [[a]] means the last a."""
        number = self._counts.get(place)
        return place if number is None or self._text[self._at] == "]" else (*place, number)

    def _pair(self, table: Place) -> None:
        place = self._key(table)
        self._at += 1  # the equals sign
        self._skip(_SPACES)
        self._value(place)

    def _value(self, place: Place) -> None:
        self._note(place)
        if self._peek() == "{":
            self._items("}", place)
        elif self._peek() == "[":
            self._items("]", place)
        elif not self._skip(_QUOTED):
            self._skip(_PLAIN)

    def _items(self, end: str, place: Place) -> None:
        """The inside of an inline table or an array."""
        self._at += 1
        number = 0
        while True:
            self._skip(_BLANK)
            if self._peek() == end:
                break
            if end == "}":
                self._pair(place)
            else:
                self._value((*place, number))
                number += 1
            self._skip(_BLANK)
            if self._peek() == ",":
                self._at += 1
        self._at += 1
