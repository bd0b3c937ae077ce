"""The FTP simulator's life, its files, its data connections and TLS."""

from __future__ import annotations

import ftplib
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulators.ftp_server import FtpSimulator

DATA = bytes(range(256)) * 4096  # 1 MiB


@contextmanager
def client(sim: FtpSimulator, user: str = "", password: str = "") -> Iterator[ftplib.FTP]:
    with ftplib.FTP(timeout=10) as ftp:
        ftp.connect(sim.host, sim.port)
        ftp.login(user, password)
        ftp.voidcmd("TYPE I")
        yield ftp


def test_files_are_kept_byte_exact_with_their_times(tmp_path: Path) -> None:
    for root in (None, tmp_path):
        with FtpSimulator(root=root) as sim:
            sim.put("/a/b/c.bin", DATA, 1_600_000_000_123_456_789)
            sim.mkdir("/empty")
            assert sim.get("/a/b/c.bin") == DATA
            assert sim.stat("/a/b/c.bin").modified_ns == 1_600_000_000_123_456_789
            assert sim.tree() == {"/a": None, "/a/b": None, "/a/b/c.bin": DATA, "/empty": None}
            sim.remove("/a")
            assert not sim.exists("/a/b")


def test_names_are_octets() -> None:
    raw = b"caf\xe9 \xff 100% \xe6\x97\xa5"
    name = raw.decode("utf-8", "surrogateescape")
    with FtpSimulator() as sim, client(sim) as ftp:
        ftp.encoding = "latin-1"
        ftp.storbinary(f"STOR {raw.decode('latin-1')}", io.BytesIO(b"x"))
        assert sim.get(f"/{name}") == b"x"
        names: list[str] = []
        ftp.retrlines("NLST", names.append)
        assert [n.encode("latin-1") for n in names] == [raw]


def test_a_sparse_file_of_5_gib_costs_nothing() -> None:
    with FtpSimulator() as sim, client(sim) as ftp:
        sim.put_sparse("/big", 5 << 30)
        assert ftp.size("/big") == 5 << 30
        with ftp.transfercmd("RETR /big", rest=(5 << 30) - 10) as data:
            assert data.makefile("rb").read() == bytes(10)
        ftp.voidresp()


def test_uploaded_zeros_cost_nothing() -> None:
    with FtpSimulator() as sim, client(sim) as ftp:
        ftp.storbinary("STOR /zeros", io.BytesIO(bytes(8 << 20)), blocksize=1 << 20)
        assert sim.stat("/zeros").size == 8 << 20
        assert sim.core.storage._find("/zeros").pages._pages == {}  # type: ignore[union-attr]


def test_a_directory_can_be_served_and_not_left(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "way-out").symlink_to(tmp_path)
    with FtpSimulator(root=root) as sim, client(sim) as ftp:
        ftp.storbinary("STOR in.bin", io.BytesIO(DATA))
        assert (root / "in.bin").read_bytes() == DATA
        for path in ("/../secret", "/way-out/secret"):
            with pytest.raises(ftplib.error_perm, match="550"):
                ftp.size(path)


def test_links_are_followed() -> None:
    with FtpSimulator() as sim, client(sim) as ftp:
        sim.put("/d/x", b"xyz")
        sim.link("/to-d", "d")
        lines: list[str] = []
        ftp.retrlines("LIST", lines.append)
        assert any(line.startswith("l") and line.endswith("to-d -> d") for line in lines)
        assert ftp.size("/to-d/x") == 3


@pytest.mark.parametrize("profile", ["vsftpd", "filezilla"])
def test_active_mode(profile: str) -> None:
    with FtpSimulator(profile) as sim, client(sim) as ftp:
        ftp.set_pasv(False)
        ftp.storbinary("STOR up", io.BytesIO(DATA))
        assert sim.get("/up") == DATA
        got = io.BytesIO()
        ftp.retrbinary("RETR up", got.write)
        assert got.getvalue() == DATA


def test_eprt() -> None:
    with FtpSimulator() as sim, client(sim) as ftp, socket.create_server((sim.host, 0)) as server:
        sim.put("/f", DATA)
        ftp.sendcmd(f"EPRT |1|127.0.0.1|{server.getsockname()[1]}|")
        ftp.putcmd("RETR /f")
        data, _ = server.accept()
        with data:
            assert ftp.getresp().startswith("150")
            assert data.makefile("rb").read() == DATA
        assert ftp.voidresp().startswith("226")


def test_port_of_another_host_is_refused() -> None:
    with (
        FtpSimulator() as sim,
        client(sim) as ftp,
        pytest.raises(ftplib.error_perm, match="500 Illegal PORT"),
    ):
        ftp.sendcmd("PORT 10,0,0,1,200,1")


def test_active_port_that_refuses_answers_425() -> None:
    with FtpSimulator() as sim, client(sim) as ftp:
        with socket.create_server((sim.host, 0)) as server:
            port = server.getsockname()[1]
        ftp.sendcmd(f"EPRT |1|127.0.0.1|{port}|")
        with pytest.raises(ftplib.error_temp, match="425"):
            ftp.sendcmd("LIST")


def test_a_transfer_without_pasv_answers_425() -> None:
    with (
        FtpSimulator() as sim,
        client(sim) as ftp,
        pytest.raises(ftplib.error_temp, match="425"),
    ):
        ftp.sendcmd("LIST")


def test_pipelined_commands_wait_for_the_transfer_before_them() -> None:
    with FtpSimulator() as sim, client(sim) as ftp:
        sim.put("/f", DATA)
        port = int(ftp.sendcmd("EPSV").split("|")[3])
        assert ftp.sock is not None
        ftp.sock.sendall(b"RETR /f\r\nSIZE /f\r\nNOOP\r\n")
        with socket.create_connection((sim.host, port), 10) as data:
            assert data.makefile("rb").read() == DATA
        answers = [ftp.getresp()[:3] for _ in range(4)]
        assert answers == ["150", "226", "213", "200"]


def test_abor_is_seen_during_a_transfer_by_servers_that_look() -> None:
    with FtpSimulator("proftpd") as sim, client(sim) as ftp:
        sim.put_sparse("/big", 1 << 30)
        with ftp.transfercmd("RETR /big") as data:
            data.recv(1000)
            assert ftp.abort().startswith("426")
            assert ftp.getresp().startswith("226")
        assert ftp.sendcmd("NOOP").startswith("200")


def test_a_client_that_breaks_off_a_download_gets_426() -> None:
    with FtpSimulator() as sim, client(sim) as ftp:
        sim.put_sparse("/big", 1 << 30)
        with ftp.transfercmd("RETR /big") as data:
            data.recv(1000)
        with pytest.raises(ftplib.error_temp, match="426"):
            ftp.voidresp()
        assert ftp.sendcmd("NOOP").startswith("200")


def test_passwords_are_masked_and_wrong_ones_refused() -> None:
    with FtpSimulator("proftpd", users={"ann": "s3cret"}) as sim:
        with pytest.raises(ftplib.error_perm, match="530"), client(sim, "ann", "wrong"):
            pass
        with pytest.raises(ftplib.error_perm, match="530"), client(sim):
            pass
        with client(sim, "ann", "s3cret"):
            pass
        assert not any("s3cret" in line or "wrong" in line for line in sim.ledger.lines())


def test_commands_before_login_are_refused() -> None:
    with FtpSimulator() as sim, ftplib.FTP(timeout=10) as ftp:
        ftp.connect(sim.host, sim.port)
        with pytest.raises(ftplib.error_perm, match="530"):
            ftp.pwd()


def test_ledger_has_commands_codes_and_sessions() -> None:
    with FtpSimulator() as sim:
        with client(sim) as ftp:
            sim.put("/f", DATA)
            sim.ledger.clear()
            ftp.retrbinary("RETR /f", lambda _: None, rest=100)
        wanted = ("REST", "RETR")
        assert sim.ledger.sequence(*wanted) == ["REST 100", "RETR"]
        assert sim.ledger.lines("RETR") == ["RETR /f"]
        assert [(e.session, e.code) for e in sim.ledger.commands(*wanted)] == [(1, 350), (1, 226)]
        assert sim.ledger.count("RETR") == 1


def test_sessions_are_counted() -> None:
    with FtpSimulator() as sim:
        with client(sim), client(sim):
            assert (sim.sessions_now, sim.sessions_peak) == (2, 2)
        deadline = time.monotonic() + 10
        while sim.sessions_now and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        assert (sim.sessions_now, sim.sessions_peak) == (0, 2)


def test_disconnect_all_resets_and_goes_on_serving() -> None:
    with FtpSimulator() as sim, client(sim) as ftp:
        sim.disconnect_all()
        with pytest.raises(ConnectionResetError):
            ftp.pwd()
        with client(sim) as other:
            assert other.pwd() == "/"


def test_restart_keeps_port_and_files() -> None:
    with FtpSimulator() as sim:
        port = sim.port
        sim.put("/f", b"kept")
        with client(sim) as ftp:
            sim.restart()
            with pytest.raises((EOFError, ConnectionError)):
                ftp.pwd()
        with client(sim) as ftp:
            assert (sim.port, ftp.size("/f")) == (port, 4)


def test_stop_leaves_no_thread_and_closes_the_port() -> None:
    before = threading.active_count()
    with FtpSimulator() as sim, client(sim):
        pass
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sim.host, sim.port), 5)


def test_many_at_a_time_do_not_mix() -> None:
    names = ["vsftpd", "swiftp", "iis"]
    sims = [FtpSimulator(name) for name in names]
    try:
        for number, sim in enumerate(sims):
            sim.put(f"/{number}", b"")
        assert [sorted(sim.tree()) for sim in sims] == [["/0"], ["/1"], ["/2"]]
        assert len({sim.port for sim in sims}) == 3
    finally:
        for sim in sims:
            sim.stop()


def test_idle_timeout_of_the_server() -> None:
    with FtpSimulator(idle_s=0.2) as sim, client(sim) as ftp:
        assert ftp.getline().startswith("421")


def test_unknown_profile_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="there are: vsftpd"):
        FtpSimulator("wuftpd")


# --- TLS


class ReusingFtp(ftplib.FTP_TLS):
    """ftplib doesn't resume the TLS session on data connections; servers may ask for it."""

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[socket.socket, int | None]:
        sock, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        wrapped = self.context.wrap_socket(
            sock, server_hostname="localhost", session=self.sock.session
        )
        return wrapped, size


@contextmanager
def tls_client(
    sim: FtpSimulator, kind: type[ftplib.FTP_TLS] = ftplib.FTP_TLS
) -> Iterator[ftplib.FTP_TLS]:
    context = ssl.create_default_context(cafile=str(sim.ca_file))
    with kind(context=context, timeout=10) as ftp:
        ftp.connect("localhost", sim.port)
        ftp.login()
        ftp.prot_p()
        ftp.voidcmd("TYPE I")
        yield ftp


def test_explicit_tls_moves_files_and_is_verified() -> None:
    with FtpSimulator(tls="explicit") as sim, tls_client(sim) as ftp:
        ftp.storbinary("STOR /up", io.BytesIO(DATA))
        assert sim.get("/up") == DATA
        got = io.BytesIO()
        ftp.retrbinary("RETR /up", got.write)
        assert got.getvalue() == DATA
        ftp.storbinary("STOR /empty", io.BytesIO(b""))
        assert sim.get("/empty") == b""


def test_implicit_tls() -> None:
    with FtpSimulator(tls="implicit") as sim:
        context = ssl.create_default_context(cafile=str(sim.ca_file))
        with (
            socket.create_connection((sim.host, sim.port), 10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as sock,
        ):
            assert sock.recv(3) == b"220"


def test_a_certificate_of_nobody_is_refused_by_the_client() -> None:
    with FtpSimulator(tls="explicit") as sim, ftplib.FTP_TLS(timeout=10) as ftp:
        ftp.context = ssl.create_default_context()
        ftp.connect("localhost", sim.port)
        with pytest.raises(ssl.SSLCertVerificationError):
            ftp.auth()


def test_without_tls_auth_is_unknown() -> None:
    with FtpSimulator() as sim, ftplib.FTP_TLS(timeout=10) as ftp:
        ftp.connect(sim.host, sim.port)
        with pytest.raises(ftplib.error_perm, match="500"):
            ftp.auth()


def test_session_reuse_is_demanded() -> None:
    with FtpSimulator(tls="explicit", require_session_reuse=True) as sim:
        sim.put("/f", DATA)
        with tls_client(sim) as ftp, pytest.raises((ftplib.error_perm, OSError)):
            ftp.retrbinary("RETR /f", lambda _: None)
        assert sim.ledger.commands("RETR")[0].code == 522
        got = io.BytesIO()
        with tls_client(sim, ReusingFtp) as ftp:
            ftp.retrbinary("RETR /f", got.write)
        assert got.getvalue() == DATA


def test_the_authority_file_goes_with_the_simulator() -> None:
    with FtpSimulator(tls="explicit") as sim:
        assert sim.ca_file.read_text(encoding="ascii").startswith("-----BEGIN CERTIFICATE")
    assert not sim.ca_file.exists()
