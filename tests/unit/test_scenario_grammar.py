"""The scenario grammar: what is refused, with which words and at which line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenario_runner.content import BadContent, content, size_of
from tests.scenario_runner.grammar import ScenarioError, all_steps, load
from tests.scenario_runner.model import Promises
from tests.scenario_runner.places import Places
from tests.scenario_runner.plugin import CHECKLIST, checklist, known_items
from tests.scenario_runner.shapes import STEPS

SCENARIOS = CHECKLIST.parent
FILES = sorted((SCENARIOS / "pyftpdrive").glob("*.toml"))

GOOD = """\
id     = "one"
why    = "because"
covers = ["Rename file"]
hosts  = ["direct"]
server = { files = { "/a" = "text:a" } }
steps  = [
  { read = { path = "/a" } },
  { list = { path = "/" } },
]
[expect]
absent = ["/b"]
"""


def read(tmp_path: Path, text: str) -> str:
    """Load *text* as a scenario; return the message, '' when it is accepted."""
    file = tmp_path / "one.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load(file, known_items())
    except ScenarioError as error:
        return str(error).replace(str(tmp_path) + os.sep, "")
    return ""


def test_a_good_scenario_is_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == ""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[expect]", "[expects]", "one.toml:10: a scenario has no 'expects': did you mean 'exp"),
        ("absent =", "missing =", "one.toml:11: expect has no 'missing'; known: absent, "),
        ("{ read =", "{ raed =", "one.toml:7: the list of steps has no 'raed': did you mean 'r"),
        ('list = { path = "/"', 'list = { path = "/", nmaes = []', "one.toml:8: list has no 'nm"),
        ('"/a" } }', '"/a", error = "lost" } }', "one.toml:7: read: error: 'lost' is none of: ac"),
        ('{ path = "/" }', "{}", "one.toml:8: list lacks path"),
        ('{ path = "/" }', "3", "one.toml:8: list is a table"),
        ('path = "/" ', 'path = "a" ', "one.toml:8: list: path: a path that begins with '/' is w"),
        ('path = "/" ', 'path = "/a/../b" ', "one.toml:8: list: path: '..' is not a usable file"),
        ('{ list = { path = "/" } }', '{ list = { path = "/" }, stat = { path = "/" } }',
         "one.toml:8: a step is one action"),
        ('"text:a"', '"txt:a"', "one.toml:5: server: files: '/a': 'txt:a': content is text:"),
        ("files =", "fiels =", "one.toml:5: server has no 'fiels': did you mean 'files'?"),
        ('["direct"]', '["linux"]', "one.toml:4: 'linux' is none of: direct, fuse, winfsp"),
        ('["direct"]', '["direct", "direct"]', "one.toml:4: hosts names something twice"),
        ('"Rename file"', '"Rename fiel"', "one.toml:3: scenarios/checklist.toml has no 'Rename "),
        ('why    = "because"\n', "", "one.toml:1: why is missing"),
        ('"one"', '"two"', "one.toml:1: id is 'two', the file is 'one'"),
        ("steps  = [", "seed = 1.5\nsteps  = [", "one.toml:6: seed is a whole number"),
        ("steps  = [", "config = 3\nsteps  = [", "one.toml:6: config is a table"),
        ("steps  = [", 'config = { "cache.enabeld" = true }\nsteps = [',
         "one.toml:6: the configuration has no 'cache.enabeld': did you mean 'cache.enabled'?"),
        ("steps  = [", 'config = { "cache.enabled" = "perhaps" }\nsteps = [',
         "one.toml:6: --cache: [cache] enabled: 'perhaps' is not true or false"),
        ("server = {", 'server = { faults = [{ on = "STOR", fault = "explode" }],',
         "one.toml:5: server: faults: there is no fault 'explode'"),
        ("server = {", 'server = { profile = "wuftpd",', "one.toml:5: server: profile: 'wuftpd' "),
        ('{ read = { path = "/a" } }', '{ server = { do = "put", path = "/b" } }',
         "one.toml:7: server: do = 'put' goes with content and path"),
        ('{ read = { path = "/a" } }', '{ server = { do = "freeze", path = "/b" } }',
         "one.toml:7: server: do = 'freeze' goes with nothing else"),
        ('{ read = { path = "/a" } }', '{ fsync = { as = "h" } }',
         "one.toml:7: no step opens a handle 'h'"),
        ('{ read = { path = "/a" } }', '{ run = { command = ["ls"] } }',
         "one.toml:7: 'run' needs a mount: hosts can't have 'direct'"),
        ('{ read = { path = "/a" } }', '{ parallel = { branches = [[{ space = {} }]] } }',
         "one.toml:7: branches is a list of at least two lists of steps"),
        ('{ read = { path = "/a" } }', '{ wait = { until = "spool_empty", within_s = 900 } }',
         "one.toml:7: wait: within_s: seconds are wanted, 0 to 120"),
        ("absent =", "commands = { STOR = { most = 1 } }\nabsent =",
         "one.toml:11: expect: commands: 'STOR': { min = 1, max = 2 } is wanted"),
        ('why    = "because"', 'why    = "because', "one.toml:2: not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD

    assert read(tmp_path, GOOD.replace(old, new, 1)).startswith(message)


def test_a_mistake_inside_a_branch_has_its_own_line(tmp_path: Path) -> None:
    branches = """{ parallel = { branches = [
      [{ space = {} }],
      [{ repeat = { times = 2, steps = [
        { space = {} },
        { stat = { path = "/", sise = 3 } },
      ] } }],
    ] } },"""

    message = read(tmp_path, GOOD.replace('{ read = { path = "/a" } },', branches))

    assert message.startswith("one.toml:11: stat has no 'sise': did you mean 'size'?")


def test_places_survive_every_way_to_write_toml() -> None:
    text = (
        'a = "x # no comment" # comment\n'
        "b.'c d' = '''two\nlines } ]'''\n"
        "[[t]]\n"
        'k = { "q\\"r" = [1, # one\n'
        "  2] }\n"
        "[t.sub]\nz = 1979-05-27T07:32:00Z\n"
        "[[t]]\nk = 3\n"
    )

    places = Places(text)

    assert places.line("b", "c d") == 2
    assert places.line("t", 0, "k", 'q"r') == 5
    assert places.line("t", 0, "k", 'q"r', 1) == 6
    assert places.line("t", 0, "sub", "z") == 8
    assert places.line("t", 1, "k") == 10
    assert places.line("t", 1, "nothing") == 9


def test_content_depends_on_the_seed_and_its_text_only() -> None:
    assert content("pattern:10KiB", 1) == content("pattern:10KiB", 1)
    assert content("pattern:10KiB", 1) != content("pattern:10KiB", 2)
    assert content("pattern:10KiB") != content("pattern:11KiB")[: 10 << 10]


@pytest.mark.parametrize(
    ("text", "data"),
    [("text:ü", "ü".encode()), ("hex:00ff", b"\0\xff"), ("zeros:3", b"\0\0\0"), ("empty", b"")],
)
def test_content_means_what_it_says(text: str, data: bytes) -> None:
    assert content(text) == data


@pytest.mark.parametrize("text", ["", "empty:1", "hex:zz", "zeros:many", "pattern:5 KiB", "hello"])
def test_bad_content_is_refused(text: str) -> None:
    with pytest.raises(BadContent):
        content(text)


def test_sizes_have_units() -> None:
    assert [size_of(text) for text in ("7", "7B", "2KiB", "5GiB")] == [7, 7, 2048, 5 << 30]


# -- the model of what was promised ---------------------------------------------------------------


def test_promises_follow_a_rename_of_the_directory_above() -> None:
    promises = Promises({"/d/kept": b"k"})
    promises.write("/d/a", b"new", mode="overwrite")

    promises.rename("/d", "/e")

    assert promises.broken({"/e": None, "/e/a": b"new", "/e/kept": b"k"}, set()) == []
    assert promises.broken({"/d/a": b"new"}, set()) == [
        "LOST: /e/a was saved as b'new'; it is not on the server",
        "CAME BACK: /d/a was deleted and is on the server again",
    ]


@pytest.mark.parametrize(
    ("mode", "offset", "wanted"),
    [("append", 0, b"12345AB"), ("in_place", 1, b"1AB45"), ("in_place", 6, b"12345\0AB")],
)
def test_promises_know_what_a_partial_write_makes(mode: str, offset: int, wanted: bytes) -> None:
    promises = Promises({"/a": b"12345"})

    promises.write("/a", b"AB", mode=mode, offset=offset)

    assert promises.broken({"/a": wanted}, set()) == []
    assert promises.broken({"/a": b"12345"}, set()) != []


def test_promises_accept_what_waits_in_the_spool() -> None:
    promises = Promises({})
    promises.write("/a", b"new", mode="overwrite")

    assert promises.broken({}, {"/a"}) == []


def test_promises_drop_what_somebody_else_wrote_later() -> None:
    promises = Promises({})
    promises.write("/a", b"mine", mode="overwrite")
    promises.others_put("/a", b"theirs")

    assert promises.broken({"/a": b"theirs"}, set()) == []


def test_promises_don_t_guess_content_they_never_knew() -> None:
    promises = Promises({}, unknown=["/giant"])

    promises.write("/giant", b"x", mode="append")

    assert promises.broken({"/giant": b"anything"}, set()) == []


def test_promises_of_an_open_file_follow_its_deletion() -> None:
    promises = Promises({"/a": b"1"})
    promises.opened("h", "/a")
    promises.delete("/a")

    promises.write_handle("h", b"2", 0)

    assert promises.broken({}, set()) == []
    assert promises.broken({"/a": b"2"}, set()) != []


# -- the scenarios of this project ----------------------------------------------------------------


def test_every_item_of_the_checklist_has_a_scenario_or_a_reason() -> None:
    scenarios = [load(file, known_items()) for file in FILES]
    covered = {item for scenario in scenarios for item in scenario.covers}
    owed = {item for items in checklist().values() for item, later in items.items() if not later}

    assert owed - covered == set()


def test_an_item_that_has_a_scenario_is_not_put_off() -> None:
    scenarios = [load(file, known_items()) for file in FILES]
    covered = {item for scenario in scenarios for item in scenario.covers}
    later = {item for items in checklist().values() for item, text in items.items() if text}

    assert later & covered == set()


def test_ids_are_unique_over_all_folders() -> None:
    files = [file for file in SCENARIOS.rglob("*.toml") if file.name != CHECKLIST.name]
    stems = [file.stem for file in files]

    assert set(FILES) < set(files)
    assert sorted(set(stems)) == sorted(stems)


def test_every_step_is_used_by_some_scenario() -> None:
    used = {step.action for file in FILES for step in all_steps(load(file, known_items()).steps)}

    assert set(STEPS) - used == set()


def test_the_grammar_s_page_names_every_step_and_key() -> None:
    page = (SCENARIOS / "README.md").read_text(encoding="utf-8")

    missing = [name for name in STEPS if f"`{name}`" not in page]
    keys = {key for shape in STEPS.values() for key in shape.known}
    missing += [key for key in sorted(keys) if f"`{key}`" not in page]

    assert missing == []
