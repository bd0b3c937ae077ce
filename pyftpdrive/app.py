"""Composition root: one mount from the configuration to the end of the process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pyftpdrive.base.errors import MountError, MountProblem
from pyftpdrive.config import Config
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.drive import Drive
from pyftpdrive.ftp.ftp_client import ClientOptions
from pyftpdrive.hosts.host import Host, HostOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """What was found while unmounting."""

    open_files: list[str]  # were still open; their programs get an error from now on
    pending: list[str]  # not on the server yet; kept, sent by the next mount


class MountSession:
    """One mounted drive, from the configuration to the end of the process."""

    def __init__(
        self,
        config: Config,
        *,
        host_factory: Callable[[Filesystem, HostOptions], Host] | None = None,
    ) -> None:
        self._config = config
        self._options = drive_options(config)
        self.drive = Drive(self._options)
        self._host_factory = host_factory or _default_host
        self._host: Host | None = None
        self._stop_requested = threading.Event()
        self._since = datetime.now(UTC)

    @property
    def server(self) -> str:
        """The server as people write it, without a password."""
        return server_url(self._options.client)

    def start(self) -> None:
        """Mount; return when programs can use the drive.

        Raises:
            RemoteError, MountError, OSError: why not; nothing is left mounted or running.
        """
        self.drive.start()
        try:
            self._host = self._host_factory(
                self.drive.filesystem, host_options(self._config, self.server)
            )
            self._host.start(self._stop_requested.set)
        except BaseException:
            self.drive.stop()
            raise

    def wait(self) -> None:
        """Block until a stop is requested or the drive was unmounted by others."""
        while not self._stop_requested.wait(1.0):
            pass

    def request_stop(self) -> None:
        """End `wait`; safe in a signal handler."""
        self._stop_requested.set()

    def stop(self) -> StopReport:
        """Unmount, send what is pending as far as the time allows, end everything."""
        opened = [path for path, _count in self.drive.filesystem.open_files()]
        busy = self._host.stop() if self._host is not None else False
        left = self.drive.drain(self._options.drain_timeout_s)
        report = StopReport(
            open_files=[str(path) for path in opened] if busy else [],
            pending=[str(staged.path) for staged in left]
            + [str(staged.path) for staged in self.drive.files.uploader.held()],
        )
        self.drive.stop()
        return report

    def status(self) -> dict[str, object]:
        """For `pyftpdrive status`."""
        return {
            "server": self.server,
            "drive": self._config.mount.drive,
            "since": self._since.isoformat(timespec="seconds"),
            **self.drive.status(),
            "open_files": [path for path, _count in self.drive.filesystem.open_files()],
        }


def _default_host(filesystem: Filesystem, options: HostOptions) -> Host:
    if sys.platform == "win32":
        raise MountError(
            MountProblem.HOST_MISSING,
            "the Windows drive (WinFsp) comes with a later release; this one mounts on Linux",
        )
    from pyftpdrive.hosts.fuse import FuseHost  # noqa: PLC0415  # needs libfuse at import

    return FuseHost(filesystem, options)


def server_url(client: ClientOptions) -> str:
    """The server as people write it, without a password."""
    user = f"{client.username}@" if client.username else ""
    host = f"[{client.host}]" if ":" in client.host else client.host
    scheme = {"none": "ftp", "explicit": "ftpes", "implicit": "ftps"}[client.tls.value]
    return f"{scheme}://{user}{host}:{client.port}"
