"""`pyftpdrive held` on a terminal: what others wrote reaches it without escape sequences."""

from __future__ import annotations

import json
from pathlib import Path

from simulators.ftp_server import Fault, FtpSimulator
from tests.helpers.mounts import PASSWORD, Mount, until

NAME = "evil\x1b]0;owned\x07\x1b[2J.txt"
SHOWN = r"evil\x1b]0;owned\x07\x1b[2J.txt"
REFUSED = "not\x1b[31m here"


def _nothing_raw(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def test_names_and_reasons_of_held_files_are_made_printable(tmp_path: Path) -> None:
    refused = Fault(on="STOR", path="*evil*", nth=0, fault="reply", code=553, text=REFUSED)
    also = Fault(on="STOR", path="*.part*", nth=0, fault="reply", code=553, text=REFUSED)
    with FtpSimulator(users={"anna": PASSWORD}, faults=[refused, also]) as server:
        mount = Mount(server.port, tmp_path / "drive", tmp_path / "state")
        with mount:
            (mount.at / NAME).write_bytes(b"precious")
            assert until(lambda: bool(mount.held()), within_s=20)

            mounted = mount.command("held", "list")
            (row,) = json.loads(mount.command("held", "list", "--json").stdout)["held"]
            mount.unmount()
        unmounted = mount.command("held", "list")
        exported = mount.command("held", "export", row["id"], str(tmp_path / "exported"))
        discarded = mount.command("held", "discard", row["id"], "--yes")

    assert row["path"] == f"/{NAME}"  # a program is told the name itself, escaped by JSON
    for done in (mounted, unmounted, exported, discarded):
        assert done.returncode == 0, done.stderr
        assert SHOWN in done.stdout
        assert _nothing_raw(done.stdout + done.stderr)
    assert r"not\x1b[31m here" in mounted.stdout
    assert (tmp_path / "exported").read_bytes() == b"precious"
