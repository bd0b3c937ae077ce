"""How a drive is named, and whether it can be mounted there. Asked before anything else happens."""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import string
import sys
from pathlib import Path

from pyftpdrive.base.errors import MountError, MountProblem


def check_mount_point(drive: str) -> str:
    """The absolute path of a directory that a drive can be mounted on.

    Raises:
        MountError: missing, not a directory, not empty, busy or stale; says what to do.
    """
    path = Path(drive).expanduser()
    quoted = shlex.quote(str(path))  # for commands that people copy

    def unfit(what: str) -> MountError:
        return MountError(MountProblem.MOUNT_POINT, what)

    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise unfit(f"{path} does not exist. Make it: mkdir -p {quoted}") from error
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise unfit(
                f"{path} is what a mount that crashed left behind. "
                f"Free it: fusermount3 -uz {quoted}"
            ) from error
        raise unfit(f"{path} can't be used: {error.strerror}") from error
    if not os.path.isdir(path):  # stat was done
        raise unfit(f"{path} is a file. Give an empty directory")
    path = path.resolve()
    if os.path.ismount(path) or found.st_dev != path.parent.stat().st_dev:
        raise unfit(f"{path} is mounted already. Unmount it: pyftpdrive unmount --drive {quoted}")
    try:
        filled = any(path.iterdir())
    except PermissionError as error:
        raise unfit(f"{path} can't be read by this user. Give a directory of your own") from error
    if filled:
        raise unfit(f"{path} is not empty: its files would be hidden. Give an empty directory")
    if not os.access(path, os.W_OK):
        raise unfit(f"{path} belongs to someone else. Give a directory of your own")
    return str(path)


# -- drive letters -------------------------------------------------------------------------------


def letter_of(drive: str) -> str | None:
    r"""`Z:` for `Z`, `z:`, `Z:\` and `Z:/`; None: it is no drive letter."""
    letter = drive[:1]
    known = letter.isascii() and letter.isalpha() and drive[1:] in _ENDS
    return f"{letter.upper()}:" if known else None


# The last: what Windows makes of "Z:\" in quotation marks, where \" is one of them.
_ENDS = ("", ":", ":\\", ":/", ':"')


def same_drive(one: str, other: str, *, letters: bool = sys.platform == "win32") -> bool:
    """True when both name one drive. *letters*: a single letter is a drive, not a directory."""
    if letters and (letter_of(one) or letter_of(other)):
        return letter_of(one) == letter_of(other)
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def check_letter(drive: str, taken: set[str]) -> str:
    r"""The drive as WinFsp wants it: `Z:`, or the absolute path of a directory.

    *taken*: the letters that this machine has, as `Z:`.

    Raises:
        MountError: the letter is taken, or it names none; says which are free.
    """
    letter = letter_of(drive)
    if letter is None:
        if drive in ("*", "*:"):
            raise MountError(
                MountProblem.MOUNT_POINT, f"name a drive letter: --drive {free_letters(taken)[0]}"
            )
        return str(Path(drive).expanduser().absolute())
    if letter not in taken:
        return letter
    free = ", ".join(letter.rstrip(":") for letter in free_letters(taken)[:3])
    none = "No letter is free: give a directory that does not exist yet"
    advice = f"Free letters: {free}" if free else none
    raise MountError(
        MountProblem.MOUNT_POINT,
        f"{letter} is taken by another drive. {advice}. If it is a drive of pyftpdrive: "
        f"pyftpdrive unmount --drive {letter}",
    )


def free_letters(taken: set[str]) -> list[str]:
    """Letters that nobody has, from the end of the alphabet; A: and B: belong to floppy disks."""
    every = [f"{letter}:" for letter in reversed(string.ascii_uppercase[2:])]
    return [letter for letter in every if letter not in taken]


def letters_taken() -> set[str]:
    """The letters that this program sees; empty where there are none."""
    mask = 0
    if sys.platform == "win32":
        mask = ctypes.WinDLL("kernel32").GetLogicalDrives()
    return {f"{x}:" for number, x in enumerate(string.ascii_uppercase) if mask >> number & 1}


ELEVATED = (
    "this program is elevated: Explorer and other programs that are not don't see {drive}. "
    'For them, mount it without "Run as administrator"'
)


def is_elevated() -> bool:
    """Windows: whether this is the elevated half of a user whose desktop has the other one.

    False where UAC is off or the user is no administrator: then everybody sees the same drives.
    """
    elevation = 0
    if sys.platform == "win32":
        token, kind, length = ctypes.c_void_p(), ctypes.c_uint32(), ctypes.c_uint32()
        kernel32, advapi32 = ctypes.WinDLL("kernel32"), ctypes.WinDLL("advapi32")
        kernel32.GetCurrentProcess.restype = ctypes.c_void_p
        kernel32.CloseHandle.argtypes = [ctypes.c_void_p]
        advapi32.OpenProcessToken.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p]
        advapi32.GetTokenInformation.argtypes = [
            *(ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
        ]
        process = kernel32.GetCurrentProcess()
        if advapi32.OpenProcessToken(process, TOKEN_QUERY, ctypes.byref(token)):
            told = advapi32.GetTokenInformation(
                token, TOKEN_ELEVATION_TYPE, ctypes.byref(kind), 4, ctypes.byref(length)
            )
            kernel32.CloseHandle(token)
            elevation = kind.value if told else 0
    return elevation == TOKEN_ELEVATION_TYPE_FULL


TOKEN_QUERY = 0x0008
TOKEN_ELEVATION_TYPE = 18  # TOKEN_INFORMATION_CLASS
TOKEN_ELEVATION_TYPE_FULL = 2
