"""The two forms of a trigger: vector and grid."""

import numpy as np
import pytest

from verifluxa.question import AffineInputMap, Placement
from verifluxa.result.trigger import shown_values, trigger_grid, trigger_vector


@pytest.fixture
def colour_problem(problem):
    from dataclasses import replace

    from verifluxa.graph.graph import chain
    from verifluxa.graph.ops import Reshape

    flat = np.arange(48).reshape(3, 4, 4)
    positions = flat[:, 1:3, 2:4].reshape(-1)
    stamp = AffineInputMap(positions, np.zeros(12), np.eye(12), np.zeros(12))
    domain = replace(problem.domain, lower=np.zeros(12), upper=np.full(12, 255.0), step=np.ones(12))
    return replace(
        problem,
        graph=chain((3, 4, 4), [Reshape((-1,))]),
        placements=(Placement((("row", 1), ("column", 2)), stamp),),
        domain=domain,
    )


def test_rows_are_rows(problem):
    grid = trigger_grid(problem, problem.placements[1], np.arange(6.0))
    assert grid == [[0, 1, 2], [3, 4, 5]]
    assert trigger_vector(problem, problem.placements[1], grid).tolist() == list(range(6))


def test_channels_come_last(colour_problem):
    placement = colour_problem.placements[0]
    grid = trigger_grid(colour_problem, placement, np.arange(12.0))
    assert grid == [[[0, 4, 8], [1, 5, 9]], [[2, 6, 10], [3, 7, 11]]]
    assert trigger_vector(colour_problem, placement, grid).tolist() == list(range(12))


@pytest.mark.parametrize("grid", [[1, 2, 3], [[1, 2], [3, 4]], [[1, 2, 3], [4, 5]], [["a", 2, 3], [4, 5, 6]], None, {}])
def test_a_grid_that_does_not_fit_is_refused(problem, grid):
    assert trigger_vector(problem, problem.placements[0], grid) is None


def test_a_blend_has_a_level_for_each_pixel(problem):
    stamp = AffineInputMap(problem.placements[0].stamp.positions, np.full(6, 0.5), np.eye(6) * 0.5, np.zeros(6))
    placement = Placement((("row", 0), ("column", 1)), stamp)
    grid = trigger_grid(problem, placement, np.arange(6.0))
    assert grid == [[0, 1, 2], [3, 4, 5]]
    assert trigger_vector(problem, placement, grid).tolist() == list(range(6))
    assert shown_values(stamp, np.arange(6.0)).tolist() == list(range(6))


def test_amplitudes_are_told_as_plain_values(problem):
    gain = np.arange(36.0).reshape(6, 6)
    stamp = AffineInputMap(problem.placements[0].stamp.positions, np.ones(6), gain, np.zeros(6))
    placement = Placement((("row", 0), ("column", 1)), stamp)
    grid = trigger_grid(problem, placement, np.arange(6.0))
    assert grid == [0, 1, 2, 3, 4, 5]
    assert trigger_vector(problem, placement, grid).tolist() == list(range(6))
    assert shown_values(stamp, np.arange(6.0)).tolist() == (gain @ np.arange(6.0)).tolist()
