"""Open domains of a search, and how they are halved: along a pixel, along a strip, or by the sign of a neuron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verifluxa.bounds.alpha import BoundParameters
from verifluxa.bounds.linear import Interval, LayerBounds
from verifluxa.evidence import BoxSplit, NeuronSplit, Node, Split, StripSplit
from verifluxa.search.claims import BoundContext, ClaimBounds
from verifluxa.search.splits import Sign, choose_neuron, signs_of
from verifluxa.search.workspace import Claims, Workspace


@dataclass
class Subdomain:
    """A domain that waits.

    Attributes:
        node: of the evidence.
        lower, upper: the box, shape (d,).
        low, high: the strips, shape (m,).
        claims: that are still open.
        cut: whether strips cut anything off the box: else they bound nothing that the box does not.
        last_lp_value, last_lp_inputs: value of the last linear program above, and how many inputs there were then.
        signs: of neurons that are split.
        chosen: slopes and multipliers that the claims start from.
        ends: of hidden layers where each claim is met, from the domain above; empty where there is nothing.
        assumed_violating: inputs that are taken to violate.
        bounds: of all layers for each claim, where they were found before; they are used once.
    """

    node: Node
    lower: Tensor
    upper: Tensor
    low: Tensor
    high: Tensor
    claims: Claims
    cut: bool = True
    last_lp_value: float = 0.0
    last_lp_inputs: int = 0
    signs: tuple[Sign, ...] = ()
    chosen: BoundParameters | None = None
    ends: tuple[Interval, ...] = ()
    assumed_violating: frozenset[int] = frozenset()
    bounds: Sequence[LayerBounds] = ()


@dataclass(frozen=True, eq=False)
class Scores:
    """What halving a domain along each pixel (d,) or strip (m,) promises, and where its strips really lie.

    Attributes:
        pixels, strips: the larger the better.
        middle, half: of the strips, tightened by the box, shape (m,).
    """

    pixels: Tensor
    strips: Tensor
    middle: Tensor
    half: Tensor


def split_domain(work: Workspace, domain: Subdomain, alive: Claims, scores: Scores) -> list[Subdomain] | None:
    """Two halves along the pixel or strip with the largest score; None when it is a single point."""
    strips = scores.strips
    width = domain.upper - domain.lower
    divisible = torch.where(work.step > 0, width >= work.step, width > 1e-6 * (work.upper - work.lower).abs())
    if not bool(divisible.any()):
        return None
    pixels = torch.where(divisible, scores.pixels, torch.full_like(scores.pixels, -1.0))
    if len(strips) and float(strips.max()) > float(pixels.max()):
        at = int(strips.argmax())
        # Strips thinner than this stop helping; pixels, which end on the grid, take over.
        if float(2 * scores.half[at]) > 1e-3 * float((domain.upper - domain.lower).abs().max()):
            return _split_strip(domain, alive, at, float(scores.middle[at]))
    return _split_box(work, domain, alive, int(pixels.argmax()))


def _split_strip(domain: Subdomain, alive: Claims, strip: int, cut: float) -> list[Subdomain]:
    """Cuts in the middle of what the box leaves of a strip."""
    children = [Node(), Node()]
    domain.node.step = Split(StripSplit(strip, cut), children)
    lower_high, upper_low = domain.high.clone(), domain.low.clone()
    lower_high[strip], upper_low[strip] = min(cut, float(domain.high[strip])), max(cut, float(domain.low[strip]))
    return [
        replace(domain, node=children[0], high=lower_high, claims=alive, cut=True),
        replace(domain, node=children[1], low=upper_low, claims=alive, cut=True),
    ]


def _split_box(work: Workspace, domain: Subdomain, alive: Claims, at: int) -> list[Subdomain]:
    low, high, step = float(domain.lower[at]), float(domain.upper[at]), float(work.step[at])
    if step > 0:
        low_end = low + math.floor((high - low) / step / 2) * step
        high_start = low_end + step
    else:
        low_end = high_start = (low + high) / 2
    children = [Node(), Node()]
    domain.node.step = Split(BoxSplit(at, low_end, high_start), children)
    upper, lower = domain.upper.clone(), domain.lower.clone()
    upper[at], lower[at] = low_end, high_start
    return [
        replace(domain, node=children[0], upper=upper, claims=alive),
        replace(domain, node=children[1], lower=lower, claims=alive),
    ]


def split_neuron(scene: BoundContext, domain: Subdomain, alive: Claims, last: ClaimBounds) -> list[Subdomain] | None:
    """Two cases of a neuron of the only input that is left; None where nothing bends.

    Args:
        alive: the open claims.
        last: those of them that have bounds.
    """
    if not len(last.at):
        return None
    claims = domain.claims.take(last.at)
    signs = signs_of(scene.net, claims, torch.zeros_like(claims.input), [domain.signs])
    chosen = choose_neuron(scene, last, signs, scene.work.alternatives[claims.alternative])
    if chosen is None:
        return None
    children = [Node(), Node()]
    domain.node.step = Split(NeuronSplit(chosen.input, chosen.layer, chosen.neuron), children)
    return [
        replace(domain, node=child, claims=alive, signs=(*domain.signs, chosen._replace(sign=sign)))
        for child, sign in zip(children, (-1, 1), strict=True)
    ]
