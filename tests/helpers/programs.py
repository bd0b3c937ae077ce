"""Programs that tests start: Python processes that can be ended in order, killed and suspended.

On Windows each has a process group of its own: CTRL+BREAK is what one process can send another
there, and SIGTERM would be a kill. A virtual environment's `python.exe` only starts the real one;
it is started directly, so that the process that tests know is the one that runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def python(environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The interpreter that runs this, as a command, and the environment that it needs."""
    program = sys.executable
    more: dict[str, str] = {}
    if sys.platform == "win32":
        base = str(getattr(sys, "_base_executable", sys.executable))
        if os.path.normcase(base) != os.path.normcase(sys.executable):
            # As multiprocessing does it: the interpreter then finds the environment's packages.
            program, more = base, {"__PYVENV_LAUNCHER__": sys.executable}
    return [program], {**environment, **more}


def start(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: IO[Any],
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """`python ARGUMENTS`, in a group of its own; what it prints goes to *output*."""
    command, env = python(environment)
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(
        [*command, *arguments],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        **options,
    )


def ask_to_end(process: subprocess.Popen[Any], *, interrupt: bool = False) -> None:
    """SIGTERM, or SIGINT as at Ctrl+C; CTRL+BREAK on Windows, for both."""
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    else:
        process.send_signal(signal.SIGINT if interrupt else signal.SIGTERM)


def suspend_for(process: subprocess.Popen[Any], seconds: float) -> None:
    """Nothing of the program runs for so long; its sockets stay."""
    if sys.platform == "win32":
        import psutil

        stopped = psutil.Process(process.pid)
        stopped.suspend()
        threading.Event().wait(seconds)
        stopped.resume()
    else:
        process.send_signal(signal.SIGSTOP)
        threading.Event().wait(seconds)
        process.send_signal(signal.SIGCONT)
