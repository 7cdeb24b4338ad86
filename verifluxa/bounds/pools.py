"""Max pools by tournaments of pairs: who wins meets the next one; see `maxima`."""

from __future__ import annotations

import numpy as np

from verifluxa.bounds.chain import Layer, Reached, rows_of, stacked
from verifluxa.bounds.linear_map import pool_windows
from verifluxa.bounds.maxima import Maxima
from verifluxa.bounds.walk import LocalNetworkBuilder, picked
from verifluxa.graph.ops import MaxPool


def maxpool(walk: LocalNetworkBuilder, op: MaxPool) -> Reached:
    """Max over windows: in each round the second half of a window's players meets the first."""
    source = walk.node.inputs[0]
    index, inside = pool_windows(op, walk.graph.nodes[source].shape)
    rows = np.flatnonzero((walk.is_reached(source)[np.where(inside, index, 0)] & inside).any(1))
    groups = [[int(i) for i in index[row][inside[row]]] for row in rows]
    entries = np.array(sorted({i for group in groups for i in group}), dtype=np.int64)
    form = walk.forms(source, entries)
    players = [np.searchsorted(entries, group).tolist() for group in groups]
    while max((len(group) for group in players), default=1) > 1:
        form, players = _round(walk, form, players)
    return Reached(rows, rows_of(form, np.array([group[0] for group in players], dtype=np.int64)))


def _round(walk: LocalNetworkBuilder, form: Layer, players: list[list[int]]) -> tuple[Layer, list[list[int]]]:
    """One round: the layer of the pairs, and the winners by their windows."""
    first = np.array([one for group in players for one in group[::2]])
    # Who has no opponent meets itself.
    second = np.array([one for group in players for one in [*group[1::2], *group[-1:] * (len(group) % 2)]])
    a, b, meets = rows_of(form, first), rows_of(form, second), first != second
    # The verifier's own subtraction is covered; the deployed maximum rounds nothing.
    own = walk.rounding.own
    difference = Layer(
        b.weight - a.weight,
        b.offset - a.offset,
        (a.slope_radius + b.slope_radius + own * (np.abs(a.weight) + np.abs(b.weight))) * meets[:, None],
        (a.radius + b.radius + own * (np.abs(a.offset) + np.abs(b.offset))) * meets,
    )
    special = Maxima(len(first), _is_plain(form))
    winners = picked(0, len(first), walk.emit(stacked([a, b, difference]), "max", special=special))
    tiny = np.full_like(winners.radius, walk.rounding.tiny(1))
    ends = np.cumsum([(len(group) + 1) // 2 for group in players])
    following = [list(range(end - (len(group) + 1) // 2, end)) for group, end in zip(players, ends, strict=True)]
    return Layer(winners.weight, winners.offset, winners.slope_radius, tiny), following


def _is_plain(form: Layer) -> bool:
    """Whether each row is a neuron of the state, or a constant."""
    return bool((np.count_nonzero(form.weight, axis=1) <= 1).all())
