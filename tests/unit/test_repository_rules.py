"""Cheap rules about the repository itself."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pyftpdrive.options import OPTIONS
from tests import whole_suite

PROJECT = Path(__file__).resolve().parents[2]
TEXT = {".py", ".pyi", ".md", ".toml", ".ini", ".yml", ".yaml", ".cfg", ".c", ".h", ".sh", ""}
ADR_SECTIONS = ["Context", "Choice", "Cost", "What would change our mind"]
# Directories of whoever wrote the line, not of whoever runs it. Built here so as not to match.
MACHINE_PATH = re.compile("|".join([r"/home/(?!ann\b)\w+/", "/" + "work/", "/tmp/" + "team"]))


def tracked() -> list[Path]:
    """Files that git knows or would add."""
    shown = subprocess.run(
        # In a container of CI the checkout belongs to another user.
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"],
        cwd=PROJECT, capture_output=True, check=False,
    )  # fmt: skip
    if shown.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in shown.stdout.decode("utf-8", "replace").split("\0") if name]
    return [PROJECT / name for name in names if (PROJECT / name).is_file()]


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = [
        f"{file.relative_to(PROJECT)}:{number}"
        for file in tracked()
        if file.suffix in TEXT
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert not found


def test_decisions_are_numbered_once_and_say_what_a_decision_says() -> None:
    files = sorted(file for file in (PROJECT / "docs" / "adr").iterdir() if file.stem != "README")
    numbers = [file.name[:4] for file in files]
    assert len(set(numbers)) == len(numbers)
    for file in files:
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", file.name)
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"# {file.name[:4]}: ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ADR_SECTIONS, file.name


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{file.relative_to(PROJECT)}: {target}"
        for file in tracked()
        if file.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)", file.read_text(encoding="utf-8"))
        if "://" not in target and not (file.parent / target).exists()
    ]
    assert not broken


def test_paths_of_the_server_are_never_taken_for_paths_of_this_machine() -> None:
    """`os.path` is another module on Windows; what works with local files may have it."""
    local = {
        "config.py", "mount_point.py", "spool/recovery.py", "hosts/fuse.py",
        "storage.py", "__main__.py",
    }  # fmt: skip
    found = [
        f"{file.relative_to(PROJECT)}:{node.lineno}"
        for folder in (PROJECT / "pyftpdrive", PROJECT / "simulators" / "ftp_server")
        for file in sorted(folder.rglob("*.py"))
        if file.relative_to(folder).as_posix() not in local
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "os.path"
    ]
    assert not found


def test_commands_of_the_readme_exist() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    tree = ast.parse((PROJECT / "bootstrap.py").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

    commands = set(re.findall(r"^    python3 bootstrap\.py (\w+)", readme, re.MULTILINE))

    assert commands == {"demo", "test"}
    assert commands <= functions


def test_documents_name_only_tox_environments_that_exist() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(PROJECT / "tox.ini", encoding="utf-8")
    known = {name.removeprefix("testenv:") for name in tox.sections()}
    known |= {"py311", "py312", "py313"}
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        for group in re.findall(r"tox -e ([\w,]+)", text):
            assert set(group.split(",")) <= known, name


def test_example_configuration_shows_every_option() -> None:
    example = configparser.ConfigParser(interpolation=None)
    example.read(PROJECT / "config.example.ini", encoding="utf-8")
    shown = {(section, key) for section in example.sections() for key in example[section]}
    assert shown == {(option.section, option.key) for option in OPTIONS}


def test_dependencies_of_the_demo_are_part_of_the_tests() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "pyftpdrive[demo]" in project["optional-dependencies"]["dev"]
    assert project["scripts"]["pyftpdrive"] == "pyftpdrive.cli:main"


@pytest.mark.parametrize(
    ("line", "closes"),
    [
        ("============================== 87 passed in 6.64s ==============================", True),
        ("=== 1 failed, 646 passed, 2 skipped in 232.72s (0:03:52) ===", True),
        ("512 passed in 300.00s (0:05:00)", True),
        ("=================== 2 passed, 1 xfailed, 3 errors in 1.00s ====================", True),
        ("============================ no tests ran in 0.01s ============================", True),
        ("=========================== short test summary info ============================", False),
        ("5 files were copied in 3.00s, all fine", False),
    ],
)
def test_whole_suite_knows_pytests_closing_line(line: str, closes: bool) -> None:
    assert bool(whole_suite.CLOSING.match(line)) is closes


def test_whole_suite_sums_coverage_by_layer() -> None:
    summary = {"covered_lines": 3, "num_statements": 4, "covered_branches": 1, "num_branches": 2}
    files = {
        "pyftpdrive/cli.py": {"summary": summary},
        "pyftpdrive/ftp/a.py": {"summary": summary},
        "pyftpdrive/ftp/b.py": {"summary": summary},
    }

    assert whole_suite.by_layer(files) == [
        ("pyftpdrive (top)", 4, 6),
        ("pyftpdrive/ftp", 8, 12),
        ("total", 12, 18),
    ]
