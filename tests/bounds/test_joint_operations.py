"""Products, matrix products, embeddings, normalisations, softmax in the middle: bounds hold in sampled evaluations.

Each network is built around one operation; a trigger replaces some inputs. In float32 every sampled evaluation
(any order of sums, fused or not, subnormals flushed or not) lies in the bounds; in `real` the centre network
agrees with the graph in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.soundness.floats import evaluate as sampled
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.bounds.domain import Domains, geometry_of, rise_and_fall
from verifluxa.bounds.linear import LayerBounds, Subproblems, bound_all_layers, evaluate_net, output_bounds
from verifluxa.bounds.net import Net, load_net
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import (
    Activation,
    Add,
    Affine,
    Conv,
    Embedding,
    Input,
    LogSoftmax,
    MatMul,
    MaxPool,
    MeanPool,
    Multiply,
    Normalise,
    Op,
    Reshape,
    Scale,
    Shift,
    Softmax,
    Transpose,
)
from verifluxa.question import AffineInputMap

INPUTS = 3
Steps = list[tuple[Op, tuple[int, ...]]]
Floats = NDArray[np.float64]


def some(random: np.random.Generator, *shape: int, scale: float = 1.0) -> Any:
    return (scale * random.normal(size=shape)).astype(np.float32)


def products(random: np.random.Generator) -> Steps:
    """A gate times a value, times the value itself; a square; a factor that is not reached everywhere."""
    return [
        (Input((6,)), ()),
        (Affine(some(random, 4, 6), some(random, 4)), (0,)),
        (Activation("sigmoid"), (1,)),
        (Affine(some(random, 4, 6), some(random, 4)), (0,)),
        (Multiply(), (2, 3)),
        (Multiply(), (4, 3)),
        (Multiply(), (5, 5)),
        (Scale(some(random, 6)), (0,)),
        (Multiply(), (7, 0)),
        (Affine(some(random, 4, 6), None), (8,)),
        (Add(), (6, 9, 4)),
    ]


def matrices(random: np.random.Generator) -> Steps:
    """A product of two parts of the input, one of which is reached in some places only, and of its own transpose."""
    return [
        (Input((2, 3, 2)), ()),
        (Scale(some(random, 1, 3, 2)), (0,)),
        (Transpose((0, 2, 1)), (0,)),
        (MatMul(), (1, 2)),
        (MatMul(), (3, 1)),
        (Reshape((-1,)), (4,)),
        (Affine(some(random, 3, 12), some(random, 3)), (5,)),
    ]


def normal(axes: int, epsilon: float, by_deviation: bool) -> Callable[[np.random.Generator], Steps]:
    def steps(random: np.random.Generator) -> Steps:
        return [
            (Input((2, 2, 3)), ()),
            (Shift(some(random, 2, 2, 3, scale=3.0)), (0,)),
            (Normalise(axes, epsilon, by_deviation), (1,)),
            (Scale(some(random, 2, 2, 3)), (2,)),
            (Add(), (3, 1)),
            (Reshape((-1,)), (4,)),
            (Affine(some(random, 3, 12), some(random, 3)), (5,)),
        ]

    return steps


def attention(op: type[Softmax | LogSoftmax], axis: int, scale: float) -> Callable[[np.random.Generator], Steps]:
    def steps(random: np.random.Generator) -> Steps:
        return [
            (Input((3, 3)), ()),
            (Affine(some(random, 3, 3, scale=scale), None), (0,)),
            (op(axis), (1,)),
            (MatMul(), (2, 0)),
            (Reshape((-1,)), (3,)),
            (Affine(some(random, 3, 9), some(random, 3)), (4,)),
        ]

    return steps


CASES: dict[str, Callable[[np.random.Generator], Steps]] = {
    "products": products,
    "matrices": matrices,
    "layer norm": normal(3, 1e-5, False),
    "group norm, tiny epsilon": normal(2, 1e-10, False),
    "instance norm by deviation": normal(1, 1e-5, True),
    "softmax": attention(Softmax, 1, 1.0),
    "softmax of the first axis, steep": attention(Softmax, 0, 30.0),
    "logarithm of softmax": attention(LogSoftmax, 1, 1.0),
}


def network(name: str, seed: int) -> tuple[Graph, Floats]:
    random = np.random.default_rng(seed)
    graph = build(CASES[name](random))
    inputs = random.normal(size=(INPUTS, *graph.input_shape)).astype(np.float32).astype(np.float64)
    return graph, inputs


def replacing(positions: list[int]) -> AffineInputMap:
    size = len(positions)
    return AffineInputMap(np.array(positions), np.zeros(size), np.eye(size), np.zeros(size))


def bounded(
    graph: Graph,
    inputs: Floats,
    stamp: AffineInputMap,
    ends: tuple[Floats, Floats],
    arithmetic: str,
    method: str = "crown",
) -> tuple[Net, LayerBounds]:
    """The local network and the bounds of its outputs on a box."""
    constants = propagate(graph, inputs, arithmetic, len(graph.nodes) - 1)
    assert not constants.unsafe.any()
    net = load_net(build_chain(graph, constants, stamp))
    low, high = (torch.as_tensor(end)[None] for end in ends)
    none = low.new_zeros(1, 0)
    shape = geometry_of(Domains(low, high, low.new_zeros(0, low.shape[1]), none, none))
    index = torch.arange(len(inputs))
    pairs = Subproblems(torch.zeros_like(index), index)
    layers = bound_all_layers(net, shape, pairs, method)
    eye = torch.eye(layers[-1].lower.shape[1], dtype=torch.float64)
    rows, zero = torch.arange(len(eye)).expand(len(index), -1), torch.zeros_like(eye[0])
    ends_of = []
    for sign in (-1.0, 1.0):
        value, slope = output_bounds(net, layers, shape, index, pairs, rows, sign * eye, zero)
        ends_of.append(sign * (value + rise_and_fall(slope, pairs.domain, shape)[0]))
    last = layers[-1]
    if method == "crown":
        last = replace(last, lower=torch.fmax(last.lower, ends_of[0]), upper=torch.fmin(last.upper, ends_of[1]))
    return net, last


def stamped(inputs: Floats, positions: list[int], trigger: Floats) -> Floats:
    whole = inputs.reshape(len(inputs), -1).copy()
    whole[:, positions] = trigger
    return whole.reshape(inputs.shape)


def points(random: np.random.Generator, ends: tuple[Floats, Floats], count: int) -> Floats:
    """Points of a box that float32 holds, corners among them."""
    share = random.random((count, len(ends[0])))
    share[::3] = share[::3].round()
    found = (ends[0] + share * (ends[1] - ends[0])).astype(np.float32).astype(np.float64)
    return np.clip(found, *ends)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [0.0, 0.02, 0.5, 4.0])
@pytest.mark.parametrize("method", ["crown", "interval"])
def test_sampled_float32_evaluations_lie_in_the_bounds(name: str, size: float, method: str) -> None:
    random = np.random.default_rng(int(size * 100))
    graph, inputs = network(name, 1)
    positions = [0, 4]
    low = random.normal(size=2).astype(np.float32).astype(np.float64)
    ends = (low, (low + size).astype(np.float32).astype(np.float64))
    _, outputs = bounded(graph, inputs, replacing(positions), ends, "float32", method)
    lower, upper = outputs.lower.numpy(), outputs.upper.numpy()
    assert np.isfinite(lower).all()
    assert np.isfinite(upper).all()
    for point in points(random, ends, 8 if size else 2):
        whole = stamped(inputs, positions, point)
        for computed in (graph.run(whole), sampled(graph, whole, random), sampled(graph, whole, random)):
            flat = computed.reshape(INPUTS, -1).astype(np.float64)
            assert (lower <= flat).all()
            assert (flat <= upper).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("positions", [[3], [0, 1, 5]])
def test_the_center_is_the_graph_and_real_bounds_hold(name: str, positions: list[int]) -> None:
    random = np.random.default_rng(3)
    graph, inputs = network(name, 2)
    double = build([(node.op, node.inputs) for node in graph.nodes], "float64")
    ends = (np.full(len(positions), -1.0), np.full(len(positions), 1.5))
    net, outputs = bounded(double, inputs, replacing(positions), ends, "real")
    for point in points(random, ends, 20):
        computed = double.run(stamped(inputs, positions, point)).reshape(INPUTS, -1)
        center = evaluate_net(net, torch.tensor(point).expand(INPUTS, -1), torch.arange(INPUTS)).numpy()
        np.testing.assert_allclose(center, computed, rtol=1e-9, atol=1e-9)
        assert (outputs.lower.numpy() <= computed + 1e-9).all()
        assert (computed <= outputs.upper.numpy() + 1e-9).all()


@pytest.mark.parametrize("name", CASES)
def test_a_point_has_bounds_as_narrow_as_its_error(name: str) -> None:
    graph, inputs = network(name, 4)
    ends = (np.zeros(2), np.zeros(2))
    _, outputs = bounded(graph, inputs, replacing([0, 4]), ends, "float32")
    assert (outputs.upper - outputs.lower).max() < 2e-3
    _, exact = bounded(graph, inputs, replacing([0, 4]), ends, "real")
    assert (exact.upper - exact.lower).max() < 1e-7


@pytest.mark.parametrize("name", CASES)
def test_bounds_shrink_faster_than_the_box(name: str) -> None:
    """What the planes waste is of second order: a tenth of the width leaves about a tenth of the bounds."""
    graph, inputs = network(name, 5)
    widths = []
    for size in (0.1, 0.01):
        ends = (np.zeros(1), np.full(1, size))
        net, outputs = bounded(graph, inputs, replacing([0]), ends, "real")
        trigger = torch.tensor([[0.0], [size]]).double().repeat_interleave(INPUTS, 0)
        index = torch.arange(INPUTS).repeat(2)
        values = evaluate_net(net, trigger, index).reshape(2, INPUTS, -1)
        true = (values[1] - values[0]).abs()
        widths.append(((outputs.upper - outputs.lower) - true).max())
    assert widths[1] < widths[0] / 20


WORDS = 9


def sentence(random: np.random.Generator, pool: str) -> Graph:
    """Five words to a mean or a maximum over them, or to a gate by them."""
    steps: Steps = [(Input((5,)), ()), (Embedding(some(random, WORDS, 3)), (0,)), (Transpose((1, 0)), (1,))]
    if pool != "gate":
        pooled = (MeanPool if pool == "mean" else MaxPool)((5,), (5,), (0,), (0,))
        steps += [(pooled, (2,)), (Reshape((-1,)), (3,))]
    else:
        steps += [(Softmax(1), (2,)), (Multiply(), (2, 3)), (Reshape((-1,)), (4,))]
    last = len(steps) - 1
    features = 15 if pool == "gate" else 3
    return build(
        [*steps, (Affine(some(random, 4, features), some(random, 4)), (last,)), (Activation("tanh"), (last + 1,))]
    )


@pytest.mark.parametrize("pool", ["mean", "max", "gate"])
@pytest.mark.parametrize("ends", [(0, 8), (3, 3), (2, 6)])
def test_words_between_two_ends_lie_in_the_bounds(pool: str, ends: tuple[int, int]) -> None:
    random = np.random.default_rng(11)
    graph = sentence(random, pool)
    inputs = random.integers(0, WORDS, (INPUTS, 5)).astype(float)
    box = (np.full(2, float(ends[0])), np.full(2, float(ends[1])))
    _, outputs = bounded(graph, inputs, replacing([1, 4]), box, "float32")
    lower, upper = outputs.lower.numpy(), outputs.upper.numpy()
    for first in range(ends[0], ends[1] + 1):
        for second in range(ends[0], ends[1] + 1):
            whole = stamped(inputs, [1, 4], np.array([first, second], float))
            for computed in (graph.run(whole), sampled(graph, whole, random)):
                assert (lower <= computed).all()
                assert (computed <= upper).all()
    if ends[0] == ends[1]:
        assert (upper - lower).max() < 5e-5, "one word is a point"


def test_a_word_without_a_row_makes_an_input_unsafe() -> None:
    graph = sentence(np.random.default_rng(0), "mean")
    inputs = np.array([[0.0, 1, 2, 3, 8], [0, 1, 2, 3, 9], [0.5, 1, 2, 3, 4]])
    assert propagate(graph, inputs, "float32", len(graph.nodes) - 1).unsafe.tolist() == [False, True, True]


def test_words_outside_the_rows_have_no_bounds() -> None:
    graph = sentence(np.random.default_rng(0), "mean")
    for ends in ((-1.0, 3.0), (5.0, 9.0), (0.2, 0.8)):
        _, outputs = bounded(graph, np.ones((1, 5)), replacing([1]), (np.array([ends[0]]), np.array([ends[1]])), "real")
        assert not torch.isfinite(outputs.upper).any()


def picks(channels: int) -> Conv:
    """Only the first column: a trigger in the last one does not reach it."""
    weight = np.eye(channels, dtype=np.float32)[:, :, None, None]
    return Conv(weight, None, (1, 4), (0, 0), (0, 0), (1, 1))


UNREACHED: dict[str, Op] = {
    "normalise": Normalise(1, 1e-5),
    "softmax": Softmax(1),
    "logarithm of softmax": LogSoftmax(1),
    "activation": Activation("trelu"),
    "square": Multiply(),
    "matrix product": MatMul(),
}


@pytest.mark.parametrize("name", UNREACHED)
@pytest.mark.parametrize("places", [[3], [3, 7]])
def test_a_branch_that_is_not_reached_is_a_constant(name: str, places: list[int]) -> None:
    """The operation stands in a branch that the trigger does not reach, and in one that it does."""
    random, op = np.random.default_rng(8), UNREACHED[name]
    steps: Steps = [(Input((2, 2, 4)), ()), (picks(2), (0,)), (Reshape((2, 2)), (1,))]
    steps.append((op, (2, 2) if name in ("square", "matrix product") else (2,)))
    square = Conv(some(random, 2, 2, 1, 4), None, (1, 4), (0, 0), (0, 0), (1, 1))
    steps += [(square, (0,)), (Reshape((2, 2)), (4,))]
    steps.append((op, (5, 5) if name in ("square", "matrix product") else (5,)))
    steps += [(Multiply(), (3, 6)), (MatMul(), (3, 7)), (Add(), (8, 3)), (Reshape((-1,)), (9,))]
    graph = build([*steps, (Affine(some(random, 3, 4), None), (10,))])
    inputs = random.normal(size=(INPUTS, 2, 2, 4)).astype(np.float32).astype(np.float64)
    ends = (np.full(len(places), -0.5), np.full(len(places), 0.5))
    _, outputs = bounded(graph, inputs, replacing(places), ends, "float32")
    for point in points(random, ends, 20):
        whole = stamped(inputs, places, point)
        for computed in (graph.run(whole), sampled(graph, whole, random)):
            assert (outputs.lower.numpy() <= computed).all()
            assert (computed <= outputs.upper.numpy()).all()
