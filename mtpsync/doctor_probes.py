"""What a storage does with what it is sent: tried in a folder of our own, which is removed again.

Some devices answer "done" to anything, so each answer is compared with what is there afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from mtpsync.deliver import TEMPORARY_PREFIX
from mtpsync.errors import (
    DeviceError,
    ExitCode,
    Missing,
    MtpSyncError,
    NameRefused,
    NotSupported,
)
from mtpsync.findings import Examination
from mtpsync.models import ROOT, Device, RemoteObject, StorageInfo, Transfer

PROBE_BYTES = 300_000
ODD_CHARACTERS = '"*:<>?\\|'
_ENDS = (("a dot", "."), ("a blank", " "))
LONG_AGO_S = 1_000_000_000  # 9 September 2001


def probe(device: Device, storage: StorageInfo, seen: Examination) -> None:
    """Try everything on *storage*.

    Raises:
        DeviceLost: the folder may be left; *seen* names it.
    """
    name = f"{TEMPORARY_PREFIX}doctor-{secrets.token_hex(4)}"
    try:
        folder = device.make_folder(storage.id, ROOT, name)
    except DeviceError as error:
        seen.failed("make a folder", error)
        return
    seen.good("make a folder", f"{name} on {storage.label!r}")
    with tempfile.TemporaryDirectory(prefix="mtpsync-") as work:
        probes = Probes(device, storage, folder, Path(work), seen)
        try:
            probes.run()
        finally:
            _remove(device, storage, name, seen)


class Probes:
    """The probes in one folder; the first that fails does not end the others."""

    def __init__(
        self, device: Device, storage: StorageInfo, folder: int, work: Path, seen: Examination
    ) -> None:
        self._device = device
        self._storage = storage
        self._folder = folder
        self._work = work
        self._seen = seen

    def run(self) -> None:
        """All of them.

        Raises:
            DeviceLost: the rest was not tried.
        """
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("send and read back", self._round_trip),
            ("rename", self._rename),
            ("names that are taken", self._overwrite),
            ("upper and lower case", self._case),
            ("characters", self._characters),
            ("time of a file", self._time),
            ("delete", self._delete),
        )
        for check, step in steps:
            try:
                step()
            except DeviceError as error:
                self._seen.failed(check, error)

    # -- tools ------------------------------------------------------------------------------------

    def _send(self, name: str, content: bytes) -> Transfer:
        file = self._work / secrets.token_hex(8)
        file.write_bytes(content)
        os.utime(file, (LONG_AGO_S, LONG_AGO_S))
        return self._device.send(self._storage.id, self._folder, name, file, len(content))

    def _entries(self) -> list[RemoteObject]:
        return list(self._device.children(self._storage.id, self._folder).objects)

    def _contents(self, *names: str) -> dict[str, list[str]]:
        """The digests of what is there under each of *names*."""
        found: dict[str, list[str]] = {name: [] for name in names}
        for entry in self._entries():
            if entry.name in found:
                digest = self._device.receive(entry.id, entry.size_bytes).sha256
                found[entry.name].append(digest)
        return found

    # -- probes -----------------------------------------------------------------------------------

    def _round_trip(self) -> None:
        check = "send and read back"
        for size in (PROBE_BYTES, 0):
            sent = self._send(f"round {size}.bin", os.urandom(size))
            back = self._device.receive(sent.object_id, size)
            if back.sha256 != sent.sha256:
                text = f"of {size:,} bytes it gave back other ones"
                self._seen.bad(check, text, "try another cable and port", ExitCode.INCOMPLETE)
                return
        self._seen.good(check, f"{PROBE_BYTES:,} bytes, and an empty file, came back as they were")

    def _rename(self) -> None:
        sent = self._send("before.bin", b"rename")
        try:
            self._device.rename(sent.object_id, "after.bin")
        except (NotSupported, NameRefused) as error:
            self._seen.notice(
                "rename", f"it does not rename ({error}): a file that replaces one is sent twice"
            )
            return
        names = {entry.name for entry in self._entries()}
        if "after.bin" in names and "before.bin" not in names:
            self._seen.good("rename", "a file has its new name")
        else:
            self._seen.notice("rename", "it says done, and the file has its old name")

    def _overwrite(self) -> None:
        check, name = "names that are taken", "taken.bin"
        old, new = b"the first", b"the second one"
        self._send(name, old)
        refused = None
        try:
            self._send(name, new)
        except DeviceError as error:
            refused = error
        held = self._contents(name)[name]
        if refused is not None and held == [_digest(old)]:
            self._seen.good(check, "a second file of the same name is refused")
        elif held == [_digest(new)]:
            self._seen.notice(check, "a second file of the same name replaces the first")
        elif len(held) > 1:
            self._seen.notice(check, "two files may have the same name")
        else:
            self._seen.notice(
                check,
                "a second file of the same name destroys the first",
                "mtpsync never sends onto a name that is taken; let no other program do it",
            )

    def _case(self) -> None:
        check, lower, upper = "upper and lower case", "case.bin", "CASE.bin"
        self._send(lower, b"lower case")
        try:
            self._send(upper, b"upper")
        except DeviceError:
            self._seen.good(check, "names that differ in case only are one name")
            return
        held = self._contents(lower, upper)
        if held == {lower: [_digest(b"lower case")], upper: [_digest(b"upper")]}:
            self._seen.good(check, "names that differ in case only are two names")
        else:
            self._seen.notice(
                check, "of two files whose names differ in case only it keeps one, without a word"
            )

    def _characters(self) -> None:
        refused = [odd for odd in ODD_CHARACTERS if not self._takes(f"odd{odd}name")]
        ends = [what for what, end in _ENDS if not self._takes(f"odd{end}")]
        told = []
        if refused:
            told.append(f"these characters in names: {' '.join(refused)}")
        if ends:
            told.append(f"{' or '.join(ends)} at the end of a name")
        if told:
            self._seen.notice(
                "characters",
                f"it does not take {', nor '.join(told)}",
                "--names skip leaves such files out, --names map writes them with other characters",
            )
        else:
            self._seen.good(
                "characters", f"it takes {ODD_CHARACTERS}, and dots and blanks at the end"
            )

    def _takes(self, name: str) -> bool:
        try:
            self._send(name, b"x")
        except DeviceError:
            return False
        return any(entry.name == name for entry in self._entries())

    def _time(self) -> None:
        sent = self._send("time.bin", b"time")
        kept = self._device.metadata(sent.object_id).modified_s
        if abs(kept - LONG_AGO_S) <= 15 * 3600:  # it may be in the device's zone
            self._seen.good("time of a file", "it keeps the time that the file has here")
        else:
            self._seen.good("time of a file", "files have the time of their arrival there")

    def _delete(self) -> None:
        sent = self._send("gone.bin", b"delete")
        self._device.delete(sent.object_id)
        if any(entry.name == "gone.bin" for entry in self._entries()):
            raise DeviceError("it says that the file is deleted, and has it")
        self._seen.good("delete", "a file is gone")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove(device: Device, storage: StorageInfo, name: str, seen: Examination) -> None:
    """The folder of the probes and what is in it, by name in a fresh session."""
    try:
        device.refresh()
        here = next((s for s in device.storages() if s.label == storage.label), storage)
        tops = device.children(here.id, ROOT).objects
        folder = next((entry for entry in tops if entry.name == name and entry.is_folder), None)
        if folder is None:
            return
        for entry in device.children(here.id, folder.id).objects:
            with contextlib.suppress(Missing):  # two names of one file, see `_case`
                device.delete(entry.id)
        _remove_empty(device, here, folder, seen)
    except MtpSyncError as error:
        seen.bad(
            "clean up",
            f"the folder {name} at the top of {storage.label!r} is left: {error}",
            f"delete {name} on the device",
            ExitCode.INCOMPLETE,
        )


def _remove_empty(
    device: Device, storage: StorageInfo, folder: RemoteObject, seen: Examination
) -> None:
    try:
        device.delete(folder.id)
    except DeviceError as error:
        if device.children(storage.id, folder.id).objects:
            raise
        seen.notice(
            "clean up",
            f"it does not delete folders ({error}): {folder.name} is left, and empty",
            f"delete {folder.name} on the device",
        )
