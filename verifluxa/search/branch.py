"""Branch and bound over trigger domains: boxes cut by slabs, neurons and cases, the shrinking list of claims, counting.

Depth first within a question; one batch takes open subdomains of several questions of a placement. A subdomain is
closed when fewer inputs than the threshold can still violate somewhere in it. Shrinking the shared box by one input's
half-space would be unsound; clipping (bounds/clip.py) speaks of one claim and only counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import compress

import torch
from torch import Tensor

from verifluxa.bounds import AlphaSettings, Domains, Geometry, Interval, LayerBounds, Net, Subproblems, geometry_of
from verifluxa.evidence import OPEN, Counted, JointClosing, Node, Outcome, Split
from verifluxa.search.attack import LocalOptimum, local_search, missing_margin
from verifluxa.search.bab import Batch, Budget, Incumbent, Search, branch_and_bound, in_turn
from verifluxa.search.disjuncts import BoundContext, DisjunctBounds, Verdicts, decided, joined_layer
from verifluxa.search.inherit import can_inherit, clips_of, inherited_bounds, leave, narrower, pass_down, trim
from verifluxa.search.initial_bounds import InitialBounds, drop_records, improve, started, whole_domain
from verifluxa.search.joint import JointStep, MutualClipping, SharedConstraint, clip_mutually, joint_step
from verifluxa.search.leaves import SplitTree, open_leaves
from verifluxa.search.splitters import (
    Scores,
    Subdomain,
    domains_of,
    input_cases,
    signs_of,
    slab_directions,
    split_domain,
    split_neuron,
    whole,
)
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.stages import BranchStage
from verifluxa.verdict import Reason

BATCH = 256
"""Claims that one batch aims at."""
LOCAL_FIRST, LOCAL_EVERY, LOCAL_STEPS = 48, 256, 160
"""Domains before the first local search; between two of them as many as there were before, but no more than this."""
LOCAL_SHARE, LOCAL_POINTS = 8, 32
"""A local search has a start for so many domains since the last one, and no more than this."""
AFTER_TIE = 256
"""Domains, and with them a local search, that still look for a trigger where nothing can be certified any more."""


@dataclass(kw_only=True)
class DomainSearch(Search[Subdomain]):
    """One question's search.

    Attributes:
        found: the best trigger so far.
        claims: that may be met somewhere, as far as was known when it began.
        root: of its tree.
        limit: most inputs that may violate, as far as was known when it began.
        proved: most inputs that were left in a leaf that it closed.
        last: it ends with so many domains, since it can certify no more.
        next_local_search: domains before the next local search.
        near: points met since the last one.
        started: on the clock of `time.monotonic`.
    """

    found: Incumbent
    claims: Claims
    root: Node
    limit: int
    proved: int = 0
    last: float = math.inf
    next_local_search: int = LOCAL_FIRST
    near: list[LocalOptimum] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def threshold(self) -> int:
        """How many inputs must violate together."""
        return self.found.question.threshold

    def check(self) -> None:
        """Stops a search whose budget is spent, or that has nothing to certify any more."""
        super().check()
        if self.budget.spent >= self.last:
            self.stop()

    def give_up_proving(self) -> None:
        """A trigger is undecided, so that only a falsification is left to find: for a while."""
        self.reason, self.last = Reason.PRECISION, min(self.last, self.budget.spent + AFTER_TIE)

    def explored(self, directions: Tensor) -> BranchResult:
        """What it came to."""
        certified = self.found.witness is None and self.reason is None
        (trim if certified else leave)(self.root)
        outcome = self.found.outcome(
            "branch",
            self.reason,
            self.proved,
            otherwise=self.limit,
            boxes=self.budget.spent,
            seconds=time.monotonic() - self.started,
            tree=self.root,
            directions=directions.cpu().numpy(),
        )
        return BranchResult(outcome, self.root, directions, self.cut_short, self.proved)


@dataclass(frozen=True, eq=False)
class BranchResult:
    """What a search found, and its whole tree with the slab directions, even where leaves are still open.

    Attributes:
        cut_short: whether a budget ended it while there were leaves that it had not looked at.
        closed: most inputs that were left in a leaf that it closed.
    """

    outcome: Outcome
    root: Node
    directions: Tensor
    cut_short: bool = False
    closed: int = 0


def branch_on_boxes(
    work: Workspace,
    rooted: Sequence[InitialBounds],
    settings: BranchStage,
    deadline: float | None,
    batch: int = BATCH,
    steps: Steps | None = None,
) -> Iterator[list[BranchResult]]:
    """Searches questions of one placement until each is decided or its budget is spent.

    Args:
        work: of the problem.
        rooted: the questions that the initial bounds left open.
        settings: the limits, of each question.
        deadline: on the clock of `time.monotonic`, or None.
        batch: claims that one batch aims at.
        steps: of the search.

    Yields:
        after each batch, the searches that it ended.
    """
    work = work.at(rooted[0].question.placement)
    net = work.net(rooted[0].question.placement)
    directions = torch.cat([whole_domain(work).directions, slab_directions(net, settings.slabs)])
    steps = steps or Steps()
    searches = [_begun(work, one, directions, _budget(settings, deadline, steps)) for one in rooted]
    yield from _explored(work, net, directions, searches, settings, batch, steps)


def branch_further(
    work: Workspace,
    trees: Sequence[SplitTree],
    settings: BranchStage,
    deadline: float | None,
    batch: int = BATCH,
    steps: Steps | None = None,
) -> Iterator[list[BranchResult]]:
    """Goes on with the open leaves of trees of one placement, which another search has left. Changes the trees."""
    placement = trees[0].question.placement
    work = work.at(placement)
    steps = steps or Steps()
    searches = [_taken_up(work, tree, _budget(settings, deadline, steps)) for tree in trees]
    yield from _explored(work, work.net(placement), trees[0].slabs(work), searches, settings, batch, steps)


def _budget(settings: BranchStage, deadline: float | None, steps: Steps) -> Budget:
    return Budget.of(settings.seconds, deadline, settings.boxes, steps.clock)


def _explored(
    work: Workspace,
    net: Net,
    directions: Tensor,
    searches: list[DomainSearch],
    settings: BranchStage,
    size: int,
    steps: Steps,
) -> Iterator[list[BranchResult]]:
    def pop(open_: Sequence[DomainSearch]) -> Batch[DomainSearch, Subdomain]:
        return in_turn(open_, size, lambda domain: len(domain.claims))

    bound = partial(_bound, work, net, directions, settings, steps)
    for ended in branch_and_bound(searches, pop, bound, prune_or_split):
        yield [search.explored(directions) for search in ended]


def _begun(work: Workspace, rooted: InitialBounds, directions: Tensor, budget: Budget) -> DomainSearch:
    claims = rooted.open_disjuncts
    root = whole(work, Node(dropped=rooted.dropped()), claims, directions)
    root.bounds = rooted.bounds(torch.arange(len(claims), device=work.device))
    found = Incumbent(rooted.question)
    return DomainSearch([root], budget, found=found, claims=claims, root=root.node, limit=rooted.remaining)


def _taken_up(work: Workspace, tree: SplitTree, budget: Budget) -> DomainSearch:
    leaves = list(open_leaves(work, tree))
    limit = max((len(torch.unique(leaf.claims.input)) for leaf in leaves), default=0)
    claims = work.claims(tree.question.violation, tree.question.selection)
    found = Incumbent(tree.question)
    return DomainSearch(leaves[::-1], budget, found=found, claims=claims, root=tree.root, limit=limit)


# Bounding a batch.


@dataclass(frozen=True, eq=False)
class Bounded:
    """A subdomain after bounding: its verdicts, and what is kept of the batch.

    Attributes:
        context: the batch.
        settings, steps: of the search.
        number: of the subdomain in the batch.
        verdicts: on its own claims.
        scores: where to go on in the batch.
        mutual: what its claims say of each other, or None.
    """

    context: BoundContext
    settings: BranchStage
    steps: Steps
    number: int
    verdicts: Verdicts
    scores: BranchingScores
    mutual: MutualClipping | None

    @cached_property
    def last(self) -> DisjunctBounds:
        """The open claims with their bounds, clipped by each other where all must be met."""
        own, mutual = self.verdicts.last, self.mutual
        return own if mutual is None or not self.shared else replace(mutual.of(self.number), at=own.at)

    @property
    def shared(self) -> tuple[SharedConstraint, ...]:
        """The planes that clip all claims, where all must be met."""
        return () if self.mutual is None else self.mutual.cuts.get(self.number, ())


def _bound(
    work: Workspace,
    net: Net,
    directions: Tensor,
    settings: BranchStage,
    steps: Steps,
    batch: Batch[DomainSearch, Subdomain],
) -> list[Bounded]:
    """Bounds a batch; fewer than all of it when the time ends before."""
    opened = [domain for _, domain in batch]
    domains = domains_of(opened, directions)
    shape = geometry_of(domains if any(bool(domain.cut.any()) for domain in opened) else _without_slabs(domains))
    context = BoundContext(work, net, shape)
    claims = Claims.joined([domain.claims for domain in opened])
    sizes = torch.tensor([len(domain.claims) for domain in opened], device=work.device)
    of_domain = torch.repeat_interleave(torch.arange(len(batch), device=work.device), sizes)
    signs = signs_of(net, claims, of_domain, [domain.signs for domain in opened])
    deadline = min(search.budget.deadline for search, _ in batch)
    pairs = Subproblems(of_domain, claims.input, steps.inherit(net, opened), _found_before(opened))
    alone = settings.alpha > 0 and any(search.threshold == 1 for search, _ in batch)
    # Where no slopes are optimised nobody asks for gradients, for which every small operation would prepare.
    with torch.set_grad_enabled(alone):
        verdicts = steps.decide(context, claims, pairs, signs, settings.clip_rounds, deadline)
    kept = int((sizes.cumsum(0) <= len(verdicts.row)).sum())
    if kept < len(batch):
        batch, whole = batch[:kept], int(sizes[:kept].sum())
        verdicts, of_domain = part_of(verdicts, 0, whole), of_domain[:whole]
    verdicts = _improved(context, verdicts, claims, of_domain, batch, settings.alpha, signs)
    together = settings.joint and signs is None
    thresholds = [search.threshold if together and search.threshold > 1 else 0 for search, _ in batch]
    mutual = clip_mutually(context, verdicts, claims, of_domain, thresholds)
    scores = BranchingScores(domains, verdicts, of_domain)
    ends = sizes.cumsum(0).tolist()
    return [
        Bounded(context, settings, steps, number, part_of(verdicts, end - len(domain.claims), end), scores, mutual)
        for number, ((_, domain), end) in enumerate(zip(batch, ends, strict=False))
    ]


def _improved(
    context: BoundContext,
    verdicts: Verdicts,
    claims: Claims,
    of_domain: Tensor,
    batch: Batch[DomainSearch, Subdomain],
    steps: int,
    signs: list[Tensor] | None,
) -> Verdicts:
    """Optimises slopes where every single claim matters: where one violating input refutes."""
    alone = torch.tensor([search.threshold == 1 for search, _ in batch], device=of_domain.device)
    wanted = alone[of_domain[verdicts.last.at]]
    if not steps or not bool(wanted.any()):
        return verdicts
    open_ = verdicts.last.take(wanted)
    own = None if signs is None else [part[open_.at] for part in signs]
    start = started([(domain.chosen, len(domain.claims)) for _, domain in batch], open_, context.net)
    found = improve(
        context, open_, claims.take(open_.at), verdicts.planes[open_.at], AlphaSettings(steps), signs=own, start=start
    )
    row = verdicts.row.clone()
    row[open_.at] = found.row
    closings = {int(open_.at[at]): record for at, record in found.closings.items()}
    last = verdicts.last.take(row[verdicts.last.at] == OPEN)
    chosen = None if found.chosen is None else found.chosen.spread(open_.at, len(row))
    return replace(verdicts, alive=row == OPEN, row=row, last=last, closings=closings, chosen=chosen)


def _without_slabs(domains: Domains) -> Domains:
    none = domains.low[:, :0]
    return Domains(domains.lower, domains.upper, domains.directions[:0], none, none)


def _found_before(opened: list[Subdomain]) -> tuple[LayerBounds, ...]:
    """Bounds of the claims of a batch where all of its domains have some, which hold for no part of them any more."""
    parts = [domain.bounds for domain in opened]
    for domain in opened:
        domain.bounds = ()
    return tuple(joined_layer(column) for column in zip(*parts, strict=True)) if all(parts) else ()


def part_of(verdicts: Verdicts, start: int, end: int) -> Verdicts:
    """The verdicts of one domain of a batch."""
    own = slice(start, end)
    slopes, values = verdicts.branching
    last = verdicts.last.take((verdicts.last.at >= start) & (verdicts.last.at < end))
    last = replace(last, at=last.at - start)
    closings = {at - start: record for at, record in verdicts.closings.items() if start <= at < end}
    branching = (slopes[own], values[own])
    chosen = None if verdicts.chosen is None else verdicts.chosen.take(own)
    return Verdicts(verdicts.alive[own], verdicts.row[own], verdicts.planes[own], branching, last, closings, chosen)


@dataclass(frozen=True, eq=False)
class BranchingScores:
    """Where to go on in the domains of a batch that stay open; nothing is computed before one does.

    Attributes:
        domains: the batch.
        verdicts: on all of its claims.
        of_domain: the domain of each claim, shape (C,).
    """

    domains: Domains
    verdicts: Verdicts
    of_domain: Tensor

    def of(self, number: int) -> Scores:
        """Those of one domain."""
        shape, (pixels, slabs) = self._shape, self._influence
        middle = shape.directions @ shape.center[number] + shape.slab_shift[number]
        return Scores(pixels[number], slabs[number], middle, shape.slab_half[number])

    @cached_property
    def _shape(self) -> Geometry:
        return geometry_of(self.domains)

    @cached_property
    def _influence(self) -> tuple[Tensor, Tensor]:
        """Influence of each pixel (D, d) and each slab (D, m) on the claims that are still alive."""
        (slopes, _), domains, of_domain = self.verdicts.branching, self.domains, self.of_domain
        half = (domains.upper - domains.lower) / 2
        size = (slopes.abs() * half[of_domain]).sum(1).clamp(min=1e-12)
        weight = torch.where(self.verdicts.alive, 1 / size, torch.zeros_like(size))
        weighted = torch.nan_to_num(slopes * weight[:, None])
        pixels = half.new_zeros(half.shape).index_add(0, of_domain, weighted.abs()) * half
        slabs_half = self._shape.slab_half
        beta = (weighted[:, None] @ self._shape.ridge[of_domain].transpose(1, 2))[:, 0]
        slabs = slabs_half.new_zeros(slabs_half.shape).index_add(0, of_domain, beta.abs()) * slabs_half
        return pixels, slabs

    @cached_property
    def corners(self) -> Tensor:
        """A point per domain where the planes of the alive claims are large together, shape (D, d)."""
        (slopes, _), domains = self.verdicts.branching, self.domains
        alive = torch.nan_to_num(slopes) * self.verdicts.alive[:, None]
        total = alive.new_zeros(domains.lower.shape).index_add(0, self.of_domain, alive)
        return torch.where(total >= 0, domains.upper, domains.lower)


# Pruning, attacking, splitting one subdomain.


def prune_or_split(search: DomainSearch, domain: Subdomain, bounded: Bounded) -> list[Subdomain]:
    """Closes, refutes or splits one domain; what is open of it."""
    verdicts, work, threshold = bounded.verdicts, bounded.context.work, search.threshold
    before = domain.node.dropped
    domain.node.dropped = before + drop_records(domain.claims, verdicts.row, verdicts.planes, verdicts.closings)
    alive = domain.claims.take(verdicts.alive.nonzero()[:, 0])
    remaining = len(torch.unique(alive.input))
    if remaining < threshold or not domain.assumed_violating <= set(alive.input.tolist()):
        domain.node.step = Counted()
        search.proved = max(search.proved, min(remaining, threshold - 1))
        return []
    points = [work.on_grid((domain.lower + domain.upper) / 2), work.on_grid(bounded.scores.corners[bounded.number])]
    together = _joint_step(search, domain, bounded)
    if together is not None:
        if together.closing is not None:
            # What a joint closing rests on: the planes' clipping rows and the point where tangents touch.
            clips, point = clips_of(domain.claims, verdicts), tuple(together.tangent_at.tolist())
            domain.node.step = JointClosing(together.closing, clips, point, bounded.shared)
            search.proved = max(search.proved, threshold - 1)
            return []
        domain.last_lp_value, domain.last_lp_inputs = together.value, remaining
        points += [work.on_grid(point) for point in together.points]
    if bounded.steps.refutes(bounded.context, search, alive, torch.stack(points)):
        search.stop()
        return []
    domain.chosen = None if verdicts.chosen is None else verdicts.chosen.take(verdicts.alive)
    parts = _split(search, domain, bounded, alive)
    if not parts:
        search.reason = Reason.PRECISION
        domain.node.dropped = before  # who goes on here starts anew, and these may rest on what came from above
    return parts


def _joint_step(search: DomainSearch, domain: Subdomain, bounded: Bounded) -> JointStep | None:
    """The joint step, where it is wanted, promising, and every open claim has bounds."""
    threshold, last, settings = search.threshold, bounded.verdicts.last, bounded.settings
    # Each input that left since the last linear program has lowered its value by at most 1.
    least = domain.last_lp_value - (domain.last_lp_inputs - len(torch.unique(last.pairs.input)))
    hopeless = least > 1.5 * threshold + 5
    if not settings.joint or threshold == 1 or hopeless or len(last.at) != int(bounded.verdicts.alive.sum()):
        return None
    return joint_step(bounded.context, bounded.last, domain.claims.take(last.at), threshold, settings.gate)


def _split(search: DomainSearch, domain: Subdomain, bounded: Bounded, alive: Claims) -> list[Subdomain]:
    """Cases of inputs, cases of a neuron, or halves, with what goes down to them; none of a single point."""
    verdicts, context, settings, threshold = bounded.verdicts, bounded.context, bounded.settings, search.threshold
    thresholds = settings.thresholds
    kept = settings.inherit and can_inherit(context.net, verdicts, thresholds)
    split_by_cases = kept and settings.joint and threshold > 1
    cases = bounded.steps.cases(context, domain, bounded.last, threshold, thresholds.thin) if split_by_cases else None
    wanted = threshold == 1 and len(torch.unique(alive.input)) == 1 and 0 < settings.neurons < len(domain.lower)
    neurons = split_neuron(context, domain, alive, verdicts.last) if wanted else None
    parts = cases or neurons or split_domain(context.work, domain, alive, bounded.scores.of(bounded.number))
    shared = bounded.shared
    own = None
    if kept and cases is None and not shared:
        own = narrower(domain, bounded.last, search.budget.spent, thresholds)
    if cases is None:
        pass_down(parts, bounded.last if kept else None, own)
    if kept and isinstance(domain.node.step, Split):
        clips = clips_of(domain.claims, verdicts)
        domain.node.step.clips = clips if own is None else tuple(compress(clips, own.tolist()))
        domain.node.step.shared = shared
    if cases or domain.node.shared:  # what falls below here may not fall elsewhere
        search.proved = max(search.proved, threshold - 1)
    return parts


def _refutes(context: BoundContext, search: DomainSearch, alive: Claims, points: Tensor) -> bool:
    """Tries grid points as triggers; a hit is replayed on the unsimplified network."""
    work, threshold = context.work, search.threshold
    margins = missing_margin(work, context.net, alive, threshold, points)
    best = LocalOptimum(points[int(margins.argmax())], float(margins.max()))
    search.near.append(best)
    if best.margin <= 0 and search.budget.spent >= search.next_local_search:
        best = _search_locally(work, search)
        if best.margin <= 0 and is_undecided(work, context.net, search.claims, threshold, best.trigger):
            search.give_up_proving()
    if best.margin <= 0:
        return False
    if search.found.replay(work, best.trigger.cpu().numpy()):
        return True
    if work.problem.doubt.inputs:  # more violate than is provable, if those count that may not: a tie as well
        search.give_up_proving()
    return False


def _search_locally(work: Workspace, search: DomainSearch) -> LocalOptimum:
    """A local search from points met since the last one: half of them those that came nearest, half from anywhere."""
    search.next_local_search = search.budget.spent + min(search.budget.spent, LOCAL_EVERY)
    near = sorted(search.near, key=lambda point: point.margin, reverse=True)
    search.near.clear()
    half = max(1, min(len(near) // LOCAL_SHARE, LOCAL_POINTS) // 2)
    chosen = [*near[:half], *near[half :: max(1, len(near) // half)]]
    starts = torch.stack([point.trigger for point in chosen])
    return local_search(work, search.found.question, starts, LOCAL_STEPS, search.claims)


def is_undecided(work: Workspace, net: Net, claims: Claims, threshold: int, point: Tensor) -> bool:
    """Whether bounds at a single trigger leave as many inputs as are needed, where the arithmetic rounds.

    A search that knows such a point can no longer certify: what `threshold` inputs have in common there may be nearer
    to a tie than any two evaluations of the network. Bounds of that very point leave those inputs then, and so do
    those of every domain that holds it, however small: near the best point there are often hundreds of such
    points, each of which is walked down to. In real arithmetic a solver may still tell.

    Args:
        work: of the problem.
        net: of the placement.
        claims: those that may be met somewhere.
        threshold: inputs that must violate.
        point: a trigger, shape (d,); one outside of the problem's slabs and lists says nothing.
    """
    problem = work.problem
    if problem.arithmetic == "real" or not problem.domain.contains(point.cpu().numpy()):
        return False
    context = BoundContext.of_boxes(work, net, point[None], point[None])
    verdicts = decided(context, claims, Subproblems(torch.zeros_like(claims.input), claims.input))
    return len(torch.unique(claims.input[verdicts.alive])) >= threshold


@dataclass(frozen=True)
class Steps:
    """What a search calls on the way; a test watches a step here, or puts a wrong one in its place.

    Attributes:
        inherit: what the claims of a batch start from.
        decide: bounds the claims of a batch.
        cases: splits a domain by cases of inputs.
        refutes: tries points as triggers.
        clock: seconds, for the budget.
    """

    inherit: Callable[[Net, Sequence[Subdomain]], tuple[Interval, ...]] = inherited_bounds
    decide: Callable[..., Verdicts] = decided
    cases: Callable[..., list[Subdomain] | None] = input_cases
    refutes: Callable[[BoundContext, DomainSearch, Claims, Tensor], bool] = _refutes
    clock: Callable[[], float] = time.monotonic
