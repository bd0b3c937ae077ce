"""Names that servers store as others, on the real one that does it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyftpdrive.base.errors import FsError, FsStatus
from pyftpdrive.base.paths import remote_path
from tests.helpers import real_servers
from tests.helpers.drives import started_drive
from tests.helpers.mounts import until
from tests.helpers.real_servers import RealServer

REASON = "the server changes this name (it makes '_' of ' '); save it under another name"


@pytest.mark.logs("is held: /name : the server changes this name")
def test_pure_ftpd_changes_a_blank_at_the_end_and_the_file_is_held(tmp_path: Path) -> None:
    reason = real_servers.available("pureftpd")
    if reason is not None:
        pytest.skip(reason)
    with RealServer.start("pureftpd") as server, started_drive(server, tmp_path) as drive:
        (server.root / "name_").write_bytes(b"another file")
        fs = drive.filesystem
        context = fs.create(remote_path("/name "))
        fs.write(context, 0, b"precious")
        fs.close(context)

        assert until(lambda: bool(drive.files.uploader.held()), within_s=20)
        (held,) = drive.files.uploader.held()
        assert (held.path, held.reason) == ("/name ", f"/name : {REASON}")
        assert drive.held.export(held, tmp_path / "exported") == 0
        assert (tmp_path / "exported").read_bytes() == b"precious"

        with pytest.raises(FsError, match="changes this name") as refused:
            fs.make_directory(remote_path("/dir "))
        assert refused.value.status is FsStatus.INVALID_NAME

        fs.rename(remote_path("/name "), remote_path("/name"))
        assert drive.drain(20) == []
        assert until(lambda: len(list(server.root.iterdir())) == 2, within_s=5)
        there = {file.name: file.read_bytes() for file in server.root.iterdir()}

    assert there == {"name_": b"another file", "name": b"precious"}
