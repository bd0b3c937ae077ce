"""The HTML report: well-formed, with nothing in it that a name could have put there."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtpsync.errors import UsageError
from mtpsync.html_report import Page, page_of_done, page_of_found, rendered, write_page
from mtpsync.manifest import Proof
from mtpsync.plan import Action, Extra, Plan, Reason
from mtpsync.sync import Done, Found

VOID = {"meta"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=http://example.invalid/x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</title></style><base href=//example.invalid>",
    "&lt;b&gt;",
    "evil\u202egpj.exe",
    "line\nbreak\x1b[2J",
    "octets\udcff",
]


class Read(HTMLParser):
    """What a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def action(path: str, *, is_folder: bool = False) -> Action:
    return Action(path=path, is_folder=is_folder, reason=Reason.MISSING, size_bytes=5)


def proof(path: str) -> Proof:
    return Proof(
        path=path, source_size=5, source_ns=1, remote_s=1, sha256=path, proven_s=1_700_000_000.0
    )


def found(*names: str) -> Found:
    actions = [action("sub", is_folder=True), *(action(f"sub/{name}") for name in names)]
    extras = [Extra(path=f"extra {name}", remote=None) for name in names]
    plan = Plan(
        source=f"/{names[0]}", dest=names[-1], serial=names[0], storage=names[-1],
        actions=actions, extras=extras,
    )  # fmt: skip
    skipped = {name: f"skipped {name}" for name in names}
    return Found(plan=plan, problems=[f"problem {name}" for name in names], skipped=skipped)


def read(page: Page) -> Read:
    text = "\n".join(rendered(page))
    assert "\x1b" not in text
    return Read(text)


PLAIN = read(page_of_found(found("plain"), [proof("/Music/plain")]))


def test_what_it_says() -> None:
    for words in (
        "Not in sync: 1 file(s) to send",
        "sub/",
        "1 file(s), 5 bytes",
        "missing",
        "extra plain",
        "problem plain",
        "skipped plain",
        "/Music/plain",
        "2023-11-14",
    ):
        assert words in PLAIN.text
    assert PLAIN.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "open"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text(name: str) -> None:
    page = read(page_of_found(found(name), [proof(name)]))

    assert (page.tags, page.attributes) == (PLAIN.tags, PLAIN.attributes)
    if name.isprintable():
        assert page.text.count(name.split("/")[0]) >= 4


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_any_name_is_text(names: list[str]) -> None:
    done = Done(
        failed=dict.fromkeys(names, names[0]),
        left=[action(name) for name in names],
        kept={names[0]: names[-1]},
        taken_away=names,
        skipped={names[0]: names[-1]},
    )
    about = Plan(source=names[0])
    page = read(page_of_done(done, names, about, [proof(n) for n in names], Path("x")))

    assert page.tags <= PLAIN.tags
    assert page.attributes <= PLAIN.attributes


def test_ten_thousand_entries_and_deep_folders_are_one_page() -> None:
    names = [f"d{n % 100}/f{n}" for n in range(10_000)] + ["z/" * 1500 + "deep"]

    text = "\n".join(rendered(page_of_found(found(*names), [])))

    assert text.count("<li>") >= 10_000
    assert text.count("<ul>") == text.count("</ul>")
    Read(text)


def test_a_report_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        write_page(page_of_done(Done(), [], Plan(), [], None), tmp_path)
