"""Any octets at all: the parsers raise nothing but what they declare, and their cost is linear.

Run longer with HYPOTHESIS_PROFILE=fuzz (see tests/conftest.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyftpdrive.base.errors import InvalidName, ProtocolViolation
from pyftpdrive.ftp import dialects, listing, replies
from pyftpdrive.ftp.listing import Listing, NameCodec, parse_list, parse_mlsd, parse_mlst
from pyftpdrive.ftp.replies import Reply, ReplyReader

UTF8 = NameCodec("utf-8")
NOW = 1_795_000_000 * 10**9
INT64 = 1 << 63
MANY = settings(max_examples=max(1500, settings().max_examples), deadline=None)

# Pieces of real lines in any order reach further into a parser than random octets do.
PIECES = st.sampled_from(
    [
        b"-rw-r--r--", b"drwxr-xr-x", b"lrwxrwxrwx", b" ", b"   ", b"\t", b"1", b"4096", b"4, 64",
        b"9223372036854775808", b"-1", b"Nov", b"Feb 29", b"20 11:00", b"2026", b"99:99", b"0000",
        b"name", b" -> ", b"..", b"/", b"\0", b"\r", b";", b"=", b"type=file;", b"type=cdir;",
        b"Type=OS.unix=slink:/x;", b"size=", b"modify=20260231000000;", b"modify=99991231235959;",
        b"perm=el;", b"unix.mode=9999;", b"11-20-26", b"2026-11-20 11:00", b"03:04PM", b"<DIR>",
        b"<JUNCTION>", b"[x]", b"+i1,m9,s5,r,\t", b"A.TXT;1", b"1/3", b"20-NOV-2026", b"[A,B]",
        b"[RWCEAFMS]", b"*DIR", b"*STMF", b"04/03/27 19:04:49", b"PO", b"**NONE**", b"Migrated",
        b"Jan-01-1980", b"DIR", b"01.03", b"total 5", b"\xff", "\u00e9".encode(), b"\x1b[31m",
    ]
)  # fmt: skip
LINE = st.one_of(st.binary(max_size=100), st.lists(PIECES, max_size=14).map(b"".join))
SPACED = st.lists(PIECES, max_size=14).map(b" ".join)
LINES = st.lists(st.one_of(LINE, SPACED), max_size=6)
TEXT = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"[-0-9,.()|\" ]{0,60}", fullmatch=True),
    LINE.map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


def _check(found: Listing) -> None:
    names = [entry.name for entry in found.entries]
    assert len(names) == len(set(names))
    for entry in found.entries:
        assert entry.name not in ("", ".", "..")
        assert not set(entry.name) & set("/\0\r\n")
        assert entry.size_bytes is None or 0 <= entry.size_bytes < INT64
        assert entry.modified_ns is None or -INT64 <= entry.modified_ns < INT64
        assert entry.mode is None or 0 <= entry.mode <= 0o777


@MANY
@given(LINES, st.integers(-50400, 50400))
def test_listings_hold_only_what_a_drive_can_show(lines: list[bytes], offset_s: int) -> None:
    _check(parse_list(lines, UTF8, now_ns=NOW, clock_offset_s=offset_s))
    _check(parse_mlsd(lines, UTF8))
    parse_mlst(lines, UTF8)


@MANY
@given(st.lists(st.binary(max_size=50), max_size=8))
def test_replies_come_whole_or_are_refused(pieces: list[bytes]) -> None:
    reader = ReplyReader()
    try:
        for piece in pieces:
            reader.feed(piece)
            while (reply := reader.next()) is not None:
                assert 100 <= reply.code < 700
                assert not any("\n" in line for line in reply.lines)
    except ProtocolViolation:
        return


@MANY
@given(TEXT)
def test_values_in_replies_are_in_range_or_refused(text: str) -> None:
    reply = Reply(200, (text,))
    checks: list[tuple[Callable[[], object], Callable[..., bool]]] = [
        (lambda: replies.parse_pasv(reply)[1], lambda port: 1 <= port <= 65535),
        (lambda: replies.parse_epsv(reply), lambda port: 1 <= port <= 65535),
        (lambda: replies.parse_size(text), lambda size: 0 <= size < INT64),
        (lambda: replies.parse_mdtm(text), lambda moment: -INT64 <= moment < INT64),
        (lambda: replies.parse_pwd(reply), lambda name: isinstance(name, str)),
        (lambda: replies.parse_feat(Reply(211, ("", text, ""))), lambda found: len(found) <= 1),
    ]
    for parse, fits in checks:
        try:
            value = parse()
        except ProtocolViolation:
            continue
        assert fits(value)


@MANY
@given(st.text(max_size=40), st.sampled_from(["utf-8", "latin-1", "cp1252", "shift_jis"]))
def test_names_are_encoded_or_refused(name: str, encoding: str) -> None:
    codec = NameCodec(encoding)
    try:
        raw = codec.encode(name)
    except InvalidName:
        return
    assert codec.encode(codec.decode(raw)) == raw


# -- cost -----------------------------------------------------------------------------------------

HARD = {
    "blanks behind a DOS time": lambda n: b"11-20-26 10:00" + b" " * n + b"!",
    "blanks behind the mode": lambda n: b"-rw-r--r--" + b" " * n + b"!",
    "many owners": lambda n: b"-rw-r--r-- 1" + b" a" * (n // 2),
    "many numbers": lambda n: b"-rw-r--r-- " + b"1 " * (n // 2),
    "digits": lambda n: b"-rw-r--r-- 1 u " + b"1" * n,
    "almost dates": lambda n: b"-rw-r--r-- 1 u" + b" 5 Nov 20" * (n // 9),
    "almost sizes": lambda n: b"-rw-r--r-- 1 u" + b" 5, 5" * (n // 5),
    "almost a total": lambda n: b"total " + b"1" * n + b"!",
    "facts": lambda n: b"size=1;" * (n // 7) + b" a",
    "EPLF facts": lambda n: b"+" + b"s1," * (n // 3),
    "VMS blanks": lambda n: b"A.TXT;1" + b" " * n + b"!",
    "VMS dots": lambda n: b"A.TXT;" * (n // 6),
    "NetWare rights": lambda n: b"- [" + b"R" * n,
    "IBM i blanks": lambda n: b"A 5 04/03/27 19:04:49" + b" " * n,
    "OS/2 flags": lambda n: b" 5 " + b"A " * (n // 2),
    "VxWorks blanks": lambda n: b" 5 Jan-01-1980 00:00:00" + b" " * n,
    "z/OS blanks": lambda n: b"WYOSPT 3420" + b" " * n + b"!",
    "z/OS migrated": lambda n: b"Migrated " + b"A " * (n // 2),
    "dashes": lambda n: b"-" * n + b"!",
    "totals": lambda n: b"Total of 1 files" + b" " * n + b"!",
}


@pytest.mark.parametrize("name", HARD)
def test_no_line_is_hard_to_refuse(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the bound on lines: the patterns must be linear by themselves. A quadratic one
    # needs some 10^11 steps for this, hours; the test's own time limit is what it would meet.
    monkeypatch.setattr(listing, "LINE_BYTES_MAX", 1 << 30)
    line = HARD[name](400_000)

    parse_list([line], UTF8, now_ns=NOW)
    parse_mlsd([line], UTF8)
    dialects.is_heading(line[:199])


def _steps(work: Callable[[], object]) -> int:
    """How many calls *work* makes: a cost that no other program on the machine changes."""
    count = 0

    def tick(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(tick)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "line",
    [
        b"-rw-r--r-- 1 u g 5 Nov 20 11:00 same",
        b"type=file;size=1; same",
        b"what is this",
        b"A.TXT;1",
        b"Migrated A",
        b"",
    ],
)
def test_four_times_the_lines_cost_four_times_as_much(line: bytes) -> None:
    def cost(lines: int) -> int:
        return _steps(lambda: parse_list([line] * lines, UTF8, now_ns=NOW)) + _steps(
            lambda: parse_mlsd([line] * lines, UTF8)
        )

    assert cost(4000) < 5 * cost(1000)


def test_replies_octet_by_octet_cost_no_more_than_their_length() -> None:
    def cost(octets: int) -> int:
        reader = ReplyReader()
        data = (b"211-\r\n" + b" x\r\n" * octets)[:octets]
        return _steps(lambda: [reader.feed(data[i : i + 1]) for i in range(len(data))])

    assert cost(8000) < 5 * cost(2000)
