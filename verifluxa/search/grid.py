"""Domains of few grid points: each point is decided by evaluation with its error radius, in batches.

In `real` arithmetic what a radius leaves open is evaluated in exact rationals. The evidence is an ordinary tree of
box splits down to single points; a point that only rationals could decide is marked like an SMT leaf.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verifluxa.bounds.domain import Domains, geometry
from verifluxa.bounds.linear import Subproblems, all_layers
from verifluxa.bounds.memory import rows_that_fit
from verifluxa.evidence import (
    NOTHING_FOUND,
    BoxSplit,
    Closing,
    Counted,
    Node,
    Outcome,
    Split,
    Unrecorded,
    Witness,
    strength_of,
)
from verifluxa.question import Domain
from verifluxa.search.claims import BoundContext, decide_claims
from verifluxa.search.exact import may_violate
from verifluxa.search.replay import witness
from verifluxa.search.root import InitialBounds, drop_records
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason, Verdict

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GridSettings:
    """Limits.

    Attributes:
        points: most points of a domain that is enumerated.
        seconds: wall-clock time for one question.
    """

    points: int = 4096
    seconds: float = 30.0


def count_points(domain: Domain) -> float:
    """How many points a domain's grid has, strips and lists left aside; infinite where a coordinate is continuous."""
    width = domain.upper - domain.lower
    steps = np.divide(width, domain.step, out=np.where(width > 0, np.inf, 0.0), where=domain.step > 0)
    return float(np.prod(np.floor(steps + 0.5) + 1))


def enumerate_grid(
    work: Workspace, rooted: Sequence[InitialBounds], settings: GridSettings, deadline: float | None
) -> Iterator[Outcome]:
    """Decides questions of one placement point by point; none where the domain is too large for that.

    Args:
        rooted: the questions that the first look left open.
        settings: the limits.
        deadline: on the clock of `time.monotonic`, or None.
    """
    domain = work.problem.domain
    if domain.lists or count_points(domain) > settings.points:
        return
    ends = math.inf if deadline is None else deadline
    for one in rooted:
        yield _Walk(work, one).run(min(time.monotonic() + settings.seconds, ends))


@dataclass(frozen=True, eq=False)
class _Point:
    """A leaf of the tree and its grid point, shape (d,)."""

    node: Node
    trigger: Floats


class _Walk:
    """One question: its tree, what was found, and at how many inputs the points that could not be decided end."""

    def __init__(self, work: Workspace, rooted: InitialBounds) -> None:
        self.work, self.question = work, rooted.question
        self.claims = rooted.open_claims
        self.root = Node(dropped=rooted.dropped())
        self.whole = rooted.remaining
        self.proved = self.looked_at = 0
        self.strongest = NOTHING_FOUND
        self.witness: Witness | None = None
        self.reason: Reason | None = None

    def run(self, ends: float) -> Outcome:
        """Walks over all points, unless one refutes or the time is over."""
        started = time.monotonic()
        points = list(_points(self.work.problem.domain, self.root))
        size = max(1, 4 * rows_that_fit(max(1, len(self.claims)) * self._width, self.work.device))
        for start in range(0, len(points), size):
            if time.monotonic() > ends:
                self.reason, self.proved = Reason.TIME, self.whole
                break
            self._some(points[start : start + size], ends)
            if self.witness is not None:
                break
        return self._outcome(time.monotonic() - started)

    @property
    def _width(self) -> int:
        return max(layer.weight.shape[0] for layer in self.work.net(self.question.placement).layers)

    def _some(self, points: list[_Point], ends: float) -> None:
        """Bounds some points at once, then settles each."""
        net = self.work.net(self.question.placement)
        triggers = torch.as_tensor(np.stack([point.trigger for point in points]), device=self.work.device)
        none = triggers.new_zeros(0, triggers.shape[1])
        shape = geometry(
            Domains(triggers, triggers, none, triggers.new_zeros(len(points), 0), triggers.new_zeros(len(points), 0))
        )
        count = len(self.claims)
        of_point = torch.arange(len(points), device=self.work.device).repeat_interleave(count)
        claims = _repeated(self.claims, len(points))
        pairs = Subproblems(of_point, claims.input)
        verdicts = decide_claims(BoundContext(self.work, net, shape), all_layers(net, shape, pairs), pairs, claims, 0)
        for number, point in enumerate(points):
            if self.witness is None:
                own = slice(number * count, (number + 1) * count)
                self._settle(point, verdicts.row[own], verdicts.alive[own], ends)

    def _settle(self, point: _Point, row: Tensor, alive: Tensor, ends: float) -> None:
        self.looked_at += 1
        records = drop_records(self.claims, row)
        point.node.dropped = (point.node.dropped if point.node is self.root else []) + records
        inputs = torch.unique(self.claims.input[alive]).cpu().numpy()
        if len(inputs) >= self.question.need and self._refutes(point.trigger):
            return
        if len(inputs) >= self.question.need and self.work.problem.arithmetic == "real" and time.monotonic() < ends:
            left = sum(may_violate(self.work.problem, self.question, point.trigger, inputs))
            closing: Closing = Unrecorded()
        else:
            left, closing = len(inputs), Counted()
        self.proved = max(self.proved, left)
        if left < self.question.need:
            point.node.step = closing
        else:
            self.reason = Reason.PRECISION

    def _refutes(self, trigger: Floats) -> bool:
        found = witness(self.work, self.question, trigger)
        self.strongest = self.strongest.or_stronger(strength_of(found))
        if self.work.problem.refutes(self.question, len(found.inputs)):
            self.witness = found
        return self.witness is not None

    def _outcome(self, seconds: float) -> Outcome:
        verdict = Verdict.CERTIFIED if self.reason is None else Verdict.UNKNOWN
        verdict = Verdict.FALSIFIED if self.witness is not None else verdict
        return Outcome(
            question=self.question,
            verdict=verdict,
            reason=self.reason if verdict is Verdict.UNKNOWN else None,
            strongest=self.strongest,
            proved=self.whole if self.witness is not None else self.proved,
            witness=self.witness,
            stage="grid",
            boxes=self.looked_at,
            seconds=seconds,
            tree=self.root if verdict is Verdict.CERTIFIED else None,
        )


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


def _repeated(claims: Claims, times: int) -> Claims:
    return Claims(claims.input.repeat(times), claims.alternative.repeat(times), claims.position.repeat(times))
