"""A password that can't be printed by accident."""

from __future__ import annotations

from pyftpdrive.base.text import masked


class Secret:
    """Holds text that must never reach a log, a repr, a status or an argument list."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; call only where it is sent to the server."""
        return self._text

    def mask(self, text: str) -> str:
        """*text* without the secret; see `masked`."""
        return masked(text, self._text)

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a Secret can't be pickled")
