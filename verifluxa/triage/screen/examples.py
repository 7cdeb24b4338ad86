"""Training data as they are screened: no spec says what they are, so the file itself does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import DataError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

LEAST = 20
MOST = 200_000
MOST_VALUES = 2**26
"""Pixels of all images together; or words (cells) of all examples times classes."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled examples of one kind.

    Attributes:
        path: the file.
        labels: classes, counted from 0, shape (N,).
        names: what the file calls each class.
        images: levels, shape (N, channels, height, width); None where the examples are no images.
        columns: the names of the columns of a table, or empty.
        cells: words of each text, or the cells of each row; empty for images.
        numbers: what a model reads of each example, samples first; None where only words are known.
    """

    path: str
    labels: Integers
    names: tuple[str, ...]
    images: Singles | None = None
    columns: tuple[str, ...] = ()
    cells: Sequence[Sequence[str]] = ()
    numbers: Floats | None = None

    @property
    def kind(self) -> str:
        """`images`, `table` or `texts`."""
        return "images" if self.images is not None else "table" if self.columns else "texts"

    @property
    def top(self) -> float:
        """The level that is shown white."""
        assert self.images is not None
        return 255.0 if float(self.images.max()) > 1 else 1.0


def checked(examples: Examples) -> Examples:
    """The examples, if they can be screened.

    Raises:
        DataError: VF8062 for one class, VF8063 for too few or too many examples.
    """
    count = len(examples.labels)
    if examples.images is not None:
        values = examples.images.size
    else:
        values = sum(map(len, examples.cells)) * len(examples.names)
    if not LEAST <= count <= MOST or values > MOST_VALUES:
        raise DataError(
            "VF8063",
            f"the file has {count:,} examples" + (f", {values:,} pixels, or words times classes" if values else ""),
            place=examples.path,
            expected=f"{LEAST} to {MOST:,} examples, and in all at most {MOST_VALUES:,} pixels, or words times classes",
            remedy="screen parts of the data, each with all of its classes",
        )
    if len(np.unique(examples.labels)) < 2:
        raise DataError(
            "VF8062",
            f"all {count:,} examples have the label {examples.names[int(examples.labels[0])]}",
            place=examples.path,
            expected="at least two classes: what is planted shows against the other labels",
            remedy="screen the whole training set, not one class of it",
        )
    return examples
