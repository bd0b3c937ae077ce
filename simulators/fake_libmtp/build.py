"""Compile the library, once for each content of its sources."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent / "c"
FOLDER = Path(__file__).parents[2] / ".fake_libmtp"
SONAME = "libmtp.so.9"
_FLAGS = (
    *("-std=gnu11", "-O1", "-g", "-fPIC", "-shared", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{SONAME}"),
)


class CompilerMissingError(Exception):
    """There is neither `cc` nor the `ziglang` package; the text says so."""


def compiler() -> list[str]:
    """The command of a C compiler.

    Raises:
        CompilerMissingError: there is none.
    """
    if platform.system() != "Linux":
        raise CompilerMissingError("the fake libmtp is for Linux")
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found:
        return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise CompilerMissingError("no C compiler: install gcc, or the ziglang package")


def build(
    directory: Path = FOLDER,
    *,
    newer: bool = False,
    own_header: bool = False,
    flags: Sequence[str] = (),
    command: Sequence[str] | None = None,
) -> Path:
    """The shared object, compiled into *directory* unless it is there already.

    *newer* adds what libmtp 1.1.21 added (Get_Children, FreeMemory); *own_header* compiles
    with our declarations although libmtp's are installed; *flags* go to the compiler.

    Raises:
        CompilerMissingError: nothing can compile it.
        RuntimeError: the compiler refuses, with its message.
    """
    words = [*(command or compiler()), *_FLAGS, *flags]
    words += ["-DFAKE_NEWER"] if newer else []
    words += ["-DFAKE_OWN_HEADER"] if own_header else []
    files = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256("\0".join(words).encode())
    for file in files:
        digest.update(file.read_bytes())
    digest.update(_installed_header())
    target = directory / digest.hexdigest()[:16] / SONAME
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:  # others may build it, too
        made = Path(folder) / SONAME
        sources = [str(file) for file in files if file.suffix == ".c"]
        done = subprocess.run(
            [*words, "-o", str(made), *sources],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            raise RuntimeError(f"the fake libmtp doesn't compile:\n{done.stderr}")
        made.replace(target)
    return target


def _installed_header() -> bytes:
    for folder in ("/usr/include", "/usr/local/include"):
        header = Path(folder) / "libmtp.h"
        if header.is_file():
            return header.read_bytes()
    return b""
