"""Listings: MLSD facts and LIST in its dialects; nothing is dropped silently."""

from __future__ import annotations

from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyftpdrive.base.errors import InvalidName
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.ftp.listing import LINE_BYTES_MAX, NameCodec, parse_list, parse_mlsd, parse_mlst

UTF8 = NameCodec("utf-8")
NOW = timegm((2026, 11, 20, 12, 0, 0)) * 10**9


def _at(*moment: int) -> int:
    return timegm((*moment, 0, 0, 0)[:6]) * 10**9


def _list_one(line: bytes, **options: int) -> RemoteEntry:
    listing = parse_list([line], UTF8, now_ns=NOW, **options)
    assert listing.unparsed == listing.refused == ()
    (entry,) = listing.entries
    return entry


@pytest.mark.parametrize(
    "encoding", ["utf-8", "cp1252", "latin-1", "shift_jis", "gb18030", "euc_kr"]
)
@given(raw=st.binary(min_size=1, max_size=40))
def test_every_name_survives_the_round_trip(encoding: str, raw: bytes) -> None:
    codec = NameCodec(encoding)

    assert codec.encode(codec.decode(raw)) == raw


def test_a_name_that_the_encoding_can_not_hold_is_refused() -> None:
    with pytest.raises(InvalidName):
        NameCodec("latin-1").encode("日本")


def test_an_unknown_encoding_fails_at_once() -> None:
    with pytest.raises(LookupError):
        NameCodec("utf-9")


UNIX = [
    (b"-rw-r--r--    1 1000     1000         4096 Nov 20 11:34 a b.txt",
     "a b.txt", Kind.FILE, 4096, _at(2026, 11, 20, 11, 34), 0o644),
    (b"drwxr-xr-x 2 ftp ftp 4096 Nov 19  2020 dir", "dir", Kind.DIRECTORY, None,
     _at(2020, 11, 19), 0o755),
    (b"-rwsr-xr-T+ 1 u g 5 Dec 24 10:00 suid", "suid", Kind.FILE, 5, _at(2025, 12, 24, 10), 0o754),
    (b"-rw-r--r-- 1 u 5 Nov 21 11:00 ahead", "ahead", Kind.FILE, 5, _at(2026, 11, 21, 11), 0o644),
    (b"-rw-r--r-- 1 u g 5 Nov 22 13:00 last-year", "last-year", Kind.FILE, 5,
     _at(2025, 11, 22, 13), 0o644),
    (b"-rw-r--r-- 1 u g 5 Feb 29 10:00 leap", "leap", Kind.FILE, 5, _at(2024, 2, 29, 10), 0o644),
    (b"-rw-r--r-- 1 u g 5 2024-01-02 03:04 iso", "iso", Kind.FILE, 5, _at(2024, 1, 2, 3, 4), 0o644),
    (b"-rw-r--r-- 1 u g 5 2024-01-02 03:04:05.000 +0100 full", "full", Kind.FILE, 5,
     _at(2024, 1, 2, 2, 4, 5), 0o644),
    (b"-rw-r--r-- 1 u g 5 20 Nov 11:00 day-first", "day-first", Kind.FILE, 5,
     _at(2026, 11, 20, 11), 0o644),
    ("-rw-r--r-- 1 u g 5 Mär  1 10:00 märz".encode(), "märz", Kind.FILE, 5,
     _at(2026, 3, 1, 10), 0o644),
    ("-rw-r--r-- 1 u g 5 déc. 1 2020 noël".encode(), "noël", Kind.FILE, 5, _at(2020, 12, 1), 0o644),
    (b"-rw-r--r-- 1 u g 5 Nov 20 11:00  lead", " lead", Kind.FILE, 5, _at(2026, 11, 20, 11), 0o644),
    (b"-rw-r--r-- 1 u g 5 Nov 20 11:00 -dash ", "-dash ", Kind.FILE, 5, _at(2026, 11, 20, 11),
     0o644),
    (b"crw-rw---- 1 root tty 4, 64 Nov 20 11:00 tty", "tty", Kind.FILE, 0, _at(2026, 11, 20, 11),
     0o660),
    (b"-rw-r--r-- 1 domain users 5368709120 Nov 20 11:00 big", "big", Kind.FILE, 5 << 30,
     _at(2026, 11, 20, 11), 0o644),
    (b"-rw-r--r-- 1 u g 5 Nov 20 11:00 \xff\xfe", "\udcff\udcfe", Kind.FILE, 5,
     _at(2026, 11, 20, 11), 0o644),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "kind", "size", "modified", "mode"), UNIX)
def test_unix_lines(line, name, kind, size, modified, mode) -> None:
    entry = _list_one(line)

    assert (entry.name, entry.kind, entry.size_bytes) == (name, kind, size)
    assert (entry.modified_ns, entry.mode) == (modified, mode)


def test_a_link_shows_its_target() -> None:
    entry = _list_one(b"lrwxrwxrwx 1 u g 9 Nov 20 11:00 name -> ../target")

    assert (entry.name, entry.kind, entry.link_target) == ("name", Kind.LINK, "../target")


DOS = [
    (b"11-20-26  03:04PM       <DIR>          My Dir", "My Dir", Kind.DIRECTORY, None,
     _at(2026, 11, 20, 15, 4)),
    (b"11-20-26  12:04AM             1,234 a b.txt", "a b.txt", Kind.FILE, 1234,
     _at(2026, 11, 20, 0, 4)),
    (b"2026-11-20  15:04                5 iso.txt", "iso.txt", Kind.FILE, 5,
     _at(2026, 11, 20, 15, 4)),
    (b"20.11.2026  15:04                5 de.txt", "de.txt", Kind.FILE, 5,
     _at(2026, 11, 20, 15, 4)),
    (b"01-02-99  10:00AM                5 old", "old", Kind.FILE, 5, _at(1999, 1, 2, 10)),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "kind", "size", "modified"), DOS)
def test_dos_lines(line, name, kind, size, modified) -> None:
    entry = _list_one(line)

    assert (entry.name, entry.kind, entry.size_bytes) == (name, kind, size)
    assert entry.modified_ns == modified


RARE = [
    (b"+i8388621.48594,m825718503,r,s280,\tdjb.html", "djb.html", Kind.FILE, 280,
     825718503 * 10**9),
    (b"+i8388621.50690,m824255907,/,\t514", "514", Kind.DIRECTORY, None, 824255907 * 10**9),
    (b"+r,s5,up644,\ta, b\tc", "a, b\tc", Kind.FILE, 5, None),
    (b"CII-MANUAL.TEX;1  213/216  29-JAN-1996 03:33:12  [ANONYMOU,ANONYMOUS]   (RWED,RWED,,)",
     "CII-MANUAL.TEX", Kind.FILE, None, _at(1996, 1, 29, 3, 33, 12)),
    (b"CORE.DIR;1  1  8-SEP-1996 16:09 [SYSTEM] (RWE,RWE,RE,RE)", "CORE", Kind.DIRECTORY, None,
     _at(1996, 9, 8, 16, 9)),
    (b"d [RWCEAFMS] supervisor            512       Jan 16 18:53    login dir", "login dir",
     Kind.DIRECTORY, None, _at(2026, 1, 16, 18, 53)),
    (b"- [R----F--] rhesus             214059       Oct 20  2020    cx.exe", "cx.exe", Kind.FILE,
     214059, _at(2020, 10, 20)),
    (b"PEP             36864 04/03/27 19:04:49 *STMF     a name.txt", "a name.txt", Kind.FILE,
     36864, _at(2004, 3, 27, 19, 4, 49)),
    (b"QSYS            77824 02/23/00 15:09:55 *DIR       QOpenSys/", "QOpenSys", Kind.DIRECTORY,
     None, _at(2000, 2, 23, 15, 9, 55)),
    (b"QSYS            77824 23.02.00 15.09.55 *STMF      de", "de", Kind.FILE, 77824,
     _at(2000, 2, 23, 15, 9, 55)),
    (b"QPGMR                                   *MEM       TEST.FILE", "TEST.FILE", Kind.FILE, None,
     None),
    (b"     0           DIR 05-12-97   16:44  PSFONTS", "PSFONTS", Kind.DIRECTORY, None,
     _at(1997, 5, 12, 16, 44)),
    (b" 73098      A        04-06-97   15:15  ds0.txt", "ds0.txt", Kind.FILE, 73098,
     _at(1997, 4, 6, 15, 15)),
    (b"     512    Jan-01-1980  00:00:00   folder            <DIR>", "folder", Kind.DIRECTORY, None,
     _at(1980, 1, 1)),
    (b"    4711    Feb-29-2024  12:34:56   core.log", "core.log", Kind.FILE, 4711,
     _at(2024, 2, 29, 12, 34, 56)),
    (b"WYOSPT 3420   2003/05/21  1  200  FB      80  8053  PS  48-MVS.FILE", "48-MVS.FILE",
     Kind.FILE, None, _at(2003, 5, 21)),
    (b"WPTA01 3290   **NONE**    1    3  VB    4096 27998  PO  SRC.COBOL", "SRC.COBOL",
     Kind.DIRECTORY, None, None),
    (b"Migrated                                                OLD.DATA", "OLD.DATA", Kind.FILE,
     None, None),
    (b" BENCHMRK  01.03 2002/09/12 2003/08/25 07:23    10     5     0 USER", "BENCHMRK", Kind.FILE,
     None, _at(2003, 8, 25, 7, 23)),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "kind", "size", "modified"), RARE)
def test_lines_of_rare_servers(line, name, kind, size, modified) -> None:
    entry = _list_one(line)

    assert (entry.name, entry.kind, entry.size_bytes) == (name, kind, size)
    assert entry.modified_ns == modified


def test_a_vms_name_may_have_its_facts_on_the_next_line() -> None:
    lines = [
        b"Directory DKA100:[ANON]", b"",
        b"A_VERY_LONG_NAME_THAT_DOES_NOT_FIT.TXT;12",
        b"               100/102  20-NOV-2026 11:00:00.42  [ANON]  (RWED,RWED,RE,)",
        b"LOST.TXT;1", b"SHORT.TXT;1  1/3  20-NOV-2026 11:00 [ANON]  (RWED,RWED,RE,)",
        b"", b"Total of 2 files, 101 blocks.",
    ]  # fmt: skip

    listing = parse_list(lines, UTF8, now_ns=NOW)

    names = ["A_VERY_LONG_NAME_THAT_DOES_NOT_FIT.TXT", "SHORT.TXT"]
    assert [entry.name for entry in listing.entries] == names
    assert listing.unparsed == ("LOST.TXT;1",)


def test_headings_are_no_entries() -> None:
    lines = [
        b"Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname",
        b" Name     VV.MM   Created       Changed      Size  Init   Mod   Id",
        b"  size          date       time       name",
        b"--------       ------     ------    --------",
    ]

    listing = parse_list(lines, UTF8, now_ns=NOW)

    assert (listing.entries, listing.unparsed) == ((), ())


@pytest.mark.parametrize(
    ("date", "modified"),
    [
        ("20. lis 11:00", _at(2026, 11, 20, 11)),
        ("maj 3 2020", _at(2020, 5, 3)),
        ("янв 5 10:00", _at(2026, 1, 5, 10)),
        ("11月 20 11:00", _at(2026, 11, 20, 11)),
        ("11月 20日 2025年", _at(2025, 11, 20)),
        ("kesä 7 2021", _at(2021, 6, 7)),
        ("Foo 7 2021", None),
        ("Feb 30 2021", None),
        ("Feb 29 2023", None),
        ("Jan 1 9999", None),
    ],
)
def test_months_of_many_languages(date: str, modified: int | None) -> None:
    entry = _list_one(f"-rw-r--r-- 1 u g 5 {date} a b".encode())

    assert (entry.name, entry.modified_ns) == ("a b", modified)


def test_times_are_made_utc_by_the_servers_offset() -> None:
    entry = _list_one(b"-rw-r--r-- 1 u g 5 Nov 20 11:00 a", clock_offset_s=3600)

    assert entry.modified_ns == _at(2026, 11, 20, 10)


def test_totals_blank_lines_and_the_directory_itself_are_no_entries() -> None:
    lines = [b"total 12", b"insgesamt 3", b"", b"drwxr-xr-x 2 u g 0 Nov 20 11:00 .",
             b"drwxr-xr-x 2 u g 0 Nov 20 11:00 .."]  # fmt: skip

    listing = parse_list(lines, UTF8, now_ns=NOW)

    assert (listing.entries, listing.unparsed, listing.refused) == ((), (), ())


def test_a_line_that_nobody_understands_is_not_dropped() -> None:
    listing = parse_list([b"??? what", b"-rw-r--r-- 1 u g 5 Nov 20 11:00 a"], UTF8, now_ns=NOW)

    assert listing.unparsed == ("??? what",)
    assert [entry.name for entry in listing.entries] == ["a"]


@pytest.mark.parametrize("name", [b"a/b", b"/etc/passwd", b"../up", b"a\0b", b"a\rb"])
def test_names_that_could_lead_elsewhere_are_refused_and_shown(name: bytes) -> None:
    by_list = parse_list([b"-rw-r--r-- 1 u g 5 Nov 20 11:00 " + name], UTF8, now_ns=NOW)
    by_mlsd = parse_mlsd([b"type=file;size=5; " + name], UTF8)

    for listing in (by_list, by_mlsd):
        assert listing.entries == ()
        assert listing.refused == (name.decode(),)


def test_a_line_longer_than_any_entry_is_shown_cut() -> None:
    name = b"n" * 2 * LINE_BYTES_MAX
    by_list = parse_list([b"-rw-r--r-- 1 u g 5 Nov 20 11:00 " + name], UTF8, now_ns=NOW)
    by_mlsd = parse_mlsd([b"type=file;size=5; " + name], UTF8)

    for listing in (by_list, by_mlsd):
        assert listing.entries == ()
        assert [len(line) for line in listing.unparsed] == [LINE_BYTES_MAX]


def test_equal_names_keep_the_first() -> None:
    listing = parse_mlsd([b"type=file;size=1; a", b"type=file;size=2; a"], UTF8)

    assert [entry.size_bytes for entry in listing.entries] == [1]
    assert listing.unparsed == ("type=file;size=2; a",)


MLSD = [
    (b"type=file;size=5;modify=20261120110000;perm=adfrw; a b", "a b", Kind.FILE, 5,
     _at(2026, 11, 20, 11)),
    (b"Type=FILE;Size=5;Modify=20261120110000.123; a;b=c", "a;b=c", Kind.FILE, 5,
     _at(2026, 11, 20, 11) + 123_000_000),
    (b"type=dir;sizd=4096; d", "d", Kind.DIRECTORY, None, None),
    (b"type=OS.unix=slink:/x;size=3; l", "l", Kind.LINK, 3, None),
    (b"size=;type=file; a", "a", Kind.FILE, None, None),
    (b"size=-1;type=file; a", "a", Kind.FILE, None, None),
    (b"size=9223372036854775808;type=file; a", "a", Kind.FILE, None, None),
    (b"perm=el; d", "d", Kind.DIRECTORY, None, None),
    (b"modify=nonsense; a", "a", Kind.FILE, None, None),
    (b"type=file;  lead", " lead", Kind.FILE, None, None),
    (b" bare", "bare", Kind.FILE, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "kind", "size", "modified"), MLSD)
def test_mlsd_lines(line, name, kind, size, modified) -> None:
    (entry,) = parse_mlsd([line], UTF8).entries

    assert (entry.name, entry.kind) == (name, kind)
    assert (entry.size_bytes, entry.modified_ns) == (size, modified)


def test_the_directory_itself_is_left_out_whatever_its_name() -> None:
    lines = [b"type=cdir; /a/b", b"type=pdir; /a", b"type=cdir; .", b"type=file; x"]

    assert [entry.name for entry in parse_mlsd(lines, UTF8).entries] == ["x"]


@pytest.mark.parametrize("line", [b"nofacts", b"garbage here", b"type=file;"])
def test_mlsd_lines_that_are_none(line: bytes) -> None:
    assert parse_mlsd([line], UTF8).unparsed == (line.decode(),)


@pytest.mark.parametrize(
    "lines",
    [
        [b"Listing /a", b" type=file;size=5; /a", b"End"],
        [b"Start", b"type=file;size=5; a", b"End"],
        [b"", b" type=file;size=5; C:\\a", b"End"],
    ],
)
def test_mlst_in_the_forms_that_servers_use(lines: list[bytes]) -> None:
    entry = parse_mlst(lines, UTF8)

    assert entry is not None
    assert (entry.kind, entry.size_bytes) == (Kind.FILE, 5)


def test_mlst_without_facts_is_none() -> None:
    assert parse_mlst([b"Start", b"End"], UTF8) is None


@given(st.lists(st.binary(max_size=120), max_size=5))
def test_no_octets_raise_anything(lines: list[bytes]) -> None:
    parse_mlsd(lines, UTF8)
    parse_mlst(lines, UTF8)
    parse_list(lines, UTF8, now_ns=NOW)


@given(st.from_regex(rb"[-dl][-rwxstST]{9}.{0,30} \d{1,22} .{0,20} .{0,10}", fullmatch=True))
def test_lines_that_are_almost_right_raise_nothing(line: bytes) -> None:
    parse_list([line], UTF8, now_ns=NOW)
