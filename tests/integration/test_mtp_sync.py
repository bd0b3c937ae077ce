"""mtpsync's two flows on a device in memory: what is compared, sent, proven; what a cut leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtpsync.errors import (
    ContentChanged,
    DeviceBusy,
    DeviceLost,
    ListingFailed,
    Refused,
    StorageFull,
)
from mtpsync.manifest import Manifest
from mtpsync.plan import Action, Plan, Reason
from mtpsync.scan import scan_source
from mtpsync.sync import Done, Found, Sync
from tests.helpers.mtp_device import MemoryDevice, OpenedAgainError


class Quiet:
    """Nobody is told anything."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.outcomes: dict[str, str] = {}
        self._stop_after = stop_after

    def step(self, path: str, what: str, done_bytes: int) -> None: ...

    def ended(self, action: Action, outcome: str) -> None:
        self.outcomes[action.path] = outcome

    def seen(self, objects: int) -> None: ...

    @property
    def stopping(self) -> bool:
        return len(self.outcomes) >= self._stop_after


class Bench:
    """A source folder, a device, and a manifest that outlives runs."""

    def __init__(self, work: Path) -> None:
        self.source = work / "source"
        self.source.mkdir()
        self.device = MemoryDevice()
        self.state = work / "state.sqlite"
        self.reporter = Quiet()

    def put(self, path: str, content: bytes) -> None:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def run(self, *, checksum: bool = True) -> tuple[Sync, Manifest]:
        (storage,) = self.device.storages()
        manifest = Manifest(self.state, "S1", storage.label)
        source = scan_source(self.source)
        sync = Sync(
            self.device, storage, "/Music", source, manifest, self.reporter, checksum=checksum
        )
        return sync, manifest

    def verify(self, *, quick: bool = False, checksum: bool = True) -> Found:
        sync, manifest = self.run(checksum=checksum)
        with manifest:
            sync.recover()
            return sync.verify(quick=quick)

    def execute(self, plan: Plan | None = None) -> Done:
        sync, manifest = self.run()
        with manifest:
            sync.recover()
            return sync.execute(plan or sync.full_plan())

    def expected(self) -> dict[str, bytes]:
        return {
            f"/Music/{file.relative_to(self.source).as_posix()}": file.read_bytes()
            for file in self.source.rglob("*")
            if file.is_file()
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.put("a.mp3", b"first")
    bench.put("sub/ü 💾.mp3", b"second")
    bench.put("sub/deep/empty", b"")
    return bench


def test_a_first_run_brings_everything_and_the_second_nothing(bench: Bench) -> None:
    found = bench.verify()
    assert {a.path: a.reason for a in found.plan.actions} == dict.fromkeys(
        ["sub", "sub/deep", "a.mp3", "sub/deep/empty", "sub/ü 💾.mp3"], Reason.MISSING
    )

    done = bench.execute(found.plan)
    assert (done.sent, done.failed, done.left) == (3, {}, [])
    assert bench.device.files() == bench.expected()

    bench.device.calls.clear()
    done = bench.execute()
    assert (done.sent, done.already) == (0, 3)
    assert bench.device.count("receive") == 0  # proven, and unchanged: nothing is read

    assert bench.verify().in_sync
    assert bench.device.count("receive") == 3  # verify alone reads the device


def test_quick_trusts_what_was_proven_and_says_since_when(bench: Bench) -> None:
    bench.execute()
    bench.device.calls.clear()

    found = bench.verify(quick=True)

    assert found.in_sync
    assert (found.remembered, found.compared_files) == (3, 0)
    assert found.oldest_proof_s is not None
    assert bench.device.count("receive") == 0


def test_a_difference_of_one_byte_is_found_and_mended(bench: Bench) -> None:
    bench.execute()
    bench.device.put("/Music/a.mp3", b"f1rst")

    found = bench.verify(quick=True)  # its time on the device is another one: it is read
    assert [(a.path, a.reason) for a in found.plan.actions] == [("a.mp3", Reason.CONTENT)]

    assert bench.execute(found.plan).sent == 1
    assert bench.device.files() == bench.expected()


def test_without_checksums_only_sizes_are_compared(bench: Bench) -> None:
    bench.execute()
    bench.device.put("/Music/a.mp3", b"f1rst")
    bench.device.put("/Music/sub/ü 💾.mp3", b"longer than it was")
    bench.device.calls.clear()

    found = bench.verify(checksum=False)

    assert [(a.path, a.reason) for a in found.plan.actions] == [("sub/ü 💾.mp3", Reason.SIZE)]
    assert bench.device.count("receive") == 0


def test_the_old_version_goes_only_when_the_new_one_is_proven(bench: Bench) -> None:
    bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.corrupt = lambda _name, content: content[:-1] + b"?"

    done = bench.execute()

    assert "other bytes" in done.failed["a.mp3"]
    assert bench.device.files()["/Music/a.mp3"] == b"the version before"
    assert not [path for path in bench.device.tree() if "~mtpsync" in path]


def test_a_device_that_does_not_rename(bench: Bench) -> None:
    bench.device.can_rename = False
    bench.device.put("/Music/a.mp3", b"the version before")

    assert bench.execute().failed == {}
    assert bench.device.files() == bench.expected()


@pytest.mark.parametrize(
    ("operation", "nth", "after"),
    [("receive", 2, False), ("rename", 1, False), ("rename", 1, True)],
)
def test_a_session_that_is_lost_again_while_what_was_cut_is_settled(
    bench: Bench, operation: str, nth: int, *, after: bool
) -> None:
    bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.faults.append(("delete", 1, True, DeviceLost("once")))
    bench.device.faults.append((operation, nth, after, DeviceLost("again")))

    done = bench.execute()

    assert (done.failed, done.left) == ({}, [])
    assert bench.device.files() == bench.expected()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("operation", ["send", "receive", "delete", "rename"])
def test_a_run_that_is_killed_on_a_device_that_does_not_rename(
    bench: Bench, operation: str, nth: int, *, after: bool
) -> None:
    """Neither version is lost, and what has a temporary name goes when the next run finishes."""
    bench.device.can_rename = False
    bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.faults.append((operation, nth, after, KeyboardInterrupt()))

    try:
        bench.execute()
    except KeyboardInterrupt:
        files = bench.device.files().values()
        assert {b"the version before", bench.expected()["/Music/a.mp3"]} & set(files)
    bench.device.faults.clear()
    done = bench.execute()

    assert done.failed == {}
    assert bench.device.files() == bench.expected()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "operation", ["send", "receive", "metadata", "delete", "rename", "make_folder"]
)
@pytest.mark.parametrize("old", [True, False], ids=["replaced", "new"])
def test_a_session_that_is_lost(bench: Bench, operation: str, *, after: bool, old: bool) -> None:
    """The run goes on in a new session; nothing of ours is left, and everything is there."""
    if old:
        bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.faults.append((operation, 1, after, DeviceLost("unplugged")))

    done = bench.execute()

    assert done.failed == {}
    assert done.left == []
    assert bench.device.files() == bench.expected()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("operation", ["send", "receive", "metadata", "delete", "rename"])
@pytest.mark.parametrize("old", [True, False], ids=["replaced", "new"])
def test_a_run_that_is_killed(bench: Bench, operation: str, *, after: bool, old: bool) -> None:
    """At each moment the old or the new version is there; the next run finishes."""
    if old:
        bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.faults.append((operation, 1, after, KeyboardInterrupt()))

    try:
        bench.execute()
    except KeyboardInterrupt:
        files = bench.device.files()
        if old:
            versions = {files.get("/Music/a.mp3")} | {
                content for path, content in files.items() if "~mtpsync" in path
            }
            assert versions & {b"the version before", b"first"}

    done = bench.execute()
    assert done.failed == {}
    assert bench.device.files() == bench.expected()


def test_a_cut_that_left_half_a_file_does_not_cost_somebody_elses(bench: Bench) -> None:
    bench.device.faults.append(("send", 1, True, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        bench.execute()
    bench.device.put("/Music/a.mp3", b"xyz")  # shorter, and not ours

    sync, manifest = bench.run()
    with manifest:
        (told,) = sync.recover()

    assert "compared" in told
    assert bench.device.files()["/Music/a.mp3"] == b"xyz"


def test_one_failure_does_not_stop_the_rest(bench: Bench) -> None:
    bench.device.faults.append(("send", 1, False, StorageFull("200c")))

    done = bench.execute()

    assert list(done.failed) == ["a.mp3"]
    assert [action.path for action in done.left] == ["a.mp3"]
    assert bench.device.files() == {
        path: content for path, content in bench.expected().items() if path != "/Music/a.mp3"
    }


def test_a_busy_device_is_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.device.faults.append(("send", 1, False, DeviceBusy("2019")))

    assert bench.execute().failed == {}
    assert bench.device.files() == bench.expected()


def test_a_plan_whose_ground_moved_is_refused_for_that_file_alone(bench: Bench) -> None:
    plan = bench.verify().plan
    bench.put("a.mp3", b"changed here, and longer")
    bench.device.put("/Music/sub/ü 💾.mp3", b"made on the device")

    done = bench.execute(plan)

    assert "changed here" in done.failed["a.mp3"]
    assert "changed on the device" in done.failed["sub/ü 💾.mp3"]
    assert done.sent == 1
    assert bench.device.files()["/Music/sub/ü 💾.mp3"] == b"made on the device"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_a_plan_can_not_lead_out_of_the_folder(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (bench.source / "link").symlink_to(tmp_path)
    plan = Plan(actions=[Action(path="link/secret", is_folder=False)])

    done = bench.execute(plan)

    assert list(done.failed) == ["link/secret"]
    assert bench.device.files() == {}


def test_problems_are_said_before_the_first_byte(bench: Bench) -> None:
    bench.device.free_bytes = 3
    bench.put("x" * 255, b"")

    with pytest.raises(Refused) as refused:
        bench.execute()

    assert "are needed" in str(refused.value)
    assert "255 characters" in str(refused.value)
    assert bench.device.files() == {}


def test_a_folder_that_can_not_be_listed_is_no_empty_folder(bench: Bench) -> None:
    bench.execute()
    bench.device.faults.append(
        ("children", bench.device.count("children") + 3, False, ListingFailed("02fe"))
    )

    found = bench.verify()

    assert not found.in_sync
    assert any("02fe" in problem for problem in found.problems)


def test_a_stop_leaves_the_rest_for_later(bench: Bench) -> None:
    bench.reporter = Quiet(stop_after=3)

    done = bench.execute()

    assert len(done.left) == 2
    bench.reporter = Quiet()
    assert bench.execute(Plan(actions=done.left)).failed == {}
    assert bench.device.files() == bench.expected()


def test_an_error_while_reading_back_is_no_proof(bench: Bench) -> None:
    bench.device.faults.append(("receive", 1, False, ContentChanged("short")))

    done = bench.execute()

    assert "short" in done.failed["a.mp3"]
    assert "/Music/a.mp3" not in bench.device.files()


def test_a_device_that_never_comes_back(bench: Bench) -> None:
    for nth in range(1, 20):
        bench.device.faults.append(("refresh", nth, False, DeviceLost("unplugged")))
    bench.device.faults.append(("send", 1, False, DeviceLost("unplugged")))

    done = bench.execute()

    assert [action.path for action in done.left] == ["a.mp3", "sub/deep/empty", "sub/ü 💾.mp3"]


@pytest.mark.parametrize("checksum", [True, False])
def test_a_device_that_keeps_the_beginning_only(bench: Bench, *, checksum: bool) -> None:
    """uMTP-Responder, when its disk is full: success, and the file is cut."""
    bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.corrupt = lambda _name, content: content[:2]
    sync, manifest = bench.run(checksum=checksum)
    with manifest:
        done = sync.execute(sync.full_plan())

    assert set(done.failed) == {"a.mp3", "sub/ü 💾.mp3"}
    assert bench.device.files() == {
        "/Music/a.mp3": b"the version before",
        "/Music/sub/deep/empty": b"",
    }


def test_a_file_that_is_written_to_while_it_is_sent(bench: Bench) -> None:
    def written(name: str, content: bytes) -> bytes:
        if name == "a.mp3":
            bench.put("a.mp3", b"first, and more")
        return content

    bench.device.corrupt = written

    done = bench.execute()

    assert "written to" in done.failed["a.mp3"]
    assert "/Music/a.mp3" not in bench.device.files()
    bench.device.corrupt = lambda _name, content: content
    assert bench.execute().failed == {}
    assert bench.device.files() == bench.expected()


def test_a_refused_send_leaves_no_part(bench: Bench) -> None:
    bench.device.faults.append(("send", 1, True, StorageFull("200c")))

    assert list(bench.execute().failed) == ["a.mp3"]
    assert "/Music/a.mp3" not in bench.device.files()


def test_what_was_proven_is_read_again_before_a_cut_replacement_is_finished(bench: Bench) -> None:
    bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.faults.append(("rename", 1, False, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        bench.execute()
    (temporary,) = [path for path in bench.device.files() if "~mtpsync" in path]
    bench.device.put(temporary, b"fyrst")

    sync, manifest = bench.run()
    with manifest:
        (told,) = sync.recover()
    assert "can't be finished" in told
    assert "/Music/a.mp3" not in bench.device.files()
    assert bench.execute().failed == {}
    assert bench.device.files()["/Music/a.mp3"] == b"first"


def test_a_change_on_the_device_is_not_covered_by_an_older_proof(bench: Bench) -> None:
    bench.execute()
    bench.device.put("/Music/a.mp3", b"f1rst")

    assert bench.execute().sent == 1
    assert bench.device.files() == bench.expected()


def test_a_session_that_is_lost_again_and_again_ends_the_run(bench: Bench) -> None:
    for nth in range(1, 100):
        bench.device.faults.append(("send", nth, False, DeviceLost("hung")))

    done = bench.execute()

    assert len(done.left) == 3
    assert bench.device.count("send") < 10


def test_objects_that_the_device_does_not_describe_are_no_proof_of_absence(bench: Bench) -> None:
    bench.execute()
    bench.device.undescribed = 2

    found = bench.verify()

    assert not found.in_sync
    assert any("2 object(s)" in problem for problem in found.problems)


def test_what_verify_read_is_remembered(bench: Bench) -> None:
    for path, content in bench.expected().items():
        bench.device.put(path, content)
    bench.verify()
    bench.device.calls.clear()

    assert bench.verify(quick=True).remembered == 3
    assert bench.execute().already == 3
    assert bench.device.count("receive") == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("operation", ["send", "receive", "metadata"])
@pytest.mark.parametrize("old", [True, False], ids=["replaced", "new"])
def test_a_device_that_is_opened_again_silently_has_other_ids(
    bench: Bench, operation: str, *, after: bool, old: bool
) -> None:
    """Nothing else is taken for what was meant, and nothing else is deleted."""
    for number in range(20):
        bench.device.put(f"/Music/other {number}/a.mp3", b"not ours")
    if old:
        bench.device.put("/Music/a.mp3", b"the version before")
    bench.device.faults.append((operation, 1, after, OpenedAgainError("02ff")))

    bench.execute()
    assert bench.execute().failed == {}

    others = {f"/Music/other {number}/a.mp3": b"not ours" for number in range(20)}
    assert bench.device.files() == {**bench.expected(), **others}


def test_verify_reads_the_right_files_after_the_ids_changed(bench: Bench) -> None:
    bench.execute()
    bench.device.faults.append(
        ("receive", bench.device.count("receive") + 1, False, OpenedAgainError("02ff"))
    )

    found = bench.verify()

    assert found.plan.actions == []
    assert len(found.problems) == 1  # the one that was being read


def test_many_new_files_in_a_folder_do_not_list_it_each_time(bench: Bench) -> None:
    for number in range(60):
        bench.put(f"many/{number}", b"x")

    assert bench.execute().sent == 63

    assert bench.device.count("children") < 20


def test_a_name_that_somebody_takes_meanwhile_is_seen_after_a_moment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtpsync.deliver.LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr("mtpsync.deliver.LOOK_AGAIN_TIMES", 0)

    class Meddler(Quiet):
        def ended(self, action: Action, outcome: str) -> None:
            super().ended(action, outcome)
            if action.path == "many/1":
                bench.device.put("/Music/many/2", b"theirs")

    bench.put("many/1", b"ours")
    bench.put("many/2", b"ours")
    bench.reporter = Meddler()

    done = bench.execute()

    assert "was made on the device meanwhile" in done.failed["many/2"]
    assert bench.device.files()["/Music/many/2"] == b"theirs"
