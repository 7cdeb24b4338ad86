"""Conditions on outputs: the rows of a statement, with what the network gives on the untouched input put in."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from verifluxa.lower.outputs import Untouched, downward, upward
from verifluxa.question import Integers, Rows, Violation
from verifluxa.spec.spec import OutputRow
from verifluxa.spec.spec import Rows as Groups

LABEL = "outputs"


def reads_untouched(groups: Groups) -> bool:
    """Whether a condition speaks of `f(x)` as well, so that each input has rows of its own."""
    return any(any(row.clean) for group in groups for row in group)


def output_rows(groups: Groups, count: int, untouched: Untouched | None) -> tuple[Rows, Violation, Integers]:
    """Rows, the violation, and the labels by which its alternatives are chosen.

    Args:
        groups: the condition.
        count: of inputs.
        untouched: needed where the condition speaks of `f(x)`; then the labels are the numbers of the inputs.
    """
    own = [row for group in groups for row in group]
    kinds = count if untouched is not None else 1
    width = len(own[0].stamped)
    coefficients = np.array([[float(value) for value in row.stamped] for row in own]).reshape(len(own), width)
    ends = [_constants(row, untouched, kind) for kind in range(kinds) for row in own]
    constants, replayed, sure = (np.array(part) for part in zip(*ends, strict=True))
    rows = Rows(
        np.tile(coefficients, (kinds, 1)),
        constants,
        np.tile([row.closed for row in own], kinds),
        replayed,
        sure,
    )
    by_label = tuple(_alternatives(groups, kind * len(own)) for kind in range(kinds))
    labels = np.arange(count) if untouched is not None else np.zeros(count, dtype=np.int64)
    return rows, Violation(LABEL, None, by_label), labels


def _alternatives(groups: Groups, start: int) -> tuple[tuple[int, ...], ...]:
    found = []
    for group in groups:
        found.append(tuple(range(start, start + len(group))))
        start += len(group)
    return tuple(found)


def _constants(row: OutputRow, untouched: Untouched | None, kind: int) -> tuple[float, float, float]:
    """For the proof (upper end of all evaluations of f(x)), for the replay, for what is sure (the lower end)."""
    if untouched is None or not any(row.clean):
        return upward(row.constant), downward(row.constant), downward(row.constant)
    used = [(value, index) for index, value in enumerate(row.clean) if value]
    middle, reach, played = row.constant, Fraction(0), row.constant
    for factor, index in used:
        value, radius, replayed = (
            float(part[kind, index]) for part in (untouched.value, untouched.radius, untouched.replayed)
        )
        if not np.isfinite([value, radius, replayed]).all():
            # Nothing can be said of this input: its rows are always met in a proof, never in a replay.
            return np.finfo(np.float64).max, -np.finfo(np.float64).max, -np.finfo(np.float64).max
        middle += factor * Fraction(value)
        reach += abs(factor) * Fraction(radius)
        played += factor * Fraction(replayed)
    return upward(middle + reach), downward(played), downward(middle - reach)
