"""The life of one worker process: one thread, deaf to Ctrl-C (the driver ends it), one slice at a time.

Nothing heavy is imported at the top: the number of threads must be set before NumPy and torch are loaded.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from verifluxa import logs

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def work(connection: Connection[Any, Any], threads: int, beat: float) -> None:
    """Reads `("engine", engine)`, `("problem", problem)`, `("slice", slice)` and `("stop", None)`.

    What it sends back are events, and None as a sign of life.

    Args:
        connection: to the driver. What comes over it was pickled by our own parent process.
        threads: threads that the numerical libraries may use here.
        beat: seconds between two signs of life.
    """
    speaker = _Speaker(connection, beat)
    logs.configure_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    try:
        _serve(connection, speaker)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver is gone: nobody wants the answers


class _Speaker:
    """Our end of the pipe, on which a thread says that this process runs while it has something to do."""

    def __init__(self, connection: Connection[Any, Any], beat: float) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._beat = beat
        self._is_busy = threading.Event()
        self._is_busy.set()
        threading.Thread(target=self._give_signs, name="signs of life", daemon=True).start()

    def send(self, message: object) -> None:
        with self._lock:
            self._connection.send(message)

    def is_busy(self, busy: bool) -> None:
        if busy:
            self._is_busy.set()
        else:
            self._is_busy.clear()

    def _give_signs(self) -> None:
        pause = threading.Event()
        with suppress(OSError):  # the driver is gone, and the main thread learns it too
            while True:
                self._is_busy.wait()
                self.send(None)
                pause.wait(self._beat)


def _serve(connection: Connection[Any, Any], speaker: _Speaker) -> None:
    from verifluxa.dispatch.perform import perform

    engine, problem = None, None
    while True:
        kind, value = connection.recv()
        speaker.is_busy(True)
        if kind == "engine":
            engine = value
        elif kind == "problem":
            problem = value
        elif kind == "slice" and engine is not None and problem is not None:
            for event in perform(engine, problem, value):
                speaker.send(event)
            speaker.is_busy(False)
        else:
            return
