"""What a case of the ground-truth table is, and the networks with closed forms that many cases use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from tests.soundness.build import Ask, Family, levels, make_problem, mlp, replacing
from tests.soundness.truth import Oracle
from verifluxa.graph.graph import Graph
from verifluxa.question import Domain, Problem, Question
from verifluxa.verdict import Verdict

CERTIFIED, FALSIFIED, TIE = Verdict.CERTIFIED, Verdict.FALSIFIED, Verdict.UNKNOWN


@dataclass(frozen=True, eq=False)
class Case:
    """One question whose answer is known.

    Attributes:
        verdict: the right answer in real arithmetic; `unknown` where a tie leaves room for neither.
        float32: the verdicts that are right in float32.
        decidable: whether the strategy `balanced` has to find the answer.
        enumerable: whether `truth.Oracle` can enumerate the domain.
    """

    name: str
    problem: Problem
    question: Question
    verdict: Verdict
    float32: frozenset[Verdict]
    decidable: bool = True
    enumerable: bool = True


def case(name: str, problem: Problem, verdict: Verdict, *, number: int = 0, decidable: bool = True) -> Case:
    """A case about one question of a problem, whose float32 answer is the real one or unknown."""
    question = list(problem.all_questions())[number]
    allowed = frozenset({verdict, Verdict.UNKNOWN})
    return Case(name, problem, question, verdict, allowed, decidable and verdict is not TIE)


def only_in_real(found: Case) -> Case:
    """The same case where float32 evaluations may differ, so that neither answer is right there."""
    return replace(found, float32=frozenset({Verdict.UNKNOWN}))


def one_pixel(graph: Graph, domain: Domain, *, target: int | None = 1, values: Sequence[float] = (0.0,)) -> Problem:
    """One input of label 0 whose pixel 0 is the trigger."""
    ask = Ask(targets=() if target is None else (target,))
    return make_problem(graph, [list(values)], [0], Family((replacing([0]),), domain), ask)


def hat(centre: float, width: float, threshold: float, scale: float = 1.0) -> Graph:
    """Class 1 leads class 0 by `scale * (hat(t) - threshold)`, with `hat(t) = max(0, width - |t - centre|)`."""
    first = ([[1.0], [1.0], [1.0]], [width - centre, -centre, -width - centre])
    second = ([[0.0, 0.0, 0.0], [scale, -2.0 * scale, scale]], [0.0, -threshold * scale])
    return mlp((1, 1, 1), first, second)


def line(factor: float, bias: float) -> Graph:
    """Class 1 leads class 0 by `factor * t + bias`."""
    return mlp((1, 1, 1), ([[0.0], [factor]], [0.0, bias]))


def diamonds(size: int) -> Graph:
    """Inputs (t_1..t_d, a_1..a_d, r): class 1 leads class 0 by `r - sum |t_k - a_k|`."""
    first = np.zeros((2 * size + 2, 2 * size + 1))
    for k in range(size):
        first[2 * k, k], first[2 * k, size + k] = 1.0, -1.0
        first[2 * k + 1, k], first[2 * k + 1, size + k] = -1.0, 1.0
    first[-2, -1], first[-1, -1] = 1.0, -1.0
    second = np.zeros((2, 2 * size + 2))
    second[1] = [-1.0] * (2 * size) + [1.0, -1.0]
    return mlp((1, 1, 2 * size + 1), (first, None), (second, None))


def diamond_problem(domain: Domain, shapes: Sequence[Sequence[float]], ask: Ask, labels: Sequence[int] = ()) -> Problem:
    """One input for each `(a_1, .., a_d, r)`: it violates where `sum |t_k - a_k| < r`, ties at equality."""
    size = len(domain.lower)
    inputs = [[0.0] * size + list(shape) for shape in shapes]
    family = Family((replacing(range(size)),), domain)
    return make_problem(diamonds(size), inputs, labels or [0] * len(inputs), family, ask)


def aimed(need: int = 1, limit: Fraction | None = None) -> Ask:
    """Target 1 with a need, or with an exact rate."""
    return Ask(targets=(1,), need=need, limit=limit)


def around_peak(name: str, make: Callable[[float], Problem]) -> list[Case]:
    """Three cases from a problem with one input and a threshold: below, at and above the exact peak of its lead."""
    problem = make(0.0)
    peak = max(_leads(problem))
    cases = [
        (".5 below", peak - Fraction(1, 2), FALSIFIED),
        ("at", peak, TIE),
        (".5 above", peak + Fraction(1, 2), CERTIFIED),
    ]
    return [case(f"{name}, {where} its peak", make(float(threshold)), verdict) for where, threshold, verdict in cases]


def _leads(problem: Problem) -> list[Fraction]:
    """How far the one alternative's least row is from 0 at every grid point, for a problem with one input."""
    oracle, question = Oracle(problem), next(problem.all_questions())
    answers = oracle.answers(question, list(oracle.points(question)))
    (option,) = problem.violations[0].by_label[int(problem.labels[0])]
    return [min(row[list(option)]) for row in answers.values.fractions()[:, 0]]


def around_count(name: str, problem: Problem, number: int = 0) -> list[Case]:
    """Cases at the exact counts: one more than can violate, as many as violate strictly, and the tie between."""
    question = list(problem.all_questions())[number]
    truth = Oracle(problem).truth(question)

    def at(need: int, verdict: Verdict) -> Case:
        found = case(f"{name}, need {need}", problem, verdict, number=number)
        return replace(found, question=question._replace(threshold=need))

    cases = [at(truth.most + 1, CERTIFIED)]
    cases += [at(truth.strict, FALSIFIED)] if truth.strict else []
    return cases + ([at(truth.most, TIE)] if truth.most > truth.strict else [])


def square(size: int, high: float) -> Domain:
    """Integer levels 0..high in every coordinate."""
    return levels(size, 0, high)
