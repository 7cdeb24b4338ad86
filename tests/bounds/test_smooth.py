"""Sampled lines: the stated bounds of the derivatives hold, and the lines hold between the sample points."""

import pytest
import torch

from verifluxa.bounds.functions import FUNCTIONS, Parameters
from verifluxa.bounds.rounding import FUNCTION_ERROR
from verifluxa.bounds.smooth import SMOOTH, Smooth, with_parameter

OTHERS = [
    *(("elu", p) for p in (0.3, 1.7, -0.5)),
    *(("celu", p) for p in (0.4, 2.5)),
    *(("softshrink", p) for p in (0.0, 1.25)),
    *(("two slopes", p) for p in (1.0, 1.5, -0.25, -2.0)),
]
"""Functions with another parameter than the usual one."""
CASES: list[tuple[str, Parameters]] = [*((name, ()) for name in SMOOTH), *((name, (p,)) for name, p in OTHERS)]
NAMES = [" ".join([name, *map(str, parameters)]) for name, parameters in CASES]


def row_of(key: str, parameters: Parameters) -> Smooth:
    row = with_parameter(key, *parameters)
    assert row is not None
    return row


def away_from_kinks(row: Smooth, z: torch.Tensor) -> torch.Tensor:
    return torch.stack([(z - kink).abs() > 2e-3 for kink in row.kinks] or [torch.ones_like(z) > 0]).all(0)


@pytest.mark.parametrize(("key", "parameters"), CASES, ids=NAMES)
def test_derivatives_stay_below_their_bounds(key: str, parameters: Parameters) -> None:
    row = row_of(key, parameters)
    z = torch.linspace(-30, 30, 600_001, dtype=torch.float64)
    step = 1e-3
    before, at, after = row.value(z - step), row.value(z), row.value(z + step)
    fine = away_from_kinks(row, z)
    second = ((before - 2 * at + after) / step**2)[fine].abs()
    # Across a jump of the second derivative (elu, celu, softsign at 0) a difference lies between both sides.
    assert float(second.max()) <= row.curvature + 1e-4
    assert (second <= row.bend(z - 2 * step, z + 2 * step)[fine] + 1e-4).all()
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


@pytest.mark.parametrize(("key", "parameters"), CASES, ids=NAMES)
def test_lines_and_ranges_hold_on_dense_points(key: str, parameters: Parameters) -> None:
    row = row_of(key, parameters)
    lower, upper = intervals()
    relaxed = FUNCTIONS[key].relax(lower, upper, parameters)
    span = FUNCTIONS[key].span
    assert span is not None
    low, high = span(lower, upper, parameters)
    for share in torch.linspace(0, 1, 457, dtype=torch.float64):
        z = torch.minimum(lower + (upper - lower) * share, upper)
        value = row.value(z)
        assert (value <= relaxed.upper_slope * z + relaxed.upper_intercept).all()
        assert (value >= relaxed.lower_slope * z + relaxed.lower_intercept).all()
        assert (low <= value).all()
        assert (value <= high).all()


@pytest.mark.parametrize(("key", "parameters"), CASES, ids=NAMES)
def test_lines_are_close_on_narrow_intervals(key: str, parameters: Parameters) -> None:
    middle = torch.linspace(-4, 4, 81, dtype=torch.float64) + 0.013
    lower, upper = middle - 0.005, middle + 0.005
    relaxed = FUNCTIONS[key].relax(lower, upper, parameters)
    gap = (relaxed.upper_slope - relaxed.lower_slope) * middle + relaxed.upper_intercept - relaxed.lower_intercept
    assert float(gap.max()) < 0.01


@pytest.mark.parametrize(("key", "parameters"), CASES, ids=NAMES)
def test_what_is_no_number_never_becomes_a_bound(key: str, parameters: Parameters) -> None:
    nan, inf = float("nan"), float("inf")
    lower = torch.tensor([nan, -1.0, -inf, -inf, 0.0], dtype=torch.float64)
    upper = torch.tensor([1.0, nan, 1.0, inf, inf], dtype=torch.float64)
    relaxed = FUNCTIONS[key].relax(lower, upper, parameters)
    assert torch.isnan(relaxed.upper_slope * lower + relaxed.upper_intercept).all()
    assert torch.isnan(relaxed.lower_slope * lower + relaxed.lower_intercept).all()


@pytest.mark.parametrize(("key", "parameters"), CASES, ids=NAMES)
def test_the_float32_error_covers_torch(key: str, parameters: Parameters) -> None:
    row = row_of(key, parameters)
    z = torch.linspace(-20, 20, 400_001, dtype=torch.float32)
    single = row.value(z).double()
    exact = row.value(z.double())
    allowed = FUNCTION_ERROR[key] * exact.abs().clamp(min=1)
    assert ((single - exact).abs() <= allowed / 2).all()


@pytest.mark.parametrize(("key", "parameters"), CASES, ids=NAMES)
def test_the_bound_of_the_second_derivative_falls_on_both_sides(key: str, parameters: Parameters) -> None:
    """It holds for all |z| >= a: so it may not rise again."""
    row = row_of(key, parameters)
    far = torch.linspace(0, 40, 40_001, dtype=torch.float64)
    bound = row.bend(far, far)
    assert (bound.diff() <= 1e-12).all()
    assert (row.bend(-far[1:], -far[1:]).diff() <= 1e-12).all()
    assert (row.bend(far, far + 1) <= bound).all()
    assert (row.bend(-far - 1, far) >= row.bend(-far[1:2], -far[1:2])).all()


@pytest.mark.parametrize(("key", "parameters"), CASES, ids=NAMES)
def test_a_recomputation_chooses_alike(key: str, parameters: Parameters) -> None:
    """Ends that differ in the last places give nearly the same lines, on intervals around 0 too."""
    generator = torch.Generator().manual_seed(1)
    middle = torch.randn(3000, generator=generator, dtype=torch.float64) * 4
    middle[:500] = 0.0
    width = 10 ** (torch.rand(3000, generator=generator, dtype=torch.float64) * 4 - 3)
    lower, upper = middle - width, middle + width
    off = (torch.rand(3000, generator=generator, dtype=torch.float64) - 0.5) * 2**-44
    first = FUNCTIONS[key].relax(lower, upper, parameters)
    second = FUNCTIONS[key].relax(lower + off * (1 + lower.abs()), upper - off * (1 + upper.abs()), parameters)
    for one, other in zip(first, second, strict=True):
        assert (one - other).abs().max() < 1e-8
