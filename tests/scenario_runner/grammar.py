"""Scenario files: strict reading, with the line of whatever is wrong. See scenarios/README.md."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyftpdrive import config as configuration
from pyftpdrive.base.errors import ConfigError, FsStatus
from pyftpdrive.options import OPTIONS
from tests.scenario_runner.places import Places
from tests.scenario_runner.shapes import ERRORS, EXPECT, SERVER, SERVER_DOES, STEPS, Shape, seconds

HOSTS = ("direct", "fuse", "winfsp")
_TOP = ("id", "why", "covers", "hosts", "seed", "server", "config", "steps", "expect", "logs")
_NEEDED = ("id", "why", "covers", "hosts", "steps")


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
    places: Places = field(default_factory=lambda: Places(""))

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


class Reader:
    """One file being read."""

    hosts: tuple[str, ...] = HOSTS
    top: tuple[str, ...] = _TOP
    checklist = "scenarios/checklist.toml"

    def __init__(self, file: Path) -> None:
        self.file = file
        text = file.read_text(encoding="utf-8")
        try:
            self.raw: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else text.count("\n") + 1
            raise ScenarioError(f"{file}:{line}: not TOML: {error}") from error
        self.places = Places(text)

    def fail(self, message: str, *place: str | int) -> ScenarioError:
        return ScenarioError(f"{self.file}:{self.places.line(*place)}: {message}")

    def unknown(self, key: str, known: list[str], where: str, *place: str | int) -> ScenarioError:
        close = difflib.get_close_matches(key, known, n=1)
        meant = f": did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
        return self.fail(f"{where} has no {key!r}{meant}", *place, key)

    def table(self, value: object, shape: Shape, name: str, *place: str | int) -> dict[str, Any]:
        """*value* when it has the keys of *shape* with values that make sense."""
        if not isinstance(value, dict):
            raise self.fail(f"{name} is a table", *place)
        known = shape.known
        for key, found in value.items():
            if key not in known:
                raise self.unknown(key, sorted(known), name, *place)
            problem = known[key](found)
            if problem:
                raise self.fail(f"{name}: {key}: {problem}", *place, key)
        missing = sorted(set(shape.needs) - set(value))
        if missing:
            raise self.fail(f"{name} lacks {', '.join(missing)}", *place)
        return dict(value)

    def steps(self, raw: object, *place: str | int) -> list[Step]:
        if not isinstance(raw, list) or not raw:
            raise self.fail("a list with at least one step is wanted", *place)
        return [self.step(found, *place, number) for number, found in enumerate(raw)]

    def action(
        self, found: object, known: Iterable[str], *place: str | int
    ) -> tuple[str, dict[str, Any]]:
        """A step's one action, and what goes with it."""
        if not isinstance(found, dict) or len(found) != 1:
            raise self.fail("a step is one action: { write = { … } }", *place)
        ((action, arguments),) = found.items()
        if action not in known:
            raise self.unknown(action, sorted(known), "the list of steps", *place)
        return action, arguments

    def step(self, found: object, *place: str | int) -> Step:
        action, arguments = self.action(found, STEPS, *place)
        here = (*place, action)
        shape = STEPS[action]
        shape = Shape(shape.needs, {"within_s": seconds, "error": self.error_word, **shape.takes})
        arguments = self.table(arguments, shape, action, *here)
        if action == "server":
            self.server_step(arguments, *here)
        elif action == "parallel":
            branches = arguments["branches"]
            if not isinstance(branches, list) or len(branches) < 2:
                raise self.fail("branches is a list of at least two lists of steps", *here)
            arguments["branches"] = [
                self.steps(branch, *here, "branches", number)
                for number, branch in enumerate(branches)
            ]
        elif action == "repeat":
            arguments["steps"] = self.steps(arguments["steps"], *here, "steps")
        return Step(action, arguments, self.places.line(*here))

    @staticmethod
    def error_word(value: object) -> str | None:
        known = ", ".join(sorted(ERRORS))
        return None if value in ERRORS else f"{value!r} is none of: {known}"

    def server_step(self, arguments: dict[str, Any], *place: str | int) -> None:
        does = arguments["do"]
        wanted = SERVER_DOES.get(does, set())
        given = set(arguments) - {"do"}
        if given - wanted or (wanted - given and does != "restart"):
            words = " and ".join(sorted(wanted)) or "nothing else"
            raise self.fail(f"server: do = {does!r} goes with {words}", *place)

    def config(self, raw: object) -> dict[str, Any]:
        """Overrides of the drive's options, as the drive itself checks them."""
        if not isinstance(raw, dict):
            raise self.fail("config is a table", "config")
        known = [f"{option.section}.{option.key}" for option in OPTIONS]
        flags: dict[tuple[str, str], object] = {("ftp", "host"): "x", ("mount", "drive"): "x"}
        for name, value in raw.items():
            if name not in known:
                raise self.unknown(name, known, "the configuration", "config")
            section, _, key = name.partition(".")
            try:
                configuration.load(None, {}, {**flags, (section, key): value})
            except ConfigError as error:
                raise self.fail(error.problems[0], "config", name) from error
        return dict(raw)

    def head(self, known_items: set[str]) -> None:
        """id, why, covers, hosts, seed, logs."""
        raw = self.raw
        for key in raw:
            if key not in self.top:
                raise self.unknown(key, list(self.top), "a scenario")
        for key in _NEEDED:
            if not raw.get(key):
                raise self.fail(f"{key} is missing")
        if raw["id"] != self.file.stem:
            raise self.fail(f"id is {raw['id']!r}, the file is {self.file.stem!r}", "id")
        for key in ("covers", "hosts", "logs"):
            value = raw.get(key, [])
            if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
                raise self.fail(f"{key} is a list of texts", key)
            if len(value) != len(set(value)):
                raise self.fail(f"{key} names something twice", key)
        for number, host in enumerate(raw["hosts"]):
            if host not in self.hosts:
                raise self.fail(f"{host!r} is none of: {', '.join(self.hosts)}", "hosts", number)
        for number, item in enumerate(raw["covers"]):
            if item not in known_items:
                close = difflib.get_close_matches(item, known_items, n=1)
                meant = f": did you mean {close[0]!r}?" if close else ""
                raise self.fail(f"{self.checklist} has no {item!r}{meant}", "covers", number)
        if not isinstance(raw["why"], str):
            raise self.fail("why is a text", "why")
        if type(raw.get("seed", 0)) is not int:
            raise self.fail("seed is a whole number", "seed")

    def check_together(self, steps: list[Step]) -> None:
        """What only the whole file shows."""
        every = all_steps(steps)
        opened = {step.arguments["as"] for step in every if step.action == "open"}
        for step in every:
            name = step.arguments.get("as")
            if name is not None and name not in opened:
                raise ScenarioError(f"{self.file}:{step.line}: no step opens a handle {name!r}")
        if "direct" in self.raw["hosts"]:
            for step in every:
                if step.action == "run":
                    raise ScenarioError(
                        f"{self.file}:{step.line}: 'run' needs a mount: hosts can't have 'direct'"
                    )


def load(file: Path, known_items: set[str]) -> Scenario:
    """Read one scenario.

    Raises:
        ScenarioError: with file, line and what would be right.
    """
    reader = Reader(file)
    raw = reader.raw
    reader.head(known_items)
    server = reader.table(raw.get("server", {}), SERVER, "server", "server")
    expect = reader.table(raw.get("expect", {}), EXPECT, "expect", "expect")
    config = reader.config(raw.get("config", {}))
    steps = reader.steps(raw["steps"], "steps")
    reader.check_together(steps)
    return Scenario(
        file=file,
        id=raw["id"],
        why=raw["why"],
        covers=raw["covers"],
        hosts=raw["hosts"],
        seed=raw.get("seed", 0),
        server=server,
        config=config,
        steps=steps,
        expect=expect,
        logs=raw.get("logs", []),
        places=reader.places,
    )
