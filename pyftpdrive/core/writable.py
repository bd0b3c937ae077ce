"""Where this login may store files, and under which names: found out before anything is accepted.

Known for a directory, and for all below it, once something was stored there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

from pyftpdrive.base.errors import (
    FsError,
    FsStatus,
    NoSpace,
    NotFound,
    RemoteError,
    RemoteUnavailable,
)
from pyftpdrive.base.model import RemoteEntry
from pyftpdrive.base.paths import RemotePath, is_below, join, parent
from pyftpdrive.core.error_map import fs_error
from pyftpdrive.ftp.engine import Engine
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobControl, Priority
from pyftpdrive.spool.journal import Journal
from pyftpdrive.spool.names import TEMPORARY_PREFIX, oddities, require_kept

log = logging.getLogger(__name__)


class Writable:
    """What was proven about storing; *remove_later* sees to probes that could not be removed."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        *,
        read_only: bool,
        new_id: Callable[[], str],
        remove_later: Callable[[RemotePath], None],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._read_only = read_only
        self._new_id = new_id
        self._remove_later = remove_later
        self._writable: set[RemotePath] = set()

    def require(self, directory: RemotePath, entry: RemoteEntry | None) -> None:
        """Find out whether this login may store files in *directory*, before anything is accepted.

        Known below a directory that was proven. Otherwise one empty file is stored and removed;
        when the server does not answer, the spool accepts the bytes and sends them later.

        Raises:
            FsError: READ_ONLY, ACCESS_DENIED with the server's words, NO_SPACE.
        """
        if self._read_only:
            raise FsError(FsStatus.READ_ONLY, "the drive is mounted read-only")
        if entry is not None and entry.perm and not set(entry.perm) & set("wa"):
            raise FsError(FsStatus.ACCESS_DENIED, f"{entry.name}: the server says read-only")
        if any(directory == known or is_below(directory, known) for known in self._writable):
            return
        if self._engine.away:
            log.debug("%s: accepted without proof, the server is away", directory)
            return
        probe = self.own_name(directory, "probe")

        def try_to_store(client: FtpClient, _control: JobControl) -> None:
            stored = False
            try:
                self._journal.put_stray(probe)
                client.store(probe, BytesIO())
                stored = True
                client.delete_file(probe)
                self._journal.delete_stray(probe)
            except OSError as error:
                raise NoSpace(f"local disk: {error}") from error
            except RemoteError:  # also of a refusal that took effect all the same
                self._remove_later(probe)
                if not stored:
                    raise

        try:
            self._engine.run(f"probe {directory}", try_to_store, priority=Priority.METADATA)
        except RemoteUnavailable as error:
            log.debug("%s: accepted without proof: %s", directory, error)
            return
        except NotFound as error:
            raise FsError(FsStatus.PATH_NOT_FOUND, f"{directory}: {error}") from error
        except RemoteError as error:
            raise self._refusal(directory, error) from error
        self.proven(directory)

    def require_name_kept(self, client: FtpClient, path: RemotePath) -> None:
        """Find out whether the server would give *path* its name; on a session.

        Raises:
            NameChanged: it would be called otherwise, and might replace what is called so.
            RemoteError: it can't be found out.
        """
        odd = oddities(path)
        if not odd:
            return
        probe = self.own_name(parent(path), f"name{odd}")
        with suppress(OSError):  # then nobody looks after it if this program dies now
            self._journal.put_stray(probe)
        client.store(probe, BytesIO())
        try:
            require_kept(client, probe, path)
        finally:
            self._remove_later(probe)

    def own_name(self, directory: RemotePath, suffix: str) -> RemotePath:
        """A name in *directory* that the drive does not show."""
        return join(directory, f"{TEMPORARY_PREFIX}{self._new_id()}.{suffix}")

    @staticmethod
    def _refusal(directory: RemotePath, error: RemoteError) -> FsError:
        known = fs_error(error)
        if known.status in (FsStatus.NO_SPACE, FsStatus.NOT_FOUND, FsStatus.PATH_NOT_FOUND):
            return known
        return FsError(FsStatus.ACCESS_DENIED, f"{directory}: the server refuses to store: {error}")

    def proven(self, directory: RemotePath) -> None:
        """A file or directory was made in *directory*."""
        self._writable.add(directory)
