"""Enumeration of small grids against trying every trigger, and exact rationals where radii leave a point open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.certificate.steps import is_unrecorded
from tests.search.small import in_float32, in_real, most, random_problem, with_need
from tests.soundness.build import Ask, levels
from tests.soundness.judge import judge
from tests.soundness.table import table
from tests.soundness.truth import Oracle
from verifluxa.evidence import Node, Outcome
from verifluxa.question import Domain, Problem, Question
from verifluxa.search.exact import may_violate
from verifluxa.search.grid import count_points, enumerate_grid
from verifluxa.search.initial_bounds import bound_root
from verifluxa.search.workspace import workspace_of
from verifluxa.stages import GridStage
from verifluxa.verdict import Reason, Verdict


def run(problem: Problem, question: Question, settings: GridStage | None = None) -> list[Outcome]:
    work = workspace_of(problem)
    return list(enumerate_grid(work, bound_root(work, [question], "interval"), settings or GridStage(), None))


def leaves(node: Node) -> list[Node]:
    return [leaf for child in node.children for leaf in leaves(child)] or [node]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ask", [Ask(), Ask(targets=(1,))])
def test_the_exact_count_is_decided(seed: int, ask: Ask) -> None:
    problem = in_real(random_problem(seed, ask))
    strict, most_ = (most(problem, with_need(problem, 1), strict) for strict in (True, False))
    oracle = Oracle(problem)
    for need, verdict in ((strict, Verdict.FALSIFIED), (most_ + 1, Verdict.CERTIFIED)):
        if need:
            question = with_need(problem, need)
            (outcome,) = run(problem, question)
            assert outcome.verdict is verdict
            judge(problem, outcome, oracle.truth(question), list(oracle.points(question)), oracle)
            assert verdict is Verdict.FALSIFIED or outcome.proved == most_


def test_a_tie_is_neither_proved_nor_refuted() -> None:
    case = table()["hat of 3 over 3.0, targeted"]
    (outcome,) = run(case.problem, case.question)
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.PRECISION)


@pytest.mark.parametrize("name", ["open rows that touch are not met", "1e+17 cancels, lead -0.0009765625, from 0"])
def test_rationals_decide_what_radii_leave_open(name: str) -> None:
    case = table()[name]
    (outcome,) = run(case.problem, case.question)
    assert outcome.verdict is Verdict.CERTIFIED
    assert outcome.tree is not None
    assert any(is_unrecorded(leaf) for leaf in leaves(outcome.tree))
    (floats,) = run(in_float32(case.problem), case.question)
    assert floats.verdict is Verdict.UNKNOWN, "rationals say nothing about float32"


def test_what_has_no_exact_form_may_violate() -> None:
    case = table()["leaky ReLU, at its peak"]
    assert may_violate(case.problem, case.question, case.problem.domain.lower, np.array([0])) == [True]


def test_large_and_continuous_domains_are_left_alone() -> None:
    problem = random_problem(0)
    question = with_need(problem, 2)
    assert run(problem, question, GridStage(points=48)) == []
    assert len(run(problem, question, GridStage(points=49))) == 1
    assert run(replace(problem, domain=levels(2, 0, 6, 0)), question) == []
    assert count_points(Domain(np.zeros(2), np.array([0.0, 6.0]), np.array([0.0, 2.0]))) == 4


def test_time_ends_it() -> None:
    problem = random_problem(1)
    (outcome,) = run(problem, with_need(problem, 2), GridStage(seconds=-1.0))
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.TIME)
    assert outcome.proved == len(problem.labels)
