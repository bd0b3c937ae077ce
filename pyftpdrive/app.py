"""Composition root: one mount from the configuration to the end of the process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyftpdrive.base.errors import FsError
from pyftpdrive.cache.blocks import KIB, MIB
from pyftpdrive.cache.fetcher import FetchOptions
from pyftpdrive.cache.metadata import MetadataOptions
from pyftpdrive.config import Config, cache_directory, upload_directory
from pyftpdrive.core.filesystem import Filesystem
from pyftpdrive.drive import Drive, DriveOptions, server_url
from pyftpdrive.ftp.engine import EngineOptions
from pyftpdrive.ftp.ftp_client import ClientOptions, TlsMode
from pyftpdrive.ftp.retry import RetryPolicy
from pyftpdrive.hosts.host import Host, HostOptions
from pyftpdrive.spool.staging import StagedFile

ATTRIBUTE_TTL_MAX_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """What was found while unmounting."""

    open_files: list[str]  # were still open; their programs get an error from now on
    pending: list[str]  # not on the server yet; kept, sent by the next mount
    held: list[str]  # path and reason; kept until the user says what to do


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
            pending=[str(staged.path) for staged in left],
            held=[f"{s.path}: {s.reason}" for s in self.drive.files.uploader.held()],
        )
        self.drive.stop()
        return report

    def held(self, request: dict[str, Any]) -> dict[str, Any]:
        """For `pyftpdrive held`: list, retry, export or discard; `error` says why not."""
        held = self.drive.held
        if request.get("action") == "list":
            files = self.drive.files.uploader.held()
            return {"held": [_held_row(self.server, staged) for staged in files]}
        try:
            staged = held.find(str(request.get("file", "")))
            answer: dict[str, Any] = {"path": staged.path}
            if request.get("action") == "retry":
                held.retry(staged, overwrite=bool(request.get("overwrite")))
            elif request.get("action") == "discard":
                held.discard(staged)
            elif request.get("action") == "export":
                answer["missing_bytes"] = held.export(staged, Path(str(request.get("to"))))
            else:
                answer = {"error": "unknown request"}
        except FsError as error:
            return {"error": str(error)}
        return answer

    def why(self) -> dict[str, object]:
        """For `pyftpdrive why`: the last slow or failed operations."""
        return {
            "server": self.server,
            "drive": self._config.mount.drive,
            "sessions": self.drive.engine.status(),
            "operations": self.drive.engine.recorder.report(),
        }

    def status(self) -> dict[str, object]:
        """For `pyftpdrive status`."""
        return {
            "server": self.server,
            "drive": self._config.mount.drive,
            "since": self._since.isoformat(timespec="seconds"),
            **self.drive.status(),
            "open_files": [path for path, _count in self.drive.filesystem.open_files()],
        }


def _held_row(server: str, staged: StagedFile) -> dict[str, object]:
    """A held file, for people and programs."""
    saved = datetime.fromtimestamp(staged.modified_ns / 1e9, UTC)
    return {
        "id": staged.id,
        "server": server,
        "path": staged.path,
        "size_bytes": staged.size_bytes,
        "saved": saved.isoformat(timespec="seconds"),
        "reason": staged.reason,
    }


def _default_host(filesystem: Filesystem, options: HostOptions) -> Host:
    if sys.platform != "win32":
        from pyftpdrive.hosts.fuse import FuseHost  # needs libfuse at import

        return FuseHost(filesystem, options)
    else:  # noqa: RET505  # mypy follows platforms in branches only
        from pyftpdrive.hosts.winfsp import WinFspHost  # needs WinFsp at import

        return WinFspHost(filesystem, options)


def drive_options(config: Config) -> DriveOptions:
    """The options of every layer, from the configuration."""
    ftp, cache, connection = config.ftp, config.cache, config.connection
    # The kernel answers by itself for this long; it counts as part of the listing's age.
    kernel_s = attribute_ttl(config)
    return DriveOptions(
        client=ClientOptions(
            host=ftp.host,
            port=ftp.port,
            username=ftp.username,
            password=ftp.password,
            passive=ftp.passive_mode,
            tls=TlsMode(ftp.tls),
            tls_verify=ftp.tls_verify,
            tls_ca_file=ftp.tls_ca_file or None,
            encoding=ftp.encoding,
            timeout_s=connection.timeout_seconds,
            root=ftp.root,
        ),
        engine=EngineOptions(
            sessions_max=ftp.max_sessions,
            deadline_s=connection.deadline_seconds,
            retry=RetryPolicy(
                attempts=connection.retry_attempts, delay_s=connection.retry_delay_seconds
            ),
            keepalive_s=connection.keepalive_interval_seconds,
        ),
        metadata=MetadataOptions(
            enabled=cache.enabled,
            directory_ttl_s=max(0.0, cache.directory_ttl_seconds - kernel_s),
            metadata_ttl_s=max(0.0, cache.metadata_ttl_seconds - kernel_s),
        ),
        fetch=FetchOptions(
            read_ahead_bytes=cache.read_ahead_mb * MIB,
            small_file_bytes=cache.small_file_kb * KIB,
            deadline_s=connection.deadline_seconds,
        ),
        cache_directory=cache_directory(config),
        cache_max_bytes=cache.max_size_mb * MIB,
        spool_directory=upload_directory(config),
        drain_timeout_s=config.upload.drain_timeout_seconds,
        read_only=config.mount.read_only,
        conflict_copies=config.upload.conflicts == "copy",
    )


def attribute_ttl(config: Config) -> float:
    """How long the kernel may answer without asking: a small part of what was configured."""
    if not config.cache.enabled:
        return 0.0
    return min(ATTRIBUTE_TTL_MAX_S, config.cache.directory_ttl_seconds / 6)


def host_options(config: Config, source: str) -> HostOptions:
    """How the drive looks, from the configuration."""
    mount = config.mount
    return HostOptions(
        drive=mount.drive,
        label=mount.volume_label,
        source=source,
        read_only=mount.read_only,
        allow_other=mount.allow_other,
        network_drive=mount.network_drive,
        hide_dot_files=mount.hide_dot_files,
        file_mode=mount.file_mode,
        directory_mode=mount.directory_mode,
        attribute_ttl_s=attribute_ttl(config),
    )
