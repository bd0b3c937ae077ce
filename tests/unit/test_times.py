"""Times that the drive gave itself are no other program's version."""

from __future__ import annotations

from pyftpdrive.base.paths import RemotePath
from pyftpdrive.spool.times import PATHS_KEPT, TIMES_KEPT, OwnTimes, same_time

S = 10**9
NOW_NS = 1_700_000_001 * S


def test_a_time_that_was_given_explains_itself_only() -> None:
    times = OwnTimes()
    times.give(RemotePath("/a"), NOW_NS + 5)

    assert times.explain(RemotePath("/a"), NOW_NS)  # a server keeps whole seconds
    assert not times.explain(RemotePath("/a"), NOW_NS + S)
    assert not times.explain(RemotePath("/b"), NOW_NS)


def test_the_last_few_are_remembered_of_the_last_thousand() -> None:
    times = OwnTimes()
    for second in range(TIMES_KEPT + 1):
        times.give(RemotePath("/a"), NOW_NS + second * S)
    assert not times.explain(RemotePath("/a"), NOW_NS)
    assert times.explain(RemotePath("/a"), NOW_NS + S)

    for number in range(PATHS_KEPT):
        times.give(RemotePath(f"/{number}"), NOW_NS)
    assert not times.explain(RemotePath("/a"), NOW_NS + S)
    assert times.explain(RemotePath("/0"), NOW_NS)


def test_minutes_and_unknown_times_may_be_the_same() -> None:
    minute_ns = NOW_NS // S // 60 * 60 * S
    assert same_time(minute_ns, NOW_NS)
    assert same_time(None, NOW_NS)
    assert not same_time(minute_ns - 60 * S, NOW_NS)
