"""The larger one of two neurons, as a function of a layer: a round of a max pool's tournament.

A layer of such pairs has three blocks of rows over one state: the first ones `a`, their opponents `b`, and the
differences `d = b - a`. The state behind it has one neuron for each pair, `max(a, b) = a + relu(d)`. The differences
have bounds of their own, which know how a and b move together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from verifluxa.bounds.functions import Relaxation

OWN = 2.0**-48
"""Of the largest values of all three: far above the error of computing a plane in float64."""
UNDERFLOW = 2.0**-1000
"""Stands for a width of 0 where something is divided by it."""
RAMP = 64.0
"""How fast one plane gives way to another: radii of prover and checker differ, and steeper ramps make more of it."""
APART = 0.6
"""Share of the width of a and b together from which on the width of d tells little about how they move together."""


def pair_count(special: object) -> int:
    """How many pairs a layer has; 0 for one with another function."""
    return special.pairs if isinstance(special, Maxima) else 0


def sum_blocks(parts: Float[Tensor, ...], pairs: int, axis: int = -1) -> Float[Tensor, ...]:
    """Sums over the blocks of an axis: of 3 n + carried numbers n + carried are left."""
    if not pairs:
        return parts
    a, b, d, carried = torch.tensor_split(parts, (pairs, 2 * pairs, 3 * pairs), axis)
    return torch.cat([a + b + d, carried], axis)


def repeat_blocks(rows: Shaped[Tensor, "*B h"], pairs: int) -> Shaped[Tensor, "*B n"]:
    """The numbers of pairs once for each block: of n + carried numbers 3 n + carried are made."""
    return torch.cat([rows[..., :pairs], rows[..., :pairs], rows], -1) if pairs else rows


def winners_of(weight: Float[Tensor, "n s"], pairs: int) -> Int[Tensor, " s"] | None:
    """For each neuron of the state below the one value above that it has a part in, shape (s,).

    None where there is no such table: some neuron has a part in several. Where windows do not overlap there is one, and
    what comes down onto the state is then looked up; multiplying by the weights, nearly all 0, costs hundreds of times
    as much.

    Args:
        weight: shape (3 n + carried, s).
        pairs: n.
    """
    parts = sum_blocks((weight != 0).to(weight), pairs, 0).clamp_(max=1)
    return parts.argmax(0) if len(parts) and float(parts.sum(0).amax()) <= 1 else None


@dataclass(frozen=True, eq=False)
class Maxima:
    """`h = max(a, b)` for the pairs; what is carried behind them is left alone.

    Attributes:
        pairs: how many; a neuron without an opponent meets itself, with a difference whose row is 0.
        plain: the neurons a and b are neurons of the state below, whose ends planes do not narrow.
    """

    pairs: int
    plain: bool

    def to(self, device: str) -> Maxima:
        """The same on another device."""
        return self

    def padded(self, size: int) -> Maxima:
        """The same for more neurons, which are carried."""
        return self

    def _blocks(self, z: Tensor) -> tuple[Tensor, ...]:
        """The neurons a, b, d, and those that are carried."""
        return torch.tensor_split(z, (self.pairs, 2 * self.pairs, 3 * self.pairs), -1)

    def value(self, z: Float[Tensor, "*B n"]) -> Float[Tensor, "*B h"]:
        """The larger ones, shape (..., n), and what is carried."""
        a, b, _, carried = self._blocks(z)
        return torch.cat([torch.maximum(a, b), carried], -1)

    def span(
        self, lower: Float[Tensor, "*B n"], upper: Float[Tensor, "*B n"]
    ) -> tuple[Float[Tensor, "*B h"], Float[Tensor, "*B h"]]:
        """Least and largest value: the larger one of the ends."""
        return self.value(lower), self.value(upper)

    def unstable(self, lower: Float[Tensor, "*B n"], upper: Float[Tensor, "*B n"]) -> Bool[Tensor, "*B n"]:
        """Differences whose sign is open; False in the other blocks."""
        open_ = (lower < 0) & (upper > 0)
        a, b, d, carried = self._blocks(open_)
        return torch.cat([torch.zeros_like(a), torch.zeros_like(b), d, torch.zeros_like(carried)], -1)

    def open(self, lower: Float[Tensor, "*B n"], upper: Float[Tensor, "*B n"]) -> Bool[Tensor, "*B n"]:
        """Differences whose sign is open, and unless they are plain the neurons of their pairs."""
        unstable = self.unstable(lower, upper)
        return unstable if self.plain else repeat_blocks(unstable[..., 2 * self.pairs :], self.pairs)

    def relax(self, lower: Float[Tensor, "*B n"], upper: Float[Tensor, "*B n"]) -> Relaxation:
        """Slopes in all blocks, shape (..., 3 n + carried), and intercepts, shape (..., n + carried).

        Where the sign of d is open there are two choices, and a mean of both is sound as well:

        - below `a + s d` for s in [0, 1]: s = 0 is a, s = 1 is b. The one with the larger lower end is taken (as
          Singh et al. 2019, DeepPoly, POPL, do with all values of a window).
        - above the chord of relu, `a + c d - c l` on the ends [l, u] of d; or, with x the one of a and b that has the
          larger upper end and m the upper end of the other, the chord of max(x, m), which is convex in x, on the ends
          of x (cf. Xiao et al. 2024, MaxLin, CVPR). This one lies nowhere above the constant max(u_a, u_b) that
          DeepPoly takes.

        In the middle of its ends relu's chord is never the higher one. But it rises beyond both upper ends where a and
        b are large together, which counts in wide domains: it loses its weight where the ends of d tell little
        that those of a and b do not.
        """
        (a, b, d, carried), (a_up, b_up, d_up, _) = self._blocks(lower), self._blocks(upper)
        open_ = (d < 0) & (d_up > 0)
        sure = (d >= 0).to(a)
        joint = torch.where(open_, (a_up - a) + (b_up - b), 1.0).clamp(min=UNDERFLOW)
        slope = torch.where(open_, _ramp((b - a) / joint), sure)
        width = torch.where(open_, d_up - d, 1.0)
        chord = torch.where(open_, d_up / width, sure)
        apart = torch.where(open_, _ramp(width / joint - APART), 0.0)
        near = 1.0 - apart
        first = a_up >= b_up
        top, other = torch.maximum(a_up, b_up), torch.minimum(a_up, b_up)
        rise = torch.where(open_, top - torch.where(first, a, b), 1.0).clamp(min=UNDERFLOW)
        steep = apart * ((top - other) / rise).clamp(0.0, 1.0)
        constant = torch.where(open_, (apart - steep) * top - near * chord * d, 0.0)
        sizes = sum_blocks(torch.maximum(lower.abs(), upper.abs()), self.pairs)[..., : self.pairs]
        room = torch.where(open_, OWN * sizes, 0.0)
        nothing = sum_blocks((upper - lower) * 0.0, self.pairs)
        zero, one = torch.zeros_like(a), torch.ones_like(carried)
        return Relaxation(
            torch.cat([zero + 1.0, zero, slope, one], -1),
            nothing,
            torch.cat([near + steep * first, steep * ~first, near * chord, one], -1),
            torch.cat([constant + room, 0.0 * one], -1) + nothing,
        )


def _ramp(share: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """From 0 to 1 around 0, steep but continuous: a recomputation that differs in the last place gives the same."""
    return (0.5 + RAMP * share).clamp(0.0, 1.0)
