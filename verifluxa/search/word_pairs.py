"""Two or more words: too many to evaluate, so clusters of words are bounded and what bounds leave open is evaluated.

A node is a set of words for each place. On the hull of their rows (a box) linear bounds of every claim are computed,
`row <= value + slope . (rows - center)`, which hold at each combination of words of the node: the bound of a
combination is a sum of one number for each place. Combinations that may bring `need` inputs over, by these
bounds, are few; they are evaluated with their error radii as single words are. Where they are many the node is
halved at each place, along the direction in which its rows spread most.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verifluxa.bounds.domain import Domains, geometry
from verifluxa.bounds.linear import Subproblems, all_layers
from verifluxa.evidence import NOTHING_FOUND, Node, Outcome, Strongest, Unrecorded, Witness
from verifluxa.question import AffineInputMap, Domain, Placement, Question
from verifluxa.search import words
from verifluxa.search.claims import BoundContext, row_bounds
from verifluxa.search.replay import witness
from verifluxa.search.words import NetworkSplit, Slots, Table, base_of, judged, slots_of, strongest_of
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason, Verdict

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


@dataclass
class _Open:
    """One question of a placement: what was found and what is proved so far."""

    question: Question
    claims: Claims
    strongest: Strongest = NOTHING_FOUND
    proved: int = 0
    witness: Witness | None = None
    doubtful: bool = False
    late: bool = False


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
    scene = _scene(work, cut, questions[0].placement)
    states = [_Open(q, scene.inner.claims(q.violation, q.selection)) for q in questions]
    known = work.kept.setdefault("pairs", {})
    words_of = tuple(points.tobytes() for points in scene.slots.points)
    key = (scene.inner.problem.inputs.tobytes(), scene.columns.tobytes(), words_of)
    for state in states:
        before = known.get((key, state.question[1:]))
        if before is not None and _again(scene, state, before):
            continue
        _search(scene, state, late)
        known[key, state.question[1:]] = state
    for state in states:
        yield _outcome(work, state, scene, started)


def _again(scene: _Scene, state: _Open, before: _Open) -> bool:
    """Takes over what an equal placement gave: a proof as it is, a trigger once it is replayed here."""
    if before.doubtful:
        return False
    if before.witness is not None:
        played = witness(scene.work, state.question, before.witness.trigger, sure=_sure(scene, state, before))
        if not scene.work.problem.refutes(state.question, len(played.inputs)):
            return False
        state.witness = played
    state.strongest, state.proved = before.strongest, before.proved
    return True


def _sure(scene: _Scene, state: _Open, before: _Open) -> NDArray[np.bool_]:
    assert before.witness is not None
    table = _evaluated(scene, before.witness.trigger[None], None)
    assert table is not None
    chosen = scene.work.problem.selections[state.question.selection]
    return table.sure[state.question.violation][chosen][:, 0]


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


def _search(scene: _Scene, state: _Open, deadline: float | None) -> None:
    """First the words that look strongest, together; then all nodes, until each is closed."""
    late = min(time.monotonic() + SECONDS, math.inf if deadline is None else deadline)
    _try(scene, state, _promising(scene, state), late)
    nodes: list[tuple[Integers, ...]] = [()]
    for part in scene.rows:
        nodes = [(*node, own) for node in nodes for own in _clusters(part, np.arange(len(part)), FIRST)]
    while nodes and state.witness is None:
        if time.monotonic() > late:
            state.doubtful = state.late = True
            return
        node = nodes.pop()
        open_, counts = _combinations(scene, state, node)
        total = int(np.prod([len(own) for own in node]))
        if len(open_) > max(SHARE * total, 1) and total > LEAST:
            nodes += _halved(scene, node)
            continue
        closed = np.ones(counts.shape, dtype=bool)
        closed[tuple(open_.T)] = False
        state.proved = max(state.proved, int(counts[closed].max(initial=0)))
        chosen = np.stack([own[open_[:, k]] for k, own in enumerate(node)], 1)
        for start in range(0, len(open_), BATCH):
            _try(scene, state, chosen[start : start + BATCH], late)


def _promising(scene: _Scene, state: _Open) -> Integers:
    """Combinations of the words that, by a linear view of the whole, bring most inputs nearest, shape (T, k)."""
    whole = [np.arange(len(part)) for part in scene.rows]
    slopes = _planes(scene, state, [tuple(whole)])[1].mean((0, 1))
    features = scene.cut.split.features
    best = [
        np.argsort(-(part @ slopes[k * features : (k + 1) * features].numpy()))[:BEST]
        for k, part in enumerate(scene.rows)
    ]
    return np.stack([axis.ravel() for axis in np.meshgrid(*best, indexing="ij")], 1)


def _try(scene: _Scene, state: _Open, chosen: Integers, late: float | None) -> None:
    """Evaluates combinations (T, k), given as indices into the words of each place."""
    if not len(chosen) or state.witness is not None:
        return
    triggers = np.stack([points[chosen[:, k], 0] for k, points in enumerate(scene.slots.points)], 1)
    table = _evaluated(scene, triggers, late)
    if table is None:
        state.doubtful = state.late = True
        return
    question = state.question
    asked = scene.work.problem.selections[question.selection]
    may, sure, plain = (part[question.violation][asked] for part in (table.may, table.sure, table.plain))
    seen = strongest_of(scene.work.problem, question, sure, triggers.__getitem__)
    state.strongest = state.strongest.or_stronger(seen)
    state.proved = max(state.proved, int(may.sum(0).max()))
    for at in np.lexsort((-may.sum(0), -plain.sum(0), -sure.sum(0)))[:8]:
        if may[:, at].sum() < question.need:
            continue
        played = witness(scene.work, question, triggers[at], sure=sure[:, at])
        if scene.work.problem.refutes(question, len(played.inputs)):
            state.witness = played
            return
        state.doubtful = True
    state.doubtful |= bool((may.sum(0) >= question.need).any())


def _evaluated(scene: _Scene, triggers: Floats, late: float | None) -> Table | None:
    features = scene.cut.split.features
    places = scene.columns[::features] // features
    put = scene.cut.split.put(places, triggers)
    return judged(scene.work.problem, scene.cut.split, scene.inner.constants, put, late)


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


def _halved(scene: _Scene, node: tuple[Integers, ...]) -> list[tuple[Integers, ...]]:
    parts: list[tuple[Integers, ...]] = [()]
    for rows, own in zip(scene.rows, node, strict=True):
        parts = [(*part, half) for part in parts for half in _halves(rows, own)]
    return parts


def _planes(scene: _Scene, state: _Open, nodes: Sequence[tuple[Integers, ...]]) -> tuple[Tensor, Tensor, Tensor]:
    """Bounds of all claims on the hull of one node: value at the center (C, r), slope (C, r, d), limit (C, r)."""
    work, claims = scene.inner, state.claims
    hull = _hull(nodes[0], scene.rows)
    box = [torch.as_tensor(end, device=work.device)[None] for end in (hull.lower, hull.upper)]
    none = box[0].new_zeros(0, box[0].shape[1])
    shape = geometry(Domains(box[0], box[1], none, box[0].new_zeros(1, 0), box[0].new_zeros(1, 0)))
    inputs, index = torch.unique(claims.input, return_inverse=True)
    pairs = Subproblems(torch.zeros_like(inputs), inputs)
    inside = BoundContext(work, work.net(0), shape)
    layers = all_layers(inside.net, shape, pairs)
    planes = row_bounds(inside, layers, (index, pairs.take(index), work.alternatives[claims.alternative]))
    # What may overflow has no bounds: it counts as violating whatever the words are.
    fine = inside.bounded(layers, inputs)[index][:, None]
    return torch.where(fine, planes.value, torch.inf), planes.slope, planes.limit


def _combinations(scene: _Scene, state: _Open, node: tuple[Integers, ...]) -> tuple[Integers, Integers]:
    """Combinations that may bring `need` inputs over (T, k), and how many inputs each may, shape of the node."""
    value, slope, limit = _planes(scene, state, [node])
    hull = _hull(node, scene.rows)
    center = (hull.lower + hull.upper) / 2
    features, sizes = scene.cut.split.features, [len(own) for own in node]
    effects = []
    for k, (rows, own) in enumerate(zip(scene.rows, node, strict=True)):
        part = slice(k * features, (k + 1) * features)
        effects.append(slope[..., part].cpu() @ torch.as_tensor(rows[own] - center[part]).T)
    start = (value - limit).cpu()
    inputs, index = torch.unique(state.claims.input.cpu(), return_inverse=True)
    counts = torch.zeros(int(np.prod(sizes)), dtype=torch.int64)
    at_once = max(1, AT_ONCE * len(inputs) // (len(index) * start.shape[1] * len(counts)))
    for first in range(0, len(inputs), at_once):
        members = ((index >= first) & (index < first + at_once)).nonzero()[:, 0]
        counts += _violated(start[members], [effect[members] for effect in effects], index[members] - first).sum(0)
    found: Integers = counts.numpy().reshape(sizes)
    return np.argwhere(found >= state.question.need), found


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


def _outcome(work: Workspace, state: _Open, scene: _Scene, started: float) -> Outcome:
    question = state.question
    certified = state.witness is None and not state.doubtful
    verdict = Verdict.FALSIFIED if state.witness else Verdict.CERTIFIED if certified else Verdict.UNKNOWN
    asked = len(work.problem.selections[question.selection])
    return Outcome(
        question=question,
        verdict=verdict,
        reason=(Reason.TIME if state.late else Reason.PRECISION) if verdict is Verdict.UNKNOWN else None,
        strongest=state.strongest,
        proved=state.proved if certified else asked,
        witness=state.witness,
        stage="enumerate",
        boxes=scene.slots.count,
        seconds=time.monotonic() - started,
        # Decided by evaluation and bounds of clusters: there is nothing that a checker could follow step by step.
        tree=Node(step=Unrecorded()) if certified else None,
    )
