"""A data set: labelled inputs in the user's units with the digest of their file; and how labels are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import DataError

if TYPE_CHECKING:
    from verifluxa.spec.spec import DataDecl, Selection


Arrays = tuple[NDArray[Any], ...]
"""Inputs, and labels where there are any."""
IN_MEMORY = "in memory"
"""In the place of a path."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled inputs, samples first, in file order, already cut by `take`.

    Attributes:
        name: the name in the spec.
        path: the file, as the user gave it.
        sha256: `sha256:` and hex digits of the file's bytes.
        inputs: float64 in the user's units (pixel levels), shape (N, channels, height, width).
        labels: int64, shape (N,), 0-based classes.
        sampled: shape (N,): which of them are in the sample; None: all.
    """

    name: str
    path: str
    sha256: str
    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]
    sampled: NDArray[np.bool_] | None = None


# Which inputs of a data set count, and why the others do not: `take` first (done at loading), then `where`.

NOT_SAMPLED = "not in the sample"
NOT_CORRECT = "not correct"
OTHER_LABEL = "label not selected"
DOUBTFUL = "correct in some evaluations only"

CORRECT, IN_DOUBT, WRONG = 1, 0, -1
"""What the model of `correct` makes of an input: right in every allowed evaluation, in some, in none."""

Excluded = tuple[tuple[int, str], ...]


def select(
    dataset: Dataset, selection: Selection, states: NDArray[np.int8] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Excluded]:
    """The inputs that count.

    Args:
        dataset: the loaded data.
        selection: the conditions of the property.
        states: of each input `CORRECT`, `IN_DOUBT` or `WRONG`, shape (N,); None when the selection does not ask.

    Returns:
        Positions in the data set, ascending: of the inputs that count in every evaluation, and of those that count in
        some; and (position, reason) of each input that is not among the first, ascending, with the first reason that
        applies.

    Raises:
        ValueError: the selection asks for `correct` and `states` is missing or of another length.
    """
    reasons = np.full(len(dataset.labels), "", dtype=object)
    if selection.correct is not None:
        if states is None or states.shape != dataset.labels.shape:
            raise ValueError("`correct` needs one answer for each input")
        reasons[states == IN_DOUBT] = DOUBTFUL
        reasons[states == WRONG] = NOT_CORRECT
    if selection.labels is not None:
        reasons[~np.isin(dataset.labels, selection.labels)] = OTHER_LABEL
    if dataset.sampled is not None:
        reasons[~dataset.sampled] = NOT_SAMPLED
    left_out = reasons.astype(bool)
    excluded = tuple((int(position), str(reasons[position])) for position in np.flatnonzero(left_out))
    counted, doubtful = (np.flatnonzero(which).astype(np.int64) for which in (~left_out, reasons == DOUBTFUL))
    return counted, doubtful, excluded


def class_numbers(labels: Sequence[str], decl: DataDecl, path: str) -> NDArray[np.int64]:
    """The classes of labels as they stand in a file, counted from 0.

    Raises:
        DataError: VF3017 for a label that is no class.
    """
    names = {name: number for number, name in enumerate(decl.names)}
    top = None if decl.classes is None else decl.classes - 1 + decl.labels_start_at
    found = np.zeros(len(labels), dtype=np.int64)
    for row, label in enumerate(labels):
        if label in names:
            found[row] = names[label]
            continue
        number = int(label) if label.isascii() and label.isdigit() and len(label) < 10 else -1
        if number < decl.labels_start_at or (top is not None and number > top):
            raise _no_class(row, label, decl, path)
        found[row] = number - decl.labels_start_at
    return found


def _no_class(row: int, label: str, decl: DataDecl, path: str) -> DataError:
    near = get_close_matches(label[:200], decl.names, n=1)
    numbers = "" if decl.classes is None else f"{decl.labels_start_at}..{decl.classes - 1 + decl.labels_start_at}"
    names = ", ".join(shown(name) for name in decl.names[:12])
    return DataError(
        "VF3017",
        f"label {row} is {shown(label)}, which is no class",
        place=path,
        expected=" or ".join(part for part in (names, numbers) if part) or "a class number",
        remedy=f"did you mean {shown(near[0])}?" if near else None,
    )


MOST = 48


def shown(text: str) -> str:
    r"""The text between quotes; what cannot be seen is a question mark.

    >>> shown("north"), shown("a\x1b[2J\u202eb")
    ('"north"', '"a?[2J?b"')
    """
    kept = text if len(text) <= MOST else text[: MOST - 1] + "…"
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in kept) + '"'
