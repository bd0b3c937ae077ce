"""winfspy, or one clear error where it or WinFsp is missing."""

from __future__ import annotations

from pyftpdrive.base.errors import MountError, MountProblem

try:
    import winfspy
    from winfspy.plumbing import NTStatusError, SecurityDescriptor, ffi, lib
except (ImportError, OSError, RuntimeError) as missing:  # no winfspy, or no WinFsp below it
    raise MountError(
        MountProblem.HOST_MISSING,
        f"WinFsp or its Python library is missing ({missing}). Install WinFsp 2022.2 or later from"
        " https://winfsp.dev/rel/ and then `pip install winfspy`; docs/windows.md has Python 3.12+",
    ) from missing

__all__ = ["NTStatusError", "SecurityDescriptor", "ffi", "lib", "winfspy"]
