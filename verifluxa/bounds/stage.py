"""One layer on the way down: its weights, and the two lines that its function lies between, for each pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.functions import Relaxation
from verifluxa.bounds.maxima import folded, pairs_of, spread_over
from verifluxa.bounds.special import PairRelaxation, Special


class Relaxed(NamedTuple):
    """The line below, `lower_slope * (W s) + lower_at <= h`, and how far that above lies over it; shape (B, n) each."""

    lower_slope: Tensor
    lower_at: Tensor
    gap: Tensor
    gap_at: Tensor

    def take(self, index: Tensor | slice) -> Relaxed:
        """Those of some pairs."""
        return Relaxed(*(part[index] for part in self))

    @property
    def upper(self) -> tuple[Tensor, Tensor]:
        """The line above: slope and constant."""
        return self.lower_slope + self.gap, self.lower_at + self.gap_at

    @property
    def middle(self) -> Tensor:
        """Slope of the mean of the two lines."""
        return torch.add(self.lower_slope, self.gap, alpha=0.5)

    @property
    def middle_at(self) -> Tensor:
        """Constant of the mean of the two lines."""
        return torch.add(self.lower_at, self.gap_at, alpha=0.5)


@dataclass(frozen=True, eq=False)
class Stage:
    """One layer on the way down.

    Attributes:
        weight: shape (n, s).
        lines: of its neurons.
        partners: for products of neurons their function, its relaxation, and offset and radius, which the lines then
            do not carry; else None.
        pairs: of a max pool's round, see `maxima`, else 0. Slopes are for all rows, constants for what is left.
        winner: of a max pool's round where there is such a table, see `maxima.winners_of`. Slopes are then those of
            the state below, shape (B, s): each neuron's own row times what it weighs there.
    """

    weight: Tensor
    lines: Relaxed
    partners: tuple[Special, PairRelaxation, tuple[Tensor, Tensor]] | None = None
    pairs: int = 0
    winner: Tensor | None = None

    @property
    def products(self) -> int:
        """Multiplications for each row on its way down."""
        return self.weight.numel() if self.winner is None else len(self.winner)

    def spread(self, rows: Tensor) -> Tensor:
        """Rows (..., n) over what the slopes speak of."""
        if self.winner is None:
            return spread_over(rows, self.pairs)
        return rows.gather(-1, self.winner.expand(*rows.shape[:-1], -1))

    def gathered(self, parts: Tensor) -> Tensor:
        """Sums over what belongs to the same value of h, first axis: the transpose of `spread`."""
        if self.winner is None:
            return folded(parts, self.pairs, 0)
        return parts.new_zeros(len(self.lines.gap_at[0]), *parts.shape[1:]).index_add_(0, self.winner, parts)

    def down(self, rows: Tensor) -> Tensor:
        """Rows over the state below, from those that the slopes were multiplied into."""
        return rows @ self.weight if self.winner is None else rows

    def take(self, index: Tensor | slice) -> Stage:
        """The same for some pairs."""
        if self.partners is None:
            return replace(self, lines=self.lines.take(index))
        special, relaxed, moved = self.partners
        chosen = PairRelaxation(*(part[index] for part in relaxed))
        return Stage(self.weight, self.lines.take(index), (special, chosen, (moved[0][index], moved[1][index])))


def stage_of(
    weight: Tensor,
    relaxed: Relaxation | PairRelaxation,
    moved: tuple[Tensor, Tensor],
    special: Special | None,
    winner: Tensor | None = None,
) -> Stage:
    """A stage.

    Args:
        weight: shape (n, s).
        relaxed: linear bounds of the function.
        moved: offset and radius of the pre-activations, shape (B, n) each, or (1, n).
        special: the function where it is none of one value alone.
        winner: see `maxima.winners_of`.
    """
    lower_slope, lower_at, upper_slope, upper_at = relaxed[:4]
    if isinstance(relaxed, PairRelaxation) and special is not None:
        wide = (moved[0].expand_as(lower_slope), moved[1].expand_as(lower_slope))
        lines = Relaxed(lower_slope, lower_at, upper_slope - lower_slope, upper_at - lower_at)
        return Stage(weight, lines, (special, relaxed, wide))
    offset, radius = moved
    pairs = pairs_of(special)
    if pairs:
        upper_at = upper_at + folded((upper_slope * offset).addcmul_(upper_slope.abs(), radius), pairs)
        lower_at = lower_at + folded((lower_slope * offset).addcmul_(lower_slope.abs(), radius, value=-1), pairs)
    else:
        upper_at = torch.addcmul(upper_at, upper_slope, offset).addcmul_(upper_slope.abs(), radius)
        lower_at = torch.addcmul(lower_at, lower_slope, offset).addcmul_(lower_slope.abs(), radius, value=-1)
    gap = upper_slope - lower_slope
    if winner is not None:
        gap, lower_slope = gap @ weight, lower_slope @ weight
    return Stage(weight, Relaxed(lower_slope, lower_at, gap, upper_at - lower_at), None, pairs, winner)
