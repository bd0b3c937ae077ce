"""Names that a storage can't hold: told, left out, or written with other characters, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtpsync.errors import UsageError
from mtpsync.mirror import extras
from mtpsync.models import FileNode, FolderNode, StorageInfo
from mtpsync.names import Names, adapted, policy, refusals
from mtpsync.scan import RemoteTree, SourceFile, SourceTree
from mtpsync.utils.fat_names import holds, mapped, original

ODD = '"*:<>?\\|＂＊：＜＞？＼｜．␠‛. ab\x01\x1f␁␟'
NAMES = st.text(
    st.one_of(st.sampled_from(ODD), st.characters(exclude_characters="/\0")), min_size=1
).filter(lambda name: name not in (".", ".."))


@given(NAMES)
@example("...")
@example("‛")
@example("a‛：")
@example("．")
@example(".．")
@example("a ．")
def test_a_name_comes_back_and_fat_takes_it(name: str) -> None:
    assert original(mapped(name)) == name
    assert holds(mapped(name))


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_two_names_stay_two(names: list[str]) -> None:
    assert mapped(names[0]) != mapped(names[1])


@given(st.text(st.sampled_from(ODD), max_size=6))
def test_what_a_hostile_plan_may_hold_never_leads_upwards(name: str) -> None:
    assert original(name) == name or original(name) not in ("", ".", "..")
    assert "/" not in original(name)


def test_what_it_looks_like() -> None:
    assert mapped('a: "b"?.mp3') == "a： ＂b＂？.mp3"
    assert mapped("dots...") == "dots..．"
    assert mapped("blank ") == "blank␠"
    assert mapped("was：there") == "was‛：there"
    assert mapped("plain ü 💾.mp3") == "plain ü 💾.mp3"


def storage(*, removable: bool) -> StorageInfo:
    return StorageInfo(
        id=1,
        label="Card",
        volume="",
        capacity_bytes=1,
        free_bytes=1,
        free_objects=None,
        read_only=False,
        removable=removable,
    )


CARD, INTERNAL = storage(removable=True), storage(removable=False)


def tree(*paths: str) -> SourceTree:
    made = SourceTree(Path("/here"))
    for path in paths:
        if path.endswith("/"):
            made.folders.append(path[:-1])
        else:
            made.files[path] = SourceFile(path=made.root / path, size_bytes=1, modified_ns=1)
    return made


def test_what_is_refused_depends_on_the_storage() -> None:
    for name in ("a:b", "dot.", "blank ", "bell\a"):
        assert refusals(f"sub/{name}", CARD)
        assert not refusals(f"sub/{name}", INTERNAL)
    for name in ("x" * 255, "💾" * 128, "~mtpsync-1", "\udcff"):
        assert refusals(name, INTERNAL)
    assert not refusals("💾" * 127, INTERNAL)


def test_mapped_paths_lead_to_the_local_files() -> None:
    source = tree("a:/", "a:/b?", "c．", "plain")

    here = adapted(source, Names.MAP, CARD)

    assert here.folders == ["a："]
    assert list(here.files) == ["a：/b？", "c‛．", "plain"]
    assert all(here.local(path) == file.path for path, file in here.files.items())
    assert adapted(source, Names.MAP, INTERNAL) is source
    assert adapted(source, Names.FAIL, CARD) is source


def test_skipping_leaves_out_what_is_refused_with_what_is_in_it_and_the_second_of_twins() -> None:
    source = tree("a:/", "a:/deep/", "Sub/", "sub/", "a:/deep/x", "Sub/x", "sub/x", "E\u0301", "é")

    here = adapted(source, Names.SKIP, CARD)

    assert (here.folders, list(here.files)) == (["Sub"], ["Sub/x", "E\u0301"])
    assert list(here.skipped) == ["a:", "a:/deep", "sub", "a:/deep/x", "sub/x", "é"]
    assert "a memory card" in here.skipped["a:"]
    assert "its folder" in here.skipped["a:/deep/x"]
    assert "one name" in here.skipped["é"]


def test_a_mirror_keeps_what_the_source_has_and_leaves_out() -> None:
    here = adapted(tree("a:/", "a:/x", "plain"), Names.SKIP, CARD)
    top = FolderNode(1)
    remote = RemoteTree(CARD, "/Music", top)
    top.children = {"a:": FolderNode(2, {"y": FileNode(3, 1)}), "extra": FileNode(4, 1)}

    assert [extra.path for extra in extras(here, remote)] == ["extra"]


def test_a_policy_that_nobody_knows() -> None:
    assert policy("") is Names.FAIL
    assert policy("map") is Names.MAP
    with pytest.raises(UsageError, match="fail, skip, map"):
        policy("guess")
