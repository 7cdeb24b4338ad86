"""Convex curves (squares, exponentials, inverse roots) and look-ups between two lines, sampled densely."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.bounds.curves import CURVES, Curve
from verifluxa.bounds.lookup import Lookup, levels_of
from verifluxa.graph.ops import Embedding

CASES = {
    "square": Curve("square"),
    "exp": Curve("exp"),
    "exp, capped": Curve("exp", cap=2.5),
    "reciprocal": Curve("reciprocal", 1.0),
    "inverse root": Curve("inverse root", 1e-5),
    "inverse root, tiny": Curve("inverse root", 1e-10),
    "inverse deviation": Curve("inverse deviation", 0.0, 1e-5),
    "minus log": Curve("minus log", 1.0),
}
starts = st.one_of(st.floats(-4, 4), st.floats(-60, 600), st.floats(0, 1e8), st.sampled_from([0.0, 1.0, 1e-5, 1e-9]))
widths = st.one_of(st.just(0.0), st.floats(0, 1e-5), st.floats(0, 5), st.floats(0, 60))


def check(curve: Curve, lower: float, upper: float) -> None:
    """Where a deployed value can lie, the curve is between its lines and within its span."""
    low, high = (torch.tensor([end], dtype=torch.float64) for end in (lower, upper))
    share = torch.cat([torch.linspace(0, 1, 101).double(), torch.logspace(-12, 0, 40).double()])
    floor = torch.tensor([curve.floor, curve.cap], dtype=torch.float64).nan_to_num()
    z = torch.cat([low + share * (high - low), low, high, floor])
    z = z.clamp(lower, upper).clamp(min=curve.floor)
    value = curve.value(z)
    lower_slope, below, upper_slope, above = (part[0] for part in curve.relax(low, high))
    size = z.abs().amax()
    slack = 2.0**-49 * (value.abs() + torch.stack([lower_slope, upper_slope]).abs().amax() * size)
    assert (lower_slope * z + below <= value + slack).all()
    assert (value <= upper_slope * z + above + slack).all()
    least, most = curve.span(low, high)
    assert (least <= value).all()
    assert (value <= most).all()


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(starts, widths)
def test_a_curve_lies_between_its_lines(name: str, start: float, width: float) -> None:
    start = min(start, 600.0) if name == "exp" else start  # float64 overflows at 709
    check(CASES[name], start, start + width)


@pytest.mark.parametrize("name", CASES)
def test_one_sided_intervals_start_at_the_floor(name: str) -> None:
    for upper in (1e-6, 0.5, 2.0, 500.0):
        check(CASES[name], -3.0, upper)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ends", [(math.nan, 1.0), (1.0, math.nan), (-math.inf, 2.0), (2.0, math.inf)])
def test_no_number_comes_from_nan_or_infinity(name: str, ends: tuple[float, float]) -> None:
    low, high = (torch.tensor([end, 1.5]).double() for end in ends)
    lines = CASES[name].relax(low, high)
    assert all(torch.isnan(part[0]) for part in lines)
    assert all(torch.isfinite(part[1]) for part in lines), "its neighbour is not spoiled"


@pytest.mark.parametrize("name", CASES)
def test_a_single_point_is_almost_exact(name: str) -> None:
    z = torch.linspace(1.0, 9.0, 73, dtype=torch.float64)
    lines = CASES[name].relax(z, z)
    gap = (lines.upper_slope * z + lines.upper_intercept) - (lines.lower_slope * z + lines.lower_intercept)
    assert (gap <= 1e-11 * (1 + CASES[name].value(z).abs()) * 10).all()


@pytest.mark.parametrize("name", CASES)
def test_lines_waste_least_area(name: str) -> None:
    """Chord above, tangent at the middle below: no other pair of lines is closer at the middle."""
    if CASES[name].cap < torch.inf:
        return
    low, high = torch.tensor([1.25]).double(), torch.tensor([3.0]).double()
    middle, lines = (low + high) / 2, CASES[name].relax(low, high)
    above = lines.upper_slope * middle + lines.upper_intercept
    below = lines.lower_slope * middle + lines.lower_intercept
    ends = (CASES[name].value(low) + CASES[name].value(high)) / 2
    assert float(above) == pytest.approx(float(ends))
    assert float(below) == pytest.approx(float(CASES[name].value(middle)))


def test_curves_are_convex_and_their_slopes_are_right() -> None:
    z = torch.linspace(0.5, 4, 200, dtype=torch.float64, requires_grad=True)
    for name, row in CURVES.items():
        value = row.value(z, 0.1)
        (slope,) = torch.autograd.grad(value.sum(), z)
        torch.testing.assert_close(slope, row.slope(z.detach(), 0.1))
        assert (slope.diff() >= 0).all(), name


TABLE = np.random.default_rng(0).normal(size=(13, 3)).astype(np.float32)
WORDS = Lookup(*levels_of(Embedding(TABLE)), torch.tensor([0, 1, 2, 1]))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.floats(0, 12), st.floats(0, 12))
def test_a_range_of_words_has_the_hull_of_its_rows(first: float, second: float) -> None:
    lower, upper = min(first, second), max(first, second)
    low, high = torch.full((4,), lower).double(), torch.full((4,), upper).double()
    words = np.arange(math.ceil(low[0]), math.floor(high[0]) + 1)
    least, most = WORDS.span(low, high)
    if not len(words):
        assert torch.isnan(torch.cat([least, most])).all()
        return
    rows = TABLE[words][:, [0, 1, 2, 1]].astype(float)
    assert least.tolist() == rows.min(0).tolist()
    assert most.tolist() == rows.max(0).tolist()
    lines = WORDS.relax(low, high)
    assert lines.lower_intercept.tolist() == least.tolist()
    assert lines.upper_slope.abs().max() == 0
    value = WORDS.value(low.ceil())
    assert (least <= value).all()
    assert (value <= most).all()


def test_words_without_a_row_have_no_numbers() -> None:
    for lower, upper in ((-1.0, 3.0), (4.0, 13.0), (math.nan, 2.0), (0.0, math.inf), (5.0, 4.0)):
        least, most = WORDS.span(torch.full((4,), lower).double(), torch.full((4,), upper).double())
        assert torch.isnan(least).all()
        assert torch.isnan(most).all()


def test_a_look_up_has_a_gradient_of_zero() -> None:
    z = torch.tensor([2.2, 3.0, 0.0, 12.4], dtype=torch.float64, requires_grad=True)
    value = WORDS.value(z)
    assert value.tolist() == [float(TABLE[w, f]) for w, f in zip((2, 3, 0, 12), (0, 1, 2, 1), strict=True)]
    (gradient,) = torch.autograd.grad(value.sum(), z)
    assert gradient.abs().max() == 0
