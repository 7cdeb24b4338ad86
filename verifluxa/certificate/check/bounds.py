"""Bounds of every layer and of output rows for some inputs on some regions, as linear functions of the trigger.

The backward walk is CROWN (Zhang et al. 2018, theorem 3.2) with the trigger as the variable; the error of each
layer enters as `|B| rho`, where B are the coefficients that reach it.

Self-clipping: if an alternative is met at tau, each of its rows is at least 0 there, and so is each row's upper
plane `b + a.t`. So the neurons may be bounded on the region cut by that half-space alone. For any lambda >= 0 the
largest `m + c.t` there is at most `m + lambda b + max (c + lambda a).t` over the whole region.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.chain import Layer, Parts
from verifluxa.certificate.check.functions import Floats, Lines
from verifluxa.certificate.check.network import Integers
from verifluxa.certificate.check.region import LinearBounds, Regions, alike, sure

IntermediateBounds = Sequence[tuple[Floats, Floats]]
"""Lower and upper ends of the values of every layer but the outputs', of one entry."""


class Sign(NamedTuple):
    """The case of a neuron: the deployed value before the function of a layer is >= 0 (`positive`) or <= 0."""

    input: int
    layer: int
    neuron: int
    positive: bool


class LayerBounds(NamedTuple):
    """One layer for a batch of entries: error radii, ends of the values before the function, lines around it.

    All of shape (batch, values). `open` tells which values planes may say more about: those that the ends of the
    layer before, or the last clipping, left undecided.
    """

    radius: Floats
    lower: Floats
    upper: Floats
    open: NDArray[np.bool_]
    lines: Lines

    def take(self, index: Integers) -> LayerBounds:
        """Some entries, copied."""
        lines = Lines(*(part[index] for part in self.lines))
        return LayerBounds(self.radius[index], self.lower[index], self.upper[index], self.open[index], lines)


@dataclass(eq=False)
class State:
    """Bounds of all layers but the outputs', and the outputs' error radius, for a batch of entries.

    Attributes:
        inputs, at: which input each entry is about, and on which region, shape (batch,).
        layers: bounds by layer.
        output_radius: shape (batch, outputs).
        pushes: by layer what is added to the coefficients of its values, shape (batch, values): nothing, or a number
            with the sign that the value is known to have, which can only raise a plane.
    """

    inputs: Integers
    at: Integers
    layers: list[LayerBounds]
    output_radius: Floats
    betas: Parts = field(default_factory=dict)

    def take(self, index: Integers) -> State:
        """Some entries, copied."""
        layers = [own.take(index) for own in self.layers]
        return State(self.inputs[index], self.at[index], layers, self.output_radius[index])

    def know(self, entry: int, sign: Sign) -> None:
        """Cuts the ends of a value of an entry at 0."""
        own = self.layers[sign.layer - 1]
        end, best = (own.lower, np.maximum) if sign.positive else (own.upper, np.minimum)
        end[entry, sign.neuron] = best(end[entry, sign.neuron], 0.0)

    @property
    def infeasible(self) -> NDArray[np.bool_]:
        """Entries that no trigger of the region can belong to: some value's bounds exclude each other."""
        infeasible = ((own.lower > own.upper).any(axis=1) for own in self.layers)
        return np.asarray(np.any([np.zeros(len(self.inputs), dtype=bool), *infeasible], axis=0))


class Bounder:
    """A placement's chain on some regions."""

    def __init__(self, chain: Sequence[Layer], regions: Regions) -> None:
        self.chain = chain
        self.regions = regions

    def state(
        self,
        inputs: Integers,
        at: Integers,
        planes: bool = True,
        signs: Sequence[tuple[int, Sign]] = (),
        known: Mapping[int, IntermediateBounds] = MappingProxyType({}),
    ) -> State:
        """Bounds every layer, first to last; by intervals alone where `planes` is not wanted.

        Args:
            inputs, at: of each entry its input and its region.
            planes: whether planes are wanted.
            signs: cases of neurons, each with the entry that it is for, which then speaks of that case alone.
            known: of some entries ends that hold where the entry is wanted.
        """
        box, narrow = self.regions, list(known)
        state = State(inputs, at, [], np.zeros(0))
        middle, half = {0: box.center[at]}, {0: box.half[at]}
        size = {0: np.maximum(np.abs(box.lower), np.abs(box.upper))[at]}
        seen, place = np.unique(at, return_inverse=True)
        for number, layer in enumerate(self.chain, 1):
            radius = layer.absolute[inputs] + sum(size[k] @ part.T for k, part in layer.relative.items())
            if layer.function is None:
                state.output_radius = radius
                break
            value, up, down = layer.offset[inputs], radius, radius
            for k, weight in layer.weight.items():
                value = value + middle[k] @ weight.T
                reach = (half[k] @ layer.size[k].T,) * 2 if k else [part[place] for part in box.every(weight, seen)]
                up, down = up + reach[0], down + reach[1]
            lower, upper = -sure(down - value), sure(value + up)
            if narrow:
                own = [ends[number - 1] for ends in known.values()]
                least, most = (np.stack(part) for part in zip(*own, strict=True))
                lower[narrow], upper[narrow] = np.maximum(lower[narrow], least), np.minimum(upper[narrow], most)
            shapes = (lower.shape, (len(lower), lower.shape[1] // layer.function.blocks)) * 2
            lines = Lines(*map(np.zeros, shapes))
            state.layers.append(LayerBounds(radius, lower, upper, layer.function.undecided(lower, upper), lines))
            if planes and set(layer.weight) != {0}:
                self._tighten(state, number)
            for entry, sign in signs:
                if sign.layer == number:
                    state.know(entry, sign)
            self.close(state, number, slice(None))
            low, high = layer.function.ends(lower, upper)
            middle[number], half[number] = (low + high) / 2, (high - low) / 2
            size[number] = np.maximum(np.abs(low), np.abs(high))
        return state

    def close(self, state: State, number: int, entries: Integers | slice) -> None:
        """The lines around the function of a layer, from its ends."""
        function, own = self.chain[number - 1].function, state.layers[number - 1]
        assert function is not None
        for part, new in zip(own.lines, function.lines(own.lower[entries], own.upper[entries]), strict=True):
            part[entries] = new

    def rows(self, state: State, entries: Integers, weight: Floats, constant: Floats) -> LinearBounds:
        """Upper planes of rows `weight . outputs + constant`, shapes (entries, rows, outputs) and (entries, rows)."""
        last = self.chain[-1]
        value = constant + _dot(np.abs(weight), state.output_radius[entries])
        value = value + _dot(weight, last.offset[state.inputs[entries]])
        return self.walk(state, entries, value, {at: _times(weight, part) for at, part in last.weight.items()})

    def clip(self, state: State, entries: Integers, cut: LinearBounds) -> NDArray[np.bool_]:
        """Clips every layer of some entries by a plane each, in place.

        Args:
            state: one entry for each (input, alternative).
            entries: which of them are clipped.
            cut: the upper plane of a row of the entry's alternative, one for each of the entries.

        Returns:
            Which of them are contradicted: no point of the region is left where the alternative could be met.
        """
        contradicted = np.zeros(len(entries), dtype=bool)
        for number, layer in enumerate(self.chain[:-1], 1):
            self._tighten(state, number, entries, cut)
            own = state.layers[number - 1]
            contradicted |= (own.lower[entries] > own.upper[entries]).any(axis=1)
            own.upper[entries] = np.maximum(own.lower[entries], own.upper[entries])
            assert layer.function is not None
            own.open[entries] &= layer.function.undecided(own.lower[entries], own.upper[entries])
            self.close(state, number, entries)
        return contradicted

    def _tighten(
        self, state: State, number: int, among: Integers | None = None, cut: LinearBounds | None = None
    ) -> None:
        """Narrows the ends of the open values of a layer by planes, where `cut` is met if there is one."""
        layer, bounds = self.chain[number - 1], state.layers[number - 1]
        among = np.arange(len(state.inputs)) if among is None else among
        open_, widest = bounds.open[among], max(part.shape[1] for part in layer.weight.values())
        for chosen in alike(open_.sum(axis=1), 2 * widest):
            entries, mask = among[chosen, None], open_[chosen]
            # As many as the one with most has: where one has fewer its first value stands in again.
            neurons = np.tile(mask.argmax(axis=1)[:, None], int(mask.sum(axis=1).max()))
            neurons[np.nonzero(mask)[0], mask.cumsum(axis=1)[mask] - 1] = np.nonzero(mask)[1]
            met = None if cut is None else LinearBounds(cut.value[chosen, None], cut.slope[chosen, None])
            most = self.regions.most(self._both(state, number, entries[:, 0], neurons), state.at[entries[:, 0]], met)
            most, least = np.split(sure(most), 2, axis=1)
            bounds.upper[entries, neurons] = np.minimum(bounds.upper[entries, neurons], most)
            bounds.lower[entries, neurons] = np.maximum(bounds.lower[entries, neurons], -least)

    def _both(self, state: State, number: int, entries: Integers, neurons: Integers) -> LinearBounds:
        """Upper planes of some values of a layer, shape (entries, values), and behind them of their negatives.

        One step down the coefficients are the weights themselves: `a+ u + a- l = a (u + l) / 2 + |a| (u - l) / 2`
        serves both.
        """
        layer, top = self.chain[number - 1], max(self.chain[number - 1].weight)
        value = layer.offset[state.inputs[entries, None], neurons]
        more = state.layers[number - 1].radius[entries[:, None], neurons]
        slopes = {at: _stacked(part[neurons], 0.0) for at, part in layer.weight.items() if at < top or not top}
        if top:
            low_slope, low, high_slope, high = self._lines(state, top, entries)
            row = layer.weight[top][neurons]
            size = np.abs(row)
            value, more = value + _dot(row, (high + low) / 2), more + _dot(size, (high - low) / 2)
            row, size = _tiled(row, low_slope), _tiled(size, low_slope)
            row *= (high_slope + low_slope)[:, None] / 2
            size *= (high_slope - low_slope)[:, None] / 2
            for at, weight in self.chain[top - 1].weight.items():
                slopes[at] = _stacked(_times(row, weight), _times(size, weight)) + slopes.get(at, 0.0)
        return self.walk(state, entries, _stacked(value, more), slopes)

    def _lines(self, state: State, number: int, entries: Integers) -> Lines:
        """The lines around a layer's function, of what its affine values are without offset and error."""
        layer, bounds = self.chain[number - 1], state.layers[number - 1]
        assert layer.function is not None
        low_slope, low, high_slope, high = (part[entries] for part in bounds.lines)
        offset, radius, blocks = layer.offset[state.inputs[entries]], bounds.radius[entries], layer.function.blocks
        up, down = high_slope * offset + np.abs(high_slope) * radius, low_slope * offset - np.abs(low_slope) * radius
        if blocks > 1:
            up, down = (np.sum(np.split(part, blocks, axis=-1), axis=0) for part in (up, down))
        return Lines(low_slope, low + down, high_slope, high + up)

    def walk(self, state: State, entries: Integers, value: Floats, slopes: Parts) -> LinearBounds:
        """From coefficients on states, shape (entries, rows, values), to slopes in the trigger."""
        for number in range(len(self.chain) - 1, 0, -1):
            slope = slopes.pop(number, None)
            if slope is None:
                continue
            layer = self.chain[number - 1]
            low_slope, low, high_slope, high = self._lines(state, number, entries)
            up, down = np.maximum(slope, 0.0), np.minimum(slope, 0.0)
            value = value + _dot(up, high) + _dot(down, low)
            back = _tiled(up, high_slope) * high_slope[:, None]
            back += _tiled(down, low_slope) * low_slope[:, None]
            if number in state.betas:
                push, radius = state.betas[number][entries, None], state.layers[number - 1].radius[entries]
                value = value + _dot(np.abs(back + push) - np.abs(back), radius)
                value, back = value + _dot(push, layer.offset[state.inputs[entries]]), back + push
            for at, weight in layer.weight.items():
                slopes[at] = slopes.get(at, 0.0) + _times(back, weight)
        center = self.regions.center[state.at[entries]]
        slope = slopes.get(0, np.zeros((*value.shape, center.shape[1])))
        return LinearBounds(value + _dot(slope, center), slope)


def _stacked(signed: Floats, unsigned: Floats | float) -> Floats:
    """Rows and, behind them, their negatives."""
    return np.concatenate([unsigned + signed, unsigned - signed], axis=1)


def _tiled(rows: Floats, lines: Floats) -> Floats:
    """Coefficients of results for each block of values that lines speak of."""
    # A layer that the trigger does not reach has no values at all.
    blocks = lines.shape[-1] // max(1, rows.shape[-1])
    return rows if blocks <= 1 else np.tile(rows, blocks)


def _times(rows: Floats, weight: Floats) -> Floats:
    """One product of matrices for all rows."""
    flat = rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])
    return np.asarray((flat @ weight).reshape(*rows.shape[:-1], weight.shape[1]))


def _dot(rows: Floats, numbers: Floats) -> Floats:
    """Sums of products, shape (entries, rows), of rows (entries, rows, n) and numbers (entries, n)."""
    return np.asarray((rows @ numbers[..., None])[..., 0])
