"""The written-out passes give the same planes and gradients as automatic differentiation of `BoundTask.bounds`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.soundness.build import Ask, Family, levels, make_problem, mlp, replacing
from verifluxa.bounds.alpha import default_parameters
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.bounds.optimise import BoundTask, ProjectedAdam, SinglePrecision, steepest
from verifluxa.search.workspace import Workspace


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strips", [False, True])
def test_planes_and_gradients_are_those_of_autograd(seed: int, strips: bool) -> None:
    task = _task(seed, strips)
    rule = default_parameters(task.net, task.own_layers)
    alphas = [part.clone().requires_grad_(True) for part in rule.alphas]
    betas = [torch.full_like(part, 0.1).requires_grad_(True) for part in alphas]
    value, slope = task.bounds(replace(rule, alphas=alphas, betas=betas))
    claims = SinglePrecision(task, ())
    at = claims.evaluate([part.detach().float() for part in alphas], [part.detach().float() for part in betas])
    torch.testing.assert_close(at.bounds.value[:, 0].double(), value.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(at.bounds.slope[:, 0].double(), slope.detach(), rtol=1e-4, atol=1e-4)
    up, where = steepest(slope.detach(), task.pairs.domain, task.geometry)
    torch.testing.assert_close(up, (slope.detach() * where).sum(1))
    found = torch.autograd.grad((value + (slope * where).sum(1)).sum(), [*alphas, *betas])
    by_alpha, by_beta, _ = claims.gradients(at, where.float())
    assert any(bool(part.any()) for part in task.free)
    for own, expected, may in zip(by_alpha, found[: len(alphas)], task.free, strict=True):
        torch.testing.assert_close(own.double(), torch.where(may, expected, 0.0), rtol=1e-3, atol=1e-3)
    for own, expected in zip(by_beta, found[len(alphas) :], strict=True):
        torch.testing.assert_close(own.double(), expected, rtol=1e-3, atol=1e-3)


def _task(seed: int, strips: bool) -> BoundTask:
    """One row of three inputs over a 6-8-5-3 network, its trigger of two values cut by a strip or not."""
    random = np.random.default_rng(seed)
    sizes = (6, 8, 5, 3)
    graph = mlp((1, 1, 6), *((random.normal(size=(b, a)), random.normal(size=b)) for a, b in pairwise(sizes)))
    family = Family((replacing((1, 4)),), levels(2, 0, 3))
    work = Workspace(make_problem(graph, random.normal(size=(3, 6)), [0, 1, 2], family, Ask()))
    directions = torch.tensor([[0.6, 0.8]], dtype=torch.float64)[: int(strips)]
    ends = torch.full((1, int(strips)), 1.5, dtype=torch.float64)
    shape = geometry_of(Domains(work.lower[None], work.upper[None], directions, ends, 2 * ends))
    pairs = Subproblems(torch.zeros(3, dtype=torch.long), torch.arange(3))
    layers = bound_all_layers(work.net(0), shape, pairs)
    rows, constants = work.coefficients[:1].expand(3, -1), work.row_constants[:1].expand(3)
    # Signs say that there are betas; nothing is split.
    signs = [torch.zeros_like(bounds.lower) for bounds in layers[:-1]]
    limits = torch.full((3,), -torch.inf, dtype=torch.float64)
    return BoundTask.alone(work.net(0), layers, shape, pairs, rows, constants, limits, signs)


def test_each_item_keeps_its_best() -> None:
    """Items with rows of their own; one that only gets worse keeps where it began."""
    goal = torch.tensor([[3.0], [1.0], [0.0]])
    item = torch.tensor([0, 0, 1])

    def evaluate(parts: list[Tensor]) -> tuple[Tensor, Callable[[], list[Tensor]]]:
        away = (parts[0] - goal)[:, 0]
        value = torch.zeros(2).index_add(0, item, away**2)
        return value, lambda: [2 * away[:, None]]

    search = ProjectedAdam(evaluate, lambda parts: None, [0.5], torch.full((2,), -torch.inf), item)
    (best,) = search.run([torch.zeros(3, 1)], 60, 60)
    torch.testing.assert_close(best, goal, rtol=0.0, atol=0.2)
    assert float(best[2]) == 0.0
