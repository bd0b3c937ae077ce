"""docs/faults.md says what code and scenarios say: every fault, every row of the crash table."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pyftpdrive.spool.states import AFTER_CRASH, NEXT, Next, Target
from simulators.ftp_server.faults import KINDS

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "scenarios" / "pyftpdrive"
DOCUMENT = (ROOT / "docs" / "faults.md").read_text()
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`([a-z0-9-]+)`")
# Faults that a scenario may have by another word of the grammar.
OTHERWISE = {
    "read_only": "read_only = true",
    "recursive_rmd": 'profile = "swiftp"',
    "idle": "disconnect_all",
    "restart": 'do = "restart"',
    "limit": "sessions_max",
    "freeze": 'do = "freeze"',
}


def rows(header: str) -> list[list[str]]:
    """Cells of the table whose head begins with *header*."""
    _, found, after = DOCUMENT.partition(f"| {header} |")
    assert found, f"docs/faults.md has no table that begins with {header!r}"
    table = after.partition("\n\n")[0].partition("\n")[2]
    cells = [row.split(" | ") for row in ROW.findall(table)]
    assert cells
    return cells


def scenarios(cell: str) -> list[str]:
    found = NAME.findall(cell)
    assert found, f"no scenario in {cell!r}"
    return found


def text(name: str) -> str:
    return (SCENARIOS / f"{name}.toml").read_text()


def told(name: str) -> list[str]:
    expected = tomllib.loads(text(name)).get("expect", {}).get("told", [])
    return [line.partition(": ")[2] for line in expected]


def test_every_scenario_that_it_names_exists() -> None:
    named = {name for name in NAME.findall(DOCUMENT) if "-" in name}

    assert [name for name in sorted(named) if not (SCENARIOS / f"{name}.toml").exists()] == []


def test_every_promise_has_scenarios() -> None:
    promises = rows("| promise")

    assert [row[0] for row in promises] == ["1", "2", "3", "4", "5", "6"]
    assert all(scenarios(row[-1]) for row in promises)


def test_every_fault_of_the_simulator_has_its_row() -> None:
    assert sorted(row[0].strip("`") for row in rows("fault")) == sorted(KINDS)


@pytest.mark.parametrize("row", rows("fault"), ids=lambda row: row[0].strip("`"))
def test_the_scenarios_of_a_fault_have_that_fault(row: list[str]) -> None:
    kind = row[0].strip("`")
    assert any(f'fault = "{kind}"' in text(name) for name in scenarios(row[-1])) or any(
        OTHERWISE.get(kind, "\0") in text(name) for name in scenarios(row[-1])
    )


def test_what_a_crash_leaves_on_the_disk_is_documented_and_seen() -> None:
    found = {}
    for state, there, verdict, where in rows("the row says"):
        found[state, there] = verdict
        for name in scenarios(where):
            assert f"left as {state}, its bytes are {there}: {verdict}" in told(name), name

    assert found == {
        (state.value, there.value): verdict.value for (state, there), verdict in AFTER_CRASH.items()
    }


def test_what_is_done_with_what_the_server_has_is_documented_and_seen() -> None:
    found: dict[tuple[Target, bool], Next] = {}
    for target, backup, step, where in rows("the server has"):
        found[Target(target), backup == "yes"] = Next(step)
        also = " and the backup" if backup == "yes" else ""
        for name in scenarios(where):
            assert f"the server has {target}{also}: {step}" in told(name), name

    assert found == NEXT
