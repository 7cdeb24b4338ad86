"""The linear programs of the joint step, and what they speak of: a domain, and the planes of its open claims.

HiGHS proposes points and multipliers; nothing here is a proof (see `joint.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

from verifluxa.question import Floats, Integers

FORCED = 1000.0
"""What it costs an input that is taken to violate not to do so; larger than any count by far."""
LEAST_WEIGHT = 1e-12
"""Smaller multipliers are the solver's noise."""


@dataclass(frozen=True, eq=False)
class Box:
    """One domain: half-widths (d,), slabs as |V t - shift| <= half with t measured from the center."""

    half: Floats
    directions: Floats
    slab_half: Floats
    slab_shift: Floats


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
    """What a linear program gave: its value, the point t, weights (P,), slab multipliers (m,), and z (n,)."""

    value: float
    point: Floats
    weights: Floats
    beta: Floats
    z: Floats


def solve(planes: PlaneTable, box: Box, fixed: Integers) -> Solved | None:
    """Solves the relaxation with some z fixed (0, 1; -1: free); None when the solver gives no optimum."""
    solver = _solver()
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


def missed(box: Box) -> Floats | None:
    """Multipliers (m,) that show that the slabs together miss the box; None where they meet in it.

    Each slab alone is met somewhere in the box, so this takes a linear program: the least eps with
    |V t - shift| <= half + eps.
    """
    solver = _solver()
    solver.passModel(_meeting(box))
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal or not solver.getObjectiveValue() > 0:
        return None
    duals = np.array(solver.getSolution().row_dual).reshape(2, -1)
    multipliers: Floats = np.nan_to_num(-duals.sum(0))
    return multipliers


def _meeting(box: Box) -> highspy.HighsLp:
    """Columns t (d), eps; rows V t - eps <= top and V t + eps >= bottom of each slab."""
    slabs, dimension = box.directions.shape
    rows = np.zeros((2 * slabs, dimension + 1))
    rows[:, :dimension] = np.concatenate([box.directions, box.directions])
    rows[:slabs, -1], rows[slabs:, -1] = -1.0, 1.0
    infinity = np.full(slabs, highspy.kHighsInf)
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = rows.shape
    lp.col_cost_ = np.append(np.zeros(dimension), 1.0)
    lp.col_lower_ = np.append(-box.half, 0.0)
    lp.col_upper_ = np.append(box.half, highspy.kHighsInf)
    lp.row_lower_ = np.concatenate([-infinity, box.slab_shift - box.slab_half])
    lp.row_upper_ = np.concatenate([box.slab_shift + box.slab_half, infinity])
    _fill(lp, rows)
    return lp


def _solver() -> highspy._core._Highs:
    """A quiet solver in one thread. The public class prints a banner when it is made; this is what it wraps."""
    solver = highspy._core._Highs()
    for option, value in (("output_flag", False), ("threads", 1), ("presolve", "off")):
        solver.setOptionValue(option, value)
    return solver


def _model(planes: PlaneTable, box: Box, fixed: Integers) -> highspy.HighsLp:
    """Columns t (d), z_ia (C), z_i (n); rows per plane, per input (z_i <= sum_a z_ia), per slab.

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
    low, high = box.slab_shift - box.slab_half, box.slab_shift + box.slab_half
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
