"""SMT refinement: Z3 decides, in exact rationals, what bounds have left open.

On each open leaf first every claim alone, with its neurons clipped by its own rows: what cannot be met falls away.
Where one violating input refutes, that is all. Else the inputs that are left are asked together, as a
pseudo-Boolean count. `unsat` closes the leaf. `sat` gives a candidate, which is rounded to the grid and replayed;
where rounding spoils it, a trigger that violates clearly is asked for, then other grid points.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds import LayerBounds, Net, Subproblems, bound_all_layers, geometry_of
from verifluxa.errors import UnsupportedError
from verifluxa.evidence import Counted, Outcome, Unrecorded
from verifluxa.question import Domain, SlabConstraints
from verifluxa.search.bab import Budget, Incumbent
from verifluxa.search.disjuncts import BoundContext, DisjunctBounds, Verdicts, decide_disjuncts, decided
from verifluxa.search.initial_bounds import drop_records
from verifluxa.search.leaves import SplitTree, open_leaves
from verifluxa.search.splitters import Subdomain, domains_of
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.smt.decide import Sat, Solver, Unknown, Unsat
from verifluxa.smt.encode import Asked, Member, count_weights, encode
from verifluxa.smt.pieces import count_bends
from verifluxa.smt.query import Point
from verifluxa.stages import SmtStage
from verifluxa.verdict import Reason

CLIP_ROUNDS = 3
"""Rounds of self-clipping before a claim is asked alone: each takes case splits away from the solver."""
CANDIDATES = 8
"""Candidates of one query that are replayed before it is left open."""
MOST_WEIGHTS = 400_000
"""Weights that one query may hold; larger texts are not worth writing."""


def refine_with_smt(
    work: Workspace,
    trees: Sequence[SplitTree],
    settings: SmtStage,
    deadline: float | None,
    solver_of: Callable[[int], Solver] = Solver,
) -> Iterator[Outcome]:
    """Decides the open leaves of questions of one placement.

    Args:
        trees: of the questions; their leaves are closed in place, as far as this succeeds.
        settings: the limits.
        deadline: on the clock of `time.monotonic`, or None.
        solver_of: starts a solver with so many megabytes.
    """
    work = work.at(trees[0].question.placement) if trees else work
    with solver_of(settings.memory_mb) as solver:
        for tree in trees:
            started = time.monotonic()
            budget = Budget.of(settings.seconds, deadline)
            attempt = _Attempt(work, Incumbent(tree.question), solver, settings.unstable, budget)
            reason = attempt.run(tree)
            yield attempt.found.outcome(
                "smt",
                reason,
                attempt.proved(tree),
                otherwise=len(work.problem.selections[tree.question.selection]),
                boxes=budget.spent,
                seconds=time.monotonic() - started,
                tree=tree.root,
                directions=None if tree.directions is None else tree.directions.cpu().numpy(),
            )


@dataclass(frozen=True, eq=False)
class _Case:
    """A leaf with bounds: one pair per claim, in the order of the claims."""

    context: BoundContext
    domain: Domain
    claims: Claims
    layers: list[LayerBounds]
    verdicts: Verdicts

    @property
    def net(self) -> Net:
        return self.context.net


@dataclass
class _Attempt:
    """One question: its limits, what is found, what is proved."""

    work: Workspace
    found: Incumbent
    solver: Solver
    unstable: int
    budget: Budget
    counts: list[int] = field(default_factory=list)

    @property
    def threshold(self) -> int:
        """How many inputs must violate together."""
        return self.found.question.threshold

    def run(self, tree: SplitTree) -> Reason | None:
        """Decides leaf after leaf; None when all are closed, or when a witness is found."""
        reason: Reason | None = None
        try:
            for leaf in open_leaves(self.work, tree):
                if self.budget.seconds_left <= 0:
                    return reason or Reason.TIME
                self.budget.spent += 1
                open_because = self._settle(leaf, tree.slabs(self.work))
                if self.found.witness is not None:
                    return None
                reason = reason or open_because
        except UnsupportedError:
            return Reason.UNSUPPORTED
        return reason

    def proved(self, tree: SplitTree) -> int:
        """How many inputs may violate together in a tree whose leaves are all closed."""
        return max(self.counts) if tree.root.split is None and self.counts else self.threshold - 1

    def _settle(self, leaf: Subdomain, directions: Tensor) -> Reason | None:
        """Closes a leaf, by bounds alone or by the solver, or says why not."""
        case = self._case(leaf, directions)
        verdicts = case.verdicts
        leaf.node.dropped = leaf.node.dropped + drop_records(leaf.claims, verdicts.row, verdicts.planes)
        remaining = _count(case.claims.input[verdicts.alive])
        if remaining < self.threshold:
            leaf.node.step = Counted()
            self.counts.append(remaining)
            return None
        open_, reason = self._alone(case)
        if self.found.witness is not None:
            return None
        remaining = _count(case.claims.input[open_])
        if remaining >= self.threshold and self.threshold > 1:
            reason = self._together(case, open_)
            remaining = self.threshold - 1
        elif remaining < self.threshold:
            reason = None
        if reason is None and self.found.witness is None:
            leaf.node.step = Unrecorded()
            self.counts.append(remaining)
        return reason

    def _case(self, leaf: Subdomain, directions: Tensor) -> _Case:
        net = self.work.net(self.found.question.placement)
        shape = geometry_of(domains_of([leaf], directions))
        pairs = Subproblems(torch.zeros_like(leaf.claims.input), leaf.claims.input)
        layers = bound_all_layers(net, shape, pairs)
        context = BoundContext(self.work, net, shape)
        verdicts = decide_disjuncts(context, layers, pairs, leaf.claims, CLIP_ROUNDS)
        return _Case(context, plain_domain(self.work, leaf, directions), leaf.claims, layers, verdicts)

    def _alone(self, case: _Case) -> tuple[Tensor, Reason | None]:
        """Asks each claim alone: which stay open, shape (C,), and why the first of them does."""
        last = case.verdicts.last
        open_ = case.verdicts.alive.clone()
        reason: Reason | None = None if len(last.at) == int(open_.sum()) else Reason.PRECISION
        order = self._fitting(case, last.layers, len(last.at))
        if len(order) < len(last.at):
            reason = reason or Reason.STRATEGY
        for asked_before, number in enumerate(order):
            until = time.monotonic() + self.budget.seconds_left / (len(order) - asked_before + (self.threshold > 1))
            because = self._claim(case, last, number, until)
            if self.found.witness is not None:
                break
            open_[last.at[number]] = because is not None
            reason = reason or because
        return open_, reason

    def _fitting(self, case: _Case, layers: list[LayerBounds], count: int) -> list[int]:
        """Pairs that can be asked, those with the fewest case splits first."""
        if not count or count_weights(case.net) > MOST_WEIGHTS:
            return []
        bends = count_bends(case.net, layers)
        fine = bends <= self.unstable
        for layer in layers:
            fine = fine & torch.isfinite(layer.lower).all(1) & torch.isfinite(layer.upper).all(1)
        return sorted(fine.nonzero()[:, 0].tolist(), key=lambda pair: int(bends[pair]))

    def _claim(self, case: _Case, last: DisjunctBounds, number: int, until: float) -> Reason | None:
        """One claim alone: None when it cannot be met."""
        at = int(last.at[number])
        rows = self._rows(case.claims, at)
        member = Member(int(case.claims.input[at]), (rows,), number)
        asked = Asked(case.net, last.layers, case.domain, self.work.problem.constraints, (member,), clipped=True)
        if self.threshold == 1:
            return self._decide(asked, case.claims, until)
        answer = self.solver.decide(encode(asked), until - time.monotonic())
        if isinstance(answer, Sat):
            self._try(answer.point)
        return None if isinstance(answer, Unsat) else Reason.PRECISION

    def _rows(self, claims: Claims, at: int) -> tuple[int, ...]:
        label = int(self.work.problem.labels[int(claims.input[at])])
        return self.work.problem.violations[self.found.question.violation].by_label[label][int(claims.position[at])]

    def _together(self, case: _Case, open_: Tensor) -> Reason | None:
        """Asks all inputs that are left at once; those that cannot be written down count as violating."""
        members = list(self._members(case, open_))
        free = _count(case.claims.input[open_]) - len(members)
        if free >= self.threshold or len(members) * count_weights(case.net) > MOST_WEIGHTS:
            return Reason.STRATEGY
        rows, lacking = self.work.problem.constraints, self.threshold - free
        return self._decide(
            Asked(case.net, case.layers, case.domain, rows, members, lacking), case.claims, self.budget.deadline
        )

    def _members(self, case: _Case, open_: Tensor) -> Iterator[Member]:
        """Inputs with an open claim; the bounds hold wherever the trigger is, so none of them is clipped."""
        safe = case.context.bounded(case.layers, case.claims.input)
        fitting = set(self._fitting(case, case.layers, len(open_)))
        by_input: dict[int, list[int]] = {}
        for at in open_.nonzero()[:, 0].tolist():
            by_input.setdefault(int(case.claims.input[at]), []).append(at)
        for input_, places in by_input.items():
            if places[0] in fitting and bool(safe[places[0]]):
                yield Member(input_, tuple(self._rows(case.claims, at) for at in places), places[0])

    def _decide(self, asked: Asked, claims: Claims, until: float) -> Reason | None:
        """None when the query has no solution, or when a solution of it turned out to be a witness."""
        query = encode(asked)
        doubtful = False
        for attempt in range(CANDIDATES):
            answer = self.solver.decide(query, until - time.monotonic())
            if isinstance(answer, Unknown):
                return answer.reason
            if isinstance(answer, Unsat):
                return Reason.PRECISION if doubtful else None
            if self._try(answer.point) or (attempt == 0 and self._clearly(asked, until)):
                return None
            if not query.gridded:
                break
            doubtful = doubtful or self._possible(answer.point, claims) >= self.threshold
            query = query.without(answer.point)
        return Reason.PRECISION

    def _clearly(self, asked: Asked, until: float) -> bool:
        """Asks for a trigger that violates clearly, and tries it."""
        answer = self.solver.decide(encode(replace(asked, sure=True)), (until - time.monotonic()) / 2)
        return isinstance(answer, Sat) and self._try(answer.point)

    def _try(self, point: Point) -> bool:
        """Rounds a candidate to the grid and replays it."""
        rounded = torch.tensor([float(value) for value in point], dtype=torch.float64, device=self.work.device)
        return self.found.replay(self.work, self.work.on_grid(rounded).cpu().numpy())

    def _possible(self, point: Point, claims: Claims) -> int:
        """How many inputs may violate at one point in some evaluation."""
        net = self.work.net(self.found.question.placement)
        lower, upper = ([_outward(value, side) for value in point] for side in (-math.inf, math.inf))
        ends = [torch.tensor([end], dtype=torch.float64, device=self.work.device) for end in (lower, upper)]
        pairs = Subproblems(torch.zeros_like(claims.input), claims.input)
        verdicts = decided(BoundContext.of_boxes(self.work, net, *ends), claims, pairs)
        return _count(claims.input[verdicts.alive])


def plain_domain(work: Workspace, leaf: Subdomain, directions: Tensor) -> Domain:
    """A leaf's domain as plain data, without the slabs that cut nothing."""
    cut = leaf.cut
    lower, upper, low, high, along = (
        part.cpu().numpy() for part in (leaf.lower, leaf.upper, leaf.low[cut], leaf.high[cut], directions[cut])
    )
    slabs = SlabConstraints(along, low, high) if len(along) else None
    return Domain(lower, upper, np.asarray(work.problem.domain.step), slabs)


def _outward(value: Fraction, side: float) -> float:
    """The nearest float at or beyond a rational."""
    nearest = float(value)
    exact = Fraction(nearest)
    inside = exact > value if side < 0 else exact < value
    return math.nextafter(nearest, side) if inside else nearest


def _count(inputs: Tensor) -> int:
    return len(torch.unique(inputs))
