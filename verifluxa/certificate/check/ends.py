"""Ends of single values that rest on slopes of their own, by which a leaf tightens what its conflicts start from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import State
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.judge import MOST_VALUES, Judge, Known, Place, Visit, unproved
from verifluxa.certificate.check.region import sure
from verifluxa.evidence import Conflicts, IntermediateSlopes


def ends_of(judge: Judge, visit: Visit) -> Known:
    """Recomputes the ends of a node, each from those before it; they hold for every alternative of an input.

    Raises:
        CertificateError: VF5054 for what the network does not have.
    """
    assert isinstance(visit.node.step, Conflicts)
    ends = visit.node.step.ends
    place, asked, at = judge.place, visit.asked, np.array([visit.at - judge.first])
    found = {own.input: [_nothing(layer.offset.shape[1]) for layer in place.chain[:-1]] for own in ends}
    for own in ends:
        if own.input not in asked.alternatives or not _is_named(place, own):
            raise unproved("VF5054", f"slopes of input {own.input} that the network does not have", visit.part)
        state = judge.bounder.state(np.array([own.input]), at, known={0: found[own.input]})
        up, down = np.split(_most(judge, state, own), 2)
        (lower, upper), neurons = found[own.input][place.hidden[own.layer] - 1], list(own.neurons)
        lower[neurons], upper[neurons] = np.maximum(lower[neurons], -down), np.minimum(upper[neurons], up)
    return {(index, number): found[index] for index in found for number in range(len(asked.alternatives[index]))}


def _nothing(size: int) -> tuple[Floats, Floats]:
    return np.full(size, -np.inf), np.full(size, np.inf)


def _is_named(place: Place, own: IntermediateSlopes) -> bool:
    """Whether all layers and values are there, some at all, and a level for each slope."""
    layers, levels = [*enumerate(own.bent), (own.layer, own.neurons)], 2 * len(own.neurons) * sum(map(len, own.bent))
    fits = len(own.bent) == own.layer < len(place.hidden) and len(own.levels) == levels and len(own.neurons) > 0
    return fits and all(place.neuron(layer, neuron) for layer, neurons in layers for neuron in neurons)


def _most(judge: Judge, state: State, own: IntermediateSlopes) -> Floats:
    """The largest values of some values of the one entry of a state, then of their negatives; infinite for nothing."""
    count, step = 2 * len(own.neurons), max(1, MOST_VALUES // judge.place.size)
    levels = np.frombuffer(own.levels, dtype=np.uint8).reshape(count, -1)
    parts = (slice(start, start + step) for start in range(0, count, step))
    most = np.concatenate([_some(judge, state, own, (part, levels[part])) for part in parts])
    return sure(most)


def _some(judge: Judge, state: State, own: IntermediateSlopes, levels: tuple[slice, NDArray[np.uint8]]) -> Floats:
    """Like `_most` for some of its rows, named with the levels of their slopes."""
    place, (part, own_levels), start = judge.place, levels, 0
    layer, number = place.chain[place.hidden[own.layer] - 1], place.hidden[own.layer]
    neurons = np.tile(own.neurons, 2)[part]
    sign = np.repeat([1.0, -1.0], len(own.neurons))[part]
    each = state.take(np.zeros(len(sign), dtype=np.int64))
    for below, bent in zip(place.hidden, map(list, own.bent), strict=False):
        function, bounds = place.chain[below - 1].function, each.layers[below - 1]
        named, start = own_levels[:, start : start + len(bent)], start + len(bent)
        if function is not None and function.least is not None:
            slope, bends = bounds.lines.low_slope, function.bends(bounds.lower, bounds.upper)[:, bent]
            slope[:, bent] = np.where(bends, np.maximum(named / 255, function.least), slope[:, bent])
    value = sign * layer.offset[own.input, neurons] + each.layers[number - 1].radius[0, neurons]
    slopes = {at: sign[:, None, None] * weight[neurons, None] for at, weight in layer.weight.items()}
    planes = judge.bounder.walk(each, np.arange(len(sign)), value[:, None], slopes)
    return judge.bounder.regions.most(planes, each.at)[:, 0]
