"""Domains of few grid points: each point is decided by evaluation with its error radius, in batches.

In `real` arithmetic what a radius leaves open is evaluated in exact rationals. The evidence is an ordinary tree of
box splits down to single points; a point that only rationals could decide is marked like an SMT leaf.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds import Subproblems, rows_that_fit
from verifluxa.evidence import BoxSplit, Closing, Counted, Node, Outcome, Split, Unrecorded
from verifluxa.question import Domain, Floats
from verifluxa.search.bab import Batch, Budget, Incumbent, Search, in_turn, run
from verifluxa.search.disjuncts import BoundContext, decided
from verifluxa.search.exact import may_violate
from verifluxa.search.initial_bounds import InitialBounds, drop_records
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.stages import GridStage
from verifluxa.verdict import Reason


def count_points(domain: Domain) -> float:
    """How many points a domain's grid has, slabs and lists left aside; infinite where a coordinate is continuous."""
    width = domain.upper - domain.lower
    steps = np.divide(width, domain.step, out=np.where(width > 0, np.inf, 0.0), where=domain.step > 0)
    return float(np.prod(np.floor(steps + 0.5) + 1))


@dataclass(frozen=True, eq=False)
class _Point:
    """A leaf of the tree and its grid point, shape (d,)."""

    node: Node
    trigger: Floats


@dataclass(kw_only=True)
class _GridSearch(Search[_Point]):
    """One question: its open claims, and at most how many inputs the points end that could not be decided.

    Attributes:
        work: of the placement.
        found: the best trigger so far.
        claims: those that are open on the whole domain.
        root: of the tree.
        proved: most inputs that may violate at a point so far.
        seen: points so far.
        started: on the clock of `time.monotonic`.
    """

    work: Workspace
    found: Incumbent
    claims: Claims
    root: Node
    proved: int = 0
    seen: int = 0
    started: float = field(default_factory=time.monotonic)


def enumerate_grid(
    work: Workspace, rooted: Sequence[InitialBounds], settings: GridStage, deadline: float | None
) -> Iterator[Outcome]:
    """Decides questions of one placement point by point; none where the domain is too large for that.

    Args:
        work: of the placement.
        rooted: the questions that the initial bounds left open.
        settings: the limits.
        deadline: on the clock of `time.monotonic`, or None.
    """
    domain = work.problem.domain
    if domain.lists or count_points(domain) > settings.points:
        return
    for one in rooted:
        root, claims = Node(dropped=one.dropped()), one.open_disjuncts
        points = list(_points(domain, root))[::-1]
        count = len(points)
        budget = Budget.of(settings.seconds, deadline)
        search = _GridSearch(points, budget, work=work, found=Incumbent(one.question), claims=claims, root=root)
        widest = max(layer.weight.shape[0] for layer in work.net(one.question.placement).layers)
        room = max(1, 4 * rows_that_fit(max(1, len(claims)) * widest, work.device))
        run([search], partial(in_turn, room=room), _bound, _close)
        complete = search.seen == count and search.found.witness is None
        yield search.found.outcome(
            "grid",
            Reason.TIME if search.cut_short else search.reason,
            search.proved if complete else one.remaining,
            boxes=search.seen,
            seconds=time.monotonic() - search.started,
            tree=root,
        )


class _Bound(NamedTuple):
    """Of a point: the row that fell for each claim, and whether it is alive, shape (C,) each."""

    row: Tensor
    alive: Tensor


def _bound(batch: Batch[_GridSearch, _Point]) -> list[_Bound]:
    search = batch[0][0]
    work, count = search.work, len(search.claims)
    triggers = torch.as_tensor(np.stack([point.trigger for _, point in batch]), device=work.device)
    context = BoundContext.of_boxes(work, work.net(search.found.question.placement), triggers, triggers)
    claims = search.claims.take(torch.arange(count, device=work.device).repeat(len(batch)))
    of_point = torch.arange(len(batch), device=work.device).repeat_interleave(count)
    verdicts = decided(context, claims, Subproblems(of_point, claims.input))
    row, alive = (part.view(len(batch), count) for part in (verdicts.row, verdicts.alive))
    return [_Bound(*both) for both in zip(row, alive, strict=True)]


def _close(search: _GridSearch, point: _Point, found: _Bound) -> list[_Point]:
    """Closes a point, or leaves it open for good; nothing comes of it but, perhaps, a trigger that refutes."""
    problem, question = search.work.problem, search.found.question
    search.seen += 1
    records = drop_records(search.claims, found.row)
    point.node.dropped = (point.node.dropped if point.node is search.root else []) + records
    inputs = torch.unique(search.claims.input[found.alive]).cpu().numpy()
    closing: Closing = Counted()
    left = len(inputs)
    if left >= question.threshold and search.found.replay(search.work, point.trigger):
        search.stop()
        return []
    if left >= question.threshold and problem.arithmetic == "real" and search.budget.seconds_left > 0:
        left = sum(may_violate(problem, question, point.trigger, inputs))
        closing = Unrecorded()
    search.proved = max(search.proved, left)
    if left < question.threshold:
        point.node.step = closing
    else:
        search.reason = Reason.PRECISION
    return []


def _points(domain: Domain, root: Node) -> Iterator[_Point]:
    """Splits a tree down to single points, from left to right."""
    waiting = [(root, domain.lower, domain.upper)]
    while waiting:
        node, lower, upper = waiting.pop()
        steps = np.divide(upper - lower, domain.step, out=np.zeros(len(lower)), where=domain.step > 0)
        at = int(steps.argmax())
        count = round(float(steps[at]))
        if count == 0:
            yield _Point(node, lower)
            continue
        low_end = float(lower[at] + (count - 1) // 2 * domain.step[at])
        high_start = float(lower[at] + ((count - 1) // 2 + 1) * domain.step[at])
        children = [Node(), Node()]
        node.step = Split(BoxSplit(at, low_end, high_start), children)
        below, above = upper.copy(), lower.copy()
        below[at], above[at] = low_end, high_start
        waiting += [(children[1], above, upper), (children[0], lower, below)]
