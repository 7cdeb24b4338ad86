"""Which claims (input, alternative) can still be met on a batch of domains: planes, drops, self-clipping.

A batch is decided in parts that fit into memory, with an eye on the clock. What is known of one claim never depends on
the others, so a batch may be cut anywhere, even inside a domain.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from verifluxa.bounds import (
    CLIP_MULTIPLIERS,
    INFEASIBLE,
    MEMORY_SHARE,
    BoundParameters,
    Domains,
    Geometry,
    LayerBounds,
    LinearBounds,
    Net,
    Subproblems,
    apply_split,
    bound_all_layers,
    bound_first_layer,
    bound_next_layer,
    free_bytes,
    geometry_of,
    in_chunks,
    output_bounds,
    rise_and_fall,
    self_clip,
)
from verifluxa.evidence import CONTRADICTED, OPEN, PrunedDisjunct
from verifluxa.search.workspace import Claims, Workspace

LARGEST_NUMBERS = 2**23
"""Numbers of the largest temporary: a dozen of them live at a time."""
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

    @classmethod
    def of_boxes(cls, work: Workspace, net: Net, lower: Tensor, upper: Tensor) -> BoundContext:
        """Boxes (D, d) that nothing else cuts; points are boxes."""
        none = lower.new_zeros(len(lower), 0)
        return cls(work, net, geometry_of(Domains(lower, upper, lower.new_zeros(0, lower.shape[1]), none, none)))

    def rows(self, claims: Claims) -> Tensor:
        """The problem rows of some claims, shape (C, r)."""
        return self.work.alternatives[claims.alternative]

    def bounded(self, layers: list[LayerBounds], inputs: Tensor) -> Tensor:
        """Pairs on which no sum of any layer can overflow; NaN counts as overflow, shape (B,)."""
        fine = ~self.net.unsafe[inputs]
        for layer in layers:
            fine = fine & (layer.radius < self.net.largest_radius).all(1)
        return fine


@dataclass(frozen=True, eq=False)
class ConstraintBounds:
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

    def take(self, index: Tensor) -> ConstraintBounds:
        """Those of some claims."""
        return ConstraintBounds(
            self.value[index], self.slope[index], self.upper[index], self.limit[index], self.closed[index]
        )


@dataclass(frozen=True, eq=False)
class DisjunctBounds:
    """Claims with bounds of their own: indices into all claims (ascending), pairs, bounds, planes."""

    at: Tensor
    pairs: Subproblems
    layers: list[LayerBounds]
    planes: ConstraintBounds

    def take(self, keep: Tensor) -> DisjunctBounds:
        """Those for which `keep` holds."""
        index = keep.nonzero()[:, 0]
        layers = take_layers(self.layers, index)
        return DisjunctBounds(self.at[index], self.pairs.take(index), layers, self.planes.take(index))


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
    last: DisjunctBounds
    closings: Mapping[int, PrunedDisjunct] = field(default_factory=dict)
    chosen: BoundParameters | None = None


def constraint_bounds(
    context: BoundContext, layers: list[LayerBounds], index: Tensor, pairs: Subproblems, rows: Tensor
) -> ConstraintBounds:
    """Planes of the given rows of claims.

    Args:
        context: the domains.
        layers: bounds of some pairs.
        index: of each claim into those, shape (C,).
        pairs: the claims' own.
        rows: of the problem, shape (C, r).
    """
    coefficients, constants = context.work.coefficients, context.work.row_constants
    value, slope = output_bounds(context.net, layers, context.geometry, index, pairs, rows, coefficients, constants)
    up = rise_and_fall(slope, pairs.domain, context.geometry)[0]
    # The size of what the rows sum; 0 where it is not finite.
    largest = torch.maximum(layers[-1].lower.abs(), layers[-1].upper.abs()).index_select(0, index)
    summed = torch.addmm(constants.abs(), largest, coefficients.abs().T).gather(1, rows)
    summed = torch.nan_to_num(summed, nan=0.0, posinf=0.0)
    limit = value.abs().add_(up.abs()).mul_(-SLACK).sub_(summed, alpha=ROUNDED)
    closed = context.work.closed.expand(len(rows), -1).gather(1, rows)
    return ConstraintBounds(value, slope, value + up, limit, closed)


def decide_disjuncts(
    context: BoundContext, layers: list[LayerBounds], pairs: Subproblems, claims: Claims, clip_rounds: int
) -> Verdicts:
    """Drops claims by plain planes, then by rounds of self-clipping.

    Args:
        layers: bounds of the pairs.
        pairs: one per claim.
        claims: whose `input` is that of the pair.
    """
    rows = context.rows(claims)
    everything = torch.arange(len(claims), device=rows.device)
    planes = constraint_bounds(context, layers, everything, pairs, rows)
    safe_to_drop = context.bounded(layers, claims.input)
    row = torch.where(safe_to_drop, fallen_row(planes, rows), OPEN)
    row = torch.where(context.geometry.empty[pairs.domain], CONTRADICTED, row)
    used = torch.full((len(row), clip_rounds), -1, dtype=torch.long, device=row.device)
    branching = planes.row(planes.tightest())
    slopes, values = branching.slope.clone(), branching.value.clone()
    current = DisjunctBounds(everything, pairs, layers, planes)
    for number in range(clip_rounds):
        still = (row[current.at] == OPEN) & safe_to_drop[current.at]
        if not still.any():
            break
        current = current.take(still)
        used[current.at, number] = rows[current.at, current.planes.tightest()]
        current, row[current.at] = _clip_once(context, current, rows[current.at])
        branching = current.planes.row(current.planes.tightest())
        slopes[current.at], values[current.at] = branching.slope, branching.value
    current = current.take((row[current.at] == OPEN) & safe_to_drop[current.at])
    return Verdicts(row == OPEN, row, used, (slopes, values), current)


def _clip_once(context: BoundContext, current: DisjunctBounds, rows: Tensor) -> tuple[DisjunctBounds, Tensor]:
    plane = current.planes.row(current.planes.tightest())
    clipped = self_clip(context.net, current.layers, context.geometry, current.pairs, plane)
    index = torch.arange(len(current.at), device=current.at.device)
    planes = constraint_bounds(context, clipped.layers, index, current.pairs, rows)
    fallen = torch.where(clipped.contradicted, CONTRADICTED, fallen_row(planes, rows))
    return DisjunctBounds(current.at, current.pairs, clipped.layers, planes), fallen


def fallen_row(planes: ConstraintBounds, rows: Tensor) -> Tensor:
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


def disjuncts_at_once(net: Net, device: str, free: int | None = None) -> int:
    """How many claims to clip at once: each neuron has a row for each multiplier over all values of the trigger.

    Args:
        free: bytes of memory; None: what the device has.
    """
    free = free_bytes(device) if free is None else free
    widest = max(layer.weight.shape[0] for layer in net.layers)
    numbers = len(CLIP_MULTIPLIERS) * widest * max(1, net.layers[0].weight.shape[1])
    return max(1, int(min(free * MEMORY_SHARE / 8, LARGEST_NUMBERS)) // numbers)


def decided(
    context: BoundContext,
    claims: Claims,
    pairs: Subproblems,
    signs: Sequence[Tensor] | None = None,
    clip_rounds: int = 0,
    deadline: float = math.inf,
    *,
    at_once: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    bound: Callable[..., Verdicts] | None = None,
) -> Verdicts:
    """Decides the claims of a batch of domains, or, when the time ends before the last part, the first of them.

    Args:
        context: the batch.
        claims: whose bounds are to be computed.
        pairs: one for each claim, with what is known of its layers' bounds.
        signs: what splits of neurons say, per hidden layer (C, n), or None.
        clip_rounds: rounds of self-clipping.
        deadline: on the clock.
        at_once: claims that are bounded together; None: as many as fit into memory.
        clock: seconds.
        bound: what bounds some of the claims.

    Raises:
        MemoryError: when even one claim does not fit.
    """
    bound = bound or bound_disjuncts

    def some(start: int, end: int) -> Verdicts | None:
        if start and clock() > deadline:
            return None
        if end - start == len(claims):
            return bound(context, claims, pairs, signs, clip_rounds)
        index = torch.arange(start, end, device=pairs.domain.device)
        own = None if signs is None else [part[index] for part in signs]
        return bound(context, claims.take(index), pairs.take(index), own, clip_rounds)

    found = in_chunks(len(claims), at_once or disjuncts_at_once(context.net, context.work.device), some)
    parts = [part for part in found if part is not None] or [bound(context, claims, pairs, signs, clip_rounds)]
    return parts[0] if len(parts) == 1 else _joined(parts)


def bound_disjuncts(
    context: BoundContext, claims: Claims, pairs: Subproblems, signs: Sequence[Tensor] | None, clip_rounds: int
) -> Verdicts:
    """Bounds claims, all at once, and decides them; see `decided`."""
    if signs is None:
        layers, gone = bound_all_layers(context.net, context.geometry, pairs), None
    else:
        layers, gone = with_signs(context.net, context.geometry, pairs, signs)
    verdicts = decide_disjuncts(context, layers, Subproblems(pairs.domain, pairs.input), claims, clip_rounds)
    excluded = [part for part in (gone, *(layer.infeasible for layer in layers)) if part is not None]
    if excluded:
        verdicts = drop_infeasible(verdicts, torch.stack(excluded).any(0) & context.bounded(layers, claims.input))
    return verdicts


def with_signs(
    net: Net, geometry: Geometry, pairs: Subproblems, signs: Sequence[Tensor]
) -> tuple[list[LayerBounds], Tensor]:
    """Bounds of every layer, bottom up; those of split neurons end at 0.

    Args:
        signs: per hidden layer 1 where the pre-activation is >= 0, -1 where it is <= 0, else 0, shape (B, n).

    Returns:
        the bounds, and the pairs in which no evaluation has these signs, shape (B,).
    """
    bounds: list[LayerBounds] = []
    gone = torch.zeros(len(pairs.input), dtype=torch.bool, device=pairs.input.device)
    for number, layer in enumerate(net.layers):
        own = (
            bound_next_layer(net, bounds, geometry, pairs, "crown")
            if bounds
            else bound_first_layer(net, geometry, pairs)
        )
        if number < len(net.hidden):
            gone |= _is_gone(own, signs[number])
            own = apply_split(layer, own, signs[number])
        bounds.append(own)
    return bounds, gone


def _is_gone(bounds: LayerBounds, sign: Tensor) -> Tensor:
    """Pairs in which no evaluation has these signs: a neuron said to be >= 0 lies below 0, or the other way."""
    slack = INFEASIBLE * (1 + bounds.lower.abs() + bounds.upper.abs())
    return (((sign > 0) & (bounds.upper < -slack)) | ((sign < 0) & (bounds.lower > slack))).any(1)


def drop_infeasible(verdicts: Verdicts, gone: Tensor) -> Verdicts:
    """Lets claims (C,) fall whose signs or bounds no evaluation has."""
    row = torch.where(gone & (verdicts.row == OPEN), CONTRADICTED, verdicts.row)
    last = verdicts.last.take(row[verdicts.last.at] == OPEN)
    return replace(verdicts, alive=row == OPEN, row=row, last=last)


def _joined(parts: Sequence[Verdicts]) -> Verdicts:
    """The verdicts of consecutive parts."""
    sizes = [len(part.row) for part in parts]
    slopes, values = (torch.cat([part.branching[column] for part in parts]) for column in (0, 1))
    alive, row, planes = (torch.cat([getattr(part, name) for part in parts]) for name in ("alive", "row", "planes"))
    return Verdicts(alive, row, planes, (slopes, values), _joined_bounds([part.last for part in parts], sizes))


def _joined_bounds(parts: Sequence[DisjunctBounds], sizes: Sequence[int]) -> DisjunctBounds:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    at = torch.cat([part.at + start for part, start in zip(parts, starts, strict=True)])
    pairs = Subproblems(
        torch.cat([part.pairs.domain for part in parts]), torch.cat([part.pairs.input for part in parts])
    )
    layers = [joined_layer(column) for column in zip(*(part.layers for part in parts), strict=True)]
    names = ("value", "slope", "upper", "limit", "closed")
    planes = ConstraintBounds(*(torch.cat([getattr(part.planes, name) for part in parts]) for name in names))
    return DisjunctBounds(at, pairs, layers, planes)


def joined_layer(parts: Sequence[LayerBounds]) -> LayerBounds:
    """Bounds of one layer for some pairs, then for others."""
    lower, upper, radius = (torch.cat([getattr(part, name) for part in parts]) for name in ("lower", "upper", "radius"))
    relaxed = parts[0].relaxed
    if relaxed is not None:
        relaxed = type(relaxed)(*map(torch.cat, zip(*(part.relaxed for part in parts if part.relaxed), strict=True)))
    masks = [part.open for part in parts if part.open is not None]
    return LayerBounds(lower, upper, radius, torch.cat(masks) if masks else None, relaxed)
