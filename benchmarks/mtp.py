"""What `mtpsync` adds to libmtp's own time, on the fake libmtp: no USB, so all of it shows.

    python -m benchmarks.mtp [--repeat 3] [--objects 100000]

*plain* is a program of ctypes that sends each file with LIBMTP_Send_File_From_File and reads it
back with LIBMTP_Get_File_To_File: no digests, no manifest, no check of anything. *exec* is `mtpsync
exec` as people start it, with all it does to be sure. Both are whole processes from their start to
their end, one after the other in turn, onto an empty device. Medians of the repetitions.

*scan* lists a device with so many objects, through the worker process, into the trees of `scan`.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from simulators.fake_libmtp import FakeDevice, FakeUsb, build

PROJECT = Path(__file__).resolve().parents[1]
ROWS: dict[str, list[int]] = {"1 × 256 MiB": [256 << 20], "300 × 16 KiB": [16 << 10] * 300}
STORAGE = 0x10001


def plain(source: Path) -> None:
    """The simplest program that sends and reads back."""
    from mtpsync.libmtp import abi, loader

    library = loader.load()
    mtp, libc = library.mtp, library.libc
    mtp.LIBMTP_Send_File_From_File.argtypes = [ctypes.c_void_p, ctypes.c_char_p] + [
        ctypes.c_void_p
    ] * 3
    mtp.LIBMTP_Get_File_To_File.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    mtp.LIBMTP_Init()
    records, count = ctypes.c_void_p(), ctypes.c_int()
    mtp.LIBMTP_Detect_Raw_Devices(ctypes.byref(records), ctypes.byref(count))
    device = mtp.LIBMTP_Open_Raw_Device_Uncached(records.value)
    folder = mtp.LIBMTP_Create_Folder(device, b"Music", abi.ROOT, STORAGE)
    with tempfile.TemporaryDirectory() as work:
        back = os.fsencode(Path(work) / "back")
        for file in sorted(source.iterdir()):
            at = mtp.LIBMTP_new_file_t()
            record = abi.File.from_address(at)
            record.filename = libc.strdup(os.fsencode(file.name))
            record.filesize, record.filetype = file.stat().st_size, abi.FILETYPE_UNKNOWN
            record.parent_id, record.storage_id = folder, STORAGE
            if mtp.LIBMTP_Send_File_From_File(device, os.fsencode(file), at, None, None):
                raise SystemExit("not sent")
            if mtp.LIBMTP_Get_File_To_File(device, record.item_id, back, None, None):
                raise SystemExit("not read")
            mtp.LIBMTP_destroy_file_t(at)
    mtp.LIBMTP_Release_Device(device)


def scan() -> None:
    """Time and peak memory of a scan, as JSON."""
    from mtpsync.mtp_client import open_device
    from mtpsync.scan import scan_device

    device = open_device()
    (storage,) = device.storages()
    before = _peak_kib()
    begin = time.perf_counter()
    tree = scan_device(device, storage, "/")
    took = time.perf_counter() - begin
    device.close()
    print(
        json.dumps(
            {
                "objects": len(tree.id_map),
                "seconds": took,
                "before_kib": before,
                "peak_kib": _peak_kib(),
                "worker_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
            }
        )
    )


def _peak_kib() -> int:
    """Of this process alone: what getrusage says may be its parent's."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


class Bench:
    """A device, and programs that use it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        usb = FakeUsb(work / "usb")
        self.phone: FakeDevice = usb.plug("android", serial="S1")
        self._environment = {
            **os.environ,
            **usb.environment(),
            "MTPSYNC_LIBMTP": str(build().resolve()),
            "MTPSYNC_STATE": str(work / "state"),
            "PYTHONPATH": str(PROJECT),
        }

    def run(self, *words: str) -> tuple[float, str]:
        """Seconds from the start to the end, and what it printed."""
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.work,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        took = time.perf_counter() - begin
        if done.returncode:
            raise SystemExit(f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return took, done.stdout

    def clean(self) -> None:
        """The device is empty, and nothing is known of it."""
        for top in self.phone.storage().root.iterdir():
            shutil.rmtree(top)
        shutil.rmtree(self.work / "state", ignore_errors=True)
        self.phone.replug()
        os.sync()

    def transfers(self, sizes: list[int], repeat: int) -> tuple[float, float]:
        """Medians: of the plain program, of exec."""
        source = self.work / "source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        for number, size in enumerate(sizes):
            (source / f"{number:05}.bin").write_bytes(os.urandom(size))
        found: dict[str, list[float]] = {"plain": [], "exec": []}
        for _time in range(repeat):
            self.clean()
            found["plain"].append(self.run("benchmarks.mtp", "--plain", str(source))[0])
            self.clean()
            took, told = self.run("mtpsync", "exec", str(source), "--dest", "/Music", "--json")
            if json.loads(told)["sent"] != len(sizes):
                raise SystemExit(told)
            found["exec"].append(took)
        self.clean()
        return statistics.median(found["plain"]), statistics.median(found["exec"])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--scan", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plain is not None:
        plain(asked.plain)
    elif asked.scan:
        scan()
    else:
        with tempfile.TemporaryDirectory(prefix="mtp-bench-") as work:
            _measure(Bench(Path(work)), asked.repeat, asked.objects)


def _measure(bench: Bench, repeat: int, objects: int) -> None:
    start = statistics.median(bench.run("mtpsync", "devices")[0] for _time in range(repeat))
    print(f"`mtpsync devices`, from start to end: {start:.2f} s\n")
    print("| send and read back | plain, s | exec, s | times |\n|---|---|---|---|")
    for row, sizes in ROWS.items():
        plainly, ours = bench.transfers(sizes, repeat)
        print(f"| {row} | {plainly:.2f} | {ours:.2f} | {ours / plainly:.2f} |", flush=True)
    root = bench.phone.storage().root
    for number in range(objects // 1000):
        folder = root / f"folder {number:04}"
        folder.mkdir()
        for file in range(999):
            (folder / f"file {file:03}.mp3").touch()
    told = json.loads(bench.run("benchmarks.mtp", "--scan")[1])
    print(
        f"\nscan: {told['objects']:,} objects in {told['seconds']:.1f} s; memory "
        f"{told['before_kib'] // 1024} → {told['peak_kib'] // 1024} MiB, the worker's at most "
        f"{told['worker_kib'] // 1024} MiB"
    )


if __name__ == "__main__":
    main()
