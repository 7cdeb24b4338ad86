"""Sampled lines: the stated bounds of the derivatives hold, and the lines hold between the sample points."""

import pytest
import torch

from verifluxa.bounds.functions import FUNCTIONS
from verifluxa.bounds.rounding import FUNCTION_ERROR
from verifluxa.bounds.smooth import SMOOTH, Smooth
from verifluxa.graph.activations import ACTIVATIONS

ROWS = list(SMOOTH.values())
NAMES = [row.name for row in ROWS]


def away_from_kinks(row: Smooth, z: torch.Tensor) -> torch.Tensor:
    return torch.stack([(z - kink).abs() > 2e-3 for kink in row.kinks] or [torch.ones_like(z) > 0]).all(0)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_derivatives_stay_below_their_bounds(row: Smooth) -> None:
    z = torch.linspace(-30, 30, 600_001, dtype=torch.float64)
    step = 1e-3
    before, at, after = row.value(z - step), row.value(z), row.value(z + step)
    fine = away_from_kinks(row, z)
    second = ((before - 2 * at + after) / step**2)[fine].abs()
    # Across a jump of the second derivative (elu, celu, softsign at 0) a difference lies between both sides.
    assert float(second.max()) <= row.curvature + 1e-4
    assert float(((after - before) / (2 * step)).abs().max()) <= row.steepness + 1e-6


def intervals() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    middle = torch.randn(4000, generator=generator, dtype=torch.float64) * 4
    width = 10 ** (torch.rand(4000, generator=generator, dtype=torch.float64) * 6 - 4)
    lower, upper = middle - width / 2, middle + width / 2
    special = torch.tensor(
        [[0.0, 0.0], [-3.0, -3.0], [-0.5, 0.5], [0.0, 5.0], [-5.0, 0.0], [-400.0, 400.0], [2.0, 1e6]]
    )
    return torch.cat([lower, special[:, 0]]), torch.cat([upper, special[:, 1]])


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_lines_and_ranges_hold_on_dense_points(row: Smooth) -> None:
    lower, upper = intervals()
    relaxed = FUNCTIONS[row.name].relax(lower, upper, ())
    span = FUNCTIONS[row.name].span
    assert span is not None
    low, high = span(lower, upper)
    for share in torch.linspace(0, 1, 457, dtype=torch.float64):
        z = torch.minimum(lower + (upper - lower) * share, upper)
        value = row.value(z)
        assert (value <= relaxed.upper_slope * z + relaxed.upper_intercept).all()
        assert (value >= relaxed.lower_slope * z + relaxed.lower_intercept).all()
        assert (low <= value).all()
        assert (value <= high).all()


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_lines_are_close_on_narrow_intervals(row: Smooth) -> None:
    middle = torch.linspace(-4, 4, 81, dtype=torch.float64) + 0.013
    lower, upper = middle - 0.005, middle + 0.005
    relaxed = FUNCTIONS[row.name].relax(lower, upper, ())
    gap = (relaxed.upper_slope - relaxed.lower_slope) * middle + relaxed.upper_intercept - relaxed.lower_intercept
    assert float(gap.max()) < 0.01


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_what_is_no_number_never_becomes_a_bound(row: Smooth) -> None:
    nan, inf = float("nan"), float("inf")
    lower = torch.tensor([nan, -1.0, -inf, -inf, 0.0], dtype=torch.float64)
    upper = torch.tensor([1.0, nan, 1.0, inf, inf], dtype=torch.float64)
    relaxed = FUNCTIONS[row.name].relax(lower, upper, ())
    assert torch.isnan(relaxed.upper_slope * lower + relaxed.upper_intercept).all()
    assert torch.isnan(relaxed.lower_slope * lower + relaxed.lower_intercept).all()


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_the_float32_error_covers_torch(row: Smooth) -> None:
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float32)
    function = ACTIVATIONS[row.name]
    single = function.apply(z, function.parameter or 0.0).double()
    exact = row.value(z.double())
    allowed = FUNCTION_ERROR[row.name] * exact.abs().clamp(min=1)
    assert ((single - exact).abs() <= allowed / 2).all()
