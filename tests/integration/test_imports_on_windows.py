"""What runs on Windows imports there: tried with everything taken away that Windows lacks.

Libraries are loaded first, as this system has them; then our own modules are loaded again with
`sys.platform` and the system's modules as on Windows. What only mypy can see is its business.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = """
import builtins, ctypes, importlib, os, pkgutil, signal, socket, subprocess, sys, types, warnings
warnings.simplefilter("ignore")
OURS = ("pyftpdrive", "mtpsync", "simulators", "tests", "bootstrap", "conftest")
NOT_THERE = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "syslog", "posix", "mfusepy"}
FOR_LINUX = {
    "pyftpdrive.hosts.fuse", "simulators.lossy_disk.__main__", "tests.helpers.real_servers.main",
    "tests.soak.__main__", "tests.fsx.__main__", "tests.fsx.program", "tests.fsx.run",
    "tests.fsx.test_fsx", "tests.mount",
}
NEEDS_WINFSP = {
    f"pyftpdrive.hosts.winfsp{part}" for part in ("", "_library", "_opened", "_volume")
}

def names():
    found = ["bootstrap", "conftest"]
    for package in ("pyftpdrive", "mtpsync", "simulators", "tests.helpers",
                    "tests.scenario_runner", "tests.unit", "tests.windows"):
        module = importlib.import_module(package)
        found.append(package)
        folder = getattr(module, "__path__", [])
        found += [m.name for m in pkgutil.walk_packages(folder, package + ".")]
    found.append("tests.conftest")
    return [n for n in found if n not in FOR_LINUX | NEEDS_WINFSP and not n.endswith("__main__")]

wanted = names()
for name in wanted:
    importlib.import_module(name)
import filelock, pyftpdlib.servers, psutil, multiprocessing.connection
for name in [n for n in sys.modules if n.split(".")[0] in OURS]:
    del sys.modules[name]

sys.platform = "win32"
for name in NOT_THERE:
    sys.modules.pop(name, None)
real_import = builtins.__import__
def refuse(name, *arguments, **named):
    if name.split(".")[0] in NOT_THERE and name != "posix":
        raise ModuleNotFoundError(f"No module named {name!r} (as on Windows)")
    return real_import(name, *arguments, **named)
builtins.__import__ = refuse
for module, gone in (
    (os, "geteuid getuid getegid getgid fork killpg setsid pread pwrite preadv pwritev statvfs "
         "chown fchmod mkfifo setxattr getxattr fdatasync posix_fallocate O_DIRECTORY O_CLOEXEC "
         "O_NOFOLLOW WNOHANG sched_getaffinity"),
    (signal, "SIGKILL SIGSTOP SIGCONT SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGPIPE SIGCHLD setitimer "
             "alarm pthread_sigmask"),
    (socket, "AF_UNIX socketpair_unix SO_PEERCRED SO_REUSEPORT MSG_DONTWAIT"),
):
    for name in gone.split():
        if hasattr(module, name):
            delattr(module, name)
os.O_BINARY = 0x8000
signal.SIGBREAK, signal.CTRL_BREAK_EVENT = 21, 1
subprocess.CREATE_NEW_PROCESS_GROUP, subprocess.CREATE_NO_WINDOW = 0x200, 0x8000000
sys.modules["_winapi"] = types.ModuleType("_winapi")
failed = []
for name in wanted:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {type(error).__name__}: {error}")
from tests.scenario_runner import execution, matrix, winfsp_host
print(f"{len(wanted)} modules")
print("\\n".join(failed))
print("host", execution.HOSTS["winfsp"].__name__, winfsp_host.WinFspHost.__name__)
print("absent", sorted(matrix.ABSENT), "|", matrix.places()[1])
sys.stdout.flush()
os._exit(1 if failed else 0)  # what the interpreter does at its end needs the real system
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there everything imports, or nothing runs")
def test_everything_that_runs_on_windows_imports_without_what_windows_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 100
    assert "host LetterHost LetterHost" in done.stdout
    assert "absent ['fuse', 'real'] | winfsp: Win32 calls on a real drive letter" in done.stdout
