"""Waits for a person: until the device is plugged in, unlocked, and shows a storage."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from mtpsync import mtp_client
from mtpsync.errors import DeviceLocked, DeviceLost, DeviceUnavailable, MtpSyncError, NoDevice
from mtpsync.models import Device

log = logging.getLogger(__name__)

FOREVER_S = 10**9
LOOK_S = 1.0  # between two looks
SETTLE_S = 10.0  # a device that was just plugged in may be busy, or not yet this user's

_TAPS = {
    NoDevice: "plug the device in, unlock its screen, and tap “File transfer” (MTP) in its"
    " notification about USB",
    DeviceLocked: "unlock the device's screen; if that is not enough, tap “File transfer” (MTP)"
    " in its notification about USB",
    DeviceLost: "plug the device in again, and unlock its screen",
}


@dataclass(slots=True)
class _Wait:
    """One wait: until when, and what was said already."""

    until_s: float
    tell: Callable[[str], None]
    told: type[MtpSyncError] | None = None
    arrived_s: float | None = None  # when the device first was not missing any more

    def goes_on(self, error: MtpSyncError) -> bool:
        """Whether *error* is waited out; says what to tap when that is new."""
        now_s = time.monotonic()
        if now_s >= self.until_s:
            return False
        kind = next((kind for kind in _TAPS if isinstance(error, kind)), None)
        if kind is None:  # it can't be opened: that passes only while it is new
            if self.told is None:
                return False
            self.arrived_s = self.arrived_s or now_s
            return now_s < self.arrived_s + SETTLE_S
        self.arrived_s = None
        if kind is not self.told:
            self.told = kind
            log.info("waiting: %s", error)
            self.tell(f"waiting: {_TAPS[kind]}")
        return True


def ready_device(
    serial: str | None,
    wait_s: float,
    tell: Callable[[str], None],
    opened: Callable[[str | None], Device] = mtp_client.open_device,
) -> Device:
    """`open_device`, and for up to *wait_s* the wait for one that shows a storage.

    *tell* gets what the person is to do, once for each thing.

    Raises:
        NoDevice, DeviceLocked, DeviceLost: still, after *wait_s*.
        DeviceUnavailable, UsageError: waiting does not help.
    """
    if not wait_s:
        return opened(serial)
    wait = _Wait(time.monotonic() + wait_s, tell)
    with contextlib.ExitStack() as open_now:
        device: Device | None = None
        while True:
            try:
                if device is None:
                    device = opened(serial)
                    open_now.callback(device.close)
                device.storages()
            except (NoDevice, DeviceLocked, DeviceLost, DeviceUnavailable) as error:
                if not wait.goes_on(error):
                    raise
                if device is not None and not isinstance(error, DeviceLocked):
                    open_now.close()
                    device = None
            else:
                open_now.pop_all()
                return device
            time.sleep(min(LOOK_S, max(0.0, wait.until_s - time.monotonic())))
