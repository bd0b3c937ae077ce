"""Questions to the server that a program waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pyftpdrive.base.errors import RemoteError, RemoteTimeout
from pyftpdrive.core.error_map import fs_error
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import Job, JobControl, Priority

T = TypeVar("T")


def run(
    engine: Engine,
    label: str,
    work: Callable[[FtpClient, JobControl], T],
    *,
    in_doubt: Callable[[], Callable[[], None]] | None = None,
) -> T:
    """Run *work* on a session as foreground metadata.

    *in_doubt* is called when the program's patience ends while the server is still at it; what
    it returns is called when the outcome is known.

    Raises:
        FsError: what went wrong, in a program's words.
    """
    known: list[Callable[[], None]] = []
    guard = threading.Lock()

    def ended(_job: Job[T]) -> None:
        with guard:
            late = known.pop() if known else None
            known.append(lambda: None)
        if late is not None:
            late()

    job = engine.job(label, work, priority=Priority.METADATA, on_done=ended)
    try:
        return engine.wait(engine.submit(job))
    except RemoteTimeout as error:
        with guard:
            if in_doubt is not None and not known:
                known.append(in_doubt())
        raise fs_error(error) from error
    except RemoteError as error:
        raise fs_error(error) from error
