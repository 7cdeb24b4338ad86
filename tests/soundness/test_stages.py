"""Stages one after the other, batches cut anywhere and clocks that jump, against exact enumeration."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.soundness.build import digested
from tests.soundness.judge import judge
from tests.soundness.judge_floats import judge_float32
from tests.soundness.networks import hardest, problems
from tests.soundness.parts import explore, in_parts
from tests.soundness.truth import Oracle
from verifluxa.evidence import Outcome
from verifluxa.question import Problem, Question
from verifluxa.search.branch import Steps
from verifluxa.search.branch import branch_on_boxes as explore_tree
from verifluxa.search.disjuncts import decided
from verifluxa.search.initial_bounds import bound_root
from verifluxa.search.workspace import workspace_of
from verifluxa.stages import CrossStage
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BoundStage, BranchStage, Stage, load_strategy

CASES = BranchStage(boxes=120, alpha=3, neurons=1, clip_rounds=1, slabs=1)
"""Slopes of their own and cases of neurons, however few values the trigger has."""
STAGES: dict[str, tuple[Stage, ...]] = {
    "ends of neurons": (BoundStage(method="alpha", steps=5, refine=6),),
    "cases": (CASES,),
    "all": (
        *(BoundStage(method="interval"), BoundStage(method="alpha", steps=3, refine=3)),
        *(CrossStage(values=0, alone=0, seconds=1.0, cases=40), CASES),
    ),
}
TIMED = BranchStage(boxes=300, seconds=5.0)
HOW = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@dataclass
class Clock:
    """Time that goes on by small and large steps, whatever is done."""

    random: np.random.Generator
    now: float = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        self.now += float(self.random.choice([0.001, 0.02, 0.3]))
        return self.now


def right(problem: Problem, question: Question, outcome: Outcome) -> None:
    """Judges an outcome by enumeration, and by sampled evaluations in float32."""
    oracle = Oracle(problem)
    points = list(oracle.points(question))
    if problem.arithmetic == "float32":
        judge_float32(problem, outcome, points, oracle, np.random.default_rng(0))
    else:
        judge(problem, outcome, replace(oracle.truth(question), need=question.threshold), points, oracle)


def check(problem: Problem, how: tuple[int, str], stages: tuple[Stage, ...]) -> None:
    """One question of a random problem through some stages."""
    question, problem = posed(problem, how)
    (outcome,) = decide(problem, [question], replace(load_strategy("balanced"), stages=stages))
    right(problem, question, outcome)


def posed(problem: Problem, how: tuple[int, str]) -> tuple[Question, Problem]:
    """A question just at or just above the exact count, and the problem in some arithmetic."""
    shift, arithmetic = how
    question, _ = hardest(problem, shift)
    return question, digested(replace(problem, arithmetic=arithmetic))


def check_cut(problem: Problem, how: tuple[int, str], seed: int) -> None:
    """Branching whose batches are cut by a few claims, and by time that is over inside of a batch."""
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 6))
    clock = Clock(random).monotonic
    question, problem = posed(problem, how)
    work = workspace_of(problem)
    steps = Steps(decide=partial(decided, at_once=size, clock=clock), clock=clock)
    (explored,) = itertools.chain.from_iterable(
        explore_tree(work, bound_root(work, [question], "crown"), TIMED, None, steps=steps)
    )
    right(problem, question, explored.outcome)


def check_named(problem: Problem, how: tuple[int, str], name: str) -> None:
    """The same through stages with a name."""
    check(problem, how, STAGES[name])


SEEDS, NAMES = st.integers(0, 2**16), st.sampled_from(sorted(STAGES))
HOWS = st.tuples(st.integers(0, 1), st.sampled_from(["real", "float32"]))


@HOW
@given(problems(), HOWS, NAMES)
def test_stages_agree_with_enumeration(problem: Problem, how: tuple[int, str], name: str) -> None:
    check_named(problem, how, name)


@HOW
@given(problems(), HOWS, SEEDS)
def test_what_time_cuts_off_is_no_proof(problem: Problem, how: tuple[int, str], seed: int) -> None:
    check_cut(problem, how, seed)


@pytest.mark.soak
@in_parts
def test_two_thousand_agree_with_enumeration(part: int) -> None:
    explore(part, check_named, problems(), HOWS, NAMES)


@pytest.mark.soak
@in_parts
def test_two_thousand_cuts_are_no_proof(part: int) -> None:
    explore(part, check_cut, problems(), HOWS, SEEDS)
