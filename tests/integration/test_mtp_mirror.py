"""Taking away what only the device has: never by mistake, and never for good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtpsync.errors import ListingFailed, NotSupported, Refused
from mtpsync.manifest import Manifest
from mtpsync.mirror import Mirror
from mtpsync.plan import Plan, read_plan, write_plan
from mtpsync.scan import scan_source
from mtpsync.sync import Done, Sync
from tests.helpers.mtp_device import MemoryDevice
from tests.integration.test_mtp_sync import Quiet


class Bench:
    """A device in sync with its source, but for two files and two folders that only it has."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.opened: list[Manifest] = []
        self.source = work / "source"
        (self.source / "kept").mkdir(parents=True)
        (self.source / "kept" / "a").write_bytes(b"a")
        self.device = MemoryDevice()
        self.device.put("/Music/kept/a", b"a")
        self.device.put("/Music/old/deep/b", b"bb")
        self.device.put("/Music/c", b"ccc")
        self.device.put("/Elsewhere/d", b"dddd")

    def sync(self) -> Sync:
        (storage,) = self.device.storages()
        self.manifest = Manifest(self.work / "state.sqlite", "S1", storage.label)
        self.opened.append(self.manifest)
        source = scan_source(self.source)
        return Sync(self.device, storage, "/Music", source, self.manifest, Quiet())

    def plan(self) -> Plan:
        plan = self.sync().verify(delete=True).plan
        write_plan(plan, self.work / "plan.json")
        return read_plan(self.work / "plan.json")

    def mirror(self, plan: Plan, max_delete: int = 100) -> Done:
        done = Done()
        self.sync().take_away(plan, done, self.work / "vault", max_delete)
        return done

    def undo(self) -> tuple[list[str], list[str]]:
        (storage,) = self.device.storages()
        return Mirror(self.device, storage, self.manifest, self.work / "vault").undo(None)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for manifest in bench.opened:
        manifest.close()


BEFORE = {
    "/Music/kept/a": b"a",
    "/Music/old/deep/b": b"bb",
    "/Music/c": b"ccc",
    "/Elsewhere/d": b"dddd",
}


def test_it_is_planned_only_when_asked_for(bench: Bench) -> None:
    assert bench.sync().verify().plan.extras == []
    assert [extra.path for extra in bench.plan().extras] == ["old/deep/b", "old/deep", "c", "old"]


@pytest.mark.parametrize("moves", [True, False], ids=["trash", "vault"])
def test_what_is_taken_away_comes_back(bench: Bench, *, moves: bool) -> None:
    plan = bench.plan()
    if not moves:
        bench.device.faults += [("move", nth, False, NotSupported("2005")) for nth in (1, 2)]

    done = bench.mirror(plan)

    assert (sorted(done.taken_away), done.kept) == (["c", "old", "old/deep", "old/deep/b"], {})
    left = {p: c for p, c in bench.device.files().items() if not p.startswith("/.mtpsync-trash/")}
    assert left == {"/Music/kept/a": b"a", "/Elsewhere/d": b"dddd"}
    assert "/Music/old" not in bench.device.tree()

    back, failed = bench.undo()
    assert (sorted(back), failed) == (["/Music/c", "/Music/old/deep/b"], [])
    assert bench.device.files() == BEFORE
    assert not any(path.startswith("/.mtpsync-trash") for path in bench.device.tree())
    assert bench.undo() == ([], [])


def test_undo_replaces_nothing(bench: Bench) -> None:
    bench.mirror(bench.plan())
    bench.device.put("/Music/c", b"made since")

    back, (failed,) = bench.undo()

    assert back == ["/Music/old/deep/b"]
    assert "there is another one" in failed
    assert bench.device.files()["/Music/c"] == b"made since"


@pytest.mark.parametrize(
    ("doubt", "says"),
    [
        (lambda b: (b.source / "kept" / "a").unlink(), "has no file"),
        (lambda b: setattr(b.device, "undescribed", 1), "does not describe"),
        (
            lambda b: b.device.faults.append(
                ("children", b.device.count("children") + 2, False, ListingFailed("02fe"))
            ),
            "02fe",
        ),
    ],
    ids=["empty source", "undescribed", "listing failed"],
)
def test_what_is_in_doubt_is_refused(bench: Bench, doubt: object, says: str) -> None:
    plan = bench.plan()
    doubt(bench)  # type: ignore[operator]

    with pytest.raises(Refused, match=says):
        bench.mirror(plan)
    assert bench.device.files() == BEFORE


def test_more_than_allowed_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="--max-delete allows 1"):
        bench.mirror(bench.plan(), max_delete=1)
    assert bench.device.files() == BEFORE


def test_two_looks_that_differ_are_refused(bench: Bench) -> None:
    plan = bench.plan()
    sync = bench.sync()
    bench.device.put("/Music/new on the phone", b"x")

    with pytest.raises(Refused, match="different things"):
        sync.take_away(plan, Done(), bench.work / "vault", 100)
    assert "/Music/c" in bench.device.files()


def test_what_changed_since_the_plan_stays(bench: Bench) -> None:
    plan = bench.plan()
    bench.device.put("/Music/c", b"another one")
    bench.device.put("/Music/old/new", b"x")
    (bench.source / "old" / "deep").mkdir(parents=True)

    done = bench.mirror(plan)

    assert done.taken_away == ["old/deep/b"]
    assert set(done.kept) == {"c", "old", "old/deep"}
    assert bench.device.files()["/Music/c"] == b"another one"
    assert bench.device.files()["/Music/old/new"] == b"x"


def test_a_name_that_differs_in_case_only_stays(bench: Bench) -> None:
    bench.device.put("/Music/KEPT/A", b"a")

    assert not any("KEPT" in extra.path for extra in bench.plan().extras)
