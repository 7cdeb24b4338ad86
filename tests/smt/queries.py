"""Queries about small problems, answered by the solver in this process."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import torch

from verifluxa.bounds.domain import geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.question import Problem, Question
from verifluxa.search.initial_bounds import whole_domain
from verifluxa.search.workspace import workspace_of
from verifluxa.smt.encode import Asked, Member, encode
from verifluxa.smt.query import Query
from verifluxa.smt.worker import answer

PATIENCE = 60_000
"""Milliseconds: no test is about time."""

HARD = f"""
(declare-const x (_ BitVec 1500))
(declare-const y (_ BitVec 1500))
(assert (= (bvmul x y) (_ bv{3**700} 1500)))
(assert (bvugt x (_ bv7 1500)))
"""
"""Takes all the time and memory that it gets."""


def asked(problem: Problem, question: Question, sure: bool = False) -> Asked:
    """A question on its whole domain, all claims open, with CROWN bounds."""
    work = workspace_of(problem)
    inputs = torch.unique(work.claims(question.violation, question.selection).input)
    net = work.net(question.placement)
    bounds = bound_all_layers(net, geometry_of(whole_domain(work)), Subproblems(torch.zeros_like(inputs), inputs))
    by_label = problem.violations[question.violation].by_label
    members = [Member(i, by_label[int(problem.labels[i])], pair) for pair, i in enumerate(inputs.tolist())]
    return Asked(net, bounds, problem.domain, problem.constraints, members, question.threshold, sure)


def solve(query: Query, more: str = "") -> tuple[str, tuple[Fraction, ...] | None]:
    """`sat` with the trigger, or `unsat`."""
    reply = answer({"text": query.text + more, "names": query.names, "milliseconds": PATIENCE})
    assert reply["answer"] in ("sat", "unsat"), reply
    if reply["answer"] == "unsat":
        return "unsat", None
    return "sat", query.point({name: Fraction(value) for name, value in reply["values"].items()})


def answers(problem: Problem, question: Question, sure: bool = False) -> str:
    """Whether a question's query has a solution."""
    return solve(encode(asked(problem, question, sure)))[0]


def pinned(query: Query, point: tuple[Fraction, ...]) -> str:
    """Assertions that keep the trigger at one point."""
    lines = []
    for axis, value in zip(query.axes, point, strict=True):
        if axis.fixed:
            continue
        place = (value - axis.lower) / axis.step if axis.step else value
        text = str(int(place)) if axis.step else f"(/ {abs(place).numerator}.0 {place.denominator}.0)"
        lines.append(f"(assert (= {axis.name} {f'(- {text})' if value < 0 and not axis.step else text}))")
    return "\n".join(lines)


def with_need(question: Question, need: int) -> Question:
    """The question with another need."""
    return question._replace(threshold=need)


def in_float32(problem: Problem) -> Problem:
    """The problem in the arithmetic float32."""
    return replace(problem, arithmetic="float32", digest=problem.digest + "32")
