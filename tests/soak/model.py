"""What a drive under random faults may show and must keep: the simple idea of it.

For each path a set of contents that are right. An operation that succeeded leaves one; one that
failed leaves what was and what it would have made. `None` stands for "no such file".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Content = bytes | None


@dataclass(slots=True)
class Expected:
    """One path."""

    right: set[Content] = field(default_factory=lambda: {None})
    torn: bool = False  # open for writing when the power went: HELD bytes may be any mixture
    held_ok: bool = False  # something happened that may rightly leave it HELD
    theirs: Content = None  # another program's version that the drive has not seen
    theirs_unseen: bool = False


class Model:
    """Every path that a schedule touched."""

    def __init__(self) -> None:
        self.files: dict[str, Expected] = {}

    def at(self, path: str) -> Expected:
        """The expectation of *path*."""
        return self.files.setdefault(path, Expected())

    def known(self, path: str) -> Content | bool:
        """Its one right content; False: there are several."""
        right = self.at(path).right
        return next(iter(right)) if len(right) == 1 else False

    def paths(self) -> Iterable[str]:
        """Paths that may exist."""
        return [path for path, one in self.files.items() if one.right != {None}]

    def settle(self, path: str, content: Content) -> None:
        """An operation succeeded: this and nothing else is right."""
        one = self.at(path)
        one.right = {content}
        one.torn = False

    def doubt(self, path: str, content: Content) -> None:
        """An operation failed, or has not ended: this is right as well."""
        self.at(path).right.add(content)

    def renamed(self, old: str, new: str, *, done: bool) -> None:
        """A rename succeeded, or may have."""
        source, target = self.at(old), self.at(new)
        moving = {content for content in source.right if content is not None}
        if done:
            target.right = moving or {None}
            target.torn, target.held_ok = source.torn, source.held_ok
            source.right = {None}
            source.torn = False
        else:
            target.right |= moving
            target.held_ok = target.held_ok or source.held_ok
            source.right.add(None)
