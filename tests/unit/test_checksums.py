"""Digests: which command is asked, what replies say, and the same over local octets."""

from __future__ import annotations

import io

import pytest

from pyftpdrive.ftp.checksums import Algorithm, Checksum, compute, parse_checksum, ways
from pyftpdrive.ftp.replies import Reply

CONTENT = b"hello"
MD5 = "5d41402abc4b2a76b9719d911017c592"
SHA1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
CRC = "3610a686"
OTHER = "0" * 31 + "1"


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({}, []),
        ({"SIZE": "", "MDTM": ""}, []),
        ({"HASH": "MD5*;SHA-1;SHA-256"}, ["HASH SHA-256", "HASH SHA-1", "HASH MD5"]),
        ({"HASH": "CRC32;MD5;SHA-1*;SHA-512;"}, ["HASH SHA-512", "HASH SHA-1", "HASH MD5",
                                                 "HASH CRC32"]),
        ({"HASH": "SHA1*; sha256"}, ["HASH SHA-256", "HASH SHA-1"]),
        ({"HASH": "WHIRLPOOL*"}, []),
        ({"XMD5": "", "XCRC": '"filename" SP EP', "XSHA256": ""}, ["XSHA256", "XMD5", "XCRC"]),
        ({"MD5": "", "HASH": "CRC32", "MMD5": ""}, ["MD5", "HASH CRC32"]),
        ({"XMD5": "", "HASH": "MD5"}, ["HASH MD5", "XMD5"]),
    ],
)  # fmt: skip
def test_the_best_digest_is_asked_first(features: dict[str, str], expected: list[str]) -> None:
    assert ways(features, answered=True) == expected


def test_without_feat_each_command_is_tried() -> None:
    assert ways({}, answered=False) == [
        "HASH", "XSHA256", "XSHA512", "XSHA1", "XSHA", "XMD5", "MD5", "XCRC",
    ]  # fmt: skip


TABLE = [
    # way, path, lines, algorithm and digest; None: not clear
    ("HASH SHA-256", "/a b", (f"SHA-256 0-5 {SHA256} a b",), (Algorithm.SHA256, SHA256)),
    ("HASH SHA-256", "/a b", ("Computing SHA-256 digest", f"SHA-256 0-5 {SHA256.upper()} /a b"),
     (Algorithm.SHA256, SHA256)),
    ("HASH SHA-256", "/f", (f"MD5 0-5 {MD5} f",), (Algorithm.MD5, MD5)),
    ("HASH", "/f", (f"SHA1 0-5 {SHA1} /f",), (Algorithm.SHA1, SHA1)),
    ("HASH MD5", "/f", (f"MD5 0-5 {MD5}",), (Algorithm.MD5, MD5)),
    ("HASH MD5", "/f", (MD5,), (Algorithm.MD5, MD5)),
    ("HASH", "/f", (MD5,), None),
    ("HASH MD5", "/f", (f"MD5 3-5 {MD5} f",), None),
    ("HASH MD5", "/f", (f"MD5 0-5 {MD5[:-1]} f",), None),
    ("HASH MD5", "/f", (f"WHIRLPOOL 0-5 {MD5} f",), None),
    ("XMD5", "/f", (MD5.upper(),), (Algorithm.MD5, MD5)),
    ("XMD5", "/f", ("Computing MD5 digest", MD5.upper()), (Algorithm.MD5, MD5)),
    ("XMD5", "/f", (f'"/f" {MD5}',), (Algorithm.MD5, MD5)),
    ("XMD5", "/f", (f"XMD5={MD5}",), (Algorithm.MD5, MD5)),
    ("XMD5", "/f", (f"The MD5 is: {MD5} (done)",), (Algorithm.MD5, MD5)),
    ("XMD5", "/f", (f"{MD5} {OTHER}",), None),
    ("XMD5", "/f", ("ok",), None),
    ("XMD5", "/f", ("",), None),
    ("XSHA", "/f", (f"0x{SHA1}",), (Algorithm.SHA1, SHA1)),
    ("XSHA1", "/f", (SHA1,), (Algorithm.SHA1, SHA1)),
    ("XSHA256", "/f", (SHA256,), (Algorithm.SHA256, SHA256)),
    ("MD5", "/d/f", (f"/d/f {MD5.upper()}",), (Algorithm.MD5, MD5)),
    ("MD5", "/d/f", (f"f {MD5.upper()}",), (Algorithm.MD5, MD5)),
    ("MD5", "/f", ("Computing MD5 digest", f"/f {MD5.upper()}"), (Algorithm.MD5, MD5)),
    # a file that is called like a digest
    ("MD5", f"/{OTHER}", (f"/{OTHER} {MD5}",), (Algorithm.MD5, MD5)),
    ("MD5", f"/{OTHER}", (f"{OTHER} {MD5}",), (Algorithm.MD5, MD5)),
    ("XMD5", f"/{OTHER}", (f"{MD5} {OTHER}",), (Algorithm.MD5, MD5)),
    ("HASH MD5", f"/{OTHER}", (f"MD5 0-5 {MD5} {OTHER}",), (Algorithm.MD5, MD5)),
    ("XCRC", "/f", (CRC.upper(),), (Algorithm.CRC32, CRC)),
    ("XCRC", "/f", ("A686",), (Algorithm.CRC32, "0000a686")),
    ("XCRC", "/f", ("Computing CRC32 digest", CRC), (Algorithm.CRC32, CRC)),
    ("XCRC", "/f", ("done 12",), None),
    ("XCRC", "/f", ("12 34",), None),
]  # fmt: skip


@pytest.mark.parametrize(("way", "path", "lines", "expected"), TABLE)
def test_what_a_reply_says(
    way: str, path: str, lines: tuple[str, ...], expected: tuple[Algorithm, str] | None
) -> None:
    found = parse_checksum(Reply(213, lines), way, path)

    assert (None if found is None else (found.algorithm, found.digest)) == expected


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        (Algorithm.MD5, MD5),
        (Algorithm.SHA1, SHA1),
        (Algorithm.SHA256, SHA256),
        (Algorithm.CRC32, CRC),
    ],
)
def test_local_octets_have_the_same_digest(algorithm: Algorithm, digest: str) -> None:
    source = io.BytesIO(b"..." + CONTENT)
    source.seek(3)

    assert compute(algorithm, source) == Checksum(algorithm=algorithm, digest=digest)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_digests_have_the_length_that_replies_are_searched_for(algorithm: Algorithm) -> None:
    assert len(compute(algorithm, io.BytesIO(b"")).digest) == algorithm.digits
