"""Descent over the slopes that both lines of a neuron run along; see `along`.

With a the coefficient of a row on the neuron, z its relaxed pre-activation where the row's plane is largest, and p the
point where the line that the row uses touches the function, the largest value moves with the slope by `a (z - p)`: the
intercept is a conjugate, whose derivative is -p (Danskin's theorem).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.along import SlopeRange, row_of
from verifluxa.bounds.descent import BackwardPass, LinearBoundProblem
from verifluxa.bounds.linear import LayerBounds
from verifluxa.bounds.net import NetLayer
from verifluxa.bounds.smooth import SAMPLES, sample_of

EVERY = 4
"""Steps look at every fourth point of a sample, and at kinks: as good as at all of them, and faster (measured)."""
WIDE = 1e-3
"""Least width of an interval, and least difference of its slopes, where a choice of slopes is worth anything."""
STRAIGHT_STEP, SMOOTH_STEP = 0.15, 0.05
"""First step sizes, as shares of the difference of a neuron's slopes: of functions of straight pieces, and others."""


class UnstableNeurons(NamedTuple):
    """Neurons of a layer under some claims whose slopes may be chosen, and their samples in float32.

    The lines touch some of the sampled points alone, which is near enough while steps are taken.

    Attributes:
        layer: its number.
        free: which neurons, shape (C, n).
        points, values: some of the samples, shape (C, n, points); 0 for other neurons.
        slopes: of the neurons, shape (C, n); 0 for other neurons.
        step: the first step size.
    """

    layer: int
    free: Tensor
    points: Tensor
    values: Tensor
    slopes: SlopeRange
    step: float

    @classmethod
    def of(cls, number: int, layer: NetLayer, bounds: LayerBounds) -> UnstableNeurons | None:
        """The neurons of layer `number` that bend within their bounds; None where none does."""
        row = row_of(layer)
        if row is None:
            return None
        lower, upper = bounds.lower, bounds.upper
        sample = sample_of(row, lower, upper)
        slopes = SlopeRange.of(sample, lower, upper)
        free = (upper - lower > WIDE) & (slopes.more > WIDE) & torch.isfinite(lower) & torch.isfinite(upper)
        free = free if layer.linear is None else free & ~layer.linear
        if not bool(free.any()):
            return None
        few = [*range(0, SAMPLES, EVERY), *range(SAMPLES, sample.points.shape[-1])]
        kept = (part[..., few] for part in (sample.points, sample.values))
        points, values = (torch.where(free[..., None], part, 0.0).float() for part in kept)
        own = SlopeRange(*(torch.where(free, part, 0.0).float() for part in slopes))
        return cls(number, free, points, values, own, SMOOTH_STEP if row.curvature else STRAIGHT_STEP)

    def touching(self, slope: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The intercepts below and above, each with the points where the line touches, shape (C, n)."""
        rest = self.values.addcmul(slope[..., None], self.points, value=-1.0)
        low, high = rest.min(-1), rest.max(-1)
        at = [self.points.gather(-1, part.indices[..., None])[..., 0] for part in (low, high)]
        return (low.values, at[0]), (high.values, at[1])

    def started(self, claims: LinearBoundProblem, slopes: Sequence[Tensor], levels: Tensor, above: Tensor) -> Tensor:
        """The slopes of levels; where these are 0 the rule's, of the line that coefficients `above` use."""
        rule = torch.where(above > 0, claims.stages[self.layer].upper_slope, slopes[self.layer])
        return torch.where(levels > 0, self.slopes.at(levels.float()), self.clamped(rule))

    def clamped(self, slope: Tensor) -> Tensor:
        """Slopes within those of the samples."""
        return torch.maximum(torch.minimum(slope, self.slopes.least + self.slopes.more), self.slopes.least)

    def ended(self, slope: Tensor, began: Tensor, levels: Tensor) -> Tensor:
        """Levels of the slopes; those that there were where a slope has not moved by a level."""
        now = self.slopes.levels(slope)
        moved = self.free & (now != self.slopes.levels(began))
        return torch.where(moved, now.double(), levels)


class RelaxedProblem(NamedTuple):
    """Claims whose free neurons have lines along chosen slopes, the lower slopes of all, and what was touched."""

    claims: LinearBoundProblem
    slopes: list[Tensor]
    touched: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(
        cls,
        claims: LinearBoundProblem,
        slopes: Sequence[Tensor],
        bents: Sequence[UnstableNeurons],
        along: Sequence[Tensor],
    ) -> RelaxedProblem:
        """The claims with the lines of `bents` along the slopes `along`, shape (C, n) each."""
        stages, lower, touched = list(claims.stages), list(slopes), []
        for bent, slope in zip(bents, along, strict=True):
            (low, left), (high, right) = bent.touching(slope)
            stage, number = stages[bent.layer], bent.layer
            parts = ((slope, stage.upper_slope), (high, stage.upper_at), (low, stage.lower_at), (slope, lower[number]))
            upper_slope, upper_at, lower_at, lower[number] = (torch.where(bent.free, *part) for part in parts)
            stages[number] = stage._replace(upper_slope=upper_slope, upper_at=upper_at, lower_at=lower_at)
            touched.append((left, right))
        return cls(replace(claims, stages=tuple(stages)), lower, touched)

    def slope_gradients(
        self, bents: Sequence[UnstableNeurons], backward: BackwardPass, met: Sequence[Tensor]
    ) -> list[Tensor]:
        """The gradients in the chosen slopes, 0 where a neuron is not free."""
        found = []
        for bent, (left, right) in zip(bents, self.touched, strict=True):
            above = backward.above[bent.layer]
            found.append(above * (met[bent.layer] - torch.where(above > 0, right, left)) * bent.free)
        return found
