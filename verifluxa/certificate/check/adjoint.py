"""How far rows over the outputs may be off on untouched inputs: the errors of all steps, carried back to the rows.

With d = deployed - value of a step and e the error that it adds itself, d = s d(read) + e for some slope s between both
operands. So a row is off by the sum over all steps of (its coefficients there) e. The coefficients are those of reverse
differentiation, where slopes are known up to a range (Griewank and Walther, Evaluating Derivatives, 2008, section 3.4).
A value whose slope is not known has all of the radius that was carried forward, and is not traced further.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import Floats, Function
from verifluxa.certificate.check.network import Ball, Constants, Integers, Step, Taps, gathered, own_error
from verifluxa.certificate.check.rounding import SAFETY

MOST_VALUES = 1 << 22
"""Coefficients of one step that are held together."""
Known = NDArray[np.bool_]


class Row(NamedTuple):
    """Coefficients on the values of a step, `value - spread` to `value + spread`, shape (N, R, values)."""

    value: Floats
    spread: Floats


@np.errstate(all="ignore")
def row_radii(constants: Constants, rows: Floats) -> Floats:
    """Radii of rows over the last step, shape (N, R), never larger than by those that were carried forward.

    Args:
        constants: of N inputs.
        rows: of each input, shape (N, R, outputs).
    """
    count, number, _ = rows.shape
    size = max(1, MOST_VALUES // (number * max(len(ball.value) for ball in constants.balls)))
    parts = [np.zeros((0, number))]
    for at in range(0, count, size):
        balls = tuple(Ball(*(part[:, at : at + size] for part in ball)) for ball in constants.balls)
        parts.append(_some(Constants(constants.steps, balls, constants.rounding), rows[at : at + size]))
    forward = SAFETY * np.einsum("nrk,kn->nr", np.abs(rows), constants.balls[-1].error)
    return np.asarray(np.minimum(forward, np.concatenate(parts)))


def _some(constants: Constants, rows: Floats) -> Floats:
    balls, total = constants.balls, np.zeros(rows.shape[:2])
    waiting = {len(constants.steps): Row(rows, np.zeros_like(rows))}
    for number in range(len(constants.steps), 0, -1):
        row = waiting.pop(number, None)
        if row is None:
            continue
        step = constants.steps[number - 1]
        read = Ball(*(np.concatenate(part) for part in zip(*(balls[source] for source in step.sources), strict=True)))
        known, below = _back(step, read, row, constants.rounding.own)
        error = np.where(known, own_error(step.kind, read, balls[number], constants.rounding), balls[number].error)
        total += np.einsum("nrk,kn->nr", np.abs(row.value) + row.spread, error)
        starts = np.cumsum([len(balls[source].value) for source in step.sources])[:-1]
        parts = zip(*(np.split(part, starts, axis=2) for part in below), strict=True)
        for source, part in zip(step.sources, parts, strict=True):
            before = waiting.get(source)
            waiting[source] = Row(*part) if before is None else Row(*(a + b for a, b in zip(before, part, strict=True)))
    if 0 in waiting:
        last = waiting[0]
        total += np.einsum("nrk,kn->nr", np.abs(last.value) + last.spread, balls[0].error)
    return np.asarray(SAFETY * total)


def _back(step: Step, read: Ball, row: Row, own: float) -> tuple[Known, Row]:
    """Which of a step's values are traced further, shape (values, N), and the coefficients on what they read."""
    kind = step.kind
    if isinstance(kind, Taps):
        known = np.ones((len(kind.bias), read.value.shape[1]), dtype=bool)
        value = _spread_out(kind, kind.weight, row.value)
        # What this arithmetic itself rounds counts as spread.
        return known, Row(value, _spread_out(kind, np.abs(kind.weight), row.spread + own * np.abs(row.value)))
    lower, upper = read.value - read.error, read.value + read.error
    if isinstance(kind, Function):
        least, most = kind.slopes(lower, upper)
        known = np.isfinite(least) & np.isfinite(most)
        middle, half = (np.where(known, part, 0.0).T[:, None] for part in ((least + most) / 2, (most - least) / 2))
        return known, Row(row.value * middle, row.spread * (np.abs(middle) + half) + np.abs(row.value) * half)
    return _window(kind, lower, upper, row)


def _spread_out(taps: Taps, weight: Floats, part: Floats) -> Floats:
    """Products of rows with a linear operation's matrix, shape (N, R, inputs)."""
    if taps.is_matrix:
        return np.asarray(part @ weight)
    index, taken = taps.transposed
    back = np.append(weight.ravel(), 0.0)[taken]
    found = gathered(index, back, part.reshape(-1, part.shape[2]).T)
    return np.asarray(found.T.reshape(*part.shape[:2], taps.inputs))


def _window(players: Integers, lower: Floats, upper: Floats, row: Row) -> tuple[Known, Row]:
    """A window's value is that of its winner, where no other can win."""
    ends, tops = lower[players], upper[players]
    winner = ends.argmax(axis=1)[:, None]
    reads = np.take_along_axis(np.broadcast_to(players[..., None], ends.shape), winner, 1)[:, 0]
    # The last one stands in for the padding too.
    others = np.where(players[..., None] == reads[:, None], -np.inf, tops).max(axis=1)
    known = np.take_along_axis(ends, winner, 1)[:, 0] >= others
    parts = []
    for part in row:
        found = np.zeros((*part.shape[:2], len(lower)))
        for n, (own, at) in enumerate(zip(part, reads.T, strict=True)):
            np.add.at(found[n].T, at, np.where(known[:, n], own, 0.0).T)
        parts.append(found)
    return known, Row(*parts)
