"""The log: what was done, and each error in full; rotating, in the user's state folder."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path

from mtpsync.config import state_folder
from mtpsync.errors import UsageError

LOG_BYTES_MAX = 1 << 20


def log_to(file: Path | None) -> None:
    """Begin to write it, to *file* or where it is by default.

    Raises:
        UsageError: it can't be written.
    """
    path = file or state_folder() / "sync.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_BYTES_MAX, backupCount=5, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        raise UsageError(f"the log can't be written: {error}", remedy="see --log-file") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger("mtpsync")
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
