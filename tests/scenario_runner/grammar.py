"""Scenario files: strict reading, with the line of whatever is wrong. See scenarios/README.md."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyftpdrive.base.errors import FsStatus
from tests.scenario_runner.content import BadContent, content

HOSTS = ("direct", "fuse", "winfsp")
ERRORS = {status.name.lower(): status for status in FsStatus}

_TOP = {"id", "why", "covers", "hosts", "seed", "server", "config", "steps", "expect", "logs"}
_SERVER = {
    "profile", "users", "read_only", "sessions_max", "tls", "files", "sparse", "directories",
    "faults", "real",
}
_EXPECT = {"remote", "absent", "directories", "commands", "pending", "held", "sessions_max"}

# Step -> (required, optional) keys. 'error' is allowed in each.
STEPS: dict[str, tuple[set[str], set[str]]] = {
    "list": ({"path"}, {"names", "count", "contains", "lacks"}),
    "read": ({"path"}, {"content", "offset", "length"}),
    "write": ({"path", "content"}, {"mode", "offset"}),
    "truncate": ({"path", "size"}, set()),
    "delete": ({"path"}, set()),
    "mkdir": ({"path"}, set()),
    "rmdir": ({"path"}, set()),
    "rename": ({"from", "to"}, set()),
    "copy": ({"from", "to"}, set()),
    "stat": ({"path"}, {"kind", "size", "modified"}),
    "set_times": ({"path", "modified"}, set()),
    "open": ({"path", "as"}, {"mode"}),
    "write_handle": ({"as", "content"}, {"offset"}),
    "read_handle": ({"as"}, {"offset", "length", "content"}),
    "fsync": ({"as"}, set()),
    "close": ({"as"}, set()),
    "space": (set(), set()),
    "wait": ({"until", "within_s"}, set()),
    "server": (
        {"do"},
        {"path", "content", "fault", "seconds"},
    ),
    "unmount": (set(), {"open_files"}),
    "remount": (set(), set()),
    "run": ({"command"}, {"directory", "output", "exit"}),
    "parallel": ({"branches"}, set()),
    "repeat": ({"times", "steps"}, set()),
}  # fmt: skip
SERVER_ACTIONS = (
    "put", "remove", "mkdir", "restart", "stop", "freeze", "thaw", "disconnect_all",
    "fault", "clear_faults",
)  # fmt: skip
UNTIL = ("spool_empty", "pending", "held")


class ScenarioError(Exception):
    """The file is not a scenario; the text begins with file and line."""


@dataclass(slots=True)
class Step:
    """One thing that happens."""

    action: str
    arguments: dict[str, Any]
    line: int

    @property
    def error(self) -> FsStatus | None:
        """What the program is to be told; None: it succeeds."""
        word = self.arguments.get("error")
        return ERRORS[word] if word else None


@dataclass(slots=True)
class Scenario:
    """One file."""

    file: Path
    id: str
    why: str
    covers: list[str]
    hosts: list[str]
    seed: int
    server: dict[str, Any]
    config: dict[str, Any]
    steps: list[Step]
    expect: dict[str, Any]
    logs: list[str] = field(default_factory=list)

    @property
    def fits_real_servers(self) -> bool:
        """True when nothing in it needs the simulator."""
        server = self.server
        plain = not (set(server) - {"files", "directories", "real"}) and server.get("real", True)
        quiet = all(
            step.arguments.get("do") in ("put", "remove", "mkdir")
            for step in all_steps(self.steps)
            if step.action == "server"
        )
        return plain and quiet and "commands" not in self.expect


def all_steps(steps: list[Step]) -> list[Step]:
    """Steps with those inside of them."""
    found: list[Step] = []
    for step in steps:
        found.append(step)
        if step.action == "parallel":
            for branch in step.arguments["branches"]:
                found += all_steps(branch)
        elif step.action == "repeat":
            found += all_steps(step.arguments["steps"])
    return found


class _Reader:
    """One file being read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.text = file.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()

    def fail(self, message: str, line: int = 1) -> ScenarioError:
        return ScenarioError(f"{self.file}:{line}: {message}")

    def line_of(self, word: str, start: int = 1) -> int:
        """The first line from *start* on where *word* is a key or a value."""
        pattern = re.compile(rf"(?<![\w-])\"?{re.escape(word)}\"?(?![\w-])")
        for number in range(start, len(self.lines) + 1):
            if pattern.search(self.lines[number - 1].split("#")[0]):
                return number
        return start

    def only(self, found: dict[str, Any], known: set[str], where: str, start: int = 1) -> None:
        for key in found:
            if key not in known:
                raise self.fail(
                    f"unknown key {key!r} in {where}; known: {', '.join(sorted(known))}",
                    self.line_of(key, start),
                )

    def content(self, value: object, line: int) -> None:
        try:
            if not isinstance(value, str):
                raise BadContent(f"{value!r} is not content")
            content(value)
        except BadContent as error:
            raise self.fail(str(error), line) from error

    def steps(self, raw: object, start: int) -> list[Step]:
        if not isinstance(raw, list) or not raw:
            raise self.fail("steps is a list with at least one step", start)
        steps: list[Step] = []
        line = start
        for found in raw:
            if not isinstance(found, dict) or len(found) != 1:
                raise self.fail("a step is a table with one action, { write = { … } }", line)
            ((action, arguments),) = found.items()
            line = self.line_of(action, line if not steps else line + (action == steps[-1].action))
            steps.append(self.step(action, arguments, line))
        return steps

    def step(self, action: str, arguments: object, line: int) -> Step:
        if action not in STEPS:
            raise self.fail(f"unknown step {action!r}; known: {', '.join(sorted(STEPS))}", line)
        if not isinstance(arguments, dict):
            raise self.fail(f"{action} wants a table", line)
        required, optional = STEPS[action]
        self.only(arguments, required | optional | {"error"}, action, line)
        missing = required - set(arguments)
        if missing:
            raise self.fail(f"{action} lacks {', '.join(sorted(missing))}", line)
        arguments = dict(arguments)
        if "error" in arguments and arguments["error"] not in ERRORS:
            raise self.fail(f"error is one of {', '.join(sorted(ERRORS))}", line)
        if "content" in arguments:
            self.content(arguments["content"], line)
        if action == "server" and arguments["do"] not in SERVER_ACTIONS:
            raise self.fail(f"server does one of {', '.join(SERVER_ACTIONS)}", line)
        if action == "wait" and arguments["until"] not in UNTIL:
            raise self.fail(f"wait until one of {', '.join(UNTIL)}", line)
        if action == "parallel":
            arguments["branches"] = [self.steps(b, line) for b in arguments["branches"]]
        if action == "repeat":
            arguments["steps"] = self.steps(arguments["steps"], line)
        return Step(action, arguments, line)


def load(file: Path, known_items: set[str]) -> Scenario:
    """Read one scenario.

    Raises:
        ScenarioError: with file, line and what would be right.
    """
    reader = _Reader(file)
    try:
        raw = tomllib.loads(reader.text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise reader.fail(f"not TOML: {error}", int(found[1]) if found else 1) from error
    reader.only(raw, _TOP, "a scenario")
    for key in ("id", "why", "covers", "hosts", "steps"):
        if not raw.get(key):
            raise reader.fail(f"{key} is missing")
    if raw["id"] != file.stem:
        raise reader.fail(f"id is {raw['id']!r}, the file is {file.stem!r}", reader.line_of("id"))
    for host in raw["hosts"]:
        if host not in HOSTS:
            raise reader.fail(
                f"unknown host {host!r}; known: {', '.join(HOSTS)}", reader.line_of(host)
            )
    for item in raw["covers"]:
        if item not in known_items:
            raise reader.fail(
                f"covers {item!r}, which scenarios/checklist.toml lacks", reader.line_of("covers")
            )
    server = raw.get("server", {})
    reader.only(server, _SERVER, "server", reader.line_of("server"))
    for value in server.get("files", {}).values():
        reader.content(value, reader.line_of("files"))
    expect = raw.get("expect", {})
    reader.only(expect, _EXPECT, "expect", reader.line_of("expect"))
    for value in expect.get("remote", {}).values():
        reader.content(value, reader.line_of("remote"))
    steps = reader.steps(raw["steps"], reader.line_of("steps"))
    if "direct" in raw["hosts"] and any(s.action == "run" for s in all_steps(steps)):
        raise reader.fail("'run' needs a mount: hosts can't have 'direct'", reader.line_of("hosts"))
    return Scenario(
        file=file, id=raw["id"], why=raw["why"], covers=raw["covers"], hosts=raw["hosts"],
        seed=raw.get("seed", 0), server=server, config=raw.get("config", {}), steps=steps,
        expect=expect, logs=raw.get("logs", []),
    )  # fmt: skip
