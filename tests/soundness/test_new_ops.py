"""Ground truth with closed forms for products, normalisations, softmax in the middle, embeddings and S-shapes.

Each network's class 1 leads class 0 by `g(t) - threshold`, where the largest g(t) over the domain is known by
hand. Every strategy, with and without attack, gives that answer or unknown; none is wrong in either arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.soundness.build import Ask, Family, dense, digested, levels, make_problem, replacing
from tests.soundness.engine import STRATEGIES, TRICKS, answer
from tests.soundness.floats import evaluate, stamped
from verifluxa.evidence import Outcome
from verifluxa.graph.graph import build
from verifluxa.graph.ops import (
    Activation,
    Affine,
    Embedding,
    Input,
    LogSoftmax,
    MatMul,
    Multiply,
    Normalise,
    Op,
    Reshape,
    Softmax,
)
from verifluxa.question import Domain, Problem
from verifluxa.verdict import Verdict

Steps = list[tuple[Op, tuple[int, ...]]]
FEW = 300
"""Boxes that a question may cost."""
CLEAR = 0.02
"""Distance of the thresholds from the largest value: far above what float32 loses."""


def lead(steps: Steps, row: Sequence[float], threshold: float) -> Steps:
    """Two classes: 0, and `row @ values - threshold`."""
    weight = np.zeros((2, len(row)), np.float32)
    weight[1] = row
    last = len(steps) - 1
    return [*steps, (Reshape((-1,)), (last,)), (Affine(weight, np.array([0, -threshold], np.float32)), (last + 1,))]


def affine(weight: Any, bias: Any = None) -> Affine:
    return dense(weight, bias)


def parabola() -> Steps:
    """t (1 - t): at most 1/4, at t = 1/2."""
    return [(Input((1,)), ()), (affine([[-1.0]], [1.0]), (0,)), (Multiply(), (0, 1))]


def square() -> Steps:
    """-(t - 1)^2 + 1: at most 1."""
    return [(Input((1,)), ()), (affine([[1.0]], [-1.0]), (0,)), (Multiply(), (1, 1)), (affine([[-1.0]], [1.0]), (2,))]


def saddle() -> Steps:
    """t_1 t_2, on a square around 0: at most at two opposite corners."""
    return [
        (Input((2,)), ()),
        (affine([[1.0, 0.0]]), (0,)),
        (affine([[0.0, 1.0]]), (0,)),
        (Multiply(), (1, 2)),
    ]


def gram() -> Steps:
    """The product of (t, 1) with its own column: t^2 + 1 at most."""
    return [
        (Input((2,)), ()),
        (Reshape((1, 2)), (0,)),
        (Reshape((2, 1)), (0,)),
        (MatMul(), (1, 2)),
    ]


def normal(by_deviation: bool) -> Steps:
    """Of (t, 0, 0) with t > 0: 2/3 t over the root of 2/9 t^2 + 1/4 (of the deviation, plus 1/4)."""
    return [(Input((3,)), ()), (Normalise(1, 0.25, by_deviation), (0,))]


def middle(op: type[Softmax | LogSoftmax]) -> Steps:
    """Of (t, 0, 1): grows with t."""
    return [(Input((3,)), ()), (op(0), (0,)), (affine(np.eye(3)), (1,))]


def hill(function: str) -> Steps:
    """f(t) - f(t - 2): highest at t = 1."""
    return [(Input((1,)), ()), (affine([[1.0], [1.0]], [0.0, -2.0]), (0,)), (Activation(function), (1,))]


TABLE = np.array([[0.5], [-1.0], [3.0], [0.25], [2.0]], np.float32)


def words() -> Steps:
    """A row for each of five words, the third one highest; and the same beside it."""
    return [(Input((2,)), ()), (Embedding(TABLE), (0,)), (Reshape((2,)), (1,))]


def _normal(t: float, by_deviation: bool) -> float:
    deviation = math.sqrt(2 / 9) * t
    return 2 / 3 * t / (deviation + 0.25 if by_deviation else math.hypot(deviation, 0.5))


def _sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


ONE = levels(1, 0, 1, 1 / 16)
PEAK = math.exp(2) / (math.exp(2) + 1 + math.e)
CASES: dict[str, tuple[Steps, list[float], Domain, list[int], list[float], float]] = {
    "parabola": (parabola(), [1], ONE, [0], [0], 0.25),
    "parabola, continuous": (parabola(), [1], levels(1, 0, 1, 0), [0], [0], 0.25),
    "square": (square(), [1], levels(1, -3, 3, 0.5), [0], [0], 1.0),
    "square, off its top": (square(), [1], levels(1, -3, 0, 0.5), [0], [0], 0.0),
    "saddle": (saddle(), [1], levels(2, -2, 2, 0.25), [0, 1], [0, 0], 4.0),
    "saddle with a constant": (saddle(), [1], levels(1, -2, 3, 0.25), [0], [0, 1.5], 4.5),
    "gram": (gram(), [1], levels(1, -2, 1, 0.25), [0], [0, 1], 5.0),
    "layer norm": (normal(False), [1, 0, 0], levels(1, 0, 4, 0.25), [0], [0, 0, 0], _normal(4, False)),
    "layer norm by deviation": (normal(True), [1, 0, 0], levels(1, 0, 4, 0.25), [0], [0, 0, 0], _normal(4, True)),
    "layer norm of the others": (normal(False), [0, -1, -1], levels(1, 0, 4, 0.25), [0], [0, 0, 0], _normal(4, False)),
    "softmax": (middle(Softmax), [1, 0, 0], levels(1, -2, 2, 0.25), [0], [0, 0, 1], PEAK),
    "softmax of another": (middle(Softmax), [0, -1, 0], levels(1, -2, 2, 0.25), [0], [0, 0, 1], -PEAK / math.exp(2)),
    "logarithm": (middle(LogSoftmax), [1, 0, 0], levels(1, -2, 2, 0.25), [0], [0, 0, 1], math.log(PEAK)),
    "hill of tanh": (hill("tanh"), [1, -1], levels(1, -3, 4, 0.25), [0], [0], 2 * math.tanh(1)),
    "hill of sigmoid": (hill("sigmoid"), [1, -1], levels(1, -3, 4, 0.25), [0], [0], 2 * _sigmoid(1) - 1),
    "words": (words(), [1, 1], levels(1, 0, 4), [0], [0, 3], 3.25),
    "words, two": (words(), [1, 1], levels(2, 0, 4), [0, 1], [0, 3], 6.0),
    "words, the last two": (words(), [1, 0], levels(1, 3, 4), [0], [0, 3], 2.0),
}


def build_problem(name: str, offset: float, arithmetic: str) -> Problem:
    """A threshold `offset` above the largest value."""
    steps, row, domain, positions, values, top = CASES[name]
    graph = build(lead(steps, row, top + offset))
    ask = Ask(targets=(1,), arithmetic=arithmetic)
    return make_problem(graph, [values], [0], Family((replacing(positions),), domain), ask)


def decided(problem: Problem, how: str) -> Outcome:
    (question,) = problem.all_questions()
    return answer(problem, question, how, FEW)


def violates(problem: Problem, trigger: Any, random: np.random.Generator) -> bool:
    """Whether a trigger violates strictly in the deployed run and in sampled evaluations."""
    inputs = stamped(problem.placements[0].stamp, problem.inputs, trigger).reshape(problem.inputs.shape)
    runs = [problem.graph.run(inputs), *(evaluate(problem.graph, inputs, random) for _ in range(4))]
    return all(bool((outputs[:, 1] > outputs[:, 0]).all()) for outputs in runs)


@pytest.mark.parametrize("name", CASES)
def test_the_closed_forms_are_right(name: str) -> None:
    """The test of the test: the network reaches its largest value, and no sampled trigger more."""
    domain = CASES[name][2]
    problem, random = build_problem(name, 0.0, "float32"), np.random.default_rng(0)
    axes = [
        np.linspace(a, b, 5 if name.startswith("words") else 57)
        for a, b in zip(domain.lower, domain.upper, strict=True)
    ]
    if name == "words, the last two":
        axes = [np.array([3.0, 4.0])]
    best = -math.inf
    for trigger in np.stack(np.meshgrid(*axes), -1).reshape(-1, len(axes)):
        inputs = stamped(problem.placements[0].stamp, problem.inputs, trigger).reshape(problem.inputs.shape)
        best = max(best, float(evaluate(problem.graph, inputs, random)[0, 1]))
    assert best == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", ["balanced", "balanced without attack"])
def test_balanced_certifies_what_is_true(name: str, how: str) -> None:
    for arithmetic in ("float32", "real"):
        assert decided(build_problem(name, CLEAR, arithmetic), how).verdict is Verdict.CERTIFIED


@pytest.mark.parametrize("name", CASES)
def test_balanced_finds_what_is_false(name: str) -> None:
    problem = build_problem(name, -CLEAR, "float32")
    outcome = decided(problem, "balanced")
    assert outcome.verdict is Verdict.FALSIFIED
    assert outcome.witness is not None
    assert violates(problem, outcome.witness.trigger, np.random.default_rng(1))


RATIONAL = ["parabola", "square", "saddle", "saddle with a constant", "gram", "words", "words, two"]


@pytest.mark.parametrize("name", RATIONAL)
def test_what_is_rational_is_refuted_in_real_arithmetic_too(name: str) -> None:
    outcome = decided(build_problem(name, -CLEAR, "real"), "balanced")
    assert outcome.verdict is Verdict.FALSIFIED
    assert outcome.witness is not None
    assert violates(build_problem(name, -CLEAR, "float32"), outcome.witness.trigger, np.random.default_rng(1))


def check(name: str, how: str, arithmetic: str) -> None:
    """Above the largest value nothing is falsified, below it and at it nothing certified."""
    assert decided(build_problem(name, CLEAR, arithmetic), how).verdict is not Verdict.FALSIFIED
    assert decided(build_problem(name, -CLEAR, arithmetic), how).verdict is not Verdict.CERTIFIED
    close = build_problem(name, -1e-6, arithmetic)
    assert decided(close, how).verdict is not Verdict.CERTIFIED


OTHERS = [*(how for how in STRATEGIES if not how.startswith("balanced")), *TRICKS]


@pytest.mark.parametrize(("name", "how"), [(name, OTHERS[k % len(OTHERS)]) for k, name in enumerate(CASES)])
@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_other_strategies_are_never_wrong(name: str, how: str, arithmetic: str) -> None:
    """One of them for each case; the soak runs all."""
    check(name, how, arithmetic)


@pytest.mark.soak
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("how", [*STRATEGIES, *TRICKS])
@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_all_strategies_are_never_wrong(name: str, how: str, arithmetic: str) -> None:
    check(name, how, arithmetic)


def test_a_large_epsilon_error_is_no_certificate() -> None:
    """2^24 + 1 - 2^24 before a normalisation: the deployed value is 0 or 1, so float32 may not decide."""
    big = float(2**24)
    steps: Steps = [
        (Input((3,)), ()),
        (affine([[1.0, 1.0, -1.0], [0.0, 0.0, 0.0]]), (0,)),
        (Normalise(1, 1e-5), (1,)),
    ]
    graph = build(lead(steps, [1.0, 0.0], 0.5))
    ask = Ask(targets=(1,), arithmetic="float32")
    problem = make_problem(graph, [[0, big, big]], [0], Family((replacing([0]),), levels(1, 0, 1)), ask)
    (question,) = problem.all_questions()
    assert answer(problem, question, "balanced without attack", FEW).verdict is not Verdict.CERTIFIED
    tame = digested(replace(problem, inputs=np.array([[0.0, 0.0, 2.0]])))
    assert answer(tame, question, "balanced without attack", FEW).verdict is Verdict.CERTIFIED
