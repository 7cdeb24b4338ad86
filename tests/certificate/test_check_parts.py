"""The checker's parts one by one: linear maps against the network, lines, spreads, layer bounds, clipping, lowering."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.certificate.scenes import Scene, Shape, scene
from verifluxa.certificate.check.bounds import Bounder, OutputRows
from verifluxa.certificate.check.chain import Layer, chain_of
from verifluxa.certificate.check.functions import Function, function_of
from verifluxa.certificate.check.lower import Claim, claim_of, rounded
from verifluxa.certificate.check.network import OPERATIONS, Constants, Floats, Taps, constants_of
from verifluxa.certificate.check.region import Region, reach_of
from verifluxa.certificate.check.rounding import gamma, rounding_of
from verifluxa.errors import CertificateError
from verifluxa.graph import ops
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.graph import build, chain
from verifluxa.lower import Given, lower
from verifluxa.question import Problem
from verifluxa.spec.spec import PerInput, RateBound

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
}


@pytest.mark.parametrize("case", LINEAR)
def test_linear_maps_are_those_of_the_network(case: str) -> None:
    shape, op = LINEAR[case]
    x = array(3, *shape)
    taps = OPERATIONS[op.kind](op, [shape])
    assert isinstance(taps, Taps)
    expected = chain(shape, [op], "float64").run(x).reshape(3, -1).T
    flat, everything = x.reshape(3, -1).T, np.arange(len(taps.weight))
    assert np.allclose(taps.times(flat) + taps.bias[:, None], expected, rtol=1e-12, atol=1e-12)
    matrix, complete = taps.local(everything, np.arange(taps.inputs))
    whole = matrix.weight
    assert complete
    assert np.allclose(whole @ flat + taps.bias[:, None], expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(taps.times(flat, np.abs(taps.weight)), np.abs(whole) @ flat)
    rounding = rounding_of("float32", 10)
    assert np.allclose(taps.flushed(rounding), matrix.flushed(rounding))
    reached = np.array([0, taps.inputs - 1])
    rows = taps.reading(reached)
    local, complete = taps.local(rows, reached)
    assert np.array_equal(local.weight, whole[rows][:, reached])
    assert complete == (not np.delete(whole[rows], reached, axis=1).any())
    others = np.setdiff1d(everything, rows)
    assert not whole[others][:, reached].any()


@pytest.mark.parametrize("op", [ops.Add(), ops.Concat(0), ops.Concat(1)])
def test_operations_on_branches_are_those_of_the_network(op: ops.Op) -> None:
    shape = (2, 3)
    network = build([(ops.Input(shape), ()), (ops.Scale(np.asarray(2.0)), (0,)), (op, (1, 0, 1))], "float64")
    x = array(4, *shape)
    constants = constants_of(network, x, "float64")
    assert np.allclose(constants.forms[-1].value.T, network.run(x).reshape(4, -1), rtol=1e-15)


def test_windows_of_a_max_pool() -> None:
    op = ops.MaxPool((2, 3), (2, 1), (1, 0), (0, 1))
    x = -np.abs(array(3, 2, 5, 6))
    network = chain((2, 5, 6), [op], "float64")
    constants = constants_of(network, x, "float64")
    assert np.array_equal(constants.forms[-1].value.T, network.run(x).reshape(3, -1))


FUNCTIONS = {
    "relu": ops.Activation("relu"),
    "leakyrelu": ops.Activation("leakyrelu"),
    "leakyrelu half": ops.Activation("leakyrelu", 0.5),
    "clip": ops.Clip(-0.5, 2.0),
    "hardtanh": ops.Activation("hardtanh"),
    "relu6": ops.Activation("relu6"),
    "tanh": ops.Activation("tanh"),
    "sigmoid": ops.Activation("sigmoid"),
    **{name: ops.Activation(name) for name in sorted(set(ACTIVATIONS) - {"relu", "leakyrelu", "trelu", "round"})},
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
    nothing = np.zeros((4, 1))
    for name in ("relu", "sigmoid", "gelu"):
        layer = Layer(nothing, nothing, nothing.T, nothing.T, (nothing, nothing), function(name))
        with np.errstate(all="ignore"):
            lines, (low, high) = layer.lines(lower, upper), layer.ends(lower, upper)
        assert not any(np.isfinite(part).any() for part in lines)
        assert name != "gelu" or not np.isfinite([low, high]).any()


def region(random: np.random.Generator, size: int, strips: int) -> Region:
    lower = random.uniform(-3, 1, size)
    upper = lower + random.uniform(0, 4, size)
    directions = random.normal(size=(strips, size))
    middle, extent = directions @ (lower + upper) / 2, np.abs(directions) @ (upper - lower) / 2
    low, high = middle - extent * random.uniform(-0.5, 1, strips), middle + extent
    return Region(lower, upper, directions, low, high, cut=strips > 0)


def points(random: np.random.Generator, part: Region, count: int) -> Floats:
    found = random.uniform(part.lower, part.upper, size=(count, len(part.lower)))
    corners = random.random(found.shape) < 0.5
    found = np.where(corners, np.where(random.random(found.shape) < 0.5, part.lower, part.upper), found)
    along = found @ part.directions.T
    return found[((along >= part.low) & (along <= part.high)).all(axis=1)]


@pytest.mark.parametrize("seed", range(12))
def test_spreads_bound_every_point_of_the_region(seed: int) -> None:
    random = np.random.default_rng(seed)
    part = region(random, 4, seed % 4)
    reach, rows = reach_of(part), random.normal(size=(6, 4))
    inside = points(random, part, 4000) - reach.center
    assert len(inside) > 10
    reached = inside @ rows.T
    both = reach.spread_both(rows)
    for up, down in ((reach.spread(rows), reach.spread(-rows)), both):
        assert (reached.max(axis=0) <= up).all()
        assert (-reached.min(axis=0) <= down).all()
    plain = np.abs(rows) @ reach.half
    assert (both[0] <= plain + 1e-12).all()
    assert not reach.empty


def test_an_empty_region_is_noticed() -> None:
    part = Region(np.zeros(2), np.ones(2), np.ones((1, 2)), np.array([2.5]), np.array([3.0]), cut=True)
    assert reach_of(part).empty
    assert not reach_of(replace(part, low=np.array([2.0]))).empty


SHAPES = [
    Shape(),
    Shape("cnn", "leakyrelu"),
    Shape("pool", "tanh", channels=2),
    Shape("cnn", "clip", layout="hwcn", channels=2),
    Shape("pool", "sigmoid", softmax=True),
]


def readout(found: Scene, inputs: Floats) -> Floats:
    """What the rows speak of, as deployed: the outputs, or the values in front of a softmax."""
    graph = found.sources.models["net"]
    nodes = graph.nodes[:-1] if isinstance(graph.nodes[-1].op, ops.Softmax) else graph.nodes
    front = build([(node.op, node.inputs) for node in nodes], graph.dtype)
    return np.asarray(front.run(inputs), dtype=np.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_constants_enclose_deployed_values(shape: Shape) -> None:
    found = scene(3, shape)
    inputs = found.data.inputs
    constants = constants_of(found.sources.models["net"], inputs, "float32")
    value, error = constants.forms[-1]
    away = np.abs(readout(found, inputs) - value.T)
    assert (away <= error.T).all()
    assert (error < 1e-2).all()
    assert away.max() > 0


def placed(found: Scene, inputs: Floats, index: int, triggers: Floats) -> Floats:
    stamped = np.repeat(inputs[index].reshape(1, -1), len(triggers), axis=0)
    stamped[:, found.claim().positions[1]] = triggers
    return readout(found, stamped.reshape(len(triggers), *inputs.shape[1:]))


def bounder(found: Scene, constants: Constants, part: Region | None = None) -> tuple[Bounder, tuple[Layer, ...]]:
    claim = found.claim()
    layers = chain_of(constants, claim.positions[1])
    size = claim.positions.shape[1]
    whole = Region(np.zeros(size), np.full(size, 255.0), np.zeros((0, size)), np.zeros(0), np.zeros(0))
    return Bounder(layers, part or whole), layers


def small(found: Scene, random: np.random.Generator) -> Region:
    """A box of levels, cut by one strip."""
    size = found.claim().positions.shape[1]
    lower = random.integers(0, 200, size).astype(np.float64)
    part = region(random, size, 1)
    along = part.directions @ (lower + 20)
    return replace(part, lower=lower, upper=lower + 40.0, low=along - 30, high=along + 60)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_planes_and_ends_hold_for_sampled_triggers(shape: Shape) -> None:
    """In the deployed float32: output rows lie below their planes and ends, on boxes with and without strips."""
    found, random = scene(3, shape), np.random.default_rng(9)
    inputs = found.claim().inputs
    constants = constants_of(found.sources.models["net"], inputs, "float32")
    for part in (None, small(found, random)):
        bound, _ = bounder(found, constants, part)
        state = bound.state(np.arange(len(inputs)))
        triggers = np.floor(points(random, bound.region, 400))
        triggers = triggers[(triggers >= bound.region.lower).all(axis=1)]
        row = OutputRows(np.array([[1.0, -1.0, 0.0]]), np.zeros(1))
        for index in range(5):
            planes = bound.output_rows(state, np.array([index]), row)
            most = bound.output_most(state, np.array([index]), row)
            outputs = placed(found, inputs, index, triggers)
            margin = outputs[:, 0] - outputs[:, 1]
            assert (margin <= planes.value + (triggers - bound.reach.center) @ planes.slope[0]).all()
            assert (margin <= most).all()
            assert (margin <= planes.value + bound.reach.spread(planes.slope)).all()


@pytest.mark.parametrize("seed", range(4))
def test_clipped_bounds_hold_where_the_row_is_met(seed: int) -> None:
    found, random = scene(seed, Shape("cnn", scale=0.8)), np.random.default_rng(seed)
    inputs = found.claim().inputs
    bound, _ = bounder(found, constants_of(found.sources.models["net"], inputs, "float32"), small(found, random))
    plain = bound.state(np.arange(len(inputs)))
    everyone = np.arange(len(inputs))
    rows = OutputRows(np.tile([[1.0, -1.0, 0.0]], (len(inputs), 1)), np.zeros(len(inputs)))
    planes = bound.output_rows(plain, everyone, rows)
    state = plain.take(everyone)
    gone = bound.clip(state, planes)
    after = bound.output_rows(state, everyone, rows)
    triggers = points(random, bound.region, 600)
    tighter = met = 0
    for index in range(len(inputs)):
        outputs = placed(found, inputs, index, triggers)
        margin = outputs[:, 0] - outputs[:, 1]
        inside = margin >= 0
        met += int(inside.sum())
        assert not (gone[index] and inside.any())
        above = after.value[index] + (triggers - bound.reach.center) @ after.slope[index]
        assert (margin[inside] <= above[inside]).all()
        old, new = plain.layers[0], state.layers[0]
        tighter += int((new.upper[index] < old.upper[index]).sum())
    assert met
    assert tighter


@pytest.mark.parametrize("shape", [*SHAPES, Shape(targeted=False), Shape(per_input=True)], ids=str)
def test_both_lowerings_agree(shape: Shape) -> None:
    found = scene(4, shape)
    claim, problem = found.claim(), found.problem
    assert claim.indices == problem.indices
    assert set(claim.excluded) == {index for index, _ in problem.excluded}
    assert claim.needs == problem.needs
    assert claim.pairs == problem.pairs
    assert [tuple(item) for item in problem.selections] == [tuple(item) for item in claim.selections]
    for positions, placement in zip(claim.positions, problem.placements, strict=True):
        assert np.array_equal(positions, placement.stamp.positions)
    for mine, theirs in zip(claim.violations, problem.violations, strict=True):
        for alternatives, rows in zip(mine, theirs.by_label, strict=True):
            assert named_rows(problem, rows) == pairs_of(claim, alternatives)
    inputs = found.data.inputs
    assert found.sources.models["net"].digest == problem.graph.digest
    assert np.array_equal(found.sources.models["net"].run(inputs), problem.graph.run(inputs))
    assert np.allclose(problem.rows.constants, claim.rows.constant)


def pair_of(row: Floats) -> tuple[int, int]:
    return int(row.argmax()), int(row.argmin())


def named_rows(problem: Problem, rows: tuple[tuple[int, ...], ...]) -> list[list[tuple[int, int]]]:
    return [[pair_of(problem.rows.coefficients[row]) for row in item] for item in rows]


def pairs_of(claim: Claim, alternatives: tuple[tuple[int, ...], ...]) -> list[list[tuple[int, int]]]:
    return [[pair_of(claim.rows.weight[row]) for row in item] for item in alternatives]


def test_per_input_statements_with_classes() -> None:
    found = scene(4, Shape(per_input=True))
    statement = found.prop.statement
    assert isinstance(statement, PerInput)
    for changed in (replace(statement, expected=1), replace(statement, targets=(0, 2))):
        prop = replace(found.prop, statement=changed)
        problem = lower(found.spec, prop, Given(found.graph, found.data, "sha256:" + "d" * 64, "float32"))
        claim = claim_of(changed, found.sources, problem.indices)
        for alternatives, rows in zip(claim.violations[0], problem.violations[0].by_label, strict=True):
            assert named_rows(problem, rows) == pairs_of(claim, alternatives)


def test_an_input_in_doubt_may_count_or_not() -> None:
    """Two classes within the error of evaluation: the frozen list decides, and it is said."""
    weight = np.zeros((2, 64), dtype=np.float32)
    weight[0, 0], weight[1, 1] = 1.0, 1.0
    found = scene(1, Shape())
    network = chain((1, 8, 8), [ops.Reshape((-1,)), ops.Affine(weight)])
    pictures = np.zeros((3, 1, 8, 8))
    pictures[0, 0, 0, 0], pictures[1:, 0, 0, 1] = 5.0, 5.0
    data = replace(found.data, inputs=pictures, labels=np.zeros(3, dtype=np.int64))
    sources = replace(found.sources, data=data, models={"net": network})
    statement = found.prop.statement
    assert isinstance(statement, RateBound)
    statement = replace(statement, targets=(1,))
    assert claim_of(statement, sources, ()).doubtful == ()
    close = np.zeros((3, 1, 8, 8))
    close[:, 0, 0, 0] = 1.0
    close[:, 0, 0, 1] = [1.0 - 2.0**-26, 0.5, 2.0]
    sources = replace(sources, data=replace(data, inputs=close))
    for frozen in ((0, 1), (1,)):
        claim = claim_of(statement, sources, frozen)
        assert claim.indices == frozen
        assert claim.doubtful == (0,)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (Fraction(1, 10), "float32", float(np.float32(0.1))),
        (Fraction(1, 10), "float64", 0.1),
        (Fraction(2**24 + 1), "float32", 2.0**24),
        (1 + Fraction(1, 2**24) + Fraction(1, 2**60), "float32", 1 + 2.0**-23),
        (Fraction(-255), "float32", -255.0),
    ],
)
def test_constants_are_rounded_once(value: Fraction, dtype: str, expected: float) -> None:
    """The fourth is the classic case that rounding to double first gets wrong."""
    assert rounded(value, dtype) == expected


def test_gamma_and_limits() -> None:
    assert gamma(3, 2.0**-24) == pytest.approx(3 * 2.0**-24, rel=1e-6)
    assert gamma(3, 0.0) == 0
    assert rounding_of("real", 100).coefficient(5) > 0
    assert rounding_of("float32", 100).coefficient(0) == 0
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
def test_networks_that_cannot_be_rechecked(graph: object) -> None:
    with pytest.raises(CertificateError) as caught:
        constants_of(graph, np.zeros((1, 2)), "float32")  # type: ignore[arg-type]
    assert caught.value.code == "VF5058"


def test_overflow_in_the_middle_of_a_layer_is_seen() -> None:
    """Scaled up beyond float32 and down again: harmless at the end, infinite in the middle."""
    loud = [
        ops.Scale(np.float32(1e38)),
        ops.Scale(np.float32(1e-38)),
        ops.Activation("relu"),
        ops.Affine(np.eye(2, dtype=np.float32)),
    ]
    constants = constants_of(chain((2,), loud), np.zeros((1, 2)), "float32")
    layers = chain_of(constants, np.array([0]))
    part = Region(np.zeros(1), np.full(1, 255.0), np.zeros((0, 1)), np.zeros(0), np.zeros(0))
    state = Bounder(layers, part).state(np.array([0]))
    assert state.worst[0] >= constants.rounding.largest
    assert state.output_radius.max() < 1


def test_weights_that_may_be_flushed_count_in_full() -> None:
    weight = np.array([[1e-40, 0.0]], dtype=np.float32)
    constants = constants_of(chain((2,), [ops.Affine(weight)]), np.array([[1e30, 0.0]]), "float32")
    assert constants.forms[-1].error[0, 0] >= abs(constants.forms[-1].value[0, 0]) > 0
