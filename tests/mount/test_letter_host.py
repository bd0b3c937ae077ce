"""The host of real drive letters without Windows: a FUSE mount, and a kernel32 above POSIX.

What is tested is all that the host does around the calls: start, refusal, unmount, kill, remount,
commands of the user, letters, waiting for a close. The calls themselves: test_win32_calls.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.winnames import from_windows, to_windows
from simulators.fake_winfsp import constants as c
from tests.helpers import guards
from tests.scenario_runner.execution import run
from tests.scenario_runner.grammar import Scenario, load
from tests.scenario_runner.plugin import known_items
from tests.scenario_runner.servers import Server
from tests.scenario_runner.win32_calls import Found, Win32CallError
from tests.scenario_runner.winfsp_host import EPOCH_1601_100NS, LetterHost, excluded

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there the letter is real")

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios" / "pyftpdrive"
RUN = (
    "append-to-a-file",
    "bytes-of-an-open-file-are-gone",  # kill, remount
    "free-space",
    "held-bytes-are-gone",
    "refused-login-at-startup",
    "rename-a-file",
    "sleep-and-wake",
    "status-of-a-server-that-is-gone",
)
CODES = {2: 2, 13: 5, 17: 183, 20: 3, 21: 5, 39: 145, 110: 121, 5: 317, 107: 64, 103: 64, 113: 64}


class PosixKernel32:
    """Win32 calls on a directory that stands for a letter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def letters(self) -> set[str]:
        mounted = str(self.directory) in guards.fuse_mounts(self.directory.parent)
        return {"C:", *(["Z:"] if mounted else [])}

    def _at(self, path: str) -> str:
        letter, *parts = path.split("\\")
        assert letter == "Z:"
        return os.path.join(self.directory, *(from_windows(part) for part in parts if part))

    @contextmanager
    def _told(self, call: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Win32CallError(CODES[error.errno or 0], call) from error

    def create_file(self, path: str, access: int, share: int, how: int) -> int:
        assert share == c.FILE_SHARE_ALL
        flags = {
            c.CREATE_NEW: os.O_CREAT | os.O_EXCL,
            c.CREATE_ALWAYS: os.O_CREAT | os.O_TRUNC,
            c.OPEN_EXISTING: 0,
            c.OPEN_ALWAYS: os.O_CREAT,
        }[how]
        reads = access & c.GENERIC_READ
        if access & c.GENERIC_WRITE:
            flags |= os.O_RDWR if reads else os.O_WRONLY
        with self._told("CreateFile"):
            return os.open(self._at(path), flags, 0o644)

    def close_handle(self, handle: int) -> None:
        with self._told("CloseHandle"):
            os.close(handle)

    def read_file(self, handle: int, length: int, offset: int) -> bytes:
        with self._told("ReadFile"):
            return os.pread(handle, length, offset)

    def write_file(self, handle: int, data: bytes, offset: int) -> int:
        with self._told("WriteFile"):
            return os.pwrite(handle, data, offset)

    def get_file_size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def flush_file_buffers(self, handle: int) -> None:
        with self._told("FlushFileBuffers"):
            os.fsync(handle)

    def list_directory(self, path: str) -> list[str]:
        with self._told("FindFirstFile"):
            return [to_windows(name) for name in os.listdir(self._at(path))]

    def create_directory(self, path: str) -> None:
        with self._told("CreateDirectory"):
            os.mkdir(self._at(path))

    def delete_file(self, path: str) -> None:
        with self._told("DeleteFile"):
            os.unlink(self._at(path))

    def move_file_ex(self, path: str, target: str, flags: int) -> None:
        assert flags == c.MOVEFILE_REPLACE_EXISTING
        with self._told("MoveFileEx"):
            os.rename(self._at(path), self._at(target))

    def get_file_attributes_ex(self, path: str) -> Found:
        with self._told("GetFileAttributesEx"):
            found = os.stat(self._at(path))
        directory = os.path.isdir(self._at(path))
        moment = found.st_mtime_ns // 100 + EPOCH_1601_100NS
        return Found(
            name="",
            attributes=c.FILE_ATTRIBUTE_DIRECTORY if directory else c.FILE_ATTRIBUTE_ARCHIVE,
            file_size=found.st_size,
            creation_time=moment,
            last_access_time=moment,
            last_write_time=moment,
        )

    def get_disk_free_space_ex(self, path: str) -> tuple[int, int]:
        found = os.statvfs(self._at(path))
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


class DirectoryAsLetter(LetterHost):
    """The drive of its program is a directory; steps see a letter."""

    def __init__(self, scenario: Scenario, server: Server, work: Path) -> None:
        directory = work / "drive"
        directory.mkdir()
        kernel32: Any = PosixKernel32(directory)
        super().__init__(scenario, server, work, kernel32=kernel32)
        assert self.letter == "Z:"
        self._place = str(directory)
        self._environment["PYFTPDRIVE_MOUNT_DRIVE"] = self._place

    def _free(self) -> None:  # Windows takes a letter away with its program, FUSE does not
        guards.free_mount(self._place)
        super()._free()


@pytest.mark.parametrize("name", RUN)
def test_scenarios_run_on_a_program_of_their_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "1")
    scenario = load(SCENARIOS / f"{name}.toml", known_items())
    assert "winfsp" in scenario.hosts
    measured: list[int] = []
    run(
        scenario,
        "winfsp",
        "simulator",
        tmp_path,
        make=DirectoryAsLetter,
        note=lambda found: measured.append(found.count),
    )
    assert measured
    assert measured[0] or "mount_fails" in str(scenario.steps)


def test_what_a_letter_can_not_run_is_told() -> None:
    every = [load(file, known_items()) for file in sorted(SCENARIOS.glob("*.toml"))]
    reasons = {
        scenario.id: excluded(scenario, "win32") for scenario in every if "winfsp" in scenario.hosts
    }
    assert all(excluded(scenario, "linux") is None for scenario in every)
    told = {name for name, reason in reasons.items() if reason}
    assert told
    assert all("power_cut" in str(reason) for reason in reasons.values() if reason)
    assert len(told) < len(reasons) / 10
