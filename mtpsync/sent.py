"""What is known of a file that was sent, and which object of its folder it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtpsync import errors
from mtpsync.models import RemoteObject


@dataclass(frozen=True, slots=True)
class Sent:
    """A file on its way, and what the worker knows of it."""

    storage: int
    parent: int
    name: str
    size_bytes: int
    place: tuple[int, int]  # of the device when it was sent
    known: dict[str, Any]

    @property
    def number(self) -> int:
        """The number that it got; 0: none."""
        return int(self.known.get("id", 0))

    @property
    def sha256(self) -> str:
        """Of the bytes that were handed over."""
        return str(self.known.get("sha256", ""))

    def as_told(self) -> bool:
        """Whether the device describes it as it was sent."""
        seen = self.known.get("seen")
        return bool(seen and seen["name"] == self.name and seen["size_bytes"] == self.size_bytes)

    def may_be_there(self, error: errors.MtpSyncError | OSError) -> bool:
        """Whether *error* leaves open that the device has all of it."""
        if isinstance(error, errors.Cancelled | errors.SourceChanged) or not self.number:
            return False
        return bool(self.known.get("bytes") == self.size_bytes)

    def among(self, rows: tuple[RemoteObject, ...], *, denied: bool) -> RemoteObject | None:
        """It, in its folder.

        By the number that it got; by its name only when nobody *denied* that it is there, as that
        may be an older object's.
        """
        for row in rows:
            if row.id == self.number:
                return row
        return next((row for row in rows if row.name == self.name and not denied), None)

    def is_surely(self, row: RemoteObject, rows: tuple[RemoteObject, ...]) -> bool:
        """Whether *row* is what was sent, under another name.

        Not when its number was a guess, as that of QEMU's device is: then it is beside it.
        """
        beside = any(one.name == self.name and one.size_bytes == self.size_bytes for one in rows)
        return row.size_bytes == self.size_bytes and not row.is_folder and not beside

    def is_settled(self, row: RemoteObject | None) -> bool:
        """Whether looking again won't change it."""
        return row is not None and (row.name != self.name or row.size_bytes == self.size_bytes)
