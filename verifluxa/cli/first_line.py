"""The first line on a terminal: what is being read, before the engine is even loaded, which takes a second."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from verifluxa import logs

_CLEAR = "\r\x1b[2K"


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Says on stderr what is being read, where that is a terminal; the line goes away once it is read, or cannot be."""
    shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not logs.is_written()
    if shown:
        print(f"reading {_printable(name)} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(_CLEAR, end="", file=sys.stderr, flush=True)


def _printable(name: str) -> str:
    """A file's name as a terminal may have it, and no longer than a line."""
    short = name if len(name) <= 60 else "..." + name[-57:]
    return "".join(letter if letter.isprintable() else "?" for letter in short)
