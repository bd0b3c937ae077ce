"""Block files on a system that refuses to remove what is open, as Windows does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pyftpdrive.base.paths import remote_path
from pyftpdrive.cache.blocks import BlockFile, BlockOptions, BlockStore

PATH = remote_path("/log.txt")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlockStore:
    store = BlockStore(BlockOptions(directory=tmp_path / "blocks"))
    used: list[BlockFile] = []
    unlink, acquire = Path.unlink, store.acquire

    def windows_unlink(path: Path, missing_ok: bool = False) -> None:
        if any(file.fd >= 0 and file.local_path == path for file in used):
            raise PermissionError(errno.EACCES, "used by another process", str(path))
        unlink(path, missing_ok=missing_ok)

    def noted(*arguments: object) -> BlockFile:
        used.append(acquire(*arguments))  # type: ignore[arg-type]
        return used[-1]

    monkeypatch.setattr(Path, "unlink", windows_unlink)
    monkeypatch.setattr(store, "acquire", noted)
    return store


def test_a_file_that_is_open_can_be_forgotten_and_goes_with_its_last_user(
    store: BlockStore,
) -> None:
    file = store.acquire(PATH, 4, 1)
    store.acquire(PATH, 4, 1)
    os.write(file.fd, b"data")

    store.forget(PATH)

    assert file.local_path.read_bytes() == b"data"  # who has it open goes on reading
    file.release()
    assert file.local_path.exists()
    file.release()
    assert not file.local_path.exists()


def test_a_newer_version_takes_the_place_of_one_that_is_open(store: BlockStore) -> None:
    old = store.acquire(PATH, 4, 1)

    new = store.acquire(PATH, 5, 2)

    assert new is not old
    old.release()
    assert not old.local_path.exists()
    assert new.local_path.exists()
    new.release()


def test_what_could_not_be_removed_at_the_start_is_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "blocks"
    directory.mkdir()
    (directory / "00000001").write_bytes(b"of another file")
    monkeypatch.setattr("shutil.rmtree", lambda *_arguments, **_named: None)

    file = BlockStore(BlockOptions(directory=directory)).acquire(PATH, 15, 1)

    assert not file.complete
    assert not file.present.total
    file.release()
