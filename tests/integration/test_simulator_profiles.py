"""What tells the simulator's profiles apart."""

from __future__ import annotations

import contextlib
import ftplib
import io
import re
import time
from collections.abc import Iterator

import pytest

from simulators.ftp_server import PROFILES, FtpSimulator

# They end the session, or make the transfers that come later wait for a data connection.
_SKIPPED = frozenset({"QUIT", "USER", "PASS", "REIN", "PASV", "EPSV", "PORT", "EPRT"})
WHEN_NS = 1_600_000_000_123_456_789  # 2020-09-13 12:26:40.123 UTC


@contextlib.contextmanager
def session(
    profile: str, user: str = "u", **options: object
) -> Iterator[tuple[FtpSimulator, ftplib.FTP]]:
    options.setdefault("users", {"u": "p"})
    with FtpSimulator(profile, **options) as sim:  # type: ignore[arg-type]
        sim.put("/old.txt", b"old", WHEN_NS)
        sim.put("/dir/inner.txt", b"inner", WHEN_NS)
        with ftplib.FTP(timeout=10) as ftp:
            ftp.connect(sim.host, sim.port)
            ftp.login(user, "p")
            ftp.voidcmd("TYPE I")
            yield sim, ftp


def code(ftp: ftplib.FTP, command: str) -> str:
    try:
        return ftp.sendcmd(command)[:3]
    except ftplib.Error as error:
        return str(error)[:3]


def lines(ftp: ftplib.FTP, command: str) -> list[str]:
    found: list[str] = []
    ftp.retrlines(command, found.append)
    return found


def put(ftp: ftplib.FTP, command: str, data: bytes) -> str:
    try:
        return ftp.storbinary(command, io.BytesIO(data))[:3]
    except ftplib.Error as error:
        return str(error)[:3]


def test_the_issue_names_them_all() -> None:
    wanted = "vsftpd proftpd pureftpd filezilla iis swiftp mina nas camera"
    assert sorted(PROFILES) == sorted(wanted.split())


def test_pureftpd_slows_refused_cwds() -> None:
    with session("pureftpd") as (_sim, ftp):
        took = []
        for directory in ("/no", "/no", "/no", "/", "/no"):
            began = time.monotonic()
            with contextlib.suppress(ftplib.error_perm):
                ftp.cwd(directory)
            took.append(time.monotonic() - began)

    # 0.1 s for each one refused before it, as the real one; a CWD that works ends that
    assert took[1] >= 0.1
    assert took[2] >= 0.2
    assert took[4] < 0.2


@pytest.mark.parametrize("profile", PROFILES)
def test_a_file_goes_up_and_comes_down(profile: str) -> None:
    data = bytes(range(256)) * 5000
    with session(profile) as (sim, ftp):
        assert put(ftp, "STOR /dir/new.bin", data) == "226"
        got = io.BytesIO()
        ftp.retrbinary("RETR /dir/new.bin", got.write)
        assert sim.get("/dir/new.bin") == got.getvalue() == data


@pytest.mark.parametrize("profile", PROFILES)
def test_dispatch_knows_every_command_of_the_profile(profile: str) -> None:
    with session(profile) as (_sim, ftp):
        for command in sorted(PROFILES[profile].commands - _SKIPPED):
            assert re.match(r"[2345]\d\d", code(ftp, f"{command} /old.txt")), command


@pytest.mark.parametrize(
    ("profile", "mlsd", "mlst_in_feat"),
    [
        ("vsftpd", "500", False),
        ("proftpd", "425", True),
        ("iis", "500", False),
        ("camera", "502", False),
    ],
)
def test_mlsd(profile: str, mlsd: str, mlst_in_feat: bool) -> None:
    with session(profile) as (_sim, ftp):
        assert code(ftp, "MLSD") == mlsd
        if PROFILES[profile].features is not None:
            assert (" MLST" in ftp.sendcmd("FEAT")) == mlst_in_feat


@pytest.mark.parametrize(
    ("profile", "line"),
    [
        ("vsftpd", "-rw-r--r--    1 1000     1000            3 Sep 13  2020 old.txt"),
        ("proftpd", "-rw-r--r--   1 ftp      ftp             3 Sep 13  2020 old.txt"),
        ("pureftpd", "-rw-r--r--    1 1000       1000                  3 Sep 13  2020 old.txt"),
        ("filezilla", "-rw-rw-rw- 1 ftp ftp               3 Sep 13  2020 old.txt"),
        ("iis", "09-13-20  07:26AM                    3 old.txt"),
        ("swiftp", "-rw-r--r-- 1 owner group             3 Sep 13  2020 old.txt"),
        ("mina", "-rw-------   1 user group            3 Sep 13  2020 old.txt"),
        ("camera", "-rw-rw-rw- 1 root          3 Sep 13 2020 old.txt"),
    ],
)
def test_list_dialect(profile: str, line: str) -> None:
    with session(profile) as (_sim, ftp):
        assert line in lines(ftp, "LIST")


def test_iis_lists_a_directory_the_dos_way() -> None:
    with session("iis") as (_sim, ftp):
        assert any(
            re.fullmatch(r"\S{8}  \S{7}       <DIR>          dir", x) for x in lines(ftp, "LIST")
        )


def test_recent_list_times_are_local_and_mdtm_is_utc() -> None:
    with session("swiftp") as (sim, ftp):
        now_ns = 1_700_000_000_000_000_000  # 2023-11-14 22:13:20 UTC
        sim.core.now_ns = lambda: now_ns
        sim.put("/new.txt", b"", now_ns - 60_000_000_000)
        assert any("Nov 15 00:12 new.txt" in line for line in lines(ftp, "LIST"))
        assert ftp.sendcmd("MDTM new.txt") == "213 20231114221220"


def test_vsftpd_hides_dot_files_without_a_flag() -> None:
    with session("vsftpd") as (sim, ftp):
        sim.put("/.hidden", b"")
        assert not any(".hidden" in line for line in lines(ftp, "LIST"))
        assert any(".hidden" in line for line in lines(ftp, "LIST -a"))


def test_vsftpd_mdtm_sets_a_time() -> None:
    with session("vsftpd") as (sim, ftp):
        assert code(ftp, "MDTM 20010203040506 old.txt") == "213"
        assert ftp.sendcmd("MDTM old.txt") == "213 20010203040506"
        assert sim.stat("/old.txt").modified_ns == 981_173_106 * 10**9


def test_proftpd_sets_a_time_with_mfmt() -> None:
    with session("proftpd") as (sim, ftp):
        assert code(ftp, "MFMT 20010203040506 old.txt") == "213"
        assert sim.stat("/old.txt").modified_ns == 981_173_106 * 10**9


def test_listing_a_directory_that_is_not_there() -> None:
    with session("vsftpd") as (_sim, ftp):
        assert lines(ftp, "LIST nothing") == []
    with session("proftpd") as (_sim, ftp), pytest.raises(ftplib.error_temp, match="450"):
        lines(ftp, "LIST nothing")


@pytest.mark.parametrize(
    ("profile", "answer", "left"),
    [("vsftpd", "250", b"old"), ("mina", "553", b"inner"), ("iis", "550", b"inner")],
)
def test_rename_onto_an_existing_file(profile: str, answer: str, left: bytes) -> None:
    with session(profile) as (sim, ftp):
        ftp.sendcmd("RNFR old.txt")
        assert code(ftp, "RNTO /dir/inner.txt") == answer
        assert sim.get("/dir/inner.txt") == left


def test_proftpd_refuses_to_go_on_with_an_upload() -> None:
    with session("proftpd") as (sim, ftp):
        assert put(ftp, "APPE old.txt", b"more") == "451"
        ftp.sendcmd("REST 2")
        assert put(ftp, "STOR old.txt", b"more") == "451"
        assert sim.get("/old.txt") == b"old"


def test_vsftpd_goes_on_with_an_upload() -> None:
    with session("vsftpd") as (sim, ftp):
        assert put(ftp, "APPE old.txt", b"er") == "226"
        ftp.sendcmd("REST 1")
        assert put(ftp, "STOR old.txt", b"DD") == "226"
        assert sim.get("/old.txt") == b"oDDer"


def test_rest_applies_to_one_download() -> None:
    with session("vsftpd") as (_sim, ftp):
        got: list[bytes] = []
        ftp.retrbinary("RETR old.txt", got.append, rest=1)
        ftp.retrbinary("RETR old.txt", got.append)
        assert got == [b"ld", b"old"]


@pytest.mark.parametrize(("profile", "answer"), [("nas", "550"), ("vsftpd", "213")])
def test_size_in_ascii(profile: str, answer: str) -> None:
    with session(profile) as (_sim, ftp):
        ftp.voidcmd("TYPE A")
        assert code(ftp, "SIZE old.txt") == answer


def test_type_a_changes_line_ends() -> None:
    with session("proftpd") as (sim, ftp):
        sim.put("/unix.txt", b"a\nb\r\nc\n")
        ftp.voidcmd("TYPE A")
        with ftp.transfercmd("RETR unix.txt") as data:
            assert data.makefile("rb").read() == b"a\r\nb\r\nc\r\n"
        ftp.voidresp()
        with ftp.transfercmd("STOR windows.txt") as data:
            data.sendall(b"a\r\nb\r\n")
        ftp.voidresp()
        assert sim.get("/windows.txt") == b"a\nb\n"


def test_pureftpd_lets_a_guest_in_at_user() -> None:
    with FtpSimulator("pureftpd") as sim, ftplib.FTP(timeout=10) as ftp:
        assert len(ftp.connect(sim.host, sim.port).split("\n")) == 4
        assert code(ftp, "USER anonymous") == "230"


def test_pureftpd_shows_ten_thousand_names_at_most() -> None:
    with session("pureftpd") as (sim, ftp):
        for number in range(10_001):
            sim.put(f"/many/{number}", b"")
        assert len(lines(ftp, "MLSD /many")) == 10_000  # "." and ".." among them


def test_names_are_folded_where_the_file_system_does_so() -> None:
    with session("iis") as (sim, ftp):
        assert code(ftp, "SIZE OLD.TXT") == "213"
        ftp.rename("old.txt", "Old.txt")
        assert "/Old.txt" in sim.tree()


def test_nas_knows_the_space_left() -> None:
    with session("nas") as (_sim, ftp):
        assert ftp.sendcmd("AVBL") == f"213 {(2 << 40) - len(b'oldinner')}"


def test_camera_knows_little() -> None:
    with session("camera") as (_sim, ftp):
        assert [code(ftp, c) for c in ("FEAT", "EPSV", "MDTM old.txt", "REST 1")] == ["502"] * 4


def test_windows_servers_do_not_accept_before_they_answer() -> None:
    # vsftpd, ProFTPD and Pure-FTPd accept the data connection before they say 150: a client that
    # waits for the 150 before it connects waits for ever. FileZilla says 150 at once.
    with session("filezilla") as (_sim, ftp):
        ftp.sendcmd("EPSV")
        assert code(ftp, "LIST") == "150"
    with session("vsftpd") as (_sim, ftp):
        ftp.sendcmd("EPSV")
        ftp.sock.settimeout(0.3)  # type: ignore[union-attr]
        with pytest.raises(TimeoutError):
            ftp.sendcmd("LIST")


def test_mina_takes_ten_logins() -> None:
    with session("mina") as (sim, _ftp):
        others = [ftplib.FTP(timeout=10) for _ in range(10)]
        answers = []
        for other in others:
            other.connect(sim.host, sim.port)
            other.sendcmd("USER u")
            answers.append(code(other, "PASS p"))
            if answers[-1] != "230":
                break
        for other in others:
            other.close()
        assert answers == ["230"] * 9 + ["421"]


# --- SwiFTP, the user's phone


def test_swiftp_guest_may_only_look() -> None:
    with session("swiftp", "anonymous") as (sim, ftp):
        refused = [code(ftp, c) for c in ("FEAT", "OPTS UTF8 ON", "REST 1", "DELE old.txt")]
        assert refused == ["530"] * 4
        assert put(ftp, "STOR x", b"x") == "530"
        assert [code(ftp, c) for c in ("SIZE old.txt", "MLST old.txt", "EPSV")] == [
            "213",
            "250",
            "229",
        ]
        assert sim.exists("/old.txt")


def test_swiftp_takes_one_guest() -> None:
    with session("swiftp", "anonymous") as (sim, _ftp), ftplib.FTP() as other:
        other.connect(sim.host, sim.port, timeout=10)
        with pytest.raises(ftplib.error_temp, match="421 too many anonymous"):
            other.login()
        other.close()


def test_swiftp_says_250_to_a_rename_that_failed() -> None:
    with session("swiftp") as (sim, ftp):
        ftp.sendcmd("RNFR old.txt")
        assert code(ftp, "RNTO /nowhere/new.txt") == "250"
        assert sim.get("/old.txt") == b"old"


def test_swiftp_removes_a_full_directory() -> None:
    with session("swiftp") as (sim, ftp):
        assert code(ftp, "RMD dir") == "250"
        assert not sim.exists("/dir")


def test_swiftp_deletes_the_target_before_the_data_comes() -> None:
    with session("swiftp") as (sim, ftp):
        with ftp.transfercmd("STOR old.txt"):
            assert sim.get("/old.txt") == b""
        ftp.voidresp()


def test_swiftp_oddities() -> None:
    with session("swiftp") as (sim, ftp):
        assert ftp.sendcmd("MKD made").startswith("250")
        assert code(ftp, "SITE anything") == "250"
        assert code(ftp, "ABOR") == "502"
        assert code(ftp, 'SIZE "old.txt"  ') == "213"
        assert [code(ftp, c) for c in ("EPSV", "PASV")] == ["229", "500"]
        sim.put("/st*r", b"")
        assert not any("st*r" in line for line in lines_over_epsv(ftp, sim, "MLSD"))
        assert ftp.sendcmd("HASH old.txt") == "213 MD5 0-3 149603e6c03516362a8da23f624db945 old.txt"


def test_swiftp_range_overruns_its_end() -> None:
    with session("swiftp") as (sim, ftp):
        sim.put("/r", bytes(range(100)) * 2000)
        got: list[bytes] = []
        ftp.sendcmd("RANG 10 19")
        ftp.retrbinary("RETR r", got.append)
        data = b"".join(got)
        assert data[:10] == bytes(range(10, 20))
        assert len(data) == 10 * 4  # once for each block of 64 KiB


def lines_over_epsv(ftp: ftplib.FTP, sim: FtpSimulator, command: str) -> list[str]:
    with ftplib.FTP(timeout=10) as other:
        other.connect(sim.host, sim.port)
        other.login("u", "p")
        return lines(other, command)


def test_pure_ftpd_masks_blanks_at_the_end_of_new_names() -> None:
    with session("pureftpd") as (sim, ftp):
        ftp.voidcmd("MKD /made  ")
        put(ftp, "STOR /stored ", b"x")
        ftp.rename("/stored_", "/ renamed\t")

        assert {"/made__", "/ renamed_"} <= set(sim.tree())
        assert code(ftp, "SIZE / renamed\t") == "550"
