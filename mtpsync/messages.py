"""What the worker and its parent say to each other: JSON objects, each behind its length.

    request    {"n": 7, "do": "children", "with": {…}}
    on the way {"n": 7, "bytes": 65536}              progress of a transfer, at most 10 a second
               {"n": 7, "rows": [[…], …]}            a part of a list
    the end    {"n": 7, "done": {…}}
               {"n": 7, "failed": {"kind": "Missing", "text": …, "remedy": …, "lost": false}}

`lost`: whatever the error is, the session with the device is of no use any more. Names may hold
octets that aren't UTF-8, as `surrogateescape` writes them. No message is longer than MESSAGE_MAX.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

from mtpsync import errors

MESSAGE_MAX = 1 << 20
ROWS_MAX = 100  # of a list in one message: below MESSAGE_MAX whatever their names are
NAME_MAX = 512  # MTP's have 255 UTF-16 units at most; a device with longer names has none for us

_LENGTH = struct.Struct("!I")
_KINDS: dict[str, type[errors.MtpSyncError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.MtpSyncError)
}

Message = dict[str, Any]


class BrokenMessage(Exception):
    """What came is not a message: too long, not JSON, not an object."""


def encoded(message: Message) -> bytes:
    """*message* as it travels.

    Raises:
        BrokenMessage: it is longer than MESSAGE_MAX.
    """
    text = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(text) > MESSAGE_MAX:
        raise BrokenMessage(f"a message of {len(text)} bytes")
    return _LENGTH.pack(len(text)) + text


class Messages:
    """Octets in, messages out."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def feed(self, octets: bytes) -> Iterator[Message]:
        """The messages that are complete with *octets*.

        Raises:
            BrokenMessage: nothing that comes later can be understood.
        """
        self._octets += octets
        while len(self._octets) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._octets)
            if length > MESSAGE_MAX:
                raise BrokenMessage(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._octets) < end:
                return
            text = bytes(self._octets[_LENGTH.size : end])
            del self._octets[:end]
            yield _decoded(text)


def _decoded(text: bytes) -> Message:
    try:
        message = json.loads(text)
    except ValueError as wrong:
        raise BrokenMessage("not JSON") from wrong
    if not isinstance(message, dict):
        raise BrokenMessage("not an object")
    return message


def failure(error: errors.MtpSyncError | OSError, *, lost: bool = False) -> Message:
    """An error as a message carries it."""
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        return {"kind": "OSError", "text": text, "errno": error.errno or 0, "lost": lost}
    return {
        "kind": type(error).__name__,
        "text": str(error),
        "remedy": error.remedy,
        "lost": lost or isinstance(error, errors.DeviceLost),
    }


def raised(failed: Message) -> errors.MtpSyncError | OSError:
    """The error that a message carries.

    Raises:
        BrokenMessage: there is no such error.
    """
    kind, text = failed.get("kind"), str(failed.get("text"))
    if kind == "OSError":
        return OSError(failed.get("errno"), text)
    if kind not in _KINDS:
        raise BrokenMessage(f"an error of the kind {kind!r}")
    return _KINDS[kind](text, remedy=str(failed.get("remedy", "")))
