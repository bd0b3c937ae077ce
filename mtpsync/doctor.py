"""Looks at this computer's libmtp and a device: what works, what won't, and what to do about it.

Nothing is changed, unless the probes of `doctor_probes` are asked for.
"""

from __future__ import annotations

import contextlib
import time

from mtpsync import mtp_client
from mtpsync.attached import Attached, LibraryInfo
from mtpsync.doctor_probes import probe
from mtpsync.errors import DeviceError, ExitCode, MtpSyncError, UsageError
from mtpsync.findings import Examination
from mtpsync.models import ROOT, Device, StorageInfo


def examine(serial: str | None, storage: str | None = None, *, write: bool = False) -> Examination:
    """Look at everything. *write*: also try what changes something, on *storage* or the first."""
    seen = Examination()
    try:
        library, found = mtp_client.look()
        _library(library, seen)
        _devices(found, serial, seen)
    except MtpSyncError as error:
        seen.failed("libmtp", error)
    if seen.exit_code is not ExitCode.DONE:
        return seen
    try:
        device = mtp_client.open_device(serial)
    except MtpSyncError as error:
        seen.failed("open", error)
        return seen
    with contextlib.closing(device):
        _about(device, seen)
        try:
            storages = device.storages()
            for each in storages:
                _storage(device, each, seen)
            if write:
                probe(device, _chosen(storages, storage), seen)
        except MtpSyncError as error:
            seen.failed("storages", error)
    return seen


def _library(library: LibraryInfo, seen: Examination) -> None:
    seen.good("libmtp", f"{library.name}, of release {library.release}")
    if not library.counts_children:
        seen.notice(
            "libmtp",
            "this release leaves out, without a word, what a device does not describe",
            "1.1.21 tells; mtpsync never deletes on the word of one listing",
        )


def _devices(found: tuple[Attached, ...], serial: str | None, seen: Examination) -> None:
    """What is plugged in; bad when the one that is meant is not there, or can't be opened."""
    for each in found:
        ids = f"{each.name}, {each.vendor_id:04x}:{each.product_id:04x}"
        if each.why is None:
            seen.good("devices", f"{ids}, serial number {each.serial or '(none)'}")
        elif serial is None and len(found) == 1:
            seen.bad("devices", f"{ids}: {each.why}", each.remedy, ExitCode.UNAVAILABLE)
        else:
            seen.notice("devices", f"{ids}: {each.why}", each.remedy)


def _about(device: Device, seen: Examination) -> None:
    info = device.info
    name = info.friendly_name or f"{info.manufacturer} {info.model}".strip()
    seen.good("open", f"{name} ({info.serial}) opens")
    if info.object_bits >= 64:
        seen.good("sizes", "it tells sizes in 64 bits")
    else:
        seen.notice("sizes", "sizes of 4 GiB and more are wrong: such files are refused")
    can = [
        ("moves files, so what a mirror takes away stays on it", info.can_move),
        ("reads parts of files", info.can_read_parts),
    ]
    for what, yes in can:
        seen.good("abilities", f"{what}: {'yes' if yes else 'no'}")


def _storage(device: Device, storage: StorageInfo, seen: Examination) -> None:
    free = "?" if storage.free_bytes is None else f"{storage.free_bytes:,}"
    kind = ", a memory card" if storage.removable else ""
    text = f"{storage.label!r}: {free} of {storage.capacity_bytes:,} bytes are free{kind}"
    if storage.read_only:
        seen.notice("storages", f"{text}; it is read-only: nothing can be sent to it")
    else:
        seen.good("storages", text)
    begin = time.monotonic()
    try:
        listed = device.children(storage.id, ROOT)
    except DeviceError as error:
        seen.bad("listing", f"{storage.label!r}: {error}", error.remedy, ExitCode.INCOMPLETE)
        return
    took = f"{time.monotonic() - begin:.2f} s"
    seen.good("listing", f"{storage.label!r}: {len(listed.objects)} objects at the top, in {took}")
    if listed.undescribed:
        seen.notice(
            "listing",
            f"{storage.label!r}: {listed.undescribed} objects are there and not described",
            "restart the device; until then a scan of this folder is not trusted",
        )


def _chosen(storages: tuple[StorageInfo, ...], wanted: str | None) -> StorageInfo:
    """Where the probes write.

    Raises:
        UsageError: there is none like that, or none that can be written to.
    """
    for each in storages:
        named = wanted in (str(each.id), f"{each.id:#x}", each.label)
        if named or (wanted is None and not each.read_only):
            return each
    shown = ", ".join(f"{each.id:#x} {each.label!r}" for each in storages)
    raise UsageError("no storage for the probes: name one with --storage", remedy=shown)
