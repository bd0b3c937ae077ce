"""What is plugged in, and why it can't be opened, in words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from mtpsync import errors
from mtpsync.messages import BrokenMessage, Message, raised
from mtpsync.process import WorkerLost, WorkerProcess
from mtpsync.utils import holders

REPLUG = "unplug the device, plug it in again, and run the same command once more"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryInfo:
    """The libmtp in use."""

    name: str  # as it was loaded
    counts_children: bool  # it tells when a device does not describe all that it has

    @property
    def release(self) -> str:
        """As far as it can be told: libmtp has no function that says so."""
        return "1.1.21 or later" if self.counts_children else "1.1.19 or 1.1.20"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A device that is plugged in."""

    vendor_id: int
    product_id: int
    vendor: str  # "" when libmtp doesn't know the device
    product: str
    bus: int
    number: int  # on the bus
    serial: str | None  # None: it couldn't be opened
    name: str
    why: str | None  # why it couldn't be opened; None: it could
    remedy: str


class Again(errors.DeviceUnavailable):
    """Asking once more, in another process, may help."""


def asked(worker: WorkerProcess, do: str, silence_s: float, **what: Any) -> Message:
    """The answer of a worker that has no device yet."""
    try:
        answer = worker.ask(do, silence_s, None, what)
        if "failed" in answer:
            raise raised(answer["failed"])
    except (WorkerLost, BrokenMessage) as lost:
        raise Again(f"libmtp did not get along with a device: {lost}", remedy=REPLUG) from lost
    done: Message = answer["done"]
    return done


def described(found: dict[str, Any]) -> Attached:
    """A device as the worker found it."""
    why, remedy = _unavailable(found) if found["why"] else (None, "")
    model = f"{found.get('manufacturer', '')} {found.get('model', '')}".strip()
    known = f"{found['vendor']} {found['product']}".strip()
    return Attached(
        vendor_id=found["vendor_id"],
        product_id=found["product_id"],
        vendor=found["vendor"],
        product=found["product"],
        bus=found["bus"],
        number=found["number"],
        serial=found["serial"],
        name=found.get("friendly_name") or model or known or "unknown device",
        why=why,
        remedy=remedy,
    )


def _unavailable(found: dict[str, Any]) -> tuple[str, str]:
    """Why a device can't be opened, and the next step."""
    node = holders.node(found["bus"], found["number"])
    ids = found["vendor_id"], found["product_id"]
    if found["why"] == "busy":
        having = holders.holders(node)
        return f"{holders.told(having)} has it open", holders.advice(having)
    if found["why"] == "access" or (node.exists() and not os.access(node, os.R_OK | os.W_OK)):
        return "this user may not open it", holders.permission(*ids)
    return f"it does not answer ({found.get('text', '')[-200:]})", REPLUG


def _label(found: dict[str, Any]) -> str:
    one = described(found)
    what = f"serial number {one.serial}" if one.serial else one.why or "not asked"
    return f"{one.name} ({one.vendor_id:04x}:{one.product_id:04x}, {what})"


def _not_there(serial: str | None) -> errors.NoDevice:
    if serial is not None:
        return errors.NoDevice(
            f"no device with the serial number {serial} is attached",
            remedy="plug it in, unlock it, and choose file transfer (MTP) in its USB settings",
        )
    without = holders.forbidden()
    if without:
        vendor_id, product_id, name = without[0]
        return errors.NoDevice(
            f"no MTP device that this user may open ({name} {vendor_id:04x}:{product_id:04x})",
            remedy=holders.permission(vendor_id, product_id),
        )
    return errors.NoDevice(
        "no MTP device is attached",
        remedy="plug it in, unlock it, and choose file transfer (MTP) in its USB settings",
    )


def unopened(serial: str | None, answer: dict[str, Any]) -> errors.MtpSyncError:
    """Why no device was opened."""
    found = answer["devices"]
    if answer["twins"]:
        return errors.UsageError(
            f"several devices have the serial number {serial}", remedy="unplug all but one of them"
        )
    if serial is None and len(found) > 1:
        return errors.UsageError(
            "several devices are attached: " + "; ".join(map(_label, found)),
            remedy="say which one by its serial number",
        )
    closed = [device for device in found if device["why"]]
    if not closed:
        return _not_there(serial)
    why, remedy = _unavailable(closed[0])
    kind = errors.DeviceUnavailable if closed[0]["why"] == "access" else Again
    return kind(f"{described(closed[0]).name} can't be opened: {why}", remedy=remedy)
