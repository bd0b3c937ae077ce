"""`pyftpdrive doctor` as a user sees it: table, JSON, exit codes, Ctrl+C, kill."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyftpdrive import config as configuration
from pyftpdrive.control.channel import ControlServer
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.ftp import connected

SECRET = "s3cret-w0rd"
USERS = {"user": SECRET}
COMMAND = [sys.executable, "-m", "pyftpdrive", "doctor"]


def _arguments(server: FtpSimulator, *more: str) -> list[str]:
    return [f"{server.host}:{server.port}", "--username", "user", *more]


def _run(*arguments: str, password: str = SECRET) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, "PYFTPDRIVE_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def _running(server: FtpSimulator, *, until: str) -> Iterator[subprocess.Popen[bytes]]:
    """A doctor that has sent the command *until*."""
    with subprocess.Popen(
        [*COMMAND, *_arguments(server)],
        env={**os.environ, "PYFTPDRIVE_PASSWORD": SECRET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            deadline = time.monotonic() + 30
            pause = threading.Event()
            while not server.ledger.count(until):
                assert child.poll() is None
                assert time.monotonic() < deadline
                pause.wait(0.02)
            yield child
        finally:
            child.kill()


def _scratch(server: FtpSimulator) -> list[str]:
    return [path for path in server.tree() if "doctor" in path]


GOLDEN = """\
ftp://user@127.0.0.1:PORT
check                 verdict  seen
reachable             good     connected in N ms, greeting after N ms
login                 good     logged in as user
server                good     SwiFTP 3.1 ready (UNIX Type: L8; 8 features)
tls                   notice   the server has none: password and files can be read by others on the network
round trip            good     N ms (median of 5; the slowest N ms)
sessions              good     8 at a time, or more
listing               good     MLSD, 0 entries
data                  good     passive mode (EPSV)
free space            good     the server does not tell
writing               good     allowed
storing               good     a file came back as it was sent
reading               good     whole files and from an offset (REST)
times                 good     exact, in UTC (MLSD)
clock                 good     right
names                 notice   any script; but blanks at the end of a name are lost or changed
checksum              good     HASH SHA-256 is right: uploads are verified by it
setting times         good     works
resuming              good     APPE and REST with STOR keep what is there
renaming              good     does what it says
renaming over         good     replaces it
case                  good     'A' and 'a' are two names
deleting              good     works
removing directories  notice   the server removes a directory with everything in it; the drive guards you: it looks first
The server can be used; what is noted here is worth knowing.
- tls: Use it in networks that you trust only.
- names: Don't end names with a blank.
- removing directories: Be careful with other FTP programs on this server.
"""  # noqa: E501 (a table)


def _without_frame(text: str) -> str:
    """The table without its lines, what varies masked."""
    lines = []
    for line in text.splitlines():
        if not re.match(r"[┏┡└]", line):
            cells = [cell.strip() for cell in re.split("[│┃]", line.strip().strip("│┃"))]
            row = f"{cells[0]:<22}{cells[1]:<9}{cells[2]}" if len(cells) == 3 else cells[0]
            lines.append(re.sub(r"[\d.]+(e-\d+)? ms", "N ms", row))
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", "\n".join(lines) + "\n")


def test_people_get_a_table_a_sentence_and_remedies() -> None:
    with FtpSimulator("swiftp", users=USERS) as server:
        done = _run(*_arguments(server))

    assert done.returncode == 0, done.stderr
    assert _without_frame(done.stdout) == GOLDEN
    assert done.stderr == ""


def test_programs_get_json() -> None:
    with FtpSimulator("nas", users=USERS) as server:
        done = _run(*_arguments(server, "--json"))

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {"format", "server", "verdict", "summary", "findings", "profile"}
    assert (report["format"], report["verdict"]) == (1, "notice")
    assert report["server"] == f"ftp://user@{server.host}:{server.port}"
    for row in report["findings"]:
        assert set(row) == {"check", "verdict", "seen", "remedy", "facts"}
    assert report["profile"]["rename_over"] == "yes"
    assert SECRET not in done.stdout


def test_a_read_only_login_is_exit_11_and_says_what_to_do() -> None:
    with FtpSimulator("swiftp", users=USERS) as server:
        done = _run(f"ftp://{server.host}:{server.port}")

    assert done.returncode == 11
    assert "this login is read-only" in done.stdout
    assert "- writing: Add a user with a password in the server app" in done.stdout
    assert "not tried: there is nowhere to write (storing, clock," in done.stdout


def test_read_only_is_no_fault_when_it_was_asked_for() -> None:
    with FtpSimulator("swiftp", users=USERS) as server:
        done = _run(f"{server.host}:{server.port}", "--read-only")

        assert done.returncode == 0, done.stdout
        assert server.ledger.commands("MKD", "STOR", "DELE") == []
    assert "not tried: nothing is written with --read-only (writing, storing," in done.stdout


@pytest.mark.parametrize(
    ("fault", "password", "code", "words"),
    [
        (None, "wrong", 4, "Check --username and the password"),
        (Fault(fault="raw_reply", on="CONNECT", text="SSH-2.0-x\r\n"), SECRET, 10, "Check --port"),
        (Fault(fault="reply", on="CONNECT", nth=0, code=421, text="Full."), SECRET, 3,
         "Close other FTP programs"),
        (Fault(fault="reply", on="PASS", nth=0, code=530, text=f"bad {SECRET}"), SECRET, 4, "***"),
    ],
)  # fmt: skip
def test_without_a_session_the_exit_code_says_why(
    fault: Fault | None, password: str, code: int, words: str
) -> None:
    with FtpSimulator("nas", users=USERS, faults=[fault] if fault else []) as server:
        done = _run(*_arguments(server), password=password)

    assert done.returncode == code
    assert "The server can't be used: " in done.stdout
    assert words in done.stdout
    assert password not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_there_is_exit_3_in_json_too() -> None:
    with FtpSimulator("nas") as server:
        port = server.port
    done = _run(f"127.0.0.1:{port}", "--json")

    assert done.returncode == 3
    assert json.loads(done.stdout)["verdict"] == "bad"


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    done = _run("user:hunter2@127.0.0.1")

    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr


def test_a_mount_that_holds_the_only_session_is_named() -> None:
    with FtpSimulator("camera") as server, connected(server):
        mount = ControlServer(
            configuration.runtime_directory(),
            lambda _request: {},
            drive="/mnt/camera",
            server=server.url,
        )
        mount.start()
        try:
            done = _run(f"{server.host}:{server.port}")
        finally:
            mount.stop()

    assert done.returncode == 3
    assert "your drive on /mnt/camera holds what it allows" in done.stdout


def test_what_was_learned_is_kept_for_the_drive(isolated_home: Path) -> None:
    with FtpSimulator("mina", users=USERS) as server:
        _run(*_arguments(server))

        (file,) = (isolated_home / "state" / "pyftpdrive" / "profiles").iterdir()
        proofs = json.loads(file.read_text())["proofs"]

    assert proofs["rename_over"]["proof"] == "no"
    assert proofs["checksum"] == {**proofs["checksum"], "proof": "yes", "way": "MD5"}
    assert SECRET not in file.read_text()


@pytest.mark.parametrize(
    ("fault", "by"),
    [
        (Fault(fault="stall", on="APPE", after_bytes=100), signal.SIGINT),
        (Fault(fault="delay", on="APPE", seconds=1.0), signal.SIGINT),
        (Fault(fault="delay", on="RNFR", seconds=1.0), signal.SIGINT),  # its reply comes late
        (Fault(fault="stall", on="APPE", after_bytes=100), signal.SIGTERM),
    ],
)
def test_ctrl_c_leaves_nothing_on_the_server(fault: Fault, by: signal.Signals) -> None:
    with FtpSimulator("nas", users=USERS, faults=[fault]) as server:
        with _running(server, until=fault.on) as child:
            assert _scratch(server)
            child.send_signal(by)
            _, said = child.communicate(timeout=30)

        assert child.returncode == 1
        assert said.strip() == b"pyftpdrive: interrupted"
        assert _scratch(server) == []


def test_what_a_killed_run_left_is_removed_by_a_later_one() -> None:
    with FtpSimulator("nas", users=USERS) as server:
        server.inject(Fault(fault="stall", on="APPE", after_bytes=100))
        with _running(server, until="APPE") as child:
            child.kill()
            child.wait(30)
        left = "/" + _scratch(server)[0].split("/")[1]
        old = re.sub("-[0-9a-f]{8}", f"-{int(time.time()) - 61:08x}", left)
        server.rename(left, old)  # a minute later

        done = _run(*_arguments(server))

        assert done.returncode == 0
        assert _scratch(server) == []
