"""Questions to a person; never to a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click


def somebody_is_there(*, no_input: bool) -> bool:
    """Whether a question would be answered."""
    return not no_input and sys.stdin.isatty() and sys.stderr.isatty()


def choose(question: str, choices: Sequence[str]) -> int:
    """The index of what the person picked."""
    for number, choice in enumerate(choices, 1):
        click.echo(f"  {number}  {choice}", err=True)
    picked: int = click.prompt(question, type=click.IntRange(1, len(choices)), err=True)
    return picked - 1


def agree(question: str) -> bool:
    """True when the person says yes; no is the default."""
    return click.confirm(question, default=False, err=True)
