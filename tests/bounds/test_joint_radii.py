"""Radii of operations that are no function of one value: float32 in any order stays inside, and not far inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.bounds.test_joint_operations import bounded, points, replacing, stamped
from tests.soundness.floats import evaluate
from verifluxa.bounds.constants import propagate
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import Input, LogSoftmax, MatMul, Multiply, Normalise, Op, Reshape, Scale, Shift, Softmax

Floats = NDArray[np.float64]
Steps = list[tuple[Op, tuple[int, ...]]]


def unary(*ops: Op) -> Steps:
    return [(Input((3, 5)), ()), *((op, (number,)) for number, op in enumerate(ops))]


def matrices() -> Steps:
    return [(Input((3, 5)), ()), (Reshape((5, 3)), (0,)), (MatMul(), (0, 1))]


def product() -> Steps:
    return [(Input((3, 5)), ()), (Scale(np.array(1.7, np.float32)), (0,)), (Multiply(), (1, 0))]


OFFSET = Shift(np.array(1000.0, np.float32))
CASES: dict[str, tuple[Steps, float, float]] = {
    "multiply": (product(), 3.0, 0.1),
    "matmul": (matrices(), 3.0, 0.02),
    "softmax": (unary(Softmax(1)), 2.0, 0.005),
    "softmax, steep": (unary(Softmax(0)), 200.0, 0.001),
    "logsoftmax": (unary(LogSoftmax(1)), 2.0, 0.005),
    "logsoftmax, steep": (unary(LogSoftmax(0)), 80.0, 0.005),
    "normalise": (unary(Normalise(1, 1e-5)), 3.0, 0.005),
    "normalise far from zero": (unary(OFFSET, Normalise(1, 1e-5)), 3.0, 0.02),
    "normalise hardly any deviation": (unary(OFFSET, Normalise(2, 1e-5)), 1e-3, 0.02),
    "by deviation": (unary(OFFSET, Normalise(1, 1e-3, by_deviation=True)), 0.1, 0.02),
}
"""Steps, size of the inputs, and the share of the radius that errors reach at least."""


def made(name: str, seed: int) -> tuple[Graph, Floats]:
    steps, size, _ = CASES[name]
    inputs = np.random.default_rng(seed).normal(size=(40, 3, 5)) * size
    return build(steps), inputs.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("name", CASES)
def test_radii_dominate_the_errors_of_float32(name: str) -> None:
    graph, inputs = made(name, 3)
    double = build([(node.op, node.inputs) for node in graph.nodes], "float64")
    constants, random = propagate(graph, inputs, "float32", len(graph.nodes) - 1), np.random.default_rng(5)
    wanted = double.run(inputs).reshape(len(inputs), -1)
    value, radius = constants.values[-1], constants.radii[-1]
    np.testing.assert_allclose(value, wanted, rtol=1e-9, atol=1e-9)
    assert not constants.unsafe.any()
    worst = 0.0
    for _ in range(12):
        off = np.abs(evaluate(graph, inputs, random).reshape(len(inputs), -1) - wanted)
        assert (off <= radius).all()
        worst = max(worst, float((off / radius).max()))
    assert worst > CASES[name][2], "the radii are not far from what happens"


@pytest.mark.parametrize("name", CASES)
def test_the_bounds_of_a_point_contain_float32(name: str) -> None:
    """The chain carries the same errors as the constants: one value, or all, are replaced by themselves."""
    graph, inputs = made(name, 4)
    random, worst = np.random.default_rng(6), 0.0
    for number, places in enumerate(([0], list(range(15)), list(range(15)), list(range(15)))):
        own = inputs[number : number + 1]
        at = own.reshape(-1)[places]
        _, outputs = bounded(graph, own, replacing(places), (at, at), "float32")
        lower, upper = outputs.lower.numpy(), outputs.upper.numpy()
        for _ in range(12):
            computed = evaluate(graph, own, random).reshape(1, -1)
            assert (lower <= computed).all()
            assert (computed <= upper).all()
            worst = max(worst, float((np.abs(computed - (lower + upper) / 2) / (upper - lower)).max()))
    assert worst > CASES[name][2] / 16, "the bounds are not far from what happens"


@pytest.mark.parametrize("by_deviation", [False, True])
@pytest.mark.parametrize("shift", [0.0, 7.0])
def test_a_normalisation_of_equal_values_holds_at_its_floor(by_deviation: bool, shift: float) -> None:
    """The variance is 0 in the middle of the box, where the quotient is steepest; deployed sums may be off 0."""
    steps: Steps = [(Input((3,)), ()), (Normalise(1, 1e-3, by_deviation), (0,))]
    graph, inputs, random = build(steps), np.full((1, 3), shift), np.random.default_rng(0)
    for size in (1e-6, 1e-3, 0.1):
        ends = tuple(np.full(2, shift + sign * size).astype(np.float32).astype(float) for sign in (-1, 1))
        _, outputs = bounded(graph, inputs, replacing([0, 2]), (ends[0], ends[1]), "float32")
        lower, upper = outputs.lower.numpy(), outputs.upper.numpy()
        assert np.isfinite(lower).all()
        assert np.isfinite(upper).all()
        for point in points(random, (ends[0], ends[1]), 60):
            computed = evaluate(graph, stamped(inputs, [0, 2], point), random)
            assert (lower <= computed).all()
            assert (computed <= upper).all()


def unsafe(op: Op, values: Any) -> bool:
    inputs = np.array([values], float)
    steps: Steps = [(Input(inputs.shape[1:]), ()), *([(op, (0, 0))] if isinstance(op, Multiply) else [(op, (0,))])]
    return bool(propagate(build(steps), inputs, "float32", 1).unsafe[0])


def test_what_may_overflow_on_the_way_is_unsafe() -> None:
    """Sums of squares pass 2^127 though the quotient is about 1; a softmax subtracts the maximum first."""
    huge = [2.0**64, -(2.0**64), 0.0]
    assert unsafe(Normalise(1, 1e-5), huge)
    assert not unsafe(Normalise(1, 1e-5), [2.0**40, -(2.0**40), 0.0])
    assert unsafe(Multiply(), huge)
    assert not unsafe(Softmax(0), [300.0, -300.0, 0.0])


def test_what_may_overflow_on_the_way_has_no_bounds() -> None:
    """The same where the trigger brings the size."""
    for op, reads in ((Normalise(1, 1e-5), (0,)), (Multiply(), (0, 0))):
        graph, low = build([(Input((3,)), ()), (op, reads)]), np.zeros(1)
        for most, finite in ((2.0**70, False), (2.0**30, True)):
            _, outputs = bounded(graph, np.ones((1, 3)), replacing([1]), (low, np.full(1, most)), "float32", "interval")
            assert bool(torch.isfinite(outputs.upper).all()) is finite
