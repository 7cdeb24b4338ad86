"""Relaxations of elementwise functions, sampled densely: on every interval the function lies between its two lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.bounds.functions import (
    CONSTANT_ERROR,
    FUNCTIONS,
    RAMP,
    Parameters,
    Relaxation,
    function_error,
    function_of,
    relax,
)
from verifluxa.bounds.rounding import FUNCTION_ERROR
from verifluxa.certificate.check.functions import function_of as checked_function
from verifluxa.graph.activations import activate
from verifluxa.graph.ops import Activation, Clip, Conv, MaxPool, Op

CASES: list[tuple[str, Parameters]] = [
    ("relu", ()),
    ("leakyrelu", (0.01,)),
    ("leakyrelu", (0.3,)),
    ("leakyrelu", (0.0,)),
    ("trelu", (1.0,)),
    ("trelu", (0.0,)),
    ("round", ()),
    ("clip", (-1.0, 1.0)),
    ("clip", (0.0, 6.0)),
    ("clip", (2.0, 2.0)),
    ("sigmoid", ()),
    ("tanh", ()),
]
SMOOTH = {"sigmoid", "tanh"}
ends = st.one_of(
    st.floats(-4, 4),
    st.floats(-30, 30),
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 6.0, 1e-9, -1e-9, 1e12, -1e12, 2.0**-40, -(2.0**-40)]),
)
widths = st.one_of(st.just(0.0), st.floats(0, 1e-5), st.floats(0, 5), st.floats(0, 1e6))
PLENTY = settings(max_examples=12, deadline=None, derandomize=True)


def lines_at(lines: Relaxation, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The lower and the upper line at points (..., P), from lines (...)."""
    lower_slope, lower_at, upper_slope, upper_at = (part[..., None] for part in lines)
    return lower_slope * z + lower_at, upper_slope * z + upper_at


def check(name: str, parameters: Parameters, lower: float, upper: float) -> None:
    """No point of the interval has its value outside the lines, beyond roundings of the largest argument.

    Those are covered by the radii of the layer: at least 512 roundings of every sum that makes z.
    """
    lower, upper = min(lower, upper), max(lower, upper)
    low, high = torch.tensor([lower], dtype=torch.float64), torch.tensor([upper], dtype=torch.float64)
    share = torch.linspace(0, 1, 101, dtype=torch.float64)
    special = torch.tensor([0.0, *parameters, lower, upper], dtype=torch.float64)
    z = torch.cat([low + share * (high - low), special]).clamp(lower, upper)
    value = FUNCTIONS[name].value(z, parameters)
    lines = relax(name, low, high, parameters)
    assert all(torch.isfinite(part).all() for part in lines)
    assert (lines.lower_slope >= 0).all()
    assert (lines.upper_slope >= 0).all()
    below, above = lines_at(lines, z[None])
    largest = max(abs(lower), abs(upper))
    assert (below[0] <= value + 2.0**-50 * (1 + lines.lower_slope * largest)).all()
    assert (value <= above[0] + 2.0**-50 * (1 + lines.upper_slope * largest)).all()


@pytest.mark.parametrize(("name", "parameters"), CASES)
@PLENTY
@given(ends, ends)
def test_the_function_lies_between_its_lines(name: str, parameters: Parameters, first: float, second: float) -> None:
    check(name, parameters, first, second)


@pytest.mark.parametrize(("name", "parameters"), CASES)
@PLENTY
@given(ends, widths)
def test_the_function_lies_between_its_lines_on_narrow_and_wide_intervals(
    name: str, parameters: Parameters, start: float, width: float
) -> None:
    check(name, parameters, start, start + width)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_many_random_intervals_at_once(name: str, parameters: Parameters) -> None:
    random = np.random.default_rng(0)
    middle, size = random.normal(0, 4, 700), 10.0 ** random.uniform(-9, 2, 700)
    low, high = torch.as_tensor(middle - size), torch.as_tensor(middle + size)
    z = low[:, None] + torch.linspace(0, 1, 65, dtype=torch.float64) * (high - low)[:, None]
    below, above = lines_at(relax(name, low, high, parameters), z)
    value = FUNCTIONS[name].value(z, parameters)
    slack = 2.0**-48 * (1 + z.abs())
    assert (below <= value + slack).all()
    assert (value <= above + slack).all()


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        (math.nan, 1.0),
        (-1.0, math.nan),
        (math.nan, -1.0),
        (1.0, math.nan),
        (math.nan, math.nan),
        (-math.inf, 1.0),
        (-1.0, math.inf),
        (1.0, math.inf),
        (-math.inf, -1.0),
        (-math.inf, math.inf),
    ],
)
def test_no_number_comes_from_nan_or_infinity(name: str, parameters: Parameters, lower: float, upper: float) -> None:
    low, high = torch.tensor([lower, -1.0]).double(), torch.tensor([upper, 1.0]).double()
    lines = relax(name, low, high, parameters)
    assert all(torch.isnan(part[0]) for part in lines)
    assert all(torch.isfinite(part[1]) for part in lines), "its neighbour is not spoiled"


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_a_single_point_is_almost_exact(name: str, parameters: Parameters) -> None:
    z = torch.linspace(-9, 9, 73, dtype=torch.float64)
    below, above = lines_at(relax(name, z, z, parameters), z[:, None])
    assert (above - below).max() < 1e-10


@pytest.mark.parametrize(("name", "parameters"), [case for case in CASES if case[0] not in SMOOTH])
def test_decided_pieces_are_exact(name: str, parameters: Parameters) -> None:
    pieces = [(-3.4, -2.6), (6.6, 7.4)] if name == "round" else [(-9.0, -3.0), (7.0, 9.0)]
    low, high = (torch.tensor([piece[end] for piece in pieces]).double() for end in (0, 1))
    z = torch.linspace(0, 1, 33, dtype=torch.float64) * (high - low)[:, None] + low[:, None]
    below, above = lines_at(relax(name, low, high, parameters), z)
    torch.testing.assert_close(below, above, rtol=0, atol=1e-12)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.3])
def test_the_lower_slope_of_relu_is_continuous(slope: float) -> None:
    """A recomputation that is off in the last place gives nearly the same line, at the switch too."""
    share = torch.linspace(0.5 - 2 / RAMP, 0.5 + 2 / RAMP, 4001, dtype=torch.float64)
    lines = relax("leakyrelu", share - 1, share, (slope,))
    assert lines.lower_slope.diff().abs().max() < 2e-3
    assert float(lines.lower_slope[0]) == pytest.approx(slope)
    assert float(lines.lower_slope[-1]) == pytest.approx(1)
    edge = torch.tensor([1e-9, 0.0, -1e-9], dtype=torch.float64)
    around = relax("relu", -torch.ones(3).double(), edge, ())
    assert around.lower_slope.abs().max() == 0
    assert around.upper_slope.max() < 1e-8


def test_the_lower_slope_is_the_plain_rule_but_for_near_ties() -> None:
    """On the ramp a line is neither the one nor the other, and rows are not those of the plain rule."""
    ends = torch.rand(2, 200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slope = relax("relu", -ends[0], ends[1], ()).lower_slope
    plain = (ends[1] > ends[0]).double()
    assert int((slope != plain).sum()) <= 3
    ties = relax("relu", -ends[0], ends[0] * (1 + 1e-9 * (ends[1] - 0.5)), ()).lower_slope
    assert float(ties.abs().max()) == 0, "rounding decides no exact tie"


def test_chords_and_tangents_are_the_best_known_ones() -> None:
    low, high = torch.tensor([-1.0]).double(), torch.tensor([3.0]).double()
    lines = relax("relu", low, high, ())
    assert [float(part) for part in lines] == [1.0, 0.0, 0.75, 0.75]
    lines = relax("clip", torch.tensor([-4.0]).double(), torch.tensor([4.0]).double(), (-1.0, 1.0))
    assert float(lines.upper_slope) == pytest.approx(2 / 5)
    assert float(lines.lower_slope) == pytest.approx(2 / 5)
    lines = relax("tanh", torch.tensor([-3.0]).double(), torch.tensor([-1.0]).double(), ())
    chord = (math.tanh(-1) - math.tanh(-3)) / 2
    assert float(lines.upper_slope) == pytest.approx(chord), "the chord of a convex piece lies above it"
    assert float(lines.lower_slope) == pytest.approx(1 - math.tanh(-2) ** 2), "the tangent at its middle lies below"


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_lipschitz_constants_and_monotony(name: str, parameters: Parameters) -> None:
    z = torch.linspace(-20, 20, 40001, dtype=torch.float64)
    value = FUNCTIONS[name].value(z, parameters)
    rise = value.diff()
    assert (rise >= 0).all(), "the backward step rests on this"
    assert (rise <= FUNCTIONS[name].lipschitz(parameters) * z.diff() * (1 + 1e-9)).all()


ROWS: list[tuple[Op, tuple[str, Parameters] | None]] = [
    (Activation("relu"), ("relu", ())),
    (Activation("leakyrelu"), ("leakyrelu", (0.01,))),
    (Activation("leakyrelu", 0.25), ("leakyrelu", (0.25,))),
    (Activation("leakyrelu", 0.0), ("leakyrelu", (0.0,))),
    (Activation("leakyrelu", 1.0), ("two slopes", (1.0,))),
    (Activation("leakyrelu", 2.0), ("two slopes", (2.0,))),
    (Activation("leakyrelu", -0.1), ("two slopes", (-0.1,))),
    (Activation("hardtanh"), ("clip", (-1.0, 1.0))),
    (Activation("relu6"), ("clip", (0.0, 6.0))),
    (Activation("sigmoid"), ("sigmoid", ())),
    (Activation("tanh"), ("tanh", ())),
    (Activation("trelu"), ("trelu", (1.0,))),
    (Activation("trelu", -0.5), None),
    (Activation("elu"), ("elu", ())),
    (Activation("elu", 0.5), ("elu", (0.5,))),
    (Activation("celu", -0.5), None),
    (Activation("softshrink", 0.25), ("softshrink", (0.25,))),
    (Clip(0.0, 255.0), ("clip", (0.0, 255.0))),
    (Clip(-math.inf, 0.5), ("clip", (-math.inf, 0.5))),
    (Clip(0.0, 0.1), None),
    (MaxPool((2,), (2,), (0,), (0,)), None),
    (Conv(np.zeros((1, 1, 1)), None, (1,), (0,), (0,), (1,)), None),
]


@pytest.mark.parametrize(("op", "row"), ROWS, ids=[repr(op)[:60] for op, _ in ROWS])
def test_which_operations_have_a_row(op: Op, row: tuple[str, Parameters] | None) -> None:
    """Not a clip at an end that float32 rounds, and not what grows without end or falls by a jump."""
    assert function_of(op) == row


def test_a_clip_with_one_end_has_no_finite_line_where_it_needs_none() -> None:
    low, high = torch.tensor([-3.0, -3.0]).double(), torch.tensor([1.0, 0.25]).double()
    lines = relax("clip", low, high, (-math.inf, 0.5))
    z = low[:, None] + torch.linspace(0, 1, 65, dtype=torch.float64) * (high - low)[:, None]
    below, above = lines_at(lines, z)
    value = z.clamp(max=0.5)
    for line, sign in ((below, 1.0), (above, -1.0)):
        bad = torch.isfinite(line) & (sign * (line - value) > 1e-12)
        assert not bad.any()


@pytest.mark.parametrize("name", ["relu", "leakyrelu", "hardtanh", "relu6", "sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_deployed_functions_stay_within_their_error(name: str, dtype: torch.dtype) -> None:
    row = function_of(Activation(name))
    assert row is not None
    key, parameters = row
    z = torch.linspace(-40, 40, 50_001, dtype=dtype)
    deployed = activate(name, None, z).double()
    exact = FUNCTIONS[key].value(z.double(), parameters)
    error = function_error(key, str(dtype).removeprefix("torch."))
    assert ((deployed - exact).abs() <= error * exact.abs().clamp(min=1)).all()


def test_errors_by_arithmetic() -> None:
    assert function_error("relu", "float32") == function_error("clip", "float64") == 0
    assert function_error("tanh", "float32") == 2.0**-20
    assert function_error("tanh", "float64") == function_error("sigmoid", "real") == 2.0**-48
    # A constant that float32 rounds counts both ways in `real`; that of selu in float64 too, as ONNX stores it.
    assert function_error("leakyrelu", "real", (0.25,)) == function_error("gelu", "float64") == 2.0**-48
    assert function_error("leakyrelu", "real", (0.01,)) == function_error("gelu", "real") == 2.0**-48 + CONSTANT_ERROR
    assert function_error("selu", "float64") == 2.0**-48 + CONSTANT_ERROR
    # What a parameter multiplies has that many times the error.
    assert function_error("elu", "float32", (1000.0,)) == 1000 * function_error("elu", "float32")
    assert set(FUNCTIONS) <= set(FUNCTION_ERROR)
    assert FUNCTION_ERROR["tanh"] >= 5 * 2.0**-23, "NNlib: tanh_fast may be wrong by 5 eps"


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("leakyrelu", 2.0**-127), ("elu", -(2.0**-140)), ("celu", 1e-40), ("softshrink", 1e-39), ("trelu", 0.3)],
)
def test_a_parameter_that_may_be_flushed_or_a_threshold_that_is_rounded_has_no_bounds(
    name: str, parameter: float
) -> None:
    op = Activation(name, parameter)
    assert function_of(op) is None
    assert checked_function(op) is None
