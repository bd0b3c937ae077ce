"""What would go wrong half-way, said before the first byte: all of it at once. Pure."""

from __future__ import annotations

from mtpsync.deliver import TEMPORARY_PREFIX
from mtpsync.models import DeviceInfo, FileNode, StorageInfo
from mtpsync.plan import Action
from mtpsync.scan import RemoteTree, SourceTree, folded

NAME_UNITS_MAX = 254  # UTF-16; libmtp sends an empty name for a longer one
LARGE_BYTES = 1 << 32
FAT_FORBIDDEN = frozenset('"*:<>?\\|')
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
        problems += _name(action.path, remote.storage)
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


def _name(path: str, storage: StorageInfo) -> list[str]:
    name = path.rpartition("/")[2]
    problems = []
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        return [f"{path!r}: its name is not UTF-8"]
    if units > NAME_UNITS_MAX:
        problems.append(f"{path}: its name has {units} characters, {NAME_UNITS_MAX} are possible")
    if name.startswith(TEMPORARY_PREFIX):
        problems.append(f"{path}: names that begin with {TEMPORARY_PREFIX} are ours on the device")
    if storage.removable and (FAT_FORBIDDEN & set(name) or name[-1:] in (".", " ")):
        problems.append(f"{path}: a memory card can't hold this name")
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
