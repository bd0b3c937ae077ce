"""Plans as files: the specification's mapping, preconditions, and what is refused."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtpsync.errors import UsageError
from mtpsync.plan import DETAILS, Action, Plan, Reason, Remote, check_path, read_plan, write_plan

PLAN = Plan(
    source="/home/ann/music",
    dest="/Music",
    serial="S1",
    storage="Internal",
    made_s=1.5,
    actions=[
        Action(path="sub", is_folder=True, reason=Reason.MISSING, checked=True),
        Action(path="a", is_folder=False, reason=Reason.MISSING, size_bytes=3, modified_ns=7),
        Action(
            path="sub/b ü.mp3",
            is_folder=False,
            reason=Reason.CONTENT,
            size_bytes=3,
            modified_ns=8,
            sha256="00",
            remote=Remote(size_bytes=3, modified_s=9),
            checked=True,
        ),
    ],
)


def _written(tmp_path: Path, content: Any) -> Path:
    file = tmp_path / "plan.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return file


def test_the_file_is_the_specifications_mapping(tmp_path: Path) -> None:
    write_plan(PLAN, tmp_path / "plan.json")

    content = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    del content[DETAILS]

    assert content == {"sub/": "dir", "a": "file", "sub/b ü.mp3": "file"}
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_plan(PLAN, tmp_path / "plan.json")

    assert read_plan(tmp_path / "plan.json") == PLAN


def test_a_plain_mapping_loads(tmp_path: Path) -> None:
    plan = read_plan(_written(tmp_path, {"d/f": "file", "d/": "dir"}))

    assert plan.actions == [
        Action(path="d", is_folder=True),
        Action(path="d/f", is_folder=False),
    ]
    assert plan.made_s == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"../x": "file"}, "'../x'"),
        ({"a/../../x": "file"}, "no path below"),
        ({"/etc/passwd": "file"}, "'/etc/passwd'"),
        ({"a//b": "file"}, "no path below"),
        ({"./a": "file"}, "no path below"),
        ({"": "file"}, "no path below"),
        ({"a\0b": "file"}, "no path below"),
        ({"a": "link"}, "'link'"),
        ({"a/": "file"}, "expected"),
        ({"a": 1}, "expected"),
        ({"a": "file", DETAILS: {"version": 2}}, "version"),
        ({"a": "file", DETAILS: {"actions": {"a": {"size": "3"}}}}, "'size'"),
        ({"a": "file", DETAILS: {"actions": {"a": {"size": True}}}}, "'size'"),
        ({"a": "file", DETAILS: {"actions": {"a": {"reason": "luck"}}}}, "luck"),
        ({"a": "file", DETAILS: {"actions": {"a": {"remote": 3}}}}, "'remote'"),
        ({"a": "file", DETAILS: {"actions": []}}, "'actions'"),
        ({"a": "file", DETAILS: 3}, "version"),
        ([], "an object"),
        ('{"a": "file", "a": "dir"}', "twice"),
        ('{"a": "file"', "no plan"),
        ("[" * 100_000, "no plan"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_plan(_written(tmp_path, content))

    assert says in str(refused.value)


def test_a_plan_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        read_plan(tmp_path / "none.json")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="can't be written"):
        write_plan(PLAN, tmp_path / "file" / "plan.json")


@given(st.text(alphabet="ab/.\\\0", max_size=12))
def test_a_path_that_is_let_through_stays_below(path: str) -> None:
    try:
        check_path(path, path)
    except ValueError:
        return
    assert posixpath.normpath(f"/root/folder/{path}").startswith("/root/folder/")
