"""pyftpdrive beside `rclone mount --vfs-cache-mode full`, on a real vsftpd on loopback.

    python -m benchmarks.drive [--rows read,write,…] [--rtt 0,20] [--repeat 3] [--quick]
                               [--json FILE] [--plot FILE]

Both are mounted in turn (A B A B …) with fresh caches; every byte is compared. Figures are medians;
what counts is the ratio, since machines are noisy. Needs rclone, fuse3, and the unpacked servers of
`python -m tests.helpers.real_servers install`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.latency_proxy import LatencyProxy
from tests.helpers.real_servers import RealServer

MIB = 1 << 20
MOUNT_S = 30.0
ARRIVE_S = 300.0
SYSTEMS = ("pyftpdrive", "rclone")


class Failed(Exception):
    """A system did not do the row."""


# -- systems ------------------------------------------------------------------------------------


class Mount:
    """One mounted system with caches of its own."""

    def __init__(self, system: str, port: int) -> None:
        self.system, self._port = system, port
        self._work = Path(tempfile.mkdtemp(prefix=f"bench-{system}-"))
        self.path = self._work / "drive"
        self.path.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str]:
        work, drive = str(self._work), str(self.path)
        if self.system == "rclone":
            secret = subprocess.run(
                ["rclone", "obscure", "x"], capture_output=True, text=True, check=True
            ).stdout.strip()
            remote = f":ftp,host=127.0.0.1,port={self._port},user=anonymous,pass={secret}:"
            return [
                "rclone", "mount", remote, drive, "--vfs-cache-mode", "full",
                "--cache-dir", f"{work}/cache", "--config", "/dev/null",
            ]  # fmt: skip
        return [
            sys.executable, "-m", "pyftpdrive", "mount", "--host", "127.0.0.1",
            "--port", str(self._port), "--drive", drive, "--cache-directory", f"{work}/cache",
            "--upload-directory", f"{work}/upload", "--log-file", f"{work}/log",
        ]  # fmt: skip

    def __enter__(self) -> Mount:
        environment = {**os.environ, "PYFTPDRIVE_RUNTIME_DIR": str(self._work / "run")}
        self._process = subprocess.Popen(
            self._command(), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + MOUNT_S
        while not os.path.ismount(self.path):
            if time.monotonic() > until or self._process.poll() is not None:
                self.__exit__()
                raise Failed(f"{self.system} does not mount")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        if os.path.ismount(self.path):
            subprocess.run(["fusermount3", "-u", str(self.path)], check=False)
        if self._process is not None:
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if os.path.ismount(self.path):
            subprocess.run(["fusermount3", "-uz", str(self.path)], check=False)
        shutil.rmtree(self._work, ignore_errors=True)

    def peak_mib(self) -> float:
        """Largest resident size so far."""
        assert self._process is not None
        text = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


class Bench:
    """The server's files and the rows. A row is a generator of (name, value, unit)."""

    def __init__(self, root: Path, scale: float) -> None:
        self.root = root
        self.scale = scale
        self.big = int(256 * scale) * MIB
        self.entries = int(10_000 * scale)
        self.trees = int(1_000 * scale)
        self._random = random.Random(1)

    def prepare(self) -> None:
        """Everything that rows read."""
        block = self._random.randbytes(MIB)
        with (self.root / "big").open("wb") as file:
            for number in range(self.big // MIB):
                file.write(number.to_bytes(8, "big") + block[8:])
        (self.root / "many").mkdir()
        for number in range(self.entries):
            (self.root / "many" / f"file {number:05d}.txt").touch()
        (self.root / "small").mkdir()
        for number in range(int(500 * self.scale)):
            (self.root / "small" / f"s{number:03d}").write_bytes(self._random.randbytes(4096))
        for number in range(self.trees):
            folder = self.root / "tree" / f"d{number // 100:02d}" / f"e{number % 100:02d}"
            folder.mkdir(parents=True)
            for leaf in range(5):
                (folder / f"f{leaf}").write_bytes(b"x")
        (self.root / "append").write_bytes(self._random.randbytes(int(64 * self.scale) * MIB))
        for top, _, files in os.walk(self.root):
            for leaf_name in files:
                os.utime(os.path.join(top, leaf_name), (1_700_000_000, 1_700_000_000))

    # -- rows ---------------------------------------------------------------------------

    def read(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        seconds = _time(lambda: _same(mount.path / "big", self.root / "big"))
        yield "read big file", self.big / 1e6 / seconds, "MB/s"

    def write(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        target = self.root / "written"
        target.unlink(missing_ok=True)

        def work() -> None:
            with (
                (mount.path / "written").open("wb", buffering=0) as file,
                (self.root / "big").open("rb") as source,
            ):
                while piece := source.read(MIB):
                    file.write(piece)
            _until(lambda: target.exists() and target.stat().st_size == self.big)

        seconds = _time(work)
        _same(target, self.root / "big")
        yield "write big file, on the server", self.big / 1e6 / seconds, "MB/s"

    def list(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        def work() -> None:
            found = {entry.name: entry.stat().st_size for entry in os.scandir(mount.path / "many")}
            if len(found) != self.entries:
                raise Failed(f"{len(found)} of {self.entries} names")

        yield "list many cold", _time(work), "s"
        yield "list many warm", _time(work), "s"

    def small(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        names = sorted(os.listdir(mount.path / "small"))

        def work() -> None:
            for name in names:
                _same(mount.path / "small" / name, self.root / "small" / name)

        yield "small file cold", _time(work) * 1000 / len(names), "ms"

    def random(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        pages = [self._random.randrange(self.big // 4096) for _ in range(200)]
        with (
            (mount.path / "big").open("rb", buffering=0) as file,
            (self.root / "big").open("rb") as truth,
        ):

            def work() -> None:
                for page in pages:
                    got = os.pread(file.fileno(), 4096, page * 4096)
                    if got != os.pread(truth.fileno(), 4096, page * 4096):
                        raise Failed("random read: wrong bytes")

            yield "random 4 KiB read", _time(work) * 1000 / len(pages), "ms"

    def tree(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        def work() -> None:
            count = 0
            for folder, _, files in os.walk(mount.path / "tree"):
                for name in files:
                    os.stat(os.path.join(folder, name))
                    count += 1
            if count != self.trees * 5:
                raise Failed(f"{count} of {self.trees * 5} files")

        yield "walk tree cold", _time(work), "s"
        yield "walk tree warm", _time(work), "s"

    def create(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        """Create, then rename and delete what was created."""
        count, renamed = int(300 * self.scale), int(200 * self.scale)
        folder, there = mount.path / "new", self.root / "new"
        folder.mkdir()
        began = time.perf_counter()
        for number in range(count):
            (folder / f"n{number}").write_bytes(b"x" * 1000)
        yield "create small files, closed", time.perf_counter() - began, "s"
        _until(lambda: sum(_is_whole(path, 1000) for path in there.iterdir()) == count)
        yield "create small files, on the server", time.perf_counter() - began, "s"

        def rename() -> None:
            for number in range(renamed):
                (folder / f"n{number}").rename(folder / f"r{number}")
            _until(lambda: sum(path.name[0] == "r" for path in there.iterdir()) == renamed)

        def delete() -> None:
            for number in range(renamed):
                (folder / f"r{number}").unlink()
            _until(lambda: not any(path.name[0] == "r" for path in there.iterdir()))

        yield "rename files", _time(rename), "s"
        yield "delete files", _time(delete), "s"
        shutil.rmtree(there)

    def append(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        target, tail = self.root / "append", os.urandom(1024)
        size = target.stat().st_size

        def work() -> None:
            with (mount.path / "append").open("ab") as file:
                file.write(tail)
            _until(lambda: target.exists() and target.stat().st_size == size + 1024)

        yield "append 1 KiB, on the server", _time(work), "s"
        with target.open("rb") as file:
            file.seek(size)
            if file.read() != tail:
                raise Failed("append: wrong bytes")
        os.truncate(target, size)

    def memory(self, mount: Mount) -> Iterator[tuple[str, float, str]]:
        """Peak memory with 10 directories of many entries known, then after a big read."""
        for number in range(10):
            folder = self.root / f"wide{number}"
            if not folder.exists():
                folder.mkdir()
                for entry in range(self.entries):
                    (folder / f"a file with a name {entry:05d}.txt").touch()
        for number in range(10):
            for found in os.scandir(mount.path / f"wide{number}"):
                found.stat()
        yield f"memory, {self.entries * 10} known files", mount.peak_mib(), "MiB"
        with (mount.path / "big").open("rb", buffering=0) as file:
            while file.read(MIB):
                pass
        yield "memory, and the big file read", mount.peak_mib(), "MiB"


ROWS = ("read", "write", "list", "small", "random", "tree", "create", "append", "memory")


def _time(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _same(one: Path, other: Path) -> None:
    with one.open("rb", buffering=0) as a, other.open("rb", buffering=0) as b:
        while True:
            left = a.read(MIB)
            right = b.read(len(left)) if left else b.read(1)
            if left != right:
                raise Failed(f"{one} differs from what it should be")
            if not left:
                return


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + ARRIVE_S
    while True:
        with contextlib.suppress(FileNotFoundError):
            if condition():
                return
        if time.monotonic() > until:
            raise Failed("it never arrived on the server")
        time.sleep(0.002)


def _is_whole(path: Path, size: int) -> bool:
    name = path.name
    return name[0] == "n" and not name.endswith(".partial") and path.stat().st_size == size


# -- the run --------------------------------------------------------------------------------------


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every figure of every repetition."""
    figures: list[dict[str, Any]] = []
    with RealServer.start("vsftpd") as server:
        bench = Bench(Path(server.root), 0.1 if arguments.quick else 1.0)
        bench.prepare()
        for round_trip_ms in arguments.rtt:
            with contextlib.ExitStack() as stack:
                port = server.port
                if round_trip_ms:
                    port = stack.enter_context(LatencyProxy(port, round_trip_ms / 1000)).port
                for row in arguments.rows:
                    for repetition in range(arguments.repeat):
                        for system in arguments.systems:
                            figures += _one(bench, row, system, port, round_trip_ms, repetition)
    return figures


def _one(
    bench: Bench, row: str, system: str, port: int, round_trip_ms: int, repetition: int
) -> list[dict[str, Any]]:
    common = {"row": row, "system": system, "rtt_ms": round_trip_ms, "repetition": repetition}
    figures: list[dict[str, Any]] = []
    shutil.rmtree(bench.root / "new", ignore_errors=True)
    try:
        with Mount(system, port) as mount:
            for name, value, unit in getattr(bench, row)(mount):
                figures.append({**common, "name": name, "value": value, "unit": unit})
                print(
                    f"{round_trip_ms:3d} ms  {system:11} {name:36} {value:10.3f} {unit}", flush=True
                )
    except (Failed, OSError) as error:
        print(f"{round_trip_ms:3d} ms  {system:11} {row}: FAILED: {error}", flush=True)
        figures.append({**common, "name": row, "value": None, "unit": "", "error": str(error)})
    return figures


def summary(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a row and round trip: medians, and how many times better than rclone we are."""
    keys = dict.fromkeys((f["rtt_ms"], f["name"], f["unit"]) for f in figures)
    lines: list[dict[str, Any]] = []
    for rtt_ms, name, unit in keys:
        line: dict[str, Any] = {"rtt_ms": rtt_ms, "name": name, "unit": unit}
        for system in SYSTEMS:
            values = [
                f["value"]
                for f in figures
                if (f["rtt_ms"], f["name"], f["system"]) == (rtt_ms, name, system)
                and f["value"] is not None
            ]
            line[system] = statistics.median(values) if values else None
        ours, theirs = line["pyftpdrive"], line["rclone"]
        if ours and theirs:
            line["better"] = ours / theirs if unit == "MB/s" else theirs / ours
        lines.append(line)
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    """The summary as Markdown."""
    text = ["| round trip | row | pyftpdrive | rclone | times better |", "|---|---|---|---|---|"]
    for line in lines:
        cells = [
            f"{line[system]:.3g} {line['unit']}" if line.get(system) is not None else "–"
            for system in SYSTEMS
        ]
        better = f"{line['better']:.2f}" if "better" in line else "–"
        text.append(
            f"| {line['rtt_ms']} ms | {line['name']} | {cells[0]} | {cells[1]} | {better} |"
        )
    return "\n".join(text)


def plot(lines: list[dict[str, Any]], target: Path) -> None:
    """Bars of the ratios; needs matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plot: matplotlib is not installed (pip install pyftpdrive[bench])")
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [line for line in lines if "better" in line]
    figure, axes = plt.subplots(figsize=(9, 0.32 * len(shown) + 1))
    names = [f"{line['name']} ({line['rtt_ms']} ms)" for line in shown]
    axes.barh(names, [line["better"] for line in shown], color="#4a7db5")
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("times better than rclone mount --vfs-cache-mode full (right of the line)")
    figure.tight_layout()
    figure.savefig(target, dpi=110)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(ROWS))
    parser.add_argument("--systems", type=lambda text: text.split(","), default=list(SYSTEMS))
    parser.add_argument(
        "--rtt", type=lambda text: [int(n) for n in text.split(",")], default=[0, 20]
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the scale")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - set(ROWS)
    if unknown:
        parser.error(f"unknown rows: {', '.join(sorted(unknown))}; known: {', '.join(ROWS)}")
    if "rclone" in arguments.systems and not shutil.which("rclone"):
        parser.error("rclone is not installed (apt-get install rclone), or give --systems")
    figures = measure(arguments)
    lines = summary(figures)
    print(table(lines))
    if arguments.json:
        about = {
            "machine": platform.platform(),
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "quick": arguments.quick,
            "repeat": arguments.repeat,
        }
        arguments.json.write_text(
            json.dumps({"about": about, "summary": lines, "figures": figures}, indent=1) + "\n",
            encoding="utf-8",
        )
    if arguments.plot:
        plot(lines, arguments.plot)


if __name__ == "__main__":
    main()
