"""Can several claims be met by ONE trigger? Slopes and weights that show that they cannot, many groups at once.

Where claim c is met its row, and so any upper plane g_c of it, is >= 0. For weights w >= 0 that sum to 1

    max over t of sum_c w_c g_c(t)  <  0

shows that no trigger of the domain meets all claims of the group (Farkas; by weak duality any weights are sound). The
planes of a group share the trigger, so their slopes are optimised together with the weights, and not each for itself
(Banerjee and Singh 2024, RACoon, ICML: bounds across executions; section 4). A steep plane that is bad for its own
claim may be just what cancels another one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.alpha import level_of, slope_of
from verifluxa.bounds.beta import Multipliers, apply_split, default, least_slope, linear_bounds, unstable
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
from verifluxa.bounds.net import Net

WEIGHT_STEP = 0.5
"""First step size of the logarithms of weights."""


@dataclass(frozen=True, eq=False)
class JointBoundTask:
    """G groups of claims in one domain each, C claims in all.

    Attributes:
        net: the network of a placement.
        layers: bounds of all layers of some pairs.
        geometry: of the domains.
        index: of each claim into the pairs of `layers`, shape (C,).
        pairs: of the claims.
        rows, constants: over the outputs, shape (C, outputs) and (C,).
        group: of each claim, shape (C,).
        limits: a group is refuted below this, shape (G,).
        signs: per hidden layer 1 where the pre-activation is known to be >= 0, -1 where <= 0, else 0, shape (C, n);
            None: nothing is split.
    """

    net: Net
    layers: Sequence[LayerBounds]
    geometry: Geometry
    index: Tensor
    pairs: Subproblems
    rows: Tensor
    constants: Tensor
    group: Tensor
    limits: Tensor
    signs: Sequence[Tensor] | None = None

    @property
    def domain(self) -> Tensor:
        """Of each group, shape (G,)."""
        return torch.zeros_like(self.limits, dtype=torch.long).index_copy(0, self.group, self.pairs.domain)

    def own_layers(self) -> list[LayerBounds]:
        """Bounds of each claim, those of split neurons ending at 0."""
        layers = [light(bounds, self.index) for bounds in self.layers]
        if self.signs is None:
            return layers
        split = zip(self.net.hidden, layers, self.signs, strict=False)
        return [*(apply_split(layer, bounds, sign) for layer, bounds, sign in split), layers[-1]]

    def take(self, kept: Tensor) -> JointBoundTask:
        """The same groups with some of their claims, at least one of each."""
        return replace(
            self,
            index=self.index[kept],
            pairs=self.pairs.take(kept),
            rows=self.rows[kept],
            constants=self.constants[kept],
            group=self.group[kept],
            signs=None if self.signs is None else [part[kept] for part in self.signs],
        )

    def claims(self, layers: list[LayerBounds]) -> LinearBoundProblem:
        """The rows over the state above the last hidden layer, in float32."""
        last, bounds = self.net.layers[-1], layers[-1]
        constant = (self.rows.abs() * bounds.radius + self.rows * last.offset_of(self.pairs.input)).sum(1)
        each = torch.arange(len(self.index), device=self.index.device)
        of = (each, self.pairs, self.rows @ last.weight, self.constants + constant)
        return linear_bound_problem(self.net, layers[:-1], self.geometry, of)

    def sizes(self, last: LayerBounds) -> Tensor:
        """The size of what each row sums over the outputs, shape (C,); 0 where it is not finite."""
        largest = torch.maximum(last.lower.abs(), last.upper.abs())
        summed = (largest * self.rows.abs()).sum(1) + self.constants.abs()
        return torch.nan_to_num(summed, nan=0.0, posinf=0.0)

    def summed(self, parts: Tensor) -> Tensor:
        """Sums over each group: (C, ...) to (G, ...)."""
        return parts.new_zeros(len(self.limits), *parts.shape[1:]).index_add(0, self.group, parts)

    def shares(self, logarithms: Tensor) -> Tensor:
        """Weights (C,) that sum to 1 in each group, from their logarithms (C, 1)."""
        weights = logarithms[:, 0].exp()
        return weights / self.summed(weights)[self.group]


class JointParameters(NamedTuple):
    """What planes are made with: multipliers of the claims, and logarithms of their weights, shape (C, 1)."""

    multipliers: Multipliers
    logarithms: Tensor

    def take(self, index: Tensor | slice) -> JointParameters:
        """Those of some claims."""
        return JointParameters(self.multipliers.take(index), self.logarithms[index])


@dataclass(frozen=True, eq=False)
class JointBound:
    """What a group's planes show.

    Attributes:
        largest: the largest value of each group's weighted sum, shape (G,).
        weights: shape (C,).
        chosen: what the planes are made with.
        value, slope: of the claims' planes, shape (C,) and (C, d).
        where: the point of the domain, from its center, where each group's sum is largest, shape (G, d).
        size: of the terms that a plane's largest value sums, shape (C,).
        summed: of what a row sums over the outputs, shape (C,); 0 where that is not finite.
    """

    largest: Tensor
    weights: Tensor
    chosen: JointParameters
    value: Tensor
    slope: Tensor
    where: Tensor
    size: Tensor
    summed: Tensor


def optimise_joint(
    groups: JointBoundTask, steps: int, patience: int, start: JointParameters | None = None
) -> JointBound:
    """Makes the largest value of each group's weighted sum as low as some steps can.

    Args:
        groups: the claims; `beta.is_supported` holds for their network.
        steps, patience: see `descent.ProjectedAdam.run`.
        start: what to begin with; None: the default rule and equal weights.
    """
    layers = groups.own_layers()
    rule = default(groups.net, layers)
    begin = start or JointParameters(rule, torch.zeros_like(groups.constants)[:, None])
    free = [unstable(layer, bounds) for layer, bounds in zip(groups.net.hidden, layers, strict=False)]
    slopes = [torch.where(f, b, r) for f, b, r in zip(free, begin.multipliers.slopes, rule.slopes, strict=True)]
    begin = begin._replace(multipliers=Multipliers(slopes, begin.multipliers.betas))
    found = _descended(groups, layers, begin, (steps, patience))
    rounded = [
        torch.where(may, slope_of(level_of(part), layer), usual)
        for part, may, layer, usual in zip(found.multipliers.slopes, free, groups.net.hidden, rule.slopes, strict=True)
    ]
    return _evaluated(groups, layers, found._replace(multipliers=Multipliers(rounded, found.multipliers.betas)))


def _descended(
    groups: JointBoundTask, layers: list[LayerBounds], begin: JointParameters, limits: tuple[int, int]
) -> JointParameters:
    """The best of a descent in float32."""
    claims = groups.claims(layers)
    signs = [part.float() for part in groups.signs or ()]
    slopes, betas = ([part.float() for part in parts] for parts in (begin.multipliers.slopes, begin.multipliers.betas))
    count, domain = len(slopes), groups.domain

    def evaluate(parts: list[Tensor]) -> Evaluated:
        signed_betas = [size * sign for size, sign in zip(parts[count:-1], signs, strict=True)] if signs else None
        backward = claims.walk(parts[:count], signed_betas)
        weights = groups.shares(parts[-1])
        up, where = steepest(groups.summed(weights[:, None] * backward.slope), domain, groups.geometry)

        def gradients() -> list[Tensor]:
            point = where[groups.group]
            met = claims.relaxed_activations(backward, parts[:count], claims.center + point)
            by_parts = claims.alpha_gradients(backward, met) + [z * sign for z, sign in zip(met, signs, strict=False)]
            reached = backward.value + (backward.slope * point).sum(1)
            more = reached - groups.summed(weights * reached)[groups.group]
            return [weights[:, None] * part for part in (*by_parts, more[:, None])]

        return Evaluated(groups.summed(weights * backward.value) + up, gradients)

    def project(parts: list[Tensor]) -> None:
        for part, layer in zip(parts[:count], groups.net.hidden, strict=True):
            part.clamp_(least_slope(layer), 1.0)
        for part in parts[count:-1]:
            part.clamp_(min=0.0)

    sizes: list[Tensor | float] = [ALPHA_STEP] * count
    variables = [*slopes]
    if signs:
        sizes += claims.beta_steps(slopes)
        variables += [part.abs() for part in betas]
    items = [groups.group] * (len(variables) + 1)
    descent = ProjectedAdam(evaluate, project, [*sizes, WEIGHT_STEP], groups.limits.float(), items)
    best = [part.double() for part in descent.run([*variables, begin.logarithms.float()], *limits)]
    signed = [size * sign for size, sign in zip(best[count:-1], groups.signs or (), strict=True)]
    return JointParameters(
        Multipliers(best[:count], signed or [torch.zeros_like(part) for part in best[:count]]), best[-1]
    )


def _evaluated(groups: JointBoundTask, layers: list[LayerBounds], chosen: JointParameters) -> JointBound:
    """The groups' values anew, in float64, from numbers that evidence can hold."""
    of = (groups.pairs, groups.rows, groups.constants)
    value, slope = linear_bounds(groups.net, layers, groups.geometry, of, chosen.multipliers)
    weights = groups.shares(chosen.logarithms)
    total = groups.summed(weights[:, None] * slope)
    up = spread(total[:, None], groups.domain, groups.geometry)[0][:, 0]
    where = steepest(total, groups.domain, groups.geometry)[1]
    size = value.abs() + (slope.abs() * groups.geometry.half[groups.pairs.domain]).sum(1)
    largest = groups.summed(weights * value) + up
    return JointBound(largest, weights, chosen, value, slope, where, size, groups.sizes(layers[-1]))


def light(bounds: LayerBounds, index: Tensor) -> LayerBounds:
    """Bounds of some pairs without the planes of neurons."""
    relaxed = None if bounds.relaxed is None else type(bounds.relaxed)(*(part[index] for part in bounds.relaxed))
    return LayerBounds(bounds.lower[index], bounds.upper[index], bounds.radius[index], None, relaxed)


def stacked(parts: Sequence[LayerBounds]) -> LayerBounds:
    """Bounds of one layer for some pairs, then for others, without the planes of neurons."""
    relaxed = None
    if parts[0].relaxed is not None:
        lines = zip(*(part.relaxed for part in parts if part.relaxed is not None), strict=True)
        relaxed = type(parts[0].relaxed)(*(torch.cat(column) for column in lines))
    lower, upper, radius = (torch.cat([getattr(part, name) for part in parts]) for name in ("lower", "upper", "radius"))
    return LayerBounds(lower, upper, radius, None, relaxed)
