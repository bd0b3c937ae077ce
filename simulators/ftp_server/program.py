"""The simulator as a program: `python -m simulators.ftp_server`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from simulators.ftp_server.faults import Fault, FaultError
from simulators.ftp_server.profiles import PROFILES
from simulators.ftp_server.simulator import FtpSimulator

_SAMPLES: dict[str, bytes] = {
    "/Welcome.txt": b"This file is on the built-in FTP server.\nEdit it, save it, look again.\n",
    "/Documents/Shopping list.txt": b"bread\nbutter\ncoffee\n",
    "/Documents/Grandma's recipes.md": b"# Apple pie\n\n- 6 apples\n- 200 g flour\n",
    "/Documents/Caf\u00e9 M\u00fcnchen \u2014 \u65e5\u672c.txt": (
        "Unicode names work: \u00e4\u00f6\u00fc \u65e5\u672c\n".encode()
    ),
    "/Documents/[draft] 100% -final-.txt": b"brackets, per cent and dashes\n",
    "/Pictures/pixel.ppm": b"P6 1 1 255\n\x20\x80\xc0",
    "/Pictures/Empty.txt": b"",
    "/code/hello.py": b'print("hello over FTP")\n',
    "/code/README.md": b"# Sample project\n\nOpen this folder in your editor.\n",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m simulators.ftp_server",
        description="An FTP server that behaves like a real one, or goes wrong on purpose.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=int, default=2121, help="port; 0 takes a free one (default: 2121)")
    add("--root", type=Path, help="directory to serve (default: an empty tree in memory)")
    add("--profile", default="vsftpd", help=f"server to be: {', '.join(PROFILES)}")
    add("--user", action="append", default=[], metavar="NAME:PASSWORD", help="may be repeated")
    add("--read-only", action="store_true", help="refuse all writing")
    add("--tls", choices=("explicit", "implicit"), help="FTPS")
    add("--require-session-reuse", action="store_true", help="as vsftpd's require_ssl_reuse")
    add("--sessions-max", type=int, help="sessions at a time (default: the profile's)")
    add("--fault", action="append", default=[], metavar="on=STOR,nth=2,fault=reset,after_bytes=1")
    add("--seed", type=int, default=0, help="for faults that throw dice")
    add("--sample-files", action="store_true", help="put a few files there to look at")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 0 then, 2 for arguments that make no sense."""
    parser = _parser()
    options = parser.parse_args(arguments)
    users: dict[str, str] = {}
    for pair in options.user:
        name, colon, password = pair.partition(":")
        if not name or not colon:
            parser.error(f"--user {name}: it is NAME:PASSWORD")
        users[name] = password
    if not 0 <= options.port < 65536:
        parser.error(f"--port {options.port}: it is between 0 and 65535")
    stop = threading.Event()
    ends = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        ends.append(signal.SIGBREAK)  # what one process can send another there
    for number in ends:
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        faults = [Fault.from_text(text) for text in options.fault]
        simulator = FtpSimulator(
            options.profile,
            options.root,
            users=users or None,
            read_only=options.read_only,
            tls=options.tls,
            require_session_reuse=options.require_session_reuse,
            sessions_max=options.sessions_max,
            seed=options.seed,
            faults=faults,
            host=options.host,
            port=options.port,
        )
    except FaultError as error:
        parser.error(f"--fault: {error}")
    except ValueError as error:
        parser.error(str(error))
    except (OSError, OverflowError) as error:
        where = options.root if isinstance(error, NotADirectoryError) else ""
        reason = error.strerror if isinstance(error, OSError) else str(error)
        parser.error(f"{where or f'{options.host}:{options.port}'}: {reason}")
    with simulator:
        if options.sample_files:
            for path, data in _SAMPLES.items():
                if not simulator.exists(path):
                    simulator.put(path, data)
        print(f"listening on {simulator.url}", flush=True)
        if options.tls:
            print(f"CA file {simulator.ca_file}", file=sys.stderr, flush=True)
        while not stop.wait(1.0):  # without a limit Windows would not let a signal in
            pass
    return 0
