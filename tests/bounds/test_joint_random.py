"""Random networks of all operations that keep a shape: sampled float32 evaluations lie in the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bounds.test_joint_operations import INPUTS, bounded, points, replacing, some, stamped
from tests.soundness.floats import evaluate as sampled
from verifluxa.bounds.constants import propagate
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import (
    Activation,
    Add,
    Affine,
    Clip,
    Input,
    LogSoftmax,
    MatMul,
    Multiply,
    Normalise,
    Op,
    Reshape,
    Scale,
    Shift,
    Softmax,
    Transpose,
)

SIDE = 3


def unary(random: np.random.Generator) -> Op:
    """An operation on a square of values."""
    scale = 10.0 ** random.uniform(-1, 0.7)
    kinds: list[Op] = [
        Affine(some(random, SIDE, SIDE, scale=scale), some(random, SIDE)),
        Shift(some(random, SIDE, SIDE, scale=scale)),
        Scale(some(random, SIDE, scale=scale)),
        Activation("relu"),
        Activation("leakyrelu", 0.125),
        Activation("tanh"),
        Activation("sigmoid"),
        Clip(-1.0, 0.5),
        Normalise(int(random.integers(1, 3)), float(10.0 ** -random.integers(2, 9)), bool(random.integers(2))),
        Normalise(1, 1e-5),
        Softmax(int(random.integers(2))),
        LogSoftmax(int(random.integers(2))),
        Transpose((1, 0)),
    ]
    return kinds[int(random.integers(len(kinds)))]


def network(random: np.random.Generator) -> Graph:
    """A chain with branches; every step reads one or two of the latest ones."""
    steps: list[tuple[Op, tuple[int, ...]]] = [(Input((SIDE, SIDE)), ())]
    for number in range(int(random.integers(2, 8))):
        other = int(random.integers(max(0, number - 3), number + 1))
        kind = random.integers(5)
        two: Op = (Multiply(), MatMul(), Add())[int(random.integers(3))]
        steps.append((two, (number, other)) if kind == 0 else (unary(random), (number,)))
    last = len(steps) - 1
    return build([*steps, (Reshape((-1,)), (last,)), (Affine(some(random, 2, SIDE * SIDE), None), (last + 1,))])


def check(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = network(random)
    inputs = random.normal(size=(INPUTS, SIDE, SIDE)).astype(np.float32).astype(np.float64)
    if propagate(graph, inputs, "float32", len(graph.nodes) - 1).unsafe.any():
        return
    places = sorted(random.choice(SIDE * SIDE, int(random.integers(1, 4)), replace=False).tolist())
    low = random.normal(size=len(places)).astype(np.float32)
    size = np.float32(10.0 ** random.uniform(-3, 0.6))
    ends = (low.astype(float), (low + size).astype(float))
    method = ("crown", "crown", "interval")[int(random.integers(3))]
    _, outputs = bounded(graph, inputs, replacing(places), ends, "float32", method)
    # What is no number bounds nothing.
    lower, upper = outputs.lower.nan_to_num(nan=-np.inf).numpy(), outputs.upper.nan_to_num(nan=np.inf).numpy()
    for point in points(random, ends, 6):
        whole = stamped(inputs, places, point)
        for computed in (graph.run(whole), sampled(graph, whole, random)):
            assert (lower <= computed).all(), seed
            assert (computed <= upper).all(), seed


@pytest.mark.parametrize("part", range(4))
def test_random_networks_keep_to_their_bounds(part: int) -> None:
    for seed in range(12 * part, 12 * part + 12):
        check(seed)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(40))
def test_many_random_networks_keep_to_their_bounds(part: int) -> None:
    for seed in range(1000 + 100 * part, 1100 + 100 * part):
        check(seed)
