"""Out of memory halves and goes on, with the same answers; a GPU, where there is one, gives the CPU's answers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.search.small import random_problem
from verifluxa.bounds import memory
from verifluxa.bounds.domain import geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.search import initial_bounds
from verifluxa.search.initial_bounds import bound_root, whole_domain
from verifluxa.search.workspace import Workspace
from verifluxa.strategy.decide import prove_slice
from verifluxa.strategy.load import BranchStage, Strategy, load_strategy
from verifluxa.strategy.work import Run

ERRORS = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_first_look_that_runs_out_of_memory_halves_and_goes_on(
    error: BaseException, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = random_problem(11)
    questions = problem.questions(0)
    plain = bound_root(Workspace(problem), questions, "crown")
    sizes: list[int] = []

    def short(net: Any, shape: Any, pairs: Subproblems, method: str = "crown") -> Any:
        sizes.append(len(pairs.input))
        if len(pairs.input) > most:
            raise error
        return bound_all_layers(net, shape, pairs, method)

    monkeypatch.setattr(initial_bounds, "bound_all_layers", short)
    halved = bound_root(Workspace(problem), questions, "crown")
    assert max(sizes) > most, "the fault was met"
    assert [one.row.tolist() for one in halved] == [one.row.tolist() for one in plain]
    assert [one.remaining for one in halved] == [one.remaining for one in plain]


def test_blocks_on_a_gpu_are_sized_from_its_free_memory() -> None:
    assert memory.items_at_once(torch.device("cpu"), 1000) == memory.BLOCK_NUMBERS // 1000
    few = memory.items_at_once(torch.device("cuda"), 1000, free=2**30)
    assert 1 <= few * 1000 * 8 <= 2**30
    assert memory.items_at_once(torch.device("cuda"), 2**60, free=2**30) == 1


def strategy() -> Strategy:
    """Bounds and branching with a limit in boxes: the same work wherever it is done."""
    found = load_strategy("balanced").without("attack")
    stages = [replace(s, boxes=200, joint=False) if isinstance(s, BranchStage) else s for s in found.stages]
    return replace(found, stages=tuple(stages))


def answers(problem: Problem, device: str) -> list[Outcome]:
    placements = range(len(problem.placements))
    found = itertools.chain.from_iterable(prove_slice(problem, placements, {}, Run(strategy(), None, device)))
    return sorted((one for one in found if isinstance(one, Outcome)), key=lambda one: one.question)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("seed", range(5))
def test_verdicts_on_a_gpu_are_those_of_the_cpu(seed: int) -> None:
    problem = random_problem(seed)
    on_cpu, on_gpu = answers(problem, "cpu"), answers(problem, "cuda")
    assert [one.verdict for one in on_cpu] == [other.verdict for other in on_gpu]
    assert [one.proved for one in on_cpu] == [other.proved for other in on_gpu]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_bounds_on_a_gpu_are_those_of_the_cpu() -> None:
    problem = random_problem(3)
    found = []
    for device in ("cpu", "cuda"):
        work = Workspace(problem, device)
        inputs = torch.arange(len(problem.inputs), device=device)
        pairs = Subproblems(torch.zeros_like(inputs), inputs)
        found.append(bound_all_layers(work.net(0), geometry_of(whole_domain(work)), pairs))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.lower, other.lower.cpu(), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(one.upper, other.upper.cpu(), rtol=1e-11, atol=1e-11)
