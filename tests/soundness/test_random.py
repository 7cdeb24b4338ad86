"""Random small networks against exact enumeration, with needs at the exact count, where every question is hardest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.soundness.build import digested
from tests.soundness.engine import CONFLICTS, STRATEGIES, TRICKS, answer, strategy
from tests.soundness.judge import judge
from tests.soundness.judge_floats import judge_float32
from tests.soundness.networks import crowds, hardest, problems
from tests.soundness.parts import explore, in_parts
from tests.soundness.truth import Oracle
from verifluxa.question import Problem
from verifluxa.strategy.decide import decide
from verifluxa.verdict import Verdict

SHIFTS = st.integers(0, 1)
CROWD_STRATEGIES = st.sampled_from(["quick without attack", "balanced", "balanced without attack"])
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
LITTLE = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=SLOW)
FEW = 300
"""Boxes that a question may cost."""


def decidable(problem: Problem) -> bool:
    """Whether enumeration by bounds must succeed: a grid, and no open row that would have to be seen to touch 0."""
    return bool((problem.domain.step > 0).all()) and bool(problem.constraints.closed.all())


def check(problem: Problem, shift: int, names: tuple[str, ...]) -> None:
    """One question of a random problem through some strategies, in real arithmetic."""
    question, truth = hardest(problem, shift)
    oracle = Oracle(problem)
    points = list(oracle.points(question))
    for name in names:
        outcome = answer(problem, question, name, FEW)
        judge(problem, outcome, truth, points, oracle)
        assert name != "attack-only" or outcome.verdict is not Verdict.CERTIFIED
        if name == "balanced" and decidable(problem):
            assert outcome.verdict is truth.verdict, "balanced must decide a grid that can be enumerated"


def check_all(problem: Problem, shift: int) -> None:
    """The same through all of them."""
    check(problem, shift, (*STRATEGIES, *TRICKS))


def check_floats(problem: Problem, shift: int) -> None:
    """The same in float32."""
    question, _ = hardest(problem, shift)
    problem = digested(replace(problem, arithmetic="float32"))
    oracle = Oracle(problem)
    points = list(oracle.points(question))
    for name in ("balanced", "every trick", CONFLICTS):
        judge_float32(problem, answer(problem, question, name, FEW), points, oracle, np.random.default_rng(0))


@LITTLE
@given(problems(), SHIFTS)
def test_balanced_agrees_with_enumeration(problem: Problem, shift: int) -> None:
    check(problem, shift, ("balanced", "balanced without attack", CONFLICTS))


@LITTLE
@given(problems(), SHIFTS)
def test_other_strategies_agree_with_enumeration(problem: Problem, shift: int) -> None:
    check(problem, shift, ("quick", "quick without attack", "attack-only", *TRICKS))


@LITTLE
@given(problems(), SHIFTS)
def test_float32_agrees_with_enumeration(problem: Problem, shift: int) -> None:
    check_floats(problem, shift)


def check_crowd(problem: Problem, name: str) -> None:
    """All questions of a problem at once, in an order of their own, each against its own truth."""
    questions = list(problem.all_questions())
    order = np.random.default_rng(len(questions)).permutation(len(questions))
    asked = [questions[k] for k in order]
    oracle = Oracle(problem)
    for question, outcome in zip(asked, decide(problem, asked, strategy(name, FEW)), strict=True):
        assert outcome.question == question
        truth = oracle.truth(question)
        judge(problem, outcome, truth, list(oracle.points(question)), oracle)
        assert name == "quick without attack" or outcome.verdict is truth.verdict


@LITTLE
@given(crowds(), CROWD_STRATEGIES)
def test_questions_that_share_bounds_agree_with_enumeration(problem: Problem, name: str) -> None:
    check_crowd(problem, name)


@pytest.mark.soak
@in_parts
def test_two_thousand_crowds_agree_with_enumeration(part: int) -> None:
    explore(part, check_crowd, crowds(), CROWD_STRATEGIES)


@pytest.mark.soak
@in_parts
def test_two_thousand_agree_with_enumeration(part: int) -> None:
    explore(part, check_all, problems(), SHIFTS)


@pytest.mark.soak
@in_parts
def test_two_thousand_agree_with_enumeration_in_float32(part: int) -> None:
    explore(part, check_floats, problems(), SHIFTS)
