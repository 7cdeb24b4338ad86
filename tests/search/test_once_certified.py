"""Networks that deceived an earlier version: each really violates in a deployment that the arithmetic allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.soundness.build import Ask, Family, dense, digested, levels, make_problem, relu, replacing
from verifluxa.errors import UnsupportedError
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Clip, Op, Scale, Shift
from verifluxa.question import Problem
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Reason, Verdict


def build_problem(graph: Graph, label: int, low: float = 0.0, arithmetic: str = "float32") -> Problem:
    """One input of zeros whose first value the trigger sets."""
    family = Family((replacing([0]),), levels(1, low, 255))
    start = np.zeros((1, *graph.input_shape))
    start.reshape(1, -1)[0, 0] = low
    return make_problem(graph, start, [label], family, Ask(arithmetic=arithmetic))


def answer(problem: Problem, name: str = "balanced") -> tuple[Verdict, Reason | None]:
    """With the attack off: what the proof alone says."""
    (outcome,) = decide(problem, problem.questions(0), load_strategy(name).without("attack"))
    return outcome.verdict, outcome.reason


def scaled(*factors: float) -> Scale:
    return Scale(np.array(factors, np.float32))


OVERFLOWS: dict[str, tuple[Op, ...]] = {
    "between two scales": (scaled(2.0**121, 1), scaled(2.0**-121, 1), Shift(np.array([0, 1000], np.float32))),
    "in front of a relu": (scaled(2.0**121, 1), relu(), scaled(2.0**-121, 1), Shift(np.array([0, 1000], np.float32))),
    "behind a zero weight": (
        scaled(2.0**121, 1),
        Affine(np.diag([0.0, 1.0]).astype(np.float32), np.array([0, 9], np.float32)),
    ),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_a_value_that_overflows_and_shrinks_again(name: str) -> None:
    """Exactly, class 1 is ahead by far; deployed, the trigger makes an infinity or no number of an output."""
    graph = chain((2,), OVERFLOWS[name])
    outputs = graph.run(np.array([[255.0, 0.0]]))[0]
    assert not outputs[1] > outputs[0], "the deployed network does not answer 1"
    assert graph.run(np.array([[1.0, 0.0]]))[0].argmax() == 1
    assert answer(build_problem(graph, 1))[0] is Verdict.UNKNOWN
    assert answer(build_problem(graph, 1, arithmetic="real"))[0] is Verdict.CERTIFIED, "the test's own test"


def test_a_weight_that_a_processor_flushes() -> None:
    """2^100 tau, times 2^-127, times 2^27 is tau; where subnormal weights count as zero it is 0."""
    ops = (
        scaled(2.0**100, 1),
        scaled(2.0**-127, 1),
        dense([[-(2.0**27), 0.0], [0.0, 0.0]], [130.0, 20.0]),
        relu(),
    )
    graph = chain((2,), ops)
    image = np.array([[200.0, 0.0]])
    assert graph.run(image)[0].argmax() == 1
    if torch.set_flush_denormal(True):
        try:
            assert graph.run(image)[0].argmax() == 0, "a deployment that flushes answers 0"
        finally:
            torch.set_flush_denormal(False)
    assert answer(build_problem(graph, 1, low=200.0))[0] is Verdict.UNKNOWN
    assert answer(build_problem(graph, 1, low=200.0, arithmetic="real"))[0] is Verdict.CERTIFIED


def test_a_leaky_relu_that_is_steeper_below_zero() -> None:
    """leakyrelu(z, 2) is not max(z, 2 z): for z < 0 it is 2 z, and the chord over [-127, 128] lies below it at 0."""
    steep = (dense([[1.0], [1.0]], [-127.0, 300.0]), Activation("leakyrelu", 2.0))
    graph = chain((1,), (*steep, dense([[1.0, -1.5], [0.0, 0.0]], [700.0, 0.0])))
    assert graph.run(np.array([[127.0]]))[0].argmax() == 0
    assert answer(build_problem(graph, 1))[0] is Verdict.FALSIFIED
    assert answer(build_problem(graph, 1), "quick")[0] is not Verdict.CERTIFIED
    usual = chain((1,), (steep[0], Activation("leakyrelu", 0.5), dense([[1.0, -1.5], [0.0, 0.0]], [0.0, 0.0])))
    assert answer(build_problem(usual, 1))[0] is Verdict.CERTIFIED


def test_a_clip_at_an_end_that_float32_rounds() -> None:
    graph = chain((1,), (Clip(0.0, 0.1), dense([[1.0], [0.0]], [0.0, 1.0])))
    assert answer(build_problem(graph, 1)) == (Verdict.UNKNOWN, Reason.UNSUPPORTED)


def test_exact_arithmetic_does_not_answer_for_float32() -> None:
    """The same problem in two arithmetics, one after the other: they share arrays, and must not share bounds."""
    graph = chain(
        (1,), (dense([[2.0**24], [0.0]], [1.0, 0.0]), dense([[1.0, 0.0], [0.0, 1.0]], [-(2.0**24) * 255, 0.25]))
    )
    real = build_problem(graph, 0, low=255.0, arithmetic="real")
    assert answer(real)[0] is Verdict.CERTIFIED, "the 1 is there"
    assert answer(digested(replace(real, arithmetic="float32")))[0] is not Verdict.CERTIFIED, "float32 loses it"
    assert answer(real)[0] is Verdict.CERTIFIED


def test_other_labels_are_another_problem() -> None:
    graph = chain((1,), (dense([[0.0], [0.0]], [1.0, 0.0]),))
    right = build_problem(graph, 0)
    assert answer(right)[0] is Verdict.CERTIFIED
    wrong = digested(replace(right, labels=np.array([1])))
    assert answer(wrong)[0] is not Verdict.CERTIFIED
    assert answer(right)[0] is Verdict.CERTIFIED


def test_an_operation_without_bounds_is_no_crash() -> None:
    graph = chain((1,), (Activation("trelu", -0.5), dense([[0.0], [0.0]], [1.0, 0.0])))
    for name in ("balanced", "quick"):
        assert answer(build_problem(graph, 0), name) == (Verdict.UNKNOWN, Reason.UNSUPPORTED)
    assert issubclass(UnsupportedError, Exception)
