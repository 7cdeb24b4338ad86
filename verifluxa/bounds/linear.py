"""CROWN in the trigger's variables: linear bounds of violation rows as functions of tau, batched.

Everything here speaks of `pairs`: a (domain, input) each. Sources: Zhang et al. 2018 (CROWN), eq. 8-12, for
the backward step; the float radii `slope_radius @ |h| + radius` of `chain.Layer` are added at every layer
as `|B| rho`, accumulated backward. Slopes may have any sign.

Only upper bounds are computed; a lower bound is the upper bound of the negated row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from verifluxa.bounds.backward import Places, Planes, Rise, both_planes, descend
from verifluxa.bounds.domain import Geometry, spread, spread_shared
from verifluxa.bounds.forward import clearly, pays, ranges
from verifluxa.bounds.functions import Relaxation
from verifluxa.bounds.memory import rows_that_fit
from verifluxa.bounds.net import Net, NetLayer
from verifluxa.bounds.special import PairRelaxation
from verifluxa.bounds.stage import Stage, stage_of

Interval = tuple[Tensor, Tensor]
"""Lower and upper ends of a layer's pre-activations, shape (B, n) each."""


INFEASIBLE = 1e-8
"""Ends of a neuron that cross by more than this (relative) show that the pair cannot matter."""


def infeasible(lower: Tensor, upper: Tensor) -> Tensor:
    """Pairs of which the ends of some neuron exclude each other, shape (B,)."""
    return (lower > upper + INFEASIBLE * (1 + lower.abs() + upper.abs())).any(1)


@dataclass(frozen=True, eq=False)
class Subproblems:
    """B (domain, input) pairs: indices, shape (B,) each.

    Attributes:
        known: ends of hidden layers, bottom up, that hold wherever the bounds of a pair are wanted.
        bounds: those of all layers, where they were found before.
    """

    domain: Tensor
    input: Tensor
    known: tuple[Interval, ...] = ()
    bounds: tuple[LayerBounds, ...] = ()

    def take(self, index: Tensor) -> Subproblems:
        """Some of the pairs."""
        known = tuple((lower[index], upper[index]) for lower, upper in self.known)
        return Subproblems(
            self.domain[index], self.input[index], known, tuple(part.take(index) for part in self.bounds)
        )

    def within(self, number: int, ends: Interval) -> tuple[Interval, Tensor | None]:
        """What is left of ends of a layer, a single value where nothing is; and where that is, shape (B,)."""
        if number >= len(self.known):
            return ends, None
        lower, upper = torch.maximum(ends[0], self.known[number][0]), torch.minimum(ends[1], self.known[number][1])
        return (lower, torch.maximum(lower, upper)), infeasible(lower, upper)


@dataclass(frozen=True, eq=False)
class NeuronBounds:
    """Upper planes of U single neurons (or negated neurons): value at the center (U,) and slopes (U, d)."""

    value: Tensor
    slope: Tensor

    def take(self, index: Tensor) -> NeuronBounds:
        """Some of the planes."""
        return NeuronBounds(self.value[index], self.slope[index])


@dataclass(frozen=True, eq=False)
class LayerBounds:
    """Bounds of one layer's pre-activations for all pairs, deployed evaluations included.

    Attributes:
        lower, upper: shape (B, n).
        radius: shape (B, n), already inside lower and upper.
        open: shape (B, n): the neurons that planes have narrowed, or may narrow; None after intervals alone.
        relaxed: linear bounds of the layer's function on [lower, upper]; None for the outputs.
        crossed: pairs that cannot matter, since these ends and those known before exclude each other, shape (B,); None
            where nothing was known.
    """

    lower: Tensor
    upper: Tensor
    radius: Tensor
    open: Tensor | None
    relaxed: Relaxation | PairRelaxation | None
    infeasible: Tensor | None = None
    _stages: list[tuple[Geometry, Stage]] = field(init=False, default_factory=list)

    def take(self, index: Tensor) -> LayerBounds:
        """Those of some pairs, in a new order or repeated, copied."""
        relaxed = None if self.relaxed is None else type(self.relaxed)(*(part[index] for part in self.relaxed))
        ends = (self.lower[index], self.upper[index], self.radius[index])
        return LayerBounds(*ends, None if self.open is None else self.open[index], relaxed)

    @cached_property
    def places(self) -> Places:
        """The open neurons."""
        return Places.of(torch.zeros_like(self.lower, dtype=torch.bool) if self.open is None else self.open)

    def stage(self, layer: NetLayer, first: bool, geometry: Geometry, pairs: tuple[Subproblems, bool]) -> Stage:
        """The layer on the way down; the first one's offset is its value at the domain's center.

        It is kept for a geometry, since the layers above and the rows want the same.

        Args:
            pairs: those of these bounds, and whether that is so for all: else nothing is kept.
        """
        if self._stages and self._stages[0][0] is geometry:
            return self._stages[0][1]
        assert self.relaxed is not None
        own, every = pairs
        offset = layer.offset_of(own.input)
        if first:
            offset = offset + (geometry.center @ layer.weight.T).index_select(0, own.domain)
        stage = stage_of(layer.weight, self.relaxed, (offset, self.radius), layer.special, layer.winner)
        if every:
            self._stages[:] = [(geometry, stage)]
        return stage


def first_layer(net: Net, geometry: Geometry, pairs: Subproblems) -> LayerBounds:
    """Exact rows of the first layer: `weight @ tau` is bounded once per domain for all inputs."""
    layer = net.layers[0]
    rows = layer.weight.expand(len(geometry.center), -1, -1)
    up, down = spread_shared(rows, geometry)
    middle = geometry.center @ layer.weight.T
    ends = (part.index_select(0, pairs.domain) for part in (middle - down, middle + up, geometry.largest))
    least, most, largest = ends
    offset, radius = layer.offset_of(pairs.input), layer.radius_of(pairs.input, largest)
    lower, upper = least.add_(offset).sub_(radius), most.add_(offset).add_(radius)
    (lower, upper), excluded = pairs.within(0, (lower, upper))
    open_ = None if layer.function is None else layer.undecided(lower, upper)
    return _finished(layer, (lower, upper, radius), open_, excluded)


def _picked(values: Tensor, flat: Tensor) -> Tensor:
    return values.flatten().index_select(0, flat)


def _finished(
    layer: NetLayer, bounds: tuple[Tensor, Tensor, Tensor], open_: Tensor | None, excluded: Tensor | None = None
) -> LayerBounds:
    relaxed = None if layer.function is None else layer.relax(bounds[0], bounds[1])
    return LayerBounds(*bounds, open_, relaxed, excluded)


def next_layer(net: Net, below: list[LayerBounds], geometry: Geometry, pairs: Subproblems, method: str) -> LayerBounds:
    """Bounds of layer `len(below)`: intervals for all neurons, CROWN planes for the undecided ones."""
    number = len(below)
    layer, previous = net.layers[number], net.layers[number - 1]
    low, high = previous.span(below[-1].lower, below[-1].upper)
    radius = layer.radius_of(pairs.input, torch.maximum(-low, high))
    offset, (weight, magnitude) = layer.offset_of(pairs.input), layer.halves
    middle = torch.addmm(offset, low + high, weight)
    reach = torch.addmm(radius, high - low, magnitude)
    lower, upper = middle - reach, middle + reach
    if method == "interval" or layer.function is None:
        return _finished(layer, (lower, upper, radius), None)
    stages = stages_below(net, below, geometry, pairs)
    if number > 1 and number + 2 == len(net.layers) and layer.function == "relu":
        half = geometry.half[pairs.domain]
        lower, upper = _decided_forward(stages, layer, half, (lower, upper), (offset, radius))
    (lower, upper), excluded = pairs.within(number, (lower, upper))
    open_ = layer.undecided(lower, upper)
    places = Places.of(open_)

    def rise(slopes: Tensor, part: Tensor | slice) -> Tensor:
        return spread(slopes, pairs.domain[part], geometry, spare=True)[0]

    planes = _neurons(stages, layer, pairs, (places, radius), rise)
    up, down = (value + more for value, more in planes)
    lower, upper = narrowed((lower, upper), places, (down, up))
    if excluded is not None:
        excluded = excluded | infeasible(lower, upper)
        upper = torch.maximum(lower, upper)
    return _finished(layer, (lower, upper, radius), open_, excluded)


def _decided_forward(
    stages: list[Stage],
    layer: NetLayer,
    half: Tensor,
    bounds: tuple[Tensor, Tensor],
    moved: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Narrows the ends of neurons of the last hidden layer that planes carried forward decide.

    Only there: a layer above takes intervals of all neurons from here, and those of the backward pass are narrower.

    Args:
        stages: under the layer.
        layer: of relu.
        half: half-widths of each pair's box, shape (B, d).
        bounds: lower and upper ends, shape (B, n).
        moved: the layer's offsets and radii.
    """
    lower, upper = bounds
    open_ = layer.undecided(lower, upper)
    if any(stage.partners for stage in stages) or not pays(
        stages, layer.weight, float(open_.sum()) / max(1, len(open_))
    ):
        return lower, upper
    offset, radius = moved
    low, high = ranges(stages, layer.weight, layer.magnitude, half)
    low, high = low + (offset - radius), high + (offset + radius)
    known = open_ & clearly((low, high))
    return torch.where(known, torch.maximum(low, lower), lower), torch.where(known, torch.minimum(high, upper), upper)


def narrowed(bounds: tuple[Tensor, Tensor], places: Places, found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Intersects (lower, upper) at some neurons with `-found[0]` and `found[1]`; NaN stays NaN."""
    (lower, upper), (down, up), flat = bounds, found, places.flat
    high = torch.minimum(_picked(upper, flat), up)
    low = torch.maximum(_picked(lower, flat), -down)
    new = lower.flatten().index_copy(0, flat, low), upper.flatten().index_copy(0, flat, high)
    return new[0].view_as(lower), new[1].view_as(upper)


def neuron_planes(
    net: Net, below: list[LayerBounds], geometry: Geometry, pairs: Subproblems, rows: tuple[Places, Tensor]
) -> tuple[NeuronBounds, NeuronBounds]:
    """Upper planes of single neurons of layer `len(below)` and of their negations.

    Args:
        pairs: of `below`.
        rows: the neurons, and the layer's radii, shape (B, n).
    """
    if not below:
        return _first_planes(net.layers[0], geometry, pairs, rows)
    above, under = _neurons(stages_below(net, below, geometry, pairs), net.layers[len(below)], pairs, rows)
    return NeuronBounds(*above), NeuronBounds(*under)


def _first_planes(
    layer: NetLayer, geometry: Geometry, pairs: Subproblems, rows: tuple[Places, Tensor]
) -> tuple[NeuronBounds, NeuronBounds]:
    places, radius = rows
    at = (geometry.center @ layer.weight.T).index_select(0, pairs.domain) + layer.offset_of(pairs.input)
    slope = layer.weight.index_select(0, places.neuron)
    value, spare = _picked(at, places.flat), _picked(radius, places.flat)
    return NeuronBounds(value + spare, slope), NeuronBounds(spare - value, -slope)


def _neurons(
    stages: list[Stage], layer: NetLayer, pairs: Subproblems, rows: tuple[Places, Tensor], rise: Rise | None = None
) -> tuple[Planes, Planes]:
    """Planes of single neurons and of their negations over the stages under their layer, see `both_planes`."""
    places, radius = rows
    offset = layer.offset_of(pairs.input)
    if len(places.flat) and stages[-1].partners is None:
        return both_planes(stages, layer.weight, places, rise, (offset, radius))
    spare, weight, pair = _picked(radius, places.flat), layer.weight[places.neuron][:, None], places.pair
    moved = _picked(offset.expand_as(radius), places.flat)
    ends = [descend(stages, sign * weight, (sign * moved + spare)[:, None], pair) for sign in (1.0, -1.0)]
    above, under = ((value[:, 0], (rise(slope, pair) if rise else slope)[:, 0]) for value, slope in ends)
    return above, under


def stages_below(
    net: Net, below: list[LayerBounds], geometry: Geometry, pairs: Subproblems, every: bool = True
) -> list[Stage]:
    """The layers under some rows, bottom up; where not `every` pair is that of `below`, nothing is kept of them."""
    layers = enumerate(zip(net.layers, below, strict=False))
    return [bounds.stage(layer, not number, geometry, (pairs, every)) for number, (layer, bounds) in layers]


def pairs_at_once(net: Net, device: str) -> int:
    """How many pairs make a good batch: on a CPU the planes of a layer's neurons then stay near the caches."""
    widest = max(layer.weight.shape[0] for layer in net.layers)
    numbers = widest * (net.layers[0].weight.shape[1] + 1)
    return max(8, 8 * rows_that_fit(numbers, device))


def all_layers(net: Net, geometry: Geometry, pairs: Subproblems, method: str = "crown") -> list[LayerBounds]:
    """Bounds of every layer, bottom up; those that were found before as they are."""
    if pairs.bounds:
        return list(pairs.bounds)
    bounds = [first_layer(net, geometry, pairs)]
    while len(bounds) < len(net.layers):
        bounds.append(next_layer(net, bounds, geometry, pairs, method))
    return bounds


def evaluate(net: Net, trigger: Tensor, inputs: Tensor) -> Tensor:
    """The center network's outputs for pairs of a trigger (B, d) and an input (B,)."""
    state = trigger
    for layer in net.layers:
        state = layer.apply(state @ layer.weight.T + layer.offset_of(inputs))
    return state
