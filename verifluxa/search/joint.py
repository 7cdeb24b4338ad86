"""The joint step: can `need` inputs violate under ONE trigger of the domain?

For claim (i, a) and row j the plane g_iaj(t) = value + slope . t is >= 0 wherever the claim is met. With
M_iaj >= -min over the domain of g_iaj, a met claim has z_ia = 1 <= 1 + g_iaj / M_iaj, so

    count <= max over t of sum z_i,   z_i <= 1,  z_i <= sum_a z_ia,  0 <= z_ia <= 1 + g_iaj / M_iaj.

A linear program (HiGHS) proposes weights; what closes a domain is the dual value recomputed here from them:
any weights w >= 0 with pi_i in [0, 1] give, by weak duality,

    count <= sum_i [ (1 - pi_i) + sum_a (max(0, pi_i - sum_j w_iaj) + sum_j w_iaj (1 + value / M)) ]
             + max over t of (sum w slope / M) . t.

Branching on z_i = 0 (the input leaves) and z_i = 1 (its weights are then free) gives the exact 0/1 bound over
the same planes; a few nodes are enough, and each leaf is again such a dual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifluxa.evidence import FarkasTerm, Joint
from verifluxa.question import Floats, Integers
from verifluxa.search.program import Box, PlaneTable, Solved, missed, solve

SLACK = 1e-7
"""A dual value must lie below `need` by this share of its terms."""
SIZE_UP = 1.0 + 2.0**-30
"""M is rounded up by this: the checker recomputes the least value of a plane and demands M to be above it."""
DEEPEST = 40
"""Branchings on z along one path."""
EMPTY_BY = 4.0
"""The dual value of a domain without points lies this often the number of its inputs below that number."""


@dataclass(eq=False)
class _Program:
    """A 0/1 program: how many linear programs it may still solve, and the point where it gave up."""

    planes: PlaneTable
    box: Box
    need: int
    budget: int
    point: Floats | None = None


def close_jointly(
    planes: PlaneTable, box: Box, need: int, gate: float
) -> tuple[Joint | None, Solved | None, Floats | None]:
    """Tries to show that fewer than `need` of the inputs violate together.

    Args:
        planes: of all open claims.
        gate: branch on z only when the linear program's value is at most `need + gate`.

    Returns:
        the closing, or None; the relaxed solution, whose point is worth a try as a trigger; and the point of the
        0/1 program where it could not be closed. A domain whose strips miss its box is closed without a solution.
    """
    free = np.full(len(planes.inputs), -1)
    solved = solve(planes, box, free)
    if solved is None:
        return _nowhere(planes, box, need), None, None
    closing = _dual(planes, box, (solved, free, need))
    if closing is not None or solved.value > need + gate:
        return closing, solved, None
    program = _Program(planes, box, need, int(8 + gate * 8))
    return _branch(program, solved, free), solved, program.point


def _branch(program: _Program, solved: Solved, fixed: Integers) -> Joint | None:
    """Branches on the most fractional z until every leaf is closed by a dual, or gives up."""
    planes, box = program.planes, program.box
    closing = _dual(planes, box, (solved, fixed, program.need))
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


def _nowhere(planes: PlaneTable, box: Box, need: int) -> Joint | None:
    """The closing of a domain without points: strips that together miss the box.

    The multipliers of the strips give a dual value that falls without end as they are scaled up.
    """
    beta = missed(box)
    if beta is None:
        return None
    none = np.zeros(len(planes.value))
    spare = len(planes.inputs) - dual_value(planes, box, (none, beta), np.full(len(planes.inputs), -1))[0]
    if not spare > 0:
        return None
    beta = beta * (EMPTY_BY * len(planes.inputs) / spare)
    solved = Solved(0.0, np.zeros(len(box.half)), none, beta, np.zeros(0))
    return _dual(planes, box, (solved, np.full(len(planes.inputs), -1), need))


def _dual(planes: PlaneTable, box: Box, at: tuple[Solved, Integers, int]) -> Joint | None:
    """The closing by the solver's weights, if their dual value, recomputed, lies below `need`."""
    solved, fixed, need = at
    value, terms = dual_value(planes, box, (solved.weights, solved.beta), fixed)
    if not value < need - SLACK * (1 + terms):
        return None
    entries = tuple(_weighted(planes, int(p), float(solved.weights[p])) for p in np.flatnonzero(solved.weights))
    return Joint(weights=entries, beta=tuple(float(b) for b in solved.beta))


def _weighted(planes: PlaneTable, plane: int, weight: float) -> FarkasTerm:
    claim = int(planes.claim[plane])
    input_ = int(planes.inputs[planes.owner[claim]])
    return FarkasTerm(input_, int(planes.position[claim]), int(planes.row[plane]), bool(planes.tangent[plane]), weight)


def dual_value(
    planes: PlaneTable, box: Box, multipliers: tuple[Floats, Floats], fixed: Integers
) -> tuple[float, float]:
    """The bound on the count that any weights (P,) >= 0 and strip multipliers (m,) give; the size of its terms.

    For an input fixed to 1 that has one claim, `g >= 0` itself is used: 1 + w g / M. One fixed to 0 leaves.
    """
    weights, beta = multipliers
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
    reach = np.abs(rest) @ box.half + np.abs(beta) @ box.strip_half
    shift = beta @ box.strip_shift
    terms = np.abs(constant).sum() + np.abs(slope) @ box.half + reach + np.abs(shift) + len(planes.inputs)
    return float(total + reach + shift), float(terms)
