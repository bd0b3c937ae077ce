"""`FtpClient.checksum` on servers that have digests, on those that have none, and on liars."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from pyftpdrive.base.errors import IsADirectory, NotFound, RemoteTimeout
from pyftpdrive.base.paths import RemotePath
from pyftpdrive.base.secret import Secret
from pyftpdrive.ftp.checksums import Algorithm, compute
from pyftpdrive.ftp.profile import Proof, ServerProfile
from simulators.ftp_server import PROFILES, Fault, FtpSimulator
from tests.helpers import real_servers
from tests.helpers.ftp import connected
from tests.helpers.real_servers import RealServer

pytestmark = pytest.mark.integration
DATA = bytes(range(256)) * 5000
FILE = RemotePath("/a file.bin")
DIGESTS = {"HASH", "XSHA256", "XSHA512", "XSHA1", "XSHA", "XMD5", "MD5", "XCRC"}
USER = {"username": "user", "password": Secret("password")}


def asked(server: FtpSimulator) -> list[str]:
    return [entry.command for entry in server.ledger.commands(*DIGESTS)]


@pytest.mark.parametrize(
    ("profile", "who", "algorithm", "way"),
    [
        ("swiftp", USER, Algorithm.SHA256, "HASH SHA-256"),
        ("swiftp", {}, Algorithm.MD5, "HASH"),  # no FEAT, no OPTS for guests
        ("mina", USER, Algorithm.MD5, "MD5"),
    ],
)
def test_the_best_digest_that_the_server_has(
    profile: str, who: dict[str, object], algorithm: Algorithm, way: str
) -> None:
    with FtpSimulator(profile, users={"user": "password"}) as server:
        server.put(FILE, DATA)
        with connected(server, **who) as client:
            first, second = client.checksum(FILE), client.checksum(FILE)

            assert first == second == compute(algorithm, io.BytesIO(DATA))
            assert client.profile.checksum_way == way
            assert client.profile.checksum is Proof.UNKNOWN  # who knows the octets has the word

        assert asked(server) == [way.split()[0]] * 2


@pytest.mark.parametrize("profile", sorted(set(PROFILES) - {"swiftp", "mina"}))
def test_a_server_without_digests_is_asked_at_most_once(profile: str) -> None:
    with FtpSimulator(profile, users={"user": "password"}) as server:
        server.put(FILE, DATA)
        with connected(server, **USER) as client:
            assert client.checksum(FILE) is None
            before = asked(server)
            assert client.checksum(FILE) is None

            assert client.profile.checksum is Proof.NO
        assert asked(server) == before
        knows_nothing = PROFILES[profile].features is None
        assert set(before) == (DIGESTS if knows_nothing else set())


def test_what_is_no_file_has_no_digest() -> None:
    with FtpSimulator("mina", users={"user": "password"}) as server:
        server.mkdir("/d")
        with connected(server, **USER) as client:
            with pytest.raises(NotFound):
                client.checksum(RemotePath("/nothing"))
            with pytest.raises(IsADirectory):
                client.checksum(RemotePath("/d"))

            assert client.profile.checksum is Proof.UNKNOWN


def test_a_file_that_may_not_be_digested_proves_nothing() -> None:
    refused = Fault(fault="reply", on="MD5", code=550, text="Permission denied.")
    with FtpSimulator("mina", users={"user": "password"}, faults=[refused]) as server:
        server.put(FILE, DATA)
        with connected(server, **USER) as client:
            assert client.checksum(FILE) is None
            assert client.checksum(FILE) == compute(Algorithm.MD5, io.BytesIO(DATA))


def test_a_digest_that_never_comes_is_given_up_after_the_second_time() -> None:
    silent = Fault(fault="swallow_reply", on="MD5", nth=0)
    profile = ServerProfile()
    with FtpSimulator("mina", users={"user": "password"}, faults=[silent]) as server:
        server.put(FILE, DATA)
        with connected(server, profile, timeout_s=0.3, **USER) as client:
            for expected in (Proof.UNKNOWN, Proof.NO):
                with pytest.raises(RemoteTimeout):
                    client.checksum(FILE)
                assert profile.checksum is expected
                client.connect()

            assert client.checksum(FILE) is None


def test_a_liar_is_not_asked_again() -> None:
    wrong = Fault(fault="reply", on="MD5", nth=0, code=251, text=f"{FILE} {'0' * 32}")
    with FtpSimulator("mina", users={"user": "password"}, faults=[wrong]) as server:
        server.put(FILE, DATA)
        with connected(server, **USER) as client:
            said = client.checksum(FILE)
            assert said is not None
            assert said != said.same_of(io.BytesIO(DATA))
            client.profile.deny("checksum")

            assert client.checksum(FILE) is None
        assert len(asked(server)) == 1


@pytest.mark.parametrize("name", ["f", "a b", "ä 漢", "0123456789abcdef0123456789abcdef"])
@pytest.mark.parametrize("way", [None, *sorted(DIGESTS)])
def test_real_proftpd(proftpd: RealServer, name: str, way: str | None) -> None:
    (proftpd.root / name).write_bytes(DATA)
    with connected(proftpd) as client:
        assert {"HASH", "MD5", "XCRC", "XSHA256"} <= set(client.profile.features)
        client.profile.checksum_way = way or ""

        said = client.checksum(RemotePath(f"/{name}"))

        assert said is not None
        assert said == said.same_of(io.BytesIO(DATA))
        assert way is not None or client.profile.checksum_way == "HASH SHA-256"


@pytest.fixture(scope="module")
def proftpd() -> Iterator[RealServer]:
    reason = real_servers.available("proftpd")
    if reason is not None:
        pytest.skip(reason)
    with RealServer.start("proftpd") as server:
        yield server
