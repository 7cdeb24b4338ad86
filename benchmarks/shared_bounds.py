"""The baseline of the table of universal perturbations: upper planes of single claims, and a program over them.

Banerjee and Singh 2024 (RACoon), section 3: each input's bounds are linear in the perturbation that all inputs share,
so that how many can be wrong together is a mixed-integer program: maximise the sum of z_i with z_i <= sum_a z_ia and,
where z_ia = 1, plane_ia(perturbation) >= 0. Solved by HiGHS; its dual bound is taken, so that time alone limits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from verifluxa.bounds.domain import geometry_of, rise_and_fall
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.bounds.optimise import BoundTask, optimise_bounds
from verifluxa.question import Floats, Integers, Problem
from verifluxa.search.bab import Budget
from verifluxa.search.disjuncts import BoundContext, take_layers
from verifluxa.search.initial_bounds import bound_root, whole_domain
from verifluxa.search.relational import relational_search
from verifluxa.search.workspace import Workspace
from verifluxa.stages import CrossStage

STEPS = 100
"""Gradient steps on the slopes of each claim."""


@dataclass(frozen=True, eq=False)
class SharedBounds:
    """Planes of the claims that single bounds leave open.

    Attributes:
        inputs: that have an open claim.
        owner: of each claim, an index into these, shape (C,).
        value, slope: at the domain's center, shape (C,) and (C, d).
        fall: how far each plane falls below its value at the center, shape (C,).
        half: half-widths of the domain, shape (d,).
    """

    inputs: Integers
    owner: Integers
    value: Floats
    slope: Floats
    fall: Floats
    half: Floats

    @classmethod
    def of(cls, problem: Problem, steps: int = STEPS) -> SharedBounds:
        """Bounds with slopes optimised for each claim, as alpha-CROWN has them."""
        work = Workspace(problem)
        net, shape, claims = work.net(0), geometry_of(whole_domain(work)), work.claims(0, 0)
        inputs, of_input = torch.unique(claims.input, return_inverse=True)
        layers = bound_all_layers(net, shape, Subproblems(torch.zeros_like(inputs), inputs))
        layers = [bounds.take(torch.arange(len(inputs))) for bounds in layers]
        row = work.alternatives[claims.alternative][:, 0]
        pairs = Subproblems(torch.zeros_like(claims.input), claims.input)
        rows, constants = work.coefficients[row], work.row_constants[row]
        task = BoundTask.alone(
            net, take_layers(layers, of_input), shape, pairs, rows, constants, torch.zeros_like(constants)
        )
        found = optimise_bounds(task, steps, steps)
        value, slope = found.bounds
        kept = (found.largest >= 0).nonzero()[:, 0]
        fall = rise_and_fall(slope[kept][:, None], pairs.domain[kept], shape)[1][:, 0]
        left, owner = np.unique(claims.input[kept].numpy(), return_inverse=True)
        return cls(left, owner, value[kept].numpy(), slope[kept].numpy(), fall.numpy(), shape.half[0].numpy())


def most_by_program(bounds: SharedBounds, seconds: float) -> int:
    """How many inputs may be wrong together: the bound of the program after so many seconds."""
    claims, inputs, size = len(bounds.owner), len(bounds.inputs), len(bounds.half)
    if not claims:
        return 0
    # Columns: the perturbation, from the center; z_ia; z_i. A plane that cannot fall below 0 asks nothing.
    least = np.maximum(bounds.fall - bounds.value, 0.0)
    planes_ = np.hstack([-bounds.slope, np.diag(least), np.zeros((claims, inputs))])
    belongs = np.zeros((inputs, claims))
    belongs[bounds.owner, np.arange(claims)] = -1.0
    counts = np.hstack([np.zeros((inputs, size)), belongs, np.eye(inputs)])
    matrix, high = csr_matrix(np.vstack([planes_, counts])), np.concatenate([bounds.value + least, np.zeros(inputs)])
    found = milp(
        np.concatenate([np.zeros(size + claims), -np.ones(inputs)]),
        constraints=LinearConstraint(matrix, -np.inf, high),
        bounds=Bounds(
            np.concatenate([-bounds.half, np.zeros(claims + inputs)]),
            np.concatenate([bounds.half, np.ones(claims + inputs)]),
        ),
        integrality=np.concatenate([np.zeros(size), np.ones(claims + inputs)]),
        options={"time_limit": seconds},
    )
    proved = -float(found.mip_dual_bound) if found.mip_dual_bound is not None else float(inputs)
    return min(inputs, floor(proved + 1e-6))


def most_without_cases(problem: Problem, seconds: float) -> int:
    """How many inputs may be wrong together by slopes of several inputs optimised together (section 4), without cases.

    Groups are refuted as they stand in the way, where the paper takes all pairs and triples and then a program.
    """
    work = Workspace(problem)
    (rooted,) = bound_root(work, [problem.questions(0)[0]], "crown")
    scene = BoundContext(work.at(0), work.net(0), geometry_of(whole_domain(work)))
    settings = CrossStage()
    search, unsafe = relational_search(scene, rooted, settings, Budget.of(seconds, None, settings.cases))
    return search.without_cases() + unsafe
