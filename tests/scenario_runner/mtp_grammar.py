"""Scenario files of mtpsync: a folder, a device, and commands. See scenarios/README.md."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from simulators.fake_libmtp import PROFILES, Fault, FaultError, Profile, Storage
from tests.scenario_runner.grammar import Reader, ScenarioError, Step
from tests.scenario_runner.places import Places
from tests.scenario_runner.shapes import (
    Check,
    Shape,
    anything,
    at_paths,
    bytes_as_text,
    command_count,
    each,
    number,
    one_of,
    path,
    paths,
    text,
    texts,
    truth,
)

FOLDER = "mtpsync"
HOSTS = ("fake",)
_TOP = (
    *("id", "why", "covers", "hosts", "seed", "device", "others", "source", "many", "dest"),
    *("config", "steps", "expect"),
)


def rules_of(cls: type) -> Check:
    """A table of fields of *cls*."""
    known = {item.name for item in fields(cls)} - {"storages"}

    def table(value: object) -> str | None:
        if not isinstance(value, dict):
            return "a table is wanted"
        wrong = sorted(set(value) - known)
        return f"unknown: {', '.join(wrong)}; known: {', '.join(sorted(known))}" if wrong else None

    return table


def storages(value: object) -> str | None:
    """Storages instead of the profile's."""
    if not isinstance(value, list) or not value:
        return "a list of storages is wanted"
    return next((why for item in value if (why := rules_of(Storage)(item))), None)


def fault(value: object) -> str | None:
    """A fault of the fake libmtp."""
    if not isinstance(value, dict):
        return "a fault is a table"
    try:
        Fault.from_dict(value)
    except FaultError as error:
        return str(error)
    return None


def faults(value: object) -> str | None:
    """A list of faults."""
    if not isinstance(value, list):
        return "a list of faults is wanted"
    return next((why for item in value if (why := fault(item))), None)


def moment(value: object) -> str | None:
    """Where in a run: a fault's address without its kind."""
    if not isinstance(value, dict) or "fault" in value or "seconds" in value:
        return "the address of an operation is wanted, such as { on = 'SendObject' }"
    return fault({**value, "fault": "hang"})


def places(value: object) -> str | None:
    """Paths on the device; those of its second storage begin with "card:"."""
    if not isinstance(value, list):
        return "a list of paths is wanted"
    return paths([x.removeprefix("card:") if isinstance(x, str) else x for x in value])


def relative(value: object) -> str | None:
    """A path in the source; '/' at its end: a folder."""
    right = isinstance(value, str) and value and not value.startswith("/")
    if not right or ".." in PurePosixPath(str(value)).parts:
        return "a path below the source is wanted, without '/' before it"
    return None


def at_relative(check: Check) -> Check:
    """A table from paths in the source to values."""

    def table(value: object) -> str | None:
        wrong = each(check)(value)
        if wrong or not isinstance(value, dict):
            return wrong
        return next((f"{k!r}: {why}" for k in value if (why := relative(k))), None)

    return table


_FILES = at_paths(bytes_as_text)
DEVICE = Shape(
    {},
    {
        "profile": one_of(*PROFILES),
        "serial": text,
        "rules": rules_of(Profile),
        "storages": storages,
        "newer": truth,
        "files": _FILES,
        "card": _FILES,
        "directories": paths,
        "many": number,
        "faults": faults,
    },
)
EXPECT = Shape(
    {},
    {
        "device": _FILES,
        "device_exactly": _FILES,
        "card": _FILES,
        "others": each(_FILES),
        "absent": places,
        "directories": paths,
        "calls": each(command_count),
        "log": texts,
        "retries": number,
    },
)
_RUN = {
    "source": truth,
    "exit": number,
    "says": texts,
    "lacks": texts,
    "json": each(anything),
    "answers": texts,
    "calls": each(command_count),
    "torn": places,
    "partly": truth,
}
STEPS: dict[str, Shape] = {
    "run": Shape({"command": texts}, {**_RUN, "when": moment, "does": anything}),
    "kill": Shape({"command": texts, "when": moment}, {"torn": places}),
    "source": Shape(
        {"do": one_of("put", "remove", "mkdir", "touch", "link"), "path": relative},
        {"content": bytes_as_text, "to": text},
    ),
    "device": Shape(
        {
            "do": one_of(
                *("put", "remove", "mkdir", "unplug", "replug", "lock", "unlock", "hold"),
                *("let_go", "forbid", "allow", "fault", "clear_faults", "free", "take_out"),
                *("put_in", "set"),
            )
        },
        {
            "path": path,
            "content": bytes_as_text,
            "fault": fault,
            "bytes": number,
            "storage": number,
            "rules": rules_of(Profile),
            "serial": text,
        },
    ),
    "plan": Shape({}, {"file": text, "write": text, "entries": each(text), "gone": truth}),
    "signal": Shape({"name": one_of("ctrl-c")}, {}),
}
DEVICE_DOES: dict[str, set[str]] = {
    "put": {"path", "content"},
    "remove": {"path"},
    "mkdir": {"path"},
    "fault": {"fault"},
    "free": {"bytes"},
    "set": {"rules"},
}
SOURCE_DOES: dict[str, set[str]] = {"put": {"content"}, "link": {"to"}}


@dataclass(slots=True)
class MtpScenario:
    """One file."""

    file: Path
    id: str
    why: str
    covers: list[str]
    hosts: list[str]
    seed: int
    device: dict[str, Any]
    others: list[dict[str, Any]]
    source: dict[str, str]
    many: int
    dest: str
    config: str
    steps: list[Step]
    expect: dict[str, Any]
    places: Places = field(default_factory=lambda: Places(""))


class MtpReader(Reader):
    """One file being read."""

    hosts = HOSTS
    top = _TOP
    checklist = "scenarios/mtpsync/checklist.toml"

    def step(self, found: object, *place: str | int) -> Step:
        """One step; those that happen during a run are steps, too."""
        action, raw = self.action(found, STEPS, *place)
        here = (*place, action)
        arguments = self.table(raw, STEPS[action], action, *here)
        if action == "device":
            self._goes_with(arguments, DEVICE_DOES, {"storage", "serial"}, *here)
        elif action == "source":
            self._goes_with(arguments, SOURCE_DOES, {"path"}, *here)
        elif action == "run" and ("when" in arguments) != ("does" in arguments):
            raise self.fail("run: when and does go together", *here)
        if "does" in arguments:
            arguments["does"] = self.steps(arguments["does"], *here, "does")
            for step in arguments["does"]:
                if step.action in ("run", "kill"):
                    raise self.fail(f"{step.action!r} can't happen during a run", *here, "does")
        return Step(action, arguments, self.places.line(*here))

    def _goes_with(
        self, arguments: dict[str, Any], table: dict[str, set[str]], free: set[str],
        *place: str | int,
    ) -> None:  # fmt: skip
        does = arguments["do"]
        wanted, given = table.get(does, set()), set(arguments) - {"do"} - free
        if given != wanted:
            words = " and ".join(sorted(wanted)) or "nothing else"
            raise self.fail(f"do = {does!r} goes with {words}", *place)


def load(file: Path, known_items: set[str]) -> MtpScenario:
    """Read one scenario.

    Raises:
        ScenarioError: with file, line and what would be right.
    """
    reader = MtpReader(file)
    raw = reader.raw
    reader.head(known_items)
    checks: tuple[tuple[str, Check, Any], ...] = (
        ("source", at_relative(bytes_as_text), {}),
        ("many", number, 0),
        ("dest", path, "/Music"),
        ("config", text, ""),
    )
    plain: dict[str, Any] = {}
    for key, check, default in checks:
        plain[key] = raw.get(key, default)
        if key in raw and (problem := check(raw[key])):
            raise reader.fail(f"{key}: {problem}", key)
    others = raw.get("others", [])
    if not isinstance(others, list):
        raise reader.fail("others is a list of devices", "others")
    scenario = MtpScenario(
        file=file,
        id=raw["id"],
        why=raw["why"],
        covers=raw["covers"],
        hosts=raw["hosts"],
        seed=raw.get("seed", 0),
        device=reader.table(raw.get("device", {}), DEVICE, "device", "device"),
        others=[reader.table(one, DEVICE, "others", "others", at) for at, one in enumerate(others)],
        steps=reader.steps(raw["steps"], "steps"),
        expect=reader.table(raw.get("expect", {}), EXPECT, "expect", "expect"),
        places=reader.places,
        **plain,
    )
    serials = [scenario.device.get("serial", "S1"), *(one.get("serial") for one in others)]
    for step in all_steps(scenario.steps):
        serial = step.arguments.get("serial", "S1")
        if step.action == "device" and serial not in serials:
            raise ScenarioError(f"{file}:{step.line}: no device has the serial number {serial!r}")
    return scenario


def all_steps(steps: list[Step]) -> list[Step]:
    """Steps with those that happen during a run."""
    found: list[Step] = []
    for step in steps:
        found += [step, *step.arguments.get("does", [])]
    return found
