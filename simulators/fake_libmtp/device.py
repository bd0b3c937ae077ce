"""The bus and its devices, as the test holds them: files that the library reads."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath

from simulators.fake_libmtp.faults import Fault, quoted
from simulators.fake_libmtp.ledger import Ledger
from simulators.fake_libmtp.profiles import PROFILES, Profile, Storage

VARIABLE = "FAKE_LIBMTP_STATE"
_MAGIC, _VERSION, _SIZE = 0x50544D46, 1, 16384
_STORAGES_MAX = 4
# Offsets in `struct shared` of c/fake.h.
_PLUGGED, _PLUG, _LOCKED, _HELD, _NO_ACCESS = 8, 12, 16, 20, 24
_PROFILE, _FAULTS, _NEXT_HANDLE, _SESSION, _TRANSACTIONS = 28, 32, 36, 40, 44
_RANDOM, _WRITTEN, _READ, _EVENTS, _STORAGE, _INCOMING, _SEEN = 48, 56, 60, 64, 576, 2048, 8192


class _Shared:
    """Numbers in the page that the library maps."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def create(self) -> None:
        self._file.write_bytes(struct.pack("<II", _MAGIC, _VERSION).ljust(_SIZE, b"\0"))

    def get(self, offset: int, form: str = "<I") -> int:
        with self._file.open("rb") as page:
            page.seek(offset)
            (value,) = struct.unpack(form, page.read(struct.calcsize(form)))
        return int(value)

    def put(self, offset: int, value: int, form: str = "<I") -> None:
        with self._file.open("r+b", buffering=0) as page:
            page.seek(offset)
            page.write(struct.pack(form, value))

    def add(self, offset: int) -> int:
        value = self.get(offset) + 1
        self.put(offset, value)
        return value

    def text(self, offset: int) -> bytes:
        with self._file.open("rb") as page:
            page.seek(offset)
            return page.read(4096).split(b"\0", 1)[0]


@dataclass(frozen=True, slots=True)
class FakeStorage:
    """A storage, seen by the phone's user. Paths are absolute in it: "/Music/a.mp3"."""

    root: Path
    id: int
    _shared: _Shared
    _number: int

    def at(self, path: str) -> Path:
        """The file or directory on this disk."""
        return self.root.joinpath(*PurePosixPath(path).parts[1:])

    def put(self, path: str, data: bytes = b"", *, size: int | None = None) -> Path:
        """Make a file, and the directories above; *size*: so long, zeros that use no disk."""
        file = self.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        if size is not None:
            os.truncate(file, size)
        return file

    def mkdir(self, path: str) -> Path:
        """Make a directory, and those above."""
        folder = self.at(path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def get(self, path: str) -> bytes:
        """What the file holds."""
        return self.at(path).read_bytes()

    def remove(self, path: str) -> None:
        """Remove a file or a tree."""
        target = self.at(path)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    def tree(self) -> dict[str, bytes | None]:
        """Every path and its content; None: a directory."""
        return {
            "/" + item.relative_to(self.root).as_posix(): None
            if item.is_dir()
            else item.read_bytes()
            for item in sorted(self.root.rglob("*"))
        }

    @property
    def free(self) -> int:
        """Free bytes, as the device says; they can be set."""
        return self._shared.get(_STORAGE + 16 * self._number, "<Q")

    def set_free(self, count: int) -> None:
        """From now on so many bytes are free."""
        self._shared.put(_STORAGE + 16 * self._number, count, "<Q")

    def take_out(self) -> None:
        """The card is pulled out."""
        self._shared.put(_STORAGE + 16 * self._number + 8, 0)

    def put_in(self) -> None:
        """The card is put in again."""
        self._shared.put(_STORAGE + 16 * self._number + 8, 1)


class FakeDevice:
    """A device on the bus, while programs use it."""

    def __init__(
        self, folder: Path, profile: Profile, serial: str, seed: int, roots: Mapping[int, Path]
    ) -> None:
        self.folder = folder
        self.serial = serial
        self.profile = profile
        self._shared = _Shared(folder / "shared")
        self._faults: list[str] = []
        self._base = profile.first_handle - 1
        folder.mkdir(parents=True)
        self._shared.create()
        self._shared.put(_RANDOM, (seed * 0x9E3779B97F4A7C15 + 1) % 2**64 or 1, "<Q")
        self.storages: list[FakeStorage] = []
        for number, storage in enumerate(profile.storages):
            root = roots.get(number, folder / f"storage{number}")
            root.mkdir(exist_ok=True, parents=True)
            at = _STORAGE + 16 * number
            self._shared.put(at, storage.free, "<Q")
            self._shared.put(at + 8, 1)
            identity = storage.id or (number + 1) * 0x10000 + 1
            self.storages.append(FakeStorage(root, identity, self._shared, number))
        self._write_profile()
        self._write_faults()
        self._shared.put(_PLUG, 1)
        self._shared.put(_PLUGGED, 1)

    # -- what the user does --------------------------------------------------------------------

    def unplug(self) -> None:
        """The cable is out; a transfer that runs breaks off."""
        self._shared.put(_PLUGGED, 0)
        self._shared.put(_SESSION, 0)
        incoming = self._shared.text(_INCOMING)
        if incoming and not self.profile.keeps_partial:
            Path(os.fsdecode(incoming)).unlink(missing_ok=True)

    def replug(self, *, same_numbers: bool = False) -> None:
        """In again: another address, and other objects' numbers.

        *same_numbers*: they start from the first again, so that old ones may mean other objects.
        """
        self.unplug()
        first = self.profile.first_handle - 1
        self._base = first if same_numbers else self._shared.get(_NEXT_HANDLE) or first
        self._shared.put(_INCOMING, 0)
        self._shared.put(_READ, self._shared.get(_WRITTEN))
        self._write_profile()
        self._shared.add(_PLUG)
        self._shared.put(_PLUGGED, 1)

    def lock(self) -> None:
        """The screen is locked: no storages."""
        self._shared.put(_LOCKED, 1)

    def unlock(self) -> None:
        """The storages are there again."""
        self._shared.put(_LOCKED, 0)

    def hold(self) -> None:
        """Another program (a file manager) has the interface."""
        self._shared.put(_HELD, 1)

    def let_go(self) -> None:
        """It hasn't any more."""
        self._shared.put(_HELD, 0)

    def forbid(self) -> None:
        """This user may not open the device's node."""
        self._shared.put(_NO_ACCESS, 1)

    def allow(self) -> None:
        """This user may."""
        self._shared.put(_NO_ACCESS, 0)

    def storage(self, number: int = 0) -> FakeStorage:
        """A storage, in the profile's order."""
        return self.storages[number]

    def event(self, code: int, parameter: int = 0) -> None:
        """Something for Read_Event: one of LIBMTP_EVENT_*."""
        written = self._shared.get(_WRITTEN)
        at = _EVENTS + 8 * (written % 64)
        self._shared.put(at, code)
        self._shared.put(at + 4, parameter)
        self._shared.put(_WRITTEN, written + 1)

    # -- what the test does --------------------------------------------------------------------

    def inject(self, fault: Fault | Mapping[str, object]) -> int:
        """Arm a fault, from the next call on; its number in the ledger."""
        made = fault if isinstance(fault, Fault) else Fault.from_dict(fault)
        self._faults.append(made.line())
        self._write_faults()
        return len(self._faults) - 1

    def clear_faults(self) -> None:
        """Disarm everything, from the next call on."""
        self._faults = ["-"] * len(self._faults)
        self._write_faults()

    def set(self, **rules: object) -> None:
        """Change rules of the profile, from the next call on; storages stay."""
        self.profile = replace(self.profile, **rules)  # type: ignore[arg-type]
        self._write_profile()
        self._shared.add(_PROFILE)

    def matches(self, number: int) -> int:
        """How often the address of the fault *number* matched."""
        return self._shared.get(_SEEN + 4 * number)

    @property
    def transactions(self) -> int:
        """How many operations the device was asked for, ever."""
        return self._shared.get(_TRANSACTIONS)

    @property
    def session_open(self) -> bool:
        """Whether a session is open, also one of a process that was killed."""
        return self._shared.get(_SESSION) != 0

    # -- its files -----------------------------------------------------------------------------

    def _write(self, name: str, lines: Iterable[str]) -> None:
        file = self.folder / name
        fresh = file.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        fresh.replace(file)

    def _write_profile(self) -> None:
        self._write("profile", self._profile_lines())

    def _profile_lines(self) -> Iterator[str]:
        yield f"serial={quoted(self.serial)}"
        yield f"handle_base={self._base}"
        for item in fields(Profile):
            if item.name not in ("storages", "first_handle"):
                yield from _line(item.name, getattr(self.profile, item.name))
        for number, storage in enumerate(self.profile.storages):
            made = self.storages[number]
            yield f"storage.{number}.id={made.id}"
            yield f"storage.{number}.root={quoted(os.fspath(made.root))}"
            for item in fields(Storage):
                if item.name not in ("id", "free"):
                    yield from _line(f"storage.{number}.{item.name}", getattr(storage, item.name))

    def _write_faults(self) -> None:
        self._write("faults", self._faults)
        self._shared.add(_FAULTS)


def _line(name: str, value: object) -> Iterator[str]:
    if value is not None:
        yield f"{name}={quoted(str(int(value)) if isinstance(value, bool) else str(value))}"


class FakeUsb:
    """The bus: devices, and the ledger of every process that looks at it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._devices = directory / "devices"
        self._devices.mkdir(parents=True, exist_ok=True)
        self.devices: list[FakeDevice] = []
        self.ledger = Ledger(directory / "ledger.jsonl")

    def environment(self) -> dict[str, str]:
        """What a process that uses the library needs."""
        return {VARIABLE: os.fspath(self.directory)}

    def plug(
        self,
        profile: str | Profile = "android",
        *,
        serial: str | None = None,
        storages: Iterable[Storage] | None = None,
        faults: Iterable[Fault | Mapping[str, object]] = (),
        seed: int = 0,
        roots: Mapping[int, Path] | None = None,
        **rules: object,
    ) -> FakeDevice:
        """Plug in a new device: a profile of `PROFILES`, with *rules* changed.

        *roots*: directories that are to be its storages, by number; others are made.
        """
        made = PROFILES[profile] if isinstance(profile, str) else profile
        if storages is not None:
            rules["storages"] = tuple(storages)
        made = replace(made, **rules)  # type: ignore[arg-type]
        if not 1 <= len(made.storages) <= _STORAGES_MAX:
            raise ValueError(f"1 to {_STORAGES_MAX} storages")
        number = len(self.devices)
        device = FakeDevice(
            self._devices / f"{number:02}",
            made,
            serial if serial is not None else f"FAKE{number:04}",
            seed,
            roots or {},
        )
        self.devices.append(device)
        for fault in faults:
            device.inject(fault)
        return device
