"""Finds and loads libmtp, and says what to install where there is none."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtpsync.errors import DeviceUnavailable
from mtpsync.libmtp import abi

VARIABLE = "MTPSYNC_LIBMTP"

CANDIDATES: Mapping[str, tuple[str, ...]] = {
    "linux": ("libmtp.so.9",),
    "darwin": (
        "libmtp.9.dylib",
        "/opt/homebrew/lib/libmtp.9.dylib",
        "/usr/local/lib/libmtp.9.dylib",
        "/opt/local/lib/libmtp.9.dylib",
    ),
}
"""What to try, by `sys.platform`; any other Unix is tried like Linux."""

_INSTALL = {
    "debian": "sudo apt install libmtp9t64 (libmtp9 on older releases)",
    "fedora": "sudo dnf install libmtp",
    "arch": "sudo pacman -S libmtp",
    "suse": "sudo zypper install libmtp9",
}


@dataclass(frozen=True, slots=True)
class Library:
    """libmtp, and the C library that it allocates with."""

    mtp: Any
    libc: Any
    optional: frozenset[str]  # of abi.OPTIONAL
    name: str

    @property
    def counts_children(self) -> bool:
        """Whether a folder's objects are told apart from those that were described (1.1.21)."""
        return "LIBMTP_Get_Children" in self.optional

    def free(self, address: int | None) -> None:
        """Free what libmtp gave to us."""
        if not address:
            return
        if "LIBMTP_FreeMemory" in self.optional:
            self.mtp.LIBMTP_FreeMemory(address)
        else:
            self.libc.free(address)


def load(
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
    release: Path = Path("/etc/os-release"),
) -> Library:
    """The library of the environment variable MTPSYNC_LIBMTP, else the system's.

    Raises:
        DeviceUnavailable: there is none that can be used; the remedy says what to do.
    """
    supported(platform)
    chosen = environment.get(VARIABLE, "")
    names = (chosen,) if chosen else CANDIDATES.get(platform, CANDIDATES["linux"])
    problems = []
    for name in names:
        try:
            mtp = ctypes.CDLL(name)
        except OSError as missing:
            problems.append(str(missing))
            continue
        try:
            optional = abi.declare(mtp)
        except AttributeError as old:
            raise DeviceUnavailable(
                f"{name} is not a libmtp of version 1.1.19 or later ({old})",
                remedy=install(platform, _text(release)),
            ) from old
        libc = ctypes.CDLL(None)
        abi.declare_libc(libc)
        return Library(mtp, libc, optional, name)
    if chosen:
        raise DeviceUnavailable(
            f"{VARIABLE} names {chosen}, which can't be loaded: {problems[0]}",
            remedy=f"correct {VARIABLE}, or unset it to use the system's libmtp",
        )
    raise DeviceUnavailable(
        f"libmtp is not installed ({'; '.join(problems)})", remedy=install(platform, _text(release))
    )


def supported(platform: str = sys.platform) -> None:
    """Nothing, where libmtp can be.

    Raises:
        DeviceUnavailable: on Windows.
    """
    if platform == "win32":
        raise DeviceUnavailable(
            "mtpsync works through libmtp, which does not exist for Windows",
            remedy="run mtpsync on Linux or macOS",
        )


def install(platform: str, release: str) -> str:
    """What to type to get libmtp; *release* is the text of /etc/os-release."""
    if platform == "darwin":
        return "install it: brew install libmtp (or sudo port install libmtp)"
    words = _families(release.splitlines())
    for family, command in _INSTALL.items():
        if family in words:
            return f"install it: {command}"
    return (
        f"install it: {_INSTALL['debian']} on Debian and Ubuntu, {_INSTALL['fedora']} on Fedora, "
        "brew install libmtp on macOS"
    )


def _families(lines: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for line in lines:
        key, _, value = line.partition("=")
        if key in ("ID", "ID_LIKE"):
            found |= set(value.strip().strip("\"'").split())
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
