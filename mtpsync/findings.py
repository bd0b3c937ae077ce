"""What `doctor` found: each thing by itself, and all of it in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

from mtpsync.errors import ExitCode, MtpSyncError


@unique
class Verdict(Enum):
    """Of one finding."""

    GOOD = "good"
    NOTICE = "notice"  # it works, and there is something to know
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""
    exit_code: ExitCode = ExitCode.DONE  # of a bad one


@dataclass(slots=True)
class Examination:
    """The findings so far."""

    findings: list[Finding] = field(default_factory=list)

    def good(self, check: str, text: str) -> None:
        """All is well."""
        self.findings.append(Finding(check=check, verdict=Verdict.GOOD, text=text))

    def notice(self, check: str, text: str, remedy: str = "") -> None:
        """Something to know."""
        self.findings.append(Finding(check=check, verdict=Verdict.NOTICE, text=text, remedy=remedy))

    def bad(self, check: str, text: str, remedy: str, exit_code: ExitCode) -> None:
        """Something that won't work."""
        self.findings.append(
            Finding(check=check, verdict=Verdict.BAD, text=text, remedy=remedy, exit_code=exit_code)
        )

    def failed(self, check: str, error: MtpSyncError) -> None:
        """An error that ends the check."""
        self.bad(check, str(error), error.remedy, error.exit_code)

    @property
    def exit_code(self) -> ExitCode:
        """Of the first bad finding."""
        bad = (each.exit_code for each in self.findings if each.verdict is Verdict.BAD)
        return next(bad, ExitCode.DONE)

    @property
    def conclusion(self) -> str:
        """In one sentence."""
        if self.exit_code is ExitCode.DONE:
            return "mtpsync works with this device"
        remedies = [f.remedy for f in self.findings if f.verdict is Verdict.BAD and f.remedy]
        return "mtpsync won't work like this" + (f"; first: {remedies[0]}" if remedies else "")

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "works": self.exit_code is ExitCode.DONE,
            "exit_code": int(self.exit_code),
            "findings": [
                {
                    "check": each.check,
                    "verdict": each.verdict.value,
                    "text": each.text,
                    "remedy": each.remedy,
                }
                for each in self.findings
            ],
        }
