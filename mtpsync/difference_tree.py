"""Differences as a tree that stays readable: folders with sums, and no more lines than asked. Pure.

sub/  [missing]  4,000 file(s), 81,920,000 bytes
  a.mp3  [missing]  20,480 bytes
  … and 3,999 more
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mtpsync.plan import Action

DEPTH_MAX = 40  # what is deeper is in the sums


@dataclass(slots=True)
class Branch:
    """A folder or a file, and what is to be done for it; None: only for what is in it."""

    name: str
    action: Action | None = None
    children: dict[str, Branch] = field(default_factory=dict)
    files: int = 0  # below it
    size_bytes: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is shown as one."""
        return self.action is None or self.action.is_folder or bool(self.children)

    def text(self) -> str:
        """In one line."""
        reason = f"  [{self.action.reason.value}]" if self.action is not None else ""
        if self.is_folder:
            return f"{self.name}/{reason}  {self.files:,} file(s), {self.size_bytes:,} bytes"
        known = self.action is not None and self.action.size_bytes is not None
        return f"{self.name}{reason}" + (f"  {self.size_bytes:,} bytes" if known else "")


def grown(actions: Iterable[Action]) -> Branch:
    """The tree of *actions*."""
    top = Branch("")
    for action in actions:
        branch = top
        above = [top]
        for name in action.path.split("/"):
            branch = branch.children.setdefault(name, Branch(name))
            above.append(branch)
        branch.action = action
        if not action.is_folder:
            for each in above:
                each.files += 1
                each.size_bytes += action.size_bytes or 0
    return top


def lines(folder: Branch, most: int, depth: int = 0) -> Iterator[tuple[int, str]]:
    """Depth and text of what is in *folder*: about *most* lines, its own entries before others'."""
    entries = [folder.children[name] for name in sorted(folder.children)]
    shown = entries[:most]
    spare = most - len(shown)
    folders = sum(bool(entry.children) for entry in shown)
    for entry in shown:
        yield depth, entry.text()
        if not entry.children:
            continue
        share = min(_needs(entry, spare), spare // folders if depth < DEPTH_MAX else 0)
        folders -= 1
        if share:
            spare -= share
            yield from lines(entry, share, depth + 1)
    if len(shown) < len(entries):
        yield depth, f"… and {len(entries) - len(shown):,} more"


def _needs(folder: Branch, most: int) -> int:
    """How many lines all of it would take; *most* when that is not less."""
    waiting, found = [folder], 0
    while waiting and found < most:
        children = waiting.pop().children.values()
        found += len(children)
        waiting += children
    return min(found, most)
