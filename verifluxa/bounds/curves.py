"""Convex functions that normalisations and softmax are made of, as functions of a layer: lines around them.

Each is convex where its argument can lie: on `z >= floor`, which every deployed value keeps to (a sum of squares
plus epsilon, a sum of exponentials one of which is 1). So on [l, u] for ANY slope s the line `s z + max(f(l) - s l,
f(u) - s u)` lies above it, and any tangent lies below it. The chord and the tangent at the middle waste least area.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.functions import Relaxation

SLACK = 2.0**-44
"""Of a line's terms: far above the error of evaluating these functions and their slopes in float64."""
UNDERFLOW = 2.0**-1000
NARROW = 2.0**-20
"""Relative width below which a chord's slope is taken from the derivative instead."""


class _Row(NamedTuple):
    """Value and derivative; the parameter is epsilon where one is needed."""

    value: Callable[[Tensor, float], Tensor]
    slope: Callable[[Tensor, float], Tensor]
    rises: bool


def _inverse_deviation(v: Tensor, epsilon: float) -> Tensor:
    return 1 / (v.clamp(min=0).sqrt() + epsilon)


def _inverse_deviation_slope(v: Tensor, epsilon: float) -> Tensor:
    root = v.clamp(min=1e-300).sqrt()
    return -1 / (2 * root * (root + epsilon) ** 2)


CURVES: dict[str, _Row] = {
    "square": _Row(lambda z, _: z * z, lambda z, _: 2 * z, False),
    "exp": _Row(lambda z, _: z.exp(), lambda z, _: z.exp(), True),
    "reciprocal": _Row(lambda z, _: 1 / z, lambda z, _: -1 / (z * z), False),
    "inverse root": _Row(lambda z, _: z.rsqrt(), lambda z, _: -0.5 * z.rsqrt() / z, False),
    "inverse deviation": _Row(_inverse_deviation, _inverse_deviation_slope, False),
    "minus log": _Row(lambda z, _: -z.log(), lambda z, _: -1 / z, False),
}


@dataclass(frozen=True)
class Curve:
    """A row of `CURVES` where `z >= floor`; below it the value at the floor. A `special.Special`.

    Attributes:
        name: the row.
        floor: no deployed argument lies below; -inf for square and exp.
        epsilon: of the inverse deviation `1 / (sqrt(z) + epsilon)`.
        cap: above it the value at the cap; only where the curve rises.
    """

    name: str
    floor: float = -torch.inf
    epsilon: float = 0.0
    cap: float = torch.inf

    def to(self, device: str) -> Curve:
        """Itself: it holds no tensors."""
        return self

    def padded(self, size: int) -> Curve:
        """Itself: every neuron has the same function."""
        return self

    def value(self, z: Tensor) -> Tensor:
        """The function."""
        return CURVES[self.name].value(z.clamp(self.floor, self.cap), self.epsilon)

    def span(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest value, outward."""
        ends = torch.stack([self.value(lower), self.value(upper)])
        least, most = ends.amin(0), ends.amax(0)
        if self.name == "square":
            least = torch.where((lower < 0) & (upper > 0), torch.zeros_like(least), least)
        return least - SLACK * least.abs() - UNDERFLOW, most + SLACK * most.abs() + UNDERFLOW

    def relax(self, lower: Tensor, upper: Tensor) -> Relaxation:
        """The chord above and the tangent at the middle below; no numbers where an end is none.

        Beyond a cap the chord ends there, and the line below is flat.
        """
        row, nothing, over = CURVES[self.name], (upper - lower) * 0.0, upper > self.cap
        low = lower.clamp(self.floor, self.cap)
        high = torch.maximum(upper.clamp(self.floor, self.cap), low)
        middle = low + (high - low) / 2
        tangent, at = row.slope(middle, self.epsilon), row.value(middle, self.epsilon)
        f_low, f_high = row.value(low, self.epsilon), row.value(high, self.epsilon)
        tangent, at = torch.where(over, torch.zeros_like(at), tangent), torch.where(over, f_low, at)
        largest = torch.maximum(low.abs(), high.abs())
        narrow = high - low <= NARROW * largest
        chord = torch.where(narrow, row.slope(middle, self.epsilon), (f_high - f_low) / (high - low))
        chord = torch.where(lower >= self.cap, torch.zeros_like(chord), chord)
        above = torch.maximum(f_low - chord * low, f_high - chord * high)
        above = above + SLACK * (f_low.abs() + f_high.abs() + chord.abs() * largest) + UNDERFLOW
        below = at - tangent * middle - SLACK * (at.abs() + tangent.abs() * largest) - UNDERFLOW
        return Relaxation(*(part + nothing for part in (tangent, below, chord, above)))

    def open(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Every value that moves."""
        return upper > lower
