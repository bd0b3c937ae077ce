"""Replies: put together however they were cut, and understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyftpdrive.base import errors
from pyftpdrive.ftp.replies import (
    Reply,
    ReplyReader,
    parse_epsv,
    parse_feat,
    parse_mdtm,
    parse_pasv,
    parse_pwd,
    parse_size,
    remote_error,
)

TABLE = [
    (b"220 hello\r\n", [Reply(220, ("hello",))]),
    (b"220 hello\n", [Reply(220, ("hello",))]),
    (b"220\r\n", [Reply(220, ("",))]),
    (b"226ok\r\n", [Reply(226, ("ok",))]),
    (b"220-a\r\n220-b\r\n220 c\r\n", [Reply(220, ("a", "b", "c"))]),
    (b"211-Features:\r\n SIZE\r\n MDTM\r\n211 End\r\n",
     [Reply(211, ("Features:", " SIZE", " MDTM", "End"))]),
    (b"220-a\r\n221 not the end\r\n220 end\r\n", [Reply(220, ("a", "221 not the end", "end"))]),
    (b"220-a\r\n2201 junk\r\n220 end\r\n", [Reply(220, ("a", "2201 junk", "end"))]),
    (b"150 a\r\n226 b\r\n", [Reply(150, ("a",)), Reply(226, ("b",))]),
    (b"\r\n200 x\r\n", [Reply(200, ("x",))]),
    (b"257 \"\xff\xff\"\r\n", [Reply(257, ('"\udcff"',))]),
]  # fmt: skip


def _read(*pieces: bytes) -> list[Reply]:
    reader = ReplyReader()
    found: list[Reply] = []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next()) is not None:
            found.append(reply)
    return found


@pytest.mark.parametrize(("data", "expected"), TABLE)
def test_replies_are_the_same_however_they_are_cut(data: bytes, expected: list[Reply]) -> None:
    assert _read(data) == expected
    for cut in range(1, len(data)):
        assert _read(data[:cut], data[cut:]) == expected
    assert _read(*(data[i : i + 1] for i in range(len(data)))) == expected


@pytest.mark.parametrize(
    "data",
    [b"hello\r\n", b"SSH-2.0-x\r\n", b"999 x\r\n", b"x" * 9000, b"220 " + b"x" * 9000 + b"\n"],
)
def test_what_is_no_reply_is_a_violation(data: bytes) -> None:
    with pytest.raises(errors.ProtocolViolation):
        _read(data)


def test_an_endless_reply_is_a_violation() -> None:
    reader = ReplyReader()
    reader.feed(b"211-\r\n")

    def feed() -> None:
        for _ in range(1000):
            reader.feed(b"x" * 4000 + b"\r\n")

    with pytest.raises(errors.ProtocolViolation):
        feed()


def test_a_reply_of_empty_lines_without_end_is_a_violation() -> None:
    reader = ReplyReader()
    reader.feed(b"211-\r\n")

    def feed() -> None:
        for _ in range(100):
            reader.feed(b"\r\n" * 20_000)

    with pytest.raises(errors.ProtocolViolation):
        feed()


@given(st.binary(max_size=300))
def test_no_octets_raise_anything_else(data: bytes) -> None:
    try:
        _read(data)
    except errors.ProtocolViolation:
        return


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Entering Passive Mode (127,0,0,1,4,210)", ("127.0.0.1", 1234)),
        ("Entering Passive Mode 10,1,2,3,255,255", ("10.1.2.3", 65535)),
        ("=127,0,0,1,0,21", ("127.0.0.1", 21)),
    ],
)
def test_pasv(text: str, expected: tuple[str, int]) -> None:
    assert parse_pasv(Reply(227, (text,))) == expected


@pytest.mark.parametrize("text", ["none", "(1,2,3,4,5)", "(256,0,0,1,4,5)", "(1,2,3,4,0,0)"])
def test_pasv_without_an_address(text: str) -> None:
    with pytest.raises(errors.ProtocolViolation):
        parse_pasv(Reply(227, (text,)))


@pytest.mark.parametrize("text", ["ok (|||4242|)", "ok (!!!4242!)", "ok |||4242|"])
def test_epsv(text: str) -> None:
    assert parse_epsv(Reply(229, (text,))) == 4242


@pytest.mark.parametrize("text", ["ok", "(|||0|)", "(|||65536|)", "(|||x|)"])
def test_epsv_without_a_port(text: str) -> None:
    with pytest.raises(errors.ProtocolViolation):
        parse_epsv(Reply(229, (text,)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [('"/a" is current', "/a"), ('"/a ""b"""', '/a "b"'), ('""', ""), ("/bare dir", "/bare")],
)
def test_pwd(text: str, expected: str) -> None:
    assert parse_pwd(Reply(257, (text,))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20261120223344", 1795214024 * 10**9),
        ("20261120223344.5", 1795214024_500000000),
        ("191261120223344", 1795214024 * 10**9),
    ],
)
def test_mdtm(text: str, expected: int) -> None:
    assert parse_mdtm(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "2026", "20261320223344", "20261120250000", "x", "99991231235959", "00000101000000"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(errors.ProtocolViolation):
        parse_mdtm(text)


@pytest.mark.parametrize("text", ["-1", "", "x", str(2**63), "9" * 30])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(errors.ProtocolViolation):
        parse_size(text)


def test_a_size_is_found_in_its_text() -> None:
    assert parse_size("5368709120") == 5 << 30


def test_feat() -> None:
    reply = Reply(211, ("Features:", " MLST type*;size*;", " utf8", "End"))

    assert parse_feat(reply) == {"MLST": "type*;size*;", "UTF8": ""}
    assert parse_feat(Reply(211, ("no features",))) == {}


@pytest.mark.parametrize("code", range(400, 600))
def test_every_refusal_has_an_error(code: int) -> None:
    error = remote_error(Reply(code, ("sorry",)), action="DO x")

    assert isinstance(error, errors.RemoteError)
    assert str(error) == f"DO x: {code} sorry"
    assert error.reply == "sorry"


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "No such file or directory", errors.NotFound),
        (550, "/x: file not found", errors.NotFound),
        (550, "Permission denied", errors.PermissionRefused),
        (550, "Directory not empty", errors.DirectoryNotEmpty),
        (550, "File exists", errors.AlreadyExists),
        (550, "Not a directory", errors.NotADirectory),
        (550, "Is a directory", errors.IsADirectory),
        (550, "it does not exist", errors.NotFound),
        (550, "hm", errors.ServerError),
        (553, "Could not create file", errors.PermissionRefused),
        (553, "Target file already exists", errors.AlreadyExists),
        (552, "over quota", errors.NoSpace),
        (452, "disk full", errors.NoSpace),
        (450, "No such file", errors.NotFound),
        (450, "busy", errors.RemoteUnavailable),
        (425, "no data connection", errors.RemoteUnavailable),
        (502, "not here", errors.NotImplementedByServer),
        (530, "log in", errors.PermissionRefused),
        (521, "there", errors.AlreadyExists),
    ],
)
def test_what_a_refusal_means(code: int, text: str, expected: type) -> None:
    assert type(remote_error(Reply(code, (text,)), action="x")) is expected
