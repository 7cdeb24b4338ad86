"""Bounds of one input where each end of a neuron has lower slopes of its own, with the evidence for them.

What optimises a row over the outputs optimises an end of a neuron as well, in the network that stops there (Xu et al.
2021, alpha-CROWN, section 3.2: slopes of intermediate bounds). Each end is made as low as it gets by itself, bottom up;
layers above start from the tighter ones. A byte for each slope under each end is much for one bound, and little for a
tree of many cases that all inherit the ends.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from verifluxa.bounds.alpha import level_of, unstable
from verifluxa.bounds.crown import ChosenNeurons
from verifluxa.bounds.domain import Geometry
from verifluxa.bounds.linear import LayerBounds, Subproblems, all_layers, narrowed, next_layer
from verifluxa.bounds.net import Net
from verifluxa.bounds.optimise import BoundTask, optimise
from verifluxa.evidence import MOST_LEVELS, Ends

STEPS = 10
"""Gradient steps for each end: 20 spare a twentieth of the cases, which takes longer than it saves."""


def tightened(net: Net, geometry: Geometry, pairs: Subproblems) -> tuple[list[LayerBounds], tuple[Ends, ...]]:
    """Bounds of every layer of one input, bottom up, and how the ends of hidden layers came about.

    Layers whose ends would need more slopes than evidence may hold keep the default rule.

    Args:
        net: of which `alpha.is_supported` holds.
        geometry: of the domains.
        pairs: one.
    """
    bounds = all_layers(net, geometry, pairs)
    ends: list[Ends] = []
    for number in range(1, len(net.hidden)):
        if ends:
            bounds[number] = next_layer(net, bounds[:number], geometry, pairs, "crown")
        places = ChosenNeurons.of(net.layers[number].undecided(bounds[number].lower, bounds[number].upper))
        free = [unstable(layer, own)[0] for layer, own in zip(net.layers, bounds[:number], strict=False)]
        size = 2 * len(places.neuron) * sum(int(part.sum()) for part in free)
        if not 0 < size <= MOST_LEVELS - sum(len(own.levels) for own in ends):
            continue
        bounds[number], levels = _tightened(net, bounds[: number + 1], geometry, pairs, places)
        bent = [part.nonzero()[:, 0] for part in free]
        given = torch.cat([part[:, at] for part, at in zip(levels, bent, strict=True)], 1).to(torch.uint8)
        named, neurons = tuple(tuple(part.tolist()) for part in bent), tuple(places.neuron.tolist())
        ends.append(Ends(int(pairs.input[0]), number, neurons, named, bytes(given.flatten().tolist())))
    if ends:
        bounds[-1] = next_layer(net, bounds[:-1], geometry, pairs, "crown")
    return bounds, tuple(ends)


def _tightened(
    net: Net, bounds: list[LayerBounds], geometry: Geometry, pairs: Subproblems, places: ChosenNeurons
) -> tuple[LayerBounds, list[Tensor]]:
    """The last of some layers, both ends of some of its neurons anew, with the levels of slopes under each."""
    own, neurons, count = bounds[-1], places.neuron, len(places.neuron)
    shorter = Net(net.layers[: len(bounds)], net.unsafe, net.largest_radius)
    each = torch.arange(2 * count, device=neurons.device)
    rows = own.lower.new_zeros(2 * count, own.lower.shape[1])
    rows[each, neurons.repeat(2)] = torch.where(each < count, 1.0, -1.0).to(rows)
    at, nothing = torch.zeros_like(each), rows.new_zeros(2 * count)
    groups = BoundTask(shorter, bounds, geometry, at, pairs.take(at), rows, nothing, each, nothing - math.inf)
    together = optimise(groups, STEPS, STEPS, smooth=False)
    most = torch.where(torch.isfinite(together.largest), together.largest, math.inf)
    lower, upper = narrowed(own.lower, own.upper, places, most[count:], most[:count])
    # Ends that cross by a rounding are one value.
    upper = torch.maximum(lower, upper)
    tight = LayerBounds(lower, upper, own.radius, own.open, shorter.layers[-1].relax(lower, upper))
    return tight, [level_of(part) for part in together.chosen.alphas]
