"""The stage for triggers of many values: conflicts between claims, see `search/cross.py`; one Outcome per question."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verifluxa import evidence
from verifluxa.bounds.alpha import BoundParameters, hex_of, is_supported, level_of, row_of
from verifluxa.bounds.domain import geometry
from verifluxa.bounds.linear import LayerBounds, Subproblems, all_layers, joined, pairs_at_once
from verifluxa.bounds.net import Net
from verifluxa.evidence import (
    NOTHING_FOUND,
    NeuronSplit,
    Node,
    Outcome,
    Steered,
    Strongest,
    Witness,
    strength_of,
)
from verifluxa.question import Question
from verifluxa.search.attack import count_violations
from verifluxa.search.choices import choose
from verifluxa.search.claims import BoundContext, row_bounds
from verifluxa.search.cross import NODES, Conflict, CrossSettings, RelationalSearch
from verifluxa.search.cuts import Case
from verifluxa.search.ends import tightened
from verifluxa.search.replay import witness
from verifluxa.search.root import InitialBounds, whole_domain
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason, Verdict

GLANCE = 32
"""Cases of one input that cost no more than a hard attack on it."""


def begin(
    work: Workspace, rooted: Sequence[InitialBounds], settings: CrossSettings, deadline: float | None
) -> dict[Question, Search]:
    """Searches for questions of one placement where the trigger has many values, which may be gone on with bit by bit.

    Args:
        rooted: the questions that the first look left open.
        settings: the limits.
        deadline: on the clock of `time.monotonic`, or None.
    """
    if not rooted:
        return {}
    work = work.at(rooted[0].question.placement)
    net = work.net(rooted[0].question.placement)
    wanted = [one for one in rooted if len(work.lower) > _few(one, settings)]
    if not wanted or not net.hidden or not is_supported(net):
        return {}
    scene = BoundContext(work, net, geometry(whole_domain(work)))
    return {one.question: Search(scene, one, settings, math.inf if deadline is None else deadline) for one in wanted}


def cross(
    work: Workspace,
    rooted: Sequence[InitialBounds],
    settings: CrossSettings,
    deadline: float | None,
    begun: Mapping[Question, Search] | None = None,
) -> Iterator[Outcome]:
    """Tries questions of one placement, where the trigger has many values; none where it has few.

    Args:
        rooted: the questions that the first look left open.
        settings: the limits.
        deadline: on the clock of `time.monotonic`, or None.
        begun: searches to go on with.
    """
    begun = begun or {}
    fresh = begin(work, [one for one in rooted if one.question not in begun], settings, deadline)
    both = {**begun, **fresh}
    return (both[one.question].run(settings.cases) for one in rooted if one.question in both)


def _few(rooted: InitialBounds, settings: CrossSettings) -> int:
    """How many values of a trigger are left to boxes."""
    return settings.alone if rooted.question.need == 1 else settings.values


@dataclass(frozen=True, eq=False)
class _Tried:
    """What was found at points: the strongest replayed trigger, and one that refutes."""

    strongest: Strongest
    witness: Witness | None


@dataclass
class Search:
    """The search for conflicts of one question, which may be gone on with.

    Attributes:
        scene: with the whole domain.
        rooted: the question as the first look left it.
        settings: the limits.
        deadline: on the clock of `time.monotonic`.
        outcome: what the last run came to.
        crossing, unsafe: what is known so far, see `crossing_of`.
        before: cases of a crossing that was given up.
    """

    scene: BoundContext
    rooted: InitialBounds
    settings: CrossSettings
    deadline: float
    outcome: Outcome | None = None
    crossing: RelationalSearch | None = None
    unsafe: int = 0
    before: int = 0

    def _begun(self) -> RelationalSearch:
        """A crossing to go on with: where a few cases of one input were not enough, one with tighter ends."""
        old = self.crossing
        tight = old is not None and old.bounded > 0 and len(old.options) == 1 and not (old.slopes or old.points)
        if old is None or tight:
            self.before += 0 if old is None else old.bounded
            self.crossing, self.unsafe = crossing_of(self.scene, self.rooted, self.settings, self.deadline, tight)
        assert self.crossing is not None
        return self.crossing

    @property
    def corner(self) -> Tensor:
        """Where the plane that is in the way of the most promising claim is largest, shape (d,)."""
        crossing, work = self._begun(), self.scene.work
        if not len(crossing.claims):
            return (work.lower + work.upper) / 2
        planes = crossing.planes.row(crossing.planes.tightest())
        slope = planes.slope[crossing.planes.upper.amin(1).argmax()]
        return torch.where(slope > 0, work.upper, work.lower)

    def run(self, cases: int) -> Outcome:
        """Goes on until so many cases have been bounded in all, or the question is decided."""
        started = time.monotonic()
        crossing = self._begun()
        if not crossing.bounded:
            crossing.ends = min(started + self.settings.seconds, self.deadline)
        crossing.most_cases = min(cases, self.settings.cases)
        need = self.rooted.question.need - self.unsafe
        fewer = need > 0 and crossing.closes(need)
        most = crossing.most()
        closed = fewer and most < need
        tried = _Tried(NOTHING_FOUND, None) if closed else _tried(self.scene, self.rooted, crossing.points)
        verdict = Verdict.CERTIFIED if closed else Verdict.UNKNOWN if tried.witness is None else Verdict.FALSIFIED
        self.outcome = Outcome(
            question=self.rooted.question,
            verdict=verdict,
            reason=_reason(crossing) if verdict is Verdict.UNKNOWN else None,
            strongest=tried.strongest,
            proved=most + self.unsafe,
            witness=tried.witness,
            stage="cross",
            boxes=self.before + crossing.bounded,
            seconds=time.monotonic() - started + (self.outcome.seconds if self.outcome else 0.0),
            tree=_leaf(self.scene.net, self.rooted, crossing, most + 1) if closed else None,
        )
        return self.outcome


def _reason(crossing: RelationalSearch) -> Reason:
    if time.monotonic() > crossing.ends:
        return Reason.TIME
    return Reason.NODES if crossing.is_over else Reason.STRATEGY


def crossing_of(
    scene: BoundContext, rooted: InitialBounds, settings: CrossSettings, ends: float, tight: bool = False
) -> tuple[RelationalSearch, int]:
    """The open claims with their bounds, and how many inputs must stay open because a sum may overflow.

    Args:
        tight: whether ends of neurons have slopes of their own; then all claims are of one input.
    """
    claims = rooted.open_claims
    inputs, of_input = torch.unique(claims.input, return_inverse=True)
    slopes: tuple[evidence.Ends, ...] = ()
    if tight:
        layers, slopes = tightened(scene.net, scene.geometry, Subproblems(torch.zeros_like(inputs), inputs))
    else:
        some = inputs.scatter(0, of_input, _count(claims))
        layers = rooted.bounds(some) or _layers(scene, inputs)
    safe = scene.bounded(layers, inputs)
    kept = safe[of_input].nonzero()[:, 0]
    claims, of_input = claims.take(kept), of_input[kept]
    rows = scene.work.alternatives[claims.alternative]
    pairs = Subproblems(torch.zeros_like(claims.input), claims.input)
    planes = row_bounds(scene, [bounds.take(of_input) for bounds in layers], (_count(claims), pairs, rows))
    return RelationalSearch(scene, layers, of_input, claims, planes, settings, ends, slopes), int((~safe).sum())


def _count(claims: Claims) -> Tensor:
    return torch.arange(len(claims), device=claims.input.device)


def _layers(scene: BoundContext, inputs: Tensor) -> list[LayerBounds]:
    """Bounds of all layers of some inputs, without the planes of neurons: with many values these are large."""
    parts = []
    for some in torch.split(inputs, pairs_at_once(scene.net, scene.work.device)):
        layers = all_layers(scene.net, scene.geometry, Subproblems(torch.zeros_like(some), some))
        parts.append([replace(bounds) for bounds in layers])
    return [joined(column) for column in zip(*parts, strict=True)]


def _tried(scene: BoundContext, rooted: InitialBounds, points: Sequence[Tensor]) -> _Tried:
    """Replays the best of the points that the search has seen."""
    if not points:
        return _Tried(NOTHING_FOUND, None)
    triggers = scene.work.on_grid(torch.stack(list(points)))
    counts = count_violations(scene.work, scene.net, rooted.open_claims, triggers)
    found = witness(scene.work, rooted.question, triggers[int(counts.argmax())].cpu().numpy())
    refutes = scene.work.problem.refutes(rooted.question, len(found.inputs))
    return _Tried(strength_of(found), found if refutes else None)


def _leaf(net: Net, rooted: InitialBounds, crossing: RelationalSearch, need: int) -> Node:
    """The evidence: as few conflicts as still show what is proved, the ones with most cases left out first."""
    kept = sorted(crossing.conflicts, key=lambda conflict: -_size(conflict.case))
    for conflict in list(kept):
        fewer = [other for other in kept if other is not conflict]
        found = choose(crossing.options, [other.claims for other in fewer], need, NODES)
        if found.choice is None and found.complete:
            kept = fewer
    conflicts = tuple(_stored(net, crossing, conflict) for conflict in kept)
    return Node(rooted.dropped(), evidence.Conflicts(conflicts, crossing.slopes) if conflicts else evidence.Counted())


def _size(case: Case) -> int:
    return 1 + sum(map(_size, case.children))


def _stored(net: Net, crossing: RelationalSearch, conflict: Conflict) -> evidence.Conflict:
    claims = crossing.claims
    named = tuple((int(claims.input[claim]), int(claims.position[claim])) for claim in sorted(conflict.claims))
    return evidence.Conflict(named, _case(net, claims, conflict, conflict.case))


def _case(net: Net, claims: Claims, conflict: Conflict, case: Case) -> evidence.Case:
    planes = () if case.planes is None else tuple(_planes(net, claims, conflict, case.planes))
    if case.split is None:
        return evidence.Case(planes)
    split = NeuronSplit(case.split.input, case.split.layer, case.split.neuron)
    return evidence.Case(planes, split, tuple(_case(net, claims, conflict, child) for child in case.children))


def _planes(net: Net, claims: Claims, conflict: Conflict, chosen: BoundParameters) -> Iterator[Steered]:
    # Only proportions count: the largest weight is 1.
    weights = (chosen.log_weights[:, 0] - chosen.log_weights.max()).exp().tolist()
    for at, (claim, row) in enumerate(zip(conflict.claim.tolist(), conflict.row.tolist(), strict=True)):
        if not weights[at]:
            continue
        # Lower slopes are chosen of relu alone here; other functions keep the lines of the rule.
        layers = zip(net.hidden, chosen.alphas, strict=True)
        slopes = tuple("" if row_of(layer) else hex_of(level_of(part[at])) for layer, part in layers)
        betas = tuple(
            (layer, neuron, float(part[at, neuron]))
            for layer, part in enumerate(chosen.betas)
            for neuron in part[at].nonzero()[:, 0].tolist()
        )
        yield Steered(int(claims.input[claim]), int(claims.position[claim]), row, weights[at], slopes, betas)
