"""What one server was PROVEN to do; shared by all sessions to it.

FEAT is a hint. A `Proof` changes when a command really worked (YES) or when the server said that
it does not know it (NO); a refusal for one file proves nothing.
"""

from __future__ import annotations

import threading
from enum import Enum, unique


@unique
class Proof(Enum):
    """What is known about one ability."""

    UNKNOWN = "unknown"
    YES = "yes"
    NO = "no"


class ServerProfile:
    """The abilities of one server.

    Locking: `_lock` (a leaf) guards every change that looks before it writes. Single attributes
    may be read and set without it: they are independent of each other.
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

    def confirm(self, ability: str) -> None:
        """Note that *ability* worked; a NO that another session proved stays."""
        with self._lock:
            if getattr(self, ability) is Proof.UNKNOWN:
                setattr(self, ability, Proof.YES)

    def deny(self, ability: str) -> None:
        """Note that the server can't do *ability*."""
        with self._lock:
            setattr(self, ability, Proof.NO)

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
            if self._checksum_timeouts > 1:
                self.checksum = Proof.NO

    def snapshot(self) -> dict[str, object]:
        """Everything known, in plain values, for `status` and `doctor`."""
        with self._lock:
            known: dict[str, object] = {}
            for key, value in vars(self).items():
                if not key.startswith("_"):
                    known[key] = value.value if isinstance(value, Proof) else value
            known["features"] = dict(self.features)
            return known
