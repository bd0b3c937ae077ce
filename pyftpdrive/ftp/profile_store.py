"""What a server was proven to do, kept from one run to the next: one small JSON file a server.

    {"format": 1, "server": "user@host:2121/", "marks": {"banner": "…", "system": "…"},
     "proofs": {"mlsd": {"proof": "yes", "at": 1795230000}, …}}

- It is a belief: greeting or SYST that differ from `marks` (digests of them) end it.
- A YES stays. A NO is forgotten after `RETRY_DAYS`: an update of the app may have brought it.
- Not kept, because each run learns it for nothing: FEAT, encoding, pipelining, how many sessions
  are allowed, the clock offset. Nor is a NO that was only an answer that didn't come in time.
- Runs at the same time (two mounts, `doctor`) share the file: what was learned last counts.
- A file that is damaged, foreign or too large is ignored. Nothing in it is sent to the server but
  the name of a digest command, which must be one that this program knows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

from pyftpdrive.base.clock import Clock
from pyftpdrive.ftp.checksums import is_way
from pyftpdrive.ftp.profile import LEARNED_AT_LOGIN, Proof, ServerProfile

log = logging.getLogger(__name__)

FORMAT = 1
PROFILES_NAME = "profiles"  # the directory, in the one where files wait for their upload
FILE_BYTES_MAX = 64 * 1024
RETRY_DAYS = 7
_DAY_S = 86400
_NO_PROFILE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_MARK = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class _Belief:
    proof: Proof
    at: int  # seconds since 1970
    way: str = ""  # of `checksum`: the command

    def as_json(self) -> dict[str, object]:
        plain: dict[str, object] = {"proof": self.proof.value, "at": self.at}
        return {**plain, "way": self.way} if self.way else plain


@dataclass(slots=True)
class _Kept:
    """A file's content."""

    marks: dict[str, str] = field(default_factory=dict)
    beliefs: dict[str, _Belief] = field(default_factory=dict)


class ProfileStore:
    """The file of one server.

    Locking: `_lock` (a leaf) keeps the writes of this process in order; the file is read and
    written under it.
    """

    def __init__(
        self, directory: Path, identity: str, profile: ServerProfile, clock: Clock
    ) -> None:
        name = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self.file = directory / f"{name}.json"
        self._identity = identity
        self._profile = profile
        self._clock = clock
        self._lock = threading.Lock()
        self._recalled: dict[str, _Belief] = {}  # what this run did not learn by itself
        self._marks: dict[str, str] = {}
        self._complained = False

    def open(self) -> None:
        """Tell the profile what earlier runs learned, and write down from now on what it learns.

        Never fails: without the file everything is learned anew.
        """
        with self._lock:
            kept = self._read()
            now = self._now()
            self._recalled = {
                ability: belief
                for ability, belief in kept.beliefs.items()
                if belief.proof is Proof.YES or 0 <= now - belief.at < RETRY_DAYS * _DAY_S
            }
            way = next((belief.way for belief in self._recalled.values() if belief.way), "")
            proofs = {ability: belief.proof for ability, belief in self._recalled.items()}
            self._profile.recall(proofs, kept.marks, way)
            self._marks = self._profile.marks
        self.keep()

    def keep(self) -> None:
        """Write down what the profile learns from now on, beside what earlier runs learned."""
        self._profile.watch(self.save)

    def save(self) -> None:
        """Write what changed. Never fails: it is only a shortcut for the next run."""
        with self._lock:
            kept = self._read()
            marks = self._profile.marks
            if _differ(kept.marks, marks):
                kept.beliefs.clear()  # they were another server's
            if _differ(self._marks, marks):
                self._recalled.clear()
            self._marks = marks
            marks = {**kept.marks, **marks}
            beliefs = self._merged(kept.beliefs)
            if beliefs != kept.beliefs or marks != kept.marks:
                self._write(_Kept(marks, beliefs))

    def _merged(self, others: dict[str, _Belief]) -> dict[str, _Belief]:
        """What this run learned, and of the rest what the file has."""
        merged = dict(others)
        for ability, proof in self._profile.lasting().items():
            recalled = self._recalled.get(ability)
            if recalled is not None and recalled.proof is proof:
                continue
            way = self._profile.checksum_way if ability == "checksum" else ""
            belief = _Belief(proof, self._now(), way if proof is Proof.YES else "")
            merged[ability] = self._recalled[ability] = belief
        return merged

    def _now(self) -> int:
        return self._clock.now_ns() // 10**9

    # -- the file ---------------------------------------------------------------------------

    def _read(self) -> _Kept:
        try:
            with self.file.open("rb") as stream:
                raw = stream.read(FILE_BYTES_MAX + 1)
            if len(raw) > FILE_BYTES_MAX:
                raise ValueError("too large")
            return _understood(json.loads(raw), self._identity)
        except OSError:
            return _Kept()  # there is none, as a rule
        except _NO_PROFILE as error:
            if not self._complained:
                log.warning("the server profile %s is not used: %s", self.file, error)
            self._complained = True
            return _Kept()

    def _write(self, kept: _Kept) -> None:
        content = {
            "format": FORMAT,
            "server": self._identity,
            "marks": kept.marks,
            "proofs": {name: belief.as_json() for name, belief in sorted(kept.beliefs.items())},
        }
        fresh = self.file.with_suffix(f".{os.getpid()}.new")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="ascii") as stream:
                json.dump(content, stream, indent=1)
            os.replace(fresh, self.file)
        except OSError as error:
            log.info("the server profile can't be kept: %s", error)
            with contextlib.suppress(OSError):
                fresh.unlink()


def _differ(before: dict[str, str], now: dict[str, str]) -> bool:
    return any(before.get(mark, text) != text for mark, text in now.items())


def _understood(content: dict[str, object], identity: str) -> _Kept:
    """The values of a file, each checked.

    Raises:
        One of _NO_PROFILE: it is no profile of this server.
    """
    if content["format"] != FORMAT:
        raise ValueError(f"format {str(content['format'])[:20]}")
    if content["server"] != identity:
        raise ValueError("it is another server's")
    known = ServerProfile().proofs().keys() - LEARNED_AT_LOGIN
    marks, proofs = content["marks"], content["proofs"]
    if not isinstance(marks, dict) or not isinstance(proofs, dict):
        raise TypeError("not a profile")
    kept = _Kept()
    for mark, text in marks.items():
        if mark not in ("banner", "system") or not _MARK.fullmatch(text):
            raise ValueError("marks that don't fit")
        kept.marks[mark] = text
    for ability, row in proofs.items():
        if ability not in known:
            continue  # of another version of this program
        belief = _Belief(Proof(row["proof"]), int(row["at"]), str(row.get("way", "")))
        if belief.proof is Proof.UNKNOWN or (belief.way and not is_way(belief.way)):
            raise ValueError(f"{ability}: not a value for it")
        kept.beliefs[ability] = belief
    return kept
