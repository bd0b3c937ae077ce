"""The server profile on disk: what is believed again, what is not, and files that lie."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.clock import SystemClock
from pyftpdrive.ftp.profile import Proof, ServerProfile
from pyftpdrive.ftp.profile_store import FILE_BYTES_MAX, ProfileStore

DAY_S = 86400
START_S = 1_800_000_000
SERVER = "user@phone:2121/"


class Calendar(SystemClock):
    """A clock whose date is set by hand."""

    def __init__(self) -> None:
        self.seconds = START_S

    def now_ns(self) -> int:
        return self.seconds * 10**9


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


def opened(
    directory: Path, calendar: Calendar, server: str = SERVER
) -> tuple[ServerProfile, ProfileStore]:
    profile = ServerProfile()
    store = ProfileStore(directory, server, profile, calendar)
    store.open()
    return profile, store


def greeted(profile: ServerProfile, banner: str = "SwiFTP 3.1", system: str = "UNIX") -> None:
    profile.greeted(banner)
    profile.identified(system)


def learned(directory: Path, calendar: Calendar) -> Path:
    """A first run; the file that it left."""
    profile, store = opened(directory, calendar)
    greeted(profile)
    profile.confirm("rest")
    profile.deny("mlsd")
    profile.checksum_way = "HASH SHA-256"
    profile.confirm("checksum")
    profile.confirm("pipelining")
    profile.confirm("feat")
    return store.file


def test_a_later_run_believes_what_was_proven(tmp_path: Path, calendar: Calendar) -> None:
    learned(tmp_path, calendar)
    calendar.seconds += 6 * DAY_S

    profile, _ = opened(tmp_path, calendar)
    greeted(profile)

    assert (profile.rest, profile.mlsd, profile.checksum) == (Proof.YES, Proof.NO, Proof.YES)
    assert profile.checksum_way == "HASH SHA-256"
    assert (profile.pipelining, profile.feat) == (Proof.UNKNOWN, Proof.UNKNOWN)


def test_after_a_week_only_what_works_is_believed(tmp_path: Path, calendar: Calendar) -> None:
    learned(tmp_path, calendar)
    calendar.seconds += 7 * DAY_S

    profile, _ = opened(tmp_path, calendar)

    assert (profile.rest, profile.mlsd) == (Proof.YES, Proof.UNKNOWN)


def test_a_no_of_the_future_is_not_believed(tmp_path: Path, calendar: Calendar) -> None:
    learned(tmp_path, calendar)
    calendar.seconds -= DAY_S

    profile, _ = opened(tmp_path, calendar)

    assert profile.mlsd is Proof.UNKNOWN


def test_a_no_that_is_proven_again_counts_from_then(tmp_path: Path, calendar: Calendar) -> None:
    learned(tmp_path, calendar)
    calendar.seconds += 8 * DAY_S
    opened(tmp_path, calendar)[0].deny("mlsd")
    calendar.seconds += 6 * DAY_S

    profile, _ = opened(tmp_path, calendar)

    assert profile.mlsd is Proof.NO


@pytest.mark.parametrize(
    ("banner", "system"), [("SwiFTP 3.2", "UNIX"), ("SwiFTP 3.1", "Windows_NT")]
)
def test_another_server_is_learned_afresh(
    tmp_path: Path, calendar: Calendar, banner: str, system: str
) -> None:
    learned(tmp_path, calendar)

    profile, _ = opened(tmp_path, calendar)
    greeted(profile, banner, system)

    known = {name for name, proof in profile.proofs().items() if proof is not Proof.UNKNOWN}
    assert known == set()
    assert profile.checksum_way == ""

    profile.confirm("rest")  # as before, but it is the other server's now
    again, _ = opened(tmp_path, calendar)
    greeted(again, banner, system)
    assert (again.rest, again.mlsd) == (Proof.YES, Proof.UNKNOWN)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "--- Welcome to Pure-FTPd ---\nYou are user number 1 of 50 allowed.\n"
            "Local time is now 03:08. Server port: 21.",
            "--- Welcome to Pure-FTPd ---\nYou are user number 12 of 50 allowed.\n"
            "Local time is now 13:59. Server port: 21.",
        ),
        ("ready at Sat Nov 21 03:06:26 2026", "ready at Tue Dec 1 13:06:26 2027"),
        ("user 3.", "user 14."),
    ],
)
def test_a_greeting_with_the_time_is_the_same(
    tmp_path: Path, calendar: Calendar, before: str, after: str
) -> None:
    first, _ = opened(tmp_path, calendar)
    greeted(first, before)
    first.confirm("rest")

    profile, _ = opened(tmp_path, calendar)
    greeted(profile, after)

    assert profile.rest is Proof.YES


def test_a_server_that_changes_while_it_is_used(tmp_path: Path, calendar: Calendar) -> None:
    profile, _ = opened(tmp_path, calendar)
    greeted(profile)
    profile.confirm("appe")
    profile.features = {"MLST": ""}
    profile.confirm("feat")

    profile.greeted("vsFTPd 3.0.3")

    assert profile.appe is profile.feat is Proof.UNKNOWN
    assert profile.features == {}
    assert opened(tmp_path, calendar)[0].appe is Proof.UNKNOWN


def test_two_runs_at_once_keep_what_each_learned_last(tmp_path: Path, calendar: Calendar) -> None:
    learned(tmp_path, calendar)
    mount, _ = opened(tmp_path, calendar)
    doctor, _ = opened(tmp_path, calendar)
    for profile in (mount, doctor):
        greeted(profile)

    doctor.confirm("rename_over")
    doctor.deny("rest")
    mount.confirm("mfmt")  # its `rest` is what it recalled, not what it saw

    profile, _ = opened(tmp_path, calendar)
    assert profile.rename_over is profile.mfmt is Proof.YES
    assert profile.rest is Proof.NO


def test_what_only_did_not_answer_is_not_kept(tmp_path: Path, calendar: Calendar) -> None:
    profile, _ = opened(tmp_path, calendar)
    profile.confirm("mlst")
    profile.deny("mlst", lasting=False)
    profile.deny("appe", lasting=False)
    profile.pipelining_broke()
    profile.checksum_timed_out()
    profile.checksum_timed_out()
    profile.confirm("rest")

    again, _ = opened(tmp_path, calendar)

    assert (again.mlst, again.rest) == (Proof.YES, Proof.YES)
    assert again.appe is again.pipelining is again.checksum is Proof.UNKNOWN


def test_servers_have_their_own_files(tmp_path: Path, calendar: Calendar) -> None:
    learned(tmp_path, calendar)

    profile, _ = opened(tmp_path, calendar, "user@phone:2121/DCIM")

    assert profile.rest is Proof.UNKNOWN


def test_the_file_is_private_and_has_no_secret(tmp_path: Path, calendar: Calendar) -> None:
    directory = tmp_path / "deep" / "profiles"
    file = learned(directory, calendar)

    content = json.loads(file.read_text())

    assert content["server"] == SERVER
    assert content["proofs"]["mlsd"] == {"proof": "no", "at": START_S}
    assert "SwiFTP" not in file.read_text()
    assert [entry.name for entry in directory.iterdir()] == [file.name]
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def edited(**changes: Any) -> bytes:
    plain = {
        "format": 1,
        "server": SERVER,
        "marks": {},
        "proofs": {"rest": {"proof": "yes", "at": START_S}},
    }
    return json.dumps({**plain, **changes}).encode()


def test_the_edited_files_below_are_refused_for_what_was_edited(
    tmp_path: Path, calendar: Calendar
) -> None:
    _, store = opened(tmp_path, calendar)
    store.file.write_bytes(edited())

    assert opened(tmp_path, calendar)[0].rest is Proof.YES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"7",
        b"{}",
        b"[" * 60000,
        b"9" * 60000,
        b" " * FILE_BYTES_MAX + edited(),
        edited(format=2),
        edited(server="user@tablet:2121/"),
        edited(marks=[]),
        edited(marks={"banner": 7}),
        edited(marks={"banner": "x" * 16}),
        edited(marks={"host": "0" * 16}),
        edited(proofs=[]),
        edited(proofs={"rest": "yes"}),
        edited(proofs={"rest": {"proof": "unknown", "at": START_S}}),
        edited(proofs={"rest": {"proof": "maybe", "at": START_S}}),
        edited(proofs={"rest": {"proof": "yes", "at": "soon"}}),
        edited(proofs={"rest": {"proof": "yes", "at": float("inf")}}),
        edited(proofs={"checksum": {"proof": "yes", "at": START_S, "way": "DELE"}}),
        edited(proofs={"checksum": {"proof": "yes", "at": START_S, "way": "HASH x\r\nDELE /"}}),
    ],
)
@pytest.mark.logs("the server profile .* is not used")
def test_a_file_that_is_no_profile_is_ignored_and_replaced(
    tmp_path: Path, calendar: Calendar, content: bytes
) -> None:
    _, store = opened(tmp_path, calendar)
    store.file.write_bytes(content)

    profile, _ = opened(tmp_path, calendar)
    assert set(profile.proofs().values()) == {Proof.UNKNOWN}
    assert profile.checksum_way == ""
    profile.confirm("rest")

    assert opened(tmp_path, calendar)[0].rest is Proof.YES


def test_what_it_does_not_know_or_keep_is_passed_over(tmp_path: Path, calendar: Calendar) -> None:
    _, store = opened(tmp_path, calendar)
    rows = {name: {"proof": "yes", "at": START_S} for name in ("rest", "feat", "_lock", "warp")}
    store.file.write_bytes(edited(proofs=rows))

    profile, _ = opened(tmp_path, calendar)

    assert (profile.rest, profile.feat) == (Proof.YES, Proof.UNKNOWN)
    assert not hasattr(profile, "warp")


def test_a_place_that_can_not_be_written_costs_nothing(tmp_path: Path, calendar: Calendar) -> None:
    place = tmp_path / "file"
    place.write_text("")

    profile, _ = opened(place / "profiles", calendar)
    profile.confirm("rest")

    assert profile.rest is Proof.YES
