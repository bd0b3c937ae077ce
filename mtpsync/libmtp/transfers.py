"""Files to and from a device, digested in the handlers that libmtp calls for each 16 KiB.

A handler never raises into C and never answers ERROR, which leaves the session out of step: what
goes wrong is kept, and the transfer cancelled. The end of the source before its size is such a
thing: libmtp would ask for the rest for ever.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mtpsync import errors
from mtpsync.libmtp import abi
from mtpsync.libmtp.session import Session
from mtpsync.models import ROOT

_PROGRESS_S = 0.1
_CLOSED_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
_NOT_BLOCKING = getattr(os, "O_NONBLOCK", 0)  # a pipe in the file's place would wait for its writer
_NO_PROGRESS = abi.ProgressFunction()  # NULL: the handlers know more than it would say

Tell = Callable[[int], None]
Stopped = Callable[[], bool]


class _Transfer:
    """What the handlers of one transfer share."""

    def __init__(self, size_bytes: int, tell: Tell, stopped: Stopped) -> None:
        self.size_bytes = size_bytes
        self.done_bytes = 0
        self.digest = hashlib.sha256()
        self.problem: BaseException | None = None
        self._tell = tell
        self._stopped = stopped
        self._next_s = time.monotonic() + _PROGRESS_S

    def account(self, buffer: Any, count: int) -> None:
        self.digest.update(buffer)
        self.done_bytes += count
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + _PROGRESS_S
            self._tell(self.done_bytes)

    def handler(self, step: Callable[[int, int, Any], None]) -> Any:
        """*step* for libmtp: what it raises is kept. The caller holds on to the result."""

        def call(_params: Any, _private: Any, length: int, data: int, done: Any) -> int:
            try:
                if self._stopped():
                    raise errors.Cancelled("stopped")
                step(length, data, done)
            except BaseException as problem:  # noqa: BLE001 (nothing may pass through C)
                self.problem = self.problem or problem
                return abi.HANDLER_CANCEL
            return abi.HANDLER_OK

        return abi.DataFunction(call)


def send(
    session: Session,
    *,
    storage: int,
    parent: int,
    name: str,
    path: str,
    size_bytes: int,
    tell: Tell,
    stopped: Stopped,
) -> tuple[dict[str, Any], errors.MtpSyncError | None, bool]:
    """Send a file: what is known of it, the error if any, and whether the session is lost.

    The first holds `id` (0: the device gave none), `bytes` that libmtp asked for, `sha256` of
    them, and `seen`: the object as the device describes it (None: it does not).

    Raises:
        SourceChanged: the file can't be read; nothing was asked of the device.
    """
    doing = f"sending {name!r}"
    with _source(path, size_bytes) as source:
        transfer = _Transfer(size_bytes, tell, stopped)

        def step(length: int, data: int, done: Any) -> None:
            done[0] = 0
            if not length:
                return
            count = min(length, size_bytes - transfer.done_bytes)
            if count <= 0:
                raise errors.DeviceError(f"{doing}: libmtp asked for more than the file")
            buffer = (ctypes.c_char * count).from_address(data)
            _fill(source, buffer, count, doing)
            transfer.account(buffer, count)
            done[0] = count

        session.begin()
        code, number = _send(session, storage, parent, name, size_bytes, transfer.handler(step))
    known = {
        "id": number,
        "bytes": transfer.done_bytes,
        "sha256": transfer.digest.hexdigest(),
        "seen": None,
    }
    if code == 0:
        known["seen"] = session.peek(number)
        return known, None, known["seen"] is None and not session.in_step()
    said = session.complaint()
    if transfer.problem is not None and (said.cancelled or not said.code):
        lost = not session.in_step()
        if not lost:
            _remove_part(session, number, name)
        return known, _own(transfer.problem, doing), lost
    error = said.error(doing, naming=True)
    if not number and not transfer.done_bytes:
        error = session.taken(error, storage, parent, name)
    return known, error, isinstance(error, errors.DeviceLost)


def _send(
    session: Session, storage: int, parent: int, name: str, size_bytes: int, handler: Any
) -> tuple[int, int]:
    mtp = session.mtp
    address = mtp.LIBMTP_new_file_t()
    if not address:
        raise errors.DeviceError("out of memory")
    try:
        file = abi.File.from_address(address)
        file.filename = session.library.libc.strdup(name.encode())  # destroy_file_t frees it
        file.filesize = size_bytes
        file.filetype = abi.FILETYPE_UNKNOWN  # any other may be sent elsewhere
        file.parent_id = parent or ROOT
        file.storage_id = storage
        code = mtp.LIBMTP_Send_File_From_Handler(
            session.device, handler, None, address, _NO_PROGRESS, None
        )
        return code, file.item_id
    finally:
        mtp.LIBMTP_destroy_file_t(address)


@contextmanager
def _source(path: str, size_bytes: int) -> Iterator[io.FileIO]:
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOT_BLOCKING | _CLOSED_ON_EXEC)
    except OSError as error:
        raise errors.SourceChanged(f"{path} can't be read: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise errors.SourceChanged(f"{path} is not a file any more")
        if found.st_size < size_bytes:
            raise errors.SourceChanged(
                f"{path} has {found.st_size} bytes, {size_bytes} were expected"
            )
        with io.FileIO(descriptor, closefd=False) as source:
            yield source
    finally:
        os.close(descriptor)


def _fill(source: io.FileIO, buffer: Any, count: int, doing: str) -> None:
    view, got = memoryview(buffer).cast("B"), 0
    while got < count:
        more = source.readinto(view[got:] if got else view)
        if not more:
            raise errors.SourceChanged(f"{doing}: the file became shorter")
        got += more


def _remove_part(session: Session, number: int, name: str) -> None:
    """Remove what a stopped transfer left, if the device did not."""
    if not number:
        return
    row = session.peek(number)
    if row is not None and row["name"] == name and not row["is_folder"]:
        session.mtp.LIBMTP_Delete_Object(session.device, number)
    session.begin()


def _own(problem: BaseException, doing: str) -> errors.MtpSyncError:
    if isinstance(problem, errors.Cancelled):
        return errors.Cancelled(f"{doing}: stopped")
    if isinstance(problem, errors.MtpSyncError):
        return problem
    if isinstance(problem, OSError):
        return errors.SourceChanged(f"{doing}: the file can't be read: {problem.strerror}")
    return errors.MtpSyncError(f"{doing}: {problem!r}")


def receive(
    session: Session,
    *,
    number: int,
    size_bytes: int,
    to: str | None,
    tell: Tell,
    stopped: Stopped,
) -> tuple[dict[str, Any], errors.MtpSyncError | OSError | None, bool]:
    """Read an object: `bytes` and their `sha256`, the error if any, whether the session is lost.

    Raises:
        OSError: *to* can't be made.
    """
    doing = f"reading object {number}"
    transfer = _Transfer(size_bytes, tell, stopped)
    with _target(to) as target:

        def step(length: int, data: int, done: Any) -> None:
            buffer = (ctypes.c_char * length).from_address(data)
            if transfer.done_bytes + length > size_bytes:
                raise errors.ContentChanged(f"{doing}: it has more than {size_bytes} bytes")
            if target is not None:
                _drain(target, buffer, length)
            transfer.account(buffer, length)
            done[0] = length

        session.begin()
        code = session.mtp.LIBMTP_Get_File_To_Handler(
            session.device, number, transfer.handler(step), None, _NO_PROGRESS, None
        )
    known = {"bytes": transfer.done_bytes, "sha256": transfer.digest.hexdigest()}
    if transfer.problem is not None:
        session.begin()
        lost = not session.in_step()
        if isinstance(transfer.problem, OSError):
            return known, transfer.problem, lost
        return known, _own(transfer.problem, doing), lost
    if code:
        error = _unread(session, doing, transfer.done_bytes)
        return known, error, isinstance(error, errors.DeviceLost)
    if transfer.done_bytes != size_bytes:
        short = f"{doing}: it ended after {transfer.done_bytes} of {size_bytes} bytes"
        return known, errors.ContentChanged(short), not session.in_step()
    return known, None, False


def _unread(session: Session, doing: str, done_bytes: int) -> errors.MtpSyncError:
    try:
        said = session.unread(doing)
    except errors.DeviceLost as lost:
        return lost
    if said.code is None and not done_bytes and "object info" in said.text:
        return errors.Missing(f"{doing}: the device does not describe it")
    if said.kind() is errors.DeviceLost:  # the session is in step: it was a refusal
        return errors.DeviceError(f"{doing}: the device refused ({said.text})")
    return said.error(doing)


@contextmanager
def _target(to: str | None) -> Iterator[io.FileIO | None]:
    if to is None:
        yield None
        return
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOSED_ON_EXEC, 0o666)
    with io.FileIO(descriptor, "w") as target:
        yield target


def _drain(target: io.FileIO, buffer: Any, count: int) -> None:
    view, done = memoryview(buffer).cast("B"), 0
    while done < count:
        more = target.write(view[done:] if done else view)
        if not more:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += more
