"""The matrix at the end of a run: checklist item × host, as text and as a page."""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

COLUMNS = ("direct", "fuse", "winfsp", "real")
MTP_COLUMNS = ("fake",)
ABSENT = {"fuse": "not here", "real": "not here"} if sys.platform == "win32" else {}
"""Columns that this platform can't fill, and what their cells say."""


def places(system: str = sys.platform) -> list[str]:
    """What the hosts were in this run, for people."""
    here = f"{platform.platform()}, Python {platform.python_version()}"
    winfsp = "the adapter below Win32 calls, in this process, on the fake WinFsp"
    if system == "win32":
        winfsp = "Win32 calls on a real drive letter: `pyftpdrive mount` above WinFsp"
    return [f"ran on {here}", f"winfsp: {winfsp}"]


WIDTH = 12
ITEM_WIDTH = 56

Checklist = dict[str, dict[str, str]]
"""Section -> item -> '' or why it has no scenario yet."""

_STYLE = (
    "body{font:15px/1.4 sans-serif;margin:2em;max-width:75em}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}"
    ".failed{background:#f99}.passed{background:#efe}.none{color:#888}"
    "pre{white-space:pre-wrap;margin:0}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Which scenario ran where; travels with the test's report, also between processes."""

    id: str
    why: str
    covers: tuple[str, ...]
    host: str
    server: str

    @property
    def column(self) -> str:
        """Real servers are a column of their own."""
        return self.host if self.server == "simulator" else "real"

    def dumps(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Subject:
        """From text."""
        fields = json.loads(text)
        return cls(**{**fields, "covers": tuple(fields["covers"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of it."""

    subject: Subject
    outcome: str  # passed, failed, skipped
    seconds: float
    message: str


class Matrix:
    """All results of a run."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def note(self, result: Result) -> None:
        """One scenario ran on one host."""
        self.results.append(result)

    def cell(self, item: str, column: str) -> tuple[str, str]:
        """Text and class of a cell."""
        outcomes = Counter(
            result.outcome
            for result in self.results
            if item in result.subject.covers and result.subject.column == column
        )
        if not outcomes:
            return ABSENT.get(column, "-"), "none"
        if outcomes["failed"]:
            return f"{outcomes['failed']} FAILED", "failed"
        texts = [f"{outcomes['passed']} ok"] if outcomes["passed"] else []
        texts += [f"{outcomes['skipped']} skipped"] if outcomes["skipped"] else []
        return ", ".join(texts), "passed" if outcomes["passed"] else "none"

    def has(self, checklist: Checklist) -> bool:
        """Whether anything of *checklist* ran."""
        items = {item for section in checklist.values() for item in section}
        return any(items & set(result.subject.covers) for result in self.results)

    def lines(self, checklist: Checklist, mtpsync: Checklist | None = None) -> list[str]:
        """The matrix as text; *mtpsync*: the second program's items, when any of them ran."""
        lines = [*self._table(checklist, COLUMNS), *places()]
        if mtpsync is not None and self.has(mtpsync):
            own = self._table(mtpsync, MTP_COLUMNS)
            lines = [*lines, "", *own] if self.has(checklist) else [*own, places()[0]]
        return lines

    def _table(self, checklist: Checklist, columns: tuple[str, ...]) -> list[str]:
        head = "".join(f"{column:>{WIDTH}}" for column in columns)
        lines = [f"{'':{ITEM_WIDTH + 2}}{head}"]
        for section, items in checklist.items():
            lines.append(section)
            for item, later in items.items():
                name = item if len(item) <= ITEM_WIDTH else item[: ITEM_WIDTH - 1] + "…"
                if later:
                    lines.append(f"  {name:{ITEM_WIDTH}}  later: {later}")
                    continue
                cells = "".join(f"{self.cell(item, column)[0]:>{WIDTH}}" for column in columns)
                lines.append(f"  {name:{ITEM_WIDTH}}{cells}")
        return lines

    def _scenarios(self) -> Iterable[str]:
        """Rows of the page's second table, failures first."""
        order = {"failed": 0, "skipped": 1, "passed": 2}
        for result in sorted(
            self.results, key=lambda r: (order.get(r.outcome, 0), r.subject.id, r.subject.host)
        ):
            subject = result.subject
            message = f"<pre>{escape(result.message)}</pre>" if result.message else ""
            yield (
                f"<tr><td>{escape(subject.id)}</td><td>{escape(subject.why)}{message}</td>"
                f"<td>{escape(subject.host)}</td><td>{escape(subject.server)}</td>"
                f'<td class="{result.outcome}">{result.outcome}</td>'
                f"<td>{result.seconds:.1f} s</td></tr>"
            )

    def _rows(self, checklist: Checklist, columns: tuple[str, ...]) -> str:
        """One table of the page."""
        rows = []
        for section, items in checklist.items():
            rows.append(f"<tr><th colspan={len(columns) + 1}>{escape(section)}</th></tr>")
            for item, later in items.items():
                if later:
                    cells = f'<td class="none" colspan={len(columns)}>later: {escape(later)}</td>'
                else:
                    found = [self.cell(item, column) for column in columns]
                    cells = "".join(f'<td class="{name}">{text}</td>' for text, name in found)
                rows.append(f"<tr><td>{escape(item)}</td>{cells}</tr>")
        head = "".join(f"<th>{column}</th>" for column in columns)
        return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"

    def page(
        self,
        checklist: Checklist,
        slowest: Iterable[str] = (),
        mtpsync: Checklist | None = None,
    ) -> str:
        """The matrix and every scenario, as one HTML page that needs nothing else.

        *slowest*: lines about the callbacks that programs waited longest for.
        """
        waited = escape("\n".join(slowest) or "nothing was measured")
        own = ""
        if mtpsync is not None:
            own = f"<h2>mtpsync: item × host</h2>{self._rows(mtpsync, MTP_COLUMNS)}"
        counts = Counter(result.outcome for result in self.results)
        summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        return (
            f"<!doctype html><meta charset=utf-8><title>Scenarios</title><style>{_STYLE}</style>"
            f"<h1>Scenarios</h1><p>{summary}</p>"
            f"<p>{'<br>'.join(escape(line) for line in places())}</p><h2>Item × host</h2>"
            f"{self._rows(checklist, COLUMNS)}{own}"
            f"<h2>How long programs waited</h2><pre>{waited}</pre><h2>Every scenario</h2><table>"
            "<tr><th>scenario</th><th>why</th><th>host</th><th>server</th><th></th><th>time</th>"
            f"</tr>{''.join(self._scenarios())}</table>"
        )


def write_page(
    matrix: Matrix,
    checklist: Checklist,
    directory: Path,
    slowest: Iterable[str] = (),
    mtpsync: Checklist | None = None,
) -> Path:
    """Write the page into *directory*; return where."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "scenarios.html"
    target.write_text(matrix.page(checklist, slowest, mtpsync), encoding="utf-8")
    return target
