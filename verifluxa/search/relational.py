"""Relational search: how many inputs can violate under ONE trigger of many values, by conflicts between claims.

Boxes of hundreds of values cannot be halved into anything useful. What is left is what the inputs have in common: the
trigger. A *conflict* is a set of claims (input, alternative) that no trigger of the domain meets together, with the
weights and slopes that show it (`bounds.optimise`). `threshold` inputs can violate together only by a choice of one
open claim for each of them that holds no conflict; so choices are made, and refuted, until there is none left:

    choose `threshold` claims of different inputs without a known conflict; none: closed
    optimise slopes and weights of the chosen claims together; below 0: a conflict, as few claims as still do
    not below 0: the choice may be met, as far as these bounds can tell; open

Counterexample-guided, as lazy clause generation; the bound is that of RACoon (Banerjee and Singh 2024) with the
tuples of executions chosen by what still stands in the way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa import evidence
from verifluxa.bounds import (
    BoundParameters,
    BoundTask,
    LayerBounds,
    Net,
    OptimisedBounds,
    Subproblems,
    bound_all_layers,
    concat_layer_bounds,
    geometry_of,
    levels_to_hex,
    nearest_levels,
    optimise_bounds,
    pairs_at_once,
    rise_and_fall,
    smooth_function_of,
    supports_alpha,
)
from verifluxa.evidence import NeuronSplit, Node, Outcome, WeightedTerm
from verifluxa.question import Floats, Question
from verifluxa.search.activation_bab import ActivationSearch, Case, go_on, refuted, tightened
from verifluxa.search.attack import count_violations
from verifluxa.search.bab import Budget, Incumbent
from verifluxa.search.choices import Choice, choose, several
from verifluxa.search.disjuncts import ROUNDED, SLACK, BoundContext, ConstraintBounds, constraint_bounds
from verifluxa.search.initial_bounds import InitialBounds, whole_domain
from verifluxa.search.joint import ROWS_KEPT
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.stages import CrossStage
from verifluxa.verdict import Reason

FIRST_CASES, MORE_CASES = 32, 3
"""Cases of a group in the first round, and how many times more in each further one."""
ROWS_ALONE = 16
"""Rows of each claim that planes are made of where one input is looked at closely; those without weight leave soon."""
FIRST_STEPS = 30
"""Gradient steps of a group without cases, and of the root of those of one input that is looked at closely."""
LONGER = 2
"""How many times more steps the cases of such an input get: of long trees they spare two thirds."""
ALONE = 64
"""Claims that are optimised by themselves in one batch."""
CHOICES = 8
"""Choices that are tried in one batch."""
NODES = 100_000
"""Steps of one search for choices; a larger search gives up."""
LEAST_SHARE = 0.02
"""A claim with less weight than this stays out of its group's cases."""
CLEARLY = 1e-3
"""Descent goes on until a group is below zero by this much: float32 rounds."""


class _Begun(NamedTuple):
    """A group's cases so far, and of each of its planes the claim and the problem row."""

    search: ActivationSearch
    claim: Tensor
    row: Tensor


@dataclass(frozen=True, eq=False)
class Conflict:
    """Claims that no trigger meets together, and the cases that show it.

    Attributes:
        claims: by their numbers.
        claim, row: of each plane of a case, its claim and its problem row, shape (P,).
        case: the tree.
    """

    claims: frozenset[int]
    claim: Tensor
    row: Tensor
    case: Case


@dataclass
class RelationalSearch:
    """The open claims of one question in one domain, what conflicts are known, and how many inputs they leave.

    Attributes:
        context: with one domain.
        layers: bounds of all layers of some inputs on it.
        of_input: of each claim into these, shape (C,).
        claims: that are open, on inputs whose sums cannot overflow.
        planes: of their rows.
        settings: how hard to try.
        budget: groups and cases that may be bounded.
        slopes: that the layers' bounds rest on, where these have some of their own.
        conflicts: what was found.
        begun: groups that are not closed yet, by their claims.
    """

    context: BoundContext
    layers: Sequence[LayerBounds]
    of_input: Tensor
    claims: Claims
    planes: ConstraintBounds
    settings: CrossStage
    budget: Budget
    slopes: tuple[evidence.IntermediateSlopes, ...] = ()
    conflicts: list[Conflict] = field(default_factory=list)
    begun: dict[Choice, _Begun] = field(default_factory=dict)

    @property
    def points(self) -> list[Tensor]:
        """Points (d,) at which groups were seen to be met."""
        return [begun.search.seen for begun in self.begun.values() if begun.search.seen is not None]

    @cached_property
    def options(self) -> list[list[int]]:
        """Open claims by input."""
        by_input: dict[int, list[int]] = {}
        for number, input_ in enumerate(self.claims.input.tolist()):
            by_input.setdefault(input_, []).append(number)
        return list(by_input.values())

    def most(self) -> int:
        """How many inputs the conflicts leave together, as far as a search of limited size can tell."""
        known = [conflict.claims for conflict in self.conflicts]
        left = sum(any(frozenset((claim,)) not in known for claim in claims) for claims in self.options)
        while left:
            found = choose(self.options, known, left, NODES)
            if found.choice is not None or not found.complete:
                break
            left -= 1
        return left

    def without_cases(self) -> int:
        """How many inputs single claims and groups leave as they are, which is the step of RACoon.

        Refutes choices of as many inputs as are left, then of fewer, until one stays.
        """
        for at in range(0, len(self.claims), ALONE):
            self._refute([(claim,) for claim in range(at, min(at + ALONE, len(self.claims)))], 0)
        most = self.most()
        while most and self._refute_all(most, 0):
            most -= 1
        return most

    def closes(self, threshold: int) -> bool:
        """Whether fewer than `threshold` inputs can violate together; tries until the time is over."""
        cases = FIRST_CASES
        while True:
            self._singles(threshold, cases)
            if self._refute_all(threshold, cases):
                return True
            hopeless = all(begun.search.finished for begun in self.begun.values())
            if self.budget.exceeded or hopeless:
                return False
            cases *= MORE_CASES

    def _singles(self, threshold: int, cases: int) -> None:
        """Claims by themselves, the inputs first that are nearest to fall, until fewer than `threshold` are left."""
        values = self.planes.upper.amin(1)
        gone = {only for conflict in self.conflicts if len(conflict.claims) == 1 for only in conflict.claims}
        inputs = [claims for claims in ([c for c in own if c not in gone] for own in self.options) if claims]
        inputs.sort(key=lambda claims: float(values[claims].max()))
        left = len(inputs)
        inputs = [claims for claims in inputs if not any(map(self._is_met, claims))]
        while inputs and left >= threshold and not self.budget.exceeded:
            some, inputs = inputs[: left - threshold + 1], inputs[left - threshold + 1 :]
            left -= self._refute_alone(some, cases)

    def _refute_alone(self, inputs: Sequence[Sequence[int]], cases: int) -> int:
        """Goes on with the cases of single claims of some inputs; how many inputs fell."""
        lots = [[self._begin((claim,)) for claim in claims] for claims in inputs]
        searches = [[begun.search for begun in lot] for lot in lots]
        self._go_on(searches, cases, self._cases_left, impatient=True)
        for claims in inputs:
            # An input with a claim that is met stays, whatever becomes of its others.
            stays = any(map(self._is_met, claims))
            for claim in claims:
                if not self._end((claim,)) and stays and not self._is_met(claim):
                    del self.begun[claim,]
        return sum(all(search.closed for search in lot) for lot in searches)

    def _is_met(self, claim: int) -> bool:
        """Whether a point was seen that meets a claim by itself."""
        begun = self.begun.get((claim,))
        return begun is not None and begun.search.finished

    def _refute_all(self, threshold: int, cases: int) -> bool:
        """Refutes choices until none is left, or one stays."""
        while not self.budget.exceeded:
            known = [conflict.claims for conflict in self.conflicts]
            choices, complete = several(self.options, known, threshold, CHOICES, NODES)
            if not choices:
                return complete
            if not self._refute(choices, cases):
                return False
        return False

    def _refute(self, choices: Sequence[Choice], cases: int) -> bool:
        """Whether all choices fall: at once, or by so many cases of those claims that have weight."""
        groups, claim, row = self._groups(choices)
        together = optimise_bounds(groups, FIRST_STEPS, FIRST_STEPS // 2, smooth=False)
        self.budget.spent += len(choices)
        fell = refuted(groups, together).tolist()
        for number in (at for at, fine in enumerate(fell) if fine):
            own = (groups.group == number).nonzero()[:, 0]
            own = self._fewest(own, claim[own], together)
            self._keep(
                Conflict(frozenset(claim[own].tolist()), claim[own], row[own], Case(planes=together.chosen.take(own)))
            )
        for number in (at for at, fine in enumerate(fell) if cases and not fine):
            own = groups.group == number
            # Of many claims each may have little.
            own &= together.weights > min(LEAST_SHARE, float(together.weights[own].max()) / 2)
            if not self._refute_by_cases(tuple(sorted(set(claim[own].tolist()))), cases):
                return False
        return bool(cases) or all(fell)

    def _refute_by_cases(self, choice: Choice, cases: int) -> bool:
        """Goes on with the cases of a group; whether it is a conflict now."""
        cases = min(cases, self._cases_left)
        self._go_on([[self._begin(choice).search]], cases, cases)
        return self._end(choice)

    @property
    def _cases_left(self) -> int:
        return int(self.budget.boxes) - self.budget.spent

    def _go_on(
        self, lots: Sequence[Sequence[ActivationSearch]], cases: int, room: int, *, impatient: bool = False
    ) -> None:
        self.budget.spent += go_on(lots, cases, room, self.budget.deadline, impatient=impatient)

    def _begin(self, choice: Choice) -> _Begun:
        """A group's cases so far."""
        if choice not in self.begun:
            groups, claim, row = self._groups([choice])
            steps = self.settings.steps
            search = (
                ActivationSearch.of(
                    groups, LONGER * steps, FIRST_STEPS, clips=True, thresholds=self.settings.thresholds
                )
                if self.slopes
                else ActivationSearch.of(groups, steps, thresholds=self.settings.thresholds)
            )
            self.begun[choice] = _Begun(search, claim, row)
        return self.begun[choice]

    def _end(self, choice: Choice) -> bool:
        """Whether a group is a conflict now, which is kept."""
        search, claim, row = self.begun[choice]
        if search.closed:
            del self.begun[choice]
            kept = slice(None) if search.kept is None else search.kept
            self._keep(Conflict(frozenset(choice), claim[kept], row[kept], search.root))
        return search.closed

    def _keep(self, conflict: Conflict) -> None:
        """Adds a conflict, unless one is known that says more."""
        if not any(known.claims <= conflict.claims for known in self.conflicts):
            self.conflicts.append(conflict)

    def _groups(self, choices: Sequence[Choice]) -> tuple[BoundTask, Tensor, Tensor]:
        """The choices as groups of planes, with the claim and the problem row of each plane."""
        context, device = self.context, self.claims.input.device
        kept = min(ROWS_ALONE if self.slopes else ROWS_KEPT, self.planes.upper.shape[1])
        best = self.planes.upper.topk(kept, dim=1, largest=False).indices
        claim = torch.tensor([c for choice in choices for c in choice], device=device).repeat_interleave(kept)
        group = torch.tensor([g for g, choice in enumerate(choices) for _ in choice], device=device)
        row = context.work.alternatives[self.claims.alternative[claim], best[claim[::kept]].reshape(-1)]
        groups = BoundTask(
            context.net,
            self.layers,
            context.geometry,
            self.of_input[claim],
            Subproblems(torch.zeros_like(claim), self.claims.input[claim]),
            context.work.coefficients[row],
            context.work.row_constants[row],
            group.repeat_interleave(kept),
            torch.full((len(choices),), -CLEARLY, dtype=torch.float64, device=device),
        )
        return groups, claim, row

    def _fewest(self, own: Tensor, claim: Tensor, together: OptimisedBounds) -> Tensor:
        """The planes of fewer claims that still conflict: the one with the least weight leaves while it can."""
        members = sorted(set(claim.tolist()), key=lambda c: float(together.weights[own[claim == c]].sum()))
        for member in members:
            rest = own[claim != member]
            if len(rest) and self._below(rest, together):
                own, claim = rest, claim[claim != member]
        return own

    def _below(self, own: Tensor, together: OptimisedBounds) -> bool:
        weights = together.weights[own]
        slope = (weights[:, None] * together.bounds.slope[own]).sum(0)
        up = rise_and_fall(slope[None, None], torch.zeros_like(own[:1]), self.context.geometry)[0][0, 0]
        room = (weights * (SLACK * together.size[own] + ROUNDED * together.summed[own])).sum()
        return bool((weights * together.bounds.value[own]).sum() + up < -room)


def begin_conflicts(
    work: Workspace, rooted: Sequence[InitialBounds], settings: CrossStage, deadline: float | None
) -> dict[Question, ConflictSearch]:
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
    wanted = [one for one in rooted if len(work.lower) > _few(one, net, settings)]
    if not wanted or not net.hidden or not supports_alpha(net):
        return {}
    context = BoundContext(work, net, geometry_of(whole_domain(work)))
    return {one.question: ConflictSearch(context, one, settings, Budget.of(None, deadline).deadline) for one in wanted}


def find_conflicts(
    work: Workspace,
    rooted: Sequence[InitialBounds],
    settings: CrossStage,
    deadline: float | None,
    begun: Mapping[Question, ConflictSearch] | None = None,
) -> Iterator[Outcome]:
    """Tries questions of one placement, where the trigger has many values; none where it has few.

    Args:
        rooted: the questions that the first look left open.
        settings: the limits.
        deadline: on the clock of `time.monotonic`, or None.
        begun: searches to go on with.
    """
    begun = begun or {}
    fresh = begin_conflicts(work, [one for one in rooted if one.question not in begun], settings, deadline)
    both = {**begun, **fresh}
    return (both[one.question].run(settings.cases) for one in rooted if one.question in both)


def _few(rooted: InitialBounds, net: Net, settings: CrossStage) -> int:
    """How many values of a trigger are left to boxes."""
    large = sum(len(layer.weight) for layer in net.hidden) >= settings.large_network
    return settings.alone if rooted.question.threshold == 1 or large else settings.values


@dataclass
class ConflictSearch:
    """The search for conflicts of one question, which may be gone on with.

    Attributes:
        context: with the whole domain.
        rooted: the question with its initial bounds.
        settings: the limits.
        deadline: on the clock of `time.monotonic`.
        relational, unsafe: what is known so far, see `relational_search`.
        before: cases of a relational search that was given up.
        seconds: spent so far.
    """

    context: BoundContext
    rooted: InitialBounds
    settings: CrossStage
    deadline: float
    relational: RelationalSearch | None = None
    unsafe: int = 0
    before: int = 0
    seconds: float = 0.0

    def _begun(self) -> RelationalSearch:
        """The search to go on with: where a few cases of one input were not enough, one with tighter bounds."""
        old = self.relational
        spent = 0 if old is None else old.budget.spent
        tight = old is not None and spent > 0 and len(old.options) == 1 and not (old.slopes or old.points)
        if old is None or tight:
            self.before += spent
            budget = Budget(self.deadline, self.settings.cases)
            self.relational, self.unsafe = relational_search(
                self.context, self.rooted, self.settings, budget, tight=tight
            )
        assert self.relational is not None
        return self.relational

    @property
    def corner(self) -> Tensor:
        """Where the plane that is in the way of the most promising claim is largest, shape (d,)."""
        relational, work = self._begun(), self.context.work
        if not len(relational.claims):
            return (work.lower + work.upper) / 2
        planes = relational.planes.row(relational.planes.tightest())
        slope = planes.slope[relational.planes.upper.amin(1).argmax()]
        return torch.where(slope > 0, work.upper, work.lower)

    def run(self, cases: int) -> Outcome:
        """Goes on until so many cases have been bounded in all, or the question is decided."""
        started = time.monotonic()
        relational = self._begun()
        budget = relational.budget
        if not budget.spent:
            budget.deadline = min(started + self.settings.seconds, self.deadline)
        budget.boxes = min(cases, self.settings.cases)
        threshold = self.rooted.question.threshold - self.unsafe
        fewer = threshold > 0 and relational.closes(threshold)
        most = relational.most()
        closed = fewer and most < threshold
        found = Incumbent(self.rooted.question)
        if relational.points and not closed:
            found.replay(self.context.work, _best(self.context, self.rooted, relational.points))
        reason = None if closed else budget.exceeded or Reason.STRATEGY
        self.seconds += time.monotonic() - started
        return found.outcome(
            "cross",
            reason,
            most + self.unsafe,
            boxes=self.before + budget.spent,
            seconds=self.seconds,
            tree=_leaf(self.context.net, self.rooted, relational, most + 1) if closed else None,
        )


def relational_search(
    context: BoundContext, rooted: InitialBounds, settings: CrossStage, budget: Budget, *, tight: bool = False
) -> tuple[RelationalSearch, int]:
    """The open claims with their bounds, and how many inputs must stay open because a sum may overflow.

    Args:
        context: with one domain.
        rooted: the question with its initial bounds.
        settings: how hard to try.
        budget: of the search.
        tight: whether bounds of neurons have slopes of their own; then all claims are of one input.
    """
    claims = rooted.open_disjuncts
    inputs, of_input = torch.unique(claims.input, return_inverse=True)
    slopes: tuple[evidence.IntermediateSlopes, ...] = ()
    if tight:
        layers, slopes = tightened(context.net, context.geometry, Subproblems(torch.zeros_like(inputs), inputs))
    else:
        some = inputs.scatter(0, of_input, _count(claims))
        layers = rooted.bounds(some) or _layers(context, inputs)
    safe = context.bounded(layers, inputs)
    kept = safe[of_input].nonzero()[:, 0]
    claims, of_input = claims.take(kept), of_input[kept]
    pairs = Subproblems(torch.zeros_like(claims.input), claims.input)
    own = [bounds.take(of_input) for bounds in layers]
    planes = constraint_bounds(context, own, _count(claims), pairs, context.rows(claims))
    return RelationalSearch(context, layers, of_input, claims, planes, settings, budget, slopes), int((~safe).sum())


def _count(claims: Claims) -> Tensor:
    return torch.arange(len(claims), device=claims.input.device)


def _layers(context: BoundContext, inputs: Tensor) -> list[LayerBounds]:
    """Bounds of all layers of some inputs, without the planes of neurons: with many values these are large."""
    parts = []
    for some in torch.split(inputs, pairs_at_once(context.net, context.work.device)):
        layers = bound_all_layers(context.net, context.geometry, Subproblems(torch.zeros_like(some), some))
        parts.append([replace(bounds) for bounds in layers])
    return [concat_layer_bounds(column) for column in zip(*parts, strict=True)]


def _best(context: BoundContext, rooted: InitialBounds, points: Sequence[Tensor]) -> Floats:
    """The best of the points that the search has seen, on the grid."""
    triggers = context.work.on_grid(torch.stack(list(points)))
    counts = count_violations(context.work, context.net, rooted.open_disjuncts, triggers)
    best: Floats = triggers[int(counts.argmax())].cpu().numpy()
    return best


def _leaf(net: Net, rooted: InitialBounds, relational: RelationalSearch, threshold: int) -> Node:
    """The evidence: as few conflicts as still show what is proved, the ones with most cases left out first."""
    kept = sorted(relational.conflicts, key=lambda conflict: -_size(conflict.case))
    for conflict in list(kept):
        fewer = [other for other in kept if other is not conflict]
        found = choose(relational.options, [other.claims for other in fewer], threshold, NODES)
        if found.choice is None and found.complete:
            kept = fewer
    conflicts = tuple(_stored(net, relational, conflict) for conflict in kept)
    return Node(rooted.dropped(), evidence.Conflicts(conflicts, relational.slopes) if conflicts else evidence.Counted())


def _size(case: Case) -> int:
    return 1 + sum(map(_size, case.children))


def _stored(net: Net, relational: RelationalSearch, conflict: Conflict) -> evidence.Conflict:
    claims = relational.claims
    named = tuple((int(claims.input[claim]), int(claims.position[claim])) for claim in sorted(conflict.claims))
    return evidence.Conflict(named, _case(net, claims, conflict, conflict.case))


def _case(net: Net, claims: Claims, conflict: Conflict, case: Case) -> evidence.Case:
    planes = () if case.planes is None else tuple(_planes(net, claims, conflict, case.planes))
    if case.split is None:
        return evidence.Case(planes)
    split = NeuronSplit(case.split.input, case.split.layer, case.split.neuron)
    return evidence.Case(planes, split, tuple(_case(net, claims, conflict, child) for child in case.children))


def _planes(net: Net, claims: Claims, conflict: Conflict, chosen: BoundParameters) -> Iterator[WeightedTerm]:
    # Only proportions count: the largest weight is 1.
    weights = (chosen.log_weights[:, 0] - chosen.log_weights.max()).exp().tolist()
    for at, (claim, row) in enumerate(zip(conflict.claim.tolist(), conflict.row.tolist(), strict=True)):
        if not weights[at]:
            continue
        # Lower slopes are chosen of relu alone here; other functions keep the lines of the rule.
        layers = zip(net.hidden, chosen.alphas, strict=True)
        slopes = tuple(
            "" if smooth_function_of(layer) else levels_to_hex(nearest_levels(part[at])) for layer, part in layers
        )
        betas = tuple(
            (layer, neuron, float(part[at, neuron]))
            for layer, part in enumerate(chosen.betas)
            for neuron in part[at].nonzero()[:, 0].tolist()
        )
        yield WeightedTerm(int(claims.input[claim]), int(claims.position[claim]), row, weights[at], slopes, betas)
