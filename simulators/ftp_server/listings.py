"""The lines that servers list names with. Pure.

Each dialect takes a name, its entry, the server's idea of now and its clock's offset from UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from simulators.ftp_server.storage import Entry

Line = Callable[[str, Entry, int, int], str]
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_HALF_YEAR_S = 182 * 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def clock(modified_ns: int, utc_offset_s: int = 0) -> datetime:
    """The wall clock that is *utc_offset_s* ahead of UTC."""
    return _EPOCH + timedelta(seconds=modified_ns // 1_000_000_000 + utc_offset_s)


def timestamp(modified_ns: int, *, fraction: bool = False) -> str:
    """A time as MDTM, MFMT and MLSx write it (UTC)."""
    text = clock(modified_ns).strftime("%Y%m%d%H%M%S").rjust(14, "0")
    return f"{text}.{modified_ns // 1_000_000 % 1000:03d}" if fraction else text


def parse_timestamp(text: str) -> int:
    """The nanoseconds that "20200131235959" or "20200131235959.123" stands for.

    Raises:
        ValueError: it is neither.
    """
    whole, _, fraction = text.partition(".")
    if len(whole) != 14 or not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise ValueError(text)
    moment = datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * 1_000_000_000 + int((fraction + "0" * 9)[:9])


def _permissions(entry: Entry) -> str:
    kind = {"dir": "d", "link": "l"}.get(entry.kind, "-")
    bits = [("r", 256), ("w", 128), ("x", 64), ("r", 32), ("w", 16), ("x", 8), ("r", 4), ("w", 2)]
    return kind + "".join(c if entry.mode & bit else "-" for c, bit in [*bits, ("x", 1)])


def _is_recent(entry: Entry, now_ns: int, *, future: bool) -> bool:
    age = (now_ns - entry.modified_ns) // 1_000_000_000
    return age <= _HALF_YEAR_S and (age >= 0 or future)


def _shown(name: str, entry: Entry) -> str:
    return f"{name} -> {entry.target}" if entry.kind == "link" else name


def _links(entry: Entry) -> int:
    return 2 if entry.kind == "dir" else 1


def _vsftpd(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    at = clock(entry.modified_ns, offset)
    recent = _is_recent(entry, now_ns, future=False)
    tail = f"{at:%H:%M}" if recent else f" {at.year}"
    return (
        f"{_permissions(entry)} {_links(entry):>4} {'1000':<8} {'1000':<8} {entry.size:>8} "
        f"{_MONTHS[at.month - 1]} {at.day:02d} {tail} {_shown(name, entry)}"
    )


def _proftpd(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    at = clock(entry.modified_ns, offset)
    tail = f"{at:%H:%M}" if _is_recent(entry, now_ns, future=False) else f" {at.year:04d}"
    return (
        f"{_permissions(entry)} {_links(entry):>3} {'ftp':<8} {'ftp':<8} {entry.size:>8} "
        f"{_MONTHS[at.month - 1]} {at.day:>2} {tail} {_shown(name, entry)}"
    )


def _pureftpd(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    at = clock(entry.modified_ns, offset)
    tail = f"{at:%H:%M}" if _is_recent(entry, now_ns, future=True) else f" {at.year:04d}"
    return (
        f"{_permissions(entry)} {_links(entry):>4} {'1000':<10} {'1000':<10} {entry.size:>12} "
        f"{_MONTHS[at.month - 1]} {at.day:>2} {tail} {_shown(name, entry)}"
    )


def _filezilla(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    at = clock(entry.modified_ns, offset)
    tail = f"{at:%H:%M}" if _is_recent(entry, now_ns, future=False) else f" {at.year:04d}"
    kind = "drwxrwxrwx" if entry.kind == "dir" else "-rw-rw-rw-"
    size = 0 if entry.kind == "dir" else entry.size
    return f"{kind} 1 ftp ftp {size:>15} {_MONTHS[at.month - 1]} {at.day:02d} {tail} {name}"


def _dos(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    at = clock(entry.modified_ns, offset)
    what = "       <DIR>          " if entry.kind == "dir" else f" {entry.size:>20} "
    return f"{at:%m-%d-%y  %I:%M%p}{what}{name}"


def _swiftp(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    at = clock(entry.modified_ns, offset)
    kind = "drwxr-xr-x 1 owner group" if entry.kind == "dir" else "-rw-r--r-- 1 owner group"
    size = 0 if entry.kind == "dir" else entry.size
    old = now_ns - entry.modified_ns > _HALF_YEAR_S * 1_000_000_000
    tail = f" {at.year}" if old else f"{at:%H:%M}"
    return f"{kind} {size:>13} {_MONTHS[at.month - 1]} {at.day:02d} {tail} {name}"


def _mina(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    at = clock(entry.modified_ns, offset)
    kind, count = ("drwx------", 3) if entry.kind == "dir" else ("-rw-------", 1)
    size = 0 if entry.kind == "dir" else entry.size
    old = abs(now_ns - entry.modified_ns) > _HALF_YEAR_S * 1_000_000_000
    tail = f" {at.year}" if old else f"{at:%H:%M}"
    return (
        f"{kind} {count:>3} user group {size:>12} {_MONTHS[at.month - 1]} {at.day:>2} {tail} {name}"
    )


def _camera(name: str, entry: Entry, now_ns: int, offset: int) -> str:
    # No group column, names as FAT has them, times in steps of two seconds.
    at = clock(entry.modified_ns // 2_000_000_000 * 2_000_000_000, offset)
    kind = "drw-rw-rw-" if entry.kind == "dir" else "-rw-rw-rw-"
    size = 0 if entry.kind == "dir" else entry.size
    return f"{kind} 1 root {size:>10} {_MONTHS[at.month - 1]} {at.day:>2} {at.year} {name}"


DIALECTS: dict[str, Line] = {
    "vsftpd": _vsftpd,
    "proftpd": _proftpd,
    "pureftpd": _pureftpd,
    "filezilla": _filezilla,
    "dos": _dos,
    "swiftp": _swiftp,
    "mina": _mina,
    "camera": _camera,
}


def facts_line(
    name: str, entry: Entry, facts: Iterable[str], *, fraction: bool, writable: bool, unique: str
) -> str:
    """One entry as MLSD writes it (without the line end)."""
    parts = []
    for fact in facts:
        value = _fact(
            fact.lower(), name, entry, fraction=fraction, writable=writable, unique=unique
        )
        if value is not None:
            parts.append(f"{fact}={value};")
    return f"{''.join(parts)} {name}"


def _fact(
    fact: str, name: str, entry: Entry, *, fraction: bool, writable: bool, unique: str
) -> str | None:
    if fact == "type" and name in (".", ".."):
        return "cdir" if name == "." else "pdir"
    if fact == "type":
        return {"link": f"OS.unix=slink:{entry.target}"}.get(entry.kind, entry.kind)
    if fact in ("size", "sizd"):
        return str(entry.size) if (entry.kind == "dir") == (fact == "sizd") else None
    if fact == "modify":
        return timestamp(entry.modified_ns, fraction=fraction)
    if fact == "perm":
        if entry.kind == "dir":
            return "flcdmpe" if writable else "fle"
        return "adfrw" if writable else "r"
    if fact == "unique":
        return unique
    if fact == "unix.mode":
        return f"0{entry.mode:o}"
    return {
        "unix.ownername": "ftp",
        "unix.groupname": "ftp",
        "unix.owner": "1000",
        "unix.group": "1000",
        "unix.uid": "1000",
        "unix.gid": "1000",
    }.get(fact)
