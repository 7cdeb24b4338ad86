"""Bounds of some pairs, in another order and repeated, are what bounding those pairs would give."""

from __future__ import annotations

import pytest
import torch

from tests.search.small import random_problem
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import LayerBounds, Subproblems, bound_all_layers
from verifluxa.search.disjuncts import ConstraintBounds, fallen_row
from verifluxa.search.workspace import workspace_of

INDICES = [
    [0, 1, 2, 3, 4, 5, 6, 7],
    [],
    [3],
    [7, 6, 5, 4, 3, 2, 1, 0],
    [2, 2, 2],
    [5, 0, 5, 7, 0, 0],
    [1, 3, 5],
    [0, 1, 2, 3, 4, 5, 6],
    [7, 1, 2, 3, 4, 5, 6, 0],
]


def same(first: LayerBounds, second: LayerBounds) -> None:
    """Equal in every part, the order of rows included."""
    for name in ("lower", "upper", "radius"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=1e-12, atol=1e-12)
    assert first.chosen.flat.tolist() == second.chosen.flat.tolist()
    assert (first.relaxed is None) == (second.relaxed is None)
    for one, other in zip(first.relaxed or (), second.relaxed or (), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("index", INDICES)
def test_selected_bounds_are_those_of_the_selected_pairs(index: list[int]) -> None:
    net = workspace_of(random_problem(3)).net(0)
    lower = torch.tensor([[0.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    upper = torch.tensor([[6.0, 6.0], [4.0, 3.0]], dtype=torch.float64)
    none = torch.zeros(2, 0, dtype=torch.float64)
    shape = geometry_of(Domains(lower, upper, torch.zeros(0, 2, dtype=torch.float64), none, none))
    pairs = Subproblems(torch.tensor([0, 0, 1, 1, 0, 1, 0, 1]), torch.tensor([0, 1, 1, 3, 4, 5, 2, 0]))
    layers = bound_all_layers(net, shape, pairs)
    assert len(layers[0].chosen.flat), "some neurons are undecided, else there is nothing to sort"
    chosen = torch.tensor(index, dtype=torch.long)
    again = bound_all_layers(net, shape, pairs.take(chosen))
    for bounds, wanted in zip(layers, again, strict=True):
        same(bounds.take(chosen), wanted)


def test_selecting_twice_is_selecting_once() -> None:
    net = workspace_of(random_problem(4)).net(1)
    ends = torch.tensor([[0.0, 0.0], [6.0, 6.0]], dtype=torch.float64)
    none = torch.zeros(1, 0, dtype=torch.float64)
    shape = geometry_of(Domains(ends[:1], ends[1:], torch.zeros(0, 2, dtype=torch.float64), none, none))
    pairs = Subproblems(torch.zeros(6, dtype=torch.long), torch.arange(6))
    first, second = torch.tensor([4, 4, 1, 0, 5]), torch.tensor([3, 0, 0])
    for bounds in bound_all_layers(net, shape, pairs):
        same(bounds.take(first).take(second), bounds.take(first[second]))


def planes(upper: list[list[float]], limit: float = 0.0, closed: bool = True) -> ConstraintBounds:
    values = torch.tensor(upper, dtype=torch.float64)
    return ConstraintBounds(
        values, values[..., None], values, torch.full_like(values, limit), torch.full_like(values, closed) > 0
    )


def test_the_row_that_lies_furthest_below_zero_falls() -> None:
    rows = torch.tensor([[4, 7, 2]] * 5)
    found = planes([[-1, -3, 5], [1, 2, 3], [0, 0, 0], [float("nan"), -2, 1], [float("nan"), 1, float("-inf")]])
    assert fallen_row(found, rows).tolist() == [7, -1, -1, 7, -1]


@pytest.mark.parametrize("value", [0.0, -1e-12, 1e-12, float("nan"), float("inf")])
def test_a_row_must_lie_below_its_limit(value: float) -> None:
    """A touching row stays, and so does what is no number."""
    assert not planes([[value]], limit=-1e-12).fallen().any()


def test_an_open_row_falls_at_zero() -> None:
    assert planes([[0.0]], closed=False).fallen().all()
    assert not planes([[5e-324, float("nan")]], closed=False).fallen().any()
    assert not planes([[0.0]]).fallen().any(), "a tie violates a closed row"
