"""The checks that only look."""

from __future__ import annotations

import statistics

from pyftpdrive.base.errors import LoginRefused, PyftpdriveError, TooManySessions
from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import ROOT, join
from pyftpdrive.doctor.examination import Examination
from pyftpdrive.doctor.findings import Fact, Finding, Verdict, plain
from pyftpdrive.ftp import probes
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.ftp.session import TlsMode

NOOPS = 5
SLOW_MS = 150
ALMOST_FULL_BYTES = 100 * 10**6
READ_BYTES_MAX = 1 << 20
SHOWN = 3


def finding(check: str, verdict: Verdict, seen: str, remedy: str = "", /, **facts: Fact) -> Finding:
    """A finding, its text made harmless."""
    return Finding(check=check, verdict=verdict, seen=plain(seen), remedy=remedy, facts=facts)


def milliseconds(seconds: float) -> float:
    """For people and programs: one place behind the point."""
    return round(seconds * 1000, 1)


def reachable(exam: Examination) -> Finding:
    """Name, connection, greeting, and whether TLS is offered."""
    door = probes.knock(exam.client_options, exam.clock, exam.watch.also)
    exam.offers_tls = door.offers_tls
    return finding(
        "reachable",
        Verdict.GOOD,
        f"connected in {milliseconds(door.connect_s):g} ms, "
        f"greeting after {milliseconds(door.greeting_s):g} ms",
        resolve_ms=milliseconds(door.resolve_s),
        connect_ms=milliseconds(door.connect_s),
        greeting_ms=milliseconds(door.greeting_s),
    )


def login(exam: Examination) -> Finding:
    """Who we are there."""
    who = exam.client_options.username or "anonymous"
    return finding("login", Verdict.GOOD, f"logged in as {who}", username=who)


def server(exam: Examination) -> Finding:
    """What it calls itself."""
    profile = exam.profile
    features = sorted(profile.features)
    told = f"{len(features)} features" if profile.feat is Proof.YES else "no features told"
    banner, system = exam.said(profile.banner), exam.said(profile.system)
    said = f"{banner} ({system or 'no SYST'}; {told})"
    return finding(
        "server",
        Verdict.GOOD,
        said,
        banner=banner,
        system=system,
        features=[exam.said(name) for name in features],
    )


def tls(exam: Examination) -> Finding:
    """Whether others on the network can read along."""
    options = exam.client_options
    if options.tls is not TlsMode.NONE:
        if options.tls_verify:
            return finding("tls", Verdict.GOOD, "protected, certificate verified", used=True)
        return finding(
            "tls",
            Verdict.NOTICE,
            "protected, but anybody could be the server: its certificate is not verified",
            "Give --tls-ca-file with the server's certificate instead of --no-tls-verify.",
            used=True,
            verified=False,
        )
    if exam.offers_tls:
        return finding(
            "tls",
            Verdict.NOTICE,
            "not used, although the server offers it: password and files can be read on the way",
            "Use --tls explicit.",
            used=False,
            offered=True,
        )
    return finding(
        "tls",
        Verdict.NOTICE,
        "the server has none: password and files can be read by others on the network",
        "Use it in networks that you trust only.",
        used=False,
        offered=exam.offers_tls,
    )


def round_trip(exam: Examination) -> Finding:
    """How long a question takes."""
    times: list[float] = []
    for _ in range(NOOPS):
        began = exam.clock.monotonic()
        exam.client.noop()
        times.append(exam.clock.monotonic() - began)
    median, worst = milliseconds(statistics.median(times)), milliseconds(max(times))
    slow = median > SLOW_MS
    return finding(
        "round_trip",
        Verdict.NOTICE if slow else Verdict.GOOD,
        f"{median:g} ms (median of {NOOPS}; the slowest {worst:g} ms)",
        "Go nearer to the access point, or switch off the phone's Wi-Fi power saving."
        if slow
        else "",
        median_ms=median,
        slowest_ms=worst,
    )


def sessions(exam: Examination) -> Finding:
    """How many sessions the server lets us have; they are given back."""
    if exam.options.drives:
        drives = ", ".join(exam.options.drives)
        return finding(
            "sessions", Verdict.UNKNOWN, f"not tried while {drives} is mounted from this server"
        )
    most, said = exam.options.sessions_max, ""
    others: list[FtpClient] = []
    try:
        while len(others) + 1 < most:
            other = exam.new_client()
            others.append(other)
            other.connect()
    except (TooManySessions, LoginRefused) as error:
        others.pop()
        said = exam.said(error)
    finally:
        for other in others:
            other.disconnect()
    count = len(others) + 1
    if not said:
        return finding("sessions", Verdict.GOOD, f"{count} at a time, or more", at_least=count)
    exam.profile.sessions_limit = count
    if count > 1:
        return finding("sessions", Verdict.GOOD, f"{count} at a time ({said})", limit=count)
    return finding(
        "sessions",
        Verdict.NOTICE,
        f"one at a time ({said}): the drive shares it, other FTP programs must wait",
        "Allow more sessions in the server app, if it can.",
        limit=1,
    )


def listing(exam: Examination) -> Finding:
    """Which command lists, and whether all of it was understood."""
    found = exam.client.list_dir(ROOT)
    profile = exam.profile
    how = "MLSD" if profile.mlsd is Proof.YES else _list_words(exam)
    exam.root = found
    facts: dict[str, Fact] = {"command": how, "entries": len(found.entries)}
    if found.unparsed or found.refused:
        samples = [exam.said(line) for line in (*found.unparsed[:SHOWN], *found.refused[:SHOWN])]
        count = len(found.unparsed) + len(found.refused)
        return finding(
            "listing",
            Verdict.BAD,
            f"{how}; {count} line(s) not understood or not usable: {' | '.join(samples)}",
            "Please report these lines; the files behind them are missing in the drive.",
            **facts,
            not_understood=samples,
        )
    return finding("listing", Verdict.GOOD, f"{how}, {len(found.entries)} entries", **facts)


def _list_words(exam: Examination) -> str:
    flag = " -a" if exam.profile.list_all is Proof.YES else ""
    try:
        dialect = probes.list_dialect(exam.client)
    except PyftpdriveError:
        dialect = ""
    return f"LIST{flag} ({dialect})" if dialect else f"LIST{flag}"


def times(exam: Examination) -> Finding:
    """Whether times are exact, and how far the server's clock is off."""
    profile = exam.profile
    if exam.scratch is not None:
        exam.client.list_dir(exam.scratch.path)  # there is a file in it
    offset_s = profile.clock_offset_s
    if profile.mlsd is Proof.YES:
        seen, exact = "exact, in UTC (MLSD)", True
    elif profile.mdtm is Proof.YES:
        seen, exact = "exact, in UTC (MDTM)", True
        if offset_s is not None:
            seen += f"; its listings are {offset_s / 3600:+g} h from UTC"
    elif profile.mdtm is Proof.NO:
        seen, exact = "to the minute, in the server's own time zone, which it does not tell", False
    else:
        return finding("times", Verdict.UNKNOWN, "there is no file to look at")
    return finding(
        "times",
        Verdict.GOOD if exact else Verdict.NOTICE,
        seen,
        "" if exact else "Times of files may be some hours wrong.",
        exact=exact,
        list_offset_s=offset_s,
    )


def data_connections(exam: Examination) -> Finding:
    """Which way data comes, and where the server thinks that it is."""
    profile = exam.profile
    if not exam.client_options.passive:
        active = "EPRT" if profile.eprt is not Proof.NO else "PORT"
        return finding("data", Verdict.GOOD, f"active mode ({active})", mode=active)
    announced = profile.pasv is not Proof.YES
    if announced:
        exam.anew()  # some servers answer no PASV after EPSV
        named = probes.announced_by_pasv(exam.client)
        exam.anew()
        if named is not None and named[0] != named[1]:
            profile.host_from_pasv = named[0]
    mode = "EPSV" if profile.epsv is Proof.YES else "PASV"
    if profile.host_from_pasv is not None:
        return finding(
            "data",
            Verdict.NOTICE,
            f"{mode} works; PASV names another host ({profile.host_from_pasv}), which is not used",
            "Nothing for this drive. For other FTP programs: set the server's passive address.",
            mode=mode,
            named_host=profile.host_from_pasv,
        )
    return finding("data", Verdict.GOOD, f"passive mode ({mode})", mode=mode)


def reading_of_theirs(exam: Examination) -> Finding:
    """A file of the server's, whole and from its middle; nothing is written."""
    smallest = sorted(
        (entry.size_bytes, entry.name)
        for entry in (exam.root.entries if exam.root else ())
        if entry.kind is Kind.FILE and entry.size_bytes and entry.size_bytes > 1
    )
    if not smallest or smallest[0][0] > READ_BYTES_MAX:
        return finding("reading", Verdict.UNKNOWN, "there is no small file to read")
    size, name = smallest[0]
    path = join(ROOT, name)
    whole = exam.client.read_file(path, 0, size)
    return reading_from_offset(exam, whole, exam.client.read_file(path, size // 2, size), size // 2)


def reading_from_offset(exam: Examination, whole: bytes, part: bytes, offset_bytes: int) -> Finding:
    """What *part*, read from *offset_bytes* of a file that is *whole*, says about REST."""
    if part != whole[offset_bytes:]:
        exam.profile.deny("rest")
        return finding(
            "reading",
            Verdict.NOTICE,
            "reading from an offset (REST) gives wrong bytes; the drive reads from the start",
            "Large files open slowly: copy them to the disk to work with them.",
            rest=False,
        )
    if exam.profile.rest is Proof.NO:
        return finding(
            "reading",
            Verdict.NOTICE,
            "the server can't read from an offset (no REST); the drive reads from the start",
            "Large files open slowly: copy them to the disk to work with them.",
            rest=False,
        )
    return finding("reading", Verdict.GOOD, "whole files and from an offset (REST)", rest=True)


def free_space(exam: Examination) -> Finding:
    """What AVBL tells."""
    free = exam.client.available_bytes(ROOT)
    if free is None:
        return finding("free_space", Verdict.GOOD, "the server does not tell", bytes=None)
    full = free < ALMOST_FULL_BYTES
    return finding(
        "free_space",
        Verdict.NOTICE if full else Verdict.GOOD,
        f"{free / 10**6:,.0f} MB",
        "The server is almost full: make room." if full else "",
        bytes=free,
    )
