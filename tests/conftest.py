"""Guards and isolation for every test, markers by directory, the header with capabilities."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from simulators.fake_winfsp import wheel
from tests.helpers import capabilities, guards

HERE = Path(__file__).resolve().parent
# Mounts by FUSE, and the fake of what Windows has: not for Windows.
collect_ignore_glob = (
    ["mount/*", "fsx/*", "soak/*", "*/test_fake_winfsp*"] if sys.platform == "win32" else []
)
MARKERS = ("unit", "integration", "mount", "soak", "fsx")
_homes = itertools.count()

settings.register_profile("fuzz", max_examples=50_000, deadline=None)
if "HYPOTHESIS_PROFILE" in os.environ:
    settings.load_profile(os.environ["HYPOTHESIS_PROFILE"])

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell: programs that tests start would ignore Ctrl+C, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "logs(pattern): this test may log a WARNING in which the pattern is found"
    )
    problems = capabilities.unmet()
    if problems:
        raise pytest.UsageError(
            f"this machine lacks what {capabilities.VARIABLE} asks for: " + "; ".join(problems)
        )


def pytest_report_header() -> str:
    return f"capabilities {capabilities.header()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.parent
        if folder.is_relative_to(HERE):
            name = (*folder.relative_to(HERE).parts, "")[0]
            if name in MARKERS:
                item.add_marker(name)


# -- isolation ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def isolated_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Directories of the user, the keyring and git are this test's own."""
    home = tmp_path_factory.getbasetemp() / f"home{next(_homes)}"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith("PYFTPDRIVE_") and not name.startswith("PYFTPDRIVE_TEST_"):
            monkeypatch.delenv(name)
    places = {
        "HOME": home,
        "USERPROFILE": home,
        "LOCALAPPDATA": home / "local",
        "APPDATA": home / "roaming",
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        "XDG_STATE_HOME": home / "state",
        "XDG_RUNTIME_DIR": home / "run",
        "PYFTPDRIVE_RUNTIME_DIR": home / "run" / "pyftpdrive",
    }
    for name, place in places.items():
        monkeypatch.setenv(name, str(place))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.invalid")
    return home


# -- what is fetched once ------------------------------------------------------------------------


@pytest.fixture(scope="session")
def winfspy() -> None:
    """winfspy's own code above the fake WinFsp; fetched from the package index when it is missing.

    Of the session, so that pip still sees the user's configuration.
    """
    if os.name == "nt":
        pytest.skip("the fake WinFsp is for other systems")
    try:
        wheel.fetch()
    except wheel.WheelMissingError as missing:
        pytest.skip(str(missing))


# -- guards ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def log_watch(
    request: pytest.FixtureRequest, isolated_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[guards.LogWatch]:
    """Fail a test that leaves something behind, or logs what it did not declare.

    Requested by name, it lets a test declare a message: `log_watch.expect("pattern")`.
    """
    assert isolated_home.is_dir()  # set up first, so torn down last
    below = tmp_path_factory.getbasetemp()
    watch = guards.LogWatch()
    for marker in request.node.iter_markers("logs"):
        for pattern in marker.args:
            watch.expect(pattern)
    before = guards.take(below)
    with watch.watching():
        yield watch
    left = guards.leaks(before, below)
    for line in left:
        if line.startswith("mount "):
            guards.free_mount(line.removeprefix("mount "))
    problems = [f"left behind: {line}" for line in left]
    problems += [f"not declared with @pytest.mark.logs: {line}" for line in watch.undeclared()]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
