"""What becomes of names that a storage can't hold: `--names fail|skip|map`. Pure."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, unique

from mtpsync.deliver import TEMPORARY_PREFIX
from mtpsync.errors import UsageError
from mtpsync.models import StorageInfo
from mtpsync.scan import SourceTree, folded
from mtpsync.utils import fat_names
from mtpsync.utils.names import UNITS_MAX


@unique
class Names(Enum):
    """The policy."""

    FAIL = "fail"  # nothing is sent; all of them are told at once
    SKIP = "skip"  # they are left out, and told
    MAP = "map"  # written with other characters, see `fat_names`


def policy(said: str) -> Names:
    """What was *said*; "": the default.

    Raises:
        UsageError: there is no such policy.
    """
    try:
        return Names(said) if said else Names.FAIL
    except ValueError as error:
        known = ", ".join(each.value for each in Names)
        raise UsageError(f"names = {said!r}: it is one of {known}") from error


def refusals(path: str, storage: StorageInfo) -> list[str]:
    """Why the last name of *path* can't be on *storage*."""
    name = path.rpartition("/")[2]
    problems = []
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        return [f"{path!r}: its name is not UTF-8"]
    if units > UNITS_MAX:
        problems.append(f"{path}: its name has {units} characters, {UNITS_MAX} are possible")
    if name.startswith(TEMPORARY_PREFIX):
        problems.append(f"{path}: names that begin with {TEMPORARY_PREFIX} are ours on the device")
    if storage.removable and not fat_names.holds(name):
        problems.append(f"{path}: a memory card can't hold this name")
    return problems


def adapted(source: SourceTree, policy: Names, storage: StorageInfo) -> SourceTree:
    """*source* with the paths that it is to have on *storage*."""
    if policy is Names.SKIP:
        return _without(source, storage)
    if policy is Names.MAP and storage.removable:
        return replace(
            source,
            folders=[_mapped(path) for path in source.folders],
            files={_mapped(path): file for path, file in source.files.items()},
            is_mapped=True,
        )
    return source


def _mapped(path: str) -> str:
    return "/".join(map(fat_names.mapped, path.split("/")))


def _without(source: SourceTree, storage: StorageInfo) -> SourceTree:
    """Without what can't be held, and without all but the first of names that may be one there."""
    skipped: dict[str, str] = {}
    seen: dict[str, str] = {}

    def stays(path: str) -> bool:
        if path.rpartition("/")[0] in skipped:
            skipped[path] = f"{path}: its folder is left out"
            return False
        why = refusals(path, storage)
        first = seen.setdefault(folded(path), path)
        if first != path and not why:
            why = [f"{path} and {first} are one name on many devices"]
        if why:
            skipped[path] = "; ".join(why)
        return not why

    folders = [path for path in source.folders if stays(path)]
    files = {path: file for path, file in source.files.items() if stays(path)}
    return replace(source, folders=folders, files=files, skipped=skipped)
