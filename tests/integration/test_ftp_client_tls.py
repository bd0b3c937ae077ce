"""FtpClient over TLS: trust, protection of data, session reuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from pyftpdrive.base.errors import TlsError
from pyftpdrive.base.paths import ROOT, RemotePath
from pyftpdrive.ftp.ftp_client import ClientOptions, FtpClient, TlsMode
from pyftpdrive.ftp.profile import Proof, ServerProfile
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers import real_servers
from tests.helpers.ftp import connected, options_for
from tests.helpers.real_servers import RealServer

pytestmark = pytest.mark.integration
DATA = bytes(range(256)) * 4096
FILE = RemotePath("/f")


@pytest.fixture(params=["explicit", "implicit", "explicit+reuse", "implicit+reuse"])
def server(request: pytest.FixtureRequest) -> Iterator[FtpSimulator]:
    mode, _, reuse = request.param.partition("+")
    with FtpSimulator("vsftpd", tls=mode, require_session_reuse=bool(reuse)) as simulator:
        yield simulator


def secure(server: FtpSimulator, **changes: object) -> ClientOptions:
    mode = TlsMode(server.core.tls)
    return options_for(server, **{"tls": mode, "tls_ca_file": str(server.ca_file), **changes})


def attempt(options: ClientOptions) -> None:
    client = FtpClient(options, ServerProfile())
    try:
        client.connect()
    finally:
        client.disconnect()


def test_files_cross_a_protected_session(server: FtpSimulator) -> None:
    client = FtpClient(secure(server), ServerProfile())
    client.connect()

    client.write_file(FILE, DATA)
    client.create_file(RemotePath("/empty"))

    assert client.read_file(FILE, 0, len(DATA)) == DATA
    assert {e.name: e.size_bytes for e in client.list_dir(ROOT).entries} == {
        "f": len(DATA),
        "empty": 0,
    }
    client.disconnect()


def test_a_protected_read_can_be_cut_short(server: FtpSimulator) -> None:
    server.put("/f", DATA * 8)
    client = FtpClient(secure(server), ServerProfile())
    client.connect()

    stream = client.open_retrieve(FILE)
    stream.read_into(memoryview(bytearray(100)))
    stream.abort()

    assert client.connected
    assert client.read_file(FILE, 5, 5) == DATA[5:10]
    client.disconnect()


def test_an_unknown_authority_is_refused(server: FtpSimulator) -> None:
    with pytest.raises(TlsError, match="can't be trusted"):
        attempt(secure(server, tls_ca_file=None))


def test_verification_can_be_switched_off(server: FtpSimulator) -> None:
    attempt(secure(server, tls_ca_file=None, tls_verify=False))


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    with (
        FtpSimulator("vsftpd", tls="explicit", host="127.0.0.2") as server,
        pytest.raises(TlsError, match="can't be trusted"),
    ):
        attempt(secure(server))


def test_a_missing_ca_file_is_named(server: FtpSimulator, tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"none\.pem"):
        attempt(secure(server, tls_ca_file=str(tmp_path / "none.pem")))


def test_a_server_without_tls_is_never_used_in_clear_text() -> None:
    with FtpSimulator("vsftpd") as plain:
        with pytest.raises(TlsError, match="refuses TLS"):
            attempt(options_for(plain, tls=TlsMode.EXPLICIT))

        assert plain.ledger.count("USER") == 0


def test_a_server_that_does_not_protect_data_is_refused() -> None:
    fault = Fault(on="PROT", fault="reply", code=534, text="no", times=9)
    with (
        FtpSimulator("vsftpd", tls="explicit", faults=[fault]) as server,
        pytest.raises(TlsError, match="protect"),
    ):
        attempt(secure(server))


@pytest.mark.parametrize("behind", ["220 x\r\n", "2", "250-half\r\n"])
def test_what_comes_in_clear_text_behind_auth_is_refused(behind: str) -> None:
    with FtpSimulator("proftpd", tls="explicit") as server:
        server.inject(Fault(fault="raw_reply", on="AUTH", nth=0, text="234 Go on\r\n" + behind))
        with (
            pytest.raises(TlsError, match="in clear text"),
            connected(server, tls=TlsMode.EXPLICIT),
        ):
            pass

        assert "PASS" not in server.ledger.sequence("USER", "PASS")


def test_a_plain_server_on_the_implicit_port_is_one_clear_error() -> None:
    with (
        FtpSimulator("vsftpd") as plain,
        pytest.raises(TlsError),
    ):
        attempt(options_for(plain, tls=TlsMode.IMPLICIT))


def test_when_tickets_do_not_count_the_next_session_speaks_tls_1_2(server: FtpSimulator) -> None:
    server.put("/f", b"x")
    server.inject(Fault(on="LIST", nth=1, fault="reply", code=522, text="session reuse required"))
    profile = ServerProfile()
    client = FtpClient(secure(server), profile)
    client.connect()

    assert [e.name for e in client.list_dir(ROOT).entries] == ["f"]

    assert profile.tls13_data is Proof.NO
    client.disconnect()


@pytest.mark.parametrize("name", ["vsftpd", "pureftpd"])
def test_real_servers_accept_our_session_reuse(name: str, tmp_path: Path) -> None:
    reason = real_servers.available(name)
    if reason is not None:
        pytest.skip(reason)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "server.pem")
    )
    with (
        RealServer.start(name, certificate=tmp_path / "server.pem") as server,
        connected(server, tls=TlsMode.EXPLICIT, tls_ca_file=str(tmp_path / "ca.pem")) as client,
    ):
        client.write_file(FILE, DATA)
        client.create_file(RemotePath("/empty"))

        assert client.read_file(FILE, 0, len(DATA)) == DATA
        assert len(client.list_dir(ROOT).entries) == 2
