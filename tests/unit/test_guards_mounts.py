"""Reading the table of mounts for the guard."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import guards


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(guards, "_PROC", tmp_path)
    return tmp_path / "mounts"


def test_fuse_mounts_lists_only_fuse_at_or_under_the_directory(table: Path) -> None:
    table.write_text(
        "ftp://h /t/a fuse.pyftpdrive rw 0 0\n"
        "ftp://h /t fuse rw 0 0\n"
        "tmpfs /t/tmpfs tmpfs rw 0 0\n"
        "ftp://h /tt/other fuse.pyftpdrive rw 0 0\n"
    )

    assert guards.fuse_mounts(Path("/t")) == ["/t/a", "/t"]


def test_fuse_mounts_reads_escaped_names(table: Path) -> None:
    table.write_text("x /t/my\\040drive\\134 fuse rw 0 0\n")

    assert guards.fuse_mounts(Path("/t")) == ["/t/my drive\\"]


def test_leaks_names_a_mount_that_stayed(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "PATIENCE_S", 0.0)
    table.write_text("x /t/old fuse rw 0 0\n")
    before = guards.take(Path("/t"))
    table.write_text("x /t/old fuse rw 0 0\nx /t/new fuse rw 0 0\n")

    assert guards.leaks(before, Path("/t")) == ["mount /t/new"]


def test_a_machine_without_the_table_has_no_mounts(table: Path) -> None:
    assert not table.exists()
    assert guards.fuse_mounts(Path("/")) == []
