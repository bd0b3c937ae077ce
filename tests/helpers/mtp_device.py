"""A `Device` in memory, for tests of what stands above one: no overwriting, ids that don't last."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mtpsync.errors import ContentChanged, DeviceError, Missing, NameTaken, NotSupported
from mtpsync.models import (
    ROOT,
    Children,
    DeviceInfo,
    Progress,
    RemoteObject,
    StorageInfo,
    Transfer,
)

T = TypeVar("T")
STORAGE = 0x10001


class OpenedAgainError(DeviceError):
    """An error after which the device was opened again, silently: all ids are others."""


@dataclass(slots=True)
class Thing:
    """A file or folder."""

    parent: int
    name: str
    content: bytes | None  # None: a folder
    modified_s: int = 1


@dataclass
class MemoryDevice:
    """One storage. `faults`: operation, which call of it, before (False) or after it, what."""

    things: dict[int, Thing] = field(default_factory=dict)
    faults: list[tuple[str, int, bool, Exception]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    can_rename: bool = True
    free_bytes: int | None = 1 << 40
    object_bits: int = 64
    removable: bool = False
    read_only: bool = False
    undescribed: int = 0
    session: int = 1
    corrupt: Callable[[str, bytes], bytes] = lambda _name, content: content

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)
        self._clock = itertools.count(100)
        self.info = DeviceInfo(
            serial="S1",
            manufacturer="Test",
            model="Memory",
            friendly_name="",
            object_bits=self.object_bits,
            can_move=True,
            can_read_parts=True,
        )

    # -- the phone's user -------------------------------------------------------------------------

    def put(self, path: str, content: bytes | None) -> int:
        """Make *path* with the folders above it; one that exists is replaced."""
        parent = ROOT
        *folders, name = path.strip("/").split("/")
        for folder in folders:
            parent = self._child(parent, folder) or self._make(parent, folder, None)
        old = self._child(parent, name)
        if old is not None:
            del self.things[old]
        return self._make(parent, name, content)

    def tree(self) -> dict[str, bytes | None]:
        """Everything, by path."""
        return {self._path(each): thing.content for each, thing in self.things.items()}

    def files(self) -> dict[str, bytes]:
        """Files, by path."""
        return {path: content for path, content in self.tree().items() if content is not None}

    def count(self, operation: str) -> int:
        """How often it was called."""
        return self.calls.count(operation)

    # -- Device -----------------------------------------------------------------------------------

    def storages(self) -> tuple[StorageInfo, ...]:
        return (
            StorageInfo(
                id=STORAGE,
                label="Internal",
                volume="",
                capacity_bytes=1 << 40,
                free_bytes=self.free_bytes,
                free_objects=None,
                read_only=self.read_only,
                removable=self.removable,
            ),
        )

    def children(self, storage_id: int, parent_id: int) -> Children:
        return self._called(
            "children",
            lambda: Children(
                objects=tuple(
                    self._describe(each)
                    for each, thing in self.things.items()
                    if thing.parent == parent_id
                ),
                undescribed=self.undescribed,
            ),
        )

    def metadata(self, object_id: int) -> RemoteObject:
        return self._called("metadata", lambda: self._describe(object_id))

    def make_folder(self, storage_id: int, parent_id: int, name: str) -> int:
        return self._called("make_folder", lambda: self._new(parent_id, name, None))

    def send(
        self,
        storage_id: int,
        parent_id: int,
        name: str,
        source: Path,
        size_bytes: int,
        progress: Progress | None = None,
    ) -> Transfer:
        def send() -> Transfer:
            content = source.read_bytes()
            made = self._new(parent_id, name, self.corrupt(name, content))
            if progress is not None:
                progress(len(content))
            return Transfer(
                object_id=made, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
            )

        return self._called("send", send)

    def receive(
        self,
        object_id: int,
        size_bytes: int,
        *,
        to: Path | None = None,
        progress: Progress | None = None,
    ) -> Transfer:
        def receive() -> Transfer:
            content = self._thing(object_id).content or b""
            if len(content) != size_bytes:
                raise ContentChanged(f"{len(content)} bytes, not {size_bytes}")
            if to is not None:
                to.write_bytes(content)
            return Transfer(
                object_id=object_id,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )

        return self._called("receive", receive)

    def delete(self, object_id: int) -> None:
        def delete() -> None:
            self._thing(object_id)
            if any(thing.parent == object_id for thing in self.things.values()):
                raise DeviceError("it is not empty")
            del self.things[object_id]

        self._called("delete", delete)

    def rename(self, object_id: int, name: str) -> None:
        def rename() -> None:
            thing = self._thing(object_id)
            if not self.can_rename:
                raise NotSupported("2005")
            if self._child(thing.parent, name) is not None:
                raise NameTaken(name)
            thing.name = name

        self._called("rename", rename)

    def move(self, object_id: int, storage_id: int, parent_id: int) -> None:
        def move() -> None:
            self._thing(object_id).parent = parent_id

        self._called("move", move)

    def refresh(self) -> None:
        """All objects have other ids."""

        def refresh() -> None:
            self.session += 1
            new = {each: next(self._ids) for each in self.things}
            for thing in self.things.values():
                thing.parent = new.get(thing.parent, thing.parent)
            self.things = {new[each]: thing for each, thing in self.things.items()}

        self._called("refresh", refresh)

    def cancel(self) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """Nothing to end."""

    # -- inside -----------------------------------------------------------------------------------

    def _called(self, operation: str, work: Callable[[], T]) -> T:
        self.calls.append(operation)
        struck = [f for f in self.faults if f[:2] == (operation, self.count(operation))]
        for _operation, _nth, after, error in struck:
            if not after:
                self._raise(error)
        result = work()
        for *_address, error in struck:
            self._raise(error)
        return result

    def _raise(self, error: Exception) -> None:
        if isinstance(error, OpenedAgainError):
            self.refresh()
        raise error

    def _make(self, parent: int, name: str, content: bytes | None) -> int:
        made = next(self._ids)
        self.things[made] = Thing(parent, name, content, next(self._clock))
        return made

    def _new(self, parent: int, name: str, content: bytes | None) -> int:
        if parent != ROOT and parent not in self.things:
            raise Missing(f"{parent}")
        if self._child(parent, name) is not None:
            raise NameTaken(name)
        return self._make(parent, name, content)

    def _thing(self, object_id: int) -> Thing:
        if object_id not in self.things:
            raise Missing(str(object_id))
        return self.things[object_id]

    def _child(self, parent: int, name: str) -> int | None:
        found = (e for e, t in self.things.items() if t.parent == parent and t.name == name)
        return next(found, None)

    def _path(self, object_id: int) -> str:
        if object_id == ROOT:
            return ""
        thing = self.things[object_id]
        return f"{self._path(thing.parent)}/{thing.name}"

    def _describe(self, object_id: int) -> RemoteObject:
        thing = self._thing(object_id)
        return RemoteObject(
            id=object_id,
            parent_id=thing.parent,
            storage_id=STORAGE,
            name=thing.name,
            size_bytes=len(thing.content or b""),
            modified_s=thing.modified_s,
            is_folder=thing.content is None,
        )
