"""Which inputs count, and the reason for each that does not."""

from __future__ import annotations

import numpy as np
import pytest

from verifluxa.data.dataset import CORRECT, DOUBTFUL, IN_DOUBT, NOT_CORRECT, OTHER_LABEL, WRONG, Dataset, select
from verifluxa.spec.spec import Selection

DATA = Dataset("eval", "f", "sha256:00", np.zeros((6, 1, 1, 1)), np.array([3, 7, 3, 1, 7, 0]))
STATES = np.array([CORRECT, CORRECT, WRONG, CORRECT, IN_DOUBT, CORRECT], dtype=np.int8)


def chosen(selection: Selection) -> tuple[list[int], list[int], list[tuple[int, str]]]:
    positions, doubtful, excluded = select(DATA, selection, STATES if selection.correct else None)
    assert positions.dtype == doubtful.dtype == np.int64
    return positions.tolist(), doubtful.tolist(), list(excluded)


def test_all_inputs() -> None:
    assert chosen(Selection("eval")) == ([0, 1, 2, 3, 4, 5], [], [])


def test_correct_ones_and_those_that_are_so_in_some_evaluations() -> None:
    assert chosen(Selection("eval", correct="m")) == ([0, 1, 3, 5], [4], [(2, NOT_CORRECT), (4, DOUBTFUL)])


def test_labels() -> None:
    found = chosen(Selection("eval", labels=(1, 3)))
    assert found == ([0, 2, 3], [], [(1, OTHER_LABEL), (4, OTHER_LABEL), (5, OTHER_LABEL)])


def test_each_input_has_one_reason() -> None:
    base, doubtful, excluded = chosen(Selection("eval", "m", (3, 7), True))
    assert (base, doubtful) == ([0, 1], [4])
    assert excluded == [(2, NOT_CORRECT), (3, OTHER_LABEL), (4, DOUBTFUL), (5, OTHER_LABEL)]


def test_doubt_about_inputs_that_do_not_count_anyway_is_none() -> None:
    assert chosen(Selection("eval", "m", (3,)))[1] == []


def test_nothing_left_is_the_callers_to_judge() -> None:
    positions, doubtful, excluded = select(DATA, Selection("eval", labels=(9,)), None)
    assert len(positions) == len(doubtful) == 0
    assert len(excluded) == 6


def test_answers_are_needed_and_counted() -> None:
    for states in (None, STATES[:3]):
        with pytest.raises(ValueError, match="answer"):
            select(DATA, Selection("eval", correct="m"), states)
