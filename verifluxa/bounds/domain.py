"""Batches of trigger domains, and the largest value of a linear function over them.

A domain is a box `lower <= tau <= upper`, cut by slabs `low <= V tau <= high` along a few directions V
shared by all domains of a question. For any multipliers beta (Lagrange, weak duality)

    max a.t <= |a - beta V|.r + |beta|.w + beta.(slab center - V center),      t = tau - center,

with r the half-widths of the box and w those of the slabs. beta = 0 is the plain box; the ridge solution
`beta = a S V' (V S V' + diag(w^2))^-1`, S = diag(.64 d r^2), is close to the best. Any beta is sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

REWEIGHTINGS = 5
"""Reweighted least-squares steps for the few functions that all inputs share."""
FEW_DOMAINS = 4
"""Up to so many, half-widths are multiplied out for all domains and one is picked: no copy for each pair (measured)."""
ROUNDING_SHARE = 2.0**-40
"""Added to the half-width of a slab, relative to the size of its terms: covers the rounding of beta terms."""


@dataclass(frozen=True, eq=False)
class Domains:
    """D domains in d dimensions with m slab directions.

    Attributes:
        lower, upper: shape (D, d).
        directions: V, shape (m, d), exact stored floats, m may be 0.
        low, high: slabs, shape (D, m).
    """

    lower: Float[Tensor, "D d"]
    upper: Float[Tensor, "D d"]
    directions: Float[Tensor, "m d"]
    low: Float[Tensor, "D m"]
    high: Float[Tensor, "D m"]

    def __len__(self) -> int:
        return len(self.lower)


@dataclass(frozen=True, eq=False)
class Geometry:
    """What bounding needs of a batch of domains.

    Attributes:
        center, half: of the boxes, shape (D, d).
        largest: the largest |tau|, shape (D, d).
        directions: V, shape (m, d).
        ridge: beta = ridge @ a, shape (D, m, d).
        slab_half, slab_shift: half-widths of the slabs, and slab center - V center, shape (D, m).
        empty: shape (D,): the slabs and the box surely do not meet.
    """

    center: Float[Tensor, "D d"]
    half: Float[Tensor, "D d"]
    largest: Float[Tensor, "D d"]
    directions: Float[Tensor, "m d"]
    ridge: Float[Tensor, "D m d"]
    slab_half: Float[Tensor, "D m"]
    slab_shift: Float[Tensor, "D m"]
    empty: Bool[Tensor, " D"]


def geometry_of(domains: Domains) -> Geometry:
    """Tightens the slabs by the boxes and prepares the ridge solutions."""
    plain = _geometry(domains, domains.low, domains.high)
    if not len(domains.directions):
        return plain
    rows = domains.directions.expand(len(domains), -1, -1)
    up, down = spread_shared(rows, plain)
    middle = plain.center @ domains.directions.T
    slack = 1e-9 * (1 + middle.abs() + up + down) + ROUNDING_SHARE * (plain.center.abs() @ domains.directions.abs().T)
    low = torch.maximum(domains.low, middle - down - slack)
    high = torch.minimum(domains.high, middle + up + slack)
    empty = (low > high + slack).any(1)
    high = torch.maximum(low, high)
    tight = _geometry(domains, low, high)
    return Geometry(
        tight.center,
        tight.half,
        tight.largest,
        tight.directions,
        tight.ridge,
        tight.slab_half,
        tight.slab_shift,
        empty,
    )


def _geometry(domains: Domains, low: Float[Tensor, "D m"], high: Float[Tensor, "D m"]) -> Geometry:
    center = (domains.lower + domains.upper) / 2
    # The computed center may be off by a rounding: the half-width is taken to the farther end.
    half = torch.maximum(domains.upper - center, center - domains.lower) * (1 + 2.0**-50)
    largest = torch.maximum(domains.lower.abs(), domains.upper.abs())
    directions = domains.directions
    size = half.shape[1]
    slab_half = (high - low) / 2
    shift = (high + low) / 2 - center @ directions.T
    if len(directions):
        weighted = directions * (0.64 * size * half**2)[:, None, :]
        ridge = torch.linalg.solve(_regular(weighted @ directions.T, slab_half**2), weighted)
    else:
        ridge = center.new_zeros(len(center), 0, size)
    # Whatever beta does to the sums below, their own rounding stays under this share of its terms.
    reach = half @ directions.abs().T + center.abs() @ directions.abs().T + low.abs() + high.abs()
    slab_half = slab_half + ROUNDING_SHARE * reach
    empty = torch.zeros(len(center), dtype=torch.bool, device=center.device)
    return Geometry(center, half, largest, directions, ridge, slab_half, shift, empty)


def _regular(matrix: Float[Tensor, "*rows m m"], diagonal: Float[Tensor, "*rows m"]) -> Float[Tensor, "*rows m m"]:
    """`matrix + diag(diagonal)`, kept away from singular: any beta is sound, so a little more changes nothing."""
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    return matrix + torch.diag_embed(diagonal + 1e-9 * trace + 1e-9)


def rise_and_fall(
    rows: Float[Tensor, "B r d"], domain: Int[Tensor, " B"], geometry: Geometry, spare: bool = False
) -> tuple[Float[Tensor, "B r"], Float[Tensor, "B r"]]:
    """How far linear functions rise above and fall below their value at the center.

    Args:
        rows: shape (B, r, d).
        domain: shape (B,), index of the domain of each.
        spare: whether the rows may be written over.

    Returns:
        up, down: shape (B, r), nonnegative where the domain is not empty.
    """
    if not len(geometry.directions):
        plain = _widths(rows, domain, geometry, spare)
        return plain, plain
    plain = _widths(rows, domain, geometry)
    beta = rows @ geometry.ridge[domain].transpose(1, 2)
    rest = _widths(rows - beta @ geometry.directions, domain, geometry)
    rest = rest + (beta.abs() @ geometry.slab_half[domain][:, :, None])[..., 0]
    shift = (beta @ geometry.slab_shift[domain][:, :, None])[..., 0]
    return torch.minimum(plain, rest + shift), torch.minimum(plain, rest - shift)


def _widths(
    rows: Float[Tensor, "B r d"], domain: Int[Tensor, " B"], geometry: Geometry, spare: bool = False
) -> Float[Tensor, "B r"]:
    """`|rows| . half`, shape (B, r); one product serves all where the domains are few."""
    side_by_side = rows.stride(2) != 1
    sizes = rows.abs_() if spare else rows.abs()
    if len(geometry.half) <= FEW_DOMAINS and not side_by_side:
        every = sizes @ geometry.half.T
        return every.gather(2, domain[:, None, None].expand(-1, rows.shape[1], 1))[..., 0]
    half = geometry.half.index_select(0, domain)
    # Rows that lie side by side are added up side by side.
    return sizes.mul_(half[:, None]).sum(2) if side_by_side else (sizes @ half[:, :, None])[..., 0]


def spread_shared(
    rows: Float[Tensor, "D r d"], geometry: Geometry
) -> tuple[Float[Tensor, "D r"], Float[Tensor, "D r"]]:
    """Like `rise_and_fall` for rows that all inputs share, tighter: iteratively reweighted least squares on beta.

    Args:
        rows: shape (D, r, d), one set of rows per domain.
    """
    half = geometry.half[:, None, :]
    up = (rows.abs() * half).sum(-1)
    down = up.clone()
    if not len(geometry.directions):
        return up, down
    directions, slab_half = geometry.directions, geometry.slab_half[:, None, :]
    beta = rows @ geometry.ridge.transpose(1, 2)
    for step in range(REWEIGHTINGS + 1):
        rest = rows - beta @ directions
        base = (rest.abs() * half).sum(-1) + (beta.abs() * slab_half).sum(-1)
        shift = (beta * geometry.slab_shift[:, None, :]).sum(-1)
        up, down = torch.minimum(up, base + shift), torch.minimum(down, base - shift)
        if step == REWEIGHTINGS:
            break
        weight = half / (rest.abs() + 1e-3 * rows.abs().amax(-1, keepdim=True) + 1e-12)
        penalty = slab_half / (beta.abs() + 1e-3 * beta.abs().amax(-1, keepdim=True) + 1e-12)
        weighted = directions * weight[:, :, None, :]
        matrix = _regular(weighted @ directions.T, penalty)
        beta = torch.linalg.solve(matrix, weighted @ rows[..., None])[..., 0]
    return up, down
