"""winfspy's own file-system cases, written against NTFS, on any kernel32 that we have.

The cases are read from winfspy's package; here are only the Win32 calls that they name. They run
on its memory file system above the fake, on our drive above the fake, and on a real drive letter.
"""

# ruff: noqa: N802
from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simulators.fake_winfsp import Win32Error, constants, ntstatus
from simulators.fake_winfsp.security import parse_sddl
from tests.scenario_runner.win32_calls import Win32CallError

CASES = (
    "00_CreateFile_Dispositions",
    "01_CreateFile_Attributes",
    "02_CreateRemoveDirectory",
    "03_FindFiles",
    "04_MoveFile",
    "05_CreateFile_Truncation",
    "06_FileTimes",
    "07_SetGetFileAttributes",
    "08_CreateFile_Delete",
    "09_CreateFile_Sharing",
    "10_GetSetSecurity",
)
NOT_ON_OUR_DRIVE = {"10_GetSetSecurity": "FTP keeps no security descriptors"}
ON_OUR_DRIVE = tuple(case for case in CASES if case not in NOT_ON_OUR_DRIVE)
EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)
LOOK = constants.FILE_FLAG_BACKUP_SEMANTICS | constants.FILE_FLAG_OPEN_REPARSE_POINT


def filetime(value: datetime.datetime | int) -> int:
    if isinstance(value, int):
        if value == 0:
            return 0
        value = datetime.datetime(value, 1, 1, tzinfo=datetime.UTC)
    return (value - EPOCH) // datetime.timedelta(microseconds=1) * 10


def told(value: int) -> str:
    moment = EPOCH + datetime.timedelta(microseconds=value // 10)
    return moment.isoformat().replace("+00:00", "Z")


class Programs:
    """What the cases call, by the names that they use."""

    def __init__(self, kernel32: Any) -> None:
        self.kernel32 = kernel32

    def open(self, path: str, access: int, share: int, sddl: Any, how: int, flags: int) -> int:
        descriptor = parse_sddl(sddl) if sddl else None
        more = [descriptor] if descriptor else []
        return int(self.kernel32.create_file(path, access, share, how, flags, *more))

    def CreateFile(self, *arguments: Any, tell: bool = False) -> None:
        handle = self.open(*arguments[:6])
        error = self.kernel32.last_error
        self.kernel32.close_handle(handle)
        if tell:
            raise Win32Error(error, None, "CreateFile")

    def DeleteFile(self, path: str) -> None:
        self.kernel32.delete_file(path)

    def CreateDirectory(self, path: str, sddl: Any) -> None:
        self.kernel32.create_directory(path, *([parse_sddl(sddl)] if sddl else []))

    def RemoveDirectory(self, path: str) -> None:
        self.kernel32.remove_directory(path)

    def MoveFileEx(self, path: str, target: str, flags: int) -> None:
        self.kernel32.move_file_ex(path, target, flags)

    def SetFileAttributes(self, path: str, attributes: int) -> None:
        self.kernel32.set_file_attributes(path, attributes)

    def GetFileInformation(self, path: str) -> dict[str, Any]:
        with self.held(path, constants.FILE_READ_ATTRIBUTES) as handle:
            info = self.kernel32.get_file_information(handle)
        return {
            "FileAttributes": info.attributes,
            "FileSize": info.file_size,
            "CreationTime": told(info.creation_time),
            "LastAccessTime": told(info.last_access_time),
            "LastWriteTime": told(info.last_write_time),
        }

    def SetEndOfFile(self, path: str, size: int) -> None:
        with self.held(path, constants.GENERIC_WRITE) as handle:
            self.kernel32.set_end_of_file(handle, size)

    def SetFileTime(self, path: str, creation: Any, access: Any, write: Any) -> None:
        with self.held(path, constants.GENERIC_WRITE) as handle:
            times = (filetime(creation), filetime(access), filetime(write))
            self.kernel32.set_file_time(handle, *times)

    def FindFiles(self, path: str) -> list[dict[str, str]]:
        return [{"FileName": entry.name} for entry in self.kernel32.find_files(path)]

    def GetFileSecurity(self, path: str, information: int) -> dict[str, str]:
        return {"Sddl": self.kernel32.get_file_security(path, information)}

    def SetFileSecurity(self, path: str, information: int, sddl: str) -> None:
        self.kernel32.set_file_security(path, information, sddl)

    @contextmanager
    def held(self, path: str, access: int) -> Iterator[int]:
        handle = self.kernel32.create_file(path, access, constants.FILE_SHARE_ALL, flags=LOOK)
        try:
            yield handle
        finally:
            self.kernel32.close_handle(handle)


class Language:
    """The few words that the cases are written in."""

    def __init__(self, programs: Programs, root: str) -> None:
        self.programs = programs
        self.root = root
        self.names = itertools.count(1)

    def value(self, word: str) -> Any:
        if word.startswith("%s"):
            return word % self.root
        if ";" in word:
            return word
        if "T" in word and word[0].isdigit():
            moment = datetime.datetime.fromisoformat(word)
            return moment.replace(tzinfo=datetime.UTC)
        symbols = {**vars(constants), **vars(ntstatus)}
        return sum(int(part) if part.isdigit() else symbols[part] for part in word.split("+"))

    def call(self, command: str, *, function: Callable[..., Any] | None = None) -> Any:
        words = command.split()
        tell = words[0] == "-e"
        name, *arguments = words[1:] if tell else words
        values = [self.value(word) for word in arguments]
        keywords = {"tell": True} if tell else {}
        return (function or getattr(self.programs, name))(*values[:6], **keywords)

    def expect(self, command: str, expected: Any) -> tuple[Any, Any]:
        if isinstance(expected, str):
            with pytest.raises((Win32Error, Win32CallError)) as raised:
                self.call(command)
            error: Any = raised.value
            assert error.winerror == getattr(ntstatus, expected), command
            return error.winerror, None
        result = self.call(command)
        if callable(expected):
            assert expected((result,)), (command, result)
        return None, result if isinstance(result, list) else (result,)

    @contextmanager
    def expect_task(self, command: str, expected: int) -> Iterator[None]:
        handle = self.call(command, function=self.programs.open)
        yield
        self.programs.kernel32.close_handle(handle)

    def words(self) -> dict[str, Any]:
        def testeval(value: object) -> None:
            assert value

        return {
            "uniqname": lambda: f"%s\\case-{next(self.names)}",
            "expect": self.expect,
            "expect_task": self.expect_task,
            "testeval": testeval,
            "testdone": lambda: None,
        }


def script(cases: Path, case: str) -> str:
    """The text of *case* in the directory *cases*."""
    text = (cases / f"{case}.t").read_text(encoding="utf-8")
    return text.replace("from winfstest import *", "")


def run(kernel32: Any, root: str, cases: Path, case: str) -> None:
    """Run *case* below the directory *root*, without a backslash at its end."""
    language = Language(Programs(kernel32), root)
    exec(compile(script(cases, case), case, "exec"), language.words())
