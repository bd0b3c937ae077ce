"""FtpClient against every server we have: the real ones, and the simulator's profiles."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pyftpdrive.base.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    IsADirectory,
    NotADirectory,
    NotFound,
)
from pyftpdrive.base.model import Kind
from pyftpdrive.base.paths import ROOT, RemotePath, join, remote_path
from pyftpdrive.base.secret import Secret
from pyftpdrive.ftp.ftp_client import FtpClient
from simulators.ftp_server import PROFILES, FtpSimulator
from tests.helpers import real_servers
from tests.helpers.ftp import connected
from tests.helpers.real_servers import RealServer

pytestmark = pytest.mark.integration
SECOND = 10**9
OLD = 1_000_000_007 * SECOND  # an odd second, long ago
DATA = bytes(range(256)) * 4096
SERVERS = [
    *(pytest.param(f"real:{name}", id=f"real-{name}") for name in real_servers.NAMES),
    *(pytest.param(f"sim:{name}", id=f"sim-{name}") for name in PROFILES),
]


@pytest.fixture(params=SERVERS)
def client(request: pytest.FixtureRequest) -> Iterator[FtpClient]:
    where, _, name = request.param.partition(":")
    if where == "real":
        reason = real_servers.available(name)
        if reason is not None:
            pytest.skip(reason)
        with RealServer.start(name) as server, connected(server) as session:
            yield session
    else:
        with (
            FtpSimulator(name, users={"user": "password"}) as simulator,
            connected(simulator, username="user", password=Secret("password")) as session,
        ):
            yield session


def path(text: str) -> RemotePath:
    return remote_path(text)


def names(client: FtpClient, directory: str) -> set[str]:
    listing = client.list_dir(path(directory))
    assert not listing.unparsed
    assert not listing.refused
    return {entry.name for entry in listing.entries}


def test_what_was_stored_is_read_back(client: FtpClient) -> None:
    assert client.write_file(path("/f"), DATA) == len(DATA)

    assert client.read_file(path("/f"), 0, len(DATA) + 1) == DATA
    assert client.read_file(path("/f"), 1000, 500) == DATA[1000:1500]
    client.connect()  # a read that was cut short may have ended the session
    assert client.get_file_size(path("/f")) == len(DATA)


def test_store_replaces_a_longer_file(client: FtpClient) -> None:
    client.write_file(path("/f"), DATA)

    client.write_file(path("/f"), b"short")

    assert client.read_file(path("/f"), 0, 100) == b"short"


def test_an_empty_file_is_empty(client: FtpClient) -> None:
    client.create_file(path("/empty"))

    assert client.read_file(path("/empty"), 0, 10) == b""
    assert client.stat(path("/empty")).size_bytes == 0


def test_reading_behind_the_end_gives_nothing(client: FtpClient) -> None:
    client.write_file(path("/f"), b"12345")

    assert client.read_file(path("/f"), 5, 10) == b""
    assert client.read_file(path("/f"), 99, 10) == b""
    client.noop()


def test_a_read_cut_short_leaves_the_session_in_step_or_ends_it(client: FtpClient) -> None:
    client.write_file(path("/f"), DATA * 4)

    stream = client.open_retrieve(path("/f"))
    assert stream.read_into(memoryview(bytearray(1000))) > 0
    stream.abort()

    client.connect()  # nothing when it is connected
    assert client.get_file_size(path("/f")) == len(DATA) * 4
    assert client.read_file(path("/f"), 10, 20) == DATA[10:30]


@pytest.mark.parametrize(
    "name",
    ["-rf", "a b", "it's", "[x]", "{a,b}", "100%", "%41", "#;=", "ü日本", ".hidden", "a+b&c", "~"],
)
def test_awkward_names_can_be_listed_and_used(client: FtpClient, name: str) -> None:
    directory = join(ROOT, name)
    client.create_dir(directory)
    client.write_file(join(directory, name), b"x")

    assert {e.name for e in client.list_dir(directory).entries} == {name}
    assert client.read_file(join(directory, name), 0, 9) == b"x"
    assert client.stat(directory).kind is Kind.DIRECTORY


def test_a_listing_tells_kind_size_and_names(client: FtpClient) -> None:
    client.create_dir(path("/d"))
    client.create_dir(path("/d/sub"))
    client.write_file(path("/d/f"), b"12345")

    entries = {entry.name: entry for entry in client.list_dir(path("/d")).entries}

    assert {name: entry.kind for name, entry in entries.items()} == {
        "sub": Kind.DIRECTORY,
        "f": Kind.FILE,
    }
    assert entries["f"].size_bytes == 5


def test_a_time_that_was_set_is_listed_exactly(client: FtpClient) -> None:
    client.write_file(path("/f"), b"x")
    if not client.set_mtime(path("/f"), OLD):
        pytest.skip("this server sets no times")

    (entry,) = client.list_dir(ROOT).entries

    assert entry.modified_ns == OLD
    assert client.get_file_mtime(path("/f")) == OLD


def test_an_empty_directory_lists_as_empty(client: FtpClient) -> None:
    client.create_dir(path("/d"))

    assert names(client, "/d") == set()


def test_what_is_missing_is_not_found(client: FtpClient) -> None:
    for attempt in (
        lambda: client.list_dir(path("/none")),
        lambda: client.stat(path("/none")),
        lambda: client.read_file(path("/none"), 0, 1),
        lambda: client.delete_file(path("/none")),
        lambda: client.delete_dir(path("/none")),
        lambda: client.rename(path("/none"), path("/other")),
        lambda: client.create_dir(path("/none/d")),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert not client.exists(path("/none"))


def test_a_file_is_not_a_directory(client: FtpClient) -> None:
    client.write_file(path("/f"), b"x")

    with pytest.raises(NotADirectory):
        client.list_dir(path("/f"))
    with pytest.raises(NotADirectory):
        client.delete_dir(path("/f"))
    assert not client.is_dir(path("/f"))


def test_a_directory_is_not_a_file(client: FtpClient) -> None:
    client.create_dir(path("/d"))

    with pytest.raises(IsADirectory):
        client.read_file(path("/d"), 0, 1)
    with pytest.raises(IsADirectory):
        client.delete_file(path("/d"))
    with pytest.raises(IsADirectory):
        client.write_file(path("/d"), b"x")
    assert client.is_dir(path("/d"))


def test_a_full_directory_is_not_removed(client: FtpClient) -> None:
    client.create_dir(path("/d"))
    client.write_file(path("/d/.hidden"), b"x")

    with pytest.raises(DirectoryNotEmpty):
        client.delete_dir(path("/d"))

    assert client.read_file(path("/d/.hidden"), 0, 9) == b"x"


def test_an_empty_directory_is_removed(client: FtpClient) -> None:
    client.create_dir(path("/d"))

    client.delete_dir(path("/d"))

    assert names(client, "/") == set()


def test_a_directory_is_made_only_once(client: FtpClient) -> None:
    client.create_dir(path("/d"))

    with pytest.raises(AlreadyExists):
        client.create_dir(path("/d"))


def test_files_and_directories_are_renamed_and_moved(client: FtpClient) -> None:
    client.create_dir(path("/d"))
    client.write_file(path("/d/f"), b"x")

    client.rename(path("/d/f"), path("/d/g"))
    client.rename(path("/d"), path("/e"))

    assert names(client, "/") == {"e"}
    assert names(client, "/e") == {"g"}


def test_store_sends_from_the_files_position(client: FtpClient) -> None:
    source = io.BytesIO(b"not this|this")
    source.seek(9)

    assert client.store(path("/f"), source) == 4

    assert client.read_file(path("/f"), 0, 99) == b"this"


def test_an_upload_that_its_caller_stops_is_not_left_as_whole(client: FtpClient) -> None:
    class Stopped(Exception):
        pass

    def stop(_: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        client.store(path("/f"), io.BytesIO(DATA * 8), progress=stop)

    if not client.connected:
        client.connect()
    assert not client.exists(path("/f")) or client.get_file_size(path("/f")) < len(DATA) * 8


def test_a_session_in_another_directory_sees_the_same(client: FtpClient) -> None:
    client.create_dir(path("/base"))
    client.write_file(path("/base/f"), b"x")
    inner = FtpClient(replace(client.options, root="base"), client.profile)
    client.disconnect()
    inner.connect()
    try:
        assert {e.name for e in inner.list_dir(ROOT).entries} == {"f"}
        assert inner.read_file(path("/f"), 0, 9) == b"x"
    finally:
        inner.disconnect()
