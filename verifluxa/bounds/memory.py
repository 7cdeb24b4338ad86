"""How much may be worked on at once: batches are sized from free memory; out-of-memory halves them and goes on."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")

MEMORY_SHARE = 0.02
"""Share of free memory that one temporary may fill: a few dozen of them live at a time."""
CACHE_NUMBERS = 65_536
"""No more float64 numbers per temporary than this on a CPU: larger ones leave the caches and gain nothing."""


BLOCK_NUMBERS = 131_072
"""Numbers per temporary in the innermost loops on a CPU, where only a few temporaries live at a time."""


LARGE_BYTES, KEPT_BYTES = 1 << 25, 1 << 26
"""Larger temporaries are mapped on their own; this much freed memory is kept."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Names of the parameters in glibc's malloc.h."""


def free_bytes(device: str = "cpu") -> int:
    """Free memory of the machine or of the GPU, in bytes."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 30


def rows_that_fit(width: int, device: str = "cpu", free: int | None = None) -> int:
    """How many rows of `width` float64 numbers make a good batch.

    Args:
        free: bytes of memory; None: what the device has.
    """
    numbers = (free_bytes(device) if free is None else free) * MEMORY_SHARE / 8
    if device == "cpu":
        numbers = min(numbers, CACHE_NUMBERS)
    return max(1, int(numbers // max(1, width)))


@cache
def keep_freed_memory() -> None:
    """Asks the C library to keep some freed memory: it would give back every large temporary, and clear the next one.

    That took a third of the time of small networks (measured with glibc). Where there is no such call nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
    mallopt(_TRIM_THRESHOLD, KEPT_BYTES)


def items_at_once(device: torch.device, width: int, block: int = BLOCK_NUMBERS, free: int | None = None) -> int:
    """How many items of `width` float64 numbers each to work on at once in an innermost loop.

    Args:
        block: numbers on a CPU.
        free: bytes of memory of another device; None: what it has.
    """
    if device.type == "cpu":
        return max(1, block // max(1, width))
    return rows_that_fit(width, str(device), free)


def evenly(count: int, size: int) -> int:
    """The size of blocks of at most `size` that are as equal as can be: a small one at the end costs as many calls."""
    blocks = -(-count // size)
    return -(-count // max(1, blocks)) or 1


def in_chunks(count: int, size: int, work: Callable[[int, int], Result]) -> list[Result]:
    """Calls `work(start, end)` on consecutive ranges of 0..count, of at most `size`; halves when memory runs out.

    Raises:
        MemoryError: when even one item does not fit.
    """
    results: list[Result] = []
    start = 0
    while start < count:
        end = min(count, start + size)
        try:
            results.append(work(start, end))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if end - start == 1:
                raise MemoryError("one item alone does not fit into memory") from error
            size = (end - start) // 2
            continue
        start = end
    return results


def is_out_of_memory(error: BaseException) -> bool:
    """Python's own error, and the two ways in which torch says it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
