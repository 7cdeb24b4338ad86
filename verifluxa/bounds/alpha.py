"""Lower slopes and split multipliers by projected gradient steps, many claims at once.

What is optimised is the largest value of each claim's upper plane on its domain. The steps need not be exact, and are
taken in float32: whatever they end with is rounded to numbers that evidence can hold, and the bound is computed anew
from those in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.bounds.along import row_of
from verifluxa.bounds.bent import RelaxedProblem, UnstableNeurons
from verifluxa.bounds.beta import Multipliers, default, least_slope, linear_bounds, unstable
from verifluxa.bounds.descent import (
    ALPHA_STEP,
    Evaluated,
    LinearBoundProblem,
    ProjectedAdam,
    linear_bound_problem,
    steepest,
)
from verifluxa.bounds.domain import Geometry, spread
from verifluxa.bounds.linear import LayerBounds, Subproblems
from verifluxa.bounds.memory import rows_that_fit
from verifluxa.bounds.net import Net, NetLayer
from verifluxa.bounds.smooth import SAMPLES

LEVELS = 255
"""Slopes are rounded to multiples of 1/255: one byte each."""


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
    pairs: Subproblems
    rows: Tensor
    constants: Tensor
    limits: Tensor
    signs: Sequence[Tensor] | None = None

    def largest(self, chosen: Multipliers) -> Tensor:
        """The largest value of each claim's row, shape (C,)."""
        of = (self.pairs, self.rows, self.constants)
        value, slope = linear_bounds(self.net, self.layers, self.geometry, of, chosen)
        return value + spread(slope[:, None], self.pairs.domain, self.geometry)[0][:, 0]


def fits(net: Net, device: str) -> int:
    """How many claims are worked on at once: each step keeps a dozen copies of all slopes."""
    each = ((SAMPLES if row_of(layer) else 1) * layer.weight.shape[0] for layer in net.layers)
    numbers = sum(each) + net.layers[0].weight.shape[1]
    return max(1, 8 * rows_that_fit(numbers, device))


def optimise(task: Task, settings: AlphaSettings, start: Multipliers | None = None) -> tuple[Tensor, Multipliers]:
    """Makes planes as low as a few steps can, starting from the default rule or from a parent's multipliers.

    Returns:
        the largest value of each claim's row (C,) with the rounded multipliers, and these.
    """
    rule = default(task.net, task.layers)
    free = [unstable(layer, bounds) for layer, bounds in zip(task.net.hidden, task.layers, strict=False)]
    begin = rule if start is None else start
    slopes = [torch.where(f, b, r) for f, b, r in zip(free, begin.slopes, rule.slopes, strict=True)]
    bents = bents_of(task)
    along = rule.along
    for bent in bents if begin.along else ():
        along[bent.layer] = torch.where(bent.free, begin.along[bent.layer], 0.0)
    begin = Multipliers(slopes, _signed(task, [part.abs() for part in begin.betas]), along)
    lowest = task.largest(begin)
    choice = bool(bents) or any(bool(part.any()) for part in (*free, *(task.signs or ())))
    if not choice or not settings.steps or bool((lowest < task.limits).all()):
        return lowest, begin
    found = _rounded(task, _descended(task, settings, begin, bents), free)
    value = task.largest(found)
    better = value < lowest
    return torch.where(better, value, lowest), _where(better, found, begin)


def bents_of(task: Task) -> list[UnstableNeurons]:
    """The neurons that bend otherwise than relu, layer by layer."""
    layers = zip(task.net.hidden, task.layers, strict=False)
    found = (UnstableNeurons.of(number, layer, bounds) for number, (layer, bounds) in enumerate(layers))
    return [bent for bent in found if bent is not None]


def _descended(
    task: Task, settings: AlphaSettings, begin: Multipliers, bents: Sequence[UnstableNeurons]
) -> Multipliers:
    """The best multipliers of a descent in float32."""
    claims, signs = claims_of(task), [part.float() for part in task.signs or ()]
    layers, split = len(claims.stages), len(signs)
    start = [part.float() for part in begin.slopes]
    if signs:
        start += [part.abs().float() for part in begin.betas]
    above = claims.walk(start[:layers], None).above if bents else []
    began = [bent.started(claims, start, begin.along[bent.layer], above[bent.layer]) for bent in bents]

    def evaluate(parts: list[Tensor]) -> Evaluated:
        own = RelaxedProblem.of(claims, parts[:layers], bents, parts[layers + split :])
        sizes = parts[layers : layers + split]
        betas = [size * sign for size, sign in zip(sizes, signs, strict=True)] if signs else None
        backward = own.claims.walk(own.slopes, betas)
        up, where = steepest(backward.slope, task.pairs.domain, task.geometry)

        def gradients() -> list[Tensor]:
            met = own.claims.relaxed_activations(backward, own.slopes, claims.center + where)
            beta_gradients = [z * sign for z, sign in zip(met, signs, strict=False)]
            return claims.alpha_gradients(backward, met) + beta_gradients + own.slope_gradients(bents, backward, met)

        return Evaluated(backward.value + up, gradients)

    def project(parts: list[Tensor]) -> None:
        for part, layer in zip(parts[:layers], task.net.hidden, strict=True):
            part.clamp_(least_slope(layer), 1.0)
        for part in parts[layers : layers + split]:
            part.clamp_(min=0.0)
        for part, bent in zip(parts[layers + split :], bents, strict=True):
            part.copy_(bent.clamped(part))

    sizes = [ALPHA_STEP] * layers + (claims.beta_steps(start) if signs else [])
    sizes += [bent.step * bent.slopes.more for bent in bents]
    descent = ProjectedAdam(evaluate, project, sizes, task.limits.float())
    best = descent.run([*start, *began], settings.steps, settings.patience)
    along = list(begin.along)
    for bent, part, at in zip(bents, best[layers + split :], began, strict=True):
        along[bent.layer] = bent.ended(part, at, along[bent.layer])
    wide = [part.double() for part in best[: layers + split]]
    return Multipliers(wide[:layers], _signed(task, wide[layers:] or [torch.zeros_like(p) for p in wide]), along)


def claims_of(task: Task) -> LinearBoundProblem:
    """The rows over the state above the last hidden layer, in float32."""
    last, bounds = task.net.layers[-1], task.layers[-1]
    constant = (task.rows.abs() * bounds.radius + task.rows * last.offset_of(task.pairs.input)).sum(1)
    each = torch.arange(len(task.rows), device=task.rows.device)
    of = (each, task.pairs, task.rows @ last.weight, task.constants + constant)
    return linear_bound_problem(task.net, task.layers[:-1], task.geometry, of)


def _signed(task: Task, sizes: Sequence[Tensor]) -> list[Tensor]:
    if task.signs is None:
        return [torch.zeros_like(part) for part in sizes]
    return [part * sign for part, sign in zip(sizes, task.signs, strict=True)]


def _where(better: Tensor, new: Multipliers, old: Multipliers) -> Multipliers:
    def chosen(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        return [torch.where(better[:, None], x, y) for x, y in zip(a, b, strict=True)]

    return Multipliers(
        *(chosen(*part) for part in ((new.slopes, old.slopes), (new.betas, old.betas), (new.along, old.along)))
    )


def _rounded(task: Task, best: Multipliers, free: Sequence[Tensor]) -> Multipliers:
    """Multipliers as evidence holds them: slopes as whole steps between the least one and 1."""
    rule = default(task.net, task.layers).slopes
    slopes = [
        torch.where(may, slope_of(level_of(part), layer), usual)
        for layer, part, may, usual in zip(task.net.hidden, best.slopes, free, rule, strict=True)
    ]
    return Multipliers(slopes, best.betas, best.along)


def level_of(slopes: Tensor) -> Tensor:
    """The nearest levels 0..255 of lower slopes, shape as given."""
    return (slopes.clamp(0.0, 1.0) * LEVELS).round()


def hex_of(levels: Tensor) -> str:
    """Levels, shape (n,), as evidence holds them: two hex digits each."""
    return bytes(levels.to(torch.uint8).tolist()).hex()


def slope_of(levels: Tensor, layer: NetLayer) -> Tensor:
    """The lower slopes of levels; at least the least sound one."""
    return (levels / LEVELS).clamp(least_slope(layer), 1.0)
