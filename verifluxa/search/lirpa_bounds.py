"""Initial bounds of a placement by the second bounds engine, auto-LiRPA; see `bounds/lirpa.py`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from verifluxa.bounds import (
    LirpaTask,
    Subproblems,
    bound_all_layers,
    geometry_of,
    in_chunks,
    lirpa_package,
    lirpa_upper_bounds,
)
from verifluxa.errors import UnsupportedError, UsageError
from verifluxa.evidence import OPEN
from verifluxa.question import Question
from verifluxa.search.disjuncts import BoundContext
from verifluxa.search.initial_bounds import InitialBounds, whole_domain
from verifluxa.search.workspace import Claims, Workspace

ENGINE = "auto-lirpa"
BATCH = 64
"""Claims in one call: it keeps whole matrices of coefficients."""
SLACK = 1e-9
"""Share of its size by which a row must miss 0 beside the radius of rounding."""
ROUNDING = 2.0
"""Times the radius: a backward pass sums the same terms as the evaluation, in another order."""


def check_engine(arithmetic: str) -> None:
    """Whether auto-LiRPA can be used for an arithmetic.

    Raises:
        UsageError: VF4013 in another arithmetic than `real`, VF4012 where it is not installed.
    """
    if arithmetic != "real":
        raise UsageError(
            "VF4013",
            f"the bounds engine `{ENGINE}` knows nothing of rounding, so it cannot prove about {arithmetic}",
            expected="the arithmetic `real`",
            remedy="give `--arithmetic real`, or choose a strategy with native bounds",
        )
    lirpa_package()


def bound_with_lirpa(work: Workspace, questions: Sequence[Question], method: str) -> list[InitialBounds]:
    """Bounds the rows of some questions of one placement on the box around the domain.

    Args:
        questions: of one placement.
        method: a key of `lirpa.METHODS`.

    Raises:
        UnsupportedError: VF7001, VF7003 for an operation without bounds.
        UsageError: VF4012, VF4013.
    """
    check_engine(work.problem.arithmetic)
    if work.problem.spread:
        raise UnsupportedError("VF7001", f"the bounds engine `{ENGINE}` knows nothing of inputs that move")
    work = work.at(questions[0].placement)
    return [_bounds_of(work, question, method) for question in questions]


def _bounds_of(work: Workspace, question: Question, method: str) -> InitialBounds:
    claims = work.claims(question.violation, question.selection)
    rows = work.alternatives[claims.alternative]
    upper = torch.cat(in_chunks(len(claims), BATCH, lambda a, b: _upper(work, question, claims, slice(a, b), method)))
    context = BoundContext(work, work.net(question.placement), geometry_of(whole_domain(work)))
    pairs = Subproblems(torch.zeros_like(claims.input), claims.input)
    radius, fine = _rounding(context, pairs)
    sizes = (work.coefficients.abs()[rows] * radius[:, None]).sum(-1)
    value = upper + work.row_constants[rows]
    size = work.row_constants[rows].abs() + upper.abs()
    below = (value < -(ROUNDING * sizes + SLACK * (1 + size))) & fine[:, None]
    best = torch.where(below, value, torch.full_like(value, torch.inf)).argmin(1)
    row = torch.where(below.any(1), rows.gather(1, best[:, None])[:, 0], OPEN)
    return InitialBounds(question, claims, row, len(torch.unique(claims.input[row == OPEN])))


def _upper(work: Workspace, question: Question, claims: Claims, own: slice, method: str) -> Tensor:
    """Upper bounds of the rows without their constants, shape (C, r)."""
    problem = work.problem
    inputs = claims.input[own].cpu().numpy()
    rows = work.alternatives[claims.alternative[own]].cpu().numpy()
    asked = LirpaTask(
        problem.graph,
        work.readout,
        problem.placements[question.placement].stamp,
        problem.inputs.reshape(len(problem.inputs), -1)[inputs],
        problem.domain.lower[None].repeat(len(inputs), 0),
        problem.domain.upper[None].repeat(len(inputs), 0),
        problem.constraints.coefficients[rows],
    )
    return torch.as_tensor(lirpa_upper_bounds(asked, method), device=work.device)


def _rounding(context: BoundContext, pairs: Subproblems) -> tuple[Tensor, Tensor]:
    """How far float64 sums may be off at each output (B, outputs), and which pairs cannot overflow (B,).

    Radii of the layers, carried forward: no function that auto-LiRPA bounds is steeper than 1, and a maximum of two is
    off by no more than the larger of their radii.
    """
    layers = bound_all_layers(context.net, context.geometry, pairs, "interval")
    error = layers[0].radius
    for below, layer, bounds in zip(context.net.layers, context.net.layers[1:], layers[1:], strict=False):
        error = error if below.special is None else below.special.value(error)
        error = error @ layer.magnitude.T + bounds.radius
    return error, context.bounded(layers, pairs.input)
