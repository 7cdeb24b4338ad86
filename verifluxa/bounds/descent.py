"""Upper planes of many claims with lower slopes of their own, and the gradients of what they bound.

Both are passes over plain tensors. Backward (CROWN) the coefficients of a row go down to the trigger; forward the
point where the plane is largest goes up through the relaxed network. With `a` the coefficient that a row has on a
neuron, s its lower slope and z its relaxed pre-activation at that point, the largest value moves with s by
`min(a, 0) z`, and by z with a multiplier that is added to the neuron's coefficient (the adjoint of alpha-CROWN, Xu et
al. 2021, and beta-CROWN, Wang et al. 2021, written out). So a step costs two products per layer, in float32: what it
ends with is evaluated anew by `beta.planes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.beta import unstable
from verifluxa.bounds.domain import Geometry, spread
from verifluxa.bounds.linear import LayerBounds, Subproblems
from verifluxa.bounds.maxima import folded, pairs_of, spread_over
from verifluxa.bounds.net import Net
from verifluxa.bounds.special import PairRelaxation

ALPHA_STEP, BETA_STEP = 0.5, 0.25
"""First step sizes: of slopes, and of betas in units of a row's mean coefficient on their layer."""
MOMENTUM, SQUARES = 0.9, 0.99
LAST_SHARE = 0.1
"""Step sizes fall to this share of the first ones."""
PROGRESS = 1e-4
"""What counts as progress, relative to the value."""


class Stage(NamedTuple):
    """A hidden layer under some claims: weight (n, s), and its lines, error radii and offsets, shape (C, n) each.

    `free` tells which lower slopes may be chosen. Where there are `pairs` of a max pool's round, constants of the lines
    are those of what the round leaves.
    """

    weight: Tensor
    upper_slope: Tensor
    upper_at: Tensor
    lower_at: Tensor
    radius: Tensor
    offset: Tensor
    free: Tensor
    pairs: int = 0


class BackwardPass(NamedTuple):
    """Planes: value at the center (C,) and slope (C, d); per layer the coefficients above and below its function."""

    value: Tensor
    slope: Tensor
    above: list[Tensor]
    below: list[Tensor]


@dataclass(frozen=True, eq=False)
class LinearBoundProblem:
    """Rows over the state above the last stage, with the stages under them, bottom up.

    Attributes:
        stages: one per hidden layer.
        rows: shape (C, n).
        constant: shape (C,).
        center: of each claim's domain, shape (C, d).
    """

    stages: tuple[Stage, ...]
    rows: Tensor
    constant: Tensor
    center: Tensor

    def walk(self, slopes: Sequence[Tensor], betas: Sequence[Tensor] | None) -> BackwardPass:
        """The planes.

        Args:
            slopes: lower slopes, shape (C, n) per layer; where they are not free those of the rule.
            betas: added to the coefficients, shape (C, n) per layer, or None.
        """
        value, rows = self.constant, self.rows
        above: list[Tensor] = []
        below: list[Tensor] = []
        for number in range(len(self.stages) - 1, -1, -1):
            stage = self.stages[number]
            positive = rows.clamp(min=0)
            negative = rows - positive
            value = value + (positive * stage.upper_at).addcmul_(negative, stage.lower_at).sum(1)
            rows, positive, negative = (spread_over(part, stage.pairs) for part in (rows, positive, negative))
            own = (positive * stage.upper_slope).addcmul_(negative, slopes[number])
            if betas is not None:
                own = own + betas[number]
            value = value + (own.abs() * stage.radius).addcmul_(own, stage.offset).sum(1)
            above.append(rows)
            below.append(own)
            rows = own @ stage.weight
        return BackwardPass(value + (rows * self.center).sum(1), rows, above[::-1], below[::-1])

    def relaxed_activations(self, backward: BackwardPass, slopes: Sequence[Tensor], at: Tensor) -> list[Tensor]:
        """The relaxed pre-activations (C, n) of each layer that the planes take at points (C, d)."""
        found = []
        state = at
        for stage, slope, above, below in zip(self.stages, slopes, backward.above, backward.below, strict=True):
            z = (state @ stage.weight.T).add_(stage.offset).addcmul_(below.sign(), stage.radius)
            found.append(z)
            upper = folded(stage.upper_slope * z, stage.pairs).add(stage.upper_at)
            lower = folded(slope * z, stage.pairs).add(stage.lower_at)
            state = torch.where(above[:, : upper.shape[1]] > 0, upper, lower)
        return found

    def alpha_gradients(self, backward: BackwardPass, met: Sequence[Tensor]) -> list[Tensor]:
        """The gradients in the lower slopes, 0 where they are not free."""
        parts = zip(backward.above, met, self.stages, strict=True)
        return [(above.clamp(max=0) * z).mul_(stage.free) for above, z, stage in parts]

    def beta_steps(self, slopes: Sequence[Tensor]) -> list[Tensor | float]:
        """Step sizes of betas, shape (C, 1) per layer: in units of the coefficients that they join."""
        below = self.walk(slopes, None).below
        return [BETA_STEP * part.abs().mean(1, keepdim=True) for part in below]


def linear_bound_problem(
    net: Net, layers: Sequence[LayerBounds], geometry: Geometry, of: tuple[Tensor, Subproblems, Tensor, Tensor]
) -> LinearBoundProblem:
    """Claims over the state above layer `len(layers) - 1`, in float32.

    Args:
        net: whose layers are supported, see `beta.is_supported`.
        layers: bounds of the layers under the rows, bottom up.
        of: index of each claim into the pairs of `layers` (C,), the claims' pairs, rows (C, n) and constants (C,).
    """
    index, pairs, rows, constants = of
    stages = []
    for layer, bounds in zip(net.layers, layers, strict=False):
        relaxed = bounds.relaxed
        assert relaxed is not None
        assert not isinstance(relaxed, PairRelaxation)
        parts = (relaxed.upper_slope, relaxed.upper_intercept, relaxed.lower_intercept, bounds.radius)
        wide = [part[index].float() for part in parts]
        offset = layer.offset_of(pairs.input).float().expand_as(wide[0])
        free = unstable(layer, bounds)[index]
        many = pairs_of(layer.special)
        stages.append(Stage(layer.weight.float(), wide[0], wide[1], wide[2], wide[3], offset, free, many))
    center = geometry.center[pairs.domain].float()
    return LinearBoundProblem(tuple(stages), rows.float(), constants.float(), center)


def steepest(slope: Tensor, domain: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """How far linear functions rise above their value at the center (C,), and where they do so (C, d), from the center.

    With strips the second is the gradient of the first, which any multipliers of strips make a fair guide.
    """
    if not len(geometry.directions):
        half = geometry.half[domain].to(slope.dtype)
        return (slope.abs() * half).sum(1), slope.sign() * half
    leaf = slope.double().detach().requires_grad_(True)
    with torch.enable_grad():
        up = spread(leaf[:, None], domain, geometry)[0][:, 0]
        (where,) = torch.autograd.grad(up.sum(), leaf)
    return up.detach().to(slope.dtype), where.to(slope.dtype)


class Evaluated(NamedTuple):
    """Values of items (G,), and what gives the gradient of their sum in each variable."""

    value: Tensor
    gradients: Callable[[], list[Tensor]]


@dataclass(frozen=True, eq=False)
class ProjectedAdam:
    """Variables of many independent items, and what is to become small.

    Attributes:
        evaluate: of the variables, shape (rows, ...) each.
        project: puts variables back where they are allowed, in place.
        steps: first step size of each variable: a number, or one for each row (rows, 1).
        limits: an item is settled once its value lies below this, shape (G,).
        item: which item each row of the variables belongs to, one tensor per variable; None: row by row.
    """

    evaluate: Callable[[list[Tensor]], Evaluated]
    project: Callable[[list[Tensor]], None]
    steps: Sequence[Tensor | float]
    limits: Tensor
    item: Sequence[Tensor] | None = None

    def run(self, start: Sequence[Tensor], count: int, patience: int) -> list[Tensor]:
        """The best variables of `count` steps of Adam (Kingma and Ba 2015, algorithm 1), item by item.

        Ends early when every item is settled, or none has made progress for `patience` steps.
        """
        now, best = [part.clone() for part in start], [part.clone() for part in start]
        first, second = ([torch.zeros_like(part) for part in start] for _ in range(2))
        lowest, idle = torch.full_like(self.limits, torch.inf), 0
        for step in range(count + 1):
            value, gradients = self.evaluate(now)
            better = value < lowest
            idle = 0 if bool((value < lowest - PROGRESS * value.abs()).any()) else idle + 1
            self._keep(better, now, best)
            lowest = torch.where(better, value, lowest)
            if step == count or idle > patience or bool((lowest < self.limits).all()):
                break
            size = 1.0 - (1.0 - LAST_SHARE) * step / count
            for number, gradient in enumerate(gradients()):
                finite = gradient.nan_to_num_()
                first[number].lerp_(finite, 1 - MOMENTUM)
                second[number].mul_(SQUARES).addcmul_(finite, finite, value=1 - SQUARES)
                root = (second[number] / (1 - SQUARES ** (step + 1))).sqrt_().add_(1e-12)
                moved = (first[number] / root).mul_(self.steps[number]).mul_(size / (1 - MOMENTUM ** (step + 1)))
                now[number] -= moved
            self.project(now)
        return best

    def _keep(self, better: Tensor, now: Sequence[Tensor], best: Sequence[Tensor]) -> None:
        everything = bool(better.all())
        for number, (new, old) in enumerate(zip(now, best, strict=True)):
            rows = better if self.item is None else better[self.item[number]]
            if everything:
                old.copy_(new)
            else:
                old[rows] = new[rows]
