"""The scenario grammar of mtpsync: what is refused, with its line; that nothing is forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from mtpsync.cli import cli
from tests.scenario_runner.grammar import ScenarioError
from tests.scenario_runner.mtp_grammar import DEVICE, EXPECT, STEPS, all_steps, load
from tests.scenario_runner.plugin import CHECKLIST, MTP_CHECKLIST, checklist, known_items

ITEMS = known_items(MTP_CHECKLIST)
FOLDER = MTP_CHECKLIST.parent
FILES = sorted(path for path in FOLDER.glob("*.toml") if path != MTP_CHECKLIST)

GOOD = """\
id     = "one"
why    = "because"
covers = ["--dest"]
hosts  = ["fake"]
device = { profile = "android", files = { "/Music/a" = "text:a" } }
source = { "a" = "text:b" }
steps  = [
  { kill   = { command = ["exec"], when = { on = "SendObject" } } },
  { run    = { command = ["exec"], exit = 0 } },
  { device = { do = "remove", path = "/Music/a" } },
]
[expect]
absent = ["/Music/a"]
"""


def read(tmp_path: Path, text: str) -> str:
    """Load *text* as a scenario; return the message, '' when it is accepted."""
    file = tmp_path / "one.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load(file, ITEMS)
    except ScenarioError as error:
        return str(error).replace(str(tmp_path) + os.sep, "")
    return ""


def test_a_good_scenario_is_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[expect]", "[expects]", "one.toml:12: a scenario has no 'expects': did you mean 'exp"),
        ("absent =", "missing =", "one.toml:13: expect has no 'missing'; known: absent, "),
        ("{ run ", "{ rnu ", "one.toml:9: the list of steps has no 'rnu': did you mean 'run'?"),
        ("exit = 0", "exti = 0", "one.toml:9: run has no 'exti': did you mean 'exit'?"),
        ("exit = 0", 'exit = "0"', "one.toml:9: run: exit: a whole number is wanted"),
        ("exit = 0", "when = { on = 'SendObject' }", "one.toml:9: run: when and does go together"),
        ("{ on =", "{ no =", "one.toml:8: kill: when: unknown keys: no"),
        ('"SendObject"', '"SendObjet"', "one.toml:8: kill: when: on='SendObjet': there is no ope"),
        ('"remove"', '"put"', "one.toml:10: do = 'put' goes with content and path"),
        ('"remove"', '"explode"', "one.toml:10: device: do: 'explode' is none of: "),
        ('path = "/Music/a" }', 'path = "/Music/a", serial = "S9" }', "one.toml:10: no device has"),
        ('"android"', '"nokia"', "one.toml:5: device: profile: 'nokia' is none of: android, "),
        ("files =", "faults = [{ on = 'SendObject', fault = 'x' }], files =", "one.toml:5: device"),
        ("files =", "rules = { moev = true }, files =", "one.toml:5: device: rules: unknown: moev"),
        ('{ "a" =', '{ "../a" =', "one.toml:6: source: '../a': a path below the source is wanted"),
        ('["fake"]', '["direct"]', "one.toml:4: 'direct' is none of: fake"),
        ('"--dest"', '"--dset"', "one.toml:3: scenarios/mtpsync/checklist.toml has no '--dset'"),
        ('"--dest"', '"Rename file"', "one.toml:3: scenarios/mtpsync/checklist.toml has no 'Ren"),
        ('"one"', '"two"', "one.toml:1: id is 'two', the file is 'one'"),
    ],
)
def test_a_mistake_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD

    assert read(tmp_path, GOOD.replace(old, new, 1)).startswith(message)


def test_no_run_inside_a_run(tmp_path: Path) -> None:
    inside = "when = { on = 'SendObject' }, does = [{ run = { command = ['exec'] } }]"

    message = read(tmp_path, GOOD.replace("exit = 0", inside))

    assert message.startswith("one.toml:9: 'run' can't happen during a run")


# -- the scenarios of this project ----------------------------------------------------------------


def test_every_item_has_a_scenario_or_a_reason_and_not_both() -> None:
    covered = {item for file in FILES for item in load(file, ITEMS).covers}
    items = [pair for section in checklist(MTP_CHECKLIST).values() for pair in section.items()]

    assert {item for item, later in items if not later} - covered == set()
    assert {item for item, later in items if later} & covered == set()


def test_items_are_not_those_of_the_drive() -> None:
    assert ITEMS & known_items(CHECKLIST) == set()


def test_every_command_and_flag_is_an_item() -> None:
    commands = dict(cli.commands)
    flags = {
        "/".join([*option.opts, *option.secondary_opts])
        for command in commands.values()
        for option in command.params
        if isinstance(option, click.Option)
    }

    assert (flags | set(commands)) - ITEMS == set()


def test_every_step_and_every_deed_is_used_by_some_scenario() -> None:
    steps = [step for file in FILES for step in all_steps(load(file, ITEMS).steps)]

    assert set(STEPS) - {step.action for step in steps} == set()


def test_the_grammar_s_page_names_every_step_and_key() -> None:
    page = (FOLDER.parent / "README.md").read_text(encoding="utf-8").partition("# mtpsync")[2]
    shapes = [*STEPS.values(), DEVICE, EXPECT]
    names = {*STEPS, *(key for shape in shapes for key in shape.known)}

    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
