"""SHA-256 of local files, in threads: hashlib lets go of the interpreter's lock."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

PIECE_BYTES = 1 << 20
THREADS = min(4, os.cpu_count() or 1)


def sha256_of(path: Path) -> str:
    """Hex digest of the whole file.

    Raises:
        OSError: it can't be read.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(PIECE_BYTES))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


class Hashing:
    """Digests of local files, made ahead of need while the device is busy."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hash")
        self._digests: dict[Path, Future[str]] = {}
        for path in paths:
            self._digests[path] = self._pool.submit(sha256_of, path)

    def of(self, path: Path) -> str:
        """The digest of *path*; waits for it.

        Raises:
            OSError: it can't be read.
        """
        future = self._digests.pop(path, None)
        return sha256_of(path) if future is None else future.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
