"""What this machine can do for the tests; shown in the header, demanded in CI.

`PYFTPDRIVE_TEST_REQUIRE=all` (or a comma-separated list of names) turns a missing one into an
error, so that a green run in CI can't be a run that skipped everything.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from simulators.fake_winfsp import wheel
from tests.helpers import real_servers

VARIABLE = "PYFTPDRIVE_TEST_REQUIRE"


def _program(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"no program {name}"


def _fuse_device() -> str | None:
    device = Path("/dev/fuse")
    if not device.exists():
        return "no /dev/fuse (modprobe fuse)"
    return None if os.access(device, os.R_OK | os.W_OK) else "/dev/fuse can't be opened"


def _libfuse() -> str | None:
    return None if ctypes.util.find_library("fuse3") else "no libfuse3"


def _libmtp() -> str | None:
    if not ctypes.util.find_library("mtp"):
        return "no libmtp"
    return None if Path("/usr/include/libmtp.h").exists() else "no libmtp.h (libmtp-dev)"


def _servers() -> str | None:
    reasons = [real_servers.available(name) for name in real_servers.NAMES]
    return "; ".join(reason for reason in reasons if reason) or None


CAPABILITIES: dict[str, Callable[[], str | None]] = {
    "fuse": _fuse_device,
    "libfuse3": _libfuse,
    "fusermount3": _program("fusermount3"),
    "servers": _servers,
    "winfspy": wheel.missing,
    "git": _program("git"),
    "sqlite3": _program("sqlite3"),
    "rsync": _program("rsync"),
    "compiler": _program("cc"),
    "libmtp": _libmtp,
}
"""Name -> why it is missing (None: it is there)."""


def header() -> str:
    """One line: what is present, what is absent."""
    states = {name: probe() for name, probe in CAPABILITIES.items()}
    present = [name for name, reason in states.items() if reason is None]
    absent = [f"{name} ({reason})" for name, reason in states.items() if reason]
    return f"present: {', '.join(present) or 'nothing'}; absent: {', '.join(absent) or 'nothing'}"


def unmet() -> list[str]:
    """What `PYFTPDRIVE_TEST_REQUIRE` asks for and this machine lacks."""
    asked = os.environ.get(VARIABLE, "")
    names = list(CAPABILITIES) if asked == "all" else [n.strip() for n in asked.split(",") if n]
    problems = []
    for name in names:
        probe = CAPABILITIES.get(name)
        reason = probe() if probe else f"{VARIABLE} knows only {', '.join(CAPABILITIES)}"
        if reason:
            problems.append(f"{name}: {reason}")
    return problems
