"""How many inputs can violate under ONE trigger when it has many values: conflicts between claims, and counting.

Boxes of hundreds of values cannot be halved into anything useful. What is left is what the inputs have in common: the
trigger. A *conflict* is a set of claims (input, alternative) that no trigger of the domain meets together, with the
weights and slopes that show it (`bounds.optimise`). `need` inputs can violate together only by a choice of one open
claim for each of them that holds no conflict; so choices are made, and refuted, until there is none left:

    choose `need` claims of different inputs without a known conflict; none: closed
    optimise slopes and weights of the chosen claims together; below 0: a conflict, as few claims as still do
    not below 0: the choice may be met, as far as these bounds can tell; open

Counterexample-guided, as lazy clause generation; the bound is that of RACoon (Banerjee and Singh 2024) with the
tuples of executions chosen by what still stands in the way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from verifluxa.bounds.domain import spread
from verifluxa.bounds.linear import LayerBounds, Subproblems
from verifluxa.bounds.optimise import BoundTask, OptimisedBounds, optimise
from verifluxa.evidence import Ends
from verifluxa.search.choices import Choice, choose, several
from verifluxa.search.claims import ROUNDED, SLACK, BoundContext, RowBounds
from verifluxa.search.cuts import ActivationSplitSearch, Case, Lots, refuted
from verifluxa.search.together import ROWS_KEPT
from verifluxa.search.workspace import Claims

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

    cutting: ActivationSplitSearch
    claim: Tensor
    row: Tensor


@dataclass(frozen=True)
class CrossSettings:
    """How hard to try.

    Attributes:
        values: triggers with no more values than this are left to boxes.
        alone: the same where one violating input refutes, so that conflicts are cases of a single input.
        seconds: for one question.
        cases: that may be bounded for one question.
        steps: gradient steps of one case.
    """

    values: int = 64
    alone: int = 30
    seconds: float = 30.0
    cases: int = 20000
    steps: int = 6


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
        scene: with one domain.
        layers: bounds of all layers of some inputs on it.
        of_input: of each claim into these, shape (C,).
        claims: that are open, on inputs whose sums cannot overflow.
        planes: of their rows.
        settings: how hard to try.
        ends: on the clock of `time.monotonic`.
        slopes: that the layers' ends rest on, where these have some of their own.
        conflicts: what was found.
        begun: groups that are not closed yet, by their claims.
        bounded: groups and cases that were bounded.
        most_cases: that may be bounded in all, for now.
    """

    scene: BoundContext
    layers: Sequence[LayerBounds]
    of_input: Tensor
    claims: Claims
    planes: RowBounds
    settings: CrossSettings
    ends: float
    slopes: tuple[Ends, ...] = ()
    conflicts: list[Conflict] = field(default_factory=list)
    begun: dict[Choice, _Begun] = field(default_factory=dict)
    bounded: int = 0
    most_cases: int = 0

    def __post_init__(self) -> None:
        self.most_cases = self.settings.cases

    @property
    def points(self) -> list[Tensor]:
        """Points (d,) at which groups were seen to be met."""
        return [begun.cutting.seen for begun in self.begun.values() if begun.cutting.seen is not None]

    @property
    def is_over(self) -> bool:
        """Whether the time or the number of cases is used up."""
        return time.monotonic() > self.ends or self.bounded >= self.most_cases

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
        while most and self._crossed(most, 0):
            most -= 1
        return most

    def closes(self, need: int) -> bool:
        """Whether fewer than `need` inputs can violate together; tries until the time is over."""
        cases = FIRST_CASES
        while True:
            self._singles(need, cases)
            if self._crossed(need, cases):
                return True
            hopeless = all(begun.cutting.met for begun in self.begun.values())
            if self.is_over or hopeless:
                return False
            cases *= MORE_CASES

    def _singles(self, need: int, cases: int) -> None:
        """Claims by themselves, the inputs first that are nearest to fall, until fewer than `need` are left."""
        values = self.planes.upper.amin(1)
        gone = {only for conflict in self.conflicts if len(conflict.claims) == 1 for only in conflict.claims}
        inputs = [claims for claims in ([c for c in own if c not in gone] for own in self.options) if claims]
        inputs.sort(key=lambda claims: float(values[claims].max()))
        left = len(inputs)
        inputs = [claims for claims in inputs if not any(map(self._is_met, claims))]
        while inputs and left >= need and not self.is_over:
            some, inputs = inputs[: left - need + 1], inputs[left - need + 1 :]
            left -= self._cut_alone(some, cases)

    def _cut_alone(self, inputs: Sequence[Sequence[int]], cases: int) -> int:
        """Goes on with the cases of single claims of some inputs; how many inputs fell."""
        lots = [[self._begin((claim,)) for claim in claims] for claims in inputs]
        trees = [[begun.cutting for begun in lot] for lot in lots]
        self.bounded += Lots.of(trees, cases).run(self.most_cases - self.bounded, self.ends)
        for claims in inputs:
            # An input with a claim that is met stays, whatever becomes of its others.
            stays = any(map(self._is_met, claims))
            for claim in claims:
                if not self._end((claim,)) and stays and not self._is_met(claim):
                    del self.begun[claim,]
        return sum(all(cutting.closed for cutting in lot) for lot in trees)

    def _is_met(self, claim: int) -> bool:
        """Whether a point was seen that meets a claim by itself."""
        begun = self.begun.get((claim,))
        return begun is not None and begun.cutting.met

    def _crossed(self, need: int, cases: int) -> bool:
        """Refutes choices until none is left, or one stays."""
        while not self.is_over:
            known = [conflict.claims for conflict in self.conflicts]
            choices, complete = several(self.options, known, need, CHOICES, NODES)
            if not choices:
                return complete
            if not self._refute(choices, cases):
                return False
        return False

    def _refute(self, choices: Sequence[Choice], cases: int) -> bool:
        """Whether all choices fall: at once, or by so many cases of those claims that have weight."""
        groups, claim, row = self._groups(choices)
        together = optimise(groups, FIRST_STEPS, FIRST_STEPS // 2, smooth=False)
        self.bounded += len(choices)
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
            if not self._cut(tuple(sorted(set(claim[own].tolist()))), cases):
                return False
        return bool(cases) or all(fell)

    def _cut(self, choice: Choice, cases: int) -> bool:
        """Goes on with the cases of a group; whether it is a conflict now."""
        cutting = self._begin(choice).cutting
        before = cutting.bounded
        cutting.run(min(cases, self.most_cases - self.bounded), self.ends)
        self.bounded += cutting.bounded - before
        return self._end(choice)

    def _begin(self, choice: Choice) -> _Begun:
        """A group's cases so far."""
        if choice not in self.begun:
            groups, claim, row = self._groups([choice])
            steps, close = self.settings.steps, bool(self.slopes)
            cutting = (
                ActivationSplitSearch(groups, LONGER * steps, close, FIRST_STEPS)
                if close
                else ActivationSplitSearch(groups, steps)
            )
            self.begun[choice] = _Begun(cutting, claim, row)
        return self.begun[choice]

    def _end(self, choice: Choice) -> bool:
        """Whether a group is a conflict now, which is kept."""
        cutting, claim, row = self.begun[choice]
        if cutting.closed:
            del self.begun[choice]
            kept = slice(None) if cutting.kept is None else cutting.kept
            self._keep(Conflict(frozenset(choice), claim[kept], row[kept], cutting.root))
        return cutting.closed

    def _keep(self, conflict: Conflict) -> None:
        """Adds a conflict, unless one is known that says more."""
        if not any(known.claims <= conflict.claims for known in self.conflicts):
            self.conflicts.append(conflict)

    def _groups(self, choices: Sequence[Choice]) -> tuple[BoundTask, Tensor, Tensor]:
        """The choices as groups of planes, with the claim and the problem row of each plane."""
        scene, device = self.scene, self.claims.input.device
        kept = min(ROWS_ALONE if self.slopes else ROWS_KEPT, self.planes.upper.shape[1])
        best = self.planes.upper.topk(kept, dim=1, largest=False).indices
        claim = torch.tensor([c for choice in choices for c in choice], device=device).repeat_interleave(kept)
        group = torch.tensor([g for g, choice in enumerate(choices) for _ in choice], device=device)
        row = scene.work.alternatives[self.claims.alternative[claim], best[claim[::kept]].reshape(-1)]
        groups = BoundTask(
            scene.net,
            self.layers,
            scene.geometry,
            self.of_input[claim],
            Subproblems(torch.zeros_like(claim), self.claims.input[claim]),
            scene.work.coefficients[row],
            scene.work.row_constants[row],
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
        up = spread(slope[None, None], torch.zeros_like(own[:1]), self.scene.geometry)[0][0, 0]
        room = (weights * (SLACK * together.size[own] + ROUNDED * together.summed[own])).sum()
        return bool((weights * together.bounds.value[own]).sum() + up < -room)
