"""Why a USB device can't be opened: who holds it, and what lets this user have it.

Linux only; elsewhere, and of other users' processes, nothing is known. Never raises.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
DEVICES = Path("/dev/bus/usb")
SYSFS = Path("/sys/bus/usb/devices")
RULES = "/etc/udev/rules.d/69-mtpsync.rules"  # below 73: there `uaccess` is acted on

_STILL_IMAGE = "06"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has the device open."""

    pid: int
    program: str


_FREEING: tuple[tuple[str, str], ...] = (
    ("gvfsd-mtp", "gio mount --unmount-scheme=mtp"),
    ("gvfsd-gphoto2", "gio mount --unmount-scheme=gphoto2"),
    ("gvfs-mtp-volume", "systemctl --user stop gvfs-mtp-volume-monitor"),
    ("gvfs-gphoto2-vo", "systemctl --user stop gvfs-gphoto2-volume-monitor"),
    ("kiod6", "kquitapp6 kiod6"),
    ("kiod5", "kquitapp5 kiod5"),
    ("adb", "adb kill-server"),
    ("jmtpfs", "fusermount -u DIRECTORY (where it is mounted)"),
    ("simple-mtpfs", "fusermount -u DIRECTORY (where it is mounted)"),
    ("go-mtpfs", "fusermount -u DIRECTORY (where it is mounted)"),
    ("aft-mtp-mount", "fusermount -u DIRECTORY (where it is mounted)"),
)


def node(bus: int, number: int, devices: Path | None = None) -> Path:
    """The device's node."""
    return (devices or DEVICES) / f"{bus:03}" / f"{number:03}"


def holders(device: Path, proc: Path = PROC) -> tuple[Holder, ...]:
    """The processes that have *device* open, as far as this user may see; not this one."""
    found = []
    for process in _entries(proc):
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        if any(_target(descriptor) == str(device) for descriptor in _entries(process / "fd")):
            found.append(Holder(int(process.name), _program(process)))
    return tuple(sorted(found, key=lambda holder: holder.pid))


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(link)
    return ""


def _program(process: Path) -> str:
    """Its file's name; the name that the kernel keeps has 15 characters at most."""
    with contextlib.suppress(OSError):
        first = (process / "cmdline").read_bytes().split(b"\0")[0]
        name = first.decode("utf-8", "replace").rsplit("/", 1)[-1]
        if name:
            return name
    with contextlib.suppress(OSError):
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return "?"


def freeing(holder: Holder) -> str:
    """What lets go of the device."""
    for program, command in _FREEING:
        if holder.program.startswith(program):
            return command
    return f"close {holder.program} (process {holder.pid})"


def advice(found: tuple[Holder, ...]) -> str:
    """The next step for a device that is busy."""
    if found:
        return "; ".join(dict.fromkeys(freeing(holder) for holder in found))
    return (
        "close file managers and photo programs; on GNOME: gio mount --unmount-scheme=mtp, "
        "on KDE: kquitapp6 kiod6 (or kquitapp5 kiod5)"
    )


def told(found: tuple[Holder, ...]) -> str:
    """The holders, for people."""
    if not found:
        return "another program"
    return " and ".join(f"{holder.program} (process {holder.pid})" for holder in found)


def rule(vendor_id: int, product_id: int) -> str:
    """The line for udev that lets whoever sits at this computer use the device."""
    return (
        f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor_id:04x}", '
        f'ATTR{{idProduct}}=="{product_id:04x}", MODE="0660", TAG+="uaccess"'
    )


def permission(vendor_id: int, product_id: int) -> str:
    """The next step for a device that this user may not open."""
    return (
        f"put this line into {RULES}:\n    {rule(vendor_id, product_id)}\n"
        "then: sudo udevadm control --reload-rules && sudo udevadm trigger, and replug the device"
    )


def forbidden(
    sysfs: Path | None = None, devices: Path | None = None
) -> tuple[tuple[int, int, str], ...]:
    """What looks like MTP and may not be opened: vendor and product ids, and a name.

    libmtp does not even detect such a device unless it is in its table.
    """
    found = []
    for device in _entries(sysfs or SYSFS):
        bus, number = _number(device / "busnum", 10), _number(device / "devnum", 10)
        vendor_id, product_id = _number(device / "idVendor", 16), _number(device / "idProduct", 16)
        if None in (bus, number, vendor_id, product_id):
            continue
        path = node(bus or 0, number or 0, devices)
        if path.exists() and not os.access(path, os.R_OK | os.W_OK) and _like_mtp(device):
            found.append((vendor_id or 0, product_id or 0, _line(device / "product")))
    return tuple(sorted(found))


def _like_mtp(device: Path) -> bool:
    return any(
        _line(interface / "bInterfaceClass") == _STILL_IMAGE
        or "MTP" in _line(interface / "interface")
        for interface in _entries(device)
        if ":" in interface.name
    )


def _line(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _number(file: Path, base: int) -> int | None:
    with contextlib.suppress(ValueError):
        return int(_line(file), base)
    return None
