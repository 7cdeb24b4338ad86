"""Claims that clip each other, where as many are open as inputs are needed: against enumeration."""

from __future__ import annotations

import pytest
import torch

from tests.search.small import BranchSettings, in_float32, in_real, most, random_problem
from tests.search.test_branching import answers_at_the_count, nodes, run
from tests.soundness.build import Ask
from verifluxa.bounds.clip import self_clip
from verifluxa.question import Problem
from verifluxa.search import joint

ONE, TWO = Ask(targets=(1,)), Ask()
"""One alternative for each input, and two, of which one must have fallen before an input must meet the other."""


def tried(problem: Problem, how: BranchSettings) -> int:
    """How many leaves rest on planes of others."""
    outcomes = answers_at_the_count(problem, how)
    return sum(bool(node.shared) for one in outcomes for node in nodes(one.tree) if not node.children)


@pytest.mark.parametrize("ask", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("how", [BranchSettings(clip_rounds=0, slabs=0), BranchSettings(inherit=True)], ids=str)
def test_answers_that_rest_on_planes_of_others_agree_with_enumeration(ask: Ask, how: BranchSettings) -> None:
    problems = [(in_float32 if seed % 2 else in_real)(random_problem(seed, ask)) for seed in range(20)]
    shared = sum(tried(problem, how) for problem in problems if len(problem.selections[0]))
    assert shared > 0 or ask is TWO


@pytest.mark.soak
@pytest.mark.parametrize("ask", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("start", range(100, 2100, 200))
def test_many_answers_that_rest_on_planes_of_others_agree_with_enumeration(ask: Ask, start: int) -> None:
    problems = [(in_float32 if seed % 2 else in_real)(random_problem(seed, ask)) for seed in range(start, start + 200)]
    for how in (BranchSettings(clip_rounds=0, slabs=0), BranchSettings(clip_rounds=1), BranchSettings()):
        shared = sum(tried(problem, how) for problem in problems if len(problem.selections[0]))
        assert shared > 0 or ask is TWO


def test_planes_of_others_are_used_only_where_all_of_them_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plane that clips is one of its own domain, where as many claims are open as inputs are needed."""
    seen: list[tuple[list[int], int]] = []

    def clip(net, layers, geometry, pairs, plane):  # type: ignore[no-untyped-def]
        for domain in torch.unique(pairs.domain).tolist():
            here = pairs.domain == domain
            assert len(torch.unique(pairs.input[here])) == int(here.sum()) == need
            assert len(torch.unique(plane.value[here])) == 1
            seen.append((pairs.input[here].tolist(), domain))
        return self_clip(net, layers, geometry, pairs, plane)

    monkeypatch.setattr(joint, "self_clip", clip)
    for seed in range(30):
        problem = random_problem(seed, ONE)
        question = problem.questions(0)[0]
        if not len(problem.selections[question.selection]):
            continue
        need = max(2, most(problem, question) + 1)
        run(problem, [question._replace(threshold=need)], BranchSettings(clip_rounds=0, slabs=0))
    assert seen
