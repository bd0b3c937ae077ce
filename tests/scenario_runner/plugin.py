"""pytest collects `scenarios/**/*.toml`: one test a file, host and server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from simulators.fake_libmtp import CompilerMissingError, build
from simulators.fake_winfsp import wheel
from tests.helpers import capabilities, real_servers
from tests.scenario_runner import mtp_execution, mtp_grammar
from tests.scenario_runner.callbacks import Measured, Slowest
from tests.scenario_runner.execution import HOSTS, ScenarioFailed, run
from tests.scenario_runner.grammar import Scenario, ScenarioError, all_steps, load
from tests.scenario_runner.matrix import ABSENT, Checklist, Matrix, Result, Subject, write_page
from tests.scenario_runner.mtp_grammar import MtpScenario
from tests.scenario_runner.winfsp_host import excluded

PROPERTY = "scenario"
CALLBACKS = "callbacks"  # both travel with the report, so from xdist's workers, too
FUSE_NEEDS = ("fuse", "libfuse3", "fusermount3")
CHECKLIST = Path(__file__).resolve().parents[2] / "scenarios" / "checklist.toml"
MTP_CHECKLIST = CHECKLIST.parent / mtp_grammar.FOLDER / CHECKLIST.name


@lru_cache
def checklist(file: Path = CHECKLIST) -> Checklist:
    """Section -> item -> '' or why it has no scenario yet."""
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    return {section: dict(items) for section, items in data.items()}


def known_items(file: Path = CHECKLIST) -> set[str]:
    """What `covers` may name."""
    return {item for items in checklist(file).values() for item in items}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scenarios")
    group.addoption(
        "--scenario-servers", choices=("simulator", "real", "all"), default="simulator",
        help="which servers scenarios run against",
    )  # fmt: skip
    group.addoption("--scenario-report", metavar="DIR", help="write the matrix as an HTML page")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Scenario files below a folder called `scenarios`."""
    inside = "scenarios" in file_path.parts and file_path.name != CHECKLIST.name
    if file_path.suffix == ".toml" and inside:
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


class ScenarioFile(pytest.File):
    """One scenario; its tests are host × server."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            if self.path.parent.name == mtp_grammar.FOLDER:
                yield from self._mtpsync(mtp_grammar.load(self.path, known_items(MTP_CHECKLIST)))
            else:
                yield from self._pyftpdrive(load(self.path, known_items()))
        except ScenarioError as error:
            raise self.CollectError(str(error)) from None

    def _mtpsync(self, scenario: MtpScenario) -> Iterator[pytest.Item]:
        if self.config.getoption("--scenario-servers") == "real":
            return
        for host in scenario.hosts:
            yield MtpScenarioItem.from_parent(
                self, name=f"{scenario.id}[{host}]", scenario=scenario, host=host
            )

    def _pyftpdrive(self, scenario: Scenario) -> Iterator[pytest.Item]:
        wanted = self.config.getoption("--scenario-servers")
        servers = [] if wanted == "real" else ["simulator"]
        if wanted != "simulator" and scenario.fits_real_servers:
            servers += real_servers.NAMES
        for host in scenario.hosts:
            if host not in HOSTS or host in ABSENT:
                continue  # not of this system; the matrix says so
            for server in servers:
                if host == "winfsp" and server != "simulator":
                    continue  # what is below the core is the same as on direct
                name = f"{scenario.id}[{host}-{server}]"
                yield ScenarioItem.from_parent(
                    self, name=name, scenario=scenario, host=host, server=server
                )


@lru_cache(maxsize=1)
def _winfspy() -> str | None:
    """Why winfspy can't be had; its code is fetched when it is missing, Windows has its own."""
    reason = None
    if sys.platform == "win32":
        if importlib.util.find_spec("winfspy") is None:
            reason = "no winfspy: see docs/windows.md"
    else:
        try:
            wheel.fetch()
        except wheel.WheelMissingError as missing:
            reason = str(missing)
    return reason


class ScenarioItem(pytest.Item):
    """One run of one scenario."""

    def __init__(self, *, scenario: Scenario, host: str, server: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.scenario, self.host, self.server = scenario, host, server
        self.add_marker(pytest.mark.scenario)
        if host == "fuse":
            self.add_marker(pytest.mark.mount)
        subject = Subject(
            id=scenario.id,
            why=scenario.why,
            covers=tuple(scenario.covers),
            host=host,
            server=server,
        )
        self.user_properties.append((PROPERTY, subject.dumps()))

    def runtest(self) -> None:
        never = excluded(self.scenario)
        if never:
            pytest.skip(f"not on this system: {never}")
        reason = self._obstacle()
        if reason and os.environ.get("CI"):
            pytest.fail(f"CI must run this: {reason}")
        if reason:
            pytest.skip(reason)
        factory = self.config._tmp_path_factory  # type: ignore[attr-defined]  # as tmp_path does
        work = factory.mktemp(f"{self.scenario.id}-{self.host}"[:60], numbered=True)
        run(self.scenario, self.host, self.server, work, note=self._measured)

    def _measured(self, measured: Measured) -> None:
        self.user_properties.append((CALLBACKS, measured.dumps()))

    def _obstacle(self) -> str | None:
        if self.host == "fuse":
            reasons = [capabilities.CAPABILITIES[name]() for name in FUSE_NEEDS]
            return "; ".join(reason for reason in reasons if reason) or self._missing_program()
        if self.host == "winfsp":
            return _winfspy()
        if self.server != "simulator":
            return real_servers.available(self.server)
        return None

    def _missing_program(self) -> str | None:
        """Programs that a `run` step starts and this machine lacks."""
        programs = {
            s.arguments["command"][0] for s in all_steps(self.scenario.steps) if s.action == "run"
        }
        missing = sorted(name for name in programs if shutil.which(name) is None)
        return f"no program {', '.join(missing)}" if missing else None

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ScenarioFailed):
            again = f"pytest {self.path} -k {self.host}"
            return f"{self.scenario.id}: {self.scenario.why}\n{excinfo.value}\nagain: {again}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


class MtpScenarioItem(pytest.Item):
    """One run of one scenario of mtpsync."""

    def __init__(self, *, scenario: MtpScenario, host: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.scenario, self.host = scenario, host
        self.add_marker(pytest.mark.scenario)
        subject = Subject(
            id=scenario.id,
            why=scenario.why,
            covers=tuple(scenario.covers),
            host=host,
            server="simulator",
        )
        self.user_properties.append((PROPERTY, subject.dumps()))

    def runtest(self) -> None:
        if os.name == "nt":
            pytest.skip("not on this system: there is no libmtp, and its fake is for POSIX")
        reason = _compiler()
        if reason and os.environ.get("CI"):
            pytest.fail(f"CI must run this: {reason}")
        if reason:
            pytest.skip(reason)
        factory = self.config._tmp_path_factory  # type: ignore[attr-defined]  # as tmp_path does
        work = factory.mktemp(f"{self.scenario.id}-{self.host}"[:60], numbered=True)
        mtp_execution.run(self.scenario, work)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ScenarioFailed):
            again = f"pytest {self.path}"
            return f"{self.scenario.id}: {self.scenario.why}\n{excinfo.value}\nagain: {again}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


@lru_cache(maxsize=1)
def _compiler() -> str | None:
    """Why the fake libmtp can't be had."""
    try:
        build()
    except CompilerMissingError as missing:
        return str(missing)
    return None


class _Reporter:
    """Collects results, from this process or from xdist's workers, and shows the matrix."""

    def __init__(self) -> None:
        self._matrix = Matrix()
        self._slowest = Slowest()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        for name, value in report.user_properties:
            if name == CALLBACKS and report.when == "call":
                self._slowest.note(Measured.loads(str(value)), report.nodeid.rpartition("::")[2])
            if name == PROPERTY:
                self._matrix.note(
                    Result(
                        subject=Subject.loads(str(value)),
                        outcome=report.outcome,
                        seconds=report.duration,
                        message="" if report.passed else report.longreprtext,
                    )
                )

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """Item × host, when scenarios ran."""
        if not self._matrix.results:
            return
        terminalreporter.section("scenarios: item × host")
        for line in self._matrix.lines(checklist(), checklist(MTP_CHECKLIST)):
            terminalreporter.write_line(line)
        slowest = self._slowest.lines()
        if slowest:
            terminalreporter.section("never frozen: how long programs waited")
        for line in slowest:
            terminalreporter.write_line(line)
        directory = config.getoption("--scenario-report")
        if directory:
            page = write_page(
                self._matrix, checklist(), Path(directory), slowest, checklist(MTP_CHECKLIST)
            )
            terminalreporter.write_line(f"written to {page}")


def pytest_configure(config: pytest.Config) -> None:
    """Only who prints collects."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reporter(), "scenario-matrix")
