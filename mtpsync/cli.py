"""The command line: options in, exit codes out; no logic of its own."""

from __future__ import annotations

import json
import logging
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click

from mtpsync import mtp_client
from mtpsync.config import Config, profile_file, read_profiles, state_folder, together
from mtpsync.doctor import examine
from mtpsync.errors import Cancelled, DeviceLost, ExitCode, MtpSyncError, NoDevice, UsageError
from mtpsync.html_report import page_of_done, page_of_found
from mtpsync.logfile import log_to
from mtpsync.manifest import Manifest
from mtpsync.mirror import MAX_DELETE, Mirror
from mtpsync.models import Device, StorageInfo
from mtpsync.names import Names, policy
from mtpsync.patient import Patient
from mtpsync.plan import Plan, read_plan, write_plan
from mtpsync.report import Terminal, tell_done, tell_error, tell_findings, tell_found, tell_page
from mtpsync.scan import normal_dest, scan_device, scan_source
from mtpsync.sync import Done, Sync
from mtpsync.utils.prompt import agree, choose, somebody_is_there
from mtpsync.waiting import FOREVER_S, ready_device

log = logging.getLogger(__name__)

DEFAULT_PLAN = Path("execution_plan.json")
DATA = Path("data")


class Commands(click.Group):
    """`mtpsync verify SOURCE …`, and the form without a command: `mtpsync SOURCE --mode verify`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command, --mode names it."""
        if args and args[0] not in (*self.commands, "--help", "-h", "--version"):
            mode, rest = "verify", []
            words = iter(args)
            for word in words:
                if word == "--mode":
                    mode = next(words, "")
                elif word.startswith("--mode="):
                    mode = word.partition("=")[2]
                else:
                    rest.append(word)
            if mode not in ("verify", "exec"):
                raise click.UsageError(f"--mode {mode}: verify or exec")
            args = [mode, *rest]
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Options of verify and exec."""

    config: Config
    plan: Path | None
    as_json: bool
    report: Path | None
    no_input: bool
    yes: bool
    dry_run: bool
    quick: bool
    wait_s: int  # 0: not at all
    max_delete: int  # 0: take nothing away


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.argument("source", required=False, type=click.Path(path_type=Path)),
        click.option("--dest", metavar="PATH", help='Folder on the device, e.g. "/Music".'),
        click.option("--storage", metavar="ID", help="Storage: its id or name; asked for if open."),
        click.option("--device", "serial", metavar="SERIAL", help="Which device, of several."),
        click.option(
            "--checksum/--no-checksum", default=None, help="Compare SHA-256, not only sizes."
        ),
        click.option("--plan", type=click.Path(path_type=Path), help="Path of the plan (JSON)."),
        click.option("--json", "as_json", is_flag=True, help="The outcome as JSON."),
        click.option("--no-input", is_flag=True, help="Never ask."),
        click.option(
            "--names",
            type=click.Choice([each.value for each in Names]),
            help="Names that the storage can't hold: refuse [default], leave out, or write with"
            " other characters.",
        ),
        click.option(
            "--wait",
            "wait_s",
            type=click.IntRange(0, FOREVER_S),
            default=0,
            metavar="[SECONDS]",
            help="Wait until the device is plugged in and unlocked.",
        ),
        click.option("--report", type=click.Path(path_type=Path), help="Write an HTML page, too."),
        click.option("--log-file", type=click.Path(path_type=Path), help="Where the log goes."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pyftpdrive", prog_name="mtpsync")
def cli() -> None:
    """Put a folder on a phone, watch or player over MTP, and prove that it arrived.

    `mtpsync SOURCE_DIR --mode verify|exec` is the same as `mtpsync verify|exec SOURCE_DIR`.
    """


@cli.command(cls=Patient)
@_shared
@click.option("--quick", is_flag=True, help="Trust what was proven earlier and looks unchanged.")
@click.option("--delete", is_flag=True, help="Plan to take away what only the device has.")
def verify(*, quick: bool, delete: bool, **said: Any) -> None:
    """Compare both sides and write a plan; change nothing."""
    asked = _asked(said, quick=quick)
    with _Run(asked) as run:
        with Terminal(run.source_bytes, quiet=asked.as_json) as terminal:
            run.watch(terminal)
            sync = run.sync(terminal)
            found = sync.verify(quick=quick, delete=delete)
        plan_file = asked.plan or DEFAULT_PLAN
        write_plan(found.plan, plan_file)
        if asked.plan is None and asked.config.checksum is not False:
            for older, _plan in _plans_of(run, _retries()):
                older.unlink(missing_ok=True)  # the new plan has what is left of it
        tell_found(found, plan_file, as_json=asked.as_json)
        if asked.report is not None:
            tell_page(page_of_found(found, sync.proven()), asked.report)
    if not found.in_sync:
        sys.exit(ExitCode.DIFFERENT)


@cli.command("exec", cls=Patient)
@_shared
@click.option("--yes", is_flag=True, help="Retry what failed once, without asking.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--delete", is_flag=True, help="Take away what the plan says, into the trash.")
@click.option("--max-delete", default=MAX_DELETE, show_default=True, help="Files, at most.")
def execute(*, yes: bool, dry_run: bool, delete: bool, max_delete: int, **said: Any) -> None:
    """Do what the plan says.

    That is the one of --plan, else the latest retry plan, else execution_plan.json, else
    everything.
    """
    asked = _asked(said, yes=yes, dry_run=dry_run, max_delete=max_delete if delete else 0)
    with _Run(asked) as run:
        done, retry = _execute(run, asked)
        again = bool(done.left) and (
            yes
            or (
                somebody_is_there(no_input=asked.no_input)
                and not run.interrupted
                and agree("Retry what is left now?")
            )
        )
        if again and retry is not None:
            done, retry = _execute(run, asked, retry)
    if run.interrupted:
        sys.exit(ExitCode.INTERRUPTED)
    if done.left:
        sys.exit(ExitCode.INCOMPLETE)


def _execute(run: _Run, asked: Asked, plan_file: Path | None = None) -> tuple[Done, Path | None]:
    """One run of exec; what is left, as a plan of its own."""
    given = plan_file or _plan_file(run, asked)
    plan = read_plan(given) if given is not None else None
    if plan is not None:
        run.require_same(plan, given)
    with Terminal(run.source_bytes, quiet=asked.as_json) as terminal:
        run.watch(terminal)
        sync = run.sync(terminal, plan)
        if asked.dry_run:
            recovered, done = [], Done(left=(plan or sync.full_plan()).actions)
        else:
            recovered = sync.recover()
            done = sync.execute(plan or sync.full_plan())
            if plan is not None and asked.max_delete and not done.left:
                sync.take_away(plan, done, state_folder() / "vault", asked.max_delete)
    retry = None
    if asked.dry_run:
        for action in done.left:
            click.echo(f"{action.path}{'/' if action.is_folder else ''}  [{action.reason.value}]")
        for extra in plan.extras if plan is not None and asked.max_delete else ():
            click.echo(f"{extra.path}  [only on the device]")
        done = Done()
    elif done.left:
        retry = DATA / ".execution_retry" / f"{uuid.uuid4()}.json"
        left = sync.plan_of(done.left)
        write_plan(left, retry)
    if not asked.dry_run:
        ours = given is not None and given.parent == DATA / ".execution_retry"
        if given is not None and (ours or (given == DEFAULT_PLAN and not done.left)):
            given.unlink(missing_ok=True)  # what it had is done, or in the new one
        tell_done(done, recovered, retry, as_json=asked.as_json)
        if asked.report is not None:
            page = page_of_done(done, recovered, sync.plan_of(done.left), sync.proven(), retry)
            tell_page(page, asked.report)
    return done, retry


def _plan_file(run: _Run, asked: Asked) -> Path | None:
    """The plan to follow; None: everything.

    Raises:
        UsageError: --plan names none.
    """
    if asked.plan is not None:
        if not asked.plan.is_file():
            raise UsageError(f"{asked.plan} does not exist", remedy="make it with `mtpsync verify`")
        return asked.plan
    default = [DEFAULT_PLAN] if DEFAULT_PLAN.is_file() else []
    for file, plan in _plans_of(run, [*_retries(), *default]):
        if plan.actions or plan.extras:  # else all was in sync then: look again
            return file
    return None


def _retries() -> list[Path]:
    """Retry plans, the latest first."""
    found = (DATA / ".execution_retry").glob("*.json")
    return sorted(found, key=lambda file: file.stat().st_mtime_ns, reverse=True)


def _plans_of(run: _Run, files: list[Path]) -> Iterator[tuple[Path, Plan]]:
    """Those of *files* that are plans for this run."""
    for file in files:
        try:
            plan = read_plan(file)
            run.require_same(plan, file)
        except UsageError as error:
            log.info("%s is not for this run: %s", file, error)
        else:
            yield file, plan


@cli.command()
@click.argument("run", required=False)
@click.option("--storage")
@click.option("--device", "serial")
@click.option("--no-input", is_flag=True)
def undo(run: str | None, storage: str | None, serial: str | None, *, no_input: bool) -> None:
    """Bring back what the last `exec --delete` (or RUN) took away."""
    log_to(None)
    device = mtp_client.open_device(serial)
    try:
        chosen = _storage(device, storage, no_input=no_input)
        file = state_folder() / "manifest.sqlite"
        with Manifest(file, device.info.serial, chosen.label) as manifest:
            trash = Mirror(device, chosen, manifest, state_folder() / "vault")
            back, failed = trash.undo(run)
    finally:
        device.close()
    for path in back:
        click.echo(f"{path} is back")
    for why in failed:
        click.echo(f"not back: {why}")
    if not back and not failed:
        click.echo("nothing was taken away")
    if failed:
        sys.exit(ExitCode.INCOMPLETE)


@cli.command()
@click.option("--json", "as_json", is_flag=True)
def devices(*, as_json: bool) -> None:
    """What is plugged in."""
    log_to(None)
    found = mtp_client.list_devices()
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False))
        return
    for each in found:
        click.echo(f"{each.serial or '-':24} {each.name}")
        if each.why is not None:
            click.echo(f"  can't be opened: {each.why}\n  {each.remedy}")
    if not found:
        raise NoDevice(
            "no MTP device is plugged in", remedy="unlock the phone and choose File Transfer on it"
        )


@cli.command()
@click.option("--device", "serial", metavar="SERIAL", help="Which device, of several.")
@click.option("--storage", metavar="ID", help="Storage for --write: its id or name.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--write", is_flag=True, help="Also try what changes something, in a new folder.")
def doctor(serial: str | None, storage: str | None, *, as_json: bool, write: bool) -> None:
    """Look at libmtp and the device: what works, what won't, and what to do about it.

    Without --write nothing is changed.
    """
    log_to(None)
    seen = examine(serial, storage, write=write)
    tell_findings(seen, as_json=as_json)
    sys.exit(seen.exit_code)


@cli.command()
@click.argument("path", default="/")
@click.option("--storage")
@click.option("--device", "serial")
@click.option("--no-input", is_flag=True)
def ls(path: str, storage: str | None, serial: str | None, *, no_input: bool) -> None:
    """What is in a folder of the device."""
    log_to(None)
    device = mtp_client.open_device(serial)
    try:
        chosen = _storage(device, storage, no_input=no_input)
        tree = scan_device(device, chosen, normal_dest(path), deep=False)
    finally:
        device.close()
    if tree.top is None:
        raise UsageError(f"{path}: no such folder on {chosen.label}")
    for name, node in sorted(tree.top.children.items()):
        click.echo(f"{'':>14} {name}/" if node.type == "folder" else f"{node.size:>14,} {name}")
    for trouble in tree.troubles:
        click.echo(f"! {trouble}", err=True)


# -- one run --------------------------------------------------------------------------------------


def _asked(said: dict[str, Any], **more: Any) -> Asked:
    log_to(said.pop("log_file"))
    report = said["report"]
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"--report {report}: there is no such folder")
    given = Config(
        source=said.pop("source"),
        dest=said.pop("dest"),
        storage=said.pop("storage"),
        serial=said.pop("serial"),
        checksum=said.pop("checksum"),
        names=said.pop("names"),
    )
    return Asked(
        config=given,
        **{"yes": False, "dry_run": False, "quick": False, "max_delete": 0, **said, **more},
    )


class _Run:
    """An open device with everything that a flow needs; closed at the end, whatever happened."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.interrupted = self._stopped_again = False
        file = profile_file()
        profiles = read_profiles(file) if file is not None else {}
        general = profiles.get("", Config())
        first = together(asked.config, general)
        if first.source is not None:
            scan_source(first.source, deep=False)  # what is wrong here needs no device
        self._device: Device = ready_device(
            first.serial, asked.wait_s, lambda what: click.echo(what, err=True)
        )
        try:
            serial = self._device.info.serial
            self._config = together(asked.config, profiles.get(serial, Config()), general)
            self._source = scan_source(self._required_source())
            self._chosen = _storage(self._device, self._config.storage, no_input=asked.no_input)
            self._manifest = Manifest(
                state_folder() / "manifest.sqlite", serial, self._chosen.label
            )
        except BaseException:
            self._device.close()
            raise
        self._before = signal.getsignal(signal.SIGINT)

    def _required_source(self) -> Path:
        if self._config.source is None:
            raise UsageError("which folder? SOURCE_DIR is missing", remedy="mtpsync verify FOLDER")
        return self._config.source

    @property
    def source_bytes(self) -> int:
        """Of all local files."""
        return sum(file.size_bytes for file in self._source.files.values())

    def sync(self, terminal: Terminal, plan: Plan | None = None) -> Sync:
        """A fresh look at the device; *plan* says what nobody said about names."""
        said = self._config.names or (plan.names if plan is not None else "")
        checksum = self._config.checksum
        return Sync(
            self._device,
            self._chosen,
            normal_dest(self._config.dest or "/"),
            self._source,
            self._manifest,
            terminal,
            checksum=True if checksum is None else checksum,
            names=policy(said),
        )

    def require_same(self, plan: Plan, file: Path | None) -> None:
        """Refuse a plan that was made for something else.

        Raises:
            UsageError: says for what.
        """
        dest = normal_dest(self._config.dest or "/")
        for what, planned, ours in (
            ("folder", plan.source, str(self._source.root)),
            ("destination", plan.dest, dest),
            ("device", plan.serial, self._device.info.serial),
            ("storage", plan.storage, self._chosen.label),
            ("names", plan.names, self._config.names or plan.names),
        ):
            if plan.made_s and planned != ours:
                raise UsageError(f"{file} is for the {what} {planned!r}, this is {ours!r}")

    def watch(self, terminal: Terminal) -> None:
        """The first Ctrl+C ends after this file, the second in it, the third wherever it is."""

        def interrupted(_number: int, _frame: FrameType | None) -> None:
            if terminal.stopping:
                if self._stopped_again:
                    raise KeyboardInterrupt
                self._stopped_again = True
                self._device.cancel()
            else:
                click.echo("stopping after this file; Ctrl+C again stops now", err=True)
            self.interrupted = terminal.stopping = True

        signal.signal(signal.SIGINT, interrupted)

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before)
        self._manifest.close()
        self._device.close()


def _storage(device: Device, wanted: str | None, *, no_input: bool) -> StorageInfo:
    """The storage that was asked for; asked for now when that is open.

    Raises:
        UsageError: none, or several, and nobody to ask.
    """
    storages = device.storages()
    shown = ", ".join(f"{each.id:#x} {each.label!r}" for each in storages)
    if wanted is not None:
        found = [each for each in storages if wanted in (str(each.id), f"{each.id:#x}", each.label)]
        found = found or [each for each in storages if wanted.casefold() in each.label.casefold()]
        if len(found) != 1:
            raise UsageError(f"--storage {wanted}: {len(found)} are called so", remedy=shown)
        return found[0]
    if len(storages) == 1:
        return storages[0]
    if not somebody_is_there(no_input=no_input):
        raise UsageError("which storage? name it with --storage", remedy=shown)
    return storages[choose("Which storage?", [each.label for each in storages])]


def main() -> None:
    """Entry point."""
    root = logging.getLogger("mtpsync")
    root.addHandler(logging.NullHandler())
    root.propagate = False
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.exceptions.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except (Cancelled, DeviceLost, MtpSyncError) as error:
        log.error("%s", error)  # noqa: TRY400  # it is no defect
        tell_error(str(error), error.remedy)
        sys.exit(error.exit_code)
    except Exception as error:
        log.exception("an error of mtpsync itself")
        tell_error(f"an error of mtpsync itself: {error!r}", "please report it, with the log")
        sys.exit(ExitCode.INTERNAL)
