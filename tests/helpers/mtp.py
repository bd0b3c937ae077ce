"""The parent's side of `mtp_program`: start it, ask it, see it die."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from simulators.fake_libmtp import (
    CompilerMissingError,
    FakeDevice,
    FakeUsb,
    Profile,
    build,
)

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0


class DiedError(Exception):
    """The program ended instead of answering; `code` is its exit code, negative for a signal."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(f"ended with {code}: {stderr[-2000:]}")
        self.code = code


class MtpProgram:
    """A running `mtp_program`. Calling a method asks for the operation of that name."""

    def __init__(
        self,
        library: Path | str,
        folder: Path,
        environment: dict[str, str],
        *,
        wrapper: Sequence[str] = (),
    ) -> None:
        number = len(list(folder.glob("stdout*")))
        self._stdout = folder / f"stdout{number}"
        self._stderr = folder / f"stderr{number}"
        reading, writing = os.pipe()
        try:
            with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
                self.process = subprocess.Popen(
                    [
                        *wrapper,
                        *(sys.executable, "-m", "tests.helpers.mtp_program", str(library)),
                        str(writing),
                    ],
                    cwd=PROJECT,
                    env={**os.environ, "TZ": "UTC", **environment},
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=err,
                    pass_fds=(writing,),
                )
        finally:
            os.close(writing)
        self._answers = os.fdopen(reading, "r", encoding="utf-8")

    def __enter__(self) -> MtpProgram:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **arguments: self.ask(name, **arguments)

    def start(self, name: str, /, **arguments: object) -> None:
        """Ask without waiting."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, arguments]).encode() + b"\n")
        self.process.stdin.flush()

    def answered(self, within_s: float) -> bool:
        """Whether an answer, or the end, came in time."""
        return bool(select.select([self._answers], [], [], within_s)[0])

    def answer(self) -> Any:
        """The answer to `start`.

        Raises:
            DiedError: the program ended.
        """
        assert self.answered(PATIENCE_S), "no answer"
        line = self._answers.readline()
        if not line:
            raise DiedError(self.process.wait(PATIENCE_S), self.stderr())
        return json.loads(line)

    def ask(self, name: str, /, **arguments: object) -> Any:
        """Do one thing."""
        self.start(name, **arguments)
        return self.answer()

    def stdout(self) -> str:
        """What the library printed."""
        return self._stdout.read_text(errors="replace")

    def stderr(self) -> str:
        """What the library complained about."""
        return self._stderr.read_text(errors="replace")

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self.process.kill()
        self.end()

    def end(self) -> int:
        """Close its input and wait for it; its exit code."""
        if self.process.stdin and not self.process.stdin.closed:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._answers.close()
        return code


class Bench:
    """A bus with one device, and programs that use it."""

    def __init__(self, folder: Path, library: Path, usb: FakeUsb, phone: FakeDevice) -> None:
        self.folder = folder
        self.library = library
        self.usb = usb
        self.phone = phone
        self._programs: list[MtpProgram] = []

    def program(self, *, opened: bool = True, **environment: str) -> MtpProgram:
        """A new process; *opened*: it has the device open."""
        program = MtpProgram(self.library, self.folder, {**self.usb.environment(), **environment})
        self._programs.append(program)
        if opened:
            assert program.open() == 0, program.stderr()
        return program

    def end(self) -> None:
        """End the programs."""
        for program in self._programs:
            program.end()

    def struck(self) -> list[str]:
        """The faults that struck, by kind."""
        return [fault.fault for fault in self.usb.ledger.faults()]


def fake_library(*, newer: bool = False) -> Path:
    """The compiled fake; the test is skipped where it can't be compiled."""
    try:
        return build(newer=newer)
    except CompilerMissingError as missing:
        pytest.skip(str(missing))


@contextmanager
def bench(
    folder: Path, profile: str | Profile = "android", *, newer: bool = False, **plug: Any
) -> Iterator[Bench]:
    """A bus with one device; *plug* goes to `FakeUsb.plug`."""
    usb = FakeUsb(folder / "usb")
    made = Bench(folder, fake_library(newer=newer), usb, usb.plug(profile, **plug))
    try:
        yield made
    finally:
        made.end()


def codes(errors: list[list[Any]]) -> list[str]:
    """The codes on an error stack: "200c" for a response, "8" for libmtp's own."""
    found = [re.search(r"PTP Layer error ([0-9a-f]{4})", text) for _number, text in errors]
    return [
        match[1] if match else str(number)
        for (number, text), match in zip(errors, found, strict=True)
        if match or not text.startswith("Error ")
    ]


def by_name(rows: list[dict[str, Any]] | None) -> dict[str | None, dict[str, Any]]:
    """A list's rows by their names."""
    return {row["name"]: row for row in rows or ()}
