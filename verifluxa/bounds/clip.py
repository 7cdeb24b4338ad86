"""Self-clipping: in a domain, an input matters only where it can still be attacked.

Where a claim (input, alternative) can be met, each plane `b + a.t` of the alternative's rows is >= 0. So its
neurons need bounds only on (domain AND that half-space): by weak duality, for any lambda >= 0,

    m + c.t  <=  m + lambda b + max over the domain of (c + lambda a).t

What comes out holds ONLY where this claim is met: it is never a bound of the input in another alternative,
another target or a per-input statement, hence the type of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from verifluxa.bounds.crown import LinearBounds
from verifluxa.bounds.domain import Geometry
from verifluxa.bounds.linear import LayerBounds, Subproblems, bounds_of_neurons, infeasible, narrowed_interval
from verifluxa.bounds.net import Net

CLIP_MULTIPLIERS = (0.0, 0.4, 1.0, 2.5)
"""Lambdas, in units of |c|.r / |a|.r."""
OWN = 2.0**-40
"""Share of the terms that is added for the verifier's own rounding of the multiplied sums."""


@dataclass(frozen=True, eq=False)
class ClippedBounds:
    """Bounds that hold only where each claim is met.

    Attributes:
        layers: as `LayerBounds`, bottom up, the outputs last.
        contradicted: shape (B,): the clipped bounds cross, so the claim cannot be met in the domain.
    """

    layers: list[LayerBounds]
    contradicted: Bool[Tensor, " B"]


def self_clip(
    net: Net, layers: list[LayerBounds], geometry: Geometry, pairs: Subproblems, plane: LinearBounds
) -> ClippedBounds:
    """One round: clips every hidden layer by one plane per claim, bottom up.

    Args:
        layers: bounds that hold where the claim is met (plain ones always do).
        pairs: one per claim.
        plane: value at the center (B,) and slope (B, d) of a row that is >= 0 where the claim is met.
    """
    contradicted = torch.zeros(len(pairs.input), dtype=torch.bool, device=plane.value.device)
    clipped: list[LayerBounds] = []
    for number, layer in enumerate(net.hidden):
        bounds = layers[number]
        chosen = bounds.chosen
        if len(chosen.flat):
            neurons = bounds_of_neurons(net, clipped, geometry, pairs, chosen, bounds.radius)
            up, down = lagrange(*neurons, chosen.subproblem, pairs.domain, plane, geometry)
            lower, upper = narrowed_interval(bounds.lower, bounds.upper, chosen, down, up)
            contradicted |= infeasible(lower, upper)
            upper = torch.maximum(lower, upper)
            still = None if bounds.open is None else bounds.open & layer.undecided(lower, upper)
            bounds = LayerBounds(lower, upper, bounds.radius, still, layer.relax(lower, upper))
        clipped.append(bounds)
    return ClippedBounds([*clipped, layers[-1]], contradicted)


@dataclass(frozen=True, eq=False)
class _Measure:
    """How far linear functions rise on one domain per claim, in slopes times half-widths.

    Attributes:
        half: of the boxes, shape (C, d): without slabs the L1 norm is all.
        ridge: to the slabs' multipliers, shape (C, d, m).
        across: the slabs' directions times half-widths, shape (C, m, d).
        wide, shift: of the slabs, shape (C, 1, m) and (C, m, 1).
        terms: the size of all that is summed for a norm of 1, shape (C, 1, 1).
    """

    half: Float[Tensor, "C d"]
    ridge: Float[Tensor, "C d m"]
    across: Float[Tensor, "C m d"]
    wide: Float[Tensor, "C 1 m"]
    shift: Float[Tensor, "C m 1"]
    terms: Float[Tensor, "C 1 1"]

    def rise(
        self, slopes: Float[Tensor, "C n d"], points: Float[Tensor, "C k d"]
    ) -> tuple[Float[Tensor, "#C #n 1"], Float[Tensor, "C n k"]]:
        """Of `slopes` of norm 1, blocks (C, n, d), and of `slopes - points`, (C, k, d): by the box or the slabs.

        Returns:
            shape (C, n, 1), by the box alone a number, and (C, n, k).
        """
        plain = torch.cdist(slopes, points, p=1.0)
        if not self.wide.shape[2]:
            return slopes.new_ones(1, 1, 1), plain
        (near, shift), (far, back) = self._within(slopes), self._within(points)
        alone = (near.abs().sum(-1, keepdim=True) + shift).clamp_(max=1.0)
        return alone, torch.minimum(plain, torch.cdist(near, far, p=1.0) + (shift - back.transpose(1, 2)))

    def _within(self, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """The vector whose L1 norm counts, shape (C, n, d + m), and what the slabs' shift adds, shape (C, n, 1)."""
        beta = slopes @ self.ridge
        rest = torch.baddbmm(slopes, beta, self.across, alpha=-1.0)
        return torch.cat([rest, beta * self.wide], 2), beta @ self.shift


def _measure(domain: Int[Tensor, " C"], geometry: Geometry) -> _Measure:
    half, wide, shift = geometry.half, geometry.slab_half[:, None], geometry.slab_shift[..., None]
    ridge = (geometry.ridge / half.clamp(min=1e-300)[:, None]).transpose(1, 2)
    across = geometry.directions * half[:, None]
    reach = wide.transpose(1, 2) + shift.abs() + across.abs().sum(2, keepdim=True)
    terms = 1 + (ridge.abs().amax(1, keepdim=True) @ reach)
    return _Measure(*(part[domain] for part in (half, ridge, across, wide, shift, terms)))


def lagrange(
    above: LinearBounds,
    below: LinearBounds,
    of: Int[Tensor, " U"],
    domain: Int[Tensor, " C"],
    cut: LinearBounds,
    geometry: Geometry,
) -> tuple[Float[Tensor, " U"], Float[Tensor, " U"]]:
    """The largest values of linear functions on domains cut by the half-space `cut >= 0` of a claim.

    In rows scaled to size 1 the multipliers depend on the cut alone: how far all of them rise are L1 distances from
    a few points per claim.

    Args:
        above, below: two functions for each of U rows.
        of: the claim of each row, ascending, shape (U,).
        domain: of each claim, shape (C,).
        cut: C.
        geometry: of the domains.

    Returns:
        shape (U,) each: the least over `CLIP_MULTIPLIERS`.
    """
    counts = torch.bincount(of, minlength=len(domain))
    most = int(counts.max())
    first = of * (2 * most) + torch.arange(len(of), device=of.device) - (counts.cumsum(0) - counts)[of]
    slopes = cut.slope.new_zeros(2 * most * len(counts), cut.slope.shape[1])
    slopes[first], slopes[first + most] = above.slope, below.slope
    least = _least(slopes.view(len(counts), 2 * most, -1), cut, _measure(domain, geometry)).view(-1)
    up, down = (row.value + OWN * row.value.abs() + least[at] for row, at in ((above, first), (below, first + most)))
    return up, down


def _least(slopes: Float[Tensor, "C n d"], cut: LinearBounds, measure: _Measure) -> Float[Tensor, "C n"]:
    """What the half-spaces add to rows (C, n, d) at the center: the least over `CLIP_MULTIPLIERS`, shape (C, n)."""
    # A half-space without a slope is everything or nothing: then the cut itself says so, and nothing is clipped by it.
    factors = torch.tensor(CLIP_MULTIPLIERS[1:], dtype=slopes.dtype, device=slopes.device)
    boxes, cuts = slopes * measure.half[:, None], (cut.slope * measure.half)[:, None]
    size, rises = boxes.abs().sum(-1, keepdim=True), cuts.abs().sum(-1)
    share = factors / rises.where(rises > OWN * cut.value.abs()[:, None], torch.inf)
    alone, rise = measure.rise(boxes.mul_(1 / size.clamp(min=1e-300)), cuts * -share[..., None])
    scaled = share[:, None] * cut.value[:, None, None]
    beyond = (scaled + rise + OWN * (scaled.abs() + rise.abs() + (1 + factors) * measure.terms)).amin(-1, keepdim=True)
    # The multiplier 0 is what box and slabs say of the rows themselves.
    least: Float[Tensor, "C n"] = (size * torch.minimum(beyond, alone + OWN * (alone.abs() + measure.terms)))[..., 0]
    return least
