"""Joint bounds on a subdomain: can `threshold` inputs violate under ONE trigger of it?

For claim (i, a) and row j the plane g_iaj(t) = value + slope . t is >= 0 wherever the claim is met. With
M_iaj >= -min over the domain of g_iaj, a met claim has z_ia = 1 <= 1 + g_iaj / M_iaj, so

    count <= max over t of sum z_i,   z_i <= 1,  z_i <= sum_a z_ia,  0 <= z_ia <= 1 + g_iaj / M_iaj.

A linear program (HiGHS) proposes weights; what closes a domain is the dual value recomputed here from them:
any weights w >= 0 with pi_i in [0, 1] give, by weak duality,

    count <= sum_i [ (1 - pi_i) + sum_a (max(0, pi_i - sum_j w_iaj) + sum_j w_iaj (1 + value / M)) ]
             + max over t of (sum w slope / M) . t.

Branching on z_i = 0 (the input leaves) and z_i = 1 (its weights are then free) gives the exact 0/1 bound over
the same planes; a few nodes are enough, and each leaf is again such a dual.

Where as many claims are open as inputs are needed, all of them must be met together, and every claim may be clipped by
the planes of the others too (`clip_mutually`). What comes out holds ONLY where all of them are met: it serves to close
the domain jointly, and its parts start from it. For let t be a trigger of a part under which `threshold` inputs
violate. It lies in the domain, where no more than these can, so all of them are met at t, and their neurons lie within
the bounds found for the domain. A claim that falls in a part by such bounds leaves no such t; that it is not met
elsewhere is not said, so no count below `threshold - 1` is proved from there on. Where bounds contradict each other,
the linear program closes: infeasible bounds that the checker may not see are no closing of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds import LayerBounds, Net, Subproblems, rise_and_fall, self_clip, unstable_neurons
from verifluxa.evidence import FarkasTerm, Joint
from verifluxa.question import Floats, Integers
from verifluxa.search.disjuncts import BoundContext, ConstraintBounds, DisjunctBounds, Verdicts, constraint_bounds
from verifluxa.search.inherit import checker_agrees
from verifluxa.search.program import Box, PlaneTable, Solved, missed, solve
from verifluxa.search.workspace import Claims

SLACK = 1e-7
"""A dual value must lie below `threshold` by this share of its terms."""
SIZE_UP = 1.0 + 2.0**-30
"""M is rounded up by this: the checker recomputes the least value of a plane and demands M to be above it."""
DEEPEST = 40
"""Branchings on z along one path."""
EMPTY_BY = 4.0
"""The dual value of a domain without points lies this often the number of its inputs below that number."""
ROWS_KEPT = 4
"""The tightest rows of a claim are enough (11-hard-questions: 3 or 4)."""
MUTUAL_ROUNDS = 2
"""Planes that clip all claims of a domain, those that cut most first."""
SharedConstraint = tuple[int, int]
"""An input, and a problem row of its open alternative."""


@dataclass(frozen=True, eq=False)
class JointStep:
    """What the joint step found on a domain: a closing or None, the relaxed count, and its points to try."""

    closing: Joint | None
    value: float
    points: list[Tensor]
    tangent_at: Tensor


def joint_step(
    context: BoundContext, last: DisjunctBounds, claims: Claims, threshold: int, gate: float
) -> JointStep | None:
    """Linear program over the planes; then, where it is close, tangents at its point and the 0/1 program.

    Args:
        last: the open claims of ONE domain.
        claims: the same claims.
        threshold, gate: see `joint.close_jointly`; the second step is taken when the value is at most
            `threshold + gate`.
    """
    domain = last.pairs.domain[0]
    box = _box(context, int(domain))
    rows = context.rows(claims)
    first = _table(context, last.planes, rows, last.pairs, claims, tangent=False)
    closing, solved, _ = close_jointly(first, box, threshold, -np.inf)
    center = context.geometry.center[domain]
    if solved is None:
        return None if closing is None else JointStep(closing, 0.0, [], center)
    touching = center + torch.as_tensor(solved.point, device=center.device)
    result = JointStep(closing, solved.value, [touching], touching)
    if closing is not None or solved.value > threshold + gate:
        return result
    tangent = _tangents(context.net, last.layers, touching, last.pairs)
    index = torch.arange(len(rows), device=rows.device)
    planes = constraint_bounds(context, tangent, index, last.pairs, rows)
    second = _table(context, planes, rows, last.pairs, claims, tangent=True)
    closing, again, whole = close_jointly(_both(first, second), box, threshold, gate)
    if again is None:
        return result
    points = [center + torch.as_tensor(p, device=center.device) for p in (again.point, whole) if p is not None]
    return JointStep(closing, min(again.value, solved.value), [touching, *points], touching)


def _box(context: BoundContext, domain: int) -> Box:
    shape = context.geometry
    return Box(
        shape.half[domain].cpu().numpy(),
        shape.directions.cpu().numpy(),
        shape.slab_half[domain].cpu().numpy(),
        shape.slab_shift[domain].cpu().numpy(),
    )


def _table(
    context: BoundContext, planes: ConstraintBounds, rows: Tensor, pairs: Subproblems, claims: Claims, *, tangent: bool
) -> PlaneTable:
    kept = min(ROWS_KEPT, rows.shape[1])
    order = planes.upper.topk(kept, dim=1, largest=False).indices
    claim = torch.arange(len(rows), device=rows.device)[:, None].expand(-1, kept).reshape(-1)
    at = (claim, order.reshape(-1))
    slope, value = planes.slope[at], planes.value[at]
    down = rise_and_fall(slope[:, None], pairs.domain[claim], context.geometry)[1][:, 0]
    size = -(value - down) * SIZE_UP + 1e-12 * (1 + value.abs() + down.abs())
    fine = (size > 0) & torch.isfinite(size) & torch.isfinite(value)
    inputs, owner = torch.unique(claims.input, return_inverse=True)
    return PlaneTable(
        inputs.cpu().numpy(),
        owner.cpu().numpy(),
        claims.position.cpu().numpy(),
        claim[fine].cpu().numpy(),
        rows[at][fine].cpu().numpy(),
        np.full(int(fine.sum()), tangent),
        value[fine].cpu().numpy(),
        slope[fine].cpu().numpy(),
        size[fine].cpu().numpy(),
    )


def _both(first: PlaneTable, second: PlaneTable) -> PlaneTable:
    """Planes of both tables, which speak of the same claims."""
    names = ("claim", "row", "tangent", "value", "slope", "size")
    return replace(first, **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})


def _tangents(net: Net, layers: list[LayerBounds], trigger: Tensor, pairs: Subproblems) -> list[LayerBounds]:
    """The layers with the lower relu slopes that touch at a trigger: 1 where the pre-activation is positive."""
    state = trigger.expand(len(pairs.input), -1)
    result = []
    for layer, plain in zip(net.hidden, layers, strict=False):
        bounds = plain
        z = state @ layer.weight.T + layer.offset_of(pairs.input)
        state = layer.apply(z)
        if layer.function in {"relu", "max"} and bounds.relaxed is not None:
            slope = torch.where(unstable_neurons(layer, bounds), (z > 0).to(z), bounds.relaxed.lower_slope)
            bounds = replace(bounds, relaxed=bounds.relaxed._replace(lower_slope=slope))
        result.append(bounds)
    return [*result, layers[-1]]


@dataclass(eq=False)
class _Program:
    """A 0/1 program: how many linear programs it may still solve, and the point where it gave up."""

    planes: PlaneTable
    box: Box
    threshold: int
    budget: int
    point: Floats | None = None


def close_jointly(
    planes: PlaneTable, box: Box, threshold: int, gate: float
) -> tuple[Joint | None, Solved | None, Floats | None]:
    """Tries to show that fewer than `threshold` of the inputs violate together.

    Args:
        planes: of all open claims.
        gate: branch on z only when the linear program's value is at most `threshold + gate`.

    Returns:
        the closing, or None; the relaxed solution, whose point is worth a try as a trigger; and the point of the
        0/1 program where it could not be closed. A domain whose slabs miss its box is closed without a solution.
    """
    free = np.full(len(planes.inputs), -1)
    solved = solve(planes, box, free)
    if solved is None:
        return _nowhere(planes, box, threshold), None, None
    closing = _dual(planes, box, solved, free, threshold)
    if closing is not None or solved.value > threshold + gate:
        return closing, solved, None
    program = _Program(planes, box, threshold, int(8 + gate * 8))
    return _branch(program, solved, free), solved, program.point


def _branch(program: _Program, solved: Solved, fixed: Integers) -> Joint | None:
    """Branches on the most fractional z until every leaf is closed by a dual, or gives up."""
    planes, box = program.planes, program.box
    closing = _dual(planes, box, solved, fixed, program.threshold)
    if closing is not None:
        return closing
    distance = np.where(fixed < 0, np.abs(solved.z - 0.5), np.inf)
    chosen = int(distance.argmin())
    if distance[chosen] > 0.5 - 1e-6 or (fixed >= 0).sum() >= DEEPEST:
        program.point = solved.point
        return None
    children = []
    for choice in (0, 1):
        program.budget -= 1
        below = fixed.copy()
        below[chosen] = choice
        child = solve(planes, box, below) if program.budget >= 0 else None
        closed = None if child is None else _branch(program, child, below)
        if closed is None:
            return None
        children.append(closed)
    return Joint(branch_on=int(planes.inputs[chosen]), children=tuple(children))


def _nowhere(planes: PlaneTable, box: Box, threshold: int) -> Joint | None:
    """The closing of a domain without points: slabs that together miss the box.

    The multipliers of the slabs give a dual value that falls without end as they are scaled up.
    """
    beta = missed(box)
    if beta is None:
        return None
    none, free = np.zeros(len(planes.value)), np.full(len(planes.inputs), -1)
    spare = len(planes.inputs) - dual_value(planes, box, none, beta, free)[0]
    if not spare > 0:
        return None
    beta = beta * (EMPTY_BY * len(planes.inputs) / spare)
    solved = Solved(0.0, np.zeros(len(box.half)), none, beta, np.zeros(0))
    return _dual(planes, box, solved, free, threshold)


def _dual(planes: PlaneTable, box: Box, solved: Solved, fixed: Integers, threshold: int) -> Joint | None:
    """The closing by the solver's weights, if their dual value, recomputed, lies below `threshold`."""
    value, terms = dual_value(planes, box, solved.weights, solved.beta, fixed)
    if not value < threshold - SLACK * (1 + terms):
        return None
    entries = tuple(_weighted(planes, int(p), float(solved.weights[p])) for p in np.flatnonzero(solved.weights))
    return Joint(weights=entries, beta=tuple(float(b) for b in solved.beta))


def _weighted(planes: PlaneTable, plane: int, weight: float) -> FarkasTerm:
    claim = int(planes.claim[plane])
    input_ = int(planes.inputs[planes.owner[claim]])
    return FarkasTerm(input_, int(planes.position[claim]), int(planes.row[plane]), bool(planes.tangent[plane]), weight)


def dual_value(planes: PlaneTable, box: Box, weights: Floats, beta: Floats, fixed: Integers) -> tuple[float, float]:
    """The bound on the count that any weights (P,) >= 0 and slab multipliers (m,) give; the size of its terms.

    For an input fixed to 1 that has one claim, `g >= 0` itself is used: 1 + w g / M. One fixed to 0 leaves.
    """
    owner = planes.owner[planes.claim]
    amount = np.bincount(planes.claim, weights, minlength=len(planes.owner))
    share = np.zeros(len(planes.inputs))
    np.maximum.at(share, planes.owner, amount)
    share = np.minimum(share, 1.0)
    assumed_violating = (fixed == 1) & planes.alone
    left = np.where(assumed_violating, 1.0, 1.0 - share)
    spare = np.maximum(0.0, share[planes.owner] - amount)
    spare[assumed_violating[planes.owner]] = 0.0
    ratio = np.where(fixed[owner] == 0, 0.0, weights / planes.size)
    constant = ratio * planes.value + np.where((fixed[owner] == 0) | assumed_violating[owner], 0.0, weights)
    total = left[fixed != 0].sum() + spare[fixed[planes.owner] != 0].sum() + constant.sum()
    slope = ratio @ planes.slope
    rest = slope - beta @ box.directions
    reach = np.abs(rest) @ box.half + np.abs(beta) @ box.slab_half
    shift = beta @ box.slab_shift
    terms = np.abs(constant).sum() + np.abs(slope) @ box.half + reach + np.abs(shift) + len(planes.inputs)
    return float(total + reach + shift), float(terms)


@dataclass(frozen=True, eq=False)
class MutualClipping:
    """The claims of some domains of a batch, clipped by each other.

    Attributes:
        claims: with bounds that hold where all claims of their domain are met.
        cuts: by domain the planes that clipped all of its claims, in their order.
    """

    claims: DisjunctBounds
    cuts: dict[int, tuple[SharedConstraint, ...]]

    def of(self, domain: int) -> DisjunctBounds:
        """Those of one domain."""
        return self.claims.take(self.claims.pairs.domain == domain)


def clip_mutually(
    context: BoundContext, verdicts: Verdicts, claims: Claims, of_domain: Tensor, thresholds: list[int]
) -> MutualClipping | None:
    """Clips the open claims of all domains in which each of them must be met; None where there is none.

    Args:
        claims: of the batch.
        of_domain: the domain of each of the first of them, to which the verdicts belong.
        thresholds: of each domain how many inputs have to violate; 0: leave it alone.
    """
    if not checker_agrees(context.net):
        return None
    last = verdicts.last
    threshold = torch.tensor(thresholds, device=of_domain.device)
    alive, inputs = of_domain[verdicts.alive], claims.input[: len(of_domain)][verdicts.alive]
    pairs = torch.unique(torch.stack([alive, inputs], 1), dim=0)[:, 0]
    counts = [torch.bincount(part, minlength=len(thresholds)) for part in (alive, pairs, last.pairs.domain)]
    wanted = (threshold > 0) & torch.stack([count == threshold for count in counts]).all(0)
    chosen = wanted[last.pairs.domain]
    if not bool(chosen.any()):
        return None
    part = last.take(chosen)
    return _clipped(context, part, claims.take(part.at))


def _clipped(context: BoundContext, part: DisjunctBounds, claims: Claims) -> MutualClipping:
    rows = context.rows(claims)
    each = torch.arange(len(part.at), device=rows.device)
    cuts: dict[int, list[SharedConstraint]] = {}
    for number in range(MUTUAL_ROUNDS):
        best = part.planes.tightest()
        cutting = _cutting(context, part, number)
        for domain, at in zip(part.pairs.domain.tolist(), cutting.tolist(), strict=True):
            own = cuts.setdefault(domain, [])
            if len(own) == number:
                own.append((int(claims.input[at]), int(rows[at, best[at]])))
        plane = part.planes.row(best)
        clipped = self_clip(context.net, part.layers, context.geometry, part.pairs, plane.take(cutting))
        bounds = constraint_bounds(context, clipped.layers, each, part.pairs, rows)
        part = DisjunctBounds(part.at, part.pairs, clipped.layers, bounds)
    return MutualClipping(part, {domain: tuple(own) for domain, own in cuts.items()})


def _cutting(context: BoundContext, part: DisjunctBounds, number: int) -> Tensor:
    """For each claim the claim of its domain whose plane leaves least of it, or the next ones, shape (C,)."""
    domain, plane = part.pairs.domain, part.planes.row(part.planes.tightest())
    size = (plane.slope.abs() * context.geometry.half[domain]).sum(1).clamp(min=1e-300)
    share = torch.nan_to_num(part.planes.upper.amin(1) / size)
    order = share.argsort(stable=True)
    order = order[domain[order].argsort(stable=True)]
    counts = torch.bincount(domain)
    first = counts.cumsum(0) - counts
    return order[first[domain] + number % counts[domain]]
