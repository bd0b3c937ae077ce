"""winfspy's own Python code, from its wheel: fetched once, checked, imported as it is.

    python -m simulators.fake_winfsp.wheel fetch     # needs pip and the package index, 95 kB
    python -m simulators.fake_winfsp.wheel check     # is it there?

The directory is PYFTPDRIVE_TEST_WINFSPY, else `.winfspy/` in the project root. Nothing of the
wheel is changed or part of this project; its native module is not loaded.
"""

from __future__ import annotations

import ctypes.util
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import types
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulators.fake_winfsp import bindings, dll, dll_memory

VERSION = "0.8.4"
NAME = f"winfspy-{VERSION}-cp311-cp311-win_amd64.whl"
SHA256 = "518581972a2f07806702250cb47c25c0722b37ebd2402d5b06e07fecea253317"
FETCH_TIMEOUT_S = 120
COMMAND = "python -m simulators.fake_winfsp.wheel fetch"
_NATIVE = "winfspy.plumbing._bindings"


class WheelMissingError(RuntimeError):
    """The wheel isn't here, or isn't the one we know."""


def directory() -> Path:
    """Where the wheel and its files are kept."""
    named = os.environ.get("PYFTPDRIVE_TEST_WINFSPY")
    return Path(named) if named else Path(__file__).resolve().parents[2] / ".winfspy"


def unpacked() -> Path:
    """The directory that goes on sys.path."""
    return directory() / f"winfspy-{VERSION}"


def missing() -> str | None:
    """Why winfspy can't be imported here, None: it can. Asks no network."""
    if os.name == "nt":
        return "on Windows there is the real one"
    if not (directory() / NAME).is_file() or not (unpacked() / "winfspy").is_dir():
        return f"no winfspy {VERSION}: {COMMAND}"
    found = hashlib.sha256((directory() / NAME).read_bytes()).hexdigest()
    return None if found == SHA256 else f"{NAME} is not the wheel that we know: {COMMAND}"


def fetch() -> None:
    """Download and unpack the wheel unless it is there; two processes may do so at once.

    Raises:
        WheelMissingError: pip could not get it, or got another one.
    """
    if missing() is None:
        return
    target = directory()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=target) as folder:
        _download(Path(folder))
        wheel = Path(folder) / NAME
        if not wheel.is_file() or hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
            raise WheelMissingError(f"what the package index gave is not {NAME} as we know it")
        files = Path(folder) / "files"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(files)  # its digest is known: no hostile paths
        if not (unpacked() / "winfspy").is_dir():
            shutil.rmtree(unpacked(), ignore_errors=True)
            try:
                files.rename(unpacked())
            except OSError as exc:
                if not (unpacked() / "winfspy").is_dir():  # else another process was faster
                    raise WheelMissingError(f"can't unpack into {target}: {exc}") from exc
        wheel.replace(target / NAME)


def _download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "20"]
    command += ["--only-binary=:all:", "--platform", "win_amd64", "--python-version", "3.11"]
    command += ["--dest", str(folder), f"winfspy=={VERSION}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise WheelMissingError(f"no winfspy {VERSION}: the package index is too slow") from exc
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        told = lines[-1] if lines else f"pip ended with {done.returncode}"
        raise WheelMissingError(f"no winfspy {VERSION}: {told}")


# -- import ---------------------------------------------------------------------------------------


def install() -> types.ModuleType:
    """Import the real winfspy above the fake native module; later calls change nothing.

    Raises:
        WheelMissingError: the wheel isn't here, or another winfspy has been imported.
    """
    loaded = sys.modules.get("winfspy")
    if loaded is not None:
        if getattr(sys.modules.get(_NATIVE), "lib", None) is not bindings.lib:
            raise WheelMissingError("another winfspy has been imported already")
        return loaded
    reason = missing()
    if reason is not None:
        raise WheelMissingError(reason)
    with tempfile.TemporaryDirectory(prefix="winfsp-") as place, _windows_like(Path(place)):
        sys.path.insert(0, str(unpacked()))
        bindings.module(_NATIVE, dll, dll_memory)
        winfspy = importlib.import_module("winfspy")
        file_system: Any = importlib.import_module("winfspy.file_system")
        file_system.os = _OperatingSystem("os")
    return winfspy


@contextmanager
def _windows_like(place: Path) -> Iterator[None]:
    """What winfspy looks at while it is being imported."""
    (place / "bin").mkdir()
    environment = {name: os.environ.get(name) for name in ("PATH", "WINFSP_LIBRARY_PATH")}
    os.environ["WINFSP_LIBRARY_PATH"] = str(place)
    os.environ.pop("WINFSP_DEBUG_PATH", None)
    find_library = ctypes.util.find_library

    def find(name: str) -> str | None:
        return str(place / "bin" / name) if name.startswith("winfsp-") else find_library(name)

    registry = sys.modules.get("winreg")
    sys.modules["winreg"] = types.ModuleType("winreg")
    vars(os)["add_dll_directory"] = lambda _path: None
    ctypes.util.find_library = find
    try:
        yield
    finally:
        ctypes.util.find_library = find_library
        del vars(os)["add_dll_directory"]
        del sys.modules["winreg"]
        if registry is not None:
            sys.modules["winreg"] = registry
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class _OperatingSystem(types.ModuleType):
    """`os` for winfspy.file_system: its stat() asks the Windows that is active."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def stat(self, path: str) -> Any:
        backend: Any = bindings.active()
        return os.stat(path) if backend is None else backend.stat(path)


def main(arguments: list[str]) -> int:
    """Entry point."""
    if arguments == ["fetch"]:
        try:
            fetch()
        except WheelMissingError as exc:
            print(exc, file=sys.stderr)
            return 1
    elif arguments != ["check"]:
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    reason = missing()
    print(reason or f"winfspy {VERSION} is there")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
