"""What the program does, step by step, for somebody who looks for the cause of something: Python's own logging.

Modules log under their names and set nothing up, as a library should (https://docs.python.org/3/howto/logging.html).
`--log-level`, or the variable that worker processes inherit, has the lines written to the standard error.
"""

from __future__ import annotations

import logging
import os

LEVELS = ("debug", "info", "warning", "error")
VARIABLE = "VERIFLUXA_LOG"
FORMAT = "%(asctime)s %(levelname)-7s %(processName)s %(name)s: %(message)s"


def configure(level: str) -> None:
    """Writes what is logged from this level on, here and in the processes that this one starts.

    Args:
        level: one of `LEVELS`.
    """
    os.environ[VARIABLE] = level
    logger = logging.getLogger("verifluxa")
    logger.setLevel(level.upper())
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(FORMAT))
        logger.addHandler(handler)


def configure_worker() -> None:
    """The same in a worker process, where its parent was asked to."""
    level = os.environ.get(VARIABLE)
    if level in LEVELS:
        configure(level)


def is_written() -> bool:
    """Whether lines go to the standard error: then no progress is drawn between them."""
    return bool(logging.getLogger("verifluxa").handlers)
