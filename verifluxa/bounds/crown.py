"""CROWN: rows over a state of the local network become linear bounds in the trigger, in one backward pass.

For a layer `h = f(W s + offset + error)`, |error| <= radius, with f between two lines on its interval, the two lines of
h over `W s` carry offset and radius in their intercepts (`RelaxedLayer`). A coefficient a on h then becomes `a * slope`
on `W s` and `a * intercept`, of the upper line where a > 0 and of the lower one where a < 0 (Zhang et al. 2018, CROWN,
eq. 8-12). The slopes may be chosen (alpha-CROWN), and multipliers of split neurons may be added to the coefficients on
`W s` (beta-CROWN). For the first layer, s = tau, the offset is the value at the domain's center, so that what comes out
is a linear bound around the center.

Only upper bounds are computed; a lower bound is the upper bound of the negated row.

The constants below decide between roads that lead to the same bounds, as measured on `benchmarks/bench_bounds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from verifluxa.bounds.functions import Relaxation
from verifluxa.bounds.maxima import pair_count, repeat_blocks, sum_blocks
from verifluxa.bounds.memory import BLOCK_NUMBERS, evenly, items_at_once
from verifluxa.bounds.special import PairRelaxation, Products, Special

DENSE_FIXED, DENSE_EACH = 0.5, 0.05
"""Nanoseconds for each weight of a product for all neurons of a layer: once, and for each subproblem."""
ROW_FIXED, ROW_EACH = 8.0, 0.36
"""Nanoseconds for the row of one chosen neuron: once, and for each input of the layer below."""

MATRIX_NUMBERS = 1 << 16
"""Largest matrix of products of weights that is written out: larger ones leave the caches."""


class LinearBounds(NamedTuple):
    """Upper bounds `value + slope . (tau - center)`: values at the center (...) and slopes (..., d)."""

    value: Float[Tensor, "*rows"]
    slope: Float[Tensor, "*rows d"]

    def take(self, index: Tensor) -> LinearBounds:
        """Some of them."""
        return LinearBounds(self.value[index], self.slope[index])


@dataclass(frozen=True, eq=False)
class RelaxedLayer:
    """A hidden layer under B subproblems: `lower_slope * (W s) + lower_intercept <= h`, and the upper line.

    Attributes:
        weight: W, shape (n, s).
        lower_slope, lower_intercept: of the lower line, shape (B, n).
        slope_gap, intercept_gap: what those of the upper line are more, shape (B, n).
        offset, radius: shape (B, n): the lines contain them; what is added to coefficients does not.
        partner, partner_slopes: for products the other factor of each neuron, shape (n,), its slopes in the lower line,
            and what those in the upper line are more, shape (B, n); else None.
        pairs: of a max pool's round, see `maxima`, else 0. Slopes are for all rows, intercepts for what is left.
        winner: of a max pool's round where there is such a table, see `maxima.winners_of`. Slopes are then those of the
            state below, shape (B, s): each neuron's own row times what it weighs there.
    """

    weight: Float[Tensor, "n s"]
    lower_slope: Float[Tensor, "B m"]
    lower_intercept: Float[Tensor, "B h"]
    slope_gap: Float[Tensor, "B m"]
    intercept_gap: Float[Tensor, "B h"]
    offset: Float[Tensor, "B n"]
    radius: Float[Tensor, "B n"]
    partner: Int[Tensor, " n"] | None = None
    partner_slopes: tuple[Float[Tensor, "B n"], Float[Tensor, "B n"]] | None = None
    pairs: int = 0
    winner: Int[Tensor, " s"] | None = None

    @property
    def products(self) -> int:
        """Multiplications for each row on its way down."""
        return self.weight.numel() if self.winner is None else len(self.winner)

    def spread(self, rows: Tensor) -> Tensor:
        """Coefficients (..., n) over what the slopes speak of."""
        if self.winner is None:
            return repeat_blocks(rows, self.pairs)
        return rows.gather(-1, self.winner.expand(*rows.shape[:-1], -1))

    def gathered(self, parts: Tensor) -> Tensor:
        """Sums over what belongs to the same value of h, first axis: the transpose of `spread`."""
        if self.winner is None:
            return sum_blocks(parts, self.pairs, 0)
        return parts.new_zeros(self.lower_intercept.shape[1], *parts.shape[1:]).index_add_(0, self.winner, parts)

    def down(self, rows: Tensor) -> Tensor:
        """Coefficients over the state below, from those that the slopes were multiplied into."""
        return rows @ self.weight if self.winner is None else rows

    def take(self, part: slice | Tensor) -> RelaxedLayer:
        """The same for some subproblems."""
        partners = None
        if self.partner_slopes is not None:
            partners = self.partner_slopes[0][part], self.partner_slopes[1][part]
        lower = self.lower_slope[part], self.lower_intercept[part]
        gaps = self.slope_gap[part], self.intercept_gap[part]
        moved = self.offset[part], self.radius[part]
        return RelaxedLayer(self.weight, *lower, *gaps, *moved, self.partner, partners, self.pairs, self.winner)


def with_error(
    slope: Float[Tensor, "B n"],
    intercept: Float[Tensor, "B h"],
    offset: Float[Tensor, "B n"],
    radius: Float[Tensor, "B n"],
    pairs: int,
    sign: float,
) -> Float[Tensor, "B h"]:
    """The intercept of an upper (sign 1) or a lower line (-1) that contains offset and radius."""
    if pairs:
        return intercept + sum_blocks((slope * offset).addcmul_(slope.abs(), radius, value=sign), pairs)
    return torch.addcmul(intercept, slope, offset).addcmul_(slope.abs(), radius, value=sign)


def relaxed_layer(
    weight: Float[Tensor, "n s"],
    relaxed: Relaxation | PairRelaxation,
    offset: Float[Tensor, "#B n"],
    radius: Float[Tensor, "#B n"],
    special: Special | None = None,
    winner: Int[Tensor, " s"] | None = None,
    upper: Float[Tensor, "B h"] | None = None,
) -> RelaxedLayer:
    """A layer whose lines contain offset and radius.

    Args:
        weight: shape (n, s).
        relaxed: linear bounds of the function.
        offset, radius: of the pre-activations, shape (B, n) or (1, n).
        special: the function where it is none of one value alone.
        winner: see `maxima.winners_of`.
        upper: what `with_error` says of the upper line, where it is known.
    """
    lower_slope, lower_at, upper_slope, upper_at = relaxed[:4]
    offset, radius, pairs = offset.expand_as(lower_slope), radius.expand_as(lower_slope), pair_count(special)
    lower_at = with_error(lower_slope, lower_at, offset, radius, pairs, -1.0)
    upper_at = with_error(upper_slope, upper_at, offset, radius, pairs, 1.0) if upper is None else upper
    gap = upper_slope - lower_slope
    if winner is not None:
        gap, lower_slope = gap @ weight, lower_slope @ weight
    layer = RelaxedLayer(
        weight, lower_slope, lower_at, gap, upper_at - lower_at, offset, radius, None, None, pairs, winner
    )
    if isinstance(relaxed, PairRelaxation) and isinstance(special, Products):
        slopes = (relaxed.lower_partner, relaxed.upper_partner - relaxed.lower_partner)
        return replace(layer, partner=special.partner, partner_slopes=slopes)
    return layer


class Coefficients(NamedTuple):
    """Of rows on a layer's values, above its function, and on its pre-activations, below it: shape (B, r, n) each."""

    above: Float[Tensor, "B r h"]
    below: Float[Tensor, "B r n"]


def backward(
    layers: Sequence[RelaxedLayer],
    rows: Float[Tensor, "#B r h"],
    constant: Float[Tensor, "#B r"],
    betas: Sequence[Tensor] | None = None,
    passed: list[Coefficients] | None = None,
) -> LinearBounds:
    """Upper bounds of rows over the state above the last layer: the backward pass.

    Args:
        layers: bottom up, possibly none.
        rows: shape (B, r, n), or (1, r, n) where all subproblems have the same.
        constant: shape (B, r).
        betas: multipliers that are added to the coefficients on pre-activations, shape (B, n) per layer. Any are sound
            that are >= 0 where the pre-activation is known to be >= 0, <= 0 where it is <= 0, and else 0 (Wang et al.
            2021, beta-CROWN, theorem 3.1).
        passed: is filled with the coefficients at each layer, top down.
    """
    for number in range(len(layers) - 1, -1, -1):
        layer = layers[number]
        positive = rows.clamp(min=0)
        terms = (rows * layer.lower_intercept[:, None]).addcmul_(positive, layer.intercept_gap[:, None])
        constant = constant + terms.sum(-1)
        rows, positive = layer.spread(rows), layer.spread(positive)
        below = (rows * layer.lower_slope[:, None]).addcmul_(positive, layer.slope_gap[:, None])
        added = None if betas is None else betas[number][:, None]
        if layer.partner is not None and layer.partner_slopes is not None:
            lower, gap = (part[:, None] for part in layer.partner_slopes)
            falls = (rows * lower).addcmul_(positive, gap)
            added = torch.zeros_like(falls).index_add_(-1, layer.partner, falls)
        if added is not None:
            # The lines count the radius of their own coefficients; what is added joins them before it is counted.
            joined = below + added
            more = (joined.abs() - below.abs()) * layer.radius[:, None]
            constant, below = constant + more.addcmul_(added, layer.offset[:, None]).sum(-1), joined
        if passed is not None:
            passed.append(Coefficients(rows, below))
        rows = layer.down(below)
    return LinearBounds(constant, rows)


def backward_in_blocks(
    layers: Sequence[RelaxedLayer],
    rows: Callable[[slice], Tensor],
    constant: Float[Tensor, "C r"],
    index: Int[Tensor, " C"] | None = None,
    block: int = BLOCK_NUMBERS,
) -> LinearBounds:
    """`backward` for a few blocks of rows at a time, which stay near the caches.

    Args:
        layers: bottom up.
        rows: of some blocks, or those that all have.
        constant: shape (C, r).
        index: which subproblem of the layers each block speaks of, shape (C,); None: all in their order.
        block: numbers to work on at once on a CPU.
    """
    widest = max((max(layer.weight.shape) for layer in layers), default=1)
    size = evenly(len(constant), items_at_once(constant.device, constant.shape[1] * widest, block))
    cuts = (slice(start, start + size) for start in range(0, max(1, len(constant)), size))
    parts = []
    for cut in cuts:
        whole = index is None and size >= len(constant)
        own = layers if whole else [layer.take(cut if index is None else index[cut]) for layer in layers]
        parts.append(backward(own, rows(cut), constant[cut]))
    return parts[0] if len(parts) == 1 else LinearBounds(*(torch.cat(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class ChosenNeurons:
    """Single neurons of a layer of n neurons in B subproblems: `subproblem * n + neuron`, ascending, shape (U,)."""

    flat: Int[Tensor, " U"]
    subproblems: int
    neurons: int

    @classmethod
    def of(cls, chosen: Bool[Tensor, "B n"]) -> ChosenNeurons:
        """Where a mask (B, n) is set."""
        return cls(chosen.flatten().nonzero()[:, 0], *chosen.shape)

    @cached_property
    def subproblem(self) -> Int[Tensor, " U"]:
        """Shape (U,)."""
        return self.flat // self.neurons

    @cached_property
    def neuron(self) -> Int[Tensor, " U"]:
        """Shape (U,)."""
        return self.flat % self.neurons

    @cached_property
    def counts(self) -> Int[Tensor, " B"]:
        """How many each subproblem has, shape (B,)."""
        return torch.bincount(self.subproblem, minlength=self.subproblems)

    @cached_property
    def slots(self) -> tuple[Int[Tensor, " U"], Int[Tensor, " U"]]:
        """Of each its subproblem, and its position among those of its subproblem, shape (U,)."""
        first = (self.counts.cumsum(0) - self.counts)[self.subproblem]
        return self.subproblem, torch.arange(len(self.flat), device=self.flat.device) - first

    @cached_property
    def table(self) -> Int[Tensor, "B most"]:
        """Those of each subproblem in a row as long as the longest, filled up with 0, shape (B, most)."""
        most = int(self.counts.max()) if self.subproblems else 0
        return self.neuron.new_zeros(self.subproblems, most).index_put_(self.slots, self.neuron)

    def blocks(self, size: int) -> Iterator[tuple[slice, ChosenNeurons]]:
        """Those of `size` subproblems after the others."""
        ends = self.counts.cumsum(0).tolist()
        for start in range(0, self.subproblems, size):
            end = min(start + size, self.subproblems)
            own = self.flat[ends[start - 1] if start else 0 : ends[end - 1]]
            yield slice(start, end), ChosenNeurons(own - start * self.neurons, end - start, self.neurons)

    def picked(self, values: Float[Tensor, "B n"]) -> Float[Tensor, " U"]:
        """The values of the neurons, from those of all, shape (B, n)."""
        return values.flatten().index_select(0, self.flat)


Rise = Callable[[Tensor, slice], Tensor]
"""How far slopes (B, r, d) of some subproblems rise above their value at the center, shape (B, r)."""


def neuron_bounds(
    layers: Sequence[RelaxedLayer],
    weight: Float[Tensor, "m n"],
    chosen: ChosenNeurons,
    offset: Float[Tensor, "#B m"],
    radius: Float[Tensor, "#B m"],
    rise: Rise | None = None,
    block: int = BLOCK_NUMBERS,
) -> tuple[LinearBounds, LinearBounds]:
    """Upper bounds of neurons `weight @ h + offset`, h the state above the last layer, and of their negations.

    Args:
        layers: bottom up, at least one.
        weight: shape (m, n).
        chosen: the neurons.
        offset, radius: of the neurons, shape (B, m) or (1, m).
        rise: what is wanted in place of slopes: taken while they are near, it is much less.
        block: numbers to work on at once on a CPU.

    Where many rows start from one matrix the sign of their coefficients is that of the weights: `a+ u + a- l =
    a (u + l) / 2 + |a| (u - l) / 2` serves both a neuron and its negation.
    """
    if not len(chosen.flat):
        none = weight.new_zeros(0)
        nothing = LinearBounds(none, weight.new_zeros(0, layers[0].weight.shape[1]) if rise is None else none)
        return nothing, nothing
    last = layers[-1]
    if last.partner is None:
        offset = torch.addmm(offset, torch.add(last.lower_intercept, last.intercept_gap, alpha=0.5), weight.T)
        radius = torch.addmm(radius, 0.5 * last.intercept_gap, weight.abs().T)
    size = (chosen.subproblems, len(weight))
    middle, reach = chosen.picked(offset.expand(size)), chosen.picked(radius.expand(size))
    if len(layers) == 1 and _dense_pays(last, weight, chosen):
        zero = torch.zeros_like(middle)
        up, down = (LinearBounds(zero, slope) for slope in _slopes_of_all(last, weight, chosen, rise, block))
    else:
        up, down = _bounds_of_chosen(layers, weight, chosen, rise, block)
    return LinearBounds(up.value + middle + reach, up.slope), LinearBounds(down.value - middle + reach, down.slope)


def _bounds_of_chosen(
    layers: Sequence[RelaxedLayer], weight: Float[Tensor, "m n"], chosen: ChosenNeurons, rise: Rise | None, block: int
) -> tuple[LinearBounds, LinearBounds]:
    """As many rows for each subproblem as the one with most neurons has: no row looks up its subproblem's lines.

    Without what the intercepts of the last layer add, unless it has products.
    """
    widest = max(max(layer.weight.shape) for layer in layers)
    size = items_at_once(weight.device, 2 * int(chosen.counts.max()) * widest, block)
    wide = weight if layers[-1].partner is not None else layers[-1].spread(weight)
    ups, downs = [], []
    for cut, neurons in chosen.blocks(size):
        *below, last = (layer.take(cut) for layer in layers)
        own = wide[neurons.table]
        if last.partner is None:
            middle = last.down(own * torch.add(last.lower_slope, last.slope_gap, alpha=0.5)[:, None])
            reach = _reach(own, last)
            rows = torch.cat([middle + reach, reach - middle], 1)
        else:
            rows, below = torch.cat([own, -own], 1), [*below, last]
        value, slope = backward(below, rows, rows.new_zeros(rows.shape[:2]))
        slope = slope if rise is None else rise(slope, cut)
        subproblem, slot = neurons.slots
        up, down = (subproblem, slot), (subproblem, slot + own.shape[1])
        ups.append((value[up], slope[up]))
        downs.append((value[down], slope[down]))
    above, under = (LinearBounds(*map(torch.cat, zip(*parts, strict=True))) for parts in (ups, downs))
    return above, under


def _reach(rows: Float[Tensor, "B r n"], layer: RelaxedLayer) -> Float[Tensor, "B r s"]:
    """`|rows| * slope_gap / 2` on the way down, where most gaps are 0: only unstable neurons have two lines."""
    gap = 0.5 * layer.slope_gap
    unstable = ChosenNeurons.of(gap != 0)
    if 2 * unstable.table.shape[1] > gap.shape[1] or layer.winner is not None:
        return layer.down(rows.abs() * gap[:, None])
    kept = torch.zeros_like(unstable.table, dtype=gap.dtype).index_put_(unstable.slots, unstable.picked(gap))
    few = rows.gather(2, unstable.table[:, None].expand(-1, rows.shape[1], -1))
    return (few.abs() * kept[:, None]) @ layer.weight[unstable.table]


def _dense_pays(layer: RelaxedLayer, weight: Float[Tensor, "m n"], chosen: ChosenNeurons) -> bool:
    """Whether one large product for all neurons costs less than rows for the chosen ones."""
    if layer.winner is not None or layer.partner is not None:
        return False
    inputs = layer.weight.shape[1]
    dense = weight.shape[0] * inputs * (DENSE_FIXED + DENSE_EACH * chosen.subproblems)
    return dense < len(chosen.flat) * (ROW_FIXED + ROW_EACH * inputs)


def _slopes_of_all(
    layer: RelaxedLayer, weight: Float[Tensor, "m n"], chosen: ChosenNeurons, rise: Rise | None, block: int
) -> list[Tensor]:
    """Slopes, or their rise, of chosen neurons over one dense layer and of their negations, all computed at once."""
    inputs, wide = layer.weight.shape[1], layer.spread(weight)
    mean, gap = _through(wide, layer.weight), _through(wide.abs(), layer.weight)
    largest = max(len(weight), len(layer.weight)) * inputs
    size = evenly(chosen.subproblems, items_at_once(weight.device, largest, block))
    found = []
    for start in range(0, chosen.subproblems, size):
        cut = slice(start, start + size)
        part = layer.take(cut)
        middle, twice = mean(torch.add(part.lower_slope, part.slope_gap, alpha=0.5)), gap(part.slope_gap)
        # Up is the middle and half the gap, down the other half less the middle: both in place of what they are of.
        up = middle.add_(twice, alpha=0.5)
        both = up, twice.sub_(up)
        found.append([own if rise is None else rise(own, cut) for own in both])
    return [torch.cat(own).flatten(0, 1).index_select(0, chosen.flat) for own in zip(*found, strict=True)]


def _through(weight: Float[Tensor, "m n"], below: Float[Tensor, "n d"]) -> Callable[[Tensor], Tensor]:
    """`W' diag(slope) W` for many slopes (B, n), W' (m, n) and W (n, d): shape (B, m, d), neurons side by side.

    By a matrix of m d columns where that is small, else column by column of W.
    """
    turned, (inputs, width), neurons = weight.T, below.shape, len(weight)
    if inputs * width * neurons <= MATRIX_NUMBERS:
        matrix = (turned.contiguous()[:, None] * below[:, :, None]).flatten(1)
        return lambda slope: (slope @ matrix).view(len(slope), width, neurons).transpose(1, 2)
    columns = below.T.contiguous()[:, None]
    return lambda slope: ((columns * slope).flatten(0, 1) @ turned).view(width, -1, neurons).permute(1, 2, 0)
