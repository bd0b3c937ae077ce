"""Runs one scenario of mtpsync: the real program as a child process, the fake libmtp as device.

What no scenario can switch off, after each command: the exit code is the expected one; no traceback
is shown, and --json is one document and nothing else; what only looks changes nothing; each file of
each storage is what it was, or the source's whole version, or (a mirror) in the trash; nothing else
appears; a run that succeeded leaves no temporary name, and without a plan it brought everything; no
process is left. At the end: every fault that was armed struck, and other devices are untouched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simulators.fake_libmtp import FakeDevice, FakeUsb, Storage, build
from tests.scenario_runner.content import content, describe
from tests.scenario_runner.grammar import Step
from tests.scenario_runner.mtp_grammar import MtpScenario
from tests.scenario_runner.steps import ScenarioFailed

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "mtpsync"]
SERIAL = "S1"
RUN_S = 100
STRIKE_S = 60
POLL_S = 0.01
SLOW_S = 2.0  # how long an operation waits for what happens meanwhile
END_S = 10
OURS = "~mtpsync-"
TRASH = "/.mtpsync-trash"
KILLED = -9

Tree = dict[str, bytes | None]
"""Path -> content; None: a folder. The second storage's paths begin with "card:"."""


def run(scenario: MtpScenario, work: Path) -> None:
    """Run *scenario* in the empty folder *work*.

    Raises:
        ScenarioFailed: with file, line and what was seen.
    """
    desk = _Desk(scenario, work)
    try:
        desk.steps(scenario.steps)
        desk.check_end()
    finally:
        left = desk.end_processes()
    if left:
        raise desk.failed(1, f"a process is left: {left}")


class _Desk:
    """A folder, a bus with devices, and commands."""

    def __init__(self, scenario: MtpScenario, work: Path) -> None:
        self.scenario = scenario
        self.work = work
        self.music = work / "music"
        self.music.mkdir()
        self.usb = FakeUsb(work / "usb")
        self.devices: dict[str, FakeDevice] = {}
        self._faults: dict[tuple[str, int], int] = {}  # device and number: line
        self._first: dict[str, Tree] = {}
        self._touched: set[str] = set()  # by the scenario, during the run
        library = build(newer=bool(scenario.device.get("newer")))
        self.environment = {
            **{name: v for name, v in os.environ.items() if not name.startswith("MTPSYNC_")},
            **self.usb.environment(),
            "MTPSYNC_LIBMTP": str(library.resolve()),
            "MTPSYNC_STATE": str(work / "state"),
            "PYTHONPATH": str(PROJECT),
            "HOME": str(work),
            "XDG_CONFIG_HOME": str(work / "config"),
            "TZ": "UTC",
            "COLUMNS": "200",
        }
        for path, text in scenario.source.items():
            if path.endswith("/"):
                (self.music / path).mkdir(parents=True, exist_ok=True)
            else:
                self._put(self.music / path, text)
        _make_many(self.music, scenario.many)
        if scenario.config:
            (work / "mtpsync.toml").write_text(scenario.config, encoding="utf-8")
        self._plug(scenario.device, self._serial, "device")
        for at, other in enumerate(scenario.others):
            self._plug(other, other.get("serial", f"S{at + 2}"), "others", at)

    # -- what is there ---------------------------------------------------------------------------

    def failed(self, line: int, message: str) -> ScenarioFailed:
        return ScenarioFailed(f"{self.scenario.file}:{line}: {message}")

    def data(self, text: str) -> bytes:
        return content(text, self.scenario.seed)

    def _put(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.data(text))

    def _plug(self, described: dict[str, Any], serial: str, *place: str | int) -> None:
        stores = described.get("storages")
        device = self.usb.plug(
            described.get("profile", "android"),
            serial=serial,
            storages=None if stores is None else [Storage(**one) for one in stores],
            seed=self.scenario.seed,
            **described.get("rules", {}),
        )
        self.devices[serial] = device
        for number, key in enumerate(("files", "card")):
            for path, text in described.get(key, {}).items():
                device.storage(number).put(path, self.data(text))
        if described.get("many"):
            _make_many(device.storage().mkdir(self.scenario.dest), described["many"])
        for path in described.get("directories", ()):
            device.storage().mkdir(path)
        for at, fault in enumerate(described.get("faults", ())):
            self._arm(device, fault, self.scenario.places.line(*place, "faults", at))
        self._first[serial] = _tree(device)

    def _arm(self, device: FakeDevice, fault: Mapping[str, object], line: int) -> int:
        number = device.inject(fault)
        self._faults[device.serial, number] = line
        return number

    def _struck(self, device: FakeDevice, number: int) -> bool:
        with contextlib.suppress(json.JSONDecodeError):  # a line that is being written
            return any(
                one.number == number and one.device in (device.serial, device.folder.name)
                for one in self.usb.ledger.faults()
            )
        return False

    def _source(self) -> dict[str, bytes]:
        return {
            file.relative_to(self.music).as_posix(): file.read_bytes()
            for file in self.music.rglob("*")
            if file.is_file() and not file.is_symlink()
        }

    # -- steps -----------------------------------------------------------------------------------

    def steps(self, steps: list[Step], program: subprocess.Popen[bytes] | None = None) -> None:
        for step in steps:
            if step.action == "signal" and program is not None:
                program.send_signal(signal.SIGINT)
            elif step.action in ("run", "kill"):
                self._run(step)
            else:
                getattr(self, f"do_{step.action}")(step, step.arguments)

    def do_source(self, _step: Step, arguments: dict[str, Any]) -> None:
        file, does = self.music / arguments["path"], arguments["do"]
        if does == "put":
            self._put(file, arguments["content"])
        elif does == "remove":
            file.unlink()
        elif does == "mkdir":
            file.mkdir(parents=True)
        elif does == "link":
            file.symlink_to(arguments["to"])
        else:
            os.utime(file, (1_700_000_000, 1_700_000_000))

    def do_device(self, step: Step, arguments: dict[str, Any]) -> None:
        device = self.devices[arguments.get("serial", self._serial)]
        storage, does = device.storage(arguments.get("storage", 0)), arguments["do"]
        path = arguments.get("path", "")
        self._touched.add(("card:" if arguments.get("storage") else "") + path)
        if does == "put":
            storage.put(path, self.data(arguments["content"]))
        elif does in ("remove", "mkdir"):
            getattr(storage, does)(path)
        elif does in ("take_out", "put_in"):
            getattr(storage, does)()
        elif does == "free":
            storage.set_free(arguments["bytes"])
        elif does == "fault":
            self._arm(device, arguments["fault"], step.line)
        elif does == "set":
            device.set(**arguments["rules"])
        else:
            getattr(device, does)()

    @property
    def _serial(self) -> str:
        return str(self.scenario.device.get("serial", SERIAL))

    def do_plan(self, step: Step, arguments: dict[str, Any]) -> None:
        file = self.work / arguments.get("file", "execution_plan.json")
        if "write" in arguments:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(arguments["write"], encoding="utf-8")
        if arguments.get("gone") is not None and file.exists() == arguments["gone"]:
            raise self.failed(step.line, f"{file.name} is {'' if file.exists() else 'not '}there")
        if "entries" in arguments:
            found = json.loads(file.read_text(encoding="utf-8"))
            entries = {key: kind for key, kind in found.items() if not key.startswith("//")}
            if entries != arguments["entries"]:
                raise self.failed(step.line, f"{file.name} has {entries}")

    # -- commands --------------------------------------------------------------------------------

    def _words(self, arguments: dict[str, Any]) -> list[str]:
        """The command with the source and the destination, which every one has."""
        words = list(arguments["command"])
        if "json" in arguments:
            words.append("--json")
        takes = words and (words[0] in ("verify", "exec") or words[0].startswith("--mode"))
        if takes and arguments.get("source", True):
            words.append("music")
            if "--dest" not in words:
                words += ["--dest", self.scenario.dest]
        return words

    def _run(self, step: Step) -> None:
        arguments = step.arguments
        words = self._words(arguments)
        before = {serial: _tree(device) for serial, device in self.devices.items()}
        sources = [self._source()]
        planned = self._has_plan(words)
        calls = len(self.usb.ledger.calls())
        self._touched = set()
        code, out, err = self._program(step, words)
        shown = f"$ mtpsync {' '.join(words)}\n{code}\n{out}\n{err}"
        wanted = KILLED if step.action == "kill" else arguments.get("exit", 0)
        if code != wanted:
            raise self.failed(step.line, f"exit code {code}, expected {wanted}\n{shown}")
        sources.append(self._source())
        after = {serial: _tree(device) for serial, device in self.devices.items()}
        wrong = [
            *_said_wrong(arguments, words, code, out, err),
            *self._count_wrong(arguments.get("calls", {}), calls),
        ]
        for serial, tree in after.items():
            wrong += self._changed_wrong(words, code, before[serial], tree, sources, arguments)
        whole = code == 0 and "exec" in " ".join(words[:2]) and not planned
        if whole and not arguments.get("partly") and "--dry-run" not in words:
            wrong += self._not_brought(words, after, sources[0])
        left = self._processes(END_S)
        if left:
            wrong.append(f"a process is left: {left}")
        if wrong:
            raise self.failed(step.line, "\n".join([*wrong, shown]))

    def _has_plan(self, words: list[str]) -> bool:
        retries = (self.work / "data" / ".execution_retry").glob("*.json")
        default = self.work / "execution_plan.json"
        return "--plan" in words or default.exists() or any(retries)

    def _program(self, step: Step, words: list[str]) -> tuple[int, str, str]:
        """Start it, do what happens meanwhile, wait for its end."""
        arguments = step.arguments
        number, device = None, self.devices.get(self._serial)
        if "when" in arguments and device is not None:
            kind = (
                {"fault": "hang"} if step.action == "kill" else {"fault": "slow", "seconds": SLOW_S}
            )
            number = self._arm(device, {**arguments["when"], **kind}, step.line)
        with _terminal(arguments.get("answers")) as (stdin, stderr, heard):
            program = subprocess.Popen(
                [*PROGRAM, *words],
                cwd=self.work,
                env=self.environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
            try:
                if number is not None and device is not None:
                    self._meanwhile(step, program, device, number)
                out, err = program.communicate(timeout=RUN_S)
            except subprocess.TimeoutExpired:
                raise self.failed(step.line, f"mtpsync {words} took {RUN_S} s") from None
            finally:
                if program.poll() is None:
                    program.kill()
                    program.communicate()
            return program.returncode, out.decode(), (err or b"").decode() + heard()

    def _meanwhile(
        self, step: Step, program: subprocess.Popen[bytes], device: FakeDevice, number: int
    ) -> None:
        until = time.monotonic() + STRIKE_S
        while not self._struck(device, number):
            if program.poll() is not None or time.monotonic() > until:
                out, err = program.communicate() if program.poll() is not None else (b"", b"")
                raise self.failed(
                    step.line,
                    f"the moment never came: {step.arguments['when']}\n{out!r}\n{err.decode()}",
                )
            time.sleep(POLL_S)
        if step.action == "kill":
            program.kill()
        else:
            self.steps(step.arguments["does"], program)

    # -- what must be true after each command ----------------------------------------------------

    def _count_wrong(self, wanted: Mapping[str, Any], before: int) -> Iterator[str]:
        made = Counter(call.call for call in self.usb.ledger.calls()[before:])
        for name, limits in wanted.items():
            limits = limits if isinstance(limits, dict) else {"min": limits, "max": limits}
            if not limits.get("min", 0) <= made[name] <= limits.get("max", made[name]):
                yield f"{made[name]} calls of {name}, expected {limits}"

    def _dest(self, words: list[str]) -> str:
        dest = words[words.index("--dest") + 1] if "--dest" in words else self.scenario.dest
        return dest.rstrip("/")

    def _changed_wrong(
        self,
        words: list[str],
        code: int,
        before: Tree,
        after: Tree,
        sources: list[dict[str, bytes]],
        arguments: dict[str, Any],
    ) -> Iterator[str]:
        """What is neither the old whole version nor the new one."""
        looks = not {"exec", "undo", "--mode=exec"} & set(words) or "--dry-run" in words
        mirrors = "--delete" in words or "undo" in words
        dest = self._dest(words)
        kept = [*before.values(), *self._vault()]
        around = [*after.values(), *self._vault()]
        temporary = [data for path, data in after.items() if OURS in path]
        declared = {*arguments.get("torn", ()), *self._touched}
        for path in sorted({*before, *after}):
            old, new = before.get(path, b"?"), after.get(path, b"?")
            was, there = path in before, path in after
            if OURS in path and there and code == 0 and not looks:
                yield f"a temporary name is left: {path}"
            if (was == there and old == new) or path in declared or OURS in path:
                continue
            shown = f"{path}: {_shown(before, path)} became {_shown(after, path)}"
            if looks:
                yield f"a command that only looks changed {shown}"
                continue
            plain = path.removeprefix("card:")
            relative = plain.removeprefix(f"{dest}/")
            versions = [source[relative] for source in sources if relative in source]
            moved = mirrors and (there or not was or old in around)
            if there and new is None:
                right = not was  # a folder is made; never in a file's place
            elif there:
                right = (plain.startswith(f"{dest}/") and new in versions) or (
                    mirrors and not was and new in kept
                )
            else:
                finished = code != 0 and any(data in temporary for data in versions)
                right = moved if old is None or mirrors else finished
            if not right:
                yield f"neither the old whole version nor the new one: {shown}"

    def _vault(self) -> list[bytes]:
        """What a mirror kept on this computer."""
        return [f.read_bytes() for f in (self.work / "state").glob("vault/**/*") if f.is_file()]

    def _not_brought(
        self, words: list[str], after: dict[str, Tree], source: dict[str, bytes]
    ) -> Iterator[str]:
        """What is missing although the command says that all is there."""
        dest = self._dest(words)
        places = [(tree, prefix) for tree in after.values() for prefix in ("", "card:")]
        if not any(
            all(tree.get(f"{prefix}{dest}/{path}", b"?") == data for path, data in source.items())
            for tree, prefix in places
        ):
            yield f"success, and not all of the source is there: {sorted(source)[:20]}"

    # -- the end ---------------------------------------------------------------------------------

    def check_end(self) -> None:
        """The expectations, and that the scenario did what it says."""
        scenario, expect = self.scenario, self.scenario.expect
        wrong = list(self._count_wrong(expect.get("calls", {}), 0))
        main = self.devices.get(self._serial)
        tree = _tree(main) if main is not None else {}
        for key, prefix in (("device", ""), ("card", "card:"), ("device_exactly", "")):
            wrong += self._missing(tree, expect.get(key, {}), prefix)
        if "device_exactly" in expect:
            top = scenario.dest.rstrip("/") + "/"
            there = {p for p, data in tree.items() if data is not None and p.startswith(top)}
            more = sorted(there - set(expect["device_exactly"]))
            wrong += [f"on the device besides: {more}"] if more else []
        wrong += [f"{path} should not exist" for path in expect.get("absent", ()) if path in tree]
        wrong += [
            f"{path} should be a folder"
            for path in expect.get("directories", ())
            if tree.get(path, b"?") is not None
        ]
        for serial, device in self.devices.items():
            wanted = expect.get("others", {}).get(serial)
            if wanted is not None:
                wrong += self._missing(_tree(device), wanted, "")
            elif device is not main and _tree(device) != self._first[serial]:
                wrong.append(f"the device {serial} was changed")
        log = self.work / "state" / "sync.log"
        said = log.read_text(encoding="utf-8") if log.exists() else ""
        wrong += [f"not in the log: {text!r}" for text in expect.get("log", ()) if text not in said]
        wrong += ["a traceback is in the log:\n" + said] if "Traceback" in said else []
        retries = len(list((self.work / "data" / ".execution_retry").glob("*.json")))
        if retries != expect.get("retries", 0):
            wrong.append(f"{retries} retry plans, expected {expect.get('retries', 0)}")
        if wrong:
            raise self.failed(scenario.places.line("expect"), "\n".join(wrong))
        for (serial, number), line in self._faults.items():
            device = self.devices[serial]  # a changed byte is not in the ledger
            if not self._struck(device, number) and not device.matches(number):
                struck = [(one.fault, one.number, one.op) for one in self.usb.ledger.faults()]
                raise self.failed(line, f"fault {number} never struck; there were {struck}")

    def _missing(self, tree: Tree, wanted: Mapping[str, str], prefix: str) -> Iterator[str]:
        for path, text in wanted.items():
            if tree.get(prefix + path, b"?") != self.data(text):
                yield (
                    f"{path} is {_shown(tree, prefix + path)}, "
                    f"expected {describe(self.data(text))} (there: {sorted(tree)[:40]})"
                )

    # -- processes -------------------------------------------------------------------------------

    def _processes(self, within_s: float) -> list[int]:
        """Processes that look at this bus and don't end in time."""
        mark = os.fsencode(self.usb.directory)
        until = time.monotonic() + within_s
        while found := _with_environment(mark):
            if time.monotonic() > until:
                return found
            time.sleep(POLL_S)
        return []

    def end_processes(self) -> list[int]:
        """Nothing of a scenario may disturb the next one."""
        left = self._processes(END_S)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return left


def _make_many(folder: Path, count: int) -> None:
    """Empty files, 500 in each folder."""
    for number in range(count):
        below = folder / f"{number // 500:03}"
        below.mkdir(exist_ok=True)
        (below / f"{number:05}.txt").write_bytes(b"")


def _with_environment(mark: bytes) -> list[int]:
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in file.read_bytes():
                found.append(int(file.parent.name))
    return found


def _tree(device: FakeDevice) -> Tree:
    tree: Tree = {}
    for number, storage in enumerate(device.storages):
        prefix = "card:" if number else ""
        tree.update({prefix + path: data for path, data in storage.tree().items()})
    return tree


def _shown(tree: Tree, path: str) -> str:
    if path not in tree:
        return "missing"
    found = tree[path]
    return "a folder" if found is None else describe(found)


def _said_wrong(
    arguments: dict[str, Any], words: list[str], code: int, out: str, err: str
) -> Iterator[str]:
    """What was printed, and should not be, or the other way round."""
    said = out + err
    if "Traceback" in said or "an error of mtpsync itself" in said:
        yield "a traceback is shown"
    yield from (f"not said: {text!r}" for text in arguments.get("says", ()) if text not in said)
    yield from (f"said: {text!r}" for text in arguments.get("lacks", ()) if text in said)
    if "--json" not in words:
        return
    try:
        told = json.loads(out) if out or code in (0, 1, 7) else {}
    except ValueError:
        yield "standard output is not one JSON document"
        return
    for key, wanted in arguments.get("json", {}).items():
        if key not in told or told[key] != wanted:
            yield f"json: {key} is {told.get(key)!r}, expected {wanted!r}"


@contextlib.contextmanager
def _terminal(answers: list[str] | None) -> Iterator[tuple[int, int, Any]]:
    """Standard input and error: nobody, or a terminal at which *answers* are typed."""
    if answers is None:
        yield subprocess.DEVNULL, subprocess.PIPE, lambda: ""
        return
    if sys.platform != "win32":
        ours, theirs = os.openpty()
        try:
            os.write(ours, "".join(f"{line}\n" for line in answers).encode())
            yield theirs, theirs, lambda: _heard(ours)
        finally:
            os.close(theirs)
            os.close(ours)


def _heard(terminal: int) -> str:
    """What was shown at *terminal*."""
    octets = b""
    if sys.platform != "win32":
        os.set_blocking(terminal, False)
        with contextlib.suppress(OSError):
            while more := os.read(terminal, 1 << 16):
                octets += more
    return octets.decode(errors="replace")
