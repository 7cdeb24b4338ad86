"""Products of two neurons: McCormick's planes, sampled densely, and what the backward walk makes of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.bounds.chain import Chain, Layer
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers, evaluate_net
from verifluxa.bounds.net import load_net
from verifluxa.bounds.rounding import Rounding
from verifluxa.bounds.special import PairRelaxation, Products

PAIR = Products(torch.tensor([1, 1]), torch.tensor([True, False]))
ends = st.one_of(st.floats(-4, 4), st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 1.0, 1e-9, 1e12, 2.0**-40]))
widths = st.one_of(st.just(0.0), st.floats(0, 1e-5), st.floats(0, 5), st.floats(0, 1e6))


def grid(lower: torch.Tensor, upper: torch.Tensor, count: int = 13) -> torch.Tensor:
    """Points of a rectangle, its corners among them, shape (count^2, 2)."""
    share = torch.linspace(0, 1, count, dtype=torch.float64)
    first, second = (torch.minimum(lower[k] + share * (upper[k] - lower[k]), upper[k]) for k in (0, 1))
    return torch.cartesian_prod(first, second)


def check(starts: tuple[float, float], sizes: tuple[float, float]) -> None:
    lower = torch.tensor(starts, dtype=torch.float64)
    upper = lower + torch.tensor(sizes, dtype=torch.float64)
    z = grid(lower, upper)
    value, lines = PAIR.value(z)[:, 0], [part[0] for part in PAIR.relax(lower, upper)]
    below, above = lines[0] * z[:, 0] + lines[1], lines[2] * z[:, 0] + lines[3]
    below, above = below + lines[4] * z[:, 1], above + lines[5] * z[:, 1]
    slack = 2.0**-50 * torch.maximum(lower.abs(), upper.abs()).prod()
    assert (below <= value + slack).all()
    assert (value <= above + slack).all()
    least, most = PAIR.span(lower, upper)
    assert (least[0] <= value).all()
    assert (value <= most[0]).all()
    assert (least[1], most[1]) == (lower[1], upper[1])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.tuples(ends, ends), st.tuples(widths, widths))
def test_the_product_lies_between_its_planes(starts: tuple[float, float], sizes: tuple[float, float]) -> None:
    check(starts, sizes)


def test_a_factor_that_does_not_move_makes_the_planes_exact() -> None:
    lower, upper = torch.tensor([-3.0, 0.5]).double(), torch.tensor([5.0, 0.5]).double()
    lines = PAIR.relax(lower, upper)
    assert lines.lower_slope[0] == lines.upper_slope[0] == 0.5
    assert abs(float(lines.upper_intercept[0] - lines.lower_intercept[0])) < 1e-13
    assert not PAIR.open(lower, upper).any()
    assert PAIR.open(lower, upper + 1).all(), "the partner's bounds count as much as its own"


def test_planes_are_as_good_in_the_middle_as_mccormicks() -> None:
    lower, upper = torch.tensor([-1.0, 2.0]).double(), torch.tensor([2.0, 3.0]).double()
    lines, middle = [float(part[0]) for part in PAIR.relax(lower, upper)], (0.5, 2.5)
    below = lines[0] * middle[0] + lines[1] + lines[4] * middle[1]
    mccormick = max(2 * 0.5 + -1 * 2.5 - -1 * 2, 3 * 0.5 + 2 * 2.5 - 2 * 3)
    assert below == pytest.approx(mccormick)


@pytest.mark.parametrize("lower", [math.nan, -math.inf, -1.0])
@pytest.mark.parametrize("upper", [math.nan, math.inf])
def test_no_number_comes_from_nan_or_infinity(lower: float, upper: float) -> None:
    lines = PAIR.relax(torch.tensor([lower, 0.0]).double(), torch.tensor([upper, 1.0]).double())
    assert not any(math.isfinite(float(part[0])) for part in (lines[1], lines[3]))


def chain(random: np.random.Generator) -> Chain:
    """Three affine values of tau; h = (z0 z1, z1, z2 z1); then two rows of h, and the product of those."""

    def layer(rows: int, columns: int, special: Products | None) -> Layer:
        weight, offset = random.normal(size=(rows, columns)), random.normal(size=(2, rows))
        nothing, radius = np.zeros((rows, columns)), np.full((1, rows), 1e-9)
        return Layer(weight, offset, nothing, radius, "product" if special else None, special=special)

    first = Products(torch.tensor([1, 1, 1]), torch.tensor([True, False, True]))
    layers = (layer(3, 2, first), layer(2, 3, Products(torch.tensor([1, 1]), torch.tensor([True, False]))))
    return Chain((*layers, layer(2, 2, None)), np.zeros(2, dtype=bool), Rounding("real", 4))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [0.0, 0.01, 1.0, 30.0])
def test_bounds_of_a_chain_of_products_hold(seed: int, size: float) -> None:
    random = np.random.default_rng(seed)
    net = load_net(chain(random))
    low = torch.as_tensor(random.normal(size=(1, 2)))
    high, none = low + size, low.new_zeros(1, 0)
    shape = geometry_of(Domains(low, high, low.new_zeros(0, 2), none, none))
    pairs = Subproblems(torch.zeros(2, dtype=torch.long), torch.arange(2))
    crown, interval = (bound_all_layers(net, shape, pairs, method) for method in ("crown", "interval"))
    share = torch.as_tensor(random.random((400, 2)))
    share[:100] = share[:100].round()
    points = low + share * (high - low)
    for index in range(2):
        outputs = evaluate_net(net, points, torch.tensor([index]))
        for bounds in (crown, interval):
            assert (bounds[-1].lower[index] <= outputs + 1e-9).all()
            assert (outputs <= bounds[-1].upper[index] + 1e-9).all()
    inner = [layers[1].upper - layers[1].lower for layers in (crown, interval)]
    assert (inner[0] <= inner[1] + 1e-6).all(), "planes are never worse than intervals"


def test_a_product_of_small_changes_is_nearly_linear() -> None:
    """The width of the bounds falls with the square of the width of the domain."""
    net = load_net(chain(np.random.default_rng(0)))
    index, none = torch.zeros(1, dtype=torch.long), torch.zeros(1, 0, dtype=torch.float64)
    radii = []
    for size in (1e-2, 1e-3):
        low = torch.tensor([[0.3, -0.2]]).double()
        shape = geometry_of(Domains(low, low + size, low.new_zeros(0, 2), none, none))
        bounds = bound_all_layers(net, shape, Subproblems(index, index))
        assert isinstance(bounds[0].relaxed, PairRelaxation)
        middle = (bounds[0].lower + bounds[0].upper) / 2
        lines = bounds[0].relaxed
        gap = (lines.upper_slope - lines.lower_slope) * middle + lines.upper_intercept - lines.lower_intercept
        radii.append(float((gap + (lines.upper_partner - lines.lower_partner) * middle[:, [1, 1, 1]]).max()))
    assert radii[1] < radii[0] / 50


def test_the_plane_that_moves_less_gets_the_weight() -> None:
    """A gate in 0..1 times a value in 0..1: 0 lies below, as well as `x + y - 1`, which moves twice as much."""
    lower, upper = torch.zeros(2).double(), torch.tensor([1.0, 1.0]).double()
    lines = [float(part[0]) for part in PAIR.relax(lower, upper)]
    assert lines[0] == lines[4] == 0
    assert abs(lines[1]) < 1e-13


def test_planes_change_little_with_their_interval() -> None:
    random = np.random.default_rng(0)
    lower = torch.as_tensor(random.normal(size=(4000, 2)))
    upper = lower + torch.as_tensor(10 ** random.uniform(-3, 1, (4000, 2)))
    first = PAIR.relax(lower, upper)
    second = PAIR.relax(lower + 1e-12, upper - 1e-12)
    for one, other in zip(first, second, strict=True):
        assert (one - other).abs().max() < 1e-8
