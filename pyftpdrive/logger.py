"""The log: rotating, private, without secrets and without forged lines."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from pathlib import Path

from pyftpdrive.base.text import masked

LOG_BYTES_MAX = 1 << 20
LOG_FILES = 5
FORMAT = "%(asctime)s %(levelname)-7s %(threadName)s %(name)s: %(message)s"

_PASS = re.compile(r"\b(PASS|ACCT)\s+\S.*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class _Redacting(logging.Formatter):
    """Masks passwords and escapes control characters, so that a server can't write log lines."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__(FORMAT)
        forms = {form for text in secrets for form in (text, repr(text)[1:-1])}  # as repr writes it
        self._secrets = sorted(forms, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """One entry; a traceback keeps its lines, indented."""
        text = super().format(record)
        for secret in self._secrets:
            text = masked(text, secret)
        text = _PASS.sub(r"\1 ***", text)
        text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
        return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\n", "\n    ")


class _PrivateRotating(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner can read."""

    def _open(self) -> object:  # type: ignore[override]  # the base class names TextIOWrapper
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if sys.platform != "win32" and os.fstat(descriptor).st_uid == os.getuid():
            os.fchmod(descriptor, 0o600)  # it may be older than this rule
        return open(
            descriptor, "a", encoding="utf-8", errors="backslashreplace"
        )  # closed by logging

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """A full disk must not end the drive."""


def set_up(*, level: str, file: Path | None, console: bool, secrets: list[str]) -> str | None:
    """Send the package's log to *file* and, when asked, to the console.

    Returns a warning when the file can't be used; the program goes on without it.
    """
    root = logging.getLogger("pyftpdrive")
    root.setLevel(level)
    root.propagate = False
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    formatter = _Redacting(secrets)
    warning = None
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handler = _PrivateRotating(file, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES)
            handler.setFormatter(formatter)
            root.addHandler(handler)
        except OSError as error:
            warning = f"no log is written: {file}: {error.strerror or error}"
    if console:
        stream = logging.StreamHandler(sys.stderr)
        stream.setFormatter(formatter)
        root.addHandler(stream)
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    return warning
