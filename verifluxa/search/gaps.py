"""Which neuron a case is split by: the one whose lines cost the group's largest point most."""

from __future__ import annotations

import torch
from torch import Tensor

from verifluxa.bounds.alpha import relaxed_function
from verifluxa.bounds.linear import LayerBounds
from verifluxa.bounds.maxima import folded, pairs_of, spread_over
from verifluxa.bounds.net import NetLayer
from verifluxa.bounds.optimise import BoundTask, OptimisedBounds, SinglePrecision, relaxed_activations
from verifluxa.search.splits import Sign

TIES = 0.01


def best_neurons(groups: BoundTask, together: OptimisedBounds) -> list[Sign | None]:
    """For each group the neuron whose two cases promise most.

    Where the relaxed network reaches the group's largest point, each neuron has a value between its lines; what the
    true function says of the same pre-activation is less for the rows, and the neuron with the largest difference is
    split (of 55 claims of a convolutional network 31 closed within 300 cases by the intercepts of
    `splits.choose_neuron`, 36 by this). Those break ties.
    """
    layers, chosen = groups.own_layers, together.chosen
    slopes, betas = ([part.float() for part in parts] for parts in (chosen.alphas, chosen.betas))
    at = SinglePrecision(groups, ()).evaluate(slopes, betas)
    met = relaxed_activations(at.hidden, at.passed, together.where[groups.group].float())
    best: list[tuple[float, Sign | None]] = [(0.0, None)] * len(groups.limits)
    assert groups.signs is not None
    for number, (layer, bounds) in enumerate(zip(groups.net.hidden, layers, strict=False)):
        if not len(layer.weight):  # nothing that the trigger changes is read here
            continue
        free = groups.free[number] & (groups.signs[number] == 0)
        gain = _gap(layer, bounds, (at.passed[number].above[:, 0], slopes[number], met[number]))
        score, neuron = torch.where(free, gain * together.weights[:, None], 0.0).max(1)
        for plane, (value, neuron_at) in enumerate(zip(score.tolist(), neuron.tolist(), strict=True)):
            group = int(groups.group[plane])
            if value > best[group][0]:
                best[group] = value, Sign(int(groups.pairs.input[plane]), number, neuron_at, 0)
    return [sign for _, sign in best]


def _gap(layer: NetLayer, bounds: LayerBounds, at: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What the lines of each neuron cost a row where the relaxed pre-activations are z, shape (C, n)."""
    above, slope, z = at
    relaxed = bounds.relaxed
    assert relaxed is not None
    pairs = pairs_of(layer.special)
    upper = folded(relaxed.upper_slope * z, pairs) + relaxed.upper_intercept
    meets = torch.where(above[:, : upper.shape[1]] > 0, upper, folded(slope * z, pairs))
    cost = above * spread_over(meets - layer.apply(z), pairs)
    ends = (relaxed_function(layer, end) - slope * end for end in (bounds.lower, bounds.upper))
    most = above.clamp(min=0) * spread_over(relaxed.upper_intercept, pairs) - above.clamp(max=0) * torch.maximum(*ends)
    return cost.double() + TIES * most
