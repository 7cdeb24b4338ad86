"""Radii of rows that are carried back: no error within what each operation may add moves a row further."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.bounds.test_joint_operations import some
from tests.soundness.floats import evaluate
from verifluxa.bounds.adjoint import row_radii
from verifluxa.bounds.constants import added_error, propagate
from verifluxa.certificate.check import adjoint
from verifluxa.certificate.check.network import constants_of
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import (
    Activation,
    Add,
    Affine,
    Clip,
    Concat,
    Conv,
    Divide,
    Input,
    MaxPool,
    MeanPool,
    Multiply,
    Op,
    Reshape,
    Scale,
    Shift,
    Softmax,
    Transpose,
)
from verifluxa.graph.run import RUN

SIDE, CHANNELS = 4, 2
FUNCTIONS = ("relu", "relu", "leakyrelu", "tanh", "sigmoid", "elu", "gelu", "hardswish", "softshrink", "trelu")
Floats = NDArray[np.float64]


def unary(random: np.random.Generator) -> Op:
    """An operation on pictures that keeps their shape."""
    window, ones, none = (3, 3), (1, 1), (0, 0)
    kinds: list[Op] = [
        Conv(some(random, CHANNELS, CHANNELS, *window), some(random, CHANNELS), ones, ones, ones, ones),
        MaxPool((2, 2), ones, none, ones),
        MeanPool((2, 2), ones, none, ones),
        Activation(str(random.choice(FUNCTIONS))),
        Activation("relu"),
        Clip(-0.5, 1.0),
        Shift(some(random, CHANNELS, 1, 1)),
        Scale(some(random, CHANNELS, 1, 1)),
        Divide(some(random, CHANNELS, 1, 1) + np.sign(some(random, 1))),
        Transpose((0, 2, 1)),
        Softmax(0),
    ]
    return kinds[int(random.integers(len(kinds)))]


def network(random: np.random.Generator) -> Graph:
    """A chain with branches."""
    steps: list[tuple[Op, tuple[int, ...]]] = [(Input((CHANNELS, SIDE, SIDE)), ())]
    for number in range(int(random.integers(2, 9))):
        other = int(random.integers(max(0, number - 3), number + 1))
        kind = random.integers(8)
        two: Op = Multiply() if kind == 0 else Add()
        steps.append((two, (number, other)) if kind < 2 else (unary(random), (number,)))
    last = len(steps) - 1
    steps += [(Concat(0), (last, last - 1)), (Reshape((-1,)), (last + 1,))]
    size = 2 * CHANNELS * SIDE * SIDE
    steps += [(Affine(some(random, 6, size), some(random, 6)), (last + 2,)), (Activation("relu"), (last + 3,))]
    return build([*steps, (Affine(some(random, 3, 6), None), (last + 4,))])


def disturbed(graph: Graph, inputs: Floats, errors: list[Floats]) -> Floats:
    """Values of all nodes where each operation adds an error of its own, in float64; the last one's."""
    values: list[torch.Tensor] = []
    for number, node in enumerate(graph.nodes):
        read = [values[source] for source in node.inputs]
        value = RUN[node.op.kind](node.op, *read) if read else torch.from_numpy(inputs)
        values.append(value + torch.from_numpy(errors[number].reshape(value.shape)))
    return values[-1].numpy()


def checker_radii(graph: Graph, inputs: Floats, rows: Floats) -> Floats | None:
    """Those of the independent checker; None for a network that it does not recompute."""
    constants = constants_of(graph, inputs, "float32")
    return None if constants is None else adjoint.row_radii(constants, rows)


def check(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = network(random)
    count = 3
    inputs = random.normal(size=(count, CHANNELS, SIDE, SIDE)).astype(np.float32).astype(np.float64)
    constants = propagate(graph, inputs, "float32", len(graph.nodes) - 1)
    if constants.unsafe.any():
        return
    rows = random.normal(size=(count, 4, 3)).round(2)
    radius = row_radii(graph, constants, rows)
    checked = checker_radii(graph, inputs, rows)
    if checked is not None:
        # The two count alike, so that what one can judge the other can.
        assert (checked <= 1.1 * radius).all(), seed
        assert (radius <= 1.1 * checked).all(), seed
        radius = np.minimum(radius, checked)
    exact = (rows @ constants.values[-1][..., None])[..., 0]
    most = [added_error(graph, number, constants) for number in range(len(graph.nodes))]
    for _ in range(8):
        # Errors of one sign each, so that they do not cancel by chance; jumps may add as much as they may jump.
        errors = [
            part * random.choice([-1.0, 1.0], size=part.shape if random.integers(2) else (1, part.shape[1]))
            for part in most
        ]
        for number, node in enumerate(graph.nodes):
            if node.op.kind in ("softmax", "multiply") or getattr(node.op, "function", "") == "trelu":
                errors[number] = np.zeros_like(errors[number])  # their radius has what their operands are off in it
        moved = (rows @ disturbed(graph, inputs, errors)[..., None])[..., 0]
        assert (np.abs(moved - exact) <= radius * (1 + 1e-9) + 1e-12).all(), seed
    single = inputs.astype(np.float32)
    runs = [graph.run(single)]
    if not {getattr(node.op, "function", "relu") for node in graph.nodes} - {"relu", "tanh", "sigmoid"}:
        runs.append(evaluate(graph, single, random))
    for run in runs:
        assert (np.abs((rows @ run.astype(np.float64)[..., None])[..., 0] - exact) <= radius).all(), seed


@pytest.mark.parametrize("seed", range(60))
def test_no_allowed_evaluation_is_further_off(seed: int) -> None:
    check(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(60, 3000))
def test_no_allowed_evaluation_is_further_off_long(seed: int) -> None:
    check(seed)


KINKED = [
    (Activation("relu"), 0.0),
    (Activation("leakyrelu", 0.25), 0.0),
    (Clip(-1.0, 2.0), -1.0),
    (Clip(-1.0, 2.0), 2.0),
    (Activation("hardswish"), 3.0),
    (Activation("softshrink", 0.5), 0.5),
    (Activation("trelu", 1.0), 1.0),
    (MaxPool((4,), (4,), (0,), (0,)), 0.0),
]


@pytest.mark.parametrize(("op", "kink"), KINKED, ids=lambda one: str(one) if isinstance(one, float) else one.kind)
@pytest.mark.parametrize("seed", range(8))
def test_values_that_may_lie_on_either_side_of_a_kink(op: Op, kink: float, seed: int) -> None:
    """All of them come as near to it as the errors before it are large."""
    random = np.random.default_rng(seed)
    size, first, last = 16, some(random, 16, 4), some(random, 3, 16 if op.kind != "maxpool" else 4)
    inputs = random.normal(size=(1, 4)).astype(np.float32).astype(np.float64)
    near = random.choice([-1.0, 0.0, 1.0], size) * 2.0**-22 * random.random(size)
    target = (kink + near - (first.astype(np.float64) @ inputs[0])).astype(np.float32)
    ops = [Affine(first, None), Shift(target), Reshape((1, size)), op, Reshape((-1,)), Affine(last, None)]
    graph = build([(Input((4,)), ()), *((one, (at,)) for at, one in enumerate(ops))])
    constants = propagate(graph, inputs, "float32", len(ops))
    rows = np.broadcast_to(np.eye(3), (1, 3, 3))
    radius = row_radii(graph, constants, rows)[0]
    checked = checker_radii(graph, inputs, rows)
    assert (checked is None) == (op.kind == "activation" and op.function == "trelu")
    radius = radius if checked is None else np.minimum(radius, checked[0])
    most = [added_error(graph, number, constants) for number in range(len(graph.nodes))]
    if getattr(op, "function", "") == "trelu":
        most[4] = np.zeros_like(most[4])
    for _ in range(60):
        errors = [part * random.choice([-1.0, 1.0], size=part.shape) for part in most]
        moved = disturbed(graph, inputs, errors)[0] - constants.values[-1][0]
        assert (np.abs(moved) <= radius * (1 + 1e-9) + 1e-15).all()


def test_errors_that_reach_an_output_by_two_ways_may_cancel() -> None:
    """Forward they add up: x - x is exactly 0 whatever x is off by."""
    spread = Affine(some(np.random.default_rng(1), 50, 2), None)
    back = Affine(np.ones((1, 50), np.float32), None)
    both = Affine(np.array([[1.0, -1.0]], np.float32), None)
    steps = [(Input((2,)), ()), (spread, (0,)), (back, (1,)), (Concat(0), (2, 2)), (both, (3,))]
    graph = build(steps)  # type: ignore[arg-type]
    constants = propagate(graph, np.ones((1, 2)), "float32", 4)
    (near,) = row_radii(graph, constants, np.ones((1, 1, 1)))[0]
    (forward,) = constants.radii[-1][0]
    assert near < forward / 4
    assert near >= added_error(graph, 4, constants)[0, 0]


def test_an_input_that_overflows_stays_unbounded() -> None:
    graph = build([(Input((1,)), ()), (Scale(np.array([2.0**127], np.float32)), (0,)), (Activation("relu"), (1,))])
    constants = propagate(graph, np.array([[2.0**10]]), "real", 2)
    assert row_radii(graph, constants, np.ones((1, 1, 1))).shape == (1, 1)
