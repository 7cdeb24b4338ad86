"""The first look at a placement against brute force, and the evidence records of what fell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.search.small import all_triggers, most, random_problem, row_values, with_need
from tests.soundness.build import Ask
from verifluxa.bounds.domain import geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.evidence import CONTRADICTED, OPEN, PrunedDisjunct
from verifluxa.question import Problem
from verifluxa.search.disjuncts import BoundContext
from verifluxa.search.initial_bounds import InitialBounds, bound_root, drop_records, whole_domain
from verifluxa.search.workspace import Claims, workspace_of

ASKS = [Ask(), Ask(targets=(0, 2)), Ask(per_input=True), Ask(targets=(1,), need=3)]


def highest_rows(problem: Problem, rooted: InitialBounds) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Largest value of each row over all triggers, by brute force, shape (n, R)."""
    triggers = all_triggers(problem.domain)
    return np.asarray(np.max([row_values(problem, rooted.question, trigger) for trigger in triggers], axis=0))


def check(problem: Problem, rooted: InitialBounds) -> None:
    """Every row that fell is below zero under every trigger; what remains is counted rightly."""
    highest = highest_rows(problem, rooted)
    chosen = problem.selections[rooted.question.selection].tolist()
    by_label = problem.violations[rooted.question.violation].by_label
    left = set()
    for input_, position, row in zip(
        *(t.tolist() for t in (rooted.claims.input, rooted.claims.position, rooted.row)), strict=True
    ):
        alternative = by_label[int(problem.labels[input_])][position]
        if row == OPEN:
            left.add(input_)
        else:
            assert row in alternative
            assert highest[chosen.index(input_), row] < 0
    assert rooted.remaining == len(left)
    assert rooted.remaining >= most(problem, rooted.question)
    assert set(rooted.open_disjuncts.input.tolist()) == left


@pytest.mark.parametrize("method", ["interval", "crown"])
@pytest.mark.parametrize("ask", ASKS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_what_falls_is_below_zero_under_every_trigger(seed: int, ask: Ask, method: str) -> None:
    problem = random_problem(seed, ask)
    work = workspace_of(problem)
    fell = 0
    for placement in range(2):
        for rooted in bound_root(work, problem.questions(placement), method):
            check(problem, rooted)
            fell += len(rooted.dropped())
    assert fell, "some claims fall, else nothing was tested"


@pytest.mark.parametrize("ask", ASKS, ids=str)
@pytest.mark.parametrize("method", ["interval", "crown"])
def test_the_bounds_that_are_kept_are_those_of_the_claims_that_are_left(ask: Ask, method: str) -> None:
    problem, compared = random_problem(1, ask), 0
    work = workspace_of(problem)
    scene = BoundContext(work, work.net(0), geometry_of(whole_domain(work)))
    for rooted in bound_root(work, problem.questions(0), method):
        left = torch.arange(len(rooted.open_disjuncts))
        kept = rooted.bounds(left)
        assert bool(kept) == (method == "crown")
        pairs = Subproblems(torch.zeros_like(left), rooted.open_disjuncts.input)
        for mine, plain in zip(kept, bound_all_layers(scene.net, scene.geometry, pairs), strict=False):
            torch.testing.assert_close((mine.lower, mine.upper, mine.radius), (plain.lower, plain.upper, plain.radius))
            assert mine.open is None or torch.equal(mine.open, torch.as_tensor(plain.open))
            assert not mine.lower.is_inference()
            compared += len(mine.lower)
    assert compared or method == "interval"


@pytest.mark.parametrize("ask", ASKS, ids=str)
def test_questions_asked_together_get_the_answers_they_get_alone(ask: Ask) -> None:
    problem = random_problem(2, ask)
    work, questions = workspace_of(problem), problem.questions(0)
    together = bound_root(work, [*questions[::-1], questions[0]], "crown")
    alone = [bound_root(work, [question], "crown")[0] for question in [*questions[::-1], questions[0]]]
    for one, other in zip(together, alone, strict=True):
        assert one.question == other.question
        assert one.row.tolist() == other.row.tolist()
        assert one.remaining == other.remaining


def test_crown_drops_at_least_one_claim_more_somewhere() -> None:
    left = {"interval": 0, "crown": 0}
    for seed in range(12):
        problem = random_problem(seed)
        for method in left:
            left[method] += len(bound_root(workspace_of(problem), [with_need(problem, 1)], method)[0].open_disjuncts)
    assert left["crown"] < left["interval"]


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(2)
    question = problem.questions(0)
    wanted = bound_root(workspace_of(problem), question, "crown")[0].row.tolist()
    monkeypatch.setattr("verifluxa.search.initial_bounds.rows_that_fit", lambda width, device="cpu": 1)
    assert bound_root(workspace_of(problem), question, "crown")[0].row.tolist() == wanted


def test_an_input_that_may_overflow_is_never_dropped() -> None:
    problem = next(p for p in (random_problem(s, Ask(arithmetic="float32")) for s in range(20)) if falls(p).any())
    victim = int(np.flatnonzero(falls(problem))[0])
    huge = problem.inputs.copy()
    huge[victim, 0, 0, 0] = 2.0**127
    assert not falls(replace(problem, inputs=huge))[victim]


def falls(problem: Problem) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which inputs have a claim that falls at once, at the placement that leaves value 0 alone."""
    (rooted,) = bound_root(workspace_of(problem), problem.questions(0), "crown")
    return np.isin(np.arange(len(problem.inputs)), rooted.claims.input[rooted.row != OPEN].numpy())


def test_the_whole_domain_is_a_batch_of_one() -> None:
    problem = random_problem(0)
    found = whole_domain(workspace_of(problem))
    assert found.lower.tolist() == [[0.0, 0.0]]
    assert found.upper.tolist() == [[6.0, 6.0]]
    assert found.directions.shape == (0, 2)


def claims(*columns: tuple[int, int]) -> Claims:
    """Claims as (input, position)."""
    table = torch.tensor(columns, dtype=torch.long)
    return Claims(table[:, 0], torch.arange(len(columns)), table[:, 1])


def test_records_gather_the_alternatives_of_an_input() -> None:
    asked = claims((3, 0), (3, 1), (3, 2), (5, 0), (5, 1), (8, 0), (9, 1))
    row = torch.tensor([11, OPEN, 13, OPEN, OPEN, CONTRADICTED, 17])
    assert drop_records(asked, row) == [
        PrunedDisjunct(3, (11, OPEN, 13)),
        PrunedDisjunct(8, (CONTRADICTED,)),
        PrunedDisjunct(9, (OPEN, 17)),
    ]


def test_records_of_clipped_claims_stand_alone() -> None:
    """Clipping speaks of one alternative: such a record names that one and the rows that clipped it."""
    asked = claims((3, 0), (3, 1), (3, 2), (4, 2), (5, 0))
    row = torch.tensor([11, 12, CONTRADICTED, 14, OPEN])
    planes = torch.tensor([[-1, -1], [21, 22], [23, -1], [24, -1], [25, 26]])
    assert drop_records(asked, row, planes) == [
        PrunedDisjunct(3, (11,)),
        PrunedDisjunct(3, (OPEN, 12), (21, 22)),
        PrunedDisjunct(3, (OPEN, OPEN, CONTRADICTED), (23,)),
        PrunedDisjunct(4, (OPEN, OPEN, 14), (24,)),
    ]


def test_no_rounds_of_clipping_make_plain_records() -> None:
    asked = claims((1, 0), (2, 0))
    none = torch.zeros(2, 0, dtype=torch.long)
    assert drop_records(asked, torch.tensor([4, OPEN]), none) == [PrunedDisjunct(1, (4,))]
    assert drop_records(asked, torch.tensor([OPEN, OPEN]), none) == []
