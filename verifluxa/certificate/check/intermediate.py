"""Intermediate bounds with slopes of their own, from which the conflicts of a leaf start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bound_checker import (
    MOST_VALUES,
    BoundChecker,
    KnownBounds,
    NodeCheck,
    PlacementBounds,
    unproved,
)
from verifluxa.certificate.check.bounds import State
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.region import sure
from verifluxa.evidence import Conflicts, IntermediateSlopes


def intermediate_bounds(checker: BoundChecker, check: NodeCheck) -> KnownBounds:
    """Recomputes the intermediate bounds of a node, layer after layer; they hold for every alternative of an input.

    Raises:
        CertificateError: VF5054 for what the network does not have.
    """
    assert isinstance(check.node.step, Conflicts)
    stored = check.node.step.ends
    placement, question, at = checker.placement, check.question, np.array([check.at - checker.first])
    found = {own.input: [_nothing(layer.offset.shape[1]) for layer in placement.chain[:-1]] for own in stored}
    for own in stored:
        if own.input not in question.alternatives or not _is_named(placement, own):
            raise unproved("VF5054", f"slopes of input {own.input} that the network does not have", check.subdomain)
        state = checker.bounder.state(np.array([own.input]), at, known={0: found[own.input]})
        up, down = np.split(_most(checker, state, own), 2)
        (lower, upper), neurons = found[own.input][placement.hidden[own.layer] - 1], list(own.neurons)
        lower[neurons], upper[neurons] = np.maximum(lower[neurons], -down), np.minimum(upper[neurons], up)
    return {(index, number): found[index] for index in found for number in range(len(question.alternatives[index]))}


def _nothing(size: int) -> tuple[Floats, Floats]:
    return np.full(size, -np.inf), np.full(size, np.inf)


def _is_named(placement: PlacementBounds, own: IntermediateSlopes) -> bool:
    """Whether all layers and values are there, some at all, and a level for each slope."""
    layers, levels = [*enumerate(own.bent), (own.layer, own.neurons)], 2 * len(own.neurons) * sum(map(len, own.bent))
    fits = len(own.bent) == own.layer < len(placement.hidden) and len(own.levels) == levels and len(own.neurons) > 0
    return fits and all(placement.neuron(layer, neuron) for layer, neurons in layers for neuron in neurons)


def _most(checker: BoundChecker, state: State, own: IntermediateSlopes) -> Floats:
    """The largest values of some values of the one entry of a state, then of their negatives; infinite for nothing."""
    count, step = 2 * len(own.neurons), max(1, MOST_VALUES // checker.placement.size)
    levels = np.frombuffer(own.levels, dtype=np.uint8).reshape(count, -1)
    parts = (slice(start, start + step) for start in range(0, count, step))
    most = np.concatenate([_some(checker, state, own, part, levels[part]) for part in parts])
    return sure(most)


def _some(
    checker: BoundChecker, state: State, own: IntermediateSlopes, part: slice, levels: NDArray[np.uint8]
) -> Floats:
    """Like `_most` for some of its rows, with the levels of their slopes."""
    placement, start = checker.placement, 0
    layer, number = placement.chain[placement.hidden[own.layer] - 1], placement.hidden[own.layer]
    neurons = np.tile(own.neurons, 2)[part]
    sign = np.repeat([1.0, -1.0], len(own.neurons))[part]
    each = state.take(np.zeros(len(sign), dtype=np.int64))
    for below, bent in zip(placement.hidden, map(list, own.bent), strict=False):
        function, bounds = placement.chain[below - 1].function, each.layers[below - 1]
        named, start = levels[:, start : start + len(bent)], start + len(bent)
        if function is not None and function.least is not None:
            slope, unstable = bounds.lines.low_slope, function.unstable(bounds.lower, bounds.upper)[:, bent]
            slope[:, bent] = np.where(unstable, np.maximum(named / 255, function.least), slope[:, bent])
    value = sign * layer.offset[own.input, neurons] + each.layers[number - 1].radius[0, neurons]
    slopes = {at: sign[:, None, None] * weight[neurons, None] for at, weight in layer.weight.items()}
    planes = checker.bounder.walk(each, np.arange(len(sign)), value[:, None], slopes)
    return checker.bounder.regions.most(planes, each.at)[:, 0]
