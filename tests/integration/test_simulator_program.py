"""The FTP simulator as a program."""

from __future__ import annotations

import ftplib
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "simulators.ftp_server", "--port", "0", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on ftp://127.0.0.1:"), line
            yield process, int(line.rpartition(":")[2])
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_program_serves_until_a_signal(number: signal.Signals) -> None:
    with running() as (process, port):
        with ftplib.FTP(timeout=10) as ftp:
            ftp.connect("127.0.0.1", port)
            ftp.login()
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, output, errors) == (0, "", "")


def test_program_takes_profile_user_root_and_fault(tmp_path: Path) -> None:
    fault = "on=STOR,nth=2,fault=reply,code=452,text=no\\, full"
    options = ["--profile", "swiftp", "--user", "ann:pw", "--root", str(tmp_path), "--fault", fault]
    with running(*options) as (_process, port), ftplib.FTP(timeout=10) as ftp:
        assert "SwiFTP" in ftp.connect("127.0.0.1", port)
        ftp.login("ann", "pw")
        ftp.storbinary("STOR a", io.BytesIO(b"one"))
        with pytest.raises(ftplib.error_temp, match="452 no, full"):
            ftp.storbinary("STOR b", io.BytesIO(b"two"))
    assert (tmp_path / "a").read_bytes() == b"one"


def test_program_puts_sample_files_with_awkward_names() -> None:
    with running("--sample-files") as (_process, port), ftplib.FTP(timeout=10) as ftp:
        ftp.connect("127.0.0.1", port)
        ftp.login()
        names = "".join(ftp.nlst("Documents"))
    assert all(part in names for part in (" ", "'", "[", "%", "\u65e5"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--profile", "wuftpd"], "there is no profile 'wuftpd'"),
        (["--fault", "on=STOR"], "the key fault is missing"),
        (["--fault", "fault=explode"], "there is no fault 'explode'"),
        (["--user", "ann"], "NAME:PASSWORD"),
        (["--port", "99999"], "between 0 and 65535"),
        (["--root", "/does/not/exist"], "/does/not/exist: Not a directory"),
        (["--port", "many"], "invalid int value"),
    ],
)
def test_program_says_what_is_wrong_in_one_line(arguments: list[str], says: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "simulators.ftp_server", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
