"""Standard streams whose reader may leave: after `| head` the rest goes nowhere, and the exit code stays the verdict's.

Everything that prints (words, tables, help, logs) writes through these, so that nothing else has to know of pipes.
"""

from __future__ import annotations

import io
from typing import TextIO


class _Pipe(io.FileIO):
    """A pipe that takes everything, also when nobody reads it any more."""

    def write(self, data: object, /) -> int:
        """Writes; what nobody can read counts as written."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def patient(stream: TextIO) -> TextIO:
    """The same stream, silent once its reader has gone; a terminal, and what is no file, stay as they are."""
    try:
        number = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return stream
    if stream.isatty() or not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(number, "wb", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
