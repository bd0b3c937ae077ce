"""An option whose value may be left out."""

from __future__ import annotations

import click

from mtpsync.waiting import FOREVER_S


class Patient(click.Command):
    """A command with `--wait [SECONDS]`; what follows is the seconds only if it is a number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`--wait` alone is `--wait=` for ever."""
        told = list(args)
        for number, word in enumerate(args):
            if word == "--wait" and not "".join(args[number + 1 : number + 2]).isdecimal():
                told[number] = f"--wait={FOREVER_S}"
        return super().parse_args(ctx, told)
