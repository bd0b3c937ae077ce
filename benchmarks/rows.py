"""The rows of the table: what each prepares on the server and does through the drive.

A row runs in a process of its own (`benchmarks.worker`), so that a drive that hangs can't hang the
benchmark. Everything that comes through the drive, and everything that arrives on the server's
disk, is compared with what it must be. "On the server" means: found whole on the server's disk.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import content
from benchmarks.content import MIB, WrongContent

POLL_S = 0.002
SMALL_BYTES = 4096
BIG_SEED = 1
NEEDLE = b"the needle of this haystack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What a row works on."""

    drive: Path  # the row's directory as programs see it
    server: Path  # the same on the server's disk
    url: str  # the same for curl
    scratch: Path  # an empty local directory
    scale: float

    def count(self, full: int) -> int:
        """*full* in the scale of this run."""
        return max(1, round(full * self.scale))

    def size(self, full_mib: int) -> int:
        """*full_mib* in the scale of this run, in bytes; whole MiB."""
        return max(1, round(full_mib * self.scale)) * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One value of a row."""

    name: str
    value: float
    unit: str = "s"
    higher_is_better: bool = False


Work = Callable[[Where], Iterator[Measure]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row."""

    name: str
    prepare: Callable[[Where], None]
    run: Work
    curl: Work | None = None  # the wire's limit, where curl can tell it
    writes: bool = False  # it changes the server's files: prepared anew each time
    peak: Callable[[Where], str] | None = None  # name of the figure: the mount's peak memory
    near_only: bool = False  # measured at the first round trip only
    optional: bool = False  # only when it is named


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*; the parent process bounds the time."""
    pause = threading.Event()
    while True:
        try:
            if condition():
                return
        except FileNotFoundError:
            pass  # not yet, or just being renamed
        pause.wait(POLL_S)


def _rate(name: str, size: int, seconds: float) -> Measure:
    return Measure(name=name, value=size / 1e6 / seconds, unit="MB/s", higher_is_better=True)


def _files(folder: Path, count: int, size: int, *, first_seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        content.make(folder / f"file {number:05d}.txt", first_seed + number, size)


# -- one large file -----------------------------------------------------------------------------


def _prepare_big(where: Where) -> None:
    content.make(where.server / "big", BIG_SEED, where.size(256))


def _read(where: Where) -> Iterator[Measure]:
    size = where.size(256)
    expected = list(content.blocks(BIG_SEED, size))
    buffer = bytearray(MIB)
    began = time.perf_counter()
    with (where.drive / "big").open("rb", buffering=0) as file:
        for number, piece in enumerate(expected):
            _fill(file.fileno(), buffer)
            if buffer != piece:
                raise WrongContent(f"wrong bytes in MiB {number}")
        if file.read(1):
            raise WrongContent("longer than it should be")
    yield _rate(f"read {size // MIB} MiB", size, time.perf_counter() - began)


def _fill(descriptor: int, buffer: bytearray) -> None:
    got = os.readv(descriptor, [buffer])
    while got < len(buffer):
        more = os.readv(descriptor, [memoryview(buffer)[got:]])
        if not more:
            raise WrongContent("shorter than it should be")
        got += more


def _curl_read(where: Where) -> Iterator[Measure]:
    size = where.size(256)
    seconds = _timed(lambda: _curl("-o", "/dev/null", f"{where.url}/big"))
    yield _rate(f"read {size // MIB} MiB", size, seconds)


def _write(where: Where) -> Iterator[Measure]:
    size, target = where.size(256), where.server / "written"
    pieces = list(content.blocks(BIG_SEED, size))
    began = time.perf_counter()
    with (where.drive / "written").open("wb", buffering=0) as file:
        for piece in pieces:
            written = file.write(piece)
            if written != len(piece):
                raise WrongContent(f"a write took {written} of {len(piece)} bytes")
    closed = time.perf_counter() - began
    _until(lambda: target.stat().st_size == size)
    seconds = time.perf_counter() - began
    content.check(target, BIG_SEED, size)
    yield _rate(f"write {size // MIB} MiB, on the server", size, seconds)
    yield _rate(f"write {size // MIB} MiB, closed", size, closed)


def _curl_write(where: Where) -> Iterator[Measure]:
    size, source = where.size(256), where.scratch / "source"
    content.make(source, BIG_SEED, size)
    seconds = _timed(lambda: _curl("-T", str(source), f"{where.url}/written"))
    content.check(where.server / "written", BIG_SEED, size)
    yield _rate(f"write {size // MIB} MiB, on the server", size, seconds)


def _curl(*arguments: str) -> None:
    subprocess.run(["curl", "--silent", "--show-error", *arguments], check=True)


def _random(where: Where) -> Iterator[Measure]:
    pages = where.size(256) // SMALL_BYTES
    chosen = random.Random(7).sample(range(pages), where.count(200))
    expected = [
        content.block(BIG_SEED, page * SMALL_BYTES // MIB)[page * SMALL_BYTES % MIB :][:SMALL_BYTES]
        for page in chosen
    ]
    with (where.drive / "big").open("rb", buffering=0) as file:
        began = time.perf_counter()
        got = [os.pread(file.fileno(), SMALL_BYTES, page * SMALL_BYTES) for page in chosen]
        seconds = time.perf_counter() - began
    if got != expected:
        raise WrongContent("a random read gave wrong bytes")
    yield Measure(name="random 4 KiB reads, each", value=seconds * 1000 / len(chosen), unit="ms")


# -- names --------------------------------------------------------------------------------------


def _list_size(seed: int) -> int:
    return seed % 1000


def _prepare_list(where: Where) -> None:
    for number in range(where.count(10_000)):
        content.make(where.server / f"file {number:05d}.txt", number, _list_size(number))


def _scan(folder: Path) -> dict[str, os.stat_result]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat() for entry in entries}


def _check_list(found: dict[str, os.stat_result], count: int) -> None:
    if len(found) != count:
        raise WrongContent(f"{len(found)} of {count} names")
    for number in range(count):
        shown = found[f"file {number:05d}.txt"]
        wanted = (_list_size(number), content.modified_s(number))
        if (shown.st_size, int(shown.st_mtime)) != wanted:
            raise WrongContent(f"file {number}: size and time are not {wanted}")


def _list(where: Where) -> Iterator[Measure]:
    count = where.count(10_000)
    for state in ("cold", "warm"):
        began = time.perf_counter()
        found = _scan(where.drive)
        yield Measure(name=f"list {count:,} files, {state}", value=time.perf_counter() - began)
        _check_list(found, count)


def _ls(where: Where) -> Iterator[Measure]:
    count = where.count(10_000)
    for state in ("cold", "warm"):
        began = time.perf_counter()
        shown = subprocess.run(["ls", "-l", str(where.drive)], capture_output=True, check=True)
        yield Measure(name=f"ls -l of {count:,} files, {state}", value=time.perf_counter() - began)
        if (shown_lines := shown.stdout.count(b"\n")) != count + 1:
            raise WrongContent(f"ls shows {shown_lines - 1} of {count} files")


def _prepare_tree(where: Where) -> None:
    for number in range(where.count(1_000)):
        _files(where.server / f"d{number // 100:02d}" / f"e{number % 100:02d}", 5, 20)


def _walk(where: Where) -> Iterator[Measure]:
    count = where.count(1_000)
    for state in ("cold", "warm"):
        sizes = []
        began = time.perf_counter()
        for folder, _, names in os.walk(where.drive):
            sizes += [os.stat(os.path.join(folder, name)).st_size for name in names]
        yield Measure(
            name=f"walk {count:,} directories × 5 files, {state}",
            value=time.perf_counter() - began,
        )
        if sizes != [20] * (count * 5):
            raise WrongContent(f"{len(sizes)} files of {count * 5}, or wrong sizes")


# -- small files --------------------------------------------------------------------------------


def _prepare_small(where: Where) -> None:
    _files(where.server, where.count(500), SMALL_BYTES)


def _small(where: Where) -> Iterator[Measure]:
    count = where.count(500)
    expected = [content.small(number, SMALL_BYTES) for number in range(count)]
    got = []
    began = time.perf_counter()
    for number in range(count):
        with (where.drive / f"file {number:05d}.txt").open("rb", buffering=0) as file:
            got.append(file.read())
    seconds = time.perf_counter() - began
    if got != expected:
        raise WrongContent("a small file has wrong bytes")
    yield Measure(name="small files (4 KiB), cold, each", value=seconds * 1000 / count, unit="ms")


def _prepare_grep(where: Where) -> None:
    for number in range(where.count(2_000)):
        folder = where.server / f"module{number // 40:02d}"
        folder.mkdir(exist_ok=True)
        text = f"def function_{number}(argument): return argument * {number}\n".encode() * 100
        if number % 50 == 0:
            text += NEEDLE + b"\n"
        (folder / f"source{number % 40:02d}.py").write_bytes(text)


def _grep(where: Where) -> Iterator[Measure]:
    count = where.count(2_000)
    for state in ("cold", "again"):
        began = time.perf_counter()
        shown = subprocess.run(
            ["grep", "-rlF", NEEDLE.decode(), str(where.drive)], capture_output=True, check=True
        )
        yield Measure(
            name=f"grep -r over {count:,} files, {state}", value=time.perf_counter() - began
        )
        if shown.stdout.count(b"\n") != (count + 49) // 50:
            raise WrongContent("grep does not find what is there")


def _nothing(where: Where) -> None:
    del where


def _create(where: Where) -> Iterator[Measure]:
    count = where.count(300)
    whole = {f"new {number:03d}.txt": content.small(number, SMALL_BYTES) for number in range(count)}
    began = time.perf_counter()
    for name, data in whole.items():
        with (where.drive / name).open("wb", buffering=0) as file:
            file.write(data)
    yield Measure(name=f"create {count} files, closed", value=time.perf_counter() - began)
    for name, data in whole.items():  # in order; the last that is missing decides
        _until(lambda name=name, data=data: (where.server / name).read_bytes() == data)  # type: ignore[misc]
    yield Measure(name=f"create {count} files, on the server", value=time.perf_counter() - began)
    _until(lambda: len(os.listdir(where.server)) == count)  # temporary names are gone


def _prepare_names(where: Where) -> None:
    _files(where.server, where.count(200), SMALL_BYTES)


def _rename(where: Where) -> Iterator[Measure]:
    """Rename, then delete, files that lie on the server; their listing is known."""
    count = where.count(200)
    os.listdir(where.drive)
    renamed = {f"renamed {number:05d}.txt" for number in range(count)}
    began = time.perf_counter()
    for number in range(count):
        os.rename(where.drive / f"file {number:05d}.txt", where.drive / f"renamed {number:05d}.txt")
    _until(lambda: set(os.listdir(where.server)) == renamed)
    yield Measure(name=f"rename {count} files, on the server", value=time.perf_counter() - began)
    for number in range(count):
        content.check(where.server / f"renamed {number:05d}.txt", number, SMALL_BYTES)
    began = time.perf_counter()
    for name in sorted(renamed):
        os.unlink(where.drive / name)
    _until(lambda: not os.listdir(where.server))
    yield Measure(name=f"delete {count} files, on the server", value=time.perf_counter() - began)


# -- changes to a large file ----------------------------------------------------------------------


def _prepare_change(where: Where) -> None:
    content.make(where.server / "log", BIG_SEED, where.size(64))


def _append(where: Where) -> Iterator[Measure]:
    size, tail, target = where.size(64), bytes(range(256)) * 4, where.server / "log"
    began = time.perf_counter()
    with (where.drive / "log").open("ab", buffering=0) as file:
        file.write(tail)
    _until(lambda: target.stat().st_size == size + len(tail))
    seconds = time.perf_counter() - began
    content.check(target, BIG_SEED, size, tail=tail)
    yield Measure(name=f"append 1 KiB to {size // MIB} MiB, on the server", value=seconds)


def _edit(where: Where) -> Iterator[Measure]:
    size, data, target = where.size(64), bytes(range(256)) * 4, where.server / "log"
    offset = size // 2 + 100
    wanted = bytearray(b"".join(content.blocks(BIG_SEED, size)))
    wanted[offset : offset + len(data)] = data
    began = time.perf_counter()
    with (where.drive / "log").open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(data)

    def is_there() -> bool:
        with target.open("rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            file.seek(offset)
            return file.read(len(data)) == data

    _until(is_there)
    seconds = time.perf_counter() - began
    if target.read_bytes() != wanted:
        raise WrongContent("the edited file is not what it should be")
    yield Measure(name=f"edit 1 KiB in {size // MIB} MiB, on the server", value=seconds)


# -- memory ---------------------------------------------------------------------------------------


def _prepare_known(where: Where) -> None:
    for number in range(10):
        folder = where.server / f"folder {number}"
        folder.mkdir()
        for entry in range(where.count(10_000)):
            (folder / f"a file with a name {entry:05d}.txt").touch()


def _known(where: Where) -> Iterator[Measure]:
    count = where.count(10_000)
    began = time.perf_counter()
    found = sum(len(_scan(where.drive / f"folder {number}")) for number in range(10))
    yield Measure(name=f"list {count * 10:,} files", value=time.perf_counter() - began)
    if found != count * 10:
        raise WrongContent(f"{found} of {count * 10} names")


def _prepare_sized(full_mib: int) -> Callable[[Where], None]:
    return lambda where: content.make(where.server / "big", BIG_SEED, where.size(full_mib))


def _read_sized(full_mib: int) -> Work:
    def work(where: Where) -> Iterator[Measure]:
        size = where.size(full_mib)
        seconds = _timed(lambda: content.check(where.drive / "big", BIG_SEED, size))
        yield _rate(f"read and compare {size // MIB} MiB", size, seconds)

    return work


_ROWS = (
    Row(name="read", prepare=_prepare_big, run=_read, curl=_curl_read),
    Row(name="write", prepare=_nothing, run=_write, curl=_curl_write, writes=True),
    Row(name="list", prepare=_prepare_list, run=_list),
    Row(name="ls", prepare=_prepare_list, run=_ls),
    Row(name="small", prepare=_prepare_small, run=_small),
    Row(name="tree", prepare=_prepare_tree, run=_walk),
    Row(name="random", prepare=_prepare_big, run=_random),
    Row(name="create", prepare=_nothing, run=_create, writes=True),
    Row(name="rename", prepare=_prepare_names, run=_rename, writes=True),
    Row(name="append", prepare=_prepare_change, run=_append, writes=True),
    Row(name="edit", prepare=_prepare_change, run=_edit, writes=True),
    Row(
        name="known", prepare=_prepare_known, run=_known, near_only=True,
        peak=lambda where: f"peak memory, {where.count(10_000) * 10:,} files known",
    ),
    Row(
        name="memory-64", prepare=_prepare_sized(64), run=_read_sized(64), near_only=True,
        peak=lambda where: f"peak memory, {where.size(64) // MIB} MiB read",
    ),
    Row(
        name="memory-1024", prepare=_prepare_sized(1024), run=_read_sized(1024), near_only=True,
        peak=lambda where: f"peak memory, {where.size(1024) // MIB:,} MiB read",
    ),
    Row(name="grep", prepare=_prepare_grep, run=_grep, optional=True),
)  # fmt: skip

ROWS = {row.name: row for row in _ROWS}


def prepare(row: Row, where: Where) -> None:
    """Make the row's directory on the server's disk anew."""
    if where.server.exists():
        shutil.rmtree(where.server)
    where.server.mkdir()
    row.prepare(where)
