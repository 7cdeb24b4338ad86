"""Bounds on what a model file may ask for; every reader checks them before it allocates or recurses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from verifluxa.errors import ModelError

FILE_BYTES = 4 << 30
"""Largest file that is read at all."""
INFLATE_FLOOR = 64 << 20
"""Deflated arrays may always grow to this many bytes together."""
INFLATE_RATIO = 16
"""... or to this many times the size of the file, whichever is more. Trained weights deflate by less than two."""
DEPTH = 64
"""How deep values may nest."""
VALUES = 1_000_000
"""How many values one file may hold, back references counted each time that they are followed."""
TEXT_BYTES = 1 << 20
"""Largest architecture text."""


def refuse_deep(place: str) -> ModelError:
    """The error for values that nest deeper than `DEPTH`."""
    return ModelError(
        "VF2004",
        f"values nest more than {DEPTH} deep",
        place=place,
        remedy="a model of Flux does not nest like this; save it again with Flux",
    )


class Budget:
    """Counts what a reader has visited and inflated and how deep it is, and stops it at the limits.

    Attributes:
        values: how many values may still be visited.
        inflated: how many bytes may still be inflated.
        depth: of the value that is read now.
    """

    def __init__(self, file_bytes: int) -> None:
        self.values = VALUES
        self.inflated = max(INFLATE_FLOOR, INFLATE_RATIO * file_bytes)
        self.depth = 0

    def visit(self, place: str, count: int = 1) -> None:
        """Counts values.

        Raises:
            ModelError: VF2004 past the limit.
        """
        self.values -= count
        if self.values < 0:
            raise ModelError("VF2004", f"the file holds more than {VALUES} values", place=place)

    @contextmanager
    def level(self, place: str) -> Iterator[None]:
        """One level deeper, while what lies in a value is read.

        Raises:
            ModelError: VF2004 past the limit.
        """
        if self.depth >= DEPTH:
            raise refuse_deep(place)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def inflate(self, count: int, place: str) -> None:
        """Counts bytes that are about to be inflated.

        Raises:
            ModelError: VF2004 past the limit.
        """
        self.inflated -= count
        if self.inflated < 0:
            raise ModelError(
                "VF2004",
                f"compressed arrays would grow by {count} bytes, past what a file of this size may hold",
                place=place,
                expected=f"at most {INFLATE_RATIO} times the file, or {INFLATE_FLOOR >> 20} MiB",
                remedy="save the model without compression if it is really this large",
            )
