"""Subdomains, and what splits them: a value of the trigger, a slab, the sign of a neuron, cases of inputs.

Cases of inputs: with k inputs more than are needed at most k of them do not violate, so that of any k + 1 one does. Of
those that can violate in little of the domain each is taken to be the first that does: then its plane holds for all
inputs, and they are clipped by it. A part of the domain that is thin across that plane takes the place of a half. What
comes out holds only where the case does and the question is met; see `evidence.InputSplit`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds import (
    BoundParameters,
    Domains,
    Interval,
    LayerBounds,
    Net,
    Subproblems,
    pair_count,
    relaxed_function,
    repeat_blocks,
    rise_and_fall,
    self_clip,
    unstable_neurons,
)
from verifluxa.evidence import BoxSplit, InputSplit, NeuronSplit, Node, Partition, SlabSplit, Split
from verifluxa.search.disjuncts import BoundContext, DisjunctBounds, take_layers
from verifluxa.search.initial_bounds import whole_domain, whole_slabs
from verifluxa.search.workspace import Claims, Workspace

MOST = 12
"""Cases of one domain."""
LOCAL = 0.25
"""Share of zeros from which on a first layer counts as local: a convolution's outputs do not see the whole patch."""


class Sign(NamedTuple):
    """What is known of one pre-activation of one input: >= 0 where `sign` is 1, <= 0 where it is -1."""

    input: int
    layer: int
    neuron: int
    sign: int


@dataclass
class Subdomain:
    """A domain that waits.

    Attributes:
        node: of the evidence.
        lower, upper: the box, shape (d,).
        low, high: the slabs, shape (m,).
        claims: that are still open.
        cut: which slabs cut anything off the box, shape (m,): the others bound nothing that the box does not.
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
    cut: Tensor
    last_lp_value: float = 0.0
    last_lp_inputs: int = 0
    signs: tuple[Sign, ...] = ()
    chosen: BoundParameters | None = None
    ends: tuple[Interval, ...] = ()
    assumed_violating: frozenset[int] = frozenset()
    bounds: Sequence[LayerBounds] = ()


def whole(work: Workspace, node: Node, claims: Claims, directions: Tensor) -> Subdomain:
    """The problem's domain, with slabs along directions (m, d), those of the domain itself first."""
    low, high = whole_slabs(work, directions)
    cut = torch.arange(len(directions), device=work.device) < len(whole_domain(work).directions)
    return Subdomain(node, work.lower, work.upper, low, high, claims, cut)


def domains_of(batch: Sequence[Subdomain], directions: Tensor) -> Domains:
    """Some subdomains, as the bounds take them."""
    lower, upper, low, high = (
        torch.stack([getattr(domain, name) for domain in batch]) for name in ("lower", "upper", "low", "high")
    )
    return Domains(lower, upper, directions, low, high)


def split_by(domain: Subdomain, split: Partition, claims: Claims) -> list[Subdomain]:
    """Splits a subdomain, and its node of the tree; the parts have the claims, in the order of the node's children."""
    parts = parts_of(replace(domain, claims=claims), split)
    children = [Node() for _ in parts]
    domain.node.step = Split(split, children)
    return [replace(part, node=node) for part, node in zip(parts, children, strict=True)]


def parts_of(domain: Subdomain, split: Partition) -> list[Subdomain]:
    """The parts that a split makes; all have the claims, but those that a case excludes, and the node of the whole."""
    if isinstance(split, BoxSplit):
        upper, lower = domain.upper.clone(), domain.lower.clone()
        upper[split.coordinate], lower[split.coordinate] = split.low_end, split.high_start
        return [replace(domain, upper=upper), replace(domain, lower=lower)]
    if isinstance(split, SlabSplit):
        at, high, low, cut = split.direction, domain.high.clone(), domain.low.clone(), domain.cut.clone()
        high[at], low[at] = min(split.cut, float(high[at])), max(split.cut, float(low[at]))
        cut[at] = True
        return [replace(domain, high=high, cut=cut), replace(domain, low=low, cut=cut)]
    if isinstance(split, NeuronSplit):
        known = [Sign(split.input, split.layer, split.neuron, sign) for sign in (-1, 1)]
        return [replace(domain, signs=(*domain.signs, sign)) for sign in known]
    inputs = torch.tensor([input_ for input_, _ in split.cases], device=domain.lower.device)
    return [
        # The input of the case is taken to violate, and those before it not to.
        replace(
            domain,
            claims=domain.claims.take((~torch.isin(domain.claims.input, inputs[:number])).nonzero()[:, 0]),
            assumed_violating=domain.assumed_violating | {int(inputs[number])},
        )
        for number in range(len(inputs))
    ]


@dataclass(frozen=True, eq=False)
class Scores:
    """What halving a domain along each pixel (d,) or slab (m,) promises, and where its slabs really lie.

    Attributes:
        pixels, slabs: the larger the better.
        middle, half: of the slabs, tightened by the box, shape (m,).
    """

    pixels: Tensor
    slabs: Tensor
    middle: Tensor
    half: Tensor


def split_domain(work: Workspace, domain: Subdomain, alive: Claims, scores: Scores) -> list[Subdomain]:
    """Two halves along the pixel or slab with the largest score; none of a single point."""
    slabs = scores.slabs
    width = domain.upper - domain.lower
    divisible = torch.where(work.step > 0, width >= work.step, width > 1e-6 * (work.upper - work.lower).abs())
    if not bool(divisible.any()):
        return []
    pixels = torch.where(divisible, scores.pixels, torch.full_like(scores.pixels, -1.0))
    if len(slabs) and float(slabs.max()) > float(pixels.max()):
        at = int(slabs.argmax())
        # Slabs thinner than this stop helping; pixels, which end on the grid, take over.
        if float(2 * scores.half[at]) > 1e-3 * float((domain.upper - domain.lower).abs().max()):
            return split_by(domain, SlabSplit(at, float(scores.middle[at])), alive)
    return split_by(domain, _box_split(work, domain, int(pixels.argmax())), alive)


def _box_split(work: Workspace, domain: Subdomain, at: int) -> BoxSplit:
    low, high, step = float(domain.lower[at]), float(domain.upper[at]), float(work.step[at])
    if step > 0:
        low_end = low + math.floor((high - low) / step / 2) * step
        return BoxSplit(at, low_end, low_end + step)
    return BoxSplit(at, (low + high) / 2, (low + high) / 2)


def split_neuron(
    context: BoundContext, domain: Subdomain, alive: Claims, last: DisjunctBounds
) -> list[Subdomain] | None:
    """Two cases of a neuron of the only input that is left; None where nothing bends.

    Args:
        alive: the open claims.
        last: those of them that have bounds.
    """
    if not len(last.at):
        return None
    claims = domain.claims.take(last.at)
    signs = signs_of(context.net, claims, torch.zeros_like(claims.input), [domain.signs])
    chosen = choose_neuron(context, last, signs, context.rows(claims))
    if chosen is None:
        return None
    return split_by(domain, NeuronSplit(chosen.input, chosen.layer, chosen.neuron), alive)


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


def choose_neuron(
    context: BoundContext, open_: DisjunctBounds, signs: Sequence[Tensor] | None, rows: Tensor
) -> Sign | None:
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
    net, row = context.net, rows[at, position[at]]
    coefficients = context.work.coefficients[row] @ net.layers[-1].weight
    best: tuple[float, Sign] | None = None
    for number in range(len(net.hidden) - 1, -1, -1):
        layer, bounds = net.layers[number], open_.layers[number]
        relaxed = bounds.relaxed
        assert relaxed is not None
        coefficients, shift = (
            repeat_blocks(part, pair_count(layer.special)) for part in (coefficients, relaxed.upper_intercept[at])
        )
        slope, above = relaxed.lower_slope[at], relaxed.upper_slope[at]
        low, high = bounds.lower[at], bounds.upper[at]
        positive, negative = coefficients.clamp(min=0), coefficients.clamp(max=0)
        below = torch.maximum(*((relaxed_function(layer, end[None]) - slope * end)[0] for end in (low, high)))
        free = unstable_neurons(layer, bounds)[at]
        free = free if signs is None else free & (signs[number][at] == 0)
        score = torch.where(free, positive * shift - negative * below, torch.zeros_like(low))
        if len(score) and float(score.max()) > (best[0] if best else 0.0):
            best = float(score.max()), Sign(int(open_.pairs.input[at]), number, int(score.argmax()), 0)
        coefficients = (positive * above + negative * slope) @ layer.weight
    return best[1] if best else None


def input_cases(
    context: BoundContext, domain: Subdomain, last: DisjunctBounds, threshold: int, thin: float
) -> list[Subdomain] | None:
    """A child for each case, which starts from the ends that its plane leaves; None where halves promise more.

    Args:
        last: all open claims of the domain, with bounds.
        threshold: inputs that must violate.
        thin: see `BranchThresholds`.
    """
    claims = domain.claims.take(last.at)
    inputs, counts = torch.unique(claims.input, return_counts=True)
    cases = len(inputs) - threshold + 1
    if not 2 <= cases <= MOST:
        return None
    share = _left(context, last)
    taken = torch.tensor(sorted(domain.assumed_violating), dtype=torch.long, device=share.device)
    share[(counts[torch.searchsorted(inputs, claims.input)] > 1) | torch.isin(claims.input, taken)] = torch.inf
    best = share.argsort(stable=True)[:cases]
    if not float(share[best].sum()) <= thin:
        return None
    rows = context.rows(claims)
    tightest = last.planes.tightest()
    pairs = [(int(claims.input[at]), int(rows[at, tightest[at]])) for at in best.tolist()]
    parts = split_by(domain, InputSplit(tuple(pairs)), claims)
    ends = _clipped(context, last, best)
    for number, part in enumerate(parts):
        kept = ~torch.isin(claims.input, claims.input[best[:number]])
        part.ends = tuple((lower[number][kept], upper[number][kept]) for lower, upper in ends)
    return parts[::-1]


def _left(context: BoundContext, last: DisjunctBounds) -> Tensor:
    """Of each claim the share of its tightest plane's height over the domain that is above 0, shape (C,)."""
    tightest = last.planes.tightest()
    plane = last.planes.row(tightest)
    up, down = rise_and_fall(plane.slope[:, None], last.pairs.domain, context.geometry)
    share = last.planes.upper.amin(1) / (up + down)[:, 0].clamp(min=1e-300)
    return torch.nan_to_num(share, nan=torch.inf)


def _clipped(context: BoundContext, last: DisjunctBounds, best: Tensor) -> list[Interval]:
    """Ends of the hidden layers of all claims in each case, shape (cases, C, n) each.

    Where they exclude each other the claim cannot be met in that case: there they are left crossing.
    """
    count, cases = len(last.at), len(best)
    each = torch.arange(count, device=best.device).repeat(cases)
    pairs = Subproblems(last.pairs.domain[each], last.pairs.input[each])
    layers = take_layers(last.layers, each)
    plane = last.planes.row(last.planes.tightest()).take(best.repeat_interleave(count))
    clipped = self_clip(context.net, layers, context.geometry, pairs, plane)
    crossing = clipped.contradicted[:, None]
    return [
        (
            layer.lower.view(cases, count, -1),
            torch.where(crossing, layer.lower - 1, layer.upper).view(cases, count, -1),
        )
        for layer in clipped.layers[:-1]
    ]


def _leading_map(net: Net) -> Tensor:
    """The first layer's matrix; where that is local, the first two layers' with the functions left out, shape (n, d).

    A local layer spreads what the next one joins again: its own singular vectors say little about the whole patch.
    """
    first = net.layers[0].weight
    if len(net.layers) < 3 or float((first == 0).double().mean()) < LOCAL:
        return first
    following = net.layers[1].weight
    return following @ first[: following.shape[1]]


def slab_directions(net: Net, count: int) -> Tensor:
    """The leading right singular vectors of the first layers' matrix, shape (count, d) or fewer.

    All inputs share `weight @ tau`; its singular values fall fast, so halving the range of a leading
    direction is worth many pixel halvings. Nothing rests on their orthonormality, only on the stored floats.
    """
    weight = _leading_map(net)
    if count == 0 or min(weight.shape) < 2 or not bool(weight.any()) or not bool(torch.isfinite(weight).all()):
        return weight.new_zeros(0, weight.shape[1])
    _, _, directions = torch.linalg.svd(weight, full_matrices=False)
    leading: Tensor = directions[: min(count, weight.shape[1] - 1)].contiguous()
    return leading
