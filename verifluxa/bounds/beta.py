"""One upper plane per claim, with lower slopes of one's own choice and multipliers for split neurons.

Any lower slope in [0, 1] is sound for relu (Xu et al. 2021, alpha-CROWN, eq. 5). Where a neuron's pre-activation z is
known to be >= 0 (or <= 0) because it was split, adding `beta z` (or `-beta z`), beta >= 0, to a row can only raise
it, so the row's upper plane stays one for ANY beta >= 0 (Wang et al. 2021, beta-CROWN, theorem 3.1). The added
coefficient joins the row before the error radii are counted: z is the deployed value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from verifluxa.bounds.along import relaxation_at
from verifluxa.bounds.domain import Geometry
from verifluxa.bounds.linear import LayerBounds, Subproblems
from verifluxa.bounds.maxima import Maxima, pairs_of, spread_over
from verifluxa.bounds.net import Net, NetLayer


@dataclass(frozen=True, eq=False)
class Multipliers:
    """What a plane is made with, per hidden layer, bottom up.

    Attributes:
        slopes: lower slopes, shape (C, n) each; they count where `unstable` allows a choice.
        betas: signed multipliers of split neurons, shape (C, n) each: >= 0 where the pre-activation is >= 0,
            <= 0 where it is <= 0, 0 where it is not split.
        along: levels of slopes that both lines of a neuron run along, see `along`, 0: the default rule; shape (C, n)
            each. No lists: the default rule everywhere.
    """

    slopes: list[Tensor]
    betas: list[Tensor]
    along: list[Tensor] = field(default_factory=list)

    def take(self, keep: Tensor | slice) -> Multipliers:
        """Those of some claims, by an index, a mask or a range."""
        return Multipliers(*([part[keep] for part in parts] for parts in (self.slopes, self.betas, self.along)))

    def spread(self, at: Tensor, count: int) -> Multipliers:
        """The same for `count` claims, NaN for those that are not in `at`."""

        def wide(parts: list[Tensor]) -> list[Tensor]:
            return [part.new_full((count, part.shape[1]), torch.nan).index_put((at,), part) for part in parts]

        return Multipliers(wide(self.slopes), wide(self.betas), wide(self.along))


def unstable(layer: NetLayer, bounds: LayerBounds) -> Tensor:
    """Neurons whose lower slope may be chosen, shape (B, n).

    Relu and leaky relu that bend within their bounds, and differences of a max pool's pairs whose sign is open.
    """
    if isinstance(layer.special, Maxima):
        return layer.special.unstable(bounds.lower, bounds.upper)
    if layer.function not in {"relu", "leakyrelu"} or layer.special is not None:
        return torch.zeros_like(bounds.lower, dtype=torch.bool)
    unstable = (bounds.lower < 0) & (bounds.upper > 0)
    return unstable if layer.linear is None else unstable & ~layer.linear


def relaxed_function(layer: NetLayer, z: Tensor) -> Tensor:
    """What the lines of the neurons that `unstable` names are about: relu of the differences of pairs, shape (B, n)."""
    return z.clamp(min=0) if isinstance(layer.special, Maxima) else layer.apply(z)


def least_slope(layer: NetLayer) -> float:
    """The smallest lower slope that is sound; 1 is the largest."""
    return layer.parameters[0] if layer.function == "leakyrelu" else 0.0


def default(net: Net, layers: Sequence[LayerBounds]) -> Multipliers:
    """The default rule's lower slopes, no betas and no other slopes."""
    slopes = []
    for bounds in layers[: len(net.hidden)]:
        assert bounds.relaxed is not None
        slopes.append(bounds.relaxed.lower_slope)
    return Multipliers(slopes, *([torch.zeros_like(part) for part in slopes] for _ in range(2)))


def apply_split(layer: NetLayer, bounds: LayerBounds, sign: Tensor) -> LayerBounds:
    """Bounds of a layer where some signs are known: ends at 0, and lines between these.

    Args:
        sign: 1 where the pre-activation is >= 0, -1 where it is <= 0, else 0, shape (B, n).
    """
    if not bool((sign != 0).any()):
        return bounds
    lower = torch.where(sign > 0, bounds.lower.clamp(min=0.0), bounds.lower)
    upper = torch.where(sign < 0, bounds.upper.clamp(max=0.0), bounds.upper)
    upper = torch.maximum(lower, upper)
    return replace(bounds, lower=lower, upper=upper, relaxed=layer.relax(lower, upper))


def is_supported(net: Net) -> bool:
    """Whether planes can be made here: no layer of products or look-ups."""
    return all(layer.special is None or isinstance(layer.special, Maxima) for layer in net.layers)


def linear_bounds(
    net: Net,
    layers: Sequence[LayerBounds],
    geometry: Geometry,
    of: tuple[Subproblems, Tensor, Tensor],
    chosen: Multipliers,
) -> tuple[Tensor, Tensor]:
    """Upper planes of one row over the outputs per claim.

    Args:
        layers: bounds of all layers, one pair per claim; those of split neurons end at 0.
        geometry: of the domains.
        of: the claims' pairs, coefficients (C, outputs) and constants (C,).
        chosen: the slopes and betas.

    Returns:
        value at the domain's center (C,) and slope (C, d).
    """
    pairs, rows, constant = of
    last = net.layers[-1]
    value = constant + (rows.abs() * layers[-1].radius + rows * last.offset_of(pairs.input)).sum(1)
    rows = rows @ last.weight
    for number in range(len(net.hidden) - 1, -1, -1):
        layer, bounds = net.layers[number], layers[number]
        relaxed = relaxation_at(layer, bounds, chosen.along[number] if chosen.along else None)
        lower_slope = torch.where(unstable(layer, bounds), chosen.slopes[number], relaxed.lower_slope)
        positive, negative = rows.clamp(min=0), rows.clamp(max=0)
        value = value + (positive * relaxed.upper_intercept + negative * relaxed.lower_intercept).sum(1)
        positive, negative = (spread_over(part, pairs_of(layer.special)) for part in (positive, negative))
        rows = positive * relaxed.upper_slope + negative * lower_slope + chosen.betas[number]
        value = value + (rows.abs() * bounds.radius + rows * layer.offset_of(pairs.input)).sum(1)
        rows = rows @ layer.weight
    return value + (rows * geometry.center[pairs.domain]).sum(1), rows
