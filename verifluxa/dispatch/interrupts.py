"""Ctrl-C: what it does to a run, and where it must not strike."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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


@contextmanager
def stop_is_an_interrupt() -> Iterator[None]:
    """Ctrl-C, and SIGTERM as cluster managers send it, end a run with a valid result, which takes a moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # a shell lets its background jobs ignore Ctrl-C
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    # Not through sys.stderr, which the signal may have cut in two.
    os.write(2, b"\nstopping; once more ends at once\n")
    raise KeyboardInterrupt
