"""The backward pass of CROWN on plain tensors: rows over a state become planes in the trigger.

For a layer `h = f(W s + offset + error)`, |error| <= radius, with f between two lines on its interval, the two lines
of h over `W s` carry offset and radius in their constants (`Lines`): a coefficient a on h then becomes
`a * slope` on `W s` and `a * constant`, of the upper line where a > 0 and of the lower one where a < 0 (Zhang et al.
2018, CROWN, eq. 8-12). For the first layer, s = tau, the offset is the value at the domain's center, so
that what comes out is a plane around the center.

Where many rows start from the same matrix W' the sign of their coefficients is known once and for all:
`a+ u + a- l = a (u + l)/2 + |a| (u - l)/2`, which serves both a row and its negation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.maxima import spread_over
from verifluxa.bounds.memory import evenly, items_at_once
from verifluxa.bounds.special import scatter
from verifluxa.bounds.stage import Stage

MATRIX_NUMBERS = 1 << 16
"""Largest matrix of products of weights that is written out: larger ones leave the caches."""

MANY_ROWS = 4
"""From so many rows for each column on, the last step down is two matrices for each pair, see `_by_matrices`."""

VECTOR = 8
"""Matrices whose rows are multiples of so many numbers are multiplied fastest: 16 columns take less than 10."""

Planes = tuple[Tensor, Tensor]
"""Values at the center, shape (...), and slopes, shape (..., d)."""


Rise = Callable[[Tensor, Tensor | slice], Tensor]
"""How far slopes (B, r, d) of some pairs rise above their value at the center, shape (B, r)."""


class Known(NamedTuple):
    """Rows by their places (C, r) in a table (R, n): they are written out block by block."""

    table: Tensor
    place: Tensor

    @property
    def same(self) -> bool:
        """Whether all pairs have the same rows."""
        return len(self.place) > 1 and (self.place.stride(0) == 0 or bool((self.place == self.place[0]).all()))

    def take(self, part: slice) -> Tensor:
        """Some rows, written out: shape (c, r, n)."""
        place = self.place[part]
        return self.table.index_select(0, place.flatten()).view(*place.shape, self.table.shape[1])


class Shared(NamedTuple):
    """Rows that all pairs have, and their positive parts, over what the last stage's slopes speak of: (r, n) each."""

    rows: Tensor
    positive: Tensor

    def down(self, stage: Stage) -> Tensor:
        """The rows of each pair over the state below, shape (B, r, s)."""
        slope, gap = stage.lines.lower_slope, stage.lines.gap
        return stage.down((self.rows * slope[:, None]).addcmul_(self.positive, gap[:, None]))


def descend(stages: Sequence[Stage], rows: Tensor | Known, constant: Tensor, index: Tensor | None = None) -> Planes:
    """Upper planes of rows over the state above the last stage.

    Args:
        stages: bottom up, possibly none.
        rows: shape (C, r, n), or in a table.
        constant: shape (C, r).
        index: which pair of the stages each block of rows speaks of, shape (C,); None: the pairs in their order.

    Returns:
        constant (C, r) and rows (C, r, s) over the state below the first stage.
    """
    shared = None
    if isinstance(rows, Known) and stages and stages[-1].partners is None and rows.same:
        shared, constant = _shared(stages[-1], rows.table.index_select(0, rows.place[0]), constant, index)
    widest = max((rows[0] if isinstance(rows, Known) else rows).shape[-1], *(len(stage.weight) for stage in stages), 1)
    size = evenly(len(constant), items_at_once(constant.device, constant.shape[1] * widest))
    wide = _wide(stages, constant.shape[1]) if len(stages) > (shared is not None) else None
    values, slopes = [], []
    for start in range(0, max(1, len(constant)), size):
        part = slice(start, start + size)
        cut = part if index is None else index[part]
        here = stages if index is None and size >= len(constant) else [stage.take(cut) for stage in stages]
        own = shared or (rows.take(part) if isinstance(rows, Known) else rows[part])
        value, slope = _descend(here, own, constant[part], wide)
        values.append(value)
        slopes.append(slope)
    return (values[0], slopes[0]) if len(values) == 1 else (torch.cat(values), torch.cat(slopes))


def _descend(stages: Sequence[Stage], rows: Tensor | Shared, constant: Tensor, wide: Tensor | None) -> Planes:
    """One block: `wide` is the first stage's weights where the step through it is two matrices for each pair."""
    given, left = rows, list(enumerate(stages))
    own = rows.down(left.pop()[1]) if isinstance(rows, Shared) else rows
    for number, stage in reversed(left):
        # Only rows that were made here are written over.
        spare = own is not given
        if number == 0 and wide is not None:
            return _by_matrices(stage, own if spare else own.clone(), constant, wide)
        positive, lines = own.clamp(min=0), stage.lines
        if stage.partners is None:
            constant = constant + (own * lines.lower_at[:, None]).addcmul_(positive, lines.gap_at[:, None]).sum(-1)
            own, positive = stage.spread(own), stage.spread(positive)
            scaled = own.mul_(lines.lower_slope[:, None]) if own is not given else own * lines.lower_slope[:, None]
            own = stage.down(scaled.addcmul_(positive, lines.gap[:, None]))
        else:
            own, constant = _products(stage, (positive, own - positive), constant)
            own = own @ stage.weight
    return constant, own


def _shared(stage: Stage, rows: Tensor, constant: Tensor, index: Tensor | None) -> tuple[Shared, Tensor]:
    """Rows (r, n) that all pairs have: their constants are one product, and signs are known once."""
    lines, positive = stage.lines if index is None else stage.lines.take(index), rows.clamp(min=0)
    constant = torch.addmm(constant, lines.lower_at, rows.T).addmm_(lines.gap_at, positive.T)
    return Shared(stage.spread(rows), stage.spread(positive)), constant


def _wide(stages: Sequence[Stage], rows: int) -> Tensor | None:
    """The first stage's weights, with columns of zeros up to whole vectors, where matrices pay.

    That is where a pair has so many rows that two matrices of its own cost less than passes over them (measured).
    """
    stage, inputs = stages[0], stages[0].weight.shape[1]
    if stage.partners is not None or stage.winner is not None or stage.pairs or rows < MANY_ROWS * (inputs + 1):
        return None
    return torch.nn.functional.pad(stage.weight, (0, VECTOR - inputs % VECTOR))


def _by_matrices(stage: Stage, rows: Tensor, constant: Tensor, wide: Tensor) -> Planes:
    """Rows times lower lines, and their positive parts times the gaps to the upper ones: slopes, constants behind."""
    lines, inputs = stage.lines, stage.weight.shape[1]
    lower, more = lines.lower_slope[..., None] * wide, lines.gap[..., None] * wide
    lower[..., inputs], more[..., inputs] = lines.lower_at, lines.gap_at
    found = rows @ lower
    found.baddbmm_(rows.clamp_(min=0), more)
    return constant + found[..., inputs], found[..., :inputs]


def _products(stage: Stage, parts: tuple[Tensor, Tensor], constant: Tensor) -> tuple[Tensor, Tensor]:
    """Rows on the pre-activations of a layer with products: each factor gets a share of a product's row."""
    assert stage.partners is not None
    special, relaxed, (offset, radius) = stage.partners
    positive, negative = parts
    (slope, at), lines = stage.lines.upper, stage.lines
    constant = constant + (positive * at[:, None]).addcmul_(negative, lines.lower_at[:, None]).sum(-1)
    rows = (positive * slope[:, None]).addcmul_(negative, lines.lower_slope[:, None])
    onto = scatter(parts, torch.arange(len(positive), device=positive.device), special, relaxed)
    rows = rows if onto is None else rows + onto
    return rows, constant + (rows.abs() * radius[:, None]).addcmul_(rows, offset[:, None]).sum(-1)


@dataclass(frozen=True, eq=False)
class Places:
    """Single neurons of a layer of n neurons: `pair * n + neuron`, ascending, shape (U,); B pairs in all."""

    flat: Tensor
    pairs: int
    neurons: int

    @classmethod
    def of(cls, chosen: Tensor) -> Places:
        """Where a mask (B, n) is set."""
        return cls(chosen.flatten().nonzero()[:, 0], *chosen.shape)

    @cached_property
    def pair(self) -> Tensor:
        """Shape (U,)."""
        return self.flat // self.neurons

    @cached_property
    def neuron(self) -> Tensor:
        """Shape (U,)."""
        return self.flat % self.neurons


def both_planes(
    stages: Sequence[Stage],
    weight: Tensor,
    chosen: Places,
    rise: Rise | None = None,
    moved: tuple[Tensor, Tensor] | None = None,
) -> tuple[Planes, Planes]:
    """Upper planes of neurons `weight @ h + offset` over the state h above the last stage, and of their negations.

    The last stage must not be one of products.

    Args:
        stages: bottom up, at least one.
        weight: shape (m, n).
        chosen: the neurons.
        rise: what is wanted of the slopes in place of themselves: taken while they are near, it is much less.
        moved: the neurons' offsets and radii, shape (B, m) or (1, m) each; None: both are 0.
    """
    lines, flat = stages[-1].lines, chosen.flat
    offset, radius = moved or (weight.new_zeros(1), weight.new_zeros(1))
    middle = torch.addmm(offset, lines.middle_at, weight.T)
    reach = torch.addmm(radius, lines.gap_at, weight.abs().mul_(0.5).T)
    value, more = (part.flatten().index_select(0, flat) for part in (middle, reach))
    if len(stages) == 1 and stages[0].winner is None and _dense_pays(stages[0], weight, chosen):
        up, down = _dense(stages[0], weight, flat, rise)
        return (value + more, up), (more - value, down)
    above, up, below, down = _in_blocks(stages, weight, chosen, rise)
    return (above + value + more, up), (below + more - value, down)


def _in_blocks(stages: Sequence[Stage], weight: Tensor, chosen: Places, rise: Rise | None) -> list[Tensor]:
    """Constants and slopes of the neurons and of their negations, what the last stage's lines add left out."""
    counts = torch.bincount(chosen.pair, minlength=chosen.pairs)
    ends = counts.cumsum(0).tolist()
    most = int(counts.max())
    wide = stages[-1].spread(weight)
    widest = max(weight.shape[1], *(stage.weight.shape[1] for stage in stages))
    size = items_at_once(weight.device, 2 * most * widest)
    parts = []
    for start in range(0, chosen.pairs, size):
        last = min(start + size, chosen.pairs)
        first = ends[start - 1] if start else 0
        cut = slice(first, ends[last - 1])
        if ends[last - 1] > first:
            own = Places(chosen.flat[cut] - start * chosen.neurons, last - start, chosen.neurons)
            here = slice(start, last)
            near = None if rise is None else lambda slopes, _, here=here: rise(slopes, here)
            parts.append(_padded([stage.take(here) for stage in stages], wide, own, near))
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _dense_pays(stage: Stage, weight: Tensor, chosen: Places) -> bool:
    """Whether one large product for all neurons costs less than rows for the chosen ones (measured, in ns)."""
    dense = weight.shape[0] * stage.weight.shape[1] * (0.5 + 0.05 * chosen.pairs)
    return dense < len(chosen.flat) * (8 + 0.36 * stage.weight.shape[1])


def _dense(stage: Stage, weight: Tensor, flat: Tensor, rise: Rise | None) -> tuple[Tensor, Tensor]:
    """All neurons at once: the slopes of the means of both lines, and what the gaps between them add."""
    wide, (neurons, width) = spread_over(weight, stage.pairs), (len(weight), stage.weight.shape[1])
    mean, gap = _through(wide, stage.weight), _through(wide.abs(), stage.weight)
    size = evenly(len(stage.lines.gap), items_at_once(weight.device, max(neurons, len(stage.weight)) * width))
    found = []
    for start in range(0, len(stage.lines.gap), size):
        part = slice(start, start + size)
        middle, twice = mean(stage.lines.middle[part]), gap(stage.lines.gap[part])
        # Up is the middle and half the gap, down the other half less the middle: both in place of what they are of.
        up = middle.add_(twice, alpha=0.5)
        both = up, twice.sub_(up)
        found.append([own if rise is None else rise(own, part) for own in both])
    up, down = (torch.cat(own).flatten(0, 1).index_select(0, flat) for own in zip(*found, strict=True))
    return up, down


def _through(weight: Tensor, below: Tensor) -> Callable[[Tensor], Tensor]:
    """`W' diag(slope) W` for many slopes (B, n), W' (m, n) and W (n, d): shape (B, m, d), neurons side by side.

    By a matrix of m d columns where that is small, else column by column of W.
    """
    turned, (inputs, width), neurons = weight.T, below.shape, len(weight)
    if inputs * width * neurons <= MATRIX_NUMBERS:
        matrix = (turned.contiguous()[:, None] * below[:, :, None]).flatten(1)
        return lambda slope: (slope @ matrix).view(len(slope), width, neurons).transpose(1, 2)
    columns = below.T.contiguous()[:, None]
    return lambda slope: ((columns * slope).flatten(0, 1) @ turned).view(width, -1, neurons).permute(1, 2, 0)


def _padded(
    stages: Sequence[Stage], weight: Tensor, chosen: Places, rise: Rise | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A block of rows per pair, as many as the pair with most neurons has: no row looks up its pair's lines.

    `weight` is over what the last stage's slopes speak of.
    """
    counts = torch.bincount(chosen.pair, minlength=chosen.pairs)
    slot = torch.arange(len(chosen.pair), device=weight.device) - (counts.cumsum(0) - counts)[chosen.pair]
    most = int(counts.max())
    neuron = chosen.neuron.new_zeros(chosen.pairs, most)
    neuron[chosen.pair, slot] = chosen.neuron
    last = stages[-1]
    own = weight[neuron]
    middle = last.down(own * last.lines.middle[:, None])
    reach = _reaching(own, last.lines.gap * 0.5, last)
    rows = torch.cat([middle + reach, reach - middle], 1)
    below = stages[:-1]
    wide = _wide(below, rows.shape[1]) if below else None
    constant, rows = _descend(below, rows, rows.new_zeros(rows.shape[:2]), wide)
    rows = rows if rise is None else rise(rows, slice(None))
    up, down = (chosen.pair, slot), (chosen.pair, slot + most)
    return constant[up], rows[up], constant[down], rows[down]


def _reaching(rows: Tensor, slope: Tensor, stage: Stage) -> Tensor:
    """`|rows| * slope` on the way down, where most slopes are 0: only undecided neurons have two lines."""
    open_ = slope != 0
    counts = open_.sum(1)
    most = max(1, int(counts.max()))
    if 2 * most > slope.shape[1] or stage.winner is not None:
        return stage.down(rows.abs() * slope[:, None])
    pair, column = open_.nonzero(as_tuple=True)
    slot = torch.arange(len(pair), device=rows.device) - (counts.cumsum(0) - counts)[pair]
    columns = column.new_zeros(len(slope), most)
    columns[pair, slot] = column
    kept = slope.new_zeros(len(slope), most)
    kept[pair, slot] = slope[pair, column]
    few = rows.gather(2, columns[:, None].expand(-1, rows.shape[1], -1))
    return (few.abs() * kept[:, None]) @ stage.weight[columns]
