"""What a scenario may say: every key, and what its value must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pyftpdrive.base.errors import FsStatus, InvalidName
from pyftpdrive.base.paths import remote_path
from simulators.ftp_server import PROFILES, Fault, FaultError
from simulators.lossy_disk.disk import Unsynced
from tests.scenario_runner.content import BadContent, content, size_of

Check = Callable[[object], str | None]
"""What is wrong with a value; None: nothing."""

ERRORS = {status.name.lower(): status for status in FsStatus}
PATIENCE_MAX_S = 120
SLEEP_MAX_S = 86400


def text(value: object) -> str | None:
    """Text that isn't empty."""
    return None if isinstance(value, str) and value else "a text is wanted"


def texts(value: object) -> str | None:
    """A list of texts."""
    right = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if right else "a list of texts is wanted"


def path(value: object) -> str | None:
    """An absolute path in the drive."""
    if not isinstance(value, str) or not value.startswith("/"):
        return "a path that begins with '/' is wanted"
    try:
        same = remote_path(value) == value
    except InvalidName as error:
        return str(error)
    return None if same else "a path has no '//' and no '/' at its end"


def paths(value: object) -> str | None:
    """A list of paths."""
    if not isinstance(value, list):
        return "a list of paths is wanted"
    return next((problem for item in value if (problem := path(item))), None)


def bytes_as_text(value: object) -> str | None:
    """Content in one of its notations."""
    if not isinstance(value, str):
        return "content is a text such as 'text:hello' or 'pattern:200KiB'"
    try:
        content(value)
    except BadContent as error:
        return str(error)
    return None


def size(value: object) -> str | None:
    """Bytes: 4096 or '4KiB'."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return "a size is a number of bytes or a text such as '5GiB'"
    try:
        size_of(str(value))
    except BadContent as error:
        return str(error)
    return None


def number(value: object) -> str | None:
    """A whole number, not negative."""
    right = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if right else "a whole number is wanted"


def seconds(value: object) -> str | None:
    """A time span."""
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return None if right and 0 <= float(str(value)) <= PATIENCE_MAX_S else (
        f"seconds are wanted, 0 to {PATIENCE_MAX_S}"
    )  # fmt: skip


def nap(value: object) -> str | None:
    """How long a machine sleeps."""
    right = isinstance(value, int) and 0 < value <= SLEEP_MAX_S
    return None if right else f"whole seconds are wanted, 1 to {SLEEP_MAX_S}"


def moment(value: object) -> str | None:
    """A time stamp: 2024-05-01T12:00:00Z, or seconds since 1970."""
    if isinstance(value, datetime):
        return None if value.tzinfo else "a time needs its zone: 2024-05-01T12:00:00Z"
    return None if number(value) is None else "a time such as 2024-05-01T12:00:00Z is wanted"


def truth(value: object) -> str | None:
    """true or false."""
    return None if isinstance(value, bool) else "true or false is wanted"


def one_of(*words: str) -> Check:
    """One of a few words."""
    shown = ", ".join(words)
    return lambda value: None if value in words else f"{value!r} is none of: {shown}"


def each(check: Check) -> Check:
    """A table in which every value satisfies *check*."""

    def table(value: object) -> str | None:
        if not isinstance(value, dict):
            return "a table is wanted"
        return next((f"{k!r}: {why}" for k, v in value.items() if (why := check(v))), None)

    return table


def at_paths(check: Check) -> Check:
    """A table from paths to values."""

    def table(value: object) -> str | None:
        wrong = each(check)(value)
        if wrong or not isinstance(value, dict):
            return wrong
        return next((f"{k!r}: {why}" for k in value if (why := path(k))), None)

    return table


def fault(value: object) -> str | None:
    """A fault of the simulator."""
    if not isinstance(value, dict):
        return "a fault is a table"
    try:
        Fault.from_dict(value)
    except FaultError as error:
        return str(error)
    return None


def faults(value: object) -> str | None:
    """A list of faults."""
    if not isinstance(value, list):
        return "a list of faults is wanted"
    return next((problem for item in value if (problem := fault(item))), None)


def command_count(value: object) -> str | None:
    """2, or { min = 1, max = 3 }."""
    if isinstance(value, dict):
        right = bool(value) and not set(value) - {"min", "max"}
        return None if right and not each(number)(value) else "{ min = 1, max = 2 } is wanted"
    return number(value)


@dataclass(frozen=True, slots=True)
class Shape:
    """The keys of one table."""

    needs: Mapping[str, Check]
    takes: Mapping[str, Check]

    @property
    def known(self) -> dict[str, Check]:
        """All of them."""
        return {**self.needs, **self.takes}


def anything(_value: object) -> str | None:
    """Checked elsewhere."""
    return None


SERVER = Shape(
    {},
    {
        "profile": one_of(*PROFILES),
        "users": each(text),
        "read_only": truth,
        "sessions_max": number,
        "tls": one_of("explicit", "implicit"),
        "files": at_paths(bytes_as_text),
        "sparse": at_paths(size),
        "many": at_paths(number),
        "directories": paths,
        "faults": faults,
        "real": truth,
    },
)
EXPECT = Shape(
    {},
    {
        "remote": at_paths(bytes_as_text),
        "remote_like": at_paths(bytes_as_text),
        "absent": paths,
        "directories": paths,
        "commands": each(command_count),
        "pending": paths,
        "held": paths,
        "told": texts,
        "sessions_max": number,
    },
)
_HANDLE = {"as": text}
_WHERE = {"path": path}
_PIECE = {"offset": size, "length": size, "content": bytes_as_text}

STEPS: dict[str, Shape] = {
    "list": Shape(_WHERE, {"names": texts, "count": number, "contains": texts, "lacks": texts}),
    "read": Shape(_WHERE, _PIECE),
    "write": Shape(
        {"path": path, "content": bytes_as_text},
        {"mode": one_of("overwrite", "create", "append", "in_place"), "offset": size},
    ),
    "truncate": Shape({"path": path, "size": size}, {}),
    "delete": Shape(_WHERE, {}),
    "mkdir": Shape(_WHERE, {}),
    "rmdir": Shape(_WHERE, {}),
    "rename": Shape({"from": path, "to": path}, {}),
    "copy": Shape({"from": path, "to": path}, {}),
    "stat": Shape(
        _WHERE, {"kind": one_of("file", "directory"), "size": size, "modified": moment}
    ),
    "set_times": Shape({"path": path, "modified": moment}, {}),
    "open": Shape({"path": path, "as": text}, {"mode": one_of("read", "write", "create")}),
    "write_handle": Shape({"as": text, "content": bytes_as_text}, {"offset": size}),
    "read_handle": Shape(_HANDLE, _PIECE),
    "fsync": Shape(_HANDLE, {}),
    "close": Shape(_HANDLE, {}),
    "space": Shape({}, {}),
    "wait": Shape(
        {
            "until": one_of(
                "spool_empty", "pending", "held", "frozen", "reachable", "unreachable"
            ),
            "within_s": seconds,
        },
        {},
    ),
    "status": Shape(
        {},
        {
            "reachable": truth,
            "unreachable_min_s": seconds,
            "limit": number,
            "says": text,
        },
    ),
    "sleep": Shape({"seconds": nap}, {}),
    "server": Shape(
        {
            "do": one_of(
                "put", "remove", "mkdir", "restart", "stop", "start", "freeze", "thaw",
                "disconnect_all", "deafen", "fault", "clear_faults",
            )
        },
        {"path": path, "content": bytes_as_text, "fault": fault, "seconds": seconds},
    ),
    "held": Shape(
        {"do": one_of("retry", "discard", "export"), "path": path},
        {"overwrite": truth, "content": bytes_as_text},
    ),
    "staged": Shape({"do": one_of("remove", "cut"), "path": path}, {}),
    "recover": Shape({}, {"left": paths}),
    "why": Shape({"contains": texts}, {"lacks": texts}),
    "server_has": Shape(_WHERE, {"content": bytes_as_text}),
    "server_lacks": Shape(_WHERE, {}),
    "unmount": Shape(
        {}, {"by": one_of("command", "ctrl-c", "terminate"), "open_files": paths, "left": paths}
    ),
    "remount": Shape({}, {}),
    "kill": Shape({}, {}),
    "power_cut": Shape({}, {"unsynced": one_of(*(kind.value for kind in Unsynced))}),
    "mount_fails": Shape({"says": text}, {}),
    "run": Shape({"command": texts}, {"directory": path, "output": text, "exit": number}),
    "parallel": Shape({"branches": anything}, {}),
    "repeat": Shape({"times": number, "steps": anything}, {}),
}  # fmt: skip
"""Every step; each may say `error`, too."""

SERVER_DOES: dict[str, set[str]] = {
    "put": {"path", "content"},
    "remove": {"path"},
    "mkdir": {"path"},
    "fault": {"fault"},
    "restart": {"seconds"},
}
"""What each `do` goes with; the others stand alone."""
