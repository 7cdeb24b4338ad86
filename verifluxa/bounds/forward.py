"""Planes carried forward through the layers: which neurons of the last hidden layer are surely decided.

Backward planes of a neuron lie below these wherever the trigger is: they choose between two lines once for each
neuron below, after all paths to it have been added up, where these choose once for each path. So a neuron that is
decided here is decided by the backward pass too, which then need not be run for it. Only on whole boxes is that
sure, so strips are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.memory import items_at_once
from verifluxa.bounds.stage import Stage

MARGIN = 1e-9
"""Share of its ends by which a neuron must miss 0: far above what a recomputation may differ by."""


class Band(NamedTuple):
    """`|z - middle| <= reach`: planes over the trigger, constants last, neurons first: shape (n, d + 1, B)."""

    middle: Tensor
    reach: Tensor

    def through(self, stage: Stage) -> Band:
        """The band of `h`, where the band is that of what the stage's slopes speak of."""
        upper, lower = ((slope.T[:, None], at.T) for slope, at in (stage.lines.upper, stage.lines[:2]))
        above = stage.gathered((upper[0] * self.middle).addcmul_(upper[0].abs(), self.reach))
        below = stage.gathered((lower[0] * self.middle).addcmul_(lower[0].abs(), self.reach, value=-1))
        above[:, -1] += upper[1]
        below[:, -1] += lower[1]
        return Band((above + below) / 2, (above - below) / 2)

    def times(self, weight: Tensor, magnitude: Tensor) -> Band:
        """The band of `weight @ h`, where the band is that of h."""
        shape = (len(weight), *self.middle.shape[1:])
        return Band((weight @ self.middle.flatten(1)).view(shape), (magnitude @ self.reach.flatten(1)).view(shape))


def ranges(stages: Sequence[Stage], weight: Tensor, magnitude: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest values of `weight @ h` over boxes, h being the state above the last stage, shape (B, m).

    Args:
        stages: bottom up, none of products.
        weight: shape (m, n).
        magnitude: its absolute values.
        half: half-widths of each pair's box, shape (B, d).
    """
    most = max(len(weight), *(len(stage.weight) for stage in stages)) * (half.shape[1] + 1)
    size = 8 * items_at_once(half.device, most)
    parts = []
    for start in range(0, len(half), size):
        cut = slice(start, start + size)
        parts.append(_ranges([stage.take(cut) for stage in stages], weight, magnitude, half[cut].T))
    lower, upper = zip(*parts, strict=True)
    return torch.cat(lower), torch.cat(upper)


def _ranges(stages: Sequence[Stage], weight: Tensor, magnitude: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    first = stages[0].weight
    first = first if stages[0].winner is None else torch.eye(first.shape[1]).to(first)
    plane = torch.cat([first, first.new_zeros(len(first), 1)], 1)
    middle = plane[:, :, None].expand(-1, -1, half.shape[1])
    band = Band(middle, torch.zeros_like(middle)).through(stages[0])
    for stage in stages[1:]:
        band = band if stage.winner is not None else band.times(stage.weight, stage.weight.abs())
        band = band.through(stage)
    band = band.times(weight, magnitude)
    upper, lower = band.middle + band.reach, band.middle - band.reach
    ends = [(plane[:, :-1].abs() * half).sum(1) for plane in (lower, upper)]
    return (lower[:, -1] - ends[0]).T, (upper[:, -1] + ends[1]).T


def pays(stages: Sequence[Stage], weight: Tensor, rows: float) -> bool:
    """Whether this costs less than half of the backward pass of so many rows per pair."""
    carried = 2 * (stages[0].weight.shape[1] + 1) * (weight.numel() + sum(stage.products for stage in stages[1:]))
    return len(stages) > 1 and 2 * carried < rows * sum(stage.products for stage in stages)


def clearly(ends: tuple[Tensor, Tensor]) -> Tensor:
    """Where ends surely have one sign."""
    lower, upper = ends
    margin = MARGIN * (lower.abs() + upper.abs())
    return (lower > margin) | (upper < -margin)
