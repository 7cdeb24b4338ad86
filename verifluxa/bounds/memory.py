"""How much may be worked on at once: batches are sized from free memory, never from a constant."""

from __future__ import annotations

import os

SHARE = 0.02
"""Share of free memory that one batch of float64 rows may fill: a few dozen temporaries live at a time."""
CACHE_ROWS = 4_000_000
"""No more numbers per temporary than this: larger ones leave the processor's caches and gain nothing."""


def free_bytes() -> int:
    """Free memory of the machine, in bytes."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 30


def rows_that_fit(width: int) -> int:
    """How many rows of `width` float64 numbers make a good batch."""
    numbers = min(free_bytes() * SHARE / 8, CACHE_ROWS)
    return max(1, int(numbers // max(1, width)))
