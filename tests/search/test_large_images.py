"""Perturbations of whole colour images: 3,072 values of the trigger, on networks whose worst case is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.soundness.build import Ask, Family, dense, levels, make_problem, relu
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Conv, Reshape
from verifluxa.question import AffineInputMap, Placement, Problem
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Verdict

SHAPE = (3, 32, 32)
VALUES = 3 * 32 * 32
INPUTS = 8
SIZE = 0.02


def steady(shift: float = 0.0) -> Graph:
    """Two classes, the first one shifted; the bias keeps every relu at work: the margin is linear in the image."""
    random = np.random.default_rng(5)
    weight = random.normal(size=(4, 3, 3, 3)).astype(np.float32) / 5
    bias = np.full(4, 20.0, np.float32)
    last = random.normal(size=(2, 4 * 16 * 16)) / 16
    conv = Conv(weight, bias, (2, 2), (1, 1), (0, 0), (1, 1))
    return chain(SHAPE, [conv, relu(), Reshape((-1,)), dense(last, [shift, 0.0])])


def perturbed() -> tuple[Problem, int]:
    """One perturbation of all pixels for all inputs; the most that it can change, from the weights of the margin."""
    graph = steady()
    images = np.random.default_rng(6).uniform(0.3, 0.7, (INPUTS, *SHAPE))
    outputs = graph.run(images.astype(np.float32)).astype(np.float64)
    base, zero = outputs[:, 0] - outputs[:, 1], np.zeros((1, *SHAPE), np.float32)
    nothing = graph.run(zero).astype(np.float64)[0]
    units = np.eye(VALUES, dtype=np.float32).reshape(VALUES, *SHAPE)
    reach = SIZE * float(np.abs((graph.run(units) - nothing).astype(np.float64) @ [1.0, -1.0]).sum())
    # Shifted so that two of the inputs are out of reach, all of them called class 0.
    shift = reach - np.sort(base)[-3:-1].mean()
    margins = base + shift
    assert margins.min() > 0
    count = int((margins < reach).sum())
    assert np.abs(margins - reach).min() > 1e-3
    whole = AffineInputMap(np.arange(VALUES), np.ones(VALUES), np.eye(VALUES), np.zeros(VALUES))
    family = Family((Placement((("row", 0), ("column", 0)), whole),), levels(VALUES, -SIZE, SIZE, 0.0))
    return make_problem(steady(shift), images, [0] * INPUTS, family, Ask()), count


@pytest.mark.parametrize("strategy", ["balanced", "thorough"])
def test_the_worst_perturbation_of_a_whole_colour_image_is_known_exactly(strategy: str) -> None:
    problem, count = perturbed()
    assert count == INPUTS - 2
    (question,) = problem.all_questions()
    without = load_strategy(strategy).without("attack")
    for need, verdict in ((count, Verdict.FALSIFIED), (count + 1, Verdict.CERTIFIED)):
        (outcome,) = decide(problem, [question._replace(threshold=need)], without)
        assert outcome.verdict is verdict
        assert outcome.found <= count
