"""The scenario runner as a pytest plugin: collection, options, the matrix."""

from __future__ import annotations

import platform
import sys
from html import escape
from pathlib import Path

import pytest

from tests.helpers import capabilities
from tests.scenario_runner.matrix import Matrix, Result, Subject, places

# -- the matrix -----------------------------------------------------------------------------------

ABSENT = "not here" if sys.platform == "win32" else "-"  # fuse and real servers


def result(
    host: str, outcome: str, *, server: str = "simulator", item: str = "Rename file"
) -> Result:
    subject = Subject(id="one", why="<why>", covers=(item,), host=host, server=server)
    return Result(
        subject=Subject.loads(subject.dumps()),
        outcome=outcome,
        seconds=0.5,
        message="it broke & <b>",
    )


def test_the_matrix_shows_each_item_on_each_host() -> None:
    matrix = Matrix()
    for found in (
        result("direct", "passed"),
        result("direct", "passed"),
        result("fuse", "passed"),
        result("fuse", "failed"),
        result("fuse", "skipped", server="vsftpd"),
    ):
        matrix.note(found)

    lines = matrix.lines({"Write": {"Rename file": "", "Set times": "", "Sleep": "next year"}})

    assert lines[0].split() == ["direct", "fuse", "winfsp", "real"]
    assert lines[2].split() == [
        "Rename",
        "file",
        "2",
        "ok",
        "1",
        "FAILED",
        "-",
        "1",
        "skipped",
    ]
    assert lines[3].split() == ["Set", "times", "-", *ABSENT.split(), "-", *ABSENT.split()]
    assert lines[4].split() == ["Sleep", "later:", "next", "year"]


@pytest.mark.parametrize(
    ("system", "said"), [("win32", "a real drive letter"), ("linux", "on the fake WinFsp")]
)
def test_the_matrix_says_where_it_ran_and_what_the_windows_drive_was(
    system: str, said: str
) -> None:
    here, winfsp = places(system)
    assert here.startswith(f"ran on {platform.system()}")
    assert said in winfsp

    matrix = Matrix()
    matrix.note(result("winfsp", "passed"))
    shown = (
        matrix.lines({"Write": {"Rename file": ""}}),
        matrix.page({"Write": {"Rename file": ""}}),
    )
    assert places()[1] in shown[0]
    assert all(escape(line) in shown[1] for line in places())


def test_the_page_needs_nothing_else_and_escapes_what_it_shows() -> None:
    matrix = Matrix()
    matrix.note(result("direct", "failed"))

    page = matrix.page({"Write": {"Rename file": ""}})

    assert "it broke &amp; &lt;b&gt;" in page
    assert "&lt;why&gt;" in page
    assert "http" not in page
    assert "1 failed" in page


# -- as a pytest plugin ---------------------------------------------------------------------------


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Path:
    """A project with one scenario."""
    folder = pytester.mkdir("scenarios")
    (folder / "one.toml").write_text(
        'id = "one"\nwhy = "because"\ncovers = ["Rename file"]\n'
        'hosts = ["direct", "fuse", "winfsp"]\n'
        'server = { files = { "/a" = "text:a" } }\n'
        'steps = [{ read = { path = "/a", content = "text:a" } }]\n',
        encoding="utf-8",
    )
    return folder


def inside(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A run of pytest with the plugin and nothing else of this project."""
    return pytester.runpytest_inprocess(
        "-p", "tests.scenario_runner.plugin", "-p", "no:randomly", "-p", "no:xdist", *arguments
    )


def test_a_scenario_becomes_one_test_for_each_host_of_this_platform(
    pytester: pytest.Pytester, folder: Path
) -> None:
    found = inside(pytester, "--collect-only", "-q")

    found.stdout.fnmatch_lines(
        [
            "*one.toml::one?direct-simulator?",
            "*one.toml::one?fuse-simulator?",
            "*one.toml::one?winfsp-simulator?",
            "3 tests *",
        ]
    )


def test_real_servers_are_asked_for(pytester: pytest.Pytester, folder: Path) -> None:
    found = inside(pytester, "--collect-only", "-q", "--scenario-servers", "real")

    found.stdout.fnmatch_lines(["*one?direct-vsftpd?", "*one?fuse-pureftpd?", "6 tests *"])


def test_a_mistake_in_a_file_stops_the_collection_with_its_line(
    pytester: pytest.Pytester, folder: Path
) -> None:
    file = folder / "one.toml"
    file.write_text(file.read_text(encoding="utf-8") + "[expcet]\n", encoding="utf-8")

    found = inside(pytester)

    found.stdout.fnmatch_lines(["*one.toml:7: a scenario has no 'expcet': did you mean 'expect'?"])
    found.assert_outcomes(errors=1)


def test_the_matrix_is_printed_and_written(pytester: pytest.Pytester, folder: Path) -> None:
    found = inside(pytester, "-k", "direct", "--scenario-report", "out")

    found.assert_outcomes(passed=1, deselected=2)
    found.stdout.fnmatch_lines(["*item × host*", "*Rename file *1 ok *-*-*", "*written to *"])
    assert "because" in (pytester.path / "out" / "scenarios.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("variable", "outcome"), [("", "skipped"), ("true", "failed")])
def test_a_host_that_is_missing_is_skipped_but_fails_in_ci(
    pytester: pytest.Pytester,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    outcome: str,
) -> None:
    monkeypatch.setitem(capabilities.CAPABILITIES, "fuse", lambda: "no /dev/fuse here")
    monkeypatch.setenv("CI", variable)

    found = inside(pytester, "-k", "fuse", "-rs")

    found.assert_outcomes(deselected=2, **{outcome: 1})
    found.stdout.fnmatch_lines(["*no /dev/fuse here*"])


def test_the_slowest_callbacks_are_shown_also_from_workers_of_xdist(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))

    found = pytester.runpytest_subprocess(
        "-p", "tests.scenario_runner.plugin", "-p", "no:randomly", "-n", "2",
        "-k", "direct", "--scenario-report", "out",
    )  # fmt: skip

    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(
        [
            "*never frozen: how long programs waited*",
            "* callbacks measured, none later than its deadline + 2 s; *",
            "* of 3 s  *one?direct-simulator?*",
        ]
    )
    page = (pytester.path / "out" / "scenarios.html").read_text(encoding="utf-8")
    assert "callbacks measured" in page
