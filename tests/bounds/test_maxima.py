"""Planes of the larger one of two neurons hold for all values between their ends, however these are."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from verifluxa.bounds.maxima import Maxima, repeat_blocks, sum_blocks

PAIR = Maxima(1, plain=False)
ENDS = st.one_of(
    st.floats(-5, 5),
    st.sampled_from([0.0, 1.0, -1.0, 1e-300, 5e-324, -1e-12, 1e6, 1e15, -1e15]),
)
MANY = settings(max_examples=150, deadline=None, derandomize=True)


@st.composite
def intervals(draw: st.DrawFn) -> tuple[float, float]:
    """Points, narrow, ordinary, huge and one-sided ones."""
    low = draw(ENDS)
    width = draw(st.one_of(st.sampled_from([0.0, 1e-15, 1e-6, 1.0, 1e6, 1e15]), st.floats(0, 5)))
    return low, low + width


def values(a: tuple[float, float], b: tuple[float, float], difference: tuple[float, float]) -> Tensor:
    """Points (a, b, b - a) whose three values lie between their ends, on a fine grid with the ends."""
    share = torch.linspace(0, 1, 41, dtype=torch.float64)
    first, second = (low + (high - low) * share for low, high in (a, b))
    grid = torch.cartesian_prod(first, second)
    # Where the ends of the difference cut: exactly on its ends as well.
    more = [torch.stack([first, first + end], 1) for end in difference]
    points = torch.cat([grid, *more])
    whole = torch.cat([points, points[:, 1:] - points[:, :1]], 1)
    ends = torch.tensor([a, b, difference], dtype=torch.float64)
    return whole[((whole >= ends[:, 0]) & (whole <= ends[:, 1])).all(1)]


def check(a: tuple[float, float], b: tuple[float, float], difference: tuple[float, float]) -> None:
    lower, upper = torch.tensor([a, b, difference], dtype=torch.float64).T
    lines = PAIR.relax(lower, upper)
    points = values(a, b, difference)
    most = points[:, :2].amax(1)
    size = 2.0**-50 * points.abs().sum(1)
    below = points @ lines.lower_slope + lines.lower_intercept
    above = points @ lines.upper_slope + lines.upper_intercept
    assert (below <= most + size).all()
    assert (above >= most - size).all()
    low, high = PAIR.span(lower, upper)
    assert ((low <= most) & (most <= high)).all()


@MANY
@given(intervals(), intervals(), st.floats(0, 1), st.floats(0, 1))
def test_planes_hold_between_any_ends(a: tuple[float, float], b: tuple[float, float], cut: float, other: float) -> None:
    """With the widest difference that the ends allow, and with narrower ones, as planes find them."""
    least, most = b[0] - a[1], b[1] - a[0]
    check(a, b, (least, most))
    middle = least + cut * (most - least)
    check(a, b, (least, middle))
    check(a, b, (middle, most))
    check(a, b, (middle, middle + other * (most - middle)))


@pytest.mark.parametrize("d", [(-3.0, 0.0), (-2.0, -1.0), (0.0, 2.0), (1.0, 4.0), (0.0, 0.0)])
def test_planes_are_exact_where_the_difference_has_a_sign(d: tuple[float, float]) -> None:
    lines = PAIR.relax(torch.tensor([-9.0, -9.0, d[0]]), torch.tensor([9.0, 9.0, d[1]]))
    wanted = [1.0, 0.0, float(d[0] >= 0)]
    assert lines.lower_slope.tolist() == lines.upper_slope.tolist() == wanted
    assert lines.lower_intercept.tolist() == lines.upper_intercept.tolist() == [0.0]


def test_wide_planes_lie_nowhere_above_the_larger_upper_end() -> None:
    """What DeepPoly and auto-LiRPA take, where nothing is known of how the two move together."""
    for a, b in itertools.product([(-1.0, 1.0), (0.0, 3.0), (-4.0, 0.5)], repeat=2):
        difference = (b[0] - a[1], b[1] - a[0])
        lower, upper = torch.tensor([a, b, difference], dtype=torch.float64).T
        lines = PAIR.relax(lower, upper)
        most = values(a, b, difference) @ lines.upper_slope + lines.upper_intercept
        assert (most <= max(a[1], b[1]) + 1e-12).all()


def test_near_planes_use_how_the_two_move_together() -> None:
    """b - a within .1 of 0, on wide intervals: above the middle by a twentieth and no more."""
    lines = PAIR.relax(torch.tensor([-9.0, -9.0, -0.1]), torch.tensor([9.0, 9.0, 0.1]))
    middle = torch.zeros(3)
    assert (middle @ lines.upper_slope + lines.upper_intercept).item() == pytest.approx(0.05)


def test_a_small_change_of_the_ends_changes_little() -> None:
    """A recomputation may differ in the last places."""
    random = torch.Generator().manual_seed(3)
    lower = torch.randn(3, 500, dtype=torch.float64, generator=random)
    lower[1, ::2] = lower[0, ::2]
    upper = lower + torch.rand(3, 500, dtype=torch.float64, generator=random)
    lower[2], upper[2] = -torch.rand(500, generator=random), torch.rand(500, generator=random)
    pairs = Maxima(500, plain=False)
    lines, again = (pairs.relax(lower.flatten() + off, upper.flatten() - off) for off in (0.0, 1e-12))
    for one, other in zip(lines, again, strict=True):
        assert (one - other).abs().max() < 1e-8


def test_without_an_opponent_a_neuron_keeps_its_value_and_so_does_what_is_carried() -> None:
    """Of two pairs the second one is a neuron that meets itself; the last number is carried."""
    two = Maxima(2, plain=True)
    lower = torch.tensor([-1.0, -7.0, 0.0, -7.0, -1.0, 0.0, -2.0])
    upper = torch.tensor([1.0, 5.0, 2.0, 5.0, 3.0, 0.0, 2.0])
    lines = two.relax(lower, upper)
    for slopes in (lines.lower_slope, lines.upper_slope):
        assert slopes[[1, 3, 6]].tolist() == [1.0, 0.0, 1.0]
    assert lines.lower_intercept[1:].tolist() == lines.upper_intercept[1:].tolist() == [0.0, 0.0]
    assert two.value(torch.tensor([3.0, -2.0, 4.0, -2.0, 1.0, 0.0, 9.0])).tolist() == [4.0, -2.0, 9.0]
    assert [end.tolist() for end in two.span(lower, upper)] == [[0.0, -7.0, -2.0], [2.0, 5.0, 2.0]]
    assert two.open(lower, upper).nonzero().flatten().tolist() == [4]
    assert Maxima(2, plain=False).open(lower, upper).nonzero().flatten().tolist() == [0, 2, 4]


def test_ends_that_are_not_finite_give_no_planes() -> None:
    for bad in (torch.inf, torch.nan):
        lines = PAIR.relax(torch.tensor([0.0, 0.0, -1.0]), torch.tensor([1.0, bad, 1.0]))
        assert torch.isnan(lines.upper_intercept).all()
        assert torch.isnan(lines.lower_intercept).all()


def test_blocks_are_summed_one_by_one() -> None:
    numbers = torch.arange(7.0)
    assert sum_blocks(numbers, 2).tolist() == [0.0 + 2.0 + 4.0, 1.0 + 3.0 + 5.0, 6.0]
    assert sum_blocks(numbers[:, None], 2, 0)[:, 0].tolist() == [6.0, 9.0, 6.0]
    assert repeat_blocks(torch.arange(3.0), 2).tolist() == [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 2.0]
    assert sum_blocks(numbers, 0) is repeat_blocks(numbers, 0) is numbers
