"""Conflicts by cases: neurons of a group's inputs are split until no case can be met.

A case knows the signs of some pre-activations, each of one input. What was bounded above a split neuron stays as it
was; only its own lines change, and its pre-activation may be added to a row (beta-CROWN). That keeps a case as cheap
as a few passes of the group's rows. A group of one claim is branch and bound on one input; larger groups are cases of
several inputs under one trigger (cf. Suresh et al. 2024, RABBit, NeurIPS).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from verifluxa.bounds.beta import Multipliers, bent, chooses
from verifluxa.bounds.cross import Chosen, Groups, Together, optimise_together
from verifluxa.bounds.linear import LayerBounds, NetLayer, evaluate
from verifluxa.bounds.maxima import folded, pairs_of, spread_over
from verifluxa.search.claims import ROUNDED, SLACK
from verifluxa.search.splits import Sign

TIES = 0.01
DEEPEST = 200
"""Splits below each other."""
LEAST_CASES, MOST_CASES, NUMBERS = 8, 64, 2**15
"""How many cases are bounded at once: as many as have so many neurons on all planes together, within these ends."""


@dataclass
class Case:
    """A node of the tree: a closed leaf has planes, an inner node a split and two children (<= 0, then >= 0).

    Attributes:
        split: the neuron of an input, or None.
        children: two, or none.
        planes: of a closed leaf, by the group's order: weights (P,) and multipliers (P, n).
    """

    split: Sign | None = None
    children: list[Case] = field(default_factory=list)
    planes: Chosen | None = None


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A case that is to be bounded, what is known of signs, and what its parent's planes were made with."""

    case: Case
    signs: tuple[Sign, ...]
    start: Chosen | None


@dataclass
class Cutting:
    """Shows by cases that the claims of one group cannot be met together; may be gone on with.

    Attributes:
        group: one group (G = 1).
        steps: gradient steps of a case.
        root: the tree.
        waiting: its open leaves.
        met: whether a point was seen that meets all claims, or nothing is left to split: no use going on.
        seen: that point, shape (d,), or None.
        bounded: cases so far.
    """

    group: Groups
    steps: int = 15
    root: Case = field(default_factory=Case)
    waiting: list[_Waiting] = field(default_factory=list)
    met: bool = False
    seen: Tensor | None = None
    bounded: int = 0

    def __post_init__(self) -> None:
        self.waiting = [_Waiting(self.root, (), None)]

    @cached_property
    def batch(self) -> int:
        """Cases that are bounded at once: small ones cost hardly more together than alone."""
        neurons = len(self.group.index) * sum(len(layer.weight) for layer in self.group.net.hidden)
        return max(LEAST_CASES, min(MOST_CASES, NUMBERS // max(1, neurons)))

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
            batch, self.waiting = self.waiting[-self.batch :], self.waiting[: -self.batch]
            cases -= len(batch)
            self._bound(batch)
        return self.closed

    def _bound(self, batch: list[_Waiting]) -> None:
        self.bounded += len(batch)
        groups = _repeated(self.group, batch)
        start = None if batch[0].start is None else _joined([one.start for one in batch if one.start is not None])
        together = optimise_together(groups, self.steps, self.steps, start)
        closed = refuted(groups, together)
        self.seen = _met(groups, together)
        self.met = self.seen is not None
        size = len(self.group.index)
        for number, (one, sign) in enumerate(zip(batch, _neurons(groups, together), strict=True)):
            own = together.chosen.take(slice(number * size, (number + 1) * size))
            if bool(closed[number]):
                one.case.planes = own
            elif sign is None or len(one.signs) >= DEEPEST:
                self.met = True
            else:
                self._split(one, sign, own)
        if self.met:
            self.waiting = self.waiting or batch

    def _split(self, one: _Waiting, sign: Sign, own: Chosen) -> None:
        one.case.split, one.case.children = sign, [Case(), Case()]
        self.waiting += [
            _Waiting(child, (*one.signs, sign._replace(sign=side)), own)
            for child, side in zip(one.case.children, (-1, 1), strict=True)
        ]


def refuted(groups: Groups, together: Together) -> Tensor:
    """Groups that are below zero by as much as a recomputation in another order may be off, shape (G,)."""
    room = groups.summed(together.weights * (SLACK * together.size + ROUNDED * together.summed))
    return torch.isfinite(together.largest) & (together.largest < -room)


def _met(groups: Groups, together: Together) -> Tensor | None:
    """A group's largest point (d,) that meets all its claims, by the center network, or None."""
    points = groups.geometry.center[groups.domain] + together.where
    outputs = evaluate(groups.net, points[groups.group], groups.pairs.input)
    missed = groups.summed(((outputs * groups.rows).sum(1) + groups.constants < 0).double())
    met = (missed == 0).nonzero()[:, 0]
    return points[met[0]] if len(met) else None


def _joined(parts: Sequence[Chosen]) -> Chosen:
    def columns(name: str) -> list[Tensor]:
        return [torch.cat(column) for column in zip(*(getattr(p.multipliers, name) for p in parts), strict=True)]

    return Chosen(Multipliers(columns("slopes"), columns("pushes")), torch.cat([p.logarithms for p in parts]))


def _repeated(group: Groups, batch: Sequence[_Waiting]) -> Groups:
    """The group once for each case, with the case's signs."""
    many, size = len(batch), len(group.index)
    again = torch.arange(size, device=group.index.device).repeat(many)
    cases = torch.arange(many, device=group.index.device)
    return replace(
        group,
        index=group.index[again],
        pairs=group.pairs.take(again),
        rows=group.rows[again],
        constants=group.constants[again],
        group=cases.repeat_interleave(size),
        limits=group.limits[:1].repeat(many),
        signs=_signs(group, batch),
    )


def _signs(group: Groups, batch: Sequence[_Waiting]) -> list[Tensor]:
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


def _neurons(groups: Groups, together: Together) -> list[Sign | None]:
    """For each group the neuron whose two cases promise most.

    Where the relaxed network reaches the group's largest point, each neuron has a value between its lines; what the
    true function says of the same pre-activation is less for the rows, and the neuron with the largest difference is
    split (of 55 claims of a convolutional network 31 closed within 300 cases by the intercepts of
    `splits.choose_neuron`, 36 by this). Those break ties.
    """
    layers, multipliers = groups.own_layers(), together.chosen.multipliers
    slopes, pushes = ([part.float() for part in parts] for parts in (multipliers.slopes, multipliers.pushes))
    claims = groups.claims(layers)
    walked = claims.walk(slopes, pushes)
    met = claims.meet(walked, slopes, claims.center + together.where[groups.group].float())
    best: list[tuple[float, Sign | None]] = [(0.0, None)] * len(groups.limits)
    assert groups.signs is not None
    for number, (layer, bounds) in enumerate(zip(groups.net.hidden, layers, strict=False)):
        if not len(layer.weight):  # nothing that the trigger changes is read here
            continue
        free = chooses(layer, bounds) & (groups.signs[number] == 0)
        gain = _gap(layer, bounds, (walked.above[number], slopes[number], met[number]))
        score, neuron = torch.where(free, gain * together.weights[:, None], 0.0).max(1)
        for plane, (value, at) in enumerate(zip(score.tolist(), neuron.tolist(), strict=True)):
            group = int(groups.group[plane])
            if value > best[group][0]:
                best[group] = value, Sign(int(groups.pairs.input[plane]), number, at, 0)
    return [sign for _, sign in best]


def _gap(layer: NetLayer, bounds: LayerBounds, at: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What the lines of each neuron cost a row where the relaxed pre-activations are z, shape (C, n)."""
    above, slope, z = at
    relaxed = bounds.relaxed
    assert relaxed is not None
    pairs = pairs_of(layer.special)
    upper = folded(relaxed.upper_slope * z, pairs) + relaxed.upper_intercept
    meets = torch.where(above[:, : upper.shape[1]] > 0, upper, folded(slope * z, pairs))
    cost = above * spread_over(meets - layer.apply(z), pairs)
    ends = (bent(layer, end) - slope * end for end in (bounds.lower, bounds.upper))
    most = above.clamp(min=0) * spread_over(relaxed.upper_intercept, pairs) - above.clamp(max=0) * torch.maximum(*ends)
    return cost.double() + TIES * most
