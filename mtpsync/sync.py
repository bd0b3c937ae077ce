"""Flow A (verify) and flow B (execute) on an open device. Knows the Device protocol only."""

from __future__ import annotations

import logging
import os
import stat
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mtpsync import mirror
from mtpsync.deliver import Delivery, RefusedAndReplaced
from mtpsync.errors import (
    Cancelled,
    ContentChanged,
    DeviceBusy,
    DeviceError,
    DeviceLost,
    MtpSyncError,
    Refused,
    SourceChanged,
)
from mtpsync.manifest import Manifest, Proof
from mtpsync.models import ROOT, Device, FileNode, FolderNode, StorageInfo, Transfer
from mtpsync.names import Names, adapted
from mtpsync.plan import Action, Plan, Reason, compare
from mtpsync.preflight import preflight
from mtpsync.rates import READ, SEND, Meter, estimate
from mtpsync.scan import SourceFile, SourceTree, scan_device, scan_source
from mtpsync.utils.checksum import Hashing
from mtpsync.utils.retries import with_retries

log = logging.getLogger(__name__)

LOSSES_MAX = 3  # sessions lost in a row, without a file in between


class Reporter(Protocol):
    """Who is told what happens."""

    def step(self, path: str, what: str, done_bytes: int) -> None:
        """*what* ("send", "check", "compare") is at *done_bytes* of *path*."""

    def ended(self, action: Action, outcome: str) -> None:
        """An action is over: "done", "already there", or why not."""

    def seen(self, objects: int) -> None:
        """So many objects of the device are known."""

    @property
    def stopping(self) -> bool:
        """True when the user wants an end after this file."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What verify found."""

    plan: Plan
    problems: list[str] = field(default_factory=list)  # what no plan can mend
    compared_files: int = 0
    compared_bytes: int = 0
    remembered: int = 0  # not read: proven earlier, and unchanged on both sides
    oldest_proof_s: float | None = None
    estimate_s: float = 0.0  # of exec
    is_measured: bool = False  # on this device; else it is a guess
    skipped: dict[str, str] = field(default_factory=dict)  # asked for: path, and why

    @property
    def in_sync(self) -> bool:
        """Nothing to do, and nothing that could not be seen."""
        return not self.plan.actions and not self.plan.extras and not self.problems


@dataclass(slots=True, kw_only=True)
class Done:
    """What exec did."""

    sent: int = 0
    sent_bytes: int = 0
    already: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # path: why
    left: list[Action] = field(default_factory=list)  # failed, or not come to
    skipped: dict[str, str] = field(default_factory=dict)  # asked for: path, and why
    taken_away: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)  # to be taken away, and why not


class Sync:
    """One run between a local folder and a folder of a storage."""

    def __init__(
        self,
        device: Device,
        storage: StorageInfo,
        dest: str,
        source: SourceTree,
        manifest: Manifest,
        reporter: Reporter,
        *,
        checksum: bool = True,
        names: Names = Names.FAIL,
    ) -> None:
        self._device = device
        self._storage = storage
        self._dest = dest
        self._names = names
        self._source = adapted(source, names, storage)
        self._manifest = manifest
        self._reporter = reporter
        self._checksum = checksum
        self._meter = Meter()
        self._delivery = self._new_delivery()
        self.remote = scan_device(device, storage, dest, reporter.seen)
        self._session = device.session

    def _new_delivery(self) -> Delivery:
        return Delivery(
            self._device,
            self._storage,
            self._manifest,
            tell=self._reporter.step,
            read_back=self._checksum,
            meter=self._meter,
        )

    def plan_of(self, actions: list[Action]) -> Plan:
        """*actions* as a plan for this run's folder and device."""
        return Plan(
            source=str(self._source.root),
            dest=self.remote.dest,
            serial=self._device.info.serial,
            storage=self._storage.label,
            names=self._names.value,
            made_s=time.time(),
            actions=actions,
        )

    # -- flow A ---------------------------------------------------------------------------------

    def verify(self, *, quick: bool = False, delete: bool = False) -> Found:
        """Compare both sides. *quick*: what was proven and looks unchanged is not read again.

        *delete*: what only the device has is to be taken away.

        Raises:
            DeviceLost: nothing is known.
        """
        actions, problems = compare(self._source, self.remote)
        problems += self._source.troubles + self.remote.troubles
        found = Found(plan=self.plan_of([]), problems=problems, skipped=self._source.skipped)
        if delete:
            found.plan.extras = mirror.extras(self._source, self.remote)
        proofs = self._manifest.proofs() if quick else {}
        to_read = [a for a in actions if a.reason is Reason.UNPROVEN]
        with Hashing(self._source.files[a.path].path for a in to_read) as hashing:
            for action in actions:
                if action.reason is not Reason.UNPROVEN:
                    found.plan.actions.append(action)
                    continue
                proof = proofs.get(self._full(action.path))
                if proof is not None and self._holds(proof, action.path):
                    found.remembered += 1
                    oldest = found.oldest_proof_s or proof.proven_s
                    found.oldest_proof_s = min(oldest, proof.proven_s)
                elif self._checksum and (differs := self._read(action, hashing, found)) is not None:
                    found.plan.actions.append(differs)
        self._manifest.measured(self._meter)
        rates = self._manifest.rates()
        sizes = [a.size_bytes or 0 for a in found.plan.actions if not a.is_folder]
        found.estimate_s = estimate(sizes, rates, read_back=self._checksum)
        found.is_measured = SEND in rates or f"{SEND} small" in rates
        return found

    def proven(self) -> list[Proof]:
        """Of the source's files that are as they were when they were proven, on both sides."""
        proofs = self._manifest.proofs()
        found = []
        for path in self._source.files:
            proof = proofs.get(self._full(path))
            if proof is not None and self._holds(proof, path):
                found.append(proof)
        return found

    def _read(self, action: Action, hashing: Hashing, found: Found) -> Action | None:
        """Compare the bytes; None: they are equal, and it is noted."""
        if self._reporter.stopping:
            raise Cancelled("stopped; what was compared so far is remembered")
        self._current()
        file, node = self._source.files[action.path], self.remote.find(action.path)
        if not isinstance(node, FileNode):
            found.problems.append(f"{action.path}: vanished from the device meanwhile")
            return None
        found.compared_files += 1
        found.compared_bytes += node.size
        try:
            ours = hashing.of(file.path)
        except OSError as error:
            found.problems.append(f"{action.path}: {error.strerror}")
            return None
        try:
            same = self._same(action.path, node, ours)
        except DeviceError as error:
            found.problems.append(f"{action.path}: {error}")
            return None
        if same:
            self._prove(action.path, file, node, ours)
            return None
        return replace(action, reason=Reason.CONTENT, sha256=ours)

    def _same(self, path: str, node: FileNode, ours: str) -> bool:
        try:
            theirs = with_retries(lambda: self._receive(path, node), DeviceBusy)
        except ContentChanged:
            return False  # cut: it is there, and not whole
        return theirs.sha256 == ours

    def _receive(self, path: str, node: FileNode) -> Transfer:
        with self._meter.timing(READ, node.size):
            return self._device.receive(
                node.id,
                node.size,
                progress=lambda done: self._reporter.step(path, "compare", done),
            )

    def _prove(self, path: str, file: SourceFile, node: FileNode, sha256: str) -> None:
        self._manifest.prove(
            Proof(
                path=self._full(path),
                source_size=file.size_bytes,
                source_ns=file.modified_ns,
                remote_s=node.modified_s,
                sha256=sha256,
            )
        )

    def _holds(self, proof: Proof, path: str) -> bool:
        """Whether both sides look as they did when *proof* was made."""
        file, node = self._source.files.get(path), self.remote.find(path)
        return (
            file is not None
            and isinstance(node, FileNode)
            and (proof.source_size, proof.source_ns) == (file.size_bytes, file.modified_ns)
            and (proof.source_size, proof.remote_s) == (node.size, node.modified_s)
        )

    def _full(self, path: str) -> str:
        return f"{self.remote.dest}/{path}"

    def full_plan(self) -> Plan:
        """Everything that is here, whatever the device has."""
        return self.plan_of(compare(self._source, self.remote)[0])

    # -- flow B ---------------------------------------------------------------------------------

    def recover(self) -> list[str]:
        """Finish or undo what an earlier run began on this storage; what was done, in words.

        Raises:
            DeviceLost: the rest is still in the manifest.
        """
        told = []
        for step in self._manifest.interrupted():
            folder, _, _name = step.path.rpartition("/")
            tree = scan_device(self._device, self._storage, folder)
            inside = step.path.startswith(f"{self.remote.dest}/")
            relative = step.path[len(self.remote.dest) + 1 :] if inside else ""
            local = self._source.local(relative) if relative else Path(os.devnull)
            try:
                done = self._delivery.settle(step, tree.top.id if tree.top else None, local)
            except DeviceError as error:
                done = f"not settled: {error}"
            told.append(f"{step.path}: {done}")
        if told:
            self._look_again()
        return told

    def _look_again(self, *, afresh: bool = True) -> None:
        if afresh:
            self._device.refresh()
        self.remote = scan_device(self._device, self._storage, self._dest, self._reporter.seen)
        self._session = self._device.session

    def _current(self) -> None:
        """Ids of the session that there is: the device may have been opened again silently."""
        if self._device.session != self._session:
            self._look_again(afresh=False)

    def execute(self, plan: Plan) -> Done:
        """Do what *plan* says; each action that fails is told, the rest goes on.

        Raises:
            Refused: it could not end well; nothing was touched.
        """
        actions = [self._with_reason(action) for action in plan.actions]
        problems = preflight(actions, self._source, self.remote, self._device.info)
        if problems:
            raise Refused("\n".join(problems), remedy="nothing was sent")
        done = Done(skipped=self._source.skipped)
        proofs = self._manifest.proofs()
        waiting = sorted(actions, key=lambda action: (not action.is_folder, action.path))
        losses = 0
        while waiting:
            if self._reporter.stopping:
                break
            action = waiting[0]
            try:
                self._current()
                outcome = self._do(action, proofs, done)
            except DeviceLost as error:
                losses += 1
                outcome = str(error)
                if losses > LOSSES_MAX or not self._back_again(error):
                    done.failed[action.path] = outcome
                    break
                if not isinstance(error, RefusedAndReplaced):
                    continue  # look again: it may be done
                done.failed[action.path] = outcome
                done.left.append(action)
            except Cancelled:
                break
            except (DeviceError, OSError) as error:
                outcome = str(error)
                done.failed[action.path] = outcome
                done.left.append(_anew(action) if isinstance(error, SourceChanged) else action)
            losses = 0
            waiting.pop(0)
            self._reporter.ended(action, outcome)
        done.left += waiting
        self._manifest.measured(self._meter)
        return done

    def take_away(self, plan: Plan, done: Done, vault: Path, max_delete: int) -> None:
        """Move into the trash what *plan* says that only the device has; noted in *done*.

        Raises:
            Refused: it could be a mistake; nothing was taken away.
        """
        if not plan.extras:
            return
        before = self.remote
        self._look_again()
        source = adapted(scan_source(self._source.root), self._names, self._storage)
        mirror.require_trust(plan.extras, source, before, self.remote, max_delete)
        still = {extra.path for extra in mirror.extras(source, self.remote)}
        trash = mirror.Mirror(self._device, self._storage, self._manifest, vault)
        for extra in plan.extras:
            try:
                self._current()
                if extra.path not in still:
                    raise DeviceError(f"{extra.path}: is in the source by now, or gone")
                trash.take_away(extra, self.remote)
            except (DeviceError, OSError) as error:
                done.kept[extra.path] = str(error)
            else:
                done.taken_away.append(extra.path)

    def _with_reason(self, action: Action) -> Action:
        """A plan without reasons, or one for what is not here any more, is taken as it is."""
        file = self._source.files.get(action.path)
        if file is None or action.size_bytes is not None:
            return action
        return replace(action, size_bytes=file.size_bytes, modified_ns=file.modified_ns)

    def _back_again(self, error: DeviceLost) -> bool:
        """After the session was lost: a new one, and what was under way is settled.

        It may be lost again meanwhile, which is one more loss, not the end.
        """
        for _loss in range(LOSSES_MAX):
            log.warning("%s", error)
            try:
                self._device.refresh()
            except (DeviceLost, MtpSyncError) as again:
                log.warning("the device is not back: %s", again)
                return False
            try:
                self._look_again(afresh=False)
                self._delivery = self._new_delivery()
                self.recover()
            except DeviceLost as again:
                error = again
            except MtpSyncError as again:
                log.warning("what was under way is not settled: %s", again)
                return False
            else:
                return True
        return False

    def _do(self, action: Action, proofs: dict[str, Proof], done: Done) -> str:
        """One action; what came of it.

        Raises:
            DeviceError, DeviceLost: not done, or not known.
        """
        node = self.remote.find(action.path)
        if action.is_folder:
            self._folder(action.path)
            done.already += isinstance(node, FolderNode)
            return "already there" if isinstance(node, FolderNode) else "done"
        file = self._local(action)
        if isinstance(node, FolderNode):
            raise DeviceError(f"{action.path}: is a folder on the device")
        if self._is_there(action, file, node, proofs):
            done.already += 1
            return "already there"
        self._require_as_planned(action, node)
        folder, _, name = action.path.rpartition("/")
        parent = self._folder(folder)
        made = with_retries(
            lambda: self._delivery.deliver(self._full(action.path), file, parent.id, node),
            DeviceBusy,
        )
        parent.children[name] = made
        done.sent += 1
        done.sent_bytes += file.size_bytes
        return "done"

    def _is_there(
        self, action: Action, file: SourceFile, node: FileNode | None, proofs: dict[str, Proof]
    ) -> bool:
        """Whether the device has it already: proven earlier, or read and found equal."""
        if node is None or node.size != file.size_bytes or action.reason is Reason.CONTENT:
            return False
        proof = proofs.get(self._full(action.path))
        if proof is not None and self._holds(proof, action.path):
            return True
        if not self._checksum:
            return True
        with Hashing() as hashing:
            ours = hashing.of(file.path)
        if not self._same(action.path, node, ours):
            return False
        self._prove(action.path, file, node, ours)
        return True

    def _local(self, action: Action) -> SourceFile:
        """The local file, as it is now and as it was planned.

        Raises:
            DeviceError: it is another one, or leads out of the folder.
        """
        path = self._source.local(action.path)
        try:
            inside = path.parent.resolve(strict=True).is_relative_to(self._source.root)
            status = path.lstat()
        except OSError as error:
            raise DeviceError(f"{action.path}: {error.strerror}") from error
        if not inside or not stat.S_ISREG(status.st_mode):
            raise DeviceError(f"{action.path}: no regular file of the folder")
        file = SourceFile(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
        if action.size_bytes not in (None, file.size_bytes) or action.modified_ns not in (
            None,
            file.modified_ns,
        ):
            raise SourceChanged(f"{action.path}: was changed here since the plan was made")
        self._source.files[action.path] = file
        return file

    @staticmethod
    def _require_as_planned(action: Action, node: FileNode | None) -> None:
        """Refuse when the device's side is not what the plan was made for."""
        if not action.checked:
            return
        planned = action.remote and (action.remote.size_bytes, action.remote.modified_s)
        found = node and (node.size, node.modified_s)
        if planned != found:
            raise DeviceError(f"{action.path}: was changed on the device since the plan was made")

    def _folder(self, path: str) -> FolderNode:
        """The folder *path* below the destination; made, with those above it, when missing.

        Raises:
            DeviceError: a file has the name, or the device refuses.
        """
        top = self._top()
        node: FolderNode = top
        walked = ""
        for name in path.split("/") if path else ():
            walked = f"{walked}/{name}" if walked else name
            child = node.children.get(name)
            if isinstance(child, FileNode):
                raise DeviceError(f"{walked}: is a file on the device")
            if child is None:
                child = FolderNode(self._device.make_folder(self._storage.id, node.id, name))
                node.children[name] = child
                self.remote.path_map[self._full(walked)] = child
            node = child
        return node

    def _top(self) -> FolderNode:
        """The destination; made when missing."""
        if self.remote.top is None:
            full, node_id = "", ROOT
            for name in self.remote.dest.split("/")[1:]:
                tree = scan_device(self._device, self._storage, f"{full}/{name}")
                full = f"{full}/{name}"
                node_id = (
                    tree.top.id
                    if tree.top is not None
                    else self._device.make_folder(self._storage.id, node_id, name)
                )
            self.remote.top = self.remote.path_map[full or "/"] = FolderNode(node_id)
        return self.remote.top


def _anew(action: Action) -> Action:
    """The same for the local file as it is by then: it was told that it is another one."""
    return replace(action, size_bytes=None, modified_ns=None, sha256=None)
