"""Brings one file to the device and proves it; finishes, or undoes, what an earlier run began.

    new        send under its name → read back → manifest
    replaced   send under a temporary name → read back → delete the old one → rename → manifest

What may be left by a cut is in the manifest before the device is changed. At no moment is neither
the old version nor the proven new one there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mtpsync.errors import (
    ContentChanged,
    DeviceError,
    DeviceLost,
    NameRefused,
    NameTaken,
    NotSupported,
    SourceChanged,
)
from mtpsync.manifest import Manifest, Proof, Replacing
from mtpsync.models import Device, FileNode, RemoteObject, StorageInfo, Transfer
from mtpsync.rates import READ, SEND, Meter
from mtpsync.scan import SourceFile

log = logging.getLogger(__name__)

TEMPORARY_PREFIX = "~mtpsync-"
"""How names begin that only this program makes on a device."""

LOOK_AGAIN_S = 10.0
LOOK_AGAIN_TIMES = 20  # as long as the last look took: so it is a small part of all

Step = Callable[[str, str, int], None]
"""Told a path, what happens to it ("send", "check") and the bytes so far."""


def temporary_name(name: str) -> str:
    """With the same ending: some devices decide by it what they take."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(4)}{Path(name).suffix[:16]}"


class RefusedAndReplaced(DeviceLost):
    """The device refused one file, and was opened again to see what it has of it."""


@dataclass(slots=True)
class _Look:
    """The names in a folder."""

    names: set[str]
    until_s: float  # after that it is old


class Delivery:
    """Delivers into one storage of an open device."""

    def __init__(
        self,
        device: Device,
        storage: StorageInfo,
        manifest: Manifest,
        *,
        tell: Step = lambda _path, _what, _bytes: None,
        read_back: bool = True,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._looks: dict[tuple[object, int], _Look] = {}  # by session and folder
        self._device = device
        self._storage = storage
        self._manifest = manifest
        self._tell = tell
        self._read_back = read_back  # False: sizes only are compared, and nothing is proven

    def deliver(
        self, path: str, file: SourceFile, folder_id: int, there: FileNode | None
    ) -> FileNode:
        """Bring *file* to *path* (absolute on the storage), over *there* if it is a file.

        Raises:
            DeviceError: not done. What was there before is there, or is in the manifest.
            DeviceLost: not known; `settle` first when the device is back.
        """
        name = path.rpartition("/")[2]
        if there is None:
            return self._send_new(path, name, file, folder_id)
        return self._replace(path, name, file, folder_id, there)

    def _send_new(self, path: str, name: str, file: SourceFile, folder_id: int) -> FileNode:
        look = self._look(folder_id, name)
        if name in look.names:
            raise NameTaken(f"{path}: was made on the device meanwhile")
        self._manifest.begin(
            Replacing(path=path, temporary=name, size=file.size_bytes, sha256="", state="sending")
        )
        sent = self._send(path, name, file, folder_id)
        node = self._proven(path, name, file, sent)
        self._manifest.end(path)
        look.names.add(name)
        return node

    def _look(self, folder_id: int, name: str) -> _Look:
        """What the folder has, as of a moment ago; as of now when *name* seems to be there.

        Listing costs a question for each object: before each new file, a thousand files in a
        folder would cost half a million of them.
        """
        place = (self._device.session, folder_id)
        look = self._looks.get(place)
        if look is None or name in look.names or time.monotonic() >= look.until_s:
            begin_s = time.monotonic()
            found = self._device.children(self._storage.id, folder_id).objects
            end_s = time.monotonic()
            until_s = end_s + max(LOOK_AGAIN_S, LOOK_AGAIN_TIMES * (end_s - begin_s))
            look = self._looks[place] = _Look({entry.name for entry in found}, until_s)
        return look

    def _replace(
        self, path: str, name: str, file: SourceFile, folder_id: int, there: FileNode
    ) -> FileNode:
        step = Replacing(
            path=path,
            temporary=temporary_name(name),
            size=file.size_bytes,
            sha256="",
            state="sending",
        )
        self._manifest.begin(step)
        sent = self._send(path, step.temporary, file, folder_id)
        self._check_back(path, sent)
        step = replace(step, sha256=sent.sha256, state="proven")
        self._manifest.begin(step)
        self._device.delete(there.id)
        self._manifest.forget(path)
        try:
            self._device.rename(sent.object_id, name)
        except (NotSupported, NameRefused) as error:
            log.info("%s: can't be renamed on the device, and is sent again: %s", path, error)
            try:
                again = self._send(path, name, file, folder_id)
                self._check_back(path, again)
            except DeviceError:
                self._manifest.begin(step)  # the proven version is there, under the other name
                raise
            self._device.delete(sent.object_id)
            sent = again
        node = self._proven(path, name, file, sent, check=False)
        self._manifest.end(path)
        return node

    def _require(self, session: int, error: Exception | None = None) -> None:
        """Refuse to go on with ids of another session: they may be other objects' by now.

        Raises:
            DeviceLost: look again.
        """
        if self._device.session != session:
            if error is not None:
                raise RefusedAndReplaced(str(error)) from error
            raise DeviceLost("the device was opened again meanwhile")

    def _send(self, path: str, name: str, file: SourceFile, folder_id: int) -> Transfer:
        """Send under *name*; what of it is left after a failure is removed."""
        session = self._device.session
        try:
            with self._meter.timing(SEND, file.size_bytes):
                sent = self._device.send(
                    self._storage.id,
                    folder_id,
                    name,
                    file.path,
                    file.size_bytes,
                    lambda done: self._tell(path, "send", done),
                )
            _require_unchanged(file)
        except DeviceError as error:
            self._require(session, error)
            self._clean(path, folder_id, name)
            raise
        self._require(session)
        return sent

    def _clean(self, path: str, folder_id: int, name: str) -> None:
        """After a send that failed: no part of it stays under *name*."""
        try:
            left = self._named(folder_id, name)
            if left is not None:
                self._device.delete(left.id)
            self._manifest.end(path)
        except DeviceError as error:  # the next run finds it in the manifest
            log.warning("%s: a part of it may be left as %s: %s", path, name, error)

    def _check_back(self, path: str, sent: Transfer) -> None:
        """Read it back; without checksums look at its size.

        Raises:
            ContentChanged: the device has other bytes; they are removed.
        """
        problem, session = "", self._device.session
        try:
            if self._read_back:
                with self._meter.timing(READ, sent.size_bytes):
                    back = self._device.receive(
                        sent.object_id,
                        sent.size_bytes,
                        progress=lambda done: self._tell(path, "check", done),
                    )
                if back.sha256 != sent.sha256:
                    problem = "the device has other bytes than were sent"
            else:
                there = self._device.metadata(sent.object_id).size_bytes
                if there != sent.size_bytes:
                    problem = f"the device has {there} of {sent.size_bytes} bytes"
        except ContentChanged as error:
            problem = str(error)
        self._require(session)
        if problem:
            self._device.delete(sent.object_id)
            self._manifest.end(path)
            raise ContentChanged(f"{path}: {problem}")

    def _proven(
        self, path: str, name: str, file: SourceFile, sent: Transfer, *, check: bool = True
    ) -> FileNode:
        """Note the proof; the node as the device describes it now."""
        if check:
            self._check_back(path, sent)
        found = self._device.metadata(sent.object_id)
        if found.name != name:
            raise NameRefused(f"{path}: the device calls it {found.name!r}")
        if self._read_back:
            self._manifest.prove(
                Proof(
                    path=path,
                    source_size=file.size_bytes,
                    source_ns=file.modified_ns,
                    remote_s=found.modified_s,
                    sha256=sent.sha256,
                )
            )
        return FileNode(sent.object_id, sent.size_bytes, found.modified_s)

    def _named(self, folder_id: int, name: str) -> RemoteObject | None:
        found = self._device.children(self._storage.id, folder_id).objects
        return next((entry for entry in found if entry.name == name), None)

    # -- what earlier runs began ------------------------------------------------------------------

    def settle(self, step: Replacing, folder_id: int | None, source: Path) -> str:
        """Finish or undo *step*; what was done, in words. *folder_id* None: its folder is gone.

        *source*: the local file that was being sent.

        Raises:
            DeviceError: not settled; the manifest keeps it.
        """
        done = "nothing of it is left"
        if folder_id is not None:
            done = self._settle_in(step, folder_id, source)
        self._manifest.end(step.path)
        log.info("%s: an earlier run was cut: %s", step.path, done)
        return done

    def _settle_in(self, step: Replacing, folder_id: int, source: Path) -> str:
        name, session = step.path.rpartition("/")[2], self._device.session
        temporary = self._named(folder_id, step.temporary)
        if step.temporary == name:  # it was new: whole or not at all
            if temporary is None:
                return "nothing of it is left"
            if not self._is_a_part(temporary, step, source):
                return "what has its name is compared like any other file"
            self._require(session)
            self._device.delete(temporary.id)
            self._manifest.forget(step.path)
            return "what was sent of it is removed"
        target = self._named(folder_id, name)
        if temporary is None:
            return "the version that is there is whole"
        proven = step.state == "proven" and self._still_proven(step, temporary)
        self._require(session)
        if not proven:
            if target is None:
                return f"it can't be finished; what there is of it is called {step.temporary}"
            self._device.delete(temporary.id)
            return "the version before is there; the new one is removed"
        if target is not None:
            self._device.delete(target.id)
        self._manifest.forget(step.path)
        try:
            self._device.rename(temporary.id, name)
        except (NotSupported, NameRefused) as error:
            log.info("%s: can't be renamed on the device, and is copied: %s", step.path, error)
            self._copy(step, temporary, folder_id, name)
        return "finished"

    def _copy(self, step: Replacing, temporary: RemoteObject, folder_id: int, name: str) -> None:
        """The proven version under its name, by way of this computer."""
        session = self._device.session
        with tempfile.TemporaryDirectory(prefix="mtpsync-") as folder:
            local = Path(folder) / "copy"
            got = self._device.receive(temporary.id, step.size, to=local)
            if got.sha256 != step.sha256:
                raise ContentChanged(f"{step.path}: {step.temporary} can't be read twice alike")
            self._require(session)
            sent = self._device.send(self._storage.id, folder_id, name, local, step.size)
        self._require(session)
        try:
            self._check_back(step.path, sent)
        except DeviceError:
            self._manifest.begin(step)  # the proven version is there, under the other name
            raise
        self._device.delete(temporary.id)

    def _is_a_part(self, found: RemoteObject, step: Replacing, source: Path) -> bool:
        """Whether *found* is what a cut left, and not what somebody else put there since."""
        if found.size_bytes >= step.size:
            return False
        try:
            back = self._device.receive(found.id, found.size_bytes)
            with source.open("rb") as stream:
                begin = hashlib.sha256(stream.read(found.size_bytes)).hexdigest()
        except (ContentChanged, OSError):
            return False
        return back.sha256 == begin

    def _still_proven(self, step: Replacing, temporary: RemoteObject) -> bool:
        """Read it again: the device was without us since."""
        try:
            back = self._device.receive(temporary.id, step.size)
        except ContentChanged:
            return False
        return back.sha256 == step.sha256


def _require_unchanged(file: SourceFile) -> None:
    """Refuse a file that was written to while it was sent.

    Raises:
        SourceChanged: it was.
    """
    try:
        now = os.stat(file.path, follow_symlinks=False)
    except OSError as error:
        raise SourceChanged(f"{file.path}: {error.strerror}") from error
    if (now.st_size, now.st_mtime_ns) != (file.size_bytes, file.modified_ns):
        raise SourceChanged(f"{file.path}: was written to while it was sent")
