"""A first step that puts variables into an input becomes a stamp: same values, same answers, a local network."""

from __future__ import annotations

import numpy as np
import pytest

from verifluxa.cli.vnncomp_command import solve
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.graph.ops import Activation, Add, Affine, Conv, Input, Op, Reshape, Shift
from verifluxa.interop.vnnlib_problem import RegionQuery, ask
from verifluxa.interop.vnnlib_read import read_vnnlib
from verifluxa.search.replay import stamped_inputs
from verifluxa.search.workspace import workspace_of
from verifluxa.verify import Request


def graph_of(seed: int, front: np.ndarray, bias: np.ndarray | None = None) -> Graph:
    """Two variables in a picture of 6 x 6, a convolution with a bend, two outputs."""
    random = np.random.default_rng(seed)
    image = random.uniform(-1, 1, 36).astype(np.float32)
    first: list[Op] = [Affine(front, image)] if bias is None else [Affine(front), Shift(bias)]
    conv = Conv(random.normal(size=(3, 1, 3, 3)).astype(np.float32), None, (1, 1), (0, 0), (0, 0), (1, 1))
    last = Affine(random.normal(size=(2, 48)).astype(np.float32), random.normal(size=2).astype(np.float32))
    return chain((2,), [*first, Reshape((1, 6, 6)), conv, Activation("relu"), Reshape((48,)), last])


def question(graph: Graph, threshold: float, arithmetic: str = "float32") -> RegionQuery:
    names = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
    box = "".join(f"(assert (>= X_{i} -1.0))(assert (<= X_{i} 2.0))" for i in range(2))
    text = f"{names}{box}(assert (>= (+ Y_0 (* -1.0 Y_1)) {threshold!r}))"
    (asked,) = ask(graph, read_vnnlib(text.encode(), "q"), arithmetic, "q")
    return asked


def patch(factor: float = 0.5) -> np.ndarray:
    weight = np.zeros((36, 2), np.float32)
    weight[7, 0], weight[8, 1] = factor, 1
    return weight


@pytest.mark.parametrize("arithmetic", ["real", "float32"])
@pytest.mark.parametrize("seed", range(3))
def test_answers_agree_with_a_grid_of_points_on_the_network_as_it_is(seed: int, arithmetic: str) -> None:
    bias = None if seed else np.linspace(-1, 1, 36).astype(np.float32)
    graph = graph_of(seed, patch(), bias)
    axis = np.linspace(-1, 2, 31)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    outputs = graph.run(points)
    best = float((outputs[:, 0] - outputs[:, 1]).max())
    words = {}
    for step in (-0.1, 0.3):
        asked = question(graph, best + step, arithmetic)
        assert asked.placed is not asked.problem
        answer = solve((asked,), Request("", strategy="balanced"), None)
        words[step] = answer.word
        if answer.point is not None:
            value = graph.run(answer.point[None])[0]
            assert value[0] - value[1] >= best + step
            np.testing.assert_array_equal(answer.outputs, value)
    assert words == {-0.1: "sat", 0.3: "unsat"}


def test_a_strategy_without_a_search_attacks_what_its_bounds_leave_open() -> None:
    assert solve((question(graph_of(1, patch()), -50.0),), Request("", strategy="quick"), None).word == "sat"


def test_the_stamp_writes_what_the_step_gives_and_the_network_is_local() -> None:
    asked = question(graph_of(1, patch()), 0.0)
    placed, tau = asked.placed, np.array([0.3, -0.7])
    shown = stamped_inputs(placed, 0, tau, np.array([0]))
    np.testing.assert_allclose(placed.graph.run(shown), asked.problem.graph.run(tau[None]), rtol=1e-5, atol=1e-5)
    assert placed.placements[0].stamp.positions.tolist() == [7, 8]
    # Of 3 x 4 x 4 values of the convolution two neighbours at (1, 1) and (1, 2) reach 2 x 3 positions.
    assert len(workspace_of(placed).net(0).layers[0].weight) == 18


@pytest.mark.parametrize("why", ["mixed", "dense", "infinite", "alone", "read twice"])
def test_other_networks_stay_as_they_are(why: str) -> None:
    weight = patch()
    if why == "mixed":
        weight[7, 1] = 1
    if why == "infinite":
        weight[7, 0] = np.inf
    graph = graph_of(1, np.ones((36, 2), np.float32) if why == "dense" else weight)
    if why == "alone":
        graph = chain((2,), [Affine(np.array([[1, 0], [0, 0]], np.float32))])
    if why == "read twice":
        graph = twice(weight)
    asked = question(graph, 0.0)
    assert asked.placed is asked.problem


def twice(weight: np.ndarray) -> Graph:
    """The step in front is read again at the end."""
    down = Affine(np.ones((2, 36), np.float32))
    return build(
        [
            (Input((2,)), ()),
            (Affine(weight), (0,)),
            (Shift(np.ones(36, np.float32)), (1,)),
            (down, (1,)),
            (down, (2,)),
            (Add(), (3, 4)),
        ]
    )


@pytest.mark.parametrize("twice", [False, True])
def test_a_product_and_its_sum_become_one_step_unless_the_product_is_read_twice(twice: bool) -> None:
    random = np.random.default_rng(4)
    weights = [random.normal(size=size).astype(np.float32) for size in ((5, 36), (5, 5), (2, 5))]
    shifts = [random.normal(size=size).astype(np.float32) for size in (5, (1,), 2)]
    steps: list[tuple[Op, tuple[int, ...]]] = [
        (Input((2,)), ()),
        (Affine(patch()), (0,)),
        (Shift(np.ones(36, "f4")), (1,)),
    ]
    for weight, shift in zip(weights, shifts, strict=True):
        at = len(steps)
        steps += [(Affine(weight), (at - 1,)), (Shift(shift), (at,))]
        if twice:
            steps.append((Add(), (at, at + 1)))
        steps.append((Activation("relu"), (len(steps) - 1,)))
    asked = question(build(steps), 0.0)
    kinds = [node.op.kind for node in asked.placed.graph.nodes]
    assert kinds == ["input", *(["affine", "shift", "add", "activation"] if twice else ["affine", "activation"]) * 3]
    tau = np.array([0.3, -0.7])
    shown = stamped_inputs(asked.placed, 0, tau, np.array([0]))
    np.testing.assert_array_equal(asked.placed.graph.run(shown), asked.problem.graph.run(tau[None]))
