"""An MTP device: `models.Device` over libmtp in a process of its own.

    for found in list_devices(): …
    device = open_device("1A2B3C")
    device.children(device.storages()[0].id, ROOT)

A call that hangs, crashes or leaves the session out of step ends the worker. Another one is
started, which looks for the device by its serial number, and the call raises DeviceLost: numbers of
objects and storages may mean others now. When the device isn't there, every further call says so
at once, until `refresh` finds it. A session is never repaired, only replaced together with its
process: that cures a leaked claim, too.

Listing: libmtp before 1.1.21 leaves out objects that a device fails to describe, and nobody can
tell. `Children.undescribed` is None then. A folder that seems empty was listed twice. Whoever wants
to remove something because it is missing in a list calls `refresh` and lists again first.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtpsync import attached, errors
from mtpsync.attached import REPLUG, Attached, LibraryInfo
from mtpsync.libmtp import loader
from mtpsync.messages import Message, raised
from mtpsync.models import (
    ROOT,
    Children,
    DeviceInfo,
    Progress,
    RemoteObject,
    StorageInfo,
    Transfer,
)
from mtpsync.process import Hear, WorkerLost, WorkerProcess
from mtpsync.sent import Sent
from mtpsync.utils import names

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what. libmtp's own patience is 20 s, 60 s with Android."""

    open_s: float = 90.0  # it may reset the device once
    call_s: float = 75.0
    listing_s: float = 600.0  # one folder is one call for old libmtps: 3 minutes have been seen
    counted_listing_s: float = 75.0  # between two objects of a folder
    transfer_s: float = 75.0  # without a byte, and for the answer behind the last one
    close_s: float = 3.0
    busy_pauses_s: tuple[float, ...] = (0.3, 0.7)  # between attempts at opening
    reopen_pauses_s: tuple[float, ...] = (0.3, 0.7, 1.5, 2.5)  # it may come back under a new number
    settle_pauses_s: tuple[float, ...] = (0.0, 0.5, 1.5)  # until it knows what it was sent


PATIENCE = Patience()


def list_devices(patience: Patience = PATIENCE) -> tuple[Attached, ...]:
    """What is attached. Each is opened for a moment, unless somebody else has it.

    Raises:
        DeviceUnavailable: there is no libmtp, or it can't look.
    """
    return look(patience)[1]


def look(patience: Patience = PATIENCE) -> tuple[LibraryInfo, tuple[Attached, ...]]:
    """The libmtp in use, and `list_devices`.

    Raises:
        DeviceUnavailable: there is no libmtp, or it can't look.
    """
    loader.supported()
    with contextlib.closing(WorkerProcess()) as worker:
        answer = attached.asked(worker, "devices", patience.open_s)
    found = tuple(attached.described(one) for one in answer["devices"])
    return LibraryInfo(**answer["library"]), found


def open_device(serial: str | None = None, patience: Patience = PATIENCE) -> MtpDevice:
    """The device with that serial number; None: the only one.

    Raises:
        NoDevice: it is not attached.
        DeviceUnavailable: it can't be opened; the message says who has it, the remedy what to do.
        UsageError: there are several.
    """
    return MtpDevice(serial, patience)


class MtpDevice:
    """`models.Device`. One call at a time: others wait; `cancel` doesn't."""

    def __init__(self, serial: str | None, patience: Patience = PATIENCE) -> None:
        """See `open_device`."""
        self._lock = threading.RLock()
        self._patience = patience
        self._worker: WorkerProcess | None = None
        self._place: tuple[int, int] = (0, 0)
        self._why_not = "the device is closed"
        self._counts = False
        self.session = 0
        self._open(serial, patience.busy_pauses_s, (attached.Again,))

    # -- sessions ------------------------------------------------------------------------------

    def _open(
        self,
        serial: str | None,
        pauses_s: tuple[float, ...],
        again: tuple[type[errors.MtpSyncError], ...],
    ) -> None:
        """A new worker with the device open; after the errors *again* it is tried again."""
        for pause_s in (*pauses_s, None):
            try:
                self._open_once(serial)
            except errors.MtpSyncError as error:
                if pause_s is None or not isinstance(error, again):
                    raise
                log.debug("opening again in %.1f s: %s", pause_s, error)
                time.sleep(pause_s)
            else:
                return

    def _open_once(self, serial: str | None) -> None:
        loader.supported()
        worker = WorkerProcess()
        try:
            answer = attached.asked(worker, "open", self._patience.open_s, serial=serial)
            if answer["info"] is None:
                raise attached.unopened(serial, answer)
            info = DeviceInfo(**answer["info"])
            place = answer["device"]["bus"], answer["device"]["number"]
        except BaseException:
            worker.close()
            raise
        self.info = info
        self._place = place
        self._counts = bool(answer["counts"])
        self._worker = worker
        self.session += 1

    def _reopen(self) -> str:
        """After a loss: how it stands now, for a sentence's end."""
        self._drop("the device was lost")
        try:
            self._open(
                self.info.serial,
                self._patience.reopen_pauses_s,
                (errors.NoDevice, errors.DeviceUnavailable),
            )
        except errors.NoDevice:
            self._why_not = "the device is not attached any more"
            return "it is not attached any more"
        except errors.MtpSyncError as error:
            self._why_not = f"the device can't be opened again: {error}"
            return f"it can't be opened again: {error}"
        return "it was opened again"

    def _drop(self, why: str) -> None:
        worker, self._worker = self._worker, None
        self._why_not = why
        if worker is not None:
            worker.close()

    def refresh(self) -> None:
        """See `models.Device`."""
        with self._lock:
            worker, self._worker = self._worker, None
            self._why_not = "the device was lost"
            if worker is not None:
                try:
                    worker.end(self._patience.close_s)
                finally:
                    worker.close()
            how = self._reopen()
            if self._worker is None:
                raise errors.DeviceLost(f"no fresh session: {how}", remedy=REPLUG)

    def close(self) -> None:
        """See `models.Device`."""
        with self._lock:
            worker, self._worker = self._worker, None
            self._why_not = "the device is closed"
            if worker is not None:
                try:
                    worker.end(self._patience.close_s)
                finally:
                    worker.close()

    def cancel(self) -> None:
        """See `models.Device`."""
        worker = self._worker
        if worker is not None:
            worker.cancel()

    # -- asking --------------------------------------------------------------------------------

    def _ask(
        self, doing: str, do: str, silence_s: float, hear: Hear | None = None, /, **what: Any
    ) -> Message:
        """What was done.

        Raises:
            DeviceLost: see the module.
            MtpSyncError: what the worker says.
            OSError: of a local file that is written.
        """
        answer = self._answer(doing, do, silence_s, hear, what)
        if "failed" in answer:
            raise self._settled(doing, answer)
        done: Message = answer["done"]
        return done

    def _answer(
        self, doing: str, do: str, silence_s: float, hear: Hear | None, what: dict[str, Any]
    ) -> Message:
        if self._worker is None:
            raise errors.DeviceLost(self._why_not, remedy=REPLUG)
        try:
            return self._worker.ask(do, silence_s, hear, what)
        except WorkerLost as lost:
            log.warning("%s: %s; libmtp's last words: %s", doing, lost, lost.words[-500:])
            raise self._lost(f"{doing}: {lost}") from lost
        except BaseException:  # Ctrl+C, or the caller's progress: an answer is still to come
            self._drop("a call was interrupted")
            raise

    def _lost(self, what: str) -> errors.DeviceLost:
        how = self._reopen()
        remedy = "" if self._worker is not None else REPLUG
        return errors.DeviceLost(f"{what}; {how}", remedy=remedy)

    def _settled(self, doing: str, answer: Message) -> errors.MtpSyncError | OSError:
        """The error in an answer, after a session that is lost was replaced."""
        failed = answer["failed"]
        if "trace" in answer:
            log.error("%s: a defect of mtpsync:\n%s", doing, answer["trace"])
        error = raised(failed)
        if not failed["lost"]:
            return error
        if isinstance(error, errors.DeviceLost):
            return self._lost(str(error))
        place, how = self._place, self._reopen()
        log.warning("%s: %s; the session was lost with it: %s", doing, error, how)
        if self._place != place and not isinstance(error, errors.Cancelled):
            # Numbers of objects may be others now; the caller must know.
            return errors.DeviceLost(f"{error}; it came back under another address")
        return error

    # -- looking -------------------------------------------------------------------------------

    def storages(self) -> tuple[StorageInfo, ...]:
        """See `models.Device`."""
        with self._lock:
            done = self._ask("asking for the storages", "storages", self._patience.call_s)
        return tuple(StorageInfo(**one) for one in done["storages"])

    def children(self, storage_id: int, parent_id: int) -> Children:
        """See `models.Device`, and the module about `undescribed`."""
        rows: list[RemoteObject] = []

        def hear(message: Message) -> None:
            rows.extend(RemoteObject(**_row(row)) for row in message.get("rows", ()))

        silence_s = self._patience.counted_listing_s if self._counts else self._patience.listing_s
        with self._lock:
            done = self._ask(
                f"listing folder {parent_id:#x}", "children", silence_s, hear,
                storage=storage_id, parent=parent_id,
            )  # fmt: skip
        return Children(objects=tuple(rows), undescribed=done["undescribed"])

    def metadata(self, object_id: int) -> RemoteObject:
        """See `models.Device`. The parent is what the device says, ROOT for 0."""
        with self._lock:
            done = self._ask(
                f"asking for object {object_id}",
                "metadata",
                self._patience.call_s,
                number=object_id,
            )
        return RemoteObject(**done["row"])

    # -- changing ------------------------------------------------------------------------------

    def make_folder(self, storage_id: int, parent_id: int, name: str) -> int:
        """See `models.Device`."""
        _must_be_name(name)
        with self._lock:
            done = self._ask(
                f"making folder {name!r}", "make_folder", self._patience.call_s,
                storage=storage_id, parent=parent_id, name=name,
            )  # fmt: skip
        return int(done["id"])

    def delete(self, object_id: int) -> None:
        """See `models.Device`."""
        with self._lock:
            self._ask(
                f"deleting object {object_id}", "delete", self._patience.call_s, number=object_id
            )

    def rename(self, object_id: int, name: str) -> None:
        """See `models.Device`."""
        _must_be_name(name)
        with self._lock:
            self._ask(
                f"renaming object {object_id}", "rename", self._patience.call_s,
                number=object_id, name=name,
            )  # fmt: skip

    def move(self, object_id: int, storage_id: int, parent_id: int) -> None:
        """See `models.Device`."""
        with self._lock:
            self._ask(
                f"moving object {object_id}", "move", self._patience.call_s,
                number=object_id, storage=storage_id, parent=parent_id,
            )  # fmt: skip

    # -- transfers -----------------------------------------------------------------------------

    def send(
        self,
        storage_id: int,
        parent_id: int,
        name: str,
        source: Path,
        size_bytes: int,
        progress: Progress | None = None,
    ) -> Transfer:
        """See `models.Device`.

        That libmtp says no means little once it took all bytes: the folder is listed, and a file
        that is there, whole and under its name, was sent. One that is there in another way is
        looked at again in fresh sessions: the device may need a moment, and libmtp remembers sizes.
        """
        _must_be_name(name)
        doing = f"sending {name!r}"
        with self._lock:
            place = self._place
            answer = self._answer(
                doing, "send", self._patience.transfer_s, _progress(progress),
                {
                    "storage": storage_id, "parent": parent_id, "name": name,
                    "path": str(source.absolute()), "size_bytes": size_bytes,
                },
            )  # fmt: skip
            known = answer.get("known") or answer.get("done") or {}
            sent = Sent(storage_id, parent_id or ROOT, name, size_bytes, place, known)
            error = self._settled(doing, answer) if "failed" in answer else None
            if error is not None and (self._worker is None or not sent.may_be_there(error)):
                raise error
            number = sent.number if error is None and sent.as_told() else self._found(sent, error)
        if progress is not None:
            progress(size_bytes)
        return Transfer(object_id=number, size_bytes=size_bytes, sha256=sent.sha256)

    def _found(self, sent: Sent, error: errors.MtpSyncError | OSError | None) -> int:
        """The number of what was sent, which the device doesn't describe as it should, or denies.

        Raises:
            NameRefused, ContentChanged: it is there in another way.
            DeviceLost: the device came back under another address meanwhile.
            MtpSyncError: *error*; it isn't there.
        """
        row: RemoteObject | None = None
        rows: tuple[RemoteObject, ...] = ()
        for look, pause_s in enumerate(self._patience.settle_pauses_s):
            time.sleep(pause_s)
            if look:  # new objects show in any session; what is known of them may be old
                self.refresh()
            if self._place != sent.place:
                raise errors.DeviceLost(
                    f"sending {sent.name!r}: the device came back under another address"
                ) from error
            rows = self.children(sent.storage, sent.parent).objects
            row = sent.among(rows, denied=bool(error))
            if sent.is_settled(row) or (row is None and error is not None):
                break
        if row is None:
            raise error or errors.ContentChanged(
                f"sending {sent.name!r}: the device says done, and does not have it"
            )
        if row.name != sent.name:
            if sent.is_surely(row, rows):
                self.delete(row.id)
            raise errors.NameRefused(f"the device called {sent.name!r} {row.name!r}")
        if row.size_bytes != sent.size_bytes:
            raise error or errors.ContentChanged(
                f"the device has {row.size_bytes} of the {sent.size_bytes} bytes of {sent.name!r}"
            )
        log.info("sending %r: it is there, whole; libmtp said: %s", sent.name, error)
        return row.id

    def receive(
        self,
        object_id: int,
        size_bytes: int,
        *,
        to: Path | None = None,
        progress: Progress | None = None,
    ) -> Transfer:
        """See `models.Device`. *to* appears when all of it is there, and replaces what was there.

        Raises:
            OSError: *to* can't be written.
        """
        part = None if to is None else to.absolute().with_name(f".mtpsync-{secrets.token_hex(8)}")
        try:
            with self._lock:
                done = self._ask(
                    f"reading object {object_id}", "receive", self._patience.transfer_s,
                    _progress(progress), number=object_id, size_bytes=size_bytes,
                    to=None if part is None else str(part),
                )  # fmt: skip
            if part is not None and to is not None:
                part.replace(to)
        finally:
            if part is not None:
                with contextlib.suppress(OSError):
                    part.unlink()
        if progress is not None:
            progress(size_bytes)
        return Transfer(object_id=object_id, size_bytes=done["bytes"], sha256=done["sha256"])


_ROW = ("id", "parent_id", "storage_id", "name", "size_bytes", "modified_s", "is_folder")


def _row(values: list[Any]) -> dict[str, Any]:
    return dict(zip(_ROW, values, strict=True))


def _progress(progress: Progress | None) -> Hear | None:
    if progress is None:
        return None
    told: Callable[[int], None] = progress

    def hear(message: Message) -> None:
        if "bytes" in message:
            told(message["bytes"])

    return hear


def _must_be_name(name: str) -> None:
    why = names.refusal(name)
    if why is not None:
        raise errors.NameRefused(why)
