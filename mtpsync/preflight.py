"""What would go wrong half-way, said before the first byte: all of it at once. Pure."""

from __future__ import annotations

from mtpsync.models import DeviceInfo, FileNode, StorageInfo
from mtpsync.names import refusals
from mtpsync.plan import Action, twins
from mtpsync.scan import RemoteTree, SourceTree, folded

LARGE_BYTES = 1 << 32
RESERVE_BYTES = 1 << 20  # for folders and what the device writes besides


def preflight(
    actions: list[Action],
    source: SourceTree,
    remote: RemoteTree,
    device: DeviceInfo,
) -> list[str]:
    """Every reason why *actions* can't all be done; empty: go."""
    problems = _storage(remote.storage)
    needed = spare = 0
    for action in actions:
        problems += refusals(action.path, remote.storage)
        file = source.files.get(action.path)
        if action.is_folder or file is None:
            continue
        there = remote.find(action.path)
        old = there.size if isinstance(there, FileNode) else 0
        needed += file.size_bytes - old
        spare = max(spare, old)  # both versions are there for a while
        if file.size_bytes >= LARGE_BYTES and device.object_bits < 64:
            problems.append(f"{action.path}: this device can't hold files of 4 GiB and more")
    problems += _space(needed + spare, remote.storage, sum(not a.is_folder for a in actions))
    problems += twins(action.path for action in actions)
    problems += _twins(actions, remote)
    return problems


def _storage(storage: StorageInfo) -> list[str]:
    return [f"the storage {storage.label!r} is read-only"] if storage.read_only else []


def _space(needed: int, storage: StorageInfo, files: int) -> list[str]:
    problems = []
    free = storage.free_bytes
    if needed > 0 and free is not None and needed + RESERVE_BYTES > free:
        problems.append(
            f"{needed + RESERVE_BYTES:,} bytes are needed, {free:,} are free on {storage.label!r}"
        )
    if storage.free_objects is not None and files > storage.free_objects:
        problems.append(f"{files} files, room for {storage.free_objects} on {storage.label!r}")
    return problems


def _twins(actions: list[Action], remote: RemoteTree) -> list[str]:
    """New names that differ from one on the device in case or composition only."""
    there = {folded(path): path for path, _node in remote.walk()}
    problems = []
    for action in actions:
        twin = there.get(folded(action.path))
        if twin is not None and twin != action.path and remote.find(action.path) is None:
            problems.append(f"{action.path}: the device has {twin}, which may be the same to it")
    return problems
