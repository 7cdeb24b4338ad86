"""Which inputs of a data set count, and why the others do not: `take` first (done at loading), then `where`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import Dataset

if TYPE_CHECKING:
    from verifluxa.spec.spec import Selection

NOT_SAMPLED = "not in the sample"
NOT_CORRECT = "not correct"
OTHER_LABEL = "label not selected"
IS_TARGET = "label is the target"

Excluded = tuple[tuple[int, str], ...]


def select(
    dataset: Dataset, selection: Selection, predicted: NDArray[np.int64] | None, target: int | None
) -> tuple[NDArray[np.int64], Excluded]:
    """The inputs that count.

    Args:
        dataset: the loaded data.
        selection: the conditions of the property.
        predicted: the class of each input by the model of `correct`, shape (N,), in the deployed arithmetic,
            and -1 where there is none (a tie); None when the selection does not ask for it.
        target: None for what holds for all targets; a class also leaves out the inputs of that label where
            the selection says `label(x) != target`.

    Returns:
        Positions in the data set, ascending, shape (n,), possibly empty; and (position, reason) of each input
        that does not count, ascending, with the first reason that applies.

    Raises:
        ValueError: the selection asks for `correct` and `predicted` is missing or of another length.
    """
    reasons = np.full(len(dataset.labels), "", dtype=object)
    if target is not None and selection.label_is_not_target:
        reasons[dataset.labels == target] = IS_TARGET
    if selection.correct is not None:
        if predicted is None or predicted.shape != dataset.labels.shape:
            raise ValueError("`correct` needs one predicted class for each input")
        reasons[predicted != dataset.labels] = NOT_CORRECT
    if selection.labels is not None:
        reasons[~np.isin(dataset.labels, selection.labels)] = OTHER_LABEL
    if dataset.sampled is not None:
        reasons[~dataset.sampled] = NOT_SAMPLED
    left_out = reasons.astype(bool)
    excluded = tuple((int(position), str(reasons[position])) for position in np.flatnonzero(left_out))
    return np.flatnonzero(~left_out).astype(np.int64), excluded
