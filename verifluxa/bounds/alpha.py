"""Lower slopes and split multipliers by projected gradient steps, many claims at once.

What is optimised is the largest value of each claim's upper plane on its domain. The steps need not be exact: whatever
they end with is rounded to numbers that evidence can hold, and the bound is computed anew from those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.bounds.beta import Multipliers, chooses, default, least_slope, planes
from verifluxa.bounds.domain import Geometry, spread
from verifluxa.bounds.linear import LayerBounds, Net, NetLayer, Pairs
from verifluxa.bounds.memory import rows_that_fit

LEVELS = 255
"""Slopes are rounded to multiples of 1/255: one byte each."""
MOMENTUM, SQUARES = 0.9, 0.99
SLOPE_STEP, PUSH_STEP = 0.1, 0.25
"""First step sizes: of slopes, and of pushes in units of a row's mean coefficient; they fall to a tenth."""


@dataclass(frozen=True)
class AlphaSettings:
    """How hard to try.

    Attributes:
        steps: gradient steps.
        patience: steps without any progress after which a batch stops.
    """

    steps: int = 20
    patience: int = 6


@dataclass(frozen=True, eq=False)
class Task:
    """Claims to be bounded, with one row each.

    Attributes:
        net: the network of a placement.
        layers: bounds of all layers, one pair per claim.
        geometry: of the domains.
        pairs: of the claims.
        rows, constants: over the outputs, shape (C, outputs) and (C,).
        limits: a claim is settled once its largest value lies below this, shape (C,).
        signs: per hidden layer 1 where the pre-activation is known to be >= 0, -1 where <= 0, else 0, shape (C, n);
            None: nothing is split.
    """

    net: Net
    layers: Sequence[LayerBounds]
    geometry: Geometry
    pairs: Pairs
    rows: Tensor
    constants: Tensor
    limits: Tensor
    signs: Sequence[Tensor] | None = None

    def largest(self, chosen: Multipliers) -> Tensor:
        """The largest value of each claim's row, shape (C,)."""
        of = (self.pairs, self.rows, self.constants)
        value, slope = planes(self.net, self.layers, self.geometry, of, chosen)
        return value + spread(slope[:, None], self.pairs.domain, self.geometry)[0][:, 0]


def fits(net: Net, device: str) -> int:
    """How many claims are worked on at once: each step keeps a dozen copies of all slopes."""
    numbers = sum(layer.weight.shape[0] for layer in net.layers) + net.layers[0].weight.shape[1]
    return max(1, 8 * rows_that_fit(12 * numbers, device))


def optimise(task: Task, settings: AlphaSettings, start: Multipliers | None = None) -> tuple[Tensor, Multipliers]:
    """Makes planes as low as a few steps can, starting from the default rule or from a parent's multipliers.

    Returns:
        the largest value of each claim's row (C,) with the rounded multipliers, and these.
    """
    rule = default(task.net, task.layers)
    free = [chooses(layer, bounds) for layer, bounds in zip(task.net.hidden, task.layers, strict=False)]
    begin = rule if start is None else start
    slopes = [torch.where(f, b, r) for f, b, r in zip(free, begin.slopes, rule.slopes, strict=True)]
    pushes = [part.abs() for part in begin.pushes]
    best = Multipliers(slopes, _signed(task, pushes))
    with torch.no_grad():
        lowest = task.largest(best)
    moving = [slopes, pushes] if task.signs is not None else [slopes]
    scales = _scales(task)
    state = [[(torch.zeros_like(p), torch.zeros_like(p)) for p in group] for group in moving]
    idle = 0
    choice = any(bool(part.any()) for part in (*free, *(task.signs or ())))
    for step in range(settings.steps if choice else 0):
        if bool((lowest < task.limits).all()) or idle >= settings.patience:
            break
        leaves = [[part.detach().requires_grad_(True) for part in group] for group in moving]
        chosen = Multipliers(leaves[0], _signed(task, leaves[1]) if len(leaves) > 1 else best.pushes)
        value = task.largest(chosen)
        with torch.no_grad():
            better = value < lowest
            progress = better & (value < lowest - 1e-4 * lowest.abs())
            idle = 0 if bool(progress.any()) else idle + 1
            best = _where(better, Multipliers([p.detach() for p in chosen.slopes], list(chosen.pushes)), best)
            lowest = torch.where(better, value, lowest)
        flat = [part for group in leaves for part in group]
        gradients = iter(torch.autograd.grad(value.sum(), flat, allow_unused=True))
        size = 1.0 - 0.9 * step / settings.steps
        moving = [
            [
                _moved(part, next(gradients), state[g], (n, step, size * scale))
                for n, (part, scale) in enumerate(zip(group, scales[g], strict=True))
            ]
            for g, group in enumerate(leaves)
        ]
        _project(task, moving)
    rounded = _rounded(task, best, free)
    with torch.no_grad():
        return task.largest(rounded), rounded


def _signed(task: Task, sizes: Sequence[Tensor]) -> list[Tensor]:
    if task.signs is None:
        return [torch.zeros_like(part) for part in sizes]
    return [part * sign for part, sign in zip(sizes, task.signs, strict=True)]


def _scales(task: Task) -> list[list[Tensor | float]]:
    """Step sizes per group and layer: a slope's is absolute, a push's in units of the coefficients that meet it."""
    pushes: list[Tensor | float] = []
    rows = (task.rows @ task.net.layers[-1].weight).abs()
    for layer in task.net.hidden[::-1]:
        pushes.append(PUSH_STEP * rows.mean(1, keepdim=True))
        rows = rows @ layer.weight.abs()
    return [[SLOPE_STEP] * len(pushes), pushes[::-1]]


def _moved(
    part: Tensor, gradient: Tensor | None, state: list[tuple[Tensor, Tensor]], at: tuple[int, int, Tensor | float]
) -> Tensor:
    """One step of Adam (Kingma and Ba 2015, algorithm 1)."""
    number, step, size = at
    if gradient is None:
        return part.detach()
    first = MOMENTUM * state[number][0] + (1 - MOMENTUM) * torch.nan_to_num(gradient)
    second = SQUARES * state[number][1] + (1 - SQUARES) * torch.nan_to_num(gradient) ** 2
    state[number] = (first, second)
    unbiased = first / (1 - MOMENTUM ** (step + 1))
    root = (second / (1 - SQUARES ** (step + 1))).sqrt() + 1e-12
    return part.detach() - size * unbiased / root


def _project(task: Task, moving: list[list[Tensor]]) -> None:
    for number, layer in enumerate(task.net.hidden):
        moving[0][number] = moving[0][number].clamp(least_slope(layer), 1.0)
        if len(moving) > 1:
            moving[1][number] = moving[1][number].clamp(min=0.0)


def _where(better: Tensor, new: Multipliers, old: Multipliers) -> Multipliers:
    def chosen(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        return [torch.where(better[:, None], x, y).detach() for x, y in zip(a, b, strict=True)]

    return Multipliers(chosen(new.slopes, old.slopes), chosen(new.pushes, old.pushes))


def _rounded(task: Task, best: Multipliers, free: Sequence[Tensor]) -> Multipliers:
    """Multipliers as evidence holds them: slopes as whole steps between the least one and 1."""
    slopes = []
    for layer, part, may in zip(task.net.hidden, best.slopes, free, strict=True):
        slopes.append(torch.where(may, slope_of(level_of(part), layer), part))
    return Multipliers(slopes, best.pushes)


def level_of(slopes: Tensor) -> Tensor:
    """The nearest levels 0..255 of lower slopes, shape as given."""
    return (slopes.clamp(0.0, 1.0) * LEVELS).round()


def slope_of(levels: Tensor, layer: NetLayer) -> Tensor:
    """The lower slopes of levels; at least the least sound one."""
    return (levels / LEVELS).clamp(least_slope(layer), 1.0)
