"""Which claims (input, alternative) can still be met on a batch of domains: planes, drops, self-clipping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from verifluxa.bounds.alpha import BoundParameters
from verifluxa.bounds.clip import self_clip
from verifluxa.bounds.crown import LinearBounds
from verifluxa.bounds.domain import Geometry, spread
from verifluxa.bounds.linear import LayerBounds, Subproblems, output_bounds
from verifluxa.bounds.net import Net
from verifluxa.evidence import CONTRADICTED, OPEN, PrunedDisjunct
from verifluxa.search.workspace import Claims, Workspace

SLACK = 1e-9
"""A row must lie below zero by this share of its terms over the domain: a recomputation in another order then
agrees, though the lower lines of relu are steep functions of the bounds below them."""
ROUNDED = 2.0**-46
"""And by this share of the outputs that it sums: what is left at a single point, where those terms are 0."""


@dataclass(frozen=True, eq=False)
class BoundContext:
    """Where claims are decided: the problem's tables, a placement's network, a batch of domains."""

    work: Workspace
    net: Net
    geometry: Geometry

    def bounded(self, layers: list[LayerBounds], inputs: Tensor) -> Tensor:
        """Pairs on which no sum of any layer can overflow; NaN counts as overflow, shape (B,)."""
        fine = ~self.net.unsafe[inputs]
        for layer in layers:
            fine = fine & (layer.radius < self.net.largest_radius).all(1)
        return fine


@dataclass(frozen=True, eq=False)
class RowBounds:
    """Upper planes of the rows of claims.

    Attributes:
        value: at the center, shape (C, r).
        slope: shape (C, r, d).
        upper: the largest value on the domain, shape (C, r).
        limit: what `upper` must stay below for the row to fall away, 0 or a little less, shape (C, r).
        closed: whether the row is met at 0, shape (C, r).
    """

    value: Tensor
    slope: Tensor
    upper: Tensor
    limit: Tensor
    closed: Tensor

    def tightest(self) -> Tensor:
        """Position of the row with the least upper value, shape (C,)."""
        return self.upper.argmin(1)

    def row(self, position: Tensor) -> LinearBounds:
        """One row of each claim."""
        at = torch.arange(len(position), device=position.device)
        return LinearBounds(self.value[at, position], self.slope[at, position])

    def fallen(self) -> Tensor:
        """Rows that cannot be met, shape (C, r): an open one may end at 0 exactly; only numbers count."""
        below = torch.where(self.closed, self.upper < self.limit, self.upper <= self.limit)
        return below & torch.isfinite(self.upper)

    def take(self, index: Tensor) -> RowBounds:
        """Those of some claims."""
        return RowBounds(self.value[index], self.slope[index], self.upper[index], self.limit[index], self.closed[index])


@dataclass(frozen=True, eq=False)
class ClaimBounds:
    """Claims with bounds of their own: indices into all claims (ascending), pairs, bounds, planes."""

    at: Tensor
    pairs: Subproblems
    layers: list[LayerBounds]
    planes: RowBounds

    def take(self, keep: Tensor) -> ClaimBounds:
        """Those for which `keep` holds."""
        index = keep.nonzero()[:, 0]
        layers = take_layers(self.layers, index)
        return ClaimBounds(self.at[index], self.pairs.take(index), layers, self.planes.take(index))


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What became of claims.

    Attributes:
        alive: shape (C,).
        row: the row that fell (a problem row), OPEN, or CONTRADICTED, shape (C,).
        planes: the rows that clipped, shape (C, rounds), -1 where the claim fell before that round.
        branching: for alive claims, the slope of the tightest row (C, d) and its value at the center (C,).
        last: the alive claims with their (clipped) bounds and planes; those that may overflow are left out.
        closings: for claims that fell with choices of their own the record that says how.
        chosen: the choices that were made for claims, for those who go on from here; NaN where there are none.
    """

    alive: Tensor
    row: Tensor
    planes: Tensor
    branching: tuple[Tensor, Tensor]
    last: ClaimBounds
    closings: Mapping[int, PrunedDisjunct] = field(default_factory=dict)
    chosen: BoundParameters | None = None


def row_bounds(scene: BoundContext, layers: list[LayerBounds], of: tuple[Tensor, Subproblems, Tensor]) -> RowBounds:
    """Planes of the given rows of claims.

    Args:
        of: index of each claim into the pairs of `layers` (C,), the claims' pairs, and their rows (C, r).
    """
    index, pairs, rows = of
    table = (scene.work.coefficients, scene.work.row_constants)
    value, slope = output_bounds(scene.net, layers, scene.geometry, *of, *table)
    up = spread(slope, pairs.domain, scene.geometry)[0]
    summed = _summed(layers[-1], (index, rows), table)
    limit = value.abs().add_(up.abs()).mul_(-SLACK).sub_(summed, alpha=ROUNDED)
    closed = torch.as_tensor(scene.work.problem.rows.closed, device=rows.device).expand(len(rows), -1).gather(1, rows)
    return RowBounds(value, slope, value + up, limit, closed)


def _summed(last: LayerBounds, of: tuple[Tensor, Tensor], table: tuple[Tensor, Tensor]) -> Tensor:
    """The size of what rows sum, shape (C, r); 0 where it is not finite."""
    index, rows = of
    coefficients, constants = table
    largest = torch.maximum(last.lower.abs(), last.upper.abs()).index_select(0, index)
    sizes = torch.addmm(constants.abs(), largest, coefficients.abs().T).gather(1, rows)
    return torch.nan_to_num(sizes, nan=0.0, posinf=0.0)


def decide_claims(
    scene: BoundContext, layers: list[LayerBounds], pairs: Subproblems, claims: Claims, clip_rounds: int
) -> Verdicts:
    """Drops claims by plain planes, then by rounds of self-clipping.

    Args:
        layers: bounds of the pairs.
        pairs: one per claim.
        claims: whose `input` is that of the pair.
    """
    rows = scene.work.alternatives[claims.alternative]
    everything = torch.arange(len(claims), device=rows.device)
    planes = row_bounds(scene, layers, (everything, pairs, rows))
    safe_to_drop = scene.bounded(layers, claims.input)
    row = torch.where(safe_to_drop, fallen_row(planes, rows), OPEN)
    row = torch.where(scene.geometry.empty[pairs.domain], CONTRADICTED, row)
    used = torch.full((len(row), clip_rounds), -1, dtype=torch.long, device=row.device)
    branching = planes.row(planes.tightest())
    slopes, values = branching.slope.clone(), branching.value.clone()
    current = ClaimBounds(everything, pairs, layers, planes)
    for number in range(clip_rounds):
        still = (row[current.at] == OPEN) & safe_to_drop[current.at]
        if not still.any():
            break
        current = current.take(still)
        used[current.at, number] = rows[current.at, current.planes.tightest()]
        current, row[current.at] = _clip_once(scene, current, rows[current.at])
        branching = current.planes.row(current.planes.tightest())
        slopes[current.at], values[current.at] = branching.slope, branching.value
    current = current.take((row[current.at] == OPEN) & safe_to_drop[current.at])
    return Verdicts(row == OPEN, row, used, (slopes, values), current)


def _clip_once(scene: BoundContext, current: ClaimBounds, rows: Tensor) -> tuple[ClaimBounds, Tensor]:
    plane = current.planes.row(current.planes.tightest())
    clipped = self_clip(scene.net, current.layers, scene.geometry, current.pairs, plane)
    index = torch.arange(len(current.at), device=current.at.device)
    planes = row_bounds(scene, clipped.layers, (index, current.pairs, rows))
    fallen = torch.where(clipped.contradicted, CONTRADICTED, fallen_row(planes, rows))
    return ClaimBounds(current.at, current.pairs, clipped.layers, planes), fallen


def fallen_row(planes: RowBounds, rows: Tensor) -> Tensor:
    """The problem row that lies furthest below zero, or OPEN, shape (C,)."""
    below = planes.fallen()
    score = torch.where(below, planes.upper, torch.full_like(planes.upper, torch.inf))
    best = score.argmin(1)
    at = torch.arange(len(best), device=best.device)
    return torch.where(below.any(1), rows[at, best], OPEN)


def take_layers(layers: list[LayerBounds], index: Tensor) -> list[LayerBounds]:
    """Bounds of some pairs, in a new order or repeated."""
    if len(index) == len(layers[0].lower) and torch.equal(index, torch.arange(len(index), device=index.device)):
        return layers
    return [bounds.take(index) for bounds in layers]
