"""Replies on the control connection: reading and understanding them. Pure.

Text is decoded as UTF-8 with undecodable octets as lone surrogates, so that the octets can be had
back exactly. Source: RFC 959 4.2, RFC 2428 3, RFC 3659 3-4.
"""

from __future__ import annotations

import re
from calendar import timegm
from dataclasses import dataclass

from pyftpdrive.base.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotFound,
    NotImplementedByServer,
    PermissionRefused,
    ProtocolViolation,
    RemoteError,
    RemoteUnavailable,
    ServerError,
)

LINE_BYTES_MAX = 8 * 1024
REPLY_BYTES_MAX = 1024 * 1024
YEAR_MIN, YEAR_MAX = 1900, 2261  # what fits into 64 bits of nanoseconds, whole years
IAC = b"\xff"


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply. `lines` has the text of every line, without code and line end."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "\n".join(self.lines).strip()

    @property
    def is_preliminary(self) -> bool:
        """1yz: another reply follows."""
        return 100 <= self.code < 200

    @property
    def is_positive(self) -> bool:
        """2yz: done."""
        return 200 <= self.code < 300


class ReplyReader:
    """Puts replies together from octets, however these are cut.

    Tolerates: LF alone, no blank after the code, junk between the lines of a long reply. A long
    reply ends only with its own code followed by a blank or the line's end.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[str] = []  # of a long reply that has begun
        self._code = 0
        self._bytes = 0
        self._done: list[Reply] = []

    def feed(self, data: bytes) -> None:
        """Take octets as they came.

        Raises:
            ProtocolViolation: a line or a reply beyond every measure, or no reply at all.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise ProtocolViolation(f"a reply line of more than {LINE_BYTES_MAX} octets")
        for line in lines:
            self._take(line.rstrip(b"\r").replace(IAC + IAC, IAC))

    def next(self) -> Reply | None:
        """The oldest complete reply, or None."""
        return self._done.pop(0) if self._done else None

    @property
    def pending(self) -> bool:
        """True while there are octets or replies that nobody has taken."""
        return bool(self._rest or self._code or self._done)

    def _take(self, raw: bytes) -> None:
        if len(raw) > LINE_BYTES_MAX:
            raise ProtocolViolation(f"a reply line of more than {LINE_BYTES_MAX} octets")
        self._bytes += len(raw) + 1  # the line end too: lines of nothing fill the memory as well
        if self._bytes > REPLY_BYTES_MAX:
            raise ProtocolViolation(f"a reply of more than {REPLY_BYTES_MAX} octets")
        line = raw.decode("utf-8", "surrogateescape")
        head, mark = raw[:3], raw[3:4]
        if self._code:
            if head.isdigit() and int(head) == self._code and mark in (b" ", b""):
                self._lines.append(line[4:])
                self._finish()
            elif head.isdigit() and int(head) == self._code and mark == b"-":
                self._lines.append(line[4:])
            else:
                self._lines.append(line)
            return
        if not line.strip():
            return
        if len(head) < 3 or not head.isdigit() or not b"1" <= head[:1] <= b"6":
            raise ProtocolViolation(f"not an FTP reply: {line[:80]!r}")
        self._code = int(head)
        self._lines = [line[4:] if mark in (b" ", b"-", b"") else line[3:]]
        if mark != b"-":
            self._finish()

    def _finish(self) -> None:
        self._done.append(Reply(self._code, tuple(self._lines)))
        self._code, self._lines, self._bytes = 0, [], 0


# -- what replies say ---------------------------------------------------------------------------

_SIX_NUMBERS = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")
_EPSV = re.compile(r"\((.)\1\1(\d{1,5})\1\)|(.)\3\3(\d{1,5})\3")
_MDTM = re.compile(r"(\d{14,15})(?:\.(\d+))?")


def parse_pasv(reply: Reply) -> tuple[str, int]:
    """Host and port of a 227. Source: RFC 959 4.1.2.

    Raises:
        ProtocolViolation: no six numbers of at most 255, or port 0.
    """
    found = _SIX_NUMBERS.search(reply.text)
    numbers = [int(number) for number in found.groups()] if found else []
    if not numbers or max(numbers) > 255:
        raise ProtocolViolation(f"no address in the reply to PASV: {reply.text[:80]!r}")
    port = numbers[4] * 256 + numbers[5]
    if port == 0:
        raise ProtocolViolation("the reply to PASV names port 0")
    return ".".join(str(number) for number in numbers[:4]), port


def parse_epsv(reply: Reply) -> int:
    """Port of a 229, with any delimiter. Source: RFC 2428 3.

    Raises:
        ProtocolViolation: no port between 1 and 65535.
    """
    found = _EPSV.search(reply.text)
    port = int(found[2] or found[4]) if found else 0
    if not 1 <= port <= 65535:
        raise ProtocolViolation(f"no port in the reply to EPSV: {reply.text[:80]!r}")
    return port


def parse_pwd(reply: Reply) -> str:
    """The directory of a 257: quoted, quotes inside doubled. Source: RFC 959 Appendix II."""
    text = reply.text
    start = text.find('"')
    if start < 0:
        return text.split(" ", 1)[0]
    name: list[str] = []
    position = start + 1
    while position < len(text):
        if text[position] == '"':
            if text[position + 1 : position + 2] != '"':
                break
            position += 1
        name.append(text[position])
        position += 1
    return "".join(name)


def parse_mdtm(text: str) -> int:
    """Nanoseconds since 1970 of 'YYYYMMDDHHMMSS[.fraction]' (UTC). Source: RFC 3659 2.3.

    Raises:
        ProtocolViolation: not such a time.
    """
    found = _MDTM.search(text)
    if not found:
        raise ProtocolViolation(f"not a time: {text[:40]!r}")
    digits = found[1]
    if len(digits) == 15:  # '19126...' is what some servers made of the year 2026
        digits = str(1900 + int(digits[2:5])) + digits[5:]
    year, month, day, hour, minute, second = (
        int(digits[:4]),
        int(digits[4:6]),
        int(digits[6:8]),
        int(digits[8:10]),
        int(digits[10:12]),
        int(digits[12:14]),
    )
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 62):
        raise ProtocolViolation(f"not a time: {text[:40]!r}")
    if not YEAR_MIN <= year <= YEAR_MAX:
        raise ProtocolViolation(f"not a time that a file can have: {text[:40]!r}")
    seconds = timegm((year, month, day, hour, minute, second))
    fraction = (found[2] or "")[:9].ljust(9, "0")
    return seconds * 1_000_000_000 + int(fraction)


def parse_size(text: str) -> int:
    """The number that a 213 names.

    Raises:
        ProtocolViolation: no number, or one that no file has.
    """
    found = re.search(r"-?\d+", text)
    size = int(found[0]) if found and len(found[0]) <= 20 else -1
    if not 0 <= size < 1 << 63:
        raise ProtocolViolation(f"not a size: {text[:40]!r}")
    return size


def parse_feat(reply: Reply) -> dict[str, str]:
    """Features of a 211, upper case, with their parameters. Source: RFC 2389 3.2."""
    features: dict[str, str] = {}
    for line in reply.lines[1:-1] if len(reply.lines) > 2 else ():
        name, _, parameters = line.strip().partition(" ")
        if name:
            features[name.upper()] = parameters.strip()
    return features


# -- refusals -------------------------------------------------------------------------------------

# The text is a hint only: who needs to be sure looks for evidence (evidence.py).
_HINTS: tuple[tuple[re.Pattern[str], type[RemoteError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), error)
    for pattern, error in (
        (r"not empty|nonempty|non-empty", DirectoryNotEmpty),
        (r"not a (?:directory|dir|folder)", NotADirectory),
        (r"is a (?:directory|dir|folder)|not a (?:plain|regular)? ?file", IsADirectory),
        (
            r"no such|not found|does ?n.t exist|does not exist|not exist|cannot find|can't find"
            r"|unable to find|no file|missing"
            # stat() failed, whatever for: what Pure-FTPd and ProFTPD say to MLST
            r"|can't check for file existence|cannot be listed",
            NotFound,
        ),
        (r"exist", AlreadyExists),
        (
            r"permission|denied|not allowed|forbidden|read.?only|not permitted|privilege"
            r"|unauthori|refused",
            PermissionRefused,
        ),
        (r"disk full|no space|quota|insufficient", NoSpace),
    )
)
_BY_CODE: dict[int, type[RemoteError]] = {
    452: NoSpace,
    552: NoSpace,
    500: NotImplementedByServer,
    501: NotImplementedByServer,
    502: NotImplementedByServer,
    503: NotImplementedByServer,
    504: NotImplementedByServer,
    521: AlreadyExists,
    530: PermissionRefused,
    532: PermissionRefused,
    533: PermissionRefused,
    534: PermissionRefused,
}


def remote_error(reply: Reply, *, action: str) -> RemoteError:
    """The error that a refusal stands for, as far as code and text tell."""
    text = reply.text
    message = f"{action}: {reply.code} {text}".strip()
    hinted = next((error for pattern, error in _HINTS if pattern.search(text)), None)
    known = _BY_CODE.get(reply.code)
    if known is not None:
        error = known
    elif reply.code == 450 and hinted is NotFound:
        error = NotFound
    elif 400 <= reply.code < 500:
        error = RemoteUnavailable
    elif reply.code == 553:
        error = hinted if hinted in (AlreadyExists, NotFound) else PermissionRefused
    else:
        error = hinted or ServerError
    return error(message, reply=text)
