"""Local search for the inputs that a count still lacks: ascent on the margin of the input at place `need`.

The smooth count of `attack.py` gains most from inputs that are far from violating and cheap to win, and little from
the one that decides. Here a point counts for what its `need` best inputs have in common: the smooth minimum of
their margins. At a positive one the count is reached. Proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.bounds.net import Net
from verifluxa.question import Question
from verifluxa.search.attack import margins_of
from verifluxa.search.workspace import Claims, Workspace

HOT, COLD = 0.3, 0.01
"""Heat of the smooth minimum at the first and at the last step, in output units."""
FAST, SLOW = 0.03, 0.0005
"""Step at the start and at the end, as a share of the domain's width."""
LOOK = 5
"""Steps between two looks at the grid points."""


@dataclass(frozen=True, eq=False)
class LocalOptimum:
    """The best grid point that was seen, shape (d,), and the margin of its input at place `need`."""

    trigger: Tensor
    margin: float


def lacking(work: Workspace, net: Net, claims: Claims, need: int, triggers: Tensor) -> Tensor:
    """Margin of the input at place `need` under each trigger (K, d), by the center network, shape (K,)."""
    with torch.no_grad():
        return margins_of(work, net, claims, triggers).topk(need, dim=1).values[:, -1]


def local_search(
    work: Workspace, question: Question, starts: Tensor, steps: int, claims: Claims | None = None
) -> LocalOptimum:
    """Ascends from some points at once; ends early at a grid point where `need` inputs violate.

    Args:
        question: one with at least `need` inputs.
        starts: shape (K, d).
        claims: those that may be met somewhere, of `need` inputs or more; None: all of the question.
    """
    work = work.at(question.placement)
    net = work.net(question.placement)
    claims = work.claims(question.violation, question.selection) if claims is None else claims
    width = work.upper - work.lower
    place = ((starts - work.lower) / width.clamp(min=1e-300)).clamp(0, 1)
    momentum, square = torch.zeros_like(place), torch.zeros_like(place)
    best = _best(work, net, claims, question.need, starts)
    for step in range(steps):
        left = 1 - step / steps
        gradient = _gradient(work, net, claims, question.need, (work.lower + place * width, HOT * left + COLD))
        momentum, square = 0.9 * momentum + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        unbiased = momentum / (1 - 0.9 ** (step + 1)), square / (1 - 0.99 ** (step + 1))
        # Adam (Kingma and Ba 2015), in shares of the domain's width.
        place = (place + (FAST * left + SLOW) * unbiased[0] / (unbiased[1].sqrt() + 1e-12)).clamp(0, 1)
        if step % LOOK == LOOK - 1 or step == steps - 1:
            found = _best(work, net, claims, question.need, work.lower + place * width)
            best = found if found.margin > best.margin else best
            if best.margin > 0:
                break
    return best


def _best(work: Workspace, net: Net, claims: Claims, need: int, points: Tensor) -> LocalOptimum:
    snapped = work.on_grid(points)
    margins = lacking(work, net, claims, need, snapped)
    at = int(margins.argmax())
    return LocalOptimum(snapped[at], float(margins[at]))


def _gradient(work: Workspace, net: Net, claims: Claims, need: int, at: tuple[Tensor, float]) -> Tensor:
    """Of the smooth minimum of the `need` largest margins at points (K, d), in shares of the width."""
    points, heat = at
    point = points.detach().requires_grad_(True)
    largest = margins_of(work, net, claims, point).topk(need, dim=1).values
    together = -heat * torch.logsumexp(-largest / heat, 1)
    (gradient,) = torch.autograd.grad(together.sum(), point)
    return torch.nan_to_num(gradient) * (work.upper - work.lower)
