"""Whether an outcome in `float32` arithmetic is right: by the exact truth, the deployed run and sampled evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.soundness.floats import evaluate, stamped
from tests.soundness.judge import Wrong, check_shape, on_grid
from tests.soundness.tree import check_tree
from tests.soundness.truth import Bools, Oracle, Point, any_alternative
from verifluxa.evidence import Outcome
from verifluxa.question import Problem, Question
from verifluxa.verdict import Verdict


def judge_float32(
    problem: Problem, outcome: Outcome, points: Sequence[Point], oracle: Oracle, random: np.random.Generator
) -> None:
    """Checks an outcome about a replacing trigger.

    A certificate must hold in real arithmetic too (radii only add to it) and in sampled evaluations; a witness
    must violate strictly in the deployed run, and where it claims every order, exactly and in sampled ones.

    Raises:
        Wrong: when a verdict, a count or a witness is not true.
        BadTree: when the evidence does not prove the verdict.
    """
    check_shape(outcome)
    question = outcome.question
    if outcome.verdict is Verdict.CERTIFIED:
        check_tree(problem, outcome, points, oracle)
        seen = float_violations(problem, question, points, random)
        if seen >= question.threshold:
            raise Wrong(
                f"certified, but {seen} inputs violate in some evaluation of one trigger, need {question.threshold}"
            )
    if outcome.witness is not None:
        _check_witness(problem, outcome, oracle, random)


def _check_witness(problem: Problem, outcome: Outcome, oracle: Oracle, random: np.random.Generator) -> None:
    witness, question = outcome.witness, outcome.question
    assert witness is not None
    point = tuple(Fraction(float(value)) for value in witness.trigger)
    if not on_grid(problem.domain, point):
        raise Wrong(f"the trigger {witness.trigger} is not in the domain")
    chosen = problem.selections[question.selection]
    inputs = stamped(problem.placements[question.placement].stamp, problem.inputs[chosen], witness.trigger)
    deployed = problem.graph.run(inputs.reshape(-1, *problem.graph.input_shape))
    violated = set(chosen[violations(problem, question, deployed, 1, strict=True)[0]].tolist())
    if set(witness.inputs) != violated or len(witness.inputs) != len(violated):
        raise Wrong(f"the witness names {witness.inputs}, the deployed run has {sorted(violated)}")
    always = oracle.answers(question, [point]).strict[0]
    for _ in range(6):
        always = always & violations(problem, question, evaluate(problem.graph, inputs, random), 1, strict=True)[0]
    if witness.robust > always.sum():
        raise Wrong(f"{witness.robust} are said to violate in every order, {always.sum()} do")


def float_violations(
    problem: Problem, question: Question, points: Sequence[Point], random: np.random.Generator, orders: int = 6
) -> int:
    """The most selected inputs seen violating (ties count) at one point, each in some float32 evaluation."""
    stamp = problem.placements[question.placement].stamp
    chosen = problem.selections[question.selection]
    triggers = [np.array(point, np.float64) for point in points]
    inputs = np.concatenate([stamped(stamp, problem.inputs[chosen], trigger) for trigger in triggers])
    seen = np.zeros((len(points), len(chosen)), dtype=bool)
    for _ in range(orders):
        seen |= violations(problem, question, evaluate(problem.graph, inputs, random), len(points))
    return int(seen.sum(axis=1).max())


def violations(problem: Problem, question: Question, outputs: NDArray[Any], points: int, strict: bool = False) -> Bools:
    """Which selected inputs violate at float outputs (points * inputs, ...); ties count unless `strict`."""
    rows = (
        outputs.reshape(len(outputs), -1).astype(np.float64) @ problem.constraints.coefficients.T
        + problem.constraints.constants
    )
    closed = problem.constraints.closed & (not strict)
    met = np.where(closed, rows >= 0, rows > 0).reshape(points, -1, len(problem.constraints.constants))
    by_label = problem.violations[question.violation].by_label
    chosen = problem.selections[question.selection]
    return any_alternative(met, [by_label[int(label)] for label in problem.labels[chosen]])
