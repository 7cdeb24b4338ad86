"""Bounds of every layer and of output rows for some inputs on one region, as linear functions of the trigger.

The backward walk is CROWN (Zhang et al. 2018, theorem 3.2) with the trigger as the variable; the error of each
layer enters as `|B| rho`, where B are the coefficients that reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.chain import Layer
from verifluxa.certificate.check.functions import Lines
from verifluxa.certificate.check.linear import Floats, Integers
from verifluxa.certificate.check.region import Region, reach_of

_MOST_VALUES = 1 << 21


@dataclass(eq=False)
class LayerBounds:
    """One layer for a batch of inputs: error radii, ends of the values before the function, lines of it.

    All of shape (batch, values). `planes` tells which values have planes of their own: those that were not
    decided when they were last looked at.
    """

    radius: Floats
    lower: Floats
    upper: Floats
    planes: NDArray[np.bool_]
    lines: Lines | None = None


@dataclass(eq=False)
class State:
    """Bounds of all layers but the outputs', and the outputs' error radius.

    Attributes:
        inputs: which input each entry of the batch is, shape (batch,).
        layers: bounds by layer.
        output_radius: shape (batch, outputs).
        worst: the largest radius of any operation, shape (batch,).
    """

    inputs: Integers
    layers: list[LayerBounds]
    output_radius: Floats
    worst: Floats

    def take(self, index: Integers) -> State:
        """Some entries, copied."""
        layers = [LayerBounds(b.radius[index], b.lower[index], b.upper[index], b.planes[index]) for b in self.layers]
        return State(self.inputs[index], layers, self.output_radius[index], self.worst[index])


@dataclass(frozen=True, eq=False)
class Planes:
    """Linear functions of the trigger, counted from the region's center: `value + slope.t`."""

    value: Floats
    slope: Floats


class Bounder:
    """A placement's chain on one region."""

    def __init__(self, chain: tuple[Layer, ...], region: Region) -> None:
        self.chain = chain
        self.region = region
        self.reach = reach_of(region)
        self.largest = region.largest
        self.first_spread = self.reach.spread_both(chain[0].form.weight)

    def state(self, inputs: Integers, planes: bool = True) -> State:
        """Bounds every layer, first to last; by intervals alone where `planes` is not wanted."""
        state = State(inputs, [], np.zeros((len(inputs), 0)), np.zeros(len(inputs)))
        size = np.broadcast_to(self.largest, (len(inputs), len(self.largest)))
        for index, layer in enumerate(self.chain[:-1]):
            self._watch(layer, state, size)
            bounds = self._first(layer, inputs) if index == 0 else self._interval(index, state, size)
            state.layers.append(bounds)
            if index and planes:
                self._tighten(state, index)
            bounds.lines = layer.lines(bounds.lower, bounds.upper)
            size = self.size(index, state)
        self._watch(self.chain[-1], state, size)
        state.output_radius = self.radius(len(self.chain) - 1, inputs, size)
        return state

    def _watch(self, layer: Layer, state: State, size: Floats) -> None:
        """Notes how large the radii get, also of the operations that a layer's form has swallowed."""
        for relative, absolute in (*layer.watched, (layer.form.relative, layer.form.absolute)):
            radius = size @ relative.T + absolute[state.inputs]
            state.worst = np.maximum(state.worst, radius.max(axis=1, initial=0.0))

    def size(self, index: int, state: State) -> Floats:
        """The largest magnitudes of the state after a layer."""
        layer, bounds = self.chain[index], state.layers[index]
        return np.maximum(np.abs(layer.value(bounds.lower)), np.abs(layer.value(bounds.upper)))

    def radius(self, index: int, inputs: Integers, size: Floats) -> Floats:
        """How far the deployed values before the function may be from the form."""
        form = self.chain[index].form
        return size @ form.relative.T + form.absolute[inputs]

    def output_rows(self, state: State, entries: Integers, rows: Floats, constants: Floats) -> Planes:
        """Upper planes of `row . outputs + constant` for entries of the batch; rows of shape (K, outputs)."""
        form = self.chain[-1].form
        value = constants + (np.abs(rows) * state.output_radius[entries]).sum(axis=1)
        value = value + (rows * form.offset[state.inputs[entries]]).sum(axis=1)
        return self.backward(state, len(self.chain) - 1, entries, Planes(value, rows @ form.weight))

    def output_most(self, state: State, entries: Integers, rows: Floats, constants: Floats) -> Floats:
        """Upper bounds of the same rows from the ends of the last layer's values alone."""
        form = self.chain[-1].form
        most = constants + (np.abs(rows) * state.output_radius[entries]).sum(axis=1)
        most = most + (rows * form.offset[state.inputs[entries]]).sum(axis=1)
        weight = rows @ form.weight
        if not state.layers:
            return np.asarray(most + weight @ self.reach.center + np.abs(weight) @ self.reach.half)
        last, bounds = self.chain[-2], state.layers[-1]
        low, high = last.value(bounds.lower[entries]), last.value(bounds.upper[entries])
        return np.asarray(most + (np.maximum(weight, 0.0) * high + np.minimum(weight, 0.0) * low).sum(axis=1))

    def neuron_planes(self, state: State, index: int, entries: Integers, neurons: Integers, sign: float) -> Planes:
        """Upper planes of `sign * z` of neurons of a layer behind the first, errors included."""
        form, bounds = self.chain[index].form, state.layers[index]
        value = bounds.radius[entries, neurons] + sign * form.offset[state.inputs[entries], neurons]
        return self.backward(state, index, entries, Planes(value, sign * form.weight[neurons]))

    def backward(self, state: State, index: int, entries: Integers, start: Planes) -> Planes:
        """From coefficients on the state before layer `index` to slopes in the trigger; in pieces that fit memory."""
        widest = max(layer.form.weight.size // max(1, layer.form.weight.shape[1]) for layer in self.chain)
        step = max(1, _MOST_VALUES // max(1, widest))
        values, slopes = np.zeros(len(entries)), np.zeros((len(entries), len(self.largest)))
        for at in range(0, len(entries), step):
            cut = slice(at, at + step)
            piece = self._backward(state, index, entries[cut], Planes(start.value[cut], start.slope[cut]))
            values[cut], slopes[cut] = piece.value, piece.slope
        return Planes(values, slopes)

    def _backward(self, state: State, index: int, entries: Integers, start: Planes) -> Planes:
        value, slope = start.value, start.slope
        inputs = state.inputs[entries]
        for layer, bounds in zip(reversed(self.chain[:index]), reversed(state.layers[:index]), strict=True):
            assert bounds.lines is not None
            lines = Lines(*(part[entries] for part in bounds.lines))
            up, down = np.maximum(slope, 0.0), np.minimum(slope, 0.0)
            back = up * lines.high_slope + down * lines.low_slope
            value = value + (up * lines.high + down * lines.low).sum(axis=1)
            value = value + (np.abs(back) * bounds.radius[entries] + back * layer.form.offset[inputs]).sum(axis=1)
            slope = back @ layer.form.weight
        return Planes(value + slope @ self.reach.center, slope)

    def _first(self, layer: Layer, inputs: Integers) -> LayerBounds:
        radius = self.radius(0, inputs, np.broadcast_to(self.largest, (len(inputs), len(self.largest))))
        value = self.first_value(inputs)
        up, down = self.first_spread
        lower, upper = value - down - radius, value + up + radius
        return LayerBounds(radius, lower, upper, layer.undecided(lower, upper))

    def first_value(self, inputs: Integers) -> Floats:
        """The first layer's values at the region's center."""
        form = self.chain[0].form
        return form.weight @ self.reach.center + form.offset[inputs]

    def _interval(self, index: int, state: State, size: Floats) -> LayerBounds:
        before, layer = state.layers[index - 1], self.chain[index]
        low, high = self.chain[index - 1].value(before.lower), self.chain[index - 1].value(before.upper)
        radius = self.radius(index, state.inputs, size)
        up, down = np.maximum(layer.form.weight, 0.0).T, np.minimum(layer.form.weight, 0.0).T
        offset = layer.form.offset[state.inputs]
        lower, upper = low @ up + high @ down + offset - radius, high @ up + low @ down + offset + radius
        return LayerBounds(radius, lower, upper, layer.undecided(lower, upper))

    def _tighten(self, state: State, index: int) -> None:
        bounds = state.layers[index]
        entries, neurons = np.nonzero(bounds.planes)
        for sign, ends in ((1.0, bounds.upper), (-1.0, bounds.lower)):
            planes = self.neuron_planes(state, index, entries, neurons, sign)
            most = planes.value + self.reach.spread(planes.slope)
            known = sign * ends[entries, neurons]
            ends[entries, neurons] = sign * np.minimum(known, most)
