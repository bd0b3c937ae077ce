"""What one server was PROVEN to do; shared by all sessions to it.

FEAT is a hint. A `Proof` changes when a command really worked (YES) or when the server said that
it does not know it (NO); a refusal for one file proves nothing.
"""

from __future__ import annotations

import hashlib
import re
import threading
from enum import Enum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VARYING = re.compile(  # clock times, dates, "You are user number 3 of 50"; not "3.1"
    r"\b\d{1,2}:\d{2}(?::\d{2})?\b"
    r"|\b(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\b"
    r"|(?<!\w)(?<!\d\.)\d+(?!\w|\.\d)",
    re.IGNORECASE,
)
# Found out again by the first login of each run, for nothing: never kept from an earlier one.
LEARNED_AT_LOGIN = frozenset({"feat", "utf8", "pipelining"})


@unique
class Proof(Enum):
    """What is known about one ability."""

    UNKNOWN = "unknown"
    YES = "yes"
    NO = "no"


class ServerProfile:
    """The abilities of one server.

    Locking: `_lock` (a leaf) guards every change that looks before it writes. Single attributes
    may be read and set without it: they are independent of each other. The watcher is called
    under no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.mlsd = Proof.UNKNOWN
        self.mlst = Proof.UNKNOWN
        self.list_all = Proof.UNKNOWN  # LIST -a shows names that LIST hides
        self.epsv = Proof.UNKNOWN
        self.pasv = Proof.UNKNOWN
        self.eprt = Proof.UNKNOWN
        self.rest = Proof.UNKNOWN  # REST before RETR
        self.rest_stor = Proof.UNKNOWN  # REST before STOR keeps what is before the offset
        self.appe = Proof.UNKNOWN
        self.mfmt = Proof.UNKNOWN
        self.mdtm = Proof.UNKNOWN
        self.mdtm_set = Proof.UNKNOWN  # MDTM with a time before the path sets it
        self.size = Proof.UNKNOWN
        self.avbl = Proof.UNKNOWN
        self.checksum = Proof.UNKNOWN  # YES: a digest of octets that we knew was right
        self.checksum_way = ""  # the command that answered: "HASH SHA-256", "XMD5"; '': none yet
        self.rename = Proof.UNKNOWN  # NO: this login may store files but not rename them
        self.rename_over = Proof.UNKNOWN  # RNTO replaces a file that is there
        self.rmd_recursive = Proof.UNKNOWN  # YES: RMD removes a directory with what is in it
        self.ignores_case = Proof.UNKNOWN  # YES: 'A' and 'a' are one name
        self.utf8 = Proof.UNKNOWN
        self.feat = Proof.UNKNOWN
        self.pipelining = Proof.UNKNOWN  # several metadata commands in one write
        self.tls13_data = Proof.UNKNOWN  # data connections resume a TLS 1.3 session
        self.silent_abort = Proof.UNKNOWN  # sends no reply to a transfer that we cut
        self.host_from_pasv: str | None = None  # what PASV named, when not the control host
        self.clock_offset_s: int | None = None  # LIST times minus UTC; None: not measured
        self.features: dict[str, str] = {}
        self.system = ""
        self.banner = ""
        self.sessions_limit: int | None = None  # learned by the engine; None: none met
        self._pipelining_failures = 0
        self._checksum_timeouts = 0
        self._marks: dict[str, str] = {}  # what tells this server from another
        self._passing: set[str] = set()  # abilities that are NO for this run only
        self._watcher: Callable[[], None] | None = None

    def confirm(self, ability: str) -> None:
        """Note that *ability* worked; a NO that another session proved stays."""
        with self._lock:
            changed = getattr(self, ability) is Proof.UNKNOWN
            if changed:
                setattr(self, ability, Proof.YES)
        self._tell(changed=changed)

    def deny(self, ability: str, *, lasting: bool = True) -> None:
        """Note that the server can't do *ability*.

        *lasting* False: it only looked so (no answer in time); the next run tries again.
        """
        with self._lock:
            changed = getattr(self, ability) is not Proof.NO
            setattr(self, ability, Proof.NO)
            if changed and not lasting:
                self._passing.add(ability)
        self._tell(changed=changed)

    def pipelining_broke(self) -> None:
        """Note a flight whose replies did not all come.

        One failure may be the network's: it is proven anew at the next login. The third, or
        one before there was a proof, is the server's.
        """
        with self._lock:
            self._pipelining_failures += 1
            proven = self.pipelining is Proof.YES and self._pipelining_failures < 3
            self.pipelining = Proof.UNKNOWN if proven else Proof.NO

    def checksum_timed_out(self) -> None:
        """Note a digest that never came: once may be the network, the second time is NO."""
        with self._lock:
            self._checksum_timeouts += 1
            given_up = self._checksum_timeouts > 1
        if given_up:
            self.deny("checksum", lasting=False)

    # -- which server it is -----------------------------------------------------------------

    def greeted(self, banner: str) -> None:
        """Note the greeting; another than before: it is another server, nothing is proven."""
        self.banner = banner
        self._recognize("banner", banner, set(self.proofs()))

    def identified(self, system: str) -> None:
        """Note what SYST says; another than before: nothing is proven but by this login."""
        self.system = system
        self._recognize("system", system, set(self.proofs()) - LEARNED_AT_LOGIN)

    def _recognize(self, mark: str, text: str, doubtful: set[str]) -> None:
        plain = " ".join(_VARYING.sub("#", text).split())
        digest = hashlib.sha256(plain.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        before = self._marks.get(mark)
        self._marks[mark] = digest
        if before not in (None, digest):
            self._forget(doubtful)
        self._tell(changed=before != digest)

    def _forget(self, abilities: set[str]) -> None:
        with self._lock:
            for ability in abilities:
                setattr(self, ability, Proof.UNKNOWN)
            self._passing.clear()
            self.checksum_way = ""
            if "feat" in abilities:
                self.features = {}
            self.host_from_pasv = self.clock_offset_s = self.sessions_limit = None
            self._pipelining_failures = self._checksum_timeouts = 0

    # -- kept from one run to the next ------------------------------------------------------

    def proofs(self) -> dict[str, Proof]:
        """Every ability and what is known about it."""
        return {key: value for key, value in vars(self).items() if isinstance(value, Proof)}

    def lasting(self) -> dict[str, Proof]:
        """What the next run may believe."""
        with self._lock:
            passing = self._passing | LEARNED_AT_LOGIN
            return {
                key: proof
                for key, proof in self.proofs().items()
                if proof is not Proof.UNKNOWN and key not in passing
            }

    @property
    def marks(self) -> dict[str, str]:
        """What tells this server from another, as far as it was heard."""
        return dict(self._marks)

    def recall(self, proofs: Mapping[str, Proof], marks: Mapping[str, str], way: str) -> None:
        """Believe what an earlier run proved, until the server turns out to be another one."""
        for ability, proof in proofs.items():
            setattr(self, ability, proof)
        self._marks.update(marks)
        self.checksum_way = way

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call *watcher* after each change, in the thread that learned it."""
        self._watcher = watcher

    def _tell(self, *, changed: bool) -> None:
        if changed and self._watcher is not None:
            self._watcher()

    def snapshot(self) -> dict[str, object]:
        """Everything known, in plain values, for `status` and `doctor`."""
        with self._lock:
            known: dict[str, object] = {}
            for key, value in vars(self).items():
                if not key.startswith("_"):
                    known[key] = value.value if isinstance(value, Proof) else value
            known["features"] = dict(self.features)
            return known
