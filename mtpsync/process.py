"""The worker as its parent sees it: asked one thing at a time, ended when it does not answer."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtpsync.messages import BrokenMessage, Message, Messages, encoded

_ROOT = Path(__file__).resolve().parents[1]
_CONTROL = struct.Struct("!Q")
_END_S = 5.0  # a process that was killed ends at once, or hangs in the kernel
_WORDS_MAX = 2000

Hear = Callable[[Message], None]


class WorkerLost(Exception):
    """It is gone, and with it the session: it hung, crashed, or talked nonsense."""

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(reason)
        self.words = words  # the last that libmtp printed


class WorkerProcess:
    """A running worker. Not thread-safe, except `cancel`."""

    def __init__(self) -> None:
        """Start it.

        Its standard output and error are a file without a name from its first moment on, so what
        libmtp prints can't reach ours. Away from the terminal's group, Ctrl+C does not reach it.
        """
        self._number = 0
        self._messages = Messages()
        self._waiting: list[Message] = []
        with contextlib.ExitStack() as opened:
            self._log = opened.enter_context(tempfile.TemporaryFile("a+b"))
            self._line, theirs = socket.socketpair()
            opened.callback(self._line.close)
            with theirs:
                self._control, listening = socket.socketpair()
                opened.callback(self._control.close)
                with listening:
                    self._process = self._start(theirs, listening)
            self._control.settimeout(0)
            self._opened = opened.pop_all()

    def _start(self, line: socket.socket, control: socket.socket) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        words = [str(line.fileno()), str(control.fileno())]
        return subprocess.Popen(  # noqa: S603 (this Python, our module)
            # -P, and another folder: the one in which somebody works may hold any json.py.
            [sys.executable, "-P", "-m", "mtpsync.worker", *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(line.fileno(), control.fileno()),
            env={**os.environ, "PYTHONPATH": path},
            cwd="/",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, do: str, silence_s: float, hear: Hear | None, what: dict[str, Any]) -> Message:
        """The last message about a request; *hear* gets those before.

        Between two messages pass *silence_s* at most.

        Raises:
            WorkerLost: it did not answer in time, ended, or talked nonsense. It is dead.
        """
        self._number += 1
        try:
            self._line.settimeout(silence_s)
            self._line.sendall(encoded({"n": self._number, "do": do, "with": what}))
            for message in self._heard(silence_s):
                if message.get("n") != self._number:
                    raise BrokenMessage("an answer to another question")
                if "done" in message or "failed" in message:
                    return message
                if hear is not None:
                    hear(message)
        except TimeoutError:
            self.kill()
            raise WorkerLost(f"no answer for {silence_s:.3g} s", self.words()) from None
        except OSError:
            pass
        except BrokenMessage as nonsense:
            self.kill()
            raise WorkerLost(f"the worker's answer makes no sense: {nonsense}") from nonsense
        raise WorkerLost(self._how_it_ended(), self.words())

    def _heard(self, silence_s: float) -> Iterator[Message]:
        """Messages until the worker's end."""
        until = time.monotonic() + silence_s
        while True:
            while self._waiting:
                yield self._waiting.pop(0)
                until = time.monotonic() + silence_s
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._line.settimeout(left)
            octets = self._line.recv(1 << 16)
            if not octets:
                return
            self._waiting.extend(self._messages.feed(octets))

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_END_S)
            if code < 0:
                with contextlib.suppress(ValueError):
                    return f"libmtp crashed ({signal.Signals(-code).name})"
            return f"the worker ended with {code}"
        self.kill()
        return "the worker stopped talking"

    def words(self) -> str:
        """The last that libmtp printed."""
        with contextlib.suppress(OSError, ValueError):
            size = self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, size - _WORDS_MAX))
            return self._log.read().decode("utf-8", "replace").strip()
        return ""

    def cancel(self) -> None:
        """Stop the transfer that is asked for now; from any thread or signal handler."""
        with contextlib.suppress(OSError):
            self._control.send(_CONTROL.pack(self._number))

    def end(self, silence_s: float) -> None:
        """Let it close the session, but not for long."""
        with contextlib.suppress(WorkerLost):
            self.ask("close", silence_s, None, {})
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(silence_s)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def close(self) -> None:
        """Give back what this side holds, the process included."""
        self.kill()
        self._opened.close()
