"""Bounds of every layer and of output rows for some inputs on one region, as linear functions of the trigger.

The backward walk is CROWN (Zhang et al. 2018, theorem 3.2) with the trigger as the variable; the error of each
layer enters as `|B| rho`, where B are the coefficients that reach it.

Self-clipping: if an alternative is met at tau, each of its rows is at least 0 there, and so is each row's upper
plane `b + a.t`. So the neurons may be bounded on the region cut by that half-space alone. For any lambda >= 0 the
largest `m + c.t` there is at most `m + lambda b + max (c + lambda a).t` over the whole region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.chain import Layer
from verifluxa.certificate.check.functions import Lines
from verifluxa.certificate.check.network import Floats, Integers
from verifluxa.certificate.check.region import MARGIN, Region, reach_of

_MOST_VALUES = 1 << 21
MULTIPLES = (0.4, 1.0, 2.5)


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
    lines: Lines


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
        layers = [
            LayerBounds(b.radius[index], b.lower[index], b.upper[index], b.planes[index], b.lines.take(index))
            for b in self.layers
        ]
        return State(self.inputs[index], layers, self.output_radius[index], self.worst[index])


class Planes(NamedTuple):
    """Linear functions of the trigger, counted from the region's center: `value + slope.t`."""

    value: Floats
    slope: Floats

    def take(self, index: Integers) -> Planes:
        """Some of them."""
        return Planes(self.value[index], self.slope[index])


class OutputRows(NamedTuple):
    """Rows `weight . outputs + constant`; shapes (K, outputs) and (K,)."""

    weight: Floats
    constant: Floats


class Bounder:
    """A placement's chain on one region."""

    def __init__(self, chain: Sequence[Layer], region: Region) -> None:
        self.chain = chain
        self.region = region
        self.reach = reach_of(region)
        self.first_spread = self.reach.spread_both(chain[0].weight)

    def state(self, inputs: Integers, planes: bool = True) -> State:
        """Bounds every layer, first to last; by intervals alone where `planes` is not wanted."""
        state = State(inputs, [], np.zeros(0), np.zeros(len(inputs)))
        largest = np.broadcast_to(self.region.largest, (len(inputs), len(self.region.lower)))
        low, high, size = np.zeros(0), np.zeros(0), largest
        for index, layer in enumerate(self.chain):
            radius = size @ layer.relative.T + layer.absolute[inputs]
            watched = size @ layer.watched[0] + layer.watched[1][inputs]
            state.worst = np.maximum(state.worst, np.maximum(watched, radius.max(axis=1, initial=0.0)))
            if layer.function is None:
                state.output_radius = radius
                break
            if index == 0:
                value, (up, down) = layer.weight @ self.reach.center + layer.offset[inputs], self.first_spread
                lower, upper = value - down - radius, value + up + radius
            else:
                rising, falling = np.maximum(layer.weight, 0.0).T, np.minimum(layer.weight, 0.0).T
                lower = low @ rising + high @ falling + layer.offset[inputs] - radius
                upper = high @ rising + low @ falling + layer.offset[inputs] + radius
            mask = layer.undecided(lower, upper)
            bounds = LayerBounds(radius, lower, upper, mask, Lines(*(lower,) * 4))
            state.layers.append(bounds)
            if index and planes:
                self._tighten(state, index, None)
            bounds.lines = layer.lines(bounds.lower, bounds.upper)
            low, high = layer.ends(bounds.lower, bounds.upper)
            size = np.maximum(np.abs(low), np.abs(high))
        return state

    def output_rows(self, state: State, entries: Integers, rows: OutputRows) -> Planes:
        """Upper planes of rows for entries of the batch."""
        return self._backward(state, len(self.chain) - 1, entries, self._start(state, entries, rows))

    def output_most(self, state: State, entries: Integers, rows: OutputRows) -> Floats:
        """Upper bounds of the same rows from the ends of the last layer's values alone."""
        most, weight = self._start(state, entries, rows)
        if not state.layers:
            return np.asarray(most + weight @ self.reach.center + np.abs(weight) @ self.reach.half)
        bounds = state.layers[-1]
        low, high = self.chain[-2].ends(bounds.lower[entries], bounds.upper[entries])
        return np.asarray(most + (np.maximum(weight, 0.0) * high + np.minimum(weight, 0.0) * low).sum(axis=1))

    def clip(self, state: State, cut: Planes) -> NDArray[np.bool_]:
        """Clips every layer of each entry by its plane, in place.

        Args:
            state: one entry for each (input, alternative).
            cut: the upper plane of a row of the entry's alternative, one for each entry.

        Returns:
            Which entries are contradicted: no point of the region is left where the alternative could be met.
        """
        contradicted = np.zeros(len(state.inputs), dtype=bool)
        for index, bounds in enumerate(state.layers):
            self._tighten(state, index, cut)
            contradicted |= (bounds.lower > bounds.upper).any(axis=1)
            bounds.upper = np.maximum(bounds.lower, bounds.upper)
            bounds.planes = bounds.planes & self.chain[index].undecided(bounds.lower, bounds.upper)
            bounds.lines = self.chain[index].lines(bounds.lower, bounds.upper)
        return contradicted

    def _start(self, state: State, entries: Integers, rows: OutputRows) -> Planes:
        layer = self.chain[-1]
        value = rows.constant + (np.abs(rows.weight) * state.output_radius[entries]).sum(axis=1)
        value = value + (rows.weight * layer.offset[state.inputs[entries]]).sum(axis=1)
        return Planes(value, rows.weight @ layer.weight)

    def _tighten(self, state: State, index: int, cut: Planes | None) -> None:
        """Narrows the ends of the undecided values of a layer by planes, where `cut` is met if there is one."""
        layer, bounds = self.chain[index], state.layers[index]
        entries, neurons = np.nonzero(bounds.planes)
        offset, radius = layer.offset[state.inputs[entries], neurons], bounds.radius[entries, neurons]
        for sign, ends in ((1.0, bounds.upper), (-1.0, bounds.lower)):
            start = Planes(radius + sign * offset, sign * layer.weight[neurons])
            planes = self._backward(state, index, entries, start)
            most = planes.value + self.reach.spread(planes.slope)
            if cut is not None:
                most = self._cut(planes, most, cut.take(entries))
            ends[entries, neurons] = sign * np.minimum(sign * ends[entries, neurons], most)

    def _cut(self, inner: Planes, most: Floats, cut: Planes) -> Floats:
        """The least bound over the multiples of the natural lambda, and over none."""
        half = self.reach.half
        inner_size, cut_size = np.abs(inner.slope) @ half, np.abs(cut.slope) @ half
        natural = inner_size / np.where(cut_size > 0, cut_size, np.inf)
        most = most + MARGIN * (np.abs(inner.value) + inner_size)
        for factor in (multiple * natural for multiple in MULTIPLES):
            value, slope = inner.value + factor * cut.value, inner.slope + factor[:, None] * cut.slope
            size = np.abs(inner.value) + factor * np.abs(cut.value) + inner_size + factor * cut_size
            most = np.minimum(most, value + self.reach.spread(slope) + MARGIN * size)
        return most

    def _backward(self, state: State, index: int, entries: Integers, start: Planes) -> Planes:
        """From coefficients on the state before layer `index` to slopes in the trigger; in pieces that fit memory."""
        step = max(1, _MOST_VALUES // max(1, *(len(layer.weight) for layer in self.chain)))
        cuts = [slice(at, at + step) for at in range(0, max(1, len(entries)), step)]
        pieces = [self._walk(state, index, entries[cut], Planes(start.value[cut], start.slope[cut])) for cut in cuts]
        return pieces[0] if len(pieces) == 1 else Planes(*(np.concatenate(part) for part in zip(*pieces, strict=True)))

    def _walk(self, state: State, index: int, entries: Integers, start: Planes) -> Planes:
        value, slope = start
        inputs = state.inputs[entries]
        for layer, bounds in zip(reversed(self.chain[:index]), reversed(state.layers[:index]), strict=True):
            lines = bounds.lines.take(entries)
            up, down = np.maximum(slope, 0.0), np.minimum(slope, 0.0)
            back = up * lines.high_slope + down * lines.low_slope
            value = value + (up * lines.high + down * lines.low).sum(axis=1)
            value = value + (np.abs(back) * bounds.radius[entries] + back * layer.offset[inputs]).sum(axis=1)
            slope = back @ layer.weight
        return Planes(value + slope @ self.reach.center, slope)
