"""Lines around a function along a slope of one's own choice, so that slopes can be optimised beyond relu.

For ANY slope s the lines `s z + max (f - s z)` and `s z + min (f - s z)`, over [l, u], lie above and below f: the
intercepts are f's conjugates (Boyd and Vandenberghe 2004, section 3.3). The best lines of an S-shaped function touch
it somewhere, and so do those of a clip; which slope is best depends on the row, so it is optimised for each
(Lyu et al. 2020, Fastened CROWN, section 3, for tangents of any activation; Xu et al. 2021, alpha-CROWN, for relu). One
slope serves both lines, since a row uses only one of them at a neuron: which one its coefficient's sign says.
Intercepts come from a sample, see `smooth`.

A slope is kept as a level: 1 to 255 go in equal steps from the least to the largest slope of the sample's segments; 0
stands for the lines of the default rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.functions import Parameters, Relaxation
from verifluxa.bounds.linear import LayerBounds
from verifluxa.bounds.net import NetLayer
from verifluxa.bounds.smooth import SAMPLES, SMOOTH, Sample, Smooth, above, exponential, sample_of, with_parameter
from verifluxa.bounds.special import PairRelaxation

LEVELS = 255
"""The largest level."""


@dataclass(frozen=True)
class _Clip(Smooth):
    """`min(max(z, low), high)`; the kinks are its ends."""

    def value(self, z: Tensor) -> Tensor:
        """The function."""
        return z.clamp(*self.kinks)


# tanh'' = -2 t (1 - t^2), at most 4 / (3 sqrt 3), with 1 - t^2 <= 4 e^-2|z|; sigmoid'' = s (1 - s)(1 - 2 s), at most
# 1 / (6 sqrt 3), with s (1 - s) <= e^-|z|.
_S_SHAPED = {
    name: row
    for row in (
        Smooth("tanh", 0.77, 1.0, (), exponential(8.0, 2.0)),
        Smooth("sigmoid", 0.097, 0.25, (), exponential(1.0, 1.0)),
    )
    for name in (row.name, f"{row.name}_fast")
}


def sampled_row(name: str | None, parameters: Parameters) -> Smooth | None:
    """How a function of `functions.FUNCTIONS` is sampled; None for relu-like ones, whose lines are known, and jumps."""
    if name == "clip":
        return _Clip("clip", 0.0, 1.0, parameters)
    if name in SMOOTH or name == "two slopes":
        return with_parameter(name, *parameters)
    return _S_SHAPED.get(name or "")


def row_of(layer: NetLayer) -> Smooth | None:
    """The same for a layer's function."""
    return None if layer.special is not None else sampled_row(layer.function, layer.parameters)


class SlopeRange(NamedTuple):
    """The least slope of a sample's segments and what the largest one is more, shape (...) as the intervals."""

    least: Tensor
    more: Tensor

    @classmethod
    def of(cls, sample: Sample, lower: Tensor, upper: Tensor) -> SlopeRange:
        """The slopes of a sample of [lower, upper]."""
        step = torch.where(upper > lower, (upper - lower) / (SAMPLES - 1), 1.0)
        segments = sample.values[..., :SAMPLES].diff(dim=-1) / step[..., None]
        least = segments.amin(-1)
        return cls(least, segments.amax(-1) - least)

    def at(self, levels: Tensor) -> Tensor:
        """The slopes of levels 1 to 255."""
        return self.least + self.more * ((levels - 1) / (LEVELS - 1))

    def levels(self, slopes: Tensor) -> Tensor:
        """The nearest levels, 1 to 255."""
        share = (slopes - self.least) / torch.where(self.more > 0, self.more, 1.0)
        return 1 + ((LEVELS - 1) * share.clamp(0.0, 1.0)).round()


def parametrised_relaxation(row: Smooth, lower: Tensor, upper: Tensor, levels: Tensor) -> Relaxation:
    """Both lines of a function along the slopes of levels 1 to 255; no numbers where an end is none."""
    sample = sample_of(row, lower, upper)
    slope = SlopeRange.of(sample, lower, upper).at(levels) + (upper - lower) * 0.0
    return Relaxation(slope, above(sample, slope, -1.0), slope, above(sample, slope, 1.0))


def relaxation_at(layer: NetLayer, bounds: LayerBounds, levels: Tensor | None) -> Relaxation:
    """The lines of a layer's neurons: of the default rule, or where their level is not 0 along a slope.

    Args:
        layer: not one of products.
        bounds: of the layer.
        levels: shape (B, n), or None: all are 0.
    """
    relaxed, row = bounds.relaxed, row_of(layer)
    assert relaxed is not None
    assert not isinstance(relaxed, PairRelaxation)
    if levels is None or row is None or not bool((levels > 0).any()):
        return relaxed
    own = (levels > 0).nonzero(as_tuple=True)
    lines = parametrised_relaxation(row, bounds.lower[own], bounds.upper[own], levels[own])
    return Relaxation(*(part.index_put(own, new) for part, new in zip(relaxed, lines, strict=True)))
