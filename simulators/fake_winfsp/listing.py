"""NtQueryDirectoryFile and the volume's information."""

from __future__ import annotations

from simulators.fake_winfsp import constants as c
from simulators.fake_winfsp import ntstatus as nt
from simulators.fake_winfsp.callbacks import DirEntry, VolumeInfo
from simulators.fake_winfsp.ntstatus import NtError
from simulators.fake_winfsp.patterns import has_wildcards, matches
from simulators.fake_winfsp.volume import (
    LISTINGS_CACHED_MAX,
    Enumeration,
    FileHandle,
    Volume,
)

_ENTRY_HEAD_BYTES = 104  # FILE_ID_BOTH_DIR_INFORMATION without its name
FILLS_MAX = 100_000
"""No directory has so many buffers: the marker is being ignored."""


def query_directory(
    volume: Volume,
    handle: FileHandle,
    pattern: str | None = None,
    *,
    buffer_bytes: int,
    single: bool = False,
    restart: bool = False,
) -> list[DirEntry]:
    """The next entries that match (the first call's pattern stays), as many as fit.

    Raises:
        NtError: NO_SUCH_FILE (nothing ever matched), NO_MORE_FILES, or the file system's status.
    """
    handle.demand(c.FILE_LIST_DIRECTORY)
    if not handle.node.directory:
        raise NtError(nt.INVALID_PARAMETER)
    state = handle.enumeration
    if state.pattern is None or restart:
        kept = state.pattern if pattern is None else pattern
        state = handle.enumeration = Enumeration(pattern=kept or "*")
    with handle.node.lock.held(exclusive=True):
        if _is_file_name(volume, state):
            found = _by_name(volume, handle, state)
        else:
            found = _matching(volume, handle, state, buffer_bytes, single=single)
    if not found:
        raise NtError(nt.NO_MORE_FILES if state.any_given else nt.NO_SUCH_FILE)
    state.any_given = True
    return found


def _is_file_name(volume: Volume, state: Enumeration) -> bool:
    asked = volume.params.pass_file_name and volume.callbacks.has("GetDirInfoByName")
    return asked and not has_wildcards(state.pattern or "*")


def _by_name(volume: Volume, handle: FileHandle, state: Enumeration) -> list[DirEntry]:
    if state.name_given:
        return []
    state.name_given = True
    name = volume.key_of(state.pattern or "")  # the driver matches with upper-cased patterns

    def ask() -> DirEntry:
        with volume.guard.held("shared"):
            return volume.callbacks.get_dir_info_by_name(handle.context, handle.path, name)

    try:
        return [volume.dispatcher.call(ask)]
    except NtError as error:
        if error.status in (nt.OBJECT_NAME_NOT_FOUND, nt.NO_SUCH_FILE):
            return []
        raise


def _matching(
    volume: Volume, handle: FileHandle, state: Enumeration, buffer_bytes: int, *, single: bool
) -> list[DirEntry]:
    pattern = state.pattern or "*"
    given: list[DirEntry] = []
    room = buffer_bytes
    for _ in range(FILLS_MAX):
        entries, ended = _fill(volume, handle, state.marker)
        for entry in entries:
            if matches(pattern, entry.name, case_sensitive=volume.params.case_sensitive):
                size = -(-(_ENTRY_HEAD_BYTES + 2 * len(entry.name)) // 8) * 8
                if given and size > room:
                    return given
                given.append(entry)
                room -= size
            state.marker = entry.name
            if given and single:
                return given
        if ended:
            return given
        if not entries:
            break
    told = f"ReadDirectory {handle.path} neither goes on nor ends behind {state.marker!r}"
    volume.callbacks.violations.append(told)
    raise NtError(nt.UNSUCCESSFUL)


def _fill(volume: Volume, handle: FileHandle, marker: str | None) -> tuple[list[DirEntry], bool]:
    """The buffer behind *marker*: from the open directory's cache, or from the file system."""
    node = handle.node
    now_s = volume.clock.monotonic()
    for start, (entries, ended, until_s) in list(node.listings.items()):
        if now_s >= until_s:
            del node.listings[start]
        elif start == marker:
            return entries, ended
        else:
            names = [entry.name for entry in entries]
            if marker in names and (ended or marker != names[-1]):
                return entries[names.index(marker) + 1 :], ended

    def ask() -> tuple[list[DirEntry], bool]:
        with volume.guard.held("shared"):
            return volume.callbacks.read_directory(handle.context, handle.path, marker)

    entries, ended = volume.dispatcher.call(ask)
    _check_entries(volume, handle, marker, entries)
    if len(node.listings) < LISTINGS_CACHED_MAX:
        until_s = now_s + volume.params.dir_info_timeout_s
        node.listings[marker] = (entries, ended, until_s)
    return entries, ended


def _check_entries(
    volume: Volume, handle: FileHandle, marker: str | None, entries: list[DirEntry]
) -> None:
    """What would send a real program round in circles, or give it names that can't be."""
    seen: set[str] = set()
    for entry in entries:
        bad = not entry.name or "\\" in entry.name or "\0" in entry.name
        if bad or entry.name in seen or entry.name == marker:
            told = f"ReadDirectory {handle.path} behind {marker!r} gave {entry.name!r}"
            volume.callbacks.violations.append(told)
            raise NtError(nt.FILE_CORRUPT_ERROR)
        seen.add(entry.name)


def query_volume(volume: Volume) -> VolumeInfo:
    """Sizes and label, from the cache while VolumeInfoTimeout allows."""
    now_s = volume.clock.monotonic()
    if volume.volume_info is not None and now_s < volume.volume_info[1]:
        return volume.volume_info[0]

    def ask() -> VolumeInfo:
        with volume.guard.held("shared"):
            return volume.callbacks.get_volume_info()

    info = volume.dispatcher.call(ask)
    volume.volume_info = (info, now_s + volume.params.volume_info_timeout_s)
    return info


def set_label(volume: Volume, label: str) -> None:
    """SetVolumeLabel."""
    if volume.params.read_only:
        raise NtError(nt.MEDIA_WRITE_PROTECTED)

    def ask() -> VolumeInfo:
        with volume.guard.held("exclusive"):
            return volume.callbacks.set_volume_label(label)

    info = volume.dispatcher.call(ask)
    until_s = volume.clock.monotonic() + volume.params.volume_info_timeout_s
    volume.volume_info = (info, until_s)
