"""What is to be done, as data: made by comparing (pure), written to a file, checked when read.

The file is the specification's mapping, `"dir/": "dir"` and `"dir/file": "file"`, and one key that
can't be a path, "//mtpsync", with what `exec` needs to refuse an action whose ground has moved.
A plain mapping loads, too.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, unique
from pathlib import Path
from typing import Any

from mtpsync.errors import UsageError
from mtpsync.models import FileNode, FolderNode
from mtpsync.scan import RemoteTree, SourceTree, folded

VERSION = 1
DETAILS = "//mtpsync"
PLAN_BYTES_MAX = 512 * 1024 * 1024


@unique
class Reason(Enum):
    """Why something is in a plan."""

    MISSING = "missing"
    SIZE = "size"
    CONTENT = "content"
    UNPROVEN = "unproven"  # there, of the same size, and nobody compared it
    ASKED = "asked"  # a plan without reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """What was on the device when the plan was made."""

    size_bytes: int
    modified_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One folder to be made, or one file to be sent."""

    path: str  # relative, with '/'
    is_folder: bool
    reason: Reason = Reason.ASKED
    size_bytes: int | None = None  # of the local file; None: whatever it is by then
    modified_ns: int | None = None
    sha256: str | None = None
    remote: Remote | None = None  # None with `checked`: there was nothing
    checked: bool = False  # size, time and remote are what must still be so


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Something that the device has and the source has not."""

    path: str  # relative
    remote: Remote | None  # None: a folder


@dataclass(slots=True, kw_only=True)
class Plan:
    """Actions, folders before what is in them, and what they are about."""

    source: str = ""
    dest: str = ""
    serial: str = ""
    storage: str = ""
    names: str = ""  # the policy that its paths were made with; "": nobody said
    made_s: float = 0.0
    actions: list[Action] = field(default_factory=list)
    extras: list[Extra] = field(default_factory=list)  # to be taken away: a mirror's

    @property
    def bytes_to_send(self) -> int:
        """As far as it is known."""
        return sum(action.size_bytes or 0 for action in self.actions if not action.is_folder)


def compare(source: SourceTree, remote: RemoteTree) -> tuple[list[Action], list[str]]:
    """Folders and files that the device lacks, or has with another size; and what can't be done.

    Files of the same size come with the reason UNPROVEN: whoever reads the device drops them or
    makes CONTENT of them.
    """
    actions: list[Action] = []
    problems = twins([*source.folders, *source.files])
    for path in source.folders:
        node = remote.find(path)
        if node is None:
            actions.append(Action(path=path, is_folder=True, reason=Reason.MISSING, checked=True))
        elif isinstance(node, FileNode):
            problems.append(f"{path}: a folder here, a file on the device")
    for path, file in source.files.items():
        node = remote.find(path)
        if isinstance(node, FolderNode):
            problems.append(f"{path}: a file here, a folder on the device")
            continue
        if node is None:
            reason = Reason.MISSING
        else:
            reason = Reason.SIZE if node.size != file.size_bytes else Reason.UNPROVEN
        actions.append(
            Action(
                path=path,
                is_folder=False,
                reason=reason,
                size_bytes=file.size_bytes,
                modified_ns=file.modified_ns,
                remote=_seen(node),
                checked=True,
            )
        )
    return actions, problems


def _seen(node: FileNode | None) -> Remote | None:
    return None if node is None else Remote(size_bytes=node.size, modified_s=node.modified_s)


def twins(paths: Iterable[str]) -> list[str]:
    """Paths that a device without upper and lower case would take for one."""
    seen: dict[str, str] = {}
    problems = []
    for path in paths:
        first = seen.setdefault(folded(path), path)
        if first != path:
            problems.append(f"{path} and {first} are one name on many devices")
    return problems


# -- the file -------------------------------------------------------------------------------------


def write_plan(plan: Plan, file: Path) -> None:
    """Write it durably; the file before stays until the new one is whole.

    Raises:
        UsageError: the disk refused.
    """
    content: dict[str, Any] = {
        **{f"{action.path}/": "dir" for action in plan.actions if action.is_folder},
        **{action.path: "file" for action in plan.actions if not action.is_folder},
    }
    content[DETAILS] = {
        "version": VERSION,
        "made": plan.made_s,
        "source": plan.source,
        "dest": plan.dest,
        "serial": plan.serial,
        "storage": plan.storage,
        "names": plan.names,
        "actions": {action.path: _details(action) for action in plan.actions},
        "delete": {extra.path: _remote(extra.remote) for extra in plan.extras},
    }
    temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(content, stream, ensure_ascii=False, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UsageError(
            f"{file} can't be written: {error.strerror}", remedy="name another file with --plan"
        ) from error


def _details(action: Action) -> dict[str, Any]:
    details: dict[str, Any] = {"reason": action.reason.value}
    if not action.is_folder:
        details |= {"size": action.size_bytes, "modified_ns": action.modified_ns}
        if action.sha256 is not None:
            details["sha256"] = action.sha256
    if action.checked:
        details["remote"] = _remote(action.remote)
    return details


def _remote(found: Remote | None) -> dict[str, int] | None:
    return None if found is None else {"size": found.size_bytes, "modified": found.modified_s}


def read_plan(file: Path) -> Plan:
    """Read and check a plan: it is data, and may come from anywhere.

    Raises:
        UsageError: unreadable, or something in it makes no sense; the text names it.
    """
    try:
        with file.open("rb") as stream:
            octets = stream.read(PLAN_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from error
    if len(octets) > PLAN_BYTES_MAX:
        raise UsageError(f"{file} is too large for a plan")
    try:
        content = json.loads(octets, object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no plan: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{file} is no plan: an object of paths is expected")
    try:
        return _loaded(content)
    except ValueError as error:
        raise UsageError(
            f"{file}: {error}", remedy="make a new one with `mtpsync verify`"
        ) from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{double!r} is in it twice")
    return content


def _loaded(content: dict[str, Any]) -> Plan:
    head = content.pop(DETAILS, {})
    if not isinstance(head, dict) or head.get("version", VERSION) != VERSION:
        raise ValueError(f"{DETAILS}: not of version {VERSION}")
    details = _typed(head, "actions", dict, {})
    plan = Plan(
        source=_typed(head, "source", str, ""),
        dest=_typed(head, "dest", str, ""),
        serial=_typed(head, "serial", str, ""),
        storage=_typed(head, "storage", str, ""),
        names=_typed(head, "names", str, ""),
        made_s=float(_typed(head, "made", (int, float), 0.0)),
    )
    for key, kind in content.items():
        path = key.removesuffix("/")
        check_path(path, key)
        if kind not in ("dir", "file") or (kind == "file" and key.endswith("/")):
            raise ValueError(f'{key!r}: "dir" or "file" is expected, not {kind!r}')
        told = details.get(path)
        if told is not None and not isinstance(told, dict):
            raise ValueError(f"{key!r}: its details are no object")
        plan.actions.append(_action(path, told, is_folder=kind == "dir"))
    for path, found in _typed(head, "delete", dict, {}).items():
        check_path(path, path)
        plan.extras.append(Extra(path=path, remote=_seen_then(path, found)))
    plan.actions.sort(key=lambda action: (not action.is_folder, action.path))
    return plan


def _action(path: str, told: dict[str, Any] | None, *, is_folder: bool) -> Action:
    if told is None:
        return Action(path=path, is_folder=is_folder)
    try:
        reason = Reason(told.get("reason", Reason.ASKED.value))
    except ValueError as error:
        raise ValueError(f"{path!r}: {error}") from error
    return Action(
        path=path,
        is_folder=is_folder,
        reason=reason,
        size_bytes=_typed(told, "size", int, None),
        modified_ns=_typed(told, "modified_ns", int, None),
        sha256=_typed(told, "sha256", str, None),
        remote=_seen_then(path, told.get("remote")),
        checked="remote" in told,
    )


def _seen_then(path: str, found: Any) -> Remote | None:
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"{path!r}: 'remote' is no object")  # noqa: TRY004
    return Remote(
        size_bytes=_typed(found, "size", int, 0), modified_s=_typed(found, "modified", int, 0)
    )


def _typed(content: dict[str, Any], key: str, kind: Any, default: Any) -> Any:
    value = content.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key!r} has a value of a wrong type: {value!r}")  # noqa: TRY004
    return value


def check_path(path: str, key: str) -> None:
    """Refuse what could leave the source or the destination.

    Raises:
        ValueError: absolute, '..', an empty name, a drive, NUL, a backslash on Windows.
    """
    names = path.split("/")
    hostile = path.startswith("/") or any(name in ("", ".", "..") for name in names)
    if hostile or "\0" in path or (os.name == "nt" and ("\\" in path or ":" in path)):
        raise ValueError(f"{key!r} is no path below the folder")
