"""Every fault of the FTP simulator, as a raw client sees it."""

from __future__ import annotations

import ftplib
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from simulators.ftp_server import KINDS, Fault, FtpSimulator

KIB = 1024
DATA = bytes(range(256)) * KIB  # 256 KiB
SHORT_S = 0.3  # long enough for loopback, short enough for a test that must see nothing


@contextmanager
def client(sim: FtpSimulator, timeout_s: float = 10) -> Iterator[ftplib.FTP]:
    ftp = ftplib.FTP(timeout=timeout_s)
    try:
        ftp.connect(sim.host, sim.port)
        ftp.login()
        ftp.voidcmd("TYPE I")
        yield ftp
    finally:
        ftp.close()


@contextmanager
def started(profile: str = "vsftpd", **options: object) -> Iterator[FtpSimulator]:
    with FtpSimulator(profile, **options) as sim:  # type: ignore[arg-type]
        sim.put("/f", DATA)
        yield sim


def received(sock: socket.socket) -> tuple[bytes, str]:
    """What comes until the connection ends, and how it ends."""
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        return b"".join(parts), "reset"
    except TimeoutError:
        return b"".join(parts), "nothing more"
    finally:
        sock.close()
    return b"".join(parts), "closed"


def fetched(ftp: ftplib.FTP, path: str = "/f") -> bytes:
    into = io.BytesIO()
    ftp.retrbinary(f"RETR {path}", into.write)
    return into.getvalue()


def stored(ftp: ftplib.FTP, path: str, data: bytes) -> str:
    return ftp.storbinary(f"STOR {path}", io.BytesIO(data))


def wait_until(condition: object, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it didn't come true"
        threading.Event().wait(0.005)


# --- without end


def test_endless_reply_goes_on_until_the_client_hangs_up() -> None:
    fault = Fault(on="NOOP", fault="endless_reply", text="200-more\r\n")
    with started(faults=[fault]) as sim, client(sim) as ftp:
        assert ftp.sock is not None
        ftp.sock.sendall(b"NOOP\r\n")
        got = 0
        while got < 2 << 20:
            part = ftp.sock.recv(65536)
            assert part
            got += len(part)


def test_endless_data_begins_where_the_file_ends() -> None:
    fault = Fault(on="RETR", fault="endless_data", text="more ")
    with started(faults=[fault]) as sim, client(sim) as ftp:
        with ftp.transfercmd("RETR /f") as data:
            got = b""
            while len(got) < len(DATA) + (3 << 20):
                part = data.recv(1 << 20)
                assert part
                got += part
        assert got[: len(DATA)] == DATA
        assert got[len(DATA) : len(DATA) + 10] == b"more more "


# --- replies


def test_reply_before_refuses_and_does_nothing() -> None:
    with started(faults=[Fault(on="DELE", fault="reply", code=450, text="busy")]) as sim:
        with client(sim) as ftp, pytest.raises(ftplib.error_temp, match="450 busy"):
            ftp.delete("/f")
        assert sim.exists("/f")


def test_reply_after_does_it_and_refuses() -> None:
    fault = Fault(on="DELE", fault="reply", code=550, text="no", when="after")
    with started(faults=[fault]) as sim:
        with client(sim) as ftp, pytest.raises(ftplib.error_perm, match="550 no"):
            ftp.delete("/f")
        assert not sim.exists("/f")


def test_reply_inside_data_breaks_the_transfer_off() -> None:
    fault = Fault(on="STOR", fault="reply", code=451, text="disk", after_bytes=1000)
    with started(faults=[fault]) as sim:
        with client(sim) as ftp, pytest.raises((ftplib.error_temp, OSError)) as caught:
            stored(ftp, "/g", DATA)
        assert isinstance(caught.value, OSError) or "451 disk" in str(caught.value)
        assert sim.get("/g") == DATA[:1000]


def test_refuse_answers_502() -> None:
    with (
        started(faults=[Fault(on="SIZE", fault="refuse", nth=0)]) as sim,
        client(sim) as ftp,
        pytest.raises(ftplib.error_perm, match="502"),
    ):
        ftp.size("/f")


def test_swallow_reply_does_it_and_says_nothing() -> None:
    with started(faults=[Fault(on="MKD", fault="swallow_reply")]) as sim:
        with client(sim, SHORT_S) as ftp, pytest.raises(TimeoutError):
            ftp.mkd("/d")
        assert sim.exists("/d")
        assert sim.ledger.commands("MKD")[0].code is None


def test_swallow_reply_of_a_transfer_leaves_the_session_alive() -> None:
    with started(faults=[Fault(on="STOR", fault="swallow_reply")]) as sim:
        with client(sim) as ftp:
            with ftp.transfercmd("STOR /g") as data:
                data.sendall(DATA)
            assert ftp.sendcmd("NOOP").startswith("200")
        assert sim.get("/g") == DATA


def test_swallow_command_does_nothing_and_says_nothing() -> None:
    with started(faults=[Fault(on="MKD", fault="swallow_command")]) as sim:
        with client(sim, SHORT_S) as ftp, pytest.raises(TimeoutError):
            ftp.mkd("/d")
        assert not sim.exists("/d")


@pytest.mark.parametrize("when", ["before", "after"])
def test_delay_holds_the_reply_back(when: str) -> None:
    fault = Fault(on="PWD", fault="delay", seconds=SHORT_S, when=when)
    with started(faults=[fault]) as sim, client(sim) as ftp:
        start = time.monotonic()
        ftp.pwd()
        assert time.monotonic() - start >= SHORT_S


def test_delays_of_pipelined_commands_add_up() -> None:
    with started(faults=[Fault(on="NOOP", fault="delay", nth=0, seconds=0.1)]) as sim:
        assert _pipelined_noops(sim, 4) >= 0.4


def test_latencies_of_pipelined_commands_do_not_add_up() -> None:
    with started(faults=[Fault(on="NOOP", fault="latency", seconds=0.2)]) as sim:
        assert 0.2 <= _pipelined_noops(sim, 10) < 1.0


def _pipelined_noops(sim: FtpSimulator, count: int) -> float:
    with client(sim) as ftp:
        assert ftp.sock is not None
        start = time.monotonic()
        ftp.sock.sendall(b"NOOP\r\n" * count)
        for _ in range(count):
            assert ftp.getresp().startswith("200")
        return time.monotonic() - start


def test_split_reply_comes_octet_by_octet() -> None:
    fault = Fault(on="CONNECT", fault="split_reply", seconds=0.005)
    with started(faults=[fault]) as sim, socket.create_connection((sim.host, sim.port), 5) as sock:
        parts: list[bytes] = []
        while not (parts and parts[-1] == b"\n"):
            parts.append(sock.recv(100))
    assert b"".join(parts) == b"220 (vsFTPd 3.0.3)\r\n"
    assert max(map(len, parts)) < 6


def test_raw_reply_goes_out_as_it_is() -> None:
    fault = Fault(on="PWD", fault="raw_reply", text="HTTP/1.1 400\r\n\r\n")
    with started(faults=[fault]) as sim, client(sim) as ftp, pytest.raises(ftplib.error_proto):
        ftp.pwd()


def test_extra_reply_follows_the_real_one() -> None:
    fault = Fault(on="NOOP", fault="extra_reply", code=226, text="again")
    with started(faults=[fault]) as sim, client(sim) as ftp:
        assert ftp.sendcmd("NOOP") == "200 NOOP ok."
        assert ftp.sendcmd("PWD") == "226 again"


def test_early_reply_comes_before_the_data() -> None:
    with started(faults=[Fault(on="RETR", fault="early_reply")]) as sim, client(sim) as ftp:
        with ftp.transfercmd("RETR /f") as data:
            assert ftp.voidresp().startswith("226")
            assert received(data)[0] == DATA
        assert ftp.sendcmd("NOOP").startswith("200")


# --- connections


@pytest.mark.parametrize("kind", ["reset", "close"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_control_connection_dies_around_a_command(kind: str, when: str) -> None:
    with started(faults=[Fault(on="MKD", fault=kind, when=when)]) as sim:
        with client(sim) as ftp:
            expected = ConnectionResetError if kind == "reset" else EOFError
            with pytest.raises(expected):
                ftp.mkd("/d")
        assert sim.exists("/d") == (when == "after")


@pytest.mark.parametrize(("kind", "ending"), [("reset", "reset"), ("close", "closed")])
def test_data_connection_dies_after_exactly_that_many_octets(kind: str, ending: str) -> None:
    with (
        started(faults=[Fault(on="RETR", fault=kind, after_bytes=100_001)]) as sim,
        client(sim) as ftp,
    ):
        assert received(ftp.transfercmd("RETR /f")) == (DATA[:100_001], ending)
        with pytest.raises(ftplib.error_temp, match="426"):
            ftp.voidresp()
        assert fetched(ftp) == DATA


def test_upload_reset_keeps_exactly_what_had_come() -> None:
    with started(faults=[Fault(on="STOR", fault="reset", after_bytes=70_000)]) as sim:
        with client(sim) as ftp, pytest.raises((ftplib.error_temp, OSError)):
            stored(ftp, "/g", DATA)
        assert sim.get("/g") == DATA[:70_000]


@pytest.mark.parametrize("channel", ["control", "both"])
def test_reset_inside_data_can_hit_the_control_connection(channel: str) -> None:
    fault = Fault(on="RETR", fault="reset", after_bytes=1000, channel=channel)
    with started(faults=[fault]) as sim, client(sim) as ftp:
        data = ftp.transfercmd("RETR /f")
        assert received(data)[0] == DATA[:1000]
        with pytest.raises(ConnectionResetError):
            ftp.voidresp()


def test_reset_of_data_before_the_first_octet() -> None:
    with (
        started(faults=[Fault(on="RETR", fault="reset", channel="data")]) as sim,
        client(sim) as ftp,
    ):
        assert received(ftp.transfercmd("RETR /f")) == (b"", "reset")


def test_stall_stops_the_data_and_keeps_the_connections() -> None:
    with (
        started(faults=[Fault(on="RETR", fault="stall", after_bytes=5000)]) as sim,
        client(sim) as ftp,
    ):
        data = ftp.transfercmd("RETR /f")
        data.settimeout(SHORT_S)
        assert received(data) == (DATA[:5000], "nothing more")


def test_stall_of_some_seconds_goes_on() -> None:
    fault = Fault(on="RETR", fault="stall", after_bytes=5000, seconds=SHORT_S)
    with started(faults=[fault]) as sim, client(sim) as ftp:
        start = time.monotonic()
        assert fetched(ftp) == DATA
        assert time.monotonic() - start >= SHORT_S


def test_stall_of_an_upload_goes_on() -> None:
    fault = Fault(on="STOR", fault="stall", after_bytes=5000, seconds=SHORT_S)
    with started(faults=[fault]) as sim:
        with client(sim) as ftp:
            stored(ftp, "/g", DATA)
        assert sim.get("/g") == DATA


def test_freeze_answers_nobody_until_thaw() -> None:
    with started() as sim, client(sim) as ftp:
        sim.freeze()
        ftp.sock.settimeout(SHORT_S)  # type: ignore[union-attr]
        with pytest.raises(TimeoutError):
            ftp.pwd()
        with socket.create_connection((sim.host, sim.port), 5) as other:
            other.settimeout(SHORT_S)
            with pytest.raises(TimeoutError):
                other.recv(1)
            sim.thaw()
            other.settimeout(10)
            assert other.recv(1) == b"2"


def test_freeze_by_a_command_ends_after_its_seconds() -> None:
    fault = Fault(on="NOOP", fault="freeze", seconds=SHORT_S)
    with started(faults=[fault]) as sim, client(sim) as ftp:
        start = time.monotonic()
        assert ftp.sendcmd("NOOP").startswith("200")
        assert time.monotonic() - start >= SHORT_S


def test_freeze_inside_data_stops_after_those_octets() -> None:
    with (
        started(faults=[Fault(on="RETR", fault="freeze", after_bytes=3000)]) as sim,
        client(sim) as ftp,
    ):
        data = ftp.transfercmd("RETR /f")
        data.settimeout(SHORT_S)
        assert received(data) == (DATA[:3000], "nothing more")


def test_stop_ends_a_frozen_simulator() -> None:
    sim = FtpSimulator()
    sim.freeze()
    sim.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sim.host, sim.port), 5)


def test_restart_drops_everybody_and_comes_back_on_the_same_port() -> None:
    with started(faults=[Fault(on="NOOP", fault="restart", seconds=0.1)]) as sim:
        with client(sim) as ftp, pytest.raises((EOFError, ConnectionError)):
            ftp.voidcmd("NOOP")
        wait_until(lambda: _answers(sim))
        with client(sim) as ftp:
            assert fetched(ftp) == DATA


def test_restart_inside_data_cuts_it() -> None:
    with (
        started(faults=[Fault(on="RETR", fault="restart", after_bytes=9000)]) as sim,
        client(sim) as ftp,
    ):
        assert received(ftp.transfercmd("RETR /f"))[0] == DATA[:9000]
        with pytest.raises((EOFError, ConnectionError)):
            ftp.voidresp()


def _answers(sim: FtpSimulator) -> bool:
    try:
        with socket.create_connection((sim.host, sim.port), 5) as sock:
            return sock.recv(3) == b"220"
    except OSError:
        return False


def test_slow_banner() -> None:
    fault = Fault(on="CONNECT", fault="delay", seconds=SHORT_S)
    with started(faults=[fault]) as sim, socket.create_connection((sim.host, sim.port), 5) as sock:
        start = time.monotonic()
        assert sock.recv(3) == b"220"
        assert time.monotonic() - start >= SHORT_S * 0.9


def test_limit_at_connect_answers_421() -> None:
    fault = Fault(on="CONNECT", fault="limit", limit=1)
    with started(faults=[fault]) as sim, client(sim):
        with pytest.raises(ftplib.error_temp, match="421"), client(sim):
            pass
        assert sim.sessions_peak == 1


def test_limit_at_login_answers_530() -> None:
    fault = Fault(on="LOGIN", fault="limit", limit=1)
    with (
        started(faults=[fault]) as sim,
        client(sim),
        pytest.raises(ftplib.error_perm, match="530"),
        client(sim),
    ):
        pass


def test_sessions_max_refuses_and_readmits() -> None:
    with started(sessions_max=1) as sim:
        with client(sim), pytest.raises(ftplib.error_temp, match="421"), client(sim):
            pass
        wait_until(lambda: sim.sessions_now == 0)
        with client(sim) as ftp:
            assert ftp.pwd() == "/"


def test_idle_disconnects_with_421() -> None:
    with started(faults=[Fault(fault="idle", seconds=0.2)]) as sim, client(sim) as ftp:
        assert ftp.sock is not None
        assert received(ftp.sock)[0].startswith(b"421 ")


# --- the data


def test_truncate_ends_a_download_early_with_226() -> None:
    with (
        started(faults=[Fault(on="RETR", fault="truncate", after_bytes=1234)]) as sim,
        client(sim) as ftp,
    ):
        assert fetched(ftp) == DATA[:1234]


def test_truncate_keeps_the_beginning_of_an_upload_with_226() -> None:
    with started(faults=[Fault(on="STOR", fault="truncate", after_bytes=1234)]) as sim:
        with client(sim) as ftp:
            assert stored(ftp, "/g", DATA).startswith("226")
        assert sim.get("/g") == DATA[:1234]


def test_surplus_is_the_same_noise_for_the_same_seed() -> None:
    seen = []
    for _ in range(2):
        with (
            started(seed=7, faults=[Fault(on="RETR", fault="surplus", extra_bytes=10)]) as sim,
            client(sim) as ftp,
        ):
            seen.append(fetched(ftp))
    assert len(seen[0]) == len(DATA) + 10
    assert seen[0] == seen[1]


def test_surplus_of_an_upload_stays_in_the_file() -> None:
    with started(faults=[Fault(on="STOR", fault="surplus", extra_bytes=10)]) as sim:
        with client(sim) as ftp:
            stored(ftp, "/g", DATA)
        assert len(sim.get("/g")) == len(DATA) + 10


@pytest.mark.parametrize("command", ["RETR", "STOR"])
def test_corrupt_flips_one_octet(command: str) -> None:
    with (
        started(faults=[Fault(on=command, fault="corrupt", after_bytes=77)]) as sim,
        client(sim) as ftp,
    ):
        stored(ftp, "/g", DATA)
        got = fetched(ftp, "/g")
    assert [i for i, (a, b) in enumerate(zip(got, DATA, strict=True)) if a != b] == [77]


@pytest.mark.parametrize("command", ["RETR", "STOR"])
def test_bandwidth_slows_the_data(command: str) -> None:
    fault = Fault(on=command, fault="bandwidth", bytes_per_s=512 * KIB)
    with started(faults=[fault]) as sim, client(sim) as ftp:
        start = time.monotonic()
        if command == "RETR":
            assert fetched(ftp) == DATA
        else:
            stored(ftp, "/g", DATA)
        assert 0.3 < time.monotonic() - start < 5


# --- the server's manners


@pytest.mark.parametrize(
    "command",
    ["STOR /g", "APPE /g", "DELE /f", "MKD /d", "RMD /d", "RNFR /f", "MDTM 20200101000000 /f"],
)
def test_read_only_refuses_what_writes(command: str) -> None:
    with started(faults=[Fault(fault="read_only")]) as sim:
        before = sim.tree()
        with client(sim) as ftp, pytest.raises(ftplib.error_perm, match="550"):
            ftp.sendcmd(command)
        assert sim.tree() == before


def test_quota_answers_552_and_keeps_what_fitted() -> None:
    with started(faults=[Fault(on="STOR", fault="quota", limit_bytes=len(DATA) + 1000)]) as sim:
        with client(sim) as ftp, pytest.raises((ftplib.error_perm, OSError)) as caught:
            stored(ftp, "/g", DATA)
        assert isinstance(caught.value, OSError) or "552" in str(caught.value)
        assert sim.get("/g") == DATA[:1000]


def test_pasv_host_is_a_wrong_one() -> None:
    fault = Fault(on="PASV", fault="pasv_host", host="10.1.2.3")
    with started(faults=[fault]) as sim, client(sim) as ftp:
        assert "(10,1,2,3," in ftp.sendcmd("PASV")
        assert fetched(ftp) == DATA  # ftplib connects to the control connection's host


def test_dead_port_refuses() -> None:
    with started(faults=[Fault(on="EPSV", fault="dead_port")]) as sim, client(sim) as ftp:
        port = int(ftp.sendcmd("EPSV").split("|")[3])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((sim.host, port), 5)


@pytest.mark.parametrize(
    ("command", "code"), [("DELE /f", "250"), ("MKD /d", "257"), ("RMD /empty", "250")]
)
def test_lie_says_yes_and_does_nothing(command: str, code: str) -> None:
    with started(faults=[Fault(fault="lie", nth=0)]) as sim:
        sim.mkdir("/empty")
        before = sim.tree()
        with client(sim) as ftp:
            assert ftp.sendcmd(command).startswith(code)
        assert sim.tree() == before


def test_lie_about_a_rename() -> None:
    with started(faults=[Fault(on="RNTO", fault="lie")]) as sim:
        with client(sim) as ftp:
            assert ftp.rename("/f", "/g").startswith("250")
        assert sorted(sim.tree()) == ["/f"]


def test_lie_about_an_upload() -> None:
    with started(faults=[Fault(on="STOR", fault="lie")]) as sim:
        with client(sim) as ftp:
            assert stored(ftp, "/f", b"new").startswith("226")
        assert sim.get("/f") == DATA


def test_recursive_rmd_removes_a_full_directory() -> None:
    with started(faults=[Fault(fault="recursive_rmd")]) as sim:
        sim.put("/d/e/x", b"1")
        with client(sim) as ftp:
            ftp.rmd("/d")
        assert not sim.exists("/d")


def test_rename_aside_keeps_both_files() -> None:
    with started(faults=[Fault(fault="rename_aside", on="RNTO")]) as sim:
        for name in ("/d.x/old", "/new1", "/new2", "/new3"):
            sim.put(name, name.encode())
        with client(sim) as ftp:
            ftp.rename("/new1", "/d.x/old")
            ftp.rename("/new2", "/d.x/old")
            ftp.rename("/new3", "/free.txt")

        sim.remove("/f")
        assert sim.tree() == {
            "/d.x": None,
            "/d.x/old": b"/d.x/old",
            "/d.x/old (1)": b"/new1",
            "/d.x/old (2)": b"/new2",
            "/free.txt": b"/new3",
        }


def test_offset_ignored_spoils_the_file_and_stays_for_the_next_transfer() -> None:
    with started(faults=[Fault(fault="offset_ignored", on="STOR|APPE")]) as sim, client(sim) as ftp:
        sim.put("/a", b"0123456789")

        ftp.storbinary("APPE /a", io.BytesIO(b"abcdef"))
        assert sim.get("/a") == b"abcdef"

        ftp.storbinary("STOR /a", io.BytesIO(b"ghijkl"), rest=4)
        assert sim.get("/a") == b"ghijkl"

        parts: list[bytes] = []
        ftp.retrbinary("RETR /a", parts.append)
        assert b"".join(parts) == b"kl"


def test_digest_cached_answers_for_the_file_of_that_second() -> None:
    faults = [Fault(fault="digest_cached", on="HASH")]
    with started("swiftp", faults=faults) as sim, client(sim) as ftp:
        sim.put("/a", b"old", 10**18)
        old = ftp.sendcmd("HASH /a")
        sim.put("/a", b"new", 10**18 + 5)
        assert ftp.sendcmd("HASH /a") == old

        sim.put("/a", b"new", 10**18 + 10**9)
        assert ftp.sendcmd("HASH /a") != old


def test_listing_adds_raw_lines() -> None:
    line = "-rw-r--r--    1 0        0               5 Jan 01  2020 ../evil"
    with (
        started(faults=[Fault(on="LIST", fault="listing", lines=(line,))]) as sim,
        client(sim) as ftp,
    ):
        lines: list[str] = []
        ftp.retrlines("LIST", lines.append)
    assert len(lines) == 2
    assert lines[1] == line


def test_listing_replaces_mlst() -> None:
    fault = Fault(on="MLST", fault="listing", lines=("type=file;size=1; /other",), replace=True)
    with started("proftpd", faults=[fault]) as sim, client(sim) as ftp:
        assert " type=file;size=1; /other" in ftp.sendcmd("MLST /f").split("\n")


def test_every_kind_of_fault_is_exercised_here() -> None:
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    by_parameter = {"reset", "close"}
    assert [k for k in KINDS - by_parameter if f'fault="{k}"' not in text] == []


# --- addresses


def test_nth_and_times() -> None:
    fault = Fault(on="NOOP", fault="reply", code=450, nth=2, times=2)
    with started(faults=[fault]) as sim, client(sim) as ftp:
        assert [_code(ftp, "NOOP") for _ in range(5)] == ["200", "450", "450", "200", "200"]


def test_path_narrows_a_fault_down() -> None:
    fault = Fault(on="SIZE", fault="reply", code=450, nth=0, path="/a/*[1]*")
    with started(faults=[fault]) as sim:
        sim.put("/a/x[1].txt", b"")
        sim.put("/a/x1.txt", b"")
        with client(sim) as ftp:
            ftp.cwd("/a")
            assert [_code(ftp, f"SIZE {n}") for n in ("x[1].txt", "x1.txt")] == ["450", "213"]


def test_session_narrows_a_fault_down() -> None:
    fault = Fault(on="NOOP", fault="reply", code=450, nth=0, session=2)
    with started(faults=[fault]) as sim, client(sim) as first, client(sim) as second:
        assert [_code(ftp, "NOOP") for ftp in (first, second)] == ["200", "450"]


def test_chance_is_the_same_for_the_same_seed() -> None:
    runs = []
    for _ in range(2):
        fault = Fault(on="NOOP", fault="reply", code=450, nth=0, chance=0.5)
        with started(seed=3, faults=[fault]) as sim, client(sim) as ftp:
            runs.append([_code(ftp, "NOOP") for _ in range(30)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {"200", "450"}


def test_inject_and_clear() -> None:
    with started() as sim, client(sim) as ftp:
        sim.inject(Fault(on="NOOP", fault="reply", code=450, nth=0))
        assert _code(ftp, "NOOP") == "450"
        sim.clear_faults()
        assert _code(ftp, "NOOP") == "200"


def _code(ftp: ftplib.FTP, command: str) -> str:
    try:
        return ftp.sendcmd(command)[:3]
    except ftplib.Error as error:
        return str(error)[:3]
