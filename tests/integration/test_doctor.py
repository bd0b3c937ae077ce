"""`doctor` on every server we have, on servers that lie, break and stop, and after crashes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyftpdrive.base.clock import SystemClock
from pyftpdrive.base.errors import (
    LoginRefused,
    NotAnFtpServer,
    ProtocolViolation,
    RemoteTimeout,
    RemoteUnavailable,
    TooManySessions,
)
from pyftpdrive.base.secret import Secret
from pyftpdrive.doctor import examination
from pyftpdrive.doctor.checks import CHECKS, examine
from pyftpdrive.doctor.examination import DoctorOptions
from pyftpdrive.doctor.findings import Verdict
from pyftpdrive.ftp.ftp_client import ClientOptions, TlsMode
from pyftpdrive.ftp.profile import Proof, ServerProfile
from simulators.ftp_server import PROFILES, Fault, FtpSimulator
from tests.helpers import real_servers
from tests.helpers.doctor import HOUR_S, TLS, USER, look, options, seen, verdicts
from tests.helpers.drives import started_drive
from tests.helpers.ftp import connected
from tests.helpers.real_servers import RealServer

pytestmark = pytest.mark.integration
SCRATCH = "/.pyftpdrive-*.doctor"


@pytest.fixture
def server() -> Iterator[FtpSimulator]:
    with FtpSimulator("nas", users={"user": "password"}) as simulator:
        yield simulator


# -- what good servers are like -----------------------------------------------------------------

NO_PLACE = dict.fromkeys([check.name for check in CHECKS if check.writes], "unknown")
EXPECTED: dict[str, dict[str, str]] = {
    "vsftpd": TLS,
    "proftpd": TLS | {"resuming": "notice"},
    "pureftpd": TLS | {"names": "notice"},
    "filezilla": TLS | {"case": "notice"},
    "iis": TLS | {"setting_times": "notice", "renaming_over": "notice", "case": "notice"},
    "swiftp": TLS | {"names": "notice", "removing_directories": "notice"},
    "swiftp guest": TLS | NO_PLACE | {"sessions": "notice", "writing": "bad", "reading": "notice"},
    "mina": TLS | {"renaming_over": "notice"},
    "nas": TLS,
    "camera": TLS
    | {
        "sessions": "notice",
        "reading": "notice",
        "times": "notice",
        "clock": "unknown",
        "setting_times": "notice",
        "resuming": "notice",
        "renaming_over": "notice",
        "case": "notice",
    },
}
CHECKSUMS = {"swiftp": "HASH SHA-256", "mina": "MD5"}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_profile_has_its_verdicts(name: str) -> None:
    profile, _, guest = name.partition(" ")
    with FtpSimulator(profile, users={"user": "password"}) as server:
        server.put("/letter.txt", b"dear " * 500)
        before = server.tree()

        report = look(server, client={"username": "", "password": Secret("")} if guest else {})

        assert verdicts(report) == EXPECTED[name]
        assert [found.check for found in report.findings] == [check.name for check in CHECKS]
        assert server.tree() == before
        most = PROFILES[profile].sessions_max or 8
        assert server.sessions_peak <= most
        if not guest:
            checksum = report.finding("checksum")
            assert checksum is not None
            assert checksum.facts["command"] == CHECKSUMS.get(name, "")


def test_every_profile_is_in_the_table() -> None:
    assert {name.partition(" ")[0] for name in EXPECTED} == set(PROFILES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("vsftpd", TLS), ("proftpd", TLS), ("pureftpd", TLS | {"names": "notice"})],
)
def test_real_servers_have_their_verdicts(name: str, expected: dict[str, str]) -> None:
    reason = real_servers.available(name)
    if reason is not None:
        pytest.skip(reason)
    with RealServer.start(name) as server:
        (server.root / "letter.txt").write_bytes(b"dear " * 500)

        report = look(server)

        assert verdicts(report) == expected
        assert [path.name for path in server.root.iterdir()] == ["letter.txt"]
        if name == "proftpd":
            assert seen(report, "checksum")[1].startswith("HASH SHA-256 is right")


def test_what_is_learned_is_in_the_profile(server: FtpSimulator) -> None:
    profile = ServerProfile()

    examine(options(server), profile, SystemClock())

    for ability in ("mlsd", "rest", "rest_stor", "appe", "mfmt", "rename", "rename_over", "avbl"):
        assert getattr(profile, ability) is Proof.YES, ability
    for ability in ("rmd_recursive", "ignores_case", "checksum"):
        assert getattr(profile, ability) is Proof.NO, ability


def test_tls_is_looked_at() -> None:
    with FtpSimulator("vsftpd", users={"user": "password"}, tls="explicit") as server:
        offered = look(server)
        unverified = look(server, client={"tls": TlsMode.EXPLICIT, "tls_verify": False})
        trusted = look(server, client={"tls": TlsMode.EXPLICIT, "tls_ca_file": str(server.ca_file)})
        untrusted = look(server, client={"tls": TlsMode.EXPLICIT})

    assert seen(offered, "tls")[1].startswith("not used, although the server offers it")
    assert seen(unverified, "tls")[0] is Verdict.NOTICE
    assert seen(trusted, "tls") == (Verdict.GOOD, "protected, certificate verified")
    assert verdicts(trusted) == {}
    assert verdicts(untrusted) == {"login": "bad"}


# -- servers that are not what they say ---------------------------------------------------------


def lie(on: str, **where: Any) -> Fault:
    return Fault(fault="lie", on=on, nth=0, **where)


@pytest.mark.parametrize(
    ("fault", "check", "verdict", "words", "ability"),
    [
        (lie("RNTO"), "renaming", "bad", "says that it renamed, and it did not", "rename"),
        (lie("RNTO"), "renaming_over", "notice", "says that it did, and it did not", "rename_over"),
        (Fault(fault="rename_aside", on="RNTO"), "renaming_over", "notice", "'name (1)'",
         "rename_over"),
        (Fault(fault="reply", on="RNTO", nth=0, code=550, text="No renaming."), "renaming",
         "notice", "refused (No renaming.)", "rename"),
        (Fault(fault="reply", on="RNTO", nth=2, code=553, text="Busy.", when="after"),
         "renaming_over", "notice", "refused, and done a moment later", "rename_over"),
        (lie("APPE"), "resuming", "notice", "APPE said yes and spoiled the file", "appe"),
        (Fault(fault="lie", on="STOR", nth=2, path=f"{SCRATCH}/resume.bin"), "resuming", "notice",
         "REST with STOR said yes and spoiled the file", "rest_stor"),
        (Fault(fault="offset_ignored", on="STOR|APPE"), "resuming", "notice",
         "APPE and REST with STOR said yes and spoiled the file", "rest_stor"),
        (Fault(fault="refuse", on="APPE"), "resuming", "good", "REST with STOR keep", "appe"),
        (lie("STOR", path=f"{SCRATCH}/probe.bin"), "storing", "unknown", "could not be found out",
         None),
        (Fault(fault="corrupt", on="RETR", after_bytes=3), "storing", "bad", "came back different",
         None),
        (Fault(fault="quota", limit_bytes=10), "storing", "bad", "no file stored", None),
        (lie("DELE"), "deleting", "bad", "says that it deleted, and it did not", None),
        (Fault(fault="reply", on="DELE", nth=0, code=550, text="Permission denied."), "deleting",
         "bad", "refused", None),
        (lie("MFMT"), "setting_times", "notice", "says that it set the time", "mfmt"),
        (lie("RMD", path=f"{SCRATCH}/full"), "removing_directories", "notice",
         "says that it removed a full directory", "rmd_recursive"),
        (Fault(fault="reply", on="REST", nth=0, code=350, text="Restarting."), "reading", "notice",
         "gives wrong bytes", "rest"),
        (Fault(fault="read_only"), "writing", "bad", "this login is read-only", None),
        (Fault(fault="pasv_host", on="PASV", host="10.9.8.7", nth=0), "data", "notice", "10.9.8.7",
         None),
        (Fault(fault="dead_port", on="EPSV", nth=0), "data", "good", "passive mode (PASV)", "epsv"),
        (Fault(fault="limit", on="LOGIN", limit=2), "sessions", "good", "2 at a time", None),
        (Fault(fault="limit", on="LOGIN", limit=0), "login", "bad", "no more sessions", None),
        (Fault(fault="listing", on="MLSD", nth=0, lines=("gibberish",)), "listing", "bad",
         "1 line(s) not understood", None),
        (Fault(fault="listing", on="MLSD", nth=0, path=SCRATCH, replace=True,
               lines=("type=file;size=1; name-???",)), "names", "bad", "came back as", None),
        (Fault(fault="latency", on="NOOP", seconds=0.2), "round_trip", "notice", "ms (median",
         None),
        (Fault(fault="swallow_reply", on="AVBL"), "free_space", "unknown", "could not be found out",
         None),
        (Fault(fault="reset", on="RNFR", channel="control"), "renaming", "unknown",
         "could not be found out", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    server: FtpSimulator,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    check: str,
    verdict: str,
    words: str,
    ability: str | None,
) -> None:
    monkeypatch.setattr(examination, "LATE_TRIES", 2)
    server.inject(fault)
    profile = ServerProfile()

    report = examine(options(server, client={"timeout_s": 1.0}), profile, SystemClock())

    assert seen(report, check)[0].value == verdict, seen(report, check)
    assert words in seen(report, check)[1]
    if ability is not None:
        assert getattr(profile, ability) is Proof.NO
    cleaned = [path for path in server.tree() if "doctor" in path]
    assert not cleaned or report.finding("cleaning") is not None
    if verdict == "bad":
        assert report.verdict is Verdict.BAD
        found = report.finding(check)
        assert found is not None
        assert found.remedy


def test_a_wrong_digest_is_not_believed() -> None:
    wrong = Fault(fault="reply", on="MD5", nth=0, code=251, text=f"x {'0' * 32}")
    with FtpSimulator("mina", users={"user": "password"}, faults=[wrong]) as server:
        profile = ServerProfile()

        report = examine(options(server), profile, SystemClock())

        assert seen(report, "checksum")[1].startswith("MD5 gives wrong digests")
        assert profile.checksum is Proof.NO


@pytest.mark.parametrize(("shift_s", "word"), [(HOUR_S, "behind"), (-HOUR_S, "ahead")])
def test_a_clock_that_is_wrong_is_seen(server: FtpSimulator, shift_s: int, word: str) -> None:
    verdict, words = seen(look(server, shift_s=shift_s), "clock")

    assert verdict is Verdict.NOTICE
    assert words == f"the server's clock is 60 minutes {word}"


def test_listings_in_local_time_are_measured() -> None:
    with FtpSimulator("vsftpd", users={"user": "password"}, utc_offset_s=-5 * HOUR_S) as server:
        report = look(server)

    assert seen(report, "times")[1] == "exact, in UTC (MDTM); its listings are -5 h from UTC"


# -- without writing ------------------------------------------------------------------------------

WRITES = ("STOR", "APPE", "MKD", "RMD", "DELE", "RNFR", "RNTO", "MFMT")


def test_read_only_writes_nothing_and_says_so(server: FtpSimulator) -> None:
    server.put("/letter.txt", b"dear " * 500)

    report = look(server, read_only=True)

    assert server.ledger.commands(*WRITES) == []
    assert verdicts(report) == TLS | NO_PLACE | {"writing": "unknown"}
    assert "--read-only" in seen(report, "names")[1]
    assert seen(report, "reading")[1] == "whole files and from an offset (REST)"
    assert report.verdict is Verdict.NOTICE


# -- one connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["camera", "swiftp"])
def test_a_mount_that_holds_the_only_session_is_named(profile: str, tmp_path: Path) -> None:
    with (
        FtpSimulator(profile, sessions_max=1) as server,
        started_drive(server, tmp_path),
    ):
        guest = {"username": "", "password": Secret("")}
        report = look(server, client=guest, drives=("/mnt/phone",))

        assert isinstance(report.fatal, TooManySessions)
        last = report.findings[-1]
        assert "your drive on /mnt/phone holds" in last.seen
        assert last.remedy.startswith("Unmount /mnt/phone")


def test_a_server_that_notices_late_that_a_session_ended_is_waited_for(
    server: FtpSimulator,
) -> None:
    late = Fault(fault="reply", on="CONNECT", nth=2, times=2, code=421, text="Too many users.")
    server.inject(late)

    assert verdicts(look(server)) == TLS


def test_a_mount_that_leaves_room_is_not_disturbed(tmp_path: Path) -> None:
    with FtpSimulator("nas") as server, started_drive(server, tmp_path) as drive:
        guest = {"username": "", "password": Secret("")}
        report = look(server, client=guest, drives=("/mnt/phone",))

        assert verdicts(report) == TLS | {"sessions": "unknown"}
        assert drive.engine.status()["open"] == 1


# -- servers that stop ----------------------------------------------------------------------------


def test_a_frozen_server_ends_the_run(server: FtpSimulator) -> None:
    server.freeze()

    report = look(server, client={"timeout_s": 0.5})

    assert isinstance(report.fatal, RemoteTimeout)
    assert [found.check for found in report.findings] == ["reachable"]
    assert report.verdict is Verdict.BAD
    assert "can't be used" in report.summary


def test_a_server_that_freezes_on_the_way_ends_the_run(server: FtpSimulator) -> None:
    server.inject(Fault(fault="freeze", on="APPE"))

    report = look(server, client={"timeout_s": 0.5})

    assert isinstance(report.fatal, RemoteTimeout)
    assert [found.check for found in report.findings][-2:] == ["resuming", "cleaning"]
    server.thaw()


def test_the_time_for_all_checks_is_bounded(
    server: FtpSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "DEADLINE_S", 1.0)
    server.inject(Fault(fault="stall", on="RETR", nth=2))

    report = look(server, client={"timeout_s": 60.0})

    assert seen(report, "removing_directories") == (Verdict.UNKNOWN, "not tried: 1 s are over")
    assert [path for path in server.tree() if "doctor" in path] == []


def test_a_server_that_is_ready_soon_for_ever_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(examination, "DEADLINE_S", 1.0)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        with sock, contextlib.suppress(OSError):
            while True:
                sock.sendall(b"120 Ready in a minute.\r\n" * 100)

    thread = threading.Thread(target=serve)
    thread.start()
    client = ClientOptions(host="127.0.0.1", port=listener.getsockname()[1])
    try:
        report = examine(
            DoctorOptions(client=client, server="ftp://server"), ServerProfile(), SystemClock()
        )
    finally:
        thread.join(30)
        listener.close()

    # Its patience ends, or the server has announced itself too often: whichever comes first.
    assert isinstance(report.fatal, RemoteUnavailable | ProtocolViolation)


def test_no_server_and_no_ftp_server_are_told_apart() -> None:
    with FtpSimulator("vsftpd") as server:
        gone = options(server)
        server.inject(Fault(fault="raw_reply", on="CONNECT", nth=0, text="SSH-2.0-OpenSSH\r\n"))
        other = look(server)
    nobody = examine(gone, ServerProfile(), SystemClock())

    assert isinstance(other.fatal, NotAnFtpServer)
    assert "refused" in nobody.why
    assert nobody.findings[-1].remedy.startswith("Start the server app")


def test_a_refused_login_is_tried_once(server: FtpSimulator) -> None:
    report = look(server, client={"password": Secret("wrong")})

    assert isinstance(report.fatal, LoginRefused)
    assert server.ledger.count("PASS") == 1


# -- secrets --------------------------------------------------------------------------------------


def test_nothing_of_the_password_and_no_escape_sequence_is_shown() -> None:
    echo = "\x1b[31mno p4ss-w0rd!\x07 here"
    faults = [
        Fault(fault="reply", on="MKD", nth=0, code=550, text=echo),
        Fault(fault="reply", on="SYST", nth=0, code=215, text=echo),
    ]
    with FtpSimulator("nas", users={"user": "p4ss-w0rd!"}, faults=faults) as server:
        report = look(server, client={"password": Secret("p4ss-w0rd!")})

    text = json.dumps(report.as_json())
    assert "p4ss" not in text
    assert r"\\x1b[31mno ***\\x07 here" in text
    assert "\\u001b" not in text


# -- others ----------------------------------------------------------------------------------------


def test_the_watch_leaves_no_thread(server: FtpSimulator) -> None:
    before = threading.active_count()

    look(server)

    assert threading.active_count() == before


def test_a_session_beside_is_left_alone(server: FtpSimulator) -> None:
    with connected(server, **USER) as client:
        look(server)

        client.noop()
        assert client.connected
