"""Batches cut by memory and by the clock: the same claims decided in the same way, or left for later."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch

from tests.search.small import BranchSettings, most, random_problem, with_need
from tests.search.test_branching import check, run
from tests.soundness.build import Ask
from verifluxa.bounds.domain import geometry_of
from verifluxa.bounds.linear import Subproblems
from verifluxa.certificate.tree_codec import encode_tree
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.search.branch import Steps
from verifluxa.search.disjuncts import BoundContext, Verdicts, bound_disjuncts, decided, disjuncts_at_once
from verifluxa.search.initial_bounds import whole_domain
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason, Verdict

HOW = BranchSettings(slabs=1)
OUT = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")]


def hard(seed: int, shift: int = 1) -> tuple[Problem, int]:
    """A problem of several alternatives an input, and a need just above (or at) the largest count."""
    problem = random_problem(seed, Ask())
    return problem, most(problem, problem.questions(0)[0]) + shift


def answer(problem: Problem, need: int, **how: Any) -> Outcome:
    """As it is, or with claims bounded in another way: see `decided`."""
    (outcome,) = run(problem, [with_need(problem, need)], HOW, steps=Steps(decide=partial(decided, **how)))
    return outcome


def as_before(seed: int) -> tuple[Problem, int, Outcome]:
    problem, need = hard(seed)
    return problem, need, answer(problem, need)


def short_of_memory(most_claims: int, error: BaseException) -> Any:
    def some(scene: BoundContext, claims: Claims, *more: Any) -> Verdicts:
        if len(claims) > most_claims:
            raise error
        return bound_disjuncts(scene, claims, *more)

    return some


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("seed", range(5))
def test_the_cut_of_a_batch_changes_nothing(seed: int, size: int) -> None:
    problem, need, before = as_before(seed)
    after = answer(problem, need, at_once=size)
    assert (after.verdict, after.boxes, after.proved) == (before.verdict, before.boxes, before.proved)
    assert before.tree is not None
    assert after.tree is not None
    assert encode_tree(after.tree) == encode_tree(before.tree)
    check(problem, after)


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__)
def test_a_batch_that_runs_out_of_memory_halves_and_goes_on(error: BaseException) -> None:
    problem, need, before = as_before(2)
    after = answer(problem, need, bound=short_of_memory(3, error))
    assert (after.verdict, after.boxes) == (before.verdict, before.boxes)
    check(problem, after)


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__)
def test_one_claim_that_does_not_fit_leaves_the_question_open(error: BaseException) -> None:
    problem, need = hard(2)
    outcome = answer(problem, need, bound=short_of_memory(0, error))
    assert (outcome.verdict, outcome.reason, outcome.tree) == (Verdict.UNKNOWN, Reason.MEMORY, None)
    check(problem, outcome)


def test_other_faults_are_not_taken_for_a_lack_of_memory() -> None:
    problem, need = hard(2)
    with pytest.raises(RuntimeError, match="a fault"):
        answer(problem, need, bound=short_of_memory(0, RuntimeError("a fault")))


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_what_the_clock_cuts_off_is_left_out(parts: int) -> None:
    """Of a batch in parts of two claims those parts count that began in time; the first one always does."""
    problem, _ = hard(4)
    question, work = problem.questions(0)[0], Workspace(problem)
    claims = work.claims(question.violation, question.selection)
    scene = BoundContext(work, work.net(0), geometry_of(whole_domain(work)))
    named = (claims, Subproblems(torch.zeros_like(claims.input), claims.input))
    whole = decided(scene, *named, None, 2, math.inf)
    ticks = itertools.count(1)
    some = decided(scene, *named, None, 2, parts - 0.5, at_once=2, clock=lambda: float(next(ticks)))
    assert len(some.row) == 2 * parts
    assert some.row.tolist() == whole.row[: 2 * parts].tolist()
    assert some.last.at.tolist() == [at for at in whole.last.at.tolist() if at < 2 * parts]
    torch.testing.assert_close(some.last.planes.upper, whole.last.planes.upper[: len(some.last.at)])
    assert [len(layer.lower) for layer in some.last.layers] == [len(some.last.at)] * len(some.last.layers)


def test_the_largest_temporary_is_bounded_by_memory() -> None:
    problem = random_problem(0)
    net = Workspace(problem).net(0)
    plenty = disjuncts_at_once(net, "cpu")
    few = disjuncts_at_once(net, "cpu", 64 * 2**10)
    assert 1 <= few < plenty
    widest = max(layer.weight.shape[0] for layer in net.layers)
    assert few * 4 * widest * net.layers[0].weight.shape[1] * 8 <= 64 * 2**10
    assert disjuncts_at_once(net, "cpu", 0) == 1
