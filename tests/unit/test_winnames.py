"""Names on Windows: reversible, and never one that Windows can't hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyftpdrive.base.errors import InvalidName
from pyftpdrive.base.winnames import (
    NAME_UNITS_MAX,
    Names,
    fold,
    from_windows,
    to_windows,
    units,
)

OCTETS = st.integers(0xDC80, 0xDCFF).map(chr)  # octets that are no text
ODD = st.sampled_from(
    [*'"*:<>?|\\ .~\x01\x1f', "\uf000", "\uf03a", "\uf02e", "\uf020", "\uf080", "C", "O", "N"]
)
PLAIN = st.characters(exclude_categories=("Cs",), exclude_characters="/\0\r\n")
NAMES = (
    st.lists(st.one_of(OCTETS, ODD, PLAIN), min_size=1, max_size=12)
    .map("".join)
    .filter(lambda name: name not in (".", ".."))
)
DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)( *\..*)?", re.IGNORECASE)


@given(NAMES)
def test_every_name_comes_back(name: str) -> None:
    assert from_windows(to_windows(name)) == name


@given(NAMES)
def test_what_windows_gets_it_can_hold(name: str) -> None:
    shown = to_windows(name)

    assert not re.search(r'[\x00-\x1f"*:<>?|\\/]', shown)
    assert not shown.endswith((".", " "))
    assert not DEVICE.fullmatch(shown)
    shown.encode("utf-16-le")  # no half of a pair


@given(
    st.text(PLAIN, min_size=1, max_size=20).filter(
        lambda n: not re.search(r'[\x01-\x1f"*:<>?|\\\uf000-\uf0ff]|[. ]$', n)
    )
)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    if not DEVICE.fullmatch(name) and not re.match(r"(?i)con(in|out)\$|(com|lpt)[¹²³]", name):
        assert to_windows(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a:b", "a\uf03ab"),
        ("what?.txt", "what\uf03f.txt"),
        ("ends.", "ends\uf02e"),
        ("ends ", "ends\uf020"),
        ("a\udcff", "a\uf0ff"),
        ("con", "\uf000con"),
        ("Com1.txt", "\uf000Com1.txt"),
        ("console", "console"),
        ("nul .x", "\uf000nul .x"),
        ("😀.txt", "😀.txt"),
        ("\uf03a", "\uf000\uf03a"),
    ],
)
def test_examples(name: str, shown: str) -> None:
    assert (to_windows(name), from_windows(shown)) == (shown, name)


@pytest.mark.parametrize("name", ["a:stream", "*.txt", "a|b", "dot.", "blank ", "a\ud800", "a\\b"])
def test_what_windows_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        from_windows(name)


@given(st.lists(NAMES, unique=True, max_size=8), st.randoms())
def test_all_names_of_a_directory_are_reachable(names: list[str], dice: object) -> None:
    found = Names(names)
    shown = [found.windows(name) for name in names]

    assert len({fold(name) for name in shown}) == len(names)
    assert [found.server(name) for name in shown] == names
    assert [
        found.server(name.swapcase()) for name in shown if fold(name.swapcase()) == fold(name)
    ] == [
        name
        for name, there in zip(names, shown, strict=True)
        if fold(there.swapcase()) == fold(there)
    ]
    dice.shuffle(names)  # type: ignore[attr-defined]
    again = Names(names)
    assert {name: again.windows(name) for name in names} == {
        name: found.windows(name) for name in names
    }


def test_twins_are_both_reachable_and_keep_their_suffix() -> None:
    names = Names(["Readme.txt", "README.txt", "readme.txt"])

    assert names.windows("README.txt") == "README.txt"
    assert re.fullmatch(r"Readme~[0-9a-f]{8}\.txt", names.windows("Readme.txt"))
    assert names.server("rEADME.TXT") == "README.txt"
    assert names.server(names.windows("readme.txt").upper()) == "readme.txt"


@pytest.mark.parametrize("name", ["x" * 300, "😀" * 200 + ".jpeg", "a." + "b" * 400, ":" * 256])
def test_long_names_are_cut_to_what_windows_counts(name: str) -> None:
    names = Names([name, "other"])
    shown = names.windows(name)

    assert units(shown) <= NAME_UNITS_MAX
    assert names.server(shown) == name
    shown.encode("utf-16-le")


@given(st.lists(NAMES, max_size=8), st.lists(NAMES, max_size=8))
def test_names_that_changed_are_what_they_would_be_if_made_anew(
    before: list[str], after: list[str]
) -> None:
    changed, anew = Names(before).changed(after), Names(after)

    assert {name: changed.windows(name) for name in after} == {
        name: anew.windows(name) for name in after
    }
    assert changed.same(after)
    for name in {*before, *after}:
        assert changed.server(to_windows(name)) == anew.server(to_windows(name))


@given(st.lists(st.sampled_from(["a", "A", "á", "Á", "b:", "B:", "x" * 256]), max_size=6))
def test_twins_that_come_and_go(names: list[str]) -> None:
    found = Names(["c"] * 9)
    for number in range(len(names)):
        found = found.changed(["c", "d", "e", "f", *names[:number]])
        anew = Names(["c", "d", "e", "f", *names[:number]])
        assert [found.windows(name) for name in names[:number]] == [
            anew.windows(name) for name in names[:number]
        ]


def test_of_twins_the_one_that_is_meant_to_the_letter_comes_first() -> None:
    names = Names(["a.txt", "A.TXT", "b"])

    assert names.server("a.txt") == "a.txt"
    assert names.server("A.TXT") == "A.TXT"
    assert names.server("A.txt") == "A.TXT"


def test_a_name_with_its_tag_is_found_when_its_twin_has_gone() -> None:
    shown = Names(["a.txt", "A.TXT"]).windows("a.txt")

    alone = Names(["a.txt", "other"])
    assert alone.windows("a.txt") == "a.txt"
    assert alone.server(shown) == alone.server(shown.upper()) == "a.txt"
    assert alone.server("other~12345678") is None
