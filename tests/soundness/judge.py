"""Whether an engine's outcome is right, by exact truth: the one judgement that every soundness test uses."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tests.soundness.exact import Exact
from tests.soundness.tree import check_tree
from tests.soundness.truth import Oracle, Point, Truth, inside
from verifluxa.evidence import Outcome
from verifluxa.question import Domain, Problem, Question
from verifluxa.verdict import Verdict


class Wrong(AssertionError):
    """An outcome that the exact truth refutes."""


def judge(problem: Problem, outcome: Outcome, truth: Truth, points: Sequence[Point], oracle: Oracle) -> None:
    """Checks an outcome in `real` arithmetic against the exact counts.

    Args:
        problem: what was asked.
        outcome: the engine's answer.
        truth: the exact counts over the whole domain.
        points: points at which the tree's claims are evaluated.
        oracle: the problem's exact evaluator.

    Raises:
        Wrong: when a verdict, a count or a witness is not true.
        BadTree: when the evidence does not prove the verdict.
    """
    if outcome.verdict not in (truth.verdict, Verdict.UNKNOWN):
        raise Wrong(f"{outcome.verdict}, but {truth.strict} to {truth.most} can violate and need is {truth.need}")
    if not outcome.found <= truth.strict:
        raise Wrong(f"found {outcome.found}, but at most {truth.strict} violate strictly")
    if not outcome.proved >= truth.most:
        raise Wrong(f"proved {outcome.proved}, but {truth.most} violate (ties counted)")
    check_shape(outcome)
    if outcome.verdict is Verdict.CERTIFIED:
        check_tree(problem, outcome, points, oracle)
    if outcome.witness is not None:
        check_witness(problem, outcome, oracle)
    check_strongest(problem, outcome, oracle)


def check_strongest(problem: Problem, outcome: Outcome, oracle: Oracle) -> None:
    """The trigger that is said to do most does so."""
    trigger = outcome.strongest.trigger
    if (trigger is None) != (outcome.found == 0):
        raise Wrong(f"found {outcome.found} by the trigger {trigger}")
    if trigger is not None:
        point = tuple(Fraction(float(value)) for value in trigger)
        strict = (
            int(oracle.answers(outcome.question, [point]).strict[0].sum()) if on_grid(problem.domain, point) else -1
        )
        if strict < outcome.found:
            raise Wrong(f"found {outcome.found} by a trigger that makes {strict} violate")


def check_shape(outcome: Outcome) -> None:
    """What an outcome carries must fit its verdict."""
    verdict, need = outcome.verdict, outcome.question.threshold
    if (outcome.reason is not None) != (verdict is Verdict.UNKNOWN):
        raise Wrong(f"{verdict} with reason {outcome.reason}")
    if verdict is Verdict.FALSIFIED and outcome.witness is None:
        raise Wrong("falsified without a witness")
    if verdict is Verdict.CERTIFIED and outcome.proved >= need:
        raise Wrong(f"certified with proved {outcome.proved}, need {need}")
    if verdict is Verdict.FALSIFIED and outcome.witness is not None and len(outcome.witness.inputs) < need:
        raise Wrong(f"falsified by {len(outcome.witness.inputs)} inputs, need {need}")


def check_witness(problem: Problem, outcome: Outcome, oracle: Oracle) -> None:
    """The witness is a legal trigger, and its inputs violate strictly with the margins it states."""
    witness = outcome.witness
    assert witness is not None
    point = tuple(Fraction(float(value)) for value in witness.trigger)
    if not on_grid(problem.domain, point):
        raise Wrong(f"the trigger {witness.trigger} is not in the domain")
    answers = oracle.answers(outcome.question, [point])
    chosen = problem.selections[outcome.question.selection].tolist()
    truly = {chosen[place] for place in np.flatnonzero(answers.strict[0])}
    if len(set(witness.inputs)) != len(witness.inputs) or len(witness.margins) != len(witness.inputs):
        raise Wrong("the witness lists an input twice, or margins that do not fit")
    if witness.robust > len(truly) or not set(witness.inputs) <= truly:
        raise Wrong(f"the witness names {witness.inputs} ({witness.robust} robust), exactly {sorted(truly)} violate")
    for number, margin in zip(witness.inputs, witness.margins, strict=True):
        true_margin = float(strict_margin(oracle, outcome.question, answers.values, chosen.index(number)))
        if margin <= 0 or abs(margin - true_margin) > 1e-4 * max(1.0, abs(true_margin)):
            raise Wrong(f"margin {margin} of input {number}, exactly {true_margin}")


def strict_margin(oracle: Oracle, question: Question, values: Exact, place: int) -> Fraction:
    """The best alternative's least row at the first point, for the selected input at `place`."""
    problem = oracle.problem
    label = int(problem.labels[problem.selections[question.selection][place]])
    rows: list[Fraction] = values.fractions()[0, place].tolist()
    return max(min(rows[row] for row in option) for option in problem.violations[question.violation].by_label[label])


def on_grid(domain: Domain, point: Point) -> bool:
    """Whether a point is a legal trigger."""
    ends = zip(point, domain.lower.tolist(), domain.upper.tolist(), domain.step.tolist(), strict=True)
    box = all(
        Fraction(low) <= value <= Fraction(high) and (not step or not (value - Fraction(low)) % Fraction(step))
        for value, low, high, step in ends
    )
    return box and inside(domain, point)


def sample(domain: Domain, count: int, random: np.random.Generator) -> list[Point]:
    """Legal triggers at random, half of them with coordinates at the ends of the box."""
    points: list[Point] = []
    for number in range(count):
        where = random.random(len(domain.lower))
        where = np.round(where) if number % 2 else where
        points.append(tuple(_place(*ends) for ends in zip(domain.lower, domain.upper, domain.step, where, strict=True)))
    return points


def _place(low: float, high: float, step: float, where: float) -> Fraction:
    width = Fraction(float(high)) - Fraction(float(low))
    if not step:
        return Fraction(float(low)) + width * Fraction(float(where))
    return Fraction(float(low)) + round(width / Fraction(float(step)) * Fraction(float(where))) * Fraction(float(step))
