"""Bounds of all layers of a local network, and linear bounds of rows over its outputs, batched.

Everything here speaks of subproblems: a (domain, input) each. Intermediate bounds come from intervals, from CROWN's
linear bounds of the unstable neurons, and on the last hidden layer from linear bounds that are carried forward. The
float radii `slope_radius @ |h| + radius` of `chain.Layer` are part of every bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from verifluxa.bounds.crown import (
    ChosenNeurons,
    LinearBounds,
    RelaxedLayer,
    backward_in_blocks,
    neuron_bounds,
    relaxed_layer,
)
from verifluxa.bounds.domain import Geometry, rise_and_fall, spread_shared
from verifluxa.bounds.functions import Relaxation
from verifluxa.bounds.memory import BLOCK_NUMBERS, items_at_once, rows_that_fit
from verifluxa.bounds.net import Net, NetLayer
from verifluxa.bounds.special import PairRelaxation

Interval = tuple[Float[Tensor, "B _"], Float[Tensor, "B _"]]
"""Lower and upper bounds of a layer's pre-activations, shape (B, n) each."""

INFEASIBLE = 1e-8
"""Bounds of a neuron that contradict each other by more than this (relative) show that the pair cannot matter."""
MARGIN = 1e-9
"""Share of its bounds by which a neuron must miss 0 to be decided by linear bounds that are carried forward: far above
what a recomputation may differ by."""


def infeasible(lower: Float[Tensor, "B n"], upper: Float[Tensor, "B n"]) -> Bool[Tensor, " B"]:
    """Pairs of which the bounds of some neuron contradict each other, shape (B,)."""
    return (lower > upper + INFEASIBLE * (1 + lower.abs() + upper.abs())).any(1)


@dataclass(frozen=True, eq=False)
class Subproblems:
    """B (domain, input) pairs: indices, shape (B,) each.

    Attributes:
        known: bounds of hidden layers, bottom up, that hold wherever the bounds of a pair are wanted.
        bounds: those of all layers, where they were found before.
    """

    domain: Int[Tensor, " B"]
    input: Int[Tensor, " B"]
    known: tuple[Interval, ...] = ()
    bounds: tuple[LayerBounds, ...] = ()

    def take(self, index: Tensor) -> Subproblems:
        """Some of the pairs."""
        known = tuple((lower[index], upper[index]) for lower, upper in self.known)
        return Subproblems(
            self.domain[index], self.input[index], known, tuple(part.take(index) for part in self.bounds)
        )

    def within(
        self, number: int, lower: Float[Tensor, "B n"], upper: Float[Tensor, "B n"]
    ) -> tuple[Interval, Bool[Tensor, " B"] | None]:
        """A layer's bounds within the known ones; an empty interval became a point; where one was, shape (B,)."""
        if number >= len(self.known):
            return (lower, upper), None
        lower, upper = torch.maximum(lower, self.known[number][0]), torch.minimum(upper, self.known[number][1])
        return (lower, torch.maximum(lower, upper)), infeasible(lower, upper)


@dataclass(frozen=True, eq=False)
class LayerBounds:
    """Bounds of one layer's pre-activations for all pairs, deployed evaluations included.

    Attributes:
        lower, upper: shape (B, n).
        radius: shape (B, n), already inside lower and upper.
        open: shape (B, n): the neurons that linear bounds have narrowed, or may narrow; None after intervals alone.
        relaxed: linear bounds of the layer's function on [lower, upper]; None for the outputs.
        infeasible: pairs that cannot matter, since these bounds and those known before contradict each other, shape
            (B,); None where nothing was known.
    """

    lower: Float[Tensor, "B n"]
    upper: Float[Tensor, "B n"]
    radius: Float[Tensor, "B n"]
    open: Bool[Tensor, "B n"] | None
    relaxed: Relaxation | PairRelaxation | None
    infeasible: Bool[Tensor, " B"] | None = None
    _kept: list[tuple[Geometry, RelaxedLayer]] = field(init=False, default_factory=list)

    def take(self, index: Tensor) -> LayerBounds:
        """Those of some pairs, in a new order or repeated, copied."""
        relaxed = None if self.relaxed is None else type(self.relaxed)(*(part[index] for part in self.relaxed))
        open_ = None if self.open is None else self.open[index]
        return LayerBounds(self.lower[index], self.upper[index], self.radius[index], open_, relaxed)

    @cached_property
    def chosen(self) -> ChosenNeurons:
        """The open neurons."""
        return ChosenNeurons.of(torch.zeros_like(self.lower, dtype=torch.bool) if self.open is None else self.open)

    def kept(self, layer: NetLayer, first: bool, geometry: Geometry, pairs: Subproblems) -> RelaxedLayer:
        """The relaxed layer of the pairs, kept for a geometry: the layers above and the rows want the same."""
        if not (self._kept and self._kept[0][0] is geometry):
            self._kept[:] = [(geometry, self.relaxed_layer(layer, first, geometry, pairs))]
        return self._kept[0][1]

    def relaxed_layer(self, layer: NetLayer, first: bool, geometry: Geometry, pairs: Subproblems) -> RelaxedLayer:
        """The layer between its lines; the first one's offset is its value at the domain's center."""
        assert self.relaxed is not None
        offset = layer.offset_of(pairs.input)
        if first:
            offset = offset + (geometry.center @ layer.weight.T).index_select(0, pairs.domain)
        return relaxed_layer(layer.weight, self.relaxed, offset, self.radius, layer.special, layer.winner)


def concat_layer_bounds(parts: Sequence[LayerBounds]) -> LayerBounds:
    """Bounds of one layer for some pairs, then for others, without what says which neurons are open."""
    relaxed = None
    if parts[0].relaxed is not None:
        lines = zip(*(part.relaxed for part in parts if part.relaxed is not None), strict=True)
        relaxed = type(parts[0].relaxed)(*(torch.cat(column) for column in lines))
    lower, upper, radius = (torch.cat([getattr(part, name) for part in parts]) for name in ("lower", "upper", "radius"))
    return LayerBounds(lower, upper, radius, None, relaxed)


def bound_first_layer(net: Net, geometry: Geometry, pairs: Subproblems) -> LayerBounds:
    """Exact rows of the first layer: `weight @ tau` is bounded once per domain for all inputs."""
    layer = net.layers[0]
    rows = layer.weight.expand(len(geometry.center), -1, -1)
    up, down = spread_shared(rows, geometry)
    middle = geometry.center @ layer.weight.T
    parts = (part.index_select(0, pairs.domain) for part in (middle - down, middle + up, geometry.largest))
    least, most, largest = parts
    offset, radius = layer.offset_of(pairs.input), layer.radius_of(pairs.input, largest)
    (lower, upper), excluded = pairs.within(0, least.add_(offset).sub_(radius), most.add_(offset).add_(radius))
    open_ = None if layer.function is None else layer.undecided(lower, upper)
    return _with_relaxation(layer, lower, upper, radius, open_, excluded)


def _with_relaxation(
    layer: NetLayer,
    lower: Float[Tensor, "B n"],
    upper: Float[Tensor, "B n"],
    radius: Float[Tensor, "B n"],
    open_: Bool[Tensor, "B n"] | None,
    excluded: Bool[Tensor, " B"] | None = None,
) -> LayerBounds:
    relaxed = None if layer.function is None else layer.relax(lower, upper)
    return LayerBounds(lower, upper, radius, open_, relaxed, excluded)


def bound_next_layer(
    net: Net, below: list[LayerBounds], geometry: Geometry, pairs: Subproblems, method: str
) -> LayerBounds:
    """Bounds of layer `len(below)`: intervals for all neurons, CROWN's linear bounds for the unstable ones."""
    number = len(below)
    layer, previous = net.layers[number], net.layers[number - 1]
    low, high = previous.span(below[-1].lower, below[-1].upper)
    radius = layer.radius_of(pairs.input, torch.maximum(-low, high))
    offset, (weight, magnitude) = layer.offset_of(pairs.input), layer.halves
    middle = torch.addmm(offset, low + high, weight)
    reach = torch.addmm(radius, high - low, magnitude)
    lower, upper = middle - reach, middle + reach
    if method == "interval" or layer.function is None:
        return _with_relaxation(layer, lower, upper, radius, None)
    layers = relaxed_layers(net, below, geometry, pairs)
    if number > 1 and number + 2 == len(net.layers) and layer.function == "relu":
        lower, upper = _decided_forward(layers, layer, geometry.half[pairs.domain], lower, upper, offset, radius)
    (lower, upper), excluded = pairs.within(number, lower, upper)
    open_ = layer.undecided(lower, upper)
    chosen = ChosenNeurons.of(open_)

    def rise(slopes: Tensor, part: slice) -> Tensor:
        return rise_and_fall(slopes, pairs.domain[part], geometry, spare=True)[0]

    up, down = (value + more for value, more in neuron_bounds(layers, layer.weight, chosen, offset, radius, rise))
    lower, upper = narrowed_interval(lower, upper, chosen, down, up)
    if excluded is not None:
        excluded = excluded | infeasible(lower, upper)
        upper = torch.maximum(lower, upper)
    return _with_relaxation(layer, lower, upper, radius, open_, excluded)


def narrowed_interval(
    lower: Float[Tensor, "B n"],
    upper: Float[Tensor, "B n"],
    chosen: ChosenNeurons,
    down: Float[Tensor, " U"],
    up: Float[Tensor, " U"],
) -> Interval:
    """Intersects the intervals of some neurons with `[-down, up]`, shape (U,) each; NaN stays NaN."""
    high = torch.minimum(chosen.picked(upper), up)
    low = torch.maximum(chosen.picked(lower), -down)
    new = lower.flatten().index_copy(0, chosen.flat, low), upper.flatten().index_copy(0, chosen.flat, high)
    return new[0].view_as(lower), new[1].view_as(upper)


def bounds_of_neurons(
    net: Net,
    below: list[LayerBounds],
    geometry: Geometry,
    pairs: Subproblems,
    chosen: ChosenNeurons,
    radius: Float[Tensor, "B n"],
) -> tuple[LinearBounds, LinearBounds]:
    """Upper bounds of single neurons of layer `len(below)` and of their negations.

    Args:
        pairs: of `below`.
        chosen: the neurons.
        radius: the layer's, shape (B, n).
    """
    layer = net.layers[len(below)]
    offset = layer.offset_of(pairs.input)
    if below:
        layers = relaxed_layers(net, below, geometry, pairs)
        return neuron_bounds(layers, layer.weight, chosen, offset, radius)
    at = (geometry.center @ layer.weight.T).index_select(0, pairs.domain) + offset
    slope = layer.weight.index_select(0, chosen.neuron)
    value, more = chosen.picked(at), chosen.picked(radius)
    return LinearBounds(value + more, slope), LinearBounds(more - value, -slope)


def relaxed_layers(
    net: Net, below: Sequence[LayerBounds], geometry: Geometry, pairs: Subproblems
) -> list[RelaxedLayer]:
    """The layers under some rows, bottom up."""
    layers = enumerate(zip(net.layers, below, strict=False))
    return [bounds.kept(layer, not number, geometry, pairs) for number, (layer, bounds) in layers]


def output_bounds(
    net: Net,
    bounds: list[LayerBounds],
    geometry: Geometry,
    index: Int[Tensor, " C"],
    pairs: Subproblems,
    rows: Int[Tensor, "C r"],
    coefficients: Float[Tensor, "R outputs"],
    constants: Float[Tensor, " R"],
) -> LinearBounds:
    """Upper bounds of rows over the outputs that stand in a table, shape (C, r): the table is multiplied out once.

    Args:
        bounds: of all layers, the output layer's last.
        index: of each claim into the pairs of `bounds`, shape (C,).
        pairs: the claims' own.
        rows: places in the table, shape (C, r).
        coefficients, constants: the table, shape (R, outputs) and (R,).
    """
    layer, last = net.layers[-1], bounds[-1]
    value = torch.addmm(constants, layer.offset_of(pairs.input), coefficients.T)
    value = torch.addmm(value, last.radius.index_select(0, index), coefficients.abs().T).gather(1, rows)
    weight = coefficients @ layer.weight
    if len(bounds) == 1:
        return LinearBounds(value + (weight[rows] * geometry.center[pairs.domain][:, None]).sum(-1), weight[rows])
    same = len(rows) > 1 and (rows.stride(0) == 0 or bool((rows == rows[0]).all()))
    whole, each = weight[rows[:1]], torch.arange(len(bounds[0].lower), device=index.device)

    def some(part: slice) -> Tensor:
        return whole if same else weight[rows[part]]

    if len(index) == len(each) and torch.equal(index, each):
        return backward_in_blocks(relaxed_layers(net, bounds[:-1], geometry, pairs), some, value)
    # Each claim knows its pair's domain and input; pairs that no claim names may be anything, so nothing is kept.
    domain, inputs = torch.zeros_like(each), torch.zeros_like(each)
    domain[index], inputs[index] = pairs.domain, pairs.input
    named, below = Subproblems(domain, inputs), enumerate(zip(net.hidden, bounds, strict=False))
    layers = [own.relaxed_layer(under, not number, geometry, named) for number, (under, own) in below]
    return backward_in_blocks(layers, some, value, index)


def pairs_at_once(net: Net, device: str) -> int:
    """How many pairs make a good batch: on a CPU the slopes of a layer's neurons then stay near the caches."""
    widest = max(layer.weight.shape[0] for layer in net.layers)
    numbers = widest * (net.layers[0].weight.shape[1] + 1)
    return max(8, 8 * rows_that_fit(numbers, device))


def bound_all_layers(net: Net, geometry: Geometry, pairs: Subproblems, method: str = "crown") -> list[LayerBounds]:
    """Bounds of every layer, bottom up; those that were found before as they are."""
    if pairs.bounds:
        return list(pairs.bounds)
    bounds = [bound_first_layer(net, geometry, pairs)]
    while len(bounds) < len(net.layers):
        bounds.append(bound_next_layer(net, bounds, geometry, pairs, method))
    return bounds


def evaluate_net(net: Net, trigger: Float[Tensor, "#B d"], inputs: Int[Tensor, "#B"]) -> Float[Tensor, "_ outputs"]:
    """The center network's outputs for pairs of a trigger (B, d) and an input (B,)."""
    state = trigger
    for layer in net.layers:
        state = layer.apply(state @ layer.weight.T + layer.offset_of(inputs))
    return state


# Linear bounds carried forward through the layers. A backward pass bounds a neuron no worse wherever the trigger is: it
# chooses between two lines once for each neuron below, after all paths to it have been added up, where these choose
# once for each path. So a neuron that is decided here is decided by the backward pass too, which then need not be run
# for it: a third of the time of deep networks. Only on whole boxes is that sure, so slab constraints are left out.


def _decided_forward(
    layers: list[RelaxedLayer],
    layer: NetLayer,
    half: Float[Tensor, "B d"],
    lower: Float[Tensor, "B n"],
    upper: Float[Tensor, "B n"],
    offset: Float[Tensor, "#B n"],
    radius: Float[Tensor, "B n"],
) -> Interval:
    """Narrows the bounds of neurons of the last hidden layer that linear bounds carried forward decide.

    Only there: a layer above takes intervals of all neurons from here, and those of the backward pass are narrower.

    Args:
        layers: under the layer.
        layer: of relu.
        half: half-widths of each pair's box, shape (B, d).
        lower, upper: shape (B, n).
        offset, radius: of the layer.
    """
    open_ = layer.undecided(lower, upper)
    if any(own.partner is not None for own in layers) or not _forward_pays(
        layers, layer.weight, float(open_.sum()) / max(1, len(open_))
    ):
        return lower, upper
    low, high = forward_ranges(layers, layer.weight, half)
    low, high = low + (offset - radius), high + (offset + radius)
    margin = MARGIN * (low.abs() + high.abs())
    known = open_ & ((low > margin) | (high < -margin))
    return torch.where(known, torch.maximum(low, lower), lower), torch.where(known, torch.minimum(high, upper), upper)


def _forward_pays(layers: Sequence[RelaxedLayer], weight: Tensor, rows: float) -> bool:
    """Whether this costs less than half of the backward pass of so many rows per pair."""
    carried = 2 * (layers[0].weight.shape[1] + 1) * (weight.numel() + sum(layer.products for layer in layers[1:]))
    return len(layers) > 1 and 2 * carried < rows * sum(layer.products for layer in layers)


class _Band(NamedTuple):
    """`|z - middle| <= reach`: linear bounds over the trigger, constants last, neurons first: shape (n, d + 1, B)."""

    middle: Float[Tensor, "n d B"]
    reach: Float[Tensor, "n d B"]

    def through(self, layer: RelaxedLayer) -> _Band:
        """The band of `h`, where the band is that of what the layer's slopes speak of."""
        lower, upper = layer.lower_slope, layer.lower_slope + layer.slope_gap
        below, above = (
            layer.gathered((slope.T[:, None] * self.middle).addcmul_(slope.abs().T[:, None], self.reach, value=sign))
            for slope, sign in ((lower, -1), (upper, 1))
        )
        below[:, -1] += layer.lower_intercept.T
        above[:, -1] += (layer.lower_intercept + layer.intercept_gap).T
        return _Band((above + below) / 2, (above - below) / 2)

    def times(self, weight: Float[Tensor, "m n"]) -> _Band:
        """The band of `weight @ h`, where the band is that of h."""
        shape = (len(weight), *self.middle.shape[1:])
        return _Band((weight @ self.middle.flatten(1)).view(shape), (weight.abs() @ self.reach.flatten(1)).view(shape))


def forward_ranges(
    layers: Sequence[RelaxedLayer], weight: Float[Tensor, "m n"], half: Float[Tensor, "B d"], block: int = BLOCK_NUMBERS
) -> tuple[Float[Tensor, "B m"], Float[Tensor, "B m"]]:
    """Least and largest values of `weight @ h` over boxes, h being the state above the last layer, shape (B, m).

    Args:
        layers: bottom up, none of products.
        weight: shape (m, n).
        half: half-widths of each pair's box, shape (B, d).
        block: numbers to work on at once on a CPU.
    """
    most = max(len(weight), *(len(layer.weight) for layer in layers)) * (half.shape[1] + 1)
    size = 8 * items_at_once(half.device, most, block)
    cuts = [slice(start, start + size) for start in range(0, max(1, len(half)), size)]
    parts = [_ranges([layer.take(cut) for layer in layers], weight, half[cut].T) for cut in cuts]
    lower, upper = (torch.cat(column) for column in zip(*parts, strict=True))
    return lower, upper


def _ranges(
    layers: Sequence[RelaxedLayer], weight: Float[Tensor, "m n"], half: Float[Tensor, "d B"]
) -> tuple[Float[Tensor, "B m"], Float[Tensor, "B m"]]:
    first = layers[0].weight
    first = first if layers[0].winner is None else torch.eye(first.shape[1]).to(first)
    middle = torch.nn.functional.pad(first, (0, 1))[:, :, None].expand(-1, -1, half.shape[1])
    band = _Band(middle, torch.zeros_like(middle)).through(layers[0])
    for layer in layers[1:]:
        band = (band if layer.winner is not None else band.times(layer.weight)).through(layer)
    band = band.times(weight)
    upper, lower = band.middle + band.reach, band.middle - band.reach
    down, up = ((slope[:, :-1].abs() * half).sum(1) for slope in (lower, upper))
    return (lower[:, -1] - down).T, (upper[:, -1] + up).T
