"""Bounds of hidden layers with slopes of their own for each neuron's end, in place of the default rule's.

The ends of a neuron are those of a network that stops there, so what optimises a row over the outputs optimises them as
well (Xu et al. 2021, alpha-CROWN, section 3.2: slopes of intermediate bounds). Each end is made as tight as it gets by
itself, bottom up; layers above start from the tighter ones.
"""

from __future__ import annotations

import math

import torch

from verifluxa.bounds.alpha import supports_alpha
from verifluxa.bounds.crown import ChosenNeurons
from verifluxa.bounds.domain import Geometry
from verifluxa.bounds.linear import (
    LayerBounds,
    Subproblems,
    bound_all_layers,
    bound_first_layer,
    bound_next_layer,
    narrowed_interval,
)
from verifluxa.bounds.memory import in_chunks
from verifluxa.bounds.net import Net
from verifluxa.bounds.optimise import BoundTask, claims_at_once, optimise_bounds


def refined_layers(net: Net, geometry: Geometry, pairs: Subproblems, steps: int) -> list[LayerBounds]:
    """Bounds of every layer, bottom up; those of `bound_all_layers` where a layer is not supported.

    Args:
        net: the network of a placement.
        geometry: of the domains.
        pairs: whose bounds are wanted.
        steps: gradient steps for each end of an undecided neuron.
    """
    if not supports_alpha(net) or not steps:
        return bound_all_layers(net, geometry, pairs)
    bounds = [bound_first_layer(net, geometry, pairs)]
    while len(bounds) < len(net.layers):
        own = bound_next_layer(net, bounds, geometry, pairs, "crown")
        if net.layers[len(bounds)].function is not None:
            own = _refined(net, [*bounds, own], geometry, pairs, steps)
        bounds.append(own)
    return bounds


def _refined(net: Net, bounds: list[LayerBounds], geometry: Geometry, pairs: Subproblems, steps: int) -> LayerBounds:
    """The last of some layers, both ends of its undecided neurons anew."""
    layer, own = net.layers[len(bounds) - 1], bounds[-1]
    chosen = ChosenNeurons.of(layer.undecided(own.lower, own.upper))
    pair, neuron = chosen.subproblem, chosen.neuron
    if not len(pair):
        return own
    shorter = Net(net.layers[: len(bounds)], net.unsafe, net.largest_radius)
    both, column = pair.repeat(2), neuron.repeat(2)
    sign = torch.ones(len(both), dtype=own.lower.dtype, device=own.lower.device)
    sign[len(pair) :] = -1.0

    def some(start: int, end: int) -> torch.Tensor:
        part = slice(start, end)
        rows = own.lower.new_zeros(end - start, len(layer.weight))
        rows[torch.arange(end - start, device=rows.device), column[part]] = sign[part]
        nothing = torch.zeros_like(sign[part])
        mine = [each.take(both[part]) for each in bounds]
        task = BoundTask.alone(shorter, mine, geometry, pairs.take(both[part]), rows, nothing, nothing - math.inf)
        largest: torch.Tensor = optimise_bounds(task, steps, steps).largest
        return largest

    ends = torch.cat(in_chunks(len(both), claims_at_once(shorter, str(own.lower.device)), some))
    up, down = ends[: len(pair)], ends[len(pair) :]
    lower, upper = narrowed_interval(own.lower, own.upper, chosen, down, up)
    # Ends that cross by a rounding are one value.
    upper = torch.maximum(lower, upper)
    return LayerBounds(lower, upper, own.radius, own.open, layer.relax(lower, upper))
