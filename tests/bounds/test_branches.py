"""Residual and parallel branches: the chain carries them, and its bounds hold for what the graph computes."""

import numpy as np
import pytest
import torch

from verifluxa.bounds.build import build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers, evaluate_net
from verifluxa.bounds.net import load_net
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import Activation, Add, Affine, Concat, Conv, Divide, Input, MaxPool, Reshape, Shift
from verifluxa.question import AffineInputMap

INPUTS = 4


def branched() -> Graph:
    """A skip connection, a concatenation with the input, a max pool behind both, a branch used twice."""
    rng = np.random.default_rng(3)

    def some(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def conv(outputs: int, inputs: int) -> Conv:
        return Conv(some(outputs, inputs, 3, 3), some(outputs), (1, 1), (1, 1), (1, 1), (1, 1))

    return build(
        [
            (Input((1, 6, 6)), ()),
            (Divide(np.full((), 255, np.float32)), (0,)),
            (conv(3, 1), (1,)),
            (Activation("relu"), (2,)),
            (conv(3, 3), (3,)),
            (Activation("relu"), (4,)),
            (Add(), (5, 3)),
            (Concat(0), (6, 1)),
            (MaxPool((2, 2), (2, 2), (0, 0), (0, 0)), (7,)),
            (Concat(0), (8, 8)),
            (Reshape((-1,)), (9,)),
            (Affine(some(5, 72), some(5)), (10,)),
            (Activation("tanh"), (11,)),
            (Affine(some(3, 5), some(3)), (12,)),
            (Shift(some(3)), (13,)),
            (Add(), (13, 14, 14)),
        ]
    )


@pytest.mark.parametrize("positions", [[0, 1, 6, 7], [14, 15], [35]])
@pytest.mark.parametrize("arithmetic", ["real", "float32"])
def test_the_chain_and_its_bounds_agree_with_the_graph(positions: list[int], arithmetic: str) -> None:
    graph, rng = branched(), np.random.default_rng(7)
    inputs = rng.integers(0, 256, (INPUTS, 1, 6, 6)).astype(float)
    size = len(positions)
    stamp = AffineInputMap(np.array(positions), np.zeros(size), np.eye(size), np.zeros(size))
    constants = propagate(graph, inputs, arithmetic, len(graph.nodes) - 1)
    net = load_net(build_chain(graph, constants, stamp))
    low = torch.zeros(1, size, dtype=torch.float64)
    none = low.new_zeros(1, 0)
    shape = geometry_of(Domains(low, low + 255, low.new_zeros(0, size), none, none))
    index = torch.arange(INPUTS)
    outputs = bound_all_layers(net, shape, Subproblems(torch.zeros_like(index), index))[-1]
    lower, upper, radius = outputs.lower.numpy(), outputs.upper.numpy(), outputs.radius.numpy()
    for trigger in rng.integers(0, 256, (60, size)).astype(float):
        stamped = inputs.reshape(INPUTS, -1).copy()
        stamped[:, positions] = trigger
        computed = graph.run(stamped.reshape(inputs.shape)).astype(float)
        center = evaluate_net(net, torch.tensor(trigger).expand(INPUTS, -1), index).numpy()
        spare = 1e-3 if arithmetic == "real" else 0.0
        assert (np.abs(center - computed) <= 1e-3 + radius).all()
        assert (lower - spare <= computed).all()
        assert (computed <= upper + spare).all()


def test_an_add_of_a_value_with_itself_counts_twice() -> None:
    graph = build([(Input((2,)), ()), (Add(), (0, 0)), (Concat(0), (1, 0))])
    inputs = np.array([[1.0, 10.0]])
    constants = propagate(graph, inputs, "real", 2)
    stamp = AffineInputMap(np.array([1]), np.zeros(1), np.eye(1), np.zeros(1))
    net = load_net(build_chain(graph, constants, stamp))
    result = evaluate_net(net, torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([0]))
    assert result.tolist() == [[2.0, 6.0, 1.0, 3.0]]


def test_one_value_that_is_not_reached_is_its_constant() -> None:
    """The matrix of a reshape of one value is full; a trigger that does not reach it leaves it what it was."""
    first_row = MaxPool((1, 2), (2, 2), (0, 0), (0, 0))
    affine = Affine(np.array([[2.0], [-1.0]], np.float32), np.array([0.5, 0.0], np.float32))
    graph = build([(Input((1, 2, 2)), ()), (first_row, (0,)), (Reshape((-1,)), (1,)), (affine, (2,))])
    inputs = np.array([[[[3.0, 1.0], [0.0, 0.0]]]])
    constants = propagate(graph, inputs, "real", 3)
    stamp = AffineInputMap(np.array([2, 3]), np.zeros(2), np.eye(2), np.zeros(2))
    net = load_net(build_chain(graph, constants, stamp))
    result = evaluate_net(net, torch.tensor([[7.0, 8.0]], dtype=torch.float64), torch.tensor([0]))
    assert result.tolist() == [[6.5, -3.0]]
