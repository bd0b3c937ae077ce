#!/usr/bin/env python3
"""From a fresh machine to a mounted drive, or to green tests, in one command.

    python3 bootstrap.py demo [--once]     mount the built-in server and show it working
    python3 bootstrap.py test [ARGS …]     run the whole test suite (ARGS go to pytest)
    (Windows: py bootstrap.py …; WinFsp must be installed)
    python3 bootstrap.py lint              ruff, mypy for Linux and Windows, import contracts

Standard library only. It makes `.venv`, installs what is missing and says what; system packages
only as root or with sudo, otherwise it prints the command.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent
VENV = PROJECT / ".venv"
PYTHON_MIN = (3, 11)
APT_BASE = {"fusermount3": "fuse3"}
APT_TEST = {"git": "git", "sqlite3": "sqlite3", "rsync": "rsync", "gcc": "gcc"}
DEMO_WAIT_S = 30
WINFSPY = "0.8.4"
# Ctrl+C in the terminal is for us alone: we end the children in the right order.
_OWN_GROUP: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


class SetupError(Exception):
    """Something is missing that we may not install."""


def say(text: str) -> None:
    """One line to the user."""
    print(text, flush=True)


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command; its failure is ours."""
    return subprocess.run([str(part) for part in command], check=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


# -- what the machine needs --------------------------------------------------------------------


def missing_packages(*, tests: bool) -> list[str]:
    """Debian packages that this machine lacks."""
    wanted = {**APT_BASE, **(APT_TEST if tests else {})}
    packages = [package for program, package in wanted.items() if not shutil.which(program)]
    if not any(Path(folder).glob("**/libfuse3.so.3*") for folder in ("/usr/lib", "/lib")):
        packages.append("libfuse3-3")
    if tests and not Path("/usr/include/libmtp.h").exists():
        packages.append("libmtp-dev")  # with libmtp9: the fake is compared with both
    try:
        import ensurepip  # noqa: F401  # Debian splits it off
    except ImportError:
        packages.append("python3-venv")
    return sorted(set(packages))


def install_packages(packages: list[str]) -> None:
    """Install *packages* with apt-get, as root or with sudo."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    command = [*prefix, "apt-get", "install", "-y", "--no-install-recommends", *packages]
    if not shutil.which("apt-get") or (prefix and not shutil.which("sudo")):
        raise SetupError(f"please install: {' '.join(packages)} (Debian: apt-get install …)")
    say(f"installing system packages: {' '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(*prefix, "apt-get", "update", "-qq", env=quiet)
        run(*command, env=quiet, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise SetupError(f"this failed, please run it by hand: {' '.join(command)}") from error


def venv_python() -> Path:
    """The virtual environment's interpreter."""
    return VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def make_environment(extra: str) -> None:
    """Make `.venv` and install the project with *extra*; quick when nothing changed."""
    stamp = VENV / f".installed-{extra}"
    key = hashlib.sha256((PROJECT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == key and venv_python().is_file():
        return
    if not venv_python().is_file():
        say(f"making a virtual environment in {VENV.name}")
        run(sys.executable, "-m", "venv", VENV)
    say(f"installing pyftpdrive[{extra}] and what it needs into {VENV.name}")
    run(
        venv_python(),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--editable",
        f"{PROJECT}[{extra}]",
    )
    stamp.write_text(key, encoding="ascii")


def require_winfsp() -> None:
    """Windows: the driver below every drive, which only the user may install."""
    if sys.platform == "win32":
        import winreg

        for view in (winreg.KEY_WOW64_32KEY, winreg.KEY_WOW64_64KEY):
            try:
                key = winreg.OpenKey(
                    winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\WinFsp", 0, winreg.KEY_READ | view
                )
            except OSError:
                continue
            winreg.CloseKey(key)
            return
        raise SetupError(
            "WinFsp is missing: `winget install WinFsp.WinFsp`, or https://winfsp.dev/rel/"
        )


def install_winfspy() -> None:
    """Windows, Python 3.12 and later: winfspy's wheel for 3.11, which uses the stable ABI only.

    Its file name doesn't say so (ADR 0013): it is given the tag that does, then pip installs it.
    """
    python = venv_python()
    found = subprocess.run([str(python), "-c", "import winfspy"], check=False, capture_output=True)
    if sys.platform != "win32" or sys.version_info < (3, 12) or found.returncode == 0:
        return
    say(f"installing winfspy {WINFSPY} for Python {sys.version_info[0]}.{sys.version_info[1]}")
    with tempfile.TemporaryDirectory() as folder:
        run(
            *(python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
            *("--platform", "win_amd64", "--python-version", "3.11", "--dest", folder),
            f"winfspy=={WINFSPY}",
        )
        (wheel,) = Path(folder).glob("winfspy-*.whl")
        run(python, "-m", "pip", "install", "--quiet", "wheel>=0.40", "cffi>=1.15")
        run(python, "-m", "wheel", "tags", "--abi-tag", "abi3", wheel, cwd=folder)
        (retagged,) = Path(folder).glob("winfspy-*-abi3-*.whl")
        run(python, "-m", "pip", "install", "--quiet", retagged)


def prepare(extra: str, *, tests: bool) -> None:
    """Everything that a command needs."""
    require_winfsp()
    if sys.platform.startswith("linux"):
        packages = missing_packages(tests=tests)
        if packages:
            install_packages(packages)
        if not Path("/dev/fuse").exists():
            raise SetupError("/dev/fuse is missing: load the kernel module (modprobe fuse)")
    make_environment(extra)
    if sys.platform == "win32":
        install_winfspy()


def free_drive(work: Path) -> Path:
    """Where the demo mounts: a directory, on Windows the last letter that nobody has."""
    if sys.platform != "win32":
        drive = work / "drive"
        drive.mkdir()
        return drive
    for letter in "ZYXWVUTSRQPONMLKJIHGFED":
        if not os.path.exists(f"{letter}:\\"):
            return Path(f"{letter}:\\")
    raise SetupError("every drive letter is in use")


# -- demo --------------------------------------------------------------------------------------


def demo(*, once: bool) -> int:
    """Mount the built-in server, show a listing and a save, unmount."""
    prepare("demo", tests=False)
    work = Path(tempfile.mkdtemp(prefix="pyftpdrive-demo-"))
    server_root, drive = work / "server", free_drive(work)
    server_root.mkdir()
    environment = {
        **os.environ,
        "PYFTPDRIVE_RUNTIME_DIR": str(work / "run"),
        "PYFTPDRIVE_CACHE_DIRECTORY": str(work / "cache"),
        "PYFTPDRIVE_UPLOAD_DIRECTORY": str(work / "upload"),
        "PYFTPDRIVE_LOGGING_FILE": str(work / "pyftpdrive.log"),
    }
    children: list[subprocess.Popen[str]] = []
    try:
        port = _start_server(server_root, children)
        _start_drive(port, drive, environment, children)
        _show(server_root, drive, port)
        if not once:
            _wait_for_user(drive)
    except KeyboardInterrupt:
        say("")
    finally:
        for child in reversed(children):  # the drive first: it sends what is pending
            _end(child)
        shutil.rmtree(work, ignore_errors=True)
    say("unmounted, stopped, cleaned up")
    return 0


def _first_line(child: subprocess.Popen[str], what: str) -> str:
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    if not line:
        child.wait(DEMO_WAIT_S)
        raise SetupError(f"{what} did not start (its message is above)")
    return line


def _start_server(root: Path, children: list[subprocess.Popen[str]]) -> int:
    command = [
        venv_python(),
        "-m",
        "simulators.ftp_server",
        "--port",
        "0",
        "--root",
        root,
        "--sample-files",
        "--profile",
        "vsftpd",
    ]
    child = subprocess.Popen(
        [str(part) for part in command],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        **_OWN_GROUP,
    )
    children.append(child)
    line = _first_line(child, "the demo server")
    say(f"demo server: {line}")
    return int(line.rsplit(":", 1)[1].strip("/ "))


def _start_drive(
    port: int, drive: Path, environment: dict[str, str], children: list[subprocess.Popen[str]]
) -> None:
    command = [
        "mount",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--drive",
        str(drive).rstrip("\\"),
    ]
    say(f"$ pyftpdrive {' '.join(command)}")
    child = subprocess.Popen(
        [str(venv_python()), "-m", "pyftpdrive", *command],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        **_OWN_GROUP,
    )
    children.append(child)
    say(_first_line(child, "the drive"))


def _show(server_root: Path, drive: Path, port: int) -> None:
    """A listing through the drive, and a save that arrives at the server."""
    say(f"$ ls -l {drive}")
    for entry in sorted(drive.iterdir()):
        found = entry.stat()
        say(f"  {'d' if entry.is_dir() else '-'} {found.st_size:>9}  {entry.name}")
    text = "written through the drive\n"
    say(f"$ echo '{text.strip()}' > {drive / 'hello.txt'}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    handle = os.open(drive / "hello.txt", flags, 0o644)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)  # returns when the file is on the server, verified
    finally:
        os.close(handle)
    arrived = (server_root / "hello.txt").read_text(encoding="utf-8")
    if arrived != text:
        raise SetupError(f"the server has {arrived!r} instead of {text!r}")
    say(f"the server has it: hello.txt, {len(arrived)} bytes, the same text")
    say(f"(the server listens on ftp://127.0.0.1:{port}, its files are in {server_root})")


def _wait_for_user(drive: Path) -> None:
    say("")
    say(f"Look around in {drive} with any program: ls, an editor, git, a file manager.")
    say("Ctrl+C unmounts it and cleans up.")
    while True:
        time.sleep(1.0)  # Ctrl+C and SIGTERM raise KeyboardInterrupt


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        if sys.platform == "win32":
            child.send_signal(signal.CTRL_BREAK_EVENT)  # terminate() there is a kill
        else:
            child.terminate()
        try:
            child.wait(DEMO_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


# -- tests -------------------------------------------------------------------------------------


def unpack_servers() -> None:
    """Fetch the real FTP servers that tests use, once; without them their tests are skipped."""
    helper = [str(venv_python()), "-m", "tests.helpers.real_servers"]

    def succeeds(*command: str) -> bool:
        done = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True)
        return done.returncode == 0

    if not sys.platform.startswith("linux") or succeeds(*helper, "check"):
        return
    say("unpacking vsftpd, ProFTPD and Pure-FTPd into .servers, for tests only")
    if succeeds(*helper, "install"):
        return
    succeeds(*([] if os.geteuid() == 0 else ["sudo", "-n"]), "apt-get", "update", "-qq")
    if not succeeds(*helper, "install"):
        say("not all of them can run here: the tests of those are skipped")


def fetch_winfspy() -> None:
    """Fetch the wheel whose code runs above the fake WinFsp, once; without it tests are skipped."""
    if sys.platform == "win32":
        return  # the real one is below the tests there
    command = [str(venv_python()), "-m", "simulators.fake_winfsp.wheel", "fetch"]
    done = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    if done.returncode:
        say(f"{done.stderr.strip()}: the tests of the Windows drive are skipped")


def test(arguments: list[str]) -> int:
    """The whole suite in parallel, with coverage by layer; *arguments* go to pytest instead."""
    prepare("dev", tests=True)
    unpack_servers()
    fetch_winfspy()
    if arguments:
        command = [venv_python(), "-m", "pytest", *arguments]
        return subprocess.run([str(part) for part in command], cwd=PROJECT, check=False).returncode
    return subprocess.run(
        [str(venv_python()), "-m", "tests.whole_suite"], cwd=PROJECT, check=False
    ).returncode


def lint() -> int:
    """Ruff, mypy for both platforms, import contracts."""
    prepare("dev", tests=True)
    python = str(venv_python())
    tools = venv_python().parent
    commands = [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy", "--platform", "linux"],
        [python, "-m", "mypy", "--platform", "win32"],
        [str(tools / "lint-imports")],
    ]
    codes = []
    for command in commands:
        say(f"$ {' '.join(Path(part).name if '/' in part else part for part in command)}")
        codes.append(subprocess.run(command, cwd=PROJECT, check=False).returncode)
    return max(codes)


def main(arguments: list[str]) -> int:
    """Entry point."""
    if sys.version_info < PYTHON_MIN:
        say(
            f"Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or later is needed; this is "
            f"{sys.version.split()[0]}"
        )
        return 2
    command = arguments[0] if arguments else ""
    try:
        if command == "demo" and set(arguments[1:]) <= {"--once"}:
            return demo(once="--once" in arguments)
        if command == "test":
            return test(arguments[1:])
        if command == "lint" and len(arguments) == 1:
            return lint()
    except SetupError as error:
        say(f"bootstrap: {error}")
        return 1
    except subprocess.CalledProcessError as error:
        say(f"bootstrap: this failed: {' '.join(error.cmd)}")
        return 1
    say((__doc__ or "").strip())
    return 2


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as at Ctrl+C
    if isinstance(sys.stdout, io.TextIOWrapper):  # a pipe on Windows may not know "…"
        sys.stdout.reconfigure(errors="replace")
    raise SystemExit(main(sys.argv[1:]))
