"""Times that programs give to files: shown at once, on the server a moment later."""

from __future__ import annotations

from dataclasses import replace

from pyftpdrive.base.paths import RemotePath
from pyftpdrive.core.nodes import FileNode, NodeTable
from pyftpdrive.core.view import View
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import Job, JobControl, Priority
from pyftpdrive.spool.times import OwnTimes, stamp


class SentTimes:
    """Times on their way. Programs change one path by one operation at a time."""

    def __init__(self, engine: Engine, view: View, nodes: NodeTable, own_times: OwnTimes) -> None:
        self._engine = engine
        self._view = view
        self._nodes = nodes
        self._own_times = own_times
        self._on_their_way: dict[RemotePath, int] = {}

    def send(self, path: RemotePath, modified_ns: int) -> None:
        """Set the time of *path* on the server, without waiting; the drive shows it at once."""
        # As known: this also runs on a session's thread, which must not wait for another one.
        _known, entry = self._view.metadata.lookup(path, stale=True)
        size = entry.size_bytes if entry is not None and entry.size_bytes is not None else 0
        self._view.pin(path, size, entry.modified_ns if entry else None, modified_ns)
        self._own_times.give(path, modified_ns)
        self._on_their_way[path] = modified_ns

        def set_time(client: FtpClient, _control: JobControl) -> None:
            if self._on_their_way.get(path) != modified_ns:
                return  # a newer one follows, or the name is another file's by now
            listed_ns = stamp(client, path, modified_ns)
            self._view.retime(path, size, listed_ns, modified_ns)
            node = self._nodes.get(path)
            if node is not None:
                _retime(node, listed_ns)

        def ended(_job: Job[None]) -> None:
            if self._on_their_way.get(path) == modified_ns:
                del self._on_their_way[path]

        self._engine.submit(
            self._engine.job(
                f"set time of {path}", set_time, priority=Priority.UPLOAD, on_done=ended
            )
        )

    def take(self, path: RemotePath) -> int | None:
        """The time of *path* that is on its way, if any: it is not set any more."""
        return self._on_their_way.pop(path, None)


def _retime(node: FileNode, modified_ns: int | None) -> None:
    """We changed the time on the server ourselves: that is no conflict."""
    with node.lock:
        if node.entry is not None:
            node.entry = replace(node.entry, modified_ns=modified_ns)
        if node.content is not None:
            node.content.modified_ns = modified_ns
        if node.staged is not None and node.staged.base is not None:
            with node.staged.lock:
                node.staged.base = replace(node.staged.base, modified_ns=modified_ns)
