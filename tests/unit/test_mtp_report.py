"""What people read of a plan: the tree, and how long it takes."""

from __future__ import annotations

from pathlib import Path

from mtpsync.difference_tree import grown, lines
from mtpsync.manifest import Manifest
from mtpsync.plan import Action, Reason
from mtpsync.rates import GUESSES, Meter, estimate


def file(path: str, size: int | None = 10, reason: Reason = Reason.MISSING) -> Action:
    return Action(path=path, is_folder=False, size_bytes=size, reason=reason)


def folder(path: str) -> Action:
    return Action(path=path, is_folder=True, reason=Reason.MISSING)


def shown(actions: list[Action], most: int = 200) -> list[str]:
    return [f"{'  ' * depth}{text}" for depth, text in lines(grown(actions), most)]


def test_a_tree_has_its_folders_above_what_is_in_them() -> None:
    told = shown(
        [
            folder("new"),
            folder("new/deep"),
            file("a", reason=Reason.CONTENT),
            file("new/deep/x", 5),
            file("there/b", 7, Reason.SIZE),
            file("plain", None, Reason.ASKED),
        ]
    )

    assert told == [
        "a  [content]  10 bytes",
        "new/  [missing]  1 file(s), 5 bytes",
        "  deep/  [missing]  1 file(s), 5 bytes",
        "    x  [missing]  5 bytes",
        "plain  [asked]",
        "there/  1 file(s), 7 bytes",
        "  b  [size]  7 bytes",
    ]


def test_ten_thousand_differences_are_a_page() -> None:
    actions = [folder(f"d{n:02}") for n in range(10)]
    actions += [file(f"d{n % 10:02}/f{n:05}") for n in range(10_000)]
    actions += [file("z/" * 1500 + "f")]

    told = shown(actions)

    assert len(told) <= 200 + 11 + 50
    assert "d09/  [missing]  1,000 file(s), 10,000 bytes" in told
    assert told.count("  f00009  [missing]  10 bytes") == 1
    assert sum("… and 9" in line for line in told) == 10
    assert len(shown([file(f"f{n:05}") for n in range(10_000)])) == 201


def test_a_small_folder_is_shown_whole_beside_a_large_one() -> None:
    actions = [file(f"large/{n}") for n in range(1000)] + [file("small/a"), file("small/b")]

    told = shown(actions, 30)

    assert told[-3:] == [
        "small/  2 file(s), 20 bytes",
        "  a  [missing]  10 bytes",
        "  b  [missing]  10 bytes",
    ]
    assert len(told) <= 31


def test_estimates_count_bytes_of_large_files_and_numbers_of_small_ones() -> None:
    rates = {"send": 10e6, "read": 40e6, "send small": 5.0}
    sizes = [40_000_000, 100, 100]

    assert estimate(sizes, rates, read_back=False) == 4 + 2 / 5
    assert estimate(sizes, rates, read_back=True) == 4 + 2 / 5 + 1 + 2 / GUESSES["read small"]
    assert estimate([], {}, read_back=True) == 0


def test_what_fails_is_not_measured() -> None:
    meter = Meter()
    with meter.timing("send", 1 << 20), meter.timing("read", 5):
        pass
    try:
        with meter.timing("send", 1 << 20):
            raise OSError
    except OSError:
        pass

    assert {kind: amount for kind, (amount, _s) in meter.spent.items()} == {
        "send": 1 << 20,
        "read small": 1,
    }


def test_what_was_measured_is_remembered_by_device_and_the_last_counts_most(tmp_path: Path) -> None:
    meter = Meter()
    meter.spent = {"send": (20e6, 1.0), "read": (1e6, 0.001)}
    with Manifest(tmp_path / "m.sqlite", "S1", "Card") as manifest:
        manifest.measured(meter)
        assert manifest.rates() == {"send": 20e6}  # the other took too little time to say much
        meter.spent = {"send": (5e6, 1.0)}
        manifest.measured(meter)
    with Manifest(tmp_path / "m.sqlite", "S1", "Card") as manifest:
        assert manifest.rates() == {"send": 10e6}
    with Manifest(tmp_path / "m.sqlite", "S2", "Card") as manifest:
        assert manifest.rates() == {}
