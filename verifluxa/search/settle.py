"""One domain of a search after it was bounded: closed, refuted or split.

A domain is closed when fewer than `need` inputs can still violate somewhere in it. Shrinking the shared box by one
input's half-space would be unsound; clipping (bounds/clip.py) speaks of one claim and only counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress

import torch
from torch import Tensor

from verifluxa.evidence import NOTHING_FOUND, Counted, Joint, JointClosing, Node, Split, Strongest, Witness, strength_of
from verifluxa.question import Question
from verifluxa.search.batch import BranchingScores
from verifluxa.search.cases import input_cases
from verifluxa.search.claims import BoundContext, ClaimBounds, Verdicts
from verifluxa.search.climb import LocalOptimum, lacking, local_search
from verifluxa.search.halving import Subdomain, split_domain, split_neuron
from verifluxa.search.inherit import can_inherit, clips_of, narrower, pass_down
from verifluxa.search.mutual import MutualClipping, SharedConstraint
from verifluxa.search.replay import witness
from verifluxa.search.root import drop_records
from verifluxa.search.ties import is_undecided
from verifluxa.search.together import JointStep, joint_step
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason

CLIMB_FIRST, CLIMB_EVERY, CLIMB_STEPS = 48, 256, 160
"""Domains before the first local search; between two of them as many as there were before, but no more than this."""
CLIMB_SHARE, CLIMB_POINTS = 8, 32
"""A local search has a start for so many domains since the last one, and no more than this."""
AFTER_TIE = 256
"""Domains, and with them a local search, that still look for a trigger where nothing can be certified any more."""


@dataclass(frozen=True)
class BranchSettings:
    """Limits and choices of the search.

    Attributes:
        boxes: domains that may be bounded per question.
        seconds: wall-clock limit per question, or None.
        clip_rounds: rounds of self-clipping, 0: none.
        strips: shared directions, 0: pixel splits alone.
        joint: whether the joint step is taken.
        gate: branch on inputs (0/1 program) when the linear program is within this of `need`.
        batch: claims that one batch aims at.
        alpha: gradient steps on the slopes of what is still open where one violating input refutes; 0: none.
        neurons: where one input is left that refutes alone, and the trigger has more values than this, neurons are
            split and not the box; 0: never.
        inherit: the halves of a domain start from the clipped ends of its neurons.
    """

    boxes: int = 20000
    seconds: float | None = None
    clip_rounds: int = 2
    strips: int = 3
    joint: bool = True
    gate: float = 3.0
    batch: int = 256
    alpha: int = 0
    neurons: int = 0
    inherit: bool = False


@dataclass
class Search:
    """One question's search: its stack, what was found, what was proved.

    `claims` are those that may be met somewhere, as far as was known when it began. It ends with `last` domains.
    """

    question: Question
    claims: Claims
    root: Node
    stack: list[Subdomain]
    started: float
    deadline: float
    limit: int
    proved: int = 0
    strongest: Strongest = NOTHING_FOUND
    boxes: int = 0
    last: float = math.inf
    next_climb: int = CLIMB_FIRST
    near: list[LocalOptimum] = field(default_factory=list)
    witness: Witness | None = None
    unknown_reason: Reason | None = None
    cut_short: bool = False
    finished: bool = False

    def stop(self) -> None:
        """Nothing more to do for this question."""
        self.finished = True
        self.stack.clear()


@dataclass(frozen=True, eq=False)
class Bounded:
    """A domain after bounding: its scene, verdicts of its own claims, and its number in the batch.

    `branching` and `mutual` are of the whole batch: where to go on, and what its claims say of each other.
    """

    scene: BoundContext
    verdicts: Verdicts
    branching: BranchingScores
    number: int
    settings: BranchSettings
    mutual: MutualClipping | None

    @cached_property
    def last(self) -> ClaimBounds:
        """The open claims with their bounds, clipped by each other where all must be met."""
        own, mutual = self.verdicts.last, self.mutual
        return own if mutual is None or not self.cuts else replace(mutual.of(self.number), at=own.at)

    @property
    def cuts(self) -> tuple[SharedConstraint, ...]:
        """The planes that clip all claims, where all must be met."""
        return () if self.mutual is None else self.mutual.cuts.get(self.number, ())


def prune_or_split(search: Search, domain: Subdomain, bounded: Bounded) -> None:
    """Closes, refutes or splits one domain."""
    if search.finished:
        return
    verdicts, work = bounded.verdicts, bounded.scene.work
    before = domain.node.dropped
    domain.node.dropped = before + drop_records(domain.claims, verdicts.row, verdicts.planes, verdicts.closings)
    alive = domain.claims.take(verdicts.alive.nonzero()[:, 0])
    remaining = len(torch.unique(alive.input))
    if remaining < search.question.need or not domain.assumed_violating <= set(alive.input.tolist()):
        domain.node.step = Counted()
        search.proved = max(search.proved, min(remaining, search.question.need - 1))
        return
    corner = bounded.branching.corners[bounded.number]
    points = [work.on_grid((domain.lower + domain.upper) / 2), work.on_grid(corner)]
    together = _together(search, domain, bounded)
    if together is not None:
        if together.closing is not None:
            _close_jointly(search, domain, bounded, together.closing, together)
            return
        domain.last_lp_value, domain.last_lp_inputs = together.value, remaining
        points += [work.on_grid(point) for point in together.points]
    if _refutes(bounded.scene, search, alive, torch.stack(points)):
        search.stop()
        return
    domain.chosen = None if verdicts.chosen is None else verdicts.chosen.take(verdicts.alive)
    parts = _split(search, domain, bounded, alive)
    if not parts:
        search.unknown_reason = Reason.PRECISION
        domain.node.dropped = before  # who goes on here starts anew, and these may rest on what came from above
    search.stack += parts


def _split(search: Search, domain: Subdomain, bounded: Bounded, alive: Claims) -> list[Subdomain]:
    """Cases of inputs, cases of a neuron, or halves, with what goes down to them; none of a single point."""
    verdicts, scene, need = bounded.verdicts, bounded.scene, search.question.need
    kept = bounded.settings.inherit and can_inherit(scene.net, verdicts)
    cases = input_cases(scene, domain, bounded.last, need) if kept and bounded.settings.joint and need > 1 else None
    wanted = need == 1 and len(torch.unique(alive.input)) == 1 and 0 < bounded.settings.neurons < len(domain.lower)
    neurons = split_neuron(scene, domain, alive, verdicts.last) if wanted else None
    parts = cases or neurons or split_domain(scene.work, domain, alive, bounded.branching.scores(bounded.number)) or []
    own = narrower(domain, bounded.last, search.boxes) if kept and cases is None and not bounded.cuts else None
    if cases is None:
        pass_down(parts, bounded.last if kept else None, own)
    if kept and isinstance(domain.node.step, Split):
        clips = clips_of(domain.claims, verdicts)
        domain.node.step.clips = clips if own is None else tuple(compress(clips, own.tolist()))
        domain.node.step.shared = bounded.cuts
    if cases or domain.node.shared:  # what falls below here may not fall elsewhere
        search.proved = max(search.proved, need - 1)
    return parts


def _together(search: Search, domain: Subdomain, bounded: Bounded) -> JointStep | None:
    """The joint step, where it is wanted, promising, and every open claim has bounds."""
    need, last = search.question.need, bounded.verdicts.last
    # Each input that left since the last linear program has lowered its value by at most 1.
    hopeless = (
        domain.last_lp_value - (domain.last_lp_inputs - len(torch.unique(bounded.verdicts.last.pairs.input)))
        > 1.5 * need + 5
    )
    if not bounded.settings.joint or need == 1 or hopeless or len(last.at) != int(bounded.verdicts.alive.sum()):
        return None
    return joint_step(bounded.scene, bounded.last, domain.claims.take(last.at), need, bounded.settings.gate)


def _close_jointly(search: Search, domain: Subdomain, bounded: Bounded, closing: Joint, together: JointStep) -> None:
    """Keeps what a joint closing rests on: the planes' clipping rows and the point where tangents touch."""
    point = tuple(together.tangent_at.tolist())
    domain.node.step = JointClosing(closing, clips_of(domain.claims, bounded.verdicts), point, bounded.cuts)
    search.proved = max(search.proved, search.question.need - 1)


def _refutes(scene: BoundContext, search: Search, alive: Claims, points: Tensor) -> bool:
    """Tries grid points as triggers; a hit is replayed on the unsimplified network."""
    need, net = search.question.need, scene.net
    margins = lacking(scene.work, net, alive, need, points)
    best = LocalOptimum(points[int(margins.argmax())], float(margins.max()))
    search.near.append(best)
    if best.margin <= 0 and search.boxes >= search.next_climb:
        best = _climbed(scene.work, search)
        if best.margin <= 0 and is_undecided(scene.work, net, search.claims, need, best.trigger):
            search.unknown_reason, search.last = Reason.PRECISION, min(search.last, search.boxes + AFTER_TIE)
    if best.margin <= 0:
        return False
    found = witness(scene.work, search.question, best.trigger.cpu().numpy())
    search.strongest = search.strongest.or_stronger(strength_of(found))
    if not scene.work.problem.refutes(search.question, len(found.inputs)):
        if scene.work.problem.doubt.inputs:  # more violate than is provable, if those count that may not: a tie as well
            search.unknown_reason, search.last = Reason.PRECISION, min(search.last, search.boxes + AFTER_TIE)
        return False
    search.witness = found
    return True


def _climbed(work: Workspace, search: Search) -> LocalOptimum:
    """A local search from points met since the last one: half of them those that came nearest, half from anywhere."""
    search.next_climb = search.boxes + min(search.boxes, CLIMB_EVERY)
    near = sorted(search.near, key=lambda point: point.margin, reverse=True)
    search.near.clear()
    half = max(1, min(len(near) // CLIMB_SHARE, CLIMB_POINTS) // 2)
    chosen = [*near[:half], *near[half :: max(1, len(near) // half)]]
    return local_search(
        work, search.question, torch.stack([point.trigger for point in chosen]), CLIMB_STEPS, search.claims
    )
