"""The server's digest of a file: which command asks for it, and what the reply says.

No standard has it; servers know one or more of HASH, XSHA256, XSHA1, XSHA, XMD5, MD5, XCRC. FEAT
says which, where FEAT is answered. Where it isn't, each is tried once per server: swiftp refuses
FEAT to guests and answers HASH all the same.

A digest is worth nothing before it was right once: `ServerProfile.checksum` becomes YES when
somebody who knows the octets confirms it, and NO when it was wrong (`ServerProfile.deny`).

Source: draft-bryan-ftpext-hash (HASH, OPTS HASH, 213); draft-twine-ftpmd5 (MD5, 251); the X
commands as Serv-U, Cerberus and ProFTPD's mod_digest have them.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from enum import Enum, unique
from typing import TYPE_CHECKING, BinaryIO

from pyftpdrive.base.errors import IsADirectory, NotFound, RemoteTimeout
from pyftpdrive.ftp import evidence
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.session import UNKNOWN_COMMAND, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyftpdrive.base.paths import RemotePath
    from pyftpdrive.ftp.replies import Reply

READ_BYTES = 1 << 20
SLOWEST_BYTES_PER_S = 4 << 20  # a phone reads and digests at least so much
_NOT_FOR_US = (501, 503, 530)  # of a command that was never seen to work: as good as unknown


@unique
class Algorithm(Enum):
    """Digests that we can compute, too; the best first. The value is HASH's name for it."""

    SHA256 = "SHA-256"
    SHA512 = "SHA-512"
    SHA1 = "SHA-1"
    MD5 = "MD5"
    CRC32 = "CRC32"

    @property
    def digits(self) -> int:
        """How many hexadecimal digits it has."""
        return {"SHA-256": 64, "SHA-512": 128, "SHA-1": 40, "MD5": 32, "CRC32": 8}[self.value]


def algorithm_named(text: str) -> Algorithm | None:
    """The algorithm that is called *text*, however it is spelled; None: one that we don't have."""
    plain = text.upper().replace("-", "").replace("_", "")
    return next((a for a in Algorithm if a.value.replace("-", "") == plain), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """A digest of a whole file."""

    algorithm: Algorithm
    digest: str  # hexadecimal, lower case, with leading zeros

    def same_of(self, source: BinaryIO) -> Checksum:
        """The same digest of *source*, from its position to its end."""
        return compute(self.algorithm, source)


def compute(algorithm: Algorithm, source: BinaryIO) -> Checksum:
    """The digest of *source*, from its position to its end, in bounded memory."""
    if algorithm is Algorithm.CRC32:
        crc = 0
        while piece := source.read(READ_BYTES):
            crc = zlib.crc32(piece, crc)
        return Checksum(algorithm=algorithm, digest=f"{crc:08x}")
    name = algorithm.value.replace("-", "").lower()
    digest = hashlib.new(name, usedforsecurity=False)
    while piece := source.read(READ_BYTES):
        digest.update(piece)
    return Checksum(algorithm=algorithm, digest=digest.hexdigest())


# -- what to ask ----------------------------------------------------------------------------------

# Verb and its algorithm; HASH has several. The order of equally good ones is the order here.
_VERBS: tuple[tuple[str, Algorithm | None], ...] = (
    ("HASH", None),
    ("XSHA256", Algorithm.SHA256),
    ("XSHA512", Algorithm.SHA512),
    ("XSHA1", Algorithm.SHA1),
    ("XSHA", Algorithm.SHA1),
    ("XMD5", Algorithm.MD5),
    ("MD5", Algorithm.MD5),
    ("XCRC", Algorithm.CRC32),
)


def ways(features: Mapping[str, str], *, answered: bool) -> list[str]:
    """The commands to try, the best first: "HASH SHA-256" (with its algorithm), "XMD5".

    *features* as `parse_feat` has them; *answered* False: FEAT was refused, nothing is known.
    """
    if not answered:
        return ["HASH", *(verb for verb, algorithm in _VERBS if algorithm is not None)]
    found: list[tuple[Algorithm, str]] = []
    for verb, algorithm in _VERBS:
        if verb not in features:
            continue
        if algorithm is not None:
            found.append((algorithm, verb))
            continue
        for word in features[verb].split(";"):
            offered = algorithm_named(word.strip().rstrip("*"))
            if offered is not None:
                found.append((offered, f"HASH {offered.value}"))
    order = list(Algorithm)
    found.sort(key=lambda pair: order.index(pair[0]))
    return list(dict.fromkeys(way for _, way in found))


def is_way(text: str) -> bool:
    """Whether *text* is a command that `ways` can name: it comes from a file."""
    verb, separator, algorithm = text.partition(" ")
    if separator:
        return verb == "HASH" and algorithm in [a.value for a in Algorithm]
    return verb in dict(_VERBS)


# -- what was answered ----------------------------------------------------------------------------

_HASH = re.compile(r"^ *([A-Za-z][\w-]*) +(\d+)-(\d+) +([0-9A-Fa-f]+)(?: |$)", re.MULTILINE)
_QUOTED = re.compile(r'"[^"]*"')


def parse_checksum(reply: Reply, way: str, path: str) -> Checksum | None:
    """The digest in a positive *reply* to *way*; None: there is none, or it isn't clear which.

    *path* as it was sent: servers repeat it, and a file may be called like a digest.
    """
    verb, _, asked = way.partition(" ")
    text = reply.text
    found = _HASH.search(text)
    if found is not None:
        algorithm = algorithm_named(found[1])
        if algorithm is None or int(found[2]) or len(found[4]) != algorithm.digits:
            return None  # of a part of the file, or something that we can't compute
        return Checksum(algorithm=algorithm, digest=found[4].lower())
    algorithm = algorithm_named(asked) if verb == "HASH" else dict(_VERBS)[verb]
    if algorithm is None:
        return None
    digits = _one_number(_without_path(text, path), algorithm)
    return None if digits is None else Checksum(algorithm=algorithm, digest=digits)


def _without_path(text: str, path: str) -> str:
    lines = text.split("\n")
    for echo in (path, path.lstrip("/"), path.rpartition("/")[2]):
        if echo:
            lines = [
                line.strip().removeprefix(f"{echo} ").removesuffix(f" {echo}") for line in lines
            ]
    return _QUOTED.sub(" ", "\n".join(lines))


def _one_number(text: str, algorithm: Algorithm) -> str | None:
    """The only number of the right length in *text*; None: none or several."""
    words = {word.lower().removeprefix("0x") for word in re.split(r"[\s:=,;()]+", text) if word}
    numbers = [word for word in words if re.fullmatch("[0-9a-f]+", word)]
    exact = [word for word in numbers if len(word) == algorithm.digits]
    if len(exact) == 1:
        return exact[0]
    if algorithm is Algorithm.CRC32 and len(words) == len(numbers) == 1 and len(numbers[0]) < 8:
        return numbers[0].zfill(8)  # leading zeros are not always sent
    return None


# -- asking ---------------------------------------------------------------------------------------


def ask(session: Session, path: RemotePath, size_bytes: int) -> Checksum | None:
    """The server's digest of *path*; None: it does not tell.

    Raises:
        NotFound, IsADirectory: there is no such file.
        RemoteTimeout: no answer in the time that *size_bytes* take; the second time it is NO.
    """
    profile = session.profile
    if profile.checksum is Proof.NO:
        return None
    known = profile.checksum_way
    offered = ways(profile.features, answered=profile.feat is Proof.YES)
    for way in [known] if known else offered:
        reply = _ask_one(session, way, path, size_bytes)
        if reply.code in UNKNOWN_COMMAND or (not known and reply.code in _NOT_FOR_US):
            continue  # to the next way; after the last one it is NO
        if not reply.is_positive:
            _raise_if_no_file(session, path, reply)
            return None
        sent = session.codec.decode(session.wire(path))
        checksum = parse_checksum(reply, way, sent)
        if checksum is not None:
            profile.checksum_way = way
        if checksum is not None or known:
            return checksum
    profile.deny("checksum")
    return None


def _raise_if_no_file(session: Session, path: RemotePath, reply: Reply) -> None:
    """The command is known and was refused: is it the file's fault?"""
    refusal = evidence.why_not_read(session, path, reply)
    if isinstance(refusal, (NotFound, IsADirectory)):
        raise refusal


def _ask_one(session: Session, way: str, path: RemotePath, size_bytes: int) -> Reply:
    verb, _, algorithm = way.partition(" ")
    if algorithm and session.digest_chosen != algorithm:
        session.command("OPTS", f"HASH {algorithm}".encode("ascii"))
        session.digest_chosen = algorithm  # refused or not: HASH names what it did
    wire = session.wire(path)
    if verb.startswith("X") and b" " in wire and b'"' not in wire:
        wire = b'"' + wire + b'"'  # offsets may follow: mod_digest and Serv-U want quotes
    timeout_s = session.options.timeout_s + size_bytes / SLOWEST_BYTES_PER_S
    try:
        return session.channel.command(verb, wire, timeout_s=timeout_s)
    except RemoteTimeout:
        session.profile.checksum_timed_out()
        raise
