"""The stand-in for winfspy's native module: `ffi` and `lib`, in cffi's ABI mode.

`lib` is a namespace of C function pointers, so that a call converts and refuses its arguments as
the native module does: `dll` has those about file systems, `dll_memory` those about memory and
security. What a call means is up to the active `Backend`, a FakeWindows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from simulators.fake_winfsp.declarations import TRAMPOLINES, CData, ffi


class Backend(Protocol):
    """What a Windows with WinFsp does."""

    def version(self) -> int:
        """FspVersion's number."""

    def create(self, device: str, params: CData, interface: CData) -> tuple[int, CData]:
        """Status and the new file system."""

    def delete(self, file_system: CData) -> None:
        """The file system goes."""

    def mount(self, file_system: CData, mount_point: str | None) -> int:
        """Status."""

    def unmount(self, file_system: CData) -> None:
        """Without its mount point it lives on."""

    def start(self, file_system: CData, threads: int) -> int:
        """Status of starting its dispatcher."""

    def stop(self, file_system: CData) -> None:
        """Returns when no callback runs any more."""


class _Active:
    backend: Backend | None = None


crashes: list[str] = []
"""Errors of the simulator itself inside of a call from C; FakeWindows reports them."""


def activate(backend: Backend | None) -> Backend | None:
    """Make *backend* the one that new file systems belong to; return the one before."""
    before, _Active.backend = _Active.backend, backend
    return before


def active() -> Backend | None:
    """The Windows that is there now."""
    return _Active.backend


# -- making C functions ---------------------------------------------------------------------------


class Library:
    """`lib`: an unknown name is an AttributeError, as in the native module."""


lib: Any = Library()


def _crashed(_kind: object, error: object, _traceback: object) -> None:
    crashes.append(repr(error))


def c_function(signature: str, error: int | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Make the decorated function a C function pointer of `lib`."""

    def decorate(function: Callable[..., Any]) -> Any:
        made = ffi.callback(
            signature, function, **({} if error is None else {"error": error}), onerror=_crashed
        )
        setattr(lib, function.__name__, made)
        return made

    return decorate


def def_extern(name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """cffi's API-mode decorator: give a declared extern "Python" function its body."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        declared = name or function.__name__
        if declared not in TRAMPOLINES:
            raise ffi.error(f"ffi.def_extern({declared!r}): name not found")
        setattr(lib, declared, ffi.callback(TRAMPOLINES[declared], function))
        return function

    return decorate


ffi.def_extern = def_extern


def module(name: str, *_filled_by: ModuleType) -> ModuleType:
    """What sys.modules gets under the native module's *name*; `lib` was filled by the others."""
    made = ModuleType(name, __doc__)
    made.ffi, made.lib = ffi, lib  # type: ignore[attr-defined]
    sys.modules[name] = made
    return made
