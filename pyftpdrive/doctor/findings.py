"""What a check found, in values and in words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, unique

from pyftpdrive.base.errors import RemoteError

FORMAT = 1
TEXT_MAX = 400
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")

Fact = str | int | float | bool | None | list[str]


@unique
class Verdict(Enum):
    """What a finding means to the user; the worst last."""

    GOOD = "good"
    UNKNOWN = "unknown"  # could not be found out, or was not tried
    NOTICE = "notice"  # worth knowing; the drive works around it
    BAD = "bad"  # something that a user wants does not work


def plain(text: str) -> str:
    """A server's words on one line, without anything that a terminal would obey."""
    text = _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", " ".join(text.split()))
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    check: str  # the check's stable name
    verdict: Verdict
    seen: str
    remedy: str = ""  # what the user can do; '': nothing to be done
    facts: dict[str, Fact] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """In plain values."""
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "seen": self.seen,
            "remedy": self.remedy,
            "facts": self.facts,
        }


@dataclass(slots=True, kw_only=True)
class Report:
    """Everything that one run found. `fatal`: why it ended before the server was looked at."""

    server: str
    findings: list[Finding] = field(default_factory=list)
    profile: dict[str, object] = field(default_factory=dict)
    fatal: RemoteError | None = None
    why: str = ""  # `fatal` in harmless words

    def finding(self, check: str) -> Finding | None:
        """The finding of *check*, when it was made."""
        return next((found for found in self.findings if found.check == check), None)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; a run that learned something and found no fault is not unknown."""
        if self.fatal is not None:
            return Verdict.BAD
        order = list(Verdict)
        worst = max((found.verdict for found in self.findings), key=order.index)
        return Verdict.GOOD if worst is Verdict.UNKNOWN else worst

    @property
    def summary(self) -> str:
        """One sentence for people."""
        bad = [found for found in self.findings if found.verdict is Verdict.BAD]
        if self.fatal is not None:
            return f"The server can't be used: {self.why}."
        if bad:
            return f"The server can be used, but {len(bad)} thing(s) won't work as you want."
        if self.verdict is Verdict.NOTICE:
            return "The server can be used; what is noted here is worth knowing."
        return "The server does all that the drive wants."

    def as_json(self) -> dict[str, object]:
        """In plain values; docs/doctor.md has the structure."""
        return {
            "format": FORMAT,
            "server": self.server,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "findings": [found.as_json() for found in self.findings],
            "profile": self.profile,
        }
