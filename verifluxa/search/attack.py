"""Batched multi-start search for a trigger: gradient ascent on soft counts, then single coordinates; local search.

Proves nothing; finds most triggers before any proof work, and gives the lower end of every rate. The loss is
the sum of `sigmoid(margin / T)` over the inputs, T falling from 2 to .15: a smooth count of violations.

That count gains most from inputs that are far from violating and cheap to win, and little from the one that decides.
`local_search` ascends on the margin of the input at place `threshold`: there a point counts for what its `threshold`
best inputs have in common, the smooth minimum of their margins. At a positive one the count is reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds import Net, evaluate_net, rows_that_fit
from verifluxa.question import Question
from verifluxa.search.workspace import Claims, Workspace

HOT, COLD = 2.0, 0.15
MOST_COORDINATES = 128
"""Where a trigger has more, trying each by itself costs far more than the gradient and finds little."""
LOCAL_HOT, LOCAL_COLD = 0.3, 0.01
"""Heat of the smooth minimum at the first and at the last step, in output units."""
FAST, SLOW = 0.03, 0.0005
"""Step at the start and at the end, as a share of the domain's width."""
LOOK = 5
"""Steps between two looks at the grid points."""


@dataclass(frozen=True)
class AttackSettings:
    """How hard to try.

    Attributes:
        inputs: at most this many inputs per question (a seeded choice); 0: all.
        starts: starting points per question; the first is the center, every other one a corner.
        steps: gradient steps.
        coordinate_rounds: rounds of single-coordinate search from the best point.
        seed: of the starting points and the choice of inputs.
        deadline: on the clock: past it the best point so far is what was found; None: no limit.
        clock: seconds.
    """

    inputs: int
    starts: int
    steps: int
    coordinate_rounds: int = 0
    seed: int = 0
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and self.clock() > self.deadline


@dataclass(frozen=True, eq=False)
class Candidate:
    """The best point of one question: how many of the inputs looked at it violates, and their smooth count.

    `ends`: the best point of every start, shape (starts, d).
    """

    question: Question
    trigger: Tensor
    count: int
    soft: float
    looked_at: int
    ends: Tensor


@dataclass(frozen=True, eq=False)
class _Batch:
    """Candidates (K) of several questions of one placement, and the (candidate, claim) pairs of their claims.

    Pairs are grouped by (candidate, input): `group` says to which group each pair belongs. Each question has `starts`
    candidates, one after the other.
    """

    claims: Claims
    group: Tensor
    group_candidate: Tensor
    group_input: Tensor
    size: int
    starts: int

    def is_all(self, count: Tensor) -> bool:
        """Whether each question has a candidate that every input violates, so that nothing is left to gain."""
        inputs = torch.bincount(self.group_candidate, minlength=self.size)
        return bool((count >= inputs).reshape(-1, self.starts).any(1).all())


def run_attack(
    work: Workspace,
    questions: Sequence[Question],
    settings: AttackSettings,
    start: Tensor | None = None,
    at_once: int | None = None,
) -> list[Candidate]:
    """Searches all questions of one placement at once.

    Args:
        questions: of one placement.
        start: further starting points, shape (questions, d), tried first.
        at_once: questions that are searched together; None: as many as make a good batch.

    Returns:
        One for each question, in order; past the deadline those that were not begun are left out, but for the first.
    """
    work = work.at(questions[0].placement)
    if bool((work.lower == work.upper).all()):
        # A known trigger: there is nothing to search, and all inputs are looked at once.
        settings, start = replace(settings, inputs=0, starts=1, steps=0, coordinate_rounds=0), None
    generator = torch.Generator().manual_seed(settings.seed + questions[0].placement)
    chosen = [_choose(work, question, settings, generator) for question in questions]
    net = work.net(questions[0].placement)
    found: list[Candidate] = []
    width = sum(len(c) for c in chosen) * settings.starts // len(chosen) * _width(net)
    share = at_once or max(1, rows_that_fit(width))
    for first in range(0, len(questions), share):
        if found and settings.is_late:
            break
        part = slice(first, first + share)
        given = None if start is None else start[part]
        found += _attack_some(work, net, questions[part], chosen[part], settings, given, generator)
    return found


def _width(net: Net) -> int:
    return max(layer.weight.shape[0] for layer in net.layers)


def _choose(work: Workspace, question: Question, settings: AttackSettings, generator: torch.Generator) -> Claims:
    claims = work.claims(question.violation, question.selection)
    inputs = torch.unique(claims.input)
    if not settings.inputs or len(inputs) <= settings.inputs:
        return claims
    picked = inputs[torch.randperm(len(inputs), generator=generator)[: settings.inputs]]
    return claims.take(torch.isin(claims.input, picked).nonzero()[:, 0])


def _attack_some(
    work: Workspace,
    net: Net,
    questions: Sequence[Question],
    chosen: list[Claims],
    settings: AttackSettings,
    given: Tensor | None,
    generator: torch.Generator,
) -> list[Candidate]:
    points = _starting_points(work, len(questions), settings, given, generator)
    starts = points.shape[1]
    batch = _batch(chosen, starts, work)
    trigger = points.reshape(len(questions) * starts, -1)
    trigger, count, soft = _ascend(work, net, batch, trigger, settings)
    found = []
    for number, (question, claims) in enumerate(zip(questions, chosen, strict=True)):
        own = slice(number * starts, (number + 1) * starts)
        best = int((count[own] + soft[own] / (1 + soft[own].abs().max())).argmax()) + number * starts
        inputs = len(torch.unique(claims.input))
        found.append(Candidate(question, trigger[best], int(count[best]), float(soft[best]), inputs, trigger[own]))
    if settings.coordinate_rounds and len(work.lower) <= MOST_COORDINATES:
        pairs = zip(found, chosen, strict=True)
        found = [c if c.count == c.looked_at else _coordinates(work, net, c, claims, settings) for c, claims in pairs]
    return found


def _starting_points(
    work: Workspace, count: int, settings: AttackSettings, given: Tensor | None, generator: torch.Generator
) -> Tensor:
    random = torch.rand(count, settings.starts, len(work.lower), generator=generator, dtype=torch.float64)
    random[:, 1::2] = (random[:, 1::2] > 0.5).to(random)
    random[:, 0] = 0.5
    points = work.lower + random.to(work.lower.device) * (work.upper - work.lower)
    return points if given is None else torch.cat([given[:, None], points], 1)


def _batch(chosen: list[Claims], starts: int, work: Workspace) -> _Batch:
    candidate, parts = [], []
    for number, claims in enumerate(chosen):
        for start in range(starts):
            candidate.append(torch.full((len(claims),), number * starts + start, dtype=torch.long, device=work.device))
            parts.append(claims)
    candidates = torch.cat(candidate)
    claims = Claims.joined(parts)
    keys, group = torch.unique(candidates * len(work.problem.inputs) + claims.input, return_inverse=True)
    of_group, input_ = keys // len(work.problem.inputs), keys % len(work.problem.inputs)
    return _Batch(claims, group, of_group, input_, len(chosen) * starts, starts)


def _margins(work: Workspace, net: Net, batch: _Batch, trigger: Tensor) -> Tensor:
    """Violation margin of each (candidate, input) group: the best alternative's worst row."""
    outputs = evaluate_net(net, trigger[batch.group_candidate], batch.group_input)[batch.group]
    worst = work.row_values(outputs, batch.claims.alternative).amin(1)
    if len(batch.group_candidate) == len(worst):
        return worst[torch.argsort(batch.group)]
    groups = worst.new_full((len(batch.group_candidate),), -torch.inf)
    return groups.scatter_reduce(0, batch.group, worst, "amax")


def _counts(batch: _Batch, margins: Tensor) -> Tensor:
    zeros = margins.new_zeros(batch.size)
    return zeros.index_add(0, batch.group_candidate, (margins > 0).to(margins))


def _ascend(
    work: Workspace, net: Net, batch: _Batch, trigger: Tensor, settings: AttackSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient ascent with sign-like steps (Adam without bias correction) on the grid's box; keeps the best."""
    width = work.upper - work.lower
    momentum, square = torch.zeros_like(trigger), torch.zeros_like(trigger)
    best = work.on_grid(trigger)
    best_count = torch.full((batch.size,), -1.0, dtype=trigger.dtype, device=trigger.device)
    best_soft = best_count.clone()
    for step in range(settings.steps + 1):
        cooling = step / max(1, settings.steps)
        point = trigger.detach().requires_grad_(True)
        margins = _margins(work, net, batch, point)
        heat = HOT * (1 - cooling) + COLD
        soft = margins.new_zeros(batch.size).index_add(0, batch.group_candidate, torch.sigmoid(margins / heat))
        (gradient,) = torch.autograd.grad(soft.sum(), point)
        with torch.no_grad():
            if step == settings.steps or step % 4 == 0:
                snapped = work.on_grid(point)
                exact = _margins(work, net, batch, snapped)
                count = _counts(batch, exact)
                cold = margins.new_zeros(batch.size).index_add(0, batch.group_candidate, torch.sigmoid(exact / COLD))
                better = (count > best_count) | ((count == best_count) & (cold > best_soft))
                best = torch.where(better[:, None], snapped, best)
                best_count, best_soft = torch.where(better, count, best_count), torch.where(better, cold, best_soft)
                if batch.is_all(best_count):
                    break
            if settings.is_late:
                break
            momentum = 0.8 * momentum + 0.2 * gradient
            square = 0.95 * square + 0.05 * gradient**2
            size = 0.3 * (1 - cooling) + 0.02
            trigger = point.detach() + size * width * momentum / (square.sqrt() + 1e-12)
            trigger = trigger.clamp(work.lower, work.upper)
    return best, best_count, best_soft


def _coordinates(
    work: Workspace, net: Net, candidate: Candidate, claims: Claims, settings: AttackSettings
) -> Candidate:
    """Tries each coordinate at both ends and the middle, as long as the count grows."""
    for _ in range(settings.coordinate_rounds):
        if settings.is_late:
            break
        size = len(candidate.trigger)
        trials = candidate.trigger.repeat(3 * size, 1)
        for number, share in enumerate((0.0, 0.5, 1.0)):
            at = torch.arange(size, device=trials.device)
            trials[number * size + at, at] = work.lower + share * (work.upper - work.lower)
        trials = work.on_grid(trials)
        batch = _batch([claims], len(trials), work)
        margins = _margins(work, net, batch, trials)
        count = _counts(batch, margins)
        soft = margins.new_zeros(batch.size).index_add(0, batch.group_candidate, torch.sigmoid(margins / COLD))
        best = int((count + soft / (1 + soft.max())).argmax())
        if (int(count[best]), float(soft[best])) <= (candidate.count, candidate.soft):
            break
        candidate = replace(candidate, trigger=trials[best], count=int(count[best]), soft=float(soft[best]))
    return candidate


def margins_of(work: Workspace, net: Net, claims: Claims, triggers: Tensor) -> Tensor:
    """Violation margins of the n inputs of some claims under triggers (K, d), by the center network, shape (K, n)."""
    batch = _batch([claims], len(triggers), work)
    return _margins(work, net, batch, triggers).reshape(len(triggers), -1)


def count_violations(
    work: Workspace, net: Net, claims: Claims, triggers: Tensor
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How many inputs each trigger (K, d) makes violate, by the center network, shape (K,)."""
    with torch.no_grad():
        counts = (margins_of(work, net, claims, triggers) > 0).sum(1)
    return counts.cpu().numpy()


@dataclass(frozen=True, eq=False)
class LocalOptimum:
    """The best grid point that was seen, shape (d,), and the margin of its input at place `threshold`."""

    trigger: Tensor
    margin: float


def missing_margin(work: Workspace, net: Net, claims: Claims, threshold: int, triggers: Tensor) -> Tensor:
    """Margin of the input at place `threshold` under each trigger (K, d), by the center network, shape (K,)."""
    with torch.no_grad():
        return margins_of(work, net, claims, triggers).topk(threshold, dim=1).values[:, -1]


def local_search(
    work: Workspace, question: Question, starts: Tensor, steps: int, claims: Claims | None = None
) -> LocalOptimum:
    """Ascends from some points at once; ends early at a grid point where `threshold` inputs violate.

    Args:
        question: one with at least `threshold` inputs.
        starts: shape (K, d).
        claims: those that may be met somewhere, of `threshold` inputs or more; None: all of the question.
    """
    work = work.at(question.placement)
    net = work.net(question.placement)
    claims = work.claims(question.violation, question.selection) if claims is None else claims
    width = work.upper - work.lower
    place = ((starts - work.lower) / width.clamp(min=1e-300)).clamp(0, 1)
    momentum, square = torch.zeros_like(place), torch.zeros_like(place)
    best = _best(work, net, claims, question.threshold, starts)
    for step in range(steps):
        left = 1 - step / steps
        gradient = _gradient(
            work, net, claims, question.threshold, work.lower + place * width, LOCAL_HOT * left + LOCAL_COLD
        )
        momentum, square = 0.9 * momentum + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        unbiased = momentum / (1 - 0.9 ** (step + 1)), square / (1 - 0.99 ** (step + 1))
        # Adam (Kingma and Ba 2015), in shares of the domain's width.
        place = (place + (FAST * left + SLOW) * unbiased[0] / (unbiased[1].sqrt() + 1e-12)).clamp(0, 1)
        if step % LOOK == LOOK - 1 or step == steps - 1:
            found = _best(work, net, claims, question.threshold, work.lower + place * width)
            best = found if found.margin > best.margin else best
            if best.margin > 0:
                break
    return best


def _best(work: Workspace, net: Net, claims: Claims, threshold: int, points: Tensor) -> LocalOptimum:
    snapped = work.on_grid(points)
    margins = missing_margin(work, net, claims, threshold, snapped)
    at = int(margins.argmax())
    return LocalOptimum(snapped[at], float(margins[at]))


def _gradient(work: Workspace, net: Net, claims: Claims, threshold: int, points: Tensor, heat: float) -> Tensor:
    """Of the smooth minimum of the `threshold` largest margins at points (K, d), in shares of the width."""
    point = points.detach().requires_grad_(True)
    largest = margins_of(work, net, claims, point).topk(threshold, dim=1).values
    together = -heat * torch.logsumexp(-largest / heat, 1)
    (gradient,) = torch.autograd.grad(together.sum(), point)
    return torch.nan_to_num(gradient) * (work.upper - work.lower)
