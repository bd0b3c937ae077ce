"""The matrix at the end: checklist item × host."""

from __future__ import annotations

from html import escape
from pathlib import Path

COLUMNS = ("direct", "fuse", "winfsp", "real")


class Matrix:
    """What became of each item on each host; real servers are a column of their own."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], list[str]] = {}

    def note(self, item: str, host: str, server: str, outcome: str) -> None:
        """One run of one scenario that covers *item*."""
        column = host if server == "simulator" else "real"
        self.results.setdefault((item, column), []).append(outcome)

    def cell(self, item: str, column: str) -> str:
        """Short text of a cell."""
        outcomes = self.results.get((item, column), [])
        if not outcomes:
            return "not here" if column == "winfsp" else "-"
        bad = sum(outcome == "failed" for outcome in outcomes)
        if bad:
            return f"{bad} FAILED"
        skipped = outcomes.count("skipped")
        return f"{len(outcomes) - skipped} ok" + (f", {skipped} skipped" if skipped else "")

    def lines(self, checklist: dict[str, dict[str, str]]) -> list[str]:
        """The matrix as text."""
        lines = [f"{'':58}" + "".join(f"{column:>12}" for column in COLUMNS)]
        for section, items in checklist.items():
            lines.append(section)
            for item, later in items.items():
                if later:
                    lines.append(f"  {item[:56]:56}  later: {later}")
                    continue
                cells = "".join(f"{self.cell(item, column):>12}" for column in COLUMNS)
                lines.append(f"  {item[:56]:56}" + cells)
        return lines


def write_page(matrix: Matrix, checklist: dict[str, dict[str, str]], directory: Path) -> Path:
    """The matrix as one HTML file."""
    rows: list[str] = []
    for section, items in checklist.items():
        rows.append(f"<tr><th colspan={len(COLUMNS) + 1}>{escape(section)}</th></tr>")
        for item, later in items.items():
            cells = [
                escape(f"later: {later}") if later else matrix.cell(item, column)
                for column in COLUMNS
            ]
            marks = "".join(
                f'<td class="{"bad" if "FAILED" in cell else "ok"}">{cell}</td>' for cell in cells
            )
            rows.append(f"<tr><td>{escape(item)}</td>{marks}</tr>")
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    page = (
        "<!doctype html><meta charset=utf-8><title>Scenarios</title><style>body{font:15px sans-serif;"
        "margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;"
        "text-align:left}.bad{background:#f99}.ok{background:#efe}</style>"
        f"<h1>Scenarios: item × host</h1><table><tr><th></th>{head}</tr>{''.join(rows)}</table>"
    )
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "scenarios.html"
    target.write_text(page, encoding="utf-8")
    return target
