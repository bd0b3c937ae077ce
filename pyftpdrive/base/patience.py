"""How long one operation of a program bears silence, however many questions it asks.

An operation (`rename`, `create`…) may need several answers of the server. Each wait by itself has
the application's deadline; without a memory of the waits before it three of them would take
three deadlines. Inside `as_one_operation` a wait begins where the silence began: at the start of
the operation, or when the server last answered one of its questions.

Outside of an operation (background threads, one wait) nothing is remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from pyftpdrive.base.clock import Clock

P = ParamSpec("P")
R = TypeVar("R")


class _Local(threading.local):
    began: float | None = None  # monotonic; None: no operation is under way in this thread
    silent_since: float = 0.0


_local = _Local()


def silent_since(now: float) -> float:
    """Since when this thread's operation has heard nothing; *now* outside of one."""
    return now if _local.began is None else _local.silent_since


def began_at(now: float) -> float:
    """When this thread's operation began; *now* outside of one."""
    return now if _local.began is None else _local.began


def answered(now: float) -> None:
    """The server answered this thread's operation: the next question has the whole deadline."""
    _local.silent_since = now


class _HasClock(Protocol):
    _clock: Clock


S = TypeVar("S", bound=_HasClock)


def as_one_operation(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Make a method one operation; one that it calls belongs to it."""

    @wraps(method)
    def bounded(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if _local.began is not None:
            return method(self, *args, **kwargs)
        _local.began = _local.silent_since = self._clock.monotonic()
        try:
            return method(self, *args, **kwargs)
        finally:
            _local.began = None

    return bounded
