"""Again, after a pause that grows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_RETRIES = 3
FIRST_PAUSE_S = 0.5


def with_retries(
    work: Callable[[], T],
    on: type[Exception] | tuple[type[Exception], ...],
    *,
    retries: int = MAX_RETRIES,
    pause_s: float = FIRST_PAUSE_S,
) -> T:
    """The result of *work*, which is run again after each of *on*, *retries* times at most.

    Raises:
        Exception: the last of *on*, or whatever else *work* raised.
    """
    for attempt in range(retries):
        try:
            return work()
        except on as error:
            log.info("again in %.1f s: %s", pause_s * 2**attempt, error)
            threading.Event().wait(pause_s * 2**attempt)
    return work()
