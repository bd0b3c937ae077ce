"""The life of a staged file, as data.

    OPEN ──close/fsync──▶ QUEUED ──session──▶ SENDING ──verified──▶ COMMITTING ──proven──▶ DONE
      ▲                    ▲  │                  │                      │
      └──── written again ─┘  └──── refused ─────┴──────────────────────┴──▶ HELD

`DONE` removes the record; everything else survives a crash of the program.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class StagedState(Enum):
    """Where a staged file is on its way to the server."""

    OPEN = "open"  # a program may still write; not on its way
    QUEUED = "queued"  # waits for a session (or for the next attempt)
    SENDING = "sending"  # STOR under the temporary name
    COMMITTING = "committing"  # rename over the target, and its proof
    HELD = "held"  # the server refused for good: shown to the user, kept
    DONE = "done"  # on the server, verified


TRANSITIONS: dict[StagedState, frozenset[StagedState]] = {
    StagedState.OPEN: frozenset({StagedState.QUEUED, StagedState.HELD, StagedState.DONE}),
    StagedState.QUEUED: frozenset(
        {StagedState.SENDING, StagedState.OPEN, StagedState.HELD, StagedState.DONE}
    ),
    StagedState.SENDING: frozenset(
        {
            StagedState.COMMITTING,
            StagedState.QUEUED,
            StagedState.OPEN,
            StagedState.HELD,
            StagedState.DONE,
        }
    ),
    StagedState.COMMITTING: frozenset(
        {StagedState.DONE, StagedState.QUEUED, StagedState.OPEN, StagedState.HELD}
    ),
    StagedState.HELD: frozenset({StagedState.QUEUED, StagedState.OPEN, StagedState.DONE}),
    StagedState.DONE: frozenset({StagedState.OPEN, StagedState.QUEUED}),
}


def may_follow(before: StagedState, after: StagedState) -> bool:
    """True when a staged file may go from *before* to *after*."""
    return after is before or after in TRANSITIONS[before]
