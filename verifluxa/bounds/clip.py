"""Self-clipping: in a domain, an input matters only where it can still be attacked.

Where a claim (input, alternative) can be met, each plane `b + a.t` of the alternative's rows is >= 0. So its
neurons need bounds only on (domain AND that half-space): by weak duality, for any lambda >= 0,

    m + c.t  <=  m + lambda b + max over the domain of (c + lambda a).t

What comes out holds ONLY where this claim is met: it is never a bound of the input in another alternative,
another target or a per-input statement, hence the type of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.bounds.domain import Geometry, spread
from verifluxa.bounds.linear import (
    LayerBounds,
    Net,
    NetLayer,
    Pairs,
    RowPlanes,
    narrowed,
    neuron_planes,
)

MULTIPLIERS = (0.0, 0.4, 1.0, 2.5)
"""Lambdas, in units of |c|.r / |a|.r."""
CROSSING = 1e-8
"""A neuron whose clipped bounds cross by more than this (relative) shows that the claim cannot be met."""
OWN = 2.0**-40
"""Share of the terms that is added for the verifier's own rounding of the multiplied sums."""


@dataclass(frozen=True, eq=False)
class ClippedBounds:
    """Bounds that hold only where each claim is met.

    Attributes:
        layers: as `LayerBounds`, bottom up, the outputs last.
        contradicted: shape (B,): the clipped bounds cross, so the claim cannot be met in the domain.
    """

    layers: list[LayerBounds]
    contradicted: Tensor


def self_clip(net: Net, layers: list[LayerBounds], geometry: Geometry, pairs: Pairs, plane: RowPlanes) -> ClippedBounds:
    """One round: clips every hidden layer by one plane per claim, bottom up.

    Args:
        layers: bounds that hold where the claim is met (plain ones always do).
        pairs: one per claim.
        plane: value at the center (B,) and slope (B, d) of a row that is >= 0 where the claim is met.
    """
    contradicted = torch.zeros(len(pairs.input), dtype=torch.bool, device=plane.value.device)
    clipped: list[LayerBounds] = []
    for number, layer in enumerate(net.hidden):
        bounds = layers[number]
        planes = bounds.planes
        if number and len(bounds.pair):
            rows = (bounds.pair, bounds.neuron, bounds.radius)
            planes = neuron_planes(net, clipped, geometry, pairs, rows)
        bounds, crossing = _clip_layer(layer, bounds, planes, geometry, (pairs, plane))
        contradicted = contradicted | crossing
        clipped.append(bounds)
    return ClippedBounds([*clipped, layers[-1]], contradicted)


def _clip_layer(
    layer: NetLayer,
    bounds: LayerBounds,
    planes: tuple[RowPlanes, RowPlanes] | None,
    geometry: Geometry,
    claim: tuple[Pairs, RowPlanes],
) -> tuple[LayerBounds, Tensor]:
    pairs, plane = claim
    none = torch.zeros(len(bounds.lower), dtype=torch.bool, device=bounds.lower.device)
    if planes is None or not len(bounds.pair):
        return bounds, none
    at = bounds.pair
    domain = pairs.domain[at]
    cut = RowPlanes(plane.value[at], plane.slope[at])
    up, down = (lagrange(p, cut, domain, geometry) for p in planes)
    lower, upper = narrowed((bounds.lower, bounds.upper), (at, bounds.neuron), (down, up))
    slack = CROSSING * (1 + lower.abs() + upper.abs())
    crossing = (lower > upper + slack).any(1)
    upper = torch.maximum(lower, upper)
    still = layer.undecided(lower, upper)[at, bounds.neuron]
    kept = tuple(RowPlanes(p.value[still], p.slope[still]) for p in planes)
    relaxed = layer.relax(lower, upper)
    rows = (at[still], bounds.neuron[still])
    return LayerBounds(lower, upper, bounds.radius, *rows, relaxed, (kept[0], kept[1])), crossing


def lagrange(row: RowPlanes, cut: RowPlanes, domain: Tensor, geometry: Geometry) -> Tensor:
    """Upper bounds of rows on their domains cut by half-spaces `cut >= 0`.

    Args:
        row, cut: U each.
        domain: shape (U,).

    Returns:
        shape (U,): the least over `MULTIPLIERS`.
    """
    half = geometry.half[domain]
    size_row = (row.slope.abs() * half).sum(1)
    size_cut = (cut.slope.abs() * half).sum(1).clamp(min=1e-300)
    factors = torch.tensor(MULTIPLIERS, dtype=half.dtype, device=half.device)
    multiplier = factors * (size_row / size_cut)[:, None]
    slopes = row.slope[:, None] + multiplier[..., None] * cut.slope[:, None]
    up = spread(slopes, domain, geometry)[0]
    scaled = multiplier * cut.value[:, None]
    terms = size_row[:, None] * (1 + factors)
    own = OWN * (row.value.abs()[:, None] + scaled.abs() + up.abs() + terms)
    return (row.value[:, None] + scaled + up + own).amin(1)
