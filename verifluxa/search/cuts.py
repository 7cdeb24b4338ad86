"""Conflicts by cases: neurons of a group's inputs are split until no case can be met.

A case knows the signs of some pre-activations, each of one input. What was bounded above a split neuron stays as it
was; only its own lines change, and its pre-activation may be added to a row (beta-CROWN). That keeps a case as cheap
as a few passes of the group's rows. A group of one claim is branch and bound on one input; larger groups are cases of
several inputs under one trigger (cf. Suresh et al. 2024, RABBit, NeurIPS).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds.alpha import BoundParameters, joined_parameters
from verifluxa.bounds.clip import self_clip
from verifluxa.bounds.linear import LayerBounds, Subproblems, evaluate, joined
from verifluxa.bounds.optimise import BoundTask, OptimisedBounds, optimise
from verifluxa.search.claims import ROUNDED, SLACK
from verifluxa.search.gaps import best_neurons
from verifluxa.search.splits import Sign

LEAST_WEIGHT = 0.05
"""Planes with less than this share of the weight of their input's heaviest at the root stay out of the cases below."""
DEEPEST = 200
"""Splits below each other."""
LEAST_CASES, MOST_CASES, NUMBERS = 8, 64, 2**16
"""How many cases are bounded at once: as many as have so many neurons on all planes together, within these ends."""
CLIPPED_FROM = 30
"""Cases of a tree behind which what is left is clipped; small trees close as soon without."""
NO_PROGRESS = 4
"""Of many trees one is left alone for now when none of its cases has closed in this part of what it may have."""


@dataclass
class Case:
    """A node of the tree: a closed leaf has planes, an inner node a split and two children (<= 0, then >= 0).

    Attributes:
        split: the neuron of an input, or None.
        children: two, or none.
        planes: of a closed leaf, by the group's order: weights (P,) and multipliers (P, n); of a split those whose sum
            clips the ends that its children start from, or None.
    """

    split: Sign | None = None
    children: list[Case] = field(default_factory=list)
    planes: BoundParameters | None = None


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A case that is to be bounded, what is known of signs, and what its parent's planes were made with.

    `layers` are bounds of one pair that hold in the case; empty: those of the group.
    """

    case: Case
    signs: tuple[Sign, ...]
    start: BoundParameters | None
    layers: Sequence[LayerBounds] = ()


@dataclass
class ActivationSplitSearch:
    """Shows by cases that the claims of one group cannot be met together; may be gone on with.

    Attributes:
        group: one group (G = 1).
        steps: gradient steps of a case.
        clips: whether a case's sum of planes may clip what its own cases start from; then all planes are of one claim.
        root_steps: of the first one, which all others start from; None: as many.
        root: the tree.
        kept: which planes of the group the cases below the root have, shape (P,); None: all.
        waiting: its open leaves.
        met: whether a point was seen that meets all claims, or nothing is left to split: no use going on.
        seen: that point, shape (d,), or None.
        bounded, leaves: cases so far, and those of them that closed.
    """

    group: BoundTask
    steps: int = 6
    clips: bool = False
    root_steps: int | None = None
    root: Case = field(default_factory=Case)
    kept: Tensor | None = None
    waiting: list[_Waiting] = field(default_factory=list)
    met: bool = False
    seen: Tensor | None = None
    bounded: int = 0
    leaves: int = 0

    def __post_init__(self) -> None:
        self.waiting = [_Waiting(self.root, (), None)]

    @property
    def batch(self) -> int:
        """Cases that are bounded at once: small ones cost hardly more together than alone."""
        neurons = self.planes * sum(len(layer.weight) for layer in self.group.net.hidden)
        return max(LEAST_CASES, min(MOST_CASES, NUMBERS // max(1, neurons)))

    @property
    def planes(self) -> int:
        """How many planes the next cases have."""
        return len(self.group.index if self.kept is None else self.kept)

    @property
    def clips_now(self) -> bool:
        """Whether there are so many cases that clipping pays."""
        return self.clips and self.bounded >= CLIPPED_FROM

    @property
    def closed(self) -> bool:
        """Whether every case is closed."""
        return not self.waiting

    def run(self, cases: int, ends: float) -> bool:
        """Bounds at most so many more cases; whether all are closed.

        Args:
            cases: how many.
            ends: on the clock of `time.monotonic`.
        """
        while self.waiting and not self.met and cases > 0 and time.monotonic() < ends:
            batch = self.take(min(cases, self.batch))
            cases -= len(batch)
            bound([(self, batch)])
        return self.closed

    def meets(self, point: Tensor) -> bool:
        """Whether a point (d,) meets all planes' rows, by the center network."""
        group = self.group
        outputs = evaluate(group.net, point.expand(len(group.index), -1), group.pairs.input)
        return bool(((outputs * group.rows).sum(1) + group.constants >= 0).all())

    def take(self, count: int) -> list[_Waiting]:
        """Takes cases that are to be bounded."""
        batch, self.waiting = self.waiting[-count:], self.waiting[:-count]
        return batch

    def put(self, batch: Sequence[_Waiting], found: _Found) -> None:
        """Closes or splits the cases of a batch."""
        self.bounded += len(batch)
        self.seen = found.seen
        self.met = self.seen is not None
        for at, (one, sign, own) in enumerate(zip(batch, found.signs, found.chosen, strict=True)):
            if found.closed[at]:
                one.case.planes = own
                self.leaves += 1
            elif sign is None or len(one.signs) >= DEEPEST:
                self.met = True
            else:
                if at in found.clipped:
                    one.case.planes = own
                self._split(one, sign, own, found.clipped.get(at, one.layers))
        if self.met:
            self.waiting = self.waiting or list(batch)

    def _split(self, one: _Waiting, sign: Sign, own: BoundParameters, layers: Sequence[LayerBounds]) -> None:
        one.case.split, one.case.children = sign, [Case(), Case()]
        if self.kept is None:
            self.kept = self.weighty(own)
        if one.case is self.root:
            own = own.take(self.kept)
        self.waiting += [
            _Waiting(child, (*one.signs, sign._replace(sign=side)), own, layers)
            for child, side in zip(one.case.children, (-1, 1), strict=True)
        ]

    def weighty(self, chosen: BoundParameters) -> Tensor:
        """Planes that have weight beside the heaviest of their input."""
        logarithms = chosen.log_weights[:, 0]
        inputs, of_input = torch.unique(self.group.pairs.input, return_inverse=True)
        heaviest = logarithms.new_full((len(inputs),), -math.inf).scatter_reduce(0, of_input, logarithms, "amax")
        return (logarithms >= heaviest[of_input] + math.log(LEAST_WEIGHT)).nonzero()[:, 0]

    @property
    def narrow(self) -> BoundTask:
        """The group with the planes that the next cases have."""
        return self.group if self.kept is None else self.group.take(self.kept)


class _Found(NamedTuple):
    """Of some cases of a tree: what their planes are made with, where to split them, which closed, a point or None.

    `clipped` has what the cases of some, by their number, start from.
    """

    chosen: list[BoundParameters]
    signs: list[Sign | None]
    closed: list[bool]
    seen: Tensor | None
    clipped: Mapping[int, Sequence[LayerBounds]]


def bound(parts: Sequence[tuple[ActivationSplitSearch, list[_Waiting]]]) -> None:
    """Bounds cases of several trees of one domain at once: either all of them are roots, or none is."""
    groups = _all([_repeated(cutting.narrow, batch) for cutting, batch in parts])
    starts = [one.start for _, batch in parts for one in batch if one.start is not None]
    cutting, batch = parts[0]
    steps = cutting.root_steps if batch[0].start is None and cutting.root_steps else cutting.steps
    together = optimise(groups, steps, steps, joined_parameters(starts) if starts else None, smooth=False)
    closed = refuted(groups, together).tolist()
    # Roots of easy claims close at once, and then nothing asks where to go on.
    signs: list[Sign | None] = [None] * len(closed)
    met: list[Tensor | None] = [None] * len(closed)
    if not all(closed):
        signs, met = best_neurons(groups, together), _met(groups, together)
    case = plane = 0
    for cutting, batch in parts:
        size, end = cutting.planes, case + len(batch)
        chosen = [together.chosen.take(slice(at, at + size)) for at in range(plane, plane + size * len(batch), size)]
        seen = [point for point in met[case:end] if point is not None and cutting.meets(point)]
        open_ = [at for at in range(len(batch)) if not closed[case + at] and cutting.clips_now]
        layers = _clipped(groups, together, [case + at for at in open_])
        clipped = dict(zip(open_, layers, strict=True))
        cutting.put(batch, _Found(chosen, signs[case:end], closed[case:end], seen[0] if seen else None, clipped))
        case, plane = end, plane + size * len(batch)


@dataclass(frozen=True, eq=False)
class Lots:
    """Trees of one domain that are gone on with together, as `ActivationSplitSearch.run` does with one.

    Attributes:
        trees: in lots; where one of a lot comes to nothing, the others are left alone too.
        most: cases that each tree may have in all.
        wanted: a tree with so many cases of which none closed is left alone.
    """

    trees: Sequence[Sequence[ActivationSplitSearch]]
    most: dict[int, int]
    wanted: int

    @classmethod
    def of(cls, trees: Sequence[Sequence[ActivationSplitSearch]], cases: int) -> Lots:
        """Each tree may have so many more cases."""
        most = {id(tree): tree.bounded + cases for lot in trees for tree in lot}
        return cls(trees, most, max(1, cases // NO_PROGRESS))

    def run(self, room: int, ends: float) -> int:
        """Bounds cases, in all about `room`, until the time ends; how many they were."""
        spent = 0
        while spent < room and time.monotonic() < ends:
            alive = [tree for lot in self.trees if not any(map(self._is_hopeless, lot)) for tree in lot]
            parts = self._parts([tree for tree in alive if not tree.closed])
            if not parts:
                break
            for roots in (True, False):
                same = [(tree, batch) for tree, batch in parts if (batch[0].start is None) == roots]
                if same:
                    bound(same)
            spent += sum(len(batch) for _, batch in parts)
        return spent

    def _is_hopeless(self, tree: ActivationSplitSearch) -> bool:
        fruitless = tree.bounded >= self.wanted and not tree.leaves
        return not tree.closed and (tree.met or fruitless or tree.bounded >= self.most[id(tree)])

    def _parts(self, trees: Sequence[ActivationSplitSearch]) -> list[tuple[ActivationSplitSearch, list[_Waiting]]]:
        if not trees:
            return []
        some = trees[: trees[0].batch]
        share = trees[0].batch // len(some)
        return [(tree, tree.take(min(share, self.most[id(tree)] - tree.bounded))) for tree in some]


def _clipped(groups: BoundTask, together: OptimisedBounds, cases: Sequence[int]) -> list[list[LayerBounds]]:
    """Bounds of the one input of some cases where the sum of their planes is >= 0, as it is where the claim is met."""
    if not cases:
        return []
    at = torch.tensor(cases, device=groups.index.device)
    first = torch.searchsorted(groups.group, at)
    parts = [bounds.take(first) for bounds in groups.own_layers]
    layers = [
        replace(bounds, open=layer.undecided(bounds.lower, bounds.upper))
        for layer, bounds in zip(groups.net.hidden, parts, strict=False)
    ]
    cut_by = together.total.take(at)
    clip = self_clip(groups.net, [*layers, parts[-1]], groups.geometry, groups.pairs.take(first), cut_by)
    one = torch.arange(len(cases), device=at.device)[:, None]
    return [[bounds.take(row) for bounds in clip.layers] for row in one]


def refuted(groups: BoundTask, together: OptimisedBounds) -> Tensor:
    """Groups that are below zero by as much as a recomputation in another order may be off, shape (G,)."""
    room = groups.summed(together.weights * (SLACK * together.size + ROUNDED * together.summed))
    return torch.isfinite(together.largest) & (together.largest < -room)


def _met(groups: BoundTask, together: OptimisedBounds) -> list[Tensor | None]:
    """Each group's largest point (d,) where it meets all its claims, by the center network."""
    points = groups.geometry.center[groups.domain] + together.where
    outputs = evaluate(groups.net, points[groups.group], groups.pairs.input)
    missed = groups.summed(((outputs * groups.rows).sum(1) + groups.constants < 0).double()).tolist()
    return [None if some else point for some, point in zip(missed, points, strict=True)]


def _all(parts: Sequence[BoundTask]) -> BoundTask:
    """Groups of one domain as one: all on the same bounds, or each on its own."""
    layers, indices = parts[0].layers, [part.index for part in parts]
    if any(part.layers is not layers for part in parts):
        rows = np.cumsum([0, *(len(part.layers[0].lower) for part in parts[:-1])]).tolist()
        indices = [index + shift for index, shift in zip(indices, rows, strict=True)]
        layers = [joined(column) for column in zip(*(part.layers for part in parts), strict=True)]
    shifts = np.cumsum([0, *(len(part.limits) for part in parts[:-1])]).tolist()
    return replace(
        parts[0],
        layers=layers,
        index=torch.cat(indices),
        pairs=Subproblems(
            torch.cat([part.pairs.domain for part in parts]), torch.cat([part.pairs.input for part in parts])
        ),
        rows=torch.cat([part.rows for part in parts]),
        constants=torch.cat([part.constants for part in parts]),
        group=torch.cat([part.group + shift for part, shift in zip(parts, shifts, strict=True)]),
        limits=torch.cat([part.limits for part in parts]),
        signs=[torch.cat(column) for column in zip(*(part.signs or () for part in parts), strict=True)],
    )


def _repeated(group: BoundTask, batch: Sequence[_Waiting]) -> BoundTask:
    """The group once for each case, with the case's signs."""
    many, size = len(batch), len(group.index)
    again = torch.arange(size, device=group.index.device).repeat(many)
    cases = torch.arange(many, device=group.index.device)
    layers, index = group.layers, group.index[again]
    if any(one.layers for one in batch):
        own = [one.layers or [bounds.take(group.index[:1]) for bounds in group.layers] for one in batch]
        layers, index = [joined(column) for column in zip(*own, strict=True)], cases.repeat_interleave(size)
    return replace(
        group,
        layers=layers,
        index=index,
        pairs=group.pairs.take(again),
        rows=group.rows[again],
        constants=group.constants[again],
        group=cases.repeat_interleave(size),
        limits=group.limits[:1].repeat(many),
        signs=_signs(group, batch),
    )


def _signs(group: BoundTask, batch: Sequence[_Waiting]) -> list[Tensor]:
    """What each case knows, on the planes of its inputs: per hidden layer shape (cases * P, n)."""
    size, device = len(group.index), group.index.device
    of_input: dict[int, list[int]] = {}
    for plane, input_ in enumerate(group.pairs.input.tolist()):
        of_input.setdefault(input_, []).append(plane)
    known: list[list[tuple[int, int, int]]] = [[] for _ in group.net.hidden]
    for number, one in enumerate(batch):
        for sign in one.signs:
            known[sign.layer] += [(number * size + at, sign.neuron, sign.sign) for at in of_input[sign.input]]
    found = []
    for layer, entries in zip(group.net.hidden, known, strict=True):
        signs = torch.zeros(len(batch) * size, len(layer.weight), dtype=torch.float64, device=device)
        if entries:
            row, neuron, sign = torch.tensor(entries, device=device).T
            signs[row, neuron] = sign.double()
        found.append(signs)
    return found
