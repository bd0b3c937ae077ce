"""The heap that winfspy allocates from, with a ledger: what was freed twice, what never."""

from __future__ import annotations

import threading
from typing import Any

from simulators.fake_winfsp.declarations import CData, ffi


class MemoryLedger:
    """Blocks by address. One for the process, as the heap is; thread-safe.

    `faults` collects what would corrupt a real heap: double frees and frees of foreign addresses.
    Windows lets LocalFree take what malloc gave (one heap below both); so do we.
    """

    def __init__(self) -> None:
        # Re-entrant: a collection inside of allocate() may run a __del__ that frees.
        self._lock = threading.RLock()
        self._blocks: dict[int, tuple[str, Any]] = {}
        self._freed: dict[int, str] = {}
        self.faults: list[str] = []

    def allocate(self, size: int, source: str) -> CData:
        """A block of *size* bytes, zeroed, as void*."""
        block = ffi.new("char[]", max(1, size))
        address = int(ffi.cast("uintptr_t", block))
        with self._lock:
            self._blocks[address] = (source, block)
            self._freed.pop(address, None)
        return ffi.cast("void *", block)

    def store(self, data: bytes, source: str) -> CData:
        """A block that holds *data*."""
        pointer = self.allocate(len(data), source)
        ffi.memmove(pointer, data, len(data))
        return pointer

    def free(self, pointer: CData) -> None:
        """Give a block back; NULL is fine, anything unknown is a fault."""
        address = int(ffi.cast("uintptr_t", pointer))
        if not address:
            return
        with self._lock:
            block = self._blocks.pop(address, None)
            if block is not None:
                self._freed[address] = block[0]
                return
            before = self._freed.get(address)
            told = f"freed twice: {before}" if before else "freed, but never allocated"
            self.faults.append(told)

    def blocks(self) -> dict[int, str]:
        """Address -> who asked for it, of everything not freed."""
        with self._lock:
            return {address: source for address, (source, _) in self._blocks.items()}


LEDGER = MemoryLedger()
