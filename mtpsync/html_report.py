"""The outcome of verify and exec as one HTML page: no scripts, nothing loaded, all of it escaped.

Names come from files and devices, which may be hostile: each text passes `_text`.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mtpsync.difference_tree import Branch, grown
from mtpsync.errors import UsageError
from mtpsync.manifest import Proof
from mtpsync.plan import Action, Plan
from mtpsync.sync import Done, Found
from mtpsync.utils.printable import printable

ROWS_MAX = 20_000  # of a list; a browser shows them, and more are of no use to a person
OPEN_MAX = 50  # folders with more entries begin folded
_DEPTH_MAX = 100

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}code,td.name,li,summary{overflow-wrap:anywhere}
ul{list-style:none;padding-left:1.4em;margin:.1em 0}table{border-collapse:collapse}
td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}td.n{text-align:right}
.r{color:#555;background:#eee;border-radius:.3em;padding:0 .3em;margin:0 .4em}.n,time{color:#555}
.good{color:#186a3b}.bad{color:#a93226}
@media (prefers-color-scheme:dark){
body{background:#181818;color:#ddd}.r{background:#333;color:#bbb}}
"""


@dataclass(slots=True, kw_only=True)
class Page:
    """What a page tells; lists that are empty are left out."""

    title: str
    is_good: bool
    facts: list[tuple[str, str]]
    actions: list[Action]
    lists: list[tuple[str, list[str]]] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    made_s: float = field(default_factory=time.time)


def page_of_found(found: Found, proofs: list[Proof]) -> Page:
    """What verify found."""
    plan = found.plan
    files = sum(not action.is_folder for action in plan.actions)
    title = "In sync" if found.in_sync else f"Not in sync: {files:,} file(s) to send"
    return Page(
        title=title,
        is_good=found.in_sync,
        facts=[
            *_about(plan),
            ("Bytes to send", f"{plan.bytes_to_send:,}"),
            ("Compared", f"{found.compared_files:,} file(s), {found.compared_bytes:,} bytes"),
            ("Not read again", f"{found.remembered:,} file(s), proven earlier"),
        ],
        actions=plan.actions,
        lists=[
            ("Problems", found.problems),
            ("Only on the device, to be taken away", [extra.path for extra in plan.extras]),
            ("Left out", list(found.skipped.values())),
        ],
        proofs=proofs,
    )


def page_of_done(
    done: Done, recovered: list[str], about: Plan, proofs: list[Proof], retry: Path | None
) -> Page:
    """What exec did; *about*: what it was to do."""
    title = f"{done.sent:,} file(s) sent"
    if done.left:
        title += f", {len(done.left):,} action(s) left"
    return Page(
        title=title,
        is_good=not done.left and not done.kept,
        facts=[
            *_about(about),
            ("Sent", f"{done.sent:,} file(s), {done.sent_bytes:,} bytes"),
            ("Already there", f"{done.already:,} file(s)"),
            ("Plan for what is left", "none" if retry is None else str(retry)),
        ],
        actions=done.left,
        lists=[
            ("Failed", [f"{path}: {why}" for path, why in done.failed.items()]),
            ("Left out", list(done.skipped.values())),
            ("Finished or undone from an earlier run", recovered),
            ("Taken away", done.taken_away),
            ("Not taken away", [f"{path}: {why}" for path, why in done.kept.items()]),
        ],
        proofs=proofs,
    )


def _about(plan: Plan) -> list[tuple[str, str]]:
    return [
        ("Folder", plan.source),
        ("Destination", plan.dest or "/"),
        ("Device", plan.serial),
        ("Storage", plan.storage),
    ]


def write_page(page: Page, file: Path) -> None:
    """Write *page*.

    Raises:
        UsageError: it can't be written.
    """
    try:
        with file.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in rendered(page))
    except OSError as error:
        raise UsageError(f"the report {file} can't be written: {error.strerror}") from error


def rendered(page: Page) -> Iterator[str]:
    """The page's lines."""
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield (
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>mtpsync: {_text(page.title)}</title><style>{_STYLE}</style></head><body>"
    yield f'<h1 class="{"good" if page.is_good else "bad"}">{_text(page.title)}</h1>'
    yield f"<p>{_time(page.made_s)}</p><table>"
    for what, value in page.facts:
        yield f'<tr><th>{_text(what)}</th><td class="name">{_text(value)}</td></tr>'
    yield "</table>"
    if page.actions:
        yield "<h2>To do</h2><ul>"
        yield from _tree(grown(page.actions[:ROWS_MAX]))
        yield f"</ul>{_more(page.actions)}"
    for heading, rows in page.lists:
        if rows:
            yield f"<h2>{_text(heading)}</h2><ul>"
            yield from (f"<li>{_text(row)}</li>" for row in rows[:ROWS_MAX])
            yield f"</ul>{_more(rows)}"
    if page.proofs:
        yield from _proofs(page.proofs)
    yield "</body></html>"


def _tree(top: Branch) -> Iterator[str]:
    """Folders that can be folded; without recursion, as folders may be deep."""
    waiting: list[tuple[int, Branch | str]] = [(0, entry) for entry in _sorted(top)]
    while waiting:
        depth, entry = waiting.pop()
        if isinstance(entry, str):
            yield entry
        elif not entry.children or depth >= _DEPTH_MAX:
            yield f"<li>{_described(entry)}</li>"
        else:
            is_open = " open" if len(entry.children) <= OPEN_MAX else ""
            yield f"<li><details{is_open}><summary>{_described(entry)}</summary><ul>"
            waiting.append((depth, "</ul></details></li>"))
            waiting += [(depth + 1, child) for child in _sorted(entry)]


def _sorted(branch: Branch) -> list[Branch]:
    """Its children, the first last."""
    return [branch.children[name] for name in sorted(branch.children, reverse=True)]


def _described(branch: Branch) -> str:
    reason = f'<span class="r">{branch.action.reason.value}</span>' if branch.action else " "
    slash, sums = ("/", f"{branch.files:,} file(s), ") if branch.is_folder else ("", "")
    size = f'<span class="n">{sums}{branch.size_bytes:,} bytes</span>'
    return f"{_text(branch.name)}{slash}{reason}{size}"


def _proofs(proofs: list[Proof]) -> Iterator[str]:
    yield "<h2>Proven: read back from the device and found equal</h2><details><summary>"
    oldest = min(proof.proven_s for proof in proofs)
    yield f"{len(proofs):,} file(s), since {_time(oldest)}</summary><table>"
    yield "<tr><th>File</th><th>Bytes</th><th>Proven</th><th>SHA-256</th></tr>"
    for proof in proofs[:ROWS_MAX]:
        yield (
            f'<tr><td class="name">{_text(proof.path)}</td><td class="n">{proof.source_size:,}</td>'
            f"<td>{_time(proof.proven_s)}</td><td><code>{_text(proof.sha256[:16])}…</code></td></tr>"
        )
    yield f"</table>{_more(proofs)}</details>"


def _more(rows: Sequence[object]) -> str:
    return f"<p>… and {len(rows) - ROWS_MAX:,} more</p>" if len(rows) > ROWS_MAX else ""


def _time(seconds: float) -> str:
    return time.strftime("<time>%Y-%m-%d %H:%M</time>", time.localtime(seconds))


def _text(text: str) -> str:
    return html.escape(printable(text))
