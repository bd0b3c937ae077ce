"""Servers that send without end: each bound by itself, and the session is over afterwards."""

from __future__ import annotations

import pytest

from pyftpdrive.base.errors import ProtocolViolation, RemoteUnavailable
from pyftpdrive.base.paths import ROOT
from pyftpdrive.ftp import directory
from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.ftp import connected


@pytest.mark.parametrize(
    ("bound", "value", "text"),
    [
        ("LISTING_BYTES_MAX", 4 << 20, "one line of x"),
        ("LISTING_LINES_MAX", 10_000, "type=file;size=1; x\r\n"),
        ("LISTING_S_MAX", 0.2, "type=file;size=1; x\r\n"),
    ],
)
def test_a_listing_without_end_is_given_up(
    bound: str, value: float, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LISTING_BYTES_MAX", "LISTING_LINES_MAX", "LISTING_S_MAX"):
        monkeypatch.setattr(directory, name, value if name == bound else 1 << 40)
    fault = Fault(on="MLSD", nth=0, fault="endless_data", text=text)
    with (
        FtpSimulator("proftpd", faults=[fault]) as server,
        connected(server) as client,
        pytest.raises(ProtocolViolation, match="a listing without end"),
    ):
        client.list_dir(ROOT)


@pytest.mark.parametrize(("code", "error"), [(150, ProtocolViolation), (120, RemoteUnavailable)])
def test_preliminary_replies_without_end_are_given_up(code: int, error: type) -> None:
    fault = Fault(on="SIZE", nth=0, fault="endless_reply", text=f"{code} soon\r\n")
    with FtpSimulator("vsftpd") as server, connected(server) as client:
        server.put("/a", b"x")
        client.list_dir(ROOT)
        server.inject(Fault(on="LIST", nth=0, fault="endless_reply", text=f"{code} soon\r\n"))
        server.inject(fault)
        with pytest.raises(error, match="without end"):
            client.list_dir(ROOT)
        assert not client.connected


def test_thousands_of_strange_lines_cost_a_bounded_number_of_questions() -> None:
    lines = tuple(f"?? strange-{number}" for number in range(5000))
    with FtpSimulator("vsftpd") as server, connected(server) as client:
        server.put("/a", b"x")
        server.inject(Fault(on="LIST", nth=0, fault="listing", lines=lines))
        server.inject(Fault(on="NLST", nth=0, fault="listing", lines=tuple(x[3:] for x in lines)))
        listing = client.list_dir(ROOT)

        assert "a" in {entry.name for entry in listing.entries}
        assert len(server.ledger.sequence("SIZE")) <= directory.RESCUED_MAX
        assert len(listing.unparsed) >= len(lines) - directory.RESCUED_MAX
