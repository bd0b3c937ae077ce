"""Directories of the spool: one *slot* a mount of a server, found again by the next one.

A slot belongs to a login on a server. While a process uses it, it holds the slot's lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pyftpdrive.base.files import make_directory

SLOTS_MAX = 32  # mounts of the same server and user at the same time
SERVER_NAME = "server.json"


@dataclass(frozen=True, slots=True)
class Slot:
    """A directory that this process holds."""

    directory: Path
    lock: FileLock

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self.directory.name

    def release(self) -> None:
        """Let others have it."""
        self.lock.release()


def _hold(directory: Path) -> Slot | None:
    lock = FileLock(directory / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return Slot(directory, lock)


def take(spool: Path, identity: str, server: str) -> Slot:
    """The first free slot of *identity* (a login on a server); *server*: as people write it.

    Raises:
        OSError: the local disk refused, or too many mounts run.
    """
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    make_directory(spool)
    for number in range(1, SLOTS_MAX + 1):
        directory = spool / (name if number == 1 else f"{name}-{number}")
        make_directory(directory)
        slot = _hold(directory)
        if slot is not None:
            (directory / SERVER_NAME).write_text(json.dumps({"server": server}), encoding="utf-8")
            return slot
    raise OSError(f"{SLOTS_MAX} mounts of this server are running already")


def left_by_others(spool: Path, mine: Slot) -> Iterator[Slot]:
    """The other slots of the same login that nobody uses, each held until the next is asked for."""
    name = mine.name.partition("-")[0]
    for directory in sorted(spool.glob(f"{name}*")):
        slot = None if directory == mine.directory else _hold(directory)
        if slot is not None:
            try:
                yield slot
            finally:
                slot.release()


def every(spool: Path) -> Iterator[tuple[str, Slot | None]]:
    """Each slot's server and the slot itself, held meanwhile; None: a mount uses it."""
    if not spool.is_dir():
        return
    for directory in sorted(spool.iterdir()):
        if not (directory / SERVER_NAME).exists():
            continue
        slot = _hold(directory)
        try:
            yield _server_of(directory), slot
        finally:
            if slot is not None:
                slot.release()


def _server_of(directory: Path) -> str:
    try:
        content = json.loads((directory / SERVER_NAME).read_text(encoding="utf-8"))
        return str(content["server"])
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown server"
