"""LIST in the dialects that are neither Unix nor DOS: one line in, a row out. Pure.

Source: the servers' own manuals (HP OpenVMS TCP/IP, IBM i and z/OS Communications Server, Novell
NetWare, IBM OS/2, Wind River VxWorks) and D. J. Bernstein's description of EPLF. Every pattern is
linear in the length of the line: blanks are matched possessively, nothing is nested.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyftpdrive.base.model import Kind

Moment = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a listing, before names are decoded and times are made UTC."""

    name: bytes
    kind: Kind
    size: bytes | None = None  # digits; None: the dialect does not tell octets
    local: Moment | None = None  # the server's clock
    unix_date: bytes | None = None  # 'Nov 20 11:34', to be read as in the Unix dialect
    utc_s: int | None = None  # seconds since 1970


_MONTHS = {
    name: number
    for number, name in enumerate(
        b"JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(), start=1
    )
}

# Such as '+i8388621.48594,m825718503,r,s280,' TAB 'djb.html':
_EPLF = re.compile(rb"\+(?P<facts>[^\t]*+)\t(?P<name>.+)", re.DOTALL)
# Such as 'CII-MANUAL.TEX;1  213/216  29-JAN-1996 03:33:12 [ANONYMOU,ANONYMOUS] (RWED,RWED,,)':
_VMS = re.compile(
    rb"(?P<name>[^\s;]++);(?P<version>\d++)\s++(?P<blocks>\d++)(?:/\d++)?(?:K)?\s++"
    rb"(?P<day>\d{1,2})-(?P<month>[A-Za-z]{3})-(?P<year>\d{4})\s++"
    rb"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d++)?)?(?:\s.*)?",
    re.DOTALL,
)
_VMS_NAME = re.compile(rb"[^\s;]++;\d++\s*+")
# Such as 'd [R----F--] supervisor            512       Jan 16 18:53    login':
_NETWARE = re.compile(
    rb"(?P<type>[-d])\s*+\[[-A-Z]{8,}+\]\s++\S++\s++(?P<size>\d++)\s++"
    rb"(?P<date>[A-Za-z]{3}\s++\d{1,2}\s++(?:\d{1,2}:\d\d|\d{4}))\s++(?P<name>.+)",
    re.DOTALL,
)
# Such as 'PEP             36864 04/03/27 19:04:49 *STMF     name.txt':
_OS400 = re.compile(
    rb"\S++\s++(?:(?P<size>\d++)\s++(?P<date>\d\d[/.-]\d\d[/.-]\d\d)\s++"
    rb"(?P<time>\d\d[:.]\d\d[:.]\d\d)\s++)?(?P<type>\*[A-Z0-9]++)\s++(?P<name>\S.*)",
    re.DOTALL,
)
# Such as '     0           DIR 05-12-97   16:44  PSFONTS':
_OS2 = re.compile(
    rb"\s*+(?P<size>\d++)\s++(?:[ADHRS]++\s++)?(?P<dir>DIR\s++)?(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    rb"-(?P<year>\d{2,4})\s++(?P<hour>\d{1,2}):(?P<minute>\d\d)\s++(?P<name>.+)",
    re.DOTALL,
)
# Such as '     512    Jan-01-1980  00:00:00   folder            <DIR>':
_VXWORKS = re.compile(
    rb"\s*+(?P<size>\d++)\s++(?P<month>[A-Za-z]{3})-(?P<day>\d\d)-(?P<year>\d{4})\s++"
    rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)\s++(?P<name>\S.*)",
    re.DOTALL,
)
# Such as 'WYOSPT 3420   2003/05/21  1  200  FB      80  8053  PS  48-MVS.FILE':
_MVS = re.compile(
    rb"\S++\s++\S++\s++(?P<date>\d{4}/\d\d/\d\d|\*\*NONE\*\*)\s++\d++\s++\d++\s++\S++\s++\d++\s++"
    rb"\d++\s++(?P<kind>P[OS](?:-E)?|VS|DA)\s++'?(?P<name>[^\s']++)'?\s*+"
)
_MVS_MIGRATED = re.compile(rb"Migrat(?:ed|)\s++(?:\S++\s++)??(?P<name>\S++)\s*+", re.IGNORECASE)
# Such as ' BENCHMRK  01.03 2002/09/12 2003/08/25 07:23    10     5     0 USER':
_MVS_MEMBER = re.compile(
    rb"\s*+(?P<name>[^\s.]{1,8}+)\s++\d\d\.\d\d\s++\d{4}/\d\d/\d\d\s++"
    rb"(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d)\s++(?P<hour>\d\d):(?P<minute>\d\d)"
    rb"(?::\d\d)?\s++\d++\s++\d++\s++\d++\s++\S++\s*+"
)
_HEADING = re.compile(
    rb"Directory\s+\S+:?\[.*\]\s*"
    rb"|(?:Grand )?Total of \d+ (?:file|director).*"
    rb"|Volume\s+Unit\s+(?:Referred|Date).*"
    rb"|\s*Name\s+VV\.MM\s+Created.*"
    rb"|\s*size\s+date\s+time\s+name\s*"
    rb"|[\s-]*-{4}[\s-]*",
    re.IGNORECASE,
)


def is_heading(line: bytes) -> bool:
    """True for what stands above or below the entries."""
    return len(line) < 200 and _HEADING.fullmatch(line) is not None


def is_wrapped(line: bytes) -> bool:
    """True for a VMS name so long that its facts are on the next line."""
    return len(line) < 300 and _VMS_NAME.fullmatch(line) is not None


def parse_row(line: bytes) -> Row | None:
    """What *line* says in the first dialect that fits; None: in none of them."""
    for dialect in _DIALECTS:
        row = dialect(line)
        if row is not None:
            return row
    return None


def _eplf(line: bytes) -> Row | None:
    match = _EPLF.fullmatch(line)
    if match is None:
        return None
    kind: Kind | None = None
    size: bytes | None = None
    utc_s: int | None = None
    for fact in match["facts"].split(b","):
        if fact == b"/":
            kind = Kind.DIRECTORY
        elif fact == b"r":
            kind = kind or Kind.FILE
        elif fact.startswith(b"s"):
            size = fact[1:]
        elif fact.startswith(b"m") and fact[1:].isdigit() and len(fact) < 12:
            utc_s = int(fact[1:])
    return Row(name=match["name"], kind=kind or Kind.FILE, size=size, utc_s=utc_s)


def _vms(line: bytes) -> Row | None:
    match = _VMS.fullmatch(line)
    if match is None:
        return None
    name, kind = match["name"], Kind.FILE
    if name.upper().endswith(b".DIR"):
        name, kind = name[:-4], Kind.DIRECTORY
    return Row(name=name, kind=kind, local=_moment(match))  # blocks are no octets


def _netware(line: bytes) -> Row | None:
    match = _NETWARE.fullmatch(line)
    if match is None:
        return None
    kind = Kind.DIRECTORY if match["type"] == b"d" else Kind.FILE
    return Row(name=match["name"], kind=kind, size=match["size"], unix_date=match["date"])


def _os400(line: bytes) -> Row | None:
    match = _OS400.fullmatch(line)
    if match is None:
        return None
    folder = match["type"] in (b"*DIR", b"*DDIR", b"*LIB", b"*FLR", b"*FILE", b"*DSTMF")
    name = match["name"].rstrip(b"/")
    moment: Moment | None = None
    if match["date"] is not None:
        one, two, three = (int(part) for part in re.split(rb"[/.-]", match["date"]))
        hour, minute, second = (int(part) for part in re.split(rb"[:.]", match["time"]))
        # The job's date format decides, and the line does not name it.
        if b"." in match["date"]:
            day, month, year = one, two, three
        elif two > 12:
            month, day, year = one, two, three
        else:
            year, month, day = one, two, three
        moment = (_century(year), month, day, hour, minute, second)
    return Row(
        name=name,
        kind=Kind.DIRECTORY if folder else Kind.FILE,
        size=match["size"],
        local=moment,
    )


def _os2(line: bytes) -> Row | None:
    match = _OS2.fullmatch(line)
    if match is None:
        return None
    kind = Kind.DIRECTORY if match["dir"] else Kind.FILE
    return Row(name=match["name"], kind=kind, size=match["size"], local=_moment(match))


def _vxworks(line: bytes) -> Row | None:
    match = _VXWORKS.fullmatch(line)
    if match is None:
        return None
    name, kind = match["name"].rstrip(b" "), Kind.FILE
    if name.endswith(b"<DIR>"):
        name, kind = name[:-5].rstrip(b" "), Kind.DIRECTORY
    return Row(name=name, kind=kind, size=match["size"], local=_moment(match))


def _mvs(line: bytes) -> Row | None:
    match = _MVS.fullmatch(line)
    if match is not None:
        moment: Moment | None = None
        if match["date"][:1].isdigit():
            year, month, day = (int(part) for part in match["date"].split(b"/"))
            moment = (year, month, day, 0, 0, 0)
        kind = Kind.DIRECTORY if match["kind"].startswith(b"PO") else Kind.FILE
        return Row(name=match["name"], kind=kind, local=moment)
    match = _MVS_MEMBER.fullmatch(line)
    if match is not None:
        return Row(name=match["name"], kind=Kind.FILE, local=_moment(match))
    match = _MVS_MIGRATED.fullmatch(line)
    return Row(name=match["name"], kind=Kind.FILE) if match is not None else None


_DIALECTS = (_eplf, _vms, _netware, _os400, _os2, _vxworks, _mvs)


def _century(year: int) -> int:
    if year >= 100:
        return year
    return year + (2000 if year < 70 else 1900)


def _moment(match: re.Match[bytes]) -> Moment | None:
    """The groups year, month (a number or a name), day, hour, minute, second."""
    groups = match.groupdict()
    month = groups["month"]
    number = int(month) if month.isdigit() else _MONTHS.get(month.upper())
    if number is None:
        return None
    second = int(groups.get("second") or 0)
    year, day, hour, minute = (int(groups[key]) for key in ("year", "day", "hour", "minute"))
    return (_century(year), number, day, hour, minute, second)
