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

import highspy
import numpy as np
from numpy.typing import NDArray

from verifluxa.evidence import Joint, Weighted
from verifluxa.question import Floats, Integers

SLACK = 1e-7
"""A dual value must lie below `need` by this share of its terms."""
SIZE_UP = 1.0 + 2.0**-30
"""M is rounded up by this: the checker recomputes the least value of a plane and demands M to be above it."""
DEEPEST = 40
"""Branchings on z along one path."""
FORCED = 1000.0
"""What it costs an input that is taken to violate not to do so; larger than any count by far."""
LEAST_WEIGHT = 1e-12
"""Smaller multipliers are the solver's noise."""


@dataclass(frozen=True, eq=False)
class Box:
    """One domain: half-widths (d,), strips as |V t - shift| <= half with t measured from the center."""

    half: Floats
    directions: Floats
    strip_half: Floats
    strip_shift: Floats


@dataclass(frozen=True, eq=False)
class PlaneTable:
    """P planes of the C claims of n inputs that are still open in one domain.

    Attributes:
        inputs: indices into the problem's inputs, ascending, shape (n,).
        owner: of each claim, an index into `inputs`, shape (C,).
        position: which alternative each claim is, shape (C,).
        claim: of each plane, shape (P,).
        row: problem row, shape (P,).
        tangent: shape (P,).
        value: at the center, shape (P,).
        slope: shape (P, d).
        size: M, shape (P,), positive.
    """

    inputs: Integers
    owner: Integers
    position: Integers
    claim: Integers
    row: Integers
    tangent: NDArray[np.bool_]
    value: Floats
    slope: Floats
    size: Floats

    @property
    def alone(self) -> NDArray[np.bool_]:
        """Inputs with exactly one claim, shape (n,)."""
        alone: NDArray[np.bool_] = np.bincount(self.owner, minlength=len(self.inputs)) == 1
        return alone


@dataclass(frozen=True, eq=False)
class Solved:
    """What a linear program gave: its value, the point t, weights (P,), strip multipliers (m,), and z (n,)."""

    value: float
    point: Floats
    weights: Floats
    beta: Floats
    z: Floats


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
        0/1 program where it could not be closed.
    """
    free = np.full(len(planes.inputs), -1)
    solved = solve(planes, box, free)
    if solved is None:
        return None, None, None
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


def solve(planes: PlaneTable, box: Box, fixed: Integers) -> Solved | None:
    """Solves the relaxation with some z fixed (0, 1; -1: free); None when the solver gives no optimum."""
    # The public class prints a banner when it is made, whatever its options say; this is what it wraps.
    solver = highspy._core._Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
        solver.setOptionValue(option, value)
    solver.passModel(_model(planes, box, fixed))
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    solution = solver.getSolution()
    columns, duals = np.array(solution.col_value), -np.array(solution.row_dual)
    dimension, count = len(box.half), len(planes.value)
    weights = np.nan_to_num(np.clip(duals[:count], 0.0, None))
    weights[weights < LEAST_WEIGHT] = 0.0
    beta = np.nan_to_num(duals[count + len(planes.inputs) :])
    z = columns[dimension + len(planes.owner) :]
    best = -float(solver.getObjectiveValue()) - FORCED * np.count_nonzero(fixed == 1)
    return Solved(best, columns[:dimension], weights, beta, z)


def _model(planes: PlaneTable, box: Box, fixed: Integers) -> highspy.HighsLp:
    """Columns t (d), z_ia (C), z_i (n); rows per plane, per input (z_i <= sum_a z_ia), per strip.

    An input fixed to 1 may stay below it at the price `FORCED`: so there is always an optimum, and a dual.
    """
    dimension, count = len(box.half), len(planes.value)
    claims, inputs = len(planes.owner), len(planes.inputs)
    rows = np.zeros((count + inputs + len(box.directions), dimension + claims + inputs))
    rows[:count, :dimension] = -planes.slope / planes.size[:, None]
    rows[np.arange(count), dimension + planes.claim] = 1.0
    rows[count + planes.owner, dimension + np.arange(claims)] = -1.0
    rows[count + np.arange(inputs), dimension + claims + np.arange(inputs)] = 1.0
    rows[count + inputs :, :dimension] = box.directions
    infinity = highspy.kHighsInf
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = rows.shape
    lp.col_cost_ = np.concatenate([np.zeros(dimension + claims), -1.0 - FORCED * (fixed == 1)])
    lp.col_lower_ = np.concatenate([-box.half, np.zeros(claims + inputs)])
    lp.col_upper_ = np.concatenate([box.half, np.ones(claims), (fixed != 0).astype(float)])
    low, high = box.strip_shift - box.strip_half, box.strip_shift + box.strip_half
    lp.row_lower_ = np.concatenate([np.full(count + inputs, -infinity), low])
    lp.row_upper_ = np.concatenate([1 + planes.value / planes.size, np.zeros(inputs), high])
    _fill(lp, rows)
    return lp


def _fill(lp: highspy.HighsLp, rows: Floats) -> None:
    """Hands a dense matrix over row by row, zeros left out."""
    used = rows != 0
    starts = np.concatenate([[0], used.sum(1).cumsum()])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = starts.astype(np.int32)
    lp.a_matrix_.index_ = np.nonzero(used)[1].astype(np.int32)
    lp.a_matrix_.value_ = rows[used]


def _dual(planes: PlaneTable, box: Box, at: tuple[Solved, Integers, int]) -> Joint | None:
    """The closing by the solver's weights, if their dual value, recomputed, lies below `need`."""
    solved, fixed, need = at
    value, terms = dual_value(planes, box, (solved.weights, solved.beta), fixed)
    if not value < need - SLACK * (1 + terms):
        return None
    entries = tuple(_weighted(planes, int(p), float(solved.weights[p])) for p in np.flatnonzero(solved.weights))
    return Joint(weights=entries, beta=tuple(float(b) for b in solved.beta))


def _weighted(planes: PlaneTable, plane: int, weight: float) -> Weighted:
    claim = int(planes.claim[plane])
    input_ = int(planes.inputs[planes.owner[claim]])
    return Weighted(input_, int(planes.position[claim]), int(planes.row[plane]), bool(planes.tangent[plane]), weight)


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
    must = (fixed == 1) & planes.alone
    left = np.where(must, 1.0, 1.0 - share)
    spare = np.maximum(0.0, share[planes.owner] - amount)
    spare[must[planes.owner]] = 0.0
    ratio = np.where(fixed[owner] == 0, 0.0, weights / planes.size)
    constant = ratio * planes.value + np.where((fixed[owner] == 0) | must[owner], 0.0, weights)
    total = left[fixed != 0].sum() + spare[fixed[planes.owner] != 0].sum() + constant.sum()
    slope = ratio @ planes.slope
    rest = slope - beta @ box.directions
    reach = np.abs(rest) @ box.half + np.abs(beta) @ box.strip_half
    shift = beta @ box.strip_shift
    terms = np.abs(constant).sum() + np.abs(slope) @ box.half + reach + np.abs(shift) + len(planes.inputs)
    return float(total + reach + shift), float(terms)
