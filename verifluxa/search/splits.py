"""Splits of single neurons: bounds of all layers where the signs of some pre-activations are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.alpha import apply_split, relaxed_function, unstable
from verifluxa.bounds.domain import Geometry
from verifluxa.bounds.linear import INFEASIBLE, LayerBounds, Subproblems, first_layer, next_layer
from verifluxa.bounds.maxima import pairs_of, spread_over
from verifluxa.bounds.net import Net
from verifluxa.evidence import CONTRADICTED, OPEN
from verifluxa.search.claims import BoundContext, ClaimBounds, Verdicts
from verifluxa.search.workspace import Claims


def with_signs(
    net: Net, geometry: Geometry, pairs: Subproblems, signs: Sequence[Tensor]
) -> tuple[list[LayerBounds], Tensor]:
    """Bounds of every layer, bottom up; those of split neurons end at 0.

    Args:
        signs: per hidden layer 1 where the pre-activation is >= 0, -1 where it is <= 0, else 0, shape (B, n).

    Returns:
        the bounds, and the pairs in which no evaluation has these signs, shape (B,).
    """
    bounds: list[LayerBounds] = []
    gone = torch.zeros(len(pairs.input), dtype=torch.bool, device=pairs.input.device)
    for number, layer in enumerate(net.layers):
        own = next_layer(net, bounds, geometry, pairs, "crown") if bounds else first_layer(net, geometry, pairs)
        if number < len(net.hidden):
            gone |= _gone(own, signs[number])
            own = apply_split(layer, own, signs[number])
        bounds.append(own)
    return bounds, gone


def _gone(bounds: LayerBounds, sign: Tensor) -> Tensor:
    """Pairs in which no evaluation has these signs: a neuron said to be >= 0 lies below 0, or the other way."""
    slack = INFEASIBLE * (1 + bounds.lower.abs() + bounds.upper.abs())
    return (((sign > 0) & (bounds.upper < -slack)) | ((sign < 0) & (bounds.lower > slack))).any(1)


def drop_contradicted(verdicts: Verdicts, gone: Tensor) -> Verdicts:
    """Lets claims fall whose signs or ends no evaluation has.

    Args:
        gone: shape (C,).
    """
    row = torch.where(gone & (verdicts.row == OPEN), CONTRADICTED, verdicts.row)
    last = verdicts.last.take(row[verdicts.last.at] == OPEN)
    return replace(verdicts, alive=row == OPEN, row=row, last=last)


class Sign(NamedTuple):
    """What is known of one pre-activation of one input: >= 0 where `sign` is 1, <= 0 where it is -1."""

    input: int
    layer: int
    neuron: int
    sign: int


def signs_of(net: Net, claims: Claims, of_domain: Tensor, known: Sequence[tuple[Sign, ...]]) -> list[Tensor] | None:
    """The signs that hold for each claim, per hidden layer (C, n); None where nothing is split.

    Args:
        of_domain: domain of each claim, shape (C,).
        known: the signs of each domain.
    """
    if not any(known):
        return None
    signs = [torch.zeros(len(claims), len(layer.weight), dtype=layer.weight.dtype) for layer in net.hidden]
    signs = [part.to(net.layers[0].weight.device) for part in signs]
    for domain, own in enumerate(known):
        for item in own:
            here = (of_domain == domain) & (claims.input == item.input)
            signs[item.layer][here, item.neuron] = float(item.sign)
    return signs


def choose_neuron(scene: BoundContext, open_: ClaimBounds, signs: Sequence[Tensor] | None, rows: Tensor) -> Sign | None:
    """The neuron whose two cases promise most for the worst claim, or None where nothing bends.

    What a neuron's relaxation adds to the claim's tightest row at most: the intercept of the line above where the row
    counts it positively, the largest distance to the line below where negatively (cf. Bunel et al. 2020, BaBSR).

    Args:
        open_: the open claims of one domain.
        signs: what is known of them, per hidden layer (C, n).
        rows: the problem rows of each claim, shape (C, r).
    """
    position = open_.planes.tightest()
    at = int(open_.planes.upper[torch.arange(len(position), device=position.device), position].argmax())
    net, row = scene.net, rows[at, position[at]]
    coefficients = scene.work.coefficients[row] @ net.layers[-1].weight
    best: tuple[float, Sign] | None = None
    for number in range(len(net.hidden) - 1, -1, -1):
        layer, bounds = net.layers[number], open_.layers[number]
        relaxed = bounds.relaxed
        assert relaxed is not None
        coefficients, shift = (
            spread_over(part, pairs_of(layer.special)) for part in (coefficients, relaxed.upper_intercept[at])
        )
        slope, above = relaxed.lower_slope[at], relaxed.upper_slope[at]
        low, high = bounds.lower[at], bounds.upper[at]
        positive, negative = coefficients.clamp(min=0), coefficients.clamp(max=0)
        below = torch.maximum(*((relaxed_function(layer, end[None]) - slope * end)[0] for end in (low, high)))
        free = unstable(layer, bounds)[at]
        free = free if signs is None else free & (signs[number][at] == 0)
        score = torch.where(free, positive * shift - negative * below, torch.zeros_like(low))
        if len(score) and float(score.max()) > (best[0] if best else 0.0):
            best = float(score.max()), Sign(int(open_.pairs.input[at]), number, int(score.argmax()), 0)
        coefficients = (positive * above + negative * slope) @ layer.weight
    return best[1] if best else None
