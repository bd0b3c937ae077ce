"""An FTP server for tests: in-process or as a program, with faults, profiles and a ledger."""

from simulators.ftp_server.faults import KINDS, Fault, FaultError
from simulators.ftp_server.ledger import Ledger, LedgerEntry
from simulators.ftp_server.profiles import PROFILES, Profile
from simulators.ftp_server.simulator import FtpSimulator

__all__ = [
    "KINDS",
    "PROFILES",
    "Fault",
    "FaultError",
    "FtpSimulator",
    "Ledger",
    "LedgerEntry",
    "Profile",
]
