"""Faults as data, the fault book, and the lines of listings: no sockets."""

from __future__ import annotations

import pytest

from simulators.ftp_server.faults import Fault, FaultBook, FaultError
from simulators.ftp_server.listings import DIALECTS, facts_line, parse_timestamp, timestamp
from simulators.ftp_server.storage import PAGE, Entry, MemoryStorage


def test_from_dict_takes_what_a_scenario_says() -> None:
    fault = Fault.from_dict({"on": "STOR", "nth": 2, "fault": "reset", "after_bytes": 65536})
    assert fault == Fault(on="STOR", nth=2, fault="reset", after_bytes=65536)


def test_from_dict_takes_an_int_for_seconds() -> None:
    assert Fault.from_dict({"fault": "delay", "seconds": 2}).seconds == 2.0


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"fault": "reset", "afterbytes": 1}, "unknown keys: afterbytes"),
        ({"on": "STOR"}, "fault is missing"),
        ({"fault": "explode"}, "no fault 'explode'"),
        ({"fault": "reply"}, "needs code"),
        ({"fault": "reply", "code": "450"}, "code='450'"),
        ({"fault": "reset", "nth": True}, "nth=True"),
        ({"fault": "reset", "on": "stor"}, "capital letters"),
        ({"fault": "reset", "after_bytes": -1}, "negative"),
        ({"fault": "reset", "when": "during"}, "before or after"),
        ({"fault": "reset", "channel": "side"}, "control, data or both"),
        ({"fault": "reset", "chance": 1.5}, "between 0 and 1"),
        ({"fault": "reply", "code": 9}, "isn't a reply code"),
        ({"fault": "listing", "lines": "one"}, "a list of texts"),
    ],
)
def test_from_dict_refuses_what_makes_no_sense(values: dict[str, object], says: str) -> None:
    with pytest.raises(FaultError, match=says):
        Fault.from_dict(values)


def test_from_text_reads_every_type() -> None:
    text = "on=LIST|MLSD,fault=listing,lines=a b|c\\, d,replace=true,chance=0.5,nth=0"
    assert Fault.from_text(text) == Fault(
        on="LIST|MLSD", fault="listing", lines=("a b", "c, d"), replace=True, chance=0.5, nth=0
    )


def test_book_counts_only_what_matches() -> None:
    book = FaultBook([Fault(on="STOR", nth=2, path="/a/*", fault="swallow_reply")], seed=0)
    hits = [bool(book.match(("STOR",), path, 1)) for path in ("/a/x", "/b/x", "/a/y", "/a/z")]
    assert hits == [False, False, True, False]


def test_star_is_every_command_but_not_the_greeting() -> None:
    book = FaultBook([Fault(on="*", nth=0, fault="swallow_reply")], seed=0)
    assert not book.match(("CONNECT",), None, 1)
    assert book.match(("PASS", "LOGIN"), None, 1)


def test_timestamps_round_trip() -> None:
    assert timestamp(1_600_000_000_123_000_000, fraction=True) == "20200913122640.123"
    assert parse_timestamp("20200913122640.123") == 1_600_000_000_123_000_000
    assert parse_timestamp("19691231235959") == -1_000_000_000


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_keep_the_name_at_the_end(dialect: str) -> None:
    entry = Entry(kind="file", size=5 << 30, modified_ns=0, mode=0o644)
    line = DIALECTS[dialect]("  two  blanks ", entry, 1, 0)
    assert line.endswith(" " + "  two  blanks ")
    assert str(5 << 30) in line


def test_facts_of_a_directory_have_no_size() -> None:
    entry = Entry(kind="dir", size=4096, modified_ns=0, mode=0o755)
    facts = ("type", "size", "modify", "perm")
    line = facts_line("d", entry, facts, fraction=False, writable=False, unique="x")
    assert line == "type=dir;modify=19700101000000;perm=fle; d"


def test_memory_keeps_holes_and_ends() -> None:
    storage = MemoryStorage()
    writer = storage.write("/f", truncate=True)
    writer.write(3 * PAGE - 2, memoryview(b"abcd"))
    writer.write(5, memoryview(b"x"))
    assert storage.content("/f") == bytes(5) + b"x" + bytes(3 * PAGE - 8) + b"abcd"
    writer.write(5, memoryview(b"\0"))
    assert storage.content("/f")[5] == 0


def test_memory_forgets_what_was_cut_off() -> None:
    storage = MemoryStorage()
    storage.write("/f", truncate=True).write(0, memoryview(b"x" * (PAGE + 10)))
    storage.set_size("/f", 3)
    storage.set_size("/f", 6)
    assert storage.content("/f") == b"xxx\0\0\0"


def test_rename_refuses_a_full_directory_and_itself() -> None:
    storage = MemoryStorage()
    for path in ("/a", "/b", "/b/c"):
        storage.make_directory(path)
    with pytest.raises(OSError, match="not empty"):
        storage.rename("/a", "/b")
    with pytest.raises(OSError, match="Invalid"):
        storage.rename("/b", "/b/c/d")
