"""What the checker bounds: values, planes and clipped planes against networks that were run in float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape, scene, walked
from verifluxa.certificate.check.bounds import Bounder
from verifluxa.certificate.check.chain import chain_of
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import Constants, constants_of
from verifluxa.certificate.check.region import STEPS, LinearBounds, Regions, alike
from verifluxa.graph import ops
from verifluxa.graph.graph import build, chain


def region(random: np.random.Generator, size: int, strips: int) -> Regions:
    lower = random.uniform(-3, 1, size)
    upper = lower + random.uniform(0, 4, size)
    directions = random.normal(size=(strips, size))
    middle, extent = directions @ (lower + upper) / 2, np.abs(directions) @ (upper - lower) / 2
    low, high = middle - extent * random.uniform(-0.5, 1, strips), middle + extent
    return one(lower, upper, directions, low, high)


def one(lower: Floats, upper: Floats, directions: Floats, low: Floats, high: Floats) -> Regions:
    return Regions(lower[None], upper[None], directions, low[None], high[None])


def points(random: np.random.Generator, part: Regions, count: int) -> Floats:
    found = random.uniform(part.lower, part.upper, size=(count, part.lower.shape[1]))
    corners = random.random(found.shape) < 0.5
    found = np.where(corners, np.where(random.random(found.shape) < 0.5, part.lower, part.upper), found)
    along = found @ part.directions.T
    return found[((along >= part.low) & (along <= part.high)).all(axis=1)]


@pytest.mark.parametrize("seed", range(12))
def test_spreads_bound_every_point_of_the_region(seed: int) -> None:
    random = np.random.default_rng(seed)
    part = region(random, 4, seed % 4)
    tight, rows, at = part.tightened(), random.normal(size=(1, 6, 4)), np.zeros(1, dtype=np.int64)
    inside = points(random, part, 4000) - part.center
    assert len(inside) > 10
    reached = inside @ rows[0].T
    for steps in (0, STEPS):
        up, down = tight.spread(rows, at, steps)
        assert (reached.max(axis=0) <= up).all()
        assert (-reached.min(axis=0) <= down).all()
        assert np.allclose(down, tight.spread(-rows, at, steps)[0])
    assert (tight.spread(rows, at, STEPS)[0] <= tight.spread(rows, at)[0]).all()
    assert (tight.spread(rows, at)[0] <= np.abs(rows) @ part.half[0] * (1 + 2.0**-50)).all()
    assert not tight.is_empty


def test_pieces_hold_every_item_that_has_rows_once_and_no_other() -> None:
    counts = np.array([0, 3, 1, 0, 7, 3, 0, 2])
    for size in (1, 10_000, 100_000):
        found = list(alike(counts, size))
        assert sorted(np.concatenate(found).tolist()) == [1, 2, 4, 5, 7]
    assert not list(alike(np.zeros(3, dtype=np.int64), 1))


@pytest.mark.parametrize("seed", range(24))
def test_planes_are_bounded_at_every_point_where_a_cut_is_met(seed: int) -> None:
    """At cuts that leave much or little, on boxes far from 0, with and without strips; below the plain bound."""
    random = np.random.default_rng(seed)
    part = region(random, 3, seed % 4).tightened()
    rows, at = LinearBounds(random.normal(size=(1, 8)), random.normal(size=(1, 8, 3))), np.zeros(1, dtype=np.int64)
    inside = points(random, part, 4000) - part.center
    for share in (0.0, 0.5, 0.95):
        slope = random.normal(size=3)
        cut = LinearBounds(-np.quantile(inside @ slope, share).reshape(1, 1), slope.reshape(1, 1, 3))
        met = inside[inside @ slope + cut.value[0, 0] >= 0]
        most, plain = part.most(rows, at, cut), part.most(rows, at)
        assert (met @ rows.slope[0].T + rows.value <= most).all()
        assert (most <= plain + 1e-9).all()
    assert (most < plain - 1e-3).any()
    nothing = part.most(rows, at, LinearBounds(np.ones((1, 1)), np.zeros((1, 1, 3))))
    assert np.allclose(nothing, part.most(rows, at))


def test_many_regions_are_bounded_as_one_by_one() -> None:
    random = np.random.default_rng(5)
    single = [region(random, 4, 2) for _ in range(3)]
    parts = (np.concatenate([getattr(part, name) for part in single]) for name in ("lower", "upper", "low", "high"))
    lower, upper, low, high = parts
    together = Regions(lower, upper, single[0].directions, low, high).tightened()
    rows, at = random.normal(size=(3, 1, 4)), np.array([2, 0, 1])
    for steps in (0, STEPS):
        for k, number in enumerate(at):
            alone = replace(single[number], directions=single[0].directions).tightened()
            for ours, theirs in zip(
                alone.spread(rows[k : k + 1], np.zeros(1, dtype=np.int64), steps),
                together.spread(rows, at, steps),
                strict=True,
            ):
                assert np.allclose(ours[0], theirs[k])


def test_an_empty_region_is_noticed() -> None:
    part = one(np.zeros(2), np.ones(2), np.ones((1, 2)), np.array([2.5]), np.array([3.0]))
    assert part.tightened().is_empty
    assert not replace(part, low=np.array([[2.0]])).tightened().is_empty


SHAPES = [
    Shape(),
    Shape("cnn", "leakyrelu"),
    Shape("pool", "tanh", channels=2),
    Shape("cnn", "clip", layout="hwcn", channels=2),
    Shape("pool", "sigmoid", softmax=True),
    Shape("branches", inputs=20),
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
    value, error = walked(found.sources.models["net"], inputs).balls[-1]
    away = np.abs(readout(found, inputs) - value.T)
    assert (away <= error.T).all()
    assert (error < 1e-2).all()
    assert away.max() > 0


def placed(found: Scene, inputs: Floats, index: int, triggers: Floats) -> Floats:
    stamped = np.repeat(inputs[index].reshape(1, -1), len(triggers), axis=0)
    stamped[:, found.claim().positions[1]] = triggers
    return readout(found, stamped.reshape(len(triggers), *inputs.shape[1:]))


def bounder(found: Scene, constants: Constants, part: Regions | None = None) -> Bounder:
    claim = found.claim()
    size = claim.positions.shape[1]
    whole = one(np.zeros(size), np.full(size, 255.0), np.zeros((0, size)), np.zeros(0), np.zeros(0))
    return Bounder(chain_of(constants, claim.positions[1]), part or whole)


def small(found: Scene, random: np.random.Generator) -> Regions:
    """A box of levels, cut by one strip."""
    size = found.claim().positions.shape[1]
    lower = random.integers(0, 200, size).astype(np.float64)
    part = region(random, size, 1)
    along = part.directions @ (lower + 20)
    return one(lower, lower + 40.0, part.directions, along - 30, along + 60)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_planes_and_ends_hold_for_sampled_triggers(shape: Shape) -> None:
    """In the deployed float32: output rows lie below their planes and ends, on boxes with and without strips."""
    found, random = scene(3, shape), np.random.default_rng(9)
    inputs = found.claim().inputs
    constants = walked(found.sources.models["net"], inputs)
    for part in (None, small(found, random)):
        bound = bounder(found, constants, part)
        state = bound.state(np.arange(len(inputs)), np.zeros(len(inputs), dtype=np.int64))
        triggers = np.floor(points(random, bound.regions, 400))
        triggers = triggers[(triggers >= bound.regions.lower).all(axis=1)]
        row = np.array([[[1.0, -1.0, 0.0]]]), np.zeros((1, 1))
        for index in range(5):
            planes = bound.rows(state, np.array([index]), *row)
            outputs = placed(found, inputs, index, triggers)
            margin = outputs[:, 0] - outputs[:, 1]
            assert (margin <= planes.value[0] + (triggers - bound.regions.center) @ planes.slope[0, 0]).all()
            up, _ = bound.regions.spread(planes.slope, np.zeros(1, dtype=np.int64))
            assert (margin <= planes.value + up).all()


def alone(planes: LinearBounds) -> LinearBounds:
    """Those of the only row of each entry."""
    return LinearBounds(planes.value[:, 0], planes.slope[:, 0])


@pytest.mark.parametrize("seed", range(4))
def test_clipped_bounds_hold_where_the_row_is_met(seed: int) -> None:
    found, random = scene(seed, Shape("cnn", scale=0.8)), np.random.default_rng(seed)
    inputs = found.claim().inputs
    bound = bounder(found, walked(found.sources.models["net"], inputs), small(found, random))
    everyone = np.arange(len(inputs))
    plain = bound.state(everyone, 0 * everyone)
    rows = np.tile([1.0, -1.0, 0.0], (len(inputs), 1, 1)), np.zeros((len(inputs), 1))
    planes = alone(bound.rows(plain, everyone, *rows))
    state = plain.take(everyone)
    gone = bound.clip(state, everyone, planes)
    after = alone(bound.rows(state, everyone, *rows))
    triggers = points(random, bound.regions, 600)
    tighter = met = 0
    for index in range(len(inputs)):
        outputs = placed(found, inputs, index, triggers)
        margin = outputs[:, 0] - outputs[:, 1]
        inside = margin >= 0
        met += int(inside.sum())
        assert not (gone[index] and inside.any())
        above = after.value[index] + (triggers - bound.regions.center) @ after.slope[index]
        assert (margin[inside] <= above[inside]).all()
        old, new = plain.layers[0], state.layers[0]
        tighter += int((new.upper[index] < old.upper[index]).sum())
    assert met
    assert tighter


@pytest.mark.parametrize("reach", [0.0, 1.0, 255.0])
def test_overflow_in_the_middle_of_a_layer_is_seen(reach: float) -> None:
    """Scaled up beyond float32 and down again: harmless at the end, infinite in the middle."""
    loud = [
        ops.Scale(np.float32(1e38)),
        ops.Scale(np.float32(1e-38)),
        ops.Activation("relu"),
        ops.Affine(np.eye(2, dtype=np.float32)),
    ]
    constants = constants_of(chain((2,), loud), np.zeros((1, 2)), "float32", reach)
    assert (constants is None) == (reach > 0)
    assert constants_of(chain((2,), loud[2:]), np.zeros((1, 2)), "float32", reach) is not None


def test_only_what_need_not_be_zero_rounds() -> None:
    """1 and small numbers that are lost one by one: as many units as there are small ones, in sums of 100 values."""
    two, weight = np.array(2.0, np.float32), np.ones((1, 100), np.float32)
    graph = chain((100,), [ops.Divide(two), ops.Reshape((-1,)), ops.Affine(weight)])
    small, unit = 2.0**-23, 2.0**-24
    inputs = np.zeros((2, 100))
    inputs[0, :9], inputs[1] = small, small
    inputs[:, 0] = 2.0
    constants = walked(graph, inputs)
    assert 8 * unit <= constants.balls[-1].error[0, 0] <= 14 * unit
    assert 99 * unit <= constants.balls[-1].error[0, 1]
    (layer,) = chain_of(constants, np.arange(20, 40))
    radius = layer.absolute[:, 0] + layer.relative[0][0] @ np.full(20, small)
    assert 28 * unit <= radius[0] <= 38 * unit
    assert 99 * unit <= radius[1]


def test_partial_sums_that_overflow_and_cancel_are_seen() -> None:
    layers = [ops.Affine(np.array([[3e35, -3e35]], dtype=np.float32))]
    for reach, fine in ((1e-6, True), (2e3, False)):
        found = constants_of(chain((2,), layers), np.zeros((1, 2)), "float32", reach)
        assert (found is not None) == fine


def test_weights_that_may_be_flushed_count_in_full() -> None:
    weight = np.array([[1e-40, 0.0]], dtype=np.float32)
    value, error = walked(chain((2,), [ops.Affine(weight)]), np.array([[1e30, 0.0]])).balls[-1]
    assert error[0, 0] >= abs(value[0, 0]) > 0
