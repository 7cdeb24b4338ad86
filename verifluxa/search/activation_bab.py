"""Branch and bound on activations: neurons of a group's inputs are split until no case can be met.

A case knows the signs of some pre-activations, each of one input. What was bounded above a split neuron stays as it
was; only its own lines change, and its pre-activation may be added to a row (beta-CROWN). That keeps a case as cheap
as a few passes of the group's rows. A group of one claim is branch and bound on one input; larger groups are cases of
several inputs under one trigger (cf. Suresh et al. 2024, RABBit, NeurIPS).

`tightened` makes the bounds that the cases of one input start from: what optimises a row over the outputs optimises a
bound of a neuron as well, in the network that stops there (Xu et al. 2021, alpha-CROWN, section 3.2: slopes of
intermediate bounds). A byte for each slope under each bound is much for one bound, and little for a tree of many cases
that all inherit it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds import (
    BoundParameters,
    BoundTask,
    ChosenNeurons,
    Geometry,
    LayerBounds,
    Net,
    NetLayer,
    OptimisedBounds,
    SinglePrecision,
    Subproblems,
    bound_all_layers,
    bound_next_layer,
    concat_layer_bounds,
    concat_parameters,
    evaluate_net,
    narrowed_interval,
    nearest_levels,
    optimise_bounds,
    pair_count,
    relaxed_activations,
    relaxed_function,
    repeat_blocks,
    self_clip,
    sum_blocks,
    unstable_neurons,
)
from verifluxa.evidence import MOST_LEVELS, IntermediateSlopes
from verifluxa.search.bab import Batch, Budget, Search, run
from verifluxa.search.disjuncts import ROUNDED, SLACK
from verifluxa.search.splitters import Sign
from verifluxa.stages import CrossStage, CrossThresholds

DEEPEST = 200
"""Splits below each other."""
LEAST_CASES, MOST_CASES, NUMBERS = 8, 64, 2**16
"""How many cases are bounded at once: as many as have so many neurons on all planes together, within these ends."""
NO_PROGRESS = 4
"""Of many trees one is left alone for now when none of its cases has closed in this part of what it may have."""
TIES = 0.01
"""What the intercepts of a neuron count beside its gap."""
STEPS = 10
"""Gradient steps for each bound of a neuron: 20 spare a twentieth of the cases, which takes longer than it saves."""


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
class _OpenCase:
    """A case that is to be bounded, what is known of signs, and what its parent's planes were made with.

    `layers` are bounds of one pair that hold in the case; empty: those of the group.
    """

    case: Case
    signs: tuple[Sign, ...]
    start: BoundParameters | None
    layers: Sequence[LayerBounds] = ()


@dataclass(kw_only=True)
class ActivationSearch(Search[_OpenCase]):
    """Shows by cases that the claims of one group cannot be met together; may be gone on with.

    It is finished once a point was seen that meets all claims, or nothing is left to split: no use going on.

    Attributes:
        group: one group (G = 1).
        root: the tree.
        steps: gradient steps of a case.
        root_steps: of the first one, which all others start from.
        clips: whether a case's sum of planes may clip what its own cases start from; then all planes are of one claim.
        thresholds: that were measured.
        kept: which planes of the group the cases below the root have, shape (P,); None: all.
        seen: the point that meets all claims, shape (d,), or None.
        leaves: cases that closed.
    """

    group: BoundTask
    root: Case
    steps: int
    root_steps: int
    clips: bool = False
    thresholds: CrossThresholds = CrossStage.thresholds
    kept: Tensor | None = None
    seen: Tensor | None = None
    leaves: int = 0

    @classmethod
    def of(
        cls,
        group: BoundTask,
        steps: int = 6,
        root_steps: int | None = None,
        *,
        clips: bool = False,
        thresholds: CrossThresholds = CrossStage.thresholds,
    ) -> ActivationSearch:
        """A search that has bounded nothing yet."""
        root = Case()
        first = steps if root_steps is None else root_steps
        return cls(
            [_OpenCase(root, (), None)],
            Budget(),
            group=group,
            root=root,
            steps=steps,
            root_steps=first,
            clips=clips,
            thresholds=thresholds,
        )

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
    def narrow(self) -> BoundTask:
        """The group with the planes that the next cases have."""
        return self.group if self.kept is None else self.group.take(self.kept)

    @property
    def closed(self) -> bool:
        """Whether every case is closed."""
        return not self.stack and not self.finished

    @property
    def cases_left(self) -> int:
        """How many cases it may bound for now."""
        return int(self.budget.boxes) - self.budget.spent

    def meets(self, point: Tensor) -> bool:
        """Whether a point (d,) meets all planes' rows, by the center network."""
        group = self.group
        outputs = evaluate_net(group.net, point.expand(len(group.index), -1), group.pairs.input)
        return bool(((outputs * group.rows).sum(1) + group.constants >= 0).all())

    def take(self, count: int) -> list[_OpenCase]:
        """The last open cases, in their order."""
        return [self.pop() for _ in range(min(count, len(self.stack)))][::-1]

    def weighty(self, chosen: BoundParameters) -> Tensor:
        """Planes that have weight beside the heaviest of their input."""
        logarithms = chosen.log_weights[:, 0]
        inputs, of_input = torch.unique(self.group.pairs.input, return_inverse=True)
        heaviest = logarithms.new_full((len(inputs),), -math.inf).scatter_reduce(0, of_input, logarithms, "amax")
        return (logarithms >= heaviest[of_input] + math.log(self.thresholds.least_weight)).nonzero()[:, 0]


def go_on(
    lots: Sequence[Sequence[ActivationSearch]], cases: int, room: int, deadline: float, *, impatient: bool = False
) -> int:
    """Bounds cases of some searches of one domain side by side; how many they were.

    Args:
        lots: where one search of a lot comes to nothing, the others are left alone too.
        cases: that each search may have, beyond those of before.
        room: how many they may have together, about.
        deadline: on the clock of `time.monotonic`.
        impatient: whether a search is left alone when none of its cases has closed in part of what it may have.
    """
    for search in (search for lot in lots for search in lot):
        search.budget.boxes = search.budget.spent + cases
    wanted = max(1, cases // NO_PROGRESS) if impatient else math.inf
    together = Budget(deadline, room)

    def is_hopeless(search: ActivationSearch) -> bool:
        fruitless = search.budget.spent >= wanted and not search.leaves
        return not search.closed and (search.finished or fruitless or search.cases_left <= 0)

    def pop(_: Sequence[ActivationSearch]) -> Batch[ActivationSearch, _OpenCase]:
        alive = [search for lot in lots if not any(map(is_hopeless, lot)) for search in lot if not search.closed]
        if together.exceeded or not alive:
            return []
        some = alive[: alive[0].batch]
        share = alive[0].batch // len(some)
        batch = [(search, one) for search in some for one in search.take(min(share, search.cases_left))]
        together.spent += len(batch)
        return batch

    run([search for lot in lots for search in lot], pop, _bound, _close_or_split)
    return together.spent


class _CaseBound(NamedTuple):
    """Of a case: its planes' parameters, where to split it, whether it closed, its largest point where that meets all.

    `layers`: what its own cases start from, where the sum of its planes clipped that; else nothing.
    """

    chosen: BoundParameters
    sign: Sign | None
    closed: bool
    point: Tensor | None
    layers: Sequence[LayerBounds]


def _close_or_split(search: ActivationSearch, one: _OpenCase, found: _CaseBound) -> list[_OpenCase]:
    if found.point is not None and search.meets(found.point):
        search.seen, search.finished = found.point, True
        return []
    if found.closed:
        one.case.planes = found.chosen
        search.leaves += 1
        return []
    if found.sign is None or len(one.signs) >= DEEPEST:
        search.finished = True
        return []
    if found.layers:
        one.case.planes = found.chosen
    sign, start = found.sign, found.chosen
    one.case.split, one.case.children = sign, [Case(), Case()]
    if search.kept is None:
        search.kept = search.weighty(start)
    if one.case is search.root:
        start = start.take(search.kept)
    return [
        _OpenCase(child, (*one.signs, sign._replace(sign=side)), start, found.layers or one.layers)
        for child, side in zip(one.case.children, (-1, 1), strict=True)
    ]


def _bound(batch: Batch[ActivationSearch, _OpenCase]) -> list[_CaseBound]:
    """Bounds cases of several searches; roots have planes of their own, so they do not go with others."""
    found: dict[int, _CaseBound] = {}
    for roots in (True, False):
        at = [number for number, (_, one) in enumerate(batch) if (one.start is None) == roots]
        if at:
            found.update(zip(at, _bound_alike([batch[number] for number in at]), strict=True))
    return [found[number] for number in range(len(batch))]


def _bound_alike(batch: Batch[ActivationSearch, _OpenCase]) -> list[_CaseBound]:
    """Either all of the cases are roots, or none is."""
    parts = [(search, [one for _, one in own]) for search, own in _by_search(batch)]
    groups = _all([_repeated(search.narrow, own) for search, own in parts])
    starts = [one.start for _, one in batch if one.start is not None]
    steps = parts[0][0].steps if starts else parts[0][0].root_steps
    together = optimise_bounds(groups, steps, steps, concat_parameters(starts) if starts else None, smooth=False)
    closed = refuted(groups, together).tolist()
    # Roots of easy claims close at once, and then nothing asks where to go on.
    signs: list[Sign | None] = [None] * len(batch)
    points: list[Tensor | None] = [None] * len(batch)
    if not all(closed):
        signs, points = best_neurons(groups, together), _met(groups, together)
    found: list[_CaseBound] = []
    plane = 0
    for search, own in parts:
        clips = search.clips and search.budget.spent - len(own) >= search.thresholds.clipped_from
        cases = range(len(found), len(found) + len(own))
        open_ = [case for case in cases if clips and not closed[case]]
        clipped = dict(zip(open_, _clipped(groups, together, open_), strict=True))
        for case in cases:
            chosen = together.chosen.take(slice(plane, plane + search.planes))
            found.append(_CaseBound(chosen, signs[case], closed[case], points[case], clipped.get(case, ())))
            plane += search.planes
    return found


def _by_search(
    batch: Batch[ActivationSearch, _OpenCase],
) -> list[tuple[ActivationSearch, Batch[ActivationSearch, _OpenCase]]]:
    groups = groupby(batch, key=lambda pair: id(pair[0]))
    lists = [list(own) for _, own in groups]
    return [(own[0][0], own) for own in lists]


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
    outputs = evaluate_net(groups.net, points[groups.group], groups.pairs.input)
    missed = groups.summed(((outputs * groups.rows).sum(1) + groups.constants < 0).double()).tolist()
    return [None if some else point for some, point in zip(missed, points, strict=True)]


def _all(parts: Sequence[BoundTask]) -> BoundTask:
    """Groups of one domain as one: all on the same bounds, or each on its own."""
    layers, indices = parts[0].layers, [part.index for part in parts]
    if any(part.layers is not layers for part in parts):
        rows = np.cumsum([0, *(len(part.layers[0].lower) for part in parts[:-1])]).tolist()
        indices = [index + shift for index, shift in zip(indices, rows, strict=True)]
        layers = [concat_layer_bounds(column) for column in zip(*(part.layers for part in parts), strict=True)]
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


def _repeated(group: BoundTask, batch: Sequence[_OpenCase]) -> BoundTask:
    """The group once for each case, with the case's signs."""
    many, size = len(batch), len(group.index)
    again = torch.arange(size, device=group.index.device).repeat(many)
    cases = torch.arange(many, device=group.index.device)
    layers, index = group.layers, group.index[again]
    if any(one.layers for one in batch):
        own = [one.layers or [bounds.take(group.index[:1]) for bounds in group.layers] for one in batch]
        layers, index = (
            [concat_layer_bounds(column) for column in zip(*own, strict=True)],
            cases.repeat_interleave(size),
        )
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


def _signs(group: BoundTask, batch: Sequence[_OpenCase]) -> list[Tensor]:
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


def best_neurons(groups: BoundTask, together: OptimisedBounds) -> list[Sign | None]:
    """For each group the neuron whose two cases promise most.

    Where the relaxed network reaches the group's largest point, each neuron has a value between its lines; what the
    true function says of the same pre-activation is less for the rows, and the neuron with the largest difference is
    split (of 55 claims of a convolutional network 31 closed within 300 cases by the intercepts of
    `splitters.choose_neuron`, 36 by this). Those break ties.
    """
    layers, chosen = groups.own_layers, together.chosen
    slopes, betas = ([part.float() for part in parts] for parts in (chosen.alphas, chosen.betas))
    at = SinglePrecision(groups, ()).evaluate(slopes, betas)
    met = relaxed_activations(at.hidden, at.passed, together.where[groups.group].float())
    best: list[tuple[float, Sign | None]] = [(0.0, None)] * len(groups.limits)
    assert groups.signs is not None
    for number, (layer, bounds) in enumerate(zip(groups.net.hidden, layers, strict=False)):
        if not len(layer.weight):  # nothing that the trigger changes is read here
            continue
        free = groups.free[number] & (groups.signs[number] == 0)
        gain = _gap(layer, bounds, at.passed[number].above[:, 0], slopes[number], met[number])
        score, neuron = torch.where(free, gain * together.weights[:, None], 0.0).max(1)
        for plane, (value, neuron_at) in enumerate(zip(score.tolist(), neuron.tolist(), strict=True)):
            group = int(groups.group[plane])
            if value > best[group][0]:
                best[group] = value, Sign(int(groups.pairs.input[plane]), number, neuron_at, 0)
    return [sign for _, sign in best]


def _gap(layer: NetLayer, bounds: LayerBounds, above: Tensor, slope: Tensor, z: Tensor) -> Tensor:
    """What the lines of each neuron cost a row where the relaxed pre-activations are z, shape (C, n)."""
    relaxed = bounds.relaxed
    assert relaxed is not None
    pairs = pair_count(layer.special)
    upper = sum_blocks(relaxed.upper_slope * z, pairs) + relaxed.upper_intercept
    meets = torch.where(above[:, : upper.shape[1]] > 0, upper, sum_blocks(slope * z, pairs))
    cost = above * repeat_blocks(meets - layer.apply(z), pairs)
    ends = (relaxed_function(layer, end) - slope * end for end in (bounds.lower, bounds.upper))
    most = above.clamp(min=0) * repeat_blocks(relaxed.upper_intercept, pairs) - above.clamp(max=0) * torch.maximum(
        *ends
    )
    return cost.double() + TIES * most


def tightened(
    net: Net, geometry: Geometry, pairs: Subproblems, most_levels: int = MOST_LEVELS
) -> tuple[list[LayerBounds], tuple[IntermediateSlopes, ...]]:
    """Bounds of every layer of one input, bottom up, and how the ends of hidden layers came about.

    Layers whose ends would need more slopes than evidence may hold keep the default rule.

    Args:
        net: of which `alpha.is_supported` holds.
        geometry: of the domains.
        pairs: one.
        most_levels: of all slopes together, that evidence may hold.
    """
    bounds = bound_all_layers(net, geometry, pairs)
    ends: list[IntermediateSlopes] = []
    for number in range(1, len(net.hidden)):
        if ends:
            bounds[number] = bound_next_layer(net, bounds[:number], geometry, pairs, "crown")
        places = ChosenNeurons.of(net.layers[number].undecided(bounds[number].lower, bounds[number].upper))
        free = [unstable_neurons(layer, own)[0] for layer, own in zip(net.layers, bounds[:number], strict=False)]
        size = 2 * len(places.neuron) * sum(int(part.sum()) for part in free)
        if not 0 < size <= most_levels - sum(len(own.levels) for own in ends):
            continue
        bounds[number], levels = _tightened(net, bounds[: number + 1], geometry, pairs, places)
        bent = [part.nonzero()[:, 0] for part in free]
        given = torch.cat([part[:, at] for part, at in zip(levels, bent, strict=True)], 1).to(torch.uint8)
        named, neurons = tuple(tuple(part.tolist()) for part in bent), tuple(places.neuron.tolist())
        ends.append(IntermediateSlopes(int(pairs.input[0]), number, neurons, named, bytes(given.flatten().tolist())))
    if ends:
        bounds[-1] = bound_next_layer(net, bounds[:-1], geometry, pairs, "crown")
    return bounds, tuple(ends)


def _tightened(
    net: Net, bounds: list[LayerBounds], geometry: Geometry, pairs: Subproblems, places: ChosenNeurons
) -> tuple[LayerBounds, list[Tensor]]:
    """The last of some layers, both ends of some of its neurons anew, with the levels of slopes under each."""
    own, neurons, count = bounds[-1], places.neuron, len(places.neuron)
    shorter = Net(net.layers[: len(bounds)], net.unsafe, net.largest_radius)
    each = torch.arange(2 * count, device=neurons.device)
    rows = own.lower.new_zeros(2 * count, own.lower.shape[1])
    rows[each, neurons.repeat(2)] = torch.where(each < count, 1.0, -1.0).to(rows)
    at, nothing = torch.zeros_like(each), rows.new_zeros(2 * count)
    groups = BoundTask(shorter, bounds, geometry, at, pairs.take(at), rows, nothing, each, nothing - math.inf)
    together = optimise_bounds(groups, STEPS, STEPS, smooth=False)
    most = torch.where(torch.isfinite(together.largest), together.largest, math.inf)
    lower, upper = narrowed_interval(own.lower, own.upper, places, most[count:], most[:count])
    # Ends that cross by a rounding are one value.
    upper = torch.maximum(lower, upper)
    tight = LayerBounds(lower, upper, own.radius, own.open, shorter.layers[-1].relax(lower, upper))
    return tight, [nearest_levels(part) for part in together.chosen.alphas]
