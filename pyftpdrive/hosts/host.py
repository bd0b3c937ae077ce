"""What the composition root asks of a host: a mount that can be started and ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """How the drive looks to the operating system."""

    drive: str  # a directory, or a drive letter on Windows
    label: str = "FTP Drive"
    source: str = "ftp"  # shown as the device, e.g. ftp://host:port
    read_only: bool = False
    allow_other: bool = False
    file_mode: int = 0o644
    directory_mode: int = 0o755
    attribute_ttl_s: float = 1.0  # how long the kernel may answer by itself
    network_drive: bool = True  # Windows: a network drive, which Explorer probes less
    hide_dot_files: bool = False  # Windows: names that begin with a dot are hidden


class Host(Protocol):
    """One mount."""

    def start(self, on_end: Callable[[], None]) -> None:
        """Mount; return when programs can use the drive. *on_end*: it was unmounted by others.

        Raises:
            MountError: why it can't be mounted; nothing is left behind.
        """

    def stop(self) -> bool:
        """Unmount; True when files were still open and the drive was detached under them."""
