"""Splits of single neurons: bounds of all layers where the signs of some pre-activations are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from verifluxa.bounds.domain import Geometry
from verifluxa.bounds.linear import LayerBounds, Net, NetLayer, Pairs, first_layer, next_layer


def with_signs(net: Net, geometry: Geometry, pairs: Pairs, signs: Sequence[Tensor]) -> list[LayerBounds]:
    """Bounds of every layer, bottom up; those of split neurons end at 0.

    Where such bounds cross, no evaluation has these signs; they are kept as they are.

    Args:
        signs: per hidden layer 1 where the pre-activation is >= 0, -1 where it is <= 0, else 0, shape (B, n).
    """
    bounds: list[LayerBounds] = []
    for number, layer in enumerate(net.layers):
        own = next_layer(net, bounds, geometry, pairs, "crown") if bounds else first_layer(net, geometry, pairs)
        bounds.append(_signed(layer, own, signs[number]) if number < len(net.hidden) else own)
    return bounds


def _signed(layer: NetLayer, bounds: LayerBounds, sign: Tensor) -> LayerBounds:
    if not bool((sign != 0).any()):
        return bounds
    lower = torch.where(sign > 0, bounds.lower.clamp(min=0.0), bounds.lower)
    upper = torch.where(sign < 0, bounds.upper.clamp(max=0.0), bounds.upper)
    upper = torch.maximum(lower, upper)
    return replace(bounds, lower=lower, upper=upper, relaxed=layer.relax(lower, upper))


def crossing(bounds: Sequence[LayerBounds], signs: Sequence[Tensor], slack: float) -> Tensor:
    """Pairs whose signs no evaluation has: a neuron said to be >= 0 lies below 0, or the other way, shape (B,)."""
    gone = torch.zeros(len(bounds[0].lower), dtype=torch.bool, device=bounds[0].lower.device)
    for own, sign in zip(bounds, signs, strict=False):
        room = slack * (1 + own.lower.abs() + own.upper.abs())
        gone |= ((sign < 0) & (own.lower > room)).any(1) | ((sign > 0) & (own.upper < -room)).any(1)
    return gone
