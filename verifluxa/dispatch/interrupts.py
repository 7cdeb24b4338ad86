"""Holding Ctrl-C back where it must not strike."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """SIGINT and SIGTERM wait until the end of the block (where the platform can, and in the main thread).

    Used around updates that must not be cut in two, and around the start of worker processes: children inherit
    the mask, so that Ctrl-C in a terminal reaches the driver alone, from their very first moment.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
