"""Functions of a layer that are more than one function of one value: products of two neurons, rows of a table.

A layer of a chain carries one of these instead of a row of `functions.FUNCTIONS`. Neurons that the layer's
`linear` names are left alone, as with any function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from verifluxa.bounds.functions import Relaxation

OWN = 2.0**-48
"""Of the product of the largest factors: far above the error of computing a plane's constant in float64."""
RAMP = 32.0
"""How fast the weight of one of two planes goes over to the other: a small change of an interval changes little."""
UNDERFLOW = 2.0**-1000
"""Covers products that vanish in float64."""


class PairRelaxation(NamedTuple):
    """A `Relaxation` with slopes in a second neuron too, the partner: `... + lower_partner * z[partner]`."""

    lower_slope: Tensor
    lower_intercept: Tensor
    upper_slope: Tensor
    upper_intercept: Tensor
    lower_partner: Tensor
    upper_partner: Tensor


@runtime_checkable
class Special(Protocol):
    """What a layer asks of its function; all tensors have the neurons on the last axis."""

    def to(self, device: str) -> Special:
        """The same on another device."""

    def padded(self, size: int) -> Special:
        """The same for more neurons, which it leaves alone."""

    def value(self, z: Tensor) -> Tensor:
        """The function."""

    def span(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest value on [lower, upper]."""

    def relax(self, lower: Tensor, upper: Tensor) -> Relaxation | PairRelaxation:
        """Linear bounds on [lower, upper]."""

    def open(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Neurons whose tighter bounds would help; none that the function leaves alone and does not read."""


@dataclass(frozen=True, eq=False)
class Products:
    """`h_i = z_i * z_partner[i]` for the neurons that are products; the partners are neurons of the same layer.

    Attributes:
        partner: shape (n,), long; the neuron itself where it is no product.
        product: shape (n,): which neurons are products.
    """

    partner: Tensor
    product: Tensor

    def to(self, device: str) -> Products:
        """The same on another device."""
        return Products(self.partner.to(device), self.product.to(device))

    def padded(self, size: int) -> Products:
        """The same for more neurons, which are no products."""
        more = torch.arange(len(self.partner), size)
        return Products(torch.cat([self.partner, more]), torch.cat([self.product, torch.zeros_like(more).bool()]))

    def value(self, z: Tensor) -> Tensor:
        """The products; other neurons as they are."""
        return torch.where(self.product, z * z[..., self.partner], z)

    def span(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest of the products of the ends, outward."""
        low, high = lower[..., self.partner], upper[..., self.partner]
        corners = torch.stack([lower * low, lower * high, upper * low, upper * high])
        slack = OWN * corners.abs().amax(0) + UNDERFLOW
        least, most = corners.amin(0) - slack, corners.amax(0) + slack
        return torch.where(self.product, least, lower), torch.where(self.product, most, upper)

    def relax(self, lower: Tensor, upper: Tensor) -> PairRelaxation:
        """On each side a mean of McCormick's two planes (McCormick 1976, Mathematical Programming 10).

        Below: `l' x + l y - l l'` and `u' x + u y - u u'` for x in [l, u], y in [l', u']; above: `u' x + l y - l u'`
        and `l' x + u y - u l'`. Both planes of a side have the same value in the middle, so that any mean of them is
        as good there. The one that moves less over the rectangle gets the weight: that one wastes less where x and y
        do not move together. Shi et al. 2020 (Robustness verification for transformers, appendix C) take the same
        plane everywhere.
        """
        low, high = lower[..., self.partner], upper[..., self.partner]
        below = self._mean((low, lower), (high, upper), (lower, upper))
        above = self._mean((high, lower), (low, upper), (lower, upper))
        # Far above the error of computing a plane, also where it lies between the two.
        room = OWN * torch.maximum(lower.abs(), upper.abs()) * torch.maximum(low.abs(), high.abs()) + UNDERFLOW
        zero, one = torch.zeros_like(lower), torch.ones_like(lower)
        return PairRelaxation(
            torch.where(self.product, below[0], one),
            torch.where(self.product, below[2] - room, zero),
            torch.where(self.product, above[0], one),
            torch.where(self.product, above[2] + room, zero),
            torch.where(self.product, below[1], zero),
            torch.where(self.product, above[1], zero),
        )

    def _mean(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], ends: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Slopes in x and y and the constant of a mean of two planes, each through a corner (y's end, x's end)."""
        width = ends[1] - ends[0]
        other = width[..., self.partner]
        moves, moves2 = (slope.abs() * width + partner.abs() * other for slope, partner in (first, second))
        share = moves2 / (moves + moves2 + UNDERFLOW)
        weight = (0.5 + RAMP * (share - 0.5)).clamp(0.0, 1.0)
        slope = second[0] + weight * (first[0] - second[0])
        partner = second[1] + weight * (first[1] - second[1])
        at = second[0] * second[1]
        return slope, partner, -(at + weight * (first[0] * first[1] - at))

    def open(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Both factors of a product of two values that move."""
        moves = upper > lower
        both = self.product & moves & moves[..., self.partner]
        # Several products may share a partner.
        return both | (torch.zeros_like(lower).index_add(-1, self.partner, both.to(lower)) > 0)
