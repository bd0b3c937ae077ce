"""The log: private, without secrets, without forged lines, and never in the way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyftpdrive import logger


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "logs" / "pyftpdrive.log"
    assert logger.set_up(level="DEBUG", file=file, console=False, secrets=["hunter2"]) is None
    yield file
    root = logging.getLogger("pyftpdrive")
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.NOTSET)
    root.propagate = True


def is_private(file: Path) -> bool:
    """True on Windows, where the user's directories are."""
    return sys.platform == "win32" or file.stat().st_mode & 0o077 == 0


def test_only_the_owner_can_read_it(log: Path) -> None:
    logging.getLogger("pyftpdrive.x").info("hello")

    assert is_private(log)
    assert "hello" in log.read_text()


def test_an_older_file_becomes_private(tmp_path: Path, log: Path) -> None:
    old = tmp_path / "old.log"
    old.write_text("")
    old.chmod(0o644)

    logger.set_up(level="INFO", file=old, console=False, secrets=[])

    assert is_private(old)


@pytest.mark.parametrize("text", ["> PASS hunter2", "> PASS other", "word hunter2 in a text"])
def test_passwords_are_masked(log: Path, text: str) -> None:
    logging.getLogger("pyftpdrive.x").info("%s", text)

    written = log.read_text()
    assert "hunter2" not in written
    assert "other" not in written
    assert "***" in written


@pytest.mark.parametrize(
    ("secret", "line", "masked"),
    [("x", "530 x is wrong", "530 *** is wrong"), ("ab", "'ab' from table", "'***' from table")],
)
def test_short_passwords_are_masked_where_they_stand_alone(
    tmp_path: Path, log: Path, secret: str, line: str, masked: str
) -> None:
    file = tmp_path / "short.log"
    logger.set_up(level="DEBUG", file=file, console=False, secrets=[secret])

    logging.getLogger("pyftpdrive.x").info("%s", line)

    assert masked in file.read_text()


def test_a_server_can_not_write_lines_of_its_own(log: Path) -> None:
    logging.getLogger("pyftpdrive.x").info("%s", "220 hi\n2026-01-01 CRITICAL forged\x1b[31m\r")

    lines = log.read_text().splitlines()
    assert not any(line.startswith("2026-01-01 CRITICAL") for line in lines)
    assert "\x1b" not in log.read_text()
    assert "\r" not in log.read_text()


def test_names_that_are_no_unicode_can_be_logged(log: Path) -> None:
    # Straight to our handler: pytest-xdist can't carry such text in what it captures.
    handler = next(h for h in logging.getLogger("pyftpdrive").handlers if hasattr(h, "maxBytes"))
    handler.handle(
        logging.LogRecord("pyftpdrive.x", logging.INFO, __file__, 1, "%s", ("\udcff name",), None)
    )

    assert "\\udcff name" in log.read_text()


def test_it_rotates(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = next(h for h in logging.getLogger("pyftpdrive").handlers if hasattr(h, "maxBytes"))
    monkeypatch.setattr(handler, "maxBytes", 500)

    for number in range(50):
        logging.getLogger("pyftpdrive.x").info("line %d", number)

    files = sorted(log.parent.iterdir())
    assert 2 <= len(files) <= logger.LOG_FILES + 1
    assert all(map(is_private, files))


def test_a_directory_that_can_not_be_made_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    warning = logger.set_up(level="INFO", file=tmp_path / "file" / "log", console=False, secrets=[])

    assert warning is not None
    assert "no log is written" in warning
    logging.getLogger("pyftpdrive").handlers.clear()
    logging.getLogger("pyftpdrive").propagate = True
    logging.getLogger("pyftpdrive").setLevel(logging.NOTSET)
