"""FtpClient on the simulator: logging in, data connections, pipelining, and what goes wrong."""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pyftpdrive.base.errors import (
    InvalidName,
    LoginRefused,
    NoSpace,
    NotAnFtpServer,
    NotFound,
    NotImplementedByServer,
    PermissionRefused,
    RemoteTimeout,
    RemoteUnavailable,
    TooManySessions,
)
from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import ROOT, RemotePath
from pyftpdrive.base.secret import Secret
from pyftpdrive.ftp.ftp_client import ClientOptions, FtpClient, RetrieveStream
from pyftpdrive.ftp.profile import Proof, ServerProfile
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.ftp import connected, options_for

pytestmark = pytest.mark.integration
SECOND = 10**9
DATA = bytes(range(256)) * 4096
FILE = RemotePath("/f")
SHORT_S = 0.3


@pytest.fixture
def server() -> Iterator[FtpSimulator]:
    with FtpSimulator("vsftpd") as simulator:
        yield simulator


@contextmanager
def scripted(*answers: bytes) -> Iterator[int]:
    """A server that says *answers*, the next after each line that it gets; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        with sock, sock.makefile("rb") as lines:
            for answer in answers:
                sock.sendall(answer)
                if not lines.readline():
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(10)
        listener.close()


def attempt(port: int, **changes: object) -> FtpClient:
    options = ClientOptions(host="127.0.0.1", port=port, timeout_s=2.0, **changes)  # type: ignore[arg-type]
    client = FtpClient(options, ServerProfile())
    try:
        client.connect()
    finally:
        client.disconnect()
    return client


def read_all(stream: RetrieveStream, into: bytearray) -> None:
    buffer = memoryview(bytearray(65536))
    while count := stream.read_into(buffer):
        into += buffer[:count]
    stream.finish()


# -- logging in -------------------------------------------------------------------------------


def test_anonymous_is_the_login_without_a_name(server: FtpSimulator) -> None:
    with connected(server):
        pass

    assert [entry.argument for entry in server.ledger.commands() if entry.command == "USER"] == [
        "anonymous"
    ]


def test_a_wrong_password_is_refused_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pyftpdrive.ftp")
    with FtpSimulator("vsftpd", users={"ann": "right"}) as server:
        client = FtpClient(
            options_for(server, username="ann", password=Secret("hunter2")), ServerProfile()
        )
        with pytest.raises(LoginRefused) as caught:
            client.connect()

    assert "hunter2" not in caplog.text + str(caught.value) + repr(client.options)
    assert "PASS ***" in caplog.text


def test_a_421_greeting_means_too_many_sessions() -> None:
    with (
        scripted(b"421 come back later\r\n") as port,
        pytest.raises(TooManySessions, match="come back later"),
    ):
        attempt(port)


def test_a_530_that_speaks_of_a_limit_means_too_many_sessions() -> None:
    with (
        scripted(b"220 hi\r\n", b"530 Sorry, the maximum number of users is 1\r\n") as port,
        pytest.raises(TooManySessions),
    ):
        attempt(port)


def test_a_greeting_of_many_lines_after_120_is_understood() -> None:
    answers = (b"120 wait\r\n220-hello\r\n 221 not yet\r\n220 go\r\n", b"530 No.\r\n")
    with (
        scripted(*answers) as port,
        pytest.raises(LoginRefused, match=r"No\."),
    ):
        attempt(port)


def test_a_user_without_password_is_let_in() -> None:
    answers = (
        b"220 hi\r\n", b"230 welcome\r\n", b"500 FEAT?\r\n", b"500 OPTS?\r\n",
        b"215 X\r\n200 I\r\n257 \"/\"\r\n", b"221 bye\r\n",
    )  # fmt: skip
    with scripted(*answers) as port:
        attempt(port, username="ann")


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"])
def test_something_else_is_not_an_ftp_server(greeting: bytes) -> None:
    with (
        scripted(greeting) as port,
        pytest.raises(NotAnFtpServer),
    ):
        attempt(port)


def test_a_port_where_nobody_listens_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(RemoteUnavailable, match="refused"):
        attempt(port)


def test_a_silent_server_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = ClientOptions(host="127.0.0.1", port=listener.getsockname()[1], timeout_s=SHORT_S)
        with pytest.raises(RemoteTimeout):
            FtpClient(options, ServerProfile()).connect()


def test_a_missing_root_is_not_found(server: FtpSimulator) -> None:
    with pytest.raises(NotFound, match="none"), connected(server, root="/none"):
        pass


def test_feat_is_asked_once_per_server(server: FtpSimulator) -> None:
    profile = ServerProfile()
    for _ in range(3):
        with connected(server, profile):
            pass

    assert server.ledger.count("FEAT") == 1


def test_type_is_sent_once_per_session(server: FtpSimulator) -> None:
    with connected(server) as client:
        client.write_file(FILE, b"x")
        client.read_file(FILE, 0, 1)
        client.list_dir(ROOT)

    assert server.ledger.count("TYPE") == 1


# -- names ------------------------------------------------------------------------------------


def test_a_line_end_in_a_name_is_never_sent(server: FtpSimulator) -> None:
    with connected(server) as client:
        server.ledger.clear()
        with pytest.raises(InvalidName):
            client.delete_file(RemotePath("/a\r\nDELE f"))

        assert server.ledger.commands() == []


def test_octets_that_are_no_text_survive(server: FtpSimulator) -> None:
    name = "caf\udce9"
    with connected(server) as client:
        client.write_file(RemotePath("/" + name), b"x")

        assert [entry.name for entry in client.list_dir(ROOT).entries] == [name]


# -- data connections -------------------------------------------------------------------------


def test_active_mode_lists_reads_and_stores(server: FtpSimulator) -> None:
    with connected(server, passive=False) as client:
        client.write_file(FILE, DATA)

        assert client.read_file(FILE, 0, len(DATA)) == DATA
        assert [entry.name for entry in client.list_dir(ROOT).entries] == ["f"]
    assert server.ledger.count("EPSV") == server.ledger.count("PASV") == 0


def test_a_server_without_epsv_is_asked_only_once(server: FtpSimulator) -> None:
    server.put("/f", b"x")
    server.inject(Fault(on="EPSV", fault="refuse", nth=0))
    profile = ServerProfile()
    with connected(server, profile) as client:
        for _ in range(3):
            assert client.read_file(FILE, 0, 9) == b"x"

    assert server.ledger.count("EPSV") == 1
    assert profile.epsv is Proof.NO


def test_a_dead_epsv_port_leads_to_pasv(server: FtpSimulator) -> None:
    server.put("/f", b"x")
    server.inject(Fault(on="EPSV", fault="dead_port", nth=0))
    with connected(server) as client:
        assert client.read_file(FILE, 0, 9) == b"x"


def test_the_host_that_pasv_names_is_not_dialled(server: FtpSimulator) -> None:
    server.put("/f", b"x")
    server.inject(
        Fault(on="EPSV", fault="refuse", nth=0),
        Fault(on="PASV", fault="pasv_host", host="192.0.2.7", nth=0),
    )
    profile = ServerProfile()
    with connected(server, profile) as client:
        assert client.read_file(FILE, 0, 9) == b"x"
    assert profile.host_from_pasv == "192.0.2.7"


def test_without_rest_what_lies_before_is_thrown_away(server: FtpSimulator) -> None:
    server.put("/f", DATA)
    server.inject(Fault(on="REST", fault="refuse", nth=0))
    with connected(server) as client:
        assert client.read_file(FILE, 300_000, 50) == DATA[300_000:300_050]
        assert client.read_file(FILE, 7, 5) == DATA[7:12]

    assert server.ledger.count("REST") == 1


# -- listings ---------------------------------------------------------------------------------


def test_times_of_many_files_are_exact_and_cost_no_round_trip_each(server: FtpSimulator) -> None:
    for number in range(600):
        server.put(f"/d/{number}", b"x", modified_ns=(1_500_000_000 + number) * SECOND)
    server.inject(Fault(on="MDTM", fault="latency", seconds=0.005, nth=0))
    with connected(server) as client:
        entries = client.list_dir(RemotePath("/d")).entries

    assert {int(entry.name): entry.modified_ns for entry in entries} == {
        number: (1_500_000_000 + number) * SECOND for number in range(600)
    }


@pytest.mark.parametrize("offset_s", [-5 * 3600, 5 * 3600 + 1800])
def test_the_servers_clock_is_measured(offset_s: int) -> None:
    with FtpSimulator("vsftpd", utc_offset_s=offset_s) as server:
        server.put("/d/f", b"x")
        server.mkdir("/d/sub")
        profile = ServerProfile()
        with connected(server, profile) as client:
            entries = {e.name: e for e in client.list_dir(RemotePath("/d")).entries}

    assert profile.clock_offset_s == offset_s
    file_ns, sub_ns = entries["f"].modified_ns, entries["sub"].modified_ns
    assert file_ns is not None
    assert sub_ns is not None
    assert abs(file_ns - sub_ns) < 120 * SECOND


def test_a_surplus_reply_does_not_shift_the_times(server: FtpSimulator) -> None:
    for number in range(10):
        server.put(f"/d/{number}", b"x", modified_ns=(1_500_000_000 + number) * SECOND)
    server.inject(Fault(on="MDTM", nth=4, fault="extra_reply", code=213, text="20200101000000"))
    profile = ServerProfile()
    client = FtpClient(options_for(server), profile)
    client.connect()
    with pytest.raises(RemoteUnavailable):
        client.list_dir(RemotePath("/d"))
    assert profile.pipelining is Proof.NO

    client.reconnect()
    entries = client.list_dir(RemotePath("/d")).entries
    client.disconnect()

    assert {int(entry.name): entry.modified_ns for entry in entries} == {
        number: (1_500_000_000 + number) * SECOND for number in range(10)
    }


def test_a_server_that_loses_pipelined_commands_is_asked_one_by_one(server: FtpSimulator) -> None:
    server.put("/f", b"x", modified_ns=1_500_000_000 * SECOND)
    server.inject(Fault(on="PWD", nth=1, fault="swallow_command"))
    profile = ServerProfile()
    with connected(server, profile, timeout_s=SHORT_S) as client:
        assert [e.modified_ns for e in client.list_dir(ROOT).entries] == [1_500_000_000 * SECOND]

    assert profile.pipelining is Proof.NO


def test_links_are_what_they_point_to(server: FtpSimulator) -> None:
    server.put("/d/f", b"12345")
    server.link("/to-f", "d/f")
    server.link("/to-d", "d")
    server.link("/loop", "loop")
    with connected(server) as client:
        entries = {entry.name: entry for entry in client.list_dir(ROOT).entries}

    assert entries["to-f"].kind is Kind.FILE
    assert entries["to-f"].size_bytes == 5
    assert entries["to-d"].kind is Kind.DIRECTORY
    assert entries["loop"].kind is Kind.LINK


def test_a_line_that_nobody_understands_is_probed(server: FtpSimulator) -> None:
    server.put("/odd", b"12345", modified_ns=1_500_000_000 * SECOND)
    server.inject(
        Fault(on="LIST", fault="listing", lines=("~~ what is this ~~ odd",), replace=True, nth=0)
    )
    with connected(server) as client:
        listing = client.list_dir(ROOT)

    assert [(e.name, e.kind, e.size_bytes) for e in listing.entries] == [("odd", Kind.FILE, 5)]
    assert listing.unparsed == ()


def test_no_files_found_is_an_empty_directory(server: FtpSimulator) -> None:
    server.inject(Fault(on="LIST", fault="reply", code=550, text="No files found", nth=0))
    with connected(server) as client:
        assert client.list_dir(ROOT).entries == ()


def test_a_directory_that_may_not_be_listed_says_so(server: FtpSimulator) -> None:
    server.inject(Fault(on="LIST", fault="reply", code=550, text="Permission denied", nth=0))
    with connected(server) as client, pytest.raises(PermissionRefused):
        client.list_dir(ROOT)


# -- what goes wrong --------------------------------------------------------------------------


def test_a_dropped_control_connection_ends_the_session(server: FtpSimulator) -> None:
    with connected(server) as client:
        server.disconnect_all()

        with pytest.raises(RemoteUnavailable):
            client.noop()

        assert not client.connected
        client.reconnect()
        client.noop()


def test_a_reply_that_never_comes_is_a_timeout(server: FtpSimulator) -> None:
    with connected(server, timeout_s=SHORT_S) as client:
        server.inject(Fault(on="MKD", fault="swallow_reply"))

        with pytest.raises(RemoteTimeout):
            client.create_dir(RemotePath("/d"))

        assert not client.connected


def test_a_421_as_a_reply_ends_the_session(server: FtpSimulator) -> None:
    with connected(server) as client:
        server.inject(Fault(on="NOOP", fault="reply", code=421, text="Bye."))

        with pytest.raises(RemoteUnavailable, match="Bye"):
            client.noop()

        assert not client.connected


def test_what_came_before_a_reset_is_good(server: FtpSimulator) -> None:
    server.put("/f", DATA)
    server.inject(Fault(on="RETR", fault="close", channel="data", after_bytes=100_000))
    with connected(server) as client:
        received = bytearray()

        with pytest.raises(RemoteUnavailable):
            read_all(client.open_retrieve(FILE), received)

        if not client.connected:
            client.connect()
        assert bytes(received) == DATA[: len(received)]
        assert client.read_file(FILE, 0, len(DATA)) == DATA


def test_a_stalled_download_is_a_timeout(server: FtpSimulator) -> None:
    server.put("/f", DATA)
    server.inject(Fault(on="RETR", fault="stall", after_bytes=1000))
    with connected(server, timeout_s=SHORT_S) as client:
        with pytest.raises(RemoteTimeout):
            client.read_file(FILE, 0, len(DATA))

        assert not client.connected


def test_an_upload_that_breaks_off_is_unavailable(server: FtpSimulator) -> None:
    server.inject(Fault(on="STOR", fault="reset", after_bytes=100_000))
    with (
        connected(server) as client,
        pytest.raises(RemoteUnavailable),
    ):
        client.write_file(FILE, DATA * 8)


def test_a_full_disk_is_told_as_such(server: FtpSimulator) -> None:
    server.inject(Fault(on="STOR", fault="quota", limit_bytes=1000))
    with connected(server) as client, pytest.raises(NoSpace):
        client.write_file(FILE, DATA * 8)


def test_a_read_only_server_refuses(server: FtpSimulator) -> None:
    server.put("/f", b"x")
    server.read_only = True
    with connected(server) as client:
        for change in (
            lambda: client.write_file(RemotePath("/g"), b"x"),
            lambda: client.create_dir(RemotePath("/d")),
            lambda: client.delete_file(FILE),
            lambda: client.rename(FILE, RemotePath("/g")),
        ):
            with pytest.raises(PermissionRefused):
                change()


def test_an_offset_is_written_only_where_it_was_proven(server: FtpSimulator) -> None:
    profile = ServerProfile()
    with connected(server, profile) as client:
        client.write_file(FILE, b"12345")
        with pytest.raises(NotImplementedByServer):
            client.write_file(FILE, b"67", offset=5)

        profile.confirm("appe")
        client.write_file(FILE, b"67", offset=5)

    assert server.get("/f") == b"1234567"


def test_surplus_replies_are_not_taken_for_answers(server: FtpSimulator) -> None:
    server.put("/f", b"12345")
    server.inject(Fault(on="NOOP", fault="extra_reply", code=213, text="999"))
    with connected(server) as client:
        client.noop()
        waiting = threading.Event()
        for _ in range(100):
            if client.get_file_size(FILE) == 5:
                break
            waiting.wait(0.01)

        assert client.get_file_size(FILE) == 5


def test_another_thread_can_cut_a_wait(server: FtpSimulator) -> None:
    server.put("/f", DATA)
    server.inject(Fault(on="RETR", fault="freeze", after_bytes=1000))
    with connected(server, timeout_s=60.0) as client:
        timer = threading.Timer(SHORT_S, client.close_abruptly)
        timer.start()
        with pytest.raises(RemoteUnavailable):
            client.read_file(FILE, 0, len(DATA))
        timer.join()
        server.thaw()


def test_progress_is_told_and_ends_at_the_whole(server: FtpSimulator) -> None:
    told: list[int] = []
    with connected(server) as client:
        client.store(FILE, io.BytesIO(DATA * 3), progress=told.append)

    assert told[-1] == len(DATA) * 3
    assert told == sorted(told)


def test_mlst_that_hangs_is_avoided_for_this_run_only() -> None:
    profile = ServerProfile()
    silent = Fault(fault="swallow_reply", on="MLST")
    with FtpSimulator("nas", faults=[silent]) as server:
        server.put(FILE, DATA)
        with (
            connected(server, profile, timeout_s=SHORT_S) as client,
            pytest.raises(RemoteTimeout),
        ):
            client.stat(FILE)

    assert profile.mlst is Proof.NO
    assert "mlst" not in profile.lasting()


@pytest.mark.parametrize("profile", ["vsftpd", "proftpd"])
def test_a_rename_and_the_look_after_it_travel_together(profile: str) -> None:
    old, new = RemotePath("/d/a"), RemotePath("/d/b")
    with FtpSimulator(profile) as server, connected(server) as client:
        server.put("/d/a", b"four")
        client.list_dir(RemotePath("/d"))
        client.look([old, new])
        assert client.profile.pipelining is Proof.YES
        before = len(server.ledger.entries())

        found, gone = client.rename_and_look(old, new, [new, old])

        sent = [entry.command for entry in server.ledger.entries()[before:]]
        sent.remove("NOOP")
        assert found is not None
        assert found.size_bytes == 4
        assert gone is None
        assert sent[:2] == ["RNFR", "RNTO"]
        assert len(sent) == (4 if profile == "proftpd" else 6)


def test_a_refused_rename_with_a_look_says_why() -> None:
    with FtpSimulator("vsftpd") as server, connected(server) as client:
        server.put("/d/a", b"four")
        client.list_dir(RemotePath("/d"))
        with pytest.raises(NotFound):
            client.rename_and_look(RemotePath("/d/no"), RemotePath("/d/b"), [RemotePath("/d/b")])
        assert client.look([RemotePath("/d/a")])[0] is not None
