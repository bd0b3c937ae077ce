"""Fetching winfspy's wheel: what is said when it can't be had, or is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.fake_winfsp import wheel


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYFTPDRIVE_TEST_WINFSPY", str(tmp_path / "wheel"))
    return tmp_path / "wheel"


def test_without_an_index_there_is_one_clear_error(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    with pytest.raises(wheel.WheelMissingError, match=r"no winfspy 0.8.4: .*winfspy==0.8.4"):
        wheel.fetch()

    assert wheel.main(["check"]) == 1
    assert wheel.COMMAND in capsys.readouterr().out
    assert list(place.iterdir()) == []


def test_another_wheel_under_its_name_is_not_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / f"winfspy-{wheel.VERSION}" / "winfspy").mkdir(parents=True)
    (place / wheel.NAME).write_bytes(b"something else")

    assert "is not the wheel that we know" in (wheel.missing() or "")

    def download(folder: Path) -> None:
        (folder / wheel.NAME).write_bytes(b"still something else")

    monkeypatch.setattr(wheel, "_download", download)
    with pytest.raises(wheel.WheelMissingError, match="is not"):
        wheel.fetch()


@pytest.mark.usefixtures("winfspy")
def test_wheel_that_is_there_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "_download", None)

    wheel.fetch()

    assert wheel.missing() is None
