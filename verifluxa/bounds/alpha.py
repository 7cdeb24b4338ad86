"""What a linear bound may be made with: slopes of the relaxation (alpha), multipliers of split neurons (beta).

Any lower slope in [0, 1] is sound for relu (Xu et al. 2021, alpha-CROWN, eq. 5). Where a neuron's pre-activation z is
known to be >= 0 (or <= 0) because it was split, adding `beta z` (or `-beta z`), beta >= 0, to a row can only raise it,
so the row's upper bound stays one for ANY beta >= 0 (Wang et al. 2021, beta-CROWN, theorem 3.1).

Other functions have lines along a slope of one's own choice as well. For ANY slope s the lines `s z + max (f - s z)`
and `s z + min (f - s z)`, over [l, u], lie above and below f: the intercepts are f's conjugates (Boyd and Vandenberghe
2004, section 3.3). The best lines of an S-shaped function touch it somewhere, and so do those of a clip; which slope is
best depends on the row, so it is optimised for each (Lyu et al. 2020, Fastened CROWN, section 3, for tangents of any
activation). One slope serves both lines, since a row uses only one of them at a neuron: which one its coefficient's
sign says. Intercepts come from a sample, see `smooth`.

Slopes are rounded to levels, one byte each, so that evidence can hold them. Those of relu are multiples of 1/255. Those
of other functions go in equal steps from the least (level 1) to the largest slope (255) of the sample's segments; 0
stands for the lines of the default rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from verifluxa.bounds.functions import Parameters, Relaxation
from verifluxa.bounds.linear import LayerBounds
from verifluxa.bounds.maxima import Maxima
from verifluxa.bounds.net import Net, NetLayer
from verifluxa.bounds.smooth import SAMPLES, SMOOTH, Sample, Smooth, above, exponential, sample_of, with_parameter
from verifluxa.bounds.special import PairRelaxation

LEVELS = 255
"""The largest level."""


@dataclass(frozen=True, eq=False)
class BoundParameters:
    """What linear bounds of C claims are made with, per hidden layer, bottom up.

    Attributes:
        alphas: lower slopes, shape (C, n) each; they count where `unstable_neurons` allows a choice.
        betas: signed multipliers of split neurons, shape (C, n) each: >= 0 where the pre-activation is >= 0, <= 0 where
            it is <= 0, 0 where it is not split.
        levels: of slopes that both lines of a neuron run along, 0: the default rule; shape (C, n) each.
        log_weights: logarithms of the claims' weights in their groups, shape (C, 1).
    """

    alphas: list[Tensor]
    betas: list[Tensor]
    levels: list[Tensor]
    log_weights: Float[Tensor, "C 1"]

    def mapped(self, change: Callable[..., Tensor], *others: BoundParameters) -> BoundParameters:
        """Every tensor changed, together with those at the same place of others."""
        alphas, betas, levels = (
            [change(*column) for column in zip(*(getattr(one, name) for one in (self, *others)), strict=True)]
            for name in ("alphas", "betas", "levels")
        )
        weights = change(self.log_weights, *(one.log_weights for one in others))
        return BoundParameters(alphas, betas, levels, weights)

    def take(self, index: Tensor | slice) -> BoundParameters:
        """Those of some claims, by an index, a mask or a range."""
        return self.mapped(lambda part: part[index])

    def spread(self, at: Tensor, count: int) -> BoundParameters:
        """The same for `count` claims, NaN for those that are not in `at`."""
        return self.mapped(lambda part: part.new_full((count, part.shape[1]), torch.nan).index_put((at,), part))


def concat_parameters(parts: Sequence[BoundParameters]) -> BoundParameters:
    """Those of some claims, then those of others."""
    return parts[0].mapped(lambda *column: torch.cat(column), *parts[1:])


def default_parameters(net: Net, layers: Sequence[LayerBounds]) -> BoundParameters:
    """The default rule's lower slopes, no betas, no levels and equal weights."""
    alphas = [bounds.relaxed.lower_slope for bounds in layers[: len(net.hidden)] if bounds.relaxed is not None]
    betas, levels = ([torch.zeros_like(part) for part in alphas] for _ in range(2))
    return BoundParameters(alphas, betas, levels, torch.zeros_like(layers[-1].lower[:, :1]))


def supports_alpha(net: Net) -> bool:
    """Whether slopes may be chosen: no layer of products or look-ups."""
    return all(layer.special is None or isinstance(layer.special, Maxima) for layer in net.layers)


def unstable_neurons(layer: NetLayer, bounds: LayerBounds) -> Bool[Tensor, "B n"]:
    """Neurons whose lower slope may be chosen, shape (B, n).

    Relu and leaky relu that bend within their bounds, and differences of a max pool's pairs whose sign is open.
    """
    if isinstance(layer.special, Maxima):
        return layer.special.unstable(bounds.lower, bounds.upper)
    if layer.function not in {"relu", "leakyrelu"} or layer.special is not None:
        return torch.zeros_like(bounds.lower, dtype=torch.bool)
    unstable = (bounds.lower < 0) & (bounds.upper > 0)
    return unstable if layer.linear is None else unstable & ~layer.linear


def relaxed_function(layer: NetLayer, z: Float[Tensor, "*B n"]) -> Float[Tensor, "*B h"]:
    """What the lines of `unstable_neurons` are about: relu of the differences of pairs, shape (B, n)."""
    return z.clamp(min=0) if isinstance(layer.special, Maxima) else layer.apply(z)


def least_slope(layer: NetLayer) -> float:
    """The smallest lower slope that is sound; 1 is the largest."""
    return layer.parameters[0] if layer.function == "leakyrelu" else 0.0


def nearest_levels(slopes: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """The nearest levels 0..255 of lower slopes of relu, shape as given."""
    return (slopes.clamp(0.0, 1.0) * LEVELS).round()


def slope_of(levels: Float[Tensor, "*B"], layer: NetLayer) -> Float[Tensor, "*B"]:
    """The lower slopes of levels; at least the least sound one."""
    return (levels / LEVELS).clamp(least_slope(layer), 1.0)


def levels_to_hex(levels: Float[Tensor, " n"]) -> str:
    """Levels, shape (n,), as evidence holds them: two hex digits each."""
    return bytes(levels.to(torch.uint8).tolist()).hex()


def apply_split(layer: NetLayer, bounds: LayerBounds, sign: Float[Tensor, "B n"]) -> LayerBounds:
    """Bounds of a layer where some signs are known: they end at 0, and the lines lie between them.

    Args:
        sign: 1 where the pre-activation is >= 0, -1 where it is <= 0, else 0, shape (B, n).
    """
    if not bool((sign != 0).any()):
        return bounds
    lower = torch.where(sign > 0, bounds.lower.clamp(min=0.0), bounds.lower)
    upper = torch.where(sign < 0, bounds.upper.clamp(max=0.0), bounds.upper)
    upper = torch.maximum(lower, upper)
    return replace(bounds, lower=lower, upper=upper, relaxed=layer.relax(lower, upper))


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


def smooth_function_of(layer: NetLayer) -> Smooth | None:
    """The same for a layer's function."""
    return None if layer.special is not None else sampled_row(layer.function, layer.parameters)


class SlopeRange(NamedTuple):
    """The least slope of a sample's segments and what the largest one is more, shape (...) as the intervals."""

    least: Float[Tensor, "*B"]
    more: Float[Tensor, "*B"]

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


def parametrised_relaxation(
    row: Smooth, lower: Float[Tensor, "*B"], upper: Float[Tensor, "*B"], levels: Float[Tensor, "*B"]
) -> Relaxation:
    """Both lines of a function along the slopes of levels 1 to 255; no numbers where an end is none."""
    sample = sample_of(row, lower, upper)
    slope = SlopeRange.of(sample, lower, upper).at(levels) + (upper - lower) * 0.0
    return Relaxation(slope, above(sample, slope, -1.0), slope, above(sample, slope, 1.0))


def chosen_relaxation(
    layer: NetLayer,
    bounds: LayerBounds,
    free: Bool[Tensor, "B n"],
    alpha: Float[Tensor, "B n"],
    levels: Float[Tensor, "B n"],
) -> Relaxation:
    """The lines of a layer's neurons: of the default rule, or with the chosen slopes.

    Args:
        layer: not one of products.
        bounds: of the layer.
        free: the neurons that `unstable_neurons` names, shape (B, n).
        alpha: their lower slopes, shape (B, n).
        levels: of other functions, where they are not 0, shape (B, n).
    """
    relaxed, row = bounds.relaxed, smooth_function_of(layer)
    assert relaxed is not None
    assert not isinstance(relaxed, PairRelaxation)
    relaxed = relaxed._replace(lower_slope=torch.where(free, alpha, relaxed.lower_slope))
    if row is None or not bool((levels > 0).any()):
        return relaxed
    own = (levels > 0).nonzero(as_tuple=True)
    lines = parametrised_relaxation(row, bounds.lower[own], bounds.upper[own], levels[own])
    return Relaxation(*(part.index_put(own, new) for part, new in zip(relaxed, lines, strict=True)))
