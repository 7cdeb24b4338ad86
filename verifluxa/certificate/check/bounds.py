"""Bounds of every layer and of output rows for some inputs on one region, as linear functions of the trigger.

The backward walk is CROWN (Zhang et al. 2018, theorem 3.2) with the trigger as the variable; the error of each
layer enters as `|B| rho`, where B are the coefficients that reach it.

Self-clipping: if an alternative is met at tau, each of its rows is at least 0 there, and so is each row's upper
plane `b + a.t`. So the neurons may be bounded on the region cut by that half-space alone. For any lambda >= 0 the
largest `m + c.t` there is at most `m + lambda b + max (c + lambda a).t` over the whole region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.chain import CONSTANT, Layer, Parts
from verifluxa.certificate.check.functions import Floats, Lines
from verifluxa.certificate.check.network import Integers
from verifluxa.certificate.check.region import MARGIN, STEPS, Region

_MOST_VALUES = 1 << 21
MULTIPLES = (0.4, 1.0, 2.5)


class Sign(NamedTuple):
    """The case of a neuron: the deployed value before the function of a layer is >= 0 (`positive`) or <= 0."""

    input: int
    layer: int
    neuron: int
    positive: bool


class LayerBounds(NamedTuple):
    """One layer for a batch of inputs: error radii, and ends of the values before the function.

    All of shape (batch, values). `open` tells which values planes may say more about: those that the ends of the
    layer before, or the last clipping, left undecided.
    """

    radius: Floats
    lower: Floats
    upper: Floats
    open: NDArray[np.bool_]


@dataclass(eq=False)
class State:
    """Bounds of all layers but the outputs', and the outputs' error radius.

    Attributes:
        inputs: which input each entry of the batch is, shape (batch,).
        layers: bounds by layer.
        lines: below and above each layer's function.
        output_radius: shape (batch, outputs).
        worst: the largest radius of any operation, shape (batch,).
        pushes: by layer what is added to the coefficients of its values, shape (batch, values): nothing, or a number
            with the sign that the value is known to have, which can only raise a plane.
    """

    inputs: Integers
    layers: list[LayerBounds]
    lines: list[Lines]
    output_radius: Floats
    worst: Floats
    pushes: Parts = field(default_factory=dict)

    def take(self, index: Integers) -> State:
        """Some entries, copied."""
        layers = [LayerBounds(b.radius[index], b.lower[index], b.upper[index], b.open[index]) for b in self.layers]
        lines = [Lines(*(part[index] for part in own)) for own in self.lines]
        return State(self.inputs[index], layers, lines, self.output_radius[index], self.worst[index])

    @property
    def crossed(self) -> NDArray[np.bool_]:
        """Entries that no trigger of the region can belong to: some value's bounds exclude each other."""
        crossed = np.zeros(len(self.inputs), dtype=bool)
        for bounds in self.layers:
            crossed |= (bounds.lower > bounds.upper).any(axis=1)
        return crossed


class Planes(NamedTuple):
    """Linear functions of the trigger, counted from the region's center: `value + slope.t`."""

    value: Floats
    slope: Floats


class Bounder:
    """A placement's chain on one region."""

    def __init__(self, chain: Sequence[Layer], region: Region) -> None:
        self.chain = chain
        self.region = region.tightened()

    def state(self, inputs: Integers, planes: bool = True, signs: Sequence[Sign] = ()) -> State:
        """Bounds every layer, first to last; by intervals alone where `planes` is not wanted.

        Args:
            inputs: ascending.
            planes: whether planes are wanted.
            signs: cases of neurons of these inputs: what is said of an input then holds where all of its cases do.
        """
        box = self.region
        state = State(inputs, [], [], np.zeros(0), np.zeros(len(inputs)))
        middle, half = {0: box.center[None]}, {0: box.half[None]}
        size = {0: np.maximum(np.abs(box.lower), np.abs(box.upper))[None]}
        for number, layer in enumerate(self.chain, 1):
            radius = layer.absolute[inputs] + sum(size[at] @ part.T for at, part in layer.relative.items())
            watched = layer.watched[CONSTANT][inputs]
            watched = watched + sum(size[at] @ part for at, part in layer.watched.items() if at != CONSTANT)
            state.worst = np.maximum(state.worst, np.maximum(watched, radius.max(axis=1, initial=0.0)))
            if layer.function is None:
                state.output_radius = radius
                break
            value, up, down = layer.offset[inputs], radius, radius
            for at, weight in layer.weight.items():
                value = value + middle[at] @ weight.T
                reach = half[at] @ layer.size[at].T if at else box.spread(weight, STEPS)
                up, down = up + reach, down + (reach if at or not box.cut else box.spread(-weight, STEPS))
            lower, upper = value - down, value + up
            state.layers.append(LayerBounds(radius, lower, upper, layer.function.undecided(lower, upper)))
            if planes and set(layer.weight) != {0}:
                self._tighten(state, number, None)
            for sign in signs:
                if sign.layer == number:
                    place = np.searchsorted(inputs, sign.input), sign.neuron
                    if sign.positive:
                        lower[place] = np.maximum(lower[place], 0.0)
                    else:
                        upper[place] = np.minimum(upper[place], 0.0)
            state.lines.append(layer.function.lines(lower, upper))
            low, high = layer.function.ends(lower, upper)
            middle[number], half[number] = (low + high) / 2, (high - low) / 2
            size[number] = np.maximum(np.abs(low), np.abs(high))
        return state

    def rows(self, state: State, entries: Integers, weight: Floats, constant: Floats) -> Planes:
        """Upper planes of rows `weight . outputs + constant`, one for each of the entries."""
        last = self.chain[-1]
        value = constant + (np.abs(weight) * state.output_radius[entries]).sum(axis=1)
        value = value + (weight * last.offset[state.inputs[entries]]).sum(axis=1)
        return self._backward(state, entries, value, {at: weight @ part for at, part in last.weight.items()})

    def clip(self, state: State, cut: Planes) -> NDArray[np.bool_]:
        """Clips every layer of each entry by its plane, in place.

        Args:
            state: one entry for each (input, alternative).
            cut: the upper plane of a row of the entry's alternative, one for each entry.

        Returns:
            Which entries are contradicted: no point of the region is left where the alternative could be met.
        """
        contradicted = np.zeros(len(state.inputs), dtype=bool)
        for at, layer in enumerate(self.chain[:-1]):
            self._tighten(state, at + 1, cut)
            radius, lower, upper, open_ = state.layers[at]
            contradicted |= (lower > upper).any(axis=1)
            upper = np.maximum(lower, upper)
            assert layer.function is not None
            open_ = open_ & layer.function.undecided(lower, upper)
            state.layers[at] = LayerBounds(radius, lower, upper, open_)
            state.lines[at] = layer.function.lines(lower, upper)
        return contradicted

    def _tighten(self, state: State, number: int, cut: Planes | None) -> None:
        """Narrows the ends of the open values of a layer by planes, where `cut` is met if there is one."""
        layer, bounds = self.chain[number - 1], state.layers[number - 1]
        entries, neurons = np.nonzero(bounds.open)
        offset, radius = layer.offset[state.inputs[entries], neurons], bounds.radius[entries, neurons]
        for sign, ends in ((1.0, bounds.upper), (-1.0, bounds.lower)):
            slopes = {at: sign * part[neurons] for at, part in layer.weight.items()}
            planes = self._backward(state, entries, radius + sign * offset, slopes)
            most = planes.value + self.region.spread(planes.slope)
            if cut is not None:
                most = self._cut(planes, most, Planes(cut.value[entries], cut.slope[entries]))
            ends[entries, neurons] = sign * np.minimum(sign * ends[entries, neurons], most)

    def _cut(self, inner: Planes, most: Floats, cut: Planes) -> Floats:
        """The least bound over the multiples of the natural lambda, and over none."""
        inner_size, cut_size = np.abs(inner.slope) @ self.region.half, np.abs(cut.slope) @ self.region.half
        natural = inner_size / np.where(cut_size > 0, cut_size, np.inf)
        most = most + MARGIN * (np.abs(inner.value) + inner_size)
        for factor in (multiple * natural for multiple in MULTIPLES):
            value, slope = inner.value + factor * cut.value, inner.slope + factor[:, None] * cut.slope
            size = np.abs(inner.value) + factor * np.abs(cut.value) + inner_size + factor * cut_size
            most = np.minimum(most, value + self.region.spread(slope) + MARGIN * size)
        return most

    def _backward(self, state: State, entries: Integers, value: Floats, slopes: Parts) -> Planes:
        """From coefficients on states to slopes in the trigger; in pieces that fit memory."""
        step = max(1, _MOST_VALUES // max(1, *(layer.offset.shape[1] for layer in self.chain)))
        pieces = []
        for start in range(0, max(1, len(entries)), step):
            cut = slice(start, start + step)
            pieces.append(self._walk(state, entries[cut], value[cut], {at: part[cut] for at, part in slopes.items()}))
        return pieces[0] if len(pieces) == 1 else Planes(*(np.concatenate(part) for part in zip(*pieces, strict=True)))

    def _walk(self, state: State, entries: Integers, value: Floats, slopes: Parts) -> Planes:
        inputs = state.inputs[entries]
        for number in range(len(self.chain) - 1, 0, -1):
            slope = slopes.pop(number, None)
            if slope is None:
                continue
            layer, bounds = self.chain[number - 1], state.layers[number - 1]
            low_slope, low, high_slope, high = (part[entries] for part in state.lines[number - 1])
            up, down = np.maximum(slope, 0.0), np.minimum(slope, 0.0)
            back = up * high_slope + down * low_slope
            back = back + state.pushes[number][entries] if number in state.pushes else back
            value = value + (up * high + down * low).sum(axis=1)
            value = value + (np.abs(back) * bounds.radius[entries] + back * layer.offset[inputs]).sum(axis=1)
            for at, weight in layer.weight.items():
                slopes[at] = slopes.get(at, 0.0) + back @ weight
        slope = slopes.get(0, np.zeros((len(entries), len(self.region.center))))
        return Planes(value + slope @ self.region.center, slope)
