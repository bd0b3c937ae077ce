"""The guards of tests/conftest.py go red: each inner test below breaks one rule."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
CONFTEST = (PROJECT / "tests" / "conftest.py").read_text(encoding="utf-8")
IMPATIENT = "\nguards.PATIENCE_S = 0.3\n"
PREAMBLE = """
import logging, os, pathlib, socket, subprocess, sys, threading
import pytest
from pyftpdrive import logger
KEPT = []
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with our conftest. In a process of its own: what it leaks must not be ours."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.delenv("PYFTPDRIVE_TEST_REQUIRE", raising=False)
    pytester.makeconftest(CONFTEST + IMPATIENT)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def run(inner: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return inner.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)


LEAKS = {
    "thread": (
        """
        import functools
        wait = threading.Event().wait
        threading.Thread(target=functools.partial(wait, 30), name="forgotten", daemon=True).start()
        """,
        r"left behind: thread 'forgotten'",
    ),
    "descriptor": ("KEPT.append(os.open(__file__, os.O_RDONLY))", r"left behind: descriptor \d+"),
    "socket": ("KEPT.append(socket.socket())", r"left behind: descriptor \d+ -> socket:"),
    "child": (
        "KEPT.append(subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE))",
        r"left behind: child process \d+ \(.*python",
    ),
    "warning": (
        "logging.getLogger('pyftpdrive.spool').warning('disk %s', 'full')",
        r"not declared with @pytest.mark.logs: WARNING pyftpdrive.spool: disk full",
    ),
    "warning after the product set up its log": (
        """
        logger.set_up(level="INFO", file=None, console=False, secrets=[])
        logging.getLogger('pyftpdrive').error('bad')
        """,
        r"not declared .*: ERROR pyftpdrive: bad",
    ),
}


@pytest.mark.parametrize("what", LEAKS)
def test_guard_fails_a_test_that_leaves_or_logs(inner: pytest.Pytester, what: str) -> None:
    body, complaint = LEAKS[what]
    lines = "\n".join("    " + line.strip() for line in body.strip().splitlines())
    inner.makepyfile(test_inner=f"{PREAMBLE}\ndef test_breaks_a_rule():\n{lines}\n")

    result = run(inner)

    result.assert_outcomes(passed=1, errors=1)
    assert re.search(complaint, result.stdout.str())


def test_guards_let_clean_and_declared_tests_pass(inner: pytest.Pytester) -> None:
    inner.makepyfile(
        test_inner=PREAMBLE
        + """
@pytest.mark.logs("disk .ull")
def test_declared_by_marker():
    logging.getLogger("pyftpdrive.spool").warning("disk full")

def test_declared_by_fixture(log_watch):
    log_watch.expect("gone")
    logging.getLogger("pyftpdrive.ftp").error("server gone")

def test_other_loggers_are_not_ours():
    logging.getLogger("pyftpdrivers").warning("noise")

@pytest.fixture(scope="module")
def server():
    with socket.socket() as sock:
        yield sock

def test_wider_fixtures_may_live_on(server):
    pass

def test_thread_that_ends_in_time():
    threading.Timer(0.05, print).start()

def test_home_is_not_the_users(tmp_path):
    home = pathlib.Path.home()
    assert home.is_dir() and not list(home.iterdir())
    assert home.is_relative_to(tmp_path.parent)
"""
    )

    run(inner).assert_outcomes(passed=6)


def test_missing_requirement_is_an_error(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYFTPDRIVE_TEST_REQUIRE", "git,teleport")
    inner.makepyfile("def test_nothing(): pass")

    result = run(inner)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*lacks what PYFTPDRIVE_TEST_REQUIRE asks for: teleport: *"])


def test_tests_don_t_see_the_users_settings() -> None:
    assert not [name for name in os.environ if name.startswith("PYFTPDRIVE_FTP")]
    assert os.environ["PYTHON_KEYRING_BACKEND"] == "keyring.backends.null.Keyring"
