"""The process that owns libmtp: `python -m mtpsync.worker MESSAGES CONTROL`, two descriptors.

libmtp may hang, crash, leak the device's claim and print on descriptors 1 and 2. Here it can: those
two are a file of the parent's, and the parent ends this process when it has enough of it. Requests
are done one after the other by the main thread, the only one that uses libmtp. A second thread
listens on CONTROL: for the number of a request that is to be stopped, which a transfer's handler
sees at its next chunk, and for the end of the parent, which ends this process even while libmtp
hangs.

Events: some devices (uMTP-Responder) stop answering for 40 s when nobody reads their interrupt
endpoint. For those of DRAINED a third thread reads and drops events. That is the one use of libmtp
beside the main thread: `LIBMTP_Read_Event` touches nothing but that endpoint, whose reading libusb
allows beside transfers; only the release of the device races with it, so such a device is not
released: its session is closed, and the end of this process gives the interface back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from mtpsync import errors
from mtpsync.libmtp import abi, loader, transfers
from mtpsync.libmtp.session import Row, Session
from mtpsync.messages import BrokenMessage, Message, Messages, encoded, failure

DRAINED = frozenset({(0x1D6B, 0x0100)})  # vendor and product ids
CONTROL = struct.Struct("!Q")
_NOISE_MAX = 2000
_TRACE_MAX = 4000
_LOG, _LOG_MAX = 1, 1 << 16

Result = dict[str, Any]


class Control:
    """What the parent wants beside the queue."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.stopped = 0  # the last request that is to be stopped

    def watch(self) -> None:
        """Until the parent is gone; then this process is, too."""
        octets = b""
        with contextlib.suppress(OSError):
            while more := self._line.recv(256):
                octets += more
                while len(octets) >= CONTROL.size:
                    self.stopped = max(self.stopped, CONTROL.unpack_from(octets)[0])
                    octets = octets[CONTROL.size :]
        os._exit(0)


class Failed(Exception):
    """A request failed: the error, what is known all the same, whether the session is lost."""

    def __init__(
        self, error: errors.MtpSyncError | OSError, *, lost: bool, known: Result | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.lost = lost
        self.known = known


class Worker:
    """Does what it is asked for."""

    def __init__(self, line: socket.socket, control: Control) -> None:
        self._line = line
        self._control = control
        self._number = 0
        self._library: loader.Library | None = None
        self._session: Session | None = None
        self._drained = False
        self._does: dict[str, Callable[..., Result]] = {
            "devices": self._devices,
            "open": self._open,
            "storages": lambda: {"storages": self._with().storages()},
            "children": self._children,
            "metadata": lambda **what: {"row": self._with().metadata(**what)},
            "make_folder": lambda **what: self._with().make_folder(**what),
            "delete": self._delete,
            "rename": self._rename,
            "move": self._move,
            "send": self._send,
            "receive": self._receive,
            "close": self._close,
        }

    def run(self) -> None:
        """Until the parent is gone, or asks for the end."""
        messages = Messages()
        while octets := self._line.recv(1 << 16):
            for request in messages.feed(octets):
                self._number = request["n"]
                answer = self._answer(request)
                self._quiet()
                self._tell(**answer)
                if request["do"] == "close":
                    return

    def _answer(self, request: Message) -> Message:
        try:
            return {"done": self._does[request["do"]](**request["with"])}
        except Failed as failed:
            told = failure(failed.error, lost=failed.lost)
            return {"failed": told, "known": failed.known}
        except (errors.MtpSyncError, OSError) as error:
            return {"failed": failure(error)}
        except Exception as error:  # noqa: BLE001 (the worker's loop: the parent decides)
            told = failure(errors.MtpSyncError(f"{request['do']}: {error!r}"))
            return {"failed": told, "trace": traceback.format_exc()[-_TRACE_MAX:]}

    def _tell(self, **message: Any) -> None:
        self._line.sendall(encoded({"n": self._number, **message}))

    # -- what libmtp prints --------------------------------------------------------------------

    def _noise(self) -> str:
        """The last of it."""
        if self._library is not None:
            self._library.libc.fflush(None)
        with contextlib.suppress(OSError):
            size = os.lseek(_LOG, 0, os.SEEK_END)
            os.lseek(_LOG, max(0, size - _NOISE_MAX), os.SEEK_SET)
            text = os.read(_LOG, _NOISE_MAX)  # to the end, where the next words go
            return text.decode("utf-8", "replace")
        return ""

    def _quiet(self, most: int = _LOG_MAX) -> None:
        """Keep the file small: it is for the last words before a crash."""
        if self._library is not None:
            self._library.libc.fflush(None)
        with contextlib.suppress(OSError):
            if os.fstat(_LOG).st_size > most:
                os.ftruncate(_LOG, 0)
                os.lseek(_LOG, 0, os.SEEK_SET)

    # -- finding -------------------------------------------------------------------------------

    def _load(self) -> loader.Library:
        if self._library is None:
            self._library = loader.load()
            self._library.mtp.LIBMTP_Init()
        return self._library

    def _with(self) -> Session:
        if self._session is None:
            raise errors.DeviceLost("no device is open")
        return self._session

    @contextlib.contextmanager
    def _attached(self) -> Iterator[list[tuple[int, Result]]]:
        """The address of each device's record, and what it says."""
        library = self._load()
        records, count = ctypes.c_void_p(), ctypes.c_int()
        self._quiet(0)
        code = library.mtp.LIBMTP_Detect_Raw_Devices(ctypes.byref(records), ctypes.byref(count))
        first = records.value or 0
        try:
            if code not in (abi.ERROR_NONE, abi.ERROR_NO_DEVICE_ATTACHED):
                raise errors.DeviceUnavailable(
                    f"libmtp can't look for devices (error {code}): {self._noise()[-300:].strip()}"
                )
            addresses = [
                first + number * ctypes.sizeof(abi.RawDevice)
                for number in range(count.value if first and code == abi.ERROR_NONE else 0)
            ]
            yield [(at, _record(abi.RawDevice.from_address(at))) for at in addresses]
        finally:
            library.free(first)

    def _opened(self, address: int, found: Result) -> Session | None:
        """The device, open, its serial number in *found*; None: `why` there says why not."""
        library = self._load()
        self._quiet(0)
        device = library.mtp.LIBMTP_Open_Raw_Device_Uncached(address)
        if not device:
            text = self._noise()
            found["why"], found["text"] = _reason(text), text.strip()[-500:]
            return None
        session = Session(library, device)
        found["serial"] = session.serial()
        return session

    def _devices(self) -> Result:
        """What is attached, each opened to read its serial number."""
        library = self._load()
        with self._attached() as attached:
            for address, device in attached:
                session = self._opened(address, device)
                if session is not None:
                    device.update(_names(session))
                    session.release()
            return {
                "devices": [device for _address, device in attached],
                "library": {"name": library.name, "counts_children": library.counts_children},
            }

    def _open(self, serial: str | None) -> Result:
        """Open the one that is there, or the one with that number; what was found besides.

        `info` None: it wasn't opened. `twins`: there is another one with that number.
        """
        with self._attached() as attached:
            found = [device for _address, device in attached]
            matching: list[tuple[Session, Result]] = []
            for address, device in attached:
                session = self._opened(address, device)
                if session is None:
                    continue
                if len(attached) == 1 if serial is None else device["serial"] == serial:
                    matching.append((session, device))
                else:
                    session.release()
        if len(matching) != 1:
            for session, _device in matching:
                session.release()
            return {"info": None, "devices": found, "twins": len(matching) > 1}
        self._session, chosen = matching[0]
        if (chosen["vendor_id"], chosen["product_id"]) in DRAINED:
            self._drained = True
            threading.Thread(target=self._session.read_events, name="events", daemon=True).start()
        return {
            "info": self._session.info(),
            "device": chosen,
            "counts": self._load().counts_children,
        }

    def _close(self) -> Result:
        session, self._session = self._session, None
        if session is not None:
            if self._drained:
                session.leave()
            else:
                session.release()
        return {}

    # -- changes -------------------------------------------------------------------------------

    def _delete(self, **what: Any) -> Result:
        self._with().delete(**what)
        return {}

    def _rename(self, **what: Any) -> Result:
        self._with().rename(**what)
        return {}

    def _move(self, **what: Any) -> Result:
        self._with().move(**what)
        return {}

    # -- lists and transfers -------------------------------------------------------------------

    def _children(self, storage: int, parent: int) -> Result:
        def emit(rows: list[Row]) -> None:
            self._tell(rows=[list(row.values()) for row in rows])

        return {"undescribed": self._with().children(storage, parent, emit)}

    def _send(self, **what: Any) -> Result:
        known, error, lost = transfers.send(
            self._with(), tell=self._progress, stopped=self._stopped, **what
        )
        if error is not None or lost:
            error = error or errors.DeviceLost("the session is out of step after sending")
            raise Failed(error, lost=lost, known=known)
        return known

    def _receive(self, **what: Any) -> Result:
        known, error, lost = transfers.receive(
            self._with(), tell=self._progress, stopped=self._stopped, **what
        )
        if error is not None:
            raise Failed(error, lost=lost)
        return known

    def _progress(self, count: int) -> None:
        self._tell(bytes=count)

    def _stopped(self) -> bool:
        return self._control.stopped >= self._number


def _reason(noise: str) -> str:
    """What libmtp says of an open that failed, and says only by printing."""
    lower = noise.lower()
    if "access denied" in lower or "permission" in lower or "libusb_error_access" in lower:
        return "access"
    if "busy" in lower:
        return "busy"
    return "failed"


def _record(raw: abi.RawDevice) -> Result:
    entry = raw.device_entry
    return {
        "vendor_id": entry.vendor_id,
        "product_id": entry.product_id,
        "vendor": (entry.vendor or b"").decode("utf-8", "replace"),
        "product": (entry.product or b"").decode("utf-8", "replace"),
        "bus": raw.bus_location,
        "number": raw.devnum,
        "serial": None,
        "why": None,
    }


def _names(session: Session) -> Result:
    info = session.info()
    return {key: info[key] for key in ("manufacturer", "model", "friendly_name")}


def _harden() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's to understand
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str] | None = None) -> None:
    """Work until the parent ends."""
    _harden()
    line, control = (socket.socket(fileno=int(word)) for word in (arguments or sys.argv[1:])[:2])
    wanted = Control(control)
    threading.Thread(target=wanted.watch, name="control", daemon=True).start()
    with contextlib.suppress(OSError, BrokenMessage):
        Worker(line, wanted).run()
    # Not by way of Python's end: a thread may be in libmtp, or wait for the parent.
    os._exit(0)


if __name__ == "__main__":
    main()
