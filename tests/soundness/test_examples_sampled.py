"""The examples' proofs in float32 against sampled triggers: sums are taken in shuffled orders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.soundness.climb import CLEARLY
from tests.soundness.engine import answer
from tests.soundness.floats import evaluate, stamped
from tests.soundness.test_attack_off import digits
from verifluxa.question import Problem, Question
from verifluxa.verdict import Verdict

MODELS = ("clean.jld2", "badnets.jld2", "clean_cnn.jld2", "badnets_cnn.jld2")
AT_ONCE = 25
"""Triggers that are evaluated in one order of summation; the next ones get another."""
ONE_IN = 8
"""Evaluations that are repeated in another order although the deployed one is clear."""


@dataclass(frozen=True)
class Sampling:
    """How many placements, and how many triggers at each."""

    placements: int
    triggers: int


def triggers(problem: Problem, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Levels at random, corners of the box, and the white and the black square."""
    domain = problem.domain
    shape = (count, len(domain.lower))
    anywhere = random.integers(domain.lower, domain.upper + 1, shape).astype(np.float64)
    corners = np.where(random.random(shape) < 0.5, domain.lower, domain.upper)
    chosen = np.where(random.random((count, 1)) < 0.5, anywhere, corners)
    chosen[0], chosen[1] = domain.lower, domain.upper
    return chosen


def outputs_of(problem: Problem, inputs: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float64]:
    """The outputs of the deployed run, in an order of their own where order could turn a row, and elsewhere at random.

    Another order moves no row by a tenth of what counts as clear, so it turns none of those that are left out.
    """
    outputs = problem.graph.run(inputs.reshape(-1, *problem.graph.input_shape)).astype(np.float64)
    rows = outputs @ problem.constraints.coefficients.T
    close = (np.abs(rows) < CLEARLY).any(axis=1) | (random.integers(ONE_IN, size=len(rows)) == 0)
    outputs[close] = evaluate(problem.graph, inputs[close], random)
    assert np.abs(outputs @ problem.constraints.coefficients.T - rows).max() < CLEARLY / 10
    return outputs


def violating(problem: Problem, question: Question, outputs: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many selected inputs violate for each trigger; a tie counts. Outputs of shape (triggers, N, classes)."""
    rows = problem.constraints
    met = np.where(rows.closed, outputs @ rows.coefficients.T >= 0, outputs @ rows.coefficients.T > 0)
    by_label, total = problem.violations[question.violation].by_label, np.zeros(len(outputs), dtype=np.int64)
    for index in problem.selections[question.selection]:
        alternatives = by_label[int(problem.labels[index])]
        total += np.any([met[:, index, list(item)].all(axis=1) for item in alternatives], axis=0)
    return total


def check(model: str, sampling: Sampling) -> None:
    problem, random = digits(model, "float32"), np.random.default_rng(3)
    assert problem.readout == -1
    certified = 0
    for place in random.choice(len(problem.placements), sampling.placements, replace=False):
        proofs = [
            answer(problem, question, "balanced without attack", 60) for question in problem.questions(int(place))
        ]
        proofs = [proof for proof in proofs if proof.verdict is Verdict.CERTIFIED]
        certified += len(proofs)
        chosen = triggers(problem, sampling.triggers, random)
        stamp = problem.placements[place].stamp
        for at in range(0, len(chosen), AT_ONCE):
            inputs = np.concatenate([stamped(stamp, problem.inputs, tau) for tau in chosen[at : at + AT_ONCE]])
            outputs = outputs_of(problem, inputs, random)
            outputs = outputs.reshape(-1, len(problem.inputs), outputs.shape[-1])
            for proof in proofs:
                assert violating(problem, proof.question, outputs).max() <= proof.proved
    assert certified


def test_a_few_triggers() -> None:
    check("clean.jld2", Sampling(2, 10))


@pytest.mark.soak
@pytest.mark.parametrize("model", MODELS)
def test_ten_thousand_triggers(model: str) -> None:
    check(model, Sampling(50, 200))
