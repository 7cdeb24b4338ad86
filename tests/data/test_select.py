"""Which inputs count, and the reason for each that does not."""

from __future__ import annotations

import numpy as np
import pytest

from verifluxa.data.dataset import Dataset
from verifluxa.data.select import IS_TARGET, NOT_CORRECT, OTHER_LABEL, select
from verifluxa.spec.spec import Selection

DATA = Dataset("eval", "f", "sha256:00", np.zeros((6, 1, 1, 1)), np.array([3, 7, 3, 1, 7, 0]))
PREDICTED = np.array([3, 7, 5, 1, -1, 0])


def chosen(selection: Selection, target: int | None = None) -> tuple[list[int], list[tuple[int, str]]]:
    positions, excluded = select(DATA, selection, PREDICTED if selection.correct else None, target)
    assert positions.dtype == np.int64
    return positions.tolist(), list(excluded)


def test_all_inputs() -> None:
    assert chosen(Selection("eval")) == ([0, 1, 2, 3, 4, 5], [])


def test_correct_ones_and_a_tie_is_not_correct() -> None:
    assert chosen(Selection("eval", correct="m")) == ([0, 1, 3, 5], [(2, NOT_CORRECT), (4, NOT_CORRECT)])


def test_labels() -> None:
    found = chosen(Selection("eval", labels=(1, 3)))
    assert found == ([0, 2, 3], [(1, OTHER_LABEL), (4, OTHER_LABEL), (5, OTHER_LABEL)])


def test_the_target_is_left_out_for_itself_only() -> None:
    selection = Selection("eval", label_is_not_target=True)
    assert chosen(selection) == ([0, 1, 2, 3, 4, 5], [])
    assert chosen(selection, 7) == ([0, 2, 3, 5], [(1, IS_TARGET), (4, IS_TARGET)])
    assert chosen(selection, 9) == ([0, 1, 2, 3, 4, 5], [])
    assert chosen(Selection("eval"), 7) == ([0, 1, 2, 3, 4, 5], [])


def test_each_input_has_one_reason_and_what_holds_for_all_targets_comes_first() -> None:
    selection = Selection("eval", "m", (3, 7), True)
    base, excluded = chosen(selection)
    assert (base, excluded) == ([0, 1], [(2, NOT_CORRECT), (3, OTHER_LABEL), (4, NOT_CORRECT), (5, OTHER_LABEL)])
    assert chosen(selection, 7) == ([0], [(1, IS_TARGET), *excluded])


def test_nothing_left_is_the_callers_to_judge() -> None:
    positions, excluded = select(DATA, Selection("eval", labels=(9,)), None, None)
    assert len(positions) == 0
    assert len(excluded) == 6


def test_predictions_are_needed_and_counted() -> None:
    for predicted in (None, PREDICTED[:3]):
        with pytest.raises(ValueError, match="predicted"):
            select(DATA, Selection("eval", correct="m"), predicted, None)
