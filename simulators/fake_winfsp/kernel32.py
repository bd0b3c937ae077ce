"""Kernel32: every Win32 call that the simulator has, as one object a session."""

from __future__ import annotations

from simulators.fake_winfsp.win32_paths import PathCalls


class Kernel32(PathCalls):
    """What the programs of one session call; see the bases for files, directories and paths."""
