"""Directory listings: MLSD facts, and LIST in its dialects (rare ones: `dialects`). Pure.

No line is dropped silently: what nobody understands is in `Listing.unparsed`, names that must not
be passed on are in `Listing.refused`. Source: RFC 3659 7 (MLSx); LIST has none.
"""

from __future__ import annotations

import re
import sys
from calendar import monthrange, timegm
from collections.abc import Iterable
from dataclasses import dataclass
from time import gmtime

from pyftpdrive.base.errors import InvalidName, ProtocolViolation
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import check_name
from pyftpdrive.ftp.dialects import Row, is_heading, is_wrapped, parse_row
from pyftpdrive.ftp.replies import YEAR_MAX, YEAR_MIN, parse_mdtm

SECOND_NS = 1_000_000_000
SIZE_MAX = 1 << 63
FUTURE_TOLERANCE_S = 24 * 3600
LINE_BYTES_MAX = 8 * 1024  # the longest name and link target, with room; more is no entry


class NameCodec:
    """Names as octets on the wire and as text here; every octet string survives the round trip."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        "".encode(encoding)  # an unknown name fails here, with LookupError

    def decode(self, raw: bytes) -> str:
        """Text of *raw*; what can't be decoded becomes lone surrogates."""
        name = raw.decode(self.encoding, "surrogateescape")
        if name.isascii() or self.encode(name) == raw:
            return name
        return raw.decode("ascii", "surrogateescape")

    def encode(self, name: str) -> bytes:
        """The octets of *name*.

        Raises:
            InvalidName: the server's encoding can't hold it.
        """
        try:
            return name.encode(self.encoding, "surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidName(
                f"{name!r} can't be written in the server's encoding {self.encoding}"
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a server said about a directory."""

    entries: tuple[RemoteEntry, ...]
    unparsed: tuple[str, ...]  # lines that nobody understood
    refused: tuple[str, ...]  # names with '/', CR, LF, NUL, or '..'


class _Collector:
    """Gathers entries; keeps the first of equal names."""

    def __init__(self) -> None:
        self.entries: dict[str, RemoteEntry] = {}
        self.unparsed: list[str] = []
        self.refused: list[str] = []

    def take(self, entry: RemoteEntry, line: str) -> None:
        try:
            check_name(entry.name)
        except InvalidName:
            self.refused.append(entry.name)
            return
        if entry.name in self.entries:
            self.unparsed.append(line)
        else:
            self.entries[entry.name] = entry

    def listing(self) -> Listing:
        return Listing(
            entries=tuple(self.entries.values()),
            unparsed=tuple(self.unparsed),
            refused=tuple(self.refused),
        )


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


# -- MLSx -----------------------------------------------------------------------------------------


def parse_mlsd(lines: Iterable[bytes], codec: NameCodec) -> Listing:
    """A listing from MLSD's lines. The directory itself and its parent are left out."""
    found = _Collector()
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line.strip():
            continue
        facts, separator, name = line.partition(b" ")
        too_long = len(line) > LINE_BYTES_MAX
        if too_long or not separator or not name or (facts and b"=" not in facts):
            found.unparsed.append(_shown(line[:LINE_BYTES_MAX]))
            continue
        entry = _facts(facts, codec.decode(name), codec)
        if entry is not None:
            found.take(entry, _shown(line))
    return found.listing()


def parse_mlst(lines: Iterable[bytes], codec: NameCodec) -> RemoteEntry | None:
    """The entry in a 250 reply to MLST, named as the server repeated it; None: no facts."""
    for raw in lines:
        line = raw.strip(b"\r\n").lstrip(b" ")
        facts, separator, name = line.partition(b" ")
        if separator and b"=" in facts and facts.rstrip().endswith(b";"):
            entry = _facts(facts, codec.decode(name), codec, keep_self=True)
            if entry is not None:
                return entry
    return None


def _facts(
    facts: bytes, name: str, codec: NameCodec, *, keep_self: bool = False
) -> RemoteEntry | None:
    """The entry that *facts* describe; None for the directory itself and its parent."""
    kind: Kind | None = None
    size: int | None = None
    modified: int | None = None
    mode: int | None = None
    perm: str | None = None
    target: str | None = None
    for fact in facts.split(b";"):
        key, _, value = fact.partition(b"=")
        key = key.lower()
        if key == b"type":
            what = value.lower()
            if what in (b"cdir", b"pdir") and not keep_self:
                return None
            if what == b"file":
                kind = Kind.FILE
            elif what in (b"dir", b"cdir", b"pdir"):
                kind = Kind.DIRECTORY
            elif what.startswith((b"os.unix=slink", b"os.unix=symlink")):
                kind = Kind.LINK
                _, colon, rest = value.partition(b":")
                target = codec.decode(rest) if colon else None
        elif key == b"size" or (key == b"sizd" and size is None):
            size = _size(value)
        elif key == b"modify":
            modified = _time(value)
        elif key == b"unix.mode":
            mode = int(value, 8) & 0o777 if re.fullmatch(rb"[0-7]{1,6}", value) else None
        elif key == b"perm":
            perm = sys.intern(value.decode("ascii", "replace").lower())
    if kind is None:
        directory = perm is not None and ("e" in perm or "l" in perm)
        kind = Kind.DIRECTORY if directory else Kind.FILE
    return RemoteEntry(
        name=name,
        kind=kind,
        size_bytes=size if kind is not Kind.DIRECTORY else None,
        modified_ns=modified,
        mode=mode,
        perm=perm,
        link_target=target,
    )


def _size(value: bytes) -> int | None:
    if not value.isdigit() or len(value) > 19:
        return None
    size = int(value)
    return size if size < SIZE_MAX else None


def _time(value: bytes) -> int | None:
    try:
        return parse_mdtm(value.decode("ascii", "replace"))
    except (ProtocolViolation, ValueError):
        return None


# -- LIST -----------------------------------------------------------------------------------------

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan janv gen ene sty led tammi янв 1月",
            "feb fév févr fev febr lut úno helmi фев 2月",
            "mar mär mrz mars maerz mrt márc bře maalis мар 3月",
            "apr avr abr ápr kwi dub huhti апр 4月",
            "may mai mag maj mei máj kvě touko май мая 5月",
            "jun juin giu jún cze čvn kesä июн 6月",
            "jul juil lug júl lip čvc heinä июл 7月",
            "aug août aou ago sie srp elo авг 8月",
            "sep sept set szept wrz zář syys сен сент 9月",
            "oct okt ott out paź říj loka окт 10月",
            "nov lis marras ноя нояб 11月",
            "dec dez déc dic des gru pro joulu дек 12月",
        ),
        start=1,
    )
    for name in names.split()
}
_UNIX = re.compile(
    rb"(?P<type>[-bcdlpsD])(?P<mode>[-rwxsStTlL]{9})[+.@]?\s+"
    rb"(?:\d+\s+)?"  # links; some embedded servers leave them out
    rb"(?:(?P<owners>\S+(?:\s+\S+)*?)\s+)?"
    rb"(?P<size>\d+|\d+,\s*\d+)\s+"
    rb"(?P<date>"
    rb"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: [+-]\d{4})?"
    rb"|(?:[^\s\d]{3,8}\.?|\d{1,2}\xe6\x9c\x88)\s+\d{1,2}(?:\xe6\x97\xa5)?\s+"
    rb"(?:\d{1,2}:\d\d|\d{4}(?:\xe5\xb9\xb4)?)"  # in Japan and China: month, day, year
    rb"|\d{1,2}\.?\s+[^\s\d]{3,8}\.?\s+(?:\d{1,2}:\d\d|\d{4})"
    rb") (?P<name>.+)",
    re.DOTALL,
)
_DOS = re.compile(
    rb"(?P<date>\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4},?\s+\d{1,2}:\d\d(?::\d\d)?(?:\s*[AaPp]\.?[Mm]\.?)?)"
    rb"\s++(?P<size><[A-Za-z]+>|[\d.,]+)(?:\s(?P<name>.+))",
    re.DOTALL,
)
_TOTAL = re.compile(rb"(?:total|insgesamt|gesamt|totale?)\s+[\d.,]+\w?\s*$", re.IGNORECASE)


def parse_list(
    lines: Iterable[bytes], codec: NameCodec, *, now_ns: int, clock_offset_s: int = 0
) -> Listing:
    """A listing from LIST's lines.

    Times are the server's local ones; minus *clock_offset_s* they are UTC. A date without a year is
    the nearest one in the past (a day of tolerance for clocks that run ahead).
    """
    found = _Collector()
    dates = _Dates(now_ns // SECOND_NS, clock_offset_s)
    begun = b""  # a name whose facts are on the next line
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if begun and not line[:1].isspace():
            found.unparsed.append(_shown(begun))
        elif begun:
            line = begun + line
        begun = b""
        if not line.strip() or (len(line) < 80 and _TOTAL.match(line)):
            continue
        if len(line) > LINE_BYTES_MAX:
            found.unparsed.append(_shown(line[:LINE_BYTES_MAX]))
            continue
        entry = _unix(line, codec, dates) or _dos(line, codec, dates) or _rare(line, codec, dates)
        if entry is None and is_wrapped(line):
            begun = line
        elif entry is None and is_heading(line):
            continue
        elif entry is None:
            found.unparsed.append(_shown(line))
        elif entry.name not in (".", ".."):
            found.take(entry, _shown(line))
    if begun:
        found.unparsed.append(_shown(begun))
    return found.listing()


def _rare(line: bytes, codec: NameCodec, dates: _Dates) -> RemoteEntry | None:
    row = parse_row(line)
    if row is None:
        return None
    size = _size(row.size) if row.size is not None and row.kind is Kind.FILE else None
    return RemoteEntry(
        name=codec.decode(row.name), kind=row.kind, size_bytes=size, modified_ns=dates.of_row(row)
    )


def _unix(line: bytes, codec: NameCodec, dates: _Dates) -> RemoteEntry | None:
    match = _UNIX.fullmatch(line)
    if match is None:
        return None
    what, raw_name = match["type"], match["name"]
    kind, target = Kind.FILE, None
    if what == b"d":
        kind = Kind.DIRECTORY
    elif what == b"l":
        kind = Kind.LINK
        raw_name, arrow, raw_target = raw_name.partition(b" -> ")
        target = codec.decode(raw_target) if arrow else None
    size = None
    if kind is Kind.FILE:
        size = _size(match["size"]) if what == b"-" else 0
    return RemoteEntry(
        name=codec.decode(raw_name),
        kind=kind,
        size_bytes=size,
        modified_ns=dates.unix(match["date"]),
        mode=_mode(match["mode"]),
        link_target=target,
    )


_modes: dict[bytes, int] = {}


def _mode(letters: bytes) -> int:
    """rwxr-xr-x as a number; set-id and sticky letters count as what they hide."""
    known = _modes.get(letters)
    if known is None:
        known = 0
        for position, letter in enumerate(letters):
            known = known << 1 | (
                letter in b"rwxst" and letter in (b"r", b"w", b"xst")[position % 3]
            )
        if len(_modes) < 4096:
            _modes[letters] = known
    return known


def _dos(line: bytes, codec: NameCodec, dates: _Dates) -> RemoteEntry | None:
    match = _DOS.fullmatch(line)
    if match is None:
        return None
    raw_size, raw_name = match["size"], match["name"]
    # IIS pads between size and name with exactly one blank, after '<DIR>' with ten.
    if raw_size.startswith(b"<"):
        raw_name = raw_name.lstrip(b" ")
    kind = Kind.FILE
    target: str | None = None
    if raw_size.upper() == b"<DIR>":
        kind = Kind.DIRECTORY
    elif raw_size.startswith(b"<"):
        kind = Kind.LINK
        raw_name, _, raw_target = raw_name.partition(b" [")
        target = codec.decode(raw_target.rstrip(b"]")) or None
    size = None
    if kind is Kind.FILE:
        size = _size(raw_size.replace(b",", b"").replace(b".", b""))
    return RemoteEntry(
        name=codec.decode(raw_name),
        kind=kind,
        size_bytes=size,
        modified_ns=dates.dos(match["date"]),
        link_target=target,
    )


class _Dates:
    """Dates of one listing, each form parsed once."""

    def __init__(self, now_s: int, offset_s: int) -> None:
        self._now_s = now_s
        self._offset_s = offset_s
        self._year = gmtime(now_s + offset_s).tm_year
        self._known: dict[bytes, int | None] = {}

    def of_row(self, row: Row) -> int | None:
        """Of the other dialects, ns UTC."""
        if row.utc_s is not None:
            return row.utc_s * SECOND_NS
        if row.unix_date is not None:
            return self.unix(row.unix_date)
        return self.utc(*row.local) if row.local is not None else None

    def unix(self, raw: bytes) -> int | None:
        """Of the Unix dialect, ns UTC."""
        if raw not in self._known:
            self._known[raw] = self._unix(raw)
        return self._known[raw]

    def _unix(self, raw: bytes) -> int | None:
        text = raw.decode("utf-8", "replace")
        if text[4:5] == "-":
            return self._iso(text)
        parts = text.split()
        if parts[0][0].isdigit() and not parts[0].endswith("月"):
            parts[0], parts[1] = parts[1], parts[0]
        month = _MONTHS.get(parts[0].lower().rstrip("."))
        if month is None:
            return None
        day = int(parts[1].rstrip(".日"))
        if ":" not in parts[2]:
            return self.utc(int(parts[2].rstrip("年")), month, day, 0, 0, 0)
        hour, minute = (int(number) for number in parts[2].split(":"))
        for year in range(self._year + 1, self._year - 8, -1):  # 29 February: up to 8 years back
            moment = self.utc(year, month, day, hour, minute, 0)
            if moment is not None and moment <= (self._now_s + FUTURE_TOLERANCE_S) * SECOND_NS:
                return moment
        return None

    def _iso(self, text: str) -> int | None:
        day, clock, *zone = text.split(" ")
        year, month, date = (int(number) for number in day.split("-"))
        hour, minute, *second = clock.split(".")[0].split(":")
        moment = self.utc(
            year, month, date, int(hour), int(minute), int(second[0]) if second else 0
        )
        if moment is None or not zone:
            return moment
        shift = int(zone[0][1:3]) * 3600 + int(zone[0][3:5]) * 60
        shift = -shift if zone[0][0] == "-" else shift
        return moment + (self._offset_s - shift) * SECOND_NS

    def dos(self, raw: bytes) -> int | None:
        """Of the DOS dialect, ns UTC."""
        if raw not in self._known:
            self._known[raw] = self._dos(raw.decode("ascii", "replace").upper())
        return self._known[raw]

    def _dos(self, text: str) -> int | None:
        numbers = [int(number) for number in re.findall(r"\d+", text)]
        first, second, third, hour, minute = numbers[:5]
        if first > 31:
            year, month, day = first, second, third
        elif first > 12:
            day, month, year = first, second, third
        else:
            month, day, year = first, second, third
        if year < 100:
            year += 2000 if year < 70 else 1900
        if "P" in text and hour < 12:
            hour += 12
        elif "A" in text and hour == 12:
            hour = 0
        return self.utc(year, month, day, hour, minute, numbers[5] if len(numbers) > 5 else 0)

    def utc(
        self, year: int, month: int, day: int, hour: int, minute: int, second: int
    ) -> int | None:
        """A moment of the server's clock, ns UTC; None: there is no such moment."""
        if not (
            YEAR_MIN <= year <= YEAR_MAX
            and 1 <= month <= 12
            and hour < 24
            and minute < 60
            and second < 62
        ):
            return None
        if not 1 <= day <= monthrange(year, month)[1]:
            return None
        seconds = timegm((year, month, day, hour, minute, second))
        return (seconds - self._offset_s) * SECOND_NS
