"""Replays a trigger on the unsimplified network, as deployed, and says how certain each violation is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from verifluxa.bounds import Domains, Subproblems, bound_all_layers, geometry_of, output_bounds
from verifluxa.evidence import Witness
from verifluxa.question import Floats, Integers, Problem, Question
from verifluxa.search.disjuncts import BoundContext
from verifluxa.search.exact import exact_margins
from verifluxa.search.workspace import Claims, Workspace

EXACT_INPUTS = 64
"""In `real`, at most this many doubtful inputs are evaluated in exact rationals."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What the deployed network does under one trigger.

    Attributes:
        problem: whose network it is.
        inputs: the inputs that were asked about, indices into the problem's, shape (n,).
        after: outputs with the trigger, shape (n, outputs).
        margins: strict violation margin of each input, shape (n,): positive means violated.
    """

    problem: Problem
    inputs: Integers
    after: NDArray[np.floating]
    margins: Floats

    @cached_property
    def before(self) -> NDArray[np.floating]:
        """Outputs without the trigger, shape (n, outputs)."""
        return self.problem.graph.run(self.problem.inputs[self.inputs])

    @property
    def violated(self) -> Integers:
        """The inputs that violate strictly."""
        return self.inputs[self.margins > 0]


def stamped_inputs(problem: Problem, placement: int, trigger: Floats, inputs: Integers) -> Floats:
    """Triggered inputs in the user's units, shape (n, *graph.input_shape)."""
    original = problem.inputs[inputs]
    flat = original.reshape(len(inputs), -1).copy()
    for stamp, own in problem.placements[placement].groups(inputs):
        flat[own] = stamp.applied(flat[own], trigger)
    return flat.reshape(original.shape)


def replay_trigger(problem: Problem, question: Question, trigger: Floats) -> Replay:
    """Runs the unsimplified network with a trigger on the selected inputs of a question."""
    inputs = problem.selections[question.selection]
    after = problem.graph.run(stamped_inputs(problem, question.placement, trigger, inputs))
    return Replay(problem, inputs, after, violation_margins(problem, question.violation, inputs, after))


def violation_margins(problem: Problem, violation: int, inputs: Integers, outputs: NDArray[np.floating]) -> Floats:
    """Strict margins over the network's own outputs: the best alternative's worst row, NaN at NaN, shape (n,)."""
    values = _row_values(problem, outputs.astype(np.float64))
    by_label = problem.violations[violation].by_label
    margins = [
        max(min(values[n, r] for r in rows) for rows in by_label[int(problem.labels[i])]) for n, i in enumerate(inputs)
    ]
    return np.where(np.isnan(outputs).any(1), np.nan, np.array(margins, dtype=np.float64))


def _row_values(problem: Problem, outputs: Floats) -> Floats:
    """Values of all rows, shape (n, R); where summing them may round, lower by what rounding may add.

    What comes to Inf - Inf has no sign: it counts as violated by nobody.
    """
    rows, constants = problem.constraints.coefficients, problem.replayed
    values = _product(outputs, rows) + constants
    # A product by 1 is exact, and a sum of two numbers has the right sign.
    terms = (rows != 0).sum(1) + (constants != 0)
    rounds = (terms > 2) | ~np.isin(np.abs(rows), (0.0, 1.0)).all(1)
    if rounds.any():
        share = np.where(rounds, (rows.shape[1] + 4) * 2.0**-53, 0.0)
        with np.errstate(invalid="ignore"):
            values -= share * (_product(np.abs(outputs), np.abs(rows)) + np.abs(constants))
    return np.where(np.isnan(values), -np.inf, values)


def _product(outputs: Floats, rows: Floats) -> Floats:
    """`outputs @ rows.T`, where an output that overflowed says nothing of rows that do not read it."""
    finite = np.atleast_1d(np.isfinite(outputs).all(1))
    values: Floats = np.where(finite[:, None], outputs, 0.0) @ rows.T
    with np.errstate(invalid="ignore"):
        for number in np.flatnonzero(~finite):
            values[number] = [outputs[number, row != 0] @ row[row != 0] for row in rows]
    return values


def witness_of(
    work: Workspace, question: Question, trigger: Floats, certain: NDArray[np.bool_] | None = None
) -> Witness:
    """The evidence that a trigger gives; it refutes when `threshold` inputs violate.

    `certain`: which of the selection's inputs violate in every evaluation, where that is known.
    """
    work = work.at(question.placement)
    played = replay_trigger(work.problem, question, trigger)
    certain = certainly_violated(work, question, trigger, played.inputs) if certain is None else certain
    return judge_replay(work, question, trigger, played, certain)


def judge_replay(
    work: Workspace, question: Question, trigger: Floats, played: Replay, certain: NDArray[np.bool_]
) -> Witness:
    """The evidence of a trigger that was replayed; `certain` as in `witness_of`."""
    real = work.problem.arithmetic == "real"
    margins = _in_real(work, question, trigger, played, certain) if real else played.margins
    violated = (margins > 0) & work.contains(trigger)
    robust = certainly_counted(work.problem, question, certain & violated)
    violated &= ~np.isin(played.inputs, work.problem.doubt.not_replayed)
    inputs = tuple(int(i) for i in played.inputs[violated])
    # A margin may be infinite where the deployed network overflows; a document holds numbers alone.
    finite = np.minimum(margins[violated], np.finfo(np.float64).max)
    return Witness(trigger, inputs, tuple(float(m) for m in finite), robust)


def certainly_counted(problem: Problem, question: Question, violated: NDArray[np.bool_]) -> int:
    """How many inputs violate whichever inputs in doubt count, see `evidence.Witness.robust`.

    Args:
        problem, question: what is asked.
        violated: which inputs of the selection violate in every evaluation, shape (n,).
    """
    chosen = problem.selections[question.selection]
    count = int((violated & ~np.isin(chosen, problem.doubt.inputs)).sum())
    # At worst all inputs in doubt count, and none of them violates.
    return count * problem.totals[question.selection] // len(chosen)


def _in_real(
    work: Workspace, question: Question, trigger: Floats, played: Replay, certain: NDArray[np.bool_]
) -> Floats:
    """Margins in exact arithmetic: the replay's where they are certain, exact rationals where they are doubtful."""
    margins = np.where(certain, np.maximum(played.margins, np.finfo(np.float64).tiny), -np.inf)
    scale = 1e-3 * (1 + float(np.abs(played.margins).max(initial=0.0)))
    # Where inputs stand for others beside them, `certain` speaks of all of those, and says little of the input itself.
    near = (np.abs(played.margins) < scale) | ((played.margins > 0) & (work.problem.spread > 0))
    doubtful = np.flatnonzero(near & ~(certain & (played.margins > 0)))[:EXACT_INPUTS]
    if len(doubtful):
        margins[doubtful] = [float(m) for m in exact_margins(work.problem, question, trigger, played.inputs[doubtful])]
    return margins


def certainly_violated(work: Workspace, question: Question, trigger: Floats, inputs: Integers) -> NDArray[np.bool_]:
    """Inputs that violate strictly in every allowed evaluation, shape (n,)."""
    claims = work.claims(question.violation, question.selection)
    lowest = _lowest(work, question.placement, trigger, claims)
    met = set(claims.input[lowest > 0].tolist())
    return np.array([int(i) in met for i in inputs], dtype=bool)


def _lowest(work: Workspace, placement: int, trigger: Floats, claims: Claims) -> torch.Tensor:
    """Least value of the worst row of each claim at one point, over all evaluations, shape (C,)."""
    net = work.net(placement)
    point = torch.as_tensor(trigger, device=work.device)[None]
    none = point.new_zeros(0, point.shape[1])
    context = BoundContext(
        work, net, geometry_of(Domains(point, point, none, point.new_zeros(1, 0), point.new_zeros(1, 0)))
    )
    # At a point intervals lack only what signs of error radii cancel.
    lowest = _lowest_by(context, claims, "interval")
    return lowest if bool((lowest > 0).all()) else torch.maximum(lowest, _lowest_by(context, claims, "crown"))


def _lowest_by(context: BoundContext, claims: Claims, method: str) -> torch.Tensor:
    work, net, shape = context.work, context.net, context.geometry
    inputs, index = torch.unique(claims.input, return_inverse=True)
    pairs = Subproblems(torch.zeros_like(inputs), inputs)
    layers = bound_all_layers(net, shape, pairs, method)
    rows = work.alternatives[claims.alternative]
    # In front of a softmax these are the gap below which its values may tie: a witness must exceed it.
    table = -work.coefficients, -work.certain_constants
    value, _ = output_bounds(net, layers, shape, index, pairs.take(index), rows, *table)
    fine = context.bounded(layers, inputs)[index]
    return torch.where(fine, (-value).amin(1), torch.full((len(claims),), -torch.inf, dtype=value.dtype))
