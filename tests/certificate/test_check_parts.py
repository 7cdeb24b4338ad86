"""The checker's parts one by one: linear maps against the network, functions and their lines, arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.certificate.scenes import walked
from verifluxa.bounds.maxima import Maxima
from verifluxa.certificate.check.functions import LARGER, Function, function_of
from verifluxa.certificate.check.network import NOT_RECHECKED_FUNCTIONS, Taps, constants_of, steps_of
from verifluxa.certificate.check.rounding import gamma, rounding_of
from verifluxa.graph import ops
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.graph import Graph, build, chain

RANDOM = np.random.default_rng(5)


def array(*sizes: int) -> ops.Array:
    return RANDOM.normal(size=sizes).astype(np.float64)


LINEAR: dict[str, tuple[tuple[int, ...], ops.Op]] = {
    "affine": ((5,), ops.Affine(array(3, 5), array(3))),
    "affine on rows": ((2, 4, 5), ops.Affine(array(3, 5))),
    "conv 1d": ((2, 9), ops.Conv(array(4, 2, 3), array(4), (2,), (1,), (0,), (2,))),
    "conv 2d": ((2, 6, 7), ops.Conv(array(4, 2, 3, 2), array(4), (2, 1), (1, 0), (0, 2), (1, 2))),
    "conv in groups": ((4, 5, 5), ops.Conv(array(6, 2, 2, 2), None, (1, 1), (0, 0), (1, 1), (1, 1), groups=2)),
    "conv 3d": ((1, 3, 4, 4), ops.Conv(array(2, 1, 2, 2, 2), array(2), (1, 2, 1), (1, 0, 0), (0, 0, 1), (1, 1, 1))),
    "mean pool": ((2, 5, 6), ops.MeanPool((2, 3), (2, 1), (1, 0), (0, 1))),
    "shift": ((2, 3, 3), ops.Shift(array(2, 1, 1))),
    "scale": ((2, 3, 3), ops.Scale(np.asarray(0.3))),
    "divide": ((2, 3, 3), ops.Divide(array(2, 1, 1))),
    "reshape": ((2, 3, 4), ops.Reshape((4, -1))),
    "transpose": ((2, 3, 4), ops.Transpose((2, 0, 1))),
    "take": ((2, 3), ops.Take((2, 3), np.array([[5, -1, 2, 2], [0, 3, -1, 5]]))),
}


@pytest.mark.parametrize("case", LINEAR)
def test_linear_maps_are_those_of_the_network(case: str) -> None:
    shape, op = LINEAR[case]
    x = array(3, *shape)
    steps = steps_of(chain(shape, [op], "float64"))
    assert steps is not None
    taps = steps[0].kind
    assert isinstance(taps, Taps)
    expected = chain(shape, [op], "float64").run(x).reshape(3, -1).T
    flat, everything = x.reshape(3, -1).T, np.arange(len(taps.weight))
    assert np.allclose(taps.times(taps.weight, flat) + taps.bias[:, None], expected, rtol=1e-12, atol=1e-12)
    whole = taps.local(everything, np.arange(taps.inputs))
    assert np.allclose(whole @ flat + taps.bias[:, None], expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(taps.times(np.abs(taps.weight), flat), np.abs(whole) @ flat)
    reached = np.array([0, taps.inputs - 1])
    rows = taps.reading(reached)
    assert np.array_equal(taps.local(rows, reached), whole[rows][:, reached])
    others = np.setdiff1d(everything, rows)
    assert not whole[others][:, reached].any()


@pytest.mark.parametrize("op", [ops.Add(), ops.Concat(0), ops.Concat(1)])
def test_operations_on_branches_are_those_of_the_network(op: ops.Op) -> None:
    shape = (2, 3)
    network = build([(ops.Input(shape), ()), (ops.Scale(np.asarray(2.0)), (0,)), (op, (1, 0, 1))], "float64")
    x = array(4, *shape)
    constants = walked(network, x, "float64")
    assert np.allclose(constants.balls[-1].value.T, network.run(x).reshape(4, -1), rtol=1e-15)


def test_windows_of_a_max_pool() -> None:
    op = ops.MaxPool((2, 3), (2, 1), (1, 0), (0, 1))
    x = -np.abs(array(3, 2, 5, 6))
    network = chain((2, 5, 6), [op], "float64")
    constants = walked(network, x, "float64")
    assert np.array_equal(constants.balls[-1].value.T, network.run(x).reshape(3, -1))


FUNCTIONS = {
    "relu": ops.Activation("relu"),
    "leakyrelu": ops.Activation("leakyrelu"),
    "leakyrelu half": ops.Activation("leakyrelu", 0.5),
    "clip": ops.Clip(-0.5, 2.0),
    "hardtanh": ops.Activation("hardtanh"),
    "relu6": ops.Activation("relu6"),
    "tanh": ops.Activation("tanh"),
    "sigmoid": ops.Activation("sigmoid"),
    **{
        name: ops.Activation(name)
        for name in sorted(set(ACTIVATIONS) - {"relu", "leakyrelu", *NOT_RECHECKED_FUNCTIONS})
    },
}
ENDS = st.one_of(st.floats(-8, 8), st.floats(-1e-3, 1e-3), st.floats(-300, 300))


def function(name: str) -> Function:
    found = function_of(FUNCTIONS[name])
    assert found is not None
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=20))
def test_lines_enclose_the_function(name: str, ends: list[tuple[float, float]]) -> None:
    found = function(name)
    lower, upper = (np.array([pick(pair) for pair in ends]) for pick in (min, max))
    lines = found.lines(lower, upper)
    share = np.linspace(0, 1, 101)[:, None]
    z = np.clip(lower + share * (upper - lower), lower, upper)
    value, slack = found.value(z), 1e-12 * (1 + np.abs(z))
    assert (lines.low_slope * z + lines.low <= value + slack).all()
    assert (lines.high_slope * z + lines.high >= value - slack).all()
    low, high = found.ends(lower, upper)
    assert (low <= value + slack).all()
    assert (value <= high + slack).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_the_network(name: str) -> None:
    z = np.concatenate([np.linspace(-40, 40, 401), [0.0, -0.0, 1e-300]])
    expected = chain((404,), [FUNCTIONS[name]], "float64").run(z[None])[0]
    found = function(name)
    assert np.allclose(found.value(z), expected, rtol=1e-14, atol=1e-15)
    z = np.linspace(-12, 12, 480_001)
    value = found.value(z)
    assert (np.abs(np.diff(value)) <= found.lipschitz * np.diff(z) * (1 + 1e-9)).all()
    assert found.range is not None or (np.diff(value) >= 0).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_deployed_functions_stay_within_their_error(name: str) -> None:
    """In float32, as the network is run here; the bound is for any library, so there is room."""
    z = np.concatenate([np.linspace(-30, 30, 20_001), np.linspace(-0.01, 0.01, 20_001)]).astype(np.float32)
    deployed = chain((len(z),), [FUNCTIONS[name]], "float32").run(z[None])[0].astype(np.float64)
    exact, found = function(name).value(z.astype(np.float64)), function(name)
    assert (np.abs(deployed - exact) <= found.error * np.maximum(1, np.abs(exact))).all()


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"relu", "clip", "leakyrelu", "leakyrelu half"}))
@pytest.mark.parametrize("width", [0.01, 0.3, 2.0, 9.0])
def test_sampled_lines_hold_between_the_samples(name: str, width: float) -> None:
    """On fine grids around every place where a function bends: a curvature that is too small would show."""
    found, lower = function(name), np.linspace(-6, 6, 1201)
    upper = lower + width
    lines, (low, high) = found.lines(lower, upper), found.ends(lower, upper)
    z = lower + np.linspace(0, 1, 999)[:, None] * width
    value = found.value(z)
    assert (lines.low_slope * z + lines.low <= value + 1e-13).all()
    assert (lines.high_slope * z + lines.high >= value - 1e-13).all()
    assert (low <= value + 1e-13).all()
    assert (value <= high + 1e-13).all()


@pytest.mark.parametrize(
    "op",
    [
        ops.Activation("trelu"),
        ops.Activation("round"),
        ops.Activation("elu", 0.5),
        ops.Activation("leakyrelu", 1.5),
        ops.Activation("leakyrelu", -0.1),
        ops.Clip(1.0, 1.0),
        ops.Clip(0.0, 0.1),
    ],
)
def test_functions_without_lines(op: ops.Op) -> None:
    assert function_of(op) is None


def test_infinite_and_missing_ends_never_become_numbers() -> None:
    lower, upper = np.array([[-np.inf, np.nan, -1.0, -np.inf]]), np.array([[1.0, 1.0, np.nan, np.inf]])
    for name in ("relu", "sigmoid", "gelu"):
        with np.errstate(all="ignore"):
            lines, (low, high) = function(name).lines(lower, upper), function(name).ends(lower, upper)
        assert not any(np.isfinite(part).any() for part in lines)
        assert name != "gelu" or not np.isfinite([low, high]).any()


def test_gamma_and_limits() -> None:
    assert gamma(3, 2.0**-24) == pytest.approx(3 * 2.0**-24, rel=1e-6)
    assert gamma(3, 0.0) == 0
    assert rounding_of("real", 100).coefficient(5) > 0
    assert 0 < rounding_of("float32", 100).coefficient(0) < 2.0**-40 < rounding_of("float32", 100).coefficient(1)
    assert rounding_of("float32", 10).largest == 2.0**103
    assert math.isfinite(rounding_of("float64", 10).largest)


PRODUCT = [
    (ops.Input((2,)), ()),
    (ops.Affine(np.eye(2, dtype=np.float32)), (0,)),
    (ops.Multiply(), (0, 1)),
]


@pytest.mark.parametrize(
    "graph",
    [
        build(PRODUCT),
        chain((2,), [ops.Activation("trelu")]),
        chain((2,), [ops.Softmax(0), ops.Affine(np.eye(2, dtype=np.float32))]),
        chain((2,), [ops.Divide(np.float32([1.0, 1e-40]))]),
        chain((2,), [ops.Shift(np.float32([1.0, np.inf]))]),
    ],
)
def test_networks_that_cannot_be_rechecked(graph: Graph) -> None:
    assert constants_of(graph, np.zeros((1, 2)), "float32") is None


@pytest.mark.parametrize("plain", [True, False])
def test_planes_of_maxima_are_those_of_the_prover(plain: bool) -> None:
    """And so are ends, open neurons and those whose slopes may be chosen; points, ties and one-sided ends included."""
    random = np.random.default_rng(4)
    lower = random.integers(-3, 3, (200, 3 * 5)) + random.choice([0.0, 0.25], (200, 3 * 5))
    upper = lower + random.integers(0, 3, lower.shape)
    ours, theirs = LARGER[plain], Maxima(5, plain)
    ends = torch.as_tensor(lower), torch.as_tensor(upper)
    for mine, other in zip(ours.lines(lower, upper), theirs.relax(*ends), strict=True):
        np.testing.assert_allclose(mine, other.numpy(), atol=1e-12)
    for mine, other in zip(ours.ends(lower, upper), theirs.span(*ends), strict=True):
        assert (mine == other.numpy()).all()
    assert (ours.undecided(lower, upper) == theirs.open(*ends).numpy()).all()
    assert (ours.unstable(lower, upper) == theirs.unstable(*ends).numpy()).all()
    assert ours.unstable(lower, upper).any()


def test_planes_of_maxima_enclose_them() -> None:
    random = np.random.default_rng(5)
    lower = random.normal(size=(400, 2))
    upper = lower + random.exponential(size=lower.shape)
    values = random.uniform(lower, upper, size=(50, *lower.shape))
    difference = values[..., 1] - values[..., 0]
    least, most = difference.min(0), difference.max(0)
    ends = [np.concatenate([part, more[:, None]], 1) for part, more in ((lower, least), (upper, most))]
    points = np.concatenate([values, difference[..., None]], 2)
    for low_slope, low, high_slope, high in (LARGER[True].lines(*ends), LARGER[False].lines(*ends)):
        largest = values.max(2)
        assert ((points * low_slope).sum(2) + low[:, 0] <= largest + 1e-12).all()
        assert ((points * high_slope).sum(2) + high[:, 0] >= largest - 1e-12).all()
