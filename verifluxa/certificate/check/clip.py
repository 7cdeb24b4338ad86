"""Self-clipping: bounds that need to hold only where an input can still be attacked.

If an alternative is met at tau, each of its rows is at least 0 there, and so is each row's upper plane
`b + a.t`. So the neurons may be bounded on the region cut by that half-space alone. For any lambda >= 0 the
largest `m + c.t` there is at most `m + lambda b + max (c + lambda a).t` over the whole region.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import Bounder, Planes, State
from verifluxa.certificate.check.linear import Floats, Integers
from verifluxa.certificate.check.region import MARGIN

MULTIPLES = (0.4, 1.0, 2.5)


def clip(bounder: Bounder, state: State, planes: Planes) -> NDArray[np.bool_]:
    """Clips every layer of each entry by its plane, in place.

    Args:
        bounder: the placement on the region.
        state: one entry for each (input, alternative).
        planes: the upper plane of a row of the entry's alternative, one for each entry.

    Returns:
        Which entries are contradicted: no point of the region is left where the alternative could be met.
    """
    contradicted = np.zeros(len(state.inputs), dtype=bool)
    for index, layer in enumerate(bounder.chain[:-1]):
        bounds = state.layers[index]
        entries, neurons = np.nonzero(bounds.planes)
        inner = [_neuron(bounder, state, index, (entries, neurons), sign) for sign in (1.0, -1.0)]
        plane = Planes(planes.value[entries], planes.slope[entries])
        for sign, ends, row in zip((1.0, -1.0), (bounds.upper, bounds.lower), inner, strict=True):
            ends[entries, neurons] = sign * np.minimum(sign * ends[entries, neurons], _most(bounder, row, plane))
        contradicted |= (bounds.lower > bounds.upper).any(axis=1)
        bounds.upper = np.maximum(bounds.lower, bounds.upper)
        bounds.planes = bounds.planes & layer.undecided(bounds.lower, bounds.upper)
        bounds.lines = layer.lines(bounds.lower, bounds.upper)
    return contradicted


def _neuron(bounder: Bounder, state: State, index: int, where: tuple[Integers, Integers], sign: float) -> Planes:
    entries, neurons = where
    if index:
        return bounder.neuron_planes(state, index, entries, neurons, sign)
    value = sign * bounder.first_value(state.inputs)[entries, neurons] + state.layers[0].radius[entries, neurons]
    return Planes(value, sign * bounder.chain[0].form.weight[neurons])


def _most(bounder: Bounder, inner: Planes, plane: Planes) -> Floats:
    """The least bound over the multiples of the natural lambda."""
    half = bounder.reach.half
    inner_size, plane_size = np.abs(inner.slope) @ half, np.abs(plane.slope) @ half
    natural = inner_size / np.where(plane_size > 0, plane_size, np.inf)
    most = inner.value + bounder.reach.spread(inner.slope) + MARGIN * (np.abs(inner.value) + inner_size)
    for multiple in MULTIPLES:
        factor = multiple * natural
        slope = inner.slope + factor[:, None] * plane.slope
        size = np.abs(inner.value) + factor * np.abs(plane.value) + inner_size + factor * plane_size
        bound = inner.value + factor * plane.value + bounder.reach.spread(slope) + MARGIN * size
        most = np.minimum(most, bound)
    return most
