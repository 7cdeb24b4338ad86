"""The life of one worker process: one thread, deaf to Ctrl-C (the driver ends it), one slice at a time.

Nothing heavy is imported at the top: the number of threads must be set before NumPy and torch are loaded.
"""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from typing import Any

from verifluxa import logs

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def work(connection: Connection[Any, Any], threads: int) -> None:
    """Reads `("engine", engine)`, `("problem", problem)`, `("slice", slice)` and `("stop", None)`.

    Args:
        connection: to the driver. What comes over it was pickled by our own parent process.
        threads: threads that the numerical libraries may use here.
    """
    logs.configure_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    try:
        _serve(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver is gone: nobody wants the answers


def _serve(connection: Connection[Any, Any]) -> None:
    from verifluxa.dispatch.perform import perform

    engine, problem = None, None
    while True:
        kind, value = connection.recv()
        if kind == "engine":
            engine = value
        elif kind == "problem":
            problem = value
        elif kind == "slice" and engine is not None and problem is not None:
            for event in perform(engine, problem, value):
                connection.send(event)
        else:
            return
