"""What a problem is prepared into: claims, padded alternatives, row values, one workspace for the same problem."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.search.small import random_problem
from tests.soundness.build import Ask
from verifluxa.question import Problem, Violation
from verifluxa.search.workspace import Workspace, workspace_of


def with_alternatives(*alternatives: tuple[int, ...]) -> Problem:
    """Any label has these alternatives."""
    problem = random_problem(0)
    violation = Violation("any", None, (alternatives,) * 3)
    return replace(problem, violations=(violation,))


def test_claims_are_inputs_times_alternatives() -> None:
    problem = random_problem(0)
    claims = workspace_of(problem).claims(0, 0)
    by_label = problem.violations[0].by_label
    wanted = [(i, p) for i in range(6) for p in range(len(by_label[int(problem.labels[i])]))]
    assert list(zip(claims.input.tolist(), claims.position.tolist(), strict=True)) == wanted
    rows = workspace_of(problem).alternatives[claims.alternative]
    for (i, p), own in zip(wanted, rows.tolist(), strict=True):
        assert set(own) == set(by_label[int(problem.labels[i])][p])


def test_claims_of_a_selection_speak_of_its_inputs_alone() -> None:
    problem = random_problem(0, Ask(per_input=True))
    work = workspace_of(problem)
    for number, chosen in enumerate(problem.selections):
        assert set(work.claims(0, number).input.tolist()) == set(chosen.tolist())


def test_short_alternatives_are_padded_with_their_own_rows() -> None:
    work = workspace_of(with_alternatives((4, 1), (2,), (0, 3, 5)))
    assert work.alternatives.tolist() == [[4, 1, 4], [2, 2, 2], [0, 3, 5]]


def test_row_values_are_those_of_the_rows() -> None:
    problem = with_alternatives((4, 1), (2,))
    problem = replace(problem, constraints=replace(problem.constraints, constants=np.arange(6.0)))
    work = Workspace(problem)
    outputs = torch.tensor([[1.0, 5.0, -2.0], [0.0, 3.0, 9.0]], dtype=torch.float64)
    values = work.row_values(outputs, torch.tensor([0, 1]))
    wanted = outputs.numpy() @ problem.constraints.coefficients.T + problem.constraints.constants
    assert values.tolist() == [[wanted[0, 4], wanted[0, 1]], [wanted[1, 2], wanted[1, 2]]]


def test_a_problem_has_one_workspace_whatever_is_asked_of_it() -> None:
    problem = random_problem(0)
    assert workspace_of(problem) is workspace_of(replace(problem, pairs=(), thresholds=(5,)))
    changes: dict[str, Any] = {
        "arithmetic": "float32",
        "labels": problem.labels.copy(),
        "inputs": problem.inputs.copy(),
        "readout": 2,
        "constraints": replace(problem.constraints),
        "domain": replace(problem.domain),
        "violations": (replace(problem.violations[0]),),
        "placements": tuple(replace(p) for p in problem.placements),
        "selections": tuple(s.copy() for s in problem.selections),
        "graph": replace(problem.graph),
    }
    for name, value in changes.items():
        assert workspace_of(replace(problem, **{name: value})) is not workspace_of(problem), name


def test_chains_are_kept() -> None:
    problem = random_problem(0)
    work = Workspace(problem)
    first = work.net(0)
    assert work.net(0) is first
    assert work.net(1) is not first


def test_a_readout_counts_from_the_end() -> None:
    problem = random_problem(0)
    assert Workspace(problem).readout == len(problem.graph.nodes) - 1
    assert Workspace(replace(problem, readout=3)).readout == 3
    assert len(Workspace(replace(problem, readout=3)).constants.values) == 4
