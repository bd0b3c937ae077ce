"""What the runner of mtpsync's scenarios asks of every run: it fails when that is not so."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.helpers.mtp import fake_library
from tests.scenario_runner import mtp_execution
from tests.scenario_runner.mtp_grammar import load
from tests.scenario_runner.plugin import MTP_CHECKLIST, known_items
from tests.scenario_runner.steps import ScenarioFailed

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake libmtp is for POSIX")

HEAD = """
id     = "one"
why    = "because"
covers = ["exec"]
hosts  = ["fake"]
device = { files = { "/Music/a" = "text:old", "/Music/theirs" = "text:t", "/Other/b" = "text:b" } }
source = { "a" = "text:new" }
"""
PHONE = """
import os, pathlib, subprocess, sys
root = pathlib.Path(os.environ["FAKE_LIBMTP_STATE"], "devices", "00", "storage0")
music = root / "Music"
def send(name="a", data=b"new"):
    (music / name).write_bytes(data)
"""


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, step: str) -> str:
    """Run *step* with *program* instead of mtpsync; what is wrong, '' when nothing."""
    fake_library()
    script, file, work = tmp_path / "program.py", tmp_path / "one.toml", tmp_path / "work"
    end = "\nsys.exit(7)" if "exit = 7" in step else ""
    script.write_text(PHONE + program + end, encoding="utf-8")
    file.write_text(HEAD + f"steps = [{step}]", encoding="utf-8")
    work.mkdir()
    monkeypatch.setattr(mtp_execution, "PROGRAM", [sys.executable, str(script)])
    monkeypatch.setattr(mtp_execution, "END_S", 0.5)
    try:
        mtp_execution.run(load(file, known_items(MTP_CHECKLIST)), work)
    except ScenarioFailed as failed:
        return str(failed)
    return ""


EXEC = '{ run = { command = ["exec"] } }'
FAILING = '{ run = { command = ["exec"], exit = 7 } }'


def test_a_program_that_does_it_right_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, monkeypatch, "send()", EXEC) == ""


@pytest.mark.parametrize(
    ("program", "step", "wrong"),
    [
        ("send(); sys.exit(1)", EXEC, "exit code 1, expected 0"),
        ("send(); print('Traceback (most'); ", EXEC, "a traceback is shown"),
        ("print('{}{}')", '{ run = { command = ["verify"], json = {} } }', "not one JSON document"),
        ("print('x')", '{ run = { command = ["exec"], json = {}, exit = 7 } }', "not one JSON doc"),
        ("print('{}')", '{ run = { command = ["verify"], json = { a = 1 } } }', "a is None, expec"),
        ("", EXEC, "success, and not all of the source is there: ['a']"),
        ("send(data=b'ne')", FAILING, "neither the old whole version nor the new one: /Music/a"),
        ("(music / 'a').unlink()", FAILING, "/Music/a: b'old' became missing"),
        ("(music / 'theirs').unlink()", FAILING, "/Music/theirs: b't' became missing"),
        ("(root / 'Other' / 'b').write_bytes(b'')", FAILING, "/Other/b: b'b' became b''"),
        ("send('new')", FAILING, "/Music/new: missing became b'new'"),
        ("send()", '{ run = { command = ["verify"] } }', "only looks changed /Music/a"),
        ("send()", '{ run = { command = ["exec", "--dry-run"] } }', "only looks changed /Music/a"),
        ("send(); send('~mtpsync-1')", EXEC, "a temporary name is left: /Music/~mtpsync-1"),
        ("(music / 'theirs').unlink(); send()", '{ run = { command = ["exec", "--delete"] } }',
         "/Music/theirs: b't' became missing"),
        ("send()", '{ run = { command = ["exec"], calls = { Get_Storage = 1 } } }', "0 calls"),
        ("send()", '{ run = { command = ["exec"], says = ["hello"] } }', "not said: 'hello'"),
        ("send()", '{ run = { command = ["exec"], when = { on = "SendObject" }, does = ['
         '{ device = { do = "unplug" } }] } }', "the moment never came"),
        ("send()", EXEC + ', { device = { do = "fault", fault = { on = "SendObject", '
         'fault = "lie" } } }', "one.toml:8: fault 0 never struck"),
        ("send(); subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'],"
         " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)", EXEC, "a process is left: ["),
    ],
)  # fmt: skip
def test_what_no_scenario_can_switch_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, step: str, wrong: str
) -> None:
    assert wrong in run(tmp_path, monkeypatch, program, step)


def test_the_new_version_under_its_temporary_name_is_enough_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "(music / 'a').unlink(); send('~mtpsync-1')"

    assert run(tmp_path, monkeypatch, program, FAILING + ", { plan = { gone = true } }") == ""
