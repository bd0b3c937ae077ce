"""Ranges, paths, secrets, states and the error tables."""

from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyftpdrive.base import errors
from pyftpdrive.base.errors import FsStatus, InvalidName, RemoteError
from pyftpdrive.base.paths import ROOT, is_below, join, name_of, parent, rebase, remote_path
from pyftpdrive.base.ranges import ByteRanges
from pyftpdrive.base.secret import Secret
from pyftpdrive.core.error_map import STATUS, fs_error
from pyftpdrive.ftp.retry import RetryPolicy
from pyftpdrive.hosts.fuse_errno import ERRNO
from pyftpdrive.spool.states import TRANSITIONS, StagedState, may_follow

# -- ranges ---------------------------------------------------------------------------------

_SPAN = st.tuples(st.integers(0, 40), st.integers(0, 40))
_STEP = st.tuples(st.sampled_from(["add", "remove", "truncate"]), _SPAN)


@given(st.lists(_STEP, max_size=12), _SPAN)
def test_ranges_behave_like_a_set_of_positions(steps, probe) -> None:
    ranges, model = ByteRanges(), set()
    for action, (start, end) in steps:
        if action == "add":
            ranges.add(start, end)
            model |= set(range(start, end))
        elif action == "remove":
            ranges.remove(start, end)
            model -= set(range(start, end))
        else:
            ranges.truncate(end)
            model = {position for position in model if position < end}

    spans = list(ranges)
    assert {p for start, end in spans for p in range(start, end)} == model
    assert all(start < end for start, end in spans)
    assert all(one[1] < two[0] for one, two in pairwise(spans))
    assert ranges.total == len(model)
    start, end = probe
    wanted = set(range(start, end))
    assert ranges.contains(start, end) == (wanted <= model)
    assert {p for a, b in ranges.missing(start, end) for p in range(a, b)} == wanted - model
    assert ranges.first_missing(start, end) == min(wanted - model, default=None)


# -- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "/"), ("/", "/"), ("a", "/a"), ("//a/./b/", "/a/b"), ("/ü '[x]% ", "/ü '[x]% ")],
)
def test_paths_are_folded(text: str, expected: str) -> None:
    assert remote_path(text) == expected


@pytest.mark.parametrize("text", ["..", "/a/../b", "a\nb", "a\r", "a\0"])
def test_paths_that_lead_elsewhere_can_not_exist(text: str) -> None:
    with pytest.raises(InvalidName):
        remote_path(text)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\n"])
def test_names_that_are_no_component_can_not_be_joined(name: str) -> None:
    with pytest.raises(InvalidName):
        join(ROOT, name)


def test_parts_of_a_path() -> None:
    path = join(join(ROOT, "a"), "b")

    assert (path, parent(path), name_of(path)) == ("/a/b", "/a", "b")
    assert (parent(ROOT), name_of(ROOT)) == ("/", "")
    assert is_below(path, ROOT)
    assert is_below(path, remote_path("/a"))
    assert not is_below(remote_path("/ab"), remote_path("/a"))
    assert not is_below(ROOT, ROOT)
    assert rebase(path, remote_path("/a"), remote_path("/x")) == "/x/b"


# -- secrets --------------------------------------------------------------------------------


def test_a_secret_does_not_show() -> None:
    secret = Secret("hunter2")

    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2"
    assert bool(Secret("")) is False
    with pytest.raises(TypeError):
        pickle.dumps(secret)


# -- tables ---------------------------------------------------------------------------------


def _subclasses(cls: type) -> set[type]:
    found = set(cls.__subclasses__())
    return found.union(*(_subclasses(sub) for sub in found))


@pytest.mark.parametrize(
    "cls", [c for c in _subclasses(RemoteError) if c.__module__ == errors.__name__]
)
def test_every_remote_error_has_a_status_of_its_own_row(cls: type[RemoteError]) -> None:
    assert cls in STATUS
    found = fs_error(cls("the server's words"))
    assert found.status is STATUS[cls]
    assert "the server's words" in str(found)


def test_errors_of_other_layers_take_the_row_of_what_they_are() -> None:
    class Special(errors.NotFound):
        pass

    assert fs_error(Special("x")).status is FsStatus.NOT_FOUND


@pytest.mark.parametrize("status", list(FsStatus))
def test_every_status_has_an_errno(status: FsStatus) -> None:
    assert ERRNO[status] > 0


@pytest.mark.parametrize("state", list(StagedState))
def test_every_state_has_a_way_on(state: StagedState) -> None:
    assert TRANSITIONS[state]
    assert may_follow(state, state)


def test_what_was_not_sent_is_not_committed() -> None:
    assert not may_follow(StagedState.QUEUED, StagedState.COMMITTING)
    assert not may_follow(StagedState.OPEN, StagedState.SENDING)


def test_retries_begin_at_once_and_then_wait_longer() -> None:
    policy = RetryPolicy(attempts=5, delay_s=1.0, delay_max_s=5.0)

    assert [policy.delay_before(n) for n in range(1, 7)] == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
