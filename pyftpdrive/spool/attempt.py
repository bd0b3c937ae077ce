"""One attempt to bring one version of a staged file to the server. Runs on a session.

    look (what is there?) → STOR temporary → look → put in place → set the time

What an earlier attempt did, also one of a run that crashed, is read off the server; `states.NEXT`
says what follows from it. Where the server can't rename at all, the file itself is overwritten,
and the version before is kept on this disk until the new one is proven.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

from pyftpdrive.base.errors import (
    ContentChanged,
    IsADirectory,
    NotFound,
    NotImplementedByServer,
    RemoteError,
    RemoteUnavailable,
    TransferTruncated,
)
from pyftpdrive.base.files import sync_file
from pyftpdrive.base.model import Kind, RemoteEntry
from pyftpdrive.base.paths import RemotePath
from pyftpdrive.ftp.ftp_client import FtpClient
from pyftpdrive.ftp.jobs import JobCancelled, JobYielded
from pyftpdrive.ftp.profile import Proof
from pyftpdrive.spool.journal import Journal
from pyftpdrive.spool.names import oddities, require_kept
from pyftpdrive.spool.replace import (
    NotThere,
    RenameRefused,
    drop_backup,
    octets_of,
    put_in_place,
    require_size,
    restore,
    same_content,
)
from pyftpdrive.spool.staging import Base, Part, StagedFile
from pyftpdrive.spool.states import NEXT, Next, StagedState, Step, Target
from pyftpdrive.spool.times import OwnTimes, same_time, stamp

log = logging.getLogger(__name__)

EARLY_LOOK_BYTES = 1 << 20  # a conflict is looked for before so much is sent, not only after
TAIL_BYTES = 64 * 1024  # compared before an upload that was cut goes on


class VersionChanged(RemoteError):
    """The staged file was written to while it was being sent."""


class Conflict(ContentChanged):
    """The server's file is not the version that the staged file builds on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What is on the server now."""

    path: RemotePath
    size_bytes: int
    modified_ns: int | None  # as the server will list it; None: not known
    stamped_ns: int  # the staged file's time that was sent
    version: int


class Attempt:
    """One version of *staged* on its way.

    *wanted* is asked after each piece and before the name is taken: False stops the attempt.
    *gives_way*: something more urgent waits for this session; the rest is sent by the next run.
    *torn*: the file is being written all the time; a copy of it is sent, whatever comes after.
    """

    def __init__(
        self,
        staged: StagedFile,
        client: FtpClient,
        journal: Journal,
        *,
        own_times: OwnTimes,
        wanted: Callable[[], bool],
        gives_way: Callable[[], bool],
        torn: bool,
    ) -> None:
        self._staged = staged
        self._own_times = own_times
        self._client = client
        self._journal = journal
        self._wanted = wanted
        self._gives_way = gives_way
        self._torn = torn
        self._source = staged.local_path
        with staged.lock:
            self._version, self._size_bytes = staged.version, staged.size_bytes
            self._temporary = staged.temporary_path()  # stays where it is, the target may move

    def run(self) -> Uploaded:
        """Bring the version to the server; return what is there.

        Raises:
            JobCancelled: it is not wanted any more; nothing of it is left on the server.
            JobYielded: a part of it is there; run another attempt.
            VersionChanged: there is a newer one; nothing of this one is left on the server.
            Conflict: another client's version is there; it stays.
            RemoteError: not done. The version before is on the server, or noted in the journal.
        """
        staged = self._staged
        with staged.lock:
            if staged.state is StagedState.OPEN:
                raise VersionChanged(f"{staged.path}: is being written to again")
            staged.move_to(StagedState.SENDING)
        if self._torn:
            self._source = staged.local_path.with_suffix(".snapshot")
            self._version = staged.snapshot(self._source)
            self._size_bytes = self._source.stat().st_size
        try:
            return self._run()
        except (JobCancelled, RemoteError) as error:
            if not getattr(error, "retryable", False):
                self._remove_temporary()
            raise
        finally:
            if self._torn:
                self._source.unlink(missing_ok=True)

    def _run(self) -> Uploaded:
        staged = self._staged
        earlier = None
        direct = staged.direct or self._client.profile.rename is Proof.NO
        if direct or staged.step is not Step.NONE or self._size_bytes >= EARLY_LOOK_BYTES:
            there, earlier = self._client.look([staged.path, self._temporary])
            if direct and earlier is not None:
                self._remove_temporary()
            if self._settle(there):
                return self._done(staged.path)
        self._check(0)
        for stray in staged.strays - {self._temporary}:
            if staged.step is not Step.SWAP or stray != staged.backup_path():
                self._remove(stray)  # of an earlier attempt
        if direct:
            return self._overwrite()
        self._leave(self._temporary)
        self._bring(earlier)
        if oddities(staged.path):
            require_kept(self._client, self._temporary, staged.path)
        target, there, settled = self._look_again()
        if settled:
            self._remove_temporary()
            return self._done(target)
        stamped_ns = staged.modified_ns
        listed_ns = stamp(self._client, self._temporary, stamped_ns)
        staged.candidate = Base(size_bytes=self._size_bytes, modified_ns=listed_ns)
        try:
            entry = put_in_place(
                self._client,
                self._temporary,
                target,
                size_bytes=self._size_bytes,
                over=there,
                backup=staged.backup_path(),
                note=self._note,
                leave=self._leave,
                landed=self._landed,
            )
        except RenameRefused:
            staged.direct = True
            raise
        except NotFound as error:  # the next attempt finds out whether its directory is gone
            raise TransferTruncated(f"{target}: what was sent is gone: {error}") from error
        return Uploaded(
            path=target,
            size_bytes=self._size_bytes,
            modified_ns=listed_ns if entry.modified_ns is None else entry.modified_ns,
            stamped_ns=stamped_ns,
            version=self._version,
        )

    def _landed(self, entry: RemoteEntry) -> None:
        """The version has its name: from now on a newer one builds on it, whatever comes next."""
        staged = self._staged
        self._forget_stray(self._temporary)
        with staged.lock:
            staged.base = Base(size_bytes=self._size_bytes, modified_ns=entry.modified_ns)
            if staged.version != self._version:  # else its row goes, or the next writer puts it
                self._journal.put(staged.record())

    def _leave(self, path: RemotePath) -> None:
        """A file of ours is on the server that ought to go."""
        self._journal.put_stray(path)
        self._staged.strays.add(path)

    def _look_again(self) -> tuple[RemotePath, RemoteEntry | None, bool]:
        """Prove what was sent. Its name, what has that name now, whether that is it already.

        From here on the staged file keeps its name until the attempt has ended.
        """
        staged = self._staged
        while True:
            target = staged.path
            if oddities(target) != oddities(self._temporary):
                raise VersionChanged(f"{target}: got another name while it was sent")
            there, sent = self._client.look([target, self._temporary])
            if sent is None:
                sent = self._why_unseen()
            require_size(self._temporary, sent, self._size_bytes)
            self._prove(self._temporary)
            settled = self._settle(there)
            with staged.lock:
                self._check(self._size_bytes)
                if staged.path == target:
                    if staged.state is not StagedState.OPEN:  # else a torn one: not for the writer
                        staged.move_to(StagedState.COMMITTING)
                    return target, there, settled

    def _why_unseen(self) -> RemoteEntry:
        """What was stored can't be seen at a first look: look harder.

        Raises:
            NotThere: whatever the server said.
            RemoteError: why it can't be seen.
        """
        try:
            return self._client.stat(self._temporary)
        except NotFound as error:
            raise NotThere(
                f"{self._staged.path}: the server said that it was stored, but it is not there"
            ) from error

    def _check(self, _sent: int) -> None:
        """Stop when nobody wants this version any more."""
        staged = self._staged
        if not self._wanted():
            raise JobCancelled(f"upload {staged.path}")
        changed = staged.version != self._version or staged.state is StagedState.OPEN
        if changed and not self._torn:
            raise VersionChanged(f"{staged.path}: written to while it was being sent")

    def _bring(self, earlier: RemoteEntry | None) -> None:
        """Send the version to its temporary name, behind what an *earlier* run brought there."""
        staged, large = self._staged, self._size_bytes >= EARLY_LOOK_BYTES
        if not large or self._torn or self._client.profile.appe is Proof.NO:
            self._store(self._temporary)
            return
        there = 0
        try:
            there = self._kept_of(earlier)
            sent = self._send_from(there)
        except RemoteUnavailable:
            staged.part = Part(version=self._version, size_bytes=None)
            raise
        except NotImplementedByServer as error:
            raise TransferTruncated(f"{staged.path}: begun anew: {error}") from error
        if there and sent:
            self._require_appended(there + sent)
        if there + sent < self._size_bytes:
            staged.part = Part(version=self._version, size_bytes=there + sent)
            raise JobYielded(f"upload {staged.path}")
        staged.part = None

    def _send_from(self, begin: int) -> int:
        """Send what is behind *begin*, or as much of it as there is time for."""
        if begin == self._size_bytes:
            return 0
        send = self._client.append if begin else self._client.store
        with self._source.open("rb") as stream:
            stream.seek(begin)
            return send(self._temporary, stream, progress=self._check, pause=self._gives_way)

    def _kept_of(self, earlier: RemoteEntry | None) -> int:
        """How many bytes of this version its temporary file has for certain."""
        part, there = self._staged.part, 0 if earlier is None else earlier.size_bytes or 0
        self._staged.part = None
        if part is None or part.version != self._version or not 0 < there <= self._size_bytes:
            return 0
        if part.size_bytes is not None:
            return there if there == part.size_bytes else 0
        begin = max(0, there - TAIL_BYTES)
        with self._source.open("rb") as local:
            local.seek(begin)
            tail = local.read(there - begin)
        same = self._client.read_file(self._temporary, begin, there - begin) == tail
        log.debug("%s: %d bytes are there; they are %s", self._staged.path, there, same)
        return there if same else 0

    def _require_appended(self, size_bytes: int) -> None:
        """After APPE: the temporary file has as many bytes as it must.

        Raises:
            TransferTruncated: it has not; the next attempt begins anew.
        """
        (entry,) = self._client.look([self._temporary])
        if entry is None or entry.size_bytes != size_bytes:
            if self._client.profile.appe is Proof.UNKNOWN:
                self._client.profile.deny("appe", lasting=False)
            raise TransferTruncated(f"{self._staged.path}: appending to it went wrong")
        self._client.profile.confirm("appe")

    def _store(self, path: RemotePath) -> None:
        with self._source.open("rb") as stream:
            sent = self._client.store(path, stream, progress=self._check)
        if sent != self._size_bytes:
            raise VersionChanged(f"{path}: {sent} bytes sent, {self._size_bytes} expected")

    # -- what is there -----------------------------------------------------------------------

    def _settle(self, there: RemoteEntry | None) -> bool:
        """Decide by what the server has under the name; True: this version is there already.

        Raises:
            Conflict: another client's version is there.
            IsADirectory: a directory is.
        """
        staged = self._staged
        if there is not None and there.kind is Kind.DIRECTORY:
            raise IsADirectory(f"{staged.path} is a directory on the server")
        swapped = False
        if staged.step is Step.SWAP:
            (backup,) = self._client.look([staged.backup_path()])
            swapped = backup is not None
            if not swapped:
                self._note(Step.NONE)
        found = self._target(there)
        step = NEXT[found, swapped]
        backup_too = " and the backup" if swapped else ""
        log.debug("%s: the server has %s%s: %s", staged.path, found.value, backup_too, step.value)
        if step is Next.HOLD:
            kept = f"; the version before it is called {staged.backup_path()}" if swapped else ""
            made = "made" if staged.base is None else "changed"
            raise Conflict(f"{staged.path}: {made} on the server by another program{kept}")
        if step is Next.RESTORE:
            restore(self._client, staged.backup_path(), staged.path)
        elif step is Next.CLEAN:
            drop_backup(self._client, staged.backup_path(), self._leave)
        if swapped:
            self._note(Step.NONE)
        return found is Target.OURS

    def _target(self, there: RemoteEntry | None) -> Target:
        staged = self._staged
        if there is None:
            return Target.ABSENT
        base = staged.base
        if base is not None and self._own_times.explain(staged.path, there.modified_ns):
            base = replace(base, modified_ns=there.modified_ns)
        if _is_version(there, base):
            return Target.BASE
        if _is_version(there, staged.candidate):  # it got its name, and we never heard of it
            staged.base = staged.candidate
            return Target.BASE
        if staged.step is Step.DIRECT:
            return Target.BASE  # a part of the new bytes, from an attempt that was cut
        if there.size_bytes in (None, self._size_bytes):
            with self._source.open("rb") as local:
                if same_content(self._client, staged.path, local):
                    return Target.OURS
        return Target.OTHER

    def _note(self, step: Step) -> None:
        """Make it durable that the server is about to be, or is no more, between two versions."""
        staged = self._staged
        with staged.lock:
            staged.step = step
            self._journal.put(staged.record())
        self._journal.sync()

    def _prove(self, path: RemotePath) -> None:
        """Compare digests, where the server has one; the bytes themselves where they differ.

        ProFTPD's mod_digest remembers digests by path and whole second of the time: that of a file
        which was sent twice in one second may be the first one's.

        Raises:
            TransferTruncated: the server has other bytes than were sent.
        """
        profile = self._client.profile
        told = self._client.checksum(path)
        if told is None:
            return
        with self._source.open("rb") as local:
            same = told.same_of(local) == told
        if same:
            profile.confirm("checksum")
            return
        with self._source.open("rb") as local:
            if not same_content(self._client, path, local):
                raise TransferTruncated(f"{path}: the server has other bytes than were sent")
        log.debug("%s: the server's digest is not that of the bytes it has", path)
        if profile.checksum is not Proof.YES:
            profile.deny("checksum")

    # -- without rename ----------------------------------------------------------------------

    def _overwrite(self) -> Uploaded:
        """Write over the file itself; the version before stays on this disk until it is proven."""
        staged = self._staged
        with staged.lock:
            self._check(0)
            if staged.state is not StagedState.OPEN:
                staged.move_to(StagedState.COMMITTING)  # keeps its name until the attempt ended
            target = staged.path
        if oddities(target):
            self._try_name(target)
        if staged.base is not None and staged.step is Step.NONE:
            self._keep_base(target)
        self._note(Step.DIRECT)
        try:
            self._store(target)
        except JobCancelled:
            if staged.base is None:
                self._remove(target)  # deleted while it was sent: no torso stays
            raise
        (there,) = self._client.look([target])
        if there is None:
            raise NotThere(f"{target}: the server said that it was stored, but it is not there")
        require_size(target, there, self._size_bytes)
        self._prove(target)
        self._note(Step.NONE)
        staged.base_copy.unlink(missing_ok=True)
        return self._done(target)

    def _try_name(self, target: RemotePath) -> None:
        """Find out on an empty file whether *target* would have its name."""
        self._leave(self._temporary)
        self._client.store(self._temporary, BytesIO())
        require_kept(self._client, self._temporary, target)
        self._remove_temporary()

    def _keep_base(self, target: RemotePath) -> None:
        staged = self._staged
        pieces = octets_of(self._client, target)
        with (
            contextlib.suppress(NotFound),
            contextlib.closing(pieces),
            staged.base_copy.open("wb", buffering=0) as copy,
        ):
            for piece in pieces:
                copy.write(piece)
                self._check(0)
            sync_file(copy.fileno())

    # -- the end -----------------------------------------------------------------------------

    def _done(self, target: RemotePath) -> Uploaded:
        stamped_ns = self._staged.modified_ns
        return Uploaded(
            path=target,
            size_bytes=self._size_bytes,
            modified_ns=stamp(self._client, target, stamped_ns),
            stamped_ns=stamped_ns,
            version=self._version,
        )

    def _remove_temporary(self) -> None:
        self._remove(self._temporary)

    def _remove(self, temporary: RemotePath) -> None:
        if not self._client.connected:
            return
        try:
            self._client.delete_file(temporary)
        except NotFound:
            self._forget_stray(temporary)
        except RemoteError as error:
            log.debug("temporary file %s was not removed: %s", temporary, error)
        else:
            self._forget_stray(temporary)

    def _forget_stray(self, temporary: RemotePath) -> None:
        self._staged.strays.discard(temporary)
        self._journal.delete_stray(temporary)


def _is_version(there: RemoteEntry, version: Base | None) -> bool:
    """Whether the server's file is *version*, as far as its size and time tell."""
    return (
        version is not None
        and there.size_bytes in (None, version.size_bytes)
        and same_time(there.modified_ns, version.modified_ns)
    )
