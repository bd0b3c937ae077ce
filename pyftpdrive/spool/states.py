"""The life of a staged file, and what a crash in it means: as data.

    OPEN ──close/fsync──▶ QUEUED ──session──▶ SENDING ──verified──▶ COMMITTING ──proven──▶ DONE
      ▲                    ▲  │                  │                      │
      └──── written again ─┘  └──── refused ─────┴──────────────────────┴──▶ HELD

The journal knows OPEN, QUEUED and HELD: SENDING and COMMITTING are QUEUED for it, because what an
attempt did is read off the server, never remembered. Only two things can't be read off: that the
version before was put aside under a backup name (`Step.SWAP`), and that it is being overwritten
in place (`Step.DIRECT`); both are in the journal, synced, before the first octet of them.
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
        {
            StagedState.DONE,
            StagedState.SENDING,  # its session died: once more on another one
            StagedState.QUEUED,
            StagedState.OPEN,
            StagedState.HELD,
        }
    ),
    StagedState.HELD: frozenset({StagedState.QUEUED, StagedState.OPEN, StagedState.DONE}),
    StagedState.DONE: frozenset({StagedState.OPEN, StagedState.QUEUED}),
}


def may_follow(before: StagedState, after: StagedState) -> bool:
    """True when a staged file may go from *before* to *after*."""
    return after is before or after in TRANSITIONS[before]


@unique
class Step(Enum):
    """What an attempt that replaces a file has begun on the server."""

    NONE = "none"  # nothing, or only a temporary file
    SWAP = "swap"  # the version before may be called by the backup name
    DIRECT = "direct"  # the file itself may hold a part of the new bytes


# -- after a crash: the local half ----------------------------------------------------------------


@unique
class OnDisk(Enum):
    """The staged bytes, compared with what the journal's row says."""

    WHOLE = "whole"
    OTHER_SIZE = "of another size"
    GONE = "gone"


@unique
class Found(Enum):
    """What becomes of a row that an earlier run left."""

    SEND = "sent"
    HOLD = "held"
    FORGET = "forgotten"  # no bytes: nothing to send and nothing to hold


PERSISTENT = (StagedState.OPEN, StagedState.QUEUED, StagedState.HELD)
"""The states that a row can have."""

AFTER_CRASH: dict[tuple[StagedState, OnDisk], Found] = {
    (StagedState.OPEN, OnDisk.WHOLE): Found.HOLD,
    (StagedState.OPEN, OnDisk.OTHER_SIZE): Found.HOLD,
    (StagedState.OPEN, OnDisk.GONE): Found.FORGET,
    (StagedState.QUEUED, OnDisk.WHOLE): Found.SEND,
    (StagedState.QUEUED, OnDisk.OTHER_SIZE): Found.HOLD,
    (StagedState.QUEUED, OnDisk.GONE): Found.FORGET,
    (StagedState.HELD, OnDisk.WHOLE): Found.HOLD,
    (StagedState.HELD, OnDisk.OTHER_SIZE): Found.HOLD,
    (StagedState.HELD, OnDisk.GONE): Found.FORGET,
}


# -- after a crash, and before every attempt: the server's half --------------------------------


@unique
class Target(Enum):
    """What the server has under the file's name."""

    ABSENT = "nothing"
    BASE = "the version before"
    OURS = "the new version"
    OTHER = "another version"


@unique
class Next(Enum):
    """What an attempt does, given what it found on the server."""

    SEND = "send"
    FINISH = "finish"  # it is there: only its time is set and the row removed
    RESTORE = "restore"  # give the version before its name back, then send
    CLEAN = "clean"  # remove the backup, then go on as if there were none
    HOLD = "hold"  # another client's version: both are kept


NEXT: dict[tuple[Target, bool], Next] = {
    # (what the name stands for, whether there is a backup of ours)
    (Target.ABSENT, False): Next.SEND,
    (Target.BASE, False): Next.SEND,
    (Target.OURS, False): Next.FINISH,
    (Target.OTHER, False): Next.HOLD,
    (Target.ABSENT, True): Next.RESTORE,
    (Target.BASE, True): Next.CLEAN,
    (Target.OURS, True): Next.CLEAN,
    (Target.OTHER, True): Next.HOLD,
}
