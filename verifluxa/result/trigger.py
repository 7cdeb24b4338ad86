"""A trigger between its two forms: the vector `tau` of the questions, and the grid of levels that people see."""

from __future__ import annotations

import numpy as np

from verifluxa.question import AffineInputMap, Floats, Integers, Placement, Problem
from verifluxa.result.result import Grid


def trigger_grid(problem: Problem, placement: Placement, trigger: Floats) -> Grid:
    """The levels of a trigger as rows of pixels.

    Args:
        problem: whose inputs are images (channels, height, width).
        placement: where the trigger is.
        trigger: tau in the user's units, shape (d,).

    Returns:
        `[row][column]`, or `[row][column][channel]` where there are several channels; the plain list of
        tau where the pixels of a rectangle do not have one value each.
    """
    cells = _cells(problem, placement)
    if cells is None:
        return [_number(value) for value in trigger]
    channels, rows, columns = (int(axis.max()) + 1 for axis in cells)
    grid = np.zeros((rows, columns, channels))
    grid[cells[1], cells[2], cells[0]] = trigger
    if channels == 1:
        return [[_number(pixel[0]) for pixel in row] for row in grid]
    return [[[_number(level) for level in pixel] for pixel in row] for row in grid]


def trigger_vector(problem: Problem, placement: Placement, grid: object) -> Floats | None:
    """The vector `tau` of a grid of levels, shape (d,); None when the grid does not fit the placement."""
    try:
        levels = np.asarray(grid, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    cells = _cells(problem, placement)
    size = len((placement.domain or problem.domain).lower)
    if cells is None:
        return levels if levels.shape == (size,) else None
    channels, rows, columns = (int(axis.max()) + 1 for axis in cells)
    if levels.shape != ((rows, columns) if channels == 1 else (rows, columns, channels)):
        return None
    vector: Floats = levels.reshape(rows, columns, channels)[cells[1], cells[2], cells[0]]
    return vector


def shown_values(stamp: AffineInputMap, trigger: Floats) -> Floats:
    """What people see of a stamp at its positions, shape (m,): the levels that are put, or what is added.

    A blended level is shown as it is mixed in, not weakened.
    """
    return trigger if _own(stamp) else np.asarray(stamp.gain @ trigger + stamp.offset)


def _own(stamp: AffineInputMap) -> bool:
    """Whether each position has a coordinate of its own, in order."""
    size = len(stamp.positions)
    return stamp.gain.shape == (size, size) and bool(((stamp.gain != 0) == np.eye(size, dtype=bool)).all())


def _cells(problem: Problem, placement: Placement) -> tuple[Integers, Integers, Integers] | None:
    """(channel, row, column) of each coordinate within the trigger; None where it is no full rectangle."""
    shape = problem.graph.input_shape
    if len(shape) != 3 or not _own(placement.stamp):
        return None
    channel, row, column = np.unravel_index(placement.stamp.positions, shape)
    cells = (channel, row - row.min(), column - column.min())
    full = (int(channel.max()) + 1) * (int(cells[1].max()) + 1) * (int(cells[2].max()) + 1)
    return cells if full == len(placement.stamp.positions) else None


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)
