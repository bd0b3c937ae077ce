"""mtpsync's device over the fake libmtp: a bus, and what is opened on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mtpsync.libmtp.loader import VARIABLE
from mtpsync.models import Device
from mtpsync.mtp_client import MtpDevice, Patience, open_device
from mtpsync.utils import holders
from simulators.fake_libmtp import FakeDevice, FakeUsb, Profile
from tests.helpers.mtp import fake_library

ID = 0x10001  # of the first storage
QUICK = Patience(
    open_s=20,
    call_s=20,
    listing_s=20,
    counted_listing_s=20,
    transfer_s=20,
    close_s=2,
    busy_pauses_s=(0.05, 0.05),
    reopen_pauses_s=(0.05, 0.2),
    settle_pauses_s=(0.0, 0.05, 0.05),
)
HASTY = Patience(
    open_s=20,
    call_s=1,
    listing_s=1,
    counted_listing_s=1,
    transfer_s=1,
    close_s=1,
    busy_pauses_s=(0.05, 0.05),
    reopen_pauses_s=(0.05, 0.2),
    settle_pauses_s=(0.0, 0.05, 0.05),
)
"""For what hangs."""


@dataclass
class Desk:
    """A bus with one device, which programs may open."""

    folder: Path
    usb: FakeUsb
    phone: FakeDevice
    opened: list[MtpDevice] = field(default_factory=list)

    def open(self, serial: str | None = None, patience: Patience = QUICK) -> MtpDevice:
        """The device; it is closed in the end."""
        device = open_device(serial, patience)
        self.opened.append(device)
        return device

    def as_device(self) -> Device:
        """The same as the engine sees it; that it is one, mypy checks."""
        return self.open()

    def source(self, data: bytes, name: str = "source") -> Path:
        """A local file."""
        file = self.folder / name
        file.write_bytes(data)
        return file

    def struck(self) -> list[str]:
        """The faults that struck, by kind."""
        return [fault.fault for fault in self.usb.ledger.faults()]

    def pids(self) -> set[int]:
        """The processes that used the library."""
        return {call.pid for call in self.usb.ledger.calls()}


@contextmanager
def desk(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: str | Profile = "android",
    *,
    newer: bool = False,
    **plug: Any,
) -> Iterator[Desk]:
    """A bus with one device; *plug* goes to `FakeUsb.plug`."""
    usb = FakeUsb(folder / "usb")
    for place in ("DEVICES", "SYSFS"):  # this machine has devices of its own
        monkeypatch.setattr(holders, place, folder / "none")
    for name, value in usb.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(VARIABLE, str(fake_library(newer=newer)))
    made = Desk(folder, usb, usb.plug(profile, **plug))
    try:
        yield made
    finally:
        for device in made.opened:
            device.close()
