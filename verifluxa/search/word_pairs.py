"""Two or more words: too many to evaluate, so clusters of words are bounded and what bounds leave open is evaluated.

A node is a set of words for each place. On the hull of their rows (a box) linear bounds of every claim are computed,
`row <= value + slope . (rows - center)`, which hold at each combination of words of the node: the bound of a
combination is a sum of one number for each place. Combinations that may bring `threshold` inputs over, by these
bounds, are few; they are evaluated with their error radii as single words are. Where they are many the node is
halved at each place, along the direction in which its rows spread most.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verifluxa.bounds import Subproblems, bound_all_layers
from verifluxa.evidence import Node, Outcome, Unrecorded
from verifluxa.question import AffineInputMap, Domain, Placement, Question
from verifluxa.search import words
from verifluxa.search.bab import Batch, Budget, Incumbent, Search, in_turn, run
from verifluxa.search.disjuncts import BoundContext, constraint_bounds
from verifluxa.search.words import NetworkSplit, Slots, Table, base_of, judged, slots_of, strongest_of
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FIRST = 128
"""Words of a cluster at the beginning."""
LEAST = 1024
"""Combinations of a node that are evaluated rather than halved once more."""
SHARE = 0.1
"""Where bounds leave open no more than this share of a node's combinations, those are evaluated."""
BATCH = 2**14
"""Combinations that are evaluated at once."""
AT_ONCE = 2**24
"""Bounds of combinations that live at once."""
SECONDS = 600.0
"""Wall-clock time for one question, where the run has no earlier end."""
BEST = 48
"""Words of each place that are tried together at the beginning."""


Cluster = tuple[Integers, ...]
"""Words of each place."""


@dataclass(kw_only=True)
class _WordSearch(Search[Cluster]):
    """One question of a placement: what was found and what is proved so far."""

    found: Incumbent
    claims: Claims
    proved: int = 0


@dataclass(frozen=True, eq=False)
class _Scene:
    """A placement seen behind the look-up.

    Attributes:
        work: of the problem itself, with the placement's domain.
        cut, slots: of the placement.
        inner: a workspace of the tail, whose one placement puts rows.
        rows: of the words of each place, shape (m, features).
        columns: flat places of all rows in the tail's input.
    """

    work: Workspace
    cut: NetworkSplit
    slots: Slots
    inner: Workspace
    rows: tuple[Floats, ...]
    columns: Integers


def decide_listed(
    work: Workspace, cut: NetworkSplit, questions: Sequence[Question], late: float | None
) -> Iterator[Outcome]:
    """Decides questions of one placement whose triggers are listed: one and all, or by clusters where they are many.

    Args:
        work: of the placement.
        cut: of its problem; see `words.enumerable`.
        questions: of the placement.
        late: past this (`time.monotonic`) the rest is unknown.
    """
    place = work.problem.placements[questions[0].placement]
    slots = slots_of(place.stamp, work.problem.domain)
    # Places that depend on the input have no stamp that is the same for all: they are tried one and all, or not at all.
    many = slots is not None and slots.count > words.MOST_TRIGGERS and cut.split.table is not None
    yield from (decide_pairs if many else words.decide_words)(work, cut, questions, late)


def decide_pairs(
    work: Workspace, cut: NetworkSplit, questions: Sequence[Question], late: float | None
) -> Iterator[Outcome]:
    """Decides questions of one placement with too many triggers to evaluate them all; see `words.decide_words`.

    Args:
        work: of the placement.
        cut: of its problem.
        questions: of the placement.
        late: past this (`time.monotonic`) the rest is unknown.
    """
    started = time.monotonic()
    context = _scene(work, cut, questions[0].placement)
    known = work.kept.setdefault("pairs", {})
    words_of = tuple(points.tobytes() for points in context.slots.points)
    key = (context.inner.problem.inputs.tobytes(), context.columns.tobytes(), words_of)
    searches = []
    for question in questions:
        search = _begun(context, question, late)
        before = known.get((key, question[1:]))
        if before is None or not _take_over(context, search, before):
            _try(context, search, _promising(context, search))
            run([search], partial(in_turn, room=1), partial(_bound, context), partial(_branch, context))
            known[key, question[1:]] = search
        searches.append(search)
    for search in searches:
        yield search.found.outcome(
            words.STAGE,
            Reason.TIME if search.cut_short else search.reason,
            search.proved,
            otherwise=len(work.problem.selections[search.found.question.selection]),
            boxes=context.slots.count,
            seconds=time.monotonic() - started,
            # Decided by evaluation and bounds of clusters: there is nothing that a checker could follow step by step.
            tree=Node(step=Unrecorded()),
        )


def _begun(context: _Scene, question: Question, late: float | None) -> _WordSearch:
    """A search with all clusters open."""
    clusters: list[Cluster] = [()]
    for part in context.rows:
        clusters = [(*one, own) for one in clusters for own in _clusters(part, np.arange(len(part)), FIRST)]
    claims = context.inner.claims(question.violation, question.selection)
    return _WordSearch(clusters, Budget.of(SECONDS, late), found=Incumbent(question), claims=claims)


def _take_over(context: _Scene, search: _WordSearch, before: _WordSearch) -> bool:
    """Takes over what an equal placement gave: a proof as it is, a trigger once it is replayed here."""
    if before.reason is not None:
        return False
    if before.found.witness is not None:
        trigger = before.found.witness.trigger
        if not search.found.replay(context.work, trigger, _sure(context, search, trigger)):
            return False
    search.found.strongest, search.proved = before.found.strongest, before.proved
    return True


def _sure(context: _Scene, search: _WordSearch, trigger: Floats) -> NDArray[np.bool_]:
    table = _evaluated(context, trigger[None], None)
    assert table is not None
    question = search.found.question
    certain: NDArray[np.bool_] = table.certain[
        question.violation, context.work.problem.selections[question.selection], 0
    ]
    return certain


def _scene(work: Workspace, cut: NetworkSplit, placement: int) -> _Scene:
    problem = work.problem
    stamp = problem.placements[placement].stamp
    slots = slots_of(stamp, problem.domain)
    assert slots is not None
    assert cut.split.table is not None
    base, places = base_of(problem, stamp, slots, cut)
    columns = (places[:, None] * cut.split.features + np.arange(cut.split.features)).ravel()
    rows = tuple(cut.split.table[points[:, 0].astype(np.int64)] for points in slots.points)
    inner = replace(
        problem,
        graph=cut.split.tail,
        inputs=cut.split.rows(base),
        placements=(Placement((), _put(columns)),),
        domain=_hull([np.arange(len(part)) for part in rows], rows),
        readout=-1 if problem.readout == -1 else cut.split.readout,
    )
    return _Scene(work, cut, slots, Workspace(inner, work.device), rows, columns)


def _put(columns: Integers) -> AffineInputMap:
    size = len(columns)
    return AffineInputMap(columns, np.zeros(size), np.eye(size), np.zeros(size))


def _hull(node: Sequence[Integers], rows: Sequence[Floats]) -> Domain:
    lower = np.concatenate([part[own].min(0) for own, part in zip(node, rows, strict=True)])
    upper = np.concatenate([part[own].max(0) for own, part in zip(node, rows, strict=True)])
    return Domain(lower, upper, np.zeros(len(lower)))


def _bound(context: _Scene, batch: Batch[_WordSearch, Cluster]) -> list[Integers]:
    """How many inputs each combination of a cluster may bring over, shape of the cluster."""
    return [_counts(context, search, cluster) for search, cluster in batch]


def _branch(context: _Scene, search: _WordSearch, cluster: Cluster, counts: Integers) -> list[Cluster]:
    """Halves a cluster at each place, or evaluates what its bounds leave open."""
    open_ = np.argwhere(counts >= search.found.question.threshold)
    if len(open_) > max(SHARE * counts.size, 1) and counts.size > LEAST:
        return _halved(context, cluster)
    closed = np.ones(counts.shape, dtype=bool)
    closed[tuple(open_.T)] = False
    search.proved = max(search.proved, int(counts[closed].max(initial=0)))
    chosen = np.stack([own[open_[:, k]] for k, own in enumerate(cluster)], 1)
    for start in range(0, len(open_), BATCH):
        _try(context, search, chosen[start : start + BATCH])
    return []


def _promising(context: _Scene, search: _WordSearch) -> Integers:
    """Combinations of the words that, by a linear view of the whole, bring most inputs nearest, shape (T, k)."""
    whole = [np.arange(len(part)) for part in context.rows]
    slopes = _planes(context, search, tuple(whole))[1].mean((0, 1))
    features = context.cut.split.features
    best = [
        np.argsort(-(part @ slopes[k * features : (k + 1) * features].numpy()))[:BEST]
        for k, part in enumerate(context.rows)
    ]
    return np.stack([axis.ravel() for axis in np.meshgrid(*best, indexing="ij")], 1)


def _try(context: _Scene, search: _WordSearch, chosen: Integers) -> None:
    """Evaluates combinations (T, k), given as indices into the words of each place; stops at one that refutes."""
    if not len(chosen) or search.finished:
        return
    triggers = np.stack([points[chosen[:, k], 0] for k, points in enumerate(context.slots.points)], 1)
    table = _evaluated(context, triggers, search.budget.deadline)
    if table is None:
        search.reason = Reason.TIME
        search.stop()
        return
    problem, found, question = context.work.problem, search.found, search.found.question
    asked = problem.selections[question.selection]
    possible, certain, nominal = (
        part[question.violation][asked] for part in (table.possible, table.certain, table.nominal)
    )
    counts = possible.sum(0)
    found.strongest = found.strongest.or_stronger(strongest_of(problem, question, certain, triggers.__getitem__))
    search.proved = max(search.proved, int(counts.max()))
    for at in np.lexsort((-counts, -nominal.sum(0), -certain.sum(0)))[:8]:
        if counts[at] >= question.threshold and found.replay(context.work, triggers[at], certain[:, at]):
            search.stop()
            break
    if found.witness is None and bool((counts >= question.threshold).any()):
        search.reason = Reason.PRECISION


def _evaluated(context: _Scene, triggers: Floats, late: float | None) -> Table | None:
    features = context.cut.split.features
    places = context.columns[::features] // features
    columns, put = context.cut.split.put(places, triggers)
    return judged(context.work.problem, context.cut.split, context.inner.constants, columns, put, late)


def _clusters(rows: Floats, own: Integers, most: int) -> list[Integers]:
    """Halves along the widest direction until no cluster has more than `most` words."""
    if len(own) <= most:
        return [own]
    return [part for half in _halves(rows, own) for part in _clusters(rows, half, most)]


def _halves(rows: Floats, members: Integers) -> list[Integers]:
    if len(members) < 2:
        return [members]
    own = rows[members] - rows[members].mean(0)
    order = members[np.argsort(own @ np.linalg.svd(own, full_matrices=False)[2][0])]
    return [order[: len(order) // 2], order[len(order) // 2 :]]


def _halved(context: _Scene, node: Cluster) -> list[Cluster]:
    parts: list[Cluster] = [()]
    for rows, own in zip(context.rows, node, strict=True):
        parts = [(*part, half) for part in parts for half in _halves(rows, own)]
    return parts


def _planes(context: _Scene, search: _WordSearch, node: Cluster) -> tuple[Tensor, Tensor, Tensor]:
    """Bounds of all claims on the hull of one node: value at the center (C, r), slope (C, r, d), limit (C, r)."""
    work, claims = context.inner, search.claims
    hull = _hull(node, context.rows)
    box = (torch.as_tensor(end, device=work.device)[None] for end in (hull.lower, hull.upper))
    inside = BoundContext.of_boxes(work, work.net(0), *box)
    inputs, index = torch.unique(claims.input, return_inverse=True)
    pairs = Subproblems(torch.zeros_like(inputs), inputs)
    layers = bound_all_layers(inside.net, inside.geometry, pairs)
    planes = constraint_bounds(inside, layers, index, pairs.take(index), inside.rows(claims))
    # What may overflow has no bounds: it counts as violating whatever the words are.
    fine = inside.bounded(layers, inputs)[index][:, None]
    return torch.where(fine, planes.value, torch.inf), planes.slope, planes.limit


def _counts(context: _Scene, search: _WordSearch, node: Cluster) -> Integers:
    """How many inputs each combination may bring over, by bounds on the cluster, shape of the cluster."""
    value, slope, limit = _planes(context, search, node)
    hull = _hull(node, context.rows)
    center = (hull.lower + hull.upper) / 2
    features, sizes = context.cut.split.features, [len(own) for own in node]
    effects = []
    for k, (rows, own) in enumerate(zip(context.rows, node, strict=True)):
        part = slice(k * features, (k + 1) * features)
        effects.append(slope[..., part].cpu() @ torch.as_tensor(rows[own] - center[part]).T)
    start = (value - limit).cpu()
    inputs, index = torch.unique(search.claims.input.cpu(), return_inverse=True)
    counts = torch.zeros(int(np.prod(sizes)), dtype=torch.int64)
    at_once = max(1, AT_ONCE * len(inputs) // (len(index) * start.shape[1] * len(counts)))
    for first in range(0, len(inputs), at_once):
        members = ((index >= first) & (index < first + at_once)).nonzero()[:, 0]
        counts += _violated(start[members], [effect[members] for effect in effects], index[members] - first).sum(0)
    found: Integers = counts.numpy().reshape(sizes)
    return found


def _violated(start: Tensor, effects: list[Tensor], index: Tensor) -> Tensor:
    """Which inputs may violate under which combination, shape (inputs, combinations).

    A claim is met where all of its rows are, an input violates where one of its claims is met; NaN counts as met.
    """
    bound = start[..., None]
    for effect in effects:
        bound = (bound[..., None] + effect[:, :, None, :]).flatten(2)
    met = (~(bound < 0)).all(1).to(torch.int32)
    none = torch.zeros(int(index.max()) + 1, met.shape[1], dtype=torch.int32)
    return none.index_add_(0, index, met) > 0
