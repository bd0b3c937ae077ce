"""A drive on a real letter, as users have it: `pyftpdrive mount` as a program."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulators.ftp_server import FtpSimulator
from tests.helpers import programs
from tests.scenario_runner.win32_calls import real_kernel32
from tests.scenario_runner.winfsp_host import free_letter

START_S = 60.0
END_S = 60.0
PROJECT = Path(__file__).resolve().parents[2]


@contextmanager
def mounted(work: Path, profile: str = "swiftp") -> Iterator[tuple[str, FtpSimulator]]:
    r"""The letter (`Z:`) of a drive, and its server; unmounted in order at the end."""
    kernel32 = real_kernel32()
    letter = free_letter(kernel32.letters(), "gw0", 1)
    environment = {
        **os.environ,
        "PYFTPDRIVE_RUNTIME_DIR": str(work / "run"),
        "PYFTPDRIVE_CACHE_DIRECTORY": str(work / "cache"),
        "PYFTPDRIVE_UPLOAD_DIRECTORY": str(work / "upload"),
        "PYFTPDRIVE_LOGGING_FILE": str(work / "pyftpdrive.log"),
        "PYFTPDRIVE_LOGGING_LEVEL": "DEBUG",
        "PYFTPDRIVE_PASSWORD": "secret",
        "PYTHONPATH": str(PROJECT),
    }
    with FtpSimulator(profile, users={"ann": "secret"}) as server:
        server.put("/Documents/readme.txt", b"hello")
        arguments = ["-m", "pyftpdrive", "mount", "--host", server.host]
        arguments += ["--port", str(server.port), "--username", "ann", "--drive", letter[0]]
        with (work / "output").open("wb") as output:
            child = programs.start(arguments, environment=environment, output=output)
        try:
            until = time.monotonic() + START_S
            while letter not in kernel32.letters() and time.monotonic() < until:
                assert child.poll() is None, _said(work)
                time.sleep(0.1)
            assert letter in kernel32.letters(), _said(work)
            yield letter, server
            programs.ask_to_end(child)
            assert child.wait(END_S) == 0, _said(work)
            assert letter not in kernel32.letters()
        except BaseException:
            print(_said(work), file=sys.stderr)
            raise
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _said(work: Path) -> str:
    """What the program printed and logged."""
    files = [work / "output", work / "pyftpdrive.log"]
    return "\n".join(
        file.read_text(encoding="utf-8", errors="replace") for file in files if file.exists()
    )
