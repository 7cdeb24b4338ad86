"""What is computed once of a network: what has no bounds, how many terms its sums have, what may overflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.soundness.build import replacing
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.bounds.net import load_net
from verifluxa.errors import UnsupportedError
from verifluxa.graph.graph import build, chain
from verifluxa.graph.ops import (
    Activation,
    Affine,
    Concat,
    Conv,
    Divide,
    Input,
    MaxPool,
    Op,
    Reshape,
    Scale,
    Shift,
)

Floats = NDArray[np.float64]
RELU = Activation("relu")


def test_operations_without_bounds_are_named() -> None:
    for op, name in (
        (Activation("trelu", -1.0), "trelu"),
        (Activation("celu", -1.0), "celu"),
    ):
        graph = chain((2,), [op, Affine(np.ones((1, 2), np.float32))])
        with pytest.raises(UnsupportedError, match=f"there are no bounds for the operation '{name}'") as caught:
            propagate(graph, np.zeros((1, 2)), "float32", 2)
        assert caught.value.code == "VF7001"


def test_the_verifiers_own_sums_have_fewer_terms_than_are_counted() -> None:
    """All values are counted, and for each that wins a window its players."""
    pooled = chain((1, 8), [MaxPool((3,), (1,), (1,), (1,))])
    assert propagate(pooled, np.zeros((1, 1, 8)), "real", 1).rounding.width == 32
    skip = build([(Input((4,)), ()), (Affine(np.ones((6, 4))), (0,)), (RELU, (1,)), (Concat(0), (1, 2))], "float64")
    assert propagate(skip, np.zeros((1, 4)), "real", 3).rounding.width == 28


def unsafe(*ops: Op, arithmetic: str = "float32", inputs: Floats | None = None) -> list[bool]:
    values = np.array([[1.0, 0.0]]) if inputs is None else inputs
    graph = chain((2,), list(ops))
    found: list[bool] = propagate(graph, values, arithmetic, len(ops)).unsafe.tolist()
    return found


def test_inputs_that_may_overflow_are_unsafe() -> None:
    big = Scale(np.array([2.0**126, 1.0], np.float32))
    twice = Affine(np.array([[2.0, 0.0]], np.float32))
    both = np.array([[1.0, 0.0], [2.0**-9, 0.0]])
    assert unsafe(big, twice, inputs=both) == [True, False]
    assert unsafe(big, twice, inputs=both, arithmetic="real") == [False, False]
    assert unsafe(big, twice, Scale(np.array([0.0], np.float32))) == [True], "an intermediate sum counts"


def test_numbers_that_are_none_are_unsafe() -> None:
    assert unsafe(Scale(np.array([np.nan, 1.0], np.float32))) == [True]
    assert unsafe(Affine(np.array([[1.0, np.inf]], np.float32))) == [True], "infinity times zero"
    assert unsafe(Divide(np.array([2.0**-130, 1.0], np.float32)), inputs=np.zeros((1, 2))) == [True]


def test_a_window_without_elements_is_unsafe() -> None:
    graph = chain((1, 2), [MaxPool((1,), (1,), (1,), (0,))])
    assert propagate(graph, np.zeros((1, 1, 2)), "float32", 1).unsafe.tolist() == [True]


HUGE, SMALL = np.array([2.0**121, 1.0], np.float32), np.array([2.0**-121, 1.0], np.float32)


@pytest.mark.parametrize(
    "ops",
    [
        (Scale(HUGE), Scale(SMALL)),
        (Scale(HUGE), RELU, Scale(SMALL)),
        (RELU, Scale(HUGE), Shift(np.ones(2, np.float32)), Scale(SMALL), RELU),
        (Affine(np.diag(HUGE)), Affine(np.diag(SMALL))),
        (Reshape((1, 2)), Conv(np.full((1, 1, 1), 2.0**121, np.float32), None, (1,), (0,), (0,), (1,)), Scale(SMALL)),
        (Divide(SMALL), MaxPool((2,), (1,), (1,), (0,)), Scale(SMALL)),
        (Scale(HUGE), Scale(np.zeros(2, np.float32))),
    ],
)
def test_an_overflow_under_the_trigger_alone_is_seen(ops: tuple[Op, ...]) -> None:
    """Nothing overflows on the untouched input; with the trigger a value does, and shrinks again before any layer."""
    whole = [Reshape((1, 2)), *ops] if isinstance(ops[1], MaxPool) else list(ops)
    graph = chain((2,), [*whole, Reshape((-1,))])
    constants = propagate(graph, np.zeros((1, 2)), "float32", len(graph.nodes) - 1)
    assert not constants.unsafe.any()
    net = load_net(build_chain(graph, constants, replacing([0]).stamp))

    def radius(top: float) -> torch.Tensor:
        high = torch.full((1, 1), top, dtype=torch.float64)
        shape = geometry_of(Domains(high * 0, high, high.new_zeros(0, 1), high[:, :0], high[:, :0]))
        pair = Subproblems(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long))
        return torch.stack([bounds.radius.amax() for bounds in bound_all_layers(net, shape, pair)])

    assert not np.isfinite(graph.run(np.array([[255.0, 0.0]]))).all()
    assert not (radius(255.0) < net.largest_radius).all()
    assert np.isfinite(graph.run(np.array([[1.0, 0.0]]))).all()
    assert (radius(1.0) < net.largest_radius).all()
