"""Max pools by tournaments of pairs: `max(a, b) = a + relu(b - a)`, which is exact."""

from __future__ import annotations

import numpy as np

from verifluxa.bounds.chain import Layer, Reached, rows_of, stacked
from verifluxa.bounds.linear_map import pool_windows
from verifluxa.bounds.tournament import draw, next_players, winners_of
from verifluxa.bounds.walk import Walk
from verifluxa.graph.ops import MaxPool


def maxpool(walk: Walk, op: MaxPool) -> Reached:
    """Max over windows: per round the pairs (a, b) become `a + relu(b - a)`."""
    source = walk.node.inputs[0]
    index, inside = pool_windows(op, walk.graph.nodes[source].shape)
    rows = np.flatnonzero((walk.is_reached(source)[np.where(inside, index, 0)] & inside).any(1))
    groups = [[int(i) for i in index[row][inside[row]]] for row in rows]
    entries = np.array(sorted({i for group in groups for i in group}), dtype=np.int64)
    form = walk.forms(source, entries)
    players = [list(np.searchsorted(entries, group)) for group in groups]
    while max((len(group) for group in players), default=1) > 1:
        form, players = _round(walk, form, players)
    return Reached(rows, rows_of(form, np.array([group[0] for group in players], dtype=np.int64)))


def _round(walk: Walk, form: Layer, players: list[list[int]]) -> tuple[Layer, list[list[int]]]:
    """One round: a layer of kept elements (linear) and differences (relu), then the winners as sums."""
    keep, pairs, winners = draw(players)
    a, b = (rows_of(form, np.array([pair[side] for pair in pairs])) for side in (0, 1))
    # The verifier's own subtraction is covered; the deployed maximum rounds nothing.
    own = walk.rounding.own
    difference = Layer(
        b.weight - a.weight,
        b.offset - a.offset,
        a.slope_radius + b.slope_radius + own * (np.abs(a.weight) + np.abs(b.weight)),
        a.radius + b.radius + own * (np.abs(a.offset) + np.abs(b.offset)),
    )
    linear = np.concatenate([np.ones(len(keep), dtype=bool), np.zeros(len(pairs), dtype=bool)])
    size = walk.emit(stacked([rows_of(form, np.array(keep)), difference]), "relu", (), linear)
    weight = winners_of(winners, len(keep), size)
    nothing, tiny = np.zeros((1, len(winners))), np.full((1, len(winners)), walk.rounding.tiny(1))
    return Layer(weight, nothing, own * weight, tiny), next_players(players)
