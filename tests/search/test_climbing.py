"""Local search for the inputs that a count lacks: its numbers against enumeration, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.search.small import all_triggers, counts, most, random_problem, row_values, with_need
from tests.search.test_branching import peak
from tests.soundness.build import Ask
from verifluxa.search.attack import local_search, missing_margin
from verifluxa.search.workspace import workspace_of


def at_place(values: np.ndarray, need: int) -> float:
    """The margin at place `need`, the largest first."""
    return float(np.sort(values)[::-1][need - 1])


@pytest.mark.parametrize("ask", [Ask(), Ask(targets=(1,))], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_margins_at_a_place_are_those_of_the_network(ask: Ask, seed: int) -> None:
    problem = random_problem(seed, ask)
    question = problem.questions(0)[0]
    work, triggers = workspace_of(problem), all_triggers(problem.domain)
    claims = work.claims(question.violation, question.selection)
    chosen = problem.selections[question.selection]
    by_label = problem.violations[question.violation].by_label
    for need in range(1, len(chosen) + 1):
        found = missing_margin(work, work.net(0), claims, need, torch.as_tensor(triggers))
        for trigger, margin in zip(triggers[::7], found.tolist()[::7], strict=True):
            values = row_values(problem, question, trigger)
            margins = [
                max(min(values[n, row] for row in rows) for rows in by_label[int(problem.labels[i])])
                for n, i in enumerate(chosen)
            ]
            assert margin == pytest.approx(at_place(np.array(margins), need))


@pytest.mark.parametrize("seed", range(8))
def test_a_climb_ends_on_the_grid_at_most_as_high_as_the_highest_point(seed: int) -> None:
    problem = random_problem(seed)
    work, triggers = workspace_of(problem), all_triggers(problem.domain)
    strict = most(problem, problem.questions(0)[0], strict=True)
    for need in range(1, 6):
        question = with_need(problem, need)
        found = local_search(work, question, torch.as_tensor(triggers[[0, 24, 48]]), 30)
        trigger = found.trigger.numpy()
        assert problem.domain.contains(trigger)
        count = int(counts(problem, question, trigger[None], strict=True)[0])
        assert (found.margin > 0) == (count >= need)
        assert strict >= need or found.margin <= 0


def test_a_climb_takes_all_the_inputs_that_are_needed_along() -> None:
    """Three inputs are ahead together at 10 alone, and none of them at either end."""
    problem = peak()
    found = local_search(
        workspace_of(problem), with_need(problem, 3), torch.tensor([[0.0], [20.0]], dtype=torch.float64), 60
    )
    assert found.margin > 0
    assert found.trigger.tolist() == [10.0]


def test_what_no_trigger_meets_is_left_out_of_a_climb() -> None:
    """The inputs that violate somewhere are climbed for alone, and what is found is the same."""
    problem = peak()
    question, work = with_need(problem, 3), workspace_of(problem)
    triggers = all_triggers(problem.domain)
    claims = work.claims(question.violation, question.selection)
    single = [
        missing_margin(work, work.net(0), claims.take(torch.tensor([n])), 1, torch.as_tensor(triggers))
        for n in range(len(claims))
    ]
    met = torch.tensor([n for n, margins in enumerate(single) if float(margins.max()) > 0])
    assert 3 <= len(met) < len(claims)
    starts = torch.tensor([[0.0], [20.0]], dtype=torch.float64)
    found = local_search(work, question, starts, 60, claims.take(met))
    assert found.margin == local_search(work, question, starts, 60).margin > 0
